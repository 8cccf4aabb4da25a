/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/live.h"

#include "lib/list.h"
#include "lib/mem.h"

#include <stdlib.h>

enum part { TOTAL, GATEWAY, UPSTREAM, PARTS };

enum {
    ABOVE = LIVE_BOUNDS, /* the bucket above all bounds */
    BUCKETS = LIVE_BOUNDS + 1,
    KEY_MAX = 3 * (LIVE_NAME_MAX + 1),
};

struct counted {
    unsigned reason; /* in live.reasons */
    uint64_t n;      /* 0: free */
};

/* What was counted in one second, or in all of them. */
struct figures {
    uint64_t requests, failures, passed_on;
    uint64_t us[PARTS];
    uint64_t buckets[PARTS][BUCKETS]; /* as live.bounds */
    struct counted reasons[LIVE_REASONS];
};

struct series { /* a route */
    struct list link;
    struct str key;                        /* owned; namespace/name/rule */
    struct str namespace, name, rule;      /* of the key's bytes */
    struct figures *seconds[LIVE_SECONDS]; /* NULL: nothing was counted */
};

struct teller { /* a proxy */
    struct list link;
    uint64_t proxy, last_ms;
    uint64_t us[LIVE_SECONDS]; /* its intervals that ended in that second */
};

struct reason_name {
    char *name, *origin;
};

struct live {
    uint64_t second;  /* the newest that there are figures of */
    struct map known; /* key → series */
    struct list routes, tellers;
    size_t n_tellers;
    struct series all;
    uint64_t bounds[LIVE_BOUNDS]; /* upper ones, in us, as they came */
    unsigned n_bounds;
    struct reason_name reasons[LIVE_REASON_NAMES];
    unsigned n_reasons;
};

/* ---- seconds ---- */

static struct figures *figures_of(struct series *s, uint64_t second) {
    struct figures **at = &s->seconds[second % LIVE_SECONDS];
    if (!*at)
        *at = mem_zalloc(sizeof(**at));
    return *at;
}

static void series_forget(struct series *s, uint64_t second) {
    mem_free(s->seconds[second % LIVE_SECONDS]);
    s->seconds[second % LIVE_SECONDS] = NULL;
}

static bool series_is_empty(const struct series *s) {
    for (unsigned i = 0; i < LIVE_SECONDS; i++)
        if (s->seconds[i])
            return false;
    return true;
}

static void series_free(struct live *l, struct series *s) {
    for (unsigned i = 0; i < LIVE_SECONDS; i++)
        series_forget(s, i);
    map_del(&l->known, s->key);
    list_del(&s->link);
    mem_free((void *)(uintptr_t)s->key.p);
    mem_free(s);
}

static void forget_second(struct live *l, uint64_t second) {
    series_forget(&l->all, second);
    list_each_safe(link, &l->routes) {
        struct series *s = list_entry(link, struct series, link);
        series_forget(s, second);
        if (series_is_empty(s))
            series_free(l, s);
    }
    list_each(link, &l->tellers)
        list_entry(link, struct teller, link)->us[second % LIVE_SECONDS] = 0;
}

/* The figures of the second of now_ms replace those that are too old by then. */
static void advance(struct live *l, uint64_t now_ms) {
    uint64_t second = now_ms / 1000;
    if (second > l->second + LIVE_SECONDS)
        l->second = second - LIVE_SECONDS;
    while (l->second < second)
        forget_second(l, ++l->second);
}

/* ---- names ---- */

/* The bucket of that bound; ABOVE where there is no room for one more. */
static unsigned bucket_of(struct live *l, uint64_t upto_us) {
    if (upto_us == 0)
        return ABOVE;
    for (unsigned i = 0; i < l->n_bounds; i++)
        if (l->bounds[i] == upto_us)
            return i;
    if (l->n_bounds == LIVE_BOUNDS)
        return ABOVE;
    l->bounds[l->n_bounds] = upto_us;
    return l->n_bounds++;
}

/* LIVE_REASON_NAMES: there is no room for one more, or it is no name. */
static unsigned reason_of(struct live *l, const struct wire_live_reason *m) {
    for (unsigned i = 0; i < l->n_reasons; i++)
        if (str_eq(m->name, str_of(l->reasons[i].name)))
            return i;
    if (l->n_reasons == LIVE_REASON_NAMES || m->name.n == 0 || m->name.n > LIVE_NAME_MAX ||
        m->origin.n > LIVE_NAME_MAX)
        return LIVE_REASON_NAMES;
    l->reasons[l->n_reasons] = (struct reason_name){str_dup(m->name), str_dup(m->origin)};
    return l->n_reasons++;
}

