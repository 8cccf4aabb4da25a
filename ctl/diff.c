/* SPDX-License-Identifier: Apache-2.0
 *
 * diff: files against a running controller, against other files, or two revisions. Files alone are
 * rarely all there is: so they are laid over the resources that the controller has, and both states
 * are compiled here.
 *
 *   controller's /resources ─► store ─► compiled
 *                                │ -f laid over
 *                                └────► compiled again, what is touched: was ► now of each object
 */
#include "ctl/fetch.h"
#include "ctl/files.h"
#include "ctl/moves.h"
#include "ctl/pinned.h"
#include "ctl/table.h"
#include "ctl/world.h"
#include "lib/map.h"
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
    bool laid;        /* the files are over what runs: from now on moves count */
    struct map moved; /* id → struct moved */
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

/* ---- what moves ---- */

/* One object from before the files to behind them. A count each. */
struct moved {
    struct object *was, *now;
    struct str id; /* of the map; the bytes are behind the struct */
};

static struct object *held(const struct object *o) {
    return o ? object_hold((struct object *)(uintptr_t)o) : NULL;
}

/* The compiler's sink: the first `was` counts, and the last `now`. */
static void on_moved(void *arg, const struct object *was, const struct object *now) {
    struct live *l = arg;
    struct str id = object_id(now ? now : was);
    struct moved *v = l->laid ? map_get(&l->moved, id) : NULL;
    if (!l->laid)
        return;
    if (!v) {
        v = mem_zalloc(sizeof(*v) + id.n + 1);
        memcpy(v + 1, id.p, id.n);
        v->id = str_mk((const char *)(v + 1), id.n);
        v->was = held(was);
        map_put(&l->moved, v->id, v);
    }
    struct object *before = v->now;
    v->now = held(now);
    object_drop(before);
}

static void take_moves(const struct live *l, struct moves *m) {
    struct map_slot *v = map_sorted(&l->moved);
    for (size_t i = 0; i < l->moved.n; i++) {
        const struct moved *x = v[i].value;
        if (x->was || x->now) /* else it came and went */
            moves_add(m, x->was, x->now);
    }
    mem_free(v);
}

static void live_end(struct live *l) {
    compile_free(l->compiler);
    store_free(l->store);
    for (struct map_slot *s = NULL; (s = map_next(&l->moved, s));) {
        struct moved *v = s->value;
        object_drop(v->was);
        object_drop(v->now);
        mem_free(v);
    }
    map_fini(&l->moved);
}

static enum ctl_exit compare(struct live *l, const cJSON *pinned) {
    struct ctl *c = l->c;
    struct store *files = store_new();
    struct why why = {0};
    struct moves m;
    if (files_load(c->file, files, unreadable, l, &why) < 0) {
        store_free(files);
        return ctl_fail(c, CTL_UNREACHABLE, "%s", why.text);
    }
    compile_run(l->compiler);
    l->laid = true;
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        for (const struct resource *r = NULL; (r = store_next(files, k, r));)
            lay_over(l, r);
    compile_run(l->compiler);
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        for (const struct resource *r = NULL; (r = store_next(files, k, r));)
            say_refused(l, r);
    moves_init(&m);
    take_moves(l, &m);
    enum ctl_exit code = tell(c, &m, pinned);
    if (l->refused > 0)
        code = CTL_PROBLEMS;
    moves_fini(&m);
    store_free(files);
    return code;
}

static enum ctl_exit diff_live(struct ctl *c) {
    struct live l = {.c = c};
    const struct compile_sink sink = {.moved = on_moved, .arg = &l};
    struct fetched f;
    enum ctl_exit code = fetch_json(c, FROM_CONTROLLER, "/resources", &f);
    if (code != CTL_OK)
        return code;
    l.store = store_new();
    l.compiler = compile_new(l.store, &sink);
    compile_clock(l.compiler, (uint64_t)time(NULL));
    compile_zones(l.compiler, zone_file);
    code = take_live(&l, &f);
    if (code == CTL_OK && c->format == CTL_TABLE)
        pinned_print(c, f.json);
    if (code == CTL_OK)
        code = compare(&l, doc_each(f.json, "pinned"));
#ifdef SLUICE_DEBUG
    live_end(&l);
    cJSON_Delete(f.json);
#else
    (void)live_end; /* the process ends: to give back what 100,000 Routes take is a second */
#endif
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
