/* SPDX-License-Identifier: Apache-2.0
 *
 * The proxy's end of the link against a controller that is played by hand: transactions that break
 * off, lie, or come faster than they are taken.
 */
#include "controller/push/push.h"
#include "lib/log.h"
#include "lib/ws.h"
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

enum { PORT = 21301, WITHIN_S = 30 };
static const char address[] = "127.0.0.1:21301";

static struct event_base *base, *proxy_base; /* the controller's loop, and the proxy's */
static struct config *proxy;
static bool proxy_runs;
static unsigned published;
static uint64_t serial;
static bool secure;
static struct pki_world world;
static struct pki_pair ca, leaf;

/* What the controller by hand has heard. */
static struct {
    struct ws *ws;
    uint64_t conn;
    unsigned hellos, acks, nacks, haves, closed;
    uint64_t acked, nacked, ack_revision;
    size_t faults, sent, objects;
    char fault_id[100], fault_reason[300];
    bool follow, last;
} heard;

/* ---- turning both loops ---- */

static void hear(const struct wire_message *m) {
    switch (m->type) {
    case WIRE_hello:
        heard.hellos++;
        heard.follow = m->hello.follow;
        return;
    case WIRE_ack:
        heard.acks++;
        heard.acked = m->ack.tx;
        heard.ack_revision = m->ack.revision;
        return;
    case WIRE_nack:
        heard.nacks++;
        heard.nacked = m->nack.tx;
        heard.faults = m->nack.n_faults;
        if (heard.faults > 0) {
            snprintf(heard.fault_id, 100, "%.*s", STR_FMT(m->nack.faults[0].id));
            snprintf(heard.fault_reason, 300, "%.*s", STR_FMT(m->nack.faults[0].reason));
        }
        return;
    case WIRE_have:
        heard.haves++;
        heard.objects += m->have.n_objects;
        heard.last = m->have.last;
        return;
    default:
        fail_msg("a proxy does not say %d", m->type);
    }
}

static void turn_hand(void) {
    for (struct ws_event *e; heard.ws && (e = ws_next(heard.ws)); ws_event_free(e)) {
        struct wire_message m;
        struct why why = {0};
        struct arena a;
        if (e->type == WS_OPEN)
            heard.conn = e->conn;
        heard.closed += e->type == WS_CLOSED;
        heard.sent += e->cost;
        if (e->type != WS_MESSAGE)
            continue;
        arena_init(&a);
        assert_int_equal(wire_decode(e->bytes, &a, &m, &why), 0);
        hear(&m);
        arena_fini(&a);
    }
}

static void turn(void) {
    struct timeval soon = {0, 5000};
    turn_hand();
    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
    if (proxy_runs)
        event_base_loop(proxy_base, EVLOOP_NONBLOCK);
    config_adopted(proxy, serial);
}

