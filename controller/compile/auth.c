/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/auth.h"

#include "controller/compile/fetched.h"
#include "controller/compile/material.h"
#include "controller/compile/route.h"
#include "controller/compile/upstream.h"
#include "lib/claims.h"
#include "lib/jwt_keys.h"
#include "lib/pem.h"
#include "lib/regex.h"

#include <stdlib.h>

enum { REFRESH_MS = 5 * 60 * 1000, MAX_STALE_MS = 24 * 60 * 60 * 1000 };

static bool not_yet(struct making *m, const struct at *at, const char *what) {
    refuse_as(m, "NotSupported", at, "%s is not supported yet; remove it", what);
    return false;
}

/* ---- small parts ---- */

static struct model_value_source *sources(struct making *m, const struct kube_value_source *k,
                                          uint32_t n, const struct model_value_source *otherwise,
                                          uint32_t *n_made) {
    if (n == 0) {
        struct model_value_source *one = arena_alloc(&m->a, sizeof(*one));
        *one = *otherwise;
        *n_made = 1;
        return one;
    }
    struct model_value_source *list = arena_array(&m->a, n, sizeof(*list));
    for (uint32_t i = 0; i < n; i++) {
        list[i].from = k[i].header.n > 0   ? MODEL_FROM_HEADER
                       : k[i].cookie.n > 0 ? MODEL_FROM_COOKIE
                                           : MODEL_FROM_QUERY;
        list[i].name = k[i].header.n > 0   ? lower(&m->a, k[i].header)
                       : k[i].cookie.n > 0 ? k[i].cookie
                                           : k[i].query;
        list[i].prefix = k[i].prefix;
    }
    *n_made = n;
    return list;
}

static bool sources_are_good(struct making *m, const struct at *at,
                             const struct kube_value_source *k, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if ((k[i].header.n > 0) + (k[i].cookie.n > 0) + (k[i].query.n > 0) != 1 ||
            (k[i].prefix.n > 0 && k[i].header.n == 0)) {
            refuse(m, AT_I(at, "from", i),
                   "write exactly one of header, cookie and query; prefix belongs to header");
            return false;
        }
    return true;
}

/* Other namespaces count where they allow it. Labels must all be there. */
static struct model_consumer_scope *scope(struct making *m, const struct at *at,
                                          const struct kube_consumer_scope *k) {
    struct model_consumer_scope *o = arena_zalloc(&m->a, sizeof(*o));
    struct str own = m->r->meta.namespace;
    uint32_t n = k ? k->n_namespaces : 0;
    o->namespaces = arena_array(&m->a, n + 1, sizeof(struct str));
    if (n == 0)
        o->namespaces[o->n_namespaces++] = own;
    for (uint32_t i = 0; i < n; i++) {
        struct str ns = k->namespaces[i];
        if (str_eq(ns, own) || granted(m, m->r, STR("sluice.dev"), STR("Consumer"), ns, STR_NONE))
            o->namespaces[o->n_namespaces++] = ns;
        else
            unresolved(m, "RefNotPermitted", AT_I(AT(at, "consumers"), "namespaces", i),
                       "no ReferenceGrant in namespace %.*s allows this policy its Consumers, so "
                       "they do not count",
                       STR_FMT(ns));
    }
    if (!k || !k->selector)
        return o;
    o->n_labels = k->selector->n_match_labels;
    o->labels = arena_array(&m->a, o->n_labels, sizeof(*o->labels));
    for (uint32_t i = 0; i < o->n_labels; i++)
        o->labels[i] = (struct model_label){k->selector->match_labels[i].key,
                                            k->selector->match_labels[i].value};
    return o;
}

static enum model_claim_type claim_type(struct str word) {
    return str_eq(word, STR("Contains"))            ? MODEL_CLAIM_CONTAINS
           : str_eq(word, STR("RegularExpression")) ? MODEL_CLAIM_REGEX
                                                    : MODEL_CLAIM_EXACT;
}

