/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads of HTTP/2: every rule of RFC 9113 8.2 and 8.3 by itself (S09, S12), what the text looks
 * like, and that it is judged like an HTTP/1.1 head. Each block is laid out in ample room and in a
 * room that grows byte by byte; both must say the same.
 */
#include "lib/mem.h"
#include "proxy/http/h1.h"
#include "proxy/http/h2_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h> /* needs those */

static const struct head_limits limits = {32768, 100, 100};

struct pair {
    const char *name, *value;
};

/* The fields every request has; the rest of a row follows them. */
#define GET                                                                                        \
    {":method", "GET"}, {":scheme", "https"}, {":path", "/"}, { ":authority", "a.test" }

struct result {
    struct h2_head b;
    char text[70000];
    size_t n;
};

static void lay(struct result *r, const struct pair *p, bool ended, bool trailers, uint32_t step,
                const struct head_limits *l) {
    uint32_t cap = step;
    struct prng prng;
    prng_init(&prng);
    r->b = (struct h2_head){
        .room = mem_alloc(cap), .cap = cap, .trailers = trailers, .prng = &prng};
    struct str text = STR_NONE;
    for (bool end = false; !end;) {
        end = p->name == NULL;
        enum h2_head_got got = end ? h2_head_end(&r->b, ended, &text)
                                   : h2_head_field(&r->b, str_of(p->name), str_of(p->value), l);
        if (got == H2_HEAD_FULL) {
            char *old = r->b.room;
            cap += step;
            h2_head_move(&r->b, mem_alloc(cap), cap);
            mem_free(old);
            end = false;
            continue;
        }
        p++;
    }
    r->n = text.n;
    assert_true(r->n < sizeof(r->text));
    memcpy(r->text, text.n > 0 ? text.p : "", text.n);
    r->text[r->n] = 0;
    mem_free(r->b.room);
}

static struct result whole, grown;

static const char *laid(const struct pair *p, bool ended, bool trailers) {
    lay(&whole, p, ended, trailers, 65536, &limits);
    lay(&grown, p, ended, trailers, 1, &limits);
    assert_ptr_equal(whole.b.fault, grown.b.fault);
    assert_int_equal(whole.b.too_large, grown.b.too_large);
    assert_string_equal(whole.text, grown.text);
    return whole.text;
}

static void malformed(const struct pair *p) {
    laid(p, true, false);
    if (whole.b.fault == NULL)
        fail_msg("taken: %s %s", p[4].name, p[4].value);
    assert_int_equal(whole.n, 0);
}
static void taken(const struct pair *p, const char *text) {
    laid(p, true, false);
    if (whole.b.fault != NULL)
        fail_msg("refused: %s", whole.b.fault);
    assert_string_equal(whole.text, text);
}
#define MALFORMED(...)   malformed((const struct pair[]){__VA_ARGS__, {NULL, NULL}})
#define TAKEN(text, ...) taken((const struct pair[]){__VA_ARGS__, {NULL, NULL}}, text)

/* ---- 8.2: fields ---- */

static void names(void **state) {
    (void)state;
    TAKEN("GET / HTTP/1.1\r\nhost: a.test\r\nx-1: v\r\n\r\n", GET, {"x-1", "v"});
    MALFORMED(GET, {"", "v"});
    MALFORMED(GET, {"X-1", "v"});
    MALFORMED(GET, {"x-A", "v"});
    for (int c = 1; c < 256; c++) { /* every byte that may not stand in a name */
        char name[4] = {'x', (char)c, 'y', 0};
        bool token = c < 127 && strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", c);
        struct pair p[] = {GET, {name, "v"}, {NULL, NULL}};
        laid(p, true, false);
        assert_int_equal(whole.b.fault == NULL, token);
    }
    MALFORMED(GET, {":x", "v"});
    MALFORMED(GET, {"a:b", "v"});
    MALFORMED(GET, {"a\r\nb", "v"});
}

static void values(void **state) {
    (void)state;
    for (int c = 1; c < 256; c++) {
        char value[4] = {'x', (char)c, 'y', 0};
        struct pair p[] = {GET, {"x", value}, {NULL, NULL}};
        laid(p, true, false);
        assert_int_equal(whole.b.fault == NULL, (c >= 0x20 && c != 0x7f) || c == '\t');
    }
    MALFORMED(GET, {"x", " v"});
    MALFORMED(GET, {"x", "v "});
    MALFORMED(GET, {"x", "\tv"});
    MALFORMED(GET, {"x", "v\t"});
    MALFORMED(GET, {"x", " "});
    MALFORMED(GET, {"x", "v\r\nx-forwarded-for: 1"});
    TAKEN("GET / HTTP/1.1\r\nhost: a.test\r\nx: \r\n\r\n", GET, {"x", ""});
    struct h2_head b = {.room = whole.text, .cap = sizeof(whole.text)};
    assert_int_equal(h2_head_field(&b, STR("x"), str_mk("a\0b", 3), &limits), H2_HEAD_OK);
    assert_non_null(b.fault); /* NUL */
}

