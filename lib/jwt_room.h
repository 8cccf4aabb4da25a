/* SPDX-License-Identifier: Apache-2.0
 *
 * jwt_room: what the files of lib/jwt share: the table of algorithms, and what a thread keeps
 * ready.
 *
 * OpenSSL looks an algorithm up by name at each use (some 50,000 instructions a signature), unless
 * one holds on to what it found: so a scratch keeps one context for each hash, and one for each key
 * that it verified or signed with lately, by the key's number. A number is given once in a process:
 * a context is never mistaken for that of another key, and holds its key by a reference.
 */
#ifndef SLUICE_LIB_JWT_ROOM_H
#define SLUICE_LIB_JWT_ROOM_H

#include "lib/base64url.h"
#include "lib/jwt.h"

#include <openssl/evp.h>

enum {
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192, /* so that a verification stays cheap */
    SIGNATURE_MAX = RSA_BITS_MAX / 8,
    DIGEST_MAX = 64,
};

enum jwt_family { FAMILY_RSA, FAMILY_PSS, FAMILY_EC, FAMILY_ED, FAMILY_SECRET };
enum jwt_hash { HASH_256, HASH_384, HASH_512, HASHES };

struct jwt_algorithm {
    const char *name;
    enum jwt_family family;
    enum jwt_hash hash; /* of FAMILY_ED: none */
    const char *curve;  /* of FAMILY_EC, as JWK calls it */
    const char *group;  /* and as OpenSSL does */
    size_t size;        /* FAMILY_EC: bytes of a coordinate, and of half a signature;
                           FAMILY_SECRET: of the hash, and of the shortest secret */
};
extern const struct jwt_algorithm jwt_algorithms[JWT_ALGS];

uint64_t jwt_number_next(void);

struct jwt_slot {
    uint64_t number; /* of the key; 0: empty */
    EVP_PKEY_CTX *ctx;
};

struct jwt_scratch {
    EVP_MD_CTX *hash[HASHES];
    EVP_MAC_CTX *mac[HASHES];
    EVP_MD_CTX *whole;          /* FAMILY_ED takes the message, not its hash */
    struct jwt_slot slots[256]; /* by number */
    struct claim nodes[1024];   /* of header and claims */
    char text[BASE64URL_ROOM(JWT_TOKEN_MAX) + 16];
};

/* A key as it is used: for verifying, or with its private half for signing. */
struct jwt_pair {
    const struct jwt_algorithm *algorithm;
    uint64_t number;
    EVP_PKEY *key;
    bool signs;
};

/* Ready to verify or sign a digest; NULL: there is no memory. */
EVP_PKEY_CTX *jwt_context(struct jwt_scratch *s, const struct jwt_pair *k);
/* The length; 0: there is no memory. */
size_t jwt_digest(struct jwt_scratch *s, enum jwt_hash hash, struct str of,
                  unsigned char room[DIGEST_MAX]);

/* False too when there is no memory. */
bool jwt_pair_verify(struct jwt_scratch *s, const struct jwt_pair *k, struct str signature,
                     struct str signed_part);

#endif
