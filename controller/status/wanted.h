/* SPDX-License-Identifier: Apache-2.0
 *
 * wanted: what a resource is to be told about itself, from what the compiler thinks of it and what
 * the fleet serves. Pure: no clock, no sockets.
 *
 *     Accepted      False, with the reason and the sentence; "its last good version serves on" when
 *                   it is so; True with its warnings
 *     ResolvedRefs  of kinds that refer to something
 *     Programmed    of kinds that make objects: whether every ready proxy that is not given up on
 *                   serves exactly what this version makes
 */
#ifndef SLUICE_CONTROLLER_STATUS_WANTED_H
#define SLUICE_CONTROLLER_STATUS_WANTED_H

#include "controller/compile/compile.h"

enum status_type { STATUS_ACCEPTED, STATUS_RESOLVED_REFS, STATUS_PROGRAMMED, STATUS_TYPES };
extern const char *const status_types[STATUS_TYPES]; /* as they are written */

/* Of the ready proxies: those that serve exactly this, those that are given up on as behind; ready
 * counts all but the latter. */
struct status_served {
    size_t ready, current, behind;
};

struct status_condition {
    bool set, value;
    const char *reason; /* constant */
    struct str message; /* n == 0: nothing to say */
};

struct status_wanted {
    struct status_condition conditions[STATUS_TYPES];
    bool counted; /* there is something that proxies serve: served and revision say what */
    struct status_served served;
    uint64_t revision;
    uint64_t generation; /* that all of this is about; 0: of a directory */
};

/* s: NULL if the resource could not be read, or is of a kind without a status of ours. served: NULL
 * = nobody knows; then nothing is said of proxies. Messages are made in the arena. */
void status_want(const struct compile_status *s, const struct resource *r,
                 const struct status_served *served, struct arena *a, struct status_wanted *w);
/* The same of a version that does not count while the fleet is pinned, since `why`: Accepted as far
 * as it can be read, and not Programmed. */
void status_want_held_back(const struct resource *r, const char *why, struct arena *a,
                           struct status_wanted *w);

#endif
