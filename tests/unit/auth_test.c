/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may call, on the request's way: policies from a snapshot, tokens of a signer of our own,
 * heads as text. What programs do with it is in tests/e2e/auth.
 */
#include "lib/jwt_sign.h"
#include "proxy/auth/auth.h"

#include "tests/unit/route_world.h"

#include <time.h>

enum { NOW = 1800000000 };

struct court {
    struct world w;
    struct loop loop;
    struct auth_env *env;
    struct jwt_signer *signer;
    struct jwt_scratch *scratch;
    char token[2048];
};

static int setup(void **state) {
    struct court *c = mem_zalloc(sizeof(*c));
    struct out key = out_heap(4096);
    struct why why = {0};
    world_init(&c->w);
    assert_int_equal(loop_init(&c->loop, 1 << 20, 1 << 20), 0);
    c->env = auth_env_new(&c->loop, NULL);
    jwt_make_key(JWT_ES256, &key);
    c->signer = jwt_signer_new(out_done(&key), &why);
    c->scratch = jwt_scratch_new();
    out_fini(&key);
    *state = c;
    return 0;
}

static int teardown(void **state) {
    struct court *c = *state;
    auth_env_free(c->env);
    world_fini(&c->w);
    loop_fini(&c->loop);
    jwt_signer_free(c->signer);
    jwt_scratch_free(c->scratch);
    mem_free(c);
    return 0;
}

/* ---- what is put ---- */

static void put_keys(struct court *c) {
    const struct jwt_key *k = jwt_signer_key(c->signer);
    struct model_key key = {
        .kid = k->kid, .algorithm = str_of(jwt_alg_name(k->alg)), .der = k->der};
    struct model_key_set set = {.keys = &key, .n_keys = 1};
    world_put(&c->w, MODEL_KIND_key_set, STR("key_set/ns/p/m"), &set);
}

/* One route of host shop.test under that policy. */
static void put_policy(struct court *c, struct model_auth p) {
    struct model_route r = {.auth = STR("auth/ns/p")};
    put_keys(c);
    put_host(&c->w, "shop.test");
    put_backend(&c->w, "b", "10.0.0.1:80", NULL);
    put_route_as(&c->w, r, "r", "shop.test", PREFIX(""), "b");
    p.any_caller = p.n_rules == 0;
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/p"), &p);
    world_commit(&c->w);
}

static struct str es256 = {"ES256", 5};
static struct model_value_source bearer = {
    MODEL_FROM_HEADER, {"authorization", 13}, {"Bearer ", 7}};
static struct model_value_source cookie = {MODEL_FROM_COOKIE, {"t", 1}, {NULL, 0}};

static struct model_auth_jwt issuer(const char *name, uint64_t skew_ms) {
    return (struct model_auth_jwt){.issuer = str_of(name),
                                   .algorithms = &es256,
                                   .n_algorithms = 1,
                                   .key_set = STR("key_set/ns/p/m"),
                                   .clock_skew_ms = skew_ms};
}

static struct model_auth_method_config method(const char *name, struct model_auth_jwt *jwt,
                                              struct model_value_source *from) {
    return (struct model_auth_method_config){
        .name = str_of(name), .type = MODEL_AUTH_JWT, .jwt = jwt, .from = from, .n_from = 1};
}

static const char *say_from(struct court *c, const char *iss, long long nbf, long long exp) {
    char claims[256];
    struct out o = out_fixed(c->token, sizeof(c->token) - 1);
    snprintf(claims, sizeof(claims), "{\"iss\":\"%s\",\"sub\":\"joe\",\"nbf\":%lld,\"exp\":%lld}",
             iss, nbf, exp);
    assert_int_equal(jwt_sign(c->signer, STR("JWT"), str_of(claims), c->scratch, &o), 0);
    c->token[o.n] = 0;
    return c->token;
}

static const char *say(struct court *c, const char *iss, long long exp) {
    return say_from(c, iss, NOW - 60, exp);
}

