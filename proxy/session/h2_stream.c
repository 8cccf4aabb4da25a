/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_stream: one exchange. Two things may keep it: whoever serves it, and nghttp2 until its close
 * callback; the later of the two frees it.
 */
#include "proxy/session/h2_link.h"

static struct h2_stream *of_side(const struct side *s) { return s->own; }

static struct slabs *slabs_of(struct h2_stream *x) { return &x->side->loop->slabs; }

void h2_stream_wake(struct h2_stream *x) {
    if (list_empty(&x->woken))
        list_append(&x->h2->woken, &x->woken);
}

static void came(struct h2_stream *x) {
    x->came = true;
    h2_stream_wake(x);
}

/* What goes and is not in the connection's buffer yet. */
static size_t pending(const struct h2_stream *x) {
    return x->lent_n + x->heads_wait + (x->end_waits ? 1 : 0);
}

/* So many bytes of its body lie here no longer. */
static void consumed(struct h2_stream *x, size_t n) {
    if (n > 0 && nghttp2_session_consume(x->h2->ng, x->id, n) == 0)
        h2_link_talk(x->h2);
}

void h2_stream_reset(struct h2_stream *x, uint32_t code) {
    nghttp2_submit_rst_stream(x->h2->ng, NGHTTP2_FLAG_NONE, x->id, code);
    h2_link_talk(x->h2);
}

/* ---- what comes ---- */

void h2_stream_malformed(struct h2_stream *x) {
    x->malformed = true;
    came(x);
    if (x->leaving) /* it was answered: now, since with its end the stream may be closed */
        h2_stream_reset(x, NGHTTP2_PROTOCOL_ERROR);
}

void h2_stream_announce(struct h2_stream *x, uint64_t length) {
    x->left = length - size_min(x->in.n, length);
    if (x->in.n > length || (x->ended && x->left > 0))
        h2_stream_malformed(x);
}

void h2_stream_data(struct h2_stream *x, struct str bytes) {
    if (x->left != UINT64_MAX && bytes.n > x->left)
        h2_stream_malformed(x);
    else if (x->left != UINT64_MAX)
        x->left -= bytes.n;
    bool keep = x->served && !x->malformed && !x->starved;
    if (keep && !piece_add(slabs_of(x), &x->in, bytes)) /* by windows the largest is enough */
        keep = !(x->starved = true);
    if (!keep)
        consumed(x, bytes.n);
    if (x->leaving && (x->lingered += (uint32_t)bytes.n) > H2_LINGER_BYTES)
        h2_stream_reset(x, x->h2->role->over);
    came(x);
}

void h2_stream_ends(struct h2_stream *x) {
    x->ended = true;
    if (x->left != 0 && x->left != UINT64_MAX)
        h2_stream_malformed(x);
    came(x);
}

void h2_stream_trailers(struct h2_stream *x, struct str lines) {
    if (x->served && lines.n > 0 && !piece_add(slabs_of(x), &x->trailers, lines))
        x->starved = true;
    h2_stream_ends(x);
}

/* ---- what goes ---- */

static void said(struct h2_stream *x) {
    x->said = true;
    h2_stream_wake(x);
}

void h2_stream_head_sent(struct h2_stream *x, bool end) {
    x->heads_wait--;
    x->spoke = true;
    if (end) {
        x->end_waits = false;
        x->end_sent = true;
    }
    said(x);
}

void h2_stream_went(struct h2_stream *x, size_t n) {
    debug_must(n <= x->lent_n);
    x->lent += n;
    x->lent_n -= n;
    x->went += n;
    if (x->lent_n == 0 && x->end_waits && x->trail.n == 0) {
        x->end_waits = false;
        x->end_sent = true;
    }
    said(x);
}

/* The end, and its fields behind it. */
static uint32_t end_flags(struct h2_stream *x) {
    struct h2_shared *w = x->h2->shared;
    if (x->trail.n == 0)
        return NGHTTP2_DATA_FLAG_EOF | (x->malformed ? NGHTTP2_DATA_FLAG_NO_END_STREAM : 0U);
    size_t n = h2_trailer_fields(x->trail.p, x->trail.n, w->fields, H2_FIELDS_MAX);
    if (nghttp2_submit_trailer(x->h2->ng, x->id, w->fields, n) != 0)
        return NGHTTP2_DATA_FLAG_EOF; /* no memory for them: the body is whole */
    x->heads_wait++;
    return NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
}

ssize_t h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                       nghttp2_data_source *source, void *arg) {
    struct h2_stream *x = source->ptr;
    (void)ng, (void)id, (void)to, (void)arg;
    if (x->lent_n == 0 && !x->end_waits)
        return NGHTTP2_ERR_DEFERRED;
    size_t n = size_min(x->lent_n, max);
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == x->lent_n && x->last)
        *flags |= end_flags(x);
    return (ssize_t)n;
}

/* ---- life ---- */

