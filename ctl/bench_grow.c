/* SPDX-License-Identifier: Apache-2.0
 *
 * How the knee moves with the number of pods, or of whatever a command scales. A deployment is
 * scaled by the user's own kubectl, and has its old number again at the end.
 */
#include "ctl/bench_print.h"
#include "ctl/bench_report.h"
#include "ctl/cluster.h"
#include "ctl/doc.h"
#include "ctl/table.h"
#include "lib/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    THERE_S = 60, /* until something answers after scaling */
    SETTLE_S = 2, /* until the nodes know of the pods that have become ready */
    REPLICAS_MAX = 10000,
    PLOT_POINTS = 100,
};

struct growth {
    struct ctl *c;
    const struct bench_asked *a;
    struct bench_point points[BENCH_POINTS_MAX];
    struct bench_found found[BENCH_POINTS_MAX];
    size_t n;
    uint64_t replicas; /* of the deployment before; 0: it is not known */
};

/* ---- scaling ---- */

static void pause_s(unsigned s) {
    struct timespec t = {.tv_sec = (time_t)s};
    while (nanosleep(&t, &t) != 0 && errno == EINTR && !bench_stopped())
        ;
}

/* {n} becomes digits and nothing else. What it prints goes where our own words go. */
static enum ctl_exit run_command(struct ctl *c, const char *command, unsigned n) {
    struct out o = out_heap(64 << 10);
    for (const char *at; (at = strstr(command, "{n}")); command = at + 3) {
        out_bytes(&o, command, (size_t)(at - command));
        out_u64(&o, n);
    }
    out_bytes(&o, command, strlen(command) + 1);
    fflush(c->out);
    fflush(c->err);
    pid_t child = fork();
    if (child == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", o.p, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    enum ctl_exit code = CTL_OK;
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        code = ctl_fail(c, CTL_UNREACHABLE, "'%s' failed", o.p);
    out_fini(&o);
    return code;
}

/* [NAMESPACE/]NAME; -n stands for the first. */
static enum ctl_exit kubectl(struct growth *g, const char *verb, const char *second,
                             const char *option, struct out *answer) {
    struct str ns, name = str_cut(str_of(g->a->deployment), '/', &ns);
    char in[256] = "", of[300];
    const char *words[8];
    size_t n = 0;
    if (!name.p)
        name = ns;
    else
        snprintf(in, sizeof(in), "%.*s", STR_FMT(ns));
    snprintf(of, sizeof(of), "deployment/%.*s", STR_FMT(name));
    words[n++] = verb;
    if (second)
        words[n++] = second;
    words[n++] = of;
    words[n++] = option;
    if (in[0] || g->c->namespace) {
        words[n++] = "--namespace";
        words[n++] = in[0] ? in : g->c->namespace;
    }
    return cluster_kubectl(g->c, words, n, answer);
}

static enum ctl_exit scale_deployment(struct growth *g, unsigned n) {
    char replicas[32];
    struct out o = out_heap(1 << 20);
    snprintf(replicas, sizeof(replicas), "--replicas=%u", n);
    enum ctl_exit code = kubectl(g, "scale", NULL, replicas, &o);
    if (code == CTL_OK)
        code = kubectl(g, "rollout", "status", "--timeout=5m", &o);
    out_fini(&o);
    return code;
}

static enum ctl_exit note_replicas(struct growth *g) {
    struct out o = out_heap(1 << 20);
    enum ctl_exit code = kubectl(g, "get", NULL, "--output=jsonpath={.spec.replicas}", &o);
    if (code == CTL_OK && !str_to_u64(str_trim(out_done(&o)), REPLICAS_MAX, &g->replicas))
        code = ctl_fail(g->c, CTL_UNREACHABLE, "kubectl does not say how many replicas %s has",
                        g->a->deployment);
    out_fini(&o);
    return code;
}

/* Asks once, until it answers. */
static enum ctl_exit wait_until_there(struct growth *g) {
    struct bench_plan plan = g->a->plan;
    struct why why = {0};
    int rc = -1;
    plan.max = plan.poisson = plan.replay = false;
    plan.rate = 10;
    plan.connections = 1;
    plan.warmup_ns = 0;
    plan.duration_ns = BENCH_SECOND / 10;
    for (int i = 0; i < THERE_S * 5 && rc != 0 && !bench_stopped(); i++) {
        struct bench_result *r = bench_result_new();
        why_clear(&why);
        rc = bench_run(&plan, NULL, r, &why);
        rc = rc == 0 && r->answered > 0 && r->status[5] == 0 ? 0 : -1;
        bench_result_free(r);
        if (rc != 0)
            nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    }
    return rc == 0 ? CTL_OK
                   : ctl_fail(g->c, CTL_UNREACHABLE, "%s does not answer after scaling: %s",
                              g->a->url, why_set(&why) ? why.text : "it has no good answer");
}

static enum ctl_exit measure(struct growth *g, unsigned n) {
    char what[40];
    enum ctl_exit code =
        g->a->command ? run_command(g->c, g->a->command, n) : scale_deployment(g, n);
    double first =
        g->n > 0 ? g->points[g->n - 1].rate * n / g->points[g->n - 1].n / 2 : g->a->plan.rate;
    if (code == CTL_OK && g->a->deployment)
        pause_s(SETTLE_S);
    if (code == CTL_OK)
        code = wait_until_there(g);
    if (code != CTL_OK)
        return code;
    snprintf(what, sizeof(what), "n=%-3u ", n);
    code = bench_find(g->c, g->a, first > 1 ? first : 1, what, &g->found[g->n]);
    if (code == CTL_OK && g->found[g->n].rate == 0)
        code = ctl_fail(g->c, CTL_PROBLEMS, "with n=%u no rate is kept: %s", n, g->found[g->n].why);
    if (code == CTL_OK) {
        g->points[g->n] = (struct bench_point){n, g->found[g->n].rate};
        g->n++;
    }
    return code;
}

/* ---- saying it ---- */

static void print_fit(struct ctl *c, const struct growth *g, const struct bench_fit *f) {
    char room[240];
    struct out o = out_fixed(room, sizeof(room));
    fprintf(c->out, "\nfit       %.0f/s each, alpha %.4f, beta %.6f%s\n", f->lambda, f->alpha,
            f->beta, g->n < 3 ? " (few points: no more than a guess)" : "");
    if (bench_fit_peak(f) > 0)
        fprintf(c->out, "peak      at %.0f; more would be slower\n", bench_fit_peak(f));
    if (g->a->target <= 0)
        return;
    unsigned needs = bench_fit_needs(f, g->a->target);
    print_rate(&o, g->a->target);
    if (needs == 0) {
        fprintf(c->out, "target    %.*s is not reached by any number\n", STR_FMT(out_done(&o)));
        return;
    }
    out_fmt(&o, " needs %u (", needs);
    print_rate(&o, bench_fit_at(f, needs));
    out_lit(&o, " expected)");
    fprintf(c->out, "target    %s%.*s%s\n", tone_on(c, TONE_HEAD), STR_FMT(out_done(&o)),
            tone_off(c));
}

static void print_growth(struct ctl *c, const struct growth *g, const struct bench_fit *f) {
    static const char *const heads[] = {"N", "KNEE", "EACH", "FIT", "LIMIT"};
    struct table t;
    table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < g->n; i++) {
        double values[] = {g->points[i].rate, g->points[i].rate / g->points[i].n,
                           bench_fit_at(f, g->points[i].n)};
        table_cell(&t, TONE_PLAIN, "%u", g->points[i].n);
        for (size_t k = 0; k < ARRAY_LEN(values); k++) {
            char room[40];
            struct out o = out_fixed(room, sizeof(room));
            print_rate(&o, values[k]);
            table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(out_done(&o)));
        }
        table_cell(&t, TONE_PLAIN, "%s", g->found[i].why);
    }
    table_print(&t, c);
    print_fit(c, g, f);
}

