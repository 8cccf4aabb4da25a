/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/decode.h"

#include "controller/kube/near.h"
#include "controller/kube/rule.h"
#include "lib/base64.h"
#include "lib/json.h"
#include "lib/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int decode_level(struct decode *d, const struct kube_part *part, const char *prefix,
                        const cJSON *json, void *value, uint64_t *seen);

void decode_init(struct decode *d, struct arena *arena, struct why *why, bool strict) {
    d->arena = arena;
    d->why = why;
    d->strict = strict;
    d->at = out_fixed(d->path, sizeof(d->path) - 1);
}

static void *at(const void *value, size_t offset) { return (char *)(uintptr_t)value + offset; }

/* ---- the path, and refusing ---- */

static void enter(struct decode *d, struct str name) {
    if (d->at.n > 0)
        out_char(&d->at, '.');
    out_str(&d->at, str_mk(name.p, size_min(name.n, 64)));
}

static void leave(struct decode *d, size_t n) {
    d->at.n = n;
    d->at.over = false;
}

int decode_refuse(struct decode *d, const char *fmt, ...) {
    char text[sizeof(d->why->text)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    d->path[d->at.n] = 0;
    why_field(d->why, "%s", d->path);
    return why_text(d->why, "%s", text);
}

const char *decode_found(const cJSON *json, struct shown *room) {
    if (cJSON_IsString(json))
        return why_show(str_of(json->valuestring), room);
    if (cJSON_IsNumber(json)) {
        snprintf(room->p, sizeof(room->p), "%.15g", json->valuedouble);
        return room->p;
    }
    if (cJSON_IsBool(json))
        return cJSON_IsTrue(json) ? "true" : "false";
    return cJSON_IsArray(json) ? "a list" : cJSON_IsObject(json) ? "an object" : "null";
}

static int wrong_type(struct decode *d, const char *wanted, const cJSON *json) {
    struct shown room;
    const char *hint = "";
    if (cJSON_IsString(json) == 0 && strcmp(wanted, "a string") == 0 &&
        (cJSON_IsNumber(json) || cJSON_IsBool(json)))
        hint = "; put it in quotes";
    return decode_refuse(d, "must be %s, not %s%s", wanted, decode_found(json, &room), hint);
}

/* ---- single values ---- */

static int get_text(struct decode *d, const struct kube_field *f, const cJSON *json,
                    struct str *value) {
    struct why why;
    why_clear(&why);
    if (!cJSON_IsString(json))
        return wrong_type(d, "a string", json);
    struct str s = str_of(json->valuestring);
    if (kube_rule_check((enum kube_rule)f->rule, s, &why) != 0)
        return decode_refuse(d, "%s", why.text);
    *value = arena_str(d->arena, s);
    return 0;
}

static bool is_whole(const cJSON *json) {
    return cJSON_IsNumber(json) && isfinite(json->valuedouble) &&
           trunc(json->valuedouble) == json->valuedouble && fabs(json->valuedouble) <= 0x1p53;
}

static int get_int(struct decode *d, int64_t low, int64_t high, const cJSON *json, int64_t *value) {
    struct shown room;
    if (!cJSON_IsNumber(json))
        return wrong_type(d, "a number", json);
    if (!is_whole(json) || json->valuedouble < (double)low || json->valuedouble > (double)high)
        return decode_refuse(d, "%s is not allowed; write a whole number from %lld to %lld",
                             decode_found(json, &room), (long long)low, (long long)high);
    *value = (int64_t)json->valuedouble;
    return 0;
}

static int get_bool(struct decode *d, const cJSON *json, bool *value) {
    if (!cJSON_IsBool(json))
        return wrong_type(d, "true or false", json);
    *value = cJSON_IsTrue(json);
    return 0;
}

static int get_span(struct decode *d, const cJSON *json, int64_t *value) {
    struct why why;
    why_clear(&why);
    if (!cJSON_IsString(json))
        return wrong_type(d, "a duration as 5s, 250ms or 1h30m", json);
    if (unit_duration(str_of(json->valuestring), value, &why) != 0)
        return decode_refuse(d, "%s", why.text);
    return 0;
}

static int get_size(struct decode *d, const cJSON *json, int64_t *value) {
    struct why why;
    why_clear(&why);
    if (cJSON_IsNumber(json))
        return get_int(d, 0, (int64_t)1 << 53, json, value);
    if (!cJSON_IsString(json))
        return wrong_type(d, "a size as 64k or 1Mi", json);
    if (unit_quantity(str_of(json->valuestring), value, &why) != 0)
        return decode_refuse(d, "%s", why.text);
    return 0;
}

static int get_pick(struct decode *d, const struct kube_field *f, const cJSON *json,
                    struct str *value) {
    struct shown room;
    char list[300];
    struct out o = out_fixed(list, sizeof(list) - 1);
    if (!cJSON_IsString(json))
        return wrong_type(d, "a string", json);
    struct str word, next, written = str_of(json->valuestring);
    for (size_t i = 0; (word = kube_pick(f->picks, i)).p; i++) {
        if (str_eq(word, written)) {
            *value = word; /* of the table, which outlives every resource */
            return 0;
        }
        next = kube_pick(f->picks, i + 1);
        out_fmt(&o, "%s%.*s", o.n == 0 ? "" : next.p ? ", " : " or ", STR_FMT(word));
    }
    list[o.n] = 0;
    return decode_refuse(d, "%s is unknown; write %s", decode_found(json, &room), list);
}

static int get_word(struct decode *d, const struct kube_field *f, const cJSON *json,
                    uint32_t *value) {
    struct shown room;
    char list[300];
    struct out o = out_fixed(list, sizeof(list) - 1);
    if (!cJSON_IsString(json))
        return wrong_type(d, "a string", json);
    for (const struct model_word *w = f->words->words; w->word; w++) {
        if (f->type == KUBE_T_CHOICE && w->number == 0)
            continue;
        if (strcmp(w->word, json->valuestring) == 0) {
            *value = w->number;
            return 0;
        }
        out_fmt(&o, "%s%s", o.n == 0 ? "" : w[1].word ? ", " : " or ", w->word);
    }
    list[o.n] = 0;
    return decode_refuse(d, "%s is unknown; write %s", decode_found(json, &room), list);
}

static int get_port(struct decode *d, const cJSON *json, struct kube_port *port) {
    static const struct kube_field name_field = {.rule = KUBE_ANY};
    int64_t number = 0;
    if (cJSON_IsString(json))
        return get_text(d, &name_field, json, &port->name);
    if (cJSON_IsNumber(json)) {
        if (get_int(d, 1, 65535, json, &number) != 0)
            return -1;
        port->number = (uint16_t)number;
        return 0;
    }
    if (!cJSON_IsObject(json))
        return wrong_type(d, "a number or a name", json);
    const cJSON *by_number = json_get(json, "number"), *by_name = json_get(json, "name");
    if ((by_number != NULL) == (by_name != NULL))
        return decode_refuse(d, "must have either number or name");
    size_t mark = d->at.n;
    enter(d, by_number ? STR("number") : STR("name"));
    int rc =
        cJSON_IsObject(by_number ? by_number : by_name)
            ? wrong_type(d, by_number ? "a number" : "a string", by_number ? by_number : by_name)
            : get_port(d, by_number ? by_number : by_name, port);
    leave(d, mark);
    return rc;
}

/* ---- parts and lists ---- */

static int missing(struct decode *d, const char *path) {
    size_t mark = d->at.n;
    enter(d, str_of(path));
    int rc = decode_refuse(d, "is missing");
    leave(d, mark);
    return rc;
}

static int check_required(struct decode *d, const struct kube_field *fields, uint64_t seen) {
    for (size_t i = 0; fields[i].type != KUBE_T_END; i++)
        if (fields[i].type == KUBE_T_REQUIRED && !(seen & (UINT64_C(1) << (i + 1))))
            return missing(d, fields[i + 1].path);
    return 0;
}

static void set_defaults(const struct kube_field *fields, void *value) {
    for (const struct kube_field *f = fields; f->type != KUBE_T_END; f++) {
        void *p = at(value, f->offset);
        if (f->type == KUBE_T_INT || f->type == KUBE_T_SPAN || f->type == KUBE_T_SIZE ||
            f->type == KUBE_T_MAYBE)
            *(int64_t *)p = -1;
        else if (f->type == KUBE_T_BOOL)
            *(bool *)p = f->low != 0;
        else if (f->type == KUBE_T_WORD)
            *(uint32_t *)p = (uint32_t)f->low; /* every enum has the size of an int */
    }
}

static int get_part(struct decode *d, const struct kube_part *part, const cJSON *json,
                    void *value) {
    uint64_t seen = 0;
    if (!cJSON_IsObject(json))
        return wrong_type(d, "an object", json);
    set_defaults(part->fields(), value);
    if (decode_level(d, part, "", json, value, &seen) != 0)
        return -1;
    return check_required(d, part->fields(), seen);
}

static int get_one(struct decode *d, const struct kube_field *f, const cJSON *json, void *p) {
    void *part = arena_zalloc(d->arena, f->part->size);
    *(void **)p = part;
    return get_part(d, f->part, json, part);
}

static int get_element(struct decode *d, const struct kube_field *f, const cJSON *json, void *p) {
    if (f->type == KUBE_T_TEXTS)
        return get_text(d, f, json, p);
    if (f->type == KUBE_T_PICKS)
        return get_pick(d, f, json, p);
    if (f->type == KUBE_T_INTS)
        return get_int(d, f->low, f->high, json, p);
    return get_part(d, f->part, json, p);
}

static size_t count_members(const cJSON *json) {
    size_t n = 0;
    const cJSON *child;
    cJSON_ArrayForEach(child, json) n++;
    return n;
}

/* Whether elements a and b of a set are one; in a map their names, which come first. */
static bool same(const struct kube_field *f, const char *elements, size_t a, size_t b) {
    if (f->type == KUBE_T_INTS)
        return ((const int64_t *)elements)[a] == ((const int64_t *)elements)[b];
    size_t size = f->type == KUBE_T_MANY ? f->part->size : sizeof(struct str);
    return str_eq(*(const struct str *)at(elements, a * size),
                  *(const struct str *)at(elements, b * size));
}

/* No two elements are one; the lists are short. */
static int check_once(struct decode *d, const struct kube_field *f, const char *elements, size_t n,
                      const cJSON *json) {
    struct shown room;
    for (size_t i = 1; i < n; i++)
        for (size_t k = 0; k < i; k++) {
            const cJSON *one = cJSON_GetArrayItem(json, (int)i);
            if (!same(f, elements, i, k))
                continue;
            out_fmt(&d->at, f->type == KUBE_T_MANY ? "[%zu].name" : "[%zu]", i);
            return decode_refuse(
                d, "%s is there twice; %s one",
                decode_found(f->type == KUBE_T_MANY ? json_get(one, "name") : one, &room),
                f->type == KUBE_T_MANY ? "rename" : "remove");
        }
    return 0;
}

static int get_list(struct decode *d, const struct kube_field *f, const cJSON *json, void *value) {
    size_t size = f->type == KUBE_T_MANY   ? f->part->size
                  : f->type == KUBE_T_INTS ? sizeof(int64_t)
                                           : sizeof(struct str);
    if (!cJSON_IsArray(json))
        return wrong_type(d, "a list", json);
    size_t n = count_members(json);
    if (n > f->most)
        return decode_refuse(d, "has %zu elements; at most %u are allowed", n, f->most);
    if (n == 0)
        return 0;
    char *elements = arena_array(d->arena, n, size);
    *(void **)at(value, f->offset) = elements;
    *(uint32_t *)at(value, f->n_offset) = (uint32_t)n;
    size_t i = 0, mark = d->at.n;
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        out_fmt(&d->at, "[%zu]", i);
        if (get_element(d, f, child, elements + i * size) != 0)
            return -1;
        leave(d, mark);
        i++;
    }
    return kube_field_is_set(f) || kube_field_is_map(f) ? check_once(d, f, elements, n, json) : 0;
}

