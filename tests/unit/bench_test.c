/* SPDX-License-Identifier: Apache-2.0
 *
 * bench: the histogram, what is sent and in which order, the search for a knee, the fit of how it
 * grows, the picture; and a whole run against a little server.
 */
#include "ctl/bench_knee.h"
#include "ctl/bench_plot.h"
#include "ctl/bench_scale.h"
#include "lib/httpd.h"
#include "lib/mem.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <math.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- histogram ---- */

static void buckets_are_narrow(void **state) {
    (void)state;
    unsigned last = 0;
    for (uint64_t v = 0; v < 1ULL << BENCH_HISTOGRAM_TOP; v += 1 + v / 700) {
        unsigned b = bench_bucket(v);
        assert_in_range(b, last, BENCH_HISTOGRAM_BUCKETS - 1);
        assert_true(bench_bucket_top(b) >= v && bench_bucket_top(b) - v <= v / 1000);
        assert_int_equal(bench_bucket(bench_bucket_top(b)), b);
        if (b + 1 < BENCH_HISTOGRAM_BUCKETS)
            assert_int_equal(bench_bucket(bench_bucket_top(b) + 1), b + 1);
        last = b;
    }
    assert_int_equal(bench_bucket((1ULL << BENCH_HISTOGRAM_TOP) - 1), BENCH_HISTOGRAM_BUCKETS - 1);
}

static void percentiles(void **state) {
    (void)state;
    struct bench_histogram *h = mem_zalloc(sizeof(*h));
    assert_int_equal(bench_histogram_at(h, 0.99), 0);
    for (uint64_t i = 1; i <= 1000; i++)
        bench_histogram_add(h, i * 1000);
    assert_int_equal(h->n, 1000);
    assert_int_equal(h->max, 1000000);
    assert_true(fabs(bench_histogram_mean(h) - 500500) < 1);
    static const struct {
        double share;
        uint64_t ns;
    } table[] = {{0, 1000},      {0.001, 1000},   {0.5, 500000},
                 {0.99, 990000}, {0.999, 999000}, {1, 1000000}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        uint64_t at = bench_histogram_at(h, table[i].share);
        assert_in_range(at, table[i].ns, table[i].ns + table[i].ns / 1000);
    }
    bench_histogram_add(h, UINT64_MAX); /* as long as it can tell */
    assert_int_equal(h->max, (1ULL << BENCH_HISTOGRAM_TOP) - 1);
    bench_histogram_clear(h);
    assert_int_equal(bench_histogram_at(h, 1), 0);
    mem_free(h);
}

/* ---- what is sent ---- */

static const char *const headers[] = {"X-All: yes", "Accept: everything"};
static const struct bench_defaults defaults = {false, {"shop.test:81", 12}, headers, 2};

static void urls(void **state) {
    (void)state;
    static const struct {
        const char *text, *host, *target;
        unsigned port;
        bool secure;
    } table[] = {{"http://a", "a", "", 80, false},
                 {"https://a.b:8443/x?y=1#z", "a.b", "/x?y=1", 8443, true},
                 {"http://[::1]:90?q", "::1", "?q", 90, false},
                 {"http://[fd00::1]/", "fd00::1", "/", 80, false}};
    static const char *const wrong[] = {
        "",          "a.b/c",          "ftp://a/",    "http://",     "http:///x",
        "http://:1", "http://a:0",     "http://a:x",  "http://[::1", "http://[::1]x",
        "http://a:", "http://a:99999", "http://me@a/"};
    struct bench_url u;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        assert_true(bench_url(str_of(table[i].text), &u));
        assert_true(str_eq(u.host, str_of(table[i].host)) &&
                    str_eq(u.target, str_of(table[i].target)));
        assert_true(u.port == table[i].port && u.secure == table[i].secure);
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        if (bench_url(str_of(wrong[i]), &u))
            fail_msg("%s is taken for a URL", wrong[i]);
}

static void assert_sent(const struct bench_mix *m, size_t i, const char *h1) {
    if (!str_eq(m->kinds[i].h1, str_of(h1)))
        fail_msg("%.*s\nis not\n%s", STR_FMT(m->kinds[i].h1), h1);
}

