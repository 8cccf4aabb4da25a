/* SPDX-License-Identifier: Apache-2.0
 *
 * The one canonical path (S30), and authorities (S10).
 */
#include "lib/mem.h"
#include "proxy/http/authority.h"
#include "proxy/http/path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h> /* needs those */

/* result NULL: refused as ambiguous */
static void path(const char *raw, const char *result) {
    size_t n = strlen(raw);
    char *exact = mem_dup(raw, n), *room = mem_alloc(n); /* no byte more than promised */
    struct str got;
    enum reason r = path_canonical(str_mk(exact, n), room, n, &got);
    if (r != (result != NULL ? REASON_NONE : REASON_AMBIGUOUS_PATH))
        fail_msg("%s: %s", raw, reasons[r].name);
    if (result != NULL) {
        if (!str_eq(got, str_of(result)))
            fail_msg("%s: %.*s, expected %s", raw, STR_FMT(got), result);
        assert_true(path_is_canonical(got)); /* and it stays as it is */
        assert_int_equal(got.p == exact, strcmp(raw, result) == 0);
    }
    mem_free(exact);
    mem_free(room);
}

static void paths(void **state) {
    (void)state;
    static const char *const same[] = {
        "/",
        "/a",
        "/a/",
        "//",
        "/a//b",
        "/a;b=c",
        "/a.b",
        "/a..",
        "/.a",
        "/..a",
        "/...",
        "/a/.../b",
        "/%20",
        "/%C3%A9",
        "/%25",
        "/a%3Bb",
        "/%3F",
        "/%23",
        "/~a_b-c.d!$&'()*+,=:@",
        "*",
        "/%0A",
        "/%7F",
        "/%FF",
    };
    for (unsigned i = 0; i < ARRAY_LEN(same); i++)
        path(same[i], same[i]);
    static const char *const changed[][2] = {
        {"/%41", "/A"},
        {"/%7e%2D%5f", "/~-_"},
        {"/%c3%a9", "/%C3%A9"},
        {"/a%2eb", "/a.b"},
        {"/.", "/"},
        {"/./", "/"},
        {"/a/.", "/a/"},
        {"/a/./b", "/a/b"},
        {"/a/..", "/"},
        {"/a/../", "/"},
        {"/a/b/..", "/a/"},
        {"/a/b/../c", "/a/c"},
        {"/a/../b/../c", "/c"},
        {"/a//../b", "/a/b"},
        {"/%2561", "/%2561"},
        {"/a/b/c/../../d", "/a/d"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(changed); i++)
        path(changed[i][0], changed[i][1]);
    static const char *const refused[] = {
        "/..",         "/../",        "/../a",   "/a/../..",      "/a/../../b",  "/./..",
        "/%2f",        "/a%2Fb",      "/%5c",    "/%5C",          "/a\\b",       "/%00",
        "/a%00",       "/%",          "/%4",     "/%4g",          "/%g4",        "/a%",
        "/%2e",        "/%2E%2e",     "/.%2e",   "/%2e.",         "/a/%2e%2e/b", "/%252e",
        "/%252e%252e", "/%25252e%2e", "/..;",    "/..;/a",        "/.;a=b",      "/a/..;x/b",
        "/%2e%2e;a",   "/..%3b",      "/..%3ba", "/..%252fadmin", "/a#b",        "/a?b",
        "/\x01",       "/a b",        "/\x7f",   "/\x80",         "/\xc3\xa9",   "/..%00",
        "/..%5c",
    };
    for (unsigned i = 0; i < ARRAY_LEN(refused); i++)
        path(refused[i], NULL);
    path("a", NULL);
    path("", NULL);
    path("**", NULL);
    char room[2];
    struct str got;
    assert_int_equal(path_canonical(STR("/%41"), room, 2, &got), REASON_HEADER_TOO_LARGE);
}

static void authority(const char *text, const char *host, int port) {
    size_t n = strlen(text);
    char *exact = mem_alloc(n);
    struct authority a;
    memcpy(exact, text, n);
    bool good = authority_parse(str_mk(exact, n), &a);
    if (good != (host != NULL))
        fail_msg("%s", text);
    if (good) {
        assert_true(str_eq(a.host, str_of(host)));
        assert_int_equal(a.port, port);
    }
    mem_free(exact);
}

static void authorities(void **state) {
    (void)state;
    authority("a", "a", 0);
    authority("Shop.Example.com.", "Shop.Example.com.", 0);
    authority("a:", "a", 0);
    authority("a_b~c-d:1", "a_b~c-d", 1);
    authority("a:65535", "a", 65535);
    authority("a:00080", "a", 80);
    authority("10.0.0.1:80", "10.0.0.1", 80);
    authority("[::1]", "[::1]", 0);
    authority("[::1]:", "[::1]", 0);
    authority("[::ffff:1.2.3.4]:443", "[::ffff:1.2.3.4]", 443);
    static const char *const bad[] = {
        "",
        ":",
        ":80",
        "a:0",
        "a:65536",
        "a:000080",
        "a:8x",
        "a: 80",
        "a:+8",
        "a:-1",
        "a:80:80",
        "a b",
        " a",
        "a ",
        "a,b",
        "a;b",
        "a=b",
        "u@a",
        "u:p@a",
        "a/",
        "a?",
        "a#",
        "a\\b",
        "a%41",
        "%41",
        "a!",
        "a'",
        "a\"",
        "a<",
        "\xc3\xa9",
        "a\x01",
        "[",
        "[]",
        "[]:80",
        "[::1",
        "::1",
        "[::1]a",
        "[g::1]",
        "[fe80::1%eth0]",
        "[fe80::1%25eth0]",
        "[1.2.3.4]",
        "[v1.a]",
        "[:::1]",
        "[::1]]",
        "[0:0:0:0:0:0:0:0:1]",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        authority(bad[i], NULL, 0);
    char longest[AUTHORITY_HOST_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    struct authority a;
    assert_true(authority_parse(str_mk(longest, AUTHORITY_HOST_MAX), &a));
    assert_false(authority_parse(str_mk(longest, AUTHORITY_HOST_MAX + 1), &a));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(authorities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
