/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot: the law. Everything that a request is decided by, compiled from model objects, never
 * changed after it was published. The main thread builds and frees; workers only read.
 *
 *   struct snapshot
 *     ├── hosts      persistent hash table: host key → struct vhost       (pages shared between
 * snapshots) │                └── exact paths, prefixes (longest segment boundary), regexes →
 * candidates, │                    ordered once at build; first that matches wins ├── backends
 * persistent vector: slot → struct backend (endpoints, effective policy) └── gateway    settings,
 * listeners
 *
 * Law and memory are separate: what a worker learns (connections, health, cursors) lives in its own
 * tables, keyed by the stable numbers given out here:
 *
 *     rule.slot       the metrics of a rule            (namespace, route, rule)
 *     backend.slot    balancing cursor, queue          (backend id)
 *     endpoint.slot   pool, health, active requests    (address, port, protocol; with TLS
 *                                                       the backend and its version as well)
 *     certificate.slot  the parsed pair                (certificate id)
 *     auth.slot         what was verified by a policy  (auth id)
 *     limit.slot        decisions and share of a limit (policy id, name of the limit)
 *
 * A number is used again only after every snapshot that held it is gone; `generation` of an
 * endpoint tells the difference.
 *
 * Lifetime: snapshot_hold/drop are for the main thread. A worker that adopts a snapshot announces
 * it (worker.c) and counts its streams on it privately; main frees it when every worker has let go.
 */
#ifndef SLUICE_PROXY_ROUTE_SNAPSHOT_H
#define SLUICE_PROXY_ROUTE_SNAPSHOT_H

#include "lib/model.h"
#include "proxy/http/head.h"

struct rule_regexes; /* route/vhost.h */
struct limit_law;    /* route/limit.h */

/* Address of an endpoint, ready for connect(2); layout of proxy/net/conn.h's struct addr, but route
 * does not include net: copied by size. */
struct endpoint {
    uint32_t slot; /* stable, see above */
    uint32_t generation;
    uint8_t family; /* 4 or 6 */
    uint8_t state;  /* enum endpoint_state */
    uint16_t port;
    uint8_t address[16]; /* network order; 4 bytes used for IPv4 */
};
/* SERVING: terminating, serving still; DOWN: unready and not terminating (such an endpoint does not
 * serve: EndpointSlice's `serving` is `ready` but for terminating ones). */
enum endpoint_state { ENDPOINT_READY, ENDPOINT_SERVING, ENDPOINT_DOWN };

/* One port of a Service with everything that applies to it joined in. */
struct backend {
    uint32_t slot;
    uint64_t id_hash; /* never 0; of the id: tells two backends apart that had the same slot */
    uint64_t version; /* of the object's content: of its TLS, which model has */
    struct str id;    /* backend/ns/service/port */
    struct str name;  /* "ns/service:port" for logs and metrics */
    struct str host;  /* what its Host is instead of the request's; n == 0: the request's */
    const struct model_backend *model;
    const struct model_traffic *traffic; /* targets the Service; NULL if none */
    /* effective numbers, defaults applied (proxy/route/defaults.def) */
    uint8_t balance;          /* enum model_balance */
    uint8_t proxy_version;    /* enum model_proxy_version: what connections to it begin with */
    enum reason refusal : 16; /* REASON_NONE, or the answer to every request */
    uint8_t protocol;         /* enum model_app_protocol */
    uint32_t connect_ms, idle_ms, keepalive_idle_ms;
    uint32_t max_connections, max_pending, max_requests; /* UINT32_MAX: no limit */
    struct {
        uint32_t consecutive_errors; /* 0: off */
        uint32_t ejection_ms, max_ejection_ms, max_percent;
    } passive;
    uint32_t n_endpoints, n_ready; /* ready first, then serving, then down */
    uint32_t n_usable;             /* n_ready, or the serving ones when none is ready (KEP-1669) */
    const struct endpoint *endpoints; /* the usable ones are endpoints[0 .. n_usable) */
};

/* A share of a rule's traffic. */
struct share {
    uint32_t upto;    /* running sum of weights: pick r in [0, total), first upto > r */
    uint32_t backend; /* slot, or UINT32_MAX: cannot be resolved, answer status */
    uint16_t status;
    const struct model_backend_ref *model;
};

/* A backend that gets copies. */
struct rule_mirror {
    const struct model_mirror *model;
    uint32_t backend; /* slot, or UINT32_MAX: cannot be resolved, no copy */
};

struct rule_retry {
    uint32_t attempts; /* more tries after the first that may be made because of codes */
    uint32_t backoff_ms;
    uint8_t budget_percent, n_codes;
    uint16_t codes[16];
};

/* A compiled route: what is done with a request that matched. What every request reads comes first:
 * with the part around it that is one line of the cache. */
