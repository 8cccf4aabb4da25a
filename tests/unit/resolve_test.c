/* SPDX-License-Identifier: Apache-2.0
 *
 * Names and their addresses, with a DNS server on the same loop that answers as each test says.
 */
#include "proxy/config/resolve.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/config/address.h"
#include "proxy/config/apply.h"
#include "proxy/route/snapshot.h"
#include "tests/unit/fake_dns.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WITHIN_S = 20 };

static struct event_base *base;

/* ---- what was told ---- */

static struct resolve *resolve;
static struct {
    unsigned calls, objects;
    char text[4096]; /* every object: "ID address address\n", or "ID gone\n" */
} told;
static bool six_routed;

static void on_changed(void *arg, struct object *const *objects, size_t n) {
    struct out o = out_fixed(told.text, sizeof(told.text) - 1);
    (void)arg;
    o.n = strlen(told.text);
    told.calls++;
    for (size_t i = 0; i < n; i++) {
        struct arena a;
        arena_init(&a);
        told.objects++;
        out_str(&o, object_id(objects[i]));
        if (objects[i]->kind == MODEL_KIND_NONE)
            out_lit(&o, " gone");
        const struct model_endpoints *m =
            objects[i]->kind == MODEL_KIND_endpoints ? object_decode(objects[i], &a, NULL) : NULL;
        for (uint32_t k = 0; m && k < m->n_endpoints; k++) {
            char text[64];
            const struct model_endpoint *e = &m->endpoints[k];
            inet_ntop(e->address.n == 4 ? AF_INET : AF_INET6, e->address.p, text, sizeof(text));
            out_fmt(&o, " %s", text);
            assert_true(e->port > 0);
        }
        out_lit(&o, "\n");
        arena_fini(&a);
    }
    assert_false(o.over);
    told.text[o.n] = 0;
}

static bool routed(struct str address) { return address.n == 4 || six_routed; }

static struct object *backend(const char *service, const char *name, uint64_t port) {
    char id[200];
    snprintf(id, sizeof(id), "backend/ns/%s/%llu", service, (unsigned long long)port);
    struct model_backend m = {.namespace = STR("ns"),
                              .service = str_of(service),
                              .port = port,
                              .external_name = str_of(name)};
    return object_new(MODEL_KIND_backend, str_of(id), &m);
}

/* before, after: external names, or NULL */
static void change(const char *before, const char *after, uint64_t port) {
    struct object *b = before ? backend("s", before, port) : NULL;
    struct object *a = after ? backend("s", after, port) : NULL;
    resolve_backend(resolve, b, a);
    object_drop(b);
    object_drop(a);
}

static bool turn(uint64_t end_ms) {
    struct timeval soon = {0, 20000};
    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
    return now_ms() < end_ms;
}

#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        uint64_t end = now_ms() + WITHIN_S * 1000;                                                 \
        while (!(condition))                                                                       \
            if (!turn(end))                                                                        \
                fail_msg("not in time: %s; told: %s", #condition, told.text);                      \
    } while (0)

static void renew(uint32_t ttl_min_ms, uint32_t retry_min_ms) {
    struct resolve_options o = {.nameserver = server.address,
                                .changed = on_changed,
                                .routed = routed,
                                .ttl_min_ms = ttl_min_ms,
                                .retry_min_ms = retry_min_ms,
                                .retry_max_ms = 10 * retry_min_ms};
    resolve_free(resolve);
    memset(&told, 0, sizeof(told));
    resolve = resolve_new(base, &o);
}

static int setup(void **state) {
    (void)state;
    base = event_base_new();
    start_server(base);
    six_routed = true;
    renew(50, 50);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    resolve_free(resolve);
    resolve = NULL;
    stop_server();
    event_base_free(base);
    return 0;
}

static void answer(const char *a, const char *aaaa, uint32_t ttl) {
    unsigned asked_a = server.a.asked, asked_aaaa = server.aaaa.asked;
    server.a = (struct script){OK, ttl, a, asked_a};
    server.aaaa = (struct script){OK, ttl, aaaa, asked_aaaa};
}

/* ---- tests ---- */

