/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_report: one run with what is seen of it meanwhile, and its pictures. Of bench.c,
 * bench_find.c and bench_grow.c.
 */
#ifndef SLUICE_CTL_BENCH_REPORT_H
#define SLUICE_CTL_BENCH_REPORT_H

#include "ctl/bench_knee.h"
#include "ctl/bench_options.h"
#include "ctl/bench_plot.h"

#include <cjson/cJSON.h>

/* Runs a's plan at that rate; what: shown before each second, on a terminal alone. NULL after one
 * line to err (CTL_UNREACHABLE). */
struct bench_result *bench_one(struct ctl *c, const struct bench_asked *a, double rate,
                               const char *what);

/* Takes the plot. */
enum ctl_exit bench_save(struct ctl *c, const char *file, struct plot *p);

/* ---- bench_find.c ---- */

struct bench_step {
    double rate, reached, failed; /* failed: a share */
    uint64_t p50_ns, p99_ns;
    enum bench_verdict verdict;
    char why[160];
};

struct bench_found {
    struct bench_step steps[BENCH_KNEE_STEPS];
    unsigned n;
    double rate;              /* the knee; 0: not even the lowest one is kept */
    enum bench_verdict limit; /* why not more */
    char why[160];
};

/* what: of each line that is shown, "" or "4 pods, ". */
enum ctl_exit bench_find(struct ctl *c, const struct bench_asked *a, double first, const char *what,
                         struct bench_found *f);
cJSON *doc_of_found(const struct bench_found *f);
enum ctl_exit bench_knee(struct ctl *c, const struct bench_asked *a);

/* ---- bench_grow.c ---- */

enum ctl_exit bench_grow(struct ctl *c, const struct bench_asked *a);

#endif
