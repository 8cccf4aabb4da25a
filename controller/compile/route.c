/* SPDX-License-Identifier: Apache-2.0
 *
 * route: a Route into one model route for each of its rules, and what an Ingress shares with it.
 */
#include "controller/compile/route.h"

#include "controller/compile/attach.h"
#include "controller/compile/auth.h"
#include "controller/compile/twice.h"

/* ---- for Route and Ingress ---- */

int route_class(struct making *m, struct str named) {
    const struct at *at = AT(AT(NULL, "spec"), "ingressClassName");
    struct shown shown;
    switch (class_read(m, named, &m->class)) {
    case CLASS_OURS:
        return 0;
    case CLASS_WAIT:
        m->wait = true;
        return -1;
    case CLASS_FOREIGN:
        m->foreign = true;
        return -1;
    case CLASS_REFUSED:
        return refuse_as(m, "ClassNotAccepted", at,
                         "IngressClass %s is not accepted; its status says why",
                         why_show(named.n > 0 ? named : m->c->default_class, &shown));
    case CLASS_ABSENT:
    case CLASS_NO_DEFAULT:
        break;
    }
    m->gone = true;
    m->foreign = m->r->kind == KUBE_Ingress; /* nobody's: not ours to judge */
    if (named.n > 0)
        return refuse_as(m, "NoClass", at, "there is no IngressClass %s", why_show(named, &shown));
    return refuse_as(m, "NoClass", at,
                     "no class is named and no IngressClass is the default; name one, or mark one "
                     "with the annotation ingressclass.kubernetes.io/is-default-class: \"true\"");
}

static struct str team(struct making *m) {
    const struct str label = STR("sluice.dev/team");
    struct str t = resource_label(m->r, label);
    if (t.p)
        return t;
    const struct resource *ns =
        store_read(m->c->store, m->u->su, KUBE_Namespace, STR_NONE, m->r->meta.namespace);
    return ns ? resource_label(ns, label) : STR_NONE;
}

void route_base(struct making *m, enum model_route_source source,
                const struct kube_route_auth *auth, struct model_route *o) {
    *o = (struct model_route){.gateway = m->class->gateway,
                              .source = source,
                              .namespace = m->r->meta.namespace,
                              .name = m->r->meta.name,
                              .team = team(m),
                              .created = m->r->meta.created,
                              .auth = auth_of_route(m, auth)};
    if (why_set(&m->closed))
        o->refusal = MODEL_REFUSE_POLICY;
}

static const char *host_shown(struct making *m, struct str hostname) {
    if (hostname.n == 0)
        return "the place for requests of any host";
    return arena_fmt(&m->a, "host %.*s", STR_FMT(hostname)).p;
}

int route_claim(struct making *m) {
    const struct at *at = AT(AT(NULL, "spec"), m->r->kind == KUBE_Route ? "hostnames" : "rules");
    claims_take(m->c, m->u, m->class, m->hosts, m->n_hosts);
    m->claimed = true;
    if (claims_wait(m->u)) {
        m->wait = true;
        return -1;
    }
    size_t yes = 0;
    const char *no = NULL;
    for (size_t i = 0; i < m->n_hosts; i++) {
        const struct host_claim *k = claim_read(m, m->hosts[i]);
        const char *shown = host_shown(m, m->hosts[i]);
        must(k);
        if (k->answer == HOST_GRANTED) {
            yes++;
            if (k->host->contested && m->class->ownership == OWNER_OLDEST)
                warn(m, at,
                     "%s is claimed from another namespace too; it is served from here, "
                     "whose claim is the oldest",
                     shown);
            continue;
        }
        no = k->answer == HOST_TAKEN ? "belongs to another namespace, whose claim is older"
             : k->answer == HOST_RESERVED
                 ? "is still reserved for another namespace, which had it until just now"
                 : "is not assigned to this namespace (GatewayConfig spec.hostOwnership)";
        if (m->n_hosts > 1)
            warn(m, at, "%s %s; it is not served from here", shown, no);
        else
            refuse_as(m, "HostConflict", at, "%s %s", shown, no);
    }
    if (yes > 0)
        return 0;
    m->gone = true;
    return refuse_as(m, "HostConflict", at,
                     "none of its hosts may be served from this namespace: "
                     "each %s",
                     no ? no : "is taken");
}

