/* SPDX-License-Identifier: Apache-2.0
 *
 * Where bodies end (S04, S12): each one at once and byte by byte.
 */
#include "lib/mem.h"
#include "proxy/http/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h> /* needs those */

static struct h1_body body;
static char data[70000];
static size_t n_data, eaten;

/* step: so many bytes at a time, each from memory that ends where they do */
static enum h1 run(uint8_t framing, uint64_t length, const char *p, size_t n, size_t step) {
    struct head h = {.framing = framing, .content_length = length};
    enum h1 got = H1_MORE;
    h1_body_init(&body, &h);
    n_data = eaten = 0;
    while (eaten < n && got == H1_MORE) {
        size_t k = size_min(step, n - eaten), eat;
        char *part = mem_dup(p + eaten, k);
        struct str piece;
        got = h1_body_next(&body, part, k, &eat, &piece);
        if (got != H1_BAD) {
            assert_true(eat > 0 && eat <= k && piece.n <= eat);
            assert_true(n_data + piece.n <= sizeof(data));
            memcpy(data + n_data, piece.p, piece.n);
            n_data += piece.n;
            eaten += eat;
        }
        mem_free(part);
    }
    return got;
}

static void chunked(const char *text, enum h1 expected, const char *content, size_t left) {
    size_t n = strlen(text);
    for (size_t step = 1; step <= n + 1; step = step < 8 ? step + 1 : step * 3) {
        size_t all = step > n ? n : step;
        if (run(FRAMING_CHUNKED, 0, text, n, all) != expected)
            fail_msg("%zu at a time, expected %d: %s", all, expected, text);
        if (expected == H1_BAD)
            continue;
        assert_int_equal(n - eaten, left);
        assert_true(str_eq(str_mk(data, n_data), str_of(content)));
        assert_int_equal(body.total, n_data);
        assert_int_equal(h1_body_eof(&body), expected == H1_DONE);
    }
}

static void chunks(void **state) {
    (void)state;
    chunked("0\r\n\r\n", H1_DONE, "", 0);
    chunked("3\r\nabc\r\n0\r\n\r\nGET", H1_DONE, "abc", 3);
    chunked("a\r\n0123456789\r\n000B\r\n0123456789a\r\n00\r\n\r\n", H1_DONE,
            "01234567890123456789a", 0);
    chunked("3;a=b\r\nabc\r\n3 \t;a=\"b;c\"\r\ndef\r\n0;x\r\n\r\n", H1_DONE, "abcdef", 0);
    chunked("1\r\n\r\r\n0\r\n\r\n", H1_DONE, "\r", 0);
    chunked("0\r\nHost: evil\r\nContent-Length: 3\r\nx:\r\n\r\nrest", H1_DONE, "", 4);
    chunked("3\r\nab", H1_MORE, "ab", 0);
    chunked("3\r\nabc", H1_MORE, "abc", 0);
    chunked("3\r\nabc\r\n0\r\n", H1_MORE, "abc", 0);
    static const char *const bad[] = {
        "\r\n",
        " 3\r\nabc",
        "\t3\r\nabc",
        "g\r\n",
        "0x3\r\nabc",
        "-3\r\n",
        "+3\r\n",
        "3\nabc",
        "3\r\rabc",
        "3 \r\nabc",
        "3 3\r\n",
        "3\r\nabcd",
        "3\r\nabc\n",
        "3\r\nabc\rX",
        "3\r\nabcX\n",
        "3;\n",
        "3;a\x01\r\n",
        "3;a\x7f\r\n",
        "3;a\rb\r\n",
        "00000000000000001\r\n",
        "10000000000000000\r\n",
        "fffffffffffffffff\r\n",
        ";\r\n",
        "3\x0b\r\n",
        "\xff\r\n",
        "0\r\n\n",
        "0\r\n x: y\r\n\r\n",
        "0\r\nx y: z\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nx: y\n\r\n",
        "0\r\nx: \x01\r\n\r\n",
        "0\r\nx: y\r\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\n\rX",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        chunked(bad[i], H1_BAD, "", 0);
}

/* 256 bytes of extensions in all, 8 KiB of trailers. */
static void bounds(void **state) {
    (void)state;
    char text[16384];
    struct out o = out_fixed(text, sizeof(text));
    for (int i = 0; i < 64; i++)
        out_lit(&o, "1;aaa\r\nx\r\n");
    assert_int_equal(run(FRAMING_CHUNKED, 0, o.p, o.n, o.n), H1_MORE);
    out_lit(&o, "1;\r\n");
    assert_int_equal(run(FRAMING_CHUNKED, 0, o.p, o.n, o.n), H1_BAD);
    for (int more = 0; more < 2; more++) {
        o = out_fixed(text, sizeof(text));
        out_lit(&o, "0\r\nx:");
        for (int i = 0; i < 8192 - 6 + more; i++) /* with "x:", CR LF and the empty line */
            out_char(&o, 'y');
        out_lit(&o, "\r\n\r\n");
        assert_int_equal(run(FRAMING_CHUNKED, 0, o.p, o.n, 1), more ? H1_BAD : H1_DONE);
    }
    assert_int_equal(run(FRAMING_CHUNKED, 0, "ffffffffffffffff\r\nx", 19, 19), H1_MORE);
    assert_true(body.left == UINT64_MAX - 1);
}

static void lengths(void **state) {
    (void)state;
    assert_int_equal(run(FRAMING_LENGTH, 3, "abcdef", 6, 1), H1_DONE);
    assert_int_equal(eaten, 3);
    assert_int_equal(run(FRAMING_LENGTH, 7, "abcdef", 6, 6), H1_MORE);
    assert_false(h1_body_eof(&body));
    assert_int_equal(run(FRAMING_CLOSE, 0, "abcdef", 6, 2), H1_MORE);
    assert_int_equal(n_data, 6);
    assert_true(h1_body_eof(&body));
    run(FRAMING_LENGTH, 0, "", 0, 1);
    assert_true(body.done);
    run(FRAMING_NONE, 0, "", 0, 1);
    assert_true(body.done);
}

static void chunk_lines(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 9, 10, 15, 16, 255, 256, 65535, 65536, SIZE_MAX};
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        char line[H1_CHUNK_LINE], expected[32];
        size_t n = h1_chunk_line(line, sizes[i]);
        snprintf(expected, sizeof(expected), "%zx\r\n", sizes[i]);
        assert_true(str_eq(str_mk(line, n), str_of(expected)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks),
        cmocka_unit_test(bounds),
        cmocka_unit_test(lengths),
        cmocka_unit_test(chunk_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
