/* SPDX-License-Identifier: Apache-2.0
 *
 * cost: what each route and each team costs a month, from what the proxies count.
 */
#include "ctl/cost.h"

#include "ctl/doc.h"
#include "ctl/fetch.h"
#include "ctl/table.h"
#include "lib/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MONTH_HOURS 730.0
#define GIB         1073741824.0

/* As in the chart's values. */
static const char *const usual[] = {"0.04", "0.005", "0.05", "EUR"};

struct prices {
    double core_hour, gib_hour, gib_traffic;
    const char *currency;
};

struct money {
    double month, million; /* of requests; NAN: there were none */
    double memory;         /* bytes that are its share */
};

/* ---- prices ---- */

static bool price(struct ctl *c, const char *option, const char *said, const char *else_,
                  double *value) {
    char *end;
    *value = strtod(said ? said : else_, &end);
    if (*end == 0 && isfinite(*value) && *value >= 0)
        return true;
    ctl_fail(c, CTL_USAGE, "%s is a price as 0.04, not '%s'", option, said);
    return false;
}

static bool read_prices(struct ctl *c, struct prices *p) {
    p->currency = c->currency ? c->currency : usual[3];
    return price(c, "--core-hour", c->core_hour, usual[0], &p->core_hour) &&
           price(c, "--gib-hour", c->gib_hour, usual[1], &p->gib_hour) &&
           price(c, "--gib-traffic", c->gib_traffic, usual[2], &p->gib_traffic);
}

/* cpu: of the workers for all routes, a second. What the processes use beside it, and memory, are
 * divided as it is. */
static struct money price_of(const struct bill *b, const struct prices *p, double cpu,
                             const struct usage *u) {
    double share = cpu > 0 ? u->cpu_rate / cpu : 0;
    double cores = share * (b->process_cpu_rate > cpu ? b->process_cpu_rate : cpu);
    struct money m = {.memory = share * b->memory};
    m.month = MONTH_HOURS * (cores * p->core_hour + m.memory / GIB * p->gib_hour +
                             u->bytes_rate * 3600 / GIB * p->gib_traffic);
    m.million =
        u->requests_rate > 0 ? m.month / (u->requests_rate * MONTH_HOURS * 3600) * 1e6 : NAN;
    return m;
}

/* ---- lines ---- */

static void use_sum(struct usage *to, const struct usage *u) {
    to->requests += u->requests;
    to->requests_rate += u->requests_rate;
    to->cpu_s += u->cpu_s;
    to->cpu_rate += u->cpu_rate;
    to->bytes += u->bytes;
    to->bytes_rate += u->bytes_rate;
}

/* A proxy that began anew meanwhile says less than before. */
static void use_clamp(struct usage *u) {
    u->requests = fmax(u->requests, 0), u->requests_rate = fmax(u->requests_rate, 0);
    u->cpu_s = fmax(u->cpu_s, 0), u->cpu_rate = fmax(u->cpu_rate, 0);
    u->bytes = fmax(u->bytes, 0), u->bytes_rate = fmax(u->bytes_rate, 0);
}

struct row {
    struct str name, team;
    struct usage used;
    struct money money;
};

static int dearest_first(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->money.month != y->money.month)
        return x->money.month < y->money.month ? 1 : -1;
    return str_cmp(x->name, y->name);
}

struct rows {
    struct row *v;
    size_t n;
    struct usage all;
};

/* mem_free(v). */
static struct rows routes_of(struct bill *b) {
    struct rows r = {.v = mem_array(b->lines.n + 1, sizeof(struct row))};
    for (struct map_slot *s = NULL; (s = map_next(&b->lines, s));) {
        struct cost_line *line = s->value;
        struct row *row = &r.v[r.n++];
        use_clamp(&line->used);
        use_sum(&r.all, &line->used);
        *row = (struct row){.name = line->namespace.n > 0 ? s->key : line->route,
                            .team = line->team,
                            .used = line->used};
    }
    return r;
}

static struct rows teams_of(const struct rows *routes) {
    struct rows t = {.v = mem_array(routes->n + 1, sizeof(struct row)), .all = routes->all};
    for (size_t i = 0; i < routes->n; i++) {
        size_t k = 0;
        while (k < t.n && !str_eq(t.v[k].name, routes->v[i].team))
            k++;
        if (k == t.n)
            t.v[t.n++] = (struct row){.name = routes->v[i].team, .team = routes->v[i].team};
        use_sum(&t.v[k].used, &routes->v[i].used);
    }
    return t;
}

