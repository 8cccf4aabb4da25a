/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/mint.h"

#include "lib/list.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "proxy/auth/parts.h"
#include "proxy/route/signing.h"

enum {
    KEY_MAX = 2 * MINT_CLAIMS_MAX,
    KEY_NAME = 1 << 30, /* what follows is a name */
};

static const char too_much[] =
    "what its internal token would say is too long, or a scope has a space in it";

struct minted {
    struct list link; /* of mint.used: the one that was asked for last at the end */
    struct str key, token;
    size_t size;
    int64_t issued, expires;
};

struct mint {
    struct map by_key;
    struct list used;
    size_t size;
    struct jwt_scratch *scratch; /* NULL: nothing was signed yet */
    char key[KEY_MAX], claims[MINT_CLAIMS_MAX], words[MINT_CLAIMS_MAX];
    char token[JWT_TOKEN_MAX];
};

/* ---- memory ---- */

struct mint *mint_new(void) {
    struct mint *m = mem_zalloc(sizeof(*m));
    map_init(&m->by_key);
    list_init(&m->used);
    return m;
}

static struct minted *oldest(struct mint *m) {
    return list_entry(m->used.next, struct minted, link);
}

static void forget(struct mint *m, struct minted *t) {
    map_del(&m->by_key, t->key);
    list_del(&t->link);
    m->size -= t->size;
    mem_free(t);
}

void mint_free(struct mint *m) {
    if (!m)
        return;
    while (!list_empty(&m->used))
        forget(m, oldest(m));
    map_fini(&m->by_key);
    jwt_scratch_free(m->scratch);
    mem_free(m);
}

size_t mint_count(const struct mint *m) { return m->by_key.n; }

static void remember(struct mint *m, struct str key, struct str token, int64_t issued,
                     int64_t expires) {
    size_t size = sizeof(struct minted) + key.n + token.n;
    struct minted *t = mem_alloc(size);
    char *at = (char *)(t + 1);
    memcpy(at, key.p, key.n);
    memcpy(at + key.n, token.p, token.n);
    *t = (struct minted){.key = str_mk(at, key.n),
                         .token = str_mk(at + key.n, token.n),
                         .size = size,
                         .issued = issued,
                         .expires = expires};
    struct minted *old = map_get(&m->by_key, key);
    if (old)
        forget(m, old);
    map_put(&m->by_key, t->key, t);
    list_append(&m->used, &t->link);
    m->size += size;
    while (oldest(m) != t && (m->by_key.n > MINTED_MAX || m->size > MINTED_BYTES_MAX))
        forget(m, oldest(m));
}

/* NULL: none, or it is not to be used any more. A clock that was set back makes none good. */
static struct minted *find(struct mint *m, struct str key, int64_t now) {
    struct minted *t = map_get(&m->by_key, key);
    if (!t || now < t->issued || 2 * (t->expires - now) < t->expires - t->issued)
        return NULL;
    list_del(&t->link);
    list_append(&m->used, &t->link);
    return t;
}

/* ---- claims ---- */

/* They are written twice: as the key under which a token is remembered, for every request, and as
 * JSON when one is signed. In a key all is told by its length, so that no two are the same. */
struct pen {
    struct out *o;
    bool key;
};

static void put_raw(struct out *o, uint32_t mark, struct str s) {
    uint32_t n = (uint32_t)s.n | mark;
    out_bytes(o, &n, sizeof(n));
    out_bytes(o, s.p, s.n);
}

static void put_name(struct pen *p, struct str name) {
    if (p->key) {
        put_raw(p->o, KEY_NAME, name);
        return;
    }
    out_char(p->o, ',');
    out_json(p->o, name);
    out_char(p->o, ':');
}

static void put_value(struct pen *p, struct str value) {
    if (p->key)
        put_raw(p->o, 0, value);
    else
        out_json(p->o, value);
}

static void put_text(struct pen *p, struct str name, struct str value) {
    if (value.n == 0)
        return;
    put_name(p, name);
    put_value(p, value);
}

static struct str subject_of(const struct caller *w) {
    struct str s = w->token ? bearer_subject(w->token) : STR_NONE;
    return s.n > 0 ? s : caller_consumer(w);
}

