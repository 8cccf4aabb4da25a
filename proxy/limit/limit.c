/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/limit/limit.h"

#include "lib/digits.h"
#include "lib/mem.h"
#include "proxy/auth/place.h"
#include "proxy/limit/ratestore.h"

enum { QUERY_ROOM = 4096, STORE_WAIT_MS = 1000 };

struct limit_env *limit_env_new(struct loop *l, struct auth_env *auth, struct limit_table *table) {
    struct limit_env *env = mem_zalloc(sizeof(*env));
    env->loop = l;
    env->auth = auth;
    env->table = table;
    return env;
}

void limit_env_free(struct limit_env *env) { mem_free(env); }

/* ---- what is counted apart ---- */

/* How a value stands in `apart`: a key that is absent, or there twice, is a value as any other, so
 * nobody gets around a limit by leaving it out or by writing it twice. */
enum { APART_ABSENT = 'a', APART_TWICE = 't', APART_VALUE = 'v' };

enum { APART_HEAD = 4 }; /* the kind, and the length */

static void write_head(char *at, char kind, size_t n) {
    at[0] = kind;
    at[1] = (char)(n >> 16);
    at[2] = (char)(n >> 8);
    at[3] = (char)n;
}

static void put(struct out *o, char kind, struct str value) {
    char *at = out_take(o, APART_HEAD);
    if (at)
        write_head(at, kind, value.n);
    out_str(o, value);
}

static bool is_v4(const uint8_t client[16]) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(client, mapped, sizeof(mapped)) == 0;
}

/* All of an IPv4 address; of IPv6 the /64, since who has one address of it has all. */
static struct str network_of(const uint8_t client[16]) {
    return is_v4(client) ? str_mk((const char *)client + 12, 4) : str_mk((const char *)client, 8);
}

/* As put() would, in fewer steps: it is what most limits count by. */
static void put_address(struct out *o, const uint8_t client[16]) {
    if (unlikely(!is_v4(client))) {
        put(o, APART_VALUE, network_of(client));
        return;
    }
    char *at = out_take(o, APART_HEAD + 4);
    if (!at)
        return;
    write_head(at, APART_VALUE, 4);
    memcpy(at + APART_HEAD, client + 12, 4);
}

static void put_place(const struct exchange *x, const struct model_rate_key *k, struct out *o) {
    const struct model_value_source s = {k->by, k->name, STR_NONE};
    char room[QUERY_ROOM];
    struct str value = STR_NONE;
    enum place p = place_read(&s, x->request, x->query, room, sizeof(room), &value);
    put(o,
        p == PLACE_NONE  ? APART_ABSENT
        : p == PLACE_ONE ? APART_VALUE
                         : APART_TWICE,
        p == PLACE_ONE ? value : STR_NONE);
}

static void put_consumer(struct limit_env *env, const struct exchange *x, struct out *o) {
    struct str id = x->rule->guarded ? auth_who_consumer(env->auth) : STR_NONE;
    put(o, id.n > 0 ? APART_VALUE : APART_ABSENT, id);
}

static void put_claim(struct limit_env *env, const struct exchange *x,
                      const struct model_rate_key *k, struct out *o) {
    size_t begin = o->n;
    put(o, APART_ABSENT, STR_NONE);
    if (o->over || !x->rule->guarded || !auth_who_claim(env->auth, k->path, k->n_path, o))
        return;
    write_head(o->p + begin, APART_VALUE, o->n - begin - APART_HEAD);
}

static void put_key(struct limit_env *env, const struct exchange *x, const uint8_t client[16],
                    const struct model_rate_key *k, struct out *o) {
    switch (k->by) {
    case MODEL_FROM_ADDRESS:
        put_address(o, client);
        break;
    case MODEL_FROM_HEADER:
    case MODEL_FROM_COOKIE:
    case MODEL_FROM_QUERY:
        put_place(x, k, o);
        break;
    case MODEL_FROM_CONSUMER:
        put_consumer(env, x, o);
        break;
    case MODEL_FROM_CLAIM:
        put_claim(env, x, k, o);
        break;
    }
}

/* What does not fit counts as one value. */
static struct str apart_of(struct limit_env *env, const struct exchange *x,
                           const uint8_t client[16], const struct model_rate_limit *m,
                           struct out *o) {
    size_t begin = o->n;
    for (uint32_t i = 0; i < m->n_keys && !o->over; i++)
        put_key(env, x, client, &m->keys[i], o);
    if (!o->over)
        return str_mk(o->p + begin, o->n - begin);
    o->over = false;
    o->n = begin;
    return STR("?");
}