static void a_file(void **state) {
    (void)state;
    static const char text[] =
        "# a mix\n3 GET /a?b=1\r\nAccept: text/html\n\n"
        "POST http://other.test/b\nConnection: close\n1 HEAD /c\nHost: third.test\n";
    struct bench_mix m;
    struct why why = {0};
    bench_mix_init(&m);
    assert_int_equal(bench_mix_file(&m, &defaults, str_of(text), &why), 0);
    assert_int_equal(m.n_kinds, 3);
    assert_sent(&m, 0,
                "GET /a?b=1 HTTP/1.1\r\nHost: shop.test:81\r\nAccept: text/html\r\nX-All: yes\r\n"
                "User-Agent: sluicectl-bench\r\n\r\n");
    assert_sent(&m, 1,
                "POST /b HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\nX-All: "
                "yes\r\nAccept: everything\r\n"
                "User-Agent: sluicectl-bench\r\nContent-Length: 0\r\n\r\n");
    assert_true(m.kinds[2].method == METHOD_HEAD);
    assert_non_null(strstr(m.kinds[2].h1.p, "Host: third.test\r\n"));
    assert_int_equal(m.kinds[1].n_nv, 8);            /* four, three headers of four, the length */
    static const uint32_t order[] = {0, 1, 0, 2, 0}; /* as far apart as can be */
    assert_int_equal(m.n_order, 5);
    assert_memory_equal(m.order, order, sizeof(order));
    bench_mix_fini(&m);
}

static void refused_files(void **state) {
    (void)state;
    static const struct {
        const char *text, *field, *words;
    } table[] = {
        {"", "", "there is no request"},
        {"\nGET", "line 2", "is no request"},
        {"0 GET /", "line 1", "the weight"},
        {"GET ftp://x/", "line 1", "is no URL"},
        {"GET https://x/", "line 1", "the load goes to http"},
        {"GET /a b", "line 1", "is no path"},
        {"CONNECT /", "line 1", "is no method"},
        {"GET /\nA: b\x01", "line 1", "is no header"},
        {"GET /\nContent-Length: 3", "line 1", "is written from the body"},
        {"GET /\n@/there/is/no/such/file", "line 1", "cannot be opened"},
        {"99999 GET /\n99998 GET /b", "", "use smaller weights"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct bench_mix m;
        struct why why = {0};
        bench_mix_init(&m);
        assert_int_equal(bench_mix_file(&m, &defaults, str_of(table[i].text), &why), -1);
        assert_string_equal(why.field, table[i].field);
        if (!strstr(why.text, table[i].words))
            fail_msg("'%s' is refused by: %s", table[i].text, why.text);
        bench_mix_fini(&m);
    }
}

static void a_log(void **state) {
    (void)state;
    static const char text[] =
        "{\"ts\":\"2026-11-26T08:00:01.500000Z\",\"method\":\"GET\",\"host\":\"a\",\"path\":\"/"
        "x\"}\n"
        "{\"ts\":\"2026-11-26T08:00:01.250000Z\",\"method\":\"HEAD\",\"host\":\"a\",\"path\":\"/"
        "x\"}\n"
        "{\"ts\":\"2026-11-26T08:00:02Z\",\"method\":\"POST\",\"host\":\"a\",\"path\":\"/x\"}\n"
        "{\"ts\":\"2026-11-26T08:00:02Z\",\"kind\":\"tunnel\"}\n\n"
        "{\"ts\":\"2026-11-26T08:00:03Z\",\"method\":\"GET\",\"host\":\"a\",\"path\":\"/x\"}";
    struct bench_mix m;
    struct why why = {0};
    bench_mix_init(&m);
    assert_int_equal(bench_mix_log(&m, &defaults, str_of(text), true, &why), 0);
    assert_int_equal(m.n_kinds, 2);
    assert_int_equal(m.left_out, 2);
    static const uint32_t order[] = {1, 0, 0};
    static const uint64_t at[] = {0, 250000000, 1750000000};
    assert_int_equal(m.n_order, 3);
    assert_memory_equal(m.order, order, sizeof(order));
    assert_memory_equal(m.at_ns, at, sizeof(at));
    bench_mix_fini(&m);
    static const char *const wrong[] = {
        "no JSON", "{\"method\":\"POST\",\"path\":\"/\"}",
        "{\"method\":\"GET\",\"host\":\"a\",\"path\":\"/\",\"ts\":\"now\"}",
        "{\"method\":\"GET\",\"host\":\"a b\",\"path\":\"/\",\"ts\":\"2026-11-26T08:00:02Z\"}"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        why = (struct why){0};
        bench_mix_init(&m);
        assert_int_equal(bench_mix_log(&m, &defaults, str_of(wrong[i]), true, &why), -1);
        assert_true(why_set(&why));
        bench_mix_fini(&m);
    }
}

/* ---- the knee ---- */

/* The search on a server that keeps up to `most` a second. */
static struct bench_knee search(double first, double most) {
    struct bench_knee k;
    for (bench_knee_init(&k, first); !k.done;)
        bench_knee_took(&k, k.rate <= most);
    return k;
}

static void knees(void **state) {
    (void)state;
    static const double limits[] = {3, 90, 100, 101, 1234, 65000};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct bench_knee k = search(100, limits[i]);
        assert_true(k.good <= limits[i] && k.good * 1.06 > limits[i]);
        assert_true(k.n < BENCH_KNEE_STEPS);
    }
    assert_true(search(100, 0.1).good == 0);
    assert_true(search(100, INFINITY).n == BENCH_KNEE_STEPS); /* it ends */
    struct bench_knee k;
    bench_knee_init(&k, 100);
    bench_knee_took(&k, false); /* one hiccup */
    assert_true(!k.done && k.rate == 100);
    bench_knee_took(&k, true);
    assert_true(k.good == 100 && k.bad == 0 && k.rate == 200);
}

