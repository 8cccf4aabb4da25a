/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stream/parts.h"

#include "proxy/http/path.h"
#include "proxy/route/signing.h"
#include "proxy/upstream/aside.h"

#include <time.h>

enum {
    STALL_MS = 60000,   /* a client that does not take its answer */
    ANSWER_ROOM = 4096, /* what policies make up */
    REFUSAL_ROOM = 1024,
    PIPES_MAX = 256,         /* of a worker, two descriptors each */
    PIPE_LEAST = 128 * 1024, /* so much must be left of a body */
    PIECE_LEAST = 32 * 1024, /* and come at once, for a pipe to pay */
    TEXTS = REQUEST_ID_MAX + TRACEPARENT_BYTES + TRACED_BYTES
};

struct str stream_date(struct stream_env *env) {
    return http_date(&env->date, time(NULL));
}

/* ---- birth ---- */

/* One block:  struct stream | head | canonical path | host | texts */
static struct stream *stream_new(struct stream_env *env, struct client *c, struct head *h) {
    size_t n = sizeof(struct stream) + h->n + h->raw_path.n + h->host.n + TEXTS;
    enum slab_size size = slab_size_for(n);
    struct stream *st = n <= slab_bytes(size) ? slab_take(&env->loop->slabs, size) : NULL;
    if (st == NULL)
        return NULL;
    memset(st, 0, sizeof(*st));
    st->env = env;
    st->client = c;
    st->slab = (uint8_t)size;
    st->law = law_hold(env->law);
    counter_add(&env->n_streams, 1);
    timer_init(&st->timer, request_timer);
    st->raw = (char *)(st + 1);
    st->raw_n = h->n;
    memcpy(st->raw, h->base, h->n);
    h->base = st->raw;
    return st;
}

void law_drop(struct stream_env *env, struct law *l) {
    if (--l->streams == 0 && l != env->law)
        env->law_done(env->law_arg, l);
}

void stream_open_pipe(struct stream *st, struct channel *p, const struct side *from,
                      const struct side *to, size_t n) {
    if (n >= PIECE_LEAST && !p->open && st->env->n_pipes < PIPES_MAX &&
        side_pipeable(from, to) >= PIPE_LEAST && channel_open(p))
        st->env->n_pipes++;
}

static void close_pipe(struct stream *st, struct channel *p) {
    st->env->n_pipes -= p->open;
    channel_close(p);
}

static void stream_free(struct stream *st) {
    struct stream_env *env = st->env;
    if (unlikely(st->there.open | st->back.open)) {
        close_pipe(st, &st->there);
        close_pipe(st, &st->back);
    }
    struct law *law = st->law;
    upstream_unwait(&st->waiter);
    request_retry_over(st);
    timer_fini(&st->timer);
    if (st->mirror != NULL)
        mirror_forget(st);
    tunnel_free(st);
    web_free(st);
    if (unlikely(st->auth != NULL))
        auth_drop(env->auth, st->auth);
    if (unlikely(st->limited != NULL))
        limit_drop(env->limits, st->limited);
    errands_drop(&st->errands);
    if (unlikely(st->held.p != NULL))
        out_fini(&st->held);
    slab_give(&env->loop->slabs, (enum slab_size)st->slab, st);
    if (law == NULL)
        return;
    counter_sub(&env->n_streams, 1);
    law_drop(env, law);
}

static struct str origin_of(const struct exchange *x) {
    const struct model_filter *f = policy_find(x, MODEL_FILTER_CORS);
    const struct head_field *o = f != NULL ? head_find(x->request, TOKEN_ORIGIN) : NULL;
    return o != NULL ? head_value(x->request, o) : STR_NONE;
}

