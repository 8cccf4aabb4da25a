/* SPDX-License-Identifier: Apache-2.0
 *
 * What the golden files cannot say: changes. Which units are compiled, what stays when a resource
 * is refused, who has a host, what a nack and a restart do.
 */
#include "tests/unit/compile_world.h"

#define BAD_REGEX "'matches':[{'path':{'type':'RegularExpression','value':'('}}],"

/* ---- only what changed ---- */

static void test_small_world(void **state) {
    struct world *w = *state;
    need(w, "gateway/-/sluice");
    need(w, "listener/sluice/http");
    need(w, "listener/sluice/https");
    need(w, "host/sluice/a.example.com");
    need(w, "route/shop/r/rule-0");
    need(w, "backend/shop/web/80");
    need(w, "endpoints/shop/web/80");
    assert_int_equal(w->objects.n, 7);
    assert_int_equal(compile_objects(w->compiler, NULL, 0), 7);
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
    assert_int_equal(run(w), 0);
}

static void test_nothing_before_synced(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    add_class(&w);
    assert_int_equal(run(&w), 0);
    store_synced(w.store);
    assert_true(run(&w) > 0);
    world_fini(&w);
}

static void test_endpoint_is_one_unit(void **state) {
    struct world *w = *state;
    add_slice(w, "shop", "web", "10.0.0.2");
    assert_int_equal(run(w), 1);
    assert_int_equal(w->puts, 1);
    assert_int_equal(w->dels, 0);
}

static void test_route_is_one_unit(void **state) {
    struct world *w = *state;
    add_route(w, "shop", "other", 2025, "a.example.com", "'matches':[{'path':{'value':'/x'}}],");
    run(w);
    add_route(w, "shop", "r", 2025, "a.example.com", "'timeouts':{'request':'5s'},");
    assert_int_equal(run(w), 1);
    assert_int_equal(w->puts, 1);
}

/* What names the class reads what is said of it, and not each other. */
static void test_route_with_a_class_is_one_unit(void **state) {
    struct world *w = *state;
    static const char named[] = "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
        "%s", "shop", "") ",'spec':{'ingressClassName':'sluice','hostnames':['%s.example.com'],"
                          "'rules':[{'timeouts':{'request':'%s'}}]}}";
    add(w, named, "x", "x", "5s");
    add(w, named, "y", "y", "5s");
    run(w);
    add(w, named, "x", "x", "6s");
    assert_int_equal(run(w), 1);
}

static void test_same_again_is_nothing(void **state) {
    struct world *w = *state;
    add_route(w, "shop", "r", 2025, "a.example.com", "");
    assert_int_equal(run(w), 0);
}

static void test_policy_is_one_unit(void **state) {
    struct world *w = *state;
    static const char policy[] = "{'apiVersion':'sluice.dev/v1alpha1','kind':'TrafficPolicy'," META(
        "t", "shop", "") ","
                         "'spec':{'targetRefs':[{'group':'sluice.dev','kind':'Route','name':'r'}],"
                         "'timeouts':{'request':'%s'}}}";
    add(w, policy, "5s");
    run(w);
    assert_int_equal(w->puts, 2); /* the policy, and the route that names it */
    add(w, policy, "6s");
    assert_int_equal(run(w), 1);
    assert_int_equal(w->puts, 1);
    assert_true(store_delete(w->store, KUBE_TrafficPolicy, STR("shop"), STR("t")));
    run(w);
    assert_int_equal(w->dels, 1);
    assert_int_equal(w->puts, 1);
}

static void test_delete_takes_all_with_it(void **state) {
    struct world *w = *state;
    add_config(w, "'hostOwnership':{'releaseAfter':'0s'}");
    run(w);
    assert_true(store_delete(w->store, KUBE_Route, STR("shop"), STR("r")));
    run(w);
    assert_int_equal(w->objects.n, 3); /* gateway and listeners */
    assert_int_equal(w->dels, 4);
}

static void test_service_comes_later(void **state) {
    struct world *w = *state;
    store_delete(w->store, KUBE_Service, STR("shop"), STR("web"));
    run(w);
    assert_string_equal(sentence(w, KUBE_Route, "shop", "r"), "there is no Service web");
    assert_null(object(w, "backend/shop/web/80"));
    add_service(w, "shop", "web");
    run(w);
    assert_string_equal(sentence(w, KUBE_Route, "shop", "r"), "");
    need(w, "endpoints/shop/web/80");
}

/* ---- what comes in streams of its own comes in any order ---- */

