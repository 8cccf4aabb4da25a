/* SPDX-License-Identifier: Apache-2.0
 *
 * model: the tables made from model.def, and the few functions that walk them. Nothing here knows
 * any kind by name.
 */
#include "lib/model.h"

#include "lib/hash.h"
#include "lib/mem.h"

/* ---- tables ---- */

#define E(number, NAME, word) {(number), (word)},
#define ENUM(name, doc, list)                                                                      \
    const struct model_words model_words_##name = {#name, doc,                                     \
                                                   (const struct model_word[]){list{0, NULL}}};
#define PART(name, doc, fields)
#define KIND(number, name, doc, fields)
#include "lib/model.def"
#undef E
#undef ENUM
#undef PART
#undef KIND

#define MODEL_DEF          "lib/model.def"
#define MODEL_STRUCT(name) model_##name
#define MODEL_TABLE(name)  model_struct_##name
#include "lib/model_tables.h"

#define E(number, NAME, word)
#define ENUM(name, doc, words)

enum { FIELDS_MAX = 32 }; /* of one struct; checked by tests/unit/model_test.c */

static const struct model_struct *const kinds[MODEL_KINDS] = {
#define PART(name, doc, fields)
#define KIND(number, name, doc, fields) [number] = &model_struct_##name,
#include "lib/model.def"
#undef PART
#undef KIND
};

const struct model_struct *model_struct_of(enum model_kind kind) {
    return (unsigned)kind < MODEL_KINDS ? kinds[kind] : NULL;
}

const char *model_kind_name(enum model_kind kind) {
    const struct model_struct *s = model_struct_of(kind);
    return s ? s->name : "unknown";
}

const char *model_word(const struct model_words *w, uint32_t number) {
    for (size_t i = 0; w->words[i].word; i++)
        if (w->words[i].number == number)
            return w->words[i].word;
    return "unknown";
}

static void *at(const void *value, size_t offset) { return (char *)(uintptr_t)value + offset; }

static uint32_t count_of(const struct model_field *f, const void *value) {
    return *(uint32_t *)at(value, f->n_offset);
}

static bool is_list(const struct model_field *f) {
    return f->type == MODEL_T_TEXTS || f->type == MODEL_T_MANY;
}

static bool is_number(const struct model_field *f) {
    return f->type == MODEL_T_BOOL || f->type == MODEL_T_UINT || f->type == MODEL_T_WORD;
}

static uint64_t number_of(const struct model_field *f, const void *value) {
    const void *p = at(value, f->offset);
    switch (f->type) {
    case MODEL_T_BOOL:
        return *(const bool *)p;
    case MODEL_T_WORD:
        return *(const uint32_t *)p; /* every enum of model.def has the size of an int */
    default:
        return *(const uint64_t *)p;
    }
}

/* ---- encode ---- */

static void put_varint(struct out *o, uint64_t v) {
    while (v >= 0x80) {
        out_char(o, (char)(v | 0x80));
        v >>= 7;
    }
    out_char(o, (char)v);
}

