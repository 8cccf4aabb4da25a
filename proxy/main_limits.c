/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/main_limits.h"

#include "lib/mem.h"
#include "proxy/net/loop.h"
#include "proxy/route/auth.h"
#include "proxy/route/limit.h"

#include <event2/event.h>

enum { WAIT_MS = 3000 };

struct main_limits {
    struct portions *portions;
    struct config *config;
    struct event *clock; /* runs while it is needed */
    bool needed;         /* the snapshot has limits over the fleet */
    bool ready;
    uint64_t told_ms, begun_ms;
};

static uint64_t now_ms(void) { return loop_clock_ns() / 1000000; }

static void tell(struct main_limits *l, uint64_t now) {
    struct wire_demand d = portions_demand(l->portions);
    l->told_ms = now;
    config_demand(l->config, &d);
}

static void on_clock(evutil_socket_t fd, short what, void *arg) {
    struct main_limits *l = arg;
    uint64_t now = now_ms();
    (void)fd, (void)what;
    portions_tick(l->portions, now);
    if (l->config && now - l->told_ms >= PORTIONS_REPORT_MS)
        tell(l, now);
}

static void set_clock(struct main_limits *l) {
    static const struct timeval each = {0, PORTIONS_TICK_MS * 1000};
    bool needed = l->needed || portions_used(l->portions);
    if (needed && !evtimer_pending(l->clock, NULL))
        event_add(l->clock, &each);
    else if (!needed)
        event_del(l->clock);
}

void main_limits_tick(struct main_limits *l) {
    set_clock(l);
    if (!evtimer_pending(l->clock, NULL))
        on_clock(-1, 0, l);
}

void main_limits_greeted(struct main_limits *l) { tell(l, now_ms()); }

bool main_limits_ready(struct main_limits *l) {
    l->ready = l->ready || !l->needed || portions_gauges(l->portions).told ||
               now_ms() - l->begun_ms >= WAIT_MS;
    return l->ready;
}

struct main_limits *main_limits_new(struct event_base *base) {
    struct main_limits *l = mem_zalloc(sizeof(*l));
    l->begun_ms = now_ms();
    l->portions = portions_new(l->begun_ms);
    l->clock = event_new(base, -1, EV_PERSIST, on_clock, l);
    must(l->clock);
    return l;
}

void main_limits_free(struct main_limits *l) {
    event_free(l->clock);
    portions_free(l->portions);
    mem_free(l);
}

struct portions *main_limits_portions(struct main_limits *l) {
    return l->portions;
}

void main_limits_config(struct main_limits *l, struct config *c) { l->config = c; }

void main_limits_snapshot(struct main_limits *l, const struct snapshot *s) {
    l->needed = snapshot_consumers(s)->n_fleet > 0;
    for (uint32_t slot = 0; slot < s->limit_slots && !l->needed; slot++) {
        const struct limit_law *law = snapshot_limit(s, slot);
        l->needed = law != NULL && law->fleet;
    }
    set_clock(l);
}

void main_limits_shares(struct main_limits *l, const struct wire_shares *m) {
    uint64_t now = now_ms();
    if (portions_take(l->portions, m, now) && l->config)
        tell(l, now);
}

void main_limits_metrics(const struct main_limits *l, struct metric_text *t) {
    struct portions_gauges g = portions_gauges(l->portions);
    metric_family(t, METRIC_GAUGE, "sluice_rate_limit_share_millionths",
                  "What this proxy may allow of limits over the fleet that have no share of their "
                  "own here.");
    metric_count(t, STR_NONE, g.part);
    metric_family(t, METRIC_GAUGE, "sluice_rate_limit_counts",
                  "Limits, and keys of limits, that have a share of their own.");
    metric_count(t, STR_NONE, g.counts);
    metric_family(t, METRIC_GAUGE, "sluice_rate_limit_shares_lent",
                  "Whether a controller hands out shares in time; else each proxy has an equal "
                  "one.");
    metric_count(t, STR_NONE, g.lent);
}
