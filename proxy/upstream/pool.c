/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: connections to endpoints, kept warm between requests.
 */
#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/upstream/target.h"

#include <errno.h>

enum { FREE_MAX = 256, FRESH_ENOUGH_MS = 1000, LINES = 10, LINES_SECONDS = 10 };

/* ---- targets ---- */

static void target_free(struct target *t) {
    if (t == NULL)
        return;
    tls_memory_fini(&t->memory);
    mem_free(t);
}

static void target_end(struct target *t) {
    if (t->orphan && t->n_conns == 0 && t->n_waiting == 0)
        target_free(t);
}

static void close_idle(struct target *t);

struct target *target_of(struct upstreams *us, const struct endpoint *e) {
    struct target *t = us->targets[e->slot];
    if (likely(t != NULL && t->generation == e->generation))
        return t;
    struct target *fresh = mem_try_zero(sizeof(*fresh));
    if (fresh == NULL)
        return NULL;
    fresh->home = us;
    fresh->slot = e->slot;
    fresh->generation = e->generation;
    list_init(&fresh->idle);
    list_init(&fresh->waiting);
    us->targets[e->slot] = fresh;
    if (t != NULL) {
        t->orphan = true;
        t->n_waiting++; /* holds it while its connections go */
        close_idle(t);
        t->n_waiting--;
        target_end(t);
    }
    return fresh;
}

static struct addr addr_of(const struct endpoint *e) {
    struct addr a;
    must(addr_set(&a, str_mk((const char *)e->address, e->family == 4 ? 4 : 16), e->port));
    return a;
}

/* ---- one connection ---- */

static void freed(struct conn *c) {
    struct upstream *u = container_of(c, struct upstream, conn);
    struct upstreams *us = u->home;
    if (us->n_free >= FREE_MAX) {
        mem_free(u);
        return;
    }
    list_push(&us->free, &u->link);
    us->n_free++;
}

static void next_waiter(struct upstreams *us, struct target *t) {
    if (list_empty(&t->waiting))
        return;
    struct waiter *w = list_entry(t->waiting.next, struct waiter, link);
    upstream_unwait(w);
    us->ops->turn(w);
}

static void end(struct upstream *u) {
    struct target *t = u->target;
    if (u->conn.closed)
        return;
    if (u->owner == NULL)
        counter_sub(&u->home->n_idle, 1);
    u->owner = NULL;
    timer_fini(&u->side.timer);
    list_del(&u->link);
    t->n_conns--;
    counter_sub(&u->home->n_conns, 1);
    if (u->home->watch != NULL)
        u->home->watch->closed(u->home->watch_arg, u->backend_slot, u->backend_identity);
    conn_close(&u->conn, false, freed);
}

static void close_idle(struct target *t) {
    list_each_safe(it, &t->idle)
        end(list_entry(it, struct upstream, link));
}

/* What came was for TLS alone: a session, a change of keys. */
static bool is_quiet(struct conn *c) {
    return c->tls != NULL && !conn_peer_gone(c) && !conn_has_bytes(c);
}

static void on_readable(struct conn *c) {
    struct upstream *u = container_of(c, struct upstream, conn);
    struct target *t = u->target;
    if (u->owner != NULL) {
        u->home->ops->readable(u);
        return;
    }
    if (is_quiet(c))
        return;
    end(u); /* idle: its end, or bytes that nobody asked for */
    target_end(t);
}

static void on_flushed(struct conn *c, size_t lent, bool all) {
    struct upstream *u = container_of(c, struct upstream, conn);
    if (u->owner != NULL)
        u->home->ops->sent(u, lent, all);
}

static void count_handshake(const struct upstream *u, enum upstream_handshake how) {
    const struct upstreams *us = u->home;
    if (us->watch != NULL)
        us->watch->secured(us->watch_arg, u->backend_slot, u->backend_identity, how);
}

static void on_connected(struct conn *c) {
    struct upstream *u = container_of(c, struct upstream, conn);
    if (c->tls != NULL)
        count_handshake(u, tls_client_resumed(c) ? HANDSHAKE_RESUMED : HANDSHAKE_FULL);
    u->home->ops->ready(u);
}

static void on_broken(struct conn *c, enum conn_end why, int err) {
    struct upstream *u = container_of(c, struct upstream, conn);
    struct target *t = u->target;
    (void)err;
    if (c->shaking || why == CONN_INSECURE)
        count_handshake(u, HANDSHAKE_FAILED);
    if (u->owner != NULL) {
        u->home->ops->broken(u, c->shaking ? CONN_INSECURE : why);
        return;
    }
    end(u);
    target_end(t);
}