static size_t varint_size(uint64_t v) {
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

static void put_bytes(struct out *o, unsigned number, struct str s) {
    put_varint(o, (uint64_t)number << 1 | 1);
    put_varint(o, s.n);
    out_str(o, s);
}

/* Written after one reserved length byte; the body moves when its length needs more of them. */
static void put_part(struct out *o, unsigned number, const struct model_struct *s, const void *v) {
    put_varint(o, (uint64_t)number << 1 | 1);
    size_t start = o->n;
    out_char(o, 0);
    model_encode(s, v, o);
    if (o->over)
        return;
    size_t n = o->n - start - 1, extra = varint_size(n) - 1;
    if (extra > 0 && !out_take(o, extra))
        return;
    memmove(o->p + start + 1 + extra, o->p + start + 1, n);
    struct out length = out_fixed(o->p + start, 1 + extra);
    put_varint(&length, n);
}

void model_encode(const struct model_struct *s, const void *value, struct out *o) {
    size_t n;
    const struct model_field *fields = s->fields(&n);
    for (size_t i = 0; i < n && !o->over; i++) {
        const struct model_field *f = &fields[i];
        void *p = at(value, f->offset);
        if (is_number(f)) {
            uint64_t v = number_of(f, value);
            if (v != 0) {
                put_varint(o, (uint64_t)f->number << 1);
                put_varint(o, v);
            }
        } else if (f->type == MODEL_T_ONE) {
            if (*(void **)p)
                put_part(o, f->number, f->part, *(void **)p);
        } else if (f->type == MODEL_T_TEXTS) {
            for (uint32_t k = 0; k < count_of(f, value); k++)
                put_bytes(o, f->number, (*(struct str **)p)[k]);
        } else if (f->type == MODEL_T_MANY) {
            for (uint32_t k = 0; k < count_of(f, value); k++)
                put_part(o, f->number, f->part, *(char **)p + k * f->part->size);
        } else if (((struct str *)p)->n > 0) {
            put_bytes(o, f->number, *(struct str *)p);
        }
    }
}

/* ---- decode ---- */

struct reader {
    const unsigned char *p, *end;
};

struct decoder {
    struct arena *arena;
    size_t limit; /* of arena->used */
    bool guards;  /* within what demands something */
    bool *newer;
    struct why *why;
};

static bool get_varint(struct reader *r, uint64_t *value) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && r->p < r->end; shift += 7) {
        unsigned char c = *r->p++;
        if (shift == 63 && c > 1)
            return false;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *value = v;
            return shift == 0 || c != 0; /* shortest form */
        }
    }
    return false;
}

struct raw_field {
    uint64_t number;
    bool is_bytes;
    uint64_t value;
    struct str bytes;
};

static bool get_field(struct reader *r, struct raw_field *f) {
    uint64_t key;
    if (!get_varint(r, &key) || key >> 1 == 0 || key >> 12 != 0)
        return false;
    f->number = key >> 1;
    f->is_bytes = key & 1;
    if (!get_varint(r, &f->value))
        return false;
    if (!f->is_bytes)
        return true;
    if (f->value > (uint64_t)(r->end - r->p))
        return false;
    f->bytes = str_mk((const char *)r->p, (size_t)f->value);
    r->p += f->value;
    return true;
}

static struct reader reader_of(struct str s) {
    /* An empty encoding may come as NULL, and C knows no NULL + 0. */
    const unsigned char *p = (const unsigned char *)(s.p != NULL ? s.p : "");
    return (struct reader){p, p + s.n};
}

static int decode(const struct model_struct *s, struct str bytes, struct decoder *d, void *value,
                  int depth);

/* What demands something: a field in it, however deep, that only a newer writer knows may be a
 * further condition, and who passes over it lets more through. */