/* What is known from the head alone. */
static enum reason look(struct stream *st, const struct head *h) {
    const struct visitor *v = st->client->visitor;
    struct exchange *x = &st->x;
    char *path = st->raw + st->raw_n, *host = path + h->raw_path.n, *texts = host + h->host.n;
    uint8_t peer[16];
    str_lower(host, head_str(h, h->host));
    *x = (struct exchange){
        .snapshot = st->law->snapshot,
        .request = h,
        .host = str_mk(host, h->host.n),
        .query = h->has_query ? head_str(h, h->query) : STR_NONE,
        .has_query = h->has_query,
        .http10 = h->minor == 0,
        .h2 = st->client->h2,
        .secure = v->secure != NULL,
        .method = h->method,
        .port = v->port,
        .host_port = h->port,
        .peer = str_mk(v->text, v->text_n),
    };
    if (x->host.n > 0 && x->host.p[x->host.n - 1] == '.')
        x->host.n--; /* the root of the DNS is silent */
    st->request_keep_alive = h->keep_alive;
    st->expects = h->expect_continue;
    st->start_ns = st->client->started_ns;
    st->head_ns = st->env->loop->now_ns;
    st->request_bytes = h->n;
    addr_v6(&v->peer, peer);
    policy_client(x, peer, st->address);
    policy_trace(x, &st->env->loop->prng, texts, texts + REQUEST_ID_MAX);
    if (unlikely(x->snapshot->tracing.model != NULL))
        trace_begin(st, texts + REQUEST_ID_MAX);
    if (unlikely(x->method == METHOD_TRACE))
        return REASON_METHOD_NOT_ALLOWED;
    if (x->secure && !secure_serves(st->env->sessions.secure, v, x->host))
        return REASON_MISDIRECTED;
    return path_canonical(head_str(h, h->raw_path), path, h->raw_path.n, &x->path);
}

/* ---- the record ---- */

static const char *protocol_of(const struct client *c, bool http10) {
    return c->h2 ? "h2" : http10 ? "http/1.0" : "http/1.1";
}

static struct str tls_of(const struct client *c) {
    return c->visitor->secure != NULL ? tls_version(c->visitor->secure) : STR_NONE;
}

/* Of the first of a connection's requests that is over. */
static enum arrival arrival_of(const struct client *c) {
    enum arrival a = c->visitor->arrival;
    if (unlikely(a != ARRIVAL_NONE))
        c->visitor->arrival = ARRIVAL_NONE;
    return a;
}

/* Whose settings count: its own law's, or, for a tunnel, which holds none, today's. */
static const struct model_gateway *gateway_of(const struct stream *st) {
    return (st->law != NULL ? st->law : st->env->law)->snapshot->gateway;
}

/* Its fields, where the log names some; NULL else. */
static const struct head *head_to_log(struct stream *st) {
    const struct model_gateway *g = gateway_of(st);
    bool named = g != NULL && g->access_log != NULL && g->access_log->n_headers > 0;
    if (!named || !request_restore_head(st))
        return NULL;
    if (st->auth != NULL)
        auth_hide(st->auth, st->env->sessions.head, true);
    return st->x.request;
}

static struct record_auth auth_to_log(const struct auth *a) {
    return (struct record_auth){.policy = a->policy,
                                .method = a->method,
                                .rule = a->rule,
                                .subject = a->subject,
                                .detail = a->detail,
                                .decision = a->refused ? RECORD_DENY
                                            : a->dry   ? RECORD_DRY_DENY
                                                       : RECORD_ALLOW,
                                .audit = a->audit,
                                .method_n = a->method_n,
                                .slot = a->slot,
                                .identity = a->identity,
                                .version = a->version};
}

static struct record_limit limit_to_log(const struct limited *l) {
    return (struct record_limit){
        .policy = l->policy, .name = l->name, .decision = l->refused ? "deny" : "dryDeny"};
}

