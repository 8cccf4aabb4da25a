/* SPDX-License-Identifier: Apache-2.0
 *
 * metric: buckets, the written form (read back by a strict parser), and what observe counts.
 */
#include "lib/hash.h"
#include "lib/map.h"
#include "proxy/observe/counts.h"
#include "tests/unit/pairs.h"
#include "tests/unit/route_world.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* ---- a strict reader of both formats ---- */

struct reader {
    struct map families, series;
    struct arena a;
    struct str family; /* the one that is being read */
    const char *type;
    bool openmetrics, ended;
    size_t n_samples;
};

static bool name_char(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
           (!first && c >= '0' && c <= '9');
}

static struct str take_name(struct str *s) {
    size_t n = 0;
    while (n < s->n && name_char(s->p[n], n == 0))
        n++;
    struct str name = str_mk(s->p, n);
    *s = str_skip(*s, n);
    return name;
}

static void take(struct str *s, char c, struct str line) {
    if (s->n == 0 || s->p[0] != c)
        fail_msg("expected '%c' in: %.*s", c, STR_FMT(line));
    *s = str_skip(*s, 1);
}

/* {a="b",...}: names valid and used once, quotes closed, known escapes. *le: that label's value. */
static void take_labels(struct str *s, struct str line, struct str *le) {
    struct str seen[16];
    size_t n = 0;
    take(s, '{', line);
    for (;;) {
        struct str name = take_name(s);
        assert_true(name.n > 0 && n < 16);
        for (size_t i = 0; i < n; i++)
            assert_false(str_eq(seen[i], name));
        seen[n++] = name;
        take(s, '=', line);
        take(s, '"', line);
        const char *start = s->p;
        while (s->n > 0 && s->p[0] != '"') {
            if (s->p[0] == '\\') {
                *s = str_skip(*s, 1);
                assert_true(s->n > 0 && (s->p[0] == 'n' || s->p[0] == '"' || s->p[0] == '\\'));
            }
            *s = str_skip(*s, 1);
        }
        if (str_eq(name, STR("le")))
            *le = str_mk(start, (size_t)(s->p - start));
        take(s, '"', line);
        if (s->n > 0 && s->p[0] == ',') {
            *s = str_skip(*s, 1);
            continue;
        }
        take(s, '}', line);
        return;
    }
}

static void read_type(struct reader *r, struct str rest, struct str line) {
    struct str name = take_name(&rest);
    take(&rest, ' ', line);
    if (!str_eq(name, r->family) || r->type)
        fail_msg("TYPE without its HELP: %.*s", STR_FMT(line));
    r->type = arena_str(&r->a, rest).p;
    static const char *const known[] = {"counter", "gauge", "histogram", "info"};
    for (size_t i = 0; i < (r->openmetrics ? 4u : 3u); i++)
        if (strcmp(known[i], r->type) == 0)
            return;
    fail_msg("unknown type: %.*s", STR_FMT(line));
}

static void read_help(struct reader *r, struct str rest, struct str line) {
    struct str name = take_name(&rest);
    take(&rest, ' ', line);
    assert_true(name.n > 0 && rest.n > 0);
    if (map_put(&r->families, name, r))
        fail_msg("family twice: %.*s", STR_FMT(line));
    r->family = name;
    r->type = NULL;
}

static bool is(const struct reader *r, const char *type) { return strcmp(r->type, type) == 0; }

/* What follows the family's name in a sample of that type. */
static void check_suffix(const struct reader *r, struct str tail, bool le, struct str line) {
    bool ok;
    if (is(r, "histogram"))
        ok = le ? str_eq(tail, STR("_bucket"))
                : str_eq(tail, STR("_sum")) || str_eq(tail, STR("_count"));
    else if (is(r, "counter"))
        ok = r->openmetrics ? str_eq(tail, STR("_total"))
                            : tail.n == 0 && str_ends(r->family, STR("_total"));
    else if (is(r, "info"))
        ok = str_eq(tail, STR("_info"));
    else
        ok = tail.n == 0 && !str_ends(r->family, STR("_total"));
    if (!ok)
        fail_msg("wrong suffix for a %s: %.*s", r->type, STR_FMT(line));
}

