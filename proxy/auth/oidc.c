/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/oidc.h"

#include "lib/form.h"
#include "lib/jwt.h"
#include "lib/mem.h"

#include <openssl/crypto.h>

enum {
    EARLY_S = 30,        /* tokens are renewed so long before they end, or ... */
    EARLY_PART = 4,      /* ... in the last quarter of their life */
    IN_VAIN_MS = 10000,  /* between two tries while the old tokens last, ... */
    AT_LAST_MS = 1000,   /* ... and then */
    NAP_MS = 20,         /* another request renews them */
    REWRITE_PART = 4,    /* of the idle time, after which a session is written anew ... */
    REWRITE_LEAST_S = 5, /* ... for those who do not keep it, too, not more often than that */
    LATE_S = 60,         /* an answer may be under way for so long */
    HINT_MAX = 4 << 10,  /* bytes of an ID token in an address */
};

/* ---- a worker's ---- */

struct oidc *oidc_ready(struct auth_env *env) {
    if (likely(env->oidc != NULL))
        return env->oidc;
    struct oidc *w = mem_try_zero(sizeof(*w));
    if (!w)
        return NULL;
    w->seal = seal_new();
    w->jwt = jwt_scratch_new();
    logins_init(&w->known);
    env->oidc = w;
    return w;
}

void oidc_free(struct oidc *w) {
    if (!w)
        return;
    logins_fini(&w->known);
    seal_free(w->seal);
    jwt_scratch_free(w->jwt);
    OPENSSL_cleanse(w, sizeof(*w));
    mem_free(w);
}

/* ---- what the files of this method share ---- */

struct str oidc_about(const struct method_law *m, const char *what, char room[ABOUT_MAX]) {
    const struct model_auth_oidc *k = m->model->oidc;
    struct out o = out_fixed(room, ABOUT_MAX);
    const struct str parts[] = {str_of(what), m->policy, m->model->name, k->cookie};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        out_str(&o, parts[i]);
        out_char(&o, 0);
    }
    must(!o.over); /* an id has at most MODEL_ID_MAX bytes, and check.c bounds the rest */
    return out_done(&o);
}

static uint64_t seconds(uint64_t ms, uint64_t usual) { return ms > 0 ? (ms + 999) / 1000 : usual; }
uint64_t oidc_ttl_s(const struct model_auth_oidc *o) { return seconds(o->ttl_ms, 8 * 3600); }
uint64_t oidc_idle_s(const struct model_auth_oidc *o) { return seconds(o->idle_ms, 3600); }

enum told oidc_answer(struct judging *j, uint16_t status, const struct out *fields,
                      const char *detail) {
    judge_refuse(j, REASON_NONE, detail);
    j->status = status;
    j->answer = out_done(fields);
    return TOLD_BAD;
}

static enum told bad(struct judging *j, enum reason reason, const char *detail) {
    judge_refuse(j, reason, detail);
    return TOLD_BAD;
}

static enum told nothing(struct judging *j, enum reason reason, const char *detail) {
    judge_refuse(j, reason, detail);
    return TOLD_NOTHING;
}

/* The browser may forget it when it counts no more. */
static uint64_t age_of(const struct model_auth_oidc *o, const struct session *s, uint64_t now) {
    uint64_t end = s->begun + oidc_ttl_s(o), idle = oidc_idle_s(o);
    uint64_t left = end > now ? end - now : 0;
    return left < idle ? left : idle;
}

bool oidc_seal(struct judging *j, const struct method_law *m, const struct session *s,
               struct str *text) {
    struct oidc *w = j->env->oidc;
    struct out plain = out_fixed(w->plain, SESSION_MAX);
    struct out cookie = out_fixed(w->cookie, sizeof(w->cookie));
    char about[ABOUT_MAX];
    session_write(s, &plain);
    if (plain.over || !seal_close(w->seal, j->x->snapshot->sessions, (uint64_t)j->now,
                                  oidc_about(m, "session", about), out_done(&plain), w->box))
        return false;
    jar_text(str_mk(w->box, plain.n + SEAL_OVER), &cookie);
    *text = out_done(&cookie);
    return !cookie.over;
}

