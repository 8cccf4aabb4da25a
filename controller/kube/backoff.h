/* SPDX-License-Identifier: Apache-2.0
 *
 * backoff: how long to wait before asking again: doubling from 0.5 s to 30 s, each wait random
 * between half of it and all of it; what the server says (Retry-After) is the least.
 *
 *     struct backoff b = {0};
 *     failed:     wait = backoff_next(&b, &prng, answer->retry_after_ms)
 *     succeeded:  backoff_reset(&b)
 */
#ifndef SLUICE_CONTROLLER_KUBE_BACKOFF_H
#define SLUICE_CONTROLLER_KUBE_BACKOFF_H

#include "lib/hash.h"

enum { BACKOFF_FIRST_MS = 500, BACKOFF_LAST_MS = 30000 };

struct backoff {
    uint32_t next_ms; /* 0: nothing has failed */
};

/* Milliseconds to wait after one more failure. */
uint64_t backoff_next(struct backoff *b, struct prng *prng, uint64_t retry_after_ms);
static inline void backoff_reset(struct backoff *b) { b->next_ms = 0; }

#endif
