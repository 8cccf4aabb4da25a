/* SPDX-License-Identifier: Apache-2.0
 *
 * dir_claims: what each file has, and which file an object is taken from. A turn first parses all
 * files that changed and then settles, so that an object that moved from one file to another in
 * one turn is never away.
 */
#include "controller/kube/rule.h"
#include "controller/kube/yaml.h"
#include "controller/source/dir_parts.h"
#include "controller/store/index.h"
#include "lib/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20, KEY_ROOM = 600 };

/* ---- files ---- */

bool dir_is_ours(struct str name) {
    return name.n > 0 && name.p[0] != '.' &&
           (str_ends(name, STR(".yaml")) || str_ends(name, STR(".yml")) ||
            str_ends(name, STR(".json")));
}

const char *dir_path(const struct dir_source *d, struct str path, char room[4096]) {
    int n = snprintf(room, 4096, "%s/%.*s", d->root, STR_FMT(path));
    return n > 0 && n < 4096 ? room : NULL;
}

struct file *file_find(const struct dir_source *d, struct str path) {
    return map_get(&d->files, path);
}

struct file *file_get(struct dir_source *d, struct str path) {
    struct file *f = file_find(d, path);
    if (f)
        return f;
    f = mem_zalloc(sizeof(*f));
    f->path = str_mk(mem_dup(path.p, path.n), path.n);
    list_init(&f->claims);
    list_init(&f->due);
    map_put(&d->files, f->path, f);
    d->counters.files++;
    return f;
}

static void file_free(struct file *f) {
    list_del(&f->due);
    dir_forget_errors(f);
    mem_free((char *)(uintptr_t)f->path.p);
    mem_free(f);
}

/* ---- claims ---- */

static void touch(struct dir_source *d, struct claimed *o) {
    if (list_empty(&o->touched))
        list_append(&d->touched, &o->touched);
}

static struct claimed *claimed_get(struct dir_source *d, const struct resource *r) {
    char room[KEY_ROOM];
    struct out key = out_fixed(room, sizeof(room));
    index_own_key(r->kind, r->meta.namespace, r->meta.name, &key);
    must(!key.over);
    struct claimed *o = map_get(&d->objects, out_done(&key));
    if (o)
        return o;
    o = mem_zalloc(sizeof(*o));
    o->kind = r->kind;
    o->key = str_mk(mem_dup(key.p, key.n), key.n);
    o->name = str_skip(o->key, key.n - r->meta.name.n);
    if (r->meta.namespace.n > 0)
        o->namespace = str_mk(o->name.p - 1 - r->meta.namespace.n, r->meta.namespace.n);
    list_init(&o->claims);
    list_init(&o->touched);
    map_put(&d->objects, o->key, o);
    return o;
}

static void claimed_free(struct dir_source *d, struct claimed *o) {
    map_del(&d->objects, o->key);
    list_del(&o->touched);
    mem_free((char *)(uintptr_t)o->key.p);
    mem_free(o);
}

static struct claim *claim_of(const struct claimed *o, const struct file *f) {
    list_each(it, &o->claims) {
        struct claim *c = list_entry(it, struct claim, in_object);
        if (c->file == f)
            return c;
    }
    return NULL;
}

static struct claim *claim_new(struct claimed *o, struct file *f) {
    struct claim *c = mem_zalloc(sizeof(*c));
    c->object = o;
    c->file = f;
    list_append(&f->claims, &c->in_file);
    struct list *at = o->claims.next;
    while (at != &o->claims &&
           str_cmp(list_entry(at, struct claim, in_object)->file->path, f->path) < 0)
        at = at->next;
    list_add_after(at->prev, &c->in_object);
    return c;
}

static void claim_free(struct claim *c) {
    c->file->n_losing -= c->losing;
    list_del(&c->in_object);
    list_del(&c->in_file);
    resource_drop(c->r);
    mem_free(c);
}

static void twice_in_file(struct dir_source *d, struct file *f, const struct claim *c,
                          const struct resource *r) {
    struct why why;
    why_clear(&why);
    struct out o = out_fixed(why.object, sizeof(why.object) - 1);
    resource_print_name(r, &o);
    why.object[o.n] = 0;
    why_text(&why, "is there twice in this file, first in line %u; remove one of the two",
             c->r->from.line);
    dir_report(d, f, r->from.line, 0, &why);
}

/* Takes the count of r. */
static void claim(struct dir_source *d, struct file *f, struct resource *r) {
    struct claimed *o = claimed_get(d, r);
    struct claim *c = claim_of(o, f);
    if (c && c->parse == d->counters.parsed) {
        twice_in_file(d, f, c, r);
        resource_drop(r);
        return;
    }
    if (!c)
        c = claim_new(o, f);
    c->parse = d->counters.parsed;
    if (c->r && c->r->hash == r->hash && c->r->from.line == r->from.line) {
        resource_drop(r);
        return;
    }
    resource_drop(c->r);
    c->r = r;
    touch(d, o);
}

