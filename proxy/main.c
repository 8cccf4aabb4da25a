/* SPDX-License-Identifier: Apache-2.0
 *
 * sluice-proxy. Main thread: signals, telemetry and admin, the configuration and what the workers
 * give back. It never serves a request.
 *
 *     config ── publish(snapshot) ──► every worker ── adopted ──► config: ack
 *     SIGTERM ─► not ready, answers say close ── delay ─► listeners closed ── idle or timeout ─►
 * end
 */
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/slow.h"
#include "lib/thread.h"
#include "proxy/admin/admin.h"
#include "proxy/config/config.h"
#include "proxy/l4/relay.h"
#include "proxy/limit/limit.h"
#include "proxy/limit/ratestore.h"
#include "proxy/main_limits.h"
#include "proxy/main_live.h"
#include "proxy/net/tls.h"
#include "proxy/observe/log.h"
#include "proxy/observe/observe.h"
#include "proxy/options.h"
#include "proxy/trace/exporter.h"
#include "proxy/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,
    DRAIN_LOOK_MS = 50,
    SLOW_THREADS_MIN = 2,
    SLOW_THREADS = 8,
    SLOW_WAITING = 64,   /* jobs that wait for each of them */
    SPANS_END_MS = 2000, /* the last spans are waited for at most */
};

struct member { /* a worker and what it writes to */
    struct worker *worker;
    struct observe_worker *observe;
    struct access_log_worker *log, *audit; /* may be the same one; NULL: off */
    bool started;
};

struct proxy {
    struct options o;
    struct event_base *base;
    struct config *config;
    struct observe *observe;
    struct access_log *log, *audit; /* may be the same one; NULL: off */
    struct admin *admin;
    struct member *members;
    struct slow *slow;
    struct limit_table *limits;
    struct main_limits *shares;
    struct main_live *live;
    struct snapshot *current; /* held */
    int ring;
    struct event *rung, *tick, *drain;
    struct event *signals[4];
    bool draining, closing;
    uint64_t drain_until_ms, spans_until_ms; /* 0: not yet */
    uint64_t published_ns, applied; /* of the last snapshot; its serial, when all workers had it */
};

static uint64_t now_ms(void) { return loop_clock_ns() / 1000000; }

/* ---- on the workers' threads ---- */

static void record(void *arg, const struct record *r) {
    struct member *m = arg;
    if (unlikely(!m->started)) {
        m->started = true;
        observe_worker_start(m->observe);
    }
    observe_request(m->observe, r);
    if (m->log != NULL)
        access_log_request(m->log, r, r->gateway->access_log);
    if (m->audit != NULL)
        access_log_audit(m->audit, r);
}

static void passed(void *arg, const struct passed *p) {
    struct member *m = arg;
    if (m->log != NULL)
        access_log_passed(m->log, p, p->gateway->access_log);
}

static uint64_t upstream_opened(void *arg, const struct backend *b) {
    struct member *m = arg;
    observe_upstream_opened(m->observe, b);
    return observe_identity(b);
}

static void upstream_closed(void *arg, uint32_t slot, uint64_t identity) {
    struct member *m = arg;
    observe_upstream_closed(m->observe, slot, identity);
}

static void upstream_secured(void *arg, uint32_t slot, uint64_t identity,
                             enum upstream_handshake how) {
    static const enum observe_handshake results[HANDSHAKES] = {
        OBSERVE_HANDSHAKE_FULL, OBSERVE_HANDSHAKE_RESUMED, OBSERVE_HANDSHAKE_FAILED};
    struct member *m = arg;
    observe_upstream_secured(m->observe, slot, identity, results[how]);
}

static const struct upstream_watch upstream_watch = {upstream_opened, upstream_secured,
                                                     upstream_closed};

/* ---- configuration ---- */

