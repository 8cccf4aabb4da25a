/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/limit/counts.h"

#include "lib/hash.h"
#include "lib/mem.h"

#include <stdatomic.h>
#include <sys/mman.h>

enum {
    BUCKETS = 1 << 18, /* 4 MiB, of which what is used is touched */
    WINDOWS = 1 << 15, /* likewise */
    QUOTAS = 1 << 15,
    QUOTA_WINDOWS = 1 << 15,
    BUCKET_WAYS = 8, /* two lines of the cache */
    WINDOW_WAYS = 4,
    PARTS = 13, /* of the time of a window; one more is kept */
    SLOTS = PARTS + 1,
    LANES = 8, /* shared places of a limit */
    LANE_GROUPS = LIMITS_MAX + 64,
    PER_NS = 16, /* units of time: a limit of a billion in a second has 16 to a request */
    PER_MS = 1000000 * PER_NS,
};
/* A window never reaches back to before the clock's begin. */
static const uint64_t BEGIN = LIMIT_PER_MAX_MS * PER_MS;
static const uint64_t LONGEST = (uint64_t)1 << 61; /* four years, of 36 in 64 bits */

struct place {
    _Atomic uint64_t key;   /* 0: nobody's yet */
    _Atomic uint64_t until; /* then it says nothing any more; a bucket is full */
};

struct window {
    struct place place;
    _Atomic uint64_t slot[SLOTS]; /* number of the part, salted << 32 | count */
};

struct table {
    char *at;
    size_t size;   /* of a place; a bucket is no more than that */
    unsigned ways; /* places of a set */
    uint64_t sets; /* a power of two, unless they are lanes */
};

struct limit_table {
    struct table buckets, windows, quotas, quota_windows;
    struct table bucket_lanes, window_lanes; /* shared places, a set for each limit */
    struct portions *portions;
    _Atomic uint64_t failed_ns; /* when an address failed last; 0: never */
    _Atomic uint32_t share_all;
    _Atomic uint64_t shares[LIMITS_MAX]; /* half of the law's identity << 32 | millionths */
};

/* ---- memory ---- */

static size_t bytes_of(const struct table *t) { return t->sets * t->ways * t->size; }

