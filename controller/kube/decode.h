/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: JSON into the structs of kinds.def, driven by its tables. Everything is copied into the
 * arena. The first fault ends it, with field and sentence.
 *
 * The copy of an object that kubectl keeps among its annotations is passed over. null is absence,
 * as everywhere in Kubernetes. A field that is there twice is refused, since two readers could
 * choose differently.
 */
#ifndef SLUICE_CONTROLLER_KUBE_DECODE_H
#define SLUICE_CONTROLLER_KUBE_DECODE_H

#include "controller/kube/table.h"

struct cJSON;

/* Bytes of one value as it is written; a Secret is 1 MiB at most. */
enum { KUBE_SECRET_MAX = 3 << 19 };

struct decode {
    struct arena *arena;
    struct why *why;
    bool strict;    /* an unknown field is refused */
    struct out at;  /* the field path so far */
    char path[200]; /* its room: struct why's */
};

void decode_init(struct decode *d, struct arena *arena, struct why *why, bool strict);

/* An object of the kind into *value. -1 with why's field and text. */
int decode_kind(struct decode *d, enum kube_kind kind, const struct cJSON *json, void *value);

/* metadata.labels and .annotations: a map of strings, sorted by key. json may be NULL. */
int decode_pairs(struct decode *d, const char *path, const struct cJSON *json,
                 struct kube_pair **pairs, uint32_t *n);

/* Refuses with the path so far and a sentence. Always -1. */
int decode_refuse(struct decode *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "a list", "an object", "80", "\"abc\"": what was found instead of what was wanted. */
const char *decode_found(const struct cJSON *json, struct shown *room);

/* Appends the meaning of *value to o: equal bytes, equal fields. */
void decode_print(const struct kube_part *part, const void *value, struct out *o);
void decode_print_pairs(const struct kube_pair *pairs, uint32_t n, struct out *o);

#endif