static void verdicts(void **state) {
    (void)state;
    struct bench_result *r = bench_result_new();
    char room[200];
    *r = (struct bench_result){.rate_asked = 1000,
                               .window_ns = BENCH_SECOND,
                               .due = 1000,
                               .answered = 1000,
                               .sent = 1000,
                               .in_window = 1000,
                               .status = {[2] = 1000}};
    for (int i = 0; i < 1000; i++)
        bench_histogram_add(&r->latency, i < 989 ? 1000000 : 20000000);
    assert_int_equal(bench_judge(r, 25000000), BENCH_GOOD);
    assert_int_equal(bench_judge(r, 10000000), BENCH_SLOW);
    struct out o = out_fixed(room, sizeof(room) - 1);
    bench_verdict_print(&o, BENCH_SLOW, r, 10000000);
    assert_true(str_eq(out_done(&o), STR("p99 20.0 ms, above 10.0 ms")));
    r->late = 50;
    assert_int_equal(bench_judge(r, 10000000), BENCH_GENERATOR);
    assert_int_equal(bench_judge(r, 25000000), BENCH_GOOD); /* late, and yet in time */
    r->late = 0;
    r->sent = 960;
    assert_int_equal(bench_judge(r, 10000000), BENCH_BEHIND);
    r->errors[BENCH_RESET] = 1;
    r->limited = 1;
    assert_int_equal(bench_judge(r, 10000000), BENCH_FAILING);
    assert_int_equal(bench_failed(r), 2);
    bench_result_free(r);
}

/* ---- growth ---- */

