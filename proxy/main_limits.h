/* SPDX-License-Identifier: Apache-2.0
 *
 * main_limits: what workers are asked for of limits over the fleet goes to the controllers, and the
 * shares that come back to the workers.
 *
 *     workers ─► portions ── demand: once a second, and at once when shares have come ─► config
 *         ◄─────────┴──────────────── shares ◄────────────────────────────────────────────┘
 *
 * It is said also while there are no such limits, so that the first request which is limited finds
 * its share. Main thread.
 */
#ifndef SLUICE_PROXY_MAIN_LIMITS_H
#define SLUICE_PROXY_MAIN_LIMITS_H

#include "lib/metric.h"
#include "proxy/config/config.h"
#include "proxy/limit/portions.h"

struct main_limits;

struct main_limits *main_limits_new(struct event_base *base);
void main_limits_free(struct main_limits *l);
struct portions *main_limits_portions(struct main_limits *l); /* for the workers */
/* Whom to tell. */
void main_limits_config(struct main_limits *l, struct config *c);
/* What is served from now on. */
void main_limits_snapshot(struct main_limits *l, const struct snapshot *s);
void main_limits_tick(struct main_limits *l);    /* once a second */
void main_limits_greeted(struct main_limits *l); /* a controller is there */
/* Whether its share is known where one is needed; a proxy waits a little for it before it is ready,
 * once. */
bool main_limits_ready(struct main_limits *l);
void main_limits_shares(struct main_limits *l, const struct wire_shares *m);
void main_limits_metrics(const struct main_limits *l, struct metric_text *t);

#endif
