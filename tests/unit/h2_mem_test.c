/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of HTTP/2 connections: what was given back is used again, an account and the worker's
 * limit hold, and all of it is counted.
 */
#include "lib/mem.h"
#include "proxy/session/h2_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* needs those */

static struct slabs slabs;
static struct h2_mem pool;

static int begin(void **state) {
    (void)state;
    slabs_init(&slabs, 1 << 20, 1 << 20);
    h2_mem_init(&pool, &slabs);
    return 0;
}

static int end(void **state) {
    (void)state;
    assert_int_equal(slabs.used_bytes, 0);
    h2_mem_fini(&pool);
    slabs_fini(&slabs);
    return 0;
}

static void steady_use_allocates_nothing(void **state) {
    (void)state;
    struct h2_account a = {.mem = &pool, .limit = SIZE_MAX};
    nghttp2_mem hooks = h2_hooks(&a);
    static const size_t sizes[] = {1, 47, 48, 49, 300, 4000};
    for (unsigned round = 0; round < 3; round++) {
        uint64_t before = mem_calls();
        void *p[ARRAY_LEN(sizes)];
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            p[i] = hooks.malloc(sizes[i], &a);
            memset(p[i], 0xa5, sizes[i]);
            assert_true(a.used >= sizes[i] && slabs.used_bytes == a.used);
        }
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
            hooks.free(p[i], &a);
        assert_int_equal(a.used, 0);
        assert_true(round == 0 || mem_calls() == before);
    }
    hooks.free(NULL, &a);
}

static void what_grows_keeps_its_bytes(void **state) {
    (void)state;
    struct h2_account a = {.mem = &pool, .limit = SIZE_MAX};
    nghttp2_mem hooks = h2_hooks(&a);
    char *p = hooks.realloc(NULL, 10, &a);
    memcpy(p, "0123456789", 10);
    for (size_t n = 20; n < 20000; n *= 3) {
        p = hooks.realloc(p, n, &a);
        assert_memory_equal(p, "0123456789", 10);
    }
    p = hooks.realloc(p, 5, &a);
    assert_memory_equal(p, "01234", 5);
    hooks.free(p, &a);
    unsigned char *z = hooks.calloc(10, 10, &a);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(z[i], 0);
    hooks.free(z, &a);
    assert_null(hooks.calloc(SIZE_MAX / 2, 3, &a));
}

static void limits_hold(void **state) {
    (void)state;
    struct h2_account small = {.mem = &pool, .limit = 1000},
                      other = {.mem = &pool, .limit = SIZE_MAX};
    assert_null(h2_take(&small, 1000)); /* its header counts */
    void *p = h2_take(&small, 900);
    assert_non_null(p);
    assert_null(h2_take(&small, 100));
    void *q = h2_take(&other, 100); /* one account does not bound another */
    assert_non_null(q);
    assert_null(h2_take(&other, 2 << 20)); /* of the worker */
    assert_null(h2_take(&other, SIZE_MAX));
    h2_give(&other, q);
    mem_fail_at(1);
    assert_null(h2_take(&other, 3000));
    mem_fail_at(0);
    assert_int_equal(slabs.used_bytes, small.used);
    h2_give(&small, p);
}

static void little_is_kept(void **state) {
    (void)state;
    struct h2_account a = {.mem = &pool, .limit = SIZE_MAX};
    slabs.limit = 64 << 20;
    enum { MANY = 1000 };
    static void *p[MANY];
    for (unsigned i = 0; i < MANY; i++)
        assert_non_null(p[i] = h2_take(&a, 4000));
    for (unsigned i = 0; i < MANY; i++)
        h2_give(&a, p[i]);
    assert_true(pool.free_bytes > 0 && pool.free_bytes <= 1 << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steady_use_allocates_nothing, begin, end),
        cmocka_unit_test_setup_teardown(what_grows_keeps_its_bytes, begin, end),
        cmocka_unit_test_setup_teardown(limits_hold, begin, end),
        cmocka_unit_test_setup_teardown(little_is_kept, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