static void connection_fields(void **state) {
    (void)state;
    MALFORMED(GET, {"connection", "close"});
    MALFORMED(GET, {"connection", "x"});
    MALFORMED(GET, {"proxy-connection", "keep-alive"});
    MALFORMED(GET, {"keep-alive", "timeout=5"});
    MALFORMED(GET, {"transfer-encoding", "chunked"});
    MALFORMED(GET, {"upgrade", "h2c"});
    MALFORMED(GET, {"te", "gzip"});
    MALFORMED(GET, {"te", "trailers, gzip"});
    TAKEN("GET / HTTP/1.1\r\nhost: a.test\r\nte: trailers\r\n\r\n", GET, {"te", "trailers"});
}

/* RFC 8441. The key is made anew each time: it is looked at apart. */
static void connects(const char *more, const struct pair *p) {
    static struct prng prng;
    static char room[4096];
    struct h2_head b = {.room = room, .cap = sizeof(room), .prng = &prng};
    struct str text;
    prng_init(&prng);
    for (; p->name != NULL; p++)
        assert_int_equal(h2_head_field(&b, str_of(p->name), str_of(p->value), &limits), H2_HEAD_OK);
    assert_int_equal(h2_head_end(&b, false, &text), H2_HEAD_OK);
    assert_null(b.fault);
    struct str key, want = STR("GET /chat HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\n"
                               "upgrade: websocket\r\nsec-websocket-key: ");
    assert_true(str_starts(text, want));
    struct str rest = str_cut(str_skip(text, want.n), '\r', &key);
    assert_int_equal(key.n, 24);
    assert_true(str_eq(key, str_trim(key)) && key.p[23] == '=');
    assert_true(str_eq(str_skip(rest, 1), str_of(more)));
}

static void extended_connect(void **state) {
    (void)state;
#define CONNECT                                                                                    \
    {":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/chat"},  \
        {":authority", "a.test"}
#define NONE                                                                                       \
    { NULL, NULL }
    connects("\r\n", (struct pair[]){CONNECT, NONE});
    connects("sec-websocket-version: 13\r\norigin: x\r\n\r\n",
             (struct pair[]){CONNECT, {"sec-websocket-version", "13"}, {"origin", "x"}, NONE});
    connects("\r\n",
             (struct pair[]){CONNECT, {"sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="}, NONE});
    MALFORMED(CONNECT, {"content-length", "3"});
    MALFORMED(CONNECT, {"expect", "100-continue"});
    MALFORMED(CONNECT, {"upgrade", "websocket"});
    MALFORMED({":protocol", "websocket"}, GET);
    MALFORMED({":method", "CONNECT"}, {":protocol", "connect-udp"}, {":scheme", "https"},
              {":path", "/"}, {":authority", "a.test"});
    MALFORMED({":method", "CONNECT"}, {":protocol", "websocket"}, {":authority", "a.test"});
    MALFORMED({":method", "CONNECT"}, {":protocol", "websocket"}, {":protocol", "websocket"},
              {":scheme", "https"}, {":path", "/"}, {":authority", "a.test"});
}

