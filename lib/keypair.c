/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/keypair.h"

#include "lib/certificate.h"
#include "lib/mem.h"

#include <openssl/decoder.h>
#include <openssl/err.h>

/* ---- issuers ---- */

struct issuer {
    struct str der; /* its own copy */
    X509 *x;
};

struct issuers {
    unsigned next; /* to go */
    struct issuer v[ISSUERS_KEPT];
};

struct issuers *issuers_new(void) {
    return mem_zalloc(sizeof(struct issuers));
}

static void forget(struct issuer *i) {
    X509_free(i->x);
    mem_free((char *)(uintptr_t)i->der.p);
}

void issuers_free(struct issuers *s) {
    for (unsigned i = 0; s && i < ISSUERS_KEPT; i++)
        forget(&s->v[i]);
    mem_free(s);
}

static X509 *known(const struct issuers *s, struct str der) {
    for (unsigned i = 0; i < ISSUERS_KEPT; i++)
        if (s->v[i].x && str_eq(s->v[i].der, der))
            return s->v[i].x;
    return NULL;
}

static void remember(struct issuers *s, struct str der, X509 *x) {
    struct issuer *i = &s->v[s->next++ % ISSUERS_KEPT];
    forget(i);
    *i = (struct issuer){str_mk(mem_dup(der.p, der.n), der.n), x};
    must(X509_up_ref(x) == 1);
}

/* ---- parsing ---- */

static X509 *x509_of(struct str der) {
    const unsigned char *at = (const unsigned char *)der.p;
    X509 *x = d2i_X509(NULL, &at, (long)der.n);
    if (x && at != (const unsigned char *)der.p + der.n) { /* something follows it */
        X509_free(x);
        return NULL;
    }
    return x;
}

static X509 *issuer_of(struct issuers *s, struct str der) {
    X509 *x = s ? known(s, der) : NULL;
    if (x) {
        must(X509_up_ref(x) == 1);
        return x;
    }
    x = x509_of(der);
    if (x && s)
        remember(s, der, x);
    return x;
}

/* OpenSSL is told what kind of key it is: it would try all of them, for 250 us more. */
EVP_PKEY *keypair_key(struct str der) {
    const unsigned char *at = (const unsigned char *)der.p;
    size_t n = der.n;
    char type[64];
    const ASN1_OBJECT *algorithm;
    EVP_PKEY *key = NULL;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.n);
    if (info && PKCS8_pkey_get0(&algorithm, NULL, NULL, NULL, info) == 1 &&
        OBJ_obj2txt(type, sizeof(type), algorithm, 0) > 0) {
        OSSL_DECODER_CTX *d = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", "PrivateKeyInfo", type,
                                                            EVP_PKEY_KEYPAIR, NULL, NULL);
        at = (const unsigned char *)der.p;
        if (d)
            (void)!OSSL_DECODER_from_data(d, &at, &n);
        OSSL_DECODER_CTX_free(d);
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

static int load_chain(struct keypair *k, struct issuers *issuers, struct str chain,
                      struct why *why) {
    struct str der;
    for (unsigned i = 1; chain.n > 0; i++) {
        X509 *x = !certificate_next(&chain, &der) ? NULL
                  : i == 1                        ? x509_of(der)
                                                  : issuer_of(issuers, der);
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

int keypair_load(struct keypair *k, struct issuers *issuers, struct str chain, struct str key,
                 struct why *why) {
    *k = (struct keypair){.chain = sk_X509_new_null()};
    must(k->chain);
    int rc = load_chain(k, issuers, chain, why);
    if (rc == 0 && !(k->key = keypair_key(key)))
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
