/* SPDX-License-Identifier: Apache-2.0
 *
 * What services say, and how it is remembered: the bounds of the memory, and answers over HTTP,
 * gRPC and of RFC 7662. Whole programs: tests/e2e/auth-external and auth-introspection.
 */
#include "proxy/auth/external.h"
#include "proxy/http/protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- the memory ---- */

static struct hash_wide key(uint64_t i) { return (struct hash_wide){i, ~i}; }

static void put(struct answers *all, uint64_t i, bool good, size_t bytes, uint64_t until) {
    static char text[ANSWER_KEEP_MAX * 2];
    struct verdict *v = verdict_new(
        &(struct verdict){.good = good, .to_backend = str_mk(text, bytes), .expires = INT64_MAX});
    answers_put(all, key(i), v, until);
    verdict_drop(v);
}

static void kept_for_its_time(void **state) {
    struct answers *all = answers_new();
    (void)state;
    put(all, 1, true, 10, 1000);
    assert_non_null(answers_get(all, key(1), 999));
    assert_null(answers_get(all, key(2), 999));
    assert_null(answers_get(all, key(1), 1000));
    assert_int_equal(answers_count(all), 0);
    put(all, 1, true, 10, 1000);
    put(all, 1, false, 20, 2000); /* the later one counts */
    assert_false(answers_get(all, key(1), 1500)->good);
    assert_int_equal(answers_count(all), 1);
    put(all, 1, true, ANSWER_KEEP_MAX, 3000); /* too large: the old one does not stay */
    assert_null(answers_get(all, key(1), 1500));
    answers_free(all);
}

/* Whoever invents tokens forgets nobody else's; what is used stays. */
static void bounded(void **state) {
    struct answers *all = answers_new();
    (void)state;
    for (uint64_t i = 0; i < ANSWERS_MAX; i++)
        put(all, i, true, 10, 1000);
    assert_int_equal(answers_count(all), ANSWERS_MAX);
    for (uint64_t i = 0; i < 3 * ANSWERS_MAX; i++)
        put(all, 1000000 + i, false, 10, 1000);
    assert_int_equal(answers_count(all), ANSWERS_MAX + ANSWERS_MAX / 4);
    for (uint64_t i = 0; i < ANSWERS_MAX; i++)
        assert_non_null(answers_get(all, key(i), 0));
    assert_non_null(answers_get(all, key(7), 0));
    for (uint64_t i = 0; i < ANSWERS_MAX - 1; i++)
        put(all, 2000000 + i, true, 10, 1000);
    assert_non_null(answers_get(all, key(7), 0));
    assert_null(answers_get(all, key(8), 0));
    for (uint64_t i = 0; i < ANSWERS_MAX; i++) /* 4,096 of 15,000 bytes are more than 4 MiB */
        put(all, 3000000 + i, true, 15000, 1000);
    assert_true(answers_count(all) < ANSWERS_BYTES_MAX / 15000 + ANSWERS_MAX / 4 + 1);
    answers_free(all);
}

/* A verdict that a request holds outlives its place. */
static void held(void **state) {
    struct answers *all = answers_new();
    (void)state;
    put(all, 1, false, 10, 1000);
    struct verdict *v = verdict_hold(answers_get(all, key(1), 0));
    answers_free(all);
    assert_int_equal(v->to_backend.n, 10);
    verdict_drop(v);
}

/* ---- answers ---- */

static struct str to_backend[] = {{"x-user", 6}};
static struct str to_client[] = {{"set-cookie", 10}};
static struct model_auth_external how = {.headers_to_backend = to_backend,
                                         .n_headers_to_backend = 1,
                                         .headers_to_client = to_client,
                                         .n_headers_to_client = 1,
                                         .consumer_header = {"x-who", 5}};
static struct str audience = {"shop", 4};
static struct model_auth_introspection asks = {.audiences = &audience, .n_audiences = 1};
static const struct model_auth_method_config config = {.external = &how, .introspection = &asks};
static const struct method_law law = {.model = &config};

enum { NOW = 1800000000 };

/* Fields as pairs, up to a NULL. */
static struct verdict *over_http(uint16_t status, ...) {
    struct call_field fields[16];
    struct call c = {.status = status, .body = STR("said"), .fields = fields};
    enum reason reason;
    const char *detail;
    va_list args;
    va_start(args, status);
    for (const char *name; (name = va_arg(args, const char *));)
        fields[c.n_fields++] =
            (struct call_field){str_of(name), str_of(va_arg(args, const char *))};
    va_end(args);
    struct verdict *v = forward_read(&law, &c, NOW, &reason, &detail);
    assert_true(v || reason == REASON_AUTH_SERVICE_FAILED);
    return v;
}

