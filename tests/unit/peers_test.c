/* SPDX-License-Identifier: Apache-2.0
 *
 * Peers: controllers are dead for the whole life of a proxy, and it starts all the same, from
 * another one. Who may ask and who is believed. Real ends, a fake builder, names by a DNS server of
 * the test, tokens that the test signs as a cluster would.
 */
#include "controller/push/push.h"
#include "lib/log.h"
#include "proxy/config/config.h"
#include "tests/unit/fake_builder.h"
#include "tests/unit/fake_dns.h"
#include "tests/unit/jwt_world.h"
#include "tests/unit/pki_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { PROXIES = 3, LINK = 21601, PEERS = 21603, WITHIN_S = 30 };

struct proxy {
    struct config *config;
    uint64_t serial;
    unsigned published;
};

static struct event_base *base;
static struct push *push;
static struct proxy proxies[PROXIES];
static struct pki_world world;
static struct pki_pair ca, other_ca, leaf, fleet_leaf;
static EVP_PKEY *cluster, *forger;
static int log_file;
static off_t log_from;

/* ---- the world ---- */

static const char *whole_log(void) {
    static char room[1 << 20];
    ssize_t n = pread(log_file, room, sizeof(room) - 1, log_from);
    room[n > 0 ? n : 0] = 0;
    return room;
}

static bool logged(const char *text) { return strstr(whole_log(), text) != NULL; }

static void turn(void) {
    struct timeval soon = {0, 20000};
    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
    for (int i = 0; i < PROXIES; i++)
        if (proxies[i].config)
            config_adopted(proxies[i].config, proxies[i].serial);
}

