/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/bearer.h"

#include "lib/jwt_keys.h"
#include "lib/list.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "proxy/auth/parts.h"

enum { JUDGED_MAX = 4, TAIL = 32 };

struct bearer {
    struct list link; /* of tokens.used: the one that was shown last at the end */
    struct str bytes; /* owned */
    struct claims *claims;
    size_t size;
    struct str subject, issuer;
    int64_t begins, expires;        /* Unix seconds: nbf or iat, exp */
    bool by_secret;                 /* of a Consumer's own, found by ... */
    char digest[CREDENTIAL_DIGEST]; /* ... this */
    uint64_t judged[JUDGED_MAX];    /* versions of methods; 0: none */
    unsigned next;                  /* of judged */
};

struct bearers {
    struct map by_tail;
    struct list used;
    size_t size;
    struct jwt_scratch *scratch;
};

/* ---- memory ---- */

/* The end of a good token is the end of its signature, which nobody can choose. */
static struct str tail_of(struct str bytes) {
    return str_skip(bytes, bytes.n > TAIL ? bytes.n - TAIL : 0);
}

static struct bearer *find(const struct bearers *all, struct str bytes) {
    struct bearer *t = bytes.n > 0 ? map_get(&all->by_tail, tail_of(bytes)) : NULL;
    return t && str_eq(t->bytes, bytes) ? t : NULL;
}

struct bearers *bearers_new(void) {
    struct bearers *t = mem_zalloc(sizeof(*t));
    map_init(&t->by_tail);
    list_init(&t->used);
    t->scratch = jwt_scratch_new();
    return t;
}

static void forget(struct bearers *all, struct bearer *t) {
    map_del(&all->by_tail, tail_of(t->bytes));
    list_del(&t->link);
    all->size -= t->size;
    mem_free((char *)t->bytes.p);
    mem_free(t->claims);
    mem_free(t);
}

static struct bearer *oldest(struct bearers *all) {
    return list_entry(all->used.next, struct bearer, link);
}

void bearers_free(struct bearers *all) {
    if (!all)
        return;
    while (!list_empty(&all->used))
        forget(all, oldest(all));
    map_fini(&all->by_tail);
    jwt_scratch_free(all->scratch);
    mem_free(all);
}

size_t bearers_count(const struct bearers *t) { return t->by_tail.n; }
struct jwt_scratch *bearers_scratch(const struct bearers *t) {
    return t->scratch;
}

/* Of one that was just found good. NULL: there is no memory. */
static struct bearer *remember(struct bearers *all, struct str bytes, const struct jwt *jwt) {
    struct claims *claims = claims_copy(&jwt->claims);
    if (!claims)
        return NULL;
    struct bearer *t = mem_zalloc(sizeof(*t));
    t->claims = claims;
    t->bytes = str_mk(str_dup(bytes), bytes.n);
    t->size = sizeof(*t) + bytes.n + claims->n_text + claims->n_nodes * sizeof(struct claim);
    t->subject = claim_text(claims, claims_named(claims, "sub"));
    t->issuer = claim_text(claims, claims_named(claims, "iss"));
    t->begins = jwt->not_before > jwt->issued ? jwt->not_before : jwt->issued;
    t->expires = jwt->expires;
    all->size += t->size;
    struct bearer *other = map_get(&all->by_tail, tail_of(t->bytes));
    if (other)
        forget(all, other);
    map_put(&all->by_tail, tail_of(t->bytes), t);
    list_append(&all->used, &t->link);
    while (oldest(all) != t && (all->by_tail.n > BEARERS_MAX || all->size > BEARERS_BYTES_MAX))
        forget(all, oldest(all));
    return t;
}

static bool was_judged(const struct bearer *t, uint64_t version) {
    if (version == 0)
        return false;
    for (unsigned i = 0; i < JUDGED_MAX; i++)
        if (t->judged[i] == version)
            return true;
    return false;
}

static void note_judged(struct bearer *t, uint64_t version) {
    t->judged[t->next] = version;
    t->next = (t->next + 1) % JUDGED_MAX;
}

/* ---- one that another one vouches for ---- */

