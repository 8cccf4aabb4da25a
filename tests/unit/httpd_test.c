/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd: routes, methods, bounds, and who may ask.
 */
#include "lib/httpd.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct event_base *base;
static struct httpd *server;

static void echo(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    out_fmt(&a->body, "%s:", (const char *)arg);
    out_str(&a->body, httpd_param(rq, "kind"));
    out_char(&a->body, ':');
    out_str(&a->body, rq->accept);
}

static void created(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    (void)arg;
    (void)rq;
    a->status = 503;
    a->content_type = "application/json";
    out_lit(&a->body, "{}");
}

static struct httpd_later *later;

static void waits(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    (void)arg;
    out_lit(&a->body, "too early");
    later = httpd_defer(rq);
}

static void refuses_at_once(void *arg, const struct httpd_request *rq,
                            struct httpd_answer *unused) {
    struct httpd_answer a = httpd_answer();
    (void)arg, (void)unused;
    a.status = 401;
    httpd_finish(httpd_defer(rq), &a);
}

/* Pieces: "0 ", "1 ", ... below `of`; of SIZE_MAX there is no end, and each is a lot. */
struct counting {
    size_t of, at, ended;
};
static struct counting counting;

static bool more_numbers(void *arg, struct out *o) {
    struct counting *k = arg;
    if (k->at++ % 3 == 2) /* nothing to tell this time */
        return true;
    for (unsigned i = 0; k->of == SIZE_MAX && i < 1000; i++)
        out_lit(o, "more and more ");
    out_fmt(o, "%zu ", k->at);
    return k->at < k->of && k->at < 20000;
}

static void end_numbers(void *arg) { ((struct counting *)arg)->ended++; }

static void numbers(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    struct counting *k = arg;
    uint64_t of = SIZE_MAX;
    uint64_t end = str_to_u64(httpd_param(rq, "of"), SIZE_MAX, &of) ? of : SIZE_MAX;
    *k = (struct counting){.of = end};
    out_lit(&a->body, "all: ");
    a->pieces = (struct httpd_pieces){more_numbers, end_numbers, k};
    if (httpd_param(rq, "late").p)
        httpd_finish(httpd_defer(rq), a);
}

static void shows_fields(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    struct str name, value;
    (void)arg;
    out_fmt(&a->body, "%s ", rq->tls ? SSL_get_version(rq->tls) : "plain");
    for (size_t at = 0; httpd_field(rq, &at, &name, &value);)
        out_fmt(&a->body, "[%.*s|%.*s]", STR_FMT(name), STR_FMT(value));
}

static int start(void **state) {
    (void)state;
    static char name[] = "echo";
    const struct httpd_route routes[] = {{"/echo", echo, name},
                                         {"/not-ready", created, NULL},
                                         {"/later", waits, NULL},
                                         {"/refused", refuses_at_once, NULL},
                                         {"/numbers", numbers, &counting},
                                         {"/fields/*", shows_fields, NULL}};
    struct why why = {0};
    base = event_base_new();
    server = httpd_new(base, "127.0.0.1:0", routes, ARRAY_LEN(routes), HTTPD_LOOPBACK_ONLY, &why);
    return server ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    httpd_free(server);
    event_base_free(base);
    return 0;
}

static int dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(httpd_port(server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    (void)!connect(fd, (struct sockaddr *)&to, sizeof(to));
    return fd;
}

/* Runs the server until the peer closes or `enough` is in what came. */
static struct str ask(int fd, const char *text, const char *enough, char *room, size_t cap) {
    size_t n = 0;
    struct pollfd p = {fd, POLLOUT, 0};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    for (;;) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        ssize_t got = read(fd, room + n, cap - 1 - n);
        if (got == 0)
            break;
        n += got > 0 ? (size_t)got : 0;
        room[n] = 0;
        if (enough && strstr(room, enough))
            break;
    }
    return str_mk(room, n);
}

