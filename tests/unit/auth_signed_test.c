/* SPDX-License-Identifier: Apache-2.0
 *
 * What a Consumer signs with its own secret, before a policy: requests in the form of RFC 9421 and
 * of Kong's plugin, and tokens with HS256. Signatures and tokens were made with another
 * implementation. Their forms have tests of their own (signature_test, kong_hmac_test, jwt_test).
 */
#include "proxy/auth/auth.h"

#include "tests/unit/head_world.h"
#include "tests/unit/route_world.h"

enum { NOW = 1800000000 };

struct court {
    struct world w;
    struct loop loop;
    struct auth_env *env;
    struct credential_scratch *digests;
    struct auth *last; /* the answer */
};

static int setup(void **state) {
    struct court *c = mem_zalloc(sizeof(*c));
    world_init(&c->w);
    assert_int_equal(loop_init(&c->loop, 1 << 20, 1 << 20), 0);
    c->env = auth_env_new(&c->loop, NULL);
    c->digests = credential_scratch_new();
    *state = c;
    return 0;
}

static int teardown(void **state) {
    struct court *c = *state;
    auth_drop(c->env, c->last);
    auth_env_free(c->env);
    world_fini(&c->w);
    loop_fini(&c->loop);
    credential_scratch_free(c->digests);
    mem_free(c);
    return 0;
}

/* ---- what is put ---- */

static struct str ns[] = {{"ns", 2}, {"other", 5}};
static struct model_consumer_scope everybody = {ns, 2, NULL, 0};
static struct str sha256[] = {{"hmac-sha256", 11}};
static struct str with_sha1[] = {{"hmac-sha256", 11}, {"hmac-sha1", 9}};
static struct str usual[] = {{"@method", 7}, {"@authority", 10}, {"@path", 5}, {"@query", 6}};
static struct str request_line[] = {{"request-line", 12}};

static struct model_auth_hmac messages(void) {
    return (struct model_auth_hmac){.profile = MODEL_HMAC_MESSAGE,
                                    .algorithms = sha256,
                                    .n_algorithms = 1,
                                    .components = usual,
                                    .n_components = ARRAY_LEN(usual)};
}

static struct model_auth_hmac kong(void) {
    return (struct model_auth_hmac){.profile = MODEL_HMAC_KONG,
                                    .algorithms = sha256,
                                    .n_algorithms = 1,
                                    .components = request_line,
                                    .n_components = 1};
}

static struct model_auth_method_config signed_by(struct model_auth_hmac *h) {
    return (struct model_auth_method_config){
        .name = STR("signed"), .type = MODEL_AUTH_HMAC, .hmac = h, .consumers = &everybody};
}

static bool try_policy(struct court *c, struct model_auth_method_config *list, uint32_t n) {
    struct model_route r = {.auth = STR("auth/ns/p")};
    struct model_auth p = {.methods = list, .n_methods = n, .any_caller = true};
    put_host(&c->w, "shop.test");
    put_backend(&c->w, "b", "10.0.0.1:80", NULL);
    put_route_as(&c->w, r, "r", "shop.test", PREFIX(""), "b");
    world_put(&c->w, MODEL_KIND_auth, STR("auth/ns/p"), &p);
    return world_try(&c->w);
}

static void put_policy(struct court *c, struct model_auth_method_config *list, uint32_t n) {
    if (!try_policy(c, list, n))
        fail_msg("%s", c->w.why.text);
}

static void put_consumer(struct court *c, const char *id, struct model_credential credential,
                         const char *word, const char *a, const char *b) {
    char digest[CREDENTIAL_DIGEST];
    struct model_consumer m = {.credentials = &credential, .n_credentials = 1};
    credential.digest = str_mk(digest, sizeof(digest));
    credential_digest(c->digests, word, str_of(a), str_of(b), digest);
    world_put(&c->w, MODEL_KIND_consumer, arena_fmt(&c->w.a, "consumer/%s", id), &m);
    world_commit(&c->w);
}

static void put_signer(struct court *c, const char *id, const char *namespace, const char *keyid,
                       const char *secret) {
    put_consumer(c, id,
                 (struct model_credential){.type = MODEL_AUTH_HMAC, .secret = str_of(secret)},
                 "hmac", namespace, keyid);
}

