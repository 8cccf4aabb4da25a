/* SPDX-License-Identifier: Apache-2.0
 *
 * One run: what is due is given to a free flight, events are waited for, ends are counted.
 */
#include "ctl/bench_load.h"

#include "lib/mem.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ULL

enum {
    EVENTS = 256, /* of one wait */
    TICK_MS = 100,
    GRACE_MS = 1000,   /* what was due is still sent so long after the end */
    SENT_MS = 10,      /* what goes so long after the end was sent in time */
    CONNECT_MS = 5000, /* for the first connections */
};

const char *const bench_error_names[BENCH_ERRORS] = {
    [BENCH_CONNECT] = "connect", [BENCH_TLS] = "tls",       [BENCH_TIMEOUT] = "timeout",
    [BENCH_RESET] = "reset",     [BENCH_CLOSED] = "closed", [BENCH_PROTOCOL] = "protocol"};
const char *const bench_error_words[BENCH_ERRORS] = {
    [BENCH_CONNECT] = "connections refused",
    [BENCH_TLS] = "TLS handshakes failed",
    [BENCH_TIMEOUT] = "timeouts",
    [BENCH_RESET] = "resets",
    [BENCH_CLOSED] = "connections closed before the answer was whole",
    [BENCH_PROTOCOL] = "answers that are no HTTP"};

/* ---- results ---- */

struct bench_result *bench_result_new(void) {
    return mem_zalloc(sizeof(struct bench_result));
}

void bench_result_free(struct bench_result *r) {
    if (r)
        mem_free(r->seconds);
    mem_free(r);
}

double bench_reached(const struct bench_result *r) {
    return r->window_ns > 0 ? (double)r->in_window * 1e9 / (double)r->window_ns : 0;
}

uint64_t bench_errors(const struct bench_result *r) {
    uint64_t n = 0;
    for (int i = 0; i < BENCH_ERRORS; i++)
        n += r->errors[i];
    return n;
}

uint64_t bench_failed(const struct bench_result *r) {
    return bench_errors(r) + r->unsent + r->status[5] + r->limited;
}

double bench_failed_share(const struct bench_result *r) {
    return r->due > 0 ? (double)bench_failed(r) / (double)r->due : 0;
}

double bench_busy(const struct bench_result *r) {
    return r->window_ns > 0 ? (double)r->cpu_ns / (double)r->window_ns : 0;
}

bool bench_was_limit(const struct bench_result *r) {
    return bench_busy(r) > 0.95 || (double)r->late > 0.01 * (double)r->due;
}

/* ---- clocks, signals ---- */

static uint64_t clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * BENCH_SECOND + (uint64_t)t.tv_nsec;
}

uint64_t bench_clock(void) { return clock_of(CLOCK_MONOTONIC); }

static volatile sig_atomic_t stopped;

static void on_interrupt(int number) {
    (void)number;
    stopped = 1;
}

bool bench_stopped(void) { return stopped != 0; }

/* ---- flights ---- */

static void list_flight(struct bench_load *l, struct bench_flight *f) {
    f->listed = true;
    l->ring[(l->ring_at + l->n_listed++) % l->n_flights] = f;
}

static struct bench_flight *unlist_flight(struct bench_load *l) {
    while (l->n_listed > 0) {
        struct bench_flight *f = l->ring[l->ring_at];
        l->ring_at = (l->ring_at + 1) % l->n_flights;
        l->n_listed--;
        f->listed = false;
        if (!f->conn->retired) /* else it comes back when the connection is closed */
            return f;
    }
    return NULL;
}

void bench_unlisted(struct bench_conn *c) {
    for (unsigned i = 0; i < c->load->plan->streams; i++)
        if (c->flights[i].state == FLIGHT_FREE && !c->flights[i].listed)
            list_flight(c->load, &c->flights[i]);
}

