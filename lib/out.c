/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/out.h"

#include "lib/digits.h"
#include "lib/mem.h"

#include <stdarg.h>
#include <stdio.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

void out_fini(struct out *o) {
    if (o->max > 0)
        mem_free(o->p);
    *o = (struct out){0};
}

char *out_take_slow(struct out *o, size_t n) {
    if (o->over || o->max == 0 || n > o->max - o->n) {
        o->over = true;
        return NULL;
    }
    if (n > o->cap - o->n) {
        size_t cap = size_max(size_min(o->cap * 2, o->max), size_max(o->n + n, 256));
        o->p = mem_realloc(o->p, cap);
        o->cap = cap;
    }
    char *at = o->p + o->n;
    o->n += n;
    return at;
}

void out_u64(struct out *o, uint64_t v) {
    if (likely(!o->over && o->cap - o->n >= DIGITS_U64)) {
        o->n = (size_t)(digits_u64(o->p + o->n, v) - o->p);
        return;
    }
    char room[DIGITS_U64];
    out_bytes(o, room, (size_t)(digits_u64(room, v) - room));
}

void out_i64(struct out *o, int64_t v) {
    if (v < 0)
        out_char(o, '-');
    out_u64(o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void out_hex(struct out *o, uint64_t v, unsigned digits) {
    must(digits >= 1 && digits <= 16);
    char *at = out_take(o, digits);
    if (!at)
        return;
    for (unsigned i = digits; i-- > 0; v >>= 4)
        at[i] = "0123456789abcdef"[v & 15];
}

void out_fmt(struct out *o, const char *fmt, ...) {
    char room[1024];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(room, sizeof(room), fmt, args);
    va_end(args);
    must(n >= 0);
    if ((size_t)n < sizeof(room)) {
        out_bytes(o, room, (size_t)n);
    } else {
        char *big = mem_alloc((size_t)n + 1);
        int m = vsnprintf(big, (size_t)n + 1, fmt, again);
        must(m == n);
        out_bytes(o, big, (size_t)n);
        mem_free(big);
    }
    va_end(again);
}

/* Where the bytes from p[at] on end that stand in a JSON string as they are. */
static size_t json_plain(const unsigned char *p, size_t at, size_t n) {
#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f);
    const __m128i quote = _mm_set1_epi8('"'), back = _mm_set1_epi8('\\');
    for (; n - at >= 16; at += 16) {
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
        __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(b, del),
                                   _mm_or_si128(_mm_cmpeq_epi8(b, quote), _mm_cmpeq_epi8(b, back)));
        __m128i good = _mm_andnot_si128(odd, _mm_cmpgt_epi8(b, space)); /* signed: 0x20..0x7f */
        unsigned bad = (unsigned)_mm_movemask_epi8(good) ^ 0xffffU;
        if (bad != 0)
            return at + (size_t)__builtin_ctz(bad);
    }
#endif
    while (at < n && p[at] >= 0x20 && p[at] < 0x7f && p[at] != '"' && p[at] != '\\')
        at++;
    return at;
}

void out_json(struct out *o, struct str s) {
    const unsigned char *p = (const unsigned char *)s.p;
    out_char(o, '"');
    size_t i = 0;
    while (i < s.n) {
        size_t plain = json_plain(p, i, s.n);
        out_bytes(o, p + i, plain - i);
        i = plain;
        if (i == s.n)
            break;
        unsigned char c = p[i];
        if (c == '"' || c == '\\') {
            out_char(o, '\\');
            out_char(o, (char)c);
            i++;
        } else if (c == '\n') {
            out_lit(o, "\\n");
            i++;
        } else if (c == '\t') {
            out_lit(o, "\\t");
            i++;
        } else if (c < 0x20 || c == 0x7f) {
            out_lit(o, "\\u00");
            out_hex(o, c, 2);
            i++;
        } else {
            size_t len = str_utf8(str_skip(s, i));
            if (len > 0)
                out_bytes(o, p + i, len);
            else
                out_lit(o, "\xef\xbf\xbd");
            i += len > 0 ? len : 1;
        }
    }
    out_char(o, '"');
}
