/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/kube/decode.h"
#include "controller/kube/named.h"
#include "controller/kube/near.h"
#include "controller/kube/rule.h"
#include "lib/hash.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/units.h"

enum {
    PRINT_MAX = 64 << 20,  /* bytes of one object's meaning; a document is far smaller */
    STATUS_MAX = 64 << 10, /* bytes of one status */
    MANAGER_MAX = 128,     /* bytes of its name, as Kubernetes has it */
};

/* ---- who it is ---- */

struct identity {
    enum kube_kind kind;
    struct str api, version; /* "sluice.dev/v1alpha1", "v1alpha1", as written */
    struct str namespace, name;
};

static struct str group_of(struct str api_version, struct str *version) {
    struct str group, rest = str_cut(api_version, '/', &group);
    *version = rest.p ? rest : group;
    return rest.p ? group : STR("");
}

static int unknown_kind(struct str kind, struct why *why) {
    struct shown room;
    struct near near = near_to(kind);
    for (unsigned k = KUBE_NONE + 1; k < KUBE_KINDS; k++)
        if (strcmp(kube_kinds[k].group, "sluice.dev") == 0)
            near_try(&near, str_of(kube_kinds[k].kind));
    why_field(why, "kind");
    if (near.best.n > 0)
        return why_text(why, "%s is no kind of sluice.dev; did you mean %.*s?",
                        why_show(kind, &room), STR_FMT(near.best));
    return why_text(why, "%s is no kind of sluice.dev; see `kubectl api-resources`",
                    why_show(kind, &room));
}

static int find_kind(const cJSON *json, struct identity *id, bool *foreign, struct why *why) {
    struct str api = json_text(json, "apiVersion"), kind = json_text(json, "kind");
    if (api.n == 0 || kind.n == 0) {
        why_field(why, api.n == 0 ? "apiVersion" : "kind");
        return why_text(why, "is missing; every object has apiVersion, kind and metadata.name");
    }
    struct str group = group_of(api, &id->version);
    id->kind = kube_kind_of(group, kind);
    id->api = api;
    if (id->kind != KUBE_NONE)
        return 0;
    if (str_eq(group, STR("sluice.dev")))
        return unknown_kind(kind, why);
    struct shown shown_api, shown_kind;
    *foreign = true;
    return why_text(why, "apiVersion %s, kind %s is not for Sluice", why_show(api, &shown_api),
                    why_show(kind, &shown_kind));
}

static int bad_name(const char *field, const cJSON *json, struct why *why) {
    struct shown room;
    why_field(why, "%s", field);
    if (cJSON_IsString(json))
        return why_text(why,
                        "%s is not a name; use lower-case letters, digits, \"-\" and \".\", at "
                        "most 253 of them",
                        why_show(str_of(json->valuestring), &room));
    return why_text(why, "must be a string, not %s", decode_found(json, &room));
}

static int find_name(const cJSON *json, struct identity *id, struct why *why) {
    const cJSON *meta = json_get(json, "metadata");
    const cJSON *name = json_get(meta, "name"), *ns = json_get(meta, "namespace");
    if (!name) {
        why_field(why, "metadata.name");
        return why_text(why, "is missing; an object without a name cannot be used");
    }
    if (!cJSON_IsString(name) || !kube_is_name(str_of(name->valuestring)))
        return bad_name("metadata.name", name, why);
    id->name = str_of(name->valuestring);
    id->namespace = STR("");
    if (kube_kinds[id->kind].scope == KUBE_CLUSTER)
        return 0;
    id->namespace = STR("default");
    if (!ns || (cJSON_IsString(ns) && ns->valuestring[0] == 0))
        return 0;
    if (!cJSON_IsString(ns) || !kube_is_name(str_of(ns->valuestring)))
        return bad_name("metadata.namespace", ns, why);
    id->namespace = str_of(ns->valuestring);
    return 0;
}

static int identify(const cJSON *json, struct identity *id, bool *foreign, struct why *why) {
    if (!cJSON_IsObject(json)) {
        struct shown room;
        return why_text(why, "must be an object with apiVersion and kind, not %s",
                        decode_found(json, &room));
    }
    if (find_kind(json, id, foreign, why) != 0)
        return -1;
    why_object(why, "%s", kube_kinds[id->kind].kind);
    return find_name(json, id, why);
}

