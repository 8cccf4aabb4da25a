/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker and backends that are slow, refuse, fail or are many: timeouts, retries, queues,
 * balancing, passive health and copies.
 */
#include "tests/unit/gate.h"

static uint16_t next_port = 26400; /* a port for each test */

/* ---- backends ---- */

/* Waits for the gate with every answer when the peer's name is "held". */
static void name_itself(struct peer_connection *c) {
    struct message m;
    while (wire_request(&c->w, &m)) {
        atomic_fetch_add(&c->peer->bytes, m.length);
        atomic_fetch_add(&c->peer->requests, 1);
        if (strcmp(c->peer->name, "held") == 0)
            peer_wait_gate(c->peer);
        if (!wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(c->peer->name), c->peer->name))
            return;
    }
}

/* 500, or 200 when the gate is open. */
static void fails(struct peer_connection *c) {
    struct message m;
    while (wire_request(&c->w, &m)) {
        atomic_fetch_add(&c->peer->requests, 1);
        const char *line = atomic_load(&c->peer->gate) ? "200 OK" : "500 Bad Day";
        if (!wire_sayf(&c->w, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", line))
            return;
    }
}

/* 503 twice, then 200. */
static void fails_twice(struct peer_connection *c) {
    struct message m;
    while (wire_request(&c->w, &m)) {
        unsigned n = atomic_fetch_add(&c->peer->requests, 1);
        if (!wire_sayf(&c->w, "HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nok",
                       n < 2 ? "503 Busy" : "200 OK"))
            return;
    }
}

static void half_an_answer(struct peer_connection *c) {
    struct message m;
    if (wire_request(&c->w, &m))
        wire_say(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    peer_wait_gate(c->peer);
}

static void early_hints_for_ever(struct peer_connection *c) {
    struct message m;
    if (!wire_request(&c->w, &m))
        return;
    while (wire_say(&c->w, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"))
        ;
}

/* ---- the world ---- */

static struct gate *open_gate(struct model_traffic t, const char *one, const char *two) {
    struct gate *g = gate_new(next_port++);
    gate_backend(g, "app", one, two);
    gate_traffic(g, t);
    gate_route(g, (struct model_route){0}, "app");
    gate_publish(g);
    return g;
}

static void assert_refusal(struct gate *g, const char *text, int status, const char *reason) {
    struct message m;
    assert_int_equal(gate_ask(g, text, &m), status);
    assert_string_equal(message_field(&m, "sluice-reason"), reason);
}

/* ---- connecting ---- */

static void a_refused_connect_asks_another_endpoint(void **state) {
    (void)state;
    uint16_t port;
    int nobody = peer_bind(&port);
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    struct peer *p = peer_new("app", name_itself);
    struct gate *g = open_gate((struct model_traffic){0}, p->address, address);
    struct message m;
    for (int i = 0; i < 10; i++)
        assert_int_equal(gate_ask(g, i % 2 ? GET : POST, &m), 200);
    bool twice = false;
    for (unsigned i = 0; i < 10; i++)
        twice = twice || gate_record_at(g, i).attempts == 2;
    assert_true(twice);
    gate_backend(g, "app", address, NULL);
    gate_publish(g);
    assert_refusal(g, GET, 502, "connect_refused");
    gate_quiet(g);
    gate_free(g);
    peer_free(p);
    close(nobody);
}

static void a_connect_times_out(void **state) {
    (void)state;
    uint16_t port;
    int fd = peer_bind(&port);
    struct wire fill[4];
    char address[32];
    assert_int_equal(listen(fd, 0), 0);
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    for (int i = 0; i < 4; i++) { /* its queue is full: what comes now is not answered */
        struct sockaddr_in to = loopback(port);
        fill[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(fill[i].fd, (struct sockaddr *)&to, sizeof(to));
    }
    struct model_timeouts t = {.connect_ms = 100};
    struct gate *g = open_gate((struct model_traffic){.timeouts = &t}, address, NULL);
    assert_refusal(g, GET, 504, "connect_timeout");
    gate_quiet(g);
    gate_free(g);
    for (int i = 0; i < 4; i++)
        wire_close(&fill[i]);
    close(fd);
}

/* ---- timeouts ---- */

static void times_out(struct model_timeouts t) {
    struct peer *p = peer_new("held", name_itself);
    struct gate *g = open_gate((struct model_traffic){.timeouts = &t}, p->address, NULL);
    assert_refusal(g, GET, 504, "upstream_timeout");
    assert_refusal(g, POST, 504, "upstream_timeout");
    assert_int_equal(atomic_load(&p->requests), 2); /* it is not asked again */
    gate_quiet(g);
    gate_free(g);
    peer_free(p);
}

static void a_silent_backend_times_out(void **state) {
    (void)state;
    times_out((struct model_timeouts){.idle_ms = 60});
    times_out((struct model_timeouts){.backend_request_ms = 60});
    times_out((struct model_timeouts){.request_ms = 60});
}

static void a_backend_that_stops_half_way_is_cut(void **state) {
    (void)state;
    struct model_timeouts t[] = {{.idle_ms = 60}, {.backend_request_ms = 60}, {.request_ms = 60}};
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        struct peer *p = peer_new("app", half_an_answer);
        struct gate *g = open_gate((struct model_traffic){.timeouts = &t[i]}, p->address, NULL);
        struct wire w;
        struct message m;
        assert_true(wire_dial(&w, gate_port(g)));
        wire_say(&w, GET);
        assert_int_equal(wire_answer(&w, &m, false), 200);
        assert_false(m.whole);
        assert_int_equal(wire_end(&w), -1);
        wire_close(&w);
        assert_int_equal(gate_record_at(g, 0).reason, REASON_UPSTREAM_TIMEOUT);
        gate_quiet(g);
        gate_free(g);
        peer_free(p);
    }
}

/* The time of a request is that of the whole exchange, its slow client's too. */
static void a_client_that_takes_nothing_is_cut_in_time(void **state) {
    (void)state;
    struct peer *p = peer_new("app", early_hints_for_ever);
    struct model_timeouts t = {.request_ms = 300};
    struct gate *g = open_gate((struct model_traffic){.timeouts = &t}, p->address, NULL);
    struct wire w;
    assert_true(wire_dial(&w, gate_port(g)));
    wire_say(&w, GET);
    (void)gate_record_at(g, 0);
    assert_true(gate_gauges(g).buffer_bytes <= 256 * 1024);
    wire_close(&w);
    gate_quiet(g);
    gate_free(g);
    peer_free(p);
}

/* ---- retries ---- */

static void codes_are_retried(void **state) {
    (void)state;
    for (uint64_t attempts = 1; attempts <= 2; attempts++) {
        struct peer *p = peer_new("app", fails_twice);
        struct model_retry r = {
            .attempts = attempts, .codes = str_mk("\x01\xf7", 2), .backoff_ms = 5};
        struct gate *g = open_gate((struct model_traffic){.retry = &r}, p->address, NULL);
        struct message m;
        assert_int_equal(gate_ask(g, GET, &m), attempts == 2 ? 200 : 503);
        assert_string_equal(m.text, "ok"); /* the last answer is passed on as it is */
        assert_int_equal(gate_record_at(g, 0).attempts, attempts + 1);
        assert_int_equal(atomic_load(&p->requests), attempts + 1);
        gate_quiet(g);
        gate_free(g);
        peer_free(p);
    }
}

static void a_request_whose_body_went_is_not_retried(void **state) {
    (void)state;
    struct peer *p = peer_new("app", fails_twice);
    struct model_retry r = {.attempts = 3, .codes = str_mk("\x01\xf7", 2)};
    struct gate *g = open_gate((struct model_traffic){.retry = &r}, p->address, NULL);
    struct message m;
    assert_int_equal(gate_ask(g, POST, &m), 503);
    assert_int_equal(atomic_load(&p->requests), 1);
    gate_quiet(g);
    gate_free(g);
    peer_free(p);
}

/* ---- limits ---- */

static void a_full_endpoint_queues_then_sheds(void **state) {
    (void)state;
    struct peer *p = peer_new("held", name_itself);
    struct model_connection limit = {.max_connections = 1, .max_pending = 2};
    struct gate *g = open_gate((struct model_traffic){.connection = &limit}, p->address, NULL);
    struct wire w[3];
    struct message m;
    for (int i = 0; i < 3; i++) {
        assert_true(wire_dial(&w[i], gate_port(g)));
        wire_say(&w[i], i == 1 ? POST : GET);
        wait_until(gate_gauges(g).streams == (uint64_t)i + 1);
    }
    assert_refusal(g, GET, 503, "overloaded");
    assert_int_equal(gate_record_at(g, 0).attempts, 0);
    atomic_store(&p->gate, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wire_answer(&w[i], &m, false), 200);
        wire_close(&w[i]);
    }
    assert_int_equal(atomic_load(&p->accepted), 1);
    gate_quiet(g);
    gate_free(g);
    peer_free(p);
}

static void a_client_that_goes_leaves_the_queue(void **state) {
    (void)state;
    struct peer *p = peer_new("held", name_itself);
    struct model_connection limit = {.max_connections = 1, .max_pending = 1};
    struct gate *g = open_gate((struct model_traffic){.connection = &limit}, p->address, NULL);
    struct wire one, gone, two;
    struct message m;
    assert_true(wire_dial(&one, gate_port(g)));
    wire_say(&one, GET);
    wait_until(atomic_load(&p->requests) == 1);
    assert_true(wire_dial(&gone, gate_port(g)));
    wire_say(&gone, GET);
    wait_until(gate_gauges(g).streams == 2);
    wire_close(&gone);
    wait_until(gate_gauges(g).streams == 1);
    assert_true(wire_dial(&two, gate_port(g)));
    wire_say(&two, GET);
    wait_until(gate_gauges(g).streams == 2);
    atomic_store(&p->gate, true);
    assert_int_equal(wire_answer(&one, &m, false), 200);
    assert_int_equal(wire_answer(&two, &m, false), 200);
    assert_int_equal(atomic_load(&p->requests), 2);
    wire_close(&one);
    wire_close(&two);
    gate_quiet(g);
    gate_free(g);
    peer_free(p);
}

static void a_wait_in_the_queue_ends(void **state) {
    (void)state;
    struct peer *p = peer_new("held", name_itself);
    struct model_connection limit = {.max_connections = 1};
    struct model_timeouts t = {.connect_ms = 60};
    struct gate *g =
        open_gate((struct model_traffic){.connection = &limit, .timeouts = &t}, p->address, NULL);
    struct wire w;
    assert_true(wire_dial(&w, gate_port(g)));
    wire_say(&w, GET);
    wait_until(atomic_load(&p->requests) == 1);
    assert_refusal(g, GET, 503, "overloaded");
    wire_close(&w);
    gate_quiet(g);
    gate_free(g);
    peer_free(p);
}

static void a_connection_serves_so_many_requests(void **state) {
    (void)state;
    struct peer *p = peer_new("app", name_itself);
    struct model_connection limit = {.max_requests = 4};
    struct gate *g = open_gate((struct model_traffic){.connection = &limit}, p->address, NULL);
    struct message m;
    for (int i = 0; i < 12; i++)
        assert_int_equal(gate_ask(g, GET, &m), 200);
    assert_int_equal(atomic_load(&p->accepted), 3);
    gate_quiet(g);
    gate_free(g);
    peer_free(p);
}

/* ---- who is asked ---- */

static void a_failing_endpoint_is_left_alone_for_a_while(void **state) {
    (void)state;
    struct peer *bad = peer_new("bad", fails), *good = peer_new("good", name_itself);
    struct model_passive_health h = {.consecutive_errors = 2, .ejection_ms = 400};
    struct gate *g =
        open_gate((struct model_traffic){.passive_health = &h}, bad->address, good->address);
    struct message m;
    while (atomic_load(&bad->requests) < 2)
        gate_ask(g, GET, &m);
    for (int i = 0; i < 20; i++) { /* far less than 400 ms */
        assert_int_equal(gate_ask(g, GET, &m), 200);
        assert_string_equal(m.text, "good");
    }
    assert_int_equal(atomic_load(&bad->requests), 2);
    atomic_store(&bad->gate, true); /* it is well again */
    wait_until(gate_ask(g, GET, &m) == 200 && atomic_load(&bad->requests) > 2);
    gate_quiet(g);
    gate_free(g);
    peer_free(bad);
    peer_free(good);
}

/* Of one endpoint, or of more than the share that may be ejected, none is. */
static void the_last_endpoint_is_never_left_alone(void **state) {
    (void)state;
    struct peer *bad = peer_new("bad", fails);
    struct model_passive_health h = {.consecutive_errors = 1};
    struct gate *g = open_gate((struct model_traffic){.passive_health = &h}, bad->address, NULL);
    struct message m;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(gate_ask(g, GET, &m), 500);
    assert_int_equal(atomic_load(&bad->requests), 10);
    gate_quiet(g);
    gate_free(g);
    peer_free(bad);
}

static void least_request_avoids_the_busy_one(void **state) {
    (void)state;
    struct peer *busy = peer_new("held", name_itself), *idle = peer_new("idle", name_itself);
    struct gate *g = open_gate((struct model_traffic){.balance = MODEL_LEAST_REQUEST},
                               busy->address, idle->address);
    struct wire w[16];
    struct message m;
    unsigned n = 0;
    for (; atomic_load(&busy->requests) == 0; n++) {
        assert_true(n < ARRAY_LEN(w) && wire_dial(&w[n], gate_port(g)));
        wire_say(&w[n], GET);
        wait_until(atomic_load(&busy->requests) + atomic_load(&idle->requests) == n + 1);
    }
    for (int i = 0; i < 30; i++) {
        assert_int_equal(gate_ask(g, GET, &m), 200);
        assert_string_equal(m.text, "idle");
    }
    while (n > 0)
        wire_close(&w[--n]);
    gate_quiet(g);
    gate_free(g);
    peer_free(busy);
    peer_free(idle);
}

static void put_shares(struct gate *g, uint64_t a, uint64_t b) {
    struct str host = host_id(&g->world, "");
    struct model_match m = PREFIX("/");
    struct model_backend_ref refs[] = {{.backend = backend_id(&g->world, "a"), .weight = a},
                                       {.backend = backend_id(&g->world, "b"), .weight = b}};
    struct model_route r = {.namespace = STR("ns"),
                            .name = STR("r"),
                            .hosts = &host,
                            .n_hosts = 1,
                            .matches = &m,
                            .n_matches = 1,
                            .backends = refs,
                            .n_backends = 2};
    world_put(&g->world, MODEL_KIND_route, route_id(&g->world, "r"), &r);
}

static void weights_are_kept(void **state) {
    (void)state;
    enum { N = 2000 };
    struct gate *g = gate_new(next_port++);
    struct peer *a = peer_new("a", name_itself), *b = peer_new("b", name_itself);
    put_backend(&g->world, "a", a->address, NULL);
    put_backend(&g->world, "b", b->address, NULL);
    put_shares(g, 90, 10);
    gate_publish(g);
    struct wire w;
    struct message m;
    assert_true(wire_dial(&w, gate_port(g)));
    for (int i = 0; i < N; i++) {
        wire_say(&w, GET);
        assert_int_equal(wire_answer(&w, &m, false), 200);
    }
    unsigned of_b = atomic_load(&b->requests);
    assert_int_equal(atomic_load(&a->requests) + of_b, N);
    assert_in_range(of_b, 120, 280); /* 200 expected: six standard deviations each way */
    put_shares(g, 1, 0);
    gate_publish(g);
    for (int i = 0; i < 100; i++) {
        wire_say(&w, GET);
        assert_int_equal(wire_answer(&w, &m, false), 200);
    }
    assert_int_equal(atomic_load(&b->requests), of_b);
    wire_close(&w);
    gate_quiet(g);
    gate_free(g);
    peer_free(a);
    peer_free(b);
}

/* ---- copies ---- */

static void put_mirror(struct gate *g, uint64_t numerator, uint64_t denominator) {
    struct model_mirror mirror = {.backend = backend_id(&g->world, "copy"),
                                  .numerator = numerator,
                                  .denominator = denominator};
    struct model_filter f = {.type = MODEL_FILTER_MIRROR, .mirror = &mirror};
    gate_route(g, (struct model_route){.filters = &f, .n_filters = 1}, "app");
}

static void copies_are_sent_with_their_bodies(void **state) {
    (void)state;
    struct gate *g = gate_new(next_port++);
    struct peer *app = peer_new("app", name_itself), *copy = peer_new("copy", name_itself);
    struct message m;
    put_backend(&g->world, "app", app->address, NULL);
    put_backend(&g->world, "copy", copy->address, NULL);
    put_mirror(g, 0, 0);
    gate_publish(g);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(gate_ask(g, i % 2 ? GET : POST, &m), 200);
        assert_string_equal(m.text, "app");
    }
    wait_until(atomic_load(&copy->requests) == 50);
    assert_int_equal(atomic_load(&copy->bytes), 25 * 3);
    assert_int_equal(gate_ask(g,
                              "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
                              &m),
                     200);
    wait_until(atomic_load(&copy->bytes) == 25 * 3 + 7);
    put_mirror(g, 1, 4);
    gate_publish(g);
    for (int i = 0; i < 400; i++)
        assert_int_equal(gate_ask(g, GET, &m), 200);
    gate_quiet(g);
    assert_in_range(atomic_load(&copy->requests) - 51, 48, 152); /* 100, six deviations */
    gate_free(g);
    peer_free(app);
    peer_free(copy);
}

/* Whatever becomes of the copy, the request is not touched. */
static void a_copy_harms_nothing(void **state) {
    (void)state;
    struct gate *g = gate_new(next_port++);
    struct peer *app = peer_new("app", name_itself), *held = peer_new("held", name_itself);
    uint16_t port;
    int nobody = peer_bind(&port);
    char address[32];
    struct message m;
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    put_backend(&g->world, "app", app->address, NULL);
    const char *copies[] = {address, held->address, NULL};
    for (unsigned i = 0; i < 3; i++) { /* refuses, never answers, has no endpoint */
        put_backend(&g->world, "copy", copies[i], NULL);
        put_mirror(g, 0, 0);
        gate_publish(g);
        for (int n = 0; n < 20; n++) {
            assert_int_equal(gate_ask(g, n % 2 ? GET : POST, &m), 200);
            assert_string_equal(m.text, "app");
        }
    }
    wait_until(gate_gauges(g).streams == 0 && gate_gauges(g).sessions == 0);
    gate_free(g); /* while copies wait for their answers */
    peer_free(app);
    peer_free(held);
    close(nobody);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_connect_asks_another_endpoint),
        cmocka_unit_test(a_connect_times_out),
        cmocka_unit_test(a_silent_backend_times_out),
        cmocka_unit_test(a_backend_that_stops_half_way_is_cut),
        cmocka_unit_test(a_client_that_takes_nothing_is_cut_in_time),
        cmocka_unit_test(codes_are_retried),
        cmocka_unit_test(a_request_whose_body_went_is_not_retried),
        cmocka_unit_test(a_full_endpoint_queues_then_sheds),
        cmocka_unit_test(a_client_that_goes_leaves_the_queue),
        cmocka_unit_test(a_wait_in_the_queue_ends),
        cmocka_unit_test(a_connection_serves_so_many_requests),
        cmocka_unit_test(a_failing_endpoint_is_left_alone_for_a_while),
        cmocka_unit_test(the_last_endpoint_is_never_left_alone),
        cmocka_unit_test(least_request_avoids_the_busy_one),
        cmocka_unit_test(weights_are_kept),
        cmocka_unit_test(copies_are_sent_with_their_bodies),
        cmocka_unit_test(a_copy_harms_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
