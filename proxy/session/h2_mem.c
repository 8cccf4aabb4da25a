/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/session/h2_mem.h"

#include "lib/mem.h"

#include <string.h>

enum { KEEP_BYTES = 1 << 20 };

struct h2_block {
    size_t n; /* with this header */
    union {
        struct h2_block *next; /* of the free ones */
        max_align_t bytes[1];
    };
};

static struct h2_block *block_of(void *p) {
    return (struct h2_block *)(void *)((char *)p - offsetof(struct h2_block, bytes));
}

void h2_mem_init(struct h2_mem *m, struct slabs *s) { *m = (struct h2_mem){.slabs = s}; }

void h2_mem_fini(struct h2_mem *m) {
    for (unsigned i = 0; i < H2_MEM_LISTS; i++)
        for (struct h2_block *b; (b = m->free[i]) != NULL;) {
            m->free[i] = b->next;
            mem_free(b);
        }
}

/* A list for sizes up to 64, 128, 192 ...; H2_MEM_LISTS: none. */
static size_t list_of(size_t n) { return size_min((n - 1) / H2_MEM_STEP, H2_MEM_LISTS); }

void *h2_take(struct h2_account *a, size_t n) {
    struct h2_mem *m = a->mem;
    if (n > a->limit || n > PTRDIFF_MAX)
        return NULL;
    size_t whole = n + offsetof(struct h2_block, bytes), list = list_of(whole);
    if (list < H2_MEM_LISTS)
        whole = (list + 1) * H2_MEM_STEP;
    if (a->used + whole > a->limit || !slabs_charge(m->slabs, whole))
        return NULL;
    struct h2_block *b = list < H2_MEM_LISTS ? m->free[list] : NULL;
    if (likely(b != NULL)) {
        m->free[list] = b->next;
        m->free_bytes -= whole;
    } else if ((b = mem_try(whole)) == NULL) {
        slabs_discharge(m->slabs, whole);
        return NULL;
    }
    b->n = whole;
    a->used += whole;
    return b->bytes;
}

void h2_give(struct h2_account *a, void *p) {
    struct h2_mem *m = a->mem;
    if (p == NULL)
        return;
    struct h2_block *b = block_of(p);
    size_t list = list_of(b->n);
    a->used -= b->n;
    slabs_discharge(m->slabs, b->n);
    if (list == H2_MEM_LISTS || m->free_bytes + b->n > KEEP_BYTES) {
        mem_free(b);
        return;
    }
    m->free_bytes += b->n;
    b->next = m->free[list];
    m->free[list] = b;
}

/* ---- for nghttp2 ---- */

static void *hook_malloc(size_t n, void *a) { return h2_take(a, n > 0 ? n : 1); }
static void hook_free(void *p, void *a) { h2_give(a, p); }

static void *hook_calloc(size_t n, size_t size, void *a) {
    size_t whole;
    if (__builtin_mul_overflow(n, size, &whole))
        return NULL;
    void *p = hook_malloc(whole, a);
    return p != NULL ? memset(p, 0, whole) : NULL;
}

static void *hook_realloc(void *p, size_t n, void *a) {
    void *to = hook_malloc(n, a);
    if (to != NULL && p != NULL) {
        memcpy(to, p, size_min(n, block_of(p)->n - offsetof(struct h2_block, bytes)));
        h2_give(a, p);
    }
    return to;
}

nghttp2_mem h2_hooks(struct h2_account *a) {
    return (nghttp2_mem){a, hook_malloc, hook_free, hook_calloc, hook_realloc};
}