static void set_free(struct bench_flight *f) {
    struct bench_conn *c = f->conn;
    f->state = FLIGHT_FREE;
    f->free_ns = c->load->now_ns;
    c->taken--;
    c->load->n_taken--;
    if (!c->retired)
        list_flight(c->load, f);
}

void bench_answered(struct bench_flight *f) {
    struct bench_load *l = f->conn->load;
    struct bench_result *r = l->result;
    uint64_t took = l->now_ns - f->due_ns;
    bench_histogram_add(l->second, took);
    if (l->in_window)
        r->in_window++;
    if (f->timed) {
        r->answered++;
        r->status[f->status / 100]++;
        r->limited += f->status == 429;
        r->reasons[f->reason]++;
        bench_histogram_add(&r->latency, took);
        bench_histogram_add(&r->service, l->now_ns - f->sent_ns);
    }
    set_free(f);
}

/* Of a flight, or of a request that found none. */
static void count_error(struct bench_load *l, bool timed, uint64_t due_ns, enum bench_error why) {
    l->second_failed++;
    if (!timed)
        return;
    l->result->errors[why]++;
    if (why == BENCH_TIMEOUT)
        bench_histogram_add(&l->result->latency, l->now_ns - due_ns);
}

void bench_failed_with(struct bench_flight *f, enum bench_error why) {
    count_error(f->conn->load, f->timed, f->due_ns, why);
    set_free(f);
}

void bench_again(struct bench_flight *f) {
    struct bench_load *l = f->conn->load;
    l->retries[l->n_retries++] = (struct bench_retry){f->kind, f->due_ns, f->timed};
    set_free(f);
}

void bench_reason(struct bench_flight *f, struct str name) {
    for (unsigned i = 1; i < REASONS; i++)
        if (str_eq(name, str_of(reasons[i].name)))
            f->reason = (uint8_t)i;
}

/* ---- the schedule ---- */

static uint64_t gap(struct bench_load *l) {
    double even = ((double)(prng_next(&l->prng) >> 11) + 1) / 9007199254740993.0; /* (0, 1) */
    return (uint64_t)(-log(even) * 1e9 / l->plan->rate);
}

static void schedule_next(struct bench_load *l) {
    const struct bench_plan *p = l->plan;
    l->n_due++;
    if (p->replay)
        l->next_ns =
            l->n_due < p->mix->n_order ? l->start_ns + p->mix->at_ns[l->n_due] : UINT64_MAX;
    else if (p->poisson)
        l->next_ns += gap(l);
    else if (!p->max)
        l->next_ns = l->start_ns + (uint64_t)((double)l->n_due * 1e9 / p->rate);
}

static bool is_timed(const struct bench_load *l, uint64_t due_ns) {
    return due_ns >= l->window_ns && due_ns < l->end_ns;
}

/* Takes the next request that is due out of the schedule. */
static bool take_due(struct bench_load *l, struct bench_retry *d) {
    const struct bench_mix *m = l->plan->mix;
    if (l->n_retries > 0) {
        *d = l->retries[--l->n_retries];
        return true;
    }
    uint64_t due = l->plan->max ? l->now_ns : l->next_ns;
    if (due > l->now_ns || due >= l->end_ns)
        return false;
    *d = (struct bench_retry){&m->kinds[m->order[l->order_at]], due, is_timed(l, due)};
    l->order_at = l->order_at + 1 < m->n_order ? l->order_at + 1 : 0;
    l->result->due += d->timed;
    schedule_next(l);
    return true;
}

/* Requests that have waited as long as anybody waits for an answer. */
static void expire_due(struct bench_load *l) {
    struct bench_retry d;
    uint64_t patience = l->plan->timeout_ns;
    while (!l->plan->max && l->n_retries == 0 && l->next_ns + patience <= l->now_ns &&
           take_due(l, &d))
        count_error(l, d.timed, d.due_ns, BENCH_TIMEOUT);
}

/* ---- sending ---- */

