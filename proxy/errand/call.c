/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/errand/call.h"

#include "lib/mem.h"
#include "proxy/upstream/aside.h"

#include <errno.h>

/* One block: struct flight | head | body, and one for the answer's fields. */
struct flight {
    struct call call;
    struct aside aside;
    struct timer timer; /* of all of it */
    struct callers *callers;
    const struct backend *backend;
    const struct endpoint *endpoint;
    struct upstream *up; /* NULL: none, or done with */
    struct str head, body;
    struct out got; /* of the answer's body */
    uint32_t body_max;
    uint64_t end_ms;
    uint8_t method; /* enum method: HEAD, or one that has an answer with a body */
    bool starting;  /* call_start() has not returned yet */
    bool reused;    /* the connection is a pooled one */
    bool again;     /* it was tried on one before, which was stale */
    bool answered;  /* the final head was read */
    bool keep;      /* the connection, when the answer is complete */
};

static const struct upstream_ops call_ops;

static struct flight *flight_of(struct upstream *u) {
    return container_of((struct aside *)u->owner, struct flight, aside);
}

static void release(struct flight *f, bool reuse) {
    struct upstream *u = f->up;
    f->up = NULL;
    if (!u)
        return;
    bool lent = side_lending(&u->side);
    if (lent)
        side_unlend(&u->side);
    upstream_release(u, f->backend, reuse && !lent);
}

static void land(struct flight *f) {
    upstream_unwait(&f->aside.waiter);
    timer_fini(&f->timer);
}

static void drop(struct errand *e) {
    struct flight *f = container_of(e, struct flight, call.errand);
    release(f, false);
    land(f);
    out_fini(&f->got);
    mem_free((void *)(uintptr_t)f->call.fields);
    mem_free(f);
}

/* The flight may be gone after it. */
static void finish(struct flight *f, enum reason reason) {
    struct callers *c = f->callers;
    release(f, reason == REASON_NONE && f->keep);
    land(f);
    if (f->endpoint && reason != REASON_OVERLOADED)
        upstream_result(c->upstreams, f->backend, f->endpoint, reason != REASON_NONE);
    if (reason != REASON_NONE)
        counter_add(&c->n_failed, 1);
    if (!f->starting) {
        errand_done(&f->call.errand, reason);
        return;
    }
    f->call.errand.is_done = true;
    f->call.errand.reason = reason;
}

/* ---- the question ---- */

static void ask(struct flight *f) {
    struct side *to = &f->up->side;
    char *p = side_room(to, f->head.n);
    bool whole = f->body.n == 0;
    if (p)
        memcpy(p, f->head.p, f->head.n);
    side_deadline(to, f->end_ms);
    if (!p || !side_head(to, f->head.n, whole ? FRAMING_NONE : FRAMING_LENGTH, whole) ||
        (!whole && !side_lend(to, f->body, true)))
        finish(f, REASON_OVERLOADED);
}

static void attempt(struct flight *f) {
    struct upstreams *us = f->callers->upstreams;
    switch (upstream_get(us, f->backend, f->endpoint, false, f->again, &f->aside, &f->aside.waiter,
                         &f->up)) {
    case UPSTREAM_REUSED:
        f->reused = !f->again;
        ask(f);
        return;
    case UPSTREAM_CONNECTING:
        f->reused = false;
        side_deadline(&f->up->side, f->end_ms);
        return;
    case UPSTREAM_WAIT:
        return;
    case UPSTREAM_FULL:
        finish(f, REASON_OVERLOADED);
        return;
    case UPSTREAM_NO_WAY:
        f->up = NULL;
        finish(f, errno == EPROTO         ? REASON_TLS_FAILED
                  : errno == ECONNREFUSED ? REASON_CONNECT_REFUSED
                                          : REASON_OVERLOADED);
        return;
    }
}

static struct flight *flight_new(struct callers *c, const struct call_want *want) {
    struct flight *f = mem_try(sizeof(*f) + want->head.n + want->body.n);
    if (!f)
        return NULL;
    char *text = (char *)(f + 1);
    *f = (struct flight){.aside = {.ops = &call_ops},
                         .callers = c,
                         .backend = want->backend,
                         .head = str_mk(text, want->head.n),
                         .body = str_mk(text + want->head.n, want->body.n),
                         .got = out_heap((size_t)want->body_max + TRAILERS_MAX),
                         .body_max = want->body_max,
                         .end_ms = c->loop->now_ms + want->timeout_ms,
                         .method = want->head_request ? METHOD_HEAD : METHOD_POST,
                         .starting = true};
    memcpy(text, want->head.p, want->head.n);
    if (want->body.n > 0)
        memcpy(text + want->head.n, want->body.p, want->body.n);
    return f;
}

static void on_timer(struct timer *t) {
    finish(container_of(t, struct flight, timer), REASON_UPSTREAM_TIMEOUT);
}

struct call *call_start(struct callers *c, struct errands *all, const void *about,
                        const struct call_want *want) {
    static const struct tries none = {.n = 0};
    struct flight *f = flight_new(c, want);
    if (!f)
        return NULL;
    counter_add(&c->n_calls, 1);
    errand_begin(all, &f->call.errand, about, drop);
    timer_init(&f->timer, on_timer);
    timer_set(c->loop->wheel, &f->timer, f->end_ms);
    bool open = f->backend && f->backend->refusal == REASON_NONE;
    f->endpoint = open ? upstream_pick(c->upstreams, f->backend, &none) : NULL;
    if (f->endpoint)
        attempt(f);
    else
        finish(f, !f->backend ? REASON_NO_BACKEND
                  : open      ? REASON_NO_ENDPOINT
                              : f->backend->refusal);
    f->starting = false;
    return &f->call;
}

