/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_live.h"

#include "lib/live.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

enum { ASK_AGAIN_MS = LIVE_WATCH_MS / 3 };

struct main_live {
    struct turn *turn;
    struct event *clock; /* once a second while somebody looks */
    struct live *live;   /* NULL: nobody does */
    uint64_t until_ms, asked_ms;
    uint64_t newest; /* of the proxies that were asked: links are numbered as they come */
};

uint64_t main_live_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct asking {
    struct push *push;
    uint64_t above, newest;
};

static void ask_one(void *arg, const struct push_proxy *p) {
    static const struct wire_watch watch = {.for_ms = LIVE_WATCH_MS, .routes = LIVE_ASKED};
    struct asking *a = arg;
    if (p->id <= a->above)
        return;
    push_watch(a->push, p->id, &watch);
    a->newest = p->id > a->newest ? p->id : a->newest;
}

/* Those that have come since; all of them from time to time, so that they go on. */
static void ask(struct main_live *l, uint64_t now) {
    struct asking a = {turn_push(l->turn), l->newest, l->newest};
    if (now - l->asked_ms >= ASK_AGAIN_MS) {
        l->asked_ms = now;
        a.above = 0;
    }
    push_each(a.push, ask_one, &a);
    l->newest = a.newest;
}

static void rest(struct main_live *l) {
    event_del(l->clock);
    live_free(l->live);
    l->live = NULL;
    l->newest = l->asked_ms = 0;
}

static void on_clock(evutil_socket_t fd, short what, void *arg) {
    struct main_live *l = arg;
    uint64_t now = main_live_now_ms();
    (void)fd, (void)what;
    if (now >= l->until_ms)
        rest(l);
    else
        ask(l, now);
}

static void on_live(void *arg, uint64_t proxy, const struct wire_live *m) {
    const struct main_live *l = arg;
    if (l->live)
        live_take(l->live, proxy, m, main_live_now_ms());
}

static void on_gone(void *arg, uint64_t proxy) {
    const struct main_live *l = arg;
    if (l->live)
        live_lose(l->live, proxy);
}

struct live *main_live_look(struct main_live *l) {
    static const struct timeval each = {LIVE_TELL_MS / 1000, 0};
    uint64_t now = main_live_now_ms();
    l->until_ms = now + LIVE_WATCH_MS;
    if (l->live)
        return l->live;
    l->live = live_new();
    event_add(l->clock, &each);
    ask(l, now);
    return l->live;
}

struct main_live *main_live_new(struct event_base *base, struct turn *turn) {
    struct main_live *l = mem_zalloc(sizeof(*l));
    l->turn = turn;
    l->clock = event_new(base, -1, EV_PERSIST, on_clock, l);
    must(l->clock);
    turn_on_live(turn, on_live, on_gone, l);
    return l;
}

void main_live_free(struct main_live *l) {
    turn_on_live(l->turn, NULL, NULL, NULL);
    event_free(l->clock);
    live_free(l->live);
    mem_free(l);
}
