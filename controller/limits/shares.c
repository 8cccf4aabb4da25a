/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/limits/shares.h"

#include "lib/mem.h"

enum {
    FLOOR = WIRE_WHOLE / 33,   /* of a count: divided evenly, for who is asked for nothing yet */
    NEAR = WIRE_WHOLE / 3,     /* a count that is asked for less ... */
    FORGET_MS = 15000,         /* ... for so long has the same parts again, like all others */
    NOTICE = WIRE_WHOLE / 500, /* a smaller difference is not worth a message */
    TREMBLE = 20,              /* a part is not made smaller by less than one in so many */
    LATE_MS = SHARES_LEASE_MS + 1000, /* a lease that began so long ago is over */
    SETTLE_MS = 1000, /* of a new controller: so long it waits for those who were told by others */
    HOLDERS_MAX = 1024,
};

struct cell {
    uint32_t acked, sent; /* it may count by either */
    uint32_t demand;      /* above the whole: more than the limit */
    uint32_t target;
    uint64_t heard_ms; /* when the proxy has named it */
};

struct holder { /* a proxy */
    uint64_t proxy;
    uint64_t serial;  /* of the last message; 0: none in this term */
    uint64_t sent_ms; /* of it */
    uint64_t heard_ms;
    bool flying; /* it is not acked */
    bool lost;
    bool told;                          /* not new in the fleet */
    struct cell even;                   /* of what is not listed */
    struct cell cells[WIRE_COUNTS_MAX]; /* by slot */
};

struct count { /* a slot */
    bool going;
    uint64_t id;      /* 0: free */
    uint64_t near_ms; /* when it was last asked for much */
};

struct shares {
    bool elected, leads;
    bool moves;                     /* as of the last turn */
    uint64_t term, serial, highest; /* the highest term that a proxy has shown */
    uint64_t higher_ms;             /* when one showed a higher one than ours; 0: never */
    uint64_t born_ms;
    uint64_t before; /* proxies that there are, as those here were told by others */
    struct holder **holders;
    size_t n_holders, cap;
    struct count counts[WIRE_COUNTS_MAX];
    size_t n_counts;
    uint32_t sums[WIRE_COUNTS_MAX + 1]; /* of what is held at most, by slot; the last: even */
    struct wire_count_share said[WIRE_COUNTS_MAX];
};

/* ---- life ---- */

struct shares *shares_new(bool elected, uint64_t now_ms) {
    struct shares *s = mem_zalloc(sizeof(*s));
    s->elected = elected;
    s->born_ms = now_ms;
    return s;
}

void shares_free(struct shares *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->n_holders; i++)
        mem_free(s->holders[i]);
    mem_free(s->holders);
    mem_free(s);
}

static void new_term(struct shares *s, uint64_t unix_ms) {
    s->term = unix_ms > s->highest ? unix_ms : s->highest + 1;
    s->highest = s->term;
    s->serial = 0;
    for (size_t i = 0; i < s->n_holders; i++) {
        s->holders[i]->serial = 0;
        s->holders[i]->flying = false;
    }
}

void shares_lead(struct shares *s, bool leads, uint64_t unix_ms) {
    if (leads && !s->leads)
        new_term(s, unix_ms);
    s->leads = leads;
}

struct shares_gauges shares_gauges(const struct shares *s) {
    return (struct shares_gauges){s->n_holders, s->n_counts, s->leads, s->moves};
}

/* ---- proxies and counts ---- */

static struct cell *cell_at(struct holder *h, size_t slot) {
    return slot == WIRE_COUNTS_MAX ? &h->even : &h->cells[slot];
}

static const struct cell *cell_of(const struct holder *h, size_t slot) {
    return slot == WIRE_COUNTS_MAX ? &h->even : &h->cells[slot];
}

/* What it may count by now. */
static uint32_t at_most(const struct cell *c) { return c->acked > c->sent ? c->acked : c->sent; }

static struct holder *holder_of(const struct shares *s, uint64_t proxy) {
    for (size_t i = 0; i < s->n_holders; i++)
        if (s->holders[i]->proxy == proxy)
            return s->holders[i];
    return NULL;
}