void stream_record(struct stream *st) {
    const struct exchange *x = &st->x;
    uint64_t now = loop_clock_ns();
    uint64_t asked = st->asked_ns > 0 ? st->asked_ns : now;
    struct record r = {
        .gateway = gateway_of(st),
        .head = head_to_log(st),
        .rule = x->rule,
        .backend = st->backend,
        .method = str_mk(st->raw, str_find(str_mk(st->raw, st->raw_n), ' ', 0)),
        .host = x->host,
        .path = x->path,
        .request_id = x->request_id,
        .tls = tls_of(st->client),
        .traceparent = x->traceparent,
        .endpoint = st->endpoint,
        .status = st->status,
        .upstream_status = st->upstream_status,
        .reason = st->reason,
        .attempts = st->attempts,
        .reused = st->reused,
        .arrival = arrival_of(st->client),
        .protocol = protocol_of(st->client, x->http10),
        .request_bytes = st->request_bytes,
        .response_bytes = st->response_bytes,
        .start_ns = st->start_ns,
        .total_ns = now - st->start_ns,
        .read_ns = st->head_ns - st->start_ns,
        .upstream_ns = st->upstream_ns,
        .connect_ns = st->connect_ns,
        .auth_ns = st->auth_ns,
        .retry_ns = request_backed_off(st, now),
    };
    memcpy(r.client, st->address, 16);
    struct record_auth auth;
    if (unlikely(st->auth != NULL)) {
        auth = auth_to_log(st->auth);
        r.consumer = st->auth->consumer;
        r.auth = &auth;
    }
    struct record_limit limit;
    if (unlikely(st->limited != NULL) && (st->limited->refused || st->limited->dry)) {
        limit = limit_to_log(st->limited);
        r.limit = &limit;
    }
    /* Ours: from the head to the first byte that the upstream is sent, and from the answer's head
     * to its first flush. What a body takes is the client's and the upstream's. */
    uint64_t waited = st->head_ns + st->connect_ns + st->auth_ns;
    uint64_t before = asked > waited ? asked - waited : 0;
    uint64_t answered = st->first_flush_ns > 0 ? st->first_flush_ns : now;
    uint64_t after =
        st->response_ns > 0 && answered > st->response_ns ? answered - st->response_ns : 0;
    r.pick_ns = before;
    r.gateway_ns = before + after;
    r.body_ns = now > answered ? now - answered : 0;
    if (unlikely(st->tunnel != NULL))
        tunnel_record(st, &r);
    if (unlikely(st->traced != NULL))
        trace_end(st, &r);
    st->env->record(st->env->arg, &r);
}

/* ---- ends ---- */

/* An attempt ends without an answer: its time is on the account of what was waited for. While the
 * request's body is still on its way that may be the client. */
static void note_in_vain(struct stream *st) {
    uint64_t now = st->env->loop->now_ns;
    if (!st->ready)
        st->connect_ns += now > st->up->started_ns ? now - st->up->started_ns : 0;
    else if (st->request_last && st->response_ns < st->sent_ns)
        st->upstream_ns += now > st->sent_ns ? now - st->sent_ns : 0;
}

void stream_drop_upstream(struct stream *st, bool reuse) {
    struct upstream *u = st->up;
    if (u == NULL)
        return;
    if (unlikely(!st->answering))
        note_in_vain(st);
    st->up = NULL;
    st->ready = false;
    struct side *s = &st->client->side;
    if (u->side.loan.open && side_lending(s))
        side_unlend(s); /* its bytes go with the connection */
    u->side.loan.open = false;
    if (s->loan.open) { /* bytes for the upstream, and it goes */
        side_unlend(&u->side);
        side_repay(s, s->loan.left);
        reuse = false;
    }
    upstream_release(u, st->backend, reuse);
}

void stream_cut(struct stream *st, enum reason reason) {
    struct client *c = st->client;
    st->reason = reason;
    stream_drop_upstream(st, false);
    web_cut(st);
    stream_record(st);
    side_abort(&c->side);
    stream_free(st);
}

void stream_finish(struct stream *st) {
    struct client *c = st->client;
    bool keep = st->keep;
    stream_drop_upstream(st, st->reusable && st->request_last);
    stream_record(st);
    stream_free(st);
    client_done(c, keep);
}

/* Backends of HTTP/1.1 cannot say that they expect trailers, and not all can read them; a client of
 * HTTP/1.1 must have said that it looks at them. */
static bool wants_trailers(struct stream *st, bool answers) {
    if (!answers)
        return st->backend->protocol != MODEL_H1;
    return st->client->h2 || (request_restore_head(st) && policy_takes_trailers(st->x.request));
}

bool stream_end_body(struct stream *st, const struct side *from, struct side *to) {
    struct str lines = side_trailers(from);
    struct out o = out_fixed(st->env->trailers, sizeof(st->env->trailers));
    bool answers = to == &st->client->side;
    if (likely(lines.n == 0))
        return side_lend(to, STR_NONE, true);
    if (wants_trailers(st, answers))
        policy_write_trailers(&st->x, answers ? TRAILERS_OF_ANSWER : TRAILERS_OF_REQUEST, lines,
                              &o);
    return side_trail(to, str_mk(st->env->trailers, o.over ? 0 : o.n));
}

/* The body of a rule's own answer is the snapshot's, which the stream holds; a refusal's is a
 * constant: both are lent. */
