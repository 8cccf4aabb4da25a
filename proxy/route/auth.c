/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/auth.h"

#include "lib/claims.h"
#include "lib/jwt_keys.h"
#include "lib/mac.h"
#include "proxy/route/build.h"

#include <openssl/evp.h>

/* One block: the law, then what it points at. */
struct auth_part {
    struct part part;
    struct auth_law law;
    struct limits_part *failures;
};

/* ---- expressions: found good with the object, kept beside it ---- */

struct auth_patterns {
    struct claim_match **claims; /* of the methods, then of the rules, in their order */
    struct regex **paths;        /* of the rules, in their order */
    uint32_t n_claims, n_paths;
};

void auth_patterns_free(struct auth_patterns *p) {
    if (!p)
        return;
    for (uint32_t i = 0; i < p->n_claims; i++)
        claim_match_free(p->claims[i]);
    for (uint32_t i = 0; i < p->n_paths; i++)
        regex_free(p->paths[i]);
    mem_free(p->claims);
    mem_free(p->paths);
    mem_free(p);
}

static enum claim_how how(enum model_claim_type t) {
    return t == MODEL_CLAIM_REGEX      ? CLAIM_PATTERN
           : t == MODEL_CLAIM_CONTAINS ? CLAIM_HAS
                                       : CLAIM_EQUALS;
}

static int add_claims(struct auth_patterns *p, const struct model_claim_match *list, uint32_t n,
                      struct why *why) {
    for (uint32_t i = 0; i < n; i++) {
        const struct model_claim_match *c = &list[i];
        struct claim_match *m =
            claim_match_new(c->path, c->n_path, how(c->type), c->values, c->n_values, why);
        if (!m)
            return -1;
        p->claims[p->n_claims++] = m;
    }
    return 0;
}

static int add_paths(struct auth_patterns *p, const struct model_path_rule *list, uint32_t n,
                     struct why *why) {
    for (uint32_t i = 0; i < n; i++) {
        struct regex *re = list[i].type == MODEL_PATH_REGEX ? regex_new(list[i].value, why) : NULL;
        if (re)
            p->paths[p->n_paths++] = re;
        else if (why_set(why))
            return -1;
    }
    return 0;
}

/* Claims that a method requires; how many. */
static uint32_t required(const struct model_auth_method_config *m,
                         const struct model_claim_match **list) {
    uint32_t n = 0;
    *list = NULL;
    if (m->jwt)
        *list = m->jwt->claims, n = m->jwt->n_claims;
    else if (m->introspection)
        *list = m->introspection->claims, n = m->introspection->n_claims;
    else if (m->oidc)
        *list = m->oidc->claims, n = m->oidc->n_claims;
    return n;
}

static size_t n_claims(const struct model_auth *m) {
    const struct model_claim_match *list;
    size_t n = 0;
    for (uint32_t i = 0; i < m->n_methods; i++)
        n += required(&m->methods[i], &list);
    for (uint32_t i = 0; i < m->n_rules; i++)
        n += m->rules[i].n_claims;
    return n;
}

static size_t n_paths(const struct model_auth *m) {
    size_t n = 0;
    for (uint32_t i = 0; i < m->n_rules; i++)
        n += m->rules[i].n_paths;
    return n;
}

struct auth_patterns *auth_patterns_new(const struct model_auth *m, struct why *why) {
    struct auth_patterns *p = mem_zalloc(sizeof(*p));
    p->claims = mem_array(n_claims(m), sizeof(*p->claims));
    p->paths = mem_array(n_paths(m), sizeof(*p->paths));
    int bad = 0;
    for (uint32_t i = 0; i < m->n_methods && !bad; i++) {
        const struct model_claim_match *list;
        uint32_t n = required(&m->methods[i], &list);
        bad = add_claims(p, list, n, why);
    }
    for (uint32_t i = 0; i < m->n_rules && !bad; i++) {
        bad = add_claims(p, m->rules[i].claims, m->rules[i].n_claims, why);
        bad = bad ? bad : add_paths(p, m->rules[i].paths, m->rules[i].n_paths, why);
    }
    if (!bad)
        return p;
    auth_patterns_free(p);
    return NULL;
}

/* ---- the law ---- */

static size_t n_cidrs(const struct model_auth *m) {
    size_t n = 0;
    for (uint32_t i = 0; i < m->n_rules; i++)
        n += m->rules[i].n_cidrs;
    return n;
}

static const struct cidr *fill_cidrs(struct cidr **at, const struct model_auth_rule *m) {
    struct cidr *first = *at;
    for (uint32_t i = 0; i < m->n_cidrs; i++)
        must(cidr_parse(m->cidrs[i], (*at)++));
    return first;
}

static void hash_text(EVP_MD_CTX *x, struct str s) {
    uint64_t n = s.n;
    must(EVP_DigestUpdate(x, &n, sizeof(n)) == 1 && EVP_DigestUpdate(x, s.p, s.n) == 1);
}

void terms_make(struct str ca, struct str crl, struct terms *to) {
    *to = (struct terms){.ca = ca, .crl = crl};
    EVP_MD_CTX *x = EVP_MD_CTX_new();
    must(x && EVP_DigestInit_ex2(x, EVP_sha256(), NULL) == 1);
    hash_text(x, ca);
    hash_text(x, crl);
    must(EVP_DigestFinal_ex(x, to->id, NULL) == 1);
    EVP_MD_CTX_free(x);
}

static uint32_t algorithm(struct str name) {
    enum jwt_alg alg;
    return jwt_alg_named(name, &alg) ? JWT_ALG(alg) : 0;
}