static struct holder *add_holder(struct shares *s, uint64_t proxy, uint32_t held) {
    if (s->n_holders == HOLDERS_MAX)
        return NULL;
    if (s->n_holders == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->holders = mem_realloc(s->holders, s->cap * sizeof(*s->holders));
    }
    struct holder *h = mem_zalloc(sizeof(*h));
    h->proxy = proxy;
    for (size_t i = 0; i <= WIRE_COUNTS_MAX; i++)
        *cell_at(h, i) = (struct cell){.acked = held, .sent = held};
    s->holders[s->n_holders++] = h;
    return h;
}

static void drop_holder(struct shares *s, size_t i) {
    mem_free(s->holders[i]);
    s->holders[i] = s->holders[--s->n_holders];
}

static int slot_find(const struct shares *s, uint64_t id) {
    for (int i = 0; i < WIRE_COUNTS_MAX; i++)
        if (s->counts[i].id == id)
            return i;
    return -1;
}

/* Until a message lists it, proxies count it like everything else that is not listed. -1: there is
 * no room. */
static int slot_add(struct shares *s, uint64_t id) {
    int slot = slot_find(s, 0);
    if (slot < 0)
        return -1;
    s->counts[slot] = (struct count){.id = id};
    s->n_counts++;
    for (size_t k = 0; k < s->n_holders; k++) {
        struct holder *h = s->holders[k];
        h->cells[slot] = (struct cell){.acked = h->even.acked, .sent = h->even.sent};
    }
    return slot;
}

/* ---- what proxies say ---- */

static uint32_t to_u32(uint64_t v) { return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX; }
static uint32_t to_part(uint64_t v) { return v < WIRE_WHOLE ? (uint32_t)v : WIRE_WHOLE; }

static void look_at_term(struct shares *s, const struct wire_demand *d, uint64_t now) {
    s->highest = d->term > s->highest ? d->term : s->highest;
    if (!s->leads || d->term <= s->term)
        return;
    s->higher_ms = now;
    if (s->elected) /* what is left of an earlier one */
        new_term(s, s->term);
}

/* Whether what it says that it holds is all that it may count by. */
static bool is_settled(struct shares *s, struct holder *h, const struct wire_demand *d) {
    if (d->term == s->term && d->serial == h->serial)
        h->flying = false;
    return !h->flying;
}

static void hear_count(struct shares *s, struct holder *h, const struct wire_count_demand *d,
                       bool settled, uint64_t now) {
    uint32_t demand = to_u32(d->demand);
    if (d->count == 0)
        return;
    int slot = slot_find(s, d->count);
    bool own = to_part(d->held) != h->even.acked; /* of an earlier term */
    if (slot < 0 && ((demand == 0 && !own) || (slot = slot_add(s, d->count)) < 0))
        return;
    struct cell *c = &h->cells[slot];
    c->demand = demand;
    c->heard_ms = now;
    if (settled)
        c->acked = c->sent = to_part(d->held);
    if ((uint64_t)demand * s->n_holders >= NEAR)
        s->counts[slot].near_ms = now;
}

/* Of a count that it does not name it is asked for nothing, and its part is that of the rest. */
static void hear_unnamed(struct shares *s, struct holder *h, bool settled, uint64_t now) {
    for (size_t i = 0; i < WIRE_COUNTS_MAX; i++) {
        struct cell *c = &h->cells[i];
        if (s->counts[i].id == 0 || c->heard_ms == now)
            continue;
        c->demand = 0;
        if (settled)
            c->acked = c->sent = h->even.acked;
    }
}

void shares_hear(struct shares *s, uint64_t proxy, const struct wire_demand *d, uint64_t now_ms) {
    struct holder *h = holder_of(s, proxy);
    if (!h && !(h = add_holder(s, proxy, to_part(d->held))))
        return;
    look_at_term(s, d, now_ms);
    if (now_ms - s->born_ms < SHARES_RESERVE_MS && d->term != s->term && d->proxies > s->before)
        s->before = size_min(d->proxies, HOLDERS_MAX);
    bool settled = is_settled(s, h, d);
    h->heard_ms = now_ms;
    h->told = d->proxies > 0;
    if (settled)
        h->even.acked = h->even.sent = to_part(d->held);
    for (uint32_t i = 0; i < d->n_counts && i < WIRE_COUNTS_MAX; i++)
        hear_count(s, h, &d->counts[i], settled, now_ms);
    hear_unnamed(s, h, settled, now_ms);
}

