/* SPDX-License-Identifier: Apache-2.0
 *
 * parts: the stream itself, for the files of this room.
 */
#ifndef SLUICE_PROXY_STREAM_PARTS_H
#define SLUICE_PROXY_STREAM_PARTS_H

#include "proxy/net/channel.h"
#include "proxy/stream/stream.h"

struct mirror;
struct tunnel;
struct web;

/* What is known of a request whose gateway makes spans; behind its texts. */
struct traced {
    struct trace_context context;
    struct spans *spans; /* NULL: there are none (yet) */
};

struct stream {
    struct stream_env *env;
    struct client *client;
    struct law *law;     /* NULL: a tunnel, which is on none */
    struct upstream *up; /* NULL: none yet, or done with */
    const struct backend *backend;
    const struct endpoint *endpoint;
    struct mirror *mirror;   /* copies that are on their way */
    struct auth *auth;       /* of a guarded rule, what was decided; else NULL */
    struct limited *limited; /* what its limits have said; NULL: it has none */
    struct tunnel *tunnel;   /* not NULL: it is one now, and tunnel.c has it */
    struct traced *traced;   /* NULL: its gateway makes no spans */
    struct web *web;         /* a call of gRPC-Web, which web.c translates; NULL: it is none */
    struct errands errands;  /* what it waits for before it goes on, and has learnt */
    struct waiter waiter;    /* in the queue of an endpoint */
    struct timer timer;      /* backoff, or waiting in the queue */
    struct exchange x;
    struct tries tried;
    struct channel there, back; /* what large bodies go through, while they last */
    char *raw;                  /* the request's head, as it came */
    uint32_t raw_n;
    struct out held; /* of the request's body, read before it is judged */
    uint8_t slab;    /* enum slab_size of this block */

    /* the request */
    bool ready;        /* the upstream connection stands: the head was written */
    bool request_last; /* all of the body was handed on, or is held */
    bool holding;      /* the body is being read, to be held */
    bool body_touched; /* some of it: the request cannot be sent again */
    bool keep;         /* the client may ask again on its connection */
    bool expects;      /* 100 Continue is due */
    bool deaf;         /* the upstream takes no more of it */
    bool request_keep_alive;
    /* the answer */
    bool got_bytes;   /* the upstream has begun to answer this attempt */
    bool answering;   /* a final head was written to the client */
    bool answer_last; /* all of the answer was handed on */
    bool reusable;    /* the upstream connection, when the answer is complete */
    bool reused;      /* the attempt is on a pooled connection */

    bool retrying; /* counted in env->n_retrying */

    uint8_t retries; /* because of codes and failures, not of stale connections */
    uint8_t unseen;  /* attempts that the endpoint has not looked at */
    uint16_t attempts;
    uint16_t status, upstream_status;
    enum reason reason;
    uint8_t address[16];                       /* the client's, v4 as v4-mapped */
    uint64_t deadline_ms, attempt_deadline_ms; /* 0: none */
    uint64_t request_bytes, response_bytes;
    uint64_t start_ns, head_ns, asked_ns, sent_ns, response_ns, first_flush_ns;
    uint64_t upstream_ns, connect_ns;
    uint64_t waits_ns,
        auth_ns; /* since when it waits to be judged (0: it does not); how long it did */
    uint64_t backs_off_ns, retry_ns; /* the same of the wait before it is sent again */
};

/* stream.c */
void stream_fail(struct stream *st, enum reason reason); /* an answer of our own, or a cut */
void stream_refuse(struct stream *st, enum reason reason, uint16_t status);
void stream_finish(struct stream *st);                  /* the answer was flushed whole */
void stream_cut(struct stream *st, enum reason reason); /* the client sees that it is not whole */
void stream_record(struct stream *st);
void stream_drop_upstream(struct stream *st, bool reuse);
struct str stream_date(struct stream_env *env);
static inline struct law *law_hold(struct law *l) {
    l->streams++;
    return l;
}
void law_drop(struct stream_env *env, struct law *l);
uint64_t stream_body_limit(const struct stream *st); /* of the request; UINT64_MAX: none */
/* The request is to be answered within ms of its beginning, if nothing says earlier. */
void stream_end_by(struct stream *st, uint64_t ms);
/* The body from one side to the other has ended: with what may go on of its trailers, which came
 * with an end without bytes. False: no memory. */
bool stream_end_body(struct stream *st, const struct side *from, struct side *to);

/* A piece of n bytes has gone: when it was large and much is left of the body, the rest goes
 * through the pipe, if there is one to be had. */
void stream_open_pipe(struct stream *st, struct channel *p, const struct side *from,
                      const struct side *to, size_t n);

/* It is judged, anew when it was before. */
void stream_judge(struct stream *st);

/* request.c */
/* Reads the request's body, up to so many bytes, and keeps it until it was judged and sent; then,
 * or when it is longer, stream_judge(). */
