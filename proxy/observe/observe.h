/* SPDX-License-Identifier: Apache-2.0
 *
 * observe: what the proxy counts, and /metrics.
 *
 *   worker 0  ─ rules   slot → struct route_counts ┐
 *             ─ backends slot → struct backend_counts ├─ each worker writes its own, relaxed stores
 *             ─ gauges                              ┘
 *   worker 1  ...                                        main adds them up when it is asked
 *
 * A rule (backend) whose slot is below the budget has counters of its own, made at its first
 * request; all others, and those for which there was no memory, are counted together under
 * route="other". Requests that no rule matched are route="none". Counters carry the id of whom they
 * count, so a slot that is used again starts at zero; what was counted for a rule that is gone is
 * not shown any more.
 *
 * Threads: observe_request() and all that takes a struct observe_worker belong to that worker's
 * thread, everything else to main.
 */
#ifndef SLUICE_PROXY_OBSERVE_OBSERVE_H
#define SLUICE_PROXY_OBSERVE_OBSERVE_H

#include "lib/metric.h"
#include "proxy/observe/record.h"

struct observe;
struct observe_worker;

enum { OBSERVE_ROUTES_DEFAULT = 1000, OBSERVE_ROUTES_MAX = 1 << 20 };

/* ---- a worker ---- */

/* On its own thread, before anything else: remembers whose CPU clock it is. */
void observe_worker_start(struct observe_worker *w);

/* One finished request. No system call, no allocation but for the first request of a rule. */
void observe_request(struct observe_worker *w, const struct record *r);

/* A connection to a backend's endpoint is open, or gone. The second takes what the first one's
 * backend was (its slot, and observe_identity() of it), since that may be gone by then. */
void observe_upstream_opened(struct observe_worker *w, const struct backend *b);
void observe_upstream_closed(struct observe_worker *w, uint32_t slot, uint64_t identity);
/* Its TLS handshake is over; slot and identity likewise. */
enum observe_handshake {
    OBSERVE_HANDSHAKE_FULL,
    OBSERVE_HANDSHAKE_RESUMED,
    OBSERVE_HANDSHAKE_FAILED,
    OBSERVE_HANDSHAKES
};
void observe_upstream_secured(struct observe_worker *w, uint32_t slot, uint64_t identity,
                              enum observe_handshake how);
uint64_t observe_identity(const struct backend *b);

enum observe_gauge {
    OBSERVE_CLIENT_CONNECTIONS,   /* sluice_connections{kind="client"} */
    OBSERVE_CLIENT_H2,            /* sluice_connections{kind="client_h2"}: of these, HTTP/2 */
    OBSERVE_UPSTREAM_CONNECTIONS, /* sluice_connections{kind="upstream"}: with a request on them */
    OBSERVE_UPSTREAM_IDLE,        /* sluice_connections{kind="upstream_idle"} */
    OBSERVE_STREAMS_ACTIVE,       /* sluice_streams{kind="active"} */
    OBSERVE_STREAMS_TUNNELS,      /* sluice_streams{kind="tunnel"}: no request any more */
    OBSERVE_STREAMS_WAITING,      /* sluice_streams{kind="waiting"}: for a connection */
    OBSERVE_MEMORY_BUFFERS,       /* sluice_memory_bytes{kind="buffers"}: in use */
    OBSERVE_MEMORY_SPARE,         /* sluice_memory_bytes{kind="spare"}: kept for the next ones */
    OBSERVE_GAUGES
};
void observe_gauge(struct observe_worker *w, enum observe_gauge g, uint64_t value);
/* How long a turn took; the longest since the last scrape is shown. */
void observe_lag(struct observe_worker *w, uint64_t ns);

/* ---- main ---- */

struct observe *observe_new(unsigned workers);
void observe_free(struct observe *o); /* the workers have ended */
struct observe_worker *observe_worker(struct observe *o, unsigned i);

/* The configuration that now counts: names and teams are read from it (held until the next). */
void observe_snapshot(struct observe *o, struct snapshot *s);
/* Objects of a kind in it. */
void observe_config_objects(struct observe *o, enum model_kind kind, uint64_t n);
void observe_config_applied(struct observe *o, uint64_t revision, uint64_t apply_ns);
/* A controller has said that what is applied is current: sluice_config_age_seconds starts again. */
void observe_config_current(struct observe *o);
void observe_config_rejected(struct observe *o, uint64_t objects);

/* Once a second: reads the workers' CPU clocks and divides what was used by the work counted. */
void observe_tick(struct observe *o);

/* How busy the proxy was over the last 15 ticks, or as many as there were. */
struct observe_load {
    uint64_t requests_milli; /* requests a second, in thousandths */
    uint64_t gateway_p99_us; /* upper bound of the bucket of histogram_gateway; 0: no request */
};
struct observe_load observe_load(const struct observe *o);

/* Further families, written after ours: the access log's, the link's. */
void observe_source(struct observe *o, void (*write)(void *arg, struct metric_text *t), void *arg);

/* The whole text. */
void observe_scrape(struct observe *o, struct out *to, bool openmetrics);
/* Answers with that reason so far, over all workers and routes. */
uint64_t observe_reason_count(struct observe *o, enum reason reason);

#endif
