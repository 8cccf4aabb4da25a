/* SPDX-License-Identifier: Apache-2.0
 *
 * parts: what conn.c and tls.c know of each other; nobody else includes it.
 */
#ifndef SLUICE_PROXY_NET_PARTS_H
#define SLUICE_PROXY_NET_PARTS_H

#include "proxy/net/conn.h"

/* ---- conn.c ---- */

bool buf_take(struct conn *c, struct conn_buf *b, enum slab_size size);
bool buf_grow(struct conn *c, struct conn_buf *b, enum slab_size size); /* keeps what is unread */
void buf_give(struct conn *c, struct conn_buf *b);
enum slab_size buf_size_for(size_t n); /* the largest when none is large enough */
void conn_abandon(struct conn *c);     /* undoes conn_init; closes the descriptor */
/* Takes what was sent off; the number of lent bytes among it. */
static inline size_t conn_account(struct conn *c, size_t sent) {
    struct conn_buf *b = &c->out;
    size_t own = size_min(sent, b->end - b->at);
    b->at += (uint32_t)own;
    if (b->at == b->end)
        buf_give(c, b);
    sent -= own;
    size_t lent = size_min(sent, c->lent_n);
    c->lent += lent;
    c->lent_n -= lent;
    sent -= lent;
    c->after += sent;
    c->after_n = (uint8_t)(c->after_n - sent);
    return lent;
}

/* ---- tls.c; c->tls is there ---- */

enum shake { SHAKE_DONE, SHAKE_AGAIN, SHAKE_FAILED };

enum shake tls_shake(struct conn *c);
enum io tls_read(struct conn *c); /* as conn_read, into room that is there */
bool tls_peek(struct conn *c, bool *gone);
/* Seals and sends until all is gone or the peer takes no more. The lent bytes that are free; 0 or
 * an errno in *err. */
size_t tls_send(struct conn *c, int *err);
/* The connection ends. farewell: close_notify goes out if it can. */
void tls_end(struct conn *c, bool farewell);

#endif