/* ---- what is asked ---- */

static const uint8_t client[16] = {0};

/* Field lines as pairs, up to a NULL. The answer must be dropped. */
static struct auth *ask(struct court *c, int64_t now, ...) {
    static struct ask q;
    struct match_result found;
    va_list args;
    ask_init(&q, "GET", NULL);
    va_start(args, now);
    for (const char *name; (name = va_arg(args, const char *));)
        ask_header(&q, name, va_arg(args, const char *));
    va_end(args);
    struct route_request rq = {.host = STR("shop.test"), .path = STR("/"), .head = &q.head};
    assert_true(snapshot_route(c->w.s, &rq, c->w.scratch, &found));
    struct exchange x = {.snapshot = c->w.s,
                         .request = &q.head,
                         .rule = found.rule,
                         .match = found.match,
                         .host = rq.host,
                         .path = rq.path};
    assert_true(found.rule->guarded);
    struct errands none = {0};
    const struct auth_known known = {
        .client = client, .now = now, .errands = &none, .body_whole = true};
    struct auth *a = auth_judge(c->env, &x, &known);
    assert_non_null(a);
    return a;
}

static void expect(struct court *c, struct auth *a, enum reason reason, const char *detail) {
    assert_int_equal(a->refused, reason != REASON_NONE);
    assert_int_equal(a->reason, reason);
    if (detail && !str_eq(a->detail, str_of(detail)))
        fail_msg("%.*s", STR_FMT(a->detail));
    auth_drop(c->env, a);
}

static const char *with(const char *token) {
    static char field[4096];
    snprintf(field, sizeof(field), "bEARER %s", token);
    return field;
}

/* ---- cases ---- */

static void the_first_that_finds_one_decides(void **state) {
    struct court *c = *state;
    struct model_auth_jwt one = issuer("one", 0), two = issuer("two", 0);
    struct model_auth_method_config list[] = {method("a", &one, &bearer),
                                              method("b", &two, &bearer)};
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 2});
    struct auth *a = ask(c, NOW, "Authorization", with(say(c, "two", NOW + 60)), NULL);
    assert_true(str_eq(a->method, STR("b")) && str_eq(a->subject, STR("joe")));
    expect(c, a, REASON_NONE, NULL);
    expect(c, ask(c, NOW, NULL), REASON_UNAUTHENTICATED, "no credential");
    expect(c, ask(c, NOW, "Authorization", with(say(c, "three", NOW + 60)), NULL),
           REASON_UNAUTHENTICATED, "a token that no method knows");
    expect(c, ask(c, NOW, "Authorization", "Basic eA==", NULL), REASON_UNAUTHENTICATED,
           "no credential");
}

/* What was verified counts by the clock of now, wherever that has jumped to. */
static void the_clock_jumps(void **state) {
    struct court *c = *state;
    struct model_auth_jwt one = issuer("one", 10000);
    struct model_auth_method_config list[] = {method("a", &one, &bearer)};
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 1});
    const char *token = with(say_from(c, "one", NOW - 5, NOW + 60));
    for (int i = 0; i < 2; i++) { /* verified, then known */
        expect(c, ask(c, NOW, "Authorization", token, NULL), REASON_NONE, NULL);
        expect(c, ask(c, NOW + 70, "Authorization", token, NULL), REASON_UNAUTHENTICATED,
               "the token has expired");
        expect(c, ask(c, NOW - 16, "Authorization", token, NULL), REASON_UNAUTHENTICATED,
               "the token does not count yet");
        expect(c, ask(c, NOW - 15, "Authorization", token, NULL), REASON_NONE, NULL);
    }
}

