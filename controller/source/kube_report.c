/* SPDX-License-Identifier: Apache-2.0
 *
 * report: what a kube source has to say of itself: faults in words, and metrics.
 */
#include "controller/source/kube_parts.h"

enum {
    NAME_FAULTS_MAX = 100, /* of what is read by name; one line says how many more */
    SLOW_MS = 3000,        /* a first list without a byte for so long is worth a word */
};

/* ---- words ---- */

/* "ServiceAccount sluice/sluice-controller", as the server's sentence names it. */
static void print_account(struct str sentence, struct out *o) {
    struct str rest = sentence, ns, name, prefix = STR("system:serviceaccount:");
    while (rest.n > 0 && !str_starts(rest, prefix))
        rest = str_skip(rest, 1);
    if (rest.n == 0) {
        out_lit(o, "its user");
        return;
    }
    rest = str_cut(str_skip(rest, prefix.n), ':', &ns);
    str_cut(rest, '"', &name);
    out_fmt(o, "ServiceAccount %.*s/%.*s", STR_FMT(ns), STR_FMT(name));
}

void report_grant(const char *verb, const struct kube_answer *a, struct out *o) {
    out_fmt(o, "; grant the verb %s to ", verb);
    print_account(str_of(a->why.text), o);
}

static void print_what(const struct reflector *r, struct out *o) {
    const struct kube_kind_info *i = r->what->info;
    out_fmt(o, "%s%s%s", i->plural, i->group[0] ? "." : "", i->group);
    if (r->what->selected)
        out_fmt(o, " with %s", r->what->selected);
    if (r->ns.n > 0)
        out_fmt(o, " in namespace %.*s", STR_FMT(r->ns));
    else if (i->scope == KUBE_NAMESPACED)
        out_lit(o, " in all namespaces");
}

void report_refusal(const struct reflector *r, const char *verb, const struct kube_answer *a,
                    struct out *o) {
    out_fmt(o, "cannot %s ", verb);
    print_what(r, o);
    out_fmt(o, ": %s", a->why.text);
    if (a->status == 403)
        report_grant(verb, a, o);
    else if (a->status == 404 && r->what->crd)
        out_fmt(o, "; install the CustomResourceDefinition %s.%s", r->what->info->plural,
                r->what->info->group);
}

static void tell_names(struct kube_source *s, void (*each)(void *arg, struct str fault),
                       void *arg) {
    size_t n = 0;
    for (struct map_slot *slot = NULL; (slot = map_next(&s->names, slot));) {
        const struct name *name = slot->value;
        if (name->fault && ++n <= NAME_FAULTS_MAX)
            each(arg, str_of(name->fault));
    }
    char room[64];
    struct out o = out_fixed(room, sizeof(room));
    out_fmt(&o, "and %zu more of what is read by name", n - size_min(n, NAME_FAULTS_MAX));
    if (n > NAME_FAULTS_MAX)
        each(arg, out_done(&o));
}

/* What the start waits for is not in the log: it is no fault yet. */
static void tell_slow(const struct reflector *r, void (*each)(void *arg, struct str fault),
                      void *arg) {
    char room[512];
    struct out o = out_fixed(room, sizeof(room));
    uint64_t ms = source_now() - r->began_ms;
    if (r->counts || !r->request || r->heard_ms >= r->began_ms || ms < SLOW_MS)
        return;
    out_lit(&o, "no answer yet to the list of ");
    print_what(r, &o);
    out_fmt(&o, ", for %llu s", (unsigned long long)(ms / 1000));
    each(arg, out_done(&o));
}

static void faults(struct source *base, void (*each)(void *arg, struct str fault), void *arg) {
    struct kube_source *s = (struct kube_source *)base;
    if (s->unreachable)
        each(arg, str_of(s->unreachable));
    list_each(it, &s->reflectors) {
        const struct reflector *r = list_entry(it, struct reflector, link);
        if (r->fault)
            each(arg, str_of(r->fault));
        else
            tell_slow(r, each, arg);
    }
    tell_names(s, each, arg);
}

static bool unread(const struct source *base) {
    const struct kube_source *s = (const struct kube_source *)base;
    for (const struct list *it = s->reflectors.next; it != &s->reflectors; it = it->next) {
        const struct reflector *r =
            list_entry((struct list *)(uintptr_t)it, struct reflector, link);
        if (r->what->root && !r->read)
            return true;
    }
    return false;
}

/* ---- metrics ---- */

