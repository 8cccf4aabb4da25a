/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens: the vectors of Wycheproof and of the RFCs (tests/vectors/jose), the checklist of RFC
 * 8725, and the list of attacks S36, with keys that the test makes.
 */
#include "lib/jwt.h"

#include "lib/jwt_keys.h"
#include "lib/mem.h"
#include "tests/unit/jwt_world.h"

#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/jwt_vectors.h"

static struct jwt_scratch *scratch;

/* ---- vectors of others ---- */

struct verifier {
    struct jwt_keys *keys; /* or */
    enum jwt_alg alg;
    char secret[256];
    size_t n_secret;
};

static int verify_jws(const struct verifier *v, struct str jws, struct why *why) {
    struct jwt t;
    if (jws_read(&t, jws, scratch, why) != 0)
        return -1;
    if (v->keys)
        return jwt_verify(&t, v->keys, JWT_ALGS_KEY, scratch, why);
    return jwt_verify_secret(&t, v->alg, str_mk(v->secret, v->n_secret), scratch, why);
}

static int take_secret(struct verifier *v, const cJSON *k, const cJSON *alg, struct why *why) {
    struct str text = str_of(cJSON_GetStringValue(k));
    assert_true(text.n < 300);
    if (!base64url_decode(text, v->secret, &v->n_secret) ||
        !jwt_alg_named(str_of(cJSON_GetStringValue(alg)), &v->alg) ||
        !(JWT_ALG(v->alg) & JWT_ALGS_SECRET))
        return why_text(why, "no secret");
    return 0;
}

/* The key of a group: one secret is a secret, everything else a key set, in which secrets do not
 * count. */
static int verifier_of(const cJSON *group, struct verifier *v, struct why *why) {
    const cJSON *from = json_get(group, "public"), *only;
    *v = (struct verifier){0};
    if (!from)
        from = json_get(group, "private");
    only = json_get(from, "keys") ? json_get(from, "keys")->child : from;
    if (!only->next || only == from)
        if (str_eq(json_text(only, "kty"), STR("oct")))
            return take_secret(v, json_get(only, "k"), json_get(only, "alg"), why);
    char *set = set_text(from);
    v->keys = jwt_keys_new(str_of(set), why);
    mem_free(set);
    return v->keys ? 0 : -1;
}

/* Vectors that contradict another one, or what they test. */
static const struct defect {
    int id;
    const char *why;
} defects[] = {
    {367, "\"invalid\", and byte for byte the token of 357, which is valid"},
    {373, "\"valid\", with a byte that is not in base64url's alphabet, over which no MAC is"},
};

static bool is_defective(int id) {
    for (size_t i = 0; i < ARRAY_LEN(defects); i++)
        if (defects[i].id == id)
            return true;
    return false;
}

static void check_group(const cJSON *group, unsigned *n_valid, unsigned *n_invalid) {
    struct why none = {0}, why;
    struct verifier v;
    const cJSON *test;
    int bad = verifier_of(group, &v, &none);
    cJSON_ArrayForEach(test, json_get(group, "tests")) {
        bool valid = str_eq(json_text(test, "result"), STR("valid"));
        int id = json_get(test, "tcId")->valueint;
        why = none;
        bool good = !bad && verify_jws(&v, json_text(test, "jws"), &why) == 0;
        assert_true(good != why_set(&why));
        if (good != (valid != is_defective(id)))
            fail_msg("%d (%s): %s", id, json_text(test, "comment").p, good ? "accepted" : why.text);
        *n_valid += good;
        *n_invalid += !good;
    }
    jwt_keys_free(v.keys);
}

static void check_wycheproof(const char *path, unsigned n_valid, unsigned n_invalid) {
    cJSON *all = read_vectors(path);
    const cJSON *group;
    unsigned valid = 0, invalid = 0;
    cJSON_ArrayForEach(group, json_get(all, "testGroups")) check_group(group, &valid, &invalid);
    cJSON_Delete(all);
    assert_int_equal(valid, n_valid);
    assert_int_equal(invalid, n_invalid);
}

static void wycheproof_json_web_signature(void **state) {
    (void)state;
    check_wycheproof(VECTORS "json_web_signature_test.json", 24, 177);
}

static void wycheproof_json_web_key(void **state) {
    (void)state;
    check_wycheproof(VECTORS "json_web_key_test.json", 3, 10);
}

static void check_rfc(const cJSON *test) {
    struct why why = {0};
    struct verifier v = {0};
    if (json_get(test, "keys")) {
        char *set = set_text(json_get(test, "keys"));
        v.keys = jwt_keys_new(str_of(set), &why);
        mem_free(set);
    } else {
        assert_int_equal(take_secret(&v, json_get(test, "secret"), json_get(test, "alg"), &why), 0);
    }
    bool valid = cJSON_IsTrue(json_get(test, "valid"));
    if ((verify_jws(&v, json_text(test, "jws"), &why) == 0) != valid ||
        (!valid && !strstr(why.text, json_text(test, "why").p)))
        fail_msg("%s: %s", json_text(test, "name").p, why_set(&why) ? why.text : "accepted");
    jwt_keys_free(v.keys);
}

static void check_rfcs(const char *rfc, int n) {
    cJSON *all = read_vectors(VECTORS "rfc.json");
    const cJSON *test;
    cJSON_ArrayForEach(test, json_get(all, "jws")) {
        if (!str_starts(json_text(test, "name"), str_of(rfc)))
            continue;
        check_rfc(test);
        n--;
    }
    cJSON_Delete(all);
    assert_int_equal(n, 0);
}

static void rfc7515_appendix_a_and_e(void **state) { (void)state, check_rfcs("RFC 7515", 9); }
static void rfc7519_examples(void **state) { (void)state, check_rfcs("RFC 7519", 2); }
static void rfc7520_section_4(void **state) { (void)state, check_rfcs("RFC 7520", 8); }
static void rfc7797_example(void **state) { (void)state, check_rfcs("RFC 7797", 1); }
static void rfc8037_appendix_a(void **state) { (void)state, check_rfcs("RFC 8037", 1); }

