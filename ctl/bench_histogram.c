/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/bench_histogram.h"

#include <math.h>
#include <string.h>

uint64_t bench_bucket_top(unsigned bucket) {
    if (bucket < 2U << BENCH_HISTOGRAM_BITS)
        return bucket;
    unsigned shift = (bucket >> BENCH_HISTOGRAM_BITS) - 1;
    uint64_t within = bucket - (shift << BENCH_HISTOGRAM_BITS);
    return ((within + 1) << shift) - 1;
}

void bench_histogram_add(struct bench_histogram *h, uint64_t ns) {
    if (ns >= 1ULL << BENCH_HISTOGRAM_TOP)
        ns = (1ULL << BENCH_HISTOGRAM_TOP) - 1;
    h->counts[bench_bucket(ns)]++;
    h->n++;
    h->sum += (double)ns;
    if (ns > h->max)
        h->max = ns;
}

void bench_histogram_clear(struct bench_histogram *h) { memset(h, 0, sizeof(*h)); }

uint64_t bench_histogram_at(const struct bench_histogram *h, double share) {
    uint64_t wanted = (uint64_t)ceil(share * (double)h->n), seen = 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < BENCH_HISTOGRAM_BUCKETS && seen < h->n; i++) {
        seen += h->counts[i];
        if (seen >= wanted) {
            uint64_t top = bench_bucket_top(i);
            return top < h->max ? top : h->max;
        }
    }
    return h->max;
}

double bench_histogram_mean(const struct bench_histogram *h) {
    return h->n > 0 ? h->sum / (double)h->n : 0;
}
