/* SPDX-License-Identifier: Apache-2.0
 *
 * main_status: joins what is written to the Kubernetes API: lease, statuses, Events, addresses.
 * Only with --source kube.
 *
 *     turn, store ──► writer ──► PATCH .../status          owner: the Deployment that we are part
 * of publish ──────────┘ └──► events                      lease: whether we are the one who writes
 *
 * The end: the lease is given back. When the Deployment is gone, or going, it was an uninstall: the
 * leader takes its addresses off all Ingresses and then leaves (leave.h).
 */
#ifndef SLUICE_CONTROLLER_MAIN_STATUS_H
#define SLUICE_CONTROLLER_MAIN_STATUS_H

#include "controller/kube/client.h"
#include "controller/main_turn.h"
#include "controller/status/status.h"

struct main_status;

/* Of the command line; NULL: not given. */
struct main_status_options {
    const char *lease;             /* --lease NAME */
    const char *publish_service;   /* --publish-service NS/NAME */
    const char *publish_addresses; /* --publish-status-address ADDR,... */
    const char *deployment;        /* --deployment NAME */
    const char *leave;             /* --leave PATH,... */
};

/* NULL with *why: an option cannot be understood. Borrows all but why. */
struct main_status *main_status_new(struct event_base *base, struct kube_client *client,
                                    struct store *store, struct turn *turn,
                                    const struct main_status_options *o, struct why *why);
void main_status_free(struct main_status *m); /* before turn and store; NULL is fine */

/* Once: nothing more is written but what an end needs; then done(), within 25 s. */
void main_status_stop(struct main_status *m, void (*done)(void *arg), void *arg);

bool main_status_leads(const struct main_status *m);

/* owner_print(), also for what others make for us. */
void main_status_owner(const struct main_status *m, struct out *o);

/* What cannot be written now, a sentence each. */
void main_status_faults(const struct main_status *m, void (*each)(void *arg, struct str fault),
                        void *arg);
void main_status_metrics(const struct main_status *m, struct metric_text *t);

/* What statuses ask of the proxies, also without all this. */
struct status_fleet main_fleet(struct turn *t);

#endif
