/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/hosts.h"

#include "lib/hash.h"
#include "proxy/route/vhost.h"

enum { LOAD = 4 }; /* entries a bucket, at most on average */

struct bucket_entry {
    uint64_t hash;
    const struct vhost *vhost;
};

struct bucket {
    struct part part;
    uint32_t n;
    struct bucket_entry entry[];
};

/* An exact ".example.com" (which a client may send) and the key of a wildcard differ. */
static uint64_t hash_of(struct str key, bool wildcard) {
    return hash_keyed(key) ^ (wildcard ? 0x9e3779b97f4a7c15ULL : 0);
}

static bool is(const struct bucket_entry *e, uint64_t hash, struct str key, bool wildcard) {
    return e->hash == hash && e->vhost->wildcard == wildcard && str_eq(e->vhost->key, key);
}

const struct vhost *hosts_get(const struct hosts *h, struct str key, bool wildcard) {
    if (h->n == 0)
        return NULL;
    uint64_t hash = hash_of(key, wildcard);
    const struct bucket *b = pages_get(h->buckets, (uint32_t)hash & (h->n_buckets - 1));
    for (uint32_t i = 0; b && i < b->n; i++)
        if (is(&b->entry[i], hash, key, wildcard))
            return b->entry[i].vhost;
    return NULL;
}

/* Replaces bucket i by one without entry `skip` (or b->n) and with *add (or NULL). */
static void rewrite(struct keeper *k, struct hosts *h, uint32_t i, struct bucket *b, uint32_t skip,
                    const struct bucket_entry *add) {
    uint32_t n_old = b ? b->n : 0, n = n_old - (skip < n_old) + (add != NULL), at = 0;
    struct bucket *new = NULL;
    if (n > 0) {
        new = part_new(k, PART_BLOCK, sizeof(*new) + n * sizeof(new->entry[0]));
        new->n = n;
        for (uint32_t j = 0; j < n_old; j++)
            if (j != skip)
                new->entry[at++] = b->entry[j];
        if (add)
            new->entry[at] = *add;
    }
    if (b)
        part_retire(k, &b->part);
    pages_set(k, &h->buckets, i, new);
}

static void put(struct keeper *k, struct hosts *h, const struct bucket_entry *e) {
    uint32_t i = (uint32_t)e->hash & (h->n_buckets - 1);
    struct bucket *b = pages_get(h->buckets, i);
    rewrite(k, h, i, b, UINT32_MAX, e);
}

static void grow(struct keeper *k, struct hosts *h) {
    struct hosts old = *h;
    h->n_buckets = old.n_buckets ? old.n_buckets * 2 : PAGE_SLOTS;
    h->buckets = NULL;
    for (uint32_t i = 0; i < old.n_buckets; i++) {
        struct bucket *b = pages_get(old.buckets, i);
        for (uint32_t j = 0; b && j < b->n; j++)
            put(k, h, &b->entry[j]);
        if (b)
            part_retire(k, &b->part);
    }
    pages_retire(k, &old.buckets);
}

void hosts_set(struct keeper *k, struct hosts *h, struct str hostname, const struct vhost *v) {
    if (hostname.n == 0) {
        h->any = v;
        return;
    }
    bool wildcard = hostname.p[0] == '*';
    struct str key = str_skip(hostname, wildcard);
    struct bucket_entry e = {hash_of(key, wildcard), v};
    if (v && h->n + 1 > h->n_buckets * LOAD)
        grow(k, h);
    if (h->n_buckets == 0)
        return;
    uint32_t i = (uint32_t)e.hash & (h->n_buckets - 1), skip = 0;
    struct bucket *b = pages_get(h->buckets, i);
    while (b && skip < b->n && !is(&b->entry[skip], e.hash, key, wildcard))
        skip++;
    bool was = b && skip < b->n;
    if (!was && !v)
        return;
    rewrite(k, h, i, b, was ? skip : UINT32_MAX, v ? &e : NULL);
    h->n += (v != NULL);
    h->n -= was;
}

void hosts_retire(struct keeper *k, struct hosts *h) {
    for (uint32_t i = 0; i < h->n_buckets; i++) {
        struct bucket *b = pages_get(h->buckets, i);
        if (b)
            part_retire(k, &b->part);
    }
    pages_retire(k, &h->buckets);
    *h = (struct hosts){0};
}
