/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/bench_print.h"

#include "ctl/table.h"

#include <math.h>

enum { NOTES = 8 };

/* Those of the table, and of the document. */
static const struct {
    double share;
    const char *heading, *name;
} percentiles[] = {
    {0.5, "P50", "p50"}, {0.9, "P90", "p90"}, {0.99, "P99", "p99"}, {0.999, "P99.9", "p99_9"}};

/* ---- words ---- */

void print_time(struct out *o, uint64_t ns) {
    double v = (double)ns;
    if (ns < 1000)
        out_fmt(o, "%.0f ns", v);
    else if (v < 999.5e3)
        out_fmt(o, "%.*f us", v < 9.995e3 ? 2 : v < 99.95e3 ? 1 : 0, v / 1e3);
    else if (v < 999.5e6)
        out_fmt(o, "%.*f ms", v < 9.995e6 ? 2 : v < 99.95e6 ? 1 : 0, v / 1e6);
    else
        out_fmt(o, "%.*f s", v < 9.995e9 ? 2 : v < 99.95e9 ? 1 : 0, v / 1e9);
}

void print_count(struct out *o, uint64_t n) {
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out_char(o, ',');
        out_char(o, digits[i]);
    }
}

void print_rate(struct out *o, double rate) {
    if (rate < 100)
        out_fmt(o, "%.*f", rate < 10 ? 2 : 1, rate);
    else
        print_count(o, (uint64_t)(rate + 0.5));
    out_lit(o, "/s");
}

void print_bytes(struct out *o, uint64_t n) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double v = (double)n;
    unsigned u = 0;
    for (; v >= 1000 && u + 1 < ARRAY_LEN(units); u++)
        v /= 1000;
    out_fmt(o, "%.*f %s", u == 0 ? 0 : 1, v, units[u]);
}

void print_second(struct out *o, const struct bench_second *s, unsigned at, bool warmup) {
    out_fmt(o, "%4u s   ", at);
    print_rate(o, (double)s->answered);
    out_lit(o, "   p50 ");
    print_time(o, s->p50_ns);
    out_lit(o, "   p99 ");
    print_time(o, s->p99_ns);
    out_lit(o, "   max ");
    print_time(o, s->max_ns);
    out_lit(o, "   failed ");
    print_count(o, s->failed);
    if (warmup)
        out_lit(o, "   warm-up");
}

/* ---- what the figures do not say ---- */

struct notes {
    char room[NOTES][240];
    unsigned n;
};

static void note(struct notes *t, const char *text) {
    if (t->n < NOTES)
        snprintf(t->room[t->n++], sizeof(t->room[0]), "%s", text);
}

static void collect_notes(struct notes *t, const struct bench_plan *p,
                          const struct bench_result *r) {
    double due = (double)r->due;
    char room[240];
    t->n = 0;
    if (!p->max && bench_was_limit(r)) {
        snprintf(
            room, sizeof(room),
            "the generator was the limit: %.2g %% of the requests were sent more than 1 ms late "
            "although a connection was free, and it took %.0f %% of its core; the latencies are "
            "its own too",
            due > 0 ? 100 * (double)r->late / due : 0, 100 * bench_busy(r));
        note(t, room);
    } else if (p->max && bench_busy(r) > 0.95) {
        note(t,
             "the generator was the limit: its core had nothing to spare; the server may do more");
    }
    if (!p->max && (double)r->queued > 0.01 * due) {
        snprintf(room, sizeof(room),
                 "%.2g %% of the requests waited more than 1 ms for a free connection: the server "
                 "is slower than "
                 "the rate, or --connections is too small",
                 100 * (double)r->queued / due);
        note(t, room);
    }
    if (r->unsent > 0)
        note(
            t,
            "what could not be sent until a second after the end counts with the wait that it had");
    if (r->answered > 0 && r->status[4] - r->limited > r->answered / 2)
        note(t, "most answers are 4xx: are host, path and credentials right?");
    if (r->answered > 0 && r->status[3] > r->answered / 2)
        note(t, "most answers are redirects, which are not followed");
    if (bench_stopped())
        note(t, "it was ended early");
}

