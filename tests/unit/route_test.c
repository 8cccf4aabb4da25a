/* SPDX-License-Identifier: Apache-2.0
 *
 * The way of a request through a snapshot, rule by rule of docs/reference "Order of matches".
 */
#include "tests/unit/route_world.h"

static void exact_and_prefix(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    put_host(&w, "shop.example.com");
    put_backend(&w, "app", "10.0.0.1:80", NULL);
    put_route(&w, "exact", "shop.example.com", EXACT("/foo"), "app");
    put_route(&w, "prefix", "shop.example.com", PREFIX("/foo"), "app");
    put_route(&w, "deep", "shop.example.com", PREFIX("/foo/bar"), "app");
    put_route(&w, "root", "shop.example.com", PREFIX("/"), "app");
    world_commit(&w);
    assert_routed(&w, "shop.example.com", "/foo", "exact");
    assert_routed(&w, "shop.example.com", "/foo/", "prefix");
    assert_routed(&w, "shop.example.com", "/foo/ba", "prefix");
    assert_routed(&w, "shop.example.com", "/foo/bar", "deep");
    assert_routed(&w, "shop.example.com", "/foo/bar/x", "deep");
    assert_routed(&w, "shop.example.com", "/foobar", "root");
    assert_routed(&w, "shop.example.com", "/", "root");
    assert_routed(&w, "shop.example.com", "*", NULL);
    assert_routed(&w, "other.example.com", "/foo", NULL);
    world_fini(&w);
}

static void hosts_from_exact_to_any(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    const char *const hosts[] = {"a.example.com", "*.a.example.com", "*.example.com", ""};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        put_host(&w, hosts[i]);
        put_route(&w, hosts[i][0] ? hosts[i] : "any", hosts[i], PREFIX("/x"), NULL);
    }
    put_host(&w, "empty.a.example.com"); /* no rules: does not decide */
    world_commit(&w);
    assert_routed(&w, "a.example.com", "/x", "a.example.com");
    assert_routed(&w, "a.example.com", "/y", NULL); /* no fall-through */
    assert_routed(&w, "b.a.example.com", "/x", "*.a.example.com");
    assert_routed(&w, "empty.a.example.com", "/x", "*.a.example.com");
    assert_routed(&w, "c.b.a.example.com", "/x", "*.a.example.com");
    assert_routed(&w, "b.example.com", "/x", "*.example.com");
    assert_routed(&w, "example.com", "/x", "any");
    assert_routed(&w, ".example.com", "/x", "any"); /* no label in place of the star */
    assert_routed(&w, "", "/x", "any");
    world_fini(&w);
}

static void one_label_wildcards(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    put_host(&w, "*.example.com");
    put_host(&w, "*.com");
    put_route_as(&w, (struct model_route){.one_label = true, .source = MODEL_SOURCE_INGRESS},
                 "ingress", "*.example.com", PREFIX("/"), NULL);
    put_route(&w, "com", "*.com", PREFIX("/"), NULL);
    world_commit(&w);
    assert_routed(&w, "a.example.com", "/", "ingress");
    assert_routed(&w, "b.a.example.com", "/", "com"); /* nothing there takes two labels */
    put_route(&w, "deep", "*.example.com", PREFIX("/deep"), NULL);
    world_commit(&w);
    assert_routed(&w, "b.a.example.com", "/deep", "deep");
    assert_routed(&w, "b.a.example.com", "/", NULL);
    world_fini(&w);
}

static void regexes_and_both_orders(void **state) {
    (void)state;
    struct world w;
    struct model_route ingress = {.source = MODEL_SOURCE_INGRESS};
    world_init(&w);
    put_host(&w, "h");
    put_route(&w, "short", "h", REGEX("/f.*"), NULL);
    put_route(&w, "longer", "h", REGEX("/fo[o].*"), NULL);
    put_route(&w, "prefix", "h", PREFIX("/foobar/long"), NULL);
    world_commit(&w);
    assert_routed(&w, "h", "/foobar/long", "longer");
    assert_routed(&w, "h", "/fx", "short");
    /* of Ingresses alone the longest path is first, also before a regex */
    put_host(&w, "i");
    put_route_as(&w, ingress, "i-regex", "i", REGEX("/f.*"), NULL);
    put_route_as(&w, ingress, "i-prefix", "i", PREFIX("/foobar"), NULL);
    world_commit(&w);
    assert_routed(&w, "i", "/foobar", "i-prefix");
    assert_routed(&w, "i", "/foo", "i-regex");
    /* against a Route the Route order holds: a regex beats the best of the Ingresses */
    put_route(&w, "r-regex", "i", REGEX(".*"), NULL);
    world_commit(&w);
    assert_routed(&w, "i", "/foobar", "r-regex");
    world_fini(&w);
}