static void write_answer(struct stream *st, const struct answer *a) {
    struct side *s = &st->client->side;
    struct str body = policy_answer_body(&st->x, a);
    size_t room = size_min(a->location.n + a->fields.n + st->x.to_client.n + st->x.limits.n + 8192,
                           slab_bytes(SLAB_64K));
    /* What was not read of the request would be taken for the next one. */
    st->keep = st->request_keep_alive && st->request_last && !st->env->sessions.draining;
    st->status = a->status;
    st->reason = a->reason;
    st->answering = st->answer_last = true;
    st->deadline_ms = 0; /* from here on it is the client that may be slow */
    side_deadline(s, s->loop->now_ms + STALL_MS);
    char *p = side_room(s, room);
    if (p == NULL) {
        stream_cut(st, REASON_OVERLOADED);
        return;
    }
    struct out o = out_fixed(p, room);
    policy_write_answer(&st->x, a, stream_date(st->env), !st->keep, &o);
    bool none = body.n == 0;
    if (o.over || !side_head(s, o.n, none ? FRAMING_NONE : FRAMING_LENGTH, none) ||
        (!none && !side_lend(s, body, true))) {
        stream_cut(st, REASON_INTERNAL);
        return;
    }
    st->response_bytes += o.n + body.n;
}

/* The content type of an answer to a caller of gRPC; n == 0: it is none. */
static struct str grpc_type_of(struct stream *st) {
    bool may = st->client->h2 || st->x.method == METHOD_POST;
    return may && request_restore_head(st) ? policy_grpc_type(st->x.request, st->client->h2)
                                           : STR_NONE;
}

void stream_refuse(struct stream *st, enum reason reason, uint16_t status) {
    struct answer a;
    struct str type = grpc_type_of(st);
    policy_refusal(&a, reason, status);
    if (type.n > 0)
        policy_grpc_answer(&a, type);
    write_answer(st, &a);
}

/* The judgement is a refusal: our own, or that of a service, whose body lasts as long as it. */
static void refuse_judged(struct stream *st) {
    const struct auth *auth = st->auth;
    struct answer a;
    struct str type = grpc_type_of(st);
    policy_refusal(&a, auth->reason, auth->status);
    bool theirs = auth->status != 0;
    if (theirs) {
        a.content_type = STR_NONE; /* among its fields */
        a.body = auth->body;
    }
    if (!theirs || type.n == 0)
        a.fields = auth->challenge;
    if (type.n > 0)
        policy_grpc_answer(&a, type);
    write_answer(st, &a);
}

/* It waits no more. */
static void judged(struct stream *st) {
    if (st->waits_ns > 0)
        st->auth_ns += loop_clock_ns() - st->waits_ns;
    st->waits_ns = 0;
    st->holding = false;
}

void stream_fail(struct stream *st, enum reason reason) {
    if (st->answering || reason == REASON_CLIENT_CLOSED) {
        if (!st->answering)
            st->status = reasons[reason].status;
        stream_cut(st, reason);
        return;
    }
    stream_drop_upstream(st, false);
    upstream_unwait(&st->waiter);
    timer_unset(&st->timer);
    judged(st);
    errands_drop(&st->errands);
    stream_refuse(st, reason, 0);
}

/* ---- a request comes ---- */

static void on_errand(struct errands *all);
static void serve(struct stream *st, struct head *h);

void stream_end_by(struct stream *st, uint64_t ms) {
    uint64_t at = st->start_ns / 1000000 + ms;
    if (st->deadline_ms != 0 && st->deadline_ms <= at)
        return;
    st->deadline_ms = at;
    side_deadline(&st->client->side, at > 0 ? at : 1);
}

static void set_deadline(struct stream *st) {
    uint64_t ms = st->x.rule->request_ms == UINT32_MAX ? UINT64_MAX : st->x.rule->request_ms;
    if (st->client->h2 && st->x.method == METHOD_POST) { /* as gRPC always is */
        uint64_t asked = policy_grpc_timeout_ms(st->x.request);
        ms = asked < ms ? asked : ms;
    }
    if (ms != UINT64_MAX)
        stream_end_by(st, ms);
}

uint64_t stream_body_limit(const struct stream *st) {
    uint64_t own = st->x.rule->body_limit, all = st->law->snapshot->limits.body_bytes;
    return own != UINT64_MAX ? own : all > 0 ? all : UINT64_MAX;
}