void oidc_set(const struct judging *j, const struct model_auth_oidc *o, const struct session *s,
              struct str text, struct out *to) {
    jar_set_session(j->x->request, o, text, age_of(o, s, (uint64_t)j->now), to);
}

/* ---- a session ---- */

static const char *end_of(const struct model_auth_oidc *o, const struct session *s, int64_t now) {
    uint64_t at = (uint64_t)now;
    if (s->sealed > at + OIDC_SKEW_S || at >= s->begun + oidc_ttl_s(o))
        return "the session is over (ttl)";
    if (at >= s->sealed + oidc_idle_s(o))
        return "nobody has used the session for too long (idle)";
    return NULL;
}

/* NULL: it is none of ours, or there is no memory. */
static struct known *open_new(struct judging *j, const struct method_law *m,
                              const struct jar_pieces *p) {
    struct oidc *w = j->env->oidc;
    struct out text = out_fixed(w->cookie, sizeof(w->cookie));
    char about[ABOUT_MAX];
    struct str box, plain;
    struct session s;
    if (!jar_box(p, w->box, &box) ||
        !seal_open(w->seal, j->x->snapshot->sessions, (uint64_t)j->now,
                   oidc_about(m, "session", about), box, w->plain, &plain) ||
        !session_read(&s, plain))
        return NULL;
    struct bearer *who = grant_trust(w, m->model->oidc, s.id);
    if (!who)
        return NULL;
    for (unsigned i = 0; i < p->n; i++)
        out_str(&text, p->v[i]);
    return logins_add(&w->known, out_done(&text), plain, who, m->version);
}

static struct known *find(struct judging *j, const struct method_law *m,
                          const struct jar_pieces *p) {
    struct oidc *w = j->env->oidc;
    struct known *k = logins_find(&w->known, p->v, p->n);
    if (likely(k && k->version == m->version))
        return k;
    struct known *fresh = open_new(j, m, p);
    if (!fresh)
        return NULL;
    j->who.token = fresh->who;
    bool holds = claims_hold(j, m->claims, m->model->oidc->n_claims);
    j->who.token = NULL;
    if (holds)
        return fresh;
    logins_forget(&w->known, fresh);
    return NULL;
}

/* ---- it is written anew while it is used ---- */

/* So long, but not longer than a part of the tokens' life. */
static uint64_t part_of_life(const struct session *s, uint64_t most) {
    uint64_t part = s->over > s->got ? (s->over - s->got) / EARLY_PART : 0;
    return part < most ? part : most;
}

/* When tokens are renewed: before they are over, and early enough for other requests to go on
 * meanwhile. UINT64_MAX: never. */
static uint64_t due_at(const struct model_auth_oidc *o, const struct session *s) {
    if (s->refresh.n == 0 || o->no_refresh || s->over == 0)
        return UINT64_MAX;
    return s->over - part_of_life(s, EARLY_S);
}

/* Fields for the answer; caches in between keep no session. */
static void hand_out(struct judging *j, const struct method_law *m, const struct session *s,
                     struct str text) {
    struct out fields = out_fixed(j->env->oidc->fields, sizeof(j->env->oidc->fields));
    oidc_set(j, m->model->oidc, s, text, &fields);
    out_lit(&fields, "cache-control: no-store\r\n");
    if (!fields.over)
        j->to_client = out_done(&fields);
}

/* Not shortly before its tokens are renewed: an answer that is late would put the old ones in the
 * place of the new ones. */
static bool is_stale(const struct judging *j, const struct model_auth_oidc *o,
                     const struct known *k) {
    uint64_t now = (uint64_t)j->now, due = due_at(o, &k->is);
    return now >= k->is.sealed + oidc_idle_s(o) / REWRITE_PART &&
           (now >= k->written_s + REWRITE_LEAST_S || k->written_turn == j->env->turn) &&
           (due == UINT64_MAX || now + part_of_life(&k->is, LATE_S) < due);
}

