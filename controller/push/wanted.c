/* SPDX-License-Identifier: Apache-2.0
 *
 * wanted: the published set, what the next commit will change, and which version changed what.
 */
#include "controller/push/room.h"

#include "lib/mem.h"

static struct entry *entry_of(struct list *link) { return list_entry(link, struct entry, link); }
static bool is_gone(const struct entry *e) { return e->o->kind == TOMBSTONE; }

static struct object *tombstone(struct str id) {
    struct object *o = object_from_bytes(TOMBSTONE, id, STR_NONE, NULL);
    must(o);
    return o;
}

void wanted_init(struct wanted *w) {
    *w = (struct wanted){0};
    list_init(&w->recent);
    list_init(&w->gone);
}

static void entry_free(struct wanted *w, struct entry *e) {
    map_del(&w->entries, object_id(e->o));
    list_del(&e->link);
    object_drop(e->o);
    mem_free(e);
}

void wanted_fini(struct wanted *w) {
    while (!list_empty(&w->recent))
        entry_free(w, entry_of(w->recent.next));
    while (!list_empty(&w->gone))
        entry_free(w, entry_of(w->gone.next));
    for (struct map_slot *s = NULL; (s = map_next(&w->changes, s));)
        object_drop(s->value);
    map_fini(&w->entries);
    map_fini(&w->changes);
    wire_ids_fini(&w->held);
    wire_ids_fini(&w->next_held);
}

/* ---- what the next commit changes ---- */

static const struct object *published(const struct wanted *w, struct str id) {
    struct entry *e = map_get(&w->entries, id);
    return e && !is_gone(e) ? e->o : NULL;
}

void wanted_put(struct wanted *w, struct object *o) {
    const struct object *now = published(w, object_id(o));
    if (now && now->hash == o->hash) {
        object_drop(map_del(&w->changes, object_id(o)));
        object_drop(o);
        return;
    }
    object_drop(map_put(&w->changes, object_id(o), o));
}

void wanted_del(struct wanted *w, struct str id) {
    struct object *gone = published(w, id) ? tombstone(id) : NULL;
    object_drop(gone ? map_put(&w->changes, object_id(gone), gone) : map_del(&w->changes, id));
}

void wanted_hold(struct wanted *w, struct str id, bool on) {
    if (on ? wire_ids_add(&w->next_held, id) : wire_ids_del(&w->next_held, id))
        w->holds_changed = true;
}

void wanted_pending(const struct wanted *w,
                    void (*each)(void *arg, const struct object *was, const struct object *now),
                    void *arg) {
    for (struct map_slot *s = NULL; (s = map_next(&w->changes, s));) {
        const struct object *now = s->value;
        each(arg, published(w, s->key), now->kind == TOMBSTONE ? NULL : now);
    }
}

/* ---- commit ---- */

/* Puts o (taken) in its place, as a change of that version. */
static void set(struct wanted *w, struct object *o, uint64_t version) {
    struct entry *e = map_get(&w->entries, object_id(o));
    bool held = wire_ids_match(&w->held, object_id(o));
    if (!e) {
        e = mem_zalloc(sizeof(*e));
        list_init(&e->link);
    } else if (!is_gone(e)) {
        if (!held)
            digest_sub(&w->digest, e->o);
        w->count--;
    }
    map_put(&w->entries, object_id(o), e); /* its key borrows from the object */
    object_drop(e->o);
    e->o = o;
    e->version = version;
    list_del(&e->link);
    list_append(is_gone(e) ? &w->gone : &w->recent, &e->link);
    if (is_gone(e))
        return;
    if (!held)
        digest_add(&w->digest, o);
    w->count++;
}

static void apply_changes(struct wanted *w, uint64_t version) {
    for (struct map_slot *s = NULL; (s = map_next(&w->changes, s));)
        set(w, s->value, version);
    map_fini(&w->changes);
}

/* What was held may be anything at a proxy: all that was meant by that name is removed there, and
 * what there is here is sent again. */
