/* SPDX-License-Identifier: Apache-2.0
 *
 * h1: one exchange with an endpoint over HTTP/1.1: the codec of session/side.h over the connection.
 */
#include "proxy/upstream/upstream.h"

#include <errno.h>

static struct upstream *of_side(const struct side *x) {
    return (struct upstream *)(uintptr_t)container_of(x, struct upstream, side);
}

/* ---- the answer ---- */

/* Why a read gave nothing. */
static enum reason reason_of(enum io io) {
    switch (io) {
    case IO_OK:
    case IO_AGAIN:
        return REASON_NONE;
    case IO_EOF:
        return REASON_UPSTREAM_CLOSED;
    case IO_FULL:
        return REASON_RESPONSE_TOO_LARGE;
    case IO_NOMEM:
        return REASON_OVERLOADED;
    case IO_FAIL:
        break;
    }
    if (errno == EPROTO)
        return REASON_TLS_FAILED;
    return errno == ECONNRESET ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_CLOSED;
}

static bool answer(struct side *x, enum method asked, struct head *h, enum reason *reason) {
    static const struct head_limits limits = {HEAD_BYTES_MAX, 256, 0};
    struct upstream *u = of_side(x);
    for (;;) {
        struct str in = conn_unread(&u->conn);
        const char *detail;
        enum h1 got =
            in.n == 0 ? H1_MORE
                      : h1_parse_response(&u->scan, in.p, in.n, &limits, asked, h, reason, &detail);
        if (got != H1_MORE)
            return got == H1_DONE;
        enum io io = conn_read(&u->conn);
        *reason = reason_of(io);
        if (io != IO_OK)
            return false;
        x->heard = true;
    }
}

static bool answered(struct side *x, const struct head *h) {
    struct upstream *u = of_side(x);
    conn_consume(&u->conn, h->n);
    if (h->status < 200) {
        u->scan = (struct h1_scan){0};
        return false;
    }
    h1_body_init(&u->body, h);
    return !u->body.done;
}

static enum body take(struct side *x, struct str *piece, bool *last) {
    struct upstream *u = of_side(x);
    return body_take(&u->conn, &u->body, &x->loan, piece, last);
}

static void repay(struct side *x, size_t n) { body_repay(&of_side(x)->conn, &x->loan, n); }

/* ---- the request ---- */

static char *room(struct side *x, size_t n) { return conn_room(&of_side(x)->conn, n); }

static bool head(struct side *x, size_t n, uint8_t framing, bool last) {
    struct upstream *u = of_side(x);
    (void)last;
    conn_wrote(&u->conn, n);
    u->chunked = framing == FRAMING_CHUNKED;
    return true;
}

static bool lend(struct side *x, struct str piece, bool last) {
    struct upstream *u = of_side(x);
    bool lent = body_lend(&u->conn, piece, last, u->chunked);
    if (last && u->tunnel)
        conn_shutdown(&u->conn);
    return lent;
}

static void tunnel(struct side *x) {
    struct upstream *u = of_side(x);
    u->tunnel = true;
    u->chunked = false;
    u->body = (struct h1_body){.framing = FRAMING_CLOSE};
}

static void unlend(struct side *x) { conn_unlend(&of_side(x)->conn); }
static bool lending(const struct side *x) { return conn_lending(&of_side(x)->conn); }
static size_t pending(const struct side *x) { return conn_pending(&of_side(x)->conn); }

const struct side_codec upstream_h1 = {
    .take = take,
    .repay = repay,
    .room = room,
    .head = head,
    .lend = lend,
    .unlend = unlend,
    .lending = lending,
    .pending = pending,
    .tunnel = tunnel,
    .answer = answer,
    .answered = answered,
};
