/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/worker.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/slow.h"
#include "lib/thread.h"
#include "proxy/l4/relay.h"
#include "proxy/net/listen.h"
#include "proxy/stream/stream.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

enum { KEEP_BYTES = 8 << 20, BACKLOG = 4096 };

enum phase { SERVING, DRAINING, CLOSING, ENDING };

struct edition {
    struct law law;
    struct mail mail;
};

struct port {
    struct worker *worker;
    uint16_t client;
    struct listener *listener; /* NULL: not open */
};

struct worker {
    struct worker_options o;
    struct loop loop;
    struct stream_env env;
    struct intro_env intros;
    struct relay_env relays;
    struct head scratch;
    struct port ports[WORKER_PORTS_MAX];
    pthread_t thread;
    int wake;
    struct loop_watch *watch;
    struct slow_desk desk;             /* where there are threads */
    struct mailbox in, out;            /* editions */
    uint64_t adopted;                  /* serial; a counter */
    uint32_t connections;              /* at most, now */
    uint64_t accept_failures, refused; /* counters */
    uint64_t listening;                /* a counter: 0 or 1 */
    uint64_t phase;                    /* main writes; relaxed, the wake-up orders it */
    enum phase reached;
};

/* ---- listeners ---- */

/* It is known who has come, and where to: as much as is read of it before. */
static void welcome(void *arg, int fd, const struct newcomer *who) {
    struct worker *w = arg;
    const struct listener_law *l = who->passed;
    if (l == NULL)
        l = snapshot_listener(w->env.law->snapshot, who->port);
    if (l != NULL && (l->model->protocol == MODEL_TCP || l->model->protocol == MODEL_TLS))
        relay_begin(&w->relays, fd, who, l);
    else
        session_accept_fd(&w->env.sessions, fd, &who->peer, who->told ? &who->local : NULL,
                          who->port);
}

static void turned_away(void *arg, const struct newcomer *who, enum reason reason) {
    struct worker *w = arg;
    struct record r = {
        .gateway = w->env.law->snapshot->gateway, .reason = reason, .start_ns = who->start_ns};
    if (reason == REASON_NONE)
        return;
    r.total_ns = r.gateway_ns = loop_clock_ns() - r.start_ns;
    addr_v6(&who->peer, r.client);
    w->o.record(w->o.arg, &r);
}

static uint64_t connections(const struct worker *w) {
    return w->env.sessions.n_sessions + w->relays.n + w->intros.n;
}

static void accepted(void *arg, int fd, const struct addr *peer) {
    struct port *p = arg;
    struct worker *w = p->worker;
    if (connections(w) >= w->connections && !sessions_shed_idle(&w->env.sessions)) {
        counter_add(&w->refused, 1);
        close(fd); /* R10 */
        return;
    }
    if (unlikely(intro_needed(&w->intros, peer, p->client)))
        intro_begin(&w->intros, fd, peer, p->client);
    else
        welcome(w, fd,
                &(struct newcomer){.peer = *peer, .port = p->client, .start_ns = w->loop.now_ns});
}

static bool has_listener(const struct snapshot *s, uint16_t port) {
    return snapshot_listener(s, port) != NULL || snapshot_passes_by_name(s, port);
}

static bool open_port(struct worker *w, size_t i) {
    struct port *p = &w->ports[i];
    p->listener =
        listener_new(&w->loop, &w->o.ports[i].bind, BACKLOG, accepted, p, &w->accept_failures);
    if (p->listener != NULL)
        return true;
    char room[64];
    struct out o = out_fixed(room, sizeof(room));
    addr_print(&w->o.ports[i].bind, &o);
    log_error("worker", "cannot listen address=%.*s error=%s", STR_FMT(out_done(&o)),
              strerror(errno));
    return false;
}

/* As the snapshot's listeners say; a port that nobody names stays closed. */
static void set_listeners(struct worker *w, const struct snapshot *s) {
    bool all = true;
    for (size_t i = 0; i < w->o.n_ports; i++) {
        struct port *p = &w->ports[i];
        bool want = w->reached < CLOSING && has_listener(s, p->client);
        if (want && p->listener == NULL) {
            all = open_port(w, i) && all;
        } else if (!want) {
            listener_free(p->listener);
            p->listener = NULL;
        }
    }
    __atomic_store_n(&w->listening, all, __ATOMIC_RELAXED);
}

/* ---- editions ---- */

static void give_back(struct worker *w, struct edition *e) {
    mailbox_put(&w->out, &e->mail);
    wakeup_ring(w->o.ring);
}

