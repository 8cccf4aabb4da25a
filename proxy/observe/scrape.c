/* SPDX-License-Identifier: Apache-2.0
 *
 * /metrics: one family after the other, each over all rules that have counters. Nothing is kept
 * between two scrapes. Main thread.
 */
#include "proxy/observe/sum.h"

#include <stdio.h>
#include <unistd.h>

enum { LABELS_MAX = 4096 };

struct scrape {
    const struct observe *o;
    struct metric_text t;
    struct out labels; /* of the sample that is being written */
    size_t base;       /* how much of it is the route's or backend's own */
    struct sum_slots routes, backends, policies;
    struct { /* whose counters are written */
        uint32_t slot;
        uint64_t identity; /* 0: other, or none */
        size_t special;    /* offset of those */
    } rule;
    char room[LABELS_MAX];
};

static void labels_new(struct scrape *s) {
    s->labels = out_fixed(s->room, sizeof(s->room));
    s->base = 0;
}

static struct str labels(const struct scrape *s) { return out_done(&s->labels); }

/* The base with one label more; the next call replaces it. */
static struct str labels_with(struct scrape *s, const char *name, struct str value) {
    s->labels.n = s->base;
    metric_label(&s->labels, name, value);
    return labels(s);
}

static struct str label(struct scrape *s, const char *name, struct str value) {
    labels_new(s);
    return labels_with(s, name, value);
}

/* ---- over all rules ---- */

static void labels_route(struct scrape *s, struct str ns, struct str route, struct str rule) {
    labels_new(s);
    metric_label(&s->labels, "namespace", ns);
    metric_label(&s->labels, "route", route);
    metric_label(&s->labels, "rule", rule);
    s->base = s->labels.n;
}

static void special(struct scrape *s, size_t offset, struct str name,
                    void (*write)(struct scrape *s, const struct route_counts *c)) {
    struct route_counts sum;
    s->rule.identity = 0, s->rule.special = offset;
    sum_special(s->o, offset, &sum);
    if (codes_total(&sum.codes) == 0 && sum.main.cpu_ns == 0)
        return;
    labels_route(s, STR(""), name, STR(""));
    write(s, &sum);
}

static void each_route(struct scrape *s,
                       void (*write)(struct scrape *s, const struct route_counts *c)) {
    struct route_counts sum;
    const struct snapshot *law = s->o->snapshot;
    for (uint32_t i = 0; i < s->routes.n; i++) {
        const struct rule *r = snapshot_rule(law, s->routes.slot[i]);
        if (!r || !sum_route(s->o, s->routes.slot[i], r->id_hash, &sum))
            continue;
        s->rule.slot = s->routes.slot[i], s->rule.identity = r->id_hash;
        labels_route(s, r->model->namespace, r->model->name, r->model->rule);
        write(s, &sum);
    }
    special(s, offsetof(struct observe_worker, other), STR("other"), write);
    special(s, offsetof(struct observe_worker, none), STR("none"), write);
}

static void write_codes(struct scrape *s, const struct code_counts *c) {
    static const char *const classes[CODE_CLASSES] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
    for (unsigned i = 0; i < CODES_EXACT && c->code[i]; i++) {
        char code[8];
        int n = snprintf(code, sizeof(code), "%u", c->code[i]);
        metric_count(&s->t, labels_with(s, "code", str_mk(code, (size_t)n)), c->n[i]);
    }
    for (unsigned i = 0; i < CODE_CLASSES; i++)
        if (c->by_class[i] > 0)
            metric_count(&s->t, labels_with(s, "code", str_of(classes[i])), c->by_class[i]);
}

static void write_requests(struct scrape *s, const struct route_counts *c) {
    write_codes(s, &c->codes);
}

static void write_errors(struct scrape *s, const struct route_counts *c) {
    for (unsigned i = 0; i < REASONS; i++) {
        if (c->reasons[i] == 0)
            continue;
        s->labels.n = s->base;
        metric_label(&s->labels, "origin", str_of(origin_names[reasons[i].origin]));
        metric_label(&s->labels, "reason", str_of(reasons[i].name));
        metric_count(&s->t, labels(s), c->reasons[i]);
    }
}

