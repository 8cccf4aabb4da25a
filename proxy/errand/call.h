/* SPDX-License-Identifier: Apache-2.0
 *
 * call: one request of our own to a backend: an authentication service, an authorisation server.
 *
 *     call_start ─► endpoint ─► connection (its backend's pool, limits, TLS, HTTP/1.1 or 2)
 *                                  │ head, body ►
 *                                  ◄ head, body, trailers: copies, bounded
 *     errand_done ◄────────────────┘ or a failure, or timeout_ms are over
 *
 * It follows no redirect. On a connection that turns out to be stale it is sent once more, on a new
 * one; else it is tried once, so an endpoint that hangs costs one timeout.
 */
#ifndef SLUICE_PROXY_ERRAND_CALL_H
#define SLUICE_PROXY_ERRAND_CALL_H

#include "proxy/errand/errand.h"
#include "proxy/http/head.h"
#include "proxy/upstream/upstream.h"

enum { CALL_FIELDS_MAX = 64, CALL_HEAD_MAX = 32 << 10, CALL_BODY_MAX = 256 << 10 };

/* A worker's. */
struct callers {
    struct loop *loop;
    struct upstreams *upstreams; /* connections for copies and calls; aside_ops */
    struct head *head;           /* scratch */
    uint64_t n_calls;            /* counters: all, and ... */
    uint64_t n_failed;           /* ... those without an answer */
};

struct call_want {
    const struct backend *backend; /* of the snapshot that the request is on */
    struct str head;     /* HTTP/1.1, with Host, its Content-Length and the empty line; copied */
    struct str body;     /* copied */
    uint32_t timeout_ms; /* for all of it */
    uint32_t body_max;   /* of the answer; a larger one is no answer. ≤ CALL_BODY_MAX */
    bool head_request;   /* its method is HEAD */
};

struct call_field {
    struct str name, value; /* as they came */
};

struct call { /* done, without a reason: the answer */
    struct errand errand;
    uint16_t status;
    struct str body;
    uint32_t n_fields;
    const struct call_field *fields; /* at most CALL_FIELDS_MAX; of more there is no answer */
    struct str trailers;             /* lines */
};

/* NULL: no memory. It may be done at once: with NO_ENDPOINT, CONNECT_REFUSED, ... The reasons are
 * those of a backend; UPSTREAM_TIMEOUT when timeout_ms are over. */
struct call *call_start(struct callers *c, struct errands *all, const void *about,
                        const struct call_want *want) MUST_USE;
/* The first field of that name, in any case; n == 0: none, or it is empty. */
struct str call_field(const struct call *c, struct str name);

#endif