static void law_done(void *arg, struct law *law) {
    give_back(arg, container_of(law, struct edition, law));
}

/* What the gateway allows a proxy, divided by its workers. */
static void set_limits(struct worker *w, const struct limits *l) {
    uint32_t share = l->connections / w->o.workers + (l->connections % w->o.workers != 0);
    w->connections =
        l->connections < UINT32_MAX && share < w->o.connections ? share : w->o.connections;
    w->loop.slabs.limit =
        l->memory_bytes > 0 ? l->memory_bytes / 10 * 6 / w->o.workers : w->o.memory;
}

static void adopt(struct worker *w, struct edition *e) {
    uint64_t serial = e->law.snapshot->serial;
    if (!relays_make_room(&w->relays, e->law.snapshot) || !stream_env_adopt(&w->env, &e->law)) {
        log_error("worker", "no memory to adopt a configuration; the last one stays");
        give_back(w, e);
        return;
    }
    w->intros.law = w->relays.law = e->law.snapshot;
    set_limits(w, &e->law.snapshot->limits);
    set_listeners(w, e->law.snapshot);
    __atomic_store_n(&w->adopted, serial, __ATOMIC_RELEASE);
    wakeup_ring(w->o.ring);
}

/* Only the newest is adopted; those between are returned unread. */
static void take_editions(struct worker *w) {
    struct edition *newest = NULL;
    bool resume;
    for (struct mail *m; (m = mailbox_take(&w->in, &resume)) != NULL;) {
        if (newest != NULL)
            give_back(w, newest);
        newest = container_of(m, struct edition, mail);
    }
    if (newest != NULL)
        adopt(w, newest);
}

/* ---- phases ---- */

static void close_listeners(struct worker *w) {
    for (size_t i = 0; i < w->o.n_ports; i++) {
        listener_free(w->ports[i].listener);
        w->ports[i].listener = NULL;
    }
    sessions_close_idle(&w->env.sessions);
}

static void begin_closing(struct worker *w) {
    close_listeners(w);
    stream_env_drain(&w->env, w->o.drain_ms);
    exporter_drain(w->env.exporter);
}

static void follow_phase(struct worker *w) {
    enum phase wanted = (enum phase)__atomic_load_n(&w->phase, __ATOMIC_RELAXED);
    while (w->reached < wanted) {
        w->reached++;
        if (w->reached == DRAINING)
            sessions_drain(&w->env.sessions);
        else if (w->reached == CLOSING)
            begin_closing(w);
        else if (w->reached == ENDING)
            w->loop.stop = true;
    }
}

static void on_wake(void *arg) {
    struct worker *w = arg;
    wakeup_clear(w->wake);
    take_editions(w);
    if (w->o.slow != NULL)
        slow_collect(&w->desk);
    follow_phase(w);
}

static void set_phase(struct worker *w, enum phase p) {
    __atomic_store_n(&w->phase, (uint64_t)p, __ATOMIC_RELAXED);
    wakeup_ring(w->wake);
}

void worker_drain(struct worker *w) { set_phase(w, DRAINING); }
void worker_close_listeners(struct worker *w) { set_phase(w, CLOSING); }

/* ---- life ---- */

static void *run(void *arg) {
    struct worker *w = arg;
    loop_run(&w->loop);
    close_listeners(w);
    intros_close_all(&w->intros);
    relays_close_all(&w->relays);
    sessions_close_all(&w->env.sessions);
    conns_flush(&w->loop, true); /* the last of it: HTTP/2 tells backends which calls are over */
    conns_end_turn(&w->loop);
    return NULL;
}

static void begin_l4(struct worker *w) {
    w->intros =
        (struct intro_env){.loop = &w->loop, .done = welcome, .refused = turned_away, .arg = w};
    intros_init(&w->intros);
    relays_init(&w->relays, &w->loop, w->o.workers);
    w->relays.passed = w->o.passed;
    w->relays.arg = w->o.arg;
    w->relays.upstreams.watch = w->o.upstreams;
    w->relays.upstreams.watch_arg = w->o.arg;
}

