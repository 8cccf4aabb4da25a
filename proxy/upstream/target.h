/* SPDX-License-Identifier: Apache-2.0
 *
 * target: one endpoint as this worker knows it, and its connections; see upstream.h. Private to
 * this room.
 */
#ifndef SLUICE_PROXY_UPSTREAM_TARGET_H
#define SLUICE_PROXY_UPSTREAM_TARGET_H

#include "proxy/session/h1_side.h"
#include "proxy/upstream/upstream.h"

struct carrier;

struct line { /* a connection */
    struct conn conn;
    struct upstream up; /* its exchange; with HTTP/2 the connection's timer, and no owner */
    struct h1_side h1;
    struct carrier *carrier;   /* not NULL: it speaks HTTP/2 */
    struct list link;          /* in the target's list idle, shared, or kept */
    struct list own;           /* one client's alone: in struct visitor's list lines */
    struct list *rests;        /* HTTP/1.1: idle, or kept; NULL: its client has left */
    uint64_t backend_identity; /* for whom it was opened */
    uint32_t backend_slot;
    uint32_t requests; /* served over it */
    uint64_t idle_since_ms;
    bool idle;  /* counted in n_idle */
    bool ended; /* its turn is over, and streams of it are still held */
};

struct target {
    uint32_t slot, generation;
    struct list idle;    /* line.link, warmest first: HTTP/1.1 */
    struct list shared;  /* line.link, oldest first: HTTP/2 */
    struct list kept;    /* line.link, private: HTTP/1.1 when idle, warmest first; HTTP/2 */
    struct list waiting; /* waiter.link, oldest first */
    uint32_t n_conns;    /* idle and busy */
    uint32_t n_waiting;
    struct upstreams *home;
    uint32_t n_active;        /* busy: for least request */
    struct tls_memory memory; /* of its sessions */
    bool orphan; /* its slot belongs to another endpoint now: freed with its last connection */
    uint16_t failures;      /* in a row */
    uint16_t ejections;     /* in a row */
    uint64_t ejected_until; /* ms; 0: not */
};

/* Made when it is not there; NULL: no memory. */
struct target *target_of(struct upstreams *us, const struct endpoint *e);
/* NULL when this worker has not met it yet. */
static inline struct target *target_peek(const struct upstreams *us, const struct endpoint *e) {
    struct target *t = us->targets[e->slot];
    return t != NULL && t->generation == e->generation ? t : NULL;
}
static inline bool target_is_ejected(const struct target *t, uint64_t now_ms) {
    return t != NULL && t->ejected_until > now_ms;
}

/* ---- pool.c ---- */

void line_idle(struct line *l, bool idle); /* counted as one that nobody uses */
/* Closed at once; freed at the end of the turn, and when no stream is on it. */
void line_end(struct line *l);
void line_free(struct line *l);    /* when it has ended, and its last stream goes */
void target_end(struct target *t); /* freed, if nothing holds it any more */
/* As many of those who wait as could be served now have their turn. */
void target_turns(struct target *t);

/* ---- h1.c ---- */

extern const struct side_codec upstream_h1;

/* ---- h2.c ---- */

struct carrier *carrier_new(struct line *l, const struct backend *b) MUST_USE; /* NULL: no memory */
void carrier_free(struct carrier *c);                                          /* NULL is fine */
/* It takes one more stream. */
bool carrier_has_room(const struct carrier *c);
bool carrier_is_used(const struct carrier *c); /* streams are on it */
bool carrier_stands(const struct carrier *c); /* its connection does, with all that was asked for */
/* For how long nobody has used it; 0: somebody does, or it connects. */
uint64_t carrier_idle_ms(const struct carrier *c);
/* One more, for which ready() follows while it connects. NULL: no memory. */
struct upstream *carrier_ask(struct carrier *c) MUST_USE;
void carrier_release(struct upstream *u, bool complete);
/* No new streams; it ends with its last one. */
void carrier_retire(struct carrier *c);
/* At once, with all that is on it. */
void carrier_over(struct carrier *c);
/* Events of the connection. */
void carrier_readable(struct carrier *c);
void carrier_fill(struct carrier *c);
void carrier_flushed(struct carrier *c, bool all);
void carrier_connected(struct carrier *c);
void carrier_broken(struct carrier *c, enum conn_end why);
void carrier_timeout(struct carrier *c);

#endif