static void price_rows(const struct bill *b, const struct prices *p, struct rows *r) {
    for (size_t i = 0; i < r->n; i++)
        r->v[i].money = price_of(b, p, r->all.cpu_rate, &r->v[i].used);
    qsort(r->v, r->n, sizeof(*r->v), dearest_first);
}

/* ---- for machines ---- */

static void number(cJSON *to, const char *name, double v) {
    if (isnan(v))
        cJSON_AddNullToObject(to, name);
    else
        cJSON_AddNumberToObject(to, name, v);
}

static void put_figures(cJSON *to, const struct usage *u, const struct money *m) {
    number(to, "requests", round(u->requests));
    number(to, "requests_per_second", u->requests_rate);
    number(to, "cpu_seconds", u->cpu_s);
    number(to, "traffic_bytes", round(u->bytes));
    number(to, "memory_bytes", round(m->memory));
    number(to, "month", m->month);
    number(to, "per_million_requests", m->million);
}

static void put_rows(cJSON *doc, const char *name, const struct rows *r, const char *title) {
    cJSON *list = doc_list(doc, name);
    for (size_t i = 0; i < r->n; i++) {
        cJSON *item = doc_item(list);
        cJSON_AddStringToObject(item, title, r->v[i].name.n > 0 ? r->v[i].name.p : "");
        if (strcmp(title, "team") != 0)
            doc_text(item, "team", r->v[i].team);
        put_figures(item, &r->v[i].used, &r->v[i].money);
    }
}

static cJSON *document(const struct bill *b, const struct prices *p, const struct rows *routes,
                       const struct rows *teams) {
    cJSON *doc = cJSON_CreateObject(), *prices = cJSON_AddObjectToObject(doc, "prices");
    struct money all = price_of(b, p, routes->all.cpu_rate, &routes->all);
    cJSON_AddStringToObject(prices, "currency", p->currency);
    number(prices, "core_hour", p->core_hour);
    number(prices, "gib_hour", p->gib_hour);
    number(prices, "gib_traffic", p->gib_traffic);
    number(doc, "seconds", b->seconds);
    if (b->proxies > 0)
        number(doc, "proxies", b->proxies);
    put_figures(cJSON_AddObjectToObject(doc, "total"), &routes->all, &all);
    put_rows(doc, "routes", routes, "route");
    put_rows(doc, "teams", teams, "team");
    return doc;
}

/* ---- for people ---- */

static void show_rows(struct ctl *c, const struct prices *p, const struct rows *r,
                      const char *title) {
    bool teams = strcmp(title, "TEAM") == 0;
    char month[64], million[64];
    snprintf(month, sizeof(month), "%s/MONTH", p->currency);
    snprintf(million, sizeof(million), "%s/MILLION", p->currency);
    const char *heads[] = {title,         "TEAM",       "REQUESTS", "CPU s",
                           "TRAFFIC GiB", "MEMORY MiB", month,      million};
    struct table t;
    if (teams)
        heads[1] = "SHARE";
    double all = 0;
    for (size_t i = 0; i < r->n; i++)
        all += r->v[i].money.month;
    table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < r->n; i++) {
        const struct row *row = &r->v[i];
        table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(row->name.n > 0 ? row->name : STR("-")));
        if (teams)
            table_cell(&t, TONE_PLAIN, "%.1f %%", all > 0 ? 100 * row->money.month / all : 0);
        else
            table_cell(&t, TONE_PLAIN, "%.*s", STR_FMT(row->team.n > 0 ? row->team : STR("-")));
        table_cell(&t, TONE_PLAIN, "%.0f", row->used.requests);
        table_cell(&t, TONE_PLAIN, "%.3f", row->used.cpu_s);
        table_cell(&t, TONE_PLAIN, "%.3f", row->used.bytes / GIB);
        table_cell(&t, TONE_PLAIN, "%.1f", row->money.memory / 1048576);
        table_cell(&t, TONE_PLAIN, "%.2f", row->money.month);
        if (isnan(row->money.million))
            table_cell(&t, TONE_DIM, "-");
        else
            table_cell(&t, TONE_PLAIN, "%.3f", row->money.million);
    }
    table_print(&t, c);
}

static void show(struct ctl *c, const struct bill *b, const struct prices *p,
                 const struct rows *routes, const struct rows *teams) {
    struct money all = price_of(b, p, routes->all.cpu_rate, &routes->all);
    if (b->proxies > 0)
        fprintf(c->out, "%u prox%s, ", b->proxies, b->proxies == 1 ? "y" : "ies");
    fprintf(c->out, "%.0f s: %.2f %s a month, if it goes on like this\n\n", b->seconds, all.month,
            p->currency);
    show_rows(c, p, routes, "ROUTE");
    fputc('\n', c->out);
    show_rows(c, p, teams, "TEAM");
}

