/* SPDX-License-Identifier: Apache-2.0
 *
 * What a secure link is for: who believes whom, certificates and tokens that change under a live
 * link, and controllers whose addresses come and go. Real ends, a fake builder, a DNS server that
 * says what the test wants.
 */
#include "controller/push/push.h"
#include "lib/log.h"
#include "proxy/config/config.h"
#include "tests/unit/fake_builder.h"
#include "tests/unit/fake_dns.h"
#include "tests/unit/pki_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { PORT = 21501, CONTROLLERS = 3, WITHIN_S = 30 };
#define NAME "controllers.sluice.svc"

struct proxy {
    struct config *config;
    uint64_t serial;
};

struct controller {
    struct push *push;
    char address[40];
    unsigned tokens, gone;
    uint64_t conn;  /* of the last token */
    char token[40]; /* shown last */
    bool undecided; /* who asks waits */
};

static struct event_base *base;
static struct proxy one, two;
static struct controller controllers[CONTROLLERS];
static struct pki_world world;
static struct pki_pair ca, other_ca;
static int log_file;
static off_t log_from; /* what was logged before is forgotten */

/* ---- the world ---- */

static void turn(void) {
    struct timeval soon = {0, 20000};
    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
    if (one.config)
        config_adopted(one.config, one.serial);
    if (two.config)
        config_adopted(two.config, two.serial);
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

static void on_token(void *arg, uint64_t proxy, struct str token, const char *address) {
    struct controller *c = arg;
    assert_non_null(strstr(address, "127.0.0."));
    c->tokens++;
    c->conn = proxy;
    snprintf(c->token, sizeof(c->token), "%.*s", STR_FMT(token));
    if (c->undecided)
        return;
    if (str_starts(token, STR("good")))
        push_admit(c->push, proxy, STR_NONE);
    else
        push_refuse(c->push, proxy, token.n > 0 ? "a bad token" : "no token was shown");
}

static void on_gone(void *arg, uint64_t proxy) {
    struct controller *c = arg;
    (void)proxy;
    c->gone++;
}

static int identify(struct push *p, const struct pki_pair *by, int64_t now, int64_t seconds,
                    const char *name) {
    struct out cert, key;
    struct why why = {0};
    struct pki_pair leaf = pki_leaf(by, now, seconds, &name, 1);
    const struct ws_identity id = world_identity(&leaf, &cert, &key);
    int bad = push_identify(p, &id, &why);
    out_fini(&cert);
    out_fini(&key);
    pki_fini(&leaf);
    return bad;
}

/* i: it listens on the address 10 + i. */
static struct controller *start_controller_as(int i, const struct pki_pair *by, int64_t now,
                                              int64_t seconds, const char *name) {
    static const struct push_events events = {.on_token = on_token, .on_gone = on_gone};
    struct controller *c = &controllers[i];
    struct why why = {0};
    *c = (struct controller){0};
    snprintf(c->address, sizeof(c->address), "%s:%d", world_address(10 + (unsigned)i), PORT);
    c->push = push_new(base, c->address, true, &events, c, &why);
    assert_non_null(c->push);
    assert_int_equal(identify(c->push, by, now, seconds, name), 0);
    return c;
}

static struct controller *start_controller(int i) {
    return start_controller_as(i, &ca, time(NULL), DAY, NAME);
}

static void stop_controller(int i) {
    push_free(controllers[i].push);
    controllers[i].push = NULL;
}

static void forget_log(void) { log_from = lseek(log_file, 0, SEEK_END); }

static bool logged(const char *text) {
    static char room[1 << 20];
    ssize_t n = pread(log_file, room, sizeof(room) - 1, log_from);
    room[n > 0 ? n : 0] = 0;
    if (getenv("LOG") && n > 0)
        fprintf(stderr, "%s\n----\n", room);
    return strstr(room, text) != NULL;
}

static void on_publish(void *arg, struct snapshot *s) {
    struct proxy *p = arg;
    p->serial = s->serial;
    snapshot_drop(s);
}

static void start_proxy(struct proxy *p, const char *ca_file) {
    static const char *const urls[] = {"wss://" NAME ":21501"};
    struct why why = {0};
    struct config_options o = {.name = p == &one ? "one" : "two",
                               .controllers = urls,
                               .n_controllers = 1,
                               .controller_ca = ca_file,
                               .token = world.token,
                               .nameserver = server.address,
                               .publish = on_publish,
                               .arg = p};
    *p = (struct proxy){0};
    p->config = config_new(base, &o, &why);
    assert_non_null(p->config);
    config_start(p->config);
}

/* What DNS says: the addresses of these controllers, as in "02". */
static const char *addresses(const char *which) {
    static char room[80];
    struct out o = out_fixed(room, sizeof(room));
    for (; *which; which++)
        out_fmt(&o, "%s%s", o.n > 0 ? " " : "", world_address(10 + (unsigned)(*which - '0')));
    out_char(&o, 0);
    return room;
}

static int setup(void **state) {
    (void)state;
    base = event_base_new();
    start_server(base);
    server.aaaa.rcode = NXDOMAIN;
    server.a = (struct script){OK, 1, addresses("0"), 0};
    memset(controllers, 0, sizeof(controllers));
    one = two = (struct proxy){0};
    world_new(&world);
    ca = pki_ca(time(NULL), DAY);
    other_ca = pki_ca(time(NULL), DAY);
    world_publish(&world, &ca, NULL);
    world_write(world.token, STR("good-token\n"));
    log_file = memfd_create("log", 0);
    log_fd(log_file);
    log_from = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    config_free(one.config);
    config_free(two.config);
    for (int i = 0; i < CONTROLLERS; i++)
        stop_controller(i);
    stop_server();
    event_base_free(base);
    pki_fini(&ca);
    pki_fini(&other_ca);
    world_free(&world);
    log_fd(2);
    close(log_file);
    return 0;
}

/* ---- what a controller knows ---- */

struct tally {
    size_t proxies, current, follows;
};

static void count_one(void *arg, const struct push_proxy *p) {
    struct tally *t = arg;
    t->proxies++;
    t->current += p->current;
    t->follows += p->follows;
}

static struct tally tally(int i) {
    struct tally t = {0};
    push_each(controllers[i].push, count_one, &t);
    return t;
}

static unsigned last_route;

static void change(int i) {
    char id[60];
    struct str names[1] = {STR("shop.example.com")};
    struct model_route r = {.hosts = names, .n_hosts = 1};
    snprintf(id, sizeof(id), "route/shop/r%u/rule-0", ++last_route);
    push_put(controllers[i].push, object_new(MODEL_KIND_route, str_of(id), &r));
    push_commit(controllers[i].push);
}

/* ---- who believes whom ---- */

static void a_controller_is_verified_before_anything_is_said(void **state) {
    (void)state;
    const int64_t now = time(NULL);
    const struct {
        const struct pki_pair *by;
        int64_t now, seconds;
        const char *name, *error;
    } cases[] = {
        {&other_ca, now, DAY, NAME, "unable to get local issuer certificate"},
        {&ca, now, DAY, "controllers.other.svc", "hostname mismatch"},
        {&ca, now, DAY, "*.sluice.svc.cluster.local", "hostname mismatch"},
        {&ca, now - 2 * DAY, DAY, NAME, "certificate has expired"},
        {&ca, now + 2 * DAY, DAY, NAME, "certificate is not yet valid"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        forget_log();
        struct controller *c =
            start_controller_as(0, cases[i].by, cases[i].now, cases[i].seconds, cases[i].name);
        push_commit(c->push);
        start_proxy(&one, world.ca);
        until(logged("cannot connect"));
        if (!logged(cases[i].error))
            fail_msg("case %zu does not say: %s", i, cases[i].error);
        assert_int_equal(c->tokens, 0);
        /* and once it shows the right one, all is well */
        assert_int_equal(identify(c->push, &ca, now, DAY, NAME), 0);
        until(tally(0).current == 1);
        assert_string_equal(c->token, "good-token");
        config_free(one.config);
        one.config = NULL;
        stop_controller(0);
    }
}

static void without_a_ca_nobody_is_dialled(void **state) {
    (void)state;
    unlink(world.ca);
    struct controller *c = start_controller(0);
    push_commit(c->push);
    start_proxy(&one, world.ca);
    until(logged("a file cannot be read") && logged("no CA is known yet"));
    assert_int_equal(c->tokens, 0);
    world_write(world.ca,
                STR("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"));
    until(logged("the file of CAs is not used"));
    world_publish(&world, &ca, NULL);
    until(tally(0).current == 1);
}

static void a_refused_proxy_learns_why_and_comes_again(void **state) {
    (void)state;
    struct controller *c = start_controller(0);
    push_commit(c->push);
    unlink(world.token);
    start_proxy(&one, world.ca);
    until(c->tokens == 1);
    assert_string_equal(c->token, "");
    until(logged("the other end closes: no token was shown"));
    world_write(world.token, STR("bad-token"));
    until(logged("the other end closes: a bad token"));
    assert_int_equal(tally(0).proxies, 0);
    assert_false(config_ready(one.config));
    world_write(world.token, STR("good-token"));
    until(tally(0).current == 1);
    assert_true(c->gone >= 2);
}

static void one_that_waits_is_told_nothing_and_believed_nothing(void **state) {
    (void)state;
    struct controller *c = start_controller(0);
    c->undecided = true;
    change(0);
    start_proxy(&one, world.ca);
    until(c->tokens == 1);
    struct wire_report report = {.connections = 7};
    for (int i = 0; i < 10000; i++) /* only the last one is kept */
        config_report(one.config, &report);
    until(push_waiting(c->push) == 1 && config_linked(one.config));
    for (int i = 0; i < 50; i++)
        turn();
    assert_int_equal(tally(0).proxies, 0);
    assert_int_equal(push_waiting(c->push), 1);
    assert_false(config_ready(one.config));
    assert_int_equal(push_serving(c->push, NULL, 0, 0).ready, 0);
    struct str ids[] = {STR("route/")};
    assert_true(push_get(c->push, 0, ids, 1) == 0);
    push_admit(c->push, c->conn, STR("one"));
    until(tally(0).current == 1);
    assert_true(config_ready(one.config));
}

static void a_name_that_is_not_the_tokens_pod_is_refused(void **state) {
    (void)state;
    struct controller *c = start_controller(0);
    c->undecided = true;
    start_proxy(&one, world.ca);
    until(c->tokens == 1);
    push_admit(c->push, c->conn, STR("another"));
    until(logged("closed: it calls itself one, and its token is of pod another"));
    until(c->gone == 1);
    assert_int_equal(tally(0).proxies, 0);
}

static void a_token_that_is_no_good_any_more_ends_the_link(void **state) {
    (void)state;
    struct controller *c = start_controller(0);
    push_commit(c->push);
    start_proxy(&one, world.ca);
    until(tally(0).current == 1);
    push_refuse(c->push, c->conn, "the token was revoked");
    c->undecided = true;
    until(c->gone == 1 && logged("the other end closes: the token was revoked"));
    until(c->tokens == 2);
    assert_int_equal(tally(0).proxies, 0);
    assert_true(config_ready(one.config)); /* its last good */
}

static void a_renewed_token_is_told_on_the_open_link(void **state) {
    (void)state;
    struct controller *c = start_controller(0);
    push_commit(c->push);
    start_proxy(&one, world.ca);
    until(tally(0).current == 1);
    uint64_t conn = c->conn;
    world_write(world.token, STR("good-token-2"));
    until(c->tokens == 2);
    assert_string_equal(c->token, "good-token-2");
    assert_true(c->conn == conn && c->gone == 0);
    world_write(world.token, STR("bad-token"));
    until(c->gone == 1);
}

/* ---- certificates that change ---- */

static void a_leaf_is_renewed_under_a_live_link(void **state) {
    (void)state;
    struct controller *c = start_controller(0);
    push_commit(c->push);
    start_proxy(&one, world.ca);
    until(tally(0).current == 1);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(identify(c->push, &ca, time(NULL), DAY, NAME), 0);
        change(0);
        until(tally(0).current == 1);
    }
    assert_int_equal(config_count(one.config), 20);
    assert_int_equal(c->gone, 0);
    assert_int_equal(c->tokens, 1);
    /* new links see the new one: an old one is refused */
    assert_int_equal(identify(c->push, &ca, time(NULL) - 2 * DAY, DAY, NAME), 0);
    start_proxy(&two, world.ca);
    until(logged("certificate has expired"));
    assert_int_equal(tally(0).proxies, 1);
    struct why why = {0};
    assert_int_equal(push_identify(c->push, &(struct ws_identity){STR("x"), STR("y")}, &why), -1);
    assert_non_null(strstr(why.text, "there is no certificate in it"));
}

static void two_cas_overlap_and_no_transaction_is_lost(void **state) {
    (void)state;
    struct controller *c = start_controller(0);
    push_commit(c->push);
    start_proxy(&one, world.ca);
    until(tally(0).current == 1);
    world_publish(&world, &ca, &other_ca); /* the new CA is published */
    change(0);
    start_proxy(&two, world.ca); /* knows both, is shown a leaf of the old one */
    until(tally(0).current == 2);
    assert_int_equal(identify(c->push, &other_ca, time(NULL), DAY, NAME), 0);
    change(0);
    config_free(two.config);
    start_proxy(&two, world.ca); /* knows both, is shown a leaf of the new one */
    until(tally(0).current == 2);
    world_publish(&world, &other_ca, NULL); /* the old one ends */
    change(0);
    until(tally(0).current == 2);
    assert_int_equal(c->gone, 1); /* only the one that this test has stopped */
    assert_int_equal(config_count(one.config), 3);
    stop_controller(0); /* and both come again by the new CA alone */
    c = start_controller_as(0, &other_ca, time(NULL), DAY, NAME);
    push_commit(c->push);
    until(tally(0).current == 2);
    stop_controller(0);
    forget_log();
    c = start_controller_as(0, &ca, time(NULL), DAY, NAME);
    push_commit(c->push);
    until(logged("unable to get local issuer certificate"));
    assert_int_equal(c->tokens, 0);
}

/* ---- controllers that come and go ---- */

static void every_address_of_the_name_is_a_controller(void **state) {
    (void)state;
    server.a.addresses = addresses("01");
    for (int i = 0; i < 2; i++) {
        start_controller(i);
        last_route = 100; /* both want the same */
        change(i);
    }
    start_proxy(&one, world.ca);
    until(tally(0).current == 1 && tally(1).current == 1);
    int followed = tally(0).follows == 1 ? 0 : 1;
    assert_int_equal(tally(1 - followed).follows, 0);
    stop_controller(followed);
    until(tally(1 - followed).follows == 1);
    change(1 - followed);
    until(tally(1 - followed).current == 1);
    assert_int_equal(config_count(one.config), 2);
}

static void addresses_that_come_are_dialled_and_those_that_go_are_closed(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        start_controller(i);
        push_commit(controllers[i].push);
    }
    start_proxy(&one, world.ca);
    until(tally(0).current == 1);
    server.a.addresses = addresses("012");
    until(tally(1).current == 1 && tally(2).current == 1); /* within some ten seconds */
    assert_int_equal(tally(0).follows, 1);                 /* sticky */
    assert_int_equal(tally(1).follows + tally(2).follows, 0);
    server.a.rcode = SERVFAIL; /* DNS is ill: nothing happens */
    unsigned asked = server.a.asked;
    until(server.a.asked > asked + 1);
    assert_int_equal(controllers[0].gone + controllers[1].gone + controllers[2].gone, 0);
    server.a.rcode = OK;
    server.a.addresses = addresses("12");
    until(tally(0).proxies == 0);
    until(tally(1).follows + tally(2).follows == 1);
    assert_int_equal(controllers[0].gone, 1);
    assert_int_equal(controllers[0].tokens, 1); /* it is not dialled any more */
}