static void write_histogram(struct scrape *s, const struct histogram_scale *scale,
                            const struct histogram *h, enum exemplar_of of) {
    struct exemplar seen[HISTOGRAM_BOUNDS + 1];
    bool any =
        s->t.openmetrics &&
        (s->rule.identity != 0 ? sum_exemplars_route(s->o, s->rule.slot, s->rule.identity, of, seen)
                               : sum_exemplars_special(s->o, s->rule.special, of, seen));
    metric_histogram_seen(&s->t, labels(s), scale, h, any ? seen : NULL);
}

static void write_duration(struct scrape *s, const struct route_counts *c) {
    write_histogram(s, &histogram_requests, &c->duration, EXEMPLAR_DURATION);
}
static void write_gateway(struct scrape *s, const struct route_counts *c) {
    write_histogram(s, &histogram_gateway, &c->gateway, EXEMPLAR_GATEWAY);
}
static void write_upstream(struct scrape *s, const struct route_counts *c) {
    if (histogram_count(&c->upstream) > 0)
        write_histogram(s, &histogram_requests, &c->upstream, EXEMPLAR_UPSTREAM);
}
#define COUNTER(name, family, help, value)                                                         \
    static void write_##name(struct scrape *s, const struct route_counts *c) {                     \
        metric_count(&s->t, labels(s), c->name);                                                   \
    }
#include "proxy/observe/route_counters.def"
#undef COUNTER
static void write_cpu(struct scrape *s, const struct route_counts *c) {
    metric_seconds(&s->t, labels(s), c->main.cpu_ns);
}

static void write_route_info(struct scrape *s) {
    const struct snapshot *law = s->o->snapshot;
    struct route_counts sum;
    for (uint32_t i = 0; i < s->routes.n; i++) {
        const struct rule *r = snapshot_rule(law, s->routes.slot[i]);
        if (!r || !sum_route(s->o, s->routes.slot[i], r->id_hash, &sum))
            continue;
        labels_route(s, r->model->namespace, r->model->name, r->model->rule);
        metric_count(&s->t, labels_with(s, "team", r->model->team), 1);
    }
}

static void write_routes(struct scrape *s) {
    static const struct {
        enum metric_type type;
        const char *name, *help;
        void (*write)(struct scrape *s, const struct route_counts *c);
    } families[] = {
        {METRIC_COUNTER, "sluice_requests", "Requests answered, by the code that the client got.",
         write_requests},
        {METRIC_COUNTER, "sluice_request_errors",
         "Answers that were not the upstream's own, by whose fault and why.", write_errors},
        {METRIC_HISTOGRAM, "sluice_request_duration_seconds",
         "First byte of the request to last byte of the response.", write_duration},
        {METRIC_HISTOGRAM, "sluice_gateway_duration_seconds",
         "The part of a request's duration that is the gateway's own.", write_gateway},
        {METRIC_HISTOGRAM, "sluice_upstream_duration_seconds",
         "Request sent to response head, of the last attempt.", write_upstream},
#define COUNTER(name, family, help, value) {METRIC_COUNTER, family, help, write_##name},
#include "proxy/observe/route_counters.def"
#undef COUNTER
        {METRIC_COUNTER, "sluice_cpu_seconds",
         "CPU time of the workers, divided by the work that was counted.", write_cpu},
    };
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        metric_family(&s->t, families[i].type, families[i].name, families[i].help);
        each_route(s, families[i].write);
    }
    metric_family(&s->t, METRIC_INFO, "sluice_route", "The team of a rule's object.");
    write_route_info(s);
}

/* ---- over all backends ---- */

static void labels_backend(struct scrape *s, struct str name) {
    labels_new(s);
    metric_label(&s->labels, "backend", name);
    s->base = s->labels.n;
}