/* ---- asking ---- */

struct seen { /* of a proxy; freed by out_fini() */
    struct out text;
    double at_s;
};

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static enum ctl_exit look(struct ctl *c, const cJSON *places, struct seen *v) {
    const cJSON *place;
    size_t n = 0;
    cJSON_ArrayForEach(place, places) {
        enum ctl_exit code = fetch_text(c, place->valuestring, "/metrics", &v[n].text);
        if (code != CTL_OK)
            return code;
        v[n++].at_s = now_s();
    }
    return CTL_OK;
}

static void wait_until(double s) {
    double left = s - now_s();
    struct timespec t = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - floor(left)) * 1e9)};
    while (left > 0 && nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static enum ctl_exit add_all(struct ctl *c, struct bill *b, size_t n, const struct seen *before,
                             const struct seen *now) {
    for (size_t i = 0; i < n; i++) {
        struct str text = out_done(&now[i].text), was = out_done(&before[i].text);
        double seconds = was.n > 0 ? now[i].at_s - before[i].at_s : metrics_uptime(text);
        if (seconds <= 0)
            return ctl_fail(c, CTL_UNREACHABLE,
                            "a proxy does not say since when it runs; is it an older one? Try "
                            "--for 60s");
        bill_add_proxy(b, text, was, seconds);
    }
    return CTL_OK;
}

/* Two looks at each, or one. */
static enum ctl_exit look_twice(struct ctl *c, struct bill *b, const cJSON *places, size_t n,
                                struct seen *before, struct seen *now, double period) {
    enum ctl_exit code = CTL_OK;
    if (period > 0) {
        double end = now_s() + period;
        code = look(c, places, before);
        if (code == CTL_OK)
            wait_until(end);
    }
    if (code == CTL_OK)
        code = look(c, places, now);
    return code == CTL_OK ? add_all(c, b, n, before, now) : code;
}

/* period: of --for in seconds; 0: since they began. */
static enum ctl_exit ask_proxies(struct ctl *c, struct bill *b, double period) {
    cJSON *places;
    enum ctl_exit code = fetch_proxies(c, &places);
    if (code != CTL_OK)
        return code;
    size_t n = (size_t)cJSON_GetArraySize(places);
    struct seen *seen = mem_array(2 * n, sizeof(*seen));
    for (size_t i = 0; i < 2 * n; i++)
        seen[i] = (struct seen){.text = out_heap(FETCH_MAX)};
    code = look_twice(c, b, places, n, seen, seen + n, period);
    for (size_t i = 0; i < 2 * n; i++)
        out_fini(&seen[i].text);
    mem_free(seen);
    cJSON_Delete(places);
    return code;
}

static enum ctl_exit ask(struct ctl *c, struct bill *b) {
    if (c->period && cost_seconds(c->period) <= 0)
        return ctl_fail(c, CTL_USAGE, "--for is a time as 60s, 15m or 1h, not '%s'", c->period);
    if (c->over && cost_seconds(c->over) <= 0)
        return ctl_fail(c, CTL_USAGE, "--over is a time as 1h, 7d or 30d, not '%s'", c->over);
    if (c->prometheus && (c->period || c->proxy))
        return ctl_fail(c, CTL_USAGE, "--prometheus and %s are two sources; say one",
                        c->proxy ? "--proxy" : "--for");
    if (c->over && !c->prometheus)
        return ctl_fail(c, CTL_USAGE,
                        "--over is of --prometheus; proxies are looked at --for a time");
    if (c->prometheus)
        return bill_ask_prometheus(c, b, c->prometheus, c->over ? c->over : "30d");
    return ask_proxies(c, b, c->period ? cost_seconds(c->period) : 0);
}

enum ctl_exit ctl_cost(struct ctl *c) {
    struct prices p;
    struct bill b;
    if (!read_prices(c, &p))
        return CTL_USAGE;
    bill_init(&b);
    enum ctl_exit code = ask(c, &b);
    if (code == CTL_OK) {
        struct rows routes = routes_of(&b), teams = teams_of(&routes);
        price_rows(&b, &p, &routes);
        price_rows(&b, &p, &teams);
        if (c->format == CTL_TABLE)
            show(c, &b, &p, &routes, &teams);
        else
            doc_print(c, document(&b, &p, &routes, &teams));
        mem_free(routes.v);
        mem_free(teams.v);
    }
    bill_fini(&b);
    return code;
}
