/* SPDX-License-Identifier: Apache-2.0
 *
 * h2: exchanges with an endpoint over HTTP/2: the role of session/h2_link.h that asks. Streams of
 * many clients share a connection, the carrier:
 *
 *     ask ─► struct asking ── head ─► HEADERS    (all streams of a turn in one send)
 *                 │ heads: the answer's, as text ◄─ HEADERS     parsed when the owner asks for it
 *                 └ in, held, trailers           ◄─ DATA        windows open by what was sent on
 *
 * A slow client holds its own stream's window and no more: that of the connection is as large as
 * all streams together.
 *
 *     takes streams ─ GOAWAY, requests used up, silent, idle ─► retired ─ no stream ─► closed
 *
 * What ends one stream leaves the connection: an owner that is done early resets its own; what the
 * endpoint resets or does wrong within a stream is that stream's failure. A stream that the
 * endpoint has not looked at (GOAWAY below it, REFUSED_STREAM, never sent) says so:
 * upstream.unseen. What is wrong with the connection (framing, HPACK, the budget) ends all of it.
 */
#include "lib/mem.h"
#include "proxy/http/h1.h"
#include "proxy/session/h2_link.h"
#include "proxy/upstream/target.h"

#include <errno.h>

enum {
    STREAMS_MAX = 512, /* of ours at a time, whatever the endpoint allows */
    STREAM_WINDOW = 64 * 1024,
    MEMORY_MAX = 2 << 20, /* of a connection, without the bodies' slabs */
    LINGER_MS = 2000,     /* a complete exchange whose stream the endpoint does not end */
    SILENT_MS = 2000,     /* nothing heard for so long although it was asked */
};

struct carrier {
    struct h2_link link;
    struct line *line;
    uint32_t keepalive_idle_ms, max_requests;
    uint64_t heard_ms; /* when it last said something */
    bool stands;       /* the connection does: connected, and with TLS both have agreed on h2 */
    bool retired;      /* takes no new streams */
};

struct asking { /* one exchange */
    struct upstream up;
    struct h2_stream x;
    struct piece heads; /* of the answer, as text: heads_at bytes of it are done with */
    uint32_t heads_at;
    uint64_t asked_ms;
    bool starting;  /* ready() is due when the connection stands */
    bool final;     /* the final head came: the next one is trailers */
    bool too_large; /* a head is */
};

static const struct h2_role role;
static const struct side_codec codec;

static struct carrier *of_link(const struct h2_link *l) {
    return (struct carrier *)(uintptr_t)container_of(l, struct carrier, link);
}
static struct asking *of_stream(struct h2_stream *x) { return container_of(x, struct asking, x); }
static struct asking *of_side(const struct side *s) { return of_stream(s->own); }
static const struct upstream_ops *ops_of(const struct asking *a) { return a->up.home->ops; }

/* ---- frames ---- */

static const struct head_limits *limits_of(const struct h2_link *l) {
    static const struct head_limits limits = {HEAD_BYTES_MAX, 256, 256};
    (void)l;
    return &limits;
}

/* What comes for a stream that is gone has no use, unless the endpoint cannot know that. */
static void on_frame(struct h2_link *l, const nghttp2_frame_hd *hd) {
    bool for_stream = hd->type == NGHTTP2_DATA || hd->type == NGHTTP2_HEADERS;
    if (for_stream && h2_stream_find(l, hd->stream_id) == NULL &&
        !h2_link_has_reset(l, hd->stream_id))
        h2_link_spend(l, 1);
}

static void on_begin(struct h2_link *l, const nghttp2_frame *f) {
    struct h2_stream *x = h2_stream_find(l, f->hd.stream_id);
    l->head.trailers = x != NULL && of_stream(x)->final;
    l->head.response = !l->head.trailers;
}

/* Kept until the owner asks for it: bodies and further heads may come before that. */
static void take_head(struct asking *a, struct str text, bool ended) {
    bool interim = text.p[9] == '1';
    if (interim)
        h2_link_spend(a->x.h2, 1);
    if (interim && ended) {
        h2_stream_malformed(&a->x);
        return;
    }
    a->final = !interim;
    if (a->x.served && !piece_add(&a->up.side.loop->slabs, &a->heads, text))
        a->too_large = true; /* more interim ones than a slab holds, or none is left */
    if (ended)
        h2_stream_ends(&a->x);
}