static void note_sent(struct bench_load *l, const struct bench_flight *f) {
    uint64_t since = f->free_ns > f->due_ns ? f->free_ns : f->due_ns;
    l->result->sent += l->now_ns < l->end_ns + SENT_MS * MS;
    l->result->late += l->now_ns > since + MS;
    l->result->queued += f->free_ns > f->due_ns + MS;
}

static void send_on(struct bench_load *l, struct bench_flight *f, const struct bench_retry *d) {
    struct bench_conn *c = f->conn;
    f->kind = d->kind;
    f->due_ns = d->due_ns;
    f->timed = d->timed;
    f->sent_ns = l->now_ns;
    f->status = f->reason = 0;
    f->state = c->state == CONN_OPEN ? FLIGHT_SENT : FLIGHT_WAITS;
    c->taken++;
    l->n_taken++;
    if (d->timed)
        note_sent(l, f);
    if (c->state == CONN_OPEN)
        c->codec->ask(c, f);
    else if (c->state == CONN_CLOSED)
        bench_conn_open(c);
}

/* As many as flights are free now: a server that refuses at once gives them back at once. */
static void dispatch(struct bench_load *l) {
    struct bench_retry d;
    l->now_ns = bench_clock();
    for (size_t left = l->n_listed; left > 0 && l->now_ns < l->last_ns; left--) {
        struct bench_flight *f = unlist_flight(l);
        if (!f)
            return;
        if (!take_due(l, &d)) {
            l->ring_at = (l->ring_at + l->n_flights - 1) % l->n_flights;
            l->ring[l->ring_at] = f;
            l->n_listed++;
            f->listed = true;
            return;
        }
        send_on(l, f, &d);
        l->now_ns = bench_clock();
    }
}

static void flush(struct bench_load *l) {
    struct bench_conn *c;
    while ((c = l->dirty)) {
        l->dirty = c->next_dirty;
        c->dirty = false;
        if (c->retired && c->taken == 0)
            bench_conn_close(c, BENCH_ERRORS);
        else
            bench_conn_write(c);
    }
}

/* ---- what happens by the clock ---- */

static void expire_flights(struct bench_load *l) {
    for (size_t i = 0; i < l->n_flights; i++) {
        struct bench_flight *f = &l->flights[i];
        if (f->state == FLIGHT_FREE || f->due_ns + l->plan->timeout_ns > l->now_ns)
            continue;
        if (f->state == FLIGHT_SENT && f->conn->codec->drop(f->conn, f))
            bench_failed_with(f, BENCH_TIMEOUT);
        else
            bench_conn_close(f->conn, BENCH_TIMEOUT);
    }
}

static void end_second(struct bench_load *l) {
    struct bench_result *r = l->result;
    struct bench_second s = {l->second->n, l->second_failed, bench_histogram_at(l->second, 0.5),
                             bench_histogram_at(l->second, 0.99), l->second->max};
    bool warmup = l->second_ns < l->window_ns;
    unsigned at = (unsigned)((l->second_ns - l->start_ns) / BENCH_SECOND) + 1;
    if (!warmup && r->n_seconds < BENCH_SECONDS_MAX) {
        if ((r->n_seconds & (r->n_seconds - 1)) == 0)
            r->seconds = mem_realloc(r->seconds, (r->n_seconds ? r->n_seconds * 2 : 1) * sizeof(s));
        r->seconds[r->n_seconds++] = s;
    }
    if (l->watcher && l->watcher->second)
        l->watcher->second(l->watcher->arg, &s, at, warmup);
    bench_histogram_clear(l->second);
    l->second_failed = 0;
    l->second_ns += BENCH_SECOND;
}