static void rfc7515_appendix_c(void **state) {
    static const unsigned char octets[] = {3, 236, 255, 224, 193};
    struct out o = out_heap(100);
    char room[BASE64URL_ROOM(16)];
    size_t n;
    (void)state;
    base64url_put(&o, octets, sizeof(octets));
    assert_true(str_eq(out_done(&o), STR("A-z_4ME")));
    assert_true(base64url_decode(STR("A-z_4ME"), room, &n));
    assert_memory_equal(room, octets, 5);
    static const char *const bad[] = {"A",  "A-z_4M=", "A-z_4ME=", "A-z/4ME", "A-z_4MF",
                                      "AB", "A-z_4",   " A-z",     "A-z_\n",  "A+z_"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (base64url_decode(str_of(bad[i]), room, &n))
            fail_msg("%s", bad[i]);
    assert_true(base64url_decode(STR(""), room, &n) && n == 0);
    out_fini(&o);
}

/* ---- keys of our own ---- */

enum { NOW = 1800000000, KEYS = 11 };

static EVP_PKEY *rsa, *ec[3], *ed25519, *ed448, *other_rsa, *other_ec;
static const char secret[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* Every algorithm with a key; the kid is its place. */
static const struct made {
    struct signing how;
    EVP_PKEY **key;
    enum jwt_alg alg;
} made[KEYS] = {
    {{"RS256", "SHA256", 0, false}, &rsa, JWT_RS256},
    {{"RS384", "SHA384", 0, false}, &rsa, JWT_RS384},
    {{"RS512", "SHA512", 0, false}, &rsa, JWT_RS512},
    {{"PS256", "SHA256", 0, true}, &rsa, JWT_PS256},
    {{"PS384", "SHA384", 0, true}, &rsa, JWT_PS384},
    {{"PS512", "SHA512", 0, true}, &rsa, JWT_PS512},
    {{"ES256", "SHA256", 32, false}, &ec[0], JWT_ES256},
    {{"ES384", "SHA384", 48, false}, &ec[1], JWT_ES384},
    {{"ES512", "SHA512", 66, false}, &ec[2], JWT_ES512},
    {{"EdDSA", NULL, 0, false}, &ed25519, JWT_EDDSA},
    {{"EdDSA", NULL, 0, false}, &ed448, JWT_EDDSA},
};
enum { RS256 = 0, PS256 = 3, ES256 = 6, ES512 = 8, ED25519 = 9 };
static struct jwt_keys *keys;

static struct str der_of(EVP_PKEY *key) {
    static unsigned char room[4][2048];
    static unsigned at;
    unsigned char *p = room[at = (at + 1) % 4];
    int n = i2d_PUBKEY(key, &p);
    assert_in_range(n, 1, 2048);
    return str_mk((char *)p - n, (size_t)n);
}

static struct jwt_keys *keys_made(void) {
    struct jwt_key list[KEYS];
    static char kids[KEYS][8];
    struct jwt_keys *k = NULL;
    struct why why = {0};
    static unsigned char room[KEYS][2048];
    for (size_t i = 0; i < KEYS; i++) {
        unsigned char *p = room[i];
        int n = i2d_PUBKEY(*made[i].key, &p);
        snprintf(kids[i], sizeof(kids[i]), "k%zu", i);
        list[i] =
            (struct jwt_key){str_of(kids[i]), made[i].alg, str_mk((char *)room[i], (size_t)n)};
    }
    k = jwt_keys_of(list, KEYS, &why);
    if (!k)
        fail_msg("%s", why.text);
    return k;
}

static int setup(void **state) {
    (void)state;
    scratch = jwt_scratch_new();
    rsa = EVP_RSA_gen(2048);
    other_rsa = EVP_RSA_gen(2048);
    ec[0] = EVP_EC_gen("P-256");
    ec[1] = EVP_EC_gen("P-384");
    ec[2] = EVP_EC_gen("P-521");
    other_ec = EVP_EC_gen("P-256");
    ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    ed448 = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    keys = keys_made();
    return 0;
}

static int teardown(void **state) {
    EVP_PKEY *all[] = {rsa, other_rsa, ec[0], ec[1], ec[2], other_ec, ed25519, ed448};
    (void)state;
    jwt_keys_free(keys);
    jwt_scratch_free(scratch);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        EVP_PKEY_free(all[i]);
    return 0;
}

#define CLAIMS                                                                                     \
    "{\"iss\":\"https://idp\",\"aud\":[\"shop\",\"other\"],\"exp\":1800003600,\"nbf\":1800000000," \
    "\"iat\":1800000000,\"sub\":\"joe\",\"jti\":\"t-1\",\"realm\":{\"roles\":[\"admin\"]}}"
#define ES_HEADER "{\"alg\":\"ES256\",\"kid\":\"k6\"}"
#define RS_HEADER "{\"alg\":\"RS256\",\"kid\":\"k0\"}"

static const struct str shop[] = {{"shop", 4}};
static const struct jwt_rules usual = {
    .issuer = {"https://idp", 11}, .audiences = shop, .n_audiences = 1, .skew_s = 60};

static struct why why;

/* Why it is refused; "" when it is not. */
static const char *verdict_with(struct str text, uint32_t algorithms, const struct jwt_rules *rules,
                                int64_t now) {
    struct jwt t;
    why_clear(&why);
    if (jwt_read(&t, text, scratch, &why) == 0 &&
        jwt_verify(&t, keys, algorithms, scratch, &why) == 0 &&
        jwt_judge(&t, rules, now, &why) == 0)
        assert_string_equal(why.text, "");
    else
        assert_true(why_set(&why));
    return why.text;
}
static const char *verdict(struct str text) {
    return verdict_with(text, JWT_ALGS_KEY, &usual, NOW);
}

static struct out made_token(size_t i, const char *header, const char *claims) {
    struct out o = unsigned_token(header, claims);
    sign_into(&o, *made[i].key, &made[i].how);
    return o;
}

static void check(struct out *o, const char *what, const char *expected, const char *got) {
    if (*expected ? strstr(got, expected) == NULL : *got != 0)
        fail_msg("%s: \"%s\", not \"%s\"", what, got, expected);
    out_fini(o);
}

/* Signed with made[i]. */
static void expect(size_t i, const char *header, const char *claims, const char *expected) {
    struct out o = made_token(i, header, claims);
    check(&o, header, expected, verdict(out_done(&o)));
}

static void expect_by(EVP_PKEY *key, const char *header, const char *expected) {
    struct out o = token(key, header, CLAIMS);
    check(&o, header, expected, verdict(out_done(&o)));
}

static void expect_rules(const char *header, const char *claims, const struct jwt_rules *rules,
                         const char *expected) {
    struct out o = made_token(ES256, header, claims);
    check(&o, claims, expected, verdict_with(out_done(&o), JWT_ALGS_KEY, rules, NOW));
}

static struct out secret_token(const char *alg, const char *hash, struct str by,
                               const char *claims) {
    char header[64];
    unsigned char mac[64];
    unsigned n = 0;
    snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k0\"}", alg);
    struct out o = unsigned_token(header, claims);
    must(HMAC(EVP_get_digestbyname(hash), by.p, (int)by.n, (unsigned char *)o.p, o.n, mac, &n) !=
         NULL);
    out_char(&o, '.');
    put_url(&o, mac, n);
    return o;
}

/* ---- what a token says ---- */

static void what_a_token_says(void **state) {
    static const struct str path[] = {{"realm", 5}, {"roles", 5}};
    struct out o =
        made_token(ES256, "{\"alg\":\"ES256\",\"kid\":\"k6\",\"typ\":\"at+jwt\"}", CLAIMS);
    struct jwt t;
    (void)state;
    assert_int_equal(jwt_read(&t, out_done(&o), scratch, &why), 0);
    assert_int_equal(t.alg, JWT_ES256);
    assert_true(str_eq(t.kid, STR("k6")) && str_eq(t.typ, STR("at+jwt")));
    assert_true(str_eq(t.issuer, STR("https://idp")) && str_eq(t.subject, STR("joe")));
    assert_true(str_eq(t.id, STR("t-1")));
    assert_true(t.expires == NOW + 3600 && t.not_before == NOW && t.issued == NOW);
    assert_true(jwt_is_for(&t, STR("shop")) && jwt_is_for(&t, STR("other")));
    assert_false(jwt_is_for(&t, STR("sho")) || jwt_is_for(&t, STR("")));
    const struct claim *roles = claims_get(&t.claims, path, 2);
    assert_true(str_eq(claim_text(&t.claims, roles + 1), STR("admin")));
    out_fini(&o);
    o = made_token(ES256, ES_HEADER, "{\"sub\":42,\"jti\":7,\"exp\":1.8000036005e9}");
    assert_int_equal(jwt_read(&t, out_done(&o), scratch, &why), 0);
    assert_true(str_eq(t.subject, STR("42")) && str_eq(t.id, STR("7")) && t.issuer.n == 0);
    assert_true(t.expires == NOW + 3600 && t.not_before == 0 && t.issued == 0);
    out_fini(&o);
}

static void names_of_algorithms_both_ways(void **state) {
    enum jwt_alg alg;
    (void)state;
    for (unsigned i = 0; i < JWT_ALGS; i++)
        assert_true(jwt_alg_named(str_of(jwt_alg_name((enum jwt_alg)i)), &alg) && alg == i);
    assert_false(jwt_alg_named(STR("none"), &alg) || jwt_alg_named(STR(""), &alg) ||
                 jwt_alg_named(STR("rs256"), &alg) || jwt_alg_named(STR("RS2567"), &alg));
    assert_int_equal(JWT_ALGS_KEY & JWT_ALGS_SECRET, 0);
    assert_int_equal(JWT_ALGS_KEY | JWT_ALGS_SECRET, JWT_ALG(JWT_ALGS) - 1);
}

/* ---- the checklist of RFC 8725 ---- */

/* 3.1: each algorithm with each key; only its own fits, and only if it is accepted. */
static void rfc8725_3_1_algorithm_verification(void **state) {
    char header[64];
    (void)state;
    for (size_t by = 0; by < KEYS; by++)
        for (size_t kid = 0; kid < KEYS; kid++) {
            snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k%zu\"}", made[by].how.alg,
                     kid);
            bool same_alg = made[by].alg == made[kid].alg;
            expect(by, header, CLAIMS,
                   by == kid  ? ""
                   : same_alg ? "its signature is wrong" /* of the two curves of EdDSA */
                              : "is not one for");
            struct out o = made_token(by, header, CLAIMS);
            const char *got =
                verdict_with(out_done(&o), JWT_ALGS_KEY & ~JWT_ALG(made[by].alg), &usual, NOW);
            assert_non_null(strstr(got, "is not one of those that are accepted"));
            out_fini(&o);
        }
    expect_by(other_ec, ES_HEADER, "its signature is wrong");
    expect_by(other_rsa, RS_HEADER, "its signature is wrong");
}

