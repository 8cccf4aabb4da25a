/* SPDX-License-Identifier: Apache-2.0
 *
 * h1: HTTP/1.x as a codec: bytes in, head and body pieces out, and back (RFC 9112). No sockets, no
 * memory of its own, so it can be tested and fuzzed byte by byte.
 *
 * Strict: what RFC 9112 lets a lenient parser accept is refused (bare LF, obs-fold, space before
 * the colon, both framings, any doubt about Transfer-Encoding or Content-Length): S01-S07, S10,
 * S11. Nothing that was received is forwarded as it came: the writers below write from the parsed
 * head.
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

/* p[0..n) starts with the message. MORE leaves the bytes where they are: call again with the same
 * start and more behind it. After DONE the head is p[*skipped .. *skipped + h->n).
 *
 *   - at most one empty line before a request line is skipped (RFC 9112 2.2): *skipped bytes, and
 *     h->base is behind them
 *   - one space between the words of the request line; the method is at most 24 token bytes, case
 *     kept (`get` is METHOD_OTHER); CONNECT is refused; the version is HTTP/1.1 or
 *     HTTP/1.0 and nothing else
 *   - the target has no '#', no controls, no space, nothing above 0x7e. Origin-form; absolute-form
 *     with http or https, whose authority must equal Host (raw_path is "/" when it has none);
 *     asterisk-form with OPTIONS only (raw_path is "*")
 *   - Host: exactly one in HTTP/1.1, at most one in HTTP/1.0, an authority as authority.h says; an
 *     empty one is refused (S10). An HTTP/1.0 head without any has host.n == 0
 *   - framing (S01-S03): at most one Transfer-Encoding, which is "chunked", in HTTP/1.1 only; at
 *     most one Content-Length of 1 to 20 digits up to 2^63-1, equal duplicates refused too; never
 *     both. Authorization and Expect may not repeat; Expect is "100-continue" or refused
 *   - refused as well: folded lines, an empty name, blanks before the colon, any control but a tab
 *     in a value, a line end other than CR LF, more than 16 names in Connection
 *   - dropped: hop-by-hop fields, those that Connection names (but for the pinned ones, token.h),
 *     and fields with '_' in the name, which a CGI-like backend would take for others (S32)
 *
 * A head that cannot become valid any more may be refused before it is complete. Reasons:
 * BAD_REQUEST, HEADER_TOO_LARGE. */
enum h1 h1_parse_request(struct h1_scan *s, const char *p, size_t n, const struct head_limits *l,
                         struct head *h, size_t *skipped, enum reason *reason, const char **detail);

/* The same grammar and strictness (S11), but underscores are fine, and the space before an empty
 * reason phrase may be missing. request_method is that of the request that is answered: HEAD has no
 * body. The status is within 100..599. 1xx, 204, 304 and answers to HEAD are FRAMING_NONE; their
 * Content-Length stays as a field (1xx, 204: dropped). A 1xx head, 101 too, is DONE like any other:
 * the caller goes on reading. Reasons: BAD_RESPONSE, RESPONSE_TOO_LARGE. */
enum h1 h1_parse_response(struct h1_scan *s, const char *p, size_t n, const struct head_limits *l,
                          enum method request_method, struct head *h, enum reason *reason,
                          const char **detail);

/* ---- body ---- */

struct h1_body {
    uint8_t framing; /* enum framing */
    uint8_t state;   /* of the chunk parser */
    uint8_t digits;  /* of the chunk size so far */
    bool done;
    uint16_t ext;     /* bytes of chunk extensions so far in this message: at most 256 (S04) */
    uint16_t trailer; /* bytes of trailers so far: at most 8 KiB; dropped (S12) */
    uint64_t left;    /* of the length, or of the chunk */
    uint64_t total;   /* body bytes so far */
};

void h1_body_init(struct h1_body *b, const struct head *h);

/* Chunks are "size [;extension] CR LF data CR LF": hexadecimal, 1 to 16 digits, nothing before them
 * and only blanks before the ';', CR LF everywhere (S04). Trailers must be field lines.
 *
 * Looks at p[0..n): *eat bytes are to be consumed; of them piece is body data (may be empty; it is
 * the last part of what is eaten). DONE: the body is complete (piece may still hold bytes); MORE:
 * eat, forward piece, call again with what follows; BAD: framing error. */
enum h1 h1_body_next(struct h1_body *b, const char *p, size_t n, size_t *eat, struct str *piece);
/* The connection ended: true if that is a complete body (FRAMING_CLOSE), false if it was cut. */
bool h1_body_eof(struct h1_body *b);

/* Chunk framing around a piece of n > 0 bytes: the line before it into room (≤ 18 bytes, returns
 * its length); after it "\r\n". The end of the body is "0\r\n\r\n". */
enum { H1_CHUNK_LINE = 18 };
size_t h1_chunk_line(char room[H1_CHUNK_LINE], size_t n);

#endif