static void by_the_clock(struct bench_load *l) {
    if (stopped && l->now_ns < l->end_ns) {
        l->end_ns = l->last_ns = l->now_ns;
        l->result->window_ns = l->end_ns > l->window_ns ? l->end_ns - l->window_ns : 0;
    }
    bool in_window = l->now_ns >= l->window_ns && l->now_ns < l->end_ns;
    if (in_window != l->in_window) {
        uint64_t cpu_ns = clock_of(CLOCK_THREAD_CPUTIME_ID);
        l->result->cpu_ns += in_window ? 0 : cpu_ns - l->cpu_ns;
        l->cpu_ns = cpu_ns;
        l->in_window = in_window;
    }
    if (l->now_ns >= l->tick_ns + TICK_MS * MS) {
        l->tick_ns = l->now_ns;
        expire_flights(l);
        expire_due(l);
    }
    while (l->now_ns >= l->second_ns + BENCH_SECOND && l->second_ns < l->end_ns)
        end_second(l);
}

/* ---- waiting ---- */

/* Until the next request can be sent, or the clock is to be looked at. */
static uint64_t patience(const struct bench_load *l) {
    uint64_t until = l->now_ns + TICK_MS * MS;
    bool can_send = l->n_listed > 0 && l->now_ns < l->last_ns;
    if (can_send && l->n_retries > 0)
        return 0;
    if (can_send && l->now_ns < l->end_ns) {
        uint64_t due = l->plan->max ? l->now_ns : l->next_ns;
        until = due < until ? due : until;
    }
    if (l->now_ns < l->window_ns && l->window_ns < until)
        until = l->window_ns;
    if (l->now_ns < l->end_ns && l->end_ns < until)
        until = l->end_ns;
    return until > l->now_ns ? until - l->now_ns : 0;
}

/* Kernels before 5.11 know milliseconds alone: the last one of a wait is spent asking. */
static int wait_for(struct bench_load *l, struct epoll_event *events, uint64_t ns) {
    static bool coarse;
    if (!coarse) {
        struct timespec t = {(time_t)(ns / BENCH_SECOND), (long)(ns % BENCH_SECOND)};
        int n = epoll_pwait2(l->epoll, events, EVENTS, &t, NULL);
        if (n >= 0 || errno != ENOSYS)
            return n;
        coarse = true;
    }
    return epoll_wait(l->epoll, events, EVENTS, (int)(ns / MS));
}

static void wait_and_serve(struct bench_load *l, uint64_t ns) {
    struct epoll_event events[EVENTS];
    int n = wait_for(l, events, ns);
    l->now_ns = bench_clock();
    for (int i = 0; i < n; i++)
        bench_conn_event(events[i].data.ptr, events[i].events);
}

/* ---- a run ---- */

static void init(struct bench_load *l) {
    const struct bench_plan *p = l->plan;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    must(l->epoll >= 0);
    l->n_flights = (size_t)p->connections * p->streams;
    l->conns = mem_array(p->connections, sizeof(*l->conns));
    l->flights = mem_array(l->n_flights, sizeof(*l->flights));
    l->ring = mem_array(l->n_flights, sizeof(struct bench_flight *));
    l->retries = mem_array(l->n_flights, sizeof(*l->retries));
    l->room = mem_alloc(BENCH_READ_BYTES);
    l->second = mem_zalloc(sizeof(*l->second));
    prng_init(&l->prng);
    for (unsigned i = 0; i < p->connections; i++) {
        struct bench_conn *c = &l->conns[i];
        c->load = l;
        c->codec = p->http2 ? &bench_h2 : &bench_h1;
        c->flights = &l->flights[(size_t)i * p->streams];
    }
    /* One flight of each connection after the other, so that the first requests are spread too. */
    for (unsigned s = 0; s < p->streams; s++)
        for (unsigned i = 0; i < p->connections; i++) {
            struct bench_flight *f = &l->conns[i].flights[s];
            f->conn = &l->conns[i];
            list_flight(l, f);
        }
}