static void release(struct wanted *w, struct str name, uint64_t version) {
    struct list again;
    list_init(&again);
    list_each_safe(link, &w->recent) {
        if (wire_covers(name, object_id(entry_of(link)->o))) {
            list_del(link);
            list_append(&again, link);
        }
    }
    bool found = false;
    for (struct list *link; (link = list_pop(&again)); found = true) {
        entry_of(link)->version = version;
        list_append(&w->recent, link);
    }
    if (wire_is_prefix(name) || !found)
        set(w, tombstone(name), version);
}

static void recount(struct wanted *w) {
    w->digest = (struct digest){0};
    list_each(link, &w->recent) {
        if (!wire_ids_match(&w->held, object_id(entry_of(link)->o)))
            digest_add(&w->digest, entry_of(link)->o);
    }
}

/* Whether anything that was held is so no longer. */
static bool apply_holds(struct wanted *w, uint64_t version) {
    struct wire_ids before = w->held;
    bool released = false;
    wire_ids_init(&w->held);
    for (struct map_slot *s = NULL; (s = map_next(&w->next_held.map, s));)
        wire_ids_add(&w->held, s->key);
    for (struct map_slot *s = NULL; (s = map_next(&before.map, s));) {
        if (!map_get(&w->held.map, s->key)) {
            release(w, s->key, version);
            released = true;
        }
    }
    wire_ids_fini(&before);
    recount(w);
    w->holds_changed = false;
    return released;
}

bool wanted_commit(struct wanted *w) {
    uint64_t version = w->version + 1;
    bool changed = w->version == 0 || w->changes.n > 0;
    apply_changes(w, version);
    if (w->holds_changed && apply_holds(w, version))
        changed = true;
    if (changed)
        w->version = version;
    w->history[w->version % HISTORY].version = w->version;
    w->history[w->version % HISTORY].total = wanted_total(w);
    return changed;
}

uint64_t wanted_total(const struct wanted *w) { return digest_total(&w->digest); }

uint64_t wanted_version_of(const struct wanted *w, uint64_t total) {
    uint64_t found = 0;
    for (size_t i = 0; i < HISTORY; i++)
        if (w->history[i].total == total && w->history[i].version > found)
            found = w->history[i].version;
    return found;
}

void wanted_forget(struct wanted *w, uint64_t version) {
    while (!list_empty(&w->gone) && entry_of(w->gone.next)->version <= version)
        entry_free(w, entry_of(w->gone.next));
}

/* ---- batches ---- */

static void batch_add(struct batch *b, struct object *o) {
    if (b->n == b->cap) {
        b->cap = size_max(16, b->cap * 2);
        b->objects = mem_realloc(b->objects, b->cap * sizeof(struct object *));
    }
    b->objects[b->n++] = object_hold(o);
}

void wanted_batch_fini(struct batch *b) {
    for (size_t i = 0; i < b->n; i++)
        object_drop(b->objects[i]);
    mem_free(b->objects);
    *b = (struct batch){0};
}

static void add_tail(const struct wanted *w, const struct list *head, uint64_t version,
                     bool prefixes, struct batch *b) {
    for (struct list *link = head->prev; link != head; link = link->prev) {
        struct entry *e = entry_of(link);
        if (e->version <= version)
            return;
        if (wire_is_prefix(object_id(e->o)) == prefixes &&
            !wire_ids_match(&w->held, object_id(e->o)))
            batch_add(b, e->o);
    }
}

void wanted_since(const struct wanted *w, uint64_t version, struct batch *b) {
    add_tail(w, &w->gone, version, true, b);
    add_tail(w, &w->gone, version, false, b);
    add_tail(w, &w->recent, version, false, b);
}

void wanted_buckets(const struct wanted *w, struct str buckets, struct batch *b) {
    list_each(link, &w->recent) {
        struct object *o = entry_of(link)->o;
        if (wire_bucket_in(buckets, object_bucket(o)) && !wire_ids_match(&w->held, object_id(o)))
            batch_add(b, o);
    }
}
