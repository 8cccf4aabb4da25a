/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_options: what the words and options of `sluicectl bench` ask for.
 */
#ifndef SLUICE_CTL_BENCH_OPTIONS_H
#define SLUICE_CTL_BENCH_OPTIONS_H

#include "ctl/bench.h"
#include "ctl/bench_scale.h"

struct bench_asked {
    const char *url; /* as it was written */
    struct bench_mix mix;
    struct bench_plan plan; /* of one run; its rate is where a search begins */
    char name[256];         /* of the host, for TLS */
    const char *plot;       /* NULL: none */
    uint64_t objective_ns;  /* 0: none */
    bool find_knee;
    unsigned scale[BENCH_POINTS_MAX], n_scale; /* 0: no scaling */
    const char *deployment, *command;          /* of scaling: one of them */
    double target;                             /* 0: none */
};

/* CTL_OK, or another after one line to err. bench_asked_fini() in both cases. */
enum ctl_exit bench_asked_read(struct ctl *c, struct bench_asked *a);
void bench_asked_fini(struct bench_asked *a);

#endif
