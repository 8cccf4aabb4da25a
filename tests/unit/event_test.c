/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: what is asked of the server, and when; with an API server and a clock that the test
 * plays.
 */
#include "fake_kube.h"

#include "controller/status/event.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <event2/event.h>

enum { MINUTE = 60 * 1000 };

static struct event_base *base;
static struct faults faults;
static struct events *events;
static struct resource *r;
static bool leads;

static bool we_lead(void *arg) {
    (void)arg;
    return leads;
}

static void pass(uint64_t ms) {
    now_ms += ms;
    /* anything said wakes it, as its timer would: something that is never refused is over */
    event_over(events, r, "Other");
    event_say(events, r, "Tick", "Tick", STR("tick"), false);
    for (int i = 0; i < 20; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

static int setup(void **state) {
    (void)state;
    struct why why;
    bool foreign;
    cJSON *json = json_parse(
        STR("{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"Ingress\",\"metadata\":{\"name\":"
            "\"i\",\"namespace\":\"shop\",\"uid\":\"u-1\"},\"spec\":{}}"),
        &why);
    r = resource_new(json, &(struct resource_origin){0}, &foreign, &why);
    cJSON_Delete(json);
    now_ms = 100 * MINUTE;
    n_requests = 0;
    memset(&faults, 0, sizeof(faults));
    leads = true;
    base = event_base_new();
    events = events_new(&(struct events_config){
        .base = base, .instance = STR("pod-1"), .faults = &faults, .leads = we_lead});
    return 0;
}

static int teardown(void **state) {
    (void)state;
    events_free(events);
    resource_drop(r);
    event_base_free(base);
    return 0;
}

static void say(const char *note) {
    event_say(events, r, "Accepted", "Invalid", str_of(note), true);
}

static struct kube_request *last(const char *method) {
    struct kube_request *q = &requests[n_requests - 1];
    assert_true(n_requests > 0 && q->live);
    assert_string_equal(q->method, method);
    return q;
}

static void a_refusal_is_told(void **state) {
    (void)state;
    char name[512];
    say("spec: it is bad");
    struct kube_request *q = last("GET");
    snprintf(name, sizeof(name), "%s", q->path);
    assert_int_equal(strncmp(name, "/apis/events.k8s.io/v1/namespaces/shop/events/i.", 48), 0);
    answer(q, 404, "");
    q = last("POST");
    assert_string_equal(q->path, "/apis/events.k8s.io/v1/namespaces/shop/events");
    cJSON *e = json_parse(str_of(q->body), NULL);
    assert_non_null(e);
    assert_string_equal(json_text(json_get(e, "metadata"), "name").p, strrchr(name, '/') + 1);
    assert_string_equal(json_text(e, "type").p, "Warning");
    assert_string_equal(json_text(e, "reason").p, "Invalid");
    assert_string_equal(json_text(e, "note").p, "spec: it is bad");
    assert_string_equal(json_text(e, "reportingInstance").p, "pod-1");
    assert_string_equal(json_text(json_get(e, "regarding"), "uid").p, "u-1");
    assert_string_equal(json_text(json_get(e, "regarding"), "apiVersion").p,
                        "networking.k8s.io/v1");
    cJSON_Delete(e);
    answer(q, 201, "{}");
    assert_int_equal(events_sent(events), 1);
    for (int i = 0; i < 100; i++)
        say("spec: it is bad");
    assert_int_equal(n_requests, 2);
}

static void it_is_renewed_while_it_lasts(void **state) {
    (void)state;
    say("bad");
    answer(last("GET"), 404, "");
    answer(last("POST"), 201, "{}");
    now_ms += 29 * MINUTE;
    say("bad");
    assert_int_equal(n_requests, 2);
    now_ms += MINUTE;
    event_say(events, r, "ResolvedRefs", "BackendNotFound", STR("x"), true); /* wakes it */
    answer(last("GET"), 404, "");
    answer(last("POST"), 201, "{}");
    struct kube_request *q = last("PATCH");
    assert_non_null(strstr(q->body, "{\"series\":{\"count\":2,"));
    answer(q, 200, "{}");
    now_ms += 30 * MINUTE;
    event_over(events, r, "Accepted"); /* it is good now: not said again */
    event_say(events, r, "ResolvedRefs", "BackendNotFound", STR("y"), true);
    q = last("GET");
    answer(q, 404, "");
    answer(last("POST"), 201, "{}");
    assert_int_equal(live(), 0);
}

static void the_server_has_forgotten_it(void **state) {
    (void)state;
    say("bad");
    answer(last("GET"), 404, "");
    answer(last("POST"), 201, "{}");
    now_ms += 90 * MINUTE;
    event_say(events, r, "ResolvedRefs", "BackendNotFound", STR("x"), true);
    answer(last("GET"), 404, "");
    answer(last("POST"), 201, "{}");
    answer(last("PATCH"), 404, "");
    answer(last("POST"), 201, "{}");
}

/* After a restart, or by who led before. */
static void it_was_said_already(void **state) {
    (void)state;
    char text[200];
    struct out o = out_fixed(text, sizeof(text) - 1);
    out_lit(&o, "{\"eventTime\":\"2026-01-01T00:00:00.000000Z\",\"series\":{\"count\":7,"
                "\"lastObservedTime\":\"");
    status_print_time(status_unix_s() - 600, &o);
    out_lit(&o, "\"}}");
    text[o.n] = 0;
    say("bad");
    answer(last("GET"), 200, text);
    assert_int_equal(live(), 0); /* ten minutes ago */
    now_ms += 20 * MINUTE;
    event_say(events, r, "ResolvedRefs", "BackendNotFound", STR("x"), true);
    answer(last("GET"), 404, "");
    answer(last("POST"), 201, "{}");
    assert_non_null(strstr(last("PATCH")->body, "\"count\":8"));
}

static void it_changes_while_it_is_said(void **state) {
    (void)state;
    say("one");
    struct kube_request *q = last("GET");
    say("two");
    say("three");
    assert_int_equal(n_requests, 1);
    answer(q, 404, "");
    answer(last("POST"), 201, "{}");
    answer(last("GET"), 404, "");
    assert_non_null(strstr(last("POST")->body, "\"three\""));
    answer(last("POST"), 201, "{}");
    assert_int_equal(live(), 0);
}

static void at_most_so_many(void **state) {
    (void)state;
    size_t posts = 0;
    for (int i = 0; i < 100; i++) {
        char topic[16];
        snprintf(topic, sizeof(topic), "T%d", i);
        event_say(events, r, topic, "Invalid", STR("bad"), false);
    }
    while (live() > 0) {
        struct kube_request *q = &requests[n_requests - 1];
        posts += strcmp(q->method, "POST") == 0;
        answer(q, q->method[0] == 'G' ? 404 : 201, "{}");
    }
    assert_int_equal(posts, 25);
}

static void it_may_not(void **state) {
    (void)state;
    say("bad");
    answer(last("GET"), 403, "");
    assert_int_equal(faults.n, 1);
    pass(MINUTE);
    assert_int_equal(n_requests, 2); /* of the tick: nothing is tried again before its time */
    answer(last("GET"), 404, "");
    answer(last("POST"), 201, "{}");
    assert_int_equal(faults.n, 0);
}

static void who_does_not_lead_says_nothing(void **state) {
    (void)state;
    leads = false;
    say("bad");
    assert_int_equal(n_requests, 0);
    leads = true;
    pass(0);
    struct kube_request *q = last("GET");
    leads = false;
    answer(q, 404, "");
    assert_int_equal(n_requests, 1);
    say("worse");
    events_forget(events);
    assert_int_equal(live(), 0);
}

/* 1,024 bytes, and no half of a character. */
static void a_long_note_is_cut(void **state) {
    (void)state;
    char note[1300];
    for (size_t i = 0; i + 2 < sizeof(note); i += 3)
        memcpy(note + i, "\xe2\x82\xac", 3);
    event_say(events, r, "Accepted", "Invalid", str_mk(note, 1299), true);
    answer(last("GET"), 404, "");
    cJSON *e = json_parse(str_of(last("POST")->body), NULL);
    assert_int_equal(json_text(e, "note").n, 1023);
    cJSON_Delete(e);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_refusal_is_told),   T(it_is_renewed_while_it_lasts),   T(the_server_has_forgotten_it),
        T(it_was_said_already), T(it_changes_while_it_is_said),    T(at_most_so_many),
        T(it_may_not),          T(who_does_not_lead_says_nothing), T(a_long_note_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
