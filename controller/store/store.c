/* SPDX-License-Identifier: Apache-2.0
 *
 * store: see store.h. Everything hangs on keys:
 *
 *     entry ──► key of its own name          key ◄── read ──► unit
 *       └─ membership ──► index key            └── the set of resources under it
 *
 * A key exists while it names a resource, has one under it, or was read by a unit. A unit's reads
 * are a ring on both sides, so that forgetting them costs as much as there are.
 */
#include "controller/store/store.h"

#include "controller/store/index.h"
#include "controller/store/set.h"
#include "controller/store/walk.h"
#include "lib/map.h"
#include "lib/mem.h"

enum { KEY_MAX = 256 << 10 };

struct key {
    struct str name;     /* of the map; the bytes are behind the struct */
    struct entry *entry; /* the resource of this name, or NULL */
    struct set set;      /* the resources that have this index key */
    struct list readers; /* struct read, in_key */
    struct why *why;     /* why it is absent, if there is a reason */
    bool asked;          /* kept, read or not, until store_forget() */
    bool unknown;        /* asked for, and the source has not said yet */
};

struct read {
    struct list in_key, in_unit;
    struct key *key;
    struct store_unit *unit;
};

struct membership {
    struct member member;
    struct key *key;
    struct membership *next; /* of the same entry */
};

struct entry {
    struct key *own;
    struct resource *r;
    struct member of_kind;
    struct list refused; /* in store.refused, while r is */
    struct membership *keys;
};

struct store {
    struct map keys, units;
    struct set kinds[KUBE_KINDS];
    struct list dirty; /* struct store_unit, dirty_link */
    size_t n_dirty;
    bool synced;
    struct out room; /* where keys are written */
    void (*changed)(void *arg);
    void *changed_arg;
    void (*resource)(void *arg, const struct resource *was, const struct resource *now);
    void *resource_arg;
    void (*version)(void *arg, const struct resource *was, const struct resource *now);
    void *version_arg;
    void (*history)(void *arg, const struct resource *was, const struct resource *now);
    void *history_arg;
    void (*held_back)(void *arg);
    void *held_back_arg;
    char *frozen;    /* why; NULL: it is not */
    struct map said; /* key of its own → struct said, of what does not count */
    struct asking {
        void (*asked)(void *arg, enum kube_kind kind, struct str ns, struct str name);
        void *arg;
    } ask[KUBE_KINDS];
    size_t n_unknown;
    struct list walks;   /* that show what was */
    struct list refused; /* struct entry */
};

/* What the source has said while it does not count. */
struct said {
    enum kube_kind kind;
    struct resource *r; /* NULL: it is gone */
    struct str key;     /* of the map; the bytes are behind the struct */
};

struct store *store_new(void) {
    struct store *s = mem_zalloc(sizeof(*s));
    map_init(&s->keys);
    map_init(&s->units);
    map_init(&s->said);
    for (unsigned k = 0; k < KUBE_KINDS; k++)
        set_init(&s->kinds[k]);
    list_init(&s->dirty);
    list_init(&s->walks);
    list_init(&s->refused);
    s->room = out_heap(KEY_MAX);
    return s;
}

/* ---- keys ---- */

static struct key *key_find(const struct store *s, struct str name) {
    return map_get(&s->keys, name);
}

static struct key *key_make(struct store *s, struct str name) {
    struct key *k = key_find(s, name);
    if (k)
        return k;
    k = mem_zalloc(sizeof(*k) + name.n + 1);
    char *bytes = (char *)(k + 1);
    if (name.n > 0)
        memcpy(bytes, name.p, name.n);
    k->name = str_mk(bytes, name.n);
    set_init(&k->set);
    list_init(&k->readers);
    map_put(&s->keys, k->name, k);
    return k;
}

static void key_free(struct key *k) {
    set_fini(&k->set);
    mem_free(k->why);
    mem_free(k);
}

/* The source has said what there is. */
static void key_known(struct store *s, struct key *k, const struct why *why) {
    s->n_unknown -= k->unknown;
    k->unknown = false;
    mem_free(k->why);
    k->why = NULL;
    if (why) {
        k->why = mem_alloc(sizeof(*why));
        *k->why = *why;
    }
}

