/* SPDX-License-Identifier: Apache-2.0
 *
 * rate_store: the store of GatewayConfig rateLimitStore, as proxies reach it: a backend of its own.
 *
 *     127.0.0.1:6379              ──► backend + endpoints, with that address
 *     redis.data.svc:6379         ──► backend, with the endpoints of Service data/redis
 *     redis.example.com:6379      ──► backend of an external name, which proxies look up
 *
 * What it needs and is not there (a Service, a Secret, an authority) closes it: proxies do as each
 * limit's onError says, and the GatewayConfig's status says what is missing.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_RATE_STORE_H
#define SLUICE_CONTROLLER_COMPILE_RATE_STORE_H

#include "controller/compile/class.h"

/* 0, or -1: refused in words. */
int rate_store_check(struct making *m, const struct kube_rate_store *k) MUST_USE;
/* NULL: there is none. Its objects are made for that class; k NULL: for nobody, only to see what
 * is missing. */
struct model_rate_store *rate_store_make(struct making *m, const struct class_ *k,
                                         const struct resource *config,
                                         const struct kube_rate_store *store);

#endif