static void count_objects(struct proxy *p) {
    uint64_t counts[MODEL_KINDS] = {0};
    size_t n;
    struct object **objects = config_objects(p->config, &n);
    for (size_t i = 0; i < n; i++) {
        if (objects[i]->kind < MODEL_KINDS)
            counts[objects[i]->kind]++;
        object_drop(objects[i]);
    }
    mem_free(objects);
    for (int k = 1; k < MODEL_KINDS; k++)
        observe_config_objects(p->observe, (enum model_kind)k, counts[k]);
}

static void publish(void *arg, struct snapshot *s) {
    struct proxy *p = arg;
    for (unsigned i = 0; i < p->o.workers; i++)
        worker_publish(p->members[i].worker, snapshot_hold(s));
    observe_snapshot(p->observe, s);
    main_limits_snapshot(p->shares, s);
    if (p->current != NULL)
        snapshot_drop(p->current);
    p->current = s;
    p->published_ns = loop_clock_ns();
}

static void greeted(void *arg) {
    const struct proxy *p = arg;
    main_limits_greeted(p->shares);
}

static void shares(void *arg, const struct wire_shares *m) {
    const struct proxy *p = arg;
    main_limits_shares(p->shares, m);
}

static void watched(void *arg, const struct wire_watch *m) {
    const struct proxy *p = arg;
    main_live_watched(p->live, m);
}

static uint64_t adopted_by_all(const struct proxy *p) {
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < p->o.workers; i++) {
        uint64_t serial = worker_adopted(p->members[i].worker);
        least = serial < least ? serial : least;
    }
    return least;
}

static void on_ring(evutil_socket_t fd, short what, void *arg) {
    struct proxy *p = arg;
    (void)what;
    wakeup_clear(fd);
    for (unsigned i = 0; i < p->o.workers; i++)
        worker_collect(p->members[i].worker);
    if (p->current != NULL && p->applied < p->current->serial &&
        adopted_by_all(p) >= p->current->serial) {
        p->applied = p->current->serial;
        observe_config_applied(p->observe, p->current->revision, loop_clock_ns() - p->published_ns);
    }
    config_adopted(p->config, adopted_by_all(p));
}

/* ---- what others ask ---- */

static bool ready(void *arg, struct out *why) {
    struct proxy *p = arg;
    if (p->draining) {
        out_lit(why, "draining");
        return false;
    }
    if (!config_ready(p->config) || p->current == NULL || adopted_by_all(p) < 1) {
        out_lit(why, "no configuration is applied yet");
        return false;
    }
    if (!main_limits_ready(p->shares)) {
        out_lit(why, "its share of rate limits is not known yet");
        return false;
    }
    for (unsigned i = 0; i < p->o.workers; i++) {
        if (worker_listening(p->members[i].worker))
            continue;
        out_lit(why, "a port cannot be listened on");
        return false;
    }
    return true;
}

static uint64_t revision(void *arg) {
    struct proxy *p = arg;
    return config_revision(p->config);
}

static struct object **objects(void *arg, size_t *n) {
    struct proxy *p = arg;
    return config_objects(p->config, n);
}

static void live(void *arg, struct out *o) {
    const struct proxy *p = arg;
    main_live_json(p->live, p->config, o);
}

