/* SPDX-License-Identifier: Apache-2.0
 *
 * Policies that cannot be used: what they name is closed, or is as when they were last good, here
 * or in the memory of the fleet. Never is it as if they were not there.
 */
#include "controller/compile/unit.h"

#include "tests/unit/compile_world.h"

#define WEB  "backend/shop/web/80"
#define RULE "route/shop/r/rule-0"
#define BAD  ",'connection':{'tls':{}},'unknown':1"
#define GOOD ",'connection':{'tls':{}}"

static void add_policy(struct world *w, const char *kind, const char *name, unsigned year,
                       const char *spec) {
    add(w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'%s','metadata':{'name':'%s','namespace':"
        "'shop','creationTimestamp':'%u-01-01T00:00:00Z'},'spec':{%s}}",
        kind, name, year, spec);
    run(w);
}
static void add_traffic(struct world *w, const char *spec) {
    add_policy(w, "TrafficPolicy", "t", 2025, spec);
}

#define SERVICE "'targetRefs':[{'kind':'Service','name':'web'}]"
#define ROUTE   "'targetRefs':[{'group':'sluice.dev','kind':'Route','name':'r'}]"

/* Proxies close a route whose AuthPolicy is not there, or is closed itself. */
static bool lets_nobody_pass(struct world *w, struct str policy, struct arena *a) {
    char id[128];
    snprintf(id, sizeof(id), "%.*s", STR_FMT(policy));
    const struct object *o = policy.n > 0 ? object(w, id) : NULL;
    const struct model_auth *m = o ? object_decode(o, a, NULL) : NULL;
    return policy.n > 0 && (!m || m->refusal == MODEL_REFUSE_POLICY);
}

static bool is_closed(struct world *w, const char *id) {
    const struct object *o = need(w, id);
    struct arena a;
    arena_init(&a);
    const void *v = object_decode(o, &a, NULL);
    bool closed;
    if (o->kind == MODEL_KIND_backend) {
        closed = ((const struct model_backend *)v)->refusal == MODEL_REFUSE_POLICY;
    } else {
        const struct model_route *r = v;
        closed = r->refusal == MODEL_REFUSE_POLICY || lets_nobody_pass(w, r->auth, &a);
    }
    arena_fini(&a);
    return closed;
}

static bool has_tls(struct world *w, const char *id) {
    struct arena a;
    arena_init(&a);
    bool tls = ((const struct model_backend *)object_decode(need(w, id), &a, NULL))->tls != NULL;
    arena_fini(&a);
    return tls;
}

static void gone(struct world *w, enum kube_kind kind, const char *name) {
    store_delete(w->store, kind, STR("shop"), str_of(name));
    run(w);
}

/* ---- of a Service ---- */

static void test_what_cannot_be_decoded_closes_its_service(void **state) {
    static const char *const bad[] = {
        BAD,
        GOOD ",'compression':{}",
        GOOD ",'timeouts':7",
        GOOD ",'timeouts':{'connect':'0s'}",
        ",'loadBalancer':{'type':'Random'}",
    };
    struct world *w = *state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char spec[256];
        snprintf(spec, sizeof(spec), "%s%s", SERVICE, bad[i]);
        add_traffic(w, spec);
        assert_true(is_closed(w, WEB));
        assert_false(is_closed(w, RULE)); /* the share alone; the Route says so */
        assert_false(accepted(w, KUBE_TrafficPolicy, "shop", "t"));
        assert_non_null(strstr(sentence(w, KUBE_TrafficPolicy, "shop", "t"), "policy_unavailable"));
        const struct compile_status *s = status(w, KUBE_Route, "shop", "r");
        assert_int_equal(s->n_warnings, 1);
        assert_non_null(strstr(s->warnings->text, "TrafficPolicy t targets it and is refused"));
        gone(w, KUBE_TrafficPolicy, "t");
        assert_false(is_closed(w, WEB));
    }
}

