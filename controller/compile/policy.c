/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/policy.h"
#include "lib/chars.h"

#include "controller/compile/auth.h"
#include "controller/compile/limits.h"
#include "controller/compile/route.h"
#include "controller/compile/upstream.h"
#include "lib/hash.h"

/* ---- targets ---- */

static int check_target(struct making *m, const struct at *at, const struct kube_target_ref *t) {
    bool auth = m->r->kind == KUBE_AuthPolicy;
    const char *third = auth ? "Namespace" : "Service";
    bool route = str_eq(t->kind, STR("Route")), ingress = str_eq(t->kind, STR("Ingress"));
    struct shown shown;
    if (!str_eq(t->kind, str_of(third)) && !route && !ingress)
        return refuse(m, AT(at, "kind"), "%s cannot be targeted; a %s, Route or Ingress can",
                      why_show(t->kind, &shown), third);
    const char *group = route ? "sluice.dev" : ingress ? "networking.k8s.io" : "";
    if (!str_eq(t->group, str_of(group)))
        return refuse(m, AT(at, "group"), "%s is not the group of %.*s, which is \"%s\"",
                      why_show(t->group, &shown), STR_FMT(t->kind), group);
    if (t->namespace.n > 0 && !str_eq(t->namespace, m->r->meta.namespace))
        return refuse(m, AT(at, "namespace"),
                      "a policy targets only its own namespace; create it where its target is");
    if (t->section_name.n > 0 && !route)
        return refuse(m, AT(at, "sectionName"), "only a Route has rules that can be named");
    return 0;
}

static bool has_rule(const struct kube_Route *k, struct str name) {
    for (uint32_t i = 0; k && i < k->n_rules; i++)
        if (str_eq(k->rules[i].name, name))
            return true;
    return false;
}

static void look_at_target(struct making *m, const struct at *at, const struct kube_target_ref *t) {
    enum kube_kind kind = kube_kind_of(t->group, t->kind);
    bool whole = kind == KUBE_Namespace;
    const struct resource *r =
        store_read(m->c->store, m->u->su, kind, whole ? STR_NONE : m->r->meta.namespace, t->name);
    if (whole && !str_eq(t->name, m->r->meta.namespace))
        unresolved(m, "TargetNotFound", AT(at, "name"),
                   "a policy targets only its own namespace, which is %.*s",
                   STR_FMT(m->r->meta.namespace));
    else if (whole)
        return;
    else if (!r)
        unresolved(m, "TargetNotFound", AT(at, "name"), "there is no %.*s %.*s", STR_FMT(t->kind),
                   STR_FMT(t->name));
    else if (t->section_name.n > 0 && !has_rule(resource_Route(r), t->section_name))
        unresolved(m, "TargetNotFound", AT(at, "sectionName"),
                   "Route %.*s has no rule that is named %.*s (a default name as rule-0 does not "
                   "count)",
                   STR_FMT(t->name), STR_FMT(t->section_name));
}

static int targets(struct making *m, const struct kube_target_ref *refs, uint32_t n) {
    const struct at *spec = AT(NULL, "spec");
    for (uint32_t i = 0; i < n; i++) {
        const struct at *at = AT_I(spec, "targetRefs", i);
        if (check_target(m, at, &refs[i]) != 0)
            return -1;
        for (uint32_t t = 0; t < i; t++)
            if (str_eq(refs[t].kind, refs[i].kind) && str_eq(refs[t].name, refs[i].name) &&
                str_eq(refs[t].section_name, refs[i].section_name))
                return refuse(m, at, "the same as targetRefs[%u]; remove one", t);
        look_at_target(m, at, &refs[i]);
    }
    return 0;
}

/* The older of two policies for the same wins; the other one says so. */
static void say_conflicts(struct making *m, const struct kube_target_ref *refs, uint32_t n) {
    uint32_t lost = 0;
    for (uint32_t i = 0; i < n; i++)
        lost += attach_loses(m, &refs[i]) ? 1 : 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct at *at = AT_I(AT(NULL, "spec"), "targetRefs", i);
        if (!attach_loses(m, &refs[i]))
            continue;
        if (lost == n)
            refuse_as(m, "Conflicted", at, "an older policy targets %.*s %.*s as well, and counts",
                      STR_FMT(refs[i].kind), STR_FMT(refs[i].name));
        else
            warn(m, at, "an older policy targets %.*s %.*s as well, and counts there",
                 STR_FMT(refs[i].kind), STR_FMT(refs[i].name));
    }
}

