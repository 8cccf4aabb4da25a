/* SPDX-License-Identifier: Apache-2.0
 *
 * The search for the knee: runs at the rates that bench_knee.c names, one line for each.
 */
#include "ctl/bench_print.h"
#include "ctl/bench_report.h"
#include "ctl/doc.h"
#include "ctl/table.h"

/* ---- searching ---- */

static void write_step(struct bench_step *s, double rate, const struct bench_result *r,
                       uint64_t objective_ns) {
    struct out o = out_fixed(s->why, sizeof(s->why) - 1);
    s->rate = rate;
    s->reached = bench_reached(r);
    s->failed = bench_failed_share(r);
    s->p50_ns = bench_histogram_at(&r->latency, 0.5);
    s->p99_ns = bench_histogram_at(&r->latency, 0.99);
    s->verdict = bench_judge(r, objective_ns);
    bench_verdict_print(&o, s->verdict, r, objective_ns);
    s->why[o.n] = 0;
}

/* For who waits: a search takes a minute. A machine reads them at the end. */
static void show_step(struct ctl *c, const char *what, const struct bench_step *s) {
    char room[240];
    struct out o = out_fixed(room, sizeof(room));
    if (c->format != CTL_TABLE)
        return;
    print_rate(&o, s->rate);
    out_lit(&o, "   p99 ");
    print_time(&o, s->p99_ns);
    fprintf(c->err, "%s%.*s   %s\n", what, STR_FMT(out_done(&o)),
            s->verdict == BENCH_GOOD ? "good" : s->why);
}

enum ctl_exit bench_find(struct ctl *c, const struct bench_asked *a, double first, const char *what,
                         struct bench_found *f) {
    struct bench_knee k;
    *f = (struct bench_found){0};
    bench_knee_init(&k, first);
    while (!k.done && f->n < BENCH_KNEE_STEPS) {
        struct bench_result *r = bench_one(c, a, k.rate, what);
        if (!r)
            return CTL_UNREACHABLE;
        struct bench_step *s = &f->steps[f->n++];
        write_step(s, k.rate, r, a->objective_ns);
        bench_result_free(r);
        if (bench_stopped())
            return ctl_fail(c, CTL_PROBLEMS, "it was ended early, and there is no result");
        show_step(c, what, s);
        if (s->verdict != BENCH_GOOD) {
            f->limit = s->verdict;
            snprintf(f->why, sizeof(f->why), "%s", s->why);
        }
        bench_knee_took(&k, s->verdict == BENCH_GOOD);
    }
    f->rate = k.good;
    return CTL_OK;
}

/* ---- saying it ---- */

cJSON *doc_of_found(const struct bench_found *f) {
    cJSON *doc = cJSON_CreateObject(), *steps = cJSON_AddArrayToObject(doc, "steps");
    for (unsigned i = 0; i < f->n; i++) {
        const struct bench_step *s = &f->steps[i];
        cJSON *step = cJSON_CreateObject();
        cJSON_AddNumberToObject(step, "rate", s->rate);
        cJSON_AddNumberToObject(step, "reached", (double)(int64_t)(s->reached * 100 + 0.5) / 100);
        cJSON_AddNumberToObject(step, "p50", doc_seconds(s->p50_ns));
        cJSON_AddNumberToObject(step, "p99", doc_seconds(s->p99_ns));
        cJSON_AddNumberToObject(step, "failedShare", s->failed);
        cJSON_AddStringToObject(step, "verdict", bench_verdict_names[s->verdict]);
        cJSON_AddStringToObject(step, "why", s->why);
        cJSON_AddItemToArray(steps, step);
    }
    cJSON *knee = cJSON_AddObjectToObject(doc, "knee");
    cJSON_AddNumberToObject(knee, "rate", f->rate);
    cJSON_AddStringToObject(knee, "limit", bench_verdict_names[f->limit]);
    cJSON_AddStringToObject(knee, "why", f->why);
    return doc;
}

