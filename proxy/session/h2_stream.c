/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_stream: one exchange. Two things may keep it: the stream that serves it (client.stream), and
 * nghttp2 until its close callback; the later of the two frees it.
 */
#include "proxy/session/h2_parts.h"

static const struct side_codec codec;

static struct h2_stream *of_side(const struct side *x) {
    return (struct h2_stream *)(uintptr_t)container_of(x, struct h2_stream, client.side);
}
static struct h2_stream *of_client(struct client *c) {
    return container_of(c, struct h2_stream, client);
}

static struct slabs *slabs_of(struct h2_stream *x) { return &x->client.side.loop->slabs; }

static void wake(struct h2_stream *x) {
    if (list_empty(&x->woken))
        list_append(&x->h2->woken, &x->woken);
}

/* Of the answer: what is not in the connection's buffer yet. */
static size_t pending(const struct h2_stream *x) {
    return x->lent_n + x->heads_wait + (x->end_waits ? 1 : 0);
}

/* So many bytes of its body lie here no longer. */
static void consumed(struct h2_stream *x, size_t n) {
    if (n > 0 && nghttp2_session_consume(x->h2->ng, x->id, n) == 0)
        h2_talk(x->h2);
}

static void reset(struct h2_stream *x, uint32_t code) {
    nghttp2_submit_rst_stream(x->h2->ng, NGHTTP2_FLAG_NONE, x->id, code);
    h2_talk(x->h2);
}

/* ---- body bytes ---- */

static enum slab_size size_for(size_t n) {
    int size = SLAB_2K;
    while (size < SLAB_64K && slab_bytes((enum slab_size)size) < n)
        size++;
    return (enum slab_size)size;
}

static void piece_give(struct h2_stream *x, struct h2_piece *p) {
    if (p->p != NULL)
        slab_give(slabs_of(x), (enum slab_size)p->size, p->p);
    *p = (struct h2_piece){0};
}

/* Windows see to it that the largest slab is enough. False: no slab. */
static bool piece_add(struct h2_stream *x, struct h2_piece *to, const char *p, size_t n) {
    if (to->p == NULL || slab_bytes((enum slab_size)to->size) - to->n < n) {
        enum slab_size size = size_for(to->n + n);
        char *room = to->n + n <= slab_bytes(size) ? slab_take(slabs_of(x), size) : NULL;
        if (room == NULL)
            return false;
        struct h2_piece old = *to;
        if (old.n > 0)
            memcpy(room, old.p, old.n);
        piece_give(x, to);
        *to = (struct h2_piece){room, old.n, (uint8_t)size};
    }
    memcpy(to->p + to->n, p, n);
    to->n += (uint32_t)n;
    return true;
}

void h2_stream_malformed(struct h2_stream *x) {
    x->malformed = true;
    x->came = true;
    wake(x);
    if (x->leaving) /* it was answered: now, since with its end the stream may be closed */
        reset(x, NGHTTP2_PROTOCOL_ERROR);
}

void h2_stream_data(struct h2_stream *x, const char *p, size_t n) {
    if (x->left != UINT64_MAX && n > x->left)
        h2_stream_malformed(x);
    else if (x->left != UINT64_MAX)
        x->left -= n;
    bool keep = (x->client.stream != NULL || x->head.p != NULL) && !x->malformed && !x->starved;
    if (keep && !piece_add(x, &x->in, p, n))
        keep = !(x->starved = true);
    if (!keep)
        consumed(x, n);
    if (x->leaving && (x->lingered += (uint32_t)n) > SESSION_LINGER_BYTES)
        reset(x, NGHTTP2_NO_ERROR);
    x->came = true;
    wake(x);
}

void h2_stream_ends(struct h2_stream *x) {
    x->ended = true;
    if (x->left != 0 && x->left != UINT64_MAX)
        h2_stream_malformed(x);
    x->came = true;
    wake(x);
}

/* ---- life ---- */

