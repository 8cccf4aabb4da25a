/* SPDX-License-Identifier: Apache-2.0
 *
 * Structured fields (RFC 9651): the examples of the RFC; for each type what is one, what is none,
 * and how it is written again; every byte in every place where it matters; the sizes that everybody
 * must bear, and one more. The cases are those of httpwg's structured-field-tests, in a table of
 * our own.
 */
#include "lib/sfv.h"

#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum kind { ITEM, LIST, DICTIONARY };

/* ---- read, and written again ---- */

static enum sfv_step next(enum kind kind, struct sfv *at, struct str *key, struct sfv_value *v) {
    return kind == LIST ? sfv_list(at, v) : sfv_dictionary(at, key, v);
}

/* The whole of a list or dictionary, each key once at its first place. */
static enum sfv_step write_all(enum kind kind, struct str text, struct out *o) {
    struct sfv at;
    struct str key, seen[SFV_MEMBERS_MAX];
    struct sfv_value v;
    size_t n = 0;
    enum sfv_step step;
    sfv_begin(&at, text);
    while ((step = next(kind, &at, &key, &v)) == SFV_ONE) {
        bool again = false;
        for (size_t i = 0; kind == DICTIONARY && i < n; i++)
            again = again || str_eq(seen[i], key);
        if (again)
            continue;
        if (n > 0)
            out_lit(o, ", ");
        seen[n++] = key;
        if (kind == DICTIONARY && sfv_dictionary_get(text, key, &v) == SFV_ONE)
            sfv_write_member(o, key, &v);
        else
            sfv_write(o, &v);
    }
    return step;
}

static bool rewrite(enum kind kind, struct str text, struct out *o) {
    struct sfv_value v;
    if (kind != ITEM)
        return write_all(kind, text, o) == SFV_END;
    if (!sfv_item(text, &v))
        return false;
    sfv_write(o, &v);
    return true;
}

/* canonical NULL: refused. The text is in memory of exactly its size. */
static void check(enum kind kind, struct str text, const char *canonical) {
    struct out o = out_heap(1 << 20);
    char *exact = mem_alloc(size_max(text.n, 1));
    memcpy(exact, text.p, text.n);
    bool good = rewrite(kind, str_mk(exact, text.n), &o);
    if (good != (canonical != NULL) || (good && !str_eq(out_done(&o), str_of(canonical))))
        fail_msg("%.*s: %s %.*s", STR_FMT(text), good ? "became" : "was refused",
                 STR_FMT(out_done(&o)));
    out_fini(&o);
    mem_free(exact);
}

static void same(enum kind kind, const char *text) { check(kind, str_of(text), text); }
static void bad(enum kind kind, const char *text) { check(kind, str_of(text), NULL); }

static void the_examples_of_the_rfc(void **state) {
    (void)state;
    same(LIST, "sugar, tea, rum");
    same(LIST, "(\"foo\" \"bar\"), (\"baz\"), (\"bat\" \"one\"), ()");
    check(LIST, STR("(\"foo\"; a=1;b=2);lvl=5, (\"bar\" \"baz\");lvl=1"),
          "(\"foo\";a=1;b=2);lvl=5, (\"bar\" \"baz\");lvl=1");
    check(LIST, STR("abc;a=1;b=2; cde_456, (ghi;jk=4 l);q=\"9\";r=w"),
          "abc;a=1;b=2;cde_456, (ghi;jk=4 l);q=\"9\";r=w");
    check(ITEM, STR("1; a; b=?0"), "1;a;b=?0");
    same(DICTIONARY, "en=\"Applepie\", da=:w4ZibGV0w6ZydGU=:");
    check(DICTIONARY, STR("a=?0, b, c; foo=bar"), "a=?0, b, c;foo=bar");
    same(DICTIONARY, "rating=1.5, feelings=(joy sadness)");
    same(DICTIONARY, "a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid");
    same(DICTIONARY, "foo=1, bar=2");
    check(ITEM, STR("5; foo=bar"), "5;foo=bar");
    same(ITEM, "42");
    same(ITEM, "4.5");
    same(ITEM, "\"hello world\"");
    same(ITEM, "foo123/456");
    same(ITEM, ":cHJldGVuZCB0aGlzIGlzIGJpbmFyeSBjb250ZW50Lg==:");
    same(ITEM, "?1");
    same(ITEM, "@1659578233");
    same(ITEM, "%\"This is intended for display to %c3%bcsers.\"");
    check(ITEM, STR("2; foourl=\"https://foo.example.com/\""),
          "2;foourl=\"https://foo.example.com/\"");
}