static cJSON *doc_of_growth(const struct growth *g, const struct bench_fit *f) {
    cJSON *doc = cJSON_CreateObject(), *points = cJSON_AddArrayToObject(doc, "points");
    cJSON_AddStringToObject(doc, "url", g->a->url);
    cJSON_AddNumberToObject(doc, "objective", (double)g->a->objective_ns / 1e9);
    for (size_t i = 0; i < g->n; i++) {
        cJSON *point = doc_of_found(&g->found[i]);
        cJSON_AddNumberToObject(point, "n", g->points[i].n);
        cJSON_AddItemToArray(points, point);
    }
    cJSON *fit = cJSON_AddObjectToObject(doc, "fit");
    cJSON_AddNumberToObject(fit, "lambda", f->lambda);
    cJSON_AddNumberToObject(fit, "alpha", f->alpha);
    cJSON_AddNumberToObject(fit, "beta", f->beta);
    cJSON_AddNumberToObject(fit, "peak", bench_fit_peak(f));
    if (g->a->target > 0) {
        cJSON *target = cJSON_AddObjectToObject(doc, "target");
        cJSON_AddNumberToObject(target, "rate", g->a->target);
        cJSON_AddNumberToObject(target, "needs", bench_fit_needs(f, g->a->target));
    }
    return doc;
}

