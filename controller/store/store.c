/* SPDX-License-Identifier: Apache-2.0
 *
 * store: three tables.
 *
 *     resources   by kind: "namespace/name" → entry
 *     keys        name → key: who read it, and (of an index) which resources have it
 *     units       id → unit: what it read
 *
 *     unit ──reads──► edge ──► key ──members──► resources
 *                      ▲        │
 *                      └readers─┘
 *
 * A key lives as long as somebody reads it or something has it.
 */
#include "controller/store/store.h"

#include "controller/store/index.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <stdlib.h>

struct key {
    char *text;
    struct str name;
    struct list readers;             /* edge.in_key */
    const struct resource **members; /* sorted; of an index key */
    size_t n, cap;
    const struct store_unit *read_by; /* the unit that recorded it in this round ... */
    uint64_t round;                   /* ... so that a second read makes no second edge */
};

struct edge {
    struct list in_key, in_unit;
    struct key *key;
    struct store_unit *unit;
};

struct table {
    struct map by_name;    /* "namespace/name" → struct entry */
    struct entry **sorted; /* made when somebody walks; NULL: stale */
};

struct entry {
    struct resource *r;
    char *text; /* its name in the table */
};

struct store {
    struct table kinds[KUBE_KINDS];
    struct map keys, units;
    struct list dirty;
    size_t n_dirty;
    uint64_t round;
    bool synced;
    void (*changed)(void *arg);
    void *changed_arg;
    void (*resource)(void *arg, const struct resource *was, const struct resource *now);
    void *resource_arg;
};

struct store *store_new(void) {
    struct store *s = mem_zalloc(sizeof(*s));
    list_init(&s->dirty);
    return s;
}

/* ---- keys ---- */

static struct key *key_make(struct store *s, struct str name) {
    struct key *k = map_get(&s->keys, name);
    if (k != NULL)
        return k;
    k = mem_zalloc(sizeof(*k));
    k->text = str_dup(name);
    k->name = str_mk(k->text, name.n);
    list_init(&k->readers);
    map_put(&s->keys, k->name, k);
    return k;
}

static void key_end(struct store *s, struct key *k) {
    if (!list_empty(&k->readers) || k->n > 0)
        return;
    map_del(&s->keys, k->name);
    mem_free(k->members);
    mem_free(k->text);
    mem_free(k);
}

static void touch_key(struct store *s, struct key *k) {
    list_each(it, &k->readers)
        store_unit_dirty(s, list_entry(it, struct edge, in_key)->unit);
}

void store_touch(struct store *s, struct str key) {
    struct key *k = map_get(&s->keys, key);
    if (k != NULL)
        touch_key(s, k);
}

static int order(const struct resource *a, const struct resource *b) {
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    int by_namespace = str_cmp(a->meta.namespace, b->meta.namespace);
    return by_namespace != 0 ? by_namespace : str_cmp(a->meta.name, b->meta.name);
}

