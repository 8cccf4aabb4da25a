/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and certificates for tests, made when they run.
 */
#ifndef SLUICE_TESTS_CERTIFICATE_MAKE_H
#define SLUICE_TESTS_CERTIFICATE_MAKE_H

#include "lib/base.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

/* "RSA" with bits, "EC" with a curve's name, "ED25519", "ED448". */
static inline EVP_PKEY *make_rsa(unsigned bits) { return EVP_RSA_gen(bits); }
static inline EVP_PKEY *make_ec(const char *curve) { return EVP_EC_gen(curve); }
static inline EVP_PKEY *make_ed(const char *type) { return EVP_PKEY_Q_keygen(NULL, NULL, type); }

struct making_x509 {
    const char *subject;     /* common name */
    const char *names;       /* "DNS:a.example.com,DNS:b.example.com"; NULL: none */
    const char *key_usage;   /* "digitalSignature"; NULL: none */
    const char *extended;    /* "clientAuth"; NULL: none */
    const char *constraints; /* "critical,CA:TRUE"; NULL: none */
    const X509 *issuer;      /* NULL: itself */
    EVP_PKEY *issuer_key;    /* NULL: its own */
    const EVP_MD *digest;    /* NULL: SHA-256, or what the key says */
    const char *not_after;   /* "20310228000000Z"; NULL: that */
};

static inline void make_extension(X509 *x, int nid, const char *value) {
    X509V3_CTX ctx;
    if (!value)
        return;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static inline X509 *make_x509(EVP_PKEY *key, const struct making_x509 *m) {
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    EVP_PKEY *signer = m->issuer_key ? m->issuer_key : key;
    int type = EVP_PKEY_get_base_id(signer);
    bool ed = type == EVP_PKEY_ED25519 || type == EVP_PKEY_ED448;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)m->subject, -1, -1,
                               0);
    X509_set_issuer_name(x, m->issuer ? X509_get_subject_name(m->issuer) : name);
    ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20200101000000Z");
    ASN1_TIME_set_string_X509(X509_getm_notAfter(x),
                              m->not_after ? m->not_after : "20310228000000Z");
    X509_set_pubkey(x, key);
    make_extension(x, NID_subject_alt_name, m->names);
    make_extension(x, NID_key_usage, m->key_usage);
    make_extension(x, NID_ext_key_usage, m->extended);
    make_extension(x, NID_basic_constraints, m->constraints);
    must(X509_sign(x, signer, ed ? NULL : m->digest ? m->digest : EVP_sha256()) > 0);
    return x;
}

/* PEM, NUL-terminated, at *at; the end is returned. */
static inline char *take_pem(BIO *b, char *at, const char *end) {
    char *text;
    long n = BIO_get_mem_data(b, &text);
    must(n > 0 && n < end - at);
    memcpy(at, text, (size_t)n);
    at[n] = 0;
    BIO_free(b);
    return at + n;
}
static inline char *put_x509(const X509 *x, char *at, const char *end) {
    BIO *b = BIO_new(BIO_s_mem());
    must(PEM_write_bio_X509(b, x) == 1);
    return take_pem(b, at, end);
}
static inline char *put_key(EVP_PKEY *key, char *at, const char *end) {
    BIO *b = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1);
    return take_pem(b, at, end);
}

#endif
