/* SPDX-License-Identifier: Apache-2.0
 *
 * Kong's hmac-auth: the request of its documentation and others, what is signed line by line, and
 * where this is stricter. Signatures were made with another implementation of HMAC.
 */
#include "proxy/http/kong_hmac.h"
#include "tests/unit/head_world.h"

enum { NOW = 1498151721 }; /* Thu, 22 Jun 2017 17:15:21 GMT */
#define DATE   "Thu, 22 Jun 2017 17:15:21 GMT"
#define DIGEST "SHA-256=SBH7QEtqnYUpEcIhDbmStNd1MxtHg2+feBfWc1105MA="
#define HMAC(algorithm, names, tag)                                                                \
    "Authorization: hmac username=\"alice123\", algorithm=\"" algorithm "\", headers=\"" names     \
    "\", signature=\"" tag "\"\n"
#define TAG256 "ujWCGHeec9Xd6UD2zlyxiNMCiXnDOWeVFMu5VeRUxtw="
#define GOOD                                                                                       \
    "GET /requests HTTP/1.1\nHost: hmac.com\nDate: " DATE                                          \
    "\n" HMAC("hmac-sha256", "date request-line", TAG256)

static struct mac_scratch *macs;
static const struct kong_hmac_rules usual = {
    .macs = 1U << MAC_SHA256 | 1U << MAC_SHA384 | 1U << MAC_SHA512, .skew_s = 300};

static enum kong_hmac_found read_with(struct kong_hmac *k, const char *text,
                                      const struct kong_hmac_rules *rules, int64_t now,
                                      const char **detail) {
    *detail = NULL;
    enum kong_hmac_found found = kong_hmac_read(k, head_of(text), rules, now, detail);
    assert_int_equal(*detail != NULL, found == KONG_HMAC_BAD);
    return found;
}

static bool verifies(const char *text, const struct kong_hmac_rules *rules, const char *version) {
    struct kong_hmac k;
    const char *detail;
    const struct head *h = head_of(text);
    if (read_with(&k, text, rules, NOW, &detail) != KONG_HMAC_READ)
        fail_msg("%s: %s", text, detail != NULL ? detail : "none");
    return kong_hmac_verify(&k, h, str_of(version), STR("secret"), macs, &detail);
}

static void refused(const char *text, const struct kong_hmac_rules *rules, const char *why) {
    struct kong_hmac k;
    const char *detail;
    if (read_with(&k, text, rules, NOW, &detail) != KONG_HMAC_BAD || strstr(detail, why) == NULL)
        fail_msg("%s: %s", text, detail != NULL ? detail : "not refused");
}

static void the_documented_request_and_one_with_a_body(void **state) {
    (void)state;
    struct kong_hmac k;
    const char *detail;
    assert_true(verifies(GOOD, &usual, "1.1"));
    assert_int_equal(read_with(&k, GOOD, &usual, NOW, &detail), KONG_HMAC_READ);
    assert_true(str_eq(k.username, STR("alice123")));
    assert_int_equal(k.mac, MAC_SHA256);
    assert_false(k.covers_digest);
    assert_true(verifies("POST /requests HTTP/1.1\nHost: hmac.com\nContent-Length: 12\nDate: " DATE
                         "\nDigest: " DIGEST
                         "\n" HMAC("hmac-sha256", "date request-line digest",
                                   "2IOlObY2eiTyooBKQt8BKRVbZwufjFFBTThpjWryuYc="),
                         &usual, "1.1"));
}

static void everything_that_can_be_signed(void **state) {
    (void)state;
    char room[512];
    struct out o = out_fixed(room, sizeof(room));
    struct kong_hmac k;
    const char *detail;
    const char *text =
        "GET /requests?a=%20b HTTP/1.1\nHost: Kong.example:8000\nx-date: " DATE
        "\n" HMAC("hmac-sha512", "X-Date @request-target x-none Host",
                  "PEEvAVl7rFWSGRmWUjHJd2wnrFeTQHTHcFjcQI6eToNA9vT6WKo2xcSqIHw62slMT/"
                  "vvNpGOCaQQSnbN9rilUA==");
    assert_true(verifies(text, &usual, "1.1"));
    assert_int_equal(read_with(&k, text, &usual, NOW, &detail), KONG_HMAC_READ);
    assert_true(kong_hmac_text(&k, head_of(text), STR("1.1"), &o));
    assert_true(str_eq(out_done(&o), STR("X-Date: " DATE "\n@request-target: get /requests?a=%20b"
                                         "\nx-none:\nHost: Kong.example:8000")));
    o = out_fixed(room, 100);
    assert_false(kong_hmac_text(&k, head_of(text), STR("1.1"), &o));
}

