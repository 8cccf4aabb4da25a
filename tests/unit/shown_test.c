/* SPDX-License-Identifier: Apache-2.0
 *
 * Which certificates a name is shown (S26, S38), and what the builder makes of certificate objects.
 */
#include "tests/unit/pairs.h"
#include "tests/unit/route_world.h"

static const struct str none_id;

static void put_certificate(struct world *w, const char *name, const char *host,
                            enum pair_key kind) {
    struct model_certificate m = pair_new(&w->a, kind, host);
    world_put(w, MODEL_KIND_certificate, arena_fmt(&w->a, "certificate/ns/%s", name), &m);
}

/* With a route, or it counts for nothing. certificate NULL: none. */
static void put_site(struct world *w, const char *host, const char *certificate, bool defaults) {
    struct str id = certificate ? arena_fmt(&w->a, "certificate/ns/%s", certificate) : none_id;
    struct model_host h = {.hostname = str_of(host),
                           .certificates = &id,
                           .n_certificates = certificate != NULL,
                           .default_certificate = defaults};
    world_put(w, MODEL_KIND_host, host_id(w, host), &h);
    put_route(w, host[0] ? host : "any", host, PREFIX("/"), NULL);
}

static void put_listener(struct world *w, const char *certificate, const char *hostname) {
    struct str id = certificate ? arena_fmt(&w->a, "certificate/ns/%s", certificate) : none_id,
               name = str_of(hostname);
    struct model_listener_tls tls = {.certificates = &id, .n_certificates = certificate != NULL};
    struct model_listener l = {.port = 443,
                               .protocol = MODEL_HTTPS,
                               .tls = &tls,
                               .hostnames = &name,
                               .n_hostnames = hostname != NULL};
    world_put(w, MODEL_KIND_listener, STR("listener/c/https"), &l);
}

/* The names of the Secrets that a host is shown, in order: "a b"; "": it is refused. */
static const char *shown_by(const struct snapshot *s, const char *host) {
    static char text[256];
    const struct certificate_law *list[CERTIFICATES_MAX];
    uint32_t n = snapshot_certificates(s, snapshot_listener(s, 443), str_of(host), list);
    struct out o = out_fixed(text, sizeof(text) - 1);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            out_char(&o, ' ');
        out_str(&o, str_skip(list[i]->id, sizeof("certificate/ns/") - 1));
    }
    text[o.n] = 0;
    return text;
}
static const char *shown_now(struct world *w, const char *host) { return shown_by(w->s, host); }

static int open_world(void **state) {
    struct world *w = mem_zalloc(sizeof(*w));
    world_init(w);
    put_listener(w, NULL, NULL);
    *state = w;
    return 0;
}
static int close_world(void **state) {
    world_fini(*state);
    mem_free(*state);
    return 0;
}

static void the_most_specific_host_decides(void **state) {
    struct world *w = *state;
    put_certificate(w, "shop", "shop.test", PAIR_EC);
    put_certificate(w, "wild", "*.shop.test", PAIR_EC);
    put_site(w, "shop.test", "shop", false);
    put_site(w, "*.shop.test", "wild", false);
    put_site(w, "plain.shop.test", NULL, false);
    world_commit(w);
    assert_string_equal(shown_now(w, "shop.test"), "shop");
    assert_string_equal(shown_now(w, "a.shop.test"), "wild");
    assert_string_equal(shown_now(w, "plain.shop.test"), "");
    assert_string_equal(shown_now(w, "other.test"), "");
    assert_string_equal(shown_now(w, ""), "");
}

static void a_host_without_rules_does_not_count(void **state) {
    struct world *w = *state;
    put_certificate(w, "wild", "*.shop.test", PAIR_EC);
    put_site(w, "*.shop.test", "wild", false);
    put_host(w, "empty.shop.test");
    world_commit(w);
    assert_string_equal(shown_now(w, "empty.shop.test"), "wild");
}

static void the_default_is_for_who_wants_it_and_for_strangers(void **state) {
    struct world *w = *state;
    put_certificate(w, "own", "shop.test", PAIR_EC);
    put_certificate(w, "dflt", "fallback", PAIR_EC);
    put_listener(w, "dflt", NULL);
    put_site(w, "shop.test", "own", false);
    put_site(w, "both.test", "own", true);
    put_site(w, "dflt.test", NULL, true);
    put_site(w, "plain.test", NULL, false);
    put_site(w, "gone.test", "gone", false);
    world_commit(w);
    assert_string_equal(shown_now(w, "shop.test"), "own");
    assert_string_equal(shown_now(w, "both.test"), "own dflt");
    assert_string_equal(shown_now(w, "dflt.test"), "dflt");
    assert_string_equal(shown_now(w, "plain.test"), "");
    assert_string_equal(shown_now(w, "gone.test"), "");
    assert_string_equal(shown_now(w, "stranger.test"), "dflt");
    assert_string_equal(shown_now(w, ""), "dflt");
    put_listener(w, "dflt", "*.test");
    world_commit(w);
    assert_string_equal(shown_now(w, "shop.test"), "own");
    assert_string_equal(shown_now(w, "shop.example"), "");
    assert_string_equal(shown_now(w, ""), "");
}

