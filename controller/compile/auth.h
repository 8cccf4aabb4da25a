/* SPDX-License-Identifier: Apache-2.0
 *
 * auth: AuthPolicies into model policies and key sets, Consumers into model consumers, and which
 * policy decides for a route. Whatever cannot be made of one closes what it targets.
 *
 *     AuthPolicy ──► auth/NS/NAME ─ key_set ─► key_set/NS/NAME/METHOD
 *         ▲ rule > Route, Ingress > Namespace > defaultPolicyRef; overridePolicyRef besides
 *     Route.spec.auth.policyRef, or targetRefs; never both
 */
#ifndef SLUICE_CONTROLLER_COMPILE_AUTH_H
#define SLUICE_CONTROLLER_COMPILE_AUTH_H

#include "controller/compile/attach.h"
#include "controller/compile/class.h"

/* m->r, whose targets are good. False: it is closed, and m says why; the object is made all the
 * same. */
bool auth_fill(struct making *m, const struct kube_AuthPolicy *k, struct model_auth *o);

/* The policy that decides for m->r (Route or Ingress): its id, n == 0: none. `own` as the Route
 * says it, or NULL. May close m. */
struct str auth_of_route(struct making *m, const struct kube_route_auth *own);
/* One for that rule alone; n == 0: none. Likewise. */
struct str auth_of_rule(struct making *m, const struct kube_route_auth *own, struct str rule);

/* Said in both ways at once. */
bool auth_conflicts(const struct kube_route_auth *own, struct str targeting);
/* Says in the status of m->r that its policy lets nobody pass, while that is so; n == 0: it has
 * none of its own. rule.n > 0: it is that rule's alone. */
void auth_tell_route(struct making *m, struct str policy, struct str rule);
/* Readers look again when m->u, a policy, is closed now, or open again. */
void auth_tell(struct making *m);

void consumer_make(struct making *m, const struct kube_Consumer *k);
/* What m->u says is forgotten. */
void consumer_none(struct compiler *c, struct unit *u);

#endif