/* " # {trace_id="..."} value time" off the end of a bucket's value: OpenMetrics 1.0, 4.6.1. */
static struct str cut_exemplar(const struct reader *r, struct str rest, bool bucket,
                               struct str line) {
    size_t at = str_find(rest, '#', 0);
    unsigned long long a, b;
    double value, when;
    int n = 0;
    if (at == rest.n)
        return rest;
    const char *text = arena_str((struct arena *)(uintptr_t)&r->a, str_skip(rest, at)).p;
    if (!r->openmetrics || !bucket || at == 0 ||
        sscanf(text, "# {trace_id=\"%16llx%16llx\"} %lf %lf%n", &a, &b, &value, &when, &n) != 4 ||
        text[n])
        fail_msg("wrong exemplar: %.*s", STR_FMT(line));
    return str_mk(rest.p, at - 1);
}

static void read_sample(struct reader *r, struct str line) {
    struct str rest = line, le = STR_NONE;
    struct str name = take_name(&rest);
    assert_true(r->type != NULL && str_starts(name, r->family));
    if (rest.n > 0 && rest.p[0] == '{')
        take_labels(&rest, line, &le);
    check_suffix(r, str_skip(name, r->family.n), le.p != NULL, line);
    if (map_put(&r->series, str_mk(line.p, line.n - rest.n), r))
        fail_msg("series twice: %.*s", STR_FMT(line));
    take(&rest, ' ', line);
    rest = cut_exemplar(r, rest, le.p != NULL, line);
    char *end, *value = arena_str(&r->a, rest).n ? (char *)(uintptr_t)arena_str(&r->a, rest).p : "";
    double v = strtod(value, &end);
    if (rest.n == 0 || *end || !(v >= 0) || (is(r, "info") && v != 1))
        fail_msg("wrong value: %.*s", STR_FMT(line));
    r->n_samples++;
}

static size_t read_all(struct str text, bool openmetrics) {
    struct reader r = {.openmetrics = openmetrics};
    struct str line;
    arena_init(&r.a);
    assert_true(str_ends(text, STR("\n")));
    text.n--;
    while (text.p) {
        assert_false(r.ended);
        text = str_cut(text, '\n', &line);
        if (str_starts(line, STR("# HELP ")))
            read_help(&r, str_skip(line, 7), line);
        else if (str_starts(line, STR("# TYPE ")))
            read_type(&r, str_skip(line, 7), line);
        else if (openmetrics && str_eq(line, STR("# EOF")))
            r.ended = true;
        else
            read_sample(&r, line);
    }
    assert_int_equal(r.ended, openmetrics);
    map_fini(&r.families);
    map_fini(&r.series);
    arena_fini(&r.a);
    return r.n_samples;
}

/* ---- lib/metric ---- */

static void buckets(void **state) {
    (void)state;
    const struct histogram_scale *scales[] = {&histogram_requests, &histogram_gateway};
    for (size_t k = 0; k < 2; k++) {
        const uint64_t *b = scales[k]->bound_ns;
        for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
            assert_true(i == 0 || b[i] > b[i - 1]);
            assert_int_equal(histogram_bucket(scales[k], b[i]), i);
            assert_int_equal(histogram_bucket(scales[k], b[i] + 1), i + 1);
        }
        assert_int_equal(histogram_bucket(scales[k], 0), 0);
        assert_int_equal(histogram_bucket(scales[k], UINT64_MAX), HISTOGRAM_BOUNDS);
    }
    assert_int_equal(histogram_requests.bound_ns[0], 500000);
    assert_int_equal(histogram_requests.bound_ns[HISTOGRAM_BOUNDS - 1], 60000000000);
}

static void write_some(struct out *o, bool openmetrics) {
    struct metric_text t;
    struct histogram h = {0};
    char room[256];
    struct out labels = out_fixed(room, sizeof(room));
    metric_label(&labels, "route", STR("a\"b\\c\nd"));
    metric_label(&labels, "rule", STR(""));
    histogram_add(&h, &histogram_requests, 1000000);
    histogram_add(&h, &histogram_requests, 1500000);
    histogram_add(&h, &histogram_requests, 90000000001);
    metric_begin(&t, o, openmetrics);
    metric_family(&t, METRIC_COUNTER, "sluice_requests", "Requests.");
    metric_count(&t, out_done(&labels), 18446744073709551615u);
    metric_family(&t, METRIC_GAUGE, "sluice_age_seconds", "Age.");
    metric_seconds(&t, STR_NONE, 1500000000);
    metric_family(&t, METRIC_INFO, "sluice_build", "Build.");
    metric_count(&t, out_done(&labels), 1);
    metric_family(&t, METRIC_HISTOGRAM, "sluice_time_seconds", "Time.");
    metric_histogram(&t, out_done(&labels), &histogram_requests, &h);
    metric_histogram(&t, STR_NONE, &histogram_requests, &h);
    metric_end(&t);
    read_all(out_done(o), openmetrics);
    out_char(o, 0);
}