static void rfc8725_3_2_appropriate_algorithms(void **state) {
    static const char *const none[] = {"none", "None", "NONE", "nOnE"};
    static const char *const unknown[] = {"",       "none ",  "es256", "RS1",     "HS1",  "RSA1_5",
                                          "ES256K", "RS256 ", "dir",   "A128GCM", "nonee"};
    char header[100];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k6\"}", none[i]);
        expect(ES256, header, CLAIMS, "it is not signed (alg none)");
        struct out o = unsigned_token(header, CLAIMS);
        out_char(&o, '.');
        check(&o, header, "it is not signed", verdict(out_done(&o)));
    }
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k6\"}", unknown[i]);
        expect(ES256, header, CLAIMS, "is not known");
    }
    expect(ES256, "{\"kid\":\"k6\"}", CLAIMS, "names no algorithm");
    expect(ES256, "{\"alg\":null,\"kid\":\"k6\"}", CLAIMS, "names no algorithm");
    expect(ES256, "{\"alg\":[\"ES256\"],\"kid\":\"k6\"}", CLAIMS, "names no algorithm");
    expect(ES256, "{\"alg\":7,\"kid\":\"k6\"}", CLAIMS, "names no algorithm");
}

/* 3.3: whatever one byte of a good token becomes, it is no good token; nor is a part of one. */
static void rfc8725_3_3_every_byte_counts(void **state) {
    struct out o = made_token(ES256, ES_HEADER, CLAIMS);
    (void)state;
    assert_string_equal(verdict(out_done(&o)), "");
    for (size_t i = 0; i < o.n; i++) {
        char was = o.p[i];
        for (int c = 0; c < 256; c += 1 + (i > 100 ? 7 : 0)) {
            o.p[i] = (char)c;
            if (c != (unsigned char)was && *verdict(out_done(&o)) == 0)
                fail_msg("byte %zu as %d is accepted", i, c);
        }
        o.p[i] = was;
    }
    for (size_t n = 0; n < o.n; n++)
        assert_string_not_equal(verdict(str_mk(o.p, n)), "");
    out_char(&o, '=');
    assert_string_not_equal(verdict(out_done(&o)), "");
    out_fini(&o);
}

