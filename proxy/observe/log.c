/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer's side: rings, files, the thread. What a line looks like is in line.c.
 */
#include "proxy/observe/log.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/thread.h"
#include "proxy/observe/line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Numbers of bytes since the start; the place in the ring is their low bits. */
struct ring {
    char *bytes;
    uint64_t written; /* worker: release */
    uint64_t read;    /* writer: release */
};

struct access_log_worker {
    struct access_log *log;
    struct ring ring;
    struct line_clock clock;
    uint64_t lines, dropped; /* relaxed */
    uint64_t sampled;        /* answers below 400 so far */
    char line[ACCESS_LOG_LINE];
};

struct access_log {
    char *path; /* NULL: stdout */
    int fd;
    bool off;
    int wakeup;
    bool reopen, stop; /* relaxed; wakeup is rung behind them */
    uint64_t lost;     /* bytes that the file did not take; relaxed */
    pthread_t thread;
    unsigned n_workers;
    struct access_log_worker **workers;
};

/* ---- the worker's side ---- */

static void ring_copy(struct ring *r, uint64_t at, const char *p, size_t n) {
    size_t place = (size_t)(at & (ACCESS_LOG_RING - 1));
    size_t first = size_min(n, ACCESS_LOG_RING - place);
    memcpy(r->bytes + place, p, first);
    memcpy(r->bytes, p + first, n - first);
}

static bool ring_put(struct access_log_worker *w, struct str line) {
    struct ring *r = &w->ring;
    uint64_t used = r->written - __atomic_load_n(&r->read, __ATOMIC_ACQUIRE);
    if (line.n > ACCESS_LOG_RING - used)
        return false;
    ring_copy(r, r->written, line.p, line.n);
    __atomic_store_n(&r->written, r->written + line.n, __ATOMIC_RELEASE);
    if (used < ACCESS_LOG_RING / 2 && used + line.n >= ACCESS_LOG_RING / 2)
        wakeup_ring(w->log->wakeup);
    return true;
}

/* Failures are always logged; of the rest a share, evenly spread. */
static bool wanted(struct access_log_worker *w, bool failed,
                   const struct model_access_log *settings) {
    if (w->log->off || (settings && settings->off))
        return false;
    uint64_t share = settings ? settings->sample_per_mille : 0;
    if (share == 0 || share >= 1000 || failed)
        return true;
    uint64_t n = w->sampled++;
    return (n + 1) * share / 1000 > n * share / 1000;
}

static inline void put_line(struct access_log_worker *w, const struct out *line) {
    if (line->over || !ring_put(w, out_done(line)))
        metric_add(&w->dropped, 1);
    else
        metric_add(&w->lines, 1);
}

void access_log_request(struct access_log_worker *w, const struct record *r,
                        const struct model_access_log *settings) {
    if (unlikely(r->of == RECORD_TUNNEL_OPEN))
        return; /* one line, at its end */
    if (!wanted(w, r->status >= 400 || r->reason != REASON_NONE, settings))
        return;
    struct out o = out_fixed(w->line, sizeof(w->line));
    line_write(&o, &w->clock, r, settings);
    put_line(w, &o);
}

static bool to_audit(const struct record *r) {
    if (r->of == RECORD_TUNNEL_END) /* it was decided at its beginning */
        return false;
    if (unlikely(!r->auth))
        return r->reason == REASON_POLICY_UNAVAILABLE;
    return r->auth->audit || r->auth->decision != RECORD_ALLOW;
}

void access_log_audit(struct access_log_worker *w, const struct record *r) {
    if (likely(!to_audit(r)))
        return;
    struct out o = out_fixed(w->line, sizeof(w->line));
    line_write_audit(&o, &w->clock, r);
    put_line(w, &o);
}

void access_log_passed(struct access_log_worker *w, const struct passed *p,
                       const struct model_access_log *settings) {
    if (!wanted(w, p->reason != REASON_NONE, settings))
        return;
    struct out o = out_fixed(w->line, sizeof(w->line));
    line_write_passed(&o, &w->clock, p);
    put_line(w, &o);
}

/* ---- the writer's side ---- */

