/* SPDX-License-Identifier: Apache-2.0
 *
 * Shares of limits over the fleet: proxies that come, go, are cut off and are asked for more or
 * less, over links that are slow, and controllers that take over from each other. At every moment
 * the parts of each count that proxies may really count by are no more than the whole; and when
 * nothing changes they are nearly all of it, where it is needed. The seed is printed;
 * SLUICE_SEED=n repeats it.
 */
#include "controller/limits/shares.h"
#include "lib/hash.h"
#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h> /* needs those */

enum {
    PROXIES = 8,
    COUNTS = 4, /* the first of them is a whole limit, ... */
    STEP_MS = 20,
    FLIGHT_MAX_MS = 300,
    MAILS = 4096,
};

struct table { /* what a proxy counts by */
    uint64_t term, serial, until_ms;
    uint32_t even, proxies;
    uint32_t own[COUNTS]; /* UINT32_MAX: as even */
};

struct proxy {
    bool alive, linked, told;
    uint64_t id; /* of its link */
    struct table t;
    uint32_t demand[COUNTS];
    uint64_t next_ms; /* its next report */
    uint64_t cut_ms;  /* when its link was lost; it may come back */
};

struct mail {
    bool used, to_proxy;
    uint64_t at_ms, link, order;
    struct wire_demand demand;
    struct wire_shares shares;
    struct wire_count_demand wants[COUNTS];
    struct wire_count_share parts[COUNTS];
};

static struct proxy proxies[PROXIES];
static struct mail mails[MAILS];
static struct shares *leader;
static struct prng prng;
static uint64_t now, links, orders, unix_now;
static uint64_t worst, taken_over_ms;
static bool joins_are_over; /* nobody counts by what he was never told */

static uint32_t below(uint32_t n) { return prng_below(&prng, n); }

