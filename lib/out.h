/* SPDX-License-Identifier: Apache-2.0
 *
 * out: the one way to write bytes. Append-only and bounded: what does not fit sets `over` and
 * nothing more is written, so a caller writes everything and checks once at the end. There is no
 * length pass before a copy pass.
 *
 *   char room[256];                         struct out o = out_heap(1 << 20);
 *   struct out o = out_fixed(room, 256);    out_str(&o, ...);
 *   out_str(&o, ...);                       if (o.over) ...
 *   if (o.over) ...                         out_fini(&o);
 */
#ifndef SLUICE_LIB_OUT_H
#define SLUICE_LIB_OUT_H

#include "lib/str.h"

struct out {
    char *p;
    size_t n;   /* written */
    size_t cap; /* room at p */
    size_t max; /* a heap writer grows up to this; 0 = fixed memory of the caller */
    bool over;  /* something did not fit */
};

static inline struct out out_fixed(char *room, size_t cap) {
    return (struct out){room, 0, cap, 0, false};
}
static inline struct out out_heap(size_t max) { return (struct out){NULL, 0, 0, max, false}; }
void out_fini(struct out *o); /* frees a heap writer's memory; a fixed one's is the caller's */

static inline struct str out_done(const struct out *o) { return (struct str){o->p, o->n}; }

/* Room for n more bytes, or NULL with `over` set. The caller fills all n. */
char *out_take_slow(struct out *o, size_t n);
static inline char *out_take(struct out *o, size_t n) {
    if (likely(!o->over && n <= o->cap - o->n)) {
        char *at = o->p + o->n;
        o->n += n;
        return at;
    }
    return out_take_slow(o, n);
}
static inline void out_bytes(struct out *o, const void *p, size_t n) {
    char *at = out_take(o, n);
    if (likely(at != NULL) && n > 0)
        memcpy(at, p, n);
}
static inline void out_str(struct out *o, struct str s) { out_bytes(o, s.p, s.n); }
static inline void out_char(struct out *o, char c) { out_bytes(o, &c, 1); }
#define out_lit(o, literal) out_bytes((o), (literal), sizeof(literal) - 1)

void out_u64(struct out *o, uint64_t v); /* decimal */
void out_i64(struct out *o, int64_t v);
void out_hex(struct out *o, uint64_t v, unsigned digits); /* lower case, zero-padded, 1..16 */
void out_fmt(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A JSON string with its quotes: controls and quotes escaped, bytes that are not UTF-8 written
 * as U+FFFD, so that the result is always one valid JSON token. */
void out_json(struct out *o, struct str s);

#endif