static void expect(const char *request, const char *first, const char *within) {
    char room[4096] = "";
    int fd = dial();
    ask(fd, request, NULL, room, sizeof(room));
    close(fd);
    if (strncmp(room, first, strlen(first)) != 0 || !strstr(room, within))
        fail_msg("asked\n%s\ngot\n%s\nwanted %s ... %s", request, room, first, within);
}

static void answers(void **state) {
    (void)state;
    expect("GET /echo?kind=a%20b HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAccept: x/y\r\nConnection: "
           "close\r\n\r\n",
           "HTTP/1.1 200 ", "\r\n\r\necho:a b:x/y");
    expect("GET /not-ready HTTP/1.0\r\n\r\n", "HTTP/1.1 503 ", "Content-Type: application/json");
    expect("GET /nothing HTTP/1.0\r\n\r\n", "HTTP/1.1 404 ", "nothing here");
    expect("GET /echo/ HTTP/1.0\r\n\r\n", "HTTP/1.1 404 ", "nothing here");
}

static void head_has_no_body(void **state) {
    (void)state;
    char room[4096] = "";
    int fd = dial();
    ask(fd, "HEAD /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", NULL, room,
        sizeof(room));
    close(fd);
    assert_true(str_ends(str_of(room), STR("\r\n\r\n")));
    assert_non_null(strstr(room, "Content-Length: 6"));
}

static void other_methods_are_refused(void **state) {
    (void)state;
    expect("POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: "
           "0\r\n\r\n",
           "HTTP/1.1 405 ", "");
    expect("DELETE /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 405 ",
           "");
}

