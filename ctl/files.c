/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/files.h"

#include "controller/kube/yaml.h"
#include "ctl/read.h"
#include "lib/mem.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <sys/stat.h>

struct loading {
    const char *path;
    struct store *store;
    void (*bad)(void *arg, const struct dir_error *e);
    void *arg;
};

static void tell(const struct loading *l, uint32_t line, uint32_t column, const struct why *why) {
    struct dir_error e = {str_of(l->path), line, column, *why};
    l->bad(l->arg, &e);
}

/* ---- one file ---- */

static void take_document(const struct loading *l, const struct yaml_document *d) {
    struct why why = {0};
    bool foreign = false;
    struct resource_origin from = {.file = str_of(l->path), .line = d->line};
    struct resource *r = resource_new(d->json, &from, &foreign, &why);
    if (!r) {
        if (!foreign)
            tell(l, d->line, 0, &why);
        return;
    }
    const struct resource *other = store_get(l->store, r->kind, r->meta.namespace, r->meta.name);
    if (other) {
        char room[sizeof(why.object)];
        struct out name = out_fixed(room, sizeof(room));
        resource_print_name(r, &name);
        why_object(&why, "%.*s", STR_FMT(out_done(&name)));
        why_text(&why, "is there twice in this file, first in line %u; remove one of the two",
                 other->from.line);
        tell(l, d->line, 0, &why);
        resource_drop(r);
        return;
    }
    store_upsert(l->store, r);
}

static void take_file(const struct loading *l) {
    struct out text = out_heap(READ_MAX);
    struct why why = {0};
    struct yaml y = {0};
    enum yaml_form form = str_ends(str_of(l->path), STR(".json")) ? YAML_JSON : YAML_YAML;
    if (read_file(l->path, &text, &why) < 0 ||
        yaml_parse(out_done(&text), form, str_of(l->path), &y, &why) < 0) {
        why.object[0] = 0; /* the error has file, line and column of its own */
        tell(l, y.line, y.column, &why);
    } else {
        for (size_t i = 0; i < y.n; i++)
            take_document(l, &y.documents[i]);
    }
    yaml_fini(&y);
    out_fini(&text);
}

/* ---- a directory ---- */

static int take_directory(const struct loading *l, struct why *why) {
    size_t n;
    struct dir_source *d = dir_source_new(NULL, l->store, l->path, NULL, NULL, why);
    if (!d)
        return -1;
    const struct dir_error *errors = dir_source_errors(d, &n);
    for (size_t i = 0; i < n; i++)
        l->bad(l->arg, &errors[i]);
    dir_source_free(d);
    return 0;
}

int files_load(const char *path, struct store *s, void (*bad)(void *arg, const struct dir_error *e),
               void *arg, struct why *why) {
    const struct loading l = {path, s, bad, arg};
    struct stat st;
    if (stat(path, &st) < 0)
        return why_text(why, "%s cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return take_directory(&l, why);
    take_file(&l);
    store_synced(s);
    return 0;
}
