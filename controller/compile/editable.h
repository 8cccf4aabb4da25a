/* SPDX-License-Identifier: Apache-2.0
 *
 * editable: which headers a filter may change, whatever the class.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_EDITABLE_H
#define SLUICE_CONTROLLER_COMPILE_EDITABLE_H

#include "lib/str.h"

/* Why no filter may change (set: write) a header of requests or of answers; NULL: one may. Identity
 * headers are the class's matter: identity_header(). */
const char *header_not_editable(struct str name, bool request, bool set);

#endif
