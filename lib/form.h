/* SPDX-License-Identifier: Apache-2.0
 *
 * form: text as a value of a query or of a form (RFC 3986 2.3, WHATWG URL 5.2): unreserved
 * characters as they are, all else as %XX; so it means the same in both.
 */
#ifndef SLUICE_LIB_FORM_H
#define SLUICE_LIB_FORM_H

#include "lib/out.h"

void form_put(struct out *o, struct str value);
/* "&name=value", with the '&' unless it is the first thing that is written. The name as it is. */
void form_pair(struct out *o, struct str name, struct str value);

#endif
