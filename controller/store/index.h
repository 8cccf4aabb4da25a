/* SPDX-License-Identifier: Apache-2.0
 *
 * index: under which keys, besides its own name, a resource can be found. To add an index: a line
 * in index.c.
 *
 *     EndpointSlice/of/NS/SERVICE    by label kubernetes.io/service-name
 *     IngressClass/all
 *     ReferenceGrant/in/NS
 */
#ifndef SLUICE_CONTROLLER_STORE_INDEX_H
#define SLUICE_CONTROLLER_STORE_INDEX_H

#include "controller/kube/kinds.h"

/* Calls each() with every index key that r has, the same ones each time. */
void index_keys(const struct resource *r,
                void (*each)(void *arg, struct str key, const struct resource *r), void *arg);

#endif
