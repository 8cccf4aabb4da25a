/* SPDX-License-Identifier: Apache-2.0
 *
 * mirror: copies of a request for further backends, whose answers are read and thrown away. A copy
 * has connections of its own (env->asides, another set of pools), so nothing that happens to it is
 * felt by the request: when its backend is slow or gone, or more of its body than a slab holds (64
 * KiB) could not be sent, the copy is given up and counted.
 *
 * It outlives its stream: it counts on the law itself.
 */
#include "proxy/stream/parts.h"

#include "lib/mem.h"
#include "proxy/upstream/aside.h"

enum { MIRROR_MS = 60000, HEAD_ROOM = 4096 };

static const struct upstream_ops mirror_ops;

struct mirror {
    struct aside aside;  /* first: the owner of its connection */
    struct mirror *next; /* of the same stream */
    struct list link;    /* env->copies */
    struct stream_env *env;
    struct law *law;
    struct upstream *up;
    const struct backend *backend;
    struct stream *stream;    /* NULL: it is over, nothing more will come */
    struct piece waits, lent; /* of the request's body: copies */
    bool whole;               /* the request came to its end */
    bool end_lent;            /* which was handed over */
    bool answered;            /* the final head was read */
    bool until_close;         /* the answer's body ends with the connection */
    bool empty;               /* it has none */
    uint8_t method;
};

static void mirror_free(struct mirror *m, bool sent) {
    struct stream_env *env = m->env;
    if (m->stream != NULL) {
        struct mirror **at = &m->stream->mirror;
        while (*at != m)
            at = &(*at)->next;
        *at = m->next;
    }
    piece_give(&env->loop->slabs, &m->waits);
    piece_give(&env->loop->slabs, &m->lent);
    list_del(&m->link);
    counter_add(sent ? &env->mirrored : &env->unmirrored, 1);
    law_drop(env, m->law);
    mem_free(m);
}

static void release(struct mirror *m, bool reuse) {
    if (!reuse && side_lending(&m->up->side))
        side_unlend(&m->up->side); /* its bytes go */
    upstream_release(m->up, m->backend, reuse);
}

static void give_up(struct mirror *m) {
    if (m->up != NULL)
        release(m, false);
    mirror_free(m, false);
}

/* ---- the request ---- */

static bool push_head(struct mirror *m, const struct exchange *x, size_t raw) {
    struct side *to = &m->up->side;
    size_t n = size_min(raw + HEAD_ROOM, slab_bytes(SLAB_64K));
    char *p = side_room(to, n);
    if (p == NULL)
        return false;
    struct out o = out_fixed(p, n);
    struct exchange copy = *x;
    copy.backend = m->backend;
    policy_write_request(&copy, &o);
    return side_head(to, o.over ? 0 : o.n, policy_request_framing(x), m->whole) && !o.over;
}

/* The next copy, when the last one went. */
static bool go_on(struct mirror *m) {
    struct side *to = &m->up->side;
    if (side_lending(to) || m->end_lent || (m->waits.n == 0 && !m->whole))
        return true;
    piece_give(&m->env->loop->slabs, &m->lent);
    m->lent = m->waits;
    m->waits = (struct piece){0};
    m->end_lent = m->whole;
    return side_lend(to, piece_str(&m->lent), m->whole);
}

static bool push_piece(struct mirror *m, struct str piece) {
    return (piece.n == 0 || piece_add(&m->env->loop->slabs, &m->waits, piece)) && go_on(m);
}

static bool drawn(struct stream *st, const struct model_mirror *f) {
    return f->denominator == 0 || prng_next(&st->env->loop->prng) % f->denominator < f->numerator;
}