static void test_the_last_good_version_counts(void **state) {
    struct world *w = *state;
    add_service(w, "shop", "other");
    add(w, "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route'," META(
               "o", "shop", "") ",'spec':{"
                                "'hostnames':['o.example.com'],'rules':[{'backendRefs':[{'name':'"
                                "other','port':80}]}]}}");
    add_traffic(w, SERVICE BAD);
    assert_true(is_closed(w, WEB));
    add_traffic(w, SERVICE GOOD);
    assert_true(has_tls(w, WEB));
    add_traffic(w, "'targetRefs':[{'kind':'Service','name':'other'}]" BAD);
    assert_true(has_tls(w, WEB));
    assert_false(is_closed(w, "backend/shop/other/80")); /* as it was before the edit */
    add_traffic(w, "'targetRefs':7" BAD);
    assert_true(has_tls(w, WEB));
    assert_true(status(w, KUBE_TrafficPolicy, "shop", "t")->held);
    assert_null(strstr(sentence(w, KUBE_TrafficPolicy, "shop", "t"), "503"));
}

/* ---- of a Route, an Ingress, a Namespace ---- */

static void expect_rules(struct world *w, bool one, bool two) {
    assert_int_equal(is_closed(w, "route/shop/two/one"), one);
    assert_int_equal(is_closed(w, "route/shop/two/two"), two);
}

static void close_rules_with(struct world *w, const char *kind) {
    add(w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route','metadata':{'name':'two','namespace':"
        "'shop'},'spec':{'hostnames':['two.example.com'],'rules':["
        "{'name':'one','backendRefs':[{'name':'web','port':80}]},"
        "{'name':'two','matches':[{'path':{'value':'/two'}}],"
        "'backendRefs':[{'name':'web','port':80}]}]}}");
    add_policy(w, kind, "p", 2025,
               "'targetRefs':[{'kind':'Route','name':'two','sectionName':'one','group':7}]");
    expect_rules(w, true, false);
    assert_true(accepted(w, KUBE_Route, "shop", "two"));
    assert_int_equal(status(w, KUBE_Route, "shop", "two")->n_warnings, 1);
    add_policy(w, kind, "p", 2025, "'targetRefs':[{'kind':'Route','name':'two','sectionName':7}]");
    expect_rules(w, true, true);
    assert_false(accepted(w, KUBE_Route, "shop", "two"));
    assert_string_equal(status(w, KUBE_Route, "shop", "two")->conditions[CONDITION_ACCEPTED].reason,
                        "PolicyUnavailable");
    assert_false(is_closed(w, RULE));
    gone(w, kube_kind_of(STR("sluice.dev"), str_of(kind)), "p");
    expect_rules(w, false, false);
}

static void test_a_rule_alone(void **state) {
    close_rules_with(*state, "TrafficPolicy");
    close_rules_with(*state, "AuthPolicy");
}

/* One rule is closed for the one policy; the other rule has a policy of the other kind. */
static void test_both_kinds_on_one_route(void **state) {
    struct world *w = *state;
    close_rules_with(w, "TrafficPolicy");
    add_policy(w, "TrafficPolicy", "t", 2025,
               "'targetRefs':[{'kind':'Route','name':'two'}],'unknown':1");
    add_policy(w, "TrafficPolicy", "good", 2025,
               "'targetRefs':[{'group':'sluice.dev','kind':'Route','name':'two',"
               "'sectionName':'two'}]");
    expect_rules(w, true, false); /* the more specific one counts */
    add_policy(w, "AuthPolicy", "a", 2025,
               "'targetRefs':[{'kind':'Route','name':'two','sectionName':'two'}],'targetRefs':[]");
    expect_rules(w, true, true);
}

