/* SPDX-License-Identifier: Apache-2.0
 *
 * main's side: life, what main tells us, and the division of CPU time.
 */
#include "proxy/observe/observe.h"

#include "lib/mem.h"
#include "proxy/observe/counts.h"

struct observe *observe_new(unsigned workers) {
    struct observe *o = mem_zalloc(sizeof(*o));
    o->budget = OBSERVE_ROUTES_DEFAULT;
    o->n_workers = workers;
    o->started_at_ns = clock_ns(CLOCK_REALTIME);
    o->workers = mem_array(workers, sizeof(struct observe_worker *));
    for (unsigned i = 0; i < workers; i++) {
        o->workers[i] = mem_zalloc(sizeof(struct observe_worker));
        o->workers[i]->observe = o;
    }
    return o;
}

/* fini: of what a block owns, or NULL */
static void slots_free(struct slots *s, void (*fini)(struct block *b)) {
    for (unsigned p = 0; p < PAGES; p++) {
        for (unsigned i = 0; s->pages[p] && i < PAGE_SLOTS; i++) {
            if (fini && s->pages[p][i])
                fini(s->pages[p][i]);
            mem_free(s->pages[p][i]);
        }
        mem_free(s->pages[p]);
    }
}

static void route_fini(struct block *b) {
    mem_free(container_of(b, struct route_counts, block)->exemplars);
}

static void worker_free(struct observe_worker *w) {
    slots_free(&w->routes, route_fini);
    slots_free(&w->backends, NULL);
    slots_free(&w->policies, NULL);
    route_fini(&w->other.block);
    route_fini(&w->none.block);
    mem_free(w);
}

void observe_free(struct observe *o) {
    if (!o)
        return;
    for (unsigned i = 0; i < o->n_workers; i++)
        worker_free(o->workers[i]);
    if (o->snapshot)
        snapshot_drop(o->snapshot);
    mem_free(o->workers);
    mem_free(o);
}

struct observe_worker *observe_worker(struct observe *o, unsigned i) {
    must(i < o->n_workers);
    return o->workers[i];
}

void observe_snapshot(struct observe *o, struct snapshot *s) {
    uint64_t budget = s->gateway->metrics_routes;
    if (budget == 0)
        budget = OBSERVE_ROUTES_DEFAULT;
    if (budget > OBSERVE_ROUTES_MAX)
        budget = OBSERVE_ROUTES_MAX;
    __atomic_store_n(&o->budget, (uint32_t)budget, __ATOMIC_RELAXED);
    snapshot_hold(s);
    if (o->snapshot)
        snapshot_drop(o->snapshot);
    o->snapshot = s;
}

void observe_config_objects(struct observe *o, enum model_kind kind, uint64_t n) {
    if (kind < MODEL_KINDS)
        o->objects[kind] = n;
}

void observe_config_applied(struct observe *o, uint64_t revision, uint64_t apply_ns) {
    o->revision = revision;
    o->apply_ns = apply_ns;
}

void observe_config_current(struct observe *o) { o->current_at_ns = clock_ns(CLOCK_MONOTONIC); }

void observe_config_rejected(struct observe *o, uint64_t objects) { o->rejected += objects; }

void observe_source(struct observe *o, void (*write)(void *arg, struct metric_text *t), void *arg) {
    must(o->n_sources < ARRAY_LEN(o->sources));
    o->sources[o->n_sources++] = (struct source){write, arg};
}

uint64_t observe_reason_count(struct observe *o, enum reason reason) {
    uint64_t n = 0;
    for (unsigned i = 0; i < o->n_workers; i++)
        n += metric_get(&o->workers[i]->reasons[reason]);
    return n;
}

uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- CPU time ---- */

/* What a block has worked since it was last looked at; its counters may be another rule's by now.
 */
static uint64_t work_since(struct route_counts *c) {
    uint64_t identity = metric_get(&c->block.identity), work = metric_get(&c->work);
    if (c->main.identity != identity) {
        metric_set(&c->main.identity, identity);
        metric_set(&c->main.work_seen, 0);
        metric_set(&c->main.cpu_ns, 0);
    }
    return work > c->main.work_seen ? work - c->main.work_seen : 0;
}