static bool is_guard(const struct model_struct *s) {
    static const struct model_struct *const all[] = {
        &model_struct_auth,         &model_struct_match,     &model_struct_upstream_tls,
        &model_struct_listener_tls, &model_struct_route_tls,
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (s == all[i])
            return true;
    return false;
}

/* First pass: form, order and how often each field occurs. */
static int survey(const struct model_struct *s, const struct model_field *fields, size_t n,
                  struct str bytes, uint32_t counts[FIELDS_MAX], struct decoder *d) {
    struct why *why = d->why;
    struct reader r = reader_of(bytes);
    struct raw_field raw;
    uint64_t last = 0;
    size_t i = 0;
    while (r.p < r.end) {
        if (!get_field(&r, &raw))
            return why_text(why, "malformed field in %s", s->name);
        if (raw.number < last)
            return why_text(why, "fields of %s out of order", s->name);
        last = raw.number;
        while (i < n && fields[i].number < raw.number)
            i++;
        if (i == n || fields[i].number != raw.number) {
            if (d->guards && d->newer)
                *d->newer = true;
            continue; /* a newer writer's field */
        }
        const struct model_field *f = &fields[i];
        if (raw.is_bytes == is_number(f))
            return why_text(why, "%s.%s has the wrong form", s->name, f->name);
        if (counts[i] > 0 && !is_list(f))
            return why_text(why, "%s.%s occurs twice", s->name, f->name);
        if (counts[i]++ == MODEL_LIST_MAX)
            return why_text(why, "%s.%s has more than %d elements", s->name, f->name,
                            MODEL_LIST_MAX);
        bool is_default = raw.value == 0 && !is_list(f) && f->type != MODEL_T_ONE;
        if (is_default || (f->type == MODEL_T_BOOL && raw.value > 1))
            return why_text(why, "%s.%s is not in canonical form", s->name, f->name);
    }
    return 0;
}

static void set_number(const struct model_field *f, void *value, uint64_t v, bool *newer) {
    void *p = at(value, f->offset);
    if (f->type == MODEL_T_BOOL) {
        *(bool *)p = v != 0;
    } else if (f->type == MODEL_T_UINT) {
        *(uint64_t *)p = v;
    } else {
        bool known = v <= UINT32_MAX;
        for (size_t i = 0; known && f->words->words[i].number != v; i++)
            known = f->words->words[i].word != NULL;
        *(uint32_t *)p = known ? (uint32_t)v : 0;
        if (!known && newer)
            *newer = true;
    }
}

/* Memory for the lists, now that their lengths are known. */
static int make_lists(const struct model_struct *s, const struct model_field *fields, size_t n,
                      const uint32_t counts[FIELDS_MAX], struct decoder *d, void *value) {
    for (size_t i = 0; i < n; i++) {
        if (!is_list(&fields[i]) || counts[i] == 0)
            continue;
        size_t size = fields[i].part ? fields[i].part->size : sizeof(struct str);
        if (d->arena->used > d->limit || size * counts[i] > d->limit - d->arena->used)
            return why_text(d->why, "%s.%s takes too much memory", s->name, fields[i].name);
        *(void **)at(value, fields[i].offset) = arena_array(d->arena, counts[i], size);
    }
    return 0;
}

static int set_bytes(const struct model_field *f, void *value, struct str bytes, struct decoder *d,
                     int depth) {
    void *p = at(value, f->offset);
    if (f->type == MODEL_T_ONE) {
        if (d->arena->used > d->limit || f->part->size > d->limit - d->arena->used)
            return why_text(d->why, "%s takes too much memory", f->name);
        *(void **)p = arena_alloc(d->arena, f->part->size);
        return decode(f->part, bytes, d, *(void **)p, depth + 1);
    }
    if (!is_list(f)) {
        *(struct str *)p = bytes;
        return 0;
    }
    uint32_t k = (*(uint32_t *)at(value, f->n_offset))++;
    if (f->type == MODEL_T_MANY)
        return decode(f->part, bytes, d, *(char **)p + k * f->part->size, depth + 1);
    (*(struct str **)p)[k] = bytes;
    return 0;
}

static int decode(const struct model_struct *s, struct str bytes, struct decoder *d, void *value,
                  int depth) {
    size_t n, i = 0;
    const struct model_field *fields = s->fields(&n);
    uint32_t counts[FIELDS_MAX] = {0};
    memset(value, 0, s->size);
    if (depth > MODEL_DEPTH)
        return why_text(d->why, "%s is nested too deeply", s->name);
    bool outside = d->guards;
    d->guards = outside || is_guard(s);
    if (survey(s, fields, n, bytes, counts, d) != 0 ||
        make_lists(s, fields, n, counts, d, value) != 0)
        return -1;
    struct reader r = reader_of(bytes);
    struct raw_field raw;
    while (r.p < r.end) {
        must(get_field(&r, &raw));
        while (i < n && fields[i].number < raw.number)
            i++;
        if (i == n)
            break;
        if (fields[i].number != raw.number)
            continue;
        if (!raw.is_bytes)
            set_number(&fields[i], value, raw.value, d->newer);
        else if (set_bytes(&fields[i], value, raw.bytes, d, depth) != 0)
            return -1;
    }
    d->guards = outside;
    return 0;
}

int model_decode_max(const struct model_struct *s, struct str bytes, size_t max, struct arena *a,
                     void *value, bool *newer, struct why *why) {
    if (newer)
        *newer = false;
    if (bytes.n > max)
        return why_text(why, "%zu bytes are more than the limit of %zu", bytes.n, max);
    struct decoder d = {a, a->used + 64 * bytes.n + (64 << 10), false, newer, why};
    return decode(s, bytes, &d, value, 1);
}

int model_decode(const struct model_struct *s, struct str bytes, struct arena *a, void *value,
                 bool *newer, struct why *why) {
    return model_decode_max(s, bytes, MODEL_OBJECT_MAX, a, value, newer, why);
}

/* ---- equality, JSON ---- */

bool model_equal(const struct model_struct *s, const void *a, const void *b) {
    struct out x = out_heap(MODEL_OBJECT_MAX), y = out_heap(MODEL_OBJECT_MAX);
    model_encode(s, a, &x);
    model_encode(s, b, &y);
    bool equal = !x.over && !y.over && str_eq(out_done(&x), out_done(&y));
    out_fini(&x);
    out_fini(&y);
    return equal;
}

static void json_base64(struct out *o, struct str s) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)s.p;
    out_char(o, '"');
    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        out_char(o, digits[v >> 18]);
        out_char(o, digits[v >> 12 & 63]);
        out_char(o, left > 1 ? digits[v >> 6 & 63] : '=');
        out_char(o, left > 2 ? digits[v & 63] : '=');
    }
    out_char(o, '"');
}

