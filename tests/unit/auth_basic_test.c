/* SPDX-License-Identifier: Apache-2.0
 *
 * User names and passwords, on the request's way: what is shown, whose it is, the threads that
 * verify it and the memory of what was right. What programs do with it is in tests/e2e/auth-basic.
 */
#include "proxy/auth/auth.h"
#include "proxy/auth/verified.h"
#include "proxy/auth/verify.h"

#include "tests/unit/route_world.h"

#include <openssl/evp.h>
#include <poll.h>
#include <unistd.h>

/* "Secret!", by htpasswd -nbB -C 5 and openssl passwd -apr1 */
#define BCRYPT "$2y$05$wPGCwkkR0sxNni0LbOFOYe78LqqwzV9LTE9O3sQDthXHqsYBYBKR2"
#define APR1   "$apr1$.FKi7vAD$vNNzBaq3HhSvEAWlWRQ2X0"

enum { SECOND = 1000000000 };

struct court {
    struct world w;
    struct loop loop;
    struct auth_env *env;
    struct slow *slow;
    struct slow_desk desk;
    int ring;
    unsigned came; /* errands that came back */
};

static void begin(struct court *c, unsigned waiting) {
    world_init(&c->w);
    assert_int_equal(loop_init(&c->loop, 1 << 20, 1 << 20), 0);
    c->env = auth_env_new(&c->loop, NULL);
    c->slow = slow_new(1, waiting);
    c->ring = wakeup_new();
    slow_desk_init(&c->desk, c->slow, c->ring);
    auth_env_threads(c->env, &c->desk);
}

static int setup(void **state) {
    struct court *c = mem_zalloc(sizeof(*c));
    begin(c, 64);
    *state = c;
    return 0;
}

static int setup_narrow(void **state) {
    struct court *c = mem_zalloc(sizeof(*c));
    begin(c, 2);
    *state = c;
    return 0;
}

static int teardown(void **state) {
    struct court *c = *state;
    slow_desk_fini(&c->desk);
    slow_free(c->slow);
    auth_env_free(c->env);
    close(c->ring);
    world_fini(&c->w);
    loop_fini(&c->loop);
    mem_free(c);
    return 0;
}

/* ---- what is put ---- */

static struct str ns = {"ns", 2};
static struct model_consumer_scope scope = {&ns, 1, NULL, 0};
static struct model_value_source basic_from = {
    MODEL_FROM_HEADER, {"authorization", 13}, {"Basic ", 6}};

static void put_policy(struct court *c, struct str realm, struct model_password_user *users,
                       uint32_t n) {
    struct model_auth_basic b = {.realm = realm, .users = users, .n_users = n};
    struct model_auth_method_config list[] = {{.name = STR("staff"),
                                               .type = MODEL_AUTH_BASIC,
                                               .from = &basic_from,
                                               .n_from = 1,
                                               .consumers = &scope,
                                               .basic = &b}};
    struct model_auth p = {.methods = list, .n_methods = 1, .any_caller = true};
    struct model_route r = {.auth = STR("auth/ns/p")};
    put_host(&c->w, "shop.test");
    put_backend(&c->w, "b", "10.0.0.1:80", NULL);
    put_route_as(&c->w, r, "r", "shop.test", PREFIX(""), "b");
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/p"), &p);
}

static void put_users(struct court *c, struct model_password_user *users, uint32_t n) {
    put_policy(c, STR("a \"b\" \\"), users, n);
    world_commit(&c->w);
}

static void put_consumer(struct court *c, const char *name, const char *user, const char *stored) {
    struct credential_scratch *s = credential_scratch_new();
    char digest[CREDENTIAL_DIGEST];
    struct model_credential x = {.type = MODEL_AUTH_BASIC,
                                 .digest = str_mk(digest, sizeof(digest)),
                                 .secret = str_of(stored)};
    struct model_consumer m = {.credentials = &x, .n_credentials = 1};
    credential_digest(s, "basic", str_of(user), ns, digest);
    credential_scratch_free(s);
    world_put(&c->w, MODEL_KIND_consumer, arena_fmt(&c->w.a, "consumer/ns/%s", name), &m);
}

static void put_bob(struct court *c) {
    struct model_password_user users[] = {{STR("alice"), STR(APR1)}, {STR("bob"), STR(BCRYPT)}};
    put_users(c, users, 2);
}

/* ---- what is asked ---- */

struct request { /* it waits, or not */
    struct errands errands;
    struct court *court;
    unsigned came;
};

