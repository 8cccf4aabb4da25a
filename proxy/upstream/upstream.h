/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream: what a worker knows of the endpoints and its connections to them. Memory, not law:
 * keyed by the stable slots of the snapshot (route/snapshot.h), so a new snapshot keeps the
 * connections.
 *
 *     backend ─ pick ─► endpoint ─► target ── idle: last in, first out ─► reused connection
 *                                     │                                 └► or a new one
 *                                     ├── shared: HTTP/2, one connection for many streams
 *                                     ├── kept: one client's alone, whom its PROXY header names
 *                                     ├── waiting: streams, when max_connections are busy
 *                                     └── health: failures in a row, ejected until
 *
 * An upstream is one exchange with an endpoint, which a stream talks to as a side (session/side.h).
 * What carries it is the backend's protocol: a connection of its own (h1.c), which goes back into
 * the pool, or one stream of a connection that is shared (h2.c):
 *
 *     struct upstream ── HTTP/1.1: inside of its struct line (target.h)
 *                    └── HTTP/2: beside others ─► struct carrier ─► struct line
 *
 * A backend may want the PROXY protocol. Then a connection is for those requests alone that come
 * over the client's connection which it names; it is in that one's list as well, and ends with it.
 * What is no client's says so (LOCAL, UNKNOWN), and is shared as any other.
 *
 * Limits that the user set for a proxy are divided by its workers. The worker's thread.
 */
#ifndef SLUICE_PROXY_UPSTREAM_H
#define SLUICE_PROXY_UPSTREAM_H

#include "lib/log.h"
#include "proxy/route/snapshot.h"
#include "proxy/session/side.h"
#include "proxy/upstream/trust.h"

struct h2_shared;
struct line;
struct target;
struct upstream;
struct waiter;

struct upstream_ops {                  /* the owner's */
    void (*ready)(struct upstream *u); /* a new connection stands */
    void (*readable)(struct upstream *u);
    void (*sent)(struct upstream *u, size_t lent, bool all);
    void (*broken)(struct upstream *u, enum conn_end why);
    void (*timeout)(struct upstream *u); /* the deadline that the owner set */
    void (*turn)(struct waiter *w);      /* it waited; now it may try again */
    /* For whom it asks, whom a PROXY header is to name; NULL, or none: for ourselves. */
    struct visitor *(*visitor)(const void *owner);
};

/* Who counts connections. opened() gives the backend an identity, which the others get back: the
 * backend itself may be gone by then. */
enum upstream_handshake { HANDSHAKE_FULL, HANDSHAKE_RESUMED, HANDSHAKE_FAILED, HANDSHAKES };
struct upstream_watch {
    uint64_t (*opened)(void *arg, const struct backend *b);
    void (*secured)(void *arg, uint32_t backend_slot, uint64_t identity,
                    enum upstream_handshake how);
    void (*closed)(void *arg, uint32_t backend_slot, uint64_t identity);
};

struct upstreams {
    struct loop *loop;
    const struct upstream_ops *ops;
    const struct upstream_watch *watch; /* may be NULL */
    void *watch_arg;
    struct h2_shared *h2; /* the worker's */
    uint32_t workers;     /* of this proxy */
    bool as_it_is; /* neither TLS nor HTTP/2 of ours, whatever a backend says: it is passed on */
    struct trusts trusts;
    struct log_limit lines;  /* of handshakes that failed */
    struct target **targets; /* by endpoint slot */
    uint32_t n_targets;
    uint32_t *cursors; /* by backend slot: round robin */
    uint32_t n_cursors;
    struct list free; /* line.link: kept for the next connect */
    uint32_t n_free;
    uint64_t n_conns, n_idle, n_waiting, connects; /* counters */
};

struct upstream {
    struct side side;
    struct upstreams *home;
    struct target *target;
    struct line *line;   /* the connection */
    void *owner;         /* who is served over it: a stream, a relay; NULL: idle */
    uint64_t started_ns; /* of the connect */
    bool unseen;         /* it failed, and the endpoint has not looked at the request */
};

struct waiter { /* an owner in a target's queue */
    struct list link;
    struct target *target;
};

/* Slots of endpoints that were tried for a request. */
enum { TRIES_MAX = 4 };
struct tries {
    uint32_t slot[TRIES_MAX];
    uint8_t n;
};

void upstreams_init(struct upstreams *us, struct loop *l, const struct upstream_ops *ops,
                    struct h2_shared *h2, uint32_t workers);
void upstreams_fini(struct upstreams *us); /* no stream may have one */
/* Before streams use a snapshot: room for its slots. False: no memory. */
bool upstreams_adopt(struct upstreams *us, const struct snapshot *s) MUST_USE;

/* An endpoint that was not tried yet, ejected ones last; NULL when there is none. */
const struct endpoint *upstream_pick(struct upstreams *us, const struct backend *b,
                                     const struct tries *tried);

enum upstream_got {
    UPSTREAM_REUSED,     /* *u is ready now */
    UPSTREAM_CONNECTING, /* ready() or broken() follows */
    UPSTREAM_WAIT,       /* w is in the queue; turn() follows */
    UPSTREAM_FULL,       /* the queue too */
    UPSTREAM_NO_WAY,     /* cannot even try: errno */
};
/* A connection for owner. careful: a stale connection would cost the request its life, so only one
 * that was used within the last second, or a new one; fresh: a new one, or one that others use. */
enum upstream_got upstream_get(struct upstreams *us, const struct backend *b,
                               const struct endpoint *e, bool careful, bool fresh, void *owner,
                               struct waiter *w, struct upstream **u) MUST_USE;
void upstream_unwait(struct waiter *w); /* harmless when it does not wait */
/* The owner is done with it: into the pool when reuse is set and nothing speaks against it; b
 * may be NULL without reuse. A stream of a shared connection that is not complete is reset; the
 * connection goes on. */
void upstream_release(struct upstream *u, const struct backend *b, bool reuse);
/* The client's connection ends, and those that were its alone: at once, or with their exchange. */
void upstreams_part(struct visitor *who);
bool upstream_connecting(const struct upstream *u); /* nothing of a request was sent */
bool upstream_is_over(const struct upstream *u);    /* its connection is */
struct conn *upstream_conn(struct upstream *u);     /* for who passes on bytes: as_it_is */

/* TLS with the endpoint failed, in the handshake or later: says of whom and why, now and then. To
 * be called before the connection is released. */
void upstream_untrusted(const struct upstream *u, const struct backend *b);

/* Passive health: how the endpoint answered. */
void upstream_result(struct upstreams *us, const struct backend *b, const struct endpoint *e,
                     bool failed);

#endif
