/* SPDX-License-Identifier: Apache-2.0
 *
 * What rate limits count: buckets and windows to the request, under a clock of the test's; shares;
 * that many keys neither take memory nor anybody's count; and, for the thread sanitizer, that two
 * workers get no more than one would.
 */
#include "proxy/limit/counts.h"

#include "lib/hash.h"
#include "lib/mem.h"
#include "proxy/net/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { MS = 1000000 };
static const uint64_t START = (uint64_t)86400000 * MS; /* a machine that has been up for a day */

static struct limit_law law_of(uint32_t slot, uint64_t requests, uint64_t per_ms, uint64_t burst,
                               bool window) {
    return (struct limit_law){.slot = slot,
                              .identity = hash_mix(slot + 1, 77) | 1,
                              .rate = {requests, per_ms, burst, window}};
}

static bool take(struct limit_table *t, const struct limit_law *l, uint64_t key, uint64_t ms,
                 struct limit_count *c) {
    limit_take(t, l, hash_mix(key, l->identity), START + ms * MS, c);
    return c->allowed;
}

static unsigned take_many(struct limit_table *t, const struct limit_law *l, uint64_t key,
                          uint64_t ms, unsigned n) {
    struct limit_count c;
    unsigned got = 0;
    while (n-- > 0)
        got += take(t, l, key, ms, &c);
    return got;
}

/* ---- buckets ---- */

static void test_bucket_is_exact(void **state) {
    struct limit_table *t = limit_table_new(0);
    struct limit_law l = law_of(1, 10, 1000, 3, false);
    struct limit_count c;
    (void)state;
    for (unsigned left = 3; left-- > 0;) {
        assert_true(take(t, &l, 5, 0, &c));
        assert_int_equal(c.left, left);
        assert_int_equal(c.full_ms, (3 - left) * 100);
    }
    assert_false(take(t, &l, 5, 0, &c));
    assert_int_equal(c.wait_ms, 100);
    assert_false(take(t, &l, 5, 99, &c));
    assert_int_equal(c.wait_ms, 1);
    assert_true(take(t, &l, 5, 100, &c));
    assert_int_equal(c.left, 0);
    assert_false(take(t, &l, 5, 199, &c));
    assert_int_equal(take_many(t, &l, 5, 10000, 9), 3); /* it is full, and no fuller */
    assert_int_equal(take_many(t, &l, 6, 10000, 9), 3); /* another key */
    limit_table_free(t);
}

static void test_extremes(void **state) {
    struct limit_table *t = limit_table_new(0);
    struct limit_law fast = law_of(1, INT32_MAX, 1000, INT32_MAX, false);
    struct limit_law slow = law_of(2, 1, LIMIT_PER_MAX_MS, 1, false);
    struct limit_law huge = law_of(3, 1, 86400000, 1000, false);
    struct limit_count c;
    (void)state;
    assert_int_equal(take_many(t, &fast, 1, 0, 1000), 1000);
    assert_true(take(t, &slow, 1, 0, &c));
    assert_false(take(t, &slow, 1, LIMIT_PER_MAX_MS - 1, &c));
    assert_int_equal(c.wait_ms, 1);
    assert_true(take(t, &slow, 1, LIMIT_PER_MAX_MS, &c));
    assert_int_equal(take_many(t, &huge, 1, 0, 1001), 1000);
    limit_table_free(t);
}

static void test_look_takes_nothing(void **state) {
    struct limit_table *t = limit_table_new(0);
    (void)state;
    for (int window = 0; window < 2; window++) {
        struct limit_law l = law_of(1, 2, 1000, 2, window);
        struct limit_count c;
        for (int i = 0; i < 5; i++) {
            limit_look(t, &l, hash_mix(9, l.identity), START, &c);
            assert_true(c.allowed);
            assert_int_equal(c.left, 1);
        }
        assert_int_equal(take_many(t, &l, 9, 0, 5), 2);
        limit_look(t, &l, hash_mix(9, l.identity), START, &c);
        assert_false(c.allowed);
        assert_true(c.wait_ms > 0);
        limit_give(t, &l, hash_mix(9, l.identity), START);
        assert_int_equal(take_many(t, &l, 9, 0, 5), 1);
    }
    limit_table_free(t);
}

