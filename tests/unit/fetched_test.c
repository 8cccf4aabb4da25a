/* SPDX-License-Identifier: Apache-2.0
 *
 * What units want to have fetched: how long a want lives, who hears of a result, and what nobody
 * knows yet. Units read here as they do while they compile; to compile again without reading is to
 * ask no more.
 */
#include "controller/compile/fetched.h"

#include "tests/unit/compile_world.h"

struct two { /* of the small world, and one more */
    struct world *w;
    struct unit *r, *q;
};

static struct two two(struct world *w) {
    add_route(w, "shop", "q", 2025, "b.example.com", "");
    run(w);
    struct two t = {w, unit_find(w->compiler, UNIT_ROUTE, STR("shop"), STR("r"), STR_NONE),
                    unit_find(w->compiler, UNIT_ROUTE, STR("shop"), STR("q"), STR_NONE)};
    assert_true(t.r && t.q);
    return t;
}

static struct keyset_want want_of(struct arena *a, const char *owner, const char *url) {
    struct keyset_want w = {.url = str_of(url), .refresh_ms = 300000, .max_stale_ms = 86400000};
    w.key = keyset_key(a, str_of(owner), w.url, w.issuer);
    return w;
}

/* As u reads it while it compiles: the state; *kept: whether u is to stay as it is. */
static enum keyset_state reads(struct two *t, struct unit *u, const struct keyset_want *w,
                               bool *kept) {
    struct making m;
    making_init(&m, t->w->compiler, u, NULL);
    enum keyset_state state = fetched_read(&m, w)->state;
    *kept = m.keep;
    making_fini(&m);
    return state;
}

static size_t wanted(struct two *t, const struct keyset_want **v, uint64_t *version) {
    size_t n;
    *version = compile_wants(t->w->compiler, v, &n);
    return n;
}

static void lives_while_read(void **state) {
    struct two t = two(*state);
    const struct keyset_want *v;
    struct arena a;
    uint64_t version, before;
    bool kept;
    arena_init(&a);
    assert_int_equal(wanted(&t, &v, &before), 0);
    struct keyset_want b = want_of(&a, "b", "https://b/k"), c = want_of(&a, "c", "https://c/k");
    reads(&t, t.r, &c, &kept);
    reads(&t, t.q, &b, &kept);
    assert_int_equal(wanted(&t, &v, &version), 2);
    assert_true(version != before && str_eq(v[0].key, b.key) && str_eq(v[1].key, c.key));
    assert_true(v[0].url.p != b.url.p);
    reads(&t, t.q, &b, &kept); /* the same again */
    assert_int_equal(wanted(&t, &v, &before), 2);
    assert_true(version == before);
    b.refresh_ms = 1;
    reads(&t, t.q, &b, &kept);
    assert_int_equal(wanted(&t, &v, &version), 2);
    assert_true(version != before && v[0].refresh_ms == 1);
    store_unit_dirty(t.w->store, t.q->su); /* it compiles again, and does not read */
    run(t.w);
    assert_int_equal(wanted(&t, &v, &before), 1);
    assert_true(version != before && str_eq(v[0].key, c.key));
    store_delete(t.w->store, KUBE_Route, STR("shop"), STR("r"));
    run(t.w);
    assert_int_equal(wanted(&t, &v, &version), 0);
    arena_fini(&a);
}

static void results(void **state) {
    struct two t = two(*state);
    struct arena a;
    bool kept;
    arena_init(&a);
    struct keyset_want b = want_of(&a, "b", "https://b/k"), c = want_of(&a, "c", "https://c/k");
    assert_int_equal(reads(&t, t.r, &b, &kept), KEYSET_PENDING);
    assert_true(kept);
    reads(&t, t.q, &c, &kept);
    char document[] = "{\"keys\":[]}";
    struct keyset k = {.state = KEYSET_GOOD, .document = str_of(document), .fetched = 7};
    compile_fetched(t.w->compiler, b.key, &k);
    assert_true(t.r->su->dirty);
    assert_false(t.q->su->dirty);
    memset(document, 'x', 5); /* it was copied */
    struct making m;
    making_init(&m, t.w->compiler, t.r, NULL);
    const struct keyset *got = fetched_read(&m, &b);
    assert_false(m.keep);
    assert_int_equal(got->fetched, 7);
    assert_true(str_eq(got->document, STR("{\"keys\":[]}")));
    making_fini(&m);
    k = (struct keyset){.state = KEYSET_FAILED};
    why_text(&k.why, "404");
    compile_fetched(t.w->compiler, b.key, &k);
    assert_int_equal(reads(&t, t.r, &b, &kept), KEYSET_FAILED);
    assert_false(kept); /* a fact, as a missing Secret is */
    t.r->restored = true;
    reads(&t, t.r, &b, &kept);
    assert_true(kept); /* what the fleet has is better */
    t.r->restored = false;
    compile_fetched(t.w->compiler, STR("nobody's#0"), &k);
    b.ca = STR("pem"); /* what was got stays when it is only to be got otherwise */
    assert_int_equal(reads(&t, t.r, &b, &kept), KEYSET_FAILED);
    arena_fini(&a);
}

/* A policy that is refused with a new address, and whose last good version has the old one. */
static void two_of_one(void **state) {
    struct two t = two(*state);
    const struct keyset_want *v;
    struct arena a;
    uint64_t version;
    bool kept;
    arena_init(&a);
    struct keyset_want old = want_of(&a, "b", "https://b/old"),
                       new = want_of(&a, "b", "https://b/new");
    const struct keyset good = {.state = KEYSET_GOOD, .document = STR("{}")};
    reads(&t, t.r, &old, &kept);
    compile_fetched(t.w->compiler, old.key, &good);
    assert_int_equal(reads(&t, t.r, &new, &kept), KEYSET_PENDING);
    assert_int_equal(reads(&t, t.r, &old, &kept), KEYSET_GOOD);
    assert_false(kept);
    assert_int_equal(wanted(&t, &v, &version), 2);
    arena_fini(&a);
}

/* Forgotten and wanted again: nobody remembers what was got. */
static void anew(void **state) {
    struct two t = two(*state);
    const struct keyset_want *v;
    struct arena a;
    uint64_t version;
    bool kept;
    arena_init(&a);
    struct keyset_want b = want_of(&a, "b", "https://b/k");
    const struct keyset good = {.state = KEYSET_GOOD, .document = STR("{}")};
    reads(&t, t.r, &b, &kept);
    compile_fetched(t.w->compiler, b.key, &good);
    run(t.w);
    assert_int_equal(wanted(&t, &v, &version), 0);
    assert_int_equal(reads(&t, t.r, &b, &kept), KEYSET_PENDING);
    arena_fini(&a);
}

#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {IN_WORLD(lives_while_read), IN_WORLD(results),
                                       IN_WORLD(two_of_one), IN_WORLD(anew)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
