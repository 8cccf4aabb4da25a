/* SPDX-License-Identifier: Apache-2.0
 *
 * The API client against a real server over TLS (tests/tools/apiserver), HTTP/1.1 and HTTP/2: what
 * is sent, every way in which it can go wrong, and callers that cancel whatever they can reach.
 */
#include "controller/kube/client.h"

#include "lib/log.h"
#include "lib/mem.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LONG_MS = 20000 }; /* what does not come within this never comes */

/* ---- the server ---- */

static char folder[200];
static pid_t server;
static int server_in = -1;
static char said[400]; /* its line of names and ports */
static pid_t h2_group;

static int setup(void **state) {
    (void)state;
    int in[2], out[2];
    size_t n = 0;
    const char *tmp = getenv("TMPDIR");
    log_level(LOG_LEVEL_ERROR);
    signal(SIGPIPE, SIG_IGN);
    setenv("https_proxy", "http://127.0.0.1:1", 1); /* nobody may heed them */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    snprintf(folder, sizeof(folder), "%s/kube-client-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder) || pipe(in) != 0 || pipe(out) != 0)
        return -1;
    if ((server = fork()) == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        execl("tests/tools/apiserver", "apiserver", folder, NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server_in = in[1];
    for (ssize_t got; n + 1 < sizeof(said) && !memchr(said, '\n', n); n += (size_t)got)
        if ((got = read(out[0], said + n, sizeof(said) - 1 - n)) <= 0)
            return -1;
    close(out[0]);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[300];
    close(server_in);
    waitpid(server, NULL, 0);
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    return system(command);
}

/* 0: the server has no such. */
static uint16_t port_of(const char *name) {
    struct str line = str_of(said), word = STR_NONE, number = STR_NONE;
    while (line.n > 0) {
        line = str_cut(line, ' ', &word);
        if (!str_eq(word, str_of(name)))
            continue;
        line = str_cut(line, ' ', &number);
        if (strcmp(name, "h2") == 0)
            h2_group = (pid_t)strtol(line.p, NULL, 10);
        return (uint16_t)strtol(number.p, NULL, 10);
    }
    return 0;
}

/* ---- a client of it ---- */

static struct event_base *base;
static struct kube_access *access_;
static struct kube_client *client;

static void put(const char *name, const char *text) {
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void dial(const char *scheme, uint16_t port, const char *cluster, const char *user) {
    char text[2000], path[300];
    struct why why = {0};
    put("token", "old\n");
    snprintf(
        text, sizeof(text),
        "kind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {server: '%s://127.0.0.1:%u', %s}}]\n"
        "users: [{name: u, user: {%s}}]\n",
        scheme, port, cluster, user);
    put("config", text);
    snprintf(path, sizeof(path), "%s/config", folder);
    access_ = kube_access_new(path, NULL, &why);
    if (!access_)
        fail_msg("%s: %s: %s", why.object, why.field, why.text);
    base = event_base_new();
    client = kube_client_new(base, access_);
}

static void hang_up(void) {
    kube_client_free(client);
    kube_access_free(access_);
    event_base_free(base);
    client = NULL;
    access_ = NULL;
    base = NULL;
}

/* What a test that failed left behind. */
static int clean(void **state) {
    (void)state;
    if (h2_group > 0)
        kill(-h2_group, SIGCONT);
    kill(server, SIGCONT);
    if (base)
        hang_up();
    return 0;
}

#define CA    "certificate-authority: ca.crt"
#define TOKEN "tokenFile: token"

static void dial_tls(void) { dial("https", port_of("tls"), CA, TOKEN); }

static void dial_h2(void) {
    if (port_of("h2") == 0)
        skip();
    dial("https", port_of("h2"), CA, TOKEN);
}

/* ---- calls ---- */

struct call {
    struct kube_request *request;
    unsigned ended;
    struct kube_answer answer; /* body is ours, NUL-terminated */
    char *body;
    size_t bytes, pieces;
    unsigned events; /* lines */
    void (*at_bytes)(struct call *), (*at_end)(struct call *);
    bool enough;
};

static bool on_bytes(void *arg, struct str bytes) {
    struct call *call = arg;
    call->bytes += bytes.n;
    call->pieces++;
    for (size_t i = 0; i < bytes.n; i++)
        call->events += bytes.p[i] == '\n';
    if (call->at_bytes)
        call->at_bytes(call);
    return !call->enough;
}

static void on_end(void *arg, const struct kube_answer *a) {
    struct call *call = arg;
    call->ended++;
    call->answer = *a;
    mem_free(call->body);
    call->body = str_dup(a->body);
    call->request = NULL;
    if (call->at_end)
        call->at_end(call);
}

static void call(struct call *call, const char *method, const char *path, const char *body,
                 uint32_t timeout_ms) {
    struct kube_call what = {.method = method,
                             .path = str_of(path),
                             .body = str_of(body),
                             .timeout_ms = timeout_ms,
                             .on_end = on_end,
                             .arg = call};
    call->request = kube_call(client, &what);
    assert_int_equal(call->ended, 0);
}

static void get(struct call *c, const char *path) { call(c, "GET", path, NULL, 0); }

static void watch(struct call *call, const char *path, uint32_t silence_ms) {
    struct kube_call what = {.method = "GET",
                             .path = str_of(path),
                             .timeout_ms = KUBE_STREAM,
                             .silence_ms = silence_ms,
                             .on_bytes = on_bytes,
                             .on_end = on_end,
                             .arg = call};
    call->request = kube_call(client, &what);
}

static void fini(struct call *call) { mem_free(call->body); }

static uint64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (void)arg;
}

/* Turns the loop until it is so. */
static void until(bool (*so)(void *), void *arg) {
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    struct timeval tv = {0, 5000};
    uint64_t began = now_ms();
    event_add(tick, &tv);
    while (!so(arg)) {
        event_base_loop(base, EVLOOP_ONCE);
        if (now_ms() - began > LONG_MS)
            fail_msg("not within %d ms", LONG_MS);
    }
    event_free(tick);
}

static bool has_ended(void *arg) { return ((struct call *)arg)->ended > 0; }
static bool has_bytes(void *arg) { return ((struct call *)arg)->bytes > 0; }

static void finish(struct call *c) { until(has_ended, c); }

static void check(struct call *c, int status, const char *text) {
    assert_int_equal(c->ended, 1);
    if (c->answer.status != status || (*text == 0) != (c->answer.why.text[0] == 0) ||
        !strstr(c->answer.why.text, text))
        fail_msg("%d, not %d: \"%s\" lacks \"%s\"", c->answer.status, status, c->answer.why.text,
                 text);
}

static void get_and_check(const char *path, int status, const char *text) {
    struct call c = {0};
    get(&c, path);
    finish(&c);
    check(&c, status, text);
    fini(&c);
}

/* ---- answers ---- */

static void what_is_sent(void **state) {
    (void)state;
    struct call c = {0};
    dial_tls();
    get(&c, "/echo/a%2Fb/../c?x=1&y=%20");
    finish(&c);
    check(&c, 200, "");
    assert_non_null(strstr(c.body, "\"target\": \"/echo/a%2Fb/../c?x=1&y=%20\""));
    assert_non_null(strstr(c.body, "\"Authorization\": \"Bearer old\""));
    assert_non_null(strstr(c.body, "\"Accept\": \"application/json\""));
    assert_non_null(strstr(c.body, "\"User-Agent\": \"sluice/"));
    assert_null(strstr(c.body, "Accept-Encoding"));
    fini(&c);
    hang_up();
}

static void methods_and_bodies(void) {
    static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE"};
    char body[70000], wanted[100];
    memset(body, 'b', sizeof(body) - 1);
    body[sizeof(body) - 1] = 0;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct call empty = {0}, full = {0};
        call(&full, methods[i], "/echo", body, 0);
        finish(&full);
        check(&full, 200, "");
        snprintf(wanted, sizeof(wanted), "\"method\": \"%s\"", methods[i]);
        assert_non_null(strstr(full.body, wanted));
        assert_non_null(strstr(full.body, body));
        assert_non_null(strstr(full.body, "\"Content-Type\": \"application/json\""));
        call(&empty, methods[i], "/echo", NULL, 0);
        finish(&empty);
        check(&empty, 200, "");
        assert_non_null(strstr(empty.body, wanted));
        fini(&empty);
        fini(&full);
    }
    assert_int_equal(kube_client_counters(client)->writes, 8);
    assert_int_equal(kube_client_counters(client)->requests, 8);
    assert_int_equal(kube_client_counters(client)->failures, 0);
    hang_up();
}

static void writes(void **state) {
    (void)state;
    dial_tls();
    methods_and_bodies();
}
static void writes_over_http2(void **state) {
    (void)state;
    dial_h2();
    methods_and_bodies();
}

static void plain_on_loopback(void **state) {
    (void)state;
    dial("http", port_of("plain"), "", "token: x");
    for (int i = 0; i < 3; i++)
        get_and_check("/ok", 200, "");
    hang_up();
}

static void refusals(void **state) {
    (void)state;
    dial_tls();
    get_and_check("/status/403?limit=1", 403, "403 Forbidden: told so");
    get_and_check("/status/404", 404, "404 Not Found: told so");
    get_and_check("/status/409", 409, "409 Conflict: told so");
    get_and_check("/status/410", 410, "410 Gone: told so");
    get_and_check("/status/500", 500, "500 Internal Server Error: told so");
    get_and_check("/text/503", 503, "503 Service Unavailable: \"plain words\"");
    get_and_check("/redirect", 302, "302 Found: the API server sends us elsewhere");
    struct call c = {0};
    get(&c, "/huge/200000/500"); /* of which no more is kept than anybody reads */
    finish(&c);
    check(&c, 500, "500 Internal Server Error");
    assert_in_range(c.answer.body.n, 1, 65536);
    fini(&c);
    assert_int_equal(kube_client_counters(client)->failures, 8);
    c = (struct call){0};
    get(&c, "/status/403?limit=1");
    finish(&c);
    assert_string_equal(c.answer.why.object, "GET /status/403");
    assert_non_null(strstr(c.body, "\"kind\": \"Status\""));
    fini(&c);
    hang_up();
}

static void retry_after(const char *path, uint64_t least, uint64_t most) {
    struct call c = {0};
    get(&c, path);
    finish(&c);
    check(&c, 429, "429 Too Many Requests: told so");
    assert_in_range(c.answer.retry_after_ms, least, most);
    fini(&c);
}

static void too_many_requests(void **state) {
    (void)state;
    dial_tls();
    retry_after("/retry/7", 7000, 7000);
    retry_after("/retry/-90", 85000, 91000); /* a date, in whole seconds of a clock of ticks */
    retry_after("/retry/86400", KUBE_RETRY_AFTER_MAX_MS, KUBE_RETRY_AFTER_MAX_MS);
    retry_after("/retry/soon", 0, 0);
    retry_after("/retry/--5", 0, 0); /* a date that is over */
    hang_up();
}

/* ---- 401 ---- */

static void a_token_that_rotated(void **state) {
    (void)state;
    struct call c = {0};
    dial_tls();
    get_and_check("/token/old", 200, "");
    put("token", "new");
    call(&c, "POST", "/token/new", "a body", 0);
    finish(&c);
    check(&c, 200, "");
    assert_int_equal(kube_client_counters(client)->requests, 3); /* the 401 among them */
    assert_int_equal(kube_client_counters(client)->failures, 0);
    get_and_check("/token/newer", 401, "401 Unauthorized: told so"); /* nothing new: once */
    assert_int_equal(kube_client_counters(client)->requests, 4);
    put("token", "newest");
    get_and_check("/token/newer", 401, "401 Unauthorized: told so"); /* new, and as bad: twice */
    assert_int_equal(kube_client_counters(client)->requests, 6);
    fini(&c);
    hang_up();
}

static void streams_outlive_a_rotation(void **state) {
    (void)state;
    struct call beat = {0}, again = {0};
    dial_h2();
    watch(&beat, "/beat/10", 0);
    until(has_bytes, &beat);
    put("token", "new");
    get_and_check("/token/new", 200, "");
    beat.bytes = 0;
    until(has_bytes, &beat);
    assert_int_equal(beat.ended, 0);
    watch(&again, "/token/new", 0); /* a stream shows the new one at once */
    finish(&again);
    check(&again, 200, "");
    fini(&again);
    hang_up();
}

/* ---- a bad line ---- */

static void a_server_that_refuses(void **state) {
    (void)state;
    struct call c = {0};
    dial("https", 1, CA, TOKEN);
    get(&c, "/ok");
    finish(&c);
    check(&c, 0, "https://127.0.0.1:1 cannot be reached: ");
    fini(&c);
    hang_up();
}

/* It accepts, and never says a word of TLS. */
static void a_server_that_does_not_shake_hands(void **state) {
    (void)state;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
    assert_int_equal(listen(fd, 8), 0);
    getsockname(fd, (struct sockaddr *)&sa, &n);
    struct call c = {0};
    dial("https", ntohs(sa.sin_port), CA, TOKEN);
    watch(&c, "/watch", 0);
    uint64_t began = now_ms();
    finish(&c);
    check(&c, 0, "no answer in time");
    assert_in_range(now_ms() - began, KUBE_CONNECT_TIMEOUT_MS - 100,
                    KUBE_CONNECT_TIMEOUT_MS + 3000);
    fini(&c);
    hang_up();
    close(fd);
}

static void a_server_that_hangs(void **state) {
    (void)state;
    struct call c = {0};
    dial_tls();
    call(&c, "GET", "/hang", NULL, 200);
    uint64_t began = now_ms();
    finish(&c);
    check(&c, 0, "no answer in time");
    assert_in_range(now_ms() - began, 150, 5000);
    get_and_check("/ok", 200, "");
    fini(&c);
    hang_up();
}

static void a_body_that_is_cut(void **state) {
    (void)state;
    struct call c = {0};
    dial_tls();
    get_and_check("/cut", 200, "the connection ended before the answer did");
    get_and_check("/reset", 0, "the connection ended before the answer did");
    watch(&c, "/cut", 0);
    finish(&c);
    assert_int_equal(c.bytes, 50);
    check(&c, 200, "the connection ended before the answer did");
    fini(&c);
    hang_up();
    dial_h2();
    c = (struct call){0};
    watch(&c, "/cut", 0); /* with or without its head */
    finish(&c);
    check(&c, c.answer.status, "the connection ended before the answer did");
    get_and_check("/ok", 200, "");
    fini(&c);
    hang_up();
}

static unsigned resets(void) {
    struct call c = {0};
    get(&c, "/resets");
    finish(&c);
    unsigned n = (unsigned)strtoul(c.body, NULL, 10);
    fini(&c);
    return n;
}

/* libcurl would send a request again if a kept connection ends before any answer. */
static void a_write_is_never_sent_twice(void **state) {
    (void)state;
    struct call c = {0};
    dial_tls();
    unsigned before = resets();
    call(&c, "POST", "/reset", "{}", 0);
    finish(&c);
    assert_int_equal(c.answer.status, 0);
    assert_true(why_set(&c.answer.why));
    assert_int_equal(resets(), before + 1);
    fini(&c);
    hang_up();
}

/* ---- who is it? ---- */

static void certificates(void **state) {
    (void)state;
    struct call c = {0};
    dial("https", port_of("tls"), "certificate-authority: other-ca.crt", TOKEN);
    get_and_check("/ok", 0, "is not who it should be");
    hang_up();
    dial("https", port_of("tls"), "tls-server-name: localhost", TOKEN); /* the system's CAs */
    get_and_check("/ok", 0, "is not who it should be");
    hang_up();
    dial("https", port_of("elsewhere"), CA, TOKEN);
    get_and_check("/ok", 0, "is not who it should be");
    hang_up();
    dial("https", port_of("elsewhere"), CA ", tls-server-name: elsewhere.example.com", TOKEN);
    get(&c, "/echo");
    finish(&c);
    check(&c, 200, "");
    assert_non_null(strstr(c.body, "\"Host\": \"127.0.0.1:")); /* the name is TLS's only */
    fini(&c);
    hang_up();
}

static void client_certificates(void **state) {
    (void)state;
    struct call c = {0};
    dial("https", port_of("mutual"), CA, TOKEN);
    get(&c, "/ok");
    finish(&c);
    assert_int_equal(c.answer.status, 0);
    assert_true(why_set(&c.answer.why));
    fini(&c);
    hang_up();
    dial("https", port_of("mutual"), CA, "client-certificate: client.crt, client-key: client.key");
    get_and_check("/ok", 200, "");
    hang_up();
}

/* ---- bounds ---- */

static void huge_answers(void **state) {
    (void)state;
    struct call c = {0};
    dial_tls();
    get_and_check("/huge/17000000", 200, "larger than 16777216 bytes");
    get_and_check("/huge/1000000", 200, "");
    watch(&c, "/huge/40000000", 0);
    finish(&c);
    check(&c, 200, "");
    assert_int_equal(c.bytes, 40000000);
    fini(&c);
    hang_up();
}

static void calls_wait_their_turn(void **state) {
    (void)state;
    static struct call hanging[KUBE_CALLS_MAX];
    struct call late = {0}, next = {0}, stream = {0};
    dial_h2();
    for (size_t i = 0; i < KUBE_CALLS_MAX; i++)
        get(&hanging[i], "/hang");
    get(&next, "/ok");
    watch(&stream, "/watch/1/end", 0); /* does not wait for calls */
    finish(&stream);
    check(&stream, 200, "");
    assert_int_equal(next.ended, 0);
    assert_int_equal(kube_client_counters(client)->requests, KUBE_CALLS_MAX + 1);
    kube_cancel(hanging[7].request);
    finish(&next);
    check(&next, 200, "");
    get(&hanging[7], "/hang");
    call(&late, "GET", "/ok", NULL, 1);
    uint64_t began = now_ms();
    while (now_ms() - began < 5)
        continue;
    kube_cancel(hanging[8].request);
    finish(&late);
    check(&late, 0, "waited too long for its turn");
    fini(&late);
    fini(&next);
    fini(&stream);
    hang_up();
}

/* ---- silence ---- */

static void a_silent_stream(void **state) {
    (void)state;
    struct call quiet = {0}, beat = {0};
    dial_h2();
    watch(&beat, "/beat/50", 400);
    watch(&quiet, "/watch/2", 200);
    finish(&quiet);
    check(&quiet, 200, "no byte came for 200 ms");
    assert_int_equal(quiet.events, 2);
    beat.events = 0;
    until(has_bytes, &beat);
    assert_int_equal(beat.ended, 0);
    fini(&quiet);
    hang_up();
}

static bool have_bytes(void *arg) {
    struct call *c = arg;
    return c[0].bytes > 0 && c[1].bytes > 0 && c[2].bytes > 0;
}
static bool have_ended(void *arg) {
    struct call *c = arg;
    return c[0].ended > 0 && c[1].ended > 0 && c[2].ended > 0;
}

/* The peer's machine lives and acknowledges, its program does not. */
static void half_open(pid_t pid) {
    struct call c[3] = {{0}}, after = {0};
    kube_client_patience(client, 300, 300);
    for (size_t i = 0; i < 3; i++)
        watch(&c[i], "/watch/1", 0);
    until(have_bytes, c);
    uint64_t began = now_ms();
    kill(pid, SIGSTOP);
    until(have_ended, c);
    uint64_t took = now_ms() - began;
    kill(pid, SIGCONT);
    assert_in_range(took, 250, 5000);
    for (size_t i = 0; i < 3; i++) {
        check(&c[i], 200, "the API server was not heard for");
        fini(&c[i]);
    }
    get(&after, "/ok");
    finish(&after);
    check(&after, 200, "");
    fini(&after);
    hang_up();
}

static void a_half_open_peer(void **state) {
    (void)state;
    dial_tls();
    half_open(server);
}
static void a_half_open_peer_over_http2(void **state) {
    (void)state;
    dial_h2();
    half_open(-h2_group);
}

/* Silent streams of a server that answers when it is asked. */
static void a_quiet_peer_is_left_alone(void **state) {
    (void)state;
    struct call quiet = {0};
    dial_h2();
    kube_client_patience(client, 50, 300);
    watch(&quiet, "/watch/1", 1000);
    finish(&quiet);
    check(&quiet, 200, "no byte came for 1000 ms"); /* and not: was not heard */
    assert_in_range(kube_client_counters(client)->requests, 5, 30);
    fini(&quiet);
    hang_up();
}

/* A call that times out on a connection that is dead: it is asked at once. */
static void a_call_on_a_dead_connection(void **state) {
    (void)state;
    struct call c = {0}, w = {0};
    dial_h2();
    kube_client_patience(client, 600000, 200);
    watch(&w, "/watch/1", 0);
    until(has_bytes, &w);
    kill(-h2_group, SIGSTOP);
    call(&c, "GET", "/ok", NULL, 100);
    finish(&w);
    kill(-h2_group, SIGCONT);
    check(&c, 0, "no answer in time");
    check(&w, 200, "the API server was not heard for");
    fini(&c);
    fini(&w);
    hang_up();
}

/* ---- one connection ---- */

static unsigned connections_to(uint16_t port) {
    char line[300], wanted[40];
    unsigned n = 0;
    FILE *f = fopen("/proc/net/tcp", "r");
    assert_non_null(f);
    snprintf(wanted, sizeof(wanted), " 0100007F:%04X 01 ", port);
    while (fgets(line, sizeof(line), f))
        n += strstr(line, wanted) != NULL;
    fclose(f);
    return n;
}

struct crowd {
    struct call watches[20], calls[100];
};

static bool crowd_done(void *arg) {
    struct crowd *c = arg;
    for (size_t i = 0; i < ARRAY_LEN(c->watches); i++)
        if (c->watches[i].events < 3)
            return false;
    for (size_t i = 0; i < ARRAY_LEN(c->calls); i++)
        if (c->calls[i].ended == 0)
            return false;
    return true;
}

static void crowd_run(unsigned least, unsigned most, uint16_t port) {
    static struct crowd c;
    memset(&c, 0, sizeof(c));
    for (size_t i = 0; i < ARRAY_LEN(c.watches); i++)
        watch(&c.watches[i], i % 2 ? "/beat/10" : "/watch/3", 0);
    for (size_t i = 0; i < ARRAY_LEN(c.calls); i++)
        get(&c.calls[i], "/ok");
    until(crowd_done, &c);
    assert_in_range(connections_to(port), least, most);
    for (size_t i = 0; i < ARRAY_LEN(c.calls); i++) {
        check(&c.calls[i], 200, "");
        fini(&c.calls[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(c.watches); i += 2) /* the end of one is not another's */
        kube_cancel(c.watches[i].request);
    c.watches[19].bytes = 0;
    until(has_bytes, &c.watches[19]);
    for (size_t i = 0; i < ARRAY_LEN(c.watches); i++)
        assert_int_equal(c.watches[i].ended, 0);
    assert_in_range(connections_to(port), least > 1 ? 1 : least, most);
    hang_up();
}

static void all_on_one_connection(void **state) {
    (void)state;
    dial_h2();
    crowd_run(1, 1, port_of("h2"));
}
static void connections_without_http2(void **state) {
    (void)state;
    dial_tls();
    crowd_run(20, 20 + KUBE_CALLS_MAX, port_of("tls"));
}

/* With nothing under way nothing is pending: the loop has nothing to wait for. */
static void an_idle_client_sleeps(void **state) {
    (void)state;
    struct call w = {0};
    dial_h2();
    watch(&w, "/watch/1", 60000);
    get_and_check("/ok", 200, "");
    until(has_bytes, &w);
    kube_cancel(w.request);
    assert_int_equal(event_base_loop(base, 0), 1); /* 1: no event is pending */
    get_and_check("/ok", 200, "");
    assert_int_equal(connections_to(port_of("h2")), 1);
    hang_up();
}

/* A stream in which nothing happens does not turn the loop: libcurl's timers of the connection run
 * out once (the last one after KUBE_CONNECT_TIMEOUT_MS), and that is all. */
static void an_idle_stream_sleeps(void **state) {
    (void)state;
    struct call w = {0};
    unsigned turns = 0;
    struct timeval tv = {KUBE_CONNECT_TIMEOUT_MS / 1000 + 1, 0};
    dial_h2();
    watch(&w, "/watch/1", 60000);
    until(has_bytes, &w);
    struct event *end = event_new(base, -1, 0, on_tick, NULL);
    event_add(end, &tv);
    for (; event_pending(end, EV_TIMEOUT, NULL); turns++)
        event_base_loop(base, EVLOOP_ONCE);
    assert_in_range(turns, 1, 12);
    event_free(end);
    hang_up();
}

/* ---- cancelling ---- */

static struct call *other;

static void cancel_self(struct call *c) { kube_cancel(c->request); }
static void cancel_other(struct call *c) {
    (void)c;
    kube_cancel(other->request);
    other->request = NULL;
}
static void cancel_both(struct call *c) {
    cancel_other(c);
    cancel_self(c);
}
static void free_client(struct call *c) {
    (void)c;
    kube_client_free(client);
    client = NULL;
}
static void call_again(struct call *c) {
    c->at_bytes = c->at_end = NULL;
    get(other, "/ok");
}

static bool is_stopped(void *arg) {
    struct call *c = arg;
    return c->bytes > 0 || c->ended > 0;
}

static void cancelled(void (*dial_up)(void), const char *path, void (*at_bytes)(struct call *),
                      void (*at_end)(struct call *), unsigned ends) {
    struct call c = {.at_bytes = at_bytes, .at_end = at_end}, second = {0}, beat = {0};
    dial_up();
    other = &second;
    watch(&second, "/hang", 0);
    watch(&beat, "/beat/10", 0);
    until(has_bytes, &beat);
    watch(&c, path, 0);
    until(is_stopped, &c);
    if (client) { /* a while later still nothing has come */
        beat.events = 0;
        while (beat.events < 10)
            event_base_loop(base, EVLOOP_ONCE);
        get_and_check("/ok", 200, "");
    }
    if (at_bytes && at_bytes != cancel_other)
        assert_int_equal(c.pieces, 1);
    assert_int_equal(c.ended, ends);
    assert_int_equal(second.ended, 0);
    fini(&c);
    fini(&second);
    fini(&beat);
    hang_up();
}

static void cancel_everywhere(void (*dial_up)(void)) {
    cancelled(dial_up, "/beat/5", cancel_self, NULL, 0);
    cancelled(dial_up, "/watch/1/end", cancel_self, NULL, 0);
    cancelled(dial_up, "/huge/4000000", cancel_self, NULL, 0); /* there is more in hand */
    cancelled(dial_up, "/huge/4000000", free_client, NULL, 0);
    cancelled(dial_up, "/beat/5", cancel_other, NULL, 0);
    cancelled(dial_up, "/beat/5", cancel_both, NULL, 0);
    cancelled(dial_up, "/status/500", NULL, cancel_other, 1);
    cancelled(dial_up, "/status/500", NULL, cancel_self, 1); /* its request is NULL by then */
    cancelled(dial_up, "/beat/5", free_client, NULL, 0);
    cancelled(dial_up, "/status/500", NULL, free_client, 1);
}

static void cancel_in_every_callback(void **state) {
    (void)state;
    cancel_everywhere(dial_tls);
}
static void cancel_in_every_callback_over_http2(void **state) {
    (void)state;
    cancel_everywhere(dial_h2);
}

static void cancel_outside(void **state) {
    (void)state;
    struct call before = {0}, under_way = {0};
    dial_h2();
    get(&before, "/ok");
    kube_cancel(before.request); /* not yet sent */
    watch(&under_way, "/beat/5", 0);
    until(has_bytes, &under_way);
    kube_cancel(under_way.request);
    kube_cancel(NULL);
    get_and_check("/ok", 200, "");
    assert_int_equal(before.ended + under_way.ended, 0);
    get(&before, "/hang");
    get(&under_way, "/ok");
    hang_up(); /* with one sent, or waiting, or neither */
    assert_int_equal(before.ended + under_way.ended, 0);
    kube_client_free(NULL);
}

static void call_from_callbacks(void **state) {
    (void)state;
    struct call c = {.at_bytes = call_again}, d = {.at_end = call_again}, second = {0};
    dial_h2();
    other = &second;
    watch(&c, "/beat/5", 0);
    finish(&second);
    check(&second, 200, "");
    fini(&second);
    second = (struct call){0};
    get(&d, "/ok");
    finish(&second);
    check(&second, 200, "");
    fini(&second);
    fini(&d);
    hang_up();
}

static void a_caller_who_has_enough(void **state) {
    (void)state;
    struct call c = {.enough = true};
    dial_h2();
    watch(&c, "/beat/5", 0);
    finish(&c);
    assert_int_equal(c.pieces, 1);
    check(&c, 200, "the caller ended it");
    assert_int_equal(kube_client_counters(client)->failures, 0);
    fini(&c);
    hang_up();
}

/* All that is under way ends at once, and who hears of it frees the client. */
static void a_client_freed_while_its_server_is_dead(void **state) {
    (void)state;
    struct call c[3] = {{.at_end = free_client}, {.at_end = free_client}, {.at_end = free_client}};
    dial_h2();
    kube_client_patience(client, 100, 100);
    for (size_t i = 0; i < 3; i++)
        watch(&c[i], "/watch/1", 0);
    until(have_bytes, c);
    kill(-h2_group, SIGSTOP);
    while (client)
        event_base_loop(base, EVLOOP_ONCE);
    kill(-h2_group, SIGCONT);
    assert_int_equal(c[0].ended + c[1].ended + c[2].ended, 1);
    for (size_t i = 0; i < 3; i++)
        fini(&c[i]);
    hang_up();
}

/* ---- paths ---- */

static void paths(void **state) {
    (void)state;
    char room[400];
    static const struct {
        const char *group, *version, *plural, *ns, *name, *sub, *wanted;
    } cases[] = {
        {"", "v1", "services", "", "", "", "/api/v1/services"},
        {"", "v1", "secrets", "a", "b", "", "/api/v1/namespaces/a/secrets/b"},
        {"sluice.dev", "v1alpha1", "routes", "shop", "shop", "status",
         "/apis/sluice.dev/v1alpha1/namespaces/shop/routes/shop/status"},
        {"sluice.dev", "v1alpha1", "gatewayconfigs", "", "main", "",
         "/apis/sluice.dev/v1alpha1/gatewayconfigs/main"},
        {"", "v1", "secrets", "a/../b?", "c d%", "",
         "/api/v1/namespaces/a%2F..%2Fb%3F/secrets/c%20d%25"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct out o = out_fixed(room, sizeof(room));
        kube_path(&o, cases[i].group, cases[i].version, cases[i].plural, str_of(cases[i].ns),
                  str_of(cases[i].name), str_of(cases[i].sub));
        out_char(&o, 0);
        assert_string_equal(room, cases[i].wanted);
    }
    struct out o = out_fixed(room, sizeof(room));
    out_lit(&o, "/x");
    kube_path_param(&o, "a", STR("1&2=3"));
    kube_path_param(&o, "continue", STR("\xc3\xbc+/="));
    out_char(&o, 0);
    assert_string_equal(room, "/x?a=1%262%3D3&continue=%C3%BC%2B%2F%3D");
}

#define TEST(name) cmocka_unit_test_teardown(name, clean)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_sent),
        TEST(writes),
        TEST(writes_over_http2),
        TEST(plain_on_loopback),
        TEST(refusals),
        TEST(too_many_requests),
        TEST(a_token_that_rotated),
        TEST(streams_outlive_a_rotation),
        TEST(a_server_that_refuses),
        TEST(a_server_that_does_not_shake_hands),
        TEST(a_server_that_hangs),
        TEST(a_body_that_is_cut),
        TEST(a_write_is_never_sent_twice),
        TEST(certificates),
        TEST(client_certificates),
        TEST(huge_answers),
        TEST(calls_wait_their_turn),
        TEST(a_silent_stream),
        TEST(a_half_open_peer),
        TEST(a_half_open_peer_over_http2),
        TEST(a_quiet_peer_is_left_alone),
        TEST(a_call_on_a_dead_connection),
        TEST(all_on_one_connection),
        TEST(connections_without_http2),
        TEST(an_idle_client_sleeps),
        TEST(an_idle_stream_sleeps),
        TEST(cancel_in_every_callback),
        TEST(cancel_in_every_callback_over_http2),
        TEST(cancel_outside),
        TEST(call_from_callbacks),
        TEST(a_caller_who_has_enough),
        TEST(a_client_freed_while_its_server_is_dead),
        TEST(paths),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
