/* SPDX-License-Identifier: Apache-2.0
 *
 * ref: from a reference in a Route or Ingress to the id of a backend. What cannot be resolved is no
 * reason to refuse the resource: its share of the traffic answers with a status. And to a Service
 * that the controller asks itself.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_REF_H
#define SLUICE_CONTROLLER_COMPILE_REF_H

#include "controller/compile/class.h"

struct ref {
    struct str group, kind; /* n == 0: a Service */
    struct str namespace;   /* n == 0: that of the resource */
    struct str name;
    struct kube_port port;
    bool bytes; /* of a TCP or TLS listener: whatever is spoken there, and without a grant */
};

struct ref_service {
    struct str ns;
    const struct resource *resource;
    const struct kube_Service *service;
    const struct kube_service_port *port; /* NULL: of an ExternalName that does not list it */
    bool external;                        /* an ExternalName; with ref_resolve() alone */
};

/* A Service with endpoints, and its port. False: it cannot be resolved, and unresolved() has been
 * told why. */
bool ref_service(struct making *m, const struct at *at, const struct ref *ref,
                 struct ref_service *o);

/* The id of the backend, which is wanted from now on; n == 0: it cannot be resolved, and
 * unresolved() has been told why. */
struct str ref_resolve(struct making *m, const struct at *at, const struct ref *ref);

/* The same for a GatewayConfig, which belongs to the whole cluster: no namespace grants it
 * anything, whatever is spoken there may be, and its own words say which external names may be
 * called. */
struct str ref_of_config(struct making *m, const struct at *at, const struct kube_GatewayConfig *g,
                         const struct ref *ref);
struct ref ref_to(const struct kube_object_ref *r);

/* grant.c: whether a ReferenceGrant lets `from` refer to that object of another namespace. */
bool granted(struct making *m, const struct resource *from, struct str group, struct str kind,
             struct str ns, struct str name);

#endif