static void put_teller(struct court *c, const char *id, const char *where, const char *key,
                       const char *algorithm, const char *secret) {
    put_consumer(c, id,
                 (struct model_credential){.type = MODEL_AUTH_JWT,
                                           .algorithm = str_of(algorithm),
                                           .secret = str_of(secret)},
                 CREDENTIAL_JWT_SECRET, where, key);
}

/* ---- what is asked ---- */

static const uint8_t client[16] = {0};

static struct auth *judge(struct court *c, const char *text, struct auth_known known) {
    const struct head *h = head_of(text);
    struct errands none = {0};
    struct match_result found;
    struct route_request rq = {.host = STR("shop.test"), .path = STR("/"), .head = h};
    assert_true(snapshot_route(c->w.s, &rq, c->w.scratch, &found));
    const struct exchange x = {.snapshot = c->w.s,
                               .request = h,
                               .rule = found.rule,
                               .match = found.match,
                               .host = rq.host,
                               .path = rq.path};
    known.client = client;
    known.errands = &none;
    auth_drop(c->env, c->last);
    c->last = auth_judge(c->env, &x, &known);
    assert_non_null(c->last);
    return c->last;
}

static void expect(const struct auth *a, enum reason reason, const char *about) {
    char text[512];
    snprintf(text, sizeof(text), "%.*s", STR_FMT(a->detail));
    if (a->reason != reason || strstr(text, about) == NULL)
        fail_msg("reason %d: %s, expected %d: %s", a->reason, text, reason, about);
    assert_int_equal(a->refused, reason != REASON_NONE);
    assert_false(a->waits);
}

static void is(const struct auth *a, const char *consumer) {
    expect(a, REASON_NONE, "");
    if (!str_eq(a->consumer, str_of(consumer)))
        fail_msg("it is %.*s", STR_FMT(a->consumer));
}

static struct auth *ask_at(struct court *c, const char *text, int64_t now) {
    return judge(c, text, (struct auth_known){.now = now, .body_whole = true});
}
static struct auth *ask_now(struct court *c, const char *text) { return ask_at(c, text, NOW); }
static void refused(struct court *c, const char *text, const char *about) {
    expect(ask_now(c, text), REASON_UNAUTHENTICATED, about);
}

/* ---- RFC 9421 ---- */

#define SECRET "a secret that is long enough"
#define COVERS "(\"@method\" \"@authority\" \"@path\" \"@query\")"
#define SIGNED(covers, tag)                                                                        \
    "Signature-Input: a=" covers ";created=1800000000;keyid=\"acme\"\n"                            \
    "Signature: a=:" tag ":\n"
#define HEAD(target) "GET " target " HTTP/1.1\nHost: shop.test\n"
#define TAG          "y/EB1j2CAQrHnPivP/x41Fd5/48hUvll8Lz7gk6tWdw="
#define GOOD         HEAD("/a?b=1") SIGNED(COVERS, TAG)
#define TAG512                                                                                     \
    "sTWuOEUDyeuq5qJYFNuKP361yaQaN0W0R2uakoZxX0YM3eoRWjEQj/6uACCZ6BXLJUOkI15nCUB5aS47diJklQ=="

static void a_message_that_is_signed(void **state) {
    struct court *c = *state;
    struct model_auth_hmac h = messages();
    struct model_auth_method_config list[] = {signed_by(&h)};
    put_signer(c, "ns/acme", "ns", "acme", SECRET);
    put_policy(c, list, 1);
    is(ask_now(c, GOOD), "ns/acme");
    assert_true(str_eq(c->last->method, STR("signed")));
    assert_int_equal(c->last->n_shown, 2); /* both fields are taken away */
    assert_false(c->last->kept[0] || c->last->kept[1]);
    refused(c, HEAD("/a?b=1"), "no credential");
    assert_true(str_eq(
        c->last->challenge,
        STR("www-authenticate: Signature realm=\"ns/p\"\r\n"
            "accept-signature: sig1=(\"@method\" \"@authority\" \"@path\" \"@query\");created;"
            "alg=\"hmac-sha256\"\r\n")));
    /* another request, another time, another name */
    refused(c, HEAD("/a?b=2") SIGNED(COVERS, TAG), "the signature does not match");
    refused(c, HEAD("/A?b=1") SIGNED(COVERS, TAG), "the signature does not match");
    refused(c, HEAD("/a?b=1") SIGNED("(\"@method\" \"@authority\" \"@path\")", TAG),
            "that the policy asks for is not signed");
    refused(c,
            HEAD("/a?b=1") "Signature-Input: a=" COVERS ";keyid=\"acme\"\nSignature: a=:" TAG ":\n",
            "created is missing");
    refused(c,
            HEAD("/a?b=1") "Signature-Input: a=" COVERS
                           ";created=1800000000;keyid=\"acm\"\nSignature: a=:" TAG ":\n",
            "no Consumer that counts here");
    expect(ask_at(c, GOOD, NOW + 301), REASON_UNAUTHENTICATED, "created is too long ago");
    expect(ask_at(c, GOOD, NOW - 301), REASON_UNAUTHENTICATED, "created lies in the future");
    is(ask_at(c, GOOD, NOW + 300), "ns/acme");
    refused(c, HEAD("/a?b=1") "Signature-Input: a=(\nSignature: a=:" TAG ":\n", "not a dictionary");
}

