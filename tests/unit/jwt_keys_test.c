/* SPDX-License-Identifier: Apache-2.0
 *
 * Key sets: what of them is a key, why the others are left out, and the way through the model to
 * the proxy. RFC 7517, 7518, 7638, 8037. S36, S37.
 */
#include "lib/jwt_keys.h"

#include "tests/unit/jwt_world.h"

#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/jwt_vectors.h"

static struct jwt_set *set_of(const char *json) {
    struct why why = {0};
    struct jwt_set *s = jwt_set_new(str_of(json), &why);
    if (!s)
        fail_msg("%s: %s", json, why.text);
    return s;
}

/* ---- examples of the RFCs ---- */

static void check_set(const cJSON *test) {
    char *text = set_text(json_get(test, "set"));
    struct jwt_set *s = set_of(text);
    const cJSON *one;
    size_t i = 0;
    const char *name = json_text(test, "name").p;
    cJSON_ArrayForEach(one, json_get(test, "kids")) {
        if (i >= s->n_keys || !str_eq(s->keys[i].kid, str_of(one->valuestring)))
            fail_msg("%s: key %zu is not %s", name, i, one->valuestring);
        i++;
    }
    assert_int_equal(i, s->n_keys);
    i = 0;
    cJSON_ArrayForEach(one, json_get(test, "left_out")) {
        if (i >= s->n_left_out || !strstr(s->left_out[i].p, one->valuestring))
            fail_msg("%s: %s, not %s", name, i < s->n_left_out ? s->left_out[i].p : "nothing",
                     one->valuestring);
        i++;
    }
    assert_int_equal(i, s->n_left_out);
    jwt_set_free(s);
    mem_free(text);
}

static void check_sets(const char *rfc, int n) {
    cJSON *all = read_vectors(VECTORS "rfc.json");
    const cJSON *test;
    cJSON_ArrayForEach(test, json_get(all, "sets")) {
        if (!str_starts(json_text(test, "name"), str_of(rfc)))
            continue;
        check_set(test);
        n--;
    }
    cJSON_Delete(all);
    assert_int_equal(n, 0);
}

static void rfc7517_appendix_a_and_b(void **state) { (void)state, check_sets("RFC 7517", 4); }
static void rfc7520_section_3(void **state) { (void)state, check_sets("RFC 7520", 1); }
static void rfc8037_keys(void **state) { (void)state, check_sets("RFC 8037", 3); }

static void check_thumbprint(const char *rfc) {
    cJSON *all = read_vectors(VECTORS "rfc.json");
    const cJSON *test;
    int n = 0;
    cJSON_ArrayForEach(test, json_get(all, "thumbprints")) {
        if (!str_starts(json_text(test, "name"), str_of(rfc)))
            continue;
        char *text = set_text(json_get(test, "key"));
        struct jwt_set *s = set_of(text);
        struct out o = out_heap(100);
        assert_int_equal(jwt_thumbprint(s->keys[0].der, &o), 0);
        assert_true(str_eq(out_done(&o), json_text(test, "thumbprint")));
        out_fini(&o);
        jwt_set_free(s);
        mem_free(text);
        n++;
    }
    cJSON_Delete(all);
    assert_int_equal(n, 1);
}

static void rfc7638_example(void **state) { (void)state, check_thumbprint("RFC 7638"); }
static void rfc8037_thumbprint(void **state) { (void)state, check_thumbprint("RFC 8037"); }

/* ---- one key ---- */

static EVP_PKEY *rsa, *ec;

static int setup(void **state) {
    (void)state;
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    return 0;
}
static int teardown(void **state) {
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    return 0;
}

#define PARTS_EC                                                                                   \
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                                       \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define EC   "\"kty\":\"EC\",\"crv\":\"P-256\"," PARTS_EC
#define X_ED "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define ED   "\"kty\":\"OKP\",\"crv\":\"Ed25519\"," X_ED
#define N_SHORT                                                                                    \
    "\"n\":\"v_FEzRu9m36HLN_"                                                                      \
    "tue659LNpXW6pCyStikYjKIWI5a0f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEUv_"                    \
    "FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\""

