/* SPDX-License-Identifier: Apache-2.0
 *
 * A newer version of a resource that means the same: it takes the place of the former one, and
 * nothing is compiled for it.
 */
#include "compile_world.h"

static struct world w;
static unsigned told;
static const struct resource *before, *after;

static void on_version(void *arg, const struct resource *was, const struct resource *now) {
    (void)arg;
    told++;
    before = was;
    after = now;
}

static int setup(void **state) {
    (void)state;
    world_init(&w);
    add_small_world(&w);
    store_on_version(w.store, on_version, NULL);
    told = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    world_fini(&w);
    return 0;
}

static void route(const char *version, const char *host, const char *status_json) {
    add(&w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route','metadata':{'name':'x','namespace':"
        "'shop','resourceVersion':'%s','generation':1,'managedFields':[{'a':'%s'}]},'spec':{"
        "'hostnames':['%s'],'rules':[{'backendRefs':[{'name':'web','port':80}]}]},'status':%s}",
        version, version, host, status_json);
}

static const struct resource *got(void) {
    return store_get(w.store, KUBE_Route, STR("shop"), STR("x"));
}

static void an_equal_version_takes_the_place(void **state) {
    (void)state;
    size_t n;
    route("1", "x.example.com", "{}");
    assert_int_equal(told, 1);
    assert_null(before);
    run(&w);
    uint64_t runs = compile_runs(w.compiler);
    for (int i = 2; i < 100; i++) {
        char version[16];
        snprintf(version, sizeof(version), "%d", i);
        route(version, "x.example.com", "{'conditions':[]}");
        assert_int_equal(told, i);
        assert_ptr_equal(after, got());
        assert_true(str_eq(got()->meta.resource_version, str_of(version)));
        assert_string_equal(got()->status.p, "{\"conditions\":[]}");
    }
    assert_int_equal(store_n_dirty(w.store), 0);
    assert_int_equal(run(&w), 0);
    assert_int_equal(compile_runs(w.compiler), runs);
    /* it is found under each of its keys, and in the order of its kind */
    struct store_unit *u = store_unit(w.store, STR("Reader"));
    const struct resource *const *all = store_read_all(w.store, u, STR("host/x.example.com"), &n);
    assert_int_equal(n, 1);
    assert_ptr_equal(all[0], got());
    const struct resource *last = NULL;
    for (const struct resource *r = NULL; (r = store_next(w.store, KUBE_Route, r));)
        last = r;
    assert_ptr_equal(last, got());
    store_unit_end(w.store, u);
    /* a change is one, and a deletion is told with the last version */
    route("200", "y.example.com", "{}");
    assert_int_equal(store_n_dirty(w.store) > 0, true);
    run(&w);
    store_delete(w.store, KUBE_Route, STR("shop"), STR("x"));
    assert_null(after);
    run(&w);
}

/* Refused versions too: what holds is the former one, whose place is kept. */
static void a_refused_one(void **state) {
    (void)state;
    route("1", "x.example.com", "{}");
    run(&w);
    for (int i = 2; i < 5; i++) {
        char version[16];
        snprintf(version, sizeof(version), "%d", i);
        add(&w,
            "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route','metadata':{'name':'x','namespace':"
            "'shop','resourceVersion':'%s','generation':2},'spec':{'hostnames':7}}",
            version);
        assert_int_equal(run(&w) > 0, i == 2);
        assert_true(status(&w, KUBE_Route, "shop", "x")->held);
    }
    add_slice(&w, "shop", "web", "10.0.0.9"); /* its last good version sees the world of today */
    run(&w);
    assert_non_null(object(&w, "route/shop/x/rule-0"));
    route("9", "x.example.com", "{}");
    run(&w);
    assert_true(accepted(&w, KUBE_Route, "shop", "x"));
}

static void which_status_is_kept(void **state) {
    (void)state;
    add(&w, "{'apiVersion':'networking.k8s.io/v1','kind':'Ingress','metadata':{'name':'i',"
            "'namespace':'shop'},'spec':{},'status':{'loadBalancer':{}}}");
    add(&w, "{'apiVersion':'v1','kind':'Service','metadata':{'name':'s','namespace':'shop'},"
            "'spec':{'ports':[{'port':80}]},'status':{'loadBalancer':{}}}");
    assert_string_equal(store_get(w.store, KUBE_Ingress, STR("shop"), STR("i"))->status.p,
                        "{\"loadBalancer\":{}}");
    assert_int_equal(store_get(w.store, KUBE_Service, STR("shop"), STR("s"))->status.n, 0);
    /* of a file it says nothing; one that is far too large is not ours */
    struct why why = {0};
    bool foreign;
    cJSON *json = cJSON_Parse("{\"apiVersion\":\"sluice.dev/v1alpha1\",\"kind\":\"Consumer\","
                              "\"metadata\":{\"name\":\"c\",\"namespace\":\"shop\"},"
                              "\"status\":{\"a\":1}}");
    struct resource *r =
        resource_new(json, &(struct resource_origin){.file = STR("a.yaml")}, &foreign, &why);
    assert_int_equal(r->status.n, 0);
    resource_drop(r);
    char *large = mem_zalloc(70001);
    memset(large, 'x', 70000);
    cJSON_AddItemToObject(cJSON_GetObjectItem(json, "status"), "b", cJSON_CreateString(large));
    r = resource_new(json, &(struct resource_origin){0}, &foreign, &why);
    assert_int_equal(r->status.n, 0);
    resource_drop(r);
    mem_free(large);
    cJSON_Delete(json);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_equal_version_takes_the_place),
        T(a_refused_one),
        T(which_status_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
