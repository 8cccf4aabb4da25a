/* SPDX-License-Identifier: Apache-2.0
 *
 * side: one exchange on some connection, as a stream sees it. A stream joins sides and knows no
 * version of HTTP; a codec knows one, and keeps connections, framing and flow control to itself.
 *
 *                                   stream
 *      what comes in                  │ ▲              what goes out
 *      side_take ── a piece, lent     │ │              side_room, side_head ── a head
 *      side_repay ── it was sent on   │ │              side_lend ── a piece of the body
 *      side_trailers ── what followed │ │              side_trail ── its end, with fields
 *                                     ▼ │ events       side_unlend ── its bytes go away
 *                                struct side
 *                             ┌───────┴────────┐
 *                  h1_side.c: HTTP/1.x      h2_stream.c: HTTP/2
 *                  the connection itself    one stream of a connection
 *
 * A head is written as HTTP/1.1 text whatever the codec: an HTTP/1.x connection sends it as it is,
 * HTTP/2 reads it back into fields (http/h2_head.h), which is simple, since the text is our own.
 *
 * Bodies are lent, not copied: one piece at a time each way. What came in and was not repaid is
 * what flow control holds back: a slow taker slows its giver, and no memory fills up.
 *
 * When both have agreed to speak something else (101) a side becomes a tunnel: the same calls, and
 * what crosses them are the bytes of that protocol.
 *
 * struct client is the side that asks, with what is known of who that is; struct upstream
 * (upstream/upstream.h) the one that is asked. The worker's thread.
 */
#ifndef SLUICE_PROXY_SIDE_H
#define SLUICE_PROXY_SIDE_H

#include "proxy/http/head.h"
#include "proxy/net/conn.h"

struct channel;
struct client;
struct session_env;
struct side;
struct stream;

enum body {
    BODY_PIECE, /* a loan was made; *last: the body ends with it (it may be empty then) */
    BODY_AGAIN, /* nothing now; readable() will be called */
    BODY_BAD,   /* framing error */
    BODY_CUT,   /* the connection ended before the body did */
    BODY_RESET, /* likewise, with a reset or another error */
    BODY_NOMEM, /* no buffer */
};

struct loan {
    uint32_t left; /* bytes that were not paid back */
    uint32_t tail; /* of HTTP/1: eaten bytes behind them */
    bool open;
    bool piped; /* they are in a pipe */
};

struct side_codec {
    enum body (*take)(struct side *x, struct str *piece, bool *last);
    void (*repay)(struct side *x, size_t n);
    char *(*room)(struct side *x, size_t n);
    bool (*head)(struct side *x, size_t n, uint8_t framing, bool last);
    bool (*lend)(struct side *x, struct str piece, bool last);
    struct str (*trailers)(const struct side *x);
    bool (*trail)(struct side *x, struct str lines);
    /* NULL: nothing of it can go through a pipe */
    uint64_t (*pipeable)(const struct side *x, const struct side *to);
    enum body (*pipe)(struct side *x, struct side *to, struct channel *p, size_t *n, bool *last);
    void (*unlend)(struct side *x);
    bool (*lending)(const struct side *x);
    size_t (*pending)(const struct side *x);
    void (*abort)(struct side *x);
    void (*tunnel)(struct side *x); /* NULL: it cannot become one */
    /* of an upstream */
    bool (*answer)(struct side *x, enum method asked, struct head *h, enum reason *reason);
    bool (*answered)(struct side *x, const struct head *h);
    /* of a client */
    bool (*accept)(struct client *c, struct stream *st);
    bool (*proceed)(struct client *c);
    bool (*gone)(struct client *c);
    void (*done)(struct client *c, bool keep);
};

struct side {
    const struct side_codec *codec;
    void *own; /* the codec's: struct h1_side, struct h2_stream */
    struct loop *loop;
    struct timer timer; /* the stream's, while there is one; else the codec's own */
    struct loan loan;   /* of what came in, until it is repaid */
    bool heard;         /* of an upstream: bytes of an answer came */
};

enum { TRAILERS_MAX = 8192 }; /* bytes of lines, each way */

/* The next piece of the body that comes in; no loan is open. With BODY_PIECE one is: *piece stays
 * where it is until it is repaid. *last: the body ends with it. */
static inline enum body side_take(struct side *x, struct str *piece, bool *last) {
    return x->codec->take(x, piece, last);
}
/* n bytes of the loan are not needed any more. When all are repaid it is closed. */
static inline void side_repay(struct side *x, size_t n) { x->codec->repay(x, n); }

/* Room for a head of at most n bytes (≤ 64 KiB); NULL: none. side_head() follows at once, or the
 * room is lost. */
static inline char *side_room(struct side *x, size_t n) { return x->codec->room(x, n); }
/* The first n bytes of the room are a head. framing (enum framing) is that of the body which
 * follows; last: none does, the message is whole. False: no memory. */
static inline bool side_head(struct side *x, size_t n, uint8_t framing, bool last) {
    return x->codec->head(x, n, framing, last);
}
/* A piece of the body, which stays where it is until sent() has told of all of it, or
 * side_unlend(); only when side_lending() is false. No bytes: only the end. False: no memory. */
static inline bool side_lend(struct side *x, struct str piece, bool last) {
    return x->codec->lend(x, piece, last);
}
/* How much of the body that comes in could go out on the other side without coming up, through a
 * pipe; 0: it cannot, or not yet. */
