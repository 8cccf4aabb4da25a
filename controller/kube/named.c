/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/named.h"

#include "controller/kube/table.h"
#include "lib/json.h"

enum { TEXT_MAX = 253 }; /* bytes; of a longer one there is no such thing */

bool named_has(enum kube_kind kind) {
    return kind == KUBE_TrafficPolicy || kind == KUBE_AuthPolicy;
}

/* The member of that name; NULL if there is none, or more than one: readers could choose
 * differently. */
static const cJSON *only(const cJSON *object, const char *name) {
    const cJSON *found = NULL, *one;
    cJSON_ArrayForEach(one, object) {
        if (!one->string || strcmp(one->string, name) != 0 || cJSON_IsNull(one))
            continue;
        if (found)
            return NULL;
        found = one;
    }
    return found;
}

static struct str text_of(const cJSON *object, const char *name, struct arena *a) {
    struct str s = json_text(object, name);
    return arena_str(a, s.n <= TEXT_MAX ? s : STR_NONE);
}

/* False: nobody knows whom it is about. A rule that cannot be read means the whole Route. */
static bool read_one(const cJSON *json, struct arena *a, struct kube_target_ref *o) {
    if (!cJSON_IsObject(json) || !cJSON_IsString(only(json, "kind")) ||
        !cJSON_IsString(only(json, "name")))
        return false;
    bool rule = cJSON_IsString(only(json, "sectionName"));
    *o = (struct kube_target_ref){.kind = text_of(json, "kind", a),
                                  .name = text_of(json, "name", a),
                                  .section_name = rule ? text_of(json, "sectionName", a) : STR_NONE,
                                  .namespace = text_of(json, "namespace", a)};
    return true;
}

static const struct kube_field *field_of(enum kube_kind kind, const char *name,
                                         struct kube_marks *marks) {
    struct str path;
    const struct kube_field *f = kube_part_of(kind)->fields();
    for (; (f = kube_field_at(f, marks)); f++) {
        if (!str_starts(str_of(f->path), STR("spec.")))
            continue;
        str_cut(str_skip(str_of(f->path), 5), '.', &path);
        if (str_eq(path, str_of(name)))
            return f;
    }
    return NULL;
}

/* Some kinds may do without; yet not if something is there that could be meant for it. */
static bool names_nobody(enum kube_kind kind, const cJSON *spec) {
    struct kube_marks marks;
    const cJSON *one;
    if (!cJSON_IsObject(spec) || !field_of(kind, "targetRefs", &marks) || marks.required)
        return false;
    cJSON_ArrayForEach(one, spec) {
        if (!one->string || strcmp(one->string, "targetRefs") == 0 ||
            !field_of(kind, one->string, &marks))
            return false;
    }
    return true;
}

void named_read(enum kube_kind kind, const cJSON *json, struct arena *a, struct kube_named *o) {
    const cJSON *spec = only(json, "spec"), *list = only(spec, "targetRefs"), *one;
    *o = (struct kube_named){.blind = !names_nobody(kind, spec)};
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > NAMED_MAX)
        return;
    o->refs = arena_array(a, (size_t)cJSON_GetArraySize(list), sizeof(*o->refs));
    cJSON_ArrayForEach(one, list) {
        if (!read_one(one, a, &o->refs[o->n]))
            return;
        o->n++;
    }
    o->blind = false;
}

void named_print(const struct kube_named *named, struct out *o) {
    out_fmt(o, " %d", named->blind);
    for (uint32_t i = 0; i < named->n; i++) {
        const struct kube_target_ref *t = &named->refs[i];
        out_json(o, t->kind);
        out_json(o, t->name);
        out_json(o, t->section_name);
        out_json(o, t->namespace);
    }
}