static void assert_has(const struct out *o, const char *text) {
    if (!strstr(o->p, text))
        fail_msg("not there: %s\nin:\n%s", text, o->p);
}
static void assert_lacks(const struct out *o, const char *text) {
    if (strstr(o->p, text))
        fail_msg("there: %s\nin:\n%s", text, o->p);
}

static void text_format(void **state) {
    (void)state;
    struct out o = out_heap(1 << 20);
    write_some(&o, false);
    assert_has(&o,
               "# TYPE sluice_requests_total counter\nsluice_requests_total{route=\"a\\\"b\\\\c\\n"
               "d\",rule=\"\"} 18446744073709551615\n");
    assert_has(&o, "sluice_age_seconds 1.5\n");
    assert_has(&o, "# TYPE sluice_build_info gauge\nsluice_build_info{");
    assert_has(&o, "rule=\"\",le=\"0.0005\"} 0\n");
    assert_has(&o, "rule=\"\",le=\"0.0025\"} 2\n");
    assert_has(&o, "rule=\"\",le=\"60\"} 2\n");
    assert_has(&o, "rule=\"\",le=\"+Inf\"} 3\n");
    assert_has(&o, "sluice_time_seconds_bucket{le=\"+Inf\"} 3\n");
    assert_has(&o, "sluice_time_seconds_sum 90.002500001\n");
    assert_has(&o, "sluice_time_seconds_count 3\n");
    out_fini(&o);
}

static void openmetrics_format(void **state) {
    (void)state;
    struct out o = out_heap(1 << 20);
    write_some(&o, true);
    assert_has(&o, "# TYPE sluice_requests counter\nsluice_requests_total{");
    assert_has(&o, "# TYPE sluice_build info\nsluice_build_info{");
    assert_has(&o, "le=\"60.0\"} 2\n"); /* canonical numbers: OpenMetrics 1.0, 5.3.3.2 */
    assert_has(&o, "le=\"2.5\"} 2\n");
    assert_has(&o, "\n# EOF\n");
    out_fini(&o);
    assert_true(metric_wants_openmetrics(
        STR("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4")));
    assert_true(
        metric_wants_openmetrics(/* Prometheus 2.42 */
                                 STR("application/openmetrics-text;version=1.0.0,application/"
                                     "openmetrics-text;version=0.0.1;"
                                     "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")));
    assert_true(metric_wants_openmetrics(STR("text/plain; q=0.3 , Application/OpenMetrics-Text")));
    assert_false(metric_wants_openmetrics(STR("application/openmetrics-text;q=0")));
    assert_false(metric_wants_openmetrics(STR("application/openmetrics-text;q=0.1,text/plain")));
    assert_false(metric_wants_openmetrics(STR("application/openmetrics-text;version=2.0.0")));
    assert_false(metric_wants_openmetrics(STR("application/openmetrics-text;q=x")));
    assert_false(metric_wants_openmetrics(STR("application/openmetrics-textual")));
    assert_false(metric_wants_openmetrics(STR("*/*")));
    assert_false(metric_wants_openmetrics(STR("text/plain")));
    assert_false(metric_wants_openmetrics(STR_NONE));
}

/* ---- proxy/observe ---- */

struct scene {
    struct world w;
    struct observe *o;
    struct out text;
};

