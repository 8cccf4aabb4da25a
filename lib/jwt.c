/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/jwt.h"

#include "lib/mem.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

enum {
    KID_MAX = 256,
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192, /* so that a verification stays cheap */
    EXPONENT_MAX = 8,    /* bytes */
};

static const struct algorithm {
    const char *name;
    const char *hash;
    const char *curve; /* of JWK; NULL: RSA */
    const char *group; /* the curve, as OpenSSL calls it */
    size_t field;      /* bytes of a coordinate, and of half a signature */
    bool pss;
} algorithms[] = {
    {"RS256", "SHA256", NULL, NULL, 0, false},
    {"RS384", "SHA384", NULL, NULL, 0, false},
    {"RS512", "SHA512", NULL, NULL, 0, false},
    {"PS256", "SHA256", NULL, NULL, 0, true},
    {"PS384", "SHA384", NULL, NULL, 0, true},
    {"PS512", "SHA512", NULL, NULL, 0, true},
    {"ES256", "SHA256", "P-256", "prime256v1", 32, false},
    {"ES384", "SHA384", "P-384", "secp384r1", 48, false},
    {"ES512", "SHA512", "P-521", "secp521r1", 66, false},
};

struct key {
    const struct algorithm *algorithm;
    char *kid; /* NULL: none */
    EVP_PKEY *public;
};

struct jwt_keys {
    struct key keys[JWT_KEYS_MAX];
    size_t n;
};

/* ---- base64url ---- */

static int sextet(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* RFC 7515 2, without padding; bits that mean nothing must be 0, so that there is one way to write
 * a thing. */
static bool decode(struct str s, struct out *o) {
    unsigned bits = 0, have = 0;
    for (size_t i = 0; i < s.n; i++) {
        int v = sextet(s.p[i]);
        if (v < 0)
            return false;
        bits = (bits << 6 | (unsigned)v) & 0xfff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out_char(o, (char)(bits >> have));
        }
    }
    return s.n % 4 != 1 && (bits & ((1U << have) - 1)) == 0 && !o->over;
}

/* ---- keys ---- */

static const struct algorithm *algorithm_named(struct str name) {
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
        if (str_eq(name, str_of(algorithms[i].name)))
            return &algorithms[i];
    return NULL;
}

static const struct algorithm *algorithm_of_curve(struct str curve) {
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
        if (algorithms[i].curve && str_eq(curve, str_of(algorithms[i].curve)))
            return &algorithms[i];
    return NULL;
}

/* The one algorithm of a key; NULL: none that is known here. */
static const struct algorithm *algorithm_of(const cJSON *jwk) {
    struct str type = json_text(jwk, "kty");
    bool said = json_get(jwk, "alg") != NULL;
    const struct algorithm *a = algorithm_named(json_text(jwk, "alg"));
    if (str_eq(type, STR("EC"))) {
        const struct algorithm *of_curve = algorithm_of_curve(json_text(jwk, "crv"));
        return !said || a == of_curve ? of_curve : NULL;
    }
    if (!str_eq(type, STR("RSA")))
        return NULL;
    if (!said)
        return algorithm_named(STR("RS256"));
    return a && !a->curve ? a : NULL;
}

static bool is_for_verifying(const cJSON *jwk) {
    const cJSON *use = json_get(jwk, "use"), *ops = json_get(jwk, "key_ops"), *one;
    if (use && !str_eq(json_text(jwk, "use"), STR("sig")))
        return false;
    if (!ops)
        return true;
    cJSON_ArrayForEach(one, ops) {
        if (str_eq(str_of(cJSON_GetStringValue(one)), STR("verify")))
            return true;
    }
    return false;
}

/* A member that is base64url of 1 to max bytes, with room for one byte in front. */
static bool octets(const cJSON *jwk, const char *name, size_t max, struct out *o) {
    *o = out_heap(max);
    return decode(json_text(jwk, name), o) && o->n > 0;
}

