/* SPDX-License-Identifier: Apache-2.0
 *
 * Large bodies between two plain connections of HTTP/1.1, which go through a pipe: every byte of
 * them, their ends good and bad, and that no descriptor is left behind.
 */
#include "tests/unit/gate.h"

#include <dirent.h>

static uint16_t next_port = 26500;

static char block[65536 + 251]; /* no two pieces of it are alike */

static bool say_body(struct wire *w, size_t n) {
    for (size_t at = 0; at < n; at += 65536)
        if (!wire_write(w, block + at % 251, size_min(n - at, 65536)))
            return false;
    return true;
}

static uint64_t sum_of(size_t n) {
    uint64_t sum = 0;
    for (size_t at = 0; at < n; at += 65536)
        sum = peer_sum(sum, block + at % 251, size_min(n - at, 65536));
    return sum;
}

static size_t wanted_of(const struct message *m) {
    const char *n = message_field(m, "x-want");
    return n != NULL ? strtoul(n, NULL, 10) : 0;
}

/* ---- backends ---- */

/* As many bytes as x-want says, and what came as a header. */
static void bulk(struct peer_connection *c) {
    struct message m;
    while (wire_request(&c->w, &m)) {
        size_t n = wanted_of(&m);
        atomic_fetch_add(&c->peer->requests, 1);
        if (!wire_sayf(&c->w,
                       "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nx-sum: %" PRIu64 "\r\n\r\n", n,
                       m.sum) ||
            !say_body(&c->w, n))
            return;
    }
}

/* The answer begins with the request, and both go on together: a block for a block. */
static void duplex(struct peer_connection *c) {
    struct message m = {0};
    if (!wire_head(&c->w, m.head, sizeof(m.head)))
        return;
    size_t n = strtoul(message_field(&m, "content-length"), NULL, 10);
    if (!wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n))
        return;
    for (size_t at = 0; at < n; at += 65536)
        if (!message_take(&m, &c->w, size_min(n - at, 65536)) ||
            !wire_write(&c->w, block + at % 251, size_min(n - at, 65536)))
            return;
    atomic_store(&c->peer->gate, m.sum == sum_of(n));
    (void)wire_more(&c->w);
}

enum { FLOW = 24 << 20 };

/* The beginning of a long answer; the peer's name says how it ends. */
static void half(struct peer_connection *c) {
    struct message m;
    if (!wire_request(&c->w, &m))
        return;
    wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", FLOW);
    say_body(&c->w, FLOW / 2);
    if (strcmp(c->peer->name, "reset") == 0)
        wire_reset(&c->w);
}

/* A long answer, as far as somebody takes it. */
static void flow(struct peer_connection *c) {
    struct message m;
    if (!wire_request(&c->w, &m))
        return;
    wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", FLOW);
    for (size_t at = 0; at < FLOW; at += 65536) {
        if (!wire_write(&c->w, block + at % 251, 65536))
            return;
        atomic_fetch_add(&c->peer->bytes, 65536);
    }
    (void)wire_more(&c->w);
}

