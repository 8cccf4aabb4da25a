/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets as certificates over time: they come, are rotated, go bad, are not known yet, may not be
 * read; grants are withdrawn (S42); a controller restarts. The golden files have the words.
 */
#include "tests/unit/certificate_make.h"
#include "tests/unit/compile_world.h"

#include "controller/status/status.h"

#include <openssl/evp.h>

enum { ROOM = 8192 };

static EVP_PKEY *keys[2];
static char pems[2][ROOM]; /* of the keys */

static int make_keys(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        keys[i] = make_ec("P-256");
        put_key(keys[i], pems[i], pems[i] + ROOM);
    }
    return 0;
}
static int drop_keys(void **state) {
    (void)state;
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
    return 0;
}

static const char *base64(const char *text) {
    static char room[2][ROOM * 2];
    static int turn;
    char *p = room[turn++ % 2];
    EVP_EncodeBlock((unsigned char *)p, (const unsigned char *)text, (int)strlen(text));
    return p;
}

/* A Secret of a certificate of keys[of], with the key keys[with]. */
static void add_secret(struct world *w, const char *ns, const char *name, int of, int with,
                       const char *dns, const char *not_after) {
    char crt[ROOM], names[200];
    snprintf(names, sizeof(names), "DNS:%s", dns);
    X509 *x = make_x509(
        keys[of], &(struct making_x509){.subject = "x", .names = names, .not_after = not_after});
    put_x509(x, crt, crt + ROOM);
    X509_free(x);
    add(w,
        "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'%s','namespace':'%s'},"
        "'type':'kubernetes.io/tls','data':{'tls.crt':'%s','tls.key':'%s'}}",
        name, ns, base64(crt), base64(pems[with]));
}
static void add_good(struct world *w, const char *name) {
    add_secret(w, "shop", name, 0, 0, "a.example.com", NULL);
}

static void add_tls_route(struct world *w, const char *name, const char *host, const char *refs) {
    add(w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route','metadata':{'name':'%s',"
        "'namespace':'shop','creationTimestamp':'2025-01-01T00:00:00Z'},'spec':{"
        "'hostnames':['%s'],'tls':{'certificateRefs':[%s]},"
        "'rules':[{'backendRefs':[{'name':'web','port':80}]}]}}",
        name, host, refs);
}

static const struct condition *refs_of(struct world *w, const char *name) {
    return &status(w, KUBE_Route, "shop", name)->conditions[CONDITION_RESOLVED_REFS];
}
static void expect_refs(struct world *w, const char *name, const char *reason, const char *text) {
    const struct condition *c = refs_of(w, name);
    assert_string_equal(c->reason, reason);
    assert_string_equal(c->why ? c->why->text : "", text);
}

static bool shows(struct world *w, const char *host, const char *certificate) {
    struct arena a;
    arena_init(&a);
    const struct model_host *h = object_decode(need(w, host), &a, NULL);
    bool found = false;
    for (uint32_t i = 0; i < h->n_certificates; i++)
        found |= str_eq(h->certificates[i], str_of(certificate));
    arena_fini(&a);
    return found;
}

#define C    "certificate/shop/c"
#define HOST "host/sluice/a.example.com"

/* The small world's Route r with a certificate c. */
static int secured(void **state) {
    int rc = world_setup(state);
    struct world *w = *state;
    add_tls_route(w, "r", "a.example.com", "{'name':'c'}");
    add_good(w, "c");
    run(w);
    return rc;
}

/* ---- coming, rotated, bad, gone ---- */

static void test_secret_comes_later(void **state) {
    struct world *w = *state;
    add_tls_route(w, "r", "a.example.com", "{'name':'c'}");
    run(w);
    expect_refs(w, "r", "InvalidCertificateRef", "there is no Secret c");
    assert_true(shows(w, HOST, C));
    add_good(w, "c");
    run(w);
    assert_int_equal(w->puts, 1); /* the certificate alone: nothing else has changed */
    need(w, C);
    expect_refs(w, "r", "ResolvedRefs", "");
}

