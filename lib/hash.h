/* SPDX-License-Identifier: Apache-2.0
 *
 * hash: three kinds, and which one is a matter of who chooses the bytes.
 *
 *   hash_keyed    SipHash-1-3 with this process's random key: tables whose keys come from clients
 *                 (hosts, paths). Differs from process to process.
 *   hash_content  XXH3-64 without a key: the same everywhere, for content hashes and digests.
 *   hash_secret   SipHash-2-4 of 128 bits of several parts, each with its length, with another
 *                 random key of this process: by which what is secret (a token, a password) is
 *                 found again in its memory, without being kept. Without the key nobody finds a
 *                 second text for it.
 */
#ifndef SLUICE_LIB_HASH_H
#define SLUICE_LIB_HASH_H

#include "lib/str.h"

uint64_t hash_keyed(struct str s);
uint64_t hash_content(struct str s);
/* Folds two hashes into one; not commutative. */
static inline uint64_t hash_mix(uint64_t a, uint64_t b) {
    uint64_t x = a ^ (b * 0x9e3779b97f4a7c15ULL + 0x7f4a7c15ULL);
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ULL;
    x ^= x >> 32;
    return x;
}

/* Of several parts; none of them can be taken for two others. */
struct hash_secret {
    uint64_t v[4];
    uint64_t words; /* taken in */
};
struct hash_wide {
    uint64_t a, b;
};
/* Its bytes, for a map. */
static inline struct str hash_wide_str(const struct hash_wide *w) {
    return str_mk((const char *)w, sizeof(*w));
}
void hash_secret_begin(struct hash_secret *h);
void hash_secret_u64(struct hash_secret *h, uint64_t v);
void hash_secret_str(struct hash_secret *h, struct str s);
struct hash_wide hash_secret_end(struct hash_secret *h);
/* The same with a key of the caller's: for tests. */
void hash_secret_with(struct hash_secret *h, const uint64_t key[2]);

/* Random bytes from the kernel; dies if there are none. */
void random_bytes(void *p, size_t n);
/* A fast generator for jitter, picks and request ids; not for keys. One per thread, no lock. */
struct prng {
    uint64_t s[2];
};
void prng_init(struct prng *r);                    /* seeded from the kernel */
static inline uint64_t prng_next(struct prng *r) { /* xoroshiro128+ */
    uint64_t a = r->s[0], b = r->s[1], result = a + b;
    b ^= a;
    r->s[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
    r->s[1] = (b << 37) | (b >> 27);
    return result;
}
/* 0 .. n-1, n > 0; the bias is below 2^-32. */
static inline uint32_t prng_below(struct prng *r, uint32_t n) {
    return (uint32_t)(((prng_next(r) >> 32) * n) >> 32);
}

#endif
