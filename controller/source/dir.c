/* SPDX-License-Identifier: Apache-2.0
 *
 * dir: the turns of a directory source. What inotify tells only marks files as due, or the whole
 * tree; then everything that is due is parsed, then the store is told.
 */
#include "controller/source/dir.h"

#include "controller/source/dir_parts.h"
#include "lib/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

/* ---- a turn ---- */

static void parse_due(struct dir_source *d) {
    struct list *it;
    while ((it = list_pop(&d->due))) {
        struct file *f = list_entry(it, struct file, due);
        if (!file_parse(d, f))
            dir_vanish(d, f);
    }
}

/* A directory that went away is looked for until it is back; what it had stays. */
static void scan(struct dir_source *d) {
    const struct timeval retry = {1, 0};
    struct why why, before = d->fault.why;
    why_clear(&why);
    if (dir_scan(d, &why) == 0)
        return;
    evtimer_add(d->grace, &retry);
    if (strcmp(before.text, why.text) == 0)
        d->fault.why = why;
    else
        dir_report_fault(d, &why);
}

static void turn(struct dir_source *d) {
    if (d->scan_due)
        scan(d);
    parse_due(d);
    dir_settle(d);
}

/* ---- events ---- */

/* What is known of it no longer counts, also if a scan comes first. */
static void make_due(struct dir_source *d, struct file *f) {
    f->writing = f->parsed = false;
    list_del(&f->due);
    list_append(&d->due, &f->due);
}

/* A link comes without ever being written: a symbolic one, or a second name of a file. */
static bool is_link(const struct dir_source *d, struct str path) {
    char room[4096];
    struct stat st;
    const char *full = dir_path(d, path, room);
    return full && lstat(full, &st) == 0 && (S_ISLNK(st.st_mode) || st.st_nlink > 1);
}

static void on_file(struct dir_source *d, struct str path, uint32_t mask) {
    if (mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) {
        make_due(d, file_get(d, path));
    } else if (mask & IN_CREATE) {
        if (is_link(d, path))
            make_due(d, file_get(d, path));
    } else if (mask & IN_MODIFY) {
        struct file *f = file_find(d, path);
        if (f)
            f->writing = true;
    } else if (mask & (IN_DELETE | IN_MOVED_FROM)) {
        struct file *f = file_find(d, path);
        if (f)
            dir_vanish(d, f);
    }
}

/* Lost events: nobody knows any more who is writing. */
static void on_overflow(struct dir_source *d) {
    for (struct map_slot *s = NULL; (s = map_next(&d->files, s));)
        ((struct file *)s->value)->writing = false;
    d->scan_due = true;
}

static void on_event(struct dir_source *d, const struct inotify_event *e) {
    if (e->mask & IN_Q_OVERFLOW) {
        on_overflow(d);
        return;
    }
    const struct watch *w = dir_watch_find(d, e->wd);
    if (!w || (e->mask & IN_IGNORED))
        return;
    struct str name = str_of(e->len > 0 ? e->name : "");
    bool tree = (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) || (e->mask & IN_ISDIR) ||
                str_eq(name, STR("..data")); /* a mounted ConfigMap was swapped */
    if (tree) {
        d->scan_due = true;
        return;
    }
    if (!dir_is_ours(name))
        return;
    char room[4096];
    struct out path = out_fixed(room, sizeof(room));
    out_str(&path, w->path);
    if (w->path.n > 0)
        out_char(&path, '/');
    out_str(&path, name);
    if (!path.over)
        on_file(d, out_done(&path), e->mask);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct dir_source *d = arg;
    (void)what;
    for (;;) {
        _Alignas(struct inotify_event) char room[16384];
        ssize_t n = read(fd, room, sizeof(room));
        if (n <= 0)
            break;
        for (const char *p = room; p < room + n;) {
            const struct inotify_event *e = (const void *)p;
            on_event(d, e);
            p += sizeof(*e) + e->len;
        }
    }
    turn(d);
}

/* A file that is back, but that nobody has closed yet, will be heard of when it is. */
static void on_grace(evutil_socket_t fd, short what, void *arg) {
    struct dir_source *d = arg;
    struct list *it;
    (void)fd;
    (void)what;
    while ((it = list_pop(&d->vanishing))) {
        struct file *f = list_entry(it, struct file, due);
        char room[4096];
        const char *full = dir_path(d, f->path, room);
        if (!full || access(full, F_OK) != 0)
            file_remove(d, f);
    }
    d->scan_due |= why_set(&d->fault.why);
    turn(d);
}

/* ---- life ---- */

static int start_watching(struct dir_source *d, struct event_base *base, struct why *why) {
    if (!base)
        return 0;
    d->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (d->inotify < 0)
        return why_text(why, "files cannot be watched: %s", strerror(errno));
    d->readable = event_new(base, d->inotify, EV_READ | EV_PERSIST, on_readable, d);
    d->grace = evtimer_new(base, on_grace, d);
    must(d->readable && d->grace);
    event_add(d->readable, NULL);
    return 0;
}

struct dir_source *dir_source_new(struct event_base *base, struct store *s, const char *path,
                                  void (*on_report)(void *arg, const struct dir_error *e),
                                  void *arg, struct why *why) {
    struct dir_source *d = mem_zalloc(sizeof(*d));
    d->base.verbs = &dir_source_verbs;
    d->store = s;
    d->root = str_dup(str_of(path));
    d->inotify = -1;
    d->on_report = on_report;
    d->arg = arg;
    map_init(&d->files);
    map_init(&d->objects);
    list_init(&d->due);
    list_init(&d->vanishing);
    list_init(&d->touched);
    if (start_watching(d, base, why) != 0 || dir_scan(d, why) != 0) {
        dir_source_free(d);
        return NULL;
    }
    turn(d);
    store_synced(s);
    return d;
}

void dir_source_free(struct dir_source *d) {
    if (!d)
        return;
    if (d->readable)
        event_free(d->readable);
    if (d->grace)
        event_free(d->grace);
    if (d->inotify >= 0)
        close(d->inotify);
    dir_claims_fini(d);
    dir_watches_fini(d);
    mem_free(d->all);
    mem_free(d->root);
    mem_free(d);
}

struct source *dir_source_base(struct dir_source *d) {
    return &d->base;
}

const struct dir_counters *dir_source_counters(const struct dir_source *d) { return &d->counters; }
