/* SPDX-License-Identifier: Apache-2.0
 *
 * schema: whether the cluster's CRDs know every field that this controller knows. An API server
 * drops what a CRD lacks without a word, so that under an older CRD a policy may lose what makes it
 * strict, and nobody would be told.
 *
 *     kinds.def ──► shape ──► hash       the same shape, the same hash
 *     schema.def ─► generation           counts the shapes, upwards
 *
 *     CRD says                           verdict
 *     our hash                           FITS
 *     another hash, a later generation   FITS: it is newer, and has lost nothing
 *     another hash, ours or an earlier   OLD
 *     no hash                            OLD
 *     there is no CRD                    MISSING
 *
 * Only shape counts, the names and types of fields: descriptions, limits and rules may differ.
 * Pure; crds.h asks the API server. (The CRDs themselves are written by `sluicectl crds`.)
 */
#ifndef SLUICE_CONTROLLER_KUBE_SCHEMA_H
#define SLUICE_CONTROLLER_KUBE_SCHEMA_H

#include "controller/kube/kinds.h"

#define SCHEMA_HASH       "sluice.dev/schema-hash"       /* annotation: 16 hex */
#define SCHEMA_GENERATION "sluice.dev/schema-generation" /* annotation: decimal */

uint64_t kube_schema_hash(enum kube_kind kind);
uint64_t kube_schema_hash_all(void); /* of all kinds of our own */
uint32_t kube_schema_generation(void);
uint64_t kube_schema_recorded(void); /* what schema.def says that kube_schema_hash_all() is */

/* Whether the kind is one of our own, of which there is a CRD. */
bool kube_schema_is_ours(enum kube_kind kind);
/* "routes.sluice.dev" */
void kube_schema_name(enum kube_kind kind, struct out *o);

enum schema_verdict {
    SCHEMA_UNKNOWN, /* not read, or it could not be */
    SCHEMA_FITS,
    SCHEMA_OLD,
    SCHEMA_MISSING,
};

/* crd: the CustomResourceDefinition; NULL: there is none. *why says what to do unless it fits. */
enum schema_verdict kube_schema_judge(enum kube_kind kind, const struct cJSON *crd,
                                      struct why *why);

#endif
