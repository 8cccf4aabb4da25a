/* SPDX-License-Identifier: Apache-2.0
 *
 * hosts: from a host name to its vhost; a persistent hash table (buckets in pages, so that a new
 * version costs one bucket and one page for each host that changed).
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

enum { HOST_MAX = 255 }; /* bytes of a host name */

struct vhost;

struct hosts {
    struct pages *buckets; /* struct bucket */
    uint32_t n_buckets;    /* power of two, or 0 */
    uint32_t n;            /* entries, without any */
    const struct vhost *any;
    uint64_t wild_lengths[HOST_MAX / 64 + 1]; /* bit n: some wildcard's key has n bytes */
};

/* Main thread: sets what a name (as in vhost->hostname) leads to, NULL takes it out. */
void hosts_set(struct keeper *k, struct hosts *h, struct str hostname, const struct vhost *v);
void hosts_retire(struct keeper *k, struct hosts *h);

/* Workers. */
const struct vhost *hosts_get(const struct hosts *h, struct str key, bool wildcard);
static inline bool hosts_has_wild(const struct hosts *h, size_t n) {
    return n <= HOST_MAX && (h->wild_lengths[n / 64] >> (n % 64) & 1) != 0;
}

#endif
