/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/l4/relay.h"

struct sums {
    struct str name;
    uint64_t accepted, open, received, sent, reasons[REASONS];
};

static void add(struct sums *s, const struct relay_counts *c) {
    uint64_t closed = counter_get(&c->closed), opened = counter_get(&c->opened);
    s->accepted += opened;
    s->open += opened > closed ? opened - closed : 0;
    s->received += counter_get(&c->received);
    s->sent += counter_get(&c->sent);
    for (unsigned i = 0; i < REASONS; i++)
        s->reasons[i] += counter_get(&c->reasons[i]);
}

static void add_named(struct sums *all, unsigned *n, const struct relay_counts *c) {
    struct str name = str_mk(c->name, c->name_n);
    unsigned i = 0;
    while (i < *n && !str_eq(all[i].name, name))
        i++;
    if (i == *n) {
        if (*n == RELAY_LISTENERS_MAX + 1)
            return;
        all[(*n)++] = (struct sums){.name = name};
    }
    add(&all[i], c);
}

static unsigned add_all(struct relay_env *const *envs, unsigned n, struct sums *all) {
    unsigned found = 0;
    for (unsigned w = 0; w < n; w++) {
        const struct relay_env *e = envs[w];
        uint64_t named = __atomic_load_n(&e->n_counts, __ATOMIC_ACQUIRE);
        for (uint64_t i = 0; i < named; i++)
            add_named(all, &found, &e->counts[i]);
        if (counter_get(&e->counts[RELAY_LISTENERS_MAX].opened) > 0)
            add_named(all, &found, &e->counts[RELAY_LISTENERS_MAX]);
    }
    return found;
}

static struct str label(char *room, size_t size, const struct sums *s, const char *reason) {
    struct out o = out_fixed(room, size);
    out_lit(&o, "listener=");
    out_json(&o, s->name);
    if (reason != NULL)
        out_fmt(&o, ",reason=\"%s\"", reason);
    return out_done(&o);
}

static void family(struct metric_text *t, const struct sums *all, unsigned n, const char *name,
                   const char *help, enum metric_type type, size_t field) {
    char room[256];
    metric_family(t, type, name, help);
    for (unsigned i = 0; i < n; i++)
        metric_count(t, label(room, sizeof(room), &all[i], NULL),
                     *(const uint64_t *)(const void *)((const char *)&all[i] + field));
}

static void errors(struct metric_text *t, const struct sums *all, unsigned n) {
    char room[256];
    metric_family(t, METRIC_COUNTER, "sluice_listener_connection_errors",
                  "Connections of TCP and TLS listeners that did not end by themselves, by why.");
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = REASON_NONE + 1; k < REASONS; k++)
            if (all[i].reasons[k] > 0)
                metric_count(t, label(room, sizeof(room), &all[i], reasons[k].name),
                             all[i].reasons[k]);
}

void relay_metrics(struct relay_env *const *envs, unsigned n, struct metric_text *t) {
    struct sums all[RELAY_LISTENERS_MAX + 1];
    unsigned found = add_all(envs, n, all);
    if (found == 0)
        return;
    family(t, all, found, "sluice_listener_accepted",
           "Connections to TCP and TLS listeners that were passed on, or should have been.",
           METRIC_COUNTER, offsetof(struct sums, accepted));
    family(t, all, found, "sluice_listener_connections", "Those of them that are open.",
           METRIC_GAUGE, offsetof(struct sums, open));
    family(t, all, found, "sluice_listener_received_bytes", "Bytes that their clients sent.",
           METRIC_COUNTER, offsetof(struct sums, received));
    family(t, all, found, "sluice_listener_sent_bytes", "Bytes that were sent to their clients.",
           METRIC_COUNTER, offsetof(struct sums, sent));
    errors(t, all, found);
}