static void fits(void **state) {
    (void)state;
    const struct bench_fit truth = {1000, 0.05, 0.002};
    struct bench_point p[5];
    static const unsigned n[] = {1, 2, 4, 8, 16};
    for (size_t i = 0; i < 5; i++)
        p[i] = (struct bench_point){n[i], bench_fit_at(&truth, n[i])};
    struct bench_fit f = bench_fit(p, 5);
    assert_true(fabs(f.lambda - 1000) < 1 && fabs(f.alpha - 0.05) < 1e-4 &&
                fabs(f.beta - 0.002) < 1e-5);
    assert_true(fabs(bench_fit_peak(&f) - sqrt(0.95 / 0.002)) < 0.1);
    assert_int_equal(bench_fit_needs(&f, bench_fit_at(&truth, 7) - 1), 7);
    assert_int_equal(bench_fit_needs(&f, 1e9), 0);
    f = bench_fit(p, 2); /* no beta of two */
    assert_true(f.beta == 0 && f.alpha > 0.04 && bench_fit_peak(&f) == 0);
    f = bench_fit(p, 1);
    assert_true(f.alpha == 0 && f.beta == 0 && fabs(bench_fit_at(&f, 10) - 10000) < 1e-6);
    const struct bench_point better[] = {
        {1, 100}, {2, 230}, {4, 500}}; /* more than linear: clamped */
    f = bench_fit(better, 3);
    assert_true(f.alpha == 0 && f.beta == 0 && f.lambda > 100 && f.lambda < 125);
}

static void pictures(void **state) {
    (void)state;
    struct plot p = {.title = "a < b & c",
                     .subtitle = "",
                     .x = {.label = "x"},
                     .y = {.label = "y", .log = true}};
    struct plot_line *l = plot_line(&p, "line");
    struct out o = out_heap(1 << 20);
    plot_add(l, 0, 0); /* nothing on a logarithmic axis */
    plot_add(l, 300, 0.0002);
    plot_add(l, 730, 0.5);
    plot_fit(&p, true);
    plot_print(&p, &o);
    out_char(&o, 0);
    assert_true(!o.over && strstr(o.p, "a &lt; b &amp; c") && strstr(o.p, ">100 us<") &&
                strstr(o.p, ">1 s<"));
    assert_true(strstr(o.p, ">800<") && !strstr(o.p, "nan") && !strstr(o.p, "inf"));
    out_fini(&o);
    plot_fini(&p);
}

/* ---- a whole run ---- */

static void answer(void *arg, const struct httpd_request *rq, struct httpd_answer *a) {
    (void)rq;
    a->status = arg ? 503 : 200;
    out_lit(&a->body, "hello");
}

static void *serve(void *base) {
    event_base_dispatch(base);
    return NULL;
}

