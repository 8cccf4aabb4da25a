/* SPDX-License-Identifier: Apache-2.0
 *
 * config: a GatewayConfig, checked and made into gateway and listeners.
 */
#include "controller/compile/certificate.h"
#include "controller/compile/class.h"
#include "controller/compile/clients.h"
#include "controller/compile/passing.h"
#include "controller/compile/rate_store.h"
#include "controller/compile/ref.h"
#include "controller/compile/tracing.h"
#include "lib/mem.h"
#include "lib/units.h"

/* 0 in the model means "default", so that "0s" and sizes of 0 must say "no limit". */
static uint64_t or_never(int64_t v) { return v < 0 ? 0 : v == 0 ? MODEL_NEVER : (uint64_t)v; }
static uint64_t or_zero(int64_t v) { return v < 0 ? 0 : (uint64_t)v; }

/* "x-user*" or a whole name. */
static int check_identity(struct making *m, const struct kube_GatewayConfig *g) {
    for (uint32_t i = 0; i < g->n_identity_headers; i++) {
        struct str p = g->identity_headers[i];
        const struct at *at = AT_I(AT(NULL, "spec"), "identityHeaders", i);
        struct shown shown;
        size_t n = p.n > 0 && p.p[p.n - 1] == '*' ? p.n - 1 : p.n;
        bool good = n >= 2 && n <= 256;
        for (size_t k = 0; good && k < n; k++) {
            char c = char_lower(p.p[k]);
            good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        }
        if (!good)
            return refuse(m, at,
                          "%s is no header name; write a name, or its beginning and *, as x-user*",
                          why_show(p, &shown));
    }
    return 0;
}

static int check_external(struct making *m, const struct kube_external_names *e) {
    for (uint32_t i = 0; e && i < e->n_allowed; i++) {
        struct str p = e->allowed[i], rest = str_starts(p, STR("*.")) ? str_skip(p, 2) : p;
        bool good = rest.n > 0 && p.n <= 253;
        for (size_t k = 0; good && k < rest.n; k++) {
            char c = rest.p[k];
            good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                   c == '_';
        }
        struct shown shown;
        if (!good)
            return refuse(m, AT_I(AT(AT(NULL, "spec"), "externalNames"), "allowed", i),
                          "%s is no DNS name; write db.example.com or *.example.com",
                          why_show(p, &shown));
    }
    return 0;
}

static int check_ownership(struct making *m, const struct kube_host_ownership *o) {
    const struct at *at = AT(AT(NULL, "spec"), "hostOwnership");
    if (!o)
        return 0;
    bool assigned = str_eq(o->mode, STR("Assigned"));
    if (o->n_assignments > 0 && !assigned)
        return refuse(m, AT(at, "assignments"),
                      "assignments count only with mode Assigned; set it or remove them");
    return 0;
}

static int check_listener_tls(struct making *m, const struct at *at,
                              const struct kube_listener *l) {
    const struct kube_listener_tls *t = l->tls;
    if (!t)
        return 0;
    if (l->protocol != MODEL_HTTPS)
        return refuse(m, at, "a listener of protocol %s has no tls; remove it, or say HTTPS",
                      model_word(&model_words_protocol, l->protocol));
    if (t->mode != MODEL_TERMINATE)
        return refuse(m, AT(at, "mode"),
                      "an HTTPS listener ends TLS itself; Passthrough is for protocol TLS");
    const struct kube_certificate_ref *r = t->default_certificate_ref;
    if (!r)
        return 0;
    at = AT(at, "defaultCertificateRef");
    const char *fault = certificate_ref_fault(m, r);
    if (fault)
        return refuse(m, at, "%s", fault);
    if (r->namespace.n == 0)
        return refuse(m, AT(at, "namespace"),
                      "a GatewayConfig has no namespace; name the Secret's");
    return 0;
}

