/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/main_report.h"

#include "controller/status/status.h"
#include "lib/live.h"

#include <time.h>

/* ---- proxies ---- */

struct listing {
    struct out *o;
    bool first;
    const struct live *live;
    uint64_t now_ms; /* monotonic */
};

static void json_proxy(void *arg, const struct push_proxy *p) {
    struct listing *l = arg;
    struct out *o = l->o;
    out_str(o, l->first ? STR("{\"name\":") : STR(",\n{\"name\":"));
    l->first = false;
    out_json(o, str_of(p->name));
    out_lit(o, ",\"address\":");
    out_json(o, str_of(p->address));
    out_fmt(o, ",\"ready\":%s,\"current\":%s,\"behind\":%s,\"follows\":%s",
            p->ready ? "true" : "false", p->current ? "true" : "false",
            p->behind ? "true" : "false", p->follows ? "true" : "false");
    out_lit(o, ",\"revision\":\"");
    out_hex(o, p->revision, 16);
    out_lit(o, "\",\"version\":");
    out_json(o, str_of(p->version));
    if (l->live)
        out_fmt(o, ",\"live\":%s", live_tells(l->live, p->id, l->now_ms) ? "true" : "false");
    out_fmt(o, ",\"lag_ms\":%llu,\"linked_ms\":%lld,\"acked_ms\":%lld,\"pending\":%zu",
            (unsigned long long)p->waits_ms, (long long)p->linked_ms, (long long)p->acked_ms,
            p->pending);
    out_fmt(o, ",\"requests_per_second\":%llu.%03llu,\"gateway_p99_us\":%llu",
            (unsigned long long)p->requests_milli / 1000,
            (unsigned long long)p->requests_milli % 1000, (unsigned long long)p->gateway_p99_us);
    out_fmt(
        o, ",\"connections\":%llu,\"active_requests\":%llu,\"requests\":%llu,\"memory_bytes\":%llu",
        (unsigned long long)p->connections, (unsigned long long)p->active_requests,
        (unsigned long long)p->requests_total, (unsigned long long)p->memory_bytes);
    if (p->nack[0]) {
        out_lit(o, ",\"nack\":");
        out_json(o, str_of(p->nack));
    }
    out_char(o, '}');
}

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void report_proxies(struct turn *t, const struct live *live, struct out *o) {
    struct listing l = {o, true, live, now_ms()};
    out_char(o, '[');
    push_each(turn_push(t), json_proxy, &l);
    out_char(o, ']');
}

/* ---- what is refused ---- */

struct refusals {
    struct out *o;
    const struct compiler *compiler;
    size_t n;
};

static void json_refused(void *arg, const struct resource *r, const char *reason) {
    struct refusals *l = arg;
    char room[2048];
    struct out sentence = out_fixed(room, sizeof(room));
    if (l->n++ >= REPORT_REFUSED)
        return;
    const struct compile_status *s = compile_status(l->compiler, r);
    const struct why *why = s ? s->conditions[CONDITION_ACCEPTED].why : NULL;
    if (why || r->refused)
        why_print(why ? why : r->refused, &sentence);
    out_str(l->o, l->n > 1 ? STR(",\n{\"kind\":") : STR("{\"kind\":"));
    out_json(l->o, str_of(kube_kinds[r->kind].kind));
    out_lit(l->o, ",\"namespace\":");
    out_json(l->o, r->meta.namespace);
    out_lit(l->o, ",\"name\":");
    out_json(l->o, r->meta.name);
    out_lit(l->o, ",\"reason\":");
    out_json(l->o, str_of(reason));
    out_lit(l->o, ",\"message\":");
    out_json(l->o, out_done(&sentence));
    out_fmt(l->o, ",\"held\":%s}", s && s->held ? "true" : "false");
}

void report_refused(struct turn *t, const struct store *s, size_t *n, struct out *o) {
    struct refusals l = {o, turn_compiler(t), 0};
    out_char(o, '[');
    status_refused(s, l.compiler, json_refused, &l);
    out_char(o, ']');
    *n = l.n;
}

/* ---- metrics ---- */

struct states {
    uint64_t current, waiting, behind, starting;
};

