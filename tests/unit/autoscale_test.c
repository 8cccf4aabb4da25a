/* SPDX-License-Identifier: Apache-2.0
 *
 * autoscale: paths and answers of custom.metrics.k8s.io, and what becomes of the APIService. Who
 * may ask is tested against a real API server: tests/kube/autoscale.
 */
#include "controller/autoscale/query.h"
#include "controller/autoscale/service.h"
#include "lib/json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define V "/apis/custom.metrics.k8s.io/v1beta2"

static char room[512];

static struct query parse(const char *path) { return query_parse(str_of(path), room); }

static void assert_str(struct str s, const char *wanted) {
    if (!str_eq(s, str_of(wanted)))
        fail_msg("%.*s is not %s", STR_FMT(s), wanted);
}

static void discovery_paths(void **state) {
    (void)state;
    assert_int_equal(parse("/apis").kind, QUERY_GROUPS);
    assert_int_equal(parse("/apis/").kind, QUERY_GROUPS);
    assert_int_equal(parse("/apis/custom.metrics.k8s.io").kind, QUERY_GROUP);
    assert_int_equal(parse(V).kind, QUERY_RESOURCES);
    assert_int_equal(parse(V "/").kind, QUERY_RESOURCES);
    assert_int_equal(parse(V "x").kind, QUERY_NOTHING);
    assert_int_equal(parse("/apis/custom.metrics.k8s.io/v1beta1").kind, QUERY_NOTHING);
    assert_int_equal(parse("/").kind, QUERY_NOTHING);
    assert_int_equal(parse("").kind, QUERY_NOTHING);
}

static void pod_paths(void **state) {
    (void)state;
    struct query q = parse(V "/namespaces/sluice/pods/*/sluice_requests_per_second");
    assert_int_equal(q.kind, QUERY_PODS);
    assert_str(q.namespace, "sluice");
    assert_str(q.pod, "*");
    assert_int_equal(q.metric, AUTOSCALE_REQUESTS);
    q = parse(V "/namespaces/a%62c/pods/%2A/sluice_gateway_latency_seconds");
    assert_str(q.namespace, "abc");
    assert_str(q.pod, "*");
    assert_int_equal(q.metric, AUTOSCALE_LATENCY);
    q = parse(V "/namespaces/n/pods/p-1/sluice_connections");
    assert_str(q.pod, "p-1");
    assert_int_equal(q.metric, AUTOSCALE_CONNECTIONS);
    q = parse(V "/namespaces/n/pods/p/cpu");
    assert_int_equal(q.kind, QUERY_PODS);
    assert_int_equal(q.metric, AUTOSCALE_METRICS);
    assert_str(q.metric_name, "cpu");
    assert_str(parse(V "/namespaces/n%2/pods/%zz/x%").pod, "%zz"); /* bad escapes stay */
    assert_int_equal(parse(V "/namespaces/n/services/s/m").kind, QUERY_NOTHING);
    assert_int_equal(parse(V "/namespaces/n/pods/p").kind, QUERY_NOTHING);
    assert_int_equal(parse(V "/namespaces/n/pods/p/m/more").kind, QUERY_NOTHING);
    assert_int_equal(parse(V "/nodes/n/pods/p/m").kind, QUERY_NOTHING);
}

static cJSON *written(struct out *o) {
    struct why why = {0};
    cJSON *j = json_parse(out_done(o), &why);
    if (!j)
        fail_msg("%s in %.*s", why.text, STR_FMT(out_done(o)));
    out_fini(o);
    return j;
}

static void a_value_of_each_metric(void **state) {
    static const char *const values[] = {[AUTOSCALE_REQUESTS] = "12500m",
                                         [AUTOSCALE_CONNECTIONS] = "7",
                                         [AUTOSCALE_LATENCY] = "250u"};
    const struct autoscale_pod pod = {.name = STR("p-1"),
                                      .requests_milli = 12500,
                                      .connections = 7,
                                      .gateway_p99_us = 250,
                                      .reported_ms = 1764095400999};
    (void)state;
    for (unsigned i = 0; i < AUTOSCALE_METRICS; i++) {
        struct query q = {.namespace = STR("n"), .metric = (enum autoscale_metric)i};
        struct out o = out_heap(4096);
        query_write_open(&o);
        query_write_pod(&o, &q, &pod, true);
        query_write_pod(&o, &q, &pod, false);
        query_write_close(&o);
        cJSON *j = written(&o);
        assert_str(json_text(j, "kind"), "MetricValueList");
        assert_str(json_text(j, "apiVersion"), "custom.metrics.k8s.io/v1beta2");
        assert_int_equal(cJSON_GetArraySize(json_get(j, "items")), 2);
        const cJSON *item = json_get(j, "items")->child, *who = json_get(item, "describedObject");
        assert_str(json_text(who, "kind"), "Pod");
        assert_str(json_text(who, "namespace"), "n");
        assert_str(json_text(who, "name"), "p-1");
        assert_str(json_text(item, "timestamp"), "2025-11-25T18:30:00Z");
        assert_str(json_text(item, "value"), values[i]);
        cJSON_Delete(j);
    }
}