/* A Service of both families has each pod twice. */
static void ipv6_counts_where_there_is_no_ipv4(void **state) {
    (void)state;
    char mapped[64];
    start_controller(0);
    push_commit(controllers[0].push);
    start_controller(1);
    push_commit(controllers[1].push);
    snprintf(mapped, sizeof(mapped), "::ffff:%s", addresses("1"));
    server.aaaa = (struct script){OK, 1, mapped, 0};
    server.a.addresses = addresses("0");
    start_proxy(&one, world.ca);
    until(tally(0).current == 1);
    server.a.rcode = SERVFAIL; /* says nothing of IPv4 */
    unsigned asked = server.a.asked;
    until(server.a.asked > asked + 1);
    assert_int_equal(tally(0).current, 1);
    assert_int_equal(controllers[1].tokens, 0);
    server.a.rcode = NXDOMAIN;
    until(tally(1).current == 1 && tally(0).proxies == 0);
}

/* All addresses change at once, as when every controller pod is another one now. */
static void a_lost_link_asks_dns_soon(void **state) {
    (void)state;
    start_controller(0);
    push_commit(controllers[0].push);
    start_proxy(&one, world.ca);
    until(tally(0).current == 1);
    start_controller(1);
    push_commit(controllers[1].push);
    server.a.addresses = addresses("1");
    stop_controller(0);
    uint64_t from = now_ms();
    until(tally(1).current == 1);
    assert_true(now_ms() - from < 6000);
}

