/* SPDX-License-Identifier: Apache-2.0
 *
 * portions: which part of the limits over all proxies this one may count by, and what it is asked
 * for.
 *
 *     controller ── shares ──► portions_take() ──► a table: count ─► part, asked
 *         ▲                                          ▲              │
 *         │                         workers: portions_ask(), portions_near()
 *         └── demand ◄── portions_demand() ◄── portions_tick(): asked ÷ time ÷ limit, smoothed
 *
 * A count is a whole limit, or one key of it, by a hash that is the same in every proxy. Those that
 * run near their part are in the table, at most WIRE_COUNTS_MAX of them; all others have the same
 * part in every proxy. So a key that is asked for at one proxy alone gets nearly all of its limit
 * there after a second or two, and what is never near a limit costs no message.
 *
 * A part is lent. When it was not renewed in time, what is more than 1/N is given up, N as it was
 * told last, and WIRE_REST_MS later every count has 1/N: by then others have given up theirs.
 * Before anything was told it is 1/16, and after PORTIONS_ALONE_MS 1/4: a proxy that starts while
 * there is no controller.
 *
 * Who counts by windows of past requests uses the smallest part of the last window: what another
 * proxy has let pass is over when this one may let pass as much.
 *
 * The table is for all workers: numbers that are read and added to without a lock. Everything that
 * is not said to be for any thread is for the main thread.
 */
#ifndef SLUICE_PROXY_LIMIT_PORTIONS_H
#define SLUICE_PROXY_LIMIT_PORTIONS_H

#include "lib/wire.h"

struct portions;

enum {
    PORTIONS_TICK_MS = 200,    /* portions_tick() is called so often */
    PORTIONS_REPORT_MS = 1000, /* a demand is due so often */
    PORTIONS_ALONE_MS = 10000,
};

struct portions *portions_new(uint64_t now_ms);
void portions_free(struct portions *f); /* NULL is fine */

/* ---- any thread ---- */

/* What is counted: a limit (limit_law.identity) and what of it is counted apart. */
uint64_t portions_count(uint64_t identity, struct str apart);
/* Nothing runs near its limit: *part is that of every count, and nobody need know which one it is.
 */
bool portions_quiet(struct portions *f, uint32_t *part);
/* A request is asked of a count: this proxy's part of it, in millionths; 1 .. WIRE_WHOLE. */
uint32_t portions_ask(struct portions *f, uint64_t count, bool window);
/* It was refused, or less than half is left: the count is worth a part of its own. Of one that has
 * it already: nothing. */
void portions_near(struct portions *f, uint64_t count, uint64_t requests, uint64_t per_ms);

/* Whether anything was ever asked of it. */
bool portions_used(const struct portions *f);

/* ---- main thread ---- */

void portions_tick(struct portions *f, uint64_t now_ms);
/* Shares have come. True: they count, which is to be reported at once. */
bool portions_take(struct portions *f, const struct wire_shares *m, uint64_t now_ms);
/* What is to be reported; lives until the next call of portions_tick() or portions_take(). */
struct wire_demand portions_demand(struct portions *f);

struct portions_gauges {
    uint32_t part;   /* of what has none of its own, in millionths */
    uint32_t counts; /* that have */
    bool lent;       /* by a controller; else 1/N */
    bool told;       /* one has said how many proxies there are */
};
struct portions_gauges portions_gauges(const struct portions *f);

#endif
