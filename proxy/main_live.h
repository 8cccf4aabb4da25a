/* SPDX-License-Identifier: Apache-2.0
 *
 * main_live: while a controller is looked at, or this proxy's own page, what was counted is told
 * once a second (observe/sample). Nothing is kept, and nothing costs anything, when nobody looks.
 */
#ifndef SLUICE_PROXY_MAIN_LIVE_H
#define SLUICE_PROXY_MAIN_LIVE_H

#include "proxy/config/config.h"
#include "proxy/observe/sample.h"

struct main_live;

struct main_live *main_live_new(const struct observe *o, const char *name);
void main_live_free(struct main_live *l);

void main_live_watched(struct main_live *l, const struct wire_watch *w);
/* Once a second. c is told, r is what every controller hears. */
void main_live_tick(struct main_live *l, struct config *c, const struct wire_report *r);
/* The page's JSON, of this proxy alone; somebody looks. */
void main_live_json(struct main_live *l, const struct config *c, struct out *o);

#endif
