/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics into a bill: the text of proxies, and what a Prometheus answers.
 */
#include "ctl/cost.h"

#include "ctl/doc.h"
#include "ctl/fetch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the bill ---- */

void bill_init(struct bill *b) {
    *b = (struct bill){0};
    arena_init(&b->arena);
    map_init(&b->lines);
}

void bill_fini(struct bill *b) {
    map_fini(&b->lines);
    arena_fini(&b->arena);
}

struct cost_line *bill_line(struct bill *b, struct str namespace, struct str route) {
    struct str key = arena_fmt(&b->arena, "%.*s/%.*s", STR_FMT(namespace), STR_FMT(route));
    struct cost_line *line = map_get(&b->lines, key);
    if (line)
        return line;
    line = arena_alloc(&b->arena, sizeof(*line));
    *line = (struct cost_line){.namespace = arena_str(&b->arena, namespace),
                               .route = arena_str(&b->arena, route)};
    map_put(&b->lines, key, line);
    return line;
}

/* What the names of metrics stand for. */
enum what { OF_NOTHING, OF_REQUESTS, OF_CPU, OF_BYTES, OF_TEAM, OF_MEMORY, OF_PROCESS, OF_START };
static const struct {
    const char *name;
    enum what what;
} names[] = {
    {"sluice_requests_total", OF_REQUESTS},
    {"sluice_cpu_seconds_total", OF_CPU},
    {"sluice_request_bytes_total", OF_BYTES},
    {"sluice_response_bytes_total", OF_BYTES},
    {"sluice_route_info", OF_TEAM},
    {"sluice_memory_bytes", OF_MEMORY},
    {"process_cpu_seconds_total", OF_PROCESS},
    {"process_start_time_seconds", OF_START},
};

static enum what what_of(struct str name) {
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_of(names[i].name)))
            return names[i].what;
    return OF_NOTHING;
}

/* ---- the text format ---- */

struct sample {
    struct str name, namespace, route, team, kind;
    double value;
};

/* One label off the front of text; false: there is none. Names and teams have no quotes in them, so
 * a sample with a backslash is not one of those that count. */
static bool read_label(struct str *text, struct str *name, struct str *value) {
    struct str rest = str_cut(*text, '=', name);
    if (rest.n < 2 || rest.p[0] != '"')
        return false;
    size_t end = str_find(rest, '"', 1);
    *value = str_mk(rest.p + 1, end - 1);
    if (end == rest.n || str_find(*value, '\\', 0) < value->n)
        return false;
    rest = str_skip(rest, end + 1);
    *text = rest.n > 0 && rest.p[0] == ',' ? str_skip(rest, 1) : rest;
    return true;
}

static void keep_label(struct sample *s, struct str name, struct str value) {
    if (str_eq(name, STR("namespace")))
        s->namespace = value;
    else if (str_eq(name, STR("route")))
        s->route = value;
    else if (str_eq(name, STR("team")))
        s->team = value;
    else if (str_eq(name, STR("kind")))
        s->kind = value;
}

static bool read_number(struct str text, double *value) {
    char room[64], *end;
    if (text.n == 0 || text.n >= sizeof(room))
        return false;
    memcpy(room, text.p, text.n);
    room[text.n] = 0;
    *value = strtod(room, &end);
    return *end == 0 && isfinite(*value);
}

/* name{label="value",...} number */
static bool read_sample(struct str line, struct sample *s) {
    size_t brace = str_find(line, '{', 0), space = str_find(line, ' ', 0);
    *s = (struct sample){.name = str_mk(line.p, size_min(brace, space))};
    if (what_of(s->name) == OF_NOTHING)
        return false;
    if (brace > space)
        return read_number(str_skip(line, space + 1), &s->value);
    struct str rest = str_skip(line, brace + 1), name, value;
    while (rest.n > 0 && rest.p[0] != '}') {
        if (!read_label(&rest, &name, &value))
            return false;
        keep_label(s, name, value);
    }
    return rest.n > 2 && read_number(str_skip(rest, 2), &s->value);
}

static void use_add(struct usage *u, enum what what, double n, double rate) {
    u->requests += what == OF_REQUESTS ? n : 0;
    u->requests_rate += what == OF_REQUESTS ? rate : 0;
    u->cpu_s += what == OF_CPU ? n : 0;
    u->cpu_rate += what == OF_CPU ? rate : 0;
    u->bytes += what == OF_BYTES ? n : 0;
    u->bytes_rate += what == OF_BYTES ? rate : 0;
}

/* sign: 1 what it says now, -1 what it said before. half: of memory, when there are two. */
static void add_sample(struct bill *b, const struct sample *s, double sign, double seconds,
                       double half) {
    enum what what = what_of(s->name);
    double n = sign * s->value;
    switch (what) {
    case OF_REQUESTS:
    case OF_CPU:
    case OF_BYTES:
        use_add(&bill_line(b, s->namespace, s->route)->used, what, n, n / seconds);
        break;
    case OF_TEAM:
        bill_line(b, s->namespace, s->route)->team = arena_str(&b->arena, s->team);
        break;
    case OF_MEMORY:
        b->memory += str_eq(s->kind, STR("resident")) ? s->value * half : 0;
        break;
    case OF_PROCESS:
        b->process_cpu_s += n;
        b->process_cpu_rate += n / seconds;
        break;
    case OF_START:
    case OF_NOTHING:
        break;
    }
}