static void add_route_to(struct world *w, const char *name, const char *service) {
    add(w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
            "%s", "shop", "") ",'spec':{'hostnames':['%s.example.com'],'rules':[{'backendRefs':[{"
                              "'name':'%s','port':80}]}]}}",
        name, name, service);
}

static void test_a_new_route_waits_for_its_service(void **state) {
    struct world *w = *state;
    w->fresh = true;
    add_route_to(w, "n", "new");
    run(w);
    assert_true(compile_is_late(w->compiler));
    assert_null(object(w, "route/shop/n/rule-0"));
    add_service(w, "shop", "new");
    run(w);
    assert_null(object(w, "route/shop/n/rule-0")); /* it would answer 503 */
    add_slice(w, "shop", "new", "10.0.0.9");
    run(w);
    need(w, "route/shop/n/rule-0");
    need(w, "endpoints/shop/new/80");
    assert_string_equal(sentence(w, KUBE_Route, "shop", "n"), "");
    assert_false(compile_is_late(w->compiler));
    assert_false(compile_settle(w->compiler));
    add_slice(w, "shop", "new", "10.0.0.8");
    run(w);
    add_slice(w, "shop", "new", "10.0.0.7");
    assert_int_equal(run(w), 1); /* it reads them no more */
}

static void test_a_new_route_does_not_wait_for_long(void **state) {
    struct world *w = *state;
    w->fresh = true;
    add_route_to(w, "n", "new");
    run(w);
    assert_true(compile_settle(w->compiler)); /* it may have come a moment ago */
    run(w);
    assert_null(object(w, "route/shop/n/rule-0"));
    assert_false(compile_settle(w->compiler));
    run(w);
    need(w, "route/shop/n/rule-0");
    assert_string_equal(sentence(w, KUBE_Route, "shop", "n"), "there is no Service new");
    add_service(w, "shop", "new");
    run(w);
    assert_string_equal(sentence(w, KUBE_Route, "shop", "n"), "");
}

static void test_a_change_waits_for_its_service(void **state) {
    struct world *w = *state;
    w->fresh = true;
    add_route_to(w, "n", "web");
    run(w);
    uint64_t was = need(w, "route/shop/n/rule-0")->hash;
    add_route_to(w, "n", "new");
    run(w);
    assert_true(need(w, "route/shop/n/rule-0")->hash == was);
    assert_true(store_delete(w->store, KUBE_Route, STR("shop"), STR("n")));
    run(w);
    assert_null(object(w, "route/shop/n/rule-0"));
    assert_false(compile_is_late(w->compiler));
}

/* What was there and goes is missed at once. */
static void test_a_route_does_not_wait_again(void **state) {
    struct world *w = *state;
    w->fresh = true;
    add_route_to(w, "n", "web");
    run(w);
    need(w, "route/shop/n/rule-0");
    store_delete(w->store, KUBE_Service, STR("shop"), STR("web"));
    run(w);
    assert_string_equal(sentence(w, KUBE_Route, "shop", "n"), "there is no Service web");
}

/* ---- refused: the last good version goes on ---- */

static void test_refused_holds(void **state) {
    struct world *w = *state;
    uint64_t hash = need(w, "route/shop/r/rule-0")->hash;
    add_route(w, "shop", "r", 2025, "b.example.com", BAD_REGEX);
    run(w);
    assert_int_equal(w->puts + w->dels, 0);
    assert_true(need(w, "route/shop/r/rule-0")->hash == hash);
    const struct compile_status *s = status(w, KUBE_Route, "shop", "r");
    assert_true(s->held);
    assert_string_equal(s->conditions[CONDITION_ACCEPTED].reason, "Invalid");
    assert_string_equal(s->conditions[CONDITION_ACCEPTED].why->field,
                        "spec.rules[0].matches[0].path.value");
    assert_null(object(w, "host/sluice/b.example.com"));
    /* and it is compiled against the world of today */
    add_slice(w, "shop", "web", "10.0.0.9");
    run(w);
    assert_int_equal(w->puts, 1);
    store_delete(w->store, KUBE_Service, STR("shop"), STR("web"));
    run(w);
    assert_true(need(w, "route/shop/r/rule-0")->hash != hash);
    add_route(w, "shop", "r", 2025, "b.example.com", "");
    add_service(w, "shop", "web");
    run(w);
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
    need(w, "host/sluice/b.example.com");
}

