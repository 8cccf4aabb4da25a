/* SPDX-License-Identifier: Apache-2.0
 *
 * diff: files against a running controller, against other files, or two revisions. Files alone are
 * rarely all there is: so they are laid over the resources that the controller has, and both states
 * are compiled here.
 *
 *   controller's /resources ─► store ─► compiled: was
 *                                │ -f laid over
 *                                └────► compiled: now
 */
#include "ctl/fetch.h"
#include "ctl/files.h"
#include "ctl/moves.h"
#include "ctl/pinned.h"
#include "ctl/table.h"
#include "ctl/world.h"
#include "lib/mem.h"
#include "lib/zone.h"

#include <string.h>
#include <time.h>

enum { PATH_ROOM = 200 };

/* ---- telling ---- */

static enum ctl_exit tell(struct ctl *c, const struct moves *m, const cJSON *pinned) {
    if (c->format != CTL_TABLE) {
        cJSON *doc = cJSON_CreateObject();
        moves_document(m, doc);
        if (pinned && cJSON_IsObject(pinned))
            cJSON_AddItemToObject(doc, "pinned", cJSON_Duplicate(pinned, true));
        doc_print(c, doc);
    } else {
        char room[128];
        struct out o = out_fixed(room, sizeof(room));
        moves_print(c, m);
        moves_sum(m, &o);
        fprintf(c->out, "%s%.*s\n", m->n > 0 ? "\n" : "nothing moves: ", STR_FMT(out_done(&o)));
    }
    return m->n > 0 ? CTL_PROBLEMS : CTL_OK;
}

/* ---- two sets of files ---- */

static enum ctl_exit open_files(struct ctl *c, const char *file, struct world *w) {
    struct ctl of = *c;
    of.file = file;
    enum ctl_exit code = world_open(&of, w);
    for (size_t i = 0; i < w->n_findings && code == CTL_OK; i++)
        if (w->findings[i].severity == SEVERITY_REFUSED)
            world_print_finding(c, c->err, &w->findings[i]);
    return code;
}

static enum ctl_exit diff_files(struct ctl *c) {
    struct world was, now = {0};
    struct moves m;
    moves_init(&m);
    enum ctl_exit code = open_files(c, c->file, &was);
    if (code == CTL_OK) {
        code = open_files(c, c->second, &now);
        if (code == CTL_OK) {
            moves_compare(&m, was.objects, was.n_objects, now.objects, now.n_objects);
            code = tell(c, &m, NULL);
        }
        world_close(&now);
    }
    world_close(&was);
    moves_fini(&m);
    return code;
}

/* ---- two revisions ---- */

static enum ctl_exit diff_revisions(struct ctl *c) {
    struct fetched f;
    struct moves m;
    char path[PATH_ROOM], to[PATH_ROOM];
    enum ctl_exit code = pinned_path(c, "since", c->words[0], path, sizeof(path));
    if (code == CTL_OK && c->n_words > 1) {
        code = pinned_path(c, "to", c->words[1], to, sizeof(to));
        strncat(path, "&", sizeof(path) - strlen(path) - 1);
        strncat(path, strchr(to, '?') + 1, sizeof(path) - strlen(path) - 1);
    }
    if (code != CTL_OK || (code = fetch_json(c, FROM_CONTROLLER, path, &f)) != CTL_OK)
        return code;
    moves_init(&m);
    code = moves_read(c, &m, doc_each(f.json, "moves"), doc_true(f.json, "backwards"));
    if (code == CTL_OK)
        code = tell(c, &m, NULL);
    moves_fini(&m);
    cJSON_Delete(f.json);
    return code;
}

/* ---- files over what runs ---- */

struct live {
    struct ctl *c;
    struct store *store;
    struct compiler *compiler;
    size_t refused;
};

static void unreadable(void *arg, const struct dir_error *e) {
    struct live *l = arg;
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    dir_error_print(e, &o);
    harmless(o.p, o.n);
    fprintf(l->c->err, "refused: %.*s\n", STR_FMT(out_done(&o)));
    l->refused++;
}

static enum ctl_exit take_live(struct live *l, const struct fetched *f) {
    const cJSON *j;
    cJSON_ArrayForEach(j, doc_each(f->json, "resources")) {
        struct why why = {0};
        struct resource *r = resource_read(j, &why);
        if (!r)
            return ctl_fail(l->c, CTL_UNREACHABLE,
                            "the controller at %s told a resource that cannot be read here: %s",
                            f->place, why.text);
        store_upsert(l->store, r);
    }
    store_synced(l->store);
    return CTL_OK;
}

