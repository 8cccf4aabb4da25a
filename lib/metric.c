/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/metric.h"

#include "lib/log.h"

#include <stdio.h>
#include <time.h>

#define MS 1000000ull
#define US 1000ull

const struct histogram_scale histogram_requests = {
    {500 * US, 2500 * US, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS,
     1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS, 30000 * MS, 60000 * MS}};

const struct histogram_scale histogram_gateway = {
    {50 * US, 100 * US, 250 * US, 500 * US, 1 * MS, 2500 * US, 5 * MS, 10 * MS, 25 * MS, 50 * MS,
     100 * MS, 250 * MS, 500 * MS, 1000 * MS, 5000 * MS}};

void histogram_sum(struct histogram *to, const struct histogram *from) {
    for (size_t i = 0; i < ARRAY_LEN(to->n); i++)
        to->n[i] += metric_get(&from->n[i]);
    to->sum_ns += metric_get(&from->sum_ns);
}

uint64_t histogram_count(const struct histogram *h) {
    uint64_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(h->n); i++)
        n += h->n[i];
    return n;
}

void metric_label(struct out *labels, const char *name, struct str value) {
    if (labels->n > 0)
        out_char(labels, ',');
    out_str(labels, str_of(name));
    out_lit(labels, "=\"");
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\n')
            out_lit(labels, "\\n");
        else if (c == '"' || c == '\\')
            out_bytes(labels, (char[]){'\\', c}, 2);
        else
            out_char(labels, c);
    }
    out_char(labels, '"');
}

void metric_begin(struct metric_text *t, struct out *o, bool openmetrics) {
    *t = (struct metric_text){.o = o, .openmetrics = openmetrics};
}

static const char *suffix(const struct metric_text *t) {
    return t->type == METRIC_COUNTER ? "_total" : t->type == METRIC_INFO ? "_info" : "";
}

/* In OpenMetrics a family's name has no suffix; in the older text the sample's name is the
 * family's, and there is no type info. */
void metric_family(struct metric_text *t, enum metric_type type, const char *name,
                   const char *help) {
    static const char *const words[] = {[METRIC_COUNTER] = "counter",
                                        [METRIC_GAUGE] = "gauge",
                                        [METRIC_HISTOGRAM] = "histogram",
                                        [METRIC_INFO] = "info"};
    t->type = type;
    t->name = name;
    const char *word = type == METRIC_INFO && !t->openmetrics ? "gauge" : words[type];
    const char *tail = t->openmetrics ? "" : suffix(t);
    out_fmt(t->o, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, tail, help, name, tail, word);
}

static void sample(struct metric_text *t, const char *tail, struct str labels) {
    out_str(t->o, str_of(t->name));
    out_str(t->o, str_of(tail));
    if (labels.n > 0) {
        out_char(t->o, '{');
        out_str(t->o, labels);
        out_char(t->o, '}');
    }
    out_char(t->o, ' ');
}

void metric_count(struct metric_text *t, struct str labels, uint64_t v) {
    sample(t, suffix(t), labels);
    out_u64(t->o, v);
    out_char(t->o, '\n');
}

/* Nanoseconds as decimal seconds without trailing zeros: exact, and cheaper than a double. */
static void out_seconds(struct out *o, uint64_t ns) {
    char digits[10] = ".";
    uint64_t rest = ns % 1000000000;
    size_t n = 0;
    out_u64(o, ns / 1000000000);
    for (size_t i = 9; i > 0; i--, rest /= 10) {
        digits[i] = (char)('0' + rest % 10);
        if (n == 0 && digits[i] != '0')
            n = i;
    }
    if (n > 0)
        out_bytes(o, digits, n + 1);
}

void metric_seconds(struct metric_text *t, struct str labels, uint64_t ns) {
    sample(t, suffix(t), labels);
    out_seconds(t->o, ns);
    out_char(t->o, '\n');
}

static void bucket_name(struct metric_text *t, struct str labels) {
    out_str(t->o, str_of(t->name));
    out_lit(t->o, "_bucket{");
    out_str(t->o, labels);
    if (labels.n > 0)
        out_char(t->o, ',');
    out_lit(t->o, "le=\"");
}

/* OpenMetrics wants the canonical form of a number in le: 1.0, not 1. */
static void out_bound(struct metric_text *t, uint64_t ns) {
    out_seconds(t->o, ns);
    if (t->openmetrics && ns % 1000000000 == 0)
        out_lit(t->o, ".0");
}

/* # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.0123 1795718096.5 */
static void out_exemplar(struct out *o, const struct exemplar *e) {
    if (e->at_ns == 0)
        return;
    out_lit(o, " # {trace_id=\"");
    out_hex(o, e->trace[0], 16);
    out_hex(o, e->trace[1], 16);
    out_lit(o, "\"} ");
    out_seconds(o, e->value_ns);
    out_char(o, ' ');
    out_seconds(o, e->at_ns);
}

void metric_histogram(struct metric_text *t, struct str labels, const struct histogram_scale *s,
                      const struct histogram *h) {
    metric_histogram_seen(t, labels, s, h, NULL);
}

void metric_histogram_seen(struct metric_text *t, struct str labels,
                           const struct histogram_scale *s, const struct histogram *h,
                           const struct exemplar *exemplars) {
    uint64_t n = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        n += h->n[i];
        bucket_name(t, labels);
        if (i < HISTOGRAM_BOUNDS)
            out_bound(t, s->bound_ns[i]);
        else
            out_lit(t->o, "+Inf");
        out_lit(t->o, "\"} ");
        out_u64(t->o, n);
        if (exemplars && t->openmetrics)
            out_exemplar(t->o, &exemplars[i]);
        out_char(t->o, '\n');
    }
    sample(t, "_sum", labels);
    out_seconds(t->o, h->sum_ns);
    out_char(t->o, '\n');
    sample(t, "_count", labels);
    out_u64(t->o, n);
    out_char(t->o, '\n');
}

void metric_end(struct metric_text *t) {
    if (t->openmetrics)
        out_lit(t->o, "# EOF\n");
}

const char *metric_content_type(bool openmetrics) {
    return openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                       : "text/plain; version=0.0.4; charset=utf-8";
}

/* ---- what is asked for ---- */

/* A weight in thousandths (RFC 9110 12.4.2); one that cannot be read is 0. */
static unsigned weight_of(struct str text) {
    uint64_t whole, rest = 0;
    struct str head, tail = str_cut(text, '.', &head);
    if (tail.n > 3 || !str_to_u64(head, 1, &whole) || (tail.n > 0 && !str_to_u64(tail, 999, &rest)))
        return 0;
    for (size_t i = tail.n; i < 3; i++)
        rest *= 10;
    return (unsigned)size_min(whole * 1000 + rest, 1000);
}

struct range {
    struct str type, version; /* version.n == 0: any */
    unsigned weight;
};

/* One media range of an Accept header with its parameters. */
static struct range range_of(struct str text) {
    struct str part, rest = str_cut(text, ';', &part);
    struct range r = {.type = str_trim(part), .weight = 1000};
    while (rest.p) {
        struct str name, value;
        rest = str_cut(rest, ';', &part);
        value = str_trim(str_cut(str_trim(part), '=', &name));
        if (str_eq_nocase(str_trim(name), STR("q")))
            r.weight = weight_of(value);
        else if (str_eq_nocase(str_trim(name), STR("version")))
            r.version = value;
    }
    return r;
}

bool metric_wants_openmetrics(struct str accept) {
    unsigned open = 0, text = 0;
    while (accept.n > 0) {
        struct str one;
        accept = str_cut(accept, ',', &one);
        struct range r = range_of(one);
        bool known = r.version.n == 0 || str_eq(r.version, STR("1.0.0"));
        if (known && str_eq_nocase(r.type, STR("application/openmetrics-text")))
            open = r.weight > open ? r.weight : open;
        else if (str_eq_nocase(r.type, STR("text/plain")))
            text = r.weight > text ? r.weight : text;
    }
    return open > 0 && open >= text;
}

/* ---- the process ---- */

void metric_process(struct metric_text *t, uint64_t started_at_ns) {
    struct timespec used = {0};
    char room[300];
    struct out version = out_fixed(room, sizeof(room));
    metric_label(&version, "version", str_of(sluice_version));
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    metric_family(t, METRIC_COUNTER, "process_cpu_seconds", "CPU time of the whole process.");
    metric_seconds(t, STR_NONE, (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec);
    metric_family(t, METRIC_GAUGE, "process_start_time_seconds",
                  "When the process began, Unix time.");
    metric_seconds(t, STR_NONE, started_at_ns);
    metric_family(t, METRIC_COUNTER, "sluice_messages_lost",
                  "Lines that standard error did not take.");
    metric_count(t, STR_NONE, log_lost());
    metric_family(t, METRIC_INFO, "sluice_build", "The version that runs.");
    metric_count(t, out_done(&version), 1);
}
