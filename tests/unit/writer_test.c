/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer, with an API server, a fleet and a clock that the test plays: what is asked of the
 * server, and when.
 */
#include "compile_world.h"
#include "fake_kube.h"

#include "controller/status/when.h"
#include "controller/status/writer.h"

#include <event2/event.h>

/* ---- the world ---- */

static struct world w;
static struct event_base *base;
static struct status_writer *writer;
static struct faults faults;
static struct events *events;
static bool leads;
static struct status_served fleet;
static bool published;

static struct status_served serving(void *arg, struct object *const *objects, size_t n,
                                    uint64_t since) {
    (void)arg, (void)objects, (void)n;
    struct status_served v = fleet;
    v.current = since == UINT64_MAX ? 0 : v.current;
    return v;
}
static uint64_t version(void *arg) {
    (void)arg;
    return published ? 5 : 0;
}
static bool we_lead(void *arg) {
    (void)arg;
    return leads;
}
static void on_version(void *arg, const struct resource *was, const struct resource *now) {
    (void)arg;
    writer_version(writer, was, now);
}

static void turn(void) {
    for (int i = 0; i < 20; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}
/* Time passes, and the writer is woken, as its timers would. */
static void pass(uint64_t ms) {
    now_ms += ms;
    writer_fleet(writer, fleet.ready + fleet.behind, fleet.behind);
    turn();
}

static void route(const char *name, unsigned generation, const char *resource_version,
                  const char *status_json) {
    add(&w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route','metadata':{'name':'%s','namespace':"
        "'shop','generation':%u,'resourceVersion':'%s','uid':'u-%s'},'spec':{'hostnames':['%s."
        "example.com'],'rules':[{'backendRefs':[{'name':'web','port':80}]}]}%s%s}",
        name, generation, resource_version, name, name, status_json[0] ? ",'status':" : "",
        status_json);
}

static void changed(const char *name) {
    run(&w);
    writer_changed(writer, store_get(w.store, KUBE_Route, STR("shop"), str_of(name)));
    turn();
}

/* The store hears of what the server has. */
static void echo(const struct kube_request *r, const char *name, unsigned generation,
                 const char *resource_version) {
    char text[9000];
    const char *body = strstr(r->body, "\"status\":") + strlen("\"status\":");
    snprintf(text, sizeof(text), "%.*s", (int)strlen(body) - 1, body);
    route(name, generation, resource_version, text);
    turn();
}

static int setup(void **state) {
    (void)state;
    now_ms = 1000000;
    n_requests = 0;
    memset(&faults, 0, sizeof(faults));
    base = event_base_new();
    leads = published = true;
    fleet = (struct status_served){2, 2, 0};
    world_init(&w);
    add_config(&w, "");
    add_class(&w);
    add_service(&w, "shop", "web");
    events = events_new(&(struct events_config){
        .base = base, .instance = STR("test"), .faults = &faults, .leads = we_lead});
    writer = writer_new(&(struct writer_config){.base = base,
                                                .store = w.store,
                                                .compiler = w.compiler,
                                                .events = events,
                                                .faults = &faults,
                                                .fleet = {serving, version, NULL},
                                                .leads = we_lead});
    store_on_version(w.store, on_version, NULL);
    store_synced(w.store);
    run(&w);
    writer_lead(writer, true);
    pass(0);
    pass(WHEN_STABLE_MS); /* the fleet is known */
    for (size_t i = 0; i < n_requests; i++)
        if (requests[i].live)
            take(&requests[i], "1"); /* of the GatewayConfig */
    turn();
    n_requests = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    store_on_version(w.store, NULL, NULL);
    writer_free(writer);
    events_free(events);
    world_fini(&w);
    event_base_free(base);
    return 0;
}

#define ROUTE_R "/apis/sluice.dev/v1alpha1/namespaces/shop/routes/r"

/* ---- tests ---- */

static void one_write_when_all_have_it(void **state) {
    (void)state;
    fleet = (struct status_served){2, 1, 0};
    route("r", 1, "10", "");
    changed("r");
    pass(500);
    assert_int_equal(n_requests, 0); /* it waits for the acks */
    fleet.current = 2;
    pass(10);
    assert_int_equal(n_requests, 1);
    assert_string_equal(requests[0].method, "PATCH");
    assert_string_equal(requests[0].path, ROUTE_R "/status");
    assert_string_equal(requests[0].call.type, "application/merge-patch+json");
    assert_non_null(strstr(requests[0].body, "{\"metadata\":{\"resourceVersion\":\"10\"}"));
    assert_non_null(strstr(requests[0].body, "\"summary\":\"2/2\""));
    assert_int_equal(writer_pending(writer), 1);
    take(&requests[0], "11");
    turn();
    pass(60000);
    assert_int_equal(n_requests, 1); /* before the store has heard of it */
    echo(&requests[0], "r", 1, "11");
    pass(60000);
    assert_int_equal(n_requests, 1);
    assert_int_equal(writer_pending(writer), 0);
    assert_int_equal(writer_counters(writer)->writes[KUBE_Route], 1);
}

static void two_when_one_is_slow(void **state) {
    (void)state;
    fleet = (struct status_served){2, 1, 0};
    route("r", 1, "10", "");
    changed("r");
    pass(1000);
    assert_int_equal(n_requests, 1);
    assert_non_null(strstr(requests[0].body, "\"reason\":\"Pending\",\"message\":\"1 of 2 ready"));
    take(&requests[0], "11");
    echo(&requests[0], "r", 1, "11");
    pass(5000);
    assert_int_equal(n_requests, 1);
    fleet = (struct status_served){1, 1, 1}; /* it is behind */
    pass(10);
    assert_int_equal(n_requests, 2);
    assert_non_null(strstr(requests[1].body, "\"ready\":1,\"current\":1,\"behind\":1"));
    assert_non_null(strstr(requests[1].body, "\"resourceVersion\":\"11\""));
    take(&requests[1], "12");
    echo(&requests[1], "r", 1, "12");
    fleet = (struct status_served){2, 2, 0}; /* and back: the fleet's size */
    pass(10);
    pass(9000);
    assert_int_equal(n_requests, 2);
    pass(1000);
    assert_int_equal(n_requests, 3);
}

/* What is published counts, not what is compiled: also when only a removal is on its way. */
static void not_before_it_is_published(void **state) {
    (void)state;
    published = false;
    route("r", 1, "10", "");
    changed("r");
    pass(10);
    assert_int_equal(n_requests, 0);
    published = true;
    pass(10);
    assert_int_equal(n_requests, 1);
}

/* The next change reaches the store before the answer to our write does. */
static void a_change_overtakes_the_answer(void **state) {
    (void)state;
    route("r", 1, "10", "");
    changed("r");
    assert_int_equal(n_requests, 1);
    echo(&requests[0], "r", 1, "11");
    route("r", 2, "12", "{'conditions':[]}");
    changed("r");
    assert_int_equal(n_requests, 1); /* one at a time */
    take(&requests[0], "11");
    turn();
    assert_int_equal(n_requests, 2);
    assert_non_null(strstr(requests[1].body, "\"resourceVersion\":\"12\""));
    assert_non_null(strstr(requests[1].body, "\"observedGeneration\":2"));
}

/* A version that is not compiled yet is not spoken of. */
static void not_before_it_is_compiled(void **state) {
    (void)state;
    route("r", 1, "10", "");
    changed("r");
    take(&requests[0], "11");
    echo(&requests[0], "r", 1, "11");
    route("r", 2, "12", "");
    turn();
    pass(0);
    assert_int_equal(n_requests, 1);
    changed("r");
    assert_int_equal(n_requests, 2);
    assert_non_null(strstr(requests[1].body, "\"observedGeneration\":2"));
}

static void a_conflict(void **state) {
    (void)state;
    route("r", 1, "10", "");
    changed("r");
    answer(&requests[0], 409, "");
    turn();
    pass(100);
    assert_int_equal(n_requests, 1); /* the store will hear of it ... */
    route("r", 1, "11", "");
    turn();
    assert_int_equal(n_requests, 2); /* ... and has */
    assert_non_null(strstr(requests[1].body, "\"resourceVersion\":\"11\""));
    answer(&requests[1], 409, "");
    turn();
    pass(600); /* it does not: read anew */
    assert_int_equal(n_requests, 3);
    assert_string_equal(requests[2].method, "GET");
    assert_string_equal(requests[2].path, ROUTE_R);
    answer(&requests[2], 200,
           "{\"metadata\":{\"resourceVersion\":\"15\"},\"status\":{\"conditions\":[{\"type\":"
           "\"Theirs\",\"status\":\"True\"}]}}");
    turn();
    assert_int_equal(n_requests, 4);
    assert_non_null(strstr(requests[3].body, "\"resourceVersion\":\"15\""));
    assert_non_null(strstr(requests[3].body, "\"Theirs\""));
    assert_int_equal(writer_counters(writer)->conflicts, 2);
}

/* Put right once, then left alone, until there is something new. */
static void somebody_else_writes(void **state) {
    (void)state;
    route("r", 1, "10", "");
    changed("r");
    take(&requests[0], "11");
    echo(&requests[0], "r", 1, "11");
    route("r", 1, "12", "{'conditions':[]}");
    turn();
    pass(9000);
    assert_int_equal(n_requests, 1);
    pass(1000);
    assert_int_equal(n_requests, 2);
    take(&requests[1], "13");
    echo(&requests[1], "r", 1, "13");
    route("r", 1, "14", "{'conditions':[]}");
    turn();
    pass(600000);
    assert_int_equal(n_requests, 2);
    assert_int_equal(faults.n, 1);
    assert_non_null(strstr(faults.why[0].text, "second release"));
    assert_int_equal(writer_counters(writer)->overwritten, 1);
    fleet = (struct status_served){3, 3, 0};
    pass(0);
    pass(WHEN_STABLE_MS);
    assert_int_equal(n_requests, 3);
    take(&requests[2], "15");
    assert_int_equal(faults.n, 0);
}

/* The clock decides at the moment of writing, not what was told last. */
static void who_does_not_lead_writes_nothing(void **state) {
    (void)state;
    leads = false;
    route("r", 1, "10", "");
    changed("r");
    pass(5000);
    assert_int_equal(n_requests, 0);
    leads = true;
    pass(5000);
    assert_int_equal(n_requests, 1);
    writer_lead(writer, false); /* what was under way is given up */
    assert_int_equal(live(), 0);
    assert_int_equal(writer_pending(writer), 0);
    writer_lead(writer, true);
    turn();
    assert_int_equal(n_requests, 3); /* with the GatewayConfig */
}

static void a_new_leader_writes_nothing_anew(void **state) {
    (void)state;
    route("r", 1, "10", "");
    changed("r");
    take(&requests[0], "11");
    echo(&requests[0], "r", 1, "11");
    writer_lead(writer, false);
    writer_lead(writer, true);
    turn();
    pass(60000);
    assert_int_equal(n_requests, 1 + 1); /* the GatewayConfig, whose status the store never heard */
    assert_null(strstr(requests[1].path, "routes"));
}

static void many_at_once(void **state) {
    (void)state;
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%d", i);
        route(name, 1, "10", "");
    }
    run(&w);
    for (const struct resource *r = NULL; (r = store_next(w.store, KUBE_Route, r));)
        writer_changed(writer, r);
    turn();
    assert_int_equal(live(), 8);
    size_t before = n_requests;
    for (int i = 0; i < 1000; i++) {
        for (size_t k = 0; k < n_requests; k++)
            if (requests[k].live)
                take(&requests[k], "11");
        turn();
    }
    assert_in_range(n_requests, 99, 100); /* the burst; no time has passed */
    assert_true(n_requests > before);
    pass(1000);
    for (int i = 0; i < 1000; i++) {
        for (size_t k = 0; k < n_requests; k++)
            if (requests[k].live)
                take(&requests[k], "11");
        turn();
    }
    assert_in_range(n_requests, 149, 151);
}

