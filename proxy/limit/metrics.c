/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/limit/limit.h"

static void add_up(struct limit_sums *to, const struct limit_sums *s) {
    to->allowed += metric_get(&s->allowed);
    to->refused += metric_get(&s->refused);
    to->dry_refused += metric_get(&s->dry_refused);
    to->shared += metric_get(&s->shared);
}

/* What a worker empties meanwhile is another limit's: its identity is looked at before and after.
 */
void limit_sum(const struct limit_env *env, const struct limit_law *law, struct limit_sums *to) {
    struct limit_sums one = {0};
    if (law->slot >= LIMITS_MAX)
        return;
    const struct limit_sums *s = &env->sums[law->slot];
    bool ours = metric_get(&s->identity) == law->identity;
    add_up(&one, s);
    if (ours && metric_get(&s->identity) == law->identity)
        add_up(to, &one);
}

struct results {
    unsigned n;
    struct {
        const char *name; /* NULL: there is one alone */
        uint64_t n;
    } v[3];
};

static struct results decisions(const struct limit_sums *s) {
    return (struct results){
        3, {{"allowed", s->allowed}, {"refused", s->refused}, {"dry_refused", s->dry_refused}}};
}

static struct results shared(const struct limit_sums *s) {
    return (struct results){1, {{NULL, s->shared}}};
}

static void write_results(struct metric_text *t, struct str policy, struct str limit,
                          struct results r) {
    for (unsigned i = 0; i < r.n; i++) {
        char room[1024];
        struct out labels = out_fixed(room, sizeof(room));
        if (r.v[i].n == 0)
            continue;
        metric_label(&labels, "policy", policy);
        metric_label(&labels, "limit", limit);
        if (r.v[i].name)
            metric_label(&labels, "result", str_of(r.v[i].name));
        metric_count(t, out_done(&labels), r.v[i].n);
    }
}

static void write_family(const struct limit_env *const *envs, unsigned n, const struct snapshot *s,
                         struct results (*of)(const struct limit_sums *), struct metric_text *t) {
    struct limit_sums quotas = {0}, others = {0};
    for (uint32_t slot = 0; s && slot < s->limit_slots && slot < LIMITS_MAX; slot++) {
        const struct limit_law *law = snapshot_limit(s, slot);
        struct limit_sums one = {0};
        for (unsigned i = 0; law && i < n; i++)
            limit_sum(envs[i], law, &one);
        if (law)
            write_results(t, law->policy, law->name, of(&one));
    }
    for (unsigned i = 0; i < n; i++) {
        add_up(&quotas, &envs[i]->quotas);
        add_up(&others, &envs[i]->others);
    }
    write_results(t, STR("Consumer"), STR("rateLimit"), of(&quotas));
    write_results(t, STR("other"), STR("other"), of(&others));
}

void limit_metrics(const struct limit_env *const *envs, unsigned n, const struct snapshot *s,
                   struct metric_text *t) {
    metric_family(t, METRIC_COUNTER, "sluice_rate_limit_decisions",
                  "Requests that rate limits have decided on, by policy, limit and result.");
    write_family(envs, n, s, decisions, t);
    metric_family(t, METRIC_COUNTER, "sluice_rate_limit_shared",
                  "Of these, those that were counted together with other callers, for want of "
                  "places.");
    write_family(envs, n, s, shared, t);
}
