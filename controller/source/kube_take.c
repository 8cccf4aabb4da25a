/* SPDX-License-Identifier: Apache-2.0
 *
 * take: what the API server told becomes what the store has; and the door, at which objects of
 * another controller's class stop.
 */
#include "controller/source/kube_parts.h"
#include "lib/log.h"
#include "lib/mem.h"

/* ---- bytes to resources ---- */

/* A \u0000 cannot be told from the end of a string; where it stood does not matter, since the
 * object is refused for it. The length stays. */
static char *without_nul(struct str text) {
    char *copy = mem_dup(text.p, text.n);
    for (size_t i = 0; i + 6 <= text.n; i++) {
        if (copy[i] != '\\')
            continue;
        if (memcmp(copy + i, "\\u0000", 6) == 0)
            memcpy(copy + i, "\\ufffd", 6);
        i++;
    }
    return copy;
}

cJSON *take_parse(struct str text, struct why *why) {
    cJSON *json = json_parse(text, why);
    if (json)
        return json;
    char *copy = without_nul(text);
    struct why other;
    why_clear(&other);
    json = json_parse(str_mk(copy, text.n), &other);
    mem_free(copy);
    why_field(why, "%s", ""); /* a place in bytes that nobody sees */
    return json;
}

static void set_text(cJSON *object, const char *name, const char *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    must(cJSON_AddStringToObject(object, name, value));
}

/* An element of a list does not say what it is, and metadata say that they are metadata. */
static void set_kind(cJSON *object, enum kube_kind kind) {
    const struct kube_kind_info *i = &kube_kinds[kind];
    char room[128];
    struct out o = out_fixed(room, sizeof(room));
    out_fmt(&o, "%s%s%s%c", i->group, i->group[0] ? "/" : "", i->version, 0);
    must(!o.over);
    set_text(object, "apiVersion", room);
    set_text(object, "kind", i->kind);
}

struct resource *take_resource(enum kube_kind kind, cJSON *object, const struct why *refused,
                               struct why *why) {
    const struct resource_origin server = {0};
    bool foreign;
    set_kind(object, kind);
    if (refused)
        return resource_new_refused(object, &server, refused, &foreign, why);
    return resource_new(object, &server, &foreign, why);
}

/* ---- the door ---- */

static bool is_foreign(const struct kube_source *s, struct str class) {
    const struct resource *r =
        class.n > 0 ? store_said(s->store, KUBE_IngressClass, STR_NONE, class) : NULL;
    const struct kube_IngressClass *f = r ? resource_IngressClass(r) : NULL;
    return f && f->controller.n > 0 && !str_eq(f->controller, STR(CLASS_CONTROLLER));
}

/* The class that an Ingress or Route names, without decoding it. */
static struct str class_of(enum kube_kind kind, const cJSON *object) {
    const cJSON *meta = json_get(object, "metadata");
    struct str class = STR_NONE;
    if (kind == KUBE_Ingress || kind == KUBE_Route)
        class = json_text(json_get(object, "spec"), "ingressClassName");
    if (kind == KUBE_Ingress && class.n == 0)
        class = json_text(json_get(meta, "annotations"), "kubernetes.io/ingress.class");
    return class;
}

static void class_changed(struct kube_source *s, bool is_ours) {
    static const enum kube_kind classed[] = {KUBE_Ingress, KUBE_Route};
    for (size_t i = 0; i < ARRAY_LEN(classed) && s->begun; i++)
        for (struct reflector *r = NULL; (r = source_next(s, classed[i], r));)
            if (!is_ours || r->n_foreign > 0)
                reflector_relist(r);
}

/* ---- objects ---- */

static void delete (struct kube_source *s, enum kube_kind kind, struct str ns, struct str name) {
    bool class = kind == KUBE_IngressClass, foreign = class && is_foreign(s, name);
    s->deleted += store_delete(s->store, kind, ns, name);
    if (foreign)
        class_changed(s, true);
}

static void upsert_class(struct kube_source *s, struct resource *r) {
    char *name = str_dup(r->meta.name); /* r may be gone after its upsert */
    bool was = is_foreign(s, str_of(name));
    s->upserted += store_upsert(s->store, r);
    bool is = is_foreign(s, str_of(name));
    mem_free(name);
    if (was != is)
        class_changed(s, !is);
}

static void upsert(struct kube_source *s, struct resource *r) {
    if (r->kind == KUBE_Route || r->kind == KUBE_Ingress)
        source_namespaces(s);
    if (r->kind == KUBE_IngressClass)
        upsert_class(s, r);
    else
        s->upserted += store_upsert(s->store, r);
}

void take_object(struct reflector *r, cJSON *object, bool gone, const struct why *refused) {
    const cJSON *meta = json_get(object, "metadata");
    struct str ns = json_text(meta, "namespace"), name = json_text(meta, "name");
    enum kube_kind kind = r->what->kind;
    bool foreign = !gone && is_foreign(r->s, class_of(kind, object));
    struct why why;
    why_clear(&why);
    r->n_foreign += foreign;
    r->n.foreign += foreign;
    if (gone || foreign) {
        delete (r->s, kind, ns, name);
        return;
    }
    struct resource *taken = take_resource(kind, object, refused, &why);
    if (taken) {
        taken->seen = r->list;
        taken->fresh = r->s->synced;
        upsert(r->s, taken);
    } else {
        log_warn("source", "an object is passed over kind=%s: %s: %s", r->what->info->kind,
                 why.field, why.text);
    }
}

/* ---- the end of a list ---- */

static bool is_here(const struct reflector *r, const struct resource *known) {
    return r->ns.n == 0 || str_eq(r->ns, known->meta.namespace);
}

struct sweep {
    const struct reflector *r;
    struct resource **gone; /* held */
    size_t n;
};

static void look(void *arg, const struct resource *r) {
    struct sweep *w = arg;
    if (r->seen != w->r->list && is_here(w->r, r))
        w->gone[w->n++] = resource_hold((struct resource *)(uintptr_t)r);
}

void take_listed(struct reflector *r) {
    struct kube_source *s = r->s;
    enum kube_kind kind = r->what->kind;
    size_t most = store_count(s->store, kind) + store_n_held_back(s->store);
    struct sweep w = {.r = r, .gone = mem_array(most, sizeof(*w.gone))};
    store_each_said(s->store, kind, look, &w);
    for (size_t i = 0; i < w.n; i++) {
        delete (s, kind, w.gone[i]->meta.namespace, w.gone[i]->meta.name);
        resource_drop(w.gone[i]);
    }
    mem_free(w.gone);
}

/* ---- definitions ---- */

void take_definition(struct reflector *r, cJSON *object, bool gone, const struct why *refused) {
    struct str plural, name = json_text(json_get(object, "metadata"), "name");
    struct str group = str_cut(name, '.', &plural);
    bool ours = false;
    (void)refused;
    list_each(it, &r->s->reflectors) {
        struct reflector *known = list_entry(it, struct reflector, link);
        const struct kube_kind_info *i = known->what->info;
        if (known->what->crd && str_eq(plural, str_of(i->plural)) &&
            str_eq(group, str_of(i->group))) {
            reflector_defined(known, !gone);
            ours = true;
        }
    }
    if (ours && r->s->defined)
        r->s->defined(r->s->arg);
}
