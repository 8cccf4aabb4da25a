/* SPDX-License-Identifier: Apache-2.0
 *
 * seal: what a browser keeps for us and can neither read nor change: AES-256-GCM, with the keys
 * that all proxies share (lib/ticket.h).
 *
 *     1 │ from: 4 │ salt: 16 │ nonce: 12 │ as much as there was │ tag: 16
 *       │         └ HMAC-SHA256(key of `from`, salt) is the key of this box alone
 *       └ when the key that was used began to seal
 *
 * So no number of boxes wears a key out (28 random bytes divide them). What it is about (which
 * policy, which cookie, what for) is authenticated with it: a box of another kind is none.
 */
#ifndef SLUICE_PROXY_AUTH_SEAL_H
#define SLUICE_PROXY_AUTH_SEAL_H

#include "lib/ticket.h"

enum { SEAL_OVER = 1 + 4 + 16 + 12 + 16 }; /* bytes of a box beside what is in it */

struct seal; /* a worker's */
struct seal *seal_new(void);
void seal_free(struct seal *s); /* NULL is fine */

/* now: seconds since 1970. room: of plain.n + SEAL_OVER bytes, apart from plain. False: no key
 * seals now, or there is no memory. */
bool seal_close(struct seal *s, const struct model_session_keys *keys, uint64_t now,
                struct str about, struct str plain, char *room) MUST_USE;
/* room: of box.n bytes, apart from box. False: it is none of ours, or of a key that is over. */
bool seal_open(struct seal *s, const struct model_session_keys *keys, uint64_t now,
               struct str about, struct str box, char *room, struct str *plain) MUST_USE;

#endif
