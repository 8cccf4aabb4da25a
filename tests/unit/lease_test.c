/* SPDX-License-Identifier: Apache-2.0
 *
 * Who leads: by what was read and our own clock, never by what somebody wrote of theirs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "controller/status/lease_rule.h"

static struct lease_rule l;

static enum lease_next reads(const char *holder, const char *version, uint64_t now) {
    struct lease_record r = {str_of(holder), str_of(version), LEASE_DURATION_MS, 4};
    return lease_rule_read(&l, &r, now);
}

static int setup(void **state) {
    (void)state;
    lease_rule_init(&l, STR("me"));
    return 0;
}

static void there_is_none(void **state) {
    (void)state;
    assert_int_equal(lease_rule_read(&l, NULL, 1000), LEASE_CREATE);
    assert_false(lease_rule_leads(&l, 1000));
    lease_rule_written(&l, 1000);
    assert_true(lease_rule_leads(&l, 10999));
    assert_false(lease_rule_leads(&l, 11000));
}

static void somebody_else_renews(void **state) {
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        char version[8] = {(char)('0' + i / 10), (char)('0' + i % 10)};
        assert_int_equal(reads("other", version, i * 2000), LEASE_LATER);
    }
}

/* From when we saw it change, whatever it says of its times. */
static void somebody_else_stops(void **state) {
    (void)state;
    assert_int_equal(reads("other", "1", 5000), LEASE_LATER);
    assert_int_equal(reads("other", "2", 7000), LEASE_LATER);
    assert_int_equal(reads("other", "2", 21999), LEASE_LATER);
    assert_int_equal(reads("other", "2", 22000), LEASE_TAKE);
    assert_false(l.mine);
    assert_false(lease_rule_leads(&l, 22000));                 /* not before it is written */
    assert_int_equal(reads("third", "3", 22100), LEASE_LATER); /* lost the race */
    assert_int_equal(reads("third", "3", 37099), LEASE_LATER);
    assert_int_equal(reads("third", "3", 37100), LEASE_TAKE);
}

static void it_was_given_back(void **state) {
    (void)state;
    assert_int_equal(reads("other", "1", 5000), LEASE_LATER);
    assert_int_equal(reads("", "2", 5100), LEASE_TAKE);
}

static void durations_of_others(void **state) {
    (void)state;
    struct lease_record r = {STR("other"), STR("1"), 3600000, 0};
    assert_int_equal(lease_rule_read(&l, &r, 0), LEASE_LATER);
    assert_int_equal(lease_rule_read(&l, &r, 59999), LEASE_LATER); /* bounded */
    assert_int_equal(lease_rule_read(&l, &r, 60000), LEASE_TAKE);
    r = (struct lease_record){STR("other"), STR("2"), 0, 0}; /* none, or less than ours */
    assert_int_equal(lease_rule_read(&l, &r, 60000), LEASE_LATER);
    assert_int_equal(lease_rule_read(&l, &r, 74999), LEASE_LATER);
    assert_int_equal(lease_rule_read(&l, &r, 75000), LEASE_TAKE);
}

/* Two leaders split: whoever was stopped knows by its clock, before it has heard anything; and
 * there is a gap between the end of one and the beginning of the other. */
static void a_leader_that_was_stopped(void **state) {
    (void)state;
    struct lease_rule other;
    lease_rule_init(&other, STR("other"));
    reads("", "1", 1000);
    lease_rule_written(&l, 1000);
    struct lease_record r = {STR("me"), STR("2"), LEASE_DURATION_MS, 1};
    assert_int_equal(lease_rule_read(&other, &r, 1001), LEASE_LATER);
    uint64_t taken = 0;
    for (uint64_t now = 1001; taken == 0; now++)
        if (lease_rule_read(&other, &r, now) == LEASE_TAKE)
            taken = now;
    assert_int_equal(taken, 16001);
    assert_true(lease_rule_leads(&l, 10999));
    assert_false(lease_rule_leads(&l, 11000));
    assert_true(lease_rule_expired(&l, 40000)); /* it wakes */
    assert_false(lease_rule_expired(&l, 40000));
    assert_int_equal(reads("other", "3", 40001), LEASE_LATER);
}

static void a_leader_reads_itself(void **state) {
    (void)state;
    reads("", "1", 1000);
    lease_rule_written(&l, 1000);
    assert_int_equal(reads("me", "2", 3000), LEASE_KEEP);
    assert_int_equal(reads("me", "2", 12000), LEASE_TAKE); /* nobody took it meanwhile */
    assert_true(l.mine);
    lease_rule_written(&l, 12000);
    assert_true(lease_rule_leads(&l, 12001));
    assert_int_equal(reads("other", "4", 12002), LEASE_LATER);
    assert_false(lease_rule_leads(&l, 12003)); /* at once */
}

static void renewals_are_spread(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng);
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t ms = lease_rule_pause(&prng);
        least = ms < least ? ms : least;
        most = ms > most ? ms : most;
    }
    assert_in_range(least, LEASE_RETRY_MS, LEASE_RETRY_MS + 50);
    assert_in_range(most, LEASE_RETRY_MS + 300, LEASE_RETRY_MS + 400);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(there_is_none, setup),
        cmocka_unit_test_setup(somebody_else_renews, setup),
        cmocka_unit_test_setup(somebody_else_stops, setup),
        cmocka_unit_test_setup(it_was_given_back, setup),
        cmocka_unit_test_setup(durations_of_others, setup),
        cmocka_unit_test_setup(a_leader_that_was_stopped, setup),
        cmocka_unit_test_setup(a_leader_reads_itself, setup),
        cmocka_unit_test_setup(renewals_are_spread, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