static void test_an_auth_policy_for_an_ingress_and_a_namespace(void **state) {
    struct world *w = *state;
    add(w, "{'apiVersion':'networking.k8s.io/v1','kind':'Ingress'," META(
               "i", "shop", "") ",'spec':{'rules':[{'host':'i.example.com','http':{'paths':[{"
                                "'path':'/','pathType':'Prefix','backend':{'service':{'name':"
                                "'web','port':{'number':80}}}}]}}]}}");
    add_policy(w, "AuthPolicy", "p", 2025, "'targetRefs':[{'kind':'Ingress','name':'i'},{}],'x':1");
    assert_true(is_closed(w, "route/shop/ingress:i/0.0"));
    assert_true(is_closed(w, RULE)); /* the other one may be that */
    add_policy(w, "AuthPolicy", "p", 2025,
               "'targetRefs':[{'kind':'Ingress','name':'i','group':3}],'x':1");
    assert_true(is_closed(w, "route/shop/ingress:i/0.0"));
    assert_false(is_closed(w, RULE));
    add_policy(w, "AuthPolicy", "p", 2025,
               "'targetRefs':[{'kind':'Namespace','name':'shop','group':3}]");
    assert_true(is_closed(w, "route/shop/ingress:i/0.0"));
    assert_true(is_closed(w, RULE));
}

/* ---- whom it is about cannot be read ---- */

static void test_blind_closes_its_namespace_alone(void **state) {
    static const char *const blind[] = {
        "'unknown':1",
        "'targetRefs':'x'",
        "'targetRefs':{}",
        "'targetRefs':null",
        "'targetRefs':[7]",
        "'targetRefs':[{'kind':'Service'}]",
        "'targetRefs':[{'name':'web'}]",
        "'targetRefs':[{'kind':'Service','name':'nobody'},{'kind':'Service','name':[]}]",
        "'targetRefs':[{'kind':'Service','name':'nobody','name':'web'}]",
        "'targetRefs':[{'kind':'Service','name':'nobody'}],'targetRefs':[]",
    };
    struct world *w = *state;
    add_service(w, "data", "web");
    add_route(w, "data", "d", 2025, "d.example.com", "");
    add_policy(w, "TrafficPolicy", "good", 2020, SERVICE);
    for (size_t i = 0; i < ARRAY_LEN(blind); i++) {
        add_traffic(w, blind[i]);
        if (!is_closed(w, WEB) ||
            !is_closed(w, RULE)) /* a policy of their own does not open them */
            fail_msg("open: %s", blind[i]);
        assert_false(is_closed(w, "backend/data/web/80"));
        assert_false(is_closed(w, "route/data/d/rule-0"));
        assert_non_null(
            strstr(sentence(w, KUBE_Route, "shop", "r"), "does not say what it targets"));
        gone(w, KUBE_TrafficPolicy, "t");
        assert_false(is_closed(w, WEB));
        assert_false(is_closed(w, RULE));
    }
    add_policy(w, "AuthPolicy", "a", 2025, "'targetRefs':7");
    assert_true(is_closed(w, RULE));
    assert_false(is_closed(w, WEB)); /* it could not be about a Service */
}

static void test_what_names_nothing_closes_nothing(void **state) {
    static const char *const nothing[] = {
        "'targetRefs':[],'unknown':1",
        "'targetRefs':[{'kind':'Route','name':'nobody'}],'unknown':1",
        "'targetRefs':[{'kind':'Deployment','name':'web'}]",
        "'targetRefs':[{'kind':'Namespace','name':'shop'}],'unknown':1",
        "'targetRefs':[{'kind':'Service','name':'web','namespace':'data'}],'unknown':1",
    };
    struct world *w = *state;
    add_service(w, "data", "web");
    add_route(w, "data", "d", 2025, "d.example.com", "");
    for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
        add_traffic(w, nothing[i]);
        assert_false(accepted(w, KUBE_TrafficPolicy, "shop", "t"));
        assert_false(is_closed(w, WEB));
        assert_false(is_closed(w, RULE));
        assert_false(is_closed(w, "backend/data/web/80"));
    }
}

/* ---- beside others ---- */

