/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/history/history.h"

#include "controller/store/index.h"
#include "lib/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    QUIET_MS = 1000,    /* commits so close are one revision ... */
    LONGEST_MS = 10000, /* ... that is not longer than this */
    FORGET_MS = 5000,   /* a change that has moved nothing so long after it moves nothing */
    PENDING_MAX = 4096, /* then those are looked for */
    KEY_MAX = 1024,
    NAME_DIGITS = 16,
    NAME_MIN = 4,   /* digits of a revision */
    OVERHEAD = 128, /* bytes of a slot and two pointers, about */
};

/* A change that is in no revision yet. */
struct pending {
    struct history_change *change;
    int64_t at_ms;
};

static int64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct revision *revision_at(const struct list *link) {
    return list_entry((struct list *)(uintptr_t)link, struct revision, link);
}

struct str history_key(const struct resource *r, struct out *o) {
    o->n = 0;
    index_own_key(r->kind, r->meta.namespace, r->meta.name, o);
    must(!o->over);
    return out_done(o);
}

/* ---- one revision ---- */

struct revision *revision_new(void) {
    struct revision *r = mem_zalloc(sizeof(*r));
    list_init(&r->link);
    map_init(&r->changes);
    map_init(&r->moves);
    r->whole = true;
    return r;
}

static void change_free(struct history_change *c) {
    resource_drop(c->was);
    resource_drop(c->now);
    mem_free(c);
}

static void move_free(struct history_move *m) {
    object_drop(m->was);
    object_drop(m->now);
    mem_free(m);
}

/* Takes the counts. */
static struct history_change *change_new(struct str key, struct resource *was,
                                         struct resource *now) {
    struct history_change *c = mem_zalloc(sizeof(*c) + key.n + 1);
    char *bytes = (char *)(c + 1);
    memcpy(bytes, key.p, key.n);
    *c = (struct history_change){str_mk(bytes, key.n), was, now};
    return c;
}

static void free_changes(struct map *changes) {
    for (struct map_slot *s; (s = map_next(changes, NULL));)
        change_free(map_del(changes, s->key));
    map_fini(changes);
    map_init(changes);
}

static void free_moves(struct map *moves) {
    for (struct map_slot *s; (s = map_next(moves, NULL));)
        move_free(map_del(moves, s->key));
    map_fini(moves);
    map_init(moves);
}

void revision_free(struct revision *r) {
    list_del(&r->link);
    free_changes(&r->changes);
    free_moves(&r->moves);
    mem_free(r);
}

static size_t resource_bytes(const struct resource *r) {
    return r ? sizeof(*r) + r->arena.used : 0;
}
static size_t object_size(const struct object *o) {
    return o ? sizeof(*o) + o->id_n + o->bytes_n : 0;
}

void revision_change(struct revision *r, struct str key, struct resource *was,
                     struct resource *now) {
    struct history_change *c = map_get(&r->changes, key);
    r->bytes += resource_bytes(now);
    if (c) {
        resource_drop(was);
        resource_drop(c->now);
        c->now = now;
        if (!c->was && !now) /* it came and went */
            change_free(map_del(&r->changes, key));
        return;
    }
    if (!was && !now)
        return;
    r->bytes += resource_bytes(was) + key.n + OVERHEAD;
    c = change_new(key, was, now);
    map_put(&r->changes, c->key, c);
}

/* The key of a move borrows from one of its objects. */
static void put_move(struct map *moves, struct object *was, struct object *now) {
    struct str id = object_id(now ? now : was);
    struct history_move *m = map_del(moves, id);
    if (!m)
        m = mem_zalloc(sizeof(*m));
    else
        object_drop(was);
    if (!m->was && !m->now)
        m->was = was;
    object_drop(m->now);
    m->now = now;
    if (m->was || m->now)
        map_put(moves, object_id(m->now ? m->now : m->was), m);
    else
        mem_free(m);
}

void revision_move(struct revision *r, struct object *was, struct object *now) {
    r->bytes += object_size(was) + object_size(now) + OVERHEAD;
    put_move(&r->moves, was, now);
}

/* ---- the whole ---- */