static void rewrite(struct judging *j, const struct method_law *m, struct known *k) {
    struct session s = k->is;
    struct str text;
    if (likely(j->to_client.n > 0 || !is_stale(j, m->model->oidc, k)))
        return;
    s.sealed = k->written_s = (uint64_t)j->now;
    k->written_turn = j->env->turn;
    if (oidc_seal(j, m, &s, &text))
        hand_out(j, m, &s, text);
}

/* ---- tokens are renewed ---- */

struct nap {
    struct errand errand;
    struct timer timer;
};

static void on_nap(struct timer *t) {
    errand_done(&container_of(t, struct nap, timer)->errand, REASON_NONE);
}

static void drop_nap(struct errand *e) {
    struct nap *n = container_of(e, struct nap, errand);
    timer_fini(&n->timer);
    mem_free(n);
}

/* A while, then all is judged anew. */
static enum told nap(struct judging *j, const struct model_auth_oidc *o) {
    const void *about = &o->client_id;
    struct loop *l = j->env->loop;
    struct errand *e = errand_about(j->known->errands, about);
    struct nap *n = e ? container_of(e, struct nap, errand) : mem_try_zero(sizeof(*n));
    if (!n)
        return nothing(j, REASON_OVERLOADED, "no memory to wait for new tokens");
    if (!e) {
        timer_init(&n->timer, on_nap);
        errand_begin(j->known->errands, &n->errand, about, drop_nap);
    }
    n->errand.is_done = false;
    if (!timer_is_set(&n->timer))
        timer_set(l->wheel, &n->timer, l->now_ms + NAP_MS);
    return TOLD_WAITS;
}

/* The one that took the place of *k: known, or opened as if the browser had sent it; the browser
 * gets it. */
static enum told follow(struct judging *j, const struct method_law *m, struct known **k) {
    struct oidc *w = j->env->oidc;
    struct jar_pieces p;
    struct out text = out_fixed(w->next, sizeof(w->next));
    out_str(&text, (*k)->next); /* *k may go when another one comes */
    jar_cut(out_done(&text), &p);
    *k = find(j, m, &p);
    if (!*k)
        return nothing(j, REASON_FORBIDDEN,
                       "the session was renewed, and a claim that is required is missing now");
    hand_out(j, m, &(*k)->is, (*k)->text);
    return TOLD_GOOD;
}

/* False: it is not what a renewal gives, and the detail says why. */
static bool renewed(struct judging *j, const struct method_law *m, const struct known *k,
                    const struct grant *g, struct session *s) {
    uint64_t now = (uint64_t)j->now;
    int64_t expires = 0;
    *s = k->is;
    if (g->id.n > 0) {
        struct bearer *who = grant_verify(j, m, g->id, STR_NONE, &expires);
        if (!who)
            return false;
        bool same = str_eq(bearer_subject(who), bearer_subject(k->who));
        bearer_free(who);
        if (!same) { /* OpenID Connect Core 1.0 section 12.2 */
            judge_refuse(j, REASON_AUTH_SERVICE_FAILED, "the new ID token is of somebody else");
            return false;
        }
        s->id = g->id;
    }
    s->sealed = s->got = now;
    s->over = g->life_s > 0 ? now + g->life_s : (uint64_t)expires;
    if (g->refresh.n > 0)
        s->refresh = g->refresh;
    s->access = m->model->oidc->access_token ? g->access : STR_NONE;
    return true;
}

/* The old tokens go on as long as they last. */
static enum told in_vain(struct judging *j, struct known *k) {
    bool lasts = (uint64_t)j->now < k->is.over;
    k->vain_ms = j->env->loop->now_ms + (lasts ? IN_VAIN_MS : AT_LAST_MS);
    return lasts ? TOLD_GOOD : TOLD_NOTHING;
}

