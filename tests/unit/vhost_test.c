/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of one host at their edges: as many prefixes as there can be, hostile paths, one path
 * with many candidates.
 */
#include "tests/unit/route_world.h"

#include "proxy/route/pathhash.h"
#include "proxy/route/vhost.h"

/* Prefixes of every length, and paths that have a boundary at every byte. */
static void every_boundary_is_a_prefix(void **state) {
    (void)state;
    struct world w;
    char path[8000];
    world_init(&w);
    memset(path, '/', sizeof(path));
    put_host(&w, "h");
    for (size_t n = 1; n <= PREFIX_MAX; n++) {
        struct model_match m = {.path_type = MODEL_PATH_PREFIX, .path = str_mk(path, n + 1)};
        put_route(&w, arena_fmt(&w.a, "p%zu", n).p, "h", m, NULL); /* its last slash is cut */
    }
    put_route(&w, "root", "h", PREFIX("/"), NULL);
    world_commit(&w);
    for (size_t n = 1; n < 2 * PREFIX_MAX; n += 7) {
        struct str asked = arena_str(&w.a, str_mk(path, n));
        struct str want = arena_fmt(&w.a, "p%zu", size_min(n, PREFIX_MAX));
        assert_routed(&w, "h", asked.p, want.p);
    }
    path[sizeof(path) - 1] = 0;
    assert_routed(&w, "h", path, "p1024");
    path[1] = 'x';
    assert_routed(&w, "h", path, "root");
    world_fini(&w);
}

static void a_longer_prefix_is_refused(void **state) {
    (void)state;
    struct world w;
    char path[PREFIX_MAX + 2] = "/";
    world_init(&w);
    memset(path + 1, 'a', PREFIX_MAX);
    put_route(&w, "r", "h", PREFIX(path), NULL);
    assert_false(world_try(&w));
    assert_non_null(strstr(w.why.text, "at most 1024"));
    path[PREFIX_MAX] = 0;
    put_host(&w, "h");
    put_route(&w, "r", "h", PREFIX(path), NULL);
    put_route(&w, "e", "h", EXACT(path), NULL);
    world_commit(&w);
    assert_routed(&w, "h", path, "e");
    world_fini(&w);
}

static void many_candidates_of_one_path(void **state) {
    (void)state;
    enum { N = 2000 };
    struct world w;
    static struct ask q;
    world_init(&w);
    put_host(&w, "h");
    for (unsigned i = 0; i < N; i++) {
        struct model_value_match v = {.name = STR("x-tenant"), .value = arena_fmt(&w.a, "t%u", i)};
        struct model_match m = PREFIX("/api");
        m.headers = &v, m.n_headers = 1;
        put_route(&w, arena_fmt(&w.a, "r%u", i).p, "h", m, NULL);
    }
    world_commit(&w);
    for (unsigned i = 0; i < N; i += 97) {
        ask_init(&q, "GET", NULL);
        ask_header(&q, "X-Tenant", arena_fmt(&w.a, "t%u", i).p);
        assert_asked(&w, &q, "h", "/api/x", arena_fmt(&w.a, "r%u", i).p);
    }
    world_fini(&w);
}

/* Carried along its segments, the hash of a path is that of all of it. */
static void the_hash_is_carried_along(void **state) {
    (void)state;
    struct str path = STR("/a/bcdefgh/ijklmnopqrstuvwxyz0123456789//x/");
    uint64_t h = path_seed[0];
    for (size_t at = 0; at < path.n;) {
        size_t end = path_segment_end(path, at);
        assert_true(end > at && (end == path.n || path.p[end] == '/'));
        for (size_t i = at + 1; i < end; i++)
            assert_true(path.p[i] != '/');
        h = path_hash_segment(h, path.p + at, end - at);
        at = end;
        assert_true(h == path_hash(str_mk(path.p, at)));
    }
    assert_true(path_hash(STR("/ab")) != path_hash(STR("/a/b")));
    assert_true(path_hash(STR("/aa")) != path_hash(STR("/aaa")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_boundary_is_a_prefix),
        cmocka_unit_test(a_longer_prefix_is_refused),
        cmocka_unit_test(many_candidates_of_one_path),
        cmocka_unit_test(the_hash_is_carried_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
