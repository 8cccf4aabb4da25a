/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/moves.h"

#include "ctl/table.h"
#include "ctl/wire.h"
#include "ctl/words.h"
#include "lib/mem.h"

#include <string.h>

enum {
    VALUE_MAX = 1 << 20,
    SHOWN_MAX = 160, /* bytes of a value in front of people */
};

static const char *const changes[] = {"added", "changed", "removed"};

void moves_init(struct moves *m) {
    *m = (struct moves){0};
    arena_init(&m->arena);
}

void moves_fini(struct moves *m) {
    for (size_t i = 0; i < m->n; i++)
        mem_free(m->v[i].fields);
    mem_free(m->v);
    arena_fini(&m->arena);
}

/* ---- one field ---- */

/* Both are copied. */
static void add_field(struct moves *m, struct move *v, struct str name, struct str was,
                      struct str now) {
    if (str_eq(was, now))
        return;
    if (v->n == v->room) {
        v->room = v->room ? v->room * 2 : 4;
        v->fields = mem_realloc(v->fields, v->room * sizeof(*v->fields));
    }
    v->fields[v->n++] = (struct move_field){.name = arena_str(&m->arena, name),
                                            .was = arena_str(&m->arena, was),
                                            .now = arena_str(&m->arena, now)};
}

/* ---- any object ---- */

static const void *at(const void *value, size_t offset) { return (const char *)value + offset; }

/* Elements of a list, or a value alone, as a string of JSON; "" for what is not there. */
static struct str json_of(struct arena *a, const struct model_field *f, const void *value) {
    cJSON *one = cJSON_CreateObject();
    struct str text = STR("");
    if (f->type == MODEL_T_MANY) {
        uint32_t n = *(const uint32_t *)at(value, f->n_offset);
        const char *parts = *(const char *const *)at(value, f->offset);
        cJSON *list = doc_list(one, "v");
        for (uint32_t i = 0; i < n; i++)
            cJSON_AddItemToArray(list, doc_of_part(f->part, parts + i * f->part->size));
        if (n == 0)
            cJSON_DeleteItemFromObject(one, "v");
    } else if (f->type == MODEL_T_TEXTS) {
        uint32_t n = *(const uint32_t *)at(value, f->n_offset);
        const struct str *texts = *(const struct str *const *)at(value, f->offset);
        struct out o = out_heap(VALUE_MAX);
        for (uint32_t i = 0; i < n; i++)
            out_fmt(&o, "%s%.*s", i > 0 ? ", " : "", STR_FMT(texts[i]));
        text = arena_str(a, out_done(&o));
        out_fini(&o);
    }
    const cJSON *v = doc_each(one, "v");
    if (v) {
        char *printed = cJSON_PrintUnformatted(v);
        text = arena_str(a, str_of(printed));
        cJSON_free(printed);
    }
    cJSON_Delete(one);
    return text;
}

static struct str bytes_of(struct arena *a, struct str s) {
    struct out o = out_heap(VALUE_MAX);
    for (size_t i = 0; i < s.n && i < 24; i++)
        out_hex(&o, (unsigned char)s.p[i], 2);
    if (s.n > 24)
        out_fmt(&o, "... (%zu bytes)", s.n);
    struct str text = arena_str(a, out_done(&o));
    out_fini(&o);
    return text;
}

/* Times as one says them. */
static struct str number_of(struct arena *a, const char *name, uint64_t v) {
    if (v == 0)
        return STR("");
    if (str_ends(str_of(name), STR("_ms")))
        return v == MODEL_NEVER ? STR("no limit")
               : v % 1000 == 0  ? arena_fmt(a, "%llus", (unsigned long long)v / 1000)
                                : arena_fmt(a, "%llums", (unsigned long long)v);
    return arena_fmt(a, "%llu", (unsigned long long)v);
}

static struct str text_of(struct arena *a, const struct model_field *f, const void *value) {
    const void *p = at(value, f->offset);
    switch (f->type) {
    case MODEL_T_BOOL:
        return *(const bool *)p ? STR("yes") : STR("no");
    case MODEL_T_UINT:
        return number_of(a, f->name, *(const uint64_t *)p);
    case MODEL_T_TEXT:
        return *(const struct str *)p;
    case MODEL_T_DATA:
        return bytes_of(a, *(const struct str *)p);
    case MODEL_T_WORD:
        return str_of(model_word(f->words, *(const uint32_t *)p));
    case MODEL_T_TEXTS:
    case MODEL_T_MANY:
        return json_of(a, f, value);
    default:
        return STR(""); /* what is hidden is not there */
    }
}

