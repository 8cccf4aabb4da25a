/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: connections to endpoints, kept warm between requests.
 */
#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/net/proxy_header.h"
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

void target_end(struct target *t) {
    if (t->orphan && t->n_conns == 0 && t->n_active == 0 && t->n_waiting == 0)
        target_free(t);
}

/* One that somebody uses ends with its last exchange. */
static void retire(struct line *l) {
    if (l->carrier != NULL && carrier_is_used(l->carrier))
        carrier_retire(l->carrier);
    else
        line_end(l);
}

static void close_idle(struct target *t) {
    list_each_safe(it, &t->idle)
        line_end(list_entry(it, struct line, link));
    list_each_safe(it, &t->shared)
        retire(list_entry(it, struct line, link));
    list_each_safe(it, &t->kept)
        retire(list_entry(it, struct line, link));
}

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
    list_init(&fresh->shared);
    list_init(&fresh->kept);
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

void line_free(struct line *l) {
    struct upstreams *us = l->up.home;
    if (!l->ended)
        return;
    carrier_free(l->carrier);
    h1_side_fini(&l->h1);
    if (us->n_free >= FREE_MAX) {
        mem_free(l);
        return;
    }
    list_push(&us->free, &l->link);
    us->n_free++;
}

static void freed(struct conn *c) {
    struct line *l = container_of(c, struct line, conn);
    l->ended = true;
    if (l->carrier == NULL || !carrier_is_used(l->carrier))
        line_free(l);
}

static void next_waiter(struct upstreams *us, struct target *t) {
    if (list_empty(&t->waiting))
        return;
    struct waiter *w = list_entry(t->waiting.next, struct waiter, link);
    upstream_unwait(w);
    us->ops->turn(w);
}

void line_idle(struct line *l, bool idle) {
    if (l->idle == idle)
        return;
    l->idle = idle;
    counter_add(&l->up.home->n_idle, idle ? 1 : (uint64_t)-1);
}

void line_end(struct line *l) {
    struct upstreams *us = l->up.home;
    if (l->conn.closed)
        return;
    line_idle(l, false);
    l->up.owner = NULL;
    timer_fini(&l->up.side.timer);
    list_del(&l->link);
    list_del(&l->own);
    l->up.target->n_conns--;
    counter_sub(&us->n_conns, 1);
    if (us->watch != NULL)
        us->watch->closed(us->watch_arg, l->backend_slot, l->backend_identity);
    conn_close(&l->conn, false, freed);
}

bool upstream_connecting(const struct upstream *u) {
    const struct line *l = u->line;
    return l->carrier != NULL ? !carrier_stands(l->carrier) : l->conn.connecting || l->conn.shaking;
}

bool upstream_is_over(const struct upstream *u) { return u->line->conn.closed; }

/* ---- events of a connection ---- */

/* Nobody uses it, and it said something: its end, or bytes that were not asked for. */
static void end_idle(struct line *l) {
    struct target *t = l->up.target;
    line_end(l);
    target_end(t);
}

/* What came was for TLS alone: a session, a change of keys. */
static bool is_quiet(struct conn *c) {
    return c->tls != NULL && !conn_peer_gone(c) && !conn_has_bytes(c);
}

static void on_readable(struct conn *c) {
    struct line *l = container_of(c, struct line, conn);
    if (l->up.owner != NULL)
        l->up.home->ops->readable(&l->up);
    else if (l->carrier != NULL)
        carrier_readable(l->carrier);
    else if (!is_quiet(c))
        end_idle(l);
}

static void on_flushed(struct conn *c, size_t lent, bool all) {
    struct line *l = container_of(c, struct line, conn);
    if (l->up.owner != NULL)
        l->up.home->ops->sent(&l->up, lent, all);
    else if (l->carrier != NULL)
        carrier_flushed(l->carrier, all);
}

static void on_fill(struct conn *c) { carrier_fill(container_of(c, struct line, conn)->carrier); }

static void count_handshake(const struct line *l, enum upstream_handshake how) {
    const struct upstreams *us = l->up.home;
    if (us->watch != NULL)
        us->watch->secured(us->watch_arg, l->backend_slot, l->backend_identity, how);
}

static void on_connected(struct conn *c) {
    struct line *l = container_of(c, struct line, conn);
    if (l->carrier != NULL && c->tls != NULL && !str_eq(tls_protocol(c), STR("h2"))) {
        tls_client_blame("it does not offer h2 (ALPN)");
        count_handshake(l, HANDSHAKE_FAILED);
        carrier_broken(l->carrier, CONN_INSECURE);
        return;
    }
    if (c->tls != NULL)
        count_handshake(l, tls_client_resumed(c) ? HANDSHAKE_RESUMED : HANDSHAKE_FULL);
    if (l->carrier != NULL)
        carrier_connected(l->carrier);
    else
        l->up.home->ops->ready(&l->up);
}

