/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: TrafficPolicy, AuthPolicy and Consumer as resources: their targets, and what becomes of
 * one that cannot be used (what it should guard is closed, never open).
 */
#ifndef SLUICE_CONTROLLER_COMPILE_POLICY_H
#define SLUICE_CONTROLLER_COMPILE_POLICY_H

#include "controller/compile/attach.h"

void traffic_compile(struct making *m);
void auth_compile(struct making *m);
void consumer_compile(struct making *m);
/* After the compile of m->u->good: what it targets from now on. */
void policy_attach(struct making *m);
/* m->r is refused and was never good here. It is as the fleet remembers it; else what it names is
 * closed, which is added to m->why. */
void policy_hold(struct making *m);

#endif
