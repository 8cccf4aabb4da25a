/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of our own: made, read, verified by OpenSSL itself, and refused when they are changed.
 */
#include "lib/jwt_sign.h"

#include "lib/mem.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/jwt_vectors.h"

#define CLAIMS "{\"iss\":\"https://gateway\",\"aud\":\"shop\",\"exp\":1800000060,\"sub\":\"joe\"}"

static struct jwt_scratch *scratch;
static const enum jwt_alg algorithms[] = {JWT_ES256, JWT_EDDSA};

static int setup(void **state) {
    (void)state;
    scratch = jwt_scratch_new();
    return 0;
}
static int teardown(void **state) {
    (void)state;
    jwt_scratch_free(scratch);
    return 0;
}

static struct jwt_signer *signer_of(enum jwt_alg alg) {
    struct out o = out_heap(4096);
    struct why why = {0};
    jwt_make_key(alg, &o);
    struct jwt_signer *g = jwt_signer_new(out_done(&o), &why);
    if (!g)
        fail_msg("%s", why.text);
    out_fini(&o);
    return g;
}

static void a_token_is_read_by_whoever_has_the_key_set(void **state) {
    static const struct str shop = {"shop", 4};
    const struct jwt_rules rules = {
        .issuer = STR("https://gateway"), .audiences = &shop, .n_audiences = 1};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct jwt_signer *g = signer_of(algorithms[i]), *other = signer_of(algorithms[i]);
        const struct jwt_key both[] = {*jwt_signer_key(other), *jwt_signer_key(g)};
        struct out set = out_heap(4096), o = out_heap(4096), header = out_heap(4096);
        struct why why = {0};
        struct jwt t;
        assert_int_equal(jwt_set_json(both, 2, &set), 0);
        struct jwt_keys *keys = jwt_keys_new(out_done(&set), &why);
        assert_int_equal(jwt_keys_count(keys), 2);
        assert_int_equal(jwt_sign(g, STR("JWT"), STR(CLAIMS), scratch, &o), 0);
        assert_int_equal(jwt_read(&t, out_done(&o), scratch, &why), 0);
        assert_int_equal(jwt_verify(&t, keys, JWT_ALG(algorithms[i]), scratch, &why), 0);
        assert_int_equal(jwt_judge(&t, &rules, 1800000000, &why), 0);
        assert_true(str_eq(t.kid, jwt_signer_key(g)->kid) && t.kid.n == 43);
        claim_json(&t.header, t.header.nodes, &header);
        out_char(&header, 0);
        char expected[200];
        snprintf(expected, sizeof(expected), "{\"alg\":\"%s\",\"kid\":\"%.*s\",\"typ\":\"JWT\"}",
                 jwt_alg_name(algorithms[i]), STR_FMT(t.kid));
        assert_string_equal(header.p, expected);
        o.p[o.n - 4] = o.p[o.n - 4] == 'A' ? 'B' : 'A';
        assert_int_equal(jwt_read(&t, out_done(&o), scratch, &why), 0);
        assert_int_equal(jwt_verify(&t, keys, JWT_ALGS_KEY, scratch, &why), -1);
        jwt_keys_free(keys);
        jwt_signer_free(g);
        jwt_signer_free(other);
        out_fini(&set);
        out_fini(&o);
        out_fini(&header);
    }
}

/* EdDSA by OpenSSL's own one-shot verification, over what stands before the second dot. */
static void openssl_agrees(void **state) {
    struct jwt_signer *g = signer_of(JWT_EDDSA);
    struct str der = jwt_signer_key(g)->der;
    const unsigned char *p = (const unsigned char *)der.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)der.n);
    struct out o = out_heap(4096);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct jwt t;
    (void)state;
    assert_int_equal(jwt_sign(g, STR("at+jwt"), STR(CLAIMS), scratch, &o), 0);
    assert_int_equal(jws_read(&t, out_done(&o), scratch, NULL), 0);
    assert_true(str_eq(t.payload, STR(CLAIMS)) && str_eq(t.typ, STR("at+jwt")));
    assert_int_equal(EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL), 1);
    assert_int_equal(EVP_DigestVerify(ctx, (const unsigned char *)t.signature.p, t.signature.n,
                                      (const unsigned char *)t.signed_part.p, t.signed_part.n),
                     1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    jwt_signer_free(g);
    out_fini(&o);
}

