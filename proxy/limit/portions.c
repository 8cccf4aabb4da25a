/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/limit/portions.h"

#include "lib/hash.h"
#include "lib/mem.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    SETS = 128, /* of WAYS places */
    WAYS = 8,
    NEWS = 64, /* counts that workers have met and main has not seen yet */
    UNTOLD = WIRE_WHOLE / 16,
    ALONE = WIRE_WHOLE / 4,
    QUIET_MS = 15000, /* a count that is asked for little for so long leaves the table */
    SLICES = 8,       /* of a window: the part is the smallest of them, and of the one that runs */
    SMOOTH_MIN_MS = 1000,
    SMOOTH_MAX_MS = 30000, /* demand is an average over so long, ... */
    SMOOTH_REQUESTS = 8,   /* ... or in which the limit allows so many */
};

/* The table of the workers. */
struct set {
    _Atomic uint64_t count[WAYS]; /* 0: free */
    _Atomic uint32_t part[WAYS], window_part[WAYS];
    _Atomic uint32_t asked[WAYS]; /* since the last tick */
    _Atomic uint8_t known[WAYS];  /* main knows its limit */
} __attribute__((aligned(64)));

enum { NEWS_FREE, NEWS_BEING_WRITTEN, NEWS_THERE };
struct news {
    _Atomic uint32_t state;
    _Atomic uint64_t count;
    uint64_t requests, per_ms;
};

struct tracked {    /* a place of the table, as main has it */
    uint64_t count; /* 0: free */
    struct set *set;
    unsigned way;
    uint64_t requests, per_ms; /* 0: nobody has asked here yet */
    double demand;             /* in millionths of the limit */
    uint32_t part;
    bool listed;       /* it has a part of its own */
    uint64_t quiet_ms; /* since when it is asked for little */
    uint32_t slices[SLICES];
    unsigned slice;
    uint64_t slice_ms; /* when the next one begins */
};

struct portions {
    struct set sets[SETS];
    struct news news[NEWS];
    _Atomic uint32_t even; /* of what is not in the table */
    _Atomic uint32_t n_tracked;
    _Atomic uint8_t used;
    struct tracked tracked[WIRE_COUNTS_MAX];
    uint32_t n_listed;
    uint64_t term, serial, lease_until_ms; /* term 0: nothing is lent */
    uint64_t rest_until_ms;                /* then all is even; 0: it is, or something is lent */
    uint64_t proxies;                      /* as it was told last; 0: never */
    uint64_t begun_ms, tick_ms;
    struct wire_count_demand said[WIRE_COUNTS_MAX];
};

struct portions *portions_new(uint64_t now_ms) {
    struct portions *f = aligned_alloc(64, (sizeof(*f) + 63) / 64 * 64);
    must(f);
    memset(f, 0, sizeof(*f));
    f->even = UNTOLD;
    f->begun_ms = f->tick_ms = now_ms;
    return f;
}

void portions_free(struct portions *f) { free(f); }

struct portions_gauges portions_gauges(const struct portions *f) {
    return (struct portions_gauges){atomic_load_explicit(&f->even, memory_order_relaxed),
                                    f->n_listed, f->term != 0, f->proxies > 0};
}

/* ---- any thread ---- */

uint64_t portions_count(uint64_t identity, struct str apart) {
    uint64_t h = hash_mix(identity, hash_content(apart));
    return h != 0 ? h : 1;
}

static struct set *set_of(struct portions *f, uint64_t count) { return &f->sets[count % SETS]; }

/* Its place, or WAYS. */
static unsigned way_of(struct set *s, uint64_t count) {
    unsigned i = 0;
    while (i < WAYS && atomic_load_explicit(&s->count[i], memory_order_acquire) != count)
        i++;
    return i;
}

bool portions_used(const struct portions *f) {
    return atomic_load_explicit(&f->used, memory_order_relaxed) != 0;
}

bool portions_quiet(struct portions *f, uint32_t *part) {
    if (unlikely(!portions_used(f)))
        atomic_store_explicit(&f->used, 1, memory_order_relaxed);
    *part = atomic_load_explicit(&f->even, memory_order_relaxed);
    return atomic_load_explicit(&f->n_tracked, memory_order_relaxed) == 0;
}

uint32_t portions_ask(struct portions *f, uint64_t count, bool window) {
    struct set *s = set_of(f, count);
    unsigned i = way_of(s, count);
    if (i == WAYS)
        return atomic_load_explicit(&f->even, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->asked[i], 1, memory_order_relaxed);
    return atomic_load_explicit(window ? &s->window_part[i] : &s->part[i], memory_order_relaxed);
}

static bool is_news(struct portions *f, uint64_t count) {
    for (unsigned i = 0; i < NEWS; i++)
        if (atomic_load_explicit(&f->news[i].count, memory_order_relaxed) == count &&
            atomic_load_explicit(&f->news[i].state, memory_order_relaxed) != NEWS_FREE)
            return true;
    return false;
}

