/* SPDX-License-Identifier: Apache-2.0
 *
 * doc: a document as cJSON: putting together, taking apart, printing.
 */
#ifndef SLUICE_CTL_DOC_H
#define SLUICE_CTL_DOC_H

#include "ctl/ctl.h"
#include "lib/model.h"

#include <cjson/cJSON.h>

/* ---- putting together ---- */

void doc_text(cJSON *to, const char *name, struct str value); /* an empty value is left out */
cJSON *doc_list(cJSON *to, const char *name);
cJSON *doc_item(cJSON *list); /* a new object at its end */
cJSON *doc_of_part(const struct model_struct *s, const void *value);
cJSON *doc_of_object(const struct object *o);

/* ---- taking apart: what is not there, or is another type, is "", 0, false ---- */

const char *doc_get(const cJSON *from, const char *name);
double doc_number(const cJSON *from, const char *name);
bool doc_true(const cJSON *from, const char *name);
const cJSON *doc_each(const cJSON *from,
                      const char *name); /* for cJSON_ArrayForEach; may be NULL */

/* ---- printing: CTL_JSON or CTL_YAML; takes the document ---- */

void doc_print(struct ctl *c, cJSON *doc);

#endif
