/* SPDX-License-Identifier: Apache-2.0
 *
 * errand: something that must be found out elsewhere before a request can go on: what a thread
 * makes of a password, what a service says of a session, what a store has counted.
 *
 *     judge ─► errand_about() ── there, done ─► its answer ─► goes on
 *                  │ none
 *                  └► call_start(), ... ─► "wait" ─ ─ ─ done() ─► judged anew, from the beginning
 *
 * Whoever judges is a function of the request and of what is known. It never waits: when it lacks
 * something it sends an errand and says so, and when the errand is back all is judged once more,
 * now with its answer. So there is no half-way state, and what was decided first is decided anew.
 *
 * An errand belongs to one request and ends with it at the latest. The worker's thread.
 */
#ifndef SLUICE_PROXY_ERRAND_H
#define SLUICE_PROXY_ERRAND_H

#include "lib/str.h"
#include "proxy/http/reason.h"

struct errand;

/* Of one request. Zeroed, but for done: none. */
struct errands {
    struct errand *first;
    /* One that ran is done. Never called out of a start. The errands may be gone after it. */
    void (*done)(struct errands *all);
};

struct errand { /* embedded first in what it is */
    struct errand *next;
    struct errands *home;
    const void *about;  /* what is to be found out: an address in the snapshot of the request */
    bool is_done;       /* it may be so as soon as it is started */
    enum reason reason; /* done: REASON_NONE, there is an answer; else why there is none */
    void (*drop)(struct errand *e); /* gives it up where it runs, and frees it */
};

/* The one about that; NULL: none was sent. */
struct errand *errand_about(const struct errands *all, const void *about);
/* For those who make one: it belongs to the request from here on. */
void errand_begin(struct errands *all, struct errand *e, const void *about,
                  void (*drop)(struct errand *e));
/* Came back, some time after its start. */
void errand_done(struct errand *e, enum reason reason);
/* All of them, done or not. */
void errands_drop_all(struct errands *all);
static inline void errands_drop(struct errands *all) {
    if (unlikely(all->first != NULL))
        errands_drop_all(all);
}
/* Some run. */
bool errands_run(const struct errands *all);

#endif
