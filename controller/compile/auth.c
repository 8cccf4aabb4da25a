/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/auth.h"

#include "controller/compile/auth_parts.h"
#include "controller/compile/limits.h"
#include "controller/compile/route.h"
#include "lib/claims.h"

/* ---- methods ---- */

static bool key_make(struct making *m, const struct at *at, const struct kube_api_key *k,
                     struct model_auth_method_config *o) {
    static const struct model_value_source own = {MODEL_FROM_HEADER, {"x-api-key", 9}, {NULL, 0}};
    if (!auth_sources_are_good(m, at, k->from, k->n_from))
        return false;
    o->from = auth_sources(m, k->from, k->n_from, &own, &o->n_from);
    o->consumers = auth_scope(m, at, k->consumers);
    return true;
}

static bool method_make(struct making *m, const struct at *at, const struct kube_auth_method *k,
                        struct model_auth_method_config *o) {
    *o = (struct model_auth_method_config){.name = k->name, .optional = k->optional};
    const struct {
        const void *part;
        enum model_auth_method type;
        const char *name;
    } all[] = {
        {k->jwt, MODEL_AUTH_JWT, "jwt"},
        {k->api_key, MODEL_AUTH_API_KEY, "apiKey"},
        {k->basic, MODEL_AUTH_BASIC, "basic"},
        {k->hmac, MODEL_AUTH_HMAC, "hmac"},
        {k->client_certificate, MODEL_AUTH_CLIENT_CERTIFICATE, "clientCertificate"},
        {k->external, MODEL_AUTH_EXTERNAL, "external"},
        {k->introspection, MODEL_AUTH_INTROSPECTION, "introspection"},
        {k->oidc, MODEL_AUTH_OIDC, "oidc"},
        {k->anonymous, MODEL_AUTH_ANONYMOUS, "anonymous"},
    };
    size_t n = 0, which = 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].part) {
            n++;
            which = i;
        }
    if (n != 1) {
        refuse(m, at, "says %zu ways to prove who one is; write exactly one", n);
        return false;
    }
    o->type = all[which].type;
    switch (o->type) {
    case MODEL_AUTH_JWT:
        return auth_jwt_make(m, AT(at, "jwt"), k->jwt, o);
    case MODEL_AUTH_API_KEY:
        return key_make(m, AT(at, "apiKey"), k->api_key, o);
    case MODEL_AUTH_BASIC:
        return auth_basic_make(m, AT(at, "basic"), k->basic, o);
    case MODEL_AUTH_HMAC:
        return auth_hmac_make(m, AT(at, "hmac"), k->hmac, o);
    case MODEL_AUTH_CLIENT_CERTIFICATE:
        return auth_certificate_make(m, AT(at, "clientCertificate"), k->client_certificate, o);
    case MODEL_AUTH_EXTERNAL:
        return auth_external_make(m, AT(at, "external"), k->external, o);
    case MODEL_AUTH_INTROSPECTION:
        return auth_introspection_make(m, AT(at, "introspection"), k->introspection, o);
    case MODEL_AUTH_OIDC:
        return auth_oidc_make(m, AT(at, "oidc"), k->oidc, o);
    case MODEL_AUTH_ANONYMOUS:
        if (k->anonymous->consumer.n > 0)
            o->consumer = arena_fmt(&m->a, "%.*s/%.*s", STR_FMT(m->r->meta.namespace),
                                    STR_FMT(k->anonymous->consumer));
        return true;
    default:
        return auth_not_yet(m, AT(at, all[which].name), "this method");
    }
}

static bool methods_make(struct making *m, const struct at *spec, const struct kube_AuthPolicy *k,
                         struct model_auth *o) {
    o->methods = arena_array(&m->a, k->n_methods, sizeof(*o->methods));
    o->n_methods = k->n_methods;
    for (uint32_t i = 0; i < k->n_methods; i++)
        if (!method_make(m, AT_I(spec, "methods", i), &k->methods[i], &o->methods[i]))
            return false;
    return true;
}

/* ---- rules ---- */

/* "08:30"; the decoder has seen that it is one, up to 24:00. */
static uint64_t minute_of(struct str clock, uint64_t otherwise) {
    struct str hour, minute = str_cut(clock, ':', &hour);
    uint64_t h, mm;
    if (clock.n == 0 || !str_to_u64(hour, 24, &h) || !str_to_u64(minute, 59, &mm))
        return otherwise;
    return h * 60 + mm;
}

