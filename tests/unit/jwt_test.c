/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens: the vectors of Wycheproof (tests/vectors/jose), and a matrix of claims and headers of our
 * own, signed with keys that the test makes. S36.
 */
#include "lib/jwt.h"

#include "lib/mem.h"
#include "tests/unit/jwt_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- vectors of others ---- */

static cJSON *read_vectors(const char *path) {
    struct out o = out_heap(16 << 20);
    struct why why = {0};
    FILE *f = fopen(path, "re");
    if (!f)
        f = fopen("/dev/null", "re");
    for (size_t n; (n = fread(out_take(&o, 4096), 1, 4096, f)) > 0;)
        o.n -= 4096 - n;
    o.n -= 4096;
    fclose(f);
    cJSON *json = json_parse(out_done(&o), &why);
    if (!json)
        fail_msg("%s: %s", path, why.text);
    out_fini(&o);
    return json;
}

/* The keys of a group as a set. */
static struct jwt_keys *keys_of(const cJSON *group, struct why *why) {
    const cJSON *from = json_get(group, "public");
    if (!from)
        from = json_get(group, "private");
    bool set = json_get(from, "keys") != NULL;
    char *text = cJSON_PrintUnformatted(from);
    struct out o = out_heap(1 << 20);
    out_fmt(&o, set ? "%s" : "{\"keys\":[%s]}", text);
    struct jwt_keys *k = jwt_keys_new(out_done(&o), why);
    out_fini(&o);
    cJSON_free(text);
    return k;
}

/* Ours to refuse: HMAC, as a kind; and two cases with an alg that is none. */
static bool unsupported(const cJSON *group, const cJSON *test) {
    const cJSON *key = json_get(group, "public"), *id = json_get(test, "tcId");
    if (!key)
        key = json_get(group, "private");
    if (json_get(key, "keys"))
        key = json_get(key, "keys")->child;
    return str_eq(json_text(key, "kty"), STR("oct")) || id->valueint == 347 || id->valueint == 351;
}

static void check_vectors(const char *path, unsigned *n_valid, unsigned *n_invalid) {
    cJSON *all = read_vectors(path);
    const cJSON *group, *test;
    *n_valid = *n_invalid = 0;
    cJSON_ArrayForEach(group, json_get(all, "testGroups")) {
        struct why why = {0};
        struct jwt_keys *keys = keys_of(group, &why);
        cJSON_ArrayForEach(test, json_get(group, "tests")) {
            bool valid = str_eq(json_text(test, "result"), STR("valid"));
            struct str jws = json_text(test, "jws");
            why_clear(&why);
            bool good = keys && jwt_verify_any(jws, keys, &why) == 0;
            if (good != valid && !(valid && unsupported(group, test)))
                fail_msg("%s %d (%s): %s", path, json_get(test, "tcId")->valueint,
                         json_text(test, "comment").p, good ? "accepted" : why.text);
            *n_valid += good;
            *n_invalid += !good;
        }
        jwt_keys_free(keys);
    }
    cJSON_Delete(all);
}

static void signatures_of_wycheproof(void **state) {
    unsigned valid, invalid;
    (void)state;
    check_vectors("tests/vectors/jose/json_web_signature_test.json", &valid, &invalid);
    assert_in_range(valid, 13, 20);
    assert_in_range(invalid, 170, 190);
}

static void keys_of_wycheproof(void **state) {
    unsigned valid, invalid;
    (void)state;
    check_vectors("tests/vectors/jose/json_web_key_test.json", &valid, &invalid);
    assert_true(valid + invalid > 10);
}

/* ---- tokens of our own ---- */

static EVP_PKEY *rsa, *ec, *other_ec;
static struct jwt_keys *keys;
enum { NOW = 1800000000 };

#define CLAIMS                                                                                     \
    "{\"iss\":\"https://cluster\",\"aud\":[\"sluice-controller\"],\"exp\":1800003600,\"nbf\":"     \
    "1800000000,\"sub\":\"system:serviceaccount:sluice:sluice-proxy\",\"kubernetes.io\":{"         \
    "\"namespace\":\"sluice\",\"pod\":{\"name\":\"proxy-1\",\"uid\":\"u\"},"                       \
    "\"serviceaccount\":{\"name\":\"sluice-proxy\",\"uid\":\"v\"}}}"
#define ES "{\"alg\":\"ES256\",\"kid\":\"ec-1\"}"