static void give(struct route_counts *c, uint64_t cpu_ns, uint64_t total) {
    uint64_t work = work_since(c);
    metric_add(&c->main.cpu_ns, (uint64_t)((double)cpu_ns * (double)work / (double)total));
    metric_add(&c->main.work_seen, work);
}

static void each_block(struct observe_worker *w, uint32_t top,
                       void (*call)(void *arg, struct route_counts *c), void *arg) {
    for (uint32_t page = 0; page < top; page += PAGE_SLOTS) {
        if (!slots_page(&w->routes, page))
            continue;
        for (uint32_t slot = page; slot < top && slot < page + PAGE_SLOTS; slot++) {
            struct block *b = slots_get(&w->routes, slot);
            if (b)
                call(arg, container_of(b, struct route_counts, block));
        }
    }
    call(arg, &w->other);
    call(arg, &w->none);
}

struct division {
    uint64_t cpu_ns, total;
};

static void add_work(void *arg, struct route_counts *c) {
    ((struct division *)arg)->total += work_since(c);
}

static void give_share(void *arg, struct route_counts *c) {
    const struct division *d = arg;
    give(c, d->cpu_ns, d->total);
}

/* A second without requests costs a little too; it is nobody's: route="none". */
static void divide_cpu(struct observe_worker *w, uint32_t top) {
    uint64_t now = clock_ns(w->clock);
    if (now <= w->cpu_seen_ns)
        return;
    struct division d = {.cpu_ns = now - w->cpu_seen_ns};
    w->cpu_seen_ns = now;
    each_block(w, top, add_work, &d);
    if (d.total > 0)
        each_block(w, top, give_share, &d);
    else
        metric_add(&w->none.main.cpu_ns, d.cpu_ns);
}

static void note_load(struct observe *o) {
    uint64_t *now = o->load[o->ticks % ARRAY_LEN(o->load)];
    memset(now, 0, sizeof(o->load[0]));
    for (unsigned i = 0; i < o->n_workers; i++)
        for (size_t b = 0; b < ARRAY_LEN(o->load[0]); b++)
            now[b] += metric_get(&o->workers[i]->gateway[b]);
}

static uint64_t bound_us(size_t bucket) {
    size_t last = HISTOGRAM_BOUNDS - 1;
    return histogram_gateway.bound_ns[bucket < last ? bucket : last] / 1000;
}

/* The first bucket in which 99 of 100 are reached. */
static size_t p99_of(const uint64_t n[], uint64_t total) {
    size_t b = 0;
    for (uint64_t sum = n[0]; sum * 100 < total * 99; sum += n[b])
        b++;
    return b;
}

struct observe_load observe_load(const struct observe *o) {
    struct observe_load load = {0};
    if (o->ticks < 2)
        return load;
    uint64_t seconds = o->ticks - 1 < LOAD_SECONDS ? o->ticks - 1 : LOAD_SECONDS, total = 0;
    const uint64_t *now = o->load[(o->ticks - 1) % ARRAY_LEN(o->load)];
    const uint64_t *then = o->load[(o->ticks - 1 - seconds) % ARRAY_LEN(o->load)];
    uint64_t n[HISTOGRAM_BOUNDS + 1];
    for (size_t b = 0; b < ARRAY_LEN(n); b++)
        total += n[b] = now[b] - then[b];
    load.requests_milli = total * 1000 / seconds;
    if (total > 0)
        load.gateway_p99_us = bound_us(p99_of(n, total));
    return load;
}

void observe_tick(struct observe *o) {
    uint32_t slots = o->snapshot ? o->snapshot->rule_slots : 0;
    uint32_t top = slots < o->budget ? slots : o->budget;
    for (unsigned i = 0; i < o->n_workers; i++) {
        struct observe_worker *w = o->workers[i];
        w->lag_history[o->ticks % LAG_SECONDS] = metric_get(&w->lag_ns);
        metric_set(&w->lag_ns, 0);
        if (__atomic_load_n(&w->started, __ATOMIC_ACQUIRE))
            divide_cpu(w, top);
    }
    note_load(o);
    o->ticks++;
}
