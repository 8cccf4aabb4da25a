/* SPDX-License-Identifier: Apache-2.0
 *
 * crds: what the API server's CRDs mean for the rest: policies under one that may lose fields are
 * not accepted, and every fault is logged when it comes and named in /ready and /status while it
 * lasts.
 *
 *     kube/crds ── a verdict changed ──► compile_outdated(), turn_wake(), the log
 */
#ifndef SLUICE_CONTROLLER_MAIN_CRDS_H
#define SLUICE_CONTROLLER_MAIN_CRDS_H

#include "controller/main_turn.h"

struct event_base;
struct kube_client;
struct main_crds;

/* Asks at once, and now and then; until the answers are there, no policy is accepted. All are
 * borrowed. */
struct main_crds *main_crds_new(struct event_base *base, struct kube_client *client,
                                struct turn *turn);
void main_crds_read(void *m);             /* again, since one of them has changed */
void main_crds_free(struct main_crds *m); /* NULL is fine */
void main_crds_faults(const struct main_crds *m, void (*each)(void *arg, struct str fault),
                      void *arg);

#endif