static void count_state(void *arg, const struct push_proxy *p) {
    struct states *s = arg;
    uint64_t *n = p->behind    ? &s->behind
                  : !p->ready  ? &s->starting
                  : p->current ? &s->current
                               : &s->waiting;
    ++*n;
}

static void proxies(struct turn *t, struct metric_text *m) {
    struct states s = {0};
    push_each(turn_push(t), count_state, &s);
    const struct {
        const char *name;
        uint64_t n;
    } rows[] = {{"current", s.current},
                {"waiting", s.waiting},
                {"behind", s.behind},
                {"starting", s.starting}};
    metric_family(
        m, METRIC_GAUGE, "sluice_controller_proxies",
        "Linked proxies by state: current serves the wanted configuration, waiting has it "
        "on its way, behind has not acked for 10 s, starting serves nothing yet.");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char room[64];
        struct out labels = out_fixed(room, sizeof(room));
        metric_label(&labels, "state", str_of(rows[i].name));
        metric_count(m, out_done(&labels), rows[i].n);
    }
}

static void refused_row(void *arg, const struct resource *r, const char *reason) {
    struct metric_text *m = arg;
    char room[1024];
    struct out labels = out_fixed(room, sizeof(room));
    metric_label(&labels, "kind", str_of(kube_kinds[r->kind].kind));
    metric_label(&labels, "namespace", r->meta.namespace);
    metric_label(&labels, "name", r->meta.name);
    metric_label(&labels, "reason", str_of(reason));
    metric_count(m, out_done(&labels), 1);
}

static void one(struct metric_text *m, enum metric_type type, const char *name, const char *help,
                uint64_t v) {
    metric_family(m, type, name, help);
    metric_count(m, STR_NONE, v);
}

static void resources(const struct store *s, struct metric_text *m) {
    metric_family(m, METRIC_GAUGE, "sluice_controller_watch_resources",
                  "Resources that are known, by kind.");
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++) {
        char room[64];
        struct out labels = out_fixed(room, sizeof(room));
        metric_label(&labels, "kind", str_of(kube_kinds[k].kind));
        metric_count(m, out_done(&labels), store_count(s, k));
    }
}

void report_metrics(struct turn *t, const struct store *s, struct metric_text *m) {
    const struct turn_numbers *n = turn_numbers(t);
    resources(s, m);
    one(m, METRIC_COUNTER, "sluice_controller_compile_runs", "Runs of the compiler.", n->runs);
    one(m, METRIC_COUNTER, "sluice_controller_compile_units", "Units compiled.", n->units);
    metric_family(m, METRIC_HISTOGRAM, "sluice_controller_compile_seconds",
                  "Time of one run of the compiler.");
    metric_histogram(m, STR_NONE, &histogram_gateway, &n->compile);
    metric_family(m, METRIC_HISTOGRAM, "sluice_controller_push_seconds",
                  "Time to publish a new wanted state.");
    metric_histogram(m, STR_NONE, &histogram_gateway, &n->push);
    metric_family(m, METRIC_HISTOGRAM, "sluice_controller_propagation_seconds",
                  "From the change of a resource until every ready proxy serves it.");
    metric_histogram(m, STR_NONE, &histogram_gateway, &n->propagation);
    one(m, METRIC_COUNTER, "sluice_controller_push_objects", "Objects put to the proxies.",
        n->puts);
    one(m, METRIC_COUNTER, "sluice_controller_push_deletions", "Objects taken away.", n->dels);
    one(m, METRIC_COUNTER, "sluice_controller_push_bytes", "Bytes sent to the proxies.",
        push_sent_bytes(turn_push(t)));
    one(m, METRIC_COUNTER, "sluice_controller_push_nacks", "Transactions that a proxy refused.",
        n->nacks);
    one(m, METRIC_GAUGE, "sluice_controller_config_objects", "Objects that proxies should serve.",
        push_count(turn_push(t)));
    proxies(t, m);
    metric_family(m, METRIC_GAUGE, "sluice_controller_refused",
                  "Resources that are refused, with the reason.");
    status_refused(s, turn_compiler(t), refused_row, m);
}
