/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/pages.h"

#include <string.h>

static struct pages *root_with(struct keeper *k, struct pages *old, uint32_t n) {
    struct pages *root = part_new(k, PART_BLOCK, sizeof(*root) + n * sizeof(root->page[0]));
    root->n = n;
    if (old) {
        memcpy(root->page, old->page, old->n * sizeof(root->page[0]));
        part_retire(k, &old->part);
    }
    return root;
}

static struct page *page_copy(struct keeper *k, struct page *old) {
    struct page *page = part_new(k, PART_BLOCK, sizeof(*page));
    if (old) {
        memcpy(page->at, old->at, sizeof(page->at));
        part_retire(k, &old->part);
    }
    return page;
}

void pages_set(struct keeper *k, struct pages **p, uint32_t i, void *value) {
    uint32_t at = i >> PAGE_BITS;
    if (!*p || at >= (*p)->n)
        *p = root_with(k, *p, *p && at < 2 * (*p)->n ? 2 * (*p)->n : at + 1);
    else if (!part_is_fresh(k, &(*p)->part))
        *p = root_with(k, *p, (*p)->n);
    struct page **page = &(*p)->page[at];
    if (!*page || !part_is_fresh(k, &(*page)->part))
        *page = page_copy(k, *page);
    (*page)->at[i & (PAGE_SLOTS - 1)] = value;
}

void pages_retire(struct keeper *k, struct pages **p) {
    if (!*p)
        return;
    for (uint32_t i = 0; i < (*p)->n; i++)
        if ((*p)->page[i])
            part_retire(k, &(*p)->page[i]->part);
    part_retire(k, &(*p)->part);
    *p = NULL;
}