static void ask_upgrade(struct stream *st, const struct head *h) {
    struct exchange *x = &st->x;
    x->upgrade = policy_upgrade(x);
    if (x->upgrade.n == 0)
        return;
    /* S08: what follows may be meant for a protocol that nobody agrees to. */
    st->request_keep_alive = false;
    const struct head_field *key = head_find(h, TOKEN_SEC_WEBSOCKET_KEY);
    if (st->client->h2 && key != NULL)
        x->key = head_value(h, key);
}

static void judge(struct stream *st) {
    const struct auth_known known = {.client = st->address,
                                     .now = time(NULL),
                                     .errands = &st->errands,
                                     .body = out_done(&st->held),
                                     .body_whole = st->request_last,
                                     .body_over = st->held.over};
    st->errands.done = on_errand;
    st->auth = auth_judge(st->env->auth, &st->x, &known);
}

/* The head goes away meanwhile; whatever is learnt, all is judged anew. */
static void wait(struct stream *st) {
    uint32_t body = st->auth != NULL ? st->auth->wants_body : 0;
    if (st->auth != NULL)
        auth_drop(st->env->auth, st->auth);
    st->auth = NULL;
    if (st->waits_ns == 0)
        st->waits_ns = loop_clock_ns();
    if (body > 0 && !st->holding)
        request_hold(st, body);
}

/* ok: there was memory to say. False: it was answered. */
static bool within(struct stream *st, bool ok) {
    if (!ok) {
        stream_fail(st, REASON_OVERLOADED);
        return false;
    }
    if (st->limited == NULL)
        return true;
    st->x.limits = st->limited->fields;
    if (st->limited->refused)
        stream_refuse(st, REASON_RATE_LIMITED, 0);
    return !st->limited->refused;
}

/* Whom it is from is known, and nothing of its head is hidden yet. */
static bool within_limits(struct stream *st) {
    struct limit_env *env = st->env->limits;
    st->errands.done = on_errand;
    bool good = within(st, limit_ask(env, &st->x, st->address, &st->errands, &st->limited));
    if (!good || !env->waits)
        return good;
    wait(st);
    return false;
}

static bool within_failures(struct stream *st) {
    return within(st, limit_failures(st->env->limits, &st->x, st->address, &st->limited));
}

/* Who shows nothing does not guess, nor does a page whose session has ended: it goes on asking. */
static void note_failure(struct stream *st) {
    const struct auth *a = st->auth;
    if (a->reason == REASON_UNAUTHENTICATED && a->n_shown > 0 && !a->lapsed)
        limit_failed(st->env->limits, &st->x, st->address, a->policy);
}

/* False: it was answered, or waits. The share is picked first: what is decided is decided for the
 * path that the upstream gets. */
static bool guard(struct stream *st, struct head *h) {
    struct exchange *x = &st->x;
    if (!within_failures(st))
        return false;
    if (x->share == NULL)
        x->share = request_share(st);
    if (x->secure)
        x->shown = tls_peer(st->client->visitor->secure);
    if (unlikely(st->traced != NULL))
        trace_judge(st);
    judge(st);
    if (st->auth == NULL) {
        stream_fail(st, REASON_OVERLOADED);
        return false;
    }
    if (st->auth->waits) {
        wait(st);
        return false;
    }
    judged(st);
    if (st->auth->refused) {
        note_failure(st);
        refuse_judged(st);
        return false;
    }
    if (!within_limits(st))
        return false;
    x->identity = st->auth->fields;
    x->to_client = st->auth->to_client;
    if (st->auth->edits_query) {
        x->query = st->auth->query;
        x->has_query = st->auth->has_query;
    }
    auth_hide(st->auth, h, false);
    return true;
}

/* A browser's, which has no credential and counts for nobody. */
static bool preflight(struct stream *st) {
    struct answer a;
    if (st->x.rule->model->n_filters == 0)
        return false;
    st->x.origin = origin_of(&st->x);
    if (!policy_preflights(&st->x, &a))
        return false;
    write_answer(st, &a);
    return true;
}

/* Of a rule that has a guard or limits. False: it was answered, or waits. */
static bool admit(struct stream *st, struct head *h) {
    if (preflight(st))
        return false;
    return st->x.rule->guarded ? guard(st, h) : within_limits(st);
}

