/* SPDX-License-Identifier: Apache-2.0
 *
 * web: a call of gRPC-Web to a backend of HTTP/2 becomes one of gRPC (http/grpc_web.h). Its heads
 * are policy's (policy/grpc.c); here are its bodies:
 *
 *                        binary                        text
 *     the request's      as it came, lent              decoded where it lies, then lent
 *     the answer's       as it came, lent              into a slab of its own, message by message;
 *                                                      the backend's bytes are repaid at once
 *     its trailers       a last message in a slab of its own
 *
 * So a call holds one slab (64 KiB at most) beside the loan, and a slow client slows the backend.
 */
#include "proxy/stream/parts.h"

#include "lib/base64.h"
#include "lib/mem.h"

struct web {
    struct grpc_web call;
    struct base64 asks;       /* the text of the request */
    struct grpc_web_text out; /* that of the answer */
    struct piece lent;        /* to the client: what was made here */
    struct str left;          /* of the backend's loan, to be put into text */
    bool ended;               /* its body has */
    bool told;                /* its head had a status */
};

static struct slabs *slabs_of(struct stream *st) { return &st->env->loop->slabs; }

bool web_begin(struct stream *st) {
    struct grpc_web call = {0};
    if (st->x.method != METHOD_POST || st->x.upgrade.n > 0 ||
        !policy_grpc_web(st->x.request, &call))
        return true;
    st->web = mem_try_zero(sizeof(*st->web));
    if (st->web == NULL)
        return false;
    st->web->call = call;
    st->x.web = &st->web->call;
    uint64_t ms = policy_grpc_timeout_ms(st->x.request);
    if (ms != UINT64_MAX)
        stream_end_by(st, ms);
    return true;
}

void web_cut(struct stream *st) {
    if (st->web != NULL && side_lending(&st->client->side))
        side_unlend(&st->client->side);
}

void web_free(struct stream *st) {
    if (st->web == NULL)
        return;
    piece_give(slabs_of(st), &st->web->lent);
    mem_free(st->web);
    st->web = NULL;
}

/* ---- the request ---- */

bool web_request(struct stream *st, struct str *piece, bool last) {
    struct web *w = st->web;
    char *place = (char *)(uintptr_t)piece->p; /* the loan is ours until it is repaid */
    size_t n;
    if (w->call.asks != GRPC_WEB_TEXT)
        return true;
    if (!base64_more(&w->asks, *piece, place, &n) || (last && !base64_complete(&w->asks)))
        return false;
    if (n < piece->n)
        side_repay(&st->client->side, piece->n - n);
    piece->n = n;
    return true;
}

/* ---- the answer ---- */

void web_answer(struct stream *st, struct head *h) {
    unsigned from = 0;
    st->web->told = head_each(h, STR("grpc-status"), &from) != NULL;
    policy_grpc_web_answer(&st->web->call, h);
}

/* A slab for so many bytes, or the largest. False: there is none. */
static bool take_slab(struct stream *st, size_t n) {
    enum slab_size size = slab_size_for(n);
    char *p = slab_take(slabs_of(st), size);
    st->web->lent = (struct piece){p, 0, (uint8_t)size};
    return p != NULL;
}

static void put_text(struct web *w, struct str *in) {
    struct piece *to = &w->lent;
    size_t room = slab_bytes((enum slab_size)to->size) - to->n;
    to->n += (uint32_t)grpc_web_text(&w->out, in, to->p + to->n, room);
}

/* What is left of the loan, or as much of it as a slab holds the text of. */
static enum body next_text(struct stream *st) {
    struct web *w = st->web;
    size_t before = w->left.n;
    if (!take_slab(st, before * 2 + GRPC_WEB_ROOM))
        return BODY_NOMEM;
    put_text(w, &w->left);
    side_repay(&st->up->side, before - w->left.n);
    return BODY_PIECE;
}

/* The last message: the trailers; none, where the head was the trailers. */
static enum body next_trailers(struct stream *st) {
    struct web *w = st->web;
    char room[TRAILERS_MAX + 128], head[GRPC_WEB_HEAD];
    struct out o = out_fixed(room, sizeof(room));
    if (!grpc_web_between(&w->out))
        return BODY_BAD; /* a message was not complete */
    policy_write_web_trailers(&st->x, side_trailers(&st->up->side), w->told, &o);
    if (o.n == 0)
        return BODY_PIECE;
    grpc_web_trailers_head(o.n, head);
    struct str lines = out_done(&o), begin = str_mk(head, sizeof(head));
    if (!take_slab(st, lines.n * 2 + GRPC_WEB_ROOM))
        return BODY_NOMEM;
    if (w->call.answers == GRPC_WEB_TEXT) {
        put_text(w, &begin);
        put_text(w, &lines);
        return BODY_PIECE;
    }
    bool fits =
        piece_add(slabs_of(st), &w->lent, begin) && piece_add(slabs_of(st), &w->lent, lines);
    return fits ? BODY_PIECE : BODY_NOMEM;
}

/* What the client gets next; *last: all of it. */
static enum body next(struct stream *st, struct str *piece, bool *last) {
    struct web *w = st->web;
    struct side *from = &st->up->side;
    *last = false;
    for (;;) {
        enum body got;
        piece_give(slabs_of(st), &w->lent);
        if (w->left.n > 0) {
            got = next_text(st);
        } else if (w->ended) {
            got = next_trailers(st);
            *last = true;
        } else {
            got = side_take(from, &w->left, &w->ended);
            if (got == BODY_PIECE && w->left.n == 0)
                side_repay(from, 0);
            if (got == BODY_PIECE && w->left.n > 0 && w->call.answers == GRPC_WEB_BINARY) {
                *piece = w->left;
                w->left = STR_NONE;
                return BODY_PIECE;
            }
        }
        if (got != BODY_PIECE)
            return got;
        *piece = piece_str(&w->lent);
        if (*last || piece->n > 0)
            return BODY_PIECE;
    }
}

/* The loop of response.c, but that a loan may be open: what is lent need not be a part of it. */
void web_read_body(struct stream *st) {
    struct side *from = &st->up->side, *to = &st->client->side;
    while (!st->answer_last && !side_lending(to) && (web_lends(st) || !from->loan.open)) {
        struct str piece;
        enum body got = next(st, &piece, &st->answer_last);
        if (got == BODY_AGAIN) {
            response_await(st);
            return;
        }
        if (got != BODY_PIECE) {
            response_failed(st, got);
            return;
        }
        st->response_bytes += piece.n;
        if (!side_lend(to, piece, st->answer_last)) {
            stream_fail(st, REASON_OVERLOADED);
            return;
        }
        if (piece.n == 0 && side_pending(to) == 0) {
            stream_finish(st); /* an end without bytes, and all else was flushed before */
            return;
        }
    }
}
