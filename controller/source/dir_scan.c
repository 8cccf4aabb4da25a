/* SPDX-License-Identifier: Apache-2.0
 *
 * dir_scan: the tree as it is. A directory is watched before it is read, so that nothing which
 * happens in between is missed.
 */
#include "controller/kube/rule.h"
#include "controller/source/dir_parts.h"
#include "lib/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/inotify.h>

enum { DEPTH_MAX = 16 };

static int scan_directory(struct dir_source *d, struct str path, unsigned depth, struct why *why);

/* ---- watches ---- */

struct watch *dir_watch_find(struct dir_source *d, int wd) {
    for (size_t i = 0; i < d->n_watches; i++)
        if (d->watches[i].wd == wd)
            return &d->watches[i];
    return NULL;
}

/* The kernel knows a directory again when it was renamed: then only its path is new. */
static void keep_watch(struct dir_source *d, int wd, struct str path) {
    struct watch *w = dir_watch_find(d, wd);
    if (!w) {
        if (d->n_watches == d->room_watches) {
            d->room_watches = d->room_watches ? d->room_watches * 2 : 8;
            d->watches = mem_realloc(d->watches, d->room_watches * sizeof(*d->watches));
        }
        w = &d->watches[d->n_watches++];
        *w = (struct watch){.wd = wd};
    }
    mem_free((char *)(uintptr_t)w->path.p);
    w->path = str_mk(mem_dup(path.p, path.n), path.n);
    w->seen = true;
}

static int watch(struct dir_source *d, struct str path, const char *full, struct why *why) {
    enum {
        MASK = IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
               IN_DELETE_SELF | IN_MOVE_SELF
    };
    if (d->inotify < 0)
        return 0;
    int wd = inotify_add_watch(d->inotify, full, MASK | IN_ONLYDIR);
    if (wd < 0)
        return why_text(why, "%s cannot be watched: %s%s", full, strerror(errno),
                        errno == ENOSPC ? "; raise fs.inotify.max_user_watches" : "");
    keep_watch(d, wd, path);
    return 0;
}

static void drop_unseen_watches(struct dir_source *d) {
    size_t n = 0;
    for (size_t i = 0; i < d->n_watches; i++) {
        struct watch *w = &d->watches[i];
        if (w->seen) {
            w->seen = false;
            d->watches[n++] = *w;
            continue;
        }
        inotify_rm_watch(d->inotify, w->wd);
        mem_free((char *)(uintptr_t)w->path.p);
    }
    d->n_watches = n;
}

void dir_watches_fini(struct dir_source *d) {
    for (size_t i = 0; i < d->n_watches; i++)
        mem_free((char *)(uintptr_t)d->watches[i].path.p);
    mem_free(d->watches);
}

/* ---- files ---- */

static bool is_as_parsed(const struct file *f, const struct stat *st) {
    return f->parsed && f->identity.dev == st->st_dev && f->identity.ino == st->st_ino &&
           f->identity.size == st->st_size && f->identity.modified.tv_sec == st->st_mtim.tv_sec &&
           f->identity.modified.tv_nsec == st->st_mtim.tv_nsec;
}

static void found_file(struct dir_source *d, struct str path, const struct stat *st) {
    struct file *f = file_get(d, path);
    f->seen = true;
    list_del(&f->due);
    if (!f->writing && !is_as_parsed(f, st))
        list_append(&d->due, &f->due);
}

/* What cannot be looked into keeps what it had. */
static void keep_below(struct dir_source *d, struct str path) {
    for (struct map_slot *s = NULL; (s = map_next(&d->files, s));) {
        struct file *f = s->value;
        if (path.n == 0 ||
            (str_starts(f->path, path) && f->path.n > path.n && f->path.p[path.n] == '/'))
            f->seen = true;
    }
}

static void found(struct dir_source *d, struct str path, struct str name, unsigned depth) {
    char room[4096];
    const char *full = dir_path(d, path, room);
    struct stat st;
    struct why why;
    why_clear(&why);
    if (!full || lstat(full, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        if (scan_directory(d, path, depth + 1, &why) != 0) {
            keep_below(d, path);
            dir_report_fault(d, &why);
        }
    } else if (dir_is_ours(name) && stat(full, &st) == 0 && !S_ISDIR(st.st_mode)) {
        found_file(d, path, &st);
    }
}

static void scan_entry(struct dir_source *d, struct str directory, const char *entry,
                       unsigned depth) {
    char room[4096];
    struct str name = str_of(entry);
    if (name.p[0] == '.' || kube_utf8(name) < name.n)
        return;
    struct out path = out_fixed(room, sizeof(room));
    out_str(&path, directory);
    if (directory.n > 0)
        out_char(&path, '/');
    out_str(&path, name);
    if (!path.over)
        found(d, out_done(&path), name, depth);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* In order of names, as the store will be asked for what is in them. */
static int scan_directory(struct dir_source *d, struct str path, unsigned depth, struct why *why) {
    char room[4096];
    const char *full = dir_path(d, path, room);
    if (!full || depth > DEPTH_MAX)
        return why_text(why, "%.*s is nested too deeply and not followed; move its files up",
                        STR_FMT(path));
    if (watch(d, path, full, why) != 0)
        return -1;
    struct dirent **entries;
    int n = scandir(full, &entries, NULL, by_name);
    if (n < 0)
        return why_text(why, "directory %s cannot be read: %s", full, strerror(errno));
    for (int i = 0; i < n; i++) {
        scan_entry(d, path, entries[i]->d_name, depth);
        free(entries[i]);
    }
    free(entries);
    return 0;
}

void dir_vanish(struct dir_source *d, struct file *f) {
    const struct timeval grace = {0, DIR_GRACE_MS * 1000};
    list_del(&f->due);
    list_append(&d->vanishing, &f->due);
    if (d->grace && !evtimer_pending(d->grace, NULL))
        evtimer_add(d->grace, &grace);
}

static void vanish_unseen(struct dir_source *d) {
    for (struct map_slot *s = NULL; (s = map_next(&d->files, s));) {
        struct file *f = s->value;
        if (!f->seen)
            dir_vanish(d, f);
        f->seen = false;
    }
}

int dir_scan(struct dir_source *d, struct why *why) {
    d->scan_due = false;
    d->counters.scans++;
    why_clear(&d->fault.why);
    int rc = scan_directory(d, STR(""), 0, why);
    if (rc != 0)
        keep_below(d, STR(""));
    vanish_unseen(d);
    drop_unseen_watches(d);
    return rc;
}