static void test_unreadable_holds(void **state) {
    struct world *w = *state;
    add_route(w, "shop", "r", 2025, "a.example.com", "'nonsense':1,");
    run(w);
    assert_int_equal(w->puts + w->dels, 0);
    assert_false(accepted(w, KUBE_Route, "shop", "r"));
    assert_int_equal(w->lost.n, 0);
}

static void test_refused_config_holds_class(void **state) {
    struct world *w = *state;
    add_config(w, "'reasonHeader':'Sometimes'");
    run(w);
    assert_int_equal(w->puts + w->dels, 0);
    assert_false(accepted(w, KUBE_IngressClass, "", "sluice"));
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
    add_route(w, "shop", "s", 2025, "s.example.com", ""); /* a new one is served as well */
    run(w);
    need(w, "route/shop/s/rule-0");
}

static void test_unreadable_service_holds(void **state) {
    struct world *w = *state;
    add(w, "{'apiVersion':'v1','kind':'Service'," META("web", "shop", "") ",'spec':{'ports':7}}");
    run(w);
    assert_int_equal(w->dels, 0);
    assert_non_null(object(w, "backend/shop/web/80"));
    assert_int_equal(status(w, KUBE_Route, "shop", "r")->n_warnings, 1);
}

static void test_class_goes(void **state) {
    struct world *w = *state;
    store_delete(w->store, KUBE_IngressClass, STR(""), STR("sluice"));
    run(w);
    assert_int_equal(w->objects.n, 0);
    assert_string_equal(status(w, KUBE_Route, "shop", "r")->conditions[CONDITION_ACCEPTED].reason,
                        "NoClass");
    add_class(w);
    run(w);
    assert_int_equal(w->objects.n, 7);
}

static void test_grant_withdrawn(void **state) {
    struct world *w = *state;
    add_service(w, "data", "db");
    add(w, "{'apiVersion':'gateway.networking.k8s.io/v1beta1','kind':'ReferenceGrant'," META(
               "g", "data", "") ",'spec':{'from':[{'group':'sluice.dev','kind':'Route',"
                                "'namespace':'shop'}],'to':[{'group':'','kind':'Service'}]}}");
    add(w, "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
               "x", "shop",
               "") ","
                   "'spec':{'hostnames':['x.example.com'],'rules':[{'backendRefs':[{'name':'db',"
                   "'namespace':'data','port':80}]}]}}");
    run(w);
    need(w, "backend/data/db/80");
    store_delete(w->store, KUBE_ReferenceGrant, STR("data"), STR("g"));
    run(w);
    assert_null(object(w, "backend/data/db/80"));
    assert_string_equal(
        status(w, KUBE_Route, "shop", "x")->conditions[CONDITION_RESOLVED_REFS].reason,
        "RefNotPermitted");
}

/* ---- lost and restored ---- */

static void test_lost_and_restored(void **state) {
    struct world *w = *state, v;
    world_init(&v);
    add_config(&v, "");
    add_class(&v);
    add_service(&v, "shop", "web");
    add_slice(&v, "shop", "web", "10.0.0.1");
    add_route(&v, "shop", "r", 2025, "a.example.com", "'nonsense':1,");
    store_synced(v.store);
    run(&v);
    assert_non_null(map_get(&v.lost, STR("route/shop/r/")));
    assert_null(object(&v, "route/shop/r/rule-0"));
    struct object *had = need(w, "route/shop/r/rule-0");
    compile_restore(v.compiler, STR("route/shop/r/"), &had, 1);
    run(&v);
    assert_true(need(&v, "route/shop/r/rule-0")->hash == had->hash);
    assert_int_equal(v.objects.n, w->objects.n); /* with all that it calls */
    assert_true(need(&v, "host/sluice/a.example.com")->hash ==
                need(w, "host/sluice/a.example.com")->hash);
    assert_true(status(&v, KUBE_Route, "shop", "r")->held);
    add_route(&v, "data", "thief", 2026, "a.example.com", ""); /* the host is not free */
    run(&v);
    assert_false(accepted(&v, KUBE_Route, "data", "thief"));
    assert_int_equal(v.lost.n, 1);
    add_route(&v, "shop", "r", 2025, "a.example.com", "");
    run(&v);
    assert_int_equal(v.lost.n, 0);
    assert_true(accepted(&v, KUBE_Route, "shop", "r"));
    assert_true(need(&v, "route/shop/r/rule-0")->hash == had->hash);
    world_fini(&v);
}

