/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange: what the policies see of a request and its answer. The stream fills it; nothing in it
 * is owned. Each policy is a function of it: policies know neither sockets nor workers.
 *
 *     request ─► client.c, trace.c (who asks) ─► route ─► cors.c, redirect.c, direct.c: answers of
 * our own └───► forward.c: the head for the upstream response ─► answer.c: the head for the client
 */
#ifndef SLUICE_PROXY_POLICY_EXCHANGE_H
#define SLUICE_PROXY_POLICY_EXCHANGE_H

#include "proxy/http/date.h"
#include "proxy/http/grpc_web.h"
#include "proxy/route/snapshot.h"

enum { REQUEST_ID_MAX = 128, TRACEPARENT_BYTES = 55, TRACESTATE_BYTES = 512 };

struct tls_peer; /* net/tls.h */

struct exchange {
    const struct snapshot *snapshot;
    const struct head *request; /* may be gone when the answer comes: see the marks */
    const struct rule *rule;    /* NULL: none matched */
    const struct model_match *match;
    const struct share *share;     /* NULL until it was picked */
    const struct backend *backend; /* likewise; of a copy: that of the copy */
    struct str host;               /* lower case, without port; * */
    struct str path, query;        /* canonical; * */
    bool has_query;
    bool trusted;          /* the peer's forwarded headers count */
    bool http10;           /* * */
    bool h2;               /* * */
    bool secure;           /* the client's connection is TLS; * */
    uint8_t method;        /* enum method; * */
    uint16_t port;         /* of the listener; * */
    uint16_t host_port;    /* of the authority, 0 = none; * */
    struct str peer;       /* address as text */
    struct str request_id; /* * */
    struct str traceparent;
    struct str upgrade;  /* the protocol that the upstream is asked to switch to; n == 0: none; * */
    struct str key;      /* Sec-WebSocket-Key, where it was made here (RFC 8441); * */
    struct str identity; /* fields of our own for the upstream: who the caller is */
    struct str to_client; /* likewise, for the client, of a method or a service; * */
    struct str limits;    /* fields of our own for the client: what is left of its limits; * */
    const struct tls_peer *shown; /* certificate of the client; NULL: none, or nobody is asked */
    struct str origin;            /* the Origin field where the rule has CORS, else n == 0; * */
    const struct grpc_web *web;   /* a call of gRPC-Web that the backend gets as gRPC, or NULL; * */
};                                /* *: also valid when the answer comes */

/* All filters of the rule, then those of the share that was picked: i in [0, policy_n_filters). */
unsigned policy_n_filters(const struct exchange *x);
const struct model_filter *policy_filter(const struct exchange *x, unsigned i);
/* The first filter of that type, or NULL. */
const struct model_filter *policy_find(const struct exchange *x, enum model_filter_type type);

#endif
