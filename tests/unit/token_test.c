/* SPDX-License-Identifier: Apache-2.0
 *
 * Known field names: each in any case, and nothing that is one byte away from one.
 */
#include "proxy/http/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h> /* needs those */

static bool is_family(enum token t) { return t == TOKEN_X_FORWARDED_ANY || t == TOKEN_X_ENVOY_ANY; }

static void every_name_and_its_neighbours(void **state) {
    (void)state;
    for (enum token t = 1; t < TOKENS; t++) {
        struct str known = token_name(t);
        char name[64], upper[64];
        if (is_family(t))
            continue;
        assert_true(known.n > 0 && known.n < sizeof(name));
        assert_int_equal(token_of(known), t);
        for (size_t i = 0; i < known.n; i++) {
            char c = known.p[i];
            upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
        }
        assert_int_equal(token_of(str_mk(upper, known.n)), t);
        for (size_t i = 0; i < known.n; i++)
            for (int c = 0; c < 256; c++) {
                memcpy(name, known.p, known.n);
                name[i] = (char)c;
                struct str s = str_mk(name, known.n);
                enum token got = token_of(s);
                if (str_eq_nocase(s, known) ? got != t : got == t)
                    fail_msg("%.*s with byte %d at %zu", STR_FMT(known), c, i);
            }
        assert_int_not_equal(token_of(str_mk(known.p, known.n - 1)), t);
    }
}

static void families(void **state) {
    (void)state;
    assert_int_equal(token_of(STR("X-Forwarded-New")), TOKEN_X_FORWARDED_ANY);
    assert_int_equal(token_of(STR("x-forwarded-")), TOKEN_X_FORWARDED_ANY);
    assert_int_equal(token_of(STR("x-forwarded-*")), TOKEN_X_FORWARDED_ANY);
    assert_int_equal(token_of(STR("X-ENVOY-internal")), TOKEN_X_ENVOY_ANY);
    assert_int_equal(token_of(STR("x-forwarded")), TOKEN_OTHER);
    assert_int_equal(token_of(STR("x-envoy")), TOKEN_OTHER);
    assert_int_equal(token_of(STR("")), TOKEN_OTHER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_and_its_neighbours),
        cmocka_unit_test(families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