/* ---- for people ---- */

static void add_times(struct table *t, const char *name, const struct bench_histogram *h) {
    char room[40];
    table_cell(t, TONE_PLAIN, "%s", name);
    for (size_t i = 0; i <= ARRAY_LEN(percentiles); i++) {
        struct out o = out_fixed(room, sizeof(room));
        print_time(&o, i < ARRAY_LEN(percentiles) ? bench_histogram_at(h, percentiles[i].share)
                                                  : h->max);
        table_cell(t, TONE_PLAIN, "%.*s", STR_FMT(out_done(&o)));
    }
}

static void print_latencies(struct ctl *c, const struct bench_result *r) {
    const char *heads[] = {"", "P50", "P90", "P99", "P99.9", "MAX"};
    struct table t;
    table_init(&t, heads, ARRAY_LEN(heads));
    add_times(&t, "latency", &r->latency);
    add_times(&t, "service", &r->service);
    table_print(&t, c);
}

static void comma(struct out *o, size_t before) {
    if (o->n > before)
        out_lit(o, ", ");
}

static void write_answers(struct out *o, const struct bench_result *r) {
    print_count(o, r->answered);
    size_t before = o->n;
    for (int i = 1; i < 6; i++)
        if (r->status[i] > 0) {
            out_str(o, o->n > before ? STR(", ") : STR(": "));
            out_fmt(o, "%dxx ", i);
            print_count(o, r->status[i]);
        }
}

static void write_errors(struct out *o, const struct bench_result *r) {
    size_t before = o->n;
    for (int i = 0; i < BENCH_ERRORS; i++)
        if (r->errors[i] > 0) {
            comma(o, before);
            print_count(o, r->errors[i]);
            out_fmt(o, " %s", bench_error_words[i]);
        }
    if (r->unsent > 0) {
        comma(o, before);
        print_count(o, r->unsent);
        out_lit(o, " never sent");
    }
    if (o->n == before)
        out_lit(o, "none");
}

static void write_reasons(struct out *o, const struct bench_result *r) {
    size_t before = o->n;
    for (int i = 1; i < REASONS; i++)
        if (r->reasons[i] > 0) {
            comma(o, before);
            out_fmt(o, "%s (%s) ", reasons[i].name, origin_names[reasons[i].origin]);
            print_count(o, r->reasons[i]);
        }
}

static void line(struct ctl *c, enum tone tone, const char *name, struct out *o) {
    if (o->n > 0)
        fprintf(c->out, "%-10s%s%.*s%s\n", name, tone_on(c, tone), STR_FMT(out_done(o)),
                tone_off(c));
    o->n = 0;
}

static void write_asked(struct out *o, const struct bench_plan *p, const struct bench_result *r) {
    if (p->max)
        out_lit(
            o, "as fast as answers come (closed loop: latencies are those of a client that waits)");
    else if (p->replay)
        out_lit(o, "at the times of the log");
    else
        print_rate(o, r->rate_asked);
    if (p->poisson && !p->max && !p->replay)
        out_lit(o, ", as independent users come (Poisson)");
}

static void write_load(struct out *o, const struct bench_plan *p, const struct bench_result *r) {
    out_fmt(o, "%u connection%s", p->connections, p->connections == 1 ? "" : "s");
    if (p->http2)
        out_fmt(o, " of %u stream%s", p->streams, p->streams == 1 ? "" : "s");
    out_fmt(o, ", HTTP/%s%s, ", p->http2 ? "2" : "1.1", p->tls ? " over TLS" : "");
    print_time(o, r->window_ns);
    if (p->mix->n_kinds > 1)
        out_fmt(o, ", %zu kinds of requests", p->mix->n_kinds);
    if (p->mix->left_out > 0) {
        out_lit(o, "; ");
        print_count(o, p->mix->left_out);
        out_lit(o, " lines of the log left out");
    }
}

