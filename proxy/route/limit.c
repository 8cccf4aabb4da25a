/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/limit.h"

#include "proxy/route/build.h"

enum { FAILURES = 30, FAILURES_PER_MS = 60000, TEXTS = LIMIT_ITEM_MAX * 3 };

/* One block: the laws, then their texts. */
struct limits_part {
    struct part part;
    uint32_t n;
    struct limit_law laws[];
};

/* ---- numbers: the same one as long as a policy has a limit of that name ---- */

struct limit_slot {
    char *key; /* id of the policy, '\n', name of the limit */
    size_t n;
    uint32_t slot, users;
    uint64_t born;
};

static struct limit_slot *slot_named(struct builder *b, struct str id, struct str name) {
    size_t n = id.n + 1 + name.n;
    struct arena a;
    arena_init(&a);
    struct str key = arena_fmt(&a, "%.*s\n%.*s", STR_FMT(id), STR_FMT(name));
    struct limit_slot *s = map_get(&b->limit_slots, key);
    if (!s) {
        s = mem_zalloc(sizeof(*s));
        *s = (struct limit_slot){.key = str_dup(key), .n = n, .born = b->keeper->building};
        s->slot = slot_take(b->keeper, SLOT_LIMIT, NULL);
        map_put(&b->limit_slots, str_mk(s->key, s->n), s);
    }
    arena_fini(&a);
    return s;
}

static uint32_t slot_hold(struct builder *b, struct str id, struct str name) {
    struct limit_slot *s = slot_named(b, id, name);
    s->users++;
    return s->slot;
}

static void slot_release(struct builder *b, struct str id, struct str name) {
    struct limit_slot *s = slot_named(b, id, name);
    if (--s->users > 0)
        return;
    map_del(&b->limit_slots, str_mk(s->key, s->n));
    slot_retire(b->keeper, SLOT_LIMIT, s->slot, s->born);
    mem_free(s->key);
    mem_free(s);
}

/* ---- laws ---- */

static struct limit_rate rate_of(const struct model_rate_limit *m) {
    return (struct limit_rate){.requests = m->requests,
                               .per_ms = m->per_ms,
                               .burst = m->burst > 0 ? m->burst : m->requests,
                               .window = m->window};
}

/* What was counted at another pace, or in another way, says nothing. */
static uint64_t identity_of(struct str id, struct str name, const struct limit_rate *r) {
    uint64_t h = hash_mix(hash_content(id), hash_content(name));
    return hash_mix(h, r->per_ms * 2 + r->window) | 1;
}

/* draft-ietf-httpapi-ratelimit-headers-10, 3: a window is said in whole seconds, or not at all. */
static void write_item(const struct limit_law *l, struct out *o) {
    out_char(o, '"');
    out_str(o, l->name);
    out_lit(o, "\";q=");
    out_u64(o, l->rate.requests);
    if (l->rate.per_ms % 1000 != 0)
        return;
    out_lit(o, ";w=");
    out_u64(o, l->rate.per_ms / 1000);
}

static void write_texts(struct limit_law *l, char room[TEXTS]) {
    struct out item = out_fixed(room, LIMIT_ITEM_MAX);
    struct out alone = out_fixed(room + LIMIT_ITEM_MAX, TEXTS - LIMIT_ITEM_MAX);
    write_item(l, &item);
    l->item = out_done(&item);
    out_lit(&alone, "ratelimit-policy: ");
    out_str(&alone, l->item);
    out_lit(&alone, "\r\nratelimit: \"");
    out_str(&alone, l->name);
    out_char(&alone, '"');
    l->alone = out_done(&alone);
}

static struct limit_law law_of(struct str id, struct str policy, struct str name,
                               const struct model_rate_limit *m) {
    struct limit_law l = {.slot = UINT32_MAX,
                          .policy = policy,
                          .name = name,
                          .rate = rate_of(m),
                          .fleet = m->fleet,
                          .dry_run = m->dry_run,
                          .fail_closed = m->fail_closed,
                          .model = m};
    l.identity = identity_of(id, name, &l.rate);
    return l;
}

