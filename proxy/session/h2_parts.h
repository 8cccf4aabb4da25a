/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_parts: a connection of HTTP/2 and its streams, for h2.c (the connection: what comes, when it
 * is flushed, its end) and h2_stream.c (one exchange: the codec of side.h).
 */
#ifndef SLUICE_PROXY_H2_PARTS_H
#define SLUICE_PROXY_H2_PARTS_H

#include "proxy/http/h2_head.h"
#include "proxy/session/h2.h"
#include "proxy/session/h2_mem.h"
#include "proxy/session/parts.h"

enum {
    H2_OUT_MAX = 64 * 1024, /* of the connection's buffer, and of a head's text */
    H2_FIELDS_MAX = 512,    /* of an answer */
    H2_STALL_MS = 60000,    /* a client that takes nothing */
    H2_RESETS_MAX = 64,
};

struct h2_shared {
    struct h2_mem mem;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_nv fields[H2_FIELDS_MAX]; /* of the answer that is being written */
    char room[H2_OUT_MAX];            /* its text */
};

struct h2_piece { /* bytes of a request */
    char *p;      /* NULL: no slab */
    uint32_t n;
    uint8_t size; /* enum slab_size */
};

struct h2_stream {
    struct client client;
    struct h2 *h2;
    int32_t id;
    struct list link, woken;
    struct h2_piece head;     /* while it has not begun: its head ... */
    struct str text;          /* ... as text, in there */
    struct h2_piece in, held; /* what came; what is lent to the stream */
    uint64_t left;            /* of the length that was announced; UINT64_MAX: none was */
    const char *lent;         /* of the answer */
    size_t lent_n, went;      /* went: sent and not told yet */
    uint32_t heads_wait;      /* heads that were given and not sent */
    /* the request */
    bool ended;     /* all of it came */
    bool malformed; /* what is said to it ends with PROTOCOL_ERROR */
    bool tunnel;    /* an extended CONNECT (RFC 8441) that is one by now */
    bool starved;   /* there was no memory for its body */
    bool came;      /* readable() is due */
    /* the answer */
    bool said; /* sent() is due, if only to tell that it waits */
    bool last; /* the lent bytes are the end of it */
    bool end_waits, end_sent;
    /* the end */
    bool gone;         /* gone() is due */
    bool leaving;      /* done with: what it said goes, what it hears is thrown away */
    bool closed;       /* nghttp2 has forgotten it */
    uint32_t lingered; /* bytes thrown away */
};

struct h2 {
    struct session *session;
    struct h2_shared *shared;
    nghttp2_session *ng;
    struct h2_account memory;
    struct list streams; /* h2_stream.link */
    struct list woken;   /* h2_stream.woken: events are due */
    uint32_t n_streams;
    struct h2_head head; /* that is coming; room NULL: none */
    uint8_t head_size;   /* enum slab_size */
    uint64_t head_ms;    /* since when */
    uint64_t idle_ms;    /* since when there is no stream */
    uint64_t stalled_ms; /* since when the client takes nothing; 0: it does */
    uint64_t goaway_ms;  /* when the last GOAWAY is due; 0: not */
    uint64_t end_ms;     /* when it is closed, whether the client takes the GOAWAY or not; 0: not */
    uint64_t budget_ms;  /* filled up to */
    uint8_t frame[9];    /* the header of the frame that comes: frame_n bytes of it */
    uint8_t frame_n;
    uint32_t frame_left; /* then its payload; first of all the preface */
    int64_t budget;
    int32_t last_id;               /* the newest stream that the client began */
    int32_t resets[H2_RESETS_MAX]; /* that we have reset lately: it may not know yet */
    uint32_t n_resets;
    bool deaf;     /* nothing more is read */
    bool broken;   /* nghttp2 cannot go on */
    bool wrote;    /* in this round of h2_fill() */
    bool draining; /* the notice was given */
};

static inline struct conn *h2_conn(const struct h2 *h2) { return &h2->session->conn; }
static inline struct session_env *h2_env(const struct h2 *h2) { return h2->session->client.env; }
static inline uint64_t h2_now(const struct h2 *h2) { return h2_conn(h2)->loop->now_ms; }
/* A flush is to come, and h2_fill() before it. */
static inline void h2_talk(struct h2 *h2) { conn_talk(h2_conn(h2)); }

/* ---- h2_stream.c ---- */

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id); /* NULL: no memory */
/* Its head is whole; text lies in the slab, which it keeps. It begins when all that was read at
 * once has been looked at: a request that is reset in the same breath costs nobody a connection
 * (S20). */
void h2_stream_head(struct h2_stream *x, struct h2_piece slab, struct str text);
static inline struct h2_stream *h2_stream_find(struct h2 *h2, int32_t id) {
    return nghttp2_session_get_stream_user_data(h2->ng, id);
}
/* nghttp2 is going to reset it, for what came behind its head: it does not begin any more (S21). */
void h2_stream_spoilt(struct h2_stream *x);
/* It is no request that can be served. */
void h2_stream_refuse(struct h2_stream *x, enum reason reason, const char *detail, size_t bytes);
/* Body bytes came; what is not kept is paid back to the windows at once. */
void h2_stream_data(struct h2_stream *x, const char *p, size_t n);
/* The request's end came. Body and announced length must agree wherever it stands (S09). */
void h2_stream_ends(struct h2_stream *x);
void h2_stream_malformed(struct h2_stream *x);
/* nghttp2 has forgotten it, normally or not. */
void h2_stream_closed(struct h2_stream *x);
/* A head was sent; end: the answer with it. */
void h2_stream_head_sent(struct h2_stream *x, bool end);
/* n lent bytes were copied into the connection's buffer. */
void h2_stream_went(struct h2_stream *x, size_t n);
/* Tells all that are woken. */
void h2_streams_tell(struct h2 *h2);
/* The connection ends. */
void h2_streams_gone(struct h2 *h2);
/* For nghttp2: how much of the answer can be sent now, none of it copied. */
ssize_t h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                       nghttp2_data_source *source, void *arg);

#endif