/* 3.4: signatures that are no pair of numbers, or of another length. Points that are on no curve:
 * tests/unit/jwt_keys_test.c. */
static void rfc8725_3_4_cryptographic_inputs(void **state) {
    struct out good = made_token(ES256, ES_HEADER, CLAIMS);
    size_t head = good.n - 86;
    unsigned char zero[200] = {0}, ones[200];
    (void)state;
    memset(ones, 0xff, sizeof(ones));
    for (size_t n = 1; n < 140; n++) {
        struct out a = out_heap(4096), b = out_heap(4096);
        out_str(&a, str_mk(good.p, head));
        put_url(&a, zero, n);
        check(&a, "zeros", "its signature is wrong", verdict(out_done(&a)));
        out_str(&b, str_mk(good.p, head));
        put_url(&b, ones, n);
        check(&b, "ones", "its signature is wrong", verdict(out_done(&b)));
    }
    for (size_t i = 0; i < KEYS; i++) /* also the longest pair, of P-521 */
        for (size_t n = 130; n < 134; n++) {
            char header[64];
            snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k%zu\"}", made[i].how.alg,
                     i);
            struct out o = unsigned_token(header, CLAIMS);
            out_char(&o, '.');
            put_url(&o, ones, n);
            check(&o, header, "its signature is wrong", verdict(out_done(&o)));
        }
    out_fini(&good);
}

static const char *with_secret(struct str text, enum jwt_alg alg, struct str by) {
    struct jwt t;
    why_clear(&why);
    int bad = jwt_read(&t, text, scratch, &why);
    if (!bad)
        bad = jwt_verify_secret(&t, alg, by, scratch, &why);
    assert_int_equal(bad != 0, why_set(&why));
    return why.text;
}

/* 3.5: a secret of at least the hash's length, for one algorithm. */
static void rfc8725_3_5_entropy_of_secrets(void **state) {
    static const struct {
        const char *name, *hash;
        enum jwt_alg alg;
        size_t min;
    } all[] = {{"HS256", "SHA256", JWT_HS256, 32},
               {"HS384", "SHA384", JWT_HS384, 48},
               {"HS512", "SHA512", JWT_HS512, 64}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct str enough = str_mk(secret, all[i].min), less = str_mk(secret, all[i].min - 1);
        struct out o = secret_token(all[i].name, all[i].hash, enough, CLAIMS);
        assert_string_equal(with_secret(out_done(&o), all[i].alg, enough), "");
        struct str longer = str_mk(secret, 64);
        if (i < 2)
            assert_string_equal(with_secret(out_done(&o), all[i].alg, longer),
                                "its signature is wrong");
        for (size_t k = 0; k < 3; k++)
            if (k != i)
                assert_non_null(
                    strstr(with_secret(out_done(&o), all[k].alg, longer), "its secret is for"));
        o.p[o.n - 2] ^= 1;
        assert_string_not_equal(with_secret(out_done(&o), all[i].alg, enough), "");
        out_fini(&o);
        o = secret_token(all[i].name, all[i].hash, less, CLAIMS);
        assert_non_null(strstr(with_secret(out_done(&o), all[i].alg, less), "is too short for"));
        out_fini(&o);
        o = secret_token(all[i].name, all[i].hash, enough, CLAIMS);
        assert_non_null(strstr(with_secret(out_done(&o), all[i].alg, STR_NONE), "is too short"));
        out_fini(&o);
    }
    why_clear(&why); /* what Kong makes by itself has 32 characters */
    assert_int_equal(jwt_secret_check(JWT_HS512, str_mk(secret, 32), &why), -1);
    assert_string_equal(why.text, "a secret of 32 bytes is too short for HS512; take a random one "
                                  "of 64 or more, or HS256");
}

/* 3.6: nothing is decompressed; what is compressed is no JSON. */
static void rfc8725_3_6_no_compression(void **state) {
    (void)state;
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":\"k6\",\"zip\":\"DEF\"}", "\x05\x80\x31",
           "its payload cannot be used");
}

static void rfc8725_3_7_utf8(void **state) {
    (void)state;
    expect(ES256, ES_HEADER, "{\"sub\":\"\xff\"}", "this is not UTF-8");
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":\"\xe9\"}", CLAIMS, "this is not UTF-8");
    expect(ES256, ES_HEADER, "{\"sub\":\"\\ud800\"}", "surrogate");
    expect(ES256, ES_HEADER, "{\0\"s\0u\0b\0", "its payload cannot be used"); /* UTF-16 */
}

