/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt_sign: tokens of our own, so that a backend learns one format whatever the client showed.
 *
 *     key (PKCS #8) ─► jwt_signer ─ jwt_sign ─► {"alg","kid","typ"}.claims.signature
 *                           └ jwt_signer_key ─► {kid, algorithm, DER} ─ jwt_set_json ─► key set
 *
 * A P-256 key signs with ES256, an Ed25519 key with EdDSA; the kid is the key's thumbprint.
 */
#ifndef SLUICE_LIB_JWT_SIGN_H
#define SLUICE_LIB_JWT_SIGN_H

#include "lib/jwt_keys.h"

/* A new private key, PKCS #8, for JWT_ES256 or JWT_EDDSA. */
void jwt_make_key(enum jwt_alg alg, struct out *to);

/* Never changes: any thread may sign, each with a scratch of its own. */
struct jwt_signer;
struct jwt_signer *jwt_signer_new(struct str pkcs8, struct why *why); /* NULL with *why */
void jwt_signer_free(struct jwt_signer *g);                           /* NULL is fine */
const struct jwt_key *jwt_signer_key(const struct jwt_signer *g);     /* its public half */

/* Writes a token; claims are a JSON object, typ a media type without "application/". -1: it cannot
 * be signed, or does not fit. */
int jwt_sign(const struct jwt_signer *g, struct str typ, struct str claims, struct jwt_scratch *s,
             struct out *to) MUST_USE;

#endif
