/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt: JSON Web Tokens (RFC 7519) in their compact form, signed (RFC 7515) with keys that are known
 * beforehand (lib/jwt_keys.h), or with one secret; judged by the rules of RFC 8725. Tokens of our
 * own: lib/jwt_sign.h.
 *
 *     header.payload.signature      base64url, without padding, canonical
 *       │       │        └── over "header.payload", by the one key that the header names
 *       │       └── claims: who says it, about whom, for whom, from when, until when
 *       └── alg and kid: which of *our* keys, and it must be that key's own algorithm
 *
 * There is no "none". A secret is never in a key set and a key never a secret: they are verified by
 * different functions, and each takes its own algorithms alone. Whatever a header says beyond alg,
 * kid and typ (jwk, jku, x5u, x5c, x5t) is not looked at; what it calls critical is refused.
 *
 * Everything is refused with a sentence for the log; it holds no part of the token but alg, kid,
 * typ and issuer, escaped and cut. There is no I/O, and no allocation for a token: all of it lies
 * in a scratch, of which a thread has one.
 */
#ifndef SLUICE_LIB_JWT_H
#define SLUICE_LIB_JWT_H

#include "lib/claims.h"

enum {
    JWT_TOKEN_MAX = 8 << 10, /* bytes */
    JWT_KID_MAX = 256,
    JWT_TRIES_MAX = 8, /* keys that one token is tried with */
    JWT_SKEW_S = 60,   /* between two clocks */
};

/* ---- algorithms (RFC 7518 3.1, RFC 8037 3.1) ---- */

enum jwt_alg {
    JWT_RS256,
    JWT_RS384,
    JWT_RS512,
    JWT_PS256,
    JWT_PS384,
    JWT_PS512,
    JWT_ES256,
    JWT_ES384,
    JWT_ES512,
    JWT_EDDSA, /* Ed25519 and Ed448: the key says which */
    JWT_HS256,
    JWT_HS384,
    JWT_HS512,
    JWT_ALGS,
};

#define JWT_ALG(a)      (1U << (a))                            /* as one of a set */
#define JWT_ALGS_KEY    (JWT_ALG(JWT_HS256) - 1)               /* those with a key */
#define JWT_ALGS_SECRET (JWT_ALG(JWT_ALGS) - 1 - JWT_ALGS_KEY) /* those with a secret */

const char *jwt_alg_name(enum jwt_alg alg);
bool jwt_alg_named(struct str name, enum jwt_alg *alg) MUST_USE;

/* ---- room ---- */

/* 23 kB, and 1 kB for each key that it met lately. */
struct jwt_scratch;
struct jwt_scratch *jwt_scratch_new(void);
void jwt_scratch_free(struct jwt_scratch *s); /* NULL is fine */

/* ---- tokens ---- */

/* Borrows from the token and from the scratch: it is gone with the next one that is read there.
 * What is to stay: claims_copy(). n == 0, NULL, 0: not said. */
struct jwt {
    enum jwt_alg alg;
    struct str kid, typ;
    struct str signed_part; /* of the token */
    struct str signature;   /* decoded */
    struct str payload;     /* decoded; gone when it was read as claims */
    struct claims header, claims;
    struct str issuer, subject, id;
    const struct claim *audience;
    int64_t expires, not_before, issued; /* Unix seconds */
};

/* Takes it apart and verifies nothing. -1 with *why. */
int jwt_read(struct jwt *t, struct str token, struct jwt_scratch *s, struct why *why) MUST_USE;
/* A JWS as such, whatever its payload: there are no claims. */
int jws_read(struct jwt *t, struct str token, struct jwt_scratch *s, struct why *why) MUST_USE;

/* ---- whether its signature is right ---- */

struct jwt_keys;

enum { JWT_KEY_UNKNOWN = 1 };

/* Whether one of the keys has signed it, with one of the algorithms (a set of JWT_ALG). Keys of
 * another kid, or of another algorithm, are not tried; those without a kid are, as is any when the
 * token names none. Else -1, or JWT_KEY_UNKNOWN when none of that kid is there, so that a newer
 * key set may help; with *why. */
int jwt_verify(const struct jwt *t, const struct jwt_keys *keys, uint32_t algorithms,
               struct jwt_scratch *s, struct why *why) MUST_USE;

/* The same with a secret, which is for one algorithm. -1 with *why. */
int jwt_verify_secret(const struct jwt *t, enum jwt_alg alg, struct str secret,
                      struct jwt_scratch *s, struct why *why) MUST_USE;
/* A secret is at least as long as the hash (RFC 7518 3.2); there is no way around it. -1 with *why,
 * which says how long. */
int jwt_secret_check(enum jwt_alg alg, struct str secret, struct why *why) MUST_USE;

/* ---- whether it counts ---- */

struct jwt_rules {
    struct str issuer;           /* what iss must be; n == 0: any */
    const struct str *audiences; /* one must be in aud */
    size_t n_audiences;          /* 0: aud is not looked at */
    struct str typ;              /* n == 0: JWT, at+jwt or none */
    int64_t skew_s;              /* between two clocks: for exp, nbf, iat */
};

/* exp must be said and not be over, nbf and iat not lie ahead, iss and aud fit, and typ, in any
 * case and with or without "application/" (RFC 7515 4.1.9, RFC 8725 3.11). -1 with *why. */
int jwt_judge(const struct jwt *t, const struct jwt_rules *rules, int64_t now,
              struct why *why) MUST_USE;

bool jwt_is_for(const struct jwt *t, struct str audience); /* aud, a text or a list */
/* RFC 8705 3.1: whether it is bound to the certificate with this SHA-256. */
bool jwt_is_bound_to(const struct jwt *t, const unsigned char sha256[32]);

#endif
