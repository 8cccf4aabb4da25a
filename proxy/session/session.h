/* SPDX-License-Identifier: Apache-2.0
 *
 * session: the client side of HTTP/1.x: one connection, one request after the other. It reads
 * heads, keeps the client's timeouts and knows when the connection may go on; what a request means
 * is the stream's business, told through session_ops.
 *
 *      accept ─► HEAD ──request()──► BUSY ──session_done(keep)──► HEAD (next request, or idle)
 *                 │ bad head: refuse()  │                          │
 *                 ▼                     ▼ gone(), stalled()        ▼ not keep
 *               LINGER ◄────────────────────────────────────── LINGER ─► closed
 *
 * An idle session is this struct alone: no buffer, no stream. LINGER: the last answer was sent and
 * FIN after it, but bytes of a request may still be on their way; they are read and thrown away for
 * a short while, since closing at once would reset the connection and take the answer with it
 * (RFC 9112 9.6). The worker's thread.
 */
#ifndef SLUICE_PROXY_SESSION_H
#define SLUICE_PROXY_SESSION_H

#include "proxy/route/snapshot.h"
#include "proxy/session/body.h"

struct session;
struct stream;

struct session_ops {
    /* A head is in env->head, its bytes in the connection's buffer. The stream copies what it needs
     * and then calls session_accept(), or answers and calls session_done(). */
    void (*request)(struct session *s);
    /* What came is not a request that can be served. session_done() follows. */
    void (*refuse)(struct session *s, enum reason reason, const char *detail);
    /* While a stream is there: */
    void (*readable)(struct session *s);                    /* body bytes, or the end */
    void (*sent)(struct session *s, size_t lent, bool all); /* after a flush */
    void (*gone)(struct session *s);                        /* the client is not there any more */
    void (*timeout)(struct session *s);                     /* the timer that the stream set */
};

/* What all sessions of a worker share; the worker owns it. */
struct session_env {
    struct loop *loop;
    const struct session_ops *ops;
    const struct limits *limits; /* of the current snapshot */
    struct head *head;           /* scratch: one head is parsed at a time */
    struct list sessions;        /* all */
    uint64_t n_sessions, n_idle; /* counters */
    bool draining;               /* answers say Connection: close */
    struct list free;            /* session.link: kept for the next accept */
    uint32_t n_free;
    void *arg; /* the stream's environment */
};

enum session_state { SESSION_HEAD, SESSION_BUSY, SESSION_LINGER };

struct session {
    struct conn conn;
    struct timer timer;
    struct session_env *env;
    struct stream *stream; /* SESSION_BUSY */
    struct list link;
    struct h1_scan scan;
    struct h1_body body; /* of the request */
    struct loan loan;    /* of its body, to the upstream */
    uint64_t started_ns; /* first byte of the request; 0: none yet */
    struct addr peer;
    char peer_text[46]; /* its address, without port */
    uint8_t peer_text_n;
    uint16_t port; /* of the listener, as clients see it */
    uint8_t state;
    bool idle; /* counted in n_idle */
    uint32_t requests;
    uint32_t lingered; /* bytes thrown away */
};

void sessions_init(struct session_env *env); /* after loop, ops, limits and head were set */
/* Takes the descriptor. A session is made and waits for its first request; when memory or
 * descriptors are short the connection is closed. */
void session_accept_fd(struct session_env *env, int fd, const struct addr *peer, uint16_t port);

/* The head of env->head is consumed, the body (if any) stands next, st serves it. */
void session_accept(struct session *s, struct stream *st);
/* The answer was given to the connection (not necessarily flushed when keep is false). keep: the
 * request was read to its end and another may follow. The stream is gone after it. */
void session_done(struct session *s, bool keep);
/* The next bytes that the client sends at the latest at now + ms, or timeout() is called. */
static inline void session_deadline(struct session *s, uint64_t at_ms) {
    timer_set(s->env->loop->wheel, &s->timer, at_ms);
}
/* Ends it at once; an answer that was begun is cut, which the client sees by the reset. */
void session_abort(struct session *s);
/* Those that wait for another request. One that has had none yet is given a second, and is not
 * counted as idle until then. */
/* R9: one that waits for nothing makes room for one that comes. False: none of the oldest does. */
bool sessions_shed_idle(struct session_env *env);
void sessions_close_idle(struct session_env *env);
void sessions_close_all(struct session_env *env); /* whatever they are doing */
void sessions_fini(struct session_env *env);      /* frees what is kept; none may be open */

#endif
