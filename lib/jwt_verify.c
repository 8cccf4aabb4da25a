/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/jwt_room.h"

#include "lib/mem.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

enum { DER_MAX = 144 }; /* an ECDSA signature of P-521, and a hostile bit */

static const char *const hash_names[HASHES] = {"SHA256", "SHA384", "SHA512"};

uint64_t jwt_number_next(void) {
    static uint64_t last;
    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

/* ---- the scratch ---- */

static EVP_MD_CTX *hash_new(const char *name) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
    must(ctx && md && EVP_DigestInit_ex2(ctx, md, NULL) == 1);
    EVP_MD_free(md); /* the context holds it */
    return ctx;
}

static EVP_MAC_CTX *mac_new(const char *name) {
    char digest[16];
    struct out o = out_fixed(digest, sizeof(digest));
    out_fmt(&o, "%s", name);
    out_char(&o, 0);
    const OSSL_PARAM how[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    must(mac && ctx && EVP_MAC_CTX_set_params(ctx, how) == 1);
    EVP_MAC_free(mac); /* the context holds it */
    return ctx;
}

struct jwt_scratch *jwt_scratch_new(void) {
    struct jwt_scratch *s = mem_zalloc(sizeof(*s));
    for (size_t i = 0; i < HASHES; i++) {
        s->hash[i] = hash_new(hash_names[i]);
        s->mac[i] = mac_new(hash_names[i]);
    }
    s->whole = EVP_MD_CTX_new();
    must(s->whole);
    return s;
}

void jwt_scratch_free(struct jwt_scratch *s) {
    if (!s)
        return;
    for (size_t i = 0; i < HASHES; i++) {
        EVP_MD_CTX_free(s->hash[i]);
        EVP_MAC_CTX_free(s->mac[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(s->slots); i++)
        EVP_PKEY_CTX_free(s->slots[i].ctx);
    EVP_MD_CTX_free(s->whole);
    mem_free(s);
}

static bool is_prepared(EVP_PKEY_CTX *ctx, const struct jwt_pair *k) {
    const struct jwt_algorithm *a = k->algorithm;
    if ((k->signs ? EVP_PKEY_sign_init(ctx) : EVP_PKEY_verify_init(ctx)) != 1)
        return false;
    if (a->family != FAMILY_EC &&
        EVP_PKEY_CTX_set_rsa_padding(ctx, a->family == FAMILY_PSS ? RSA_PKCS1_PSS_PADDING
                                                                  : RSA_PKCS1_PADDING) <= 0)
        return false;
    const OSSL_PARAM digest[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST,
                                         (char *)(uintptr_t)hash_names[a->hash], 0),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_PKEY_CTX_set_params(ctx, digest) <= 0)
        return false;
    return a->family != FAMILY_PSS ||
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

EVP_PKEY_CTX *jwt_context(struct jwt_scratch *s, const struct jwt_pair *k) {
    struct jwt_slot *slot = &s->slots[k->number % ARRAY_LEN(s->slots)];
    if (likely(slot->number == k->number))
        return slot->ctx;
    EVP_PKEY_CTX_free(slot->ctx);
    *slot = (struct jwt_slot){0};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->key, NULL);
    if (!ctx || !is_prepared(ctx, k)) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    *slot = (struct jwt_slot){k->number, ctx};
    return ctx;
}

size_t jwt_digest(struct jwt_scratch *s, enum jwt_hash hash, struct str of,
                  unsigned char room[DIGEST_MAX]) {
    unsigned n = 0;
    EVP_MD_CTX *ctx = s->hash[hash];
    bool good = EVP_DigestInit_ex2(ctx, NULL, NULL) == 1 &&
                EVP_DigestUpdate(ctx, of.p, of.n) == 1 && EVP_DigestFinal_ex(ctx, room, &n) == 1;
    return good ? n : 0;
}

/* ---- a signature ---- */

static void put_integer(struct out *o, struct str s) {
    while (s.n > 1 && s.p[0] == 0)
        s = str_skip(s, 1);
    bool sign = (unsigned char)s.p[0] >= 0x80;
    out_char(o, 2);
    out_char(o, (char)(s.n + sign));
    if (sign)
        out_char(o, 0);
    out_str(o, s);
}

/* JOSE writes the two numbers side by side (RFC 7518 3.4), OpenSSL wants DER. */
static struct str ecdsa_der(struct str s, char room[DER_MAX]) {
    char pair[DER_MAX];
    struct out numbers = out_fixed(pair, sizeof(pair)), o = out_fixed(room, DER_MAX);
    put_integer(&numbers, str_mk(s.p, s.n / 2));
    put_integer(&numbers, str_skip(s, s.n / 2));
    out_char(&o, 0x30);
    if (numbers.n >= 0x80)
        out_char(&o, (char)0x81);
    out_char(&o, (char)numbers.n);
    out_str(&o, out_done(&numbers));
    must(!numbers.over && !o.over);
    return out_done(&o);
}

static bool verify_digest(struct jwt_scratch *s, const struct jwt_pair *k, struct str signature,
                          struct str signed_part) {
    unsigned char digest[DIGEST_MAX];
    size_t n = jwt_digest(s, k->algorithm->hash, signed_part, digest);
    EVP_PKEY_CTX *ctx = n > 0 ? jwt_context(s, k) : NULL;
    return ctx &&
           EVP_PKEY_verify(ctx, (const unsigned char *)signature.p, signature.n, digest, n) == 1;
}

/* A context that was used keeps its key, whatever it is initialised with: hence the reset. */
static bool verify_whole(struct jwt_scratch *s, const struct jwt_pair *k, struct str signature,
                         struct str signed_part) {
    return EVP_MD_CTX_reset(s->whole) == 1 &&
           EVP_DigestVerifyInit_ex(s->whole, NULL, NULL, NULL, NULL, k->key, NULL) == 1 &&
           EVP_DigestVerify(s->whole, (const unsigned char *)signature.p, signature.n,
                            (const unsigned char *)signed_part.p, signed_part.n) == 1;
}

static bool verify(struct jwt_scratch *s, const struct jwt_pair *k, struct str signature,
                   struct str signed_part) {
    char room[DER_MAX];
    switch (k->algorithm->family) {
    case FAMILY_EC:
        return signature.n == 2 * k->algorithm->size &&
               verify_digest(s, k, ecdsa_der(signature, room), signed_part);
    case FAMILY_ED:
        return verify_whole(s, k, signature, signed_part);
    default: /* OpenSSL takes one of the modulus' length alone */
        return verify_digest(s, k, signature, signed_part);
    }
}

bool jwt_pair_verify(struct jwt_scratch *s, const struct jwt_pair *k, struct str signature,
                     struct str signed_part) {
    bool good = verify(s, k, signature, signed_part);
    if (!good)
        ERR_clear_error();
    return good;
}

/* ---- a secret ---- */

int jwt_secret_check(enum jwt_alg alg, struct str secret, struct why *why) {
    must(JWT_ALG(alg) & JWT_ALGS_SECRET);
    const struct jwt_algorithm *a = &jwt_algorithms[alg];
    if (secret.n >= a->size)
        return 0;
    return why_text(
        why, "a secret of %zu bytes is too short for %s; take a random one of %zu or more%s",
        secret.n, a->name, a->size, secret.n >= 32 && alg != JWT_HS256 ? ", or HS256" : "");
}

static bool mac(struct jwt_scratch *s, enum jwt_hash hash, struct str secret, struct str of,
                unsigned char room[DIGEST_MAX], size_t *n) {
    EVP_MAC_CTX *ctx = s->mac[hash];
    return EVP_MAC_init(ctx, (const unsigned char *)secret.p, secret.n, NULL) == 1 &&
           EVP_MAC_update(ctx, (const unsigned char *)of.p, of.n) == 1 &&
           EVP_MAC_final(ctx, room, n, DIGEST_MAX) == 1;
}

int jwt_verify_secret(const struct jwt *t, enum jwt_alg alg, struct str secret,
                      struct jwt_scratch *s, struct why *why) {
    unsigned char right[DIGEST_MAX];
    size_t n = 0;
    if (jwt_secret_check(alg, secret, why) != 0)
        return -1;
    if (t->alg != alg)
        return why_text(why, "its secret is for %s, not for %s", jwt_alg_name(alg),
                        jwt_alg_name(t->alg));
    bool made = mac(s, jwt_algorithms[alg].hash, secret, t->signed_part, right, &n);
    bool good = made && t->signature.n == n && CRYPTO_memcmp(t->signature.p, right, n) == 0;
    OPENSSL_cleanse(right, sizeof(right));
    return good ? 0 : why_text(why, "its signature is wrong");
}