/* A secret is for the algorithms of the policy, whatever the message would like. */
static void algorithms_of_messages(void **state) {
    struct court *c = *state;
    static struct str sha512[] = {{"hmac-sha512", 11}};
    struct model_auth_hmac h = messages();
    struct model_auth_method_config list[] = {signed_by(&h)};
    put_signer(c, "ns/acme", "ns", "acme", SECRET);
    put_policy(c, list, 1);
    refused(c, HEAD("/a?b=1") SIGNED(COVERS, TAG512), "its algorithm is none that the policy");
    h.algorithms = sha512;
    put_policy(c, list, 1);
    is(ask_now(c, HEAD("/a?b=1") SIGNED(COVERS, TAG512)), "ns/acme");
    refused(c, GOOD, "its algorithm is none that the policy");
    h.algorithms = with_sha1, h.n_algorithms = 2;
    assert_false(try_policy(c, list, 1) && c->w.n_bad == 0);
    assert_non_null(strstr(c->w.why.text, "for the profile Kong alone"));
}

/* Under a second is a second, never no limit. */
static void a_short_time(void **state) {
    struct court *c = *state;
    struct model_auth_hmac h = messages();
    struct model_auth_method_config list[] = {signed_by(&h)};
    h.clock_skew_ms = 1;
    put_signer(c, "ns/acme", "ns", "acme", SECRET);
    put_policy(c, list, 1);
    is(ask_at(c, GOOD, NOW + 1), "ns/acme");
    expect(ask_at(c, GOOD, NOW + 2), REASON_UNAUTHENTICATED, "created is too long ago");
}

/* Of one name in two namespaces the one whose secret it was; of two in one namespace nobody. */
static void one_name_in_two_namespaces(void **state) {
    struct court *c = *state;
    struct model_auth_hmac h = messages();
    struct model_auth_method_config list[] = {signed_by(&h)};
    put_signer(c, "ns/acme", "ns", "acme", SECRET);
    put_signer(c, "other/acme", "other", "acme", "another secret, long enough");
    put_signer(c, "third/acme", "third", "acme", SECRET); /* does not count here */
    put_policy(c, list, 1);
    is(ask_now(c, GOOD), "ns/acme");
    is(ask_now(c, HEAD("/a?b=1") SIGNED(COVERS, "msFoH/o/arIiKgy9/N3fsky7HEGlDdCKPIyGvIFgWIE=")),
       "other/acme");
    put_signer(c, "ns/thief", "ns", "acme", SECRET);
    refused(c, GOOD, "the signature does not match"); /* of other/acme, who alone has the name */
    builder_del(c->w.b, STR("consumer/other/acme"));
    world_commit(&c->w);
    refused(c, GOOD, "no Consumer that counts here");
    builder_del(c->w.b, STR("consumer/ns/thief"));
    world_commit(&c->w);
    is(ask_now(c, GOOD), "ns/acme");
}

/* What is wrong never becomes nothing; what is signed for somebody else is nothing. */
static void beside_anonymous(void **state) {
    struct court *c = *state;
    struct model_auth_hmac h = messages();
    struct model_auth_method_config list[] = {signed_by(&h),
                                              {.name = STR("open"), .type = MODEL_AUTH_ANONYMOUS}};
    put_signer(c, "ns/acme", "ns", "acme", SECRET);
    put_policy(c, list, 2);
    is(ask_now(c, HEAD("/")), "");
    is(ask_now(c, GOOD), "ns/acme");
    refused(c, HEAD("/a?b=2") SIGNED(COVERS, TAG), "the signature does not match");
    h.tag = STR("ours");
    put_policy(c, list, 2);
    is(ask_now(c, GOOD), "");
}