void stream_judge(struct stream *st) {
    if (request_restore_head(st))
        serve(st, st->env->sessions.head);
    else
        stream_fail(st, REASON_INTERNAL);
}

static void on_errand(struct errands *all) {
    struct stream *st = container_of(all, struct stream, errands);
    if (st->waits_ns > 0)
        stream_judge(st);
}

/* The public keys of internal tokens, of every host: whoever verifies does not know our names. */
__attribute__((noinline)) static void serve_keys(struct stream *st) {
    const struct signing_law *s = st->law->snapshot->signing;
    if (st->x.method != METHOD_GET && st->x.method != METHOD_HEAD) {
        struct answer no;
        policy_refusal(&no, REASON_METHOD_NOT_ALLOWED, 0);
        no.fields = STR("allow: GET, HEAD\r\n");
        write_answer(st, &no);
        return;
    }
    if (s == NULL) {
        stream_refuse(st, REASON_KEYS_UNAVAILABLE, 0);
        return;
    }
    const struct answer a = {.status = 200,
                             .content_type = STR("application/jwk-set+json"),
                             .body = s->jwks,
                             .fields = s->caching};
    write_answer(st, &a);
}

/* False: it was answered. */
static inline bool find_rule(struct stream *st, struct head *h) {
    struct exchange *x = &st->x;
    struct route_request rq = {.host = x->host, .path = x->path, .head = h, .port = x->port};
    struct match_result found;
    if (!snapshot_route(st->law->snapshot, &rq, st->env->scratch, &found)) {
        stream_refuse(st, REASON_NO_ROUTE, 0);
        return false;
    }
    x->rule = found.rule;
    x->match = found.match;
    if (unlikely(found.rule->refusal != REASON_NONE)) {
        stream_refuse(st, found.rule->refusal, 0);
        return false;
    }
    if (h->framing == FRAMING_LENGTH && h->content_length > stream_body_limit(st)) {
        stream_refuse(st, REASON_BODY_TOO_LARGE, 0);
        return false;
    }
    if (unlikely(found.rule->to_https) && !policy_is_https(x)) {
        char room[ANSWER_ROOM];
        struct answer a;
        policy_to_https(x, &a, room, sizeof(room));
        write_answer(st, &a);
        return false;
    }
    set_deadline(st);
    return true;
}

/* Once more, from the beginning but for its rule, when it has waited. */
static void serve(struct stream *st, struct head *h) {
    struct exchange *x = &st->x;
    if (likely(x->rule == NULL) && !find_rule(st, h))
        return;
    if (unlikely(x->rule->limited)) {
        if (!admit(st, h))
            return;
        errands_drop(&st->errands); /* what they have found out is known */
    }
    if (x->rule->model->n_filters > 0) {
        char room[ANSWER_ROOM];
        struct answer a;
        x->origin = origin_of(x);
        if (policy_answers(x, &a, room, sizeof(room))) {
            write_answer(st, &a);
            return;
        }
    }
    if (unlikely(h->upgrade.n > 0))
        ask_upgrade(st, h);
    request_forward(st);
}

static void on_request(struct client *c) {
    struct stream_env *env = c->env->arg;
    struct head *h = c->env->head;
    counter_add(&env->requests, 1);
    struct stream *st = stream_new(env, c, h);
    if (st == NULL) {
        c->env->ops->refuse(c, REASON_OVERLOADED, "no memory for a request", h->n);
        return;
    }
    st->request_last = !client_accept(c, st);
    enum reason reason = look(st, h);
    if (reason != REASON_NONE) {
        st->x.path = STR_NONE;
        stream_refuse(st, reason, 0);
        return;
    }
    if (unlikely(str_eq(st->x.path, STR(JWKS_PATH))))
        serve_keys(st);
    else
        serve(st, h);
}

