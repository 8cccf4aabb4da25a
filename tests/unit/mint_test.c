/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal tokens on the request's way: what they say, when they are signed anew, with which key,
 * and that there is none, and no request, where something is missing. What backends make of them is
 * in tests/e2e/auth-token.
 */
#include "controller/trust/signing.h"
#include "proxy/auth/parts.h"
#include "proxy/route/signing.h"

#include "tests/unit/route_world.h"

enum { NOW = 1800000000, PERIOD = 86400 };

struct court {
    struct world w;
    struct loop loop;
    struct auth_env *env;
    struct signing keys;
    struct jwt_scratch *scratch;
    char token[8192];
};

static int setup(void **state) {
    struct court *c = mem_zalloc(sizeof(*c));
    world_init(&c->w);
    assert_int_equal(loop_init(&c->loop, 1 << 20, 1 << 20), 0);
    c->env = auth_env_new(&c->loop, NULL);
    c->scratch = jwt_scratch_new();
    *state = c;
    return 0;
}

static int teardown(void **state) {
    struct court *c = *state;
    auth_env_free(c->env);
    world_fini(&c->w);
    loop_fini(&c->loop);
    jwt_scratch_free(c->scratch);
    signing_fini(&c->keys);
    mem_free(c);
    return 0;
}

/* ---- what is put ---- */

static void put_signing(struct court *c, int64_t now, uint32_t period_s) {
    signing_renew(&c->keys, now, period_s);
    builder_put(c->w.b, signing_object(&c->keys));
    world_commit(&c->w);
}

static void put_consumer(struct court *c, const char *name, struct str *groups, uint32_t n) {
    struct credential_scratch *s = credential_scratch_new();
    char digest[CREDENTIAL_DIGEST];
    struct model_credential credential = {.type = MODEL_AUTH_API_KEY,
                                          .digest = str_mk(digest, sizeof(digest))};
    struct model_consumer m = {
        .credentials = &credential, .n_credentials = 1, .groups = groups, .n_groups = n};
    credential_digest(s, "apiKey", str_of(name), STR_NONE, digest);
    credential_scratch_free(s);
    world_put(&c->w, MODEL_KIND_consumer, arena_fmt(&c->w.a, "consumer/ns/%s", name), &m);
}

/* One route of host shop.test, for keys of Consumers and for who has none. Each Consumer's key is
 * its name. */
static void put_policy(struct court *c, struct model_identity_token *token) {
    struct str ns = STR("ns");
    struct model_consumer_scope scope = {.namespaces = &ns, .n_namespaces = 1};
    struct model_value_source from = {MODEL_FROM_HEADER, STR("x-api-key"), STR_NONE};
    struct model_auth_method_config list[] = {{.name = STR("key"),
                                               .type = MODEL_AUTH_API_KEY,
                                               .from = &from,
                                               .n_from = 1,
                                               .consumers = &scope},
                                              {.name = STR("open"), .type = MODEL_AUTH_ANONYMOUS}};
    struct model_identity identity = {.token = token};
    struct model_auth p = {
        .methods = list, .n_methods = 2, .any_caller = true, .identity = &identity};
    struct model_route r = {.auth = STR("auth/ns/p")};
    struct str classes = STR("x-auth*");
    struct model_gateway g = {.identity_headers = &classes, .n_identity_headers = 1};
    world_put(&c->w, MODEL_KIND_gateway, STR("gateway/-/blue"), &g);
    put_host(&c->w, "shop.test");
    put_backend(&c->w, "b", "10.0.0.1:80", NULL);
    put_route_as(&c->w, r, "r", "shop.test", PREFIX(""), "b");
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/p"), &p);
    world_commit(&c->w);
}

static struct model_identity_token usual = {.audience = {"shop", 4}};

/* ---- what is asked ---- */