static uint64_t resident_bytes(void) {
    unsigned long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    int got = fscanf(f, "%lu %lu", &total, &resident);
    fclose(f);
    return got == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* ---- metrics of handshakes ---- */

static void handshake_metrics(void *arg, struct metric_text *t) {
    struct proxy *p = arg;
    struct secure_counts sum = {0};
    for (unsigned i = 0; i < p->o.workers; i++) {
        struct secure_counts c = worker_handshakes(p->members[i].worker);
        sum.done += c.done;
        sum.resumed += c.resumed;
        sum.no_certificate += c.no_certificate;
        sum.client_refused += c.client_refused;
        sum.shed += c.shed;
        sum.timeout += c.timeout;
        sum.failed += c.failed;
    }
    metric_family(t, METRIC_COUNTER, "sluice_tls_handshakes",
                  "TLS handshakes with clients, by how they ended.");
    metric_count(t, STR("result=\"done\""), sum.done);
    metric_count(t, STR("result=\"resumed\""), sum.resumed);
    metric_count(t, STR("result=\"no_certificate\""), sum.no_certificate);
    metric_count(t, STR("result=\"client_refused\""), sum.client_refused);
    metric_count(t, STR("result=\"shed\""), sum.shed);
    metric_count(t, STR("result=\"timeout\""), sum.timeout);
    metric_count(t, STR("result=\"failed\""), sum.failed);
}

static void limit_share_metrics(void *arg, struct metric_text *t) {
    const struct proxy *p = arg;
    const struct ratestore **stores = mem_array(p->o.workers, sizeof(struct ratestore *));
    main_limits_metrics(p->shares, t);
    for (unsigned i = 0; i < p->o.workers; i++)
        stores[i] = worker_limits(p->members[i].worker)->store;
    if (p->current != NULL && p->current->gateway->rate_limit_store)
        ratestore_metrics(stores, p->o.workers, t);
    mem_free(stores);
}

static void trace_metrics(void *arg, struct metric_text *t) {
    const struct proxy *p = arg;
    if (p->current == NULL || p->current->tracing.model == NULL)
        return;
    const struct exporter **all = mem_array(p->o.workers, sizeof(struct exporter *));
    for (unsigned i = 0; i < p->o.workers; i++)
        all[i] = worker_exporter(p->members[i].worker);
    exporter_metrics(all, p->o.workers, t);
    mem_free(all);
}

static void listener_metrics(void *arg, struct metric_text *t) {
    struct proxy *p = arg;
    struct relay_env **envs = mem_array(p->o.workers, sizeof(struct relay_env *));
    for (unsigned i = 0; i < p->o.workers; i++)
        envs[i] = worker_relays(p->members[i].worker);
    relay_metrics(envs, p->o.workers, t);
    mem_free(envs);
}

static void limits_metrics(void *arg, struct metric_text *t) {
    struct proxy *p = arg;
    const struct limit_env **envs = mem_array(p->o.workers, sizeof(struct limit_env *));
    for (unsigned i = 0; i < p->o.workers; i++)
        envs[i] = worker_limits(p->members[i].worker);
    limit_metrics(envs, p->o.workers, p->current, t);
    mem_free(envs);
}

enum { UNKNOWN_KEYS_MAX = 8 };

struct unknown_list {
    struct wire_report *report;
    struct arena a;
};

/* Each once, however many workers have met it. */
static void add_unknown_key(void *arg, struct str source) {
    struct unknown_list *l = arg;
    struct wire_report *r = l->report;
    for (uint32_t i = 0; i < r->n_unknown_keys; i++)
        if (str_eq(r->unknown_keys[i], source))
            return;
    if (r->n_unknown_keys < UNKNOWN_KEYS_MAX)
        r->unknown_keys[r->n_unknown_keys++] = arena_str(&l->a, source);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct proxy *p = arg;
    struct str unknown[UNKNOWN_KEYS_MAX];
    struct wire_report r = {.memory_bytes = resident_bytes(), .unknown_keys = unknown};
    struct unknown_list list = {.report = &r};
    (void)fd, (void)what;
    arena_init(&list.a);
    for (unsigned i = 0; i < p->o.workers; i++) {
        struct worker_gauges g;
        struct observe_worker *o = p->members[i].observe;
        worker_gauges(p->members[i].worker, &g);
        worker_unknown_keys(p->members[i].worker, add_unknown_key, &list);
        r.connections += g.sessions + g.relays + g.intros;
        r.active_requests += g.streams;
        r.requests_total += g.requests;
        observe_gauge(o, OBSERVE_CLIENT_CONNECTIONS, g.sessions + g.relays + g.intros);
        observe_gauge(o, OBSERVE_CLIENT_H2, g.h2_sessions);
        observe_gauge(o, OBSERVE_UPSTREAM_CONNECTIONS, g.upstreams - g.idle_upstreams);
        observe_gauge(o, OBSERVE_UPSTREAM_IDLE, g.idle_upstreams);
        observe_gauge(o, OBSERVE_STREAMS_ACTIVE, g.streams);
        observe_gauge(o, OBSERVE_STREAMS_TUNNELS, g.tunnels);
        observe_gauge(o, OBSERVE_STREAMS_WAITING, g.waiting);
        observe_gauge(o, OBSERVE_MEMORY_BUFFERS, g.buffer_bytes);
        observe_gauge(o, OBSERVE_MEMORY_SPARE, g.spare_bytes);
        observe_lag(o, g.lag_ns);
    }
    if (config_linked(p->config)) /* it would have sent what differs */
        observe_config_current(p->observe);
    count_objects(p);
    observe_tick(p->observe);
    struct observe_load load = observe_load(p->observe);
    r.requests_milli = load.requests_milli;
    r.gateway_p99_us = load.gateway_p99_us;
    config_report(p->config, &r);
    main_live_tick(p->live, p->config, &r);
    main_limits_tick(p->shares);
    arena_fini(&list.a);
}

/* ---- the end ---- */

static bool busy(struct proxy *p) {
    for (unsigned i = 0; i < p->o.workers; i++) {
        struct worker_gauges g;
        worker_gauges(p->members[i].worker, &g);
        if (g.sessions > g.idle_sessions || g.relays > 0 || g.intros > 0)
            return true;
    }
    return false;
}

/* Nobody is served any more: what is known of those who were goes out, if that is soon. */
static bool sends_spans(struct proxy *p) {
    uint64_t kept = 0;
    if (p->spans_until_ms == 0)
        p->spans_until_ms = now_ms() + SPANS_END_MS;
    for (unsigned i = 0; i < p->o.workers; i++)
        kept += exporter_kept(worker_exporter(p->members[i].worker));
    return kept > 0 && now_ms() < p->spans_until_ms;
}

static void wait_ms(struct event *ev, uint64_t ms) {
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(ev, &tv);
}

static void on_drain(evutil_socket_t fd, short what, void *arg) {
    struct proxy *p = arg;
    (void)fd, (void)what;
    if (!p->closing) {
        p->closing = true;
        p->drain_until_ms = now_ms() + p->o.drain_timeout_ms;
        for (unsigned i = 0; i < p->o.workers; i++)
            worker_close_listeners(p->members[i].worker);
    } else if ((!busy(p) || now_ms() >= p->drain_until_ms) && !sends_spans(p)) {
        event_base_loopbreak(p->base);
        return;
    }
    wait_ms(p->drain, DRAIN_LOOK_MS);
}

static void on_term(evutil_socket_t fd, short what, void *arg) {
    struct proxy *p = arg;
    (void)fd, (void)what;
    if (p->draining) { /* a second time: now */
        event_base_loopbreak(p->base);
        return;
    }
    p->draining = true;
    log_info("main", "draining delay_ms=%llu timeout_ms=%llu",
             (unsigned long long)p->o.drain_delay_ms, (unsigned long long)p->o.drain_timeout_ms);
    for (unsigned i = 0; i < p->o.workers; i++)
        worker_drain(p->members[i].worker);
    wait_ms(p->drain, p->o.drain_delay_ms);
}

static void on_hup(evutil_socket_t fd, short what, void *arg) {
    struct proxy *p = arg;
    (void)fd, (void)what;
    if (p->log != NULL)
        access_log_reopen(p->log);
    if (p->audit != NULL && p->audit != p->log)
        access_log_reopen(p->audit);
}

/* ---- the start ---- */

_Noreturn static void fail(const struct why *why) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    why_print(why, &o);
    log_error("main", "cannot start: %.*s", STR_FMT(out_done(&o)));
    exit(1);
}

