/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/table.h"

/* Parts may name each other in any order. */
#define KIND(Name, group, version, plural, brief, scope, strictness, doc, ...)
#define PART(name, doc, ...) static const struct kube_part part_##name;
#include "controller/kube/kinds.def"
#undef KIND
#undef PART

#define FIELD(c, json, t, d, ...)                                                                  \
    {.type = KUBE_T_##t, .offset = offsetof(THIS, c), .path = (json), .doc = (d), __VA_ARGS__},
#define LIST(c, json, t, d, ...)                                                                   \
    FIELD(c, json, t, d, .n_offset = offsetof(THIS, n_##c), __VA_ARGS__)

#define REQUIRED(field)             {.type = KUBE_T_REQUIRED}, field
#define FILLED(field)               {.type = KUBE_T_FILLED}, field
#define LATER(w, field)             {.type = KUBE_T_LATER, .what = (w)}, field
#define RULE(expression, sentence)  {.type = KUBE_T_RULE, .cel = (expression), .what = (sentence)},
#define COLUMN(name, at)            {.type = KUBE_T_COLUMN, .cel = (at), .what = (name)},
#define TEXT(c, json, r, d)         FIELD(c, json, TEXT, d, .rule = KUBE_##r)
#define PICK(c, json, w, absent, d) FIELD(c, json, PICK, d, .picks = (w), .def = (absent))
#define BOOL(c, json, absent, d)    FIELD(c, json, BOOL, d, .low = (absent))
#define INT(c, json, min, max, d)   FIELD(c, json, INT, d, .low = (min), .high = (max))
#define SPAN(c, json, d)            FIELD(c, json, SPAN, d, )
#define SIZE(c, json, d)            FIELD(c, json, SIZE, d, )
#define MAYBE(c, json, d)           FIELD(c, json, MAYBE, d, )
#define WORD(c, json, w, absent, d)                                                                \
    FIELD(c, json, WORD, d, .words = &model_words_##w, .low = MODEL_##absent)
#define CHOICE(c, json, w, d)   FIELD(c, json, CHOICE, d, .words = &model_words_##w)
#define TEXTS(c, json, r, n, d) LIST(c, json, TEXTS, d, .rule = KUBE_##r, .most = (n))
#define PICKS(c, json, w, d)    LIST(c, json, PICKS, d, .picks = (w), .most = 32)
#define INTS(c, json, min, max, n, d)                                                              \
    LIST(c, json, INTS, d, .low = (min), .high = (max), .most = (n))
#define ONE(c, json, p, d)       FIELD(c, json, ONE, d, .part = &part_##p)
#define MANY(c, json, p, n, d)   LIST(c, json, MANY, d, .part = &part_##p, .most = (n))
#define PAIRS(c, json, d)        LIST(c, json, PAIRS, d, .most = KUBE_LIST_MAX)
#define SECRETS(c, json, b64, d) LIST(c, json, SECRETS, d, .low = (b64), .most = KUBE_LIST_MAX)
#define PORT(c, json, d)         FIELD(c, json, PORT, d, )

/* A function each, because offsetof needs the struct's name and the field macros do not have it. */
#define PART(name, d, ...)                                                                         \
    static const struct kube_field *fields_of_##name(void) {                                       \
        typedef struct kube_##name THIS;                                                           \
        static const struct kube_field table[] = {__VA_ARGS__{.type = KUBE_T_END}};                \
        (void)sizeof(THIS);                                                                        \
        return table;                                                                              \
    }                                                                                              \
    static const struct kube_part part_##name = {#name, d, sizeof(struct kube_##name),             \
                                                 fields_of_##name};
#define KIND(Name, group, version, plural, brief, scope, strictness, doc, ...)                     \
    PART(Name, doc, __VA_ARGS__)
#include "controller/kube/kinds.def"
#undef KIND
#undef PART

static const struct kube_part *const kinds[KUBE_KINDS] = {
#define PART(name, doc, ...)
#define KIND(Name, group, version, plural, brief, scope, strictness, doc, ...)                     \
    [KUBE_##Name] = &part_##Name,
#include "controller/kube/kinds.def"
#undef KIND
#undef PART
};

const struct kube_part *const kube_parts[] = {
#define PART(name, doc, ...) &part_##name,
#define KIND(Name, group, version, plural, brief, scope, strictness, doc, ...)
#include "controller/kube/kinds.def"
#undef KIND
#undef PART
    NULL,
};

const struct kube_part *kube_part_of(enum kube_kind kind) {
    must(kind > KUBE_NONE && kind < KUBE_KINDS);
    return kinds[kind];
}

const struct kube_kind_info kube_kinds[KUBE_KINDS] = {
#define PART(name, doc, ...)
    [KUBE_NONE] = {"", "", "", "", "", KUBE_CLUSTER, KUBE_LENIENT, ""},
#define KIND(Name, group, version, plural, brief, scope, strictness, doc, ...)                     \
    [KUBE_##Name] = {#Name, group, version, plural, brief, KUBE_##scope, KUBE_##strictness, doc},
#include "controller/kube/kinds.def"
};

enum kube_kind kube_kind_of(struct str group, struct str kind) {
    for (unsigned k = KUBE_NONE + 1; k < KUBE_KINDS; k++)
        if (str_eq(str_of(kube_kinds[k].kind), kind) && str_eq(str_of(kube_kinds[k].group), group))
            return (enum kube_kind)k;
    return KUBE_NONE;
}

const struct kube_field *kube_field_at(const struct kube_field *f, struct kube_marks *marks) {
    *marks = (struct kube_marks){0};
    for (; f->type != KUBE_T_END; f++) {
        if (f->type >= KUBE_T_TEXT)
            return f;
        if (f->type == KUBE_T_REQUIRED)
            marks->required = true;
        else if (f->type == KUBE_T_FILLED)
            marks->filled = true;
        else if (f->type == KUBE_T_LATER)
            marks->later = f->what;
    }
    return NULL;
}

bool kube_field_is_set(const struct kube_field *f) {
    return f->type == KUBE_T_INTS || f->type == KUBE_T_PICKS ||
           (f->type == KUBE_T_TEXTS && f->rule == KUBE_HOSTNAME);
}

bool kube_field_is_map(const struct kube_field *f) {
    struct kube_marks marks;
    const struct kube_field *first =
        f->type == KUBE_T_MANY ? kube_field_at(f->part->fields(), &marks) : NULL;
    return first && marks.required && first->rule == KUBE_SECTION && first->offset == 0;
}

struct str kube_pick(const char *picks, size_t i) {
    struct str word, rest = str_cut(str_of(picks), '|', &word);
    for (; i > 0 && rest.p; i--)
        rest = str_cut(rest, '|', &word);
    return i == 0 ? word : STR_NONE;
}
