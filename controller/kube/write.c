/* SPDX-License-Identifier: Apache-2.0
 *
 * write: a resource as the JSON that it can be decoded from, by the tables that the decoder uses.
 * What holds its default is left out.
 */
#include "controller/kube/decode.h"
#include "lib/json.h"

#include <time.h>

enum { DAY_ROOM = 64 };

static const void *at(const void *value, size_t offset) { return (const char *)value + offset; }

static void write_part(const struct kube_part *part, const void *value, struct out *o);

/* ---- single values ---- */

static void write_span(int64_t ms, struct out *o) {
    const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    out_char(o, '"');
    for (size_t i = 0; i < ARRAY_LEN(units); ms %= units[i].ms, i++)
        if (ms >= units[i].ms)
            out_fmt(o, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
    if (o->n > 0 && o->p[o->n - 1] == '"')
        out_lit(o, "0s");
    out_char(o, '"');
}

static void write_pairs(const struct kube_pair *pairs, uint32_t n, struct out *o) {
    for (uint32_t i = 0; i < n; i++) {
        out_char(o, i == 0 ? '{' : ',');
        out_json(o, pairs[i].key);
        out_char(o, ':');
        out_json(o, pairs[i].value);
    }
    out_str(o, n == 0 ? STR("{}") : STR("}"));
}

static void write_element(const struct kube_field *f, const void *elements, uint32_t i,
                          struct out *o) {
    if (f->type == KUBE_T_TEXTS || f->type == KUBE_T_PICKS)
        out_json(o, ((const struct str *)elements)[i]);
    else if (f->type == KUBE_T_INTS)
        out_i64(o, ((const int64_t *)elements)[i]);
    else
        write_part(f->part, at(elements, i * f->part->size), o);
}

static void write_list(const struct kube_field *f, const void *value, struct out *o) {
    uint32_t n = *(const uint32_t *)at(value, f->n_offset);
    const void *elements = *(const void *const *)at(value, f->offset);
    must(f->type != KUBE_T_SECRETS);
    if (f->type == KUBE_T_PAIRS) {
        write_pairs(elements, n, o);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        out_char(o, i == 0 ? '[' : ',');
        write_element(f, elements, i, o);
    }
    out_char(o, ']');
}

static bool is_list(const struct kube_field *f) {
    return f->type == KUBE_T_TEXTS || f->type == KUBE_T_PICKS || f->type == KUBE_T_INTS ||
           f->type == KUBE_T_MANY || f->type == KUBE_T_PAIRS || f->type == KUBE_T_SECRETS;
}

static bool is_there(const struct kube_field *f, const void *value, bool required) {
    const void *p = at(value, f->offset);
    if (is_list(f))
        return *(const uint32_t *)at(value, f->n_offset) > 0;
    switch ((enum kube_type)f->type) {
    case KUBE_T_TEXT:
    case KUBE_T_PICK:
        return ((const struct str *)p)->p != NULL;
    case KUBE_T_BOOL:
        return required || *(const bool *)p != (f->low != 0);
    case KUBE_T_INT:
    case KUBE_T_SPAN:
    case KUBE_T_SIZE:
    case KUBE_T_MAYBE:
        return *(const int64_t *)p >= 0;
    case KUBE_T_WORD:
        return required || *(const uint32_t *)p != (uint32_t)f->low;
    case KUBE_T_CHOICE:
        return *(const uint32_t *)p != 0;
    case KUBE_T_PORT:
        return ((const struct kube_port *)p)->number > 0 || ((const struct kube_port *)p)->name.p;
    case KUBE_T_ONE:
        return *(const void *const *)p != NULL;
    default:
        return false;
    }
}

static void write_value(const struct kube_field *f, const void *value, struct out *o) {
    const void *p = at(value, f->offset);
    if (is_list(f)) {
        write_list(f, value, o);
        return;
    }
    switch ((enum kube_type)f->type) {
    case KUBE_T_TEXT:
    case KUBE_T_PICK:
        out_json(o, *(const struct str *)p);
        return;
    case KUBE_T_BOOL:
        out_str(o, *(const bool *)p ? STR("true") : STR("false"));
        return;
    case KUBE_T_MAYBE:
        out_str(o, *(const int64_t *)p ? STR("true") : STR("false"));
        return;
    case KUBE_T_INT:
        out_i64(o, *(const int64_t *)p);
        return;
    case KUBE_T_SIZE: /* a number would end at 2^53 */
        out_fmt(o, "\"%lld\"", (long long)*(const int64_t *)p);
        return;
    case KUBE_T_SPAN:
        write_span(*(const int64_t *)p, o);
        return;
    case KUBE_T_WORD:
    case KUBE_T_CHOICE:
        out_json(o, str_of(model_word(f->words, *(const uint32_t *)p)));
        return;
    case KUBE_T_PORT:
        if (((const struct kube_port *)p)->number > 0)
            out_u64(o, ((const struct kube_port *)p)->number);
        else
            out_json(o, ((const struct kube_port *)p)->name);
        return;
    case KUBE_T_ONE:
        write_part(f->part, *(const void *const *)p, o);
        return;
    default:
        return;
    }
}

/* ---- fields ---- */

/* Those whose path begins with prefix, behind what was written before; returns what follows then.
 */
static const char *write_level(const struct kube_part *part, struct str prefix, const void *value,
                               const char *before, struct out *o) {
    struct kube_marks marks;
    for (const struct kube_field *f = part->fields(); (f = kube_field_at(f, &marks)); f++) {
        struct str path = str_of(f->path);
        if (!is_there(f, value, marks.required) || !str_starts(path, prefix))
            continue;
        path = str_skip(path, prefix.n);
        if (str_find(path, '.', 0) != path.n)
            continue;
        out_str(o, str_of(before));
        out_json(o, path);
        out_char(o, ':');
        write_value(f, value, o);
        before = ",";
    }
    return before;
}

static void write_part(const struct kube_part *part, const void *value, struct out *o) {
    out_char(o, '{');
    write_level(part, STR(""), value, "", o);
    out_char(o, '}');
}

/* ---- the object ---- */

static void write_time(const char *name, uint64_t seconds, struct out *o) {
    char room[DAY_ROOM];
    time_t t = (time_t)seconds;
    struct tm tm;
    must(gmtime_r(&t, &tm));
    size_t n = strftime(room, sizeof(room), "%Y-%m-%dT%H:%M:%SZ", &tm);
    out_fmt(o, ",\"%s\":\"%.*s\"", name, (int)n, room);
}

static void write_text(const char *name, struct str value, struct out *o) {
    if (value.n == 0)
        return;
    out_fmt(o, ",\"%s\":", name);
    out_json(o, value);
}

static void write_manager(const struct kube_meta *m, struct out *o) {
    if (m->manager.n == 0)
        return;
    out_lit(o, ",\"managedFields\":[{\"manager\":");
    out_json(o, m->manager);
    if (m->changed > 0)
        write_time("time", m->changed, o);
    out_lit(o, "}]");
}

static void write_meta(const struct resource *r, struct out *o) {
    const struct kube_meta *m = &r->meta;
    out_lit(o, "\"metadata\":{\"name\":");
    out_json(o, m->name);
    write_text("namespace", m->namespace, o);
    write_text("uid", m->uid, o);
    write_text("resourceVersion", m->resource_version, o);
    if (m->generation > 0)
        out_fmt(o, ",\"generation\":%llu", (unsigned long long)m->generation);
    if (m->created > 0)
        write_time("creationTimestamp", m->created, o);
    if (m->deleting)
        write_time("deletionTimestamp", m->created, o);
    if (m->n_labels > 0) {
        out_lit(o, ",\"labels\":");
        write_pairs(m->labels, m->n_labels, o);
    }
    if (m->n_annotations > 0) {
        out_lit(o, ",\"annotations\":");
        write_pairs(m->annotations, m->n_annotations, o);
    }
    write_manager(m, o);
    if (r->from.file.n > 0) { /* nothing that Kubernetes knows */
        out_lit(o, ",\"file\":");
        out_json(o, r->from.file);
        out_fmt(o, ",\"line\":%u", r->from.line);
    }
    out_char(o, '}');
}

void resource_write(const struct resource *r, struct out *o) {
    const struct kube_kind_info *i = &kube_kinds[r->kind];
    const struct kube_part *part = kube_part_of(r->kind);
    must(r->fields && r->kind != KUBE_Secret);
    out_fmt(o, "{\"apiVersion\":\"%s%s%s\",\"kind\":\"%s\",", i->group, i->group[0] ? "/" : "",
            i->version, i->kind);
    write_meta(r, o);
    write_level(part, STR(""), r->fields, ",", o);
    out_lit(o, ",\"spec\":{");
    write_level(part, STR("spec."), r->fields, "", o);
    out_lit(o, "}}");
}

struct resource *resource_read(const cJSON *j, struct why *why) {
    bool foreign;
    const cJSON *meta = json_get(j, "metadata"), *line = json_get(meta, "line");
    struct resource_origin from = {.file = json_text(meta, "file")};
    if (cJSON_IsNumber(line) && line->valuedouble >= 0 && line->valuedouble <= UINT32_MAX)
        from.line = (uint32_t)line->valuedouble;
    struct resource *r = resource_new(j, &from, &foreign, why);
    if (r && r->refused) {
        *why = *r->refused;
        resource_drop(r);
        return NULL;
    }
    return r;
}
