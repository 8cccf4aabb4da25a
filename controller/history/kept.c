/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/history/kept.h"

#include "lib/base64.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MAX = 256 << 20,
    PATH_ROOM = 4096,
    FILES_MAX = 1024, /* in the directory; more are not looked at */
};

/* ---- writing ---- */

static void write_resource(const char *name, const struct resource *r, struct out *o) {
    out_fmt(o, ",\"%s\":", name);
    if (r && r->fields)
        resource_write(r, o);
    else
        out_str(o, r ? STR("false") : STR("null")); /* false: it was refused */
}

static void write_object(const char *name, const struct object *x, struct out *o) {
    out_fmt(o, "\"%s\":", name);
    if (x)
        object_wire_json(x, o);
    else
        out_lit(o, "null");
}

static void write_revision(const struct revision *r, struct out *o) {
    const char *before = "";
    out_fmt(
        o,
        "{\"name\":\"%016llx\",\"serves\":\"%016llx\",\"sum\":\"%016llx\",\"made_ms\":%lld,"
        "\"moved_ms\":%lld,\"whole\":%s,\"added\":%zu,\"changed\":%zu,\"removed\":%zu,\"note\":",
        (unsigned long long)r->name, (unsigned long long)r->serves, (unsigned long long)r->sum,
        (long long)r->made_ms, (long long)r->moved_ms, r->whole ? "true" : "false", r->added,
        r->changed, r->removed);
    out_json(o, str_of(r->note));
    out_lit(o, ",\"changes\":[");
    for (struct map_slot *s = NULL; (s = map_next(&r->changes, s)); before = ",\n") {
        const struct history_change *c = s->value;
        out_str(o, str_of(before));
        out_lit(o, "{\"key\":");
        out_json(o, s->key);
        write_resource("was", c->was, o);
        write_resource("now", c->now, o);
        out_char(o, '}');
    }
    out_lit(o, "],\"moves\":[");
    before = "";
    for (struct map_slot *s = NULL; (s = map_next(&r->moves, s)); before = ",\n") {
        const struct history_move *m = s->value;
        out_str(o, str_of(before));
        out_char(o, '{');
        write_object("was", m->was, o);
        out_char(o, ',');
        write_object("now", m->now, o);
        out_char(o, '}');
    }
    out_lit(o, "]}\n");
}

