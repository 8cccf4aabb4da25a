/* SPDX-License-Identifier: Apache-2.0
 *
 * request: the way to the upstream. An attempt is: pick an endpoint, get a connection, write the
 * head, pass the body on. Before an answer was begun a failed attempt may be followed by another:
 *
 *     connect or its handshake failed      another endpoint, always: nothing was sent
 *     the endpoint has not looked at it    the same one again (GOAWAY, REFUSED_STREAM), always
 *     reused connection, no byte answered  a new connection, when the request may be sent again
 *     a code or failure of rule.retry      after the backoff, when it may be sent again
 *
 * A request may be sent again when none of its body was taken and its method is idempotent (RFC
 * 9110 9.2.2), or the rule says which codes are retried.
 */
#include "proxy/stream/parts.h"

#include <errno.h>

enum { CONNECT_TRIES = 3, HEAD_EXTRA = 1024, RETRIES_ALWAYS = 3 };

/* ---- picking ---- */

const struct share *request_draw(struct stream *st) {
    const struct rule *r = st->x.rule;
    uint32_t at = prng_below(&st->env->loop->prng, r->total_weight);
    const struct share *s = r->shares;
    while (at >= s->upto)
        s++;
    return s;
}

static bool is_idempotent(const struct stream *st) {
    return method_is_idempotent((enum method)st->x.method);
}

static bool may_send_again(const struct stream *st) { return !st->body_touched && !st->answering; }

/* ---- writing the head ---- */

bool request_restore_head(struct stream *st) {
    static const struct head_limits wide = {HEAD_BYTES_MAX, HEAD_FIELDS_MAX, HEAD_FIELDS_MAX};
    struct h1_scan scan = {0};
    size_t skipped;
    enum reason reason;
    const char *detail;
    struct head *h = st->env->sessions.head;
    st->x.request = h;
    if (h1_parse_request(&scan, st->raw, st->raw_n, &wide, h, &skipped, &reason, &detail) !=
        H1_DONE)
        return false;
    if (unlikely(st->auth != NULL))
        auth_hide(st->auth, h, false);
    return true;
}

static bool write_head(struct stream *st) {
    struct side *to = &st->up->side;
    size_t sizes[2] = {st->raw_n + HEAD_EXTRA, slab_bytes(SLAB_64K)};
    for (int i = 0; i < 2; i++) {
        char *p = side_room(to, sizes[i]);
        if (p == NULL)
            return false;
        struct out o = out_fixed(p, sizes[i]);
        policy_write_request(&st->x, &o);
        if (!o.over)
            return side_head(to, o.n, policy_request_framing(&st->x),
                             st->request_last && st->held.n == 0);
    }
    return false;
}

/* All of the body is held. False: it failed. */
__attribute__((noinline)) static bool send_held(struct stream *st) {
    struct str piece = out_done(&st->held);
    st->body_touched = st->web != NULL; /* which translates it where it is */
    if (st->web != NULL && !web_request(st, &piece, true)) {
        stream_fail(st, REASON_BAD_REQUEST);
        return false;
    }
    if (st->mirror != NULL && st->attempts == 1)
        mirror_body(st, piece, true);
    if (side_lend(&st->up->side, piece, true))
        return true;
    stream_fail(st, REASON_OVERLOADED);
    return false;
}

/* The connection stands and x.request is the head. */
static void begin(struct stream *st) {
    st->ready = true;
    if (unlikely(st->x.upgrade.n > 0) && st->up->side.codec->tunnel == NULL)
        st->x.upgrade = STR_NONE;
    if (!write_head(st)) {
        stream_fail(st, REASON_OVERLOADED);
        return;
    }
    /* Before it is sent: what the kernel does then is on the upstream's account, and on a busy core
     * the answer may be there when send returns. */
    st->sent_ns = loop_clock_ns();
    if (st->asked_ns == 0)
        st->asked_ns = st->sent_ns;
    if (unlikely(st->held.n > 0) && !send_held(st))
        return;
    if (st->request_last) {
        response_await(st);
        return;
    }
    /* It is going to be passed on, so the client may send its body. */
    if (st->expects && !client_proceed(st->client)) {
        stream_fail(st, REASON_OVERLOADED);
        return;
    }
    st->expects = false;
    request_pump(st);
}

void request_ready(struct upstream *u) {
    struct stream *st = u->owner;
    st->connect_ns += st->env->loop->now_ns - u->started_ns;
    if (!request_restore_head(st)) {
        stream_fail(st, REASON_INTERNAL);
        return;
    }
    begin(st);
}

