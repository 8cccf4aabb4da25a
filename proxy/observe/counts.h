/* SPDX-License-Identifier: Apache-2.0
 *
 * counts: how the counters lie in memory. Private to observe.
 *
 *   struct observe_worker
 *     ├── routes    pages[slot / 256] ──► block[slot % 256] ──► struct route_counts
 *     ├── backends  the same                                    struct backend_counts
 *     ├── policies  the same                                    struct policy_counts
 *     ├── other     rules above the budget, or without memory
 *     └── none      requests that no rule matched
 *
 * A block begins with the identity (id_hash, never 0) of whom it counts. The worker that finds
 * another identity in it empties it: identity 0, counters 0, the new identity, in that order. main
 * reads the identity before and after what it adds up, and passes over a block that changed
 * meanwhile. Blocks and pages are never freed while the workers run.
 */
#ifndef SLUICE_PROXY_OBSERVE_COUNTS_H
#define SLUICE_PROXY_OBSERVE_COUNTS_H

#include "proxy/observe/observe.h"

#include <time.h>

enum {
    CODES_EXACT = 16,
    CODE_CLASSES = 6, /* 1xx .. 5xx; [0]: anything else */
    PAGE_BITS = 8,
    PAGE_SLOTS = 1 << PAGE_BITS,
    PAGES = OBSERVE_ROUTES_MAX >> PAGE_BITS,
    LAG_SECONDS = 16,
    LOAD_SECONDS = 15,
};

/* The first codes that come are counted exactly, later ones by class. */
struct code_counts {
    uint16_t code[CODES_EXACT]; /* 0: free */
    uint64_t n[CODES_EXACT];
    uint64_t by_class[CODE_CLASSES];
};

struct block {
    uint64_t identity; /* 0: being emptied */
};

/* Of a rule, once one of its requests was sampled: the newest in each bucket. at_ns is
 * CLOCK_MONOTONIC here. */
enum exemplar_of { EXEMPLAR_DURATION, EXEMPLAR_GATEWAY, EXEMPLAR_UPSTREAM, EXEMPLARS };
struct exemplars {
    uint64_t identity; /* of the rule */
    uint64_t writing;  /* odd: by the worker, now */
    struct exemplar of[EXEMPLARS][HISTOGRAM_BOUNDS + 1];
};

struct route_counts {
    struct block block;
    struct code_counts codes;
    struct histogram duration, gateway, upstream;
#define COUNTER(name, family, help, value) uint64_t name;
#include "proxy/observe/route_counters.def"
#undef COUNTER
    uint64_t work; /* about nanoseconds, see work_of() */
    uint64_t reasons[REASONS];
    struct { /* written by main alone: CPU time divided so far */
        uint64_t identity, work_seen, cpu_ns;
    } main;
    struct exemplars *exemplars; /* made by the worker; lives as long as the block */
};

struct backend_counts {
    struct block block;
    struct code_counts codes;
    struct histogram duration;
    uint64_t connects;
    uint64_t requests[2]; /* [1]: on a connection that was reused */
    uint64_t opened, closed;
    uint64_t handshakes[OBSERVE_HANDSHAKES];
};

/* Of a policy: what it decided, by the method that knew the caller ([AUTH_METHODS_MAX]: none). */
struct policy_counts {
    struct block block;
    struct {
        uint64_t decisions[RECORD_DECISIONS];
        struct histogram waits; /* of those that waited for a service */
    } by_method[AUTH_METHODS_MAX + 1];
};

struct slots {
    struct block **pages[PAGES];
};

struct observe_worker {
    struct observe *observe;
    struct slots routes, backends, policies;
    struct route_counts other, none;
    struct backend_counts other_backends;
    struct policy_counts other_policies;
    uint64_t gauges[OBSERVE_GAUGES];
    uint64_t lag_ns;                        /* longest turn since main looked */
    uint64_t gateway[HISTOGRAM_BOUNDS + 1]; /* every request, by gateway_ns in histogram_gateway */
    uint64_t reasons[REASONS];
    bool started;    /* release: clock is set */
    clockid_t clock; /* CPU time of the worker's thread */
    /* main's own */
    uint64_t cpu_seen_ns;
    uint64_t lag_history[LAG_SECONDS];
};

struct source {
    void (*write)(void *arg, struct metric_text *t);
    void *arg;
};

struct observe {
    unsigned n_workers;
    struct observe_worker **workers;
    uint32_t budget; /* relaxed: read by workers */
    struct snapshot *snapshot;
    uint64_t objects[MODEL_KINDS];
    uint64_t revision, apply_ns, rejected;
    uint64_t current_at_ns; /* CLOCK_MONOTONIC; 0: never */
    uint64_t started_at_ns; /* CLOCK_REALTIME */
    uint64_t ticks;
    uint64_t load[LOAD_SECONDS + 1]
                 [HISTOGRAM_BOUNDS + 1]; /* sums of gateway[], of the last ticks */
    struct source sources[8];
    unsigned n_sources;
};

/* The thread sanitizer knows no fences; it has nothing to say here, since every access is atomic.
 */
#ifdef __SANITIZE_THREAD__
#define block_fence(order) ((void)0)
#else
#define block_fence(order) __atomic_thread_fence(order)
#endif

static inline struct block **slots_page(const struct slots *s, uint32_t slot) {
    return __atomic_load_n(&s->pages[slot >> PAGE_BITS], __ATOMIC_ACQUIRE);
}
static inline struct block *slots_get(const struct slots *s, uint32_t slot) {
    struct block **page = slots_page(s, slot);
    return page ? __atomic_load_n(&page[slot & (PAGE_SLOTS - 1)], __ATOMIC_ACQUIRE) : NULL;
}

uint64_t clock_ns(clockid_t clock); /* 0 when it cannot be read */

#endif