static int check_listeners(struct making *m, const struct kube_GatewayConfig *g) {
    for (uint32_t i = 0; i < g->n_listeners; i++) {
        const struct kube_listener *l = &g->listeners[i];
        const struct at *at = AT_I(AT(NULL, "spec"), "listeners", i);
        if (!is_passing(l) && l->backend_ref)
            return refuse(m, AT(at, "backendRef"),
                          "Routes and Ingresses say where the requests of a listener go; remove "
                          "it, or say TCP or TLS");
        int good =
            is_passing(l) ? passing_check(m, at, l) : check_listener_tls(m, AT(at, "tls"), l);
        if (good != 0 || passing_check_port(m, at, g, i) != 0 ||
            clients_check(m, at, l->tls ? l->tls->client_validation : NULL) != 0)
            return -1;
    }
    return 0;
}

static int config_check(struct making *m, const struct kube_GatewayConfig *g) {
    const struct at *spec = AT(NULL, "spec");
    if (check_listeners(m, g) != 0 || check_identity(m, g) != 0 ||
        check_external(m, g->external_names) != 0 || check_ownership(m, g->host_ownership) != 0 ||
        rate_store_check(m, g->rate_limit_store) != 0 || tracing_check(m, g->tracing) != 0)
        return -1;
    const struct kube_trusted_proxies *t = g->trusted_proxies;
    if (t && t->proxy_protocol != MODEL_PROXY_OFF && t->n_cidrs == 0)
        return refuse(m, AT(AT(spec, "trustedProxies"), "proxyProtocol"),
                      "it counts only from the addresses in cidrs, and there are none");
    const struct kube_gateway_limits *l = g->limits;
    if (l && l->header_bytes >= 0 && (l->header_bytes < 1024 || l->header_bytes > 1 << 20))
        return refuse(m, AT(AT(spec, "limits"), "headerBytes"), "%lld is not between 1Ki and 1Mi",
                      (long long)l->header_bytes);
    return 0;
}

/* ---- objects ---- */

static struct model_limits *limits_of(struct making *m, const struct kube_gateway_limits *l) {
    if (!l)
        return NULL;
    struct model_limits *o = arena_zalloc(&m->a, sizeof(*o));
    o->header_bytes = or_zero(l->header_bytes);
    o->header_count = or_zero(l->header_count);
    o->connections = or_zero(l->connections);
    o->memory_bytes = or_zero(l->memory);
    o->header_timeout_ms = or_never(l->header_timeout);
    o->idle_timeout_ms = or_never(l->idle_timeout);
    o->body_bytes = or_zero(l->body);
    return o;
}

static struct model_access_log *log_of(struct making *m, const struct kube_gateway_log *l) {
    if (!l)
        return NULL;
    struct model_access_log *o = arena_zalloc(&m->a, sizeof(*o));
    o->off = l->off;
    o->sample_per_mille = or_zero(l->sample_per_mille);
    o->n_headers = l->n_headers;
    o->headers = arena_array(&m->a, l->n_headers, sizeof(struct str));
    for (uint32_t i = 0; i < l->n_headers; i++)
        o->headers[i] = lower(&m->a, l->headers[i]);
    return o;
}

static struct str policy_named(struct making *m, const struct kube_policy_ref *k) {
    return k ? model_id(&m->a, MODEL_KIND_auth, k->namespace, k->name, STR_NONE) : STR_NONE;
}

/* A policy that is not there closes every route, which the proxy sees for itself. */
static void gateway_auth(struct making *m, const struct kube_gateway_auth *k,
                         struct model_gateway *o) {
    if (!k)
        return;
    o->auth_required = k->required;
    o->default_policy = policy_named(m, k->default_policy_ref);
    o->override_policy = policy_named(m, k->override_policy_ref);
}

