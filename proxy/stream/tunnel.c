/* SPDX-License-Identifier: Apache-2.0
 *
 * tunnel: after a 101 the two sides carry bytes of another protocol. Both ways are lent and repaid
 * as bodies are: nothing is copied, a slow end slows the other one, an idle tunnel holds no buffer.
 *
 *                  ┌────────── UP ──────────►
 *      client side │                         │ upstream side
 *                  ◄───────── DOWN ──────────┘
 *
 *     FLOWING ──► CLOSING ──────────────► ENDING ──► over
 *        │  idle, age, drain: WebSocket     ▲ an end (FIN, END_STREAM) is due on both ways
 *        │  gets a Close on both ways,      │
 *        │  between two frames              │
 *        └── both ends have come ───────────┴── other protocols; the client has said Close;
 * GRACE_MS
 *
 * An end of one way is passed on and the other way goes on, but not for longer than HALF_MS without
 * a byte. A reset of one side is one for the other.
 *
 * A tunnel is on no snapshot: it would hold the configuration of the day on which it began. What it
 * must know until its end it has copied; its rule is looked up again for the record.
 */
#include "proxy/stream/parts.h"

#include "lib/mem.h"
#include "proxy/http/websocket.h"

enum {
    UP,
    DOWN,
    WAYS,
    HALF_MS = 60000,
    GRACE_MS = 3000, /* for the client's Close, then for what waits to be sent */
    JITTER = 10,     /* a tunnel's age ends up to so many per cent earlier */
};

enum phase { FLOWING, CLOSING, ENDING };

enum end {
    END_NONE,
    CLIENT_CLOSED,
    UPSTREAM_CLOSED,
    CLIENT_RESET,
    UPSTREAM_RESET,
    IDLE,
    MAX_AGE,
    DRAIN
};
static const char *const end_names[] = {
    [END_NONE] = "failed",
    [CLIENT_CLOSED] = "client_closed",
    [UPSTREAM_CLOSED] = "upstream_closed",
    [CLIENT_RESET] = "client_reset",
    [UPSTREAM_RESET] = "upstream_reset",
    [IDLE] = "idle",
    [MAX_AGE] = "max_age",
    [DRAIN] = "drain",
};

struct way {
    struct frames frames;
    uint32_t dropped; /* bytes of the loan that are not passed on */
    bool over;        /* its end was passed on */
    bool said;        /* our Close was: what comes is thrown away */
    bool deaf;        /* nothing of it can be sent any more */
};

struct tunnel {
    struct stream *stream;
    struct list link;   /* stream_env.tunnels */
    struct timer timer; /* idle, age, drain, grace */
    struct way ways[WAYS];
    uint64_t idle_ms;
    uint64_t moved_ms;           /* last byte either way */
    uint64_t ends_ms;            /* its age, or the drain's */
    uint64_t grace_ms;           /* when it is cut; 0: not closing */
    uint64_t opened_bytes[WAYS]; /* of the heads: they were the request's */
    enum phase phase : 8;
    enum end end : 8;
    bool drains;   /* ends_ms is the drain's */
    bool recorded; /* that it is open */
    char bye[2][FRAME_BYE_MAX];
    struct endpoint endpoint;
    uint32_t rule_slot;
    uint64_t rule_hash;
    uint32_t route_n; /* namespace/name/rule */
    char route[];
};

/* ---- two sides, two ways ---- */

static struct side *from_of(struct stream *st, int way) {
    return way == UP ? &st->client->side : &st->up->side;
}
static struct side *to_of(struct stream *st, int way) {
    return way == UP ? &st->up->side : &st->client->side;
}

static void because(struct tunnel *t, enum end why) {
    if (t->end == END_NONE)
        t->end = why;
}

static bool is_lost(const struct tunnel *t) {
    return t->ways[UP].frames.lost || t->ways[DOWN].frames.lost;
}

static bool flushed(struct stream *st, int way) {
    return st->tunnel->ways[way].deaf || side_pending(to_of(st, way)) == 0;
}

/* ---- timers ---- */

static void on_timer(struct timer *timer);

