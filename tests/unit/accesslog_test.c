/* SPDX-License-Identifier: Apache-2.0
 *
 * accesslog: what a line holds, and that a worker never waits for whoever reads.
 */
#include "lib/mem.h"
#include "proxy/http/h1.h"
#include "proxy/observe/line.h"
#include "proxy/observe/log.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct model_route model = {
    .namespace = {"shop", 4}, .name = {"shop", 4}, .rule = {"catalog", 7}};
static struct rule rule = {.model = &model};
static struct endpoint endpoint = {.family = 4, .port = 8080, .address = {10, 1, 0, 3}};

static uint64_t monotonic(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct record record(void) {
    return (struct record){
        .rule = &rule,
        .endpoint = &endpoint,
        .method = STR("GET"),
        .host = STR("shop.example.com"),
        .path = STR("/catalog"),
        .request_id = STR("0123"),
        .traceparent = STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        .client = {[10] = 0xff, 0xff, 10, 0, 0, 7},
        .status = 200,
        .attempts = 1,
        .protocol = "h2",
        .response_bytes = 512,
        .start_ns = monotonic(),
        .total_ns = 1234567,
        .gateway_ns = 31000,
        .upstream_ns = 61001000000,
    };
}

static cJSON *line_with(const struct record *r, const struct model_access_log *settings) {
    static char room[ACCESS_LOG_LINE];
    struct line_clock clock = {0};
    struct out o = out_fixed(room, sizeof(room));
    line_write(&o, &clock, r, settings);
    assert_false(o.over);
    assert_int_equal(o.p[o.n - 1], '\n');
    assert_null(memchr(o.p, '\n', o.n - 1));
    cJSON *json = cJSON_ParseWithLength(o.p, o.n);
    if (!json)
        fail_msg("no JSON: %.*s", (int)o.n, o.p);
    return json;
}

static cJSON *line_of(const struct record *r) { return line_with(r, NULL); }

static const char *text(const cJSON *j, const char *name) {
    const cJSON *f = cJSON_GetObjectItemCaseSensitive(j, name);
    if (!cJSON_IsString(f))
        fail_msg("no text %s", name);
    return f->valuestring;
}
static double number(const cJSON *j, const char *name) {
    const cJSON *f = cJSON_GetObjectItemCaseSensitive(j, name);
    if (!cJSON_IsNumber(f))
        fail_msg("no number %s", name);
    return f->valuedouble;
}

static void fields(void **state) {
    (void)state;
    static const char *const names[] = {
        "ts",     "id",     "route",         "consumer", "method",   "host",     "path",
        "status", "reason", "origin",        "duration", "gateway",  "upstream", "connect",
        "bytes",  "client", "upstream_addr", "attempts", "protocol", "tls",      "trace"};
    struct record r = record();
    cJSON *j = line_of(&r);
    const cJSON *f = j->child;
    for (size_t i = 0; i < ARRAY_LEN(names); i++, f = f->next)
        assert_string_equal(f->string, names[i]);
    assert_null(f);
    assert_string_equal(text(j, "id"), "0123");
    assert_string_equal(text(j, "route"), "shop/shop/catalog");
    assert_string_equal(text(j, "reason"), "");
    assert_true(number(j, "status") == 200);
    assert_true(number(j, "duration") == 0.001234);
    assert_true(number(j, "gateway") == 0.000031);
    assert_true(number(j, "upstream") == 61.001);
    assert_true(number(j, "connect") == 0);
    assert_true(number(j, "bytes") == 512);
    assert_string_equal(text(j, "client"), "10.0.0.7");
    assert_string_equal(text(j, "upstream_addr"), "10.1.0.3:8080");
    assert_string_equal(text(j, "trace"), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_string_equal(text(j, "protocol"), "h2");
    cJSON_Delete(j);
}

static void without_route_or_upstream(void **state) {
    (void)state;
    struct record r = record();
    r.rule = NULL;
    r.endpoint = NULL;
    r.status = 404;
    r.reason = REASON_NO_ROUTE;
    r.traceparent = STR("nonsense");
    memcpy(r.client, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    cJSON *j = line_of(&r);
    assert_string_equal(text(j, "route"), "");
    assert_string_equal(text(j, "reason"), "no_route");
    assert_string_equal(text(j, "origin"), "client");
    assert_string_equal(text(j, "upstream_addr"), "");
    assert_string_equal(text(j, "client"), "2001:db8::1");
    assert_string_equal(text(j, "trace"), "");
    cJSON_Delete(j);
}

static void the_time_is_utc_with_milliseconds(void **state) {
    (void)state;
    struct record r = record();
    cJSON *j = line_of(&r);
    struct tm tm = {0};
    char *rest = strptime(text(j, "ts"), "%Y-%m-%dT%H:%M:%S", &tm);
    assert_non_null(rest);
    assert_int_equal(strlen(rest), 5);
    assert_true(rest[0] == '.' && rest[4] == 'Z');
    double at = (double)timegm(&tm) + strtod(rest, NULL);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double is = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    assert_true(at <= is + 0.01 && at > is - 60);
    cJSON_Delete(j);
}

static void queries_are_never_logged(void **state) {
    (void)state;
    struct record r = record();
    r.path = STR("/login?password=hunter2#token");
    cJSON *j = line_of(&r);
    assert_string_equal(text(j, "path"), "/login");
    cJSON_Delete(j);
}

static void foreign_bytes_are_escaped_and_bounded(void **state) {
    (void)state;
    static char path[60000];
    memset(path, 1, sizeof(path)); /* six bytes each when escaped */
    path[0] = '/';
    struct record r = record();
    r.path = str_mk(path, sizeof(path));
    r.host = str_mk(path + 1, 4096);
    r.method = str_mk(path + 1, 4096);
    r.request_id = STR("a\"b\\c\nd\x80\xff{}");
    cJSON *j = line_of(&r);
    assert_string_equal(text(j, "id"), "a\"b\\c\nd\xef\xbf\xbd\xef\xbf\xbd{}");
    assert_int_equal(strlen(text(j, "path")), 2048);
    assert_int_equal(strlen(text(j, "host")), 255);
    cJSON_Delete(j);
}

/* Sixteen bytes are looked at together: every byte at every place of three such steps. */
static void every_byte_everywhere(void **state) {
    (void)state;
    char id[48];
    struct record r = record();
    for (unsigned place = 0; place < sizeof(id) - 1; place++)
        for (unsigned byte = 1; byte < 0x80; byte++) {
            memset(id, 'x', sizeof(id));
            id[place] = (char)byte;
            id[sizeof(id) - 1] = 0;
            r.request_id = str_of(id);
            cJSON *j = line_of(&r);
            assert_string_equal(text(j, "id"), id);
            cJSON_Delete(j);
        }
}

static void headers_that_were_asked_for(void **state) {
    (void)state;
    static const char bytes[] = "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: a\"b\r\nAuthorization: "
                                "Basic hunter2\r\nX-Other: c\r\n\r\n";
    static const struct head_limits limits = {.bytes = 4096, .fields = 100, .cookies = 100};
    static struct head head;
    struct h1_scan scan = {0};
    size_t skipped;
    enum reason reason;
    const char *detail;
    assert_int_equal(h1_parse_request(&scan, bytes, sizeof(bytes) - 1, &limits, &head, &skipped,
                                      &reason, &detail),
                     H1_DONE);
    struct str names[] = {STR("x-tenant"), STR("authorization"), STR("x-missing")};
    struct model_access_log settings = {.headers = names, .n_headers = ARRAY_LEN(names)};
    struct record r = record();
    r.head = &head;
    cJSON *j = line_with(&r, &settings);
    const cJSON *h = cJSON_GetObjectItemCaseSensitive(j, "headers");
    assert_int_equal(cJSON_GetArraySize(h), 2);
    assert_string_equal(text(h, "x-tenant"), "a\"b");
    assert_string_equal(text(h, "authorization"), "(redacted)");
    cJSON_Delete(j);
    r.head = NULL;
    j = line_with(&r, &settings);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(j, "headers")), 0);
    cJSON_Delete(j);
}

/* ---- the writer ---- */

static char dir[] = "/tmp/accesslog-XXXXXX";

static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}
static int drop_dir(void **state) {
    (void)state;
    return rmdir(dir);
}