static void test_rotation_is_one_unit(void **state) {
    struct world *w = *state;
    uint64_t hash = need(w, C)->hash;
    add_secret(w, "shop", "c", 1, 1, "a.example.com", NULL);
    assert_int_equal(run(w), 1);
    assert_int_equal(w->puts, 1);
    assert_true(need(w, C)->hash != hash);
    add_secret(w, "shop", "c", 1, 1, "b.example.com", NULL); /* other names are worth a look */
    run(w);
    assert_int_equal(status(w, KUBE_Route, "shop", "r")->n_warnings, 1);
    assert_int_equal(w->puts, 1);
}

static void test_bad_one_stays(void **state) {
    struct world *w = *state;
    uint64_t hash = need(w, C)->hash;
    add_secret(w, "shop", "c", 1, 0, "a.example.com", NULL);
    run(w);
    assert_int_equal(w->puts + w->dels, 0);
    assert_true(need(w, C)->hash == hash);
    assert_true(status(w, KUBE_Secret, "shop", "c")->held);
    expect_refs(w, "r", "InvalidCertificateRef",
                "Secret c cannot be used: tls.key does not belong to the certificate in tls.crt; "
                "its last good version goes on");
    add(w, "{'apiVersion':'v1','kind':'Secret'," META("c", "shop", "") ",'data':{'tls.crt':7}}");
    run(w);
    assert_int_equal(w->puts + w->dels, 0);
    expect_refs(w, "r", "InvalidCertificateRef",
                "Secret c cannot be used: data[tls.crt]: must be a string; put it in quotes; its "
                "last good version goes on");
    add_good(w, "c");
    run(w);
    expect_refs(w, "r", "ResolvedRefs", "");
    assert_int_equal(w->lost.n, 0);
}

static void test_secret_goes(void **state) {
    struct world *w = *state;
    store_delete(w->store, KUBE_Secret, STR("shop"), STR("c"));
    run(w);
    assert_null(object(w, C));
    assert_int_equal(w->dels, 1);
    expect_refs(w, "r", "InvalidCertificateRef", "there is no Secret c");
    add_good(w, "c");
    run(w);
    need(w, C);
}

static void test_nobody_names_it(void **state) {
    struct world *w = *state;
    add_route(w, "shop", "r", 2025, "a.example.com", "");
    run(w);
    assert_null(object(w, C));
    assert_false(shows(w, HOST, C));
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
    add_secret(w, "shop", "c", 1, 1, "a.example.com", NULL);
    assert_int_equal(run(w), 0); /* nobody reads it */
}

static void test_two_routes_one_certificate(void **state) {
    struct world *w = *state;
    add_tls_route(w, "s", "s.example.com", "{'name':'c'}");
    run(w);
    store_delete(w->store, KUBE_Route, STR("shop"), STR("r"));
    run(w);
    need(w, C);
    store_delete(w->store, KUBE_Route, STR("shop"), STR("s"));
    run(w);
    assert_null(object(w, C));
}

static void test_refused_route_keeps_it(void **state) {
    struct world *w = *state;
    add(w, "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
               "r", "shop", "") ",'spec':{'hostnames':['a.example.com'],'rules':[]}}");
    run(w);
    assert_true(status(w, KUBE_Route, "shop", "r")->held);
    need(w, C);
    assert_true(shows(w, HOST, C));
    store_delete(w->store, KUBE_Secret, STR("shop"), STR("c"));
    run(w);
    assert_null(object(w, C));
}

/* A Route that was never good wants nothing, though it has stepped back while it was compiled. */
static void test_refused_route_wants_nothing(void **state) {
    struct world *w = *state;
    add_good(w, "d");
    add_tls_route(w, "bad", "bad.example.com", "{'name':'d'},{'name':'BAD'}");
    add(w, "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
               "worse", "shop",
               "") ",'spec':{'hostnames':['worse.example.com'],'tls':{'certificateRefs':["
                   "{'name':'d'},{'name':'e'},{'name':'f'},{'name':'g'},{'name':'h'},{'name':'i'},"
                   "{'name':'j'},{'name':'k'},{'name':'l'},{'name':'m'},{'name':'n'},{'name':'o'},"
                   "{'name':'p'},{'name':'q'},{'name':'s'},{'name':'t'},{'name':'u'}]},"
                   "'rules':[{'backendRefs':[{'name':'web','port':80}]}]}}");
    run(w);
    assert_false(accepted(w, KUBE_Route, "shop", "worse"));
    add_secret(w, "shop", "d", 1, 1, "a.example.com", NULL);
    run(w);
    run(w);
    assert_null(object(w, "certificate/shop/d"));
}

