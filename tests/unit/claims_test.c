/* SPDX-License-Identifier: Apache-2.0
 *
 * Claims: what is JSON and what is refused, at every depth; looking and comparing. S36.
 */
#include "lib/claims.h"

#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char bytes[CLAIMS_TEXT_MAX + 2];
static struct claim nodes[1024];
static struct claims claims;

/* Why it is refused; "" when it is not. */
static const char *read_it(struct str s) {
    static struct why why;
    why_clear(&why);
    memcpy(bytes, s.p, s.n);
    bytes[s.n] = 'x';
    int bad = claims_read(&claims, bytes, s.n, nodes, ARRAY_LEN(nodes), &why);
    assert_int_equal(bad != 0, why_set(&why));
    return why.text;
}

static void good(const char *json) {
    const char *why = read_it(str_of(json));
    if (*why)
        fail_msg("%s: %s", json, why);
}

static void says(const char *name, const char *text) {
    struct str got = claim_text(&claims, claims_named(&claims, name));
    if (!str_eq(got, str_of(text)))
        fail_msg("%s is %.*s, not %s", name, STR_FMT(got), text);
}

static void what_is_read(void **state) {
    (void)state;
    good(" { \"a\" : \"b\" , \"n\":-1.50e+3,\"t\":true,\"f\":false,\"z\":null,\"e\":{},\"l\":[],"
         "\"\":\"empty\",\"esc\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\","
         "\"utf\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}\r\n\t ");
    says("a", "b");
    says("n", "-1.50e+3");
    says("t", "true");
    says("f", "false");
    says("", "empty");
    says("esc", "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    says("utf", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_null(claims_named(&claims, "z")); /* null is as good as absent */
    assert_null(claims_named(&claims, "b"));
    assert_null(claim_text(&claims, claims_named(&claims, "e")).p);
    assert_null(claim_text(&claims, claims_named(&claims, "l")).p);
    good("{}");
    assert_int_equal(claims.n_nodes, 1);
}

static void what_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *json, *why;
    } cases[] = {
        {"", "not JSON"},
        {"[]", "no object"},
        {"\"a\"", "no object"},
        {"7", "no object"},
        {"{", "not JSON"},
        {"{\"a\"", "not JSON"},
        {"{\"a\":", "not JSON"},
        {"{\"a\":1", "not JSON"},
        {"{\"a\":1,", "not JSON"},
        {"{\"a\":1,}", "not JSON"},
        {"{,}", "not JSON"},
        {"{\"a\" 1}", "not JSON"},
        {"{a:1}", "not JSON"},
        {"{'a':1}", "not JSON"},
        {"{\"a\":1}}", "not JSON"},
        {"{\"a\":1]", "not JSON"},
        {"{\"a\":[1}", "not JSON"},
        {"{\"a\":[1,]}", "not JSON"},
        {"{\"a\":[,1]}", "not JSON"},
        {"{\"a\":1} {}", "not JSON"},
        {"{\"a\":1}x", "not JSON"},
        {"\xef\xbb\xbf{}", "not JSON"}, /* a byte order mark */
        {"{\"a\":tru}", "not JSON"},
        {"{\"a\":True}", "not JSON"},
        {"{\"a\":nul}", "not JSON"},
        {"{\"a\":NaN}", "not JSON"},
        {"{\"a\":Infinity}", "not JSON"},
        {"{\"a\":01}", "not JSON"},
        {"{\"a\":+1}", "not JSON"},
        {"{\"a\":-}", "not JSON"},
        {"{\"a\":.5}", "not JSON"},
        {"{\"a\":1.}", "not JSON"},
        {"{\"a\":1e}", "not JSON"},
        {"{\"a\":1e+}", "not JSON"},
        {"{\"a\":0x10}", "not JSON"},
        {"{\"a\":\"b}", "not JSON"},
        {"{\"a\":\"\n\"}", "not JSON"},
        {"{\"a\":\"\x1f\"}", "not JSON"},
        {"{\"a\":\"\\x41\"}", "not JSON"},
        {"{\"a\":\"\\", "not JSON"},
        {"{\"a\":\"\\u12", "not JSON"},
        {"{\"a\":\"\\u123g\"}", "not JSON"},
        {"{\"a\":1/**/}", "not JSON"},
        {"{\"a\":\"\\u0000\"}", "\\u0000"},
        {"{\"\\u0000a\":1}", "\\u0000"},
        {"{\"a\":\"\\ud800\"}", "surrogate"},
        {"{\"a\":\"\\udc00\"}", "surrogate"},
        {"{\"a\":\"\\ud800\\u0041\"}", "surrogate"},
        {"{\"a\":\"\\ud800\\ud800\"}", "surrogate"},
        {"{\"a\":\"\x80\"}", "UTF-8"},
        {"{\"a\":\"\xc0\x80\"}", "UTF-8"}, /* NUL, too long */
        {"{\"a\":\"\xc3\"}", "UTF-8"},
        {"{\"a\":\"\xed\xa0\x80\"}", "UTF-8"},
        {"{\"a\":\"\xf4\x90\x80\x80\"}", "UTF-8"},
        {"{\"a\":\"\xff\"}", "UTF-8"},
        {"{\"a\":1,\"a\":1}", "twice"},
        {"{\"a\":1,\"b\":{},\"a\":2}", "twice"},
        {"{\"a\":1,\"\\u0061\":2}", "twice"},
        {"{\"\":1,\"\":2}", "twice"},
        {"{\"x\":{\"a\":1,\"a\":2}}", "twice"},
        {"{\"x\":[0,{\"y\":{\"a\":1,\"b\":[{}],\"a\":2}}]}", "twice"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *why = read_it(str_of(cases[i].json));
        if (!strstr(why, cases[i].why))
            fail_msg("%s: \"%s\", not \"%s\"", cases[i].json, why, cases[i].why);
    }
    good("{\"x\":{\"a\":1},\"y\":{\"a\":1},\"a\":[{\"a\":1},{\"a\":1}]}"); /* other objects */
    assert_string_not_equal(read_it(STR("{\"a\":1\0}")), "");
    assert_string_not_equal(read_it(STR("{\"a\":\"\0\"}")), "");
    assert_string_not_equal(read_it(STR("{}\0")), "");
}

