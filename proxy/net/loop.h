/* SPDX-License-Identifier: Apache-2.0
 *
 * loop: one turn of a worker. libevent only says which descriptors are ready; all the rest is here.
 *
 *      ┌─► run the ready list    connections that stopped at their share of the last turn
 *      │   wait for events       EVLOOP_ONCE; not at all when the ready list has more
 *      │   handlers run          recv → parse → route → pick → serialise, one call stack
 *      │   flush dirty           one write per side per turn (principle 6)
 *      │   turn the wheel
 *      └── free what was closed
 *
 * The clock is read once a turn, and by whoever needs it finer (loop_clock_ns: vDSO, no system
 * call). One thread.
 */
#ifndef SLUICE_PROXY_NET_LOOP_H
#define SLUICE_PROXY_NET_LOOP_H

#include "lib/hash.h"
#include "lib/list.h"
#include "proxy/net/slab.h"
#include "proxy/net/wheel.h"

struct event_base;

struct loop {
    struct event_base *base;
    int tick_fd;         /* a timer descriptor that wakes the loop for the wheel */
    uint64_t tick_at_ms; /* when it will; UINT64_MAX: not set */
    struct loop_watch *tick;
    struct wheel *wheel;
    struct slabs slabs;
    struct prng prng;
    bool in_turn;    /* events are being served */
    uint64_t now_ms; /* CLOCK_MONOTONIC at the start of this turn */
    uint64_t now_ns;
    struct list ready;  /* conn.ready_link: more to read without a new event */
    struct list hot;    /* conn.dirty_link: bytes to flush after this handler */
    struct list dirty;  /* conn.dirty_link: at the end of the turn */
    struct list doomed; /* conn.dirty_link: over, closed and freed at the end of a turn */
    size_t n_doomed;
    bool stop;
    uint64_t lag_ns_max; /* longest turn since it was last read; relaxed, the scrape sets it to 0 */
};

/* 0, or -1 with errno. limit: bytes of buffers, see slab.h. */
int loop_init(struct loop *l, size_t limit, size_t keep) MUST_USE;
void loop_fini(struct loop *l);
void loop_run(struct loop *l); /* until stop */
uint64_t loop_clock_ns(void);  /* CLOCK_MONOTONIC, vDSO */

/* Every event callback begins with it: the first one of a turn reads the clock. */
void loop_new_turn(struct loop *l);
static inline void loop_enter(struct loop *l) {
    if (!l->in_turn)
        loop_new_turn(l);
}

/* Watches a descriptor that is not a connection (eventfd, pipe, listening socket): cb is called
 * while it is readable. */
struct loop_watch;
struct loop_watch *loop_watch_new(struct loop *l, int fd, void (*cb)(void *arg), void *arg);
void loop_watch_free(struct loop_watch *w);

#endif
