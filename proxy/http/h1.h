/* SPDX-License-Identifier: Apache-2.0
 *
 * h1: HTTP/1.x as a codec: bytes in, head and body pieces out, and back (RFC 9112). No sockets, no
 * memory of its own, so it can be tested and fuzzed byte by byte.
 *
 * Strict: what RFC 9112 lets a lenient parser accept is refused (bare LF, obs-fold, space before
 * the colon, both framings, any doubt about Transfer-Encoding or Content-Length): S01-S07, S10, S11.
 * Nothing that was received is forwarded as it came: the writers below write from the parsed head.
 */
#ifndef SLUICE_PROXY_HTTP_H1_H
#define SLUICE_PROXY_HTTP_H1_H

#include "lib/out.h"
#include "proxy/http/head.h"

enum h1 {
    H1_DONE, /* the head is complete: h->n bytes of it */
    H1_MORE, /* more bytes are needed */
    H1_BAD,  /* refused: *reason says why, *detail in words (a constant string) */
};

/* Where the search for the end of the head stands, so that a dripping client costs O(bytes). Zero
 * it for each message. */
struct h1_scan {
    uint32_t seen;
};

/* p[0..n) starts with the message. At most one empty line before a request line is skipped (RFC
 * 9112 2.2); *skipped says how many bytes of them precede the head (h->base is behind them).
 * A request's Host is checked against RFC 3986 authority (S10); absolute-form must agree with it;
 * asterisk-form only with OPTIONS; CONNECT is refused. Fields named by Connection and all
 * hop-by-hop ones are marked dropped; names with an underscore are refused... as are empty names,
 * controls in values, a second Host, Content-Length or Transfer-Encoding. */
enum h1 h1_parse_request(struct h1_scan *s, const char *p, size_t n, const struct head_limits *l,
                         struct head *h, size_t *skipped, enum reason *reason, const char **detail);

/* request_method: that of the request that is answered (HEAD and CONNECT have no body). A 1xx head
 * is DONE like any other with FRAMING_NONE; the caller goes on reading. Reasons: BAD_RESPONSE,
 * RESPONSE_TOO_LARGE. Underscores are fine here. */
enum h1 h1_parse_response(struct h1_scan *s, const char *p, size_t n, const struct head_limits *l,
                          enum method request_method, struct head *h, enum reason *reason,
                          const char **detail);

/* ---- body ---- */

struct h1_body {
    uint8_t framing;   /* enum framing */
    uint8_t state;     /* of the chunk parser */
    uint8_t digits;    /* of the chunk size so far */
    bool done;
    uint16_t ext;      /* bytes of chunk extensions so far in this message: at most 256 (S04) */
    uint16_t trailer;  /* bytes of trailers so far: at most 8 KiB; dropped (S12) */
    uint64_t left;     /* of the length, or of the chunk */
    uint64_t total;    /* body bytes so far */
};

void h1_body_init(struct h1_body *b, const struct head *h);

/* Looks at p[0..n): *eat bytes are to be consumed; of them piece is body data (may be empty; it is
 * the last part of what is eaten). DONE: the body is complete (piece may still hold bytes); MORE:
 * eat, forward piece, call again with what follows; BAD: framing error. */
enum h1 h1_body_next(struct h1_body *b, const char *p, size_t n, size_t *eat, struct str *piece);
/* The connection ended: true if that is a complete body (FRAMING_CLOSE), false if it was cut. */
bool h1_body_eof(struct h1_body *b);

/* Chunk framing around a piece of n > 0 bytes: the line before it into room (≤ 18 bytes, returns its
 * length); after it "\r\n". The end of the body is "0\r\n\r\n". */
enum { H1_CHUNK_LINE = 18 };
size_t h1_chunk_line(char room[H1_CHUNK_LINE], size_t n);

#endif
