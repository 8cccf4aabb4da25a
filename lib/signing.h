/* SPDX-License-Identifier: Apache-2.0
 *
 * signing: what controller and proxy agree on about the keys of internal tokens.
 *
 *            from                next one's from     + period_s
 *     key 1  ├──── signs ────────┼──── published ────┤
 *     key 2  published ──────────├──── signs ────────┼──── published ...
 *     key 3                      published ──────────├──── signs ...
 *
 * Each is published a whole period before it signs, so who verifies has it by then; and a whole
 * period after it has, which is as long as any token of it is good. The last one signs until there
 * is another, however long the controller is away.
 */
#ifndef SLUICE_LIB_SIGNING_H
#define SLUICE_LIB_SIGNING_H

#include "lib/model.h"

enum {
    SIGNING_SECRET_MAX = 256, /* bytes of one, PKCS #8; of P-256 138 */
    SIGNING_KEYS_MAX = 4,     /* in one object */
    SIGNING_PERIOD_S = 24 * 3600,
    SIGNING_PERIOD_MAX_S = 30 * 86400,
    SIGNING_TTL_S = 60,
    SIGNING_TTL_MAX_S = 3600,
};
#define SIGNING_KEYS_ID "signing_keys/-/all"
/* Where every proxy tells the public keys, on every host: no route gets requests for it. */
#define JWKS_PATH       "/.well-known/sluice/jwks.json"

/* Whether the keys themselves can be read is not looked at. */
int signing_keys_check(const struct model_signing_keys *m, struct why *why) MUST_USE;

#endif
