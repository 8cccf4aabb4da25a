/* SPDX-License-Identifier: Apache-2.0
 *
 * walk: what the store tells its walks (store_walk_begin() in store.h) of its changes.
 */
#ifndef SLUICE_CONTROLLER_STORE_WALK_H
#define SLUICE_CONTROLLER_STORE_WALK_H

#include "controller/store/store.h"

/* walks: struct store_walk of one store. was == NULL: it is new; now == NULL: it is gone. */
void walks_changed(struct list *walks, const struct resource *was, const struct resource *now);
struct list *store_walks(struct store *s); /* those that are to be told */

#endif
