/* SPDX-License-Identifier: Apache-2.0
 *
 * live: figures of several proxies added up, quantiles, the ten seconds, and what is bounded.
 */
#include "lib/live.h"
#include "lib/mem.h"

#include <cjson/cJSON.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h> /* needs those */

enum { START_MS = 1000000 };

static cJSON *json_at(struct live *l, uint64_t now_ms, size_t routes) {
    struct out o = out_heap(64 << 20);
    out_char(&o, '{');
    live_json(l, now_ms, routes, &o);
    out_char(&o, '}');
    assert_false(o.over);
    cJSON *doc = cJSON_ParseWithLength(o.p, o.n);
    assert_non_null(doc);
    out_fini(&o);
    return doc;
}

static double number(const cJSON *from, const char *field) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(from, field);
    return cJSON_IsNumber(v) ? v->valuedouble : -1;
}

static const char *text(const cJSON *from, const char *field) {
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(from, field));
    return s ? s : "(none)";
}

static const cJSON *route_at(const cJSON *doc, int i) {
    return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(doc, "routes"), i);
}

static struct wire_live_route asked(const char *name, uint64_t requests) {
    return (struct wire_live_route){
        .namespace = STR("shop"), .name = str_of(name), .rule = STR("r"), .requests = requests};
}

static void tell(struct live *l, uint64_t proxy, struct wire_live_route *routes, uint32_t n,
                 uint64_t now_ms) {
    struct wire_live_route all = {0};
    for (uint32_t i = 0; i < n; i++)
        all.requests += routes[i].requests, all.failures += routes[i].failures;
    struct wire_live m = {.interval_us = 1000000, .all = &all, .routes = routes, .n_routes = n};
    live_take(l, proxy, &m, now_ms);
}

static void adds_up(void **state) {
    (void)state;
    struct live *l = live_new();
    struct wire_live_reason refused = {STR("connect_refused"), STR("upstream"), 3};
    struct wire_live_route a = asked("a", 10), b = asked("b", 90);
    a.failures = 5, a.passed_on = 2, a.reasons = &refused, a.n_reasons = 1;
    a.total_us = 10 * 30000, a.upstream_us = 10 * 20000, a.gateway_us = 10 * 1000;
    tell(l, 1, (struct wire_live_route[]){a, b}, 2, START_MS);
    tell(l, 2, &a, 1, START_MS + 500);
    tell(l, 1, &a, 1, START_MS + 1000);
    cJSON *doc = json_at(l, START_MS + 1000, 10);
    assert_float_equal(number(doc, "seconds"), 2, 0);
    const cJSON *total = cJSON_GetObjectItemCaseSensitive(doc, "total");
    assert_float_equal(number(total, "requests_per_second"), 60, 1e-9);
    assert_float_equal(number(total, "failure_percent"), 12.5, 1e-9);
    const cJSON *first = route_at(doc, 0), *second = route_at(doc, 1);
    assert_string_equal(text(first, "name"), "b");
    assert_float_equal(number(second, "requests"), 30, 0);
    assert_float_equal(number(second, "failures_per_second"), 7.5, 1e-9);
    assert_float_equal(number(second, "passed_on_per_second"), 3, 1e-9);
    assert_float_equal(number(second, "mean_us"), 30000, 1e-9);
    assert_float_equal(number(second, "gateway_mean_us"), 1000, 1e-9);
    assert_string_equal(text(second, "slowest"), "upstream");
    assert_string_equal(text(first, "slowest"), ""); /* nothing was measured */
    const cJSON *why = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(second, "reasons"), 0);
    assert_string_equal(text(why, "name"), "connect_refused");
    assert_float_equal(number(why, "per_second"), 4.5, 1e-9);
    assert_true(live_tells(l, 2, START_MS + 1000) && !live_tells(l, 3, START_MS + 1000));
    cJSON_Delete(doc);
    live_free(l);
}