/* ---- what it says ---- */

static uint64_t time_of(const cJSON *meta, const char *name) {
    uint64_t seconds = 0;
    struct str s = json_text(meta, name);
    return s.n > 0 && unit_time(s, &seconds, NULL) == 0 ? seconds : 0;
}

/* The last one of those that are as young as any. What wrote its status has changed nothing. */
static void read_manager(struct resource *r, const cJSON *fields) {
    const cJSON *f, *last = NULL;
    cJSON_ArrayForEach(f, fields) {
        uint64_t at = time_of(f, "time");
        if (json_text(f, "subresource").n > 0 || at < r->meta.changed)
            continue;
        r->meta.changed = at;
        last = f;
    }
    struct str name = json_text(last, "manager");
    if (name.n > 0)
        r->meta.manager = arena_str(&r->arena, str_mk(name.p, size_min(name.n, MANAGER_MAX)));
}

static void read_meta(struct resource *r, const cJSON *meta) {
    struct kube_meta *m = &r->meta;
    const cJSON *generation = json_get(meta, "generation");
    m->resource_version = arena_str(&r->arena, json_text(meta, "resourceVersion"));
    m->uid = arena_str(&r->arena, json_text(meta, "uid"));
    if (cJSON_IsNumber(generation) && generation->valuedouble >= 1 &&
        generation->valuedouble <= 0x1p53)
        m->generation = (uint64_t)generation->valuedouble;
    m->created = time_of(meta, "creationTimestamp");
    m->deleting = json_get(meta, "deletionTimestamp") != NULL;
    read_manager(r, json_get(meta, "managedFields"));
}

/* From the API server, of kinds whose status we write. One that is too large is somebody else's. */
static void read_status(struct resource *r, const cJSON *json) {
    const cJSON *status = json_get(json, "status");
    if (!status || r->from.file.n > 0 || !kube_has_status(r->kind))
        return;
    char *text = cJSON_PrintUnformatted(status);
    if (text && strlen(text) <= STATUS_MAX)
        r->status = arena_str(&r->arena, str_of(text));
    cJSON_free(text);
}

static int check_version(struct decode *d, const struct kube_kind_info *info,
                         const struct identity *id) {
    struct shown room;
    if (str_eq(id->version, str_of(info->version)))
        return 0;
    why_field(d->why, "apiVersion");
    return why_text(d->why, "%s is not a version that is known; write %s%s%s",
                    why_show(id->api, &room), info->group, info->group[0] ? "/" : "",
                    info->version);
}

static int read_fields(struct resource *r, const cJSON *json, const struct identity *id,
                       struct why *why) {
    const struct kube_kind_info *info = &kube_kinds[r->kind];
    const cJSON *meta = json_get(json, "metadata");
    struct decode d;
    decode_init(&d, &r->arena, why, info->strictness == KUBE_STRICT);
    if (check_version(&d, info, id) != 0 ||
        decode_pairs(&d, "metadata.labels", json_get(meta, "labels"), &r->meta.labels,
                     &r->meta.n_labels) != 0)
        return -1;
    /* kubectl keeps a copy of all values in an annotation: of a Secret nobody is to have it */
    if (r->kind != KUBE_Secret && r->kind != KUBE_ConfigMap &&
        decode_pairs(&d, "metadata.annotations", json_get(meta, "annotations"),
                     &r->meta.annotations, &r->meta.n_annotations) != 0)
        return -1;
    void *fields = arena_zalloc(&r->arena, kube_part_of(r->kind)->size);
    if (decode_kind(&d, r->kind, json, fields) != 0)
        return -1;
    r->fields = fields;
    return 0;
}

/* Few are refused, so only they have room for a reason. */
struct refusal {
    struct why why;
    struct kube_named named;
};

static void refuse(struct resource *r, const cJSON *json, const struct why *why) {
    struct refusal *kept = arena_zalloc(&r->arena, sizeof(*kept));
    kept->why = *why;
    struct out o = out_fixed(kept->why.object, sizeof(kept->why.object) - 1);
    resource_print_name(r, &o);
    kept->why.object[o.n] = 0;
    if (named_has(r->kind))
        named_read(r->kind, json, &r->arena, &kept->named);
    r->refused = &kept->why;
    r->fields = NULL;
}

