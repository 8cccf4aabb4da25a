/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker between plain clients and endpoints that are OpenSSL's servers, good ones and bad ones:
 * who is believed, what is shown, sessions, pools, and every way to end.
 */
#include "tests/unit/certificate_make.h"
#include "tests/unit/gate.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

static uint16_t next_port = 25100;

/* ---- an endpoint ---- */

/* What it shows and how it behaves; set before a connection comes. */
static struct server {
    SSL_CTX *context;
    size_t piece;     /* bytes of one send; 0: as they come */
    bool until_close; /* answers end with the connection */
    bool no_farewell; /* ... without close_notify */
    bool close_each;  /* after an answer */
    bool late_ticket; /* a session is sent after the answer, when the connection is idle */
    bool extra_bytes; /* bytes that nobody has asked for follow the answer */
    bool hang_up;     /* after the first bytes of a handshake */
    bool silent;      /* takes the connection and says nothing */
    bool close_idle;  /* close_notify after an answer; the socket stays open */
    atomic_uint requests, handshakes, resumed, alerts, bytes, late;
} server;

struct secured {
    struct wire *w;
    SSL *ssl;
};

static bool push(struct secured *s) {
    char room[65536];
    for (int n; (n = BIO_read(SSL_get_wbio(s->ssl), room, sizeof(room))) > 0;)
        for (size_t at = 0, k; at < (size_t)n; at += k) {
            k = size_min((size_t)n - at, server.piece > 0 ? server.piece : (size_t)n);
            if (!wire_write(s->w, room + at, k))
                return false;
        }
    return true;
}

/* After an operation that gave rc: whether it is worth to try again. */
static bool again(struct secured *s, int rc) {
    int error = SSL_get_error(s->ssl, rc);
    if (!push(s) || error != SSL_ERROR_WANT_READ || wire_more(s->w) <= 0)
        return false;
    BIO_write(SSL_get_rbio(s->ssl), s->w->buf + s->w->at, (int)(s->w->n - s->w->at));
    s->w->at = s->w->n;
    return true;
}

static bool shake(struct secured *s) {
    int rc;
    while ((rc = SSL_do_handshake(s->ssl)) != 1)
        if (!again(s, rc))
            return false;
    return push(s);
}

static int take(struct secured *s, char *to, int n) {
    int rc;
    while ((rc = SSL_read(s->ssl, to, n)) <= 0)
        if (!again(s, rc))
            return 0;
    atomic_fetch_add(&server.bytes, (unsigned)rc);
    return rc;
}

static bool give(struct secured *s, const char *p, size_t n) {
    return SSL_write(s->ssl, p, (int)n) == (int)n && push(s);
}

static bool say_to(struct secured *s, const char *text) { return give(s, text, strlen(text)); }

/* Of the client's certificate. */
static const char *subject(SSL *ssl, char room[128]) {
    X509 *x = SSL_get0_peer_certificate(ssl);
    room[0] = 0;
    if (x != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, room, 128);
    return room;
}

static bool answer(struct secured *s, const char *head, size_t body) {
    static char block[65536];
    char text[1024], who[128];
    const unsigned char *alpn;
    unsigned long n = 0;
    unsigned alpn_n;
    SSL_get0_alpn_selected(s->ssl, &alpn, &alpn_n);
    snprintf(text, sizeof(text), "%s sni=%s client=%s alpn=%.*s resumed=%d body=%zu",
             SSL_get_version(s->ssl), SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name),
             subject(s->ssl, who), (int)alpn_n, alpn, SSL_session_reused(s->ssl), body);
    char answer[1400];
    if (sscanf(head, "GET /bytes/%lu", &n) == 1) {
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", n);
        if (!say_to(s, answer))
            return false;
        for (size_t at = 0; at < n; at += sizeof(block))
            if (!give(s, block, size_min(n - at, sizeof(block))))
                return false;
        return true;
    }
    if (server.until_close)
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s", text);
    else
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n%s%s",
                 server.close_each ? "Connection: close\r\n" : "", strlen(text), text,
                 server.extra_bytes ? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother" : "");
    return say_to(s, answer);
}