static uint32_t hmac_algorithms(const struct model_auth_hmac *m) {
    uint32_t mask = 0;
    for (uint32_t i = 0; i < m->n_algorithms; i++)
        mask |= 1U << mac_named(m->algorithms[i]);
    return mask;
}

static uint32_t backend_of(struct builder *b, const struct model_auth_method_config *m) {
    struct str id = m->external        ? m->external->backend
                    : m->introspection ? m->introspection->backend
                    : m->oidc          ? m->oidc->token
                                       : STR_NONE;
    struct node *n = id.n > 0 ? builder_node(b, id) : NULL;
    return n && node_is(n, MODEL_KIND_backend) && !n->parsed->newer ? n->slot : UINT32_MAX;
}

static struct node *keys_of(struct builder *b, const struct model_auth_method_config *m) {
    struct str id = m->jwt ? m->jwt->key_set : m->oidc ? m->oidc->key_set : STR_NONE;
    return id.n > 0 ? builder_node(b, id) : NULL;
}

static void fill_method(struct builder *b, const struct parsed *of, uint32_t i,
                        struct method_law *to) {
    const struct model_auth_method_config *m = &((const struct model_auth *)of->model)->methods[i];
    struct node *n = keys_of(b, m);
    *to = (struct method_law){.model = m,
                              .version = hash_mix(of->object->hash, i) | 1,
                              .place = hash_mix(of->object->id_hash, i) | 1,
                              .policy = object_id(of->object),
                              .algorithms = m->oidc ? JWT_ALGS_KEY : 0,
                              .backend = backend_of(b, m)};
    if (m->certificate)
        terms_make(m->certificate->ca, m->certificate->crl, &to->terms);
    for (uint32_t a = 0; m->jwt && a < m->jwt->n_algorithms; a++)
        to->algorithms |= algorithm(m->jwt->algorithms[a]);
    if (m->hmac)
        to->algorithms = hmac_algorithms(m->hmac);
    if (!n || !node_is(n, MODEL_KIND_key_set))
        return;
    const struct model_key_set *set = n->parsed->model;
    to->keys = n->parsed->keys;
    to->stale_after = set->stale_after;
    to->source = set->source;
    to->version = hash_mix(to->version, n->object->hash) | 1; /* never 0 */
}

static uint64_t methods_named(const struct model_auth *m, const struct model_auth_rule *r) {
    uint64_t mask = 0;
    for (uint32_t i = 0; i < r->n_auth_methods; i++)
        for (uint32_t j = 0; j < m->n_methods; j++)
            if (str_eq(m->methods[j].name, r->auth_methods[i]))
                mask |= (uint64_t)1 << j;
    return mask;
}

void auth_make(struct builder *b, struct node *n) {
    const struct model_auth *m = n->parsed->model;
    struct auth_part *p =
        part_new(b->keeper, PART_BLOCK,
                 sizeof(*p) + m->n_methods * sizeof(struct method_law) +
                     m->n_rules * sizeof(struct auth_rule_law) + n_cidrs(m) * sizeof(struct cidr));
    struct method_law *methods = (struct method_law *)(void *)(p + 1);
    struct auth_rule_law *rules = (struct auth_rule_law *)(void *)(methods + m->n_methods);
    struct cidr *cidrs = (struct cidr *)(void *)(rules + m->n_rules);
    struct claim_match **claims = n->parsed->patterns->claims;
    struct regex **paths = n->parsed->patterns->paths;
    for (uint32_t i = 0; i < m->n_methods; i++) {
        fill_method(b, n->parsed, i, &methods[i]);
        const struct model_claim_match *list;
        methods[i].claims = claims;
        claims += required(&m->methods[i], &list);
    }
    for (uint32_t i = 0; i < m->n_rules; i++) {
        const struct model_auth_rule *r = &m->rules[i];
        rules[i] = (struct auth_rule_law){.model = r,
                                          .claims = claims,
                                          .paths = paths,
                                          .cidrs = fill_cidrs(&cidrs, r),
                                          .methods = methods_named(m, r)};
        claims += r->n_claims;
        for (uint32_t j = 0; j < r->n_paths; j++)
            paths += r->paths[j].type == MODEL_PATH_REGEX ? 1 : 0;
    }
    bool closed = n->parsed->newer || m->refusal != MODEL_REFUSE_NO;
    p->law = (struct auth_law){.slot = n->slot,
                               .id = object_id(n->object),
                               .name = str_skip(object_id(n->object), strlen("auth/")),
                               .identity = n->object->id_hash,
                               .version = n->object->hash,
                               .model = m,
                               .refusal = closed ? REASON_POLICY_UNAVAILABLE : REASON_NONE,
                               .n_methods = m->n_methods,
                               .n_rules = m->n_rules,
                               .methods = methods,
                               .rules = rules};
    p->failures = n->auth ? n->auth->failures : NULL;
    p->law.failures = failures_make(b, n->id, m, &p->failures);
    if (n->auth)
        part_retire(b->keeper, &n->auth->part);
    n->auth = p;
    pages_set(b->keeper, &b->auths, n->slot, &p->law);
}

void auth_unmake(struct builder *b, struct node *n) {
    if (n->auth) {
        failures_make(b, n->id, NULL, &n->auth->failures);
        part_retire(b->keeper, &n->auth->part);
    }
    n->auth = NULL;
    pages_set(b->keeper, &b->auths, n->slot, NULL);
}

const struct auth_law *snapshot_auth(const struct snapshot *s, uint32_t slot) {
    return pages_get(s->parts->auths, slot);
}

const struct consumers *snapshot_consumers(const struct snapshot *s) {
    return &s->parts->consumers;
}

const struct consumers *snapshot_consumer_names(const struct snapshot *s) {
    return &s->parts->consumer_names;
}
