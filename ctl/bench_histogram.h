/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_histogram: latencies with three significant digits in fixed memory (an HDR histogram).
 *
 *     ns      0 .. 2047          one bucket for each value
 *             2048 .. 4095       one for each two   ┐ 1024 buckets for each power of two:
 *             4096 .. 8191       one for each four  ┘ a bucket is at most 1/1024 of its value wide
 *             ...up to 2^42      (73 minutes; longer ones count as that)
 *
 * 264 KiB whatever is counted. Adding is a count of leading zeros and one addition.
 */
#ifndef SLUICE_CTL_BENCH_HISTOGRAM_H
#define SLUICE_CTL_BENCH_HISTOGRAM_H

#include "lib/base.h"

enum {
    BENCH_HISTOGRAM_BITS = 10, /* of a power of two */
    BENCH_HISTOGRAM_TOP = 42,
    BENCH_HISTOGRAM_BUCKETS = (BENCH_HISTOGRAM_TOP - BENCH_HISTOGRAM_BITS + 1)
                              << BENCH_HISTOGRAM_BITS
};

/* All zero is an empty one. */
struct bench_histogram {
    uint64_t n, max;
    double sum;
    uint64_t counts[BENCH_HISTOGRAM_BUCKETS];
};

static inline unsigned bench_bucket(uint64_t ns) {
    unsigned top = 63 - (unsigned)__builtin_clzll(ns | 1);
    if (top <= BENCH_HISTOGRAM_BITS)
        return (unsigned)ns;
    unsigned shift = top - BENCH_HISTOGRAM_BITS;
    return (shift << BENCH_HISTOGRAM_BITS) + (unsigned)(ns >> shift);
}
/* The largest value of a bucket. */
uint64_t bench_bucket_top(unsigned bucket);

void bench_histogram_add(struct bench_histogram *h, uint64_t ns);
void bench_histogram_clear(struct bench_histogram *h);
/* The least value that so many of all do not exceed (share in 0 .. 1); 0 when nothing was counted.
 * It is never above the largest. */
uint64_t bench_histogram_at(const struct bench_histogram *h, double share);
double bench_histogram_mean(const struct bench_histogram *h);

#endif