/* Signers of different keys take turns with one scratch, among verifications. */
static void many_signers_one_scratch(void **state) {
    struct jwt_signer *g[4];
    struct jwt_keys *keys[4];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        g[i] = signer_of(algorithms[i % 2]);
        keys[i] = jwt_keys_of(jwt_signer_key(g[i]), 1, NULL);
    }
    for (size_t i = 0; i < 40; i++) {
        struct out o = out_heap(4096);
        struct jwt t;
        assert_int_equal(jwt_sign(g[i % 4], STR("JWT"), STR(CLAIMS), scratch, &o), 0);
        for (size_t k = 0; k < 4; k++) {
            assert_int_equal(jwt_read(&t, out_done(&o), scratch, NULL), 0);
            assert_int_equal(jwt_verify(&t, keys[k], JWT_ALGS_KEY, scratch, NULL) == 0, k == i % 4);
        }
        out_fini(&o);
    }
    for (size_t i = 0; i < 4; i++) {
        jwt_signer_free(g[i]);
        jwt_keys_free(keys[i]);
    }
}

static void the_kid_is_the_thumbprint(void **state) {
    struct out o = out_heap(100), pkcs8 = out_heap(4096);
    struct why why = {0};
    (void)state;
    jwt_make_key(JWT_ES256, &pkcs8);
    struct jwt_signer *a = jwt_signer_new(out_done(&pkcs8), &why),
                      *b = jwt_signer_new(out_done(&pkcs8), &why), *c = signer_of(JWT_ES256);
    assert_true(str_eq(jwt_signer_key(a)->kid, jwt_signer_key(b)->kid)); /* any replica says so */
    assert_false(str_eq(jwt_signer_key(a)->kid, jwt_signer_key(c)->kid));
    assert_int_equal(jwt_thumbprint(jwt_signer_key(a)->der, &o), 0);
    assert_true(str_eq(out_done(&o), jwt_signer_key(a)->kid));
    jwt_signer_free(a);
    jwt_signer_free(b);
    jwt_signer_free(c);
    out_fini(&o);
    out_fini(&pkcs8);
}

static void no_key_to_sign_with(struct str pkcs8) {
    struct why why = {0};
    assert_null(jwt_signer_new(pkcs8, &why));
    assert_string_equal(why.text, "it is no private key of P-256 or Ed25519, as PKCS #8");
}

static void expect_no_signer(EVP_PKEY *key) {
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    int n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    no_key_to_sign_with(str_mk((char *)der, (size_t)n));
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(key);
}

static void keys_that_cannot_sign(void **state) {
    struct out o = out_heap(4096);
    (void)state;
    no_key_to_sign_with(STR_NONE);
    no_key_to_sign_with(STR("x"));
    jwt_make_key(JWT_ES256, &o);
    no_key_to_sign_with(str_mk(o.p, o.n - 1));
    out_char(&o, 0);
    no_key_to_sign_with(out_done(&o));
    expect_no_signer(EVP_EC_gen("P-384"));
    expect_no_signer(EVP_RSA_gen(2048));
    expect_no_signer(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"));
    expect_no_signer(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"));
    jwt_signer_free(NULL);
    out_fini(&o);
}

static void what_does_not_fit_is_not_signed(void **state) {
    struct jwt_signer *g = signer_of(JWT_ES256);
    struct out whole = out_heap(4096);
    char room[4096];
    (void)state;
    assert_int_equal(jwt_sign(g, STR("JWT"), STR(CLAIMS), scratch, &whole), 0);
    for (size_t n = 0; n <= whole.n; n++) {
        struct out o = out_fixed(room, n);
        assert_int_equal(jwt_sign(g, STR("JWT"), STR(CLAIMS), scratch, &o), n < whole.n ? -1 : 0);
    }
    jwt_signer_free(g);
    out_fini(&whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_read_by_whoever_has_the_key_set),
        cmocka_unit_test(openssl_agrees),
        cmocka_unit_test(many_signers_one_scratch),
        cmocka_unit_test(the_kid_is_the_thumbprint),
        cmocka_unit_test(keys_that_cannot_sign),
        cmocka_unit_test(what_does_not_fit_is_not_signed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
