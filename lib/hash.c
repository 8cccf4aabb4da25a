/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/hash.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#include <xxhash.h>

static uint64_t key[2], secret_key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

void random_bytes(void *p, size_t n) {
    char *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        must(got > 0);
        at += got;
        n -= (size_t)got;
    }
}

static void make_key(void) {
    random_bytes(key, sizeof(key));
    random_bytes(secret_key, sizeof(secret_key));
}

/* The key is set before main() so that hashing needs no check. */
__attribute__((constructor)) static void make_key_first(void) { pthread_once(&key_once, make_key); }

static inline uint64_t rotl(uint64_t x, unsigned b) { return (x << b) | (x >> (64 - b)); }

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0], v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2], v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static inline void sip_begin(uint64_t v[4], const uint64_t k[2]) {
    v[0] = k[0] ^ 0x736f6d6570736575ULL, v[1] = k[1] ^ 0x646f72616e646f6dULL;
    v[2] = k[0] ^ 0x6c7967656e657261ULL, v[3] = k[1] ^ 0x7465646279746573ULL;
}

static inline void sip_word(uint64_t v[4], uint64_t m, unsigned rounds) {
    v[3] ^= m;
    for (unsigned i = 0; i < rounds; i++)
        sip_round(v);
    v[0] ^= m;
}

static inline void sip_text(uint64_t v[4], struct str s) {
    const char *p = s.p;
    size_t left = s.n;
    for (; left >= 8; p += 8, left -= 8) {
        uint64_t m;
        memcpy(&m, p, 8);
        sip_word(v, m, 1);
    }
    uint64_t last = (uint64_t)s.n << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)(unsigned char)p[i] << (8 * i);
    sip_word(v, last, 1);
}

/* SipHash-1-3: one round a word, three at the end (Aumasson, Bernstein 2012). */
uint64_t hash_keyed(struct str s) {
    uint64_t v[4];
    sip_begin(v, key);
    sip_text(v, s);
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static inline uint64_t sip_end(uint64_t v[4]) {
    for (unsigned i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- SipHash-2-4 with 128 bits: of whole words, a text as its length and its bytes ---- */

void hash_secret_with(struct hash_secret *h, const uint64_t k[2]) {
    h->words = 0;
    sip_begin(h->v, k);
    h->v[1] ^= 0xee;
}

void hash_secret_begin(struct hash_secret *h) { hash_secret_with(h, secret_key); }

void hash_secret_u64(struct hash_secret *h, uint64_t word) {
    sip_word(h->v, word, 2);
    h->words++;
}

void hash_secret_str(struct hash_secret *h, struct str s) {
    uint64_t v[4], last = 0; /* in registers */
    memcpy(v, h->v, sizeof(v));
    sip_word(v, s.n, 2);
    h->words += 1 + (s.n + 7) / 8;
    for (; s.n >= 8; s = str_skip(s, 8)) {
        uint64_t word;
        memcpy(&word, s.p, 8);
        sip_word(v, word, 2);
    }
    for (size_t i = 0; i < s.n; i++)
        last |= (uint64_t)(unsigned char)s.p[i] << (8 * i);
    if (s.n > 0)
        sip_word(v, last, 2);
    memcpy(h->v, v, sizeof(v));
}

struct hash_wide hash_secret_end(struct hash_secret *h) {
    struct hash_wide wide;
    sip_word(h->v, (h->words * 8) << 56, 2);
    h->v[2] ^= 0xee;
    wide.a = sip_end(h->v);
    h->v[1] ^= 0xdd;
    wide.b = sip_end(h->v);
    return wide;
}

uint64_t hash_content(struct str s) { return XXH3_64bits(s.p ? s.p : "", s.n); }

void prng_init(struct prng *r) {
    do
        random_bytes(r, sizeof(*r));
    while (r->s[0] == 0 && r->s[1] == 0);
}
