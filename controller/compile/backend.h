/* SPDX-License-Identifier: Apache-2.0
 *
 * backend: one port of a Service that something refers to, with its addresses.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_BACKEND_H
#define SLUICE_CONTROLLER_COMPILE_BACKEND_H

#include "controller/compile/unit.h"

void backend_compile(struct making *m);

#endif