static void garbage_is_refused(void **state) {
    (void)state;
    expect("GET /echo\r\n\r\n", "HTTP/1.1 400 ", "");
    expect("GET /echo HTTP/2.0\r\n\r\n", "HTTP/1.1 400 ", "");
    expect("GET /echo HTTP/1.1\nHost: x\r\n\r\n", "HTTP/1.1 400 ", "");
    expect("\r\n\r\n", "HTTP/1.1 400 ", "");
    expect("\x16\x03\x01 \r\n\r\n", "HTTP/1.1 400 ", "");
    expect("GET /echo?a HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "query");
}

static void names_that_are_not_loopback_are_refused(void **state) {
    (void)state;
    expect("GET /echo HTTP/1.1\r\nHost: evil.example:7502\r\nConnection: close\r\n\r\n",
           "HTTP/1.1 403 ", "localhost only");
    expect("GET /echo HTTP/1.1\r\nHost: [::1]:7502\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 ",
           "echo:");
}

static void bounds(void **state) {
    (void)state;
    static char big[HTTPD_HEAD_MAX + 512];
    struct out o = out_fixed(big, sizeof(big) - 1);
    out_lit(&o, "GET /echo HTTP/1.1\r\nHost: localhost\r\nX: ");
    while (o.n < HTTPD_HEAD_MAX + 200)
        out_char(&o, 'x');
    out_lit(&o, "\r\n\r\n");
    big[o.n] = 0;
    char room[4096] = "";
    int fd = dial();
    ask(fd, big, NULL, room, sizeof(room)); /* ends because the server closes */
    close(fd);
    assert_non_null(strstr(room, "HTTP/1.1 431 "));
    expect("GET /echo?a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1 HTTP/1.0\r\n\r\n", "HTTP/1.1 400 ",
           "too many");
}

static void connections_are_bounded(void **state) {
    (void)state;
    enum { MANY = HTTPD_CONNECTIONS + 8 };
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = dial();
    while (httpd_connections(server) < HTTPD_CONNECTIONS)
        event_base_loop(base, EVLOOP_NONBLOCK);
    for (int i = 0; i < 50; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(httpd_connections(server), HTTPD_CONNECTIONS);
    for (int i = 0; i < HTTPD_CONNECTIONS; i++)
        close(fds[i]);
    /* those that waited are served now */
    char room[4096] = "";
    ask(fds[MANY - 1], "GET /echo HTTP/1.0\r\n\r\n", "echo:", room, sizeof(room));
    for (int i = HTTPD_CONNECTIONS; i < MANY; i++)
        close(fds[i]);
    while (httpd_connections(server) > 0)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

static void finish(const char *text) {
    struct httpd_answer a = httpd_answer();
    out_str(&a.body, str_of(text));
    httpd_finish(later, &a);
    later = NULL;
}

static void answers_that_come_later(void **state) {
    (void)state;
    char room[4096] = "";
    expect("GET /refused HTTP/1.0\r\n\r\n", "HTTP/1.1 401 Unauthorized\r\n", "Content-Length: 0");
    int fd = dial();
    later = NULL;
    assert_int_equal(write(fd, "GET /later HTTP/1.0\r\n\r\n", 23), 23);
    while (!later)
        event_base_loop(base, EVLOOP_NONBLOCK);
    finish("now");
    ask(fd, "", NULL, room, sizeof(room));
    assert_true(str_ends(str_of(room), STR("\r\n\r\nnow")));
    close(fd);
}

static void a_client_may_leave_before_the_answer(void **state) {
    (void)state;
    int fd = dial();
    later = NULL;
    assert_int_equal(write(fd, "GET /later HTTP/1.0\r\n\r\n", 23), 23);
    while (!later)
        event_base_loop(base, EVLOOP_NONBLOCK);
    close(fd);
    while (httpd_connections(server) > 0)
        event_base_loop(base, EVLOOP_NONBLOCK);
    finish("to nobody");
}

static void paths_by_prefix_and_fields(void **state) {
    (void)state;
    expect("GET /fields/a/b HTTP/1.1\r\nHost: localhost\r\nX-Remote-Group:  a\r\n"
           "x-remote-group:b \r\nEmpty:\r\n\r\n",
           "HTTP/1.1 200 ",
           "\r\n\r\nplain [Host|localhost][X-Remote-Group|a][x-remote-group|b][Empty|]");
    expect("GET /fields HTTP/1.0\r\n\r\n", "HTTP/1.1 404 ", "");
}

/* ---- pieces ---- */

static void answers_in_pieces(void **state) {
    (void)state;
    expect("GET /numbers?of=8 HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n",
           "\r\n\r\nall: 1 2 4 5 7 8 ");
    assert_int_equal(counting.ended, 1);
    expect("GET /numbers?of=5 HTTP/1.1\r\nHost: localhost\r\n\r\n",
           "HTTP/1.1 200 OK\r\n",
           "Connection: close\r\n\r\n5\r\nall: \r\n8\r\n1 2 4 5 \r\n0\r\n\r\n");
    assert_int_equal(counting.ended, 1);
    expect("GET /numbers?of=2&late=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 ",
           "all: \r\n4\r\n1 2 \r\n0\r\n\r\n");
    assert_int_equal(counting.ended, 1);
    char room[4096] = "";
    int fd = dial();
    ask(fd, "HEAD /numbers?of=9 HTTP/1.1\r\nHost: localhost\r\n\r\n", NULL, room, sizeof(room));
    close(fd);
    assert_non_null(strstr(room, "Transfer-Encoding: chunked\r\n"));
    assert_true(str_ends(str_of(room), STR("\r\n\r\n")));
    assert_int_equal(counting.ended, 1);
    assert_int_equal(counting.at, 0);
}

/* Who does not read is not told more, others are answered meanwhile, and what was begun is ended
 * with the connection. */
static void who_does_not_read_gets_no_more(void **state) {
    (void)state;
    int fd = dial();
    static const char text[] = "GET /numbers HTTP/1.1\r\nHost: localhost\r\n\r\n";
    counting = (struct counting){0};
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    for (size_t still = 0, last = 0; still < 200; last = counting.at) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        still = counting.at > 0 && counting.at == last ? still + 1 : 0;
        assert_true(counting.at * 14000 < 64 << 20); /* what the kernel takes, and a piece */
    }
    expect("GET /echo HTTP/1.0\r\n\r\n", "HTTP/1.1 200 ", "echo:");
    assert_int_equal(counting.ended, 0);
    close(fd);
    while (httpd_connections(server) > 0)
        event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(counting.ended, 1);
}

/* ---- TLS ---- */

static SSL_CTX *server_tls(void) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"t", -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(x);
    EVP_PKEY_free(key);
    return ctx;
}

/* Goes on until the call is done or has failed; the server runs meanwhile. */
#define DRIVE(result, ssl, call)                                                                   \
    do                                                                                             \
        event_base_loop(base, EVLOOP_NONBLOCK);                                                    \
    while (((result) = (call)) <= 0 && (SSL_get_error((ssl), (result)) == SSL_ERROR_WANT_READ ||   \
                                        SSL_get_error((ssl), (result)) == SSL_ERROR_WANT_WRITE))

static void speaks_tls_alone(void **state) {
    (void)state;
    struct httpd *plain = server;
    struct why why = {0};
    const struct httpd_route routes[] = {{"/fields/*", shows_fields, NULL}};
    char room[4096] = "", text[] = "GET /fields/ HTTP/1.0\r\n\r\n";
    server = httpd_new(base, "127.0.0.1:0", routes, 1, HTTPD_TLS, &why);
    int fd = dial();
    ask(fd, text, NULL, room, sizeof(room)); /* no certificate yet: closed */
    assert_string_equal(room, "");
    close(fd);

    SSL_CTX *tls = server_tls(), *ctx = SSL_CTX_new(TLS_client_method());
    httpd_set_tls(server, tls);
    SSL_CTX_free(tls);
    SSL *ssl = SSL_new(ctx);
    fd = dial();
    SSL_set_fd(ssl, fd);
    int n;
    DRIVE(n, ssl, SSL_connect(ssl));
    assert_int_equal(n, 1);
    DRIVE(n, ssl, SSL_write(ssl, text, sizeof(text) - 1));
    DRIVE(n, ssl, SSL_read(ssl, room, sizeof(room) - 1));
    assert_true(n > 0);
    assert_non_null(strstr(room, "TLSv1.3 "));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);

    fd = dial(); /* plain text is no handshake */
    memset(room, 0, sizeof(room));
    ask(fd, text, NULL, room, sizeof(room));
    assert_null(strstr(room, "HTTP/1.1"));
    close(fd);
    httpd_free(server);
    server = plain;
}

