/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/when.h"

/* ---- the fleet ---- */

void when_fleet_init(struct when_fleet *f, uint64_t now) {
    *f = (struct when_fleet){.started = now, .since = now};
}

void when_fleet_seen(struct when_fleet *f, size_t ready, size_t behind, uint64_t now) {
    if (ready == f->ready && behind == f->behind)
        return;
    f->ready = ready;
    f->behind = behind;
    f->since = now;
    f->looked = false;
}

bool when_fleet_settled(struct when_fleet *f, uint64_t now) {
    if (now >= f->started + WHEN_KNOWN_MS)
        f->known = true;
    if (f->looked || now < f->since + WHEN_STABLE_MS)
        return false;
    return f->known = f->looked = true;
}

uint64_t when_fleet_next(const struct when_fleet *f) {
    uint64_t known = f->started + WHEN_KNOWN_MS, stable = f->since + WHEN_STABLE_MS;
    if (f->looked)
        return WHEN_NEVER;
    return !f->known && known < stable ? known : stable;
}

/* ---- one object ---- */

uint64_t when_to_write(const struct body_look *look, enum when_acks acks, uint64_t since,
                       const struct when_fleet *fleet, uint64_t now) {
    uint64_t stable = fleet->since + WHEN_STABLE_MS;
    if (look->differs == BODY_SAME)
        return WHEN_NEVER;
    if (!fleet->known)
        return when_fleet_next(fleet);
    if (look->differs == BODY_OWN)
        return acks == WHEN_ALL ? now : since + WHEN_ACKS_MS;
    if (acks == WHEN_SOME)
        return now + WHEN_STABLE_MS;
    return look->late && acks == WHEN_ALL ? now : stable;
}

/* ---- all of them ---- */

/* Each one taken moves the moment at which the bucket is full by a share of a second; it is empty
 * when that lies a whole burst ahead. */
static uint64_t cost_us(const struct when_bucket *b) { return 1000000 / b->per_second; }

uint64_t when_next(const struct when_bucket *b, uint64_t now) {
    uint64_t room = cost_us(b) * (b->burst - 1), full = b->full_at;
    return full <= now * 1000 + room ? now : (full - room + 999) / 1000;
}

bool when_take(struct when_bucket *b, uint64_t now) {
    if (when_next(b, now) > now)
        return false;
    b->full_at = (b->full_at > now * 1000 ? b->full_at : now * 1000) + cost_us(b);
    return true;
}
