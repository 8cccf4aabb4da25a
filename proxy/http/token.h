/* SPDX-License-Identifier: Apache-2.0
 *
 * token: the field names that Sluice knows, as small numbers, so that nothing on the request path
 * compares names as text. The table is token.def.
 *
 * Two tokens stand for a whole prefix: X_FORWARDED_ANY is every name that begins with
 * "x-forwarded-" and has no token of its own, X_ENVOY_ANY every one that begins with "x-envoy-".
 */
#ifndef SLUICE_PROXY_HTTP_TOKEN_H
#define SLUICE_PROXY_HTTP_TOKEN_H

#include "lib/str.h"

enum token {
    TOKEN_OTHER, /* a name that the table does not have */
#define TOKEN(NAME, name, flags) TOKEN_##NAME,
#include "proxy/http/token.def"
#undef TOKEN
    TOKENS
};

enum token_flags {
    TOKEN_IS_HOP = 1,    /* of one connection only: never forwarded (RFC 9110 7.6.1) */
    TOKEN_IS_SINGLE = 2, /* a second one in a request is refused */
    TOKEN_IS_FAMILY = 4, /* the forwarded family: removed unless the peer is trusted (S32) */
    TOKEN_IS_PINNED = 8, /* a Connection field that names it does not remove it (S33) */
};

struct token_info {
    struct str name; /* lower case */
    uint8_t flags;   /* enum token_flags */
};
extern const struct token_info tokens[TOKENS]; /* tokens[TOKEN_OTHER].name is "" */

static inline unsigned token_flags(enum token t) { return tokens[t].flags; }
static inline struct str token_name(enum token t) { return tokens[t].name; }

/* Any bytes, any case; TOKEN_OTHER when the table does not have it. At most about 60 instructions
 * for the names of usual messages. */
enum token token_of(struct str name);

#endif