void history_init(struct history *h, const struct compiler *c, size_t bytes_max) {
    *h = (struct history){.compiler = c, .bytes_max = bytes_max};
    list_init(&h->revisions);
    map_init(&h->pending);
    map_init(&h->moves);
}

static void drop_pending(struct history *h, struct str key) {
    struct pending *p = map_del(&h->pending, key);
    change_free(p->change);
    mem_free(p);
}

void history_fini(struct history *h) {
    while (!list_empty(&h->revisions))
        revision_free(revision_at(h->revisions.next));
    for (struct map_slot *s; (s = map_next(&h->pending, NULL));)
        drop_pending(h, s->key);
    map_fini(&h->pending);
    free_moves(&h->moves);
    map_fini(&h->moves);
}

void history_say(struct history *h, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(h->note, sizeof(h->note), fmt, args);
    va_end(args);
}

/* ---- changes ---- */

static bool is_written(enum kube_kind kind) {
    return store_holds_back(kind) || kind == KUBE_Consumer || kind == KUBE_ReferenceGrant;
}

/* What is refused serves nowhere: its former version does. It waits for one that is accepted. */
static bool is_refused(const struct history *h, const struct resource *r) {
    const struct compile_status *s = r ? compile_status(h->compiler, r) : NULL;
    const struct condition *c = s ? &s->conditions[CONDITION_ACCEPTED] : NULL;
    return r && (r->refused || (c && c->set && !c->value));
}

static void forget_old(struct history *h, int64_t now_ms) {
    struct str *old = mem_array(h->pending.n + 1, sizeof(*old));
    size_t n = 0;
    for (struct map_slot *s = NULL; (s = map_next(&h->pending, s));) {
        const struct pending *p = s->value;
        if (now_ms - p->at_ms > FORGET_MS && !is_refused(h, p->change->now))
            old[n++] = s->key;
    }
    for (size_t i = 0; i < n; i++)
        drop_pending(h, old[i]);
    mem_free(old);
}

static struct resource *held(const struct resource *r) {
    return r ? resource_hold((struct resource *)(uintptr_t)r) : NULL;
}

void history_changed(struct history *h, const struct resource *was, const struct resource *now) {
    char room[KEY_MAX];
    struct out o = out_fixed(room, sizeof(room));
    const struct resource *r = now ? now : was;
    if (!h->begun || !is_written(r->kind))
        return;
    struct str key = history_key(r, &o);
    struct pending *p = map_get(&h->pending, key);
    if (!p) {
        if (h->pending.n >= PENDING_MAX)
            forget_old(h, unix_ms());
        p = mem_zalloc(sizeof(*p));
        p->change = change_new(key, held(was), NULL);
        map_put(&h->pending, p->change->key, p);
    }
    resource_drop(p->change->now);
    p->change->now = held(now);
    p->at_ms = unix_ms();
}

/* ---- moves ---- */

static struct object *shown(const struct object *o) { return o ? object_hide(o) : NULL; }

/* A secret of it was rotated. */
static bool looks_the_same(const struct object *a, const struct object *b) {
    return a && b && str_eq(object_bytes(a), object_bytes(b));
}

void history_moved(struct history *h, const struct object *was, const struct object *now) {
    if (!object_is_written(now ? now : was))
        return;
    h->sum += (now ? now->hash : 0) - (was ? was->hash : 0);
    if (!h->begun)
        return;
    h->too_many |= h->moves.n >= HISTORY_MOVES;
    if (!h->too_many) {
        struct object *a = shown(was), *b = shown(now);
        if (looks_the_same(a, b)) {
            object_drop(a);
            object_drop(b);
            return;
        }
        put_move(&h->moves, a, b);
    }
    h->added += !was;
    h->removed += !now;
    h->changed += was && now;
}

/* ---- commits ---- */

static void forget_oldest(struct history *h) {
    struct revision *r = history_first(h);
    h->bytes -= r->bytes;
    h->n--;
    revision_free(r);
}

/* The oldest is what the others lead back to: what it changed itself is of use to nobody but who
 * looks at it. */
static void keep_bounds(struct history *h) {
    while (h->n > HISTORY_REVISIONS || (h->n > 1 && h->bytes > h->bytes_max))
        forget_oldest(h);
}