static void begin(void **state) {
    (void)state;
    const char *given = getenv("SLUICE_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 0;
    if (given == NULL)
        random_bytes(&seed, sizeof(seed));
    print_message("seed %llu\n", (unsigned long long)seed);
    prng = (struct prng){{seed, ~seed}};
    now = 1000;
    unix_now = 1700000000000;
    memset(proxies, 0, sizeof(proxies));
    memset(mails, 0, sizeof(mails));
    worst = 0;
    leader = shares_new(true, now);
    shares_lead(leader, true, unix_now);
}

/* ---- the post: one order on each link, any delay ---- */

static struct mail *post(uint64_t link, bool to_proxy) {
    uint64_t after = now;
    struct mail *free = NULL;
    for (int i = 0; i < MAILS; i++) {
        struct mail *m = &mails[i];
        if (!m->used)
            free = m;
        else if (m->link == link && m->to_proxy == to_proxy && m->at_ms > after)
            after = m->at_ms;
    }
    must(free);
    uint64_t at = now + 1 + below(below(4) == 0 ? FLIGHT_MAX_MS : 10);
    *free = (struct mail){true,  to_proxy, at > after ? at : after, link, orders++, {0}, {0},
                          {{0}}, {{0}}};
    return free;
}

static void give(void *arg, uint64_t link, const struct wire_shares *s) {
    (void)arg;
    struct mail *m = post(link, true);
    m->shares = *s;
    must(s->n_counts <= COUNTS);
    for (uint32_t i = 0; i < s->n_counts; i++)
        m->parts[i] = s->counts[i];
    m->shares.counts = m->parts;
}

/* ---- a proxy, as it is in proxy/limit ---- */

static uint32_t held(const struct proxy *p, int count) {
    if (!p->told)
        return SHARES_UNTOLD;
    return p->t.own[count] == UINT32_MAX ? p->t.even : p->t.own[count];
}

static void report(struct proxy *p) {
    struct mail *m = post(p->id, false);
    struct wire_demand *d = &m->demand;
    *d = (struct wire_demand){
        .term = p->t.term, .serial = p->t.serial, .counts = m->wants, .proxies = p->t.proxies};
    d->held = p->told ? p->t.even : SHARES_UNTOLD;
    for (int i = 0; i < COUNTS; i++)
        if (p->demand[i] > held(p, i) / 2 || (p->told && p->t.own[i] != UINT32_MAX))
            d->counts[d->n_counts++] = (struct wire_count_demand){
                .count = 100 + (uint64_t)i, .demand = p->demand[i], .held = held(p, i)};
    p->next_ms = now + 1000;
}

static void apply(struct proxy *p, const struct mail *m) {
    const struct wire_shares *s = &m->shares;
    if (s->term < p->t.term || (s->term == p->t.term && s->serial <= p->t.serial))
        return;
    p->told = true;
    p->t = (struct table){
        s->term, s->serial, now + s->lease_ms, (uint32_t)s->share, (uint32_t)s->proxies, {0}};
    for (int i = 0; i < COUNTS; i++)
        p->t.own[i] = UINT32_MAX;
    for (uint32_t i = 0; i < s->n_counts; i++)
        p->t.own[m->parts[i].count - 100] = (uint32_t)m->parts[i].share;
    report(p);
}

static struct proxy *on_link(uint64_t link) {
    for (int i = 0; i < PROXIES; i++)
        if (proxies[i].alive && proxies[i].linked && proxies[i].id == link)
            return &proxies[i];
    return NULL;
}

static void deliver(void) {
    for (;;) {
        struct mail *next = NULL;
        for (int i = 0; i < MAILS; i++) {
            struct mail *m = &mails[i];
            if (m->used && m->at_ms <= now && (!next || m->order < next->order))
                next = m;
        }
        if (!next)
            return;
        struct proxy *p = on_link(next->link);
        struct mail m = *next;
        next->used = false;
        m.demand.counts = m.wants;
        if (!p)
            continue; /* the link is lost, with what was on it */
        if (m.to_proxy)
            apply(p, &m);
        else
            shares_hear(leader, m.link, &m.demand, now);
    }
}

static void give_up(struct proxy *p) {
    uint32_t most = WIRE_WHOLE / p->t.proxies;
    p->t.term = p->t.serial = 0;
    p->t.even = p->t.even < most ? p->t.even : most;
    for (int i = 0; i < COUNTS; i++)
        if (p->t.own[i] != UINT32_MAX && p->t.own[i] > most)
            p->t.own[i] = most;
}

static void tick(struct proxy *p) {
    if (!p->alive)
        return;
    if (p->t.term != 0 && now >= p->t.until_ms)
        give_up(p);
    if (p->told && p->t.term == 0 && now >= p->t.until_ms + WIRE_REST_MS) {
        p->t.even = WIRE_WHOLE / p->t.proxies;
        for (int i = 0; i < COUNTS; i++)
            p->t.own[i] = UINT32_MAX;
    }
    if (p->linked && now >= p->next_ms)
        report(p);
}

/* ---- what happens ---- */

static void join(struct proxy *p) {
    *p = (struct proxy){.alive = true, .linked = true, .id = ++links, .next_ms = now};
}

static void leave(struct proxy *p) {
    p->alive = p->linked = false;
    shares_lose(leader, p->id);
}

static void cut(struct proxy *p) {
    p->linked = false;
    p->cut_ms = now;
    shares_lose(leader, p->id);
}

static void relink(struct proxy *p) {
    p->linked = true;
    p->id = ++links;
    p->next_ms = now;
}

static unsigned alive(void) {
    unsigned n = 0;
    for (int i = 0; i < PROXIES; i++)
        n += proxies[i].alive;
    return n;
}

/* Another controller leads, or the same one anew: it knows nothing but what proxies say. */
static void take_over(void) {
    taken_over_ms = now;
    shares_free(leader);
    leader = shares_new(true, now);
    unix_now += 1000;
    shares_lead(leader, true, unix_now);
    for (int i = 0; i < PROXIES; i++)
        if (proxies[i].alive)
            relink(&proxies[i]);
}

static uint64_t sum_of(int count) {
    uint64_t sum = 0;
    for (int i = 0; i < PROXIES; i++)
        if (proxies[i].alive && (proxies[i].told || !joins_are_over))
            sum += held(&proxies[i], count);
    return sum;
}

static void print_all(int c) {
    for (int i = 0; i < PROXIES; i++) {
        const struct proxy *p = &proxies[i];
        if (p->alive)
            print_message("proxy %d link %llu%s%s term %llu serial %llu of %u: %.3f, asked %.3f\n",
                          i, (unsigned long long)p->id, p->linked ? "" : " (lost)",
                          p->told ? "" : " untold", (unsigned long long)p->t.term,
                          (unsigned long long)p->t.serial, p->t.proxies,
                          (double)held(p, c) / WIRE_WHOLE, (double)p->demand[c] / WIRE_WHOLE);
    }
    print_message("%llu ms after the last controller began\n",
                  (unsigned long long)(now - taken_over_ms));
}

static void look(uint64_t most) {
    for (int c = 0; c < COUNTS; c++) {
        uint64_t sum = sum_of(c);
        worst = sum > worst ? sum : worst;
        if (sum > most)
            print_all(c);
        if (sum > most)
            fail_msg("at %llu ms %.3f of count %d is handed out", (unsigned long long)now,
                     (double)sum / WIRE_WHOLE, c);
    }
}

static void go(uint64_t ms, uint64_t most) {
    for (uint64_t end = now + ms; now < end;) {
        now += STEP_MS;
        deliver();
        for (int i = 0; i < PROXIES; i++)
            tick(&proxies[i]);
        if (now % 100 == 0)
            shares_turn(leader, now, give, NULL);
        look(most);
    }
}

/* ---- tests ---- */

/* All traffic of a limit at one proxy, then at another: it has it all before long. */
static void follows_the_load(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++)
        join(&proxies[i]);
    joins_are_over = true;
    go(3000, WIRE_WHOLE);
    for (int turn = 0; turn < 6; turn++) {
        for (int i = 0; i < 3; i++)
            proxies[i].demand[0] = i == turn % 3 ? 5 * WIRE_WHOLE : 0;
        go(5000, WIRE_WHOLE);
        for (int i = 0; i < 20; i++) {
            go(500, WIRE_WHOLE);
            assert_true(held(&proxies[turn % 3], 0) > WIRE_WHOLE / 100 * 96);
        }
    }
    for (int i = 0; i < 3; i++) /* by demand; it is not needed at the third */
        proxies[i].demand[0] = (uint32_t)(2 - i) * 2 * WIRE_WHOLE;
    go(5000, WIRE_WHOLE);
    assert_in_range(held(&proxies[0], 0), WIRE_WHOLE / 100 * 62, WIRE_WHOLE / 100 * 69);
    assert_in_range(held(&proxies[1], 0), WIRE_WHOLE / 100 * 30, WIRE_WHOLE / 100 * 36);
    for (int i = 0; i < 3; i++)
        proxies[i].demand[0] = 0;
    go(30000, WIRE_WHOLE);
    assert_int_equal(shares_gauges(leader).counts, 0);
    assert_in_range(held(&proxies[2], 0), WIRE_WHOLE / 100 * 33, WIRE_WHOLE / 3);
}

