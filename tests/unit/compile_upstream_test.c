/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS to backends over time: authorities and client certificates come, are rotated, break and go;
 * grants are withdrawn (S42); a controller restarts. A backend is never in clear meanwhile. The
 * golden files have the words.
 */
#include "tests/unit/certificate_make.h"
#include "tests/unit/compile_world.h"

#include <openssl/evp.h>

enum { ROOM = 8192 };

#define BACKEND "backend/shop/web/80"

static EVP_PKEY *keys[2];
static char certificates[2][ROOM]; /* PEM, as JSON wants it */

static void escaped(const char *pem, char *to);

static int make_keys(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        char pem[ROOM];
        keys[i] = make_ec("P-256");
        X509 *x = make_x509(keys[i], &(struct making_x509){.subject = "x", .names = "DNS:x"});
        put_x509(x, pem, pem + ROOM);
        escaped(pem, certificates[i]);
        X509_free(x);
    }
    return 0;
}
static int drop_keys(void **state) {
    (void)state;
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
    return 0;
}

/* PEM with \n written as JSON wants it. */
static void escaped(const char *pem, char *to) {
    for (; *pem; pem++) {
        if (*pem == '\n') {
            *to++ = '\\';
            *to++ = 'n';
        } else {
            *to++ = *pem;
        }
    }
    *to = 0;
}

static void add_ca(struct world *w, const char *ns, const char *name, int of) {
    add(w,
        "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'%s','namespace':'%s'},"
        "'data':{'ca.crt':'%s'}}",
        name, ns, certificates[of]);
}

static void add_pair(struct world *w, const char *name, int of, int with) {
    char key[ROOM], pem[ROOM];
    put_key(keys[with], pem, pem + ROOM);
    escaped(pem, key);
    add(w,
        "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'%s','namespace':'shop'},"
        "'type':'kubernetes.io/tls','stringData':{'tls.crt':'%s','tls.key':'%s'}}",
        name, certificates[of], key);
}

