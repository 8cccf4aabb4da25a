/* SPDX-License-Identifier: Apache-2.0
 *
 * A real worker with an HTTPS listener between a scripted backend and clients that are OpenSSL, or
 * only pretend to be (S25, S26).
 */
#include "proxy/session/session.h"
#include "tests/unit/gate.h"
#include "tests/unit/pairs.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

static uint16_t next_port = 26900;

/* ---- the backend ---- */

static char block[65536 + 251];

static int fill_block(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i % 251);
    return 0;
}

/* "GET /N": N bytes of a pattern. Anything else: the length and sum of its body. */
static void serve(struct peer_connection *c) {
    struct message m;
    while (wire_request(&c->w, &m)) {
        unsigned long n = 0;
        if (sscanf(m.head, "GET /%lu", &n) != 1) {
            char text[64];
            snprintf(text, sizeof(text), "%zu %llu", m.length, (unsigned long long)m.sum);
            wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(text),
                      text);
            continue;
        }
        wire_sayf(&c->w, "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", n);
        for (size_t at = 0; at < n; at += 65536)
            if (!wire_write(&c->w, block + at % 251, size_min(n - at, 65536)))
                return;
    }
}

/* ---- the world ---- */

struct stage {
    struct gate *g;
    struct peer *p;
    SSL_CTX *context;
};

static void put_pair(struct gate *g, enum pair_key kind) {
    struct model_certificate m = pair_new(&g->world.a, kind, "h");
    world_put(&g->world, MODEL_KIND_certificate, STR("certificate/ns/c"), &m);
}

static struct stage open_stage(uint64_t header_timeout_ms) {
    struct stage s = {gate_new(next_port++), peer_new("app", serve),
                      SSL_CTX_new(TLS_client_method())};
    struct str id = STR("certificate/ns/c");
    struct model_listener l = {.gateway = STR("gateway/-/c"), .port = 80, .protocol = MODEL_HTTPS};
    struct model_host h = {.hostname = STR("h"), .certificates = &id, .n_certificates = 1};
    struct model_limits limits = {.header_timeout_ms = header_timeout_ms};
    struct model_gateway gw = {.limits = &limits};
    world_put(&s.g->world, MODEL_KIND_listener, STR("listener/c/http"), &l);
    world_put(&s.g->world, MODEL_KIND_host, host_id(&s.g->world, "h"), &h);
    world_put(&s.g->world, MODEL_KIND_gateway, STR("gateway/-/c"), &gw);
    put_pair(s.g, PAIR_EC);
    gate_backend(s.g, "app", s.p->address, NULL);
    put_route_as(&s.g->world, (struct model_route){0}, "r", "h", PREFIX("/"), "app");
    gate_publish(s.g);
    return s;
}

static void close_stage(struct stage s) {
    gate_quiet(s.g);
    gate_free(s.g);
    peer_free(s.p);
    SSL_CTX_free(s.context);
}

static struct secure_counts counts(struct stage *s) { return worker_handshakes(s->g->worker); }

/* ---- a client ---- */

struct caller {
    struct wire w;
    SSL *ssl;
};

/* Connected, and no byte said. */
static void client_dial(struct stage *s, struct caller *c) {
    assert_true(wire_dial(&c->w, gate_port(s->g)));
    c->ssl = SSL_new(s->context);
    SSL_set_fd(c->ssl, c->w.fd);
    SSL_set_tlsext_host_name(c->ssl, "h");
    SSL_set_connect_state(c->ssl);
}

static void client_open(struct stage *s, struct caller *c) {
    client_dial(s, c);
    assert_int_equal(SSL_do_handshake(c->ssl), 1);
}

static void client_close(struct caller *c) {
    SSL_free(c->ssl);
    wire_close(&c->w);
    ERR_clear_error();
}

static void client_write(struct caller *c, const char *p, size_t n) {
    size_t done;
    for (; n > 0; p += done, n -= done)
        assert_int_equal(SSL_write_ex(c->ssl, p, n, &done), 1);
}
static void client_say(struct caller *c, const char *text) { client_write(c, text, strlen(text)); }

