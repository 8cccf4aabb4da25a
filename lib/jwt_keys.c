/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/jwt_keys.h"

#include "lib/json.h"
#include "lib/jwt_room.h"
#include "lib/mem.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

enum { EXPONENT_MAX = 8, COORDINATE_MAX = 66, POINT_MAX = 1 + 2 * COORDINATE_MAX }; /* bytes */

/* Curves of RFC 8037, as JWK calls them. */
static const struct ed_curve {
    const char *curve;
    int type;
    size_t size; /* bytes of a key */
} ed_curves[] = {{"Ed25519", EVP_PKEY_ED25519, 32}, {"Ed448", EVP_PKEY_ED448, 57}};

/* ---- the numbers of a key ---- */

/* A member that is base64url of 1 to max bytes. */
static int octets(const cJSON *jwk, const char *name, size_t max, unsigned char *room, size_t *n,
                  struct why *why) {
    struct str text = json_text(jwk, name);
    if (text.n == 0 || text.n > (max + 2) / 3 * 4 || !base64url_decode(text, (char *)room, n) ||
        *n > max)
        return why_text(why, "its %s is not base64url of 1 to %zu bytes", name, max);
    return 0;
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

static int judge_rsa(const BIGNUM *modulus, const BIGNUM *exponent, struct why *why) {
    int bits = BN_num_bits(modulus);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return why_text(why, "RSA of %d bits; %d to %d are taken", bits, RSA_BITS_MIN,
                        RSA_BITS_MAX);
    if (!BN_is_odd(exponent) || BN_is_one(exponent) || !BN_is_odd(modulus))
        return why_text(why, "its numbers are not those of an RSA key");
    if (is_roca(modulus))
        return why_text(why, "it was made by a broken generator (ROCA, CVE-2017-15361)");
    return 0;
}

static EVP_PKEY *rsa_of(BIGNUM *modulus, BIGNUM *exponent, struct why *why) {
    if (judge_rsa(modulus, exponent, why) != 0)
        return NULL;
    OSSL_PARAM_BLD *from = OSSL_PARAM_BLD_new();
    must(from && OSSL_PARAM_BLD_push_BN(from, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
         OSSL_PARAM_BLD_push_BN(from, OSSL_PKEY_PARAM_RSA_E, exponent) == 1);
    EVP_PKEY *key = make("RSA", from);
    OSSL_PARAM_BLD_free(from);
    if (!key)
        why_text(why, "its numbers are not those of an RSA key");
    return key;
}

static EVP_PKEY *rsa_key(const cJSON *jwk, struct why *why) {
    unsigned char n[RSA_BITS_MAX / 8 + 4], e[EXPONENT_MAX + 4];
    size_t size_n = 0, size_e = 0;
    if (octets(jwk, "n", RSA_BITS_MAX / 8 + 1, n, &size_n, why) != 0 ||
        octets(jwk, "e", EXPONENT_MAX, e, &size_e, why) != 0)
        return NULL;
    BIGNUM *modulus = BN_bin2bn(n, (int)size_n, NULL), *exponent = BN_bin2bn(e, (int)size_e, NULL);
    must(modulus && exponent);
    EVP_PKEY *key = rsa_of(modulus, exponent, why);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *ec_of(const struct jwt_algorithm *a, const unsigned char *point, size_t n) {
    OSSL_PARAM_BLD *from = OSSL_PARAM_BLD_new();
    must(from);
    must(OSSL_PARAM_BLD_push_utf8_string(from, OSSL_PKEY_PARAM_GROUP_NAME, a->group, 0) == 1);
    must(OSSL_PARAM_BLD_push_octet_string(from, OSSL_PKEY_PARAM_PUB_KEY, point, n) == 1);
    EVP_PKEY *key = make("EC", from);
    OSSL_PARAM_BLD_free(from);
    if (!key || is_sound(key))
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static EVP_PKEY *ec_key(const struct jwt_algorithm *a, const cJSON *jwk, struct why *why) {
    unsigned char point[POINT_MAX + 8] = {4}; /* uncompressed */
    unsigned char *x = point + 1, y[COORDINATE_MAX + 4];
    size_t size_x = 0, size_y = 0;
    if (octets(jwk, "x", a->size, x, &size_x, why) != 0 ||
        octets(jwk, "y", a->size, y, &size_y, why) != 0)
        return NULL;
    memcpy(x + a->size, y, a->size);
    EVP_PKEY *key =
        size_x == a->size && size_y == a->size ? ec_of(a, point, 1 + 2 * a->size) : NULL;
    if (!key)
        why_text(why, "its x and y are no point of %s", a->curve);
    return key;
}

static EVP_PKEY *ed_key(const struct ed_curve *c, const cJSON *jwk, struct why *why) {
    unsigned char x[COORDINATE_MAX];
    size_t n = 0;
    if (octets(jwk, "x", c->size, x, &n, why) != 0)
        return NULL;
    EVP_PKEY *key = n == c->size ? EVP_PKEY_new_raw_public_key(c->type, NULL, x, n) : NULL;
    if (!key)
        why_text(why, "its x is no key of %s", c->curve);
    return key;
}

/* ---- a JSON Web Key ---- */

/* Which of two would count is a matter of the reader. */
static bool has_twins(const cJSON *object) {
    for (const cJSON *a = object->child; a; a = a->next)
        for (const cJSON *b = a->next; b; b = b->next)
            if (strcmp(a->string, b->string) == 0)
                return true;
    return false;
}

static int judge_use(const cJSON *jwk, struct why *why) {
    struct shown shown;
    const cJSON *use = json_get(jwk, "use"), *ops = json_get(jwk, "key_ops"), *one;
    if (use && !str_eq(json_text(jwk, "use"), STR("sig")))
        return why_text(why, "it is not for signatures, use %s",
                        why_show(json_text(jwk, "use"), &shown));
    if (!ops)
        return 0;
    cJSON_ArrayForEach(one, ops) {
        if (str_eq(str_of(cJSON_GetStringValue(one)), STR("verify")))
            return 0;
    }
    return why_text(why, "it is not for verifying, by its key_ops");
}

/* As that of a token's header is. */
static bool is_kid(struct str s) {
    bool good = s.n > 0 && s.n <= JWT_KID_MAX;
    for (size_t n; good && s.n > 0; s = str_skip(s, n)) {
        n = str_utf8(s);
        good = n > 0;
    }
    return good;
}

static int judge_members(const cJSON *jwk, struct why *why) {
    if (!cJSON_IsObject(jwk))
        return why_text(why, "it is no object");
    if (has_twins(jwk))
        return why_text(why, "a member of it is there twice");
    if (json_get(jwk, "kid") && !is_kid(json_text(jwk, "kid")))
        return why_text(why, "its kid is not a text of 1 to %d bytes", JWT_KID_MAX);
    if (str_eq(json_text(jwk, "kty"), STR("oct")) || json_get(jwk, "k"))
        return why_text(why, "it is a shared secret; those belong to Consumers");
    if (json_get(jwk, "d"))
        return why_text(why, "its private half is in it, so that whoever reads it can sign; make "
                             "another key and publish its public half alone");
    return judge_use(jwk, why);
}

/* The alg that is said must be `is`, or one of the family of RSA. */
static int judge_alg(const cJSON *jwk, enum jwt_alg *is, struct why *why) {
    struct shown shown;
    enum jwt_alg said;
    struct str alg = json_text(jwk, "alg");
    bool rsa = *is == JWT_RS256;
    if (!json_get(jwk, "alg"))
        return 0;
    if (!rsa && *is == JWT_ES512 && str_eq(alg, STR("ES521")))
        return 0;
    if (jwt_alg_named(alg, &said) && (rsa ? said <= JWT_PS512 : said == *is)) {
        *is = said;
        return 0;
    }
    return why_text(why, "its algorithm %s is not one of such a key", why_show(alg, &shown));
}

static EVP_PKEY *ec_or_ed_key(const cJSON *jwk, enum jwt_alg *alg, struct why *why) {
    struct shown shown;
    struct str curve = json_text(jwk, "crv");
    bool ec = str_eq(json_text(jwk, "kty"), STR("EC"));
    for (*alg = JWT_ES256; ec && *alg <= JWT_ES512; ++*alg)
        if (str_eq(curve, str_of(jwt_algorithms[*alg].curve)))
            return judge_alg(jwk, alg, why) != 0 ? NULL : ec_key(&jwt_algorithms[*alg], jwk, why);
    *alg = JWT_EDDSA;
    for (size_t i = 0; !ec && i < ARRAY_LEN(ed_curves); i++)
        if (str_eq(curve, str_of(ed_curves[i].curve)))
            return judge_alg(jwk, alg, why) != 0 ? NULL : ed_key(&ed_curves[i], jwk, why);
    why_text(why, "its curve %s is not known", why_show(curve, &shown));
    return NULL;
}

/* NULL with *why. */
static EVP_PKEY *key_of(const cJSON *jwk, enum jwt_alg *alg, struct why *why) {
    struct shown shown;
    struct str type = json_text(jwk, "kty");
    if (judge_members(jwk, why) != 0)
        return NULL;
    if (str_eq(type, STR("EC")) || str_eq(type, STR("OKP")))
        return ec_or_ed_key(jwk, alg, why);
    *alg = JWT_RS256;
    if (str_eq(type, STR("RSA")))
        return judge_alg(jwk, alg, why) != 0 ? NULL : rsa_key(jwk, why);
    why_text(why, "its kind %s is not known", why_show(type, &shown));
    return NULL;
}

/* ---- a key set ---- */

static struct str der_of(struct arena *a, EVP_PKEY *key) {
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    must(n > 0);
    struct str copy = arena_str(a, str_mk((const char *)der, (size_t)n));
    OPENSSL_free(der);
    return copy;
}

static void leave_out(struct jwt_set *s, size_t index, struct str kid, const struct why *why) {
    struct shown shown;
    s->left_out[s->n_left_out++] =
        kid.n > 0 ? arena_fmt(&s->arena, "keys[%zu] (kid %s) is left out: %s", index,
                              why_show(kid, &shown), why->text)
                  : arena_fmt(&s->arena, "keys[%zu] is left out: %s", index, why->text);
}

static void add_key(struct jwt_set *s, size_t index, const cJSON *jwk) {
    struct why why = {0};
    struct str kid = json_text(jwk, "kid");
    enum jwt_alg alg;
    EVP_PKEY *key = key_of(jwk, &alg, &why);
    ERR_clear_error();
    if (key)
        s->keys[s->n_keys++] =
            (struct jwt_key){arena_str(&s->arena, kid), alg, der_of(&s->arena, key)};
    else
        leave_out(s, index, kid, &why);
    EVP_PKEY_free(key);
}

static int read_set(struct jwt_set *s, const cJSON *json, struct why *why) {
    const cJSON *list = json_get(json, "keys"), *one;
    size_t index = 0;
    if (!cJSON_IsArray(list))
        return why_text(why, "a key set without a list of keys");
    if (has_twins(json))
        return why_text(why, "a key set with a member that is there twice");
    if (cJSON_GetArraySize(list) > JWT_KEYS_MAX)
        return why_text(why, "a key set of more than %d keys", JWT_KEYS_MAX);
    cJSON_ArrayForEach(one, list) add_key(s, index++, one);
    return 0;
}

struct jwt_set *jwt_set_new(struct str text, struct why *why) {
    if (text.n > JWT_SET_MAX) {
        why_text(why, "a key set of %zu bytes, more than %d", text.n, JWT_SET_MAX);
        return NULL;
    }
    cJSON *json = json_parse(text, why);
    if (!json)
        return NULL;
    struct jwt_set *s = mem_zalloc(sizeof(*s));
    arena_init(&s->arena);
    int bad = read_set(s, json, why);
    cJSON_Delete(json);
    if (!bad)
        return s;
    jwt_set_free(s);
    return NULL;
}

void jwt_set_free(struct jwt_set *s) {
    if (!s)
        return;
    arena_fini(&s->arena);
    mem_free(s);
}

/* ---- written ---- */

static EVP_PKEY *of_der(struct str der) {
    const unsigned char *p = (const unsigned char *)der.p, *end = p + der.n;
    EVP_PKEY *key = der.n > 0 ? d2i_PUBKEY(NULL, &p, (long)der.n) : NULL;
    if (key && p == end)
        return key;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return NULL;
}

/* A number of the key in so many bytes; 0: as many as it needs. */
static void put_number(EVP_PKEY *key, const char *param, size_t size, struct out *to) {
    unsigned char room[RSA_BITS_MAX / 8];
    BIGNUM *n = NULL;
    must(EVP_PKEY_get_bn_param(key, param, &n) == 1);
    if (size == 0)
        size = (size_t)BN_num_bytes(n);
    must(size <= sizeof(room) && BN_bn2binpad(n, room, (int)size) >= 0);
    BN_free(n);
    base64url_put(to, room, size);
}

static void put_rsa(EVP_PKEY *key, struct out *to) {
    out_lit(to, "\"e\":\"");
    put_number(key, OSSL_PKEY_PARAM_RSA_E, 0, to);
    out_lit(to, "\",\"kty\":\"RSA\",\"n\":\"");
    put_number(key, OSSL_PKEY_PARAM_RSA_N, 0, to);
    out_char(to, '"');
}

static void put_ec(EVP_PKEY *key, const struct jwt_algorithm *a, struct out *to) {
    out_fmt(to, "\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"", a->curve);
    put_number(key, OSSL_PKEY_PARAM_EC_PUB_X, a->size, to);
    out_lit(to, "\",\"y\":\"");
    put_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, a->size, to);
    out_char(to, '"');
}

static void put_ed(EVP_PKEY *key, const struct ed_curve *c, struct out *to) {
    unsigned char x[COORDINATE_MAX];
    size_t n = sizeof(x);
    must(EVP_PKEY_get_raw_public_key(key, x, &n) == 1);
    out_fmt(to, "\"crv\":\"%s\",\"kty\":\"OKP\",\"x\":\"", c->curve);
    base64url_put(to, x, n);
    out_char(to, '"');
}

static const struct jwt_algorithm *ec_algorithm(EVP_PKEY *key) {
    char group[32] = "";
    size_t n;
    if (EVP_PKEY_get_group_name(key, group, sizeof(group), &n) != 1)
        return NULL;
    for (size_t i = JWT_ES256; i <= JWT_ES512; i++)
        if (strcmp(group, jwt_algorithms[i].group) == 0)
            return &jwt_algorithms[i];
    return NULL;
}

static const struct ed_curve *ed_curve_of(EVP_PKEY *key) {
    for (size_t i = 0; i < ARRAY_LEN(ed_curves); i++)
        if (EVP_PKEY_get_base_id(key) == ed_curves[i].type)
            return &ed_curves[i];
    return NULL;
}

static bool is_rsa(EVP_PKEY *key) {
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) <= RSA_BITS_MAX;
}

/* The members that make the key, in the order of RFC 7638 3.3. */
static int put_members(EVP_PKEY *key, struct out *to) {
    if (is_rsa(key)) {
        put_rsa(key, to);
        return 0;
    }
    if (ed_curve_of(key)) {
        put_ed(key, ed_curve_of(key), to);
        return 0;
    }
    const struct jwt_algorithm *a = ec_algorithm(key);
    if (!a)
        return -1;
    put_ec(key, a, to);
    return 0;
}

static int put_key(struct str der, struct out *to) {
    EVP_PKEY *key = of_der(der);
    int bad = key ? put_members(key, to) : -1;
    EVP_PKEY_free(key);
    return bad;
}

int jwt_thumbprint(struct str der, struct out *to) {
    unsigned char sha256[32];
    struct out o = out_heap(4 << 10);
    out_char(&o, '{');
    int bad = put_key(der, &o);
    out_char(&o, '}');
    must(o.over || EVP_Digest(o.p, o.n, sha256, NULL, EVP_sha256(), NULL) == 1);
    bad = bad || o.over ? -1 : 0;
    if (!bad)
        base64url_put(to, sha256, sizeof(sha256));
    out_fini(&o);
    return bad;
}

int jwt_set_json(const struct jwt_key *keys, size_t n, struct out *to) {
    out_lit(to, "{\"keys\":[");
    for (size_t i = 0; i < n; i++) {
        out_str(to, i > 0 ? STR(",{") : STR("{"));
        if (put_key(keys[i].der, to) != 0)
            return -1;
        out_fmt(to, ",\"use\":\"sig\",\"alg\":\"%s\"", jwt_alg_name(keys[i].alg));
        if (keys[i].kid.n > 0) {
            out_lit(to, ",\"kid\":");
            out_json(to, keys[i].kid);
        }
        out_char(to, '}');
    }
    out_lit(to, "]}");
    return to->over ? -1 : 0;
}

/* ---- keys to verify with ---- */

struct jwt_keys {
    size_t n;
    struct one_key {
        struct jwt_pair pair;
        enum jwt_alg alg;
        struct str kid; /* owned */
    } keys[];
};

static bool fits(EVP_PKEY *key, const struct jwt_algorithm *a) {
    switch (a->family) {
    case FAMILY_RSA:
    case FAMILY_PSS:
        return is_rsa(key) && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN;
    case FAMILY_EC:
        return ec_algorithm(key) == a;
    case FAMILY_ED:
        return ed_curve_of(key) != NULL;
    default:
        return false;
    }
}

static int take(struct jwt_keys *k, const struct jwt_key *from, struct why *why) {
    struct shown shown;
    const struct jwt_algorithm *a = &jwt_algorithms[from->alg];
    EVP_PKEY *key = of_der(from->der);
    if (!key || !fits(key, a)) {
        EVP_PKEY_free(key);
        return why_text(why, "the key with kid %s is none of %s", why_show(from->kid, &shown),
                        a->name);
    }
    k->keys[k->n++] = (struct one_key){.pair = {a, jwt_number_next(), key, false},
                                       .alg = from->alg,
                                       .kid = str_mk(str_dup(from->kid), from->kid.n)};
    return 0;
}

struct jwt_keys *jwt_keys_of(const struct jwt_key *keys, size_t n, struct why *why) {
    if (n == 0 || n > JWT_KEYS_MAX) {
        why_text(why, n == 0 ? "there is no key in it that can verify a signature"
                             : "there are too many keys in it");
        return NULL;
    }
    struct jwt_keys *k = mem_zalloc(sizeof(*k) + n * sizeof(k->keys[0]));
    for (size_t i = 0; i < n; i++)
        if (take(k, &keys[i], why) != 0) {
            jwt_keys_free(k);
            return NULL;
        }
    return k;
}

struct jwt_keys *jwt_keys_new(struct str json, struct why *why) {
    struct jwt_set *s = jwt_set_new(json, why);
    if (!s)
        return NULL;
    if (s->n_keys == 0 && s->n_left_out > 0)
        why_text(why, "there is no key in it that can verify a signature: %.*s",
                 STR_FMT(s->left_out[0]));
    struct jwt_keys *k = jwt_keys_of(s->keys, s->n_keys, why);
    jwt_set_free(s);
    return k;
}

void jwt_keys_free(struct jwt_keys *k) {
    if (!k)
        return;
    for (size_t i = 0; i < k->n; i++) {
        EVP_PKEY_free(k->keys[i].pair.key);
        mem_free((char *)(uintptr_t)k->keys[i].kid.p);
    }
    mem_free(k);
}

size_t jwt_keys_count(const struct jwt_keys *k) { return k->n; }

/* ---- verifying ---- */

static int refuse_key(const struct jwt *t, bool tried, bool named, struct why *why) {
    struct shown shown;
    if (tried)
        why_text(why, "its signature is wrong");
    else if (named)
        why_text(why, "the key with kid %s is not one for %s", why_show(t->kid, &shown),
                 jwt_alg_name(t->alg));
    else if (t->kid.n > 0)
        why_text(why, "it is signed with a key that is not known, kid %s",
                 why_show(t->kid, &shown));
    else
        why_text(why, "there is no key for %s", jwt_alg_name(t->alg));
    return named ? -1 : JWT_KEY_UNKNOWN;
}

int jwt_verify(const struct jwt *t, const struct jwt_keys *keys, uint32_t algorithms,
               struct jwt_scratch *s, struct why *why) {
    unsigned tries = 0;
    bool named = false; /* a key of its kid is there */
    if (!(algorithms & JWT_ALG(t->alg) & JWT_ALGS_KEY))
        return why_text(why, "its algorithm %s is not one of those that are accepted",
                        jwt_alg_name(t->alg));
    for (size_t i = 0; i < keys->n; i++) {
        const struct one_key *k = &keys->keys[i];
        bool same = t->kid.n > 0 && str_eq(t->kid, k->kid);
        named |= same;
        if (k->alg != t->alg || (t->kid.n > 0 && k->kid.n > 0 && !same))
            continue;
        if (tries++ == JWT_TRIES_MAX)
            return why_text(why, "it was tried with %d keys, and no more are", JWT_TRIES_MAX);
        if (jwt_pair_verify(s, &k->pair, t->signature, t->signed_part))
            return 0;
    }
    return refuse_key(t, tries > 0, named, why);
}