static void test_the_older_policy_decides(void **state) {
    struct world *w = *state;
    add_policy(w, "TrafficPolicy", "old", 2020, SERVICE GOOD);
    add_traffic(w, SERVICE BAD);
    assert_true(has_tls(w, WEB));
    gone(w, KUBE_TrafficPolicy, "old");
    assert_true(is_closed(w, WEB));
    add_policy(w, "TrafficPolicy", "young", 2026, SERVICE GOOD);
    assert_true(is_closed(w, WEB));
    gone(w, KUBE_TrafficPolicy, "t");
    assert_true(has_tls(w, WEB));
}

/* ---- a controller that starts anew ---- */

static void start(struct world *v, const char *spec) {
    world_init(v);
    add_config(v, "");
    add_class(v);
    add_service(v, "shop", "web");
    add_slice(v, "shop", "web", "10.0.0.1");
    add_route(v, "shop", "r", 2025, "a.example.com", "");
    add_traffic(v, spec);
    store_synced(v->store);
    run(v);
}

static void answer(struct world *v, struct world *fleet, const char *id) {
    struct object *o = object(fleet, id);
    assert_non_null(map_get(&v->lost, str_of(id)));
    compile_restore(v->compiler, str_of(id), &o, o ? 1 : 0);
    run(v);
}

static void test_the_fleet_remembers(void **state) {
    struct world *w = *state, v;
    add_traffic(w, SERVICE GOOD);
    start(&v, "'targetRefs':[{'kind':'Service','name':'nobody'}]" BAD);
    assert_false(is_closed(&v, WEB)); /* it is not about that, as far as is known */
    answer(&v, w, "traffic/shop/t");
    assert_true(is_closed(&v, WEB)); /* it is, and what it was is not known yet */
    answer(&v, w, WEB);
    assert_int_equal(need(&v, WEB)->hash, need(w, WEB)->hash);
    assert_int_equal(need(&v, RULE)->hash, need(w, RULE)->hash);
    assert_null(map_get(&v.lost, STR(WEB)));
    uint64_t before = need(&v, "endpoints/shop/web/80")->hash;
    add_slice(&v, "shop", "web", "10.0.0.9");
    run(&v);
    assert_true(need(&v, "endpoints/shop/web/80")->hash != before);
    assert_int_equal(need(&v, WEB)->hash, need(w, WEB)->hash);
    add_traffic(&v, SERVICE BAD ",'more':1"); /* still no good one */
    assert_int_equal(need(&v, WEB)->hash, need(w, WEB)->hash);
    add_traffic(&v, SERVICE);
    assert_false(has_tls(&v, WEB));
    assert_int_equal(v.lost.n, 0);
    world_fini(&v);
}

static void test_the_fleet_knows_nothing(void **state) {
    struct world *w = *state, v;
    start(&v, SERVICE BAD);
    assert_true(is_closed(&v, WEB));
    answer(&v, w, "traffic/shop/t");
    assert_true(is_closed(&v, WEB));
    world_fini(&v);
    add_traffic(w, ROUTE); /* remembered, but nothing was made of it for the Service */
    start(&v, SERVICE BAD);
    answer(&v, w, "traffic/shop/t");
    assert_false(is_closed(&v, WEB));
    assert_int_equal(need(&v, RULE)->hash, need(w, RULE)->hash);
    world_fini(&v);
    gone(w, KUBE_Route, "r");
    add_traffic(w, SERVICE GOOD);
    start(&v, SERVICE BAD);
    answer(&v, w, "traffic/shop/t");
    answer(&v, w, WEB);
    assert_true(is_closed(&v, WEB));
    assert_null(map_get(&v.lost, STR(WEB)));
    world_fini(&v);
}

