/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/lastgood.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

static const char magic[] = "SLUICE LAST GOOD\n";

enum {
    MAGIC = sizeof(magic) - 1,
    VERSION = 1,
    HEADER = MAGIC + 4 + 8,
    ENTRY = 12, /* before id and bytes */
    CHECKSUM = 8,
    ROOM = 256 << 10, /* of one write(2) */
};

/* ---- numbers ---- */

static void put_number(struct out *o, uint64_t v, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++, v >>= 8)
        out_char(o, (char)(v & 0xff));
}

static uint64_t number_at(const char *p, unsigned bytes) {
    uint64_t v = 0;
    for (unsigned i = bytes; i-- > 0;)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

/* ---- writing ---- */

struct file {
    int fd;
    XXH3_state_t *sum;
    struct out room; /* ROOM bytes */
    int error;       /* first errno */
};

static void flush(struct file *f) {
    for (size_t at = 0; at < f->room.n && !f->error;) {
        ssize_t n = write(f->fd, f->room.p + at, f->room.n - at);
        if (n > 0)
            at += (size_t)n;
        else if (n < 0 && errno != EINTR)
            f->error = errno;
    }
    f->room.n = 0;
}

static void add(struct file *f, struct str s) {
    XXH3_64bits_update(f->sum, s.p, s.n);
    while (s.n > 0 && !f->error) {
        size_t n = size_min(s.n, f->room.cap - f->room.n);
        out_bytes(&f->room, s.p, n);
        s = str_skip(s, n);
        if (f->room.n == f->room.cap)
            flush(f);
    }
}

static void add_object(struct file *f, const struct object *object) {
    char head[ENTRY];
    struct out o = out_fixed(head, sizeof(head));
    put_number(&o, object->kind, 4);
    put_number(&o, object_id(object).n, 4);
    put_number(&o, object_bytes(object).n, 4);
    add(f, out_done(&o));
    add(f, object_id(object));
    if (object_bytes(object).n > 0)
        add(f, object_bytes(object));
}

static void write_all(struct file *f, struct object *const *objects, size_t n) {
    char head[HEADER], tail[CHECKSUM];
    struct out o = out_fixed(head, sizeof(head));
    out_lit(&o, magic);
    put_number(&o, VERSION, 4);
    put_number(&o, n, 8);
    add(f, out_done(&o));
    for (size_t i = 0; i < n && !f->error; i++)
        add_object(f, objects[i]);
    struct out t = out_fixed(tail, sizeof(tail));
    put_number(&t, XXH3_64bits_digest(f->sum), CHECKSUM);
    add(f, out_done(&t));
    flush(f);
    if (!f->error && fsync(f->fd) != 0)
        f->error = errno;
}

/* Makes the rename itself last. A file system that cannot is none of our business. */
static void sync_directory(const char *path) {
    const char *slash = strrchr(path, '/');
    struct str dir = slash ? str_mk(path, slash > path ? (size_t)(slash - path) : 1) : STR(".");
    char *name = str_dup(dir);
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    mem_free(name);
}

static int save(const char *path, const char *beside, struct object *const *objects, size_t n) {
    struct file f = {.fd =
                         open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (f.fd < 0)
        return errno;
    f.room = out_fixed(mem_alloc(ROOM), ROOM);
    f.sum = XXH3_createState();
    must(f.sum);
    XXH3_64bits_reset(f.sum);
    if (fchmod(f.fd, 0600) != 0) /* it may have been there, with another mode */
        f.error = errno;
    write_all(&f, objects, n);
    if (close(f.fd) != 0 && !f.error)
        f.error = errno;
    if (!f.error && rename(beside, path) != 0)
        f.error = errno;
    if (f.error)
        unlink(beside); /* a full disk gets its room back */
    else
        sync_directory(path);
    XXH3_freeState(f.sum);
    mem_free(f.room.p);
    return f.error;
}

int lastgood_save(const char *path, struct object *const *objects, size_t n, struct why *why) {
    struct out beside = out_heap(PATH_MAX + 8);
    out_fmt(&beside, "%s.new", path);
    out_char(&beside, 0);
    int error = beside.over ? ENAMETOOLONG : save(path, beside.p, objects, n);
    out_fini(&beside);
    return error ? why_text(why, "cannot write the last good file %s: %s", path, strerror(error))
                 : 0;
}

/* ---- loading ---- */

static int read_all(int fd, struct out *o) {
    for (;;) {
        size_t before = o->n;
        char *at = out_take(o, ROOM);
        must(at);
        ssize_t n = read(fd, at, ROOM);
        o->n = before + (n > 0 ? (size_t)n : 0);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return errno;
    }
}

/* One object off *rest. */
static struct object *take_object(struct str *rest, struct why *why) {
    if (rest->n < ENTRY)
        goto cut;
    uint32_t kind = (uint32_t)number_at(rest->p, 4);
    size_t id = number_at(rest->p + 4, 4), bytes = number_at(rest->p + 8, 4);
    if (rest->n - ENTRY < id || rest->n - ENTRY - id < bytes)
        goto cut;
    struct object *o = object_from_bytes(kind, str_mk(rest->p + ENTRY, id),
                                         str_mk(rest->p + ENTRY + id, bytes), why);
    *rest = str_skip(*rest, ENTRY + id + bytes);
    return o;
cut:
    why_text(why, "an object is cut");
    return NULL;
}

static int check(struct str file, uint64_t *count, struct str *body, struct why *why) {
    if (file.n < HEADER + CHECKSUM)
        return why_text(why, "it has only %zu bytes", file.n);
    if (!str_starts(file, STR(magic)))
        return why_text(why, "it is not a last good file");
    struct str checked = str_mk(file.p, file.n - CHECKSUM);
    if (XXH3_64bits(checked.p, checked.n) != number_at(file.p + checked.n, CHECKSUM))
        return why_text(why, "its checksum is wrong: it was cut or changed");
    uint64_t version = number_at(file.p + MAGIC, 4);
    if (version != VERSION)
        return why_text(why, "it is of version %llu, and only %d is known",
                        (unsigned long long)version, VERSION);
    *count = number_at(file.p + MAGIC + 4, 8);
    *body = str_skip(checked, HEADER);
    if (*count > body->n / ENTRY)
        return why_text(why, "it names %llu objects and has not so many bytes",
                        (unsigned long long)*count);
    return 0;
}

static int parse(struct str file, struct object ***objects, size_t *n, struct why *why) {
    uint64_t count = 0;
    struct str rest = STR_NONE;
    if (check(file, &count, &rest, why) != 0)
        return -1;
    struct object **list = mem_array(count, sizeof(*list));
    for (*n = 0; *n < count; (*n)++)
        if (!(list[*n] = take_object(&rest, why)))
            break;
    *objects = list;
    if (*n == count && rest.n == 0)
        return 0;
    why_text(why, "bytes follow its last object");
    while (*n > 0)
        object_drop(list[--*n]);
    mem_free(list);
    *objects = NULL;
    return -1;
}

enum lastgood_result lastgood_load(const char *path, struct object ***objects, size_t *n,
                                   struct why *why) {
    struct why inner = {0};
    *objects = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return LASTGOOD_ABSENT;
    struct stat st = {0};
    struct out o = out_heap(SIZE_MAX / 2);
    int error = fd < 0 || fstat(fd, &st) != 0 ? errno : 0;
    if (!error && !S_ISREG(st.st_mode))
        error = EINVAL;
    if (!error)
        error = read_all(fd, &o);
    int bad =
        error ? why_text(&inner, "%s", strerror(error)) : parse(out_done(&o), objects, n, &inner);
    out_fini(&o);
    if (fd >= 0)
        close(fd);
    if (bad == 0)
        return LASTGOOD_LOADED;
    why_text(why, "the last good file %s is not used: %s", path, inner.text);
    return LASTGOOD_REFUSED;
}

/* ---- in the background ---- */

struct lastgood {
    char *path;
    int fd;
    bool running, failing; /* main */
    pthread_t thread;
    /* the thread's while it runs */
    struct object **objects;
    size_t n;
    int result;
    struct why why;
    uint64_t took_ms;
};

static uint64_t clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *run(void *arg) {
    struct lastgood *l = arg;
    uint64_t from = clock_ms();
    l->result = lastgood_save(l->path, l->objects, l->n, &l->why);
    l->took_ms = clock_ms() - from;
    wakeup_ring(l->fd);
    return NULL;
}

struct lastgood *lastgood_new(const char *path) {
    struct lastgood *l = mem_zalloc(sizeof(*l));
    l->path = str_dup(str_of(path));
    l->fd = wakeup_new();
    return l;
}

bool lastgood_idle(const struct lastgood *l) { return !l->running; }
int lastgood_fd(const struct lastgood *l) { return l->fd; }

void lastgood_start(struct lastgood *l, struct object **objects, size_t n) {
    must(!l->running);
    l->running = true;
    l->objects = objects;
    l->n = n;
    why_clear(&l->why);
    thread_start(&l->thread, "lastgood", run, l);
}

bool lastgood_end(struct lastgood *l, uint64_t *took_ms) {
    must(l->running);
    pthread_join(l->thread, NULL);
    wakeup_clear(l->fd);
    l->running = false;
    *took_ms = l->took_ms;
    for (size_t i = 0; i < l->n; i++)
        object_drop(l->objects[i]);
    mem_free(l->objects);
    bool failed = l->result != 0;
    if (failed && !l->failing)
        log_error("config", "%s; it is tried again every second", l->why.text);
    else if (!failed && l->failing)
        log_info("config", "the last good file is written again path=%s", l->path);
    l->failing = failed;
    return !failed;
}

void lastgood_free(struct lastgood *l) {
    uint64_t took_ms;
    if (!l)
        return;
    if (l->running)
        lastgood_end(l, &took_ms);
    close(l->fd);
    mem_free(l->path);
    mem_free(l);
}
