/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/backoff.h"

/* What is said by Retry-After is made random too, upwards: many clients were told the same. */
uint64_t backoff_next(struct backoff *b, struct prng *prng, uint64_t retry_after_ms) {
    uint32_t most = b->next_ms > 0 ? b->next_ms : BACKOFF_FIRST_MS;
    uint64_t wait = most / 2 + prng_below(prng, most / 2 + 1);
    b->next_ms = most < BACKOFF_LAST_MS / 2 ? most * 2 : BACKOFF_LAST_MS;
    return retry_after_ms > wait ? retry_after_ms + prng_below(prng, most / 2 + 1) : wait;
}
