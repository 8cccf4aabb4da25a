/* SPDX-License-Identifier: Apache-2.0
 *
 * ratestore: a Redis or Valkey server that counts limits over the fleet for all proxies, as one
 * worker sees it. One connection, in which questions are sent without waiting for the answers
 * before; one script (ratestore_script.h) answers for all limits of a request at once, so that they
 * are taken from all or from none.
 *
 *     limits of a request ─┬─ some are left here ──────────► taken, nobody is asked
 *                          ├─ refused, for so long ────────► refused, nobody is asked
 *                          ├─ no connection ───────────────► onError: by shares, or refused
 *                          └─ else: an errand ─► script ─► taken, and some more for those to come
 *                                      └ nothing within `timeout`: as without a connection
 *
 * What is fetched ahead is of a count that is asked often and has much left: what 20 ms need, at
 * most an eighth of what is left. It was taken in the store, so that nobody ever gets more than the
 * limit; what nobody wanted within 100 ms is given back.
 *
 * Who does not answer in time is not asked by anybody until all that was asked is answered: a store
 * that hangs costs the requests that are under way one timeout, and later ones nothing. After a
 * second the connection is given up; it is dialled again after 100 ms, 200 ms, ... 2 s, and is up
 * when it has taken the script.
 *
 * The worker's thread.
 */
#ifndef SLUICE_PROXY_LIMIT_RATESTORE_H
#define SLUICE_PROXY_LIMIT_RATESTORE_H

#include "lib/metric.h"
#include "proxy/errand/errand.h"
#include "proxy/limit/limit.h"
#include "proxy/upstream/upstream.h"

struct ratestore;

/* upstreams: connections that are no stream's (upstream/aside.h). Both are borrowed. */
struct ratestore *ratestore_new(struct loop *l, struct upstreams *upstreams);
/* Before the pools are; NULL is fine. */
void ratestore_free(struct ratestore *s);
/* What the gateway says of it from now on. The snapshot lives until the next call. */
void ratestore_adopt(struct ratestore *s, const struct snapshot *law);

enum ratestore_says {
    RATESTORE_NONE,  /* no limit of these is its, or there is no store */
    RATESTORE_SAID,  /* those that are its have `count`, by_store and taken */
    RATESTORE_WAITS, /* an errand runs; ask anew when it is done */
    RATESTORE_DOWN,  /* it cannot be asked */
};
enum ratestore_says ratestore_ask(struct ratestore *s, struct limits_asked *a,
                                  struct errands *errands);
/* What was taken is not needed: something else has refused the request. */
void ratestore_untake(struct ratestore *s, const struct limits_asked *a);

/* Main thread: of all workers. */
void ratestore_metrics(const struct ratestore *const *stores, unsigned n, struct metric_text *t);

#endif