static enum told take_new(struct judging *j, const struct method_law *m, struct known **k,
                          const struct grant *g) {
    struct session s;
    struct str text;
    if (!renewed(j, m, *k, g, &s))
        return in_vain(j, *k);
    if (!oidc_seal(j, m, &s, &text) || !logins_follow(&j->env->oidc->known, *k, text)) {
        judge_refuse(j, REASON_OVERLOADED, "the new tokens cannot be kept");
        return in_vain(j, *k);
    }
    return follow(j, m, k);
}

static enum told ask_anew(struct judging *j, const struct method_law *m, struct known **k) {
    char *room = j->env->oidc->box;
    struct out form = out_fixed(room, sizeof(j->env->oidc->box));
    struct grant g;
    form_pair(&form, STR("grant_type"), STR("refresh_token"));
    form_pair(&form, STR("refresh_token"), (*k)->is.refresh);
    if (form.over)
        return nothing(j, REASON_AUTH_SERVICE_FAILED, "the refresh token is too long");
    switch (grant_ask(j, m, out_done(&form), &g)) {
    case GRANT_GOOD:
        return take_new(j, m, k, &g);
    case GRANT_WAITS:
        (*k)->busy_ms = j->env->loop->now_ms + OIDC_TIMEOUT_MS;
        return TOLD_WAITS;
    case GRANT_FAILED:
        return in_vain(j, *k);
    case GRANT_REFUSED: /* another proxy may have been faster: its session is on the way */
        if ((uint64_t)j->now < (*k)->is.over)
            return in_vain(j, *k);
        (*k)->ended = true;
        break;
    }
    return oidc_login(j, m, "the identity provider has ended the session");
}

static enum told renew(struct judging *j, const struct method_law *m, struct known **k) {
    const struct session *s = &(*k)->is;
    if (likely((uint64_t)j->now < due_at(m->model->oidc, s)))
        return TOLD_GOOD;
    if ((*k)->next.n > 0)
        return follow(j, m, k);
    bool ours = errand_about(j->known->errands, m->model->oidc) != NULL;
    bool lasts = (uint64_t)j->now < s->over, vain = j->env->loop->now_ms < (*k)->vain_ms;
    if (ours || (!vain && j->env->loop->now_ms >= (*k)->busy_ms))
        return ask_anew(j, m, k);
    if (lasts)
        return TOLD_GOOD;
    if (vain)
        return nothing(j, REASON_AUTH_SERVICE_FAILED,
                       "the tokens are over, and the identity provider does not renew them");
    return nap(j, m->model->oidc);
}

/* ---- the method ---- */

static bool stands_for(struct judging *j, const struct method_law *m, const struct known *k) {
    static const struct model_auth_jwt plain;
    j->who.token = k->who;
    j->who.jwt = &plain;
    return !m->model->consumers ||
           consumer_look_for(j, m, MODEL_AUTH_JWT, bearer_issuer(k->who), bearer_subject(k->who));
}

/* A backend that gets two fields of that name may believe either. */
static enum told give_access(struct judging *j, const struct method_law *m, const struct known *k) {
    struct oidc *w = j->env->oidc;
    if (!m->model->oidc->access_token)
        return TOLD_GOOD;
    if (j->authorized || (j->token && j->token->header.n == 0))
        return nothing(j, REASON_POLICY_UNAVAILABLE,
                       "another policy gives the backend a token in Authorization, where its "
                       "access token would be");
    struct out o = out_fixed(w->to_backend, sizeof(w->to_backend));
    out_lit(&o, "authorization: Bearer ");
    out_str(&o, k->is.access);
    out_lit(&o, "\r\n");
    judge_hide(j, STR("authorization"));
    if (k->is.access.n > 0 && !o.over)
        j->to_backend = out_done(&o);
    return TOLD_GOOD;
}

