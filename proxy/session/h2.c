/* SPDX-License-Identifier: Apache-2.0
 *
 * h2: requests of a client, the connection's timers and its end; see h2.h.
 */
#include "proxy/session/h2.h"

#include "proxy/session/parts.h"

#include "lib/mem.h"

enum {
    MAX_STREAMS = 128,
    CONNECTION_WINDOW = 1 << 20,
    MEMORY_MAX = 1 << 20, /* of a connection, without the bodies' slabs */
    NOTICE_MS = 1000,     /* from the first GOAWAY to the last: more than a round trip */
};

struct h2 {
    struct h2_link link;
    struct session *session;
    uint64_t goaway_ms; /* when the last GOAWAY is due; 0: not */
    int32_t last_id;    /* the newest stream that the client began */
    bool draining;      /* the notice was given */
};

struct asked { /* one request */
    struct client client;
    struct h2_stream x;
    struct piece head; /* while it has not begun: its head ... */
    struct str text;   /* ... as text, in there */
};

static const struct h2_role role;
static const struct side_codec codec;

static struct h2 *of_link(const struct h2_link *l) {
    return (struct h2 *)(uintptr_t)container_of(l, struct h2, link);
}
static struct asked *of_stream(struct h2_stream *x) { return container_of(x, struct asked, x); }
static struct h2_stream *of_client(struct client *c) {
    return &container_of(c, struct asked, client)->x;
}
static struct session_env *env_of(const struct h2_link *l) {
    return of_link(l)->session->client.env;
}

static void abused(struct h2_link *l) {
    env_of(l)->ops->ended(&of_link(l)->session->client, REASON_RATE_LIMITED);
}

/* ---- frames ---- */

/* nghttp2 forgets closed streams and lets frames on them pass. Those are right only while the
 * client cannot know that we have closed one (RFC 9113 5.1). */
static bool is_on_closed(struct h2 *h2, const nghttp2_frame_hd *hd) {
    if ((hd->type != NGHTTP2_DATA && hd->type != NGHTTP2_HEADERS) || hd->stream_id > h2->last_id ||
        nghttp2_session_get_stream_remote_close(h2->link.ng, hd->stream_id) >= 0 ||
        h2_link_has_reset(&h2->link, hd->stream_id))
        return false;
    return hd->stream_id % 2 != 0; /* else nghttp2 says what is wrong with it */
}

static void on_frame(struct h2_link *l, const nghttp2_frame_hd *hd) {
    struct h2 *h2 = of_link(l);
    if (is_on_closed(h2, hd))
        h2_link_end(l, NGHTTP2_STREAM_CLOSED);
    if (hd->type == NGHTTP2_HEADERS && hd->stream_id > h2->last_id)
        h2->last_id = hd->stream_id;
}

static void on_settings(struct h2_link *l) { (void)l; }

/* ---- heads ---- */

static const struct head_limits *limits_of(const struct h2_link *l) {
    return &env_of(l)->limits->head;
}

static void on_begin(struct h2_link *l, const nghttp2_frame *f) {
    l->head.trailers = f->headers.cat != NGHTTP2_HCAT_REQUEST;
}

static void refuse(struct asked *a, enum reason reason, const char *detail, size_t bytes) {
    a->client.env->ops->refuse(&a->client, reason, detail, bytes);
}

/* The text is read as any other head. The stream may be over after it. */
static void judge(struct asked *a, struct str text) {
    struct session_env *env = a->client.env;
    struct h1_scan scan = {0};
    size_t skipped;
    enum reason reason;
    const char *detail;
    if (h1_parse_request(&scan, text.p, text.n, &env->limits->head, env->head, &skipped, &reason,
                         &detail) != H1_DONE) {
        refuse(a, reason, detail, text.n);
        return;
    }
    if (env->head->framing == FRAMING_LENGTH)
        h2_stream_announce(&a->x, env->head->content_length);
    if (a->x.malformed) {
        refuse(a, REASON_BAD_REQUEST, "its body or trailers do not fit its head", text.n);
        return;
    }
    of_link(a->x.h2)->session->requests++;
    env->ops->request(&a->client);
}

/* When all that was read at once has been looked at: a request that is reset in the same breath
 * costs nobody a connection (S20). */
