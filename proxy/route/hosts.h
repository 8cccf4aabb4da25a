/* SPDX-License-Identifier: Apache-2.0
 *
 * hosts: from a host name to its vhost; a persistent hash table. The hash chooses a page and the
 * place in it; probing stays inside the page, so a new version costs one page for each host that
 * changed.
 *
 *     root ─► page   │vhost, tag, first│vhost, tag, first│ ...     tag: 32 bits of the hash
 *          ─► page   first: the rule that will most likely be the answer
 *
 * A random lookup among many hosts waits for memory and for nothing else, so what it will need is
 * asked for as soon as it is known: the vhost and its first rule at once (`first`), not one after
 * the other.
 *
 *     shop.example.com    key "shop.example.com"
 *     *.example.com       key ".example.com", wildcard
 *     any host            `any`
 *
 * Lookup: the exact name, then each suffix at a dot from the longest to the shortest, of which only
 * those are tried whose length some wildcard has, then any.
 */
#ifndef SLUICE_PROXY_ROUTE_HOSTS_H
#define SLUICE_PROXY_ROUTE_HOSTS_H

#include "lib/str.h"
#include "proxy/route/pages.h"

enum {
    HOST_MAX = 255, /* bytes of a host name */
    HOST_PAGE = 256 /* places of a page */
};

struct vhost;

struct host_place {
    const struct vhost *vhost;
    uint32_t tag;   /* 0: free */
    uint32_t first; /* slot of vhost's first rule */
};

struct host_page {
    struct part part;
    uint32_t n;
    struct host_place at[HOST_PAGE];
};

struct host_root {
    struct part part;
    uint32_t n_pages; /* power of two */
    struct host_page *page[];
};

struct hosts {
    struct host_root *root; /* NULL: empty */
    const struct vhost *any;
    uint32_t n;                               /* entries, without any */
    uint64_t wild_lengths[HOST_MAX / 64 + 1]; /* bit n: some wildcard's key has n bytes */
};

/* Main thread: sets what a name (as in vhost->hostname) leads to, NULL takes it out. */
void hosts_set(struct keeper *k, struct hosts *h, struct str hostname, const struct vhost *v);
void hosts_retire(struct keeper *k, struct hosts *h);

/* Workers. rules: where the rule is prefetched from; may be NULL. */
const struct vhost *hosts_get(const struct hosts *h, struct str key, bool wildcard,
                              const struct pages *rules);
static inline bool hosts_has_wild(const struct hosts *h, size_t n) {
    return n <= HOST_MAX && (h->wild_lengths[n / 64] >> (n % 64) & 1) != 0;
}
/* By the name as configured. */
const struct vhost *hosts_named(const struct hosts *h, struct str hostname);

#endif
