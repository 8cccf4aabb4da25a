/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers of a Redis server, whole and in pieces, and those that are none; commands.
 */
#include "proxy/limit/resp.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct resp_reply read_whole(const char *text) {
    struct resp_reply r = {0};
    size_t used = 0;
    assert_int_equal(resp_read(str_of(text), &r, &used), RESP_DONE);
    assert_int_equal(used, strlen(text));
    for (size_t n = 0; n < used; n++) {
        struct resp_reply part;
        size_t none;
        assert_int_equal(resp_read(str_mk(text, n), &part, &none), RESP_MORE);
    }
    return r;
}

static void answers(void **state) {
    (void)state;
    struct resp_reply r = read_whole("+OK\r\n");
    assert_true(r.kind == RESP_WORD && str_eq(r.text, STR("OK")));
    r = read_whole("-WRONGPASS no\r\n");
    assert_true(r.kind == RESP_ERROR && str_eq(r.text, STR("WRONGPASS no")));
    r = read_whole("$5\r\na\r\nbc\r\n");
    assert_true(r.kind == RESP_TEXT && str_eq(r.text, STR("a\r\nbc")));
    r = read_whole(":-12\r\n");
    assert_true(r.kind == RESP_NUMBERS && r.n == 1 && r.v[0] == -12);
    r = read_whole("*3\r\n:1\r\n:0\r\n:999999999999999999\r\n");
    assert_true(r.kind == RESP_NUMBERS && r.n == 3 && r.v[2] == 999999999999999999);
    assert_true(read_whole("*0\r\n").n == 0);
}

static void no_answers(void **state) {
    (void)state;
    static const char *const bad[] = {"OK\r\n",
                                      "\r\n",
                                      "$-1\r\n",
                                      "*-1\r\n",
                                      "*73\r\n",
                                      "$257\r\n",
                                      ":\r\n",
                                      ":1x\r\n",
                                      ":1000000000000000000\r\n",
                                      "+OK\rx",
                                      "*1\r\n$1\r\na\r\n",
                                      "$1\r\nabc\r\n",
                                      "*1\r\n*0\r\n",
                                      ":--1\r\n",
                                      "%1\r\n"};
    char line[RESP_LINE_MAX + 8];
    struct resp_reply r;
    size_t used;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (resp_read(str_of(bad[i]), &r, &used) != RESP_BAD)
            fail_msg("%s", bad[i]);
    memset(line, '+', sizeof(line));
    assert_int_equal(resp_read(str_mk(line, sizeof(line)), &r, &used), RESP_BAD);
}

static void commands(void **state) {
    (void)state;
    char room[128];
    struct out o = out_fixed(room, sizeof(room));
    resp_begin(&o, 3);
    resp_put(&o, STR("SET"));
    resp_put(&o, STR("a\r\n"));
    resp_put_int(&o, INT64_MIN);
    assert_true(str_eq(out_done(&o),
                       STR("*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$20\r\n-9223372036854775808\r\n")));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(no_answers),
                                       cmocka_unit_test(commands)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
