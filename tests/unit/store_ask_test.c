/* SPDX-License-Identifier: Apache-2.0
 *
 * The store and resources that are read one by one: what a source is asked, and what it may say.
 */
#include "controller/store/store.h"
#include "lib/json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct store *s;
static unsigned asked;

static void on_asked(void *arg, enum kube_kind kind, struct str ns, struct str name) {
    (void)arg;
    assert_int_equal(kind, KUBE_Namespace);
    assert_int_equal(ns.n, 0);
    assert_true(str_eq(name, STR("shop")));
    asked++;
}

static int setup(void **state) {
    (void)state;
    s = store_new();
    asked = 0;
    store_ask(s, KUBE_Namespace, on_asked, NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    store_free(s);
    return 0;
}

static const struct resource *read_by(struct store_unit *u) {
    return store_read(s, u, KUBE_Namespace, STR_NONE, STR("shop"));
}

/* Compiles the one dirty unit, as compile would. */
static struct store_unit *next(void) {
    struct store_unit *u = store_next_dirty(s);
    assert_non_null(u);
    return u;
}

static bool unknown(const struct why **why) {
    return store_is_unknown(s, KUBE_Namespace, STR_NONE, STR("shop"), why);
}

static void upsert(void) {
    struct why why = {0};
    bool foreign;
    cJSON *json = json_parse(STR("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\","
                                 "\"metadata\":{\"name\":\"shop\"}}"),
                             &why);
    struct resource *r = resource_new(json, &(struct resource_origin){0}, &foreign, &why);
    cJSON_Delete(json);
    assert_non_null(r);
    store_upsert(s, r);
}

static void absent(const char *text) {
    struct why why = {0};
    if (text)
        why_text(&why, "%s", text);
    store_absent(s, KUBE_Namespace, STR_NONE, STR("shop"), text ? &why : NULL);
}

static void a_name_is_unknown_until_the_source_answers(void **state) {
    const struct why *why;
    (void)state;
    store_unit(s, STR("one"));
    assert_null(read_by(next()));
    assert_int_equal(asked, 1);
    assert_true(unknown(&why));
    assert_int_equal(store_n_unknown(s), 1);
    upsert();
    assert_int_equal(store_n_unknown(s), 0);
    assert_non_null(read_by(next())); /* the answer made the reader dirty */
    assert_int_equal(asked, 2);
    assert_false(unknown(&why));
}

static void an_absence_is_told_once_and_stays_known(void **state) {
    const struct why *why;
    (void)state;
    struct store_unit *u = store_unit(s, STR("one"));
    read_by(next());
    absent(NULL);
    assert_null(read_by(next()));
    assert_false(unknown(&why));
    assert_null(why);
    absent(NULL);
    assert_int_equal(store_n_dirty(s), 0); /* nothing new */
    absent("forbidden");
    read_by(next());
    assert_false(unknown(&why));
    assert_string_equal(why->text, "forbidden");
    store_unit_dirty(s, u); /* a reader that is compiled anew asks, and still knows */
    read_by(next());
    assert_false(unknown(&why));
    assert_int_equal(store_n_unknown(s), 0);
}

static void what_nobody_reads_can_be_forgotten(void **state) {
    (void)state;
    struct store_unit *u = store_unit(s, STR("one"));
    read_by(next());
    assert_false(store_forget(s, KUBE_Namespace, STR_NONE, STR("shop")));
    upsert();
    assert_non_null(read_by(next()));
    store_unit_end(s, u);
    assert_true(store_forget(s, KUBE_Namespace, STR_NONE, STR("shop")));
    assert_int_equal(store_count(s, KUBE_Namespace), 0);
    assert_false(store_forget(s, KUBE_Namespace, STR_NONE, STR("shop")));
    absent("late"); /* nobody asks any more */
    assert_int_equal(store_n_unknown(s), 0);
}

static void an_unanswered_name_that_nobody_reads_is_forgotten_too(void **state) {
    (void)state;
    struct store_unit *u = store_unit(s, STR("one"));
    read_by(next());
    store_unit_end(s, u);
    assert_true(store_forget(s, KUBE_Namespace, STR_NONE, STR("shop")));
    assert_int_equal(store_n_unknown(s), 0);
}

static void a_store_may_end_with_names_open(void **state) {
    (void)state;
    store_unit(s, STR("one"));
    read_by(next());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_is_unknown_until_the_source_answers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_absence_is_told_once_and_stays_known, setup, teardown),
        cmocka_unit_test_setup_teardown(what_nobody_reads_can_be_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unanswered_name_that_nobody_reads_is_forgotten_too,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_may_end_with_names_open, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