static void addresses(void **state) {
    (void)state;
    static const struct {
        const char *address, *says;
    } bad[] = {
        {"0.0.0.0:0", "not a loopback address"},
        {":0", "not a loopback address"},
        {"[::]:0", "not a loopback address"},
        {"127.0.0.1", "not an address"},
        {"::1:0", "not an address"},
        {"127.0.0.1:65536", "not an address"},
        {"localhost:1", "not an address"},
        {"", "not an address"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct why why = {0};
        assert_null(httpd_new(base, bad[i].address, NULL, 0, HTTPD_LOOPBACK_ONLY, &why));
        assert_non_null(strstr(why.text, bad[i].says));
    }
    char taken[32];
    snprintf(taken, sizeof(taken), "127.0.0.1:%u", httpd_port(server));
    struct why why = {0};
    assert_null(httpd_new(base, taken, NULL, 0, 0, &why));
    assert_non_null(strstr(why.text, "Address already in use"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(other_methods_are_refused),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(names_that_are_not_loopback_are_refused),
        cmocka_unit_test(bounds),
        cmocka_unit_test(connections_are_bounded),
        cmocka_unit_test(answers_that_come_later),
        cmocka_unit_test(a_client_may_leave_before_the_answer),
        cmocka_unit_test(paths_by_prefix_and_fields),
        cmocka_unit_test(answers_in_pieces),
        cmocka_unit_test(who_does_not_read_gets_no_more),
        cmocka_unit_test(speaks_tls_alone),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests_name("httpd", tests, start, stop);
}