static struct model_claim_match *claims(struct making *m, const struct at *at, const char *name,
                                        const struct kube_claim_match *k, uint32_t n) {
    struct model_claim_match *list = arena_array(&m->a, n, sizeof(*list));
    for (uint32_t i = 0; i < n; i++) {
        const struct at *one = AT_I(at, name, i);
        list[i] = (struct model_claim_match){.path = k[i].path,
                                             .n_path = k[i].n_path,
                                             .values = k[i].values,
                                             .n_values = k[i].n_values,
                                             .type = claim_type(k[i].type)};
        for (uint32_t v = 0; list[i].type == MODEL_CLAIM_REGEX && v < k[i].n_values; v++) {
            struct why why = {0};
            struct regex *re = regex_new(k[i].values[v], &why);
            if (!re) {
                refuse(m, AT_I(one, "values", v), "%s", why.text);
                return NULL;
            }
            regex_free(re);
        }
    }
    return list;
}

/* ---- jwt ---- */

static struct str key_set_id(struct making *m, struct str method) {
    return model_id(&m->a, MODEL_KIND_key_set, m->r->meta.namespace, m->r->meta.name, method);
}

/* The keys of a document that a Secret or ConfigMap holds. */
static bool keys_from(struct making *m, const struct at *at, struct str json,
                      struct model_key_set *o) {
    struct why why = {0};
    struct jwt_set *set = jwt_set_new(json, &why);
    if (!set) {
        close_as(m, "InvalidKeySet", at, "it is no key set (RFC 7517): %s", why.text);
        return false;
    }
    for (size_t i = 0; i < set->n_left_out; i++)
        warn(m, at, "%.*s", STR_FMT(set->left_out[i]));
    o->n_keys = (uint32_t)set->n_keys;
    o->keys = arena_array(&m->a, set->n_keys, sizeof(*o->keys));
    for (size_t i = 0; i < set->n_keys; i++)
        o->keys[i] = (struct model_key){.kid = arena_str(&m->a, set->keys[i].kid),
                                        .algorithm = str_of(jwt_alg_name(set->keys[i].alg)),
                                        .der = arena_str(&m->a, set->keys[i].der)};
    jwt_set_free(set);
    if (o->n_keys == 0)
        close_as(m, "InvalidKeySet", at, "no key in it can verify a signature");
    return o->n_keys > 0;
}

/* A key set that is fetched: by the controller, never while a request waits. */
static bool keys_fetched(struct making *m, const struct at *at, struct str method,
                         struct str issuer, const struct kube_jwks *k, struct model_key_set *o) {
    bool discovery = k->discovery_uri.n > 0;
    struct str url = discovery ? k->discovery_uri : k->uri;
    struct keyset_want want = {.url = url,
                               .issuer = discovery ? issuer : STR_NONE,
                               .refresh_ms = k->refresh > 0 ? (uint64_t)k->refresh : REFRESH_MS,
                               .max_stale_ms =
                                   k->max_stale > 0 ? (uint64_t)k->max_stale : MAX_STALE_MS};
    struct str owner = arena_fmt(&m->a, "%.*s/%.*s/%.*s", STR_FMT(m->r->meta.namespace),
                                 STR_FMT(m->r->meta.name), STR_FMT(method));
    want.key = keyset_key(&m->a, owner, url, want.issuer);
    want.allowed = class_private_cidrs(m, &want.n_allowed);
    if (k->ca_ref) {
        struct out pem = out_heap(PEM_BYTES_MAX);
        int n = 0;
        bool good = upstream_authority(m, m->r, AT(at, "caRef"), k->ca_ref, &pem, &n);
        want.ca = arena_str(&m->a, out_done(&pem));
        out_fini(&pem);
        if (!good) {
            close_as(m, "NoValidCACertificate", AT(at, "caRef"),
                     "no authority is there that could be trusted, so no keys are fetched");
            return false;
        }
    }
    const struct keyset *set = fetched_read(m, &want);
    const struct at *there = AT(at, discovery ? "discoveryURI" : "uri");
    switch (set->state) {
    case KEYSET_GOOD:
        if (why_set(&set->why))
            warn(m, there, "%s; the last keys are used", set->why.text);
        o->fetched = set->fetched;
        o->stale_after = set->stale_after;
        o->source = arena_str(&m->a, want.key);
        return keys_from(m, there, set->document, o);
    case KEYSET_PENDING:
        close_as(m, "KeysPending", there, "the keys are being fetched for the first time");
        return false;
    default:
        close_as(m, "KeysUnavailable", there,
                 "%s; until the keys can be read everything that this policy targets is answered "
                 "with 503 policy_unavailable%s",
                 set->why.text,
                 m->fails ? ", but for proxies that have keys of before, which are not too old"
                          : "");
        return false;
    }
}

