/* SPDX-License-Identifier: Apache-2.0
 *
 * A real worker between scripted clients and backends: connections that are kept, replayed and cut,
 * bodies both ways, and clients that behave oddly.
 */
#include "tests/unit/gate.h"

/* Each test has a port of its own: what a failed one leaves behind is not asked by the next. */
static uint16_t next_port = 26000;

/* ---- backends ---- */

/* Says its name to every request, with the body's length as a header. */
static void name_itself(struct peer_connection *c) {
    struct message m;
    while (wire_request(&c->w, &m)) {
        atomic_fetch_add(&c->peer->requests, 1);
        atomic_fetch_add(&c->peer->bytes, m.length);
        bool head = strncmp(m.head, "HEAD ", 5) == 0;
        const char *body = head ? "" : c->peer->name;
        if (!wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nx-length: %zu\r\n\r\n%s",
                       strlen(c->peer->name), m.length, body))
            return;
    }
}

/* On its first connection: one answer, then the next request is read and the connection closed. */
static void stale_once(struct peer_connection *c) {
    struct message m;
    if (c->number > 0) {
        name_itself(c);
        return;
    }
    if (!wire_request(&c->w, &m))
        return;
    atomic_fetch_add(&c->peer->requests, 1);
    wire_say(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst");
    if (wire_request(&c->w, &m))
        atomic_fetch_add(&c->peer->requests, 1);
}

static void cut_length(struct peer_connection *c) {
    struct message m;
    if (wire_request(&c->w, &m))
        wire_say(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
}
static void cut_chunked(struct peer_connection *c) {
    struct message m;
    if (wire_request(&c->w, &m))
        wire_say(&c->w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
}
static void bad_chunk(struct peer_connection *c) {
    struct message m;
    if (wire_request(&c->w, &m))
        wire_say(&c->w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfXX\r\n");
}
static void says_nothing(struct peer_connection *c) {
    struct message m;
    if (wire_request(&c->w, &m))
        atomic_fetch_add(&c->peer->requests, 1);
    while (wire_more(&c->w) > 0)
        c->w.at = c->w.n;
}
/* Answers a head alone and reads nothing of the body until the gate opens. */
static void early_413(struct peer_connection *c) {
    char head[4096];
    if (!wire_head(&c->w, head, sizeof(head)))
        return;
    wire_say(&c->w, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    peer_wait_gate(c->peer);
}

enum { FLOOD = 24 << 20 };
static void flood(struct peer_connection *c) {
    static const char block[65536];
    struct message m;
    if (!wire_request(&c->w, &m))
        return;
    wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", FLOOD);
    for (size_t sent = 0; sent < FLOOD; sent += sizeof(block)) {
        if (!wire_write(&c->w, block, sizeof(block)))
            return;
        atomic_fetch_add(&c->peer->bytes, sizeof(block));
    }
    (void)wire_more(&c->w);
}

/* ---- the world of most tests ---- */

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
    gate_quiet(s.g);
    gate_free(s.g);
    peer_free(s.p);
}

static void dial(struct stage *s, struct wire *w) { assert_true(wire_dial(w, gate_port(s->g))); }

/* ---- connections ---- */

static void an_upstream_connection_is_used_again(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct wire w;
    struct message m;
    dial(&s, &w);
    for (int i = 0; i < 20; i++) {
        wire_say(&w, i % 2 ? GET : POST);
        assert_int_equal(wire_answer(&w, &m, false), 200);
        assert_string_equal(m.text, "app");
        assert_string_equal(message_field(&m, "x-length"), i % 2 ? "0" : "3");
    }
    wire_close(&w);
    assert_int_equal(atomic_load(&s.p->accepted), 1);
    assert_false(gate_record_at(s.g, 0).reused);
    assert_true(gate_record_at(s.g, 19).reused);
    close_stage(s);
}

/* R: a request that may have been carried out is sent again only if that cannot matter. */
static void a_stale_connection_costs_a_get_nothing(void **state) {
    (void)state;
    struct stage s = open_stage(stale_once);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, GET);
    assert_int_equal(wire_answer(&w, &m, false), 200);
    wire_say(&w, GET);
    assert_int_equal(wire_answer(&w, &m, false), 200);
    assert_string_equal(m.text, "app");
    assert_int_equal(gate_record_at(s.g, 1).attempts, 2);
    wire_close(&w);
    close_stage(s);
}

static void a_stale_connection_never_repeats_a_post(void **state) {
    (void)state;
    struct stage s = open_stage(stale_once);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, GET);
    assert_int_equal(wire_answer(&w, &m, false), 200);
    wire_say(&w, POST);
    assert_int_equal(wire_answer(&w, &m, false), 502);
    assert_string_equal(message_field(&m, "sluice-reason"), "upstream_closed");
    wire_close(&w);
    wait_until(atomic_load(&s.p->requests) == 2);
    assert_int_equal(gate_record_at(s.g, 1).attempts, 1);
    close_stage(s);
}

/* ---- answers that end too early ---- */

static void cut_answer(void (*serve)(struct peer_connection *c), enum reason reason) {
    struct stage s = open_stage(serve);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, GET);
    (void)wire_answer(&w, &m, false); /* none when all of it came at once */
    assert_false(m.whole);
    assert_int_equal(wire_end(&w), -1);
    wire_close(&w);
    assert_int_equal(gate_record_at(s.g, 0).reason, reason);
    close_stage(s);
}

/* S11: the client sees that it is not whole. */
static void a_cut_answer_is_cut_for_the_client(void **state) {
    (void)state;
    cut_answer(cut_length, REASON_UPSTREAM_CLOSED);
    cut_answer(cut_chunked, REASON_UPSTREAM_CLOSED);
    cut_answer(bad_chunk, REASON_BAD_RESPONSE);
}

/* ---- requests with bodies ---- */

static void a_body_waits_for_100_continue(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct wire w;
    struct message m;
    char head[256];
    dial(&s, &w);
    wire_say(&w, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_true(wire_head(&w, head, sizeof(head)));
    assert_string_equal(head, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_say(&w, "body");
    assert_int_equal(wire_answer(&w, &m, false), 200);
    assert_string_equal(message_field(&m, "x-length"), "4");
    wire_close(&w);
    close_stage(s);
}

/* S07: an answer before the body was read ends the connection, whatever of the body follows. */
static void an_early_answer_reaches_an_uploading_client(void **state) {
    (void)state;
    static const char block[65536];
    struct stage s = open_stage(early_413);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
    for (int i = 0; i < 4; i++)
        wire_write(&w, block, sizeof(block));
    assert_int_equal(wire_answer(&w, &m, false), 413);
    assert_string_equal(m.text, "big");
    assert_string_equal(message_field(&m, "connection"), "close");
    wire_close(&w);
    atomic_store(&s.p->gate, true);
    close_stage(s);
}

static void a_body_over_the_limit_is_refused(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct wire w;
    struct message m;
    gate_route(s.g, (struct model_route){.body_limit = 10}, "app");
    gate_publish(s.g);
    dial(&s, &w);
    wire_say(&w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_int_equal(wire_answer(&w, &m, false), 200);
    wire_say(&w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n");
    assert_int_equal(wire_answer(&w, &m, false), 413);
    assert_non_null(strstr(m.text, "body_too_large"));
    assert_string_equal(message_field(&m, "connection"), "close");
    wire_close(&w);
    assert_int_equal(atomic_load(&s.p->requests), 1);
    dial(&s, &w);
    wire_say(&w, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "6\r\n012345\r\n5\r\n01234\r\n");
    assert_int_equal(wire_answer(&w, &m, false), 413);
    wire_close(&w);
    close_stage(s);
}

/* S04 as a whole: chunks that are wrong end the client's connection and the upstream's. */
static void a_broken_chunked_body_is_refused(void **state) {
    (void)state;
    struct stage s = open_stage(says_nothing);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\nabcX\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(wire_answer(&w, &m, false), 400);
    assert_int_equal(wire_end(&w), 0);
    wire_close(&w);
    assert_int_equal(atomic_load(&s.p->requests), 0);
    close_stage(s);
}

/* ---- slow clients ---- */

/* It has sent something, and nothing more for 400 ms: longer than the upstream may be silent. */
static bool stopped(struct peer *p) {
    size_t before = atomic_load(&p->bytes);
    poll(NULL, 0, 400);
    return before > 0 && atomic_load(&p->bytes) == before;
}

static void slow_reader(struct model_timeouts *t) {
    struct stage s = {gate_new(next_port++), peer_new("app", flood)};
    gate_backend(s.g, "app", s.p->address, NULL);
    gate_traffic(s.g, (struct model_traffic){.timeouts = t});
    gate_route(s.g, (struct model_route){0}, "app");
    gate_publish(s.g);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, GET);
    wait_until(stopped(s.p));
    assert_true(atomic_load(&s.p->bytes) < FLOOD);
    assert_true(gate_gauges(s.g).buffer_bytes <= 160 * 1024);
    assert_int_equal(wire_answer(&w, &m, false), 200);
    assert_true(m.whole);
    assert_int_equal(m.length, FLOOD);
    wire_close(&w);
    close_stage(s);
}

/* Memory is bounded, and it is not the backend that is slow. */
static void a_slow_client_slows_the_backend(void **state) {
    (void)state;
    slow_reader(&(struct model_timeouts){0});
}
static void a_slow_client_is_no_slow_backend(void **state) {
    (void)state;
    slow_reader(&(struct model_timeouts){.idle_ms = 100});
}

/* The time of a request ends with the last byte that the client took. */
static void a_slow_client_has_the_time_of_its_request(void **state) {
    (void)state;
    struct stage s = {gate_new(next_port++), peer_new("app", flood)};
    struct model_timeouts t = {.request_ms = 300};
    gate_backend(s.g, "app", s.p->address, NULL);
    gate_route(s.g, (struct model_route){.timeouts = &t}, "app");
    gate_publish(s.g);
    struct wire w;
    dial(&s, &w);
    wire_say(&w, GET);
    assert_int_equal(gate_record_at(s.g, 0).reason, REASON_CLIENT_TIMEOUT);
    wire_close(&w);
    close_stage(s);
}

/* As large as the API lets it be, to one request and to two at once. */
static void a_direct_response_of_64_kib(void **state) {
    (void)state;
    static char body[65536];
    memset(body, 'x', sizeof(body));
    struct stage s = open_stage(name_itself);
    struct model_direct d = {.status = 200, .body = str_mk(body, sizeof(body))};
    struct model_filter f = {.type = MODEL_FILTER_DIRECT, .direct = &d};
    gate_route(s.g, (struct model_route){.filters = &f, .n_filters = 1}, "app");
    gate_publish(s.g);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, GET GET "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" GET);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(wire_answer(&w, &m, i == 2), 200);
        assert_true(m.whole);
        assert_int_equal(m.length, i == 2 ? 0 : sizeof(body));
        assert_string_equal(message_field(&m, "content-length"), "65536");
    }
    wire_close(&w);
    close_stage(s);
}

/* ---- clients that behave oddly ---- */

static void http_1_0_is_answered_and_closed(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct wire w;
    struct message m;
    dial(&s, &w);
    wire_say(&w, "GET / HTTP/1.0\r\nHost: h\r\n\r\n");
    assert_int_equal(wire_answer(&w, &m, false), 200);
    assert_string_equal(m.text, "app");
    assert_int_equal(wire_end(&w), 0);
    wire_close(&w);
    dial(&s, &w);
    for (int i = 0; i < 3; i++) {
        wire_say(&w, "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
        assert_int_equal(wire_answer(&w, &m, false), 200);
        assert_string_equal(message_field(&m, "connection"), "keep-alive");
    }
    wire_close(&w);
    close_stage(s);
}

static void an_answer_to_head_has_no_body(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct wire w;
    struct message m;
    dial(&s, &w);
    for (int i = 0; i < 3; i++) {
        wire_say(&w, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(wire_answer(&w, &m, true), 200);
        assert_string_equal(message_field(&m, "content-length"), "3");
    }
    wire_say(&w, GET);
    assert_int_equal(wire_answer(&w, &m, false), 200);
    assert_string_equal(m.text, "app");
    wire_close(&w);
    assert_int_equal(atomic_load(&s.p->accepted), 1);
    close_stage(s);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    (void)state;
    enum { N = 100 };
    struct stage s = open_stage(name_itself);
    struct wire w;
    struct message m;
    static char text[N * 128];
    size_t n = 0;
    for (int i = 0; i < N; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%.*s",
                              i % 10, i % 10, "0123456789");
    dial(&s, &w);
    wire_write(&w, text, n);
    shutdown(w.fd, SHUT_WR); /* a client that has said all it will say */
    for (int i = 0; i < N; i++) {
        assert_int_equal(wire_answer(&w, &m, false), 200);
        assert_int_equal(atoll(message_field(&m, "x-length")), i % 10);
    }
    assert_int_equal(wire_end(&w), 0);
    wire_close(&w);
    close_stage(s);
}

static void a_client_that_goes_ends_its_request(void **state) {
    (void)state;
    struct stage s = open_stage(says_nothing);
    for (int i = 0; i < 3; i++) {
        struct wire w;
        dial(&s, &w);
        wire_say(&w, GET);
        wait_until(atomic_load(&s.p->requests) == (unsigned)i + 1);
        if (i == 0)
            wire_reset(&w);
        else if (i == 1)
            wire_close(&w);
        else
            shutdown(w.fd, SHUT_WR); /* taken for its going */
        wait_until(atomic_load(&s.p->open) == 0);
        wire_close(&w);
        assert_int_equal(gate_record_at(s.g, (unsigned)i).reason, REASON_CLIENT_CLOSED);
        assert_int_equal(gate_record_at(s.g, (unsigned)i).status, 499);
    }
    close_stage(s);
}

/* A head that never ends is given up, however steadily it drips (S25). */
static void a_dripping_head_times_out(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct wire w;
    struct message m;
    struct model_limits l = {.header_timeout_ms = 200};
    struct model_gateway gateway = {.limits = &l};
    world_put(&s.g->world, MODEL_KIND_gateway, STR("gateway/-/c"), &gateway);
    gate_publish(s.g);
    dial(&s, &w);
    wire_say(&w, "GET / HTTP/1.1\r\nHost: h\r\nx: ");
    struct pollfd answer = {.fd = w.fd, .events = POLLIN};
    for (int i = 0; poll(&answer, 1, 20) == 0; i++) {
        assert_true(i < 1000);
        wire_say(&w, "x");
    }
    assert_int_equal(wire_answer(&w, &m, false), 408);
    assert_string_equal(message_field(&m, "connection"), "close");
    wire_close(&w);
    close_stage(s);
}

/* R9, R10: at the limit the oldest client that waits for nothing makes room for a new one; when all
 * are busy the new one is turned away. */
static void idle_clients_make_room(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct wire w[4];
    struct message m;
    struct model_limits l = {.connections = 2};
    struct model_gateway gateway = {.limits = &l};
    world_put(&s.g->world, MODEL_KIND_gateway, STR("gateway/-/c"), &gateway);
    gate_publish(s.g);
    for (int i = 0; i < 3; i++) {
        dial(&s, &w[i]);
        wire_say(&w[i], GET);
        assert_int_equal(wire_answer(&w[i], &m, false), 200);
    }
    assert_true(wire_more(&w[0]) <= 0); /* the oldest was closed */
    wire_say(&w[1], "GET / HTTP/1.1\r\n");
    wire_say(&w[2], "GET / HTTP/1.1\r\n");
    wait_until(gate_gauges(s.g).idle_sessions == 0);
    dial(&s, &w[3]);
    assert_true(wire_more(&w[3]) <= 0);
    assert_int_equal(gate_gauges(s.g).refused, 1);
    for (int i = 0; i < 4; i++)
        wire_close(&w[i]);
    close_stage(s);
}

static void what_is_no_request_is_refused(void **state) {
    (void)state;
    struct stage s = open_stage(name_itself);
    struct message m;
    assert_int_equal(gate_ask(s.g, "\x16\x03\x01\x02", &m), 400);
    assert_int_equal(gate_ask(s.g, "GET / HTTP/1.1\r\n\r\n", &m), 400);
    assert_int_equal(gate_ask(s.g, "GET /\r\n\r\n", &m), 400);
    assert_int_equal(gate_ask(s.g, "INVALID CONNECTION PREFACE\r\n\r\n", &m), 0); /* no words */
    assert_int_equal(gate_ask(s.g, "GET /%2f HTTP/1.1\r\nHost: h\r\n\r\n", &m), 400);
    assert_non_null(strstr(m.text, "ambiguous_path"));
    static char large[40000];
    memset(large, 'x', sizeof(large) - 1);
    memcpy(large, "GET / HTTP/1.1\r\nHost: h\r\nx: ", 28);
    assert_int_equal(gate_ask(s.g, large, &m), 431);
    assert_int_equal(atomic_load(&s.p->requests), 0);
    close_stage(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upstream_connection_is_used_again),
        cmocka_unit_test(idle_clients_make_room),
        cmocka_unit_test(a_stale_connection_costs_a_get_nothing),
        cmocka_unit_test(a_stale_connection_never_repeats_a_post),
        cmocka_unit_test(a_cut_answer_is_cut_for_the_client),
        cmocka_unit_test(a_body_waits_for_100_continue),
        cmocka_unit_test(an_early_answer_reaches_an_uploading_client),
        cmocka_unit_test(a_body_over_the_limit_is_refused),
        cmocka_unit_test(a_broken_chunked_body_is_refused),
        cmocka_unit_test(a_slow_client_slows_the_backend),
        cmocka_unit_test(a_slow_client_is_no_slow_backend),
        cmocka_unit_test(a_slow_client_has_the_time_of_its_request),
        cmocka_unit_test(a_direct_response_of_64_kib),
        cmocka_unit_test(http_1_0_is_answered_and_closed),
        cmocka_unit_test(an_answer_to_head_has_no_body),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_client_that_goes_ends_its_request),
        cmocka_unit_test(a_dripping_head_times_out),
        cmocka_unit_test(what_is_no_request_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
