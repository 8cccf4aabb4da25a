/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/regex.h"

#include "lib/mem.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h> /* needs those */

static bool match(const char *pattern, struct str value) {
    struct why why = {0};
    struct regex *re = regex_new(str_of(pattern), &why);
    if (!re)
        fail_msg("%s: %s", pattern, why.text);
    struct regex_scratch *s = regex_scratch_new();
    bool got = regex_match(re, value, s);
    regex_scratch_free(s);
    regex_free(re);
    return got;
}

static void the_whole_value(void **state) {
    (void)state;
    assert_true(match("/a/[0-9]+", STR("/a/12")));
    assert_false(match("/a/[0-9]+", STR("/a/12/b")));
    assert_false(match("/a/[0-9]+", STR("x/a/12")));
    assert_true(match("a|ab", STR("ab")));
    assert_false(match("a", STR("a\n"))); /* $ is the very end */
    assert_true(match("", STR("")));
    assert_true(match(".*", STR_NONE));
    assert_true(match("a.c", STR("a\xff"
                                 "c")));
    assert_true(match("a\\x00b", STR("a\0b")));
}

static void refused_with_a_sentence(void **state) {
    (void)state;
    static const char *const bad[] = {"(", "[a", "a{2,1}", "(*UTF)a", "\\C", "(?<n>a)(?<n>b)", "*"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct why why = {0};
        assert_null(regex_new(str_of(bad[i]), &why));
        assert_non_null(strstr(why.text, "is not a regular expression"));
    }
    char longer[REGEX_MAX + 1];
    memset(longer, 'a', sizeof(longer));
    struct why why = {0};
    assert_null(regex_new(str_mk(longer, sizeof(longer)), &why));
    assert_string_equal(why.text,
                        "the regular expression has 1025 bytes; at most 1024 are allowed");
    struct regex *re = regex_new(str_mk(longer, REGEX_MAX), NULL);
    assert_non_null(re);
    regex_free(re);
}

/* Exponential without a limit: a match that is given up is none, and counted. */
static void a_limit_is_no_match(void **state) {
    (void)state;
    struct regex *re = regex_new(STR("(a+)+(a+)+[bc]d?[^c]"), NULL);
    struct regex_scratch *s = regex_scratch_new();
    char value[64];
    memset(value, 'a', sizeof(value));
    value[63] = 'c'; /* else the optimiser sees at once that [bc] is missing */
    uint64_t before = regex_limit_hits(s);
    assert_false(regex_match(re, str_mk(value, sizeof(value)), s));
    assert_true(regex_limit_hits(s) > before);
    before = regex_limit_hits(s);
    assert_false(regex_match(re, STR("x"), s));
    assert_int_equal(regex_limit_hits(s), before); /* an ordinary no */
    regex_scratch_free(s);
    regex_free(re);
}

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* S27: patterns that explode, against 10 kB that nearly match. */
static void a_match_is_bounded(void **state) {
    (void)state;
    static const char *const patterns[] = {
        "(a+)+b",     "(a|aa)+b",         "(a*)*b",          "(.*a){20}b",      "(a|a?)+b",
        "([a-z]+)*1", "(a+){10}(a+)*b",   ".*.*.*.*.*.*b",   "(?:a+a+)+b",      "(?=(a+))\\1*b",
        "(a*?)*?b",   "(?:(?:a|b)*c*)*d", "(/[^/]+)+/x/y/z", "(.+)+(.+)+(.+)+b"};
    static char value[10240];
    memset(value, 'a', sizeof(value));
    memcpy(value + sizeof(value) - 10, "b/x/y/z1d!",
           10); /* else the optimiser misses one of them */
    struct regex_scratch *s = regex_scratch_new();
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        struct regex *re = regex_new(str_of(patterns[i]), NULL);
        double least = 1e9;
        assert_non_null(re);
        for (int round = 0; round < 3; round++) {
            double before = cpu_ms();
            assert_false(regex_match(re, str_mk(value, sizeof(value)), s));
            double took = cpu_ms() - before;
            least = took < least ? took : least;
        }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        if (least > 1)
            fail_msg("%s: %.2f ms", patterns[i], least);
#endif
        printf("%-20s %.3f ms\n", patterns[i], least);
        regex_free(re);
    }
    regex_scratch_free(s);
}

static struct regex *shared;

static void *match_many(void *arg) {
    struct regex_scratch *s = regex_scratch_new();
    size_t *good = arg;
    for (int i = 0; i < 20000; i++) {
        *good += regex_match(shared, STR("/shop/12345/items"), s);
        *good += !regex_match(shared, STR("/shop/12345/item"), s);
    }
    regex_scratch_free(s);
    return NULL;
}

static void threads_share_a_regex(void **state) {
    (void)state;
    pthread_t threads[4];
    size_t good[4] = {0};
    shared = regex_new(STR("/(shop|store)/[0-9]+/items"), NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_many, &good[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(good[i], 40000);
    }
    regex_free(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_value),       cmocka_unit_test(refused_with_a_sentence),
        cmocka_unit_test(a_limit_is_no_match),   cmocka_unit_test(a_match_is_bounded),
        cmocka_unit_test(threads_share_a_regex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