static void both_families(void **state) {
    (void)state;
    answer("192.0.2.9 192.0.2.1 192.0.2.9", "2001:db8::2 2001:db8::1 ::ffff:192.0.2.5", 100);
    change(NULL, "api.example.com", 8443);
    EVENTUALLY(told.calls > 0);
    assert_string_equal(told.text, "endpoints/-/api.example.com/8443 192.0.2.1 192.0.2.5 192.0.2.9 "
                                   "2001:db8::1 2001:db8::2\n");
    assert_string_equal(server.name, "api.example.com");
}

static void last_dot(void **state) {
    (void)state;
    answer("192.0.2.1", NULL, 100);
    change(NULL, "api.example.com.", 80);
    EVENTUALLY(told.calls > 0);
    assert_string_equal(told.text, "endpoints/-/api.example.com/80 192.0.2.1\n");
}

static void one_question(void **state) {
    (void)state;
    answer("192.0.2.1", NULL, 100);
    for (int i = 0; i < 50; i++)
        change(NULL, "api.example.com", i % 2 ? 80 : 8080);
    EVENTUALLY(told.objects == 2);
    change(NULL, "api.example.com", 81); /* what is known already is told without a question */
    EVENTUALLY(told.objects == 3);
    assert_int_equal(told.calls, 2);
    assert_int_equal(server.a.asked, 1);
    assert_int_equal(server.aaaa.asked, 1);
    assert_non_null(strstr(told.text, "endpoints/-/api.example.com/80 192.0.2.1\n"));
    assert_non_null(strstr(told.text, "endpoints/-/api.example.com/8080 192.0.2.1\n"));
    assert_non_null(strstr(told.text, "endpoints/-/api.example.com/81 192.0.2.1\n"));
}

static void refreshed(void **state) {
    (void)state;
    answer("192.0.2.1", NULL, 0);
    change(NULL, "api.example.com", 80);
    EVENTUALLY(told.calls == 1);
    unsigned asked = server.a.asked;
    EVENTUALLY(server.a.asked >= asked + 3);
    assert_int_equal(told.calls, 1); /* nothing is new */
    answer("192.0.2.2", NULL, 0);
    EVENTUALLY(told.calls == 2);
    assert_non_null(strstr(told.text, "endpoints/-/api.example.com/80 192.0.2.2\n"));
}

static void ttl_honoured(void **state) {
    (void)state;
    answer("192.0.2.1", "2001:db8::1", 1);
    server.aaaa.ttl = 1000;
    change(NULL, "api.example.com", 80);
    EVENTUALLY(server.a.asked == 2);
    uint64_t passed = server.asked_ms - server.asked_before_ms;
    assert_in_range(passed, 890, 5000); /* the lesser of both, up to a tenth early */
}

static void ttl_bounded(void **state) {
    (void)state;
    renew(300, 50);
    answer("192.0.2.1", NULL, 0);
    change(NULL, "api.example.com", 80);
    EVENTUALLY(server.a.asked == 2);
    assert_in_range(server.asked_ms - server.asked_before_ms, 290, 5000);
}

/* What was good stays through a failure of any kind, and what comes after it is used. */
static void kept_through(int rcode, const char *addresses) {
    answer("192.0.2.1", NULL, 0);
    change(NULL, "api.example.com", 80);
    EVENTUALLY(told.calls == 1);
    server.a = (struct script){.rcode = rcode, .addresses = addresses, .asked = server.a.asked};
    server.aaaa.rcode = rcode;
    unsigned asked = server.a.asked;
    EVENTUALLY(server.a.asked >= asked + 2);
    change(NULL, "api.example.com", 81); /* the proof that it is still known */
    EVENTUALLY(told.calls == 2);
    assert_string_equal(told.text, "endpoints/-/api.example.com/80 192.0.2.1\n"
                                   "endpoints/-/api.example.com/81 192.0.2.1\n");
    answer("192.0.2.2", NULL, 100);
    EVENTUALLY(told.calls == 3);
    assert_non_null(strstr(told.text, "endpoints/-/api.example.com/80 192.0.2.2\n"));
}