struct bearer *bearer_of(const struct claims *said) {
    struct bearer *t = mem_try_zero(sizeof(*t));
    if (!t)
        return NULL;
    t->claims = claims_copy(said);
    if (!t->claims) {
        mem_free(t);
        return NULL;
    }
    t->size = sizeof(*t) + said->n_text + said->n_nodes * sizeof(struct claim);
    t->subject = claim_text(t->claims, claims_named(t->claims, "sub"));
    t->issuer = claim_text(t->claims, claims_named(t->claims, "iss"));
    return t;
}

void bearer_free(struct bearer *t) {
    if (!t)
        return;
    mem_free(t->claims);
    mem_free(t);
}

size_t bearer_size(const struct bearer *t) { return t->size; }

/* ---- what is in it ---- */

const struct claims *bearer_claims(const struct bearer *t) { return t->claims; }
struct str bearer_subject(const struct bearer *t) {
    return t->subject;
}

struct str bearer_issuer(const struct bearer *t) {
    return t->issuer;
}

const struct claim *bearer_claim(const struct bearer *t, const struct str *path, size_t n) {
    return claims_get(t->claims, path, n);
}

const struct claim *bearer_scopes(const struct bearer *t, const struct model_auth_jwt *jwt) {
    if (jwt->n_scope_claim > 0)
        return bearer_claim(t, jwt->scope_claim, jwt->n_scope_claim);
    const struct claim *scope = claims_named(t->claims, "scope");
    return scope ? scope : claims_named(t->claims, "scp");
}

bool bearer_has(const struct bearer *t, const struct claim *c, struct str word) {
    struct str one;
    if (!c)
        return false;
    for (struct claim_words w = claim_words(t->claims, c); claim_next(&w, &one);)
        if (str_eq(one, word))
            return true;
    return false;
}

/* ---- the method ---- */

int64_t bearer_skew(const struct model_auth_jwt *m) {
    return m->clock_skew_ms > 0 ? (int64_t)(m->clock_skew_ms / 1000) : 30;
}

static enum told bad(struct judging *j, const char *detail) {
    judge_refuse(j, REASON_UNAUTHENTICATED, detail);
    j->challenge = "invalid_token";
    return TOLD_BAD;
}

static enum told bad_why(struct judging *j, const struct why *why) {
    char *text = j->env->text;
    struct out o = out_fixed(text, sizeof(j->env->text) - 1);
    out_str(&o, str_mk(why->text, size_min(strlen(why->text), o.cap)));
    text[o.n] = 0;
    return bad(j, text);
}

static bool keys_are_there(const struct judging *j, const struct method_law *m) {
    return m->keys && (m->stale_after == 0 || (uint64_t)j->now < m->stale_after);
}

/* Under what it counts that it was found good: the policy, and the keys, or the Consumer whose
 * secret it was, which is *own then. 0: under nothing. */
static uint64_t version_of(struct judging *j, const struct method_law *m, const struct bearer *t,
                           struct consumer_found *own) {
    if (!t->by_secret)
        return keys_are_there(j, m) ? m->version : 0;
    if (!m->model->consumers) /* seen by another method; here it stands for nobody */
        return 0;
    return consumer_with(j, m, t->digest, own) ? hash_mix(m->version, own->hash) | 1 : 0;
}

/* own: of a token that is signed with a Consumer's secret, whom it stands for. */
static enum told stands_for(struct judging *j, const struct method_law *m, const struct bearer *t,
                            const struct consumer_found *own) {
    const char *unbound =
        m->model->jwt->certificate_bound ? certificate_unbound(j, t->claims) : NULL;
    if (unbound)
        return bad(j, unbound);
    j->who.token = t;
    j->who.jwt = m->model->jwt;
    if (t->by_secret)
        consumer_is(j, own);
    else if (m->model->consumers && !consumer_look(j, m, t->issuer, t->subject))
        return bad(j, "no Consumer that counts here has this issuer and subject");
    return TOLD_GOOD;
}

/* One that was shown before, under this policy and with these keys. */
static enum told known(struct judging *j, const struct method_law *m, struct bearer *t,
                       const struct consumer_found *own) {
    struct bearers *all = j->env->tokens;
    int64_t skew = bearer_skew(m->model->jwt);
    if (t->expires + skew <= j->now)
        return bad(j, "the token has expired"); /* another method may still have it in hand */
    if (unlikely(t->begins > j->now + skew))    /* the clock was ahead when it was verified */
        return bad(j, "the token does not count yet");
    j->env->counts.seen++;
    list_del(&t->link);
    list_append(&all->used, &t->link);
    return stands_for(j, m, t, own);
}

