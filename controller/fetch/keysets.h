/* SPDX-License-Identifier: Apache-2.0
 *
 * keysets: the public keys of issuers, read here and never while a request waits (S37). What is
 * wanted comes from the configuration; what was got goes back into it, and to the proxies as
 * objects.
 *
 *     compile ── keysets_want() ──► sources ── fetch.h, at most KEYSETS_AT_ONCE ──► the issuers
 *        ▲                           ▲    │
 *        └────────── changed() ──────┼────┘
 *     a proxy ── keysets_unknown_kid ┘
 *
 *     wanted ─► PENDING ──── a key set ────► GOOD ◄──── a key set ──── STALE
 *                  │                          │ ▲                        ▲
 *                  └── failed ─► FAILED ──────┼─┘ a key set              │
 *                                             └── max_stale after the last success
 *
 * Each source is fetched at once, again after its refresh, after a failure with a back-off from 1 s
 * to refresh; each of these times is up to 10 % shorter or longer, so that many controllers and
 * sources spread. Cache-Control, Expires and Retry-After change none of it: how old keys may be is
 * for whoever trusts them to say. Nothing of one source touches another.
 *
 * A failed fetch, or what is no usable key set (lib/jwt.h), leaves the last good one as it is, and
 * is told. max_stale after the last success it is dropped, so that what trusts it is closed.
 *
 * A key id that a proxy does not know may be one of a rotation, or anybody's invention. It brings
 * the next fetch forward, but never to less than min(refresh, KEYSETS_KID_MS) after the last one
 * began: a real rotation is seen after half a minute at most, and ten thousand made-up ids a second
 * are two requests a minute to the issuer.
 *
 * Restart. A controller that starts has nothing, while proxies have the key_set objects of the
 * fleet. So a source is PENDING until its first answer or failure; compile holds what reads it as
 * it is, and keeps what the fleet has through failures as well (controller/compile/fetched.h), up
 * to the stale_after that stands in it.
 *
 * Replicas fetch each for itself. So that the same answers make the same objects, and not each
 * refresh is a change for the fleet, the times that are told are rounded down to eighths of
 * max_stale: keys are used for seven to eight eighths of it.
 *
 * The loop's thread. Times are the monotonic clock's but for `fetched` and `stale_after`.
 */
#ifndef SLUICE_CONTROLLER_FETCH_KEYSETS_H
#define SLUICE_CONTROLLER_FETCH_KEYSETS_H

#include "controller/fetch/keyset.h"
#include "lib/metric.h"

struct event_base;
struct keysets;

enum {
    KEYSETS_AT_ONCE = 8,
    KEYSETS_REFRESH_MIN_MS = 10000, /* more often nobody is asked, whatever is configured */
    KEYSETS_KID_MS = 30000,
    KEYSETS_RETRY_MS = 1000,
};

struct keysets_options {
    /* Something of a source is another one than was told last. From the loop; *k is lent;
     * keysets_unknown_kid() is all that may be called from inside. */
    void (*changed)(void *arg, struct str key, const struct keyset *k);
    void *arg;
    /* Other than those above, for tests; 0: as above. */
    uint32_t refresh_min_ms, kid_ms, retry_ms, connect_ms, whole_ms;
};

struct keysets *keysets_new(struct event_base *base, const struct keysets_options *o);
void keysets_free(struct keysets *k); /* NULL is fine */

/* All that is wanted now, copied. What was wanted and is not here is forgotten, what is under way
 * for it cancelled; what differs is fetched at once, unless it is endpoints of a Service alone and
 * the last fetch was good. */
void keysets_want(struct keysets *k, const struct keyset_want *wants, size_t n);
/* Of a key that is not wanted: nothing happens. */
void keysets_unknown_kid(struct keysets *k, struct str key);

/* NULL: not wanted. Until the loop runs, or the next keysets_want(). */
const struct keyset *keysets_get(const struct keysets *k, struct str key);

/* One sentence for each source whose last fetch failed. */
void keysets_faults(const struct keysets *k, void (*each)(void *arg, struct str fault), void *arg);
void keysets_metrics(const struct keysets *k, struct metric_text *t);

#endif