static void test_the_fleet_remembers_a_limit(void **state) {
    struct world *w = *state, v;
    add_traffic(w, ROUTE ",'bodyLimit':'1Mi'");
    start(&v, ROUTE ",'bodyLimit':'5x'");
    assert_true(is_closed(&v, RULE));
    answer(&v, w, "traffic/shop/t");
    assert_int_equal(need(&v, RULE)->hash, need(w, RULE)->hash);
    world_fini(&v);
    add_traffic(w, ROUTE ",'bodyLimit':'0'");
    start(&v, ROUTE ",'bodyLimit':'5x'");
    answer(&v, w, "traffic/shop/t");
    assert_int_equal(need(&v, RULE)->hash, need(w, RULE)->hash);
    world_fini(&v);
}

static void add_introspection(struct world *w, const char *more) {
    char spec[512];
    add(w, "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'client','namespace':'shop',"
           "'labels':{'sluice.dev/credential':'true'}},'stringData':{'client-id':'me',"
           "'client-secret':'it'}}");
    snprintf(spec, sizeof(spec),
             ROUTE ",'methods':[{'name':'80','introspection':{'uri':'https://idp.example.com/i',"
                   "'clientSecretRef':{'name':'client'}%s}}]",
             more);
    add_policy(w, "AuthPolicy", "a", 2025, spec);
}

/* Its backend is its own, also where it looks like a Service's. */
static void test_the_fleet_remembers_what_is_outside(void **state) {
    struct world *w = *state, v;
    const char *own = "backend/shop/auth:a/80";
    add_introspection(w, "");
    need(w, own);
    start(&v, SERVICE GOOD);
    add_introspection(&v, ",'path':'/x'");
    assert_null(object(&v, own));
    answer(&v, w, "auth/shop/a");
    assert_null(unit_find(v.compiler, UNIT_BACKEND, STR("shop"), STR("auth:a"), STR("80")));
    struct object *o = object(w, own);
    compile_restore(v.compiler, STR("backend/shop/auth:a/"), &o, 1);
    run(&v);
    assert_int_equal(need(&v, own)->hash, o->hash);
    add_introspection(&v, "");
    assert_int_equal(need(&v, own)->hash, o->hash);
    gone(&v, KUBE_AuthPolicy, "a");
    assert_null(object(&v, own));
    world_fini(&v);
}

/* A controller that cannot keep keys of internal tokens says so, and again when it can. */
static void test_no_place_for_keys_of_tokens(void **state) {
    struct world *w = *state;
    compile_keyless(w->compiler, true);
    add_policy(w, "AuthPolicy", "a", 2025,
               ROUTE ",'methods':[{'name':'m','anonymous':{}}],'identity':{'token':{'issue':{"
                     "'audience':'x'}}}");
    assert_true(is_closed(w, RULE));
    assert_false(accepted(w, KUBE_AuthPolicy, "shop", "a"));
    assert_non_null(strstr(sentence(w, KUBE_AuthPolicy, "shop", "a"),
                           "no place for the keys that sign internal tokens; start it with "
                           "--link-secret, and with a Secret that it makes itself"));
    compile_keyless(w->compiler, false);
    run(w);
    assert_true(accepted(w, KUBE_AuthPolicy, "shop", "a"));
    assert_false(is_closed(w, RULE));
    compile_keyless(w->compiler, true);
    run(w);
    assert_false(accepted(w, KUBE_AuthPolicy, "shop", "a"));
    assert_false(is_closed(w, RULE)); /* as it was when it was last good */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_cannot_be_decoded_closes_its_service),
        TEST(test_the_last_good_version_counts),
        TEST(test_a_rule_alone),
        TEST(test_both_kinds_on_one_route),
        TEST(test_an_auth_policy_for_an_ingress_and_a_namespace),
        TEST(test_blind_closes_its_namespace_alone),
        TEST(test_what_names_nothing_closes_nothing),
        TEST(test_the_older_policy_decides),
        TEST(test_the_fleet_remembers),
        TEST(test_the_fleet_knows_nothing),
        TEST(test_the_fleet_remembers_a_limit),
        TEST(test_the_fleet_remembers_what_is_outside),
        TEST(test_no_place_for_keys_of_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
