/* SPDX-License-Identifier: Apache-2.0
 *
 * Scans that take several bytes at a step, against the same a byte at a time, at every length: in
 * memory that ends where the text does.
 */
#include "lib/chars.h"
#include "lib/mem.h"
#include "lib/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_case_is_that_of_each_byte),
        cmocka_unit_test(the_empty_line_is_found_wherever_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
