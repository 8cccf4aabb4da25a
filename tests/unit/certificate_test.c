/* SPDX-License-Identifier: Apache-2.0
 *
 * Which pairs are taken, what is made of them, and the words for those that are not.
 */
#include "lib/certificate.h"
#include "tests/unit/certificate_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 65536 };
static char crt[ROOM], key[ROOM];
static EVP_PKEY *leaf_key, *ca_key;
static X509 *leaf, *ca;
static struct arena arena;

static int setup(void **state) {
    (void)state;
    ca_key = make_ec("P-256");
    leaf_key = make_ec("P-256");
    ca = make_x509(ca_key, &(struct making_x509){.subject = "Test CA",
                                                 .constraints = "critical,CA:TRUE",
                                                 .key_usage = "keyCertSign,cRLSign"});
    leaf = make_x509(
        leaf_key, &(struct making_x509){.subject = "shop",
                                        .names = "DNS:Shop.Example.com,DNS:*.shop.example.com,"
                                                 "IP:10.0.0.1,DNS:a.example.com,DNS:a.example.com",
                                        .issuer = ca,
                                        .issuer_key = ca_key});
    arena_init(&arena);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    X509_free(ca);
    X509_free(leaf);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(leaf_key);
    arena_fini(&arena);
    return 0;
}

static int read_them(struct certificate *c, struct why *why) {
    *why = (struct why){0};
    return certificate_read(str_of(crt), str_of(key), &arena, c, why);
}

static void good(struct certificate *c) {
    struct why why;
    if (read_them(c, &why) != 0)
        fail_msg("%s", why.text);
    assert_false(why_set(&why));
}

static void refused(const char *sentence) {
    struct certificate c;
    struct why why;
    assert_int_equal(read_them(&c, &why), -1);
    assert_string_equal(why.text, sentence);
}

static void pair_of(EVP_PKEY *k, const struct making_x509 *m) {
    X509 *x = make_x509(k, m);
    put_x509(x, crt, crt + ROOM);
    put_key(k, key, key + ROOM);
    X509_free(x);
}

/* ---- good ones ---- */

static void a_pair_with_its_chain(void **state) {
    (void)state;
    struct certificate c;
    put_x509(ca, put_x509(leaf, crt, crt + ROOM), crt + ROOM);
    put_key(leaf_key, key, key + ROOM);
    good(&c);
    assert_int_equal(c.n_names, 3); /* sorted, lower case, once; no address */
    assert_string_equal(c.names[0].p, "*.shop.example.com");
    assert_string_equal(c.names[1].p, "a.example.com");
    assert_string_equal(c.names[2].p, "shop.example.com");
    assert_int_equal(c.not_after, 1930003200);
    assert_string_equal(certificate_day(&arena, c.not_after).p, "2031-02-28");
    assert_int_equal(c.gap, 0);

    struct str rest = c.chain, der;
    struct certificate_info info;
    struct why why = {0};
    assert_true(certificate_next(&rest, &der));
    assert_int_equal(certificate_describe(der, &arena, &info, &why), 0);
    assert_string_equal(info.subject.p, "CN=shop");
    assert_string_equal(info.issuer.p, "CN=Test CA");
    assert_string_equal(info.key.p, "ECDSA P-256");
    assert_int_equal(info.n_names, 3);
    assert_int_equal(info.not_after, c.not_after);
    assert_int_equal(info.not_before, 1577836800);
    assert_true(certificate_next(&rest, &der));
    assert_int_equal(certificate_describe(der, &arena, &info, &why), 0);
    assert_string_equal(info.subject.p, "CN=Test CA");
    assert_false(certificate_next(&rest, &der));
    assert_int_equal(rest.n, 0);

    const unsigned char *at = (const unsigned char *)c.key.p;
    EVP_PKEY *k = d2i_AutoPrivateKey(NULL, &at, (long)c.key.n);
    assert_non_null(k);
    assert_int_equal(EVP_PKEY_eq(k, leaf_key), 1);
    EVP_PKEY_free(k);
}

static void every_type_of_key(void **state) {
    (void)state;
    static const char *const words[] = {"RSA 2048", "ECDSA P-256", "ECDSA P-384", "ECDSA P-521",
                                        "Ed25519"};
    EVP_PKEY *keys[] = {make_rsa(2048), make_ec("P-256"), make_ec("P-384"), make_ec("P-521"),
                        make_ed("ED25519")};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct certificate c;
        struct certificate_info info;
        struct str der;
        struct why why = {0};
        pair_of(keys[i], &(struct making_x509){.subject = "x", .names = "DNS:x.example.com"});
        good(&c);
        assert_true(certificate_next(&c.chain, &der));
        assert_int_equal(certificate_describe(der, &arena, &info, &why), 0);
        assert_string_equal(info.key.p, words[i]);
        EVP_PKEY_free(keys[i]);
    }
}