/* ---- attempts ---- */

static void attempt_deadline(struct stream *st) {
    uint64_t now = st->env->loop->now_ms;
    uint32_t ms = st->x.rule->backend_request_ms;
    st->attempt_deadline_ms = ms == UINT32_MAX ? 0 : now + ms;
}

static uint32_t connect_ms(const struct stream *st) {
    return st->x.rule->connect_ms > 0 ? st->x.rule->connect_ms : st->backend->connect_ms;
}

static uint64_t earliest(uint64_t a, uint64_t b) { return b != 0 && b < a ? b : a; }

static void attempt(struct stream *st, bool fresh) {
    const struct backend *b = st->backend;
    const struct endpoint *e = st->endpoint;
    struct stream_env *env = st->env;
    bool careful = !is_idempotent(st) || !st->request_last;
    st->deaf = false;
    attempt_deadline(st);
    switch (upstream_get(&env->upstreams, b, e, careful, fresh, st, &st->waiter, &st->up)) {
    case UPSTREAM_REUSED:
        st->attempts++;
        st->reused = !fresh;
        if (unlikely(st->traced != NULL))
            trace_attempt(st);
        begin(st);
        return;
    case UPSTREAM_CONNECTING:
        st->attempts++;
        st->reused = false;
        if (unlikely(st->traced != NULL))
            trace_attempt(st);
        side_deadline(&st->up->side, earliest(earliest(env->loop->now_ms + connect_ms(st),
                                                       st->attempt_deadline_ms),
                                              st->deadline_ms));
        return;
    case UPSTREAM_WAIT:
        timer_set(env->loop->wheel, &st->timer, env->loop->now_ms + connect_ms(st));
        return;
    case UPSTREAM_FULL:
        stream_fail(st, REASON_OVERLOADED);
        return;
    case UPSTREAM_NO_WAY:
        st->up = NULL;
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            stream_fail(st, REASON_OVERLOADED);
        else
            request_failed(st, errno == EPROTO ? REASON_TLS_FAILED : REASON_CONNECT_REFUSED);
        return;
    }
}

/* Another endpoint of the same backend; false: none is left. */
static bool pick_endpoint(struct stream *st) {
    const struct endpoint *e = upstream_pick(&st->env->upstreams, st->backend, &st->tried);
    if (e == NULL)
        return false;
    st->endpoint = e;
    return true;
}

void request_forward(struct stream *st) {
    const struct share *s = st->x.share != NULL ? st->x.share : request_share(st);
    if (s == NULL || s->backend == UINT32_MAX) {
        stream_refuse(st, REASON_NO_BACKEND, s != NULL ? s->status : 0);
        return;
    }
    st->x.share = s;
    st->backend = snapshot_backend(st->law->snapshot, s->backend);
    if (st->backend == NULL) {
        stream_refuse(st, REASON_NO_BACKEND, s->status);
        return;
    }
    st->x.backend = st->backend;
    if (unlikely(st->backend->refusal != REASON_NONE)) {
        stream_refuse(st, st->backend->refusal, 0);
        return;
    }
    if (!pick_endpoint(st)) {
        stream_refuse(st, REASON_NO_ENDPOINT, 0);
        return;
    }
    if (unlikely(st->backend->protocol != MODEL_H1) && !web_begin(st)) {
        stream_fail(st, REASON_OVERLOADED);
        return;
    }
    if (unlikely(policy_find(&st->x, MODEL_FILTER_MIRROR) != NULL) && st->x.upgrade.n == 0)
        mirror_begin(st); /* a tunnel has no copy */
    attempt(st, false);
}

void request_turn(struct waiter *w) {
    struct stream *st = container_of(w, struct stream, waiter);
    timer_unset(&st->timer);
    if (!request_restore_head(st)) {
        stream_fail(st, REASON_INTERNAL);
        return;
    }
    attempt(st, false);
}

/* The wait in the queue was too long, or the backoff is over. */
void request_timer(struct timer *t) {
    struct stream *st = container_of(t, struct stream, timer);
    st->retry_ns = request_backed_off(st, loop_clock_ns());
    st->backs_off_ns = 0;
    if (st->waiter.target != NULL) {
        stream_fail(st, REASON_OVERLOADED);
        return;
    }
    if (!request_restore_head(st)) {
        stream_fail(st, REASON_INTERNAL);
        return;
    }
    attempt(st, false);
}

static void note_tried(struct stream *st) {
    if (st->tried.n < TRIES_MAX)
        st->tried.slot[st->tried.n++] = st->endpoint->slot;
}