void portions_near(struct portions *f, uint64_t count, uint64_t requests, uint64_t per_ms) {
    struct set *s = set_of(f, count);
    unsigned way = way_of(s, count);
    if (way < WAYS && atomic_load_explicit(&s->known[way], memory_order_relaxed))
        return;
    if (is_news(f, count))
        return;
    for (unsigned i = 0; i < NEWS; i++) {
        struct news *n = &f->news[i];
        uint32_t state = NEWS_FREE;
        if (!atomic_compare_exchange_strong(&n->state, &state, NEWS_BEING_WRITTEN))
            continue;
        atomic_store_explicit(&n->count, count, memory_order_relaxed);
        n->requests = requests;
        n->per_ms = per_ms;
        atomic_store_explicit(&n->state, NEWS_THERE, memory_order_release);
        return;
    }
}

/* ---- the table ---- */

static uint32_t even_of(const struct portions *f) {
    return atomic_load_explicit(&f->even, memory_order_relaxed);
}

static uint32_t at_least_one(uint64_t part) {
    return part < 1 ? 1 : part > WIRE_WHOLE ? WIRE_WHOLE : (uint32_t)part;
}

static struct tracked *tracked_of(struct portions *f, uint64_t count) {
    for (unsigned i = 0; i < WIRE_COUNTS_MAX; i++)
        if (f->tracked[i].count == count)
            return &f->tracked[i];
    return NULL;
}

static uint32_t smallest_slice(const struct tracked *t) {
    uint32_t least = t->part;
    for (unsigned i = 0; i < SLICES; i++)
        least = t->slices[i] < least ? t->slices[i] : least;
    return least;
}

static void show(struct tracked *t) {
    atomic_store_explicit(&t->set->part[t->way], t->part, memory_order_relaxed);
    atomic_store_explicit(&t->set->window_part[t->way], smallest_slice(t), memory_order_relaxed);
    atomic_store_explicit(&t->set->known[t->way], t->requests != 0, memory_order_relaxed);
}

/* Less counts at once, in windows too. */
static void set_part(struct tracked *t, uint32_t part) {
    t->part = part;
    t->slices[t->slice] = part < t->slices[t->slice] ? part : t->slices[t->slice];
    show(t);
}

static bool is_near(const struct tracked *t) { return t->demand > t->part / 2.0; }

static void untrack(struct portions *f, struct tracked *t) {
    atomic_store_explicit(&t->set->count[t->way], 0, memory_order_release);
    t->count = 0;
    atomic_fetch_sub_explicit(&f->n_tracked, 1, memory_order_relaxed);
}

/* A free one, else of those that are not needed the one for which that is so for longest. */
static struct tracked *room_for_one(struct portions *f) {
    struct tracked *found = tracked_of(f, 0);
    for (unsigned i = 0; !(found && found->count == 0) && i < WIRE_COUNTS_MAX; i++) {
        struct tracked *t = &f->tracked[i];
        if (!t->listed && !is_near(t) && (!found || t->quiet_ms < found->quiet_ms))
            found = t;
    }
    if (found && found->count != 0)
        untrack(f, found);
    return found;
}

/* NULL: there is no room for it. */
static struct tracked *track(struct portions *f, uint64_t count, uint64_t now) {
    struct set *s = set_of(f, count);
    struct tracked *t = room_for_one(f);
    unsigned way = way_of(s, 0);
    if (!t || way == WAYS)
        return NULL;
    *t = (struct tracked){
        .count = count, .set = s, .way = way, .part = even_of(f), .quiet_ms = now, .slice_ms = now};
    for (unsigned i = 0; i < SLICES; i++)
        t->slices[i] = t->part;
    show(t);
    atomic_store_explicit(&s->asked[way], 0, memory_order_relaxed);
    atomic_store_explicit(&s->count[way], count, memory_order_release);
    atomic_fetch_add_explicit(&f->n_tracked, 1, memory_order_relaxed);
    return t;
}

/* ---- the clock ---- */

static void learn(struct portions *f, uint64_t now) {
    for (unsigned i = 0; i < NEWS; i++) {
        struct news *n = &f->news[i];
        if (atomic_load_explicit(&n->state, memory_order_acquire) != NEWS_THERE)
            continue;
        uint64_t count = atomic_load_explicit(&n->count, memory_order_relaxed);
        struct tracked *t = tracked_of(f, count);
        if (!t)
            t = track(f, count, now);
        if (t && t->requests == 0) {
            t->requests = n->requests;
            t->per_ms = n->per_ms;
            t->demand = t->part; /* it is near: as much at least */
            show(t);
        }
        atomic_store_explicit(&n->state, NEWS_FREE, memory_order_release);
    }
}

static double smoothing_ms(const struct tracked *t) {
    double ms = SMOOTH_REQUESTS * (double)t->per_ms / (double)t->requests;
    return ms < SMOOTH_MIN_MS ? SMOOTH_MIN_MS : ms > SMOOTH_MAX_MS ? SMOOTH_MAX_MS : ms;
}

