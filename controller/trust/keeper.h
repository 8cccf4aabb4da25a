/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: the Secret and the ConfigMap of the link, read every minute or so, made and renewed when
 * that is due. Every replica does it; the API server decides who was first:
 *
 *     GET Secret ─ 404 ─► whose are we? ─► POST ─ 409 ─► again
 *         │ 200                             │
 *         ▼                                 ▼
 *      due? ── PATCH ─ 409 ─► again      use it ─► GET ConfigMap ─► POST | PATCH | as it is
 *
 * What was made is used only when it is written. The Secret belongs to the Deployment of this pod
 * (found by way of the pod and its ReplicaSet, if we may read them), so that it goes with it.
 * One request at a time; the loop's thread.
 */
#ifndef SLUICE_CONTROLLER_TRUST_KEEPER_H
#define SLUICE_CONTROLLER_TRUST_KEEPER_H

#include "controller/kube/client.h"
#include "controller/trust/link_secret.h"

struct event_base;
struct keeper;

struct keeper_options {
    struct kube_client *client;
    struct str namespace, pod; /* ours; pod.n == 0: unknown */
    const char *secret;        /* name */
    const char *configmap;     /* name; NULL: none is published */
    const char *const *names;  /* of the leaf */
    size_t n_names;
    uint32_t ticket_s;         /* period of keys of tickets */
    uint32_t signing_s;        /* and of internal tokens; 0: there are none */
    int64_t (*now)(void *arg); /* Unix seconds */
    /* The Secret is another one now; s lives until the next call, or the keeper's end. */
    void (*changed)(void *arg, const struct link_secret *s);
    void *arg;
};

/* Strings of o are borrowed. */
struct keeper *keeper_new(struct event_base *base, const struct keeper_options *o);
void keeper_free(struct keeper *k);                              /* NULL is fine */
const struct link_secret *keeper_secret(const struct keeper *k); /* NULL: not known yet */
const char *keeper_problem(const struct keeper *k);              /* "" = none */
void keeper_look(struct keeper *k);                              /* now; for tests */

#endif