static void crumbs(void **state) {
    (void)state;
    TAKEN("GET / HTTP/1.1\r\nhost: a.test\r\ncookie: a=1; b=2; c=3\r\n\r\n", GET, {"cookie", "a=1"},
          {"cookie", "b=2"}, {"cookie", "c=3"});
    TAKEN("GET / HTTP/1.1\r\nhost: a.test\r\ncookie: a=1; b=2; c=3\r\nx: y\r\nz: 1\r\n\r\n", GET,
          {"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}, {"z", "1"}, {"cookie", "c=3"});
}

/* ---- 8.3: pseudo fields ---- */

#define M                                                                                          \
    { ":method", "GET" }
#define S                                                                                          \
    { ":scheme", "https" }
#define P                                                                                          \
    { ":path", "/" }
#define A                                                                                          \
    { ":authority", "a.test" }
#define NO                                                                                         \
    { "x", "y" }

static void pseudo_fields(void **state) {
    (void)state;
    TAKEN("GET /p?q HTTP/1.1\r\nhost: a.test:8443\r\n\r\n", {":authority", "a.test:8443"},
          {":path", "/p?q"}, S, M);
    MALFORMED(S, P, A, NO, NO); /* without */
    MALFORMED(M, P, A, NO, NO);
    MALFORMED(M, S, A, NO, NO);
    MALFORMED(M, S, P, NO, NO); /* neither :authority nor Host */
    MALFORMED(GET, M);          /* twice */
    MALFORMED(GET, S);
    MALFORMED(GET, P);
    MALFORMED(GET, A);
    MALFORMED(M, S, P, NO, A); /* behind another */
    MALFORMED(M, S, A, NO, P);
    MALFORMED(GET, {":status", "200"}); /* of an answer */
    MALFORMED(GET, {":protocol", "websocket"});
    MALFORMED(GET, {":foo", "x"});
    MALFORMED(GET, {":", "x"});
    MALFORMED({":method", ""}, S, P, A, NO); /* empty */
    MALFORMED(M, {":scheme", ""}, P, A, NO);
    MALFORMED(M, S, {":path", ""}, A, NO);
    MALFORMED(M, S, P, {":authority", ""}, NO);
    MALFORMED(M, S, {":path", "x"}, A, NO);
    MALFORMED(M, S, {":path", "http://b.test/"}, A, NO);
    MALFORMED(M, S, {":path", "*"}, A, NO);
    MALFORMED(M, {":scheme", "ftp"}, P, A, NO);
    TAKEN("OPTIONS * HTTP/1.1\r\nhost: a.test\r\n\r\n", {":method", "OPTIONS"}, S, {":path", "*"},
          A);
    for (int c = 1; c < 256; c++) { /* what could end a line, or a word of it */
        char value[5] = {'/', 'x', (char)c, 'y', 0};
        struct pair p[] = {M, S, {":path", value}, A, {NULL, NULL}};
        laid(p, true, false);
        assert_int_equal(whole.b.fault == NULL, c > 0x20 && c < 0x7f);
        struct pair m[] = {{":method", value + 1}, S, P, A, {NULL, NULL}};
        laid(m, true, false);
        assert_int_equal(whole.b.fault == NULL, c > 0x20 && c < 0x7f);
        struct pair a[] = {M, S, P, {":authority", value + 1}, {NULL, NULL}};
        laid(a, true, false);
        assert_int_equal(whole.b.fault == NULL, c > 0x20 && c < 0x7f);
    }
}

static void connect_has_no_path(void **state) {
    (void)state;
    TAKEN("CONNECT a.test HTTP/1.1\r\nhost: a.test\r\n\r\n", {":method", "CONNECT"}, A);
    MALFORMED({":method", "CONNECT"}, A, P, NO, NO);
    MALFORMED({":method", "CONNECT"}, A, S, NO, NO);
    MALFORMED({":method", "CONNECT"}, NO, NO, NO, NO);
}

static void host_agrees(void **state) {
    (void)state;
    TAKEN("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n", GET, {"host", "A.test"});
    TAKEN("GET / HTTP/1.1\r\nhost: b.test\r\n\r\n", M, S, P, {"host", "b.test"});
    MALFORMED(GET, {"host", "b.test"});
    MALFORMED(GET, {"host", "a.test:80"});
    MALFORMED(GET, {"host", ""});
}

/* ---- framing ---- */

static void a_body_is_framed(void **state) {
    (void)state;
    const struct pair plain[] = {GET, {NULL, NULL}},
                      length[] = {GET, {"content-length", "5"}, {NULL, NULL}};
    assert_string_equal(laid(plain, true, false), "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_string_equal(laid(plain, false, false),
                        "GET / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_string_equal(laid(length, false, false),
                        "GET / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\n");
}

static void trailers_are_checked(void **state) {
    (void)state;
    const struct pair good[] = {{"grpc-status", "0"}, {"cookie", "a"}, {"cookie", "b"}, {NULL, NULL}};
    assert_string_equal(laid(good, true, true), "grpc-status: 0\r\ncookie: a\r\ncookie: b\r\n");
    assert_null(whole.b.fault);
    const struct pair bad[][2] = {{{":method", "GET"}},
                                  {{":status", "200"}},
                                  {{"X", "y"}},
                                  {{"connection", "x"}},
                                  {{"transfer-encoding", "chunked"}},
                                  {{"x", "a\nb"}}};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        laid(bad[i], true, true);
        assert_non_null(whole.b.fault);
    }
}

/* ---- limits ---- */

static void limits_hold(void **state) {
    (void)state;
    static char long_value[40000];
    memset(long_value, 'v', sizeof(long_value) - 1);
    struct pair p[300] = {GET};
    p[4] = (struct pair){"x", long_value};
    laid(p, true, false);
    assert_true(whole.b.too_large && whole.b.fault == NULL && whole.b.heard > 39999);
    long_value[0] = '/';
    const struct pair path[] = {M, S, {":path", long_value}, A, {NULL, NULL}};
    laid(path, true, false);
    assert_true(whole.b.too_large);
    for (unsigned i = 4; i < 105; i++)
        p[i] = (struct pair){"x", "y"};
    laid(p, true, false);
    assert_true(whole.b.too_large);
    p[104].name = NULL;
    laid(p, true, false);
    assert_false(whole.b.too_large);
    for (unsigned i = 4; i < 105; i++)
        p[i] = (struct pair){"cookie", "y"};
    laid(p, true, false);
    assert_true(whole.b.too_large);
}

/* ---- as HTTP/1.1 ---- */

/* What the text says is what was sent: nothing can be smuggled in (S09). */
static void the_text_is_judged_as_h1(void **state) {
    (void)state;
    static const struct {
        struct pair p[7];
        bool good;
    } rows[] = {
        {{{":method", "GET"}, S, P, A, {"x", "y"}}, true},
        {{{":method", "GET"}, S, {":path", "/a#b"}, A}, false},
        {{{":method", "G@T"}, S, P, A}, false},
        {{{":method", "CONNECT"}, A}, false},
        {{{":method", "GET"}, S, P, {":authority", "u@a.test"}}, false},
        {{{":method", "GET"}, S, P, {":authority", "a.test:0"}}, false},
        {{{":method", "GET"}, S, P, {":authority", "a,b"}}, false},
        {{GET, {"content-length", "5"}, {"content-length", "5"}}, false},
        {{GET, {"content-length", "+5"}}, false},
        {{GET, {"authorization", "a"}, {"authorization", "b"}}, false},
        {{GET, {"expect", "x"}}, false},
        {{M, S, P, {"host", "a"}, {"host", "a"}}, false},
    };
    static struct head h;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        laid(rows[i].p, true, false);
        assert_null(whole.b.fault);
        size_t skipped;
        enum reason reason;
        const char *detail;
        enum h1 got = h1_parse_request(&(struct h1_scan){0}, whole.text, whole.n, &limits, &h,
                                       &skipped, &reason, &detail);
        if ((got == H1_DONE) != rows[i].good)
            fail_msg("row %u: %s", i, whole.text);
        assert_true(got != H1_DONE || h.n == whole.n);
    }
}

