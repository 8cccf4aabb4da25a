/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base64url.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* A letter's number, marked; 0: it is no letter. */
#define Y 0x80
/* clang-format off */
static const uint8_t numbers[256] = {
    ['A'] = Y|0, Y|1, Y|2, Y|3, Y|4, Y|5, Y|6, Y|7, Y|8, Y|9, Y|10, Y|11, Y|12, Y|13, Y|14,
    Y|15, Y|16, Y|17, Y|18, Y|19, Y|20, Y|21, Y|22, Y|23, Y|24, Y|25,
    ['a'] = Y|26, Y|27, Y|28, Y|29, Y|30, Y|31, Y|32, Y|33, Y|34, Y|35, Y|36, Y|37, Y|38, Y|39,
    Y|40, Y|41, Y|42, Y|43, Y|44, Y|45, Y|46, Y|47, Y|48, Y|49, Y|50, Y|51,
    ['0'] = Y|52, Y|53, Y|54, Y|55, Y|56, Y|57, Y|58, Y|59, Y|60, Y|61,
    ['-'] = Y|62,
    ['_'] = Y|63,
};
/* clang-format on */

static uint32_t number(struct str text, size_t at) { return numbers[(unsigned char)text.p[at]]; }

/* Of one to three letters behind the last four. */
static char *decode_rest(struct str rest, char *to, uint32_t *marks) {
    uint32_t v = 0;
    for (size_t i = 0; i < rest.n; i++) {
        *marks &= number(rest, i);
        v = v << 6 | (number(rest, i) ^ Y);
    }
    unsigned spare = rest.n == 2 ? 4 : 2;
    if (rest.n == 1 || (v & ((1U << spare) - 1)) != 0)
        *marks = 0;
    v >>= spare;
    if (rest.n == 3)
        *to++ = (char)(v >> 8);
    *to++ = (char)v;
    return to;
}

bool base64url_decode(struct str text, char *room, size_t *n) {
    const uint32_t all = Y << 18 | Y << 12 | Y << 6 | Y;
    uint32_t marks = Y;
    char *to = room;
    for (; text.n >= 4; text = str_skip(text, 4)) {
        uint32_t a = number(text, 0), b = number(text, 1), c = number(text, 2), d = number(text, 3),
                 v = (a << 18 ^ b << 12 ^ c << 6 ^ d) ^ all;
        marks &= a & b & c & d;
        *to++ = (char)(v >> 16);
        *to++ = (char)(v >> 8);
        *to++ = (char)v;
    }
    if (text.n > 0)
        to = decode_rest(text, to, &marks);
    *n = (size_t)(to - room);
    return marks != 0;
}

void base64url_put(struct out *to, const void *p, size_t n) {
    const unsigned char *from = p;
    for (; n >= 3; from += 3, n -= 3) {
        uint32_t v = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        const char four[4] = {letters[v >> 18], letters[v >> 12 & 63], letters[v >> 6 & 63],
                              letters[v & 63]};
        out_bytes(to, four, 4);
    }
    if (n == 0)
        return;
    uint32_t v = (uint32_t)from[0] << 16 | (n == 2 ? (uint32_t)from[1] << 8 : 0);
    const char rest[3] = {letters[v >> 18], letters[v >> 12 & 63], letters[v >> 6 & 63]};
    out_bytes(to, rest, n + 1);
}