static struct revision *append(struct history *h, struct revision *r) {
    must(h->revisions.prev); /* history_init() */
    r->number = ++h->last;
    list_append(&h->revisions, &r->link);
    h->n++;
    h->bytes += r->bytes;
    return r;
}

/* Whether a Service moved anything; of other kinds that is not asked. */
static bool has_moved(const struct history *h, const struct resource *r) {
    char room[KEY_MAX];
    struct out o = out_fixed(room, sizeof(room));
    if (r->kind != KUBE_Service)
        return true;
    out_fmt(&o, "backend/%.*s/%.*s/", STR_FMT(r->meta.namespace), STR_FMT(r->meta.name));
    for (struct map_slot *s = NULL; (s = map_next(&h->moves, s));)
        if (str_starts(s->key, out_done(&o)))
            return true;
    return h->too_many;
}

static void take_changes(struct history *h, struct revision *r, int64_t now_ms) {
    forget_old(h, now_ms);
    struct str *taken = mem_array(h->pending.n + 1, sizeof(*taken));
    size_t n = 0;
    for (struct map_slot *s = NULL; (s = map_next(&h->pending, s));) {
        const struct history_change *c = ((struct pending *)s->value)->change;
        const struct resource *any = c->now ? c->now : c->was;
        if (any && !is_refused(h, c->now) && has_moved(h, any))
            taken[n++] = s->key;
    }
    for (size_t i = 0; i < n; i++) {
        const struct history_change *c = ((struct pending *)map_get(&h->pending, taken[i]))->change;
        revision_change(r, c->key, held(c->was), held(c->now));
        drop_pending(h, taken[i]);
    }
    mem_free(taken);
}

static void take_moves(struct history *h, struct revision *r) {
    for (struct map_slot *s; (s = map_next(&h->moves, NULL));) {
        struct history_move *m = map_del(&h->moves, s->key);
        revision_move(r, m->was, m->now);
        mem_free(m);
    }
    map_fini(&h->moves);
    map_init(&h->moves);
    r->added += h->added;
    r->changed += h->changed;
    r->removed += h->removed;
}

/* What there is of it cannot be undone. */
static void make_partial(struct revision *r) {
    r->whole = false;
    free_moves(&r->moves);
    free_changes(&r->changes);
    r->bytes = 0;
}

static bool joins(const struct history *h, const struct revision *r, int64_t now_ms) {
    return r && h->note[0] == 0 && r->note[0] == 0 && now_ms - r->moved_ms < QUIET_MS &&
           now_ms - r->made_ms < LONGEST_MS;
}

static struct revision *make_revision(struct history *h, uint64_t published, int64_t now_ms) {
    struct revision *r = history_newest(h);
    if (!joins(h, r, now_ms)) {
        r = append(h, revision_new());
        r->made_ms = now_ms;
        memcpy(r->note, h->note, sizeof(r->note));
        h->note[0] = 0;
    }
    h->bytes -= r->bytes;
    take_changes(h, r, now_ms);
    take_moves(h, r);
    if (h->too_many || r->bytes > h->bytes_max / 2 || r->moves.n > HISTORY_MOVES)
        make_partial(r);
    h->bytes += r->bytes;
    r->name = r->serves = published;
    r->sum = h->sum;
    r->moved_ms = now_ms;
    r->fresh = true;
    keep_bounds(h);
    return r;
}

/* What is compiled at the start is what the last revision of the life before led to, or nobody
 * knows what happened between. */
static struct revision *begin(struct history *h, uint64_t published, int64_t now_ms) {
    struct revision *last = history_newest(h);
    h->begun = true;
    if (last && last->sum == h->sum) {
        last->serves = published;
        return NULL;
    }
    struct revision *r = append(h, revision_new());
    r->made_ms = r->moved_ms = now_ms;
    r->name = r->serves = published;
    r->sum = h->sum;
    r->whole = !last;
    r->fresh = true;
    snprintf(r->note, sizeof(r->note), "the controller started%s",
             last ? "; what changed while none ran is not known" : "");
    keep_bounds(h);
    return r;
}

static struct revision *take_commit(struct history *h, uint64_t published, int64_t now_ms) {
    struct revision *newest = history_newest(h);
    if (!h->begun)
        return begin(h, published, now_ms);
    if (h->added + h->changed + h->removed > 0)
        return make_revision(h, published, now_ms);
    if (newest)
        newest->serves = published;
    return NULL;
}