/* ---- answers ---- */

static void answers_are_read_back(void **state) {
    (void)state;
    char text[] = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nX: \r\nY:  z \r\n"
                  "transfer-encoding: chunked\r\nconnection: close\r\nset-cookie: a: b\r\n\r\n";
    static const struct pair expected[] = {{":status", "404"},
                                           {"content-type", "text/plain"},
                                           {"x", ""},
                                           {"y", "z"},
                                           {"set-cookie", "a: b"}};
    nghttp2_nv nv[5];
    unsigned status;
    size_t n = h2_answer_fields(text, sizeof(text) - 1, nv, ARRAY_LEN(nv), &status);
    assert_int_equal(n, ARRAY_LEN(expected));
    assert_int_equal(status, 404);
    for (size_t i = 0; i < n; i++) {
        assert_true(str_eq(str_mk((char *)nv[i].name, nv[i].namelen), str_of(expected[i].name)));
        assert_true(str_eq(str_mk((char *)nv[i].value, nv[i].valuelen), str_of(expected[i].value)));
    }
    assert_int_equal(h2_answer_fields(text, sizeof(text) - 1, nv, 4, &status), 0);
    char bare[] = "HTTP/1.1 103 \r\n\r\n";
    assert_int_equal(h2_answer_fields(bare, sizeof(bare) - 1, nv, 1, &status), 1);
    assert_int_equal(status, 103);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(values),
        cmocka_unit_test(connection_fields),
        cmocka_unit_test(extended_connect),
        cmocka_unit_test(crumbs),
        cmocka_unit_test(pseudo_fields),
        cmocka_unit_test(connect_has_no_path),
        cmocka_unit_test(host_agrees),
        cmocka_unit_test(a_body_is_framed),
        cmocka_unit_test(trailers_are_checked),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(the_text_is_judged_as_h1),
        cmocka_unit_test(answers_are_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
