/* SPDX-License-Identifier: Apache-2.0
 *
 * oidc: a login with a browser (OpenID Connect Core 1.0 section 3.1, PKCE of RFC 7636 with S256).
 *
 *     browser ── GET /cart ───────► no session: 302 to the authorization_endpoint, with state,
 * nonce and code_challenge; a cookie has what belongs to them
 *     ... somebody logs in there ...
 *             ── GET /oauth2/callback?state&code ──► the cookie's state? code ─► token endpoint
 *             ◄─ 302 /cart, NAME=session             (an errand) ─► ID token, verified
 *     browser ── GET /cart, NAME=session ──────────► opened once, then known: passes
 *
 *     login.c     who is sent there, how one comes back     seal.h    what a browser keeps for us
 *     grant.c     the token endpoint                        jar.h     its cookies
 *     oidc.c      the method, renewal, logout               logins.h  who is in
 *
 * There is no state here that another proxy lacks: a session is what its cookies say. Tokens are
 * renewed a little before they end, by the first request of a worker that sees it; the others go on
 * with the old ones meanwhile, and get the new ones when they are there.
 */
#ifndef SLUICE_PROXY_AUTH_OIDC_H
#define SLUICE_PROXY_AUTH_OIDC_H

#include "proxy/auth/jar.h"
#include "proxy/auth/logins.h"
#include "proxy/auth/parts.h"
#include "proxy/auth/seal.h"

enum {
    OIDC_ANSWER_MAX = 48 << 10, /* bytes of an answer of the token endpoint */
    OIDC_NODES = 512,           /* values in it */
    OIDC_TIMEOUT_MS = 5000,     /* for it */
    OIDC_SKEW_S = 30,           /* between two clocks */
    OIDC_LOGIN_S = 600,         /* a login takes at most so long */
};

/* A worker's, made when it is first needed; room for one request at a time. */
struct oidc {
    struct seal *seal;
    struct logins known;
    struct jwt_scratch *jwt;
    struct claim nodes[OIDC_NODES];
    char text[OIDC_ANSWER_MAX + 1]; /* a question, then its answer */
    char fields[28 << 10];          /* of our answer */
    char to_backend[16 << 10];
    char box[JAR_TEXT_MAX], plain[JAR_TEXT_MAX], cookie[JAR_TEXT_MAX], next[JAR_TEXT_MAX];
};

/* NULL: there is no memory. */
struct oidc *oidc_ready(struct auth_env *env);
void oidc_free(struct oidc *w); /* NULL is fine */

/* What a box is about: for, policy, method, cookie. */
enum { ABOUT_MAX = 2048 };
struct str oidc_about(const struct method_law *m, const char *what, char room[ABOUT_MAX]);
uint64_t oidc_ttl_s(const struct model_auth_oidc *o);
uint64_t oidc_idle_s(const struct model_auth_oidc *o);
/* The refusal is an answer of its own: fields, with their line ends. TOLD_BAD. */
enum told oidc_answer(struct judging *j, uint16_t status, const struct out *fields,
                      const char *detail);
/* A session as the text of its cookies, which is in w->cookie. False: it is too large, or no key
 * seals. */
bool oidc_seal(struct judging *j, const struct method_law *m, const struct session *s,
               struct str *text);
/* Fields Set-Cookie for it. */
void oidc_set(const struct judging *j, const struct model_auth_oidc *o, const struct session *s,
              struct str text, struct out *to);

/* ---- login.c ---- */

/* https://host/path that the provider sends the browser back to. */
void login_origin(const struct judging *j, struct out *to); /* https://host of the request */
void login_redirect_uri(const struct judging *j, const struct model_auth_oidc *o, struct out *to);
/* Something on a page of another site has asked, and nobody sees it. */
bool login_is_foreign(const struct judging *j);
/* GET /oauth2/callback. */
enum told login_back(struct judging *j, const struct method_law *m);

/* ---- grant.c: RFC 6749 4.1.3, 5, 6 ---- */

struct grant { /* of the answer; borrows from struct oidc, of which only boxes are written meanwhile
                */
    struct str id, access, refresh; /* n == 0: none */
    uint64_t life_s;                /* of the access token; 0: not said */
};

enum grant_end {
    GRANT_GOOD,
    GRANT_WAITS,
    GRANT_REFUSED, /* invalid_grant: code, or refresh token, is none (any more) */
    GRANT_FAILED,  /* there is no answer that helps: reason and detail are set */
};

/* The question is sent once, and its answer read when it is there. form: its parameters but those
 * that say who we are. */
enum grant_end grant_ask(struct judging *j, const struct method_law *m, struct str form,
                         struct grant *g);
/* What an answer says. False: it is none. text: of n bytes, and one more; changed. */
bool grant_read(struct grant *g, char *text, size_t n, struct claim *nodes, size_t n_nodes,
                bool *refused);
/* The ID token: signature, iss, aud, azp, exp, and nonce (n == 0: of a renewal, where it may be
 * absent). NULL: detail, and the reason, say why. */
struct bearer *grant_verify(struct judging *j, const struct method_law *m, struct str id,
                            struct str nonce, int64_t *expires);
/* One that we have sealed ourselves. NULL: it is not the method's, or there is no memory. */
struct bearer *grant_trust(struct oidc *w, const struct model_auth_oidc *o, struct str id);

#endif