/* key NULL: nobody. The answer must be dropped. */
static struct auth *ask(struct court *c, int64_t now, const char *key) {
    static const uint8_t client[16];
    static struct ask q;
    struct match_result found;
    ask_init(&q, "GET", NULL);
    ask_header(&q, "Authorization", "Basic eDp5");
    if (key)
        ask_header(&q, "X-Api-Key", key);
    struct route_request rq = {.host = STR("shop.test"), .path = STR("/"), .head = &q.head};
    assert_true(snapshot_route(c->w.s, &rq, c->w.scratch, &found));
    struct exchange x = {.snapshot = c->w.s,
                         .request = &q.head,
                         .rule = found.rule,
                         .match = found.match,
                         .host = rq.host,
                         .path = rq.path};
    struct errands none = {0};
    const struct auth_known known = {
        .client = client, .now = now, .errands = &none, .body_whole = true};
    struct auth *a = auth_judge(c->env, &x, &known);
    assert_non_null(a);
    auth_hide(a, &q.head, false);
    unsigned at = 0;
    bool own = head_each(&q.head, STR("authorization"), &at) && !q.head.fields[at - 1].dropped;
    assert_true(own != (!a->refused && a->authorizes));
    return a;
}

/* The token that the backend gets, until the next one. */
static struct str token_as(struct court *c, int64_t now, const char *key, const char *before) {
    struct auth *a = ask(c, now, key);
    if (a->refused)
        fail_msg("%.*s", STR_FMT(a->detail));
    struct str line = a->fields;
    assert_true(str_starts(line, str_of(before)) && line.p[line.n - 1] == '\n');
    line = str_skip(str_mk(line.p, line.n - 2), strlen(before));
    memcpy(c->token, line.p, line.n);
    auth_drop(c->env, a);
    return str_mk(c->token, line.n);
}

static struct str token(struct court *c, int64_t now, const char *key) {
    return token_as(c, now, key, "authorization: Bearer ");
}

/* Verified with what is published; the claims as they are, until the next one. */
static const char *said(struct court *c, struct str text) {
    static char room[8192];
    static struct jwt t;
    struct out o = out_fixed(room, sizeof(room) - 1);
    struct why why = {0};
    struct jwt_keys *keys = jwt_keys_new(c->w.s->signing->jwks, &why);
    assert_non_null(keys);
    assert_int_equal(jwt_read(&t, text, c->scratch, &why), 0);
    if (jwt_verify(&t, keys, JWT_ALG(JWT_ES256), c->scratch, &why) != 0)
        fail_msg("%s", why.text);
    jwt_keys_free(keys);
    claim_json(&t.claims, t.claims.nodes, &o);
    room[o.n] = 0;
    return room;
}

static void refused(struct court *c, const char *key, enum reason reason, const char *detail) {
    struct auth *a = ask(c, NOW, key);
    assert_true(a->refused && a->fields.n == 0);
    assert_int_equal(a->reason, reason);
    if (!str_eq(a->detail, str_of(detail)))
        fail_msg("%.*s", STR_FMT(a->detail));
    auth_drop(c->env, a);
}

/* ---- cases ---- */

static void it_says_who_asks(void **state) {
    struct court *c = *state;
    struct str groups[] = {STR("gold"), STR("a\",\"b")};
    put_consumer(c, "acme", groups, 2);
    put_policy(c, &usual);
    put_signing(c, NOW, PERIOD);
    assert_string_equal(said(c, token(c, NOW, "acme")),
                        "{\"iss\":\"sluice/blue\",\"aud\":\"shop\",\"method\":\"key\","
                        "\"consumer\":\"ns/acme\",\"sub\":\"ns/acme\",\"groups\":[\"gold\","
                        "\"a\\\",\\\"b\"],\"iat\":1800000000,\"exp\":1800000060}");
    assert_string_equal(said(c, token(c, NOW, NULL)),
                        "{\"iss\":\"sluice/blue\",\"aud\":\"shop\",\"method\":\"open\","
                        "\"iat\":1800000000,\"exp\":1800000060}");
    struct str only = STR("sub");
    struct model_identity_token own = {.audience = STR("x"),
                                       .ttl_ms = 5000,
                                       .header = STR("x-auth-t"),
                                       .claims = &only,
                                       .n_claims = 1};
    put_policy(c, &own);
    assert_string_equal(said(c, token_as(c, NOW, "acme", "x-auth-t: ")),
                        "{\"iss\":\"sluice/blue\",\"aud\":\"x\",\"method\":\"key\",\"consumer\":"
                        "\"ns/acme\",\"sub\":\"ns/acme\",\"iat\":1800000000,\"exp\":1800000005}");
}

