/* SPDX-License-Identifier: Apache-2.0
 *
 * lease_rule: who leads, as a pure function of what was read and of our own clock. Written times
 * (renewTime) are never compared with ours: a record counts as alive for its duration from the
 * moment at which we last saw it change.
 *
 *      ┌──────────── a read shows: free, or not changed for its duration ─► TAKE ─┐
 *   follower                                                                  written
 *      ▲                                                                          ▼
 *      └── lost: somebody else's name, or no renewal for 10 s ◄─────────────── leader ⟲ KEEP, every
 * 2 s
 *
 * A leader is one only for 10 s from the moment at which it *sent* its last successful renewal;
 * nobody else takes a lease before 15 s. A process that was stopped in between finds by its clock
 * that its time is over, before it has heard anything from the API server.
 */
#ifndef SLUICE_CONTROLLER_STATUS_LEASE_RULE_H
#define SLUICE_CONTROLLER_STATUS_LEASE_RULE_H

#include "lib/hash.h"
#include "lib/str.h"

enum {
    LEASE_DURATION_MS = 15000,
    LEASE_DEADLINE_MS = 10000,
    LEASE_RETRY_MS = 2000,
    LEASE_DURATION_MAX_MS = 60000, /* of somebody else's record: more is not waited for */
    LEASE_NAME_MAX = 300,
};

/* What a read gave. Borrowed. */
struct lease_record {
    struct str holder;  /* n == 0: nobody */
    struct str version; /* metadata.resourceVersion */
    uint64_t duration_ms;
    uint64_t transitions;
};

struct lease_rule {
    char me[LEASE_NAME_MAX];
    uint64_t until;   /* we lead before that moment; 0: we do not */
    uint64_t seen;    /* hash of the record that was seen last; 0: none */
    uint64_t seen_at; /* when it was seen first */
    uint64_t duration_ms;
    uint64_t transitions;
    bool free; /* it has no holder */
    bool mine; /* it has our name */
};

enum lease_next {
    LEASE_LATER,  /* somebody else leads */
    LEASE_CREATE, /* there is none: make one in our name */
    LEASE_TAKE,   /* write our name: one transition more, unless it was there */
    LEASE_KEEP,   /* we lead: renew */
};

void lease_rule_init(struct lease_rule *l, struct str me);
bool lease_rule_leads(const struct lease_rule *l, uint64_t now);

/* A read: record, or NULL when there is none. */
enum lease_next lease_rule_read(struct lease_rule *l, const struct lease_record *r, uint64_t now);
/* Our own write succeeded, and was sent at that moment. */
void lease_rule_written(struct lease_rule *l, uint64_t sent);
/* Something failed: true if we led until now and do no longer. Asked at every turn. */
bool lease_rule_expired(struct lease_rule *l, uint64_t now);
void lease_rule_lose(struct lease_rule *l);
/* How long to wait until the next read or renewal: 2 s and up to a fifth more. */
uint64_t lease_rule_pause(struct prng *prng);

#endif