/* ---- other namespaces ---- */

static void test_grant_is_withdrawn(void **state) {
    struct world *w = *state;
    add_secret(w, "data", "c", 0, 0, "x.example.com", NULL);
    add(w, "{'apiVersion':'gateway.networking.k8s.io/v1beta1','kind':'ReferenceGrant'," META(
               "g", "data", "") ",'spec':{'from':[{'group':'sluice.dev','kind':'Route',"
                                "'namespace':'shop'}],'to':[{'group':'','kind':'Secret'}]}}");
    add_tls_route(w, "x", "x.example.com", "{'name':'c','namespace':'data'}");
    run(w);
    need(w, "certificate/data/c");
    assert_true(shows(w, "host/sluice/x.example.com", "certificate/data/c"));
    expect_refs(w, "x", "ResolvedRefs", "");
    store_delete(w->store, KUBE_ReferenceGrant, STR("data"), STR("g"));
    run(w);
    assert_null(object(w, "certificate/data/c"));
    assert_false(shows(w, "host/sluice/x.example.com", "certificate/data/c"));
    expect_refs(w, "x", "RefNotPermitted",
                "Secret data/c is in another namespace and no ReferenceGrant there allows this "
                "reference");
}

/* ---- read one by one ---- */

static unsigned asked;
static void on_asked(void *arg, enum kube_kind kind, struct str ns, struct str name) {
    (void)arg, (void)name;
    assert_int_equal(kind, KUBE_Secret);
    assert_true(str_eq(ns, STR("shop")));
    asked++;
}

static int asking(void **state) {
    int rc = world_setup(state);
    struct world *w = *state;
    asked = 0;
    store_ask(w->store, KUBE_Secret, on_asked, NULL);
    return rc;
}

static bool told(struct world *w, const char *name) {
    return compile_status(w->compiler,
                          store_get(w->store, KUBE_Route, STR("shop"), str_of(name))) != NULL;
}

static void test_unknown_at_first(void **state) {
    struct world *w = *state;
    add_tls_route(w, "n", "n.example.com", "{'name':'c'}");
    run(w);
    assert_true(asked > 0);
    assert_int_equal(store_n_unknown(w->store), 1);
    need(w, "route/shop/n/rule-0"); /* it is closed until the certificate is there */
    assert_true(shows(w, "host/sluice/n.example.com", C));
    assert_false(told(w, "n"));
    assert_non_null(map_get(&w->lost, STR(C))); /* a fleet may know what it was */
    add_secret(w, "shop", "c", 0, 0, "n.example.com", NULL);
    run(w);
    need(w, C);
    assert_int_equal(w->puts, 1);
    assert_int_equal(w->lost.n, 0);
    expect_refs(w, "n", "ResolvedRefs", "");
}

static void test_unknown_is_absent(void **state) {
    struct world *w = *state;
    add_tls_route(w, "n", "n.example.com", "{'name':'c'}");
    run(w);
    store_absent(w->store, KUBE_Secret, STR("shop"), STR("c"), NULL);
    run(w);
    expect_refs(w, "n", "InvalidCertificateRef", "there is no Secret c");
    assert_int_equal(w->lost.n, 0);
}