/* What differs in anything is another one, however its parts are cut. */
static void nobody_gets_that_of_another(void **state) {
    struct court *c = *state;
    struct str groups[][2] = {{STR("ab"), STR("c")}, {STR("a"), STR("bc")}, {STR("abc"), STR("")}};
    char first[8192];
    put_policy(c, &usual);
    put_signing(c, NOW, PERIOD);
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) { /* the same name: another revision of it */
        put_consumer(c, "acme", groups[i], 2);
        world_commit(&c->w);
        struct str t = token(c, NOW, "acme");
        assert_int_equal(mint_count(c->env->mint), i + 1);
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "\"groups\":[\"%.*s\",\"%.*s\"]", STR_FMT(groups[i][0]),
                 STR_FMT(groups[i][1]));
        assert_non_null(strstr(said(c, t), wanted));
    }
    put_consumer(c, "acme", groups[0], 2);
    world_commit(&c->w);
    token(c, NOW, "acme");
    assert_int_equal(mint_count(c->env->mint), 3);
    struct str t = token(c, NOW, NULL);
    memcpy(first, t.p, t.n);
    struct model_identity_token other = usual;
    other.audience = STR("elsewhere");
    put_policy(c, &other);
    assert_non_null(strstr(said(c, token(c, NOW, NULL)), "\"aud\":\"elsewhere\""));
    put_policy(c, &usual);
    assert_true(str_eq(token(c, NOW, NULL), str_mk(first, t.n)));
}

static void it_is_signed_anew_when_half_its_time_is_over(void **state) {
    struct court *c = *state;
    char first[8192];
    put_policy(c, &usual);
    put_signing(c, NOW, PERIOD);
    struct str t = token(c, NOW, NULL);
    memcpy(first, t.p, t.n);
    assert_true(str_eq(token(c, NOW + 30, NULL), str_mk(first, t.n)));
    assert_non_null(strstr(said(c, token(c, NOW + 31, NULL)), "\"exp\":1800000091}"));
    assert_non_null(strstr(said(c, token(c, NOW + 30, NULL)), "\"exp\":1800000090}"));
    assert_non_null(strstr(said(c, token(c, NOW - 9000, NULL)), "\"exp\":1799991060}"));
    assert_int_equal(mint_count(c->env->mint), 1);
}

/* Good for as long as its key is published at least. */
static void it_is_good_for_no_longer_than_a_key_signs(void **state) {
    struct court *c = *state;
    struct model_identity_token hour = {.audience = STR("shop"), .ttl_ms = 3600000};
    put_policy(c, &hour);
    put_signing(c, NOW, 10);
    assert_non_null(strstr(said(c, token(c, NOW, NULL)), "\"exp\":1800000010}"));
    put_signing(c, NOW, PERIOD);
    assert_non_null(strstr(said(c, token(c, NOW, NULL)), "\"exp\":1800003600}"));
}

/* Over ten periods, by a clock that goes back too: whatever is signed is published. */
static void keys_follow_each_other(void **state) {
    struct court *c = *state;
    char kids[64][64] = {""};
    unsigned n = 0;
    put_policy(c, &usual);
    for (int64_t now = NOW; now < NOW + 10 * PERIOD; now += PERIOD / 3) {
        put_signing(c, now, PERIOD);
        static struct jwt t;
        struct why why = {0};
        struct str text = token(c, now, NULL);
        (void)said(c, text);
        assert_int_equal(jwt_read(&t, text, c->scratch, &why), 0);
        if (n == 0 || !str_eq(t.kid, str_of(kids[n - 1])))
            snprintf(kids[n++], sizeof(kids[0]), "%.*s", STR_FMT(t.kid));
    }
    assert_int_equal(n, 10);
    (void)said(c, token(c, NOW - 100 * PERIOD, NULL)); /* the first of those that are known */
}