struct revision *history_committed(struct history *h, uint64_t published, int64_t now_ms) {
    struct revision *r = take_commit(h, published, now_ms);
    free_moves(&h->moves);
    h->added = h->changed = h->removed = 0;
    h->too_many = false;
    h->note[0] = 0;
    return r;
}

void history_add(struct history *h, struct revision *r) {
    append(h, r);
    keep_bounds(h);
}

/* ---- looking ---- */

struct revision *history_first(const struct history *h) {
    return list_empty(&h->revisions) ? NULL : revision_at(h->revisions.next);
}
struct revision *history_newest(const struct history *h) {
    return list_empty(&h->revisions) ? NULL : revision_at(h->revisions.prev);
}
struct revision *history_next(const struct history *h, const struct revision *r) {
    return r->link.next == &h->revisions ? NULL : revision_at(r->link.next);
}
struct revision *history_before(const struct history *h, const struct revision *r) {
    return r->link.prev == &h->revisions ? NULL : revision_at(r->link.prev);
}

static bool begins(uint64_t revision, struct str name) {
    char room[16];
    struct out o = out_fixed(room, sizeof(room));
    out_hex(&o, revision, 16);
    return str_starts(out_done(&o), name);
}

/* Two may serve the same, as after a rollback: the newer one counts. */
struct revision *history_find(const struct history *h, struct str name, struct why *why) {
    struct revision *found = NULL;
    struct shown room;
    if (name.n < NAME_MIN) {
        why_text(why, "%s is no revision: write at least %d digits of one", why_show(name, &room),
                 NAME_MIN);
        return NULL;
    }
    for (struct revision *r = history_first(h); r; r = history_next(h, r)) {
        if (!begins(r->name, name) && !begins(r->serves, name))
            continue;
        if (found && found->name != r->name && name.n < NAME_DIGITS) {
            why_text(why, "two revisions begin with %s; write more digits", why_show(name, &room));
            return NULL;
        }
        found = r;
    }
    if (!found)
        why_text(why, "there is no revision %s; see `sluicectl history`", why_show(name, &room));
    return found;
}

bool history_leads_back(const struct history *h, const struct revision *r) {
    while ((r = history_next(h, r)))
        if (!r->whole)
            return false;
    return true;
}

void history_since(const struct history *h, const struct revision *r,
                   void (*each)(void *arg, struct str key, const struct resource *was,
                                const struct resource *now),
                   void *arg) {
    struct map first, last; /* key → change */
    map_init(&first);
    map_init(&last);
    while ((r = history_next(h, r)))
        for (struct map_slot *s = NULL; (s = map_next(&r->changes, s));) {
            if (!map_get(&first, s->key))
                map_put(&first, s->key, s->value);
            map_put(&last, s->key, s->value);
        }
    struct map_slot *v = map_sorted(&first);
    for (size_t i = 0; i < first.n; i++) {
        const struct history_change *c = map_get(&last, v[i].key);
        each(arg, v[i].key, ((const struct history_change *)v[i].value)->was, c->now);
    }
    mem_free(v);
    map_fini(&first);
    map_fini(&last);
}

void history_moves_between(const struct history *h, const struct revision *from,
                           const struct revision *to,
                           void (*each)(void *arg, struct str id, const struct object *was,
                                        const struct object *now),
                           void *arg) {
    struct map first, last;
    map_init(&first);
    map_init(&last);
    to = to ? to : history_newest(h);
    for (const struct revision *r = from; r != to && (r = history_next(h, r));)
        for (struct map_slot *s = NULL; (s = map_next(&r->moves, s));) {
            if (!map_get(&first, s->key))
                map_put(&first, s->key, s->value);
            map_put(&last, s->key, s->value);
        }
    struct map_slot *v = map_sorted(&first);
    for (size_t i = 0; i < first.n; i++) {
        const struct history_move *a = v[i].value, *b = map_get(&last, v[i].key);
        if (a->was ? !b->now || a->was->hash != b->now->hash : b->now != NULL)
            each(arg, v[i].key, a->was, b->now);
    }
    mem_free(v);
    map_fini(&first);
    map_fini(&last);
}