/* ---- what the API server may have lost ---- */

static struct str outdated_key(char room[64], enum kube_kind kind) {
    struct out o = out_fixed(room, 64);
    out_fmt(&o, "outdated/%s", kube_kinds[kind].kind);
    return out_done(&o);
}

void compile_outdated(struct compiler *c, enum kube_kind kind, bool outdated) {
    char room[64];
    if (c->outdated[kind] == outdated)
        return;
    c->outdated[kind] = outdated;
    store_touch(c->store, outdated_key(room, kind));
}

/* Says so when it is: fields that make the policy strict may be missing from it. */
static bool is_outdated(struct making *m, const char *effect) {
    char room[64];
    enum kube_kind kind = m->r->kind;
    store_read_key(m->c->store, m->u->su, outdated_key(room, kind));
    if (!m->c->outdated[kind])
        return false;
    close_as(m, "CRDOutdated", NULL,
             "CustomResourceDefinition %s.%s is older than this controller, so that fields of this "
             "object may have been lost without a word; %s until the ones of this version are "
             "applied (`sluicectl crds | kubectl apply --server-side -f -`)",
             kube_kinds[kind].plural, kube_kinds[kind].group, effect);
    return true;
}

/* ---- TrafficPolicy ---- */

static uint64_t or_zero(int64_t v) { return v < 0 ? 0 : (uint64_t)v; }

static int passive_make(struct making *m, const struct at *at, const struct kube_passive *k,
                        struct model_passive_health **o) {
    if (!k)
        return 0;
    struct model_passive_health *p = *o = arena_zalloc(&m->a, sizeof(*p));
    p->consecutive_errors = k->consecutive_errors < 0 ? 5 : (uint64_t)k->consecutive_errors;
    p->max_ejected_percent = or_zero(k->max_ejected_percent);
    if (span_make(m, at, "ejection", k->ejection, false, &p->ejection_ms) != 0 ||
        span_make(m, at, "maxEjection", k->max_ejection, false, &p->max_ejection_ms) != 0)
        return -1;
    if (p->max_ejection_ms > 0 && p->max_ejection_ms < p->ejection_ms)
        return refuse(m, AT(at, "maxEjection"), "less than ejection, the first one");
    return 0;
}

/* Behind these stands HTTP again, which nobody would look at (S08). */
static bool carries_http(struct str protocol) {
    static const struct str names[] = {{"h2c", 3}, {"h2", 2}, {"http", 4}, {"tls", 3}};
    struct str name;
    str_cut(protocol, '/', &name);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}

static bool is_protocol(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!char_is(s.p[i], CHAR_TOKEN) && s.p[i] != '/')
            return false;
    return s.n > 0;
}

static int upgrades_make(struct making *m, const struct at *at, const struct kube_upgrades *k,
                         struct model_upgrades **o) {
    if (!k)
        return 0;
    struct model_upgrades *u = *o = arena_zalloc(&m->a, sizeof(*u));
    struct shown shown;
    u->n_protocols = k->n_protocols;
    u->protocols = arena_array(&m->a, k->n_protocols, sizeof(*u->protocols));
    for (uint32_t i = 0; i < k->n_protocols; i++) {
        u->protocols[i] = lower(&m->a, k->protocols[i]);
        if (!is_protocol(u->protocols[i]))
            return refuse(m, AT_I(at, "protocols", i),
                          "%s is not one protocol as the Upgrade header names it",
                          why_show(k->protocols[i], &shown));
        if (carries_http(u->protocols[i]))
            return refuse(m, AT_I(at, "protocols", i),
                          "%s would carry requests past all routes and policies; leave it out",
                          why_show(k->protocols[i], &shown));
    }
    return span_make(m, at, "idle", k->idle, true, &u->idle_ms) != 0 ||
                   span_make(m, at, "maxAge", k->max_age, true, &u->max_age_ms) != 0
               ? -1
               : 0;
}

