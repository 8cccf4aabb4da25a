/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/fetch/keyset.h"

#include "lib/hash.h"

#define LONG_MS (30ULL * 24 * 3600 * 1000)

static uint64_t mix(uint64_t h, struct str s) { return hash_mix(h, hash_content(s)); }

static void key_end(struct out *o, struct str url, struct str issuer) {
    out_char(o, '#');
    out_hex(o, mix(hash_content(url), issuer), 16);
}

struct str keyset_key(struct arena *a, struct str owner, struct str url, struct str issuer) {
    char room[32];
    struct out end = out_fixed(room, sizeof(room));
    key_end(&end, url, issuer);
    return arena_fmt(a, "%.*s%.*s", STR_FMT(owner), STR_FMT(out_done(&end)));
}

static bool is_key_of(const struct keyset_want *w) {
    char room[32];
    struct out end = out_fixed(room, sizeof(room));
    key_end(&end, w->url, w->issuer);
    return str_ends(w->key, out_done(&end));
}

struct keyset_want keyset_want_copy(struct arena *a, const struct keyset_want *w) {
    struct keyset_want o = *w;
    must(is_key_of(w));
    struct unit_cidr *allowed = arena_array(a, w->n_allowed, sizeof(*allowed));
    o.key = arena_str(a, w->key);
    o.url = arena_str(a, w->url);
    o.issuer = arena_str(a, w->issuer);
    o.ca = arena_str(a, w->ca);
    o.endpoints = arena_array(a, w->n_endpoints, sizeof(*o.endpoints));
    for (uint32_t i = 0; i < w->n_endpoints; i++)
        o.endpoints[i] = arena_str(a, w->endpoints[i]);
    for (uint32_t i = 0; i < w->n_allowed; i++)
        allowed[i] = w->allowed[i];
    o.allowed = allowed;
    return o;
}

uint64_t keyset_source_hash(const struct keyset_want *w) {
    uint64_t h = hash_mix(hash_mix(w->backend, w->refresh_ms), w->max_stale_ms);
    h = mix(mix(mix(mix(h, w->key), w->url), w->issuer), w->ca);
    for (uint32_t i = 0; i < w->n_allowed; i++)
        h = hash_mix(mix(h, str_mk((const char *)w->allowed[i].addr, 16)), w->allowed[i].bits);
    return hash_mix(h, w->n_allowed);
}

uint64_t keyset_want_hash(const struct keyset_want *w) {
    uint64_t h = keyset_source_hash(w);
    for (uint32_t i = 0; i < w->n_endpoints; i++)
        h = mix(h, w->endpoints[i]);
    return hash_mix(h, w->n_endpoints);
}

static uint64_t between(uint64_t v, uint64_t least, uint64_t most) {
    return v < least ? least : v > most ? most : v;
}

uint64_t keyset_max_stale_ms(const struct keyset_want *w, uint32_t min_ms) {
    return between(w->max_stale_ms, 2 * (uint64_t)min_ms, 100 * LONG_MS);
}

uint64_t keyset_refresh_ms(const struct keyset_want *w, uint32_t min_ms) {
    uint64_t half = keyset_max_stale_ms(w, min_ms) / 2;
    return between(w->refresh_ms, min_ms, half < LONG_MS ? half : LONG_MS);
}

uint64_t keyset_backoff_ms(unsigned failures, uint32_t first_ms, uint64_t refresh_ms) {
    unsigned doublings = failures > 0 ? failures - 1 : 0;
    uint64_t ms = (uint64_t)first_ms << (doublings < 24 ? doublings : 24);
    return ms < refresh_ms ? ms : refresh_ms;
}

uint64_t keyset_spread_ms(uint64_t ms, uint32_t random) {
    return ms - ms / 10 + random % (ms / 5 + 1);
}

uint64_t keyset_kid_at_ms(uint64_t now_ms, uint64_t asked_ms, uint64_t due_ms, uint64_t refresh_ms,
                          uint32_t kid_ms) {
    uint64_t at = asked_ms + (refresh_ms < kid_ms ? refresh_ms : kid_ms);
    if (at < now_ms)
        at = now_ms;
    return at < due_ms ? at : due_ms;
}