static const char *path_in_dir(const char *name) {
    static char rooms[4][64];
    static unsigned next;
    char *room = rooms[next++ % 4];
    snprintf(room, sizeof(rooms[0]), "%s/%s", dir, name);
    return room;
}

static size_t lines_in(const char *path) {
    size_t n = 0;
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    for (int c; (c = fgetc(f)) != EOF;)
        n += c == '\n';
    fclose(f);
    return n;
}

static uint64_t metric_of(struct access_log *l, const char *name) {
    struct metric_text t;
    struct out o = out_heap(4096);
    metric_begin(&t, &o, false);
    const struct access_log *logs[] = {l, NULL};
    access_log_metrics(logs, 2, &t);
    out_char(&o, 0);
    char series[64];
    snprintf(series, sizeof(series), "\n%s ", name);
    const char *at = strstr(o.p, series);
    assert_non_null(at);
    uint64_t n = strtoull(at + strlen(series), NULL, 10);
    out_fini(&o);
    return n;
}

static void every_line_arrives(void **state) {
    (void)state;
    const char *path = path_in_dir("a.log");
    struct why why = {0};
    struct access_log *l = access_log_new(path, 2, &why);
    struct record r = record();
    struct stat st;
    assert_non_null(l);
    for (unsigned i = 0; i < 20000; i++) {
        access_log_request(access_log_worker(l, i % 2), &r, NULL);
        while (i % 2000 == 1999 && lines_in(path) < i - 1998) /* the rings never fill */
            usleep(1000);
    }
    assert_int_equal(metric_of(l, "sluice_log_dropped_total"), 0);
    access_log_free(l);
    assert_int_equal(lines_in(path), 20000);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0);
    unlink(path);
}

