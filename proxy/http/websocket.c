/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/websocket.h"

#include <openssl/evp.h>

enum { FIN = 0x80, MASK = 0x80, CONTROL = 8, CLOSE = 8, PONG = 10, CONTROL_MAX = 125 };

/* ---- frames ---- */

/* Of the frame whose first two bytes are there. */
static size_t head_size(const struct frames *f) {
    unsigned length = f->head[1] & 0x7fU;
    return 2U + (length == 126 ? 2U : length == 127 ? 8U : 0U) + (f->head[1] & MASK ? 4U : 0U);
}

static uint64_t payload_of(const struct frames *f) {
    unsigned length = f->head[1] & 0x7fU, bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    uint64_t n = bytes == 0 ? length : 0;
    for (unsigned i = 0; i < bytes; i++)
        n = n << 8 | f->head[2 + i];
    return n;
}

/* RFC 6455 5.2, 5.4, 5.5: the shortest form of the length, the mask of its direction, known
 * opcodes, control frames that are short and whole, continuations where a message is open. */
static bool is_sound(const struct frames *f, uint64_t n) {
    unsigned opcode = f->head[0] & 0x0fU, length = f->head[1] & 0x7fU;
    bool fin = (f->head[0] & FIN) != 0;
    if (((f->head[1] & MASK) != 0) != f->masked)
        return false;
    if ((length == 126 && n < 126) || (length == 127 && (n <= UINT16_MAX || n > INT64_MAX)))
        return false;
    if (opcode >= CONTROL)
        return opcode <= PONG && fin && n <= CONTROL_MAX;
    return opcode <= 2 && (opcode == 0) == f->open;
}

static void begin(struct frames *f) {
    uint64_t n = payload_of(f);
    unsigned opcode = f->head[0] & 0x0fU;
    f->lost = !is_sound(f, n);
    if (opcode < CONTROL)
        f->open = (f->head[0] & FIN) == 0;
    f->closing = opcode == CLOSE;
    f->left = n;
    f->n = 0;
}

size_t frames_pass(struct frames *f, struct str bytes, bool stop) {
    size_t at = 0;
    while (at < bytes.n && !f->lost && !f->closed) {
        if (f->left > 0) {
            size_t n = size_min(f->left < SIZE_MAX ? (size_t)f->left : SIZE_MAX, bytes.n - at);
            f->left -= n;
            at += n;
        } else {
            f->head[f->n++] = (uint8_t)bytes.p[at++];
            if (f->n < 2 || f->n < head_size(f))
                continue;
            begin(f);
        }
        if (f->left > 0 || f->lost)
            continue;
        f->closed = f->closing;
        if (stop)
            return at;
    }
    return bytes.n;
}

size_t frame_bye(char room[FRAME_BYE_MAX], bool masked, uint32_t mask) {
    static const char code[2] = {0x03, (char)0xe9}; /* 1001 */
    char *at = room;
    *at++ = (char)(FIN | CLOSE);
    *at++ = (char)(2 | (masked ? MASK : 0));
    if (masked) {
        memcpy(at, &mask, 4);
        at[4] = (char)(code[0] ^ at[0]);
        at[5] = (char)(code[1] ^ at[1]);
        return 8;
    }
    memcpy(at, code, 2);
    return 4;
}

/* ---- the handshake ---- */

static void encode(const unsigned char *p, int n, char *room, size_t out) {
    unsigned char text[WEBSOCKET_ACCEPT + 1]; /* EVP_EncodeBlock ends it with a NUL */
    must((size_t)EVP_EncodeBlock(text, p, n) == out);
    memcpy(room, text, out);
}

void websocket_key(struct prng *r, char room[WEBSOCKET_KEY]) {
    uint64_t nonce[2] = {prng_next(r), prng_next(r)};
    encode((const unsigned char *)nonce, sizeof(nonce), room, WEBSOCKET_KEY);
}

bool websocket_accepts(struct str key, struct str accept) {
    static const struct str guid = {"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36};
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char text[WEBSOCKET_ACCEPT], both[WEBSOCKET_KEY + 36];
    if (key.n != WEBSOCKET_KEY)
        return false;
    memcpy(both, key.p, key.n);
    memcpy(both + key.n, guid.p, guid.n);
    if (EVP_Digest(both, sizeof(both), sum, &n, EVP_sha1(), NULL) != 1 || n != 20)
        return false;
    encode(sum, 20, text, sizeof(text));
    return str_eq(accept, str_mk(text, sizeof(text)));
}