static enum told by_session(struct judging *j, const struct method_law *m) {
    const struct model_auth_oidc *o = m->model->oidc;
    struct jar_pieces p;
    enum place place = jar_session(j->x->request, o, &p);
    if (place == PLACE_NONE) {
        j->login = m;
        return TOLD_ABSENT;
    }
    if (!judge_show(j, &m->model->from[0]))
        return bad(j, REASON_UNAUTHENTICATED, "too many credentials");
    struct known *k = place == PLACE_ONE ? find(j, m, &p) : NULL;
    if (!k)
        return oidc_login(j, m, "the session is none of this policy's, or of a key that is over");
    const char *end =
        k->ended ? "the identity provider has ended the session" : end_of(o, &k->is, j->now);
    if (end)
        return oidc_login(j, m, end);
    enum told told = renew(j, m, &k);
    if (told != TOLD_GOOD)
        return told;
    rewrite(j, m, k);
    if (!stands_for(j, m, k))
        return bad(j, REASON_UNAUTHENTICATED,
                   "no Consumer that counts here has this issuer and subject");
    return give_access(j, m, k);
}

/* ---- logout (OpenID Connect RP-Initiated Logout 1.0 section 2) ---- */

static struct str id_token(struct judging *j, const struct method_law *m) {
    struct jar_pieces p;
    bool there = jar_session(j->x->request, m->model->oidc, &p) == PLACE_ONE;
    const struct known *k = there ? find(j, m, &p) : NULL;
    return k && k->is.id.n <= HINT_MAX ? k->is.id : STR_NONE;
}

/* Where the browser goes at last, as an address. */
static void put_target(const struct judging *j, const struct model_auth_oidc *o, struct out *to) {
    struct str uri = o->logout_uri.n > 0 ? o->logout_uri : STR("/");
    if (uri.p[0] == '/')
        login_origin(j, to);
    out_str(to, uri);
}

static void put_end_session(struct judging *j, const struct method_law *m, struct out *to) {
    const struct model_auth_oidc *o = m->model->oidc;
    char room[4096];
    struct out target = out_fixed(room, sizeof(room));
    struct str hint = id_token(j, m);
    put_target(j, o, &target);
    out_str(to, o->end_session);
    out_char(to, memchr(o->end_session.p, '?', o->end_session.n) ? '&' : '?');
    out_lit(to, "client_id=");
    form_put(to, o->client_id);
    form_pair(to, STR("post_logout_redirect_uri"), out_done(&target));
    if (hint.n > 0)
        form_pair(to, STR("id_token_hint"), hint);
    to->over = to->over || target.over;
}

static enum told logout(struct judging *j, const struct method_law *m) {
    const struct model_auth_oidc *o = m->model->oidc;
    struct oidc *w = j->env->oidc;
    struct out fields = out_fixed(w->fields, sizeof(w->fields));
    if (login_is_foreign(j)) /* an image of another site must not log anybody out */
        return bad(j, REASON_FORBIDDEN, "a logout that another site's page has asked for unseen");
    out_lit(&fields, "location: ");
    if (o->end_session.n > 0)
        put_end_session(j, m, &fields);
    else
        out_str(&fields, o->logout_uri.n > 0 ? o->logout_uri : STR("/"));
    out_lit(&fields, "\r\ncache-control: no-store\r\n");
    jar_clear_session(j->x->request, o, &fields);
    if (fields.over)
        return nothing(j, REASON_INTERNAL, "the logout's answer is too long");
    return oidc_answer(j, 302, &fields, "somebody has logged out");
}

enum told oidc_tell(struct judging *j, const struct method_law *m) {
    const struct model_auth_oidc *o = m->model->oidc;
    if (!oidc_ready(j->env))
        return nothing(j, REASON_OVERLOADED, "no memory for logins");
    if (!j->x->snapshot->sessions)
        return nothing(j, REASON_POLICY_UNAVAILABLE,
                       "no keys of sessions have come from a controller: it needs its Secret "
                       "(--link-secret)");
    if (!policy_is_https(j->x)) { /* cookies of ours are for https alone */
        j->login = m;
        return TOLD_ABSENT;
    }
    if (str_eq(j->x->path, o->redirect_path))
        return login_back(j, m);
    if (o->logout_path.n > 0 && str_eq(j->x->path, o->logout_path))
        return logout(j, m);
    return by_session(j, m);
}