static void items(void **state) {
    (void)state;
    bad(ITEM, "");
    bad(ITEM, " ");
    check(ITEM, STR("  1"), "1");
    check(ITEM, STR("1  "), "1");
    bad(ITEM, "\t1");
    bad(ITEM, "1\t");
    bad(ITEM, "1, 2");
    bad(ITEM, "(1)");
    bad(ITEM, "=1");
}

static void numbers(void **state) {
    (void)state;
    static const char *const same_ones[] = {"0",    "-42",   "123456789012345", "-123456789012345",
                                            "1.23", "-1.23", "1.123",           "123456789012.1"};
    static const char *const bad_ones[] = {"--0",
                                           "-",
                                           "2,3",
                                           "-a23",
                                           "4-2",
                                           "- 42",
                                           "1234567890123456",
                                           "-1234567890123456",
                                           "1.",
                                           ".1",
                                           "1. 23",
                                           "1 .23",
                                           "- 1.23",
                                           "1.5.4",
                                           "1..4",
                                           "1.1234",
                                           "-1.1234",
                                           "1234567890123.0",
                                           "-1234567890123.0",
                                           "999999999999999.9999"};
    for (size_t i = 0; i < ARRAY_LEN(same_ones); i++)
        same(ITEM, same_ones[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad_ones); i++)
        bad(ITEM, bad_ones[i]);
    check(ITEM, STR("00"), "0");
    check(ITEM, STR("-0"), "0");
    check(ITEM, STR("042"), "42");
    check(ITEM, STR("-042"), "-42");
    check(ITEM, STR("1.50"), "1.5");
    check(ITEM, STR("1.000"), "1.0");
    check(ITEM, STR("-0.5"), "-0.5");
}

/* Every length of digits that may be, and what it is written as. */
static void numbers_of_all_sizes(void **state) {
    (void)state;
    for (size_t n = 1; n <= 15; n++) {
        char zeros[16] = "", nines[16] = "";
        memset(zeros, '0', n);
        memset(nines, '9', n);
        check(ITEM, str_of(zeros), "0");
        same(ITEM, nines);
        for (size_t part = 1; n <= 12 && part <= 3; part++) {
            char text[24], canonical[24];
            snprintf(text, sizeof(text), "%.*s.%.*s", (int)n, nines, (int)part, "999");
            same(ITEM, text);
            snprintf(text, sizeof(text), "%.*s.%.*s", (int)n, zeros, (int)part, "111");
            snprintf(canonical, sizeof(canonical), "0.%.*s", (int)part, "111");
            check(ITEM, str_of(text), canonical);
            snprintf(text, sizeof(text), "%.*s.%.*s", (int)n, nines, (int)part, "000");
            snprintf(canonical, sizeof(canonical), "%.*s.0", (int)n, nines);
            check(ITEM, str_of(text), canonical);
        }
    }
    bad(ITEM, "000000000000000.0");
    bad(ITEM, "000000000000.0000");
    bad(ITEM, "999999999999.9999");
}

static void strings(void **state) {
    (void)state;
    same(ITEM, "\"foo bar\"");
    same(ITEM, "\"\"");
    same(ITEM, "\"   \"");
    same(ITEM, "\"foo \\\"bar\\\" \\\\ baz\"");
    bad(ITEM, "\"f\xc3\xbc\xc3\xbc\"");
    bad(ITEM, "'foo'");
    bad(ITEM, "\"foo");
    bad(ITEM, "\"");
    bad(ITEM, "\"foo \\,\"");
    bad(ITEM, "\"foo \\\"");
    bad(ITEM, "\"foo \\");
}

