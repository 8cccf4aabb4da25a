/* SPDX-License-Identifier: Apache-2.0
 *
 * This proxy's part of limits over the fleet: before it is told, while it is lent, afterwards; what
 * is reported, and that it is bounded whatever keys clients show.
 */
#include "proxy/limit/portions.h"

#include "lib/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { REQUESTS = 100, PER_MS = 1000, LEASE_MS = 3000 };

static struct portions *p;
static uint64_t now, serial;

static int begin(void **state) {
    (void)state;
    now = 1000000;
    serial = 0;
    p = portions_new(now);
    return 0;
}

static int end(void **state) {
    (void)state;
    portions_free(p);
    return 0;
}

static void run(uint64_t ms) {
    for (uint64_t until = now + ms; now < until;) {
        now += PORTIONS_TICK_MS;
        portions_tick(p, now);
    }
}

static bool tell(uint64_t share, uint64_t proxies, struct wire_count_share *own, uint32_t n) {
    return portions_take(p,
                         &(struct wire_shares){.term = 1,
                                               .serial = ++serial,
                                               .lease_ms = LEASE_MS,
                                               .proxies = proxies,
                                               .share = share,
                                               .counts = own,
                                               .n_counts = n},
                         now);
}

static uint32_t part_of(uint64_t count) { return portions_ask(p, count, false); }

static void before_and_after(void **state) {
    (void)state;
    assert_int_equal(part_of(7), WIRE_WHOLE / 16);
    assert_false(portions_gauges(p).told);
    run(PORTIONS_ALONE_MS);
    assert_int_equal(part_of(7), WIRE_WHOLE / 4);
    assert_true(tell(WIRE_WHOLE / 2, 2, NULL, 0));
    assert_int_equal(part_of(7), WIRE_WHOLE / 2);
    assert_true(portions_gauges(p).told && portions_gauges(p).lent);
    run(LEASE_MS + 1000); /* nobody renews it: as many as before */
    assert_int_equal(part_of(7), WIRE_WHOLE / 2);
    assert_false(portions_gauges(p).lent);
    assert_int_equal(portions_demand(p).term, 0);
}

static void own_part(void **state) {
    (void)state;
    struct wire_count_share own[] = {{7, WIRE_WHOLE * 9 / 10}, {8, WIRE_WHOLE / 10}};
    assert_true(tell(WIRE_WHOLE / 2, 2, own, 2));
    assert_int_equal(part_of(7), WIRE_WHOLE * 9 / 10);
    assert_int_equal(part_of(8), WIRE_WHOLE / 10);
    assert_int_equal(part_of(9), WIRE_WHOLE / 2);
    run(LEASE_MS + PORTIONS_TICK_MS); /* what is more than 1/N is given up at once ... */
    assert_int_equal(part_of(7), WIRE_WHOLE / 2);
    assert_int_equal(part_of(8), WIRE_WHOLE / 10);
    run(WIRE_REST_MS + PORTIONS_TICK_MS); /* ... and what is less is taken when others must have */
    assert_int_equal(part_of(8), WIRE_WHOLE / 2);
}

static void old_words(void **state) {
    (void)state;
    struct wire_shares m = {.term = 5, .serial = 2, .lease_ms = 3000, .proxies = 1, .share = 10};
    assert_true(portions_take(p, &m, now));
    assert_false(portions_take(p, &m, now)); /* the same once more */
    m.term = 4;
    m.serial = 9;
    assert_false(portions_take(p, &m, now)); /* an earlier lead */
    m.term = 6;
    m.serial = 1;
    assert_true(portions_take(p, &m, now));
    m.proxies = 0;
    m.serial = 2;
    assert_false(portions_take(p, &m, now));
}

/* A window counts what was let pass with the smaller part. */
static void windows(void **state) {
    (void)state;
    struct wire_count_share own = {7, WIRE_WHOLE / 10};
    assert_true(tell(WIRE_WHOLE / 2, 2, &own, 1));
    portions_near(p, 7, REQUESTS, 5000);
    run(1000);
    own.share = WIRE_WHOLE * 9 / 10;
    assert_true(tell(WIRE_WHOLE / 2, 2, &own, 1));
    assert_int_equal(portions_ask(p, 7, false), WIRE_WHOLE * 9 / 10);
    assert_int_equal(portions_ask(p, 7, true), WIRE_WHOLE / 10);
    for (int i = 0; i < 7; i++) {
        run(1000);
        assert_true(tell(WIRE_WHOLE / 2, 2, &own, 1));
    }
    assert_int_equal(portions_ask(p, 7, true), WIRE_WHOLE * 9 / 10);
    own.share = WIRE_WHOLE / 5;
    assert_true(tell(WIRE_WHOLE / 2, 2, &own, 1));
    assert_int_equal(portions_ask(p, 7, true), WIRE_WHOLE / 5); /* less: at once */
}

static void demand(void **state) {
    (void)state;
    assert_true(tell(WIRE_WHOLE / 2, 2, NULL, 0));
    assert_int_equal(portions_demand(p).n_counts, 0);
    portions_near(p, 7, REQUESTS, PER_MS);
    for (int i = 0; i < 50; i++) { /* 150 a second */
        run(PORTIONS_TICK_MS);
        for (int k = 0; k < 30; k++)
            part_of(7);
        if (i % 5 == 0)
            tell(WIRE_WHOLE / 2, 2, NULL, 0);
    }
    struct wire_demand d = portions_demand(p);
    assert_int_equal(d.n_counts, 1);
    assert_int_equal(d.counts[0].count, 7);
    assert_in_range(d.counts[0].demand, WIRE_WHOLE * 14 / 10, WIRE_WHOLE * 16 / 10);
    run(30000); /* nobody asks any more */
    assert_int_equal(portions_demand(p).n_counts, 0);
}

/* As many keys as anybody likes. */
static void many_keys(void **state) {
    (void)state;
    assert_true(tell(WIRE_WHOLE / 2, 2, NULL, 0));
    for (uint64_t i = 1; i <= 100000; i++) {
        uint64_t count = portions_count(99, str_mk((const char *)&i, sizeof(i)));
        part_of(count);
        portions_near(p, count, 1, PER_MS);
        if (i % 100 == 0)
            run(PORTIONS_TICK_MS);
    }
    struct wire_demand d = portions_demand(p);
    assert_in_range(d.n_counts, 1, WIRE_COUNTS_MAX);
    struct out o = out_heap(WIRE_MESSAGE_MAX);
    wire_encode(WIRE_demand, &d, &o);
    assert_true(!o.over && o.n < 8192);
    out_fini(&o);
    struct wire_count_share all[WIRE_COUNTS_MAX + 50];
    for (uint32_t i = 0; i < ARRAY_LEN(all); i++)
        all[i] = (struct wire_count_share){1000 + i, UINT64_MAX};
    assert_true(tell(UINT64_MAX, UINT64_MAX, all, ARRAY_LEN(all)));
    assert_in_range(part_of(1000), 1, WIRE_WHOLE);
    assert_in_range(portions_gauges(p).counts, 0, WIRE_COUNTS_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(before_and_after, begin, end),
        cmocka_unit_test_setup_teardown(own_part, begin, end),
        cmocka_unit_test_setup_teardown(old_words, begin, end),
        cmocka_unit_test_setup_teardown(windows, begin, end),
        cmocka_unit_test_setup_teardown(demand, begin, end),
        cmocka_unit_test_setup_teardown(many_keys, begin, end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