struct rule {
    const struct model_route *model; /* names, filters; lives as long as the rule */
    /* model->matches with prefixes cut to the form without trailing slash ("/" is ""), or the one
     * that every path matches where the model has none. */
    const struct model_match *matches;
    struct share *shares;
    uint32_t n_shares;
    uint32_t total_weight;
    uint32_t slot;            /* for metrics */
    uint32_t n_mirrors;       /* of the rule and of its shares */
    enum reason refusal : 16; /* REASON_NONE, or the answer to every request */
    bool has_filters : 1;     /* of the rule itself or of a share */
    bool to_https : 1;        /* plain requests are redirected */
    bool guarded : 1;         /* an AuthPolicy must agree */
    bool limited : 1;         /* it has rate limits, or a guard that knows Consumers */
    /* The rule's own, else of the policy that targets it, else of the first backend's Service that
     * has a policy which sets it. UINT32_MAX: none. */
    uint32_t request_ms, backend_request_ms;
    uint32_t connect_ms, idle_ms; /* as said by the rule or its policy; 0: the backend's */
    struct rule_retry retry;
    uint64_t body_limit; /* UINT64_MAX: none */
    /* Tunnels: of the policy that targets it, else of the first backend that has one. */
    const struct model_upgrades *upgrades;    /* NULL: nobody says anything */
    uint32_t upgrade_idle_ms, upgrade_age_ms; /* UINT32_MAX: no limit */
    uint32_t auth, override_auth;             /* slots of policies; UINT32_MAX: none */
    uint32_t n_limits;
    const struct limit_law *limits; /* of the policy that targets it; route/limit.h */
    struct rule_mirror *mirrors;
    const struct rule_regexes *regexes; /* of all matches; NULL: none */
    struct str id;                      /* route/ns/name/rule */
    uint64_t id_hash;                   /* as in struct backend */
};

/* What matched. A prefix rewrite replaces the first match->path.n bytes of the request's path when
 * match->path_type is MODEL_PATH_PREFIX; all of it when it is MODEL_PATH_EXACT. */
struct match_result {
    const struct rule *rule;
    const struct model_match *match; /* the match of the rule that was taken */
    struct str hostname;             /* the host's name as configured: *.example.com; "" = any */
};

struct limits { /* of the gateway, defaults applied */
    struct head_limits head;
    uint32_t header_timeout_ms, idle_timeout_ms;
    uint32_t connections;  /* UINT32_MAX: what descriptors allow */
    uint64_t memory_bytes; /* 0: from the cgroup */
    uint64_t body_bytes;
};

struct cidr {
    uint8_t address[16]; /* v4 as v4-mapped */
    uint8_t bits;        /* 0..128 */
};

/* A certificate with its key, in DER: whoever shows it parses it. */
struct certificate_law {
    uint32_t slot;
    uint64_t id_hash; /* as in struct backend */
    uint64_t version; /* of the object's content: another one is another pair */
    struct str id;    /* certificate/ns/secret */
    const struct model_certificate *model;
};

/* By whom a certificate of a client must have been issued: texts of the model, and their SHA-256,
 * under which it is remembered what was verified. ca.n == 0: nobody is named. */
enum { TERMS_ID = 32 };
struct terms {
    unsigned char id[TERMS_ID];
    struct str ca, crl; /* see lib/authority.h */
};

struct listener_law {
    const struct model_listener *model;
    struct terms clients; /* ca.n == 0: the listener judges nobody */
    struct str name;      /* of the listener, as the user calls it */
    uint16_t port;
    bool asks; /* clients for certificates */
    bool
        closed; /* no handshakes: what clients show cannot be judged, or it is of a later version */
    uint32_t backend;        /* of a TLS or TCP listener, its slot; UINT32_MAX: none is there */
    uint32_t n_certificates; /* default ones that are there */
    uint32_t *certificates;  /* their slots */
};

/* Spans: of which requests there are some. */
struct trace_law {
    const struct model_tracing *model; /* NULL: of none */
    uint32_t backend;                  /* slot of the collector's; UINT32_MAX: it is not there */
    uint64_t threshold; /* of the last 56 bits of a trace id: from there on it is sampled */
};
#define TRACE_NUMBERS ((uint64_t)1 << 56)

struct snapshot {
    uint64_t revision;                   /* digest_total of all objects */
    uint64_t serial;                     /* 1, 2, 3 ... in this process */
    const struct model_gateway *gateway; /* never NULL: defaults if none was sent */
    struct limits limits;
    uint32_t n_trusted;
    const struct cidr *trusted;
    uint32_t n_listeners;
    const struct listener_law *listeners;
    const struct model_ticket_keys *tickets;   /* NULL: none have come */
    const struct model_session_keys *sessions; /* likewise */
    const struct signing_law *signing;         /* of internal tokens; NULL: none have come */
    struct str class;                          /* whose gateway this is; n == 0: nobody said */
    /* Bytes that no identity header begins with, in either case: most names need not be compared.
     */
    uint64_t not_identity[4];
    uint32_t rate_store; /* slot of its backend; UINT32_MAX: none */
    struct trace_law tracing;
    uint32_t n_rules, n_backends; /* live ones */
    /* every slot number is below */
    uint32_t rule_slots, backend_slots, endpoint_slots, certificate_slots, auth_slots, limit_slots;
    struct snapshot_parts *parts; /* private: shared pages */
    uint32_t refs;                /* main thread */
};