void request_hold(struct stream *st, uint32_t max);
void request_hold_more(struct stream *st);           /* st->holding, and bytes may have come */
const struct share *request_draw(struct stream *st); /* at random, of several */
/* NULL: there is none. */
static inline const struct share *request_share(struct stream *st) {
    const struct rule *r = st->x.rule;
    if (r->n_shares == 0 || r->total_weight == 0)
        return NULL;
    return likely(r->n_shares == 1) ? &r->shares[0] : request_draw(st);
}
void request_forward(struct stream *st); /* pick and try; answers by itself when it cannot */
/* x.request is the head once more: the scratch head may have served another request since, so it is
 * parsed anew from the copy. False: it is not what it was. */
bool request_restore_head(struct stream *st);
void request_pump(struct stream *st);
void request_sent(struct stream *st, size_t lent, bool all);
/* An attempt failed before an answer was begun: another one, or the refusal. */
void request_failed(struct stream *st, enum reason reason);
bool request_may_retry(const struct stream *st);
void request_retry_over(struct stream *st);        /* it counts in the budget no more */
/* How long it has waited before it was sent again, until now. */
uint64_t request_backed_off(const struct stream *st, uint64_t now_ns);
void request_retry(struct stream *st, bool reuse); /* reuse: the connection can be kept */
void request_ready(struct upstream *u);
void request_turn(struct waiter *w);
void request_timer(struct timer *t);

/* The request's head in x.request: parsed anew from the copy, as the scratch head may have served
 * another one since. False: it cannot be. */
bool request_restore_head(struct stream *st);

/* response.c */
void response_pump(struct stream *st);
void response_sent(struct stream *st, size_t lent, bool all);
/* The upstream's deadline for its next bytes. */
void response_await(struct stream *st);
void response_failed(struct stream *st, enum body what); /* its body */

/* web.c */
/* The backend is picked and speaks HTTP/2; x.request is the head. Translates the call from here on
 * where it is one of gRPC-Web. False: no memory. */
bool web_begin(struct stream *st) MUST_USE;
/* A piece of the request's body was taken: *piece is what it stands for, in its place; bytes that
 * it does not need are repaid. False: it is no base64. */
bool web_request(struct stream *st, struct str *piece, bool last) MUST_USE;
void web_answer(struct stream *st, struct head *h); /* its head came, and goes on */
void web_read_body(struct stream *st);              /* when web_answers() */
void web_cut(
    struct stream *st); /* what is lent to the client goes away; harmless when it is none */
void web_free(struct stream *st); /* likewise */
/* The answer is translated. */
static inline bool web_answers(const struct stream *st) {
    return unlikely(st->x.web != NULL) && st->x.web->answers != GRPC_WEB_NONE;
}
/* What is lent to the client is no part of the upstream's loan. */
static inline bool web_lends(const struct stream *st) {
    return unlikely(st->x.web != NULL) && st->x.web->answers == GRPC_WEB_TEXT;
}

/* trace.c; all but the first and the last one only while st->traced */
/* After policy_trace(), with its trace_room, and TRACED_BYTES more behind it. */
enum { TRACED_BYTES = sizeof(struct traced) + _Alignof(struct traced) };
void trace_begin(struct stream *st, char *room);
void trace_judge(struct stream *st);   /* who decides may be asked from now on */
void trace_attempt(struct stream *st); /* one begins; its head is not yet written */
/* It ends without an answer that is passed on. REASON_NONE: with one that is tried again. Before
 * its connection is dropped. */
void trace_failed(struct stream *st, enum reason reason);
void trace_end(struct stream *st, struct record *r); /* gives back what it has taken */
/* A request whose head could not be read. room: TRACEPARENT_BYTES, as long as r lives. */
void trace_unread(struct stream_env *env, struct exchange *x, struct record *r, char *room);

/* tunnel.c */
bool tunnel_agreed(const struct stream *st, const struct head *h); /* to that 101 */
/* Takes what it needs; its head is not yet written. False: no memory. */
bool tunnel_prepare(struct stream *st) MUST_USE;
void tunnel_begin(struct stream *st); /* the stream may be gone after it */
void tunnel_free(struct stream *st);  /* harmless when it is none */
void tunnel_record(const struct stream *st, struct record *r);
/* Events; the stream may be gone after each of them. */
void tunnel_client_readable(struct stream *st);
void tunnel_client_sent(struct stream *st, size_t lent);
void tunnel_client_gone(struct stream *st);
void tunnel_upstream_readable(struct stream *st);
void tunnel_upstream_sent(struct stream *st, size_t lent);
void tunnel_upstream_broken(struct stream *st, enum conn_end why);

/* mirror.c */
void mirror_begin(struct stream *st);
void mirror_body(struct stream *st, struct str piece, bool last);
void mirrors_close_all(struct stream_env *env);
void mirror_forget(struct stream *st); /* the stream ends; the copy goes on alone */

#endif
