/* SPDX-License-Identifier: Apache-2.0
 *
 * chars: which bytes may stand where, and the scans that walk over them. One table, one byte a
 * character; the scans take sixteen bytes at a step where SSE2 is there, and never read at or
 * behind `end`.
 */
#ifndef SLUICE_LIB_CHARS_H
#define SLUICE_LIB_CHARS_H

#include "lib/base.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum chars {
    CHAR_TOKEN = 1,      /* tchar, RFC 9110 5.6.2 */
    CHAR_VALUE = 2,      /* field content: VCHAR, SP, HTAB, obs-text (RFC 9110 5.5) */
    CHAR_TARGET = 4,     /* of a request target: 0x21..0x7e but '#' and '?' */
    CHAR_HOST = 8,       /* unreserved, RFC 3986 2.3 */
    CHAR_HEX = 16,       /* HEXDIG, both cases */
    CHAR_PLAIN_PATH = 32 /* of a path, and says nothing about its structure: not '%' ';' '.' '\' */
};
extern const uint8_t chars[256]; /* bits of enum chars */

static inline bool char_is(char c, enum chars what) {
    return (chars[(unsigned char)c] & what) != 0;
}
/* 0..15; c is a CHAR_HEX. */
static inline unsigned char_hex(char c) {
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* The first byte in p..end that is not `what`, or end. */
static inline const char *chars_skip(const char *p, const char *end, enum chars what) {
    for (; end - p >= 4; p += 4) {
        if (!char_is(p[0], what))
            return p;
        if (!char_is(p[1], what))
            return p + 1;
        if (!char_is(p[2], what))
            return p + 2;
        if (!char_is(p[3], what))
            return p + 3;
    }
    while (p < end && char_is(*p, what))
        p++;
    return p;
}

/* The first c in p..end, or end. */
static inline const char *chars_find(const char *p, const char *end, char c) {
#ifdef __SSE2__
    const __m128i want = _mm_set1_epi8(c);
    for (; end - p >= 16; p += 16) {
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
        unsigned hit = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(b, want));
        if (hit != 0)
            return p + __builtin_ctz(hit);
    }
#endif
    while (p < end && *p != c)
        p++;
    return p;
}

/* The first byte in p..end that is not CHAR_VALUE, or end. */
static inline const char *chars_value(const char *p, const char *end) {
#ifdef __SSE2__
    const __m128i last_control = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f),
                  tab = _mm_set1_epi8('\t');
    for (; end - p >= 16; p += 16) {
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(b, last_control), b);
        __m128i bad =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(b, tab), control), _mm_cmpeq_epi8(b, del));
        unsigned hit = (unsigned)_mm_movemask_epi8(bad);
        if (hit != 0)
            return p + __builtin_ctz(hit);
    }
#endif
    return chars_skip(p, end, CHAR_VALUE);
}

/* The first byte in p..end that is not CHAR_TARGET, or end. */
static inline const char *chars_target(const char *p, const char *end) {
#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(0x20), del = _mm_set1_epi8(0x7f),
                  sharp = _mm_set1_epi8('#'), question = _mm_set1_epi8('?');
    for (; end - p >= 16; p += 16) {
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i good = _mm_cmpgt_epi8(b, space); /* signed: 0x21..0x7f */
        __m128i bad =
            _mm_or_si128(_mm_cmpeq_epi8(b, del),
                         _mm_or_si128(_mm_cmpeq_epi8(b, sharp), _mm_cmpeq_epi8(b, question)));
        unsigned hit = (unsigned)_mm_movemask_epi8(_mm_andnot_si128(bad, good)) ^ 0xffffU;
        if (hit != 0)
            return p + __builtin_ctz(hit);
    }
#endif
    return chars_skip(p, end, CHAR_TARGET);
}

/* Behind the first LF CR LF in p..end (the end of a head), or NULL. */
static inline const char *chars_empty_line(const char *p, const char *end) {
#ifdef __SSE2__
    const __m128i lf = _mm_set1_epi8('\n');
    /* The last step looks at some bytes again: a head mostly ends at `end`. */
    for (const char *last = end - 18; end - p >= 18; p = last - p > 16 ? p + 16 : last) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(p + 2));
        unsigned hit = (unsigned)_mm_movemask_epi8(
            _mm_and_si128(_mm_cmpeq_epi8(a, lf), _mm_cmpeq_epi8(c, lf)));
        for (; hit != 0; hit &= hit - 1) {
            const char *at = p + __builtin_ctz(hit);
            if (at[1] == '\r')
                return at + 3;
        }
        if (p == last)
            return NULL;
    }
#endif
    for (; end - p >= 3; p++)
        if (p[0] == '\n' && p[1] == '\r' && p[2] == '\n')
            return p + 3;
    return NULL;
}

#endif