/* The timer is lazy: bytes only move moved_ms, and it looks when it comes up. */
static void set_timer(struct stream *st) {
    struct tunnel *t = st->tunnel;
    bool half = t->ways[UP].over || t->ways[DOWN].over;
    uint64_t idle = t->moved_ms + (half ? size_min(t->idle_ms, HALF_MS) : t->idle_ms);
    uint64_t at = t->ends_ms < idle ? t->ends_ms : idle;
    timer_set(st->env->loop->wheel, &t->timer, t->grace_ms != 0 ? t->grace_ms : at);
}

static uint64_t drain_by(struct stream_env *env) {
    uint64_t now = env->loop->now_ms, end = env->tunnels_end_ms, left = end > now ? end - now : 0;
    return now + left / 2 + prng_below(&env->loop->prng, (uint32_t)(left * 2 / 5) + 1);
}

static void drain(struct stream *st) {
    struct tunnel *t = st->tunnel;
    uint64_t by = drain_by(st->env);
    if (by >= t->ends_ms)
        return;
    t->ends_ms = by;
    t->drains = true;
}

void stream_env_drain(struct stream_env *env, uint64_t ms) {
    env->tunnels_end_ms = env->loop->now_ms + ms;
    list_each(it, &env->tunnels) {
        struct stream *st = list_entry(it, struct tunnel, link)->stream;
        drain(st);
        set_timer(st);
    }
}

/* ---- the end ---- */

/* All was said: the connections end, as they do behind an answer that is not kept. */
static void finish(struct stream *st) {
    st->keep = st->reusable = false;
    stream_finish(st);
}

static void reset(struct stream *st, enum end why, enum reason reason) {
    because(st->tunnel, why);
    stream_cut(st, reason);
}

/* Of the loan of a way n bytes were sent, and when nothing is lent any more its rest is not needed
 * either. */
static void repaid(struct stream *st, int way, size_t n) {
    struct side *from = from_of(st, way);
    struct way *w = &st->tunnel->ways[way];
    if (!from->loan.open)
        return;
    if (n > 0)
        side_repay(from, n);
    if (from->loan.open && w->dropped > 0 && from->loan.left == w->dropped)
        side_repay(from, w->dropped);
    if (!from->loan.open)
        w->dropped = 0;
}

/* ---- moving ---- */

/* What is due on a way before anything else is. True: it was lent. */
static bool say(struct stream *st, int way) {
    struct tunnel *t = st->tunnel;
    struct way *w = &t->ways[way];
    if (t->phase == ENDING && !w->over) {
        w->over = true;
        (void)side_lend(to_of(st, way), STR_NONE, true); /* it needs no room */
        return true;
    }
    if (t->phase != CLOSING || w->said || w->over || !frames_between(&w->frames))
        return false;
    bool masked = way == UP;
    uint32_t mask = (uint32_t)prng_next(&st->env->loop->prng);
    size_t n = frame_bye(t->bye[way], masked, mask);
    w->said = true;
    (void)side_lend(to_of(st, way), str_mk(t->bye[way], n), false);
    return true;
}

static void note_close(struct tunnel *t, int way) {
    if (t->ways[way].frames.closed)
        because(t, way == UP ? CLIENT_CLOSED : UPSTREAM_CLOSED);
}

/* A piece was taken: on with it. False: no memory. */
static bool pass(struct stream *st, int way, struct str piece, bool last) {
    struct tunnel *t = st->tunnel;
    struct way *w = &t->ways[way];
    struct side *from = from_of(st, way);
    size_t n = frames_pass(&w->frames, piece, t->phase == CLOSING && !w->said);
    if (way == UP)
        st->request_bytes += piece.n;
    else
        st->response_bytes += piece.n;
    t->moved_ms = st->env->loop->now_ms;
    note_close(t, way);
    if (last) {
        because(t, way == UP ? CLIENT_CLOSED : UPSTREAM_CLOSED);
        w->over = true;
    }
    if (w->said || w->deaf)
        n = 0;
    w->dropped = n > 0 ? (uint32_t)(piece.n - n) : 0;
    if (n == 0)
        side_repay(from, piece.n);
    return (n == 0 && !last) || w->deaf || side_lend(to_of(st, way), str_mk(piece.p, n), last);
}