static void reopens(void **state) {
    (void)state;
    const char *path = path_in_dir("b.log"), *old = path_in_dir("b.log.1");
    struct why why = {0};
    struct access_log *l = access_log_new(path, 1, &why);
    struct record r = record();
    access_log_request(access_log_worker(l, 0), &r, NULL);
    while (lines_in(path) < 1)
        usleep(1000);
    assert_int_equal(rename(path, old), 0);
    access_log_reopen(l);
    while (access(path, F_OK) != 0)
        usleep(1000);
    access_log_request(access_log_worker(l, 0), &r, NULL);
    access_log_free(l);
    assert_int_equal(lines_in(old), 1);
    assert_int_equal(lines_in(path), 1);
    unlink(path);
    unlink(old);
}

/* A pipe that nobody reads: the worker goes on, lines are dropped and counted. */
static void a_reader_that_stopped_costs_lines_only(void **state) {
    (void)state;
    const char *path = path_in_dir("pipe");
    struct why why = {0};
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    struct access_log *l = access_log_new(path, 1, &why);
    struct record r = record();
    for (unsigned i = 0; i < 10000; i++) /* about 4 MiB */
        access_log_request(access_log_worker(l, 0), &r, NULL);
    uint64_t dropped = metric_of(l, "sluice_log_dropped_total");
    uint64_t lines = metric_of(l, "sluice_log_lines_total");
    assert_true(dropped > 5000);
    assert_int_equal(dropped + lines, 10000);
    close(reader); /* EPIPE: the writer goes on too */
    access_log_free(l);
    unlink(path);
}

static void off_and_bad_places(void **state) {
    (void)state;
    struct why why = {0};
    struct record r = record();
    struct access_log *l = access_log_new("off", 1, &why);
    access_log_request(access_log_worker(l, 0), &r, NULL);
    assert_int_equal(metric_of(l, "sluice_log_lines_total"), 0);
    access_log_free(l);
    assert_null(access_log_new("/nonexistent/x.log", 1, &why));
    assert_non_null(strstr(why.text, "/nonexistent/x.log"));
    why_clear(&why);
    assert_null(access_log_new("", 1, &why));
    assert_non_null(strstr(why.text, "stdout, off"));
}

static void samples(void **state) {
    (void)state;
    const char *path = path_in_dir("c.log");
    struct why why = {0};
    struct model_access_log settings = {.sample_per_mille = 100};
    struct access_log *l = access_log_new(path, 1, &why);
    struct record r = record();
    for (unsigned i = 0; i < 1000; i++)
        access_log_request(access_log_worker(l, 0), &r, &settings);
    assert_int_equal(metric_of(l, "sluice_log_lines_total"), 100);
    r.status = 503;
    r.reason = REASON_OVERLOADED;
    for (unsigned i = 0; i < 10; i++)
        access_log_request(access_log_worker(l, 0), &r, &settings);
    assert_int_equal(metric_of(l, "sluice_log_lines_total"), 110);
    r.status = 200;
    r.reason = REASON_CLIENT_CLOSED; /* answered, but not to the end */
    for (unsigned i = 0; i < 10; i++)
        access_log_request(access_log_worker(l, 0), &r, &settings);
    assert_int_equal(metric_of(l, "sluice_log_lines_total"), 120);
    settings.off = true;
    access_log_request(access_log_worker(l, 0), &r, &settings);
    assert_int_equal(metric_of(l, "sluice_log_lines_total"), 120);
    access_log_free(l);
    assert_int_equal(lines_in(path), 120);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(without_route_or_upstream),
        cmocka_unit_test(the_time_is_utc_with_milliseconds),
        cmocka_unit_test(queries_are_never_logged),
        cmocka_unit_test(foreign_bytes_are_escaped_and_bounded),
        cmocka_unit_test(every_byte_everywhere),
        cmocka_unit_test(headers_that_were_asked_for),
        cmocka_unit_test(every_line_arrives),
        cmocka_unit_test(reopens),
        cmocka_unit_test(a_reader_that_stopped_costs_lines_only),
        cmocka_unit_test(off_and_bad_places),
        cmocka_unit_test(samples),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("accesslog", tests, make_dir, drop_dir);
}
