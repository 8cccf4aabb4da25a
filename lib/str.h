/* SPDX-License-Identifier: Apache-2.0
 *
 * str: a pointer and a length. Never NUL-terminated unless a function says so, never owned: a
 * struct str borrows from whoever holds the bytes.
 */
#ifndef SLUICE_LIB_STR_H
#define SLUICE_LIB_STR_H

#include "lib/base.h"

#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_NONE     ((struct str){NULL, 0})
/* For printf: "%.*s", STR_FMT(s) */
#define STR_FMT(s)   (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_of(const char *c) { return (struct str){c, c ? strlen(c) : 0}; }
static inline struct str str_mk(const char *p, size_t n) { return (struct str){p, n}; }

static inline bool str_eq(struct str a, struct str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_starts(struct str s, struct str prefix) {
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
static inline bool str_ends(struct str s, struct str suffix) {
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}
/* s without its first n bytes; n must not exceed s.n. */
static inline struct str str_skip(struct str s, size_t n) {
    debug_must(n <= s.n);
    return (struct str){s.p + n, s.n - n};
}

static inline char char_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

void str_lower(char *to, struct str s);         /* to[s.n], which is not s; ASCII only */
bool str_eq_nocase(struct str a, struct str b); /* ASCII case only */
int str_cmp(struct str a, struct str b);        /* bytes, then length: <0, 0, >0 */
/* Index of the first c at or after from, or s.n. */
size_t str_find(struct str s, char c, size_t from);
bool str_has(struct str s, struct str part);
/* Cuts at the first sep: *head is before it, the rest after it is returned. Without sep: *head is
 * all of s and the rest is STR_NONE (p == NULL). */
struct str str_cut(struct str s, char sep, struct str *head);
struct str str_trim(struct str s); /* without spaces and tabs at both ends */
/* Length of the well-formed UTF-8 sequence that s begins with (RFC 3629), or 0. */
size_t str_utf8(struct str s);

/* Strict decimal: 1 to 20 digits, nothing else, no overflow beyond max. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *value) MUST_USE;

/* A NUL-terminated copy on the heap; free with mem_free. */
char *str_dup(struct str s);

#endif
