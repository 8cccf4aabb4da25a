/* SPDX-License-Identifier: Apache-2.0
 *
 * slab: a free buffer's first word links it to the next free one of its size.
 */
#include "proxy/net/slab.h"

#include "lib/mem.h"

struct slab_free {
    struct slab_free *next;
};

void slabs_init(struct slabs *s, size_t limit, size_t keep) {
    *s = (struct slabs){.keep = keep, .limit = limit};
}

void slabs_fini(struct slabs *s) {
    must(s->used_bytes == 0);
    for (int i = 0; i < SLAB_SIZES; i++) {
        for (struct slab_free *f = s->free[i], *next; f != NULL; f = next) {
            next = f->next;
            mem_free(f);
        }
        s->free[i] = NULL;
    }
    s->free_bytes = 0;
}

enum slab_size slab_size_for(size_t n) {
    int size = SLAB_2K;
    while (size < SLAB_SEALED && slab_bytes((enum slab_size)size) < n)
        size++;
    return (enum slab_size)size;
}

void *slab_take(struct slabs *s, enum slab_size size) {
    size_t n = slab_bytes(size);
    if (unlikely(s->used_bytes + n > s->limit))
        return NULL;
    struct slab_free *f = s->free[size];
    if (likely(f != NULL)) {
        s->free[size] = f->next;
        counter_sub(&s->free_bytes, n);
    } else if ((f = mem_try(n)) == NULL) {
        return NULL;
    }
    counter_add(&s->used_bytes, n);
    return f;
}

void slab_give(struct slabs *s, enum slab_size size, void *p) {
    size_t n = slab_bytes(size);
    counter_sub(&s->used_bytes, n);
    if (unlikely(s->free_bytes + n > s->keep)) {
        mem_free(p);
        return;
    }
    struct slab_free *f = p;
    f->next = s->free[size];
    s->free[size] = f;
    counter_add(&s->free_bytes, n);
}
