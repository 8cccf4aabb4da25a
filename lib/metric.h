/* SPDX-License-Identifier: Apache-2.0
 *
 * metric: numbers that one thread counts and another reads, and how they are written down for
 * Prometheus (text format 0.0.4, or OpenMetrics 1.0).
 *
 *   counting thread:  metric_add(&c->bytes, n); histogram_add(&c->time, scale, ns);
 *   reading thread:   histogram_sum(&sum, &c->time);
 *                     metric_family(&t, METRIC_COUNTER, "sluice_requests", "Requests.");
 *                     metric_count(&t, labels, n);
 *
 * A counter has one writer, so a relaxed load and store do; there is no atomic read-modify-write.
 */
#ifndef SLUICE_LIB_METRIC_H
#define SLUICE_LIB_METRIC_H

#include "lib/out.h"

/* ---- counting: the one thread that owns the counter ---- */

static inline void metric_set(uint64_t *c, uint64_t v) { __atomic_store_n(c, v, __ATOMIC_RELAXED); }
static inline uint64_t metric_get(const uint64_t *c) {
    return __atomic_load_n(c, __ATOMIC_RELAXED);
}
static inline void metric_add(uint64_t *c, uint64_t n) { metric_set(c, metric_get(c) + n); }

/* Fixed bounds, so that all series of a family can be added up. */
enum { HISTOGRAM_BOUNDS = 15 };
struct histogram_scale {
    uint64_t
        bound_ns[HISTOGRAM_BOUNDS]; /* a value falls in the first bucket whose bound is >= it */
};
extern const struct histogram_scale
    histogram_requests; /* 0.5 ms to 60 s: whole requests, upstreams */
extern const struct histogram_scale histogram_gateway; /* 50 µs to 5 s: what we take ourselves */

struct histogram {
    uint64_t n[HISTOGRAM_BOUNDS + 1]; /* not cumulative; the last one is above every bound */
    uint64_t sum_ns;
};

/* Four comparisons, no branch. */
static inline unsigned histogram_bucket(const struct histogram_scale *s, uint64_t ns) {
    const uint64_t *b = s->bound_ns;
    unsigned i = (unsigned)(ns > b[7]) << 3;
    i += (unsigned)(ns > b[i + 3]) << 2;
    i += (unsigned)(ns > b[i + 1]) << 1;
    return i + (unsigned)(ns > b[i]);
}
/* Where the bucket is known already. */
static inline void histogram_add_to(struct histogram *h, unsigned bucket, uint64_t ns) {
    metric_add(&h->n[bucket], 1);
    metric_add(&h->sum_ns, ns);
}
static inline void histogram_add(struct histogram *h, const struct histogram_scale *s,
                                 uint64_t ns) {
    histogram_add_to(h, histogram_bucket(s, ns), ns);
}
/* Adds what another thread has counted so far. */
void histogram_sum(struct histogram *to, const struct histogram *from);
uint64_t histogram_count(const struct histogram *h);

/* One value of a bucket that somebody may look at: its trace. */
struct exemplar {
    uint64_t trace[2];        /* the id's bytes, in network order */
    uint64_t value_ns, at_ns; /* at_ns 0: there is none; when it was, CLOCK_REALTIME */
};

/* ---- writing ---- */

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_INFO };

struct metric_text {
    struct out *o; /* borrowed */
    bool openmetrics;
    enum metric_type type;
    const char *name; /* of the family that is being written */
};

/* Appends name="value", with a comma if something is there already. Labels are put together once
 * and used for many samples. */
void metric_label(struct out *labels, const char *name, struct str value);

void metric_begin(struct metric_text *t, struct out *o, bool openmetrics);
/* All samples of a family follow it at once. The name is without _total and _info, which are added
 * where the format wants them. */
void metric_family(struct metric_text *t, enum metric_type type, const char *name,
                   const char *help);
void metric_count(struct metric_text *t, struct str labels, uint64_t v);    /* whole numbers */
void metric_seconds(struct metric_text *t, struct str labels, uint64_t ns); /* written in seconds */
void metric_histogram(struct metric_text *t, struct str labels, const struct histogram_scale *s,
                      const struct histogram *h);
/* exemplars: one a bucket; only OpenMetrics has them (1.0, 4.6.1). */
void metric_histogram_seen(struct metric_text *t, struct str labels,
                           const struct histogram_scale *s, const struct histogram *h,
                           const struct exemplar *exemplars);
void metric_end(struct metric_text *t);
const char *metric_content_type(bool openmetrics);
/* process_cpu_seconds, process_start_time_seconds (started_at_ns, CLOCK_REALTIME),
 * sluice_messages_lost and sluice_build. */
void metric_process(struct metric_text *t, uint64_t started_at_ns);

/* Whether an Accept header (RFC 9110 12.5.1) asks for OpenMetrics 1.0 rather than for plain text.
 */
bool metric_wants_openmetrics(struct str accept);

#endif