/* Reads the head of an answer; the length of what follows. */
static size_t client_head(struct caller *c) {
    char head[4096], *length;
    for (size_t n = 0;; n++) {
        assert_true(n < sizeof(head) - 1);
        assert_int_equal(SSL_read(c->ssl, head + n, 1), 1);
        head[n + 1] = 0;
        if (n >= 3 && memcmp(head + n - 3, "\r\n\r\n", 4) == 0)
            break;
    }
    assert_memory_equal(head, "HTTP/1.1 200", 12);
    length = strcasestr(head, "content-length: ");
    assert_non_null(length);
    return strtoul(length + 16, NULL, 10);
}

static void client_body(struct caller *c, char *to, size_t n) {
    size_t done;
    for (; n > 0; to += done, n -= done)
        assert_int_equal(SSL_read_ex(c->ssl, to, n, &done), 1);
}

static void client_get(struct caller *c, size_t n) {
    char request[64];
    char *body = mem_alloc(n + 1);
    snprintf(request, sizeof(request), "GET /%zu HTTP/1.1\r\nHost: h\r\n\r\n", n);
    client_say(c, request);
    assert_int_equal(client_head(c), n);
    client_body(c, body, n);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)body[i] != i % 251)
            fail_msg("byte %zu of %zu is %d", i, n, body[i]);
    mem_free(body);
}

/* Nothing more comes but the end. */
static void assert_ended(struct caller *c) {
    char byte;
    assert_true(SSL_read(c->ssl, &byte, 1) <= 0);
}

/* ---- bodies ---- */

static void bodies_of_every_size(void **state) {
    (void)state;
    static const size_t sizes[] = {1,     2,     1000,  16000, 16383, 16384,   16385,
                                   32768, 65536, 67583, 67584, 67585, 1 << 20, (4 << 20) + 7};
    struct stage s = open_stage(0);
    struct caller c;
    client_open(&s, &c);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        client_get(&c, sizes[i]);
    client_close(&c);
    close_stage(s);
}

/* What the client does not take waits as records; nothing is lost, nothing sealed twice. */
static void a_client_with_tiny_buffers(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    struct caller c;
    int tiny = 16384;
    client_dial(&s, &c);
    setsockopt(c.w.fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny));
    assert_int_equal(SSL_do_handshake(c.ssl), 1);
    for (size_t n = 1 << 20; n < (5 << 20); n = n * 2 + 13)
        client_get(&c, n);
    client_close(&c);
    close_stage(s);
}

static void uploads(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    struct caller c;
    char head[128], text[64], want[64];
    client_open(&s, &c);
    for (size_t n = 1; n < (6 << 20); n = n * 3 + 1) {
        char *body = mem_alloc(n);
        for (size_t i = 0; i < n; i++)
            body[i] = (char)(i * 7 % 253);
        snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                 n);
        client_say(&c, head);
        client_write(&c, body, n);
        size_t got = client_head(&c);
        assert_true(got < sizeof(text));
        client_body(&c, text, got);
        text[got] = 0;
        snprintf(want, sizeof(want), "%zu %llu", n, (unsigned long long)peer_sum(0, body, n));
        assert_string_equal(text, want);
        mem_free(body);
    }
    client_close(&c);
    close_stage(s);
}

/* Requests that come with the last message of the handshake, many in one record. */
static void requests_right_behind_the_handshake(void **state) {
    (void)state;
    enum { MANY = 200 };
    struct stage s = open_stage(0);
    struct caller c;
    char *body = mem_alloc(100);
    client_open(&s, &c);
    for (int i = 0; i < MANY; i++)
        client_say(&c, "GET /100 HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(client_head(&c), 100);
        client_body(&c, body, 100);
    }
    mem_free(body);
    client_close(&c);
    close_stage(s);
}

/* ---- handshakes ---- */

