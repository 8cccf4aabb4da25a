/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/blocks.h"

#include "lib/mem.h"

#include <string.h>
#include <sys/mman.h>

#define CHUNK ((size_t)2 << 20)
enum { HEAP = 0, STEPS = 128, PAGE = 1024 }; /* HEAP: class of what the heap gave */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool all_heap = true;
#else
static const bool all_heap = false;
#endif

/* Chunks from which on they are large pages: what is not used of the last one is memory too. */
enum { MANY = 8 };

struct blocks_chunk { /* at the start of its memory */
    struct blocks_chunk *next;
};

void blocks_init(struct blocks *b) { *b = (struct blocks){0}; }

void blocks_fini(struct blocks *b) {
    for (struct blocks_chunk *c = b->chunks, *next; c != NULL; c = next) {
        next = c->next;
        munmap(c, CHUNK);
    }
    blocks_init(b);
}

/* Twice the size is mapped, and what is not on a boundary given back. */
static void chunk_new(struct blocks *b) {
    char *p = mmap(NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(p != MAP_FAILED);
    char *start = (char *)(((uintptr_t)p + CHUNK - 1) & ~(uintptr_t)(CHUNK - 1));
    if (start > p)
        munmap(p, (size_t)(start - p));
    munmap(start + CHUNK, (size_t)(p + CHUNK - start));
    if (++b->n_chunks == MANY)
        for (struct blocks_chunk *one = b->chunks; one != NULL; one = one->next)
            madvise(one, CHUNK, MADV_HUGEPAGE);
    if (b->n_chunks >= MANY)
        madvise(start, CHUNK, MADV_HUGEPAGE); /* before the first write: it decides */
    struct blocks_chunk *c = (struct blocks_chunk *)(void *)start;
    c->next = b->chunks;
    b->chunks = c;
    b->at = start + BLOCKS_LINE;
    b->end = start + CHUNK;
}

static unsigned class_of(size_t n) {
    size_t small = (n + BLOCKS_LINE - 1) / BLOCKS_LINE, pages = (n + PAGE - 1) / PAGE;
    if (all_heap || n == 0 || pages > BLOCKS_CLASSES - STEPS)
        return HEAP;
    return (unsigned)(small < STEPS ? small : STEPS - 1 + pages);
}

static size_t bytes_of(unsigned class) {
    return class < STEPS ? (size_t) class * BLOCKS_LINE : (size_t)(class - STEPS + 1) * PAGE;
}

void *blocks_new(struct blocks *b, size_t n, uint8_t *class) {
    unsigned c = class_of(n);
    size_t room = bytes_of(c);
    *class = (uint8_t)c;
    if (c == HEAP)
        return mem_zalloc(n);
    void *p = b->free[c];
    if (p != NULL) {
        memcpy(&b->free[c], p, sizeof(void *));
        return memset(p, 0, room);
    }
    if ((size_t)(b->end - b->at) < room)
        chunk_new(b);
    p = b->at;
    b->at += room;
    return p; /* fresh from the kernel: zero */
}

void blocks_free(struct blocks *b, void *p, uint8_t class) {
    if (class == HEAP) {
        mem_free(p);
        return;
    }
    memcpy(p, &b->free[class], sizeof(void *));
    b->free[class] = p;
}
