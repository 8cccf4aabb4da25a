/* SPDX-License-Identifier: Apache-2.0
 *
 * source/kube against a server of a few lines on the same loop: what is read by name, and how often
 * it is asked. Lists, watches and faults have the real server: tests/kube.
 */
#include "controller/source/kube.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { NAMES = 60 };

static struct event_base *base;
static struct evhttp *server;
static struct store *store;
static struct kube_access *access_;
static struct kube_client *client;
static struct source *source;
static char kubeconfig[64];

static struct {
    unsigned gets, held, most; /* of Secrets: asked, not answered yet, the most of these */
    int status;                /* that a get is answered with; 0: not at all */
    const char *data;          /* of the Secret */
    struct evhttp_request *waiting[NAMES];
} served;

/* ---- the server ---- */

static void answer(struct evhttp_request *rq, int status, const char *text) {
    struct evbuffer *body = evbuffer_new();
    evbuffer_add_printf(body, "%s", text);
    evhttp_add_header(evhttp_request_get_output_headers(rq), "Content-Type", "application/json");
    evhttp_send_reply(rq, status, NULL, body);
    evbuffer_free(body);
}

static void answer_get(struct evhttp_request *rq) {
    char room[1024], *name = strrchr(evhttp_request_get_uri(rq), '/') + 1;
    if (served.status == 403)
        snprintf(room, sizeof(room),
                 "{\"kind\":\"Status\",\"message\":\"secrets \\\"%s\\\" is forbidden: User "
                 "\\\"system:serviceaccount:sluice:sluice-controller\\\" cannot get resource\"}",
                 name);
    else
        snprintf(room, sizeof(room),
                 "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"type\":\"Opaque\",\"metadata\":{"
                 "\"name\":\"%s\",\"namespace\":\"shop\",\"resourceVersion\":\"7\"},\"data\":{"
                 "\"k\":\"%s\"}}",
                 name, served.data);
    answer(rq, served.status, room);
}

static void on_get(struct evhttp_request *rq) {
    served.gets++;
    if (served.status != 0) {
        answer_get(rq);
        return;
    }
    assert_true(served.held < NAMES);
    served.waiting[served.held++] = rq;
    served.most = served.held > served.most ? served.held : served.most;
}

static void answer_held(void) {
    unsigned n = served.held;
    served.held = 0;
    for (unsigned i = 0; i < n; i++)
        answer_get(served.waiting[i]);
}

/* Empty lists; watches that say nothing; Secrets. */
static void on_request(struct evhttp_request *rq, void *arg) {
    const char *uri = evhttp_request_get_uri(rq);
    (void)arg;
    if (strstr(uri, "/secrets/"))
        on_get(rq);
    else if (strstr(uri, "sendInitialEvents"))
        answer(rq, 422, "{\"kind\":\"Status\",\"message\":\"not here\"}");
    else if (strstr(uri, "watch=1"))
        evhttp_send_reply_start(rq, 200, NULL);
    else
        answer(rq, 200,
               "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}");
}

static void write_kubeconfig(uint16_t port) {
    snprintf(kubeconfig, sizeof(kubeconfig), "/tmp/sluice-kubesource-XXXXXX");
    int fd = mkstemp(kubeconfig);
    assert_true(fd >= 0);
    dprintf(fd,
            "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
            "clusters: [{name: a, cluster: {server: \"http://127.0.0.1:%u\"}}]\n"
            "users: [{name: a, user: {token: t}}]\n"
            "contexts: [{name: a, context: {cluster: a, user: a}}]\n",
            port);
    close(fd);
}

/* ---- the loop ---- */

static uint64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void on_tick(evutil_socket_t fd, short what, void *arg) { (void)fd, (void)what, (void)arg; }

