/* SPDX-License-Identifier: Apache-2.0
 *
 * target: one endpoint as this worker knows it; see upstream.h. Private to this room.
 */
#ifndef SLUICE_PROXY_UPSTREAM_TARGET_H
#define SLUICE_PROXY_UPSTREAM_TARGET_H

#include "proxy/upstream/upstream.h"

struct target {
    uint32_t slot, generation;
    struct list idle;    /* upstream.link, warmest first */
    struct list waiting; /* waiter.link, oldest first */
    uint32_t n_conns;    /* idle and busy */
    uint32_t n_waiting;
    struct upstreams *home;
    uint32_t n_active;        /* busy: for least request */
    struct tls_memory memory; /* of its sessions */
    bool orphan; /* its slot belongs to another endpoint now: freed with its last connection */
    uint16_t failures;      /* in a row */
    uint16_t ejections;     /* in a row */
    uint64_t ejected_until; /* ms; 0: not */
};

/* Made when it is not there; NULL: no memory. */
struct target *target_of(struct upstreams *us, const struct endpoint *e);
/* NULL when this worker has not met it yet. */
static inline struct target *target_peek(const struct upstreams *us, const struct endpoint *e) {
    struct target *t = us->targets[e->slot];
    return t != NULL && t->generation == e->generation ? t : NULL;
}
static inline bool target_is_ejected(const struct target *t, uint64_t now_ms) {
    return t != NULL && t->ejected_until > now_ms;
}

#endif