/* As openssl has written keys since the nineties. */
static void traditional_keys(void **state) {
    (void)state;
    struct certificate c;
    EVP_PKEY *rsa = make_rsa(2048);
    pair_of(rsa, &(struct making_x509){.subject = "x", .names = "DNS:x.example.com"});
    BIO *b = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(b, rsa, NULL, NULL, 0, NULL, NULL), 1);
    take_pem(b, key, key + ROOM);
    assert_non_null(strstr(key, "BEGIN RSA PRIVATE KEY"));
    good(&c);
    EVP_PKEY_free(rsa);

    put_x509(leaf, crt, crt + ROOM);
    b = BIO_new(BIO_s_mem());
    BIO_puts(b, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n");
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(b, leaf_key, NULL, NULL, 0, NULL, NULL),
                     1);
    take_pem(b, key, key + ROOM);
    good(&c);
}

static void words_around_the_blocks(void **state) {
    (void)state;
    struct certificate c;
    char *at = stpcpy(crt, "subject=CN = shop\n");
    at = stpcpy(put_x509(leaf, at, crt + ROOM), "issuer of it:\n");
    put_x509(ca, at, crt + ROOM);
    put_key(leaf_key, key, key + ROOM);
    good(&c);
}

/* What `openssl req -x509` makes: its own CA, without a key usage. */
static void a_self_signed_one(void **state) {
    (void)state;
    struct certificate c;
    pair_of(leaf_key, &(struct making_x509){.subject = "x", .constraints = "critical,CA:TRUE"});
    good(&c);
    assert_int_equal(c.n_names, 0);
    pair_of(leaf_key, &(struct making_x509){.subject = "x", .digest = EVP_sha1()});
    good(&c); /* nobody checks the signature of a certificate that is trusted by itself */
}

static void names_that_nobody_can_ask_for(void **state) {
    (void)state;
    struct certificate c;
    pair_of(leaf_key, &(struct making_x509){.subject = "x",
                                            .names = "DNS:a b.example.com,DNS:ok.example.com,"
                                                     "DNS:ev\"il.example.com,email:a@example.com"});
    good(&c);
    assert_int_equal(c.n_names, 1);
    assert_string_equal(c.names[0].p, "ok.example.com");
}

static void a_chain_with_a_gap(void **state) {
    (void)state;
    struct certificate c;
    X509 *other = make_x509(ca_key, &(struct making_x509){.subject = "Other CA"});
    put_x509(other, put_x509(leaf, crt, crt + ROOM), crt + ROOM);
    put_key(leaf_key, key, key + ROOM);
    good(&c);
    assert_int_equal(c.gap, 1);
    X509_free(other);
}

/* ---- refused ---- */

static void pairs_that_do_not_match(void **state) {
    (void)state;
    put_x509(leaf, crt, crt + ROOM);
    put_key(ca_key, key, key + ROOM);
    refused("tls.key does not belong to the certificate in tls.crt");
    put_x509(leaf, put_x509(ca, crt, crt + ROOM), crt + ROOM);
    put_key(leaf_key, key, key + ROOM);
    refused("tls.key belongs to certificate 2 in tls.crt; put that one first");
}

static void keys_that_are_not_used(void **state) {
    (void)state;
    static const char type[] = "a key of this type is not used; RSA, ECDSA (P-256, P-384, P-521) "
                               "and Ed25519 are";
    static const struct making_x509 any = {.subject = "x"};
    const struct {
        EVP_PKEY *key;
        const char *sentence;
    } table[] = {
        {make_rsa(1024), "an RSA key of 1024 bits is not used; make one of 2048 to 8192, or ECDSA"},
        {make_ec("P-224"), type},
        {make_ec("secp256k1"), type},
        {make_ed("ED448"), type},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        pair_of(table[i].key, &any);
        refused(table[i].sentence);
        EVP_PKEY_free(table[i].key);
    }
}

static void certificates_of_no_server(void **state) {
    (void)state;
    static const char usage[] =
        "the certificate is not one of a server: its key usage excludes that";
    pair_of(leaf_key, &(struct making_x509){.subject = "x", .extended = "clientAuth"});
    refused(usage);
    put_x509(ca, crt, crt + ROOM);
    put_key(ca_key, key, key + ROOM);
    refused(usage);
    pair_of(leaf_key,
            &(struct making_x509){
                .subject = "x", .issuer = ca, .issuer_key = ca_key, .digest = EVP_sha1()});
    refused("certificate 1 in tls.crt is signed with SHA-1 or MD5, which no client accepts");
}

