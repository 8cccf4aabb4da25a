/* SPDX-License-Identifier: Apache-2.0
 *
 * top: /live of a controller or of one proxy (docs/live.md), for people, again and again.
 */
#include "ctl/doc.h"
#include "ctl/fetch.h"
#include "ctl/table.h"
#include "lib/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    EVERY_MS = 2000,
    ASK_MS = 250,      /* until there are figures */
    FIRST_MS = 5000,   /* so long at most */
    ENOUGH_S = 2,      /* of figures, for the first time */
    LINES_BESIDE = 12, /* of a terminal, that are no routes */
    REASONS_SHOWN = 5,
};

/* ---- what is sorted by ---- */

static const struct key {
    const char *word, *field;
} keys[] = {{"rate", "requests_per_second"},
            {"failures", "failures_per_second"},
            {"p99", "p99_us"},
            {"gateway", "gateway_mean_us"},
            {"upstream", "upstream_mean_us"}};

static const char *field_of(struct ctl *c) {
    if (!c->sort)
        return keys[0].field;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(keys[i].word, c->sort) == 0)
            return keys[i].field;
    ctl_fail(c, CTL_USAGE, "--sort is rate, failures, p99, gateway or upstream, not '%s'", c->sort);
    return NULL;
}

struct row {
    const cJSON *route;
    double value;
    int place; /* before */
};

static int larger_first(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return x->place - y->place;
}

/* mem_free it. */
static struct row *sorted(const cJSON *routes, const char *field, int *n) {
    struct row *rows = mem_array((size_t)cJSON_GetArraySize(routes) + 1, sizeof(*rows));
    const cJSON *r;
    *n = 0;
    cJSON_ArrayForEach(r, routes) {
        rows[*n] = (struct row){r, doc_number(r, field), *n};
        ++*n;
    }
    qsort(rows, (size_t)*n, sizeof(*rows), larger_first);
    return rows;
}

/* ---- words ---- */

static const char *rate(double v, char room[24]) {
    snprintf(room, 24, "%.*f", v >= 100 ? 0 : v >= 10 ? 1 : 2, v);
    return room;
}

/* Of a field in microseconds; null: nothing was measured. */
static const char *took(const cJSON *from, const char *field, char room[24]) {
    double ms = doc_number(from, field) / 1000;
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(from, field);
    if (!cJSON_IsNumber(value))
        snprintf(room, 24, "-");
    else if (ms >= 1000)
        snprintf(room, 24, "%.1fs", ms / 1000);
    else
        snprintf(room, 24, "%.*fms", ms >= 100 ? 0 : ms >= 10 ? 1 : 2, ms);
    return room;
}

/* ---- the picture ---- */

static void show_head(struct ctl *c, const cJSON *doc) {
    const cJSON *total = doc_each(doc, "total"), *p;
    char a[24], b[24], n[24];
    int all = 0, step = 0;
    cJSON_ArrayForEach(p, doc_each(doc, "proxies")) {
        all++;
        step += doc_true(p, "ready") && doc_true(p, "current");
    }
    fprintf(
        c->out,
        "%d of %d proxies in step, %s requests/s, %.1f %% failures, gateway %s / upstream %s\n\n",
        step, all, rate(doc_number(total, "requests_per_second"), n),
        doc_number(total, "failure_percent"), took(total, "gateway_mean_us", a),
        took(total, "upstream_mean_us", b));
}

static enum tone failing(double percent) {
    return percent >= 1 ? TONE_BAD : percent > 0 ? TONE_WARN : TONE_PLAIN;
}

static void route_row(struct table *t, const cJSON *r) {
    char room[24];
    const char *ns = doc_get(r, "namespace"), *slowest = doc_get(r, "slowest");
    const char *mean = strcmp(slowest, "gateway") == 0    ? "gateway_mean_us"
                       : strcmp(slowest, "upstream") == 0 ? "upstream_mean_us"
                                                          : "mean_us";
    double percent = doc_number(r, "failure_percent");
    table_cell(t, TONE_PLAIN, ns[0] ? "%s/%s/%s" : "%s%s%s", ns, doc_get(r, "name"),
               doc_get(r, "rule"));
    table_cell(t, TONE_PLAIN, "%s", rate(doc_number(r, "requests_per_second"), room));
    table_cell(t, failing(percent), "%.1f", percent);
    table_cell(t, TONE_PLAIN, "%s", took(r, "p50_us", room));
    table_cell(t, TONE_PLAIN, "%s", took(r, "p99_us", room));
    table_cell(t, TONE_PLAIN, "%s", took(r, "gateway_p99_us", room));
    table_cell(t, TONE_PLAIN, "%s", took(r, "upstream_p99_us", room));
    table_cell(t, TONE_PLAIN, "%s %s", slowest, took(r, mean, room));
}