static int connection_make(struct making *m, const struct at *at, const struct kube_connection *k,
                           struct model_connection **o) {
    if (!k)
        return 0;
    struct model_connection *c = *o = arena_zalloc(&m->a, sizeof(*c));
    c->max_connections = or_zero(k->max_connections);
    c->max_pending = or_zero(k->max_pending);
    c->max_requests = or_zero(k->max_requests);
    if (upgrades_make(m, AT(at, "upgrades"), k->upgrades, &c->upgrades) != 0)
        return -1;
    c->proxy_version = k->proxy_protocol;
    c->protocol = k->protocol;
    if (c->protocol == MODEL_PROTOCOL_H2C && k->tls)
        return refuse(m, AT(at, "protocol"),
                      "h2c is HTTP/2 in clear, and tls is there; write h2, or remove tls");
    return span_make(m, at, "keepAliveIdle", k->keep_alive_idle, false, &c->keepalive_idle_ms);
}

/* What every Service that it targets will find; nothing is made of it here. */
static int look_at_tls(struct making *m, const struct kube_TrafficPolicy *k) {
    const struct kube_upstream_tls *tls = k->connection ? k->connection->tls : NULL;
    struct model_upstream_tls o;
    bool h2 = k->connection && k->connection->protocol == MODEL_PROTOCOL_H2;
    for (uint32_t i = 0; (tls || h2) && i < k->n_target_refs; i++)
        if (!str_eq(k->target_refs[i].kind, STR("Service")))
            return refuse(m, AT(AT(AT(NULL, "spec"), "connection"), tls ? "tls" : "protocol"),
                          "whom endpoints are is said for their Service; target that instead of "
                          "the %.*s",
                          STR_FMT(k->target_refs[i].kind));
    if (tls)
        (void)!upstream_tls(m, m->r, tls, STR("any"), &o);
    return 0;
}

static int traffic_fill(struct making *m, const struct kube_TrafficPolicy *k,
                        struct model_traffic *o) {
    const struct at *spec = AT(NULL, "spec");
    if (k->load_balancer) {
        o->balance = k->load_balancer->type;
        if (o->balance != MODEL_ROUND_ROBIN && o->balance != MODEL_LEAST_REQUEST)
            return refuse_as(m, "NotSupported", AT(AT(spec, "loadBalancer"), "type"),
                             "%s is not supported yet; RoundRobin and LeastRequest are",
                             model_word(&model_words_balance, o->balance));
    }
    if (timeouts_make(m, AT(spec, "timeouts"), k->timeouts, &o->timeouts) != 0 ||
        retry_make(m, AT(spec, "retry"), k->retry, &o->retry) != 0)
        return -1;
    if (k->health_check && passive_make(m, AT(AT(spec, "healthCheck"), "passive"),
                                        k->health_check->passive, &o->passive_health) != 0)
        return -1;
    if (connection_make(m, AT(spec, "connection"), k->connection, &o->connection) != 0)
        return -1;
    if (look_at_tls(m, k) != 0)
        return -1;
    bool proxy = o->connection && o->connection->proxy_version != MODEL_PROXY_NONE;
    for (uint32_t i = 0; proxy && i < k->n_target_refs; i++)
        if (!str_eq(k->target_refs[i].kind, STR("Service")))
            return refuse(m, AT(AT(spec, "connection"), "proxyProtocol"),
                          "what connections begin with is said for the Service that they go to; "
                          "target that instead of the %.*s",
                          STR_FMT(k->target_refs[i].kind));
    for (uint32_t i = 0; k->body_limit >= 0 && i < k->n_target_refs; i++)
        if (str_eq(k->target_refs[i].kind, STR("Service")))
            return refuse(m, AT(spec, "bodyLimit"),
                          "a body is limited before a backend is chosen; target the Route or the "
                          "Ingress instead of a Service");
    for (uint32_t i = 0; k->n_rate_limits > 0 && i < k->n_target_refs; i++)
        if (str_eq(k->target_refs[i].kind, STR("Service")))
            return refuse(m, AT(spec, "rateLimits"),
                          "requests are counted before a backend is chosen; target the Route or "
                          "the Ingress instead of a Service");
    if (limits_make(m, spec, k->rate_limits, k->n_rate_limits, &o->rate_limits) != 0)
        return -1;
    o->n_rate_limits = k->n_rate_limits;
    if (k->body_limit >= 0)
        o->body_limit = k->body_limit == 0 ? MODEL_NEVER : (uint64_t)k->body_limit;
    return 0;
}

