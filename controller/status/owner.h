/* SPDX-License-Identifier: Apache-2.0
 *
 * owner: the Deployment that this controller is part of. What the controller creates in its
 * namespace names it as its owner, and so does a pin, so that the cluster's garbage collector
 * removes it when the release is uninstalled; and a controller that is asked to end can find out
 * whether that is why.
 *
 * Needs get on that one Deployment. Without it things are created without an owner, and an end is
 * never taken for an uninstall.
 */
#ifndef SLUICE_CONTROLLER_STATUS_OWNER_H
#define SLUICE_CONTROLLER_STATUS_OWNER_H

#include "controller/kube/client.h"
#include "controller/status/fault.h"

struct owner;

/* name: of the Deployment. Borrowed: all of them. */
struct owner *owner_new(struct kube_client *client, struct str ns, const char *name,
                        struct faults *faults);
void owner_free(struct owner *o); /* NULL is fine */

/* Asks the server; then done() with whether the Deployment is there and not being deleted. known:
 * false when nobody could say. Never from inside owner_ask(). One question at a time. */
void owner_ask(struct owner *o, void (*done)(void *arg, bool known, bool lives), void *arg);

/* ,"ownerReferences":[{...}] for a metadata, or nothing while it is not known. */
void owner_print(const struct owner *o, struct out *out);

#endif