static int on_head(struct h2_link *l, const nghttp2_frame *f) {
    struct h2_stream *x = h2_stream_find(l, f->hd.stream_id);
    struct str text;
    if (x == NULL)
        return 0;
    struct asking *a = of_stream(x);
    if (!h2_link_text(l, false, &text))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    a->up.side.heard = true;
    x->came = true;
    h2_stream_wake(x);
    if (l->head.fault != NULL)
        h2_stream_malformed(x);
    else if (l->head.too_large)
        a->too_large = true;
    else
        take_head(a, text, (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
    return 0;
}

static void on_settings(struct h2_link *l) { (void)l; /* who waits is looked at in settle() */ }

static void abused(struct h2_link *l) { l->wrong = l->broken = true; }

/* ---- streams ---- */

static void on_born(struct h2_stream *x) { line_idle(of_link(x->h2)->line, false); }

static void on_readable(struct h2_stream *x) {
    struct asking *a = of_stream(x);
    if (!a->starting) {
        ops_of(a)->readable(&a->up);
        return;
    }
    a->starting = false;
    ops_of(a)->ready(&a->up);
}

static void on_sent(struct h2_stream *x, size_t lent, bool all) {
    struct asking *a = of_stream(x);
    ops_of(a)->sent(&a->up, lent, all);
}

static void on_timeout(struct h2_stream *x) {
    struct asking *a = of_stream(x);
    ops_of(a)->timeout(&a->up);
}

static void on_leave(struct h2_stream *x) { (void)x; /* its timer or its reset is set */ }

static void on_free(struct h2_stream *x) {
    struct asking *a = of_stream(x);
    struct carrier *c = of_link(x->h2);
    struct line *line = c->line;
    piece_give(&a->up.side.loop->slabs, &a->heads);
    h2_give(&x->h2->memory, a);
    if (c->link.n_streams > 0)
        return;
    if (line->conn.closed)
        line_free(line); /* if it was kept for this one */
    else if (!c->stands || line->up.target->orphan)
        line_end(line); /* nobody wants it any more */
    else
        line_idle(line, true);
}

static const struct h2_role role = {
    .over = NGHTTP2_CANCEL,
    .limits = limits_of,
    .frame = on_frame,
    .begin = on_begin,
    .head = on_head,
    .settings = on_settings,
    .abused = abused,
    .born = on_born,
    .readable = on_readable,
    .sent = on_sent,
    .timeout = on_timeout,
    .leave = on_leave,
    .free = on_free,
};

/* ---- the codec of side.h: what is an endpoint's own ---- */

static bool write_head(struct side *s, size_t n, uint8_t framing, bool last) {
    struct h2_stream *x = s->own;
    struct h2_link *l = x->h2;
    (void)framing;
    if (n == 0)
        return false;
    struct str scheme = l->conn->tls != NULL ? STR("https") : STR("http");
    size_t fields = h2_request_fields(l->shared->room, n, scheme, l->shared->fields, H2_FIELDS_MAX);
    if (fields == 0)
        return false;
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = h2_stream_read};
    x->last = x->end_waits = last;
    x->id = nghttp2_submit_request(l->ng, NULL, l->shared->fields, fields, last ? NULL : &body, x);
    if (x->id < 0)
        return false;
    x->heads_wait++;
    of_stream(x)->asked_ms = h2_link_now(l);
    h2_link_talk(l);
    return true;
}

static enum reason connection_reason(const struct h2_link *l) {
    if (l->wrong)
        return REASON_BAD_RESPONSE;
    if (l->io == IO_NOMEM)
        return REASON_OVERLOADED;
    return l->io == IO_FAIL ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_CLOSED;
}

/* Why there is no head. */
static enum reason reason_of(struct asking *a) {
    struct h2_stream *x = &a->x;
    if (a->too_large)
        return REASON_RESPONSE_TOO_LARGE;
    if (x->malformed || (!a->final && (x->ended || x->in.n > 0)))
        return REASON_BAD_RESPONSE;
    if (!x->closed)
        return REASON_NONE;
    a->up.unseen = !x->spoke || (!x->h2->broken && x->error == NGHTTP2_REFUSED_STREAM);
    if (x->h2->broken)
        return connection_reason(x->h2);
    a->up.side.heard = true;
    return REASON_UPSTREAM_RESET;
}

/* How the body is framed that HTTP/2 does not frame. False: it is not what was announced. */
static bool settle_framing(struct asking *a, struct head *h) {
    struct h2_stream *x = &a->x;
    h->keep_alive = true;
    if (h->status < 200)
        return true;
    if (h->framing == FRAMING_CLOSE) {
        bool none = x->ended && x->in.n == 0 && x->trailers.n == 0;
        h->framing = none ? FRAMING_LENGTH : FRAMING_CHUNKED;
        h->content_length = 0;
        return true;
    }
    h2_stream_announce(x, h->framing == FRAMING_LENGTH ? h->content_length : 0);
    return !x->malformed;
}

static bool answer(struct side *s, enum method asked, struct head *h, enum reason *reason) {
    struct asking *a = of_side(s);
    struct str in = str_skip(piece_str(&a->heads), a->heads_at);
    struct h1_scan scan = {0};
    const char *detail;
    if (in.n == 0 || a->x.malformed) {
        *reason = reason_of(a);
        return false;
    }
    enum h1 got =
        h1_parse_response(&scan, in.p, in.n, limits_of(a->x.h2), asked, h, reason, &detail);
    if (got == H1_DONE && settle_framing(a, h))
        return true;
    if (got != H1_BAD)
        *reason = REASON_BAD_RESPONSE;
    return false;
}

static bool answered(struct side *s, const struct head *h) {
    struct asking *a = of_side(s);
    a->heads_at += h->n;
    if (a->heads_at == a->heads.n) {
        piece_give(&s->loop->slabs, &a->heads);
        a->heads_at = 0;
    }
    return head_has_body(h);
}

static const struct side_codec codec = {
    H2_STREAM_CODEC,
    .head = write_head,
    .answer = answer,
    .answered = answered,
};

/* ---- the connection ---- */

static void by(uint64_t *deadline, uint64_t at) {
    if (at < *deadline)
        *deadline = at;
}

static void set_timer(struct carrier *c) {
    const struct h2_link *l = &c->link;
    struct side *side = &c->line->up.side;
    uint64_t deadline = UINT64_MAX;
    if (l->end_ms != 0)
        by(&deadline, l->end_ms);
    else if (l->head.room != NULL)
        by(&deadline, l->head_ms + H2_STALL_MS);
    else if (l->n_streams == 0)
        by(&deadline, l->idle_ms + c->keepalive_idle_ms);
    if (l->stalled_ms != 0)
        by(&deadline, l->stalled_ms + H2_STALL_MS);
    if (deadline == UINT64_MAX)
        timer_unset(&side->timer);
    else
        side_deadline(side, deadline);
}

void carrier_retire(struct carrier *c) {
    c->retired = true;
    if (c->link.n_streams == 0)
        h2_link_end(&c->link, NGHTTP2_NO_ERROR);
}

/* Its streams learn why. */
void carrier_over(struct carrier *c) {
    struct target *t = c->line->up.target;
    c->link.broken = true;
    t->n_waiting++; /* holds it */
    h2_link_gone(&c->link);
    line_end(c->line);
    target_turns(t);
    t->n_waiting--;
    target_end(t);
}

/* What follows from what happened. The connection may be over after it. */
static void settle(struct carrier *c) {
    struct h2_link *l = &c->link;
    h2_link_tell(l);
    if (l->conn->closed)
        return;
    bool writes = nghttp2_session_want_write(l->ng) != 0;
    if (l->broken || (!nghttp2_session_want_read(l->ng) && !writes && conn_pending(l->conn) == 0)) {
        carrier_over(c);
        return;
    }
    if (c->retired && l->n_streams == 0)
        h2_link_end(l, NGHTTP2_NO_ERROR);
    if (writes && h2_link_has_room(l))
        h2_link_talk(l);
    set_timer(c);
    target_turns(c->line->up.target);
}

void carrier_readable(struct carrier *c) {
    c->heard_ms = h2_link_now(&c->link);
    h2_link_read(&c->link);
    settle(c);
}

/* The last stream of a retired one may go while it is flushed. */
void carrier_fill(struct carrier *c) {
    h2_link_write(&c->link);
    if (c->retired && c->link.n_streams == 0 && !c->link.deaf && !c->link.conn->closed) {
        h2_link_end(&c->link, NGHTTP2_NO_ERROR);
        h2_link_write(&c->link);
    }
    if (!c->link.conn->closed && conn_pending(c->link.conn) == 0) /* else after the flush */
        settle(c);
}

void carrier_flushed(struct carrier *c, bool all) {
    c->link.stalled_ms = all ? 0 : h2_link_now(&c->link);
    settle(c);
}

bool carrier_stands(const struct carrier *c) { return c->stands; }

void carrier_connected(struct carrier *c) {
    c->stands = true;
    list_each(it, &c->link.streams) {
        struct h2_stream *x = list_entry(it, struct h2_stream, all);
        x->came = true;
        h2_stream_wake(x);
    }
    h2_link_talk(&c->link);
    settle(c);
}

void carrier_broken(struct carrier *c, enum conn_end why) {
    struct line *line = c->line;
    if (c->stands) {
        c->link.io = why == CONN_RESET ? IO_FAIL : IO_EOF;
        carrier_over(c);
        return;
    }
    struct target *t = line->up.target;
    c->retired = true;
    t->n_waiting++; /* holds it */
    for (struct list *n; (n = list_pop(&c->link.streams)) != NULL;) {
        struct asking *a = of_stream(list_entry(n, struct h2_stream, all));
        a->x.closed = true;
        ops_of(a)->broken(&a->up, why); /* releases it */
    }
    line_end(line);
    target_turns(t);
    t->n_waiting--;
    target_end(t);
}

void carrier_timeout(struct carrier *c) {
    struct h2_link *l = &c->link;
    uint64_t now = h2_link_now(l);
    bool stalled = l->stalled_ms != 0 && now >= l->stalled_ms + H2_STALL_MS;
    bool slow = l->head.room != NULL && now >= l->head_ms + H2_STALL_MS;
    if (stalled || slow || (l->end_ms != 0 && now >= l->end_ms)) {
        l->io = IO_EOF;
        carrier_over(c);
        return;
    }
    if (l->n_streams == 0 && now >= l->idle_ms + c->keepalive_idle_ms)
        carrier_retire(c);
    set_timer(c);
}

/* ---- exchanges ---- */

bool carrier_has_room(const struct carrier *c) {
    const struct h2_link *l = &c->link;
    uint32_t theirs =
        nghttp2_session_get_remote_settings(l->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return !c->retired && !l->deaf && !l->broken && !l->conn->closed &&
           l->n_streams < size_min(STREAMS_MAX, theirs) &&
           nghttp2_session_check_request_allowed(l->ng) != 0;
}

bool carrier_is_used(const struct carrier *c) { return c->link.n_streams > 0; }

uint64_t carrier_idle_ms(const struct carrier *c) {
    bool rests = !carrier_is_used(c) && c->stands;
    return rests ? h2_link_now(&c->link) - c->link.idle_ms : 0;
}

struct upstream *carrier_ask(struct carrier *c) {
    struct line *line = c->line;
    struct asking *a = h2_take(&c->link.memory, sizeof(*a));
    if (a == NULL)
        return NULL;
    *a = (struct asking){.up = {.side = {.codec = &codec, .own = &a->x, .loop = line->conn.loop},
                                .home = line->up.home,
                                .target = line->up.target,
                                .line = line,
                                .started_ns = line->conn.loop->now_ns},
                         .asked_ms = h2_link_now(&c->link),
                         .starting = !c->stands};
    h2_stream_init(&a->x, &c->link, &a->up.side);
    a->x.served = true;
    timer_unset(&line->up.side.timer);
    if (++line->requests >= c->max_requests)
        carrier_retire(c);
    return &a->up;
}

void carrier_release(struct upstream *u, bool complete) {
    struct asking *a = container_of(u, struct asking, up);
    struct h2_stream *x = &a->x;
    struct carrier *c = of_link(x->h2);
    uint64_t now = h2_link_now(&c->link);
    bool silent = !complete && now >= a->asked_ms + SILENT_MS && c->heard_ms <= a->asked_ms;
    u->owner = NULL;
    h2_stream_unlend(&u->side);
    timer_unset(&u->side.timer);
    if (silent && !c->retired && c->stands)
        carrier_retire(c); /* it may be dead without a word */
    if (!x->closed && complete)
        side_deadline(&u->side, now + LINGER_MS);
    else if (!x->closed && x->id > 0)
        h2_stream_reset(x, x->malformed ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_CANCEL);
    else
        x->closed = true; /* nghttp2 has never heard of it */
    h2_stream_leave(x);
}

/* ---- life ---- */

static bool greet(struct h2_link *l) {
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_BYTES_MAX},
    };
    return nghttp2_submit_settings(l->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0 &&
           nghttp2_session_set_local_window_size(l->ng, NGHTTP2_FLAG_NONE, 0,
                                                 STREAMS_MAX * STREAM_WINDOW) == 0;
}

struct carrier *carrier_new(struct line *line, const struct backend *b) {
    struct carrier *c = mem_try_zero(sizeof(*c));
    if (c == NULL)
        return NULL;
    c->line = line;
    c->keepalive_idle_ms = b->keepalive_idle_ms;
    c->max_requests = b->max_requests;
    if (!h2_link_init(&c->link, &role, line->up.home->h2, &line->conn, true, MEMORY_MAX)) {
        mem_free(c);
        return NULL;
    }
    if (greet(&c->link))
        return c;
    carrier_free(c);
    return NULL;
}

void carrier_free(struct carrier *c) {
    if (c == NULL)
        return;
    h2_link_fini(&c->link);
    mem_free(c);
}