static int compare_pairs(const void *a, const void *b) {
    return str_cmp(((const struct kube_pair *)a)->key, ((const struct kube_pair *)b)->key);
}

/* Bytes that no sentence may show, whatever is wrong with them. */
static int get_secret(struct decode *d, const struct kube_field *f, const cJSON *json,
                      struct str *value) {
    if (!cJSON_IsString(json))
        return decode_refuse(d, "must be a string; put it in quotes");
    struct str s = str_of(json->valuestring);
    if (s.n > KUBE_SECRET_MAX)
        return decode_refuse(d, "a value of %zu bytes is too long; at most %d are allowed", s.n,
                             KUBE_SECRET_MAX);
    if (!f->low) {
        *value = arena_str(d->arena, s);
        return 0;
    }
    char *room = arena_alloc(d->arena, BASE64_ROOM(s.n));
    value->p = room;
    return base64_decode(s, room, &value->n)
               ? 0
               : decode_refuse(d, "is not base64; write it so, or in clear under stringData");
}

static int get_pair(struct decode *d, const struct kube_field *f, const cJSON *json,
                    struct kube_pair *pair) {
    size_t mark = d->at.n;
    struct str key = str_of(json->string);
    out_char(&d->at, '[');
    out_str(&d->at, str_mk(key.p, size_min(key.n, 64)));
    out_char(&d->at, ']');
    if (key.n > 1024)
        return decode_refuse(d, "a key of %zu bytes is too long; at most 1024 are allowed", key.n);
    pair->key = arena_str(d->arena, key);
    if ((f->type == KUBE_T_SECRETS ? get_secret : get_text)(d, f, json, &pair->value) != 0)
        return -1;
    leave(d, mark);
    return 0;
}