static EVP_PKEY *make(const char *type, OSSL_PARAM_BLD *from) {
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(from);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    must(params && ctx);
    if (EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static bool is_sound(EVP_PKEY *key) {
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    must(ctx);
    bool sound = EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return sound;
}

/* Keys of a generator that was broken (ROCA, CVE-2017-15361): their modulus is a power of 65537 to
 * every small prime. One good key in a hundred million looks so too. */
static bool is_roca(const BIGNUM *modulus) {
    static const unsigned primes[] = {11, 13, 17,  19,  37,  53,  61,  71, 73,
                                      79, 97, 103, 107, 109, 127, 151, 157};
    for (size_t i = 0; i < ARRAY_LEN(primes); i++) {
        unsigned p = primes[i], power = 1, wanted = (unsigned)BN_mod_word(modulus, p);
        for (unsigned k = 1; k < p && power != wanted; k++)
            power = power * (65537 % p) % p;
        if (power != wanted)
            return false;
    }
    return true;
}

static EVP_PKEY *rsa_of(const struct out *n, const struct out *e) {
    OSSL_PARAM_BLD *from = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n->p, (int)n->n, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e->p, (int)e->n, NULL);
    must(from && modulus && exponent);
    must(OSSL_PARAM_BLD_push_BN(from, OSSL_PKEY_PARAM_RSA_N, modulus) == 1);
    must(OSSL_PARAM_BLD_push_BN(from, OSSL_PKEY_PARAM_RSA_E, exponent) == 1);
    int bits = BN_num_bits(modulus);
    bool sound = bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX && BN_is_odd(exponent) &&
                 !BN_is_one(exponent) && !is_roca(modulus);
    EVP_PKEY *key = sound ? make("RSA", from) : NULL;
    OSSL_PARAM_BLD_free(from);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *rsa_key(const cJSON *jwk) {
    struct out n, e;
    bool good = octets(jwk, "n", RSA_BITS_MAX / 8 + 1, &n);
    good = octets(jwk, "e", EXPONENT_MAX, &e) && good;
    EVP_PKEY *key = good ? rsa_of(&n, &e) : NULL;
    out_fini(&n);
    out_fini(&e);
    return key;
}

static EVP_PKEY *ec_of(const struct algorithm *a, struct str point) {
    OSSL_PARAM_BLD *from = OSSL_PARAM_BLD_new();
    must(from);
    must(OSSL_PARAM_BLD_push_utf8_string(from, OSSL_PKEY_PARAM_GROUP_NAME, a->group, 0) == 1);
    must(OSSL_PARAM_BLD_push_octet_string(from, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n) == 1);
    EVP_PKEY *key = make("EC", from);
    OSSL_PARAM_BLD_free(from);
    if (key && !is_sound(key)) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static EVP_PKEY *ec_key(const struct algorithm *a, const cJSON *jwk) {
    struct out x, y, point = out_heap(256);
    bool good = octets(jwk, "x", a->field, &x);
    good = octets(jwk, "y", a->field, &y) && good && x.n == a->field && y.n == a->field;
    out_char(&point, 4); /* uncompressed */
    out_str(&point, out_done(&x));
    out_str(&point, out_done(&y));
    EVP_PKEY *key = good ? ec_of(a, out_done(&point)) : NULL;
    out_fini(&x);
    out_fini(&y);
    out_fini(&point);
    return key;
}

static void add_key(struct jwt_keys *k, const cJSON *jwk) {
    const struct algorithm *a = cJSON_IsObject(jwk) ? algorithm_of(jwk) : NULL;
    if (!a || !is_for_verifying(jwk))
        return;
    struct str kid = json_text(jwk, "kid");
    EVP_PKEY *public = kid.n > KID_MAX ? NULL : a->curve ? ec_key(a, jwk) : rsa_key(jwk);
    ERR_clear_error();
    if (!public)
        return;
    k->keys[k->n++] = (struct key){a, kid.n > 0 ? str_dup(kid) : NULL, public};
}

struct jwt_keys *jwt_keys_new(struct str set, struct why *why) {
    if (set.n > JWT_SET_MAX) {
        why_text(why, "a key set of %zu bytes, more than %d", set.n, JWT_SET_MAX);
        return NULL;
    }
    cJSON *json = json_parse(set, why);
    if (!json)
        return NULL;
    struct jwt_keys *k = mem_zalloc(sizeof(*k));
    const cJSON *list = json_get(json, "keys"), *one;
    if (!cJSON_IsArray(list))
        why_text(why, "a key set without a list of keys");
    else if (cJSON_GetArraySize(list) > JWT_KEYS_MAX)
        why_text(why, "a key set of more than %d keys", JWT_KEYS_MAX);
    else
        cJSON_ArrayForEach(one, list) add_key(k, one);
    cJSON_Delete(json);
    if (k->n > 0)
        return k;
    why_text(why, "there is no key in it that can verify a signature");
    jwt_keys_free(k);
    return NULL;
}

void jwt_keys_free(struct jwt_keys *k) {
    if (!k)
        return;
    for (size_t i = 0; i < k->n; i++) {
        mem_free(k->keys[i].kid);
        EVP_PKEY_free(k->keys[i].public);
    }
    mem_free(k);
}

size_t jwt_keys_count(const struct jwt_keys *k) { return k->n; }

/* ---- taking apart ---- */

/* Which of two would count is a matter of the reader. */
static bool has_twins(const cJSON *object) {
    for (const cJSON *a = object->child; a; a = a->next)
        for (const cJSON *b = a->next; b; b = b->next)
            if (strcmp(a->string, b->string) == 0)
                return true;
    return false;
}

/* An object of at most 64 members, none of them twice. */
static cJSON *part(struct str text, const char *what, struct why *why) {
    struct out o = out_heap(JWT_TOKEN_MAX);
    struct why inner = {0};
    cJSON *json = decode(text, &o) ? json_parse(out_done(&o), &inner) : NULL;
    out_fini(&o);
    if (json && cJSON_IsObject(json) && cJSON_GetArraySize(json) <= 64 && !has_twins(json))
        return json;
    cJSON_Delete(json);
    why_text(why, "its %s is not one JSON object in base64url", what);
    return NULL;
}

static int read_header(struct jwt *t, struct why *why) {
    const cJSON *kid = json_get(t->header, "kid");
    t->alg = json_text(t->header, "alg");
    t->kid = json_text(t->header, "kid");
    if (kid && (t->kid.n == 0 || t->kid.n > KID_MAX))
        return why_text(why, "its kid is not a name of 1 to %d bytes", KID_MAX);
    /* RFC 7515 4.1.11, RFC 7797 */
    if (cJSON_GetObjectItemCaseSensitive(t->header, "crit") ||
        cJSON_GetObjectItemCaseSensitive(t->header, "b64"))
        return why_text(why, "it demands an extension (crit, b64) that is not known");
    return 0;
}

/* Cuts the three parts; the header and the signature are decoded. */
static int cut(struct jwt *t, struct str token, struct str *payload, struct why *why) {
    struct str header, signature;
    *t = (struct jwt){.signature = out_heap(RSA_BITS_MAX / 8)};
    if (token.n > JWT_TOKEN_MAX)
        return why_text(why, "a token of %zu bytes, more than %d", token.n, JWT_TOKEN_MAX);
    struct str rest = str_cut(token, '.', &header);
    rest = str_cut(rest, '.', payload);
    signature = rest;
    if (rest.n == 0 || str_find(rest, '.', 0) < rest.n)
        return why_text(why, "it has not three parts, as a signed token has");
    t->signed_part = str_mk(token.p, header.n + 1 + payload->n);
    if (!decode(signature, &t->signature))
        return why_text(why, "its signature is not base64url of a sound length");
    t->header = part(header, "header", why);
    return t->header ? read_header(t, why) : -1;
}

/* A NumericDate; 0: not said. */
static int read_time(const cJSON *claims, const char *name, int64_t *to, struct why *why) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(claims, name);
    *to = 0;
    if (!v)
        return 0;
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 1 && v->valuedouble < 1e15))
        return why_text(why, "its claim %s is not a time", name);
    *to = (int64_t)v->valuedouble;
    return 0;
}

