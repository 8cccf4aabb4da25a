/* SPDX-License-Identifier: Apache-2.0
 *
 * clients: `clientValidation` of a listener.
 *
 *     Secret, ConfigMap ── there, readable, PEM ──► client_ca, client_crl
 *             └─ else ──► closed, and the condition Accepted is false: InvalidCACertificateRef
 */
#ifndef SLUICE_CONTROLLER_COMPILE_CLIENTS_H
#define SLUICE_CONTROLLER_COMPILE_CLIENTS_H

#include "controller/compile/unit.h"

/* v NULL: nothing is asked. -1: refused. */
int clients_check(struct making *m, const struct at *listener,
                  const struct kube_client_validation *v);
/* Fills o; sets m->keep while something is not known yet. */
void clients_make(struct making *m, const struct at *listener,
                  const struct kube_client_validation *v, struct model_listener_tls *o);

#endif