/* ---- the answer ---- */

static bool keep_fields(struct flight *f, const struct head *h) {
    size_t bytes = 0;
    uint32_t n = 0;
    if (h->n_fields > CALL_FIELDS_MAX || h->n > CALL_HEAD_MAX)
        return false;
    for (unsigned i = 0; i < h->n_fields; i++)
        bytes += h->fields[i].name.n + (size_t)h->fields[i].value.n;
    struct call_field *list = mem_try(h->n_fields * sizeof(*list) + bytes + 1);
    if (!list)
        return false;
    char *at = (char *)(list + h->n_fields);
    for (unsigned i = 0; i < h->n_fields; i++) {
        struct str name = head_name(h, &h->fields[i]), value = head_value(h, &h->fields[i]);
        if (h->fields[i].dropped)
            continue;
        memcpy(at, name.p, name.n);
        memcpy(at + name.n, value.p, value.n);
        list[n++] = (struct call_field){str_mk(at, name.n), str_mk(at + name.n, value.n)};
        at += name.n + value.n;
    }
    f->call.status = h->status;
    f->call.fields = list;
    f->call.n_fields = n;
    return true;
}

/* A pooled connection that was closed meanwhile says nothing of the endpoint. */
static void lost(struct flight *f, enum reason reason) {
    bool stale = (f->reused && !f->up->side.heard) || f->up->unseen;
    if (!stale || f->again) {
        finish(f, reason);
        return;
    }
    f->again = true;
    release(f, false);
    attempt(f);
}

/* True: the final head was read; *last: and all of the answer. False: not yet, or it is over. */
static bool read_head(struct flight *f, bool *last) {
    struct head *h = f->callers->head;
    *last = false;
    while (!f->answered) {
        enum reason reason;
        if (!side_answer(&f->up->side, (enum method)f->method, h, &reason)) {
            if (reason == REASON_UPSTREAM_CLOSED || reason == REASON_UPSTREAM_RESET)
                lost(f, reason);
            else if (reason != REASON_NONE)
                finish(f, reason);
            return false;
        }
        if (h->status == 101 || (h->status >= 200 && !keep_fields(f, h))) {
            finish(f, REASON_BAD_RESPONSE);
            return false;
        }
        f->answered = h->status >= 200;
        f->keep = h->keep_alive && h->framing != FRAMING_CLOSE;
        *last = !side_answered(&f->up->side, h) && f->answered;
    }
    return true;
}

static void complete(struct flight *f) {
    struct str lines = side_trailers(&f->up->side);
    size_t at = f->got.n;
    out_str(&f->got, lines);
    if (f->got.over) {
        finish(f, REASON_BAD_RESPONSE);
        return;
    }
    struct str all = out_done(&f->got);
    f->call.body = str_mk(all.p, at);
    f->call.trailers = str_mk(all.p + at, lines.n);
    finish(f, REASON_NONE);
}

static void on_readable(struct upstream *u) {
    struct flight *f = flight_of(u);
    bool last;
    if (!read_head(f, &last))
        return;
    while (!last) {
        struct str piece;
        enum body got = side_take(&u->side, &piece, &last);
        if (got == BODY_AGAIN)
            return;
        if (got != BODY_PIECE || f->got.n + piece.n > f->body_max) {
            u->side.loan.open = false;
            finish(f, got == BODY_CUT     ? REASON_UPSTREAM_CLOSED
                      : got == BODY_RESET ? REASON_UPSTREAM_RESET
                                          : REASON_BAD_RESPONSE);
            return;
        }
        out_str(&f->got, piece);
        side_repay(&u->side, piece.n);
    }
    complete(f);
}

static void on_ready(struct upstream *u) { ask(flight_of(u)); }
static void on_sent(struct upstream *u, size_t lent, bool all) { (void)u, (void)lent, (void)all; }
static void on_timeout(struct upstream *u) { finish(flight_of(u), REASON_UPSTREAM_TIMEOUT); }
static void on_turn(struct waiter *w) {
    attempt(container_of(container_of(w, struct aside, waiter), struct flight, aside));
}

static void on_broken(struct upstream *u, enum conn_end why) {
    struct flight *f = flight_of(u);
    if (why == CONN_INSECURE)
        upstream_untrusted(u, f->backend);
    if (upstream_connecting(u))
        finish(f, why == CONN_INSECURE ? REASON_TLS_FAILED : REASON_CONNECT_REFUSED);
    else
        lost(f, why == CONN_RESET ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_CLOSED);
}

static const struct upstream_ops call_ops = {
    .ready = on_ready,
    .readable = on_readable,
    .sent = on_sent,
    .broken = on_broken,
    .timeout = on_timeout,
    .turn = on_turn,
};

struct str call_field(const struct call *c, struct str name) {
    for (uint32_t i = 0; i < c->n_fields; i++)
        if (str_eq_nocase(c->fields[i].name, name))
            return c->fields[i].value;
    return STR_NONE;
}
