/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base64.h"

enum { FIRST = '+', LAST = 'z', NO = -1 };

/* From '+' to 'z'. */
static int digit(char c) {
    static const signed char values[LAST - FIRST + 1] = {
        62, NO, NO, NO, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO,
        NO, NO, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17,
        18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, NO, NO, 26, 27, 28, 29, 30, 31,
        32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51};
    unsigned at = (unsigned char)c - (unsigned)FIRST;
    return at < ARRAY_LEN(values) ? values[at] : NO;
}

static bool add_pad(struct base64 *b) {
    unsigned left_over = (1U << 2 * (4U - b->digits)) - 1; /* two bits for each '=' */
    if (b->digits < 2 || (b->bits & left_over) != 0)
        return false;
    b->pads++;
    if (b->digits + b->pads == 4) {
        b->digits = b->pads = 0;
        b->ended = true;
    }
    return true;
}

static bool add_digit(struct base64 *b, char c, char *to, size_t *at) {
    int v = digit(c);
    if (v < 0 || b->pads > 0 || (b->single && b->ended))
        return false;
    b->bits = b->bits << 6 | (uint32_t)v;
    if (b->digits > 0)
        to[(*at)++] = (char)(b->bits >> (6 - 2 * b->digits));
    b->digits = (uint8_t)((b->digits + 1) % 4);
    return true;
}

/* Four digits at once; false: they are not four, or not digits. */
static bool add_four(const char *p, char *to) {
    int a = digit(p[0]), b = digit(p[1]), c = digit(p[2]), d = digit(p[3]);
    if ((a | b | c | d) < 0)
        return false;
    to[0] = (char)(a << 2 | b >> 4);
    to[1] = (char)(b << 4 | c >> 2);
    to[2] = (char)(c << 6 | d);
    return true;
}

bool base64_more(struct base64 *b, struct str text, char *to, size_t *n) {
    size_t at = 0;
    for (size_t i = 0; i < text.n;) {
        bool runs = base64_complete(b) && !(b->single && b->ended);
        if (runs && text.n - i >= 4 && add_four(text.p + i, to + at)) {
            at += 3;
            i += 4;
            continue;
        }
        char c = text.p[i++];
        if (c == '\n' || c == '\r')
            continue;
        if (c == '=' ? !add_pad(b) : !add_digit(b, c, to, &at))
            return false;
    }
    *n = at;
    return true;
}

bool base64_decode(struct str text, char *room, size_t *n) {
    struct base64 b = {.single = true};
    if (!base64_more(&b, text, room, n) || !base64_complete(&b))
        return false;
    room[*n] = 0;
    return true;
}
