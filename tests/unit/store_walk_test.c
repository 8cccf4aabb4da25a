/* SPDX-License-Identifier: Apache-2.0
 *
 * A walk over the store while it changes: as it was, or as it is; against a list of what there was
 * at its start.
 */
#include "compile_world.h"

#include <stdlib.h>

enum { NAMES = 40, ROUTES = 1 << KUBE_Route };

static struct world w;

static int setup(void **state) {
    (void)state;
    world_init(&w);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    world_fini(&w);
    return 0;
}

static void put(int name, unsigned version) {
    add(&w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route','metadata':{'name':'r%02d','namespace':"
        "'shop'},'spec':{'hostnames':['v%u.example.com'],'rules':[{'backendRefs':[{'name':'web',"
        "'port':80}]}]}}",
        name, version);
}

static void take(int name) {
    char text[8];
    snprintf(text, sizeof(text), "r%02d", name);
    store_delete(w.store, KUBE_Route, STR("shop"), str_of(text));
}

/* That it begins with. */
static unsigned number(struct str s) {
    unsigned v = 0;
    for (size_t i = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        v = v * 10 + (unsigned)(s.p[i] - '0');
    return v;
}
static int name_of(const struct resource *r) { return (int)number(str_skip(r->meta.name, 1)); }
static unsigned version_of(const struct resource *r) {
    return number(str_skip(resource_Route(r)->hostnames[0], 1));
}

static void shows_what_was(void **state) {
    (void)state;
    unsigned version = 0;
    srand(1);
    for (int round = 0; round < 300; round++) {
        unsigned now[NAMES] = {0}, was[NAMES];
        int last = -1, told = 0, n = 0;
        for (int i = 0; i < NAMES; i++) {
            take(i);
            if (rand() % 2)
                put(i, now[i] = ++version);
            n += now[i] > 0;
        }
        memcpy(was, now, sizeof(was));
        struct store_walk *walk = store_walk_begin(w.store, ROUTES, true);
        for (const struct resource *r; (r = store_walk_next(walk)); told++) {
            assert_true(name_of(r) > last);
            last = name_of(r);
            assert_int_equal(version_of(r), was[last]);
            for (int k = rand() % 6; k > 0; k--) {
                int i = rand() % NAMES;
                if (rand() % 3)
                    put(i, now[i] = ++version);
                else
                    take(i);
            }
        }
        assert_int_equal(told, n);
        assert_null(store_walk_next(walk));
        store_walk_end(walk);
    }
}

static void shows_what_is(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++)
        put(i, 1);
    struct store_walk *walk = store_walk_begin(w.store, ROUTES, false);
    assert_int_equal(name_of(store_walk_next(walk)), 0);
    put(0, 2);  /* was told */
    take(1);    /* gone */
    put(2, 2);  /* another one */
    put(10, 2); /* new */
    const int names[] = {2, 3, 4, 5, 10};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct resource *r = store_walk_next(walk);
        assert_int_equal(name_of(r), names[i]);
        assert_int_equal(version_of(r), i == 0 || i == 4 ? 2 : 1);
    }
    assert_null(store_walk_next(walk));
    store_walk_end(walk);
}

/* In whatever order they came, and however much of that was right. */
static void is_in_order(void **state) {
    (void)state;
    srand(2);
    for (int round = 0; round < 200; round++) {
        int n = 0, last = -1, right = rand() % NAMES;
        for (int again = 0; again < 3; again++) { /* more changes than an order is kept for */
            for (int i = 0; i < NAMES; i++)
                take(i);
            for (int i = 0; i < NAMES; i++)
                put(i < right ? i : rand() % NAMES, 1);
        }
        for (const struct resource *r = NULL; (r = store_next(w.store, KUBE_Route, r)); n++) {
            assert_true(name_of(r) > last);
            last = name_of(r);
        }
        assert_int_equal(n, store_count(w.store, KUBE_Route));
    }
}

/* What was held for it goes when it has passed, or ends. */
static void ends_in_the_middle(void **state) {
    (void)state;
    for (int i = 0; i < NAMES; i++)
        put(i, 1);
    struct store_walk *one = store_walk_begin(w.store, ROUTES, true),
                      *other = store_walk_begin(w.store, ROUTES, true);
    assert_int_equal(name_of(store_walk_next(one)), 0);
    for (int i = 0; i < NAMES; i += 2)
        take(i);
    assert_int_equal(name_of(store_walk_next(one)), 1);
    assert_int_equal(name_of(store_walk_next(one)), 2);
    store_walk_end(one);
    assert_int_equal(name_of(store_walk_next(other)), 0);
    store_walk_end(other);
}

/* Objects of units that come and go: what is there all the time is told once. */
static void walks_objects(void **state) {
    (void)state;
    size_t seen[NAMES] = {0}, n;
    struct object *const *v;
    add_small_world(&w);
    for (int i = 0; i < NAMES; i++)
        put(i, 1);
    run(&w);
    struct compile_walk *walk = compile_walk_begin(w.compiler),
                        *other = compile_walk_begin(w.compiler);
    for (int step = 0; compile_walk_next(walk, &v, &n); step++) {
        for (size_t i = 0; i < n; i++)
            if (str_starts(object_id(v[i]), STR("route/shop/r")))
                seen[number(str_skip(object_id(v[i]), 12))]++;
        if (step % 5 == 0)
            (void)compile_walk_next(other, &v, &n);
        take(step % NAMES / 2);
        put(NAMES / 2 + step % 7, (unsigned)step);
        run(&w);
        assert_true(step < 1000);
    }
    for (int i = NAMES / 2; i < NAMES; i++)
        assert_int_equal(seen[i], 1);
    compile_walk_end(walk);
    compile_walk_end(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shows_what_was, setup, teardown),
        cmocka_unit_test_setup_teardown(shows_what_is, setup, teardown),
        cmocka_unit_test_setup_teardown(is_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(walks_objects, setup, teardown),
    };
    return cmocka_run_group_tests_name("store_walk", tests, NULL, NULL);
}
