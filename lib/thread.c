/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

void thread_start(pthread_t *t, const char *name, void *(*run)(void *), void *arg) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(t, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    must(failed == 0);
    pthread_setname_np(*t, name);
}

int wakeup_new(void) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    must(fd >= 0);
    return fd;
}

void wakeup_ring(int fd) {
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));
    must(n == sizeof(one) || errno == EAGAIN); /* a full counter is a ringing one */
}

void wakeup_clear(int fd) {
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));
    must(n == sizeof(count) || errno == EAGAIN);
}

void mailbox_init(struct mailbox *m, size_t limit) {
    *m = (struct mailbox){.limit = limit};
    pthread_mutex_init(&m->lock, NULL);
    list_init(&m->queue);
}

void mailbox_fini(struct mailbox *m) {
    must(list_empty(&m->queue));
    pthread_mutex_destroy(&m->lock);
}

unsigned mailbox_put(struct mailbox *m, struct mail *mail) {
    pthread_mutex_lock(&m->lock);
    unsigned state = list_empty(&m->queue) ? MAILBOX_WAS_EMPTY : 0;
    list_append(&m->queue, &mail->link);
    m->cost += mail->cost;
    if (m->cost > m->limit)
        m->full = true;
    if (m->full)
        state |= MAILBOX_FULL;
    pthread_mutex_unlock(&m->lock);
    return state;
}

struct mail *mailbox_take(struct mailbox *m, bool *resume) {
    pthread_mutex_lock(&m->lock);
    struct list *link = list_pop(&m->queue);
    struct mail *mail = link ? list_entry(link, struct mail, link) : NULL;
    if (mail)
        m->cost -= mail->cost;
    bool open = mail && m->full && m->cost <= m->limit / 2;
    if (open) {
        m->full = false;
        *resume = true;
    }
    pthread_mutex_unlock(&m->lock);
    return mail;
}
