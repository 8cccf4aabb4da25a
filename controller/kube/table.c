/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/table.h"

/* Parts may name each other in any order. */
#define KIND(Name, group, version, plural, scope, strictness, ...)
#define PART(name, ...) static const struct kube_part part_##name;
#include "controller/kube/kinds.def"
#undef KIND
#undef PART

#define FIELD(c, json, t, ...)                                                                     \
    {.type = KUBE_T_##t, .offset = offsetof(THIS, c), .path = (json), __VA_ARGS__},
#define LIST(c, json, t, ...) FIELD(c, json, t, .n_offset = offsetof(THIS, n_##c), __VA_ARGS__)

#define REQUIRED(field)         {.type = KUBE_T_REQUIRED}, field
#define TEXT(c, json, r)        FIELD(c, json, TEXT, .rule = KUBE_##r)
#define BOOL(c, json, def)      FIELD(c, json, BOOL, .low = (def))
#define INT(c, json, min, max)  FIELD(c, json, INT, .low = (min), .high = (max))
#define SPAN(c, json)           FIELD(c, json, SPAN, )
#define SIZE(c, json)           FIELD(c, json, SIZE, )
#define MAYBE(c, json)          FIELD(c, json, MAYBE, )
#define WORD(c, json, w, def)   FIELD(c, json, WORD, .words = &model_words_##w, .low = MODEL_##def)
#define CHOICE(c, json, w)      FIELD(c, json, CHOICE, .words = &model_words_##w)
#define TEXTS(c, json, r)       LIST(c, json, TEXTS, .rule = KUBE_##r)
#define INTS(c, json, min, max) LIST(c, json, INTS, .low = (min), .high = (max))
#define ONE(c, json, p)         FIELD(c, json, ONE, .part = &part_##p)
#define MANY(c, json, p)        LIST(c, json, MANY, .part = &part_##p)
#define PAIRS(c, json)          LIST(c, json, PAIRS, )
#define SECRETS(c, json, b64)   LIST(c, json, SECRETS, .low = (b64))
#define PORT(c, json)           FIELD(c, json, PORT, )
#define LATER(c, json, w)       FIELD(c, json, LATER, .what = (w))
#define CLOSES(c, json, w)      FIELD(c, json, CLOSES, .what = (w))

/* A function each, because offsetof needs the struct's name and the field macros do not have it. */
#define PART(name, ...)                                                                            \
    static const struct kube_field *fields_of_##name(void) {                                       \
        typedef struct kube_##name THIS;                                                           \
        static const struct kube_field table[] = {__VA_ARGS__{.type = KUBE_T_END}};                \
        (void)sizeof(THIS);                                                                        \
        return table;                                                                              \
    }                                                                                              \
    static const struct kube_part part_##name = {#name, sizeof(struct kube_##name),                \
                                                 fields_of_##name};
#define KIND(Name, group, version, plural, scope, strictness, ...) PART(Name, __VA_ARGS__)
#include "controller/kube/kinds.def"
#undef KIND
#undef PART

static const struct kube_part *const parts[KUBE_KINDS] = {
#define PART(name, ...)
#define KIND(Name, group, version, plural, scope, strictness, ...) [KUBE_##Name] = &part_##Name,
#include "controller/kube/kinds.def"
#undef KIND
};

const struct kube_part *kube_part_of(enum kube_kind kind) {
    must(kind > KUBE_NONE && kind < KUBE_KINDS);
    return parts[kind];
}

const struct kube_kind_info kube_kinds[KUBE_KINDS] = {
    [KUBE_NONE] = {"", "", "", "", KUBE_CLUSTER, KUBE_LENIENT},
#define KIND(Name, group, version, plural, scope, strictness, ...)                                 \
    [KUBE_##Name] = {#Name, group, version, plural, KUBE_##scope, KUBE_##strictness},
#include "controller/kube/kinds.def"
};

enum kube_kind kube_kind_of(struct str group, struct str kind) {
    for (unsigned k = KUBE_NONE + 1; k < KUBE_KINDS; k++)
        if (str_eq(str_of(kube_kinds[k].kind), kind) && str_eq(str_of(kube_kinds[k].group), group))
            return (enum kube_kind)k;
    return KUBE_NONE;
}