static struct series *series_new(struct live *l, struct str key, const struct wire_live_route *m) {
    struct series *s = mem_zalloc(sizeof(*s));
    s->key = str_mk(str_dup(key), key.n);
    s->namespace = str_mk(s->key.p, m->namespace.n);
    s->name = str_mk(s->key.p + m->namespace.n + 1, m->name.n);
    s->rule = str_mk(s->name.p + m->name.n + 1, m->rule.n);
    list_append(&l->routes, &s->link);
    map_put(&l->known, s->key, s);
    return s;
}

/* NULL: it has no name that can be. */
static struct series *series_of(struct live *l, const struct wire_live_route *m) {
    char room[KEY_MAX];
    struct out key = out_fixed(room, sizeof(room));
    if (m->namespace.n > LIVE_NAME_MAX || m->name.n > LIVE_NAME_MAX || m->rule.n > LIVE_NAME_MAX)
        return NULL;
    out_fmt(&key, "%.*s/%.*s/%.*s", STR_FMT(m->namespace), STR_FMT(m->name), STR_FMT(m->rule));
    if (key.over || key.n != m->namespace.n + m->name.n + m->rule.n + 2) /* a NUL is in it */
        return NULL;
    struct series *s = map_get(&l->known, out_done(&key));
    if (s)
        return s;
    static const struct wire_live_route other = {.name = {"other", 5}};
    bool is_other = m->namespace.n == 0 && str_eq(m->name, other.name);
    if (l->known.n >= LIVE_ROUTES && !is_other)
        return series_of(l, &other);
    return series_new(l, out_done(&key), m);
}

/* ---- counting ---- */

static void add_buckets(struct live *l, uint64_t to[BUCKETS], const struct wire_live_bucket *list,
                        uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        to[bucket_of(l, list[i].upto_us)] += list[i].n;
}

static void add_counted(struct figures *f, struct counted add) {
    for (unsigned i = 0; i < LIVE_REASONS; i++) {
        struct counted *c = &f->reasons[i];
        if (c->n > 0 && c->reason != add.reason)
            continue;
        c->reason = add.reason;
        c->n += add.n;
        return;
    }
}

static void add_message(struct live *l, struct figures *f, const struct wire_live_route *m) {
    f->requests += m->requests;
    f->failures += m->failures;
    f->passed_on += m->passed_on;
    f->us[TOTAL] += m->total_us;
    f->us[GATEWAY] += m->gateway_us;
    f->us[UPSTREAM] += m->upstream_us;
    add_buckets(l, f->buckets[TOTAL], m->total, m->n_total);
    add_buckets(l, f->buckets[GATEWAY], m->gateway, m->n_gateway);
    add_buckets(l, f->buckets[UPSTREAM], m->upstream, m->n_upstream);
    for (uint32_t i = 0; i < m->n_reasons && i < LIVE_REASON_NAMES; i++) {
        unsigned reason = reason_of(l, &m->reasons[i]);
        if (reason < LIVE_REASON_NAMES && m->reasons[i].n > 0)
            add_counted(f, (struct counted){reason, m->reasons[i].n});
    }
}

static void add_figures(struct figures *to, const struct figures *f) {
    to->requests += f->requests;
    to->failures += f->failures;
    to->passed_on += f->passed_on;
    for (unsigned p = 0; p < PARTS; p++) {
        to->us[p] += f->us[p];
        for (unsigned b = 0; b < BUCKETS; b++)
            to->buckets[p][b] += f->buckets[p][b];
    }
    for (unsigned i = 0; i < LIVE_REASONS && f->reasons[i].n > 0; i++)
        add_counted(to, f->reasons[i]);
}

static struct figures sum_of(const struct series *s) {
    struct figures sum = {0};
    for (unsigned i = 0; i < LIVE_SECONDS; i++)
        if (s->seconds[i])
            add_figures(&sum, s->seconds[i]);
    return sum;
}

/* ---- proxies ---- */

static struct teller *teller_find(const struct live *l, uint64_t proxy) {
    list_each(link, (struct list *)(uintptr_t)&l->tellers) {
        struct teller *t = list_entry(link, struct teller, link);
        if (t->proxy == proxy)
            return t;
    }
    return NULL;
}

static struct teller *teller_of(struct live *l, uint64_t proxy) {
    struct teller *t = teller_find(l, proxy);
    if (t || l->n_tellers == LIVE_PROXIES_MAX)
        return t;
    t = mem_zalloc(sizeof(*t));
    t->proxy = proxy;
    list_append(&l->tellers, &t->link);
    l->n_tellers++;
    return t;
}