/* Before there is a stream: a head that cannot be served. */
static void on_refuse(struct client *c, enum reason reason, const char *detail, size_t bytes) {
    struct stream_env *env = c->env->arg;
    struct exchange x = {.snapshot = env->law->snapshot, .port = c->visitor->port};
    struct answer a;
    char trace[TRACEPARENT_BYTES];
    (void)detail;
    policy_refusal(&a, reason, 0);
    uint64_t now = loop_clock_ns();
    struct record r = {.gateway = env->law->snapshot->gateway,
                       .status = a.status,
                       .reason = reason,
                       .arrival = arrival_of(c),
                       .protocol = c->h2 ? "h2" : NULL,
                       .tls = tls_of(c),
                       .start_ns = c->started_ns > 0 ? c->started_ns : now,
                       .request_bytes = bytes};
    /* Until its last bytes came it was the client that was waited for. */
    r.total_ns = now - r.start_ns;
    r.gateway_ns = now - size_max(env->loop->now_ns, r.start_ns);
    r.read_ns = r.total_ns - r.gateway_ns;
    addr_v6(&c->visitor->peer, r.client);
    char *p = side_room(&c->side, REFUSAL_ROOM);
    struct out o = out_fixed(p, p != NULL ? REFUSAL_ROOM : 0);
    policy_write_answer(&x, &a, stream_date(env), true, &o);
    if (o.over || !side_head(&c->side, o.n, FRAMING_LENGTH, false) ||
        !side_lend(&c->side, a.body, true)) {
        side_abort(&c->side);
    } else {
        r.response_bytes = o.n + a.body.n;
        client_done(c, false);
    }
    counter_add(&env->requests, 1);
    if (unlikely(x.snapshot->tracing.model != NULL))
        trace_unread(env, &x, &r, trace);
    env->record(env->arg, &r);
}

/* ---- events of the client side ---- */

static void on_gone(struct client *c) {
    struct stream *st = c->stream;
    if (unlikely(st->tunnel != NULL))
        tunnel_client_gone(st);
    else
        stream_fail(st, REASON_CLIENT_CLOSED);
}

static void on_client_readable(struct client *c) {
    struct stream *st = c->stream;
    if (unlikely(st->tunnel != NULL)) {
        tunnel_client_readable(st);
        return;
    }
    if (!st->request_last) {
        if (st->holding)
            request_hold_more(st);
        else if (st->ready || st->answering)
            request_pump(st);
        return;
    }
    /* The request is whole: all that matters now is whether the client is still there. Nobody else
     * would tell the backend of a stream that has nothing to say for a while. */
    bool matters = !st->answering || (st->web != NULL && !st->answer_last);
    if (matters && client_gone(c))
        on_gone(c);
}

static void on_sent(struct client *c, size_t lent, bool all) {
    struct stream *st = c->stream;
    if (unlikely(st->tunnel != NULL)) {
        tunnel_client_sent(st, lent);
        return;
    }
    if (!all) {
        uint64_t at = c->side.loop->now_ms + STALL_MS;
        side_deadline(&c->side,
                      st->deadline_ms != 0 && st->deadline_ms < at ? st->deadline_ms : at);
    }
    response_sent(st, lent, all);
}

static void on_client_timeout(struct client *c) {
    struct stream *st = c->stream;
    struct side *s = &c->side;
    if (side_pending(s) > 0) /* it takes nothing, so it is told nothing */
        stream_cut(st, REASON_CLIENT_TIMEOUT);
    else if (st->deadline_ms != 0 && s->loop->now_ms >= st->deadline_ms)
        stream_fail(st, errands_run(&st->errands)          ? REASON_AUTH_SERVICE_TIMEOUT
                        : st->request_last || s->loan.open ? REASON_UPSTREAM_TIMEOUT
                                                           : REASON_CLIENT_TIMEOUT);
    else if (!st->request_last && !s->loan.open && (st->ready || st->holding))
        stream_fail(st, REASON_CLIENT_TIMEOUT);
    else if (st->deadline_ms != 0)
        side_deadline(s, st->deadline_ms);
}

static void on_ended(struct client *c, enum reason reason) {
    struct stream_env *env = c->env->arg;
    uint64_t now = loop_clock_ns();
    struct record r = {.gateway = env->law->snapshot->gateway,
                       .status = reasons[reason].status,
                       .reason = reason,
                       .arrival = arrival_of(c),
                       .protocol = c->h2 ? "h2" : NULL,
                       .start_ns = now};
    addr_v6(&c->visitor->peer, r.client);
    counter_add(&env->requests, 1);
    env->record(env->arg, &r);
}