/* Where r stands, or would. */
static size_t place_of(const struct key *k, const struct resource *r) {
    size_t low = 0, high = k->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order(k->members[middle], r) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void key_add(struct key *k, const struct resource *r) {
    if (k->n == k->cap) {
        k->cap = k->cap > 0 ? 2 * k->cap : 4;
        k->members = mem_realloc(k->members, k->cap * sizeof(*k->members));
    }
    size_t at = place_of(k, r);
    memmove(k->members + at + 1, k->members + at, (k->n - at) * sizeof(*k->members));
    k->members[at] = r;
    k->n++;
}

static void key_remove(struct key *k, const struct resource *r) {
    size_t at = place_of(k, r);
    must(at < k->n && k->members[at] == r);
    memmove(k->members + at, k->members + at + 1, (k->n - at - 1) * sizeof(*k->members));
    k->n--;
}

/* ---- units ---- */

struct store_unit *store_unit_find(struct store *s, struct str id) {
    return map_get(&s->units, id);
}

struct store_unit *store_unit(struct store *s, struct str id) {
    struct store_unit *u = store_unit_find(s, id);
    if (u != NULL)
        return u;
    u = mem_zalloc(sizeof(*u));
    u->id = str_mk(str_dup(id), id.n);
    list_init(&u->dirty_link);
    list_init(&u->reads);
    map_put(&s->units, u->id, u);
    store_unit_dirty(s, u);
    return u;
}

void store_unit_dirty(struct store *s, struct store_unit *u) {
    if (u->dirty)
        return;
    u->dirty = true;
    list_append(&s->dirty, &u->dirty_link);
    s->n_dirty++;
}

static void forget_reads(struct store *s, struct store_unit *u) {
    for (struct list *n; (n = list_pop(&u->reads)) != NULL;) {
        struct edge *e = list_entry(n, struct edge, in_unit);
        list_del(&e->in_key);
        key_end(s, e->key);
        mem_free(e);
    }
}

static void make_clean(struct store *s, struct store_unit *u) {
    if (!u->dirty)
        return;
    u->dirty = false;
    list_del(&u->dirty_link);
    s->n_dirty--;
}

void store_unit_end(struct store *s, struct store_unit *u) {
    make_clean(s, u);
    forget_reads(s, u);
    map_del(&s->units, u->id);
    mem_free((char *)(uintptr_t)u->id.p);
    mem_free(u);
}

struct store_unit *store_next_dirty(struct store *s) {
    if (list_empty(&s->dirty))
        return NULL;
    struct store_unit *u = list_entry(s->dirty.next, struct store_unit, dirty_link);
    make_clean(s, u);
    forget_reads(s, u);
    s->round++;
    return u;
}

size_t store_n_dirty(const struct store *s) { return s->n_dirty; }

static struct key *record(struct store *s, struct store_unit *u, struct str name) {
    struct key *k = key_make(s, name);
    if (k->read_by == u && k->round == s->round)
        return k;
    k->read_by = u;
    k->round = s->round;
    struct edge *e = mem_alloc(sizeof(*e));
    *e = (struct edge){.key = k, .unit = u};
    list_append(&k->readers, &e->in_key);
    list_append(&u->reads, &e->in_unit);
    return k;
}

void store_read_key(struct store *s, struct store_unit *u, struct str key) { record(s, u, key); }

/* ---- resources ---- */

struct name { /* "namespace/name" and "Kind/namespace/name", in one room */
    char room[2 * 256 + 64];
    struct str own, key;
};

static void name_of(enum kube_kind kind, struct str ns, struct str name, struct name *to) {
    struct out o = out_fixed(to->room, sizeof(to->room));
    out_str(&o, str_of(kube_kinds[kind].kind));
    out_char(&o, '/');
    size_t start = o.n;
    out_str(&o, ns);
    out_char(&o, '/');
    out_str(&o, name);
    to->key = out_done(&o); /* names are at most 253 bytes: resource_new() sees to that */
    to->own = str_skip(to->key, start);
}

static struct resource *find(const struct store *s, enum kube_kind kind, const struct name *n) {
    const struct entry *e = map_get(&s->kinds[kind].by_name, n->own);
    return e != NULL ? e->r : NULL;
}

const struct resource *store_get(const struct store *s, enum kube_kind kind, struct str ns,
                                 struct str name) {
    struct name n;
    name_of(kind, ns, name, &n);
    return find(s, kind, &n);
}

const struct resource *store_read(struct store *s, struct store_unit *u, enum kube_kind kind,
                                  struct str ns, struct str name) {
    struct name n;
    name_of(kind, ns, name, &n);
    record(s, u, n.key);
    return find(s, kind, &n);
}

const struct resource *const *store_read_all(struct store *s, struct store_unit *u, struct str key,
                                             size_t *n) {
    const struct key *k = record(s, u, key);
    *n = k->n;
    return k->members;
}

static void index_add(void *arg, struct str key, const struct resource *r) {
    struct store *s = arg;
    struct key *k = key_make(s, key);
    key_add(k, r);
    touch_key(s, k);
}

static void index_remove(void *arg, struct str key, const struct resource *r) {
    struct store *s = arg;
    struct key *k = map_get(&s->keys, key);
    must(k != NULL);
    key_remove(k, r);
    touch_key(s, k);
    key_end(s, k);
}

static void table_changed(struct table *t) {
    mem_free(t->sorted);
    t->sorted = NULL;
}

static void put(struct store *s, const struct name *n, struct resource *r) {
    struct table *t = &s->kinds[r->kind];
    struct entry *e = map_get(&t->by_name, n->own);
    if (e != NULL) {
        e->r = r;
        return;
    }
    e = mem_alloc(sizeof(*e));
    *e = (struct entry){r, str_dup(n->own)};
    map_put(&t->by_name, str_mk(e->text, n->own.n), e);
    table_changed(t);
}

static void take_out(struct store *s, enum kube_kind kind, const struct name *n) {
    struct table *t = &s->kinds[kind];
    struct entry *e = map_del(&t->by_name, n->own);
    mem_free(e->text);
    mem_free(e);
    table_changed(t);
}

static void tell(struct store *s, const struct resource *was, const struct resource *now) {
    if (s->resource != NULL)
        s->resource(s->resource_arg, was, now);
    if (s->changed != NULL)
        s->changed(s->changed_arg);
}

/* Equal meaning, and from the same place: nobody has to hear of it. */
static bool same(const struct resource *a, const struct resource *b) {
    return a->hash == b->hash && str_eq(a->from.file, b->from.file);
}

bool store_upsert(struct store *s, struct resource *r) {
    struct name n;
    name_of(r->kind, r->meta.namespace, r->meta.name, &n);
    struct resource *was = find(s, r->kind, &n);
    if (was != NULL && same(was, r)) {
        resource_drop(r);
        return false;
    }
    if (was != NULL)
        index_keys(was, index_remove, s);
    put(s, &n, r);
    index_keys(r, index_add, s);
    store_touch(s, n.key);
    tell(s, was, r);
    resource_drop(was);
    return true;
}

bool store_delete(struct store *s, enum kube_kind kind, struct str ns, struct str name) {
    struct name n;
    name_of(kind, ns, name, &n);
    struct resource *was = find(s, kind, &n);
    if (was == NULL)
        return false;
    index_keys(was, index_remove, s);
    take_out(s, kind, &n);
    store_touch(s, n.key);
    tell(s, was, NULL);
    resource_drop(was);
    return true;
}

void store_synced(struct store *s) {
    if (s->synced)
        return;
    s->synced = true;
    if (s->changed != NULL)
        s->changed(s->changed_arg);
}
bool store_is_synced(const struct store *s) { return s->synced; }

void store_on_change(struct store *s, void (*changed)(void *arg), void *arg) {
    s->changed = changed;
    s->changed_arg = arg;
}

void store_on_resource(struct store *s,
                       void (*resource)(void *arg, const struct resource *was,
                                        const struct resource *now),
                       void *arg) {
    s->resource = resource;
    s->resource_arg = arg;
}

size_t store_count(const struct store *s, enum kube_kind kind) { return s->kinds[kind].by_name.n; }

/* ---- walking ---- */

static int entry_order(const void *a, const void *b) {
    return order((*(struct entry *const *)a)->r, (*(struct entry *const *)b)->r);
}

/* A cache: the walk is const to whoever walks. */
static struct entry **sorted(struct table *t) {
    if (t->sorted != NULL)
        return t->sorted;
    size_t n = 0;
    t->sorted = mem_array(t->by_name.n + 1, sizeof(*t->sorted));
    for (struct map_slot *slot = NULL; (slot = map_next(&t->by_name, slot));)
        t->sorted[n++] = slot->value;
    qsort(t->sorted, n, sizeof(*t->sorted), entry_order);
    return t->sorted;
}

const struct resource *store_next(const struct store *s, enum kube_kind kind,
                                  const struct resource *r) {
    struct table *t = (struct table *)(uintptr_t)&s->kinds[kind];
    struct entry **list = sorted(t);
    size_t low = 0, high = t->by_name.n;
    while (r != NULL && low < high) {
        size_t middle = low + (high - low) / 2;
        if (order(list[middle]->r, r) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->by_name.n ? list[low]->r : NULL;
}

/* ---- the end ---- */

static void free_table(struct table *t) {
    for (struct map_slot *slot = NULL; (slot = map_next(&t->by_name, slot));) {
        struct entry *e = slot->value;
        resource_drop(e->r);
        mem_free(e->text);
        mem_free(e);
    }
    map_fini(&t->by_name);
    mem_free(t->sorted);
}

static void free_units(struct store *s) {
    for (struct map_slot *slot = NULL; (slot = map_next(&s->units, slot));) {
        struct store_unit *u = slot->value;
        for (struct list *n; (n = list_pop(&u->reads)) != NULL;) {
            struct edge *e = list_entry(n, struct edge, in_unit);
            list_del(&e->in_key);
            mem_free(e);
        }
        mem_free((char *)(uintptr_t)u->id.p);
        mem_free(u);
    }
    map_fini(&s->units);
}

void store_free(struct store *s) {
    if (s == NULL)
        return;
    free_units(s);
    for (struct map_slot *slot = NULL; (slot = map_next(&s->keys, slot));) {
        struct key *k = slot->value;
        mem_free(k->members);
        mem_free(k->text);
        mem_free(k);
    }
    map_fini(&s->keys);
    for (int k = 0; k < KUBE_KINDS; k++)
        free_table(&s->kinds[k]);
    mem_free(s);
}
