/* SPDX-License-Identifier: Apache-2.0
 *
 * Documents fetched from real servers over TLS (tests/tools/apiserver) that do everything wrong,
 * and what becomes of an issuer's keys meanwhile (S37).
 */
#include "controller/fetch/fetch.h"
#include "controller/fetch/keysets.h"

#include "lib/log.h"
#include "lib/mem.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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
static char said[400];               /* its line of names and ports */
static struct out ca_pem, other_pem; /* its authority; one that has signed nothing */
static const struct unit_cidr loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127}, 104};

static void path_of(char room[300], const char *name) {
    snprintf(room, 300, "%s/%s", folder, name);
}

static void slurp(const char *name, struct out *o) {
    char path[300], piece[4096];
    size_t n;
    path_of(path, name);
    FILE *f = fopen(path, "r");
    *o = out_heap(1 << 20);
    while (f && (n = fread(piece, 1, sizeof(piece), f)) > 0)
        out_bytes(o, piece, n);
    if (f)
        fclose(f);
}

/* A file that the server answers with, whole or not there. */
static void put(const char *name, struct str text) {
    char path[300], new[300];
    path_of(path, name);
    path_of(new, "new");
    FILE *f = fopen(new, "w");
    assert_non_null(f);
    if (text.n > 0)
        fwrite(text.p, 1, text.n, f);
    fclose(f);
    assert_int_equal(rename(new, path), 0);
}
static void take_away(const char *name) {
    char path[300];
    path_of(path, name);
    assert_int_equal(unlink(path), 0);
}

/* How often the server was asked for a path, since the test began. */
static unsigned asked(const char *wanted) {
    struct out o;
    unsigned n = 0;
    slurp("requests", &o);
    struct str rest = out_done(&o), line;
    while (rest.n > 0) {
        rest = str_cut(rest, '\n', &line);
        n += str_eq(line, str_of(wanted));
    }
    out_fini(&o);
    return n;
}

static int setup(void **state) {
    (void)state;
    int in[2], out[2];
    size_t n = 0;
    const char *tmp = getenv("TMPDIR");
    log_level(LOG_LEVEL_ERROR);
    signal(SIGPIPE, SIG_IGN);
    setenv("https_proxy", "http://127.0.0.1:1", 1); /* nobody may heed them */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    snprintf(folder, sizeof(folder), "%s/keysets-XXXXXX", tmp ? tmp : "/tmp");
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
    slurp("ca.crt", &ca_pem);
    slurp("other-ca.crt", &other_pem);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[300];
    close(server_in);
    waitpid(server, NULL, 0);
    out_fini(&ca_pem);
    out_fini(&other_pem);
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    return system(command);
}

static unsigned port_of(const char *name) {
    struct str line = str_of(said), word = STR_NONE, number = STR_NONE;
    while (line.n > 0) {
        line = str_cut(line, ' ', &word);
        if (!str_eq(word, str_of(name)))
            continue;
        str_cut(line, ' ', &number);
        return (unsigned)strtoul(number.p, NULL, 10);
    }
    fail_msg("the server has no %s", name);
    return 0;
}

/* "https://127.0.0.1:PORT/path" of one of its ports. */
static const char *at(const char *name, const char *path) {
    static char room[4][300];
    static unsigned next;
    char *o = room[next++ % 4];
    snprintf(o, sizeof(room[0]), "%s://127.0.0.1:%u%s",
             strcmp(name, "plain") == 0 ? "http" : "https", port_of(name), path);
    return o;
}

/* ---- the loop ---- */

static struct event_base *base;

static uint64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void on_tick(evutil_socket_t fd, short what, void *arg) { (void)fd, (void)what, (void)arg; }
static void turn(void) {
    struct timeval tv = {0, 2000};
    event_base_once(base, -1, EV_TIMEOUT, on_tick, NULL, &tv);
    event_base_loop(base, EVLOOP_ONCE);
}