static const struct conn_ops conn_ops = {
    .readable = on_readable,
    .flushed = on_flushed,
    .connected = on_connected,
    .broken = on_broken,
};

static void on_timer(struct timer *t) {
    struct upstream *u = container_of(t, struct upstream, side.timer);
    struct target *target = u->target;
    if (u->owner != NULL) {
        u->home->ops->timeout(u);
        return;
    }
    end(u);
    target_end(target);
}

static struct upstream *take_free(struct upstreams *us) {
    struct list *n = list_pop(&us->free);
    if (n == NULL)
        return mem_try(sizeof(struct upstream));
    us->n_free--;
    return list_entry(n, struct upstream, link);
}

/* In clear, or as the backend's policy says; -1 with errno, EPROTO: that cannot be done. */
static int connect_to(struct upstream *u, const struct backend *b, const struct endpoint *e) {
    struct upstreams *us = u->home;
    struct addr to = addr_of(e);
    if (us->as_it_is || b->model->tls == NULL)
        return conn_connect(&u->conn, us->loop, &to, &conn_ops);
    struct tls_client *client = trust_of(&us->trusts, b);
    if (client != NULL)
        return conn_connect_secure(&u->conn, us->loop, &to, &conn_ops, client, &u->target->memory);
    errno = EPROTO;
    return -1;
}