static int read_claims(struct jwt *t, struct why *why) {
    const cJSON *kube = json_get(t->claims, "kubernetes.io");
    t->issuer = json_text(t->claims, "iss");
    t->subject = json_text(t->claims, "sub");
    t->namespace = json_text(kube, "namespace");
    t->account = json_text(json_get(kube, "serviceaccount"), "name");
    t->pod = json_text(json_get(kube, "pod"), "name");
    if (read_time(t->claims, "exp", &t->expires, why) != 0)
        return -1;
    return read_time(t->claims, "nbf", &t->not_before, why);
}

int jwt_read(struct jwt *t, struct str token, struct why *why) {
    struct str payload = STR_NONE;
    int bad = cut(t, token, &payload, why);
    if (!bad)
        t->claims = part(payload, "payload", why);
    if (t->claims)
        bad = read_claims(t, why);
    if (t->claims && !bad)
        return 0;
    jwt_fini(t);
    return -1;
}

void jwt_fini(struct jwt *t) {
    cJSON_Delete(t->header);
    cJSON_Delete(t->claims);
    out_fini(&t->signature);
    *t = (struct jwt){0};
}

/* ---- the signature ---- */

/* JOSE writes the two numbers side by side (RFC 7518 3.4), OpenSSL wants DER. NULL: no such. */
static unsigned char *ecdsa_der(const struct algorithm *a, struct str s, size_t *n) {
    if (s.n != 2 * a->field)
        return NULL;
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char *der = NULL;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, (int)a->field, NULL);
    BIGNUM *half = BN_bin2bn(p + a->field, (int)a->field, NULL);
    must(sig && r && half && ECDSA_SIG_set0(sig, r, half) == 1);
    int size = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    must(size > 0);
    *n = (size_t)size;
    return der;
}

