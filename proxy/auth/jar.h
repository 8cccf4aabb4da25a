/* SPDX-License-Identifier: Apache-2.0
 *
 * jar: the cookies of a login (RFC 6265bis). Of a method whose cookie is called NAME:
 *
 *     NAME=3...  NAME-1=...  NAME-2=...   a session: base64url of a box (seal.h), and before it in
 *                                         how many cookies it is; browsers keep 4 kB of each
 *     NAME-login0 .. NAME-login3          a login that is under way, one for each of some tabs
 *     NAME-tries                          how often somebody has logged in just now
 *
 * All begin with NAME, so all are taken away before the backend sees them.
 */
#ifndef SLUICE_PROXY_AUTH_JAR_H
#define SLUICE_PROXY_AUTH_JAR_H

#include "lib/model.h"
#include "lib/out.h"
#include "proxy/auth/place.h"

enum {
    JAR_PIECES = 4,     /* cookies of a session */
    JAR_PIECE = 3840,   /* bytes of one */
    JAR_LOGINS = 4,     /* that may be under way in one browser */
    JAR_NAME_MAX = 128, /* bytes of a name */
    JAR_TEXT_MAX = JAR_PIECES * JAR_PIECE,
};

struct jar_pieces {
    unsigned n;
    struct str v[JAR_PIECES]; /* as they came */
};

/* PLACE_TWICE: it is there in pieces that do not belong together. */
enum place jar_session(const struct head *h, const struct model_auth_oidc *o,
                       struct jar_pieces *to);
/* One cookie, by what stands behind NAME ("-tries"). */
enum place jar_read(const struct head *h, const struct model_auth_oidc *o, const char *more,
                    struct str *value);
/* The base64url of a session in pieces; room: of JAR_TEXT_MAX bytes. False: it is none. */
bool jar_box(const struct jar_pieces *p, char *room, struct str *box) MUST_USE;
/* The text of the cookies of a session: a digit and base64url. */
void jar_text(struct str box, struct out *o);
unsigned jar_cut(struct str text, struct jar_pieces *to);

/* Fields Set-Cookie, each with its line end. age: seconds; 0: it goes. One of a login: it is needed
 * at the callback, whatever the session's Path is, on a way that begins at another site. */
void jar_set_login(const struct model_auth_oidc *o, const char *more, struct str value,
                   uint64_t age, struct out *to);
/* Of a session, and without what is left in the browser of a longer one. */
void jar_set_session(const struct head *h, const struct model_auth_oidc *o, struct str text,
                     uint64_t age, struct out *to);
void jar_clear_session(const struct head *h, const struct model_auth_oidc *o, struct out *to);

#endif