static struct upstream *dial(struct upstreams *us, struct target *t, const struct backend *b,
                             const struct endpoint *e) {
    struct upstream *u = take_free(us);
    if (u == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    *u = (struct upstream){.side = {.codec = &upstream_h1, .loop = us->loop},
                           .home = us,
                           .target = t,
                           .started_ns = us->loop->now_ns,
                           .backend_slot = b->slot};
    timer_init(&u->side.timer, on_timer);
    list_init(&u->link);
    if (connect_to(u, b, e) != 0) {
        mem_free(u);
        return NULL;
    }
    u->conn.read_size = SLAB_64K; /* only while bytes are there; the pages that they touch count */
    t->n_conns++;
    counter_add(&us->n_conns, 1);
    counter_add(&us->connects, 1);
    if (us->watch != NULL)
        u->backend_identity = us->watch->opened(us->watch_arg, b);
    return u;
}

/* ---- get and release ---- */

static struct upstream *reuse(struct upstreams *us, struct target *t, const struct backend *b,
                              bool careful) {
    uint32_t limit =
        careful && b->keepalive_idle_ms > FRESH_ENOUGH_MS ? FRESH_ENOUGH_MS : b->keepalive_idle_ms;
    if (list_empty(&t->idle))
        return NULL;
    struct upstream *u = list_entry(t->idle.next, struct upstream, link);
    if (us->loop->now_ms - u->idle_since_ms >= limit)
        return NULL; /* all others are older still */
    list_del(&u->link);
    counter_sub(&us->n_idle, 1);
    return u;
}

/* This worker's share of a limit for the whole proxy. */
static uint32_t share_of(const struct upstreams *us, uint32_t limit) {
    return limit == UINT32_MAX ? limit : (limit + us->workers - 1) / us->workers;
}

enum upstream_got upstream_get(struct upstreams *us, const struct backend *b,
                               const struct endpoint *e, bool careful, bool fresh, void *owner,
                               struct waiter *w, struct upstream **u) {
    struct target *t = target_of(us, e);
    if (t == NULL) {
        errno = ENOMEM;
        return UPSTREAM_NO_WAY;
    }
    *u = fresh ? NULL : reuse(us, t, b, careful);
    bool reused = *u != NULL;
    if (!reused && t->n_conns >= share_of(us, b->max_connections)) {
        if (!list_empty(&t->idle)) {
            end(list_entry(t->idle.prev, struct upstream, link)); /* too old for this request */
        } else {
            if (t->n_waiting >= share_of(us, b->max_pending))
                return UPSTREAM_FULL;
            w->target = t;
            list_append(&t->waiting, &w->link);
            t->n_waiting++;
            counter_add(&us->n_waiting, 1);
            return UPSTREAM_WAIT;
        }
    }
    if (!reused)
        *u = dial(us, t, b, e);
    if (*u == NULL)
        return UPSTREAM_NO_WAY;
    (*u)->owner = owner;
    (*u)->requests++;
    t->n_active++;
    return reused ? UPSTREAM_REUSED : UPSTREAM_CONNECTING;
}

void upstream_unwait(struct waiter *w) {
    if (w->target == NULL)
        return;
    struct target *t = w->target;
    w->target = NULL;
    list_del(&w->link);
    t->n_waiting--;
    counter_sub(&t->home->n_waiting, 1);
    target_end(t);
}

/* Nothing stands behind the answer: it would be taken for that of the next request. The socket is
 * asked only where the last read did not empty it. */
static bool is_clean(struct conn *c) {
    return conn_reusable(c) && (!c->can_read || !conn_has_bytes(c));
}

void upstream_release(struct upstream *u, const struct backend *b, bool reuse_it) {
    struct upstreams *us = u->home;
    struct target *t = u->target;
    bool full = reuse_it && b->max_requests != UINT32_MAX && u->requests >= b->max_requests;
    t->n_active--;
    t->n_waiting++; /* holds the target while others are served from here */
    if (reuse_it && !t->orphan && !full && is_clean(&u->conn)) {
        u->owner = NULL;
        u->scan = (struct h1_scan){0};
        u->side.heard = false;
        u->idle_since_ms = us->loop->now_ms;
        list_push(&t->idle, &u->link);
        counter_add(&us->n_idle, 1);
        side_deadline(&u->side, us->loop->now_ms + b->keepalive_idle_ms);
    } else {
        end(u);
    }
    next_waiter(us, t);
    t->n_waiting--;
    target_end(t);
}

void upstream_untrusted(const struct upstream *u, const struct backend *b) {
    struct upstreams *us = u->home;
    struct addr peer = {0};
    socklen_t n = sizeof(peer);
    char room[64];
    struct out address = out_fixed(room, sizeof(room));
    unsigned unsaid;
    if (!log_limited(&us->lines, (int64_t)(us->loop->now_ms / 1000), LINES, LINES_SECONDS, &unsaid))
        return;
    if (getpeername(u->conn.fd, &peer.sa, &n) == 0)
        addr_print(&peer, &address);
    log_warn("tls",
             "TLS with an endpoint failed backend=%.*s endpoint=%.*s reason=\"%s\" unsaid=%u",
             STR_FMT(b->name), STR_FMT(out_done(&address)), tls_client_words(), unsaid);
}

/* ---- all of a worker ---- */

void upstreams_init(struct upstreams *us, struct loop *l, const struct upstream_ops *ops,
                    uint32_t workers) {
    *us = (struct upstreams){.loop = l, .ops = ops, .workers = workers};
    list_init(&us->free);
    trusts_init(&us->trusts);
}

bool upstreams_adopt(struct upstreams *us, const struct snapshot *s) {
    trusts_adopt(&us->trusts, s);
    if (s->endpoint_slots > us->n_targets) {
        uint32_t n = s->endpoint_slots + s->endpoint_slots / 2;
        struct target **targets = mem_try_zero(n * sizeof(*targets));
        if (targets == NULL)
            return false;
        if (us->n_targets > 0)
            memcpy(targets, us->targets, us->n_targets * sizeof(*targets));
        mem_free(us->targets);
        us->targets = targets;
        us->n_targets = n;
    }
    if (s->backend_slots > us->n_cursors) {
        uint32_t n = s->backend_slots + s->backend_slots / 2;
        uint32_t *cursors = mem_try_zero(n * sizeof(*cursors));
        if (cursors == NULL)
            return false;
        for (uint32_t i = 0; i < n; i++) /* workers do not start at the same endpoint */
            cursors[i] =
                i < us->n_cursors ? us->cursors[i] : (uint32_t)(prng_next(&us->loop->prng) >> 48);
        mem_free(us->cursors);
        us->cursors = cursors;
        us->n_cursors = n;
    }
    return true;
}

static void close_all_idle(struct upstreams *us) {
    for (uint32_t i = 0; i < us->n_targets; i++)
        if (us->targets[i] != NULL)
            close_idle(us->targets[i]);
}

void upstreams_fini(struct upstreams *us) {
    close_all_idle(us);
    conns_end_turn(us->loop);
    for (uint32_t i = 0; i < us->n_targets; i++)
        target_free(us->targets[i]);
    trusts_fini(&us->trusts);
    for (struct list *n; (n = list_pop(&us->free)) != NULL;)
        mem_free(list_entry(n, struct upstream, link));
    mem_free(us->targets);
    mem_free(us->cursors);
    *us = (struct upstreams){0};
}