static void drop_claims(struct dir_source *d, struct file *f, uint64_t but_of_parse) {
    list_each_safe(it, &f->claims) {
        struct claim *c = list_entry(it, struct claim, in_file);
        if (c->parse == but_of_parse)
            continue;
        touch(d, c->object);
        claim_free(c);
    }
}

void file_remove(struct dir_source *d, struct file *f) {
    drop_claims(d, f, 0);
    map_del(&d->files, f->path);
    d->counters.files--;
    file_free(f);
}

/* ---- parsing ---- */

static int refuse_errno(struct why *why, const char *what) {
    return why_text(why, "%s: %s", what, strerror(errno));
}

static int read_all(int fd, struct out *text, struct why *why) {
    for (;;) {
        char room[65536];
        ssize_t n = read(fd, room, sizeof(room));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse_errno(why, "it cannot be read");
        if (n == 0)
            return 0;
        out_bytes(text, room, (size_t)n);
        if (text->over)
            return why_text(why, "it is larger than 64 MiB; split it");
    }
}

static int read_open(struct file *f, int fd, struct out *text, struct why *why) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return refuse_errno(why, "it cannot be read");
    f->identity = (struct identity){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
    f->parsed = true;
    if (!S_ISREG(st.st_mode))
        return why_text(why, "it is no regular file; remove it, or give it another extension");
    return read_all(fd, text, why);
}

/* 0; -1 with *why; 1: it is not there. */
static int read_file(struct dir_source *d, struct file *f, struct out *text, struct why *why) {
    char room[4096];
    const char *path = dir_path(d, f->path, room);
    if (!path)
        return why_text(why, "its path is too long");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 1;
    if (fd < 0)
        return refuse_errno(why, "it cannot be opened");
    int rc = read_open(f, fd, text, why);
    close(fd);
    return rc;
}

static void take_documents(struct dir_source *d, struct file *f, const struct yaml *y) {
    for (size_t i = 0; i < y->n; i++) {
        struct resource_origin from = {f->path, y->documents[i].line};
        struct why why;
        bool foreign;
        why_clear(&why);
        struct resource *r = resource_new(y->documents[i].json, &from, &foreign, &why);
        if (r)
            claim(d, f, r);
        else if (foreign)
            d->counters.foreign++;
        else
            dir_report(d, f, from.line, 0, &why);
    }
    drop_claims(d, f, d->counters.parsed);
}

static void parse_text(struct dir_source *d, struct file *f, struct str text) {
    struct yaml y;
    struct why why;
    why_clear(&why);
    enum yaml_form form = str_ends(f->path, STR(".json")) ? YAML_JSON : YAML_YAML;
    if (yaml_parse(text, form, f->path, &y, &why) == 0) {
        take_documents(d, f, &y);
    } else {
        why_object(&why, "%s", ""); /* the error has file, line and column of its own */
        dir_report(d, f, y.line, y.column, &why);
    }
    yaml_fini(&y);
}

bool file_parse(struct dir_source *d, struct file *f) {
    struct out text = out_heap(FILE_MAX);
    struct why why;
    why_clear(&why);
    int rc = read_file(d, f, &text, &why);
    if (rc <= 0) {
        d->counters.parsed++;
        dir_forget_errors(f);
        if (rc == 0)
            parse_text(d, f, out_done(&text));
        else
            dir_report(d, f, 0, 0, &why);
    }
    out_fini(&text);
    return rc <= 0;
}

/* ---- settling ---- */

static void settle(struct dir_source *d, struct claimed *o) {
    if (list_empty(&o->claims)) {
        d->counters.deleted += store_delete(d->store, o->kind, o->namespace, o->name);
        claimed_free(d, o);
        return;
    }
    struct claim *first = list_entry(o->claims.next, struct claim, in_object);
    d->counters.upserted += store_upsert(d->store, resource_hold(first->r));
    list_each(it, &o->claims) {
        struct claim *c = list_entry(it, struct claim, in_object);
        bool was = c->losing;
        c->losing = c != first;
        c->file->n_losing += (uint32_t)c->losing - (uint32_t)was;
        if (c->losing && !was)
            dir_report_loser(d, c);
    }
}

void dir_settle(struct dir_source *d) {
    struct list *it;
    while ((it = list_pop(&d->touched)))
        settle(d, list_entry(it, struct claimed, touched));
}

void dir_claims_fini(struct dir_source *d) {
    for (struct map_slot *s = NULL; (s = map_next(&d->files, s));) {
        struct file *f = s->value;
        list_each_safe(it, &f->claims)
            claim_free(list_entry(it, struct claim, in_file));
        file_free(f);
    }
    for (struct map_slot *s = NULL; (s = map_next(&d->objects, s));) {
        struct claimed *o = s->value;
        mem_free((char *)(uintptr_t)o->key.p);
        mem_free(o);
    }
    map_fini(&d->files);
    map_fini(&d->objects);
}