static void json_fields(const struct model_struct *s, const void *value, struct out *o, bool first);

static void json_part(const struct model_struct *s, const void *value, struct out *o) {
    out_char(o, '{');
    json_fields(s, value, o, true);
    out_char(o, '}');
}

static void json_value(const struct model_field *f, const void *value, struct out *o) {
    void *p = at(value, f->offset);
    switch ((enum model_type)f->type) {
    case MODEL_T_BOOL:
        out_lit(o, "true");
        return;
    case MODEL_T_UINT:
        out_u64(o, *(uint64_t *)p);
        return;
    case MODEL_T_WORD:
        out_json(o, str_of(model_word(f->words, *(uint32_t *)p)));
        return;
    case MODEL_T_TEXT:
        out_json(o, *(struct str *)p);
        return;
    case MODEL_T_DATA:
        json_base64(o, *(struct str *)p);
        return;
    case MODEL_T_HIDE:
        out_lit(o, "\"(hidden)\"");
        return;
    case MODEL_T_ONE:
        json_part(f->part, *(void **)p, o);
        return;
    case MODEL_T_TEXTS:
    case MODEL_T_MANY:
        break;
    }
    out_char(o, '[');
    for (uint32_t k = 0; k < count_of(f, value); k++) {
        if (k > 0)
            out_char(o, ',');
        if (f->type == MODEL_T_TEXTS)
            out_json(o, (*(struct str **)p)[k]);
        else
            json_part(f->part, *(char **)p + k * f->part->size, o);
    }
    out_char(o, ']');
}

static bool is_set(const struct model_field *f, const void *value) {
    if (is_number(f))
        return number_of(f, value) != 0;
    if (is_list(f))
        return count_of(f, value) > 0;
    if (f->type == MODEL_T_ONE)
        return *(void **)at(value, f->offset) != NULL;
    return ((struct str *)at(value, f->offset))->n > 0;
}

static void json_fields(const struct model_struct *s, const void *value, struct out *o,
                        bool first) {
    size_t n;
    const struct model_field *fields = s->fields(&n);
    for (size_t i = 0; i < n; i++) {
        /* the first word of an enum is a choice, not an absence: it is worth showing */
        if (!is_set(&fields[i], value) && fields[i].type != MODEL_T_WORD)
            continue;
        if (!first)
            out_char(o, ',');
        first = false;
        out_json(o, str_of(fields[i].name));
        out_char(o, ':');
        json_value(&fields[i], value, o);
    }
}

void model_json(const struct model_struct *s, const void *value, struct out *o) {
    json_part(s, value, o);
}

/* ---- objects ---- */

static struct object *make(uint32_t kind, struct str id, struct str bytes) {
    struct object *o = mem_alloc(sizeof(*o) + id.n + 1 + bytes.n);
    *o = (struct object){.holds = 1,
                         .kind = kind,
                         .id_hash = hash_content(id),
                         .id_n = (uint32_t)id.n,
                         .bytes_n = (uint32_t)bytes.n};
    memcpy(o->room, id.p, id.n);
    o->room[id.n] = 0;
    if (bytes.n > 0)
        memcpy(o->room + id.n + 1, bytes.p, bytes.n);
    o->hash = hash_mix(hash_mix(o->id_hash, kind), hash_content(bytes));
    return o;
}

struct object *object_try_new(enum model_kind kind, struct str id, const void *value) {
    const struct model_struct *s = model_struct_of(kind);
    must(s && id.n > 0);
    if (id.n > MODEL_ID_MAX)
        return NULL;
    struct out o = out_heap(MODEL_OBJECT_MAX);
    model_encode(s, value, &o);
    struct object *object = o.over ? NULL : make((uint32_t)kind, id, out_done(&o));
    out_fini(&o);
    return object;
}

