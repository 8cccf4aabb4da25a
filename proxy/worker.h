/* SPDX-License-Identifier: Apache-2.0
 *
 * worker: one thread with a loop, listeners, sessions and upstream pools of its own. It shares
 * nothing that it writes; main and worker talk by two mailboxes:
 *
 *     main ── edition (a snapshot) ──► worker: adopts the newest at the end of its turn
 *     main ◄── edition ──────────────  worker: no stream is on it any more
 *     main ◄── rings ────────────────  worker: adopted, or returned something
 *
 * Main holds the snapshot of every edition until it comes back.
 */
#ifndef SLUICE_PROXY_WORKER_H
#define SLUICE_PROXY_WORKER_H

#include "proxy/net/conn.h"
#include "proxy/observe/record.h"
#include "proxy/session/secure.h"
#include "proxy/upstream/upstream.h"

struct worker;
struct relay_env;
struct slow;
struct limit_env;
struct exporter;
struct limit_table;

enum { WORKER_PORTS_MAX = 16 };
struct worker_port {
    uint16_t client; /* as clients see it */
    struct addr bind;
};

struct worker_options {
    unsigned index, workers;
    const struct worker_port *ports; /* live as long as the worker */
    size_t n_ports;
    size_t memory;        /* bytes of buffers for this worker where the gateway says nothing */
    uint32_t connections; /* of this worker, at most */
    struct limit_table *limits; /* of all workers; NULL: nothing is counted */
    uint64_t drain_ms;          /* from closing its listeners to worker_free(), at most */
    int ring;                   /* rung when main has something to look at */
    struct slow *slow;          /* threads for passwords, which live longer; NULL: none */
    /* A request is over, or a connection of a TCP or TLS listener (may be NULL); on the worker's
     * thread. */
    void (*record)(void *arg, const struct record *r);
    void (*passed)(void *arg, const struct passed *p);
    const struct upstream_watch *upstreams; /* likewise */
    void *arg;
};

/* Starts the thread. NULL with errno. */
struct worker *worker_new(const struct worker_options *o);

/* Everything below: main thread. */

void worker_publish(struct worker *w, struct snapshot *s); /* takes one hold */
uint64_t worker_adopted(const struct worker *w);           /* serial; 0: none yet */
void worker_collect(struct worker *w);                     /* drops what came back */

/* R2: answers say Connection: close, connections are still accepted. */
void worker_drain(struct worker *w);
/* Listeners are closed, idle connections too; tunnels in the second half of drain_ms. */
void worker_close_listeners(struct worker *w);
/* What is left is cut, and the thread ends; waits for it and frees everything. */
void worker_free(struct worker *w);

struct worker_gauges {
    uint64_t sessions, h2_sessions, idle_sessions, streams, tunnels, requests;
    uint64_t relays, intros; /* connections of TCP and TLS listeners; those not known yet */
    uint64_t waiting;        /* streams, for a connection */
    uint64_t upstreams, idle_upstreams, connects;
    uint64_t buffer_bytes, spare_bytes;
    uint64_t accept_failures, refused; /* for want of descriptors; over the limit */
    uint64_t lag_ns;                   /* longest turn since the last call */
    uint64_t cpu_ns;                   /* of the thread */
};
/* Sources of key sets that tokens named unknown keys of, since the last call. */
void worker_unknown_keys(struct worker *w, void (*each)(void *arg, struct str source), void *arg);
bool worker_listening(const struct worker *w); /* on every port that it should */
void worker_gauges(struct worker *w, struct worker_gauges *g);
struct secure_counts worker_handshakes(const struct worker *w); /* of TLS, with clients */
struct relay_env *worker_relays(struct worker *w);              /* for relay_metrics() */
const struct limit_env *worker_limits(const struct worker *w);  /* for limit_metrics() */
const struct exporter *worker_exporter(const struct worker *w); /* for exporter_metrics() */

#endif