/* S26: the name is that of the whole ClientHello, however it comes in pieces. */
static void a_hello_split_at_every_byte(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    struct caller c;
    for (int at = 1;; at++) {
        char hello[2048];
        client_dial(&s, &c);
        BIO *out = BIO_new(BIO_s_mem());
        SSL_set0_wbio(c.ssl, out);
        fcntl(c.w.fd, F_SETFL, O_NONBLOCK);
        assert_int_equal(SSL_get_error(c.ssl, SSL_do_handshake(c.ssl)), SSL_ERROR_WANT_READ);
        fcntl(c.w.fd, F_SETFL, 0);
        int n = BIO_read(out, hello, sizeof(hello));
        assert_true(n > 0);
        if (at >= n) {
            client_close(&c);
            break;
        }
        assert_true(wire_write(&c.w, hello, (size_t)at));
        assert_true(wire_write(&c.w, hello + at, (size_t)(n - at)));
        SSL_set_fd(c.ssl, c.w.fd);
        assert_int_equal(SSL_do_handshake(c.ssl), 1);
        client_close(&c);
    }
    close_stage(s);
}

static void who_stalls_in_the_handshake_is_dropped(void **state) {
    (void)state;
    struct stage s = open_stage(200);
    struct caller silent, half;
    client_dial(&s, &silent);
    client_dial(&s, &half);
    assert_true(wire_write(&half.w, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
    assert_int_equal(wire_end(&silent.w), 0);
    assert_int_equal(wire_end(&half.w), 0);
    assert_int_equal(counts(&s).timeout, 2);
    client_close(&silent);
    client_close(&half);
    close_stage(s);
}

static void what_is_no_tls_is_refused(void **state) {
    (void)state;
    static const char *const said[] = {GET, "\x16\x03\x01\xff\xff\x01", "\x15\x03\x03",
                                       "\x80\x2e\x01", "\x17\x03\x03\x10\x10"};
    struct stage s = open_stage(0);
    char zeros[4096] = {0};
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        struct wire w;
        assert_true(wire_dial(&w, gate_port(s.g)));
        wire_say(&w, said[i]);
        wire_write(&w, zeros, sizeof(zeros));
        shutdown(w.fd, SHUT_WR);
        while (wire_more(&w) > 0) {
            assert_true(w.n - w.at < 16); /* an alert at most */
            assert_null(memmem(w.buf, w.n, "HTTP", 4));
        }
        wire_close(&w);
    }
    wait_until(counts(&s).failed == ARRAY_LEN(said));
    close_stage(s);
}

static void who_goes_in_the_handshake_costs_nothing(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    for (int i = 0; i < 100; i++) {
        struct caller c;
        client_dial(&s, &c);
        if (i % 3 > 0) { /* a whole hello, and no more */
            struct timeval now = {0, 1};
            setsockopt(c.w.fd, SOL_SOCKET, SO_RCVTIMEO, &now, sizeof(now));
            SSL_do_handshake(c.ssl);
        }
        if (i % 2 > 0)
            wire_reset(&c.w);
        client_close(&c);
    }
    wait_until(counts(&s).failed + counts(&s).done == 100);
    close_stage(s);
}

/* S26: more than may be at once, of clients that say nothing; a good one gets in. */
static void a_crowd_of_silent_clients(void **state) {
    (void)state;
    enum { MANY = SESSIONS_SHAKING_MAX + 100 };
    struct stage s = open_stage(0);
    struct wire *w = mem_array(MANY, sizeof(*w));
    struct caller before, c;
    client_open(&s, &before);
    client_get(&before, 1000); /* its handshake is over at the other end too */
    for (int i = 0; i < MANY; i++)
        assert_true(wire_dial(&w[i], gate_port(s.g)));
    wait_until(counts(&s).shed == 100 && gate_gauges(s.g).sessions == SESSIONS_SHAKING_MAX + 1);
    client_open(&s, &c);
    client_get(&c, 1000);
    client_get(&before, 1000);
    assert_int_equal(counts(&s).shed, 101);
    for (int i = 0; i < 101; i++) /* those that have waited the longest */
        assert_true(wire_end(&w[i]) <= 0);
    client_close(&c);
    client_close(&before);
    for (int i = 0; i < MANY; i++)
        wire_close(&w[i]);
    wait_until(gate_gauges(s.g).sessions == 0);
    mem_free(w);
    close_stage(s);
}

static void renegotiation_is_refused(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    struct caller c;
    SSL_CTX_set_max_proto_version(s.context, TLS1_2_VERSION);
    client_open(&s, &c);
    client_get(&c, 10);
    SSL_renegotiate(c.ssl);
    assert_true(SSL_do_handshake(c.ssl) <= 0);
    client_close(&c);
    close_stage(s);
}

/* ---- connections ---- */

static void keys_are_updated_on_the_way(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    struct caller c;
    client_open(&s, &c);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        client_get(&c, (size_t)i * 1000 + 1);
    }
    client_close(&c);
    close_stage(s);
}