static void whose_time(void **state) {
    (void)state;
    static const struct {
        uint64_t gateway, upstream, total;
        const char *slowest;
    } cases[] = {{5, 1, 7, "gateway"}, {1, 5, 7, "upstream"}, {1, 1, 7, "others"}, {0, 0, 0, ""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct live *l = live_new();
        struct wire_live_route r = asked("a", 1);
        r.gateway_us = cases[i].gateway, r.upstream_us = cases[i].upstream;
        r.total_us = cases[i].total;
        tell(l, 1, &r, 1, START_MS);
        cJSON *doc = json_at(l, START_MS, 1);
        assert_string_equal(text(route_at(doc, 0), "slowest"), cases[i].slowest);
        cJSON_Delete(doc);
        live_free(l);
    }
}

/* Evenly spread in its bucket; proxies with other bounds add up; above all it is the highest. */
static void quantiles(void **state) {
    (void)state;
    struct live *l = live_new();
    struct wire_live_bucket old[] = {{1000, 50}, {2000, 50}}, new[] = {{1500, 100}, {0, 1}};
    struct wire_live_route a = asked("a", 100), b = asked("b", 100);
    a.total = old, a.n_total = 2;
    b.gateway = &old[1], b.n_gateway = 1;
    tell(l, 1, (struct wire_live_route[]){a, b}, 2, START_MS);
    cJSON *doc = json_at(l, START_MS, 10);
    assert_float_equal(number(route_at(doc, 0), "p50_us"), 1000, 1e-6);
    assert_float_equal(number(route_at(doc, 0), "p99_us"), 1980, 1e-6);
    assert_float_equal(number(route_at(doc, 0), "gateway_p99_us"), -1, 0); /* null */
    assert_float_equal(number(route_at(doc, 1), "gateway_p99_us"), 1990, 1e-6);
    cJSON_Delete(doc);
    a.total = new, a.n_total = 2;
    tell(l, 2, &a, 1, START_MS);
    doc = json_at(l, START_MS, 10);
    assert_float_equal(number(route_at(doc, 0), "p50_us"), 1252.5, 1e-6); /* 50.5 in 1000..1500 */
    assert_float_equal(number(route_at(doc, 0), "p99_us"), 1989.9, 1e-6);
    cJSON_Delete(doc);
    new[0].n = 0, new[1].n = 100000;
    tell(l, 2, &a, 1, START_MS);
    doc = json_at(l, START_MS, 10);
    assert_float_equal(number(route_at(doc, 0), "p50_us"), 2000, 0);
    cJSON_Delete(doc);
    live_free(l);
}

static void ten_seconds(void **state) {
    (void)state;
    struct live *l = live_new();
    for (uint64_t s = 0; s < 30; s++) {
        struct wire_live_route r = asked(s < 20 ? "early" : "late", 10);
        tell(l, 1, &r, 1, START_MS + s * 1000);
    }
    cJSON *doc = json_at(l, START_MS + 29000, 10);
    assert_float_equal(number(doc, "seconds"), 10, 0);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(doc, "routes")), 1);
    assert_string_equal(text(route_at(doc, 0), "name"), "late");
    assert_float_equal(number(route_at(doc, 0), "requests_per_second"), 10, 1e-9);
    cJSON_Delete(doc);
    doc = json_at(l, START_MS + 34000, 10); /* five seconds are gone, and nothing came */
    assert_float_equal(number(route_at(doc, 0), "requests"), 50, 0);
    cJSON_Delete(doc);
    assert_false(live_tells(l, 1, START_MS + 60000));
    doc = json_at(l, START_MS + 10000000, 10);
    assert_null(route_at(doc, 0));
    assert_float_equal(number(doc, "seconds"), 0, 0);
    cJSON_Delete(doc);
    live_lose(l, 1);
    live_lose(l, 1);
    live_free(l);
}

/* Whatever proxies say, there are so many routes, bounds, reasons and proxies, and it is JSON. */
static void bounded(void **state) {
    (void)state;
    struct live *l = live_new();
    char name[32];
    for (unsigned i = 0; i < 3 * LIVE_ROUTES; i++) {
        struct wire_live_bucket bucket = {i + 1, UINT64_MAX};
        struct wire_live_reason reason = {STR_NONE, STR("\x01<b>\xff"), UINT64_MAX};
        struct wire_live_route r = asked(name, UINT64_MAX / 2);
        snprintf(name, sizeof(name), "\"\\\xc3<%u>", i);
        r.name = reason.name = str_of(name);
        r.total = r.gateway = r.upstream = &bucket;
        r.n_total = r.n_gateway = r.n_upstream = 1;
        r.reasons = &reason, r.n_reasons = 1;
        tell(l, i, &r, 1, START_MS);
    }
    char *longer = mem_zalloc(LIVE_NAME_MAX + 2);
    memset(longer, 'n', LIVE_NAME_MAX + 1);
    struct wire_live_route bad[] = {asked(longer, 1), asked("", 1), asked("idle", 0)};
    bad[1].name = str_mk("a\0b", 3);
    tell(l, 1, bad, 3, START_MS);
    cJSON *doc = json_at(l, START_MS, 100000);
    assert_in_range(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(doc, "routes")),
                    LIVE_ROUTES, LIVE_ROUTES + 1);
    const cJSON *r;
    bool other = false;
    cJSON_ArrayForEach(r, cJSON_GetObjectItemCaseSensitive(doc, "routes")) {
        other |= strcmp(text(r, "name"), "other") == 0 && text(r, "namespace")[0] == 0;
        assert_true(text(r, "name")[0] != 'n' && text(r, "name")[0] != 'a');
        assert_string_not_equal(text(r, "name"), "idle");
    }
    assert_true(other);
    cJSON_Delete(doc);
    mem_free(longer);
    live_free(l);
    live_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_up),     cmocka_unit_test(whose_time), cmocka_unit_test(quantiles),
        cmocka_unit_test(ten_seconds), cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