static void measure(struct tracked *t, uint64_t took_ms) {
    uint32_t asked = atomic_exchange_explicit(&t->set->asked[t->way], 0, memory_order_relaxed);
    if (t->requests == 0 || took_ms == 0)
        return;
    double took = (double)took_ms, over = smoothing_ms(t);
    double now = asked / took * (double)t->per_ms / (double)t->requests * WIRE_WHOLE;
    t->demand += (now - t->demand) * (took < over ? took / over : 1);
}

static void turn_window(struct tracked *t, uint64_t now) {
    uint64_t slice = t->per_ms / (SLICES - 1) + 1;
    for (unsigned i = 0; i < SLICES && now >= t->slice_ms; i++) {
        t->slice_ms = now - t->slice_ms > SLICES * slice ? now + slice : t->slice_ms + slice;
        t->slice = (t->slice + 1) % SLICES;
        t->slices[t->slice] = t->part;
    }
    show(t);
}

static void age(struct portions *f, struct tracked *t, uint64_t now) {
    if (t->listed || is_near(t))
        t->quiet_ms = now;
    else if (now - t->quiet_ms >= QUIET_MS)
        untrack(f, t);
}

static void set_even(struct portions *f, uint64_t part) {
    atomic_store_explicit(&f->even, at_least_one(part), memory_order_relaxed);
    for (unsigned i = 0; i < WIRE_COUNTS_MAX; i++)
        if (f->tracked[i].count != 0 && !f->tracked[i].listed)
            set_part(&f->tracked[i], even_of(f));
}

static void unlist_all(struct portions *f) {
    for (unsigned i = 0; i < WIRE_COUNTS_MAX; i++)
        f->tracked[i].listed = false;
    f->n_listed = 0;
}

/* The lease is over: what is more than an even part is given up. */
static void give_up(struct portions *f, uint32_t most) {
    f->term = f->serial = 0;
    for (unsigned i = 0; i < WIRE_COUNTS_MAX; i++) {
        struct tracked *t = &f->tracked[i];
        if (t->count != 0 && t->part > most)
            set_part(t, most);
    }
    if (even_of(f) > most)
        set_even(f, most);
}

static void fall_back(struct portions *f, uint64_t now) {
    if (f->proxies == 0) {
        if (now - f->begun_ms >= PORTIONS_ALONE_MS && even_of(f) != ALONE)
            set_even(f, ALONE);
        return;
    }
    uint32_t even = at_least_one(WIRE_WHOLE / f->proxies);
    if (f->term != 0 && now >= f->lease_until_ms) {
        give_up(f, even);
        f->rest_until_ms = now + WIRE_REST_MS;
    } else if (f->term == 0 && f->rest_until_ms != 0 && now >= f->rest_until_ms) {
        f->rest_until_ms = 0;
        unlist_all(f);
        set_even(f, even);
    }
}

void portions_tick(struct portions *f, uint64_t now_ms) {
    fall_back(f, now_ms);
    learn(f, now_ms);
    for (unsigned i = 0; i < WIRE_COUNTS_MAX; i++) {
        struct tracked *t = &f->tracked[i];
        if (t->count == 0)
            continue;
        measure(t, now_ms - f->tick_ms);
        if (t->per_ms > 0)
            turn_window(t, now_ms);
        age(f, t, now_ms);
    }
    f->tick_ms = now_ms;
}

/* ---- what is said ---- */

bool portions_take(struct portions *f, const struct wire_shares *m, uint64_t now_ms) {
    bool older = m->term < f->term || (m->term == f->term && m->serial <= f->serial);
    if (m->term == 0 || older || m->proxies == 0)
        return false;
    f->term = m->term;
    f->serial = m->serial;
    f->lease_until_ms = now_ms + size_min(m->lease_ms, 60000);
    f->proxies = m->proxies;
    unlist_all(f);
    /* What is new in the table has counted by it. */
    atomic_store_explicit(&f->even, at_least_one(m->share), memory_order_relaxed);
    for (uint32_t i = 0; i < m->n_counts && i < WIRE_COUNTS_MAX; i++) {
        const struct wire_count_share *s = &m->counts[i];
        struct tracked *t = s->count == 0 ? NULL : tracked_of(f, s->count);
        if (s->count == 0 || (!t && !(t = track(f, s->count, now_ms))))
            continue;
        f->n_listed += !t->listed;
        t->listed = true;
        set_part(t, at_least_one(s->share));
    }
    set_even(f, m->share);
    return true;
}

struct wire_demand portions_demand(struct portions *f) {
    struct wire_demand m = {.term = f->term,
                            .serial = f->serial,
                            .held = even_of(f),
                            .counts = f->said,
                            .proxies = f->proxies};
    for (unsigned i = 0; i < WIRE_COUNTS_MAX; i++) {
        const struct tracked *t = &f->tracked[i];
        if (t->count == 0 || (!t->listed && !is_near(t)))
            continue;
        double demand = t->demand < UINT32_MAX ? t->demand : UINT32_MAX;
        f->said[m.n_counts++] = (struct wire_count_demand){
            .count = t->count, .demand = (uint64_t)demand, .held = t->part};
    }
    return m;
}