static void conditions_and_age(void **state) {
    (void)state;
    struct world w;
    struct ask q;
    world_init(&w);
    put_host(&w, "h");
    struct model_value_match exact = {.name = STR("x-a"), .value = STR("1, 2")};
    struct model_value_match regex = {
        .type = MODEL_MATCH_REGEX, .name = STR("x-b"), .value = STR("[0-9]+")};
    struct model_value_match param = {.name = STR("p"), .value = STR("a b")};
    struct model_value_match cookie = {.name = STR("group"), .value = STR("canary")};
    struct model_match m = PREFIX("/");
    put_route_as(&w, (struct model_route){.created = 5}, "old", "h", m, NULL);
    put_route_as(&w, (struct model_route){.created = 9}, "young", "h", m, NULL);
    put_route_as(&w, (struct model_route){0}, "unborn", "h", m, NULL);
    m.method = STR("PURGE");
    put_route(&w, "method", "h", m, NULL);
    m = PREFIX("/");
    m.headers = &exact, m.n_headers = 1;
    put_route(&w, "joined", "h", m, NULL);
    m.headers = &regex;
    m.query = &param, m.n_query = 1;
    put_route(&w, "regex", "h", m, NULL);
    m = PREFIX("/");
    m.cookies = &cookie, m.n_cookies = 1;
    put_route(&w, "cookie", "h", m, NULL);
    world_commit(&w);
    assert_routed(&w, "h", "/", "old");
    ask_init(&q, "PURGE", NULL);
    assert_asked(&w, &q, "h", "/", "method");
    ask_init(&q, "GET", "p=a+b&p=c");
    ask_header(&q, "X-A", "1");
    assert_asked(&w, &q, "h", "/", "old");
    ask_header(&q, "x-a", "2");
    assert_asked(&w, &q, "h", "/", "joined");
    ask_header(&q, "X-B", "77");
    assert_asked(&w, &q, "h", "/", "regex");
    ask_init(&q, "GET", "p=c&p=a+b");
    ask_header(&q, "X-B", "77x");
    ask_header(&q, "cookie", "a=b; group=canary");
    assert_asked(&w, &q, "h", "/", "cookie");
    world_fini(&w);
}

static void fallback_is_last(void **state) {
    (void)state;
    struct world w;
    struct match_result r;
    static struct ask q;
    world_init(&w);
    put_host(&w, "h");
    put_route_as(&w, (struct model_route){.fallback = true}, "default", "h", EXACT("/a"), NULL);
    put_route(&w, "prefix", "h", PREFIX("/"), NULL);
    world_commit(&w);
    assert_routed(&w, "h", "/a", "prefix");
    builder_del(w.b, route_id(&w, "prefix"));
    world_commit(&w);
    assert_routed(&w, "h", "/a", "default");
    put_route(&w, "slash", "h", PREFIX("/shop/"), NULL);
    world_commit(&w);
    ask_init(&q, "GET", NULL);
    assert_true(ask_route(&w, &q, "h", "/shop/1", &r));
    assert_int_equal(r.match->path.n, 5); /* what a prefix rewrite replaces */
    assert_true(str_eq(r.hostname, STR("h")));
    world_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_and_prefix),    cmocka_unit_test(hosts_from_exact_to_any),
        cmocka_unit_test(one_label_wildcards), cmocka_unit_test(regexes_and_both_orders),
        cmocka_unit_test(conditions_and_age),  cmocka_unit_test(fallback_is_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
