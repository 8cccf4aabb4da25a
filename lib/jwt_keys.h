/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt_keys: the public keys that tokens are verified with. The controller reads a key set once,
 * says what it left out and hands the rest on as three plain things each; the proxy makes keys of
 * them:
 *
 *     JWK Set (RFC 7517) ─ jwt_set_new ─► {kid, algorithm, DER} ─ model ─► jwt_keys_of ─► jwt_keys
 *                               └► "keys[2] (kid "a") is left out: RSA of 1024 bits ..."
 *
 * A key has exactly one algorithm (RFC 8725 3.1): that of its "alg", if it is one of its kind.
 * Without one an EC or Ed key has that of its curve, and an RSA key RS256: issuers that leave "alg"
 * out (Entra, Okta among them) sign so, and another algorithm has to be said. (ES521 in a key is
 * read as ES512, a slip that is around; the curve binds it.)
 *
 * Left out: what is for encryption, shared secrets, private keys, unknown curves, RSA below 2048 or
 * above 8192 bits, points that are not on their curve, a member that is there twice.
 */
#ifndef SLUICE_LIB_JWT_KEYS_H
#define SLUICE_LIB_JWT_KEYS_H

#include "lib/arena.h"
#include "lib/jwt.h"

enum {
    JWT_SET_MAX = 256 << 10, /* bytes */
    JWT_KEYS_MAX = 64,
};

struct jwt_key {
    struct str kid; /* n == 0: none */
    enum jwt_alg alg;
    struct str der; /* SubjectPublicKeyInfo */
};

/* ---- a key set as it is published ---- */

struct jwt_set {
    struct jwt_key keys[JWT_KEYS_MAX];
    struct str left_out[JWT_KEYS_MAX]; /* a sentence each */
    size_t n_keys, n_left_out;
    struct arena arena;
};

/* NULL with *why: it is no key set. One in which no key is of use is one: n_keys == 0. */
struct jwt_set *jwt_set_new(struct str json, struct why *why);
void jwt_set_free(struct jwt_set *s); /* NULL is fine */

/* Keys as a JWK Set; and the name of a key that follows from it (RFC 7638, SHA-256: 43 characters).
 * -1: a key cannot be read. */
int jwt_set_json(const struct jwt_key *keys, size_t n, struct out *to) MUST_USE;
int jwt_thumbprint(struct str der, struct out *to) MUST_USE;

/* ---- keys to verify with ---- */

/* Never change: any thread may verify, each with a scratch of its own. NULL with *why: there is
 * none, there are too many, or one cannot be read or is not of its algorithm. */
struct jwt_keys *jwt_keys_of(const struct jwt_key *keys, size_t n, struct why *why);
/* Straight from a key set. NULL with *why: it is none, or has no key that is of use. */
struct jwt_keys *jwt_keys_new(struct str json, struct why *why);
void jwt_keys_free(struct jwt_keys *k); /* NULL is fine */
size_t jwt_keys_count(const struct jwt_keys *k);

#endif
