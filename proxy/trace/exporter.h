/* SPDX-License-Identifier: Apache-2.0
 *
 * exporter: one worker's spans on their way to a collector (OTLP/HTTP, protobuf).
 *
 *     request ends ─► spans ─► gathered, 256 KiB ──┬─ 64 KiB are there, or a second is over
 *                                 │ full: dropped  └─► one batch ─► call ─► 2xx        sent
 *                                                          ▲          ├───► 429, 5xx   again, later
 *                                                          └──────────┘     400        rejected
 *
 * No request ever waits for it. One batch is under way at a time; while it is, and while it waits
 * to be tried again (1 s, 2 s, 4 s or as Retry-After says, EXPORTER_TRIES in all), what comes is
 * gathered, and what does not fit is dropped. All of it is counted:
 * sluice_trace_spans_total{result}.
 *
 * https://opentelemetry.io/docs/specs/otlp/#otlphttp. The worker's thread, where nothing else is
 * said.
 */
#ifndef SLUICE_PROXY_TRACE_EXPORTER_H
#define SLUICE_PROXY_TRACE_EXPORTER_H

#include "lib/metric.h"
#include "proxy/errand/call.h"
#include "proxy/trace/spans.h"

enum {
    EXPORTER_ROOM = 256 << 10,
    EXPORTER_BATCH = 64 << 10, /* so much is sent at once */
    EXPORTER_WAIT_MS = 1000,
    EXPORTER_TRIES = 4
};

struct exporter;

struct exporter_env {
    struct callers *calls;
    /* Keeps the snapshot that was adopted last until drop(). */
    void *(*hold)(void *arg);
    void (*drop)(void *arg, void *held);
    void *arg;
};

struct exporter *exporter_new(const struct exporter_env *env);
/* Before the pools are; what was not sent is dropped. NULL is fine. */
void exporter_free(struct exporter *e);
/* What the gateway says from now on. The snapshot lives until the next call. */
void exporter_adopt(struct exporter *e, const struct snapshot *law);

/* A request that is traced is over. q->offset_ns is filled in. */
void exporter_request(struct exporter *e, struct spans_request *q);
/* One should have been traced, and there was no memory for it. */
void exporter_lost(struct exporter *e);
/* The end is near: what is there is sent at once, and not for long. */
void exporter_drain(struct exporter *e);

/* Any thread: spans that are neither sent nor given up. */
uint64_t exporter_kept(const struct exporter *e);
/* Main thread: of all workers. */
void exporter_metrics(const struct exporter *const *all, unsigned n, struct metric_text *t);

#endif
