/* SPDX-License-Identifier: Apache-2.0
 *
 * slow: work that takes milliseconds, off the loops that must not wait for it (a password, see
 * password.h). One small pool of threads a process; each loop has a desk of its own to hand work in
 * and to get it back at.
 *
 *     desk (worker 0) ──┐  waiting: at most so many   ┌─ thread: run()
 *                       ├──► [job][job][job][job] ────┤
 *     desk (worker 1) ──┘       full: refused         └─ thread: run()
 *          ▲                                                  │
 *          └── done() ◄── slow_collect() ◄── ring, mailbox ◄──┘
 *
 *     if (!slow_submit(&desk, &v->job))           full: shed load now
 *     ...
 *     client gone:  if (slow_cancel(&v->job))     it is out of the queue, and ours again
 *                       free it;                  else it runs, and done() is yet to come
 *     done(job):    if (job->cancelled) free it; else use what run() found
 *
 * A loop pays a lock of a few instructions for each job, and one each time that it is woken; a
 * request that needs no slow work touches nothing of this. The threads are 10 nicer than the rest
 * of the process: on a full machine a flood of logins takes a tenth of a core from those who are
 * in.
 */
#ifndef SLUICE_LIB_SLOW_H
#define SLUICE_LIB_SLOW_H

#include "lib/thread.h"

struct slow;

struct slow_gauges {
    uint64_t waiting, running; /* jobs now */
    uint64_t finished;         /* since the start */
    uint64_t refused;          /* because the queue was full */
};

/* threads: 1 .. SLOW_THREADS_MAX; waiting: jobs that may wait, of all desks together. */
enum { SLOW_THREADS_MAX = 16 };
struct slow *slow_new(unsigned threads, unsigned waiting);
void slow_free(struct slow *s);                 /* all desks are gone; waits for its threads */
struct slow_gauges slow_gauges(struct slow *s); /* any thread */

/* ---- a loop's side: everything below is for the desk's own thread ---- */

struct slow_desk {
    struct slow *slow;
    struct mailbox back;
    int ring;         /* rung when slow_collect() has something to do */
    unsigned running; /* of slow's */
};

struct slow_job { /* embedded in what it works on; that belongs to slow from submit to done() */
    /* On a thread of the pool: may read and write what the job is embedded in, nothing else. */
    void (*run)(struct slow_job *job);
    /* On the desk's thread, once for every run(). */
    void (*done)(struct slow_job *job);
    bool cancelled; /* for done(): nobody waits any more */
    struct slow_desk *desk;
    struct mail mail;
    bool waiting; /* of slow's */
};

void slow_desk_init(struct slow_desk *d, struct slow *s, int ring);
/* Jobs that wait are taken back and those that run are waited for; done() is called for each, as
 * cancelled. */
void slow_desk_fini(struct slow_desk *d);

/* The caller has set run and done. False: too many wait; the job is still the caller's. */
bool slow_submit(struct slow_desk *d, struct slow_job *job) MUST_USE;
/* For a job that was submitted and is not done. True: it will not run, and is the caller's again.
 * False: it runs or has run; done() comes, with job->cancelled. */
bool slow_cancel(struct slow_job *job) MUST_USE;
/* Calls done() for what came back. */
void slow_collect(struct slow_desk *d);

#endif