static bool map(struct table *t, size_t size, unsigned ways, uint64_t sets) {
    *t = (struct table){.size = size, .ways = ways, .sets = sets};
    void *p = mmap(NULL, bytes_of(t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    t->at = p == MAP_FAILED ? NULL : p;
    return t->at != NULL;
}

static void unmap(struct table *t) {
    if (t->at)
        munmap(t->at, bytes_of(t));
}

static bool map_buckets(struct table *t, uint32_t places) {
    return map(t, sizeof(struct place), BUCKET_WAYS, places / BUCKET_WAYS);
}

static bool map_windows(struct table *t, uint32_t places) {
    return map(t, sizeof(struct window), WINDOW_WAYS, places / WINDOW_WAYS);
}

static uint32_t power(uint32_t n) {
    uint32_t p = BUCKET_WAYS;
    while (p < n && p < 1U << 30)
        p *= 2;
    return p;
}

struct limit_table *limit_table_new(uint32_t places) {
    struct limit_table *t = mem_zalloc(sizeof(*t));
    bool good = map_buckets(&t->buckets, places > 0 ? power(places) : BUCKETS) &&
                map_windows(&t->windows, places > 0 ? power(places / 8) : WINDOWS) &&
                map_buckets(&t->quotas, QUOTAS) && map_windows(&t->quota_windows, QUOTA_WINDOWS) &&
                map(&t->bucket_lanes, sizeof(struct place), LANES, LANE_GROUPS) &&
                map(&t->window_lanes, sizeof(struct window), LANES, LANE_GROUPS);
    atomic_store_explicit(&t->share_all, LIMIT_SHARE, memory_order_relaxed);
    if (good)
        return t;
    limit_table_free(t);
    return NULL;
}

void limit_table_free(struct limit_table *t) {
    if (!t)
        return;
    unmap(&t->buckets);
    unmap(&t->windows);
    unmap(&t->quotas);
    unmap(&t->quota_windows);
    unmap(&t->bucket_lanes);
    unmap(&t->window_lanes);
    mem_free(t);
}

/* ---- shares ---- */

static uint64_t half_of(const struct limit_law *law) { return law->identity >> 32 << 32; }

void limit_share_all(struct limit_table *t, uint32_t share) {
    atomic_store_explicit(&t->share_all, share < LIMIT_SHARE ? share : LIMIT_SHARE,
                          memory_order_relaxed);
}

void limit_share_one(struct limit_table *t, const struct limit_law *law, uint32_t share) {
    uint32_t v = share < LIMIT_SHARE ? share : LIMIT_SHARE;
    if (law->slot < LIMITS_MAX)
        atomic_store_explicit(&t->shares[law->slot], v > 0 ? half_of(law) | v : 0,
                              memory_order_relaxed);
}

void limit_table_failed(struct limit_table *t, uint64_t now_ns) {
    atomic_store_explicit(&t->failed_ns, now_ns, memory_order_relaxed);
}

bool limit_table_has_failed(const struct limit_table *t, uint64_t since_ns) {
    uint64_t at = atomic_load_explicit(&t->failed_ns, memory_order_relaxed);
    return at != 0 && at >= since_ns;
}

void limit_table_lend(struct limit_table *t, struct portions *p) { t->portions = p; }

struct portions *limit_table_portions(const struct limit_table *t) {
    return t->portions;
}

uint32_t limit_share(const struct limit_table *t, const struct limit_law *law) {
    if (!law->fleet)
        return LIMIT_SHARE;
    if (law->slot < LIMITS_MAX) {
        uint64_t own = atomic_load_explicit(&t->shares[law->slot], memory_order_relaxed);
        if (own != 0 && half_of(law) == own >> 32 << 32)
            return (uint32_t)own;
    }
    return atomic_load_explicit(&t->share_all, memory_order_relaxed);
}

/* ---- where a key counts ---- */

uint64_t limit_key(const struct limit_law *law, struct str apart) {
    uint64_t h = hash_mix(hash_keyed(apart), law->identity);
    return h != 0 ? h : 1;
}

/* A quota has no slot of its own. */
static const struct table *table_for(const struct limit_table *t, const struct limit_law *law) {
    bool quota = law->slot == UINT32_MAX;
    if (law->rate.window)
        return quota ? &t->quota_windows : &t->windows;
    return quota ? &t->quotas : &t->buckets;
}

static struct place *place_at(const struct table *t, uint64_t set, unsigned i) {
    return (struct place *)(void *)(t->at + (set * t->ways + i) * t->size);
}

static struct place *lane_of(const struct limit_table *t, const struct limit_law *law,
                             uint64_t key) {
    uint64_t set = law->slot < LIMITS_MAX ? law->slot : LIMITS_MAX + (law->identity >> 32) % 64;
    return place_at(law->rate.window ? &t->window_lanes : &t->bucket_lanes, set,
                    (key >> 32) % LANES);
}

static struct place *find_own(const struct table *t, uint64_t set, uint64_t key) {
    for (unsigned i = 0; i < t->ways; i++) {
        struct place *p = place_at(t, set, i);
        if (atomic_load_explicit(&p->key, memory_order_acquire) == key)
            return p;
    }
    return NULL;
}

/* The first one of a set that nobody needs, and how many there are. */
static struct place *find_free(const struct table *t, uint64_t set, uint64_t now, unsigned *n) {
    struct place *first = NULL;
    *n = 0;
    for (unsigned i = t->ways; i-- > 0;) {
        struct place *p = place_at(t, set, i);
        if (atomic_load_explicit(&p->until, memory_order_relaxed) > now)
            continue;
        first = p;
        ++*n;
    }
    return first;
}

/* False: somebody else was faster, with this key or with another one: look again. What the place
 * has said before is past, for any key. */
static bool claim(struct place *p, uint64_t key, uint64_t now) {
    uint64_t old = atomic_load_explicit(&p->key, memory_order_acquire);
    return old != key && atomic_load_explicit(&p->until, memory_order_relaxed) <= now &&
           atomic_compare_exchange_strong_explicit(&p->key, &old, key, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* Where a key counts. */
struct found {
    struct place *at; /* NULL: nothing was counted, and none is to be taken */
    bool shared;
};

/* A key has two sets, and comes into the emptier one: they fill up evenly, to nine tenths. */
static struct found find(const struct limit_table *all, const struct limit_law *law, uint64_t key,
                         uint64_t now, bool take) {
    const struct table *t = table_for(all, law);
    uint64_t a = key & (t->sets - 1), b = (key >> 32) & (t->sets - 1);
    for (;;) {
        unsigned n_a, n_b;
        struct place *own = find_own(t, a, key);
        own = own ? own : find_own(t, b, key);
        if (own)
            return (struct found){own, false};
        struct place *free_a = find_free(t, a, now, &n_a), *free_b = find_free(t, b, now, &n_b);
        if (n_a + n_b == 0)
            return (struct found){lane_of(all, law, key), true};
        struct place *p = n_a >= n_b ? free_a : free_b;
        if (!take)
            return (struct found){NULL, false};
        if (claim(p, key, now))
            return (struct found){p, false};
    }
}

static uint64_t ms_of(uint64_t units) { return (units + PER_MS - 1) / PER_MS; }

/* ---- buckets: the generic cell rate algorithm (ITU-T I.371) ---- */

struct pace {
    uint64_t each; /* units of time to a request, never too few */
    uint64_t room; /* of a full bucket */
};

static uint64_t times(uint64_t a, uint64_t b) { return a > LONGEST / b ? LONGEST : a * b; }

static struct pace pace_of(const struct limit_law *law, uint32_t share) {
    const struct limit_rate *r = &law->rate;
    uint64_t each = (r->per_ms * PER_MS + r->requests - 1) / r->requests, burst = r->burst;
    if (unlikely(share != LIMIT_SHARE)) {
        double all = (double)LIMIT_SHARE / (share > 0 ? share : 1);
        double slow = (double)each * all + 1;
        each = slow < (double)LONGEST ? (uint64_t)slow : LONGEST;
        burst = burst * share / LIMIT_SHARE; /* below 2^31 times 2^20 */
    }
    return (struct pace){each, times(each, burst > 0 ? burst : 1)};
}

/* What a bucket says at a time; more than empty is what was counted at another pace. */
static uint64_t level(uint64_t until, uint64_t now, const struct pace *p) {
    uint64_t missing = until > now ? until - now : 0;
    return missing < p->room ? missing : p->room;
}

static void bucket_ask(struct limit_table *t, const struct limit_law *law, uint64_t key,
                       uint32_t share, uint64_t now, bool take, struct limit_count *c) {
    struct pace p = pace_of(law, share);
    struct found f = find(t, law, key, now, take);
    uint64_t until = f.at ? atomic_load_explicit(&f.at->until, memory_order_relaxed) : 0, missing;
    do {
        missing = level(until, now, &p);
        c->allowed = p.room - missing >= p.each;
    } while (take && c->allowed &&
             !atomic_compare_exchange_weak_explicit(&f.at->until, &until, now + missing + p.each,
                                                    memory_order_acq_rel, memory_order_relaxed));
    missing += c->allowed ? p.each : 0;
    c->shared = f.shared;
    c->left = c->allowed ? (p.room - missing) / p.each : 0;
    c->wait_ms = c->allowed ? 0 : ms_of(missing + p.each - p.room);
    c->full_ms = ms_of(missing);
}

static void bucket_give(struct limit_table *t, const struct limit_law *law, uint64_t key,
                        uint32_t share, uint64_t now) {
    struct pace p = pace_of(law, share);
    struct place *b = find(t, law, key, now, false).at;
    uint64_t until = b ? atomic_load_explicit(&b->until, memory_order_relaxed) : 0;
    while (until > p.each &&
           !atomic_compare_exchange_weak_explicit(&b->until, &until, until - p.each,
                                                  memory_order_acq_rel, memory_order_relaxed))
        ;
}

/* ---- windows ---- */

static struct window *window_of(struct place *p) { return (struct window *)(void *)p; }

struct stretch {
    uint64_t part;     /* units of time of one */
    uint64_t now;      /* its number */
    uint64_t requests; /* allowed */
    uint32_t salt;     /* what another key has left in the place is no number of ours; lanes: 0 */
};

static uint32_t tag_of(const struct stretch *s, uint64_t part) { return (uint32_t)part + s->salt; }

/* Another worker's clock may be ahead of ours by a turn: then it is its part that counts. */
static uint64_t part_now(uint64_t now, uint64_t until, uint64_t part) {
    uint64_t own = now / part, latest = until / part;
    latest = latest > SLOTS ? latest - SLOTS : 0;
    return latest > own && latest - own <= (uint64_t)1000 * PER_MS / part + 1 ? latest : own;
}

static struct stretch stretch_of(const struct limit_law *law, uint64_t key, uint64_t share,
                                 uint64_t now, const struct found *f) {
    uint64_t n = law->rate.requests;
    struct stretch s = {.part = (law->rate.per_ms * PER_MS + PARTS - 1) / PARTS,
                        .requests = share == LIMIT_SHARE ? n : n * share / LIMIT_SHARE,
                        .salt = f->shared ? 0 : (uint32_t)(key >> 32)};
    s.requests = s.requests > 0 ? s.requests : 1;
    s.now = part_now(now, f->at ? atomic_load_explicit(&f->at->until, memory_order_relaxed) : 0,
                     s.part);
    return s;
}

static uint64_t counted(const struct window *w, const struct stretch *s, uint64_t part) {
    uint64_t v = atomic_load_explicit(&w->slot[part % SLOTS], memory_order_seq_cst);
    return v >> 32 == tag_of(s, part) ? (uint32_t)v : 0;
}

static uint64_t sum(const struct window *w, const struct stretch *s) {
    uint64_t n = 0;
    for (unsigned i = 0; w && i < SLOTS; i++)
        n += counted(w, s, s->now - i);
    return n;
}

/* Adds to the count of now. In one order for all threads, as the sums are: of two that count up at
 * the same moment, in parts of their own, one at least sees both. */
static void count_up(struct window *w, const struct stretch *s) {
    _Atomic uint64_t *slot = &w->slot[s->now % SLOTS];
    uint64_t v = atomic_load_explicit(slot, memory_order_relaxed), next;
    do
        next = v >> 32 == tag_of(s, s->now) ? v + 1 : (uint64_t)tag_of(s, s->now) << 32 | 1;
    while (!atomic_compare_exchange_weak_explicit(slot, &v, next, memory_order_seq_cst,
                                                  memory_order_relaxed));
}

static void count_down(struct window *w, const struct stretch *s) {
    _Atomic uint64_t *slot = &w->slot[s->now % SLOTS];
    uint64_t v = atomic_load_explicit(slot, memory_order_relaxed);
    while (v >> 32 == tag_of(s, s->now) && (uint32_t)v > 0 &&
           !atomic_compare_exchange_weak_explicit(slot, &v, v - 1, memory_order_acq_rel,
                                                  memory_order_relaxed))
        ;
}

static void keep_until(struct window *w, uint64_t until) {
    uint64_t v = atomic_load_explicit(&w->place.until, memory_order_relaxed);
    while (v < until && !atomic_compare_exchange_weak_explicit(
                            &w->place.until, &v, until, memory_order_acq_rel, memory_order_relaxed))
        ;
}

/* Until as many of the oldest have gone as make room for one. */
static uint64_t wait_of(const struct window *w, const struct stretch *s, uint64_t n, uint64_t now) {
    uint64_t part = s->now - PARTS;
    for (; part < s->now; part++) {
        n -= counted(w, s, part) < n ? counted(w, s, part) : n;
        if (n < s->requests)
            break;
    }
    uint64_t at = (part + SLOTS) * s->part;
    return at > now ? at - now : 1;
}

static void window_ask(struct limit_table *t, const struct limit_law *law, uint64_t key,
                       uint32_t share, uint64_t now, bool take, struct limit_count *c) {
    struct found f = find(t, law, key, now, take);
    struct window *w = window_of(f.at);
    struct stretch s = stretch_of(law, key, share, now, &f);
    uint64_t n = sum(w, &s), end = (s.now + SLOTS) * s.part;
    c->shared = f.shared;
    c->allowed = n < s.requests;
    if (take && c->allowed) {
        keep_until(w, end);
        count_up(w, &s);
        n = sum(w, &s); /* others may have been as fast; then all of them stand back */
        if (n > s.requests) {
            count_down(w, &s);
            c->allowed = false;
            n = s.requests;
        }
    } else if (c->allowed) {
        n++;
    }
    c->left = c->allowed ? s.requests - n : 0;
    c->wait_ms = c->allowed ? 0 : ms_of(wait_of(w, &s, n, now));
    c->full_ms = n > 0 ? ms_of(end - now) : 0;
}

static void window_give(struct limit_table *t, const struct limit_law *law, uint64_t key,
                        uint32_t share, uint64_t now) {
    struct found f = find(t, law, key, now, false);
    struct stretch s = stretch_of(law, key, share, now, &f);
    if (f.at)
        count_down(window_of(f.at), &s);
}

/* ---- both ---- */

static uint64_t time_of(uint64_t now_ns) { return BEGIN + now_ns * PER_NS; }

static void ask(struct limit_table *t, const struct limit_law *law, uint64_t key, uint32_t share,
                uint64_t now_ns, bool take, struct limit_count *c) {
    if (law->rate.window)
        window_ask(t, law, key, share, time_of(now_ns), take, c);
    else
        bucket_ask(t, law, key, share, time_of(now_ns), take, c);
}

void limit_look(struct limit_table *t, const struct limit_law *law, uint64_t key, uint64_t now_ns,
                struct limit_count *c) {
    ask(t, law, key, limit_share(t, law), now_ns, false, c);
}

void limit_take(struct limit_table *t, const struct limit_law *law, uint64_t key, uint64_t now_ns,
                struct limit_count *c) {
    ask(t, law, key, limit_share(t, law), now_ns, true, c);
}

void limit_give(struct limit_table *t, const struct limit_law *law, uint64_t key, uint64_t now_ns) {
    limit_give_part(t, law, key, limit_share(t, law), now_ns);
}

void limit_look_part(struct limit_table *t, const struct limit_law *law, uint64_t key,
                     uint32_t share, uint64_t now_ns, struct limit_count *c) {
    ask(t, law, key, share, now_ns, false, c);
}

void limit_take_part(struct limit_table *t, const struct limit_law *law, uint64_t key,
                     uint32_t share, uint64_t now_ns, struct limit_count *c) {
    ask(t, law, key, share, now_ns, true, c);
}

void limit_give_part(struct limit_table *t, const struct limit_law *law, uint64_t key,
                     uint32_t share, uint64_t now_ns) {
    if (law->rate.window)
        window_give(t, law, key, share, time_of(now_ns));
    else
        bucket_give(t, law, key, share, time_of(now_ns));
}
