/* SPDX-License-Identifier: Apache-2.0
 *
 * Rate limits against what they are by definition, at random times: a bucket of tokens that is
 * filled as time goes by, and the list of all requests that were allowed. Several keys in a table
 * so small that they must share places: nobody gets more than twice what it would get alone.
 *
 *   SLUICE_SEED=n    the same run again
 */
#include "proxy/limit/counts.h"

#include "lib/hash.h"
#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROUNDS = 300, STEPS = 2000, KEYS = 40, PER_NS = 16, PARTS = 13 };
static const uint64_t START = (uint64_t)1000000000 * 3600;

static struct prng rng;
static uint32_t below(uint32_t n) { return prng_below(&rng, n); }

static void begin(void) {
    const char *given = getenv("SLUICE_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)getpid() * 7919;
    printf("SLUICE_SEED=%llu\n", (unsigned long long)seed);
    rng = (struct prng){{seed | 1, seed * 31 + 7}};
}

static struct limit_law some_law(bool window) {
    uint64_t requests = 1 + below(20), per_ms = 1 + below(3000);
    return (struct limit_law){.slot = below(4),
                              .identity = prng_next(&rng) | 1,
                              .rate = {requests, per_ms, 1 + below(20), window}};
}

/* A step of time that matters for the limit: none, a bit, about a request's, about all of it. */
static uint64_t some_ns(const struct limit_rate *r) {
    uint64_t per = r->per_ms * 1000000;
    switch (below(5)) {
    case 0:
        return 0;
    case 1:
        return below(1000);
    case 2:
        return per / r->requests + below(3) - 1;
    case 3:
        return prng_next(&rng) % (per + 1);
    default:
        return prng_next(&rng) % (per / r->requests + 1);
    }
}

/* ---- a bucket: tokens, in the time that each takes ---- */

struct tokens {
    uint64_t level, at; /* units of 1/16 ns */
};

static bool take_token(struct tokens *b, const struct limit_rate *r, uint64_t now) {
    uint64_t each = (r->per_ms * 1000000 * PER_NS + r->requests - 1) / r->requests;
    uint64_t full = each * r->burst, grown = b->level + (now - b->at);
    b->level = b->at == 0 || grown > full ? full : grown;
    b->at = now;
    if (b->level < each)
        return false;
    b->level -= each;
    return true;
}

static void test_bucket(void **state) {
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct limit_table *t = limit_table_new(0);
        struct limit_law l = some_law(false);
        struct tokens model[KEYS] = {{0}};
        uint64_t now = START;
        for (int i = 0; i < STEPS; i++) {
            struct limit_count c, seen;
            unsigned k = below(4);
            now += some_ns(&l.rate);
            uint64_t key = limit_key(&l, str_mk((const char *)&k, sizeof(k)));
            limit_look(t, &l, key, now, &seen);
            limit_take(t, &l, key, now, &c);
            assert_int_equal(c.allowed, take_token(&model[k], &l.rate, now * PER_NS));
            assert_int_equal(c.allowed, seen.allowed);
            assert_int_equal(c.left, seen.left);
            assert_int_equal(c.wait_ms > 0, !c.allowed);
            if (c.allowed)
                continue;
            limit_look(t, &l, key, now + c.wait_ms * 1000000, &seen);
            assert_true(seen.allowed); /* who waits as long is let pass */
            limit_look(t, &l, key, now + (c.wait_ms - 1) * 1000000, &seen);
            assert_false(c.wait_ms > 1 && seen.allowed); /* and nobody waits for longer */
        }
        limit_table_free(t);
    }
}

/* ---- a window: all requests that were allowed ---- */

struct allowed {
    unsigned n;
    uint64_t at[STEPS];
};

static unsigned since(const struct allowed *a, uint64_t from) {
    unsigned n = 0;
    for (unsigned i = a->n; i-- > 0 && a->at[i] > from;)
        n++;
    return n;
}

static void test_window(void **state) {
    struct allowed *model = mem_array(4, sizeof(*model));
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct limit_table *t = limit_table_new(0);
        struct limit_law l = some_law(true);
        uint64_t now = START, per = l.rate.per_ms * 1000000,
                 most = per / PARTS * (PARTS + 1) + PARTS;
        for (int k = 0; k < 4; k++)
            model[k].n = 0;
        for (int i = 0; i < STEPS; i++) {
            struct limit_count c, later;
            unsigned k = below(4);
            struct allowed *a = &model[k];
            now += some_ns(&l.rate);
            uint64_t key = limit_key(&l, str_mk((const char *)&k, sizeof(k)));
            limit_take(t, &l, key, now, &c);
            if (c.allowed) {
                a->at[a->n++] = now;
                assert_true(since(a, now - per) <= l.rate.requests);
                assert_true(c.left <= l.rate.requests - since(a, now - per));
                continue;
            }
            /* Of a stretch that is longer by one part they are all used up. */
            assert_true(since(a, now - most) >= l.rate.requests);
            limit_look(t, &l, key, now + c.wait_ms * 1000000, &later);
            assert_true(later.allowed);
        }
        limit_table_free(t);
    }
    mem_free(model);
}

/* ---- a table that is too small ---- */

static void test_crowd(void **state) {
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct limit_table *t = limit_table_new(8);
        struct limit_law l = some_law(false);
        struct limit_rate twice = l.rate;
        struct tokens model[KEYS] = {{0}};
        uint64_t now = START;
        unsigned shared = 0;
        twice.requests *= 2;
        twice.burst *= 2;
        for (int i = 0; i < STEPS; i++) {
            struct limit_count c;
            unsigned k = below(KEYS);
            struct tokens before = model[k];
            now += some_ns(&l.rate) / KEYS;
            limit_take(t, &l, limit_key(&l, str_mk((const char *)&k, sizeof(k))), now, &c);
            bool alone = take_token(&model[k], &twice, now * PER_NS);
            if (!c.allowed)
                model[k] = before;
            assert_true(alone || !c.allowed);
            shared += c.shared;
        }
        assert_true(shared > 0 || l.rate.burst * l.rate.requests < 100);
        limit_table_free(t);
    }
}

static void test_crowd_of_windows(void **state) {
    struct allowed *model = mem_array(KEYS, sizeof(*model));
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct limit_table *t = limit_table_new(8);
        struct limit_law l = some_law(true);
        uint64_t now = START, per = l.rate.per_ms * 1000000;
        for (int k = 0; k < KEYS; k++)
            model[k].n = 0;
        for (int i = 0; i < STEPS; i++) {
            struct limit_count c;
            unsigned k = below(KEYS);
            struct allowed *a = &model[k];
            now += some_ns(&l.rate) / KEYS;
            limit_take(t, &l, limit_key(&l, str_mk((const char *)&k, sizeof(k))), now, &c);
            if (!c.allowed)
                continue;
            a->at[a->n++] = now;
            assert_true(since(a, now - per) <= 2 * l.rate.requests);
        }
        limit_table_free(t);
    }
    mem_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_crowd_of_windows),
    };
    begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
