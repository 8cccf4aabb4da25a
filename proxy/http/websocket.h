/* SPDX-License-Identifier: Apache-2.0
 *
 * websocket: what a gateway must know of RFC 6455: where a frame ends, how one says goodbye, and
 * the handshake's key, where a client of HTTP/2 brings none (RFC 8441 5).
 *
 * Payloads are not looked at. The bytes of one direction are followed frame by frame:
 *
 *     ... payload][ 2 | length 0, 2 or 8 | mask 0 or 4 ][payload ............][ 2 | ...
 *                 ▲ a boundary: here, and only here, a frame of our own may stand
 *
 * Strict, since a boundary that is none would let our frame end in the middle of somebody's
 * message: whatever RFC 6455 5.2 and 5.5 forbid makes the direction *lost*, and nothing of ours is
 * put there any more. It goes on as bytes. RSV bits are the extensions' (permessage-deflate), and
 * pass.
 */
#ifndef SLUICE_PROXY_HTTP_WEBSOCKET_H
#define SLUICE_PROXY_HTTP_WEBSOCKET_H

#include "lib/hash.h"

struct frames {       /* one direction; zero it, and set masked */
    uint64_t left;    /* of the payload */
    uint8_t head[14]; /* of the frame that begins: n bytes of it */
    uint8_t n;
    bool masked;  /* of a client: all are; of a server: none is */
    bool open;    /* a message has begun and goes on in further frames */
    bool closing; /* the frame is a Close */
    bool closed;  /* one was there, whole: nothing follows it */
    bool lost;    /* not WebSocket: where frames end is not known any more */
};

/* Looks at what passes. stop: only up to the next boundary, at least one byte. How many bytes it
 * has looked at: all of them but for `stop`. */
size_t frames_pass(struct frames *f, struct str bytes, bool stop);
/* Between two frames, and another one may stand here. */
static inline bool frames_between(const struct frames *f) {
    return f->n == 0 && f->left == 0 && !f->lost && !f->closed;
}

/* A Close with 1001, Going Away. Returns its length; masked: for a server, with that mask. */
enum { FRAME_BYE_MAX = 8 };
size_t frame_bye(char room[FRAME_BYE_MAX], bool masked, uint32_t mask);

/* Sec-WebSocket-Key: 16 bytes, in base64. */
enum { WEBSOCKET_KEY = 24, WEBSOCKET_ACCEPT = 28 };
void websocket_key(struct prng *r, char room[WEBSOCKET_KEY]);
/* Whether Sec-WebSocket-Accept is the answer to that key (RFC 6455 4.2.2). */
bool websocket_accepts(struct str key, struct str accept);

#endif