void print_result(struct ctl *c, const char *where, const struct bench_plan *p,
                  const struct bench_result *r) {
    struct out o = out_heap(64 << 10);
    struct notes notes;
    bool bad = bench_failed(r) > 0;
    fprintf(c->out, "%s%s%s\n", tone_on(c, TONE_HEAD), where, tone_off(c));
    write_load(&o, p, r);
    line(c, TONE_PLAIN, "load", &o);
    write_asked(&o, p, r);
    line(c, TONE_PLAIN, "asked", &o);
    print_rate(&o, bench_reached(r));
    line(c, TONE_PLAIN, "reached", &o);
    fputc('\n', c->out);
    print_latencies(c, r);
    fputc('\n', c->out);
    write_answers(&o, r);
    line(c, TONE_PLAIN, "answers", &o);
    write_reasons(&o, r);
    line(c, TONE_BAD, "reasons", &o);
    write_errors(&o, r);
    line(c, bad ? TONE_BAD : TONE_PLAIN, "errors", &o);
    print_bytes(&o, r->bytes_in);
    out_lit(&o, " in, ");
    print_bytes(&o, r->bytes_out);
    out_lit(&o, " out");
    line(c, TONE_PLAIN, "bytes", &o);
    out_fmt(&o, "%.0f %% of a core", 100 * bench_busy(r));
    if (r->connects > 0) {
        out_lit(&o, ", ");
        print_count(&o, r->connects);
        out_lit(&o, " connections made anew");
    }
    line(c, TONE_PLAIN, "generator", &o);
    collect_notes(&notes, p, r);
    for (unsigned i = 0; i < notes.n; i++)
        fprintf(c->out, "%s%-10s%s%s\n", tone_on(c, TONE_WARN), "note", notes.room[i], tone_off(c));
    out_fini(&o);
}

/* ---- for machines ---- */

static void number(cJSON *to, const char *name, double v) {
    cJSON_AddItemToObject(to, name, cJSON_CreateNumber(v));
}

double doc_seconds(uint64_t ns) { return trunc((double)ns / 1000) / 1e6; }

static cJSON *doc_of_times(const struct bench_histogram *h) {
    cJSON *doc = cJSON_CreateObject();
    number(doc, "mean", doc_seconds((uint64_t)bench_histogram_mean(h)));
    for (size_t i = 0; i < ARRAY_LEN(percentiles); i++)
        number(doc, percentiles[i].name, doc_seconds(bench_histogram_at(h, percentiles[i].share)));
    number(doc, "max", doc_seconds(h->max));
    return doc;
}

/* [share, seconds]: steps of a hundredth up to 0.99, then finer ones up to 0.9999. */
static cJSON *doc_of_distribution(const struct bench_histogram *h) {
    cJSON *list = cJSON_CreateArray();
    for (unsigned i = 0; i <= 117; i++) {
        double share = i <= 99    ? i / 100.0
                       : i <= 108 ? 0.99 + (i - 99) / 1000.0
                                  : 0.999 + (i - 108) / 10000.0;
        double pair[] = {(double)(int64_t)(share * 10000 + 0.5) / 10000,
                         doc_seconds(bench_histogram_at(h, share))};
        cJSON_AddItemToArray(list, cJSON_CreateDoubleArray(pair, ARRAY_LEN(pair)));
    }
    return list;
}

static cJSON *doc_of_requests(const struct bench_result *r) {
    cJSON *doc = cJSON_CreateObject();
    number(doc, "due", (double)r->due);
    number(doc, "answered", (double)r->answered);
    number(doc, "unsent", (double)r->unsent);
    number(doc, "failed", (double)bench_failed(r));
    return doc;
}