/* ---- which limits ---- */

static bool in_one(struct limit_env *env, const struct exchange *x, const struct str *groups,
                   uint32_t n) {
    for (uint32_t i = 0; i < n && x->rule->guarded; i++)
        if (auth_who_has_group(env->auth, groups[i]))
            return true;
    return n == 0;
}

static void add(struct limit_env *env, struct limits_asked *a, const struct limit_law *law,
                struct str apart) {
    struct limit_asked *one = &a->v[a->n++];
    struct portions *p = law->fleet ? limit_table_portions(env->table) : NULL;
    *one = (struct limit_asked){.law = law, .key = limit_key(law, apart), .apart = apart};
    one->over_fleet = p != NULL;
    if (!p)
        one->share = limit_share(env->table, law);
    else if (unlikely(!portions_quiet(p, &one->share)))
        one->share = portions_ask(p, portions_count(law->identity, apart), law->rate.window);
}

static void add_quota(struct limit_env *env, struct limits_asked *a) {
    struct str consumer;
    const struct model_rate_limit *m = auth_who_quota(env->auth, &consumer);
    if (!m)
        return;
    limit_law_of_quota(&a->quota, consumer, m, a->item);
    add(env, a, &a->quota, consumer);
}

bool limit_gather(struct limit_env *env, const struct exchange *x, const uint8_t client[16],
                  struct limits_asked *a) {
    struct out o = out_fixed(env->apart, sizeof(env->apart));
    a->n = 0;
    for (uint32_t i = 0; i < x->rule->n_limits && a->n < LIMITS_OF_POLICY; i++) {
        const struct limit_law *law = &x->rule->limits[i];
        if (in_one(env, x, law->model->groups, law->model->n_groups))
            add(env, a, law, apart_of(env, x, client, law->model, &o));
    }
    if (x->rule->guarded)
        add_quota(env, a);
    return a->n > 0;
}

/* ---- decisions ---- */

static struct limit_sums *sums_of(struct limit_env *env, const struct limit_law *law) {
    if (law->slot == UINT32_MAX)
        return &env->quotas;
    if (law->slot >= LIMITS_MAX)
        return &env->others;
    struct limit_sums *s = &env->sums[law->slot];
    if (unlikely(s->identity != law->identity)) { /* another limit had the slot */
        metric_set(&s->identity, 0);
        metric_set(&s->allowed, 0);
        metric_set(&s->refused, 0);
        metric_set(&s->dry_refused, 0);
        metric_set(&s->shared, 0);
        metric_set(&s->identity, law->identity);
    }
    return s;
}

/* Refused, or less than half of what this proxy may count by is left: it may need more of it. */
static bool is_near(const struct limit_asked *one) {
    const struct limit_rate *r = &one->law->rate;
    uint64_t all = (r->window ? r->requests : r->burst) * one->share / LIMIT_SHARE;
    return !one->count.allowed || one->count.left * 2 < all;
}

static void note(struct limit_env *env, const struct limit_asked *one) {
    if (one->over_fleet && !one->by_store && unlikely(is_near(one)))
        portions_near(limit_table_portions(env->table),
                      portions_count(one->law->identity, one->apart), one->law->rate.requests,
                      one->law->rate.per_ms);
    struct limit_sums *s = sums_of(env, one->law);
    metric_add(one->count.allowed  ? &s->allowed
               : one->law->dry_run ? &s->dry_refused
                                   : &s->refused,
               1);
    if (unlikely(one->count.shared))
        metric_add(&s->shared, 1);
}

static bool refuses(const struct limit_asked *one) {
    return !one->count.allowed && !one->law->dry_run;
}

static void look(struct limit_env *env, struct limit_asked *one) {
    if (!one->by_store)
        limit_look_part(env->table, one->law, one->key, one->share, env->loop->now_ns, &one->count);
}

/* One by one; when another worker was faster with the last of one, what was taken is given back. */
static const struct limit_asked *take_all(struct limit_env *env, struct limits_asked *a) {
    uint64_t now = env->loop->now_ns;
    for (unsigned i = 0; i < a->n; i++) {
        struct limit_asked *one = &a->v[i];
        if (one->by_store)
            continue;
        limit_take_part(env->table, one->law, one->key, one->share, now, &one->count);
        if (!refuses(one))
            continue;
        for (unsigned k = 0; k < i; k++)
            if (!a->v[k].by_store && a->v[k].count.allowed)
                limit_give_part(env->table, a->v[k].law, a->v[k].key, a->v[k].share, now);
        return one;
    }
    return NULL;
}

