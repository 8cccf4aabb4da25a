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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_and_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
