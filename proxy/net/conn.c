/* SPDX-License-Identifier: Apache-2.0
 *
 * conn: see conn.h. A connection is on at most one of the lists dirty and doomed, and on ready
 * independently of them. A closed one stays allocated until the end of the turn, so that a handler
 * higher on the stack may still look at `closed`.
 */
#include "proxy/net/channel.h"
#include "proxy/net/parts.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- buffers ---- */

void buf_give(struct conn *c, struct conn_buf *b) {
    if (b->p != NULL)
        slab_give(&c->loop->slabs, (enum slab_size)b->size, b->p);
    *b = (struct conn_buf){0};
}

bool buf_take(struct conn *c, struct conn_buf *b, enum slab_size size) {
    b->p = slab_take(&c->loop->slabs, size);
    if (b->p == NULL)
        return false;
    b->size = (uint8_t)size;
    b->at = b->end = 0;
    b->cap = (uint32_t)slab_bytes(size);
    return true;
}

/* The same bytes in a larger slab. */
bool buf_grow(struct conn *c, struct conn_buf *b, enum slab_size size) {
    struct conn_buf old = *b;
    if (!buf_take(c, b, size)) {
        *b = old;
        return false;
    }
    b->end = old.end - old.at;
    memcpy(b->p, old.p + old.at, b->end);
    slab_give(&c->loop->slabs, (enum slab_size)old.size, old.p);
    return true;
}

enum slab_size buf_size_for(size_t n) {
    int size = SLAB_2K;
    while (size < SLAB_SEALED && slab_bytes((enum slab_size)size) < n)
        size++;
    return (enum slab_size)size;
}

/* ---- events ---- */

enum conn_end conn_end_of(int err) {
    switch (err) {
    case ECONNRESET:
    case EPIPE:
        return CONN_RESET;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case EACCES:
    case EPERM:
        return CONN_REFUSED;
    default:
        return CONN_FAILED;
    }
}

void conn_talk(struct conn *c) {
    if (c->can_write && !c->connecting && list_empty(&c->dirty_link))
        list_append(c->lazy ? &c->loop->dirty : &c->loop->hot, &c->dirty_link);
}

static void shake(struct conn *c) {
    switch (tls_shake(c)) {
    case SHAKE_CONNECTED:
        if (conn_pending(c) > 0)
            conn_talk(c);
        c->ops->connected(c);
        if (!c->closed)
            c->ops->readable(c);
        return;
    case SHAKE_DONE:
        c->ops->secured(c);
        if (!c->closed)
            c->ops->readable(c);
        return;
    case SHAKE_AGAIN:
        return;
    case SHAKE_FAILED:
        c->ops->broken(c, CONN_INSECURE, EPROTO);
        return;
    }
}

/* In clear, in one packet with what TLS says next. The error, or 0. */
static int send_first(struct conn *c) {
    ssize_t n;
    do
        n = send(c->fd, c->out.p + c->out.at, c->first_n, MSG_NOSIGNAL | MSG_MORE);
    while (n < 0 && errno == EINTR);
    if (n != c->first_n)
        return n < 0 ? errno : ENOBUFS;
    conn_account(c, c->first_n);
    c->first_n = 0;
    return 0;
}

static void finish_connect(struct conn *c) {
    int err = 0;
    socklen_t n = sizeof(err);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n) != 0)
        err = errno;
    if (unlikely(c->first_n > 0) && err == 0 && c->tls != NULL)
        err = send_first(c);
    if (err != 0) {
        c->ops->broken(c, conn_end_of(err), err);
        return;
    }
    c->connecting = false;
    if (c->tls != NULL) {
        shake(c);
        return;
    }
    if (conn_pending(c) > 0)
        conn_talk(c);
    c->ops->connected(c);
}

static void handle(struct conn *c, short what) {
    c->turn_bytes = 0;
    c->dry = false;
    if (what & EV_CLOSED)
        c->hangup = true;
    if (what & EV_WRITE)
        c->can_write = true;
    if (what & (EV_READ | EV_CLOSED))
        c->can_read = true;
    if (c->connecting) {
        if (what & (EV_WRITE | EV_CLOSED))
            finish_connect(c);
        return;
    }
    if ((what & EV_WRITE) && (conn_pending(c) > 0 || c->fin))
        conn_talk(c);
    if (unlikely(c->awaited) && (what & EV_WRITE)) {
        c->awaited = false;
        c->ops->flushed(c, 0, true);
        if (c->closed)
            return;
    }
    if (unlikely(c->shaking))
        conn_again(c);
    else if (what & (EV_READ | EV_CLOSED))
        c->ops->readable(c);
}

