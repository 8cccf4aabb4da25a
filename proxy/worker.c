/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/worker.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/thread.h"
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
    struct head scratch;
    struct port ports[WORKER_PORTS_MAX];
    pthread_t thread;
    int wake;
    struct loop_watch *watch;
    struct mailbox in, out;            /* editions */
    uint64_t adopted;                  /* serial; a counter */
    uint32_t connections;              /* at most, now */
    uint64_t accept_failures, refused; /* counters */
    uint64_t listening;                /* a counter: 0 or 1 */
    uint64_t phase;                    /* main writes; relaxed, the wake-up orders it */
    enum phase reached;
};

/* ---- listeners ---- */

static void accepted(void *arg, int fd, const struct addr *peer) {
    struct port *p = arg;
    struct worker *w = p->worker;
    if (w->env.sessions.n_sessions >= w->connections && !sessions_shed_idle(&w->env.sessions)) {
        counter_add(&w->refused, 1);
        close(fd); /* R10 */
        return;
    }
    session_accept_fd(&w->env.sessions, fd, peer, p->client);
}

static bool speaks_http(const struct snapshot *s, uint16_t port) {
    const struct listener_law *l = snapshot_listener(s, port);
    return l != NULL && (l->model->protocol == MODEL_HTTP || l->model->protocol == MODEL_HTTPS);
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
        bool want = w->reached < CLOSING && speaks_http(s, p->client);
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
    if (!stream_env_adopt(&w->env, &e->law)) {
        log_error("worker", "no memory to adopt a configuration; the last one stays");
        give_back(w, e);
        return;
    }
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
    sessions_close_all(&w->env.sessions);
    conns_end_turn(&w->loop);
    return NULL;
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
    stream_env_init(&w->env, &w->loop, &w->scratch, o->workers);
    w->env.record = o->record;
    w->env.law_done = law_done;
    w->env.arg = o->arg;
    w->env.law_arg = w;
    w->env.upstreams.watch = o->upstreams;
    w->env.upstreams.watch_arg = o->arg;
    for (size_t i = 0; i < o->n_ports; i++)
        w->ports[i] = (struct port){.worker = w, .client = o->ports[i].client};
    w->wake = wakeup_new();
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
        .requests = counter_get(&w->env.requests),
        .waiting = counter_get(&u->n_waiting),
        .upstreams = counter_get(&u->n_conns),
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
