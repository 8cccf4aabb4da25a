/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/piece.h"

bool piece_add(struct slabs *s, struct piece *to, struct str bytes) {
    size_t need = to->n + bytes.n;
    if (to->p == NULL || slab_bytes((enum slab_size)to->size) < need) {
        enum slab_size size = slab_size_for(need);
        char *room = need <= slab_bytes(size) ? slab_take(s, size) : NULL;
        if (room == NULL)
            return false;
        struct piece old = *to;
        if (old.n > 0)
            memcpy(room, old.p, old.n);
        piece_give(s, to);
        *to = (struct piece){room, old.n, (uint8_t)size};
    }
    if (bytes.n > 0)
        memcpy(to->p + to->n, bytes.p, bytes.n);
    to->n += (uint32_t)bytes.n;
    return true;
}