struct place { /* a part and how it is called from the object on */
    const char *path;
    const struct model_struct *s;
};

/* One side may be NULL: then it is as if it were empty. */
static void compare(struct moves *m, struct move *v, struct place at_, const void *was,
                    const void *now, const char *const *passed);

static void compare_one(struct moves *m, struct move *v, const char *path,
                        const struct model_field *f, const void *was, const void *now) {
    const void *a = was ? *(const void *const *)at(was, f->offset) : NULL;
    const void *b = now ? *(const void *const *)at(now, f->offset) : NULL;
    if (!a && !b)
        return;
    compare(m, v, (struct place){path, f->part}, a, b, NULL);
}

static bool is_among(const char *name, const char *const *names) {
    for (; names && *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static void compare(struct moves *m, struct move *v, struct place at_, const void *was,
                    const void *now, const char *const *passed) {
    size_t n;
    const struct model_field *fields = at_.s->fields(&n);
    for (size_t i = 0; i < n; i++) {
        const struct model_field *f = &fields[i];
        if (is_among(f->name, passed))
            continue;
        const char *path =
            at_.path[0] ? arena_fmt(&m->arena, "%s.%s", at_.path, f->name).p : f->name;
        if (f->type == MODEL_T_ONE)
            compare_one(m, v, path, f, was, now);
        else
            add_field(m, v, str_of(path), was ? text_of(&m->arena, f, was) : STR(""),
                      now ? text_of(&m->arena, f, now) : STR(""));
    }
}

/* ---- a rule ---- */

static struct str hosts_of(struct arena *a, const struct model_route *r) {
    struct out o = out_heap(VALUE_MAX);
    for (uint32_t i = 0; r && i < r->n_hosts; i++) {
        struct str kind, class;
        struct str name = str_cut(str_cut(r->hosts[i], '/', &kind), '/', &class);
        out_fmt(&o, "%s%.*s", i > 0 ? ", " : "", STR_FMT(name));
    }
    struct str s = arena_str(a, out_done(&o));
    out_fini(&o);
    return s;
}

static struct str paths_of(struct arena *a, const struct model_route *r) {
    struct out o = out_heap(VALUE_MAX);
    for (uint32_t i = 0; r && i < (r->n_matches ? r->n_matches : 1); i++)
        out_fmt(&o, "%s%.*s", i > 0 ? " | " : "",
                STR_FMT(words_match(a, r->n_matches ? &r->matches[i] : NULL)));
    struct str s = arena_str(a, out_done(&o));
    out_fini(&o);
    return s;
}

/* The id of a policy as its resource: "auth/shop/login" is "shop/login". */
static struct str policy_of(struct str id) {
    struct str kind;
    return id.n > 0 ? str_cut(id, '/', &kind) : id;
}

static void compare_routes(struct moves *m, struct move *v, const struct model_route *was,
                           const struct model_route *now) {
    static const char *const passed[] = {"origin",   "gateway", "source", "namespace", "name",
                                         "rule",     "created", "order",  "hosts",     "matches",
                                         "backends", "traffic", "auth",   NULL};
    struct arena *a = &m->arena;
    add_field(m, v, STR("hosts"), hosts_of(a, was), hosts_of(a, now));
    add_field(m, v, STR("match"), was ? paths_of(a, was) : STR(""),
              now ? paths_of(a, now) : STR(""));
    add_field(m, v, STR("backends"), was ? words_shares(a, was) : STR(""),
              now ? words_shares(a, now) : STR(""));
    size_t before = v->n;
    add_field(m, v, STR("auth"), was ? policy_of(was->auth) : STR(""),
              now ? policy_of(now->auth) : STR(""));
    if (v->n > before && was && now)
        v->fields[before].grave = now->auth.n == 0;
    add_field(m, v, STR("traffic"), was ? policy_of(was->traffic) : STR(""),
              now ? policy_of(now->traffic) : STR(""));
    compare(m, v, (struct place){"", model_struct_of(MODEL_KIND_route)}, was, now, passed);
}

/* ---- one object ---- */

/* "shop/catalog/80" behind "backend/" */
static struct str behind_kind(struct str id) {
    struct str kind;
    return str_cut(id, '/', &kind);
}

static struct str name_of(struct arena *a, const struct object *o, const void *value) {
    struct str rest = behind_kind(object_id(o)), class;
    switch (o->kind) {
    case MODEL_KIND_route:
        return arena_fmt(a, "rule %.*s", STR_FMT(words_rule(a, value)));
    case MODEL_KIND_host:
        rest = str_cut(rest, '/', &class);
        return arena_fmt(a, "host %.*s", STR_FMT(rest));
    case MODEL_KIND_backend:
        return arena_fmt(a, "Service %.*s", STR_FMT(words_backend(a, object_id(o))));
    case MODEL_KIND_gateway:
        return arena_fmt(a, "class %.*s", STR_FMT(behind_kind(rest)));
    case MODEL_KIND_traffic:
        return arena_fmt(a, "TrafficPolicy %.*s", STR_FMT(rest));
    case MODEL_KIND_auth:
        return arena_fmt(a, "AuthPolicy %.*s", STR_FMT(rest));
    case MODEL_KIND_consumer:
        return arena_fmt(a, "Consumer %.*s", STR_FMT(rest));
    default:
        return arena_fmt(a, "%s %.*s", model_kind_name((enum model_kind)o->kind), STR_FMT(rest));
    }
}

/* Every kind but a consumer's has it first. */
static struct str resource_of(struct arena *a, const struct object *o, const void *value) {
    size_t n;
    const struct model_field *f = model_struct_of((enum model_kind)o->kind)->fields(&n);
    if (strcmp(f->name, "origin") != 0)
        return STR("");
    return words_origin(a, *(const struct model_origin *const *)at(value, f->offset));
}

static struct move *new_move(struct moves *m) {
    if (m->n == m->room) {
        m->room = m->room ? m->room * 2 : 16;
        m->v = mem_realloc(m->v, m->room * sizeof(*m->v));
    }
    m->v[m->n] = (struct move){0};
    return &m->v[m->n];
}

void moves_add(struct moves *m, const struct object *was, const struct object *now) {
    static const char *const passed[] = {"origin", NULL};
    const struct object *any = now ? now : was;
    must(any);
    if (!object_is_written(any) || (was && now && was->hash == now->hash))
        return;
    const void *a = was ? object_decode(was, &m->arena, NULL) : NULL;
    const void *b = now ? object_decode(now, &m->arena, NULL) : NULL;
    struct move *v = new_move(m);
    v->change = !was ? MOVE_ADDED : !now ? MOVE_REMOVED : MOVE_CHANGED;
    v->kind = str_of(model_kind_name((enum model_kind)any->kind));
    v->id = arena_str(&m->arena, object_id(any));
    v->name = name_of(&m->arena, any, b ? b : a);
    v->from = resource_of(&m->arena, any, b ? b : a);
    if (any->kind == MODEL_KIND_route)
        compare_routes(m, v, a, b);
    else
        compare(m, v, (struct place){"", model_struct_of((enum model_kind)any->kind)}, a, b,
                passed);
    if (v->change == MOVE_CHANGED && v->n == 0)
        return; /* it was read elsewhere; what new_move() gave is used by the next one */
    m->count[v->change]++;
    m->n++;
}

void moves_compare(struct moves *m, struct object *const *was, size_t n_was,
                   struct object *const *now, size_t n_now) {
    for (size_t i = 0, k = 0; i < n_was || k < n_now;) {
        int order = i == n_was   ? 1
                    : k == n_now ? -1
                                 : str_cmp(object_id(was[i]), object_id(now[k]));
        moves_add(m, order <= 0 ? was[i] : NULL, order >= 0 ? now[k] : NULL);
        i += order <= 0;
        k += order >= 0;
    }
}

enum ctl_exit moves_read(struct ctl *c, struct moves *m, const cJSON *list, bool backwards) {
    const cJSON *j;
    cJSON_ArrayForEach(j, list) {
        struct why why = {0};
        const cJSON *a = doc_each(j, backwards ? "now" : "was"),
                    *b = doc_each(j, backwards ? "was" : "now");
        struct object *was = cJSON_IsObject(a) ? wire_object(a, &why) : NULL;
        struct object *now = cJSON_IsObject(b) ? wire_object(b, &why) : NULL;
        bool bad = (cJSON_IsObject(a) && !was) || (cJSON_IsObject(b) && !now) || (!was && !now);
        if (!bad)
            moves_add(m, was, now);
        object_drop(was);
        object_drop(now);
        if (bad)
            return ctl_fail(c, CTL_UNREACHABLE,
                            "the controller told an object that cannot be read: %s", why.text);
    }
    return CTL_OK;
}

/* ---- for people ---- */

static void print_value(struct ctl *c, enum tone tone, const char *sign, struct str name,
                        struct str value, const char *after) {
    char room[SHOWN_MAX];
    size_t n = size_min(value.n, sizeof(room));
    if (n > 0)
        memcpy(room, value.p, n);
    harmless(room, n);
    fprintf(c->out, "    %s%s %.*s: %.*s%s%s%s\n", tone_on(c, tone), sign, STR_FMT(name), (int)n,
            room, value.n > n ? "..." : "", after, tone_off(c));
}

static void print_field(struct ctl *c, const struct move_field *f) {
    if (f->was.n > 0)
        print_value(c, TONE_BAD, "-", f->name, f->was, "");
    if (f->now.n > 0)
        print_value(c, TONE_GOOD, "+", f->name, f->now, "");
    if (f->grave)
        print_value(c, TONE_BAD, "!", f->name, STR("nobody is asked who he is any more"), "");
}

void moves_print(struct ctl *c, const struct moves *m) {
    static const enum tone tones[] = {TONE_GOOD, TONE_WARN, TONE_BAD};
    static const char *const signs[] = {"+", "~", "-"};
    for (size_t i = 0; i < m->n; i++) {
        const struct move *v = &m->v[i];
        fprintf(c->out, "%s%s %.*s%s", tone_on(c, tones[v->change]), signs[v->change],
                STR_FMT(v->name), tone_off(c));
        if (v->from.n > 0)
            fprintf(c->out, "%s  (%.*s)%s", tone_on(c, TONE_DIM), STR_FMT(v->from), tone_off(c));
        fputc('\n', c->out);
        for (size_t k = 0; k < v->n && v->change != MOVE_REMOVED; k++)
            if (v->change == MOVE_CHANGED || str_eq(v->kind, STR("route")))
                print_field(c, &v->fields[k]);
    }
}

void moves_sum(const struct moves *m, struct out *o) {
    for (unsigned i = 0; i < ARRAY_LEN(changes); i++)
        out_fmt(o, "%s%zu %s", i > 0 ? ", " : "", m->count[i], changes[i]);
}

/* "spec.timeouts.request_ms" is one of timeouts, once. */
static void brief_fields(const struct move *v, struct out *o) {
    struct str last = STR_NONE, first;
    for (size_t k = 0; k < v->n; k++) {
        str_cut(v->fields[k].name, '.', &first);
        if (!str_eq(first, last))
            out_fmt(o, "%s%.*s", last.p ? "/" : " ", STR_FMT(first));
        last = first;
    }
}

void moves_brief(const struct moves *m, size_t room, struct out *o) {
    size_t begin = o->n;
    for (size_t i = 0; i < m->n; i++) {
        const struct move *v = &m->v[i];
        if (o->n - begin > room) {
            out_fmt(o, " and %zu more", m->n - i);
            return;
        }
        out_fmt(o, "%s%s%.*s", i > 0 ? ", " : "",
                v->change == MOVE_ADDED     ? "+"
                : v->change == MOVE_REMOVED ? "-"
                                            : "",
                STR_FMT(v->name));
        if (v->change == MOVE_CHANGED)
            brief_fields(v, o);
    }
}

/* ---- for machines ---- */

void moves_document(const struct moves *m, cJSON *to) {
    for (unsigned i = 0; i < ARRAY_LEN(changes); i++)
        cJSON_AddNumberToObject(to, changes[i], (double)m->count[i]);
    cJSON *list = doc_list(to, "moves");
    for (size_t i = 0; i < m->n; i++) {
        const struct move *v = &m->v[i];
        cJSON *j = doc_item(list);
        cJSON_AddStringToObject(j, "change", changes[v->change]);
        doc_text(j, "kind", v->kind);
        doc_text(j, "id", v->id);
        doc_text(j, "name", v->name);
        doc_text(j, "resource", v->from);
        cJSON *fields = doc_list(j, "fields");
        for (size_t k = 0; k < v->n; k++) {
            cJSON *f = doc_item(fields);
            doc_text(f, "field", v->fields[k].name);
            doc_text(f, "was", v->fields[k].was);
            doc_text(f, "now", v->fields[k].now);
            if (v->fields[k].grave)
                cJSON_AddBoolToObject(f, "grave", true);
        }
    }
}
