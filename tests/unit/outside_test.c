/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses of places outside of the cluster, as policies write them (S37).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "controller/compile/outside.h"

static bool reads(struct arena *a, const char *uri, struct outside *o) {
    struct why why = {0};
    bool good = outside_read(o, a, str_of(uri), &why) == 0;
    assert_int_equal(good, !why_set(&why));
    return good;
}

static void is(struct str s, const char *text) {
    char room[300];
    assert_true(s.n < sizeof(room));
    memcpy(room, s.p, s.n);
    room[s.n] = 0;
    assert_string_equal(room, text);
}

static void good_ones(void **state) {
    static const struct {
        const char *uri, *host, *authority, *target;
        unsigned port, address;
    } all[] = {
        {"https://idp.example.com/token", "idp.example.com", "idp.example.com", "/token", 443, 0},
        {"https://IDP.Example.com:8443", "idp.example.com", "idp.example.com:8443", "/", 8443, 0},
        {"https://idp?a=b/c", "idp", "idp", "/?a=b/c", 443, 0},
        {"https://127.0.0.1:99/a?b", "127.0.0.1", "127.0.0.1:99", "/a?b", 99, 4},
        {"https://[FD00::1]:99/", "fd00::1", "[fd00::1]:99", "/", 99, 16},
        {"https://[::1]", "::1", "[::1]", "/", 443, 16},
    };
    struct arena a;
    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct outside o;
        assert_true(reads(&a, all[i].uri, &o));
        is(o.host, all[i].host);
        is(o.authority, all[i].authority);
        is(o.target, all[i].target);
        assert_int_equal(o.port, all[i].port);
        assert_int_equal(o.address.n, all[i].address);
    }
    arena_fini(&a);
}

static void bad_ones(void **state) {
    static const char *const all[] = {
        "",
        "http://idp.example.com/",
        "HTTPS://idp.example.com/", /* as the discovery of others writes it: nobody does */
        "https://",
        "https:///token",
        "https://?a",
        "https://user@idp.example.com/",
        "https://idp.example.com@10.0.0.1/",
        "https://idp.example.com/#f",
        "https://idp.example.com/a b",
        "https://idp.example.com/\r\nx: y",
        "https://idp.example.com\\@evil.example.com/",
        "https://idp.example.com:0/",
        "https://idp.example.com:65536/",
        "https://idp.example.com:/",
        "https://idp.example.com:8443x/",
        "https://idp.example.com:44:3/",
        "https://fd00::1/",
        "https://[fd00::1/",
        "https://[idp.example.com]/",
        "https://[127.0.0.1]/",
        "https://127.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://1.2.3.4.5/",
        "https://a..b/",
        "https://idp.example.com./",
        "https://*.example.com/",
    };
    struct arena a;
    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct outside o;
        bool good = reads(&a, all[i], &o);
        if (good)
            fail_msg("%s", all[i]);
    }
    arena_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_ones), cmocka_unit_test(bad_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