static void test_lost_and_deleted(void **state) {
    struct world *w = *state;
    add_route(w, "shop", "bad", 2025, "z.example.com", BAD_REGEX);
    run(w);
    assert_non_null(map_get(&w->lost, STR("route/shop/bad/")));
    store_delete(w->store, KUBE_Route, STR("shop"), STR("bad"));
    run(w);
    assert_int_equal(w->lost.n, 0);
}

/* ---- nacks ---- */

static void test_nack_goes_back(void **state) {
    struct world *w = *state;
    compile_proven(w->compiler);
    uint64_t good = need(w, "route/shop/r/rule-0")->hash;
    add_route(w, "shop", "r", 2025, "a.example.com", "'timeouts':{'request':'1s'},");
    run(w);
    uint64_t bad = need(w, "route/shop/r/rule-0")->hash;
    assert_true(bad != good);
    compile_quarantine(w->compiler, STR("route/shop/r/rule-0"), 0, "it does not fit");
    run(w);
    assert_true(need(w, "route/shop/r/rule-0")->hash == good);
    assert_string_equal(sentence(w, KUBE_Route, "shop", "r"),
                        "a proxy could not use it: it does not fit");
    assert_true(status(w, KUBE_Route, "shop", "r")->held);
    add_slice(w, "shop", "web", "10.0.0.7"); /* the same thing is not tried again */
    run(w);
    assert_true(need(w, "route/shop/r/rule-0")->hash == good);
    add_route(w, "shop", "r", 2025, "a.example.com", "'timeouts':{'request':'2s'},");
    run(w);
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
    assert_true(need(w, "route/shop/r/rule-0")->hash != good);
}

static void test_nack_of_the_first(void **state) {
    struct world *w = *state; /* nothing is proven yet */
    compile_quarantine(w->compiler, STR("route/shop/r/rule-0"), 0, "it does not fit");
    run(w);
    assert_null(object(w, "route/shop/r/rule-0"));
    assert_false(accepted(w, KUBE_Route, "shop", "r"));
    compile_quarantine(w->compiler, STR("route/no/such/thing"), 0, "whatever");
}

/* The hash of what Route r makes then. */
static uint64_t edited(struct world *w, const char *rule) {
    add_route(w, "shop", "r", 2025, "a.example.com", rule);
    run(w);
    return need(w, "route/shop/r/rule-0")->hash;
}

/* Each proxy of a fleet refuses the same, one after the other. */
static void test_nacks_of_several_proxies(void **state) {
    struct world *w = *state;
    const char *id = "route/shop/r/rule-0";
    compile_proven(w->compiler);
    uint64_t good = need(w, id)->hash, bad = edited(w, "'timeouts':{'request':'1s'},");
    for (int i = 0; i < 3; i++) {
        compile_quarantine(w->compiler, str_of(id), bad, "it does not fit");
        run(w);
        assert_true(need(w, id)->hash == good);
        assert_false(accepted(w, KUBE_Route, "shop", "r"));
    }
    assert_true(edited(w, "'timeouts':{'request':'2s'},") != good);
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
}

/* It has come to another controller's proxy first. */
static void test_nack_comes_before_the_object(void **state) {
    struct world *w = *state;
    const char *id = "route/shop/r/rule-0";
    compile_proven(w->compiler);
    uint64_t good = need(w, id)->hash, bad = edited(w, "'timeouts':{'request':'1s'},");
    assert_true(edited(w, "") == good);
    compile_proven(w->compiler);

    compile_quarantine(w->compiler, str_of(id), bad, "it does not fit");
    assert_true(need(w, id)->hash == good);
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
    uint64_t other = edited(w, "'timeouts':{'request':'2s'},"); /* is another one */
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
    compile_proven(w->compiler);
    assert_true(edited(w, "'timeouts':{'request':'1s'},") == other);
    assert_string_equal(sentence(w, KUBE_Route, "shop", "r"),
                        "a proxy could not use it: it does not fit");
}

/* A proxy that says no hash: what comes under that id, if it comes soon. */
static void test_nack_without_hash_comes_before_the_object(void **state) {
    struct world *w = *state;
    compile_quarantine(w->compiler, STR("route/shop/soon/rule-0"), 0, "it does not fit");
    add_route(w, "shop", "soon", 2025, "soon.example.com", "");
    run(w);
    assert_null(object(w, "route/shop/soon/rule-0"));
    assert_false(accepted(w, KUBE_Route, "shop", "soon"));
    for (unsigned i = 0; i < COMPILE_FORESEEN_MAX + 1; i++) { /* the oldest is forgotten */
        char id[64];
        snprintf(id, sizeof(id), "route/shop/r%u/rule-0", i);
        compile_quarantine(w->compiler, str_of(id), 0, "it does not fit");
    }
    add_route(w, "shop", "r0", 2025, "r0.example.com", "");
    add_route(w, "shop", "r1", 2025, "r1.example.com", "");
    run(w);
    assert_true(accepted(w, KUBE_Route, "shop", "r0"));
    assert_false(accepted(w, KUBE_Route, "shop", "r1"));
}

