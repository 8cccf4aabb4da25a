/* SPDX-License-Identifier: Apache-2.0
 *
 * bench: `sluicectl bench`, load against a URL.
 *
 *   bench_options.c ─► struct bench_plan ─► bench_load.c     requests are due at fixed times
 *   bench_mix.c           ▲                   │              due ──► free flight? else it waits
 *     what is sent ───────┘                   ▼
 *                                           bench_conn.c     socket, TLS
 *                                           bench_h1.c, bench_h2.c
 *                                             │
 *     struct bench_result ◄───────────────────┘
 *       ├─► bench_knee.c    which rate comes next, and which was the last good one
 *       ├─► bench_scale.c   how throughput grows with workers or pods
 *       └─► bench_print.c, bench_plot.c     table, document, SVG
 *
 * Open loop: a request is due whether or not earlier ones were answered, and its latency counts
 * from when it was due. What is due while every flight is taken waits, and its wait counts; so a
 * server that stands still for 200 ms is seen by every request of those 200 ms (no coordinated
 * omission). At --rate max the next request is due when a flight is free.
 *
 *     due ───────────── sent ──────────────── answered       latency = answered - due
 *          waits for a           service = answered - sent
 *          free connection
 *
 * One thread, one epoll; nothing is allocated per request over HTTP/1. Times are nanoseconds of
 * CLOCK_MONOTONIC unless a name says otherwise.
 */
#ifndef SLUICE_CTL_BENCH_H
#define SLUICE_CTL_BENCH_H

#include "ctl/bench_histogram.h"
#include "ctl/bench_mix.h"
#include "ctl/ctl.h"
#include "proxy/http/reason.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#define BENCH_SECOND 1000000000ULL

enum {
    BENCH_CONNECTIONS_MAX = 20000,
    BENCH_STREAMS_MAX = 1000,
    BENCH_FLIGHTS_MAX = 1000000, /* connections * streams */
    BENCH_ADDRESSES = 16,        /* of a name; connections go to them in turns */
    BENCH_SECONDS_MAX = 86400,
};

/* ---- what is asked for ---- */

struct bench_address {
    struct sockaddr_storage a;
    socklen_t n;
};

struct bench_plan {
    const struct bench_mix *mix;
    struct bench_address to[BENCH_ADDRESSES];
    unsigned n_to;
    SSL_CTX *tls;     /* NULL: in clear */
    const char *name; /* SNI and the name of the certificate; NULL: an address */
    bool http2;
    bool max;     /* closed loop: as fast as flights come free */
    bool poisson; /* gaps are exponential; else equal */
    bool replay;  /* due at the times of the mix */
    double rate;  /* requests a second; not of max and replay */
    unsigned connections, streams;
    uint64_t duration_ns, warmup_ns, timeout_ns;
};

/* ---- what came out ---- */

/* How a request ends that was not answered. */
enum bench_error {
    BENCH_CONNECT,  /* refused, no way there */
    BENCH_TLS,      /* the handshake failed */
    BENCH_TIMEOUT,  /* not answered in time, waiting for a connection included */
    BENCH_RESET,    /* the connection, or the stream, was reset */
    BENCH_CLOSED,   /* the connection ended before the answer did */
    BENCH_PROTOCOL, /* what came is no HTTP */
    BENCH_ERRORS
};
extern const char *const bench_error_names[BENCH_ERRORS];
extern const char *const bench_error_words[BENCH_ERRORS];

/* One second of it, for who watches. */
struct bench_second {
    uint64_t answered, failed;
    uint64_t p50_ns, p99_ns, max_ns;
};

/* Each request that was due in the window ends in exactly one of answered, errors[], unsent. */
struct bench_result {
    double rate_asked;  /* 0: max, or replay */
    uint64_t window_ns; /* without the warm-up */
    uint64_t due, answered, unsent;
    uint64_t errors[BENCH_ERRORS];
    uint64_t sent;             /* of due: before the window ended, or a moment later */
    uint64_t in_window;        /* answers that came within the window, whenever they were due */
    uint64_t status[6];        /* answers by class: [2] is 2xx */
    uint64_t limited;          /* of [4]: 429 */
    uint64_t reasons[REASONS]; /* answers by their header sluice-reason */
    uint64_t bytes_in, bytes_out;
    uint64_t connects; /* connections made after the first ones */
    uint64_t late;     /* sent more than 1 ms after it was due and a flight was free */
    uint64_t queued;   /* waited more than 1 ms for a free flight */
    uint64_t cpu_ns;   /* of the generator, within the window */
    /* Of answers, and, as the least that they would have been, of timeouts and of unsent ones. */
    struct bench_histogram latency;
    struct bench_histogram service; /* of answers, from when they were sent */
    struct bench_second *seconds;
    size_t n_seconds;
};

struct bench_result *bench_result_new(void);
void bench_result_free(struct bench_result *r);     /* NULL is fine */
double bench_reached(const struct bench_result *r); /* answers a second */
uint64_t bench_errors(const struct bench_result *r);
uint64_t bench_failed(const struct bench_result *r);     /* errors, 5xx, 429, unsent */
double bench_failed_share(const struct bench_result *r); /* 0 .. 1 */
double bench_busy(const struct bench_result *r);         /* of one core, 0 .. 1 */
/* The generator could not keep its times: late, or without a core of its own to spare. */
bool bench_was_limit(const struct bench_result *r);

/* ---- doing it ---- */

struct bench_watcher {
    void (*second)(void *arg, const struct bench_second *s, unsigned at, bool warmup);
    void *arg;
};

/* Runs the plan; r is a fresh result. 0, or -1 with *why when not even one connection could be
 * made. SIGINT ends it early, with what there is (bench_stopped()). */
int bench_run(const struct bench_plan *p, const struct bench_watcher *w, struct bench_result *r,
              struct why *why) MUST_USE;
bool bench_stopped(void);

#endif
