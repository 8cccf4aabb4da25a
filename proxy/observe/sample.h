/* SPDX-License-Identifier: Apache-2.0
 *
 * sample: what the workers have counted since a moment ago, for whoever watches. It exists only
 * while somebody does, costs the workers nothing, and main, once a second:
 *
 *   each rule that was ever asked ── work unchanged? ── nothing to do (one cache line a worker)
 *                                └── changed ─► requests, failures, times ─► the largest of them
 *                                                             the largest: buckets and reasons too
 *
 * Bounded: it remembers six numbers a slot below the budget of routes, and all that is counted of
 * those that were among the largest the last time: their buckets begin with the second message in
 * a row. The rest is told as one, "other". Main thread.
 */
#ifndef SLUICE_PROXY_OBSERVE_SAMPLE_H
#define SLUICE_PROXY_OBSERVE_SAMPLE_H

#include "lib/wire.h"
#include "proxy/observe/observe.h"

struct sample;

/* Counts from now on. */
struct sample *sample_new(const struct observe *o);
void sample_free(struct sample *s); /* NULL is fine */

/* What came since the call before, or since sample_new(). routes: so many by requests, and so many
 * by failures; at most LIVE_ASKED_MAX. Lives until the next call. */
const struct wire_live *sample_take(struct sample *s, size_t routes);

#endif
