/* SPDX-License-Identifier: Apache-2.0
 *
 * record: all that is known of one finished request, filled by the stream, read by the metrics and
 * the access log. Borrowed strings live until the call returns.
 *
 *   total = read + auth + pick + connect + upstream + body ; gateway = what of it is ours
 */
#ifndef SLUICE_PROXY_OBSERVE_RECORD_H
#define SLUICE_PROXY_OBSERVE_RECORD_H

#include "lib/str.h"
#include "proxy/http/reason.h"
#include "proxy/route/auth.h"
#include "proxy/route/snapshot.h"
#include "proxy/session/side.h"

/* A request that becomes a tunnel is told twice: when it is answered, which is the request, and
 * when the tunnel ends, which has its own bytes and duration. */
enum record_of { RECORD_REQUEST, RECORD_TUNNEL_OPEN, RECORD_TUNNEL_END };

enum record_decision { RECORD_ALLOW, RECORD_DENY, RECORD_DRY_DENY, RECORD_DECISIONS };
extern const char *const record_decisions[RECORD_DECISIONS]; /* "allow", "deny", "dryDeny" */

/* What an AuthPolicy decided; n == 0: nothing. */
struct record_auth {
    struct str policy, method, rule, subject, detail;
    enum record_decision decision;
    bool audit;                 /* the rule says that all that it decides is written down */
    uint8_t method_n;           /* its place in the policy; AUTH_METHODS_MAX: none */
    uint32_t slot;              /* of the policy */
    uint64_t identity, version; /* of the policy; identity 0: none was there */
};

/* A limit that refuses it, or would if it did more than count. */
struct record_limit {
    struct str policy, name;
    const char *decision; /* "deny", "dryDeny" */
};

struct record {
    enum record_of of;
    const char *tunnel_end; /* why, a word: client_closed, drain; NULL: no tunnel */
    struct str route;       /* a tunnel's, where its rule is gone: namespace/name/rule */
    const struct model_gateway *gateway; /* what was in force; never NULL */
    const struct head *head;             /* the request's; NULL: it could not be read */
    const struct rule *rule;             /* NULL: none matched */
    const struct backend *backend;       /* NULL: not forwarded */
    struct str method, host, path;       /* canonical where there is one */
    struct str request_id, traceparent;
    struct str sampled; /* id of its trace, 32 digits, if there are spans of it; else n == 0 */
    struct str consumer, tls;         /* who called; the TLS version; n == 0: none */
    const struct record_auth *auth;   /* NULL: none was asked */
    const struct record_limit *limit; /* NULL: all have allowed it */
    uint8_t client[16];               /* address, v4 as v4-mapped */
    const struct endpoint *endpoint;  /* last one asked, or NULL */
    uint16_t status;                  /* sent to the client; 0: nothing was */
    uint16_t upstream_status;         /* of the last answer; 0: none */
    enum reason reason;
    uint16_t attempts;
    bool reused;          /* the upstream connection was pooled */
    enum arrival arrival; /* of its connection, if nothing was recorded of it before */
    const char *protocol; /* of the client: "http/1.1", "http/1.0", "h2"; NULL: unknown */
    uint64_t request_bytes, response_bytes; /* heads and bodies as on the wire */
    uint64_t start_ns;                      /* CLOCK_MONOTONIC, first byte */
    uint64_t total_ns, gateway_ns, upstream_ns, connect_ns, auth_ns, read_ns, pick_ns, retry_ns,
        body_ns;
};

/* All that is known of one finished connection that was passed on as it came. */
struct passed {
    const struct model_gateway *gateway; /* what was in force at its end; never NULL */
    struct str listener, sni;            /* sni.n == 0: none was said, or nobody asked */
    const char *protocol;                /* "tcp", "tls" */
    uint8_t client[16];                  /* address, v4 as v4-mapped */
    const struct endpoint *endpoint;     /* last one asked, or NULL */
    enum reason reason;                  /* REASON_NONE: both sides had finished */
    uint16_t attempts;
    uint64_t received, sent; /* bytes of the client, and to it */
    uint64_t start_ns;       /* CLOCK_MONOTONIC */
    uint64_t total_ns, connect_ns;
};

#endif
