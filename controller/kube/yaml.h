/* SPDX-License-Identifier: Apache-2.0
 *
 * yaml: a file of Kubernetes objects, as cJSON: the form in which the API server's come too.
 *
 *   YAML   one or many documents; scalars by the core schema of YAML 1.2: quoted stays a string,
 *          yes and no are strings. Aliases are copied, within bounds; tags, merge keys (<<) and
 * keys that are no scalars are refused. JSON   one value
 *
 * Of both: empty documents are passed over, `kind: List` is taken apart, a key that is there twice
 * is refused. Nothing of a file counts unless all of it parses.
 */
#ifndef SLUICE_CONTROLLER_KUBE_YAML_H
#define SLUICE_CONTROLLER_KUBE_YAML_H

#include "lib/why.h"

struct cJSON;

enum {
    YAML_DEPTH = 32,            /* of nesting */
    YAML_ALIASES_MAX = 1 << 20, /* bytes that a document may grow by through aliases */
    YAML_ANCHORS_MAX = 100      /* in a document */
};

struct yaml_document {
    struct cJSON *json;
    uint32_t line; /* where it starts, from 1 */
};

struct yaml {
    struct yaml_document *documents;
    size_t n, room;
    uint32_t line, column; /* of the fault, from 1 */
};

enum yaml_form { YAML_YAML, YAML_JSON };

/* -1 with *why: object is "file:line:column", text the sentence; y then holds only the place.
 * End with yaml_fini() in either case. */
int yaml_parse(struct str text, enum yaml_form form, struct str file, struct yaml *y,
               struct why *why) MUST_USE;
void yaml_fini(struct yaml *y);

#endif
