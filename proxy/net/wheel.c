/* SPDX-License-Identifier: Apache-2.0
 *
 * wheel: four levels of slots. A timer stands in the slot of `slotted`, which is at or before its
 * deadline; when that slot comes up and the deadline is later, it is slotted anew (lazy timers).
 *
 *     level 0   256 slots of 1 tick        10 ms .. 2.56 s
 *     level 1    64 slots of 256 ticks     .. 164 s
 *     level 2    64 slots of 2^14 ticks    .. 2.9 h
 *     level 3    64 slots of 2^20 ticks    .. 7.7 days; what is later stands in its last slot
 *
 * A slot of a higher level is poured into the lower ones when its first tick begins.
 */
#include "proxy/net/wheel.h"

#include "lib/mem.h"

#include <string.h>

enum { LEVELS = 4, BITS0 = 8, BITS = 6, SLOTS0 = 1 << BITS0, SLOTS = 1 << BITS };
#define HORIZON (UINT64_C(1) << (BITS0 + 3 * BITS)) /* ticks */

struct wheel {
    uint64_t tick;              /* all slots up to and with it have been fired */
    uint64_t next;              /* nothing is to be done before this tick */
    uint64_t used[SLOTS0 / 64]; /* level 0 slots that may hold timers */
    struct list level0[SLOTS0];
    struct list level[LEVELS - 1][SLOTS];
};

struct wheel *wheel_new(uint64_t now_ms) {
    struct wheel *w = mem_alloc(sizeof(*w));
    w->tick = now_ms / WHEEL_TICK_MS;
    w->next = 0;
    memset(w->used, 0, sizeof(w->used));
    for (int i = 0; i < SLOTS0; i++)
        list_init(&w->level0[i]);
    for (int l = 0; l < LEVELS - 1; l++)
        for (int i = 0; i < SLOTS; i++)
            list_init(&w->level[l][i]);
    return w;
}

void wheel_free(struct wheel *w) {
    if (w == NULL)
        return;
    for (int i = 0; i < SLOTS0; i++)
        must(list_empty(&w->level0[i]));
    mem_free(w);
}

static unsigned shift_of(int level) { return (unsigned)(BITS0 + BITS * (level - 1)); }

static struct list *slot_of(struct wheel *w, uint64_t tick) {
    uint64_t ahead = tick - w->tick;
    if (ahead < SLOTS0) {
        unsigned i = tick % SLOTS0;
        w->used[i / 64] |= UINT64_C(1) << (i % 64);
        w->next = tick < w->next ? tick : w->next;
        return &w->level0[i];
    }
    for (int l = 1; l < LEVELS; l++) {
        /* whole slots between: the slot that is running now was poured already */
        if ((tick >> shift_of(l)) - (w->tick >> shift_of(l)) < SLOTS)
            return &w->level[l - 1][(tick >> shift_of(l)) % SLOTS];
    }
    return &w->level[LEVELS - 2][((w->tick >> shift_of(LEVELS - 1)) + SLOTS - 1) % SLOTS];
}

/* The first tick at which the deadline has passed: never early. */
static uint64_t tick_of(uint64_t deadline_ms) {
    return (deadline_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
}

static void place(struct wheel *w, struct timer *t, uint64_t earliest) {
    uint64_t tick = tick_of(t->deadline);
    if (tick < earliest)
        tick = earliest;
    t->slotted = t->deadline;
    list_del(&t->link);
    list_append(slot_of(w, tick), &t->link);
}

void timer_set(struct wheel *w, struct timer *t, uint64_t deadline_ms) {
    must(deadline_ms != 0);
    t->deadline = deadline_ms;
    if (list_empty(&t->link) || deadline_ms < t->slotted)
        place(w, t, w->tick + 1);
}

/* Stays in its slot, to be passed over when that comes up: unsetting costs one store. */
void timer_unset(struct timer *t) { t->deadline = 0; }

void timer_fini(struct timer *t) {
    t->deadline = 0;
    list_del(&t->link);
}

static void pour(struct wheel *w, struct list *slot) {
    struct list due;
    list_init(&due);
    if (list_empty(slot))
        return;
    list_add_after(slot, &due);
    list_del(slot);
    for (struct list *n; (n = list_pop(&due)) != NULL;) {
        struct timer *t = list_entry(n, struct timer, link);
        if (timer_is_set(t))
            place(w, t, w->tick); /* fired right after */
    }
}

static void fire(struct wheel *w, struct list *slot, uint64_t now_ms) {
    struct list due;
    list_init(&due);
    if (list_empty(slot))
        return;
    list_add_after(slot, &due);
    list_del(slot);
    for (struct list *n; (n = list_pop(&due)) != NULL;) {
        struct timer *t = list_entry(n, struct timer, link);
        if (!timer_is_set(t))
            continue;
        if (t->deadline > now_ms) {
            place(w, t, w->tick + 1);
            continue;
        }
        t->deadline = 0;
        t->fire(t);
    }
}

/* The next tick after `tick` at which something may be due in level 0, or its slots are refilled.
 */
static uint64_t next_tick(const struct wheel *w) {
    uint64_t tick = w->tick + 1, boundary = (w->tick | (SLOTS0 - 1)) + 1;
    while (tick < boundary) {
        unsigned i = tick % SLOTS0;
        uint64_t left = w->used[i / 64] >> (i % 64);
        if (left != 0)
            return tick + (unsigned)__builtin_ctzll(left);
        tick += 64 - i % 64;
    }
    return boundary;
}

static void refill(struct wheel *w) {
    for (int l = LEVELS - 1; l > 0; l--)
        if ((w->tick & ((UINT64_C(1) << shift_of(l)) - 1)) == 0)
            pour(w, &w->level[l - 1][(w->tick >> shift_of(l)) % SLOTS]);
}

void wheel_turn(struct wheel *w, uint64_t now_ms) {
    uint64_t now = now_ms / WHEEL_TICK_MS;
    while (w->next <= now) {
        uint64_t next = next_tick(w);
        if (next > now) {
            w->tick = now; /* nothing between */
            w->next = next;
            return;
        }
        w->tick = next;
        if (next % SLOTS0 == 0)
            refill(w);
        unsigned i = next % SLOTS0;
        w->used[i / 64] &= ~(UINT64_C(1) << (i % 64));
        fire(w, &w->level0[i], now_ms);
    }
}

/* Looks at level 0 only: a wake-up every 2.5 s costs nothing. */
int wheel_wait_ms(const struct wheel *w, uint64_t now_ms) {
    uint64_t at = w->next * WHEEL_TICK_MS;
    return at > now_ms ? (int)(at - now_ms) : 0;
}
