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
    KUBE_T_REQUIRED, /* a mark of the next entry, a field: it must be there */
    KUBE_T_FILLED,   /* a mark: a list that may be absent, but not empty */
    KUBE_T_LATER,    /* a mark: known and not built yet */
    KUBE_T_RULE,     /* beside the fields: for the schema */
    KUBE_T_COLUMN,   /* likewise */
    KUBE_T_TEXT,     /* the first field */
    KUBE_T_PICK,
    KUBE_T_BOOL,
    KUBE_T_INT,
    KUBE_T_SPAN,
    KUBE_T_SIZE,
    KUBE_T_MAYBE,
    KUBE_T_WORD,
    KUBE_T_CHOICE,
    KUBE_T_TEXTS,
    KUBE_T_PICKS,
    KUBE_T_INTS,
    KUBE_T_ONE,
    KUBE_T_MANY,
    KUBE_T_PAIRS,
    KUBE_T_SECRETS,
    KUBE_T_PORT,
};

struct kube_field {
    uint8_t type;                    /* enum kube_type */
    uint8_t rule;                    /* enum kube_rule: TEXT, TEXTS */
    uint16_t offset;                 /* of the value */
    uint16_t n_offset;               /* of the count: TEXTS, PICKS, INTS, MANY, PAIRS, SECRETS */
    uint32_t most;                   /* elements: TEXTS, PICKS, INTS, MANY */
    const char *path;                /* "spec.rules", or in a part "matches" */
    int64_t low, high;               /* INT, INTS; low is the default of a BOOL or WORD, and
                                        whether SECRETS are base64 */
    const struct kube_part *part;    /* ONE, MANY */
    const struct model_words *words; /* WORD, CHOICE */
    const char *picks;               /* PICK, PICKS: "A|B" */
    const char *def;                 /* PICK: what absence means; "" nothing */
    const char *what;                /* LATER: in words; RULE: the sentence; COLUMN: name */
    const char *cel;                 /* RULE: the expression; COLUMN: the path */
    const char *doc;
};

enum {
    KUBE_FIELDS_MAX = 64, /* entries of one table; checked by tests/unit/kinds_test.c */
    KUBE_LIST_MAX = 10000 /* elements of one list, pairs of one map */
};

struct kube_part {
    const char *name, *doc;
    size_t size;
    const struct kube_field *(*fields)(void);
};

/* Every part, each once, in the order of kinds.def; ends with NULL. */
extern const struct kube_part *const kube_parts[];

/* What stands around a field. */
struct kube_marks {
    bool required;
    bool filled;       /* not empty when it is there */
    const char *later; /* what is not built yet; NULL: it is */
};
/* The first field at f or behind it, and its marks; NULL at the end. */
const struct kube_field *kube_field_at(const struct kube_field *f, struct kube_marks *marks);
/* Whether an element of its list may be there only once; a list of parts that begin with a required
 * name is a map: no two have the same one. */
bool kube_field_is_set(const struct kube_field *f);
bool kube_field_is_map(const struct kube_field *f);
/* The i-th of "A|B", n == 0 behind the last. */
struct str kube_pick(const char *picks, size_t i);

/* The fields of a kind; dies for KUBE_NONE. */
const struct kube_part *kube_part_of(enum kube_kind kind);

#endif