static void bytes(void **state) {
    (void)state;
    same(ITEM, ":aGVsbG8=:");
    same(ITEM, "::");
    same(ITEM, ":/+Ah:");
    bad(ITEM, ":aGVsbG8:"); /* no padding: may be refused, and is */
    bad(ITEM, ":iZ==:");    /* bits left over: likewise */
    bad(ITEM, ":aGVsbG8=");
    bad(ITEM, ":aGVsb G8=:");
    bad(ITEM, ":aGVsbG!8=:");
    bad(ITEM, ":aGVsbG8=!:");
    bad(ITEM, ":_-Ah:");
    bad(ITEM, ":=aGVsbG8:");
    bad(ITEM, ":a===:");
    bad(ITEM, ":====:");
    bad(ITEM, ":aG\nVsbG8=:");
    bad(ITEM, ":");
}

static void booleans_and_dates(void **state) {
    (void)state;
    same(ITEM, "?1");
    same(ITEM, "?0");
    static const char *const bad_ones[] = {"?T", "?2", "? 1", "?", "?-0", "@1.5", "@", "@a", "@ 1"};
    for (size_t i = 0; i < ARRAY_LEN(bad_ones); i++)
        bad(ITEM, bad_ones[i]);
    same(ITEM, "@0");
    same(ITEM, "@-62135596800");
    same(ITEM, "@253402214400");
}

static void display_strings(void **state) {
    (void)state;
    same(ITEM, "%\"foo bar\"");
    same(ITEM, "%\" !%22#$%25&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\"");
    same(ITEM, "%\"f%c3%bc%c3%bc\"");
    same(ITEM, "%\"foo %22bar%22 \\ baz\"");
    same(ITEM, "%\"BOM: %ef%bb%bf\"");
    same(ITEM, "%\"%f0%9f%98%80%ed%9f%bf%ee%80%80%f4%8f%bf%bf\"");
    check(ITEM, STR("%\"%41\""), "%\"A\"");
    static const char *const bad_ones[] = {"%\"f%C3%BC\"",
                                           "%\"\t\"",
                                           "%\"\n\"",
                                           "%'foo'",
                                           "%foo",
                                           "%foo\"",
                                           "%\"foo",
                                           "%\"%a",
                                           "%\"%a\"",
                                           "%\"%zz\"",
                                           "%\"%c3%28\"",
                                           "%\"%c3\"",
                                           "%\"%a0%a1\"",
                                           "%\"%e2%28%a1\"",
                                           "%\"%f0%28%8c%28\"",
                                           "%\"%c0%af\"",
                                           "%\"%e0%80%af\"",
                                           "%\"%ed%a0%80\"",
                                           "%\"%f4%90%80%80\"",
                                           "%\"%ff\"",
                                           "%\"\xc3\xbc\"",
                                           "%"};
    for (size_t i = 0; i < ARRAY_LEN(bad_ones); i++)
        bad(ITEM, bad_ones[i]);
}

static void lists(void **state) {
    (void)state;
    check(LIST, STR(""), "");
    check(LIST, STR("  "), "");
    same(LIST, "1, 42");
    same(LIST, "42");
    check(LIST, STR("  42, 43"), "42, 43");
    check(LIST, STR("1,42"), "1, 42");
    check(LIST, STR("1 , 42"), "1, 42");
    check(LIST, STR("1\t,\t42"), "1, 42");
    bad(LIST, "\t1");
    bad(LIST, "1, 42,");
    bad(LIST, "1, 42, ");
    bad(LIST, "1,,42");
    bad(LIST, ",1");
    bad(LIST, "1 42");
    same(LIST, "(1 2), (42 43)");
    same(LIST, "()");
    check(LIST, STR("(1),(),(42)"), "(1), (), (42)");
    check(LIST, STR("(  1  42  )"), "(1 42)");
    check(LIST, STR("( )"), "()");
    bad(LIST, "(1\t 42)");
    bad(LIST, "(1 42");
    bad(LIST, "(1 2, (42 43)");
    bad(LIST, "(1, 2)");
    bad(LIST, "((1))");
    bad(LIST, "(");
    bad(LIST, "(abc\"def\"?0123*dXZ3*xyz)");
    same(LIST, "(abc_123);a=1;b=2, cdef_456");
    same(LIST, "(abc_123;a=1;b=2;cdef_456)");
    same(LIST, "(abc_123;a=1;b=2);cdef_456");
}