/* A token is judged again by each method, and expires under each by its own clock. */
static void all_of_them_with_two_clocks(void **state) {
    struct court *c = *state;
    struct model_auth_jwt late = issuer("one", 120000), exact = issuer("one", 1000);
    struct model_auth_method_config list[] = {method("late", &late, &bearer),
                                              method("exact", &exact, &bearer)};
    put_policy(c,
               (struct model_auth){.require = MODEL_REQUIRE_ALL, .methods = list, .n_methods = 2});
    const char *field = with(say(c, "one", NOW + 10));
    for (int i = 0; i < 3; i++)
        expect(c, ask(c, NOW, "Authorization", field, NULL), REASON_NONE, NULL);
    assert_int_equal(auth_counts(c->env)->verified, 2);
    assert_int_equal(auth_counts(c->env)->seen, 4);
    for (int i = 0; i < 3; i++)
        expect(c, ask(c, NOW + 60, "Authorization", field, NULL), REASON_UNAUTHENTICATED,
               "the token has expired");
}

/* What is optional may be absent, and never wrong. */
static void optional_is_never_wrong(void **state) {
    struct court *c = *state;
    struct model_auth_jwt one = issuer("one", 0), two = issuer("two", 0);
    struct model_auth_method_config list[] = {method("a", &one, &bearer),
                                              method("b", &two, &cookie)};
    char both[2100];
    list[1].optional = true;
    put_policy(c,
               (struct model_auth){.require = MODEL_REQUIRE_ALL, .methods = list, .n_methods = 2});
    char first[4096];
    snprintf(first, sizeof(first), "%s", with(say(c, "one", NOW + 60)));
    expect(c, ask(c, NOW, "Authorization", first, NULL), REASON_NONE, NULL);
    snprintf(both, sizeof(both), "t=%s", say(c, "two", NOW + 60));
    expect(c, ask(c, NOW, "Authorization", first, "Cookie", both, NULL), REASON_NONE, NULL);
    snprintf(both, sizeof(both), "t=%s", say(c, "nobody", NOW + 60));
    expect(c, ask(c, NOW, "Authorization", first, "Cookie", both, NULL), REASON_UNAUTHENTICATED,
           "a credential that no method knows");
    expect(c, ask(c, NOW, "Cookie", both, NULL), REASON_UNAUTHENTICATED,
           "one of the credentials is missing");
}

static void nothing_is_not_something_wrong(void **state) {
    struct court *c = *state;
    struct model_auth_jwt one = issuer("one", 0);
    struct model_auth_method_config list[] = {
        method("a", &one, &bearer),
        {.name = STR("open"), .type = MODEL_AUTH_ANONYMOUS, .consumer = STR("ns/guest")}};
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 2});
    struct auth *a = ask(c, NOW, NULL);
    assert_true(str_eq(a->consumer, STR("ns/guest")));
    expect(c, a, REASON_NONE, NULL);
    expect(c, ask(c, NOW, "Authorization", "Bearer garbage", NULL), REASON_UNAUTHENTICATED,
           "a credential that no method knows");
}

/* A policy, or its keys, that are not there let nobody pass. */
static void closed_without(void **state) {
    struct court *c = *state;
    struct model_auth_jwt one = issuer("one", 0);
    struct model_auth_method_config list[] = {method("a", &one, &bearer)};
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 1});
    const char *field = with(say(c, "one", NOW + 60));
    expect(c, ask(c, NOW, "Authorization", field, NULL), REASON_NONE, NULL);
    builder_del(c->w.b, STR("key_set/ns/p/m"));
    world_commit(&c->w);
    expect(c, ask(c, NOW, "Authorization", field, NULL), REASON_KEYS_UNAVAILABLE, NULL);
    put_keys(c);
    world_commit(&c->w);
    expect(c, ask(c, NOW, "Authorization", field, NULL), REASON_NONE, NULL);
    struct model_auth closed = {.refusal = MODEL_REFUSE_POLICY};
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/p"), &closed);
    world_commit(&c->w);
    expect(c, ask(c, NOW, "Authorization", field, NULL), REASON_POLICY_UNAVAILABLE, NULL);
    builder_del(c->w.b, STR("auth/ns/p"));
    world_commit(&c->w);
    struct route_request rq = {.host = STR("shop.test"), .path = STR("/")};
    static struct ask q;
    struct match_result found;
    ask_init(&q, "GET", NULL);
    rq.head = &q.head;
    assert_true(snapshot_route(c->w.s, &rq, c->w.scratch, &found));
    assert_int_equal(found.rule->refusal, REASON_POLICY_UNAVAILABLE);
}

