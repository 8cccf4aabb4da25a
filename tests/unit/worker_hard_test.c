/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker in hard times: sockets that take a few bytes at a time, no memory, no descriptors, the
 * configuration swapped under load, and the way to its end.
 */
#include "tests/unit/gate.h"

#include "lib/hash.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static uint16_t next_port = 26200; /* a port for each test */

/* ---- torn writes ----
 *
 * While `tearing`, a send on a descriptor that an epoll instance watches takes only a part, most
 * often all but the last few bytes; "writable" comes a millisecond later. So every place where a
 * write can stop is met, and other events come in between. */

enum { FDS = 8192 };
static struct {
    atomic_bool tearing, end;
    pthread_mutex_t lock;
    struct {
        int epoll; /* plus one; 0: not watched */
        bool torn;
        struct epoll_event event;
    } fds[FDS];
} tear = {.lock = PTHREAD_MUTEX_INITIALIZER};

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event) {
    pthread_mutex_lock(&tear.lock);
    if (fd >= 0 && fd < FDS) {
        tear.fds[fd].epoll = op == EPOLL_CTL_DEL ? 0 : epoll + 1;
        tear.fds[fd].torn = false;
        if (event != NULL)
            tear.fds[fd].event = *event;
    }
    pthread_mutex_unlock(&tear.lock);
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

/* How much of n bytes may go. */
static size_t torn(int fd, size_t n) {
    static _Thread_local uint64_t x = 88172645463325252U;
    if (!atomic_load(&tear.tearing) || n < 2 || fd >= FDS)
        return n;
    pthread_mutex_lock(&tear.lock);
    bool watched = tear.fds[fd].epoll != 0;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    size_t less = x % 4 == 0 ? 0 : x % 4 == 1 ? x / 4 % n : size_min(1 + x / 4 % 9, n - 1);
    tear.fds[fd].torn = watched && less > 0;
    pthread_mutex_unlock(&tear.lock);
    return watched ? n - less : n;
}

ssize_t send(int fd, const void *p, size_t n, int flags) {
    return syscall(SYS_sendto, fd, p, torn(fd, n), flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
    struct iovec v[8];
    struct msghdr part = {.msg_iov = v};
    size_t n = 0;
    must(m->msg_iovlen <= 8);
    for (size_t i = 0; i < m->msg_iovlen; i++)
        n += m->msg_iov[i].iov_len;
    n = torn(fd, n);
    for (size_t i = 0; i < m->msg_iovlen && n > 0; i++) {
        v[i] = m->msg_iov[i];
        v[i].iov_len = size_min(v[i].iov_len, n);
        n -= v[i].iov_len;
        part.msg_iovlen++;
    }
    return syscall(SYS_sendmsg, fd, &part, flags);
}

static void *make_writable(void *arg) {
    (void)arg;
    while (!atomic_load(&tear.end)) {
        poll(NULL, 0, 1);
        pthread_mutex_lock(&tear.lock);
        for (int fd = 0; fd < FDS; fd++) {
            if (tear.fds[fd].torn && tear.fds[fd].epoll != 0)
                syscall(SYS_epoll_ctl, tear.fds[fd].epoll - 1, EPOLL_CTL_MOD, fd,
                        &tear.fds[fd].event);
            tear.fds[fd].torn = false;
        }
        pthread_mutex_unlock(&tear.lock);
    }
    return NULL;
}

/* ---- backends ---- */

/* The bytes that stand at [at, at + n) of every body. */
static void pattern(char *p, size_t at, size_t n) {
    for (size_t i = 0; i < n; i++)
        p[i] = (char)((at + i) * 131 >> 3);
}
static uint64_t pattern_sum(size_t n) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        char c;
        pattern(&c, i, 1);
        sum = peer_sum(sum, &c, 1);
    }
    return sum;
}

/* n pattern bytes in chunks of uneven sizes, some of them together in one write. */
static bool say_chunks(struct wire *w, size_t n, unsigned step) {
    char text[4096 + 64];
    for (size_t at = 0; at < n;) {
        size_t k = size_min(1 + (at * 7 + step * 131) % 4000, n - at);
        size_t line = (size_t)snprintf(text, 32, "%zx\r\n", k);
        pattern(text + line, at, k);
        memcpy(text + line + k, "\r\n", 2);
        if (!wire_write(w, text, line + k + 2))
            return false;
        at += k;
    }
    return wire_say(w, "0\r\n\r\n");
}

