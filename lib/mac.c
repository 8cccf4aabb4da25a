/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL's own HMAC, and its EVP_DigestInit of 3.0, take memory from the heap at every use. What
 * is below them does not, so the two hashes of RFC 2104 are made of that.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init and its like: deprecated, and in every 3.x */
#include "lib/mac.h"

#include "lib/mem.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

enum { BLOCK_MAX = 128 };

static const struct {
    struct str name;
    size_t size, block;
} macs[MACS] = {
    [MAC_SHA256] = {STR("hmac-sha256"), 32, 64},
    [MAC_SHA384] = {STR("hmac-sha384"), 48, 128},
    [MAC_SHA512] = {STR("hmac-sha512"), 64, 128},
    [MAC_SHA1] = {STR("hmac-sha1"), 20, 64},
};

struct mac_scratch {
    SHA_CTX sha1;
    SHA256_CTX sha256;
    SHA512_CTX sha512; /* and of SHA-384 */
};

enum mac mac_named(struct str name) {
    for (enum mac m = MAC_NONE + 1; m < MACS; m++)
        if (str_eq(name, macs[m].name))
            return m;
    return MAC_NONE;
}

struct str mac_name(enum mac m) {
    return macs[m].name;
}
size_t mac_size(enum mac m) { return macs[m].size; }

enum mac mac_of_size(size_t n) {
    for (enum mac m = MAC_SHA256; m <= MAC_SHA512; m++)
        if (macs[m].size == n)
            return m;
    return MAC_NONE;
}

struct mac_scratch *mac_scratch_new(void) {
    return mem_zalloc(sizeof(struct mac_scratch));
}

void mac_scratch_free(struct mac_scratch *s) {
    if (s)
        OPENSSL_cleanse(s, sizeof(*s));
    mem_free(s);
}

static bool hash_sha1(SHA_CTX *c, struct str first, struct str then, unsigned char *made) {
    return SHA1_Init(c) == 1 && SHA1_Update(c, first.p, first.n) == 1 &&
           SHA1_Update(c, then.p, then.n) == 1 && SHA1_Final(made, c) == 1;
}

static bool hash_sha256(SHA256_CTX *c, struct str first, struct str then, unsigned char *made) {
    return SHA256_Init(c) == 1 && SHA256_Update(c, first.p, first.n) == 1 &&
           SHA256_Update(c, then.p, then.n) == 1 && SHA256_Final(made, c) == 1;
}

/* SHA-384 is SHA-512 with another beginning, and cut off; the context knows which it is. */
static bool hash_sha512(SHA512_CTX *c, enum mac m, struct str first, struct str then,
                        unsigned char *made) {
    return (m == MAC_SHA384 ? SHA384_Init(c) : SHA512_Init(c)) == 1 &&
           SHA512_Update(c, first.p, first.n) == 1 && SHA512_Update(c, then.p, then.n) == 1 &&
           SHA512_Final(made, c) == 1;
}

/* The hash of `first`, which may be empty, and `then`. */
static void hash(struct mac_scratch *s, enum mac m, struct str first, struct str then,
                 unsigned char made[MAC_MAX]) {
    bool good = m == MAC_SHA1     ? hash_sha1(&s->sha1, first, then, made)
                : m == MAC_SHA256 ? hash_sha256(&s->sha256, first, then, made)
                                  : hash_sha512(&s->sha512, m, first, then, made);
    must(good);
}

/* A block of the key, each byte changed by `pad`. */
static struct str padded(enum mac m, const unsigned char key[BLOCK_MAX], unsigned char pad,
                         char room[BLOCK_MAX]) {
    for (size_t i = 0; i < macs[m].block; i++)
        room[i] = (char)(key[i] ^ pad);
    return str_mk(room, macs[m].block);
}

static void make(struct mac_scratch *s, enum mac m, struct str secret, struct str text,
                 unsigned char made[MAC_MAX]) {
    unsigned char key[BLOCK_MAX] = {0}, inner[MAC_MAX];
    char room[BLOCK_MAX];
    if (secret.n > macs[m].block) { /* such a key is its hash */
        hash(s, m, STR_NONE, secret, inner);
        memcpy(key, inner, macs[m].size);
    } else if (secret.n > 0) {
        memcpy(key, secret.p, secret.n);
    }
    hash(s, m, padded(m, key, 0x36, room), text, inner);
    hash(s, m, padded(m, key, 0x5c, room), str_mk((const char *)inner, macs[m].size), made);
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(room, sizeof(room));
    OPENSSL_cleanse(inner, sizeof(inner));
}

bool mac_verify(struct mac_scratch *s, enum mac m, struct str secret, struct str text,
                struct str tag) {
    unsigned char made[MAC_MAX];
    if (m == MAC_NONE || tag.n != macs[m].size)
        return false;
    make(s, m, secret, text, made);
    bool same = CRYPTO_memcmp(made, tag.p, tag.n) == 0;
    OPENSSL_cleanse(made, sizeof(made));
    return same;
}

void mac_hash(struct mac_scratch *s, enum mac m, struct str text, unsigned char made[MAC_MAX]) {
    hash(s, m, STR_NONE, text, made);
}
