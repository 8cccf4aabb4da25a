/* SPDX-License-Identifier: Apache-2.0
 *
 * tracing: GatewayConfig tracing, as proxies need it: the collector's backend, the headers that it
 * gets, and of which requests there are spans.
 *
 *     backendRef  ──► the backend of that Service, which others may use too
 *     uri         ──► a backend of its own, backend/-/tracing.CLASS/PORT
 *
 * What it needs and is not there (a Service, a Secret, an authority) closes it: no spans are made,
 * and the GatewayConfig's status says what is missing.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_TRACING_H
#define SLUICE_CONTROLLER_COMPILE_TRACING_H

#include "controller/compile/class.h"

/* 0, or -1: refused in words. */
int tracing_check(struct making *m, const struct kube_tracing *k) MUST_USE;
/* NULL: there is none. Its objects are made for that class; k NULL: for nobody, only to see what
 * is missing. */
struct model_tracing *tracing_make(struct making *m, const struct class_ *k,
                                   const struct resource *config,
                                   const struct kube_tracing *tracing);

#endif