static void another_request_does_not_match(void **state) {
    (void)state;
    assert_false(verifies(GOOD, &usual, "2.0"));
    assert_false(verifies("POST /requests HTTP/1.1\nHost: hmac.com\nDate: " DATE
                          "\n" HMAC("hmac-sha256", "date request-line", TAG256),
                          &usual, "1.1"));
    assert_false(verifies("GET /requests? HTTP/1.1\nHost: hmac.com\nDate: " DATE
                          "\n" HMAC("hmac-sha256", "date request-line", TAG256),
                          &usual, "1.1"));
    assert_false(verifies("GET /requests?x HTTP/1.1\nHost: hmac.com\nDate: " DATE
                          "\n" HMAC("hmac-sha256", "date request-line", TAG256),
                          &usual, "1.1"));
    assert_false(verifies("GET /requests HTTP/1.1\nHost: hmac.com\nDate: " DATE
                          "\n" HMAC("hmac-sha256", "request-line date", TAG256),
                          &usual, "1.1"));
    assert_false(
        verifies("GET /requests HTTP/1.1\nHost: hmac.com\nDate: Thu, 22 Jun 2017 17:15:22 GMT"
                 "\n" HMAC("hmac-sha256", "date request-line", TAG256),
                 &usual, "1.1"));
    /* a field that is called so takes the place of the request line, as in Kong */
    assert_false(verifies("GET /requests HTTP/1.1\nHost: hmac.com\nrequest-line: x\nDate: " DATE
                          "\n" HMAC("hmac-sha256", "date request-line", TAG256),
                          &usual, "1.1"));
}

static void algorithms(void **state) {
    (void)state;
    const char *sha1 = "GET /requests HTTP/1.1\nHost: hmac.com\nDate: " DATE
                       "\n" HMAC("hmac-sha1", "date request-line", "n/6dQlk7VmcTc7VcqqBq2dxXjb4=");
    struct kong_hmac_rules old = usual;
    old.macs |= 1U << MAC_SHA1;
    assert_true(verifies(sha1, &old, "1.1"));
    refused(sha1, &usual, "not one that the policy takes");
    refused("GET / HTTP/1.1\nHost: a\nDate: " DATE "\n" HMAC("none", "date", TAG256), &usual,
            "not one that the policy takes");
    refused("GET / HTTP/1.1\nHost: a\nDate: " DATE "\n" HMAC("hmac-sha512", "date", TAG256), &usual,
            "as many bytes as its algorithm makes");
}

static void time_must_be_signed_and_near(void **state) {
    (void)state;
    struct kong_hmac k;
    const char *detail;
    assert_int_equal(read_with(&k, GOOD, &usual, NOW + 300, &detail), KONG_HMAC_READ);
    assert_int_equal(read_with(&k, GOOD, &usual, NOW + 301, &detail), KONG_HMAC_BAD);
    assert_int_equal(read_with(&k, GOOD, &usual, NOW - 300, &detail), KONG_HMAC_READ);
    assert_int_equal(read_with(&k, GOOD, &usual, NOW - 301, &detail), KONG_HMAC_BAD);
    const char *line = HMAC("hmac-sha256", "request-line", TAG256);
    char text[1024];
    snprintf(text, sizeof(text), "GET / HTTP/1.1\nHost: a\nDate: " DATE "\n%s", line);
    refused(text, &usual, "no X-Date or Date that is signed");
    line = HMAC("hmac-sha256", "x-date", TAG256);
    snprintf(text, sizeof(text), "GET / HTTP/1.1\nHost: a\nDate: " DATE "\n%s", line);
    refused(text, &usual, "no X-Date or Date that is signed");
    snprintf(text, sizeof(text), "GET / HTTP/1.1\nHost: a\nX-Date: 2017-06-22\n%s", line);
    refused(text, &usual, "not a date of RFC 9110");
    /* an X-Date that nobody signed changes nothing */
    line = HMAC("hmac-sha256", "date request-line", TAG256);
    snprintf(text, sizeof(text), "GET /requests HTTP/1.1\nHost: a\nX-Date: x\nDate: " DATE "\n%s",
             line);
    assert_true(verifies(text, &usual, "1.1"));
}

static void what_the_policy_asks_for(void **state) {
    (void)state;
    const struct str names[] = {STR("date"), STR("host")};
    struct kong_hmac_rules rules = usual;
    rules.names = names;
    rules.n_names = 1;
    assert_true(verifies(GOOD, &rules, "1.1"));
    rules.n_names = 2;
    refused(GOOD, &rules, "a field that the policy asks for is not signed");
    rules = usual;
    rules.body = true;
    assert_true(verifies(GOOD, &rules, "1.1"));
    refused("POST / HTTP/1.1\nHost: a\nContent-Length: 1\nDate: " DATE "\nDigest: " DIGEST
            "\n" HMAC("hmac-sha256", "date", TAG256),
            &rules, "no Digest of it is signed");
    refused("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nDate: " DATE
            "\n" HMAC("hmac-sha256", "date digest", TAG256),
            &rules, "no Digest of it is signed");
}

