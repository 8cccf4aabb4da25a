/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/object_set.h"

#include "lib/hash.h"
#include "lib/mem.h"

void object_set_fini(struct object_set *s) {
    mem_free(s->slots);
    *s = (struct object_set){0};
}

/* As in map.c: each size has an order of its own, and the key is this process's. */
static size_t home_of(const struct object_set *s, struct str id) {
    return (size_t)hash_mix(hash_keyed(id), s->cap) & (s->cap - 1);
}

/* The place that has it, or the free one where it would go. */
static struct object **find(const struct object_set *s, struct str id) {
    size_t mask = s->cap - 1;
    for (size_t i = home_of(s, id);; i = (i + 1) & mask)
        if (!s->slots[i] || str_eq(object_id(s->slots[i]), id))
            return &s->slots[i];
}

static void resize(struct object_set *s, size_t cap) {
    struct object_set old = *s;
    s->slots = mem_array(cap, sizeof(struct object *));
    s->cap = cap;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i])
            *find(s, object_id(old.slots[i])) = old.slots[i];
    mem_free(old.slots);
}

struct object *object_set_get(const struct object_set *s, struct str id) {
    return s->n == 0 ? NULL : *find(s, id);
}

struct object *object_set_put(struct object_set *s, struct object *o) {
    if ((s->n + 1) * 8 > s->cap * 7)
        resize(s, s->cap ? s->cap * 2 : 8);
    struct object **place = find(s, object_id(o)), *before = *place;
    s->n += before == NULL;
    *place = o;
    return before;
}

/* Closes the gap: later ones of the run move back unless that would put them before home. */
static void close_gap(struct object_set *s, size_t gap) {
    size_t mask = s->cap - 1;
    for (size_t i = (gap + 1) & mask; s->slots[i]; i = (i + 1) & mask) {
        if (((i - home_of(s, object_id(s->slots[i]))) & mask) < ((i - gap) & mask))
            continue;
        s->slots[gap] = s->slots[i];
        gap = i;
    }
    s->slots[gap] = NULL;
}

struct object *object_set_del(struct object_set *s, struct str id) {
    struct object **place = s->n == 0 ? NULL : find(s, id);
    if (!place || !*place)
        return NULL;
    struct object *o = *place;
    close_gap(s, (size_t)(place - s->slots));
    s->n--;
    return o;
}

struct object **object_set_next(const struct object_set *s, struct object **o) {
    struct object **end = s->slots + s->cap;
    for (o = o ? o + 1 : s->slots; o < end; o++)
        if (*o)
            return o;
    return NULL;
}