static void a_run(void **state) {
    (void)state;
    static const struct httpd_route routes[] = {{"/", answer, NULL}, {"/bad", answer, (void *)1}};
    struct why why = {0};
    evthread_use_pthreads();
    struct event_base *base = event_base_new();
    struct httpd *h = httpd_new(base, "127.0.0.1:0", routes, 2, 0, &why);
    assert_non_null(h);
    struct bench_mix m;
    bench_mix_init(&m);
    assert_int_equal(bench_mix_file(&m, &defaults, STR("3 GET /\nGET /bad\n"), &why), 0);
    struct bench_plan plan = {.mix = &m,
                              .n_to = 1,
                              .rate = 500,
                              .connections = 4,
                              .streams = 1,
                              .duration_ns = BENCH_SECOND / 5,
                              .timeout_ns = BENCH_SECOND};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(httpd_port(h)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memcpy(&plan.to[0].a, &to, sizeof(to));
    plan.to[0].n = sizeof(to);
    pthread_t thread;
    pthread_create(&thread, NULL, serve, base);
    plan.to[1] = plan.to[2] = plan.to[0];
    ((struct sockaddr_in *)&plan.to[0].a)->sin_port = htons(1); /* two addresses take none */
    ((struct sockaddr_in *)&plan.to[1].a)->sin_port = htons(1);
    plan.n_to = 3;
    struct bench_result *r = bench_result_new();
    assert_int_equal(bench_run(&plan, NULL, r, &why), 0);
    assert_int_equal(bench_errors(r), 0);
    assert_int_equal(r->due, 100);
    assert_int_equal(r->answered + bench_errors(r) + r->unsent, 100);
    assert_in_range(r->status[5], 20, 26);
    assert_int_equal(r->latency.n, r->answered);
    bench_result_free(r);
    event_base_loopbreak(base);
    pthread_join(thread, NULL);
    httpd_free(h);
    event_base_free(base);
    r = bench_result_new();
    assert_int_equal(bench_run(&plan, NULL, r, &why), -1);
    assert_non_null(strstr(why.text, "refused"));
    bench_result_free(r);
    bench_mix_fini(&m);
}

/* ---- answers that are odd ---- */

struct odd {
    const char *says;
    bool closes;            /* after it; else the connection stays */
    enum bench_error error; /* BENCH_ERRORS: it is answered */
    unsigned status;        /* its class */
};

static const struct odd odd[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, BENCH_ERRORS, 2},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", false,
     BENCH_ERRORS, 2},
    {"HTTP/1.1 200 OK\r\n\r\nuntil the end", true, BENCH_ERRORS, 2},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 "
     "No\r\nContent-Length: 0\r\n\r\n",
     false, BENCH_ERRORS, 4},
    {"HTTP/1.0 302 Found\r\nContent-Length: 2\r\n\r\nhi", true, BENCH_ERRORS, 3},
    {"HTTP/1.1 204 No Content\r\n\r\n", false, BENCH_ERRORS, 2},
    {"HTTP/1.1 503 Busy\r\nSluice-Reason: no_endpoint\r\nContent-Length: 0\r\n\r\n", false,
     BENCH_ERRORS, 5},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nand more", false, BENCH_ERRORS, 2},
    {"", true, BENCH_CLOSED, 0},
    {"HTTP/1.1 200 OK\r\nContent-Le", true, BENCH_CLOSED, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", true, BENCH_CLOSED, 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", false, BENCH_PROTOCOL, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", false,
     BENCH_PROTOCOL, 0},
    {"SSH-2.0-OpenSSH_9.2p1\r\n", false, BENCH_PROTOCOL, 0},
    {"HTTP/1.1 200 OK\r\nX: ", false, BENCH_TIMEOUT, 0},
};

struct speaker {
    int listener;
    const struct odd *odd;
};

/* Byte by byte, to each connection that asks. */
static void *speak(void *arg) {
    struct speaker *s = arg;
    char room[4096];
    for (int fd; (fd = accept(s->listener, NULL, NULL)) >= 0; close(fd)) {
        if (recv(fd, room, sizeof(room), 0) <= 0)
            continue;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        for (const char *p = s->odd->says; *p; p++)
            send(fd, p, 1, MSG_NOSIGNAL);
        while (!s->odd->closes && recv(fd, room, sizeof(room), 0) > 0)
            ;
    }
    return NULL;
}

static void check_odd(const struct odd *o, struct bench_plan *plan, int listener) {
    struct speaker speaker = {listener, o};
    struct why why = {0};
    pthread_t thread;
    pthread_create(&thread, NULL, speak, &speaker);
    struct bench_result *r = bench_result_new();
    assert_int_equal(bench_run(plan, NULL, r, &why), 0);
    bool answered = o->error == BENCH_ERRORS;
    if (r->due != 1 || r->answered != answered || (answered && r->status[o->status] != 1) ||
        (!answered && r->errors[o->error] != 1))
        fail_msg("%s: %d answered, %d timeouts, %d closed, %d no HTTP", o->says, (int)r->answered,
                 (int)r->errors[BENCH_TIMEOUT], (int)r->errors[BENCH_CLOSED],
                 (int)r->errors[BENCH_PROTOCOL]);
    assert_int_equal(r->reasons[REASON_NO_ENDPOINT], strstr(o->says, "no_endpoint") != NULL);
    bench_result_free(r);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
}

