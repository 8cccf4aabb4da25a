/* SPDX-License-Identifier: Apache-2.0
 *
 * sum: one series of all workers. Main thread; private to observe.
 */
#ifndef SLUICE_PROXY_OBSERVE_SUM_H
#define SLUICE_PROXY_OBSERVE_SUM_H

#include "proxy/observe/counts.h"

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

uint64_t codes_total(const struct code_counts *c);

#endif
