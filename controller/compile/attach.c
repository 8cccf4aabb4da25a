/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/attach.h"

#include "lib/mem.h"

static struct str target_key(char room[600], struct str kind, struct str ns, struct str name) {
    struct out o = out_fixed(room, 600);
    out_lit(&o, "targets/");
    out_str(&o, kind);
    out_char(&o, '/');
    out_str(&o, ns);
    out_char(&o, '/');
    out_str(&o, name);
    return out_done(&o);
}

static bool older(const struct unit *a, const struct unit *b) {
    uint64_t x = a->terms.created ? a->terms.created : UINT64_MAX;
    uint64_t y = b->terms.created ? b->terms.created : UINT64_MAX;
    if (x != y)
        return x < y;
    int order = str_cmp(a->ns, b->ns);
    return order ? order < 0 : str_cmp(a->name, b->name) < 0;
}

void attach_none(struct compiler *c, struct unit *u) {
    for (size_t i = 0; i < u->n_attached; i++) {
        struct target *t = u->attached[i].target;
        list_del(&u->attached[i].link);
        mem_free((void *)(uintptr_t)u->attached[i].section.p);
        store_touch(c->store, t->key);
        if (list_empty(&t->list)) {
            map_del(&c->targets, t->key);
            mem_free((void *)(uintptr_t)t->key.p);
            mem_free(t);
        }
    }
    mem_free(u->attached);
    u->attached = NULL;
    u->n_attached = 0;
}

static struct target *target_get(struct compiler *c, struct str key) {
    struct target *t = map_get(&c->targets, key);
    if (!t) {
        t = mem_zalloc(sizeof(*t));
        t->key = str_of(str_dup(key));
        list_init(&t->list);
        map_put(&c->targets, t->key, t);
    }
    return t;
}

static bool same(const struct unit *u, const struct kube_target_ref *refs, size_t n) {
    if (u->n_attached != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char room[600];
        if (!str_eq(u->attached[i].target->key,
                    target_key(room, refs[i].kind, u->ns, refs[i].name)) ||
            !str_eq(u->attached[i].section, refs[i].section_name))
            return false;
    }
    return true;
}

static bool same_terms(const struct policy_terms *a, const struct policy_terms *b) {
    return a->state == b->state && a->blind == b->blind && a->limit == b->limit &&
           a->created == b->created;
}

void attach_take(struct making *m, const struct kube_target_ref *refs, size_t n,
                 const struct policy_terms *terms) {
    struct unit *u = m->u;
    if (same(u, refs, n) && same_terms(&u->terms, terms))
        return;
    attach_none(m->c, u);
    u->terms = *terms;
    u->attached = mem_array(n, sizeof(*u->attached));
    u->n_attached = n;
    for (size_t i = 0; i < n; i++) {
        char room[600];
        struct attachment *x = &u->attached[i];
        x->policy = u;
        x->section = str_of(str_dup(refs[i].section_name));
        x->target = target_get(m->c, target_key(room, refs[i].kind, u->ns, refs[i].name));
        struct list *at = x->target->list.prev;
        while (at != &x->target->list && older(u, list_entry(at, struct attachment, link)->policy))
            at = at->prev;
        list_add_after(at, &x->link);
        store_touch(m->c->store, x->target->key);
    }
}

static const struct unit *first(const struct target *t, enum unit_kind kind, struct str section) {
    list_each(l, &t->list) {
        const struct attachment *x = list_entry(l, struct attachment, link);
        if (x->policy->kind == kind && str_eq(x->section, section))
            return x->policy;
    }
    return NULL;
}

/* The policies that are about a whole namespace. */
static const struct target *of_namespace(struct making *m, struct str ns) {
    char room[600];
    struct str key = target_key(room, STR("Namespace"), ns, ns);
    store_read_key(m->c->store, m->u->su, key);
    return map_get(&m->c->targets, key);
}

static const struct unit *first_blind(const struct target *t, enum unit_kind kind) {
    list_each(l, &t->list) {
        const struct unit *policy = list_entry(l, struct attachment, link)->policy;
        if (policy->kind == kind && policy->terms.blind)
            return policy;
    }
    return NULL;
}

const struct unit *attached(struct making *m, enum unit_kind kind, struct str target_kind,
                            struct str ns, struct str name, struct str section) {
    char room[600];
    struct str key = target_key(room, target_kind, ns, name);
    store_read_key(m->c->store, m->u->su, key);
    const struct target *t = map_get(&m->c->targets, key), *all = of_namespace(m, ns);
    const struct unit *u = all ? first_blind(all, kind) : NULL;
    if (!u && t && section.n > 0)
        u = first(t, kind, section);
    if (!u && t)
        u = first(t, kind, STR_NONE);
    return u || !all ? u : first(all, kind, STR_NONE);
}

const struct unit *attached_section(struct making *m, enum unit_kind kind, struct str target_kind,
                                    struct str ns, struct str name, struct str section) {
    char room[600];
    struct str key = target_key(room, target_kind, ns, name);
    store_read_key(m->c->store, m->u->su, key);
    const struct target *t = map_get(&m->c->targets, key);
    return t ? first(t, kind, section) : NULL;
}

bool attach_loses(struct making *m, const struct kube_target_ref *ref) {
    char room[600];
    struct str key = target_key(room, ref->kind, m->u->ns, ref->name);
    store_read_key(m->c->store, m->u->su, key);
    const struct target *t = map_get(&m->c->targets, key);
    return t && first(t, m->u->kind, ref->section_name) != m->u;
}
