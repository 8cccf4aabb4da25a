/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_link: the connection; see h2_link.h. nghttp2's own checks of messages are off: h2_head.c and
 * h1_parse.c judge them, so that what is refused is answered, logged and counted like all else.
 */
#include "proxy/session/h2_link.h"

#include "lib/mem.h"

enum {
    FRAME_MAX = 9 + 16384,   /* nghttp2 makes no larger ones */
    HEARD_MAX = 256 * 1024,  /* of one head, whatever the limits let it keep */
    BUDGET_PER_SECOND = 100, /* it fills by time */
    TURN_SPENDS = 64,        /* then it is the other connections' turn */
    TURN_HEARD = 16 * 1024,  /* the same, in bytes of heads: each of them is work elsewhere */
    USEFUL_BYTES = 512,      /* a DATA frame of so many pays for another one */
};

static size_t out_room(const struct h2_link *l) {
    const struct conn_buf *out = &l->conn->out;
    return H2_OUT_MAX - (out->end - out->at);
}

bool h2_link_has_room(const struct h2_link *l) { return out_room(l) >= FRAME_MAX; }

void h2_link_end(struct h2_link *l, uint32_t code) {
    if (l->deaf)
        return;
    l->deaf = true;
    l->end_ms = h2_link_now(l) + H2_END_MS;
    nghttp2_session_terminate_session(l->ng, code);
    h2_link_talk(l);
}

/* ---- the budget ---- */

void h2_link_spend(struct h2_link *l, int32_t n) {
    uint64_t now = h2_link_now(l);
    int64_t more = (int64_t)((now - l->budget_ms) * BUDGET_PER_SECOND / 1000);
    if (more > 0) {
        l->budget = l->budget + more < H2_BUDGET ? l->budget + more : H2_BUDGET;
        l->budget_ms = now;
    }
    l->budget -= n;
    if (l->budget >= 0 || l->deaf)
        return;
    h2_link_end(l, NGHTTP2_ENHANCE_YOUR_CALM);
    l->role->abused(l);
}