/* No shorter beginning of it is JSON, and nothing is read behind its end. */
static void every_byte_is_needed(void **state) {
    static const char json[] = "{\"a\":\"\\ud83d\\ude00\xc3\xa9\",\"b\":[1.5e3,true,{\"c\":null}]}";
    (void)state;
    for (size_t n = 0; n < sizeof(json) - 1; n++)
        assert_string_not_equal(read_it(str_mk(json, n)), "");
    good(json);
}

static void limits(void **state) {
    struct out o = out_heap(1 << 20);
    (void)state;
    for (int deep = CLAIMS_DEPTH - 1; deep <= CLAIMS_DEPTH; deep++) {
        o.n = 0;
        out_lit(&o, "{\"a\":");
        for (int i = 0; i < deep; i++)
            out_char(&o, '[');
        for (int i = 0; i < deep; i++)
            out_char(&o, ']');
        out_char(&o, '}');
        const char *why = read_it(out_done(&o));
        assert_true(deep < CLAIMS_DEPTH ? *why == 0 : strstr(why, "nested too deeply") != NULL);
    }
    for (int members = CLAIMS_MEMBERS; members <= CLAIMS_MEMBERS + 1; members++) {
        o.n = 0;
        for (int i = 0; i < members; i++)
            out_fmt(&o, "%c\"%d\":0", i ? ',' : '{', i);
        out_char(&o, '}');
        const char *why = read_it(out_done(&o));
        assert_true(members == CLAIMS_MEMBERS ? *why == 0
                                              : strstr(why, "too many members") != NULL);
    }
    o.n = 0;
    out_lit(&o, "{\"a\":[0");
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        out_lit(&o, ",0");
    out_lit(&o, "]}");
    assert_non_null(strstr(read_it(out_done(&o)), "too many values"));
    o.n = 0;
    out_lit(&o, "{\"a\":\"");
    while (o.n < CLAIMS_TEXT_MAX - 2)
        out_char(&o, 'x');
    out_lit(&o, "\"}");
    assert_string_equal(read_it(out_done(&o)), "");
    assert_int_equal(claim_text(&claims, claims_named(&claims, "a")).n, CLAIMS_TEXT_MAX - 8);
    struct why why = {0};
    assert_int_equal(claims_read(&claims, bytes, CLAIMS_TEXT_MAX + 1, nodes, 10, &why), -1);
    assert_non_null(strstr(why.text, "65536 bytes, more than 65535"));
    out_fini(&o);
}

static void nested_claims_are_found_by_path(void **state) {
    static const struct str roles[] = {{"realm_access", 12}, {"roles", 5}},
                            no[] = {{"sub", 3}, {"x", 1}};
    (void)state;
    good("{\"sub\":\"joe\",\"realm_access\":{\"x\":{\"roles\":\"no\"},\"roles\":[\"admin\"]},"
         "\"roles\":1}");
    const struct claim *one = claims_get(&claims, roles, 2);
    assert_int_equal(one->kind, CLAIM_LIST);
    assert_true(str_eq(claim_text(&claims, one + 1), STR("admin")));
    assert_null(claims_get(&claims, no, 2)); /* nothing is inside a text */
    assert_int_equal(claims_get(&claims, roles + 1, 1)->kind, CLAIM_NUMBER);
    assert_ptr_equal(claims_get(&claims, NULL, 0), claims.nodes);
}

