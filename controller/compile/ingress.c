/* SPDX-License-Identifier: Apache-2.0
 *
 * ingress: an Ingress v1 into one model route for each of its paths, and one for its default
 * backend: that answers on each of its hosts where nothing else does, and for any host.
 */
#include "controller/compile/auth.h"
#include "controller/compile/route.h"
#include "controller/compile/twice.h"

struct ingress {
    struct making *m;
    const struct kube_Ingress *k;
    struct model_route base;
    struct model_route *routes;
    struct str *hosts; /* of each route its one hostname */
    size_t n;
};

static struct str class_name(const struct making *m, const struct kube_Ingress *k) {
    if (k->ingress_class_name.n > 0)
        return k->ingress_class_name;
    return resource_annotation(m->r, STR("kubernetes.io/ingress.class"));
}

/* ---- hosts ---- */

static bool label_ok(struct str l) {
    if (l.n == 0 || l.n > 63 || l.p[0] == '-' || l.p[l.n - 1] == '-')
        return false;
    for (size_t i = 0; i < l.n; i++) {
        char c = l.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

static int check_host(struct making *m, const struct at *at, struct str host) {
    struct str rest = str_starts(host, STR("*.")) ? str_skip(host, 2) : host, label = STR_NONE;
    struct shown shown;
    bool good = host.n <= 253, digits = true;
    while (good && rest.p) {
        rest = str_cut(rest, '.', &label);
        good = label_ok(label);
    }
    for (size_t i = 0; i < label.n && good; i++)
        digits &= label.p[i] >= '0' && label.p[i] <= '9';
    if (good && !digits)
        return 0;
    return refuse(m, at,
                  "%s is no hostname; write shop.example.com or *.example.com, in lower case, "
                  "without port and not as an address",
                  why_show(host, &shown));
}

static void add_host(struct making *m, struct str host) {
    for (size_t i = 0; i < m->n_hosts; i++)
        if (str_eq(m->hosts[i], host))
            return;
    m->hosts[m->n_hosts++] = host;
}

static int hosts_of(struct making *m, const struct kube_Ingress *k) {
    if (k->n_rules > INGRESS_RULES_MAX)
        return refuse(m, AT(AT(NULL, "spec"), "rules"), "%u rules are more than the limit of %d",
                      k->n_rules, INGRESS_RULES_MAX);
    m->hosts = arena_array(&m->a, k->n_rules + 1, sizeof(struct str));
    for (uint32_t i = 0; i < k->n_rules; i++) {
        const struct at *at = AT(AT_I(AT(NULL, "spec"), "rules", i), "host");
        struct str host = k->rules[i].host;
        if (host.n > 0 && check_host(m, at, host) != 0)
            return -1;
        add_host(m, host);
    }
    if (k->default_backend)
        add_host(m, STR(""));
    return 0;
}

/* ---- paths ---- */

static int backend_make(struct making *m, const struct at *at, const struct kube_ingress_backend *b,
                        struct model_route *o) {
    if (b->resource)
        return refuse(m, AT(at, "resource"),
                      "only Services can be called; put a service here instead of the resource");
    if (!b->service)
        return refuse(m, AT(at, "service"), "is missing; name the Service to call");
    const struct kube_port *port = &b->service->port;
    if (port->number == 0 && port->name.n == 0)
        return refuse(m, AT(AT(at, "service"), "port"), "is missing; write its number or its name");
    struct ref ref = {.name = b->service->name, .port = *port};
    o->backends = arena_zalloc(&m->a, sizeof(*o->backends));
    o->n_backends = 1;
    o->backends->weight = 1;
    o->backends->backend = ref_resolve(m, AT(at, "service"), &ref);
    if (o->backends->backend.n == 0)
        o->backends->status = 503;
    return 0;
}

static int path_make(struct making *m, const struct at *at, const struct kube_ingress_path *k,
                     struct model_match *o) {
    struct shown shown;
    struct str path = k->path;
    bool exact = str_eq(k->path_type, STR("Exact"));
    bool specific = str_eq(k->path_type, STR("ImplementationSpecific"));
    if (!exact && !specific && !str_eq(k->path_type, STR("Prefix")))
        return refuse(m, AT(at, "pathType"), "%s is not Exact, Prefix or ImplementationSpecific",
                      why_show(k->path_type, &shown));
    if (specific && path.n == 0)
        path = STR("/");
    if (path_check(m, AT(at, "path"), path) != 0 || path_check_free(m, AT(at, "path"), path) != 0)
        return -1;
    o->path_type = exact ? MODEL_PATH_EXACT : MODEL_PATH_PREFIX;
    o->path = exact ? path : path_prefix(path);
    return 0;
}

static int add_path(struct ingress *g, uint32_t i, uint32_t j) {
    struct making *m = g->m;
    const struct kube_ingress_rule *rule = &g->k->rules[i];
    const struct at *at = AT_I(AT(AT_I(AT(NULL, "spec"), "rules", i), "http"), "paths", j);
    struct model_route *o = &g->routes[g->n];
    *o = g->base;
    o->order = g->n;
    o->rule = arena_fmt(&m->a, "%u.%u", i, j);
    o->origin = origin_of(m, m->r, at);
    o->matches = arena_zalloc(&m->a, sizeof(*o->matches));
    o->n_matches = 1;
    if (path_make(m, at, &rule->http->paths[j], o->matches) != 0 ||
        backend_make(m, AT(at, "backend"), rule->http->paths[j].backend, o) != 0)
        return -1;
    g->hosts[g->n++] = rule->host;
    return 0;
}

static int add_default(struct ingress *g) {
    struct making *m = g->m;
    const struct at *at = AT(AT(NULL, "spec"), "defaultBackend");
    struct model_route *o = &g->routes[g->n];
    *o = g->base;
    o->order = g->n;
    o->fallback = true;
    o->rule = STR("default");
    o->origin = origin_of(m, m->r, at);
    if (backend_make(m, at, g->k->default_backend, o) != 0)
        return -1;
    g->n++;
    return 0;
}

static size_t count_paths(const struct kube_Ingress *k) {
    size_t n = 0;
    for (uint32_t i = 0; i < k->n_rules; i++)
        n += k->rules[i].http ? k->rules[i].http->n_paths : 0;
    return n;
}

static int all_routes(struct ingress *g) {
    struct making *m = g->m;
    for (uint32_t i = 0; i < g->k->n_rules; i++) {
        const struct kube_ingress_rule *rule = &g->k->rules[i];
        if (!rule->http && !g->k->default_backend)
            warn(m, AT_I(AT(NULL, "spec"), "rules", i),
                 "it has no paths and there is no defaultBackend, so it serves nothing");
        for (uint32_t j = 0; rule->http && j < rule->http->n_paths; j++)
            if (add_path(g, i, j) != 0)
                return -1;
    }
    return g->k->default_backend ? add_default(g) : 0;
}

static int check(struct making *m, const struct kube_Ingress *k, size_t paths) {
    const struct at *spec = AT(NULL, "spec");
    if (paths > INGRESS_PATHS_MAX)
        return refuse(m, AT(spec, "rules"), "%zu paths are more than the limit of %d", paths,
                      INGRESS_PATHS_MAX);
    if (k->n_rules == 0 && !k->default_backend)
        return refuse(m, spec, "there are neither rules nor a defaultBackend; write one of them");
    return 0;
}

static struct model_route_tls *tls_of(const struct making *m, struct str host) {
    for (size_t i = 0; i < m->n_hosts; i++)
        if (str_eq(m->hosts[i], host))
            return m->tls[i];
    return NULL;
}

static bool same_tls(const struct model_route_tls *a, const struct model_route_tls *b) {
    return a == b || (a && b && model_equal(&model_struct_route_tls, a, b));
}

/* The default backend is one route for all hosts without TLS, and one for those that have the same
 * of it: "default", "default.0", "default.1". */
static void spread_default(struct ingress *g, const struct model_route *fallback) {
    struct making *m = g->m;
    struct str *names = arena_array(&m->a, m->n_hosts, sizeof(struct str));
    bool *done = arena_array(&m->a, m->n_hosts, sizeof(bool));
    unsigned secured = 0;
    for (size_t i = 0; i < m->n_hosts; i++) {
        size_t n = 0;
        for (size_t k = i; k < m->n_hosts && !done[i]; k++)
            if (!done[k] && same_tls(m->tls[i], m->tls[k])) {
                names[n++] = m->hosts[k];
                done[k] = k != i;
            }
        if (n == 0)
            continue;
        struct model_route *o = &g->routes[g->n];
        *o = *fallback;
        o->order = g->n++;
        if (m->tls[i])
            o->rule = arena_fmt(&m->a, "default.%u", secured++);
        route_hosts(m, names, n, o);
        route_secure(m, m->tls[i], o);
    }
}

static void give_hosts(struct ingress *g) {
    size_t n = g->n;
    for (size_t i = 0; i < n; i++) {
        struct model_route *o = &g->routes[i];
        if (o->fallback) { /* the last one */
            const struct model_route fallback = *o;
            g->n--;
            spread_default(g, &fallback);
            return;
        }
        route_hosts(g->m, &g->hosts[i], 1, o);
        route_secure(g->m, tls_of(g->m, g->hosts[i]), o);
    }
}

void ingress_compile(struct making *m) {
    const struct kube_Ingress *k = resource_Ingress(m->r);
    if (!k) {
        m->why = *m->r->refused;
        return;
    }
    if (route_class(m, class_name(m, k)) != 0 || hosts_of(m, k) != 0)
        return;
    size_t paths = count_paths(k);
    if (check(m, k, paths) != 0)
        return;
    foreign_annotations(m, m->class);
    struct ingress g = {.m = m, .k = k};
    g.routes = arena_array(&m->a, paths + m->n_hosts, sizeof(*g.routes));
    g.hosts = arena_array(&m->a, paths + 1, sizeof(*g.hosts));
    route_base(m, MODEL_SOURCE_INGRESS, NULL, &g.base);
    auth_tell_route(m, g.base.auth, STR_NONE);
    g.base.one_label = true;
    g.base.body_limit = m->class->ingress_body_limit;
    route_traffic(m, STR_NONE, &g.base);
    if (all_routes(&g) != 0 || ingress_tls(m, k) != 0 || route_claim(m) != 0)
        return;
    route_certify(m);
    give_hosts(&g);
    twice_take(m, g.routes, g.n);
    struct str owner = arena_fmt(&m->a, "ingress:%.*s", STR_FMT(m->r->meta.name));
    for (size_t i = 0; i < g.n; i++) {
        struct model_route *o = &g.routes[i];
        struct str id = model_id(&m->a, MODEL_KIND_route, o->namespace, owner, o->rule);
        if (o->n_hosts > 0 && make(m, MODEL_KIND_route, id, o) != 0)
            return;
    }
}
