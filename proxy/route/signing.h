/* SPDX-License-Identifier: Apache-2.0
 *
 * signing: the keys of internal tokens as workers see them, and their public halves as everybody
 * gets them at JWKS_PATH: bytes that are made once for a set of keys. Part of the snapshot; never
 * changed.
 */
#ifndef SLUICE_PROXY_ROUTE_SIGNING_H
#define SLUICE_PROXY_ROUTE_SIGNING_H

#include "lib/jwt_sign.h"
#include "lib/signing.h"

struct signing_law {
    uint64_t version;   /* of the object's content */
    uint32_t period_s;  /* no token is good for longer */
    struct str jwks;    /* JWK Set (RFC 7517) */
    struct str caching; /* a field of its answer, with its line end */
    uint32_t n;
    struct {
        uint64_t from;
        struct jwt_signer *signer;
    } keys[SIGNING_KEYS_MAX];
};

/* NULL with *why: a key cannot be read, or is none of P-256. m was checked. */
struct signing_law *signing_law_new(const struct model_signing_keys *m, uint64_t version,
                                    struct why *why);
void signing_law_free(struct signing_law *s); /* NULL is fine */

/* The one that signs now (seconds since 1970). Where all are of a time to come, by a clock that is
 * behind the controller's, it is the first one: it is published like the others. */
const struct jwt_signer *signing_law_now(const struct signing_law *s, int64_t now);

#endif
