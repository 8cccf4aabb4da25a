/* SPDX-License-Identifier: Apache-2.0
 *
 * The wheel against a plain list of deadlines: never early, at most a tick and a turn late, none
 * lost, none fired twice, through all of its levels. The seed is printed; SLUICE_SEED=n repeats it.
 */
#include "lib/hash.h"
#include "lib/mem.h"
#include "proxy/net/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h> /* needs those */

enum { TIMERS = 500, STEPS = 2000000 };

struct probe {
    struct timer timer;
    uint64_t due;  /* as the list has it; 0: not set */
    uint64_t seen; /* the turn that has to fire it at the latest */
};

static struct probe probes[TIMERS];
static struct wheel *wheel;
static struct prng prng;
static uint64_t now, last_turn, fired;

/* Mostly soon, sometimes beyond the last level. */
static uint64_t some_delay(void) {
    static const uint32_t spans[] = {1, 30, 3000, 3000, 200000, 12000000, 700000000};
    return prng_below(&prng, spans[prng_below(&prng, ARRAY_LEN(spans))]);
}

static void set(struct probe *p) {
    p->due = now + some_delay();
    timer_set(wheel, &p->timer, p->due);
}

static void on_fire(struct timer *t) {
    struct probe *p = container_of(t, struct probe, timer);
    if (p->due == 0)
        fail_msg("fired, but it was not set");
    if (p->due > now)
        fail_msg("early by %llu ms", (unsigned long long)(p->due - now));
    /* the turn before this one had to fire it when it was due a whole tick before that */
    if (p->due + 2 * WHEEL_TICK_MS <= last_turn && p->seen != now)
        fail_msg("due %llu, the turn at %llu passed it over", (unsigned long long)p->due,
                 (unsigned long long)last_turn);
    p->due = 0;
    fired++;
    if (prng_below(&prng, 2) == 0) {
        set(p); /* from within, and perhaps in the past already */
        p->seen = now;
    }
}

static void turn(uint64_t ms) {
    last_turn = now;
    now += ms;
    wheel_turn(wheel, now);
}

static void as_a_list(void **state) {
    (void)state;
    const char *given = getenv("SLUICE_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 0;
    if (given == NULL)
        random_bytes(&seed, sizeof(seed));
    print_message("seed %llu\n", (unsigned long long)seed);
    prng = (struct prng){{seed, ~seed}};
    now = 1 + prng_below(&prng, 1U << 30);
    wheel = wheel_new(now);
    for (int i = 0; i < TIMERS; i++)
        timer_init(&probes[i].timer, on_fire);
    for (unsigned i = 0; i < STEPS; i++) {
        struct probe *p = &probes[prng_below(&prng, TIMERS)];
        uint32_t what = prng_below(&prng, 100);
        if (what < 50) {
            set(p);
            p->seen = 0;
        } else if (what < 70) {
            timer_unset(&p->timer);
            p->due = 0;
        } else if (what < 72) {
            timer_fini(&p->timer);
            timer_init(&p->timer, on_fire);
            p->due = 0;
        } else if (what < 99) {
            turn(prng_below(&prng, 40));
        } else {
            int wait = wheel_wait_ms(wheel, now);
            assert_in_range(wait, 0, 2560 + WHEEL_TICK_MS);
            /* what the wheel lets the loop sleep, nothing becomes late in */
            turn((uint64_t)wait + (prng_below(&prng, 50) == 0 ? some_delay() : 0));
        }
        assert_int_equal(timer_is_set(&p->timer), p->due != 0);
        if (i % 4096 == 0)
            for (int k = 0; k < TIMERS; k++)
                if (probes[k].due != 0 && probes[k].due + 2 * WHEEL_TICK_MS <= last_turn &&
                    probes[k].seen == 0)
                    fail_msg("lost: due %llu at %llu", (unsigned long long)probes[k].due,
                             (unsigned long long)now);
    }
    for (int i = 0; i < TIMERS; i++) {
        timer_fini(&probes[i].timer);
    }
    wheel_free(wheel);
    assert_true(fired > STEPS / 100);
}

static uint64_t fired_at;
static void note(struct timer *t) {
    (void)t;
    fired_at = now;
}

/* Woken exactly when wheel_wait_ms says, a timer alone fires within a tick of its deadline, for
 * each length on both sides of every level's edge. */
static void at_the_edges_of_the_levels(void **state) {
    (void)state;
    static const uint64_t edges[] = {1, 256, 256 * 64, 256 * 64 * 64};
    for (unsigned e = 0; e < ARRAY_LEN(edges); e++)
        for (int by = -3; by <= 3; by++)
            for (uint64_t start = 1; start < 40000; start += 1237) {
                int64_t delay = (int64_t)(edges[e] * WHEEL_TICK_MS) + by * 7;
                if (delay <= 0)
                    continue;
                struct timer t;
                now = start;
                wheel = wheel_new(now);
                timer_init(&t, note);
                uint64_t due = now + (uint64_t)delay;
                timer_set(wheel, &t, due);
                for (fired_at = 0; fired_at == 0;) {
                    int wait = wheel_wait_ms(wheel, now);
                    turn(wait > 0 ? (uint64_t)wait : 1);
                    if (now > due + 2 * WHEEL_TICK_MS)
                        fail_msg("start %llu, delay %lld: late", (unsigned long long)start,
                                 (long long)delay);
                }
                assert_true(fired_at >= due);
                timer_fini(&t);
                wheel_free(wheel);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_a_list),
        cmocka_unit_test(at_the_edges_of_the_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
