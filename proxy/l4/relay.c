/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/l4/relay.h"

#include "lib/mem.h"
#include "proxy/net/channel.h"
#include "proxy/net/proxy_header.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum {
    CONNECT_TRIES = 3,
    LISTENER_NAME_MAX = 63,
    LARGE = 16384, /* so many bytes at once, so often in a row, are a flow */
    LARGE_IN_A_ROW = 16,
};

/* One direction: what is read from one end and lent to the other. */
struct way {
    struct conn *from, *to;
    uint64_t bytes;
    uint64_t *counted; /* the listener's */
    bool lent;         /* what is unread in `from` is on its way */
    bool ended;        /* `from` has finished, and `to` was told */
    uint8_t large;     /* large pieces in a row */
    struct channel channel;
};

struct relay {
    struct conn conn; /* the client's */
    struct relay_env *env;
    struct list link;
    struct timer timer; /* waiting in an endpoint's queue; then, silence */
    struct upstream *up;
    struct waiter waiter;
    struct way there, back;
    bool joined; /* both ends stand */
    bool over;
    uint8_t attempts;
    uint8_t proxy_version; /* enum model_proxy_version */
    uint32_t idle_ms;      /* UINT32_MAX: no limit */
    struct tries tried;
    struct endpoint endpoint; /* the last one asked */
    struct addr peer, local;
    bool told; /* local is known */
    uint16_t port;
    bool tls;
    struct relay_counts *counts;
    uint64_t start_ns, connect_ns;
    uint8_t listener_n, sni_n;
    char listener[LISTENER_NAME_MAX];
    char sni[CLIENT_HELLO_NAME_MAX];
};

static struct relay *of_conn(struct conn *c) { return container_of(c, struct relay, conn); }

/* ---- the end ---- */

static void freed(struct conn *c) { mem_free(of_conn(c)); }

static void tell(const struct relay *r, enum reason reason) {
    struct passed p = {
        .gateway = r->env->law->gateway,
        .listener = str_mk(r->listener, r->listener_n),
        .sni = str_mk(r->sni, r->sni_n),
        .protocol = r->tls ? "tls" : "tcp",
        .endpoint = r->attempts > 0 ? &r->endpoint : NULL,
        .reason = reason,
        .attempts = r->attempts,
        .received = r->there.bytes,
        .sent = r->back.bytes,
        .start_ns = r->start_ns,
        .total_ns = loop_clock_ns() - r->start_ns,
        .connect_ns = r->connect_ns,
    };
    addr_v6(&r->peer, p.client);
    counter_add(&r->counts->closed, 1);
    counter_add(&r->counts->reasons[reason], 1);
    if (r->env->passed != NULL)
        r->env->passed(r->env->arg, &p);
}

static void close_channel(struct relay *r, struct way *w) {
    r->env->n_channels -= w->channel.open;
    w->large = 0;
    channel_close(&w->channel);
}

static void drop_upstream(struct relay *r) {
    struct upstream *u = r->up;
    r->up = NULL;
    if (u == NULL)
        return;
    conn_unlend(upstream_conn(u));
    upstream_release(u, NULL, false);
}

/* With a reason both ends are reset: what they had is not whole. */
static void end(struct relay *r, enum reason reason) {
    if (r->over)
        return;
    r->over = true;
    upstream_unwait(&r->waiter);
    timer_fini(&r->timer);
    conn_unlend(&r->conn);
    close_channel(r, &r->there);
    close_channel(r, &r->back);
    tell(r, reason);
    if (r->up != NULL && reason != REASON_NONE)
        conn_will_reset(upstream_conn(r->up));
    drop_upstream(r);
    list_del(&r->link);
    counter_sub(&r->env->n, 1);
    conn_close(&r->conn, reason != REASON_NONE, freed);
}

/* ---- bytes ---- */

static void touch(struct relay *r) {
    if (r->idle_ms != UINT32_MAX)
        timer_set(r->env->loop->wheel, &r->timer, r->env->loop->now_ms + r->idle_ms);
}

static bool way_is_over(const struct way *w) { return w->ended && conn_pending(w->to) == 0; }