/* Of several the one that has to be waited for longest. */
static const struct limit_asked *first_refusing(const struct limits_asked *a) {
    const struct limit_asked *found = NULL;
    for (unsigned i = 0; i < a->n; i++)
        if (refuses(&a->v[i]) && (!found || a->v[i].count.wait_ms > found->count.wait_ms))
            found = &a->v[i];
    return found;
}

/* What would be left, if one were taken, has one more: in the end nothing was taken here. */
static void untake(struct limits_asked *a) {
    for (unsigned i = 0; i < a->n; i++)
        if (!a->v[i].by_store && a->v[i].count.allowed)
            a->v[i].count.left++;
}

static const struct limit_asked *decide_one(struct limit_env *env, struct limit_asked *one,
                                            const struct limit_asked **dry) {
    limit_take_part(env->table, one->law, one->key, one->share, env->loop->now_ns, &one->count);
    note(env, one);
    if (likely(one->count.allowed))
        return NULL;
    if (!one->law->dry_run)
        return one;
    *dry = one;
    return NULL;
}

const struct limit_asked *limit_decide(struct limit_env *env, struct limits_asked *a,
                                       const struct limit_asked **dry) {
    *dry = NULL;
    if (likely(a->n == 1 && !a->v[0].by_store))
        return decide_one(env, &a->v[0], dry);
    for (unsigned i = 0; i < a->n; i++)
        look(env, &a->v[i]);
    const struct limit_asked *refusing = first_refusing(a);
    if (!refusing)
        refusing = take_all(env, a);
    if (refusing) {
        untake(a);
        note(env, refusing);
        return refusing;
    }
    for (unsigned i = 0; i < a->n; i++) {
        note(env, &a->v[i]);
        if (!a->v[i].count.allowed)
            *dry = &a->v[i];
    }
    return NULL;
}

/* ---- the fields ---- */

static uint64_t seconds(uint64_t ms) { return (ms + 999) / 1000; }

static bool comma(struct out *o, bool first, struct str name) {
    out_str(o, first ? name : STR(", "));
    return false;
}

/* `;r=` and the digits. */
static char *put_number(char *at, char name, uint32_t v) {
    *at++ = ';';
    *at++ = name;
    *at++ = '=';
    return digits_u64(at, v);
}

/* What a limit may have, and the seconds of some years, are less. */
static uint32_t small(uint64_t v) { return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX; }

/* draft-ietf-httpapi-ratelimit-headers-10, 4: r is what is left; t is when all of it will be there
 * again, and where nothing is left, when the next one is allowed. */
static void write_left(const struct limit_asked *one, struct out *o) {
    const struct limit_count *c = &one->count;
    char room[64], *at = room; /* in one piece */
    at = put_number(at, 'r', small(c->left));
    at = put_number(at, 't', small(seconds(c->allowed ? c->full_ms : c->wait_ms)));
    out_bytes(o, room, (size_t)(at - room));
}

static void write_policies(const struct limits_asked *a, struct out *o) {
    bool first = true;
    for (unsigned i = 0; i < a->n; i++) {
        if (a->v[i].law->dry_run)
            continue;
        first = comma(o, first, STR("ratelimit-policy: "));
        out_str(o, a->v[i].law->item);
    }
    out_lit(o, "\r\n");
}

static void write_states(const struct limits_asked *a, struct out *o) {
    bool first = true;
    for (unsigned i = 0; i < a->n; i++) {
        if (a->v[i].law->dry_run)
            continue;
        first = comma(o, first, STR("ratelimit: "));
        out_char(o, '"');
        out_str(o, a->v[i].law->name);
        out_char(o, '"');
        write_left(&a->v[i], o);
    }
    out_lit(o, "\r\n");
}

/* Those that only count say nothing. */
static bool says_something(const struct limits_asked *a) {
    for (unsigned i = 0; i < a->n; i++)
        if (!a->v[i].law->dry_run)
            return true;
    return false;
}

void limit_write_fields(const struct limits_asked *a, const struct limit_asked *refusing,
                        struct out *o) {
    if (!says_something(a))
        return;
    if (likely(a->n == 1 && a->v[0].law->alone.n > 0)) {
        out_str(o, a->v[0].law->alone);
        write_left(&a->v[0], o);
        out_lit(o, "\r\n");
    } else {
        write_policies(a, o);
        write_states(a, o);
    }
    if (!refusing)
        return;
    out_lit(o, "retry-after: ");
    out_u64(o, seconds(refusing->count.wait_ms));
    out_lit(o, "\r\n");
}