static void one_key(const char *members, const char *alg, const char *why) {
    struct out o = out_heap(1 << 20);
    out_fmt(&o, "{\"keys\":[{\"kid\":\"a\",%s}]}", members);
    out_char(&o, 0);
    struct jwt_set *s = set_of(o.p);
    if (alg && (s->n_keys != 1 || strcmp(jwt_alg_name(s->keys[0].alg), alg) != 0))
        fail_msg("%s: %s", members, s->n_left_out ? s->left_out[0].p : "another algorithm");
    if (!alg && (s->n_left_out != 1 || !strstr(s->left_out[0].p, why) ||
                 !str_starts(s->left_out[0], STR("keys[0] (kid \"a\") is left out: "))))
        fail_msg("%s: %s", members, s->n_left_out ? s->left_out[0].p : "taken");
    jwt_set_free(s);
    out_fini(&o);
}

static void keys_that_are_left_out(void **state) {
    static const struct {
        const char *members, *alg, *why;
    } cases[] = {
        {EC, "ES256", NULL},
        {EC ",\"alg\":\"ES256\",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],\"x5t\":\"x\","
            "\"x5c\":[7],\"x5u\":\"https://evil\"",
         "ES256", NULL},
        {ED, "EdDSA", NULL},
        {ED ",\"alg\":\"EdDSA\"", "EdDSA", NULL},
        {"\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":"
         "\"X9dEm1m0Yf0s54fsYWrUah2hNCSFpw4fig6nXYDpZ3jt8SR2m0bHBhvWeD3x5Q9s0foavq_oJWGA\"",
         "EdDSA", NULL},
        {"\"kty\":\"OKP\",\"crv\":\"X25519\"," X_ED, NULL, "its curve \"X25519\" is not known"},
        {"\"kty\":\"OKP\",\"crv\":\"P-256\"," X_ED, NULL, "its curve \"P-256\" is not known"},
        {"\"kty\":\"OKP\",\"crv\":\"Ed448\"," X_ED, NULL, "its x is no key of Ed448"},
        {"\"kty\":\"OKP\",\"crv\":\"Ed25519\"", NULL, "its x is not base64url"},
        {ED ",\"alg\":\"ES256\"", NULL, "its algorithm \"ES256\" is not one of such a key"},
        {"\"kty\":\"EC\",\"crv\":\"Ed25519\"," X_ED, NULL, "its curve \"Ed25519\" is not known"},
        {"\"kty\":\"EC\",\"crv\":\"secp256k1\"," PARTS_EC, NULL, "its curve \"secp256k1\""},
        {"\"kty\":\"EC\"," PARTS_EC, NULL, "its curve"},
        {EC ",\"alg\":\"RS256\"", NULL, "its algorithm \"RS256\" is not one of such a key"},
        {EC ",\"alg\":\"ES384\"", NULL, "its algorithm \"ES384\" is not one of such a key"},
        {EC ",\"alg\":\"ES521\"", NULL, "its algorithm \"ES521\" is not one of such a key"},
        {EC ",\"alg\":\"HS256\"", NULL, "its algorithm \"HS256\" is not one of such a key"},
        {EC ",\"alg\":\"none\"", NULL, "its algorithm \"none\" is not one of such a key"},
        {EC ",\"alg\":7", NULL, "its algorithm"},
        {EC ",\"alg\":\"ECDH-ES\"", NULL, "its algorithm \"ECDH-ES\""},
        {EC ",\"use\":\"enc\"", NULL, "it is not for signatures, use \"enc\""},
        {EC ",\"use\":7", NULL, "it is not for signatures"},
        {EC ",\"key_ops\":[\"sign\"]", NULL, "its key_ops"},
        {EC ",\"key_ops\":[]", NULL, "its key_ops"},
        {EC ",\"key_ops\":\"verify\"", NULL, "its key_ops"},
        {EC ",\"d\":\"AAAA\"", NULL, "its private half is in it"},
        {EC ",\"k\":\"AAAA\"", NULL, "it is a shared secret"},
        {EC ",\"kty\":\"EC\"", NULL, "a member of it is there twice"},
        {EC ",\"x\":\"AAAA\"", NULL, "a member of it is there twice"},
        {EC ",\"kid\":\"a\"", NULL, "a member of it is there twice"},
        {"\"kty\":\"oct\",\"k\":\"c2VjcmV0\"", NULL, "it is a shared secret"},
        {"\"kty\":\"oct\"", NULL, "it is a shared secret"},
        {"\"kty\":\"RSA\"", NULL, "its n is not base64url"},
        {"\"kty\":\"rsa\"", NULL, "its kind \"rsa\" is not known"},
        {"\"kty\":7", NULL, "its kind"},
        {"\"x\":\"AAAA\"", NULL, "its kind"},
        {"\"kty\":\"RSA\",\"e\":\"AQAB\"," N_SHORT, NULL,
         "RSA of 1032 bits; 2048 to 8192 are taken"},
        {"\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AQAB\"", NULL, "RSA of 17 bits"},
        {"\"kty\":\"RSA\",\"e\":\"AQABAQABAQABAQAB\"," N_SHORT, NULL, "its e is not base64url"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"", NULL,
         "no point of P-256"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
         "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"",
         NULL, "its x and y are no point of P-256"},
        {"\"kty\":\"EC\",\"crv\":\"P-384\"," PARTS_EC, NULL, "its x and y are no point of P-384"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=\"",
         NULL, "its x is not base64url"},
        {"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":7,\"y\":8", NULL, "its x is not base64url"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        one_key(cases[i].members, cases[i].alg, cases[i].why);
}

/* A modulus of our own with what is said beside it. */
static void rsa_key(const char *also, const char *e, const char *alg, const char *why) {
    struct out o = out_heap(1 << 20);
    out_lit(&o, "\"kty\":\"RSA\",\"n\":\"");
    put_number(&o, rsa, "n", 0);
    out_fmt(&o, "\",\"e\":\"%s\"%s", e, also);
    out_char(&o, 0);
    one_key(o.p, alg, why);
    out_fini(&o);
}

/* Without "alg" RS256 (docs: lib/jwt_keys.h), else that, if it is one of RSA. */
static void the_algorithm_of_an_rsa_key(void **state) {
    (void)state;
    rsa_key("", "AQAB", "RS256", NULL);
    for (unsigned i = JWT_RS256; i <= JWT_PS512; i++) {
        char also[64];
        const char *alg = jwt_alg_name((enum jwt_alg)i);
        snprintf(also, sizeof(also), ",\"alg\":\"%s\"", alg);
        rsa_key(also, "AQAB", alg, NULL);
    }
    rsa_key(",\"alg\":\"ES256\"", "AQAB", NULL, "its algorithm \"ES256\"");
    rsa_key(",\"alg\":\"RSA-OAEP\"", "AQAB", NULL, "its algorithm \"RSA-OAEP\"");
    rsa_key(",\"alg\":\"HS256\"", "AQAB", NULL, "its algorithm \"HS256\"");
    rsa_key(",\"alg\":\"\"", "AQAB", NULL, "its algorithm \"\"");
    rsa_key("", "AQ", NULL, "its numbers are not those of an RSA key");
    rsa_key("", "Ag", NULL, "its numbers are not those of an RSA key");
    rsa_key("", "Aw", "RS256", NULL);
}

static void kids(void **state) {
    char json[800], kid[300];
    (void)state;
    for (size_t n = JWT_KID_MAX; n <= JWT_KID_MAX + 1; n++) {
        memset(kid, 'k', n);
        kid[n] = 0;
        snprintf(json, sizeof(json), "{\"keys\":[{\"kid\":\"%s\"," EC "}]}", kid);
        struct jwt_set *s = set_of(json);
        assert_int_equal(s->n_keys, n == JWT_KID_MAX);
        jwt_set_free(s);
    }
    static const char *const wrong[] = {"7", "\"\"", "[\"a\"]", "{}", "\"\xff\""};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(json, sizeof(json), "{\"keys\":[{\"kid\":%s," EC "}]}", wrong[i]);
        struct jwt_set *s = set_of(json);
        assert_int_equal(s->n_keys, 0);
        assert_non_null(strstr(s->left_out[0].p, "its kid is not a text of 1 to 256 bytes"));
        jwt_set_free(s);
    }
}

/* A key that cannot be used does not take the others with it. */
static void each_is_judged_alone(void **state) {
    struct jwt_set *s =
        set_of("{\"keys\":[7,{\"kid\":\"a\"," EC "},null,\"x\",[],{\"kid\":\"b\",\"kty\":"
               "\"oct\",\"k\":\"AAAA\"},{" ED "},{\"kid\":\"a\"," ED "}],\"x\":1}");
    (void)state;
    assert_int_equal(s->n_keys, 3);
    assert_true(str_eq(s->keys[0].kid, STR("a")) && s->keys[0].alg == JWT_ES256);
    assert_true(s->keys[1].kid.n == 0 && s->keys[1].alg == JWT_EDDSA);
    assert_true(str_eq(s->keys[2].kid, STR("a")) && s->keys[2].alg == JWT_EDDSA);
    assert_int_equal(s->n_left_out, 5);
    assert_string_equal(s->left_out[0].p, "keys[0] is left out: it is no object");
    assert_string_equal(s->left_out[1].p, "keys[2] is left out: it is no object");
    assert_string_equal(s->left_out[4].p, "keys[5] (kid \"b\") is left out: it is a shared secret; "
                                          "those belong to Consumers");
    jwt_set_free(s);
}

static void what_is_no_key_set(void **state) {
    static const struct {
        const char *set, *why;
    } cases[] = {
        {"", "the text ends too early"},
        {"[]", "without a list"},
        {"{}", "without a list"},
        {"{\"keys\":{}}", "without a list"},
        {"{\"keys\":null}", "without a list"},
        {"{\"keys\":[],\"keys\":[]}", "twice"},
        {"<html>", "this is not JSON"},
        {"{\"keys\":[]}x", "something follows"},
        {"{\"keys\":[\"\\u0000\"]}", "\\u0000"},
    };
    struct out o = out_heap(1 << 20);
    struct why why = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        why_clear(&why);
        assert_null(jwt_set_new(str_of(cases[i].set), &why));
        if (!strstr(why.text, cases[i].why))
            fail_msg("%s: %s", cases[i].set, why.text);
    }
    out_lit(&o, "{\"keys\":[0");
    for (int i = 0; i < JWT_KEYS_MAX; i++)
        out_lit(&o, ",0");
    out_lit(&o, "]}");
    why_clear(&why);
    assert_null(jwt_set_new(out_done(&o), &why));
    assert_string_equal(why.text, "a key set of more than 64 keys");
    while (o.n <= JWT_SET_MAX)
        out_char(&o, ' ');
    why_clear(&why);
    assert_null(jwt_set_new(out_done(&o), &why));
    assert_string_equal(why.text, "a key set of 262145 bytes, more than 262144");
    out_fini(&o);
}

