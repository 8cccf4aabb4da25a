/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/hosts.h"

#include "lib/hash.h"
#include "proxy/route/vhost.h"

enum {
    LOAD = HOST_PAGE * 5 / 8, /* of a page on average, at most */
    PAGE_FULL = HOST_PAGE * 7 / 8
};

/* An exact ".example.com" (which a client may send) and the key of a wildcard differ. */
static uint64_t hash_of(struct str key, bool wildcard) {
    return hash_keyed(key) ^ (wildcard ? 0x9e3779b97f4a7c15ULL : 0);
}

/* Three different parts of a hash: the page, the place in it, what is compared. */
static uint32_t page_of(const struct host_root *r, uint64_t hash) {
    return (uint32_t)((uint64_t)(uint32_t)(hash >> 8) * r->n_pages >> 32);
}
static uint32_t home_of(uint64_t hash) { return (uint32_t)hash & (HOST_PAGE - 1); }
static uint8_t tag_of(uint64_t hash) { return (uint8_t)(hash >> 56) | 1; }

/* What a lookup will read once it is sure of the name. A small vhost may be one line only, so its
 * second one is not loaded but hinted at. */
static void fetch(const struct vhost *v, const struct rule *first) {
    fetch_early(v);
    __builtin_prefetch((const char *)v + BLOCKS_LINE);
    if (first)
        fetch_early(first);
}

/* The place of a key in its page, or the free one where its run ends. */
static inline uint32_t find(const struct host_page *p, uint64_t hash, struct str key, bool wildcard,
                            const struct pages *rules) {
    uint8_t tag = tag_of(hash);
    for (uint32_t i = home_of(hash);; i = (i + 1) & (HOST_PAGE - 1)) {
        if (p->tag[i] == 0)
            return i;
        if (p->tag[i] != tag)
            continue;
        const struct vhost *v = p->vhost[i];
        fetch(v, pages_get(rules, p->first[i]));
        if (v->wildcard == wildcard && str_eq(vhost_key(v), key))
            return i;
    }
}

const struct vhost *hosts_get(const struct hosts *h, struct str key, bool wildcard,
                              const struct pages *rules) {
    if (!h->root)
        return NULL;
    uint64_t hash = hash_of(key, wildcard);
    const struct host_page *p = h->root->page[page_of(h->root, hash)];
    return p->vhost[find(p, hash, key, wildcard, rules)]; /* NULL where it is free */
}

const struct vhost *hosts_named(const struct hosts *h, struct str hostname) {
    if (hostname.n == 0)
        return h->any;
    bool wildcard = hostname.p[0] == '*';
    return hosts_get(h, str_skip(hostname, wildcard), wildcard, NULL);
}

static uint64_t hash_of_vhost(const struct vhost *v) { return hash_of(vhost_key(v), v->wildcard); }

static void fill(struct host_page *p, uint32_t i, uint8_t tag, const struct vhost *v) {
    p->tag[i] = tag;
    p->vhost[i] = v;
    p->first[i] = v ? vhost_first_rule(v) : 0;
}

static void insert(struct host_page *p, uint64_t hash, const struct vhost *v) {
    uint32_t i = home_of(hash);
    while (p->tag[i] != 0)
        i = (i + 1) & (HOST_PAGE - 1);
    fill(p, i, tag_of(hash), v);
    p->n++;
}

/* Takes out place i and closes the gap: later ones of the run move back, but never before home. */
static void take_out(struct host_page *p, uint32_t gap) {
    const uint32_t mask = HOST_PAGE - 1;
    for (uint32_t i = (gap + 1) & mask; p->tag[i] != 0; i = (i + 1) & mask) {
        uint32_t home = home_of(hash_of_vhost(p->vhost[i]));
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            fill(p, gap, p->tag[i], p->vhost[i]);
            gap = i;
        }
    }
    fill(p, gap, 0, NULL);
    p->n--;
}

static struct host_root *root_new(struct keeper *k, uint32_t n) {
    struct host_root *r = part_new(k, PART_BLOCK, sizeof(*r) + n * sizeof(r->page[0]));
    r->n_pages = n;
    return r;
}

/* By a quarter: an empty place takes room in the caches as a full one does. */
static void grow(struct keeper *k, struct hosts *h) {
    struct host_root *old = h->root;
    struct host_root *new = root_new(k, old ? old->n_pages + old->n_pages / 4 + 1 : 1);
    for (uint32_t i = 0; i < new->n_pages; i++)
        new->page[i] = part_new(k, PART_BLOCK, sizeof(struct host_page));
    for (uint32_t i = 0; old && i < old->n_pages; i++) {
        struct host_page *p = old->page[i];
        for (uint32_t j = 0; j < HOST_PAGE; j++)
            if (p->tag[j] != 0) {
                uint64_t hash = hash_of_vhost(p->vhost[j]);
                insert(new->page[page_of(new, hash)], hash, p->vhost[j]);
            }
        part_retire(k, &p->part);
    }
    if (old)
        part_retire(k, &old->part);
    h->root = new;
}

static struct host_page *writable(struct keeper *k, struct hosts *h, uint32_t at) {
    if (!part_is_fresh(k, &h->root->part)) {
        struct host_root *r = root_new(k, h->root->n_pages);
        memcpy(r->page, h->root->page, r->n_pages * sizeof(r->page[0]));
        part_retire(k, &h->root->part);
        h->root = r;
    }
    struct host_page *p = h->root->page[at];
    if (!part_is_fresh(k, &p->part)) {
        struct host_page *copy = part_new(k, PART_BLOCK, sizeof(*copy));
        memcpy(&copy->n, &p->n, sizeof(*p) - offsetof(struct host_page, n));
        part_retire(k, &p->part);
        h->root->page[at] = p = copy;
    }
    return p;
}

void hosts_set(struct keeper *k, struct hosts *h, struct str hostname, const struct vhost *v) {
    if (hostname.n == 0) {
        h->any = v;
        return;
    }
    bool wildcard = hostname.p[0] == '*';
    struct str key = str_skip(hostname, wildcard);
    uint64_t hash = hash_of(key, wildcard);
    if (!h->root && !v)
        return;
    while (!h->root || h->n > h->root->n_pages * LOAD ||
           h->root->page[page_of(h->root, hash)]->n >= PAGE_FULL)
        grow(k, h);
    struct host_page *p = writable(k, h, page_of(h->root, hash));
    uint32_t i = find(p, hash, key, wildcard, NULL);
    bool was = p->tag[i] != 0;
    if (was && v)
        fill(p, i, tag_of(hash), v);
    else if (was)
        take_out(p, i);
    else if (v)
        insert(p, hash, v);
    h->n += (v != NULL);
    h->n -= was;
}

void hosts_retire(struct keeper *k, struct hosts *h) {
    for (uint32_t i = 0; h->root && i < h->root->n_pages; i++)
        part_retire(k, &h->root->page[i]->part);
    if (h->root)
        part_retire(k, &h->root->part);
    *h = (struct hosts){0};
}
