/* SPDX-License-Identifier: Apache-2.0
 *
 * leave: the last thing that a controller does when its release is uninstalled: what gave it its
 * rights so far must go as well, and after the first of these it has none left to delete the
 * others. So all but the last path are made dependents of the last one, which is then deleted: the
 * garbage collector removes the rest.
 *
 *     /.../serviceaccounts/sluice , /.../clusterrolebindings/sluice , /.../clusterroles/sluice
 *          └── ownerReferences ──────────── ownerReferences ──────────►      DELETE
 *
 * The last one must be of the cluster, or all of one namespace. Needs get and delete on it, and
 * patch on the others (which RBAC lets pass without more, since only ownerReferences change).
 */
#ifndef SLUICE_CONTROLLER_STATUS_LEAVE_H
#define SLUICE_CONTROLLER_STATUS_LEAVE_H

#include "controller/kube/client.h"

struct leave;

/* paths: with commas between them, borrowed; n == 0: none. done() is called once, later, whatever
 * came of it; what could not be done is logged. */
struct leave *leave_begin(struct kube_client *client, struct str paths, void (*done)(void *arg),
                          void *arg);
void leave_free(struct leave *l); /* also before done(); NULL is fine */

#endif
