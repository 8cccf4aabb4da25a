/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy/http/protobuf: bytes of the encoding guide, what is written is read again, and no message
 * that is cut or none is taken for one. Google's own code reads it in tests/e2e/auth-external.
 */
#include "proxy/http/protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* How many fields; -1: it is no message. */
static int count(struct str bytes, struct proto_field *last) {
    struct proto p = proto_of(bytes);
    struct proto_field f = {0};
    int n = 0;
    while (proto_next(&p, &f)) {
        n++;
        *last = f;
    }
    return p.bad ? -1 : n;
}

#define COUNT(text, f) count(str_mk(text, sizeof(text) - 1), f)

static void of_the_guide(void **state) {
    struct proto_field f = {0};
    (void)state;
    assert_int_equal(COUNT("\x08\x96\x01", &f), 1);
    assert_int_equal(f.number, 1);
    assert_int_equal(f.value, 150);
    assert_int_equal(COUNT("\x12\x07testing", &f), 1);
    assert_int_equal(f.number, 2);
    assert_true(str_eq(f.bytes, STR("testing")));
    assert_int_equal(COUNT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &f), 1);
    assert_true(f.value == UINT64_MAX);
    assert_int_equal(COUNT("\x0d\x01\x00\x00\x80", &f), 1);
    assert_true(f.value == 0x80000001);
    assert_int_equal(COUNT("\x09\x01\x00\x00\x00\x00\x00\x00\x80\x10\x00", &f), 2);
    assert_int_equal(COUNT("", &f), 0);
}

static void what_is_none(void **state) {
    struct proto_field f = {0};
    (void)state;
    assert_int_equal(COUNT("\x08", &f), -1);     /* no value */
    assert_int_equal(COUNT("\x08\x80", &f), -1); /* half a value */
    assert_int_equal(COUNT("\x00\x01", &f), -1); /* field 0 */
    assert_int_equal(COUNT("\x0a\x05"
                           "abcd",
                           &f),
                     -1);                                /* longer than what is there */
    assert_int_equal(COUNT("\x0b\x0c", &f), -1);         /* groups */
    assert_int_equal(COUNT("\x0e\x01", &f), -1);         /* no type */
    assert_int_equal(COUNT("\x0d\x01\x02\x03", &f), -1); /* 3 of 4 bytes */
    assert_int_equal(COUNT("\x09\x01\x02\x03\x04\x05\x06\x07", &f), -1);
    assert_int_equal(COUNT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", &f), -1); /* 65 bits */
    assert_int_equal(COUNT("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", &f), -1);
    assert_int_equal(COUNT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                           "a",
                           &f),
                     -1);
    assert_int_equal(COUNT("\x88\x80\x80\x80\x10\x01", &f), -1); /* a number of 30 bits */
}

static void written_and_read(void **state) {
    struct out o = out_heap(1 << 20);
    struct proto_field f = {0};
    (void)state;
    size_t all = proto_open(&o, 300);
    proto_u64(&o, 1, UINT64_MAX);
    proto_text(&o, 2, STR("a\xff\xc3\xa9z"));
    size_t inner = proto_open(&o, 3);
    for (int i = 0; i < 50000; i++)
        proto_bytes(&o, 4, STR("\xff"));
    proto_close(&o, inner);
    proto_fixed64(&o, 5, UINT64_C(0x0102030405060708));
    proto_fixed32(&o, 6, 0xfffffffe);
    proto_close(&o, all);
    assert_false(o.over);
    assert_int_equal(count(out_done(&o), &f), 1);
    assert_int_equal(f.number, 300);
    struct proto p = proto_of(f.bytes);
    assert_true(proto_next(&p, &f) && f.value == UINT64_MAX);
    assert_true(proto_next(&p, &f) && str_eq(f.bytes, STR("a?\xc3\xa9z")));
    assert_true(proto_next(&p, &f) && f.number == 3);
    struct proto_field last;
    assert_int_equal(count(f.bytes, &last), 50000);
    assert_true(str_eq(last.bytes, STR("\xff")));
    assert_true(proto_next(&p, &f) && f.number == 5 && f.value == UINT64_C(0x0102030405060708));
    assert_true(proto_next(&p, &f) && f.number == 6 && f.value == 0xfffffffe);
    assert_false(proto_next(&p, &f) || p.bad);
    out_fini(&o);
}

/* Every beginning of a message is either a message of fewer fields or none. */
static void cut_anywhere(void **state) {
    static const char whole[] =
        "\x08\x96\x01\x12\x07testing\x0d\x01\x00\x00\x80\x1a\x03\x08\x96\x01";
    static const size_t ends[] = {0, 3, 12, 17, 22};
    struct proto_field f = {0};
    (void)state;
    for (size_t n = 0, k = 0; n < sizeof(whole); n++) {
        bool is_end = n == ends[k];
        assert_int_equal(count(str_mk(whole, n), &f), is_end ? (int)k : -1);
        k += is_end && k + 1 < ARRAY_LEN(ends);
    }
}

static void too_large_is_over(void **state) {
    char room[16];
    struct out o = out_fixed(room, sizeof(room));
    (void)state;
    size_t at = proto_open(&o, 1);
    proto_text(&o, 2, STR("much more than there is room for"));
    proto_close(&o, at);
    assert_true(o.over);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_the_guide),      cmocka_unit_test(what_is_none),
        cmocka_unit_test(written_and_read),  cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(too_large_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
