/* SPDX-License-Identifier: Apache-2.0
 *
 * wire: an object as proxies and controllers tell it (object_wire_json): without its secrets, whose
 * hash counts all the same.
 */
#ifndef SLUICE_CTL_WIRE_H
#define SLUICE_CTL_WIRE_H

#include "lib/model.h"

#include <cjson/cJSON.h>

struct object *wire_object(const cJSON *j, struct why *why); /* NULL with *why */

#endif
