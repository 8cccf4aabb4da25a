/* SPDX-License-Identifier: Apache-2.0
 *
 * body: what stands in an object's status against what should stand there, and the JSON that puts
 * it right. Pure: no clock, no sockets.
 *
 *     status:                                  ours: these types, and proxies
 *       conditions: [Accepted, ResolvedRefs, Programmed, SomebodyElses]
 *       proxies: {...}                         the rest stays as it is
 *       somebody: elses
 *
 * lastTransitionTime stays while the condition's status does not flip.
 */
#ifndef SLUICE_CONTROLLER_STATUS_BODY_H
#define SLUICE_CONTROLLER_STATUS_BODY_H

#include "controller/status/wanted.h"
#include "lib/json.h"

enum body_differs {
    BODY_SAME,
    BODY_FLEET, /* only in what the proxies make of it: their number, Programmed */
    BODY_OWN,   /* in what the object itself is told */
};

struct body_look {
    enum body_differs differs;
    bool late;    /* what stands there was written before every proxy had it */
    bool flipped; /* Accepted or ResolvedRefs says something else than before */
};

/* ---- our own kinds ---- */

/* have: the status as parsed JSON; NULL: there is none. */
struct body_look body_compare(const cJSON *have, const struct status_wanted *w);
/* A value for "status" in a merge patch. unix_s: now. */
void body_write(const cJSON *have, const struct status_wanted *w, uint64_t unix_s, struct out *o);
/* The same for an object that is no longer ours: without all that is. False: there is nothing to
 * take away, or somebody has written there since that generation. */
bool body_clear(const cJSON *have, uint64_t generation, struct out *o);

/* ---- Ingress ---- */

struct address { /* one of the two */
    struct str ip, hostname;
};
enum { ADDRESSES_MAX = 32 };
struct addresses { /* texts are the owner's */
    struct address v[ADDRESSES_MAX];
    size_t n;
};

struct body_look ingress_compare(const cJSON *have, const struct addresses *wanted);
void ingress_write(const struct addresses *wanted, struct out *o);
/* Takes ours away, leaves others. False: none of ours is there. */
bool ingress_clear(const cJSON *have, const struct addresses *ours, struct out *o);

/* Equal bytes of this mean: the same would be written, but for the times. */
uint64_t body_hash(const struct status_wanted *w);
uint64_t ingress_hash(const struct addresses *wanted);

#endif
