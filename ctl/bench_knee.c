/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/bench_knee.h"

#include "ctl/bench_print.h"

#define CLOSE_ENOUGH 1.05
#define LEAST_RATE   1.0
#define SENT_SHARE   0.97
#define FAILED_SHARE 0.001

const char *const bench_verdict_names[BENCH_VERDICTS] = {[BENCH_GOOD] = "good",
                                                         [BENCH_SLOW] = "latency",
                                                         [BENCH_BEHIND] = "rate",
                                                         [BENCH_FAILING] = "errors",
                                                         [BENCH_GENERATOR] = "generator"};

/* Those that the server is to blame for at any rate. */
static double failing_share(const struct bench_result *r) {
    return r->due > 0 ? (double)(bench_failed(r) - r->unsent) / (double)r->due : 1;
}

enum bench_verdict bench_judge(const struct bench_result *r, uint64_t objective_ns) {
    if (failing_share(r) > FAILED_SHARE)
        return BENCH_FAILING;
    bool behind = (double)r->sent < SENT_SHARE * (double)r->due;
    bool slow = bench_histogram_at(&r->latency, 0.99) > objective_ns;
    if ((behind || slow) && bench_was_limit(r))
        return BENCH_GENERATOR;
    return behind ? BENCH_BEHIND : slow ? BENCH_SLOW : BENCH_GOOD;
}

static void print_failing(struct out *o, const struct bench_result *r) {
    out_fmt(o, "%.2g %% failed: ", 100 * failing_share(r));
    uint64_t worst = r->status[5];
    const char *words = "answers 5xx";
    if (r->limited > worst) {
        worst = r->limited;
        words = "answers 429";
    }
    for (int i = 0; i < BENCH_ERRORS; i++)
        if (r->errors[i] > worst) {
            worst = r->errors[i];
            words = bench_error_words[i];
        }
    print_count(o, worst);
    out_fmt(o, " %s", words);
}

void bench_verdict_print(struct out *o, enum bench_verdict v, const struct bench_result *r,
                         uint64_t objective_ns) {
    switch (v) {
    case BENCH_SLOW:
        out_lit(o, "p99 ");
        print_time(o, bench_histogram_at(&r->latency, 0.99));
        out_lit(o, ", above ");
        print_time(o, objective_ns);
        break;
    case BENCH_BEHIND:
        out_lit(o, "asked ");
        print_rate(o, r->rate_asked);
        out_lit(o, ", reached ");
        print_rate(o, bench_reached(r));
        break;
    case BENCH_FAILING:
        print_failing(o, r);
        break;
    case BENCH_GENERATOR:
        out_lit(o, "the generator was the limit");
        break;
    default:
        break;
    }
}

void bench_knee_init(struct bench_knee *k, double first) {
    *k = (struct bench_knee){.rate = first};
}

void bench_knee_took(struct bench_knee *k, bool good) {
    k->n++;
    if (!good && !k->again) {
        k->again = true;
        return;
    }
    k->again = false;
    if (good)
        k->good = k->rate;
    else
        k->bad = k->rate;
    k->done = (k->bad > 0 && k->bad <= k->good * CLOSE_ENOUGH) || k->rate < LEAST_RATE ||
              k->n >= BENCH_KNEE_STEPS;
    k->rate = k->bad == 0 ? k->good * 2 : k->good == 0 ? k->bad / 2 : (k->good + k->bad) / 2;
}
