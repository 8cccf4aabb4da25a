/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/listen.h"

#include "lib/mem.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum { ACCEPTS_A_TURN = 64, PAUSE_MS = 100 };

struct listener {
    struct loop *loop;
    int fd;
    struct loop_watch *watch; /* NULL while paused */
    struct timer resume;
    uint64_t *failures;
    void (*accepted)(void *arg, int fd, const struct addr *peer);
    void *arg;
};

static void on_readable(void *arg);

static void start(struct listener *ln) {
    if (ln->watch == NULL)
        ln->watch = loop_watch_new(ln->loop, ln->fd, on_readable, ln);
}

static void stop(struct listener *ln) {
    loop_watch_free(ln->watch);
    ln->watch = NULL;
}

static void on_resume(struct timer *t) {
    struct listener *ln = container_of(t, struct listener, resume);
    start(ln);
}

/* The client is gone, or the network failed before we took it: not the listener's fault. */
static bool transient(int err) {
    return err == ECONNABORTED || err == EINTR || err == EPROTO || err == ENETDOWN ||
           err == EHOSTUNREACH || err == ENETUNREACH || err == EPERM;
}

static void on_readable(void *arg) {
    struct listener *ln = arg;
    for (int i = 0; i < ACCEPTS_A_TURN && ln->watch != NULL; i++) {
        struct addr peer = {0};
        socklen_t n = sizeof(peer);
        int fd = accept4(ln->fd, &peer.sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            ln->accepted(ln->arg, fd, &peer);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        if (transient(errno))
            continue;
        counter_add(ln->failures, 1);
        stop(ln);
        timer_set(ln->loop->wheel, &ln->resume, ln->loop->now_ms + PAUSE_MS);
        return;
    }
}

static int open_socket(const struct addr *at, int backlog) {
    int one = 1;
    int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 &&
        bind(fd, &at->sa, addr_len(at)) == 0 && listen(fd, backlog) == 0)
        return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

struct listener *listener_new(struct loop *l, const struct addr *at, int backlog,
                              void (*accepted)(void *arg, int fd, const struct addr *peer),
                              void *arg, uint64_t *failures) {
    int fd = open_socket(at, backlog);
    if (fd < 0)
        return NULL;
    struct listener *ln = mem_zalloc(sizeof(*ln));
    *ln = (struct listener){
        .loop = l, .fd = fd, .failures = failures, .accepted = accepted, .arg = arg};
    timer_init(&ln->resume, on_resume);
    start(ln);
    return ln;
}

void listener_free(struct listener *ln) {
    if (ln == NULL)
        return;
    if (ln->watch != NULL)
        on_readable(ln); /* who is in the queue already would be reset */
    stop(ln);
    timer_fini(&ln->resume);
    close(ln->fd);
    mem_free(ln);
}
