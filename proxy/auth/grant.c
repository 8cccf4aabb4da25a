/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/oidc.h"

#include "lib/chars.h"
#include "lib/form.h"
#include "lib/jwt_keys.h"
#include "proxy/errand/call.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { BASIC_MAX = 3 * 2048 + 1, LIFE_MAX_S = 10 * 365 * 86400 };

/* ---- the question ---- */

/* RFC 6749 2.3.1: both are forms before they are a user and a password. */
static void put_basic(struct out *o, const struct model_auth_oidc *k) {
    char plain[BASIC_MAX], coded[BASIC_MAX / 3 * 4 + 8];
    struct out p = out_fixed(plain, sizeof(plain));
    form_put(&p, k->client_id);
    out_char(&p, ':');
    form_put(&p, k->client_secret);
    o->over = o->over || p.over;
    int n = EVP_EncodeBlock((unsigned char *)coded, (unsigned char *)plain, (int)p.n);
    out_lit(o, "authorization: Basic ");
    out_bytes(o, coded, (size_t)n);
    out_lit(o, "\r\n");
    OPENSSL_cleanse(plain, sizeof(plain));
    OPENSSL_cleanse(coded, sizeof(coded));
}

static void put_head(const struct judging *j, const struct model_auth_oidc *k, size_t n,
                     struct out *o) {
    out_lit(o, "POST ");
    out_str(o, k->token_path);
    out_lit(o, " HTTP/1.1\r\nhost: ");
    out_str(o, k->token_host);
    out_lit(o, "\r\naccept: application/json\r\n"
               "content-type: application/x-www-form-urlencoded\r\n");
    if (k->client_secret.n > 0 && !k->post)
        put_basic(o, k);
    if (j->x->traceparent.n > 0) {
        out_lit(o, "traceparent: ");
        out_str(o, j->x->traceparent);
        out_lit(o, "\r\n");
    }
    out_lit(o, "content-length: ");
    out_u64(o, n);
    out_lit(o, "\r\n\r\n");
}

static enum grant_end fail(struct judging *j, enum reason reason, const char *detail) {
    judge_refuse(j, reason, detail);
    return GRANT_FAILED;
}

static struct call *ask(struct judging *j, const struct method_law *m, struct str form) {
    const struct model_auth_oidc *k = m->model->oidc;
    struct oidc *w = j->env->oidc;
    size_t half = sizeof(w->text) / 2;
    struct out head = out_fixed(w->text, half), body = out_fixed(w->text + half, half);
    out_str(&body, form);
    if (k->client_secret.n == 0 || k->post)
        form_pair(&body, STR("client_id"), k->client_id);
    if (k->client_secret.n > 0 && k->post)
        form_pair(&body, STR("client_secret"), k->client_secret);
    put_head(j, k, body.n, &head);
    const struct call_want want = {.backend = snapshot_backend(j->x->snapshot, m->backend),
                                   .head = out_done(&head),
                                   .body = out_done(&body),
                                   .timeout_ms = OIDC_TIMEOUT_MS,
                                   .body_max = OIDC_ANSWER_MAX};
    struct call *c =
        head.over || body.over ? NULL : call_start(j->env->calls, j->known->errands, k, &want);
    OPENSSL_cleanse(w->text, sizeof(w->text));
    return c;
}

/* ---- the answer ---- */

/* What stands in a header, or in a form, later: visible ASCII (RFC 6749 A.12). */
static bool is_token(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return true;
}

static struct str text_named(const struct claims *c, const char *name) {
    const struct claim *one = claims_named(c, name);
    return one && one->kind == CLAIM_TEXT ? claim_text(c, one) : STR_NONE;
}

/* Some write it as a text. What is no whole number of seconds is not said. */
static uint64_t life(const struct claims *c) {
    uint64_t v;
    const struct claim *one = claims_named(c, "expires_in");
    return one && str_to_u64(claim_text(c, one), LIFE_MAX_S, &v) ? v : 0;
}

bool grant_read(struct grant *g, char *text, size_t n, struct claim *nodes, size_t n_nodes,
                bool *refused) {
    struct claims c;
    struct why why = {0};
    *g = (struct grant){0};
    *refused = false;
    if (n > CLAIMS_TEXT_MAX - 1 || claims_read(&c, text, n, nodes, n_nodes, &why) != 0)
        return false;
    *refused = str_eq(text_named(&c, "error"), STR("invalid_grant"));
    g->id = text_named(&c, "id_token");
    g->access = text_named(&c, "access_token");
    g->refresh = text_named(&c, "refresh_token");
    g->life_s = life(&c);
    return is_token(g->id) && is_token(g->access) && is_token(g->refresh);
}

static enum grant_end read_answer(struct judging *j, const struct call *c, struct grant *g) {
    struct oidc *w = j->env->oidc;
    bool refused = false;
    if (c->errand.reason == REASON_UPSTREAM_TIMEOUT)
        return fail(j, REASON_AUTH_SERVICE_TIMEOUT,
                    "the identity provider's token endpoint did not answer in time");
    if (c->errand.reason != REASON_NONE)
        return fail(j, REASON_AUTH_SERVICE_FAILED,
                    "the identity provider's token endpoint cannot be reached, or gives no answer");
    must(c->body.n < sizeof(w->text));
    if (c->body.n > 0)
        memcpy(w->text, c->body.p, c->body.n);
    bool read = grant_read(g, w->text, c->body.n, w->nodes, OIDC_NODES, &refused);
    if (c->status == 400 && read && refused)
        return GRANT_REFUSED;
    if (c->status != 200)
        return fail(j, REASON_AUTH_SERVICE_FAILED,
                    "the identity provider's token endpoint refuses the gateway; look whether "
                    "clientID, clientSecretRef, clientAuth and redirectURI are what it knows");
    return read ? GRANT_GOOD
                : fail(j, REASON_AUTH_SERVICE_FAILED,
                       "the identity provider's token endpoint gives no answer of OAuth 2.0");
}