static void test_nack_is_forgiven(void **state) {
    struct world *w = *state;
    compile_quarantine(w->compiler, STR("route/shop/r/rule-0"), 0, "it does not fit");
    run(w);
    assert_false(accepted(w, KUBE_Route, "shop", "r"));
    compile_forgive(w->compiler);
    run(w);
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
    need(w, "route/shop/r/rule-0");
    compile_quarantine(w->compiler, STR("route/shop/r/rule-0"), 0, "it does not fit");
    store_delete(w->store, KUBE_Route, STR("shop"), STR("r"));
    run(w);
    compile_forgive(w->compiler); /* of what is not there any more */
    run(w);
}

static void test_nack_after_two_edits(void **state) {
    struct world *w = *state;
    compile_proven(w->compiler);
    uint64_t good = need(w, "route/shop/r/rule-0")->hash;
    for (int i = 1; i <= 2; i++) {
        char rule[64];
        snprintf(rule, sizeof(rule), "'timeouts':{'request':'%ds'},", i);
        add_route(w, "shop", "r", 2025, "a.example.com", rule);
        run(w);
    }
    compile_quarantine(w->compiler, STR("route/shop/r/rule-0"), 0, "it does not fit");
    run(w);
    assert_true(need(w, "route/shop/r/rule-0")->hash == good);
}

/* ---- hosts ---- */

static void test_host_is_reserved(void **state) {
    struct world *w = *state;
    struct str hosts[4];
    uint64_t after[4];
    add_route(w, "data", "next", 2026, "a.example.com", "");
    run(w);
    assert_string_equal(
        status(w, KUBE_Route, "data", "next")->conditions[CONDITION_ACCEPTED].reason,
        "HostConflict");
    assert_int_equal(status(w, KUBE_Route, "shop", "r")->n_warnings, 1);
    assert_int_equal(compile_reserved(w->compiler, hosts, after, 4), 0);
    store_delete(w->store, KUBE_Route, STR("shop"), STR("r"));
    run(w);
    assert_null(object(w, "route/data/next/rule-0"));
    assert_int_equal(compile_reserved(w->compiler, hosts, after, 4), 1);
    assert_int_equal(after[0], 60000);
    char *host = str_dup(hosts[0]);
    compile_release(w->compiler, str_of(host));
    mem_free(host);
    run(w);
    need(w, "route/data/next/rule-0");
    assert_true(accepted(w, KUBE_Route, "data", "next"));
    assert_int_equal(compile_reserved(w->compiler, hosts, after, 4), 0);
}

static void test_owner_comes_back(void **state) {
    struct world *w = *state;
    add_route(w, "data", "next", 2026, "a.example.com", "");
    run(w);
    store_delete(w->store, KUBE_Route, STR("shop"), STR("r"));
    run(w);
    add_route(w, "shop", "r", 2027, "a.example.com", "");
    run(w);
    assert_true(accepted(w, KUBE_Route, "shop", "r"));
    assert_false(accepted(w, KUBE_Route, "data", "next"));
}

static void test_owner_is_refused(void **state) {
    struct world *w = *state;
    add_route(w, "data", "next", 2026, "a.example.com", "");
    add_route(w, "shop", "r", 2025, "a.example.com", BAD_REGEX);
    run(w);
    assert_null(object(w, "route/data/next/rule-0"));
    assert_false(accepted(w, KUBE_Route, "data", "next"));
    need(w, "route/shop/r/rule-0");
}

static void test_ownership_changes(void **state) {
    struct world *w = *state;
    add_route(w, "data", "next", 2026, "a.example.com", "");
    run(w);
    add_config(w, "'hostOwnership':{'mode':'Shared'}");
    run(w);
    need(w, "route/data/next/rule-0");
    assert_int_equal(status(w, KUBE_Route, "shop", "r")->n_warnings, 0);
    add_config(w, "");
    run(w);
    assert_null(object(w, "route/data/next/rule-0"));
}

/* ---- auth: never open ---- */

