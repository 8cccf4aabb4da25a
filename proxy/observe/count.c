/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker's side: one finished request is a few dozen additions to memory of its own.
 */
#include "lib/mem.h"
#include "proxy/observe/counts.h"
#include "proxy/observe/weights.h"

#include <pthread.h>

/* ---- blocks ---- */

static struct block **page_make(struct slots *s, uint32_t slot) {
    struct block **page = mem_try_zero(PAGE_SLOTS * sizeof(*page));
    if (page)
        __atomic_store_n(&s->pages[slot >> PAGE_BITS], page, __ATOMIC_RELEASE);
    return page;
}

static struct block *block_make(struct slots *s, uint32_t slot, size_t size, uint64_t identity) {
    struct block **page = s->pages[slot >> PAGE_BITS];
    if (!page && !(page = page_make(s, slot)))
        return NULL;
    struct block *b = mem_try_zero(size);
    if (!b)
        return NULL;
    b->identity = identity;
    __atomic_store_n(&page[slot & (PAGE_SLOTS - 1)], b, __ATOMIC_RELEASE);
    return b;
}

/* The slot counts another one now: see counts.h. size: of what the worker writes. */
static void block_empty(struct block *b, size_t size, uint64_t identity) {
    metric_set(&b->identity, 0);
    block_fence(__ATOMIC_RELEASE);
    uint64_t *words = (uint64_t *)(void *)(b + 1);
    for (size_t i = 0; i < (size - sizeof(*b)) / sizeof(*words); i++)
        metric_set(&words[i], 0);
    __atomic_store_n(&b->identity, identity, __ATOMIC_RELEASE);
}

static struct route_counts *route_counts(struct observe_worker *w, const struct record *r) {
    const struct rule *rule = r->rule;
    if (unlikely(!rule))
        return r->route.n > 0 ? &w->other : &w->none; /* it has been one, or there was none */
    if (unlikely(rule->slot >= __atomic_load_n(&w->observe->budget, __ATOMIC_RELAXED)))
        return &w->other;
    uint64_t identity = rule->id_hash;
    struct block *b = slots_get(&w->routes, rule->slot);
    if (unlikely(!b)) {
        b = block_make(&w->routes, rule->slot, sizeof(struct route_counts), identity);
        if (!b)
            return &w->other;
    }
    if (unlikely(b->identity != identity))
        block_empty(b, offsetof(struct route_counts, main), identity);
    return container_of(b, struct route_counts, block);
}

static struct backend_counts *backend_counts(struct observe_worker *w, uint32_t slot,
                                             uint64_t identity) {
    if (unlikely(slot >= __atomic_load_n(&w->observe->budget, __ATOMIC_RELAXED)))
        return &w->other_backends;
    struct block *b = slots_get(&w->backends, slot);
    if (unlikely(!b)) {
        b = block_make(&w->backends, slot, sizeof(struct backend_counts), identity);
        if (!b)
            return &w->other_backends;
    }
    if (unlikely(b->identity != identity))
        block_empty(b, sizeof(struct backend_counts), identity);
    return container_of(b, struct backend_counts, block);
}

static struct policy_counts *policy_counts(struct observe_worker *w, const struct record_auth *a) {
    if (a->slot >= __atomic_load_n(&w->observe->budget, __ATOMIC_RELAXED))
        return &w->other_policies;
    struct block *b = slots_get(&w->policies, a->slot);
    if (!b) {
        b = block_make(&w->policies, a->slot, sizeof(struct policy_counts), a->identity);
        if (!b)
            return &w->other_policies;
    }
    if (unlikely(b->identity != a->identity))
        block_empty(b, sizeof(struct policy_counts), a->identity);
    return container_of(b, struct policy_counts, block);
}

/* ---- counting ---- */

static void count_code(struct code_counts *c, uint16_t code) {
    for (unsigned i = 0; i < CODES_EXACT; i++) {
        if (c->code[i] == 0)
            __atomic_store_n(&c->code[i], code, __ATOMIC_RELAXED);
        if (likely(c->code[i] == code)) {
            metric_add(&c->n[i], 1);
            return;
        }
    }
    unsigned class = code / 100;
    metric_add(&c->by_class[class < CODE_CLASSES ? class : 0], 1);
}

static bool speaks_h2(const struct record *r) {
    return r->protocol && r->protocol[0] == 'h' && r->protocol[1] == '2';
}

static uint64_t work_of_bytes(const struct record *r, uint64_t kib) {
    return ((r->request_bytes + r->response_bytes) * kib) >> 10;
}

