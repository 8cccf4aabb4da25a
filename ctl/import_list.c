/* SPDX-License-Identifier: Apache-2.0
 *
 * import_list: what is not as it was. Lines that differ in their object alone are one line, except
 * for what is closed: each route of those is named.
 */
#include "ctl/import.h"
#include "ctl/table.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <stdlib.h>

enum { VALUE_MAX = 60 };

static const char *const kind_words[IMPORT_KINDS] = {"closed", "lost", "differs", "note"};

/* ---- saying ---- */

static struct str formatted(struct import *i, const char *fmt, va_list args) {
    char room[1024];
    int n = vsnprintf(room, sizeof(room), fmt, args);
    return arena_str(&i->arena, str_mk(room, n < 0                      ? 0
                                             : (size_t)n < sizeof(room) ? (size_t)n
                                                                        : sizeof(room) - 1));
}

static void add_object(struct import *i, struct import_line *l, struct str object) {
    for (size_t o = 0; o < l->n_objects; o++)
        if (str_eq(l->objects[o], object))
            return;
    if ((l->n_objects & (l->n_objects - 1)) == 0) /* 0, 1, 2, 4 ... */
        l->objects =
            mem_realloc(l->objects, (l->n_objects ? l->n_objects * 2 : 1) * sizeof(*l->objects));
    l->objects[l->n_objects++] = arena_str(&i->arena, object);
}

static struct import_line *new_line(struct import *i) {
    if ((i->n_lines & (i->n_lines - 1)) == 0)
        i->lines = mem_realloc(i->lines, (i->n_lines ? i->n_lines * 2 : 1) * sizeof(*i->lines));
    i->lines[i->n_lines] = (struct import_line){0};
    return &i->lines[i->n_lines++];
}

static void say(struct import *i, enum import_kind kind, struct str object, struct str field,
                struct str value, struct str instead) {
    struct str key = arena_fmt(&i->arena, "%d\n%.*s\n%.*s\n%.*s\n%.*s", (int)kind, STR_FMT(field),
                               STR_FMT(value), STR_FMT(instead),
                               STR_FMT(kind == IMPORT_CLOSED ? object : STR_NONE));
    size_t place = (size_t)(uintptr_t)map_get(&i->known_lines, key);
    if (place > 0) {
        add_object(i, &i->lines[place - 1], object);
        return;
    }
    struct import_line *l = new_line(i);
    l->kind = kind;
    l->field = arena_str(&i->arena, field);
    l->value = arena_str(&i->arena, value);
    l->instead = instead;
    add_object(i, l, object);
    map_put(&i->known_lines, key, (void *)(uintptr_t)i->n_lines);
}

void import_say(struct import *i, enum import_kind kind, struct str object, struct str field,
                struct str value, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    struct str instead = formatted(i, fmt, args);
    va_end(args);
    say(i, kind, object, field, value, instead);
}

void import_close(struct import *i, struct import_route *r, struct str object, struct str field,
                  struct str value, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    struct str instead = formatted(i, fmt, args);
    va_end(args);
    bool own = str_eq(object, r->object);
    struct str what = own ? field
                          : arena_fmt(&i->arena, "%.*s%s%.*s", STR_FMT(object),
                                      field.n > 0 ? ": " : "", STR_FMT(field));
    if (r->closed.n == 0)
        r->closed = what;
    r->restricted = true;
    say(i, IMPORT_CLOSED, r->object, what, value, instead);
}

/* ---- what is in a line ---- */

bool import_fits(enum kube_rule rule, struct str s) {
    struct why why = {0};
    return s.n > 0 && kube_rule_check(rule, s, &why) == 0;
}

struct str import_object(struct import *i, const struct kong_entity *e) {
    static const enum kong_type holders[] = {KONG_ROUTE, KONG_SERVICE, KONG_CONSUMER, KONG_GROUP,
                                             KONG_UPSTREAM};
    const char *type = kong_type_name(e->type);
    if (e->type >= KONG_API_KEY && e->of[KONG_CONSUMER])
        return arena_fmt(&i->arena, "%s %zu of consumer %s", type, e->place + 1,
                         e->of[KONG_CONSUMER]->name);
    for (size_t h = 0; e->type == KONG_PLUGIN && h < ARRAY_LEN(holders); h++) {
        const struct kong_entity *of = e->of[holders[h]];
        if (of && of->name[0] != 0)
            return arena_fmt(&i->arena, "%s %s of %s %s", type, e->name, kong_type_name(holders[h]),
                             of->name);
    }
    if (e->type == KONG_PLUGIN)
        return arena_fmt(&i->arena, "%s %s", type, e->name);
    if (e->name[0] != 0)
        return arena_fmt(&i->arena, "%s %s", type, e->name);
    const struct kong_entity *service = e->of[KONG_SERVICE];
    if (e->type == KONG_ROUTE && service)
        return arena_fmt(&i->arena, "%s %zu of service %s", type, e->place + 1, service->name);
    return arena_fmt(&i->arena, "%s %zu", type, e->place + 1);
}