/* The former certificate is shown until the new one is known. */
static void test_unknown_changes_nothing(void **state) {
    struct world *w = *state;
    add_tls_route(w, "r", "a.example.com", "{'name':'c'}");
    add_good(w, "c");
    run(w);
    expect_refs(w, "r", "ResolvedRefs", "");
    add_tls_route(w, "r", "b.example.com", "{'name':'d'}");
    run(w);
    assert_int_equal(w->puts + w->dels, 0);
    need(w, C);
    expect_refs(w, "r", "ResolvedRefs", "");
    add_slice(w, "shop", "web", "10.0.0.7"); /* the rest of the world goes on */
    run(w);
    assert_int_equal(w->puts, 1);
    add_tls_route(w, "r", "b.example.com", "{'name':'d'},{'name':'e'}");
    run(w);
    assert_int_equal(w->puts + w->dels, 0);
    add_secret(w, "shop", "d", 0, 0, "b.example.com", NULL);
    run(w);
    assert_true(shows(w, HOST, C)); /* e is still unknown */
    need(w, "certificate/shop/d");  /* but it is there already */
    store_absent(w->store, KUBE_Secret, STR("shop"), STR("e"), NULL);
    run(w);
    assert_null(object(w, C));
    assert_true(shows(w, "host/sluice/b.example.com", "certificate/shop/d"));
    expect_refs(w, "r", "InvalidCertificateRef", "there is no Secret e");
    assert_true(store_forget(w->store, KUBE_Secret, STR("shop"), STR("c")));
    assert_false(store_forget(w->store, KUBE_Secret, STR("shop"), STR("d")));
}

static void test_forbidden(void **state) {
    struct world *w = *state;
    struct why why = {0};
    why_text(&why, "the service account may not get secrets here");
    add_tls_route(w, "r", "a.example.com", "{'name':'c'}");
    run(w);
    store_absent(w->store, KUBE_Secret, STR("shop"), STR("c"), &why);
    run(w);
    expect_refs(w, "r", "InvalidCertificateRef",
                "Secret c cannot be used: it cannot be read: the service account may not get "
                "secrets here");
    assert_non_null(map_get(&w->lost, STR(C)));
    add_good(w, "c");
    run(w);
    need(w, C);
    store_absent(w->store, KUBE_Secret, STR("shop"), STR("c"), &why); /* taken away again */
    run(w);
    need(w, C);
    expect_refs(w, "r", "InvalidCertificateRef",
                "Secret c cannot be used: it cannot be read: the service account may not get "
                "secrets here; its last good version goes on");
}

/* ---- nacks and restarts ---- */

static void test_nack_goes_back(void **state) {
    struct world *w = *state;
    uint64_t good = need(w, C)->hash;
    compile_proven(w->compiler);
    add_secret(w, "shop", "c", 1, 1, "a.example.com", NULL);
    run(w);
    compile_quarantine(w->compiler, STR(C), 0, "no such curve");
    run(w);
    assert_true(need(w, C)->hash == good);
    expect_refs(w, "r", "InvalidCertificateRef",
                "Secret c cannot be used: a proxy could not use it: no such curve; its last good "
                "version goes on");
    add_secret(w, "shop", "c", 1, 1, "*.example.com", NULL);
    run(w);
    assert_true(need(w, C)->hash != good);
    expect_refs(w, "r", "ResolvedRefs", "");
}

/* Another controller, with the resources of today: v has what the fleet had. */
static void restart(struct world *v) {
    world_init(v);
    add_config(v, "");
    add_class(v);
    add_service(v, "shop", "web");
    add_slice(v, "shop", "web", "10.0.0.1");
}

static void give(struct world *v, struct world *fleet, const char *prefix, const char *id) {
    struct object *o = need(fleet, id);
    assert_non_null(map_get(&v->lost, str_of(prefix)));
    compile_restore(v->compiler, str_of(prefix), &o, 1);
    run(v);
}

static void test_restart_with_a_bad_secret(void **state) {
    struct world *w = *state, v;
    restart(&v);
    add_tls_route(&v, "r", "a.example.com", "{'name':'c'}");
    add_secret(&v, "shop", "c", 1, 0, "a.example.com", NULL);
    store_synced(v.store);
    run(&v);
    assert_null(object(&v, C));
    give(&v, w, C, C);
    assert_true(need(&v, C)->hash == need(w, C)->hash);
    assert_true(need(&v, HOST)->hash == need(w, HOST)->hash);
    assert_true(need(&v, "route/shop/r/rule-0")->hash == need(w, "route/shop/r/rule-0")->hash);
    assert_true(status(&v, KUBE_Secret, "shop", "c")->held);
    add_good(&v, "c");
    run(&v);
    assert_int_equal(v.lost.n, 0);
    world_fini(&v);
}

