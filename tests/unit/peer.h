/* SPDX-License-Identifier: Apache-2.0
 *
 * peer: both ends of a proxy, played by the test itself with blocking sockets. A backend is a
 * function that serves one connection, on a thread of its own; a client is a struct wire.
 *
 *     client (test's thread) ── wire ──► proxy under test ──► struct peer: accept ─► serve(wire)
 *
 * No read waits longer than PEER_PATIENCE_S, so a test that would hang fails.
 */
#ifndef SLUICE_TESTS_PEER_H
#define SLUICE_TESTS_PEER_H

#include "lib/mem.h"
#include "lib/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PEER_PATIENCE_S = 20, PEER_CONNECTIONS_MAX = 4096 };

/* ---- a connection, read through a buffer ---- */

struct wire {
    int fd;
    int last;     /* what the last wire_more() said */
    size_t at, n; /* unread: buf[at, n) */
    char buf[16384];
};

static inline void wire_init(struct wire *w, int fd) {
    struct timeval patience = {PEER_PATIENCE_S, 0};
    int one = 1;
    w->fd = fd;
    w->last = 1;
    w->at = w->n = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static inline struct sockaddr_in loopback(uint16_t port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* False: refused. */
static inline bool wire_dial(struct wire *w, uint16_t port) {
    struct sockaddr_in to = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0);
    wire_init(w, fd);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return true;
    close(fd);
    w->fd = -1;
    return false;
}

static inline void wire_close(struct wire *w) {
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}
static inline void wire_reset(struct wire *w) {
    struct linger now = {1, 0};
    setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    wire_close(w);
}

/* False: the other side is gone. */
static inline bool wire_write(struct wire *w, const char *p, size_t n) {
    while (n > 0) {
        ssize_t k = send(w->fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}
static inline bool wire_say(struct wire *w, const char *text) {
    return wire_write(w, text, strlen(text));
}
static inline bool PRINTF_LIKE(2, 3) wire_sayf(struct wire *w, const char *fmt, ...) {
    char text[4096];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return wire_write(w, text, (size_t)n);
}

/* More bytes; 0: the end, -1: reset, or no patience left. */
static inline int wire_more(struct wire *w) {
    if (w->at == w->n)
        w->at = w->n = 0;
    if (w->n == sizeof(w->buf)) {
        must(w->at > 0);
        memmove(w->buf, w->buf + w->at, w->n - w->at);
        w->n -= w->at;
        w->at = 0;
    }
    ssize_t k = recv(w->fd, w->buf + w->n, sizeof(w->buf) - w->n, 0);
    if (k > 0)
        w->n += (size_t)k;
    w->last = k > 0 ? 1 : k == 0 ? 0 : -1;
    return w->last;
}

/* Up to and with the empty line, NUL-terminated in room; false: the end came before it. */
static inline bool wire_head(struct wire *w, char *room, size_t cap) {
    for (size_t got = 0; got + 1 < cap;) {
        if (w->at == w->n && wire_more(w) <= 0)
            return false;
        room[got++] = w->buf[w->at++];
        room[got] = 0;
        if (got >= 4 && memcmp(room + got - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}
/* A line without its CR LF. */
static inline bool wire_line(struct wire *w, char *room, size_t cap) {
    for (size_t got = 0; got + 1 < cap;) {
        if (w->at == w->n && wire_more(w) <= 0)
            return false;
        room[got++] = w->buf[w->at++];
        if (got >= 2 && room[got - 1] == '\n' && room[got - 2] == '\r') {
            room[got - 2] = 0;
            return true;
        }
    }
    return false;
}

/* ---- messages ---- */

/* A body is looked at through its length and a sum, so that it may be of any size. */
struct message {
    char head[8192];
    int status;      /* of an answer; 0: none came */
    bool whole;      /* the body ended as its framing says */
    size_t length;   /* of the body */
    uint64_t sum;    /* of the body's bytes, see peer_sum */
    char text[2048]; /* the body's first bytes, NUL-terminated */
};

/* Of megabytes, while a gate's clocks run: a sanitizer would make it a matter of seconds. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static inline uint64_t
peer_sum(uint64_t sum, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        sum = sum * 1099511628211U + (unsigned char)p[i];
    return sum;
}

static inline const char *message_field(const struct message *m, const char *name) {
    static _Thread_local char value[1024];
    size_t n = strlen(name);
    for (const char *p = strstr(m->head, "\r\n"); p != NULL && p[2] != '\r';
         p = strstr(p + 2, "\r\n")) {
        if (strncasecmp(p + 2, name, n) == 0 && p[2 + n] == ':') {
            const char *from = p + 3 + n, *to = strstr(from, "\r\n");
            from += strspn(from, " ");
            snprintf(value, sizeof(value), "%.*s", (int)(to - from), from);
            return value;
        }
    }
    return NULL;
}

/* Up to n body bytes; false: the end came before. */
static inline bool message_take(struct message *m, struct wire *w, size_t n) {
    while (n > 0) {
        if (w->at == w->n && wire_more(w) <= 0)
            return false;
        size_t k = size_min(n, w->n - w->at);
        if (m->length < sizeof(m->text) - 1)
            memcpy(m->text + m->length, w->buf + w->at,
                   size_min(k, sizeof(m->text) - 1 - m->length));
        m->sum = peer_sum(m->sum, w->buf + w->at, k);
        m->length += k;
        w->at += k;
        n -= k;
    }
    return true;
}

static inline bool message_chunks(struct message *m, struct wire *w) {
    char line[64];
    for (;;) {
        if (!wire_line(w, line, sizeof(line)))
            return false;
        char *end;
        size_t n = strtoul(line, &end, 16);
        if (end == line || *end != 0)
            return false;
        if (n == 0)
            return wire_line(w, line, sizeof(line)) && line[0] == 0;
        if (!message_take(m, w, n) || !wire_line(w, line, sizeof(line)) || line[0] != 0)
            return false;
    }
}

/* The body behind m->head. until_close: where no framing is named. */
static inline void message_body(struct message *m, struct wire *w, bool until_close) {
    const char *length = message_field(m, "content-length");
    memset(m->text, 0, sizeof(m->text));
    m->length = 0;
    m->sum = 0;
    if (length != NULL) {
        m->whole = message_take(m, w, strtoul(length, NULL, 10));
    } else if (message_field(m, "transfer-encoding") != NULL) {
        m->whole = message_chunks(m, w);
    } else if (until_close) {
        (void)!message_take(m, w, SIZE_MAX);
        m->whole = w->last == 0;
    } else {
        m->whole = true;
    }
}

/* One request with its body. False: none came. */
static inline bool wire_request(struct wire *w, struct message *m) {
    m->status = 0;
    m->whole = false;
    if (!wire_head(w, m->head, sizeof(m->head)))
        return false;
    message_body(m, w, false);
    return m->whole;
}

/* One final answer; the status is 0 when none came. */
static inline int wire_answer(struct wire *w, struct message *m, bool head_only) {
    do {
        m->status = 0;
        m->whole = false;
        m->length = 0;
        if (!wire_head(w, m->head, sizeof(m->head)) ||
            sscanf(m->head, "HTTP/1.1 %d", &m->status) != 1)
            return 0;
    } while (m->status < 200);
    if (head_only || m->status == 204 || m->status == 304)
        m->whole = true;
    else
        message_body(m, w, true);
    return m->status;
}

/* What ended the connection: 0 the end, -1 a reset, 1 more bytes came. */
static inline int wire_end(struct wire *w) {
    return w->at < w->n ? 1 : w->last <= 0 ? w->last : wire_more(w);
}

/* ---- a backend ---- */

struct peer;
struct peer_connection {
    struct peer *peer;
    pthread_t thread;
    unsigned number; /* 0, 1, 2 ... in order of arrival */
    struct wire w;
};

struct peer {
    int fd;
    uint16_t port;
    char address[32]; /* "127.0.0.1:port" */
    void (*serve)(struct peer_connection *c);
    const char *name; /* for serve functions that say who they are */
    pthread_t thread;
    atomic_uint accepted, requests, open;
    atomic_size_t bytes;
    atomic_bool gate; /* serve functions may wait for it */
    pthread_mutex_t lock;
    struct peer_connection *connections[PEER_CONNECTIONS_MAX];
};

static inline void *peer_serve(void *arg) {
    struct peer_connection *c = arg;
    c->peer->serve(c);
    pthread_mutex_lock(&c->peer->lock);
    wire_close(&c->w);
    pthread_mutex_unlock(&c->peer->lock);
    atomic_fetch_sub(&c->peer->open, 1);
    return NULL;
}

static inline void *peer_accept(void *arg) {
    struct peer *p = arg;
    for (unsigned n = 0;; n++) {
        struct pollfd somebody = {.fd = p->fd, .events = POLLIN};
        int fd;
        do /* a blocked accept would hold a descriptor */
            poll(&somebody, 1, -1);
        while ((fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC)) < 0 && errno == EMFILE);
        if (fd < 0)
            return NULL;
        must(n < PEER_CONNECTIONS_MAX);
        struct peer_connection *c = mem_zalloc(sizeof(*c));
        *c = (struct peer_connection){.peer = p, .number = n};
        wire_init(&c->w, fd);
        pthread_mutex_lock(&p->lock);
        p->connections[n] = c;
        pthread_mutex_unlock(&p->lock);
        atomic_fetch_add(&p->open, 1);
        atomic_fetch_add(&p->accepted, 1);
        must(pthread_create(&c->thread, NULL, peer_serve, c) == 0);
    }
}

/* A socket bound to a free port; nobody listens. */
static inline int peer_bind(uint16_t *port) {
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    must(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static inline struct peer *peer_new(const char *name, void (*serve)(struct peer_connection *c)) {
    struct peer *p = mem_zalloc(sizeof(*p));
    p->name = name;
    p->serve = serve;
    pthread_mutex_init(&p->lock, NULL);
    p->fd = peer_bind(&p->port);
    must(listen(p->fd, 1024) == 0);
    snprintf(p->address, sizeof(p->address), "127.0.0.1:%u", p->port);
    must(pthread_create(&p->thread, NULL, peer_accept, p) == 0);
    return p;
}

/* Ends its connections too. */
static inline void peer_free(struct peer *p) {
    atomic_store(&p->gate, true);
    shutdown(p->fd, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->fd);
    for (unsigned i = 0; i < PEER_CONNECTIONS_MAX && p->connections[i] != NULL; i++) {
        struct peer_connection *c = p->connections[i];
        pthread_mutex_lock(&p->lock);
        if (c->w.fd >= 0)
            shutdown(c->w.fd, SHUT_RDWR);
        pthread_mutex_unlock(&p->lock);
        pthread_join(c->thread, NULL);
        mem_free(c);
    }
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

/* ---- waiting ---- */

/* Looks again every millisecond until the condition holds; the condition as the test's failure. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        for (unsigned waited_ = 0; !(condition); waited_++) {                                      \
            if (waited_ > PEER_PATIENCE_S * 1000U)                                                 \
                fail_msg("%s:%d: never came: %s", __FILE__, __LINE__, #condition);                 \
            poll(NULL, 0, 1);                                                                      \
        }                                                                                          \
    } while (0)

static inline void peer_wait_gate(struct peer *p) {
    while (!atomic_load(&p->gate))
        poll(NULL, 0, 1);
}

#endif
