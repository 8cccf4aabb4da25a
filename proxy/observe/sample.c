/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/observe/sample.h"

#include "lib/arena.h"
#include "lib/live.h"
#include "lib/mem.h"
#include "proxy/observe/sum.h"

enum { WHOLES_MAX = 4 * LIVE_ASKED_MAX };

/* What a rule had counted when it was looked at last, all workers together. */
struct seen {
    uint64_t identity; /* 0: nothing */
    uint64_t work;
    uint64_t us[3];              /* duration, gateway, upstream */
    uint32_t requests, failures; /* modulo 2^32 */
    uint32_t whole;              /* its place in sample.wholes, if that is still its own */
};

/* All that a rule had counted then. */
struct whole {
    uint32_t slot;
    uint64_t identity, work; /* identity 0: nothing is here */
    struct route_counts counts;
};

/* A rule that was asked. */
struct asked {
    uint32_t slot, requests, failures;
    uint64_t us[3];
    uint64_t work; /* of seen, before */
};

/* The largest so far; a heap, the smallest of them first. */
struct top {
    uint32_t at[LIVE_ASKED_MAX]; /* in sample.asked */
    uint32_t score[LIVE_ASKED_MAX];
    size_t n, max;
};

struct sample {
    const struct observe *observe;
    uint64_t at_ns;
    struct seen *seen; /* by slot */
    uint32_t n_seen;
    struct asked *asked;
    size_t n_asked, cap_asked;
    struct whole *wholes; /* of the rules that were told last, and of some others */
    uint32_t n_wholes, cap_wholes, hand;
    struct route_counts none, other;
    uint64_t gateway[HISTOGRAM_BOUNDS + 1], reasons[REASONS];
    struct arena arena; /* of the message */
    struct wire_live message;
};

/* ---- which rules were asked ---- */

static bool page_used(const struct observe *o, uint32_t slot) {
    for (unsigned i = 0; i < o->n_workers; i++)
        if (__atomic_load_n(&o->workers[i]->routes.pages[slot >> PAGE_BITS], __ATOMIC_RELAXED))
            return true;
    return false;
}

static uint64_t work_at(const struct observe *o, uint32_t slot) {
    uint64_t work = 0;
    for (unsigned i = 0; i < o->n_workers; i++) {
        const struct block *b = slots_get(&o->workers[i]->routes, slot);
        if (b)
            work += metric_get(&container_of(b, struct route_counts, block)->work);
    }
    return work;
}

/* Answers of 500 and above. */
static uint64_t failures_of(const struct code_counts *c) {
    uint64_t n = metric_get(&c->by_class[5]);
    for (unsigned i = 0; i < CODES_EXACT; i++)
        if (__atomic_load_n(&c->code[i], __ATOMIC_RELAXED) >= 500)
            n += metric_get(&c->n[i]);
    return n;
}

static uint64_t requests_of(const struct histogram *h) {
    uint64_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(h->n); i++)
        n += metric_get(&h->n[i]);
    return n;
}

/* What a rule has counted by now. A worker that empties the block meanwhile makes it less than
 * before, or nothing, and the next time right. */
static struct seen look(const struct observe *o, uint32_t slot, uint64_t identity) {
    struct seen now = {.identity = identity};
    for (unsigned i = 0; i < o->n_workers; i++) {
        struct block *b = slots_get(&o->workers[i]->routes, slot);
        if (!b || metric_get(&b->identity) != identity)
            continue;
        const struct route_counts *c = container_of(b, struct route_counts, block);
        now.requests += (uint32_t)requests_of(&c->duration);
        now.failures += (uint32_t)failures_of(&c->codes);
        now.us[0] += metric_get(&c->duration.sum_ns) / 1000;
        now.us[1] += metric_get(&c->gateway.sum_ns) / 1000;
        now.us[2] += metric_get(&c->upstream.sum_ns) / 1000;
    }
    return now;
}

static uint64_t more(uint64_t now, uint64_t before) { return now > before ? now - before : 0; }

static void note(struct sample *s, uint32_t slot, const struct seen *now,
                 const struct seen *before) {
    struct asked a = {.slot = slot,
                      .requests = now->requests - before->requests,
                      .failures = now->failures - before->failures,
                      .work = before->work};
    if ((int32_t)a.requests <= 0 || (int32_t)a.failures < 0)
        return;
    for (unsigned i = 0; i < ARRAY_LEN(a.us); i++)
        a.us[i] = more(now->us[i], before->us[i]);
    if (s->n_asked == s->cap_asked) {
        s->cap_asked = s->cap_asked ? 2 * s->cap_asked : 256;
        s->asked = mem_realloc(s->asked, s->cap_asked * sizeof(*s->asked));
    }
    s->asked[s->n_asked++] = a;
}

