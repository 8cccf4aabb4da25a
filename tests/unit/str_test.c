/* SPDX-License-Identifier: Apache-2.0
 *
 * Scans that take several bytes at a step, against the same a byte at a time, at every length: in
 * memory that ends where the text does.
 */
#include "lib/chars.h"
#include "lib/digits.h"
#include "lib/mem.h"
#include "lib/out.h"
#include "lib/str.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { LENGTHS = 70 };

static void lower_case_is_that_of_each_byte(void **state) {
    (void)state;
    for (size_t n = 0; n < LENGTHS; n++) {
        char *from = mem_alloc(n + 1), *to = mem_alloc(n + 1);
        for (unsigned first = 0; first < 256; first++) {
            for (size_t i = 0; i < n; i++)
                from[i + 1] = (char)(first + i * 37);
            to[0] = '#';
            str_lower(to + 1, str_mk(from + 1, n));
            for (size_t i = 0; i < n; i++)
                assert_int_equal(to[i + 1], char_lower(from[i + 1]));
            assert_int_equal(to[0], '#');
        }
        mem_free(from);
        mem_free(to);
    }
}

static const char *first_empty_line(const char *p, const char *end) {
    for (; end - p >= 3; p++)
        if (memcmp(p, "\n\r\n", 3) == 0)
            return p + 3;
    return NULL;
}

static void the_empty_line_is_found_wherever_it_is(void **state) {
    static const char *const texts[] = {"\n\r\n",    "\n\n\r\n", "\r\n\n\r\n\r\n",
                                        "\nx\n\r\n", "\nx\n",    "\n\r"};
    (void)state;
    for (size_t n = 0; n < LENGTHS; n++) {
        char *p = mem_alloc(n + 1);
        for (unsigned t = 0; t < sizeof(texts) / sizeof(*texts); t++) {
            size_t length = strlen(texts[t]);
            for (size_t at = 0; at + length <= n; at++) {
                memset(p, 'x', n + 1);
                memcpy(p + 1 + at, texts[t], length);
                assert_ptr_equal(chars_empty_line(p + 1, p + 1 + n),
                                 first_empty_line(p + 1, p + 1 + n));
            }
        }
        mem_free(p);
    }
}

static void a_scan_ends_at_the_first_other_byte(void **state) {
    (void)state;
    for (size_t n = 0; n < LENGTHS; n++) {
        char *p = mem_alloc(n + 1);
        for (size_t at = 0; at <= n; at++) {
            memset(p, 'x', n + 1);
            if (at < n)
                p[1 + at] = ' ';
            assert_ptr_equal(chars_skip(p + 1, p + 1 + n, CHAR_TOKEN), p + 1 + at);
        }
        mem_free(p);
    }
}

static void a_number_is_written(uint64_t v) {
    char want[DIGITS_U64 + 1];
    struct str text = str_mk(want, (size_t)snprintf(want, sizeof(want), "%" PRIu64, v));
    for (size_t room = 0; room <= DIGITS_U64 + 4; room++) {
        char *p = mem_alloc(room + 1);
        struct out o = out_fixed(p, room);
        out_char(&o, '#');
        out_u64(&o, v);
        assert_int_equal(o.over, room < 1 + text.n);
        if (!o.over) {
            assert_int_equal(o.n, 1 + text.n);
            assert_memory_equal(p + 1, text.p, text.n);
        }
        mem_free(p);
    }
}

static void numbers_are_those_of_printf(void **state) {
    (void)state;
    for (uint64_t v = 0; v < 12000; v++)
        a_number_is_written(v);
    for (uint64_t ten = 10;; ten *= 10) {
        a_number_is_written(ten - 1);
        a_number_is_written(ten);
        a_number_is_written(ten / 9 * 7);
        if (ten > UINT64_MAX / 10)
            break;
    }
    a_number_is_written(UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_case_is_that_of_each_byte),
        cmocka_unit_test(the_empty_line_is_found_wherever_it_is),
        cmocka_unit_test(a_scan_ends_at_the_first_other_byte),
        cmocka_unit_test(numbers_are_those_of_printf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
