/* SPDX-License-Identifier: Apache-2.0
 *
 * slab: a worker's buffers, in a few sizes, last in first out so that the warm one is used again.
 * A buffer exists only while it holds bytes (principle 5): take one when bytes arrive, give it
 * back when they are gone. One thread; no lock. The sum of all that is taken is bounded by
 * `limit`: beyond it slab_take() returns NULL, an ordinary answer that sheds load.
 *
 * Given-back buffers stay on a free list up to `keep` bytes; what is over goes back to the heap,
 * so memory after a burst falls again.
 */
#ifndef SLUICE_PROXY_NET_SLAB_H
#define SLUICE_PROXY_NET_SLAB_H

#include "lib/base.h"

/* SLAB_64K holds 64 KiB of a body and the head before them, so that they come and go at once, and
 * SLAB_SEALED holds that in the records of TLS. */
enum slab_size { SLAB_2K, SLAB_4K, SLAB_16K, SLAB_64K, SLAB_SEALED, SLAB_SIZES };
enum { SLAB_LARGE_BYTES = (64 + 2) * 1024, SLAB_SEALED_BYTES = SLAB_LARGE_BYTES + 512 };

struct slab_free;

struct slabs {
    struct slab_free *free[SLAB_SIZES];
    uint64_t free_bytes; /* on the free lists */
    size_t keep;         /* at most so much of it */
    uint64_t used_bytes; /* taken and not given back; a counter */
    size_t limit;        /* of used_bytes */
};

void slabs_init(struct slabs *s, size_t limit, size_t keep);
void slabs_fini(struct slabs *s); /* everything must have been given back */

static inline size_t slab_bytes(enum slab_size size) {
    static const uint32_t bytes[SLAB_SIZES] = {2048, 4096, 16384, SLAB_LARGE_BYTES,
                                               SLAB_SEALED_BYTES};
    return bytes[size];
}
/* The smallest one for n bytes; the largest when none is large enough. */
enum slab_size slab_size_for(size_t n);
void *slab_take(struct slabs *s, enum slab_size size) MUST_USE; /* not zeroed; NULL at the limit */
void slab_give(struct slabs *s, enum slab_size size, void *p);

/* Other memory of connections, which counts on the same limit. False: it would be exceeded. */
static inline bool slabs_charge(struct slabs *s, size_t n) {
    if (unlikely(s->used_bytes + n > s->limit))
        return false;
    counter_add(&s->used_bytes, n);
    return true;
}
static inline void slabs_discharge(struct slabs *s, size_t n) { counter_sub(&s->used_bytes, n); }

#endif
