/* SPDX-License-Identifier: Apache-2.0
 *
 * split: what comes out of watches and lists, however they are cut, and what is refused.
 */
#include "controller/kube/split.h"

#include "lib/mem.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Everything that comes out, one a line: objects, then "rest" of a list, then the fault. */
static struct out split(enum split_form form, struct str text, size_t max, size_t step) {
    struct out o = out_heap(1 << 24);
    struct split s;
    struct why why = {0};
    struct str object, rest;
    enum split_got got = SPLIT_MORE;
    split_init(&s, form, max);
    while (text.n > 0 && got != SPLIT_BAD) {
        struct str piece = str_mk(text.p, size_min(step, text.n));
        text = str_skip(text, piece.n);
        while ((got = split_next(&s, &piece, &object, &why)) == SPLIT_OBJECT)
            out_fmt(&o, "%.*s\n", STR_FMT(object));
    }
    if (split_end(&s, &rest, &why) == 0 && rest.n > 0)
        out_fmt(&o, "rest %.*s\n", STR_FMT(rest));
    if (why_set(&why))
        out_fmt(&o, "%s: %s\n", why.field, why.text);
    split_fini(&s);
    out_char(&o, 0);
    return o;
}

static void check(enum split_form form, const char *text, const char *wanted) {
    for (size_t step = 1; step <= strlen(text); step++) {
        struct out o = split(form, str_of(text), 64, step);
        assert_string_equal(o.p, wanted);
        out_fini(&o);
    }
}

static void streams_of_objects(void **state) {
    (void)state;
    check(SPLIT_STREAM, "{\"type\":\"ADDED\"}\n{\"type\":\"X\"}\n",
          "{\"type\":\"ADDED\"}\n{\"type\":\"X\"}\n");
    check(SPLIT_STREAM, " {}{} \r\n\t{\"a\":[{},[1,{\"b\":2}]]}",
          "{}\n{}\n{\"a\":[{},[1,{\"b\":2}]]}\n");
    check(SPLIT_STREAM, "\n \n", "");
}

static void strings_hide_brackets(void **state) {
    (void)state;
    check(SPLIT_STREAM, "{\"a\":\"}{][\",\"b\":\"\\\"}\",\"c\":\"\\\\\"}{}",
          "{\"a\":\"}{][\",\"b\":\"\\\"}\",\"c\":\"\\\\\"}\n{}\n");
    check(SPLIT_STREAM, "{\"a quite long name, longer than a step\":\"}\\\\\\\"}}\"}",
          "{\"a quite long name, longer than a step\":\"}\\\\\\\"}}\"}\n");
}

static void a_stream_that_is_none(void **state) {
    (void)state;
    check(SPLIT_STREAM, "{}<html>", "{}\nbyte 2: an object was expected, not \"<\"\n");
    check(SPLIT_STREAM, "[{}]", "byte 0: an object was expected, not \"[\"\n");
    check(SPLIT_STREAM, "{\"a\":[}]",
          "byte 7: a bracket closes what another kind of bracket opened\n");
    check(SPLIT_STREAM, "{}{\"a\":1", "{}\nbyte 8: the text ends too early\n");
}

static void lists(void **state) {
    (void)state;
    check(SPLIT_LIST,
          "{\"kind\":\"RouteList\",\"metadata\":{\"resourceVersion\":\"7\",\"continue\":\"x,]}\"},"
          "\"items\":[{\"a\":1},\n {\"b\":[]}]}\n",
          "{\"a\":1}\n{\"b\":[]}\nrest {\"kind\":\"RouteList\",\"metadata\":"
          "{\"resourceVersion\":\"7\",\"continue\":\"x,]}\"}}\n");
    check(SPLIT_LIST, "{\"items\":[{}],\"n\":1,\"metadata\":{\"items\":[{}]}}",
          "{}\nrest {\"n\":1,\"metadata\":{\"items\":[{}]}}\n");
    check(SPLIT_LIST, " { \"items\" : [ ] } ", "rest {}\n");
    check(SPLIT_LIST, "{\"a\":true,\"items\":null}", "rest {\"a\":true,\"items\":null}\n");
    check(SPLIT_LIST, "{}", "rest {}\n");
}

