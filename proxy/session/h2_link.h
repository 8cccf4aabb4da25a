/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_link: a connection of HTTP/2 and its streams, whoever began it: what a client's (h2.c) and an
 * endpoint's (upstream/h2.c) have in common. What differs is the role's.
 *
 *     file         part
 *     h2_link.c    the connection: frames, budget, heads that come, what is flushed
 *     h2_stream.c  one exchange: bodies, windows, the codec of side.h
 *     role         what a head means, when the connection idles and ends, whom events are told
 *
 * nghttp2 does frames, HPACK and windows. Flow control is by hand: a window opens by what was sent
 * on, never by what lies here; so a stream holds at most one window (64 KiB).
 *
 * Events reach a stream's owner from h2_link_tell() only, never from inside of nghttp2 but for a
 * request's head: a stream that wants to say something is put on `woken`, and told behind it.
 *
 * Every connection has a budget of frames without use (S20-S24): pings, settings, resets both ways,
 * empty frames, priorities, windows that nobody needed. Time and useful work fill it again. Memory
 * has a bound too (h2_mem.h). The worker's thread.
 */
#ifndef SLUICE_PROXY_H2_LINK_H
#define SLUICE_PROXY_H2_LINK_H

#include "proxy/http/h2_head.h"
#include "proxy/net/piece.h"
#include "proxy/session/h2_mem.h"
#include "proxy/session/side.h"

enum {
    H2_OUT_MAX = SLAB_LARGE_BYTES, /* of the connection's buffer, and of a head's text */
    H2_FIELDS_MAX = 512,           /* of a head that is sent */
    H2_STALL_MS = 60000,           /* a peer that takes nothing */
    H2_BUDGET = 1000,              /* frames without use */
    H2_RESETS_MAX = 64,
    H2_END_MS = 2000, /* a peer that does not take the last GOAWAY */
    /* What still comes to a stream that is done with is thrown away, so much of it. */
    H2_LINGER_BYTES = 256 * 1024,
};

struct h2_link;
struct h2_stream;

struct h2_role {
    bool patient;  /* nothing is read while what it made us say was not taken (S24) */
    uint32_t over; /* the code of a reset that means: no more of it is wanted */
    const struct head_limits *(*limits)(const struct h2_link *l);
    void (*frame)(struct h2_link *l, const nghttp2_frame_hd *hd); /* the header of one came */
    void (*begin)(struct h2_link *l, const nghttp2_frame *f);     /* says in l->head what comes */
    int (*head)(struct h2_link *l, const nghttp2_frame *f);       /* one that is no trailers */
    void (*settings)(struct h2_link *l);                          /* the peer's, or its GOAWAY */
    void (*abused)(struct h2_link *l); /* the budget is used up; GOAWAY is on its way */
    /* of a stream */
    void (*born)(struct h2_stream *x);
    /* nghttp2 is going to reset it for what came behind its head (S21); may be NULL */
    void (*spoilt)(struct h2_stream *x);
    void (*readable)(struct h2_stream *x); /* body bytes, its end, or the stream's */
    void (*sent)(struct h2_stream *x, size_t lent, bool all);
    void (*timeout)(struct h2_stream *x);
    void (*leave)(struct h2_stream *x); /* nobody has it, and something happened */
    void (*free)(struct h2_stream *x);
};

struct h2_shared { /* what all connections of a worker share */
    struct h2_mem mem;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_nv fields[H2_FIELDS_MAX]; /* of the head that is being written */
    char room[H2_OUT_MAX];            /* its text */
};

struct h2_link {
    const struct h2_role *role;
    struct conn *conn;
    struct h2_shared *shared;
    nghttp2_session *ng;
    struct h2_account memory;
    struct list streams; /* h2_stream.all */
    struct list woken;   /* h2_stream.woken: events are due */
    uint32_t n_streams;
    struct h2_head head; /* that is coming; room NULL: none */
    uint8_t head_size;   /* enum slab_size */
    uint64_t head_ms;    /* since when */
    uint64_t idle_ms;    /* since when there is no stream */
    uint64_t stalled_ms; /* since when the peer takes nothing; 0: it does */
    uint64_t end_ms;     /* when it is closed, whether the peer takes the GOAWAY or not; 0: not */
    uint64_t budget_ms;  /* filled up to */
    uint8_t frame[9];    /* the header of the frame that comes: frame_n bytes of it */
    uint8_t frame_n;
    uint32_t frame_left; /* then its payload; first of all the preface */
    int64_t budget;
    uint64_t heard; /* bytes of heads in this turn */
    int32_t resets[H2_RESETS_MAX]; /* that we have reset lately: the peer may not know yet */
    uint32_t n_resets;
    bool deaf;   /* nothing more is read */
    bool broken; /* nghttp2 cannot go on */
    bool wrong;  /* since the peer broke the protocol */
    uint8_t io;  /* enum io: why, where it was the connection; IO_OK: it was not */
    bool wrote;  /* in this round of h2_link_write() */
};

