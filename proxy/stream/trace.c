/* SPDX-License-Identifier: Apache-2.0
 *
 * trace: the spans of a request, as it goes its way. Where the gateway makes none, st->traced is
 * NULL and nothing here is called. Of a request that is not sampled there is only its context:
 * when an attempt of it fails, or it fails itself, and failures are traced in any case, what is
 * needed is taken from what the stream knows anyway.
 */
#include "proxy/stream/parts.h"

static const struct model_tracing *settings(const struct stream *st) {
    return st->law->snapshot->tracing.model;
}

static struct spans *take(struct stream_env *env) {
    struct spans *s = slab_take(&env->loop->slabs, slab_size_for(sizeof(*s)));
    if (s == NULL) {
        exporter_lost(env->exporter);
        return NULL;
    }
    *s = (struct spans){.auth = prng_next(&env->loop->prng) | 1};
    return s;
}

void trace_begin(struct stream *st, char *room) {
    struct stream_env *env = st->env;
    uintptr_t at = (uintptr_t)room + TRACEPARENT_BYTES;
    struct traced *t = (struct traced *)((at + _Alignof(struct traced) - 1) &
                                         ~(uintptr_t)(_Alignof(struct traced) - 1));
    st->traced = t;
    t->spans = NULL;
    policy_trace_join(&st->x, &env->loop->prng, room, &t->context);
    if (t->context.sampled)
        t->spans = take(env);
}

/* What goes out from now on is below that span. The text is the stream's own. */
static void below(struct stream *st, uint64_t span) {
    policy_trace_span((char *)(uintptr_t)st->x.traceparent.p, span);
}

void trace_judge(struct stream *st) {
    if (st->traced->spans != NULL)
        below(st, st->traced->spans->auth);
}

/* ---- attempts ---- */

static struct spans_attempt *begin(struct stream *st) {
    struct spans_attempt *a = spans_next(st->traced->spans);
    a->span = prng_next(&st->env->loop->prng) | 1;
    a->backend = st->backend;
    a->endpoint = st->endpoint;
    a->reused = st->reused;
    return a;
}

void trace_attempt(struct stream *st) {
    if (st->traced->spans == NULL)
        return;
    struct spans_attempt *a = begin(st);
    a->start_ns = loop_clock_ns();
    a->connect_ns = st->connect_ns;
    below(st, a->span);
}

static void end(struct stream *st, struct spans_attempt *a, enum reason reason, uint64_t now) {
    bool connecting = st->up != NULL && !st->ready;
    a->connect_ns = connecting ? now - a->start_ns : st->connect_ns - a->connect_ns;
    a->end_ns = now;
    a->reason = reason;
    a->status = st->upstream_status;
}

/* One that was not noted when it began: its request was not sampled, or there is no connection. */
static struct spans_attempt *begin_late(struct stream *st, uint64_t start_ns) {
    struct spans_attempt *a = begin(st);
    a->start_ns = start_ns;
    return a;
}

static uint64_t asked_since(const struct stream *st) {
    return st->sent_ns - (st->reused ? 0 : st->connect_ns);
}

void trace_failed(struct stream *st, enum reason reason) {
    if (st->traced->spans == NULL && !settings(st)->no_errors)
        st->traced->spans = take(st->env);
    if (st->traced->spans == NULL)
        return;
    uint64_t now = loop_clock_ns();
    struct spans_attempt *a = spans_running(st->traced->spans);
    if (a == NULL)
        a = begin_late(st, st->up == NULL ? now : st->ready ? asked_since(st) : st->up->started_ns);
    end(st, a, reason, now);
}

/* ---- the end ---- */

static bool is_failure(const struct record *r) {
    return r->status >= 500 ||
           (r->reason != REASON_NONE && reasons[r->reason].origin != ORIGIN_CLIENT);
}

static struct str id_of(const struct record *r) { return str_mk(r->traceparent.p + 3, 32); }

/* The attempt that runs ends with the request. */
static void close_attempt(struct stream *st, const struct record *r) {
    bool theirs = reasons[r->reason].origin == ORIGIN_UPSTREAM || r->reason == REASON_CLIENT_CLOSED;
    struct spans_attempt *a = spans_running(st->traced->spans);
    if (a == NULL && st->traced->spans->n == 0 && st->attempts > 0)
        a = begin_late(st, asked_since(st));
    if (a != NULL)
        end(st, a, theirs ? r->reason : REASON_NONE, r->start_ns + r->total_ns);
}

static void tell(struct stream *st, struct record *r) {
    if (st->traced->spans == NULL)
        st->traced->spans = take(st->env);
    if (st->traced->spans == NULL)
        return;
    close_attempt(st, r);
    r->sampled = id_of(r);
    struct spans_request q = {.record = r,
                              .context = &st->traced->context,
                              .spans = st->traced->spans,
                              .port = st->x.host_port > 0 ? st->x.host_port : st->x.port};
    exporter_request(st->env->exporter, &q);
}

void trace_end(struct stream *st, struct record *r) {
    struct traced *t = st->traced;
    if (r->of == RECORD_TUNNEL_END)
        return; /* it was told when it was answered */
    if (t->context.sampled || (is_failure(r) && !settings(st)->no_errors))
        tell(st, r);
    if (t->spans != NULL)
        slab_give(&st->env->loop->slabs, slab_size_for(sizeof(*t->spans)), t->spans);
    t->spans = NULL;
}

void trace_unread(struct stream_env *env, struct exchange *x, struct record *r, char *room) {
    static const struct spans no_spans = {.n = 0};
    struct trace_context context;
    policy_trace_anew(x, &env->loop->prng, room);
    policy_trace_join(x, &env->loop->prng, room, &context);
    r->traceparent = x->traceparent;
    if (!context.sampled && (!is_failure(r) || x->snapshot->tracing.model->no_errors))
        return;
    r->sampled = id_of(r);
    struct spans_request q = {
        .record = r, .context = &context, .spans = &no_spans, .port = x->port};
    exporter_request(env->exporter, &q);
}