#define until(condition)                                                                           \
    do {                                                                                           \
        time_t end = time(NULL) + WITHIN_S;                                                        \
        while (!(condition)) {                                                                     \
            if (time(NULL) > end)                                                                  \
                fail_msg("line %d: never true: %s", __LINE__, #condition);                         \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

/* ---- the controller by hand ---- */

static void listen_by_hand(void) {
    struct why why = {0};
    struct out cert = {0}, key = {0};
    struct ws_identity id = {0};
    if (secure)
        id = world_identity(&leaf, &cert, &key);
    memset(&heard, 0, sizeof(heard));
    heard.ws = ws_listen(address, secure ? &id : NULL, &why);
    out_fini(&cert);
    out_fini(&key);
    if (!heard.ws)
        print_error("%s\n", why.text);
    assert_non_null(heard.ws);
}

static void say(enum wire_type type, const void *value) {
    struct out o = ws_message();
    wire_encode(type, value, &o);
    ws_send(heard.ws, heard.conn, &o);
}

static void begin(uint64_t tx) { say(WIRE_begin, &(struct wire_begin){.tx = tx}); }
static void commit(uint64_t tx, const struct digest *d) {
    say(WIRE_commit, &(struct wire_commit){tx, digest_total(d)});
}

static struct object *object(const char *id, size_t size) {
    char *pad = mem_zalloc(size + 1);
    memset(pad, 'x', size);
    struct model_route r = {.name = str_mk(pad, size)};
    struct object *o = object_new(MODEL_KIND_route, str_of(id), &r);
    mem_free(pad);
    return o;
}

static void put(const char *id, size_t size, struct digest *d) {
    struct object *o = object(id, size);
    digest_add(d, o);
    say(WIRE_put, &(struct wire_put){o->kind, object_id(o), object_bytes(o)});
    object_drop(o);
}

/* ---- the proxy ---- */

static void on_publish(void *arg, struct snapshot *s) {
    (void)arg;
    published++;
    serial = s->serial;
    snapshot_drop(s);
}

static int begin_test(void) {
    static const char *const plain[] = {"ws://127.0.0.1:21301"};
    static const char *const tls[] = {"wss://127.0.0.1:21301"};
    struct why why = {0};
    base = event_base_new();
    proxy_base = event_base_new();
    published = 0;
    serial = 0;
    proxy_runs = true;
    listen_by_hand();
    struct config_options o = {.name = "proxy",
                               .controllers = secure ? tls : plain,
                               .n_controllers = 1,
                               .controller_ca = secure ? world.ca : NULL,
                               .publish = on_publish};
    proxy = config_new(proxy_base, &o, &why);
    assert_non_null(proxy);
    config_start(proxy);
    until(heard.hellos == 1);
    assert_true(heard.follow);
    return 0;
}

static int setup(void **state) {
    (void)state;
    secure = false;
    return begin_test();
}

static int setup_tls(void **state) {
    static const char *const names[] = {"127.0.0.1"};
    (void)state;
    secure = true;
    world_new(&world);
    ca = pki_ca(time(NULL), DAY);
    leaf = pki_leaf(&ca, time(NULL), DAY, names, 1);
    world_publish(&world, &ca, NULL);
    return begin_test();
}

static int teardown(void **state) {
    (void)state;
    config_free(proxy);
    ws_free(heard.ws);
    event_base_free(base);
    event_base_free(proxy_base);
    if (secure) {
        pki_fini(&ca);
        pki_fini(&leaf);
        world_free(&world);
    }
    return 0;
}

static bool served_by_one(const struct push *p, const char *id) {
    struct object *o = object(id, 10);
    struct push_served served = push_serving(p, &o, 1, 0);
    object_drop(o);
    return served.current == 1 && served.ready == 1;
}

static void let_in(void *arg, uint64_t id, struct str token, const char *from) {
    (void)token, (void)from;
    push_admit(*(struct push **)arg, id, STR("proxy"));
}

static void identify(struct push *p) {
    struct out cert, key;
    struct why why = {0};
    if (!secure)
        return;
    const struct ws_identity id = world_identity(&leaf, &cert, &key);
    assert_int_equal(push_identify(p, &id, &why), 0);
    out_fini(&cert);
    out_fini(&key);
}

/* ---- tests ---- */

static void a_controller_that_dies_inside_changes_nothing(void **state) {
    (void)state;
    struct digest d = {0};
    begin(1);
    put("route/a/a/rule-0", 10, &d);
    commit(1, &d);
    until(heard.acks == 1);
    uint64_t before = config_revision(proxy);
    begin(2);
    put("route/a/a/rule-0", 20, &d);
    put("route/a/b/rule-0", 10, &d);
    put("route/a/large/rule-0", 3 << 20, &d);
    size_t all = heard.sent;
    until(heard.sent > all + (3 << 20)); /* it is all on its way */
    ws_free(heard.ws);
    heard.ws = NULL;
    until(!config_linked(proxy));
    assert_int_equal(config_revision(proxy), before);
    assert_int_equal(config_count(proxy), 1);
    /* the real one takes over: the same set, nothing to send; then more */
    struct why why = {0};
    struct push *p = NULL;
    p = push_new(base, address, secure, &(struct push_events){.on_token = let_in}, &p, &why);
    assert_non_null(p);
    identify(p);
    push_put(p, object("route/a/a/rule-0", 10));
    push_commit(p);
    until(served_by_one(p, "route/a/a/rule-0"));
    assert_int_equal(published, 1);
    push_put(p, object("route/a/c/rule-0", 10));
    push_commit(p);
    until(config_count(proxy) == 2);
    assert_int_equal(config_revision(proxy), push_revision(p));
    assert_int_equal(published, 2);
    push_free(p);
}

static void another_digest_is_refused_and_hello_said_again(void **state) {
    (void)state;
    struct digest d = {0};
    begin(1);
    put("route/a/a/rule-0", 10, &d);
    d.bucket[9]++;
    commit(1, &d);
    until(heard.nacks == 1 && heard.hellos == 2);
    assert_int_equal(heard.nacked, 1);
    assert_int_equal(heard.faults, 0);
    assert_int_equal(published, 0);
    assert_false(config_ready(proxy));
    assert_int_equal(config_count(proxy), 0);
}

static void what_cannot_be_read_is_named(void **state) {
    (void)state;
    struct digest d = {0};
    begin(1);
    put("route/a/a/rule-0", 10, &d);
    say(WIRE_put, &(struct wire_put){MODEL_KIND_route, STR("route/a/b/rule-0"), STR("\xff")});
    commit(1, &d);
    until(heard.nacks == 1);
    assert_string_equal(heard.fault_id, "route/a/b/rule-0");
    assert_non_null(strstr(heard.fault_reason, "malformed field in route"));
    assert_int_equal(published, 0);
    begin(2);
    say(WIRE_put, &(struct wire_put){0, STR("route/a/b/rule-0"), STR_NONE});
    commit(2, &(struct digest){0});
    until(heard.nacks == 2);
    assert_non_null(strstr(heard.fault_reason, "kind 0 is not one"));
    begin(3);
    say(WIRE_put, &(struct wire_put){MODEL_KIND_route, STR_NONE, STR_NONE});
    commit(3, &(struct digest){0});
    until(heard.nacks == 3);
    assert_int_equal(heard.hellos, 1);
    assert_int_equal(published, 0);
}

static void what_is_not_inside_a_transaction_is_ignored(void **state) {
    (void)state;
    struct digest d = {0}, lost = {0};
    put("route/a/before/rule-0", 10, &lost);
    commit(1, &lost);
    begin(2); /* given up */
    put("route/a/lost/rule-0", 10, &lost);
    begin(3);
    put("route/a/a/rule-0", 10, &d);
    struct out o = ws_message();
    out_lit(&o, "\xfe something newer");
    ws_send(heard.ws, heard.conn, &o);
    say(WIRE_del, &(struct wire_del){STR("route/none/of/these")});
    commit(3, &d);
    until(heard.acks == 1);
    assert_int_equal(heard.acked, 3);
    assert_int_equal(heard.nacks, 0);
    assert_int_equal(config_count(proxy), 1);
    begin(4);
    put("route/a/b/rule-0", 10, &d);
    commit(5, &d); /* of another */
    begin(6);
    commit(6, &(struct digest){0}); /* so that there is something to wait for */
    until(heard.nacks == 1);
    assert_int_equal(config_count(proxy), 1);
}

static void an_equal_transaction_swaps_nothing(void **state) {
    (void)state;
    struct digest d = {0}, again = {0};
    static char all[WIRE_BUCKETS_BYTES];
    memset(all, 0xff, sizeof(all));
    begin(1);
    put("route/a/a/rule-0", 10, &d);
    commit(1, &d);
    until(heard.acks == 1);
    say(WIRE_begin, &(struct wire_begin){2, str_mk(all, sizeof(all))});
    put("route/a/a/rule-0", 10, &again);
    commit(2, &again);
    until(heard.acks == 2);
    assert_int_equal(published, 1);
    assert_int_equal(heard.ack_revision, digest_total(&d));
}

static void deletes_of_a_prefix_spare_what_is_held(void **state) {
    (void)state;
    struct digest d = {0}, rest = {0}, none = {0};
    static struct str held[] = {{"route/a/b/", 10}};
    begin(1);
    put("route/a/a/rule-0", 10, &d);
    put("route/a/b/rule-0", 10, &d);
    put("route/c/c/rule-0", 10, &rest);
    for (int i = 0; i < MODEL_BUCKETS; i++)
        d.bucket[i] += rest.bucket[i];
    commit(1, &d);
    until(heard.acks == 1);
    begin(2);
    say(WIRE_hold, &(struct wire_hold){held, 1});
    say(WIRE_del, &(struct wire_del){STR("route/a/")});
    put("route/a/b/rule-0", 99, &none); /* held: not taken */
    put("route/a/d/rule-0", 1, &none);
    say(WIRE_del, &(struct wire_del){STR("route/a/d/")}); /* what it has itself put */
    commit(2, &rest);
    until(heard.acks == 2);
    assert_int_equal(config_count(proxy), 2);
    assert_int_equal(heard.nacks, 0);
    say(WIRE_get, &(struct wire_get){1, held, 1});
    until(heard.last);
    assert_int_equal(heard.objects, 1);
}

static void nonsense_ends_the_link_and_it_comes_again(void **state) {
    (void)state;
    struct out o = ws_message();
    out_lit(&o, "\x11\xff\xff\xff");
    ws_send(heard.ws, heard.conn, &o);
    until(heard.closed == 1);
    until(heard.hellos == 2);
    struct digest d = {0};
    begin(1);
    put("route/a/a/rule-0", 10, &d);
    commit(1, &d);
    until(heard.acks == 1);
}

/* The proxy's main thread does not take anything: what its link reads is bounded. */
static void reading_stops_while_main_is_busy(void **state) {
    (void)state;
    enum { N = 64 };
    struct digest d = {0};
    proxy_runs = false;
    begin(1);
    for (int i = 0; i < N; i++) {
        char id[40];
        snprintf(id, sizeof(id), "route/large/r%d/rule-0", i);
        put(id, 1 << 20, &d);
    }
    commit(1, &d);
    size_t before;
    int quiet = 0; /* turns of 5 ms without a byte leaving */
    do {
        before = heard.sent;
        turn();
        quiet = heard.sent == before ? quiet + 1 : 0;
    } while (heard.sent < N << 20 && (quiet < 60 || heard.sent < 8 << 20));
    assert_true(heard.sent < 32 << 20); /* 8 MB of mailbox and what the sockets hold */
    proxy_runs = true;
    until(heard.acks == 1);
    assert_int_equal(config_count(proxy), N);
    static struct str ids[] = {{"route/", 6}};
    say(WIRE_get, &(struct wire_get){1, ids, 1});
    until(heard.last);
    assert_int_equal(heard.objects, N);
    assert_int_equal(heard.haves, N); /* piece by piece */
}

static void faults_of_a_nack_are_bounded(void **state) {
    (void)state;
    begin(1);
    for (int i = 0; i < WIRE_FAULTS_MAX + 50; i++) {
        char id[40];
        snprintf(id, sizeof(id), "route/a/r%d/rule-0", i);
        say(WIRE_put, &(struct wire_put){MODEL_KIND_route, str_of(id), STR("\xff")});
    }
    commit(1, &(struct digest){0});
    until(heard.nacks == 1);
    assert_int_equal(heard.faults, WIRE_FAULTS_MAX);
}

int main(void) {
    log_level(getenv("LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
#define TLS(f)                                                                                     \
    { #f "_over_tls", f, setup_tls, teardown, NULL }
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown), TLS(f)
    const struct CMUnitTest tests[] = {
        T(a_controller_that_dies_inside_changes_nothing),
        T(another_digest_is_refused_and_hello_said_again),
        T(what_cannot_be_read_is_named),
        T(what_is_not_inside_a_transaction_is_ignored),
        T(an_equal_transaction_swaps_nothing),
        T(deletes_of_a_prefix_spare_what_is_held),
        T(nonsense_ends_the_link_and_it_comes_again),
        T(reading_stops_while_main_is_busy),
        T(faults_of_a_nack_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
