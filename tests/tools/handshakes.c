/* SPDX-License-Identifier: Apache-2.0
 *
 * handshakes: a client that does TLS handshakes and nothing else.
 *
 *   handshakes --port P [--name HOST] [--names N] [--seconds S] [--count N] [--connections N]
 *              [--tls 1.2|1.3] [--resume]
 *
 *      thread ── connect ── handshake ── ticket ── close_notify ── close ─┐   127.0.0.1:P
 *         ▲                                 └ session, for the next one   │
 *         └───────────────────────────────────────────────────────────────┘
 *
 * Each of --connections threads has one at a time. A handshake is over when its ticket has come: in
 * TLS 1.3 that is the server's last word. With --names N the hosts r000000.HOST, r000001.HOST, ...
 * are asked for in turn, in steps that spread few handshakes over all of them. Whoever answers is
 * believed.
 *
 * Prints "D handshakes, R resumed, F failed"; exit code 1 and OpenSSL's reason: the last one
 * failed.
 */
#include "lib/mem.h"
#include "lib/str.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, NAME_ROOM = 300, PATIENCE_S = 10, STEP = 7919 /* a prime */ };

struct client {
    pthread_t thread;
    unsigned number;
    SSL_SESSION *session; /* of the last handshake */
    uint64_t done, resumed, failed;
    bool last_failed;
};

static struct {
    uint16_t port;
    const char *name;
    uint64_t names, count, seconds;
    unsigned connections;
    bool resume;
} how = {.name = "shop.example.com", .connections = 1};
static SSL_CTX *context;
static double end; /* of the time; 0: the count is the end */

static double now(void) {
    struct timespec t;
    must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- one handshake ---- */

static int on_session(SSL *ssl, SSL_SESSION *session) {
    struct client *c = SSL_get_app_data(ssl);
    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;
}

static int dial(void) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(how.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    must(fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
         setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void ask_for(SSL *ssl, const struct client *c) {
    char name[NAME_ROOM];
    uint64_t i = (c->done + c->failed) * how.connections + c->number;
    if (how.names == 0)
        snprintf(name, sizeof(name), "%s", how.name);
    else
        snprintf(name, sizeof(name), "r%06u.%s", (unsigned)(i * STEP % how.names), how.name);
    must(SSL_set_tlsext_host_name(ssl, name) == 1);
}

/* A record that is no data ends SSL_read, which SSL_MODE_AUTO_RETRY would not allow. */
static bool take_ticket(SSL *ssl) {
    char byte;
    if (SSL_version(ssl) < TLS1_3_VERSION)
        return true;
    int n = SSL_read(ssl, &byte, 1);
    return n < 0 && SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ && errno != EAGAIN;
}

static bool shake(struct client *c, SSL *ssl) {
    SSL_set_app_data(ssl, c);
    ask_for(ssl, c);
    if (how.resume && c->session)
        must(SSL_set_session(ssl, c->session) == 1);
    errno = 0;
    return SSL_connect(ssl) == 1 && take_ticket(ssl);
}

static void once(struct client *c) {
    int fd = dial();
    SSL *ssl = SSL_new(context);
    must(ssl);
    c->last_failed = fd < 0 || SSL_set_fd(ssl, fd) != 1 || !shake(c, ssl);
    c->done += !c->last_failed;
    c->failed += c->last_failed;
    c->resumed += !c->last_failed && SSL_session_reused(ssl);
    if (!c->last_failed)
        SSL_shutdown(ssl);
    SSL_free(ssl);
    if (fd >= 0)
        close(fd);
}

/* ---- all of them ---- */

static void *run(void *arg) {
    struct client *c = arg;
    uint64_t mine = how.count / how.connections + (c->number < how.count % how.connections);
    while (end > 0 ? now() < end : c->done + c->failed < mine)
        once(c);
    if (c->last_failed)
        ERR_print_errors_fp(stderr);
    SSL_SESSION_free(c->session);
    return NULL;
}

static void make_context(int version) {
    static const unsigned char protocols[] = "\x08http/1.1";
    context = SSL_CTX_new(TLS_client_method());
    must(context && SSL_CTX_set_min_proto_version(context, version) == 1 &&
         SSL_CTX_set_max_proto_version(context, version) == 1 &&
         SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols) - 1) == 0);
    /* In the order of browsers: some servers let the client choose. */
    must(SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") == 1 &&
         SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM+AES128:ECDHE+AESGCM") == 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(context, 1);
}

static uint64_t number(const char *text, uint64_t max) {
    uint64_t n;
    if (str_to_u64(str_of(text), max, &n) && n > 0)
        return n;
    fprintf(stderr, "handshakes: %s is no number of 1 to %llu\n", text, (unsigned long long)max);
    exit(2);
}

static int read_options(int argc, char **argv) {
    static const struct option options[] = {
        {"port", 1, NULL, 'p'},    {"name", 1, NULL, 'n'},   {"names", 1, NULL, 'm'},
        {"seconds", 1, NULL, 's'}, {"count", 1, NULL, 'c'},  {"connections", 1, NULL, 'k'},
        {"tls", 1, NULL, 't'},     {"resume", 0, NULL, 'r'}, {0}};
    int version = TLS1_3_VERSION;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'p':
            how.port = (uint16_t)number(optarg, UINT16_MAX);
            break;
        case 'n':
            how.name = optarg;
            break;
        case 'm':
            how.names = number(optarg, 1000000);
            break;
        case 's':
            how.seconds = number(optarg, 3600);
            break;
        case 'c':
            how.count = number(optarg, UINT32_MAX);
            break;
        case 'k':
            how.connections = (unsigned)number(optarg, CONNECTIONS_MAX);
            break;
        case 't':
            version = str_eq(str_of(optarg), STR("1.2")) ? TLS1_2_VERSION : TLS1_3_VERSION;
            break;
        case 'r':
            how.resume = true;
            break;
        default:
            exit(2);
        }
    }
    if (how.port != 0 && (how.seconds > 0) != (how.count > 0))
        return version;
    fputs("usage: handshakes --port P and either --seconds S or --count N\n", stderr);
    exit(2);
}

int main(int argc, char **argv) {
    static struct client clients[CONNECTIONS_MAX];
    struct client sum = {0};
    make_context(read_options(argc, argv));
    signal(SIGPIPE, SIG_IGN);
    end = how.seconds > 0 ? now() + (double)how.seconds : 0;
    for (unsigned i = 0; i < how.connections; i++) {
        clients[i].number = i;
        must(pthread_create(&clients[i].thread, NULL, run, &clients[i]) == 0);
    }
    for (unsigned i = 0; i < how.connections; i++) {
        const struct client *c = &clients[i];
        must(pthread_join(c->thread, NULL) == 0);
        sum.done += c->done;
        sum.resumed += c->resumed;
        sum.failed += c->failed;
        sum.last_failed |= c->last_failed;
    }
    printf("%llu handshakes, %llu resumed, %llu failed\n", (unsigned long long)sum.done,
           (unsigned long long)sum.resumed, (unsigned long long)sum.failed);
    SSL_CTX_free(context);
    return sum.last_failed;
}