void route_hosts(struct making *m, const struct str *hostnames, size_t n, struct model_route *o) {
    o->hosts = arena_array(&m->a, n, sizeof(struct str));
    o->n_hosts = 0;
    for (size_t i = 0; i < n; i++) {
        const struct host_claim *k = claim_read(m, hostnames[i]);
        if (k && k->answer == HOST_GRANTED)
            o->hosts[o->n_hosts++] = host_id(&m->a, m->class->name, hostnames[i]);
    }
}

/* The policy that should decide cannot be used. whole: it is not about this rule alone. */
static void close_for(struct making *m, const struct unit *p, bool whole, struct model_route *o) {
    const char *about = p->terms.blind ? "does not say what it targets" : "targets it";
    o->refusal = MODEL_REFUSE_POLICY;
    if (whole)
        close_all(m, NULL,
                  "TrafficPolicy %.*s %s and is refused, so requests are answered with 503 "
                  "policy_unavailable",
                  STR_FMT(p->name), about);
    else
        warn(m, NULL,
             "TrafficPolicy %.*s targets rule %.*s and is refused, so its requests are answered "
             "with 503 policy_unavailable",
             STR_FMT(p->name), STR_FMT(o->rule));
}

void route_traffic(struct making *m, struct str section, struct model_route *o) {
    struct str kind = str_of(kube_kinds[m->r->kind].kind);
    struct str ns = m->r->meta.namespace, name = m->r->meta.name;
    const struct unit *p = attached(m, UNIT_TRAFFIC, kind, ns, name, section);
    if (!p)
        return;
    if (p->terms.state == POLICY_CLOSED) {
        close_for(m, p, p == attached(m, UNIT_TRAFFIC, kind, ns, name, STR_NONE), o);
        return;
    }
    o->traffic = model_id(&m->a, MODEL_KIND_traffic, p->ns, p->name, STR_NONE);
    if (p->terms.limit >= 0)
        o->body_limit = p->terms.limit == 0 ? MODEL_NEVER : (uint64_t)p->terms.limit;
}

/* ---- Route ---- */

static void take_hostnames(struct making *m, const struct kube_Route *k) {
    m->n_hosts = k->n_hostnames > 0 ? k->n_hostnames : 1;
    m->hosts = arena_array(&m->a, m->n_hosts, sizeof(struct str));
    for (uint32_t i = 0; i < k->n_hostnames; i++)
        m->hosts[i] = k->hostnames[i];
}

static int backends_make(struct making *m, const struct at *at, const struct kube_route_rule *k,
                         struct model_route *o) {
    o->backends = arena_array(&m->a, k->n_backend_refs + 1, sizeof(*o->backends));
    uint64_t sum = 0;
    for (uint32_t i = 0; i < k->n_backend_refs; i++) {
        const struct kube_backend_ref *b = &k->backend_refs[i];
        const struct at *one = AT_I(at, "backendRefs", i);
        struct model_backend_ref *r = &o->backends[o->n_backends++];
        r->weight = b->weight < 0 ? 1 : (uint64_t)b->weight;
        sum += r->weight;
        bool service = b->kind.n == 0 || str_eq(b->kind, STR("Service"));
        if (b->port < 0 && service)
            return refuse(m, AT(one, "port"), "a Service needs a port; write its number");
        if (filters_make(m, one, k, b->filters, b->n_filters, true, &r->filters, &r->n_filters))
            return -1;
        struct ref ref = {.group = b->group,
                          .kind = b->kind,
                          .namespace = b->namespace,
                          .name = b->name,
                          .port = {.number = b->port < 0 ? 0 : (uint16_t)b->port}};
        r->backend = ref_resolve(m, one, &ref);
        if (r->backend.n == 0)
            r->status = 500;
    }
    bool answers = false;
    for (uint32_t i = 0; i < o->n_filters; i++)
        answers |= o->filters[i].type == MODEL_FILTER_REDIRECT ||
                   o->filters[i].type == MODEL_FILTER_DIRECT;
    if (sum > 0 || answers)
        return 0;
    if (k->n_backend_refs == 0)
        warn(m, at, "it has no backendRefs, so its requests are answered with 500 no_backend");
    else
        warn(m, AT(at, "backendRefs"),
             "all weights are 0, so its requests are answered with 500 no_backend");
    o->backends[0] = (struct model_backend_ref){.weight = 1, .status = 500};
    o->n_backends = 1;
    if (o->refusal == MODEL_REFUSE_NO)
        o->refusal = MODEL_REFUSE_NO_BACKEND;
    return 0;
}

