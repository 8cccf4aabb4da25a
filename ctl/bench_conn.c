/* SPDX-License-Identifier: Apache-2.0
 *
 * A socket of a run, TLS on it, and the events of both.
 */
#include "ctl/bench_load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <unistd.h>

static void watch(struct bench_conn *c, int operation, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    must(epoll_ctl(c->load->epoll, operation, c->fd, &e) == 0);
}

static void wait_for_room(struct bench_conn *c, bool wait) {
    if (c->waits == wait)
        return;
    c->waits = wait;
    watch(c, EPOLL_CTL_MOD, wait ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* ---- its end ---- */

static enum bench_error error_of(int error) {
    return error == ECONNRESET || error == EPIPE ? BENCH_RESET : BENCH_CLOSED;
}

void bench_conn_close(struct bench_conn *c, enum bench_error why) {
    if (c->state == CONN_CLOSED)
        return;
    if (c->state == CONN_OPEN)
        c->codec->closed(c);
    c->state = CONN_CLOSED;
    SSL_free(c->tls); /* before its socket */
    c->tls = NULL;
    close(c->fd);
    c->retired = c->waits = c->in_body = false;
    c->rest = STR_NONE;
    c->held.n = 0;
    for (unsigned i = 0; c->taken > 0 && i < c->load->plan->streams; i++) {
        if (c->flights[i].state == FLIGHT_FREE)
            continue;
        if (why == BENCH_ERRORS)
            bench_again(&c->flights[i]);
        else
            bench_failed_with(&c->flights[i], why);
    }
    bench_unlisted(c);
}

/* ---- its beginning ---- */

static void ask_all(struct bench_conn *c) {
    for (unsigned i = 0; i < c->load->plan->streams && c->state == CONN_OPEN; i++) {
        struct bench_flight *f = &c->flights[i];
        if (f->state != FLIGHT_WAITS)
            continue;
        f->state = FLIGHT_SENT;
        c->codec->ask(c, f);
    }
}

static bool speaks_h2(const struct bench_conn *c) {
    const unsigned char *name = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(c->tls, &name, &n);
    return n == 2 && memcmp(name, "h2", 2) == 0;
}

static void opened(struct bench_conn *c) {
    struct bench_load *l = c->load;
    if (c->tls && l->plan->http2 && !speaks_h2(c)) {
        snprintf(l->tls_words, sizeof(l->tls_words), "the server does not speak HTTP/2 (ALPN h2)");
        bench_conn_close(c, BENCH_TLS);
        return;
    }
    c->state = CONN_OPEN;
    l->opened++;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    if (c->codec->opened(c))
        ask_all(c);
    else
        bench_conn_close(c, BENCH_CLOSED);
}

static void note_tls(struct bench_conn *c) {
    struct bench_load *l = c->load;
    long verdict = SSL_get_verify_result(c->tls);
    unsigned long error = ERR_peek_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    snprintf(l->tls_words, sizeof(l->tls_words), "%s",
             verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
             : reason             ? reason
                                  : "the server closes the connection");
}

static void shake(struct bench_conn *c) {
    ERR_clear_error();
    int rc = SSL_connect(c->tls);
    int error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(c->tls, rc);
    if (error == SSL_ERROR_NONE) {
        opened(c);
    } else if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        watch(c, EPOLL_CTL_MOD, error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
    } else {
        note_tls(c);
        bench_conn_close(c, BENCH_TLS);
    }
}

/* Of a name with several addresses (::1 and 127.0.0.1) those count that take connections. */
static void refused(struct bench_conn *c, int error) {
    struct bench_load *l = c->load;
    l->connect_errno = error;
    if (!l->begun)
        l->dead[c->to] = true;
    bench_conn_close(c, BENCH_CONNECT);
}

static bool begin_tls(struct bench_conn *c) {
    const struct bench_plan *p = c->load->plan;
    c->tls = SSL_new(p->tls);
    return c->tls && SSL_set_fd(c->tls, c->fd) == 1 &&
           (!p->name || (SSL_set_tlsext_host_name(c->tls, p->name) == 1 &&
                         SSL_set1_host(c->tls, p->name) == 1));
}

static void connected(struct bench_conn *c) {
    int error = 0;
    socklen_t n = sizeof(error);
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error != 0) {
        refused(c, error);
    } else if (!c->load->plan->tls) {
        opened(c);
    } else {
        c->state = CONN_SHAKING;
        if (begin_tls(c))
            shake(c);
        else
            bench_conn_close(c, BENCH_TLS);
    }
}

/* In turns; its own one where all are dead. */
static unsigned next_address(const struct bench_conn *c) {
    const struct bench_load *l = c->load;
    unsigned first = (unsigned)(c - l->conns), n = l->plan->n_to;
    must(n > 0);
    for (unsigned i = 0; i < n; i++)
        if (!l->dead[(first + i) % n])
            return (first + i) % n;
    return first % n;
}

void bench_conn_open(struct bench_conn *c) {
    int on = 1;
    c->to = (uint8_t)next_address(c);
    const struct bench_address *to = &c->load->plan->to[c->to];
    c->fd = socket(to->a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->state = CONN_CONNECTING;
    if (c->fd >= 0) {
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        watch(c, EPOLL_CTL_ADD, EPOLLOUT);
    }
    if (c->fd < 0 ||
        (connect(c->fd, (const struct sockaddr *)&to->a, to->n) != 0 && errno != EINPROGRESS))
        refused(c, errno);
}

/* ---- bytes ---- */

/* n > 0; 0: the server has finished; -1: nothing now; -2: broken, *why. */
static ssize_t get(struct bench_conn *c, enum bench_error *why) {
    struct bench_load *l = c->load;
    if (!c->tls) {
        ssize_t n = recv(c->fd, l->room, BENCH_READ_BYTES, 0);
        if (n >= 0 || errno == EAGAIN || errno == EINTR)
            return n;
        *why = error_of(errno);
        return -2;
    }
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(c->tls, l->room, BENCH_READ_BYTES);
    if (n > 0)
        return n;
    int error = SSL_get_error(c->tls, n);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return -1;
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    *why = error == SSL_ERROR_SYSCALL ? error_of(errno) : BENCH_CLOSED;
    return -2;
}

/* A plain socket has no more when it gave less than was asked for. */
static void read_all(struct bench_conn *c) {
    enum bench_error why = BENCH_ERRORS;
    ssize_t n = BENCH_READ_BYTES;
    while (c->state == CONN_OPEN && (c->tls || n == BENCH_READ_BYTES)) {
        n = get(c, &why);
        if (n == -1)
            return;
        if (n > 0) {
            c->load->now_ns = bench_clock();
            if (c->load->in_window)
                c->load->result->bytes_in += (uint64_t)n;
            why = c->codec->came(c, str_mk(c->load->room, (size_t)n));
        } else if (n == 0) {
            why = c->codec->ended(c) ? BENCH_ERRORS : BENCH_CLOSED;
        }
        if (n <= 0 || why != BENCH_ERRORS || (c->retired && c->taken == 0))
            bench_conn_close(c, why);
    }
}

/* How many went; -1: no room; -2: broken. */
static ssize_t put(struct bench_conn *c) {
    if (!c->tls) {
        ssize_t n = send(c->fd, c->rest.p, c->rest.n, MSG_NOSIGNAL);
        return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? -1 : -2;
    }
    ERR_clear_error();
    int n = SSL_write(c->tls, c->rest.p, (int)size_min(c->rest.n, 1 << 20));
    if (n > 0)
        return n;
    int error = SSL_get_error(c->tls, n);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? -1 : -2;
}

void bench_conn_write(struct bench_conn *c) {
    while (c->state == CONN_OPEN && (c->rest.n > 0 || (c->rest = c->codec->give(c)).n > 0)) {
        ssize_t n = put(c);
        if (n < 0) {
            if (n == -1)
                wait_for_room(c, true);
            else
                read_all(c); /* what the server said before it closed, and that it has */
            if (n != -1 && c->state == CONN_OPEN)
                bench_conn_close(c, BENCH_RESET);
            return;
        }
        if (c->load->in_window)
            c->load->result->bytes_out += (uint64_t)n;
        c->rest = str_skip(c->rest, (size_t)n);
    }
    if (c->state == CONN_OPEN)
        wait_for_room(c, false);
}

void bench_conn_write_soon(struct bench_conn *c) {
    if (c->dirty)
        return;
    c->dirty = true;
    c->next_dirty = c->load->dirty;
    c->load->dirty = c;
}

void bench_conn_event(struct bench_conn *c, uint32_t events) {
    if (c->state == CONN_CONNECTING)
        connected(c);
    else if (c->state == CONN_SHAKING)
        shake(c);
    else if (c->state == CONN_OPEN && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        read_all(c);
    if (c->state == CONN_OPEN && (events & EPOLLOUT))
        bench_conn_write(c);
}
