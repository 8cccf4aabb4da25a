/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt: JSON Web Tokens (RFC 7519) in their compact form, signed (RFC 7515) with keys that are known
 * beforehand (RFC 7517), judged by the rules of RFC 8725.
 *
 *     header.payload.signature      base64url, without padding, canonical
 *       │       │        └── over "header.payload", by the one key that the header names
 *       │       └── claims: who says it, about whom, for whom, from when, until when
 *       └── alg and kid: which of *our* keys, and it must be that key's own algorithm
 *
 * Algorithms: RS, PS and ES with 256, 384, 512. A key has exactly one: that of its "alg"; without
 * one RS256 for RSA, and for EC the one of its curve. There is no "none" and no HMAC: a shared
 * secret in a key set is not a key here. Whatever a header says beyond alg and kid (jwk, jku, x5u)
 * is not looked at; what it calls critical is refused.
 *
 * Everything is refused with a sentence for the log; it holds no part of the token but alg, kid and
 * the names that it claims. No state, no I/O, any thread.
 */
#ifndef SLUICE_LIB_JWT_H
#define SLUICE_LIB_JWT_H

#include "lib/json.h"

enum {
    JWT_TOKEN_MAX = 8 << 10, /* bytes */
    JWT_SET_MAX = 256 << 10,
    JWT_KEYS_MAX = 64,
    JWT_SKEW_S = 60, /* between two clocks */
};

/* ---- keys ---- */

struct jwt_keys;

/* A JSON Web Key Set. Keys that are of no use here (encryption, HMAC, unknown curves, RSA below
 * 2048 bits) are left out; a set without any other is refused. NULL with *why. */
struct jwt_keys *jwt_keys_new(struct str set, struct why *why);
void jwt_keys_free(struct jwt_keys *k); /* NULL is fine */
size_t jwt_keys_count(const struct jwt_keys *k);

/* ---- tokens ---- */

struct jwt {
    cJSON *header, *claims;             /* what the rest borrows from */
    struct str alg, kid;                /* kid.n == 0: none */
    struct str signed_part;             /* of the token */
    struct out signature;               /* decoded */
    struct str issuer, subject;         /* n == 0: not said */
    int64_t expires, not_before;        /* Unix seconds; 0: not said */
    struct str namespace, account, pod; /* of the claim kubernetes.io; n == 0: not said */
};

/* Takes it apart and verifies nothing. Borrows the token. -1 with *why; else jwt_fini(). */
int jwt_read(struct jwt *t, struct str token, struct why *why) MUST_USE;
void jwt_fini(struct jwt *t);

bool jwt_is_for(const struct jwt *t, struct str audience); /* "aud", a string or a list */

/* Whether one of the keys has signed it. -1 with *why. */
int jwt_verify(const struct jwt *t, const struct jwt_keys *keys, struct why *why) MUST_USE;
/* Whether it counts now: exp must be said and not be over, nbf not lie ahead, aud hold the
 * audience, and iss be the issuer (n == 0: any). -1 with *why. */
int jwt_judge(const struct jwt *t, struct str issuer, struct str audience, int64_t now,
              struct why *why) MUST_USE;

/* A JWS as such, whatever its payload: for the vectors of others. -1 with *why. */
int jwt_verify_any(struct str token, const struct jwt_keys *keys, struct why *why) MUST_USE;

#endif
