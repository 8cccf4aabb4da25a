/* SPDX-License-Identifier: Apache-2.0
 *
 * websocket.h: where frames end, whatever the pieces that they come in; what is no frame; the two
 * goodbyes; the handshake of RFC 6455 1.3.
 */
#include "lib/mem.h"
#include "proxy/http/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h> /* needs those */

enum { FIN = 0x80, MASKED = 0x80, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

struct bytes {
    char p[300000];
    size_t n, ends[16], n_ends;
};
static struct bytes in;

static void put(unsigned byte) { in.p[in.n++] = (char)byte; }

/* length_form: 0, 2 or 8 bytes of it behind the second. */
static void frame_as(unsigned first, bool masked, size_t n, unsigned length_form) {
    put(first);
    put((masked ? MASKED : 0U) | (length_form == 0 ? (unsigned)n : length_form == 2 ? 126U : 127U));
    for (unsigned i = length_form; i > 0; i--)
        put((unsigned)((uint64_t)n >> (8 * (i - 1))) & 0xff);
    for (int i = 0; masked && i < 4; i++)
        put(0xa5);
    memset(in.p + in.n, 0x88, n); /* looks like frames */
    in.n += n;
    in.ends[in.n_ends++] = in.n;
}

static void frame(unsigned first, bool masked, size_t n) {
    frame_as(first, masked, n, n < 126 ? 0 : n < 65536 ? 2 : 8);
}

static void begin(void) { in.n = in.n_ends = 0; }

static bool is_end(size_t at) {
    for (size_t i = 0; i < in.n_ends; i++)
        if (in.ends[i] == at)
            return true;
    return false;
}

/* In pieces of that size; boundaries are where frames end, and nowhere else. */
static void followed(bool masked, size_t step) {
    struct frames f = {.masked = masked};
    for (size_t at = 0; at < in.n; at += step) {
        size_t n = size_min(step, in.n - at);
        assert_int_equal(frames_pass(&f, str_mk(in.p + at, n), false), n);
        assert_false(f.lost);
        if (!f.closed)
            assert_int_equal(frames_between(&f), is_end(at + n));
    }
}

static void boundaries(void **state) {
    (void)state;
    for (int masked = 0; masked < 2; masked++) {
        begin();
        frame(FIN | TEXT, masked, 0);
        frame(FIN | BINARY, masked, 1);
        frame(TEXT, masked, 125);
        frame(FIN | PING, masked, 125);
        frame(0, masked, 126);
        frame(FIN | PONG, masked, 0);
        frame(FIN, masked, 65535);
        frame(0x40 | FIN | TEXT, masked, 5); /* permessage-deflate */
        frame(FIN | BINARY, masked, 65536);
        static const size_t steps[] = {1, 2, 3, 7, 1024, 65536, 300000};
        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
            followed(masked, steps[i]);
    }
}

static void stops_at_a_boundary(void **state) {
    (void)state;
    struct frames f = {.masked = false};
    begin();
    frame(FIN | TEXT, false, 10);
    frame(FIN | TEXT, false, 0);
    frame(FIN | TEXT, false, 300);
    size_t at = 0;
    for (size_t i = 0; i < in.n_ends; i++) {
        at += frames_pass(&f, str_mk(in.p + at, in.n - at), true);
        assert_int_equal(at, in.ends[i]);
        assert_true(frames_between(&f));
    }
    assert_int_equal(frames_pass(&f, str_mk(in.p, 5), true), 5);
    assert_false(frames_between(&f));
}

static void close_is_the_last(void **state) {
    (void)state;
    struct frames f = {.masked = true};
    begin();
    frame(FIN | CLOSE, true, 2);
    frames_pass(&f, str_mk(in.p, in.n - 1), false);
    assert_false(f.closed);
    frames_pass(&f, str_mk(in.p + in.n - 1, 1), false);
    assert_true(f.closed && !frames_between(&f));
    assert_int_equal(frames_pass(&f, str_mk("what follows", 12), true), 12);
    assert_false(f.lost);
    f = (struct frames){.masked = false};
    begin();
    frame(FIN | CLOSE, false, 0);
    frames_pass(&f, str_mk(in.p, in.n), false);
    assert_true(f.closed);
}

static void is_lost(bool masked) {
    struct frames f = {.masked = masked};
    frames_pass(&f, str_mk(in.p, in.n), false);
    assert_true(f.lost && !frames_between(&f));
    assert_int_equal(frames_pass(&f, str_mk(in.p, in.n), true), in.n);
    assert_true(f.lost);
}

#define LOST(masked, ...)                                                                          \
    do {                                                                                           \
        begin();                                                                                   \
        __VA_ARGS__;                                                                               \
        is_lost(masked);                                                                           \
    } while (0)

/* RFC 6455 5.2, 5.4, 5.5. */
static void what_is_no_frame(void **state) {
    (void)state;
    LOST(true, frame(FIN | TEXT, false, 4));
    LOST(false, frame(FIN | TEXT, true, 4));
    for (unsigned opcode = 3; opcode < 16; opcode++)
        if (opcode < CLOSE || opcode > PONG)
            LOST(false, frame(FIN | opcode, false, 4));
    LOST(false, frame(PING, false, 4));
    LOST(false, frame(FIN | CLOSE, false, 126));
    LOST(false, frame(FIN, false, 4)); /* nothing that it could continue */
    LOST(false, frame(TEXT, false, 4), frame(FIN | TEXT, false, 4));
    LOST(false, frame_as(FIN | TEXT, false, 125, 2));
    LOST(false, frame_as(FIN | TEXT, false, 65535, 8));
    LOST(false, frame_as(FIN | TEXT, false, 0, 8));
    LOST(false, put(FIN | TEXT), put(127), put(0x80), put(0), put(0), put(0), put(0), put(0),
         put(0), put(0));
    LOST(false, for (const char *p = "HTTP/1.1 200 OK\r\n"; *p != 0; p++) put((unsigned char)*p));
}

static void goodbyes(void **state) {
    (void)state;
    char room[FRAME_BYE_MAX];
    struct frames f = {.masked = false};
    assert_int_equal(frame_bye(room, false, 0), 4);
    assert_memory_equal(room, "\x88\x02\x03\xe9", 4);
    frames_pass(&f, str_mk(room, 4), false);
    assert_true(f.closed);
    f = (struct frames){.masked = true};
    assert_int_equal(frame_bye(room, true, 0x11223344), 8);
    frames_pass(&f, str_mk(room, 8), false);
    assert_true(f.closed);
    assert_int_equal((unsigned char)(room[6] ^ room[2]), 0x03);
    assert_int_equal((unsigned char)(room[7] ^ room[3]), 0xe9);
}

static void handshake(void **state) {
    (void)state;
    struct str key = STR("dGhlIHNhbXBsZSBub25jZQ=="), accept = STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    struct prng prng;
    char a[WEBSOCKET_KEY], b[WEBSOCKET_KEY];
    assert_true(websocket_accepts(key, accept));
    assert_false(websocket_accepts(key, STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOO=")));
    assert_false(websocket_accepts(key, STR("")));
    assert_false(websocket_accepts(STR("dGhlIHNhbXBsZSBub25jZQ="), accept));
    prng_init(&prng);
    websocket_key(&prng, a);
    websocket_key(&prng, b);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_equal(a + 22, "==", 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boundaries),        cmocka_unit_test(stops_at_a_boundary),
        cmocka_unit_test(close_is_the_last), cmocka_unit_test(what_is_no_frame),
        cmocka_unit_test(goodbyes),          cmocka_unit_test(handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