/* ---- windows ---- */

static void test_window_is_exact(void **state) {
    struct limit_table *t = limit_table_new(0);
    struct limit_law l = law_of(1, 4, 13000, 0, true);
    struct limit_count c;
    (void)state;
    for (unsigned left = 4; left-- > 0;) {
        assert_true(take(t, &l, 5, 500, &c));
        assert_int_equal(c.left, left);
    }
    assert_false(take(t, &l, 5, 900, &c));
    uint64_t wait = c.wait_ms;
    assert_true(wait > 13000 - 400 && wait <= 14000);
    assert_false(take(t, &l, 5, 900 + wait - 1, &c));
    assert_int_equal(c.wait_ms, 1);
    assert_true(take(t, &l, 5, 900 + wait, &c));
    limit_table_free(t);
}

/* A window of a year on a machine that has just begun. */
static void test_long_window(void **state) {
    struct limit_table *t = limit_table_new(0);
    struct limit_law l = law_of(1, 1, LIMIT_PER_MAX_MS, 0, true);
    struct limit_count c;
    (void)state;
    limit_take(t, &l, 5, 1000, &c);
    assert_true(c.allowed);
    limit_take(t, &l, 5, 2000, &c);
    assert_false(c.allowed);
    assert_true(c.wait_ms >= LIMIT_PER_MAX_MS && c.wait_ms <= LIMIT_PER_MAX_MS * 14 / 13 + 1);
    limit_take(t, &l, 5, c.wait_ms * MS + 2000, &c);
    assert_true(c.allowed);
    limit_table_free(t);
}

static void test_window_slides(void **state) {
    struct limit_table *t = limit_table_new(0);
    struct limit_law l = law_of(1, 10, 13000, 0, true);
    struct limit_count c;
    (void)state;
    for (uint64_t s = 0; s < 10; s++)
        assert_true(take(t, &l, 5, s * 1300, &c));
    assert_false(take(t, &l, 5, 12900, &c)); /* all ten are within 13 s */
    assert_true(take(t, &l, 5, 14000, &c));  /* the first is not */
    assert_false(take(t, &l, 5, 14000, &c));
    limit_table_free(t);
}

/* ---- shares ---- */

static void test_shares(void **state) {
    struct limit_table *t = limit_table_new(0);
    struct limit_law l = law_of(1, 100, 1000, 100, false), w = law_of(2, 100, 1000, 0, true);
    struct limit_law local = law_of(3, 100, 1000, 100, false);
    (void)state;
    l.fleet = w.fleet = true;
    assert_int_equal(limit_share(t, &l), LIMIT_SHARE);
    limit_share_all(t, LIMIT_SHARE / 4);
    assert_int_equal(take_many(t, &l, 1, 0, 200), 25);
    assert_int_equal(take_many(t, &w, 1, 0, 200), 25);
    assert_int_equal(take_many(t, &local, 1, 0, 200), 100);
    assert_int_equal(take_many(t, &l, 1, 1001, 200), 25);
    limit_share_one(t, &l, LIMIT_SHARE / 2);
    assert_int_equal(limit_share(t, &w), LIMIT_SHARE / 4);
    assert_int_equal(take_many(t, &l, 2, 0, 200), 50);
    struct limit_law next = l; /* which gets its slot */
    next.identity = 12345ULL << 32 | 1;
    assert_int_equal(limit_share(t, &next), LIMIT_SHARE / 4);
    limit_share_one(t, &l, 0);
    assert_int_equal(limit_share(t, &l), LIMIT_SHARE / 4);
    limit_share_all(t, 1); /* never nothing at all */
    assert_int_equal(take_many(t, &l, 3, 0, 200), 1);
    assert_int_equal(take_many(t, &w, 3, 0, 200), 1);
    limit_table_free(t);
}

/* ---- many keys ---- */

static long resident_pages(void) {
    unsigned long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &total, &resident), 2);
    fclose(f);
    return (long)resident;
}