static int make_gateway(struct making *m, const struct class_ *k, const struct resource *from,
                        struct model_rate_store *store, struct model_tracing *tracing) {
    const struct kube_GatewayConfig *g = k->config;
    struct model_gateway gw = {.origin = origin_of(m, from, g ? AT(NULL, "spec") : NULL)};
    gw.rate_limit_store = store;
    gw.tracing = tracing;
    gw.n_identity_headers = (uint32_t)k->n_identity;
    gw.identity_headers = arena_array(&m->a, k->n_identity, sizeof(struct str));
    for (size_t i = 0; i < k->n_identity; i++)
        gw.identity_headers[i] = lower(&m->a, k->identity[i]);
    if (g) {
        if (g->trusted_proxies) {
            gw.trusted_cidrs = g->trusted_proxies->cidrs;
            gw.n_trusted_cidrs = g->trusted_proxies->n_cidrs;
            gw.proxy_protocol = g->trusted_proxies->proxy_protocol;
        }
        gateway_auth(m, g->auth, &gw);
        gw.limits = limits_of(m, g->limits);
        gw.access_log = log_of(m, g->access_log);
        gw.metrics_routes = g->metrics ? or_zero(g->metrics->routes) : 0;
        gw.reason_header = g->reason_header;
        if (g->external_names) {
            gw.external_names = g->external_names->allowed;
            gw.n_external_names = g->external_names->n_allowed;
        }
    }
    return make(m, MODEL_KIND_gateway, k->gateway, &gw);
}

/* Their default certificates, which are wanted from now on. */
static struct model_listener_tls **tls_of_listeners(struct making *m,
                                                    const struct kube_GatewayConfig *g) {
    struct model_listener_tls **all = arena_array(&m->a, g->n_listeners, sizeof(*all));
    for (uint32_t i = 0; i < g->n_listeners; i++) {
        const struct kube_listener_tls *t = g->listeners[i].tls;
        if (!t)
            continue;
        struct model_listener_tls *o = all[i] = arena_zalloc(&m->a, sizeof(*o));
        const struct kube_certificate_ref *r = t->default_certificate_ref;
        o->mode = t->mode;
        o->min_version = t->min_version;
        o->no_tickets = !t->session_tickets;
        clients_make(m, AT_I(AT(NULL, "spec"), "listeners", i), t->client_validation, o);
        if (!r)
            continue;
        const struct at *at =
            AT(AT(AT_I(AT(NULL, "spec"), "listeners", i), "tls"), "defaultCertificateRef");
        struct certificate_ref ref;
        certificate_ref(
            m, at, arena_fmt(&m->a, "Secret %.*s/%.*s", STR_FMT(r->namespace), STR_FMT(r->name)).p,
            r->namespace, r->name, &ref);
        if (!ref.live && !m->wait && !m->keep)
            warn(m, at,
                 "there is no certificate in Secret %.*s/%.*s that can be used, so clients which "
                 "name no known host are refused",
                 STR_FMT(r->namespace), STR_FMT(r->name));
        o->certificates = arena_array(&m->a, 1, sizeof(struct str));
        o->certificates[o->n_certificates++] = ref.id;
    }
    return all;
}

void compile_exposed(struct compiler *c, const uint16_t *ports, size_t n) {
    must(n <= COMPILE_PORTS_MAX);
    memcpy(c->exposed, ports, n * sizeof(*ports));
    c->n_exposed = n;
}

void compile_own_namespace(struct compiler *c, struct str ns) {
    mem_free((void *)(uintptr_t)c->own_namespace.p);
    c->own_namespace = str_of(str_dup(ns));
}

static bool is_exposed(const struct compiler *c, int64_t port) {
    for (size_t i = 0; i < c->n_exposed; i++)
        if (c->exposed[i] == port)
            return true;
    return c->n_exposed == 0;
}

/* The chart's rules for containerPort. */
static int64_t container_port(int64_t port) {
    return port < 1024 || (port >= 7501 && port <= 7503) ? port + 8000 : port;
}

