/* SPDX-License-Identifier: Apache-2.0
 *
 * sluicectl bench: one run; the search for a knee and for how it grows are beside it.
 */
#include "ctl/bench_report.h"

#include "ctl/bench_print.h"
#include "ctl/doc.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

enum { PLOT_POINTS = 240 };

/* ---- one run, watched ---- */

struct screen {
    FILE *to; /* NULL: nobody looks */
    const char *what;
};

static void show_second(void *arg, const struct bench_second *s, unsigned at, bool warmup) {
    struct screen *screen = arg;
    char room[240];
    struct out o = out_fixed(room, sizeof(room));
    print_second(&o, s, at, warmup);
    fprintf(screen->to, "\r\033[K%s%.*s", screen->what, STR_FMT(out_done(&o)));
    fflush(screen->to);
}

struct bench_result *bench_one(struct ctl *c, const struct bench_asked *a, double rate,
                               const char *what) {
    struct bench_plan plan = a->plan;
    struct bench_result *r = bench_result_new();
    struct screen screen = {isatty(fileno(c->err)) ? c->err : NULL, what};
    struct bench_watcher watcher = {screen.to ? show_second : NULL, &screen};
    struct why why = {0};
    plan.rate = rate;
    int rc = bench_run(&plan, &watcher, r, &why);
    if (screen.to)
        fputs("\r\033[K", screen.to);
    if (rc == 0)
        return r;
    ctl_fail(c, CTL_UNREACHABLE, "%s: %s", a->url, why.text);
    bench_result_free(r);
    return NULL;
}

/* ---- its picture ---- */

/* Latency by percentile; each nine has the same room. */
static void draw(struct plot *p, const struct bench_asked *a, const struct bench_result *r) {
    static const struct {
        double at;
        const char *text;
    } ticks[] = {{0, "0 %"},    {0.30103, "50 %"}, {1, "90 %"},    {2, "99 %"},
                 {3, "99.9 %"}, {4, "99.99 %"},    {5, "99.999 %"}};
    double last = fmin(5, fmax(2, ceil(log10((double)r->latency.n + 1))));
    p->title = "Latency by percentile";
    p->subtitle = a->url;
    p->x = (struct plot_axis){.label = "requests that were at least as fast", .hi = last};
    p->y = (struct plot_axis){.label = "latency", .log = true};
    for (size_t i = 0; i < ARRAY_LEN(ticks) && ticks[i].at <= last; i++) {
        p->x.ticks[p->x.n_ticks].at = ticks[i].at;
        snprintf(p->x.ticks[p->x.n_ticks++].text, sizeof(p->x.ticks[0].text), "%s", ticks[i].text);
    }
    struct plot_line *latency = plot_line(p, "from when it was due"),
                     *service = plot_line(p, "from when it was sent");
    for (unsigned i = 0; i <= PLOT_POINTS; i++) {
        double x = last * i / PLOT_POINTS, share = 1 - pow(10, -x);
        plot_add(latency, x, (double)bench_histogram_at(&r->latency, share) / 1e9);
        plot_add(service, x, (double)bench_histogram_at(&r->service, share) / 1e9);
    }
    service->dashed = true;
    plot_fit(p, true);
}

enum ctl_exit bench_save(struct ctl *c, const char *file, struct plot *p) {
    struct out o = out_heap(4 << 20);
    plot_print(p, &o);
    plot_fini(p);
    FILE *f = fopen(file, "we");
    bool ok = f && fwrite(o.p, 1, o.n, f) == o.n;
    if (f)
        ok &= fclose(f) == 0;
    out_fini(&o);
    return ok ? CTL_OK
              : ctl_fail(c, CTL_UNREACHABLE, "%s cannot be written: %s", file, strerror(errno));
}

/* ---- the command ---- */

/* Whether it is as it should be: what a pipeline asks. */
static enum ctl_exit judge(const struct bench_asked *a, const struct bench_result *r) {
    uint64_t objective = a->objective_ns ? a->objective_ns : UINT64_MAX;
    return bench_judge(r, objective) == BENCH_GOOD ? CTL_OK : CTL_PROBLEMS;
}

static enum ctl_exit once(struct ctl *c, const struct bench_asked *a) {
    struct bench_result *r = bench_one(c, a, a->plan.rate, "");
    if (!r)
        return CTL_UNREACHABLE;
    enum ctl_exit code = judge(a, r), saved = CTL_OK;
    if (c->format == CTL_TABLE)
        print_result(c, a->url, &a->plan, r);
    else
        doc_print(c, doc_of_result(a->url, &a->plan, r));
    if (a->plot && r->latency.n > 0) {
        struct plot p = {0};
        draw(&p, a, r);
        saved = bench_save(c, a->plot, &p);
    }
    bench_result_free(r);
    return saved == CTL_OK ? code : saved;
}

enum ctl_exit ctl_bench(struct ctl *c) {
    struct bench_asked a;
    enum ctl_exit code = bench_asked_read(c, &a);
    if (code == CTL_OK)
        code = a.n_scale > 0 ? bench_grow(c, &a) : a.find_knee ? bench_knee(c, &a) : once(c, &a);
    bench_asked_fini(&a);
    return code;
}