static bool may_be_secret(const char *field) {
    static const char *const words[] = {"password",   "secret", "token", "key",
                                        "credential", "cert",   "auth"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasestr(field, words[i]))
            return true;
    return false;
}

struct str import_value(struct import *i, const char *field, const cJSON *value) {
    if (!value)
        return STR("");
    if (may_be_secret(field) && !cJSON_IsBool(value))
        return STR("(not shown)");
    if (cJSON_IsObject(value))
        return STR("{...}");
    char *text =
        cJSON_IsString(value) ? str_dup(str_of(value->valuestring)) : cJSON_PrintUnformatted(value);
    must(text != NULL);
    struct str s = str_of(text);
    s = s.n > VALUE_MAX ? arena_fmt(&i->arena, "%.*s...", VALUE_MAX - 3, text)
                        : arena_str(&i->arena, s);
    cJSON_free(text);
    return s;
}

static bool is_empty(const cJSON *json) {
    return cJSON_IsNull(json) || ((cJSON_IsArray(json) || cJSON_IsObject(json)) && !json->child);
}

static bool is_one_of(const char *name, const char *const *names) {
    for (; *names; names++)
        if (str_eq(str_of(name), str_of(*names)))
            return true;
    return false;
}

void import_unknown(struct import *i, const struct kong_entity *e, const cJSON *json,
                    const char *prefix, const char *const *known) {
    static const char *const always[] = {"id",   "created_at", "updated_at", "tags",
                                         "name", "enabled",    "ws_id",      NULL};
    const cJSON *f;
    cJSON_ArrayForEach(f, json) {
        if (is_empty(f) || is_one_of(f->string, known) ||
            (prefix[0] == 0 && is_one_of(f->string, always)))
            continue;
        import_say(i, IMPORT_LOST, import_object(i, e),
                   arena_fmt(&i->arena, "%s%s", prefix, f->string), import_value(i, f->string, f),
                   "has no counterpart; see whether you need it");
    }
}

/* ---- printing ---- */

static struct str objects_of(struct import *i, const struct import_line *l) {
    if (l->n_objects == 1)
        return l->objects[0];
    return arena_fmt(&i->arena, "%.*s and %zu more", STR_FMT(l->objects[0]), l->n_objects - 1);
}

static void as_table(struct import *i, struct ctl *to) {
    static const char *const heads[] = {"WHAT", "OBJECT", "FIELD", "VALUE", "INSTEAD"};
    static const enum tone tones[] = {TONE_BAD, TONE_WARN, TONE_WARN, TONE_DIM};
    struct table t;
    table_init(&t, heads, ARRAY_LEN(heads));
    for (unsigned kind = 0; kind < IMPORT_KINDS; kind++)
        for (size_t n = 0; n < i->n_lines; n++) {
            const struct import_line *l = &i->lines[n];
            if (l->kind != kind)
                continue;
            table_cell(&t, tones[kind], "%s", kind_words[kind]);
            table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(objects_of(i, l)));
            table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(l->field));
            table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(l->value));
            table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(l->instead));
        }
    table_print(&t, to);
}

static void as_document(struct import *i, struct ctl *to) {
    cJSON *doc = cJSON_CreateObject(), *list = doc_list(doc, "list");
    for (unsigned kind = 0; kind < IMPORT_KINDS; kind++)
        for (size_t n = 0; n < i->n_lines; n++) {
            const struct import_line *l = &i->lines[n];
            if (l->kind != kind)
                continue;
            cJSON *j = doc_item(list), *objects;
            cJSON_AddStringToObject(j, "what", kind_words[kind]);
            objects = doc_list(j, "objects");
            for (size_t o = 0; o < l->n_objects; o++)
                import_text_item(objects, l->objects[o]);
            doc_text(j, "field", l->field);
            doc_text(j, "value", l->value);
            doc_text(j, "instead", l->instead);
        }
    doc_print(to, doc);
}

void import_print_list(struct import *i) {
    struct ctl to = *i->c;
    to.out = i->c->err;
    if (to.format == CTL_TABLE)
        as_table(i, &to);
    else
        as_document(i, &to);
}

bool import_is_clean(const struct import *i) {
    for (size_t n = 0; n < i->n_lines; n++)
        if (i->lines[n].kind != IMPORT_NOTE)
            return false;
    return true;
}

void import_list_fini(struct import *i) {
    for (size_t n = 0; n < i->n_lines; n++)
        mem_free(i->lines[n].objects);
    mem_free(i->lines);
    map_fini(&i->known_lines);
}