static void scene_init(struct scene *s, unsigned workers) {
    world_init(&s->w);
    s->o = observe_new(workers);
    s->text = out_heap(256 << 20);
}
static void scene_fini(struct scene *s) {
    observe_free(s->o);
    out_fini(&s->text);
    world_fini(&s->w);
}
static void scene_commit(struct scene *s) {
    world_commit(&s->w);
    observe_snapshot(s->o, s->w.s);
}
static const struct out *scrape(struct scene *s) {
    s->text.n = 0;
    observe_scrape(s->o, &s->text, true);
    read_all(out_done(&s->text), true);
    s->text.n = 0;
    observe_scrape(s->o, &s->text, false);
    read_all(out_done(&s->text), false);
    out_char(&s->text, 0);
    return &s->text;
}

static struct match_result routed(struct scene *s, const char *host) {
    static struct ask q;
    struct match_result r;
    ask_init(&q, "GET", NULL);
    assert_true(ask_route(&s->w, &q, host, "/", &r));
    return r;
}
static struct record record_of(struct scene *s, const char *host) {
    const struct rule *rule = routed(s, host).rule;
    struct record r = {.rule = rule,
                       .status = 200,
                       .upstream_status = 200,
                       .attempts = 1,
                       .reused = true,
                       .request_bytes = 100,
                       .response_bytes = 1000,
                       .total_ns = 3000000,
                       .upstream_ns = 2900000,
                       .gateway_ns = 60000};
    if (rule->n_shares > 0 && rule->shares[0].backend != UINT32_MAX)
        r.backend = snapshot_backend(s->w.s, rule->shares[0].backend);
    return r;
}

static void put_site(struct scene *s, const char *name) {
    char host[64];
    snprintf(host, sizeof(host), "%s.example", name);
    struct model_route r = {.rule = STR("r"), .team = STR("storefront")};
    put_host(&s->w, host);
    put_route_as(&s->w, r, name, host, PREFIX(""), "up");
}

static void counts_requests(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 2);
    put_backend(&s.w, "up", "10.0.0.1:80", NULL);
    put_site(&s, "shop");
    scene_commit(&s);
    struct record r = record_of(&s, "shop.example");
    observe_request(observe_worker(s.o, 0), &r);
    observe_request(observe_worker(s.o, 1), &r);
    r.status = 502, r.upstream_status = 0, r.reason = REASON_CONNECT_REFUSED;
    r.reused = false, r.attempts = 2;
    observe_request(observe_worker(s.o, 1), &r);
    r = (struct record){.status = 404, .reason = REASON_NO_ROUTE};
    observe_request(observe_worker(s.o, 0), &r);
    r = (struct record){.reason = REASON_CLIENT_CLOSED}; /* nothing was sent */
    observe_request(observe_worker(s.o, 0), &r);
    const struct out *o = scrape(&s);
#define SHOP "namespace=\"ns\",route=\"shop\",rule=\"r\""
#define NONE "namespace=\"\",route=\"none\",rule=\"\""
    assert_has(o, "sluice_requests_total{" SHOP ",code=\"200\"} 2\n");
    assert_has(o, "sluice_requests_total{" SHOP ",code=\"502\"} 1\n");
    assert_has(o, "sluice_requests_total{" NONE ",code=\"404\"} 1\n");
    assert_has(o, "sluice_requests_total{" NONE ",code=\"499\"} 1\n");
    assert_has(o, "sluice_request_errors_total{" SHOP
                  ",origin=\"upstream\",reason=\"connect_refused\"} 1\n");
    assert_has(o,
               "sluice_request_errors_total{" NONE ",origin=\"client\",reason=\"no_route\"} 1\n");
    assert_has(o, "sluice_request_duration_seconds_bucket{" SHOP ",le=\"0.0025\"} 0\n");
    assert_has(o, "sluice_request_duration_seconds_bucket{" SHOP ",le=\"0.005\"} 3\n");
    assert_has(o, "sluice_gateway_duration_seconds_bucket{" SHOP ",le=\"0.0001\"} 3\n");
    assert_has(o, "sluice_gateway_duration_seconds_sum{" SHOP "} 0.00018\n");
    assert_has(o, "sluice_upstream_duration_seconds_count{" SHOP "} 3\n");
    assert_has(o, "sluice_request_bytes_total{" SHOP "} 300\n");
    assert_has(o, "sluice_response_bytes_total{" SHOP "} 3000\n");
    assert_has(o, "sluice_request_retries_total{" SHOP "} 1\n");
    assert_has(o, "sluice_route_info{" SHOP ",team=\"storefront\"} 1\n");
    assert_has(o, "sluice_upstream_responses_total{backend=\"ns/up:80\",code=\"200\"} 2\n");
    assert_has(o, "sluice_upstream_response_seconds_count{backend=\"ns/up:80\"} 2\n");
    assert_has(o, "sluice_upstream_requests_total{backend=\"ns/up:80\",reused=\"true\"} 2\n");
    assert_has(o, "sluice_upstream_requests_total{backend=\"ns/up:80\",reused=\"false\"} 1\n");
    assert_has(o, "sluice_upstream_connects_total{backend=\"ns/up:80\"} 2\n");
    assert_int_equal(observe_reason_count(s.o, REASON_CONNECT_REFUSED), 1);
    assert_int_equal(observe_reason_count(s.o, REASON_OVERLOADED), 0);
    scene_fini(&s);
}

