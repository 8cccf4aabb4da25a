/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base64.h"

static int digit(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct str text, char *room, size_t *n) {
    size_t at = 0, digits = 0, pads = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\n' || c == '\r')
            continue;
        if (c == '=') {
            pads++;
            continue;
        }
        int v = digit(c);
        if (v < 0 || pads > 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        if (digits++ % 4 != 0)
            room[at++] = (char)(bits >> (6 - 2 * ((digits - 1) % 4)));
    }
    if (pads > 2 || (digits + pads) % 4 != 0)
        return false;
    if ((bits & ((1U << 2 * pads) - 1)) != 0) /* two bits for each '=' */
        return false;
    room[at] = 0;
    *n = at;
    return true;
}
