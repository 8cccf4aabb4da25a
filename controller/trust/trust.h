/* SPDX-License-Identifier: Apache-2.0
 *
 * trust: who may be on the link, and what shows that we are who we say; and what else is kept in
 * the link's Secret: keys of session tickets, of sessions and of internal tokens. The room's one
 * door:
 *
 *   keeper (Secret, ConfigMap) ──► identity ──► main hands it to push
 *                   │ CA
 *                   ▼
 *   issuer (token keys) ──► fleet: what proxies need to help each other ──► push
 *
 *   push: a link shows a token ──► gate (TokenReview) ──► admit | refuse ──► push
 *
 * The leaf of the fleet is one for all proxies, made here, valid for a week and renewed after two
 * thirds of it; it bears one name that no controller has (WIRE_PEER_NAME), so that neither can
 * stand for the other. It lives in memory alone. A CA whose key is not ours makes none, and then
 * there are no peers.
 *
 * The loop's thread.
 */
#ifndef SLUICE_CONTROLLER_TRUST_TRUST_H
#define SLUICE_CONTROLLER_TRUST_TRUST_H

#include "controller/kube/client.h"
#include "controller/trust/signing.h"
#include "controller/trust/tickets.h"
#include "lib/metric.h"
#include "lib/wire.h"
#include "lib/ws.h"

struct event_base;
struct trust;

struct trust_options {
    struct kube_client *client;
    struct str namespace, pod; /* ours; pod.n == 0: unknown */
    const char *secret;        /* names of objects in our namespace */
    const char *configmap;     /* NULL: the CA is not published */
    const char *service;       /* headless, of the link */
    const char *metrics;       /* another Service of ours that the leaf is for; NULL: none */
    const char *accounts;      /* "namespace/name,...": whose pods are proxies */
    uint32_t ticket_s;         /* period of keys of session tickets */
    uint32_t signing_s;        /* and of internal tokens; 0: there are none */
    int64_t (*now)(void);      /* Unix seconds; NULL: the clock */
};

struct trust_events {
    /* cas: PEM, those that sign it or did so lately. */
    void (*identity)(void *arg, const struct ws_identity *id, struct str cas);
    void (*fleet)(void *arg, const struct wire_fleet *fleet);
    void (*tickets)(void *arg, const struct tickets *t);  /* these are the keys now */
    void (*sessions)(void *arg, const struct tickets *t); /* likewise */
    void (*admit)(void *arg, uint64_t proxy, struct str pod);
    void (*refuse)(void *arg, uint64_t proxy, const char *reason);
    void (*signing)(void *arg, const struct signing *s); /* of tokens; n == 0: there are none */
};

/* Nothing is asked before the loop runs. NULL with *why: an account is none. */
struct trust *trust_new(struct event_base *base, const struct trust_options *o,
                        const struct trust_events *events, void *arg, struct why *why);
void trust_free(struct trust *t); /* NULL is fine */

/* push's on_token and on_gone. */
void trust_token(struct trust *t, uint64_t proxy, struct str token, const char *address);
void trust_gone(struct trust *t, uint64_t proxy);

bool trust_ready(const struct trust *t); /* proxies can link */
/* What is wrong now, a sentence each; none when all is well. */
void trust_problems(const struct trust *t, void (*each)(void *arg, struct str problem), void *arg);
void trust_json(const struct trust *t, struct out *o); /* an object, for /status */
void trust_metrics(const struct trust *t, struct metric_text *m);
void trust_look(struct trust *t); /* at the Secret, now; for tests */

#endif
