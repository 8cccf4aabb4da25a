/* SPDX-License-Identifier: Apache-2.0
 *
 * weights: what the parts of a request cost a worker, in nanoseconds, as tests/bench/weights has
 * measured them. They divide CPU time that was measured, so only their proportions count: another
 * machine is faster or slower in all of them. Private to observe.
 */
#ifndef SLUICE_PROXY_OBSERVE_WEIGHTS_H
#define SLUICE_PROXY_OBSERVE_WEIGHTS_H

enum {
    WEIGHT_REQUEST = 19000,    /* HTTP/1.1, no body, both connections kept */
    WEIGHT_REQUEST_H2 = 15000, /* HTTP/2 over TLS, 32 at once on a connection */
    WEIGHT_SECURE = 4000,      /* more, over TLS */
    WEIGHT_KIB = 360,          /* of body or head, either way */
    WEIGHT_KIB_SECURE = 860,
    WEIGHT_AUTH = 1100,              /* judged by a policy, with a token that was seen before */
    WEIGHT_UPSTREAM_SECURE = 10000,  /* more, of an endpoint with TLS */
    WEIGHT_CONNECT = 78000,          /* a new connection to an endpoint */
    WEIGHT_CONNECT_SECURE = 730000,  /* with its handshake */
    WEIGHT_ARRIVAL = 64000,          /* a new connection of a client */
    WEIGHT_ARRIVAL_SECURE = 424000,  /* with a full handshake */
    WEIGHT_ARRIVAL_RESUMED = 371000, /* with one that was resumed */
};

#endif
