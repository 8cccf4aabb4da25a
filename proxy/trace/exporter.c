/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/trace/exporter.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/auth/service.h"

#include <time.h>
#include <unistd.h>

enum {
    HEAD_ROOM = 60 << 10, /* of a call's head; a connection's room for one */
    ANSWER_MAX = 4096,
    RETRY_MIN_MS = 1000,
    RETRY_MAX_MS = 30000,
    DRAIN_RETRY_MS = 200,
    LINES = 6, /* of the log, in ... */
    LINES_SECONDS = 60,
    INSTANCE_MAX = 64
};

enum result { SENT, DROPPED, REJECTED, FAILED, RESULTS };

struct batch {
    struct out text; /* p == NULL: it has no memory */
    struct spans_batch parts;
    uint32_t n; /* spans */
};

struct exporter {
    struct exporter_env env;
    const struct snapshot *law;
    struct batch gathered, leaving; /* leaving.n == 0: none */
    struct errands call;            /* of `leaving` */
    void *held;                     /* what the call stands on */
    bool draining;
    unsigned tries; /* of `leaving` */
    struct timer timer;
    struct log_limit lines;
    char instance[INSTANCE_MAX + 1];
    uint64_t kept;             /* a counter */
    uint64_t results[RESULTS]; /* metrics, spans */
};

static void dispatch(struct exporter *e);

static void count(struct exporter *e, enum result result, uint64_t n) {
    metric_add(&e->results[result], n);
}

static void set_kept(struct exporter *e) {
    metric_set(&e->kept, (uint64_t)e->gathered.n + e->leaving.n);
}

static const struct model_tracing *settings(const struct exporter *e) {
    return e->law ? e->law->tracing.model : NULL;
}

static void say(struct exporter *e, const char *words, unsigned status) {
    unsigned unsaid;
    if (log_limited(&e->lines, (int64_t)(e->env.calls->loop->now_ms / 1000), LINES, LINES_SECONDS,
                    &unsaid))
        log_warn("trace", "%s status=%u spans=%u unsaid=%u", words, status, e->leaving.n, unsaid);
}

/* ---- a batch ---- */

static void batch_fini(struct batch *b) {
    mem_free(b->text.p);
    *b = (struct batch){0};
}

static bool batch_begin(struct exporter *e) {
    struct batch *b = &e->gathered;
    char *room = b->text.p ? b->text.p : mem_try(EXPORTER_ROOM);
    if (!room)
        return false;
    b->text = out_fixed(room, EXPORTER_ROOM);
    spans_begin(&b->text, settings(e)->service_name, str_of(e->instance), &b->parts);
    return true;
}

/* Its memory stays for the next one. */
static void batch_over(struct exporter *e, enum result result) {
    count(e, result, e->leaving.n);
    e->leaving.n = 0;
    e->tries = 0;
    set_kept(e);
}

/* ---- when ---- */

static void wake_after(struct exporter *e, uint64_t ms) {
    struct loop *l = e->env.calls->loop;
    timer_set(l->wheel, &e->timer, l->now_ms + ms);
}

static void leave(struct exporter *e) {
    struct batch b = e->leaving;
    timer_unset(&e->timer);
    e->leaving = e->gathered;
    e->gathered = b;
    spans_end(&e->leaving.text, &e->leaving.parts);
    dispatch(e);
}

/* What was gathered goes, now or later, unless there is a batch that comes first. */
static void go_on(struct exporter *e) {
    if (e->leaving.n > 0 || e->gathered.n == 0)
        return;
    bool now = e->draining || e->gathered.text.n >= EXPORTER_BATCH;
    if (!now) {
        if (!timer_is_set(&e->timer))
            wake_after(e, EXPORTER_WAIT_MS);
        return;
    }
    leave(e);
}