static bool retries_code(const struct stream *st, uint16_t code) {
    const struct rule_retry *r = &st->x.rule->retry;
    for (unsigned i = 0; i < r->n_codes; i++)
        if (r->codes[i] == code)
            return true;
    return false;
}

/* Retries must not multiply the load on a backend that is failing under load: only so many per cent
 * of the streams may be retrying at a time, but a few always. */
static bool in_budget(const struct stream *st) {
    uint64_t allowed = st->env->n_streams * st->x.rule->retry.budget_percent / 100;
    return st->retrying || st->env->n_retrying < size_max(allowed, RETRIES_ALWAYS);
}

bool request_may_retry(const struct stream *st) {
    return may_send_again(st) && st->retries < st->x.rule->retry.attempts &&
           retries_code(st, st->upstream_status) && in_budget(st);
}

uint64_t request_backed_off(const struct stream *st, uint64_t now_ns) {
    return st->retry_ns + (st->backs_off_ns > 0 ? now_ns - st->backs_off_ns : 0);
}

void request_retry_over(struct stream *st) {
    if (st->retrying)
        st->env->n_retrying--;
    st->retrying = false;
}

void request_retry(struct stream *st, bool reuse) {
    uint32_t ms = st->x.rule->retry.backoff_ms;
    st->retries++;
    if (unlikely(st->traced != NULL) && st->upstream_status > 0 && st->up != NULL)
        trace_failed(st, REASON_NONE);
    if (!st->retrying)
        st->env->n_retrying++;
    st->retrying = true;
    stream_drop_upstream(st, reuse);
    note_tried(st);
    if (!pick_endpoint(st)) {
        st->tried.n = 0; /* all were asked: begin again */
        if (!pick_endpoint(st)) {
            stream_fail(st, REASON_NO_ENDPOINT);
            return;
        }
    }
    st->got_bytes = false;
    st->upstream_status = 0;
    st->response_ns = 0; /* of an answer that nobody gets */
    if (ms > 0) { /* doubled each time, half of it by chance */
        uint64_t wait = (uint64_t)ms << size_min(st->retries - 1U, 5);
        wait = wait / 2 + prng_below(&st->env->loop->prng, (uint32_t)(wait / 2 + 1));
        st->backs_off_ns = loop_clock_ns();
        timer_set(st->env->loop->wheel, &st->timer, st->env->loop->now_ms + wait);
    } else {
        request_timer(&st->timer);
    }
}

static void another_endpoint(struct stream *st, enum reason reason) {
    stream_drop_upstream(st, false);
    note_tried(st);
    if (st->tried.n > CONNECT_TRIES || !pick_endpoint(st) ||
        (st->deadline_ms != 0 && st->env->loop->now_ms >= st->deadline_ms)) {
        stream_fail(st, reason);
        return;
    }
    if (!request_restore_head(st)) {
        stream_fail(st, REASON_INTERNAL);
        return;
    }
    attempt(st, false);
}

/* The endpoint has not looked at it: nothing speaks against asking again. */
static void ask_again(struct stream *st) {
    st->unseen++;
    stream_drop_upstream(st, false);
    if (request_restore_head(st))
        attempt(st, true);
    else
        stream_fail(st, REASON_INTERNAL);
}

void request_failed(struct stream *st, enum reason reason) {
    bool connecting = st->up == NULL || upstream_connecting(st->up);
    bool past = st->deadline_ms != 0 && st->env->loop->now_ms >= st->deadline_ms;
    if (reason == REASON_TLS_FAILED && st->up != NULL)
        upstream_untrusted(st->up, st->backend);
    bool unseen = st->up != NULL && st->up->unseen;
    if (unlikely(st->traced != NULL))
        trace_failed(st, reason);
    if (!(st->reused && !st->got_bytes) &&
        !unseen) /* a stale connection says nothing of the endpoint */
        upstream_result(&st->env->upstreams, st->backend, st->endpoint, true);
    if (st->answering || past) {
        stream_fail(st, reason);
    } else if (connecting) {
        another_endpoint(st, reason);
    } else if (unseen && may_send_again(st) && st->unseen < CONNECT_TRIES) {
        ask_again(st);
    } else if (st->reused && !st->got_bytes && reason != REASON_UPSTREAM_TIMEOUT &&
               may_send_again(st) && is_idempotent(st)) {
        stream_drop_upstream(st, false);
        if (request_restore_head(st))
            attempt(st, true);
        else
            stream_fail(st, REASON_INTERNAL);
    } else {
        st->upstream_status = reasons[reason].status;
        bool again = request_may_retry(st) && is_idempotent(st);
        st->upstream_status = 0;
        if (again)
            request_retry(st, false);
        else
            stream_fail(st, reason);
    }
}