static void on_timer(struct timer *t) {
    struct h2_stream *x = container_of(t, struct h2_stream, client.side.timer);
    if (x->client.stream != NULL)
        x->client.env->ops->timeout(&x->client);
    else
        reset(x, pending(x) > 0 ? NGHTTP2_CANCEL : NGHTTP2_NO_ERROR);
}

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id) {
    struct h2_stream *x = h2_take(&h2->memory, sizeof(*x));
    struct session *s = h2->session;
    if (x == NULL)
        return NULL;
    *x = (struct h2_stream){.client = {.side = {.codec = &codec, .loop = s->conn.loop},
                                       .env = s->client.env,
                                       .visitor = &s->visitor,
                                       .h2 = true,
                                       .started_ns = s->conn.loop->now_ns},
                            .h2 = h2,
                            .id = id,
                            .left = UINT64_MAX};
    timer_init(&x->client.side.timer, on_timer);
    list_init(&x->woken);
    list_append(&h2->streams, &x->link);
    h2->n_streams++;
    session_idle(s, false);
    nghttp2_session_set_stream_user_data(h2->ng, id, x);
    return x;
}

static void stream_free(struct h2_stream *x) {
    struct h2 *h2 = x->h2;
    consumed(x, (size_t)x->in.n + x->client.side.loan.left); /* of the connection's window */
    piece_give(x, &x->head);
    piece_give(x, &x->in);
    piece_give(x, &x->held);
    timer_fini(&x->client.side.timer);
    list_del(&x->link);
    list_del(&x->woken);
    h2->n_streams--;
    h2->idle_ms = h2_now(h2);
    h2_talk(h2); /* it may have been the last that the connection waited for */
    h2_give(&h2->memory, x);
}

void h2_stream_closed(struct h2_stream *x) {
    x->closed = true;
    if (x->client.stream == NULL) {
        stream_free(x);
    } else if (!x->end_sent) {
        x->gone = true;
        wake(x);
    }
}

/* ---- the beginning ---- */

void h2_stream_refuse(struct h2_stream *x, enum reason reason, const char *detail, size_t bytes) {
    x->client.env->ops->refuse(&x->client, reason, detail, bytes);
}

void h2_stream_head(struct h2_stream *x, struct h2_piece slab, struct str text) {
    x->head = slab;
    x->text = text;
    wake(x);
}

void h2_stream_spoilt(struct h2_stream *x) { piece_give(x, &x->head); }

/* What is left of the announced length when some of it is here. False: they do not agree (S09). */
static bool count_length(struct h2_stream *x, uint64_t announced) {
    if (x->in.n > announced)
        return false;
    x->left = announced - x->in.n;
    return x->left == 0 || !x->ended;
}

/* The text is read as any other head. The stream may be over after it. */
static void judge(struct h2_stream *x, struct str text) {
    struct session_env *env = x->client.env;
    struct h1_scan scan = {0};
    size_t skipped;
    enum reason reason;
    const char *detail;
    if (h1_parse_request(&scan, text.p, text.n, &env->limits->head, env->head, &skipped, &reason,
                         &detail) != H1_DONE) {
        h2_stream_refuse(x, reason, detail, text.n);
        return;
    }
    if (env->head->framing == FRAMING_LENGTH && !count_length(x, env->head->content_length))
        x->malformed = true;
    if (x->malformed) {
        h2_stream_refuse(x, REASON_BAD_REQUEST, "its body or trailers do not fit its head", text.n);
        return;
    }
    x->h2->session->requests++;
    env->ops->request(&x->client);
}

static void begin(struct h2_stream *x) {
    struct slabs *slabs = slabs_of(x);
    struct h2_piece head = x->head;
    x->head = (struct h2_piece){0};
    x->came = x->in.n > 0;
    if (x->came) /* told when it has a stream */
        wake(x);
    judge(x, x->text);
    slab_give(slabs, (enum slab_size)head.size, head.p);
}

/* ---- what is told to the stream ---- */

void h2_stream_head_sent(struct h2_stream *x, bool end) {
    x->heads_wait--;
    if (end) {
        x->end_waits = false;
        x->end_sent = true;
    }
    x->said = true;
    wake(x);
}

