/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream: what a worker knows of the endpoints and its connections to them. Memory, not law:
 * keyed by the stable slots of the snapshot (route/snapshot.h), so a new snapshot keeps the
 * connections.
 *
 *     backend ─ pick ─► endpoint ─► target ── idle: last in, first out ─► reused connection
 *                                     │                                 └► or a new one
 *                                     ├── waiting: streams, when max_connections are busy
 *                                     └── health: failures in a row, ejected until
 *
 * An upstream is one HTTP/1.1 connection to an endpoint; it serves one stream at a time, which
 * talks to it as a side (session/side.h, h1.c). Limits that the user set for a proxy are divided by
 * its workers. The worker's thread.
 */
#ifndef SLUICE_PROXY_UPSTREAM_H
#define SLUICE_PROXY_UPSTREAM_H

#include "lib/log.h"
#include "proxy/route/snapshot.h"
#include "proxy/session/side.h"
#include "proxy/upstream/trust.h"

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
    uint32_t workers; /* of this proxy */
    bool as_it_is;    /* no TLS of ours, whatever a backend says: it is passed on */
    struct trusts trusts;
    struct log_limit lines;  /* of handshakes that failed */
    struct target **targets; /* by endpoint slot */
    uint32_t n_targets;
    uint32_t *cursors; /* by backend slot: round robin */
    uint32_t n_cursors;
    struct list free; /* upstream.link: kept for the next connect */
    uint32_t n_free;
    uint64_t n_conns, n_idle, n_waiting, connects; /* counters */
};

struct upstream {
    struct side side;
    struct conn conn;
    struct upstreams *home;
    struct target *target;
    void *owner;               /* who is served over it: a stream, a relay; NULL: idle */
    struct list link;          /* in the target's idle list */
    uint64_t backend_identity; /* for whom it was opened */
    uint32_t backend_slot;
    struct h1_scan scan;
    struct h1_body body; /* of the answer */
    bool chunked;        /* the request's body */
    bool tunnel;         /* bytes both ways, no HTTP any more */
    uint64_t started_ns; /* of the connect */
    uint64_t idle_since_ms;
    uint32_t requests; /* served over it, this one counted */
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
                    uint32_t workers);
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
 * that was used within the last second, or a new one; fresh: a new one. */
enum upstream_got upstream_get(struct upstreams *us, const struct backend *b,
                               const struct endpoint *e, bool careful, bool fresh, void *owner,
                               struct waiter *w, struct upstream **u) MUST_USE;
void upstream_unwait(struct waiter *w); /* harmless when it does not wait */
/* The owner is done with it: into the pool when reuse is set and nothing speaks against it. b may
 * be NULL without reuse. */
void upstream_release(struct upstream *u, const struct backend *b, bool reuse);
/* The connection does not stand yet: nothing of a request was sent. */
static inline bool upstream_connecting(const struct upstream *u) {
    return u->conn.connecting || u->conn.shaking;
}
static inline bool upstream_is_over(const struct upstream *u) { return u->conn.closed; }
extern const struct side_codec upstream_h1; /* h1.c */

/* TLS with the endpoint failed, in the handshake or later: says of whom and why, now and then. To
 * be called before the connection is released. */
void upstream_untrusted(const struct upstream *u, const struct backend *b);

/* Passive health: how the endpoint answered. */
void upstream_result(struct upstreams *us, const struct backend *b, const struct endpoint *e,
                     bool failed);

#endif
