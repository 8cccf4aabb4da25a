/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_knee: the highest rate at which a server keeps its objective. Pure: it says which rate to
 * try next and is told what came of it.
 *
 *     rate ×2 while it is good ──► bad, twice ──► halfway between the last good and the first bad,
 *                                                 until they are within 5 %
 *
 * A rate is bad when it is so twice in a row: one hiccup of a machine is no knee.
 */
#ifndef SLUICE_CTL_BENCH_KNEE_H
#define SLUICE_CTL_BENCH_KNEE_H

#include "ctl/bench.h"

enum bench_verdict {
    BENCH_GOOD,
    BENCH_SLOW,      /* p99 above the objective */
    BENCH_BEHIND,    /* less than 97 % was sent in time: no connection was free */
    BENCH_FAILING,   /* more than 0.1 % errors, 5xx and 429 */
    BENCH_GENERATOR, /* one of the first two, and the generator was the limit */
    BENCH_VERDICTS
};
extern const char *const bench_verdict_names[BENCH_VERDICTS];

enum bench_verdict bench_judge(const struct bench_result *r, uint64_t objective_ns);
/* What was wrong, as a sentence: "p99 14.2 ms, above 10 ms". Empty for BENCH_GOOD. */
void bench_verdict_print(struct out *o, enum bench_verdict v, const struct bench_result *r,
                         uint64_t objective_ns);

enum { BENCH_KNEE_STEPS = 40 };

struct bench_knee {
    double rate;      /* the next to try */
    double good, bad; /* the highest good and the lowest bad one; 0: none yet */
    unsigned n;       /* tried */
    bool again;       /* it is tried for the second time */
    bool done;
};

void bench_knee_init(struct bench_knee *k, double first);
void bench_knee_took(struct bench_knee *k, bool good);

#endif