static int rule_make(struct making *m, const struct at *at, const struct kube_route_rule *k,
                     const struct kube_route_auth *auth, struct model_route *o) {
    o->n_matches = k->n_matches;
    o->matches = arena_array(&m->a, k->n_matches, sizeof(*o->matches));
    for (uint32_t i = 0; i < k->n_matches; i++)
        if (match_make(m, AT_I(at, "matches", i), &k->matches[i], &o->matches[i]) != 0)
            return -1;
    if (filters_make(m, at, k, k->filters, k->n_filters, false, &o->filters, &o->n_filters) != 0 ||
        timeouts_make(m, AT(at, "timeouts"), k->timeouts, &o->timeouts) != 0 ||
        retry_make(m, AT(at, "retry"), k->retry, &o->retry) != 0)
        return -1;
    route_traffic(m, k->name, o);
    struct str policy = auth_of_rule(m, auth, o->rule);
    if (policy.n > 0)
        o->auth = policy;
    if (auth_conflicts(auth, policy))
        o->refusal = MODEL_REFUSE_POLICY;
    auth_tell_route(m, o->auth, policy.n > 0 ? o->rule : STR_NONE);
    o->origin = origin_of(m, m->r, at);
    return backends_make(m, at, k, o);
}

static int rules_make(struct making *m, const struct kube_Route *k, struct model_route *routes) {
    struct model_route base;
    route_base(m, MODEL_SOURCE_ROUTE, k->auth, &base);
    for (uint32_t i = 0; i < k->n_rules; i++) {
        const struct at *at = AT_I(AT(NULL, "spec"), "rules", i);
        struct model_route *o = &routes[i];
        *o = base;
        o->order = i;
        o->rule = k->rules[i].name.n > 0 ? k->rules[i].name : arena_fmt(&m->a, "rule-%u", i);
        for (uint32_t t = 0; t < i; t++)
            if (str_eq(routes[t].rule, o->rule))
                return refuse(m, AT(at, "name"), "rules[%u] has the name %.*s already", t,
                              STR_FMT(o->rule));
        if (rule_make(m, at, &k->rules[i], k->auth, o) != 0)
            return -1;
    }
    return 0;
}

void route_compile(struct making *m) {
    const struct kube_Route *k = resource_Route(m->r);
    if (!k) {
        m->why = *m->r->refused;
        return;
    }
    if (route_class(m, k->ingress_class_name) != 0)
        return;
    take_hostnames(m, k);
    struct model_route *routes = arena_array(&m->a, k->n_rules, sizeof(*routes));
    if (rules_make(m, k, routes) != 0 || route_tls(m, k->tls) != 0 || route_claim(m) != 0)
        return;
    route_certify(m);
    for (uint32_t i = 0; i < k->n_rules; i++) {
        route_hosts(m, m->hosts, m->n_hosts, &routes[i]);
        route_secure(m, m->tls[0], &routes[i]);
    }
    twice_take(m, routes, k->n_rules);
    for (uint32_t i = 0; i < k->n_rules; i++) {
        struct str id =
            model_id(&m->a, MODEL_KIND_route, routes[i].namespace, routes[i].name, routes[i].rule);
        if (make(m, MODEL_KIND_route, id, &routes[i]) != 0)
            return;
    }
}
