/* SPDX-License-Identifier: Apache-2.0
 *
 * import_backend: where requests go.
 *
 *   orders.shop.svc     ─► that Service, with a ReferenceGrant in its namespace
 *   orders              ─► the Service of that name in our namespace
 *   10.1.2.3            ─► a Service without selector, and an EndpointSlice
 *   api.example.net     ─► a Service of type ExternalName
 *   name of an upstream ─► its targets, each in one of these ways
 *
 * How endpoints are called (TLS, HTTP/2, choice, ejection) is a TrafficPolicy on those Services.
 */
#include "ctl/import.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/units.h"

#include <arpa/inet.h>

enum { TARGETS_MAX = 16, ENDPOINTS_MAX = 100, WEIGHT_MAX = 65535 };

struct target {
    struct str host;
    uint16_t port;
    int64_t weight;
};

/* A service on its way. */
struct building {
    struct import *i;
    struct import_backend *b;
    const struct kong_entity *service, *upstream; /* upstream may be NULL */
    struct str protocol;
    struct str object;
    cJSON *targets; /* of policies: {namespace, name} of each Service */
};

/* ---- what a service says ---- */

static const char *const known_service[] = {"host",
                                            "port",
                                            "path",
                                            "protocol",
                                            "url",
                                            "retries",
                                            "connect_timeout",
                                            "read_timeout",
                                            "write_timeout",
                                            "tls_verify",
                                            "ca_certificates",
                                            "client_certificate",
                                            "routes",
                                            "plugins",
                                            "filter_chains",
                                            NULL};
static const char *const known_upstream[] = {
    "targets", "algorithm", "healthchecks", "slots", "host_header", "hash_on", NULL};

static bool is_tls(struct str protocol) {
    return str_eq(protocol, STR("https")) || str_eq(protocol, STR("grpcs")) ||
           str_eq(protocol, STR("tls")) || str_eq(protocol, STR("wss"));
}

/* A listener's backend, which needs no grant. */
static bool is_stream(struct str protocol) {
    return str_eq(protocol, STR("tcp")) || str_eq(protocol, STR("tls"));
}

/* https://api.example.net:8443/v2 as protocol, host, port and path. */
static void split_url(struct str url, struct str *protocol, struct str *host, uint64_t *port,
                      struct str *path) {
    size_t colon = str_find(url, ':', 0);
    *protocol = str_mk(url.p, colon);
    struct str rest = colon + 3 <= url.n ? str_skip(url, colon + 3) : STR_NONE;
    size_t slash = str_find(rest, '/', 0);
    *path = str_skip(rest, slash);
    struct str number = str_cut(str_mk(rest.p, slash), ':', host);
    if (!number.p || !str_to_u64(number, 65535, port))
        *port = 0;
}

static void close_backend(struct building *w, const char *field, struct str value,
                          const char *sentence) {
    if (w->b->closed.n == 0)
        w->b->closed = arena_fmt(&w->i->arena, "%.*s %s", STR_FMT(w->object), field);
    import_say(w->i, IMPORT_CLOSED, w->object, str_of(field), value, "%s", sentence);
}

static struct str lower(struct building *w, struct str s) {
    char *p = arena_alloc(&w->i->arena, s.n + 1);
    str_lower(p, s);
    p[s.n] = 0;
    return str_mk(p, s.n);
}

static void take_address(struct building *w, struct target *t) {
    const cJSON *json = w->service->json;
    struct str url = kong_text(json, "url");
    uint64_t port = 0;
    if (url.n > 0) {
        split_url(url, &w->protocol, &t->host, &port, &w->b->path);
    } else {
        w->protocol = kong_text(json, "protocol");
        t->host = kong_text(json, "host");
        w->b->path = kong_text(json, "path");
        int64_t said = kong_int(json, "port", 0);
        port = said > 0 && said < 65536 ? (uint64_t)said : 0;
        if (port == 0 && said != 0)
            close_backend(w, "port", arena_fmt(&w->i->arena, "%lld", (long long)said),
                          "is no port; write backendRefs");
    }
    if (w->protocol.n == 0)
        w->protocol = STR("http");
    t->host = lower(w, t->host);
    t->port = port > 0 ? (uint16_t)port : is_tls(w->protocol) ? 443 : 80;
    while (str_ends(w->b->path, STR("/")))
        w->b->path.n--;
}

