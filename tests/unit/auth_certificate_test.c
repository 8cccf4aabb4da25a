/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates of clients as credentials: listener, policy and connection from a snapshot. What a
 * worker remembers of them is in badge_test.c, what programs do with them in tests/e2e/auth-certs.
 */
#include "proxy/auth/auth.h"
#include "proxy/net/tls.h"

#include "tests/unit/certificate_make.h"
#include "tests/unit/route_world.h"

enum { NOW = 1800000000, PORT = 443 };

struct court {
    struct world w;
    struct loop loop;
    struct auth_env *env;
    EVP_PKEY *key;
    X509 *root, *other;
    char root_pem[4096], other_pem[4096];
};

static X509 *authority(struct court *c, const char *name, char pem[4096]) {
    X509 *x = make_x509(c->key,
                        &(struct making_x509){.subject = name, .constraints = "critical,CA:TRUE"});
    put_x509(x, pem, pem + 4096);
    return x;
}

static int setup(void **state) {
    struct court *c = mem_zalloc(sizeof(*c));
    world_init(&c->w);
    assert_int_equal(loop_init(&c->loop, 1 << 20, 1 << 20), 0);
    c->env = auth_env_new(&c->loop, NULL);
    c->key = make_ec("P-256");
    c->root = authority(c, "root", c->root_pem);
    c->other = authority(c, "other", c->other_pem);
    *state = c;
    return 0;
}

static int teardown(void **state) {
    struct court *c = *state;
    auth_env_free(c->env);
    world_fini(&c->w);
    loop_fini(&c->loop);
    X509_free(c->root);
    X509_free(c->other);
    EVP_PKEY_free(c->key);
    mem_free(c);
    return 0;
}

/* ---- what is put ---- */

static void put_listener(struct court *c, enum model_client_validation mode, const char *ca) {
    struct model_listener_tls tls = {.client_validation = mode, .client_ca = str_of(ca)};
    struct model_listener l = {.port = PORT, .protocol = MODEL_HTTPS, .tls = &tls};
    world_put(&c->w, MODEL_KIND_listener, STR("listener/sluice/https"), &l);
    world_commit(&c->w);
}

/* One route of host shop.test under that policy. */
static void put_policy(struct court *c, struct model_auth p) {
    struct model_route r = {.auth = STR("auth/ns/p")};
    put_host(&c->w, "shop.test");
    put_backend(&c->w, "b", "10.0.0.1:80", NULL);
    put_route_as(&c->w, r, "r", "shop.test", PREFIX(""), "b");
    p.any_caller = true;
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/p"), &p);
}

static struct model_auth_method_config method(const char *name, struct model_auth_certificate *m) {
    return (struct model_auth_method_config){
        .name = str_of(name), .type = MODEL_AUTH_CLIENT_CERTIFICATE, .certificate = m};
}

static struct tls_peer shown(struct court *c, const X509 *issuer, const char *names,
                             const char *not_after) {
    struct tls_peer p = {.leaf = make_x509(c->key, &(struct making_x509){.subject = "leaf",
                                                                         .names = names,
                                                                         .issuer = issuer,
                                                                         .not_after = not_after})};
    unsigned n;
    assert_int_equal(X509_digest(p.leaf, EVP_sha256(), p.fingerprint, &n), 1);
    return p;
}

/* ---- what is asked ---- */

static void expect(struct court *c, const struct tls_peer *p, const char *method,
                   const char *subject, const char *detail) {
    static struct ask q;
    static const uint8_t client[16] = {0};
    struct match_result found;
    ask_init(&q, "GET", NULL);
    struct route_request rq = {.host = STR("shop.test"), .path = STR("/"), .head = &q.head};
    assert_true(snapshot_route(c->w.s, &rq, c->w.scratch, &found));
    struct exchange x = {.snapshot = c->w.s,
                         .request = &q.head,
                         .rule = found.rule,
                         .match = found.match,
                         .host = rq.host,
                         .path = rq.path,
                         .port = PORT,
                         .secure = true,
                         .shown = p};
    struct errands none = {0};
    const struct auth_known known = {.client = client, .now = NOW, .errands = &none};
    struct auth *a = auth_judge(c->env, &x, &known);
    assert_non_null(a);
    assert_int_equal(a->refused, detail != NULL);
    if (detail && !str_eq(a->detail, str_of(detail)))
        fail_msg("%.*s", STR_FMT(a->detail));
    if (!detail)
        assert_true(str_eq(a->method, str_of(method)) && str_eq(a->subject, str_of(subject)));
    auth_drop(c->env, a);
}

static void gone(struct tls_peer *p) { X509_free(p->leaf); }

#define NOBODY "the certificate is of an authority that does not count here"

/* ---- cases ---- */