/* What `kubectl apply` keeps in an object: all of it once more, which nobody here reads. */
static bool is_copy(const cJSON *pair) {
    return strcmp(pair->string, "kubectl.kubernetes.io/last-applied-configuration") == 0;
}

static int get_pairs(struct decode *d, const struct kube_field *f, const cJSON *json,
                     struct kube_pair **pairs, uint32_t *n) {
    if (!cJSON_IsObject(json) && f->type == KUBE_T_SECRETS)
        return decode_refuse(d, "must be an object");
    if (!cJSON_IsObject(json))
        return wrong_type(d, "an object", json);
    size_t count = count_members(json);
    if (count > KUBE_LIST_MAX)
        return decode_refuse(d, "has %zu entries; at most %d are allowed", count, KUBE_LIST_MAX);
    *pairs = arena_array(d->arena, count, sizeof(**pairs));
    *n = 0;
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        if (cJSON_IsNull(child) || is_copy(child))
            continue;
        must(*n < count);
        if (get_pair(d, f, child, &(*pairs)[(*n)++]) != 0)
            return -1;
    }
    if (*n > 1)
        qsort(*pairs, *n, sizeof(**pairs), compare_pairs);
    for (uint32_t i = 1; i < *n; i++) {
        struct shown room;
        if (str_eq((*pairs)[i - 1].key, (*pairs)[i].key))
            return decode_refuse(d, "%s is there twice; remove one",
                                 why_show((*pairs)[i].key, &room));
    }
    return 0;
}

