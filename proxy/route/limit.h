/* SPDX-License-Identifier: Apache-2.0
 *
 * limit: rate limits as workers see them: what the model says, in the units that are counted in.
 * Part of the snapshot; never changed. What they count is elsewhere (proxy/limit/).
 *
 *     traffic.rate_limits ──► struct limit_law ◄── rule.limits: of the policy that targets it
 *     auth.failure_limit  ──► struct limit_law ◄── auth_law.failures
 *     consumer.rate_limit ──► made when the Consumer is found: limit_law_of_quota()
 */
#ifndef SLUICE_PROXY_ROUTE_LIMIT_H
#define SLUICE_PROXY_ROUTE_LIMIT_H

#include "proxy/route/snapshot.h"

#define LIMIT_PER_MAX_MS ((uint64_t)366 * 86400000)

/* So many in what time. A bucket fits in a word: the time at which it will be full again. */
struct limit_rate {
    uint64_t requests; /* in per_ms; 1 .. INT32_MAX */
    uint64_t per_ms;   /* 1 .. LIMIT_PER_MAX_MS */
    uint64_t burst;    /* bucket: at once; >= 1 */
    bool window;       /* at most `requests` in any stretch of per_ms; else a bucket */
};

struct limit_law {
    /* A number that it keeps over changes of its policy, for its counters and its share; given out
     * again only when no snapshot has it. UINT32_MAX: a Consumer's quota has none. */
    uint32_t slot;
    /* Of its policy's id, its name and how it counts; the same in every proxy. Counters of another
     * identity are others. Never 0. */
    uint64_t identity;
    struct str policy; /* "NAMESPACE/NAME" of the policy or Consumer */
    struct str name;   /* "failureLimit" and "rateLimit" for those that have none */
    struct str item;   /* `"name";q=100;w=60`, for RateLimit-Policy */
    struct str alone;  /* both fields of a request that nothing else limits, up to `;r=` */
    struct limit_rate rate;
    bool fleet;       /* the numbers are for all proxies: this one has a share of them */
    bool dry_run;     /* it only counts */
    bool fail_closed; /* refuses when the store does not answer */
    const struct model_rate_limit *model; /* keys, groups; NULL: a failure limit */
};

/* A Consumer's, from its id and its model; strings borrow from both, and item is in room. */
enum { LIMIT_ITEM_MAX = 128 };
void limit_law_of_quota(struct limit_law *to, struct str consumer,
                        const struct model_rate_limit *model, char room[LIMIT_ITEM_MAX]);

/* NULL if that slot is empty in this snapshot; slots are below snapshot->limit_slots. Those of
 * traffic and auth policies. */
const struct limit_law *snapshot_limit(const struct snapshot *s, uint32_t slot);

#endif
