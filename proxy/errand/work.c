/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/errand/work.h"

static void run(struct slow_job *job) {
    struct work *w = container_of(job, struct work, job);
    w->run(w);
}

static void done(struct slow_job *job) {
    struct work *w = container_of(job, struct work, job);
    if (job->cancelled)
        w->free(w);
    else
        errand_done(&w->errand, REASON_NONE);
}

/* While a thread has it, it is freed when it comes back. */
static void drop(struct errand *e) {
    struct work *w = container_of(e, struct work, errand);
    if (e->is_done || slow_cancel(&w->job))
        w->free(w);
}

void work_start(struct slow_desk *desk, struct errands *all, const void *about, struct work *w) {
    errand_begin(all, &w->errand, about, drop);
    w->job = (struct slow_job){.run = run, .done = done};
    if (slow_submit(desk, &w->job))
        return;
    w->errand.is_done = true;
    w->errand.reason = REASON_OVERLOADED;
}