/* A worker keeps so many tokens and no more, the ones that were shown lately. */
static void many_tokens(void **state) {
    struct court *c = *state;
    struct model_auth_jwt one = issuer("one", 0);
    struct model_auth_method_config list[] = {method("a", &one, &bearer)};
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 1});
    for (int i = 0; i < 4200; i++)
        expect(c, ask(c, NOW, "Authorization", with(say(c, "one", NOW + 60 + i)), NULL),
               REASON_NONE, NULL);
    uint64_t verified = auth_counts(c->env)->verified;
    assert_int_equal(verified, 4200);
    const char *last = with(c->token);
    expect(c, ask(c, NOW, "Authorization", last, NULL), REASON_NONE, NULL);
    assert_int_equal(auth_counts(c->env)->verified, verified);
}

/* ---- keys of Consumers ---- */

static void consumer(struct court *c, const char *name, const char *key, const char *tier) {
    struct credential_scratch *s = credential_scratch_new();
    char digest[CREDENTIAL_DIGEST];
    struct model_credential credential = {.type = MODEL_AUTH_API_KEY,
                                          .digest = str_mk(digest, sizeof(digest))};
    struct model_label label = {STR("tier"), str_of(tier)};
    struct model_consumer m = {
        .credentials = &credential, .n_credentials = 1, .labels = &label, .n_labels = 1};
    credential_digest(s, "apiKey", str_of(key), STR_NONE, digest);
    credential_scratch_free(s);
    world_put(&c->w, MODEL_KIND_consumer, arena_fmt(&c->w.a, "consumer/ns/%s", name), &m);
}

static void keys_of_consumers(void **state) {
    struct court *c = *state;
    struct str ns = STR("ns");
    struct model_label gold = {STR("tier"), STR("gold")};
    struct model_consumer_scope scope = {&ns, 1, &gold, 1};
    struct model_value_source from = {MODEL_FROM_HEADER, STR("x-api-key"), STR_NONE};
    struct model_auth_method_config list[] = {{.name = STR("k"),
                                               .type = MODEL_AUTH_API_KEY,
                                               .from = &from,
                                               .n_from = 1,
                                               .consumers = &scope}};
    char name[32], key[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        snprintf(key, sizeof(key), "key-number-%d", i);
        consumer(c, name, key, i % 2 ? "gold" : "iron");
    }
    put_policy(c, (struct model_auth){.methods = list, .n_methods = 1});
    struct auth *a = ask(c, NOW, "X-Api-Key", "key-number-1999", NULL);
    assert_true(str_eq(a->consumer, STR("ns/c1999")));
    expect(c, a, REASON_NONE, NULL);
    expect(c, ask(c, NOW, "X-Api-Key", "key-number-1998", NULL), REASON_UNAUTHENTICATED, NULL);
    expect(c, ask(c, NOW, "X-Api-Key", "key-number-2000", NULL), REASON_UNAUTHENTICATED, NULL);
    expect(c, ask(c, NOW, "X-Api-Key", "key-number-1", "x-api-key", "key-number-1", NULL),
           REASON_UNAUTHENTICATED, "the key is there twice");
    consumer(c, "thief", "key-number-1999", "gold"); /* nobody's, then */
    world_commit(&c->w);
    expect(c, ask(c, NOW, "X-Api-Key", "key-number-1999", NULL), REASON_UNAUTHENTICATED, NULL);
    builder_del(c->w.b, STR("consumer/ns/c1999"));
    world_commit(&c->w);
    a = ask(c, NOW, "X-Api-Key", "key-number-1999", NULL);
    assert_true(str_eq(a->consumer, STR("ns/thief")));
    expect(c, a, REASON_NONE, NULL);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "consumer/ns/c%d", i);
        builder_del(c->w.b, str_of(name));
    }
    world_commit(&c->w);
    expect(c, ask(c, NOW, "X-Api-Key", "key-number-1", NULL), REASON_UNAUTHENTICATED, NULL);
}