static void look_at_ports(struct making *m, const struct kube_GatewayConfig *g) {
    for (uint32_t i = 0; i < g->n_listeners; i++) {
        const struct kube_listener *l = &g->listeners[i];
        if (is_exposed(m->c, l->port))
            continue;
        m->refers = m->u->kind == UNIT_CONFIG;
        unresolved(m, "NotExposed", AT(AT_I(AT(NULL, "spec"), "listeners", i), "port"),
                   "the Service before the proxies has no port %lld, so that no client gets here; "
                   "add it to the chart's values: service.ports.%.*s: {port: %lld, containerPort: "
                   "%lld}",
                   (long long)l->port, STR_FMT(l->name), (long long)l->port,
                   (long long)container_port(l->port));
    }
}

/* The backends of those that pass on, which are wanted from now on. */
static struct str *backends_of_listeners(struct making *m, const struct kube_GatewayConfig *g) {
    struct str *all = arena_array(&m->a, g->n_listeners, sizeof(*all));
    for (uint32_t i = 0; i < g->n_listeners; i++) {
        if (!is_passing(&g->listeners[i]))
            continue;
        m->refers = m->u->kind == UNIT_CONFIG;
        const struct ref ref = ref_to(g->listeners[i].backend_ref);
        const struct at *at = AT(AT_I(AT(NULL, "spec"), "listeners", i), "backendRef");
        all[i] = ref_of_config(m, at, g, &ref);
    }
    return all;
}

static int make_listener(struct making *m, const struct class_ *k, const struct resource *from,
                         const struct at *at, struct str name, struct model_listener *o) {
    o->origin = origin_of(m, from, at);
    o->gateway = k->gateway;
    return make(m, MODEL_KIND_listener,
                model_id(&m->a, MODEL_KIND_listener, k->name, name, STR_NONE), o);
}

/* Where nobody has said anything. */
static int make_usual_listeners(struct making *m, const struct class_ *k,
                                const struct resource *from) {
    struct model_listener http = {.port = 80, .protocol = MODEL_HTTP},
                          https = {.port = 443, .protocol = MODEL_HTTPS};
    if (make_listener(m, k, from, NULL, STR("http"), &http) != 0)
        return -1;
    return make_listener(m, k, from, NULL, STR("https"), &https);
}

int config_make(struct making *m, const struct resource *config, struct class_ *k) {
    const struct kube_GatewayConfig *g = config ? resource_GatewayConfig(config) : NULL;
    if (g && config_check(m, g) != 0)
        return -1;
    struct model_listener_tls **tls = g ? tls_of_listeners(m, g) : NULL;
    const struct str *backends = g ? backends_of_listeners(m, g) : NULL;
    if (g)
        look_at_ports(m, g);
    struct model_rate_store *store = g ? rate_store_make(m, k, config, g->rate_limit_store) : NULL;
    struct model_tracing *tracing = g ? tracing_make(m, k, config, g->tracing) : NULL;
    if (!k)
        return 0;
    const struct resource *from = config ? config : m->r;
    if (make_gateway(m, k, from, store, tracing) != 0)
        return -1;
    if (!g || g->n_listeners == 0)
        return make_usual_listeners(m, k, from);
    for (uint32_t i = 0; i < g->n_listeners; i++) {
        const struct kube_listener *l = &g->listeners[i];
        struct model_listener o = {.port = (uint64_t)l->port,
                                   .protocol = l->protocol,
                                   .hostnames = l->hostnames,
                                   .n_hostnames = l->n_hostnames,
                                   .tls = tls[i],
                                   .backend = backends[i]};
        if (make_listener(m, k, from, AT_I(AT(NULL, "spec"), "listeners", i), l->name, &o) != 0)
            return -1;
    }
    return 0;
}

/* ---- questions ---- */

static bool pattern_covers(struct str pattern, struct str name) {
    if (!str_starts(pattern, STR("*.")))
        return str_eq_nocase(pattern, name);
    struct str suffix = str_skip(pattern, 1); /* ".example.com" */
    return name.n > suffix.n && str_eq_nocase(str_skip(name, name.n - suffix.n), suffix);
}

