/* SPDX-License-Identifier: Apache-2.0
 *
 * sum: one series of all workers. Main thread; private to observe.
 */
#ifndef SLUICE_PROXY_OBSERVE_SUM_H
#define SLUICE_PROXY_OBSERVE_SUM_H

#include "proxy/observe/counts.h"

/* The slots below top for which a worker has counted, ascending, so that families need not look at
 * all of them: of 100,000 routes most are idle. */
struct sum_slots {
    uint32_t *slot, n;
};
struct sum_slots sum_slots_routes(const struct observe *o, uint32_t top);
struct sum_slots sum_slots_backends(const struct observe *o, uint32_t top);
struct sum_slots sum_slots_policies(const struct observe *o, uint32_t top);
void sum_slots_free(struct sum_slots *s);

/* False: no worker has counted anything for it. */
bool sum_route(const struct observe *o, uint32_t slot, uint64_t identity, struct route_counts *sum);
bool sum_backend(const struct observe *o, uint32_t slot, uint64_t identity,
                 struct backend_counts *sum);
bool sum_policy(const struct observe *o, uint32_t slot, uint64_t identity,
                struct policy_counts *sum);
/* offset: offsetof(struct observe_worker, other) or none */
void sum_special(const struct observe *o, size_t offset, struct route_counts *sum);
void sum_other_backends(const struct observe *o, struct backend_counts *sum);
void sum_other_policies(const struct observe *o, struct policy_counts *sum);

/* The newest exemplar of each bucket, at_ns made CLOCK_REALTIME. A rule's slot and identity, or the
 * offset of other or none and 0. False: there is none. */
bool sum_exemplars_route(const struct observe *o, uint32_t slot, uint64_t identity,
                         enum exemplar_of of, struct exemplar to[HISTOGRAM_BOUNDS + 1]);
bool sum_exemplars_special(const struct observe *o, size_t offset, enum exemplar_of of,
                           struct exemplar to[HISTOGRAM_BOUNDS + 1]);

uint64_t codes_total(const struct code_counts *c);

#endif
