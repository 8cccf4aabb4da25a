/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 of a run: one request at a time on a connection. The answer is read by the proxy's own
 * codec, so what it would refuse of a backend is an error here too.
 */
#include "ctl/bench_load.h"

static const struct head_limits limits = {.bytes = HEAD_BYTES_MAX, .fields = 256, .cookies = 100};

static struct bench_flight *flight_of(struct bench_conn *c) { return &c->flights[0]; }

static bool opened(struct bench_conn *c) {
    c->held.max = HEAD_BYTES_MAX + BENCH_READ_BYTES;
    return true;
}

static void ask(struct bench_conn *c, struct bench_flight *f) {
    c->rest = f->kind->h1;
    c->scan = (struct h1_scan){0};
    c->in_body = false;
    bench_conn_write(c);
}

static struct str give(struct bench_conn *c) {
    (void)c;
    return STR_NONE;
}

/* An answer that came before all of the request had gone leaves a connection that nobody can use.
 */
static void answered(struct bench_conn *c) {
    c->in_body = false;
    c->retired |= c->rest.n > 0;
    bench_answered(flight_of(c));
}

/* How many bytes are done with; *why when it is no HTTP. */
static size_t take_body(struct bench_conn *c, struct str in, enum bench_error *why) {
    size_t eat;
    struct str piece;
    enum h1 got = h1_body_next(&c->body, in.p, in.n, &eat, &piece);
    if (got == H1_BAD)
        *why = BENCH_PROTOCOL;
    else if (got == H1_DONE)
        answered(c);
    return eat;
}

static void take_head(struct bench_conn *c) {
    const struct head *h = &c->load->head;
    struct bench_flight *f = flight_of(c);
    if (h->status < 200)
        return; /* 100, 103: the answer is yet to come */
    f->status = h->status;
    const struct head_field *reason = head_find(h, TOKEN_SLUICE_REASON);
    if (unlikely(reason != NULL))
        bench_reason(f, head_value(h, reason));
    c->retired = !h->keep_alive;
    h1_body_init(&c->body, h);
    c->in_body = !c->body.done;
    if (!c->in_body)
        answered(c);
}

/* 0 with *why == BENCH_ERRORS: more bytes are needed. */
static size_t take(struct bench_conn *c, struct str in, enum bench_error *why) {
    enum reason reason;
    const char *detail;
    if (c->in_body)
        return take_body(c, in, why);
    if (flight_of(c)->state != FLIGHT_SENT || c->retired) {
        *why = BENCH_PROTOCOL; /* nobody has asked */
        return 0;
    }
    enum h1 got = h1_parse_response(&c->scan, in.p, in.n, &limits, flight_of(c)->kind->method,
                                    &c->load->head, &reason, &detail);
    if (got == H1_BAD)
        *why = BENCH_PROTOCOL;
    if (got != H1_DONE)
        return 0;
    c->scan = (struct h1_scan){0};
    take_head(c);
    return c->load->head.n;
}

static enum bench_error came(struct bench_conn *c, struct str in) {
    enum bench_error why = BENCH_ERRORS;
    bool held = c->held.n > 0;
    if (held) {
        out_str(&c->held, in);
        in = out_done(&c->held);
    }
    for (size_t n = 1; n > 0 && in.n > 0 && why == BENCH_ERRORS;) {
        n = take(c, in, &why);
        in = str_skip(in, n);
    }
    if (why != BENCH_ERRORS)
        return why;
    if (!held) {
        out_str(&c->held, in);
    } else if (in.n < c->held.n) {
        memmove(c->held.p, in.p, in.n);
        c->held.n = in.n;
    }
    return c->held.over ? BENCH_PROTOCOL : BENCH_ERRORS;
}

static bool ended(struct bench_conn *c) {
    if (c->in_body && h1_body_eof(&c->body))
        answered(c);
    return c->taken == 0;
}

static bool drop(struct bench_conn *c, struct bench_flight *f) {
    (void)c, (void)f;
    return false;
}

static void closed(struct bench_conn *c) { c->held.over = false; }

const struct bench_codec bench_h1 = {opened, ask, came, ended, give, drop, closed};