/* One request; false: none came. */
static bool serve_one(struct secured *s) {
    char head[8192], room[16384], *end;
    size_t n = 0, body = 0;
    for (;;) {
        int k = take(s, head + n, (int)(sizeof(head) - 1 - n));
        if (k <= 0)
            return false;
        n += (size_t)k;
        head[n] = 0;
        if ((end = strstr(head, "\r\n\r\n")) != NULL)
            break;
    }
    const char *length = strcasestr(head, "content-length: ");
    size_t wanted = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
    for (body = n - (size_t)(end + 4 - head); body < wanted;) {
        int k = take(s, room, sizeof(room));
        if (k <= 0)
            return false;
        body += (size_t)k;
    }
    atomic_fetch_add(&server.requests, 1);
    return answer(s, head, body);
}

static void serve_secured(struct secured *s) {
    if (!shake(s)) {
        atomic_fetch_add(&server.alerts, 1);
        return;
    }
    atomic_fetch_add(&server.handshakes, 1);
    atomic_fetch_add(&server.resumed, (unsigned)SSL_session_reused(s->ssl));
    while (serve_one(s)) {
        if (server.until_close || server.close_each || server.close_idle) {
            if (!server.no_farewell)
                SSL_shutdown(s->ssl);
            push(s);
            if (server.close_idle)
                (void)wire_more(s->w);
            return;
        }
        if (server.late_ticket) {
            SSL_new_session_ticket(s->ssl);
            SSL_do_handshake(s->ssl);
            push(s);
            atomic_fetch_add(&server.late, 1);
        }
    }
}