static uint64_t file_number(const char *path) {
    unsigned long long n = 0;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    int got = fscanf(f, "%llu", &n);
    fclose(f);
    return got == 1 ? n : 0;
}

/* For buffers, of all workers: 60 % of what this cgroup, or else this machine, has. */
static size_t buffer_bytes(void) {
    uint64_t limit = file_number("/sys/fs/cgroup/memory.max");
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return (size_t)((limit > 0 && limit < machine ? limit : machine) / 10 * 6);
}

/* Two descriptors a request, and some for ourselves. */
static uint32_t connection_limit(void) {
    struct rlimit r;
    must(getrlimit(RLIMIT_NOFILE, &r) == 0);
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    getrlimit(RLIMIT_NOFILE, &r);
    uint64_t half = r.rlim_cur / 2;
    return half < 50000 ? (uint32_t)half : 50000;
}

/* Two at least, so that one password of the slowest form keeps nobody waiting; and so few wait that
 * an answer comes in seconds, if at all. */
static struct slow *start_slow(unsigned workers) {
    unsigned n = (workers + 1) / 2;
    n = n < SLOW_THREADS_MIN ? SLOW_THREADS_MIN : n < SLOW_THREADS ? n : SLOW_THREADS;
    return slow_new(n, n * SLOW_WAITING);
}

