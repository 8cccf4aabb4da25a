/* SPDX-License-Identifier: Apache-2.0
 *
 * gate: one real worker on loopback, with a snapshot made of model objects (route_world.h), and
 * what it recorded. put_... objects, then gate_open(); change objects and gate_publish() again.
 */
#ifndef SLUICE_TESTS_GATE_H
#define SLUICE_TESTS_GATE_H

#include "lib/thread.h"
#include "proxy/worker.h"
#include "tests/unit/peer.h"
#include "tests/unit/route_world.h"

enum { GATE_RECORDS_MAX = 8192 };

struct gate_record {
    uint16_t status, upstream_status, attempts;
    enum reason reason;
    bool reused;
};

struct gate {
    struct world world;
    struct worker *worker;
    struct worker_port port;
    int ring;
    pthread_mutex_t lock;
    atomic_uint n; /* records */
    struct gate_record records[GATE_RECORDS_MAX];
};

static inline void gate_record(void *arg, const struct record *r) {
    struct gate *g = arg;
    pthread_mutex_lock(&g->lock);
    unsigned n = atomic_load(&g->n);
    if (n < GATE_RECORDS_MAX)
        g->records[n] = (struct gate_record){.status = r->status,
                                             .upstream_status = r->upstream_status,
                                             .attempts = r->attempts,
                                             .reason = r->reason,
                                             .reused = r->reused};
    atomic_store(&g->n, n + 1);
    pthread_mutex_unlock(&g->lock);
}

/* Record i, waited for. */
static inline struct gate_record gate_record_at(struct gate *g, unsigned i) {
    wait_until(atomic_load(&g->n) > i);
    pthread_mutex_lock(&g->lock);
    struct gate_record r = g->records[i];
    pthread_mutex_unlock(&g->lock);
    return r;
}

static inline struct gate *gate_new(uint16_t port) {
    struct gate *g = mem_zalloc(sizeof(*g));
    world_init(&g->world);
    pthread_mutex_init(&g->lock, NULL);
    g->port.client = 80;
    must(addr_parse(&g->port.bind, arena_fmt(&g->world.a, "127.0.0.1:%u", port)));
    g->ring = wakeup_new();
    struct worker_options o = {.workers = 1,
                               .ports = &g->port,
                               .n_ports = 1,
                               .memory = 32 << 20,
                               .connections = 4096,
                               .ring = g->ring,
                               .record = gate_record,
                               .arg = g};
    g->worker = worker_new(&o);
    must(g->worker != NULL);
    struct model_listener l = {.gateway = STR("gateway/-/c"), .port = 80};
    world_put(&g->world, MODEL_KIND_listener, STR("listener/c/http"), &l);
    put_host(&g->world, "");
    return g;
}

static inline uint16_t gate_port(const struct gate *g) { return ntohs(g->port.bind.v4.sin_port); }

/* Commits what was put; the worker goes by it when this returns. */
static inline void gate_publish(struct gate *g) {
    world_commit(&g->world);
    worker_publish(g->worker, snapshot_hold(g->world.s));
    wait_until(worker_adopted(g->worker) == g->world.s->serial);
    worker_collect(g->worker);
    assert_true(worker_listening(g->worker));
}

static inline struct worker_gauges gate_gauges(struct gate *g) {
    struct worker_gauges gauges;
    worker_gauges(g->worker, &gauges);
    return gauges;
}

/* Nothing is left of any request: no stream, no connection, no buffer but that of idle ones. */
static inline void gate_quiet(struct gate *g) {
    wait_until(gate_gauges(g).streams == 0 && gate_gauges(g).sessions == 0 &&
               gate_gauges(g).buffer_bytes == 0);
}

static inline void gate_free(struct gate *g) {
    worker_free(g->worker);
    world_fini(&g->world);
    pthread_mutex_destroy(&g->lock);
    close(g->ring);
    mem_free(g);
}

/* ---- the usual world: every path of every host to one backend ---- */

static inline void gate_route(struct gate *g, struct model_route r, const char *backend) {
    put_route_as(&g->world, r, "r", "", PREFIX("/"), backend);
}
static inline void gate_traffic(struct gate *g, struct model_traffic t) {
    world_put(&g->world, MODEL_KIND_traffic, STR("traffic/ns/t"), &t);
}
/* Named by gate_traffic's policy, endpoints up to a NULL, "127.0.0.1:port" each. */
static inline void gate_backend(struct gate *g, const char *name, const char *one,
                                const char *two) {
    put_backend(&g->world, name, one, two, NULL);
    struct model_backend b = {.namespace = STR("ns"),
                              .service = str_of(name),
                              .port = 80,
                              .endpoints = world_id(&g->world, MODEL_KIND_endpoints, name, "80"),
                              .traffic = STR("traffic/ns/t")};
    world_put(&g->world, MODEL_KIND_backend, backend_id(&g->world, name), &b);
}

/* Says text on a connection of its own, and reads one answer. */
static inline int gate_ask(struct gate *g, const char *text, struct message *m) {
    struct wire w;
    assert_true(wire_dial(&w, gate_port(g)));
    wire_say(&w, text);
    int status = wire_answer(&w, m, false);
    wire_close(&w);
    return status;
}

#define GET  "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"

#endif