static void key_release(struct store *s, struct key *k) {
    if (k->entry || k->set.n > 0 || !list_empty(&k->readers) || k->asked)
        return;
    key_known(s, k, NULL);
    map_del(&s->keys, k->name);
    key_free(k);
}

static struct str own_key(const struct store *s, enum kube_kind kind, struct str ns,
                          struct str name) {
    struct out *room = (struct out *)(uintptr_t)&s->room; /* scratch: no part of what s is */
    room->n = 0;
    index_own_key(kind, ns, name, room);
    must(!room->over);
    return out_done(room);
}

/* ---- units ---- */

static void make_dirty(struct store *s, struct store_unit *u) {
    if (u->dirty)
        return;
    u->dirty = true;
    list_append(&s->dirty, &u->dirty_link);
    s->n_dirty++;
}

static void make_clean(struct store *s, struct store_unit *u) {
    if (!u->dirty)
        return;
    u->dirty = false;
    list_del(&u->dirty_link);
    s->n_dirty--;
}

static void touch(struct store *s, struct key *k) {
    list_each(it, &k->readers)
        make_dirty(s, list_entry(it, struct read, in_key)->unit);
}

static void tell_changed(struct store *s) {
    if (s->changed)
        s->changed(s->changed_arg);
}

struct store_unit *store_unit_find(struct store *s, struct str id) {
    return map_get(&s->units, id);
}

struct store_unit *store_unit(struct store *s, struct str id) {
    struct store_unit *u = store_unit_find(s, id);
    if (u)
        return u;
    u = mem_zalloc(sizeof(*u));
    u->id = str_mk(mem_dup(id.p, id.n), id.n);
    list_init(&u->dirty_link);
    list_init(&u->reads);
    map_put(&s->units, u->id, u);
    store_unit_dirty(s, u);
    return u;
}

static void forget_reads(struct store *s, struct store_unit *u) {
    struct list *it;
    while ((it = list_pop(&u->reads))) {
        struct read *read = list_entry(it, struct read, in_unit);
        list_del(&read->in_key);
        key_release(s, read->key);
        mem_free(read);
    }
}

static void unit_free(struct store_unit *u) {
    mem_free((char *)(uintptr_t)u->id.p);
    mem_free(u);
}

void store_unit_end(struct store *s, struct store_unit *u) {
    make_clean(s, u);
    forget_reads(s, u);
    map_del(&s->units, u->id);
    unit_free(u);
}

void store_unit_dirty(struct store *s, struct store_unit *u) {
    if (u->dirty)
        return;
    make_dirty(s, u);
    tell_changed(s);
}

struct store_unit *store_next_dirty(struct store *s) {
    if (list_empty(&s->dirty))
        return NULL;
    struct store_unit *u = list_entry(s->dirty.next, struct store_unit, dirty_link);
    make_clean(s, u);
    forget_reads(s, u);
    return u;
}

size_t store_n_dirty(const struct store *s) { return s->n_dirty; }

/* ---- recorded reads ---- */

/* Units compile one after the other, so the newest reader of a key is the first of its ring: a
 * second read of the same key in one turn finds itself there. */
static struct key *record(struct store *s, struct store_unit *u, struct str name) {
    struct key *k = key_make(s, name);
    if (!list_empty(&k->readers) && list_entry(k->readers.next, struct read, in_key)->unit == u)
        return k;
    struct read *read = mem_alloc(sizeof(*read));
    read->key = k;
    read->unit = u;
    list_push(&k->readers, &read->in_key);
    list_push(&u->reads, &read->in_unit);
    return k;
}

const struct resource *store_read(struct store *s, struct store_unit *u, enum kube_kind kind,
                                  struct str ns, struct str name) {
    const struct asking *ask = &s->ask[kind];
    struct key *k = record(s, u, own_key(s, kind, ns, name));
    if (ask->asked && !k->asked) {
        k->asked = true;
        k->unknown = !k->entry;
        s->n_unknown += k->unknown;
    }
    if (ask->asked)
        ask->asked(ask->arg, kind, ns, name);
    return k->entry ? k->entry->r : NULL;
}