/* 3.8: the issuer is the one whose keys they are, and the subject is a name. */
static void rfc8725_3_8_issuer_and_subject(void **state) {
    (void)state;
    static const struct {
        const char *claims, *why;
    } cases[] = {
        {"{\"iss\":\"https://idp\",\"aud\":\"shop\",\"exp\":1800003600}", ""},
        {"{\"iss\":\"https://other\",\"aud\":\"shop\",\"exp\":1800003600}",
         "it is of another issuer, \"https://other\""},
        {"{\"iss\":\"https://idp/\",\"aud\":\"shop\",\"exp\":1800003600}", "another issuer"},
        {"{\"iss\":\"HTTPS://idp\",\"aud\":\"shop\",\"exp\":1800003600}", "another issuer"},
        {"{\"iss\":\"\",\"aud\":\"shop\",\"exp\":1800003600}", "another issuer"},
        {"{\"aud\":\"shop\",\"exp\":1800003600}", "another issuer"},
        {"{\"iss\":[\"https://idp\"],\"aud\":\"shop\",\"exp\":1800003600}", "its claim iss is not"},
        {"{\"iss\":7,\"aud\":\"shop\",\"exp\":1800003600}", "its claim iss is not"},
        {"{\"iss\":null,\"aud\":\"shop\",\"exp\":1800003600}", "its claim iss is not"},
        {"{\"iss\":\"https://idp\",\"aud\":\"shop\",\"exp\":1800003600,\"sub\":{}}",
         "its claim sub is not"},
        {"{\"iss\":\"https://idp\",\"aud\":\"shop\",\"exp\":1800003600,\"jti\":[]}",
         "its claim jti is not"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect(ES256, ES_HEADER, cases[i].claims, cases[i].why);
}

static void rfc8725_3_9_audience(void **state) {
    static const struct str two[] = {{"a", 1}, {"b", 1}};
    const struct jwt_rules either = {.audiences = two, .n_audiences = 2}, any = {.skew_s = 0};
    (void)state;
    static const struct {
        const char *aud;
        bool shop, either;
    } cases[] = {
        {"\"shop\"", true, false},
        {"\"Shop\"", false, false},
        {"[\"x\",\"shop\"]", true, false},
        {"[\"b\",7,null,{\"shop\":\"shop\"}]", false, true},
        {"\"a\"", false, true},
        {"\"a b\"", false, false},
        {"[[\"shop\"]]", false, false},
        {"{\"shop\":\"shop\"}", false, false},
        {"7", false, false},
        {"null", false, false},
        {"[]", false, false},
        {"\"\"", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char claims[200];
        snprintf(claims, sizeof(claims), "{\"iss\":\"https://idp\",\"exp\":1800003600,\"aud\":%s}",
                 cases[i].aud);
        expect_rules(ES_HEADER, claims, &usual,
                     cases[i].shop ? "" : "not for the audience \"shop\"");
        expect_rules(ES_HEADER, claims, &either,
                     cases[i].either ? "" : "\"a\", nor another one that is accepted");
        expect_rules(ES_HEADER, claims, &any, "");
    }
    expect(ES256, ES_HEADER, "{\"iss\":\"https://idp\",\"exp\":1800003600}",
           "not for the audience");
}

/* 3.10: nothing that a header says leads anywhere: keys and addresses of its own are not looked at,
 * and kid is a name among ours. */
static void rfc8725_3_10_received_claims_are_not_trusted(void **state) {
    static const char *const kids[] = {
        "../../../../dev/null", "/etc/passwd", "' OR '1'='1", "k6;ls", "k", "k66", "K6",
        "http://evil/k6",       "%00"};
    char header[700], kid[300];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kids); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\"}", kids[i]);
        expect(ES256, header, CLAIMS, "it is signed with a key that is not known, kid");
    }
    for (size_t n = JWT_KID_MAX; n <= JWT_KID_MAX + 1; n++) {
        memset(kid, 'k', n);
        kid[n] = 0;
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\"}", kid);
        expect(ES256, header, CLAIMS, n > JWT_KID_MAX ? "is not a text of" : "is not known");
    }
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":7}", CLAIMS, "its header's kid is not a text");
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":\"\"}", CLAIMS, "its header's kid is not a text");
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":[\"k6\"]}", CLAIMS, "its header's kid is not a text");
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":\"k6\\u0000\"}", CLAIMS, "\\u0000");
    expect_by(other_ec,
              "{\"alg\":\"ES256\",\"kid\":\"x\",\"jku\":\"https://evil\",\"x5u\":\"https://evil\"}",
              "a key that is not known");
    struct out o = out_heap(4096);
    out_lit(&o, "{\"alg\":\"ES256\",\"jwk\":");
    put_ec(&o, other_ec, "k6");
    out_lit(&o, ",\"x5c\":[\"MIIB\"],\"x5t\":\"x\",\"x5t#S256\":\"y\",\"kid\":\"k6\"}");
    out_char(&o, 0);
    expect_by(other_ec, o.p, "its signature is wrong");
    expect(ES256, o.p, CLAIMS, ""); /* signed with ours: what it brings is not looked at */
    out_fini(&o);
}

static void expect_type(const char *typ, const char *wanted, bool good) {
    char header[200];
    struct jwt_rules rules = usual;
    rules.typ = str_of(wanted);
    snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"k6\"%s%s%s}",
             typ ? ",\"typ\":\"" : "", typ ? typ : "", typ ? "\"" : "");
    expect_rules(header, CLAIMS, &rules, good ? "" : "it is of another type");
}

/* 3.11: by default JWT, at+jwt or nothing, else exactly what is asked for. */
static void rfc8725_3_11_explicit_typing(void **state) {
    static const struct {
        const char *typ, *wanted;
        bool good;
    } cases[] = {
        {NULL, NULL, true},
        {"JWT", NULL, true},
        {"jwt", NULL, true},
        {"application/jwt", NULL, true},
        {"at+jwt", NULL, true},
        {"AT+JWT", NULL, true},
        {"application/at+jwt", NULL, true},
        {"Application/At+Jwt", NULL, true},
        {"dpop+jwt", NULL, false},
        {"logout+jwt", NULL, false},
        {"secevent+jwt", NULL, false},
        {"JOSE", NULL, false},
        {"text/jwt", NULL, false},
        {"application/", NULL, false},
        {"application/application/jwt", NULL, false},
        {"at+jwt", "at+jwt", true},
        {"application/at+jwt", "at+jwt", true},
        {"at+jwt", "application/AT+JWT", true},
        {"JWT", "at+jwt", false},
        {NULL, "at+jwt", false},
        {"logout+jwt", "logout+jwt", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_type(cases[i].typ, cases[i].wanted, cases[i].good);
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":\"k6\",\"typ\":7}", CLAIMS, "header's typ is not");
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":\"k6\",\"typ\":\"\"}", CLAIMS, "header's typ is not");
}

/* 3.12: two kinds of tokens of one issuer, neither of which passes as the other. */
static void rfc8725_3_12_rules_exclude_each_other(void **state) {
    static const char access[] = "{\"alg\":\"ES256\",\"kid\":\"k6\",\"typ\":\"at+jwt\"}";
    static const char logout[] = "{\"alg\":\"ES256\",\"kid\":\"k6\",\"typ\":\"logout+jwt\"}";
    struct jwt_rules for_access = usual, for_logout = usual;
    (void)state;
    for_access.typ = STR("at+jwt");
    for_logout.typ = STR("logout+jwt");
    expect_rules(access, CLAIMS, &for_access, "");
    expect_rules(logout, CLAIMS, &for_access, "it is of another type, \"logout+jwt\"");
    expect_rules(access, CLAIMS, &for_logout, "it is of another type, \"at+jwt\"");
    expect_rules(logout, CLAIMS, &usual, "it is of another type");
}

