/* SPDX-License-Identifier: Apache-2.0
 *
 * lease: whether this controller is the one that writes. By a Lease (coordination.k8s.io/v1) in its
 * own namespace; who may have it is lease_rule.h's to say.
 *
 *     GET ──► somebody else's: again in 2 s        PATCH, with resourceVersion ──► 200: leads for
 * 10 s └──► free, or expired: ───────────────────┘   409: lost the race, GET
 *
 * Needs get, create and patch on leases; without them nobody here leads, and it is said in words.
 * The store's thread.
 */
#ifndef SLUICE_CONTROLLER_STATUS_LEASE_H
#define SLUICE_CONTROLLER_STATUS_LEASE_H

#include "controller/kube/client.h"
#include "controller/status/fault.h"

struct event_base;
struct lease;
struct owner;

struct lease_config {
    struct event_base *base;
    struct kube_client *client;
    struct str ns, name;       /* of the Lease */
    struct str me;             /* this process and no other: pod and a random part */
    const struct owner *owner; /* of a Lease that we create; may be NULL */
    struct faults *faults;
    void (*on_change)(void *arg, bool leads);
    void *arg;
};

/* Borrows what the config points at. */
struct lease *lease_new(const struct lease_config *config);
void lease_free(struct lease *l); /* gives nothing back; NULL is fine */

/* By the clock of this moment: to be asked before each write. NULL: there is no lease, so true. */
bool lease_leads(const struct lease *l);

/* Leads no more from now on; then gives the lease back, if it was ours, so that the next one need
 * not wait, and calls done(). It is not renewed any more. */
void lease_release(struct lease *l, void (*done)(void *arg), void *arg);

#endif