static void odd_answers(void **state) {
    (void)state;
    struct why why = {0};
    struct bench_mix m;
    bench_mix_init(&m);
    assert_int_equal(bench_mix_one(&m, &defaults, STR("GET"), STR("/"), STR_NONE, &why), 0);
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct bench_plan plan = {.mix = &m,
                                  .n_to = 1,
                                  .rate = 50,
                                  .connections = 1,
                                  .streams = 1,
                                  .duration_ns = BENCH_SECOND / 50,
                                  .timeout_ns = BENCH_SECOND / 5};
        socklen_t n = sizeof(to);
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(listener, (struct sockaddr *)&to, n), 0);
        assert_int_equal(listen(listener, 8), 0);
        getsockname(listener, (struct sockaddr *)&to, &n);
        memcpy(&plan.to[0].a, &to, n);
        plan.to[0].n = n;
        check_odd(&odd[i], &plan, listener);
        close(listener);
    }
    bench_mix_fini(&m);
}

/* ---- words ---- */

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *words[6], *says;
        enum ctl_exit code;
    } table[] = {
        {{"shop.test"}, "'shop.test' is no URL", CTL_USAGE},
        {{"http://[::1"}, "is no URL", CTL_USAGE},
        {{"http://a/", "--rate", "0"}, "--rate is a number from 1 to", CTL_USAGE},
        {{"http://a/", "--arrivals", "odd"}, "--arrivals is even or poisson", CTL_USAGE},
        {{"http://a/", "--duration", "5"}, "--duration: \"5\" is not a duration", CTL_USAGE},
        {{"http://a/", "--duration", "0s"}, "--duration is 1ms at least", CTL_USAGE},
        {{"http://a/", "--streams", "4"}, "--streams needs --http2", CTL_USAGE},
        {{"http://a/", "--connections", "30000"},
         "--connections is a number from 1 to 20000",
         CTL_USAGE},
        {{"http://a/", "--replay-times"}, "--replay-times needs --replay", CTL_USAGE},
        {{"http://a/", "--body", "b", "--requests", "f"},
         "--body does not go together with --requests",
         CTL_USAGE},
        {{"http://a/", "--find-knee", "--rate", "max"}, "is where it begins", CTL_USAGE},
        {{"http://a/", "--scale", "1,2"},
         "--scale needs --scale-deployment or --scale-command",
         CTL_USAGE},
        {{"http://a/", "--scale", "1,two", "--scale-command", "x {n}"},
         "--scale is numbers as 1,2,4",
         CTL_USAGE},
        {{"http://a/", "--scale", "1", "--scale-command", "true"}, "has no {n}", CTL_USAGE},
        {{"http://a/", "--target", "5"}, "--target needs --scale", CTL_USAGE},
        {{"http://a/", "-H", "no header"}, "\"no header\" is no header", CTL_USAGE},
        {{"http://a/ b"}, "is no path", CTL_USAGE},
        {{"http://127.0.0.1/", "--connect-to", "a/b"}, "--connect-to is HOST:PORT", CTL_USAGE},
        {{"https://127.0.0.1/", "--cacert", "/dev/null"}, "holds no certificates", CTL_USAGE},
        {{"http://a/", "--requests", "/no/such/file"},
         "/no/such/file cannot be opened",
         CTL_UNREACHABLE},
        {{"http://127.0.0.1:1/", "--duration", "1s"},
         "no connection could be made: Connection refused",
         CTL_UNREACHABLE},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char *argv[10] = {(char *)(uintptr_t) "sluicectl", (char *)(uintptr_t) "bench"},
             *text = NULL;
        int argc = 2;
        size_t n = 0;
        for (size_t k = 0; k < 6 && table[i].words[k]; k++)
            argv[argc++] = (char *)(uintptr_t)table[i].words[k];
        FILE *f = open_memstream(&text, &n);
        int code = (int)ctl_main(argc, argv, f, f);
        fclose(f);
        if (code != (int)table[i].code || !strstr(text, table[i].says))
            fail_msg("%s %s: %d, %s", argv[2], argv[3] ? argv[3] : "", code, text);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_narrow),
        cmocka_unit_test(percentiles),
        cmocka_unit_test(urls),
        cmocka_unit_test(a_file),
        cmocka_unit_test(refused_files),
        cmocka_unit_test(a_log),
        cmocka_unit_test(knees),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(fits),
        cmocka_unit_test(pictures),
        cmocka_unit_test(a_run),
        cmocka_unit_test(odd_answers),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
