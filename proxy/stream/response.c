/* SPDX-License-Identifier: Apache-2.0
 *
 * response: the way back. The head is read, written anew for the client, and the body lent from the
 * upstream's buffer to the client's connection, piece by piece: the next one is read when the last
 * one was flushed, so a slow client slows the upstream and fills no memory.
 */
#include "proxy/stream/parts.h"

#include <errno.h>

static const struct head_limits limits = {HEAD_BYTES_MAX, 256, 0};

void response_await(struct stream *st) {
    uint32_t idle_ms = st->x.rule->idle_ms > 0 ? st->x.rule->idle_ms : st->backend->idle_ms;
    uint64_t at = st->env->loop->now_ms + idle_ms;
    if (st->attempt_deadline_ms != 0 && st->attempt_deadline_ms < at)
        at = st->attempt_deadline_ms;
    if (st->deadline_ms != 0 && st->deadline_ms < at)
        at = st->deadline_ms;
    upstream_deadline(st->up, at > 0 ? at : 1);
}

/* While the client is slow to take what it has, the upstream is not: it is not read. */
static void response_rest(struct stream *st) {
    bool more = !st->answer_last && st->attempt_deadline_ms != 0;
    if (st->up != NULL)
        upstream_deadline(st->up, more ? st->attempt_deadline_ms : UINT64_MAX / 2);
}

/* ---- head ---- */

static bool interim(struct stream *st, const struct head *h) {
    struct side *to = &st->client->side;
    if (h->status == 101) { /* nothing was upgraded: Upgrade is not forwarded */
        request_failed(st, REASON_BAD_RESPONSE);
        return false;
    }
    if (h->status != 100 && !st->x.http10) {
        size_t n = h->n + 64;
        char *p = side_room(to, n);
        if (p != NULL) {
            struct out o = out_fixed(p, n);
            policy_write_interim(h, &o);
            if (!side_head(to, o.over ? 0 : o.n, FRAMING_NONE, false)) {
                stream_fail(st, REASON_OVERLOADED);
                return false;
            }
            st->response_bytes += o.n;
        }
    }
    conn_consume(&st->up->conn, h->n);
    st->up->scan = (struct h1_scan){0};
    return true;
}

/* How the body goes on to the client, and whether the connection can be kept after it. */
static uint8_t client_framing(struct stream *st, const struct head *h) {
    switch (h->framing) {
    case FRAMING_CHUNKED:
    case FRAMING_CLOSE:
        if (!st->x.http10)
            return FRAMING_CHUNKED;
        st->keep = false;
        return FRAMING_CLOSE;
    default:
        return h->framing;
    }
}

static bool write_head(struct stream *st, const struct head *h) {
    struct side *to = &st->client->side;
    size_t sizes[2] = {h->n + 512, slab_bytes(SLAB_64K)};
    st->keep = st->request_keep_alive && st->request_last && !st->env->sessions.draining;
    uint8_t framing = client_framing(st, h);
    for (int i = 0; i < 2; i++) {
        char *p = side_room(to, sizes[i]);
        if (p == NULL)
            return false;
        struct out o = out_fixed(p, sizes[i]);
        policy_write_response(&st->x, h, framing, stream_date(st->env), !st->keep, &o);
        if (!o.over) {
            st->response_bytes += o.n;
            return side_head(to, o.n, framing, st->up->body.done);
        }
    }
    return false;
}

static void note_response(struct stream *st) {
    uint64_t now = st->env->loop->now_ns, asked = st->sent_ns;
    st->response_ns = now;
    st->upstream_ns += now > asked ? now - asked : 0;
}

/* An answer that is not passed on. True: all of it was there, so the connection can be kept. */
static bool swallow(struct stream *st, const struct head *h) {
    struct upstream *u = st->up;
    struct str piece;
    bool last = false;
    h1_body_init(&u->body, h);
    conn_consume(&u->conn, h->n);
    if (u->body.framing == FRAMING_CLOSE ||
        body_take(&u->conn, &u->body, &u->loan, &piece, &last) != BODY_PIECE)
        return false;
    body_repay(&u->conn, &u->loan, piece.n);
    return last && h->keep_alive;
}