static void garbage_ends_a_connection(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    for (int i = 0; i < 20; i++) {
        struct caller c;
        char noise[64] = {0x17, 3, 3, 0, (char)(1 + i * 2), 'x'};
        client_open(&s, &c);
        if (i % 2)
            client_get(&c, 100);
        assert_true(wire_write(&c.w, noise, sizeof(noise)));
        assert_ended(&c);
        client_close(&c);
    }
    close_stage(s);
}

/* A cut is not an end: half a request is never taken for a whole one. */
static void a_cut_without_close_notify(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    for (int i = 0; i < 10; i++) {
        struct caller c;
        client_open(&s, &c);
        client_say(&c, i % 2 ? "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf"
                             : "GET / HTTP/1.1\r\nHos");
        shutdown(c.w.fd, SHUT_WR);
        assert_ended(&c);
        client_close(&c);
    }
    assert_int_equal(atomic_load(&s.p->requests), 0);
    close_stage(s);
}

/* Half a record and nothing behind it. */
static void a_truncated_record(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    struct caller c;
    client_open(&s, &c);
    client_get(&c, 10);
    assert_true(wire_write(&c.w, "\x17\x03\x03\x40\x00half", 9));
    wait_until(gate_gauges(s.g).sessions == 1);
    client_close(&c);
    close_stage(s);
}

static void the_end_is_told(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    struct caller c;
    char body[5];
    client_open(&s, &c);
    client_say(&c, "GET /5 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_int_equal(client_head(&c), 5);
    client_body(&c, body, 5);
    assert_int_equal(SSL_get_error(c.ssl, SSL_read(c.ssl, body, 1)), SSL_ERROR_ZERO_RETURN);
    client_close(&c);
    close_stage(s);
}

/* ---- certificates ---- */

static int shown_key(struct stage *s) {
    struct caller c;
    client_open(s, &c);
    X509 *x = SSL_get0_peer_certificate(c.ssl);
    int type = EVP_PKEY_get_base_id(X509_get0_pubkey(x));
    client_close(&c);
    return type;
}

static void a_rotation_touches_no_connection(void **state) {
    (void)state;
    struct stage s = open_stage(0);
    struct caller old;
    client_open(&s, &old);
    for (int i = 0; i < 10; i++) {
        put_pair(s.g, i % 2 ? PAIR_EC : PAIR_RSA);
        gate_publish(s.g);
        assert_int_equal(shown_key(&s), i % 2 ? EVP_PKEY_EC : EVP_PKEY_RSA);
        client_get(&old, 1000);
    }
    client_close(&old);
    builder_del(s.g->world.b, STR("certificate/ns/c"));
    gate_publish(s.g);
    client_dial(&s, &old);
    assert_true(SSL_do_handshake(old.ssl) <= 0);
    assert_int_equal(counts(&s).no_certificate, 1);
    client_close(&old);
    close_stage(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_every_size),
        cmocka_unit_test(a_client_with_tiny_buffers),
        cmocka_unit_test(uploads),
        cmocka_unit_test(requests_right_behind_the_handshake),
        cmocka_unit_test(a_hello_split_at_every_byte),
        cmocka_unit_test(who_stalls_in_the_handshake_is_dropped),
        cmocka_unit_test(what_is_no_tls_is_refused),
        cmocka_unit_test(who_goes_in_the_handshake_costs_nothing),
        cmocka_unit_test(a_crowd_of_silent_clients),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(keys_are_updated_on_the_way),
        cmocka_unit_test(garbage_ends_a_connection),
        cmocka_unit_test(a_cut_without_close_notify),
        cmocka_unit_test(a_truncated_record),
        cmocka_unit_test(the_end_is_told),
        cmocka_unit_test(a_rotation_touches_no_connection),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, fill_block, NULL);
}
