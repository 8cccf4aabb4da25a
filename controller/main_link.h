/* SPDX-License-Identifier: Apache-2.0
 *
 * link: joins trust and push, which stand on one storey: certificates and verdicts go from the one
 * to the other.
 */
#ifndef SLUICE_CONTROLLER_MAIN_LINK_H
#define SLUICE_CONTROLLER_MAIN_LINK_H

#include "controller/main_options.h"
#include "controller/main_turn.h"
#include "controller/trust/trust.h"

/* NULL with *why. The turn is borrowed and told; a port that cannot be listened on, which shows
 * only when there is a certificate, ends the program. */
struct trust *link_trust(struct event_base *base, struct kube_client *client,
                         const struct options *o, struct turn *turn, struct why *why);

#endif
