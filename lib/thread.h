/* SPDX-License-Identifier: Apache-2.0
 *
 * thread: what two threads need to talk. A mailbox is a queue with one lock that is held for a few
 * instructions; it says when the receiver must be woken and when the sender must slow down.
 *
 *   sender                                    receiver
 *   if (mailbox_put(..) & MAILBOX_WAS_EMPTY)  while ((mail = mailbox_take(.., &resume))) ...
 *       wake the receiver                     if (resume) tell the sender to go on
 *   if (.. & MAILBOX_FULL) stop reading
 *
 * Full is advice: a put always succeeds, so the overshoot is what the sender has in hand.
 */
#ifndef SLUICE_LIB_THREAD_H
#define SLUICE_LIB_THREAD_H

#include "lib/list.h"

#include <pthread.h>

/* A thread that receives no signal: those are for main. Dies if there can be none. */
void thread_start(pthread_t *t, const char *name /* at most 15 bytes */, void *(*run)(void *),
                  void *arg);

/* An eventfd, non-blocking, close-on-exec. Dies if there can be none. */
int wakeup_new(void);
void wakeup_ring(int fd);  /* any thread; never blocks */
void wakeup_clear(int fd); /* the reader, before it looks at what it was woken for */

struct mail { /* embedded in a message */
    struct list link;
    size_t cost; /* bytes, for the limit */
};

struct mailbox {
    pthread_mutex_t lock;
    struct list queue;
    size_t cost, limit; /* bytes */
    bool full;          /* went over the limit and is not yet down to half */
};

enum { MAILBOX_WAS_EMPTY = 1, MAILBOX_FULL = 2 };

void mailbox_init(struct mailbox *m, size_t limit);
void mailbox_fini(struct mailbox *m); /* must be empty */
unsigned mailbox_put(struct mailbox *m, struct mail *mail);
/* The oldest, or NULL. *resume becomes true when this one brought a full mailbox down to half. */
struct mail *mailbox_take(struct mailbox *m, bool *resume);

#endif