static uint64_t backoff_ms(struct exporter *e, const struct call *c) {
    struct str after = c ? call_field(c, STR("retry-after")) : STR_NONE;
    uint64_t seconds, ms = (uint64_t)RETRY_MIN_MS << (e->tries - 1);
    ms = ms / 2 + prng_below(&e->env.calls->loop->prng, (uint32_t)(ms / 2 + 1));
    if (after.n > 0 && str_to_u64(after, RETRY_MAX_MS / 1000, &seconds))
        ms = seconds * 1000;
    if (e->draining)
        return DRAIN_RETRY_MS;
    return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

/* Nobody has taken it, and that may be different soon. */
static void again(struct exporter *e, const struct call *c) {
    if (e->tries < EXPORTER_TRIES) {
        wake_after(e, backoff_ms(e, c));
        return;
    }
    say(e, "the collector does not take spans; they are dropped", c ? c->status : 0);
    batch_over(e, FAILED);
}

/* ---- the call ---- */

static bool is_retried(unsigned status) {
    return status == 429 || status == 502 || status == 503 || status == 504;
}

static void accepted(struct exporter *e, struct str answer) {
    uint64_t refused = spans_refused(answer);
    refused = refused < e->leaving.n ? refused : e->leaving.n;
    if (refused > 0)
        say(e, "the collector has refused some spans", 200);
    count(e, REJECTED, refused);
    e->leaving.n -= (uint32_t)refused;
    batch_over(e, SENT);
}

static void conclude(struct exporter *e, const struct call *c) {
    if (!c || c->errand.reason != REASON_NONE) {
        again(e, NULL);
    } else if (c->status >= 200 && c->status < 300) {
        accepted(e, c->body);
    } else if (is_retried(c->status)) {
        again(e, c);
    } else {
        say(e, "the collector refuses spans; they are dropped", c->status);
        batch_over(e, REJECTED);
    }
    errands_drop(&e->call);
    if (e->held)
        e->env.drop(e->env.arg, e->held);
    e->held = NULL;
}

static void on_call(struct errands *all) {
    struct exporter *e = container_of(all, struct exporter, call);
    conclude(e, (const struct call *)all->first);
    go_on(e);
}

static void write_head(struct out *o, const struct model_tracing *m, const struct backend *b,
                       size_t n) {
    out_lit(o, "POST ");
    out_str(o, m->path);
    out_lit(o, " HTTP/1.1\r\nhost: ");
    if (m->host.n > 0)
        out_str(o, m->host);
    else
        service_write_host(b, o);
    out_lit(o, "\r\nuser-agent: sluice\r\ncontent-type: application/x-protobuf\r\n");
    for (uint32_t i = 0; i < m->n_headers; i++) {
        out_str(o, m->headers[i].name);
        out_lit(o, ": ");
        out_str(o, m->headers[i].value);
        out_lit(o, "\r\n");
    }
    out_lit(o, "content-length: ");
    out_u64(o, n);
    out_lit(o, "\r\n\r\n");
}

/* NULL: it could not even be tried. */
static const struct call *begin_call(struct exporter *e) {
    const struct model_tracing *m = settings(e);
    const struct backend *b = snapshot_backend(e->law, e->law->tracing.backend);
    struct out head = out_heap(HEAD_ROOM);
    const struct call *c = NULL;
    if (b)
        write_head(&head, m, b, e->leaving.text.n);
    if (b && !head.over) {
        const struct call_want want = {.backend = b,
                                       .head = out_done(&head),
                                       .body = out_done(&e->leaving.text),
                                       .timeout_ms = (uint32_t)m->timeout_ms,
                                       .body_max = ANSWER_MAX};
        e->held = e->env.hold(e->env.arg);
        c = call_start(e->env.calls, &e->call, e, &want);
    }
    out_fini(&head);
    return c;
}

static void dispatch(struct exporter *e) {
    if (!settings(e)) {
        batch_over(e, DROPPED); /* nobody wants spans any more */
        return;
    }
    e->tries++;
    const struct call *c = begin_call(e);
    if (!c || c->errand.is_done)
        conclude(e, c);
}

static void on_timer(struct timer *t) {
    struct exporter *e = container_of(t, struct exporter, timer);
    if (e->leaving.n > 0)
        dispatch(e);
    else if (e->gathered.n > 0)
        leave(e);
    go_on(e);
}

/* ---- spans come ---- */

static uint64_t offset_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec - loop_clock_ns();
}

void exporter_lost(struct exporter *e) { count(e, DROPPED, 1); }

void exporter_request(struct exporter *e, struct spans_request *q) {
    struct batch *b = &e->gathered;
    q->offset_ns = offset_ns();
    if (!settings(e) || (b->n == 0 && !batch_begin(e))) {
        exporter_lost(e);
        return;
    }
    size_t before = b->text.n;
    unsigned n = spans_write(&b->text, q);
    if (b->text.over) {
        b->text.n = before;
        b->text.over = false;
        count(e, DROPPED, n);
    } else {
        b->n += n;
        set_kept(e);
    }
    go_on(e);
}

void exporter_drain(struct exporter *e) {
    e->draining = true;
    if (e->leaving.n > 0 && !e->held)
        wake_after(e, DRAIN_RETRY_MS);
    go_on(e);
}

/* ---- life ---- */

struct exporter *exporter_new(const struct exporter_env *env) {
    struct exporter *e = mem_zalloc(sizeof(*e));
    e->env = *env;
    e->call.done = on_call;
    timer_init(&e->timer, on_timer);
    if (gethostname(e->instance, sizeof(e->instance) - 1) != 0)
        e->instance[0] = 0;
    return e;
}

void exporter_adopt(struct exporter *e, const struct snapshot *law) {
    e->law = law;
    if (settings(e))
        return;
    count(e, DROPPED, e->gathered.n);
    batch_fini(&e->gathered);
    set_kept(e);
}

void exporter_free(struct exporter *e) {
    if (!e)
        return;
    errands_drop(&e->call);
    if (e->held)
        e->env.drop(e->env.arg, e->held);
    timer_fini(&e->timer);
    batch_fini(&e->gathered);
    batch_fini(&e->leaving);
    mem_free(e);
}

uint64_t exporter_kept(const struct exporter *e) { return metric_get(&e->kept); }

void exporter_metrics(const struct exporter *const *all, unsigned n, struct metric_text *t) {
    static const char *const words[RESULTS] = {"result=\"sent\"", "result=\"dropped\"",
                                               "result=\"rejected\"", "result=\"failed\""};
    metric_family(
        t, METRIC_COUNTER, "sluice_trace_spans",
        "Spans of requests: sent to the collector; dropped, since there was no more room; "
        "rejected by it; failed, since it did not answer.");
    for (size_t k = 0; k < RESULTS; k++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < n; i++)
            sum += metric_get(&all[i]->results[k]);
        metric_count(t, str_of(words[k]), sum);
    }
}