/* ---- Consumers by name ---- */

/* NULL: nobody. */
static const char *named(const struct snapshot *s, const char *name) {
    static char group[64];
    struct consumer_found found;
    struct arena a;
    arena_init(&a);
    bool there = consumers_named(snapshot_consumer_names(s), str_of(name), &a, &found);
    if (there) {
        assert_true(str_eq(found.id, str_of(name)) && !found.credential);
        snprintf(group, sizeof(group), "%.*s",
                 STR_FMT(found.consumer->n_groups ? found.consumer->groups[0] : STR("none")));
    }
    arena_fini(&a);
    return there ? group : NULL;
}

static void put_named(struct court *c, const char *name, const char *group, bool disabled) {
    struct str groups[] = {str_of(group)};
    struct model_consumer m = {.groups = groups, .n_groups = 1, .disabled = disabled};
    world_put(&c->w, MODEL_KIND_consumer, arena_fmt(&c->w.a, "consumer/ns/%s", name), &m);
}

static void put_naming(struct court *c, struct str header) {
    struct str ns = STR("ns");
    struct model_consumer_scope scope = {.namespaces = &ns, .n_namespaces = 1};
    struct model_auth_external how = {.backend = STR("backend/ns/x/80"), .consumer_header = header};
    struct model_auth_method_config list[] = {{.name = STR("e"),
                                               .type = MODEL_AUTH_EXTERNAL,
                                               .consumers = header.n > 0 ? &scope : NULL,
                                               .external = &how}};
    struct model_auth m = {.methods = list, .n_methods = 1, .any_caller = true};
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/naming"), &m);
    world_commit(&c->w);
}

/* The table is there as long as a policy needs it, and follows what changes meanwhile. */
static void consumers_by_name(void **state) {
    struct court *c = *state;
    char name[32], whole[40];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        put_named(c, name, "first", false);
    }
    put_naming(c, STR_NONE);
    assert_null(snapshot_consumer_names(c->w.s)->root);
    assert_null(named(c->w.s, "ns/c1"));
    put_naming(c, STR("x-who"));
    assert_int_equal(snapshot_consumer_names(c->w.s)->n, 3000);
    for (int i = 0; i < 3000; i++) {
        snprintf(whole, sizeof(whole), "ns/c%d", i);
        assert_string_equal(named(c->w.s, whole), "first");
    }
    static const char *const nobody[] = {"", "c1", "ns/", "/c1", "ns/c3000", "ns/C1", "ns/c1/"};
    for (size_t i = 0; i < ARRAY_LEN(nobody); i++)
        assert_null(named(c->w.s, nobody[i]));
    struct snapshot *before = snapshot_hold(c->w.s);
    for (int i = 0; i < 3000; i += 3) {
        snprintf(whole, sizeof(whole), "consumer/ns/c%d", i);
        builder_del(c->w.b, str_of(whole));
        snprintf(name, sizeof(name), "c%d", i + 1);
        put_named(c, name, "second", i % 2 == 0);
        snprintf(name, sizeof(name), "new%d", i);
        put_named(c, name, "third", false);
    }
    world_commit(&c->w);
    for (int i = 0; i < 3000; i++) {
        snprintf(whole, sizeof(whole), "ns/c%d", i);
        const char *now = i % 3 == 0 ? NULL : i % 3 == 2 ? "first" : i % 2 ? NULL : "second";
        const char *is = named(c->w.s, whole);
        assert_true(now ? is && strcmp(is, now) == 0 : !is);
        assert_string_equal(named(before, whole), "first");
        snprintf(whole, sizeof(whole), "ns/new%d", i);
        assert_true((named(c->w.s, whole) != NULL) == (i % 3 == 0));
    }
    assert_int_equal(snapshot_consumer_names(c->w.s)->n, 3000);
    put_naming(c, STR_NONE);
    assert_null(snapshot_consumer_names(c->w.s)->root);
    assert_string_equal(named(before, "ns/c0"), "first");
    snapshot_drop(before);
    builder_del(c->w.b, STR("consumer/ns/c2")); /* nobody looks */
    put_naming(c, STR("x-who"));
    assert_null(named(c->w.s, "ns/c2"));
    assert_string_equal(named(c->w.s, "ns/c5"), "first");
    builder_del(c->w.b, STR("auth/ns/naming"));
    world_commit(&c->w);
    assert_null(snapshot_consumer_names(c->w.s)->root);
}