static void codes_above_sixteen_count_by_class(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    put_backend(&s.w, "up", "10.0.0.1:80", NULL);
    put_site(&s, "shop");
    scene_commit(&s);
    struct record r = record_of(&s, "shop.example");
    for (unsigned i = 0; i < 20; i++) {
        r.status = (uint16_t)(400 + i);
        observe_request(observe_worker(s.o, 0), &r);
    }
    r.status = 999;
    observe_request(observe_worker(s.o, 0), &r);
    const struct out *o = scrape(&s);
    assert_has(o, "sluice_requests_total{" SHOP ",code=\"415\"} 1\n");
    assert_lacks(o, "code=\"416\"");
    assert_has(o, "sluice_requests_total{" SHOP ",code=\"4xx\"} 4\n");
    assert_has(o, "sluice_requests_total{" SHOP ",code=\"other\"} 1\n");
    scene_fini(&s);
}

static void slots_are_not_inherited(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    put_backend(&s.w, "up", "10.0.0.1:80", NULL);
    put_site(&s, "old");
    scene_commit(&s);
    struct record r = record_of(&s, "old.example");
    uint32_t slot = r.rule->slot;
    observe_request(observe_worker(s.o, 0), &r);
    assert_has(scrape(&s), "route=\"old\",rule=\"r\",code=\"200\"} 1\n");
    builder_del(s.w.b, route_id(&s.w, "old"));
    scene_commit(&s);
    assert_lacks(scrape(&s), "route=\"old\"");
    /* until another rule has the slot */
    char name[16];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "new-%u", i);
        put_site(&s, name);
        scene_commit(&s);
        char host[32];
        snprintf(host, sizeof(host), "%s.example", name);
        r = record_of(&s, host);
        if (r.rule->slot == slot)
            break;
    }
    assert_int_equal(r.rule->slot, slot);
    assert_lacks(scrape(&s), "sluice_requests_total{namespace=\"ns\",route=\"new-");
    observe_request(observe_worker(s.o, 0), &r);
    observe_request(observe_worker(s.o, 0), &r);
    char line[128];
    snprintf(line, sizeof(line), "route=\"%s\",rule=\"r\",code=\"200\"} 2\n", name);
    assert_has(scrape(&s), line);
    scene_fini(&s);
}

static void put_gateway(struct scene *s, uint64_t routes) {
    struct model_gateway g = {.metrics_routes = routes};
    world_put(&s->w, MODEL_KIND_gateway, STR("gateway/-/c"), &g);
}

static void budget(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    put_backend(&s.w, "up", "10.0.0.1:80", NULL);
    put_gateway(&s, 2);
    put_site(&s, "a");
    put_site(&s, "b");
    put_site(&s, "c");
    scene_commit(&s);
    const char *const hosts[] = {"a.example", "b.example", "c.example"};
    for (size_t i = 0; i < 3; i++) {
        struct record r = record_of(&s, hosts[i]);
        observe_request(observe_worker(s.o, 0), &r);
    }
    const struct out *o = scrape(&s);
    assert_has(o,
               "sluice_requests_total{namespace=\"\",route=\"other\",rule=\"\",code=\"200\"} 1\n");
    size_t named = 0;
    for (const char *at = o->p; (at = strstr(at, "sluice_requests_total{namespace=\"ns\"")); at++)
        named++;
    assert_int_equal(named, 2);
    scene_fini(&s);
}

/* Of the sampled ones the newest of all workers in each bucket, in OpenMetrics alone; a rule that
 * gets the slot has none of them. */
