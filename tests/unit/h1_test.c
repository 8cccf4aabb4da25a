/* SPDX-License-Identifier: Apache-2.0
 *
 * Message heads: what h1.h promises, line by line (S01-S03, S05, S06, S10, S11, S32, S33). Every
 * head is parsed at once and byte by byte, from memory that ends where the bytes do; both ways
 * must say the same.
 */
#include "lib/mem.h"
#include "proxy/http/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h> /* needs those */

static const struct head_limits limits = {32768, 100, 100};
static struct head head;
static char *bytes; /* of the head that was parsed last */
static enum reason reason;
static size_t skipped;

static enum h1 parse_once(struct h1_scan *s, const char *p, size_t n, const struct head_limits *l,
                          int answer_to) {
    const char *detail = NULL;
    enum h1 got = answer_to < 0 ? h1_parse_request(s, p, n, l, &head, &skipped, &reason, &detail)
                                : h1_parse_response(s, p, n, l, (enum method)answer_to, &head,
                                                    &reason, &detail);
    if (got == H1_BAD)
        assert_true(detail != NULL && detail[0] != 0);
    return got;
}

/* answer_to: the method of the request that is answered, or -1: it is a request. */
static enum h1 parse(const char *text, size_t n, const struct head_limits *l, int answer_to) {
    enum h1 dripped = H1_MORE;
    struct h1_scan s = {0};
    for (size_t i = 1; i <= n && dripped == H1_MORE; i++) {
        char *part = mem_dup(text, i); /* at another place each time */
        dripped = parse_once(&s, part, i, l, answer_to);
        mem_free(part);
    }
    enum reason why = reason;
    mem_free(bytes);
    bytes = mem_alloc(n);
    memcpy(bytes, text, n);
    enum h1 whole = parse_once(&(struct h1_scan){0}, bytes, n, l, answer_to);
    if (dripped != whole || (whole == H1_BAD && why != reason))
        fail_msg("byte by byte %d, at once %d: %s", dripped, whole, text);
    return whole;
}

static void good(const char *text) {
    skipped = 0;
    if (parse(text, strlen(text), &limits, -1) != H1_DONE)
        fail_msg("refused: %s", text);
    assert_int_equal(skipped + head.n, strlen(text));
}
static void bad_bytes(const char *text, size_t n, enum reason why) {
    if (parse(text, n, &limits, -1) != H1_BAD)
        fail_msg("not refused: %s", text);
    assert_int_equal(reason, why);
}
static void bad(const char *text) { bad_bytes(text, strlen(text), REASON_BAD_REQUEST); }

static void is(struct span s, const char *text) {
    struct str got = head_str(&head, s);
    if (!str_eq(got, str_of(text)))
        fail_msg("\"%.*s\" is not \"%s\"", STR_FMT(got), text);
}

#define HOST "Host: h\r\n"

/* ---- request lines ---- */

