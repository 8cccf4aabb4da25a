/* SPDX-License-Identifier: Apache-2.0
 *
 * service: the APIService v1beta2.custom.metrics.k8s.io. A group and version belongs to one server
 * in a cluster, so it is made only where there is none, and changed only where it bears our labels.
 * Its owner is a ClusterRole of the installation: with that it goes.
 */
#ifndef SLUICE_CONTROLLER_AUTOSCALE_SERVICE_H
#define SLUICE_CONTROLLER_AUTOSCALE_SERVICE_H

#include "controller/autoscale/autoscale.h"

struct cJSON;
struct service;

/* fault: borrowed, written when there is something to say and cleared when not. */
struct service *service_new(struct event_base *base, struct kube_client *client,
                            const struct autoscale_options *o, const struct autoscale_host *host,
                            struct why *fault);
void service_free(struct service *s); /* NULL is fine */
void service_set_ca(struct service *s, struct str pem);

/* ---- pure ---- */

enum service_action { SERVICE_KEEP, SERVICE_CREATE, SERVICE_UPDATE, SERVICE_FOREIGN };

/* What is to be done about the one that is there (NULL: none). *body: to be sent, whole (CREATE) or
 * as a merge patch (UPDATE); cJSON_Delete it. owner: the ClusterRole as read, or NULL. */
enum service_action service_plan(const struct autoscale_options *o, struct str ca,
                                 const struct cJSON *there, const struct cJSON *owner,
                                 struct cJSON **body);

#endif