void limit_law_of_quota(struct limit_law *to, struct str consumer,
                        const struct model_rate_limit *model, char room[LIMIT_ITEM_MAX]) {
    struct out o = out_fixed(room, LIMIT_ITEM_MAX);
    *to = law_of(consumer, consumer, STR("rateLimit"), model);
    write_item(to, &o);
    to->item = out_done(&o);
}

static struct limits_part *part_of(struct builder *b, uint32_t n, size_t texts) {
    struct limits_part *p =
        part_new(b->keeper, PART_BLOCK, sizeof(*p) + n * sizeof(struct limit_law) + texts);
    p->n = n;
    return p;
}

static void give_number(struct builder *b, struct limit_law *l, struct str id, char *text) {
    write_texts(l, text);
    l->slot = slot_hold(b, id, l->name);
    pages_set(b->keeper, &b->limits, l->slot, l);
}

/* After what takes its place has its numbers. */
static void retire(struct builder *b, struct limits_part *p, struct str id) {
    for (uint32_t i = 0; p && i < p->n; i++) {
        const struct limit_law *l = &p->laws[i];
        if (pages_get(b->limits, l->slot) == l)
            pages_set(b->keeper, &b->limits, l->slot, NULL);
        slot_release(b, id, l->name);
    }
    if (p)
        part_retire(b->keeper, &p->part);
}

static struct str name_of_policy(struct str id) { return str_skip(id, str_find(id, '/', 0) + 1); }

static struct limits_part *traffic_part(struct builder *b, struct str id,
                                        const struct model_traffic *m) {
    if (!m || m->n_rate_limits == 0)
        return NULL;
    struct limits_part *p = part_of(b, m->n_rate_limits, m->n_rate_limits * (size_t)TEXTS);
    char *text = (char *)(p->laws + p->n);
    for (uint32_t i = 0; i < p->n; i++, text += TEXTS) {
        const struct model_rate_limit *r = &m->rate_limits[i];
        p->laws[i] = law_of(id, name_of_policy(id), r->name, r);
        give_number(b, &p->laws[i], id, text);
    }
    return p;
}

void traffic_limits_make(struct builder *b, struct node *n) {
    struct limits_part *old = n->limits;
    n->limits = traffic_part(b, n->id, node_is(n, MODEL_KIND_traffic) ? n->parsed->model : NULL);
    retire(b, old, n->id);
}

const struct limit_law *limits_of_traffic(const struct node *traffic, uint32_t *n) {
    const struct limits_part *p = traffic ? traffic->limits : NULL;
    *n = p ? p->n : 0;
    return p ? p->laws : NULL;
}

/* Nobody has shown anything where nobody is asked, and one that only records refuses nobody. */
static bool counts_failures(const struct model_auth *m) {
    return m && m->n_methods > 0 && m->mode == MODEL_ENFORCE && m->refusal == MODEL_REFUSE_NO;
}

const struct limit_law *failures_make(struct builder *b, struct str id, const struct model_auth *m,
                                      struct limits_part **at) {
    static const struct model_rate_limit usual = {.requests = FAILURES, .per_ms = FAILURES_PER_MS};
    struct limits_part *old = *at;
    *at = counts_failures(m) ? part_of(b, 1, TEXTS) : NULL;
    if (*at) {
        struct limit_law *l = &(*at)->laws[0];
        *l = law_of(id, name_of_policy(id), STR("failureLimit"),
                    m->failure_limit ? m->failure_limit : &usual);
        l->model = NULL;
        give_number(b, l, id, (char *)(l + 1));
    }
    retire(b, old, id);
    return *at ? (*at)->laws : NULL;
}

const struct limit_law *snapshot_limit(const struct snapshot *s, uint32_t slot) {
    return pages_get(s->parts->limits, slot);
}