static void statuses(void **state) {
    (void)state;
    for (unsigned status = 200; status < 600; status++) {
        struct verdict *v = over_http((uint16_t)status, "location", "/login", NULL);
        bool redirect =
            status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
        assert_int_equal(v != NULL, status < 300 || redirect || (status >= 400 && status < 500));
        assert_true(!v || v->good == (status < 300));
        assert_true(!v || v->good || (v->status == status && str_eq(v->body, STR("said"))));
        verdict_drop(v);
    }
    assert_null(over_http(302, NULL));
}

static void only_what_is_named(void **state) {
    struct verdict *v = over_http(200, "X-User", " joe ", "x-secret", "1", "Set-Cookie", "a=b",
                                  "X-Who", "acme", "transfer-encoding", "chunked", NULL);
    (void)state;
    assert_true(str_eq(v->to_backend, STR("X-User: joe\r\n")));
    assert_true(str_eq(v->to_client, STR("Set-Cookie: a=b\r\n")) && v->once);
    verdict_drop(v);
    v = over_http(401, "WWW-Authenticate", "Session", "x-user", "root", "Transfer-Encoding", "x",
                  "content-length", "4", "connection", "close", NULL);
    assert_true(str_eq(v->to_client, STR("WWW-Authenticate: Session\r\nx-user: root\r\n")));
    assert_int_equal(v->to_backend.n, 0);
    assert_false(v->once);
    verdict_drop(v);
    assert_null(over_http(200, "x-user", "a\r\nx-admin: 1", NULL));
    assert_null(over_http(401, "x y", "a", NULL));
    v = over_http(200, "cache-control", "private, NO-STORE", NULL);
    assert_true(v->once);
    verdict_drop(v);
}

/* Once, of an answer that lets the request pass. */
static void who_is_named(void **state) {
    struct verdict *v = over_http(200, "X-Who", " shop/acme ", NULL);
    (void)state;
    assert_true(str_eq(v->consumer, STR("shop/acme")));
    struct verdict *kept = verdict_new(v);
    verdict_drop(v);
    assert_true(str_eq(kept->consumer, STR("shop/acme")) && kept->to_backend.n == 0);
    verdict_drop(kept);
    v = over_http(200, "x-who", "acme", "X-Who", "acme", NULL);
    assert_int_equal(v->consumer.n, 0);
    verdict_drop(v);
    v = over_http(200, "x-who", "", "x-whose", "acme", NULL);
    assert_int_equal(v->consumer.n, 0);
    verdict_drop(v);
    v = over_http(401, "x-who", "acme", NULL);
    assert_int_equal(v->consumer.n, 0);
    verdict_drop(v);
}

static struct verdict *over_grpc(struct str message, const char *trailers) {
    char room[512] = {0};
    struct call c = {.status = 200, .trailers = str_of(trailers)};
    enum reason reason;
    const char *detail;
    room[4] = (char)message.n;
    memcpy(room + 5, message.p, message.n);
    c.body = str_mk(room, message.n + 5);
    return check_read(&law, &c, NOW, &reason, &detail);
}

#define GRPC(text, trailers) over_grpc(str_mk(text, sizeof(text) - 1), trailers)
#define FINE                 "grpc-status: 0\r\n"

static void checked(void **state) {
    static const char ok[] = "\x0a\x00\x1a\x11\x12\x0f\x0a\x0d\x0a\x06x-user\x12\x03joe";
    struct verdict *v = GRPC(ok, FINE);
    (void)state;
    assert_true(v->good && str_eq(v->to_backend, STR("x-user: joe\r\n")));
    verdict_drop(v);
    v = GRPC("\x1a\x11\x12\x0f\x0a\x0d\x0a\x05X-Who\x12\x04"
             "acme",
             FINE);
    assert_true(v->good && str_eq(v->consumer, STR("acme")));
    verdict_drop(v);
    v = GRPC("\x1a\x11\x32\x0f\x0a\x0d\x0a\x05x-who\x12\x04"
             "acme",
             FINE); /* to the client */
    assert_true(v->good && v->consumer.n == 0);
    verdict_drop(v);
    v = GRPC("\x0a\x02\x08\x07", FINE);
    assert_true(!v->good && v->status == 403);
    verdict_drop(v);
    v = GRPC("\x0a\x00\x12\x05\x0a\x03\x08\x91\x03", FINE); /* denied, and a status of OK */
    assert_true(!v->good && v->status == 401);
    verdict_drop(v);
    v = GRPC("\x0a\x02\x08\x07\x12\x05\x0a\x03\x08\xb0\x02", FINE); /* 304 has no body */
    assert_true(!v->good && v->status == 403);
    verdict_drop(v);
    assert_null(GRPC("", FINE));
    assert_null(GRPC("\x0a\x02\x08\x07\x0a\x00", FINE)); /* two of them */
    assert_null(GRPC("\x08\x00", FINE));                 /* a status that is a number */
    assert_null(GRPC("\x0a\x02\x0a\x00", FINE));         /* a code that is a message */
    assert_null(GRPC("\x1a\x00\x12\x00", FINE));         /* allowed and denied */
    assert_null(GRPC(ok, ""));
    assert_null(GRPC(ok, "grpc-status: 7\r\n"));
    assert_null(GRPC(ok, "grpc-status: 0\r\ngrpc-status: 7\r\n"));
    assert_null(GRPC(ok, "grpc-status: \r\n"));
}

