/* SPDX-License-Identifier: Apache-2.0
 *
 * introspect: tokens that only their authorisation server knows (RFC 7662). It is asked once for
 * each, and what it said is remembered for a while, under what was hashed of the token. What it
 * says stands for the claims of a token from there on.
 */
#include "proxy/auth/parts.h"

#include "lib/mem.h"

#include <openssl/evp.h>

enum {
    TIMEOUT_MS = 500,
    CACHE_MS = 30000,
    TOKEN_MAX = 8 << 10, /* bytes */
    SAID_MAX = 32 << 10, /* of an answer */
    SAID_NODES = 1024,   /* values in it */
    FORM_ROOM = 3 * (TOKEN_MAX + 2 * 1024) + 256,
};

/* ---- the question ---- */

/* application/x-www-form-urlencoded. */
static void put_form(struct out *o, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain)
            out_char(o, (char)c);
        else
            out_fmt(o, "%%%02X", c);
    }
}

/* RFC 6749 2.3.1: name and password are forms before they are Basic. */
static void put_basic(struct out *o, const struct model_auth_introspection *k) {
    char plain[3 * 2 * 1024 + 1], coded[sizeof(plain) / 3 * 4 + 8];
    struct out p = out_fixed(plain, sizeof(plain));
    put_form(&p, k->client_id);
    out_char(&p, ':');
    put_form(&p, k->client_secret);
    o->over |= p.over;
    if (p.over)
        return;
    int n = EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)plain, (int)p.n);
    out_lit(o, "authorization: Basic ");
    out_bytes(o, coded, (size_t)n);
    out_lit(o, "\r\n");
    explicit_bzero(plain, sizeof(plain));
    explicit_bzero(coded, sizeof(coded));
}

static void put_body(struct out *o, const struct model_auth_introspection *k, struct str token) {
    out_lit(o, "token=");
    put_form(o, token);
    out_lit(o, "&token_type_hint=access_token");
    if (!k->post)
        return;
    out_lit(o, "&client_id=");
    put_form(o, k->client_id);
    out_lit(o, "&client_secret=");
    put_form(o, k->client_secret);
}

static void put_head(struct judging *j, const struct method_law *m, size_t n, struct out *o) {
    const struct model_auth_introspection *k = m->model->introspection;
    out_lit(o, "POST ");
    out_str(o, k->path);
    out_lit(o, " HTTP/1.1\r\nhost: ");
    if (k->host.n > 0)
        out_str(o, k->host);
    else
        service_write_host(snapshot_backend(j->x->snapshot, m->backend), o);
    out_lit(o, "\r\naccept: application/json\r\n"
               "content-type: application/x-www-form-urlencoded\r\n");
    if (!k->post)
        put_basic(o, k);
    out_lit(o, "x-request-id: ");
    out_str(o, j->x->request_id);
    out_lit(o, "\r\ntraceparent: ");
    out_str(o, j->x->traceparent);
    out_lit(o, "\r\ncontent-length: ");
    out_u64(o, n);
    out_lit(o, "\r\n\r\n");
}

static struct question *ask(struct judging *j, const struct method_law *m, struct str token,
                            struct hash_wide key) {
    const struct model_auth_introspection *k = m->model->introspection;
    struct out body = out_heap(FORM_ROOM), head = out_heap(FORM_ROOM);
    put_body(&body, k, token);
    put_head(j, m, body.n, &head);
    const struct service_want want = {
        .method = m,
        .call = {.backend = snapshot_backend(j->x->snapshot, m->backend),
                 .head = out_done(&head),
                 .body = out_done(&body),
                 .timeout_ms = k->timeout_ms > 0 && k->timeout_ms < UINT32_MAX
                                   ? (uint32_t)k->timeout_ms
                                   : TIMEOUT_MS,
                 .body_max = SAID_MAX},
        .read = introspect_read,
        .answers = k->uncached ? NULL : j->env->answers,
        .key = key,
        .keep_ms = k->cache_ms > 0 ? k->cache_ms : CACHE_MS};
    struct question *q = NULL;
    if (!head.over && !body.over)
        q = service_ask(&j->env->services, j->env->calls, j->known->errands, &want);
    out_fini(&head);
    out_fini(&body);
    return q;
}

/* ---- the answer ---- */

/* Whole seconds since 1970; fractions are cut off. False: it is no time. */
static bool time_of(const struct claims *c, const char *name, int64_t otherwise, int64_t *t) {
    const struct claim *one = claims_named(c, name);
    struct str whole, rest = str_cut(claim_text(c, one), '.', &whole);
    uint64_t v;
    *t = otherwise;
    if (!one)
        return true;
    if (one->kind != CLAIM_NUMBER || !str_to_u64(whole, INT64_MAX, &v))
        return false;
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] < '0' || rest.p[i] > '9')
            return false; /* 1.8e9 is another number than 1 */
    *t = (int64_t)v;
    return true;
}

static bool is_for(const struct model_auth_introspection *k, const struct claims *c) {
    const struct claim *aud = claims_named(c, "aud");
    struct claim_words words = claim_words(c, aud);
    struct str one;
    if (k->n_audiences == 0)
        return true;
    if (aud && aud->kind == CLAIM_TEXT) { /* one name, also one with spaces */
        words.rest = STR_NONE;
        for (uint32_t i = 0; i < k->n_audiences; i++)
            if (str_eq(k->audiences[i], claim_text(c, aud)))
                return true;
    }
    while (claim_next(&words, &one))
        for (uint32_t i = 0; i < k->n_audiences; i++)
            if (str_eq(k->audiences[i], one))
                return true;
    return false;
}

