/* SPDX-License-Identifier: Apache-2.0
 *
 * find: the way of a request through a vhost. Workers; no lock, no allocation.
 *
 * The order is Exact, RegularExpression (longer source first), longest PathPrefix. Among rules of
 * Ingresses alone the longest path comes first, whatever its type. Where no Ingress has a regular
 * expression both orders say the same, since an exact path that matches is as long as the request's
 * and no prefix is longer. Where one has, each side's best is found by its own order and the two
 * are compared by the Route order (comparing all at once would be circular: a long Ingress prefix
 * beats a short Ingress regex, which beats a shorter Route regex, which beats the prefix).
 */
#include "lib/hash.h"
#include "proxy/route/pathhash.h"
#include "proxy/route/vhost.h"

uint64_t path_seed[2];

__attribute__((constructor)) static void seed_first(void) {
    random_bytes(path_seed, sizeof(path_seed));
    path_seed[1] |= 1;
}

struct mark { /* a boundary of the request's path that some prefix ends at */
    uint64_t hash;
    uint32_t n;
};

/* The request's path, hashed as far as the vhost needs it. */
struct trail {
    const struct path_blob *whole; /* of the whole path, or NULL */
    uint32_t n;
    struct mark marks[PREFIX_MAX + 1]; /* shortest first */
};

static const struct rule *rule_of(const struct lookup *l, const struct candidate *c) {
    return pages_get(l->rules, c->rule);
}

static bool fits(const struct lookup *l, const struct candidate *c) {
    const struct head *h = l->rq->head;
    if (!(c->flags & CANDIDATE_ANY_METHOD)) {
        if (c->method != h->method)
            return false;
        if (c->method == METHOD_OTHER &&
            !str_eq(rule_of(l, c)->matches[c->match].method, head_str(h, h->method_text)))
            return false;
    }
    return !(c->flags & CANDIDATE_CONDITIONS) || conditions_hold(rule_of(l, c), c->match, l);
}

static const struct candidate *first_fit(const struct lookup *l, const struct candidate *c,
                                         uint32_t n, unsigned deny) {
    for (const struct candidate *end = c + n; c < end; c++)
        if (!(c->flags & deny) && fits(l, c))
            return c;
    return NULL;
}

static const struct path_blob *probe(const struct vhost *v, const struct lookup *l, uint64_t hash,
                                     uint32_t n) {
    const struct path_slot *paths = vhost_paths(v);
    for (uint32_t k = 0, mask = v->n_paths - 1; k < v->n_paths; k++) {
        const struct path_slot *s = &paths[((uint32_t)hash + k) & mask];
        if (s->at == 0)
            return NULL;
        if (s->hash != (uint32_t)(hash >> 32))
            continue;
        const struct rule *first = pages_get(l->rules, s->first);
        if (first)
            fetch_early(first);
        const struct path_blob *b = vhost_blob(v, s);
        if (b->n_text == n &&
            memcmp(&b->candidates[b->n_exact + b->n_prefix], l->rq->path.p, n) == 0)
            return b;
    }
    return NULL; /* a table of one is full */
}

static bool is_length(const struct vhost *v, size_t n) {
    return (vhost_lengths(v)[n / 64] >> (n % 64) & 1) != 0;
}

static void follow(const struct vhost *v, const struct lookup *l, struct trail *t) {
    struct str path = l->rq->path;
    uint64_t h = path_seed[0];
    size_t at = 0, far = path.n <= v->longest_exact ? path.n : v->longest_prefix;
    t->whole = NULL;
    t->n = 0;
    if (v->root && path.n > 0 && path.p[0] == '/')
        t->marks[t->n++] = (struct mark){h, 0};
    while (at < path.n) {
        size_t end = path_segment_end(path, at);
        if (end > far)
            return;
        h = path_hash_segment(h, path.p + at, end - at);
        at = end;
        if (at <= v->longest_prefix && is_length(v, at))
            t->marks[t->n++] = (struct mark){h, (uint32_t)at};
    }
    if (path.n <= v->longest_exact)
        t->whole = probe(v, l, h, (uint32_t)path.n);
}

