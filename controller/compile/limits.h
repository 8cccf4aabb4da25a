/* SPDX-License-Identifier: Apache-2.0
 *
 * limits: rate limits of TrafficPolicies, quotas of Consumers, failure limits of AuthPolicies, as
 * proxies count them (model.def, rate_limit).
 */
#ifndef SLUICE_CONTROLLER_COMPILE_LIMITS_H
#define SLUICE_CONTROLLER_COMPILE_LIMITS_H

#include "controller/compile/class.h"

/* 0, or -1: refused in words. */
int limits_make(struct making *m, const struct at *spec, const struct kube_rate_limit *k,
                uint32_t n, struct model_rate_limit **o) MUST_USE;
/* NULL: nothing is said, or what is said cannot be: then in words. */
struct model_rate_limit *quota_make(struct making *m, const struct at *at,
                                    const struct kube_quota *k);
struct model_rate_limit *failure_limit_make(struct making *m, const struct at *at,
                                            const struct kube_failure_limit *k);

#endif