struct h2_stream {     /* side.own */
    struct side *side; /* of the client or upstream that it is a part of */
    struct h2_link *h2;
    int32_t id;
    struct list all, woken;
    struct piece in, held; /* what came; what is lent to the owner */
    struct piece trailers; /* that came, as lines */
    struct piece trail;    /* that go */
    uint64_t left;         /* of the length that was announced; UINT64_MAX: none was */
    const char *lent;      /* what goes */
    size_t lent_n, went;   /* went: sent and not told yet */
    uint32_t heads_wait;   /* heads that were given and not sent */
    uint32_t lingered;     /* bytes thrown away */
    uint32_t error;        /* why it was closed */
    bool served;           /* somebody has it */
    bool spoke;            /* a head of ours was sent */
    /* what comes */
    bool ended;     /* all of it came */
    bool malformed; /* what is said to it ends with PROTOCOL_ERROR */
    bool tunnel;    /* an extended CONNECT (RFC 8441) that is one by now */
    bool starved;   /* there was no memory for its body */
    bool came;      /* readable() is due */
    /* what goes */
    bool said; /* sent() is due, if only to tell that it waits */
    bool last; /* the lent bytes are the end of it */
    bool end_waits, end_sent;
    /* the end */
    bool leaving; /* done with: what it said goes, what it hears is thrown away */
    bool closed;  /* nghttp2 has forgotten it */
};

/* ---- h2_link.c ---- */

struct h2_shared *h2_shared_new(struct loop *l); /* dies without memory */
void h2_shared_free(struct h2_shared *w);

/* asks: we begin the streams. The caller submits its settings then. False: no memory. */
bool h2_link_init(struct h2_link *l, const struct h2_role *role, struct h2_shared *w,
                  struct conn *c, bool asks, size_t memory) MUST_USE;
void h2_link_fini(struct h2_link *l); /* no stream is left, no handler has it on its stack */

static inline uint64_t h2_link_now(const struct h2_link *l) { return l->conn->loop->now_ms; }
/* A flush is to come, and h2_link_write() before it. */
static inline void h2_link_talk(struct h2_link *l) { conn_talk(l->conn); }
/* There is room for a frame in the connection's buffer. */
bool h2_link_has_room(const struct h2_link *l);

void h2_link_read(struct h2_link *l);  /* all that is there; h2_link_tell() follows */
void h2_link_write(struct h2_link *l); /* before a flush: all that windows and the buffer allow */
void h2_link_tell(struct h2_link *l);  /* all streams that are woken */
/* GOAWAY with that code; the connection ends behind it. */
void h2_link_end(struct h2_link *l, uint32_t code);
void h2_link_spend(struct h2_link *l, int32_t n);            /* of the budget */
bool h2_link_has_reset(const struct h2_link *l, int32_t id); /* lately */
/* The head that came, as text. False: no memory. */
bool h2_link_text(struct h2_link *l, bool ended, struct str *text);
struct piece h2_link_take_head(struct h2_link *l); /* the slab that it lies in, the caller's now */
/* The connection is over: its streams too. */
void h2_link_gone(struct h2_link *l);

/* ---- h2_stream.c ---- */

void h2_stream_init(struct h2_stream *x, struct h2_link *l, struct side *side);
static inline struct h2_stream *h2_stream_find(struct h2_link *l, int32_t id) {
    return nghttp2_session_get_stream_user_data(l->ng, id);
}
/* What came: body bytes, trailers, the end. Body and announced length must agree wherever the end
 * stands (S09). What is not kept is paid back to the windows at once. */
void h2_stream_data(struct h2_stream *x, struct str bytes);
void h2_stream_trailers(struct h2_stream *x, struct str lines);
void h2_stream_ends(struct h2_stream *x);
void h2_stream_malformed(struct h2_stream *x);
/* The head says that so many bytes follow it. */
void h2_stream_announce(struct h2_stream *x, uint64_t length);
/* nghttp2 has forgotten it, normally or not. */
void h2_stream_closed(struct h2_stream *x, uint32_t error);
/* What went: a head (end: the message with it), n lent bytes. */
void h2_stream_head_sent(struct h2_stream *x, bool end);
void h2_stream_went(struct h2_stream *x, size_t n);

void h2_stream_wake(struct h2_stream *x);
void h2_stream_tell(struct h2_stream *x);
void h2_stream_reset(struct h2_stream *x, uint32_t code);
/* Nobody has it any more; freed now or when nghttp2 has forgotten it. */
void h2_stream_leave(struct h2_stream *x);
void h2_stream_end(struct h2_stream *x); /* at once: gives back what it holds, role->free */

/* For nghttp2: how much of the body can be sent now, none of it copied. */
ssize_t h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                       nghttp2_data_source *source, void *arg);

/* The part of a struct side_codec that is the same for both roles. */
enum body h2_stream_take(struct side *s, struct str *piece, bool *last);
void h2_stream_repay(struct side *s, size_t n);
char *h2_stream_room(struct side *s, size_t n);
bool h2_stream_lend(struct side *s, struct str piece, bool last);
struct str h2_stream_trailers_of(const struct side *s);
bool h2_stream_trail(struct side *s, struct str lines);
void h2_stream_unlend(struct side *s);
bool h2_stream_lending(const struct side *s);
size_t h2_stream_pending(const struct side *s);
#define H2_STREAM_CODEC                                                                            \
    .take = h2_stream_take, .repay = h2_stream_repay, .room = h2_stream_room,                      \
    .lend = h2_stream_lend, .trailers = h2_stream_trailers_of, .trail = h2_stream_trail,           \
    .unlend = h2_stream_unlend, .lending = h2_stream_lending, .pending = h2_stream_pending

#endif