static void parameters(void **state) {
    (void)state;
    check(LIST, STR("abc_123;a=1;b=2; cdef_456, ghi;q=9;r=\"+w\""),
          "abc_123;a=1;b=2;cdef_456, ghi;q=9;r=\"+w\"");
    same(LIST, "text/html;q=1.0");
    same(LIST, "text/html;a;q=1.0");
    same(LIST, "text/html;q=1.0;a");
    check(LIST, STR("text/html,text/plain;q=0.5"), "text/html, text/plain;q=0.5");
    check(LIST, STR("text/html  ,  text/plain;  q=0.5;  charset=utf-8"),
          "text/html, text/plain;q=0.5;charset=utf-8");
    check(ITEM, STR("1;a=?1"), "1;a");
    check(ITEM, STR("1;a=1;b=2;a=3"), "1;a=3;b=2");
    bad(LIST, "text/plain;q =0.5");
    bad(LIST, "text/plain;q= 0.5");
    bad(LIST, "text/plain ;q=0.5");
    bad(LIST, "text/plain;\tq=0.5");
    bad(LIST, "text/html,text/plain;q=0.5,");
    bad(ITEM, "1;");
    bad(ITEM, "1;a=");
    bad(ITEM, "1;a=(1)");
    bad(ITEM, "1;a;;b");
}

static void dictionaries(void **state) {
    (void)state;
    check(DICTIONARY, STR(""), "");
    same(DICTIONARY, "a=1");
    same(DICTIONARY, "a=(1 2)");
    same(DICTIONARY, "a=()");
    check(DICTIONARY, STR("a=1,b=2"), "a=1, b=2");
    check(DICTIONARY, STR("     a=1 ,  b=2"), "a=1, b=2");
    check(DICTIONARY, STR("a=1\t,\tb=2"), "a=1, b=2");
    same(DICTIONARY, "a=1, b, c=3");
    same(DICTIONARY, "a, b, c");
    same(DICTIONARY, "a=1, b;foo=9, c=3");
    check(DICTIONARY, STR("a=1, b=?1;foo=9, c=3"), "a=1, b;foo=9, c=3");
    check(DICTIONARY, STR("a=1,b=2,a=3"), "a=3, b=2");
    check(DICTIONARY, STR("a=b;  c=1  ,  d=e; f=2; g=3"), "a=b;c=1, d=e;f=2;g=3");
    check(DICTIONARY, STR("a=(1 2); q=1.0"), "a=(1 2);q=1.0");
    static const char *const bad_ones[] = {
        "a =1, b=2", "a=1, b= 2", "a=1, b=2,",  "a=1,,b=2,",   "a=1,1b=2",
        "a=1,B=2",   "a=1,b!=2",  "a=b;q =0.5", "a=b;q= 0.5",  "a=b ;q=1",
        "a=",        "=1",        "a=1 b=2",    "a=b; q=1.0,", "a=b; q=1.0,,c=d"};
    for (size_t i = 0; i < ARRAY_LEN(bad_ones); i++)
        bad(DICTIONARY, bad_ones[i]);
}

/* ---- every byte in every place ---- */

static bool in(const char *set, int c) { return c != 0 && strchr(set, c) != NULL; }

#define SMALL   "abcdefghijklmnopqrstuvwxyz"
#define CAPITAL "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