static void add_text(struct bill *b, struct str text, double sign, double seconds, double half) {
    struct sample s;
    struct str line;
    while (text.n > 0) {
        text = str_cut(text, '\n', &line);
        if (read_sample(line, &s))
            add_sample(b, &s, sign, seconds, half);
    }
}

void bill_add_proxy(struct bill *b, struct str now, struct str before, double seconds) {
    b->proxies++;
    b->seconds = seconds > b->seconds ? seconds : b->seconds;
    add_text(b, before, -1, seconds, 0.5);
    add_text(b, now, 1, seconds, before.n > 0 ? 0.5 : 1);
}

double metrics_uptime(struct str text) {
    struct timespec now;
    struct sample s;
    struct str line;
    clock_gettime(CLOCK_REALTIME, &now);
    while (text.n > 0) {
        text = str_cut(text, '\n', &line);
        if (read_sample(line, &s) && what_of(s.name) == OF_START)
            return (double)now.tv_sec + (double)now.tv_nsec / 1e9 - s.value;
    }
    return 0;
}

/* ---- a Prometheus ---- */

/* OF_PROXIES: others have metrics of their process too. */
#define SUM(name)        "sum by (namespace, route) (increase(" name "[T]))"
#define OF_PROXIES(expr) "sum(" expr " and on (job, instance) sluice_config_apply_seconds)"
static const struct {
    const char *query; /* [T]: the duration, [T:S]: and a hundredth of it */
    const char *name;  /* of the sample that it makes */
} queries[] = {
    {SUM("sluice_requests_total"), "sluice_requests_total"},
    {SUM("sluice_cpu_seconds_total"), "sluice_cpu_seconds_total"},
    {SUM("sluice_request_bytes_total"), "sluice_request_bytes_total"},
    {SUM("sluice_response_bytes_total"), "sluice_response_bytes_total"},
    {"max by (namespace, route, team) (last_over_time(sluice_route_info[T]))", "sluice_route_info"},
    {"avg_over_time(sum(sluice_memory_bytes{kind=\"resident\"})[T:S])", "sluice_memory_bytes"},
    {OF_PROXIES("increase(process_cpu_seconds_total[T])"), "process_cpu_seconds_total"},
};

/* {"metric":{...},"value":[time,"number"]} */
static bool sample_of_json(const cJSON *r, const char *name, struct sample *s) {
    const cJSON *labels = doc_each(r, "metric");
    const cJSON *value = cJSON_GetArrayItem(doc_each(r, "value"), 1);
    *s = (struct sample){.name = str_of(name),
                         .namespace = str_of(doc_get(labels, "namespace")),
                         .route = str_of(doc_get(labels, "route")),
                         .team = str_of(doc_get(labels, "team")),
                         .kind = STR("resident")};
    return cJSON_IsString(value) && read_number(str_of(value->valuestring), &s->value);
}

/* With the times in it. */
static const char *query_of(struct arena *a, const char *query, const char *over, double seconds) {
    struct str head, tail = str_cut(str_of(query), '[', &head);
    bool steps = str_starts(tail, STR("T:S]"));
    tail = str_skip(tail, steps ? 4 : 2);
    if (!steps)
        return arena_fmt(a, "%.*s[%s]%.*s", STR_FMT(head), over, STR_FMT(tail)).p;
    return arena_fmt(a, "%.*s[%s:%.0fs]%.*s", STR_FMT(head), over, ceil(seconds / 100),
                     STR_FMT(tail))
        .p;
}

static void add_answers(struct bill *b, const cJSON *doc, const char *name) {
    const cJSON *r;
    struct sample s;
    cJSON_ArrayForEach(r, doc_each(doc_each(doc, "data"), "result")) {
        if (sample_of_json(r, name, &s))
            add_sample(b, &s, 1, b->seconds, 1);
    }
}

enum ctl_exit bill_ask_prometheus(struct ctl *c, struct bill *b, const char *url,
                                  const char *over) {
    b->seconds = cost_seconds(over);
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        cJSON *doc;
        const char *query = query_of(&b->arena, queries[i].query, over, b->seconds);
        enum ctl_exit code = fetch_prometheus(c, url, query, &doc);
        if (code != CTL_OK)
            return code;
        add_answers(b, doc, queries[i].name);
        cJSON_Delete(doc);
    }
    return CTL_OK;
}

double cost_seconds(const char *text) {
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
    struct str t = str_of(text);
    uint64_t n;
    for (size_t i = 0; i < ARRAY_LEN(units) && t.n > 1; i++)
        if (t.p[t.n - 1] == units[i].unit && str_to_u64(str_mk(t.p, t.n - 1), 1000000, &n))
            return (double)(n * units[i].seconds);
    return 0;
}