/* ---- Services ---- */

static bool is_address(struct str host, bool *v6) {
    char room[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_mk(host.p + 1, host.n - 2);
    if (host.n == 0 || host.n >= sizeof(room))
        return false;
    memcpy(room, host.p, host.n);
    room[host.n] = 0;
    *v6 = inet_pton(AF_INET6, room, address) == 1;
    return *v6 || inet_pton(AF_INET, room, address) == 1;
}

bool import_is_cluster(struct str host, struct str *name, struct str *namespace) {
    if (str_ends(host, STR(".")))
        host.n--;
    struct str rest = str_cut(host, '.', name);
    rest = str_cut(rest, '.', namespace);
    return kube_is_name(*name) && kube_is_name(*namespace) &&
           (str_eq(rest, STR("svc")) || str_starts(rest, STR("svc.")));
}

static bool is_bare(struct str host) {
    return kube_is_name(host) && str_find(host, '.', 0) == host.n;
}

static cJSON *add_ref(struct building *w, struct str name, struct str namespace, uint16_t port,
                      int64_t weight) {
    cJSON *ref = doc_item(w->b->refs), *target = doc_item(w->targets);
    doc_text(ref, "name", name);
    if (!str_eq(namespace, w->i->namespace))
        doc_text(ref, "namespace", namespace);
    cJSON_AddNumberToObject(ref, "port", port);
    if (weight >= 0)
        cJSON_AddNumberToObject(ref, "weight", (double)weight);
    doc_text(target, "namespace", namespace);
    doc_text(target, "name", name);
    return ref;
}

static struct str new_name(struct building *w) {
    struct str wanted = w->service->name[0] ? str_of(w->service->name) : STR("service");
    return import_name(w->i, KUBE_Service, w->i->namespace, wanted);
}

static cJSON *new_service(struct building *w, struct str name, uint16_t port) {
    cJSON *spec = import_spec(import_doc(w->i, KUBE_Service, w->i->namespace, name, w->service));
    cJSON *one = doc_item(doc_list(spec, "ports"));
    cJSON_AddStringToObject(one, "name", "main");
    cJSON_AddNumberToObject(one, "port", port);
    return spec;
}

static void add_external(struct building *w, const struct target *t, int64_t weight) {
    struct str name = new_name(w);
    cJSON *spec = new_service(w, name, t->port);
    cJSON_AddStringToObject(spec, "type", "ExternalName");
    doc_text(spec, "externalName", t->host);
    add_ref(w, name, w->i->namespace, t->port, weight);
    w->b->external = true;
    const cJSON *have;
    cJSON_ArrayForEach(have, w->i->external_names) {
        if (str_eq(str_of(have->valuestring), t->host))
            return;
    }
    import_text_item(w->i->external_names, t->host);
}

/* Another namespace says that ours may refer to its Service. */
static void grant(struct building *w, struct str namespace, struct str service) {
    struct import *i = w->i;
    struct str key = arena_fmt(&i->arena, "grant/%.*s/%.*s", STR_FMT(namespace), STR_FMT(service));
    if (map_put(&i->made, key, i))
        return;
    struct str wanted = arena_fmt(&i->arena, "%.*s-%.*s", STR_FMT(i->namespace), STR_FMT(service));
    struct str name = import_name(i, KUBE_ReferenceGrant, namespace, wanted);
    cJSON *spec = import_spec(import_doc(i, KUBE_ReferenceGrant, namespace, name, NULL));
    cJSON *from = doc_item(doc_list(spec, "from"));
    cJSON_AddStringToObject(from, "group", "sluice.dev");
    cJSON_AddStringToObject(from, "kind", "Route");
    doc_text(from, "namespace", i->namespace);
    cJSON *to = doc_item(doc_list(spec, "to"));
    cJSON_AddStringToObject(to, "group", "");
    cJSON_AddStringToObject(to, "kind", "Service");
    doc_text(to, "name", service);
}

/* One slice a family and port; endpoints of a slice share their ports. */
static void add_slice(struct building *w, struct str service, uint16_t port, bool v6,
                      const struct target *all, size_t n) {
    struct str name = import_name(w->i, KUBE_EndpointSlice, w->i->namespace, service);
    cJSON *doc = import_doc(w->i, KUBE_EndpointSlice, w->i->namespace, name, NULL);
    cJSON *meta = cJSON_GetObjectItemCaseSensitive(doc, "metadata");
    cJSON *labels = cJSON_AddObjectToObject(meta, "labels");
    doc_text(labels, "kubernetes.io/service-name", service);
    cJSON_AddStringToObject(doc, "addressType", v6 ? "IPv6" : "IPv4");
    cJSON *endpoints = doc_list(doc, "endpoints");
    for (size_t t = 0; t < n; t++) {
        bool is_v6;
        struct str host = all[t].host;
        if (all[t].port != port || !is_address(host, &is_v6) || is_v6 != v6)
            continue;
        if (host.p[0] == '[')
            host = str_mk(host.p + 1, host.n - 2);
        import_text_item(doc_list(doc_item(endpoints), "addresses"), host);
    }
    cJSON *one = doc_item(doc_list(doc, "ports"));
    cJSON_AddStringToObject(one, "name", "main");
    cJSON_AddNumberToObject(one, "port", port);
}

static void add_slices(struct building *w, struct str service, const struct target *all, size_t n) {
    for (size_t t = 0; t < n; t++) {
        bool v6 = false, other_v6 = false, first = true;
        is_address(all[t].host, &v6);
        for (size_t o = 0; o < t && first; o++)
            first =
                all[o].port != all[t].port || !is_address(all[o].host, &other_v6) || other_v6 != v6;
        if (first)
            add_slice(w, service, all[t].port, v6, all, n);
    }
}

static void add_addresses(struct building *w, const struct target *all, size_t n, int64_t weight) {
    struct str name = new_name(w);
    new_service(w, name, all[0].port);
    add_slices(w, name, all, n);
    add_ref(w, name, w->i->namespace, all[0].port, weight);
}

/* weight: -1 for the only one. */
static void add_target(struct building *w, const struct target *t, int64_t weight) {
    struct str name, namespace;
    struct why why = {0};
    bool v6;
    if (is_address(t->host, &v6)) {
        add_addresses(w, t, 1, weight);
    } else if (import_is_cluster(t->host, &name, &namespace)) {
        add_ref(w, name, namespace, t->port, weight);
        if (!str_eq(namespace, w->i->namespace) && !is_stream(w->protocol))
            grant(w, namespace, name);
    } else if (is_bare(t->host)) {
        add_ref(w, t->host, w->i->namespace, t->port, weight);
        import_say(w->i, IMPORT_NOTE, w->object, STR("host"), t->host,
                   "is taken for the Service of that name in namespace %.*s",
                   STR_FMT(w->i->namespace));
    } else if (unit_dns_name(t->host, &why) == 0) {
        add_external(w, t, weight);
    } else {
        close_backend(w, "host", t->host, "is no name and no address; write backendRefs");
    }
}

/* ---- an upstream ---- */

static bool take_target(struct building *w, const struct kong_entity *e, struct target *t) {
    struct str text = str_of(e->name), host = text, port = STR_NONE;
    for (size_t at = text.n; at > 0; at--)
        if (text.p[at - 1] == ':') {
            host = str_mk(text.p, at - 1);
            port = str_skip(text, at);
            break;
        }
    uint64_t number = 8000; /* Kong's own default */
    if (port.p && (!str_to_u64(port, 65535, &number) || number == 0)) {
        host = text; /* an IPv6 address without port, or nothing good */
        number = 8000;
    }
    int64_t weight = kong_int(e->json, "weight", 100);
    if (weight < 0 || weight > WEIGHT_MAX) {
        close_backend(w, "targets.weight", arena_fmt(&w->i->arena, "%lld", (long long)weight),
                      "is no weight (0 to 65535); write backendRefs");
        weight = 0;
    }
    *t = (struct target){lower(w, host), (uint16_t)number, weight};
    static const char *const known[] = {"target", "weight", "upstream", NULL};
    import_unknown(w->i, e, e->json, "", known);
    return host.n > 0;
}

static bool all_addresses(const struct target *t, size_t n) {
    bool v6;
    for (size_t k = 0; k < n; k++)
        if (!is_address(t[k].host, &v6) || t[k].weight != t[0].weight)
            return false;
    return n > 0 && t[0].weight > 0;
}

static void add_targets(struct building *w) {
    struct target all[ENDPOINTS_MAX];
    size_t n = 0;
    for (const struct kong_entity *e = NULL; (e = kong_next(w->i->kong, KONG_TARGET, e));)
        if (e->of[KONG_UPSTREAM] == w->upstream && n < ENDPOINTS_MAX && take_target(w, e, &all[n]))
            n++;
    if (all_addresses(all, n)) {
        add_addresses(w, all, n, -1);
        return;
    }
    if (n > TARGETS_MAX) {
        close_backend(w, "targets", arena_fmt(&w->i->arena, "%zu", n),
                      "a rule has at most 16 backends; put targets of one weight behind one "
                      "Service");
        return;
    }
    if (n == 0)
        close_backend(w, "targets", STR(""), "there are none; write backendRefs");
    for (size_t t = 0; t < n; t++)
        add_target(w, &all[t], n == 1 ? -1 : all[t].weight);
}

/* ---- how endpoints are called ---- */

static void add_passive(struct building *w, cJSON *spec) {
    const cJSON *checks = json_get(w->upstream->json, "healthchecks");
    const cJSON *passive = json_get(json_get(checks, "passive"), "unhealthy");
    const cJSON *active = json_get(checks, "active");
    int64_t failures = kong_int(passive, "http_failures", 0);
    int64_t tcp = kong_int(passive, "tcp_failures", 0);
    failures = failures == 0 || (tcp > 0 && tcp < failures) ? tcp : failures;
    if (failures > 0) {
        cJSON *p = cJSON_AddObjectToObject(cJSON_AddObjectToObject(spec, "healthCheck"), "passive");
        cJSON_AddNumberToObject(p, "consecutiveErrors",
                                (double)(failures > 1000 ? 1000 : failures));
        import_say(w->i, IMPORT_DIFFERS, import_object(w->i, w->upstream),
                   STR("healthchecks.passive"), STR(""),
                   "healthCheck.passive: a target comes back by itself after its ejection");
    }
    if (kong_int(json_get(active, "healthy"), "interval", 0) > 0 ||
        kong_int(json_get(active, "unhealthy"), "interval", 0) > 0)
        import_say(w->i, IMPORT_LOST, import_object(w->i, w->upstream), STR("healthchecks.active"),
                   STR(""),
                   "TrafficPolicy healthCheck.active, when it is built; readiness probes of pods "
                   "work without it");
}

static void add_balance(struct building *w, cJSON *spec) {
    struct str algorithm = kong_text(w->upstream->json, "algorithm");
    if (str_eq(algorithm, STR("least-connections")))
        cJSON_AddStringToObject(cJSON_AddObjectToObject(spec, "loadBalancer"), "type",
                                "LeastRequest");
    else if (algorithm.n > 0 && !str_eq(algorithm, STR("round-robin")))
        import_say(w->i, IMPORT_LOST, import_object(w->i, w->upstream), STR("algorithm"), algorithm,
                   "TrafficPolicy loadBalancer.type %s, when it is built; RoundRobin until then",
                   str_eq(algorithm, STR("latency")) ? "PeakEWMA" : "ConsistentHash");
    import_unknown(w->i, w->upstream, w->upstream->json, "", known_upstream);
    add_passive(w, spec);
}

static void add_trust(struct building *w, cJSON *tls, struct str namespace) {
    const cJSON *json = w->service->json, *ids = kong_texts(json, "ca_certificates");
    const cJSON *verify = json_get(json, "tls_verify");
    if (ids) {
        struct str name = import_authorities_in(w->i, ids, namespace);
        if (name.n > 0)
            doc_text(doc_item(doc_list(tls, "caRefs")), "name", name);
        else
            import_say(w->i, IMPORT_LOST, w->object, STR("ca_certificates"), STR("(not shown)"),
                       "one of them is not in this file; write connection.tls.caRefs, the "
                       "system's authorities count until then");
    }
    if (cJSON_IsFalse(verify)) {
        cJSON_AddTrueToObject(tls, "insecureSkipVerify");
        import_say(w->i, IMPORT_NOTE, w->object, STR("tls_verify"), STR("false"),
                   "is kept as insecureSkipVerify; name the authority in caRefs instead");
    } else if (!verify) {
        import_say(w->i, IMPORT_DIFFERS, w->object, STR("tls_verify"), STR(""),
                   "Kong does not verify unless told to, Sluice does: name the authority in "
                   "connection.tls.caRefs if it is not a public one");
    }
}

static void add_tls(struct building *w, cJSON *connection, struct str host, struct str namespace) {
    cJSON *tls = cJSON_AddObjectToObject(connection, "tls");
    bool v6;
    bool named = !is_address(host, &v6) && str_find(host, '.', 0) < host.n;
    if (named && import_fits(KUBE_HOSTNAME, host))
        doc_text(tls, "hostname", host);
    else if (named)
        close_backend(w, "host", host, "is not a name that could be verified");
    add_trust(w, tls, namespace);
    const cJSON *shown = json_get(w->service->json, "client_certificate");
    const struct kong_entity *e = kong_ref(w->i->kong, KONG_CERTIFICATE, shown);
    struct str secret = e ? import_certificate_in(w->i, e, namespace) : STR_NONE;
    if (secret.n > 0)
        doc_text(cJSON_AddObjectToObject(tls, "clientCertificateRef"), "name", secret);
    else if (shown)
        close_backend(w, "client_certificate", STR("(not shown)"),
                      "is not in this file; write connection.tls.clientCertificateRef");
}

static cJSON *calling(struct building *w, struct str host, struct str namespace) {
    cJSON *spec = cJSON_CreateObject();
    if (w->upstream)
        add_balance(w, spec);
    bool grpc = str_starts(w->protocol, STR("grpc"));
    if (!grpc && !is_tls(w->protocol))
        return spec;
    cJSON *connection = cJSON_AddObjectToObject(spec, "connection");
    if (grpc)
        cJSON_AddStringToObject(connection, "protocol", is_tls(w->protocol) ? "h2" : "h2c");
    if (is_tls(w->protocol))
        add_tls(w, connection, host, namespace);
    return spec;
}

/* One policy for a Service; two that say different things of the same one cannot be. Takes spec. */
static void add_policy(struct building *w, struct str namespace, cJSON *names, cJSON *spec) {
    struct import *i = w->i;
    cJSON *item, *refs = cJSON_CreateArray();
    char *text = cJSON_PrintUnformatted(spec);
    must(text != NULL);
    cJSON_ArrayForEach(item, names) {
        struct str service = str_of(doc_get(item, "name"));
        if (!str_eq(str_of(doc_get(item, "namespace")), namespace))
            continue;
        struct str key =
            arena_fmt(&i->arena, "service/%.*s/%.*s", STR_FMT(namespace), STR_FMT(service));
        const char *other = map_get(&i->made, key);
        if (other && strcmp(other, text) != 0)
            close_backend(w, "protocol", w->protocol,
                          "another Kong service calls the same Service in another way; give each "
                          "a Service of its own");
        if (other)
            continue;
        map_put(&i->made, key, (void *)(uintptr_t)arena_str(&i->arena, str_of(text)).p);
        cJSON *ref = doc_item(refs);
        cJSON_AddStringToObject(ref, "group", "");
        cJSON_AddStringToObject(ref, "kind", "Service");
        doc_text(ref, "name", service);
    }
    cJSON_free(text);
    if (!refs->child || !spec->child) {
        cJSON_Delete(refs);
        cJSON_Delete(spec);
        return;
    }
    struct str name = import_name(i, KUBE_TrafficPolicy, namespace, str_of(w->service->name));
    cJSON *doc = import_doc(i, KUBE_TrafficPolicy, namespace, name, w->service);
    cJSON *to = import_spec(doc), *part;
    cJSON_AddItemToObject(to, "targetRefs", refs);
    while ((part = cJSON_DetachItemViaPointer(spec, spec->child))) {
        char *key = str_dup(str_of(part->string));
        cJSON_AddItemToObject(to, key, part);
        mem_free(key);
    }
    cJSON_Delete(spec);
}

static void add_policies(struct building *w, struct str host) {
    const cJSON *item, *earlier;
    cJSON_ArrayForEach(item, w->targets) {
        struct str namespace = str_of(doc_get(item, "namespace"));
        bool seen = false;
        for (earlier = w->targets->child; earlier != item && !seen; earlier = earlier->next)
            seen = str_eq(str_of(doc_get(earlier, "namespace")), namespace);
        if (!seen)
            add_policy(w, namespace, w->targets, calling(w, host, namespace));
    }
}

/* ---- all ---- */

static const struct kong_entity *upstream_of(struct import *i, struct str host) {
    for (const struct kong_entity *u = NULL; (u = kong_next(i->kong, KONG_UPSTREAM, u));)
        if (str_eq_nocase(str_of(u->name), host))
            return u;
    return NULL;
}

/* What Kong writes into Host unless preserve_host. */
static struct str host_of(struct building *w, struct str host) {
    struct str said = w->upstream ? kong_text(w->upstream->json, "host_header") : STR_NONE;
    if (said.n > 0)
        return said;
    return w->upstream || w->b->external ? STR_NONE : host;
}

static bool is_known_protocol(struct str p) {
    return str_eq(p, STR("http")) || str_eq(p, STR("https")) || str_eq(p, STR("grpc")) ||
           str_eq(p, STR("grpcs")) || str_eq(p, STR("tcp")) || str_eq(p, STR("tls"));
}

static void build(struct import *i, const struct kong_entity *e) {
    struct import_backend *b = &i->backends[e->place];
    struct building w = {.i = i, .b = b, .service = e, .object = import_object(i, e)};
    struct target t = {.weight = -1};
    *b = (struct import_backend){.service = e, .refs = cJSON_CreateArray()};
    b->disabled = !kong_enabled(e);
    import_unknown(i, e, e->json, "", known_service);
    w.targets = cJSON_CreateArray();
    take_address(&w, &t);
    w.upstream = upstream_of(i, t.host);
    if (!is_known_protocol(w.protocol))
        close_backend(&w, "protocol", w.protocol, "is not one that Sluice speaks");
    if (w.upstream)
        add_targets(&w);
    else
        add_target(&w, &t, -1);
    b->host = host_of(&w, t.host);
    add_policies(&w, w.upstream ? kong_text(w.upstream->json, "host_header") : t.host);
    cJSON_Delete(w.targets);
}

void import_backends(struct import *i) {
    struct kong_list *l = &i->kong->lists[KONG_SERVICE];
    i->backends = arena_array(&i->arena, l->n + 1, sizeof(*i->backends));
    for (size_t n = 0; n < l->n; n++)
        build(i, l->all[n]);
}

struct import_backend *import_backend_of(struct import *i, const struct kong_entity *service) {
    return service ? &i->backends[service->place] : NULL;
}