const struct resource *const *store_read_all(struct store *s, struct store_unit *u, struct str key,
                                             size_t *n) {
    return set_sorted(&record(s, u, key)->set, n);
}

void store_read_key(struct store *s, struct store_unit *u, struct str key) { record(s, u, key); }

bool store_is_read(const struct store *s, struct str key) {
    const struct key *k = key_find(s, key);
    return k && !list_empty(&k->readers);
}

void store_touch(struct store *s, struct str key) {
    struct key *k = key_find(s, key);
    size_t before = s->n_dirty;
    if (k)
        touch(s, k);
    if (s->n_dirty != before)
        tell_changed(s);
}

/* ---- what is read one by one ---- */

void store_ask(struct store *s, enum kube_kind kind,
               void (*asked)(void *arg, enum kube_kind kind, struct str ns, struct str name),
               void *arg) {
    s->ask[kind] = (struct asking){asked, arg};
}

static bool same_why(const struct why *a, const struct why *b) {
    return (!a && !b) || (a && b && strcmp(a->text, b->text) == 0);
}

void store_absent(struct store *s, enum kube_kind kind, struct str ns, struct str name,
                  const struct why *why) {
    struct key *k = key_find(s, own_key(s, kind, ns, name));
    if (!k || !k->asked)
        return;
    bool news = k->unknown || !same_why(k->why, why);
    key_known(s, k, why);
    if (!store_delete(s, kind, ns, name) && news) {
        touch(s, k);
        tell_changed(s);
    }
}

bool store_forget(struct store *s, enum kube_kind kind, struct str ns, struct str name) {
    struct key *k = key_find(s, own_key(s, kind, ns, name));
    if (!k || !k->asked || !list_empty(&k->readers))
        return false;
    bool there = k->entry != NULL;
    k->asked = false;
    if (there)
        store_delete(s, kind, ns, name);
    else
        key_release(s, k);
    return true;
}

bool store_is_unknown(const struct store *s, enum kube_kind kind, struct str ns, struct str name,
                      const struct why **why) {
    const struct key *k = key_find(s, own_key(s, kind, ns, name));
    *why = k ? k->why : NULL;
    return k && k->unknown;
}

size_t store_n_unknown(const struct store *s) { return s->n_unknown; }

/* ---- resources ---- */

struct adding {
    struct store *s;
    struct entry *e;
};

static bool is_member(const struct entry *e, const struct key *k) {
    for (const struct membership *m = e->keys; m; m = m->next)
        if (m->key == k)
            return true;
    return false;
}

/* The last that came under this key is e itself when one resource names a key twice in a row of
 * its keys; only what stays from a former version needs a look at all of them. */
static void add_key(void *arg, struct str name) {
    struct adding *a = arg;
    struct key *k = key_make(a->s, name);
    if (!list_empty(&k->set.members) &&
        list_entry(k->set.members.prev, struct member, link)->r == a->e->r)
        return;
    if (!a->e->r->fields && is_member(a->e, k))
        return;
    struct membership *m = mem_alloc(sizeof(*m));
    m->key = k;
    m->next = a->e->keys;
    a->e->keys = m;
    set_add(&k->set, &m->member, a->e->r);
    touch(a->s, k);
}

static void drop_keys(struct store *s, struct entry *e) {
    struct membership *m;
    while ((m = e->keys)) {
        e->keys = m->next;
        set_del(&m->key->set, &m->member);
        touch(s, m->key);
        key_release(s, m->key);
        mem_free(m);
    }
}

/* A refused version says nothing of where it belongs: it stays where its last good one was. */
static void keep_keys(struct store *s, struct entry *e, const struct resource *now) {
    for (struct membership *m = e->keys; m; m = m->next) {
        set_replace(&m->key->set, &m->member, now);
        touch(s, m->key);
    }
}

