/* SPDX-License-Identifier: Apache-2.0
 *
 * Adds up what the workers have counted for one rule, backend or policy.
 */
#include "proxy/observe/sum.h"

#include "lib/mem.h"

/* ---- which slots are in use ---- */

static const struct slots *slots_of(const struct observe *o, unsigned worker, size_t offset) {
    return (const struct slots *)(const void *)((const char *)o->workers[worker] + offset);
}

static bool page_used(const struct observe *o, size_t offset, uint32_t slot) {
    for (unsigned i = 0; i < o->n_workers; i++)
        if (slots_page(slots_of(o, i, offset), slot))
            return true;
    return false;
}

static bool slot_used(const struct observe *o, size_t offset, uint32_t slot) {
    for (unsigned i = 0; i < o->n_workers; i++)
        if (slots_get(slots_of(o, i, offset), slot))
            return true;
    return false;
}

/* offset: of the struct slots in a worker */
static struct sum_slots slots_used(const struct observe *o, size_t offset, uint32_t top) {
    struct sum_slots s = {.slot = mem_array(top, sizeof(uint32_t))};
    for (uint32_t page = 0; page < top; page += PAGE_SLOTS) {
        if (!page_used(o, offset, page))
            continue;
        for (uint32_t slot = page; slot < top && slot < page + PAGE_SLOTS; slot++)
            if (slot_used(o, offset, slot))
                s.slot[s.n++] = slot;
    }
    return s;
}

struct sum_slots sum_slots_routes(const struct observe *o, uint32_t top) {
    return slots_used(o, offsetof(struct observe_worker, routes), top);
}
struct sum_slots sum_slots_backends(const struct observe *o, uint32_t top) {
    return slots_used(o, offsetof(struct observe_worker, backends), top);
}
struct sum_slots sum_slots_policies(const struct observe *o, uint32_t top) {
    return slots_used(o, offsetof(struct observe_worker, policies), top);
}

void sum_slots_free(struct sum_slots *s) {
    mem_free(s->slot);
    *s = (struct sum_slots){0};
}

/* ---- sums ---- */

static void codes_add(struct code_counts *to, uint16_t code, uint64_t n) {
    for (unsigned i = 0; i < CODES_EXACT; i++)
        if (to->code[i] == code || to->code[i] == 0) {
            to->code[i] = code;
            to->n[i] += n;
            return;
        }
    unsigned class = code / 100;
    to->by_class[class < CODE_CLASSES ? class : 0] += n;
}

static void codes_sum(struct code_counts *to, const struct code_counts *from) {
    for (unsigned i = 0; i < CODES_EXACT && from->code[i]; i++)
        codes_add(to, from->code[i], from->n[i]);
    for (unsigned i = 0; i < CODE_CLASSES; i++)
        to->by_class[i] += from->by_class[i];
}

uint64_t codes_total(const struct code_counts *c) {
    uint64_t n = 0;
    for (unsigned i = 0; i < CODES_EXACT; i++)
        n += c->n[i];
    for (unsigned i = 0; i < CODE_CLASSES; i++)
        n += c->by_class[i];
    return n;
}

/* A worker writes while main reads, each word whole. */
static void copy_words(void *to, const void *from, size_t size) {
    uint64_t *t = to;
    const uint64_t *f = from;
    for (size_t i = 0; i < size / sizeof(*t); i++)
        t[i] = metric_get(&f[i]);
}

/* False when the block is another one's, or became that while it was read. */
static bool block_copy(void *to, const struct block *b, size_t size, uint64_t identity) {
    if (!b || __atomic_load_n(&b->identity, __ATOMIC_ACQUIRE) != identity)
        return false;
    copy_words(to, b, size);
    block_fence(__ATOMIC_ACQUIRE);
    return metric_get(&b->identity) == identity;
}

static void route_add(struct route_counts *to, const struct route_counts *from) {
    codes_sum(&to->codes, &from->codes);
    histogram_sum(&to->duration, &from->duration);
    histogram_sum(&to->gateway, &from->gateway);
    histogram_sum(&to->upstream, &from->upstream);
#define COUNTER(name, family, help, value) to->name += from->name;
#include "proxy/observe/route_counters.def"
#undef COUNTER
    to->main.cpu_ns += from->main.cpu_ns;
    for (unsigned i = 0; i < REASONS; i++)
        to->reasons[i] += from->reasons[i];
}

static void backend_add(struct backend_counts *to, const struct backend_counts *from) {
    codes_sum(&to->codes, &from->codes);
    histogram_sum(&to->duration, &from->duration);
    to->connects += from->connects;
    to->requests[0] += from->requests[0];
    to->requests[1] += from->requests[1];
    to->opened += from->opened;
    to->closed += from->closed;
    for (unsigned i = 0; i < OBSERVE_HANDSHAKES; i++)
        to->handshakes[i] += from->handshakes[i];
}

static void policy_add(struct policy_counts *to, const struct policy_counts *from) {
    for (unsigned i = 0; i <= AUTH_METHODS_MAX; i++) {
        for (unsigned d = 0; d < RECORD_DECISIONS; d++)
            to->by_method[i].decisions[d] += from->by_method[i].decisions[d];
        histogram_sum(&to->by_method[i].waits, &from->by_method[i].waits);
    }
}