static void memory_is_bounded(void **state) {
    struct court *c = *state;
    char name[32];
    struct str long_one = str_mk(memset(arena_zalloc(&c->w.a, 3000), 'x', 3000), 3000);
    put_policy(c, &usual);
    for (int i = 0; i < MINTED_MAX + 200; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        put_consumer(c, name, NULL, 0);
    }
    put_signing(c, NOW, PERIOD);
    for (int i = 0; i < MINTED_MAX + 200; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        token(c, NOW, name);
        token(c, NOW, "c0"); /* asked for all the time */
    }
    assert_int_equal(mint_count(c->env->mint), MINTED_MAX);
    for (int i = 0; i < MINTED_MAX; i++) { /* of 8 kB each there are fewer */
        snprintf(name, sizeof(name), "c%d", i);
        put_consumer(c, name, &long_one, 1);
    }
    world_commit(&c->w);
    for (int i = 0; i < 1200; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        token(c, NOW, name);
    }
    assert_in_range(mint_count(c->env->mint), 900, 1150);
}

static void without_something_nobody_passes(void **state) {
    struct court *c = *state;
    struct str big = str_mk(memset(arena_zalloc(&c->w.a, 5000), 'x', 5000), 5000);
    struct model_identity_token other = usual;
    put_consumer(c, "big", &big, 1);
    put_policy(c, &usual);
    refused(c, NULL, REASON_POLICY_UNAVAILABLE, "no key to sign its internal token with is there");
    put_signing(c, NOW, PERIOD);
    token(c, NOW, NULL);
    refused(c, "big", REASON_FORBIDDEN,
            "what its internal token would say is too long, or a scope has a space in it");
    other.header = STR("x-other");
    put_policy(c, &other);
    refused(c, NULL, REASON_POLICY_UNAVAILABLE,
            "the header of its internal token is none of this gateway's identity headers, so "
            "clients could set it as well");
    builder_del(c->w.b, STR(SIGNING_KEYS_ID));
    put_policy(c, &usual);
    refused(c, NULL, REASON_POLICY_UNAVAILABLE, "no key to sign its internal token with is there");
}

/* What is published is public, and a key that is none changes nothing. */
static void what_is_published(void **state) {
    struct court *c = *state;
    put_policy(c, &usual);
    put_signing(c, NOW, PERIOD);
    const struct signing_law *s = c->w.s->signing;
    char text[4096];
    snprintf(text, sizeof(text), "%.*s", STR_FMT(s->jwks));
    assert_int_equal(s->n, 2);
    assert_null(strstr(text, "\"d\""));
    assert_true(str_eq(s->caching, STR("cache-control: public, max-age=300\r\n")));
    assert_true(signing_law_now(s, NOW) == s->keys[0].signer);
    assert_true(signing_law_now(s, NOW + PERIOD - 1) == s->keys[0].signer);
    assert_true(signing_law_now(s, NOW + PERIOD) == s->keys[1].signer);
    assert_true(signing_law_now(s, NOW - 1) == s->keys[0].signer);
    struct out ed = out_heap(1024);
    jwt_make_key(JWT_EDDSA, &ed);
    struct model_signing_key bad[] = {{1, out_done(&ed)}, {1, STR("nonsense")}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct model_signing_keys m = {.keys = &bad[i], .n_keys = 1, .period_s = 60};
        world_put(&c->w, MODEL_KIND_signing_keys, STR(SIGNING_KEYS_ID), &m);
        assert_false(world_try(&c->w));
    }
    out_fini(&ed);
    assert_ptr_equal(c->w.s->signing, s);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(it_says_who_asks),
        T(nobody_gets_that_of_another),
        T(it_is_signed_anew_when_half_its_time_is_over),
        T(it_is_good_for_no_longer_than_a_key_signs),
        T(keys_follow_each_other),
        T(memory_is_bounded),
        T(without_something_nobody_passes),
        T(what_is_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