/* Why it is refused; "" when it is not. */
static const char *verdict_at(struct str text, int64_t now) {
    static struct why why;
    struct jwt t;
    why_clear(&why);
    if (jwt_read(&t, text, &why) != 0)
        return why.text;
    if (jwt_verify(&t, keys, &why) == 0 &&
        jwt_judge(&t, STR("https://cluster"), STR("sluice-controller"), now, &why) == 0)
        assert_string_equal(why.text, "");
    jwt_fini(&t);
    return why.text;
}

static void expect(EVP_PKEY *key, const char *header, const char *claims, const char *why) {
    struct out o = token(key, header, claims);
    const char *got = verdict_at(out_done(&o), NOW);
    if (*why ? strstr(got, why) == NULL : *got != 0)
        fail_msg("%s %s: \"%s\", not \"%s\"", header, claims, got, why);
    out_fini(&o);
}

static int setup(void **state) {
    struct out o = out_heap(64 << 10);
    struct why why = {0};
    (void)state;
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    other_ec = EVP_EC_gen("P-256");
    out_lit(&o, "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"c2VjcmV0\"},");
    put_ec(&o, ec, "ec-1");
    out_char(&o, ',');
    put_rsa(&o, rsa, "rsa-1");
    out_lit(&o, "]}");
    keys = jwt_keys_new(out_done(&o), &why);
    if (!keys)
        fail_msg("%s", why.text);
    assert_int_equal(jwt_keys_count(keys), 2); /* a shared secret is no key here */
    out_fini(&o);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    jwt_keys_free(keys);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(other_ec);
    return 0;
}

static void what_a_token_says(void **state) {
    struct out o = token(ec, ES, CLAIMS);
    struct why why = {0};
    struct jwt t;
    (void)state;
    assert_int_equal(jwt_read(&t, out_done(&o), &why), 0);
    assert_true(str_eq(t.namespace, STR("sluice")));
    assert_true(str_eq(t.account, STR("sluice-proxy")));
    assert_true(str_eq(t.pod, STR("proxy-1")));
    assert_true(str_eq(t.subject, STR("system:serviceaccount:sluice:sluice-proxy")));
    assert_true(t.expires == NOW + 3600 && t.not_before == NOW);
    assert_true(jwt_is_for(&t, STR("sluice-controller")));
    assert_false(jwt_is_for(&t, STR("sluice")));
    jwt_fini(&t);
    out_fini(&o);
}

static void only_the_right_key_with_its_own_algorithm(void **state) {
    (void)state;
    expect(ec, ES, CLAIMS, "");
    expect(rsa, "{\"alg\":\"RS256\",\"kid\":\"rsa-1\"}", CLAIMS, "");
    expect(ec, "{\"alg\":\"ES256\"}", CLAIMS, ""); /* no kid: any of ours */
    expect(other_ec, ES, CLAIMS, "its signature is wrong");
    expect(other_ec, "{\"alg\":\"ES256\"}", CLAIMS, "its signature is wrong");
    expect(ec, "{\"alg\":\"ES256\",\"kid\":\"ec-2\"}", CLAIMS, "a key that is not known");
    expect(ec, "{\"alg\":\"ES256\",\"kid\":\"../../etc/passwd\"}", CLAIMS, "not known");
    expect(ec, "{\"alg\":\"RS256\",\"kid\":\"ec-1\"}", CLAIMS, "a key that is not known");
    expect(rsa, "{\"alg\":\"PS256\",\"kid\":\"rsa-1\"}", CLAIMS, "a key that is not known");
    expect(rsa, "{\"alg\":\"RS512\",\"kid\":\"rsa-1\"}", CLAIMS, "a key that is not known");
    expect(ec, "{\"alg\":\"HS256\",\"kid\":\"h\"}", CLAIMS, "a key that is not known");
    expect(ec, "{\"alg\":\"none\",\"kid\":\"ec-1\"}", CLAIMS, "a key that is not known");
    expect(ec, "{\"alg\":\"es256\",\"kid\":\"ec-1\"}", CLAIMS, "a key that is not known");
    expect(ec, "{\"kid\":\"ec-1\"}", CLAIMS, "a key that is not known");
}