enum { FLOOD = 1000000, BOUND_BYTES = 12 << 20 };

/* A million keys: what was counted for one before stays counted, and memory is bounded. */
static void test_flood(void **state) {
    (void)state;
    for (int window = 0; window < 2; window++) {
        struct limit_table *t = limit_table_new(0);
        struct limit_law l = law_of(1, 5, 60000, 5, window),
                         quota = law_of(UINT32_MAX, 5, 60000, 5, window);
        struct limit_law other = law_of(2, 5, 60000, 5, window);
        struct limit_count c;
        struct prng rng = {{1, 2}};
        const uint64_t hot = 7;
        unsigned shared = 0;
        long before = resident_pages();
        assert_int_equal(take_many(t, &l, hot, 0, 9), 5);
        for (unsigned i = 0; i < FLOOD; i++) {
            limit_take(t, &l, prng_next(&rng), START + i * 10, &c);
            shared += c.shared;
            if (!window && i == 220000) /* of 262,144 places */
                assert_true(shared < 1000);
        }
        assert_true(shared > FLOOD / 2); /* they have filled all places */
        assert_int_equal(take_many(t, &l, hot, 10, 9), 0);
#ifndef __SANITIZE_THREAD__ /* its shadow is several times as large */
        assert_true((resident_pages() - before) * sysconf(_SC_PAGESIZE) < BOUND_BYTES);
#else
        assert_true(before > 0);
#endif
        assert_int_equal(take_many(t, &quota, hot, 10, 9), 5); /* nobody makes up Consumers */
        unsigned elsewhere = 0; /* other limits have shared places of their own */
        for (uint64_t key = 1; key < 9; key++)
            elsewhere += take_many(t, &other, key, 10, 1);
        assert_int_equal(elsewhere, 8);
        assert_int_equal(take_many(t, &l, hot, 90000, 9), 5); /* and a minute later all is well */
        limit_table_free(t);
    }
}

static void test_keys(void **state) {
    struct limit_law a = law_of(1, 5, 1000, 5, false), b = law_of(2, 5, 1000, 5, false);
    (void)state;
    assert_true(limit_key(&a, STR("x")) == limit_key(&a, STR("x")));
    assert_true(limit_key(&a, STR("x")) != limit_key(&b, STR("x")));
    assert_true(limit_key(&a, STR("x")) != limit_key(&a, STR("y")));
    assert_true(limit_key(&a, STR_NONE) != 0);
}

/* ---- two workers ---- */

enum { THREADS = 2, TRIES = 20000, ALLOWED = 10000, KEYS = 64 };

struct race {
    struct limit_table *t;
    struct limit_law law;
    uint64_t allowed, others;
};

static void *hammer(void *arg) {
    struct race *r = arg;
    struct limit_count c;
    for (uint64_t i = 0; i < TRIES; i++) {
        r->allowed += take(r->t, &r->law, 5, 0, &c);
        limit_take(r->t, &r->law, 100 + i % KEYS, START + i * MS, &c);
        r->others += c.allowed;
    }
    return NULL;
}

static void test_two_workers(void **state) {
    (void)state;
    for (int window = 0; window < 2; window++) {
        struct limit_table *t = limit_table_new(1024);
        struct race r[THREADS];
        pthread_t thread[THREADS];
        uint64_t sum = 0;
        for (int i = 0; i < THREADS; i++) {
            r[i] = (struct race){.t = t, .law = law_of(1, ALLOWED, 86400000, ALLOWED, window)};
            assert_int_equal(pthread_create(&thread[i], NULL, hammer, &r[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(thread[i], NULL);
            sum += r[i].allowed;
            assert_int_equal(r[i].others, TRIES);
        }
        assert_true(sum <= ALLOWED);
        assert_true(sum + 2 >= ALLOWED); /* of windows, both stand back from the last one */
        limit_table_free(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket_is_exact),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_look_takes_nothing),
        cmocka_unit_test(test_window_is_exact),
        cmocka_unit_test(test_window_slides),
        cmocka_unit_test(test_long_window),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_two_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