static cJSON *doc_of_status(const struct bench_result *r) {
    static const char *const names[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    cJSON *doc = cJSON_CreateObject();
    for (int i = 2; i < 6; i++)
        number(doc, names[i], (double)r->status[i]);
    return doc;
}

static cJSON *doc_of_generator(const struct bench_plan *p, const struct bench_result *r) {
    cJSON *doc = cJSON_CreateObject();
    number(doc, "busy", (double)(int64_t)(bench_busy(r) * 1000 + 0.5) / 1000);
    number(doc, "late", (double)r->late);
    number(doc, "queued", (double)r->queued);
    cJSON_AddBoolToObject(doc, "limit", p->max ? bench_busy(r) > 0.95 : bench_was_limit(r));
    return doc;
}

static cJSON *doc_of_seconds(const struct bench_result *r) {
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < r->n_seconds; i++) {
        const struct bench_second *s = &r->seconds[i];
        cJSON *doc = cJSON_CreateObject();
        number(doc, "answered", (double)s->answered);
        number(doc, "failed", (double)s->failed);
        number(doc, "p50", doc_seconds(s->p50_ns));
        number(doc, "p99", doc_seconds(s->p99_ns));
        number(doc, "max", doc_seconds(s->max_ns));
        cJSON_AddItemToArray(list, doc);
    }
    return list;
}

static void add_load(cJSON *doc, const char *where, const struct bench_plan *p,
                     const struct bench_result *r) {
    cJSON *rate = cJSON_CreateObject();
    cJSON_AddStringToObject(doc, "url", where);
    cJSON_AddStringToObject(doc, "http", p->http2 ? "2" : "1.1");
    cJSON_AddBoolToObject(doc, "tls", p->tls != NULL);
    number(doc, "connections", p->connections);
    number(doc, "streams", p->streams);
    number(doc, "kinds", (double)p->mix->n_kinds);
    number(doc, "leftOut", (double)p->mix->left_out);
    number(doc, "seconds", doc_seconds(r->window_ns));
    if (p->max || p->replay)
        cJSON_AddStringToObject(rate, "asked", p->max ? "max" : "replay");
    else
        number(rate, "asked", r->rate_asked);
    number(rate, "reached", (double)(int64_t)(bench_reached(r) * 100 + 0.5) / 100);
    cJSON_AddItemToObject(doc, "rate", rate);
}

static void add_reasons(cJSON *doc, const struct bench_result *r) {
    cJSON *list = cJSON_AddObjectToObject(doc, "reasons");
    for (int i = 1; i < REASONS; i++)
        if (r->reasons[i] > 0)
            number(list, reasons[i].name, (double)r->reasons[i]);
}

cJSON *doc_of_result(const char *where, const struct bench_plan *p, const struct bench_result *r) {
    cJSON *doc = cJSON_CreateObject(), *errors, *bytes, *list;
    struct notes notes;
    add_load(doc, where, p, r);
    cJSON_AddItemToObject(doc, "requests", doc_of_requests(r));
    cJSON_AddItemToObject(doc, "latency", doc_of_times(&r->latency));
    cJSON_AddItemToObject(doc, "service", doc_of_times(&r->service));
    cJSON_AddItemToObject(doc, "distribution", doc_of_distribution(&r->latency));
    cJSON_AddItemToObject(doc, "status", doc_of_status(r));
    add_reasons(doc, r);
    errors = cJSON_AddObjectToObject(doc, "errors");
    for (int i = 0; i < BENCH_ERRORS; i++)
        number(errors, bench_error_names[i], (double)r->errors[i]);
    bytes = cJSON_AddObjectToObject(doc, "bytes");
    number(bytes, "in", (double)r->bytes_in);
    number(bytes, "out", (double)r->bytes_out);
    number(doc, "reconnects", (double)r->connects);
    cJSON_AddItemToObject(doc, "generator", doc_of_generator(p, r));
    cJSON_AddItemToObject(doc, "perSecond", doc_of_seconds(r));
    list = cJSON_AddArrayToObject(doc, "notes");
    collect_notes(&notes, p, r);
    for (unsigned i = 0; i < notes.n; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(notes.room[i]));
    return doc;
}
