/* SPDX-License-Identifier: Apache-2.0
 *
 * The link, whole: a real controller's end and real proxies' ends over loopback, in one process and
 * on one event loop, plain and over TLS. Only the builder is a fake, and whoever shows a token is
 * let in.
 */
#include "controller/push/push.h"
#include "lib/log.h"
#include "proxy/config/config.h"
#include "tests/unit/fake_builder.h"
#include "tests/unit/pki_world.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PROXIES = 4, PORT_A = 21101, PORT_B = 21102, WITHIN_S = 30 };

struct proxy {
    struct config *config;
    unsigned published;
    size_t rejected; /* objects */
    uint64_t serial;
    bool hold_adoption; /* its workers are stuck */
};

static struct event_base *base;
static struct proxy proxies[PROXIES];
static struct push *a, *b; /* controllers */
static bool secure;
static struct pki_world world;
static struct pki_pair ca, leaf;

/* What the controller was told. */
static struct {
    unsigned changes, acks, nacks, haves, ends, incomplete;
    char nacked_id[200], nacked_reason[200], have_id[200];
    uint64_t nacked_hash, have_hash;
} told;

/* ---- the world ---- */

static void on_publish(void *arg, struct snapshot *s) {
    struct proxy *p = arg;
    p->published++;
    p->serial = s->serial;
    snapshot_drop(s);
}

static void on_change(void *arg) {
    (void)arg;
    told.changes++;
}

static void on_ack(void *arg, const struct push_proxy *p) {
    (void)arg;
    assert_true(p->ready);
    told.acks++;
}

static void on_nack(void *arg, const struct push_proxy *p, const struct push_fault *faults,
                    size_t n) {
    (void)arg, (void)p;
    assert_true(n > 0);
    told.nacks++;
    snprintf(told.nacked_id, sizeof(told.nacked_id), "%.*s", STR_FMT(faults[0].id));
    snprintf(told.nacked_reason, sizeof(told.nacked_reason), "%.*s", STR_FMT(faults[0].reason));
    told.nacked_hash = faults[0].hash;
}

static void on_have(void *arg, uint64_t proxy, uint64_t ask, struct object *o) {
    (void)arg, (void)proxy;
    assert_true(ask != 0);
    told.haves++;
    snprintf(told.have_id, sizeof(told.have_id), "%.*s", STR_FMT(object_id(o)));
    told.have_hash = o->hash;
    object_drop(o);
}

static void on_have_end(void *arg, uint64_t proxy, uint64_t ask, bool complete) {
    (void)arg, (void)proxy, (void)ask;
    told.ends++;
    told.incomplete += !complete;
}

static void on_token(void *arg, uint64_t proxy, struct str token, const char *address) {
    struct push *p = *(struct push **)arg;
    assert_true(strncmp(address, "127.0.0.1", 9) == 0);
    if (str_eq(token, STR("a-token")))
        push_admit(p, proxy, STR_NONE);
    else
        push_refuse(p, proxy, "no token of ours");
}

static const struct push_events events = {.on_token = on_token,
                                          .on_change = on_change,
                                          .on_ack = on_ack,
                                          .on_nack = on_nack,
                                          .on_have = on_have,
                                          .on_have_end = on_have_end};

static void identify(struct push *p) {
    struct out cert, key;
    struct why why = {0};
    const struct ws_identity id = world_identity(&leaf, &cert, &key);
    assert_int_equal(push_identify(p, &id, &why), 0);
    out_fini(&cert);
    out_fini(&key);
}

static void on_rejected(void *arg, size_t objects) {
    struct proxy *p = arg;
    p->rejected += objects;
}

static struct push *controller(int port) {
    char address[40];
    struct why why = {0};
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    struct push *p = push_new(base, address, secure, &events, port == PORT_A ? &a : &b, &why);
    if (!p)
        print_error("%s\n", why.text);
    assert_non_null(p);
    if (secure)
        identify(p);
    return p;
}

