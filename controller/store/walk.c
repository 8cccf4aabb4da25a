/* SPDX-License-Identifier: Apache-2.0
 *
 * walk: a walk that shows what was keeps only what has changed since it began, and that only until
 * it has come there:
 *
 *     told ◄──────── at ────────► still to tell
 *     changes here are            the first change of a name keeps the version that was (or that
 *     nothing to it               there was none), the others are nothing to it
 */
#include "controller/store/walk.h"

#include "controller/store/index.h"
#include "controller/store/set.h"
#include "lib/map.h"
#include "lib/mem.h"

enum { KEY_MAX = 1024 };

struct kept {
    struct member member;
    struct resource *r; /* what was; NULL: it is new */
    struct str key;     /* of the map; the bytes are behind the struct */
};

struct store_walk {
    struct list link; /* of the store's, when it shows what was */
    const struct store *store;
    uint64_t kinds;
    struct resource *at; /* told last; a count */
    struct map kept;     /* key → struct kept */
    struct set was;      /* those of them that were there */
};

static struct str key_of(const struct resource *r, char room[KEY_MAX]) {
    struct out o = out_fixed(room, KEY_MAX);
    index_own_key(r->kind, r->meta.namespace, r->meta.name, &o);
    must(!o.over);
    return out_done(&o);
}

static struct resource *held(const struct resource *r) {
    return r ? resource_hold((struct resource *)(uintptr_t)r) : NULL;
}

struct store_walk *store_walk_begin(struct store *s, uint64_t kinds, bool as_it_was) {
    struct store_walk *w = mem_zalloc(sizeof(*w));
    list_init(&w->link);
    w->store = s;
    w->kinds = kinds;
    map_init(&w->kept);
    set_init(&w->was);
    if (as_it_was)
        list_push(store_walks(s), &w->link);
    return w;
}

/* ---- what changes meanwhile ---- */

static void keep(struct store_walk *w, struct str key, const struct resource *was) {
    struct kept *k = mem_zalloc(sizeof(*k) + key.n + 1);
    char *bytes = (char *)(k + 1);
    memcpy(bytes, key.p, key.n);
    k->key = str_mk(bytes, key.n);
    k->r = held(was);
    map_put(&w->kept, k->key, k);
    if (k->r)
        set_add(&w->was, &k->member, k->r);
}

static void kept_free(struct store_walk *w, struct kept *k) {
    map_del(&w->kept, k->key);
    if (k->r)
        set_del(&w->was, &k->member);
    resource_drop(k->r);
    mem_free(k);
}

void walks_changed(struct list *walks, const struct resource *was, const struct resource *now) {
    const struct resource *r = was ? was : now;
    char room[KEY_MAX];
    list_each(it, walks) {
        struct store_walk *w = list_entry(it, struct store_walk, link);
        if (!(w->kinds >> r->kind & 1) || (w->at && set_compare(r, w->at) <= 0))
            continue;
        struct str key = key_of(r, room);
        if (!map_get(&w->kept, key))
            keep(w, key, was);
    }
}

/* ---- steps ---- */

static const struct resource *next_counted(const struct store_walk *w) {
    for (enum kube_kind k = w->at ? w->at->kind : 1; k < KUBE_KINDS; k++) {
        const struct resource *r = w->kinds >> k & 1 ? store_next(w->store, k, w->at) : NULL;
        if (r)
            return r;
    }
    return NULL;
}

/* Whether it was there when the walk began. What was kept for it is not needed any more; the walk
 * holds it. */
static bool pass(struct store_walk *w) {
    char room[KEY_MAX];
    struct kept *k = w->kept.n > 0 ? map_get(&w->kept, key_of(w->at, room)) : NULL;
    bool there = !k || k->r;
    if (k)
        kept_free(w, k);
    return there;
}

const struct resource *store_walk_next(struct store_walk *w) {
    do {
        const struct resource *now = next_counted(w), *was = set_after(&w->was, w->at);
        const struct resource *r = !now || (was && set_compare(was, now) <= 0) ? was : now;
        struct resource *before = w->at;
        if (!r)
            return NULL;
        w->at = held(r);
        resource_drop(before);
    } while (!pass(w));
    return w->at;
}

void store_walk_end(struct store_walk *w) {
    if (!w)
        return;
    list_del(&w->link);
    for (struct map_slot *slot; (slot = map_next(&w->kept, NULL));)
        kept_free(w, slot->value);
    map_fini(&w->kept);
    set_fini(&w->was);
    resource_drop(w->at);
    mem_free(w);
}
