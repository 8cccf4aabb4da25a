/* SPDX-License-Identifier: Apache-2.0
 *
 * stream: one request and its answer. It joins a client side (session/side.h) and an upstream side
 * and moves the bodies between them; it is the only one that knows both.
 *
 *     request() ─► route ─► policies ─► answer of our own ──────────────────────────┐
 *                               └► share ─► endpoint ─► connection                  │
 *                                     ▲                     │ head, body ►          │
 *                                     └── retry, replay ────┤                       │
 *                                                           ◄ head, body ─► client ─┴► record, end
 *
 *     file         part
 *     stream.c     birth, end, failure, the record
 *     request.c    what is asked: attempts, the request's way to the upstream
 *     response.c   what comes back
 *     web.c        calls of gRPC-Web on their way to gRPC, and back
 *     tunnel.c     what an exchange becomes when both sides have switched protocols
 *     mirror.c     copies for a second backend
 *     trace.c      its spans
 *
 * A stream lives in one slab block together with a copy of its head, so that the request can be
 * written anew for a retry. It counts on the snapshot that it was routed with (struct law) and
 * never sees another one. The worker's thread.
 */
#ifndef SLUICE_PROXY_STREAM_H
#define SLUICE_PROXY_STREAM_H

#include "proxy/auth/auth.h"
#include "proxy/errand/call.h"
#include "proxy/limit/limit.h"
#include "proxy/limit/ratestore.h"
#include "proxy/observe/record.h"
#include "proxy/policy/policy.h"
#include "proxy/session/session.h"
#include "proxy/trace/exporter.h"
#include "proxy/upstream/upstream.h"

/* A snapshot as one worker holds it. */
struct law {
    const struct snapshot *snapshot;
    uint32_t streams; /* and copies */
    struct list link; /* the worker's */
};

struct stream_env {
    struct session_env sessions;
    struct upstreams upstreams;
    struct upstreams asides; /* connections for copies and calls */
    struct callers calls;
    struct loop *loop;
    struct law *law; /* the current one */
    struct route_scratch *scratch;
    struct auth_env *auth;
    struct limit_env *limits;
    struct ratestore *store;   /* of rate limits */
    struct exporter *exporter; /* of spans */
    struct http_date date;
    char trailers[TRAILERS_MAX];   /* scratch */
    uint64_t n_streams, requests;  /* counters */
    uint32_t n_pipes;              /* of streams */
    uint32_t n_retrying;           /* streams that are on a second attempt or a later one */
    struct list copies;            /* that are on their way */
    struct list tunnels;           /* all */
    uint64_t n_tunnels;            /* a counter; they are no streams any more */
    uint64_t tunnels_end_ms;       /* of a drain: all are closed by then; 0: there is none */
    uint64_t mirrored, unmirrored; /* copies sent; copies not sent for want of room */
    void (*record)(void *arg, const struct record *r); /* a request is over */
    void *arg;
    void (*law_done)(void *arg, struct law *law); /* no stream is on it any more */
    void *law_arg;
};

/* Ready to be used when env->law is set. limits: of all workers, or NULL (proxy/limit/limit.h). */
void stream_env_init(struct stream_env *env, struct loop *l, struct head *scratch_head,
                     uint32_t workers, struct limit_table *limits);
void stream_env_fini(struct stream_env *env);
/* Tunnels end within ms from now on, not all at once. */
void stream_env_drain(struct stream_env *env, uint64_t ms);
/* From now on new requests are judged by it. False: no memory, the old law stays. */
bool stream_env_adopt(struct stream_env *env, struct law *law) MUST_USE;

#endif