struct object *object_new(enum model_kind kind, struct str id, const void *value) {
    struct object *object = object_try_new(kind, id, value);
    must(object);
    return object;
}

struct object *object_from_bytes(uint32_t kind, struct str id, struct str bytes, struct why *why) {
    if (id.n == 0 || id.n > MODEL_ID_MAX || memchr(id.p, 0, id.n)) {
        why_text(why, "an id of %zu bytes, or with a zero byte in it", id.n);
        return NULL;
    }
    if (bytes.n > MODEL_OBJECT_MAX) {
        why_text(why, "%zu bytes are more than the limit of %d", bytes.n, MODEL_OBJECT_MAX);
        return NULL;
    }
    const struct model_struct *s = model_struct_of((enum model_kind)kind);
    if (s) {
        struct arena a;
        arena_init(&a);
        void *value = arena_alloc(&a, s->size);
        int bad = model_decode(s, bytes, &a, value, NULL, why);
        arena_fini(&a);
        if (bad)
            return NULL;
    }
    return make(kind, id, bytes);
}

struct object *object_hold(struct object *o) {
    o->holds++;
    return o;
}

void object_drop(struct object *o) {
    if (o && --o->holds == 0)
        mem_free(o);
}

void *object_decode(const struct object *o, struct arena *a, bool *newer) {
    const struct model_struct *s = model_struct_of((enum model_kind)o->kind);
    if (!s)
        return NULL;
    void *value = arena_alloc(a, s->size);
    int bad = model_decode(s, object_bytes(o), a, value, newer, NULL);
    must(!bad); /* object_from_bytes has checked foreign bytes, object_new made the others */
    return value;
}

void object_json(const struct object *o, struct out *out) {
    out_lit(out, "{\"kind\":");
    out_json(out, str_of(model_kind_name((enum model_kind)o->kind)));
    out_lit(out, ",\"id\":");
    out_json(out, object_id(o));
    out_lit(out, ",\"hash\":\"");
    out_hex(out, o->hash, 16);
    out_char(out, '"');
    struct arena a;
    arena_init(&a);
    void *value = object_decode(o, &a, NULL);
    if (value)
        json_fields(model_struct_of((enum model_kind)o->kind), value, out, false);
    arena_fini(&a);
    out_char(out, '}');
}

struct str model_id(struct arena *a, enum model_kind kind, struct str ns, struct str name,
                    struct str part) {
    const struct str parts[] = {str_of(model_kind_name(kind)), ns.n > 0 ? ns : STR("-"), name,
                                part};
    size_t most = 0, n = part.n > 0 ? 4 : 3;
    for (size_t i = 0; i < n; i++)
        most += parts[i].n + 1;
    struct out o = out_fixed(arena_alloc(a, most), most);
    for (size_t i = 0; i < n; i++) {
        out_str(&o, parts[i]);
        out_char(&o, i + 1 < n ? '/' : 0);
    }
    return str_mk(o.p, o.n - 1);
}

/* ---- digest ---- */

void digest_add(struct digest *d, const struct object *o) {
    d->bucket[object_bucket(o)] += o->hash;
}
void digest_sub(struct digest *d, const struct object *o) {
    d->bucket[object_bucket(o)] -= o->hash;
}

uint64_t digest_total(const struct digest *d) {
    uint64_t total = 0;
    for (size_t i = 0; i < MODEL_BUCKETS; i++)
        total = hash_mix(total, d->bucket[i]);
    return total;
}

/* Endpoints that a policy's URL says (compile/outside.h) are written; others come and go with pods.
 */
bool object_is_written(const struct object *o) {
    switch (o->kind) {
    case MODEL_KIND_gateway:
    case MODEL_KIND_listener:
    case MODEL_KIND_host:
    case MODEL_KIND_route:
    case MODEL_KIND_backend:
    case MODEL_KIND_traffic:
    case MODEL_KIND_auth:
    case MODEL_KIND_consumer:
        return true;
    case MODEL_KIND_endpoints:
        return memchr(object_id(o).p, ':', o->id_n) != NULL;
    default:
        return false;
    }
}