static void a_secure_listener_takes_any_address(void **state) {
    (void)state;
    static const struct push_events events = {.on_token = on_token, .on_gone = on_gone};
    static const char *const addresses[] = {":21501", "0.0.0.0:21501"};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct why why = {0};
        struct controller *c = &controllers[0];
        *c = (struct controller){0};
        c->push = push_new(base, addresses[i], true, &events, c, &why);
        assert_non_null(c->push);
        assert_int_equal(push_port(c->push), 0); /* not before it has a certificate */
        assert_int_equal(identify(c->push, &ca, time(NULL), DAY, NAME), 0);
        assert_int_equal(push_port(c->push), PORT);
        push_commit(c->push);
        start_proxy(&one, world.ca);
        until(tally(0).current == 1);
        config_free(one.config);
        one.config = NULL;
        stop_controller(0);
    }
    struct why why = {0};
    assert_null(push_new(base, "sluice:21501", true, &events, NULL, &why));
    assert_non_null(strstr(why.text, "is not an address"));
}

int main(void) {
    log_level(LOG_LEVEL_INFO);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_controller_is_verified_before_anything_is_said),
        T(without_a_ca_nobody_is_dialled),
        T(a_refused_proxy_learns_why_and_comes_again),
        T(one_that_waits_is_told_nothing_and_believed_nothing),
        T(a_name_that_is_not_the_tokens_pod_is_refused),
        T(a_token_that_is_no_good_any_more_ends_the_link),
        T(a_renewed_token_is_told_on_the_open_link),
        T(a_leaf_is_renewed_under_a_live_link),
        T(two_cas_overlap_and_no_transaction_is_lost),
        T(every_address_of_the_name_is_a_controller),
        T(addresses_that_come_are_dialled_and_those_that_go_are_closed),
        T(ipv6_counts_where_there_is_no_ipv4),
        T(a_lost_link_asks_dns_soon),
        T(a_secure_listener_takes_any_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
