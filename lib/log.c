/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/log.h"

#include "lib/out.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"error", "warn", "info", "debug"};
static _Atomic int shown = LOG_LEVEL_INFO;
static _Atomic int where = STDERR_FILENO;
static _Atomic uint64_t lost;

void log_level(enum log_level level) { atomic_store(&shown, (int)level); }
void log_fd(int fd) { atomic_store(&where, fd); }
uint64_t log_lost(void) { return atomic_load_explicit(&lost, memory_order_relaxed); }

bool log_level_named(const char *name, enum log_level *level) {
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_on(enum log_level level) {
    return (int)level <= atomic_load_explicit(&shown, memory_order_relaxed);
}

static void put_time(struct out *o) {
    struct timespec now;
    struct tm tm;
    char room[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(room, sizeof(room), "%Y-%m-%dT%H:%M:%S", &tm);
    out_bytes(o, room, n);
    out_fmt(o, ".%03dZ ", (int)(now.tv_nsec / 1000000));
}

static void put_text(struct out *o, const char *text) {
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= 0x20 && c != 0x7f) {
            out_char(o, *p);
            continue;
        }
        out_lit(o, "\\x");
        out_hex(o, c, 2);
    }
}

/* A pipe has room for a line (at most PIPE_BUF bytes) when it says that it can be written; one
 * thread at a time asks and writes, so that nobody takes that room in between. */
static void put_line(struct str line) {
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    struct pollfd to = {.fd = atomic_load(&where), .events = POLLOUT};
    pthread_mutex_lock(&one);
    bool written = poll(&to, 1, 0) > 0 && write(to.fd, line.p, line.n) >= 0;
    pthread_mutex_unlock(&one);
    if (!written)
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
}

static void write_line(enum log_level level, const char *room, const char *fmt, va_list args) {
    char text[LOG_LINE_MAX], line[LOG_LINE_MAX];
    if (!log_on(level))
        return;
    int kept_errno = errno;
    vsnprintf(text, sizeof(text), fmt, args);
    struct out o = out_fixed(line, sizeof(line) - sizeof("...")); /* room for it and the newline */
    put_time(&o);
    out_fmt(&o, "%s %s ", names[level], room);
    put_text(&o, text);
    bool cut = o.over;
    o.cap = sizeof(line);
    o.over = false;
    if (cut)
        out_lit(&o, "...");
    out_char(&o, '\n');
    put_line(out_done(&o));
    errno = kept_errno;
}

#define LOG_FUNCTION(name, level)                                                                  \
    void name(const char *room, const char *fmt, ...) {                                            \
        va_list args;                                                                              \
        va_start(args, fmt);                                                                       \
        write_line(level, room, fmt, args);                                                        \
        va_end(args);                                                                              \
    }
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

bool log_limited(struct log_limit *l, int64_t now, unsigned most, unsigned seconds,
                 unsigned *unsaid) {
    *unsaid = 0;
    if (now - l->since >= seconds || now < l->since) {
        *unsaid = l->unsaid;
        *l = (struct log_limit){.since = now};
    }
    if (l->said < most) {
        l->said++;
        return true;
    }
    l->unsaid++;
    return false;
}
