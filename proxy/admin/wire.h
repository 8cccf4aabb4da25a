/* SPDX-License-Identifier: Apache-2.0
 *
 * wire: an object as {"kind":5,"id":...,"hash":"16 hex","bytes":"base64"}, its secrets taken
 * out of the bytes.
 */
#ifndef SLUICE_PROXY_ADMIN_WIRE_H
#define SLUICE_PROXY_ADMIN_WIRE_H

#include "lib/model.h"

void wire_json(const struct object *o, struct out *to);

#endif