/* All that a way can do now. False: the stream is gone. */
static bool pump(struct stream *st, int way) {
    struct way *w = &st->tunnel->ways[way];
    struct side *from = from_of(st, way), *to = to_of(st, way);
    while (!from->loan.open && !side_lending(to)) {
        struct str piece;
        bool last;
        if (say(st, way))
            continue;
        if (w->over)
            break;
        switch (side_take(from, &piece, &last)) {
        case BODY_AGAIN:
            return true;
        case BODY_PIECE:
            if (pass(st, way, piece, last))
                continue;
            break;
        case BODY_BAD:
        case BODY_CUT:
        case BODY_RESET:
            reset(st, way == UP ? CLIENT_RESET : UPSTREAM_RESET, REASON_NONE);
            return false;
        case BODY_NOMEM:
            break;
        }
        reset(st, END_NONE, REASON_OVERLOADED);
        return false;
    }
    return true;
}

static void begin_ending(struct stream *st) {
    struct tunnel *t = st->tunnel;
    t->phase = ENDING;
    t->grace_ms = st->env->loop->now_ms + GRACE_MS;
}

/* After something has moved. The stream may be gone after it. */
static void settle(struct stream *st) {
    struct tunnel *t = st->tunnel;
    struct way *down = &t->ways[DOWN];
    bool parted =
        (t->ways[UP].frames.closed || t->ways[UP].over) && (down->said || down->frames.closed);
    if (t->phase == CLOSING && parted && flushed(st, DOWN)) {
        begin_ending(st);
        if (!pump(st, DOWN) || !pump(st, UP))
            return;
    }
    if (t->ways[UP].over && t->ways[DOWN].over && flushed(st, UP) && flushed(st, DOWN))
        finish(st);
    else
        set_timer(st);
}

static void go(struct stream *st, int first) {
    if (pump(st, first) && pump(st, first == UP ? DOWN : UP))
        settle(st);
}

static void close_by_us(struct stream *st, enum end why) {
    struct tunnel *t = st->tunnel;
    because(t, why);
    t->phase = CLOSING;
    t->grace_ms = st->env->loop->now_ms + GRACE_MS;
    if (is_lost(t))
        begin_ending(st);
    go(st, DOWN);
}

static void on_timer(struct timer *timer) {
    struct tunnel *t = container_of(timer, struct tunnel, timer);
    struct stream *st = t->stream;
    uint64_t now = st->env->loop->now_ms;
    if (t->phase == ENDING && now >= t->grace_ms) {
        stream_cut(st, REASON_NONE); /* it takes nothing */
    } else if (t->phase == CLOSING && now >= t->grace_ms) {
        begin_ending(st);
        go(st, DOWN);
    } else if (t->phase == FLOWING && now >= t->ends_ms) {
        close_by_us(st, t->drains ? DRAIN : MAX_AGE);
    } else if (t->phase == FLOWING && now >= t->moved_ms + t->idle_ms) {
        close_by_us(st, IDLE);
    } else if (t->phase == FLOWING && (t->ways[UP].over || t->ways[DOWN].over) &&
               now >= t->moved_ms + HALF_MS) {
        begin_ending(st);
        go(st, DOWN);
    } else {
        set_timer(st);
    }
}

/* ---- events ---- */

void tunnel_client_readable(struct stream *st) { go(st, UP); }
void tunnel_upstream_readable(struct stream *st) { go(st, DOWN); }

void tunnel_client_sent(struct stream *st, size_t lent) {
    repaid(st, DOWN, lent);
    go(st, DOWN);
}

void tunnel_upstream_sent(struct stream *st, size_t lent) {
    repaid(st, UP, lent);
    go(st, UP);
}

void tunnel_client_gone(struct stream *st) {
    reset(st, st->env->tunnels_end_ms != 0 ? DRAIN : CLIENT_RESET, REASON_NONE);
}

/* It takes nothing more, but what it has said before may still be read. */
void tunnel_upstream_broken(struct stream *st, enum conn_end why) {
    struct tunnel *t = st->tunnel;
    struct side *from = &st->client->side;
    because(t, why == CONN_EOF ? UPSTREAM_CLOSED : UPSTREAM_RESET);
    t->ways[UP].deaf = t->ways[UP].over = true;
    side_unlend(&st->up->side);
    if (from->loan.open)
        side_repay(from, from->loan.left);
    go(st, DOWN);
}

