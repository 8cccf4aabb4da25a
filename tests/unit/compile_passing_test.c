/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP and TLS listeners over time: their Service comes and goes, a port that no client reaches, a
 * policy that sends the PROXY protocol. The golden files have the words.
 */
#include "tests/unit/compile_world.h"

#define DB                                                                                         \
    "'listeners':[{'name':'http','port':80,'protocol':'HTTP'},{'name':'db','port':5432,"           \
    "'protocol':'TCP','backendRef':{'namespace':'data','name':'db','port':80}}]"

static const struct condition *refs(struct world *w, enum kube_kind kind, const char *ns,
                                    const char *name) {
    return &status(w, kind, ns, name)->conditions[CONDITION_RESOLVED_REFS];
}
static const struct condition *refs_of_config(struct world *w) {
    return refs(w, KUBE_GatewayConfig, "", "g");
}

static bool leads_somewhere(struct world *w) {
    struct arena a;
    arena_init(&a);
    const struct model_listener *l = object_decode(need(w, "listener/sluice/db"), &a, NULL);
    bool leads = l->backend.n > 0;
    must(!leads || str_eq(l->backend, STR("backend/data/db/80")));
    arena_fini(&a);
    return leads;
}

static void a_service_comes_and_goes(void **state) {
    struct world *w = *state;
    add_config(w, DB);
    run(w);
    assert_false(leads_somewhere(w));
    assert_string_equal(refs_of_config(w)->reason, "BackendNotFound");
    assert_true(accepted(w, KUBE_GatewayConfig, "", "g"));
    add_service(w, "data", "db"); /* no grant: the cluster's own object refers to it */
    add_slice(w, "data", "db", "10.0.0.9");
    run(w);
    assert_true(leads_somewhere(w));
    assert_true(refs_of_config(w)->value);
    need(w, "backend/data/db/80");
    need(w, "endpoints/data/db/80");
    assert_true(store_delete(w->store, KUBE_Service, STR("data"), STR("db")));
    run(w);
    assert_false(leads_somewhere(w));
    assert_false(refs_of_config(w)->value);
    assert_null(object(w, "backend/data/db/80"));
    add_config(w, "");
    run(w);
    assert_null(object(w, "listener/sluice/db"));
    assert_false(refs_of_config(w)->set);
}

static void a_port_that_nobody_reaches(void **state) {
    static const uint16_t ports[] = {80, 443};
    struct world *w = *state;
    compile_exposed(w->compiler, ports, ARRAY_LEN(ports));
    add_service(w, "data", "db");
    add_config(w, DB);
    run(w);
    assert_string_equal(refs_of_config(w)->reason, "NotExposed");
    assert_non_null(strstr(sentence(w, KUBE_GatewayConfig, "", "g"),
                           "service.ports.db: {port: 5432, containerPort: 5432}"));
    assert_true(leads_somewhere(w)); /* what is there works all the same */
    add_config(w, "'listeners':[{'name':'alt','port':81,'protocol':'HTTP'}]");
    run(w);
    assert_non_null(strstr(sentence(w, KUBE_GatewayConfig, "", "g"),
                           "service.ports.alt: {port: 81, containerPort: 8081}"));
    add_config(w, "'listeners':[{'name':'https','port':443,'protocol':'HTTPS'}]");
    run(w);
    assert_false(refs_of_config(w)->set);
}

static void add_policy(struct world *w, const char *connection) {
    add(w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'TrafficPolicy','metadata':{'name':'t',"
        "'namespace':'shop'},'spec':{'targetRefs':[{'group':'','kind':'Service','name':'web'}],"
        "'connection':{%s}}}",
        connection);
}

/* A Service whose connections name their clients is as good as any other for a Route. */
static void requests_are_sent_with_the_proxy_protocol(void **state) {
    struct world *w = *state;
    add_policy(w, "'maxConnections':5");
    run(w);
    assert_true(refs(w, KUBE_Route, "shop", "r")->value);
    add_policy(w, "'proxyProtocol':'V2'");
    run(w);
    assert_true(accepted(w, KUBE_TrafficPolicy, "shop", "t"));
    assert_true(refs(w, KUBE_Route, "shop", "r")->value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_service_comes_and_goes, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_port_that_nobody_reaches, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(requests_are_sent_with_the_proxy_protocol, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
