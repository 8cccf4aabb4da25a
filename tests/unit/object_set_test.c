/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/object_set: what it finds after puts and deletions.
 */
#include "lib/object_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { OBJECTS = 20000 };

static struct object *all[OBJECTS];

static struct object *object(size_t i, const char *custom_id) {
    char room[64];
    struct model_consumer m = {.custom_id = str_of(custom_id)};
    snprintf(room, sizeof(room), "consumer/shop/c%06zu", i);
    return object_new(MODEL_KIND_consumer, str_of(room), &m);
}

static int setup(void **state) {
    (void)state;
    for (size_t i = 0; i < OBJECTS; i++)
        all[i] = object(i, "");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (size_t i = 0; i < OBJECTS; i++)
        object_drop(all[i]);
    return 0;
}

static void what_was_put_and_not_deleted_is_found(void **state) {
    struct object_set s = {0};
    (void)state;
    assert_null(object_set_get(&s, object_id(all[0])));
    assert_null(object_set_del(&s, object_id(all[0])));
    for (size_t i = 0; i < OBJECTS; i++)
        assert_null(object_set_put(&s, all[i]));
    for (size_t i = 0; i < OBJECTS; i += 3)
        assert_ptr_equal(object_set_del(&s, object_id(all[i])), all[i]);
    for (size_t i = 0; i < OBJECTS; i++)
        assert_ptr_equal(object_set_get(&s, object_id(all[i])), i % 3 == 0 ? NULL : all[i]);
    size_t n = 0;
    for (struct object **o = NULL; (o = object_set_next(&s, o));)
        n++;
    assert_int_equal(n, s.n);
    assert_int_equal(n, OBJECTS - (OBJECTS + 2) / 3);
    object_set_fini(&s);
    assert_null(object_set_next(&s, NULL));
}

static void the_later_one_of_an_id_takes_its_place(void **state) {
    struct object_set s = {0};
    struct object *old = object(7, ""), *new = object(7, "seven");
    (void)state;
    assert_null(object_set_put(&s, old));
    assert_ptr_equal(object_set_put(&s, new), old);
    object_drop(old);
    assert_int_equal(s.n, 1);
    assert_ptr_equal(object_set_get(&s, object_id(new)), new);
    object_set_fini(&s);
    object_drop(new);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_and_not_deleted_is_found),
        cmocka_unit_test(the_later_one_of_an_id_takes_its_place),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