/* What the router looks at. host: lower case, no port, no trailing dot; path: canonical. */
struct route_request {
    struct str host, path;
    const struct head *head; /* method, headers, cookies, query */
    uint16_t port;           /* of the listener, as clients see it */
};

/* false: nothing matches (no_route). Reads only; no allocation, no lock; a worker's scratch for
 * regexes is passed in. */
struct route_scratch;
struct route_scratch *route_scratch_new(void);
void route_scratch_free(struct route_scratch *s);                 /* NULL is fine */
uint64_t route_scratch_limit_hits(const struct route_scratch *s); /* matches given up: "no match" */
bool snapshot_route(const struct snapshot *s, const struct route_request *rq,
                    struct route_scratch *scratch, struct match_result *result);

/* NULL if that slot is empty in this snapshot. */
const struct backend *snapshot_backend(const struct snapshot *s, uint32_t slot);
const struct rule *snapshot_rule(const struct snapshot *s,
                                 uint32_t slot); /* for metrics' names; NULL */
const struct certificate_law *snapshot_certificate(const struct snapshot *s, uint32_t slot);
/* The one that has a port to itself, or shares it with those of protocol TLS; NULL: none. */
const struct listener_law *snapshot_listener(const struct snapshot *s, uint16_t port);

/* Listeners of protocol TLS pass on what they are sent, by the name in the ClientHello. Several,
 * and one of protocol HTTPS, may share a port; the most specific of their hostnames decides. */
bool snapshot_passes_by_name(const struct snapshot *s, uint16_t port); /* there is one */
/* The listener for a name (lower case; n == 0: none was said), of protocol TLS or HTTPS. NULL: no
 * one serves it, as far as it is known here: an HTTPS listener refuses by itself. */
const struct listener_law *snapshot_named(const struct snapshot *s, uint16_t port, struct str name);
/* By name, as it may have another backend by now; NULL: it is gone. */
const struct listener_law *snapshot_same(const struct snapshot *s, uint16_t port, struct str name);

/* What a client is shown that asks a listener for a host (lower case; n == 0: it did not say), in
 * order of preference. How many; 0: nothing, it is refused. The most specific host that has rules
 * decides, as for requests: where that has no certificates there are none (S26, S38). A client of
 * which no host is known gets the listener's default ones.
 *
 *     shop.example.com ──► its own ──► of these the ones that bear the name, else all
 *                          └ the listener's too, where one of its objects wants them
 *     nobody's name, none ──► those of the host for all, then the listener's
 */
enum { CERTIFICATES_MAX = 32 };
uint32_t snapshot_certificates(const struct snapshot *s, const struct listener_law *l,
                               struct str host,
                               const struct certificate_law *list[CERTIFICATES_MAX]);

/* Where a plain request for a host is sent: 443 if that is an HTTPS listener which serves it, else
 * the first that does; 443 if none does: TLS may end in front of us. */
uint16_t snapshot_https_port(const struct snapshot *s, struct str host);

/* Where the user wrote it; NULL if that was not said. It is not kept decoded (rule.model has none):
 * decoded anew into the arena, for whoever explains. Strings borrow from the rule. */
const struct model_origin *rule_origin(const struct rule *r, struct arena *a);
/* The slot of the backend that a mirror of the rule names, or UINT32_MAX. */
uint32_t rule_mirror(const struct rule *r, const struct model_mirror *m);
bool snapshot_trusts(const struct snapshot *s, const uint8_t address[16]); /* v4 as v4-mapped */

struct snapshot *snapshot_hold(struct snapshot *s); /* main thread */
void snapshot_drop(struct snapshot *s);             /* main thread; frees what no other shares */

/* ---- building: main thread ---- */

/* Keeps the objects of the last good state and what was compiled from each, so that a transaction
 * costs what it changes. */
struct builder;

struct builder *builder_new(void);
void builder_free(struct builder *b);
/* What comes is as a proxy shows it, without its secrets. To explain by, not to serve by. */
void builder_redacted(struct builder *b);

/* A transaction. put takes the count of o; del of an unknown id is nothing. */
void builder_begin(struct builder *b);
void builder_put(struct builder *b, struct object *o);
void builder_del(struct builder *b, struct str id);
/* Compiles what changed. The new snapshot (one hold, the caller's), or NULL: then nothing has
 * changed and each bad object was reported through bad() with the id and the sentence. */
struct snapshot *builder_commit(struct builder *b, uint64_t revision,
                                void (*bad)(void *arg, struct str id, const struct why *why),
                                void *arg);
void builder_abort(struct builder *b);

/* ---- backends outside the cluster: external.c ---- */

/* The name that is resolved, without a last dot; n == 0: the backend is inside. */
struct str backend_external_name(const struct model_backend *m);
/* Id of the endpoints object, of the proxy's own making, that holds the addresses of a name. */
struct str external_endpoints_id(struct arena *a, struct str name, uint64_t port);
/* The Host field: the external name, with the port unless the scheme implies it; n == 0: none. */
struct str backend_host(struct arena *a, const struct model_backend *m);

#endif
