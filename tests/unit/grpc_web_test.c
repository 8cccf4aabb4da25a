/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc_web.h and base64.h: content types; text that comes cut at every byte, with padding anywhere
 * a run may end; answers whose messages are complete in the text as soon as they are in the bytes.
 */
#include "lib/base64.h"
#include "lib/mem.h"
#include "proxy/http/grpc_web.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h> /* needs those */

static void content_types(void **state) {
    (void)state;
    static const struct {
        const char *type;
        enum grpc_web_form form;
        const char *rest;
    } rows[] = {
        {"application/grpc-web", GRPC_WEB_BINARY, ""},
        {"application/grpc-web+proto", GRPC_WEB_BINARY, "+proto"},
        {"application/grpc-web;charset=x", GRPC_WEB_BINARY, ";charset=x"},
        {"application/grpc-web-text", GRPC_WEB_TEXT, ""},
        {"application/grpc-web-text+json", GRPC_WEB_TEXT, "+json"},
        {"application/grpc-web-textual", GRPC_WEB_NONE, NULL},
        {"application/grpc-web-", GRPC_WEB_NONE, NULL},
        {"application/grpc-websocket", GRPC_WEB_NONE, NULL},
        {"application/grpc", GRPC_WEB_NONE, NULL},
        {"application/grpc+proto", GRPC_WEB_NONE, NULL},
        {"text/plain", GRPC_WEB_NONE, NULL},
        {"", GRPC_WEB_NONE, NULL},
    };
    struct str rest;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(grpc_web_form(str_of(rows[i].type), &rest), rows[i].form);
        if (rows[i].form != GRPC_WEB_NONE)
            assert_true(str_eq(rest, str_of(rows[i].rest)));
    }
    assert_true(grpc_type(STR("application/grpc+proto"), &rest) && str_eq(rest, STR("+proto")));
    assert_true(grpc_type(STR("application/grpc"), &rest) && rest.n == 0);
    assert_false(grpc_type(STR("application/grpc-web"), &rest));
    assert_false(grpc_type(STR("application/grpcx"), &rest));
}

/* ---- text of a request ---- */

/* In pieces of that size, each decoded in its own place. */
static bool decoded(const char *text, size_t step, char *to, size_t *n) {
    struct base64 b = {0};
    size_t all = strlen(text);
    *n = 0;
    for (size_t at = 0; at < all; at += step) {
        char piece[128];
        size_t some, len = size_min(step, all - at);
        memcpy(piece, text + at, len);
        if (!base64_more(&b, str_mk(piece, len), piece, &some))
            return false;
        assert_true(some <= len);
        memcpy(to + *n, piece, some);
        *n += some;
    }
    return base64_complete(&b);
}

static void text_is_cut_anywhere(void **state) {
    (void)state;
    static const struct {
        const char *text, *bytes; /* bytes NULL: refused */
    } rows[] = {
        {"", ""},
        {"YWJj", "abc"},
        {"YWI=YWJjYQ==YWJj", "ababcaabc"}, /* runs */
        {"YQ==YQ==YQ==", "aaa"},
        {"YW\r\nJj\r\nYQ=\n=\n", "abca"},
        {"YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=", "abcdefghijklmnopqrstuvwxyz"},
        {"+/+/AA==", "\xfb\xff\xbf"},
        {"YWJ", NULL}, /* not complete */
        {"YWJjYQ=", NULL},
        {"Y", NULL},
        {"YWJ*", NULL},
        {"YWJjY-Jj", NULL},
        {"YW Jj", NULL},
        {"====", NULL},
        {"Y===", NULL},
        {"YQ=a", NULL}, /* behind padding that is not complete */
        {"YQ===", NULL},
        {"YWJj=", NULL},
        {"YR==", NULL}, /* bits left over */
        {"YWJ=", NULL},
        {"YWJj\x80WJj", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step <= strlen(rows[i].text) + 1; step++) {
            char to[128];
            size_t n;
            bool good = decoded(rows[i].text, step, to, &n);
            if (good != (rows[i].bytes != NULL))
                fail_msg("%s in pieces of %zu", rows[i].text, step);
            if (good && strcmp(rows[i].text, "+/+/AA==") == 0)
                assert_true(n == 4 && memcmp(to, "\xfb\xff\xbf\0", 4) == 0);
            else if (good)
                assert_true(str_eq(str_mk(to, n), str_of(rows[i].bytes)));
        }
    }
}

/* ---- text of an answer ---- */

static char in[200000];
static size_t in_n, ends[64], n_ends;

static void message(size_t n) {
    in[in_n] = (char)(n_ends % 2);
    for (int i = 1; i < GRPC_WEB_HEAD; i++)
        in[in_n + (size_t)i] = (char)(n >> 8 * (4 - i));
    in_n += GRPC_WEB_HEAD;
    for (size_t i = 0; i < n; i++)
        in[in_n++] = (char)(i * 7 + n);
    ends[n_ends++] = in_n;
}

static bool is_end(size_t at) {
    for (size_t i = 0; i < n_ends; i++)
        if (ends[i] == at)
            return true;
    return at == 0;
}

/* Every message is there as soon as its last byte came, however the bytes and the rooms are cut. */
static void answered(size_t step, size_t room) {
    struct grpc_web_text t = {0};
    struct base64 b = {0};
    size_t came = 0;
    char *text = mem_alloc(room), *bytes = mem_alloc(in_n);
    for (size_t at = 0; at < in_n; at += step) {
        struct str piece = str_mk(in + at, size_min(step, in_n - at));
        while (piece.n > 0) {
            size_t before = piece.n, n = grpc_web_text(&t, &piece, text, room), some;
            assert_true(n < room && n % 4 == 0 && piece.n < before);
            assert_true(base64_more(&b, str_mk(text, n), bytes + came, &some));
            came += some;
        }
        size_t sent = size_min(at + step, in_n);
        assert_true(came <= sent && came + 2 >= sent && base64_complete(&b));
        assert_int_equal(grpc_web_between(&t), is_end(sent));
        if (is_end(sent))
            assert_int_equal(came, sent);
        for (size_t i = 0; i < n_ends; i++)
            assert_true(ends[i] > sent || ends[i] <= came);
    }
    assert_memory_equal(bytes, in, in_n);
    mem_free(text);
    mem_free(bytes);
}

static void messages_do_not_wait(void **state) {
    (void)state;
    in_n = n_ends = 0;
    for (size_t n = 0; n < 16; n++)
        message(n);
    message(300);
    for (size_t step = 1; step <= in_n; step++)
        answered(step, 1 << 16);
    for (size_t room = GRPC_WEB_ROOM; room < 100; room++)
        answered(37, room);
    message(70000);
    message(0);
    answered(65536, 65536);
    answered(1, GRPC_WEB_ROOM);
}

static void a_message_is_padded_by_itself(void **state) {
    (void)state;
    struct grpc_web_text t = {0};
    struct str two = str_mk("\0\0\0\0\2hi\0\0\0\0\0", 12);
    char to[GRPC_WEB_ROOM];
    size_t n = grpc_web_text(&t, &two, to, sizeof(to));
    assert_true(str_eq(str_mk(to, n), STR("AAAAAAJoaQ==AAAAAAA=")));
    char head[GRPC_WEB_HEAD];
    grpc_web_trailers_head(0x01020304, head);
    assert_memory_equal(head, "\x80\1\2\3\4", 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_types),
        cmocka_unit_test(text_is_cut_anywhere),
        cmocka_unit_test(messages_do_not_wait),
        cmocka_unit_test(a_message_is_padded_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
