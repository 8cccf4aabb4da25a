/* SPDX-License-Identifier: Apache-2.0
 *
 * body: a message's body on an HTTP/1.x connection, read piece by piece and lent to whoever sends
 * it on. Chunk framing is taken off in place: the pieces of several chunks in the buffer are moved
 * together, so that one send carries them all.
 *
 *     in buffer   [framing eaten][ piece, lent out ............ ][framing eaten][not looked at]
 *                                 └ loan.left bytes of it unpaid   └ loan.tail
 *
 * Nothing is read from the connection while a loan is open.
 */
#ifndef SLUICE_PROXY_SESSION_BODY_H
#define SLUICE_PROXY_SESSION_BODY_H

#include "proxy/http/h1.h"
#include "proxy/net/conn.h"

enum body {
    BODY_PIECE, /* a loan was made; *last: the body ends with it (it may be empty then) */
    BODY_AGAIN, /* nothing now; readable() will be called */
    BODY_BAD,   /* framing error */
    BODY_CUT,   /* the connection ended before the body did */
    BODY_NOMEM, /* no buffer */
};

struct loan {
    uint32_t left; /* bytes that were not paid back */
    uint32_t tail; /* eaten bytes behind them */
    bool open;
};

/* loan must not be open. With BODY_PIECE it is, and *piece is what it stands for. */
enum body body_take(struct conn *c, struct h1_body *b, struct loan *loan, struct str *piece,
                    bool *last);
/* Lends a piece on to the connection that sends it, in a chunk of its own where it is chunked
 * there; a piece of no bytes is only the end. False: no room. */
bool body_lend(struct conn *to, struct str piece, bool last, bool chunked);
/* n of the lent bytes are not needed any more. When all are paid the loan is closed. */
void body_repay(struct conn *c, struct loan *loan, size_t n);

#endif