const struct kube_named *resource_named(const struct resource *r) {
    must(r->refused && named_has(r->kind));
    return &((const struct refusal *)(const void *)r->refused)->named;
}

bool kube_is_ours(enum kube_kind kind) { return strcmp(kube_kinds[kind].group, "sluice.dev") == 0; }

bool kube_has_status(enum kube_kind kind) { return kube_is_ours(kind) || kind == KUBE_Ingress; }

/* The generation counts where we report it (observedGeneration): in our own kinds. */
static uint64_t hash_of(const struct resource *r) {
    struct out o = out_heap(PRINT_MAX);
    const struct kube_meta *m = &r->meta;
    bool ours = kube_is_ours(r->kind);
    out_fmt(&o, "%d %.*s/%.*s %.*s %llu %llu %d ", (int)r->kind, STR_FMT(m->namespace),
            STR_FMT(m->name), STR_FMT(m->uid), (unsigned long long)(ours ? m->generation : 0),
            (unsigned long long)m->created, m->deleting);
    out_json(&o, r->from.file);
    decode_print_pairs(m->labels, m->n_labels, &o);
    decode_print_pairs(m->annotations, m->n_annotations, &o);
    if (r->fields)
        decode_print(kube_part_of(r->kind), r->fields, &o);
    else
        why_print(r->refused, &o);
    if (r->refused && named_has(r->kind))
        named_print(resource_named(r), &o);
    uint64_t hash = hash_content(out_done(&o));
    out_fini(&o);
    return hash;
}

struct resource *resource_new(const cJSON *json, const struct resource_origin *from, bool *foreign,
                              struct why *why) {
    return resource_new_refused(json, from, NULL, foreign, why);
}

struct resource *resource_new_refused(const cJSON *json, const struct resource_origin *from,
                                      const struct why *refused, bool *foreign, struct why *why) {
    struct identity id = {0};
    *foreign = false;
    if (identify(json, &id, foreign, why) != 0)
        return NULL;
    struct resource *r = mem_zalloc(sizeof(*r));
    r->holds = 1;
    r->kind = id.kind;
    arena_init(&r->arena);
    r->meta.namespace = arena_str(&r->arena, id.namespace);
    r->meta.name = arena_str(&r->arena, id.name);
    r->from = *from;
    if (from->file.n > 0)
        r->from.file = arena_str(&r->arena, from->file);
    read_meta(r, json_get(json, "metadata"));
    read_status(r, json);
    struct why fault;
    why_clear(&fault);
    if (refused)
        refuse(r, json, refused);
    else if (read_fields(r, json, &id, &fault) != 0)
        refuse(r, json, &fault);
    r->hash = hash_of(r);
    return r;
}

struct resource *resource_hold(struct resource *r) {
    r->holds++;
    return r;
}

void resource_drop(struct resource *r) {
    if (!r || --r->holds > 0)
        return;
    arena_fini(&r->arena);
    mem_free(r);
}

/* ---- asking it ---- */

static struct str find_pair(const struct kube_pair *pairs, uint32_t n, struct str key) {
    for (uint32_t low = 0, high = n; low < high;) {
        uint32_t mid = low + (high - low) / 2;
        int c = str_cmp(key, pairs[mid].key);
        if (c == 0)
            return pairs[mid].value;
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return STR_NONE;
}

struct str resource_label(const struct resource *r, struct str key) {
    return find_pair(r->meta.labels, r->meta.n_labels, key);
}

struct str resource_secret(const struct resource *r, struct str key) {
    const struct kube_Secret *s = resource_Secret(r);
    struct str clear = find_pair(s->string_data, s->n_string_data, key);
    return clear.p ? clear : find_pair(s->data, s->n_data, key);
}

struct str resource_config(const struct resource *r, struct str key) {
    const struct kube_ConfigMap *m = resource_ConfigMap(r);
    return find_pair(m->data, m->n_data, key);
}

struct str resource_annotation(const struct resource *r, struct str key) {
    return find_pair(r->meta.annotations, r->meta.n_annotations, key);
}

void resource_print_name(const struct resource *r, struct out *o) {
    out_str(o, str_of(kube_kinds[r->kind].kind));
    out_char(o, ' ');
    if (r->meta.namespace.n > 0) {
        out_str(o, r->meta.namespace);
        out_char(o, '/');
    }
    out_str(o, r->meta.name);
}