static void on_event(evutil_socket_t fd, short what, void *arg) {
    struct conn *c = arg;
    struct loop *l = c->loop;
    (void)fd;
    loop_enter(l);
    handle(c, what);
    conns_flush(l, false);
}

static int watch(struct conn *c) {
    event_assign(&c->ev, c->loop->base, c->fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST,
                 on_event, c);
    if (event_add(&c->ev, NULL) == 0)
        return 0;
    int err = errno;
    close(c->fd);
    errno = err;
    return -1;
}

static void start(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops) {
    *c = (struct conn){.ops = ops, .loop = l, .fd = fd, .read_size = SLAB_16K};
    list_init(&c->ready_link);
    list_init(&c->dirty_link);
}

int conn_init(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops) {
    start(c, l, fd, ops);
    c->can_write = true;
    return watch(c);
}

void conn_abandon(struct conn *c) {
    event_del(&c->ev);
    close(c->fd);
}

int conn_connect(struct conn *c, struct loop *l, const struct addr *to,
                 const struct conn_ops *ops) {
    int one = 1;
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    start(c, l, fd, ops);
    c->connecting = true;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, &to->sa, addr_len(to)) != 0 && errno != EINPROGRESS) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return watch(c);
}

/* ---- reading ---- */

/* Room for at least one byte behind what is unread. */
static enum io make_room(struct conn *c) {
    struct conn_buf *b = &c->in;
    if (b->p == NULL)
        return buf_take(c, b, (enum slab_size)c->read_size) ? IO_OK : IO_NOMEM;
    if (b->at == b->end)
        b->at = b->end = 0;
    if (b->end < b->cap)
        return IO_OK;
    if (b->at > 0 && b->at >= b->cap / 2) {
        memmove(b->p, b->p + b->at, b->end - b->at);
        b->end -= b->at;
        b->at = 0;
        return IO_OK;
    }
    if (b->size == SLAB_64K) {
        if (b->at == 0)
            return IO_FULL;
        memmove(b->p, b->p + b->at, b->end - b->at);
        b->end -= b->at;
        b->at = 0;
        return IO_OK;
    }
    return buf_grow(c, b, (enum slab_size)(b->size + 1)) ? IO_OK : IO_NOMEM;
}

enum io conn_read(struct conn *c) {
    if (!c->can_read && !c->short_read)
        return c->eof ? IO_EOF : IO_AGAIN;
    if (c->turn_bytes >= CONN_TURN_BYTES) {
        conn_again(c);
        return IO_AGAIN;
    }
    enum io io = make_room(c);
    if (io != IO_OK)
        return io;
    if (c->tls != NULL)
        return tls_read(c);
    struct conn_buf *b = &c->in;
    size_t room = b->cap - b->end;
    ssize_t n;
    c->short_read = false;
    do
        n = recv(c->fd, b->p + b->end, room, 0);
    while (n < 0 && errno == EINTR);
    if (likely(n > 0)) {
        b->end += (uint32_t)n;
        c->turn_bytes += (uint32_t)n;
        if ((size_t)n < room && !c->hangup) {
            c->can_read = false;
            c->short_read = true;
        }
        return IO_OK;
    }
    int err = errno;
    if (b->at == b->end)
        buf_give(c, b);
    if (n == 0) {
        c->eof = true;
        c->can_read = false;
        return IO_EOF;
    }
    c->can_read = false;
    errno = err;
    return err == EAGAIN || err == EWOULDBLOCK ? IO_AGAIN : IO_FAIL;
}

