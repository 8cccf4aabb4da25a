/* SPDX-License-Identifier: Apache-2.0
 *
 * main_tickets: keys of session tickets, and of sessions, in this process alone, for a controller
 * on a directory. They rotate by the clock. Those of sessions are asked of the fleet first, so that
 * nobody is logged out when a controller starts anew; the others end with the process. Not for one
 * of several replicas: each would compile a revision of its own, and none would know what a proxy
 * that follows another one serves.
 */
#ifndef SLUICE_CONTROLLER_MAIN_TICKETS_H
#define SLUICE_CONTROLLER_MAIN_TICKETS_H

#include "controller/main_turn.h"

struct main_tickets;

struct main_tickets *main_tickets_new(struct event_base *base, struct turn *turn,
                                      uint32_t period_s);
void main_tickets_free(struct main_tickets *m); /* NULL is fine */

#endif