int decode_pairs(struct decode *d, const char *path, const cJSON *json, struct kube_pair **pairs,
                 uint32_t *n) {
    static const struct kube_field any = {.type = KUBE_T_PAIRS, .rule = KUBE_ANY};
    if (!json)
        return 0;
    size_t mark = d->at.n;
    enter(d, str_of(path));
    int rc = get_pairs(d, &any, json, pairs, n);
    if (rc == 0)
        leave(d, mark);
    return rc;
}

/* ---- fields ---- */

static int get_field(struct decode *d, const struct kube_field *f, const cJSON *json, void *value) {
    void *p = at(value, f->offset);
    bool truth = false;
    switch ((enum kube_type)f->type) {
    case KUBE_T_END:
    case KUBE_T_REQUIRED:
    case KUBE_T_FILLED:
    case KUBE_T_LATER:
    case KUBE_T_RULE:
    case KUBE_T_COLUMN:
        return 0;
    case KUBE_T_TEXT:
        return get_text(d, f, json, p);
    case KUBE_T_PICK:
        return get_pick(d, f, json, p);
    case KUBE_T_BOOL:
        return get_bool(d, json, p);
    case KUBE_T_INT:
        return get_int(d, f->low, f->high, json, p);
    case KUBE_T_SPAN:
        return get_span(d, json, p);
    case KUBE_T_SIZE:
        return get_size(d, json, p);
    case KUBE_T_MAYBE:
        if (get_bool(d, json, &truth) != 0)
            return -1;
        *(int64_t *)p = truth;
        return 0;
    case KUBE_T_WORD:
    case KUBE_T_CHOICE:
        return get_word(d, f, json, p);
    case KUBE_T_TEXTS:
    case KUBE_T_PICKS:
    case KUBE_T_INTS:
    case KUBE_T_MANY:
        return get_list(d, f, json, value);
    case KUBE_T_ONE:
        return get_one(d, f, json, p);
    case KUBE_T_PAIRS:
    case KUBE_T_SECRETS:
        return get_pairs(d, f, json, p, at(value, f->n_offset));
    case KUBE_T_PORT:
        return get_port(d, json, p);
    }
    return 0;
}

