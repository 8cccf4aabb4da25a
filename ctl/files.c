/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/files.h"

#include "controller/kube/yaml.h"
#include "lib/mem.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 64 << 20 };

struct loading {
    struct store *store;
    void (*bad)(void *arg, struct str file, uint32_t line, const struct why *why);
    void *arg;
};

static void tell(const struct loading *l, const char *file, uint32_t line, struct why *why) {
    if (why->object[0] == 0)
        why_object(why, "%s", file);
    l->bad(l->arg, str_of(file), line, why);
}

/* ---- one file ---- */

static int read_file(const char *path, struct out *o, struct why *why) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0)
        return why_text(why, "cannot be opened: %s", strerror(errno));
    ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 1 : -1;
    if (n < 0)
        why_text(why, "is no file");
    while (n > 0 && !o->over) {
        char room[65536];
        n = read(fd, room, sizeof(room));
        if (n < 0)
            why_text(why, "cannot be read: %s", strerror(errno));
        out_bytes(o, room, n > 0 ? (size_t)n : 0);
    }
    close(fd);
    if (o->over)
        why_text(why, "is larger than %d MiB; split it", FILE_BYTES_MAX >> 20);
    return why_set(why) ? -1 : 0;
}

static void take_document(const struct loading *l, const char *file,
                          const struct yaml_document *d) {
    struct why why = {0};
    bool foreign = false;
    struct resource_origin from = {.file = str_of(file), .line = d->line};
    struct resource *r = resource_new(d->json, &from, &foreign, &why);
    if (!r) {
        if (!foreign)
            tell(l, file, d->line, &why);
        return;
    }
    const struct resource *other = store_get(l->store, r->kind, r->meta.namespace, r->meta.name);
    if (other) {
        char room[sizeof(why.object)];
        struct out name = out_fixed(room, sizeof(room));
        resource_print_name(r, &name);
        why_object(&why, "%.*s", STR_FMT(out_done(&name)));
        why_text(&why, "is there twice, first in %.*s:%u; delete one", STR_FMT(other->from.file),
                 other->from.line);
        tell(l, file, d->line, &why);
        resource_drop(r);
        return;
    }
    store_upsert(l->store, r);
}

static bool has_suffix(const char *path, const char *suffix) {
    return str_ends(str_of(path), str_of(suffix));
}

static void take_file(const struct loading *l, const char *path) {
    struct out text = out_heap(FILE_BYTES_MAX);
    struct why why = {0};
    struct yaml y = {0};
    enum yaml_form form = has_suffix(path, ".json") ? YAML_JSON : YAML_YAML;
    if (read_file(path, &text, &why) < 0)
        tell(l, path, 0, &why);
    else if (yaml_parse(out_done(&text), form, str_of(path), &y, &why) < 0)
        tell(l, path, y.line, &why);
    for (size_t i = 0; !why_set(&why) && i < y.n; i++)
        take_document(l, path, &y.documents[i]);
    yaml_fini(&y);
    out_fini(&text);
}

/* ---- a directory ---- */

static int by_name(const FTSENT **a, const FTSENT **b) {
    return str_cmp(str_of((*a)->fts_name), str_of((*b)->fts_name));
}

static bool is_manifest(const char *name) {
    return name[0] != '.' &&
           (has_suffix(name, ".yaml") || has_suffix(name, ".yml") || has_suffix(name, ".json"));
}

static void take_entry(const struct loading *l, FTS *tree, FTSENT *e) {
    struct why why = {0};
    switch (e->fts_info) {
    case FTS_D: /* hidden directories hold a Git repository, or a mounted ConfigMap's versions */
        if (e->fts_level > 0 && e->fts_name[0] == '.')
            fts_set(tree, e, FTS_SKIP);
        break;
    case FTS_F:
        if (is_manifest(e->fts_name))
            take_file(l, e->fts_path);
        break;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        why_text(&why, "cannot be read: %s", strerror(e->fts_errno));
        tell(l, e->fts_path, 0, &why);
        break;
    default:
        break;
    }
}

static void take_tree(const struct loading *l, const char *path) {
    char *copy = str_dup(str_of(path));
    FTS *tree = fts_open((char *const[]){copy, NULL}, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    must(tree);
    for (FTSENT *e; (e = fts_read(tree));)
        take_entry(l, tree, e);
    fts_close(tree);
    mem_free(copy);
}

int files_load(const char *path, struct store *s,
               void (*bad)(void *arg, struct str file, uint32_t line, const struct why *why),
               void *arg, struct why *why) {
    const struct loading l = {s, bad, arg};
    struct stat st;
    if (stat(path, &st) < 0)
        return why_text(why, "%s cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        take_tree(&l, path);
    else
        take_file(&l, path);
    return 0;
}