static void start_workers(struct proxy *p) {
    p->slow = start_slow(p->o.workers);
    size_t memory = buffer_bytes() / p->o.workers;
    uint32_t connections = connection_limit() / p->o.workers;
    p->members = mem_array(p->o.workers, sizeof(*p->members));
    for (unsigned i = 0; i < p->o.workers; i++) {
        struct member *m = &p->members[i];
        m->observe = observe_worker(p->observe, i);
        m->log = p->log != NULL ? access_log_worker(p->log, i) : NULL;
        m->audit = p->audit != NULL ? access_log_worker(p->audit, i) : NULL;
        struct worker_options o = {
            .index = i,
            .workers = p->o.workers,
            .ports = p->o.ports,
            .n_ports = p->o.n_ports,
            .memory = memory,
            .connections = connections,
            .limits = p->limits,
            .drain_ms = p->o.drain_timeout_ms,
            .ring = p->ring,
            .slow = p->slow,
            .record = record,
            .passed = passed,
            .upstreams = &upstream_watch,
            .arg = m,
        };
        m->worker = worker_new(&o);
        if (m->worker == NULL) {
            log_error("main", "cannot start a worker: %s", strerror(errno));
            exit(1);
        }
    }
}

static void rejected(void *arg, size_t objects) {
    struct proxy *p = arg;
    observe_config_rejected(p->observe, objects);
}

static void start_config(struct proxy *p) {
    struct why why = {0};
    struct config_options c = {
        .name = p->o.name,
        .controllers = p->o.controllers,
        .n_controllers = p->o.n_controllers,
        .controller_ca = p->o.controller_ca,
        .token = p->o.token,
        .peers = p->o.peers,
        .peer_bind = p->o.peer_bind,
        .lastgood = p->o.state,
        .nameserver = p->o.resolver,
        .publish = publish,
        .greeted = greeted,
        .rejected = rejected,
        .shares = shares,
        .watched = watched,
        .arg = p,
    };
    p->config = config_new(p->base, &c, &why);
    if (p->config == NULL)
        fail(&why);
    main_limits_config(p->shares, p->config);
    config_start(p->config);
}

static void start_admin(struct proxy *p) {
    struct why why = {0};
    struct admin_host host = {
        .ready = ready,
        .revision = revision,
        .objects = objects,
        .live = live,
        .arg = p,
    };
    p->admin = admin_new(p->base, p->o.telemetry, p->o.admin, &host, p->observe, &why);
    if (p->admin == NULL)
        fail(&why);
}