/* Some of a body, and an answer; nothing more is read. */
static void enough(struct peer_connection *c) {
    struct message m = {0};
    if (!wire_head(&c->w, m.head, sizeof(m.head)) || !message_take(&m, &c->w, 4 << 20))
        return;
    wire_say(&c->w, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    peer_wait_gate(c->peer);
}

/* Some of a body, and nothing more until the gate opens. */
static void stuck(struct peer_connection *c) {
    struct message m = {0};
    if (!wire_head(&c->w, m.head, sizeof(m.head)) || !message_take(&m, &c->w, 1 << 20))
        return;
    atomic_fetch_add(&c->peer->requests, 1);
    peer_wait_gate(c->peer);
}

/* ---- the world ---- */

struct stage {
    struct gate *g;
    struct peer *p;
    unsigned descriptors; /* before the first request */
};

static unsigned descriptors(void) {
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    must(d != NULL);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static struct stage open_stage(const char *name, void (*serve)(struct peer_connection *c)) {
    struct stage s = {.g = gate_new(next_port++), .p = peer_new(name, serve)};
    gate_backend(s.g, "app", s.p->address, NULL);
    gate_route(s.g, (struct model_route){0}, "app");
    gate_publish(s.g);
    s.descriptors = descriptors();
    return s;
}

/* Both ends of a connection to a backend that is kept are ours. */
static void close_stage(struct stage s) {
    atomic_store(&s.p->gate, true);
    gate_quiet(s.g);
    wait_until(descriptors() ==
               s.descriptors + gate_gauges(s.g).idle_upstreams + atomic_load(&s.p->open));
    gate_free(s.g);
    peer_free(s.p);
}

static void dial(struct stage *s, struct wire *w) { assert_true(wire_dial(w, gate_port(s->g))); }

static void ask(struct wire *w, size_t up, size_t down) {
    char text[64];
    struct message m;
    wire_sayf(w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\nx-want: %zu\r\n\r\n", up,
              down);
    assert_true(say_body(w, up));
    assert_int_equal(wire_answer(w, &m, false), 200);
    assert_true(m.whole);
    assert_int_equal(m.length, down);
    assert_true(m.sum == sum_of(down));
    snprintf(text, sizeof(text), "%" PRIu64, sum_of(up));
    assert_string_equal(message_field(&m, "x-sum"), text);
}

/* ---- bytes ---- */

static void every_byte_arrives_and_the_connections_are_kept(void **state) {
    (void)state;
    static const size_t sizes[] = {0,      16384,  65536,  67584,   131072,   196607,
                                   196608, 200000, 262145, 1 << 20, FLOW + 7, 1};
    struct stage s = open_stage("app", bulk);
    struct wire w;
    dial(&s, &w);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        ask(&w, sizes[i], 0);
        ask(&w, 3, sizes[i]);
        ask(&w, sizes[i], sizes[ARRAY_LEN(sizes) - 1 - i]);
    }
    wire_close(&w);
    assert_int_equal(atomic_load(&s.p->accepted), 1);
    close_stage(s);
}

/* S07: a body ends where its length says, whatever follows it on the connection. */
static void what_follows_a_body_is_the_next_request(void **state) {
    (void)state;
    enum { N = 8 };
    struct stage s = open_stage("app", bulk);
    struct wire w;
    struct message m;
    char text[64];
    dial(&s, &w);
    for (size_t i = 0; i < N; i++) {
        wire_sayf(&w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", (1 << 20) + i);
        assert_true(say_body(&w, (1 << 20) + i));
    }
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(wire_answer(&w, &m, false), 200);
        snprintf(text, sizeof(text), "%" PRIu64, sum_of((1 << 20) + i));
        assert_string_equal(message_field(&m, "x-sum"), text);
    }
    wire_close(&w);
    assert_int_equal(atomic_load(&s.p->requests), N);
    close_stage(s);
}

static void both_ways_at_once(void **state) {
    (void)state;
    struct stage s = open_stage("app", duplex);
    struct wire w;
    struct message m = {0};
    dial(&s, &w);
    wire_sayf(&w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", FLOW);
    for (size_t at = 0; at < FLOW; at += 65536) {
        assert_true(wire_write(&w, block + at % 251, 65536));
        if (at == 0)
            assert_true(wire_head(&w, m.head, sizeof(m.head)));
        assert_true(message_take(&m, &w, 65536));
    }
    assert_true(m.sum == sum_of(FLOW));
    wait_until(atomic_load(&s.p->gate)); /* it had the same */
    wire_close(&w);
    close_stage(s);
}

/* It has sent something, and nothing more for 400 ms. */
static bool stopped(struct peer *p) {
    size_t before = atomic_load(&p->bytes);
    poll(NULL, 0, 400);
    return before > 0 && atomic_load(&p->bytes) == before;
}

/* What it does not take waits in the pipe: no buffer of ours is in use, and the backend waits. */
static void a_slow_client_holds_no_buffer(void **state) {
    (void)state;
    struct stage s = open_stage("app", flow);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, GET);
    wait_until(stopped(s.p));
    assert_true(atomic_load(&s.p->bytes) < FLOW);
    assert_true(gate_gauges(s.g).buffer_bytes <= 4096); /* the stream itself */
    assert_int_equal(wire_answer(&w, &m, false), 200);
    assert_true(m.whole);
    assert_true(m.length == FLOW && m.sum == sum_of(FLOW));
    wire_close(&w);
    close_stage(s);
}

/* ---- ends ---- */

static void cut(const char *how, enum reason reason) {
    struct stage s = open_stage(how, half);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, GET);
    assert_int_equal(wire_answer(&w, &m, false), 200);
    assert_false(m.whole);
    assert_true(m.length <= FLOW / 2);
    wire_close(&w);
    assert_int_equal(gate_record_at(s.g, 0).reason, reason);
    close_stage(s);
}

static void a_cut_answer_is_cut_for_the_client(void **state) {
    (void)state;
    cut("end", REASON_UPSTREAM_CLOSED);
    cut("reset", REASON_UPSTREAM_RESET);
}

static void a_client_that_goes_leaves_nothing(void **state) {
    (void)state;
    struct stage s = open_stage("app", flow);
    for (unsigned i = 0; i < 4; i++) {
        struct wire w;
        struct message m = {0};
        dial(&s, &w);
        wire_say(&w, GET);
        assert_true(wire_head(&w, m.head, sizeof(m.head)));
        assert_true(message_take(&m, &w, 1 << 20));
        if (i % 2)
            wire_reset(&w);
        else
            wire_close(&w);
        assert_int_equal(gate_record_at(s.g, i).reason, REASON_CLIENT_CLOSED);
    }
    close_stage(s);
}

static void an_uploading_client_that_goes_leaves_nothing(void **state) {
    (void)state;
    struct stage s = open_stage("app", stuck);
    struct wire w;
    dial(&s, &w);
    wire_sayf(&w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", FLOW);
    assert_true(say_body(&w, 1 << 20));
    wait_until(atomic_load(&s.p->requests) == 1);
    wire_reset(&w);
    assert_int_equal(gate_record_at(s.g, 0).reason, REASON_CLIENT_CLOSED);
    close_stage(s);
}

/* S07 */
static void an_early_answer_reaches_an_uploading_client(void **state) {
    (void)state;
    struct stage s = open_stage("app", enough);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_sayf(&w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", FLOW);
    assert_true(say_body(&w, 4 << 20));
    assert_int_equal(wire_answer(&w, &m, false), 413);
    assert_string_equal(m.text, "big");
    assert_string_equal(message_field(&m, "connection"), "close");
    wire_close(&w);
    close_stage(s);
}

int main(void) {
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i % 251);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_arrives_and_the_connections_are_kept),
        cmocka_unit_test(what_follows_a_body_is_the_next_request),
        cmocka_unit_test(both_ways_at_once),
        cmocka_unit_test(a_slow_client_holds_no_buffer),
        cmocka_unit_test(a_cut_answer_is_cut_for_the_client),
        cmocka_unit_test(a_client_that_goes_leaves_nothing),
        cmocka_unit_test(an_uploading_client_that_goes_leaves_nothing),
        cmocka_unit_test(an_early_answer_reaches_an_uploading_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