static void a_kind_is_forbidden(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%d", i);
        route(name, 1, "10", "");
    }
    run(&w);
    for (const struct resource *r = NULL; (r = store_next(w.store, KUBE_Route, r));)
        writer_changed(writer, r);
    turn();
    size_t sent = n_requests;
    for (size_t k = 0; k < sent; k++)
        answer(&requests[k], 403, "");
    turn();
    pass(59000);
    assert_int_equal(n_requests, sent); /* the others do not even try */
    assert_int_equal(faults.n, 1);
    assert_non_null(strstr(faults.why[0].object, "the status of routes in namespace shop"));
    pass(1000);
    assert_true(n_requests > sent);
    take(&requests[sent], "11");
    assert_int_equal(faults.n, 0);
}

static void a_server_that_is_ill(void **state) {
    (void)state;
    route("r", 1, "10", "");
    route("s", 1, "10", "");
    changed("r");
    answer(&requests[0], 503, "");
    changed("s");
    turn();
    assert_int_equal(n_requests, 1); /* all wait */
    pass(30000);
    assert_int_equal(n_requests, 3);
}

/* A class of somebody else: the store has it no more, the server has. */
static void it_leaves_our_class(void **state) {
    (void)state;
    route("r", 1, "10", "");
    changed("r");
    take(&requests[0], "11");
    echo(&requests[0], "r", 1, "11");
    store_delete(w.store, KUBE_Route, STR("shop"), STR("r"));
    run(&w);
    turn();
    assert_int_equal(n_requests, 2);
    assert_string_equal(requests[1].method, "GET");
    answer(&requests[1], 200,
           "{\"metadata\":{\"resourceVersion\":\"12\",\"generation\":2},\"status\":{\"conditions\":"
           "[{\"type\":\"Accepted\",\"status\":\"True\",\"observedGeneration\":1}]}}");
    turn();
    assert_int_equal(n_requests, 3);
    assert_non_null(strstr(requests[2].body, "{\"conditions\":[],\"proxies\":null}"));
    take(&requests[2], "13");
    turn();
    pass(60000);
    assert_int_equal(n_requests, 3);
    /* one that was deleted */
    route("s", 1, "20", "");
    changed("s");
    take(&requests[3], "21");
    store_delete(w.store, KUBE_Route, STR("shop"), STR("s"));
    run(&w);
    turn();
    assert_string_equal(requests[4].method, "GET");
    answer(&requests[4], 404, "");
    turn();
    pass(60000);
    assert_int_equal(n_requests, 5);
}

static void deleted_while_it_is_written(void **state) {
    (void)state;
    route("r", 1, "10", "");
    changed("r");
    store_delete(w.store, KUBE_Route, STR("shop"), STR("r"));
    run(&w);
    turn();
    answer(&requests[0], 404, "");
    turn();
    pass(120000);
    for (size_t k = 0; k < n_requests; k++)
        if (requests[k].live)
            answer(&requests[k], 404, "");
    turn();
    assert_int_equal(writer_pending(writer), 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(one_write_when_all_have_it),
        T(two_when_one_is_slow),
        T(not_before_it_is_published),
        T(a_change_overtakes_the_answer),
        T(not_before_it_is_compiled),
        T(a_conflict),
        T(somebody_else_writes),
        T(who_does_not_lead_writes_nothing),
        T(a_new_leader_writes_nothing_anew),
        T(many_at_once),
        T(a_kind_is_forbidden),
        T(a_server_that_is_ill),
        T(it_leaves_our_class),
        T(deleted_while_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
