/* SPDX-License-Identifier: Apache-2.0
 *
 * login: to the identity provider and back. What the way back must show (state), what the ID token
 * must say (nonce) and what the code is bound to (PKCE's verifier) are in a cookie of that browser,
 * sealed and good for ten minutes: nobody can begin a login for somebody else.
 */
#include "proxy/auth/oidc.h"

#include "lib/base64url.h"
#include "lib/form.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

enum {
    SECRET = 32,      /* bytes of state, nonce, verifier; each 43 characters */
    SECRET_TEXT = 43, /* RFC 7636 4.1: at least 43 */
    HOME_MAX = 1500,  /* bytes of where the browser wanted to go */
    LOGIN_MAX = 8 + 3 * SECRET + HOME_MAX,
    BOX_MAX = LOGIN_MAX + SEAL_OVER,
    BEGUN_MAX = 5, /* logins ... */
    TRIES_S = 60,  /* ... in so many seconds */
    VALUE_MAX = 2048,
};

struct login {
    uint64_t begun;
    char state[SECRET_TEXT], nonce[SECRET_TEXT], verifier[SECRET_TEXT];
    struct str home;
};

/* ---- who is sent there ---- */

static struct str field(const struct judging *j, struct str name) {
    unsigned from = 0;
    const struct head_field *f = head_each(j->x->request, name, &from);
    return f ? head_value(j->x->request, f) : STR_NONE;
}

static bool contains(struct str text, struct str word) {
    for (; text.n >= word.n; text = str_skip(text, 1))
        if (str_eq_nocase(str_mk(text.p, word.n), word))
            return true;
    return false;
}

/* Scripts, images and frames would follow a redirect and make nothing of the page behind it. */
static bool navigates(const struct judging *j) {
    struct str mode = field(j, STR("sec-fetch-mode")), dest = field(j, STR("sec-fetch-dest"));
    if (mode.n > 0)
        return str_eq(mode, STR("navigate")) && (dest.n == 0 || str_eq(dest, STR("document")));
    return contains(field(j, STR("accept")), STR("text/html")) &&
           field(j, STR("x-requested-with")).n == 0;
}

static bool is_sent(const struct judging *j, const struct model_auth_oidc *o) {
    struct str type = field(j, STR("content-type"));
    bool grpc = type.n > 16 && str_eq_nocase(str_mk(type.p, 16), STR("application/grpc"));
    if (!policy_is_https(j->x) || j->x->host.n == 0 || j->x->upgrade.n > 0)
        return false;
    return o->asks == MODEL_OIDC_REDIRECT ? !grpc : o->asks == MODEL_OIDC_AUTO && navigates(j);
}

bool login_is_foreign(const struct judging *j) {
    struct str mode = field(j, STR("sec-fetch-mode")), site = field(j, STR("sec-fetch-site"));
    return mode.n > 0 && !str_eq(mode, STR("navigate")) && !str_eq(site, STR("same-origin")) &&
           !str_eq(site, STR("none"));
}

/* ---- addresses ---- */

void login_origin(const struct judging *j, struct out *to) {
    out_lit(to, "https://");
    out_str(to, j->x->host);
    if (j->x->host_port == 0 || j->x->host_port == 443)
        return;
    out_char(to, ':');
    out_u64(to, j->x->host_port);
}

void login_redirect_uri(const struct judging *j, const struct model_auth_oidc *o, struct out *to) {
    out_str(to, o->redirect_uri);
    if (o->redirect_uri.n > 0)
        return;
    login_origin(j, to);
    out_str(to, o->redirect_path);
}

static bool is_visible(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return true;
}

/* Where the browser wanted to go: of this host alone ("//evil" and "/\evil" are other hosts to a
 * browser). What was sent there is lost, so a form's target is not asked again. */
static void put_home(const struct judging *j, const struct model_auth_oidc *o, struct out *to) {
    const struct exchange *x = j->x;
    bool reads = x->method == METHOD_GET || x->method == METHOD_HEAD;
    bool good = reads && x->path.n > 0 && x->path.p[0] == '/' && is_visible(x->path) &&
                is_visible(x->query) &&
                (x->path.n == 1 || (x->path.p[1] != '/' && x->path.p[1] != '\\'));
    if (o->redirect_uri.n > 0) /* of perhaps another host, under the same cookies */
        login_origin(j, to);
    size_t begin = to->n;
    if (good) {
        out_str(to, x->path);
        if (x->has_query) {
            out_char(to, '?');
            out_str(to, x->query);
        }
    }
    if (good && !to->over)
        return;
    to->over = false;
    to->n = begin;
    out_char(to, '/');
}