/* ---- life ---- */

bool tunnel_agreed(const struct stream *st, const struct head *h) {
    return st->request_last && policy_upgraded(&st->x, h);
}

static void keep_route(struct tunnel *t, const struct rule *r) {
    t->rule_slot = r->slot;
    t->rule_hash = r->id_hash;
    memcpy(t->route, r->id.p + (r->id.n - t->route_n), t->route_n);
}

static void set_limits(struct tunnel *t, const struct rule *r, struct loop *l) {
    uint64_t idle = r->upgrade_idle_ms, age = r->upgrade_age_ms;
    t->moved_ms = l->now_ms;
    t->idle_ms = idle != UINT32_MAX ? idle : UINT64_MAX / 4;
    t->ends_ms = UINT64_MAX / 2;
    if (age != UINT32_MAX)
        t->ends_ms = l->now_ms + age - prng_below(&l->prng, (uint32_t)(age * JITTER / 100) + 1);
}

bool tunnel_prepare(struct stream *st) {
    const struct rule *r = st->x.rule;
    size_t n = size_min(r->id.n - size_min(sizeof("route/") - 1, r->id.n), UINT16_MAX);
    struct tunnel *t = mem_try_zero(sizeof(*t) + n);
    if (t == NULL)
        return false;
    t->stream = st;
    list_init(&t->link);
    timer_init(&t->timer, on_timer);
    t->ways[UP].frames.masked = true;
    t->ways[UP].frames.lost = t->ways[DOWN].frames.lost = !policy_is_websocket(&st->x);
    set_limits(t, r, st->env->loop);
    t->endpoint = *st->endpoint;
    t->route_n = (uint32_t)n;
    keep_route(t, r);
    st->tunnel = t;
    return true;
}

void tunnel_free(struct stream *st) {
    struct tunnel *t = st->tunnel;
    if (t == NULL)
        return;
    timer_fini(&t->timer);
    if (st->law == NULL)
        counter_sub(&st->env->n_tunnels, 1);
    list_del(&t->link);
    mem_free(t);
    st->tunnel = NULL;
}

/* It is counted as what it is now, and lets go of the snapshot. */
static void leave_law(struct stream *st) {
    struct stream_env *env = st->env;
    struct law *law = st->law;
    st->law = NULL;
    st->x.rule = NULL;
    st->x.match = NULL;
    st->x.snapshot = NULL;
    st->x.share = NULL;
    if (st->auth != NULL)
        auth_leave_law(st->auth);
    st->x.backend = st->backend = NULL;
    st->endpoint = &st->tunnel->endpoint;
    counter_sub(&env->n_streams, 1);
    counter_add(&env->n_tunnels, 1);
    law_drop(env, law);
}

void tunnel_begin(struct stream *st) {
    struct tunnel *t = st->tunnel;
    request_retry_over(st);
    timer_unset(&st->client->side.timer);
    timer_unset(&st->up->side.timer);
    side_tunnel(&st->client->side);
    side_tunnel(&st->up->side);
    stream_record(st);
    t->recorded = true;
    st->first_flush_ns = loop_clock_ns(); /* what is ours of its time ends here */
    t->opened_bytes[UP] = st->request_bytes;
    t->opened_bytes[DOWN] = st->response_bytes;
    leave_law(st);
    list_append(&st->env->tunnels, &t->link);
    if (st->env->tunnels_end_ms != 0)
        drain(st);
    go(st, DOWN);
}

void tunnel_record(const struct stream *st, struct record *r) {
    const struct tunnel *t = st->tunnel;
    if (!t->recorded) {
        r->of = RECORD_TUNNEL_OPEN;
        return;
    }
    const struct rule *rule = snapshot_rule(st->env->law->snapshot, t->rule_slot);
    r->of = RECORD_TUNNEL_END;
    r->rule = rule != NULL && rule->id_hash == t->rule_hash ? rule : NULL;
    r->route = str_mk(t->route, t->route_n);
    r->tunnel_end = end_names[t->end];
    r->head = NULL;
    r->request_bytes -= t->opened_bytes[UP];
    r->response_bytes -= t->opened_bytes[DOWN];
}