static void a_field_twice(void **state) {
    (void)state;
    refused("GET / HTTP/1.1\nHost: a\nDate: " DATE
            "\nX-A: 1\nX-A: 2\n" HMAC("hmac-sha256", "date x-a", TAG256),
            &usual, "more than once");
    refused("GET / HTTP/1.1\nHost: a\nDate: " DATE "\nDate: " DATE
            "\n" HMAC("hmac-sha256", "date", TAG256),
            &usual, "more than once");
}

static void one_spelling(void **state) {
    (void)state;
    static const char *const none[] = {"", "Authorization: Basic YTpi\n", "Authorization: hmac\n",
                                       "Authorization: hmacx username=\"a\"\n",
                                       "Proxy-Authorization: hmac username=\"a\"\n"};
    static const char *const bad[] = {
        "hmac username=\"a\"",
        "hmac username=a, algorithm=\"hmac-sha256\", headers=\"date\", signature=\"" TAG256 "\"",
        "hmac username=\"\", algorithm=\"hmac-sha256\", headers=\"date\", signature=\"" TAG256 "\"",
        "hmac username=\"a\" algorithm=\"hmac-sha256\", headers=\"date\", signature=\"" TAG256 "\"",
        "hmac algorithm=\"hmac-sha256\", username=\"a\", headers=\"date\", signature=\"" TAG256
        "\"",
        "hmac username=\"a\", algorithm=\"hmac-sha256\", headers=\"date\", signature=\"" TAG256,
        "hmac username=\"a\", algorithm=\"hmac-sha256\", headers=\"date\", signature=\"" TAG256
        "\", x",
        "hmac username=\"a\", algorithm=\"hmac-sha256\", headers=\"date  host\", "
        "signature=\"" TAG256 "\"",
        "hmac username=\"a\", algorithm=\"hmac-sha256\", headers=\"date \", signature=\"" TAG256
        "\"",
        "hmac username=\"a\", algorithm=\"hmac-sha256\", headers=\"date\", signature=\"*\""};
    static const char *const good[] = {
        "Hmac username=\"a\",algorithm=\"hmac-sha256\",headers=\"date\",signature=\"" TAG256 "\"",
        "HMAC   username=\"a\",   algorithm=\"hmac-sha256\", headers=\"date\", signature=\"" TAG256
        "\""};
    struct kong_hmac k;
    const char *detail;
    char text[1024];
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\nHost: a\nDate: " DATE "\n%s", none[i]);
        assert_int_equal(read_with(&k, text, &usual, NOW, &detail), KONG_HMAC_NONE);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\nHost: a\nDate: " DATE "\nAuthorization: %s\n",
                 bad[i]);
        refused(text, &usual, "");
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\nHost: a\nDate: " DATE "\nAuthorization: %s\n",
                 good[i]);
        assert_int_equal(read_with(&k, text, &usual, NOW, &detail), KONG_HMAC_READ);
    }
}

static void bounds(void **state) {
    (void)state;
    char names[KONG_HMAC_NAMES_MAX * 2 + 8] = "date", text[1024];
    for (unsigned i = 1; i < KONG_HMAC_NAMES_MAX; i++)
        memcpy(names + strlen(names), " a", 3);
    const char *form = "GET / HTTP/1.1\nHost: a\nDate: " DATE
                       "\nAuthorization: hmac username=\"%s\", algorithm=\"hmac-sha256\", "
                       "headers=\"%s\", signature=\"" TAG256 "\"\n";
    struct kong_hmac k;
    const char *detail;
    snprintf(text, sizeof(text), form, "a", names);
    assert_int_equal(read_with(&k, text, &usual, NOW, &detail), KONG_HMAC_READ);
    memcpy(names + strlen(names), " a", 3);
    snprintf(text, sizeof(text), form, "a", names);
    refused(text, &usual, "1 to 32 names");
    char user[KONG_HMAC_USER_MAX + 2] = "";
    memset(user, 'u', KONG_HMAC_USER_MAX + 1);
    snprintf(text, sizeof(text), form, user, "date");
    refused(text, &usual, "username is too long");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_request_and_one_with_a_body),
        cmocka_unit_test(everything_that_can_be_signed),
        cmocka_unit_test(another_request_does_not_match),
        cmocka_unit_test(algorithms),
        cmocka_unit_test(time_must_be_signed_and_near),
        cmocka_unit_test(what_the_policy_asks_for),
        cmocka_unit_test(a_field_twice),
        cmocka_unit_test(one_spelling),
        cmocka_unit_test(bounds),
    };
    macs = mac_scratch_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mac_scratch_free(macs);
    return failed;
}
