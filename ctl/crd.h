/* SPDX-License-Identifier: Apache-2.0
 *
 * crd: the CustomResourceDefinition of a kind, made from the table of kinds.def.
 *
 *     TEXT(name, "name", NAME, "Name.")  ─►  name: {type: string, pattern: ..., description: Name.}
 *     REQUIRED(...)                      ─►  required: [name], of a list minItems: 1
 *     LATER("TLS", ...)                  ─►  as if it were built; the description says that it is
 * not RULE("cel", "sentence")            ─►  x-kubernetes-validations
 *
 * Whatever the decoder accepts the schema accepts too. The other way round there are a few things
 * that a schema cannot say, as that a range of addresses has no bits behind it; the controller
 * refuses them.
 */
#ifndef SLUICE_CTL_CRD_H
#define SLUICE_CTL_CRD_H

#include "controller/kube/schema.h"

#include <cjson/cJSON.h>

cJSON *crd_of(enum kube_kind kind);

#endif