static void named_without_a_scope(void **state) {
    struct court *c = *state;
    struct model_auth_external how = {.backend = STR("backend/ns/x/80"),
                                      .consumer_header = STR("x-who")};
    struct model_auth_method_config list[] = {
        {.name = STR("e"), .type = MODEL_AUTH_EXTERNAL, .external = &how}};
    struct model_auth m = {.methods = list, .n_methods = 1, .any_caller = true};
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/naming"), &m);
    assert_false(world_try(&c->w));
    assert_non_null(strstr(c->w.why.text, "names Consumers, and none are for it"));
}

/* ---- the time of day ---- */

enum { MON = 1, FRI = 16, SAT = 32 };

static int64_t utc(int year, int month, int day, int hour, int minute) {
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute};
    return timegm(&tm);
}

/* Europe/Berlin in 2026; Pacific/Auckland. */
static struct model_zone_change berlin[] = {
    {1735689600, 60 + 1440}, {1774746000, 120 + 1440}, {1792890000, 60 + 1440}};
static struct model_zone_change auckland[] = {{1735689600, 13 * 60 + 1440}};
static struct model_zone_change nuuk[] = {{1735689600, 1440 - 120}};

static void put_window(struct court *c, unsigned from, unsigned to, unsigned days,
                       struct model_zone_change *zone, uint32_t n_zone) {
    struct model_auth_rule rule = {.name = STR("then"),
                                   .action = MODEL_ALLOW,
                                   .from_minute = from,
                                   .to_minute = to,
                                   .days = days,
                                   .zone = zone,
                                   .n_zone = n_zone};
    put_policy(c, (struct model_auth){.rules = &rule, .n_rules = 1});
}

static bool is_in(struct court *c, int64_t at) {
    struct auth *a = ask(c, at, NULL);
    bool in = !a->refused;
    auth_drop(c->env, a);
    return in;
}

/* Minutes of these hours that are in; *first: of the first of them, in seconds. */
static unsigned minutes_in(struct court *c, int64_t from, unsigned hours, int64_t *first) {
    unsigned n = 0;
    for (unsigned i = 0; i < hours * 60; i++)
        if (is_in(c, from + i * 60) && n++ == 0)
            *first = from + i * 60;
    return n;
}

static void local_clocks(void **state) {
    struct court *c = *state;
    int64_t first;
    put_window(c, 8 * 60, 9 * 60, 0, NULL, 0);
    assert_int_equal(minutes_in(c, utc(2026, 3, 29, 0, 0), 24, &first), 60);
    assert_int_equal(first, utc(2026, 3, 29, 8, 0));
    put_window(c, 8 * 60, 9 * 60, 0, berlin, 3);
    assert_int_equal(minutes_in(c, utc(2026, 3, 27, 23, 0), 24, &first), 60);
    assert_int_equal(first, utc(2026, 3, 28, 7, 0));
    assert_int_equal(minutes_in(c, utc(2026, 3, 28, 23, 0), 23, &first), 60);
    assert_int_equal(first, utc(2026, 3, 29, 6, 0));
    assert_true(is_in(c, utc(2026, 3, 29, 6, 59) + 59) && !is_in(c, utc(2026, 3, 29, 7, 0)));
    assert_true(!is_in(c, utc(2026, 3, 29, 6, 0) - 1));
    assert_true(is_in(c, utc(2045, 7, 1, 7, 0))); /* the last that is known goes on */
    assert_true(is_in(c, utc(2020, 7, 1, 7, 0))); /* and the first */
}

