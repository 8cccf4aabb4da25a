/* SPDX-License-Identifier: Apache-2.0
 *
 * publish: under which addresses clients reach the proxies: what Ingresses are told. From the one
 * Service in front of the proxies, watched alone, so that the right to read it can be for it alone:
 *
 *     LoadBalancer   status.loadBalancer.ingress, and externalIPs
 *     NodePort       externalIPs, else clusterIP
 *     ClusterIP      clusterIP
 *     ExternalName   its name
 *
 * Needs get, list and watch on that Service.
 */
#ifndef SLUICE_CONTROLLER_STATUS_PUBLISH_H
#define SLUICE_CONTROLLER_STATUS_PUBLISH_H

#include "controller/kube/client.h"
#include "controller/status/body.h"
#include "controller/status/fault.h"

struct event_base;
struct publish;

struct publish_config {
    struct event_base *base;
    struct kube_client *client;
    struct str ns, name; /* of the Service */
    struct faults *faults;
    /* NULL: the Service is not there. Borrowed for the call. */
    void (*on_addresses)(void *arg, const struct addresses *a);
    void *arg;
};

/* Borrows what the config points at. */
struct publish *publish_new(const struct publish_config *config);
void publish_free(struct publish *p); /* NULL is fine */

/* ---- pure ---- */

/* Of a Service as JSON, from which the texts borrow. */
void publish_of_service(const cJSON *service, struct addresses *a);
/* "192.0.2.1,2001:db8::1,lb.example.com". -1 with *why. The texts borrow from it. */
int publish_parse(struct str list, struct addresses *a, struct why *why);

#endif
