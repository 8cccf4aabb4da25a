/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz tls_hello: bytes into a connection of ours that waits for a ClientHello, and whatever may
 * come behind it. Nobody who guesses gets to the end of a handshake, so no request is ever served,
 * and when the client has gone nothing of the connection is left. Each handshake that began has
 * ended in just one way.
 *
 * The first byte of the input says which listener it is (one asks clients for certificates) and in
 * how large pieces the rest comes, the second how much memory there is.
 */
#include "lib/mem.h"
#include "lib/pem.h"
#include "lib/ticket.h"
#include "proxy/session/session.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/talk.h"
#include "tests/unit/pairs.h"

#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPEN = 443, STRICT = 8443, CLOSED = 9443 };

static struct loop loop;
static struct session_env env;
static struct head head;
static const struct limits limits = {.head = {.bytes = 8192, .fields = 40, .cookies = 10},
                                     .header_timeout_ms = 10000,
                                     .idle_timeout_ms = 75000};

static void on_request(struct client *c) {
    (void)c;
    must(!"a request came out of a handshake that nobody could end");
}
static void on_refuse(struct client *c, enum reason reason, const char *detail, size_t bytes) {
    (void)reason, (void)detail, (void)bytes;
    on_request(c);
}
static void on_sent(struct client *c, size_t lent, bool all) {
    (void)lent, (void)all;
    on_request(c);
}
static void on_ended(struct client *c, enum reason reason) {
    (void)reason;
    on_request(c);
}

static const struct client_ops ops = {
    .request = on_request,
    .refuse = on_refuse,
    .readable = on_request,
    .sent = on_sent,
    .gone = on_request,
    .timeout = on_request,
    .ended = on_ended,
};

/* ---- the law ---- */

static void bad(void *arg, struct str id, const struct why *why) {
    (void)arg, (void)id, (void)why;
    must(!"the law of this fuzzer is good");
}

static void put_listener(struct builder *b, struct str id, uint16_t port,
                         struct model_listener_tls tls) {
    struct str certificate = STR("certificate/ns/c");
    tls.certificates = &certificate;
    tls.n_certificates = 1;
    struct model_listener l = {
        .gateway = STR("gateway/-/c"), .port = port, .protocol = MODEL_HTTPS, .tls = &tls};
    builder_put(b, object_new(MODEL_KIND_listener, id, &l));
}

static struct str authority(struct arena *a) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    struct out pem = out_heap(PEM_BYTES_MAX);
    must(key && x && e && X509_set_version(x, X509_VERSION_3) == 1 && X509_add_ext(x, e, -1) == 1);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"authority", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 31536000);
    must(X509_set_pubkey(x, key) == 1 && X509_sign(x, key, EVP_sha256()) > 0);
    pem_put_cert(&pem, x);
    struct str text = arena_str(a, out_done(&pem));
    out_fini(&pem);
    X509_EXTENSION_free(e);
    X509_free(x);
    EVP_PKEY_free(key);
    return text;
}

static struct snapshot *law(void) {
    static struct builder *b; /* for good, as the snapshot */
    b = builder_new();
    struct arena a;
    arena_init(&a);
    builder_begin(b);
    struct model_certificate c = pair_new(&a, PAIR_EC, "h");
    builder_put(b, object_new(MODEL_KIND_certificate, STR("certificate/ns/c"), &c));
    put_listener(b, STR("listener/c/a"), OPEN, (struct model_listener_tls){0});
    put_listener(b, STR("listener/c/b"), STRICT,
                 (struct model_listener_tls){.client_validation = MODEL_CLIENT_REQUIRE,
                                             .client_ca = authority(&a)});
    put_listener(b, STR("listener/c/c"), CLOSED, (struct model_listener_tls){.closed = true});
    char secret[TICKET_SECRET] = "the fuzzer may know it as well";
    struct model_ticket_key key = {.secret = str_mk(secret, sizeof(secret))};
    struct model_ticket_keys keys = {.keys = &key, .n_keys = 1, .period_s = TICKET_PERIOD_MAX_S};
    key.from = (uint64_t)time(NULL);
    builder_put(b, object_new(MODEL_KIND_ticket_keys, STR(TICKET_KEYS_ID), &keys));
    struct snapshot *s = builder_commit(b, 1, bad, NULL);
    must(s);
    arena_fini(&a);
    return s;
}

/* ---- the client ---- */

static void turn(void) {
    event_base_loop(loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    loop_enter(&loop);
    conns_run_ready(&loop);
    conns_flush(&loop, true);
    conns_end_turn(&loop);
    loop.in_turn = false;
}

static void start(void) {
    static struct snapshot *s;
    if (env.loop != NULL)
        return;
    tls_begin();
    must(loop_init(&loop, 64 << 20, 1 << 20) == 0);
    env = (struct session_env){.loop = &loop, .ops = &ops, .limits = &limits, .head = &head};
    sessions_init(&env);
    s = law();
    secure_adopt(env.secure, s);
}

static uint64_t ended(void) {
    struct secure_counts c = secure_counts(env.secure);
    must(c.done == 0 && c.resumed == 0 && c.shed == 0);
    return c.no_certificate + c.client_refused + c.timeout + c.failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const uint16_t ports[] = {OPEN, STRICT, OPEN, CLOSED};
    struct addr peer;
    int fd[2];
    start();
    if (n < 2 || !addr_parse(&peer, STR("127.0.0.1:1")))
        return 0;
    uint64_t before = ended();
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
    loop.slabs.limit = data[1] == 0 ? 64 << 20 : (size_t)data[1] * 1024;
    session_accept_fd(&env, fd[0], &peer, NULL, ports[data[0] & 3]);
    size_t step = data[0] < 128 ? (size_t)(data[0] >> 2) * 8 + 1 : 65536;
    talk(fd[1], (const char *)data + 2, n - 2, step, turn, 2);
    close(fd[1]);
    turn();
    turn();
    sessions_close_all(&env);
    turn();
    must(env.n_sessions == 0 && env.n_shaking == 0 && loop.slabs.used_bytes == 0);
    must(ended() - before <= 1);
    return 0;
}