/* ---- body ---- */

static void body_failed(struct stream *st, enum body what) {
    switch (what) {
    case BODY_BAD:
        stream_fail(st, REASON_BAD_REQUEST);
        return;
    case BODY_CUT:
    case BODY_RESET:
        stream_fail(st, REASON_CLIENT_CLOSED);
        return;
    default:
        stream_fail(st, REASON_OVERLOADED);
        return;
    }
}

void request_hold(struct stream *st, uint32_t max) {
    st->held = out_heap(max);
    st->holding = true;
    if (st->expects && !client_proceed(st->client)) {
        stream_fail(st, REASON_OVERLOADED);
        return;
    }
    st->expects = false;
    request_hold_more(st);
}

void request_hold_more(struct stream *st) {
    struct side *s = &st->client->side;
    while (!st->request_last && !st->held.over) {
        struct str piece = STR_NONE;
        bool last;
        enum body got = side_take(s, &piece, &last);
        if (got == BODY_AGAIN) {
            uint32_t idle_ms = st->client->env->limits->idle_timeout_ms;
            side_deadline(s, earliest(s->loop->now_ms + idle_ms, st->deadline_ms));
            return;
        }
        if (got != BODY_PIECE) {
            body_failed(st, got);
            return;
        }
        out_str(&st->held, piece);
        st->request_bytes += piece.n;
        side_repay(s, piece.n);
        if (st->request_bytes - st->raw_n > stream_body_limit(st)) {
            stream_fail(st, REASON_BODY_TOO_LARGE);
            return;
        }
        st->request_last = last;
    }
    st->holding = false;
    stream_judge(st);
}

/* After the answer is complete, or without an upstream, nobody wants the body any more. */
static bool wanted(const struct stream *st) {
    return st->up != NULL && st->ready && !st->deaf && !st->request_last &&
           !st->client->side.loan.open && !side_lending(&st->up->side);
}

void request_pump(struct stream *st) {
    struct side *s = &st->client->side;
    while (wanted(st)) {
        struct side *to = &st->up->side;
        struct str piece = STR_NONE;
        bool last, piped = st->there.open;
        enum body got = likely(!piped) ? side_take(s, &piece, &last)
                                       : side_pipe(s, to, &st->there, &piece.n, &last);
        if (got == BODY_AGAIN) {
            uint32_t idle_ms = st->client->env->limits->idle_timeout_ms;
            side_deadline(s, earliest(s->loop->now_ms + idle_ms, st->deadline_ms));
            side_deadline(&st->up->side, earliest(UINT64_MAX / 2, st->attempt_deadline_ms));
            return;
        }
        if (got != BODY_PIECE) {
            body_failed(st, got);
            return;
        }
        if (st->request_bytes - st->raw_n + piece.n > stream_body_limit(st)) {
            s->loan.open = false;
            stream_fail(st, REASON_BODY_TOO_LARGE);
            return;
        }
        st->body_touched = st->body_touched || piece.n > 0;
        st->request_bytes += piece.n;
        if (unlikely(st->web != NULL)) {
            if (!web_request(st, &piece, last)) {
                s->loan.open = false;
                stream_fail(st, REASON_BAD_REQUEST);
                return;
            }
            if (piece.n == 0 && !last)
                continue; /* it stands for nothing yet */
        }
        st->request_last = last;
        st->sent_ns = last ? loop_clock_ns() : st->sent_ns;
        if (unlikely(piped)) {
            response_await(st);
            return;
        }
        if (st->mirror != NULL)
            mirror_body(st, piece, last);
        if (!(last && piece.n == 0 ? stream_end_body(st, s, to) : side_lend(to, piece, last))) {
            stream_fail(st, REASON_OVERLOADED);
            return;
        }
        if (piece.n == 0 && s->loan.open)
            side_repay(s, 0);
        response_await(st);
    }
}

void request_sent(struct stream *st, size_t lent, bool all) {
    struct side *s = &st->client->side;
    if (s->loan.open && lent > 0)
        side_repay(s, lent);
    if (!all)
        response_await(st); /* it must take the rest in time */
    else if (!st->request_last) {
        if (st->up != NULL && st->mirror == NULL)
            stream_open_pipe(st, &st->there, s, &st->up->side, lent);
        request_pump(st);
    }
}