static void each_backend(struct scrape *s,
                         void (*write)(struct scrape *s, const struct backend_counts *c)) {
    struct backend_counts sum;
    const struct snapshot *law = s->o->snapshot;
    for (uint32_t i = 0; i < s->backends.n; i++) {
        const struct backend *b = snapshot_backend(law, s->backends.slot[i]);
        if (!b || !sum_backend(s->o, s->backends.slot[i], b->id_hash, &sum))
            continue;
        labels_backend(s, b->name);
        write(s, &sum);
    }
    sum_other_backends(s->o, &sum);
    if (sum.requests[0] + sum.requests[1] + sum.opened > 0) {
        labels_backend(s, STR("other"));
        write(s, &sum);
    }
}

static void write_responses(struct scrape *s, const struct backend_counts *c) {
    write_codes(s, &c->codes);
}
static void write_response_time(struct scrape *s, const struct backend_counts *c) {
    metric_histogram(&s->t, labels(s), &histogram_requests, &c->duration);
}
static void write_open(struct scrape *s, const struct backend_counts *c) {
    metric_count(&s->t, labels(s), c->opened > c->closed ? c->opened - c->closed : 0);
}
static void write_connects(struct scrape *s, const struct backend_counts *c) {
    metric_count(&s->t, labels(s), c->connects);
}
/* Nothing of backends without TLS. */
static void write_handshakes(struct scrape *s, const struct backend_counts *c) {
    static const char *const results[OBSERVE_HANDSHAKES] = {"full", "resumed", "failed"};
    uint64_t all = 0;
    for (unsigned i = 0; i < OBSERVE_HANDSHAKES; i++)
        all += c->handshakes[i];
    for (unsigned i = 0; all > 0 && i < OBSERVE_HANDSHAKES; i++)
        metric_count(&s->t, labels_with(s, "result", str_of(results[i])), c->handshakes[i]);
}
static void write_upstream_requests(struct scrape *s, const struct backend_counts *c) {
    metric_count(&s->t, labels_with(s, "reused", STR("false")), c->requests[0]);
    metric_count(&s->t, labels_with(s, "reused", STR("true")), c->requests[1]);
}

static void write_backends(struct scrape *s) {
    static const struct {
        enum metric_type type;
        const char *name, *help;
        void (*write)(struct scrape *s, const struct backend_counts *c);
    } families[] = {
        {METRIC_COUNTER, "sluice_upstream_responses", "Answers of a backend, by its code.",
         write_responses},
        {METRIC_HISTOGRAM, "sluice_upstream_response_seconds",
         "Request sent to response head, by backend.", write_response_time},
        {METRIC_GAUGE, "sluice_upstream_connections", "Open connections to a backend.", write_open},
        {METRIC_COUNTER, "sluice_upstream_tls_handshakes",
         "TLS handshakes with endpoints of a backend, by how they ended.", write_handshakes},
        {METRIC_COUNTER, "sluice_upstream_connects", "Connections that requests made new.",
         write_connects},
        {METRIC_COUNTER, "sluice_upstream_requests",
         "Requests that a backend was asked, by whether the connection was used before.",
         write_upstream_requests},
    };
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        metric_family(&s->t, families[i].type, families[i].name, families[i].help);
        each_backend(s, families[i].write);
    }
}

/* ---- over all policies ---- */

/* The base is the policy's own. False: it has no such method. */
static bool labels_method(struct scrape *s, const struct auth_law *law, unsigned method) {
    labels_new(s);
    metric_label(&s->labels, "policy", law ? law->name : STR("other"));
    if (method < AUTH_METHODS_MAX && (!law || method >= law->n_methods))
        return false;
    metric_label(&s->labels, "method",
                 method < AUTH_METHODS_MAX ? law->methods[method].model->name : STR(""));
    s->base = s->labels.n;
    return true;
}

static void write_decisions(struct scrape *s, const struct auth_law *law,
                            const struct policy_counts *c) {
    for (unsigned i = 0; i <= AUTH_METHODS_MAX; i++) {
        if (!labels_method(s, law, i))
            continue;
        for (unsigned d = 0; d < RECORD_DECISIONS; d++)
            if (c->by_method[i].decisions[d] > 0)
                metric_count(&s->t, labels_with(s, "result", str_of(record_decisions[d])),
                             c->by_method[i].decisions[d]);
    }
}

