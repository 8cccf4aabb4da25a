/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/str.h"

#include "lib/mem.h"

/* Of the eight: adding carries a byte into its high bit, from 'A' on the one way and from behind
 * 'Z' on the other; that bit, two places to the right, is what a small letter has more. */
static inline void lower_8(char *to, const char *from) {
    uint64_t v, low, upper;
    memcpy(&v, from, 8);
    low = v & UINT64_C(0x7f7f7f7f7f7f7f7f);
    upper = (low + UINT64_C(0x3f3f3f3f3f3f3f3f)) & ~(low + UINT64_C(0x2525252525252525)) & ~v;
    v |= (upper & UINT64_C(0x8080808080808080)) >> 2;
    memcpy(to, &v, 8);
}

void str_lower(char *to, struct str s) {
    size_t i = 0;
    if (s.n >= 8) {
        for (; s.n - i > 8; i += 8)
            lower_8(to + i, s.p + i);
        lower_8(to + s.n - 8, s.p + s.n - 8); /* some bytes again */
        return;
    }
    for (; i < s.n; i++)
        to[i] = char_lower(s.p[i]);
}

/* Of eight bytes at once: 0x20 is set where 'A' to 'Z' stands. */
static inline uint64_t lower8(uint64_t x) {
    const uint64_t ones = 0x0101010101010101ULL, seven = x & (0x7f * ones);
    uint64_t from_a = seven + (0x80 - 'A') * ones, past_z = seven + (0x7f - 'Z') * ones;
    return x | ((from_a & ~past_z & ~x & (0x80 * ones)) >> 2);
}

bool str_eq_nocase(struct str a, struct str b) {
    size_t i = 0;
    if (a.n != b.n)
        return false;
    for (; i + 8 <= a.n; i += 8) {
        uint64_t x, y;
        memcpy(&x, a.p + i, 8);
        memcpy(&y, b.p + i, 8);
        if (x != y && lower8(x) != lower8(y))
            return false;
    }
    for (; i < a.n; i++)
        if (char_lower(a.p[i]) != char_lower(b.p[i]))
            return false;
    return true;
}

int str_cmp(struct str a, struct str b) {
    size_t n = size_min(a.n, b.n);
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
    if (c != 0)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

size_t str_find(struct str s, char c, size_t from) {
    if (from >= s.n)
        return s.n;
    const char *at = memchr(s.p + from, c, s.n - from);
    return at ? (size_t)(at - s.p) : s.n;
}

bool str_has(struct str s, struct str part) {
    return part.n == 0 || (s.n >= part.n && memmem(s.p, s.n, part.p, part.n) != NULL);
}

struct str str_cut(struct str s, char sep, struct str *head) {
    size_t at = str_find(s, sep, 0);
    *head = str_mk(s.p, at);
    return at == s.n ? STR_NONE : str_skip(s, at + 1);
}

struct str str_trim(struct str s) {
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_skip(s, 1);
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

size_t str_utf8(struct str s) {
    const unsigned char *p = (const unsigned char *)s.p;
    if (s.n == 0)
        return 0;
    unsigned c = p[0];
    size_t len = c < 0x80                ? 1
                 : c >= 0xc2 && c < 0xe0 ? 2
                 : c >= 0xe0 && c < 0xf0 ? 3
                 : c >= 0xf0 && c < 0xf5 ? 4
                                         : 0;
    if (len == 0 || len > s.n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *value) {
    if (s.n == 0 || s.n > 20)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)digit, &v))
            return false;
    }
    if (v > max)
        return false;
    *value = v;
    return true;
}

char *str_dup(struct str s) { return mem_dup(s.p, s.n); }