static void on_broken(struct conn *c, enum conn_end why, int err) {
    struct line *l = container_of(c, struct line, conn);
    (void)err;
    if (c->shaking || why == CONN_INSECURE)
        count_handshake(l, HANDSHAKE_FAILED);
    if (l->carrier != NULL)
        carrier_broken(l->carrier, c->shaking ? CONN_INSECURE : why);
    else if (l->up.owner != NULL)
        l->up.home->ops->broken(&l->up, c->shaking ? CONN_INSECURE : why);
    else
        end_idle(l);
}

static const struct conn_ops conn_ops = {
    .readable = on_readable,
    .flushed = on_flushed,
    .fill = on_fill,
    .connected = on_connected,
    .broken = on_broken,
};

static void on_timer(struct timer *t) {
    struct line *l = container_of(t, struct line, up.side.timer);
    if (l->carrier != NULL)
        carrier_timeout(l->carrier);
    else if (l->up.owner != NULL)
        l->up.home->ops->timeout(&l->up);
    else
        end_idle(l);
}

/* ---- a new connection ---- */

static struct line *take_free(struct upstreams *us) {
    struct list *n = list_pop(&us->free);
    if (n == NULL)
        return mem_try(sizeof(struct line));
    us->n_free--;
    return list_entry(n, struct line, link);
}

static bool speaks_h2(const struct upstreams *us, const struct backend *b) {
    return b->protocol != MODEL_H1 && !us->as_it_is;
}

static bool speak_h2(struct line *l, const struct backend *b, bool shared) {
    struct target *t = l->up.target;
    l->carrier = carrier_new(l, b);
    if (l->carrier != NULL)
        list_append(shared ? &t->shared : &t->kept, &l->link);
    return l->carrier != NULL;
}

/* Whether connections begin with a PROXY header. One that names a client is that client's alone. */
static bool introduces(const struct upstreams *us, const struct backend *b) {
    return b->proxy_version != MODEL_PROXY_NONE && !us->as_it_is;
}

/* who: NULL where it is we who ask. False, with errno: it cannot be said now. */
static bool introduce(struct line *l, const struct backend *b, const struct visitor *who) {
    unsigned version = b->proxy_version == MODEL_PROXY_V1 ? 1 : 2;
    char *p = conn_room(&l->conn, PROXY_HEADER_WRITE_MAX);
    struct addr local;
    bool known = who == NULL || visitor_local(who, &local);
    errno = ENOMEM;
    if (p == NULL || !known)
        return false;
    size_t n = proxy_header_write(p, version, who != NULL ? &who->peer : NULL, &local);
    conn_wrote_first(&l->conn, (uint8_t)n);
    return true;
}

/* In clear, or as the backend's policy says; -1 with errno, EPROTO: that cannot be done. */
static int connect_to(struct line *l, const struct backend *b, const struct endpoint *e) {
    struct upstreams *us = l->up.home;
    struct addr to = addr_of(e);
    if (us->as_it_is || b->model->tls == NULL)
        return conn_connect(&l->conn, us->loop, &to, &conn_ops);
    struct tls_client *client = trust_of(&us->trusts, b);
    if (client != NULL)
        return conn_connect_secure(&l->conn, us->loop, &to, &conn_ops, client,
                                   &l->up.target->memory);
    errno = EPROTO;
    return -1;
}

static struct visitor *visitor_of(const struct upstreams *us, const void *owner) {
    return us->ops->visitor != NULL ? us->ops->visitor(owner) : NULL;
}

/* What a connection begins with: a PROXY header, HTTP/2's preface. False, with errno: it cannot. */
static bool greet(struct line *l, const struct backend *b, const void *owner) {
    struct upstreams *us = l->up.home;
    bool introduced = introduces(us, b);
    struct visitor *who = introduced ? visitor_of(us, owner) : NULL;
    if (who != NULL) {
        list_append(&who->lines, &l->own);
        l->rests = &l->up.target->kept;
    }
    if (introduced && !introduce(l, b, who))
        return false;
    errno = ENOMEM;
    return !speaks_h2(us, b) || speak_h2(l, b, who == NULL);
}