static void kept_servfail(void **state) {
    (void)state;
    kept_through(SERVFAIL, NULL);
}
static void kept_nxdomain(void **state) {
    (void)state;
    kept_through(NXDOMAIN, NULL);
}
static void kept_refused(void **state) {
    (void)state;
    kept_through(REFUSED, NULL);
}
static void kept_empty(void **state) {
    (void)state;
    kept_through(OK, NULL);
}
static void kept_garbage(void **state) {
    (void)state;
    kept_through(GARBAGE, NULL);
}
static void kept_cut(void **state) {
    (void)state;
    kept_through(CUT, NULL);
}
static void kept_silent(void **state) {
    (void)state;
    kept_through(SILENT, NULL);
}
static void kept_forbidden(void **state) {
    (void)state;
    kept_through(OK, "127.0.0.1 169.254.169.254 0.0.0.0");
}

static void one_family_fails(void **state) {
    (void)state;
    answer("192.0.2.1", "2001:db8::1", 0);
    change(NULL, "api.example.com", 80);
    EVENTUALLY(told.calls == 1);
    server.aaaa.rcode = REFUSED;
    server.a.addresses = "192.0.2.2";
    EVENTUALLY(told.calls == 2); /* the other family's last good addresses stay */
    assert_non_null(strstr(told.text, "endpoints/-/api.example.com/80 192.0.2.2 2001:db8::1\n"));
    answer("192.0.2.2", NULL, 0);
    EVENTUALLY(told.calls == 3); /* DNS says that there are none of it any more */
    assert_non_null(strstr(told.text, "endpoints/-/api.example.com/80 192.0.2.2\n"));
}

static void no_way(void **state) {
    (void)state;
    six_routed = false;
    answer("192.0.2.1", "2001:db8::1", 100);
    change(NULL, "api.example.com", 80);
    EVENTUALLY(told.calls == 1);
    assert_string_equal(told.text, "endpoints/-/api.example.com/80 192.0.2.1\n");
    answer(NULL, "2001:db8::1", 100); /* nothing else: it is tried */
    change(NULL, "other.example.com", 80);
    EVENTUALLY(told.calls == 2);
    assert_non_null(strstr(told.text, "endpoints/-/other.example.com/80 2001:db8::1\n"));
}

static void forbidden(void **state) {
    (void)state;
    char log[8192] = "";
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    log_fd(fd);
    answer("127.0.0.1 169.254.1.1 192.0.2.7", "::1 fe80::1 ::ffff:127.0.0.1", 0);
    change(NULL, "api.example.com", 80);
    EVENTUALLY(server.a.asked >= 3);
    log_fd(2);
    assert_string_equal(told.text, "endpoints/-/api.example.com/80 192.0.2.7\n");
    assert_true(pread(fd, log, sizeof(log) - 1, 0) > 0);
    close(fd);
    const char *line = strstr(log, "which is not used name=api.example.com");
    assert_non_null(line);
    assert_null(strstr(line + 1, "which is not used")); /* once */
}

static void gone(void **state) {
    (void)state;
    answer("192.0.2.1", NULL, 0);
    change(NULL, "api.example.com", 80);
    change(NULL, "api.example.com", 80);
    EVENTUALLY(told.calls == 1);
    change("api.example.com", NULL, 80);
    unsigned asked = server.a.asked;
    EVENTUALLY(server.a.asked > asked + 1); /* another one has it */
    assert_int_equal(told.calls, 1);
    change("api.example.com", NULL, 80);
    EVENTUALLY(told.calls == 2);
    assert_non_null(strstr(told.text, "endpoints/-/api.example.com/80 gone\n"));
    change(NULL, "other.example.com", 80);
    EVENTUALLY(told.calls == 3);
    asked = server.a.asked;
    EVENTUALLY(server.a.asked > asked + 3);
    assert_string_equal(server.name, "other.example.com"); /* the first is asked for no more */
}

