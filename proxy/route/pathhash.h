/* SPDX-License-Identifier: Apache-2.0
 *
 * pathhash: the hash of a path that is carried along its segments: hash("/a/b") is made from
 * hash("/a") and "/b". Seeded at random for each process: nobody outside can choose collisions.
 */
#ifndef SLUICE_PROXY_ROUTE_PATHHASH_H
#define SLUICE_PROXY_ROUTE_PATHHASH_H

#include "lib/str.h"

extern uint64_t path_seed[2]; /* set before main() */

static inline uint64_t path_fold(uint64_t a, uint64_t b) {
    __uint128_t x = (__uint128_t)a * b;
    return (uint64_t)x ^ (uint64_t)(x >> 64);
}

/* Up to 8 bytes as a number; only p[0 .. n) is read. */
static inline uint64_t path_word(const char *p, size_t n) {
    uint32_t lo, hi;
    if (n >= 4) {
        memcpy(&lo, p, 4);
        memcpy(&hi, p + n - 4, 4);
        return (uint64_t)hi << 32 | lo;
    }
    return (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[n / 2] << 8 |
           (unsigned char)p[n - 1];
}

/* h of what is before, n > 0 bytes of one segment with its slash. */
static inline uint64_t path_hash_segment(uint64_t h, const char *p, size_t n) {
    h ^= n;
    for (; n > 8; p += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = path_fold(h ^ w, path_seed[1]);
    }
    return path_fold(h ^ path_word(p, n), path_seed[1]);
}

/* Where the segment that begins at `at` ends: at the next slash behind it, or at the end. */
static inline size_t path_segment_end(struct str path, size_t at) {
    const uint64_t ones = 0x0101010101010101ULL, slashes = ones * '/';
    size_t i = at + 1;
    for (; i + 8 <= path.n; i += 8) {
        uint64_t w;
        memcpy(&w, path.p + i, 8);
        w ^= slashes;
        uint64_t hit = (w - ones) & ~w & (ones << 7); /* the lowest one is exact */
        if (hit != 0)
            return i + (size_t)__builtin_ctzll(hit) / 8;
    }
    while (i < path.n && path.p[i] != '/')
        i++;
    return i;
}

static inline uint64_t path_hash(struct str path) {
    uint64_t h = path_seed[0];
    for (size_t at = 0, end; at < path.n; at = end) {
        end = path_segment_end(path, at);
        h = path_hash_segment(h, path.p + at, end - at);
    }
    return h;
}

#endif