#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        uint64_t until = now_ms() + LONG_MS;                                                       \
        while (!(condition)) {                                                                     \
            if (now_ms() > until)                                                                  \
                fail_msg("never: %s", #condition);                                                 \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static void run_for(uint64_t ms) {
    for (uint64_t until = now_ms() + ms; now_ms() < until;)
        turn();
}

/* ---- one fetch ---- */

static struct fetcher *fetcher;

static struct {
    bool done;
    struct out body;
    struct why why;
} got;

static void on_done(void *arg, const struct fetch_answer *a) {
    (void)arg;
    assert_false(got.done);
    got.done = true;
    got.why = a->why;
    got.body.n = 0;
    out_str(&got.body, a->body);
    assert_true(!why_set(&a->why) || a->body.n == 0);
}

static int fetch_setup(void **state) {
    (void)state;
    base = event_base_new();
    fetcher = fetcher_new(base);
    fetcher_patience(fetcher, 2000, 4000);
    got.body = out_heap(1 << 20);
    put("requests", STR_NONE);
    return 0;
}
static int fetch_teardown(void **state) {
    (void)state;
    fetcher_free(fetcher);
    event_base_free(base);
    out_fini(&got.body);
    fetcher = NULL;
    base = NULL;
    return 0;
}

static struct fetch_what what_of(const char *url) {
    return (struct fetch_what){.url = str_of(url),
                               .ca = out_done(&ca_pem),
                               .allowed = &loopback,
                               .n_allowed = 1,
                               .accept = "application/json",
                               .done = on_done};
}

static void fetch(const struct fetch_what *what) {
    got.done = false;
    fetch_start(fetcher, what);
    assert_false(got.done);
    EVENTUALLY(got.done);
}

static void refused(const struct fetch_what *what, const char *text) {
    fetch(what);
    if (!why_set(&got.why))
        fail_msg("%.*s was fetched", STR_FMT(what->url));
    if (!strstr(got.why.text, text))
        fail_msg("%.*s: %s", STR_FMT(what->url), got.why.text);
    assert_true(str_starts(str_of(got.why.object), STR("GET ")));
}

static void refused_url(const char *url, const char *text) {
    struct fetch_what what = what_of(url);
    refused(&what, text);
}

static bool body_has(const char *text) {
    out_char(&got.body, 0);
    got.body.n--;
    return strstr(got.body.p, text) != NULL;
}

static void fetches(void **state) {
    (void)state;
    struct fetch_what what = what_of(at("tls", "/echo/a?b=c"));
    fetch(&what);
    assert_string_equal(got.why.text, "");
    assert_true(body_has("\"GET\"") && body_has("/echo/a?b=c") && body_has("application/json"));
    assert_true(body_has("\"Host\": \"127.0.0.1:") && body_has("sluice/"));
    assert_false(body_has("Encoding") || body_has("Cookie") || body_has("Authorization"));
    char url[100];
    snprintf(url, sizeof(url), "https://localhost:%u/ok", port_of("tls"));
    what = what_of(url);
    fetch(&what);
    assert_string_equal(got.why.text, "");
    assert_true(str_eq(out_done(&got.body), STR("{\"kind\":\"Ok\"}")));
}

static void statuses(void **state) {
    (void)state;
    refused_url(at("tls", "/status/404?token=x"), "404 Not Found, not 200; check the address");
    assert_null(strstr(got.why.object, "token"));
    refused_url(at("tls", "/status/304"), "304 Not Modified");
    refused_url(at("tls", "/status/204"), "204 No Content");
    refused_url(at("tls", "/status/201"), "201");
    refused_url(at("tls", "/status/500"), "500 Internal Server Error; it is asked again later");
    refused_url(at("tls", "/retry/5"), "429 Too Many Requests");
    refused_url(at("tls", "/huge/10485760/404"), "404 Not Found");
    refused_url(at("tls", "/huge/10485760/302"), "larger than");
}

static void too_much(void **state) {
    (void)state;
    struct fetch_what what = what_of(at("tls", "/huge/262144"));
    fetch(&what);
    assert_int_equal(got.body.n, 262144);
    refused_url(at("tls", "/huge/262145"), "larger than 262144 bytes");
    refused_url(at("tls", "/huge/10485760"), "larger than 262144 bytes");
    what = what_of(at("tls", "/heads/8000"));
    fetch(&what);
    assert_string_equal(got.why.text, "");
    refused_url(at("tls", "/heads/20000"), "header is larger than 16384 bytes");
}

static void too_slow(void **state) {
    (void)state;
    uint64_t before = now_ms();
    fetcher_patience(fetcher, 300, 600);
    refused_url(at("tls", "/hang"), "not answered wholly within 600 ms");
    refused_url(at("tls", "/drip"), "not answered wholly within 600 ms");
    assert_in_range(now_ms() - before, 1100, LONG_MS);
    /* A connection that nobody takes: the plain port never begins TLS. */
    kill(server, SIGSTOP);
    refused_url(at("tls", "/ok"), "no connection to it within 300 ms");
    kill(server, SIGCONT);
}

static void broken(void **state) {
    (void)state;
    refused_url(at("tls", "/cut"), "ended before the answer did");
    refused_url(at("tls", "/reset"), "ended before the answer did");
    refused_url("https://127.0.0.1:1/keys", "there is no connection to it");
    refused_url("https://nothing.invalid/keys", "cannot be resolved");
    refused_url("http://127.0.0.1:1/keys", "not https");
    refused_url("https://u:p@127.0.0.1:1/keys", "user or password");
    char url[100];
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/ok", port_of("plain"));
    refused_url(url, ""); /* no TLS there */
}

static void certificates(void **state) {
    (void)state;
    refused_url(at("elsewhere", "/ok"), "not who it should be");
    refused_url(at("expired", "/ok"), "certificate has expired");
    struct fetch_what what = what_of(at("tls", "/ok"));
    what.ca = out_done(&other_pem);
    refused(&what, "not who it should be");
    what.ca = STR_NONE; /* the system's */
    refused(&what, "not who it should be");
    what.ca = STR("no pem");
    refused(&what, "authorities");
    assert_int_equal(asked("/ok"), 0);
}

static void redirects(void **state) {
    (void)state;
    char url[400];
    struct fetch_what what = what_of(at("tls", "/redirect"));
    fetch(&what);
    assert_true(str_eq(out_done(&got.body), STR("{\"kind\":\"Ok\"}")));
    what = what_of(at("tls", "/to?/to?/to?/ok"));
    fetch(&what);
    assert_string_equal(got.why.text, "");
    refused_url(at("tls", "/to?/to?/to?/to?/ok"), "more than 3 times");
    const struct {
        const char *to, *text;
    } table[] = {{at("elsewhere", "/ok"), "another host, port or protocol"},
                 {at("plain", "/ok"), "another host, port or protocol"},
                 {"https://10.0.0.1/ok", "\"https://10.0.0.1/ok\""},
                 {"https://169.254.169.254/latest", "another host"},
                 {"http://127.0.0.1/ok", "another host"},
                 {"file:///etc/passwd", "another host"},
                 {"//localhost/ok", "another host"},
                 {"https://u:p@127.0.0.1/ok", "another host"}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        snprintf(url, sizeof(url), "%s?%s", at("tls", "/to"), table[i].to);
        refused_url(url, table[i].text);
    }
    snprintf(url, sizeof(url), "https://localhost:%u/to?https://127.0.0.1:%u/ok", port_of("tls"),
             port_of("tls")); /* the same machine, another name */
    refused_url(url, "another host");
    assert_int_equal(asked("/ok"), 2);
}

/* An address of this machine that is private, as most are; false: it has none. */
static bool own_private(char room[INET_ADDRSTRLEN]) {
    struct ifaddrs *all, *i;
    bool found = false;
    assert_int_equal(getifaddrs(&all), 0);
    for (i = all; i && !found; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
            continue;
        const struct sockaddr_in *a = (const void *)i->ifa_addr;
        uint32_t ip = ntohl(a->sin_addr.s_addr);
        found = ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8;
        if (found)
            inet_ntop(AF_INET, &a->sin_addr, room, INET_ADDRSTRLEN);
    }
    freeifaddrs(all);
    return found;
}

static void addresses(void **state) {
    (void)state;
    static const char *const hosts[] = {"127.0.0.1",
                                        "127.1",
                                        "2130706433",
                                        "0x7f000001",
                                        "0177.0.0.1",
                                        "localhost", /* a name that leads there */
                                        "0.0.0.0",
                                        "10.0.0.1",
                                        "100.64.0.1",
                                        "172.16.0.1",
                                        "192.168.0.1",
                                        "169.254.169.254",
                                        "168.63.129.16",
                                        "224.0.0.1",
                                        "[::1]",
                                        "[::]",
                                        "[::127.0.0.1]",
                                        "[::ffff:127.0.0.1]",
                                        "[::ffff:169.254.169.254]",
                                        "[64:ff9b::169.254.169.254]",
                                        "[2002:7f00:1::]",
                                        "[fd00:ec2::254]",
                                        "[fe80::1]",
                                        "[fec0::1]",
                                        "[ff02::1]"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        char url[100];
        snprintf(url, sizeof(url), "https://%s:%u/ok", hosts[i], port_of("tls"));
        struct fetch_what what = what_of(url);
        what.n_allowed = 0;
        refused(&what, "auth.allowedPrivateCIDRs");
    }
    assert_int_equal(asked("/ok"), 0);
    refused_url("https://10.0.0.1/x", "put 10.0.0.1/32 into"); /* allowed is another one */
    refused_url("https://[fe80::1]/x", "put fe80::1/128 into");
}

static void endpoints(void **state) {
    (void)state;
    char connect[100], own[INET_ADDRSTRLEN], url[100];
    struct fetch_what what = what_of("http://jwks.iam.svc:8080/echo");
    snprintf(connect, sizeof(connect), "127.0.0.1:%u", port_of("plain"));
    what.connect = str_of(connect);
    fetch(&what);
    assert_string_equal(got.why.text, "");
    assert_true(body_has("\"jwks.iam.svc:8080\""));
    what.n_allowed = 0; /* whoever may write EndpointSlices gets nowhere that only we get */
    refused(&what, "a loopback address");
    what.connect = STR("169.254.169.254:80");
    refused(&what, "a link-local address");
    what.connect = STR("[::1]:80");
    refused(&what, "a loopback address");
    if (!own_private(own))
        return;
    snprintf(connect, sizeof(connect), "%s:1", own);
    what.connect = str_of(connect);
    refused(&what, "there is no connection to it"); /* tried */
    snprintf(url, sizeof(url), "https://%s:1/", own);
    what = what_of(url);
    refused(&what, "a private address"); /* not tried */
}

static void cancelled(void **state) {
    (void)state;
    struct fetch_what what = what_of(at("tls", "/hang"));
    got.done = false;
    fetch_cancel(fetch_start(fetcher, &what));
    struct fetch *r = fetch_start(fetcher, &what);
    EVENTUALLY(asked("/hang") == 1);
    fetch_cancel(r);
    fetch_cancel(NULL);
    fetch_start(fetcher, &what); /* the fetcher ends before it does */
    EVENTUALLY(asked("/hang") == 2);
    assert_false(got.done);
}

/* ---- key sets ---- */

#define KEY(kid)                                                                                   \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"" kid                                             \
    "\",\"x\":\"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY\",\"y\":"                              \
    "\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw\"}"
#define SET(kid) "{\"keys\":[" KEY(kid) "]}"

enum { SECOND = 1000, HOUR = 3600 * SECOND, NAMES = 32 };

static struct keysets *sets;
static struct arena arena;

static struct told { /* of the source whose owner is the same letter */
    unsigned n;
    enum keyset_state state;
    char document[2000], why[480];
    size_t discovery;
    uint64_t fetched, stale_after;
} told[256];

static void on_changed(void *arg, struct str key, const struct keyset *k) {
    struct told *t = &told[(unsigned char)key.p[0]];
    (void)arg;
    t->n++;
    t->state = k->state;
    snprintf(t->document, sizeof(t->document), "%.*s", STR_FMT(k->document));
    snprintf(t->why, sizeof(t->why), "%s", k->why.text);
    t->discovery = k->discovery.n;
    t->fetched = k->fetched;
    t->stale_after = k->stale_after;
    assert_ptr_equal(k, keysets_get(sets, key));
    assert_true((k->state == KEYSET_GOOD) == (k->document.n > 0));
    keysets_unknown_kid(sets, STR("nobody's"));
}

static int sets_setup(void **state) {
    (void)state;
    base = event_base_new();
    const struct keysets_options o = {.changed = on_changed,
                                      .refresh_min_ms = 100,
                                      .kid_ms = 400,
                                      .retry_ms = 100,
                                      .connect_ms = 1000,
                                      .whole_ms = 1000};
    sets = keysets_new(base, &o);
    arena_init(&arena);
    memset(told, 0, sizeof(told));
    put("requests", STR_NONE);
    put("keys", STR(SET("one")));
    return 0;
}
static int sets_teardown(void **state) {
    (void)state;
    keysets_free(sets);
    event_base_free(base);
    arena_fini(&arena);
    sets = NULL;
    base = NULL;
    return 0;
}

static struct keyset_want want(char owner, const char *url, const char *issuer, uint64_t refresh_ms,
                               uint64_t max_stale_ms) {
    struct keyset_want w = {.url = arena_str(&arena, str_of(url)),
                            .issuer = str_of(issuer),
                            .ca = out_done(&ca_pem),
                            .allowed = &loopback,
                            .n_allowed = 1,
                            .refresh_ms = refresh_ms,
                            .max_stale_ms = max_stale_ms};
    w.key = keyset_key(&arena, str_mk(&owner, 1), w.url, w.issuer);
    return w;
}

static void want_all(struct keyset_want *w, size_t n) { keysets_want(sets, w, n); }

#define A              told['a']
#define GOOD_WITH(kid) (A.state == KEYSET_GOOD && strstr(A.document, kid))

static void becomes_good(void **state) {
    (void)state;
    struct keyset_want w = want('a', at("tls", "/file/keys"), NULL, HOUR, 24 * HOUR);
    uint64_t before = (uint64_t)time(NULL);
    want_all(&w, 1);
    assert_int_equal(keysets_get(sets, w.key)->state, KEYSET_PENDING);
    assert_int_equal(A.n, 0); /* nothing is told before the loop runs */
    EVENTUALLY(A.n > 0);
    assert_int_equal(A.state, KEYSET_GOOD);
    assert_string_equal(A.document, SET("one"));
    assert_in_range(A.stale_after, before + 21 * 3600, before + 24 * 3600 + 20);
    assert_int_equal(A.stale_after % (3 * 3600), 0); /* on every replica */
    assert_int_equal(A.fetched, A.stale_after - 24 * 3600);
    assert_int_equal(A.discovery, 0);
    want_all(&w, 1); /* the same again */
    run_for(200);
    assert_int_equal(asked("/file/keys"), 1);
}

/* Whatever comes instead of keys: the last good ones stay, and somebody is told why. */
static void last_good(void **state) {
    (void)state;
    struct out huge = out_heap(20 << 20);
    struct keyset_want w = want('a', at("tls", "/file/keys"), NULL, 100, HOUR);
    want_all(&w, 1);
    EVENTUALLY(GOOD_WITH("one"));
    out_lit(&huge, SET("huge"));
    memset(out_take(&huge, 10 << 20), ' ', 10 << 20);
    const struct {
        struct str document;
        const char *text;
    } table[] = {{STR("\xff\xfe garbage"), "no key set that can be used"},
                 {STR(""), "no key set that can be used"},
                 {STR("{}"), "without a list of keys"},
                 {STR("{\"keys\":[]}"), "no key in it"},
                 {STR("<html>"), "no key set that can be used"},
                 {out_done(&huge), "larger than"}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        put("keys", table[i].document);
        EVENTUALLY(strstr(A.why, table[i].text));
        assert_true(GOOD_WITH("one"));
        put("keys", STR(SET("one")));
        EVENTUALLY(A.why[0] == 0);
        assert_true(GOOD_WITH("one"));
    }
    out_fini(&huge);
}

static void rotation(void **state) {
    (void)state;
    struct keyset_want w = want('a', at("tls", "/file/keys"), NULL, 100, HOUR);
    want_all(&w, 1);
    EVENTUALLY(GOOD_WITH("one"));
    put("keys", STR("{\"keys\":[" KEY("one") "," KEY("two") "]}"));
    EVENTUALLY(GOOD_WITH("two"));
    assert_non_null(strstr(A.document, "one"));
    put("keys", STR(SET("two")));
    EVENTUALLY(A.state == KEYSET_GOOD && !strstr(A.document, "one"));
}

static void unknown_kid_storm(void **state) {
    (void)state;
    struct keyset_want w = want('a', at("tls", "/file/keys"), NULL, HOUR, 24 * HOUR);
    want_all(&w, 1);
    EVENTUALLY(GOOD_WITH("one"));
    put("keys", STR(SET("two")));
    uint64_t began = now_ms();
    keysets_unknown_kid(sets, w.key); /* of a real rotation */
    EVENTUALLY(GOOD_WITH("two"));
    assert_in_range(now_ms() - began, 1, 5000);
    assert_int_equal(asked("/file/keys"), 2);
    began = now_ms();
    for (unsigned i = 0; now_ms() < began + 2000; i++) {
        for (unsigned k = 0; k < 100; k++)
            keysets_unknown_kid(sets, w.key);
        turn();
    }
    /* One each 400 ms, the first one when the interval of the one before is over. */
    assert_in_range(asked("/file/keys"), 3, 2 + 6);
    run_for(900);
    unsigned quiet = asked("/file/keys");
    run_for(900);
    assert_int_equal(asked("/file/keys"), quiet); /* and then no more */
}

/* Those that do not know each other's: a refresh that is shorter than kid_ms, and no such key. */
static void unknown_kid_bounds(void **state) {
    (void)state;
    struct keyset_want w = want('a', at("tls", "/file/keys"), NULL, HOUR, 24 * HOUR);
    want_all(&w, 1);
    EVENTUALLY(GOOD_WITH("one"));
    run_for(500);
    keysets_unknown_kid(sets, STR("a"));
    keysets_unknown_kid(sets, STR("b#0123456789abcdef"));
    run_for(300);
    assert_int_equal(asked("/file/keys"), 1);
    put("keys", STR(SET("two")));
    keysets_unknown_kid(sets, w.key); /* the interval is over: at once */
    uint64_t began = now_ms();
    EVENTUALLY(GOOD_WITH("two"));
    assert_int_equal(asked("/file/keys"), 2);
    assert_in_range(now_ms() - began, 0, 5000);
}

static void stale(void **state) {
    (void)state;
    struct keyset_want w = want('a', at("tls", "/file/keys"), NULL, 200, 1500);
    want_all(&w, 1);
    EVENTUALLY(GOOD_WITH("one"));
    take_away("keys");
    EVENTUALLY(strstr(A.why, "404 Not Found"));
    assert_true(GOOD_WITH("one")); /* still used */
    uint64_t began = now_ms();
    EVENTUALLY(A.state == KEYSET_STALE);
    assert_in_range(now_ms() - began, 1, 4000);
    assert_string_equal(A.document, "");
    assert_string_equal(keysets_get(sets, w.key)->why.text, A.why);
    put("keys", STR(SET("three")));
    EVENTUALLY(GOOD_WITH("three"));
    assert_string_equal(A.why, "");
}

static void never_good(void **state) {
    (void)state;
    struct keyset_want w = want('a', at("tls", "/file/nothing"), NULL, 1600, HOUR);
    uint64_t began = now_ms();
    want_all(&w, 1);
    EVENTUALLY(A.state == KEYSET_FAILED);
    assert_non_null(strstr(A.why, "404"));
    while (now_ms() < began + 2600) /* at 0, 100, 300, 700, 1500, then each 1600 */
        turn();
    assert_in_range(asked("/file/nothing"), 4, 6);
    assert_int_equal(A.n, 1); /* the same fault is told once */
    put("nothing", STR(SET("one")));
    EVENTUALLY(GOOD_WITH("one"));
}

static void put_discovery(const char *issuer, const char *jwks_uri) {
    char room[600];
    snprintf(room, sizeof(room), "{\"issuer\":\"%s\",\"jwks_uri\":\"%s\"}", issuer, jwks_uri);
    put("discovery", str_of(room));
}

#define ISSUER "https://idp.example.com"

static void discovers(void **state) {
    (void)state;
    struct keyset_want w = want('a', at("tls", "/file/discovery"), ISSUER, 100, HOUR);
    put_discovery("https://evil.example.com", at("tls", "/file/keys"));
    want_all(&w, 1);
    EVENTUALLY(A.state == KEYSET_FAILED);
    assert_non_null(strstr(A.why, "it is of the issuer \"https://evil.example.com\""));
    assert_int_equal(asked("/file/keys"), 0);
    put_discovery(ISSUER, at("tls", "/file/keys"));
    EVENTUALLY(GOOD_WITH("one"));
    assert_true(A.discovery > 50);
    static const struct {
        const char *uri, *text;
    } bad[] = {{"https://10.1.2.3/keys", "10.1.2.3, a private address"},
               {"https://[::ffff:169.254.169.254]/keys", "a link-local address"},
               {"http://127.0.0.1/keys", "not https"},
               {"file:///etc/passwd", "cannot be used"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        put_discovery(ISSUER, bad[i].uri);
        EVENTUALLY(strstr(A.why, bad[i].text));
        assert_true(GOOD_WITH("one"));
    }
    put_discovery(ISSUER, at("tls", "/to?https://10.1.2.3/keys"));
    EVENTUALLY(strstr(A.why, "another host"));
    put_discovery(ISSUER, at("elsewhere", "/file/keys"));
    EVENTUALLY(strstr(A.why, "not who it should be"));
    put_discovery(ISSUER, at("tls", "/file/keys"));
    EVENTUALLY(A.why[0] == 0);
}

static void backends(void **state) {
    (void)state;
    char here[64];
    struct str endpoints[] = {STR("127.0.0.1:1"), STR_NONE};
    struct keyset_want w = want('a', "http://jwks.iam.svc:8080/file/keys", NULL, 300, HOUR);
    w.backend = true;
    want_all(&w, 1);
    EVENTUALLY(strstr(A.why, "no endpoint that is ready"));
    snprintf(here, sizeof(here), "127.0.0.1:%u", port_of("plain"));
    endpoints[1] = str_of(here);
    w.endpoints = endpoints;
    w.n_endpoints = 2;
    want_all(&w, 1);
    EVENTUALLY(strstr(A.why, "there is no connection"));
    EVENTUALLY(GOOD_WITH("one")); /* the next one */
}

/* Pods that come and go are no reason to ask, unless there was no answer. */
static void moved(void **state) {
    (void)state;
    char here[64];
    struct str endpoints[] = {STR_NONE, STR("127.0.0.1:1")};
    struct keyset_want w = want('a', "http://jwks.iam.svc:8080/file/keys", NULL, HOUR, 24 * HOUR);
    snprintf(here, sizeof(here), "127.0.0.1:%u", port_of("plain"));
    endpoints[0] = str_of(here);
    w.backend = true;
    w.endpoints = endpoints;
    w.n_endpoints = 1;
    want_all(&w, 1);
    EVENTUALLY(GOOD_WITH("one"));
    assert_int_equal(asked("/file/keys"), 1);
    w.n_endpoints = 2;
    want_all(&w, 1);
    run_for(300);
    assert_int_equal(asked("/file/keys"), 1);
    w.refresh_ms = HOUR - 1; /* something else is */
    want_all(&w, 1);
    EVENTUALLY(strstr(A.why, "there is no connection")); /* by turns: the second one */
    w.n_endpoints = 1;
    want_all(&w, 1);
    EVENTUALLY(A.why[0] == 0);
    assert_int_equal(asked("/file/keys"), 2);
}

static void many(void **state) {
    (void)state;
    struct keyset_want w[NAMES];
    for (unsigned i = 0; i < NAMES; i++)
        w[i] = want((char)('A' + i), at("tls", "/hang"), NULL, HOUR, 24 * HOUR);
    want_all(w, NAMES);
    EVENTUALLY(asked("/hang") == KEYSETS_AT_ONCE);
    run_for(200);
    assert_int_equal(asked("/hang"), KEYSETS_AT_ONCE);
    EVENTUALLY(asked("/hang") > KEYSETS_AT_ONCE); /* those were too slow */
    want_all(w, KEYSETS_AT_ONCE);                 /* others make room */
    w[KEYSETS_AT_ONCE] = want('a', at("tls", "/file/keys"), NULL, HOUR, 24 * HOUR);
    want_all(w, KEYSETS_AT_ONCE + 1);
    EVENTUALLY(GOOD_WITH("one"));
}

/* A dead issuer stands in nobody's way. */
static void apart(void **state) {
    (void)state;
    struct keyset_want w[2] = {want('b', at("tls", "/hang"), NULL, 100, HOUR),
                               want('a', at("tls", "/file/keys"), NULL, HOUR, 24 * HOUR)};
    want_all(w, 2);
    EVENTUALLY(GOOD_WITH("one"));
    assert_int_equal(told['b'].n, 0);
    EVENTUALLY(told['b'].state == KEYSET_FAILED);
    assert_int_equal(A.n, 1);
}

static void differences(void **state) {
    (void)state;
    struct keyset_want w[2] = {want('a', at("tls", "/file/keys"), NULL, HOUR, 24 * HOUR),
                               want('b', at("tls", "/hang"), NULL, HOUR, 24 * HOUR)};
    want_all(w, 2);
    EVENTUALLY(GOOD_WITH("one") && asked("/hang") == 1);
    want_all(w, 1);
    assert_null(keysets_get(sets, w[1].key));
    w[0].ca = out_done(&other_pem); /* fetched anew, and what was got meanwhile stays */
    want_all(w, 1);
    assert_int_equal(keysets_get(sets, w[0].key)->state, KEYSET_GOOD);
    EVENTUALLY(strstr(A.why, "not who it should be"));
    assert_true(GOOD_WITH("one"));
    w[0].ca = out_done(&ca_pem);
    w[0].n_allowed = 0;
    want_all(w, 1);
    EVENTUALLY(strstr(A.why, "a loopback address"));
    w[0].n_allowed = 1;
    w[0].max_stale_ms = SECOND;
    want_all(w, 1);
    EVENTUALLY(A.why[0] == 0);
    assert_int_equal(A.stale_after, A.fetched + 1);
    w[0] = want('a', at("tls", "/file/nothing-at-all"), NULL, HOUR, 24 * HOUR);
    want_all(w, 1); /* what the other address said is not believed of this one */
    assert_int_equal(keysets_get(sets, w[0].key)->state, KEYSET_PENDING);
    EVENTUALLY(A.state == KEYSET_FAILED);
    assert_string_equal(A.document, "");
    want_all(NULL, 0);
    assert_null(keysets_get(sets, w[0].key));
    assert_int_equal(told['b'].n, 0);
}

/* Not each refresh is a change for the fleet. */
static void quiet(void **state) {
    (void)state;
    struct keyset_want w = want('a', at("tls", "/file/keys"), NULL, 100, 16 * SECOND);
    want_all(&w, 1);
    EVENTUALLY(asked("/file/keys") >= 10);
    assert_in_range(A.n, 1, 2);
    uint64_t first = A.stale_after;
    EVENTUALLY(A.n >= 2 && A.stale_after >= first + 2); /* an eighth of maxStale later */
    assert_true(GOOD_WITH("one"));
}

static void count_fault(void *arg, struct str fault) {
    unsigned *n = arg;
    assert_true(str_starts(fault, STR("key set b#")));
    ++*n;
}

static void reports(void **state) {
    (void)state;
    unsigned faults = 0;
    char room[4000];
    struct metric_text t;
    struct out o = out_fixed(room, sizeof(room));
    struct keyset_want w[3] = {want('a', at("tls", "/file/keys"), NULL, HOUR, 24 * HOUR),
                               want('b', at("tls", "/status/500"), NULL, HOUR, 24 * HOUR),
                               want('c', at("tls", "/hang"), NULL, HOUR, 24 * HOUR)};
    want_all(w, 3);
    EVENTUALLY(GOOD_WITH("one") && told['b'].n == 1);
    keysets_faults(sets, count_fault, &faults);
    assert_int_equal(faults, 1);
    metric_begin(&t, &o, false);
    keysets_metrics(sets, &t);
    metric_end(&t);
    out_char(&o, 0);
    assert_non_null(strstr(room, "\nsluice_controller_keysets{state=\"good\"} 1\n"));
    assert_non_null(strstr(room, "\nsluice_controller_keysets{state=\"failed\"} 1\n"));
    assert_non_null(strstr(room, "\nsluice_controller_keyset_fetches_total{result=\"good\"} 1\n"));
    assert_non_null(strstr(room, "\nsluice_controller_keyset_age_seconds "));
}

#define ONE(f)  cmocka_unit_test_setup_teardown(f, fetch_setup, fetch_teardown)
#define SETS(f) cmocka_unit_test_setup_teardown(f, sets_setup, sets_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        ONE(fetches),
        ONE(statuses),
        ONE(too_much),
        ONE(too_slow),
        ONE(broken),
        ONE(certificates),
        ONE(redirects),
        ONE(addresses),
        ONE(endpoints),
        ONE(cancelled),
        SETS(becomes_good),
        SETS(last_good),
        SETS(rotation),
        SETS(unknown_kid_storm),
        SETS(unknown_kid_bounds),
        SETS(stale),
        SETS(never_good),
        SETS(discovers),
        SETS(backends),
        SETS(moved),
        SETS(many),
        SETS(apart),
        SETS(differences),
        SETS(quiet),
        SETS(reports),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