static void those_that_bear_the_name_come_alone(void **state) {
    struct world *w = *state;
    put_certificate(w, "a", "other.test", PAIR_EC);
    put_certificate(w, "b", "*.test", PAIR_EC);
    put_certificate(w, "c", "shop.test", PAIR_RSA);
    struct str ids[] = {STR("certificate/ns/a"), STR("certificate/ns/b"), STR("certificate/ns/c")};
    struct model_host h = {.hostname = STR("shop.test"), .certificates = ids, .n_certificates = 3};
    world_put(w, MODEL_KIND_host, host_id(w, "shop.test"), &h);
    put_route(w, "r", "shop.test", PREFIX("/"), NULL);
    put_site(w, "x.y.test", "a", false);
    world_commit(w);
    assert_string_equal(shown_now(w, "shop.test"), "b c");
    assert_string_equal(shown_now(w, "x.y.test"), "a"); /* better than nothing */
}

static void it_comes_goes_and_changes(void **state) {
    struct world *w = *state;
    put_site(w, "shop.test", "c", false);
    put_listener(w, "c", NULL);
    world_commit(w);
    assert_string_equal(shown_now(w, "shop.test"), "");
    assert_string_equal(shown_now(w, ""), "");
    put_certificate(w, "c", "shop.test", PAIR_EC);
    world_commit(w);
    assert_string_equal(shown_now(w, "shop.test"), "c");
    assert_string_equal(shown_now(w, ""), "c");
    struct snapshot *old = snapshot_hold(w->s);
    uint64_t version = snapshot_certificate(old, 0)->version;
    put_certificate(w, "c", "shop.test", PAIR_EC);
    world_commit(w);
    assert_int_not_equal(snapshot_certificate(w->s, 0)->version, version);
    assert_int_equal(snapshot_certificate(old, 0)->version, version);
    builder_del(w->b, STR("certificate/ns/c"));
    world_commit(w);
    assert_string_equal(shown_now(w, "shop.test"), "");
    assert_string_equal(shown_now(w, ""), "");
    assert_string_equal(shown_by(old, "shop.test"), "c");
    snapshot_drop(old);
}

/* Nacked by name; what was there stays. */
static void refuse(struct world *w, const struct model_certificate *m, const char *words) {
    world_put(w, MODEL_KIND_certificate, STR("certificate/ns/c"), m);
    assert_false(world_try(w));
    assert_int_equal(w->n_bad, 1);
    assert_non_null(strstr(w->why.text, words));
    assert_string_equal(shown_now(w, "shop.test"), "c");
}

static void a_bad_pair_is_refused(void **state) {
    struct world *w = *state;
    put_certificate(w, "c", "shop.test", PAIR_EC);
    put_site(w, "shop.test", "c", false);
    world_commit(w);
    struct model_certificate one = pair_new(&w->a, PAIR_EC, "shop.test"),
                             two = pair_new(&w->a, PAIR_RSA, "shop.test"), bad = one;
    bad.key = two.key;
    refuse(w, &bad, "not the certificate's");
    bad.key = STR("not a key");
    refuse(w, &bad, "private key cannot be read");
    bad = one;
    bad.chain = str_mk(one.chain.p, one.chain.n - 1);
    refuse(w, &bad, "certificate 1 of the chain cannot be read");
    bad.chain = STR_NONE;
    refuse(w, &bad, "no certificate");
}

static void plain_requests_go_to_a_listener_that_serves_them(void **state) {
    struct world *w = *state;
    struct str name = STR("shop.test");
    struct model_listener l = {
        .port = 8443, .protocol = MODEL_HTTPS, .hostnames = &name, .n_hostnames = 1};
    world_put(w, MODEL_KIND_listener, STR("listener/c/a"), &l);
    world_commit(w);
    assert_int_equal(snapshot_https_port(w->s, STR("shop.test")), 443);
    builder_del(w->b, STR("listener/c/https"));
    world_commit(w);
    assert_int_equal(snapshot_https_port(w->s, STR("shop.test")), 8443);
    assert_int_equal(snapshot_https_port(w->s, STR("other.test")), 443);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(the_most_specific_host_decides),
        T(a_host_without_rules_does_not_count),
        T(the_default_is_for_who_wants_it_and_for_strangers),
        T(those_that_bear_the_name_come_alone),
        T(it_comes_goes_and_changes),
        T(a_bad_pair_is_refused),
        T(plain_requests_go_to_a_listener_that_serves_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
