/* SPDX-License-Identifier: Apache-2.0
 *
 * The PROXY protocol: what proxy_header.h promises, header by header. Each is read whole, then byte
 * by byte, from memory that ends where the bytes do; both ways must say the same, and none of the
 * shorter pieces may be judged before `need`.
 */
#include "lib/mem.h"
#include "proxy/net/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h> /* needs those */

static struct proxy_header header;
static const char *detail;

static enum proxy_header_got read_copy(const char *p, size_t n) {
    char *copy = mem_dup(p, n);
    enum proxy_header_got got = proxy_header_read(copy, n, &header, &detail);
    mem_free(copy);
    return got;
}

static enum proxy_header_got get(const char *p, size_t n) {
    enum proxy_header_got whole = read_copy(p, n), piece = PROXY_HEADER_MORE;
    size_t need = 0, done = whole == PROXY_HEADER_DONE ? header.n : n;
    for (size_t i = 1; i <= n && piece == PROXY_HEADER_MORE; i++) {
        piece = read_copy(p, i);
        if (piece == PROXY_HEADER_MORE) {
            assert_true(header.need > i);
            need = header.need;
        } else {
            assert_true(i >= need || piece == PROXY_HEADER_BAD || piece == PROXY_HEADER_NONE);
        }
        if (piece == PROXY_HEADER_DONE)
            assert_int_equal(i, done);
    }
    assert_int_equal(piece, whole);
    assert_int_equal(read_copy(p, n), whole);
    assert_true(whole != PROXY_HEADER_BAD || detail[0] != 0);
    return whole;
}
#define GET(literal) get((literal), sizeof(literal) - 1)

static void assert_ends(const char *from, const char *to) {
    char room[64];
    struct out o = out_fixed(room, sizeof(room));
    assert_true(header.known);
    addr_print(&header.from, &o);
    assert_true(str_eq(out_done(&o), str_of(from)));
    o = out_fixed(room, sizeof(room));
    addr_print(&header.to, &o);
    assert_true(str_eq(out_done(&o), str_of(to)));
}

/* ---- version 1 ---- */