void live_lose(struct live *l, uint64_t proxy) {
    struct teller *t = teller_find(l, proxy);
    if (!t)
        return;
    list_del(&t->link);
    mem_free(t);
    l->n_tellers--;
}

bool live_tells(const struct live *l, uint64_t proxy, uint64_t now_ms) {
    const struct teller *t = teller_find(l, proxy);
    return t && now_ms - t->last_ms < LIVE_SECONDS * 1000;
}

void live_take(struct live *l, uint64_t proxy, const struct wire_live *m, uint64_t now_ms) {
    struct teller *t = teller_of(l, proxy);
    advance(l, now_ms);
    if (!t)
        return;
    t->last_ms = now_ms;
    t->us[l->second % LIVE_SECONDS] += m->interval_us;
    if (m->all)
        add_message(l, figures_of(&l->all, l->second), m->all);
    for (uint32_t i = 0; i < m->n_routes; i++) {
        struct series *s = m->routes[i].requests > 0 ? series_of(l, &m->routes[i]) : NULL;
        if (s)
            add_message(l, figures_of(s, l->second), &m->routes[i]);
    }
}

/* The time that the figures are of: what the proxy that was asked longest has told of. */
static uint64_t covered_us(const struct live *l) {
    uint64_t most = 0;
    list_each(link, (struct list *)(uintptr_t)&l->tellers) {
        const struct teller *t = list_entry(link, struct teller, link);
        uint64_t sum = 0;
        for (unsigned i = 0; i < LIVE_SECONDS; i++)
            sum += t->us[i];
        most = sum > most ? sum : most;
    }
    return most;
}

/* ---- quantiles ---- */