static void serve(struct peer_connection *c) {
    if (server.silent) {
        peer_wait_gate(c->peer);
        return;
    }
    if (server.hang_up) {
        (void)wire_more(&c->w);
        return;
    }
    struct secured s = {&c->w, SSL_new(server.context)};
    SSL_set_bio(s.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(s.ssl);
    serve_secured(&s);
    SSL_free(s.ssl);
    ERR_clear_error();
}

/* ---- certificates ---- */

struct issued {
    X509 *x;
    EVP_PKEY *key;
};

static struct issued authority, stranger;

static struct issued issue(const struct issued *by, const char *subject_name, const char *names,
                           const char *not_after) {
    struct issued i = {.key = make_ec("P-256")};
    i.x = make_x509(i.key, &(struct making_x509){.subject = subject_name,
                                                 .names = names,
                                                 .constraints = by ? NULL : "critical,CA:TRUE",
                                                 .issuer = by ? by->x : NULL,
                                                 .issuer_key = by ? by->key : NULL,
                                                 .not_after = not_after});
    return i;
}

static void issued_free(struct issued i) {
    X509_free(i.x);
    EVP_PKEY_free(i.key);
}

static struct str pem_of(struct gate *g, const struct issued *i) {
    char room[4096];
    char *end = put_x509(i->x, room, room + sizeof(room));
    return arena_str(&g->world.a, str_mk(room, (size_t)(end - room)));
}

static struct str der_of(struct gate *g, unsigned char *der, int n, bool with_length) {
    struct out o = out_heap(1 << 16);
    must(n > 0);
    for (int shift = 24; with_length && shift >= 0; shift -= 8)
        out_char(&o, (char)(n >> shift & 0xff));
    out_bytes(&o, (char *)der, (size_t)n);
    struct str s = arena_str(&g->world.a, out_done(&o));
    out_fini(&o);
    OPENSSL_free(der);
    return s;
}

static void show_client(struct gate *g, struct model_upstream_tls *t, const struct issued *i) {
    unsigned char *crt = NULL, *key = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(i->key);
    int n = i2d_X509(i->x, &crt);
    t->client_chain = der_of(g, crt, n, true);
    n = i2d_PKCS8_PRIV_KEY_INFO(info, &key);
    t->client_key = der_of(g, key, n, false);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static int accept_protocol(SSL *ssl, const unsigned char **to, unsigned char *to_n,
                           const unsigned char *from, unsigned from_n, void *arg) {
    (void)ssl, (void)arg;
    static const unsigned char mine[] = "\x08http/1.1";
    unsigned char *picked;
    if (SSL_select_next_proto(&picked, to_n, mine, 9, from, from_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *to = picked;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- the world ---- */

#define NAME "app.ns.svc"

static struct str right_name = {NAME, sizeof(NAME) - 1};

struct stage {
    struct gate *g;
    struct peer *p;
    struct issued shown;
};

/* The endpoint shows a certificate with these names, signed by `by`. */
static struct stage open_stage(const struct issued *by, const char *names, const char *not_after) {
    struct stage s = {gate_new(next_port++), NULL, issue(by, "endpoint", names, not_after)};
    SSL_CTX *x = SSL_CTX_new(TLS_server_method());
    server = (struct server){.context = x};
    must(SSL_CTX_use_certificate(x, s.shown.x) == 1 && SSL_CTX_use_PrivateKey(x, s.shown.key) == 1);
    SSL_CTX_set_alpn_select_cb(x, accept_protocol, NULL);
    SSL_CTX_set_session_id_context(x, (const unsigned char *)"t", 1);
    s.p = peer_new("app", serve);
    return s;
}

static struct stage open_good(void) { return open_stage(&authority, "DNS:" NAME, NULL); }

static void close_stage(struct stage s) {
    gate_free(s.g);
    peer_free(s.p);
    issued_free(s.shown);
    SSL_CTX_free(server.context);
}

static struct model_upstream_tls terms(struct stage *s) {
    return (struct model_upstream_tls){
        .sni = right_name, .hosts = &right_name, .n_hosts = 1, .ca = pem_of(s->g, &authority)};
}

static void put_secured(struct gate *g, const char *name, const struct model_upstream_tls *t,
                        const char *one, const char *two) {
    struct model_upstream_tls copy = t != NULL ? *t : (struct model_upstream_tls){0};
    gate_backend(g, name, one, two);
    struct model_backend b = {.namespace = STR("ns"),
                              .service = str_of(name),
                              .port = 80,
                              .endpoints = world_id(&g->world, MODEL_KIND_endpoints, name, "80"),
                              .traffic = STR("traffic/ns/t"),
                              .tls = t != NULL ? &copy : NULL};
    world_put(&g->world, MODEL_KIND_backend, backend_id(&g->world, name), &b);
}

static void go(struct stage *s, const struct model_upstream_tls *t) {
    put_secured(s->g, "app", t, s->p->address, NULL);
    gate_route(s->g, (struct model_route){0}, "app");
    gate_publish(s->g);
}

static void assert_good(struct stage *s, const char *words) {
    struct message m;
    assert_int_equal(gate_ask(s->g, GET, &m), 200);
    if (strstr(m.text, words) == NULL)
        fail_msg("%s is not in: %s", words, m.text);
}

static void assert_refused(struct stage *s, const char *text, int status, const char *reason) {
    struct message m;
    assert_int_equal(gate_ask(s->g, text, &m), status);
    assert_string_equal(message_field(&m, "sluice-reason"), reason);
}

/* It is not believed, and gets no byte. */
static void assert_distrusted(struct stage *s) {
    assert_refused(s, POST, 502, "tls_failed");
    wait_until(atomic_load(&server.alerts) > 0);
    assert_int_equal(atomic_load(&server.bytes), 0);
    assert_int_equal(atomic_load(&server.requests), 0);
}

/* ---- who is believed ---- */

static void a_good_one(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    go(&s, &t);
    assert_good(&s, "TLSv1.3 sni=" NAME " client= alpn=http/1.1 resumed=0");
    assert_good(&s, "TLSv1.3");
    assert_int_equal(atomic_load(&server.handshakes), 1); /* the connection was kept */
    assert_true(gate_record_at(s.g, 1).reused);
    close_stage(s);
}

static void over_1_2(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    SSL_CTX_set_max_proto_version(server.context, TLS1_2_VERSION);
    go(&s, &t);
    assert_good(&s, "TLSv1.2 sni=" NAME);
    t.min_version = MODEL_TLS13;
    go(&s, &t);
    assert_refused(&s, GET, 502, "tls_failed");
    close_stage(s);
}

static void an_expired_one(void **state) {
    (void)state;
    struct stage s = open_stage(&authority, "DNS:" NAME, "20210101000000Z");
    struct model_upstream_tls t = terms(&s);
    go(&s, &t);
    assert_distrusted(&s);
    close_stage(s);
}

static void an_unknown_authority(void **state) {
    (void)state;
    struct stage s = open_stage(&stranger, "DNS:" NAME, NULL);
    struct model_upstream_tls t = terms(&s);
    go(&s, &t);
    assert_distrusted(&s);
    close_stage(s);
}

/* Nobody in the system's folder has signed it. */
static void the_systems_authorities(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    t.ca = STR_NONE;
    go(&s, &t);
    assert_distrusted(&s);
    close_stage(s);
}

static void wrong_names(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "DNS:other.ns.svc", "DNS:app.ns.svc.example.com", "DNS:x.app.ns.svc", "DNS:*.svc",
        "DNS:a*.ns.svc",    "URI:spiffe://ns/app",        "IP:127.0.0.1",     NULL};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct stage s = open_stage(&authority, wrong[i], NULL);
        struct model_upstream_tls t = terms(&s);
        go(&s, &t);
        assert_distrusted(&s);
        close_stage(s);
    }
}

/* The common name counts for nothing. */
static void a_common_name(void **state) {
    (void)state;
    struct stage s = open_good();
    issued_free(s.shown);
    s.shown = issue(&authority, NAME, NULL, NULL);
    SSL_CTX_use_cert_and_key(server.context, s.shown.x, s.shown.key, NULL, 1);
    struct model_upstream_tls t = terms(&s);
    go(&s, &t);
    assert_distrusted(&s);
    close_stage(s);
}

static void assert_names(const char *has, const char *host, const char *uri, bool fits) {
    struct stage s = open_stage(&authority, has, NULL);
    struct model_upstream_tls t = terms(&s);
    struct str hosts = str_of(host), uris = str_of(uri);
    t.hosts = &hosts;
    t.n_hosts = hosts.n > 0;
    t.uris = &uris;
    t.n_uris = uris.n > 0;
    go(&s, &t);
    if (fits)
        assert_good(&s, "sni=" NAME);
    else
        assert_distrusted(&s);
    close_stage(s);
}

static void other_names(void **state) {
    (void)state;
    const char *id = "URI:spiffe://example.com/ns/shop/sa/app";
    assert_names(id, "", "spiffe://example.com/ns/shop/sa/app", true);
    assert_names(id, "", "spiffe://example.com/ns/shop/*", true);
    assert_names(id, "x.example.com", "spiffe://example.com/ns/shop/*", true);
    assert_names(id, "", "spiffe://example.com/ns/shop/sa/ap", false);
    assert_names(id, "", "spiffe://example.com/ns/shop/sa/app/", false);
    assert_names(id, "", "spiffe://example.com/ns/shop2/*", false);
    assert_names("DNS:spiffe.example.com", "", "spiffe.example.com", false);
    assert_names("DNS:a.example.com", "*.example.com", "", true);
    assert_names("DNS:*.example.com", "*.example.com", "", true);
    assert_names("DNS:a.b.example.com", "*.example.com", "", false);
    assert_names("DNS:example.com", "*.example.com", "", false);
    assert_names("DNS:*.example.com", "a.example.com", "", true);
    assert_names("DNS:A.Example.COM", "a.example.com", "", true);
    assert_names("IP:127.0.0.1", "127.0.0.1", "", true);
    assert_names("IP:fd00::1", "fd00::1", "", true);
    assert_names("IP:127.0.0.1", "127.0.0.2", "", false);
    assert_names("IP:fd00::1", "127.0.0.1", "", false);
    assert_names("DNS:127.0.0.1", "::ffff:127.0.0.1", "", false);
    assert_names("IP:127.0.0.1", "*.0.0.1", "", false);
}

/* Only who asks for it in words is not asked anything. */
static void without_verification(void **state) {
    (void)state;
    struct stage s = open_stage(&stranger, "DNS:other", "20210101000000Z");
    struct model_upstream_tls t = {.insecure_skip_verify = true, .sni = right_name};
    go(&s, &t);
    assert_good(&s, "sni=" NAME);
    close_stage(s);
}

/* ---- what is shown ---- */

static int any_certificate(X509_STORE_CTX *x, void *arg) {
    (void)x, (void)arg;
    return 1;
}

static void client_certificates(void **state) {
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct stage s = open_good();
        struct issued mine = issue(&authority, "gateway", NULL, NULL);
        struct model_upstream_tls t = terms(&s);
        SSL_CTX_set_max_proto_version(server.context, version);
        SSL_CTX_set_verify(server.context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_cert_verify_callback(server.context, any_certificate, NULL);
        go(&s, &t);
        assert_refused(&s, GET, 502, "tls_failed");
        assert_int_equal(atomic_load(&server.requests), 0);
        show_client(s.g, &t, &mine);
        go(&s, &t);
        assert_good(&s, "client=gateway");
        issued_free(mine);
        close_stage(s);
    }
}

/* ---- sessions ---- */

static void sessions_are_resumed(void **state) {
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct stage s = open_good();
        struct model_upstream_tls t = terms(&s);
        SSL_CTX_set_max_proto_version(server.context, version);
        server.close_each = true;
        go(&s, &t);
        assert_good(&s, "resumed=0");
        assert_good(&s, "resumed=1");
        assert_good(&s, "resumed=1");
        assert_int_equal(atomic_load(&server.resumed), 2);
        t.min_version = version == TLS1_3_VERSION ? MODEL_TLS13 : MODEL_TLS12;
        go(&s, &t); /* other terms: nothing of the old ones counts */
        assert_good(&s, "resumed=0");
        t.ca = pem_of(s.g, &stranger);
        go(&s, &t);
        assert_refused(&s, GET, 502, "tls_failed");
        close_stage(s);
    }
}

static void a_session_that_comes_late(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    server.late_ticket = true;
    go(&s, &t);
    for (unsigned i = 0; i < 5; i++) {
        assert_good(&s, "resumed=0");
        wait_until(atomic_load(&server.late) == i + 1);
    }
    assert_int_equal(atomic_load(&server.handshakes), 1);
    close_stage(s);
}

/* ---- pools ---- */

static void put_two(struct stage *s, const struct model_upstream_tls *a,
                    const struct model_upstream_tls *b) {
    put_secured(s->g, "app", a, s->p->address, NULL);
    put_secured(s->g, "other", b, s->p->address, NULL);
    put_route_as(&s->g->world, (struct model_route){0}, "r", "", PREFIX("/"), "app");
    put_route_as(&s->g->world, (struct model_route){0}, "o", "", PREFIX("/other"), "other");
    gate_publish(s->g);
}

#define OTHER "GET /other HTTP/1.1\r\nHost: h\r\n\r\n"

/* Two backends, one endpoint: what one of them believes says nothing for the other. */
static void nothing_leaks(void **state) {
    (void)state;
    struct stage s = open_stage(&stranger, "DNS:" NAME, NULL);
    struct model_upstream_tls believes = {.insecure_skip_verify = true}, doubts = terms(&s);
    struct message m;
    put_two(&s, &believes, &doubts);
    assert_good(&s, "TLSv1.3");
    wait_until(gate_gauges(s.g).idle_upstreams == 1);
    assert_refused(&s, OTHER, 502, "tls_failed");
    assert_int_equal(atomic_load(&server.requests), 1);
    put_two(&s, &believes, &believes); /* the same terms, and still not the same pool */
    assert_int_equal(gate_ask(s.g, OTHER, &m), 200);
    assert_int_equal(gate_ask(s.g, GET, &m), 200);
    assert_int_equal(atomic_load(&server.handshakes), 2);
    close_stage(s);
}

/* From now on: a connection that stands under the old terms serves nobody any more. */
static void new_terms_count_at_once(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    go(&s, &t);
    assert_good(&s, "TLSv1.3");
    t.ca = pem_of(s.g, &stranger);
    go(&s, &t);
    assert_refused(&s, GET, 502, "tls_failed");
    assert_int_equal(atomic_load(&server.requests), 1);
    t.ca = pem_of(s.g, &authority);
    go(&s, &t);
    assert_good(&s, "TLSv1.3");
    close_stage(s);
}

static void a_closed_backend(void **state) {
    (void)state;
    struct stage s = open_good();
    gate_backend(s.g, "app", s.p->address, NULL);
    struct model_backend b = {.namespace = STR("ns"),
                              .service = STR("app"),
                              .port = 80,
                              .endpoints = world_id(&s.g->world, MODEL_KIND_endpoints, "app", "80"),
                              .refusal = MODEL_REFUSE_POLICY};
    world_put(&s.g->world, MODEL_KIND_backend, backend_id(&s.g->world, "app"), &b);
    gate_route(s.g, (struct model_route){0}, "app");
    gate_publish(s.g);
    assert_refused(&s, GET, 503, "policy_unavailable");
    assert_int_equal(gate_gauges(s.g).connects, 0);
    struct model_upstream_tls t = terms(&s);
    go(&s, &t);
    assert_good(&s, "TLSv1.3");
    close_stage(s);
}

/* ---- attempts ---- */

static void drop(struct peer_connection *c) { (void)wire_more(&c->w); }

/* No byte of the request was sent, so that a POST goes on to the next one as well. */
static void another_endpoint_is_asked(void **state) {
    (void)state;
    struct stage s = open_good();
    struct peer *bad = peer_new("bad", drop);
    struct model_upstream_tls t = terms(&s);
    struct message m;
    put_secured(s.g, "app", &t, bad->address, s.p->address);
    gate_route(s.g, (struct model_route){0}, "app");
    gate_publish(s.g);
    unsigned twice = 0;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(gate_ask(s.g, POST, &m), 200);
        assert_non_null(strstr(m.text, "body=3"));
        twice += gate_record_at(s.g, i).attempts == 2;
    }
    assert_true(twice > 0);
    peer_free(bad);
    close_stage(s);
}

static void an_end_within_the_handshake(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    server.hang_up = true;
    go(&s, &t);
    assert_refused(&s, GET, 502, "tls_failed");
    assert_int_equal(gate_record_at(s.g, 0).attempts, 1); /* not the same one again */
    close_stage(s);
}

static void clear_text(struct peer_connection *c) {
    (void)wire_more(&c->w);
    wire_say(&c->w, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
}

static void an_endpoint_in_clear(void **state) {
    (void)state;
    struct stage s = open_good();
    struct peer *plain = peer_new("plain", clear_text);
    struct model_upstream_tls t = terms(&s);
    put_secured(s.g, "app", &t, plain->address, NULL);
    gate_route(s.g, (struct model_route){0}, "app");
    gate_publish(s.g);
    assert_refused(&s, GET, 502, "tls_failed");
    peer_free(plain);
    close_stage(s);
}

static void a_silent_handshake(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    struct model_timeouts times = {.connect_ms = 100};
    server.silent = true;
    gate_traffic(s.g, (struct model_traffic){.timeouts = &times});
    go(&s, &t);
    assert_refused(&s, GET, 504, "connect_timeout");
    close_stage(s);
}

/* ---- bytes ---- */

static void in_pieces(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 2, 3, 5, 7, 16, 64, 255, 1000, 4096, 16389};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct stage s = open_good();
        struct model_upstream_tls t = terms(&s);
        struct message m;
        server.piece = pieces[i];
        go(&s, &t);
        assert_good(&s, "TLSv1.3");
        assert_int_equal(
            gate_ask(s.g, "GET /bytes/70000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &m),
            200);
        assert_true(m.whole && m.length == 70000);
        close_stage(s);
    }
}

static void large_bodies(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    struct message m;
    struct wire w;
    static char block[1 << 16];
    go(&s, &t);
    assert_true(wire_dial(&w, gate_port(s.g)));
    for (int round = 0; round < 2; round++) {
        wire_say(&w, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n");
        for (int i = 0; i < 64; i++)
            assert_true(wire_write(&w, block, sizeof(block)));
        assert_int_equal(wire_answer(&w, &m, false), 200);
        assert_non_null(strstr(m.text, "body=4194304"));
        wire_say(&w, "GET /bytes/4194304 HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(wire_answer(&w, &m, false), 200);
        assert_true(m.whole && m.length == 4194304);
    }
    assert_int_equal(atomic_load(&server.handshakes), 1);
    wire_close(&w);
    gate_quiet(s.g); /* and no buffer is kept by the idle one */
    close_stage(s);
}

/* ---- ends ---- */

static void until_close(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    struct message m;
    server.until_close = true;
    go(&s, &t);
    assert_int_equal(gate_ask(s.g, GET, &m), 200);
    assert_true(m.whole);
    server.no_farewell = true; /* cut: it must not look whole */
    assert_int_equal(gate_ask(s.g, GET, &m), 200);
    assert_false(m.whole);
    assert_int_equal(gate_record_at(s.g, 1).reason, REASON_UPSTREAM_RESET);
    close_stage(s);
}

/* A close_notify on an idle connection ends it, though the socket is open. */
static void an_idle_end(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    server.close_idle = true;
    go(&s, &t);
    for (unsigned i = 0; i < 3; i++) {
        assert_good(&s, "TLSv1.3");
        wait_until(gate_gauges(s.g).idle_upstreams == 0);
    }
    close_stage(s);
}

static void unasked_bytes(void **state) {
    (void)state;
    struct stage s = open_good();
    struct model_upstream_tls t = terms(&s);
    server.extra_bytes = true;
    go(&s, &t);
    assert_good(&s, "TLSv1.3");
    assert_good(&s, "TLSv1.3");
    assert_int_equal(atomic_load(&server.handshakes), 2);
    close_stage(s);
}

/* The answer just fills the buffer, so that what follows it is not read with it. */
static void fills_the_buffer(struct peer_connection *c) {
    static const char more[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother";
    static _Thread_local char text[(1 << 16) + sizeof(more)];
    char head[8192];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: ");
    n += snprintf(text + n, sizeof(text) - (size_t)n, "%d\r\n\r\n", (1 << 16) - n - 9);
    memset(text + n, 'x', (1 << 16) - (size_t)n);
    memcpy(text + (1 << 16), more, sizeof(more) - 1);
    while (wire_head(&c->w, head, sizeof(head)))
        if (!wire_write(&c->w, text, sizeof(text) - 1))
            return;
}

static void unasked_bytes_behind_a_full_buffer(void **state) {
    (void)state;
    struct stage s = open_good();
    struct peer *peer = peer_new("plain", fills_the_buffer);
    struct message m;
    put_secured(s.g, "app", NULL, peer->address, NULL);
    gate_route(s.g, (struct model_route){0}, "app");
    gate_publish(s.g);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(gate_ask(s.g, GET, &m), 200);
        assert_true(m.length > 60000);
    }
    peer_free(peer);
    close_stage(s);
}

/* ---- all ---- */

static int set_up(void **state) {
    (void)state;
    authority = issue(NULL, "authority", NULL, NULL);
    stranger = issue(NULL, "stranger", NULL, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    issued_free(authority);
    issued_free(stranger);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one),
        cmocka_unit_test(over_1_2),
        cmocka_unit_test(an_expired_one),
        cmocka_unit_test(an_unknown_authority),
        cmocka_unit_test(the_systems_authorities),
        cmocka_unit_test(wrong_names),
        cmocka_unit_test(a_common_name),
        cmocka_unit_test(other_names),
        cmocka_unit_test(without_verification),
        cmocka_unit_test(client_certificates),
        cmocka_unit_test(sessions_are_resumed),
        cmocka_unit_test(a_session_that_comes_late),
        cmocka_unit_test(nothing_leaks),
        cmocka_unit_test(new_terms_count_at_once),
        cmocka_unit_test(a_closed_backend),
        cmocka_unit_test(another_endpoint_is_asked),
        cmocka_unit_test(an_end_within_the_handshake),
        cmocka_unit_test(an_endpoint_in_clear),
        cmocka_unit_test(a_silent_handshake),
        cmocka_unit_test(in_pieces),
        cmocka_unit_test(large_bodies),
        cmocka_unit_test(until_close),
        cmocka_unit_test(an_idle_end),
        cmocka_unit_test(unasked_bytes),
        cmocka_unit_test(unasked_bytes_behind_a_full_buffer),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