static void start_proxy(int i, const char *file) {
    static const char *const plain[] = {"ws://127.0.0.1:21101", "ws://localhost:21102"};
    static const char *const tls[] = {"wss://127.0.0.1:21101", "wss://localhost:21102"};
    struct why why = {0};
    char name[20];
    snprintf(name, sizeof(name), "proxy-%d", i);
    proxies[i] = (struct proxy){0};
    struct config_options o = {.name = name,
                               .controllers = secure ? tls : plain,
                               .n_controllers = 2,
                               .controller_ca = secure ? world.ca : NULL,
                               .token = secure ? world.token : NULL,
                               .lastgood = file,
                               .publish = on_publish,
                               .rejected = on_rejected,
                               .arg = &proxies[i]};
    proxies[i].config = config_new(base, &o, &why);
    assert_non_null(proxies[i].config);
    config_start(proxies[i].config);
}

static void stop_proxy(int i) {
    config_free(proxies[i].config);
    proxies[i].config = NULL;
}

static void adopt(void) {
    for (int i = 0; i < PROXIES; i++)
        if (proxies[i].config && !proxies[i].hold_adoption)
            config_adopted(proxies[i].config, proxies[i].serial);
}

/* Turns the loop until the condition holds. */
#define until(condition)                                                                           \
    do {                                                                                           \
        time_t end = time(NULL) + WITHIN_S;                                                        \
        while (!(condition)) {                                                                     \
            if (time(NULL) > end)                                                                  \
                fail_msg("line %d: never true: %s", __LINE__, #condition);                         \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static void turn(void) {
    struct timeval soon = {0, 20000};
    event_base_loopexit(base, &soon); /* so that a turn in which nothing happens ends too */
    event_base_loop(base, EVLOOP_ONCE);
    adopt();
}

static int setup(void **state) {
    (void)state;
    base = event_base_new();
    memset(&told, 0, sizeof(told));
    secure = false;
    return base ? 0 : -1;
}

static int setup_tls(void **state) {
    static const char *const names[] = {"127.0.0.1", "localhost"};
    int bad = setup(state);
    secure = true;
    world_new(&world);
    ca = pki_ca(time(NULL), DAY);
    leaf = pki_leaf(&ca, time(NULL), DAY, names, 2);
    world_publish(&world, &ca, NULL);
    world_write(world.token, STR("a-token\n"));
    return bad;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < PROXIES; i++)
        stop_proxy(i);
    push_free(a);
    push_free(b);
    a = b = NULL;
    event_base_free(base);
    if (secure) {
        pki_fini(&ca);
        pki_fini(&leaf);
        world_free(&world);
    }
    return 0;
}

/* ---- objects ---- */

static struct object *route(const char *id, const char *hostname, size_t padding) {
    struct str names[1] = {str_of(hostname)};
    char *pad = mem_zalloc(padding + 1);
    memset(pad, 'x', padding);
    struct model_direct direct = {.status = 200, .body = str_mk(pad, padding)};
    struct model_filter filter = {.type = MODEL_FILTER_DIRECT, .direct = &direct};
    struct model_route r = {.hosts = names, .n_hosts = 1, .filters = &filter, .n_filters = 1};
    struct object *o = object_new(MODEL_KIND_route, str_of(id), &r);
    mem_free(pad);
    return o;
}

static uint64_t put(struct push *p, const char *id, const char *hostname) {
    struct object *o = route(id, hostname, 0);
    uint64_t hash = o->hash;
    push_put(p, o);
    return hash;
}

static void put_many(struct push *p, int n, const char *hostname) {
    for (int i = 0; i < n; i++) {
        char id[60];
        snprintf(id, sizeof(id), "route/many/r%d/rule-0", i);
        put(p, id, hostname);
    }
}

struct tally {
    size_t proxies, ready, current, behind, follows, in_flight;
};

static void count_one(void *arg, const struct push_proxy *p) {
    struct tally *t = arg;
    t->proxies++;
    t->ready += p->ready;
    t->current += p->current;
    t->behind += p->behind;
    t->follows += p->follows;
    t->in_flight += p->in_flight;
}

static struct tally tally(const struct push *p) {
    struct tally t = {0};
    push_each(p, count_one, &t);
    return t;
}

static uint64_t revision(int i) { return config_revision(proxies[i].config); }

static bool has(int i, const char *id, uint64_t hash) {
    size_t n;
    bool found = false;
    struct object **objects = config_objects(proxies[i].config, &n);
    for (size_t k = 0; k < n; k++) {
        found |=
            str_eq(object_id(objects[k]), str_of(id)) && (hash == 0 || objects[k]->hash == hash);
        object_drop(objects[k]);
    }
    mem_free(objects);
    return found;
}

static bool serving(const struct push *p, const char *id, const char *hostname, size_t want) {
    struct object *o = route(id, hostname, 0);
    struct push_served v = push_serving(p, &o, 1, 0);
    object_drop(o);
    return v.current == want && v.ready == want;
}

/* ---- tests ---- */

static void every_proxy_gets_the_set_and_changes(void **state) {
    (void)state;
    a = controller(PORT_A);
    put_many(a, 300, "one");
    push_commit(a);
    for (int i = 0; i < PROXIES; i++)
        start_proxy(i, NULL);
    until(tally(a).current == PROXIES);
    for (int i = 0; i < PROXIES; i++) {
        assert_true(config_ready(proxies[i].config));
        assert_int_equal(revision(i), push_revision(a));
        assert_int_equal(config_count(proxies[i].config), 300);
        assert_int_equal(proxies[i].published, 1);
    }
    uint64_t hash = put(a, "route/many/r7/rule-0", "two");
    push_del(a, STR("route/many/r8/rule-0"));
    put(a, "route/many/r9/rule-0", "one"); /* as it was */
    assert_true(serving(a, "route/many/r7/rule-0", "two", PROXIES) == false);
    uint64_t version = push_version(a);
    push_commit(a);
    assert_int_equal(push_version(a), version + 1);
    until(tally(a).current == PROXIES);
    assert_true(serving(a, "route/many/r7/rule-0", "two", PROXIES));
    assert_false(serving(a, "route/many/r7/rule-0", "one", PROXIES));
    assert_int_equal(push_serving(a, NULL, 0, version + 1).current, PROXIES); /* r8 is gone */
    assert_int_equal(push_serving(a, NULL, 0, version + 2).current, 0);
    assert_true(has(2, "route/many/r7/rule-0", hash));
    assert_false(has(2, "route/many/r8/rule-0", 0));
    assert_int_equal(config_count(proxies[2].config), 299);
    assert_int_equal(proxies[2].published, 2);
    push_commit(a); /* nothing was said */
    assert_int_equal(tally(a).current, PROXIES);
}

static void nothing_is_sent_before_the_first_commit(void **state) {
    (void)state;
    a = controller(PORT_A);
    start_proxy(0, NULL);
    until(tally(a).proxies == 1 && tally(a).follows == 1);
    assert_false(config_ready(proxies[0].config));
    push_commit(a); /* an empty set is a configuration too */
    until(tally(a).current == 1);
    assert_true(config_ready(proxies[0].config));
    assert_int_equal(proxies[0].published, 1);
}

static void a_bad_object_changes_nothing_and_is_named(void **state) {
    (void)state;
    a = controller(PORT_A);
    put(a, "route/shop/a/rule-0", "one");
    push_commit(a);
    start_proxy(0, NULL);
    until(tally(a).current == 1);
    uint64_t before = revision(0);
    uint64_t bad = put(a, "route/bad/b/rule-0", "one");
    uint64_t hash = put(a, "route/shop/a/rule-0", "two");
    push_commit(a);
    until(told.nacks == 1);
    assert_string_equal(told.nacked_id, "route/bad/b/rule-0");
    assert_string_equal(told.nacked_reason, "Route bad: it is bad");
    assert_true(told.nacked_hash == bad);
    assert_int_equal(proxies[0].rejected, 1);
    assert_int_equal(revision(0), before);
    assert_int_equal(proxies[0].published, 1);
    push_del(a, STR("route/bad/b/rule-0")); /* quarantine */
    push_commit(a);
    until(tally(a).current == 1);
    assert_true(has(0, "route/shop/a/rule-0", hash));
    assert_int_equal(told.nacks, 1);
}

static void a_stuck_proxy_delays_nobody(void **state) {
    (void)state;
    a = controller(PORT_A);
    push_set_behind_ms(a, 1);
    put_many(a, 10, "one");
    push_commit(a);
    for (int i = 0; i < 3; i++)
        start_proxy(i, NULL);
    until(tally(a).current == 3);
    proxies[1].hold_adoption = true;
    for (int round = 0; round < 20; round++) {
        char name[20];
        snprintf(name, sizeof(name), "h%d", round);
        put_many(a, 10, name);
        push_commit(a);
        until(tally(a).current == 2);
    }
    until(tally(a).behind == 1);
    uint64_t hash = put(a, "route/many/r1/rule-0", "last");
    push_commit(a);
    until(serving(a, "route/many/r1/rule-0", "last", 2)); /* it has left the count */
    struct object *o = route("route/many/r1/rule-0", "last", 0);
    assert_int_equal(push_serving(a, &o, 1, 0).behind, 1);
    object_drop(o);
    assert_int_equal(push_serving(a, NULL, 0, 1).ready, 3); /* what it has it serves */
    assert_true(proxies[1].published == 2);                 /* one in flight, the rest coalesced */
    proxies[1].hold_adoption = false;
    until(tally(a).current == 3 && tally(a).behind == 0);
    assert_true(proxies[1].published == 3);
    assert_true(has(1, "route/many/r1/rule-0", hash));
}

static void a_restarted_controller_sends_only_what_differs(void **state) {
    (void)state;
    a = controller(PORT_A);
    put_many(a, 200, "one");
    push_commit(a);
    start_proxy(0, NULL);
    until(tally(a).current == 1);
    push_free(a);
    a = controller(PORT_A);
    put_many(a, 200, "one");
    push_commit(a);
    until(tally(a).current == 1);
    assert_int_equal(proxies[0].published, 1); /* the same digests: nothing was sent */
    push_free(a);
    a = controller(PORT_A);
    put_many(a, 190, "one"); /* ten are gone */
    uint64_t hash = put(a, "route/many/r3/rule-0", "two");
    push_commit(a);
    until(tally(a).current == 1);
    assert_int_equal(proxies[0].published, 2);
    assert_int_equal(config_count(proxies[0].config), 190);
    assert_int_equal(revision(0), push_revision(a));
    assert_true(has(0, "route/many/r3/rule-0", hash));
}

static void held_ids_are_left_alone(void **state) {
    (void)state;
    a = controller(PORT_A);
    put_many(a, 20, "one");
    uint64_t old = put(a, "route/shop/x/rule-0", "old");
    put(a, "route/shop/x/rule-1", "old");
    push_commit(a);
    start_proxy(0, NULL);
    until(tally(a).current == 1);
    uint64_t before = revision(0);
    push_free(a);
    a = controller(PORT_A); /* does not know x: it cannot be compiled */
    put_many(a, 20, "one");
    push_hold(a, STR("route/shop/x/"));
    push_commit(a);
    until(tally(a).current == 1);
    assert_true(has(0, "route/shop/x/rule-0", old));
    assert_int_equal(revision(0), before);
    assert_int_equal(proxies[0].published, 1);
    /* it asks for them */
    struct str ids[] = {STR("route/shop/x/"), STR("route/none/y/rule-0")};
    assert_true(push_get(a, 0, ids, 2) != 0);
    until(told.ends == 1);
    assert_int_equal(told.haves, 2);
    assert_int_equal(told.incomplete, 0);
    /* another change passes by; then x is known again, as one rule only */
    put(a, "route/many/r1/rule-0", "two");
    push_commit(a);
    until(serving(a, "route/many/r1/rule-0", "two", 1));
    assert_true(has(0, "route/shop/x/rule-1", 0));
    push_unhold(a, STR("route/shop/x/"));
    uint64_t new_hash = put(a, "route/shop/x/rule-0", "new");
    push_commit(a);
    until(serving(a, "route/shop/x/rule-0", "new", 1));
    assert_true(has(0, "route/shop/x/rule-0", new_hash));
    assert_false(has(0, "route/shop/x/rule-1", 0));
    assert_int_equal(revision(0), push_revision(a));
}

static void one_controller_is_followed_until_it_dies(void **state) {
    (void)state;
    a = controller(PORT_A);
    put_many(a, 5, "one");
    push_commit(a);
    start_proxy(0, NULL);
    until(tally(a).current == 1);
    b = controller(PORT_B);
    put_many(b, 5, "one");
    push_commit(b);
    until(tally(b).current == 1); /* it hears, it does not lead */
    assert_int_equal(tally(b).follows, 0);
    put_many(b, 6, "two");
    push_commit(b);
    put_many(a, 6, "two");
    push_commit(a);
    until(tally(a).current == 1 && tally(b).current == 1);
    assert_int_equal(proxies[0].published, 2);
    push_free(a);
    a = NULL;
    until(tally(b).follows == 1);
    put_many(b, 7, "three");
    push_commit(b);
    until(tally(b).current == 1);
    assert_int_equal(config_count(proxies[0].config), 7);
    assert_int_equal(proxies[0].published, 3);
}

static void a_blind_controller_is_followed_only_if_all_are(void **state) {
    (void)state;
    a = controller(PORT_A);
    put_many(a, 5, "one");
    push_commit(a);
    start_proxy(0, NULL);
    until(tally(a).current == 1);
    b = controller(PORT_B);
    put_many(b, 5, "one");
    push_commit(b);
    until(tally(b).current == 1);
    push_set_behind_ms(a, 50);
    push_set_behind_ms(b, 50);
    push_heard(a, false);
    until(tally(b).follows == 1 && tally(a).follows == 0);
    put_many(b, 6, "two");
    push_commit(b);
    until(tally(b).current == 1);
    assert_int_equal(config_count(proxies[0].config), 6);
    for (int i = 0; i < 15; i++, turn())
        assert_int_equal(tally(a).behind, 0); /* it is the blind one that does not know it */
    push_heard(b, false); /* nobody sees: it stays */
    push_heard(a, true);
    until(tally(a).follows == 1 && tally(b).follows == 0);
    push_heard(a, false);
    push_heard(a, true); /* not for long */
    push_free(a);
    a = NULL;
    until(tally(b).follows == 1); /* better than none */
    put_many(b, 7, "three");
    push_commit(b);
    until(tally(b).current == 1);
    assert_int_equal(config_count(proxies[0].config), 7);
}

static void large_objects_and_reports_arrive(void **state) {
    (void)state;
    a = controller(PORT_A);
    push_put(a, route("route/large/a/rule-0", "one", 3 << 20)); /* many frames */
    push_put(a, route("route/large/b/rule-0", "one", 1));
    push_commit(a);
    start_proxy(0, NULL);
    until(tally(a).current == 1);
    assert_int_equal(config_count(proxies[0].config), 2);
    struct str ids[] = {STR("route/large/")};
    assert_true(push_get(a, 0, ids, 1) != 0);
    until(told.ends == 1);
    assert_int_equal(told.haves, 2);
    struct wire_report r = {.connections = 3};
    unsigned changes = told.changes;
    config_report(proxies[0].config, &r);
    until(told.changes > changes);
}

static void a_question_ends_when_the_link_dies(void **state) {
    (void)state;
    a = controller(PORT_A);
    put_many(a, 5, "one");
    push_commit(a);
    start_proxy(0, NULL);
    until(tally(a).current == 1);
    struct str ids[] = {STR("route/")};
    stop_proxy(0);
    assert_true(push_get(a, 0, ids, 1) != 0);
    assert_true(push_get(a, 99, ids, 1) == 0);
    until(told.ends == 1);
    assert_int_equal(told.incomplete, 1);
    assert_true(push_get(a, 0, ids, 1) == 0);
}

static void a_proxy_starts_from_its_file(void **state) {
    (void)state;
    char dir[] = "/tmp/sluice-link-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/lastgood", dir);
    a = controller(PORT_A);
    put_many(a, 50, "one");
    push_commit(a);
    start_proxy(0, path);
    until(tally(a).current == 1);
    stop_proxy(0); /* writes what is not written yet */
    push_free(a);
    a = NULL;
    start_proxy(0, path);
    assert_true(config_ready(proxies[0].config));
    assert_int_equal(config_count(proxies[0].config), 50);
    a = controller(PORT_A);
    put_many(a, 50, "one");
    push_commit(a);
    until(tally(a).current == 1);
    assert_int_equal(proxies[0].published, 1); /* from the file alone */
    put_many(a, 51, "one");
    push_commit(a);
    until(tally(a).current == 1);
    stop_proxy(0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    log_level(getenv("LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
#define TLS(f)                                                                                     \
    { #f "_over_tls", f, setup_tls, teardown, NULL }
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown), TLS(f)
    const struct CMUnitTest tests[] = {
        T(every_proxy_gets_the_set_and_changes),
        T(nothing_is_sent_before_the_first_commit),
        T(a_bad_object_changes_nothing_and_is_named),
        T(a_stuck_proxy_delays_nobody),
        T(a_restarted_controller_sends_only_what_differs),
        T(held_ids_are_left_alone),
        T(one_controller_is_followed_until_it_dies),
        T(a_blind_controller_is_followed_only_if_all_are),
        T(large_objects_and_reports_arrive),
        T(a_question_ends_when_the_link_dies),
        T(a_proxy_starts_from_its_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
