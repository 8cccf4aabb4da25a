/* SPDX-License-Identifier: Apache-2.0
 *
 * gate: which proxies may link. A proxy shows a projected token of its service account; the API
 * server says whether it is one (TokenReview), and this room whether it is of an account that may.
 *
 *     token ─► readable, for us, of a listed account, not over? ── no ──────────────► refuse
 *                 │ yes                                                                 ▲
 *                 ▼                                                                     │
 *              known by its hash? ── yes, fresh ─────────────► admit                    │
 *                 │ no, or not fresh                             ▲                      │
 *                 ▼                                              │                      │
 *              TokenReview (8 at once, equal tokens asked once) ─┴── or ────────────────┘
 *                 └─ no answer: known and not over → admit; unknown → it waits, asked again
 *
 * What the token says of itself is never believed, it only saves a question: all that is admitted
 * was admitted by the API server. A yes is fresh for ten minutes, but not beyond the token's end; a
 * no for ten seconds. Links that are open are asked about again when their yes is no longer fresh;
 * only a no ends them, silence of the API server never.
 *
 * The loop's thread. Tokens are kept in memory as long as their link lives, and are never logged.
 */
#ifndef SLUICE_CONTROLLER_TRUST_GATE_H
#define SLUICE_CONTROLLER_TRUST_GATE_H

#include "controller/kube/client.h"
#include "lib/metric.h"

#define GATE_AUDIENCE "sluice-controller"

struct event_base;
struct gate;

struct gate_options {
    struct kube_client *client;
    const char *const *accounts; /* "namespace/name" */
    size_t n_accounts;
    int64_t (*now)(void *arg); /* Unix seconds */
    /* proxy: the number of its link. Each may be called from inside gate_check(). */
    void (*admit)(void *arg, uint64_t proxy, struct str pod);
    void (*refuse)(void *arg, uint64_t proxy, const char *reason);
    void *arg;
};

/* The accounts are borrowed. */
struct gate *gate_new(struct event_base *base, const struct gate_options *o);
void gate_free(struct gate *g); /* NULL is fine */

/* A link has shown a token, or another one than before. */
void gate_check(struct gate *g, uint64_t proxy, struct str token, const char *address);
void gate_forget(struct gate *g, uint64_t proxy); /* it is gone */

const char *gate_problem(const struct gate *g); /* why nobody new is admitted; "" = all is well */
void gate_json(const struct gate *g, struct out *o); /* members of an object, without braces */
void gate_metrics(const struct gate *g, struct metric_text *t);

#endif