/* What an active one lacks; NULL: nothing. Claims that the policy requires are looked at when it is
 * used. */
static const char *fault_of(const struct model_auth_introspection *k, const struct claims *c,
                            int64_t now, int64_t *expires) {
    int64_t from;
    if (!time_of(c, "exp", INT64_MAX, expires) || !time_of(c, "nbf", 0, &from))
        return "its exp or nbf is no time";
    if (*expires <= now)
        return "the token has expired";
    if (from > now)
        return "the token is not valid yet";
    return is_for(k, c) ? NULL : "the token is for another audience";
}

static struct verdict *verdict_of(const struct model_auth_introspection *k, const struct claims *c,
                                  int64_t now) {
    const struct claim *active = claims_named(c, "active");
    struct verdict v = {.expires = INT64_MAX};
    if (active->kind != CLAIM_TRUE) {
        v.unknown = true;
        return verdict_new(&v);
    }
    v.detail = fault_of(k, c, now, &v.expires);
    v.good = !v.detail;
    if (!v.good)
        v.expires = INT64_MAX;
    else if (!(v.token = bearer_of(c)))
        return NULL;
    return verdict_new(&v);
}

struct verdict *introspect_read(const struct method_law *m, const struct call *c, int64_t now,
                                enum reason *reason, const char **detail) {
    struct verdict *v = NULL;
    struct claims claims;
    struct why why = {0};
    *reason = REASON_AUTH_SERVICE_FAILED;
    *detail = c->status == 401 || c->status == 403
                  ? "the authorisation server does not accept the gateway's own name and password"
                  : "the authorisation server did not answer with 200";
    if (c->status != 200)
        return NULL;
    struct claim *nodes = mem_try(SAID_NODES * sizeof(*nodes));
    char *text = mem_try(c->body.n + 1);
    *detail = "no memory for what the authorisation server says";
    if (nodes && text) {
        if (c->body.n > 0)
            memcpy(text, c->body.p, c->body.n);
        *detail = "the authorisation server's answer is not one of RFC 7662";
        if (claims_read(&claims, text, c->body.n, nodes, SAID_NODES, &why) == 0) {
            const struct claim *active = claims_named(&claims, "active");
            if (active && (active->kind == CLAIM_TRUE || active->kind == CLAIM_FALSE))
                v = verdict_of(m->model->introspection, &claims, now);
        }
    }
    mem_free(nodes);
    mem_free(text);
    return v;
}

/* ---- the method ---- */

static enum told bad(struct judging *j, const char *detail) {
    judge_refuse(j, REASON_UNAUTHENTICATED, detail);
    j->challenge = "invalid_token";
    return TOLD_BAD;
}

static enum told says(struct judging *j, const struct method_law *m, const struct verdict *v) {
    static const struct model_auth_jwt usual; /* scope, or scp */
    if (v->unknown) {
        j->unknown = true; /* it may be another method's */
        return TOLD_ABSENT;
    }
    if (!v->good)
        return bad(j, v->detail);
    if (v->expires <= j->now)
        return bad(j, "the token has expired");
    j->who.token = v->token;
    j->who.jwt = &usual;
    if (!claims_hold(j, m->claims, m->model->introspection->n_claims))
        return bad(j, "a claim that is required is missing, or is another one");
    if (!m->model->consumers ||
        consumer_look_for(j, m, MODEL_AUTH_JWT, bearer_issuer(v->token), bearer_subject(v->token)))
        return TOLD_GOOD;
    return bad(j, "no Consumer that counts here has this issuer and subject");
}

static enum told came(struct judging *j, const struct method_law *m, const struct question *q) {
    if (!q->errand.is_done)
        return TOLD_WAITS;
    if (q->errand.reason == REASON_NONE)
        return says(j, m, q->verdict);
    judge_refuse(j, q->errand.reason, q->detail ? q->detail : "the service could not be asked");
    return TOLD_NOTHING;
}

enum told introspect_tell(struct judging *j, const struct method_law *m) {
    struct hash_secret h;
    struct str token;
    switch (judge_find(j, m->model->from, m->model->n_from, &token)) {
    case PLACE_NONE:
        return TOLD_ABSENT;
    case PLACE_TWICE:
        return bad(j, "the token is there twice");
    case PLACE_ONE:
        break;
    }
    if (token.n == 0 || token.n > TOKEN_MAX)
        return bad(j, "the token is empty, or too long to be one");
    const struct question *q = service_asked(j->known->errands, m);
    if (q)
        return came(j, m, q);
    answer_key_begin(j, m, &h);
    hash_secret_str(&h, token);
    struct hash_wide key = hash_secret_end(&h);
    const struct verdict *v = m->model->introspection->uncached
                                  ? NULL
                                  : answers_get(j->env->answers, key, j->env->loop->now_ms);
    if (v)
        return says(j, m, v);
    if (m->backend == UINT32_MAX || !snapshot_backend(j->x->snapshot, m->backend)) {
        judge_refuse(j, REASON_POLICY_UNAVAILABLE, "the authorisation server is not there");
        return TOLD_NOTHING;
    }
    if (unlikely(j->env->explaining != NULL))
        return explain_asks(j, m);
    q = ask(j, m, token, key);
    if (q)
        return came(j, m, q);
    judge_refuse(j, REASON_OVERLOADED, "no memory for a question to the authorisation server");
    return TOLD_NOTHING;
}
