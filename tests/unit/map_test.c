/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/map: what it finds after puts and deletions, and that no order of filling is a slow one.
 */
#include "lib/map.h"
#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { KEYS = 160000, KEY_ROOM = 32 };

static char keys[KEYS][KEY_ROOM];

static struct str key(size_t i) { return str_of(keys[i]); }

static int setup(void **state) {
    (void)state;
    for (size_t i = 0; i < KEYS; i++)
        snprintf(keys[i], KEY_ROOM, "route/default/r%06zu/rule-0", i);
    return 0;
}

static void what_was_put_and_not_deleted_is_found(void **state) {
    struct map m;
    (void)state;
    map_init(&m);
    for (size_t i = 0; i < KEYS; i++)
        assert_null(map_put(&m, key(i), keys[i]));
    for (size_t i = 0; i < KEYS; i += 3)
        assert_ptr_equal(map_del(&m, key(i)), keys[i]);
    for (size_t i = 0; i < KEYS; i++)
        assert_ptr_equal(map_get(&m, key(i)), i % 3 == 0 ? NULL : keys[i]);
    size_t n = 0;
    for (struct map_slot *s = NULL; (s = map_next(&m, s));)
        n++;
    assert_int_equal(n, m.n);
    assert_int_equal(n, KEYS - (KEYS + 2) / 3);
    map_fini(&m);
}

/* Of this thread, so that a busy machine does not count. */
static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* It was 4 times as dear when both tables had one order, and more with more keys. */
static void a_copy_in_order_costs_what_filling_costs(void **state) {
    double fill = 1e9, copy = 1e9;
    (void)state;
    for (int turn = 0; turn < 5; turn++) {
        struct map a, b;
        map_init(&a);
        map_init(&b);
        double start = cpu_seconds();
        for (size_t i = 0; i < KEYS; i++)
            map_put(&a, key(i), keys[i]);
        double filled = cpu_seconds();
        for (struct map_slot *s = NULL; (s = map_next(&a, s));)
            map_put(&b, s->key, s->value);
        double copied = cpu_seconds();
        fill = filled - start < fill ? filled - start : fill;
        copy = copied - filled < copy ? copied - filled : copy;
        map_fini(&a);
        map_fini(&b);
    }
    print_message("filled in %.1f ms, copied in %.1f ms\n", fill * 1e3, copy * 1e3);
    assert_true(copy < fill * 2.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_and_not_deleted_is_found),
        cmocka_unit_test(a_copy_in_order_costs_what_filling_costs),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
