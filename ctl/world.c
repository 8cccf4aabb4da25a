/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/world.h"

#include "controller/fetch/keyset.h"
#include "ctl/fetch.h"
#include "ctl/files.h"
#include "ctl/table.h"
#include "ctl/wire.h"
#include "lib/mem.h"
#include "lib/zone.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ---- findings ---- */

/* As the user would name it: files are told apart below the directory of -f. */
static struct str shown_file(struct world *w, struct str file) {
    if (file.n == 0)
        return STR("");
    return arena_fmt(&w->arena, "%.*s%.*s", STR_FMT(w->folder), STR_FMT(file));
}

static void add_finding(struct world *w, enum severity severity, const struct dir_error *at) {
    if ((w->n_findings & (w->n_findings - 1)) == 0) /* 0, 1, 2, 4 ... */
        w->findings = mem_realloc(w->findings,
                                  (w->n_findings ? w->n_findings * 2 : 1) * sizeof(*w->findings));
    w->n_refused += severity == SEVERITY_REFUSED;
    w->findings[w->n_findings++] =
        (struct finding){severity, shown_file(w, at->file), at->line, at->column, at->why};
}

static void add_of_resource(struct world *w, enum severity severity, const struct resource *r,
                            const struct why *why) {
    add_finding(w, severity, &(struct dir_error){r->from.file, r->from.line, 0, *why});
}

static int finding_cmp(const void *x, const void *y) {
    const struct finding *a = x, *b = y;
    int by_file = str_cmp(a->file, b->file);
    if (by_file != 0)
        return by_file;
    return a->line < b->line ? -1 : a->line > b->line;
}

static void judge(struct world *w, const struct resource *r) {
    const struct compile_status *s = compile_status(w->compiler, r);
    const struct condition *accepted = s ? &s->conditions[CONDITION_ACCEPTED] : NULL;
    const struct condition *resolved = s ? &s->conditions[CONDITION_RESOLVED_REFS] : NULL;
    w->n_resources++;
    if (accepted && accepted->set && !accepted->value)
        add_of_resource(w, SEVERITY_REFUSED, r, accepted->why);
    else if (r->refused)
        add_of_resource(w, SEVERITY_REFUSED, r, r->refused);
    if (resolved && resolved->set && !resolved->value)
        add_of_resource(w, SEVERITY_WARNING, r, resolved->why);
    for (size_t i = 0; s && i < s->n_warnings; i++)
        add_of_resource(w, SEVERITY_WARNING, r, &s->warnings[i]);
}

void world_finding(const struct finding *f, cJSON *to) {
    cJSON_AddStringToObject(to, "severity",
                            f->severity == SEVERITY_REFUSED ? "refused" : "warning");
    doc_text(to, "object", str_of(f->why.object));
    doc_text(to, "field", str_of(f->why.field));
    doc_text(to, "file", f->file);
    if (f->line > 0)
        cJSON_AddNumberToObject(to, "line", f->line);
    if (f->column > 0)
        cJSON_AddNumberToObject(to, "column", f->column);
    doc_text(to, "text", str_of(f->why.text));
}

void world_print_finding(struct ctl *c, FILE *to, const struct finding *f) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    bool refused = f->severity == SEVERITY_REFUSED;
    const struct dir_error place = {.file = f->file, .line = f->line, .column = f->column};
    dir_error_print(&place, &o);
    harmless(o.p, o.n);
    fprintf(to, "%.*s%s%s%s: ", STR_FMT(out_done(&o)), tone_on(c, refused ? TONE_BAD : TONE_WARN),
            refused ? "refused" : "warning", tone_off(c));
    o.n = 0;
    why_print(&f->why, &o);
    harmless(o.p, o.n);
    fprintf(to, "%.*s\n", STR_FMT(out_done(&o)));
}

/* ---- from files ---- */

static void unreadable(void *arg, const struct dir_error *e) {
    add_finding(arg, SEVERITY_REFUSED, e);
}

static void take_compiled(struct world *w) {
    w->n_objects = compile_objects(w->compiler, NULL, 0);
    w->objects = mem_array(w->n_objects + 1, sizeof(struct object *));
    const struct object **all = mem_array(w->n_objects + 1, sizeof(*all));
    compile_objects(w->compiler, all, w->n_objects);
    for (size_t i = 0; i < w->n_objects; i++)
        w->objects[i] = object_hold((struct object *)(uintptr_t)all[i]);
    mem_free(all);
}