/* ---- bodies ---- */

#define DIGEST "5dX3wdIl/WsTYj67G1udB1xwVln4GGix43AFoJI7A0Y="
#define BODY   "{\"n\": 1}"
#define POST                                                                                       \
    "POST /a HTTP/1.1\nHost: shop.test\nContent-Length: 8\nContent-Digest: sha-256=:" DIGEST       \
    ":\n" SIGNED("(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\")",           \
                 "gDpQr9zokXsCrdr+13pISNUX2Ci+lp/S+YSGo0zgjwY=")

static struct auth *ask_with(struct court *c, const char *text, const char *body, bool over) {
    return judge(c, text,
                 (struct auth_known){
                     .now = NOW, .body = str_of(body), .body_whole = !over, .body_over = over});
}

static void bodies_that_are_signed(void **state) {
    struct court *c = *state;
    struct model_auth_hmac h = messages();
    struct model_auth_method_config list[] = {signed_by(&h)};
    put_signer(c, "ns/acme", "ns", "acme", SECRET);
    h.digest = MODEL_DIGEST_REQUIRE;
    put_policy(c, list, 1);
    const struct auth *a = judge(c, POST, (struct auth_known){.now = NOW});
    assert_true(a->waits && a->wants_body == 1 << 20); /* nothing is decided before it is there */
    is(ask_with(c, POST, BODY, false), "ns/acme");
    expect(ask_with(c, POST, "{\"n\": 2}", false), REASON_UNAUTHENTICATED,
           "the digest is not that of the body");
    expect(ask_with(c, POST, "", false), REASON_UNAUTHENTICATED, "not that of the body");
    expect(ask_with(c, POST, "", true), REASON_BODY_TOO_LARGE, "larger than the policy looks at");
    refused(
        c,
        "POST /a?b=1 HTTP/1.1\nHost: shop.test\nContent-Length: 8\nContent-Digest: sha-256=:" DIGEST
        ":\n" SIGNED(COVERS, TAG),
        "there is a body, and content-digest is not signed");
    is(ask_now(c, GOOD), "ns/acme"); /* there is no body */
    h.digest = MODEL_DIGEST_IGNORE;
    put_policy(c, list, 1);
    is(ask_with(c, POST, "{\"n\": 2}", false), "ns/acme");
}

/* What nobody has signed is not read: a body costs its time only with a good signature. */
static void bodies_are_read_for_signers(void **state) {
    struct court *c = *state;
    struct model_auth_hmac h = messages();
    struct model_auth_method_config list[] = {signed_by(&h)};
    put_signer(c, "ns/acme", "ns", "acme", "another secret, long enough");
    put_policy(c, list, 1);
    expect(judge(c, POST, (struct auth_known){.now = NOW}), REASON_UNAUTHENTICATED,
           "the signature does not match");
}

/* ---- Kong's ---- */

#define DATE "Date: Fri, 15 Jan 2027 08:00:00 GMT\n"
#define KONG(algorithm, names, tag)                                                                \
    DATE "Authorization: HMAC username=\"acme\", algorithm=\"" algorithm "\", headers=\"" names    \
         "\", signature=\"" tag "\"\n"
#define KONG_TAG "v148LF8IQYE/nuMiyX10uxoAw6bvWj34srVh7p8PaYc="

static void a_client_of_kong(void **state) {
    struct court *c = *state;
    struct model_auth_hmac h = kong();
    struct model_auth_method_config list[] = {signed_by(&h)};
    const char *good = HEAD("/a?b=1") KONG("hmac-sha256", "date request-line", KONG_TAG);
    const char *sha1 =
        HEAD("/a?b=1") KONG("hmac-sha1", "date request-line", "srQ20fYz41v0Dzhc8r2HlJIaV04=");
    put_signer(c, "ns/acme", "ns", "acme", SECRET);
    put_policy(c, list, 1);
    is(ask_now(c, good), "ns/acme");
    assert_int_equal(c->last->n_shown, 1);
    refused(c, HEAD("/a?b=2") KONG("hmac-sha256", "date request-line", KONG_TAG), "does not match");
    refused(c, HEAD("/a") KONG("hmac-sha256", "date request-line", KONG_TAG), "does not match");
    refused(c,
            HEAD("/a?b=1")
                KONG("hmac-sha256", "date", "j0OlyFAjdq104XOEUuv8sF0P3eL3XIyO/RWsq5ecXzs="),
            "a field that the policy asks for is not signed");
    refused(c, HEAD("/a?b=1"), "no credential");
    assert_true(str_eq(c->last->challenge, STR("www-authenticate: hmac realm=\"ns/p\"\r\n")));
    expect(ask_at(c, good, NOW + 301), REASON_UNAUTHENTICATED, "too far from now");
    refused(c, HEAD("/a?b=1") "Authorization: Basic eA==\n", "no credential");
    refused(c, sha1, "the algorithm is not one that the policy takes");
    h.algorithms = with_sha1, h.n_algorithms = 2;
    put_policy(c, list, 1);
    is(ask_now(c, sha1), "ns/acme");
}