static bool allows_name(const struct kube_GatewayConfig *g, struct str name) {
    const struct kube_external_names *e = g ? g->external_names : NULL;
    for (uint32_t i = 0; e && i < e->n_allowed; i++)
        if (pattern_covers(e->allowed[i], name))
            return true;
    return false;
}

bool external_name_allowed(const struct class_ *k, struct str name) {
    return allows_name(k->config, name);
}

enum { PRIVATE_MAX = 256 };

static bool covers(const struct str *patterns, size_t n, struct str name) {
    for (size_t i = 0; i < n; i++) {
        struct str p = patterns[i];
        bool begins = p.n > 0 && p.p[p.n - 1] == '*';
        struct str head = begins ? str_mk(p.p, p.n - 1) : p;
        if (begins ? name.n >= head.n && str_eq_nocase(str_mk(name.p, head.n), head)
                   : str_eq_nocase(name, head))
            return true;
    }
    return false;
}

bool identity_header(const struct class_ *k, struct str name) {
    return covers(k->identity, k->n_identity, name);
}

/* Of our classes: each with its GatewayConfig, or NULL. */
static bool next_config(struct making *m, size_t *at, const struct kube_GatewayConfig **g) {
    size_t n;
    const struct resource *const *all =
        store_read_all(m->c->store, m->u->su, STR("IngressClass/all"), &n);
    while (*at < n) {
        const struct kube_IngressClass *k = resource_IngressClass(all[(*at)++]);
        if (!k || !str_eq(k->controller, STR("sluice.dev/ingress-controller")))
            continue;
        const struct resource *r = k->parameters
                                       ? store_read(m->c->store, m->u->su, KUBE_GatewayConfig,
                                                    STR_NONE, k->parameters->name)
                                       : NULL;
        *g = r ? resource_GatewayConfig(r) : NULL;
        return true;
    }
    return false;
}

bool class_identity(struct making *m, struct str name) {
    size_t n_usual, at = 0;
    const struct str *usual = class_identity_default(&n_usual);
    const struct kube_GatewayConfig *g;
    while (next_config(m, &at, &g))
        if (g && g->n_identity_headers > 0
                ? covers(g->identity_headers, g->n_identity_headers, name)
                : covers(usual, n_usual, name))
            return true;
    return at == 0 && covers(usual, n_usual, name);
}

static bool asks_clients(const struct kube_GatewayConfig *g, bool judged) {
    for (uint32_t i = 0; i < g->n_listeners; i++) {
        const struct kube_listener_tls *t = g->listeners[i].tls;
        const struct kube_client_validation *v = t ? t->client_validation : NULL;
        if (v && v->mode != MODEL_CLIENT_NONE && (!judged || v->mode != MODEL_CLIENT_REQUEST))
            return true;
    }
    return false;
}

bool class_asks_clients(struct making *m, bool judged) {
    const struct kube_GatewayConfig *g;
    size_t at = 0;
    while (next_config(m, &at, &g))
        if (g && asks_clients(g, judged))
            return true;
    return false;
}

bool class_external_name(struct making *m, struct str name) {
    const struct kube_GatewayConfig *g;
    size_t at = 0;
    while (next_config(m, &at, &g))
        if (allows_name(g, name))
            return true;
    return false;
}

struct unit_cidr *class_private_cidrs(struct making *m, uint32_t *n) {
    struct unit_cidr *all = arena_array(&m->a, PRIVATE_MAX, sizeof(*all));
    const struct kube_GatewayConfig *g;
    size_t at = 0;
    *n = 0;
    while (next_config(m, &at, &g))
        for (uint32_t i = 0; g && g->auth && i < g->auth->n_allowed_private_cidrs; i++)
            if (*n < PRIVATE_MAX &&
                unit_cidr(g->auth->allowed_private_cidrs[i], &all[*n], NULL) == 0)
                ++*n;
    return all;
}