struct row {
    const char *kind;
    struct reflect_counters n;
    uint64_t heard_ms; /* the one that was heard of longest ago */
};

static struct row *row_of(struct row *rows, size_t *n, const char *kind) {
    for (size_t i = 0; i < *n; i++)
        if (strcmp(rows[i].kind, kind) == 0)
            return &rows[i];
    rows[*n] = (struct row){.kind = kind, .heard_ms = NEVER};
    return &rows[(*n)++];
}

/* Namespaces, and two watches of one kind, are added up. */
static size_t add_up(const struct kube_source *s, struct row rows[KUBE_KINDS + 1]) {
    size_t n = 0;
    for (const struct list *it = s->reflectors.next; it != &s->reflectors; it = it->next) {
        const struct reflector *r =
            list_entry((struct list *)(uintptr_t)it, struct reflector, link);
        struct row *row = row_of(rows, &n, r->what->info->kind);
        row->n.events += r->n.events;
        row->n.lists += r->n.lists;
        row->n.bytes += r->n.bytes;
        row->n.failures += r->n.failures;
        row->n.foreign += r->n.foreign;
        row->heard_ms = r->heard_ms < row->heard_ms ? r->heard_ms : row->heard_ms;
    }
    return n;
}

static const struct {
    const char *name, *help;
    size_t offset;
} columns[] = {
    {"sluice_controller_watch_events", "Objects that lists and watches have told, by kind.",
     offsetof(struct reflect_counters, events)},
    {"sluice_controller_watch_lists", "Times that all of a kind was listed, the first one too.",
     offsetof(struct reflect_counters, lists)},
    {"sluice_controller_watch_bytes", "Bytes of lists and watches.",
     offsetof(struct reflect_counters, bytes)},
    {"sluice_controller_watch_failures", "Lists and watches that failed.",
     offsetof(struct reflect_counters, failures)},
    {"sluice_controller_watch_foreign", "Objects passed over: the class is another controller's.",
     offsetof(struct reflect_counters, foreign)},
};

static void one(struct metric_text *t, const char *name, const char *help, uint64_t v) {
    metric_family(t, METRIC_COUNTER, name, help);
    metric_count(t, STR_NONE, v);
}

static struct str label(const struct row *row, char room[64]) {
    struct out labels = out_fixed(room, 64);
    metric_label(&labels, "kind", str_of(row->kind));
    return out_done(&labels);
}

static void by_kind(const struct kube_source *s, struct metric_text *t) {
    struct row rows[KUBE_KINDS + 1];
    char room[64];
    size_t n = add_up(s, rows);
    uint64_t now = source_now();
    for (size_t c = 0; c < ARRAY_LEN(columns); c++) {
        metric_family(t, METRIC_COUNTER, columns[c].name, columns[c].help);
        for (size_t i = 0; i < n; i++) {
            const char *counters = (const char *)&rows[i].n;
            metric_count(t, label(&rows[i], room),
                         *(const uint64_t *)(const void *)(counters + columns[c].offset));
        }
    }
    metric_family(t, METRIC_GAUGE, "sluice_controller_watch_age_seconds",
                  "Since the last byte of a watch; a bookmark comes about every minute.");
    for (size_t i = 0; i < n; i++)
        if (rows[i].heard_ms > 0)
            metric_seconds(t, label(&rows[i], room), (now - rows[i].heard_ms) * 1000000);
}

static void metrics(struct source *base, struct metric_text *t) {
    struct kube_source *s = (struct kube_source *)base;
    const struct kube_client_counters *c = kube_client_counters(s->client);
    by_kind(s, t);
    one(t, "sluice_controller_watch_changes", "Resources that came or changed.", s->upserted);
    one(t, "sluice_controller_watch_deletions", "Resources that went.", s->deleted);
    one(t, "sluice_controller_watch_reads", "Reads of one resource by its name.", s->n_names.reads);
    one(t, "sluice_controller_watch_read_failures", "Reads by name that failed.",
        s->n_names.failures);
    one(t, "sluice_controller_api_requests", "Requests to the API server.", c->requests);
    one(t, "sluice_controller_api_failures", "Requests without an answer, or not 2xx.",
        c->failures);
    one(t, "sluice_controller_api_writes", "Requests that write.", c->writes);
    one(t, "sluice_controller_api_bytes", "Bytes received.", c->bytes);
}

const struct source_verbs kube_source_verbs = {faults, unread, metrics, kube_source_free};