static void start_events(struct proxy *p) {
    struct timeval second = {TICK_MS / 1000, 0};
    p->rung = event_new(p->base, p->ring, EV_READ | EV_PERSIST, on_ring, p);
    p->tick = event_new(p->base, -1, EV_PERSIST, on_tick, p);
    p->drain = evtimer_new(p->base, on_drain, p);
    p->signals[0] = evsignal_new(p->base, SIGTERM, on_term, p);
    p->signals[1] = evsignal_new(p->base, SIGINT, on_term, p);
    p->signals[2] = evsignal_new(p->base, SIGHUP, on_hup, p);
    event_add(p->rung, NULL);
    event_add(p->tick, &second);
    for (int i = 0; i < 3; i++)
        event_add(p->signals[i], NULL);
}

static void end(struct proxy *p) {
    event_free(p->tick);
    event_free(p->rung);
    event_free(p->drain);
    for (int i = 0; i < 3; i++)
        event_free(p->signals[i]);
    admin_free(p->admin);
    for (unsigned i = 0; i < p->o.workers; i++)
        worker_free(p->members[i].worker);
    slow_free(p->slow);
    config_free(p->config);
    if (p->audit != p->log)
        access_log_free(p->audit);
    main_limits_free(p->shares);
    main_live_free(p->live);
    access_log_free(p->log);
    observe_free(p->observe);
    if (p->current != NULL)
        snapshot_drop(p->current);
    mem_free(p->members);
    limit_table_free(p->limits);
    close(p->ring);
    event_base_free(p->base);
}

static void fail_to_count(void) {
    log_error("main", "cannot start: there is no memory to count for rate limits");
    exit(1);
}

/* Tables of a transaction that brought very many objects go back to the kernel when they are freed;
 * by itself malloc raises this bound and keeps them: 200 bytes a route with 100,000 routes. */
static void give_back_large_memory(void) { mallopt(M_MMAP_THRESHOLD, 128 << 10); }

/* NULL: off. */
static struct access_log *open_log(struct proxy *p, const char *where) {
    struct why why = {0};
    if (strcmp(where, "off") == 0)
        return NULL;
    struct access_log *l = access_log_new(where, p->o.workers, &why);
    if (l == NULL)
        fail(&why);
    return l;
}

static void log_metrics(void *arg, struct metric_text *t) {
    const struct proxy *p = arg;
    const struct access_log *logs[] = {p->log, p->audit};
    access_log_metrics(logs, p->audit == p->log ? 1 : 2, t);
}

/* Two that write to one place are one: their lines must not mix. */
static void open_logs(struct proxy *p) {
    bool one = strcmp(p->o.access_log, p->o.audit_log) == 0;
    p->log = open_log(p, p->o.access_log);
    p->audit = one ? p->log : open_log(p, p->o.audit_log);
    if (p->log != NULL || p->audit != NULL)
        observe_source(p->observe, log_metrics, p);
}

int main(int argc, char **argv) {
    struct proxy p = {0};
    tls_begin();
    options_parse(&p.o, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    give_back_large_memory();
    p.base = event_base_new();
    p.ring = wakeup_new();
    p.observe = observe_new(p.o.workers);
    p.live = main_live_new(p.observe, p.o.name);
    open_logs(&p);
    p.limits = limit_table_new(0);
    if (p.limits == NULL)
        fail_to_count();
    p.shares = main_limits_new(p.base);
    limit_table_lend(p.limits, main_limits_portions(p.shares));
    start_workers(&p);
    observe_source(p.observe, handshake_metrics, &p);
    observe_source(p.observe, listener_metrics, &p);
    observe_source(p.observe, limits_metrics, &p);
    observe_source(p.observe, limit_share_metrics, &p);
    observe_source(p.observe, trace_metrics, &p);
    start_events(&p);
    start_config(&p);
    start_admin(&p);
    log_info("main", "started version=%s name=%s workers=%u", sluice_version, p.o.name,
             p.o.workers);
    event_base_dispatch(p.base);
    log_info("main", "ending");
    end(&p);
    return 0;
}