/* The copy that the filter asks for, on its way; NULL: there is none. */
static struct mirror *copy(struct stream *st, const struct model_mirror *f) {
    static const struct tries none = {.n = 0};
    struct stream_env *env = st->env;
    uint32_t slot = rule_mirror(st->x.rule, f);
    const struct backend *b = slot != UINT32_MAX ? snapshot_backend(st->law->snapshot, slot) : NULL;
    bool open = b != NULL && b->refusal == REASON_NONE;
    const struct endpoint *e = open ? upstream_pick(&env->asides, b, &none) : NULL;
    struct mirror *m = e != NULL ? mem_try_zero(sizeof(*m)) : NULL;
    if (m == NULL) {
        counter_add(&env->unmirrored, 1);
        return NULL;
    }
    *m = (struct mirror){.aside = {.ops = &mirror_ops},
                         .env = env,
                         .law = law_hold(st->law),
                         .backend = b,
                         .stream = st,
                         .whole = st->request_last && st->held.n == 0,
                         .end_lent = st->request_last && st->held.n == 0,
                         .method = st->x.method,
                         .next = st->mirror};
    st->mirror = m;
    list_append(&env->copies, &m->link);
    switch (upstream_get(&env->asides, b, e, false, false, &m->aside, &m->aside.waiter, &m->up)) {
    case UPSTREAM_REUSED:
    case UPSTREAM_CONNECTING:
        side_deadline(&m->up->side, env->loop->now_ms + MIRROR_MS);
        return m;
    case UPSTREAM_WAIT: /* a copy does not queue */
        upstream_unwait(&m->aside.waiter);
        break;
    case UPSTREAM_FULL:
    case UPSTREAM_NO_WAY:
        m->up = NULL;
        break;
    }
    mirror_free(m, false);
    return NULL;
}

void mirror_begin(struct stream *st) {
    unsigned n = policy_n_filters(&st->x);
    for (unsigned i = 0; i < n; i++) {
        const struct model_filter *f = policy_filter(&st->x, i);
        if (f->type != MODEL_FILTER_MIRROR || f->mirror == NULL || !drawn(st, f->mirror))
            continue;
        struct mirror *m = copy(st, f->mirror);
        if (m != NULL && !push_head(m, &st->x, st->raw_n))
            give_up(m);
    }
}

void mirror_body(struct stream *st, struct str piece, bool last) {
    for (struct mirror *m = st->mirror, *next; m != NULL; m = next) {
        next = m->next;
        m->whole = last;
        if (!push_piece(m, piece))
            give_up(m);
    }
}

void mirror_forget(struct stream *st) {
    for (struct mirror *m = st->mirror, *next; m != NULL; m = next) {
        next = m->next;
        if (!m->whole) {
            give_up(m);
            continue;
        }
        m->stream = NULL;
        m->next = NULL;
    }
    st->mirror = NULL;
}

void mirrors_close_all(struct stream_env *env) {
    list_each_safe(it, &env->copies)
        give_up(list_entry(it, struct mirror, link));
}

/* ---- the answer, thrown away ---- */

static void finish(struct mirror *m, bool reuse) {
    release(m, reuse && m->end_lent && !side_lending(&m->up->side));
    mirror_free(m, true);
}

/* False: not complete, or the copy is gone. */
static bool read_head(struct mirror *m) {
    struct head *h = m->env->sessions.head;
    while (!m->answered) {
        enum reason reason;
        if (!side_answer(&m->up->side, (enum method)m->method, h, &reason)) {
            if (reason != REASON_NONE)
                finish(m, false);
            return false;
        }
        m->answered = h->status >= 200;
        m->until_close = h->framing == FRAMING_CLOSE;
        m->empty = !side_answered(&m->up->side, h);
    }
    return true;
}

static void on_readable(struct upstream *u) {
    struct mirror *m = u->owner;
    if (!read_head(m))
        return;
    for (bool last = m->empty; !last;) {
        struct str piece;
        enum body got = side_take(&u->side, &piece, &last);
        if (got == BODY_AGAIN)
            return;
        if (got != BODY_PIECE) {
            finish(m, false);
            return;
        }
        side_repay(&u->side, piece.n);
    }
    finish(m, !m->until_close);
}

static void on_ready(struct upstream *u) { (void)u; /* what it has to say waits in its buffer */ }
static void on_sent(struct upstream *u, size_t lent, bool all) {
    struct mirror *m = u->owner;
    (void)lent;
    if (all && !go_on(m))
        give_up(m);
}
static void on_broken(struct upstream *u, enum conn_end why) {
    struct mirror *m = u->owner;
    if (why == CONN_INSECURE)
        upstream_untrusted(u, m->backend);
    give_up(m);
}
static void on_timeout(struct upstream *u) { give_up(u->owner); }
static void on_turn(struct waiter *w) { (void)w; /* copies do not queue */ }

static struct visitor *visitor_of(const void *owner) {
    const struct mirror *m = owner;
    return m->stream->client->visitor;
}

static const struct upstream_ops mirror_ops = {
    .ready = on_ready,
    .readable = on_readable,
    .sent = on_sent,
    .broken = on_broken,
    .timeout = on_timeout,
    .turn = on_turn,
    .visitor = visitor_of,
};