static void came(struct errands *all) {
    struct request *r = container_of(all, struct request, errands);
    r->came++;
    r->court->came++;
}

static struct auth *ask(struct request *r, const char *field) {
    static const uint8_t client[16];
    static struct ask q;
    struct court *c = r->court;
    struct match_result found;
    ask_init(&q, "GET", NULL);
    if (field)
        ask_header(&q, "authorization", field);
    struct route_request rq = {.host = STR("shop.test"), .path = STR("/"), .head = &q.head};
    assert_true(snapshot_route(c->w.s, &rq, c->w.scratch, &found));
    struct exchange x = {.snapshot = c->w.s,
                         .request = &q.head,
                         .rule = found.rule,
                         .match = found.match,
                         .host = rq.host,
                         .path = rq.path};
    r->errands.done = came;
    const struct auth_known known = {
        .client = client, .now = 1800000000, .errands = &r->errands, .body_whole = true};
    struct auth *a = auth_judge(c->env, &x, &known);
    assert_non_null(a);
    return a;
}

static void collect(struct court *c, unsigned n) {
    struct pollfd p = {.fd = c->ring, .events = POLLIN};
    while (c->came < n) {
        assert_true(poll(&p, 1, 20000) == 1);
        wakeup_clear(c->ring);
        slow_collect(&c->desk);
    }
}

/* "Basic " and base64 of n bytes. */
static const char *pair_of(const char *bytes, size_t n) {
    static char field[4096] = "bASIC ";
    EVP_EncodeBlock((unsigned char *)field + 6, (const unsigned char *)bytes, (int)n);
    return field;
}
static const char *pair(const char *text) { return pair_of(text, strlen(text)); }

/* Until it is decided. *waited: errands. */
static struct auth *ask_to_end(struct court *c, const char *field, unsigned *waited) {
    struct request r = {.court = c};
    struct auth *a;
    *waited = 0;
    while ((a = ask(&r, field))->waits) {
        auth_drop(c->env, a);
        collect(c, c->came + 1);
        ++*waited;
    }
    errands_drop(&r.errands);
    return a;
}

static void expect_after(struct court *c, const char *field, enum reason reason, const char *detail,
                         unsigned waits) {
    unsigned waited;
    struct auth *a = ask_to_end(c, field, &waited);
    if (a->reason != reason || (detail && !str_eq(a->detail, str_of(detail))))
        fail_msg("%s: %d %.*s", field, (int)a->reason, STR_FMT(a->detail));
    assert_int_equal(a->refused, reason != REASON_NONE);
    assert_int_equal(waited, waits);
    auth_drop(c->env, a);
}

#define WRONG  REASON_UNAUTHENTICATED, "the password is wrong"
#define NOBODY REASON_UNAUTHENTICATED, "nobody has this name"

/* ---- cases ---- */

static void right_and_wrong(void **state) {
    struct court *c = *state;
    unsigned waited;
    put_bob(c);
    expect_after(c, pair("bob:Secret!"), REASON_NONE, NULL, 1);
    expect_after(c, pair("bob:Secret!"), REASON_NONE, NULL, 0); /* remembered */
    expect_after(c, pair("bob:secret!"), WRONG, 1);
    expect_after(c, pair("bob:secret!"), WRONG, 1); /* not remembered */
    expect_after(c, pair("bob:"), WRONG, 1);
    expect_after(c, pair("carl:Secret!"), NOBODY, 1);
    expect_after(c, pair(":Secret!"), NOBODY, 1);
    expect_after(c, NULL, REASON_UNAUTHENTICATED, "no credential", 0);
    struct auth *a = ask_to_end(c, pair("bob:Secret!"), &waited);
    assert_true(str_eq(a->subject, STR("bob")) && str_eq(a->method, STR("staff")));
    assert_int_equal(a->n_shown, 1); /* it is taken away */
    auth_drop(c->env, a);
}

/* RFC 7617 2. */
static void what_would_do_is_said(void **state) {
    struct court *c = *state;
    unsigned waited;
    put_bob(c);
    struct auth *a = ask_to_end(c, NULL, &waited);
    assert_true(
        str_eq(a->challenge,
               STR("www-authenticate: Basic realm=\"a \\\"b\\\" \\\\\", charset=\"UTF-8\"\r\n")));
    auth_drop(c->env, a);
}

