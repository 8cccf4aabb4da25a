/* SPDX-License-Identifier: Apache-2.0
 *
 * jwks.backendRef of an AuthPolicy: what the controller is to ask of a Service, when that becomes
 * another thing, and which Services it is never asked of.
 */
#include "controller/fetch/keyset.h"

#include "tests/unit/compile_world.h"

static void add_policy(struct world *w, const char *jwks) {
    add(w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'AuthPolicy','metadata':{'name':'p',"
        "'namespace':'shop'},'spec':{'methods':[{'name':'a','jwt':{'issuer':'https://idp',"
        "'algorithms':['ES256'],'jwks':{%s}}}]}}",
        jwks);
    run(w);
}

static const struct keyset_want *one_want(struct world *w) {
    const struct keyset_want *v;
    size_t n;
    compile_wants(w->compiler, &v, &n);
    assert_true(n <= 1);
    return n == 1 ? v : NULL;
}

static bool asks(struct world *w, const char *url) {
    const struct keyset_want *v = one_want(w);
    return v && v->backend && v->issuer.n == 0 && str_eq(v->url, str_of(url));
}

static bool at(struct world *w, uint32_t i, const char *endpoint) {
    const struct keyset_want *v = one_want(w);
    return v && i < v->n_endpoints && str_eq(v->endpoints[i], str_of(endpoint));
}

static const char *refused(struct world *w) { return sentence(w, KUBE_AuthPolicy, "shop", "p"); }

#define GOOD "'backendRef':{'name':'web','port':80}"

static void of_a_service(void **state) {
    struct world *w = *state;
    add_policy(w, GOOD);
    assert_true(asks(w, "http://web.shop.svc:80/.well-known/jwks.json"));
    assert_true(at(w, 0, "10.0.0.1:9000") && one_want(w)->n_endpoints == 1);
    assert_null(object(w, "key_set/shop/p/a"));
    const struct keyset good = {
        .state = KEYSET_GOOD,
        .document = STR("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"one\",\"x\":"
                        "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
        .fetched = 7,
        .stale_after = 9};
    compile_fetched(w->compiler, one_want(w)->key, &good);
    run(w);
    need(w, "key_set/shop/p/a");
    assert_true(accepted(w, KUBE_AuthPolicy, "shop", "p"));
    add_policy(w, GOOD ",'path':'/keys?a=b'");
    assert_true(asks(w, "http://web.shop.svc:80/keys?a=b"));
}

static void endpoints_change(void **state) {
    struct world *w = *state;
    add_policy(w, GOOD);
    add_slice(w, "shop", "web", "10.0.0.2");
    run(w);
    assert_true(at(w, 0, "10.0.0.2:9000"));
    add(w, "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'six',"
           "'namespace':'shop','labels':{'kubernetes.io/service-name':'web'}},'addressType':'IPv6',"
           "'ports':[{'port':9000}],'endpoints':[{'addresses':['fd00::7']},{'addresses':["
           "'fd00::8'],'conditions':{'ready':false,'serving':true,'terminating':true}}]}");
    run(w);
    assert_true(at(w, 1, "[fd00::7]:9000") && one_want(w)->n_endpoints == 2);
    store_delete(w->store, KUBE_EndpointSlice, STR("shop"), STR("six"));
    store_delete(w->store, KUBE_EndpointSlice, STR("shop"), STR("web-1"));
    run(w);
    assert_int_equal(one_want(w)->n_endpoints, 0); /* keysets says so */
    char text[4096] = "", *end = text;
    for (unsigned i = 0; i < 40; i++)
        end += snprintf(end, (size_t)(text + sizeof(text) - end), "%s{'addresses':['10.0.1.%u']}",
                        i > 0 ? "," : "", i + 1);
    add(w,
        "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'many',"
        "'namespace':'shop','labels':{'kubernetes.io/service-name':'web'}},'addressType':'IPv4',"
        "'ports':[{'port':9000}],'endpoints':[%s]}",
        text);
    run(w);
    assert_int_equal(one_want(w)->n_endpoints, 16);
    assert_true(at(w, 15, "10.0.1.16:9000"));
}

static void over_tls(void **state) {
    struct world *w = *state;
    add(w, "{'apiVersion':'v1','kind':'Service','metadata':{'name':'tls','namespace':'shop'},"
           "'spec':{'ports':[{'port':443,'appProtocol':'https'}]}}");
    add_policy(w, "'backendRef':{'name':'tls','port':443}");
    assert_true(asks(w, "https://tls.shop.svc:443/.well-known/jwks.json"));
    assert_int_equal(one_want(w)->ca.n, 0);
    add_policy(w, GOOD ",'caRef':{'name':'nobody'}");
    assert_null(one_want(w)); /* never in clear instead */
    assert_non_null(strstr(refused(w), "no authority"));
}

static void not_asked(void **state) {
    static const struct {
        const char *jwks, *says;
    } all[] = {
        {"'backendRef':{'name':'web'}", "needs a port"},
        {"'backendRef':{'name':'web','port':81}", "503 policy_unavailable"},
        {"'backendRef':{'name':'nobody','port':80}", "503 policy_unavailable"},
        {"'backendRef':{'name':'web','namespace':'other','port':80}", "503 policy_unavailable"},
        {"'backendRef':{'name':'udp','port':80}", "503 policy_unavailable"},
        {"'backendRef':{'name':'out','port':80}", "503 policy_unavailable"},
        {"'backendRef':{'kind':'Bucket','name':'web','port':80}", "503 policy_unavailable"},
        {GOOD ",'path':'keys'", "from the first slash on"},
        {GOOD ",'path':'/a b'", "from the first slash on"},
        {"'uri':'https://a','path':'/keys'", "is for backendRef"},
        {GOOD ",'uri':'https://a'", "exactly one of"},
    };
    struct world *w = *state;
    add_service(w, "other", "web");
    add(w, "{'apiVersion':'v1','kind':'Service','metadata':{'name':'udp','namespace':'shop'},"
           "'spec':{'ports':[{'port':80,'protocol':'UDP'}]}}");
    add(w, "{'apiVersion':'v1','kind':'Service','metadata':{'name':'out','namespace':'shop'},"
           "'spec':{'type':'ExternalName','externalName':'a.example.net'}}");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        add_policy(w, all[i].jwks);
        if (!strstr(refused(w), all[i].says))
            fail_msg("%s: %s", all[i].jwks, refused(w));
        assert_false(accepted(w, KUBE_AuthPolicy, "shop", "p"));
        assert_null(one_want(w));
    }
    add(w, "{'apiVersion':'gateway.networking.k8s.io/v1beta1','kind':'ReferenceGrant','metadata':{"
           "'name':'g','namespace':'other'},'spec':{'from':[{'group':'sluice.dev','kind':"
           "'AuthPolicy','namespace':'shop'}],'to':[{'group':'','kind':'Service'}]}}");
    add_policy(w, "'backendRef':{'name':'web','namespace':'other','port':80}");
    assert_true(asks(w, "http://web.other.svc:80/.well-known/jwks.json"));
    store_delete(w->store, KUBE_ReferenceGrant, STR("other"), STR("g"));
    run(w);
    assert_null(one_want(w));
}

#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {IN_WORLD(of_a_service), IN_WORLD(endpoints_change),
                                       IN_WORLD(over_tls), IN_WORLD(not_asked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