static void discovery_answers(void **state) {
    (void)state;
    struct out o = out_heap(4096);
    query_write_discovery(QUERY_RESOURCES, &o);
    cJSON *j = written(&o);
    assert_str(json_text(j, "groupVersion"), "custom.metrics.k8s.io/v1beta2");
    assert_int_equal(cJSON_GetArraySize(json_get(j, "resources")), AUTOSCALE_METRICS);
    assert_str(json_text(json_get(j, "resources")->child, "name"),
               "pods/sluice_requests_per_second");
    cJSON_Delete(j);
    for (unsigned kind = QUERY_GROUPS; kind <= QUERY_GROUP; kind++) {
        o = out_heap(4096);
        query_write_discovery((enum query_kind)kind, &o);
        cJSON_Delete(written(&o));
    }
    o = out_heap(4096);
    query_write_failure(&o, 404, "NotFound", "no \"such\" thing");
    j = written(&o);
    assert_str(json_text(j, "message"), "no \"such\" thing");
    assert_int_equal(json_get(j, "code")->valueint, 404);
    cJSON_Delete(j);
}

/* ---- the APIService ---- */

static const struct autoscale_options options = {.namespace = STR("sluice"),
                                                 .service = "sluice-metrics"};

static enum service_action plan(const cJSON *there, const cJSON *owner, cJSON **body) {
    return service_plan(&options, STR("-----PEM-----"), there, owner, body);
}

static void is_made_where_there_is_none(void **state) {
    struct why why = {0};
    cJSON *body,
        *owner = json_parse(STR("{\"metadata\":{\"name\":\"role\",\"uid\":\"u-1\"}}"), &why);
    (void)state;
    assert_int_equal(plan(NULL, owner, &body), SERVICE_CREATE);
    const cJSON *meta = json_get(body, "metadata"), *spec = json_get(body, "spec");
    assert_str(json_text(meta, "name"), "v1beta2.custom.metrics.k8s.io");
    assert_str(json_text(json_get(meta, "ownerReferences")->child, "uid"), "u-1");
    assert_str(json_text(spec, "caBundle"), "LS0tLS1QRU0tLS0tLQ==");
    assert_str(json_text(json_get(spec, "service"), "name"), "sluice-metrics");
    /* what it is then, with what the server adds, stays */
    cJSON *again;
    cJSON_AddStringToObject(cJSON_GetObjectItem(body, "spec"), "added", "by the server");
    assert_int_equal(plan(body, owner, &again), SERVICE_KEEP);
    assert_null(again);
    cJSON_Delete(body);
    assert_int_equal(plan(NULL, NULL, &body), SERVICE_CREATE);
    assert_null(json_get(json_get(body, "metadata"), "ownerReferences"));
    cJSON_Delete(body);
    cJSON_Delete(owner);
}

static void ours_follows_the_ca(void **state) {
    cJSON *made, *body;
    (void)state;
    plan(NULL, NULL, &made);
    cJSON_AddStringToObject(cJSON_GetObjectItem(made, "metadata"), "resourceVersion", "7");
    assert_int_equal(service_plan(&options, STR("another"), made, NULL, &body), SERVICE_UPDATE);
    assert_str(json_text(json_get(body, "spec"), "caBundle"), "YW5vdGhlcg==");
    assert_str(json_text(json_get(body, "metadata"), "resourceVersion"), "7");
    cJSON_Delete(body);
    cJSON_Delete(made);
}

static void anothers_is_left_alone(void **state) {
    const struct autoscale_options other = {.namespace = STR("other"), .service = "sluice-metrics"};
    struct why why = {0};
    cJSON *made, *body;
    (void)state;
    service_plan(&other, STR("x"), NULL, NULL, &made);
    assert_int_equal(plan(made, NULL, &body), SERVICE_FOREIGN); /* another Sluice's */
    cJSON_Delete(made);
    made = json_parse(
        STR("{\"metadata\":{\"name\":\"v1beta2.custom.metrics.k8s.io\"},\"spec\":{}}"), &why);
    assert_int_equal(plan(made, NULL, &body), SERVICE_FOREIGN);
    assert_null(body);
    cJSON_Delete(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(discovery_paths),
        cmocka_unit_test(pod_paths),
        cmocka_unit_test(a_value_of_each_metric),
        cmocka_unit_test(discovery_answers),
        cmocka_unit_test(is_made_where_there_is_none),
        cmocka_unit_test(ours_follows_the_ca),
        cmocka_unit_test(anothers_is_left_alone),
    };
    return cmocka_run_group_tests_name("autoscale", tests, NULL, NULL);
}
