/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of a key set and tokens that they sign (ES256, RS256), as a cluster makes them. Included by
 * one test program.
 */
#ifndef SLUICE_TESTS_JWT_WORLD_H
#define SLUICE_TESTS_JWT_WORLD_H

#include "lib/mem.h"
#include "lib/out.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

static inline void put_url(struct out *o, const void *p, size_t n) {
    char *text = mem_alloc(n / 3 * 4 + 8);
    int got = EVP_EncodeBlock((unsigned char *)text, p, (int)n);
    while (got > 0 && text[got - 1] == '=')
        got--;
    for (int i = 0; i < got; i++)
        out_char(o, text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    mem_free(text);
}

static inline void put_number(struct out *o, EVP_PKEY *key, const char *param, int size) {
    unsigned char room[1024];
    BIGNUM *n = NULL;
    must(EVP_PKEY_get_bn_param(key, param, &n) == 1);
    put_url(o, room, (size_t)BN_bn2binpad(n, room, size ? size : BN_num_bytes(n)));
    BN_free(n);
}

static inline void put_ec(struct out *o, EVP_PKEY *key, const char *kid) {
    out_fmt(o, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s\",\"use\":\"sig\",\"x\":\"", kid);
    put_number(o, key, "qx", 32);
    out_lit(o, "\",\"y\":\"");
    put_number(o, key, "qy", 32);
    out_lit(o, "\"}");
}

static inline void put_rsa(struct out *o, EVP_PKEY *key, const char *kid) {
    out_fmt(o, "{\"kty\":\"RSA\",\"kid\":\"%s\",\"alg\":\"RS256\",\"n\":\"", kid);
    put_number(o, key, "n", 0);
    out_lit(o, "\",\"e\":\"");
    put_number(o, key, "e", 0);
    out_lit(o, "\"}");
}

/* One of the algorithms of lib/jwt.h, for signing without it. */
struct signing {
    const char *alg, *hash; /* hash NULL: EdDSA */
    int half;               /* bytes of half an ECDSA signature; 0: not ECDSA */
    bool pss;
};

static inline void sign_into(struct out *o, EVP_PKEY *key, const struct signing *how) {
    unsigned char sig[1100], raw[2 * 66];
    const unsigned char *der = sig;
    size_t n = sizeof(sig);
    EVP_PKEY_CTX *settings = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(EVP_DigestSignInit_ex(ctx, &settings, how->hash, NULL, NULL, key, NULL) == 1);
    if (how->pss)
        must(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) > 0 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) > 0);
    must(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)o->p, o->n) == 1);
    EVP_MD_CTX_free(ctx);
    out_char(o, '.');
    if (how->half == 0) {
        put_url(o, sig, n);
        return;
    }
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)n);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, how->half);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + how->half, how->half);
    ECDSA_SIG_free(pair);
    put_url(o, raw, 2 * (size_t)how->half);
}

static inline struct out unsigned_token(const char *header, const char *claims) {
    struct out o = out_heap(64 << 10);
    put_url(&o, header, strlen(header));
    out_char(&o, '.');
    put_url(&o, claims, strlen(claims));
    return o;
}

/* A token on the heap: RS256 or ES256, as the key is. */
static inline struct out token(EVP_PKEY *key, const char *header, const char *claims) {
    bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
    const struct signing how = {rsa ? "RS256" : "ES256", "SHA256", rsa ? 0 : 32, false};
    struct out o = unsigned_token(header, claims);
    sign_into(&o, key, &how);
    return o;
}

#endif