static bool time_make(struct making *m, const struct at *at, const struct kube_time_window *k,
                      struct model_auth_rule *o) {
    static const char days[][4] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    if (!k)
        return true;
    if (k->time_zone.n > 0 && !auth_zone_make(m, AT(at, "timeZone"), k->time_zone, o))
        return false;
    o->from_minute = minute_of(k->from, 0);
    o->to_minute = minute_of(k->to, 1440);
    for (uint32_t i = 0; i < k->n_days; i++)
        for (unsigned d = 0; d < ARRAY_LEN(days); d++)
            if (str_eq(k->days[i], str_of(days[d])))
                o->days |= (uint64_t)1 << d;
    return true;
}

static bool paths_make(struct making *m, const struct at *at, const struct kube_auth_rule *k,
                       struct model_auth_rule *o) {
    o->paths = arena_array(&m->a, k->n_paths, sizeof(*o->paths));
    o->n_paths = k->n_paths;
    for (uint32_t i = 0; i < k->n_paths; i++) {
        const struct kube_path_match *p = &k->paths[i];
        struct model_match made = {0};
        if (match_path(m, AT_I(at, "paths", i), p, &made) != 0)
            return false;
        o->paths[i] = (struct model_path_rule){made.path_type, made.path};
    }
    return true;
}

static bool names_a_method(const struct kube_AuthPolicy *k, struct str name) {
    for (uint32_t i = 0; i < k->n_methods; i++)
        if (str_eq(k->methods[i].name, name))
            return true;
    return false;
}

static struct str *consumers_named(struct making *m, const struct kube_auth_rule *k) {
    struct str *list = arena_array(&m->a, k->n_consumers, sizeof(*list));
    for (uint32_t i = 0; i < k->n_consumers; i++) {
        bool whole = str_find(k->consumers[i], '/', 0) < k->consumers[i].n;
        list[i] = whole ? k->consumers[i]
                        : arena_fmt(&m->a, "%.*s/%.*s", STR_FMT(m->r->meta.namespace),
                                    STR_FMT(k->consumers[i]));
    }
    return list;
}

static bool rule_fill(struct making *m, const struct at *at, const struct kube_AuthPolicy *p,
                      const struct kube_auth_rule *k, struct model_auth_rule *o) {
    struct shown shown;
    *o = (struct model_auth_rule){.name = k->name,
                                  .audit = k->audit,
                                  .action = k->action,
                                  .auth_methods = k->auth_methods,
                                  .n_auth_methods = k->n_auth_methods,
                                  .methods = k->methods,
                                  .n_methods = k->n_methods,
                                  .hosts = arena_array(&m->a, k->n_hostnames, sizeof(struct str)),
                                  .n_hosts = k->n_hostnames,
                                  .scopes = k->scopes,
                                  .n_scopes = k->n_scopes,
                                  .groups = k->groups,
                                  .n_groups = k->n_groups,
                                  .consumers = consumers_named(m, k),
                                  .n_consumers = k->n_consumers,
                                  .cidrs = k->cidrs,
                                  .n_cidrs = k->n_cidrs,
                                  .n_claims = k->n_claims};
    for (uint32_t i = 0; i < k->n_hostnames; i++)
        o->hosts[i] = lower(&m->a, k->hostnames[i]);
    for (uint32_t i = 0; i < k->n_auth_methods; i++)
        if (!names_a_method(p, k->auth_methods[i])) {
            refuse(m, AT_I(at, "authMethods", i),
                   "%s is no method of this policy; write the name of one of spec.methods",
                   why_show(k->auth_methods[i], &shown));
            return false;
        }
    o->claims = auth_claims(m, at, "claims", k->claims, k->n_claims);
    return o->claims && paths_make(m, at, k, o) && time_make(m, AT(at, "time"), k->time, o);
}

static bool rules_fill(struct making *m, const struct at *spec, const struct kube_AuthPolicy *k,
                       struct model_auth *o) {
    o->any_caller = k->n_authorize == 0;
    o->rules = arena_array(&m->a, k->n_authorize, sizeof(*o->rules));
    o->n_rules = k->n_authorize;
    for (uint32_t i = 0; i < k->n_authorize; i++)
        if (!rule_fill(m, AT_I(spec, "authorize", i), k, &k->authorize[i], &o->rules[i]))
            return false;
    return true;
}

