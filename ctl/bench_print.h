/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_print: what came out, for people and for machines.
 */
#ifndef SLUICE_CTL_BENCH_PRINT_H
#define SLUICE_CTL_BENCH_PRINT_H

#include "ctl/bench.h"

#include <cjson/cJSON.h>

void print_time(struct out *o, uint64_t ns); /* "214 us", "1.20 ms", "3.40 s" */
void print_rate(struct out *o, double rate); /* "12,000/s", "0.50/s" */
void print_count(struct out *o, uint64_t n); /* "12,000" */
void print_bytes(struct out *o, uint64_t n); /* "12.3 MB" */

/* One line of progress: "12 s   1,000/s   p50 214 us   p99 1.20 ms   failed 0". */
void print_second(struct out *o, const struct bench_second *s, unsigned at, bool warmup);

/* where: the URL. Notes say what the figures do not: the generator was the limit, and so on. */
void print_result(struct ctl *c, const char *where, const struct bench_plan *p,
                  const struct bench_result *r);
double doc_seconds(uint64_t ns); /* to the microsecond, not to what a double makes of it */
cJSON *doc_of_result(const char *where, const struct bench_plan *p, const struct bench_result *r);

#endif
