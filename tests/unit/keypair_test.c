/* SPDX-License-Identifier: Apache-2.0
 *
 * What pairs share: certificates behind their leaves, each as it was given, a bounded number.
 */
#include "lib/keypair.h"
#include "lib/mem.h"
#include "tests/unit/certificate_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 4096, AUTHORITIES = ISSUERS_KEPT + 3 };

static EVP_PKEY *key;
static X509 *authorities[AUTHORITIES];
static unsigned char pkcs8[ROOM];
static size_t pkcs8_n;

static int setup(void **state) {
    (void)state;
    unsigned char *at = pkcs8;
    key = make_ec("P-256");
    for (unsigned i = 0; i < AUTHORITIES; i++) {
        char subject[] = {'C', 'A', (char)('A' + i), 0}; /* all of one length */
        authorities[i] = make_x509(
            key, &(struct making_x509){.subject = subject, .constraints = "critical,CA:TRUE"});
    }
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    pkcs8_n = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &at);
    PKCS8_PRIV_KEY_INFO_free(info);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (unsigned i = 0; i < AUTHORITIES; i++)
        X509_free(authorities[i]);
    EVP_PKEY_free(key);
    return 0;
}

static size_t put(unsigned char *at, X509 *x) {
    unsigned char *der = at + 4;
    int n = i2d_X509(x, &der);
    at[0] = at[1] = 0;
    at[2] = (unsigned char)(n >> 8);
    at[3] = (unsigned char)n;
    return (size_t)n + 4;
}

/* A leaf with one authority behind it. */
static struct keypair load(struct issuers *s, X509 *authority) {
    unsigned char chain[ROOM];
    struct keypair k;
    struct why why = {0};
    size_t n = put(chain, authorities[0]);
    n += put(chain + n, authority);
    must(keypair_load(&k, s, str_mk((char *)chain, n), str_mk((char *)pkcs8, pkcs8_n), &why) == 0);
    assert_int_equal(X509_cmp(sk_X509_value(k.chain, 0), authority), 0);
    return k;
}

static void what_stands_behind_is_shared(void **state) {
    (void)state;
    struct issuers *s = issuers_new();
    struct keypair a = load(s, authorities[1]), b = load(s, authorities[1]),
                   other = load(s, authorities[2]), alone = load(NULL, authorities[1]);
    X509 *shared = sk_X509_value(a.chain, 0);
    assert_ptr_equal(sk_X509_value(b.chain, 0), shared);
    assert_ptr_not_equal(sk_X509_value(other.chain, 0), shared);
    assert_ptr_not_equal(sk_X509_value(alone.chain, 0), shared);
    assert_ptr_not_equal(a.leaf, b.leaf);
    issuers_free(s);
    keypair_free(&a);
    assert_int_equal(X509_cmp(sk_X509_value(b.chain, 0), authorities[1]),
                     0); /* it has its own hold */
    keypair_free(&b);
    keypair_free(&other);
    keypair_free(&alone);
}

static void the_oldest_goes(void **state) {
    (void)state;
    struct issuers *s = issuers_new();
    struct keypair first = load(s, authorities[0]), k;
    for (unsigned i = 1; i < AUTHORITIES; i++) {
        k = load(s, authorities[i]);
        keypair_free(&k);
    }
    k = load(s, authorities[0]);
    assert_ptr_not_equal(sk_X509_value(k.chain, 0), sk_X509_value(first.chain, 0));
    keypair_free(&k);
    keypair_free(&first);
    issuers_free(s);
}

static void broken_ones_are_not_kept(void **state) {
    (void)state;
    struct issuers *s = issuers_new();
    unsigned char chain[ROOM];
    size_t n = put(chain, authorities[0]), end = n + put(chain + n, authorities[1]);
    chain[n + 4] ^= 1;
    for (int i = 0; i < 2; i++) {
        struct keypair k;
        struct why why = {0};
        assert_int_equal(
            keypair_load(&k, s, str_mk((char *)chain, end), str_mk((char *)pkcs8, pkcs8_n), &why),
            -1);
        assert_string_equal(why.text, "certificate 2 of the chain cannot be read");
    }
    struct keypair k = load(s, authorities[1]);
    keypair_free(&k);
    issuers_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_behind_is_shared),
        cmocka_unit_test(the_oldest_goes),
        cmocka_unit_test(broken_ones_are_not_kept),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
