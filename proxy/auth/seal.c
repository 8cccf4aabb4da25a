/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/seal.h"

#include "lib/mem.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

enum {
    VERSION = 1,
    HEAD = 1 + 4, /* version, from */
    SALT = 16,
    NONCE = 12,
    TAG = 16,
    KEY = 32,
    FRONT = HEAD + SALT + NONCE
};
_Static_assert(FRONT + TAG == SEAL_OVER, "the parts of a box");

struct seal {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    EVP_MAC_CTX *mac;
};

struct seal *seal_new(void) {
    struct seal *s = mem_zalloc(sizeof(*s));
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    s->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    s->ctx = EVP_CIPHER_CTX_new();
    s->mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    must(s->cipher && s->ctx && s->mac && EVP_MAC_CTX_set_params(s->mac, params) == 1);
    EVP_MAC_free(hmac);
    return s;
}

void seal_free(struct seal *s) {
    if (!s)
        return;
    EVP_MAC_CTX_free(s->mac);
    EVP_CIPHER_CTX_free(s->ctx);
    EVP_CIPHER_free(s->cipher);
    mem_free(s);
}

static bool derive(struct seal *s, struct str secret, const unsigned char *salt,
                   unsigned char key[KEY]) {
    static const unsigned char label[] = "sluice session box"; /* its NUL divides */
    size_t n = 0;
    return EVP_MAC_init(s->mac, (const unsigned char *)secret.p, secret.n, NULL) == 1 &&
           EVP_MAC_update(s->mac, label, sizeof(label)) == 1 &&
           EVP_MAC_update(s->mac, salt, SALT) == 1 && EVP_MAC_final(s->mac, key, &n, KEY) == 1 &&
           n == KEY;
}

/* Ready for the text: with key, nonce and what is authenticated beside it. */
static bool begin(struct seal *s, struct str secret, const unsigned char *front, struct str about,
                  bool closes) {
    unsigned char key[KEY];
    int n = 0;
    bool good =
        derive(s, secret, front + HEAD, key) &&
        EVP_CipherInit_ex2(s->ctx, s->cipher, key, front + HEAD + SALT, closes, NULL) == 1 &&
        EVP_CipherUpdate(s->ctx, NULL, &n, front, HEAD) == 1 &&
        EVP_CipherUpdate(s->ctx, NULL, &n, (const unsigned char *)about.p, (int)about.n) == 1;
    OPENSSL_cleanse(key, sizeof(key));
    return good;
}

static bool run(struct seal *s, struct str from, unsigned char *to) {
    int n = 0;
    return from.n == 0 ||
           (EVP_CipherUpdate(s->ctx, to, &n, (const unsigned char *)from.p, (int)from.n) == 1 &&
            n == (int)from.n);
}

static bool end(struct seal *s, bool good) {
    EVP_CIPHER_CTX_reset(s->ctx); /* no key stays in it */
    if (!good)
        ERR_clear_error();
    return good;
}

bool seal_close(struct seal *s, const struct model_session_keys *keys, uint64_t now,
                struct str about, struct str plain, char *room) {
    const struct model_ticket_key *key = session_key_sealing(keys, now);
    unsigned char *at = (unsigned char *)room, none[TAG];
    int n = 0;
    if (!key || RAND_bytes(at + HEAD, SALT + NONCE) != 1)
        return false;
    at[0] = VERSION;
    for (unsigned i = 0; i < 4; i++)
        at[1 + i] = (unsigned char)(key->from >> (24 - 8 * i));
    bool good = begin(s, key->secret, at, about, true) && run(s, plain, at + FRONT) &&
                EVP_CipherFinal_ex(s->ctx, none, &n) == 1 &&
                EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, TAG, at + FRONT + plain.n) == 1;
    return end(s, good);
}

bool seal_open(struct seal *s, const struct model_session_keys *keys, uint64_t now,
               struct str about, struct str box, char *room, struct str *plain) {
    const unsigned char *at = (const unsigned char *)box.p;
    unsigned char tag[TAG], none[TAG];
    int n = 0;
    if (box.n < SEAL_OVER || at[0] != VERSION)
        return false;
    uint64_t from = (uint64_t)at[1] << 24 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 8 | at[4];
    const struct model_ticket_key *key = session_key_opening(keys, from, now);
    struct str text = str_mk(box.p + FRONT, box.n - SEAL_OVER);
    memcpy(tag, at + box.n - TAG, TAG);
    *plain = str_mk(room, text.n);
    bool good = key && begin(s, key->secret, at, about, false) &&
                run(s, text, (unsigned char *)room) &&
                EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 &&
                EVP_CipherFinal_ex(s->ctx, none, &n) == 1;
    return end(s, good);
}