/* RFC 8693 4.2: words with spaces between them. False: a word has one in it. */
static bool join_scope(struct mint *m, struct claim_words all, struct pen *p) {
    struct out words = out_fixed(m->words, sizeof(m->words));
    for (struct str word; claim_next(&all, &word);) {
        if (memchr(word.p, ' ', word.n))
            return false;
        if (words.n > 0)
            out_char(&words, ' ');
        out_str(&words, word);
    }
    put_text(p, STR("scope"), out_done(&words));
    return !words.over;
}

static bool put_scope(struct mint *m, const struct caller *w, struct pen *p) {
    const struct claim *c = w->token ? bearer_scopes(w->token, w->jwt) : NULL;
    if (!c)
        return true;
    struct claim_words all = claim_words(bearer_claims(w->token), c);
    if (!p->key)
        return join_scope(m, all, p);
    put_name(p, STR("scope"));
    for (struct str word; claim_next(&all, &word);)
        put_value(p, word);
    return true;
}

static void put_group(struct pen *p, unsigned *n, struct str group) {
    if ((*n)++ == 0) {
        put_name(p, STR("groups"));
        if (!p->key)
            out_char(p->o, '[');
    } else if (!p->key) {
        out_char(p->o, ',');
    }
    put_value(p, group);
}

static void put_groups(const struct caller *w, struct pen *p) {
    unsigned n = 0;
    for (uint32_t i = 0; w->known && i < w->consumer.consumer->n_groups; i++)
        put_group(p, &n, w->consumer.consumer->groups[i]);
    const struct claim *c = w->token && w->jwt->n_group_claim > 0
                                ? bearer_claim(w->token, w->jwt->group_claim, w->jwt->n_group_claim)
                                : NULL;
    if (c) {
        struct claim_words all = claim_words(bearer_claims(w->token), c);
        for (struct str word; claim_next(&all, &word);)
            put_group(p, &n, word);
    }
    if (n > 0 && !p->key)
        out_char(p->o, ']');
}

/* As the issuer wrote it. */
static void put_other(const struct caller *w, struct str name, struct pen *p) {
    const struct claim *c = w->token ? bearer_claim(w->token, &name, 1) : NULL;
    if (!c)
        return;
    put_name(p, name);
    uint32_t n = 0;
    size_t begin = p->o->n;
    if (p->key)
        out_bytes(p->o, &n, sizeof(n));
    claim_json(bearer_claims(w->token), c, p->o);
    n = (uint32_t)(p->o->n - begin - sizeof(n));
    if (p->key && !p->o->over)
        memcpy(p->o->p + begin, &n, sizeof(n));
}

static bool put_claim(struct mint *m, const struct caller *w, struct str name, struct pen *p) {
    if (str_eq(name, STR("sub")))
        put_text(p, name, subject_of(w));
    else if (str_eq(name, STR("scope")))
        return put_scope(m, w, p);
    else if (str_eq(name, STR("groups")))
        put_groups(w, p);
    else
        put_other(w, name, p);
    return true;
}

/* All but the issuer and the times. False: something cannot be said. */
static bool put_claims(struct mint *m, const struct judging *j,
                       const struct model_identity_token *t, struct pen *p) {
    static const struct str usual[] = {{"sub", 3}, {"scope", 5}, {"groups", 6}};
    const struct caller *w = &j->who;
    const struct str *names = t->n_claims > 0 ? t->claims : usual;
    size_t n = t->n_claims > 0 ? t->n_claims : ARRAY_LEN(usual);
    bool good = true;
    put_text(p, STR("aud"), t->audience);
    put_text(p, STR("method"), w->method);
    put_text(p, STR("consumer"), caller_consumer(w));
    for (size_t i = 0; i < n; i++)
        good = put_claim(m, w, names[i], p) && good;
    return good && !p->o->over;
}

/* ---- a token ---- */

/* For so many seconds. */
static int64_t ttl_of(const struct model_identity_token *t, const struct signing_law *s) {
    uint64_t ttl = t->ttl_ms > 0 ? t->ttl_ms / 1000 : SIGNING_TTL_S;
    return (int64_t)(ttl < s->period_s ? ttl : s->period_s);
}