static struct entry *entry_new(struct store *s, struct key *own, struct resource *r) {
    struct entry *e = mem_zalloc(sizeof(*e));
    e->own = own;
    e->r = r;
    own->entry = e;
    list_init(&e->refused);
    set_add(&s->kinds[r->kind], &e->of_kind, r);
    return e;
}

static void tell_version(struct store *s, const struct resource *was, const struct resource *now) {
    if (s->version)
        s->version(s->version_arg, was, now);
}

static void tell(struct store *s, const struct resource *was, const struct resource *now) {
    walks_changed(&s->walks, was, now);
    if (s->history)
        s->history(s->history_arg, was, now);
    if (s->resource)
        s->resource(s->resource_arg, was, now);
    tell_changed(s);
    tell_version(s, was, now);
}

/* An equal version: whoever holds a count of the former one may keep it. */
static void take_place(struct store *s, struct entry *e, struct resource *r) {
    struct resource *was = e->r;
    for (struct membership *m = e->keys; m; m = m->next)
        set_replace(&m->key->set, &m->member, r);
    set_replace(&s->kinds[r->kind], &e->of_kind, r);
    e->r = r;
    tell_version(s, was, r);
    resource_drop(was);
}

/* Takes the count of r: it counts. */
static bool count_upsert(struct store *s, struct resource *r) {
    struct key *own = key_make(s, own_key(s, r->kind, r->meta.namespace, r->meta.name));
    struct entry *e = own->entry;
    struct resource *was = e ? e->r : NULL;
    key_known(s, own, NULL);
    if (was && was->hash == r->hash) {
        take_place(s, e, r);
        return false;
    }
    if (!e) {
        e = entry_new(s, own, r);
    } else {
        if (r->fields)
            drop_keys(s, e);
        else
            keep_keys(s, e, r);
        set_replace(&s->kinds[r->kind], &e->of_kind, r);
        e->r = r;
    }
    list_del(&e->refused);
    if (r->refused)
        list_append(&s->refused, &e->refused);
    struct adding a = {s, e};
    index_keys(r, add_key, &a);
    touch(s, own);
    tell(s, was, r);
    resource_drop(was);
    return true;
}

static bool count_delete(struct store *s, enum kube_kind kind, struct str ns, struct str name) {
    struct key *own = key_find(s, own_key(s, kind, ns, name));
    struct entry *e = own ? own->entry : NULL;
    if (!e)
        return false;
    struct resource *was = e->r;
    drop_keys(s, e);
    set_del(&s->kinds[kind], &e->of_kind);
    list_del(&e->refused);
    touch(s, own);
    own->entry = NULL;
    mem_free(e);
    key_release(s, own);
    tell(s, was, NULL);
    resource_drop(was);
    return true;
}

/* ---- held back ---- */

bool store_holds_back(enum kube_kind kind) {
    return kind == KUBE_IngressClass || kind == KUBE_GatewayConfig || kind == KUBE_Ingress ||
           kind == KUBE_Route || kind == KUBE_TrafficPolicy || kind == KUBE_AuthPolicy ||
           kind == KUBE_Service;
}

static void said_del(struct store *s, struct str key) {
    struct said *x = map_del(&s->said, key);
    if (!x)
        return;
    resource_drop(x->r);
    mem_free(x);
}

/* Takes the count of r. */
static void said_set(struct store *s, struct str key, enum kube_kind kind, struct resource *r) {
    said_del(s, key);
    struct said *x = mem_zalloc(sizeof(*x) + key.n + 1);
    char *bytes = (char *)(x + 1);
    memcpy(bytes, key.p, key.n);
    *x = (struct said){kind, r, str_mk(bytes, key.n)};
    map_put(&s->said, x->key, x);
}

static struct entry *entry_at(const struct store *s, struct str key) {
    const struct key *k = key_find(s, key);
    return k ? k->entry : NULL;
}

static struct resource *said_at(const struct store *s, struct str key) {
    const struct said *x = map_get(&s->said, key);
    const struct entry *e = entry_at(s, key);
    return x ? x->r : e ? e->r : NULL;
}