static const struct candidate *best_exact(const struct lookup *l, const struct trail *t,
                                          unsigned deny) {
    return t->whole ? first_fit(l, t->whole->candidates, t->whole->n_exact, deny) : NULL;
}

static const struct candidate *best_regex(const struct vhost *v, const struct lookup *l,
                                          unsigned deny) {
    for (uint32_t i = 0; i < v->n_regexes; i++) {
        const struct candidate *c = &vhost_regexes(v)[i];
        if (!(c->flags & deny) && path_regex_holds(rule_of(l, c), c->match, l) && fits(l, c))
            return c;
    }
    return NULL;
}

static const struct candidate *best_prefix(const struct vhost *v, const struct lookup *l,
                                           const struct trail *t, unsigned deny) {
    for (uint32_t i = t->n; i-- > 0;) {
        const struct path_blob *b = probe(v, l, t->marks[i].hash, t->marks[i].n);
        const struct candidate *c =
            b ? first_fit(l, b->candidates + b->n_exact, b->n_prefix, deny) : NULL;
        if (c)
            return c;
    }
    return NULL;
}

static const struct candidate *by_route_order(const struct vhost *v, const struct lookup *l,
                                              const struct trail *t, unsigned deny) {
    const struct candidate *c = best_exact(l, t, deny);
    if (!c && v->n_regexes > 0)
        c = best_regex(v, l, deny);
    return c ? c : best_prefix(v, l, t, deny);
}

static size_t length_of(const struct lookup *l, const struct candidate *c) {
    return c ? rule_of(l, c)->matches[c->match].path.n : 0;
}

static const struct candidate *by_ingress_order(const struct vhost *v, const struct lookup *l,
                                                const struct trail *t, unsigned deny) {
    const struct candidate *best = best_exact(l, t, deny), *c = best_regex(v, l, deny);
    if (!best || length_of(l, c) > length_of(l, best))
        best = c ? c : best;
    c = best_prefix(v, l, t, deny);
    return !best || length_of(l, c) > length_of(l, best) ? (c ? c : best) : best;
}

static struct vhost_entry entry_of(const struct lookup *l, const struct candidate *c) {
    const struct rule *r = rule_of(l, c);
    return (struct vhost_entry){r->model, &r->matches[c->match], r->id, c->rule, c->match};
}

static const struct candidate *by_both_orders(const struct vhost *v, const struct lookup *l,
                                              const struct trail *t, unsigned deny) {
    const struct candidate *a = by_ingress_order(v, l, t, deny | CANDIDATE_OTHER);
    const struct candidate *b = by_route_order(v, l, t, deny | CANDIDATE_INGRESS);
    if (!a || !b)
        return a ? a : b;
    struct vhost_entry x = entry_of(l, a), y = entry_of(l, b);
    return entry_cmp(&x, &y) < 0 ? a : b;
}

bool vhost_find(const struct vhost *v, const struct lookup *l, bool deep,
                struct match_result *result) {
    struct trail t;
    unsigned deny = deep ? CANDIDATE_ONE_LABEL : 0;
    follow(v, l, &t);
    const struct candidate *(*best)(const struct vhost *, const struct lookup *,
                                    const struct trail *, unsigned) =
        v->ingress_regex ? by_both_orders : by_route_order;
    const struct candidate *c = best(v, l, &t, deny | CANDIDATE_FALLBACK);
    if (!c && v->fallback)
        c = best(v, l, &t, deny | CANDIDATE_MAIN);
    if (!c)
        return false;
    result->rule = rule_of(l, c);
    result->match = &result->rule->matches[c->match];
    result->hostname = vhost_hostname(v);
    return true;
}