static int write_file(const char *path, struct str bytes, struct why *why) {
    char beside[PATH_ROOM];
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        return why_text(why, "its path is too long");
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool bad = fd < 0;
    while (!bad && bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        bad = n <= 0;
        bytes = bad ? bytes : str_skip(bytes, (size_t)n);
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (!bad && rename(beside, path) == 0)
        return 0;
    error = bad ? error : errno;
    (void)unlink(beside);
    return why_text(why, "%s cannot be written: %s", path, strerror(error));
}

static int path_of(char room[PATH_ROOM], const char *directory, uint64_t number, struct why *why) {
    return snprintf(room, PATH_ROOM, "%s/r-%08llu.json", directory, (unsigned long long)number) <
                   PATH_ROOM
               ? 0
               : why_text(why, "its path is too long");
}

static int save_one(struct revision *r, const char *directory, struct why *why) {
    char path[PATH_ROOM];
    struct out o = out_heap(FILE_MAX);
    if (path_of(path, directory, r->number, why) != 0)
        return -1;
    write_revision(r, &o);
    int rc =
        o.over ? why_text(why, "%s would be too large", path) : write_file(path, out_done(&o), why);
    out_fini(&o);
    r->fresh = rc != 0;
    return rc;
}

/* ---- the directory ---- */

static bool number_of(const char *name, uint64_t *number) {
    struct str s = str_of(name);
    if (!str_starts(s, STR("r-")) || !str_ends(s, STR(".json")))
        return false;
    return str_to_u64(str_mk(s.p + 2, s.n - 7), UINT32_MAX, number);
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The numbers of the files there, in order. */
static int list(const char *directory, uint64_t v[FILES_MAX], size_t *n, struct why *why) {
    DIR *d = opendir(directory);
    *n = 0;
    if (!d)
        return why_text(why, "%s cannot be read: %s", directory, strerror(errno));
    for (struct dirent *e; *n < FILES_MAX && (e = readdir(d));)
        *n += number_of(e->d_name, &v[*n]);
    closedir(d);
    qsort(v, *n, sizeof(*v), by_number);
    return 0;
}

static int remove_old(const struct history *h, const char *directory, struct why *why) {
    uint64_t v[FILES_MAX];
    const struct revision *first = history_first(h);
    char path[PATH_ROOM];
    size_t n;
    if (list(directory, v, &n, why) != 0)
        return -1;
    for (size_t i = 0; first && i < n && v[i] < first->number; i++)
        if (path_of(path, directory, v[i], why) != 0 || unlink(path) != 0)
            return why_text(why, "%s cannot be removed: %s", path, strerror(errno));
    return 0;
}

int kept_save(struct history *h, const char *directory, struct why *why) {
    for (struct revision *r = history_first(h); r; r = history_next(h, r))
        if (r->fresh && save_one(r, directory, why) != 0)
            return -1;
    return remove_old(h, directory, why);
}

/* ---- reading ---- */

static uint64_t hex(const cJSON *j, const char *name) {
    struct str s = json_text(j, name);
    return s.p ? strtoull(s.p, NULL, 16) : 0;
}

static double number(const cJSON *j, const char *name) {
    const cJSON *n = json_get(j, name);
    return cJSON_IsNumber(n) && n->valuedouble >= 0 && n->valuedouble <= 0x1p53 ? n->valuedouble
                                                                                : 0;
}

/* NULL is no fault: it was not there. */
static struct object *read_object(const cJSON *j, bool *bad) {
    struct why why = {0};
    struct str text = json_text(j, "bytes");
    if (!j)
        return NULL;
    char *room = mem_alloc(BASE64_ROOM(text.n));
    size_t n;
    struct object *o = text.p && base64_decode(text, room, &n)
                           ? object_from_bytes((uint32_t)number(j, "kind"), json_text(j, "id"),
                                               str_mk(room, n), &why)
                           : NULL;
    if (o)
        o->hash = hex(j, "hash");
    mem_free(room);
    *bad |= !o;
    return o;
}

static struct resource *read_resource(const cJSON *j, bool *bad) {
    struct why why = {0};
    struct resource *r = j ? resource_read(j, &why) : NULL;
    *bad |= j && !r;
    return r;
}

static bool read_lists(struct revision *r, const cJSON *j) {
    const cJSON *e;
    bool bad = false;
    cJSON_ArrayForEach(e, json_get(j, "changes")) {
        struct str key = json_text(e, "key");
        struct resource *was = read_resource(json_get(e, "was"), &bad),
                        *now = read_resource(json_get(e, "now"), &bad);
        if (bad || key.n == 0 || (!was && !now)) {
            resource_drop(was);
            resource_drop(now);
            return false;
        }
        revision_change(r, key, was, now);
    }
    cJSON_ArrayForEach(e, json_get(j, "moves")) {
        struct object *was = read_object(json_get(e, "was"), &bad),
                      *now = read_object(json_get(e, "now"), &bad);
        if (bad || (!was && !now)) {
            object_drop(was);
            object_drop(now);
            return false;
        }
        revision_move(r, was, now);
    }
    return true;
}

static struct revision *read_revision(const cJSON *j) {
    struct revision *r = revision_new();
    struct str note = json_text(j, "note");
    r->name = hex(j, "name");
    r->serves = hex(j, "serves");
    r->sum = hex(j, "sum");
    r->made_ms = (int64_t)number(j, "made_ms");
    r->moved_ms = (int64_t)number(j, "moved_ms");
    r->added = (size_t)number(j, "added");
    r->changed = (size_t)number(j, "changed");
    r->removed = (size_t)number(j, "removed");
    snprintf(r->note, sizeof(r->note), "%.*s", STR_FMT(note.p ? note : STR("")));
    if (!read_lists(r, j) || !cJSON_IsTrue(json_get(j, "whole")))
        r->whole = false; /* what is missing cannot be undone */
    return r;
}

/* NULL with *why, which is empty when there is no file. */
static cJSON *read_json(const char *path, struct why *why) {
    struct out o = out_heap(FILE_MAX);
    FILE *f = fopen(path, "re");
    char room[65536];
    for (size_t n; f && (n = fread(room, 1, sizeof(room), f)) > 0 && !o.over;)
        out_bytes(&o, room, n);
    if (f)
        fclose(f);
    cJSON *j = o.over || o.n == 0 ? NULL : json_parse(out_done(&o), why);
    out_fini(&o);
    return j;
}

static void load_one(struct history *h, const char *path) {
    struct why why = {0};
    cJSON *j = read_json(path, &why);
    if (j)
        history_add(h, read_revision(j));
    else
        log_warn("history", "a revision is passed over file=%s: it cannot be read: %s", path,
                 why.text);
    cJSON_Delete(j);
}

int kept_load(struct history *h, const char *directory, struct why *why) {
    uint64_t v[FILES_MAX];
    char path[PATH_ROOM];
    size_t n;
    if (list(directory, v, &n, why) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (path_of(path, directory, v[i], why) != 0)
            return -1;
        h->last = v[i] - 1; /* each keeps its number */
        load_one(h, path);
    }
    if (n > 0)
        h->last = v[n - 1];
    return 0;
}

/* ---- what is held back ---- */

static int held_path(char room[PATH_ROOM], const char *directory, struct why *why) {
    return snprintf(room, PATH_ROOM, "%s/held.json", directory) < PATH_ROOM
               ? 0
               : why_text(why, "its path is too long");
}

int kept_held(const char *directory, struct str bytes, struct why *why) {
    char path[PATH_ROOM];
    if (held_path(path, directory, why) != 0)
        return -1;
    if (bytes.n > 0)
        return write_file(path, bytes, why);
    return unlink(path) == 0 || errno == ENOENT
               ? 0
               : why_text(why, "%s cannot be removed: %s", path, strerror(errno));
}

cJSON *kept_read_held(const char *directory) {
    char path[PATH_ROOM];
    struct why why = {0};
    return held_path(path, directory, &why) == 0 ? read_json(path, &why) : NULL;
}