static void on_timer(struct timer *t) {
    struct h2_stream *x = of_side(container_of(t, struct side, timer));
    if (x->served)
        x->h2->role->timeout(x);
    else
        h2_stream_reset(x, pending(x) > 0 ? NGHTTP2_CANCEL : x->h2->role->over);
}

void h2_stream_init(struct h2_stream *x, struct h2_link *l, struct side *side) {
    *x = (struct h2_stream){.side = side, .h2 = l, .left = UINT64_MAX};
    timer_init(&side->timer, on_timer);
    list_init(&x->woken);
    list_append(&l->streams, &x->all);
    l->n_streams++;
    l->role->born(x);
}

void h2_stream_end(struct h2_stream *x) {
    struct h2_link *l = x->h2;
    struct slabs *slabs = slabs_of(x);
    consumed(x, (size_t)x->in.n + x->side->loan.left); /* of the connection's window */
    piece_give(slabs, &x->in);
    piece_give(slabs, &x->held);
    piece_give(slabs, &x->trailers);
    piece_give(slabs, &x->trail);
    timer_fini(&x->side->timer);
    list_del(&x->all);
    list_del(&x->woken);
    l->n_streams--;
    l->idle_ms = h2_link_now(l);
    h2_link_talk(l); /* it may have been the last that the connection waited for */
    l->role->free(x);
}

void h2_stream_closed(struct h2_stream *x, uint32_t error) {
    x->closed = true;
    x->error = error;
    if (x->served)
        came(x);
    else
        h2_stream_end(x);
}

void h2_stream_leave(struct h2_stream *x) {
    x->served = false;
    if (x->closed) {
        h2_stream_end(x);
        return;
    }
    x->leaving = true;
    x->h2->role->leave(x);
}

void h2_stream_tell(struct h2_stream *x) {
    const struct h2_role *role = x->h2->role;
    if (!x->served) {
        if (x->leaving && !x->closed)
            role->leave(x);
        return;
    }
    bool over = x->closed && !x->end_sent; /* what was sent does not matter any more */
    bool has_come = x->came, has_said = x->said && !over;
    x->came = x->said = false;
    if (has_come && has_said) /* one at a time: it may be the end of the exchange */
        came(x);
    if (has_said) {
        size_t went = x->went;
        x->went = 0;
        role->sent(x, went, pending(x) == 0);
    } else if (has_come) {
        role->readable(x);
    }
}

/* ---- the codec of side.h ---- */

enum body h2_stream_take(struct side *s, struct str *piece, bool *last) {
    struct h2_stream *x = of_side(s);
    debug_must(!s->loan.open);
    if (x->malformed)
        return BODY_BAD;
    if (x->starved)
        return BODY_NOMEM;
    if (x->in.n == 0 && !x->ended)
        return x->closed ? BODY_CUT : BODY_AGAIN;
    x->held = x->in;
    x->in = (struct piece){0};
    s->loan = (struct loan){x->held.n, 0, true, false};
    *piece = piece_str(&x->held);
    *last = x->ended && (x->held.n == 0 || x->trailers.n == 0);
    return BODY_PIECE;
}

void h2_stream_repay(struct side *s, size_t n) {
    struct h2_stream *x = of_side(s);
    debug_must(s->loan.open && n <= s->loan.left);
    s->loan.left -= (uint32_t)n;
    consumed(x, n);
    if (s->loan.left > 0)
        return;
    s->loan.open = false;
    piece_give(slabs_of(x), &x->held);
}

struct str h2_stream_trailers_of(const struct side *s) {
    return piece_str(&of_side(s)->trailers);
}

char *h2_stream_room(struct side *s, size_t n) {
    return n <= H2_OUT_MAX ? of_side(s)->h2->shared->room : NULL;
}

bool h2_stream_lend(struct side *s, struct str piece, bool last) {
    struct h2_stream *x = of_side(s);
    debug_must(x->lent_n == 0 && !x->end_waits);
    x->lent = piece.p;
    x->lent_n = piece.n;
    x->last = x->end_waits = last;
    said(x);                                       /* if it waits for the window, that is told */
    nghttp2_session_resume_data(x->h2->ng, x->id); /* it need not have waited */
    h2_link_talk(x->h2);
    return true;
}

bool h2_stream_trail(struct side *s, struct str lines) {
    struct h2_stream *x = of_side(s);
    if (lines.n > 0 && !piece_add(slabs_of(x), &x->trail, lines))
        return false;
    return h2_stream_lend(s, STR_NONE, true);
}

void h2_stream_unlend(struct side *s) {
    struct h2_stream *x = of_side(s);
    x->lent_n = 0;
    x->last = x->end_waits = false;
}

bool h2_stream_lending(const struct side *s) {
    const struct h2_stream *x = of_side(s);
    return x->lent_n > 0 || x->end_waits;
}

size_t h2_stream_pending(const struct side *s) { return pending(of_side(s)); }