static void maybe_end(struct relay *r) {
    if (way_is_over(&r->there) && way_is_over(&r->back))
        end(r, REASON_NONE);
}

static void finish_way(struct relay *r, struct way *w) {
    w->ended = true;
    close_channel(r, w);
    conn_shutdown(w->to);
    maybe_end(r);
}

static void read_failed(struct relay *r, const struct way *w, enum io io) {
    bool client = w == &r->there;
    if (io == IO_NOMEM || io == IO_FULL)
        end(r, REASON_OVERLOADED);
    else
        end(r, client ? REASON_CLIENT_CLOSED : REASON_UPSTREAM_RESET);
}

static void count(struct way *w, size_t n) {
    w->bytes += n;
    counter_add(w->counted, n);
}

/* Nothing of it is in a buffer, and neither end needs more done to its bytes. */
static void widen(struct relay *r, struct way *w) {
    if (w->large < LARGE_IN_A_ROW || w->from->tls != NULL || w->to->tls != NULL ||
        conn_pending(w->to) > 0 || r->env->n_channels == RELAY_CHANNELS_MAX ||
        !channel_open(&w->channel))
        return;
    r->env->n_channels++;
}

static void through_channel(struct relay *r, struct way *w) {
    size_t moved;
    enum io io = channel_move(&w->channel, w->from, w->to, &moved);
    count(w, moved);
    touch(r);
    if (io == IO_EOF)
        finish_way(r, w);
    else if (io == IO_FAIL)
        read_failed(r, w, io);
    else if (io == IO_FULL)
        end(r, w == &r->there ? REASON_UPSTREAM_RESET : REASON_CLIENT_CLOSED);
    else if (moved < LARGE && w->channel.held == 0 && !w->from->can_read)
        close_channel(r, w);
}

/* All that `from` has is one loan; the next one is read when `to` has taken it. */
static void pump(struct relay *r, struct way *w) {
    while (!r->over && !w->lent && !w->ended) {
        struct str in = conn_unread(w->from);
        if (in.n > 0) {
            w->lent = true;
            conn_lend(w->to, in.p, in.n, STR_NONE);
            touch(r);
            return;
        }
        if (unlikely(w->large >= LARGE_IN_A_ROW) && !w->channel.open)
            widen(r, w);
        if (w->channel.open) {
            through_channel(r, w);
            return;
        }
        enum io io = conn_read(w->from);
        if (io == IO_AGAIN)
            return;
        bool large = conn_unread(w->from).n >= LARGE;
        w->large = large ? (uint8_t)size_min(w->large + 1U, LARGE_IN_A_ROW) : 0;
        if (io == IO_EOF)
            finish_way(r, w);
        else if (io != IO_OK)
            read_failed(r, w, io);
    }
}

static void sent(struct relay *r, struct way *w, size_t lent, bool all) {
    count(w, lent);
    if (w->lent && lent > 0)
        conn_consume(w->from, lent);
    touch(r);
    w->lent = conn_lending(w->to);
    if (all && w->ended)
        maybe_end(r);
    else
        pump(r, w);
}

/* ---- the endpoint ---- */

static void attempt(struct relay *r);

/* The law of its listener as it is now; NULL: it is gone, or leads nowhere. */
static const struct backend *backend_of(const struct relay *r) {
    const struct snapshot *law = r->env->law;
    const struct listener_law *l = snapshot_same(law, r->port, str_mk(r->listener, r->listener_n));
    return l != NULL ? snapshot_backend(law, l->backend) : NULL;
}

static void result(struct relay *r, bool failed) {
    const struct backend *b = backend_of(r);
    if (b != NULL)
        upstream_result(&r->env->upstreams, b, &r->endpoint, failed);
}

static void another(struct relay *r, enum reason reason) {
    result(r, true);
    drop_upstream(r);
    r->tried.slot[r->tried.n++] = r->endpoint.slot;
    if (r->tried.n >= CONNECT_TRIES)
        end(r, reason);
    else
        attempt(r);
}

