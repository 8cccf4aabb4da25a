/* SPDX-License-Identifier: Apache-2.0
 *
 * h1: one exchange with an endpoint over HTTP/1.1: the codec of session/side.h over the connection.
 */
#include "proxy/upstream/target.h"

#include <errno.h>

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
    struct h1_side *h1 = x->own;
    for (;;) {
        struct str in = conn_unread(h1->conn);
        const char *detail;
        enum h1 got = in.n == 0 ? H1_MORE
                                : h1_parse_response(&h1->scan, in.p, in.n, &limits, asked, h,
                                                    reason, &detail);
        if (got != H1_MORE)
            return got == H1_DONE;
        enum io io = conn_read(h1->conn);
        *reason = reason_of(io);
        if (io != IO_OK)
            return false;
        x->heard = true;
    }
}

static bool answered(struct side *x, const struct head *h) {
    struct h1_side *h1 = x->own;
    if (h->status >= 200)
        return h1_side_begin(h1, h);
    conn_consume(h1->conn, h->n);
    h1->scan = (struct h1_scan){0};
    return false;
}

const struct side_codec upstream_h1 = {
    H1_SIDE_CODEC,
    .answer = answer,
    .answered = answered,
};
