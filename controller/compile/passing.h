/* SPDX-License-Identifier: Apache-2.0
 *
 * passing: listeners of protocol TCP and TLS, which pass on bytes to one Service.
 *
 *     port   protocol   chosen by
 *     5432   TCP        the port alone
 *     5433   TLS        the name in the ClientHello, among all TLS listeners of the port ...
 *      443   TLS        ... and the HTTPS listener, if that has the same port
 */
#ifndef SLUICE_CONTROLLER_COMPILE_PASSING_H
#define SLUICE_CONTROLLER_COMPILE_PASSING_H

#include "controller/compile/class.h"

static inline bool is_passing(const struct kube_listener *l) {
    return l->protocol == MODEL_TCP || l->protocol == MODEL_TLS;
}

/* What a listener of these protocols must be; 0, or refused. */
int passing_check(struct making *m, const struct at *at, const struct kube_listener *l);
/* Listener i against those before it: which may share a port. */
int passing_check_port(struct making *m, const struct at *at, const struct kube_GatewayConfig *g,
                       uint32_t i);
#endif