/* What a worker could not stand is not taken from a controller either. */
static void policies_that_are_refused(void **state) {
    struct court *c = *state;
    struct model_password_user turned[] = {{STR("bob"), STR(BCRYPT)}, {STR("alice"), STR(APR1)}};
    put_policy(c, STR("a\r\nset-cookie: b"), NULL, 0);
    assert_false(world_try(&c->w));
    put_policy(c, STR("a"), turned, 2);
    assert_false(world_try(&c->w));
    turned[1] = turned[0];
    put_policy(c, STR("a"), turned, 2);
    assert_false(world_try(&c->w));
}

static void what_is_shown_is_strict(void **state) {
    static const struct {
        const char *field, *detail;
    } cases[] = {
        {"Basic ", "there is no colon between user name and password"},
        {"Basic Ym9iOlNlY3JldCE", "what is shown as user name and password is not base64"},
        {"Basic Ym9iOlNlY3JldCE =", "what is shown as user name and password is not base64"},
        {"Basic Ym9iOlNlY3JldCF=", "what is shown as user name and password is not base64"},
        {"Basic Ym9iOlNlY3JldCE==", "what is shown as user name and password is not base64"},
        {"Basic Ym9iO-NlY3JldCE=", "what is shown as user name and password is not base64"},
        {"Basic Ym9iOlNlY3JldCE=, x", "what is shown as user name and password is not base64"},
        {"Basic Ym9i", "there is no colon between user name and password"},
        {"Basic Ym9iOlNlCmNyZXQ=", "the user name or password has a control character"},
        {"Basic Ym9iOgBTZWNyZXQ=", "the user name or password has a control character"},
        {"Basic Ym9iOlNlf2NyZXQ=", "the user name or password has a control character"},
    };
    struct court *c = *state;
    put_bob(c);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_after(c, cases[i].field, REASON_UNAUTHENTICATED, cases[i].detail, 0);
}

/* As long as they may be, and one more. */
static void longest(void **state) {
    struct court *c = *state;
    char text[900], user[256];
    put_bob(c);
    memset(text, 'u', sizeof(text));
    text[255] = ':';
    expect_after(c, pair_of(text, 256 + 511), NOBODY, 1);
    expect_after(c, pair_of(text, 256 + 512), REASON_UNAUTHENTICATED, NULL, 0);
    text[255] = 'u', text[256] = ':';
    expect_after(c, pair_of(text, 300), REASON_UNAUTHENTICATED,
                 "a user name or password that is longer than anybody's", 0);
    memset(user, 'u', 255);
    user[255] = 0;
    put_consumer(c, "long", user, APR1);
    world_commit(&c->w);
    text[255] = ':';
    expect_after(c, pair_of(text, 300), WRONG, 1);
}

/* The first colon is between them; bytes are bytes. */
static void colons_and_letters(void **state) {
    struct court *c = *state;
    struct model_password_user users[] = {
        {STR("anna"), STR("$apr1$saltsalt$OJ4lZS.7UVS.m9NBB1Hc/1")}, /* a:b:c */
        {STR("jos\xc3\xa9"), STR("$apr1$saltsalt$f74.33Z0f34Aak2NYQJTa0")} /* p\xc3\xa4ss */};
    put_users(c, users, 2);
    expect_after(c, pair("anna:a:b:c"), REASON_NONE, NULL, 1);
    expect_after(c, pair("anna:a"), WRONG, 1);
    expect_after(c, pair("jos\xc3\xa9:p\xc3\xa4ss"), REASON_NONE, NULL, 1);
    expect_after(c, pair("jos\xe9:p\xe4ss"), NOBODY, 1);
}

static void consumers(void **state) {
    struct court *c = *state;
    unsigned waited;
    put_consumer(c, "acme", "erin", APR1); /* alice's */
    put_consumer(c, "kong", "gina",
                 "$kong-sha1$9c3f2c1e-0000-4000-8000-000000000001$"
                 "0000000000000000000000000000000000000000");
    put_users(c, NULL, 0);
    struct auth *a = ask_to_end(c, pair("erin:Secret!"), &waited);
    assert_int_equal(a->reason, REASON_NONE);
    assert_true(str_eq(a->consumer, STR("ns/acme")) && str_eq(a->subject, STR("erin")));
    auth_drop(c->env, a);
    expect_after(c, pair("gina:x"), WRONG, 0); /* too quick to wait for */
    struct model_password_user users[] = {{STR("erin"), STR(BCRYPT)}};
    put_consumer(c, "acme", "erin", "$apr1$saltsalt$OJ4lZS.7UVS.m9NBB1Hc/1");
    put_users(c, users, 1); /* the file's counts, where both have the name */
    a = ask_to_end(c, pair("erin:Secret!"), &waited);
    assert_int_equal(a->reason, REASON_NONE);
    assert_int_equal(a->consumer.n, 0);
    auth_drop(c->env, a);
    expect_after(c, pair("erin:a:b:c"), WRONG, 1);
}