static void every_byte_in_strings_and_tokens(void **state) {
    (void)state;
    for (int c = 0; c < 256; c++) {
        char string[] = {'"', ' ', (char)c, ' ', '"', 0}, escaped[] = {'"', '\\', (char)c, '"', 0};
        char inside[] = {'a', (char)c, 'a', 0}, first[] = {(char)c, 'a', 0};
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        bool tchar = in(SMALL CAPITAL DIGITS ":/!#$%&'*+-.^_`|~", c);
        check(ITEM, str_mk(string, 5), plain ? string : NULL);
        check(ITEM, str_mk(escaped, 4), c == '"' || c == '\\' ? escaped : NULL);
        check(ITEM, str_mk(inside, 3), tchar || c == ';' ? inside : NULL);
        check(ITEM, str_mk(first, 2), in(SMALL CAPITAL "*", c) ? first : c == ' ' ? "a" : NULL);
    }
}

static void every_byte_in_keys(void **state) {
    (void)state;
    for (int c = 0; c < 256; c++) {
        char one[] = {(char)c, '=', '1', 0}, inside[] = {'a', (char)c, 'a', '=', '1', 0};
        char first[] = {(char)c, 'a', '=', '1', 0};
        char param[] = {'f', ';', 'a', (char)c, 'a', '=', '1', 0};
        char param_first[] = {'f', ';', (char)c, 'a', '=', '1', 0};
        bool starts = in(SMALL "*", c), goes_on = in(SMALL DIGITS "_-.*", c);
        check(DICTIONARY, str_mk(one, 3), starts ? one : NULL);
        check(DICTIONARY, str_mk(inside, 5),
              goes_on || c == ';' ? inside
              : c == ','          ? "a=1"
                                  : NULL);
        check(DICTIONARY, str_mk(first, 4), starts ? first : c == ' ' ? "a=1" : NULL);
        check(LIST, str_mk(param, 7), goes_on ? param : c == ';' ? "f;a=1" : NULL);
        check(LIST, str_mk(param_first, 6), starts ? param_first : c == ' ' ? "f;a=1" : NULL);
    }
}

/* ---- sizes ---- */

/* n times what fmt makes of 0, 1, 2 ..., between two strings. */
static struct out many(const char *before, const char *fmt, const char *between, unsigned n,
                       const char *after) {
    struct out o = out_heap(1 << 20);
    out_str(&o, str_of(before));
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            out_str(&o, str_of(between));
        for (const char *f = fmt; *f != 0; f++)
            if (*f == '#')
                out_u64(&o, i);
            else
                out_char(&o, *f);
    }
    out_str(&o, str_of(after));
    out_char(&o, 0);
    return o;
}

static void up_to(enum kind kind, const char *before, const char *fmt, const char *between,
                  unsigned n, const char *after) {
    struct out o = many(before, fmt, between, n, after);
    same(kind, o.p);
    out_fini(&o);
    o = many(before, fmt, between, n + 1, after);
    bad(kind, o.p);
    out_fini(&o);
}

static void bears_what_everybody_must(void **state) {
    (void)state;
    up_to(DICTIONARY, "", "a#=1", ", ", SFV_MEMBERS_MAX, "");
    up_to(LIST, "", "a#", ", ", SFV_MEMBERS_MAX, "");
    up_to(LIST, "(", "#", " ", SFV_INNER_MAX, ")");
    up_to(LIST, "foo;", "a#=1", ";", SFV_PARAMS_MAX, "");
    up_to(DICTIONARY, "", "a", "", SFV_KEY_MAX, "=1");
    up_to(ITEM, "foo;", "a", "", SFV_KEY_MAX, "=1");
    up_to(ITEM, "\"", "=", "", SFV_STRING_MAX, "\"");
    up_to(ITEM, "\"", "\\\"", "", SFV_STRING_MAX, "\"");
    up_to(ITEM, "%\"", "=", "", SFV_STRING_MAX, "\"");
    up_to(ITEM, "", "a", "", SFV_TOKEN_MAX, "");
    struct out o = many(":", "YWFh", "", SFV_BYTES_MAX / 3, "YQ==:");
    same(ITEM, o.p);
    out_fini(&o);
    o = many(":", "YWFh", "", SFV_BYTES_MAX / 3, "YWFh:");
    bad(ITEM, o.p);
    out_fini(&o);
}

