/* SPDX-License-Identifier: Apache-2.0
 *
 * h2: the connection; see h2.h. nghttp2's own checks of messages are off: h2_head.c and h1_parse.c
 * judge them, so that what is refused is answered, logged and counted like all else.
 */
#include "proxy/session/h2_parts.h"

#include "lib/mem.h"

enum {
    MAX_STREAMS = 128,
    CONNECTION_WINDOW = 1 << 20,
    MEMORY_MAX = 1 << 20,    /* of a connection, without the bodies' slabs */
    FRAME_MAX = 9 + 16384,   /* nghttp2 makes no larger ones */
    HEARD_MAX = 256 * 1024,  /* of one head, whatever the limits let it keep */
    BUDGET = 1000,           /* frames without use */
    BUDGET_PER_SECOND = 100, /* it fills by time */
    TURN_SPENDS = 64,        /* then it is the other connections' turn */
    USEFUL_BYTES = 512,      /* a DATA frame of so many pays for another one */
    NOTICE_MS = 1000,        /* from the first GOAWAY to the last: more than a round trip */
};

static size_t out_room(const struct h2 *h2) {
    const struct conn_buf *out = &h2_conn(h2)->out;
    return H2_OUT_MAX - (out->end - out->at);
}

/* GOAWAY with that code; the connection ends behind it. */
static void end(struct h2 *h2, uint32_t code) {
    if (h2->deaf)
        return;
    h2->deaf = true;
    h2->end_ms = h2_now(h2) + SESSION_LINGER_MS;
    nghttp2_session_terminate_session(h2->ng, code);
    h2_talk(h2);
}

static void abused(struct h2 *h2) {
    h2_env(h2)->ops->ended(&h2->session->client, REASON_RATE_LIMITED);
}

/* ---- the budget ---- */