static void test_auth_policy_closes(void **state) {
    struct world *w = *state;
    add(w, "{'apiVersion':'sluice.dev/v1alpha1','kind':'AuthPolicy'," META(
               "p", "shop",
               "") ","
                   "'spec':{'targetRefs':[{'group':'sluice.dev','kind':'Route','name':'r'}]}}");
    run(w);
    struct arena a;
    arena_init(&a);
    const struct model_route *r = object_decode(need(w, "route/shop/r/rule-0"), &a, NULL);
    assert_true(str_eq(r->auth, STR("auth/shop/p")));
    assert_null(object(w, "auth/shop/p")); /* so that proxies close the route */
    assert_string_equal(status(w, KUBE_Route, "shop", "r")->conditions[CONDITION_ACCEPTED].reason,
                        "PolicyUnavailable");
    arena_fini(&a);
}

static const char *reason(struct world *w, enum kube_kind kind, const char *name) {
    return status(w, kind, "shop", name)->conditions[CONDITION_ACCEPTED].reason;
}

/* The API server may have lost what makes them strict: they are not accepted until it has not. */
static void test_policies_under_an_older_crd(void **state) {
    struct world *w = *state;
    static const enum kube_kind kinds[] = {KUBE_AuthPolicy, KUBE_TrafficPolicy};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        add(w,
            "{'apiVersion':'sluice.dev/v1alpha1','kind':'%s'," META(
                "p", "shop",
                "") ",'spec':{%s'targetRefs':[{'group':'sluice.dev','kind':'Route','name':'r'}]}}",
            kube_kinds[kinds[i]].kind, i == 0 ? "'methods':[{'name':'a','anonymous':{}}]," : "");
    run(w);
    assert_string_equal(reason(w, KUBE_AuthPolicy, "p"), "Accepted");
    assert_string_equal(reason(w, KUBE_Route, "r"), "Accepted");
    assert_string_equal(reason(w, KUBE_TrafficPolicy, "p"), "Accepted");
    compile_outdated(w->compiler, KUBE_AuthPolicy, true);
    assert_int_equal(run(w), 2); /* its Route says so, too */
    assert_string_equal(reason(w, KUBE_AuthPolicy, "p"), "CRDOutdated");
    assert_string_equal(reason(w, KUBE_Route, "r"), "PolicyUnavailable"); /* and closed */
    compile_outdated(w->compiler, KUBE_AuthPolicy, true);
    assert_int_equal(run(w), 0);
    compile_outdated(w->compiler, KUBE_TrafficPolicy, true);
    run(w);
    assert_string_equal(reason(w, KUBE_TrafficPolicy, "p"), "CRDOutdated");
    assert_false(accepted(w, KUBE_TrafficPolicy, "shop", "p"));
    need(w, "traffic/shop/p");
    compile_outdated(w->compiler, KUBE_AuthPolicy, false);
    compile_outdated(w->compiler, KUBE_TrafficPolicy, false);
    run(w);
    assert_string_equal(reason(w, KUBE_AuthPolicy, "p"), "Accepted");
    assert_string_equal(reason(w, KUBE_Route, "r"), "Accepted");
    assert_string_equal(reason(w, KUBE_TrafficPolicy, "p"), "Accepted");
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_small_world),
        cmocka_unit_test(test_nothing_before_synced),
        T(test_endpoint_is_one_unit),
        T(test_route_is_one_unit),
        T(test_route_with_a_class_is_one_unit),
        T(test_same_again_is_nothing),
        T(test_policy_is_one_unit),
        T(test_delete_takes_all_with_it),
        T(test_service_comes_later),
        T(test_a_new_route_waits_for_its_service),
        T(test_a_new_route_does_not_wait_for_long),
        T(test_a_change_waits_for_its_service),
        T(test_a_route_does_not_wait_again),
        T(test_refused_holds),
        T(test_unreadable_holds),
        T(test_refused_config_holds_class),
        T(test_unreadable_service_holds),
        T(test_class_goes),
        T(test_grant_withdrawn),
        T(test_lost_and_restored),
        T(test_lost_and_deleted),
        T(test_nack_goes_back),
        T(test_nack_of_the_first),
        T(test_nacks_of_several_proxies),
        T(test_nack_comes_before_the_object),
        T(test_nack_without_hash_comes_before_the_object),
        T(test_nack_is_forgiven),
        T(test_nack_after_two_edits),
        T(test_host_is_reserved),
        T(test_owner_comes_back),
        T(test_owner_is_refused),
        T(test_ownership_changes),
        T(test_auth_policy_closes),
        T(test_policies_under_an_older_crd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