/* It stays as old as it is: who was first is asked when two want one host. */
static void lay_over(struct live *l, const struct resource *r) {
    struct resource *mine = resource_hold((struct resource *)(uintptr_t)r);
    const struct resource *there = store_said(l->store, r->kind, r->meta.namespace, r->meta.name);
    if (there)
        mine->meta.created = there->meta.created;
    store_upsert(l->store, mine);
}

static void say_refused(struct live *l, const struct resource *r) {
    const struct compile_status *s = compile_status(l->compiler, r);
    const struct condition *k = s ? &s->conditions[CONDITION_ACCEPTED] : NULL;
    const struct why *why = k && k->set && !k->value ? k->why : r->refused;
    if (!why)
        return;
    const struct dir_error e = {r->from.file, r->from.line, 0, *why};
    unreadable(l, &e);
}

static struct object **compiled(struct live *l, size_t *n) {
    compile_run(l->compiler);
    *n = compile_objects(l->compiler, NULL, 0);
    const struct object **all = mem_array(*n + 1, sizeof(*all));
    struct object **held = mem_array(*n + 1, sizeof(*held));
    compile_objects(l->compiler, all, *n);
    for (size_t i = 0; i < *n; i++)
        held[i] = object_hold((struct object *)(uintptr_t)all[i]);
    mem_free(all);
    return held;
}

static void drop_all(struct object **v, size_t n) {
    for (size_t i = 0; i < n; i++)
        object_drop(v[i]);
    mem_free(v);
}

static enum ctl_exit compare(struct live *l, const cJSON *pinned) {
    struct ctl *c = l->c;
    struct store *files = store_new();
    struct why why = {0};
    struct moves m;
    size_t n_was, n_now;
    enum ctl_exit code = CTL_OK;
    if (files_load(c->file, files, unreadable, l, &why) < 0) {
        store_free(files);
        return ctl_fail(c, CTL_UNREACHABLE, "%s", why.text);
    }
    struct object **was = compiled(l, &n_was);
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        for (const struct resource *r = NULL; (r = store_next(files, k, r));)
            lay_over(l, r);
    struct object **now = compiled(l, &n_now);
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        for (const struct resource *r = NULL; (r = store_next(files, k, r));)
            say_refused(l, r);
    moves_init(&m);
    moves_compare(&m, was, n_was, now, n_now);
    code = tell(c, &m, pinned);
    if (l->refused > 0)
        code = CTL_PROBLEMS;
    moves_fini(&m);
    drop_all(was, n_was);
    drop_all(now, n_now);
    store_free(files);
    return code;
}

static enum ctl_exit diff_live(struct ctl *c) {
    static const struct compile_sink nobody;
    struct live l = {.c = c};
    struct fetched f;
    enum ctl_exit code = fetch_json(c, FROM_CONTROLLER, "/resources", &f);
    if (code != CTL_OK)
        return code;
    l.store = store_new();
    l.compiler = compile_new(l.store, &nobody);
    compile_clock(l.compiler, (uint64_t)time(NULL));
    compile_zones(l.compiler, zone_file);
    code = take_live(&l, &f);
    if (code == CTL_OK && c->format == CTL_TABLE)
        pinned_print(c, f.json);
    if (code == CTL_OK)
        code = compare(&l, doc_each(f.json, "pinned"));
    compile_free(l.compiler);
    store_free(l.store);
    cJSON_Delete(f.json);
    return code;
}

enum ctl_exit ctl_diff(struct ctl *c) {
    bool remote = c->controller || c->namespace || c->context || c->kubeconfig;
    if (c->file && c->n_words > 0)
        return ctl_fail(c, CTL_USAGE, "-f and a revision are two things to compare; say one");
    if (c->second && remote)
        return ctl_fail(c, CTL_USAGE, "two -f are compared with each other, without a controller");
    if (!c->file && c->n_words == 0)
        return ctl_fail(c, CTL_USAGE,
                        "diff needs -f FILE or -f DIR, or a revision; see sluicectl "
                        "diff --help");
    return c->second ? diff_files(c) : c->file ? diff_live(c) : diff_revisions(c);
}
