/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/jwt_sign.h"

#include "lib/jwt_room.h"
#include "lib/mem.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/x509.h>

struct jwt_signer {
    struct jwt_pair pair;
    struct jwt_key public;
    struct arena arena;
};

void jwt_make_key(enum jwt_alg alg, struct out *to) {
    must(alg == JWT_ES256 || alg == JWT_EDDSA);
    unsigned char *der = NULL;
    EVP_PKEY *key = alg == JWT_ES256 ? EVP_EC_gen(jwt_algorithms[alg].group)
                                     : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    PKCS8_PRIV_KEY_INFO *info = key ? EVP_PKEY2PKCS8(key) : NULL;
    int n = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : 0;
    must(n > 0);
    out_bytes(to, der, (size_t)n);
    OPENSSL_clear_free(der, (size_t)n);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(key);
}

/* NULL: it is none, or something follows it. */
static EVP_PKEY *of_pkcs8(struct str der) {
    const unsigned char *p = (const unsigned char *)der.p, *end = p + der.n;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.n);
    EVP_PKEY *key = info && p == end ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    ERR_clear_error();
    return key;
}

static bool algorithm_of(EVP_PKEY *key, enum jwt_alg *alg) {
    char group[32] = "";
    size_t n;
    *alg = JWT_EDDSA;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
        return true;
    *alg = JWT_ES256;
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1 &&
           strcmp(group, jwt_algorithms[JWT_ES256].group) == 0;
}

static void name(struct jwt_signer *g) {
    unsigned char *der = NULL;
    char kid[48];
    struct out o = out_fixed(kid, sizeof(kid));
    int n = i2d_PUBKEY(g->pair.key, &der);
    must(n > 0);
    g->public.der = arena_str(&g->arena, str_mk((const char *)der, (size_t)n));
    OPENSSL_free(der);
    must(jwt_thumbprint(g->public.der, &o) == 0 && !o.over);
    g->public.kid = arena_str(&g->arena, out_done(&o));
}

struct jwt_signer *jwt_signer_new(struct str pkcs8, struct why *why) {
    enum jwt_alg alg;
    EVP_PKEY *key = of_pkcs8(pkcs8);
    if (!key || !algorithm_of(key, &alg)) {
        EVP_PKEY_free(key);
        why_text(why, "it is no private key of P-256 or Ed25519, as PKCS #8");
        return NULL;
    }
    struct jwt_signer *g = mem_zalloc(sizeof(*g));
    arena_init(&g->arena);
    g->pair = (struct jwt_pair){&jwt_algorithms[alg], jwt_number_next(), key, true};
    g->public.alg = alg;
    name(g);
    return g;
}

void jwt_signer_free(struct jwt_signer *g) {
    if (!g)
        return;
    EVP_PKEY_free(g->pair.key);
    arena_fini(&g->arena);
    mem_free(g);
}

const struct jwt_key *jwt_signer_key(const struct jwt_signer *g) { return &g->public; }

/* ---- signing ---- */

static void put_header(const struct jwt_signer *g, struct str typ, struct out *to) {
    char room[512];
    struct out o = out_fixed(room, sizeof(room));
    out_fmt(&o, "{\"alg\":\"%s\",\"kid\":\"%.*s\",\"typ\":", g->pair.algorithm->name,
            STR_FMT(g->public.kid));
    out_json(&o, typ);
    out_char(&o, '}');
    must(!o.over);
    base64url_put(to, room, o.n);
}

/* r and s side by side. */
static bool sign_digest(const struct jwt_signer *g, struct jwt_scratch *s, struct str what,
                        unsigned char raw[64]) {
    unsigned char digest[DIGEST_MAX], der[80];
    const unsigned char *p = der;
    size_t n = jwt_digest(s, HASH_256, what, digest), size = sizeof(der);
    EVP_PKEY_CTX *ctx = n > 0 ? jwt_context(s, &g->pair) : NULL;
    if (!ctx || EVP_PKEY_sign(ctx, der, &size, digest, n) != 1)
        return false;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)size);
    bool good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return good;
}

static bool sign_whole(const struct jwt_signer *g, struct jwt_scratch *s, struct str what,
                       unsigned char raw[64]) {
    size_t n = 64;
    return EVP_MD_CTX_reset(s->whole) == 1 &&
           EVP_DigestSignInit_ex(s->whole, NULL, NULL, NULL, NULL, g->pair.key, NULL) == 1 &&
           EVP_DigestSign(s->whole, raw, &n, (const unsigned char *)what.p, what.n) == 1 && n == 64;
}

int jwt_sign(const struct jwt_signer *g, struct str typ, struct str claims, struct jwt_scratch *s,
             struct out *to) {
    unsigned char raw[64];
    size_t from = to->n;
    put_header(g, typ, to);
    out_char(to, '.');
    base64url_put(to, claims.p, claims.n);
    if (to->over)
        return -1;
    struct str what = str_skip(out_done(to), from);
    bool good =
        g->public.alg == JWT_EDDSA ? sign_whole(g, s, what, raw) : sign_digest(g, s, what, raw);
    if (!good) {
        ERR_clear_error();
        return -1;
    }
    out_char(to, '.');
    base64url_put(to, raw, sizeof(raw));
    return to->over ? -1 : 0;
}
