/* SPDX-License-Identifier: Apache-2.0
 *
 * counts: what rate limits have counted, for all workers of a proxy together. Fixed memory, made
 * at the start and touched as it is used; no lock, and nothing is allocated for a request.
 *
 *     key (64 bits, keyed hash) ─► two sets of places ─► key │ until │ state
 *
 *     buckets   8 places of 16 bytes, two lines; the state is `until` itself: the time at which
 *               the bucket is full again (GCRA). One word, changed by compare-and-swap.
 *     windows   4 places of 128 bytes: the counts of the last 14 thirteenths of the time, each
 *               with the number of its thirteenth. The oldest one counts whole, so there are never
 *               more than allowed in any stretch, and up to a thirteenth less.
 *
 * A place whose `until` is past says nothing any more (a full bucket, an empty window) and is
 * given to the next key. While all places of both sets say something, a key that has none there
 * counts in one of eight places that it shares with others of its limit: nobody's counts are
 * dropped because somebody shows many keys, and who comes then may have to wait for others. When a
 * place becomes free a key begins there anew, so that while the table is full it gets at most twice
 * what it would get alone. (Two keys that come to the same free place in the same moment may count
 * one request there together.) Quotas of Consumers, whose keys nobody can make up, have tables of
 * their own.
 *
 * What counts for the whole fleet hooks in twice: a share of a limit for this proxy
 * (limit_share_all(), limit_share_one(), and limit_share() which the counting asks), and a store
 * that is asked instead of these counts (limit.h).
 *
 * Times are ns of CLOCK_MONOTONIC, as the caller's loop has read them; workers may differ by a
 * turn. Workers that ask at the same moment get no more together than one of them would.
 */
#ifndef SLUICE_PROXY_LIMIT_COUNTS_H
#define SLUICE_PROXY_LIMIT_COUNTS_H

#include "proxy/route/limit.h"

struct limit_table; /* of a proxy */

enum {
    LIMITS_MAX = 1024,     /* limits with a share and counters of their own: slots below it */
    LIMIT_SHARE = 1000000, /* all of it */
};

/* places: of buckets, rounded up to a power of two; 0: the usual number. NULL: no memory. */
struct limit_table *limit_table_new(uint32_t places);
void limit_table_free(struct limit_table *t); /* NULL is fine */

/* Who knows the share of each key over the fleet (portions.h), instead of what is below. Borrowed;
 * to be said before there are workers. NULL: nobody. */
struct portions;
void limit_table_lend(struct limit_table *t, struct portions *p);
/* Somebody's credential was wrong, for whichever limit of failures; and whether that was so since
 * then: where nobody has failed for as long as a limit counts, there is nothing to look at. */
void limit_table_failed(struct limit_table *t, uint64_t now_ns);
bool limit_table_has_failed(const struct limit_table *t, uint64_t since_ns);
struct portions *limit_table_portions(const struct limit_table *t);

/* ---- shares of limits over the fleet: one thread sets them, any reads ---- */

/* Of every limit of which nothing else is said, in millionths: LIMIT_SHARE / ready proxies. At the
 * start all of it. */
void limit_share_all(struct limit_table *t, uint32_t share);
/* Of one limit; 0: as all others. It ends when another limit gets the slot. */
void limit_share_one(struct limit_table *t, const struct limit_law *law, uint32_t share);
/* In millionths; of a limit that is not of the fleet: all of it. */
uint32_t limit_share(const struct limit_table *t, const struct limit_law *law);

/* ---- counting: any thread ---- */

/* The counter of a law for what is counted apart. */
uint64_t limit_key(const struct limit_law *law, struct str apart);

struct limit_count {
    bool allowed;
    bool shared;      /* its key has no place of its own */
    uint64_t left;    /* requests that are left after this one */
    uint64_t wait_ms; /* refused: until one is allowed; never 0 */
    uint64_t full_ms; /* until all is as if nothing had been asked */
};

/* What would be, if one were taken. */
void limit_look(struct limit_table *t, const struct limit_law *law, uint64_t key, uint64_t now_ns,
                struct limit_count *c);
/* Takes one, if that is allowed. */
void limit_take(struct limit_table *t, const struct limit_law *law, uint64_t key, uint64_t now_ns,
                struct limit_count *c);
/* One that was taken at that time is given back: something else has refused the request. */
void limit_give(struct limit_table *t, const struct limit_law *law, uint64_t key, uint64_t now_ns);

/* The same, where the share of that key is known (portions.h). */
void limit_look_part(struct limit_table *t, const struct limit_law *law, uint64_t key,
                     uint32_t share, uint64_t now_ns, struct limit_count *c);
void limit_take_part(struct limit_table *t, const struct limit_law *law, uint64_t key,
                     uint32_t share, uint64_t now_ns, struct limit_count *c);
void limit_give_part(struct limit_table *t, const struct limit_law *law, uint64_t key,
                     uint32_t share, uint64_t now_ns);

#endif