/* For the fleet to remember. */
static struct str *targets_make(struct making *m, const struct kube_target_ref *refs, uint32_t n) {
    struct str *list = arena_array(&m->a, n, sizeof(*list));
    for (uint32_t i = 0; i < n; i++) {
        const struct kube_target_ref *t = &refs[i];
        list[i] = arena_fmt(&m->a, "%.*s/%.*s%s%.*s", STR_FMT(t->kind), STR_FMT(t->name),
                            t->section_name.n > 0 ? "/" : "", STR_FMT(t->section_name));
    }
    return list;
}

void traffic_compile(struct making *m) {
    const struct kube_TrafficPolicy *k = resource_TrafficPolicy(m->r);
    if (!k) {
        m->why = *m->r->refused;
        return;
    }
    is_outdated(m, "what is left of it counts");
    struct model_traffic o = {.origin = origin_of(m, m->r, NULL)};
    if (targets(m, k->target_refs, k->n_target_refs) != 0)
        return;
    if (traffic_fill(m, k, &o) != 0)
        return;
    o.targets = targets_make(m, k->target_refs, k->n_target_refs);
    o.n_targets = k->n_target_refs;
    make(m, MODEL_KIND_traffic,
         model_id(&m->a, MODEL_KIND_traffic, m->r->meta.namespace, m->r->meta.name, STR_NONE), &o);
}

/* ---- AuthPolicy, Consumer ---- */

void auth_compile(struct making *m) {
    const struct kube_AuthPolicy *k = resource_AuthPolicy(m->r);
    if (!k) {
        m->why = *m->r->refused;
        return;
    }
    if (targets(m, k->target_refs, k->n_target_refs) != 0)
        return;
    struct model_origin *origin = origin_of(m, m->r, NULL);
    struct model_auth o = {.origin = origin};
    bool good =
        !is_outdated(m, "everything that it targets is answered with 503 policy_unavailable") &&
        auth_fill(m, k, &o);
    if (why_set(&m->why))
        return;
    if (!m->keep)
        m->u->closed = !good;
    if (!good)
        o = (struct model_auth){.origin = origin, .refusal = MODEL_REFUSE_POLICY};
    o.targets = targets_make(m, k->target_refs, k->n_target_refs);
    o.n_targets = k->n_target_refs;
    make(m, MODEL_KIND_auth,
         model_id(&m->a, MODEL_KIND_auth, m->r->meta.namespace, m->r->meta.name, STR_NONE), &o);
}

void consumer_compile(struct making *m) {
    const struct kube_Consumer *k = resource_Consumer(m->r);
    if (!k)
        m->why = *m->r->refused;
    else if (!is_outdated(m, "none of its credentials counts"))
        consumer_make(m, k);
}

/* Backends read what the last good version says of TLS. */
static void traffic_tell(struct making *m) {
    struct unit *u = m->u;
    if (u->fact == u->good->hash)
        return;
    u->fact = u->good->hash;
    store_touch(m->c->store, model_id(&m->a, MODEL_KIND_traffic, u->ns, u->name, STR_NONE));
}

void policy_attach(struct making *m) {
    const struct resource *good = m->u->good;
    struct policy_terms terms = {.state = POLICY_GOOD, .limit = -1, .created = good->meta.created};
    if (good->kind == KUBE_TrafficPolicy) {
        const struct kube_TrafficPolicy *k = resource_TrafficPolicy(good);
        terms.limit = k->body_limit;
        attach_take(m, k->target_refs, k->n_target_refs, &terms);
        traffic_tell(m);
        if (!why_set(&m->why))
            say_conflicts(m, k->target_refs, k->n_target_refs);
    } else {
        const struct kube_AuthPolicy *k = resource_AuthPolicy(good);
        attach_take(m, k->target_refs, k->n_target_refs, &terms);
        auth_tell(m);
        if (!why_set(&m->why))
            say_conflicts(m, k->target_refs, k->n_target_refs);
    }
}

/* ---- one that cannot be used ---- */

/* One that is decoded, and was refused for what it says, is no other than one that is not. */
static struct kube_named all_named(const struct resource *r) {
    if (r->refused)
        return *resource_named(r);
    if (r->kind == KUBE_AuthPolicy)
        return (struct kube_named){resource_AuthPolicy(r)->target_refs,
                                   resource_AuthPolicy(r)->n_target_refs, false};
    return (struct kube_named){resource_TrafficPolicy(r)->target_refs,
                               resource_TrafficPolicy(r)->n_target_refs, false};
}