void shares_lose(struct shares *s, uint64_t proxy) {
    struct holder *h = holder_of(s, proxy);
    if (!h)
        return;
    h->lost = true;
}

/* ---- targets ---- */

static size_t living(const struct shares *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_holders; i++)
        n += !s->holders[i]->lost;
    return n;
}

static size_t told(const struct shares *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_holders; i++)
        n += !s->holders[i]->lost && s->holders[i]->told;
    return n;
}

static uint64_t demand_of(const struct shares *s, size_t slot) {
    uint64_t sum = 0;
    for (size_t i = 0; i < s->n_holders; i++)
        if (!s->holders[i]->lost)
            sum += s->holders[i]->cells[slot].demand;
    return sum;
}

/* Below the limit everybody gets what it is asked for, and as much of the rest as the others; above
 * it, by demand. */
static uint32_t part(uint64_t demand, uint64_t sum, size_t n) {
    uint64_t whole = WIRE_WHOLE - FLOOR;
    uint64_t mine = sum < WIRE_WHOLE ? demand + (WIRE_WHOLE - sum) / n : demand * WIRE_WHOLE / sum;
    return (uint32_t)(FLOOR / n + whole * mine / WIRE_WHOLE);
}

static void aim(struct shares *s, size_t slot, size_t n) {
    uint64_t sum = slot < WIRE_COUNTS_MAX ? demand_of(s, slot) : 0;
    bool even = slot == WIRE_COUNTS_MAX || s->counts[slot].going;
    for (size_t i = 0; i < s->n_holders; i++) {
        struct holder *h = s->holders[i];
        struct cell *c = cell_at(h, slot);
        c->target = h->lost ? 0 : even ? (uint32_t)(WIRE_WHOLE / n) : part(c->demand, sum, n);
    }
}

/* What proxies may hold that are not known here. */
static uint64_t reserve(const struct shares *s, size_t n, uint64_t now) {
    if (now - s->born_ms >= SHARES_RESERVE_MS || s->before <= n)
        return 0;
    return WIRE_WHOLE * (s->before - n) / s->before;
}

static void add_up(struct shares *s, size_t slot, uint64_t sum) {
    for (size_t i = 0; i < s->n_holders; i++)
        sum += at_most(cell_at(s->holders[i], slot));
    s->sums[slot] = to_u32(sum);
}

/* All hold what they hold of everything else: it needs no line of its own. */
static bool is_even(struct shares *s, size_t slot) {
    for (size_t i = 0; i < s->n_holders; i++) {
        struct holder *h = s->holders[i];
        const struct cell *c = &h->cells[slot];
        if (h->flying || c->acked != h->even.acked || c->sent != h->even.sent)
            return false;
    }
    return true;
}

static void forget(struct shares *s, size_t slot, uint64_t now) {
    struct count *c = &s->counts[slot];
    c->going = now - c->near_ms >= FORGET_MS;
    if (!c->going)
        return;
    if (!is_even(s, slot))
        return;
    c->id = 0;
    s->n_counts--;
}

/* ---- handing out ---- */

/* A smaller part at once, unless it is so by a little; a larger one as far as others have given
 * theirs up. So parts stand still while demand only trembles, and still add up to the whole. */
static uint32_t next_part(const struct shares *s, const struct holder *h, size_t slot) {
    const struct cell *c = cell_of(h, slot);
    bool even = slot == WIRE_COUNTS_MAX || s->counts[slot].going;
    uint32_t now = at_most(c);
    if (c->target < now) {
        bool much = even || s->sums[slot] > WIRE_WHOLE || now - c->target > now / TREMBLE;
        return much ? c->target : now;
    }
    uint32_t free = s->sums[slot] < WIRE_WHOLE ? WIRE_WHOLE - s->sums[slot] : 0;
    return now + (uint32_t)size_min(free, c->target - now);
}

