/* SPDX-License-Identifier: Apache-2.0
 *
 * main_autoscale: joins the proxies' reports (push), the certificate (trust) and who leads (status)
 * into the metrics API for autoscaling. Only with --custom-metrics.
 */
#ifndef SLUICE_CONTROLLER_MAIN_AUTOSCALE_H
#define SLUICE_CONTROLLER_MAIN_AUTOSCALE_H

#include "controller/autoscale/autoscale.h"
#include "controller/main_options.h"
#include "controller/main_turn.h"

/* NULL with *why. Everything is borrowed. */
struct autoscale *main_autoscale_new(struct event_base *base, struct kube_client *client,
                                     const struct options *o, struct turn *turn,
                                     struct main_status *status, struct why *why);
/* A sentence for each thing that does not work. a may be NULL. */
void main_autoscale_faults(struct autoscale *a, void (*each)(void *arg, struct str fault),
                           void *arg);

#endif
