/* SPDX-License-Identifier: Apache-2.0
 *
 * pairs: certificates with keys, made in the test, as certificate objects hold them.
 */
#ifndef SLUICE_TESTS_PAIRS_H
#define SLUICE_TESTS_PAIRS_H

#include "lib/arena.h"
#include "lib/model.h"

#include <openssl/x509v3.h>

enum pair_key { PAIR_EC, PAIR_RSA };

static inline struct str pair_der(struct arena *a, unsigned char *der, int n, bool with_length) {
    struct out o = out_heap(1 << 16);
    must(n > 0);
    for (int shift = 24; with_length && shift >= 0; shift -= 8)
        out_char(&o, (char)(n >> shift & 0xff));
    out_bytes(&o, (char *)der, (size_t)n);
    struct str s = arena_str(a, out_done(&o));
    out_fini(&o);
    OPENSSL_free(der);
    return s;
}

/* Signed by itself, for a year; the arena has all of it. */
static inline struct model_certificate pair_new(struct arena *a, enum pair_key kind,
                                                const char *name) {
    EVP_PKEY *key = kind == PAIR_RSA ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *x = X509_new();
    char alt[300] = "DNS:";
    must(key && x);
    struct out o = out_fixed(alt + 4, sizeof(alt) - 5);
    out_str(&o, str_of(name));
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_set_version(x, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 31536000);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt);
    must(e && X509_add_ext(x, e, -1) == 1 && X509_sign(x, key, EVP_sha256()) > 0);
    X509_EXTENSION_free(e);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *crt = NULL, *p8 = NULL;
    int n_crt = i2d_X509(x, &crt), n_p8 = i2d_PKCS8_PRIV_KEY_INFO(info, &p8);
    struct model_certificate m = {.chain = pair_der(a, crt, n_crt, true),
                                  .key = pair_der(a, p8, n_p8, false),
                                  .names = arena_array(a, 1, sizeof(struct str)),
                                  .n_names = 1,
                                  .not_after = 4000000000};
    m.names[0] = arena_str(a, str_of(name));
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_free(x);
    EVP_PKEY_free(key);
    return m;
}

#endif
