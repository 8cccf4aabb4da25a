/* SPDX-License-Identifier: Apache-2.0
 *
 * model_tables: defines what lib/model_structs.h declares, the descriptions that encode, decode,
 * equality and JSON walk over. Included once for each table, by the .c file that owns it, after the
 * same three macros; they are gone afterwards.
 */
#define E(number, NAME, word)
#define ENUM(name, doc, words)

#define FIELD(id, name, type, part, words, doc)                                                    \
    {id, offsetof(THIS, name), 0, MODEL_T_##type, #name, doc, part, words},
#define LIST(id, name, type, part, doc)                                                            \
    {id, offsetof(THIS, name), offsetof(THIS, n_##name), MODEL_T_##type, #name, doc, part, NULL},
#define BOOL(id, name, doc)        FIELD(id, name, BOOL, NULL, NULL, doc)
#define UINT(id, name, doc)        FIELD(id, name, UINT, NULL, NULL, doc)
#define TEXT(id, name, doc)        FIELD(id, name, TEXT, NULL, NULL, doc)
#define DATA(id, name, doc)        FIELD(id, name, DATA, NULL, NULL, doc)
#define HIDE(id, name, doc)        FIELD(id, name, HIDE, NULL, NULL, doc)
#define WORD(id, name, words, doc) FIELD(id, name, WORD, NULL, &model_words_##words, doc)
#define ONE(id, name, part, doc)   FIELD(id, name, ONE, &MODEL_TABLE(part), NULL, doc)
#define TEXTS(id, name, doc)       LIST(id, name, TEXTS, NULL, doc)
#define MANY(id, name, part, doc)  LIST(id, name, MANY, &MODEL_TABLE(part), doc)
/* A function each, because offsetof needs the struct's name and the field macros do not have it. */
#define PART(name, doc, ...)                                                                       \
    static const struct model_field *fields_of_##name(size_t *n) {                                 \
        typedef struct MODEL_STRUCT(name) THIS;                                                    \
        static const struct model_field table[] = {__VA_ARGS__};                                   \
        *n = ARRAY_LEN(table);                                                                     \
        return table;                                                                              \
    }                                                                                              \
    const struct model_struct MODEL_TABLE(name) = {#name, doc, sizeof(struct MODEL_STRUCT(name)),  \
                                                   fields_of_##name};
#define KIND(number, name, doc, ...) PART(name, doc, __VA_ARGS__)
#include MODEL_DEF
#undef FIELD
#undef LIST
#undef BOOL
#undef UINT
#undef TEXT
#undef DATA
#undef HIDE
#undef WORD
#undef TEXTS
#undef ONE
#undef MANY
#undef E
#undef ENUM
#undef PART
#undef KIND
#undef MODEL_DEF
#undef MODEL_STRUCT
#undef MODEL_TABLE
