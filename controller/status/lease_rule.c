/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/lease_rule.h"

#include <stdio.h>

void lease_rule_init(struct lease_rule *l, struct str me) {
    *l = (struct lease_rule){0};
    snprintf(l->me, sizeof(l->me), "%.*s", STR_FMT(me));
}

bool lease_rule_leads(const struct lease_rule *l, uint64_t now) { return now < l->until; }

static void see(struct lease_rule *l, const struct lease_record *r, uint64_t now) {
    uint64_t hash = hash_mix(hash_content(r->holder), hash_content(r->version)) | 1;
    if (hash != l->seen)
        l->seen_at = now;
    l->seen = hash;
    l->free = r->holder.n == 0;
    l->mine = str_eq(r->holder, str_of(l->me));
    l->transitions = r->transitions;
    l->duration_ms =
        r->duration_ms > LEASE_DURATION_MAX_MS ? LEASE_DURATION_MAX_MS : r->duration_ms;
    if (l->duration_ms < LEASE_DURATION_MS && !l->free)
        l->duration_ms = LEASE_DURATION_MS;
}

enum lease_next lease_rule_read(struct lease_rule *l, const struct lease_record *r, uint64_t now) {
    if (!r) {
        l->until = 0;
        l->seen = 0;
        l->transitions = 0;
        return LEASE_CREATE;
    }
    see(l, r, now);
    if (!l->mine)
        l->until = 0;
    else if (lease_rule_leads(l, now))
        return LEASE_KEEP;
    if (l->free || l->mine || now >= l->seen_at + l->duration_ms)
        return LEASE_TAKE;
    return LEASE_LATER;
}

void lease_rule_written(struct lease_rule *l, uint64_t sent) {
    l->until = sent + LEASE_DEADLINE_MS;
    l->mine = true;
    l->free = false;
}

bool lease_rule_expired(struct lease_rule *l, uint64_t now) {
    if (l->until == 0 || now < l->until)
        return false;
    l->until = 0;
    return true;
}

void lease_rule_lose(struct lease_rule *l) { l->until = 0; }

uint64_t lease_rule_pause(struct prng *prng) {
    return LEASE_RETRY_MS + prng_below(prng, LEASE_RETRY_MS / 5);
}