/* ---- S36 ---- */

/* The public key as the secret of an HMAC: in DER, in PEM, its modulus. */
static void s36_public_key_as_secret(void **state) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    (void)state;
    EVP_PKEY *of[] = {rsa, ec[0]};
    for (size_t i = 0; i < 2; i++) {
        PEM_write_bio_PUBKEY(bio, of[i]);
        long n = BIO_get_mem_data(bio, &pem);
        const struct str as[] = {der_of(of[i]), str_mk(pem, (size_t)n)};
        for (size_t k = 0; k < 2; k++) {
            struct out o = secret_token("HS256", "SHA256", as[k], CLAIMS);
            assert_non_null(strstr(verdict(out_done(&o)), "is not one of those that are accepted"));
            const char *got = verdict_with(out_done(&o), ~0U, &usual, NOW);
            assert_non_null(strstr(got, "is not one of those that are accepted"));
            out_fini(&o);
        }
        (void)BIO_reset(bio);
    }
    BIO_free(bio);
    struct out o = made_token(RS256, RS_HEADER, CLAIMS); /* and the other way round */
    assert_non_null(strstr(with_secret(out_done(&o), JWT_HS256, STR(secret)), "its secret is for"));
    out_fini(&o);
}

static void s36_critical_extensions(void **state) {
    static const char *const said[] = {"\"crit\":[\"exp\"]",    "\"crit\":null", "\"crit\":[]",
                                       "\"crit\":\"alg\"",      "\"b64\":false", "\"b64\":true",
                                       "\"cr\\u0069t\":[\"x\"]"};
    char header[200];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"k6\",%s}", said[i]);
        expect(ES256, header, CLAIMS, "it demands an extension");
    }
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":\"k6\",\"x\":{\"crit\":[\"exp\"]}}", CLAIMS, "");
}

static void s36_duplicates_at_every_level(void **state) {
    (void)state;
    expect(ES256, "{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"k6\"}", CLAIMS, "twice");
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":\"x\",\"kid\":\"k6\"}", CLAIMS, "twice");
    expect(ES256, "{\"alg\":\"ES256\",\"\\u0061lg\":\"none\",\"kid\":\"k6\"}", CLAIMS, "twice");
    expect(ES256, ES_HEADER, "{\"aud\":\"x\",\"aud\":\"shop\"}", "twice");
    expect(ES256, ES_HEADER, "{\"realm_access\":{\"roles\":[],\"roles\":[\"admin\"]}}", "twice");
    expect(ES256, ES_HEADER, "{\"a\":[{\"b\":{\"c\":1,\"c\":2}}]}", "twice");
}

static struct jwt_keys *two_keys(struct str kid, EVP_PKEY *a, struct str other, EVP_PKEY *b) {
    const struct jwt_key list[] = {{kid, JWT_ES256, der_of(a)}, {other, JWT_ES256, der_of(b)}};
    struct jwt_keys *k = jwt_keys_of(list, 2, NULL);
    assert_non_null(k);
    return k;
}

static int verify_with(const struct jwt_keys *with, EVP_PKEY *by, const char *header) {
    struct out o = token(by, header, CLAIMS);
    struct jwt t;
    why_clear(&why);
    assert_int_equal(jwt_read(&t, out_done(&o), scratch, &why), 0);
    int result = jwt_verify(&t, with, JWT_ALGS_KEY, scratch, &why);
    assert_int_equal(result != 0, why_set(&why));
    out_fini(&o);
    return result;
}

/* Two keys of one kid are both tried, keys without one for any token, and no key that is named for
 * a token that names another. */
static void s36_kids_that_are_there_twice_or_not(void **state) {
    static const char a[] = "{\"alg\":\"ES256\",\"kid\":\"a\"}",
                      b[] = "{\"alg\":\"ES256\",\"kid\":\"b\"}", none[] = "{\"alg\":\"ES256\"}",
                      null[] = "{\"alg\":\"ES256\",\"kid\":null}";
    struct jwt_keys *k = two_keys(STR("a"), ec[0], STR("a"), other_ec);
    EVP_PKEY *third = EVP_EC_gen("P-256");
    (void)state;
    assert_int_equal(verify_with(k, ec[0], a), 0);
    assert_int_equal(verify_with(k, other_ec, a), 0);
    assert_int_equal(verify_with(k, third, a), -1);
    assert_int_equal(verify_with(k, ec[0], b), JWT_KEY_UNKNOWN);
    assert_int_equal(verify_with(k, ec[0], none), 0);
    assert_int_equal(verify_with(k, ec[0], null), 0);
    assert_int_equal(verify_with(k, third, none), JWT_KEY_UNKNOWN); /* it may be a newer one's */
    assert_string_equal(why.text, "its signature is wrong");
    jwt_keys_free(k);
    k = two_keys(STR_NONE, ec[0], STR("b"), other_ec);
    assert_int_equal(verify_with(k, ec[0], a), 0);
    assert_int_equal(verify_with(k, ec[0], b), 0);
    assert_int_equal(verify_with(k, other_ec, b), 0);
    assert_int_equal(verify_with(k, other_ec, a), JWT_KEY_UNKNOWN);
    assert_int_equal(verify_with(k, third, b), -1);
    jwt_keys_free(k);
    EVP_PKEY_free(third);
}

/* A token without a kid does not cost as many verifications as there are keys. */
static void s36_tries_are_bounded(void **state) {
    struct jwt_key list[JWT_TRIES_MAX + 1];
    (void)state;
    struct str right = der_of(ec[0]), wrong = der_of(other_ec);
    for (size_t i = 0; i <= JWT_TRIES_MAX; i++)
        list[i] = (struct jwt_key){STR_NONE, JWT_ES256, i < JWT_TRIES_MAX ? wrong : right};
    struct jwt_keys *k = jwt_keys_of(list + 1, JWT_TRIES_MAX, NULL);
    assert_int_equal(verify_with(k, ec[0], "{\"alg\":\"ES256\"}"), 0);
    jwt_keys_free(k);
    k = jwt_keys_of(list, JWT_TRIES_MAX + 1, NULL);
    assert_int_equal(verify_with(k, ec[0], "{\"alg\":\"ES256\"}"), -1);
    assert_string_equal(why.text, "it was tried with 8 keys, and no more are");
    jwt_keys_free(k);
}