static void frames(void **state) {
    struct call c = {.status = 200, .trailers = STR(FINE)};
    enum reason reason;
    const char *detail;
    const struct str bad[] = {STR("\1\0\0\0\2\x0a\0"), STR("\0\0\0\0\2\x0a"),
                              STR("\0\0\0\0\2\x0a\0x"), STR("\0\0\0")};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        c.body = bad[i];
        assert_null(check_read(&law, &c, NOW, &reason, &detail));
    }
    c.status = 503;
    assert_null(check_read(&law, &c, NOW, &reason, &detail));
    c.status = 200;
    c.trailers = STR("grpc-status: 4\r\n");
    assert_null(check_read(&law, &c, NOW, &reason, &detail));
    assert_int_equal(reason, REASON_AUTH_SERVICE_TIMEOUT);
}

/* 'g'ood, 'b'ad, 'u'nknown, or 0: no answer. */
static int of_token(const char *text) {
    struct call c = {.status = 200, .body = str_of(text)};
    enum reason reason;
    const char *detail;
    struct verdict *v = introspect_read(&law, &c, NOW, &reason, &detail);
    int what = !v ? 0 : v->good ? 'g' : v->unknown ? 'u' : 'b';
    verdict_drop(v);
    return what;
}

static void introspected(void **state) {
    static const struct {
        const char *text;
        int what;
    } list[] = {
        {"{\"active\":true,\"aud\":\"shop\"}", 'g'},
        {"{\"active\":true,\"aud\":[\"x\",\"shop\"],\"exp\":1800000001,\"nbf\":1800000000.5}", 'g'},
        {"{\"active\":false,\"aud\":\"shop\"}", 'u'},
        {"{\"active\":true}", 'b'},
        {"{\"active\":true,\"aud\":\"shops\"}", 'b'},
        {"{\"active\":true,\"aud\":\"shop\",\"exp\":1800000000}", 'b'},
        {"{\"active\":true,\"aud\":\"shop\",\"nbf\":1800000001}", 'b'},
        {"{\"active\":true,\"aud\":\"shop\",\"nbf\":1.9e9}", 'b'},
        {"{\"active\":true,\"aud\":\"shop\",\"exp\":\"1900000000\"}", 'b'},
        {"{\"active\":true,\"aud\":\"shop\",\"exp\":-1}", 'b'},
        {"{\"active\":\"true\",\"aud\":\"shop\"}", 0},
        {"{\"active\":1,\"aud\":\"shop\"}", 0},
        {"{\"active\":null,\"aud\":\"shop\"}", 0},
        {"{\"active\":false,\"active\":true,\"aud\":\"shop\"}", 0},
        {"{\"aud\":\"shop\"}", 0},
        {"[{\"active\":true}]", 0},
        {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        if (of_token(list[i].text) != list[i].what)
            fail_msg("%s: %d", list[i].text, of_token(list[i].text));
    enum reason reason;
    const char *detail;
    for (uint16_t status = 201; status < 600; status++) {
        struct call c = {.status = status, .body = str_of(list[0].text)};
        assert_null(introspect_read(&law, &c, NOW, &reason, &detail));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_for_its_time),
        cmocka_unit_test(bounded),
        cmocka_unit_test(held),
        cmocka_unit_test(statuses),
        cmocka_unit_test(only_what_is_named),
        cmocka_unit_test(who_is_named),
        cmocka_unit_test(checked),
        cmocka_unit_test(frames),
        cmocka_unit_test(introspected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