bool sum_route(const struct observe *o, uint32_t slot, uint64_t identity,
               struct route_counts *sum) {
    bool any = false;
    struct route_counts one;
    *sum = (struct route_counts){0};
    for (unsigned i = 0; i < o->n_workers; i++) {
        const struct block *b = slots_get(&o->workers[i]->routes, slot);
        if (!block_copy(&one, b, sizeof(one), identity))
            continue;
        if (one.main.identity != identity) /* counted, but not yet looked at by observe_tick() */
            one.main.cpu_ns = 0;
        route_add(sum, &one);
        any = true;
    }
    return any;
}

bool sum_backend(const struct observe *o, uint32_t slot, uint64_t identity,
                 struct backend_counts *sum) {
    bool any = false;
    struct backend_counts one;
    *sum = (struct backend_counts){0};
    for (unsigned i = 0; i < o->n_workers; i++) {
        const struct block *b = slots_get(&o->workers[i]->backends, slot);
        if (!block_copy(&one, b, sizeof(one), identity))
            continue;
        backend_add(sum, &one);
        any = true;
    }
    return any;
}

bool sum_policy(const struct observe *o, uint32_t slot, uint64_t identity,
                struct policy_counts *sum) {
    bool any = false;
    struct policy_counts one;
    *sum = (struct policy_counts){0};
    for (unsigned i = 0; i < o->n_workers; i++) {
        const struct block *b = slots_get(&o->workers[i]->policies, slot);
        if (!block_copy(&one, b, sizeof(one), identity))
            continue;
        policy_add(sum, &one);
        any = true;
    }
    return any;
}

void sum_special(const struct observe *o, size_t offset, struct route_counts *sum) {
    struct route_counts one;
    *sum = (struct route_counts){0};
    for (unsigned i = 0; i < o->n_workers; i++) {
        copy_words(&one, (const char *)o->workers[i] + offset, sizeof(one));
        route_add(sum, &one);
    }
}

void sum_other_backends(const struct observe *o, struct backend_counts *sum) {
    struct backend_counts one;
    *sum = (struct backend_counts){0};
    for (unsigned i = 0; i < o->n_workers; i++) {
        copy_words(&one, &o->workers[i]->other_backends, sizeof(one));
        backend_add(sum, &one);
    }
}

void sum_other_policies(const struct observe *o, struct policy_counts *sum) {
    struct policy_counts one;
    *sum = (struct policy_counts){0};
    for (unsigned i = 0; i < o->n_workers; i++) {
        copy_words(&one, &o->workers[i]->other_policies, sizeof(one));
        policy_add(sum, &one);
    }
}

/* ---- exemplars ---- */

enum { BUCKETS = HISTOGRAM_BOUNDS + 1 };

/* False: there are none, they are another rule's, or one is being written. */
static bool exemplars_copy(const struct route_counts *c, uint64_t identity, enum exemplar_of of,
                           struct exemplar to[BUCKETS]) {
    const struct exemplars *e = __atomic_load_n(&c->exemplars, __ATOMIC_ACQUIRE);
    if (!e)
        return false;
    uint64_t writing = __atomic_load_n(&e->writing, __ATOMIC_ACQUIRE);
    copy_words(to, e->of[of], sizeof(e->of[of]));
    bool ours = metric_get(&e->identity) == identity;
    block_fence(__ATOMIC_ACQUIRE);
    return ours && writing % 2 == 0 && metric_get(&e->writing) == writing;
}

static bool exemplars_newest(const struct route_counts *c, uint64_t identity, enum exemplar_of of,
                             struct exemplar to[BUCKETS]) {
    struct exemplar one[BUCKETS];
    if (!exemplars_copy(c, identity, of, one))
        return false;
    for (unsigned i = 0; i < BUCKETS; i++)
        if (one[i].at_ns > to[i].at_ns)
            to[i] = one[i];
    return true;
}

static void exemplars_date(struct exemplar to[BUCKETS]) {
    uint64_t real = clock_ns(CLOCK_REALTIME), monotonic = clock_ns(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < BUCKETS; i++)
        if (to[i].at_ns > 0)
            to[i].at_ns = real - (monotonic - to[i].at_ns);
}

bool sum_exemplars_route(const struct observe *o, uint32_t slot, uint64_t identity,
                         enum exemplar_of of, struct exemplar to[BUCKETS]) {
    bool any = false;
    memset(to, 0, BUCKETS * sizeof(*to));
    for (unsigned i = 0; i < o->n_workers; i++) {
        struct block *b = slots_get(&o->workers[i]->routes, slot);
        any |= b && exemplars_newest(container_of(b, struct route_counts, block), identity, of, to);
    }
    exemplars_date(to);
    return any;
}

bool sum_exemplars_special(const struct observe *o, size_t offset, enum exemplar_of of,
                           struct exemplar to[BUCKETS]) {
    bool any = false;
    memset(to, 0, BUCKETS * sizeof(*to));
    for (unsigned i = 0; i < o->n_workers; i++)
        any |= exemplars_newest(
            (const struct route_counts *)(const void *)((const char *)o->workers[i] + offset), 0,
            of, to);
    exemplars_date(to);
    return any;
}
