/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/service.h"

#include "lib/mem.h"

#include <time.h>

/* ---- how it does ---- */

struct service {
    uint64_t place; /* of its method */
    uint32_t running;
    uint32_t unanswered; /* in a row */
    uint64_t broken_until_ms;
    bool probing; /* one is let through */
};

static struct str key_of(const struct service *s) {
    return str_mk((const char *)&s->place, sizeof(s->place));
}

void services_init(struct services *all) { map_init(&all->by_place); }

void services_fini(struct services *all) {
    for (struct map_slot *s = NULL; (s = map_next(&all->by_place, s));)
        mem_free(s->value);
    map_fini(&all->by_place);
}

/* Policies come and go. */
static void forget_idle(struct services *all) {
    struct map kept;
    map_init(&kept);
    for (struct map_slot *s = NULL; (s = map_next(&all->by_place, s));) {
        struct service *one = s->value;
        if (one->running > 0)
            map_put(&kept, key_of(one), one);
        else
            mem_free(one);
    }
    map_fini(&all->by_place);
    all->by_place = kept;
}

static struct service *service_of(struct services *all, uint64_t place) {
    struct service *s = map_get(&all->by_place, str_mk((const char *)&place, sizeof(place)));
    if (s)
        return s;
    if (all->by_place.n >= SERVICES_IDLE_MAX)
        forget_idle(all);
    s = mem_try_zero(sizeof(*s));
    if (!s)
        return NULL;
    s->place = place;
    map_put(&all->by_place, key_of(s), s);
    return s;
}

static bool is_answer(enum reason why_not) {
    return why_not == REASON_NONE || why_not == REASON_BAD_RESPONSE ||
           why_not == REASON_RESPONSE_TOO_LARGE;
}

/* ---- a question ---- */

struct asking {
    struct question q;   /* first */
    struct errands call; /* the one call */
    struct service *service;
    struct callers *calls;
    const struct method_law *method;
    service_read read;
    struct answers *answers;
    struct hash_wide key;
    uint64_t keep_ms;
    bool runs, probes;
};

static void stop(struct asking *a) {
    if (a->runs)
        a->service->running--;
    if (a->probes)
        a->service->probing = false;
    a->runs = a->probes = false;
}

static void drop(struct errand *e) {
    struct asking *a = container_of(e, struct asking, q.errand);
    errands_drop(&a->call);
    stop(a);
    verdict_drop(a->q.verdict);
    mem_free(a);
}

static void learn(struct asking *a, enum reason reason) {
    struct service *s = a->service;
    if (is_answer(reason)) {
        s->unanswered = 0;
        return;
    }
    if (reason == REASON_OVERLOADED) /* it is we who have not asked */
        return;
    if (++s->unanswered >= BREAK_AFTER)
        s->broken_until_ms = a->calls->loop->now_ms + BREAK_MS;
}

/* How long the verdict may be used: a token not longer than it is good. */
static uint64_t until_ms(const struct asking *a, const struct verdict *v, int64_t now) {
    uint64_t ms = a->keep_ms;
    if (v->expires <= now)
        return 0;
    if ((uint64_t)(v->expires - now) < ms / 1000 + 1)
        ms = (uint64_t)(v->expires - now) * 1000;
    return a->calls->loop->now_ms + ms;
}

static bool is_timeout(enum reason r) {
    return r == REASON_UPSTREAM_TIMEOUT || r == REASON_CONNECT_TIMEOUT;
}

static const char *sentence_of(enum reason r) {
    switch (r) {
    case REASON_UPSTREAM_TIMEOUT:
    case REASON_CONNECT_TIMEOUT:
        return "the service did not answer in time";
    case REASON_NO_ENDPOINT:
        return "the service has no ready endpoint";
    case REASON_CONNECT_REFUSED:
        return "the service refused the connection";
    case REASON_TLS_FAILED:
        return "TLS with the service failed";
    case REASON_BAD_RESPONSE:
    case REASON_RESPONSE_TOO_LARGE:
        return "the service's answer breaks the HTTP grammar, or is too large";
    case REASON_OVERLOADED:
        return "the service could not be asked: too many questions wait";
    default:
        return "the service broke off before its answer was complete";
    }
}

static enum reason conclude(struct asking *a, const struct call *c) {
    enum reason reason = REASON_AUTH_SERVICE_FAILED;
    int64_t now = time(NULL);
    stop(a);
    learn(a, c->errand.reason);
    if (c->errand.reason != REASON_NONE) {
        a->q.detail = sentence_of(c->errand.reason);
        return is_timeout(c->errand.reason) ? REASON_AUTH_SERVICE_TIMEOUT : reason;
    }
    a->q.verdict = a->read(a->method, c, now, &reason, &a->q.detail);
    if (!a->q.verdict)
        return reason;
    uint64_t until = a->answers ? until_ms(a, a->q.verdict, now) : 0;
    if (until > a->calls->loop->now_ms && !a->q.verdict->once)
        answers_put(a->answers, a->key, a->q.verdict, until);
    return REASON_NONE;
}

static void on_call(struct errands *all) {
    struct asking *a = container_of(all, struct asking, call);
    errand_done(&a->q.errand, conclude(a, (const struct call *)all->first));
}

/* Done without a call. */
static void fail(struct asking *a, enum reason reason, const char *detail) {
    a->q.errand.is_done = true;
    a->q.errand.reason = reason;
    a->q.detail = detail;
}

static bool may_ask(struct asking *a, const struct service_want *want) {
    struct service *s = a->service;
    uint64_t all = want->max_concurrent > 0 ? want->max_concurrent : QUESTIONS_DEFAULT;
    uint64_t share = all / a->calls->upstreams->workers;
    if (s->unanswered >= BREAK_AFTER &&
        (s->probing || a->calls->loop->now_ms < s->broken_until_ms)) {
        fail(a, REASON_AUTH_SERVICE_FAILED,
             "the service has not answered for a while; it is asked again within a second");
        return false;
    }
    if (s->running >= (share > 0 ? share : 1)) {
        fail(a, REASON_AUTH_SERVICE_FAILED,
             "as many questions as maxConcurrent allows wait for the service already");
        return false;
    }
    a->probes = s->probing = s->unanswered >= BREAK_AFTER;
    a->runs = true;
    s->running++;
    return true;
}

struct question *service_ask(struct services *all, struct callers *calls, struct errands *errands,
                             const struct service_want *want) {
    struct service *s = service_of(all, want->method->place);
    struct asking *a = s ? mem_try_zero(sizeof(*a)) : NULL;
    if (!a)
        return NULL;
    a->call.done = on_call;
    a->service = s;
    a->calls = calls;
    a->method = want->method;
    a->read = want->read;
    a->answers = want->answers;
    a->key = want->key;
    a->keep_ms = want->keep_ms;
    errand_begin(errands, &a->q.errand, want->method, drop);
    if (!may_ask(a, want))
        return &a->q;
    const struct call *c = call_start(calls, &a->call, want->method, &want->call);
    if (!c) {
        stop(a);
        fail(a, REASON_OVERLOADED, "no memory for a question to the service");
    } else if (c->errand.is_done) {
        a->q.errand.reason = conclude(a, c);
        a->q.errand.is_done = true;
    }
    return &a->q;
}

void service_write_host(const struct backend *b, struct out *o) {
    if (b->host.n > 0) {
        out_str(o, b->host);
        return;
    }
    out_str(o, b->model->service);
    out_char(o, '.');
    out_str(o, b->model->namespace);
    out_lit(o, ".svc");
    if (b->model->port != 80) {
        out_char(o, ':');
        out_u64(o, b->model->port);
    }
}
