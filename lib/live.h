/* SPDX-License-Identifier: Apache-2.0
 *
 * live: what proxies count, second by second (wire_live), added up over the fleet and the last
 * LIVE_SECONDS, and written as JSON for the live page and `sluicectl top`.
 *
 *   proxy a ── live ─┐                       ┌─ second 41 ─┐
 *   proxy b ── live ─┴─► route ─► figures of ┤  second 42  ├─► rates, shares, quantiles
 *                                            └─ ...        ┘
 *
 * Buckets are told apart by their upper bound, not by a number, so proxies of two versions add up.
 * A quantile is taken as evenly spread within its bucket; one above all bounds is the highest
 * bound. Bounded, whatever proxies say: LIVE_ROUTES routes (more are added to "other"),
 * LIVE_BOUNDS bounds, LIVE_REASON_NAMES reasons, LIVE_PROXIES_MAX proxies; what is beyond is left
 * out. One thread, no I/O; time is what the caller says it is.
 */
#ifndef SLUICE_LIB_LIVE_H
#define SLUICE_LIB_LIVE_H

#include "lib/wire.h"

struct live;

enum {
    LIVE_SECONDS = 10,
    LIVE_ROUTES = 1000,
    LIVE_BOUNDS = 32, /* of all three histograms together */
    LIVE_REASON_NAMES = 64,
    LIVE_REASONS = 8, /* of one route in one message, and in the JSON */
    LIVE_PROXIES_MAX = 1024,
    LIVE_ASKED = 100,     /* wire_watch.routes, as controllers ask */
    LIVE_ASKED_MAX = 500, /* as proxies answer */
    LIVE_NAME_MAX = 256,  /* bytes of a name; routes with longer ones are left out */
    LIVE_TELL_MS = 1000,
    LIVE_WATCH_MS = 15000, /* for so long proxies are asked, and counting goes on after a look */
};

struct live *live_new(void);
void live_free(struct live *l); /* NULL is fine */

/* A proxy (a number of its own) has told. now_ms: monotonic, never less than before. */
void live_take(struct live *l, uint64_t proxy, const struct wire_live *m, uint64_t now_ms);
void live_lose(struct live *l, uint64_t proxy); /* what it has told stays for LIVE_SECONDS */
/* Whether that proxy has told anything in the last LIVE_SECONDS. */
bool live_tells(const struct live *l, uint64_t proxy, uint64_t now_ms);

/* Members of an object, without its braces: "seconds", "total", "routes". docs/live.md
 * says what they are. routes: at most so many, those with most requests. */
void live_json(struct live *l, uint64_t now_ms, size_t routes, struct out *o);

#endif