static void write_waits(struct scrape *s, const struct auth_law *law,
                        const struct policy_counts *c) {
    for (unsigned i = 0; i <= AUTH_METHODS_MAX; i++)
        if (labels_method(s, law, i) && histogram_count(&c->by_method[i].waits) > 0)
            metric_histogram(&s->t, labels(s), &histogram_requests, &c->by_method[i].waits);
}

static void each_policy(struct scrape *s,
                        void (*write)(struct scrape *s, const struct auth_law *law,
                                      const struct policy_counts *c)) {
    struct policy_counts sum;
    const struct snapshot *law = s->o->snapshot;
    for (uint32_t i = 0; i < s->policies.n; i++) {
        const struct auth_law *a = snapshot_auth(law, s->policies.slot[i]);
        if (a && sum_policy(s->o, s->policies.slot[i], a->identity, &sum))
            write(s, a, &sum);
    }
    sum_other_policies(s->o, &sum);
    for (unsigned i = 0; i < AUTH_METHODS_MAX;
         i++) { /* of several: their methods are no longer told apart */
        for (unsigned d = 0; d < RECORD_DECISIONS; d++)
            sum.by_method[AUTH_METHODS_MAX].decisions[d] += sum.by_method[i].decisions[d];
        histogram_sum(&sum.by_method[AUTH_METHODS_MAX].waits, &sum.by_method[i].waits);
    }
    write(s, NULL, &sum);
}

static void write_policies(struct scrape *s) {
    metric_family(&s->t, METRIC_COUNTER, "sluice_auth_decisions",
                  "Requests that an AuthPolicy decided, by the method that knew the caller.");
    each_policy(s, write_decisions);
    metric_family(&s->t, METRIC_HISTOGRAM, "sluice_auth_duration_seconds",
                  "How long requests waited for what decides: a service, or a password's hash.");
    each_policy(s, write_waits);
}

/* ---- certificates ---- */

/* Above the budget they are one series: of the first that ends. */
static void write_certificates(struct scrape *s) {
    const struct snapshot *law = s->o->snapshot;
    uint64_t other = UINT64_MAX;
    metric_family(&s->t, METRIC_GAUGE, "sluice_certificate_expiry_timestamp_seconds",
                  "When a certificate that is shown here ends.");
    for (uint32_t slot = 0; law && slot < law->certificate_slots; slot++) {
        const struct certificate_law *c = snapshot_certificate(law, slot);
        if (!c)
            continue;
        if (slot >= s->o->budget) {
            other = c->model->not_after < other ? c->model->not_after : other;
            continue;
        }
        struct str secret = str_skip(c->id, sizeof("certificate/") - 1);
        metric_count(&s->t, label(s, "secret", secret), c->model->not_after);
    }
    if (other < UINT64_MAX)
        metric_count(&s->t, label(s, "secret", STR("other")), other);
}

/* ---- the process ---- */