static void begin(struct asked *a) {
    struct slabs *slabs = &a->client.side.loop->slabs;
    struct piece head = a->head;
    a->head = (struct piece){0};
    a->x.served = false;
    a->x.came = a->x.in.n > 0;
    if (a->x.came) /* told when it has a stream */
        h2_stream_wake(&a->x);
    judge(a, a->text);
    piece_give(slabs, &head);
}

static struct asked *asked_new(struct h2_link *l, int32_t id) {
    struct asked *a = h2_take(&l->memory, sizeof(*a));
    struct session *s = of_link(l)->session;
    if (a == NULL)
        return NULL;
    a->client = (struct client){.side = {.codec = &codec, .own = &a->x, .loop = s->conn.loop},
                                .env = s->client.env,
                                .visitor = &s->visitor,
                                .h2 = true,
                                .started_ns = s->conn.loop->now_ns};
    a->head = (struct piece){0};
    h2_stream_init(&a->x, l, &a->client.side);
    a->x.id = id;
    nghttp2_session_set_stream_user_data(l->ng, id, &a->x);
    return a;
}

static void wait_for_turn(struct asked *a, struct str text) {
    a->head = h2_link_take_head(a->x.h2);
    a->text = text;
    a->x.served = a->x.came = true;
    h2_stream_wake(&a->x);
}

