/* SPDX-License-Identifier: Apache-2.0
 *
 * model: every object that a proxy can be told. It is the compiler's output, the wire format and
 * the proxy's input; there is no second representation. All structs come from lib/model.def.
 *
 * Two forms of one thing:
 *
 *   struct model_route *r                     plain struct: filled by the compiler, read by the
 * proxy struct object { kind, id, hash, bytes }   the encoded form, with its name: stored, sent,
 * compared
 *
 * The encoding is canonical (fields in order of their numbers, defaults left out), so equal bytes
 * are equal objects and the content hash is the hash of the bytes. A field that a reader does not
 * know is skipped by its length; the bytes keep it, so it survives being stored and sent on.
 *
 *   field  = key length bytes     key = number << 1 | 1   (text, data, part; lists repeat the
 * field) | key value            key = number << 1       (bool, uint, word) key, length, value:
 * unsigned LEB128 of at most 10 bytes, shortest form only
 *
 * Decoding trusts nothing: every length is checked against what is left, nesting is at most
 * MODEL_DEPTH, a list has at most MODEL_LIST_MAX elements, and what is made of n bytes takes at
 * most 64 * n + 64 KiB of memory. Known fields out of order or at their default are refused.
 */
#ifndef SLUICE_LIB_MODEL_H
#define SLUICE_LIB_MODEL_H

#include "lib/arena.h"
#include "lib/out.h"
#include "lib/why.h"

enum {
    MODEL_VERSION = 1,          /* of the contract; readers accept any, see above */
    MODEL_OBJECT_MAX = 4 << 20, /* bytes of one encoded object */
    MODEL_ID_MAX = 1024,        /* bytes of an id */
    MODEL_DEPTH = 8,
    MODEL_LIST_MAX = 1 << 16, /* elements of one list */
};
#define MODEL_NEVER UINT32_MAX /* in a *_ms or limit field: no limit */

/* ---- enums: enum model_balance { MODEL_ROUND_ROBIN = 0, ... } ---- */
#define E(number, NAME, word)  MODEL_##NAME = (number),
#define ENUM(name, doc, words) enum model_##name{words};
#define PART(name, doc, fields)
#define KIND(number, name, doc, fields)
#include "lib/model.def"
#undef E
#undef ENUM
#undef PART
#undef KIND

/* ---- structs: struct model_route, and its table model_struct_route ---- */
#define MODEL_DEF          "lib/model.def"
#define MODEL_STRUCT(name) model_##name
#define MODEL_TABLE(name)  model_struct_##name
#include "lib/model_structs.h"

#define E(number, NAME, word)
#define ENUM(name, doc, words)
#define PART(name, doc, fields)
#define KIND(number, name, doc, fields) MODEL_KIND_##name = (number),
enum model_kind {
    MODEL_KIND_NONE = 0,
#include "lib/model.def"
    MODEL_KINDS
};
#undef E
#undef ENUM
#undef PART
#undef KIND

/* ---- the tables, for whoever walks over them (docs, dumps, tests) ---- */
enum model_type {
    MODEL_T_BOOL,
    MODEL_T_UINT,
    MODEL_T_TEXT,
    MODEL_T_DATA,
    MODEL_T_HIDE,
    MODEL_T_WORD,
    MODEL_T_TEXTS,
    MODEL_T_ONE,
    MODEL_T_MANY,
};

struct model_word {
    uint32_t number;
    const char *word;
};

struct model_words {
    const char *name, *doc;
    const struct model_word *words; /* ends with word == NULL */
};

struct model_field {
    uint16_t number;
    uint16_t offset;   /* of the value */
    uint16_t n_offset; /* of the count, TEXTS and MANY */
    uint8_t type;      /* enum model_type */
    const char *name, *doc;
    const struct model_struct *part; /* ONE, MANY */
    const struct model_words *words; /* WORD */
};

struct model_struct {
    const char *name, *doc;
    size_t size;
    const struct model_field *(*fields)(size_t *n); /* in order of their numbers */
};

/* NULL if there is no such kind (a newer writer's). */
const struct model_struct *model_struct_of(enum model_kind kind);
const char *model_kind_name(enum model_kind kind); /* "route"; "unknown" */
/* The user's word for a value of an ENUM, e.g. model_word(&model_words_balance, 1). */
const char *model_word(const struct model_words *w, uint32_t number);