#define UNTIL(condition)                                                                           \
    for (uint64_t end = now_ms() + 10000; !(condition);) {                                         \
        if (now_ms() > end)                                                                        \
            fail_msg("never: %s", #condition);                                                     \
        event_base_loop(base, EVLOOP_ONCE);                                                        \
    }

static void run_for(uint64_t ms) {
    for (uint64_t end = now_ms() + ms; now_ms() < end;)
        event_base_loop(base, EVLOOP_ONCE);
}

static struct event *tick; /* so that a loop turns when nothing happens */

static int setup(void **state) {
    (void)state;
    struct why why;
    why_clear(&why);
    const struct timeval every = {0, 5000};
    memset(&served, 0, sizeof(served));
    served.status = 200;
    served.data = "YQ==";
    base = event_base_new();
    tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    event_add(tick, &every);
    server = evhttp_new(base);
    evhttp_set_gencb(server, on_request, NULL);
    struct evhttp_bound_socket *at = evhttp_bind_socket_with_handle(server, "127.0.0.1", 0);
    struct sockaddr_in sa;
    socklen_t n = sizeof(sa);
    assert_int_equal(getsockname(evhttp_bound_socket_get_fd(at), (struct sockaddr *)&sa, &n), 0);
    write_kubeconfig(ntohs(sa.sin_port));
    store = store_new();
    access_ = kube_access_new(kubeconfig, NULL, &why);
    if (!access_)
        fail_msg("%s: %s", why.field, why.text);
    client = kube_client_new(base, access_);
    const struct kube_source_options options = {0};
    source = kube_source_base(kube_source_new(base, store, client, &options));
    UNTIL(store_is_synced(store));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    source->verbs->free(source);
    kube_client_free(client);
    kube_access_free(access_);
    store_free(store);
    evhttp_free(server);
    event_free(tick);
    event_base_free(base);
    unlink(kubeconfig);
    return 0;
}

/* ---- units, as compile has them ---- */

static struct store_unit *unit(const char *id) {
    store_unit(store, str_of(id));
    return store_next_dirty(store);
}

static const struct resource *read_secret(struct store_unit *u, const char *name) {
    return store_read(store, u, KUBE_Secret, STR("shop"), str_of(name));
}

static bool is_unknown(const char *name, const struct why **why) {
    return store_is_unknown(store, KUBE_Secret, STR("shop"), str_of(name), why);
}

/* The one unit is dirty again: it looks once more, as compile would. */
static const struct resource *again(const char *name) {
    UNTIL(store_n_dirty(store) > 0);
    return read_secret(store_next_dirty(store), name);
}

static size_t n_faults;
static char first_fault[1024];
static void on_fault(void *arg, struct str fault) {
    (void)arg;
    if (n_faults++ == 0)
        snprintf(first_fault, sizeof(first_fault), "%.*s", STR_FMT(fault));
}
static size_t faults(void) {
    n_faults = 0;
    source->verbs->faults(source, on_fault, NULL);
    return n_faults;
}

/* ---- cases ---- */

static void a_secret_is_read_when_something_reads_it(void **state) {
    (void)state;
    const struct why *why;
    struct store_unit *u = unit("a");
    assert_int_equal(served.gets, 0);
    assert_null(read_secret(u, "tls"));
    assert_null(read_secret(u, "tls"));
    assert_true(is_unknown("tls", &why));
    assert_int_equal(store_n_unknown(store), 1);
    const struct resource *r = again("tls");
    assert_non_null(r);
    assert_non_null(resource_Secret(r));
    assert_int_equal(served.gets, 1);
    assert_int_equal(store_n_unknown(store), 0);
    assert_int_equal(faults(), 0);
}

static void it_is_read_again_but_not_within_a_second(void **state) {
    (void)state;
    struct store_unit *u = unit("a");
    read_secret(u, "tls");
    uint64_t first = now_ms();
    uint64_t hash = again("tls")->hash;
    served.data = "Yg==";
    for (int i = 0; i < 20; i++) {
        read_secret(u, "tls");
        run_for(10);
    }
    assert_int_equal(served.gets, 1);
    UNTIL(served.gets == 2);
    assert_true(now_ms() - first >= KUBE_REREAD_MS);
    assert_true(again("tls")->hash != hash);
    run_for(1500); /* the look that the answer itself brought about is no reason to read again */
    assert_int_equal(served.gets, 2);
}

static void many_are_read_a_few_at_once(void **state) {
    (void)state;
    struct store_unit *u = unit("a");
    char name[16];
    served.status = 0;
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        read_secret(u, name);
    }
    UNTIL(served.held == KUBE_GETS_MAX);
    run_for(100);
    assert_int_equal(served.most, KUBE_GETS_MAX);
    assert_int_equal(store_n_unknown(store), NAMES);
    served.status = 200;
    answer_held();
    UNTIL(store_n_unknown(store) == 0);
    assert_int_equal(served.gets, NAMES);
    assert_int_equal(store_count(store, KUBE_Secret), NAMES);
}