static bool wants_other(const struct shares *s, const struct holder *h) {
    for (size_t i = 0; i <= WIRE_COUNTS_MAX; i++) {
        if (i < WIRE_COUNTS_MAX && s->counts[i].id == 0)
            continue;
        uint32_t now = at_most(cell_of(h, i)), next = next_part(s, h, i);
        if ((next > now ? next - now : now - next) >= NOTICE)
            return true;
    }
    return false;
}

static uint32_t set_part(struct shares *s, struct holder *h, size_t slot) {
    struct cell *c = cell_at(h, slot);
    uint32_t before = at_most(c);
    c->sent = next_part(s, h, slot);
    s->sums[slot] += at_most(c) - before;
    return c->sent;
}

static struct wire_shares message(struct shares *s, struct holder *h, uint64_t now) {
    struct wire_shares m = {.term = s->term,
                            .serial = ++s->serial,
                            .lease_ms = SHARES_LEASE_MS,
                            .proxies = living(s),
                            .counts = s->said};
    m.share = set_part(s, h, WIRE_COUNTS_MAX);
    for (size_t i = 0; i < WIRE_COUNTS_MAX; i++) {
        const struct count *c = &s->counts[i];
        if (c->id == 0)
            continue;
        s->said[m.n_counts++] =
            (struct wire_count_share){.count = c->id, .share = set_part(s, h, i)};
    }
    h->serial = m.serial;
    h->sent_ms = now;
    h->flying = true;
    return m;
}

/* One that has not answered until its lease was over counts by 1/N, and is told anew. */
static void look_at_late(struct holder *h, uint64_t now) {
    if (!h->flying || now - h->sent_ms < LATE_MS)
        return;
    h->flying = false;
    for (size_t i = 0; i <= WIRE_COUNTS_MAX; i++) {
        struct cell *c = cell_at(h, i);
        c->acked = c->sent = at_most(c);
    }
}

static void drop_lost(struct shares *s, uint64_t now) {
    for (size_t i = s->n_holders; i-- > 0;) {
        const struct holder *h = s->holders[i];
        uint64_t since = h->sent_ms > h->heard_ms ? h->sent_ms : h->heard_ms;
        if (h->lost && now - since >= LATE_MS)
            drop_holder(s, i);
    }
}

static bool may_hand_out(const struct shares *s, uint64_t now) {
    uint64_t age = now - s->born_ms;
    if (!s->leads || age < SETTLE_MS || (age < LATE_MS && told(s) < s->before))
        return false;
    return s->higher_ms == 0 || s->elected || now - s->higher_ms >= LATE_MS;
}

static bool is_due(struct shares *s, struct holder *h, uint64_t now) {
    if (h->lost || h->flying)
        return false;
    return h->serial == 0 || now - h->sent_ms >= SHARES_RENEW_MS || wants_other(s, h);
}

/* Somebody has been told, and what was told may make room for others. */
static bool hand_out(struct shares *s, uint64_t now_ms,
                     void (*give)(void *arg, uint64_t proxy, const struct wire_shares *m),
                     void *arg) {
    bool said = false;
    for (size_t i = 0; i < s->n_holders; i++) {
        struct holder *h = s->holders[i];
        look_at_late(h, now_ms);
        if (!is_due(s, h, now_ms))
            continue;
        struct wire_shares m = message(s, h, now_ms);
        give(arg, h->proxy, &m);
        said = true;
    }
    return said;
}

void shares_turn(struct shares *s, uint64_t now_ms,
                 void (*give)(void *arg, uint64_t proxy, const struct wire_shares *m), void *arg) {
    drop_lost(s, now_ms);
    s->moves = s->leads;
    size_t n = living(s);
    if (n == 0)
        return;
    for (size_t i = 0; i <= WIRE_COUNTS_MAX; i++) {
        if (i < WIRE_COUNTS_MAX && s->counts[i].id != 0)
            forget(s, i, now_ms);
        if (i < WIRE_COUNTS_MAX && s->counts[i].id == 0)
            continue;
        aim(s, i, n);
        add_up(s, i, reserve(s, n, now_ms));
    }
    if (!may_hand_out(s, now_ms))
        return;
    bool said = hand_out(s, now_ms, give, arg);
    s->moves = said || s->n_counts > 0;
}