/* A name that one backend leaves and another takes in one transaction is not asked for again. */
static void handed_over(void **state) {
    (void)state;
    answer("192.0.2.1", NULL, 100);
    change(NULL, "api.example.com", 80);
    EVENTUALLY(told.calls == 1);
    change("api.example.com", NULL, 80);
    change(NULL, "api.example.com", 80);
    change(NULL, "other.example.com", 80);
    EVENTUALLY(told.calls == 2);
    assert_null(strstr(told.text, "gone"));
    assert_int_equal(server.a.asked, 2);
}

static void renamed(void **state) {
    (void)state;
    answer("192.0.2.1", NULL, 100);
    change(NULL, "a.example.com", 80);
    EVENTUALLY(told.calls == 1);
    change("a.example.com", "b.example.com", 80);
    EVENTUALLY(told.objects == 3);
    assert_non_null(strstr(told.text, "endpoints/-/a.example.com/80 gone\n"));
    assert_non_null(strstr(told.text, "endpoints/-/b.example.com/80 192.0.2.1\n"));
}

/* A question that is on its way outlives its name, and the table. */
static void gone_while_asked(void **state) {
    (void)state;
    server.a.rcode = SILENT;
    server.aaaa.rcode = OK;
    server.aaaa.addresses = "2001:db8::1";
    change(NULL, "a.example.com", 80);
    EVENTUALLY(server.a.asked > 0 && server.aaaa.asked > 0);
    change("a.example.com", NULL, 80);
    change(NULL, "b.example.com", 80);
    EVENTUALLY(strcmp(server.name, "b.example.com") == 0);
    renew(50, 50);
    answer("192.0.2.1", NULL, 100);
    change(NULL, "c.example.com", 80);
    EVENTUALLY(told.calls == 1);
    assert_string_equal(told.text, "endpoints/-/c.example.com/80 192.0.2.1\n");
}

static void too_many(void **state) {
    (void)state;
    struct addresses all = {0};
    for (unsigned i = 0; i < 100; i++)
        addresses_put(&all, str_mk((const char[]){10, 1, 2, (char)(99 - i)}, 4));
    assert_int_equal(all.n, ADDRESSES_MAX);
    addresses_sort(&all);
    assert_memory_equal(all.list[0].bytes, ((const char[]){10, 1, 2, 36}), 4);
}

static void filter(void **state) {
    static const char *const good[] = {"10.0.0.1",  "192.168.1.1",     "8.8.8.8",
                                       "fd00::1",   "2001:db8::1",     "::ffff:10.0.0.1",
                                       "128.0.0.1", "64:ff9b::808:808"};
    static const char *const bad[] = {"127.0.0.1",
                                      "127.255.255.255",
                                      "0.0.0.0",
                                      "0.1.2.3",
                                      "169.254.169.254",
                                      "224.0.0.1",
                                      "239.255.255.255",
                                      "255.255.255.255",
                                      "::",
                                      "::1",
                                      "fe80::1",
                                      "febf::1",
                                      "ff02::1",
                                      "::ffff:127.0.0.1",
                                      "::ffff:169.254.169.254",
                                      "::ffff:0.0.0.0",
                                      "::ffff:224.0.0.1",
                                      "::127.0.0.1",
                                      "64:ff9b::7f00:1",
                                      "64:ff9b::a9fe:a9fe"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good) + ARRAY_LEN(bad); i++) {
        const char *text = i < ARRAY_LEN(good) ? good[i] : bad[i - ARRAY_LEN(good)];
        char bytes[16];
        bool six = strchr(text, ':') != NULL;
        assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, text, bytes), 1);
        if (resolve_address_ok(str_mk(bytes, six ? 16 : 4)) != (i < ARRAY_LEN(good)))
            fail_msg("%s", text);
    }
    assert_false(resolve_address_ok(STR("abc")));
}

/* ---- with apply and the builder ---- */

static struct snapshot *published;
static struct apply *apply;

static void on_publish(void *arg, struct snapshot *s) {
    (void)arg;
    if (published)
        snapshot_drop(published);
    published = s;
}
static void on_ack(void *arg, const struct wire_ack *m) { (void)arg, (void)m; }
static void on_nack(void *arg, const struct wire_nack *m) { (void)arg, (void)m; }
static unsigned accepted;
static void on_greet(void *arg) { (void)arg; }
static void on_accepted(void *arg) {
    (void)arg;
    accepted++;
}
static void on_backend(void *arg, const struct object *before, const struct object *after) {
    (void)arg;
    resolve_backend(resolve, before, after);
}
static void on_endpoints(void *arg, struct object *const *objects, size_t n) {
    (void)arg;
    told.calls++;
    apply_local(apply, objects, n);
}

