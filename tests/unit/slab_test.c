/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's buffers: the limit, what is kept, the warm one first, and no memory.
 */
#include "lib/mem.h"
#include "proxy/net/slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h> /* needs those */

static void the_limit_is_an_answer(void **state) {
    (void)state;
    struct slabs s;
    slabs_init(&s, 16384 + 4096, 0);
    void *a = slab_take(&s, SLAB_16K), *b = slab_take(&s, SLAB_4K);
    assert_true(a != NULL && b != NULL);
    memset(a, 1, slab_bytes(SLAB_16K));
    memset(b, 2, slab_bytes(SLAB_4K));
    assert_int_equal(s.used_bytes, 16384 + 4096);
    assert_null(slab_take(&s, SLAB_2K));
    slab_give(&s, SLAB_4K, b);
    void *c = slab_take(&s, SLAB_2K), *d = slab_take(&s, SLAB_2K);
    assert_true(c != NULL && d != NULL);
    assert_null(slab_take(&s, SLAB_2K));
    slab_give(&s, SLAB_2K, c);
    slab_give(&s, SLAB_2K, d);
    slab_give(&s, SLAB_16K, a);
    assert_int_equal(s.used_bytes, 0);
    assert_int_equal(s.free_bytes, 0); /* nothing is to be kept */
    slabs_fini(&s);
}

static void the_warm_one_is_used_again(void **state) {
    (void)state;
    struct slabs s;
    slabs_init(&s, SIZE_MAX / 2, 8192);
    void *a = slab_take(&s, SLAB_4K), *b = slab_take(&s, SLAB_4K), *c = slab_take(&s, SLAB_4K);
    slab_give(&s, SLAB_4K, a);
    slab_give(&s, SLAB_4K, b);
    slab_give(&s, SLAB_4K, c); /* over what is kept: to the heap */
    assert_int_equal(s.free_bytes, 8192);
    uint64_t calls = mem_calls();
    assert_ptr_equal(slab_take(&s, SLAB_4K), b);
    assert_ptr_equal(slab_take(&s, SLAB_4K), a);
    assert_int_equal(mem_calls(), calls);
    mem_fail_at(1);
    assert_null(slab_take(&s, SLAB_4K));
    assert_int_equal(s.used_bytes, 8192);
    slab_give(&s, SLAB_4K, a);
    slab_give(&s, SLAB_4K, b);
    slabs_fini(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_is_an_answer),
        cmocka_unit_test(the_warm_one_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