static void connect_to(struct relay *r, const struct backend *b, const struct endpoint *e) {
    struct loop *l = r->env->loop;
    uint64_t until = l->now_ms + b->connect_ms;
    switch (upstream_get(&r->env->upstreams, b, e, false, true, r, &r->waiter, &r->up)) {
    case UPSTREAM_REUSED:
    case UPSTREAM_CONNECTING:
        r->attempts++;
        side_deadline(&r->up->side, until);
        return;
    case UPSTREAM_WAIT:
        timer_set(l->wheel, &r->timer, until);
        return;
    case UPSTREAM_FULL:
        end(r, REASON_OVERLOADED);
        return;
    case UPSTREAM_NO_WAY:
        r->up = NULL;
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            end(r, REASON_OVERLOADED);
        else
            another(r, REASON_CONNECT_REFUSED);
        return;
    }
}

static uint32_t idle_of(const struct backend *b) {
    const struct model_timeouts *t = b->traffic != NULL ? b->traffic->timeouts : NULL;
    uint64_t ms = t != NULL ? t->idle_ms : 0;
    return ms == 0 ? RELAY_IDLE_MS : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void attempt(struct relay *r) {
    const struct backend *b = backend_of(r);
    if (b == NULL) {
        end(r, REASON_NO_BACKEND);
        return;
    }
    const struct endpoint *e = upstream_pick(&r->env->upstreams, b, &r->tried);
    if (e == NULL) {
        end(r, r->tried.n > 0 ? REASON_CONNECT_REFUSED : REASON_NO_ENDPOINT);
        return;
    }
    r->endpoint = *e;
    r->idle_ms = idle_of(b);
    r->proxy_version = b->proxy_version;
    connect_to(r, b, e);
}

static bool local_of(struct relay *r) {
    socklen_t n = sizeof(r->local);
    return r->told || getsockname(r->conn.fd, &r->local.sa, &n) == 0;
}

/* False: it should have, and cannot. */
static bool introduce(struct relay *r) {
    if (r->proxy_version == MODEL_PROXY_NONE)
        return true;
    char *p = conn_room(upstream_conn(r->up), PROXY_HEADER_WRITE_MAX);
    if (p == NULL || !local_of(r))
        return false;
    conn_wrote(
        upstream_conn(r->up),
        proxy_header_write(p, r->proxy_version == MODEL_PROXY_V1 ? 1 : 2, &r->peer, &r->local));
    return true;
}

/* ---- events of the endpoint's side ---- */

static void on_ready(struct upstream *u) {
    struct relay *r = u->owner;
    r->connect_ns += r->env->loop->now_ns - u->started_ns;
    timer_unset(&u->side.timer);
    result(r, false);
    r->joined = true;
    r->there = (struct way){&r->conn, upstream_conn(u), .counted = &r->counts->received};
    r->back = (struct way){upstream_conn(u), &r->conn, .counted = &r->counts->sent};
    if (!introduce(r)) {
        end(r, REASON_OVERLOADED);
        return;
    }
    touch(r);
    pump(r, &r->there);
    if (!r->over)
        pump(r, &r->back);
}

static void on_upstream_readable(struct upstream *u) {
    struct relay *r = u->owner;
    if (r->joined)
        pump(r, &r->back);
}

static void on_upstream_sent(struct upstream *u, size_t lent, bool all) {
    struct relay *r = u->owner;
    sent(r, &r->there, lent, all);
}

static void on_upstream_broken(struct upstream *u, enum conn_end why) {
    struct relay *r = u->owner;
    if (!r->joined)
        another(r, REASON_CONNECT_REFUSED);
    else
        end(r, why == CONN_RESET ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_CLOSED);
}

/* Only the connect has a deadline of its own. */
static void on_upstream_timeout(struct upstream *u) { another(u->owner, REASON_CONNECT_TIMEOUT); }

static void on_turn(struct waiter *w) {
    struct relay *r = container_of(w, struct relay, waiter);
    timer_unset(&r->timer);
    attempt(r);
}

static const struct upstream_ops upstream_ops = {
    .ready = on_ready,
    .readable = on_upstream_readable,
    .sent = on_upstream_sent,
    .broken = on_upstream_broken,
    .timeout = on_upstream_timeout,
    .turn = on_turn,
};

/* ---- events of the client's side ---- */

static void on_readable(struct conn *c) {
    struct relay *r = of_conn(c);
    if (r->joined)
        pump(r, &r->there);
}

static void on_flushed(struct conn *c, size_t lent, bool all) {
    struct relay *r = of_conn(c);
    sent(r, &r->back, lent, all);
}

static void on_broken(struct conn *c, enum conn_end why, int err) {
    (void)why, (void)err;
    end(of_conn(c), REASON_CLIENT_CLOSED);
}

static void on_nothing(struct conn *c) { (void)c; }

static const struct conn_ops conn_ops = {
    .readable = on_readable,
    .flushed = on_flushed,
    .fill = on_nothing,
    .connected = on_nothing,
    .secured = on_nothing,
    .broken = on_broken,
};

static void on_timer(struct timer *t) {
    struct relay *r = container_of(t, struct relay, timer);
    if (!r->joined)
        end(r, REASON_OVERLOADED); /* nobody left the queue in time */
    else
        end(r, r->there.lent ? REASON_UPSTREAM_TIMEOUT : REASON_CLIENT_TIMEOUT);
}

/* ---- what is counted ---- */

static struct relay_counts *counts_of(struct relay_env *env, struct str name) {
    for (uint64_t i = 0; i < env->n_counts; i++)
        if (str_eq(str_mk(env->counts[i].name, env->counts[i].name_n), name))
            return &env->counts[i];
    if (env->n_counts == RELAY_LISTENERS_MAX)
        return &env->counts[RELAY_LISTENERS_MAX];
    struct relay_counts *c = &env->counts[env->n_counts];
    memcpy(c->name, name.p, name.n);
    c->name_n = (uint8_t)name.n;
    __atomic_store_n(&env->n_counts, env->n_counts + 1, __ATOMIC_RELEASE);
    return c;
}

/* ---- life ---- */

void relays_init(struct relay_env *env, struct loop *l, uint32_t workers) {
    *env = (struct relay_env){.loop = l};
    list_init(&env->all);
    upstreams_init(&env->upstreams, l, &upstream_ops, NULL, workers);
    env->upstreams.as_it_is = true;
    struct relay_counts *others = &env->counts[RELAY_LISTENERS_MAX];
    memcpy(others->name, "other", 5);
    others->name_n = 5;
}

bool relays_make_room(struct relay_env *env, const struct snapshot *law) {
    return upstreams_adopt(&env->upstreams, law);
}

void relays_close_all(struct relay_env *env) {
    while (!list_empty(&env->all)) /* the end of one is the turn of another */
        end(list_entry(env->all.next, struct relay, link), REASON_DRAINING);
}

void relays_fini(struct relay_env *env) {
    must(list_empty(&env->all));
    upstreams_fini(&env->upstreams);
}

static void name_it(struct relay *r, struct str listener, struct str sni) {
    r->listener_n = (uint8_t)size_min(listener.n, LISTENER_NAME_MAX);
    memcpy(r->listener, listener.p, r->listener_n);
    r->sni_n = (uint8_t)sni.n;
    if (sni.n > 0)
        memcpy(r->sni, sni.p, sni.n);
    r->counts = counts_of(r->env, str_mk(r->listener, r->listener_n));
}

void relay_begin(struct relay_env *env, int fd, const struct newcomer *who,
                 const struct listener_law *l) {
    struct relay *r = mem_try_zero(sizeof(*r));
    if (r == NULL) {
        close(fd);
        return;
    }
    r->env = env;
    r->peer = who->peer;
    r->local = who->local;
    r->told = who->told;
    r->port = who->port;
    r->tls = l->model->protocol == MODEL_TLS;
    r->start_ns = who->start_ns;
    name_it(r, l->name, who->passed != NULL ? client_hello_name(&who->hello) : STR_NONE);
    timer_init(&r->timer, on_timer);
    list_init(&r->link);
    list_init(&r->waiter.link);
    if (conn_init(&r->conn, env->loop, fd, &conn_ops) != 0) {
        mem_free(r);
        return;
    }
    r->conn.read_size = SLAB_64K;
    list_append(&env->all, &r->link);
    counter_add(&env->n, 1);
    counter_add(&r->counts->opened, 1);
    attempt(r);
}