static int file_open(const char *path) {
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

/* All of it, or what the file does not take is lost: a full disk must not stop the rings. */
static void write_all(struct access_log *l, const char *p, size_t n) {
    while (n > 0) {
        ssize_t done = write(l->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EAGAIN) { /* somebody made our stdout non-blocking */
            struct pollfd ready = {l->fd, POLLOUT, 0};
            (void)poll(&ready, 1, ACCESS_LOG_WAIT_MS);
            continue;
        }
        if (done < 0) {
            metric_add(&l->lost, n);
            return;
        }
        p += done;
        n -= (size_t)done;
    }
}

/* What a ring holds, in one or two writes. */
static bool ring_drain(struct access_log *l, struct ring *r) {
    uint64_t end = __atomic_load_n(&r->written, __ATOMIC_ACQUIRE);
    bool any = r->read < end;
    while (r->read < end) {
        size_t place = (size_t)(r->read & (ACCESS_LOG_RING - 1));
        size_t n = size_min((size_t)(end - r->read), ACCESS_LOG_RING - place);
        write_all(l, r->bytes + place, n);
        __atomic_store_n(&r->read, r->read + n, __ATOMIC_RELEASE);
    }
    return any;
}

static bool drain(struct access_log *l) {
    bool any = false;
    for (unsigned i = 0; i < l->n_workers; i++)
        any |= ring_drain(l, &l->workers[i]->ring);
    return any;
}

static void reopen_now(struct access_log *l) {
    int fd = file_open(l->path);
    if (fd < 0) {
        log_warn("observe",
                 "the access log cannot be opened anew, the old file goes on file=%s: %s", l->path,
                 strerror(errno));
        return;
    }
    close(l->fd);
    l->fd = fd;
}

static void *run(void *arg) {
    struct access_log *l = arg;
    for (bool last = false; !last;) {
        struct pollfd rung = {l->wakeup, POLLIN, 0};
        if (poll(&rung, 1, ACCESS_LOG_WAIT_MS) > 0)
            wakeup_clear(l->wakeup);
        last = __atomic_load_n(&l->stop, __ATOMIC_ACQUIRE);
        bool reopen = __atomic_exchange_n(&l->reopen, false, __ATOMIC_ACQUIRE);
        drain(l);
        if (reopen && l->path)
            reopen_now(l);
    }
    return NULL;
}

/* ---- life ---- */

static void free_all(struct access_log *l) {
    for (unsigned i = 0; i < l->n_workers; i++) {
        mem_free(l->workers[i]->ring.bytes);
        mem_free(l->workers[i]);
    }
    if (l->path && l->fd >= 0)
        close(l->fd);
    if (l->wakeup >= 0)
        close(l->wakeup);
    mem_free(l->workers);
    mem_free(l->path);
    mem_free(l);
}

static int open_where(struct access_log *l, const char *where, struct why *why) {
    struct shown room;
    if (strcmp(where, "off") == 0) {
        l->off = true;
    } else if (strcmp(where, "stdout") == 0) {
        l->fd = STDOUT_FILENO;
    } else if (where[0] == 0) {
        return why_text(why, "the access log needs a place; write stdout, off or a file's path");
    } else {
        l->path = str_dup(str_of(where));
        l->fd = file_open(where);
        if (l->fd < 0)
            return why_text(why, "the access log %s cannot be opened: %s",
                            why_show(str_of(where), &room), strerror(errno));
    }
    return 0;
}

struct access_log *access_log_new(const char *where, unsigned workers, struct why *why) {
    struct access_log *l = mem_zalloc(sizeof(*l));
    l->fd = l->wakeup = -1;
    l->workers = mem_array(workers, sizeof(struct access_log_worker *));
    if (open_where(l, where, why) < 0) {
        free_all(l);
        return NULL;
    }
    l->n_workers = workers;
    for (unsigned i = 0; i < workers; i++) {
        l->workers[i] = mem_zalloc(sizeof(struct access_log_worker));
        l->workers[i]->log = l;
        if (!l->off)
            l->workers[i]->ring.bytes = mem_alloc(ACCESS_LOG_RING);
    }
    if (!l->off) {
        l->wakeup = wakeup_new();
        thread_start(&l->thread, "access-log", run, l);
    }
    return l;
}

/* A reader that has stopped reading (a full pipe) must not keep the process from ending. */
static bool stop_writer(struct access_log *l) {
    struct timespec until;
    __atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
    wakeup_ring(l->wakeup);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ACCESS_LOG_FLUSH_MS / 1000;
    return pthread_timedjoin_np(l->thread, NULL, &until) == 0;
}

void access_log_free(struct access_log *l) {
    if (!l)
        return;
    if (!l->off && !stop_writer(l)) {
        log_warn("observe", "the access log's reader does not read; its last lines are lost");
        return; /* the thread still uses it all */
    }
    free_all(l);
}

void access_log_reopen(struct access_log *l) {
    if (!l->path)
        return;
    __atomic_store_n(&l->reopen, true, __ATOMIC_RELEASE);
    wakeup_ring(l->wakeup);
}

struct access_log_worker *access_log_worker(struct access_log *l, unsigned i) {
    must(i < l->n_workers);
    return l->workers[i];
}

void access_log_metrics(const struct access_log *const *logs, unsigned n, struct metric_text *t) {
    uint64_t lines = 0, dropped = 0, lost = 0;
    for (unsigned k = 0; k < n; k++) {
        const struct access_log *l = logs[k];
        for (unsigned i = 0; l && i < l->n_workers; i++) {
            lines += metric_get(&l->workers[i]->lines);
            dropped += metric_get(&l->workers[i]->dropped);
        }
        lost += l ? metric_get(&l->lost) : 0;
    }
    metric_family(t, METRIC_COUNTER, "sluice_log_lines", "Lines of the access and audit logs.");
    metric_count(t, STR_NONE, lines);
    metric_family(t, METRIC_COUNTER, "sluice_log_dropped",
                  "Lines that found no room because the log was read too slowly.");
    metric_count(t, STR_NONE, dropped);
    metric_family(t, METRIC_COUNTER, "sluice_log_lost_bytes",
                  "Bytes of lines that the file or pipe did not take.");
    metric_count(t, STR_NONE, lost);
}
