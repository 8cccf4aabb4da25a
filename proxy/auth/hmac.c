/* SPDX-License-Identifier: Apache-2.0
 *
 * hmac: requests that are signed with a Consumer's secret, in the form of RFC 9421
 * (proxy/http/signature.h) or of Kong's plugin (proxy/http/kong_hmac.h). What is signed is judged
 * as the client sent it, before anything is rewritten.
 *
 *     keyid ─► the Consumers with that name, one in each namespace at most ─► whose secret it is
 *     digest of the body ─► whether it is the body's
 *
 * A name that nobody has is tried with random bytes, and takes as long.
 */
#include "proxy/auth/parts.h"
#include "proxy/http/digest.h"
#include "proxy/http/kong_hmac.h"
#include "proxy/http/signature.h"

enum {
    SKEW_S = 300,
    SKEW_MAX_S = 365 * 24 * 3600,
    BODY_MAX = 1 << 20, /* bytes of a body whose digest is verified: it is in memory meanwhile */
};

static const struct model_value_source signature_input = {
    MODEL_FROM_HEADER, {"signature-input", 15}, {NULL, 0}};
static const struct model_value_source signature_field = {
    MODEL_FROM_HEADER, {"signature", 9}, {NULL, 0}};
static const struct model_value_source authorization = {
    MODEL_FROM_HEADER, {"authorization", 13}, {"hmac ", 5}};

static enum told bad(struct judging *j, const char *detail) {
    judge_refuse(j, REASON_UNAUTHENTICATED, detail);
    return TOLD_BAD;
}

/* Seconds, at least one: none would mean that time is no matter. */
static uint32_t skew_of(const struct model_auth_hmac *m) {
    uint64_t s = m->clock_skew_ms / 1000 + (m->clock_skew_ms % 1000 > 0);
    return s > 0 ? (uint32_t)(s < SKEW_MAX_S ? s : SKEW_MAX_S) : SKEW_S;
}

/* ---- whose secret it is ---- */

/* A signature that was read, in one of the two forms. */
struct signed_request {
    struct str keyid;
    bool (*verify)(const struct signed_request *r, struct judging *j, struct str secret,
                   const char **detail);
    const struct signature *message;
    enum mac mac; /* of that one */
    const struct kong_hmac *kong;
};

static bool try_consumer(struct judging *j, const struct method_law *m,
                         const struct signed_request *r, struct str namespace, unsigned *n,
                         const char **detail) {
    struct consumer_found found;
    char digest[CREDENTIAL_DIGEST];
    credential_digest(j->env->digest, model_word(&model_words_auth_method, MODEL_AUTH_HMAC),
                      namespace, r->keyid, digest);
    if (!consumer_with(j, m, digest, &found) || found.credential->secret.n == 0)
        return false;
    ++*n;
    if (!r->verify(r, j, found.credential->secret, detail))
        return false;
    consumer_is(j, &found);
    return true;
}

static enum told verify(struct judging *j, const struct method_law *m,
                        const struct signed_request *r) {
    const struct model_consumer_scope *scope = m->model->consumers;
    const char *detail = NULL;
    unsigned n = 0;
    for (uint32_t i = 0; i < scope->n_namespaces; i++)
        if (try_consumer(j, m, r, scope->namespaces[i], &n, &detail))
            return TOLD_GOOD;
    if (n > 0)
        return bad(j, detail);
    (void)!r->verify(r, j, str_mk(j->env->nobody, sizeof(j->env->nobody)), &detail);
    return bad(j, "no Consumer that counts here has this name for its secret");
}

/* ---- the body ---- */

static enum told body_tell(struct judging *j, const struct model_auth_hmac *m) {
    const char *detail = NULL;
    struct body_digest d;
    struct str body;
    if (m->digest == MODEL_DIGEST_IGNORE)
        return TOLD_GOOD;
    switch (m->profile == MODEL_HMAC_KONG ? digest_read_kong(&d, j->x->request, &detail)
                                          : digest_read(&d, j->x->request, &detail)) {
    case DIGEST_NONE:
        return TOLD_GOOD; /* one that must be there was asked for with what is signed */
    case DIGEST_BAD:
        return bad(j, detail);
    case DIGEST_FOUND:
        break;
    }
    enum told told = judge_body(j, BODY_MAX, &body);
    if (told == TOLD_GOOD && !digest_is_of(&d, j->env->macs, body))
        return bad(j, "the digest is not that of the body");
    return told;
}

/* ---- RFC 9421 ---- */

static bool verify_message(const struct signed_request *r, struct judging *j, struct str secret,
                           const char **detail) {
    const struct signature_key key = {r->mac, secret};
    return signature_verify(r->message, j->x->request, policy_is_https(j->x), &key, j->env->macs,
                            detail);
}

