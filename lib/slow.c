/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/slow.h"

#include "lib/mem.h"
#include "lib/out.h"

#include <sys/resource.h>

enum { NICER = 10 };

struct slow {
    pthread_mutex_t lock; /* for all below, and for jobs and desks where they say so */
    pthread_cond_t work;  /* something waits, or it ends */
    pthread_cond_t rest;  /* a job has come back to its desk */
    struct list queue;    /* slow_job.mail.link, the oldest first */
    unsigned waiting, waiting_max;
    bool ending;
    uint64_t running, finished, refused;
    pthread_t threads[SLOW_THREADS_MAX];
    unsigned n_threads;
};

static struct slow_job *job_of(struct list *link) {
    return container_of(list_entry(link, struct mail, link), struct slow_job, mail);
}

/* ---- the pool ---- */

/* Takes a job out of the queue; with the lock. */
static void take_out(struct slow *s, struct slow_job *job) {
    list_del(&job->mail.link);
    job->waiting = false;
    s->waiting--;
}

/* The oldest job, whose desk then knows that it runs; NULL: it is over. */
static struct slow_job *next_job(struct slow *s) {
    struct slow_job *job = NULL;
    pthread_mutex_lock(&s->lock);
    while (list_empty(&s->queue) && !s->ending)
        pthread_cond_wait(&s->work, &s->lock);
    if (!list_empty(&s->queue)) {
        job = job_of(s->queue.next);
        take_out(s, job);
        job->desk->running++;
        s->running++;
    }
    pthread_mutex_unlock(&s->lock);
    return job;
}

/* A desk may be gone as soon as nothing of it runs: it is rung before. */
static void give_back(struct slow *s, struct slow_desk *d, struct slow_job *job) {
    if ((mailbox_put(&d->back, &job->mail) & MAILBOX_WAS_EMPTY) != 0)
        wakeup_ring(d->ring);
    pthread_mutex_lock(&s->lock);
    d->running--;
    s->running--;
    s->finished++;
    pthread_cond_broadcast(&s->rest);
    pthread_mutex_unlock(&s->lock);
}

static void *serve(void *arg) {
    struct slow *s = arg;
    (void)setpriority(PRIO_PROCESS, 0, NICER); /* of this thread, on Linux */
    for (struct slow_job *job; (job = next_job(s)) != NULL;) {
        struct slow_desk *d = job->desk;
        job->run(job);
        give_back(s, d, job);
    }
    return NULL;
}

static void start(struct slow *s, unsigned i) {
    char name[16];
    struct out o = out_fixed(name, sizeof(name) - 1);
    out_lit(&o, "slow-");
    out_u64(&o, i);
    name[o.n] = 0;
    thread_start(&s->threads[i], name, serve, s);
}

struct slow *slow_new(unsigned threads, unsigned waiting) {
    must(threads > 0 && threads <= SLOW_THREADS_MAX);
    struct slow *s = mem_zalloc(sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->rest, NULL);
    list_init(&s->queue);
    s->waiting_max = waiting;
    s->n_threads = threads;
    for (unsigned i = 0; i < threads; i++)
        start(s, i);
    return s;
}

void slow_free(struct slow *s) {
    pthread_mutex_lock(&s->lock);
    must(list_empty(&s->queue) && s->running == 0);
    s->ending = true;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->n_threads; i++)
        pthread_join(s->threads[i], NULL);
    pthread_cond_destroy(&s->rest);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

struct slow_gauges slow_gauges(struct slow *s) {
    pthread_mutex_lock(&s->lock);
    struct slow_gauges g = {s->waiting, s->running, s->finished, s->refused};
    pthread_mutex_unlock(&s->lock);
    return g;
}

/* ---- desks ---- */

void slow_desk_init(struct slow_desk *d, struct slow *s, int ring) {
    *d = (struct slow_desk){.slow = s, .ring = ring};
    mailbox_init(&d->back, SIZE_MAX);
}

static void take_back(struct slow *s, struct slow_desk *d, struct list *jobs) {
    list_each_safe(link, &s->queue) {
        struct slow_job *job = job_of(link);
        if (job->desk != d)
            continue;
        take_out(s, job);
        list_append(jobs, &job->mail.link);
    }
}

static void finish(struct slow_job *job) {
    job->cancelled = true;
    job->done(job);
}

void slow_desk_fini(struct slow_desk *d) {
    struct slow *s = d->slow;
    struct list jobs;
    bool resume;
    list_init(&jobs);
    pthread_mutex_lock(&s->lock);
    take_back(s, d, &jobs);
    while (d->running > 0)
        pthread_cond_wait(&s->rest, &s->lock);
    pthread_mutex_unlock(&s->lock);
    for (struct list *link; (link = list_pop(&jobs)) != NULL;)
        finish(job_of(link));
    for (struct mail *m; (m = mailbox_take(&d->back, &resume)) != NULL;)
        finish(container_of(m, struct slow_job, mail));
    mailbox_fini(&d->back);
}

bool slow_submit(struct slow_desk *d, struct slow_job *job) {
    struct slow *s = d->slow;
    pthread_mutex_lock(&s->lock);
    bool room = s->waiting < s->waiting_max;
    if (room) {
        job->desk = d;
        job->cancelled = false;
        job->waiting = true;
        job->mail = (struct mail){.cost = 0};
        list_append(&s->queue, &job->mail.link);
        s->waiting++;
        pthread_cond_signal(&s->work);
    } else {
        s->refused++;
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

bool slow_cancel(struct slow_job *job) {
    struct slow *s = job->desk->slow;
    pthread_mutex_lock(&s->lock);
    bool waiting = job->waiting;
    if (waiting)
        take_out(s, job);
    pthread_mutex_unlock(&s->lock);
    job->cancelled = true;
    return waiting;
}

void slow_collect(struct slow_desk *d) {
    bool resume;
    for (struct mail *m; (m = mailbox_take(&d->back, &resume)) != NULL;) {
        struct slow_job *job = container_of(m, struct slow_job, mail);
        job->done(job);
    }
}