static void s36_times(void **state) {
    (void)state;
    static const struct {
        const char *claims, *why;
    } cases[] = {
        {"\"exp\":1800003600", ""},
        {"\"exp\":1799999941", ""},
        {"\"exp\":1799999940", "it has expired 60 s ago"},
        {"\"exp\":1", "it has expired 1799999999 s ago"},
        {"\"sub\":\"x\"", "it never expires"},
        {"\"exp\":\"1800003600\"", "its claim exp is not a time"},
        {"\"exp\":1e300", "its claim exp is not a time"},
        {"\"exp\":1e15", "its claim exp is not a time"},
        {"\"exp\":9007199254740993", "its claim exp is not a time"},
        {"\"exp\":999999999999999", ""},
        {"\"exp\":99999999999999999999999999999999999999999999999", "its claim exp is not a time"},
        {"\"exp\":18446744073709551617", "its claim exp is not a time"},
        {"\"exp\":1.8e9999999999999999", "its claim exp is not a time"},
        {"\"exp\":-1", "its claim exp is not a time"},
        {"\"exp\":-1800003600", "its claim exp is not a time"},
        {"\"exp\":0", "its claim exp is not a time"},
        {"\"exp\":0.5", "its claim exp is not a time"},
        {"\"exp\":null", "its claim exp is not a time"},
        {"\"exp\":true", "its claim exp is not a time"},
        {"\"exp\":[1800003600]", "its claim exp is not a time"},
        {"\"exp\":1.8000036e9", ""},
        {"\"exp\":1800003600.999", ""},
        {"\"exp\":1800003600,\"nbf\":1800000060", ""},
        {"\"exp\":1800003600,\"nbf\":1800000061", "it counts only in 61 s"},
        {"\"exp\":1800003600,\"nbf\":\"x\"", "its claim nbf is not a time"},
        {"\"exp\":1800003600,\"iat\":1800000060", ""},
        {"\"exp\":1800003600,\"iat\":1800000061", "it will have been issued in 61 s"},
        {"\"exp\":1800003600,\"iat\":{}", "its claim iat is not a time"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char claims[200];
        snprintf(claims, sizeof(claims), "{\"iss\":\"https://idp\",\"aud\":\"shop\",%s}",
                 cases[i].claims);
        expect(ES256, ES_HEADER, claims, cases[i].why);
    }
    struct jwt_rules strict = usual;
    strict.skew_s = 0;
    expect_rules(ES_HEADER, "{\"iss\":\"https://idp\",\"aud\":\"shop\",\"exp\":1800000000}",
                 &strict, "it has expired 0 s ago");
    expect_rules(ES_HEADER, "{\"iss\":\"https://idp\",\"aud\":\"shop\",\"exp\":1800000001}",
                 &strict, "");
}

static void s36_shapes_that_are_refused(void **state) {
    struct out o = made_token(ES256, ES_HEADER, CLAIMS), big = out_heap(1 << 20);
    (void)state;
    assert_non_null(strstr(verdict(STR("")), "three parts"));
    assert_non_null(strstr(verdict(STR("a.b")), "three parts"));
    assert_non_null(strstr(verdict(STR("a.b.c.d")), "three parts"));
    assert_non_null(strstr(verdict(STR("a.b.c.d.e")), "it is encrypted (JWE, five parts)"));
    assert_non_null(strstr(verdict(STR("a.b.c.d.e.f")), "three parts"));
    assert_non_null(strstr(verdict(STR("..")), "it is not signed"));
    assert_non_null(strstr(verdict(STR("..c2ln")), "its header cannot be used"));
    assert_non_null(strstr(verdict(STR("{\"payload\":\"\"}")), "three parts"));
    for (const char *junk = " \t\n\r=+/\"%\x7f\xc3"; *junk; junk++) /* at each end of each part */
        for (int where = 0; where < 6; where++) {
            struct out with = out_heap(4096);
            struct str part[3], rest = out_done(&o);
            for (int i = 0; i < 3; i++) {
                rest = str_cut(rest, '.', &part[i]);
                out_str(&with, i ? STR(".") : STR(""));
                out_str(&with, where == 2 * i ? str_mk(junk, 1) : STR(""));
                out_str(&with, part[i]);
                out_str(&with, where == 2 * i + 1 ? str_mk(junk, 1) : STR(""));
            }
            check(&with, "junk", "is not base64url", verdict(out_done(&with)));
        }
    out_lit(&big, "{\"x\":\"");
    while (big.n < 6200)
        out_char(&big, 'x');
    out_lit(&big, "\"}");
    out_char(&big, 0);
    expect(ES256, ES_HEADER, big.p, "more than 8192");
    out_fini(&big);
    out_fini(&o);
    expect(ES256, "[\"ES256\"]", CLAIMS, "its header cannot be used: it is no object");
    expect(ES256, "\"ES256\"", CLAIMS, "its header cannot be used: it is no object");
    expect(ES256, ES_HEADER, "\"a text\"", "its payload cannot be used: it is no object");
    expect(ES256, ES_HEADER, "[{}]", "its payload cannot be used: it is no object");
    expect(ES256, ES_HEADER, "", "its payload cannot be used");
    expect(ES256, ES_HEADER, "{\"a\":\"\\u0000\"}", "\\u0000");
    expect(
        ES256, ES_HEADER,
        "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
        "nested too deeply");
}

/* The largest token is read, and as many values as fit. */
static void the_largest_token(void **state) {
    struct out claims = out_heap(1 << 16);
    (void)state;
    out_lit(&claims, "{\"iss\":\"https://idp\",\"aud\":\"shop\",\"exp\":1800003600,\"groups\":[0");
    for (int i = 0; i < 950; i++)
        out_lit(&claims, ",0");
    while (claims.n < 6000)
        out_char(&claims, ' ');
    out_lit(&claims, "]}");
    out_char(&claims, 0);
    expect(ES256, ES_HEADER, claims.p, "");
    out_fini(&claims);
}

/* Sentences are for the log: nothing of a token that is not escaped and cut. */
static void what_is_said_of_a_token_is_escaped(void **state) {
    (void)state;
    expect(ES256, "{\"alg\":\"\\n\\u001b[31mx\",\"kid\":\"k6\"}", CLAIMS,
           "its algorithm \"\\n\\u001b[31mx\"");
    expect(ES256, "{\"alg\":\"ES256\",\"kid\":\"\\n\"}", CLAIMS, "kid \"\\n\"");
}

static void rfc8705_bound_to_a_certificate(void **state) {
    static const unsigned char sha[32] = {1, 2, 3}, other[32] = {1, 2, 4};
    static const struct {
        const char *cnf;
        bool yes;
    } cases[] = {
        {"{\"x5t#S256\":\"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", true},
        {"{\"x5t#S256\":\"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\"}", false},
        {"{\"x5t#S256\":\"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}", false},
        {"{\"x5t#S256\":\"\"}", false},
        {"{\"x5t#S256\":7}", false},
        {"{\"x5t\":\"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", false},
        {"\"x5t#S256\"", false},
        {"null", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char claims[200];
        struct jwt t;
        snprintf(claims, sizeof(claims), "{\"cnf\":%s}", cases[i].cnf);
        struct out o = unsigned_token(ES_HEADER, claims);
        out_lit(&o, ".c2ln");
        assert_int_equal(jwt_read(&t, out_done(&o), scratch, &why), 0);
        assert_int_equal(jwt_is_bound_to(&t, sha), cases[i].yes);
        assert_false(jwt_is_bound_to(&t, other));
        out_fini(&o);
    }
}

/* ---- room ---- */

static void a_token_costs_no_allocation(void **state) {
    struct out o = made_token(RS256, RS_HEADER, CLAIMS);
    (void)state;
    assert_string_equal(verdict(out_done(&o)), "");
    uint64_t before = mem_calls();
    assert_string_equal(verdict(out_done(&o)), "");
    assert_int_equal(mem_calls(), before);
    out_fini(&o);
}

/* More keys than a scratch has slots, and key sets that are gone: no context is taken for that of
 * another key. */
static void many_keys_through_one_scratch(void **state) {
    struct out by_ec = token(ec[0], "{\"alg\":\"ES256\"}", CLAIMS),
               by_other = token(other_ec, "{\"alg\":\"ES256\"}", CLAIMS);
    struct str a = der_of(ec[0]), b = der_of(other_ec);
    (void)state;
    for (int i = 0; i < 700; i++) {
        const struct jwt_key one = {STR_NONE, JWT_ES256, i % 3 ? a : b};
        struct jwt_keys *k = jwt_keys_of(&one, 1, NULL);
        struct jwt t;
        assert_int_equal(jwt_read(&t, out_done(&by_ec), scratch, NULL), 0);
        assert_int_equal(jwt_verify(&t, k, JWT_ALGS_KEY, scratch, NULL) == 0, i % 3 != 0);
        assert_int_equal(jwt_read(&t, out_done(&by_other), scratch, NULL), 0);
        assert_int_equal(jwt_verify(&t, k, JWT_ALGS_KEY, scratch, NULL) == 0, i % 3 == 0);
        jwt_keys_free(k);
    }
    out_fini(&by_ec);
    out_fini(&by_other);
}

static void *verify_often(void *arg) {
    struct out *tokens = arg;
    struct jwt_scratch *own = jwt_scratch_new();
    struct jwt t;
    size_t wrong = 0;
    for (size_t i = 0; i < 20 * KEYS; i++)
        wrong += jwt_read(&t, out_done(&tokens[i % KEYS]), own, NULL) != 0 ||
                 jwt_verify(&t, keys, JWT_ALGS_KEY, own, NULL) != 0;
    jwt_scratch_free(own);
    return wrong ? arg : NULL;
}

static void keys_are_for_many_threads(void **state) {
    struct out tokens[KEYS];
    pthread_t threads[4];
    char header[64];
    void *wrong;
    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k%zu\"}", made[i].how.alg, i);
        tokens[i] = made_token(i, header, CLAIMS);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_often, tokens), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    for (size_t i = 0; i < KEYS; i++)
        out_fini(&tokens[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wycheproof_json_web_signature),
        cmocka_unit_test(wycheproof_json_web_key),
        cmocka_unit_test(rfc7515_appendix_a_and_e),
        cmocka_unit_test(rfc7515_appendix_c),
        cmocka_unit_test(rfc7519_examples),
        cmocka_unit_test(rfc7520_section_4),
        cmocka_unit_test(rfc7797_example),
        cmocka_unit_test(rfc8037_appendix_a),
        cmocka_unit_test(what_a_token_says),
        cmocka_unit_test(names_of_algorithms_both_ways),
        cmocka_unit_test(rfc8725_3_1_algorithm_verification),
        cmocka_unit_test(rfc8725_3_2_appropriate_algorithms),
        cmocka_unit_test(rfc8725_3_3_every_byte_counts),
        cmocka_unit_test(rfc8725_3_4_cryptographic_inputs),
        cmocka_unit_test(rfc8725_3_5_entropy_of_secrets),
        cmocka_unit_test(rfc8725_3_6_no_compression),
        cmocka_unit_test(rfc8725_3_7_utf8),
        cmocka_unit_test(rfc8725_3_8_issuer_and_subject),
        cmocka_unit_test(rfc8725_3_9_audience),
        cmocka_unit_test(rfc8725_3_10_received_claims_are_not_trusted),
        cmocka_unit_test(rfc8725_3_11_explicit_typing),
        cmocka_unit_test(rfc8725_3_12_rules_exclude_each_other),
        cmocka_unit_test(s36_public_key_as_secret),
        cmocka_unit_test(s36_critical_extensions),
        cmocka_unit_test(s36_duplicates_at_every_level),
        cmocka_unit_test(s36_kids_that_are_there_twice_or_not),
        cmocka_unit_test(s36_tries_are_bounded),
        cmocka_unit_test(s36_times),
        cmocka_unit_test(s36_shapes_that_are_refused),
        cmocka_unit_test(the_largest_token),
        cmocka_unit_test(what_is_said_of_a_token_is_escaped),
        cmocka_unit_test(rfc8705_bound_to_a_certificate),
        cmocka_unit_test(a_token_costs_no_allocation),
        cmocka_unit_test(many_keys_through_one_scratch),
        cmocka_unit_test(keys_are_for_many_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
