/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/auth_parts.h"

#include "controller/compile/backend.h"
#include "controller/compile/fetched.h"
#include "controller/compile/material.h"
#include "controller/compile/ref.h"
#include "controller/compile/upstream.h"
#include "lib/jwt_keys.h"
#include "lib/pem.h"

#include <stdlib.h>

enum {
    REFRESH_MS = 5 * 60 * 1000,
    MAX_STALE_MS = 24 * 60 * 60 * 1000,
    ENDPOINTS_MAX = 16, /* of a Service: that one of them answers is enough */
};

struct str auth_key_set_id(struct making *m, struct str method) {
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

/* As PEM; in the arena. */
static bool trusted(struct making *m, const struct at *at, const struct kube_ca_ref *ca,
                    struct str *pem) {
    struct out all = out_heap(PEM_BYTES_MAX);
    int n = 0;
    bool good = upstream_authority(m, m->r, at, ca, &all, &n);
    *pem = arena_str(&m->a, out_done(&all));
    out_fini(&all);
    if (!good)
        close_as(m, "NoValidCACertificate", at,
                 "no authority is there that could be trusted, so no keys are fetched");
    return good;
}

bool auth_keys_fetched(struct making *m, const struct auth_fetching *f, struct model_key_set *o,
                       struct str *discovery) {
    struct keyset_want want = {.url = f->url,
                               .issuer = f->issuer,
                               .backend = f->service,
                               .endpoints = f->endpoints,
                               .n_endpoints = f->n_endpoints,
                               .refresh_ms = f->refresh > 0 ? (uint64_t)f->refresh : REFRESH_MS,
                               .max_stale_ms =
                                   f->max_stale > 0 ? (uint64_t)f->max_stale : MAX_STALE_MS};
    struct str owner = arena_fmt(&m->a, "%.*s/%.*s/%.*s", STR_FMT(m->r->meta.namespace),
                                 STR_FMT(m->r->meta.name), STR_FMT(f->method));
    want.key = keyset_key(&m->a, owner, f->url, want.issuer);
    want.allowed = class_private_cidrs(m, &want.n_allowed);
    if (f->ca && !trusted(m, f->ca_at, f->ca, &want.ca))
        return false;
    const struct keyset *set = fetched_read(m, &want);
    switch (set->state) {
    case KEYSET_GOOD:
        if (why_set(&set->why))
            warn(m, f->at, "%s; the last keys are used", set->why.text);
        o->fetched = set->fetched;
        o->stale_after = set->stale_after;
        o->source = arena_str(&m->a, want.key);
        *discovery = set->discovery;
        return keys_from(m, f->at, set->document, o);
    case KEYSET_PENDING:
        close_as(m, "KeysPending", f->at, "the keys are being fetched for the first time");
        return false;
    default:
        close_as(m, "KeysUnavailable", f->at,
                 "%s; until the keys can be read everything that this policy targets is answered "
                 "with 503 policy_unavailable%s",
                 set->why.text,
                 m->fails ? ", but for proxies that have keys of before, which are not too old"
                          : "");
        return false;
    }
}

/* A key set that is fetched: by the controller, never while a request waits. */
static bool keys_fetched(struct making *m, const struct at *at, struct str method,
                         struct str issuer, const struct kube_jwks *k, struct model_key_set *o) {
    bool discovery = k->discovery_uri.n > 0;
    struct str document;
    const struct auth_fetching f = {.at = AT(at, discovery ? "discoveryURI" : "uri"),
                                    .ca_at = AT(at, "caRef"),
                                    .ca = k->ca_ref,
                                    .method = method,
                                    .url = discovery ? k->discovery_uri : k->uri,
                                    .issuer = discovery ? issuer : STR_NONE,
                                    .refresh = k->refresh,
                                    .max_stale = k->max_stale};
    return auth_keys_fetched(m, &f, o, &document);
}

/* ---- of a Service ---- */

static bool service_found(struct making *m, const struct at *at, const struct kube_object_ref *k,
                          struct ref_service *o) {
    const struct ref ref = {.group = k->group,
                            .kind = k->kind,
                            .namespace = k->namespace,
                            .name = k->name,
                            .port = {.number = k->port < 0 ? 0 : (uint16_t)k->port}};
    if (k->port < 0) {
        refuse(m, AT(at, "port"), "a Service needs a port; write its number");
        return false;
    }
    if (ref_service(m, at, &ref, o))
        return true;
    close_as(m, "ServiceUnavailable", at,
             "the Service with the key set is not there or cannot be referred to, so everything "
             "that this policy targets is answered with 503 policy_unavailable");
    return false;
}

static bool keys_of_service(struct making *m, const struct at *at, struct str method,
                            const struct kube_jwks *k, struct model_key_set *o) {
    const struct at *there = AT(at, "backendRef");
    struct str path = k->path.n > 0 ? k->path : STR("/.well-known/jwks.json"), document;
    struct str name = k->backend_ref->name;
    struct ref_service s;
    if (!auth_path_is_good(m, AT(at, "path"), path) || !service_found(m, there, k->backend_ref, &s))
        return false;
    bool tls = k->ca_ref || str_eq(s.port->app_protocol, STR("https"));
    struct auth_fetching f = {.at = there,
                              .ca_at = AT(at, "caRef"),
                              .ca = k->ca_ref,
                              .method = method,
                              .url = arena_fmt(&m->a, "%s://%.*s.%.*s.svc:%u%.*s",
                                               tls ? "https" : "http", STR_FMT(name), STR_FMT(s.ns),
                                               (unsigned)s.port->port, STR_FMT(path)),
                              .refresh = k->refresh,
                              .max_stale = k->max_stale,
                              .service = true};
    f.endpoints = backend_ready(m, s.ns, name, s.port, ENDPOINTS_MAX, &f.n_endpoints);
    return auth_keys_fetched(m, &f, o, &document);
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
    if (k->path.n > 0 && !k->backend_ref) {
        refuse(m, AT(at, "path"), "is for backendRef; remove it");
        return false;
    }
    if (k->secret_ref || k->config_map_ref ? !keys_named(m, at, k, &set)
        : k->backend_ref                   ? !keys_of_service(m, at, method, k, &set)
                                           : !keys_fetched(m, at, method, o->issuer, k, &set))
        return false;
    o->key_set = auth_key_set_id(m, method);
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

/* Those with a key need a key set, those with a secret Consumers that have one. */
static bool algorithms_are_good(struct making *m, const struct at *at, const struct kube_jwt *k) {
    struct shown shown;
    for (uint32_t i = 0; i < k->n_algorithms; i++) {
        const struct at *one = AT_I(at, "algorithms", i);
        enum jwt_alg alg;
        bool known = jwt_alg_named(k->algorithms[i], &alg);
        bool secret = known && (JWT_ALG(alg) & JWT_ALGS_SECRET) != 0;
        if (!known)
            refuse(m, one, "%s is not an algorithm", why_show(k->algorithms[i], &shown));
        else if (secret && !k->consumers)
            refuse(m, one,
                   "%s is for Consumers' own secrets; name consumers, whose credentials jwt have "
                   "key, algorithm and secretRef",
                   jwt_alg_name(alg));
        else if (!secret && !k->jwks)
            refuse(m, one, "%s needs jwks, which says where the issuer's keys are",
                   jwt_alg_name(alg));
        if (!known || (secret ? !k->consumers : !k->jwks))
            return false;
    }
    return true;
}

bool auth_jwt_make(struct making *m, const struct at *at, const struct kube_jwt *k,
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
    if (!auth_sources_are_good(m, at, k->from, k->n_from) || !algorithms_are_good(m, at, k))
        return false;
    if (k->clock_skew > 0)
        skew = (uint64_t)k->clock_skew;
    j->clock_skew_ms = skew;
    o->from = auth_sources(m, k->from, k->n_from, &bearer, &o->n_from);
    o->consumers = k->consumers ? auth_scope(m, at, k->consumers) : NULL;
    j->claims = auth_claims(m, at, "requiredClaims", k->required_claims, k->n_required_claims);
    if (!j->claims)
        return false;
    j->certificate_bound = k->certificate_bound;
    if (k->certificate_bound)
        auth_needs_certificates(m, AT(at, "certificateBound"), false);
    if (k->revoked_ref && !revoked(m, AT(at, "revokedRef"), k->revoked_ref, j))
        return false;
    return !k->jwks || key_set(m, AT(at, "jwks"), o->name, k->jwks, j);
}
