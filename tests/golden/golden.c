/* SPDX-License-Identifier: Apache-2.0
 *
 * golden: what the compiler makes of a case, as JSON.
 *
 *   golden world.yaml case.in.yaml
 *
 * The world is compiled first, then the case is added to it. Printed is what differs: objects that
 * are new or other, ids that went, and the status of every resource of the case and of those of the
 * world whose status is another one now.
 */
#include "controller/compile/compile.h"
#include "controller/kube/yaml.h"
#include "controller/status/status.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "lib/zone.h"

#include <stdio.h>
#include <stdlib.h>

struct golden {
    struct store *store;
    struct compiler *compiler;
    struct map world;    /* id → its JSON */
    struct map statuses; /* "Kind/ns/name" → its JSON */
};

_Noreturn static void fail(const char *what) {
    fprintf(stderr, "golden: %s\n", what);
    exit(1);
}

static struct str read_file(const char *path) {
    FILE *f = fopen(path, "re");
    struct out o = out_heap(16 << 20);
    char room[65536];
    size_t n;
    if (!f)
        fail(path);
    while ((n = fread(room, 1, sizeof(room), f)) > 0)
        out_bytes(&o, room, n);
    fclose(f);
    return out_done(&o);
}

static void print_why(const struct why *why) {
    struct out o = out_heap(4096);
    why_print(why, &o);
    printf("  %.*s\n", STR_FMT(out_done(&o)));
    out_fini(&o);
}

static void load(struct golden *g, const char *path) {
    struct str text = read_file(path);
    struct yaml y;
    struct why why = {0};
    if (yaml_parse(text, YAML_YAML, STR("case"), &y, &why) != 0) {
        print_why(&why);
        fail(path);
    }
    for (size_t i = 0; i < y.n; i++) {
        bool foreign = false;
        struct resource *r =
            resource_new(y.documents[i].json, &(struct resource_origin){0}, &foreign, &why);
        if (!r) {
            print_why(&why);
            fail(path);
        }
        store_upsert(g->store, r);
    }
    yaml_fini(&y);
    mem_free((void *)(uintptr_t)text.p);
}

/* ---- maps of owned strings ---- */

static void remember(struct map *m, struct str key, struct str value) {
    must(!map_put(m, str_of(str_dup(key)), str_dup(value)));
}

static void forget(struct map *m) {
    for (struct map_slot *s = NULL; (s = map_next(m, s));) {
        mem_free((void *)(uintptr_t)s->key.p);
        mem_free(s->value);
    }
    map_fini(m);
}

static bool is(const struct map *m, struct str key, struct str value) {
    const char *was = map_get(m, key);
    return was && str_eq(str_of(was), value);
}

/* ---- objects ---- */

static const struct object **objects(const struct golden *g, size_t *n) {
    *n = compile_objects(g->compiler, NULL, 0);
    const struct object **v = mem_array(*n + 1, sizeof(*v));
    compile_objects(g->compiler, v, *n);
    return v;
}

static void each_object(struct golden *g, bool print) {
    size_t n;
    const struct object **v = objects(g, &n);
    const char *comma = "";
    for (size_t i = 0; i < n; i++) {
        struct out o = out_heap(64 << 20);
        object_json(v[i], &o);
        if (!print) {
            remember(&g->world, object_id(v[i]), out_done(&o));
        } else if (!is(&g->world, object_id(v[i]), out_done(&o))) {
            printf("%s\n  %.*s", comma, STR_FMT(out_done(&o)));
            comma = ",";
        }
        out_fini(&o);
    }
    mem_free(v);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_gone(const struct golden *g) {
    const char **ids = mem_array(g->world.n + 1, sizeof(*ids));
    size_t n = 0;
    for (struct map_slot *s = NULL; (s = map_next(&g->world, s));)
        if (!compile_object(g->compiler, s->key))
            ids[n++] = s->key.p;
    qsort(ids, n, sizeof(*ids), by_text);
    for (size_t i = 0; i < n; i++)
        printf("%s\"%s\"", i > 0 ? ", " : "", ids[i]);
    mem_free(ids);
}

/* ---- statuses ---- */

static void each_status(struct golden *g, bool print) {
    const char *comma = "";
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        for (const struct resource *r = NULL; (r = store_next(g->store, k, r));) {
            struct out key = out_heap(4096), o = out_heap(1 << 20);
            resource_print_name(r, &key);
            status_json(g->store, g->compiler, NULL, str_of(kube_kinds[k].kind), r->meta.namespace,
                        r->meta.name, &o);
            struct str one = str_mk(o.p + 1, o.n - 2); /* without [ and ] */
            if (!print) {
                remember(&g->statuses, out_done(&key), one);
            } else if (one.n > 0 && !is(&g->statuses, out_done(&key), one)) {
                printf("%s\n  %.*s", comma, STR_FMT(one));
                comma = ",";
            }
            out_fini(&key);
            out_fini(&o);
        }
}

int main(int argc, char **argv) {
    struct golden g = {.store = store_new()};
    const struct compile_sink sink = {0};
    if (argc != 3)
        fail("usage: golden WORLD CASE");
    g.compiler = compile_new(g.store, &sink);
    compile_clock(g.compiler, 1767225600); /* it is always 2026-01-01 */
    compile_zones(g.compiler, zone_file);
    load(&g, argv[1]);
    store_synced(g.store);
    compile_run(g.compiler);
    each_object(&g, false);
    each_status(&g, false);
    load(&g, argv[2]);
    compile_run(g.compiler);
    printf("{\"objects\": [");
    each_object(&g, true);
    printf("],\n\"gone\": [");
    print_gone(&g);
    printf("],\n\"resources\": [");
    each_status(&g, true);
    printf("]}\n");
    compile_free(g.compiler);
    store_free(g.store);
    forget(&g.world);
    forget(&g.statuses);
    return 0;
}
