/* SPDX-License-Identifier: Apache-2.0
 *
 * loop: libevent's callbacks are the handlers; what comes before and after them in a turn is here.
 * A timer descriptor wakes it for the wheel; it is set anew only when the wheel needs it earlier,
 * so in the steady state a turn touches it not at all. (A timer of libevent's own would cost two
 * readings of the clock a turn.)
 */
#include "proxy/net/loop.h"

#include "lib/mem.h"
#include "proxy/net/conn.h"

#include <event2/event.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

uint64_t loop_clock_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

void loop_new_turn(struct loop *l) {
    l->in_turn = true;
    l->now_ns = loop_clock_ns();
    l->now_ms = l->now_ns / 1000000;
}

static void on_tick(void *arg) {
    struct loop *l = arg;
    uint64_t times;
    l->tick_at_ms = UINT64_MAX;
    (void)!read(l->tick_fd, &times, sizeof(times));
}

static void set_tick(struct loop *l, uint64_t at_ms) {
    struct itimerspec at = {.it_value = {(time_t)(at_ms / 1000), (long)(at_ms % 1000 * 1000000)}};
    must(timerfd_settime(l->tick_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
    l->tick_at_ms = at_ms;
}

int loop_init(struct loop *l, size_t limit, size_t keep) {
    *l = (struct loop){.tick_at_ms = UINT64_MAX};
    struct event_config *config = event_config_new();
    if (config == NULL)
        return -1;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
                                      EVENT_BASE_FLAG_NO_CACHE_TIME);
    event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE);
    l->base = event_base_new_with_config(config);
    event_config_free(config);
    if (l->base == NULL)
        return -1;
    l->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (l->tick_fd < 0) {
        event_base_free(l->base);
        return -1;
    }
    l->tick = loop_watch_new(l, l->tick_fd, on_tick, l);
    loop_new_turn(l);
    l->wheel = wheel_new(l->now_ms);
    slabs_init(&l->slabs, limit, keep);
    prng_init(&l->prng);
    list_init(&l->ready);
    list_init(&l->hot);
    list_init(&l->dirty);
    list_init(&l->doomed);
    return 0;
}

void loop_fini(struct loop *l) {
    conns_end(l);
    wheel_free(l->wheel);
    slabs_fini(&l->slabs);
    loop_watch_free(l->tick);
    close(l->tick_fd);
    event_base_free(l->base);
}

static void wait_for_events(struct loop *l) {
    if (!list_empty(&l->ready) || !list_empty(&l->doomed)) {
        event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        return;
    }
    uint64_t wake = l->now_ms + (uint64_t)wheel_wait_ms(l->wheel, l->now_ms);
    if (wake < l->tick_at_ms)
        set_tick(l, wake);
    event_base_loop(l->base, EVLOOP_ONCE);
}

static void note_lag(struct loop *l) {
    uint64_t lag = loop_clock_ns() - l->now_ns;
    if (unlikely(lag > __atomic_load_n(&l->lag_ns_max, __ATOMIC_RELAXED)))
        __atomic_store_n(&l->lag_ns_max, lag, __ATOMIC_RELAXED);
}

void loop_run(struct loop *l) {
    l->in_turn = false;
    while (!l->stop) {
        wait_for_events(l);
        loop_enter(l);
        conns_run_ready(l);
        wheel_turn(l->wheel, l->now_ms);
        conns_flush(l, true);
        conns_end_turn(l);
        note_lag(l);
        l->in_turn = false;
    }
}

/* ---- watches ---- */

struct loop_watch {
    struct loop *loop;
    struct event *ev;
    void (*cb)(void *arg);
    void *arg;
};

static void on_watch(evutil_socket_t fd, short what, void *arg) {
    struct loop_watch *w = arg;
    (void)fd, (void)what;
    loop_enter(w->loop);
    w->cb(w->arg);
}

struct loop_watch *loop_watch_new(struct loop *l, int fd, void (*cb)(void *arg), void *arg) {
    struct loop_watch *w = mem_zalloc(sizeof(*w));
    *w = (struct loop_watch){l, NULL, cb, arg};
    w->ev = event_new(l->base, fd, EV_READ | EV_PERSIST, on_watch, w);
    must(w->ev != NULL && event_add(w->ev, NULL) == 0);
    return w;
}

void loop_watch_free(struct loop_watch *w) {
    if (w == NULL)
        return;
    event_free(w->ev);
    mem_free(w);
}