#define E(number, NAME, word)
#define ENUM(name, doc, words) extern const struct model_words model_words_##name;
#define PART(name, doc, fields)
#define KIND(number, name, doc, fields)
#include "lib/model.def"
#undef E
#undef ENUM
#undef PART
#undef KIND

/* ---- plain form ---- */

/* Appends the canonical encoding of *value. The caller checks o->over. */
void model_encode(const struct model_struct *s, const void *value, struct out *o);
/* Fills *value (s->size bytes) from bytes. Strings borrow from bytes; lists and parts are in the
 * arena. -1 with *why if the bytes are not an encoding. A WORD that is not known becomes 0 and
 * sets *newer (may be NULL), as a field does that is not known in what demands something (an auth,
 * a match, TLS), so that a reader can fail closed where it matters. */
int model_decode(const struct model_struct *s, struct str bytes, struct arena *a, void *value,
                 bool *newer, struct why *why) MUST_USE;
/* The same for bytes that hold more than one object may: at most max of them. */
int model_decode_max(const struct model_struct *s, struct str bytes, size_t max, struct arena *a,
                     void *value, bool *newer, struct why *why) MUST_USE;
/* JSON of a value; HIDE fields as "(hidden)". Defaults are left out. */
void model_json(const struct model_struct *s, const void *value, struct out *o);
bool model_equal(const struct model_struct *s, const void *a, const void *b);

/* ---- object: the encoded form with its name ---- */

/* One allocation, immutable after it was made, counted. hold/drop are not atomic: an object
 * belongs to one thread at a time (pass it on by giving the count away). */
struct object {
    uint32_t holds;
    uint32_t kind;    /* enum model_kind, or a number we do not know */
    uint64_t hash;    /* content hash: of kind, id and bytes */
    uint64_t id_hash; /* of the id; hash & 255 is its bucket */
    uint32_t id_n, bytes_n;
    char room[]; /* id, NUL, bytes */
};

/* "route/shop/catalog/rule-0", NUL-terminated. */
static inline struct str object_id(const struct object *o) { return str_mk(o->room, o->id_n); }
/* The encoding, at most MODEL_OBJECT_MAX. */
static inline struct str object_bytes(const struct object *o) {
    return str_mk(o->room + o->id_n + 1, o->bytes_n);
}

/* From the plain form. NULL: the id or the encoding is too large. */
struct object *object_try_new(enum model_kind kind, struct str id, const void *value);
struct object *object_new(enum model_kind kind, struct str id,
                          const void *value); /* dies instead */
/* From foreign bytes: checks id and encoding. NULL with *why. An unknown kind is kept unread. */
struct object *object_from_bytes(uint32_t kind, struct str id, struct str bytes, struct why *why);
struct object *object_hold(struct object *o);
void object_drop(struct object *o); /* NULL is fine */

/* The plain form again; strings borrow from the object. NULL for a kind that we do not know. */
void *object_decode(const struct object *o, struct arena *a, bool *newer);
/* {"kind":"route","id":...,"hash":"16 hex",...fields}; for /config, sluicectl and golden files. */
void object_json(const struct object *o, struct out *out);
/* A copy without what is hidden (HIDE), as it may be kept on a disk. Its hash is that of the whole.
 */
struct object *object_hide(const struct object *o);
/* Whether it follows from what somebody wrote: not pods that come and go, certificates or keys. */
bool object_is_written(const struct object *o);
/* {"kind":5,"id":...,"hash":"16 hex","bytes":base64 without what is hidden}: for who decodes it */
void object_wire_json(const struct object *o, struct out *out);

/* Ids: kind/namespace/name[/part]; namespace "-" when there is none. Characters that could be
 * read as a separator never occur in Kubernetes names. */
struct str model_id(struct arena *a, enum model_kind kind, struct str ns, struct str name,
                    struct str part /* n == 0: none */);

/* ---- digest: what a proxy and a controller compare ---- */

enum { MODEL_BUCKETS = 256 };

/* Sum over the objects of each bucket; the order of changes does not matter. */
struct digest {
    uint64_t bucket[MODEL_BUCKETS];
};
static inline unsigned object_bucket(const struct object *o) {
    return (unsigned)(o->id_hash & (MODEL_BUCKETS - 1));
}
void digest_add(struct digest *d, const struct object *o);
void digest_sub(struct digest *d, const struct object *o);
uint64_t digest_total(const struct digest *d); /* one number for all: the revision */

#endif
