/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_limits.h"

#include "controller/limits/shares.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

struct main_limits {
    struct turn *turn;
    struct shares *shares;
    struct event *clock;
    bool slow; /* the next turn is not within SHARES_TURN_MS */
    bool (*leads)(void *arg);
    void *arg;
    uint64_t heard, given; /* messages */
};

static uint64_t clock_ms(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void turn_in(struct main_limits *l, uint32_t ms) {
    struct timeval in = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};
    evtimer_add(l->clock, &in);
    l->slow = ms > SHARES_TURN_MS;
}

static void on_demand(void *arg, uint64_t proxy, const struct wire_demand *d) {
    struct main_limits *l = arg;
    struct shares_gauges before = shares_gauges(l->shares);
    l->heard++;
    shares_hear(l->shares, proxy, d, clock_ms(CLOCK_MONOTONIC));
    struct shares_gauges now = shares_gauges(l->shares);
    if (l->slow && (now.proxies != before.proxies || now.counts != before.counts))
        turn_in(l, SHARES_TURN_MS);
}

static void on_gone(void *arg, uint64_t proxy) {
    const struct main_limits *l = arg;
    shares_lose(l->shares, proxy);
}

static void give(void *arg, uint64_t proxy, const struct wire_shares *s) {
    struct main_limits *l = arg;
    l->given++;
    push_shares(turn_push(l->turn), proxy, s);
}

static void on_clock(evutil_socket_t fd, short what, void *arg) {
    struct main_limits *l = arg;
    (void)fd, (void)what;
    shares_lead(l->shares, !l->leads || l->leads(l->arg), clock_ms(CLOCK_REALTIME));
    shares_turn(l->shares, clock_ms(CLOCK_MONOTONIC), give, l);
    struct shares_gauges now = shares_gauges(l->shares);
    l->slow = true;
    if (now.proxies > 0)
        turn_in(l, now.moves ? SHARES_TURN_MS : SHARES_RENEW_MS);
}

struct main_limits *main_limits_new(struct event_base *base, struct turn *turn,
                                    bool (*leads)(void *arg), void *arg) {
    struct main_limits *l = mem_zalloc(sizeof(*l));
    l->turn = turn;
    l->leads = leads;
    l->arg = arg;
    l->shares = shares_new(leads != NULL, clock_ms(CLOCK_MONOTONIC));
    l->clock = evtimer_new(base, on_clock, l);
    l->slow = true;
    must(l->clock);
    turn_on_demand(turn, on_demand, on_gone, l);
    return l;
}

void main_limits_free(struct main_limits *l) {
    turn_on_demand(l->turn, NULL, NULL, NULL);
    event_free(l->clock);
    shares_free(l->shares);
    mem_free(l);
}

void main_limits_metrics(const struct main_limits *l, struct metric_text *t) {
    struct shares_gauges g = shares_gauges(l->shares);
    metric_family(t, METRIC_GAUGE, "sluice_controller_rate_limit_proxies",
                  "Proxies that have shares of limits over the fleet.");
    metric_count(t, STR_NONE, g.proxies);
    metric_family(t, METRIC_GAUGE, "sluice_controller_rate_limit_counts",
                  "Limits, and keys of limits, that run near their limit and have shares of their "
                  "own.");
    metric_count(t, STR_NONE, g.counts);
    metric_family(t, METRIC_GAUGE, "sluice_controller_rate_limit_leads",
                  "Whether this controller is the one that hands out shares.");
    metric_count(t, STR_NONE, g.leads);
    metric_family(t, METRIC_COUNTER, "sluice_controller_rate_limit_messages",
                  "Messages about shares of limits over the fleet.");
    metric_count(t, STR("direction=\"in\""), l->heard);
    metric_count(t, STR("direction=\"out\""), l->given);
}