/* That of RFC 7515 A.3: what is signed with it counts as little as all else. */
static void make_up_keys(struct compiler *c) {
    static const char jwks[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"-\","
                               "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                               "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
    const struct keyset_want *wants;
    size_t n;
    (void)compile_wants(c, &wants, &n);
    for (size_t i = 0; i < n; i++)
        compile_fetched(c, wants[i].key,
                        &(struct keyset){.state = KEYSET_GOOD, .document = str_of(jwks)});
    if (n > 0)
        compile_run(c);
}

static enum ctl_exit from_files(struct ctl *c, struct world *w, bool keys) {
    struct why why = {0};
    static const struct compile_sink nobody;
    struct stat st;
    if (stat(c->file, &st) == 0 && S_ISDIR(st.st_mode))
        w->folder =
            arena_fmt(&w->arena, str_ends(str_of(c->file), STR("/")) ? "%s" : "%s/", c->file);
    w->store = store_new();
    w->compiler = compile_new(w->store, &nobody);
    compile_clock(w->compiler, (uint64_t)time(NULL));
    compile_zones(w->compiler, zone_file);
    if (files_load(c->file, w->store, unreadable, w, &why) < 0)
        return ctl_fail(c, CTL_UNREACHABLE, "%s", why.text);
    compile_run(w->compiler);
    if (keys)
        make_up_keys(w->compiler);
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        for (const struct resource *r = NULL; (r = store_next(w->store, k, r));)
            judge(w, r);
    take_compiled(w);
    return CTL_OK;
}

/* ---- from a proxy ---- */

static int object_cmp(const void *x, const void *y) {
    const struct object *const *a = x, *const *b = y;
    return str_cmp(object_id((*a)), object_id((*b)));
}

static enum ctl_exit from_proxy(struct ctl *c, struct world *w) {
    struct fetched f;
    enum ctl_exit code = fetch_json(c, FROM_PROXY, "/config?format=wire", &f);
    if (code != CTL_OK)
        return code;
    cJSON *doc = f.json;
    const cJSON *list = doc_each(doc, "objects"), *j;
    w->objects = mem_array((size_t)cJSON_GetArraySize(list) + 1, sizeof(struct object *));
    cJSON_ArrayForEach(j, list) {
        struct why why = {0};
        struct object *o = wire_object(j, &why);
        if (!o && code == CTL_OK)
            code = ctl_fail(c, CTL_UNREACHABLE,
                            "the proxy at %s sent an object that cannot be read: "
                            "%s: %s",
                            f.place, doc_get(j, "id"), why.text);
        if (o)
            w->objects[w->n_objects++] = o;
    }
    if (!cJSON_IsArray(list))
        code = ctl_fail(c, CTL_UNREACHABLE, "what answers at %s is no Sluice proxy", f.place);
    cJSON_Delete(doc);
    qsort(w->objects, w->n_objects, sizeof(struct object *), object_cmp);
    return code;
}

/* ---- both ---- */

static void bad_object(void *arg, struct str id, const struct why *why) {
    struct why named = *why;
    struct world *w = arg;
    if (named.object[0] == 0)
        why_object(&named, "%.*s", STR_FMT(id));
    add_finding(w, SEVERITY_REFUSED, &(struct dir_error){.why = named});
}

const struct object *world_object(const struct world *w, struct str id) {
    for (size_t low = 0, high = w->n_objects; low < high;) {
        size_t mid = low + (high - low) / 2;
        int order = str_cmp(id, object_id(w->objects[mid]));
        if (order == 0)
            return w->objects[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

void world_ignore(void *arg, struct str id, const struct why *why) {
    (void)arg, (void)id, (void)why;
}

static void build(struct world *w, bool redacted) {
    w->builder = builder_new();
    if (redacted)
        builder_redacted(w->builder);
    builder_begin(w->builder);
    for (size_t i = 0; i < w->n_objects; i++)
        builder_put(w->builder, object_hold(w->objects[i]));
    w->snapshot = builder_commit(w->builder, 1, bad_object, w);
}

static enum ctl_exit open_world(struct ctl *c, struct world *w, bool keys) {
    *w = (struct world){0};
    arena_init(&w->arena);
    enum ctl_exit code = c->file ? from_files(c, w, keys) : from_proxy(c, w);
    if (code == CTL_OK)
        build(w, !c->file);
    if (w->n_findings > 0)
        qsort(w->findings, w->n_findings, sizeof(*w->findings), finding_cmp);
    return code;
}

enum ctl_exit world_open(struct ctl *c, struct world *w) { return open_world(c, w, false); }

enum ctl_exit world_open_keys(struct ctl *c, struct world *w) { return open_world(c, w, true); }

void world_close(struct world *w) {
    if (w->builder) {
        snapshot_drop(w->snapshot);
        builder_free(w->builder);
    }
    for (size_t i = 0; i < w->n_objects; i++)
        object_drop(w->objects[i]);
    if (w->compiler)
        compile_free(w->compiler);
    if (w->store)
        store_free(w->store);
    mem_free(w->objects);
    mem_free(w->findings);
    arena_fini(&w->arena);
}

struct str world_place(struct world *w, const struct model_origin *from) {
    if (!from || from->file.n == 0)
        return STR("");
    enum kube_kind kind = KUBE_NONE;
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        if (str_eq(from->kind, str_of(kube_kinds[k].kind)))
            kind = k;
    const struct resource *r =
        w->store && kind ? store_get(w->store, kind, from->namespace, from->name) : NULL;
    if (!r || r->from.line == 0)
        return shown_file(w, from->file);
    return arena_fmt(&w->arena, "%.*s:%u", STR_FMT(shown_file(w, from->file)), r->from.line);
}
