/* SPDX-License-Identifier: Apache-2.0
 *
 * main_link: joins trust, push and autoscale, which stand on one storey: certificates and verdicts
 * go from the first to the others.
 */
#ifndef SLUICE_CONTROLLER_MAIN_LINK_H
#define SLUICE_CONTROLLER_MAIN_LINK_H

#include "controller/autoscale/autoscale.h"
#include "controller/main_options.h"
#include "controller/main_turn.h"
#include "controller/trust/trust.h"

struct main_link;

/* NULL with *why. The turn is borrowed and told; a port that cannot be listened on, which shows
 * only when there is a certificate, ends the program. metrics: shows the same certificate; NULL:
 * nobody does. */
struct main_link *main_link_new(struct event_base *base, struct kube_client *client,
                                const struct options *o, struct turn *turn,
                                struct autoscale *metrics, struct why *why);
void main_link_free(struct main_link *l); /* NULL is fine */
struct trust *main_link_trust(struct main_link *l);

/* Our own: what the pod's environment says, else what its credentials do. */
struct str link_namespace(const struct kube_client *client);

#endif