/* ---- identity ---- */

static enum model_identity_from identity_from(struct str word) {
    return str_eq(word, STR("consumer"))            ? MODEL_IDENTITY_CONSUMER
           : str_eq(word, STR("method"))            ? MODEL_IDENTITY_METHOD
           : str_eq(word, STR("groups"))            ? MODEL_IDENTITY_GROUPS
           : str_eq(word, STR("scopes"))            ? MODEL_IDENTITY_SCOPES
           : str_eq(word, STR("consumer.customID")) ? MODEL_IDENTITY_CUSTOM_ID
                                                    : MODEL_IDENTITY_CLAIM;
}

static bool identity_make(struct making *m, const struct at *at, const struct kube_identity *k,
                          struct model_auth *o) {
    struct shown shown;
    if (!k)
        return true;
    struct model_identity *i = o->identity = arena_zalloc(&m->a, sizeof(*i));
    i->keep_credential = str_eq(k->credential, STR("Keep"));
    i->client_certificate = k->client_certificate;
    if (k->client_certificate)
        auth_needs_certificates(m, AT(at, "clientCertificate"), false);
    i->headers = arena_array(&m->a, k->n_headers, sizeof(*i->headers));
    i->n_headers = k->n_headers;
    for (uint32_t n = 0; n < k->n_headers; n++) {
        const struct kube_identity_header *h = &k->headers[n];
        struct model_identity_header *to = &i->headers[n];
        const struct at *one = AT_I(at, "headers", n);
        to->name = lower(&m->a, h->name);
        if ((h->from.n > 0) == (h->n_path > 0)) {
            refuse(m, one, "write exactly one of from and path");
            return false;
        }
        if (!class_identity(m, to->name)) {
            refuse(m, AT(one, "name"),
                   "%s is not an identity header, so clients could set it as well; use one that "
                   "GatewayConfig spec.identityHeaders covers (x-user*, x-consumer*, x-auth* by "
                   "default)",
                   why_show(h->name, &shown));
            return false;
        }
        to->from = h->n_path > 0 ? MODEL_IDENTITY_CLAIM : identity_from(h->from);
        if (to->from != MODEL_IDENTITY_CLAIM)
            continue;
        to->n_path = h->n_path > 0 ? h->n_path : 1;
        to->path = arena_array(&m->a, to->n_path, sizeof(struct str));
        for (uint32_t p = 0; p < to->n_path; p++)
            to->path[p] = h->n_path > 0 ? h->path[p] : h->from;
    }
    return !k->token || auth_token_make(m, AT(AT(at, "token"), "issue"), k->token->issue, i);
}

/* ---- a policy ---- */

bool auth_fill(struct making *m, const struct kube_AuthPolicy *k, struct model_auth *o) {
    const struct at *spec = AT(NULL, "spec");
    o->mode = k->mode;
    o->require = k->require;
    if (k->n_methods == 0 && k->n_authorize == 0) {
        refuse(m, spec, "neither methods nor authorize says who may call");
        return false;
    }
    o->failure_limit = failure_limit_make(m, AT(spec, "failureLimit"), k->failure_limit);
    if (k->failure_limit && !o->failure_limit)
        return false;
    return auth_token_is_alone(m, spec, k) && methods_make(m, spec, k, o) &&
           rules_fill(m, spec, k, o) && identity_make(m, AT(spec, "identity"), k->identity, o);
}

/* ---- for a route ---- */

static struct str policy_id(struct making *m, struct str ns, struct str name) {
    return model_id(&m->a, MODEL_KIND_auth, ns, name, STR_NONE);
}

static struct str by_reference(struct making *m, const struct kube_policy_ref *k) {
    const struct at *at = AT(AT(AT(NULL, "spec"), "auth"), "policyRef");
    struct str own = m->r->meta.namespace, ns = k->namespace.n > 0 ? k->namespace : own;
    if (!str_eq(ns, own) && !granted(m, m->r, STR("sluice.dev"), STR("AuthPolicy"), ns, k->name)) {
        close_as(m, "RefNotPermitted", at,
                 "the policy is in another namespace and no ReferenceGrant there allows this "
                 "reference, so every request is answered with 503 policy_unavailable");
        return STR_NONE;
    }
    if (!store_read(m->c->store, m->u->su, KUBE_AuthPolicy, ns, k->name))
        close_as(m, "PolicyNotFound", AT(at, "name"),
                 "there is no AuthPolicy %.*s, so every request is answered with 503 "
                 "policy_unavailable",
                 STR_FMT(k->name));
    return policy_id(m, ns, k->name);
}