static void what_is_no_certificate(void **state) {
    (void)state;
    static const char not_der[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    put_key(leaf_key, key, key + ROOM);
    crt[0] = 0;
    refused("tls.crt is empty");
    stpcpy(crt, "hello");
    refused("tls.crt holds no certificate; it must be PEM, the leaf first");
    stpcpy(crt, not_der);
    refused("certificate 1 in tls.crt cannot be read");
    stpcpy(put_x509(leaf, crt, crt + ROOM), "-----BEGIN CERTIFICATE-----\nAA");
    refused("tls.crt is broken PEM behind certificate 1");
    put_key(leaf_key, put_x509(leaf, crt, crt + ROOM), crt + ROOM);
    refused("tls.crt holds a block \"PRIVATE KEY\"; only certificates belong there");
    char *at = crt;
    for (int i = 0; i < 17; i++)
        at = put_x509(leaf, at, crt + ROOM);
    refused("tls.crt holds more than 16 certificates");
    memset(crt, 'x', ROOM);
    struct certificate c;
    struct why why = {0};
    assert_int_equal(
        certificate_read(str_mk(crt, CERTIFICATE_PEM_MAX + 1), str_of(key), &arena, &c, &why), -1);
    assert_string_equal(why.text, "tls.crt is larger than 1 MiB");
}

static void what_is_no_key(void **state) {
    (void)state;
    put_x509(leaf, crt, crt + ROOM);
    key[0] = 0;
    refused("tls.key is empty");
    stpcpy(key, "hunter2");
    refused("tls.key holds no private key; it must be PEM");
    put_x509(leaf, key, key + ROOM);
    refused("tls.key holds a block \"CERTIFICATE\"; only a private key belongs there");
    stpcpy(key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    refused("the key in tls.key cannot be read");
    stpcpy(key, "-----BEGIN PRIVATE KEY-----\nAAAA");
    refused("tls.key is broken PEM");
    put_key(leaf_key, put_key(leaf_key, key, key + ROOM), key + ROOM);
    refused("tls.key holds more than one key");
}

/* Nobody is asked for a passphrase: that would hang the process. */
static void encrypted_keys(void **state) {
    (void)state;
    char pass[] = "hunter2";
    put_x509(leaf, crt, crt + ROOM);
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(b, leaf_key, EVP_aes_128_cbc(), pass, 7, NULL, NULL);
    take_pem(b, key, key + ROOM);
    refused("tls.key is encrypted; write it without a passphrase");
    b = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey_traditional(b, leaf_key, EVP_aes_128_cbc(), (unsigned char *)pass, 7,
                                         NULL, NULL);
    take_pem(b, key, key + ROOM);
    refused("tls.key is encrypted; write it without a passphrase");
}

static void too_many_names(void **state) {
    (void)state;
    static char names[ROOM];
    char *at = names;
    for (int i = 0; i < 1025; i++)
        at += snprintf(at, 40, "%sDNS:n%d.example.com", i ? "," : "", i);
    pair_of(leaf_key, &(struct making_x509){.subject = "x", .names = names});
    refused("the certificate has more than 1024 names");
}

/* ---- what names cover ---- */

static void covered(void **state) {
    (void)state;
    static const struct str names[] = {{"*.example.com", 13}, {"shop.test", 9}};
    static const struct {
        const char *host;
        bool covered;
    } table[] = {
        {"shop.test", true},
        {"a.example.com", true},
        {"*.example.com", true},
        {"example.com", false},
        {"a.b.example.com", false},
        {".example.com", false},
        {"a.shop.test", false},
        {"*.shop.test", false},
        {"xexample.com", false},
        {"com", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (certificate_covers(names, 2, str_of(table[i].host)) != table[i].covered)
            fail_msg("%s", table[i].host);
}

static void cut_chains(void **state) {
    (void)state;
    struct str der, rest = STR("\0\0\0\2ab\0\0\0\3ab");
    assert_true(certificate_next(&rest, &der));
    assert_true(str_eq(der, STR("ab")));
    assert_false(certificate_next(&rest, &der));
    rest = STR("\xff\xff\xff\xff");
    assert_false(certificate_next(&rest, &der));
    struct certificate_info info;
    struct why why = {0};
    assert_int_equal(certificate_describe(STR("ab"), &arena, &info, &why), -1);
    assert_string_equal(why.text, "this is not a certificate");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_with_its_chain),
        cmocka_unit_test(every_type_of_key),
        cmocka_unit_test(traditional_keys),
        cmocka_unit_test(words_around_the_blocks),
        cmocka_unit_test(a_self_signed_one),
        cmocka_unit_test(names_that_nobody_can_ask_for),
        cmocka_unit_test(a_chain_with_a_gap),
        cmocka_unit_test(pairs_that_do_not_match),
        cmocka_unit_test(keys_that_are_not_used),
        cmocka_unit_test(certificates_of_no_server),
        cmocka_unit_test(what_is_no_certificate),
        cmocka_unit_test(what_is_no_key),
        cmocka_unit_test(encrypted_keys),
        cmocka_unit_test(too_many_names),
        cmocka_unit_test(covered),
        cmocka_unit_test(cut_chains),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