/* ---- loops: a browser that keeps no session would be sent round and round ---- */

static uint64_t number(struct str bytes, size_t at, unsigned n) {
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | (unsigned char)bytes.p[at + i];
    return v;
}

static void put_number(struct out *o, uint64_t v, unsigned n) {
    while (n-- > 0)
        out_char(o, (char)(v >> (8 * n)));
}

/* The value of a cookie of ours, opened. */
static bool open_value(struct judging *j, const struct method_law *m, const char *more,
                       struct str *plain) {
    struct oidc *w = j->env->oidc;
    char about[ABOUT_MAX];
    struct str value;
    size_t n = 0;
    if (jar_read(j->x->request, m->model->oidc, more, &value) != PLACE_ONE ||
        value.n > sizeof(w->box) || !base64url_decode(value, w->box, &n))
        return false;
    return seal_open(w->seal, j->x->snapshot->sessions, (uint64_t)j->now,
                     oidc_about(m, more, about), str_mk(w->box, n), w->plain, plain);
}

static bool set_value(struct judging *j, const struct method_law *m, const char *more,
                      struct str plain, uint64_t age, struct out *to) {
    struct oidc *w = j->env->oidc;
    char about[ABOUT_MAX], box[BOX_MAX], text[BOX_MAX / 3 * 4 + 8];
    struct out value = out_fixed(text, sizeof(text));
    if (plain.n > LOGIN_MAX || !seal_close(w->seal, j->x->snapshot->sessions, (uint64_t)j->now,
                                           oidc_about(m, more, about), plain, box))
        return false;
    base64url_put(&value, box, plain.n + SEAL_OVER);
    jar_set_login(m->model->oidc, more, out_done(&value), age, to);
    return !value.over;
}

/* Logins in the last minute, and when the first of them was. */
static unsigned tries(struct judging *j, const struct method_law *m, uint64_t *since) {
    struct str plain;
    *since = (uint64_t)j->now;
    if (!open_value(j, m, "-tries", &plain) || plain.n != 9)
        return 0;
    uint64_t at = number(plain, 0, 8);
    if (at > (uint64_t)j->now || at + TRIES_S <= (uint64_t)j->now)
        return 0;
    *since = at;
    return (unsigned char)plain.p[8];
}

static bool count_try(struct judging *j, const struct method_law *m, struct out *to) {
    char room[9];
    struct out plain = out_fixed(room, sizeof(room));
    uint64_t since;
    unsigned n = tries(j, m, &since);
    put_number(&plain, since, 8);
    put_number(&plain, n + 1, 1);
    return set_value(j, m, "-tries", out_done(&plain), TRIES_S, to);
}

/* ---- there ---- */

static const char *slot_name(const char *state) {
    static const char *const names[JAR_LOGINS] = {"-login0", "-login1", "-login2", "-login3"};
    return names[(unsigned char)state[0] % JAR_LOGINS];
}

static void encode(char to[SECRET_TEXT], const unsigned char *from) {
    struct out o = out_fixed(to, SECRET_TEXT);
    base64url_put(&o, from, SECRET);
    must(o.n == SECRET_TEXT && !o.over);
}

static void put_challenge(const struct login *l, struct out *to) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    must(EVP_Digest(l->verifier, SECRET_TEXT, hash, &n, EVP_sha256(), NULL) == 1);
    base64url_put(to, hash, n);
}

static void put_location(const struct judging *j, const struct model_auth_oidc *o,
                         const struct login *l, struct out *to) {
    char room[VALUE_MAX], hash[SECRET_TEXT];
    struct out uri = out_fixed(room, sizeof(room)), challenge = out_fixed(hash, sizeof(hash));
    login_redirect_uri(j, o, &uri);
    put_challenge(l, &challenge);
    out_lit(to, "location: ");
    out_str(to, o->authorize);
    form_pair(to, STR("redirect_uri"), out_done(&uri));
    form_pair(to, STR("state"), str_mk(l->state, SECRET_TEXT));
    form_pair(to, STR("nonce"), str_mk(l->nonce, SECRET_TEXT));
    form_pair(to, STR("code_challenge"), out_done(&challenge));
    out_lit(to, "\r\ncache-control: no-store\r\n");
    to->over = to->over || uri.over;
}

