/* SPDX-License-Identifier: Apache-2.0
 *
 * The controller's turn, with a proxy that is played by hand: the first commit waits for Secrets
 * that were asked for, but not for ever; what is not known by then is left to the fleet.
 */
#include "controller/main_signing.h"
#include "controller/main_turn.h"
#include "controller/trust/signing.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/wire.h"
#include "lib/ws.h"
#include "tests/unit/certificate_make.h"

#include <event2/event.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

enum { WITHIN_S = 30 };

static struct event_base *base;
static struct store *store;
static struct turn *turn;

/* Turns the controller's loop until the condition holds. */
#define until(condition)                                                                           \
    do {                                                                                           \
        time_t end = time(NULL) + WITHIN_S;                                                        \
        while (!(condition)) {                                                                     \
            if (time(NULL) > end)                                                                  \
                fail_msg("line %d: never true: %s", __LINE__, #condition);                         \
            go_on();                                                                               \
        }                                                                                          \
    } while (0)

static void go_on(void) {
    struct timeval soon = {0, 20000};
    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
}

/* ---- a proxy that is played by hand: it serves, and remembers nothing but keys ---- */

static struct proxy {
    struct ws *ws;
    struct event *readable;
    uint64_t conn;
    unsigned gets, holds, certificates, commits;
    bool remembers; /* keys of internal tokens */
} proxy;
static struct signing theirs, put_keys;

static void say(enum wire_type type, const void *value) {
    struct out o = ws_message();
    wire_encode(type, value, &o);
    ws_send(proxy.ws, proxy.conn, &o);
}

static void answer(const struct wire_get *get) {
    struct object *keys = signing_object(&theirs);
    struct wire_object o = {MODEL_KIND_signing_keys, object_id(keys), object_bytes(keys)};
    struct wire_have have = {.ask = get->ask, .objects = &o, .last = true};
    proxy.gets++;
    for (uint32_t i = 0; i < get->n_ids; i++)
        have.n_objects += proxy.remembers && str_eq(get->ids[i], STR(SIGNING_KEYS_ID));
    say(WIRE_have, &have);
    object_drop(keys);
}

static void heard(const struct wire_message *m) {
    if (m->type == WIRE_get)
        answer(&m->get);
    if (m->type == WIRE_hold)
        for (uint32_t i = 0; i < m->hold.n_ids; i++)
            proxy.holds += str_eq(m->hold.ids[i], STR("certificate/shop/c"));
    if (m->type == WIRE_put && m->put.kind == MODEL_KIND_signing_keys)
        assert_true(signing_read(&put_keys, m->put.bytes));
    if (m->type == WIRE_put)
        proxy.certificates += m->put.kind == MODEL_KIND_certificate;
    if (m->type == WIRE_commit) {
        proxy.commits++;
        say(WIRE_ack, &(struct wire_ack){m->commit.tx, m->commit.digest, m->commit.digest});
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what, (void)arg;
    for (struct ws_event *e; (e = ws_next(proxy.ws)); ws_event_free(e)) {
        struct wire_message m;
        struct why why = {0};
        struct arena a;
        if (e->type == WS_OPEN)
            proxy.conn = e->conn;
        if (e->type != WS_MESSAGE)
            continue;
        arena_init(&a);
        assert_int_equal(wire_decode(e->bytes, &a, &m, &why), 0);
        heard(&m);
        arena_fini(&a);
    }
}

static void proxy_start(uint16_t port) {
    struct why why = {0};
    struct ws_target to = {.at = {.host = "127.0.0.1", .port = port}};
    struct digest none = {0};
    char room[WIRE_DIGEST_BYTES];
    proxy = (struct proxy){.ws = ws_dialler(&why)};
    assert_non_null(proxy.ws);
    ws_dial(proxy.ws, &to);
    proxy.readable = event_new(base, ws_fd(proxy.ws), EV_READ | EV_PERSIST, on_readable, NULL);
    event_add(proxy.readable, NULL);
    until(proxy.conn != 0);
    wire_digest_pack(&none, room);
    say(WIRE_hello, &(struct wire_hello){STR("by-hand"), 1, str_mk(room, sizeof(room)), 0, true,
                                         true, STR_NONE});
}

/* ---- the controller ---- */

static void add(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void add(const char *fmt, ...) {
    char text[16384];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    struct why why = {0};
    bool foreign;
    cJSON *json = json_parse(str_of(text), &why);
    assert_non_null(json);
    struct resource *r = resource_new(json, &(struct resource_origin){0}, &foreign, &why);
    cJSON_Delete(json);
    assert_non_null(r);
    store_upsert(store, r);
}

static void add_route(const char *name) {
    add("{'apiVersion':'sluice.dev/v1alpha1','kind':'Route','metadata':{'name':'%s',"
        "'namespace':'shop'},'spec':{'hostnames':['%s.example.com'],"
        "'tls':{'certificateRefs':[{'name':'c'}]},'rules':[{}]}}",
        name, name);
}

static void add_secret(void) {
    char pem[2][4096], data[2][8192];
    EVP_PKEY *key = make_ec("P-256");
    X509 *x = make_x509(key, &(struct making_x509){.subject = "x", .names = "DNS:a.example.com"});
    put_x509(x, pem[0], pem[0] + sizeof(pem[0]));
    put_key(key, pem[1], pem[1] + sizeof(pem[1]));
    for (int i = 0; i < 2; i++)
        EVP_EncodeBlock((unsigned char *)data[i], (const unsigned char *)pem[i],
                        (int)strlen(pem[i]));
    add("{'apiVersion':'v1','kind':'Secret','metadata':{'name':'c','namespace':'shop'},"
        "'type':'kubernetes.io/tls','data':{'tls.crt':'%s','tls.key':'%s'}}",
        data[0], data[1]);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void asked(void *arg, enum kube_kind kind, struct str ns, struct str name) {
    (void)arg, (void)kind, (void)ns, (void)name;
}

static int setup(void **state) {
    struct why why = {0};
    (void)state;
    base = event_base_new();
    store = store_new();
    store_ask(store, KUBE_Secret, asked, NULL);
    turn = turn_new(base, store, "127.0.0.1:0", false, &why);
    if (!turn)
        fail_msg("%s", why.text);
    proxy_start(push_port(turn_push(turn)));
    add("{'apiVersion':'networking.k8s.io/v1','kind':'IngressClass','metadata':{'name':'sluice',"
        "'annotations':{'ingressclass.kubernetes.io/is-default-class':'true'}},"
        "'spec':{'controller':'sluice.dev/ingress-controller'}}");
    add_route("a");
    store_synced(store);
    until(proxy.gets > 0); /* it has compiled, does not know the Secret, and asks the fleet */
    return 0;
}

static int teardown(void **state) {
    (void)state;
    event_free(proxy.readable);
    ws_free(proxy.ws);
    turn_free(turn);
    store_free(store);
    event_base_free(base);
    return 0;
}

static void test_waits_for_secrets(void **state) {
    (void)state;
    uint64_t runs = turn_numbers(turn)->runs;
    add_route("b");
    until(turn_numbers(turn)->runs > runs);
    assert_int_equal(turn_numbers(turn)->commits, 0);
    add_secret();
    until(proxy.commits > 0);
    assert_int_equal(proxy.certificates, 1);
    assert_int_equal(proxy.holds, 0);
}

static void test_but_not_for_ever(void **state) {
    (void)state;
    time_t before = time(NULL);
    until(proxy.commits > 0);
    assert_true(time(NULL) - before >= 8);
    assert_int_equal(proxy.certificates, 0);
    assert_true(proxy.holds > 0); /* whoever has one keeps it */
    add_secret();
    until(proxy.certificates == 1);
}

/* ---- keys of internal tokens, of a controller on a directory ---- */

enum { PERIOD_S = 3600 };

static void take_keys(bool remembers) {
    signing_fini(&theirs);
    signing_fini(&put_keys);
    signing_renew(&theirs, time(NULL), PERIOD_S);
    proxy.remembers = remembers;
    struct main_signing *m = main_signing_new(base, turn, PERIOD_S);
    add_secret();
    until(put_keys.n > 0);
    main_signing_free(m);
}

static void test_keys_outlive_a_controller(void **state) {
    (void)state;
    take_keys(true);
    assert_true(signing_equal(&put_keys, &theirs));
}

static void test_keys_are_made_when_nobody_has_any(void **state) {
    (void)state;
    take_keys(false);
    assert_false(signing_equal(&put_keys, &theirs));
    assert_int_equal(put_keys.n, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_waits_for_secrets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_but_not_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_outlive_a_controller, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_are_made_when_nobody_has_any, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
