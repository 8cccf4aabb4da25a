/* SPDX-License-Identifier: Apache-2.0
 *
 * backend: one port of a Service that something refers to, with its addresses.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_BACKEND_H
#define SLUICE_CONTROLLER_COMPILE_BACKEND_H

#include "controller/compile/unit.h"

void backend_compile(struct making *m);

/* The first ready endpoints of a Service's port, at most so many, sorted: "10.0.0.7:8080",
 * "[fd00::7]:8080". In m->a. A slice that cannot be read is left out. */
struct str *backend_ready(struct making *m, struct str ns, struct str name,
                          const struct kube_service_port *port, uint32_t most, uint32_t *n);

#endif