/* Others' Consumers do not count, nor those that were deleted. */
static void consumers_that_do_not_count(void **state) {
    struct court *c = *state;
    struct str other = STR("other");
    put_consumer(c, "acme", "erin", APR1);
    put_users(c, NULL, 0);
    expect_after(c, pair("erin:Secret!"), REASON_NONE, NULL, 1);
    scope.namespaces = &other;
    put_users(c, NULL, 0);
    expect_after(c, pair("erin:Secret!"), NOBODY, 1);
    scope.namespaces = &ns;
    put_users(c, NULL, 0);
    expect_after(c, pair("erin:Secret!"), REASON_NONE, NULL, 0);
    builder_del(c->w.b, STR("consumer/ns/acme"));
    world_commit(&c->w);
    expect_after(c, pair("erin:Secret!"), NOBODY, 1);
}

/* Among many who have keys the few who have passwords are found, until they are gone. */
static void somebody_is_found(void **state) {
    struct court *c = *state;
    struct consumer_found found;
    struct arena a;
    char name[32], digest[CREDENTIAL_DIGEST];
    arena_init(&a);
    put_users(c, NULL, 0);
    assert_false(consumers_some(snapshot_consumers(c->w.s), MODEL_AUTH_BASIC, 7, &a, &found));
    for (int i = 0; i < 3000; i++) {
        random_bytes(digest, sizeof(digest));
        struct model_credential x = {.type = MODEL_AUTH_API_KEY,
                                     .digest = str_mk(digest, sizeof(digest))};
        struct model_consumer m = {.credentials = &x, .n_credentials = 1};
        world_put(&c->w, MODEL_KIND_consumer, arena_fmt(&a, "consumer/ns/key-%d", i), &m);
    }
    put_consumer(c, "acme", "erin", APR1);
    world_commit(&c->w);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t seed = hash_mix(i, i);
        assert_true(consumers_some(snapshot_consumers(c->w.s), MODEL_AUTH_BASIC, seed, &a, &found));
        assert_true(str_eq(found.id, STR("ns/acme")));
    }
    for (int i = 0; i < 3000; i += 2) { /* places move */
        snprintf(name, sizeof(name), "consumer/ns/key-%d", i);
        builder_del(c->w.b, str_of(name));
    }
    world_commit(&c->w);
    assert_true(consumers_some(snapshot_consumers(c->w.s), MODEL_AUTH_BASIC, 7, &a, &found));
    builder_del(c->w.b, STR("consumer/ns/acme"));
    world_commit(&c->w);
    assert_false(consumers_some(snapshot_consumers(c->w.s), MODEL_AUTH_BASIC, 7, &a, &found));
    assert_true(consumers_some(snapshot_consumers(c->w.s), MODEL_AUTH_API_KEY, 7, &a, &found));
    arena_fini(&a);
}

/* As soon as the stored form is another one. */
static void changed(void **state) {
    struct court *c = *state;
    struct model_password_user users[] = {
        {STR("bob"), STR("$apr1$saltsalt$OJ4lZS.7UVS.m9NBB1Hc/1")}};
    put_bob(c);
    expect_after(c, pair("bob:Secret!"), REASON_NONE, NULL, 1);
    put_users(c, users, 1);
    expect_after(c, pair("bob:Secret!"), WRONG, 1);
    expect_after(c, pair("bob:a:b:c"), REASON_NONE, NULL, 1);
    put_users(c, NULL, 0); /* nobody at all */
    expect_after(c, pair("bob:a:b:c"), NOBODY, 1);
}

static void idle(void **state) {
    struct court *c = *state;
    put_bob(c);
    expect_after(c, pair("bob:Secret!"), REASON_NONE, NULL, 1);
    c->loop.now_ns += VERIFIED_IDLE_S * (uint64_t)SECOND;
    expect_after(c, pair("bob:Secret!"), REASON_NONE, NULL, 0);
    c->loop.now_ns += VERIFIED_IDLE_S * (uint64_t)SECOND + 1;
    expect_after(c, pair("bob:Secret!"), REASON_NONE, NULL, 1);
}

