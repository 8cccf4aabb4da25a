/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/mac.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>

static const struct {
    struct str name;
    size_t size;
    const EVP_MD *(*hash)(void);
} macs[MACS] = {
    [MAC_SHA256] = {STR("hmac-sha256"), 32, EVP_sha256},
    [MAC_SHA384] = {STR("hmac-sha384"), 48, EVP_sha384},
    [MAC_SHA512] = {STR("hmac-sha512"), 64, EVP_sha512},
    [MAC_SHA1] = {STR("hmac-sha1"), 20, EVP_sha1},
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

bool mac_verify(enum mac m, struct str secret, struct str text, struct str tag) {
    unsigned char made[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (m == MAC_NONE || tag.n != macs[m].size || secret.n > INT_MAX)
        return false;
    must(HMAC(macs[m].hash(), secret.p, (int)secret.n, (const unsigned char *)text.p, text.n, made,
              &n) != NULL);
    bool same = CRYPTO_memcmp(made, tag.p, tag.n) == 0;
    OPENSSL_cleanse(made, sizeof(made));
    return same;
}