static uint64_t resident_bytes(void) {
    unsigned long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void write_gauges(struct scrape *s) {
    static const struct {
        const char *family, *help, *kind;
    } gauges[OBSERVE_GAUGES] = {
        [OBSERVE_CLIENT_CONNECTIONS] = {"sluice_connections", "Open connections.", "client"},
        [OBSERVE_CLIENT_H2] = {"sluice_connections", NULL, "client_h2"},
        [OBSERVE_UPSTREAM_CONNECTIONS] = {"sluice_connections", NULL, "upstream"},
        [OBSERVE_UPSTREAM_IDLE] = {"sluice_connections", NULL, "upstream_idle"},
        [OBSERVE_STREAMS_ACTIVE] = {"sluice_streams", "Requests in progress.", "active"},
        [OBSERVE_STREAMS_TUNNELS] = {"sluice_streams", NULL, "tunnel"},
        [OBSERVE_STREAMS_WAITING] = {"sluice_streams", NULL, "waiting"},
        [OBSERVE_MEMORY_BUFFERS] = {"sluice_memory_bytes", "Memory by what it is for.", "buffers"},
        [OBSERVE_MEMORY_SPARE] = {"sluice_memory_bytes", NULL, "spare"},
    };
    for (unsigned i = 0; i < OBSERVE_GAUGES; i++) {
        uint64_t sum = 0;
        for (unsigned w = 0; w < s->o->n_workers; w++)
            sum += metric_get(&s->o->workers[w]->gauges[i]);
        if (gauges[i].help)
            metric_family(&s->t, METRIC_GAUGE, gauges[i].family, gauges[i].help);
        metric_count(&s->t, label(s, "kind", str_of(gauges[i].kind)), sum);
    }
    metric_count(&s->t, label(s, "kind", STR("resident")), resident_bytes());
}

static void write_workers(struct scrape *s) {
    metric_family(&s->t, METRIC_GAUGE, "sluice_loop_lag_seconds",
                  "Longest turn of a worker's loop in the last 15 seconds.");
    for (unsigned i = 0; i < s->o->n_workers; i++) {
        const struct observe_worker *w = s->o->workers[i];
        uint64_t max = metric_get(&w->lag_ns);
        for (unsigned k = 0; k < LAG_SECONDS; k++)
            max = w->lag_history[k] > max ? w->lag_history[k] : max;
        char number[16];
        int n = snprintf(number, sizeof(number), "%u", i);
        metric_seconds(&s->t, label(s, "worker", str_mk(number, (size_t)n)), max);
    }
    metric_process(&s->t, s->o->started_at_ns);
}

static void write_config(struct scrape *s) {
    const struct observe *o = s->o;
    char revision[17];
    struct out r = out_fixed(revision, sizeof(revision));
    out_hex(&r, o->revision, 16);
    metric_family(&s->t, METRIC_INFO, "sluice_config_revision",
                  "The configuration that is applied; the same on every proxy that is current.");
    metric_count(&s->t, label(s, "revision", out_done(&r)), 1);
    metric_family(&s->t, METRIC_GAUGE, "sluice_config_objects", "Objects of the configuration.");
    for (unsigned kind = 1; kind < MODEL_KINDS; kind++)
        metric_count(&s->t, label(s, "kind", str_of(model_kind_name((enum model_kind)kind))),
                     o->objects[kind]);
    metric_family(&s->t, METRIC_GAUGE, "sluice_config_apply_seconds",
                  "How long the last change took, from received to in use.");
    metric_seconds(&s->t, STR_NONE, o->apply_ns);
    metric_family(&s->t, METRIC_GAUGE, "sluice_config_age_seconds",
                  "Since a controller last said that this configuration is current.");
    if (o->current_at_ns > 0)
        metric_seconds(&s->t, STR_NONE, clock_ns(CLOCK_MONOTONIC) - o->current_at_ns);
    metric_family(&s->t, METRIC_COUNTER, "sluice_config_rejected",
                  "Objects that could not be used and were sent back.");
    metric_count(&s->t, STR_NONE, o->rejected);
}

static uint32_t named(const struct observe *o, uint32_t slots) {
    return slots < o->budget ? slots : o->budget;
}

static void find_slots(struct scrape *s) {
    const struct observe *o = s->o;
    if (!o->snapshot)
        return;
    s->routes = sum_slots_routes(o, named(o, o->snapshot->rule_slots));
    s->backends = sum_slots_backends(o, named(o, o->snapshot->backend_slots));
    s->policies = sum_slots_policies(o, named(o, o->snapshot->auth_slots));
}

void observe_scrape(struct observe *o, struct out *to, bool openmetrics) {
    struct scrape s = {.o = o};
    metric_begin(&s.t, to, openmetrics);
    find_slots(&s);
    write_routes(&s);
    write_backends(&s);
    write_policies(&s);
    write_certificates(&s);
    write_gauges(&s);
    write_workers(&s);
    write_config(&s);
    for (unsigned i = 0; i < o->n_sources; i++)
        o->sources[i].write(o->sources[i].arg, &s.t);
    metric_end(&s.t);
    sum_slots_free(&s.routes);
    sum_slots_free(&s.backends);
    sum_slots_free(&s.policies);
}
