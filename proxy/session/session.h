/* SPDX-License-Identifier: Apache-2.0
 *
 * session: a client's connection. It speaks HTTP/1.x, one request after the other, until HTTP/2's
 * preface comes instead of a request (RFC 9113 3.3) or the handshake of TLS has agreed on it: then
 * h2.h takes over, and what follows here is not for it. It reads
 * heads, keeps the client's timeouts and knows when the connection may go on; what a request means
 * is the stream's business, told through client_ops (side.h).
 *
 *         └► SHAKING (TLS)
 *      accept ─► HEAD ──request()──► BUSY ──client_done(keep)──► HEAD (next request, or idle)
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
#include "proxy/session/h1_side.h"
#include "proxy/session/secure.h"

/* S26: in a handshake at once, in a worker. For one more the one goes that has waited the longest
 * for its client; when all wait for us instead, it is not taken. */
enum { SESSIONS_SHAKING_MAX = 512 };

struct h2;
struct h2_shared;
struct session;

/* What all sessions of a worker share; the worker owns it. */
struct session_env {
    struct loop *loop;
    const struct client_ops *ops;
    const struct limits *limits; /* of the current snapshot */
    struct head *head;           /* scratch: one head is parsed at a time */
    struct secure *secure;       /* handshakes; its own */
    struct h2_shared *h2;
    struct list sessions;              /* all but those in a handshake */
    struct list shaking;               /* these, the oldest first */
    uint64_t n_sessions, n_h2, n_idle; /* counters; of all */
    uint64_t n_shaking;                /* a counter */
    bool draining;                     /* answers say Connection: close */
    struct list free;                  /* session.link: kept for the next accept */
    uint32_t n_free;
    void *arg; /* the stream's environment */
};

enum session_state { SESSION_SHAKING, SESSION_HEAD, SESSION_BUSY, SESSION_H2, SESSION_LINGER };

struct session {
    struct conn conn;
    struct client client; /* SESSION_BUSY: it has a stream */
    struct h2 *h2;        /* not NULL since it speaks HTTP/2 */
    struct visitor visitor;
    struct list link;
    struct h1_side h1;
    uint32_t requests;
    uint8_t state;     /* enum session_state */
    bool idle;         /* counted in n_idle */
    uint32_t lingered; /* bytes thrown away */
};

void sessions_init(struct session_env *env); /* after loop, ops, limits and head were set */
/* Takes the descriptor. local: what the peer has connected to, as a PROXY header says; NULL: the
 * socket's own end. A session is made and waits for its first request, on a port with TLS for
 * the handshake before; when memory or descriptors are short the connection is closed. */
void session_accept_fd(struct session_env *env, int fd, const struct addr *peer,
                       const struct addr *local, uint16_t port);

/* It speaks HTTP/2 from here on: what TLS's ALPN has agreed on. */
void session_speak_h2(struct session *s);
/* From now on answers close their connections, and HTTP/2 takes no new streams soon. */
void sessions_drain(struct session_env *env);
/* Those that wait for another request. One that has had none yet is given a second, and is not
 * counted as idle until then. */
/* R9: one that waits for nothing makes room for one that comes. False: none of the oldest does. */
bool sessions_shed_idle(struct session_env *env);
void sessions_close_idle(struct session_env *env);
void sessions_close_all(struct session_env *env); /* whatever they are doing */
void sessions_fini(struct session_env *env);      /* frees what is kept; none may be open */

#endif