static void version_1_says_who(void **state) {
    (void)state;
    assert_int_equal(GET("PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\r\nGET /"), PROXY_HEADER_DONE);
    assert_int_equal(header.n, 44);
    assert_ends("203.0.113.7:51000", "192.0.2.1:443");
    assert_int_equal(GET("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"), PROXY_HEADER_DONE);
    assert_ends("[2001:db8::7]:1", "[2001:db8::1]:65535");
    assert_int_equal(GET("PROXY UNKNOWN\r\n"), PROXY_HEADER_DONE);
    assert_false(header.known);
    assert_int_equal(GET("PROXY UNKNOWN anything at all 1 2\r\n"), PROXY_HEADER_DONE);
    assert_false(header.known);
    assert_int_equal(GET("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
                     PROXY_HEADER_DONE);
}

static void version_1_is_strict(void **state) {
    static const char *const lines[] = {
        "PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 51000\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 51000 443 \r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 51000 443 1\r\n",
        "PROXY TCP4  203.0.113.7 192.0.2.1 51000 443\r\n",
        "PROXY  TCP4 203.0.113.7 192.0.2.1 51000 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 51000 65536\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 051000 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 -1 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 +1 443\r\n",
        "PROXY TCP4 203.0.113.007 192.0.2.1 1 443\r\n",
        "PROXY TCP4 203.0.113 192.0.2.1 1 443\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::1 1 443\r\n",
        "PROXY TCP6 203.0.113.7 192.0.2.1 1 443\r\n",
        "PROXY TCP6 2001:db8::7%eth0 2001:db8::1 1 443\r\n",
        "PROXY tcp4 203.0.113.7 192.0.2.1 1 443\r\n",
        "PROXY UDP4 203.0.113.7 192.0.2.1 1 443\r\n",
        "PROXY TCP4\r\n",
        "PROXY \r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 51000 443\r\r\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (get(lines[i], strlen(lines[i])) != PROXY_HEADER_BAD)
            fail_msg("taken: %s", lines[i]);
    assert_int_equal(GET("PROXY TCP4 203.0.113.7\0 192.0.2.1 51000 443\r\n"), PROXY_HEADER_BAD);
}

/* 107 bytes are the most that the specification allows. */
static void version_1_is_bounded(void **state) {
    char line[200];
    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(get(line, sizeof(line)), PROXY_HEADER_BAD);
    memcpy(line + 105, "\r\n", 2);
    assert_int_equal(get(line, 107), PROXY_HEADER_DONE);
    line[105] = 'x';
    memcpy(line + 106, "\r\n", 2);
    assert_int_equal(get(line, 108), PROXY_HEADER_BAD);
}

static void what_is_something_else(void **state) {
    (void)state;
    assert_int_equal(GET("GET / HTTP/1.1\r\n"), PROXY_HEADER_NONE);
    assert_int_equal(GET("POST / HTTP/1.1\r\n"), PROXY_HEADER_NONE);
    assert_int_equal(GET("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), PROXY_HEADER_NONE);
    assert_int_equal(GET("PROXYTCP4 "), PROXY_HEADER_NONE);
    assert_int_equal(GET("proxy TCP4 "), PROXY_HEADER_NONE);
    assert_int_equal(GET("\x16\x03\x01\x02\x00\x01"), PROXY_HEADER_NONE);
    assert_int_equal(GET("\r\nGET / HTTP/1.1\r\n"), PROXY_HEADER_NONE);
    assert_int_equal(GET("\r\n\r\nGET / HTTP/1.1\r\n"), PROXY_HEADER_NONE);
    assert_int_equal(GET("PROXY"), PROXY_HEADER_MORE);
    assert_int_equal(GET("\r\n\r\n\0\r\nQUIT"), PROXY_HEADER_MORE);
}

/* ---- version 2 ---- */

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\xcb\x00\x71\x07\xc0\x00\x02\x01\xc7\x38\x01\xbb"
#define V6                                                                                         \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\xc7\x38\x01" \
    "\xbb"

static void version_2_says_who(void **state) {
    (void)state;
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x0c" V4 "GET /"), PROXY_HEADER_DONE);
    assert_int_equal(header.n, 28);
    assert_ends("203.0.113.7:51000", "192.0.2.1:443");
    assert_int_equal(GET(SIGNATURE "\x21\x21\x00\x24" V6), PROXY_HEADER_DONE);
    assert_ends("[2001:db8::7]:51000", "[2001:db8::1]:443");
}

static void version_2_may_speak_for_nobody(void **state) {
    (void)state;
    assert_int_equal(GET(SIGNATURE "\x20\x00\x00\x00"), PROXY_HEADER_DONE); /* LOCAL */
    assert_false(header.known);
    assert_int_equal(GET(SIGNATURE "\x20\x11\x00\x0c" V4), PROXY_HEADER_DONE);
    assert_false(header.known);
    assert_int_equal(GET(SIGNATURE "\x20\xff\x00\x03xyz"), PROXY_HEADER_DONE);
    assert_int_equal(header.n, 19);
    assert_int_equal(GET(SIGNATURE "\x21\x00\x00\x02xy"), PROXY_HEADER_DONE); /* UNSPEC */
    assert_false(header.known);
    assert_int_equal(GET(SIGNATURE "\x21\x31\x00\x00"), PROXY_HEADER_DONE); /* AF_UNIX */
    assert_false(header.known);
}

static void version_2_is_strict(void **state) {
    (void)state;
    assert_int_equal(GET(SIGNATURE "\x11\x11\x00\x0c" V4), PROXY_HEADER_BAD); /* version 1 */
    assert_int_equal(GET(SIGNATURE "\x31\x11\x00\x0c" V4), PROXY_HEADER_BAD);
    assert_int_equal(GET(SIGNATURE "\x22\x11\x00\x0c" V4), PROXY_HEADER_BAD); /* command */
    assert_int_equal(GET(SIGNATURE "\x21\x41\x00\x0c" V4), PROXY_HEADER_BAD); /* family */
    assert_int_equal(GET(SIGNATURE "\x21\x13\x00\x0c" V4), PROXY_HEADER_BAD);
    assert_int_equal(GET(SIGNATURE "\x21\x12\x00\x0c" V4), PROXY_HEADER_BAD); /* datagrams */
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x0b" V4), PROXY_HEADER_BAD); /* too short */
    assert_int_equal(GET(SIGNATURE "\x21\x21\x00\x0c" V4), PROXY_HEADER_BAD);
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x0d" V4), PROXY_HEADER_MORE);
    assert_int_equal(GET(SIGNATURE "\x21\x11\x0f\xf1" V4), PROXY_HEADER_BAD); /* 4097 bytes */
    assert_int_equal(GET(SIGNATURE "\x21\x11\xff\xff" V4), PROXY_HEADER_BAD);
}

static void tlvs_are_passed_over_within_bounds(void **state) {
    (void)state;
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x14" V4 "\x04\x00\x05noop!"), PROXY_HEADER_DONE);
    assert_ends("203.0.113.7:51000", "192.0.2.1:443");
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x0f" V4 "\x20\x00\x00"), PROXY_HEADER_DONE);
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x0d" V4 "\x04"), PROXY_HEADER_BAD);
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x0e" V4 "\x04\x00"), PROXY_HEADER_BAD);
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x10" V4 "\x04\x00\x02x"), PROXY_HEADER_BAD);
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x10" V4 "\x04\xff\xffx"), PROXY_HEADER_BAD);
}

/* The sum was counted by another program; that one says e3069283 of "123456789". */
static void a_checksum_must_be_right(void **state) {
    (void)state;
    char text[] = SIGNATURE "\x21\x11\x00\x13" V4 "\x03\x00\x04\x00\x00\x00\x00";
    size_t n = sizeof(text) - 1, right = 0;
    memcpy(text + n - 4, "\x63\x5d\xa4\x2f", 4);
    assert_int_equal(get(text, n), PROXY_HEADER_DONE);
    for (size_t i = 16; i < n; i++) { /* every bit counts */
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ 1 << bit);
            right += get(text, n) == PROXY_HEADER_DONE && (i < 28 || i > 30);
            text[i] = (char)(text[i] ^ 1 << bit);
        }
    }
    assert_int_equal(right, 0);
    char twice[] = SIGNATURE "\x21\x11\x00\x1a" V4 "\x03\x00\x04\0\0\0\0\x03\x00\x04\0\0\0\0";
    assert_int_equal(get(twice, sizeof(twice) - 1), PROXY_HEADER_BAD);
    assert_int_equal(GET(SIGNATURE "\x21\x11\x00\x11" V4 "\x03\x00\x02\0\0"), PROXY_HEADER_BAD);
}

/* ---- writing ---- */

static void what_is_written_is_read(void **state) {
    static const char *const ends[][4] = {
        {"203.0.113.7:51000", "192.0.2.1:443", "203.0.113.7:51000", "192.0.2.1:443"},
        {"[2001:db8::7]:1", "[2001:db8::1]:65535", "[2001:db8::7]:1", "[2001:db8::1]:65535"},
        {"[::ffff:203.0.113.7]:5", "192.0.2.1:443", "203.0.113.7:5", "192.0.2.1:443"},
        {"203.0.113.7:5", "[2001:db8::1]:443", "203.0.113.7:5", "[2001:db8::1]:443"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        for (unsigned version = 1; version <= 2; version++) {
            char room[PROXY_HEADER_WRITE_MAX];
            struct addr from, to;
            assert_true(addr_parse(&from, str_of(ends[i][0])));
            assert_true(addr_parse(&to, str_of(ends[i][1])));
            size_t n = proxy_header_write(room, version, &from, &to);
            assert_int_equal(get(room, n), PROXY_HEADER_DONE);
            assert_int_equal(header.n, n);
            assert_ends(ends[i][2], ends[i][3]);
        }
}

static void what_is_our_own_names_nobody(void **state) {
    (void)state;
    for (unsigned version = 1; version <= 2; version++) {
        char room[PROXY_HEADER_WRITE_MAX];
        size_t n = proxy_header_write(room, version, NULL, NULL);
        assert_int_equal(get(room, n), PROXY_HEADER_DONE);
        assert_int_equal(header.n, n);
        assert_false(header.known);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_says_who),
        cmocka_unit_test(version_1_is_strict),
        cmocka_unit_test(version_1_is_bounded),
        cmocka_unit_test(what_is_something_else),
        cmocka_unit_test(version_2_says_who),
        cmocka_unit_test(version_2_may_speak_for_nobody),
        cmocka_unit_test(version_2_is_strict),
        cmocka_unit_test(tlvs_are_passed_over_within_bounds),
        cmocka_unit_test(a_checksum_must_be_right),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_our_own_names_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
