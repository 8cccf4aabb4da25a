/* SPDX-License-Identifier: Apache-2.0
 *
 * wheel: a worker's timers. Setting one is a store when it moves later (the slot is corrected when
 * it comes up: lazy timers), so a keep-alive connection that re-arms at every request costs no list
 * work. Resolution WHEEL_TICK_MS; a timer never fires early. One thread.
 *
 *   slot lists, hierarchical:   level 0: 256 ticks · level 1: 64 × 256 · ... (> 1 week)
 */
#ifndef SLUICE_PROXY_NET_WHEEL_H
#define SLUICE_PROXY_NET_WHEEL_H

#include "lib/list.h"

enum { WHEEL_TICK_MS = 10 };

struct timer {
    struct list link;              /* in a slot, or alone */
    uint64_t deadline;             /* ms; 0 = not set */
    uint64_t slotted;              /* the deadline that its slot was chosen for */
    void (*fire)(struct timer *t); /* called once, unset before; may set it again or free it */
};

struct wheel; /* in wheel.c; one per loop */

struct wheel *wheel_new(uint64_t now_ms);
void wheel_free(struct wheel *w);

static inline void timer_init(struct timer *t, void (*fire)(struct timer *)) {
    list_init(&t->link);
    t->deadline = t->slotted = 0;
    t->fire = fire;
}
static inline bool timer_is_set(const struct timer *t) { return t->deadline != 0; }
void timer_set(struct wheel *w, struct timer *t, uint64_t deadline_ms); /* earlier or later */
void timer_unset(struct timer *t);                                      /* one store */
void timer_fini(struct timer *t); /* out of its slot too: before its memory goes */

/* Fires all that are due. */
void wheel_turn(struct wheel *w, uint64_t now_ms);
/* When the loop must wake up for it at the latest: ms from now_ms, at most about 2560. */
int wheel_wait_ms(const struct wheel *w, uint64_t now_ms);

#endif