static void exemplars_of_sampled_requests(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 2);
    put_backend(&s.w, "up", "10.0.0.1:80", NULL);
    put_site(&s, "shop");
    scene_commit(&s);
    struct record r = record_of(&s, "shop.example");
    uint64_t calls = mem_calls();
    r.start_ns = clock_ns(CLOCK_MONOTONIC) - 10000000;
    observe_request(observe_worker(s.o, 0), &r);
    calls = mem_calls();
    observe_request(observe_worker(s.o, 0), &r);
    assert_int_equal(mem_calls(), calls);
    r.sampled = STR("4bf92f3577b34da6a3ce929d0e0e4736");
    observe_request(observe_worker(s.o, 1), &r);
    r.sampled = STR("0af7651916cd43dd8448eb211c80319c");
    r.start_ns += 1000;
    observe_request(observe_worker(s.o, 0), &r);
    assert_lacks(scrape(&s), "trace_id");
    s.text.n = 0;
    observe_scrape(s.o, &s.text, true);
    out_char(&s.text, 0);
    assert_has(&s.text, "sluice_request_duration_seconds_bucket{" SHOP ",le=\"0.005\"} 4 # "
                        "{trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.003 ");
    assert_has(&s.text, "sluice_gateway_duration_seconds_bucket{" SHOP ",le=\"0.0001\"} 4 # ");
    assert_has(&s.text, "sluice_upstream_duration_seconds_bucket{" SHOP ",le=\"0.005\"} 4 # ");
    assert_has(&s.text, "le=\"0.0025\"} 0\n");
    assert_lacks(&s.text, "4bf92f3577b34da6a3ce929d0e0e4736");
    scene_fini(&s);
}

static void put_certificate(struct scene *s, const char *id, uint64_t not_after) {
    struct model_certificate m = pair_new(&s->w.a, PAIR_EC, "shop.example");
    m.not_after = not_after;
    world_put(&s->w, MODEL_KIND_certificate, str_of(id), &m);
}

/* Of those above the budget the first that ends. */
static void certificates_have_a_budget(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    put_gateway(&s, 1);
    put_certificate(&s, "certificate/ns/a", 100);
    scene_commit(&s);
    put_certificate(&s, "certificate/ns/b", 50);
    put_certificate(&s, "certificate/ns/c", 60);
    scene_commit(&s);
    const struct out *o = scrape(&s);
    assert_has(o, "sluice_certificate_expiry_timestamp_seconds{secret=\"ns/a\"} 100\n");
    assert_has(o, "sluice_certificate_expiry_timestamp_seconds{secret=\"other\"} 50\n");
    assert_lacks(o, "secret=\"ns/b\"");
    scene_fini(&s);
}

static void no_memory_counts_as_other(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    put_backend(&s.w, "up", "10.0.0.1:80", NULL);
    put_site(&s, "shop");
    scene_commit(&s);
    struct record r = record_of(&s, "shop.example");
    mem_fail_at(1);
    observe_request(observe_worker(s.o, 0), &r);
    const struct out *o = scrape(&s);
    assert_has(o, "route=\"other\",rule=\"\",code=\"200\"} 1\n");
    observe_request(observe_worker(s.o, 0), &r); /* there is memory again */
    assert_has(scrape(&s), "sluice_requests_total{" SHOP ",code=\"200\"} 1\n");
    uint64_t calls = mem_calls();
    for (unsigned i = 0; i < 1000; i++)
        observe_request(observe_worker(s.o, 0), &r);
    assert_int_equal(mem_calls(), calls);
    scene_fini(&s);
}

static void *burn(void *arg) {
    struct scene *s = arg;
    struct observe_worker *w = observe_worker(s->o, 0);
    struct record busy = record_of(s, "busy.example"), quiet = record_of(s, "quiet.example");
    observe_worker_start(w);
    for (unsigned i = 0; i < 3000; i++)
        observe_request(w, &busy);
    for (unsigned i = 0; i < 1000; i++)
        observe_request(w, &quiet);
    uint64_t until = clock_ns(CLOCK_THREAD_CPUTIME_ID) + 40000000;
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < until) {
    }
    observe_tick(s->o); /* main's in life; here the thread's clock must still be there */
    return NULL;
}