/* A field with its marks. */
static int get_marked(struct decode *d, const struct kube_field *fields, size_t i,
                      const cJSON *json, void *value) {
    const struct kube_field *f = &fields[i];
    enum kube_type mark = i > 0 ? (enum kube_type)fields[i - 1].type : KUBE_T_END;
    if (mark == KUBE_T_LATER)
        return decode_refuse(d, "%s is not supported yet; remove it", fields[i - 1].what);
    if ((mark == KUBE_T_REQUIRED || mark == KUBE_T_FILLED) && cJSON_IsArray(json) && !json->child)
        return decode_refuse(d, "is empty; write at least one");
    return get_field(d, f, json, value);
}

/* The field's name at this level, or n == 0: "spec.rules" is "rules" below "spec.". */
static struct str name_at(const struct kube_field *f, struct str prefix) {
    struct str path = str_of(f->path);
    if (!f->path || !str_starts(path, prefix))
        return STR_NONE;
    path = str_skip(path, prefix.n);
    return str_find(path, '.', 0) == path.n ? path : STR_NONE;
}

static bool is_envelope(struct str key) {
    return str_eq(key, STR("apiVersion")) || str_eq(key, STR("kind")) ||
           str_eq(key, STR("metadata")) || str_eq(key, STR("status"));
}

static int unknown_field(struct decode *d, const struct kube_field *fields, struct str prefix,
                         bool top, struct str key) {
    struct near near = near_to(key);
    for (const struct kube_field *f = fields; f->type != KUBE_T_END; f++)
        if (name_at(f, prefix).n > 0)
            near_try(&near, name_at(f, prefix));
    if (top) {
        near_try(&near, STR("spec"));
        near_try(&near, STR("metadata"));
    }
    if (near.best.n > 0)
        return decode_refuse(d, "unknown field; did you mean \"%.*s\"?", STR_FMT(near.best));
    return decode_refuse(d, "unknown field; remove it");
}

/* One member of an object of which fields is the table. */
static int get_member(struct decode *d, const struct kube_field *fields, struct str prefix,
                      bool top, const cJSON *json, void *value, uint64_t *seen) {
    struct str key = str_of(json->string);
    size_t i = 0;
    while (fields[i].type != KUBE_T_END && !str_eq(name_at(&fields[i], prefix), key))
        i++;
    if (fields[i].type == KUBE_T_END || key.n == 0)
        return d->strict ? unknown_field(d, fields, prefix, top, key) : 0;
    if (*seen & (UINT64_C(1) << i))
        return decode_refuse(d, "is there twice; remove one");
    if (cJSON_IsNull(json))
        return 0;
    *seen |= UINT64_C(1) << i;
    return get_marked(d, fields, i, json, value);
}

/* Members of one object. At the top of a kind "spec" is a level of its own, not a part. */
static int decode_level(struct decode *d, const struct kube_part *part, const char *prefix,
                        const cJSON *json, void *value, uint64_t *seen) {
    const struct kube_field *fields = part->fields();
    size_t mark = d->at.n;
    const cJSON *child;
    cJSON_ArrayForEach(child, json) {
        enter(d, str_of(child->string));
        if (get_member(d, fields, str_of(prefix), false, child, value, seen) != 0)
            return -1;
        leave(d, mark);
    }
    return 0;
}

static int decode_spec(struct decode *d, const struct kube_part *part, const cJSON *json,
                       void *value, uint64_t *seen) {
    if (cJSON_IsNull(json))
        return 0;
    if (!cJSON_IsObject(json))
        return wrong_type(d, "an object", json);
    return decode_level(d, part, "spec.", json, value, seen);
}

int decode_kind(struct decode *d, enum kube_kind kind, const cJSON *json, void *value) {
    const struct kube_part *part = kube_part_of(kind);
    uint64_t seen = 0;
    bool has_spec = false;
    const cJSON *child;
    set_defaults(part->fields(), value);
    cJSON_ArrayForEach(child, json) {
        struct str key = str_of(child->string);
        if (is_envelope(key))
            continue;
        enter(d, key);
        bool spec = str_eq(key, STR("spec"));
        if (spec && has_spec)
            return decode_refuse(d, "is there twice; remove one");
        has_spec |= spec;
        if ((spec ? decode_spec(d, part, child, value, &seen)
                  : get_member(d, part->fields(), STR(""), true, child, value, &seen)) != 0)
            return -1;
        leave(d, 0);
    }
    return check_required(d, part->fields(), seen);
}