static void request_lines(void **state) {
    (void)state;
    good("GET /a?b=c?d HTTP/1.1\r\n" HOST "\r\n");
    is(head.method_text, "GET");
    is(head.target, "/a?b=c?d");
    is(head.raw_path, "/a");
    is(head.query, "b=c?d");
    assert_true(head.has_query && head.minor == 1 && head.keep_alive);
    good("\r\nGET /? HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(skipped, 2);
    assert_true(head.has_query);
    is(head.query, "");
    good("get / HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(head.method, METHOD_OTHER);
    good("TRACE / HTTP/1.1\r\n" HOST "\r\n");
    good("ABCDEFGHIJKLMNOPQRSTUVWX / HTTP/1.1\r\n" HOST "\r\n"); /* 24 */
    good("OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    is(head.raw_path, "*");
    good("GET / HTTP/1.0\r\n\r\n");
    assert_true(head.host.n == 0 && !head.keep_alive);
    good("GET http://H:80/x?y HTTP/1.1\r\nHost: h:80\r\n\r\n");
    is(head.raw_path, "/x");
    is(head.query, "y");
    assert_int_equal(head.port, 80);
    good("GET HTTPS://h HTTP/1.1\r\n" HOST "\r\n");
    is(head.raw_path, "/");
    good("GET http://h?q HTTP/1.1\r\n" HOST "\r\n");
    is(head.raw_path, "/");
    is(head.query, "q");
    static const char *const lines[] = {
        "\r\n\r\nGET / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET / HTTP/1.01",
        "GET / HTTP/11",
        "GET /",
        "GET",
        "GET HTTP/1.1",
        "GET / ",
        "CONNECT h:80 HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS ** HTTP/1.1",
        "GET a HTTP/1.1",
        "GET h/ HTTP/1.1",
        "GET ftp://h/ HTTP/1.1",
        "GET //h/ HTTP/1.1\n",
        "GET http:///x HTTP/1.1",
        "GET http://u@h/ HTTP/1.1",
        "GET http://h:/a:b@ HTTP/1.1\r\n x",
        "GET http://other/ HTTP/1.1",
        "GET http://h:81/ HTTP/1.1",
        "GET /# HTTP/1.1",
        "GET /?# HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\x80 HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /a b HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\xc3\xa9T / HTTP/1.1",
        ": / HTTP/1.1",
        "ABCDEFGHIJKLMNOPQRSTUVWXY / HTTP/1.1", /* 25 */
    };
    for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
        char text[256];
        snprintf(text, sizeof(text), "%s\r\n" HOST "\r\n", lines[i]);
        bad(text);
    }
}

/* Field lines behind "GET / HTTP/1.1" and Host. */
static void with_fields(char *room, size_t cap, const char *fields) {
    snprintf(room, cap, "POST / HTTP/1.1\r\n" HOST "%s\r\n", fields);
}
static void good_fields(const char *fields) {
    char text[4096];
    with_fields(text, sizeof(text), fields);
    good(text);
}
static void bad_fields(const char *fields) {
    char text[4096];
    with_fields(text, sizeof(text), fields);
    bad(text);
}

/* S10. */
static void hosts(void **state) {
    (void)state;
    good("GET / HTTP/1.1\r\nhost:Shop.Example.com:8080 \r\n\r\n");
    is(head.host, "Shop.Example.com");
    assert_int_equal(head.port, 8080);
    good("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    is(head.host, "[::1]");
    static const char *const fields[] = {
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: a b\r\n",
        "Host: a,b\r\n",
        "Host: u@h\r\n",
        "Host: h:0\r\n",
        "Host: h:65536\r\n",
        "Host: h:x\r\n",
        "Host: h:-1\r\n",
        "Host: h/\r\n",
        "Host: h#\r\n",
        "Host: h%41\r\n",
        "Host: [::1\r\n",
        "Host: [g::]\r\n",
        "Host: [fe80::1%25eth0]\r\n",
        "Host: \xc3\xa9\r\n",
        "Host: h:080000\r\n",
        "Host: :80\r\n",
        "Host : h\r\n",
        " Host: h\r\n",
    };
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        char text[256];
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", fields[i]);
        bad(text);
    }
    bad("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n");
    bad("GET / HTTP/1.0\r\nHost:\r\n\r\n");
}

/* S01-S03. */
static void framing_is_never_in_doubt(void **state) {
    (void)state;
    good_fields("");
    assert_int_equal(head.framing, FRAMING_NONE);
    good_fields("Content-Length: 0\r\n");
    assert_int_equal(head.framing, FRAMING_LENGTH);
    good_fields("content-LENGTH:\t 00012 \r\n");
    assert_true(head.content_length == 12);
    good_fields("Content-Length: 9223372036854775807\r\n");
    assert_true(head.content_length == INT64_MAX);
    good_fields("Transfer-Encoding: Chunked\r\n");
    assert_int_equal(head.framing, FRAMING_CHUNKED);
    static const char *const fields[] = {
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;a=b\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunke\r\n",
        "Transfer-Encoding: chunked\x0b\r\n",
        "Transfer-Encoding:\x0b"
        "chunked\r\n",
        "Transfer-Encoding: \x80"
        "chunked\r\n",
        "Transfer-Encoding\x01: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "x: y\r\n Transfer-Encoding: chunked\r\n",
        "x: y\rTransfer-Encoding: chunked\r\n",
        "x: y\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r \n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\n\r\n",
        "Content-Length:\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x10\r\n",
        "Content-Length: 1_0\r\n",
        "Content-Length: 1 0\r\n",
        "Content-Length: 1,1\r\n",
        "Content-Length: 1, 2\r\n",
        "Content-Length: 1.0\r\n",
        "Content-Length: 1e3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 000000000000000000001\r\n",
        "Content-Length: \xd9\xa3\r\n",
        "Content-Length: 3;a\r\n",
    };
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
        bad_fields(fields[i]);
    bad("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void expectations(void **state) {
    (void)state;
    good_fields("Expect: 100-Continue\r\n");
    assert_true(head.expect_continue);
    good("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    assert_false(head.expect_continue);
    bad_fields("Expect: 100-continue\r\nExpect: 100-continue\r\n");
    bad_fields("Expect: 101-continue\r\n");
    bad_fields("Expect: 100-continue, x\r\n");
    bad_fields("Expect:\r\n");
    bad_fields("Authorization: a\r\nAuthorization: b\r\n");
}

/* S05, S06: every control byte, in every place. */
static void field_lines(void **state) {
    (void)state;
    good_fields("x:y\r\nX-Empty:\r\nx:  a\tb  \r\nx: \xff\x80\r\n");
    is(head.fields[1].value, "y");
    is(head.fields[2].value, "");
    is(head.fields[3].value, "a\tb");
    is(head.fields[4].value, "\xff\x80");
    static const char *const fields[] = {
        ": x\r\n",     " : x\r\n",   "x\r\n",          "x y: z\r\n",      "x : y\r\n",
        "x\t: y\r\n",  "\tx: y\r\n", "x: y\r\n z\r\n", "x: y\r\n\tz\r\n", "x: y\n",
        "x: y\r",      "x: y\r\r\n", "x: y\nz: a\r\n", "\xc3\xa9: x\r\n", "x(: y\r\n",
        "x\"y: z\r\n", "x@y: z\r\n", "x/y: z\r\n",
    };
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
        bad_fields(fields[i]);
    for (int c = 0; c < 256; c++) {
        bool control = (c < 0x20 && c != '\t') || c == 0x7f;
        char text[] = "GET / HTTP/1.1\r\nHost: h\r\nab: c?d\r\n\r\n";
        size_t n = sizeof(text) - 1;
        *strchr(text, '?') = (char)c;
        if (control)
            bad_bytes(text, n, REASON_BAD_REQUEST);
        else
            assert_int_equal(parse(text, n, &limits, -1), H1_DONE);
        char name[] = "GET / HTTP/1.1\r\nHost: h\r\na?b: c\r\n\r\n";
        *strchr(name, '?') = (char)c;
        bool token = c < 0x80 && c > 0x20 && strchr("\"(),/:;<=>?@[\\]{}\x7f", c) == NULL;
        if (token || c == ':')
            assert_int_equal(parse(name, sizeof(name) - 1, &limits, -1), H1_DONE);
        else
            bad_bytes(name, sizeof(name) - 1, REASON_BAD_REQUEST);
    }
}

static bool is_dropped(const char *name) {
    for (unsigned i = 0; i < head.n_fields; i++)
        if (str_eq_nocase(head_name(&head, &head.fields[i]), str_of(name)))
            return head.fields[i].dropped;
    fail_msg("no field %s", name);
    return false;
}

/* RFC 9110 7.6.1, S32, S33. */
static void what_is_not_forwarded(void **state) {
    (void)state;
    good_fields("Connection: x-mine, close , KEEP-ALIVE,\r\nX-Mine: 1\r\nX-Other: 1\r\n"
                "connection: x-second\r\nx-second: 1\r\nX-Mine: 2\r\n");
    assert_true(is_dropped("connection") && is_dropped("x-mine") && is_dropped("x-second"));
    assert_true(head.fields[6].dropped); /* the second x-mine */
    assert_false(is_dropped("x-other") || is_dropped("host") || head.keep_alive);
    good_fields("Keep-Alive: 1\r\nProxy-Connection: a\r\nTE: a\r\nTrailer: a\r\nUpgrade: a\r\n"
                "HTTP2-Settings: a\r\nProxy-Authorization: a\r\n");
    for (unsigned i = 1; i < head.n_fields; i++)
        assert_true(head.fields[i].dropped);
    assert_int_equal(head.upgrade.n, 0); /* Connection does not name it */
    good_fields("Connection: host, x-forwarded-for, authorization, cookie, x-real-ip, forwarded,"
                " x-request-id, content-length\r\nX-Forwarded-For: 1\r\nAuthorization: a\r\n"
                "Cookie: a=b\r\nX-Real-IP: 1\r\nForwarded: for=1\r\nX-Request-Id: 1\r\n"
                "Content-Length: 3\r\n");
    for (unsigned i = 0; i < head.n_fields; i++)
        assert_int_equal(head.fields[i].dropped, head.fields[i].token == TOKEN_CONNECTION);
    assert_true(head.content_length == 3);
    good_fields("x_forwarded_for: 1\r\nX_y: 2\r\n");
    assert_true(is_dropped("x_forwarded_for") && is_dropped("x_y"));
    good("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_true(head.keep_alive);
    good("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n");
    assert_false(head.keep_alive);
    char text[1024] = "Connection: a";
    for (int i = 1; i < 16; i++)
        strncat(text, ",a", sizeof(text) - strlen(text) - 1);
    strncat(text, "\r\n", 3);
    good_fields(text);
    memcpy(strstr(text, "\r\n"), ",a\r\n", 5);
    bad_fields(text);
}

/* ---- limits ---- */

static void answer(const char *text, enum method to, enum h1 expected) {
    if (parse(text, strlen(text), &limits, (int)to) != expected)
        fail_msg("expected %d: %s", expected, text);
    if (expected == H1_BAD)
        assert_int_equal(reason, REASON_BAD_RESPONSE);
}

static void upgrades_to(const char *protocol, const char *fields) {
    good_fields(fields);
    is(head.upgrade, protocol);
    for (unsigned i = 0; i < head.n_fields; i++)
        if (head.fields[i].token == TOKEN_UPGRADE)
            assert_true(head.fields[i].dropped);
}

/* RFC 9110 7.8: Connection names it, and there is one protocol. Else nothing is asked for. */
static void upgrades(void **state) {
    (void)state;
    upgrades_to("websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    upgrades_to("WebSocket", "Upgrade: WebSocket\r\nConnection: keep-alive, UPGRADE\r\n");
    upgrades_to("websocket", "Connection: keep-alive\r\nConnection: upgrade\r\n"
                             "Upgrade: websocket\r\n");
    upgrades_to("IRC/6.9", "Connection: upgrade\r\nUpgrade: IRC/6.9\r\n");
    upgrades_to("", "Upgrade: websocket\r\n");
    upgrades_to("", "Connection: upgrade\r\n");
    upgrades_to("", "Connection: upgrade\r\nUpgrade:\r\n");
    upgrades_to("", "Connection: upgrades, xupgrade, \"upgrade\"\r\nUpgrade: websocket\r\n");
    upgrades_to("", "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n");
    upgrades_to("", "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n");
    upgrades_to("", "Connection: upgrade\r\nUpgrade: web socket\r\n");
    upgrades_to("", "Connection: upgrade\r\nX-Upgrade: websocket\r\n");
    good("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_int_equal(head.upgrade.n, 0);
    answer("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n", METHOD_GET, H1_DONE);
    is(head.upgrade, "a");
    answer("HTTP/1.1 101 x\r\nUpgrade: a\r\n\r\n", METHOD_GET, H1_DONE);
    assert_int_equal(head.upgrade.n, 0);
}

static void head_limits_hold(void **state) {
    (void)state;
    const char *text = "GET / HTTP/1.1\r\nHost: h\r\na: 1\r\nCookie: a\r\nCookie: b\r\n\r\n";
    size_t n = strlen(text);
    struct head_limits l = {(uint32_t)n, 2, 2};
    assert_int_equal(parse(text, n, &l, -1), H1_DONE);
    l.bytes--;
    assert_int_equal(parse(text, n, &l, -1), H1_BAD);
    assert_int_equal(reason, REASON_HEADER_TOO_LARGE);
    l = (struct head_limits){(uint32_t)n, 1, 2};
    assert_int_equal(parse(text, n, &l, -1), H1_BAD);
    assert_int_equal(reason, REASON_HEADER_TOO_LARGE);
    l = (struct head_limits){(uint32_t)n, 2, 1};
    assert_int_equal(parse(text, n, &l, -1), H1_BAD);
    assert_int_equal(reason, REASON_HEADER_TOO_LARGE);
    /* whatever is configured, the hard bounds hold */
    static char large[HEAD_BYTES_MAX + 100];
    memset(large, 'x', sizeof(large));
    memcpy(large, "GET / HTTP/1.1\r\nHost: h\r\na: ", 28);
    struct h1_scan s = {0};
    l = (struct head_limits){UINT32_MAX, UINT16_MAX, UINT16_MAX};
    assert_int_equal(parse_once(&s, large, sizeof(large), &l, -1), H1_BAD);
    assert_int_equal(reason, REASON_HEADER_TOO_LARGE);
    struct out o = out_heap(60000);
    out_lit(&o, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < HEAD_FIELDS_MAX; i++)
        out_lit(&o, "a: b\r\n");
    out_lit(&o, "\r\n");
    assert_int_equal(parse_once(&(struct h1_scan){0}, o.p, o.n, &l, -1), H1_BAD);
    assert_int_equal(reason, REASON_HEADER_TOO_LARGE);
    out_fini(&o);
}

/* A dripping client is told as soon as its bytes cannot become a request. */
static void hopeless_heads_end_early(void **state) {
    (void)state;
    static const char *const texts[] = {"\x16\x03\x01",
                                        " ",
                                        "\n",
                                        "\r\r",
                                        "GET / HTTP/1.1\n",
                                        "GET / HTTP/1.1\r\nHost: h\r\na\x01",
                                        "{"};
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
        bad(texts[i]);
}

/* ---- responses: S11 ---- */

static void responses(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx_y: z\r\n\r\n", METHOD_GET, H1_DONE);
    assert_true(head.framing == FRAMING_LENGTH && head.content_length == 3 && head.keep_alive);
    assert_false(is_dropped("x_y"));
    is(head.reason_text, "OK");
    answer("HTTP/1.1 200\r\n\r\n", METHOD_GET, H1_DONE);
    assert_true(head.framing == FRAMING_CLOSE && !head.keep_alive);
    answer("HTTP/1.1 599 \r\nConnection: close\r\nContent-Length: 0\r\n\r\n", METHOD_GET, H1_DONE);
    assert_false(head.keep_alive);
    answer("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", METHOD_GET, H1_DONE);
    assert_false(head.keep_alive);
    answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, H1_DONE);
    assert_int_equal(head.framing, FRAMING_CHUNKED);
    answer("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", METHOD_HEAD, H1_DONE);
    assert_true(head.framing == FRAMING_NONE && !is_dropped("content-length") && head.keep_alive);
    answer("HTTP/1.1 304 Not\r\nContent-Length: 7\r\n\r\n", METHOD_GET, H1_DONE);
    assert_true(head.framing == FRAMING_NONE && !is_dropped("content-length"));
    answer("HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", METHOD_GET, H1_DONE);
    assert_true(head.framing == FRAMING_NONE && is_dropped("content-length"));
    answer("HTTP/1.1 103 Hints\r\nContent-Length: 7\r\n\r\n", METHOD_GET, H1_DONE);
    assert_true(head.framing == FRAMING_NONE && is_dropped("content-length"));
    answer("HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n", METHOD_GET, H1_DONE);
    static const char *const texts[] = {
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 600 x\r\n\r\n",
        "HTTP/1.1 20 x\r\n\r\n",
        "HTTP/1.1 2000 x\r\n\r\n",
        "HTTP/1.1  200 x\r\n\r\n",
        "HTTP/2.0 200 x\r\n\r\n",
        "HTTP/1.1 +20 x\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\x01K\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\n x: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: y\r\n z\r\n\r\n",
        "HTTP/1.1 204 No\r\nContent-Length: a\r\n\r\n",
    };
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
        answer(texts[i], METHOD_GET, H1_BAD);
    struct head_limits few = {1000, 1, 0};
    const char *two = "HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\n\r\n";
    assert_int_equal(parse(two, strlen(two), &few, METHOD_GET), H1_BAD);
    assert_int_equal(reason, REASON_RESPONSE_TOO_LARGE);
}

/* ---- cookies and the query ---- */

static void cookie(const char *name, const char *expected) {
    struct str v;
    bool found = head_cookie(&head, str_of(name), &v);
    assert_int_equal(found, expected != NULL);
    if (found && !str_eq(v, str_of(expected)))
        fail_msg("%s is \"%.*s\"", name, STR_FMT(v));
}

static void cookies(void **state) {
    (void)state;
    good_fields("Cookie: a=1; b=2;c = 3; d; =e; a=9\r\nCookie: f=x=y; g=\r\nCooky: h=1\r\n");
    cookie("a", "1");
    cookie("b", "2");
    cookie("c ", " 3");
    cookie("d", NULL);
    cookie("f", "x=y");
    cookie("g", "");
    cookie("h", NULL);
    cookie("A", NULL);
    cookie("", "e");
}

static void query(const char *name, const char *expected) {
    char room[8];
    struct str v;
    bool found = head_query(&head, str_of(name), room, sizeof(room), &v);
    assert_int_equal(found, expected != NULL);
    if (found && !str_eq(v, str_of(expected)))
        fail_msg("%s is \"%.*s\"", name, STR_FMT(v));
}

static void queries(void **state) {
    (void)state;
    good("GET /?a=1&b=%41%2f+&&c&d=&a=2&%65=6&f=%4&g=123456789&h=12345678&i=%zz HTTP/1.1\r\n" HOST
         "\r\n");
    query("a", "1");
    query("b", "A/ ");
    query("c", "");
    query("d", "");
    query("e", "6");
    query("f", "%4");
    query("g", NULL); /* does not fit */
    query("h", "12345678");
    query("i", "%zz");
    query("j", NULL);
    query("A", NULL);
    good("GET / HTTP/1.1\r\n" HOST "\r\n");
    query("", NULL);
}

static void methods(void **state) {
    (void)state;
    static const char *const names[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(method_of(str_of(names[i])), METHOD_GET + i);
    assert_int_equal(method_of(STR("get")), METHOD_OTHER);
    assert_int_equal(method_of(STR("")), METHOD_OTHER);
    assert_int_equal(method_of(STR("PROPFIND")), METHOD_OTHER);
    for (enum method m = METHOD_OTHER; m <= METHOD_PATCH; m++)
        assert_int_equal(method_is_idempotent(m), m == METHOD_GET || m == METHOD_HEAD ||
                                                      m == METHOD_PUT || m == METHOD_DELETE ||
                                                      m == METHOD_OPTIONS || m == METHOD_TRACE);
}

static int done(void **state) {
    (void)state;
    mem_free(bytes);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_lines),
        cmocka_unit_test(hosts),
        cmocka_unit_test(framing_is_never_in_doubt),
        cmocka_unit_test(expectations),
        cmocka_unit_test(field_lines),
        cmocka_unit_test(what_is_not_forwarded),
        cmocka_unit_test(upgrades),
        cmocka_unit_test(head_limits_hold),
        cmocka_unit_test(hopeless_heads_end_early),
        cmocka_unit_test(responses),
        cmocka_unit_test(cookies),
        cmocka_unit_test(queries),
        cmocka_unit_test(methods),
    };
    return cmocka_run_group_tests(tests, NULL, done);
}
