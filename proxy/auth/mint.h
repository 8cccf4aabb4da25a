/* SPDX-License-Identifier: Apache-2.0
 *
 * mint: internal tokens (RFC 7519), one format for the backend whatever the client has shown, and
 * the memory of those that were signed. A signature costs more than all else of a judgement:
 *
 *     keys' version, ttl, what it would say ─► struct minted ─► the token
 *                                     └ none, or half of its time is over: signed anew
 *
 * So nobody gets a token that is over soon, and one caller's requests cost one signature in half a
 * ttl. Forgotten is the one that was not asked for for the longest time. A worker's own.
 */
#ifndef SLUICE_PROXY_AUTH_MINT_H
#define SLUICE_PROXY_AUTH_MINT_H

#include "lib/str.h"

enum {
    MINTED_MAX = 4096,          /* of one worker */
    MINTED_BYTES_MAX = 8 << 20, /* that they take */
    MINT_CLAIMS_MAX = 4096,     /* bytes of claims in one token */
};

struct mint;

struct mint *mint_new(void);
void mint_free(struct mint *m); /* NULL is fine */
size_t mint_count(const struct mint *m);

#endif
