/* SPDX-License-Identifier: Apache-2.0
 *
 * h1_side: a side over an HTTP/1.x connection: what a client's (session.c) and an endpoint's
 * (upstream/h1.c) have in common. It is the connection's only exchange, and one follows the other.
 *
 * A body is read piece by piece and lent to whoever sends it on. Chunk framing is taken off in
 * place: the pieces of several chunks in the buffer are moved together, so that one send carries
 * them all.
 *
 *     in buffer   [framing eaten][ piece, lent out ............ ][framing eaten][not looked at]
 *                                 └ loan.left bytes of it unpaid   └ loan.tail
 *
 * Between two plain connections a body with a length may go through a pipe instead: what is in it
 * is the loan.
 *
 * Nothing is read from the connection while a loan is open. What stands behind the last chunk is
 * copied, where there is anything.
 */
#ifndef SLUICE_PROXY_SESSION_H1_SIDE_H
#define SLUICE_PROXY_SESSION_H1_SIDE_H

#include "proxy/http/h1.h"
#include "proxy/net/piece.h"
#include "proxy/session/side.h"

struct h1_side { /* side.own */
    struct conn *conn;
    struct h1_scan scan;   /* of the head that comes */
    struct h1_body body;   /* that comes */
    struct piece trailers; /* behind it */
    bool chunked;          /* the body that goes */
    bool tunnel;           /* bytes both ways, no HTTP any more */
};

/* The body of h comes; its head is consumed. True: there is one. */
bool h1_side_begin(struct h1_side *h1, const struct head *h);
/* Ready for the next exchange. */
void h1_side_reset(struct h1_side *h1);
/* The connection ends. */
void h1_side_fini(struct h1_side *h1);

/* The part of a struct side_codec that is the same for both. */
enum body h1_side_take(struct side *x, struct str *piece, bool *last);
void h1_side_repay(struct side *x, size_t n);
char *h1_side_room(struct side *x, size_t n);
bool h1_side_head(struct side *x, size_t n, uint8_t framing, bool last);
bool h1_side_lend(struct side *x, struct str piece, bool last);
struct str h1_side_trailers(const struct side *x);
bool h1_side_trail(struct side *x, struct str lines);
void h1_side_tunnel(struct side *x);
uint64_t h1_side_pipeable(const struct side *x, const struct side *to);
enum body h1_side_pipe(struct side *x, struct side *to, struct channel *p, size_t *n, bool *last);
void h1_side_unlend(struct side *x);
bool h1_side_lending(const struct side *x);
size_t h1_side_pending(const struct side *x);
#define H1_SIDE_CODEC                                                                              \
    .take = h1_side_take, .repay = h1_side_repay, .room = h1_side_room, .head = h1_side_head,      \
    .lend = h1_side_lend, .trailers = h1_side_trailers, .trail = h1_side_trail,                    \
    .tunnel = h1_side_tunnel, .pipeable = h1_side_pipeable, .pipe = h1_side_pipe,                  \
    .unlend = h1_side_unlend, .lending = h1_side_lending, .pending = h1_side_pending

#endif