static void one_that_does_not_exist_is_absent_and_found_when_it_comes(void **state) {
    (void)state;
    const struct why *why;
    served.status = 404;
    read_secret(unit("a"), "tls");
    assert_null(again("tls"));
    assert_false(is_unknown("tls", &why));
    assert_null(why);
    assert_int_equal(faults(), 0);
    served.status = 200;
    assert_non_null(again("tls"));
}

static void one_that_goes_is_absent_again(void **state) {
    (void)state;
    struct store_unit *u = unit("a");
    read_secret(u, "tls");
    assert_non_null(again("tls"));
    served.status = 404;
    read_secret(u, "tls");
    assert_null(again("tls"));
}

static void one_that_may_not_be_read_says_why(void **state) {
    (void)state;
    const struct why *why;
    served.status = 403;
    read_secret(unit("a"), "tls");
    assert_null(again("tls"));
    assert_false(is_unknown("tls", &why));
    assert_non_null(why);
    assert_non_null(strstr(why->text, "grant the verb get to ServiceAccount sluice/sluice-controll"
                                      "er"));
    assert_int_equal(faults(), 1);
    assert_non_null(strstr(first_fault, "cannot read Secret shop/tls: 403 Forbidden: "));
    served.status = 200;
    assert_non_null(again("tls"));
    assert_int_equal(faults(), 0);
}

static void another_error_keeps_what_is_known(void **state) {
    (void)state;
    const struct why *why;
    struct store_unit *u = unit("a");
    served.status = 500;
    read_secret(u, "tls");
    UNTIL(served.gets == 2);
    assert_true(is_unknown("tls", &why));
    assert_int_equal(faults(), 1);
    served.status = 200;
    assert_non_null(again("tls"));
    unsigned gets = served.gets;
    served.status = 500;
    read_secret(u, "tls");
    UNTIL(served.gets > gets + 1);
    assert_non_null(store_get(store, KUBE_Secret, STR("shop"), STR("tls")));
    assert_int_equal(faults(), 1);
}

static void one_that_nobody_reads_any_more_is_forgotten(void **state) {
    (void)state;
    const struct why *why;
    served.status = 404;
    read_secret(unit("a"), "tls");
    UNTIL(store_n_dirty(store) > 0);
    store_next_dirty(store); /* and reads nothing this time */
    run_for(1000);
    assert_int_equal(served.gets, 1);
    read_secret(unit("b"), "tls");
    assert_true(is_unknown("tls", &why));
    assert_null(again("tls"));
    assert_int_equal(served.gets, 2);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_secret_is_read_when_something_reads_it),
        CASE(it_is_read_again_but_not_within_a_second),
        CASE(many_are_read_a_few_at_once),
        CASE(one_that_does_not_exist_is_absent_and_found_when_it_comes),
        CASE(one_that_goes_is_absent_again),
        CASE(one_that_may_not_be_read_says_why),
        CASE(another_error_keeps_what_is_known),
        CASE(one_that_nobody_reads_any_more_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
