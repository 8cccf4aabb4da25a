/* SPDX-License-Identifier: Apache-2.0
 *
 * shares: who of the fleet may allow how much of the limits that hold over all proxies together.
 *
 *     proxy ── demand: "asked 3.1 of this limit, I hold 0.40" ──► shares ── by demand ──► targets
 *     proxy ◄─ shares: "0.62 of it, for 3 s" ────────────────────────┘
 *
 * A count is a limit, or one key of a limit; proxies name those that run near their share, and all
 * others have the same part in every proxy, 1/N.
 *
 * The parts of a count are never more than the whole, also while messages are under way. What a
 * proxy may count by is the larger of what it has said that it holds and what it was sent since;
 * one message is under way to each; so shares shrink first, and others grow into what was given up
 * when that is known:
 *
 *     a: 0.50 ──► told 0.10 ····· holds 0.50 or 0.10 ·····► says 0.10
 *     b: 0.50                     nothing is free yet              └► told 0.90
 *
 * A share is lent for LEASE_MS. A proxy that does not hear in time gives up what is more than 1/N,
 * with the N that it was told last, and takes 1/N of everything when all others must have done so
 * too (WIRE_REST_MS); one whose link is lost keeps its parts here until its lease is over.
 *
 * One controller hands out: the one that leads (status/lease.h). Every one hears every proxy, so
 * the next one knows what is held, and its term, which is higher, makes proxies leave the earlier
 * one's messages alone. Controllers that elect nobody see in what proxies say that there is a
 * higher term than theirs, and stand down.
 *
 * A controller that has just started waits a second, and until it has heard as many proxies as
 * these were told that there are, or all leases are over; then it leaves out 1/N for each that is
 * missing.
 *
 * A pure module: the caller has the clock (monotonic milliseconds) and the links. One thread.
 */
#ifndef SLUICE_CONTROLLER_LIMITS_SHARES_H
#define SLUICE_CONTROLLER_LIMITS_SHARES_H

#include "lib/wire.h"

enum {
    SHARES_TURN_MS = 100,
    SHARES_LEASE_MS = 3000,
    SHARES_RENEW_MS = 1000,    /* a lease is renewed so often */
    SHARES_RESERVE_MS = 15000, /* a new controller keeps so long what proxies may hold that it has
                                  not heard of */
    SHARES_UNTOLD = WIRE_WHOLE / 16, /* a proxy that was never told anything counts by it */
};

struct shares;

/* elected: somebody else sees to it that only one leads. */
struct shares *shares_new(bool elected, uint64_t now_ms);
void shares_free(struct shares *s); /* NULL is fine */

/* Whether this controller is the one that hands out. unix_ms: a term that begins now. */
void shares_lead(struct shares *s, bool leads, uint64_t unix_ms);
/* A proxy has said this. */
void shares_hear(struct shares *s, uint64_t proxy, const struct wire_demand *d, uint64_t now_ms);
/* Its link is lost. Of one that was never heard: nothing. */
void shares_lose(struct shares *s, uint64_t proxy);
/* Every SHARES_TURN_MS, or SHARES_RENEW_MS while nothing moves: hands out. give() is called for
 * each proxy that must be told something; the message lives until it returns. */
void shares_turn(struct shares *s, uint64_t now_ms,
                 void (*give)(void *arg, uint64_t proxy, const struct wire_shares *m), void *arg);

struct shares_gauges {
    size_t proxies, counts; /* that have parts; that have parts of their own */
    bool leads;
    bool moves; /* there are such counts, or the parts of the rest are not yet as they should be */
};
struct shares_gauges shares_gauges(const struct shares *s);

#endif