__attribute__((noinline)) static struct line *dial(struct upstreams *us, struct target *t,
                                                   const struct backend *b,
                                                   const struct endpoint *e, const void *owner) {
    struct line *l = take_free(us);
    if (l == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    *l = (struct line){.up = {.side = {.codec = &upstream_h1, .own = &l->h1, .loop = us->loop},
                              .home = us,
                              .target = t,
                              .line = l,
                              .started_ns = us->loop->now_ns},
                       .h1 = {.conn = &l->conn},
                       .rests = &t->idle,
                       .backend_slot = b->slot};
    timer_init(&l->up.side.timer, on_timer);
    list_init(&l->link);
    list_init(&l->own);
    if (connect_to(l, b, e) != 0) {
        mem_free(l);
        return NULL;
    }
    l->conn.read_size = SLAB_64K; /* only while bytes are there; the pages that they touch count */
    t->n_conns++;
    counter_add(&us->n_conns, 1);
    counter_add(&us->connects, 1);
    if (us->watch != NULL)
        l->backend_identity = us->watch->opened(us->watch_arg, b);
    if (greet(l, b, owner))
        return l;
    int err = errno;
    line_end(l);
    errno = err;
    return NULL;
}

/* ---- get and release ---- */

/* Idle for longer than that it may be stale: the endpoint's end of it is on its way. */
static uint32_t fresh_ms(const struct backend *b, bool careful) {
    return careful && b->keepalive_idle_ms > FRESH_ENOUGH_MS ? FRESH_ENOUGH_MS
                                                             : b->keepalive_idle_ms;
}

static struct line *reuse(struct upstreams *us, struct target *t, const struct backend *b,
                          bool careful) {
    if (list_empty(&t->idle))
        return NULL;
    struct line *l = list_entry(t->idle.next, struct line, link);
    if (us->loop->now_ms - l->idle_since_ms >= fresh_ms(b, careful))
        return NULL; /* all others are older still */
    list_del(&l->link);
    line_idle(l, false);
    return l;
}

static bool takes_stream(const struct line *l, uint32_t idle_ms) {
    return carrier_has_room(l->carrier) && carrier_idle_ms(l->carrier) < idle_ms;
}

/* The oldest one that takes one more stream, so that later ones fall idle again. */
static struct line *share(struct target *t, uint32_t idle_ms) {
    list_each(it, &t->shared) {
        struct line *l = list_entry(it, struct line, link);
        if (takes_stream(l, idle_ms))
            return l;
    }
    return NULL;
}

/* One of the client's own. */
__attribute__((noinline)) static struct line *own(struct visitor *who, const struct target *t,
                                                  const struct backend *b, bool careful,
                                                  bool fresh) {
    uint32_t idle_ms = fresh_ms(b, careful);
    list_each(it, &who->lines) {
        struct line *l = list_entry(it, struct line, own);
        if (l->up.target != t)
            continue;
        if (l->carrier != NULL && takes_stream(l, idle_ms))
            return l;
        if (!l->idle || fresh || t->home->loop->now_ms - l->idle_since_ms >= idle_ms)
            continue;
        list_del(&l->link);
        line_idle(l, false);
        return l;
    }
    return NULL;
}

/* One that nobody uses, the oldest where that is known; NULL: there is none. */
static struct line *spare(const struct target *t) {
    if (!list_empty(&t->idle))
        return list_entry(t->idle.prev, struct line, link);
    for (struct list *it = t->kept.prev; it != &t->kept; it = it->prev) {
        struct line *l = list_entry(it, struct line, link);
        if (l->carrier == NULL || !carrier_is_used(l->carrier))
            return l;
    }
    return NULL;
}

/* This worker's share of a limit for the whole proxy. */
static uint32_t share_of(const struct upstreams *us, uint32_t limit) {
    return limit == UINT32_MAX ? limit : (limit + us->workers - 1) / us->workers;
}

static enum upstream_got wait_for_one(struct upstreams *us, struct target *t,
                                      const struct backend *b, struct waiter *w) {
    if (t->n_waiting >= share_of(us, b->max_pending))
        return UPSTREAM_FULL;
    w->target = t;
    list_append(&t->waiting, &w->link);
    t->n_waiting++;
    counter_add(&us->n_waiting, 1);
    return UPSTREAM_WAIT;
}

enum upstream_got upstream_get(struct upstreams *us, const struct backend *b,
                               const struct endpoint *e, bool careful, bool fresh, void *owner,
                               struct waiter *w, struct upstream **u) {
    struct target *t = target_of(us, e);
    bool shares = speaks_h2(us, b);
    *u = NULL;
    if (t == NULL) {
        errno = ENOMEM;
        return UPSTREAM_NO_WAY;
    }
    struct visitor *who = unlikely(introduces(us, b)) ? visitor_of(us, owner) : NULL;
    struct line *l = unlikely(who != NULL) ? own(who, t, b, careful, fresh)
                     : shares              ? share(t, fresh_ms(b, careful))
                     : fresh               ? NULL
                                           : reuse(us, t, b, careful);
    if (l == NULL && t->n_conns >= share_of(us, b->max_connections)) {
        struct line *old = spare(t); /* too old for this request, or another client's */
        if (old == NULL)
            return wait_for_one(us, t, b, w);
        line_end(old);
    }
    bool reused = l != NULL && !upstream_connecting(&l->up);
    if (l == NULL)
        l = dial(us, t, b, e, owner);
    if (l != NULL)
        *u = shares ? carrier_ask(l->carrier) : &l->up;
    if (*u == NULL)
        return UPSTREAM_NO_WAY;
    (*u)->owner = owner;
    t->n_active++;
    return reused ? UPSTREAM_REUSED : UPSTREAM_CONNECTING;
}

struct conn *upstream_conn(struct upstream *u) {
    return &u->line->conn;
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

static void put_back(struct line *l, const struct backend *b, bool reuse_it) {
    struct upstreams *us = l->up.home;
    struct target *t = l->up.target;
    bool full = reuse_it && b->max_requests != UINT32_MAX && ++l->requests >= b->max_requests;
    if (!reuse_it || t->orphan || full || l->rests == NULL || !is_clean(&l->conn)) {
        line_end(l);
        return;
    }
    l->up.owner = NULL;
    l->up.side.heard = false;
    h1_side_reset(&l->h1);
    l->idle_since_ms = us->loop->now_ms;
    list_push(l->rests, &l->link);
    line_idle(l, true);
    side_deadline(&l->up.side, us->loop->now_ms + b->keepalive_idle_ms);
}

void upstream_release(struct upstream *u, const struct backend *b, bool reuse_it) {
    struct upstreams *us = u->home;
    struct target *t = u->target;
    t->n_active--;
    t->n_waiting++; /* holds the target while others are served from here */
    if (u->line->carrier != NULL)
        carrier_release(u, reuse_it);
    else
        put_back(u->line, b, reuse_it);
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
    if (getpeername(u->line->conn.fd, &peer.sa, &n) == 0)
        addr_print(&peer, &address);
    log_warn("tls",
             "TLS with an endpoint failed backend=%.*s endpoint=%.*s reason=\"%s\" unsaid=%u",
             STR_FMT(b->name), STR_FMT(out_done(&address)), tls_client_words(), unsaid);
}

void target_turns(struct target *t) {
    for (uint32_t n = t->n_waiting; n > 0 && !list_empty(&t->waiting); n--) {
        if (share(t, UINT32_MAX) == NULL && spare(t) == NULL)
            return;
        next_waiter(t->home, t);
    }
}

void upstreams_part(struct visitor *who) {
    for (struct list *n; (n = list_pop(&who->lines)) != NULL;) {
        struct line *l = list_entry(n, struct line, own);
        struct target *t = l->up.target;
        l->rests = NULL;
        if (l->carrier != NULL || l->idle)
            retire(l);
        target_end(t);
    }
}

/* ---- all of a worker ---- */

void upstreams_init(struct upstreams *us, struct loop *l, const struct upstream_ops *ops,
                    struct h2_shared *h2, uint32_t workers) {
    *us = (struct upstreams){.loop = l, .ops = ops, .h2 = h2, .workers = workers};
    trusts_init(&us->trusts);
    list_init(&us->free);
}

bool upstreams_adopt(struct upstreams *us, const struct snapshot *s) {
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
    trusts_adopt(&us->trusts, s);
    return true;
}

/* What is still used carries resets that its endpoint has not taken. */
static void close_all(struct target *t) {
    close_idle(t);
    list_each_safe(it, &t->shared)
        carrier_over(list_entry(it, struct line, link)->carrier);
    list_each_safe(it, &t->kept)
        carrier_over(list_entry(it, struct line, link)->carrier);
}

void upstreams_fini(struct upstreams *us) {
    for (uint32_t i = 0; i < us->n_targets; i++)
        if (us->targets[i] != NULL)
            close_all(us->targets[i]);
    conns_end(us->loop);
    for (uint32_t i = 0; i < us->n_targets; i++)
        target_free(us->targets[i]);
    for (struct list *n; (n = list_pop(&us->free)) != NULL;)
        mem_free(list_entry(n, struct line, link));
    trusts_fini(&us->trusts);
    mem_free(us->targets);
    mem_free(us->cursors);
    *us = (struct upstreams){0};
}