void h2_stream_went(struct h2_stream *x, size_t n) {
    debug_must(n <= x->lent_n);
    x->lent += n;
    x->lent_n -= n;
    x->went += n;
    if (x->lent_n == 0 && x->end_waits) {
        x->end_waits = false;
        x->end_sent = true;
    }
    x->said = true;
    wake(x);
}

/* When what it said went, the client may still be sending, in vain. Not every client takes a reset
 * for what it is (RFC 9113 8.1), so it has some time to end by itself. */
static void leave(struct h2_stream *x) {
    bool waits = pending(x) > 0;
    if (!x->leaving || x->closed)
        return;
    if (x->malformed && !waits)
        reset(x, NGHTTP2_PROTOCOL_ERROR);
    else
        side_deadline(&x->client.side,
                      h2_now(x->h2) + (waits ? (uint64_t)H2_STALL_MS : SESSION_LINGER_MS));
}

static void tell(struct h2_stream *x) {
    const struct client_ops *ops = x->client.env->ops;
    if (x->head.p != NULL) {
        begin(x);
        return;
    }
    if (x->client.stream == NULL) {
        leave(x);
        return;
    }
    if (x->gone) {
        ops->gone(&x->client);
        return;
    }
    bool came = x->came, said = x->said;
    x->came = x->said = false;
    if (came && said) { /* one at a time: it may be the end of the exchange */
        x->came = true;
        wake(x);
    }
    if (said) {
        size_t went = x->went;
        x->went = 0;
        ops->sent(&x->client, went, pending(x) == 0);
    } else if (came) {
        ops->readable(&x->client);
    }
}

void h2_streams_tell(struct h2 *h2) {
    for (struct list *n; (n = list_pop(&h2->woken)) != NULL;)
        tell(list_entry(n, struct h2_stream, woken));
}

void h2_streams_gone(struct h2 *h2) {
    for (struct list *n; (n = list_pop(&h2->streams)) != NULL;) {
        struct h2_stream *x = list_entry(n, struct h2_stream, link);
        x->closed = true;
        if (x->client.stream != NULL)
            x->client.env->ops->gone(&x->client); /* frees it */
        else
            stream_free(x);
    }
}

/* ---- the answer, for nghttp2 ---- */

ssize_t h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                       nghttp2_data_source *source, void *arg) {
    struct h2_stream *x = source->ptr;
    (void)ng, (void)id, (void)to, (void)arg;
    if (x->lent_n == 0 && !x->end_waits)
        return NGHTTP2_ERR_DEFERRED;
    size_t n = size_min(x->lent_n, max);
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == x->lent_n && x->last)
        *flags |= NGHTTP2_DATA_FLAG_EOF | (x->malformed ? NGHTTP2_DATA_FLAG_NO_END_STREAM : 0U);
    return (ssize_t)n;
}

/* ---- the codec of side.h ---- */

static bool h2_accept(struct client *c, struct stream *st) {
    c->stream = st;
    const struct h2_stream *x = of_client(c);
    if (c->env->head->framing ==
        FRAMING_NONE) /* what follows a CONNECT waits for its tunnel (S08) */
        return false;
    return !x->ended || x->in.n > 0 || c->env->head->framing == FRAMING_CHUNKED;
}

static enum body h2_take_piece(struct side *s, struct str *piece, bool *last) {
    struct h2_stream *x = of_side(s);
    debug_must(!s->loan.open);
    if (x->malformed)
        return BODY_BAD;
    if (x->starved)
        return BODY_NOMEM;
    if (x->in.n == 0 && !x->ended)
        return BODY_AGAIN;
    x->held = x->in;
    x->in = (struct h2_piece){0};
    s->loan = (struct loan){x->held.n, 0, true};
    *piece = str_mk(x->held.p, x->held.n);
    *last = x->ended;
    return BODY_PIECE;
}

static void h2_repay(struct side *s, size_t n) {
    struct h2_stream *x = of_side(s);
    debug_must(s->loan.open && n <= s->loan.left);
    s->loan.left -= (uint32_t)n;
    consumed(x, n);
    if (s->loan.left > 0)
        return;
    s->loan.open = false;
    piece_give(x, &x->held);
}

