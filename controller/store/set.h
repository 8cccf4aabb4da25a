/* SPDX-License-Identifier: Apache-2.0
 *
 * set: resources that share a key, in two forms: a ring for adding and taking out in constant time,
 * and an array in order of (kind, namespace, name) that is made when somebody asks. A few changes
 * move the array's elements; after many of them without a question it is dropped, so that loading
 * 100,000 resources under one key costs nothing for each.
 */
#ifndef SLUICE_CONTROLLER_STORE_SET_H
#define SLUICE_CONTROLLER_STORE_SET_H

#include "controller/kube/kinds.h"
#include "lib/list.h"

struct set {
    struct list members;
    size_t n;
    const struct resource **sorted; /* NULL: not made; else n elements */
    size_t room;                    /* of it */
    unsigned changes;               /* of it, since somebody asked */
};

/* In order of kind, namespace and name. */
int set_compare(const struct resource *a, const struct resource *b);

struct member { /* embedded by the store: one resource in one set */
    struct list link;
    const struct resource *r;
};

void set_init(struct set *s);
void set_fini(struct set *s); /* the members are the caller's */

void set_add(struct set *s, struct member *m, const struct resource *r);
void set_del(struct set *s, struct member *m);
/* The same name, another version of it. */
void set_replace(struct set *s, struct member *m, const struct resource *now);

/* All of them in order; lives until the next change. */
const struct resource *const *set_sorted(struct set *s, size_t *n);
/* The first behind r in order, or the first of all for NULL; NULL at the end. */
const struct resource *set_after(struct set *s, const struct resource *r);

#endif
