/* SPDX-License-Identifier: Apache-2.0
 *
 * client: requests to the Kubernetes API server, by libcurl's multi interface on the program's one
 * loop. Connections are kept and, where HTTP/2 is offered, shared: all watches travel on one.
 *
 *     kube_call() ──► ... ──► on_bytes(), on_bytes() ... ──► on_end()   exactly once
 *         └── kube_cancel(): nothing more is called
 *
 * What every call gets: TLS with verification; the token of the day, tried once more after a 401
 * when there is a newer one; no redirects; no proxy from the environment; answers bounded.
 *
 * A dead peer ends a watch within 45 s. A machine that is gone is found by TCP (keep-alive, and no
 * acknowledgement for 30 s). A server that hangs is asked for /version on the same connection when
 * nothing at all came for 30 s, or when a call has timed out meanwhile; if it does not answer
 * within 15 s, everything under way ends and all connections are closed. (That stands in for
 * HTTP/2's PING, which Debian 12's libcurl cannot send from its multi interface, and serves
 * HTTP/1.1 too.) With nothing under way no timer runs.
 *
 * Nothing is repeated here but that 401: when to try again is the caller's (backoff.h).
 *
 * The loop's thread. kube_call, kube_cancel and kube_client_free may be called from any callback.
 */
#ifndef SLUICE_CONTROLLER_KUBE_CLIENT_H
#define SLUICE_CONTROLLER_KUBE_CLIENT_H

#include "controller/kube/access.h"
#include "lib/out.h"

struct event_base;
struct kube_client;
struct kube_request;

enum {
    KUBE_ANSWER_MAX = 16 << 20,       /* bytes of an answer that is gathered; more: refused */
    KUBE_CALL_TIMEOUT_MS = 30000,     /* of a call that names none */
    KUBE_CONNECT_TIMEOUT_MS = 5000,   /* of any */
    KUBE_CALLS_MAX = 64,              /* at once, beside streams; more wait their turn */
    KUBE_RETRY_AFTER_MAX_MS = 300000, /* more than this nobody can ask us to wait */
};
#define KUBE_STREAM UINT32_MAX /* as timeout_ms: no end of its own, only silence ends it */

struct kube_answer {
    int status;              /* of HTTP; 0: there was none */
    struct str body;         /* what was gathered; of a refusal always. Until on_end() returns */
    uint64_t retry_after_ms; /* Retry-After, seconds or a date; 0: it said nothing */
    /* Set unless the status is 2xx and the body complete. object: "GET /api/v1/services"; text:
     * "403 Forbidden: services is forbidden: User ... cannot list resource ...": the server's own
     * sentence (metav1.Status.message) where there is one. */
    struct why why;
};

struct kube_call {
    const char *method;  /* "GET", "POST", "PUT", "PATCH", "DELETE"; constant */
    struct str path;     /* "/apis/sluice.dev/v1alpha1/routes?limit=500", escaped; copied */
    struct str body;     /* copied; n == 0: none */
    const char *type;    /* Content-Type of body, constant; NULL: application/json */
    const char *accept;  /* constant; NULL: application/json */
    uint32_t timeout_ms; /* of the whole call, waiting included; 0: KUBE_CALL_TIMEOUT_MS; or
                            KUBE_STREAM */
    uint32_t silence_ms; /* a stream ends after so long without a byte; 0: never */
    /* A 2xx body as it comes, in pieces of any size; false ends the call. NULL: gathered. */
    bool (*on_bytes)(void *arg, struct str bytes);
    void (*on_end)(void *arg, const struct kube_answer *a); /* never from inside kube_call() */
    void *arg;
};

/* The access is borrowed and must outlive the client. Credentials that changed are used by the next
 * request; what is under way goes on as it is. */
struct kube_client *kube_client_new(struct event_base *base, struct kube_access *access);
void kube_client_free(struct kube_client *c); /* calls under way are cancelled; NULL is fine */

struct kube_request *kube_call(struct kube_client *c, const struct kube_call *what);
void kube_cancel(struct kube_request *r); /* before on_end was called; NULL is fine */

struct kube_client_counters {
    uint64_t requests; /* sent, each try of one counted */
    uint64_t failures; /* without an answer, or not 2xx */
    uint64_t writes;   /* POST, PUT, PATCH, DELETE among requests */
    uint64_t bytes;    /* of bodies, received */
};
/* For tests: other patience than the 30 s and 15 s above. */
void kube_client_patience(struct kube_client *c, uint32_t silence_ms, uint32_t answer_ms);

const struct kube_client_counters *kube_client_counters(const struct kube_client *c);
const struct kube_access *kube_client_access(const struct kube_client *c);

/* ---- paths ---- */

/* "/apis/sluice.dev/v1alpha1/namespaces/shop/routes/shop/status" and its shorter forms: the core
 * group ("") is /api/v1; ns, name, sub: n == 0 = left out. Everything is escaped. */
void kube_path(struct out *o, const char *group, const char *version, const char *plural,
               struct str ns, struct str name, struct str sub);
void kube_path_param(struct out *o, const char *name, struct str value); /* "?name=value", "&..." */

#endif