/* Killed: its part is free when its lease is over, and nothing is handed out twice. */
static void one_dies(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        join(&proxies[i]);
        proxies[i].demand[1] = 3 * WIRE_WHOLE;
    }
    joins_are_over = true;
    go(5000, WIRE_WHOLE);
    leave(&proxies[0]);
    go(2000, WIRE_WHOLE);
    assert_true(sum_of(1) < WIRE_WHOLE / 100 * 70);
    go(5000, WIRE_WHOLE);
    assert_true(sum_of(1) > WIRE_WHOLE / 100 * 95);
    join(&proxies[0]);
    proxies[0].demand[1] = 3 * WIRE_WHOLE;
    go(5000, WIRE_WHOLE + SHARES_UNTOLD);
    assert_true(held(&proxies[0], 1) > WIRE_WHOLE / 100 * 30);
    assert_true(sum_of(1) > WIRE_WHOLE / 100 * 95);
}

/* No controller: an even part for everyone, and never more than all. */
static void no_controller(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++)
        join(&proxies[i]);
    proxies[0].demand[2] = 9 * WIRE_WHOLE;
    joins_are_over = true;
    go(5000, WIRE_WHOLE);
    assert_true(held(&proxies[0], 2) > WIRE_WHOLE / 100 * 95);
    shares_lead(leader, false, 0);
    go(12000, WIRE_WHOLE);
    for (int i = 0; i < 4; i++)
        assert_int_equal(held(&proxies[i], 2), WIRE_WHOLE / 4);
    unix_now += 60000;
    shares_lead(leader, true, unix_now);
    go(6000, WIRE_WHOLE);
    assert_true(held(&proxies[0], 2) > WIRE_WHOLE / 100 * 95);
}

/* Anything may happen but a proxy that is cut off and goes on being asked. */
static void anything(void **state) {
    (void)state;
    joins_are_over = true;
    for (int i = 0; i < 3; i++)
        join(&proxies[i]);
    for (int step = 0; step < 3000; step++) {
        struct proxy *p = &proxies[below(PROXIES)];
        uint32_t what = below(100);
        if (what < 3 && !p->alive)
            join(p);
        else if (what < 5 && p->alive && alive() > 1)
            leave(p);
        else if (what < 40)
            p->demand[below(COUNTS)] = below(3) == 0 ? 0 : below(10 * WIRE_WHOLE);
        else if (what < 42 && p->alive && p->linked)
            cut(p), p->cut_ms = now;
        else if (what == 42)
            take_over();
        for (int i = 0; i < PROXIES; i++) /* back in time */
            if (proxies[i].alive && !proxies[i].linked && now - proxies[i].cut_ms > 800)
                relink(&proxies[i]);
        go(below(500) + STEP_MS, WIRE_WHOLE / 100 * 125);
    }
    print_message("at most %.3f of a count was handed out\n", (double)worst / WIRE_WHOLE);
    for (int i = 0; i < PROXIES; i++)
        if (proxies[i].alive && !proxies[i].linked)
            relink(&proxies[i]);
    go(10000, WIRE_WHOLE / 100 * 125);
    for (int i = 0; i < PROXIES; i++)
        for (int c = 0; c < COUNTS; c++)
            proxies[i].demand[c] = WIRE_WHOLE;
    go(8000, WIRE_WHOLE);
    for (int c = 0; c < COUNTS; c++)
        assert_true(sum_of(c) > WIRE_WHOLE / 100 * 95);
}

static void end(void) {
    shares_free(leader);
    leader = NULL;
}

static int setup(void **state) {
    joins_are_over = false;
    begin(state);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    end();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(follows_the_load, setup, teardown),
        cmocka_unit_test_setup_teardown(one_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(no_controller, setup, teardown),
        cmocka_unit_test_setup_teardown(anything, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
