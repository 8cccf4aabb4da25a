/* SPDX-License-Identifier: Apache-2.0
 *
 * index: the keys under which a resource is found beside its own name. The list is in store.h.
 */
#ifndef SLUICE_CONTROLLER_STORE_INDEX_H
#define SLUICE_CONTROLLER_STORE_INDEX_H

#include "controller/kube/kinds.h"

/* Tells each key of r; one may come more than once. A refused resource has only those of its kind
 * and its labels. The key lives until `key` returns. */
void index_keys(const struct resource *r, void (*key)(void *arg, struct str key), void *arg);

/* "Service/shop/catalog", "IngressClass/sluice": a resource's own key, behind what is in o. */
void index_own_key(enum kube_kind kind, struct str ns, struct str name, struct out *o);

#endif