static void expect_words(const char *json, const char *expected) {
    char room[200];
    struct out o = out_fixed(room, sizeof(room));
    struct str word;
    good(json);
    for (struct claim_words w = claim_words(&claims, claims_named(&claims, "s"));
         claim_next(&w, &word);) {
        out_str(&o, word);
        out_char(&o, '|');
    }
    out_char(&o, 0);
    if (strcmp(room, expected) != 0)
        fail_msg("%s: %s, not %s", json, room, expected);
}

/* scope (RFC 6749 3.3), scp of Okta (a list) and of Entra (a text), groups. */
static void words_of_a_text_or_elements_of_a_list(void **state) {
    (void)state;
    expect_words("{\"s\":\"openid  profile orders:read \"}", "openid|profile|orders:read|");
    expect_words("{\"s\":[\"openid\",\"orders:read\"]}", "openid|orders:read|");
    expect_words("{\"s\":[\"Domain Users\",7,true,null,{\"a\":\"b\"},[\"c\"],\"\"]}",
                 "Domain Users|7|true||");
    expect_words("{\"s\":\"\"}", "");
    expect_words("{\"s\":[]}", "");
    expect_words("{\"s\":{\"a\":\"b\"}}", "");
    expect_words("{\"s\":7}", "");
    expect_words("{}", "");
}

static bool matches(enum claim_how how, const char *one, const char *other) {
    static const struct str path[] = {{"a", 1}, {"b", 1}};
    const struct str values[] = {str_of(one), str_of(other)};
    struct why why = {0};
    struct regex_scratch *scratch = regex_scratch_new();
    struct claim_match *m = claim_match_new(path, 2, how, values, one ? other ? 2 : 1 : 0, &why);
    if (!m)
        fail_msg("%s", why.text);
    bool yes = claim_matches(m, &claims, scratch);
    claim_match_free(m);
    regex_scratch_free(scratch);
    return yes;
}