static bool digest_verify(const struct key *k, const unsigned char *sig, size_t n,
                          struct str signed_part) {
    EVP_PKEY_CTX *how = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(ctx);
    bool good =
        EVP_DigestVerifyInit_ex(ctx, &how, k->algorithm->hash, NULL, NULL, k->public, NULL) == 1;
    if (good && k->algorithm->pss)
        good = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) > 0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) > 0;
    good = good &&
           EVP_DigestVerify(ctx, sig, n, (const unsigned char *)signed_part.p, signed_part.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

static bool verify(const struct key *k, struct str signature, struct str signed_part) {
    if (!k->algorithm->curve) {
        bool whole = signature.n == (size_t)EVP_PKEY_get_size(k->public);
        return whole &&
               digest_verify(k, (const unsigned char *)signature.p, signature.n, signed_part);
    }
    size_t n = 0;
    unsigned char *der = ecdsa_der(k->algorithm, signature, &n);
    bool good = der && digest_verify(k, der, n, signed_part);
    OPENSSL_free(der);
    return good;
}

int jwt_verify(const struct jwt *t, const struct jwt_keys *keys, struct why *why) {
    struct shown alg, kid;
    bool known = false;
    for (size_t i = 0; i < keys->n; i++) {
        const struct key *k = &keys->keys[i];
        if ((t->kid.n > 0 && !str_eq(t->kid, str_of(k->kid))) ||
            !str_eq(t->alg, str_of(k->algorithm->name)))
            continue;
        known = true;
        if (verify(k, out_done(&t->signature), t->signed_part))
            return 0;
    }
    return known ? why_text(why, "its signature is wrong")
                 : why_text(why, "it is signed with a key that is not known, kid %s alg %s",
                            why_show(t->kid, &kid), why_show(t->alg, &alg));
}

int jwt_verify_any(struct str token, const struct jwt_keys *keys, struct why *why) {
    struct jwt t;
    struct str payload = STR_NONE;
    int bad = cut(&t, token, &payload, why);
    struct out o = out_heap(JWT_TOKEN_MAX);
    if (!bad && !decode(payload, &o))
        bad = why_text(why, "its payload is not base64url");
    out_fini(&o);
    if (!bad)
        bad = jwt_verify(&t, keys, why);
    jwt_fini(&t);
    return bad;
}

/* ---- whether it counts ---- */

bool jwt_is_for(const struct jwt *t, struct str audience) {
    const cJSON *aud = json_get(t->claims, "aud"), *one;
    if (cJSON_IsString(aud))
        return str_eq(str_of(aud->valuestring), audience);
    if (!cJSON_IsArray(aud))
        return false;
    cJSON_ArrayForEach(one, aud) {
        if (cJSON_IsString(one) && str_eq(str_of(one->valuestring), audience))
            return true;
    }
    return false;
}

int jwt_judge(const struct jwt *t, struct str issuer, struct str audience, int64_t now,
              struct why *why) {
    struct shown shown;
    if (t->expires == 0)
        return why_text(why, "it never expires, and so is not believed");
    if (t->expires + JWT_SKEW_S <= now)
        return why_text(why, "it has expired %lld s ago", (long long)(now - t->expires));
    if (t->not_before > now + JWT_SKEW_S)
        return why_text(why, "it counts only in %lld s", (long long)(t->not_before - now));
    if (!jwt_is_for(t, audience))
        return why_text(why, "it is not for the audience %s", why_show(audience, &shown));
    if (issuer.n > 0 && !str_eq(issuer, t->issuer))
        return why_text(why, "it is of the issuer %s, not of this cluster's",
                        why_show(t->issuer, &shown));
    return 0;
}