static void fini(struct bench_load *l) {
    for (unsigned i = 0; i < l->plan->connections; i++) {
        bench_conn_close(&l->conns[i], BENCH_ERRORS);
        out_fini(&l->conns[i].held);
    }
    close(l->epoll);
    mem_free(l->conns);
    mem_free(l->flights);
    mem_free(l->ring);
    mem_free(l->retries);
    mem_free(l->room);
    mem_free(l->second);
}

static unsigned count_state(const struct bench_load *l, enum bench_conn_state state) {
    unsigned n = 0;
    for (unsigned i = 0; i < l->plan->connections; i++)
        n += l->conns[i].state == state;
    return n;
}

static void connect_closed(struct bench_load *l) {
    uint64_t until = bench_clock() + CONNECT_MS * MS;
    for (unsigned i = 0; i < l->plan->connections; i++)
        if (l->conns[i].state == CONN_CLOSED)
            bench_conn_open(&l->conns[i]);
    while (count_state(l, CONN_CONNECTING) + count_state(l, CONN_SHAKING) > 0 && !stopped &&
           bench_clock() < until)
        wait_and_serve(l, TICK_MS * MS);
}

/* Connecting is no part of the load. Again where an address took none. */
static int connect_all(struct bench_load *l, struct why *why) {
    for (unsigned i = 0; i < l->plan->n_to && count_state(l, CONN_CLOSED) > 0 && !stopped; i++)
        connect_closed(l);
    l->begun = true;
    if (count_state(l, CONN_OPEN) > 0)
        return 0;
    if (l->tls_words[0])
        return why_text(why, "the TLS handshake failed: %s", l->tls_words);
    return why_text(why, "no connection could be made: %s",
                    l->connect_errno ? strerror(l->connect_errno) : "nothing answers");
}

static void set_times(struct bench_load *l) {
    const struct bench_plan *p = l->plan;
    l->now_ns = l->start_ns = l->second_ns = l->tick_ns = bench_clock();
    l->window_ns = l->start_ns + p->warmup_ns;
    l->end_ns = l->window_ns + p->duration_ns;
    l->last_ns = l->end_ns + GRACE_MS * MS;
    l->next_ns = p->poisson && !p->replay && !p->max ? l->start_ns + gap(l) : l->start_ns;
    l->result->window_ns = p->duration_ns;
    l->result->rate_asked = p->max || p->replay ? 0 : p->rate;
    for (size_t i = 0; i < l->n_flights; i++)
        l->flights[i].free_ns = l->start_ns;
}

/* What is left counts with the wait that it had: it would have been longer. */
static void count_unsent(struct bench_load *l) {
    struct bench_retry d;
    while (take_due(l, &d))
        if (d.timed) {
            l->result->unsent++;
            bench_histogram_add(&l->result->latency, l->now_ns - d.due_ns);
        }
}

static bool is_over(const struct bench_load *l) {
    bool left = l->n_retries > 0 || (!l->plan->max && l->next_ns < l->end_ns);
    return l->now_ns >= l->end_ns && l->n_taken == 0 && (!left || l->now_ns >= l->last_ns);
}

static void run(struct bench_load *l) {
    set_times(l);
    by_the_clock(l);
    uint64_t opened = l->opened;
    while (!is_over(l)) {
        dispatch(l);
        flush(l);
        wait_and_serve(l, patience(l));
        by_the_clock(l);
    }
    count_unsent(l);
    l->result->connects = l->opened - opened;
}

static void room_for_connections(unsigned n) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= n + 64)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

int bench_run(const struct bench_plan *p, const struct bench_watcher *w, struct bench_result *r,
              struct why *why) {
    struct bench_load l = {.plan = p, .watcher = w, .result = r};
    struct sigaction interrupt = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND},
                     before;
    room_for_connections(p->connections);
    prctl(PR_SET_TIMERSLACK, 1UL);
    sigaction(SIGINT, &interrupt, &before);
    init(&l);
    int rc = connect_all(&l, why);
    if (rc == 0)
        run(&l);
    fini(&l);
    sigaction(SIGINT, &before, NULL);
    return rc;
}
