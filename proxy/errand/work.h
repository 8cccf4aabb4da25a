/* SPDX-License-Identifier: Apache-2.0
 *
 * work: an errand for a thread (lib/slow.h): what takes milliseconds, as a password does.
 */
#ifndef SLUICE_PROXY_ERRAND_WORK_H
#define SLUICE_PROXY_ERRAND_WORK_H

#include "lib/slow.h"
#include "proxy/errand/errand.h"

struct work { /* embedded first in what it works on, which is of the heap (lib/mem.h) */
    struct errand errand;
    struct slow_job job;
    void (*run)(struct work *w);  /* on a thread: reads and writes what it is embedded in alone */
    void (*free)(struct work *w); /* of all of it */
};

/* run and free are set. It belongs to the request; done at once, with OVERLOADED, when too much of
 * this waits already. */
void work_start(struct slow_desk *desk, struct errands *all, const void *about, struct work *w);

#endif
