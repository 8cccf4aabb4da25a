/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream: TLS towards the endpoints of a Service, as a TrafficPolicy or the Service's appProtocol
 * asks for it. It is part of the backend object, so that no proxy can know the one without the
 * other.
 *
 *     connection.tls ─┬─ names ───────────────────────────┐
 *     ConfigMap ──────┼─ caRefs ──► PEM ──────────────────┼──► backend: tls
 *     Secret ─────────┘  clientCertificateRef ──► pair ───┘
 *                          │
 *                          └─ missing, broken, not granted ──► backend: closed (503)
 *
 * The policy's unit looks at the same, to say it; each of the two reads the Secrets for itself.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_UPSTREAM_H
#define SLUICE_CONTROLLER_COMPILE_UPSTREAM_H

#include "controller/compile/unit.h"

/* What k, of that TrafficPolicy, says (both NULL: the defaults), for endpoints whose name is
 * `name`. -1: they can not be called so; m->closed has the sentence, m->unresolved too if it is
 * about a reference. Sets m->keep if that is not known yet. */
int upstream_tls(struct making *m, const struct resource *policy, const struct kube_upstream_tls *k,
                 struct str name, struct model_upstream_tls *o);
/* The same of another resource, where it says so; k is not NULL. */
int upstream_tls_at(struct making *m, const struct at *at, const struct resource *of,
                    const struct kube_upstream_tls *k, struct str name,
                    struct model_upstream_tls *o);
/* Adds the certificates of one reference to `all`, as PEM; *n counts them. False: m says why. */
bool upstream_authority(struct making *m, const struct resource *policy, const struct at *at,
                        const struct kube_ca_ref *k, struct out *all, int *n);

#endif
