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

/* ---- no descriptors ---- */

/* All descriptors of this process but a few are in use; gives them back in spare. */
static size_t use_up_descriptors(int *spare, size_t max, struct rlimit *before) {
    size_t n = 0;
    getrlimit(RLIMIT_NOFILE, before);
    struct rlimit few = {256, before->rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    while (n < max && (spare[n] = dup(0)) >= 0)
        n++;
    return n;
}

/* R10: the client waits in the kernel's queue, nothing spins, and it is served in the end. */
static void no_descriptors(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    int spare[256];
    struct rlimit before;
    struct wire w;
    struct message m;
    size_t n = use_up_descriptors(spare, ARRAY_LEN(spare), &before);
    assert_true(n > 4);
    close(spare[--n]); /* for the client's own end */
    assert_true(wire_dial(&w, gate_port(s.g)));
    wire_say(&w, GET);
    wait_until(gate_gauges(s.g).accept_failures >= 3);
    struct worker_gauges one = gate_gauges(s.g);
    wait_until(gate_gauges(s.g).accept_failures >= one.accept_failures + 3);
    struct worker_gauges two = gate_gauges(s.g);
    assert_true(two.cpu_ns - one.cpu_ns < 100000000); /* of 300 ms */
    close(spare[--n]); /* the worker takes the client, and has none for the backend */
    assert_int_equal(wire_answer(&w, &m, false), 503);
    assert_string_equal(message_field(&m, "sluice-reason"), "overloaded");
    while (n > 0)
        close(spare[--n]);
    setrlimit(RLIMIT_NOFILE, &before);
    wire_say(&w, GET);
    assert_int_equal(wire_answer(&w, &m, false), 200);
    wire_close(&w);
    gate_quiet(s.g);
    close_stage(s);
}

/* ---- swaps and the end ---- */

struct asker {
    uint16_t port;
    pthread_t thread;
    atomic_bool *stop;
    bool new_connections; /* for each request */
    unsigned good, closed, refused;
    const char *fault;
};

/* Asks until it is told to stop; an answer is whole and says "one" or "two". */
static void *ask_on(void *arg) {
    struct asker *a = arg;
    struct wire w = {.fd = -1};
    struct message m;
    while (!atomic_load(a->stop) && a->fault == NULL) {
        if (w.fd < 0 && !wire_dial(&w, a->port)) {
            a->refused++;
            break;
        }
        if (!wire_say(&w, GET) || wire_answer(&w, &m, false) == 0) {
            a->fault = "no answer";
        } else if (m.status != 200 || !m.whole ||
                   (strcmp(m.text, "one") != 0 && strcmp(m.text, "two") != 0)) {
            a->fault = "a wrong answer";
        } else {
            a->good++;
            const char *connection = message_field(&m, "connection");
            bool close = connection != NULL && strcmp(connection, "close") == 0;
            a->closed += close;
            if (close || a->new_connections)
                wire_close(&w);
        }
    }
    wire_close(&w);
    return NULL;
}

enum { ASKERS = 8 };
static void start_asking(struct asker *a, struct gate *g, atomic_bool *stop) {
    atomic_store(stop, false);
    for (int i = 0; i < ASKERS; i++) {
        a[i] = (struct asker){.port = gate_port(g), .stop = stop, .new_connections = i % 2};
        pthread_create(&a[i].thread, NULL, ask_on, &a[i]);
    }
}
static void stop_asking(struct asker *a) {
    for (int i = 0; i < ASKERS; i++)
        pthread_join(a[i].thread, NULL);
    for (int i = 0; i < ASKERS; i++)
        if (a[i].fault != NULL)
            fail_msg("client %d: %s after %u good ones", i, a[i].fault, a[i].good);
}

/* Every request gets one answer, of the law before or after; old laws are given back. */
static void swaps_under_load(void **state) {
    (void)state;
    struct gate *g = gate_new(next_port++);
    struct peer *one = peer_new("one", name_itself), *two = peer_new("two", name_itself);
    struct asker a[ASKERS];
    atomic_bool stop;
    gate_backend(g, "one", one->address, NULL);
    gate_backend(g, "two", two->address, NULL);
    gate_route(g, (struct model_route){0}, "one");
    gate_publish(g);
    start_asking(a, g, &stop);
    for (unsigned i = 0; i < 300; i++) {
        struct model_route r = {.order = i};
        gate_route(g, r, i % 2 ? "one" : "two");
        put_backend(&g->world, "one", one->address, i % 3 ? "127.0.0.1:9-" : NULL, NULL);
        gate_publish(g);
    }
    atomic_store(&stop, true);
    stop_asking(a);
    assert_true(atomic_load(&one->requests) > 0 && atomic_load(&two->requests) > 0);
    gate_quiet(g);
    worker_collect(g->worker);
    assert_int_equal(g->world.s->refs, 2); /* the world's own hold and the worker's */
    gate_free(g);
    peer_free(one);
    peer_free(two);
}

/* R2: while it drains everybody is served and told to close. */
static void draining_tells_everybody_to_close(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct asker a[ASKERS];
    atomic_bool stop;
    s.p->name = "one";
    start_asking(a, s.g, &stop);
    wait_until(atomic_load(&s.p->requests) > 50);
    worker_drain(s.g->worker);
    unsigned then = atomic_load(&s.p->requests);
    wait_until(atomic_load(&s.p->requests) > then + 200);
    atomic_store(&stop, true);
    stop_asking(a);
    for (int i = 0; i < ASKERS; i++)
        assert_true(a[i].closed > 0);
    gate_quiet(s.g);
    close_stage(s);
}

/* Nobody whose connection stood when the listener was closed is left without an answer, be it in
 * the kernel's queue or just accepted, with its request in the kernel or on its way. */
static void closing_listeners_loses_no_request(void **state) {
    (void)state;
    enum { ROUNDS = 30, CLIENTS = 40 };
    for (int round = 0; round < ROUNDS; round++) {
        struct stage s = open_stage(name_itself);
        static struct wire w[CLIENTS];
        struct message m;
        worker_drain(s.g->worker);
        for (int i = 0; i < CLIENTS; i++) {
            assert_true(wire_dial(&w[i], gate_port(s.g)));
            if (i % 2)
                wire_say(&w[i], GET);
        }
        worker_close_listeners(s.g->worker);
        for (int i = 0; i < CLIENTS; i += 2)
            wire_say(&w[i], GET);
        for (int i = 0; i < CLIENTS; i++) {
            if (wire_answer(&w[i], &m, false) != 200)
                fail_msg("round %d, client %d: no answer", round, i);
            wire_close(&w[i]);
        }
        struct wire late;
        assert_false(wire_dial(&late, gate_port(s.g)));
        gate_quiet(s.g);
        close_stage(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_survive_torn_writes),
        cmocka_unit_test(no_memory_at_any_point),
        cmocka_unit_test(no_memory_for_a_configuration),
        cmocka_unit_test(no_descriptors),
        cmocka_unit_test(swaps_under_load),
        cmocka_unit_test(draining_tells_everybody_to_close),
        cmocka_unit_test(closing_listeners_loses_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