static void a_list_that_is_none(void **state) {
    (void)state;
    check(SPLIT_LIST, "[]", "byte 0: a list, which begins with {, was expected, not \"[\"\n");
    check(SPLIT_LIST, "{\"items\":{}}", "byte 9: the list of items was expected, not \"{\"\n");
    check(SPLIT_LIST, "{\"items\":[{},]}", "{}\nbyte 13: an object was expected, not \"]\"\n");
    check(SPLIT_LIST, "{\"items\":[1]}", "byte 10: an object or ] was expected, not \"1\"\n");
    check(SPLIT_LIST, "{\"items\":[{}{}]}", "{}\nbyte 12: a comma or ] was expected, not \"{\"\n");
    check(SPLIT_LIST, "{\"items\":[],\"items\":[]}", "byte 20: a second \"items\"\n");
    check(SPLIT_LIST, "{\"it\\u0065ms\":[]}",
          "byte 4: a backslash in the name of a list's field\n");
    check(SPLIT_LIST, "{\"a\":1,}", "byte 7: the name of a field was expected, not \"}\"\n");
    check(SPLIT_LIST, "{\"a\" 1}", "byte 5: a colon was expected, not \"1\"\n");
    check(SPLIT_LIST, "{\"a\":1]", "byte 6: a comma or } was expected, not \"]\"\n");
    check(SPLIT_LIST, "{}{", "byte 2: nothing more was expected, not \"{\"\n");
    check(SPLIT_LIST, "{\"items\":[{}", "{}\nbyte 12: the text ends too early\n");
}

static void objects_are_bounded(void **state) {
    (void)state;
    char text[200];
    for (int n = 55; n < 60; n++) { /* 64 bytes may be: 7 are not the string */
        snprintf(text, sizeof(text), "{\"a\":\"%0*d\"}{}", n, 0);
        struct out one = split(SPLIT_STREAM, str_of(text), 64, 1);
        struct out all = split(SPLIT_STREAM, str_of(text), 64, 200);
        assert_string_equal(one.p, all.p);
        assert_true((strstr(one.p, "larger than any") != NULL) == (n + 8 > 64));
        out_fini(&one);
        out_fini(&all);
    }
}

static void nesting_is_bounded(void **state) {
    (void)state;
    for (int depth = JSON_DEPTH; depth <= JSON_DEPTH + 1; depth++) {
        struct out text = out_heap(1024);
        for (int i = 1; i < depth; i++)
            out_lit(&text, "{\"a\":");
        out_lit(&text, "[");
        out_lit(&text, "]");
        for (int i = 1; i < depth; i++)
            out_lit(&text, "}");
        struct out got = split(SPLIT_STREAM, out_done(&text), 4096, 7);
        assert_true((strstr(got.p, "nested too deeply") != NULL) == (depth > JSON_DEPTH));
        out_fini(&got);
        out_fini(&text);
    }
}

static void what_is_left_of_a_list_is_bounded(void **state) {
    (void)state;
    struct out text = out_heap(1 << 20);
    out_fmt(&text, "{\"items\":[{}],\"a\":\"%0*d\"}", SPLIT_REST_MAX, 0);
    struct out got = split(SPLIT_LIST, out_done(&text), 64, 1000);
    assert_non_null(strstr(got.p, "too large, its items left out"));
    out_fini(&got);
    out_fini(&text);
}

/* A megabyte in pieces of 16 KiB: the buffer is as large as the object, the time is that of one
 * look; and what lies whole in a piece is not copied at all. */
static void the_buffer_is_no_larger_than_the_object(void **state) {
    (void)state;
    enum { BIG = 1 << 20 };
    struct out text = out_heap(2 * BIG);
    struct split s;
    struct why why = {0};
    struct str object = STR_NONE, all;
    out_fmt(&text, "{\"a\":\"%0*d\"}", BIG, 0);
    all = out_done(&text);
    split_init(&s, SPLIT_STREAM, SPLIT_OBJECT_MAX);
    for (struct str rest = all; rest.n > 0;) {
        struct str piece = str_mk(rest.p, size_min(rest.n, 16384));
        rest = str_skip(rest, piece.n);
        assert_int_equal(split_next(&s, &piece, &object, &why),
                         rest.n > 0 ? SPLIT_MORE : SPLIT_OBJECT);
    }
    assert_true(str_eq(object, all));
    assert_true(s.held.cap < 2 * all.n);
    struct str whole = all;
    assert_int_equal(split_next(&s, &whole, &object, &why), SPLIT_OBJECT);
    assert_ptr_equal(object.p, all.p);
    split_fini(&s);
    out_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_of_objects),
        cmocka_unit_test(strings_hide_brackets),
        cmocka_unit_test(a_stream_that_is_none),
        cmocka_unit_test(lists),
        cmocka_unit_test(a_list_that_is_none),
        cmocka_unit_test(objects_are_bounded),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(what_is_left_of_a_list_is_bounded),
        cmocka_unit_test(the_buffer_is_no_larger_than_the_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