static void spend(struct h2 *h2, int32_t n) {
    uint64_t now = h2_now(h2);
    int64_t more = (int64_t)((now - h2->budget_ms) * BUDGET_PER_SECOND / 1000);
    if (more > 0) {
        h2->budget = h2->budget + more < BUDGET ? h2->budget + more : BUDGET;
        h2->budget_ms = now;
    }
    h2->budget -= n;
    if (h2->budget >= 0 || h2->deaf)
        return;
    end(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    abused(h2);
}

static void earn(struct h2 *h2) {
    if (h2->budget < BUDGET)
        h2->budget++;
}

/* What a frame costs that came, by its header alone. */
static int32_t price(const nghttp2_frame_hd *hd) {
    switch (hd->type) {
    case NGHTTP2_DATA:
        return hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_HEADERS:
        return 0;
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PING:
        return !(hd->flags & NGHTTP2_FLAG_ACK);
    default:
        return 1;
    }
}

/* nghttp2 forgets closed streams and lets frames on them pass. Those are right only while the
 * client cannot know that we have closed one (RFC 9113 5.1). */
static bool is_on_closed(struct h2 *h2, const nghttp2_frame_hd *hd) {
    if ((hd->type != NGHTTP2_DATA && hd->type != NGHTTP2_HEADERS) || hd->stream_id > h2->last_id ||
        nghttp2_session_get_stream_remote_close(h2->ng, hd->stream_id) >= 0)
        return false;
    for (size_t i = 0; i < size_min(h2->n_resets, H2_RESETS_MAX); i++)
        if (h2->resets[i] == hd->stream_id)
            return false;
    return hd->stream_id % 2 != 0; /* else nghttp2 says what is wrong with it */
}

/* The header of the next frame is there. */
static void judge_frame(struct h2 *h2) {
    const uint8_t *p = h2->frame;
    nghttp2_frame_hd hd = {
        .length = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2],
        .type = p[3],
        .flags = p[4],
        .stream_id = (int32_t)((uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 |
                               (uint32_t)p[7] << 8 | p[8]),
    };
    int32_t cost = price(&hd);
    h2->frame_left = (uint32_t)hd.length;
    h2->frame_n = 0;
    if (cost > 0)
        spend(h2, cost);
    if (is_on_closed(h2, &hd))
        end(h2, NGHTTP2_STREAM_CLOSED);
    if (hd.type == NGHTTP2_HEADERS && hd.stream_id > h2->last_id)
        h2->last_id = hd.stream_id;
}

/* How much of n bytes nghttp2 is given now: at most to the end of a frame, so that the next one is
 * judged by what this one did. */
static size_t part_of(struct h2 *h2, const char *p, size_t n) {
    size_t head = 0;
    if (h2->frame_left == 0) {
        head = size_min(sizeof(h2->frame) - h2->frame_n, n);
        memcpy(h2->frame + h2->frame_n, p, head);
        h2->frame_n += (uint8_t)head;
        if (h2->frame_n == sizeof(h2->frame))
            judge_frame(h2);
    }
    size_t payload = size_min(h2->frame_left, n - head);
    h2->frame_left -= (uint32_t)payload;
    return head + payload;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f, int error, void *arg) {
    struct h2_stream *x = h2_stream_find(arg, f->hd.stream_id);
    (void)ng, (void)error;
    if (x != NULL)
        h2_stream_spoilt(x);
    spend(arg, 1);
    return 0;
}

/* ---- heads ---- */

static void head_drop(struct h2 *h2) {
    if (h2->head.room != NULL)
        slab_give(&h2_conn(h2)->loop->slabs, (enum slab_size)h2->head_size, h2->head.room);
    h2->head.room = NULL;
}

/* Its slab goes to the caller. */
static struct h2_piece head_take(struct h2 *h2) {
    struct h2_piece slab = {.p = h2->head.room, .size = h2->head_size};
    h2->head.room = NULL;
    return slab;
}

static bool head_room(struct h2 *h2, enum slab_size size) {
    struct slabs *slabs = &h2_conn(h2)->loop->slabs;
    char *p = slab_take(slabs, size), *old = h2->head.room;
    if (p == NULL)
        return false;
    if (old == NULL) {
        h2->head = (struct h2_head){
            .room = p, .cap = (uint32_t)slab_bytes(size), .prng = &h2_conn(h2)->loop->prng};
    } else {
        h2_head_move(&h2->head, p, (uint32_t)slab_bytes(size));
        slab_give(slabs, (enum slab_size)h2->head_size, old);
    }
    h2->head_size = (uint8_t)size;
    return true;
}

/* False: no memory. What does not fit into the largest slab is too large. */
static bool head_grow(struct h2 *h2) {
    if (h2->head_size == SLAB_64K)
        h2->head.too_large = true;
    return h2->head_size == SLAB_64K || head_room(h2, (enum slab_size)(h2->head_size + 1));
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *arg) {
    struct h2 *h2 = arg;
    (void)ng;
    head_drop(h2);
    if (h2->deaf || !head_room(h2, SLAB_4K))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    h2->head.trailers = f->headers.cat != NGHTTP2_HCAT_REQUEST;
    h2->head_ms = h2_now(h2);
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *arg) {
    struct h2 *h2 = arg;
    struct str n = str_mk((const char *)name, name_n), v = str_mk((const char *)value, value_n);
    (void)ng, (void)f, (void)flags;
    while (h2_head_field(&h2->head, n, v, &h2_env(h2)->limits->head) == H2_HEAD_FULL)
        if (!head_grow(h2))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (h2->head.heard <= HEARD_MAX)
        return 0;
    spend(h2, 2 * BUDGET); /* a bomb */
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_request(struct h2 *h2, const nghttp2_frame *f) {
    bool ended = (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct str text;
    while (h2_head_end(&h2->head, ended, &text) == H2_HEAD_FULL)
        if (!head_grow(h2))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct h2_stream *x = h2_stream_new(h2, f->hd.stream_id);
    if (x == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    x->ended = ended;
    x->malformed = h2->head.fault != NULL;
    if (x->malformed)
        h2_stream_refuse(x, REASON_BAD_REQUEST, h2->head.fault, h2->head.heard);
    else if (h2->head.too_large)
        h2_stream_refuse(x, REASON_HEADER_TOO_LARGE, "the head is longer than the limit",
                         h2->head.heard);
    else
        h2_stream_head(x, head_take(h2), text);
    return 0;
}

/* They are checked and end the body; what is in them goes no further (S12). */
static void on_trailers(struct h2 *h2, const nghttp2_frame *f) {
    struct h2_stream *x = h2_stream_find(h2, f->hd.stream_id);
    if (x == NULL)
        return;
    if (h2->head.fault != NULL || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        h2_stream_malformed(x);
    else
        h2_stream_ends(x);
}

/* ---- frames ---- */

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg) {
    struct h2 *h2 = arg;
    struct h2_stream *x;
    int rv = 0;
    (void)ng;
    if (f->hd.type == NGHTTP2_HEADERS && h2->head.room != NULL) {
        if (h2->head.trailers)
            on_trailers(h2, f);
        else
            rv = on_request(h2, f);
        head_drop(h2);
    } else if (f->hd.type == NGHTTP2_DATA && (f->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        x = h2_stream_find(h2, f->hd.stream_id);
        if (x != NULL)
            h2_stream_ends(x);
    }
    return rv;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *arg) {
    struct h2_stream *x = h2_stream_find(arg, id);
    (void)flags;
    if (n >= USEFUL_BYTES)
        earn(arg);
    if (x != NULL)
        h2_stream_data(x, (const char *)p, n);
    else
        nghttp2_session_consume(ng, id, n);
    return 0;
}

static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *f, void *arg) {
    struct h2 *h2 = arg;
    struct h2_stream *x;
    (void)ng;
    if (f->hd.type == NGHTTP2_HEADERS && (x = h2_stream_find(h2, f->hd.stream_id)) != NULL)
        h2_stream_head_sent(x, (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
    if (f->hd.type != NGHTTP2_RST_STREAM)
        return 0;
    h2->resets[h2->n_resets++ % H2_RESETS_MAX] = f->hd.stream_id;
    if (f->rst_stream.error_code != NGHTTP2_NO_ERROR)
        spend(h2, 1); /* S21: what made us reset it is as good as a reset */
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg) {
    struct h2_stream *x = h2_stream_find(arg, id);
    (void)ng, (void)error;
    if (x != NULL && x->end_sent)
        earn(arg);
    if (x != NULL)
        h2_stream_closed(x);
    return 0;
}

/* ---- sending ---- */

static int on_send_data(nghttp2_session *ng, nghttp2_frame *f, const uint8_t *head, size_t n,
                        nghttp2_data_source *source, void *arg) {
    struct h2 *h2 = arg;
    struct h2_stream *x = source->ptr;
    (void)ng, (void)f;
    if (out_room(h2) < n + 9)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (n > x->lent_n) /* taken back while the frame waited for room */
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    char *to = conn_room(h2_conn(h2), n + 9);
    if (to == NULL)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(to, head, 9);
    if (n > 0)
        memcpy(to + 9, x->lent, n);
    conn_wrote(h2_conn(h2), n + 9);
    h2->wrote = true;
    if (n >= USEFUL_BYTES || (n > 0 && x->tunnel)) /* messages are small, and acknowledged */
        earn(h2);
    h2_stream_went(x, n);
    return 0;
}

/* All that windows and the buffer allow. */
static void write_frames(struct h2 *h2) {
    struct conn *c = h2_conn(h2);
    const uint8_t *frames;
    while (out_room(h2) >= FRAME_MAX) {
        ssize_t n = nghttp2_session_mem_send(h2->ng, &frames);
        char *to = n > 0 ? conn_room(c, (size_t)n) : NULL;
        h2->broken = h2->broken || n < 0 || (n > 0 && to == NULL);
        if (n <= 0 || to == NULL)
            return;
        memcpy(to, frames, (size_t)n);
        conn_wrote(c, (size_t)n);
        h2->wrote = true;
    }
}

/* ---- timers and the end ---- */

static void by(uint64_t *deadline, uint64_t at) {
    if (at < *deadline)
        *deadline = at;
}

static void set_timer(struct h2 *h2) {
    const struct limits *l = h2_env(h2)->limits;
    struct side *side = &h2->session->client.side;
    uint64_t deadline = UINT64_MAX;
    if (h2->end_ms != 0)
        by(&deadline, h2->end_ms);
    else if (h2->head.room != NULL)
        by(&deadline, h2->head_ms + l->header_timeout_ms);
    else if (h2->n_streams == 0)
        by(&deadline, h2->idle_ms + l->idle_timeout_ms);
    if (h2->stalled_ms != 0)
        by(&deadline, h2->stalled_ms + H2_STALL_MS);
    if (h2->goaway_ms != 0)
        by(&deadline, h2->goaway_ms);
    if (deadline == UINT64_MAX)
        timer_unset(&side->timer);
    else
        side_deadline(side, deadline);
}

void h2_close(struct h2 *h2, bool reset) {
    h2_streams_gone(h2);
    session_end(h2->session, reset);
}

/* What follows from what happened. The connection may be over after it. */
static void settle(struct h2 *h2) {
    struct conn *c = h2_conn(h2);
    h2_streams_tell(h2);
    if (h2->broken) {
        h2_close(h2, true);
        return;
    }
    bool writes = nghttp2_session_want_write(h2->ng) != 0;
    if (!nghttp2_session_want_read(h2->ng) && !writes && conn_pending(c) == 0) {
        h2_streams_gone(h2);
        session_idle(h2->session, false);
        session_linger(h2->session);
        conn_again(c); /* what it still sends is thrown away */
        return;
    }
    if (writes && out_room(h2) >= FRAME_MAX)
        h2_talk(h2);
    session_idle(h2->session, h2->n_streams == 0 && h2->head.room == NULL && !h2->draining);
    set_timer(h2);
}

void h2_timeout(struct h2 *h2) {
    const struct limits *l = h2_env(h2)->limits;
    uint64_t now = h2_now(h2);
    if ((h2->stalled_ms != 0 && now >= h2->stalled_ms + H2_STALL_MS) ||
        (h2->end_ms != 0 && now >= h2->end_ms)) {
        h2_close(h2, true);
        return;
    }
    if (h2->goaway_ms != 0 && now >= h2->goaway_ms) {
        h2->goaway_ms = 0;
        int32_t last = nghttp2_session_get_last_proc_stream_id(h2->ng);
        nghttp2_submit_goaway(h2->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
        h2_talk(h2);
    }
    bool heads = h2->head.room != NULL;
    if (heads && now >= h2->head_ms + l->header_timeout_ms)
        end(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    else if (!heads && h2->n_streams == 0 && now >= h2->idle_ms + l->idle_timeout_ms)
        end(h2, NGHTTP2_NO_ERROR);
    set_timer(h2);
}

void h2_drain(struct h2 *h2) {
    if (h2->draining)
        return;
    h2->draining = true;
    session_idle(h2->session, false); /* until the last GOAWAY a request may be on its way */
    nghttp2_submit_shutdown_notice(h2->ng);
    h2->goaway_ms = h2_now(h2) + NOTICE_MS;
    h2_talk(h2);
    set_timer(h2);
}

/* ---- events ---- */

/* The client must take what it made us say (S24) before more of it is read. */
static bool may_read(const struct h2 *h2) {
    return !h2->deaf && !h2->broken && out_room(h2) >= FRAME_MAX;
}

static bool read_more(struct h2 *h2) {
    struct conn *c = h2_conn(h2);
    struct str in = conn_unread(c);
    if (in.n > 0) {
        size_t n = part_of(h2, in.p, in.n);
        ssize_t rv = nghttp2_session_mem_recv(h2->ng, (const uint8_t *)in.p, n);
        conn_consume(c, n);
        h2->broken = rv < 0 && rv != NGHTTP2_ERR_BAD_CLIENT_MAGIC;
        if (rv == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
            end(h2, NGHTTP2_PROTOCOL_ERROR); /* RFC 9113 3.4: after ALPN alone */
        if (h2->broken && rv != NGHTTP2_ERR_NOMEM)
            abused(h2); /* nghttp2 has bounds of its own: CONTINUATION (S22), settings, answers */
        return true;
    }
    switch (conn_read(c)) {
    case IO_OK:
        return true;
    case IO_AGAIN:
        return false;
    default:
        h2->broken = true; /* it ended, or there is no memory for it */
        return false;
    }
}

void h2_readable(struct h2 *h2) {
    int64_t least = h2->budget - TURN_SPENDS;
    while (may_read(h2) && h2->budget >= least && read_more(h2)) {
    }
    if (h2->budget < least)
        conn_again(h2_conn(h2));
    settle(h2);
}

void h2_fill(struct h2 *h2) {
    do {
        h2->wrote = false;
        write_frames(h2);
        h2_streams_tell(h2);
    } while (h2->wrote && !h2->broken);
    if (conn_pending(h2_conn(h2)) == 0) /* else after the flush */
        settle(h2);
}

void h2_flushed(struct h2 *h2, bool all) {
    struct conn *c = h2_conn(h2);
    h2->stalled_ms = all ? 0 : h2_now(h2);
    if (all && c->can_read)
        conn_again(c);
    settle(h2);
}

/* ---- life ---- */

bool h2_is_preface(struct str in) { return str_starts(in, STR("PRI * HTTP/2.0\r\n\r\n")); }

struct h2_shared *h2_shared_new(struct loop *l) {
    struct h2_shared *w = mem_alloc(sizeof(*w));
    h2_mem_init(&w->mem, &l->slabs);
    must(nghttp2_session_callbacks_new(&w->callbacks) == 0 && nghttp2_option_new(&w->option) == 0);
    nghttp2_session_callbacks *cb = w->callbacks;
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_option_set_no_auto_window_update(w->option, 1);
    nghttp2_option_set_no_http_messaging(w->option, 1);
    nghttp2_option_set_no_closed_streams(w->option, 1);
    nghttp2_option_set_stream_reset_rate_limit(w->option, 2 * BUDGET, BUDGET); /* ours is first */
    return w;
}

void h2_shared_free(struct h2_shared *w) {
    if (w == NULL)
        return;
    nghttp2_session_callbacks_del(w->callbacks);
    nghttp2_option_del(w->option);
    h2_mem_fini(&w->mem);
    mem_free(w);
}

static bool greet(struct h2 *h2) {
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2_env(h2)->limits->head.bytes},
    };
    return nghttp2_submit_settings(h2->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0 &&
           nghttp2_session_set_local_window_size(h2->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) ==
               0;
}

struct h2 *h2_new(struct session *s) {
    struct h2_shared *w = s->client.env->h2;
    struct h2 *h2 = mem_try(sizeof(*h2));
    if (h2 == NULL)
        return NULL;
    *h2 = (struct h2){.session = s,
                      .shared = w,
                      .memory = {.mem = &w->mem, .limit = MEMORY_MAX},
                      .idle_ms = s->conn.loop->now_ms,
                      .budget_ms = s->conn.loop->now_ms,
                      .budget = BUDGET,
                      .frame_left = NGHTTP2_CLIENT_MAGIC_LEN};
    list_init(&h2->streams);
    list_init(&h2->woken);
    nghttp2_mem hooks = h2_hooks(&h2->memory);
    if (nghttp2_session_server_new3(&h2->ng, w->callbacks, h2, w->option, &hooks) != 0) {
        mem_free(h2);
        return NULL;
    }
    if (!greet(h2)) {
        h2_free(h2);
        return NULL;
    }
    s->conn.lazy = true;
    s->client.h2 = true;
    h2_talk(h2);
    if (s->client.env->draining)
        h2_drain(h2);
    return h2;
}

void h2_free(struct h2 *h2) {
    if (h2 == NULL)
        return;
    head_drop(h2);
    nghttp2_session_del(h2->ng);
    debug_must(h2->memory.used == 0);
    mem_free(h2);
}