static void headers_that_are_refused(void **state) {
    (void)state;
    expect(ec, "{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"crit\":[\"exp\"]}", CLAIMS, "an extension");
    expect(ec, "{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"crit\":null}", CLAIMS, "an extension");
    expect(ec, "{\"alg\":\"ES256\",\"kid\":\"ec-1\",\"b64\":false}", CLAIMS, "an extension");
    expect(ec, "{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"ec-1\"}", CLAIMS,
           "its header is not");
    expect(ec, "[\"ES256\"]", CLAIMS, "its header is not");
    expect(ec, "{\"alg\":\"ES256\",\"kid\":7}", CLAIMS, "its kid is not a name");
    expect(ec, "{\"alg\":\"ES256\",\"kid\":\"\"}", CLAIMS, "its kid is not a name");
    /* keys that the token brings itself are not looked at */
    expect(other_ec, "{\"alg\":\"ES256\",\"kid\":\"x\",\"jwk\":{},\"jku\":\"https://evil\"}",
           CLAIMS, "a key that is not known");
}

static void claims_that_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *claims, *why;
    } cases[] = {
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice-controller\",\"exp\":1800003600}", ""},
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice-controller\",\"exp\":1799999941}", ""},
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice-controller\",\"exp\":1799999940}",
         "it has expired 60 s ago"},
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice-controller\"}", "it never expires"},
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice-controller\",\"exp\":\"1800003600\"}",
         "its claim exp is not a time"},
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice-controller\",\"exp\":1e300}",
         "its claim exp is not a time"},
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice-controller\",\"exp\":-1}",
         "its claim exp is not a time"},
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice-controller\",\"exp\":null}",
         "its claim exp is not a time"},
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice-controller\",\"exp\":1800003600,\"nbf\":"
         "1800000061}",
         "it counts only in 61 s"},
        {"{\"iss\":\"https://cluster\",\"aud\":\"sluice\",\"exp\":1800003600}",
         "it is not for the audience"},
        {"{\"iss\":\"https://cluster\",\"aud\":[\"a\",7],\"exp\":1800003600}",
         "it is not for the audience"},
        {"{\"iss\":\"https://cluster\",\"exp\":1800003600}", "it is not for the audience"},
        {"{\"iss\":\"https://other\",\"aud\":\"sluice-controller\",\"exp\":1800003600}",
         "it is of the issuer"},
        {"{\"aud\":\"sluice-controller\",\"exp\":1800003600}", "it is of the issuer"},
        {"{\"aud\":\"x\",\"aud\":\"sluice-controller\",\"exp\":1800003600}", "its payload is not"},
        {"\"a text\"", "its payload is not"},
        {"{\"a\":\"\\u0000\"}", "its payload is not"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect(ec, ES, cases[i].claims, cases[i].why);
}

/* Whatever one byte of a good token becomes, it is no good token, or the same one. */
static void every_byte_counts(void **state) {
    struct out o = token(ec, ES, CLAIMS);
    (void)state;
    assert_string_equal(verdict_at(out_done(&o), NOW), "");
    for (size_t i = 0; i < o.n; i++) {
        char was = o.p[i];
        for (int c = 0; c < 256; c += 1 + (i > 100 ? 7 : 0)) {
            o.p[i] = (char)c;
            if (c != (unsigned char)was && *verdict_at(out_done(&o), NOW) == 0)
                fail_msg("byte %zu as %d is accepted", i, c);
        }
        o.p[i] = was;
    }
    for (size_t n = 0; n < o.n; n++)
        assert_string_not_equal(verdict_at(str_mk(o.p, n), NOW), "");
    out_char(&o, '=');
    assert_string_not_equal(verdict_at(out_done(&o), NOW), "");
    out_fini(&o);
}

static void key_sets_that_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *set, *why;
    } cases[] = {
        {"", "the text ends too early"},
        {"[]", "without a list"},
        {"{\"keys\":[]}", "no key in it"},
        {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}", "no key in it"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "no key in it"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
         "no key in it"},
        /* not on the curve */
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
         "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\",\"y\":"
         "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
         "no key in it"},
        {"{\"keys\":[7,null,\"x\",[]]}", "no key in it"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {0};
        assert_null(jwt_keys_new(str_of(cases[i].set), &why));
        if (!strstr(why.text, cases[i].why))
            fail_msg("%s: %s", cases[i].set, why.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_of_wycheproof),
        cmocka_unit_test(keys_of_wycheproof),
        cmocka_unit_test(what_a_token_says),
        cmocka_unit_test(only_the_right_key_with_its_own_algorithm),
        cmocka_unit_test(headers_that_are_refused),
        cmocka_unit_test(claims_that_are_refused),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(key_sets_that_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