/* Whether there can be such a thing, and a policy of that kind for it in its own namespace. */
static bool may_target(const struct making *m, const struct kube_target_ref *t) {
    bool auth = m->r->kind == KUBE_AuthPolicy;
    bool own = t->namespace.n == 0 || str_eq(t->namespace, m->r->meta.namespace);
    return own && t->name.n > 0 &&
           (str_eq(t->kind, STR("Route")) || str_eq(t->kind, STR("Ingress")) ||
            str_eq(t->kind, auth ? STR("Namespace") : STR("Service")));
}

static struct kube_named names_now(struct making *m) {
    struct kube_named all = all_named(m->r);
    struct kube_named o = {arena_array(&m->a, all.n + 1, sizeof(*o.refs)), 0, all.blind};
    for (uint32_t i = 0; i < all.n && !all.blind; i++) {
        struct kube_target_ref *t = &o.refs[o.n];
        *t = all.refs[i];
        if (!str_eq(t->kind, STR("Route")))
            t->section_name = STR_NONE;
        o.n += may_target(m, t);
    }
    if (all.blind)
        o.refs[o.n++] =
            (struct kube_target_ref){.kind = STR("Namespace"), .name = m->r->meta.namespace};
    return o;
}

/* As the fleet has it. False: it does not, or was not asked yet. */
static bool remembered(struct making *m, struct policy_terms *terms, struct kube_named *names) {
    const struct objects *o = &m->u->objects;
    const struct model_traffic *k = NULL;
    const struct model_auth *auth = NULL;
    for (size_t i = 0; m->u->restored && i < o->n; i++)
        if (o->v[i]->kind == MODEL_KIND_traffic)
            k = object_decode(o->v[i], &m->a, NULL);
        else if (o->v[i]->kind == MODEL_KIND_auth)
            auth = object_decode(o->v[i], &m->a, NULL);
    if (!k && !auth)
        return false;
    const struct str *targets = k ? k->targets : auth->targets;
    uint32_t n = k ? k->n_targets : auth->n_targets;
    *names = (struct kube_named){arena_array(&m->a, n + 1, sizeof(*names->refs)), 0, false};
    for (uint32_t i = 0; i < n; i++) {
        struct kube_target_ref *t = &names->refs[names->n++];
        t->section_name = str_cut(str_cut(targets[i], '/', &t->kind), '/', &t->name);
    }
    if (!k)
        return true;
    terms->limit = k->body_limit == MODEL_NEVER ? 0
                   : k->body_limit > 0          ? (int64_t)k->body_limit
                                                : -1;
    return true;
}

/* Behind the sentence of the refusal. */
static void say_closed(struct making *m, const struct kube_named *names) {
    struct why whole = m->why;
    size_t n = strlen(whole.text);
    const char *end = n > 0 && whole.text[n - 1] == '?' ? "" : ".";
    const char *all = m->r->kind == KUBE_AuthPolicy ? "every Route and Ingress"
                                                    : "every Service, Route and Ingress";
    m->why.text[0] = 0;
    if (names->blind)
        why_text(&m->why,
                 "%s%s It does not say what it targets: until this is corrected %s of its "
                 "namespace is answered with 503 policy_unavailable",
                 whole.text, end, all);
    else
        why_text(&m->why,
                 "%s%s Until this is corrected what it targets is answered with 503 "
                 "policy_unavailable",
                 whole.text, end);
}

void policy_hold(struct making *m) {
    struct policy_terms terms = {
        .state = POLICY_REMEMBERED, .limit = -1, .created = m->r->meta.created};
    struct kube_named names = names_now(m), then;
    bool was = remembered(m, &terms, &then);
    if (was && (then.n > 0 || !names.blind)) { /* an older controller noted none */
        if (then.n > 0)
            names = then;
    } else {
        terms = (struct policy_terms){.state = POLICY_CLOSED,
                                      .blind = names.blind,
                                      .limit = -1,
                                      .created = m->r->meta.created};
        if (names.n > 0)
            say_closed(m, &names);
    }
    attach_take(m, names.refs, names.n, &terms);
    if (m->r->kind == KUBE_AuthPolicy)
        auth_tell(m);
}