bool conn_peer_gone(struct conn *c) {
    char byte;
    bool gone;
    if (c->tls != NULL) {
        (void)tls_peek(c, &gone);
        return gone;
    }
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool conn_has_bytes(struct conn *c) {
    char byte;
    bool gone;
    if (c->tls != NULL)
        return tls_peek(c, &gone);
    return recv(c->fd, &byte, 1, MSG_PEEK) > 0;
}

ssize_t conn_look(struct conn *c, char *to, size_t max) {
    ssize_t n;
    do
        n = recv(c->fd, to, max, MSG_PEEK);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return -1;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

void conn_consume(struct conn *c, size_t n) {
    struct conn_buf *b = &c->in;
    debug_must(n <= b->end - b->at);
    b->at += (uint32_t)n;
    if (b->at == b->end && b->p != NULL)
        buf_give(c, b);
}

void conn_shrink(struct conn *c) {
    struct conn_buf *b = &c->in, old = *b;
    size_t n = old.end - old.at;
    if (old.p == NULL || old.size == SLAB_2K || n > slab_bytes(SLAB_2K) / 2)
        return;
    if (!buf_take(c, b, SLAB_2K)) {
        *b = old;
        return;
    }
    memcpy(b->p, old.p + old.at, n);
    b->end = (uint32_t)n;
    slab_give(&c->loop->slabs, (enum slab_size)old.size, old.p);
}

void conn_again(struct conn *c) {
    if (list_empty(&c->ready_link) && !c->closed)
        list_append(&c->loop->ready, &c->ready_link);
}

/* ---- writing ---- */

char *conn_room(struct conn *c, size_t n) {
    struct conn_buf *b = &c->out;
    if (b->p == NULL && !buf_take(c, b, buf_size_for(n)))
        return NULL;
    if (b->cap - b->end < n) {
        size_t need = b->end - b->at + n;
        if (need <= b->cap) {
            memmove(b->p, b->p + b->at, b->end - b->at);
            b->end -= b->at;
            b->at = 0;
        } else if (need > slab_bytes(SLAB_64K) || !buf_grow(c, b, buf_size_for(need))) {
            return NULL;
        }
    }
    return b->p + b->end;
}

void conn_wrote(struct conn *c, size_t n) {
    debug_must(n <= c->out.cap - c->out.end);
    c->out.end += (uint32_t)n;
    if (c->out.at == c->out.end)
        buf_give(c, &c->out);
    else
        conn_talk(c);
}

void conn_wrote_first(struct conn *c, uint8_t n) {
    debug_must(c->connecting && conn_pending(c) == 0);
    conn_wrote(c, n);
    c->first_n = n;
}

void conn_lend(struct conn *c, const char *p, size_t n, struct str after) {
    debug_must(c->lent_n == 0 && c->after_n == 0);
    c->lent = p;
    c->lent_n = n;
    c->after = after.p;
    c->after_n = (uint8_t)after.n;
    conn_talk(c);
}

void conn_lend_pipe(struct conn *c, int pipe, size_t n) {
    debug_must(c->tls == NULL && conn_pending(c) == 0);
    c->pipe = pipe;
    c->lent_n = n;
    conn_talk(c);
}

void conn_unlend(struct conn *c) {
    c->pipe = 0;
    c->lent = c->after = NULL;
    c->lent_n = c->after_n = 0;
}

static ssize_t send_all(struct conn *c) {
    struct conn_buf *b = &c->out;
    struct iovec v[3];
    size_t n = 0;
    if (b->end > b->at)
        v[n++] = (struct iovec){b->p + b->at, b->end - b->at};
    if (c->lent_n > 0)
        v[n++] = (struct iovec){(void *)(uintptr_t)c->lent, c->lent_n};
    if (c->after_n > 0)
        v[n++] = (struct iovec){(void *)(uintptr_t)c->after, c->after_n};
    if (n == 1)
        return send(c->fd, v[0].iov_base, v[0].iov_len, MSG_NOSIGNAL);
    struct msghdr m = {.msg_iov = v, .msg_iovlen = n};
    return sendmsg(c->fd, &m, MSG_NOSIGNAL);
}

/* Until the socket takes no more: it may take less than it could at once. */
static size_t pipe_send(struct conn *c, int *err) {
    size_t before = c->lent_n;
    while (c->lent_n > 0) {
        ssize_t n = channel_splice(c->pipe, c->fd, c->lent_n);
        if (n <= 0) {
            *err = n == 0 ? EIO : errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
            return before - c->lent_n;
        }
        c->lent_n -= (size_t)n;
    }
    c->pipe = 0;
    return before;
}

/* What tls_send does, for a plain connection. */
static size_t plain_send(struct conn *c, int *err) {
    ssize_t n;
    if (unlikely(c->pipe != 0))
        return pipe_send(c, err);
    do
        n = send_all(c);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return conn_account(c, (size_t)n);
    *err = errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
    return 0;
}

static void flush(struct conn *c) {
    if (c->lazy) {
        c->ops->fill(c);
        if (c->closed)
            return;
        list_del(&c->dirty_link); /* what it wrote is sent now */
    }
    bool pending = conn_pending(c) > 0;
    if (pending || (c->fin && c->tls != NULL)) {
        int err = 0;
        size_t lent = c->tls != NULL ? tls_send(c, &err) : plain_send(c, &err);
        if (err != 0) {
            c->ops->broken(c, conn_end_of(err), err);
            return;
        }
        bool all = conn_pending(c) == 0;
        if (c->shaking ? c->sealed > 0 : !all)
            c->can_write = false; /* an edge will come */
        else if (all && c->fin)
            shutdown(c->fd, SHUT_WR);
        if (pending && !c->shaking)
            c->ops->flushed(c, lent, all);
    } else if (c->fin) {
        shutdown(c->fd, SHUT_WR);
    }
}

void conn_shutdown(struct conn *c) {
    if (c->fin)
        return;
    c->fin = true;
    conn_talk(c);
}

void conn_will_reset(struct conn *c) {
    struct linger now = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void end(struct conn *c, void (*freed)(struct conn *c)) {
    c->closed = true;
    c->can_write = false; /* nothing that is said any more gets it flushed */
    c->freed = freed;
    event_del(&c->ev);
    conn_unlend(c);
    buf_give(c, &c->in);
    buf_give(c, &c->out);
    list_del(&c->ready_link);
    list_del(&c->dirty_link);
    list_append(&c->loop->doomed, &c->dirty_link);
    c->loop->n_doomed++;
}

void conn_close(struct conn *c, bool reset, void (*freed)(struct conn *c)) {
    if (c->closed)
        return;
    if (c->tls != NULL)
        tls_end(c, !reset);
    if (reset)
        conn_will_reset(c);
    end(c, freed);
}

int conn_give_up(struct conn *c, void (*freed)(struct conn *c)) {
    debug_must(!c->closed && c->tls == NULL && c->in.p == NULL && conn_pending(c) == 0);
    end(c, freed);
    int fd = c->fd;
    c->fd = -1;
    return fd;
}

/* ---- the loop's part ---- */

/* Only those that are there now: one that asks again waits for the next turn. */
/* When the turn's share is used up it comes first in the next one. */
static void shake_in_turn(struct conn *c, uint64_t *begun_ns) {
    uint64_t now = loop_clock_ns();
    if (*begun_ns == 0)
        *begun_ns = now;
    if (now - *begun_ns < CONN_SHAKING_NS)
        shake(c);
    else
        conn_again(c);
}

void conns_run_ready(struct loop *l) {
    struct list now;
    uint64_t shaking_ns = 0;
    list_init(&now);
    if (list_empty(&l->ready))
        return;
    list_add_after(&l->ready, &now);
    list_del(&l->ready);
    for (struct list *n; (n = list_pop(&now)) != NULL;) {
        struct conn *c = list_entry(n, struct conn, ready_link);
        c->turn_bytes = 0;
        if (unlikely(c->shaking))
            shake_in_turn(c, &shaking_ns);
        else
            c->ops->readable(c);
        conns_flush(l, false);
    }
}

void conns_flush(struct loop *l, bool lazy) {
    for (struct list *n; (n = list_pop(&l->hot)) != NULL || (lazy && (n = list_pop(&l->dirty)));)
        flush(list_entry(n, struct conn, dirty_link));
}

static void bury(struct loop *l, size_t most) {
    for (struct list *n; most > 0 && (n = list_pop(&l->doomed)) != NULL; most--) {
        struct conn *c = list_entry(n, struct conn, dirty_link);
        l->n_doomed--;
        if (c->fd >= 0)
            close(c->fd);
        if (c->freed != NULL)
            c->freed(c);
    }
}

/* A quarter, so that they do not become more when each turn brings many. */
void conns_end_turn(struct loop *l) { bury(l, size_max(CONN_CLOSES, l->n_doomed / 4)); }

void conns_end(struct loop *l) { bury(l, SIZE_MAX); }