/* begun: 8 │ state, nonce, verifier: 32 each │ home */
static bool begin(struct judging *j, const struct method_law *m, struct out *to) {
    const struct model_auth_oidc *o = m->model->oidc;
    unsigned char secrets[3 * SECRET];
    char room[LOGIN_MAX];
    struct out plain = out_fixed(room, sizeof(room));
    struct login l;
    if (RAND_bytes(secrets, sizeof(secrets)) != 1)
        return false;
    encode(l.state, secrets);
    encode(l.nonce, secrets + SECRET);
    encode(l.verifier, secrets + 2 * (size_t)SECRET);
    put_number(&plain, (uint64_t)j->now, 8);
    out_bytes(&plain, secrets, sizeof(secrets));
    put_home(j, o, &plain);
    put_location(j, o, &l, to);
    bool good = set_value(j, m, slot_name(l.state), out_done(&plain), OIDC_LOGIN_S, to);
    OPENSSL_cleanse(room, sizeof(room));
    OPENSSL_cleanse(secrets, sizeof(secrets));
    return good && !to->over;
}

enum told oidc_login(struct judging *j, const struct method_law *m, const char *detail) {
    const struct model_auth_oidc *o = m->model->oidc;
    struct oidc *w = oidc_ready(j->env);
    struct out fields = w ? out_fixed(w->fields, sizeof(w->fields)) : out_fixed(NULL, 0);
    uint64_t since;
    j->lapsed = true;
    if (!is_sent(j, o)) {
        judge_refuse(j, REASON_UNAUTHENTICATED, detail);
        return TOLD_BAD;
    }
    if (unlikely(j->env->explaining != NULL))
        return oidc_answer(j, 302, &fields, detail);
    if (!w || !j->x->snapshot->sessions) {
        judge_refuse(j, REASON_POLICY_UNAVAILABLE, "no keys of sessions are there");
        return TOLD_NOTHING;
    }
    if (tries(j, m, &since) >= BEGUN_MAX) {
        judge_refuse(j, REASON_UNAUTHENTICATED,
                     "the browser logs in again and again, and shows no session: look at the "
                     "cookie's domain, path and sameSite");
        return TOLD_BAD;
    }
    if (!begin(j, m, &fields)) {
        judge_refuse(j, REASON_POLICY_UNAVAILABLE,
                     "no login can be begun: no key of sessions seals now");
        return TOLD_NOTHING;
    }
    return oidc_answer(j, 302, &fields, detail);
}

/* ---- and back ---- */

/* A parameter that must be there once at most; False: it is there twice, or is too long. */
static bool parameter(struct str query, struct str name, char *room, struct str *value) {
    struct str rest = query, pair, encoded;
    unsigned n = 0;
    *value = STR_NONE;
    while (rest.p) {
        rest = str_cut(rest, '&', &pair);
        if (!head_form_is(pair, name, &encoded))
            continue;
        if (n++ > 0 || !head_form_decode(encoded, room, VALUE_MAX, value))
            return false;
    }
    return true;
}

static enum told refuse(struct judging *j, const char *detail) {
    judge_refuse(j, REASON_UNAUTHENTICATED, detail);
    return TOLD_BAD;
}

/* What this browser was sent away with. */
static bool find(struct judging *j, const struct method_law *m, struct str state, struct login *l) {
    struct str plain;
    if (state.n != SECRET_TEXT || !open_value(j, m, slot_name(state.p), &plain) ||
        plain.n <= 8 + 3 * SECRET || plain.n > LOGIN_MAX)
        return false;
    const unsigned char *secrets = (const unsigned char *)plain.p + 8;
    l->begun = number(plain, 0, 8);
    encode(l->state, secrets);
    encode(l->nonce, secrets + SECRET);
    encode(l->verifier, secrets + 2 * (size_t)SECRET);
    l->home = str_skip(plain, 8 + 3 * (size_t)SECRET);
    uint64_t now = (uint64_t)j->now;
    return CRYPTO_memcmp(l->state, state.p, SECRET_TEXT) == 0 && l->begun <= now + OIDC_SKEW_S &&
           now < l->begun + OIDC_LOGIN_S;
}

static void put_form(const struct judging *j, const struct model_auth_oidc *o,
                     const struct login *l, struct str code, struct out *form) {
    char room[VALUE_MAX];
    struct out uri = out_fixed(room, sizeof(room));
    login_redirect_uri(j, o, &uri);
    form_pair(form, STR("grant_type"), STR("authorization_code"));
    form_pair(form, STR("code"), code);
    form_pair(form, STR("redirect_uri"), out_done(&uri));
    form_pair(form, STR("code_verifier"), str_mk(l->verifier, SECRET_TEXT));
    form->over = form->over || uri.over;
}

