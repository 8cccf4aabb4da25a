/* SPDX-License-Identifier: Apache-2.0
 *
 * pick: which endpoint, and which ones to leave alone for a while (passive health).
 */
#include "proxy/upstream/target.h"

static bool was_tried(const struct tries *tried, uint32_t slot) {
    for (unsigned i = 0; i < tried->n; i++)
        if (tried->slot[i] == slot)
            return true;
    return false;
}

/* The first in turn that may be asked; despite: also when it is ejected. */
static const struct endpoint *in_turn(struct upstreams *us, const struct backend *b,
                                      const struct tries *tried, bool despite) {
    uint32_t *cursor = &us->cursors[b->slot];
    for (uint32_t i = 0; i < b->n_usable; i++) {
        if (++*cursor >= b->n_usable)
            *cursor = 0;
        const struct endpoint *e = &b->endpoints[*cursor];
        if ((despite || !target_is_ejected(target_peek(us, e), us->loop->now_ms)) &&
            !was_tried(tried, e->slot))
            return e;
    }
    return NULL;
}

static uint32_t active(const struct upstreams *us, const struct endpoint *e) {
    const struct target *t = target_peek(us, e);
    return t != NULL ? t->n_active : 0;
}

/* The less busy of two drawn at random ("power of two choices"). */
static const struct endpoint *less_busy(struct upstreams *us, const struct backend *b) {
    const struct endpoint *one = &b->endpoints[prng_below(&us->loop->prng, b->n_usable)];
    uint32_t other = prng_below(&us->loop->prng, b->n_usable - 1);
    const struct endpoint *two = &b->endpoints[other];
    if (two >= one)
        two++;
    return active(us, two) < active(us, one) ? two : one;
}

const struct endpoint *upstream_pick(struct upstreams *us, const struct backend *b,
                                     const struct tries *tried) {
    if (b->n_usable == 0)
        return NULL;
    if (b->balance == MODEL_LEAST_REQUEST && b->n_usable > 1) {
        const struct endpoint *e = less_busy(us, b);
        if (!target_is_ejected(target_peek(us, e), us->loop->now_ms) && !was_tried(tried, e->slot))
            return e;
    }
    const struct endpoint *e = in_turn(us, b, tried, false);
    return e != NULL ? e : in_turn(us, b, tried, true);
}

/* Whether one more may be left alone. */
static bool may_eject(const struct upstreams *us, const struct backend *b) {
    uint32_t ejected = 1;
    for (uint32_t i = 0; i < b->n_usable; i++)
        ejected += target_is_ejected(target_peek(us, &b->endpoints[i]), us->loop->now_ms);
    return (uint64_t)ejected * 100 <= (uint64_t)b->n_usable * b->passive.max_percent;
}

void upstream_result(struct upstreams *us, const struct backend *b, const struct endpoint *e,
                     bool failed) {
    struct target *t = target_peek(us, e);
    if (t == NULL || b->passive.consecutive_errors == 0)
        return;
    if (!failed) {
        t->failures = t->ejections = 0;
        return;
    }
    if (t->failures < UINT16_MAX)
        t->failures++;
    if (t->failures < b->passive.consecutive_errors || target_is_ejected(t, us->loop->now_ms) ||
        !may_eject(us, b))
        return;
    uint64_t ms = b->passive.ejection_ms;
    for (unsigned i = 0; i < t->ejections && ms < b->passive.max_ejection_ms; i++)
        ms *= 2;
    t->ejected_until =
        us->loop->now_ms + (ms < b->passive.max_ejection_ms ? ms : b->passive.max_ejection_ms);
    t->ejections++;
    t->failures = 0;
}