static void tell_beside(struct store *s, const struct resource *was, const struct resource *now) {
    tell_version(s, was, now);
    tell_changed(s);
    if (s->held_back)
        s->held_back(s->held_back_arg);
}

static bool upsert_beside(struct store *s, struct resource *r) {
    struct str key = own_key(s, r->kind, r->meta.namespace, r->meta.name);
    struct entry *e = entry_at(s, key);
    bool held = map_get(&s->said, key) != NULL;
    if (e && e->r->hash == r->hash) {
        said_del(s, key);
        take_place(s, e, r);
        if (held && s->held_back)
            s->held_back(s->held_back_arg);
        return held;
    }
    struct resource *was = said_at(s, key);
    if (was)
        resource_hold(was);
    said_set(s, key, r->kind, r);
    tell_beside(s, was, r);
    resource_drop(was);
    return true;
}

static bool delete_beside(struct store *s, enum kube_kind kind, struct str ns, struct str name) {
    struct str key = own_key(s, kind, ns, name);
    struct resource *was = said_at(s, key);
    if (!was)
        return false;
    resource_hold(was);
    if (entry_at(s, key))
        said_set(s, key, kind, NULL);
    else
        said_del(s, key);
    tell_beside(s, was, NULL);
    resource_drop(was);
    return true;
}

bool store_upsert(struct store *s, struct resource *r) {
    return s->frozen && store_holds_back(r->kind) ? upsert_beside(s, r) : count_upsert(s, r);
}

bool store_delete(struct store *s, enum kube_kind kind, struct str ns, struct str name) {
    return s->frozen && store_holds_back(kind) ? delete_beside(s, kind, ns, name)
                                               : count_delete(s, kind, ns, name);
}

/* What counts now is what the source has said, and stays so beside what is to count. */
static void keep_said(struct store *s, enum kube_kind kind, struct str ns, struct str name) {
    must(s->frozen && store_holds_back(kind));
    struct str key = own_key(s, kind, ns, name);
    const struct entry *e = entry_at(s, key);
    if (!map_get(&s->said, key))
        said_set(s, key, kind, e ? resource_hold(e->r) : NULL);
}

void store_put_back(struct store *s, struct resource *r) {
    struct str ns = r->meta.namespace, name = r->meta.name;
    const struct resource *said = store_said(s, r->kind, ns, name);
    if (said && said->hash == r->hash) { /* newer in what nobody reads */
        struct resource *again = resource_hold((struct resource *)(uintptr_t)said);
        said_del(s, own_key(s, r->kind, ns, name));
        count_upsert(s, again);
        resource_drop(r);
        return;
    }
    keep_said(s, r->kind, ns, name);
    count_upsert(s, r);
}

void store_take_back(struct store *s, enum kube_kind kind, struct str ns, struct str name) {
    if (!store_get(s, kind, ns, name))
        return;
    keep_said(s, kind, ns, name);
    if (!store_said(s, kind, ns, name))
        said_del(s, own_key(s, kind, ns, name));
    count_delete(s, kind, ns, name);
}

/* The count of what counts is the store's until the last line: names are borrowed from it. */
static void count_said(struct store *s, struct said *x) {
    const struct entry *e = entry_at(s, x->key);
    struct resource *was = e ? resource_hold(e->r) : NULL;
    if (x->r)
        count_upsert(s, x->r);
    else if (was)
        count_delete(s, x->kind, was->meta.namespace, was->meta.name);
    resource_drop(was);
    mem_free(x);
}

void store_freeze(struct store *s, const char *why) {
    mem_free(s->frozen);
    s->frozen = why ? str_dup(str_of(why)) : NULL;
    for (struct map_slot *slot; !why && (slot = map_next(&s->said, NULL));) {
        struct said *x = slot->value;
        map_del(&s->said, x->key);
        count_said(s, x);
    }
}

const char *store_is_frozen(const struct store *s) { return s->frozen; }

const struct resource *store_said(const struct store *s, enum kube_kind kind, struct str ns,
                                  struct str name) {
    return said_at(s, own_key(s, kind, ns, name));
}