/* The final head. False: the stream was failed or tried again. */
static bool final_head(struct stream *st, const struct head *h) {
    struct upstream *u = st->up;
    note_response(st);
    st->upstream_status = h->status;
    upstream_result(&st->env->upstreams, st->backend, st->endpoint, h->status >= 500);
    if (unlikely(st->x.rule->retry.n_codes > 0) && request_may_retry(st)) {
        request_retry(st, swallow(st, h));
        return false;
    }
    h1_body_init(&u->body, h);
    st->reusable = h->keep_alive;
    if (!write_head(st, h)) {
        stream_fail(st, REASON_OVERLOADED);
        return false;
    }
    st->answering = true;
    st->status = h->status;
    conn_consume(&u->conn, h->n);
    if (u->body.done)
        st->answer_last = true;
    return true;
}

/* False: not yet, or the stream has taken another way. */
static bool read_head(struct stream *st) {
    struct upstream *u = st->up;
    struct head *h = st->env->sessions.head;
    while (!st->answering) {
        struct str in = conn_unread(&u->conn);
        enum reason reason = REASON_BAD_RESPONSE;
        const char *detail;
        enum h1 got = in.n == 0 ? H1_MORE
                                : h1_parse_response(&u->scan, in.p, in.n, &limits,
                                                    (enum method)st->x.method, h, &reason, &detail);
        if (got == H1_DONE) {
            if (h->status < 200 ? !interim(st, h) : !final_head(st, h))
                return false;
            continue;
        }
        if (got == H1_BAD) {
            request_failed(st, reason);
            return false;
        }
        switch (conn_read(&u->conn)) {
        case IO_OK:
            st->got_bytes = true;
            continue;
        case IO_AGAIN:
            return false;
        case IO_EOF:
            request_failed(st, REASON_UPSTREAM_CLOSED);
            return false;
        case IO_FULL:
            request_failed(st, REASON_RESPONSE_TOO_LARGE);
            return false;
        case IO_NOMEM:
            stream_fail(st, REASON_OVERLOADED);
            return false;
        case IO_FAIL:
            request_failed(st,
                           errno == ECONNRESET ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_CLOSED);
            return false;
        }
    }
    return true;
}

/* ---- body ---- */

static void body_failed(struct stream *st, enum body what) {
    switch (what) {
    case BODY_BAD:
        stream_fail(st, REASON_BAD_RESPONSE);
        return;
    case BODY_CUT:
        stream_fail(st, REASON_UPSTREAM_CLOSED);
        return;
    default:
        stream_fail(st, REASON_OVERLOADED);
        return;
    }
}

static void read_body(struct stream *st) {
    struct upstream *u = st->up;
    while (!st->answer_last && !u->loan.open && !side_lending(&st->client->side)) {
        struct str piece;
        bool last;
        enum body got = body_take(&u->conn, &u->body, &u->loan, &piece, &last);
        if (got == BODY_AGAIN) {
            response_await(st);
            return;
        }
        if (got != BODY_PIECE) {
            body_failed(st, got);
            return;
        }
        st->answer_last = last;
        st->response_bytes += piece.n;
        if (!side_lend(&st->client->side, piece, last)) {
            stream_fail(st, REASON_OVERLOADED);
            return;
        }
        if (piece.n == 0) {
            body_repay(&u->conn, &u->loan, 0);
            if (side_pending(&st->client->side) == 0) {
                stream_finish(st); /* an end without bytes, and all else was flushed before */
                return;
            }
        }
    }
}

void response_pump(struct stream *st) {
    if (st->up == NULL || !st->ready)
        return;
    if (!st->answering && !read_head(st))
        return;
    if (st->up != NULL && !st->answer_last)
        read_body(st);
}

void response_sent(struct stream *st, size_t lent, bool all) {
    struct upstream *u = st->up;
    if (!st->answering)
        return; /* 100 Continue, or another interim answer */
    if (st->first_flush_ns == 0 && !st->answer_last)
        st->first_flush_ns = loop_clock_ns();
    if (u != NULL && u->loan.open && lent > 0)
        body_repay(&u->conn, &u->loan, lent);
    if (!all)
        response_rest(st);
    else if (st->answer_last)
        stream_finish(st);
    else if (u != NULL)
        read_body(st);
}