static void by_the_policy_alone(void **state) {
    struct court *c = *state;
    struct model_auth_certificate own = {.ca = str_of(c->root_pem)}, none = {0};
    struct model_auth_method_config list[] = {method("own", &own)};
    struct tls_peer good = shown(c, c->root, "DNS:a.test", NULL);
    struct tls_peer bad = shown(c, c->other, "DNS:a.test", NULL);
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 1});
    put_listener(c, MODEL_CLIENT_REQUEST, "");
    expect(c, &good, "own", "a.test", NULL);
    expect(c, &bad, NULL, NULL, NOBODY);
    expect(c, NULL, NULL, NULL, "no credential, and no certificate was shown");
    list[0].certificate = &none;
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 1});
    world_commit(&c->w);
    expect(c, &good, NULL, NULL,
           "neither the listener nor the policy names an authority that counts");
    gone(&good);
    gone(&bad);
}

/* Connections that stand are judged by what the listener says now. */
static void by_the_listener_first(void **state) {
    struct court *c = *state;
    struct model_auth_certificate any = {0}, own = {.ca = str_of(c->root_pem)};
    struct model_auth_method_config list[] = {method("own", &own), method("any", &any)};
    struct tls_peer p = shown(c, c->root, "URI:spiffe://a/b", NULL);
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 2});
    put_listener(c, MODEL_CLIENT_REQUIRE, c->root_pem);
    expect(c, &p, "own", "spiffe://a/b", NULL);
    put_listener(c, MODEL_CLIENT_OPTIONAL, c->other_pem);
    expect(c, &p, NULL, NULL, NOBODY);
    put_listener(c, MODEL_CLIENT_NONE, "");
    expect(c, &p, NULL, NULL, "the listener asks for no certificate any more");
    put_listener(c, MODEL_CLIENT_REQUIRE, c->root_pem);
    expect(c, &p, "own", "spiffe://a/b", NULL);
    gone(&p);
}

/* What is wrong never becomes nothing. */
static void anonymous_is_for_nothing(void **state) {
    struct court *c = *state;
    struct model_auth_certificate own = {.ca = str_of(c->root_pem)};
    struct model_auth_method_config list[] = {method("own", &own),
                                              {.name = STR("open"), .type = MODEL_AUTH_ANONYMOUS}};
    struct tls_peer stranger = shown(c, c->other, NULL, NULL);
    struct tls_peer old = shown(c, c->root, NULL, "20210101000000Z");
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 2});
    put_listener(c, MODEL_CLIENT_REQUEST, "");
    expect(c, NULL, "open", "", NULL);
    expect(c, &stranger, NULL, NULL, "a credential that no method knows");
    expect(c, &old, NULL, NULL, "the certificate has expired");
    gone(&stranger);
    gone(&old);
}

static void all_of_them(void **state) {
    struct court *c = *state;
    struct str host = STR("*.a.test"), mail = STR("*@a.test");
    struct model_auth_certificate one = {.ca = str_of(c->root_pem), .hosts = &host, .n_hosts = 1};
    struct model_auth_certificate two = {.ca = str_of(c->root_pem), .emails = &mail, .n_emails = 1};
    struct model_auth_method_config list[] = {method("one", &one), method("two", &two)};
    struct tls_peer both = shown(c, c->root, "email:joe@A.test,DNS:X.a.test", NULL);
    struct tls_peer half = shown(c, c->root, "DNS:x.a.test,DNS:b.x.a.test", NULL);
    struct tls_peer none = shown(c, c->root, "DNS:b.x.a.test", NULL);
    list[1].optional = true;
    put_policy(c,
               (struct model_auth){.require = MODEL_REQUIRE_ALL, .methods = list, .n_methods = 2});
    put_listener(c, MODEL_CLIENT_REQUEST, "");
    expect(c, &both, "one", "joe@a.test", NULL);
    expect(c, &half, "one", "x.a.test", NULL);
    expect(c, &none, NULL, NULL, "the certificate has none of the names that count here");
    gone(&both);
    gone(&half);
    gone(&none);
}

/* Such an object is not taken: the last good one goes on. */
static void terms_that_are_none(void **state) {
    struct court *c = *state;
    struct model_auth_certificate bad[] = {{.ca = STR("nonsense")},
                                           {.ca = str_of(c->root_pem), .crl = STR("nonsense")},
                                           {.crl = STR("nonsense")}};
    for (size_t i = 0; i < ARRAY_LEN(bad) + 1; i++) {
        struct model_auth_method_config list[] = {method("m", i < ARRAY_LEN(bad) ? &bad[i] : NULL)};
        put_policy(c, (struct model_auth){.methods = list, .n_methods = 1});
        assert_false(world_try(&c->w));
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(by_the_policy_alone), T(by_the_listener_first), T(anonymous_is_for_nothing),
        T(all_of_them),         T(terms_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