static void add_policy(struct world *w, const char *tls, const char *more) {
    add(w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'TrafficPolicy','metadata':{'name':'t',"
        "'namespace':'shop','generation':2},'spec':{'targetRefs':[{'kind':'Service','name':'web'}],"
        "'connection':{'tls':%s}%s}}",
        tls, more);
}

/* ---- what came out ---- */

enum state { CLEAR, SECURED, CLOSED, NONE };

static enum state state_of(struct world *w) {
    struct object *o = object(w, BACKEND);
    struct arena a;
    if (!o)
        return NONE;
    arena_init(&a);
    const struct model_backend *b = object_decode(o, &a, NULL);
    enum state s = b->refusal == MODEL_REFUSE_POLICY ? CLOSED : b->tls ? SECURED : CLEAR;
    assert_true(s != CLOSED || !b->tls);
    arena_fini(&a);
    return s;
}

static uint64_t hash_of(struct world *w) { return need(w, BACKEND)->hash; }

static void expect(struct world *w, enum state s, const char *accepted_reason,
                   const char *refs_reason) {
    const struct compile_status *is = status(w, KUBE_TrafficPolicy, "shop", "t");
    assert_int_equal(state_of(w), s);
    assert_string_equal(is->conditions[CONDITION_ACCEPTED].reason, accepted_reason);
    assert_string_equal(is->conditions[CONDITION_RESOLVED_REFS].reason, refs_reason);
}

static void expect_good(struct world *w) { expect(w, SECURED, "Accepted", "ResolvedRefs"); }

/* ---- authorities ---- */

static void test_a_ca_comes_rotates_breaks_and_goes(void **state) {
    struct world *w = *state;
    assert_int_equal(state_of(w), CLEAR);
    add_policy(w, "{'caRefs':[{'name':'ca'}]}", "");
    run(w);
    expect(w, CLOSED, "NoValidCACertificate", "InvalidCACertificateRef");
    add_ca(w, "shop", "ca", 0);
    run(w);
    expect_good(w);
    uint64_t hash = hash_of(w);
    add_ca(w, "shop", "ca", 1);
    run(w);
    expect_good(w);
    assert_true(hash_of(w) != hash);
    add(w, "{'apiVersion':'v1','kind':'ConfigMap'," META("ca", "shop", "") ",'data':{'ca.crt':"
                                                                           "'no PEM'}}");
    run(w);
    expect(w, CLOSED, "NoValidCACertificate", "InvalidCACertificateRef");
    add(w, "{'apiVersion':'v1','kind':'ConfigMap'," META("ca", "shop", "") ",'data':{'ca.crt':7}}");
    run(w);
    expect(w, CLOSED, "NoValidCACertificate", "InvalidCACertificateRef");
    add_ca(w, "shop", "ca", 0);
    run(w);
    expect_good(w);
    assert_true(hash_of(w) == hash);
    store_delete(w->store, KUBE_ConfigMap, STR("shop"), STR("ca"));
    run(w);
    expect(w, CLOSED, "NoValidCACertificate", "InvalidCACertificateRef");
    store_delete(w->store, KUBE_TrafficPolicy, STR("shop"), STR("t"));
    run(w);
    assert_int_equal(state_of(w), CLEAR);
}

static void test_grant_withdrawn(void **state) {
    struct world *w = *state;
    add_ca(w, "data", "ca", 0);
    add_policy(w, "{'caRefs':[{'name':'ca','namespace':'data'}]}", "");
    run(w);
    expect(w, CLOSED, "NoValidCACertificate", "RefNotPermitted");
    add(w, "{'apiVersion':'gateway.networking.k8s.io/v1beta1','kind':'ReferenceGrant'," META(
               "g", "data", "") ",'spec':{'from':[{'group':'sluice.dev','kind':'TrafficPolicy',"
                                "'namespace':'shop'}],'to':[{'group':'','kind':'ConfigMap'}]}}");
    run(w);
    expect_good(w);
    store_delete(w->store, KUBE_ReferenceGrant, STR("data"), STR("g"));
    run(w);
    expect(w, CLOSED, "NoValidCACertificate", "RefNotPermitted");
}

/* ---- client certificates ---- */

static void test_a_client_certificate_over_time(void **state) {
    struct world *w = *state;
    add_policy(w, "{'clientCertificateRef':{'name':'c'}}", "");
    run(w);
    expect(w, CLOSED, "NoValidClientCertificate", "InvalidClientCertificateRef");
    add_pair(w, "c", 0, 0);
    run(w);
    expect_good(w);
    uint64_t hash = hash_of(w);
    add_pair(w, "c", 1, 1);
    run(w);
    expect_good(w);
    assert_true(hash_of(w) != hash);
    add_pair(w, "c", 1, 0);
    run(w);
    expect(w, CLOSED, "NoValidClientCertificate", "InvalidClientCertificateRef");
}

/* ---- policies that are refused ---- */

static void test_a_refused_policy_closes(void **state) {
    struct world *w = *state;
    add_policy(w, "{}", ",'timeouts':{'connect':'0s'}");
    run(w);
    assert_int_equal(state_of(w), CLOSED);
    assert_false(accepted(w, KUBE_TrafficPolicy, "shop", "t"));
    add_policy(w, "{}", "");
    run(w);
    expect_good(w);
    add_policy(w, "{}", ",'timeouts':{'connect':'0s'}"); /* now there is a last good one */
    run(w);
    assert_int_equal(state_of(w), SECURED);
    assert_false(accepted(w, KUBE_TrafficPolicy, "shop", "t"));
}

static void test_other_settings_change_no_backend(void **state) {
    struct world *w = *state;
    add_policy(w, "{}", "");
    run(w);
    uint64_t hash = hash_of(w);
    add_policy(w, "{}", ",'timeouts':{'connect':'3s'}");
    run(w);
    expect_good(w);
    assert_true(hash_of(w) == hash); /* its connections stay */
}

/* ---- read one by one ---- */

static void on_asked(void *arg, enum kube_kind kind, struct str ns, struct str name) {
    (void)arg, (void)kind, (void)ns, (void)name;
}

static void test_unknown_changes_nothing(void **state) {
    struct world *w = *state;
    add_policy(w, "{}", "");
    run(w);
    uint64_t hash = hash_of(w);
    store_ask(w->store, KUBE_ConfigMap, on_asked, NULL);
    add_policy(w, "{'caRefs':[{'name':'ca'}]}", "");
    run(w);
    assert_true(hash_of(w) == hash);
    add_ca(w, "shop", "ca", 0);
    run(w);
    expect_good(w);
    assert_true(hash_of(w) != hash);
    store_absent(w->store, KUBE_ConfigMap, STR("shop"), STR("ca"), NULL);
    run(w);
    expect(w, CLOSED, "NoValidCACertificate", "InvalidCACertificateRef");
}

/* Another controller does not know the ConfigMap yet; the fleet knows what was made of it. */
static void test_restart_before_it_is_known(void **state) {
    struct world *w = *state, v;
    add_ca(w, "shop", "ca", 0);
    add_policy(w, "{'caRefs':[{'name':'ca'}]}", "");
    run(w);
    world_init(&v);
    store_ask(v.store, KUBE_ConfigMap, on_asked, NULL);
    add_config(&v, "");
    add_class(&v);
    add_service(&v, "shop", "web");
    add_slice(&v, "shop", "web", "10.0.0.1");
    add_route(&v, "shop", "r", 2025, "a.example.com", "");
    add_policy(&v, "{'caRefs':[{'name':'ca'}]}", "");
    store_synced(v.store);
    run(&v);
    assert_int_equal(state_of(&v), NONE); /* neither in clear nor anything else */
    assert_non_null(map_get(&v.lost, STR(BACKEND)));
    struct object *o = need(w, BACKEND);
    compile_restore(v.compiler, STR(BACKEND), &o, 1);
    run(&v);
    assert_int_equal(state_of(&v), SECURED);
    assert_true(hash_of(&v) == hash_of(w));
    add_ca(&v, "shop", "ca", 1);
    run(&v);
    expect_good(&v);
    assert_true(hash_of(&v) != hash_of(w));
    assert_int_equal(v.lost.n, 0);
    world_fini(&v);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_ca_comes_rotates_breaks_and_goes), TEST(test_grant_withdrawn),
        TEST(test_a_client_certificate_over_time),     TEST(test_a_refused_policy_closes),
        TEST(test_other_settings_change_no_backend),   TEST(test_unknown_changes_nothing),
        TEST(test_restart_before_it_is_known),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