/* The bounds in ascending order. */
static void sort_bounds(const struct live *l, unsigned order[LIVE_BOUNDS]) {
    for (unsigned i = 0; i < l->n_bounds; i++) {
        unsigned at = i;
        for (; at > 0 && l->bounds[order[at - 1]] > l->bounds[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

/* In microseconds; -1: there was nothing. */
static double quantile(const struct live *l, const uint64_t n[BUCKETS], double q) {
    unsigned order[LIVE_BOUNDS];
    uint64_t all = n[ABOVE], below = 0;
    double lower = 0;
    sort_bounds(l, order);
    for (unsigned i = 0; i < l->n_bounds; i++)
        all += n[i];
    if (all == 0)
        return -1;
    for (unsigned i = 0; i < l->n_bounds; i++) {
        uint64_t here = n[order[i]];
        double upper = (double)l->bounds[order[i]], rank = q * (double)all - (double)below;
        if (here > 0 && rank <= (double)here)
            return lower + (upper - lower) * rank / (double)here;
        below += here;
        lower = upper;
    }
    return lower;
}

/* ---- JSON ---- */

static void json_number(struct out *o, const char *name, double v) {
    if (v < 0)
        out_fmt(o, ",\"%s\":null", name);
    else
        out_fmt(o, ",\"%s\":%.3f", name, v);
}

static double mean(const struct figures *f, enum part p) {
    return f->requests > 0 ? (double)f->us[p] / (double)f->requests : -1;
}

/* Whose the largest part of the time is. */
static const char *slowest(const struct figures *f) {
    uint64_t parts = f->us[GATEWAY] + f->us[UPSTREAM];
    uint64_t others = f->us[TOTAL] > parts ? f->us[TOTAL] - parts : 0;
    if (f->us[TOTAL] == 0)
        return "";
    if (f->us[UPSTREAM] >= f->us[GATEWAY] && f->us[UPSTREAM] >= others)
        return "upstream";
    return f->us[GATEWAY] >= others ? "gateway" : "others";
}

static int by_count(const void *a, const void *b) {
    uint64_t x = ((const struct counted *)a)->n, y = ((const struct counted *)b)->n;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void json_reasons(const struct live *l, struct figures *f, double seconds, struct out *o) {
    qsort(f->reasons, LIVE_REASONS, sizeof(f->reasons[0]), by_count);
    out_lit(o, "\"reasons\":[");
    for (unsigned i = 0; i < LIVE_REASONS && f->reasons[i].n > 0; i++) {
        const struct reason_name *r = &l->reasons[f->reasons[i].reason];
        out_str(o, i > 0 ? STR(",{\"name\":") : STR("{\"name\":"));
        out_json(o, str_of(r->name));
        out_lit(o, ",\"origin\":");
        out_json(o, str_of(r->origin));
        json_number(o, "per_second", seconds > 0 ? (double)f->reasons[i].n / seconds : 0);
        out_char(o, '}');
    }
    out_char(o, ']');
}

/* Members, the first without a comma before it. */
static void json_figures(const struct live *l, struct figures *f, double seconds, struct out *o) {
    out_fmt(o, "\"requests\":%llu", (unsigned long long)f->requests);
    json_number(o, "requests_per_second", seconds > 0 ? (double)f->requests / seconds : 0);
    json_number(o, "failures_per_second", seconds > 0 ? (double)f->failures / seconds : 0);
    json_number(o, "passed_on_per_second", seconds > 0 ? (double)f->passed_on / seconds : 0);
    json_number(o, "failure_percent",
                f->requests > 0 ? 100 * (double)f->failures / (double)f->requests : 0);
    json_number(o, "mean_us", mean(f, TOTAL));
    json_number(o, "gateway_mean_us", mean(f, GATEWAY));
    json_number(o, "upstream_mean_us", mean(f, UPSTREAM));
    json_number(o, "p50_us", quantile(l, f->buckets[TOTAL], 0.5));
    json_number(o, "p99_us", quantile(l, f->buckets[TOTAL], 0.99));
    json_number(o, "gateway_p99_us", quantile(l, f->buckets[GATEWAY], 0.99));
    json_number(o, "upstream_p99_us", quantile(l, f->buckets[UPSTREAM], 0.99));
    out_fmt(o, ",\"slowest\":\"%s\",", slowest(f));
    json_reasons(l, f, seconds, o);
}

struct row {
    const struct series *s;
    struct figures f;
};

static int by_requests(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->f.requests != y->f.requests)
        return x->f.requests < y->f.requests ? 1 : -1;
    return str_cmp(x->s->key, y->s->key);
}

static void json_routes(const struct live *l, struct row *rows, size_t n, double seconds,
                        struct out *o) {
    out_lit(o, ",\"routes\":[");
    for (size_t i = 0; i < n; i++) {
        out_str(o, i > 0 ? STR(",\n{\"namespace\":") : STR("{\"namespace\":"));
        out_json(o, rows[i].s->namespace);
        out_lit(o, ",\"name\":");
        out_json(o, rows[i].s->name);
        out_lit(o, ",\"rule\":");
        out_json(o, rows[i].s->rule);
        out_char(o, ',');
        json_figures(l, &rows[i].f, seconds, o);
        out_char(o, '}');
    }
    out_char(o, ']');
}

/* Of all requests proxies tell the gateway's times alone; the other two are those of the routes. */
static void add_times(struct figures *all, const struct figures *f) {
    for (unsigned b = 0; b < BUCKETS; b++) {
        all->buckets[TOTAL][b] += f->buckets[TOTAL][b];
        all->buckets[UPSTREAM][b] += f->buckets[UPSTREAM][b];
    }
}

void live_json(struct live *l, uint64_t now_ms, size_t routes, struct out *o) {
    advance(l, now_ms);
    double seconds = (double)covered_us(l) / 1e6;
    struct row *rows = mem_array(l->known.n + 1, sizeof(*rows));
    struct figures all = sum_of(&l->all);
    size_t n = 0;
    list_each(link, &l->routes) {
        rows[n].s = list_entry(link, struct series, link);
        rows[n].f = sum_of(rows[n].s);
        add_times(&all, &rows[n++].f);
    }
    qsort(rows, n, sizeof(*rows), by_requests);
    out_fmt(o, "\"seconds\":%.3f,\"total\":{", seconds);
    json_figures(l, &all, seconds, o);
    out_char(o, '}');
    json_routes(l, rows, n < routes ? n : routes, seconds, o);
    mem_free(rows);
}

/* ---- life ---- */

struct live *live_new(void) {
    struct live *l = mem_zalloc(sizeof(*l));
    map_init(&l->known);
    list_init(&l->routes);
    list_init(&l->tellers);
    return l;
}

void live_free(struct live *l) {
    if (!l)
        return;
    list_each_safe(link, &l->routes)
        series_free(l, list_entry(link, struct series, link));
    list_each_safe(link, &l->tellers)
        live_lose(l, list_entry(link, struct teller, link)->proxy);
    for (unsigned i = 0; i < LIVE_SECONDS; i++)
        series_forget(&l->all, i);
    for (unsigned i = 0; i < l->n_reasons; i++) {
        mem_free(l->reasons[i].name);
        mem_free(l->reasons[i].origin);
    }
    map_fini(&l->known);
    mem_free(l);
}
