/* SPDX-License-Identifier: Apache-2.0
 *
 * piece: bytes that are kept for a while, in one slab that grows with them. Zeroed it is empty and
 * holds none. Whoever has it gives it back.
 */
#ifndef SLUICE_PROXY_NET_PIECE_H
#define SLUICE_PROXY_NET_PIECE_H

#include "lib/str.h"
#include "proxy/net/slab.h"

struct piece {
    char *p; /* NULL: no slab */
    uint32_t n;
    uint8_t size; /* enum slab_size */
};

/* Behind what is there. False: no slab, or more than the largest holds; nothing was added. */
bool piece_add(struct slabs *s, struct piece *to, struct str bytes) MUST_USE;
static inline void piece_give(struct slabs *s, struct piece *p) { /* an empty one is fine */
    if (p->p == NULL)
        return;
    slab_give(s, (enum slab_size)p->size, p->p);
    *p = (struct piece){0};
}
static inline struct str piece_str(const struct piece *p) { return str_mk(p->p, p->n); }

#endif