enum grant_end grant_ask(struct judging *j, const struct method_law *m, struct str form,
                         struct grant *g) {
    struct errand *e = errand_about(j->known->errands, m->model->oidc);
    struct call *c = e ? container_of(e, struct call, errand) : NULL;
    if (!c && m->backend == UINT32_MAX)
        return fail(j, REASON_POLICY_UNAVAILABLE, "the token endpoint's backend is not there");
    if (!c)
        c = ask(j, m, form);
    if (!c)
        return fail(j, REASON_OVERLOADED, "no memory to ask the identity provider");
    return c->errand.is_done ? read_answer(j, c, g) : GRANT_WAITS;
}

/* ---- the ID token ---- */

static bool is_for(const struct jwt *t, const struct model_auth_oidc *o) {
    for (uint32_t i = 0; i < o->n_audiences; i++)
        if (jwt_is_for(t, o->audiences[i]))
            return true;
    return o->n_audiences == 0 && jwt_is_for(t, o->client_id);
}

/* OpenID Connect Core 1.0 section 3.1.3.7, but for signature and time. NULL: it is fine. */
static const char *fault_of(const struct jwt *t, const struct model_auth_oidc *o,
                            struct str nonce) {
    struct str says = text_named(&t->claims, "nonce");
    const struct claim *azp = claims_named(&t->claims, "azp");
    if (!str_eq(t->issuer, o->issuer))
        return "the ID token is of another issuer";
    if (!is_for(t, o))
        return "the ID token is for somebody else (aud)";
    if (azp && !str_eq(claim_text(&t->claims, azp), o->client_id))
        return "the ID token was given to somebody else (azp)";
    if (t->typ.n > 0 && !str_eq_nocase(t->typ, STR("JWT")))
        return "it is no ID token (typ)";
    if (t->subject.n == 0)
        return "the ID token says of nobody (sub)";
    if (nonce.n > 0 ? says.n != nonce.n || CRYPTO_memcmp(says.p, nonce.p, nonce.n) != 0 : false)
        return "the ID token is not of this login (nonce)";
    return NULL;
}

static struct bearer *refuse(struct judging *j, enum reason reason, const char *detail) {
    judge_refuse(j, reason, detail);
    return NULL;
}

static struct bearer *refuse_why(struct judging *j, const struct why *why) {
    char *text = j->env->text;
    struct out o = out_fixed(text, sizeof(j->env->text) - 1);
    out_lit(&o, "the ID token: ");
    out_str(&o, str_mk(why->text, size_min(strlen(why->text), o.cap - o.n)));
    text[o.n] = 0;
    return refuse(j, REASON_UNAUTHENTICATED, text);
}

static bool keys_are_there(const struct judging *j, const struct method_law *m) {
    return m->keys && (m->stale_after == 0 || (uint64_t)j->now < m->stale_after);
}

struct bearer *grant_verify(struct judging *j, const struct method_law *m, struct str id,
                            struct str nonce, int64_t *expires) {
    const struct model_auth_oidc *o = m->model->oidc;
    const struct jwt_rules rules = {.issuer = o->issuer, .skew_s = OIDC_SKEW_S};
    struct oidc *w = j->env->oidc;
    struct why why = {0};
    struct jwt t;
    if (!keys_are_there(j, m))
        return refuse(j, REASON_KEYS_UNAVAILABLE,
                      "the identity provider's keys are not there, or too old");
    if (id.n == 0)
        return refuse(j, REASON_AUTH_SERVICE_FAILED,
                      "the identity provider's token endpoint gives no ID token");
    if (jwt_read(&t, id, w->jwt, &why) != 0 || jwt_judge(&t, &rules, j->now, &why) != 0)
        return refuse_why(j, &why);
    const char *fault = fault_of(&t, o, nonce);
    if (fault)
        return refuse(j, REASON_UNAUTHENTICATED, fault);
    int bad = jwt_verify(&t, m->keys, m->algorithms, w->jwt, &why);
    if (bad == JWT_KEY_UNKNOWN) {
        judge_unknown_key(j->env, m->source);
        return refuse(j, REASON_KEYS_UNAVAILABLE,
                      "the ID token names a key that is not known yet; it is being looked for");
    }
    if (bad)
        return refuse_why(j, &why);
    *expires = t.expires;
    struct bearer *who = bearer_of(&t.claims);
    return who ? who : refuse(j, REASON_OVERLOADED, "no memory for a session");
}

struct bearer *grant_trust(struct oidc *w, const struct model_auth_oidc *o, struct str id) {
    struct why why = {0};
    struct jwt t;
    if (jwt_read(&t, id, w->jwt, &why) != 0 || fault_of(&t, o, STR_NONE) != NULL)
        return NULL;
    return bearer_of(&t.claims);
}