static void draw(struct plot *p, const struct growth *g, const struct bench_fit *f) {
    unsigned most = 1;
    p->title = "Throughput by number";
    p->subtitle = g->a->url;
    p->x.label = "pods or workers";
    p->y.label = "requests a second at the knee";
    struct plot_line *fit = plot_line(p, "fit"), *seen = plot_line(p, "measured"),
                     *ideal = plot_line(p, "if each added as much as the first");
    for (size_t i = 0; i < g->n; i++)
        most = g->points[i].n > most ? g->points[i].n : most;
    unsigned needs = g->a->target > 0 ? bench_fit_needs(f, g->a->target) : 0;
    most = needs > most && needs < most * 4 ? needs : most;
    for (unsigned i = 0; i <= PLOT_POINTS; i++) {
        double n = 1 + (most - 1.0) * i / PLOT_POINTS;
        plot_add(fit, n, bench_fit_at(f, n));
    }
    for (size_t i = 0; i < g->n; i++)
        plot_add(seen, g->points[i].n, g->points[i].rate);
    plot_add(ideal, 1, f->lambda);
    plot_add(ideal, most, f->lambda * most);
    seen->dots = ideal->dashed = true;
    plot_fit(p, false);
}

static enum ctl_exit report(struct growth *g) {
    struct ctl *c = g->c;
    struct bench_fit f = bench_fit(g->points, g->n);
    if (c->format == CTL_TABLE)
        print_growth(c, g, &f);
    else
        doc_print(c, doc_of_growth(g, &f));
    if (!g->a->plot)
        return CTL_OK;
    struct plot p = {0};
    draw(&p, g, &f);
    return bench_save(c, g->a->plot, &p);
}

/* The old number again, whatever happened. */
static enum ctl_exit restore(struct growth *g, enum ctl_exit code) {
    if (g->replicas == 0)
        return code;
    enum ctl_exit back = scale_deployment(g, (unsigned)g->replicas);
    return code == CTL_OK ? back : code;
}

enum ctl_exit bench_grow(struct ctl *c, const struct bench_asked *a) {
    struct growth *g = mem_zalloc(sizeof(*g));
    g->c = c;
    g->a = a;
    enum ctl_exit code = a->deployment ? note_replicas(g) : CTL_OK;
    for (unsigned i = 0; code == CTL_OK && i < a->n_scale; i++)
        code = measure(g, a->scale[i]);
    code = restore(g, code);
    if (code == CTL_OK)
        code = report(g);
    mem_free(g);
    return code;
}
