/* SPDX-License-Identifier: Apache-2.0
 *
 * when: the moment at which a status is written. Pure: the caller says what time it is, in
 * milliseconds of any one clock.
 *
 *     the object itself changed     when every proxy has acked, at the latest after 1 s (then once
 *                                   more, when they have)
 *     the fleet's size changed      when it has not changed for 10 s
 *     a controller begins           as the fleet's size: before it knows its proxies it writes
 * nothing
 *
 * An object that did not change is never said to be served by fewer proxies than are ready: a proxy
 * that starts with an older state catches up, or is behind.
 *
 * So a change costs an object one write when all acks come within 1 s, else two; a rolling restart
 * of the proxies costs none.
 */
#ifndef SLUICE_CONTROLLER_STATUS_WHEN_H
#define SLUICE_CONTROLLER_STATUS_WHEN_H

#include "controller/status/body.h"

enum {
    WHEN_ACKS_MS = 1000,
    WHEN_STABLE_MS = 10000,
    WHEN_KNOWN_MS = 30000, /* after the start, even if proxies still come and go */
};
#define WHEN_NEVER UINT64_MAX

/* ---- the fleet ---- */

struct when_fleet {
    uint64_t started, since; /* of the size that it has */
    size_t ready, behind;
    bool known;
    bool looked; /* when_fleet_settled() has said so for this size */
};

void when_fleet_init(struct when_fleet *f, uint64_t now);
void when_fleet_seen(struct when_fleet *f, size_t ready, size_t behind, uint64_t now);
/* True once for each size, when it has been so for long enough. */
bool when_fleet_settled(struct when_fleet *f, uint64_t now);
uint64_t when_fleet_next(const struct when_fleet *f); /* when to ask that; WHEN_NEVER */

/* ---- one object ---- */

enum when_acks {
    WHEN_ALL,  /* every ready proxy has it, or there is nothing to have */
    WHEN_SOME, /* one has not: it acks, or in 10 s it is behind and no longer waited for */
    WHEN_NONE, /* no proxy is ready */
};

/* since: of the object's change that is not written yet. Now or earlier: write; later: ask again
 * then, or when a proxy has acked; WHEN_NEVER: there is nothing to write. */
uint64_t when_to_write(const struct body_look *look, enum when_acks acks, uint64_t since,
                       const struct when_fleet *fleet, uint64_t now);

/* ---- all of them: at most so many a second ---- */

struct when_bucket {
    uint32_t per_second, burst;
    uint64_t full_at; /* when it will be full again, in microseconds */
};

bool when_take(struct when_bucket *b, uint64_t now);           /* one, if there is one */
uint64_t when_next(const struct when_bucket *b, uint64_t now); /* when there will be one */

#endif