static double value_of(const struct out *o, const char *series) {
    const char *at = strstr(o->p, series);
    assert_non_null(at);
    return strtod(at + strlen(series), NULL);
}

static void cpu_is_divided_by_work(void **state) {
    (void)state;
    struct scene s;
    pthread_t t;
    scene_init(&s, 1);
    put_backend(&s.w, "up", "10.0.0.1:80", NULL);
    put_site(&s, "busy");
    put_site(&s, "quiet");
    scene_commit(&s);
    assert_int_equal(pthread_create(&t, NULL, burn, &s), 0);
    pthread_join(t, NULL);
    const struct out *o = scrape(&s);
    double busy =
        value_of(o, "sluice_cpu_seconds_total{namespace=\"ns\",route=\"busy\",rule=\"r\"} ");
    double quiet =
        value_of(o, "sluice_cpu_seconds_total{namespace=\"ns\",route=\"quiet\",rule=\"r\"} ");
    assert_true(busy + quiet >= 0.04 && busy + quiet < 5);
    assert_true(busy / quiet > 2.99 && busy / quiet < 3.01);
    scene_fini(&s);
}

static void configuration_and_gauges(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 2);
    observe_config_objects(s.o, MODEL_KIND_route, 7);
    observe_config_applied(s.o, 0xabc, 1500000);
    observe_config_rejected(s.o, 2);
    observe_gauge(observe_worker(s.o, 0), OBSERVE_CLIENT_CONNECTIONS, 3);
    observe_gauge(observe_worker(s.o, 1), OBSERVE_CLIENT_CONNECTIONS, 4);
    observe_lag(observe_worker(s.o, 1), 2000000);
    observe_lag(observe_worker(s.o, 1), 1000000);
    const struct out *o = scrape(&s);
    assert_has(o, "sluice_config_revision_info{revision=\"0000000000000abc\"} 1\n");
    assert_has(o, "sluice_config_objects{kind=\"route\"} 7\n");
    assert_has(o, "sluice_config_apply_seconds 0.0015\n");
    assert_has(o, "sluice_config_rejected_total 2\n");
    assert_lacks(o, "\nsluice_config_age_seconds ");
    assert_has(o, "sluice_connections{kind=\"client\"} 7\n");
    assert_has(o, "sluice_loop_lag_seconds{worker=\"1\"} 0.002\n");
    observe_config_current(s.o);
    assert_has(scrape(&s), "\nsluice_config_age_seconds 0.0");
    for (unsigned i = 0; i < 15; i++) {
        observe_tick(s.o);
        assert_has(scrape(&s), "sluice_loop_lag_seconds{worker=\"1\"} 0.002\n");
    }
    observe_tick(s.o);
    observe_tick(s.o);
    assert_has(scrape(&s), "sluice_loop_lag_seconds{worker=\"1\"} 0\n");
    scene_fini(&s);
}

/* Workers count while main scrapes: nothing is lost, and the thread sanitizer has nothing to say.
 */
struct crowd {
    struct scene *s;
    struct record r;
    unsigned worker;
};
static void *count_many(void *arg) {
    struct crowd *c = arg;
    for (unsigned i = 0; i < 100000; i++)
        observe_request(observe_worker(c->s->o, c->worker), &c->r);
    return NULL;
}
static void load_is_of_the_last_seconds(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 2);
    put_backend(&s.w, "up", "10.0.0.1:80", NULL);
    put_site(&s, "shop");
    scene_commit(&s);
    struct record r = record_of(&s, "shop.example");
    assert_int_equal(observe_load(s.o).requests_milli, 0);
    observe_tick(s.o);
    assert_int_equal(observe_load(s.o).requests_milli, 0); /* no time has passed */
    for (unsigned i = 0; i < 100; i++) {
        r.gateway_ns = i < 98 ? 60000 : 3000000; /* 2 of 100 take 3 ms */
        observe_request(observe_worker(s.o, i % 2), &r);
    }
    observe_tick(s.o);
    assert_int_equal(observe_load(s.o).requests_milli, 100000);
    assert_int_equal(observe_load(s.o).gateway_p99_us, 5000);
    r.gateway_ns = 60000;
    for (unsigned i = 0; i < 200; i++)
        observe_request(observe_worker(s.o, 0), &r);
    observe_tick(s.o);
    assert_int_equal(observe_load(s.o).requests_milli, 150000);
    assert_int_equal(observe_load(s.o).gateway_p99_us, 100); /* 2 of 300 are above */
    for (unsigned i = 0; i < 13; i++)
        observe_tick(s.o);
    assert_int_equal(observe_load(s.o).requests_milli, 20000); /* 300 in 15 s */
    observe_tick(s.o); /* the first hundred are out of sight */
    assert_int_equal(observe_load(s.o).requests_milli, 13333);
    observe_tick(s.o);
    assert_int_equal(observe_load(s.o).requests_milli, 0);
    assert_int_equal(observe_load(s.o).gateway_p99_us, 0);
    scene_fini(&s);
}