bool store_is_held_back(const struct store *s, enum kube_kind kind, struct str ns,
                        struct str name) {
    return s->said.n > 0 && map_get(&s->said, own_key(s, kind, ns, name)) != NULL;
}

size_t store_n_held_back(const struct store *s) { return s->said.n; }

void store_each_held_back(const struct store *s,
                          void (*each)(void *arg, const struct resource *counts,
                                       const struct resource *said),
                          void *arg) {
    for (struct map_slot *slot = NULL; (slot = map_next(&s->said, slot));) {
        const struct said *x = slot->value;
        const struct entry *e = entry_at(s, x->key);
        each(arg, e ? e->r : NULL, x->r);
    }
}

void store_each_said(const struct store *s, enum kube_kind kind,
                     void (*each)(void *arg, const struct resource *r), void *arg) {
    list_each(it, &s->kinds[kind].members) {
        const struct resource *r = list_entry(it, struct member, link)->r;
        if (!store_is_held_back(s, kind, r->meta.namespace, r->meta.name))
            each(arg, r);
    }
    for (struct map_slot *slot = NULL; (slot = map_next(&s->said, slot));) {
        const struct said *x = slot->value;
        if (x->kind == kind && x->r)
            each(arg, x->r);
    }
}

void store_synced(struct store *s) {
    s->synced = true;
    tell_changed(s);
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

void store_on_version(struct store *s,
                      void (*version)(void *arg, const struct resource *was,
                                      const struct resource *now),
                      void *arg) {
    s->version = version;
    s->version_arg = arg;
}

void store_on_held_back(struct store *s, void (*changed)(void *arg), void *arg) {
    s->held_back = changed;
    s->held_back_arg = arg;
}

void store_on_history(struct store *s,
                      void (*history)(void *arg, const struct resource *was,
                                      const struct resource *now),
                      void *arg) {
    s->history = history;
    s->history_arg = arg;
}

/* ---- looking ---- */

const struct resource *store_get(const struct store *s, enum kube_kind kind, struct str ns,
                                 struct str name) {
    const struct key *k = key_find(s, own_key(s, kind, ns, name));
    return k && k->entry ? k->entry->r : NULL;
}

size_t store_count(const struct store *s, enum kube_kind kind) { return s->kinds[kind].n; }

const struct resource *store_next(const struct store *s, enum kube_kind kind,
                                  const struct resource *r) {
    return set_after((struct set *)(uintptr_t)&s->kinds[kind], r); /* orders it if need be */
}

void store_each_refused(const struct store *s, void (*each)(void *arg, const struct resource *r),
                        void *arg) {
    list_each(it, &s->refused)
        each(arg, list_entry(it, struct entry, refused)->r);
}

struct list *store_walks(struct store *s) { return &s->walks; }

/* ---- the end ---- */

static void entry_free(struct store *s, struct entry *e) {
    drop_keys(s, e);
    e->own->entry = NULL;
    key_release(s, e->own);
    resource_drop(e->r);
    mem_free(e);
}

static void free_resources(struct store *s, struct set *kind) {
    struct list *it;
    while ((it = list_pop(&kind->members)))
        entry_free(s, list_entry(it, struct entry, of_kind.link));
    set_fini(kind);
}

void store_free(struct store *s) {
    if (!s)
        return;
    for (struct map_slot *slot; (slot = map_next(&s->said, NULL));)
        said_del(s, ((struct said *)slot->value)->key);
    map_fini(&s->said);
    mem_free(s->frozen);
    for (struct map_slot *slot = NULL; (slot = map_next(&s->units, slot));)
        forget_reads(s, slot->value);
    for (unsigned k = 0; k < KUBE_KINDS; k++)
        free_resources(s, &s->kinds[k]);
    for (struct map_slot *slot = NULL; (slot = map_next(&s->units, slot));)
        unit_free(slot->value);
    for (struct map_slot *slot = NULL; (slot = map_next(&s->keys, slot));) {
        must(((struct key *)slot->value)->asked);
        key_free(slot->value);
    }
    map_fini(&s->units);
    map_fini(&s->keys);
    out_fini(&s->room);
    mem_free(s);
}
