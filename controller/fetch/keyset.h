/* SPDX-License-Identifier: Apache-2.0
 *
 * keyset: one source of public keys, as it is wanted and as it was got, and when it is asked.
 * Values alone: what keysets.c does by these and compile looks at. Pure; any thread.
 */
#ifndef SLUICE_CONTROLLER_FETCH_KEYSET_H
#define SLUICE_CONTROLLER_FETCH_KEYSET_H

#include "lib/arena.h"
#include "lib/units.h"

/* One source. A key stands for one url and one issuer for ever, as keyset_key() makes it: what one
 * address has said is never believed of another, and a policy that was refused and its last good
 * version can want two. Whatever else differs leaves the documents as they are. */
struct keyset_want {
    struct str key;
    struct str url;    /* of the key set, or of the discovery document */
    struct str issuer; /* n > 0: url is a discovery document's, of this issuer */
    bool backend;      /* url is that of a Service; it may be http, and only endpoints are asked */
    struct str *endpoints; /* "10.0.0.7:8080", "[fd00::7]:8080"; by turns */
    uint32_t n_endpoints;
    struct str ca;                   /* PEM; n == 0: the system's */
    const struct unit_cidr *allowed; /* GatewayConfig auth.allowedPrivateCIDRs */
    uint32_t n_allowed;
    uint64_t refresh_ms; /* at most half of max_stale counts, so that one failure closes nothing */
    uint64_t max_stale_ms;
};

enum keyset_state {
    KEYSET_PENDING, /* nobody knows yet */
    KEYSET_GOOD,
    KEYSET_FAILED, /* never was good */
    KEYSET_STALE,  /* was good too long ago */
    KEYSET_STATES
};

struct keyset {
    enum keyset_state state;
    struct str document;  /* the JSON Web Key Set as it came; KEYSET_GOOD alone */
    struct str discovery; /* the discovery document that led there; n == 0: none did */
    /* Seconds since 1970, rounded (keysets.h); 0: it never came. */
    uint64_t fetched;     /* when it came */
    uint64_t stale_after; /* until then it may be used */
    struct why why;       /* the last fetch failed; also of a good one */
};

/* "iam/workforce/jwt#1a2b3c4d5e6f7081": whose it is, and of what. */
struct str keyset_key(struct arena *a, struct str owner, struct str url, struct str issuer);
/* With all that it points to; a key that is not of its url and issuer is a bug. */
struct keyset_want keyset_want_copy(struct arena *a, const struct keyset_want *w);
uint64_t keyset_want_hash(const struct keyset_want *w);
uint64_t keyset_source_hash(const struct keyset_want *w); /* whatever endpoints it has */

/* ---- when ---- */

/* refresh_ms, not less than min_ms and not more than half of max_stale, nor 30 days. */
uint64_t keyset_refresh_ms(const struct keyset_want *w, uint32_t min_ms);
uint64_t keyset_max_stale_ms(const struct keyset_want *w,
                             uint32_t min_ms); /* twice the least refresh */
/* After so many failures in a row (1 ..): first_ms, doubling up to refresh_ms. */
uint64_t keyset_backoff_ms(unsigned failures, uint32_t first_ms, uint64_t refresh_ms);
/* 90 to 110 % of it. */
uint64_t keyset_spread_ms(uint64_t ms, uint32_t random);
/* When a source that was last asked at asked_ms, and is due at due_ms, is asked for an unknown kid
 * at now_ms: see keysets.h. */
uint64_t keyset_kid_at_ms(uint64_t now_ms, uint64_t asked_ms, uint64_t due_ms, uint64_t refresh_ms,
                          uint32_t kid_ms);

#endif