static void scrape_beside_workers(void **state) {
    (void)state;
    struct scene s;
    struct crowd c[2];
    pthread_t t[2];
    scene_init(&s, 2);
    put_backend(&s.w, "up", "10.0.0.1:80", NULL);
    put_site(&s, "shop");
    scene_commit(&s);
    for (unsigned i = 0; i < 2; i++) {
        c[i] = (struct crowd){&s, record_of(&s, "shop.example"), i};
        c[i].r.sampled = STR("0af7651916cd43dd8448eb211c80319c");
        assert_int_equal(pthread_create(&t[i], NULL, count_many, &c[i]), 0);
    }
    for (unsigned i = 0; i < 20; i++)
        scrape(&s);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_has(scrape(&s), "sluice_requests_total{" SHOP ",code=\"200\"} 200000\n");
    scene_fini(&s);
}

/* ---- what a scrape costs ---- */

enum { MANY = 100000, NAMED = 1000, WORKERS = 4, SCRAPE_NS = 50000000 };

/* Sites, each with a backend of its own. */
static void put_many(struct scene *s) {
    char name[32], host[64];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "route-%u", i);
        snprintf(host, sizeof(host), "%s.example", name);
        struct model_route r = {.rule = STR("r"), .team = STR("storefront")};
        put_backend(&s->w, name, "10.0.0.1:80", NULL);
        put_host(&s->w, host);
        put_route_as(&s->w, r, name, host, PREFIX(""), name);
    }
}

static void ask_many(struct scene *s) {
    char host[64];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(host, sizeof(host), "route-%u.example", i);
        struct record r = record_of(s, host);
        for (unsigned w = 0; w < WORKERS; w++)
            observe_request(observe_worker(s->o, w), &r);
    }
}

/* The best of three: others use this machine too. */
static void scrape_is_cheap(struct scene *s, const char *what) {
    uint64_t best = UINT64_MAX;
    for (unsigned i = 0; i < 3; i++) {
        s->text.n = 0;
        uint64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        observe_scrape(s->o, &s->text, false);
        uint64_t took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
        best = took < best ? took : best;
    }
    print_message("scrape of %s: %.1f ms, %zu bytes\n", what, (double)best / 1e6, s->text.n);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(best <= SCRAPE_NS);
#endif
    assert_true(read_all(out_done(&s->text), false) > 50 * NAMED);
}

static void hundred_thousand_routes(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, WORKERS);
    put_many(&s);
    scene_commit(&s);
    ask_many(&s);
    scrape_is_cheap(&s, "100,000 busy routes, 1,000 of them by name");
    put_gateway(&s, MANY);
    scene_commit(&s); /* the others have been counted together so far */
    scrape_is_cheap(&s, "100,000 routes by name, 1,000 of them busy");
    scene_fini(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets),
        cmocka_unit_test(text_format),
        cmocka_unit_test(openmetrics_format),
        cmocka_unit_test(counts_requests),
        cmocka_unit_test(codes_above_sixteen_count_by_class),
        cmocka_unit_test(slots_are_not_inherited),
        cmocka_unit_test(budget),
        cmocka_unit_test(exemplars_of_sampled_requests),
        cmocka_unit_test(certificates_have_a_budget),
        cmocka_unit_test(no_memory_counts_as_other),
        cmocka_unit_test(cpu_is_divided_by_work),
        cmocka_unit_test(configuration_and_gauges),
        cmocka_unit_test(load_is_of_the_last_seconds),
        cmocka_unit_test(scrape_beside_workers),
        cmocka_unit_test(hundred_thousand_routes),
    };
    return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
