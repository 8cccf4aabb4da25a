/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/keypair.h"

#include "lib/certificate.h"

#include <openssl/err.h>

static X509 *x509_of(struct str der) {
    const unsigned char *at = (const unsigned char *)der.p;
    X509 *x = d2i_X509(NULL, &at, (long)der.n);
    if (x && at != (const unsigned char *)der.p + der.n) { /* something follows it */
        X509_free(x);
        return NULL;
    }
    return x;
}

static EVP_PKEY *key_of(struct str der) {
    const unsigned char *at = (const unsigned char *)der.p;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.n);
    EVP_PKEY *key = info ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

static int load_chain(struct keypair *k, struct str chain, struct why *why) {
    struct str der;
    for (unsigned i = 1; chain.n > 0; i++) {
        X509 *x = certificate_next(&chain, &der) ? x509_of(der) : NULL;
        if (!x)
            return why_text(why, "certificate %u of the chain cannot be read", i);
        if (i > CERTIFICATE_CHAIN_MAX) {
            X509_free(x);
            return why_text(why, "the chain has more than %d certificates", CERTIFICATE_CHAIN_MAX);
        }
        if (i == 1)
            k->leaf = x;
        else
            must(sk_X509_push(k->chain, x) > 0);
    }
    return k->leaf ? 0 : why_text(why, "the chain has no certificate");
}

int keypair_load(struct keypair *k, struct str chain, struct str key, struct why *why) {
    *k = (struct keypair){.chain = sk_X509_new_null()};
    must(k->chain);
    int rc = load_chain(k, chain, why);
    if (rc == 0 && !(k->key = key_of(key)))
        rc = why_text(why, "the private key cannot be read");
    if (rc == 0 && X509_check_private_key(k->leaf, k->key) != 1)
        rc = why_text(why, "the private key is not the certificate's");
    if (rc != 0) {
        ERR_clear_error();
        keypair_free(k);
    }
    return rc;
}

void keypair_free(struct keypair *k) {
    X509_free(k->leaf);
    sk_X509_pop_free(k->chain, X509_free);
    EVP_PKEY_free(k->key);
    *k = (struct keypair){0};
}