static void load(const char *service, const char *name, uint64_t port) {
    struct object *o = backend(service, name, port);
    assert_true(apply_load(apply, &o, 1));
}

static const struct backend *found(const char *name) {
    for (uint32_t i = 0; i < published->backend_slots; i++) {
        const struct backend *b = snapshot_backend(published, i);
        if (b && str_eq(b->name, str_of(name)))
            return b;
    }
    fail_msg("no backend %s", name);
    return NULL;
}

static void in_the_snapshot(void **state) {
    static const struct apply_events events = {on_publish, on_ack,      on_nack,
                                               on_greet,   on_accepted, on_backend};
    (void)state;
    resolve_free(resolve);
    resolve = resolve_new(base, &(struct resolve_options){.nameserver = server.address,
                                                          .changed = on_endpoints,
                                                          .routed = routed});
    answer("192.0.2.1 192.0.2.2", NULL, 100);
    apply = apply_new(&events, NULL);
    accepted = 0;
    load("one", "api.example.com", 80);
    load("two", "api.example.com.", 443);
    assert_int_equal(found("ns/one:80")->n_usable, 0); /* not yet */
    uint64_t revision = apply_revision(apply);
    EVENTUALLY(told.calls == 1);
    assert_int_equal(found("ns/one:80")->n_usable, 2);
    assert_int_equal(found("ns/two:443")->n_usable, 2);
    assert_int_equal(found("ns/two:443")->endpoints[0].port, 443);
    assert_true(str_eq(found("ns/one:80")->host, STR("api.example.com")));
    assert_true(str_eq(found("ns/two:443")->host, STR("api.example.com:443")));

    /* Nobody else hears of them. */
    size_t n;
    struct object **objects = apply_objects(apply, NULL, &n);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(objects[i]->kind, MODEL_KIND_backend);
        object_drop(objects[i]);
    }
    mem_free(objects);
    assert_int_equal(apply_count(apply), 2);
    assert_true(apply_revision(apply) == revision && published->revision == revision);
    assert_int_equal(accepted, 2);

    /* Another name: the old addresses are gone with the old name. */
    load("one", "other.example.com", 80);
    assert_int_equal(found("ns/one:80")->n_usable, 0);
    assert_true(str_eq(found("ns/one:80")->host, STR("other.example.com")));
    EVENTUALLY(told.calls == 2);
    EVENTUALLY(found("ns/one:80")->n_usable == 2);
    assert_int_equal(found("ns/two:443")->n_usable, 2);
    struct object *bad = backend("bad", "a\r\nx: y", 80);
    apply_load(apply, &bad, 1);
    assert_int_equal(apply_count(apply), 2); /* it would be written into heads */
    load("one", "", 80);                     /* an ordinary Service again */
    assert_int_equal(found("ns/one:80")->n_usable, 0);
    assert_int_equal(found("ns/one:80")->host.n, 0);
    snapshot_drop(published);
    published = NULL;
    resolve_free(resolve);
    resolve = NULL;
    apply_free(apply);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(both_families),
        CASE(last_dot),
        CASE(one_question),
        CASE(refreshed),
        CASE(ttl_honoured),
        CASE(ttl_bounded),
        CASE(kept_servfail),
        CASE(kept_nxdomain),
        CASE(kept_refused),
        CASE(kept_empty),
        CASE(kept_garbage),
        CASE(kept_cut),
        CASE(kept_silent),
        CASE(kept_forbidden),
        CASE(one_family_fails),
        CASE(no_way),
        CASE(forbidden),
        CASE(gone),
        CASE(handed_over),
        CASE(renamed),
        CASE(gone_while_asked),
        CASE(in_the_snapshot),
        cmocka_unit_test(too_many),
        cmocka_unit_test(filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
