/* SPDX-License-Identifier: Apache-2.0
 *
 * twice: the same conditions on the same host, said by two rules. Order decides which one gets the
 * requests; whose rule comes later is told, since it never gets one.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_TWICE_H
#define SLUICE_CONTROLLER_COMPILE_TWICE_H

#include "controller/compile/unit.h"

/* What m->u says now; warns of what an older resource, or an earlier rule, says as well. Others
 * that say the same, or did, become dirty when that changes. */
void twice_take(struct making *m, const struct model_route *routes, size_t n);
void twice_none(struct compiler *c, struct unit *u);

#endif