static char *h2_room(struct side *s, size_t n) {
    return n <= H2_OUT_MAX ? of_side(s)->h2->shared->room : NULL;
}

static bool h2_head(struct side *s, size_t n, uint8_t framing, bool last) {
    struct h2_stream *x = of_side(s);
    struct h2 *h2 = x->h2;
    nghttp2_nv *nv = h2->shared->fields;
    unsigned status;
    (void)framing;
    if (n == 0)
        return true;
    size_t fields = h2_answer_fields(h2->shared->room, n, nv, H2_FIELDS_MAX, &status);
    if (fields == 0)
        return false;
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = h2_stream_read};
    int rv;
    if (status < 200 && status != 101) {
        rv = nghttp2_submit_headers(h2->ng, NGHTTP2_FLAG_NONE, x->id, NULL, nv, fields, NULL);
    } else {
        x->end_waits = last;
        x->last = last;
        bool bare = last && !x->malformed;
        rv = nghttp2_submit_response(h2->ng, x->id, nv, fields, bare ? NULL : &body);
    }
    x->heads_wait += rv == 0;
    h2_talk(h2);
    return rv == 0;
}

static bool h2_lend(struct side *s, struct str piece, bool last) {
    struct h2_stream *x = of_side(s);
    debug_must(x->lent_n == 0 && !x->end_waits);
    x->lent = piece.p;
    x->lent_n = piece.n;
    x->last = x->end_waits = last;
    x->said = true; /* if it waits for the window, that is told */
    wake(x);
    nghttp2_session_resume_data(x->h2->ng, x->id); /* it need not have waited */
    h2_talk(x->h2);
    return true;
}

static void h2_unlend(struct side *s) {
    struct h2_stream *x = of_side(s);
    x->lent_n = 0;
    x->last = x->end_waits = false;
}

static bool h2_lending(const struct side *s) {
    const struct h2_stream *x = of_side(s);
    return x->lent_n > 0 || x->end_waits;
}

static size_t h2_pending(const struct side *s) { return pending(of_side(s)); }

static void h2_abort(struct side *s) {
    struct h2_stream *x = of_side(s);
    x->client.stream = NULL;
    timer_unset(&s->timer);
    h2_unlend(s);
    if (x->closed)
        stream_free(x);
    else
        reset(x, x->malformed ? NGHTTP2_PROTOCOL_ERROR
                 : x->tunnel  ? NGHTTP2_CANCEL
                              : NGHTTP2_INTERNAL_ERROR);
}

/* DATA is what it carries already. */
static void h2_tunnel(struct side *s) { of_side(s)->tunnel = true; }

static bool h2_proceed(struct client *c) {
    struct h2_stream *x = of_client(c);
    static const nghttp2_nv status = {.name = (uint8_t *)(uintptr_t) ":status",
                                      .value = (uint8_t *)(uintptr_t) "100",
                                      .namelen = 7,
                                      .valuelen = 3};
    if (x->in.n > 0 || x->ended)
        return true;
    int rv = nghttp2_submit_headers(x->h2->ng, NGHTTP2_FLAG_NONE, x->id, NULL, &status, 1, NULL);
    x->heads_wait += rv == 0;
    h2_talk(x->h2);
    return rv == 0;
}

static bool h2_gone(struct client *c) {
    (void)c; /* its reset says so */
    return false;
}

static void h2_done(struct client *c, bool keep) {
    struct h2_stream *x = of_client(c);
    (void)keep; /* streams do not follow each other */
    c->stream = NULL;
    if (x->closed) {
        stream_free(x);
        return;
    }
    x->leaving = true;
    leave(x);
}

static const struct side_codec codec = {
    .take = h2_take_piece,
    .repay = h2_repay,
    .room = h2_room,
    .head = h2_head,
    .lend = h2_lend,
    .unlend = h2_unlend,
    .lending = h2_lending,
    .pending = h2_pending,
    .abort = h2_abort,
    .tunnel = h2_tunnel,
    .accept = h2_accept,
    .proceed = h2_proceed,
    .gone = h2_gone,
    .done = h2_done,
};
