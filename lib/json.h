/* SPDX-License-Identifier: Apache-2.0
 *
 * json: cJSON behind a door that is a little narrower than its own.
 */
#ifndef SLUICE_LIB_JSON_H
#define SLUICE_LIB_JSON_H

#include "lib/why.h"

#include <cjson/cJSON.h>

enum { JSON_DEPTH = 100 }; /* of nesting; deeper text is refused */

/* One JSON value and nothing behind it but white space. NULL with *why, which says where. cJSON's
 * strings end at a NUL, so a value or name with \u0000 in it is refused: what we read and what the
 * sender meant would differ. Free with cJSON_Delete(). */
cJSON *json_parse(struct str text, struct why *why);

/* A member of an object by its exact name; NULL if there is none, or it is null. */
const cJSON *json_get(const cJSON *object, const char *name);
/* The same, if it is a string; STR_NONE otherwise. Borrowed. */
struct str json_text(const cJSON *object, const char *name);

#endif
