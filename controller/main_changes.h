/* SPDX-License-Identifier: Apache-2.0
 *
 * main_changes: what was published last, for the live page: when, which revision, how much of it,
 * and how long it took until the fleet served it. In memory, since the start.
 */
#ifndef SLUICE_CONTROLLER_MAIN_CHANGES_H
#define SLUICE_CONTROLLER_MAIN_CHANGES_H

#include "lib/out.h"

enum { CHANGES = 20 };

struct change {
    int64_t at_ms;       /* Unix time */
    uint64_t revision;   /* of push, since then */
    uint64_t puts, dels; /* objects */
    uint64_t live_us;    /* until all ready proxies served it; 0: they do not yet */
};

struct changes {
    struct change list[CHANGES]; /* by n % CHANGES */
    uint64_t n;
    uint64_t puts, dels; /* of all of them */
};

/* puts, dels: since the start. */
void changes_note(struct changes *c, uint64_t revision, uint64_t puts, uint64_t dels);
/* The newest one is served: so long after the resource had changed. */
void changes_served(struct changes *c, uint64_t ns);
void changes_json(const struct changes *c, struct out *o); /* an array, the newest first */

#endif