static void show_routes(struct ctl *c, const cJSON *doc, const char *field, int most) {
    static const char *const titles[] = {"ROUTE", "REQ/S",       "FAIL %",       "P50",
                                         "P99",   "GATEWAY P99", "UPSTREAM P99", "SLOWEST (MEAN)"};
    struct table t;
    int n;
    struct row *rows = sorted(doc_each(doc, "routes"), field, &n);
    table_init(&t, titles, ARRAY_LEN(titles));
    for (int i = 0; i < n && i < most; i++)
        route_row(&t, rows[i].route);
    table_print(&t, c);
    if (n == 0)
        fprintf(c->out, "no request in the last %.0f s\n", doc_number(doc, "seconds"));
    else if (n > most)
        fprintf(c->out, "and %d more\n", n - most);
    mem_free(rows);
}

static void show_reasons(struct ctl *c, const cJSON *doc) {
    static const char *const titles[] = {"REASON", "ORIGIN", "PER SECOND"};
    const cJSON *r;
    struct table t;
    char room[24];
    int shown = 0;
    table_init(&t, titles, ARRAY_LEN(titles));
    cJSON_ArrayForEach(r, doc_each(doc_each(doc, "total"), "reasons")) {
        if (shown++ == REASONS_SHOWN)
            break;
        table_cell(&t, TONE_PLAIN, "%s", doc_get(r, "name"));
        table_cell(&t, TONE_PLAIN, "%s", doc_get(r, "origin"));
        table_cell(&t, TONE_PLAIN, "%s", rate(doc_number(r, "per_second"), room));
    }
    if (shown > 0)
        fputc('\n', c->out);
    table_print(&t, c);
}

/* Proxies that say nothing of their routes, as those before this version. */
static int silent(const cJSON *doc) {
    const cJSON *p;
    int n = 0;
    cJSON_ArrayForEach(p, doc_each(doc, "proxies")) n += !doc_true(p, "live");
    return n;
}

static void show(struct ctl *c, const cJSON *doc, const char *field, int most) {
    show_head(c, doc);
    show_routes(c, doc, field, most);
    show_reasons(c, doc);
    if (silent(doc) > 0)
        fprintf(c->out,
                "\n%d proxies tell nothing of their routes: they are older, or came just now\n",
                silent(doc));
}

/* ---- again and again ---- */

static void wait_ms(unsigned ms) {
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static bool is_enough(const cJSON *doc) { return doc_number(doc, "seconds") >= ENOUGH_S - 0.1; }

/* The first look makes proxies count; there are figures a moment later. */
static enum ctl_exit first_figures(struct ctl *c, enum fetch_from from, struct fetch_way *way,
                                   struct fetched *f) {
    enum ctl_exit code = fetch_first(c, from, "/live", way, f);
    for (unsigned ms = 0; code == CTL_OK && ms < FIRST_MS && !is_enough(f->json); ms += ASK_MS) {
        cJSON_Delete(f->json);
        wait_ms(ASK_MS);
        code = fetch_again(c, from, "/live", way, f);
    }
    return code;
}

static int rows_of_terminal(const struct ctl *c) {
    struct winsize size;
    if (ioctl(fileno(c->out), TIOCGWINSZ, &size) != 0 || size.ws_row <= LINES_BESIDE)
        return LINES_BESIDE;
    return size.ws_row - LINES_BESIDE;
}

static enum ctl_exit print_once(struct ctl *c, cJSON *doc, const char *field) {
    bool told = doc_number(doc, "seconds") > 0;
    if (c->format == CTL_TABLE) {
        show(c, doc, field, INT32_MAX);
        cJSON_Delete(doc);
    } else {
        doc_print(c, doc);
    }
    return told ? CTL_OK : CTL_PROBLEMS;
}

static enum ctl_exit go_on(struct ctl *c, enum fetch_from from, const struct fetch_way *way,
                           struct fetched *f, const char *field) {
    enum ctl_exit code = CTL_OK;
    while (code == CTL_OK) {
        fputs("\033[H\033[2J", c->out);
        show(c, f->json, field, rows_of_terminal(c));
        fflush(c->out);
        cJSON_Delete(f->json);
        wait_ms(EVERY_MS);
        code = fetch_again(c, from, "/live", way, f);
    }
    return code;
}

enum ctl_exit ctl_top(struct ctl *c) {
    enum fetch_from from = c->proxy ? FROM_PROXY : FROM_CONTROLLER;
    const char *field = field_of(c);
    struct fetch_way way;
    struct fetched f;
    if (!field)
        return CTL_USAGE;
    if (c->proxy && c->controller)
        return ctl_fail(c, CTL_USAGE, "--controller and --proxy are two sources; say one");
    enum ctl_exit code = first_figures(c, from, &way, &f);
    if (code == CTL_OK && (c->once || c->format != CTL_TABLE || !isatty(fileno(c->out))))
        code = print_once(c, f.json, field);
    else if (code == CTL_OK)
        code = go_on(c, from, &way, &f, field);
    fetch_end(&way);
    return code;
}
