/* SPDX-License-Identifier: Apache-2.0
 *
 * hosts: from a host name to its vhost; a persistent hash table. The hash chooses a page and the
 * place in it; probing stays inside the page, so a new version costs one page for each host that
 * changed.
 *
 *     root ─► page   tags    │ │ │ │ ...   8 bits of the hash
 *          ─► page   firsts  │ │ │ │ ...   the rule that will most likely be the answer
 *          ─► page   vhosts  │ │ │ │ ...
 *
 * A random lookup among many hosts waits for memory and for nothing else. So the parts of a place
 * stand in arrays of their own, which are small enough to stay in the caches (all tags of 100,000
 * hosts are 180 kB), and what will be needed is asked for as soon as it is known: the vhost and its
 * first rule at once (`first`), not one after the other.
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

struct host_page {
    struct part part;
    uint32_t n;
    uint8_t tag[HOST_PAGE];    /* of the hash; 0: free */
    uint32_t first[HOST_PAGE]; /* slot of vhost's first rule */
    const struct vhost *vhost[HOST_PAGE];
};

struct host_root {
    struct part part;
    uint32_t n_pages;
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

/* Workers. rules: where its first rule is asked for; may be NULL. */
const struct vhost *hosts_get(const struct hosts *h, struct str key, bool wildcard,
                              const struct pages *rules);
static inline bool hosts_has_wild(const struct hosts *h, size_t n) {
    return n <= HOST_MAX && (h->wild_lengths[n / 64] >> (n % 64) & 1) != 0;
}
/* By the name as configured. */
const struct vhost *hosts_named(const struct hosts *h, struct str hostname);

#endif