static bool keys_named(struct making *m, const struct at *at, const struct kube_jwks *k,
                       struct model_key_set *o) {
    const struct kube_key_ref *ref = k->secret_ref ? k->secret_ref : k->config_map_ref;
    const struct at *there = AT(at, k->secret_ref ? "secretRef" : "configMapRef");
    struct str json;
    struct material x = material_of(m, m->r, there, k->secret_ref ? KUBE_Secret : KUBE_ConfigMap,
                                    STR_NONE, ref->name);
    x.reason = "InvalidKeySetRef";
    if (material_entry(m, &x, ref->key, STR("jwks.json"), &json))
        return keys_from(m, there, json, o);
    close_as(m, "KeysUnavailable", there,
             "the key set cannot be read, so everything that this policy targets is answered with "
             "503 policy_unavailable until it can");
    return false;
}

static bool key_set(struct making *m, const struct at *at, struct str method,
                    const struct kube_jwks *k, struct model_auth_jwt *o) {
    struct model_key_set set = {.origin = origin_of(m, m->r, at)};
    if ((k->uri.n > 0) + (k->discovery_uri.n > 0) + (k->backend_ref != NULL) +
            (k->secret_ref != NULL) + (k->config_map_ref != NULL) !=
        1) {
        refuse(m, at,
               "write exactly one of uri, discoveryURI, backendRef, secretRef and configMapRef");
        return false;
    }
    if (k->backend_ref)
        return not_yet(m, AT(at, "backendRef"), "a key set of a Service");
    if (k->secret_ref || k->config_map_ref ? !keys_named(m, at, k, &set)
                                           : !keys_fetched(m, at, method, o->issuer, k, &set))
        return false;
    o->key_set = key_set_id(m, method);
    return make(m, MODEL_KIND_key_set, o->key_set, &set) == 0;
}