static void a_body_for_kong(void **state) {
    struct court *c = *state;
    struct model_auth_hmac h = kong();
    struct model_auth_method_config list[] = {signed_by(&h)};
    const char *post =
        "POST /a HTTP/1.1\nHost: shop.test\nContent-Length: 8\nDigest: SHA-256=" DIGEST
        "\n" KONG("hmac-sha256", "date request-line digest",
                  "oIsTzvKcG1mpuJ4kYBOiJGPX8ox1lCWCtD5M2hyAK1I=");
    put_signer(c, "ns/acme", "ns", "acme", SECRET);
    h.digest = MODEL_DIGEST_REQUIRE;
    put_policy(c, list, 1);
    is(ask_with(c, post, BODY, false), "ns/acme");
    expect(ask_with(c, post, "{\"n\": 2}", false), REASON_UNAUTHENTICATED, "not that of the body");
}

/* ---- tokens ---- */

#define KEY "0123456789abcdef0123456789abcdef"
#define HS  "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFjbWUtMSIsInR5cCI6IkpXVCJ9."
#define BOTH                                                                                       \
    HS "eyJzdWIiOiJqb2UiLCJleHAiOjE4MDAwMDA2MDAsImlzcyI6Im9uZSJ9."                                 \
       "Ep1t4SZPljzLdSNULUgbI-sPLx8JXiquvAmHfXXqDng" /* iss one, kid acme-1 */
#define NO_ISSUER                                                                                  \
    HS "eyJzdWIiOiJqb2UiLCJleHAiOjE4MDAwMDA2MDB9.qoNwDENtY9xedLGXkjSUMsrwvVnt6rTYRkIjeUjB1k4"
#define OTHER_KEY                                                                                  \
    HS "eyJzdWIiOiJqb2UiLCJleHAiOjE4MDAwMDA2MDAsImlzcyI6Im9uZSJ9."                                 \
       "Mo9SJxwJ-cWBxnXn0jX4L6M7TsIJ1kv9BzD791QlUOk"
#define NOBODYS /* kid nobody */                                                                   \
    "eyJhbGciOiJIUzI1NiIsImtpZCI6Im5vYm9keSIsInR5cCI6IkpXVCJ9."                                    \
    "eyJzdWIiOiJqb2UiLCJleHAiOjE4MDAwMDA2MDAsImlzcyI6Im9uZSJ9."                                    \
    "a8HVRSk2T_4c7KOw66BKb0x_bvKlfSMpOFSFbVjlPL4"
#define BY_512 /* signed with KEY twice */                                                         \
    "eyJhbGciOiJIUzUxMiIsImtpZCI6ImFjbWUtMSIsInR5cCI6IkpXVCJ9."                                    \
    "eyJzdWIiOiJqb2UiLCJleHAiOjE4MDAwMDA2MDAsImlzcyI6Im9uZSJ9."                                    \
    "fpVb54EuNgS_OuI155RYYBFmqrJyeYReDvFjuVVyKlk8VLDlo7-K1CY2mPXfMbD4jUVs7kHCm6PN0RbYG3pE9w"
#define WITH(token) HEAD("/") "Authorization: Bearer " token "\n"

static struct str hs[] = {{"HS256", 5}, {"HS512", 5}};
static struct model_value_source bearer = {
    MODEL_FROM_HEADER, {"authorization", 13}, {"Bearer ", 7}};

static struct model_auth_jwt issuer(const char *name) {
    return (struct model_auth_jwt){
        .issuer = str_of(name), .algorithms = hs, .n_algorithms = ARRAY_LEN(hs)};
}