static void look_at(struct sample *s, uint32_t slot) {
    struct seen *before = &s->seen[slot];
    uint64_t work = work_at(s->observe, slot);
    if (work == before->work)
        return;
    const struct rule *r = snapshot_rule(s->observe->snapshot, slot);
    if (!r)
        return;
    struct seen now = look(s->observe, slot, r->id_hash), nothing = {0};
    if (before->identity == r->id_hash && now.requests == before->requests)
        return; /* one is just being counted, or a tunnel has ended: the next time tells */
    now.work = work;
    now.whole = before->whole;
    note(s, slot, &now, before->identity == r->id_hash ? before : &nothing);
    *before = now;
}

static void look_at_all(struct sample *s) {
    const struct observe *o = s->observe;
    uint32_t slots = o->snapshot ? o->snapshot->rule_slots : 0;
    uint32_t top = slots < o->budget ? slots : o->budget;
    s->n_asked = 0;
    if (top > s->n_seen) {
        s->seen = mem_realloc(s->seen, top * sizeof(*s->seen));
        memset(&s->seen[s->n_seen], 0, (top - s->n_seen) * sizeof(*s->seen));
        s->n_seen = top;
    }
    for (uint32_t slot = 0; slot < top; slot++) {
        if (slot % PAGE_SLOTS == 0 && !page_used(o, slot))
            slot += PAGE_SLOTS - 1;
        else
            look_at(s, slot);
    }
}

/* ---- the largest of them ---- */

static void top_swap(struct top *t, size_t a, size_t b) {
    uint32_t at = t->at[a], score = t->score[a];
    t->at[a] = t->at[b], t->score[a] = t->score[b];
    t->at[b] = at, t->score[b] = score;
}

static void top_sink(struct top *t) {
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < t->n; child++)
            least = t->score[child] < t->score[least] ? child : least;
        if (least == i)
            return;
        top_swap(t, i, least);
        i = least;
    }
}

static void top_add(struct top *t, uint32_t at, uint32_t score) {
    if (score == 0 || t->max == 0)
        return;
    if (t->n < t->max) {
        size_t i = t->n++;
        t->at[i] = at, t->score[i] = score;
        for (; i > 0 && t->score[i] < t->score[(i - 1) / 2]; i = (i - 1) / 2)
            top_swap(t, i, (i - 1) / 2);
    } else if (score > t->score[0]) {
        t->at[0] = at, t->score[0] = score;
        top_sink(t);
    }
}

/* ---- the message ---- */

struct buckets {
    struct wire_live_bucket *list;
    uint32_t n;
};

static struct buckets buckets_since(struct sample *s, const struct histogram_scale *scale,
                                    const uint64_t now[HISTOGRAM_BOUNDS + 1],
                                    const uint64_t before[HISTOGRAM_BOUNDS + 1]) {
    struct buckets b = {.list = arena_array(&s->arena, HISTOGRAM_BOUNDS + 1, sizeof(*b.list))};
    for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        uint64_t n = more(now[i], before[i]);
        uint64_t upto = i < HISTOGRAM_BOUNDS ? scale->bound_ns[i] / 1000 : 0;
        if (n > 0)
            b.list[b.n++] = (struct wire_live_bucket){upto, n};
    }
    return b;
}

/* The most frequent ones. The sum of those that are failures is returned. */
static uint64_t reasons_since(struct sample *s, struct wire_live_route *m,
                              const uint64_t now[REASONS], const uint64_t before[REASONS],
                              unsigned most) {
    uint64_t failures = 0;
    m->reasons = arena_array(&s->arena, most + 1, sizeof(*m->reasons));
    for (unsigned i = REASON_NONE + 1; i < REASONS; i++) {
        uint64_t n = more(now[i], before[i]);
        if (n == 0)
            continue;
        failures += reasons[i].status >= 500 ? n : 0;
        uint32_t at = m->n_reasons;
        for (; at > 0 && m->reasons[at - 1].n < n; at--)
            m->reasons[at] = m->reasons[at - 1];
        m->reasons[at] = (struct wire_live_reason){str_of(reasons[i].name),
                                                   str_of(origin_names[reasons[i].origin]), n};
        if (m->n_reasons < most)
            m->n_reasons++;
    }
    return failures;
}

