/* SPDX-License-Identifier: Apache-2.0
 *
 * crds: asks the API server for our CustomResourceDefinitions, each by its name, and keeps what
 * schema.h says of them.
 *
 *     crds_read() ──► GET .../customresourcedefinitions/routes.sluice.dev, ... ──► on_change()
 *          ▲                                                                          when a
 *          └── a timer: every 5 min; every 5 s while one does not fit                verdict or
 *              or could not be read                                                  fault differs
 *
 * One that cannot be read (no permission, no answer) keeps its last verdict, at first UNKNOWN, and
 * is a fault of its own: nothing is refused for it.
 *
 * The loop's thread.
 */
#ifndef SLUICE_CONTROLLER_KUBE_CRDS_H
#define SLUICE_CONTROLLER_KUBE_CRDS_H

#include "controller/kube/schema.h"

struct event_base;
struct kube_client;
struct crds;

/* Nothing is read yet. The client is borrowed. */
struct crds *crds_new(struct event_base *base, struct kube_client *client,
                      void (*on_change)(void *arg), void *arg);
void crds_free(struct crds *c); /* NULL is fine */

/* Asks for all of them now, or once more behind what is under way: at the start, and when one of
 * them is known to have changed. */
void crds_read(struct crds *c);

bool crds_are_known(const struct crds *c); /* each was answered once, well or not */
enum schema_verdict crds_verdict(const struct crds *c, enum kube_kind kind);
/* Whether objects of the kind may have lost fields: it is OLD, or was not answered yet. */
bool crds_may_lose(const struct crds *c, enum kube_kind kind);
/* What is wrong, at most one a kind, in order of kinds; borrowed until the next event. */
size_t crds_faults(const struct crds *c, const struct why *faults[KUBE_KINDS]);

#endif