static struct model_auth_method_config tokens_of(struct model_auth_jwt *jwt,
                                                 struct model_consumer_scope *scope) {
    return (struct model_auth_method_config){.name = jwt->issuer,
                                             .type = MODEL_AUTH_JWT,
                                             .jwt = jwt,
                                             .from = &bearer,
                                             .n_from = 1,
                                             .consumers = scope};
}

static void a_token_by_a_secret(void **state) {
    struct court *c = *state;
    struct model_auth_jwt one = issuer("one");
    struct model_auth_method_config list[] = {tokens_of(&one, &everybody)};
    put_teller(c, "ns/acme", "ns/kid", "acme-1", "HS256", KEY);
    put_policy(c, list, 1);
    for (int i = 0; i < 3; i++) {
        is(ask_now(c, WITH(BOTH)), "ns/acme");
        assert_true(str_eq(c->last->subject, STR("joe")));
    }
    assert_int_equal(auth_counts(c->env)->verified, 1);
    assert_int_equal(auth_counts(c->env)->seen, 2);
    is(ask_now(c, WITH(NO_ISSUER)), "ns/acme");
    refused(c, WITH(OTHER_KEY), "");
    refused(c, WITH(NOBODYS), "no Consumer that counts here has the key that it names");
    expect(ask_at(c, WITH(BOTH), NOW + 700), REASON_UNAUTHENTICATED, "expired");
}

/* RFC 8725 3.1: the key says which algorithm, the token can only agree. */
static void a_secret_is_for_one_algorithm(void **state) {
    struct court *c = *state;
    struct model_auth_jwt one = issuer("one");
    struct model_auth_method_config list[] = {tokens_of(&one, &everybody)};
    put_teller(c, "ns/acme", "ns/kid", "acme-1", "HS256", KEY KEY);
    put_policy(c, list, 1);
    refused(c, WITH(BY_512), "");
    put_teller(c, "ns/acme", "ns/kid", "acme-1", "HS512", KEY KEY);
    is(ask_now(c, WITH(BY_512)), "ns/acme");
    put_teller(c, "ns/acme", "ns/kid", "acme-1", "HS512", KEY KEY KEY);
    refused(c, WITH(BY_512), ""); /* though it was seen before */
    put_teller(c, "ns/acme", "ns/kid", "acme-1", "ES256", KEY KEY);
    refused(c, WITH(BY_512), "");
    hs[1] = STR("HS384");
    put_teller(c, "ns/acme", "ns/kid", "acme-1", "HS512", KEY KEY);
    put_policy(c, list, 1);
    refused(c, WITH(BY_512), "its algorithm is none that the policy accepts");
    hs[1] = STR("HS512");
}

/* A token counts as long as its Consumer does, and before methods for which it does. */
static void a_token_goes_with_its_consumer(void **state) {
    struct court *c = *state;
    struct model_auth_jwt one = issuer("one"), two = issuer("one");
    struct model_consumer_scope elsewhere = {ns + 1, 1, NULL, 0};
    struct model_auth_method_config here[] = {tokens_of(&one, &everybody)};
    struct model_auth_method_config there[] = {tokens_of(&one, &elsewhere)};
    struct model_auth_method_config alone[] = {tokens_of(&two, NULL)};
    put_teller(c, "ns/acme", "ns/kid", "acme-1", "HS256", KEY);
    put_policy(c, here, 1);
    is(ask_now(c, WITH(BOTH)), "ns/acme");
    put_policy(c, there, 1);
    refused(c, WITH(BOTH), "no Consumer that counts here");
    put_policy(c, alone, 1); /* where there are no Consumers */
    refused(c, WITH(BOTH), "no Consumer that counts here");
    put_policy(c, here, 1);
    is(ask_now(c, WITH(BOTH)), "ns/acme");
    builder_del(c->w.b, STR("consumer/ns/acme"));
    world_commit(&c->w);
    refused(c, WITH(BOTH), "no Consumer that counts here");
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_message_that_is_signed),
        T(algorithms_of_messages),
        T(a_short_time),
        T(one_name_in_two_namespaces),
        T(beside_anonymous),
        T(bodies_that_are_signed),
        T(bodies_are_read_for_signers),
        T(a_client_of_kong),
        T(a_body_for_kong),
        T(a_token_by_a_secret),
        T(a_secret_is_for_one_algorithm),
        T(a_token_goes_with_its_consumer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