bool auth_conflicts(const struct kube_route_auth *own, struct str targeting) {
    return own && targeting.n > 0;
}

static void conflict(struct making *m, const struct unit *policy) {
    close_as(m, "Conflicted", AT(AT(AT(NULL, "spec"), "auth"), "policyRef"),
             "AuthPolicy %.*s targets this object as well, and which one counts is not said, so "
             "every request is answered with 503 policy_unavailable; remove one of them",
             STR_FMT(policy->name));
}

struct str auth_of_route(struct making *m, const struct kube_route_auth *own) {
    struct str ns = m->r->meta.namespace, kind = str_of(kube_kinds[m->r->kind].kind);
    const struct unit *p = attached(m, UNIT_AUTH, kind, ns, m->r->meta.name, STR_NONE);
    if (own && p) {
        conflict(m, p);
        return STR_NONE;
    }
    if (own)
        return by_reference(m, own->policy_ref);
    if (!p)
        p = attached(m, UNIT_AUTH, STR("Namespace"), ns, ns, STR_NONE);
    return p ? policy_id(m, p->ns, p->name) : STR_NONE;
}

struct str auth_of_rule(struct making *m, const struct kube_route_auth *own, struct str rule) {
    const struct unit *p =
        attached_section(m, UNIT_AUTH, STR("Route"), m->r->meta.namespace, m->r->meta.name, rule);
    if (auth_conflicts(own, p ? p->name : STR_NONE))
        conflict(m, p);
    return p ? policy_id(m, p->ns, p->name) : STR_NONE;
}

/* ---- a policy's state, for the status of its routes ---- */

static bool is_closed(const struct unit *u) { return u->closed || u->terms.state == POLICY_CLOSED; }

void auth_tell(struct making *m) {
    struct unit *u = m->u;
    uint64_t fact = is_closed(u) ? 2 : 1;
    if (fact == u->fact)
        return;
    u->fact = fact;
    store_touch(m->c->store, policy_id(m, u->ns, u->name));
}

/* rule.n > 0: of that rule alone, and the others are as they are. */
static void tell_of(struct making *m, const char *which, struct str policy, struct str rule) {
    struct str name, ns, rest = str_cut(policy, '/', &ns);
    name = str_cut(rest, '/', &ns);
    store_read_key(m->c->store, m->u->su, policy);
    const struct unit *u = unit_find(m->c, UNIT_AUTH, ns, name, STR_NONE);
    bool there = store_read(m->c->store, m->u->su, KUBE_AuthPolicy, ns, name) != NULL;
    const char *fault = !there              ? "is not there"
                        : u && is_closed(u) ? "cannot be used (its status says why)"
                                            : NULL;
    if (!fault)
        return;
    if (rule.n > 0)
        warn(m, NULL,
             "AuthPolicy %.*s of rule %.*s %s, so its requests are answered with 503 "
             "policy_unavailable",
             STR_FMT(name), STR_FMT(rule), fault);
    else
        close_as(m, there ? "PolicyUnavailable" : "PolicyNotFound", NULL,
                 "%s AuthPolicy %.*s %s, so every request is answered with 503 "
                 "policy_unavailable",
                 which, STR_FMT(name), fault);
}

void auth_tell_route(struct making *m, struct str policy, struct str rule) {
    const struct kube_gateway_auth *g = m->class->config ? m->class->config->auth : NULL;
    const struct kube_policy_ref *usual = g ? g->default_policy_ref : NULL;
    const struct kube_policy_ref *all = g ? g->override_policy_ref : NULL;
    if (policy.n > 0)
        tell_of(m, "its", policy, rule);
    else if (usual)
        tell_of(m, "the gateway's default", policy_id(m, usual->namespace, usual->name), STR_NONE);
    if (all)
        tell_of(m, "the gateway's", policy_id(m, all->namespace, all->name), STR_NONE);
    if (g && g->required && policy.n == 0 && !usual && !all)
        close_as(m, "PolicyRequired", NULL,
                 "the class requires authentication (GatewayConfig spec.auth.required) and no "
                 "AuthPolicy covers it, so every request is answered with 503 policy_unavailable");
}
