/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/map.h"

#include "lib/hash.h"
#include "lib/mem.h"

#include <stdlib.h>

void map_init(struct map *m) { *m = (struct map){0}; }

void map_fini(struct map *m) {
    mem_free(m->slots);
    map_init(m);
}

/* Where a key would like to be. Tables of different sizes have different orders: were it the same,
 * then copying a large map slot by slot into a growing one would fill that from one end, and each
 * key would walk over all before it (0.7 s for 320,000). */
static size_t home_of(const struct map *m, struct str key) {
    return (size_t)hash_mix(hash_keyed(key), m->cap) & (m->cap - 1);
}

/* The slot that holds key, or the empty one where it would go. */
static struct map_slot *find(const struct map *m, struct str key) {
    size_t mask = m->cap - 1;
    for (size_t i = home_of(m, key);; i = (i + 1) & mask) {
        struct map_slot *s = &m->slots[i];
        if (!s->key.p || str_eq(s->key, key))
            return s;
    }
}

void *map_get(const struct map *m, struct str key) {
    return m->n == 0 ? NULL : find(m, key)->value;
}

/* The same for a key that is not in it: no other key is looked at, each a cache miss. */
static struct map_slot *find_empty(const struct map *m, struct str key) {
    size_t i = home_of(m, key);
    while (m->slots[i].key.p)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void resize(struct map *m, size_t cap) {
    struct map old = *m;
    m->slots = mem_array(cap, sizeof(*m->slots));
    m->cap = cap;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].key.p)
            *find_empty(m, old.slots[i].key) = old.slots[i];
    mem_free(old.slots);
}

void *map_put(struct map *m, struct str key, void *value) {
    must(key.p && value);
    if ((m->n + 1) * 8 > m->cap * 7)
        resize(m, m->cap ? m->cap * 2 : 8);
    struct map_slot *s = find(m, key);
    void *before = s->value;
    if (!s->key.p)
        m->n++;
    *s = (struct map_slot){key, value};
    return before;
}

void *map_del(struct map *m, struct str key) {
    if (m->n == 0)
        return NULL;
    struct map_slot *s = find(m, key);
    if (!s->key.p)
        return NULL;
    void *value = s->value;
    /* Close the gap: later entries of the run move back unless that would put them before home. */
    size_t mask = m->cap - 1, gap = (size_t)(s - m->slots);
    for (size_t i = (gap + 1) & mask; m->slots[i].key.p; i = (i + 1) & mask) {
        size_t home = home_of(m, m->slots[i].key);
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            m->slots[gap] = m->slots[i];
            gap = i;
        }
    }
    m->slots[gap] = (struct map_slot){0};
    m->n--;
    return value;
}

struct map_slot *map_next(const struct map *m, struct map_slot *s) {
    struct map_slot *end = m->slots + m->cap;
    for (s = s ? s + 1 : m->slots; s < end; s++)
        if (s->key.p)
            return s;
    return NULL;
}

static int by_key(const void *a, const void *b) {
    return str_cmp(((const struct map_slot *)a)->key, ((const struct map_slot *)b)->key);
}

struct map_slot *map_sorted(const struct map *m) {
    struct map_slot *v = mem_array(m->n + 1, sizeof(*v));
    size_t n = 0;
    for (struct map_slot *s = NULL; (s = map_next(m, s));)
        v[n++] = *s;
    qsort(v, n, sizeof(*v), by_key);
    return v;
}