/* n == 0: refused, with the reason. */
static struct str sign(struct mint *m, struct judging *j, const struct model_identity_token *t,
                       struct str key, int64_t ttl) {
    const struct snapshot *snap = j->x->snapshot;
    struct out claims = out_fixed(m->claims, sizeof(m->claims));
    struct out to = out_fixed(m->token, sizeof(m->token));
    struct pen pen = {.o = &claims};
    out_lit(&claims, "{\"iss\":\"sluice/");
    out_str(&claims, snap->class); /* a name of Kubernetes: nothing of it is escaped */
    out_char(&claims, '"');
    bool good = put_claims(m, j, t, &pen);
    int64_t expires = j->now + ttl;
    out_fmt(&claims, ",\"iat\":%lld,\"exp\":%lld}", (long long)j->now, (long long)expires);
    if (!good || claims.over) {
        judge_refuse(j, REASON_FORBIDDEN, too_much);
        return STR_NONE;
    }
    if (!m->scratch)
        m->scratch = jwt_scratch_new();
    if (jwt_sign(signing_law_now(snap->signing, j->now), STR("JWT"), out_done(&claims), m->scratch,
                 &to) != 0) {
        judge_refuse(j, REASON_INTERNAL, "its internal token cannot be signed");
        return STR_NONE;
    }
    remember(m, key, out_done(&to), j->now, expires);
    return out_done(&to);
}

static struct str name_of(const struct model_identity_token *t) {
    return t->header.n > 0 ? t->header : STR("authorization");
}

/* NULL: the backend may get it. */
static const char *refuses(const struct judging *j, const struct model_identity_token *t) {
    const struct exchange *x = j->x;
    if (t->header.n > 0 && !policy_is_identity(x->snapshot->gateway, t->header))
        return "the header of its internal token is none of this gateway's identity headers, so "
               "clients could set it as well";
    if (j->token && str_eq(name_of(j->token), name_of(t)))
        return "two policies give the backend an internal token in the same header";
    if (t->header.n == 0 && (j->authorized || j->to_backend.n > 0))
        return "the backend gets an access token in Authorization, where its internal token would "
               "be";
    if (x->rule->has_filters && !policy_keeps(x, MODEL_FILTER_REQUEST_HEADERS, name_of(t)))
        return "a filter of the route changes the header of the internal token";
    return x->snapshot->signing || j->env->explaining
               ? NULL
               : "no key to sign its internal token with is there";
}

int mint_write(struct judging *j, struct out *o) {
    const struct model_identity *id = j->who.law->model->identity;
    const struct model_identity_token *t = id ? id->token : NULL;
    const struct signing_law *s = j->x->snapshot->signing;
    if (!t)
        return 0;
    const char *refused = refuses(j, t);
    if (refused)
        return judge_refuse(j, REASON_POLICY_UNAVAILABLE, refused);
    if (unlikely(j->env->explaining != NULL)) { /* the keys are the controller's secret */
        out_str(o, name_of(t));
        out_lit(o, ": (internal token)\r\n");
        j->token = t;
        return 0;
    }
    struct mint *m = j->env->mint;
    struct out key = out_fixed(m->key, sizeof(m->key));
    struct pen pen = {.o = &key, .key = true};
    const int64_t ttl = ttl_of(t, s);
    const uint64_t head[2] = {s->version, (uint64_t)ttl};
    out_bytes(&key, head, sizeof(head));
    put_raw(&key, 0, j->x->snapshot->class);
    if (!put_claims(m, j, t, &pen))
        return judge_refuse(j, REASON_FORBIDDEN, too_much);
    struct minted *known = find(m, out_done(&key), j->now);
    struct str token = known ? known->token : sign(m, j, t, out_done(&key), ttl);
    if (token.n == 0)
        return -1;
    j->token = t;
    out_str(o, name_of(t));
    out_str(o, t->header.n > 0 ? STR(": ") : STR(": Bearer "));
    out_str(o, token);
    out_lit(o, "\r\n");
    return 0;
}