static void print_steps(struct ctl *c, const struct bench_found *f) {
    static const char *const heads[] = {"RATE", "REACHED", "P50", "P99", "FAILED", ""};
    struct table t;
    table_init(&t, heads, ARRAY_LEN(heads));
    for (unsigned i = 0; i < f->n; i++) {
        const struct bench_step *s = &f->steps[i];
        char rooms[4][40];
        struct out o[4];
        for (int k = 0; k < 4; k++)
            o[k] = out_fixed(rooms[k], sizeof(rooms[k]));
        print_rate(&o[0], s->rate);
        print_rate(&o[1], s->reached);
        print_time(&o[2], s->p50_ns);
        print_time(&o[3], s->p99_ns);
        for (int k = 0; k < 4; k++)
            table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(out_done(&o[k])));
        table_cell(&t, TONE_PLAIN, "%.2g %%", 100 * s->failed);
        table_cell(&t, s->verdict == BENCH_GOOD ? TONE_GOOD : TONE_BAD, "%s",
                   s->verdict == BENCH_GOOD ? "good" : s->why);
    }
    table_print(&t, c);
}

static void print_found(struct ctl *c, const struct bench_asked *a, const struct bench_found *f) {
    char room[200];
    struct out o = out_fixed(room, sizeof(room));
    print_steps(c, f);
    fprintf(c->out, "\n%s\n", a->url);
    if (f->rate == 0) {
        fprintf(c->out, "knee      none: already the lowest rate is too much: %s\n", f->why);
        return;
    }
    print_rate(&o, f->rate);
    out_lit(&o, " with p99 below ");
    print_time(&o, a->objective_ns);
    fprintf(c->out, "knee      %s%.*s%s\n", tone_on(c, TONE_HEAD), STR_FMT(out_done(&o)),
            tone_off(c));
    if (f->why[0])
        fprintf(c->out, "limit     %s%s\n", f->why,
                f->limit == BENCH_GENERATOR ? "; the server may do more" : "");
}

static void draw(struct plot *p, const struct bench_asked *a, const struct bench_found *f) {
    p->title = "p99 by rate";
    p->subtitle = a->url;
    p->x.label = "requests a second";
    p->y = (struct plot_axis){.label = "p99", .log = true};
    struct plot_line *good = plot_line(p, "good"), *bad = plot_line(p, "too much"),
                     *objective = plot_line(p, "objective");
    double most = 0;
    for (double last = 0;;) { /* in order of the rates */
        const struct bench_step *next = NULL;
        for (unsigned i = 0; i < f->n; i++)
            if (f->steps[i].rate > last && (!next || f->steps[i].rate < next->rate))
                next = &f->steps[i];
        if (!next)
            break;
        for (unsigned i = 0; i < f->n; i++) /* the second try counts */
            if (f->steps[i].rate == next->rate)
                next = &f->steps[i];
        last = most = next->rate;
        plot_add(next->verdict == BENCH_GOOD ? good : bad, last, (double)next->p99_ns / 1e9);
    }
    plot_add(objective, 0, (double)a->objective_ns / 1e9);
    plot_add(objective, most, (double)a->objective_ns / 1e9);
    good->dots = bad->dots = objective->dashed = true;
    plot_fit(p, true);
}

enum ctl_exit bench_knee(struct ctl *c, const struct bench_asked *a) {
    struct bench_found f;
    enum ctl_exit code = bench_find(c, a, a->plan.rate, "", &f);
    if (code != CTL_OK)
        return code;
    if (c->format == CTL_TABLE) {
        print_found(c, a, &f);
    } else {
        cJSON *doc = doc_of_found(&f);
        cJSON_AddStringToObject(doc, "url", a->url);
        cJSON_AddNumberToObject(doc, "objective", (double)a->objective_ns / 1e9);
        doc_print(c, doc);
    }
    if (a->plot) {
        struct plot p = {0};
        draw(&p, a, &f);
        code = bench_save(c, a->plot, &p);
    }
    return code == CTL_OK && f.rate == 0 ? CTL_PROBLEMS : code;
}
