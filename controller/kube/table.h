/* SPDX-License-Identifier: Apache-2.0
 *
 * table: kinds.def as data, for whoever walks over it: the decoder, the hash, the schema and the
 * reference documentation.
 */
#ifndef SLUICE_CONTROLLER_KUBE_TABLE_H
#define SLUICE_CONTROLLER_KUBE_TABLE_H

#include "controller/kube/kinds.h"

enum kube_type {
    KUBE_T_END,      /* behind the last field */
    KUBE_T_REQUIRED, /* no field: the next one must be there */
    KUBE_T_TEXT,
    KUBE_T_BOOL,
    KUBE_T_INT,
    KUBE_T_SPAN,
    KUBE_T_SIZE,
    KUBE_T_MAYBE,
    KUBE_T_WORD,
    KUBE_T_CHOICE,
    KUBE_T_TEXTS,
    KUBE_T_INTS,
    KUBE_T_ONE,
    KUBE_T_MANY,
    KUBE_T_PAIRS,
    KUBE_T_SECRETS,
    KUBE_T_PORT,
    KUBE_T_LATER,
    KUBE_T_CLOSES,
};

struct kube_field {
    uint8_t type;                    /* enum kube_type */
    uint8_t rule;                    /* enum kube_rule: TEXT, TEXTS */
    uint16_t offset;                 /* of the value */
    uint16_t n_offset;               /* of the count: TEXTS, INTS, MANY, PAIRS, SECRETS */
    const char *path;                /* "spec.rules", or in a part "matches" */
    int64_t low, high;               /* INT, INTS; low is the default of a BOOL or WORD, and
                                        whether SECRETS are base64 */
    const struct kube_part *part;    /* ONE, MANY */
    const struct model_words *words; /* WORD, CHOICE */
    const char *what;                /* LATER, CLOSES: in words */
};

enum { KUBE_FIELDS_MAX = 32 }; /* entries of one table; checked by tests/unit/kinds_test.c */

struct kube_part {
    const char *name;
    size_t size;
    const struct kube_field *(*fields)(void);
};

/* The fields of a kind; dies for KUBE_NONE. */
const struct kube_part *kube_part_of(enum kube_kind kind);

#endif
