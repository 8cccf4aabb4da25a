/* SPDX-License-Identifier: Apache-2.0
 *
 * relay: a connection of a TCP or TLS listener, passed on byte by byte to an endpoint of its
 * listener's backend. Nothing of it is understood here.
 *
 *     client ── conn ──┐ in: what it says, lent ──────────────► upstream ── conn ── endpoint
 *                      └◄──────────── lent, in: what that says ┘
 *
 *     begin ─► endpoint ─► connect ─┬► PROXY header ─► bytes both ways ─► both have finished ─► end
 *                ▲                  │                        └► reset, silence ─────────────────┘
 *                └── another one ◄──┘ at most CONNECT_TRIES
 *
 * Bytes are lent from one connection's buffer to the other, as bodies are (net/conn.h): a slow
 * reader slows the other side, a half that has finished is finished on the other side too, and a
 * silent connection holds no buffer. A direction that has brought large pieces for a while goes
 * through a pipe instead (net/channel.h), until it brings small ones. A relay may live for days, so
 * it holds no snapshot: what it needs of the law it looks up by its listener's name while it
 * connects, and counts by its own number after that. One relay_env for each worker, its thread.
 */
#ifndef SLUICE_PROXY_L4_RELAY_H
#define SLUICE_PROXY_L4_RELAY_H

#include "lib/metric.h"
#include "proxy/l4/intro.h"
#include "proxy/observe/record.h"
#include "proxy/upstream/upstream.h"

/* Of one listener, for the metrics: the worker's alone to write, relaxed. Named once and for all.
 */
struct relay_counts {
    char name[64];
    uint8_t name_n;
    uint64_t opened, closed;
    uint64_t received, sent; /* bytes of clients, and to them */
    uint64_t reasons[REASONS];
};

enum {
    RELAY_LISTENERS_MAX = 64,
    RELAY_IDLE_MS = 3600 * 1000,
    RELAY_CHANNELS_MAX = 256, /* pipes of a worker, two descriptors each */
};

struct relay_env {
    struct loop *loop;
    const struct snapshot *law; /* the current one */
    struct upstreams upstreams;
    struct list all;
    uint64_t n;                                        /* a counter */
    uint32_t n_channels;                               /* open ones */
    void (*passed)(void *arg, const struct passed *p); /* one is over */
    void *arg;
    struct relay_counts counts[RELAY_LISTENERS_MAX + 1]; /* the last: all others together */
    uint64_t n_counts;                                   /* release */
};

void relays_init(struct relay_env *env, struct loop *l, uint32_t workers);
bool relays_make_room(struct relay_env *env,
                      const struct snapshot *law) MUST_USE; /* before law is set */
void relays_close_all(struct relay_env *env);
void relays_fini(struct relay_env *env); /* none may be left */

/* Takes the descriptor of a connection to a listener of protocol TCP or TLS. */
void relay_begin(struct relay_env *env, int fd, const struct newcomer *who,
                 const struct listener_law *l);

/* The families sluice_listener_*, over all workers. Main thread. */
void relay_metrics(struct relay_env *const *envs, unsigned n, struct metric_text *t);

#endif
