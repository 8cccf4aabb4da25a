/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_head: heads of HTTP/2 as HTTP/1.1 text, and back (RFC 9113 8.2, 8.3). No sockets, no memory of
 * its own.
 *
 *     :method GET  :path /a?x  :authority a.test          GET /a?x HTTP/1.1\r\n
 *     cookie a=1   accept *    cookie b=2          ──►    host: a.test\r\n
 *                                                         cookie: a=1; b=2\r\n
 *                                                         accept: *\r\n\r\n
 *
 * The fields that a peer sent are checked one by one and laid out as the text that HTTP/1.1 would
 * have had; h1_parse_request() then reads that. So path, authority, framing and limits are judged
 * by the code that judges HTTP/1.1, and neither the router nor a policy, a retry or the log knows
 * the difference. What could break out of the text (S09) never gets into it: names are tokens in
 * lower case, values have no controls, pseudo fields have no blanks either.
 *
 * Malformed (8.1.1), each with a test in tests/unit/h2_head_test.c:
 *   - an empty name, one with a capital or a byte that is no tchar, a value with a control or with
 *     blanks at its ends (8.2.1)
 *   - Connection, Proxy-Connection, Keep-Alive, Transfer-Encoding, Upgrade; a TE that is not
 *     "trailers" (8.2.2)
 *   - a pseudo field that is unknown, stands twice, stands behind a field, or is in trailers (8.3)
 *   - an answer without :status, or with one that is not three digits from 100 to 599 (8.3.2)
 *   - a request without :method, :scheme or :path, or with one of them or :authority empty; a
 *     :path that does not begin with '/', but for OPTIONS *; CONNECT with :scheme or :path or
 *     without :authority; a :scheme other than http and https; a Host that differs from
 *     :authority; neither of the two (8.3.1)
 *
 *   - :protocol without CONNECT, or another one than websocket; with it, a field about a body
 *
 * Crumbs of a cookie are joined (8.2.3). CONNECT with :protocol websocket (RFC 8441) becomes the
 * GET with Upgrade that it stands for, without a body: the DATA behind it is the tunnel's.
 */
#ifndef SLUICE_PROXY_HTTP_H2_HEAD_H
#define SLUICE_PROXY_HTTP_H2_HEAD_H

#include "lib/hash.h"
#include "proxy/http/head.h"

#include <nghttp2/nghttp2.h>

enum h2_head_got {
    H2_HEAD_OK,
    H2_HEAD_FULL, /* nothing was taken: give a larger room (h2_head_move) and call again */
};

struct h2_part {
    uint32_t at, n; /* n == 0: not there */
};

struct h2_head {       /* zero it for each head, then set room, cap and prng */
    struct prng *prng; /* for the key of a tunnel's handshake */
    char *room;
    uint32_t n, cap;
    bool trailers;     /* set by the caller: only fields, whose lines are the text */
    bool response;     /* set by the caller: the head of an answer */
    bool too_large;    /* more than the limits allow; further fields are let go */
    const char *fault; /* malformed, in words (a constant); further fields are let go */
    uint32_t text;     /* where the text begins, once there was a field */
    uint32_t cookie;   /* end of the cookie's value; 0: none yet */
    uint16_t n_fields; /* without crumbs */
    uint16_t n_crumbs;
    uint64_t heard; /* bytes of names and values, whatever became of them */
    bool open;      /* the request line is written: no pseudo field may follow */
    bool has_host, has_length;
    struct h2_part method, scheme, path, authority, protocol, status; /* in room, before text */
};

/* The next field, as HPACK gave it. */
enum h2_head_got h2_head_field(struct h2_head *b, struct str name, struct str value,
                               const struct head_limits *l);
/* The block is complete. ended: no body follows, which the text of a request says; that of an
 * answer says only what its fields say. With OK and neither fault nor too_large, *text is the head
 * (of trailers: the lines alone). */
enum h2_head_got h2_head_end(struct h2_head *b, bool ended, struct str *text);
/* All of it is in a larger room now; the old one is the caller's again. */
void h2_head_move(struct h2_head *b, char *room, uint32_t cap);

/* Fields of heads that we wrote ourselves as HTTP/1.1 text, for nghttp2: borrowed from text, whose
 * names are put into lower case. What only HTTP/1.1 says (Connection, Transfer-Encoding,
 * Upgrade) is left out. The count; 0: more than max.
 *
 * Of an answer: *status as a number; 101 becomes 200. Of a request: the Host is its :authority. */
size_t h2_answer_fields(char *text, size_t n, nghttp2_nv *to, size_t max, unsigned *status);
size_t h2_request_fields(char *text, size_t n, struct str scheme, nghttp2_nv *to, size_t max);
/* The same of lines without a start line and an empty one: trailers. */
size_t h2_trailer_fields(char *lines, size_t n, nghttp2_nv *to, size_t max);

#endif