static void test_restart_with_a_bad_route(void **state) {
    struct world *w = *state, v;
    restart(&v);
    add(&v, "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
                "r", "shop", "") ",'spec':{'hostnames':['a.example.com'],'rules':[]}}");
    add_secret(&v, "shop", "c", 0, 0, "a.example.com", NULL);
    store_synced(v.store);
    run(&v);
    assert_null(object(&v, C));
    give(&v, w, "route/shop/r/", "route/shop/r/rule-0");
    need(&v, C);
    assert_true(need(&v, HOST)->hash == need(w, HOST)->hash);
    world_fini(&v);
}

/* ---- the time ---- */

static void test_it_expires(void **state) {
    struct world *w = *state;
    compile_clock(w->compiler, 1930003200 - 60);
    assert_int_equal(run(w), 0);
    compile_clock(w->compiler, 1930003200 + 1);
    run(w);
    assert_int_equal(w->puts + w->dels, 0);
    const struct compile_status *s = status(w, KUBE_Route, "shop", "r");
    assert_int_equal(s->n_warnings, 1);
    assert_string_equal(s->warnings[0].field, "spec.tls.certificateRefs[0]");
    assert_string_equal(s->warnings[0].text, "Secret c: the certificate has expired on 2031-02-28; "
                                             "put a new one into the Secret");
    compile_clock(w->compiler, 1930003200 + 120);
    assert_int_equal(run(w), 0);
    add_secret(w, "shop", "c", 0, 0, "a.example.com", "20410228000000Z");
    run(w);
    assert_int_equal(status(w, KUBE_Route, "shop", "r")->n_warnings, 0);
}

/* ---- nothing of a key is shown ---- */

static void test_keys_are_hidden(void **state) {
    struct world *w = *state;
    struct out o = out_heap(1 << 20);
    struct arena a;
    arena_init(&a);
    for (struct map_slot *s = NULL; (s = map_next(&w->objects, s));)
        object_json(s->value, &o);
    add_secret(w, "shop", "c", 1, 0, "a.example.com", NULL);
    run(w);
    status_json(w->store, w->compiler, NULL, STR_NONE, STR_NONE, STR_NONE, &o);
    const struct model_certificate *c = object_decode(need(w, C), &a, NULL);
    const struct str all = out_done(&o);
    assert_non_null(memmem(all.p, all.n, "\"key\":\"(hidden)\"", 16));
    for (size_t i = 0; i < 3; i++) { /* its base64, however it is aligned */
        char room[ROOM];
        int n =
            EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)c->key.p + 60 + i, 30);
        assert_null(memmem(all.p, all.n, room, (size_t)n));
    }
    assert_null(memmem(all.p, all.n, c->key.p + 60, 30));
    arena_fini(&a);
    out_fini(&o);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_secret_comes_later, world_setup),
        TEST(test_rotation_is_one_unit, secured),
        TEST(test_bad_one_stays, secured),
        TEST(test_secret_goes, secured),
        TEST(test_nobody_names_it, secured),
        TEST(test_two_routes_one_certificate, secured),
        TEST(test_refused_route_keeps_it, secured),
        TEST(test_refused_route_wants_nothing, world_setup),
        TEST(test_grant_is_withdrawn, world_setup),
        TEST(test_unknown_at_first, asking),
        TEST(test_unknown_is_absent, asking),
        TEST(test_unknown_changes_nothing, asking),
        TEST(test_forbidden, asking),
        TEST(test_nack_goes_back, secured),
        TEST(test_restart_with_a_bad_secret, secured),
        TEST(test_restart_with_a_bad_route, secured),
        TEST(test_it_expires, secured),
        TEST(test_keys_are_hidden, secured),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