/* A cookie with SameSite=Strict is not sent along a way that began at another site: the browser
 * begins a new one here. */
static enum told go_home(struct judging *j, const struct model_auth_oidc *o, struct str home,
                         struct out *fields) {
    bool strict = o->same_site == MODEL_SITE_STRICT;
    out_str(fields, strict ? STR("refresh: 0; url=") : STR("location: "));
    out_str(fields, home);
    out_lit(fields, "\r\ncache-control: no-store\r\n");
    return oidc_answer(j, strict ? 200 : 302, fields, "somebody has logged in");
}

static enum told enter(struct judging *j, const struct method_law *m, const struct grant *g,
                       const struct login *l) {
    const struct model_auth_oidc *o = m->model->oidc;
    struct oidc *w = j->env->oidc;
    struct out fields = out_fixed(w->fields, sizeof(w->fields));
    char home[HOME_MAX];
    struct out kept = out_fixed(home, sizeof(home));
    int64_t expires = 0;
    uint64_t now = (uint64_t)j->now;
    struct str text;
    out_str(&kept, l->home); /* its room is needed */
    struct bearer *who = grant_verify(j, m, g->id, str_mk(l->nonce, SECRET_TEXT), &expires);
    if (!who)
        return TOLD_BAD;
    j->who.token = who;
    bool holds = claims_hold(j, m->claims, o->n_claims);
    j->who.token = NULL;
    bearer_free(who);
    if (!holds) {
        judge_refuse(j, REASON_FORBIDDEN,
                     "a claim that is required is missing in the ID token, or is another one");
        return TOLD_BAD;
    }
    const struct session s = {.begun = now,
                              .sealed = now,
                              .got = now,
                              .over = g->life_s > 0 ? now + g->life_s : (uint64_t)expires,
                              .id = g->id,
                              .refresh = o->no_refresh ? STR_NONE : g->refresh,
                              .access = o->access_token ? g->access : STR_NONE};
    bool good = oidc_seal(j, m, &s, &text);
    if (good)
        oidc_set(j, o, &s, text, &fields);
    good = good && count_try(j, m, &fields);
    jar_set_login(o, slot_name(l->state), STR_NONE, 0, &fields);
    if (good && !fields.over && !kept.over)
        return go_home(j, o, out_done(&kept), &fields);
    judge_refuse(j, REASON_AUTH_SERVICE_FAILED,
                 "the session is too large for its cookies; ask for fewer scopes, or for tokens "
                 "with fewer claims");
    return TOLD_BAD;
}

static enum told exchange(struct judging *j, const struct method_law *m, struct str code,
                          const struct login *l) {
    char room[4 * VALUE_MAX];
    struct out form = out_fixed(room, sizeof(room));
    struct grant g;
    put_form(j, m->model->oidc, l, code, &form);
    if (form.over)
        return refuse(j, "the code is too long");
    switch (grant_ask(j, m, out_done(&form), &g)) {
    case GRANT_GOOD:
        return enter(j, m, &g, l);
    case GRANT_WAITS:
        return TOLD_WAITS;
    case GRANT_REFUSED:
        return refuse(j,
                      "the identity provider does not take the code: it was used, or is too old");
    case GRANT_FAILED:
        break;
    }
    return TOLD_NOTHING;
}

enum told login_back(struct judging *j, const struct method_law *m) {
    const struct model_auth_oidc *o = m->model->oidc;
    char rooms[4][VALUE_MAX];
    struct str state, code, error, iss, query = j->x->query;
    struct login l;
    if (j->x->method != METHOD_GET)
        return refuse(j, "the way back from the identity provider is a GET");
    if (!parameter(query, STR("state"), rooms[0], &state) ||
        !parameter(query, STR("code"), rooms[1], &code) ||
        !parameter(query, STR("error"), rooms[2], &error) ||
        !parameter(query, STR("iss"), rooms[3], &iss))
        return refuse(j, "a parameter of the way back is there twice, or cannot be read");
    if (!find(j, m, state, &l))
        return refuse(j, "this browser has not begun that login, or too long ago (state)");
    if (iss.n > 0 && !str_eq(iss, o->issuer)) /* RFC 9207 2.4 */
        return refuse(j, "the answer is of another identity provider (iss)");
    if (error.n > 0 || code.n == 0)
        return refuse(j, "the identity provider has let nobody in (error)");
    return exchange(j, m, code, &l);
}
