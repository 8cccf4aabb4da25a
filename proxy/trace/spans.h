/* SPDX-License-Identifier: Apache-2.0
 *
 * spans: what OpenTelemetry is told of one request, as a message of OTLP.
 *
 *     GET shop/shop/catalog    SERVER   ├──────────────────────────────────────┤
 *       auth                   CLIENT     ├────┤   the wait for who decides
 *       GET                    CLIENT          ├──────┤   an attempt: failed
 *       GET                    CLIENT                 ├─────────────────────┤   the next one
 *
 * All times are those of the record, so that a span says what the log line says. Attributes are
 * those of the semantic conventions for HTTP (stable since 1.23), and ours, sluice.*. Nothing that
 * a credential could be in goes along: no header, no query, no body.
 *
 * https://github.com/open-telemetry/opentelemetry-proto (trace.proto, 1.x), by proxy/http/protobuf.
 */
#ifndef SLUICE_PROXY_TRACE_SPANS_H
#define SLUICE_PROXY_TRACE_SPANS_H

#include "lib/out.h"
#include "proxy/observe/record.h"
#include "proxy/policy/policy.h"

enum { SPANS_ATTEMPTS = 8 }; /* that are kept: the first ones and the last one */

struct spans_attempt {
    uint64_t span;
    uint64_t start_ns, end_ns; /* CLOCK_MONOTONIC; end_ns 0: it is not over */
    uint64_t connect_ns;       /* while it runs: what the request had before it */
    const struct backend *backend;
    const struct endpoint *endpoint;
    uint16_t number; /* 0, 1, ... */
    uint16_t status; /* of its answer; 0: none */
    enum reason reason;
    bool reused;
};

/* Of a request that is traced, while it runs. */
struct spans {
    uint64_t auth; /* the span of the wait */
    uint32_t n;    /* attempts so far */
    struct spans_attempt attempts[SPANS_ATTEMPTS];
};

/* The next attempt; beyond SPANS_ATTEMPTS it takes the place of the last one. */
struct spans_attempt *spans_next(struct spans *s);
/* The one that runs; NULL: none does. */
struct spans_attempt *spans_running(struct spans *s);

struct spans_request {
    const struct record *record;
    const struct trace_context *context;
    const struct spans *spans;
    uint16_t port;      /* that the client asked */
    uint64_t offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
};
/* Appends its spans; how many. o->over: they did not fit. */
unsigned spans_write(struct out *o, const struct spans_request *q);

/* A message for many: its beginning, and when the spans are written, its end. */
struct spans_batch {
    size_t at[2]; /* where lengths are to be written */
};
void spans_begin(struct out *o, struct str service, struct str instance, struct spans_batch *b);
void spans_end(struct out *o, const struct spans_batch *b);

/* How many of them a collector has refused, by its answer (ExportTraceServiceResponse). */
uint64_t spans_refused(struct str answer);

#endif