/* What it is more than HTTP/1.1 in clear. */
static int64_t work_of_tls(const struct record *r) {
    int64_t spoken = speaks_h2(r) ? WEIGHT_REQUEST_H2 - WEIGHT_REQUEST : WEIGHT_SECURE;
    return spoken + (int64_t)work_of_bytes(r, WEIGHT_KIB_SECURE - WEIGHT_KIB);
}

static uint64_t work_of_arrival(enum arrival a) {
    static const uint32_t weights[ARRIVALS] = {[ARRIVAL_PLAIN] = WEIGHT_ARRIVAL,
                                               [ARRIVAL_SECURE] = WEIGHT_ARRIVAL_SECURE,
                                               [ARRIVAL_RESUMED] = WEIGHT_ARRIVAL_RESUMED};
    return weights[a];
}

static uint64_t work_of_upstream(const struct record *r) {
    uint64_t connects = r->attempts - (uint64_t)r->reused;
    uint64_t work = (r->attempts - 1u) * (uint64_t)WEIGHT_REQUEST;
    if (!r->backend->model->tls)
        return work + connects * WEIGHT_CONNECT;
    return work + connects * WEIGHT_CONNECT_SECURE + WEIGHT_UPSTREAM_SECURE +
           work_of_bytes(r, WEIGHT_KIB_SECURE - WEIGHT_KIB);
}

/* What a request costs, in about nanoseconds; only the proportions count, since it divides measured
 * CPU time. See weights.h. */
static uint64_t work_of(const struct record *r, bool asked) {
    uint64_t work = WEIGHT_REQUEST + work_of_bytes(r, WEIGHT_KIB);
    if (r->tls.n > 0)
        work += (uint64_t)work_of_tls(r);
    if (unlikely(r->arrival != ARRIVAL_NONE))
        work += work_of_arrival(r->arrival);
    if (unlikely(r->auth != NULL))
        work += WEIGHT_AUTH;
    if (asked && (!r->reused || r->attempts != 1 || r->backend->model->tls))
        work += work_of_upstream(r);
    return work;
}

/* What the client saw; where nothing was sent, what the reason stands for (499 and its like). */
static uint16_t code_of(const struct record *r) {
    return r->status ? r->status : reasons[r->reason].status;
}

/* bucket: of upstream_ns. */
static void count_backend(struct observe_worker *w, const struct record *r, unsigned bucket) {
    struct backend_counts *b = backend_counts(w, r->backend->slot, r->backend->id_hash);
    metric_add(&b->requests[r->reused], 1);
    metric_add(&b->connects, r->attempts - (uint64_t)r->reused);
    if (likely(r->upstream_status)) {
        count_code(&b->codes, r->upstream_status);
        histogram_add_to(&b->duration, bucket, r->upstream_ns);
    }
}

static void count_plain(struct route_counts *c, const struct record *r) {
#define COUNTER(name, family, help, value) metric_add(&c->name, (value));
#include "proxy/observe/route_counters.def"
#undef COUNTER
}

static void count_reason(struct observe_worker *w, struct route_counts *c, const struct record *r) {
    if (likely(r->reason == REASON_NONE))
        return;
    metric_add(&c->reasons[r->reason], 1);
    metric_add(&w->reasons[r->reason], 1);
}

static void count_auth(struct observe_worker *w, const struct record *r) {
    const struct record_auth *a = r->auth;
    if (a->identity == 0)
        return;
    struct policy_counts *c = policy_counts(w, a);
    metric_add(&c->by_method[a->method_n].decisions[a->decision], 1);
    if (r->auth_ns > 0)
        histogram_add(&c->by_method[a->method_n].waits, &histogram_requests, r->auth_ns);
}

/* ---- exemplars ---- */

static struct exemplars *exemplars_of(struct route_counts *c) {
    struct exemplars *e = c->exemplars;
    if (!e && (e = mem_try_zero(sizeof(*e))))
        __atomic_store_n(&c->exemplars, e, __ATOMIC_RELEASE);
    return e;
}