/* By its name, else by its length: each algorithm of SHA-2 has another one. */
static enum mac mac_of(const struct method_law *m, const struct signature *s) {
    enum mac mac = s->alg.n > 0 ? mac_named(s->alg) : mac_of_size(s->mac_n);
    return (m->algorithms >> mac & 1) != 0 ? mac : MAC_NONE;
}

static enum told message_tell(struct judging *j, const struct method_law *m) {
    const struct model_auth_hmac *h = m->model->hmac;
    const struct signature_rules rules = {.tag = h->tag,
                                          .parts = h->components,
                                          .n_parts = h->n_components,
                                          .body = h->digest == MODEL_DIGEST_REQUIRE,
                                          .max_age_s = skew_of(h),
                                          .skew_s = skew_of(h)};
    struct signature s;
    const char *detail = NULL;
    enum signature_found found = signature_read(&s, j->x->request, &rules, j->now, &detail);
    if (found == SIGNATURE_NONE)
        return TOLD_ABSENT;
    if (!judge_show(j, &signature_input) || !judge_show(j, &signature_field))
        return bad(j, "there are too many credentials");
    if (found == SIGNATURE_BAD)
        return bad(j, detail);
    const struct signed_request r = {
        .keyid = s.keyid, .verify = verify_message, .message = &s, .mac = mac_of(m, &s)};
    if (r.mac == MAC_NONE)
        return bad(j, "its algorithm is none that the policy accepts");
    return verify(j, m, &r);
}

/* RFC 9421 5.1: what the next request should be signed like. */
static void accept_signature(const struct method_law *m, struct out *o) {
    const struct model_auth_hmac *h = m->model->hmac;
    out_lit(o, "accept-signature: sig1=(");
    for (uint32_t i = 0; i < h->n_components; i++)
        out_fmt(o, "%s\"%.*s\"", i > 0 ? " " : "", STR_FMT(h->components[i]));
    out_lit(o, ");created");
    if (h->n_algorithms == 1)
        out_fmt(o, ";alg=\"%.*s\"", STR_FMT(h->algorithms[0]));
    if (h->tag.n > 0)
        out_fmt(o, ";tag=\"%.*s\"", STR_FMT(h->tag));
    out_lit(o, "\r\n");
}

/* ---- Kong's ---- */

static bool verify_kong(const struct signed_request *r, struct judging *j, struct str secret,
                        const char **detail) {
    struct str version = j->x->http10 ? STR("1.0") : j->x->h2 ? STR("2.0") : STR("1.1");
    return kong_hmac_verify(r->kong, j->x->request, version, secret, j->env->macs, detail);
}

static enum told kong_tell(struct judging *j, const struct method_law *m) {
    const struct model_auth_hmac *h = m->model->hmac;
    const struct kong_hmac_rules rules = {.macs = m->algorithms,
                                          .names = h->components,
                                          .n_names = h->n_components,
                                          .body = h->digest == MODEL_DIGEST_REQUIRE,
                                          .skew_s = skew_of(h)};
    struct kong_hmac k;
    const char *detail = NULL;
    struct str value;
    enum place p = judge_find(j, &authorization, 1, &value);
    if (p == PLACE_NONE)
        return TOLD_ABSENT;
    if (p == PLACE_TWICE)
        return bad(j, "the signature is there twice");
    switch (kong_hmac_read(&k, j->x->request, &rules, j->now, &detail)) {
    case KONG_HMAC_NONE:
        return bad(j, "there is another Authorization before the signature");
    case KONG_HMAC_BAD:
        return bad(j, detail);
    case KONG_HMAC_READ:
        break;
    }
    const struct signed_request r = {.keyid = k.username, .verify = verify_kong, .kong = &k};
    return verify(j, m, &r);
}

/* ---- both ---- */

enum told hmac_tell(struct judging *j, const struct method_law *m) {
    const struct model_auth_hmac *h = m->model->hmac;
    enum told told = h->profile == MODEL_HMAC_KONG ? kong_tell(j, m) : message_tell(j, m);
    return told == TOLD_GOOD ? body_tell(j, h) : told;
}

/* No scheme is registered for RFC 9421, but a 401 must name one (RFC 9110 15.5.2): what counts is
 * the field beside it. Kong's is that of its plugin. */
void hmac_challenge(const struct method_law *m, struct str realm, struct out *o) {
    bool kong = m->model->hmac->profile == MODEL_HMAC_KONG;
    out_fmt(o, "www-authenticate: %s realm=\"%.*s\"\r\n", kong ? "hmac" : "Signature",
            STR_FMT(realm));
    if (!kong)
        accept_signature(m, o);
}
