/* SPDX-License-Identifier: Apache-2.0
 *
 * map: names to pointers. Open addressing with linear probing, keyed hash, at most 7/8 full. Keys
 * are borrowed: they must live as long as their entry (usually inside the value). One thread.
 *
 * A slot keeps no hash: with 100,000 routes eight bytes of it are 84 bytes a route, and hashing a
 * key once more when the map grows costs less than that memory.
 */
#ifndef SLUICE_LIB_MAP_H
#define SLUICE_LIB_MAP_H

#include "lib/str.h"

struct map_slot {
    struct str key; /* p == NULL: empty */
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t cap; /* power of two, or 0 */
    size_t n;
};

void map_init(struct map *m); /* allocates nothing */
void map_fini(struct map *m); /* the values are the caller's */

void *map_get(const struct map *m, struct str key); /* NULL if absent */
/* Returns the value that was there before, or NULL. The key must not be NULL; value not NULL. */
void *map_put(struct map *m, struct str key, void *value);
void *map_del(struct map *m, struct str key); /* the value taken out, or NULL */

/* for (struct map_slot *s = NULL; (s = map_next(m, s));) — any order; the map must not change. */
struct map_slot *map_next(const struct map *m, struct map_slot *s);
/* Copies of its slots, n of them, in order of their keys; the caller frees it. */
struct map_slot *map_sorted(const struct map *m);

#endif