static void what_a_claim_must_be(void **state) {
    (void)state;
    static const struct {
        const char *json;
        enum claim_how how;
        const char *one, *other;
        bool yes;
    } cases[] = {
        {"{\"a\":{\"b\":\"admin\"}}", CLAIM_EQUALS, "x", "admin", true},
        {"{\"a\":{\"b\":\"admin\"}}", CLAIM_EQUALS, "Admin", "adm", false},
        {"{\"a\":{\"b\":\"admin dev\"}}", CLAIM_EQUALS, "admin", NULL, false},
        {"{\"a\":{\"b\":\"admin dev\"}}", CLAIM_EQUALS, "admin dev", NULL, true},
        {"{\"a\":{\"b\":[\"dev\",\"admin\"]}}", CLAIM_EQUALS, "admin", NULL, true},
        {"{\"a\":{\"b\":[[\"admin\"],{\"admin\":\"admin\"}]}}", CLAIM_EQUALS, "admin", NULL, false},
        {"{\"a\":{\"b\":{\"admin\":\"admin\"}}}", CLAIM_EQUALS, "admin", NULL, false},
        {"{\"a\":{\"c\":\"admin\"},\"b\":\"admin\"}", CLAIM_EQUALS, "admin", NULL, false},
        {"{\"a.b\":\"admin\"}", CLAIM_EQUALS, "admin", NULL, false},
        {"{\"a\":{\"b\":7}}", CLAIM_EQUALS, "7", NULL, true},
        {"{\"a\":{\"b\":7.0}}", CLAIM_EQUALS, "7", NULL, false},
        {"{\"a\":{\"b\":\"7\"}}", CLAIM_EQUALS, "7", NULL, true},
        {"{\"a\":{\"b\":true}}", CLAIM_EQUALS, "true", NULL, true},
        {"{\"a\":{\"b\":false}}", CLAIM_EQUALS, "true", NULL, false},
        {"{\"a\":{\"b\":\"\"}}", CLAIM_EQUALS, "", NULL, true},
        {"{\"a\":{\"b\":[]}}", CLAIM_EQUALS, "", NULL, false},
        {"{\"a\":{\"b\":null}}", CLAIM_EQUALS, "null", NULL, false},
        /* without values it must be there */
        {"{\"a\":{\"b\":false}}", CLAIM_EQUALS, NULL, NULL, true},
        {"{\"a\":{\"b\":[]}}", CLAIM_HAS, NULL, NULL, true},
        {"{\"a\":{\"b\":{}}}", CLAIM_PATTERN, NULL, NULL, true},
        {"{\"a\":{\"b\":null}}", CLAIM_EQUALS, NULL, NULL, false},
        {"{\"a\":{}}", CLAIM_EQUALS, NULL, NULL, false},
        {"{\"a\":\"b\"}", CLAIM_EQUALS, NULL, NULL, false},
        /* words */
        {"{\"a\":{\"b\":\"openid orders:read\"}}", CLAIM_HAS, "orders:read", NULL, true},
        {"{\"a\":{\"b\":\"openid orders:read\"}}", CLAIM_HAS, "orders", "read", false},
        {"{\"a\":{\"b\":\"openid orders:read\"}}", CLAIM_HAS, "openid orders:read", NULL, false},
        {"{\"a\":{\"b\":[\"x y\",\"z\"]}}", CLAIM_HAS, "y", NULL, true},
        {"{\"a\":{\"b\":[\"x y\",\"z\"]}}", CLAIM_HAS, "z", NULL, true},
        {"{\"a\":{\"b\":\" \"}}", CLAIM_HAS, "", NULL, false},
        {"{\"a\":{\"b\":7}}", CLAIM_HAS, "7", NULL, true},
        /* patterns match the whole */
        {"{\"a\":{\"b\":\"joe@example.com\"}}", CLAIM_PATTERN, ".*@example\\.com", NULL, true},
        {"{\"a\":{\"b\":\"joe@example.com.evil\"}}", CLAIM_PATTERN, ".*@example\\.com", NULL,
         false},
        {"{\"a\":{\"b\":\"joe@example.com\\n\"}}", CLAIM_PATTERN, ".*@example\\.com", NULL, false},
        {"{\"a\":{\"b\":[\"x\",\"joe@example.com\"]}}", CLAIM_PATTERN, "y", "j[a-z]*@.*", true},
        {"{\"a\":{\"b\":true}}", CLAIM_PATTERN, "t.*", NULL, true},
        {"{\"a\":{\"b\":{\"x\":\"x\"}}}", CLAIM_PATTERN, ".*", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        good(cases[i].json);
        if (matches(cases[i].how, cases[i].one, cases[i].other) != cases[i].yes)
            fail_msg("case %zu: %s, %d, %s", i, cases[i].json, cases[i].how, cases[i].one);
    }
}

static void a_wrong_pattern_is_said(void **state) {
    static const struct str path[] = {{"a", 1}}, values[] = {{"ok", 2}, {"(", 1}};
    struct why why = {0};
    (void)state;
    assert_null(claim_match_new(path, 1, CLAIM_PATTERN, values, 2, &why));
    assert_true(why_set(&why));
    claim_match_free(NULL);
}

static void expect_json(const char *from, const char *to) {
    struct out o = out_heap(1 << 16);
    good(from);
    claim_json(&claims, claims.nodes, &o);
    if (!str_eq(out_done(&o), str_of(to)))
        fail_msg("%s: %.*s", from, STR_FMT(out_done(&o)));
    assert_string_equal(read_it(out_done(&o)), "");
    out_fini(&o);
}

static void written_again(void **state) {
    (void)state;
    expect_json("{}", "{}");
    expect_json(
        " { \"a\" : [ 1.50 , \"\\u00e9\\\"\\n\" , { } , [ ] , null ] , \"\\u0062\" : true }",
        "{\"a\":[1.50,\"\xc3\xa9\\\"\\n\",{},[],null],\"b\":true}");
}

static void a_copy_is_kept(void **state) {
    struct out o = out_heap(1 << 10);
    (void)state;
    good("{\"a\":[\"x\",{\"b\":1}],\"c\":\"\\u0041\"}");
    struct claims *copy = claims_copy(&claims);
    memset(bytes, '!', sizeof(bytes));
    memset(nodes, '!', sizeof(nodes));
    claim_json(copy, copy->nodes, &o);
    assert_true(str_eq(out_done(&o), STR("{\"a\":[\"x\",{\"b\":1}],\"c\":\"A\"}")));
    mem_fail_at(1);
    assert_null(claims_copy(copy));
    mem_free(copy);
    out_fini(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(every_byte_is_needed),
        cmocka_unit_test(limits),
        cmocka_unit_test(nested_claims_are_found_by_path),
        cmocka_unit_test(words_of_a_text_or_elements_of_a_list),
        cmocka_unit_test(what_a_claim_must_be),
        cmocka_unit_test(a_wrong_pattern_is_said),
        cmocka_unit_test(written_again),
        cmocka_unit_test(a_copy_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
