/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/staple.h"

#include "certificate_make.h"
#include "lib/arena.h"
#include "lib/out.h"

#include <openssl/ocsp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { DAY = 86400 };

static EVP_PKEY *ca_key, *leaf_key, *other_key;
static X509 *ca, *leaf, *other, *delegate, *stranger;
static struct out chain;

static X509 *make_leaf(EVP_PKEY *key, const char *subject, const char *extended, long serial) {
    struct making_x509 m = {
        .subject = subject, .extended = extended, .issuer = ca, .issuer_key = ca_key};
    X509 *x = make_x509(key, &m);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    must(X509_sign(x, ca_key, EVP_sha256()) > 0);
    return x;
}

static void chain_add(struct out *o, X509 *x) {
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    must(n > 0);
    for (int i = 3; i >= 0; i--)
        out_char(o, (char)(n >> (8 * i)));
    out_str(o, str_mk((char *)der, (size_t)n));
    OPENSSL_free(der);
}

static int make_world(void **state) {
    (void)state;
    ca_key = make_ec("P-256");
    leaf_key = make_ec("P-256");
    other_key = make_ec("P-256");
    ca = make_x509(ca_key,
                   &(struct making_x509){.subject = "ca", .constraints = "critical,CA:TRUE"});
    leaf = make_leaf(leaf_key, "leaf", "serverAuth", 7);
    other = make_leaf(other_key, "other", "serverAuth", 8);
    delegate = make_leaf(other_key, "responder", "OCSPSigning", 9);
    stranger = make_x509(other_key,
                         &(struct making_x509){.subject = "ca", .constraints = "critical,CA:TRUE"});
    chain = out_heap(1 << 16);
    chain_add(&chain, leaf);
    chain_add(&chain, ca);
    return 0;
}

static int end_world(void **state) {
    (void)state;
    EVP_PKEY *keys[] = {ca_key, leaf_key, other_key};
    X509 *all[] = {ca, leaf, other, delegate, stranger};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        EVP_PKEY_free(keys[i]);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        X509_free(all[i]);
    out_fini(&chain);
    return 0;
}

struct answer {
    X509 *about; /* NULL: the leaf */
    const EVP_MD *digest;
    int status;
    bool endless;
    X509 *signer; /* NULL: the CA */
    EVP_PKEY *key;
};

/* The response in DER, to be freed with OPENSSL_free(). */
static struct str respond(const struct answer *a) {
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(a->digest, a->about ? a->about : leaf, ca);
    ASN1_TIME *from = ASN1_TIME_set(NULL, 1000 * DAY), *until = ASN1_TIME_set(NULL, 1007 * DAY);
    unsigned char *der = NULL;
    ASN1_TIME *gone = a->status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL;
    must(OCSP_basic_add1_status(basic, id, a->status, 0, gone, from, a->endless ? NULL : until));
    must(OCSP_basic_sign(basic, a->signer ? a->signer : ca, a->key ? a->key : ca_key, EVP_sha256(),
                         NULL, a->signer ? 0 : OCSP_NOCERTS) == 1);
    OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    int n = i2d_OCSP_RESPONSE(r, &der);
    must(n > 0);
    OCSP_RESPONSE_free(r);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return str_mk((char *)der, (size_t)n);
}

/* NULL: it is taken. */
static const char *verdict(const struct answer *a, struct staple *s) {
    static struct why why;
    struct str der = respond(a);
    why = (struct why){0};
    int rv = staple_read(der, out_done(&chain), s, &why);
    OPENSSL_free((void *)(uintptr_t)der.p);
    return rv == 0 ? NULL : why.text;
}

static void good_ones(void **state) {
    struct staple s;
    (void)state;
    assert_null(verdict(&(struct answer){0}, &s));
    assert_int_equal(s.from, 1000 * DAY);
    assert_int_equal(s.until, 1007 * DAY);
    assert_null(verdict(&(struct answer){.digest = EVP_sha256()}, &s));
    assert_null(verdict(&(struct answer){.signer = delegate, .key = other_key}, &s));
}

static void bad_ones(void **state) {
    struct staple s;
    (void)state;
    assert_string_equal(verdict(&(struct answer){.about = other}, &s),
                        "it is about another certificate");
    assert_string_equal(verdict(&(struct answer){.status = V_OCSP_CERTSTATUS_REVOKED}, &s),
                        "it says that the certificate was revoked");
    assert_string_equal(verdict(&(struct answer){.status = V_OCSP_CERTSTATUS_UNKNOWN}, &s),
                        "it says that the certificate is not known");
    assert_string_equal(verdict(&(struct answer){.endless = true}, &s),
                        "it does not say until when it holds (nextUpdate)");
    X509 *signers[] = {other, stranger}; /* may not sign responses; is called so, and is not */
    for (size_t i = 0; i < ARRAY_LEN(signers); i++)
        assert_string_equal(verdict(&(struct answer){.signer = signers[i], .key = other_key}, &s),
                            "the issuer of the certificate has not signed it");
}

static void no_response(void **state) {
    struct why why = {0};
    struct staple s;
    struct str der = respond(&(struct answer){0});
    (void)state;
    assert_int_equal(staple_read(STR("x"), out_done(&chain), &s, &why), -1);
    assert_string_equal(why.text, "it is not an OCSP response in DER");
    for (size_t n = 0; n < der.n; n++)
        assert_int_equal(staple_read(str_mk(der.p, n), out_done(&chain), &s, NULL), -1);
    struct out alone = out_heap(1 << 16);
    chain_add(&alone, leaf);
    why = (struct why){0};
    assert_int_equal(staple_read(der, out_done(&alone), &s, &why), -1);
    assert_string_equal(why.text,
                        "tls.crt does not hold the issuer's certificate, which it is checked with");
    out_fini(&alone);
    OPENSSL_free((void *)(uintptr_t)der.p);
}

/* Every byte of it counts. */
static void a_changed_byte(void **state) {
    struct str der = respond(&(struct answer){0});
    char room[4096];
    struct staple s;
    size_t taken = 0;
    (void)state;
    must(der.n < sizeof(room));
    for (size_t i = 0; i < der.n; i++) {
        memcpy(room, der.p, der.n);
        room[i] ^= 1;
        taken += staple_read(str_mk(room, der.n), out_done(&chain), &s, NULL) == 0;
    }
    assert_int_equal(taken, 0);
    OPENSSL_free((void *)(uintptr_t)der.p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),
        cmocka_unit_test(bad_ones),
        cmocka_unit_test(no_response),
        cmocka_unit_test(a_changed_byte),
    };
    return cmocka_run_group_tests(tests, make_world, end_world);
}