/* From 02:00 to 03:00: not at all in the night in which that hour is left out, twice in that in
 * which it comes again. */
static void hours_that_change(void **state) {
    struct court *c = *state;
    int64_t first;
    put_window(c, 2 * 60, 3 * 60, 0, berlin, 3);
    assert_int_equal(minutes_in(c, utc(2026, 3, 27, 23, 0), 24, &first), 60);
    assert_int_equal(minutes_in(c, utc(2026, 3, 28, 23, 0), 23, &first), 0);
    assert_int_equal(minutes_in(c, utc(2026, 10, 24, 22, 0), 25, &first), 120);
    assert_int_equal(first, utc(2026, 10, 25, 0, 0));
    put_window(c, 2 * 60 + 30, 3 * 60 + 30, 0, berlin, 3); /* the second half is there */
    assert_int_equal(minutes_in(c, utc(2026, 3, 28, 23, 0), 23, &first), 30);
    assert_int_equal(first, utc(2026, 3, 29, 1, 0));
}

static void local_nights_and_days(void **state) {
    struct court *c = *state;
    int64_t first;
    put_window(c, 22 * 60, 6 * 60, SAT, berlin, 3);
    assert_int_equal(minutes_in(c, utc(2026, 3, 26, 0, 0), 96, &first), 7 * 60);
    assert_int_equal(first, utc(2026, 3, 28, 21, 0));
    assert_int_equal(minutes_in(c, utc(2026, 10, 23, 0, 0), 96, &first), 9 * 60);
    assert_int_equal(first, utc(2026, 10, 24, 20, 0));
    put_window(c, 22 * 60, 6 * 60, FRI | SAT, berlin, 3);
    assert_int_equal(minutes_in(c, utc(2026, 6, 8, 0, 0), 168, &first), 16 * 60);
    assert_int_equal(first, utc(2026, 6, 12, 20, 0));
    put_window(c, 0, 1440, MON, auckland, 1);
    assert_int_equal(minutes_in(c, utc(2026, 1, 8, 0, 0), 168, &first), 24 * 60);
    assert_int_equal(first, utc(2026, 1, 11, 11, 0)); /* a Sunday */
    put_window(c, 23 * 60, 1440, MON, nuuk, 1);
    assert_int_equal(minutes_in(c, utc(2026, 1, 8, 0, 0), 168, &first), 60);
    assert_int_equal(first, utc(2026, 1, 13, 1, 0)); /* a Tuesday */
}

static void zones_that_are_none(void **state) {
    struct court *c = *state;
    struct model_zone_change bad[][2] = {{{10, 1440}, {10, 1500}},
                                         {{10, 1440}, {9, 1500}},
                                         {{10, 1440}, {20, 2881}},
                                         {{10, 1440}, {UINT64_MAX, 1440}}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct model_auth_rule rule = {.name = STR("then"), .zone = bad[i], .n_zone = 2};
        struct model_auth m = {.rules = &rule, .n_rules = 1};
        world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/z"), &m);
        assert_false(world_try(&c->w));
        assert_non_null(strstr(c->w.why.text, "a time that is none"));
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_that_finds_one_decides),
        T(all_of_them_with_two_clocks),
        T(the_clock_jumps),
        T(optional_is_never_wrong),
        T(nothing_is_not_something_wrong),
        T(closed_without),
        T(many_tokens),
        T(keys_of_consumers),
        T(consumers_by_name),
        T(named_without_a_scope),
        T(local_clocks),
        T(hours_that_change),
        T(local_nights_and_days),
        T(zones_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
