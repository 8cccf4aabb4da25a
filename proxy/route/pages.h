/* SPDX-License-Identifier: Apache-2.0
 *
 * pages: a persistent vector of pointers. A new version shares all pages but those that were
 * written to; the old version stays as it was.
 *
 *     version 1  root ─► page 0   page 1   page 2
 *     version 2  root ─► page 0   page 1'  page 2       one element of page 1 was set
 */
#ifndef SLUICE_PROXY_ROUTE_PAGES_H
#define SLUICE_PROXY_ROUTE_PAGES_H

#include "proxy/route/keeper.h"

enum { PAGE_BITS = 8, PAGE_SLOTS = 1 << PAGE_BITS };

struct page {
    struct part part;
    void *at[PAGE_SLOTS];
};

struct pages {
    struct part part;
    uint32_t n;          /* pages */
    struct page *page[]; /* NULL: all elements are NULL */
};

/* NULL beyond the end and where nothing was set; p may be NULL. */
static inline void *pages_get(const struct pages *p, uint32_t i) {
    if (unlikely(!p || i >> PAGE_BITS >= p->n))
        return NULL;
    const struct page *page = p->page[i >> PAGE_BITS];
    return likely(page != NULL) ? page->at[i & (PAGE_SLOTS - 1)] : NULL;
}

/* Sets an element of the version that is being built; *p is that version (NULL: empty). */
void pages_set(struct keeper *k, struct pages **p, uint32_t i, void *value);
/* The whole version is given up; its elements are the caller's. */
void pages_retire(struct keeper *k, struct pages **p);

#endif
