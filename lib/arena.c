/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/arena.h"

#include "lib/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { CHUNK_MIN = 1024, CHUNK_MAX = 64 * 1024 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t size;
    _Alignas(8) char bytes[];
};

void arena_init(struct arena *a) { *a = (struct arena){0}; }

static void free_chunks(struct arena_chunk *c) {
    while (c) {
        struct arena_chunk *older = c->older;
        mem_free(c);
        c = older;
    }
}

void arena_fini(struct arena *a) {
    free_chunks(a->chunks);
    arena_init(a);
}

void arena_reset(struct arena *a) {
    struct arena_chunk *newest = a->chunks;
    if (!newest)
        return;
    free_chunks(newest->older);
    newest->older = NULL;
    a->at = newest->bytes;
    a->end = newest->bytes + newest->size;
    a->used = 0;
}

static void grow(struct arena *a, size_t n) {
    size_t size = a->chunks ? size_min(a->chunks->size * 2, CHUNK_MAX) : CHUNK_MIN;
    size = size_max(size, n);
    must(size < SIZE_MAX - sizeof(struct arena_chunk));
    struct arena_chunk *c = mem_alloc(sizeof(*c) + size);
    c->older = a->chunks;
    c->size = size;
    a->chunks = c;
    a->at = c->bytes;
    a->end = c->bytes + size;
}

void *arena_alloc(struct arena *a, size_t n) {
    must(n <= SIZE_MAX - 7);
    n = (n + 7) & ~(size_t)7;
    if (!a->at || n > (size_t)(a->end - a->at)) /* no memory at all is somewhere, too */
        grow(a, n);
    void *p = a->at;
    a->at += n;
    a->used += n;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n) { return memset(arena_alloc(a, n), 0, n); }

void *arena_array(struct arena *a, size_t n, size_t size) {
    size_t bytes;
    must(!__builtin_mul_overflow(n, size, &bytes));
    return arena_zalloc(a, bytes);
}

struct str arena_str(struct arena *a, struct str s) {
    char *p = arena_alloc(a, s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return str_mk(p, s.n);
}

struct str arena_fmt(struct arena *a, const char *fmt, ...) {
    char room[512];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(room, sizeof(room), fmt, args);
    va_end(args);
    must(n >= 0);
    if ((size_t)n < sizeof(room)) {
        va_end(again);
        return arena_str(a, str_mk(room, (size_t)n));
    }
    char *p = arena_alloc(a, (size_t)n + 1);
    int m = vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    must(m == n);
    return str_mk(p, (size_t)n);
}