static void earn(struct h2_link *l) {
    if (l->budget < H2_BUDGET)
        l->budget++;
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

/* The header of the next frame is there. */
static void judge_frame(struct h2_link *l) {
    const uint8_t *p = l->frame;
    nghttp2_frame_hd hd = {
        .length = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2],
        .type = p[3],
        .flags = p[4],
        .stream_id = (int32_t)((uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 |
                               (uint32_t)p[7] << 8 | p[8]),
    };
    int32_t cost = price(&hd);
    l->frame_left = (uint32_t)hd.length;
    l->frame_n = 0;
    if (cost > 0)
        h2_link_spend(l, cost);
    l->role->frame(l, &hd);
}

/* How much of n bytes nghttp2 is given now: at most to the end of a frame, so that the next one is
 * judged by what this one did. */
static size_t part_of(struct h2_link *l, struct str in) {
    size_t head = 0;
    if (l->frame_left == 0) {
        head = size_min(sizeof(l->frame) - l->frame_n, in.n);
        memcpy(l->frame + l->frame_n, in.p, head);
        l->frame_n += (uint8_t)head;
        if (l->frame_n == sizeof(l->frame))
            judge_frame(l);
    }
    size_t payload = size_min(l->frame_left, in.n - head);
    l->frame_left -= (uint32_t)payload;
    return head + payload;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f, int error, void *arg) {
    struct h2_link *l = arg;
    struct h2_stream *x = h2_stream_find(l, f->hd.stream_id);
    (void)ng, (void)error;
    if (x != NULL && l->role->spoilt != NULL)
        l->role->spoilt(x);
    h2_link_spend(l, 1);
    return 0;
}

/* ---- heads ---- */

static void head_drop(struct h2_link *l) {
    if (l->head.room != NULL)
        slab_give(&l->conn->loop->slabs, (enum slab_size)l->head_size, l->head.room);
    l->head.room = NULL;
}

struct piece h2_link_take_head(struct h2_link *l) {
    struct piece slab = {.p = l->head.room, .size = l->head_size};
    l->head.room = NULL;
    return slab;
}

static bool head_room(struct h2_link *l, enum slab_size size) {
    struct slabs *slabs = &l->conn->loop->slabs;
    char *p = slab_take(slabs, size), *old = l->head.room;
    if (p == NULL)
        return false;
    if (old == NULL) {
        l->head = (struct h2_head){
            .room = p, .cap = (uint32_t)slab_bytes(size), .prng = &l->conn->loop->prng};
    } else {
        h2_head_move(&l->head, p, (uint32_t)slab_bytes(size));
        slab_give(slabs, (enum slab_size)l->head_size, old);
    }
    l->head_size = (uint8_t)size;
    return true;
}

/* False: no memory. What does not fit into the largest slab is too large. */
static bool head_grow(struct h2_link *l) {
    if (l->head_size == SLAB_64K)
        l->head.too_large = true;
    return l->head_size == SLAB_64K || head_room(l, (enum slab_size)(l->head_size + 1));
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *arg) {
    struct h2_link *l = arg;
    (void)ng;
    head_drop(l);
    if (l->deaf || !head_room(l, SLAB_4K))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    l->role->begin(l, f);
    l->head_ms = h2_link_now(l);
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *arg) {
    struct h2_link *l = arg;
    struct str n = str_mk((const char *)name, name_n), v = str_mk((const char *)value, value_n);
    (void)ng, (void)f, (void)flags;
    while (h2_head_field(&l->head, n, v, l->role->limits(l)) == H2_HEAD_FULL)
        if (!head_grow(l))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (l->head.heard <= HEARD_MAX)
        return 0;
    h2_link_spend(l, 2 * H2_BUDGET); /* a bomb */
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

bool h2_link_text(struct h2_link *l, bool ended, struct str *text) {
    while (h2_head_end(&l->head, ended, text) == H2_HEAD_FULL)
        if (!head_grow(l))
            return false;
    return true;
}

/* They are checked and end the body. */
static void on_trailers(struct h2_link *l, const nghttp2_frame *f) {
    struct h2_stream *x = h2_stream_find(l, f->hd.stream_id);
    struct str lines;
    if (x == NULL)
        return;
    if (!h2_link_text(l, true, &lines) || l->head.fault != NULL || l->head.too_large ||
        lines.n > TRAILERS_MAX || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        h2_stream_malformed(x);
    else
        h2_stream_trailers(x, lines);
}

/* ---- frames ---- */

static int on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *arg) {
    struct h2_link *l = arg;
    struct h2_stream *x;
    int rv = 0;
    (void)ng;
    if (f->hd.type == NGHTTP2_HEADERS && l->head.room != NULL) {
        l->heard += l->head.heard;
        if (l->head.trailers)
            on_trailers(l, f);
        else
            rv = l->role->head(l, f);
        head_drop(l);
    } else if (f->hd.type == NGHTTP2_DATA && (f->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        x = h2_stream_find(l, f->hd.stream_id);
        if (x != NULL)
            h2_stream_ends(x);
    } else if (f->hd.type == NGHTTP2_SETTINGS || f->hd.type == NGHTTP2_GOAWAY) {
        l->role->settings(l);
    }
    return rv;
}

bool h2_link_has_reset(const struct h2_link *l, int32_t id) {
    for (size_t i = 0; i < size_min(l->n_resets, H2_RESETS_MAX); i++)
        if (l->resets[i] == id)
            return true;
    return false;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *arg) {
    struct h2_stream *x = h2_stream_find(arg, id);
    (void)flags;
    if (n >= USEFUL_BYTES)
        earn(arg);
    if (x != NULL)
        h2_stream_data(x, str_mk((const char *)p, n));
    else
        nghttp2_session_consume(ng, id, n);
    return 0;
}

static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *f, void *arg) {
    struct h2_link *l = arg;
    struct h2_stream *x;
    (void)ng;
    if (f->hd.type == NGHTTP2_HEADERS && (x = h2_stream_find(l, f->hd.stream_id)) != NULL)
        h2_stream_head_sent(x, (f->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
    if (f->hd.type != NGHTTP2_RST_STREAM)
        return 0;
    l->resets[l->n_resets++ % H2_RESETS_MAX] = f->hd.stream_id;
    if (f->rst_stream.error_code != l->role->over)
        h2_link_spend(l, 1); /* S21: what made us reset it is as good as a reset */
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg) {
    struct h2_stream *x = h2_stream_find(arg, id);
    (void)ng;
    if (x == NULL)
        return 0;
    if (x->end_sent)
        earn(arg);
    h2_stream_closed(x, error);
    return 0;
}

/* ---- sending ---- */

static int on_send_data(nghttp2_session *ng, nghttp2_frame *f, const uint8_t *head, size_t n,
                        nghttp2_data_source *source, void *arg) {
    struct h2_link *l = arg;
    struct h2_stream *x = source->ptr;
    (void)ng, (void)f;
    if (out_room(l) < n + 9)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (n > x->lent_n) /* taken back while the frame waited for room */
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    char *to = conn_room(l->conn, n + 9);
    if (to == NULL)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(to, head, 9);
    if (n > 0)
        memcpy(to + 9, x->lent, n);
    conn_wrote(l->conn, n + 9);
    l->wrote = true;
    if (n >= USEFUL_BYTES || (n > 0 && n == x->lent_n)) /* small by itself, not by the window */
        earn(l);
    h2_stream_went(x, n);
    return 0;
}

/* All that windows and the buffer allow. */
static void write_frames(struct h2_link *l) {
    const uint8_t *frames;
    while (h2_link_has_room(l)) {
        ssize_t n = nghttp2_session_mem_send(l->ng, &frames);
        char *to = n > 0 ? conn_room(l->conn, (size_t)n) : NULL;
        l->broken = l->broken || n < 0 || (n > 0 && to == NULL);
        if (n <= 0 || to == NULL)
            return;
        memcpy(to, frames, (size_t)n);
        conn_wrote(l->conn, (size_t)n);
        l->wrote = true;
    }
}

void h2_link_write(struct h2_link *l) {
    do {
        l->wrote = false;
        write_frames(l);
        h2_link_tell(l);
    } while (l->wrote && !l->broken && !l->conn->closed);
}

/* ---- reading ---- */

static bool may_read(const struct h2_link *l) {
    return !l->deaf && !l->broken && (!l->role->patient || h2_link_has_room(l));
}

static bool read_more(struct h2_link *l) {
    struct conn *c = l->conn;
    struct str in = conn_unread(c);
    if (in.n > 0) {
        size_t n = part_of(l, in);
        ssize_t rv = nghttp2_session_mem_recv(l->ng, (const uint8_t *)in.p, n);
        conn_consume(c, n);
        bool stranger = rv == NGHTTP2_ERR_BAD_CLIENT_MAGIC;
        l->broken = rv < 0 && !stranger;
        l->wrong = l->broken && rv != NGHTTP2_ERR_NOMEM;
        if (stranger)
            h2_link_end(l, NGHTTP2_PROTOCOL_ERROR); /* RFC 9113 3.4: after ALPN alone */
        if (l->wrong)
            l->role->abused(l); /* nghttp2 has bounds of its own: CONTINUATION (S22), settings */
        return true;
    }
    enum io io = conn_read(c);
    if (io == IO_OK || io == IO_AGAIN)
        return io == IO_OK;
    l->broken = true; /* it ended, or there is no memory for it */
    l->io = (uint8_t)io;
    return false;
}

void h2_link_read(struct h2_link *l) {
    int64_t least = l->budget - TURN_SPENDS;
    l->heard = 0;
    while (may_read(l) && l->budget >= least && l->heard < TURN_HEARD && read_more(l)) {
    }
    if (l->budget < least || l->heard >= TURN_HEARD)
        conn_again(l->conn);
}

/* ---- streams ---- */

void h2_link_tell(struct h2_link *l) {
    for (struct list *n; (n = list_pop(&l->woken)) != NULL;)
        h2_stream_tell(list_entry(n, struct h2_stream, woken));
}

void h2_link_gone(struct h2_link *l) {
    for (struct list *n; (n = list_pop(&l->streams)) != NULL;)
        h2_stream_closed(list_entry(n, struct h2_stream, all), NGHTTP2_INTERNAL_ERROR);
    h2_link_tell(l);
}

/* ---- life ---- */

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
    nghttp2_option_set_stream_reset_rate_limit(w->option, 2 * H2_BUDGET, H2_BUDGET);
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

bool h2_link_init(struct h2_link *l, const struct h2_role *role, struct h2_shared *w,
                  struct conn *c, bool asks, size_t memory) {
    *l = (struct h2_link){.role = role,
                          .conn = c,
                          .shared = w,
                          .memory = {.mem = &w->mem, .limit = memory},
                          .idle_ms = c->loop->now_ms,
                          .budget_ms = c->loop->now_ms,
                          .budget = H2_BUDGET,
                          .frame_left = asks ? 0 : NGHTTP2_CLIENT_MAGIC_LEN};
    list_init(&l->streams);
    list_init(&l->woken);
    nghttp2_mem hooks = h2_hooks(&l->memory);
    int rv = asks ? nghttp2_session_client_new3(&l->ng, w->callbacks, l, w->option, &hooks)
                  : nghttp2_session_server_new3(&l->ng, w->callbacks, l, w->option, &hooks);
    c->lazy = rv == 0;
    return rv == 0;
}

void h2_link_fini(struct h2_link *l) {
    head_drop(l);
    nghttp2_session_del(l->ng);
    debug_must(l->memory.used == 0);
}