static void whole_since(struct sample *s, struct wire_live_route *m, const struct route_counts *now,
                        const struct route_counts *before) {
    struct buckets total =
        buckets_since(s, &histogram_requests, now->duration.n, before->duration.n);
    struct buckets gateway =
        buckets_since(s, &histogram_gateway, now->gateway.n, before->gateway.n);
    struct buckets upstream =
        buckets_since(s, &histogram_requests, now->upstream.n, before->upstream.n);
    m->total = total.list, m->n_total = total.n;
    m->gateway = gateway.list, m->n_gateway = gateway.n;
    m->upstream = upstream.list, m->n_upstream = upstream.n;
    uint64_t ours = reasons_since(s, m, now->reasons, before->reasons, LIVE_REASONS);
    m->passed_on = more(m->failures, ours);
}

static void add_to(struct wire_live_route *m, const struct asked *a) {
    m->requests += a->requests;
    m->failures += a->failures;
    m->total_us += a->us[0];
    m->gateway_us += a->us[1];
    m->upstream_us += a->us[2];
}

/* What is kept of a rule; NULL: nothing that is of the same time as the rest. */
static struct whole *whole_of(struct sample *s, const struct asked *a, uint64_t identity) {
    uint32_t at = s->seen[a->slot].whole;
    struct whole *w = at < s->n_wholes ? &s->wholes[at] : NULL;
    return w && w->slot == a->slot && w->identity == identity && w->work == a->work ? w : NULL;
}

/* Room to keep it in: a new one, else another rule's, in turn. */
static struct whole *whole_new(struct sample *s, uint32_t slot) {
    uint32_t at = s->n_wholes < WHOLES_MAX ? s->n_wholes++ : s->hand++ % WHOLES_MAX;
    if (s->n_wholes > s->cap_wholes) {
        s->cap_wholes = s->cap_wholes ? 2 * s->cap_wholes : 64;
        s->wholes = mem_realloc(s->wholes, s->cap_wholes * sizeof(*s->wholes));
    }
    s->seen[slot].whole = at;
    return &s->wholes[at];
}

static void whole_keep(struct sample *s, struct whole *w, uint32_t slot, uint64_t identity,
                       const struct route_counts *counts) {
    w = w ? w : whole_new(s, slot);
    w->slot = slot;
    w->identity = identity;
    w->work = s->seen[slot].work;
    w->counts = *counts;
}

/* One of the largest rules. */
static void tell_rule(struct sample *s, struct wire_live_route *m, const struct asked *a) {
    static const struct route_counts nothing;
    const struct rule *r = snapshot_rule(s->observe->snapshot, a->slot);
    struct route_counts now;
    m->namespace = r->model->namespace;
    m->name = r->model->name;
    m->rule = r->model->rule;
    add_to(m, a);
    struct whole *before = whole_of(s, a, r->id_hash);
    if (!sum_route(s->observe, a->slot, r->id_hash, &now))
        return;
    if (before || a->work == 0)
        whole_since(s, m, &now, before ? &before->counts : &nothing);
    whole_keep(s, before, a->slot, r->id_hash, &now);
}

/* Requests of no rule, or of those without counters of their own; added to m. */
static void tell_special(struct sample *s, struct wire_live_route *m, size_t offset,
                         struct route_counts *before) {
    struct route_counts now;
    sum_special(s->observe, offset, &now);
    struct asked a = {
        .requests = (uint32_t)more(requests_of(&now.duration), requests_of(&before->duration)),
        .failures = (uint32_t)more(failures_of(&now.codes), failures_of(&before->codes)),
        .us = {more(now.duration.sum_ns, before->duration.sum_ns) / 1000,
               more(now.gateway.sum_ns, before->gateway.sum_ns) / 1000,
               more(now.upstream.sum_ns, before->upstream.sum_ns) / 1000}};
    add_to(m, &a);
    whole_since(s, m, &now, before);
    *before = now;
}

static void add_route(struct wire_live_route *all, const struct wire_live_route *m) {
    all->requests += m->requests;
    all->failures += m->failures;
    all->total_us += m->total_us;
    all->gateway_us += m->gateway_us;
    all->upstream_us += m->upstream_us;
}

