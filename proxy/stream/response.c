/* SPDX-License-Identifier: Apache-2.0
 *
 * response: the way back. The head is read, written anew for the client, and the body lent from the
 * upstream's buffer to the client's connection, piece by piece: the next one is read when the last
 * one was flushed, so a slow client slows the upstream and fills no memory.
 */
#include "proxy/stream/parts.h"

void response_await(struct stream *st) {
    uint32_t idle_ms = st->x.rule->idle_ms > 0 ? st->x.rule->idle_ms : st->backend->idle_ms;
    uint64_t at = st->env->loop->now_ms + idle_ms;
    if (st->attempt_deadline_ms != 0 && st->attempt_deadline_ms < at)
        at = st->attempt_deadline_ms;
    if (st->deadline_ms != 0 && st->deadline_ms < at)
        at = st->deadline_ms;
    side_deadline(&st->up->side, at > 0 ? at : 1);
}

/* While the client is slow to take what it has, the upstream is not: it is not read. */
static void response_rest(struct stream *st) {
    bool more = !st->answer_last && st->attempt_deadline_ms != 0;
    if (st->up != NULL)
        side_deadline(&st->up->side, more ? st->attempt_deadline_ms : UINT64_MAX / 2);
}

/* ---- head ---- */

/* How the body goes on to the client, and whether the connection can be kept after it. */
static uint8_t client_framing(struct stream *st, const struct head *h) {
    bool grows = web_answers(st) && h->framing == FRAMING_LENGTH && h->content_length > 0;
    switch (grows ? FRAMING_CHUNKED : h->framing) {
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

static bool write_head(struct stream *st, const struct head *h, bool last) {
    struct side *to = &st->client->side;
    size_t sizes[2] = {h->n + st->x.limits.n + 512, slab_bytes(SLAB_64K)};
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
            return side_head(to, o.n, framing, last);
        }
    }
    return false;
}

static void note_response(struct stream *st) {
    uint64_t now = st->env->loop->now_ns, asked = st->sent_ns;
    st->response_ns = now;
    st->upstream_ns += now > asked ? now - asked : 0;
}

/* 101: what follows, both ways, is not HTTP any more (tunnel.c). */
static void switch_protocols(struct stream *st, const struct head *h) {
    note_response(st);
    if (!tunnel_agreed(st, h)) {
        request_failed(st, REASON_BAD_RESPONSE);
        return;
    }
    st->upstream_status = st->status = h->status;
    upstream_result(&st->env->upstreams, st->backend, st->endpoint, false);
    if (!tunnel_prepare(st) || !write_head(st, h, false)) {
        tunnel_free(st);
        stream_fail(st, REASON_OVERLOADED);
        return;
    }
    st->answering = true;
    side_answered(&st->up->side, h);
    tunnel_begin(st);
}

static bool interim(struct stream *st, const struct head *h) {
    struct side *to = &st->client->side;
    if (unlikely(h->status == 101)) {
        switch_protocols(st, h);
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
    side_answered(&st->up->side, h);
    return true;
}

/* An answer that is not passed on. True: all of it was there, so the connection can be kept. */
static bool swallow(struct stream *st, const struct head *h) {
    struct side *from = &st->up->side;
    struct str piece;
    bool last = false;
    side_answered(from, h);
    if (h->framing == FRAMING_CLOSE || side_take(from, &piece, &last) != BODY_PIECE)
        return false;
    side_repay(from, piece.n);
    return last && h->keep_alive && st->x.upgrade.n == 0;
}

/* The final head. False: the stream was failed or tried again. */
static bool final_head(struct stream *st, struct head *h) {
    bool last =
        h->framing == FRAMING_NONE || (h->framing == FRAMING_LENGTH && h->content_length == 0);
    note_response(st);
    if (unlikely(st->x.key.n > 0) && h->status < 300) { /* RFC 8441: it would mean a tunnel */
        request_failed(st, REASON_BAD_RESPONSE);
        return false;
    }
    st->upstream_status = h->status;
    upstream_result(&st->env->upstreams, st->backend, st->endpoint, h->status >= 500);
    if (unlikely(st->x.rule->retry.n_codes > 0) && request_may_retry(st)) {
        request_retry(st, swallow(st, h));
        return false;
    }
    st->reusable = h->keep_alive && st->x.upgrade.n == 0;
    if (unlikely(st->web != NULL))
        web_answer(st, h);
    if (!write_head(st, h, last)) {
        stream_fail(st, REASON_OVERLOADED);
        return false;
    }
    st->answering = true;
    st->status = h->status;
    st->answer_last = !side_answered(&st->up->side, h);
    return true;
}

/* False: not yet, or the stream has taken another way. */
static bool read_head(struct stream *st) {
    struct side *from = &st->up->side;
    struct head *h = st->env->sessions.head;
    while (!st->answering) {
        enum reason reason;
        bool got = side_answer(from, (enum method)st->x.method, h, &reason);
        st->got_bytes = st->got_bytes || from->heard;
        if (got) {
            if (h->status < 200 ? !interim(st, h) : !final_head(st, h))
                return false;
            continue;
        }
        if (reason == REASON_OVERLOADED)
            stream_fail(st, reason);
        else if (reason != REASON_NONE)
            request_failed(st, reason);
        return false;
    }
    return true;
}

/* ---- body ---- */

void response_failed(struct stream *st, enum body what) {
    switch (what) {
    case BODY_BAD:
        stream_fail(st, REASON_BAD_RESPONSE);
        return;
    case BODY_CUT:
        stream_fail(st, REASON_UPSTREAM_CLOSED);
        return;
    case BODY_RESET:
        stream_fail(st, REASON_UPSTREAM_RESET);
        return;
    default:
        stream_fail(st, REASON_OVERLOADED);
        return;
    }
}

static void read_body(struct stream *st) {
    struct side *from = &st->up->side, *to = &st->client->side;
    if (web_answers(st)) {
        web_read_body(st);
        return;
    }
    while (!st->answer_last && !from->loan.open && !side_lending(to)) {
        struct str piece = STR_NONE;
        bool last, piped = st->back.open;
        enum body got = likely(!piped) ? side_take(from, &piece, &last)
                                       : side_pipe(from, to, &st->back, &piece.n, &last);
        if (got == BODY_AGAIN) {
            response_await(st);
            return;
        }
        if (got != BODY_PIECE) {
            response_failed(st, got);
            return;
        }
        st->answer_last = last;
        st->response_bytes += piece.n;
        if (unlikely(piped))
            return;
        if (!(last && piece.n == 0 ? stream_end_body(st, from, to) : side_lend(to, piece, last))) {
            stream_fail(st, REASON_OVERLOADED);
            return;
        }
        if (piece.n == 0) {
            side_repay(from, 0);
            if (side_pending(to) == 0) {
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
    if (u != NULL && u->side.loan.open && lent > 0 && !web_lends(st))
        side_repay(&u->side, lent);
    if (!all)
        response_rest(st);
    else if (st->answer_last)
        stream_finish(st);
    else if (u != NULL) {
        stream_open_pipe(st, &st->back, &u->side, &st->client->side, lent);
        read_body(st);
    }
}