static bool is_by_secret(const struct jwt *t) { return (JWT_ALG(t->alg) & JWT_ALGS_SECRET) != 0; }

/* A secret is one Consumer's, so a token with one may leave its issuer out. */
static bool is_of_issuer(const struct method_law *m, const struct jwt *t) {
    return str_eq(t->issuer, m->model->jwt->issuer) || (is_by_secret(t) && t->issuer.n == 0);
}

static int verify(struct judging *j, const struct method_law *m, const struct jwt *t,
                  struct secret_proof *proof, struct why *why) {
    const struct model_auth_jwt *jwt = m->model->jwt;
    const struct jwt_rules rules = {.audiences = jwt->audiences,
                                    .n_audiences = jwt->n_audiences,
                                    .typ = jwt->typ,
                                    .skew_s = bearer_skew(jwt)};
    struct bearers *all = j->env->tokens;
    if (jwt_judge(t, &rules, j->now, why) != 0) /* it is cheaper than the signature */
        return -1;
    if (is_by_secret(t))
        return secret_verify(j, m, t, proof, why);
    int bad = jwt_verify(t, m->keys, m->algorithms, all->scratch, why);
    if (bad == JWT_KEY_UNKNOWN)
        judge_unknown_key(j->env, m->source);
    return bad ? -1 : 0;
}

static bool is_revoked(const struct model_auth_jwt *m, struct str id) {
    size_t low = 0, high = m->n_revoked;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(m->revoked[middle], id);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static enum told judge_new(struct judging *j, const struct method_law *m, struct str bytes) {
    struct bearers *all = j->env->tokens;
    struct secret_proof proof = {.digest = {0}};
    struct why why = {0};
    struct jwt jwt;
    if (jwt_read(&jwt, bytes, all->scratch, &why) != 0) {
        j->unknown = true; /* it may be another method's */
        return TOLD_ABSENT;
    }
    if (!is_of_issuer(m, &jwt)) {
        j->unknown = true;
        return TOLD_ABSENT;
    }
    if ((m->algorithms & JWT_ALG(jwt.alg)) == 0)
        return bad(j, "its algorithm is none that the policy accepts");
    if (!is_by_secret(&jwt) && !keys_are_there(j, m)) {
        judge_refuse(j, REASON_KEYS_UNAVAILABLE, "the issuer's keys are not there, or too old");
        return TOLD_NOTHING;
    }
    j->env->counts.verified++;
    int failed = verify(j, m, &jwt, &proof, &why);
    if (failed == SECRET_UNKNOWN && jwt.issuer.n == 0) {
        j->unknown = true;
        return TOLD_ABSENT;
    }
    if (failed) {
        j->env->counts.refused++;
        return bad_why(j, &why);
    }
    if (is_revoked(m->model->jwt, jwt.id))
        return bad(j, "the token was revoked");
    struct bearer *t = find(all, bytes);
    if (!t)
        t = remember(all, bytes, &jwt);
    if (!t) {
        judge_refuse(j, REASON_OVERLOADED, "no memory for a token");
        return TOLD_NOTHING;
    }
    t->by_secret = is_by_secret(&jwt);
    memcpy(t->digest, proof.digest, sizeof(t->digest));
    j->who.token = t;
    if (!claims_hold(j, m->claims, m->model->jwt->n_claims))
        return bad(j, "a claim that is required is missing, or is another one");
    note_judged(t, version_of(j, m, t, &proof.consumer));
    return stands_for(j, m, t, &proof.consumer);
}

enum told bearer_tell(struct judging *j, const struct method_law *m) {
    struct str bytes;
    enum place p = judge_find(j, m->model->from, m->model->n_from, &bytes);
    if (p == PLACE_NONE)
        return TOLD_ABSENT;
    if (p == PLACE_TWICE)
        return bad(j, "the token is there twice");
    struct consumer_found own;
    struct bearer *t = find(j->env->tokens, bytes);
    if (t && was_judged(t, version_of(j, m, t, &own)))
        return known(j, m, t, &own);
    return judge_new(j, m, bytes);
}