/* ---- what is kept ---- */

static struct str keep(struct out *o, struct str s) {
    size_t at = o->n;
    out_str(o, s);
    return o->over ? STR_NONE : str_mk(o->p + at, s.n);
}

static bool keep_it(struct limit_env *env, const struct limits_asked *a,
                    const struct limit_asked *refusing, const struct limit_asked *dry,
                    struct limited **out) {
    const struct limit_asked *named = refusing ? refusing : dry;
    enum slab_size size = a->n <= 6 ? SLAB_2K : SLAB_4K;
    struct limited *l = *out = slab_take(&env->loop->slabs, size);
    if (!l)
        return false;
    *l = (struct limited){.slab = (uint8_t)size, .refused = refusing != NULL, .dry = dry != NULL};
    struct out o = out_fixed((char *)(l + 1), slab_bytes(size) - sizeof(*l));
    limit_write_fields(a, refusing, &o);
    l->fields = o.over ? STR_NONE : out_done(&o);
    if (named) {
        l->policy = keep(&o, named->law->policy);
        l->name = keep(&o, named->law->name);
    }
    return true;
}

void limit_drop(struct limit_env *env, struct limited *l) {
    if (l)
        slab_give(&env->loop->slabs, (enum slab_size)l->slab, l);
}

/* The store cannot be asked: who is to be strict refuses, and all others count by shares. */
static void without_store(struct limits_asked *a) {
    for (unsigned i = 0; i < a->n; i++) {
        struct limit_asked *one = &a->v[i];
        if (!one->law->fleet || !one->law->fail_closed)
            continue;
        one->by_store = true;
        one->count = (struct limit_count){.wait_ms = STORE_WAIT_MS};
    }
}

bool limit_ask(struct limit_env *env, const struct exchange *x, const uint8_t client[16],
               struct errands *errands, struct limited **out) {
    struct limits_asked a;
    const struct limit_asked *dry;
    *out = NULL;
    env->waits = false;
    if (!env->table || !limit_gather(env, x, client, &a))
        return true;
    enum ratestore_says says = env->store && x->snapshot->gateway->rate_limit_store
                                   ? ratestore_ask(env->store, &a, errands)
                                   : RATESTORE_NONE;
    env->waits = says == RATESTORE_WAITS;
    if (env->waits)
        return true;
    if (says == RATESTORE_DOWN)
        without_store(&a);
    const struct limit_asked *refusing = limit_decide(env, &a, &dry);
    if (refusing && says == RATESTORE_SAID)
        ratestore_untake(env->store, &a);
    return keep_it(env, &a, refusing, dry, out);
}

/* ---- failures ---- */

static const struct limit_law *failures_of(const struct exchange *x, uint32_t slot) {
    const struct auth_law *law = slot != UINT32_MAX ? snapshot_auth(x->snapshot, slot) : NULL;
    return law ? law->failures : NULL;
}

/* In all the time that the limit looks back to, anybody. */
static bool has_failed(const struct limit_env *env, const struct limit_law *law) {
    uint64_t now = env->loop->now_ns, back = law->rate.per_ms * 1000000;
    return limit_table_has_failed(env->table, now > back ? now - back : 1);
}

bool limit_failures(struct limit_env *env, const struct exchange *x, const uint8_t client[16],
                    struct limited **out) {
    const uint32_t slots[] = {x->rule->override_auth, x->rule->auth};
    *out = NULL;
    for (size_t i = 0; env->table && i < ARRAY_LEN(slots); i++) {
        const struct limit_law *law = failures_of(x, slots[i]);
        if (!law || likely(!has_failed(env, law)))
            continue;
        struct limits_asked a = {.n = 0};
        add(env, &a, law, network_of(client));
        look(env, &a.v[0]);
        if (a.v[0].count.allowed)
            continue;
        note(env, &a.v[0]);
        return keep_it(env, &a, &a.v[0], NULL, out);
    }
    return true;
}

void limit_failed(struct limit_env *env, const struct exchange *x, const uint8_t client[16],
                  struct str policy) {
    const uint32_t slots[] = {x->rule->override_auth, x->rule->auth};
    for (size_t i = 0; env->table && i < ARRAY_LEN(slots); i++) {
        struct limit_count c;
        const struct limit_law *law = failures_of(x, slots[i]);
        if (!law || !str_eq(law->policy, policy))
            continue;
        limit_table_failed(env->table, env->loop->now_ns);
        limit_take(env->table, law, limit_key(law, network_of(client)), env->loop->now_ns, &c);
    }
}