struct worker *worker_new(const struct worker_options *o) {
    struct worker *w = mem_zalloc(sizeof(*w));
    char name[16];
    w->o = *o;
    if (loop_init(&w->loop, o->memory, KEEP_BYTES) != 0) {
        mem_free(w);
        return NULL;
    }
    mailbox_init(&w->in, SIZE_MAX);
    mailbox_init(&w->out, SIZE_MAX);
    stream_env_init(&w->env, &w->loop, &w->scratch, o->workers, o->limits);
    w->env.record = o->record;
    w->env.law_done = law_done;
    w->env.arg = o->arg;
    w->env.law_arg = w;
    w->env.upstreams.watch = o->upstreams;
    w->env.upstreams.watch_arg = o->arg;
    begin_l4(w);
    for (size_t i = 0; i < o->n_ports; i++)
        w->ports[i] = (struct port){.worker = w, .client = o->ports[i].client};
    w->wake = wakeup_new();
    if (o->slow != NULL) {
        slow_desk_init(&w->desk, o->slow, w->wake);
        auth_env_threads(w->env.auth, &w->desk);
    }
    w->watch = loop_watch_new(&w->loop, w->wake, on_wake, w);
    struct out n = out_fixed(name, sizeof(name) - 1);
    out_lit(&n, "worker-");
    out_u64(&n, o->index);
    name[n.n] = 0;
    thread_start(&w->thread, name, run, w);
    return w;
}

void worker_publish(struct worker *w, struct snapshot *s) {
    struct edition *e = mem_zalloc(sizeof(*e));
    e->law.snapshot = s;
    mailbox_put(&w->in, &e->mail);
    wakeup_ring(w->wake);
}

uint64_t worker_adopted(const struct worker *w) {
    return __atomic_load_n(&w->adopted, __ATOMIC_ACQUIRE);
}

static void drop_edition(struct edition *e) {
    snapshot_drop((struct snapshot *)(uintptr_t)e->law.snapshot);
    mem_free(e);
}

static void collect(struct mailbox *box) {
    bool resume;
    for (struct mail *m; (m = mailbox_take(box, &resume)) != NULL;)
        drop_edition(container_of(m, struct edition, mail));
}

void worker_collect(struct worker *w) { collect(&w->out); }

void worker_free(struct worker *w) {
    set_phase(w, ENDING);
    pthread_join(w->thread, NULL);
    struct law *last = w->env.law;
    if (w->o.slow != NULL)
        slow_desk_fini(&w->desk); /* requests are gone, and some of their work runs yet */
    intros_fini(&w->intros);
    relays_fini(&w->relays);
    stream_env_fini(&w->env);
    if (last != NULL)
        drop_edition(container_of(last, struct edition, law));
    collect(&w->in);
    collect(&w->out);
    loop_watch_free(w->watch);
    close(w->wake);
    loop_fini(&w->loop);
    mailbox_fini(&w->in);
    mailbox_fini(&w->out);
    mem_free(w);
}

/* ---- gauges ---- */

static uint64_t cpu_of(pthread_t t) {
    clockid_t clock;
    struct timespec ts;
    if (pthread_getcpuclockid(t, &clock) != 0 || clock_gettime(clock, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

struct secure_counts worker_handshakes(const struct worker *w) {
    return secure_counts(w->env.sessions.secure);
}

void worker_unknown_keys(struct worker *w, void (*each)(void *arg, struct str source), void *arg) {
    auth_unknown_keys(w->env.auth, each, arg);
}

struct relay_env *worker_relays(struct worker *w) {
    return &w->relays;
}

const struct exporter *worker_exporter(const struct worker *w) { return w->env.exporter; }

const struct limit_env *worker_limits(const struct worker *w) { return w->env.limits; }

bool worker_listening(const struct worker *w) { return counter_get(&w->listening) != 0; }

void worker_gauges(struct worker *w, struct worker_gauges *g) {
    const struct session_env *s = &w->env.sessions;
    const struct upstreams *u = &w->env.upstreams;
    *g = (struct worker_gauges){
        .sessions = counter_get(&s->n_sessions),
        .h2_sessions = counter_get(&s->n_h2),
        .idle_sessions = counter_get(&s->n_idle),
        .streams = counter_get(&w->env.n_streams),
        .tunnels = counter_get(&w->env.n_tunnels),
        .relays = counter_get(&w->relays.n),
        .intros = counter_get(&w->intros.n),
        .requests = counter_get(&w->env.requests),
        .waiting = counter_get(&u->n_waiting),
        .upstreams = counter_get(&u->n_conns) + counter_get(&w->relays.upstreams.n_conns),
        .idle_upstreams = counter_get(&u->n_idle),
        .connects = counter_get(&u->connects),
        .buffer_bytes = counter_get(&w->loop.slabs.used_bytes),
        .spare_bytes = counter_get(&w->loop.slabs.free_bytes),
        .accept_failures = counter_get(&w->accept_failures),
        .refused = counter_get(&w->refused),
        .lag_ns = __atomic_exchange_n(&w->loop.lag_ns_max, 0, __ATOMIC_RELAXED),
        .cpu_ns = cpu_of(w->thread),
    };
}