/* Every request: its reasons and the gateway's times are counted by the workers as one. */
static void tell_all(struct sample *s, struct wire_live_route *all) {
    uint64_t gateway[HISTOGRAM_BOUNDS + 1] = {0}, counted[REASONS] = {0};
    const struct observe *o = s->observe;
    for (unsigned i = 0; i < o->n_workers; i++) {
        for (size_t b = 0; b < ARRAY_LEN(gateway); b++)
            gateway[b] += metric_get(&o->workers[i]->gateway[b]);
        for (unsigned r = 0; r < REASONS; r++)
            counted[r] += metric_get(&o->workers[i]->reasons[r]);
    }
    struct buckets b = buckets_since(s, &histogram_gateway, gateway, s->gateway);
    all->gateway = b.list, all->n_gateway = b.n;
    all->passed_on = more(all->failures, reasons_since(s, all, counted, s->reasons, REASONS));
    memcpy(s->gateway, gateway, sizeof(gateway));
    memcpy(s->reasons, counted, sizeof(counted));
}

static uint64_t interval_us(struct sample *s) {
    uint64_t before = s->at_ns;
    s->at_ns = clock_ns(CLOCK_MONOTONIC);
    return more(s->at_ns, before) / 1000;
}

/* The largest by requests, and by failures; each once: those that were told have no requests left.
 */
static void tell_rules(struct sample *s, size_t routes, struct wire_live *m) {
    struct top by_requests = {.max = routes}, by_failures = {.max = routes};
    for (size_t i = 0; i < s->n_asked; i++) {
        top_add(&by_requests, (uint32_t)i, s->asked[i].requests);
        top_add(&by_failures, (uint32_t)i, s->asked[i].failures);
    }
    for (size_t i = 0; i < by_requests.n + by_failures.n; i++) {
        struct asked *a =
            &s->asked[i < by_requests.n ? by_requests.at[i] : by_failures.at[i - by_requests.n]];
        if (a->requests == 0)
            continue;
        tell_rule(s, &m->routes[m->n_routes++], a);
        add_route(m->all, &m->routes[m->n_routes - 1]);
        *a = (struct asked){.slot = a->slot};
    }
}

/* "other": the rules that are left, and those that have no counters of their own. */
static void tell_others(struct sample *s, struct wire_live *m) {
    struct wire_live_route *other = &m->routes[m->n_routes], *none = other + 1;
    other->name = STR("other");
    none->name = STR("none");
    tell_special(s, other, offsetof(struct observe_worker, other), &s->other);
    tell_special(s, none, offsetof(struct observe_worker, none), &s->none);
    for (size_t i = 0; i < s->n_asked; i++)
        add_to(other, &s->asked[i]);
    add_route(m->all, other);
    add_route(m->all, none);
    m->n_routes += 2;
}

const struct wire_live *sample_take(struct sample *s, size_t routes) {
    struct wire_live *m = &s->message;
    size_t most = routes < LIVE_ASKED_MAX ? routes : LIVE_ASKED_MAX;
    arena_reset(&s->arena);
    *m = (struct wire_live){.interval_us = interval_us(s)};
    m->all = arena_zalloc(&s->arena, sizeof(*m->all));
    m->routes = arena_array(&s->arena, 2 * most + 2, sizeof(*m->routes));
    look_at_all(s);
    tell_rules(s, most, m);
    tell_others(s, m);
    tell_all(s, m->all);
    return m;
}

/* ---- life ---- */

/* Everything is kept of as many rules as there is room for, so that their buckets are in the first
 * message. */
static void keep_first(struct sample *s) {
    struct route_counts now;
    for (size_t i = 0; i < s->n_asked && i < WHOLES_MAX; i++) {
        uint32_t slot = s->asked[i].slot;
        uint64_t identity = s->seen[slot].identity;
        if (sum_route(s->observe, slot, identity, &now))
            whole_keep(s, NULL, slot, identity, &now);
    }
}

struct sample *sample_new(const struct observe *o) {
    struct sample *s = mem_zalloc(sizeof(*s));
    s->observe = o;
    arena_init(&s->arena);
    sample_take(s, 0);
    keep_first(s);
    return s;
}

void sample_free(struct sample *s) {
    if (!s)
        return;
    arena_fini(&s->arena);
    mem_free(s->seen);
    mem_free(s->asked);
    mem_free(s->wholes);
    mem_free(s);
}