/* Many requests with one password are one piece of work, and each is judged. */
static void one_for_all(void **state) {
    struct court *c = *state;
    struct request r[50];
    put_bob(c);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        r[i] = (struct request){.court = c};
        struct auth *a = ask(&r[i], pair("bob:Secret!"));
        assert_true(a->waits);
        auth_drop(c->env, a);
    }
    for (size_t i = 0; i < 10; i++)
        errands_drop(&r[i].errands); /* those gave up */
    collect(c, ARRAY_LEN(r) - 10);
    struct slow_gauges g;
    while ((g = slow_gauges(c->slow)).running > 0) /* it comes back just before it is counted */
        usleep(100);
    assert_int_equal(g.finished, 1);
    for (size_t i = 10; i < ARRAY_LEN(r); i++) {
        struct auth *a = ask(&r[i], pair("bob:Secret!"));
        assert_int_equal(a->reason, REASON_NONE);
        assert_true(!a->waits && !a->refused);
        auth_drop(c->env, a);
        errands_drop(&r[i].errands);
    }
}

/* When all have given up, it is not done: the queue is theirs who wait. */
static void all_gave_up(void **state) {
    struct court *c = *state;
    struct request r[4];
    char text[32];
    put_bob(c);
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < ARRAY_LEN(r); i++) {
            r[i] = (struct request){.court = c};
            snprintf(text, sizeof(text), "bob:%d", (int)i / 2);
            auth_drop(c->env, ask(&r[i], pair(text)));
        }
        for (size_t i = 0; i < ARRAY_LEN(r); i++)
            errands_drop(&r[i].errands);
    }
    assert_int_equal(c->came, 0);
    expect_after(c, pair("bob:Secret!"), REASON_NONE, NULL, 1);
}

/* More wait than may: an answer, and nobody passes. */
static void too_many(void **state) {
    struct court *c = *state;
    struct request r[10];
    unsigned refused = 0;
    char text[32];
    put_bob(c);
    for (size_t i = 0; i < ARRAY_LEN(r); i++) {
        r[i] = (struct request){.court = c};
        snprintf(text, sizeof(text), "bob:wrong-%d", (int)i);
        struct auth *a = ask(&r[i], pair(text));
        assert_true(a->waits || (a->refused && a->reason == REASON_OVERLOADED));
        refused += a->refused;
        auth_drop(c->env, a);
    }
    assert_true(refused >= ARRAY_LEN(r) - 4 && refused <= ARRAY_LEN(r) - 2);
    for (size_t i = 0; i < ARRAY_LEN(r); i++)
        errands_drop(&r[i].errands);
    expect_after(c, pair("bob:Secret!"), REASON_NONE, NULL, 1);
}

static void no_threads(void **state) {
    struct court *c = *state;
    put_bob(c);
    auth_env_threads(c->env, NULL);
    expect_after(c, pair("bob:Secret!"), REASON_OVERLOADED, NULL, 0);
}

/* ---- the memory ---- */

static void memory(void **state) {
    struct verified *v = verified_new();
    struct hash_wide key = verified_key(STR("stored"), STR("password")),
                     again = verified_key(STR("store"), STR("dpassword"));
    char text[32];
    (void)state;
    assert_memory_not_equal(&key, &again, sizeof(key));
    for (int i = 0; i < VERIFIED_MAX + 10; i++) {
        snprintf(text, sizeof(text), "%d", i);
        key = verified_key(STR("stored"), str_of(text));
        verified_add(v, key, SECOND + (uint64_t)i);
        verified_add(v, key, SECOND + (uint64_t)i);
        key = verified_key(STR("stored"), STR("0"));
        assert_true(verified_has(v, key, SECOND + (uint64_t)i)); /* in use */
    }
    assert_int_equal(verified_count(v), VERIFIED_MAX);
    key = verified_key(STR("stored"), STR("1"));
    assert_false(verified_has(v, key, 2 * (uint64_t)SECOND)); /* gave way */
    verified_free(v);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(right_and_wrong),
        T(what_would_do_is_said),
        T(policies_that_are_refused),
        T(what_is_shown_is_strict),
        T(longest),
        T(colons_and_letters),
        T(consumers),
        T(consumers_that_do_not_count),
        T(somebody_is_found),
        T(changed),
        T(idle),
        T(one_for_all),
        T(all_gave_up),
        cmocka_unit_test_setup_teardown(too_many, setup_narrow, teardown),
        T(no_threads),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