static uint64_t digits_of(const char *p) {
    uint64_t v = 0;
    for (unsigned i = 0; i < 16; i++)
        v = v << 4 | (uint64_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return v;
}

static void put_exemplar(struct exemplar *e, const struct record *r, uint64_t value_ns) {
    metric_set(&e->trace[0], digits_of(r->sampled.p));
    metric_set(&e->trace[1], digits_of(r->sampled.p + 16));
    metric_set(&e->value_ns, value_ns);
    metric_set(&e->at_ns, r->start_ns + r->total_ns);
}

static void exemplars_empty(struct exemplars *e, uint64_t identity) {
    uint64_t *words = (uint64_t *)(void *)e->of;
    for (size_t i = 0; i < sizeof(e->of) / sizeof(*words); i++)
        metric_set(&words[i], 0);
    metric_set(&e->identity, identity);
}

/* Of a request that has spans. main reads `writing` before and after what it copies. */
static void count_exemplar(struct route_counts *c, const struct record *r, bool asked) {
    struct exemplars *e = exemplars_of(c);
    if (!e)
        return;
    metric_add(&e->writing, 1);
    block_fence(__ATOMIC_RELEASE);
    if (e->identity != c->block.identity)
        exemplars_empty(e, c->block.identity);
    put_exemplar(&e->of[EXEMPLAR_DURATION][histogram_bucket(&histogram_requests, r->total_ns)], r,
                 r->total_ns);
    put_exemplar(&e->of[EXEMPLAR_GATEWAY][histogram_bucket(&histogram_gateway, r->gateway_ns)], r,
                 r->gateway_ns);
    if (asked)
        put_exemplar(
            &e->of[EXEMPLAR_UPSTREAM][histogram_bucket(&histogram_requests, r->upstream_ns)], r,
            r->upstream_ns);
    __atomic_store_n(&e->writing, e->writing + 1, __ATOMIC_RELEASE);
}

/* The request was counted when it was answered; its duration says nothing of the gateway. */
static void count_tunnel(struct observe_worker *w, struct route_counts *c, const struct record *r) {
    count_plain(c, r);
    metric_add(&c->work, work_of(r, false));
    count_reason(w, c, r);
}

void observe_request(struct observe_worker *w, const struct record *r) {
    struct route_counts *c = route_counts(w, r);
    bool asked = r->backend && r->attempts > 0;
    if (unlikely(r->of == RECORD_TUNNEL_END)) {
        count_tunnel(w, c, r);
        return;
    }
    count_code(&c->codes, code_of(r));
    histogram_add(&c->duration, &histogram_requests, r->total_ns);
    unsigned bucket = histogram_bucket(&histogram_gateway, r->gateway_ns);
    histogram_add_to(&c->gateway, bucket, r->gateway_ns);
    metric_add(&w->gateway[bucket], 1);
    count_plain(c, r);
    metric_add(&c->work, work_of(r, asked));
    if (asked) {
        bucket = histogram_bucket(&histogram_requests, r->upstream_ns);
        histogram_add_to(&c->upstream, bucket, r->upstream_ns);
        count_backend(w, r, bucket);
    }
    count_reason(w, c, r);
    if (unlikely(r->auth != NULL))
        count_auth(w, r);
    if (unlikely(r->sampled.n == 32))
        count_exemplar(c, r, asked);
}

void observe_upstream_opened(struct observe_worker *w, const struct backend *b) {
    metric_add(&backend_counts(w, b->slot, b->id_hash)->opened, 1);
}

/* NULL: the slot is another backend's by now, and what was counted was emptied away. */
static struct backend_counts *counted(struct observe_worker *w, uint32_t slot, uint64_t identity) {
    struct block *b = slot < OBSERVE_ROUTES_MAX ? slots_get(&w->backends, slot) : NULL;
    return b && b->identity == identity ? container_of(b, struct backend_counts, block) : NULL;
}

void observe_upstream_secured(struct observe_worker *w, uint32_t slot, uint64_t identity,
                              enum observe_handshake how) {
    struct backend_counts *c = counted(w, slot, identity);
    if (c)
        metric_add(&c->handshakes[how], 1);
}

void observe_upstream_closed(struct observe_worker *w, uint32_t slot, uint64_t identity) {
    struct backend_counts *c = counted(w, slot, identity);
    if (c)
        metric_add(&c->closed, 1);
}

void observe_gauge(struct observe_worker *w, enum observe_gauge g, uint64_t value) {
    metric_set(&w->gauges[g], value);
}

void observe_lag(struct observe_worker *w, uint64_t ns) {
    if (ns > metric_get(&w->lag_ns))
        metric_set(&w->lag_ns, ns);
}

void observe_worker_start(struct observe_worker *w) {
    if (pthread_getcpuclockid(pthread_self(), &w->clock) == 0)
        __atomic_store_n(&w->started, true, __ATOMIC_RELEASE);
}

uint64_t observe_identity(const struct backend *b) { return b->id_hash; }