/* ---- values ---- */

static void text_is(struct str text, enum sfv_type type, struct str meant) {
    char room[256];
    struct out o = out_fixed(room, sizeof(room));
    struct sfv_value v;
    assert_true(sfv_item(text, &v));
    assert_int_equal(v.type, type);
    sfv_text(&v, &o);
    assert_true(str_eq(out_done(&o), meant));
}

static void values(void **state) {
    (void)state;
    struct sfv_value v;
    text_is(STR("\"a\\\"b\\\\c\""), SFV_STRING, STR("a\"b\\c"));
    text_is(STR("tok/en"), SFV_TOKEN, STR("tok/en"));
    text_is(STR(":aGVsbG8=:"), SFV_BYTES, STR("hello"));
    text_is(STR("::"), SFV_BYTES, STR(""));
    text_is(STR("%\"f%c3%bc\""), SFV_DISPLAY, STR("f\xc3\xbc"));
    assert_true(sfv_item(STR("-1.5"), &v));
    assert_int_equal(v.type, SFV_DECIMAL);
    assert_int_equal(v.number, -1500);
    assert_true(sfv_item(STR("@7"), &v));
    assert_int_equal(v.type, SFV_DATE);
    assert_int_equal(v.number, 7);
    assert_true(sfv_item(STR("?0;a=1;b;a=2"), &v));
    assert_int_equal(v.number, 0);
    struct sfv_value p;
    assert_true(sfv_param_get(&v, STR("a"), &p));
    assert_int_equal(p.number, 2);
    assert_true(sfv_param_get(&v, STR("b"), &p));
    assert_int_equal(p.type, SFV_BOOLEAN);
    assert_false(sfv_param_get(&v, STR("c"), &p));
}

static void a_dictionary_is_right_as_a_whole(void **state) {
    (void)state;
    struct sfv_value v;
    assert_int_equal(sfv_dictionary_get(STR("a=1, b=2, a=3"), STR("a"), &v), SFV_ONE);
    assert_int_equal(v.number, 3);
    assert_int_equal(sfv_dictionary_get(STR("a=1"), STR("b"), &v), SFV_END);
    assert_int_equal(sfv_dictionary_get(STR("a=1, b="), STR("a"), &v), SFV_BAD);
}

static void writes_strings(void **state) {
    (void)state;
    char room[32];
    struct out o = out_fixed(room, sizeof(room));
    sfv_write_string(&o, STR("a\"b\\c"));
    assert_true(str_eq(out_done(&o), STR("\"a\\\"b\\\\c\"")));
    assert_false(o.over);
    for (int c = 0; c < 256; c++) {
        char one = (char)c;
        o = out_fixed(room, sizeof(room));
        sfv_write_string(&o, str_mk(&one, 1));
        assert_int_equal(o.over, c < 0x20 || c > 0x7e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc),
        cmocka_unit_test(items),
        cmocka_unit_test(numbers),
        cmocka_unit_test(numbers_of_all_sizes),
        cmocka_unit_test(strings),
        cmocka_unit_test(bytes),
        cmocka_unit_test(booleans_and_dates),
        cmocka_unit_test(display_strings),
        cmocka_unit_test(lists),
        cmocka_unit_test(parameters),
        cmocka_unit_test(dictionaries),
        cmocka_unit_test(every_byte_in_strings_and_tokens),
        cmocka_unit_test(every_byte_in_keys),
        cmocka_unit_test(bears_what_everybody_must),
        cmocka_unit_test(values),
        cmocka_unit_test(a_dictionary_is_right_as_a_whole),
        cmocka_unit_test(writes_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