static int by_text(const void *a, const void *b) {
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* One jti a line. */
static bool revoked(struct making *m, const struct at *at, const struct kube_key_ref *k,
                    struct model_auth_jwt *o) {
    struct material x = material_of(m, m->r, at, KUBE_ConfigMap, STR_NONE, k->name);
    struct str text, line;
    x.reason = "InvalidRevokedRef";
    if (!material_entry(m, &x, k->key, STR("revoked"), &text)) {
        close_as(m, "RevokedUnavailable", at,
                 "nobody knows which tokens are revoked, so everything that this policy targets is "
                 "answered with 503 policy_unavailable until it can be read");
        return false;
    }
    size_t lines = 1;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    o->revoked = arena_array(&m->a, lines, sizeof(struct str));
    while (text.p) {
        text = str_cut(text, '\n', &line);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        line = str_trim(line);
        if (line.n > 0)
            o->revoked[o->n_revoked++] = line;
    }
    if (o->n_revoked > MODEL_LIST_MAX) {
        refuse(m, at, "%u tokens are more than the limit of %d", o->n_revoked, MODEL_LIST_MAX);
        return false;
    }
    qsort(o->revoked, o->n_revoked, sizeof(struct str), by_text);
    return true;
}

static bool algorithms_are_good(struct making *m, const struct at *at, const struct kube_jwt *k) {
    for (uint32_t i = 0; i < k->n_algorithms; i++) {
        enum jwt_alg alg;
        if (!jwt_alg_named(k->algorithms[i], &alg) || (JWT_ALG(alg) & JWT_ALGS_SECRET))
            return not_yet(m, AT_I(at, "algorithms", i), "a signature with a secret of a Consumer");
    }
    return true;
}

static bool jwt_make(struct making *m, const struct at *at, const struct kube_jwt *k,
                     struct model_auth_method_config *o) {
    static const struct model_value_source bearer = {
        MODEL_FROM_HEADER, {"authorization", 13}, {"Bearer ", 7}};
    struct model_auth_jwt *j = o->jwt = arena_zalloc(&m->a, sizeof(*j));
    uint64_t skew = 0;
    *j = (struct model_auth_jwt){.issuer = k->issuer,
                                 .audiences = k->audiences,
                                 .n_audiences = k->n_audiences,
                                 .algorithms = k->algorithms,
                                 .n_algorithms = k->n_algorithms,
                                 .typ = k->typ,
                                 .scope_claim = k->scope_claim,
                                 .n_scope_claim = k->n_scope_claim,
                                 .group_claim = k->group_claim,
                                 .n_group_claim = k->n_group_claim,
                                 .n_claims = k->n_required_claims};
    if (!sources_are_good(m, at, k->from, k->n_from) || !algorithms_are_good(m, at, k))
        return false;
    if (k->clock_skew > 0)
        skew = (uint64_t)k->clock_skew;
    j->clock_skew_ms = skew;
    o->from = sources(m, k->from, k->n_from, &bearer, &o->n_from);
    o->consumers = k->consumers ? scope(m, at, k->consumers) : NULL;
    j->claims = claims(m, at, "requiredClaims", k->required_claims, k->n_required_claims);
    if (!j->claims)
        return false;
    if (k->certificate_bound)
        return not_yet(m, AT(at, "certificateBound"), "a token that is bound to a certificate");
    if (k->revoked_ref && !revoked(m, AT(at, "revokedRef"), k->revoked_ref, j))
        return false;
    if (k->jwks)
        return key_set(m, AT(at, "jwks"), o->name, k->jwks, j);
    refuse(m, AT(at, "jwks"), "is missing; say where the issuer's keys are");
    return false;
}

/* ---- methods ---- */

static bool key_make(struct making *m, const struct at *at, const struct kube_api_key *k,
                     struct model_auth_method_config *o) {
    static const struct model_value_source own = {MODEL_FROM_HEADER, {"x-api-key", 9}, {NULL, 0}};
    if (!sources_are_good(m, at, k->from, k->n_from))
        return false;
    o->from = sources(m, k->from, k->n_from, &own, &o->n_from);
    o->consumers = scope(m, at, k->consumers);
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
        return jwt_make(m, AT(at, "jwt"), k->jwt, o);
    case MODEL_AUTH_API_KEY:
        return key_make(m, AT(at, "apiKey"), k->api_key, o);
    case MODEL_AUTH_ANONYMOUS:
        if (k->anonymous->consumer.n > 0)
            o->consumer = arena_fmt(&m->a, "%.*s/%.*s", STR_FMT(m->r->meta.namespace),
                                    STR_FMT(k->anonymous->consumer));
        return true;
    default:
        return not_yet(m, AT(at, all[which].name), "this method");
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
    if (k->time_zone.n > 0 && !str_eq(k->time_zone, STR("UTC")))
        return not_yet(m, AT(at, "timeZone"), "another time zone than UTC");
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
    o->claims = claims(m, at, "claims", k->claims, k->n_claims);
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
    if (k->token)
        return not_yet(m, AT(at, "token"), "an internal token");
    if (k->client_certificate)
        return not_yet(m, AT(at, "clientCertificate"), "Client-Cert");
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
    return true;
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
    if (k->failure_limit)
        return not_yet(m, AT(spec, "failureLimit"), "a limit of failures");
    return methods_make(m, spec, k, o) && rules_fill(m, spec, k, o) &&
           identity_make(m, AT(spec, "identity"), k->identity, o);
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
