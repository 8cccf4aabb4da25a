/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/reread.h"

#include "lib/log.h"
#include "lib/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct reread {
    char *path, *text;
    size_t n, max;
    struct stat seen; /* of text */
    bool failing;
};

struct reread *reread_new(const char *path, size_t max) {
    struct reread *r = mem_zalloc(sizeof(*r));
    r->path = str_dup(str_of(path));
    r->max = max;
    return r;
}

void reread_free(struct reread *r) {
    if (!r)
        return;
    mem_free(r->path);
    mem_free(r->text);
    mem_free(r);
}

struct str reread_text(const struct reread *r) {
    return str_mk(r->text, r->n);
}

static bool same(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* All of it into a room of max + 1 bytes; 0, or errno. */
static int fill(int fd, char *room, size_t max, size_t *n) {
    *n = 0;
    for (ssize_t got = 1; got > 0 && *n <= max; *n += got > 0 ? (size_t)got : 0)
        if ((got = read(fd, room + *n, max + 1 - *n)) < 0 && errno != EINTR)
            return errno;
    return *n == 0 ? ENODATA : *n > max ? EFBIG : 0;
}

/* 0, also when there is nothing new; or errno. */
static int look(struct reread *r, bool *changed) {
    struct stat now;
    int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    int error = fstat(fd, &now) != 0 ? errno : S_ISREG(now.st_mode) ? 0 : EINVAL;
    if (!error && !(r->text && same(&now, &r->seen))) {
        size_t n;
        char *room = mem_alloc(r->max + 1);
        error = fill(fd, room, r->max, &n);
        if (!error) {
            *changed = !str_eq(str_mk(room, n), reread_text(r));
            mem_free(r->text);
            r->text = mem_dup(room, n);
            r->n = n;
            r->seen = now;
        }
        mem_free(room);
    }
    close(fd);
    return error;
}

bool reread_look(struct reread *r) {
    bool changed = false;
    int error = look(r, &changed);
    if (error && !r->failing)
        log_warn("link", "a file cannot be read%s path=%s error=%s",
                 r->text ? ", its last contents stay" : "", r->path, strerror(error));
    else if (!error && r->failing)
        log_info("link", "a file can be read again path=%s", r->path);
    r->failing = error != 0;
    return changed;
}
