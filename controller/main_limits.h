/* SPDX-License-Identifier: Apache-2.0
 *
 * main_limits: what proxies say that they are asked for goes to shares, and what these hand out
 * back to the proxies: ten times a second while parts move, and once a second when no limit over
 * the fleet is near.
 */
#ifndef SLUICE_CONTROLLER_MAIN_LIMITS_H
#define SLUICE_CONTROLLER_MAIN_LIMITS_H

#include "controller/main_turn.h"

struct main_limits;

/* leads: whether this controller is the one that hands out, asked each time; NULL: it always does,
 * and stands down when another one has begun later. */
struct main_limits *main_limits_new(struct event_base *base, struct turn *turn,
                                    bool (*leads)(void *arg), void *arg);
void main_limits_free(struct main_limits *l); /* before the turn */
void main_limits_metrics(const struct main_limits *l, struct metric_text *t);

#endif
