/* SPDX-License-Identifier: Apache-2.0
 *
 * object_set: objects (model.h), found by id. One word a place where map.h has three: there may
 * be a million of them. Open addressing with linear probing, at most 7/8 full. The holds are the
 * caller's. One thread.
 */
#ifndef SLUICE_LIB_OBJECT_SET_H
#define SLUICE_LIB_OBJECT_SET_H

#include "lib/model.h"

struct object_set {
    struct object **slots; /* NULL: empty */
    size_t cap;            /* power of two, or 0 */
    size_t n;
};

void object_set_fini(struct object_set *s); /* empty and usable again */

struct object *object_set_get(const struct object_set *s, struct str id); /* NULL if absent */
/* The one of that id that was there before, or NULL. */
struct object *object_set_put(struct object_set *s, struct object *o);
struct object *object_set_del(struct object_set *s, struct str id); /* the one taken out, or NULL */

/* for (struct object **o = NULL; (o = object_set_next(s, o));) — any order; the set must not
 * change, but for *o, which may become another object of the same id. */
struct object **object_set_next(const struct object_set *s, struct object **o);

#endif
