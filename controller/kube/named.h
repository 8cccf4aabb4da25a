/* SPDX-License-Identifier: Apache-2.0
 *
 * named: whom a policy that cannot be decoded names. It is read by itself, and as far as it goes,
 * so that what the policy should protect can be closed: see "Policies that cannot be used" in
 * docs/architecture.md.
 *
 *     spec: {targetRefs: [{kind: Service, name: pay}], limit: 7}
 *                          └──────── named ────────┘   └ refused
 */
#ifndef SLUICE_CONTROLLER_KUBE_NAMED_H
#define SLUICE_CONTROLLER_KUBE_NAMED_H

#include "controller/kube/kinds.h"

/* Targets of one policy, more than any kind allows; with more of them it is blind. */
enum { NAMED_MAX = 256 };

bool named_has(enum kube_kind kind); /* whether its objects have targetRefs */
/* What it gives is copied into the arena. */
void named_read(enum kube_kind kind, const struct cJSON *json, struct arena *a,
                struct kube_named *o);
/* Equal bytes, equal meaning. */
void named_print(const struct kube_named *named, struct out *o);

#endif
