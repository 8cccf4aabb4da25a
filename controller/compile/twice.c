/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/twice.h"

#include "lib/hash.h"
#include "lib/mem.h"

enum { SAID_MAX = 4096 }; /* of one resource; what is beyond is not compared */

struct saying {     /* host and match, by their hash */
    struct list by; /* struct said */
    uint64_t hash;
};

struct said {
    struct list unit_link, saying_link;
    struct saying *saying;
    struct unit *unit;
    size_t rule;
};

struct mine {
    uint64_t hash;
    size_t rule;
};

static struct str key_of(const struct saying *s) {
    return str_mk((const char *)&s->hash, sizeof(s->hash));
}

static uint64_t match_hash(const struct model_match *match, bool fallback) {
    struct out o = out_heap(1 << 20);
    model_encode(&model_struct_match, match, &o);
    uint64_t h = hash_mix(hash_content(out_done(&o)), fallback ? 2 : 1);
    out_fini(&o);
    return h;
}

static size_t gather(struct mine *v, const struct model_route *routes, size_t n) {
    static const struct model_match every = {0};
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const struct model_route *r = &routes[i];
        for (uint32_t t = 0; t < (r->n_matches > 0 ? r->n_matches : 1); t++) {
            uint64_t h = match_hash(r->n_matches > 0 ? &r->matches[t] : &every, r->fallback);
            for (uint32_t p = 0; p < r->n_hosts && k < SAID_MAX; p++)
                v[k++] = (struct mine){hash_mix(h, hash_content(r->hosts[p])), i};
        }
    }
    return k;
}

static size_t count(const struct model_route *routes, size_t n) {
    size_t k = 0;
    for (size_t i = 0; i < n && k < SAID_MAX; i++)
        k += (size_t)(routes[i].n_matches > 0 ? routes[i].n_matches : 1) * routes[i].n_hosts;
    return size_min(k, SAID_MAX);
}

static bool same(const struct unit *u, const struct mine *v, size_t n) {
    size_t i = 0;
    list_each(l, &u->said) {
        const struct said *s = list_entry(l, struct said, unit_link);
        if (i == n || s->saying->hash != v[i].hash || s->rule != v[i].rule)
            return false;
        i++;
    }
    return i == n;
}

static void others_look_again(struct compiler *c, const struct saying *s, const struct unit *u) {
    list_each(l, &s->by) {
        struct unit *other = list_entry(l, struct said, saying_link)->unit;
        if (other != u)
            store_unit_dirty(c->store, other->su);
    }
}

void twice_none(struct compiler *c, struct unit *u) {
    list_each_safe(l, &u->said) {
        struct said *s = list_entry(l, struct said, unit_link);
        others_look_again(c, s->saying, u);
        list_del(&s->saying_link);
        if (list_empty(&s->saying->by)) {
            map_del(&c->sayings, key_of(s->saying));
            mem_free(s->saying);
        }
        mem_free(s);
    }
    list_init(&u->said);
}

static void say(struct compiler *c, struct unit *u, const struct mine *mine) {
    struct saying *s = map_get(&c->sayings, str_mk((const char *)&mine->hash, sizeof(mine->hash)));
    if (!s) {
        s = mem_zalloc(sizeof(*s));
        s->hash = mine->hash;
        list_init(&s->by);
        map_put(&c->sayings, key_of(s), s);
    }
    others_look_again(c, s, u);
    struct said *x = mem_zalloc(sizeof(*x));
    x->saying = s;
    x->unit = u;
    x->rule = mine->rule;
    list_append(&s->by, &x->saying_link);
    list_append(&u->said, &x->unit_link);
}

/* Whether a comes before b in the order of matches. */
static bool comes_first(const struct compiler *c, const struct said *a, const struct said *b) {
    if (a->unit == b->unit)
        return a->rule < b->rule;
    const struct resource *x =
        store_get(c->store, unit_resource_kind(a->unit->kind), a->unit->ns, a->unit->name);
    const struct resource *y =
        store_get(c->store, unit_resource_kind(b->unit->kind), b->unit->ns, b->unit->name);
    uint64_t s = x && x->meta.created ? x->meta.created : UINT64_MAX;
    uint64_t t = y && y->meta.created ? y->meta.created : UINT64_MAX;
    if (s != t)
        return s < t;
    int order = str_cmp(a->unit->ns, b->unit->ns);
    if (order == 0)
        order = str_cmp(a->unit->name, b->unit->name);
    return order ? order < 0 : a->unit->kind < b->unit->kind;
}

static void warn_of(struct making *m, const struct said *mine, const struct model_route *routes) {
    list_each(l, &mine->saying->by) {
        const struct said *s = list_entry(l, struct said, saying_link);
        if (s == mine || !comes_first(m->c, s, mine))
            continue;
        const char *kind = kube_kinds[unit_resource_kind(s->unit->kind)].kind;
        const char *name = s->unit == m->u
                               ? arena_fmt(&m->a, "rule %.*s", STR_FMT(routes[s->rule].rule)).p
                           : str_eq(s->unit->ns, m->u->ns)
                               ? arena_fmt(&m->a, "%s %.*s/%.*s", kind, STR_FMT(s->unit->ns),
                                           STR_FMT(s->unit->name))
                                     .p
                               : "a rule of another namespace";
        warn(m, NULL,
             "rule %.*s and %s have the same match on the same host; the latter comes first and "
             "gets the requests",
             STR_FMT(routes[mine->rule].rule), name);
        return;
    }
}

void twice_take(struct making *m, const struct model_route *routes, size_t n) {
    struct mine *v = mem_array(count(routes, n) + 1, sizeof(*v));
    size_t k = gather(v, routes, n);
    if (!same(m->u, v, k)) {
        twice_none(m->c, m->u);
        for (size_t i = 0; i < k; i++)
            say(m->c, m->u, &v[i]);
    }
    mem_free(v);
    list_each(l, &m->u->said)
        warn_of(m, list_entry(l, struct said, unit_link), routes);
}
