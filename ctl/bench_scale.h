/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_scale: how throughput grows with the number of pods or workers, by the Universal
 * Scalability Law (N. Gunther):
 *
 *                  lambda * n                      lambda  of one alone
 *     X(n) = ─────────────────────────────         alpha   share that waits for one another
 *            1 + alpha (n-1) + beta n (n-1)        beta    cost of agreeing, for each pair
 *
 * n / X(n) is linear in the three, so that least squares find them. None may be negative; what few
 * points cannot tell is 0: with one point it is a straight line, with two there is no beta. Pure.
 */
#ifndef SLUICE_CTL_BENCH_SCALE_H
#define SLUICE_CTL_BENCH_SCALE_H

#include "lib/base.h"

enum { BENCH_POINTS_MAX = 32, BENCH_PODS_MAX = 10000 };

struct bench_point {
    unsigned n;
    double rate;
};

struct bench_fit {
    double lambda, alpha, beta;
};

/* n_points > 0, rates above 0. */
struct bench_fit bench_fit(const struct bench_point *points, size_t n_points);
double bench_fit_at(const struct bench_fit *f, double n);
/* Where more of them would make it slower; 0: nowhere. */
double bench_fit_peak(const struct bench_fit *f);
/* The least number that reaches a rate; 0: no number does (up to BENCH_PODS_MAX). */
unsigned bench_fit_needs(const struct bench_fit *f, double rate);

#endif