static const struct client_ops client_ops = {
    .request = on_request,
    .refuse = on_refuse,
    .readable = on_client_readable,
    .sent = on_sent,
    .gone = on_gone,
    .timeout = on_client_timeout,
    .ended = on_ended,
    .left = upstreams_part,
};

/* ---- events of the upstream side ---- */

static void on_upstream_readable(struct upstream *u) {
    struct stream *st = u->owner;
    if (unlikely(st->tunnel != NULL))
        tunnel_upstream_readable(st);
    else
        response_pump(st);
}

static void on_upstream_sent(struct upstream *u, size_t lent, bool all) {
    struct stream *st = u->owner;
    if (unlikely(st->tunnel != NULL))
        tunnel_upstream_sent(st, lent);
    else
        request_sent(st, lent, all);
}

static void on_upstream_broken(struct upstream *u, enum conn_end why) {
    struct stream *st = u->owner;
    if (unlikely(st->tunnel != NULL)) {
        tunnel_upstream_broken(st, why);
        return;
    }
    if (upstream_connecting(u)) {
        request_failed(st, why == CONN_INSECURE ? REASON_TLS_FAILED : REASON_CONNECT_REFUSED);
        return;
    }
    /* It takes no more of the request, but may have answered it already: a 413, say. */
    st->deaf = true;
    if (!st->answering)
        response_pump(st);
    if (u->owner == st && !upstream_is_over(u) && !st->answering)
        request_failed(st, why == CONN_RESET ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_CLOSED);
}

static void on_upstream_timeout(struct upstream *u) {
    request_failed(u->owner,
                   upstream_connecting(u) ? REASON_CONNECT_TIMEOUT : REASON_UPSTREAM_TIMEOUT);
}

static struct visitor *visitor_of(const void *owner) {
    const struct stream *st = owner;
    return st->client->visitor;
}

static const struct upstream_ops upstream_ops = {
    .ready = request_ready,
    .readable = on_upstream_readable,
    .sent = on_upstream_sent,
    .broken = on_upstream_broken,
    .timeout = on_upstream_timeout,
    .turn = request_turn,
    .visitor = visitor_of,
};

/* ---- the environment ---- */

static void *hold(void *arg) {
    const struct stream_env *env = arg;
    return law_hold(env->law);
}

static void drop(void *arg, void *law) { law_drop(arg, law); }

void stream_env_init(struct stream_env *env, struct loop *l, struct head *scratch_head,
                     uint32_t workers, struct limit_table *limits) {
    env->loop = l;
    list_init(&env->copies);
    list_init(&env->tunnels);
    env->scratch = route_scratch_new();
    env->auth = auth_env_new(l, &env->calls);
    env->limits = limit_env_new(l, env->auth, limits);
    env->sessions =
        (struct session_env){.loop = l, .ops = &client_ops, .head = scratch_head, .arg = env};
    sessions_init(&env->sessions);
    upstreams_init(&env->upstreams, l, &upstream_ops, env->sessions.h2, workers);
    upstreams_init(&env->asides, l, &aside_ops, env->sessions.h2, workers);
    env->store = ratestore_new(l, &env->asides);
    env->limits->store = env->store;
    env->calls = (struct callers){.loop = l, .upstreams = &env->asides, .head = scratch_head};
    env->exporter = exporter_new(
        &(struct exporter_env){.calls = &env->calls, .hold = hold, .drop = drop, .arg = env});
}

void stream_env_fini(struct stream_env *env) {
    mirrors_close_all(env);
    exporter_free(env->exporter);
    ratestore_free(env->store);
    upstreams_fini(&env->upstreams);
    upstreams_fini(&env->asides);
    sessions_fini(&env->sessions);
    route_scratch_free(env->scratch);
    limit_env_free(env->limits);
    auth_env_free(env->auth);
}

bool stream_env_adopt(struct stream_env *env, struct law *law) {
    struct law *old = env->law;
    if (!upstreams_adopt(&env->upstreams, law->snapshot) ||
        !upstreams_adopt(&env->asides, law->snapshot))
        return false;
    env->law = law;
    env->sessions.limits = &law->snapshot->limits;
    secure_adopt(env->sessions.secure, law->snapshot);
    ratestore_adopt(env->store, law->snapshot);
    exporter_adopt(env->exporter, law->snapshot);
    if (old != NULL && old->streams == 0)
        env->law_done(env->law_arg, old);
    return true;
}
