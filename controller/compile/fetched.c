/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/fetched.h"

#include "lib/mem.h"

#include <stdlib.h>

struct fetched {
    struct arena a; /* of want */
    struct keyset_want want;
    uint64_t hash;
    struct keyset result; /* its documents are ours */
};

struct fetches {
    struct map all;           /* key → struct fetched */
    uint64_t version;         /* counts changes of what is wanted */
    struct keyset_want *list; /* as of `listed` */
    size_t n_list;
    uint64_t listed;
};

static struct str fetched_key(struct arena *a, struct str key) {
    return arena_fmt(a, "fetched/%.*s", STR_FMT(key));
}

/* ---- results ---- */

static struct str copy(struct str s) { return s.n > 0 ? str_mk(str_dup(s), s.n) : STR_NONE; }

static void set_result(struct fetched *f, const struct keyset *k) {
    struct keyset was = f->result;
    f->result = *k;
    f->result.document = copy(k->document);
    f->result.discovery = copy(k->discovery);
    mem_free((char *)(uintptr_t)was.document.p);
    mem_free((char *)(uintptr_t)was.discovery.p);
}

void compile_fetched(struct compiler *c, struct str key, const struct keyset *k) {
    struct fetched *f = map_get(&c->fetches->all, key);
    struct arena a;
    if (!f)
        return;
    set_result(f, k);
    arena_init(&a);
    store_touch(c->store, fetched_key(&a, key));
    arena_fini(&a);
}

/* ---- wants ---- */

static void fetched_free(struct compiler *c, struct fetched *f) {
    map_del(&c->fetches->all, f->want.key);
    set_result(f, &(struct keyset){0});
    arena_fini(&f->a);
    mem_free(f);
    c->fetches->version++;
}

static void take(struct compiler *c, struct fetched *f, const struct keyset_want *want,
                 uint64_t hash) {
    struct arena was = f->a;
    if (f->want.key.n > 0)
        map_del(&c->fetches->all, f->want.key);
    arena_init(&f->a);
    f->want = keyset_want_copy(&f->a, want);
    f->hash = hash;
    arena_fini(&was);
    map_put(&c->fetches->all, f->want.key, f);
    c->fetches->version++;
}

const struct keyset *fetched_read(struct making *m, const struct keyset_want *want) {
    struct compiler *c = m->c;
    struct fetched *f = map_get(&c->fetches->all, want->key);
    uint64_t hash = keyset_want_hash(want);
    must(want->key.n > 0);
    if (!f) {
        f = mem_zalloc(sizeof(*f));
        arena_init(&f->a);
    }
    if (f->hash != hash || f->want.key.n == 0)
        take(c, f, want, hash);
    store_read_key(c->store, m->u->su, fetched_key(&m->a, want->key));
    m->keep = m->keep || f->result.state == KEYSET_PENDING ||
              (f->result.state == KEYSET_FAILED && m->u->restored);
    m->fails = m->fails || f->result.state == KEYSET_FAILED;
    return &f->result;
}

/* Those that no unit reads any more go. */
static void sweep(struct compiler *c) {
    struct fetched **gone = mem_array(c->fetches->all.n + 1, sizeof(*gone));
    struct arena a;
    size_t n = 0;
    arena_init(&a);
    for (struct map_slot *s = NULL; (s = map_next(&c->fetches->all, s)); arena_reset(&a))
        if (!store_is_read(c->store, fetched_key(&a, s->key)))
            gone[n++] = s->value;
    for (size_t i = 0; i < n; i++)
        fetched_free(c, gone[i]);
    arena_fini(&a);
    mem_free(gone);
}

static int by_key(const void *a, const void *b) {
    const struct keyset_want *x = a, *y = b;
    return str_cmp(x->key, y->key);
}

static void list_wants(struct compiler *c) {
    struct keyset_want *all = mem_array(c->fetches->all.n + 1, sizeof(*all));
    size_t n = 0;
    for (struct map_slot *s = NULL; (s = map_next(&c->fetches->all, s));)
        all[n++] = ((const struct fetched *)s->value)->want;
    qsort(all, n, sizeof(*all), by_key);
    mem_free(c->fetches->list);
    c->fetches->list = all;
    c->fetches->n_list = n;
    c->fetches->listed = c->fetches->version;
}

uint64_t compile_wants(struct compiler *c, const struct keyset_want **wants, size_t *n) {
    sweep(c);
    if (c->fetches->listed != c->fetches->version)
        list_wants(c);
    *wants = c->fetches->list;
    *n = c->fetches->n_list;
    return c->fetches->version;
}

/* ---- life ---- */

void fetched_init(struct compiler *c) {
    c->fetches = mem_zalloc(sizeof(*c->fetches));
    map_init(&c->fetches->all);
}

void fetched_fini(struct compiler *c) {
    for (struct map_slot *s; (s = map_next(&c->fetches->all, NULL));)
        fetched_free(c, s->value);
    map_fini(&c->fetches->all);
    mem_free(c->fetches->list);
    mem_free(c->fetches);
}
