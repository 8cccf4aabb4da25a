/* SPDX-License-Identifier: Apache-2.0
 *
 * log: what a program has to say about itself, one event a line, to standard error:
 *
 *   2026-01-02T03:04:05.678Z info link connected controller=ws://127.0.0.1:7400
 *
 * time (UTC), level, room, message, then key=value. (Requests have a log of their own:
 * proxy/observe.) Any thread may call all of it; a line is one write(2), so lines never mix. A line
 * is at most LOG_LINE_MAX bytes, longer ones are cut and end in "...". Control characters are
 * written as \xNN: nobody from outside can forge a line. A line that cannot be written at once is
 * lost and counted: a worker does not wait for a pipe that nobody reads.
 *
 * Never log a secret. Names and addresses may come from outside, bodies and bytes may not.
 */
#ifndef SLUICE_LIB_LOG_H
#define SLUICE_LIB_LOG_H

#include "lib/base.h"

enum { LOG_LINE_MAX = 2048 };

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* What is written: this level and those before it. INFO at start. */
void log_level(enum log_level level);
bool log_level_named(const char *name, enum log_level *level); /* "error" "warn" "info" "debug" */
/* Whether a line of this level would be written, for what is dear to put together. */
bool log_on(enum log_level level);
/* Where lines go; 2 at start. For tests. */
void log_fd(int fd);

void log_error(const char *room, const char *fmt, ...) PRINTF_LIKE(2, 3);
void log_warn(const char *room, const char *fmt, ...) PRINTF_LIKE(2, 3);
void log_info(const char *room, const char *fmt, ...) PRINTF_LIKE(2, 3);
void log_debug(const char *room, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Lines that nobody took so far. */
uint64_t log_lost(void);

/* For lines that foreigners can cause: at most `most` of them in `seconds`. Whether this one may be
 * written; *unsaid: how many were not, to be told with it. */
struct log_limit {
    int64_t since; /* seconds of whatever clock */
    unsigned said, unsaid;
};
bool log_limited(struct log_limit *l, int64_t now, unsigned most, unsigned seconds,
                 unsigned *unsaid);

#endif
