/* SPDX-License-Identifier: Apache-2.0
 *
 * autoscale: the aggregated API custom.metrics.k8s.io/v1beta2, from which a HorizontalPodAutoscaler
 * reads how busy each proxy is: requests a second, connections, time spent in the gateway. Values
 * are those of the proxies' own reports; nothing is kept.
 *
 *     HPA ─► kube-apiserver ─► httpd (TLS) ─► who? (caller.h, TokenReview)
 *                                          ─► may he? (SubjectAccessReview, remembered for 10 s)
 *                                          ─► which pods? (list pods by the selector)
 *                                          ─► MetricValueList
 *
 * The APIService that leads there is made by the leading replica (service.h), never over another's.
 * Everything on the controller's loop.
 */
#ifndef SLUICE_CONTROLLER_AUTOSCALE_H
#define SLUICE_CONTROLLER_AUTOSCALE_H

#include "controller/autoscale/query.h"
#include "controller/kube/client.h"

struct autoscale;

struct autoscale_options {
    const char *address;  /* "0.0.0.0:7443" */
    struct str namespace; /* of the proxies, the Service and ourselves */
    const char *service;  /* name of the Service in front of address, port 443 */
    const char *owner;    /* ClusterRole with which the APIService ends; NULL: none */
};

struct autoscale_host {
    /* Calls each() with every proxy that has reported. */
    void (*pods)(void *arg, void (*each)(void *to, const struct autoscale_pod *p), void *to);
    void *pods_arg;
    bool (*leads)(void *arg);
    void *leads_arg;
};

/* NULL with *why. Nothing is served before autoscale_set_certificate(). */
struct autoscale *autoscale_new(struct event_base *base, struct kube_client *client,
                                const struct autoscale_options *o,
                                const struct autoscale_host *host, struct why *why);
void autoscale_free(struct autoscale *a); /* NULL is fine */

/* PEM: the CA that the API server shall trust, and the chain and key to serve with, which is for
 * SERVICE.NAMESPACE.svc. Copied; may be called again. */
void autoscale_set_certificate(struct autoscale *a, struct str ca, struct str chain,
                               struct str key);

/* What does not work now, and what to do about it. */
const struct why *autoscale_faults(struct autoscale *a, size_t *n);
uint16_t autoscale_port(const struct autoscale *a);

#endif