static int on_head(struct h2_link *l, const nghttp2_frame *f) {
    bool ended = (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct str text;
    struct asked *a = h2_link_text(l, ended, &text) ? asked_new(l, f->hd.stream_id) : NULL;
    if (a == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    a->x.ended = ended;
    a->x.malformed = l->head.fault != NULL;
    if (a->x.malformed)
        refuse(a, REASON_BAD_REQUEST, l->head.fault, l->head.heard);
    else if (l->head.too_large)
        refuse(a, REASON_HEADER_TOO_LARGE, "the head is longer than the limit", l->head.heard);
    else
        wait_for_turn(a, text);
    return 0;
}

/* ---- streams ---- */

static void on_born(struct h2_stream *x) { session_idle(of_link(x->h2)->session, false); }

static void on_readable(struct h2_stream *x) {
    struct asked *a = of_stream(x);
    struct client *c = &a->client;
    if (a->head.p != NULL && x->closed)
        h2_stream_leave(x);
    else if (a->head.p != NULL)
        begin(a);
    else if (x->closed && (!x->end_sent || x->h2->broken))
        c->env->ops->gone(c);
    else
        c->env->ops->readable(c);
}

static void on_spoilt(struct h2_stream *x) {
    struct asked *a = of_stream(x);
    if (a->head.p == NULL)
        return;
    piece_give(&a->client.side.loop->slabs, &a->head);
    x->served = false;
}

static void on_sent(struct h2_stream *x, size_t lent, bool all) {
    struct client *c = &of_stream(x)->client;
    c->env->ops->sent(c, lent, all);
}

static void on_timeout(struct h2_stream *x) {
    struct client *c = &of_stream(x)->client;
    c->env->ops->timeout(c);
}

/* When what it said went, the client may still be sending, in vain. Not every client takes a reset
 * for what it is (RFC 9113 8.1), so it has some time to end by itself. */
static void on_leave(struct h2_stream *x) {
    bool waits = h2_stream_pending(x->side) > 0;
    if (x->malformed && !waits)
        h2_stream_reset(x, NGHTTP2_PROTOCOL_ERROR);
    else
        side_deadline(x->side, h2_link_now(x->h2) +
                                   (waits ? (uint64_t)H2_STALL_MS : (uint64_t)SESSION_LINGER_MS));
}

static void on_free(struct h2_stream *x) {
    struct asked *a = of_stream(x);
    piece_give(&a->client.side.loop->slabs, &a->head);
    h2_give(&x->h2->memory, a);
}

static const struct h2_role role = {
    .patient = true,
    .over = NGHTTP2_NO_ERROR,
    .limits = limits_of,
    .frame = on_frame,
    .begin = on_begin,
    .head = on_head,
    .settings = on_settings,
    .abused = abused,
    .born = on_born,
    .spoilt = on_spoilt,
    .readable = on_readable,
    .sent = on_sent,
    .timeout = on_timeout,
    .leave = on_leave,
    .free = on_free,
};

/* ---- the codec of side.h: what is a client's own ---- */

static bool accept_request(struct client *c, struct stream *st) {
    struct h2_stream *x = of_client(c);
    c->stream = st;
    x->served = true;
    if (c->env->head->framing == FRAMING_NONE) /* behind a CONNECT: waits for its tunnel (S08) */
        return false;
    return !x->ended || x->in.n > 0 || c->env->head->framing == FRAMING_CHUNKED;
}

static bool write_head(struct side *s, size_t n, uint8_t framing, bool last) {
    struct h2_stream *x = s->own;
    struct h2_link *l = x->h2;
    nghttp2_nv *nv = l->shared->fields;
    unsigned status;
    (void)framing;
    if (n == 0)
        return true;
    size_t fields = h2_answer_fields(l->shared->room, n, nv, H2_FIELDS_MAX, &status);
    if (fields == 0)
        return false;
    nghttp2_data_provider body = {.source.ptr = x, .read_callback = h2_stream_read};
    int rv;
    if (status < 200 && status != 101) {
        rv = nghttp2_submit_headers(l->ng, NGHTTP2_FLAG_NONE, x->id, NULL, nv, fields, NULL);
    } else {
        x->end_waits = last;
        x->last = last;
        bool bare = last && !x->malformed;
        rv = nghttp2_submit_response(l->ng, x->id, nv, fields, bare ? NULL : &body);
    }
    x->heads_wait += rv == 0;
    h2_link_talk(l);
    return rv == 0;
}

static void abort_exchange(struct side *s) {
    struct h2_stream *x = s->own;
    of_stream(x)->client.stream = NULL;
    x->served = false;
    timer_unset(&s->timer);
    h2_stream_unlend(s);
    if (x->closed)
        h2_stream_end(x);
    else
        h2_stream_reset(x, x->malformed ? NGHTTP2_PROTOCOL_ERROR
                           : x->tunnel  ? NGHTTP2_CANCEL
                                        : NGHTTP2_INTERNAL_ERROR);
}

/* DATA is what it carries already. */
static void begin_tunnel(struct side *s) {
    struct h2_stream *x = s->own;
    x->tunnel = true;
}

static bool proceed(struct client *c) {
    struct h2_stream *x = of_client(c);
    static const nghttp2_nv status = {.name = (uint8_t *)(uintptr_t) ":status",
                                      .value = (uint8_t *)(uintptr_t) "100",
                                      .namelen = 7,
                                      .valuelen = 3};
    if (x->in.n > 0 || x->ended)
        return true;
    int rv = nghttp2_submit_headers(x->h2->ng, NGHTTP2_FLAG_NONE, x->id, NULL, &status, 1, NULL);
    x->heads_wait += rv == 0;
    h2_link_talk(x->h2);
    return rv == 0;
}

static bool is_gone(struct client *c) {
    (void)c; /* its reset says so */
    return false;
}

static void done(struct client *c, bool keep) {
    (void)keep; /* streams do not follow each other */
    c->stream = NULL;
    h2_stream_leave(of_client(c));
}

static const struct side_codec codec = {
    H2_STREAM_CODEC,          .head = write_head, .abort = abort_exchange, .tunnel = begin_tunnel,
    .accept = accept_request, .proceed = proceed, .gone = is_gone,         .done = done,
};

/* ---- timers and the end ---- */

static void by(uint64_t *deadline, uint64_t at) {
    if (at < *deadline)
        *deadline = at;
}

static void set_timer(struct h2 *h2) {
    const struct h2_link *l = &h2->link;
    const struct limits *limits = env_of(l)->limits;
    struct side *side = &h2->session->client.side;
    uint64_t deadline = UINT64_MAX;
    if (l->end_ms != 0)
        by(&deadline, l->end_ms);
    else if (l->head.room != NULL)
        by(&deadline, l->head_ms + limits->header_timeout_ms);
    else if (l->n_streams == 0)
        by(&deadline, l->idle_ms + limits->idle_timeout_ms);
    if (l->stalled_ms != 0)
        by(&deadline, l->stalled_ms + H2_STALL_MS);
    if (h2->goaway_ms != 0)
        by(&deadline, h2->goaway_ms);
    if (deadline == UINT64_MAX)
        timer_unset(&side->timer);
    else
        side_deadline(side, deadline);
}

void h2_close(struct h2 *h2, bool reset) {
    h2->link.broken = true;
    h2_link_gone(&h2->link);
    session_end(h2->session, reset);
}

/* What follows from what happened. The connection may be over after it. */
static void settle(struct h2 *h2) {
    struct h2_link *l = &h2->link;
    h2_link_tell(l);
    if (l->broken) {
        h2_close(h2, true);
        return;
    }
    bool writes = nghttp2_session_want_write(l->ng) != 0;
    if (!nghttp2_session_want_read(l->ng) && !writes && conn_pending(l->conn) == 0) {
        l->broken = true;
        h2_link_gone(l);
        session_idle(h2->session, false);
        session_linger(h2->session);
        conn_again(l->conn); /* what it still sends is thrown away */
        return;
    }
    if (writes && h2_link_has_room(l))
        h2_link_talk(l);
    session_idle(h2->session, l->n_streams == 0 && l->head.room == NULL && !h2->draining);
    set_timer(h2);
}

void h2_timeout(struct h2 *h2) {
    struct h2_link *l = &h2->link;
    const struct limits *limits = env_of(l)->limits;
    uint64_t now = h2_link_now(l);
    if ((l->stalled_ms != 0 && now >= l->stalled_ms + H2_STALL_MS) ||
        (l->end_ms != 0 && now >= l->end_ms)) {
        h2_close(h2, true);
        return;
    }
    if (h2->goaway_ms != 0 && now >= h2->goaway_ms) {
        h2->goaway_ms = 0;
        int32_t last = nghttp2_session_get_last_proc_stream_id(l->ng);
        nghttp2_submit_goaway(l->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
        h2_link_talk(l);
    }
    bool heads = l->head.room != NULL;
    if (heads && now >= l->head_ms + limits->header_timeout_ms)
        h2_link_end(l, NGHTTP2_ENHANCE_YOUR_CALM);
    else if (!heads && l->n_streams == 0 && now >= l->idle_ms + limits->idle_timeout_ms)
        h2_link_end(l, NGHTTP2_NO_ERROR);
    set_timer(h2);
}

void h2_drain(struct h2 *h2) {
    if (h2->draining)
        return;
    h2->draining = true;
    session_idle(h2->session, false); /* until the last GOAWAY a request may be on its way */
    nghttp2_submit_shutdown_notice(h2->link.ng);
    h2->goaway_ms = h2_link_now(&h2->link) + NOTICE_MS;
    h2_link_talk(&h2->link);
    set_timer(h2);
}

/* ---- events ---- */

void h2_readable(struct h2 *h2) {
    h2_link_read(&h2->link);
    settle(h2);
}

void h2_fill(struct h2 *h2) {
    h2_link_write(&h2->link);
    if (conn_pending(h2->link.conn) == 0) /* else after the flush */
        settle(h2);
}

void h2_flushed(struct h2 *h2, bool all) {
    struct h2_link *l = &h2->link;
    l->stalled_ms = all ? 0 : h2_link_now(l);
    if (all && l->conn->can_read)
        conn_again(l->conn);
    settle(h2);
}

/* ---- life ---- */

bool h2_is_preface(struct str in) { return str_starts(in, STR("PRI * HTTP/2.0\r\n\r\n")); }

static bool greet(struct h2_link *l) {
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits_of(l)->bytes},
    };
    return nghttp2_submit_settings(l->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0 &&
           nghttp2_session_set_local_window_size(l->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) ==
               0;
}

struct h2 *h2_new(struct session *s) {
    struct session_env *env = s->client.env;
    struct h2 *h2 = mem_try_zero(sizeof(*h2));
    if (h2 == NULL)
        return NULL;
    h2->session = s;
    if (!h2_link_init(&h2->link, &role, env->h2, &s->conn, false, MEMORY_MAX)) {
        mem_free(h2);
        return NULL;
    }
    if (!greet(&h2->link)) {
        h2_free(h2);
        return NULL;
    }
    s->client.h2 = true;
    h2_link_talk(&h2->link);
    if (env->draining)
        h2_drain(h2);
    return h2;
}

void h2_free(struct h2 *h2) {
    if (h2 == NULL)
        return;
    h2_link_fini(&h2->link);
    mem_free(h2);
}