/* Gives as many bytes as it got, in chunks or with a length. */
static void give_back(struct peer_connection *c) {
    struct message m;
    for (unsigned i = 0; wire_request(&c->w, &m); i++) {
        atomic_fetch_add(&c->peer->requests, 1);
        if (m.sum != pattern_sum(m.length)) {
            wire_say(&c->w, "HTTP/1.1 422 Other Bytes\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        if (i % 3 != 2) {
            wire_say(&c->w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            if (!say_chunks(&c->w, m.length, i))
                return;
            continue;
        }
        char *body = mem_alloc(m.length);
        pattern(body, 0, m.length);
        wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", m.length);
        wire_write(&c->w, body, m.length);
        mem_free(body);
    }
}

static void name_itself(struct peer_connection *c) {
    struct message m;
    while (wire_request(&c->w, &m)) {
        atomic_fetch_add(&c->peer->requests, 1);
        if (!wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(c->peer->name), c->peer->name))
            return;
    }
}

struct stage {
    struct gate *g;
    struct peer *p;
};
static struct stage open_stage(void (*serve)(struct peer_connection *c)) {
    struct stage s = {gate_new(next_port++), peer_new("app", serve)};
    gate_backend(s.g, "app", s.p->address, NULL);
    gate_route(s.g, (struct model_route){0}, "app");
    gate_publish(s.g);
    return s;
}
static void close_stage(struct stage s) {
    gate_free(s.g);
    peer_free(s.p);
}

/* ---- tests ---- */

struct uploader {
    struct stage *s;
    pthread_t thread;
    unsigned seed;
    const char *fault;
};

static void *upload(void *arg) {
    struct uploader *u = arg;
    struct wire w;
    struct message m;
    if (!wire_dial(&w, gate_port(u->s->g))) {
        u->fault = "refused";
        return NULL;
    }
    for (unsigned i = 0; i < 60 && u->fault == NULL; i++) {
        size_t n = 1 + (i * 7919U + u->seed * 104729U) % 60000;
        wire_say(&w, "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        say_chunks(&w, n, i + u->seed);
        int status = wire_answer(&w, &m, false);
        if (status != 200)
            u->fault = status == 422 ? "the request's bytes were others" : "no answer";
        else if (!m.whole || m.length != n)
            u->fault = "the answer was not whole";
        else if (m.sum != pattern_sum(n))
            u->fault = "the answer's bytes were others";
    }
    wire_close(&w);
    return NULL;
}

static void bodies_survive_torn_writes(void **state) {
    (void)state;
    enum { N = 8 };
    struct stage s = open_stage(give_back);
    struct uploader u[N];
    pthread_t writable;
    atomic_store(&tear.end, false);
    pthread_create(&writable, NULL, make_writable, NULL);
    atomic_store(&tear.tearing, true);
    for (unsigned i = 0; i < N; i++) {
        u[i] = (struct uploader){.s = &s, .seed = i};
        pthread_create(&u[i].thread, NULL, upload, &u[i]);
    }
    for (unsigned i = 0; i < N; i++)
        pthread_join(u[i].thread, NULL);
    atomic_store(&tear.tearing, false);
    for (unsigned i = 0; i < N; i++)
        if (u[i].fault != NULL)
            fail_msg("client %u: %s", i, u[i].fault);
    gate_quiet(s.g);
    close_stage(s);
    atomic_store(&tear.end, true);
    pthread_join(writable, NULL);
}

/* Each allocation of a request fails once: there is an answer or a clean end each time, and what
 * comes after it is served. */
static void no_memory_at_any_point(void **state) {
    (void)state;
    unsigned shed = 0;
    for (unsigned n = 1; n <= 12; n++) {
        struct stage s = open_stage(give_back);
        struct wire w;
        struct message m;
        char text[512], body[101] = {0};
        pattern(body, 0, 100);
        snprintf(text, sizeof(text), "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
        mem_fail_at(n);
        if (wire_dial(&w, gate_port(s.g))) {
            wire_say(&w, text);
            wire_write(&w, body, 100);
            int status = wire_answer(&w, &m, false);
            if (status != 200 && status != 503 && status != 0)
                fail_msg("allocation %u: %d", n, status);
            shed += status != 200;
            wire_close(&w);
        }
        mem_fail_at(0);
        assert_int_equal(gate_ask(s.g, GET, &m), 200);
        gate_quiet(s.g);
        close_stage(s);
    }
    assert_true(shed >= 4); /* session, buffers, stream, target, upstream: it did fail */
}

/* The worker rings main when it has adopted or returned something. */
static bool wake_seen(struct gate *g) {
    struct pollfd ring = {.fd = g->ring, .events = POLLIN};
    return poll(&ring, 1, 0) > 0;
}

/* The last configuration stays, and the next one is taken. */
static void no_memory_for_a_configuration(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct message m;
    uint64_t before = worker_adopted(s.g->worker);
    struct peer *other = peer_new("other", name_itself);
    put_backend(&s.g->world, "other", other->address, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3",
                NULL);
    gate_route(s.g, (struct model_route){0}, "other");
    world_commit(&s.g->world);
    wakeup_clear(s.g->ring);
    mem_fail_at(1);
    worker_publish(s.g->worker, snapshot_hold(s.g->world.s));
    wait_until(wake_seen(s.g));
    assert_int_equal(gate_ask(s.g, GET, &m), 200);
    assert_string_equal(m.text, "app");
    assert_int_equal(worker_adopted(s.g->worker), before);
    gate_route(s.g, (struct model_route){.order = 1}, "app");
    gate_publish(s.g);
    assert_int_equal(gate_ask(s.g, GET, &m), 200);
    peer_free(other);
    close_stage(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_survive_torn_writes),
        cmocka_unit_test(no_memory_at_any_point),
        cmocka_unit_test(no_memory_for_a_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
