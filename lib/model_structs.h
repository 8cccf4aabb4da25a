/* SPDX-License-Identifier: Apache-2.0
 *
 * model_structs: makes the structs of a table that is written like lib/model.def, and declares
 * their descriptions. Included once for each table (so it has no guard), by the header that owns
 * it: lib/model.h, lib/wire.h. Before it:
 *
 *   MODEL_DEF            the table's file
 *   MODEL_STRUCT(name)   the tag of a PART's or KIND's struct, e.g. model_route
 *   MODEL_TABLE(name)    its struct model_struct, e.g. model_struct_route
 *
 * All three are gone afterwards.
 */
#define BOOL(id, name, doc)        bool name;
#define UINT(id, name, doc)        uint64_t name;
#define TEXT(id, name, doc)        struct str name;
#define DATA(id, name, doc)        struct str name;
#define HIDE(id, name, doc)        struct str name;
#define WORD(id, name, words, doc) enum model_##words name;
#define TEXTS(id, name, doc)                                                                       \
    struct str *name;                                                                              \
    uint32_t n_##name;
#define ONE(id, name, part, doc) struct MODEL_STRUCT(part) * name;
#define MANY(id, name, part, doc)                                                                  \
    struct MODEL_STRUCT(part) * name;                                                              \
    uint32_t n_##name;
#define E(number, NAME, word)
#define ENUM(name, doc, words)
#define PART(name, doc, ...)                                                                       \
    struct MODEL_STRUCT(name) {                                                                    \
        __VA_ARGS__                                                                                \
    };                                                                                             \
    extern const struct model_struct MODEL_TABLE(name);
#define KIND(number, name, doc, ...) PART(name, doc, __VA_ARGS__)
#include MODEL_DEF
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