static void a_set_without_a_key(void **state) {
    struct why why = {0};
    (void)state;
    struct jwt_set *s = set_of("{\"keys\":[]}");
    assert_int_equal(s->n_keys + s->n_left_out, 0);
    jwt_set_free(s);
    assert_null(jwt_keys_new(STR("{\"keys\":[]}"), &why));
    assert_string_equal(why.text, "there is no key in it that can verify a signature");
    why_clear(&why);
    assert_null(jwt_keys_new(STR("{\"keys\":[{\"kid\":\"b\",\"kty\":\"oct\"}]}"), &why));
    assert_string_equal(why.text, "there is no key in it that can verify a signature: keys[0] (kid "
                                  "\"b\") is left out: it is a shared secret; those belong to "
                                  "Consumers");
    jwt_set_free(NULL);
    jwt_keys_free(NULL);
}

/* ---- through the model ---- */

/* Read, written, and read again: the same keys. */
static void written_and_read_again(void **state) {
    struct out o = out_heap(1 << 16), again = out_heap(1 << 16);
    (void)state;
    out_lit(&o, "{\"keys\":[{\"kid\":\"\\\"x\"," EC "},{" ED "},");
    put_rsa(&o, rsa, "r");
    out_lit(&o, "]}");
    out_char(&o, 0);
    struct jwt_set *a = set_of(o.p);
    assert_int_equal(a->n_keys, 3);
    assert_int_equal(jwt_set_json(a->keys, a->n_keys, &again), 0);
    out_char(&again, 0);
    struct jwt_set *b = set_of(again.p);
    assert_int_equal(b->n_keys, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(str_eq(a->keys[i].kid, b->keys[i].kid) && a->keys[i].alg == b->keys[i].alg &&
                    str_eq(a->keys[i].der, b->keys[i].der));
    assert_non_null(strstr(again.p, "{\"keys\":[{\"crv\":\"P-256\",\"kty\":\"EC\"," PARTS_EC
                                    ",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"\\\"x\"},"));
    jwt_set_free(a);
    jwt_set_free(b);
    out_fini(&o);
    out_fini(&again);
}

static struct str der_of(EVP_PKEY *key, unsigned char room[2048]) {
    unsigned char *p = room;
    int n = i2d_PUBKEY(key, &p);
    assert_in_range(n, 1, 2048);
    return str_mk((char *)room, (size_t)n);
}

static void triples_that_are_no_keys(void **state) {
    unsigned char room_ec[2048], room_rsa[2048], room_small[2048], longer[2049];
    EVP_PKEY *small = EVP_RSA_gen(1024);
    struct str of_ec = der_of(ec, room_ec), of_rsa = der_of(rsa, room_rsa),
               of_small = der_of(small, room_small);
    (void)state;
    memcpy(longer, of_ec.p, of_ec.n);
    longer[of_ec.n] = 0;
    const struct {
        struct jwt_key key;
        bool good;
    } cases[] = {
        {{STR("a"), JWT_ES256, of_ec}, true},
        {{STR_NONE, JWT_PS512, of_rsa}, true},
        {{STR("a"), JWT_ES384, of_ec}, false},
        {{STR("a"), JWT_RS256, of_ec}, false},
        {{STR("a"), JWT_EDDSA, of_ec}, false},
        {{STR("a"), JWT_HS256, of_ec}, false},
        {{STR("a"), JWT_ES256, of_rsa}, false},
        {{STR("a"), JWT_HS256, of_rsa}, false},
        {{STR("a"), JWT_RS256, of_small}, false},
        {{STR("a"), JWT_ES256, str_mk(of_ec.p, of_ec.n - 1)}, false},
        {{STR("a"), JWT_ES256, str_mk((char *)longer, of_ec.n + 1)}, false},
        {{STR("a"), JWT_ES256, STR_NONE}, false},
        {{STR("a"), JWT_ES256, STR("x")}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {0};
        struct jwt_keys *k = jwt_keys_of(&cases[i].key, 1, &why);
        if ((k != NULL) != cases[i].good ||
            (!k && !strstr(why.text, "the key with kid \"a\" is none of")))
            fail_msg("case %zu: %s", i, why.text);
        assert_true(!k || jwt_keys_count(k) == 1);
        jwt_keys_free(k);
    }
    struct why why = {0};
    struct jwt_key many[JWT_KEYS_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = cases[0].key;
    assert_null(jwt_keys_of(many, JWT_KEYS_MAX + 1, &why));
    assert_null(jwt_keys_of(many, 0, NULL));
    struct jwt_keys *k = jwt_keys_of(many, JWT_KEYS_MAX, NULL);
    assert_int_equal(jwt_keys_count(k), JWT_KEYS_MAX);
    jwt_keys_free(k);
    struct out o = out_heap(4096);
    assert_int_equal(jwt_thumbprint(STR("x"), &o), -1);
    const struct jwt_key wrong = {STR("a"), JWT_ES256, STR("x")};
    assert_int_equal(jwt_set_json(&wrong, 1, &o), -1);
    out_fini(&o);
    EVP_PKEY_free(small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc7517_appendix_a_and_b),
        cmocka_unit_test(rfc7520_section_3),
        cmocka_unit_test(rfc8037_keys),
        cmocka_unit_test(rfc7638_example),
        cmocka_unit_test(rfc8037_thumbprint),
        cmocka_unit_test(keys_that_are_left_out),
        cmocka_unit_test(the_algorithm_of_an_rsa_key),
        cmocka_unit_test(kids),
        cmocka_unit_test(each_is_judged_alone),
        cmocka_unit_test(what_is_no_key_set),
        cmocka_unit_test(a_set_without_a_key),
        cmocka_unit_test(written_and_read_again),
        cmocka_unit_test(triples_that_are_no_keys),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
