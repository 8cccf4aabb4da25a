/* SPDX-License-Identifier: Apache-2.0
 *
 * answers: what services have said, and the memory of it, so that the same question is not asked
 * again and again.
 *
 *     policy and its version ─┐
 *     token, or session ──────┴─► 128 bits, keyed ─► struct verdict
 *
 * What is secret is not kept, only what was hashed of it with a key that nobody knows (lib/hash.h).
 * Bounded by number and bytes: the answer that was not asked for the longest time goes. Refusals
 * have a room of their own, a quarter: whoever invents tokens forgets nobody else's. A worker's
 * own; a hit costs no memory.
 */
#ifndef SLUICE_PROXY_AUTH_ANSWERS_H
#define SLUICE_PROXY_AUTH_ANSWERS_H

#include "lib/claims.h"
#include "lib/hash.h"
#include "proxy/auth/bearer.h"

enum {
    ANSWERS_MAX = 4096,          /* of one worker; and a quarter of it refusals */
    ANSWERS_BYTES_MAX = 4 << 20, /* that they take; likewise */
    ANSWER_KEEP_MAX = 16 << 10,  /* a larger one is not kept */
};

/* What was said of one request. Never changed once it is made. */
struct verdict {
    unsigned holds;
    bool good;             /* it passes, or the token is one */
    bool once;             /* it is for this request alone */
    bool unknown;          /* no good: it is no token of theirs */
    uint16_t status;       /* refused: of the answer to the client; 0: the reason's own */
    struct str to_backend; /* fields, each with its line end */
    struct str to_client;  /* likewise: of the final answer, or of the refusal */
    struct str hidden;    /* names of the client's fields that do not go on, each with a line end */
    struct str body;      /* of the refusal */
    struct str consumer;  /* that was named, once; n == 0: none was */
    const char *detail;   /* refused: a constant sentence */
    struct bearer *token; /* introspection: what was said; owned; NULL: nothing */
    int64_t expires;      /* seconds since 1970: no good from then on; INT64_MAX: no end */
};

/* A copy of it all, but for the token, which is taken. One hold. NULL: no memory; the token is
 * gone. */
struct verdict *verdict_new(const struct verdict *from) MUST_USE;
struct verdict *verdict_hold(struct verdict *v);
void verdict_drop(struct verdict *v); /* NULL is fine */

struct answers;
struct answers *answers_new(void);
void answers_free(struct answers *all); /* NULL is fine */
size_t answers_count(const struct answers *all);

/* Borrowed until something is put. NULL: it is not known. Times in milliseconds. */
struct verdict *answers_get(struct answers *all, struct hash_wide key, uint64_t now_ms);
/* Takes a hold of its own. Without memory, or when it is too large, it is forgotten. */
void answers_put(struct answers *all, struct hash_wide key, struct verdict *v, uint64_t until_ms);

#endif
