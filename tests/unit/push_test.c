/* SPDX-License-Identifier: Apache-2.0
 *
 * The controller's end of the link against clients that are played by hand: what it admits, what it
 * sends to whom, and that one that stops reading costs nobody else anything.
 */
#include "controller/push/push.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/wire.h"
#include "lib/ws.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PORT = 21201, WITHIN_S = 30 };

static struct event_base *base;
static struct push *push;
static unsigned nacks;

/* Turns the controller's loop until the condition holds. */
#define until(condition)                                                                           \
    do {                                                                                           \
        time_t end = time(NULL) + WITHIN_S;                                                        \
        while (!(condition)) {                                                                     \
            if (time(NULL) > end)                                                                  \
                fail_msg("line %d: never true: %s", __LINE__, #condition);                         \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

/* ---- a proxy that is played by hand ---- */

struct proxy {
    struct ws *ws;
    struct event *readable;
    uint64_t conn;
    unsigned begins, holds, puts, dels, commits, closed;
    size_t buckets; /* in the last begin */
    uint64_t tx, digest;
    char del[100];
    bool acks;
};

static void say(struct proxy *p, enum wire_type type, const void *value) {
    struct out o = ws_message();
    wire_encode(type, value, &o);
    ws_send(p->ws, p->conn, &o);
}

static void hello(struct proxy *p, const struct digest *d, bool ready, bool follow) {
    char room[WIRE_DIGEST_BYTES];
    wire_digest_pack(d, room);
    say(p, WIRE_hello,
        &(struct wire_hello){STR("by-hand"), 1, str_mk(room, sizeof(room)), digest_total(d), ready,
                             follow, STR("v1")});
}

static size_t bits(struct str buckets) {
    size_t n = 0;
    for (unsigned i = 0; i < MODEL_BUCKETS; i++)
        n += wire_bucket_in(buckets, i);
    return n;
}

static void heard(struct proxy *p, const struct wire_message *m) {
    switch (m->type) {
    case WIRE_begin:
        p->begins++;
        p->buckets = bits(m->begin.buckets);
        return;
    case WIRE_hold:
        p->holds += m->hold.n_ids;
        return;
    case WIRE_put:
        p->puts++;
        return;
    case WIRE_del:
        p->dels++;
        snprintf(p->del, sizeof(p->del), "%.*s", STR_FMT(m->del.id));
        return;
    case WIRE_commit:
        p->commits++;
        p->tx = m->commit.tx;
        p->digest = m->commit.digest;
        if (p->acks)
            say(p, WIRE_ack, &(struct wire_ack){p->tx, p->digest, p->digest});
        return;
    default:
        return;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct proxy *p = arg;
    (void)fd, (void)what;
    for (struct ws_event *e; (e = ws_next(p->ws)); ws_event_free(e)) {
        struct wire_message m;
        struct why why = {0};
        struct arena a;
        if (e->type == WS_OPEN)
            p->conn = e->conn;
        if (e->type == WS_CLOSED)
            p->closed++;
        if (e->type != WS_MESSAGE)
            continue;
        arena_init(&a);
        assert_int_equal(wire_decode(e->bytes, &a, &m, &why), 0);
        heard(p, &m);
        arena_fini(&a);
    }
}

static void turn(void) {
    struct timeval soon = {0, 20000};
    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
}

static struct proxy *proxy_new(bool acks) {
    const struct ws_target to = {.at = {.host = "127.0.0.1", .port = PORT}};
    struct why why = {0};
    struct proxy *p = mem_zalloc(sizeof(*p));
    p->acks = acks;
    p->ws = ws_dialler(&why);
    assert_non_null(p->ws);
    ws_dial(p->ws, &to);
    p->readable = event_new(base, ws_fd(p->ws), EV_READ | EV_PERSIST, on_readable, p);
    event_add(p->readable, NULL);
    until(p->conn != 0);
    return p;
}

static void proxy_free(struct proxy *p) {
    event_free(p->readable);
    ws_free(p->ws);
    mem_free(p);
}

/* ---- the controller ---- */

static void on_nack(void *arg, const struct push_proxy *p, const struct push_fault *faults,
                    size_t n) {
    (void)arg, (void)p, (void)faults;
    nacks += n > 0;
}

static int setup(void **state) {
    (void)state;
    static const struct push_events events = {.on_nack = on_nack};
    struct why why = {0};
    nacks = 0;
    base = event_base_new();
    push = push_new(base, "127.0.0.1:21201", false, &events, NULL, &why);
    if (!push)
        print_error("%s\n", why.text);
    return push ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    push_free(push);
    event_base_free(base);
    return 0;
}

static struct object *object(const char *id, size_t size, char fill) {
    char *pad = mem_alloc(size + 1);
    memset(pad, fill, size);
    struct model_route r = {.name = str_mk(pad, size)};
    struct object *o = object_new(MODEL_KIND_route, str_of(id), &r);
    mem_free(pad);
    return o;
}

static struct digest put_many(int n, size_t size, char fill) {
    struct digest d = {0};
    for (int i = 0; i < n; i++) {
        char id[40];
        snprintf(id, sizeof(id), "route/many/r%d/rule-0", i);
        struct object *o = object(id, size, fill);
        digest_add(&d, o);
        push_put(push, o);
    }
    return d;
}

static struct push_proxy views[8];
static size_t n_views;

static void view_one(void *arg, const struct push_proxy *p) {
    (void)arg;
    assert_true(n_views < 8);
    views[n_views++] = *p;
}

static size_t look(void) {
    n_views = 0;
    push_each(push, view_one, NULL);
    return n_views;
}

static size_t n_current(void) {
    size_t n = 0;
    look();
    for (size_t i = 0; i < n_views; i++)
        n += views[i].current;
    return n;
}

static bool greeted(size_t n) {
    look();
    for (size_t i = 0; i < n_views; i++)
        n -= views[i].name[0] != 0;
    return n == 0;
}

/* ---- a socket ---- */

#define UPGRADE                                                                                    \
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

static int dial(const char *request, char *answer, size_t size) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct timeval patience = {WITHIN_S, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0), small = 4096;
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    size_t n = 0;
    answer[0] = 0;
    while (n + 1 < size && !strstr(answer, "\r\n\r\n")) {
        ssize_t got = recv(fd, answer + n, 1, 0);
        if (got <= 0)
            break;
        answer[++n] = 0;
    }
    return fd;
}

static bool admitted(const char *more) {
    char request[1000], answer[1000];
    snprintf(request, sizeof(request), UPGRADE "%s\r\n", more);
    int fd = dial(request, answer, sizeof(answer));
    close(fd);
    return strstr(answer, " 101 ") != NULL;
}

static int raw_open(void) {
    char answer[1000];
    int fd =
        dial(UPGRADE "Sec-WebSocket-Protocol: sluice.config.v1\r\n\r\n", answer, sizeof(answer));
    assert_non_null(strstr(answer, " 101 "));
    return fd;
}

/* A frame with a mask of zeros. False: the other end has gone. */
static bool raw_frame(int fd, int opcode, const char *p, size_t n) {
    char room[14];
    struct out o = out_fixed(room, sizeof(room));
    out_char(&o, (char)(0x80 | opcode));
    out_char(&o, (char)(0x80 | 127));
    for (int shift = 56; shift >= 0; shift -= 8)
        out_char(&o, (char)((uint64_t)n >> shift));
    out_bytes(&o, "\0\0\0\0", 4);
    if (send(fd, room, o.n, MSG_NOSIGNAL) != (ssize_t)o.n)
        return false;
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(fd, p + at, n - at, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += (size_t)sent;
    }
    return true;
}

static bool gone(int fd) {
    char room[256];
    ssize_t n = recv(fd, room, sizeof(room), MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void say_raw(int fd, enum wire_type type, const void *value) {
    struct out o = out_heap(WIRE_MESSAGE_MAX);
    wire_encode(type, value, &o);
    raw_frame(fd, 2, o.p, o.n);
    out_fini(&o);
}

static void hello_raw(int fd) {
    static char zeros[WIRE_DIGEST_BYTES];
    say_raw(fd, WIRE_hello,
            &(struct wire_hello){STR("raw"), 1, str_mk(zeros, sizeof(zeros)), 0, false, true,
                                 STR_NONE});
}

/* ---- tests ---- */

static void only_loopback_and_free_addresses(void **state) {
    (void)state;
    static const struct {
        const char *address, *text;
    } cases[] = {
        {"0.0.0.0:21202", "is not a loopback address"},
        {"10.0.0.1:21202", "is not a loopback address"},
        {"[::]:21202", "is not a loopback address"},
        {"example.com:21202", "is not an address"},
        {"127.0.0.1", "is not an address; write it as 127.0.0.1:7400"},
        {"127.0.0.1:", "is not an address"},
        {"127.0.0.1:65536", "is not an address"},
        {":7400", "is not an address"},
        {"[::1:7400", "is not an address"},
        {"127.0.0.1:21201", "Address already in use"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {0};
        assert_null(push_new(base, cases[i].address, false, &(struct push_events){0}, NULL, &why));
        if (!strstr(why.text, cases[i].text))
            fail_msg("%s: %s", cases[i].address, why.text);
    }
    static const struct {
        const char *url, *text;
    } urls[] = {
        {"wss://[::1]:7400", "write a name, or an IPv4 address, with wss"},
        {"wss://a..b:7400", "a..b"},
        {"wss://sluice-controller.sluice.svc", "is not an address"},
        {"ws://sluice-controller.sluice.svc:7400", "is not a loopback address"},
        {"http://127.0.0.1:7400", "is not a URL of a controller"},
        {"ws://10.1.2.3:7400", "is not a loopback address"},
    };
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct why why = {0};
        struct ws_url url;
        assert_int_equal(ws_url_parse(str_of(urls[i].url), &url, &why), -1);
        assert_non_null(strstr(why.text, urls[i].text));
    }
    struct why why = {0};
    struct push *six = push_new(base, "[::1]:0", false, &(struct push_events){0}, NULL, &why);
    if (six) /* a machine may have no IPv6 */
        assert_true(push_port(six) != 0);
    push_free(six);
}

static void who_is_admitted(void **state) {
    (void)state;
    assert_true(admitted("Sec-WebSocket-Protocol: sluice.config.v1\r\n"));
    assert_false(admitted(""));
    assert_false(admitted("Sec-WebSocket-Protocol: other\r\n"));
    assert_false(admitted("Sec-WebSocket-Protocol: sluice.config.v1\r\n"
                          "Origin: http://evil.example\r\n"));
    char answer[1000];
    close(dial("GET /config HTTP/1.1\r\nHost: x\r\n\r\n", answer, sizeof(answer)));
    assert_null(strstr(answer, " 200 "));
}

static void nonsense_ends_the_link(void **state) {
    (void)state;
    int fd = raw_open();
    raw_frame(fd, 1, "text", 4);
    until(gone(fd));
    close(fd);
    fd = raw_open();
    say_raw(fd, WIRE_ack, &(struct wire_ack){1, 1, 1}); /* before hello */
    until(gone(fd));
    close(fd);
    fd = raw_open();
    raw_frame(fd, 2, "\x01\xff\xff", 3);
    until(gone(fd));
    close(fd);
    fd = raw_open();
    say_raw(fd, WIRE_hello, &(struct wire_hello){.name = STR("x"), .digest = STR("short")});
    until(gone(fd));
    close(fd);
    fd = raw_open();
    char *big = mem_zalloc(WIRE_MESSAGE_MAX + 1000);
    raw_frame(fd, 2, big, WIRE_MESSAGE_MAX + 1000);
    mem_free(big);
    until(gone(fd));
    close(fd);
    until(look() == 0);
}

static void unknown_messages_are_skipped(void **state) {
    (void)state;
    int fd = raw_open();
    raw_frame(fd, 2, "\x0fnewer", 6);
    hello_raw(fd);
    raw_frame(fd, 2, "\xffnewer", 6);
    until(greeted(1));
    assert_false(gone(fd));
    close(fd);
    until(look() == 0);
}

static void who_has_all_gets_nothing(void **state) {
    (void)state;
    struct digest d = put_many(50, 10, 'a');
    push_commit(push);
    struct proxy *p = proxy_new(true), *q = proxy_new(true);
    hello(p, &d, true, true);
    hello(q, &(struct digest){0}, true, false); /* follows another controller */
    until(greeted(2));
    until(n_current() == 1);
    assert_int_equal(p->begins, 0);
    say(q, WIRE_ack, &(struct wire_ack){5, digest_total(&d), 0});
    until(n_current() == 2);
    assert_int_equal(q->begins, 0);
    proxy_free(p);
    proxy_free(q);
}

static void differing_buckets_alone_are_replaced(void **state) {
    (void)state;
    struct digest d = put_many(200, 10, 'a');
    push_commit(push);
    struct object *o = object("route/many/r3/rule-0", 10, 'b');
    unsigned in_bucket = object_bucket(o);
    d.bucket[in_bucket]++;
    object_drop(o);
    struct proxy *p = proxy_new(true);
    hello(p, &d, true, true);
    until(n_current() == 1);
    assert_int_equal(p->begins, 1);
    assert_int_equal(p->buckets, 1);
    assert_true(p->puts >= 1 && p->puts < 20);
    assert_int_equal(p->commits, 1);
    proxy_free(p);
}

static void digests_that_never_agree_send_all_and_wait(void **state) {
    (void)state;
    struct digest d = put_many(50, 10, 'a');
    d.bucket[7]++;
    push_commit(push);
    struct proxy *p = proxy_new(false);
    for (unsigned round = 1; round <= 3; round++) {
        hello(p, &d, true, true);
        until(p->commits == round);
        assert_int_equal(p->buckets, round < 3 ? 1 : MODEL_BUCKETS);
        say(p, WIRE_nack, &(struct wire_nack){.tx = p->tx});
    }
    assert_int_equal(nacks, 0); /* nobody's object is to blame */
    p->acks = true;
    hello(p, &(struct digest){0}, true, true);
    until(n_current() == 1);
    assert_true(p->puts >= 100);
    proxy_free(p);
}

static void a_release_of_a_hold_clears_what_may_be_there(void **state) {
    (void)state;
    put_many(5, 10, 'a');
    push_hold(push, STR("route/held/x/"));
    push_hold(push, STR("endpoints/held/y/80"));
    push_commit(push);
    struct proxy *p = proxy_new(true);
    hello(p, &(struct digest){0}, true, true);
    until(n_current() == 1);
    assert_int_equal(p->holds, 2);
    push_put(push, object("route/held/x/rule-0", 1, 'a')); /* held: not sent */
    push_commit(push);
    until(p->commits == 2 && n_current() == 1);
    assert_int_equal(p->puts, 5);
    push_unhold(push, STR("route/held/x/"));
    push_commit(push);
    until(p->commits == 3 && n_current() == 1);
    assert_string_equal(p->del, "route/held/x/");
    assert_int_equal(p->puts, 6);
    push_unhold(push, STR("endpoints/held/y/80"));
    push_commit(push);
    until(p->commits == 4 && n_current() == 1);
    assert_string_equal(p->del, "endpoints/held/y/80");
    assert_int_equal(p->puts, 6);
    proxy_free(p);
}

static void a_refused_version_is_not_tried_again(void **state) {
    (void)state;
    static struct wire_fault faults[] = {{{"route/many/r1/rule-0", 20}, {"bad", 3}, 0}};
    put_many(5, 10, 'a');
    push_commit(push);
    struct proxy *p = proxy_new(false);
    hello(p, &(struct digest){0}, false, true);
    until(p->commits == 1);
    say(p, WIRE_nack, &(struct wire_nack){p->tx, faults, 1});
    until(nacks == 1);
    look();
    assert_string_equal(views[0].nack, "route/many/r1/rule-0: bad");
    push_commit(push); /* no change */
    push_set_behind_ms(push, 1);
    until(look() == 1 && views[0].behind); /* it was looked at again */
    assert_int_equal(p->begins, 1);
    push_del(push, STR("route/many/r1/rule-0"));
    push_commit(push);
    p->acks = true;
    until(n_current() == 1);
    assert_int_equal(p->commits, 2);
    assert_int_equal(p->puts, 5 + 4); /* it still has nothing: its buckets again */
    proxy_free(p);
}

/* 64 MB are wanted; one client reads nothing, the other all. */
static void who_does_not_read_delays_nobody(void **state) {
    (void)state;
    enum { N = 64, SIZE = 1 << 20 };
    push_set_behind_ms(push, 1);
    put_many(N, SIZE, 'a');
    push_commit(push);
    int fd = raw_open();
    hello_raw(fd);
    struct proxy *p = proxy_new(true);
    hello(p, &(struct digest){0}, false, true);
    until(n_current() == 1);
    assert_int_equal(p->puts, N);
    for (int i = 0; i < 10; i++) {
        push_put(push, object("route/many/r1/rule-0", 10, (char)('b' + i)));
        push_commit(push);
        until(n_current() == 1);
    }
    assert_true(p->commits >= 11);
    look();
    size_t slow = views[0].current ? 1 : 0;
    assert_string_equal(views[slow].name, "raw");
    assert_true(views[slow].in_flight);
    assert_true(views[slow].pending > N - 16); /* a window, and what the sockets hold */
    until(look() == 2 && views[slow].behind);
    close(fd);
    until(look() == 1);
    proxy_free(p);
}

int main(void) {
    log_level(getenv("LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(only_loopback_and_free_addresses),
        T(who_is_admitted),
        T(nonsense_ends_the_link),
        T(unknown_messages_are_skipped),
        T(who_has_all_gets_nothing),
        T(differing_buckets_alone_are_replaced),
        T(digests_that_never_agree_send_all_and_wait),
        T(a_release_of_a_hold_clears_what_may_be_there),
        T(a_refused_version_is_not_tried_again),
        T(who_does_not_read_delays_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