#define until(condition)                                                                           \
    do {                                                                                           \
        time_t end = time(NULL) + WITHIN_S;                                                        \
        while (!(condition)) {                                                                     \
            if (time(NULL) > end)                                                                  \
                fail_msg("line %d: never true: %s\n%s", __LINE__, #condition, whole_log());        \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static const char *at(unsigned n, int port) {
    static char rooms[4][40];
    static unsigned last;
    char *room = rooms[++last % 4];
    snprintf(room, sizeof(rooms[0]), "%s:%d", world_address(n), port);
    return room;
}

/* What DNS says: the addresses of these proxies. */
static void lead_to(const char *which) {
    static char room[120];
    struct out o = out_fixed(room, sizeof(room));
    for (; *which; which++)
        out_fmt(&o, "%s%s", o.n > 0 ? " " : "", world_address(20 + (unsigned)(*which - '0')));
    out_char(&o, 0);
    server.a.addresses = room;
}

/* A line of the log about a peer of proxy 0's address. */
static bool logged_of_peer(const char *error) {
    char text[200];
    snprintf(text, sizeof(text), "address=%s error=%s", at(20, PEERS), error);
    return logged(text);
}

static void on_token(void *arg, uint64_t proxy, struct str token, const char *address) {
    (void)arg, (void)token, (void)address;
    push_admit(push, proxy, STR_NONE);
}

static void tell_fleet(void) {
    struct out cert, key, keys = out_heap(4096);
    const struct ws_identity id = world_identity(&fleet_leaf, &cert, &key);
    struct str accounts[] = {STR("other/proxy"), STR("sluice/sluice-proxy")};
    out_lit(&keys, "{\"keys\":[");
    put_ec(&keys, cluster, "k1");
    out_lit(&keys, "]}");
    push_fleet(push, &(struct wire_fleet){.cert = id.cert,
                                          .key = id.key,
                                          .keys = out_done(&keys),
                                          .issuer = STR("https://cluster"),
                                          .audience = STR("sluice-controller"),
                                          .accounts = accounts,
                                          .n_accounts = 2});
    out_fini(&keys);
    out_fini(&cert);
    out_fini(&key);
}

static void start_controller(void) {
    static const struct push_events events = {.on_token = on_token};
    struct out cert, key;
    struct why why = {0};
    const struct ws_identity id = world_identity(&leaf, &cert, &key);
    push = push_new(base, at(1, LINK), true, &events, NULL, &why);
    assert_non_null(push);
    assert_int_equal(push_identify(push, &id, &why), 0);
    out_fini(&cert);
    out_fini(&key);
    tell_fleet();
}

static void stop_controller(void) {
    push_free(push);
    push = NULL;
}

static void put_routes(int n, size_t size) {
    char *pad = mem_zalloc(size + 1);
    memset(pad, 'x', size);
    for (int i = 0; i < n; i++) {
        char id[60];
        struct model_route r = {.name = str_mk(pad, size)};
        snprintf(id, sizeof(id), "route/shop/r%d/rule-0", i);
        push_put(push, object_new(MODEL_KIND_route, str_of(id), &r));
    }
    push_commit(push);
    mem_free(pad);
}

static void on_publish(void *arg, struct snapshot *s) {
    struct proxy *p = arg;
    p->serial = s->serial;
    p->published++;
    snapshot_drop(s);
}

static struct proxy *start_proxy_with(int i, const char *state, const char *ca_file) {
    char name[20], url[40];
    const char *const urls[] = {url};
    struct why why = {0};
    snprintf(name, sizeof(name), "proxy-%d", i);
    snprintf(url, sizeof(url), "wss://%s", at(1, LINK));
    struct config_options o = {.name = name,
                               .controllers = urls,
                               .n_controllers = 1,
                               .controller_ca = ca_file,
                               .token = world.token,
                               .peers = "wss://proxies.sluice.svc:21603",
                               .peer_bind = at(20 + (unsigned)i, PEERS),
                               .lastgood = state,
                               .nameserver = server.address,
                               .publish = on_publish,
                               .arg = &proxies[i]};
    proxies[i] = (struct proxy){0};
    proxies[i].config = config_new(base, &o, &why);
    if (!proxies[i].config)
        fail_msg("%s", why.text);
    config_start(proxies[i].config);
    return &proxies[i];
}

static struct proxy *start_proxy(int i) { return start_proxy_with(i, NULL, world.ca); }

static void stop_proxy(int i) {
    config_free(proxies[i].config);
    proxies[i].config = NULL;
}

static bool ready(int i) { return config_ready(proxies[i].config); }
static uint64_t revision(int i) { return config_revision(proxies[i].config); }

/* What the kubelet lays down for a pod. */
static void show_token(EVP_PKEY *by, const char *account, const char *audience, int64_t expires,
                       const char *pod) {
    char claims[500];
    snprintf(claims, sizeof(claims),
             "{\"iss\":\"https://cluster\",\"aud\":[\"%s\"],\"exp\":%lld,\"sub\":"
             "\"system:serviceaccount:%s\",\"kubernetes.io\":{\"pod\":{\"name\":\"%s\"}}}",
             audience, (long long)expires, account, pod);
    struct out o = token(by, "{\"alg\":\"ES256\",\"kid\":\"k1\"}", claims);
    world_write(world.token, out_done(&o));
    out_fini(&o);
}

static void good_token(int i) {
    char pod[20];
    snprintf(pod, sizeof(pod), "proxy-%d", i);
    show_token(cluster, "sluice:sluice-proxy", "sluice-controller", time(NULL) + 600, pod);
}

static int setup(void **state) {
    static const char *const peer[] = {WIRE_PEER_NAME};
    const char *const names[] = {world_address(1)};
    (void)state;
    base = event_base_new();
    start_server(base);
    server.aaaa.rcode = NXDOMAIN;
    server.a = (struct script){OK, 1, NULL, 0};
    lead_to("0");
    memset(proxies, 0, sizeof(proxies));
    push = NULL;
    world_new(&world);
    ca = pki_ca(time(NULL), DAY);
    other_ca = pki_ca(time(NULL), DAY);
    leaf = pki_leaf(&ca, time(NULL), DAY, names, 1);
    fleet_leaf = pki_leaf(&ca, time(NULL), DAY, peer, 1);
    cluster = EVP_EC_gen("P-256");
    forger = EVP_EC_gen("P-256");
    world_publish(&world, &ca, NULL);
    good_token(0);
    log_file = memfd_create("log", 0);
    log_fd(getenv("LOG") ? 2 : log_file);
    log_from = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < PROXIES; i++)
        stop_proxy(i);
    stop_controller();
    stop_server();
    event_base_free(base);
    pki_fini(&ca);
    pki_fini(&other_ca);
    pki_fini(&leaf);
    pki_fini(&fleet_leaf);
    EVP_PKEY_free(cluster);
    EVP_PKEY_free(forger);
    world_free(&world);
    log_fd(2);
    close(log_file);
    return 0;
}

/* Proxy 0 has what the controller has told, and the controller is dead. */
static void a_fleet_of_one(int routes, size_t size) {
    start_controller();
    put_routes(routes, size);
    start_proxy(0);
    until(ready(0) && logged("new proxies can ask us"));
    stop_controller();
    until(!config_linked(proxies[0].config));
}

/* ---- tests ---- */

static void a_new_proxy_starts_from_a_peer(void **state) {
    (void)state;
    a_fleet_of_one(300, 10);
    good_token(1);
    start_proxy(1);
    assert_false(ready(1));
    until(ready(1));
    assert_int_equal(revision(1), revision(0));
    assert_int_equal(config_count(proxies[1].config), 300);
    assert_int_equal(proxies[1].published, 1);
    until(logged("a new proxy has started from us pod=proxy-1"));
    assert_false(config_linked(proxies[1].config));
    /* the controllers come back: nothing has to be sent again, and it is followed */
    start_controller();
    put_routes(300, 10);
    until(config_linked(proxies[1].config) && config_linked(proxies[0].config));
    put_routes(301, 10);
    until(config_count(proxies[1].config) == 301 && config_count(proxies[0].config) == 301);
    assert_int_equal(proxies[1].published, 2);
}

static void what_was_given_is_handed_on(void **state) {
    (void)state;
    a_fleet_of_one(20, 10);
    good_token(1);
    start_proxy(1);
    until(ready(1));
    stop_proxy(0); /* the last one that has ever seen a controller */
    lead_to("1");
    good_token(2);
    start_proxy(2);
    until(ready(2));
    assert_int_equal(revision(2), revision(1));
}

static void much_is_given_in_a_window(void **state) {
    (void)state;
    a_fleet_of_one(24, 1 << 20);
    good_token(1);
    start_proxy(1);
    until(ready(1));
    assert_int_equal(config_count(proxies[1].config), 24);
    assert_int_equal(revision(1), revision(0));
}

static void peers_are_tried_in_turn(void **state) {
    (void)state;
    a_fleet_of_one(20, 10);
    lead_to("56780"); /* four are gone */
    good_token(1);
    start_proxy(1);
    until(ready(1));
}

static void who_may_not_ask_is_refused(void **state) {
    (void)state;
    a_fleet_of_one(20, 10);
    const int64_t soon = time(NULL) + 600;
    const struct {
        EVP_PKEY *by;
        const char *account, *audience;
        int64_t expires;
        const char *pod, *words;
    } cases[] = {
        {cluster, "sluice:default", "sluice-controller", soon, "proxy-1",
         "whose pods are no proxies"},
        {cluster, "sluice:sluice-proxy", "https://cluster", soon, "proxy-1",
         "not for the audience"},
        {cluster, "sluice:sluice-proxy", "sluice-controller", soon - 700, "proxy-1", "has expired"},
        {forger, "sluice:sluice-proxy", "sluice-controller", soon, "proxy-1", "signature is wrong"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        show_token(cases[i].by, cases[i].account, cases[i].audience, cases[i].expires,
                   cases[i].pod);
        start_proxy(1);
        until(logged(cases[i].words));
        until(logged("the other end closes: the token was refused"));
        assert_false(ready(1));
        assert_int_equal(proxies[1].published, 0);
        stop_proxy(1);
    }
    unlink(world.token);
    start_proxy(1);
    until(logged("its token: none was shown"));
    good_token(2); /* of another pod */
    until(logged("it calls itself otherwise than its token does"));
    assert_false(ready(1));
    good_token(1);
    until(ready(1));
}

static void a_peer_is_verified_before_the_token_is_shown(void **state) {
    (void)state;
    char other[80];
    a_fleet_of_one(20, 10);
    struct pki_world elsewhere;
    world_new(&elsewhere);
    world_publish(&elsewhere, &other_ca, NULL);
    snprintf(other, sizeof(other), "%s", elsewhere.ca);
    good_token(1);
    start_proxy_with(1, NULL, other);
    until(logged_of_peer("unable to get local issuer certificate"));
    assert_false(logged("a peer is refused"));
    assert_false(ready(1));
    world_publish(&elsewhere, &ca, NULL);
    until(ready(1));
    stop_proxy(1);
    world_free(&elsewhere);
}

/* Nor does a controller's certificate make a peer. */
static void a_controller_is_no_peer(void **state) {
    (void)state;
    struct out cert, key;
    struct why why = {0};
    const struct ws_identity id = world_identity(&leaf, &cert, &key);
    struct ws *ws = ws_listen(at(20, PEERS), &id, &why);
    assert_non_null(ws);
    start_proxy(1);
    until(logged_of_peer("hostname mismatch"));
    assert_null(ws_next(ws));
    ws_free(ws);
    out_fini(&cert);
    out_fini(&key);
}

static void a_controller_that_comes_is_believed_more(void **state) {
    (void)state;
    lead_to("9"); /* nobody there */
    start_proxy(1);
    until(logged("peers are asked"));
    start_controller();
    put_routes(7, 10);
    until(ready(1));
    assert_int_equal(config_count(proxies[1].config), 7);
    assert_int_equal(proxies[1].published, 1);
}

/* However long that takes: peers would only be in its way. */
static void a_slow_transaction_is_left_in_peace(void **state) {
    (void)state;
    struct out cert, key;
    struct why why = {0};
    struct digest d = {0};
    uint64_t conn = 0, from = 0;
    const struct ws_identity id = world_identity(&leaf, &cert, &key);
    a_fleet_of_one(20, 10);
    struct ws *ws = ws_listen(at(1, LINK), &id, &why); /* a controller by hand */
    assert_non_null(ws);
    good_token(1);
    start_proxy(1);
    while (!from || now_ms() - from < 4000) { /* the one thing here that is about time */
        turn();
        for (struct ws_event *e; (e = ws_next(ws)); ws_event_free(e)) {
            struct arena a;
            struct wire_message m;
            arena_init(&a);
            bool hello = e->type == WS_MESSAGE && wire_decode(e->bytes, &a, &m, &why) == 0 &&
                         m.type == WIRE_hello && str_eq(m.hello.name, STR("proxy-1"));
            arena_fini(&a);
            if (!hello)
                continue;
            struct object *o = object_from_bytes(99, STR("new/a/b"), STR("x"), NULL);
            struct out begin = ws_message(), put = ws_message();
            conn = e->conn;
            from = now_ms();
            wire_encode(WIRE_begin, &(struct wire_begin){.tx = 5}, &begin);
            wire_encode(WIRE_put, &(struct wire_put){o->kind, object_id(o), object_bytes(o)}, &put);
            ws_send(ws, conn, &begin);
            ws_send(ws, conn, &put);
            digest_add(&d, o);
            object_drop(o);
        }
    }
    assert_false(ready(1));
    struct out commit = ws_message();
    wire_encode(WIRE_commit, &(struct wire_commit){5, digest_total(&d)}, &commit);
    ws_send(ws, conn, &commit);
    until(ready(1));
    assert_int_equal(config_count(proxies[1].config), 1);
    ws_free(ws);
    out_fini(&cert);
    out_fini(&key);
}

/* A linked controller that has nothing to say yet is no reason to wait. */
static void a_controller_that_says_nothing_does_not_keep_it_waiting(void **state) {
    (void)state;
    a_fleet_of_one(20, 10);
    start_controller(); /* and no commit: it has not read its objects */
    good_token(1);
    start_proxy(1);
    until(config_linked(proxies[1].config));
    until(ready(1));
    assert_int_equal(revision(1), revision(0));
    put_routes(20, 10);
    for (int i = 0; i < 5; i++)
        put_routes(21 + i, 10);
    until(config_count(proxies[1].config) == 25 && config_count(proxies[0].config) == 25);
    assert_true(proxies[1].published <= 7);
}

static void a_restarted_proxy_answers_peers_from_its_files(void **state) {
    (void)state;
    char path[80], beside[90];
    snprintf(path, sizeof(path), "%s/last-good", world.dir);
    snprintf(beside, sizeof(beside), "%s.fleet", path);
    start_controller();
    put_routes(20, 10);
    start_proxy_with(0, path, world.ca);
    until(ready(0) && access(beside, R_OK) == 0);
    struct stat st;
    assert_int_equal(stat(beside, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    stop_proxy(0);
    stop_controller();
    log_from = lseek(log_file, 0, SEEK_END);
    start_proxy_with(0, path, world.ca);
    assert_true(ready(0));
    assert_true(logged("new proxies can ask us"));
    good_token(1);
    start_proxy(1);
    until(ready(1));
    assert_int_equal(revision(1), revision(0));
    stop_proxy(0);
    world_write(beside, STR("SLUICE nonsense")); /* and one that is of no use is said to be */
    start_proxy_with(0, path, world.ca);
    assert_true(logged("what was told for peers is not used"));
    stop_proxy(0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(beside), 0);
}

static void options_that_are_refused(void **state) {
    (void)state;
    static const char *const urls[] = {"ws://127.0.0.1:21601"};
    const struct {
        const char *peers, *bind, *ca, *words;
    } cases[] = {
        {"ws://127.0.0.1:7503", NULL, world.ca, "peers are asked by wss"},
        {"wss://proxies.sluice.svc:7503", NULL, NULL, "verified by --controller-ca"},
        {"proxies", NULL, world.ca, "is not a URL"},
        {NULL, "proxies:7503", world.ca, "is not an address"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {0};
        struct config_options o = {.name = "x",
                                   .controllers = urls,
                                   .n_controllers = 1,
                                   .controller_ca = cases[i].ca,
                                   .peers = cases[i].peers,
                                   .peer_bind = cases[i].bind,
                                   .publish = on_publish};
        assert_null(config_new(base, &o, &why));
        if (!strstr(why.text, cases[i].words))
            fail_msg("case %zu: %s", i, why.text);
    }
}

int main(void) {
    log_level(LOG_LEVEL_INFO);
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_new_proxy_starts_from_a_peer),
        T(what_was_given_is_handed_on),
        T(much_is_given_in_a_window),
        T(peers_are_tried_in_turn),
        T(who_may_not_ask_is_refused),
        T(a_peer_is_verified_before_the_token_is_shown),
        T(a_controller_is_no_peer),
        T(a_controller_that_comes_is_believed_more),
        T(a_slow_transaction_is_left_in_peace),
        T(a_controller_that_says_nothing_does_not_keep_it_waiting),
        T(a_restarted_proxy_answers_peers_from_its_files),
        T(options_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
