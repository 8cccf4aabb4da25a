/* SPDX-License-Identifier: Apache-2.0
 *
 * limit: whether a caller has asked too often. Two questions for each request, both answered from
 * memory (counts.h); nothing here waits:
 *
 *     route ─► limit_failures() ─► guard ─► limit_ask() ─► backend
 *                │ 429                │401     │ 429
 *                ▼                    ▼        ▼
 *              an address that     counts    rateLimits of the policy of the rule, the quota of the
 *              failed too often              Consumer: all must allow it, else nothing is taken
 *
 * A store that counts for all proxies (GatewayConfig rateLimitStore) is asked between the two
 * halves of limit_ask(): limit_gather(), [the store], limit_decide().
 */
#ifndef SLUICE_PROXY_LIMIT_H
#define SLUICE_PROXY_LIMIT_H

#include "lib/metric.h"
#include "proxy/auth/auth.h"
#include "proxy/errand/errand.h"
#include "proxy/limit/counts.h"
#include "proxy/limit/portions.h"
#include "proxy/net/loop.h"

enum {
    LIMITS_OF_POLICY = 16,               /* as the API has it */
    LIMITS_ASKED = LIMITS_OF_POLICY + 1, /* and a quota */
    LIMIT_APART_MAX = 64 << 10,          /* bytes of all that one request is counted apart by */
};

/* What a worker has decided. */
struct limit_sums {
    uint64_t identity; /* of the limit; 0: being emptied */
    uint64_t allowed, refused, dry_refused;
    uint64_t shared; /* of these, counted in a place that several keys share */
};

/* A worker's. */
struct limit_env {
    struct loop *loop;
    struct auth_env *auth;     /* knows who asks */
    struct limit_table *table; /* of all workers; NULL: nothing is counted, and everything passes */
    struct ratestore *store;   /* counts for all proxies, where the gateway has one (ratestore.h) */
    bool waits;                /* the last limit_ask() has sent an errand: ask anew */
    struct limit_sums sums[LIMITS_MAX]; /* by slot */
    struct limit_sums quotas, others;   /* of Consumers; without a slot below LIMITS_MAX */
    char apart[LIMIT_APART_MAX];        /* scratch, of one request */
};

/* Borrows all three; table as above. */
struct limit_env *limit_env_new(struct loop *l, struct auth_env *auth, struct limit_table *table);
void limit_env_free(struct limit_env *env); /* NULL is fine */

/* ---- the hooks of the stream ---- */

/* What is kept with a stream, in a block of the loop's slabs. */
struct limited {
    uint8_t slab;
    bool refused;      /* `fields` are those of the 429 */
    bool dry;          /* one that only counts would have refused it */
    struct str policy; /* refused or dry: of the limit, NS/NAME ... */
    struct str name;   /* ... and its name */
    struct str fields; /* of the answer, each with its line end */
};

/* Asks all limits. env->waits: nothing is decided yet. x->rule is set, x->request is its head and
 * nothing of it is hidden yet, and what it is guarded by has agreed. client: v4 as v4-mapped. *out
 * NULL: none count for it; else it is the caller's. False: no memory; the request must be refused.
 */
bool limit_ask(struct limit_env *env, const struct exchange *x, const uint8_t client[16],
               struct errands *errands, struct limited **out) MUST_USE;

/* Before anybody is asked who he is: an address that has failed too often is refused whatever it
 * shows. As above; *out is NULL, or refused. */
bool limit_failures(struct limit_env *env, const struct exchange *x, const uint8_t client[16],
                    struct limited **out) MUST_USE;
/* It was asked, and what it has shown is wrong; policy: that says so, NS/NAME. */
void limit_failed(struct limit_env *env, const struct exchange *x, const uint8_t client[16],
                  struct str policy);

void limit_drop(struct limit_env *env, struct limited *l); /* NULL is fine */

/* ---- the halves of limit_ask() ---- */

struct limit_asked {
    const struct limit_law *law;
    uint64_t key;             /* of the counter, here */
    struct str apart;         /* what is counted apart: the same bytes in every proxy */
    bool over_fleet;          /* its share is of portions.h */
    uint32_t share;           /* of this proxy, in millionths */
    bool taken;               /* by_store: from the store's count */
    bool by_store;            /* `count` was filled by who has asked it, and took one */
    struct limit_count count; /* after deciding */
};

struct limits_asked {
    unsigned n;
    struct limit_asked v[LIMITS_ASKED];
    struct limit_law quota; /* what v may point at */
    char item[LIMIT_ITEM_MAX];
};

/* Which limits count for it, and where. `apart` is in env, until the next request. False: none. */
bool limit_gather(struct limit_env *env, const struct exchange *x, const uint8_t client[16],
                  struct limits_asked *a);
/* NULL: all have allowed it, and it was taken from all. Else the one that refuses, and nothing was
 * taken here. *dry: one that only counts would have refused it, or NULL. Counts the decisions. */
const struct limit_asked *limit_decide(struct limit_env *env, struct limits_asked *a,
                                       const struct limit_asked **dry);
/* RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), and Retry-After where
 * one refuses (NULL: none). */
void limit_write_fields(const struct limits_asked *a, const struct limit_asked *refuses,
                        struct out *o);

/* ---- metrics ---- */

/* Main thread: sluice_rate_limit_decisions_total and _shared_total, of the limits of that
 * snapshot. */
void limit_metrics(const struct limit_env *const *envs, unsigned n, const struct snapshot *s,
                   struct metric_text *t);
/* Any thread: adds what a worker has decided for that law. */
void limit_sum(const struct limit_env *env, const struct limit_law *law, struct limit_sums *to);

#endif