static inline uint64_t side_pipeable(const struct side *x, const struct side *to) {
    return x->codec->pipeable != NULL && x->codec->pipeable == to->codec->pipeable
               ? x->codec->pipeable(x, to)
               : 0;
}
/* side_take() and side_lend() of the next *n bytes of it, which are in the pipe until they are
 * repaid. Nothing is lent; the pipe is empty. */
static inline enum body side_pipe(struct side *x, struct side *to, struct channel *p, size_t *n,
                                  bool *last) {
    return x->codec->pipe(x, to, p, n, last);
}
/* The fields that followed the body which came in, as lines (name: value CR LF); n == 0: none.
 * Known once a take said that the body ends; they stay until the exchange ends. */
static inline struct str side_trailers(const struct side *x) { return x->codec->trailers(x); }
/* Instead of the lend of an end without bytes: the body ends with these fields (at most
 * TRAILERS_MAX bytes of lines), where its framing has a place for them. False: no memory. */
static inline bool side_trail(struct side *x, struct str lines) {
    return x->codec->trail(x, lines);
}
/* The lent bytes go away. The message cannot be completed after it: side_abort() follows. */
static inline void side_unlend(struct side *x) { x->codec->unlend(x); }
static inline bool side_lending(const struct side *x) { return x->codec->lending(x); }
/* Bytes of what goes out that wait for the peer to take them. */
static inline size_t side_pending(const struct side *x) { return x->codec->pending(x); }
/* What comes and goes from here on are bytes, until either end: side_take() and side_lend() with
 * `last` are an end of the one way, the other way goes on. Nothing is lent. An upstream's head with
 * 101 was answered, a client's was given before. */
static inline void side_tunnel(struct side *x) { x->codec->tunnel(x); }
/* timeout() is called at that time (ms of the loop's clock), if it is not set anew before. */
static inline void side_deadline(struct side *x, uint64_t at_ms) {
    timer_set(x->loop->wheel, &x->timer, at_ms);
}
/* Ends the exchange at once; a message that was begun is cut, which the peer sees. */
static inline void side_abort(struct side *x) { x->codec->abort(x); }

/* ---- the side that is asked (upstream/upstream.h) ---- */

/* True: *h is the next head of the answer, 1xx or final; its bytes stay where they are until
 * side_answered(). False: none, and *reason says why; REASON_NONE: not yet. */
static inline bool side_answer(struct side *x, enum method asked, struct head *h,
                               enum reason *reason) {
    return x->codec->answer(x, asked, h, reason);
}
/* h is done with. True: it was a final one, and its body follows. */
static inline bool side_answered(struct side *x, const struct head *h) {
    return x->codec->answered(x, h);
}

/* ---- the side that asks ---- */

/* What it took to let a visitor in. */
enum arrival { ARRIVAL_NONE, ARRIVAL_PLAIN, ARRIVAL_SECURE, ARRIVAL_RESUMED, ARRIVALS };

struct visitor { /* who has connected */
    struct addr peer;
    struct addr
        local; /* what it has connected to, if `told`; else visitor_local() asks the socket */
    bool told : 1;
    enum arrival arrival : 3; /* until a request's record has it; NONE then */
    char text[46];            /* its address, without port */
    uint8_t text_n;
    uint16_t port;             /* of the listener, as clients see it */
    const struct conn *secure; /* its connection, where that is TLS; NULL: plain */
    uint64_t certificate;      /* id_hash of the one that it was shown; 0: none */
    struct list lines;         /* upstream/: connections that are its alone; they end with it */
};
/* What it has connected to. False, with errno: nobody knows. */
bool visitor_local(const struct visitor *v, struct addr *to) MUST_USE;

struct client {
    struct side side;
    struct session_env *env;
    struct visitor *visitor;
    struct stream *stream; /* that serves it, or NULL */
    bool h2;               /* it speaks HTTP/2 */
    uint64_t started_ns;   /* first byte of the request; 0: none yet */
};

/* What a client tells, set in session_env by the stream. Every call may end the exchange; nothing
 * is known of the client after it. */
struct client_ops {
    /* A head is in env->head, its bytes somewhere that does not last: the stream copies what it
     * needs and then calls client_accept(). */
    void (*request)(struct client *c);
    /* What came, so many bytes of it, is not a request that can be served. The answer and
     * client_done() follow. */
    void (*refuse)(struct client *c, enum reason reason, const char *detail, size_t bytes);
    /* While a stream is there: */
    void (*readable)(struct client *c);                    /* body bytes, or the end */
    void (*sent)(struct client *c, size_t lent, bool all); /* so much of the loan went */
    void (*gone)(struct client *c);                        /* the client is not there any more */
    void (*timeout)(struct client *c);                     /* the timer that the stream set */
    /* Without a stream: the connection ends without an answer, for that reason. */
    void (*ended)(struct client *c, enum reason reason);
    /* Its connection ends, and had connections of its own upstream. */
    void (*left)(struct visitor *v);
};

/* The head of env->head is taken, st serves it. True: a body follows. */
static inline bool client_accept(struct client *c, struct stream *st) {
    return c->side.codec->accept(c, st);
}
/* RFC 9110 10.1.1: says 100 Continue, unless the body is on its way already. False: no memory. */
static inline bool client_proceed(struct client *c) { return c->side.codec->proceed(c); }
/* The request is whole and its connection said something: has the client left? */
static inline bool client_gone(struct client *c) { return c->side.codec->gone(c); }
/* The answer was given (not necessarily flushed when keep is false). keep: the request was read to
 * its end, another may follow on the connection. The stream is gone after it. */
static inline void client_done(struct client *c, bool keep) { c->side.codec->done(c, keep); }

#endif
