/* SPDX-License-Identifier: Apache-2.0
 *
 * backoff: every wait lies between half and all of what doubles from 0.5 s to 30 s.
 */
#include "controller/kube/backoff.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct prng rng;

static int setup(void **state) {
    (void)state;
    prng_init(&rng);
    return 0;
}

static void it_doubles_up_to_its_end(void **state) {
    (void)state;
    for (int round = 0; round < 1000; round++) {
        struct backoff b = {0};
        static const uint64_t most[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
        for (size_t i = 0; i < ARRAY_LEN(most); i++)
            assert_in_range(backoff_next(&b, &rng, 0), most[i] / 2, most[i]);
        backoff_reset(&b);
        assert_in_range(backoff_next(&b, &rng, 0), 250, 500);
    }
}

static void waits_differ(void **state) {
    (void)state;
    uint64_t least = UINT64_MAX, most = 0;
    for (int round = 0; round < 1000; round++) {
        struct backoff b = {16000};
        uint64_t wait = backoff_next(&b, &rng, 0);
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_true(least < 9000 && most > 15000);
}

static void the_server_may_ask_for_more(void **state) {
    (void)state;
    for (int round = 0; round < 1000; round++) {
        struct backoff b = {0};
        assert_in_range(backoff_next(&b, &rng, 7000), 7000, 7250);
        assert_in_range(backoff_next(&b, &rng, 100), 500, 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_doubles_up_to_its_end),
        cmocka_unit_test(waits_differ),
        cmocka_unit_test(the_server_may_ask_for_more),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
