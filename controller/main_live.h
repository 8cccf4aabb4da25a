/* SPDX-License-Identifier: Apache-2.0
 *
 * main_live: while somebody looks (the live page, `sluicectl top`), every proxy is asked to tell
 * once a second what it counts, and that is added up (lib/live). LIVE_WATCH_MS after the last look
 * all of it is forgotten, and nothing is sent any more.
 */
#ifndef SLUICE_CONTROLLER_MAIN_LIVE_H
#define SLUICE_CONTROLLER_MAIN_LIVE_H

#include "controller/main_turn.h"

struct main_live;

struct main_live *main_live_new(struct event_base *base, struct turn *turn);
void main_live_free(struct main_live *l); /* before the turn */

/* Somebody looks. The figures are borrowed until control is back in the event loop; those of the
 * first look are empty. */
struct live *main_live_look(struct main_live *l);
uint64_t main_live_now_ms(void); /* the clock of the figures */

#endif
