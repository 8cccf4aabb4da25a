/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/observe/line.h"

#include "lib/digits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

enum { /* bytes shown of what came from outside; escaping may make six of one */
       METHOD_MAX = 32,
       HOST_MAX = 255,
       PATH_MAX_SHOWN = 2048,
       ID_MAX = 128,
       NAME_MAX_SHOWN = 255,
       HEADERS_MAX = 8, /* further ones are left out */
};

enum { /* room for the parts of known bound, with some to spare */
       START_MAX = 64,
       NUMBERS_MAX = 640,
       PHASES_MAX = 256,
};
enum { PHASE_LEAST_NS = 1000000 }; /* a shorter one is left out */

const char *const record_decisions[RECORD_DECISIONS] = {"allow", "deny", "dryDeny"};

/* ---- the time ---- */

static uint64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void clock_look(struct line_clock *c, uint64_t at_ns) {
    if (c->looked_at_ns != 0 && at_ns - c->looked_at_ns < 1000000000u)
        return;
    c->looked_at_ns = now_ns(CLOCK_MONOTONIC);
    c->offset_ns = now_ns(CLOCK_REALTIME) - c->looked_at_ns;
}

static const char *second_of(struct line_clock *c, uint64_t second) {
    if (c->second != second) {
        time_t t = (time_t)second;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(c->text, sizeof(c->text), "%Y-%m-%dT%H:%M:%S", &tm);
        c->second = second;
    }
    return c->text;
}

/* ---- pen: what has a known bound is written through a pointer, after its room was taken ---- */

#define pen_lit(at, literal) pen_bytes((at), (literal), sizeof(literal) - 1)

static inline char *pen_bytes(char *at, const void *p, size_t n) {
    memcpy(at, p, n);
    return at + n;
}

static char *pen_text(char *at, const char *s) {
    while (*s)
        *at++ = *s++;
    return at;
}

/* Two digits at a time: half the divisions. */
/* Whole microseconds as decimal seconds; at most 27 bytes. */
static char *pen_seconds(char *at, uint64_t ns) {
    uint64_t us = ns / 1000;
    uint32_t rest = 0;
    if (us < 1000000) {
        *at++ = '0';
        rest = (uint32_t)us;
    } else {
        at = digits_u64(at, us / 1000000);
        rest = (uint32_t)(us % 1000000);
    }
    if (rest == 0)
        return at;
    *at++ = '.';
    at = digits_pair(at, rest / 10000);
    at = digits_pair(at, rest / 100 % 100);
    return digits_pair(at, rest % 100);
}

static char *pen_time(char *at, struct line_clock *c, uint64_t start_ns) {
    clock_look(c, start_ns);
    uint64_t ms = (start_ns + c->offset_ns) / 1000000;
    unsigned rest = (unsigned)(ms % 1000);
    at = pen_bytes(at, second_of(c, ms / 1000), sizeof(c->text) - 1);
    at[0] = '.';
    at[1] = (char)('0' + rest / 100);
    at[2] = (char)('0' + rest / 10 % 10);
    at[3] = (char)('0' + rest % 10);
    at[4] = 'Z';
    return at + 5;
}

static char *pen_v4(char *at, const uint8_t address[4]) {
    for (unsigned i = 0; i < 4; i++) {
        at = digits_u64(at, address[i]);
        *at++ = '.';
    }
    return at - 1;
}

static char *pen_v6(char *at, const uint8_t address[16]) {
    return inet_ntop(AF_INET6, address, at, INET6_ADDRSTRLEN) ? at + strlen(at) : at;
}

static char *pen_client(char *at, const uint8_t address[16]) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(address, mapped, sizeof(mapped)) == 0;
    return v4 ? pen_v4(at, address + 12) : pen_v6(at, address);
}

static char *pen_endpoint(char *at, const struct endpoint *e) {
    if (!e)
        return at;
    if (e->family == 4) {
        at = pen_v4(at, e->address);
    } else {
        *at++ = '[';
        at = pen_v6(at, e->address);
        *at++ = ']';
    }
    *at++ = ':';
    return digits_u64(at, e->port);
}

/* ---- the line ---- */

static void write_text(struct out *o, struct str s, size_t max) {
    if (s.n == 0)
        out_lit(o, "\"\"");
    else
        out_json(o, str_mk(s.p, size_min(s.n, max)));
}

/* namespace/name/rule: the names are Kubernetes', nothing in them needs escaping, but a file may
 * hold anything. */
static void write_route(struct out *o, const struct record *r) {
    const struct rule *rule = r->rule;
    if (!rule) {
        write_text(o, r->route, NAME_MAX_SHOWN);
        return;
    }
    const struct model_route *m = rule->model;
    char room[1024];
    struct out name = out_fixed(room, sizeof(room));
    out_str(&name, m->namespace);
    out_char(&name, '/');
    out_str(&name, m->name);
    out_char(&name, '/');
    out_str(&name, m->rule);
    out_json(o, out_done(&name));
}

/* The query is never logged, whatever the caller put in. */
static struct str without_query(struct str path) {
    return str_mk(path.p, size_min(str_find(path, '?', 0), str_find(path, '#', 0)));
}

/* The trace id of "00-<32 hex>-<16 hex>-<2 hex>" (W3C Trace Context 3.2). */
static struct str trace_id(struct str traceparent) {
    if (traceparent.n < 55 || traceparent.p[2] != '-' || traceparent.p[35] != '-')
        return STR_NONE;
    return str_mk(traceparent.p + 3, 32);
}

/* From "status" to "attempts": numbers, words of ours, addresses. */
static void write_numbers(struct out *o, const struct record *r) {
    const struct reason_info *reason = &reasons[r->reason];
    char *start = out_take(o, NUMBERS_MAX), *at = start;
    if (!start)
        return;
    at = digits_u64(pen_lit(at, ",\"status\":"), r->status);
    at = pen_text(pen_lit(at, ",\"reason\":\""), reason->name);
    at = pen_text(pen_lit(at, "\",\"origin\":\""), origin_names[reason->origin]);
    at = pen_seconds(pen_lit(at, "\",\"duration\":"), r->total_ns);
    at = pen_seconds(pen_lit(at, ",\"gateway\":"), r->gateway_ns);
    at = pen_seconds(pen_lit(at, ",\"upstream\":"), r->upstream_ns);
    at = pen_seconds(pen_lit(at, ",\"connect\":"), r->connect_ns);
    at = digits_u64(pen_lit(at, ",\"bytes\":"), r->response_bytes);
    at = pen_client(pen_lit(at, ",\"client\":\""), r->client);
    at = pen_endpoint(pen_lit(at, "\",\"upstream_addr\":\""), r->endpoint);
    at = digits_u64(pen_lit(at, "\",\"attempts\":"), r->attempts);
    at = pen_text(pen_lit(at, ",\"protocol\":\""), r->protocol != NULL ? r->protocol : "");
    *at++ = '"';
    o->n -= NUMBERS_MAX - (size_t)(at - start);
}

/* The other phases, as far as they are worth a word. */
static void write_phases(struct out *o, const struct record *r) {
    const struct {
        const char *name;
        uint64_t ns;
    } all[] = {{",\"read\":", r->read_ns},
               {",\"auth_wait\":", r->auth_ns},
               {",\"pick\":", r->pick_ns},
               {",\"retry\":", r->retry_ns},
               {",\"body\":", r->body_ns}};
    char *start = out_take(o, PHASES_MAX), *at = start;
    if (!start)
        return;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (unlikely(all[i].ns >= PHASE_LEAST_NS))
            at = pen_seconds(pen_text(at, all[i].name), all[i].ns);
    o->n -= PHASES_MAX - (size_t)(at - start);
}

static void write_start(struct out *o, struct line_clock *clock, const struct record *r) {
    char *start = out_take(o, START_MAX);
    if (!start)
        return;
    char *at = pen_time(pen_lit(start, "{\"ts\":\""), clock, r->start_ns);
    at = pen_lit(at, "\",\"id\":");
    o->n -= START_MAX - (size_t)(at - start);
}

/* Credentials are never logged, whoever asks for it. */
static bool is_secret(struct str name) {
    static const struct str secrets[] = {
        {"authorization", 13}, {"proxy-authorization", 19}, {"cookie", 6}, {"x-api-key", 9}};
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        if (str_eq_nocase(name, secrets[i]))
            return true;
    return false;
}

/* The request headers that the gateway's settings name, as far as they came. */
static void write_headers(struct out *o, const struct head *h, const struct str *names,
                          uint32_t n) {
    bool first = true;
    out_lit(o, ",\"headers\":{");
    for (uint32_t i = 0; h && i < n && i < HEADERS_MAX; i++) {
        unsigned from = 0;
        const struct head_field *f = head_each(h, names[i], &from);
        if (!f)
            continue;
        if (!first)
            out_char(o, ',');
        first = false;
        write_text(o, names[i], NAME_MAX_SHOWN);
        out_char(o, ':');
        if (is_secret(names[i]))
            out_lit(o, "\"(redacted)\"");
        else
            write_text(o, head_value(h, f), NAME_MAX_SHOWN);
    }
    out_char(o, '}');
}

static void write_tunnel(struct out *o, const struct record *r) {
    out_lit(o, ",\"tunnel\":");
    out_json(o, str_of(r->tunnel_end));
    out_lit(o, ",\"received\":");
    out_u64(o, r->request_bytes);
}

static void write_auth(struct out *o, const struct record_auth *a) {
    out_lit(o, ",\"auth\":{\"decision\":");
    write_text(o, str_of(record_decisions[a->decision]), NAME_MAX_SHOWN);
    out_lit(o, ",\"policy\":");
    write_text(o, a->policy, NAME_MAX_SHOWN);
    out_lit(o, ",\"method\":");
    write_text(o, a->method, NAME_MAX_SHOWN);
    out_lit(o, ",\"rule\":");
    write_text(o, a->rule, NAME_MAX_SHOWN);
    out_lit(o, ",\"sub\":");
    write_text(o, a->subject, NAME_MAX_SHOWN);
    out_lit(o, ",\"detail\":");
    write_text(o, a->detail, NAME_MAX_SHOWN);
    out_char(o, '}');
}

static void write_limit(struct out *o, const struct record_limit *l) {
    out_lit(o, ",\"limit\":{\"decision\":");
    write_text(o, str_of(l->decision), NAME_MAX_SHOWN);
    out_lit(o, ",\"policy\":");
    write_text(o, l->policy, NAME_MAX_SHOWN);
    out_lit(o, ",\"limit\":");
    write_text(o, l->name, NAME_MAX_SHOWN);
    out_char(o, '}');
}

/* Who asked for what. */
static void write_request(struct out *o, const struct record *r) {
    out_lit(o, ",\"route\":");
    write_route(o, r);
    out_lit(o, ",\"consumer\":");
    write_text(o, r->consumer, NAME_MAX_SHOWN);
    out_lit(o, ",\"method\":");
    write_text(o, r->method, METHOD_MAX);
    out_lit(o, ",\"host\":");
    write_text(o, r->host, HOST_MAX);
    out_lit(o, ",\"path\":");
    write_text(o, without_query(r->path), PATH_MAX_SHOWN);
}

void line_write(struct out *o, struct line_clock *clock, const struct record *r,
                const struct model_access_log *settings) {
    write_start(o, clock, r);
    write_text(o, r->request_id, ID_MAX);
    write_request(o, r);
    write_numbers(o, r);
    out_lit(o, ",\"tls\":");
    write_text(o, r->tls, NAME_MAX_SHOWN);
    out_lit(o, ",\"trace\":");
    write_text(o, trace_id(r->traceparent), 32);
    write_phases(o, r);
    if (unlikely(r->of == RECORD_TUNNEL_END))
        write_tunnel(o, r);
    if (unlikely(r->auth != NULL))
        write_auth(o, r->auth);
    if (unlikely(r->limit != NULL))
        write_limit(o, r->limit);
    if (settings && settings->n_headers > 0)
        write_headers(o, r->head, settings->headers, settings->n_headers);
    out_lit(o, "}\n");
}

void line_write_audit(struct out *o, struct line_clock *clock, const struct record *r) {
    static const struct record_auth nobody = {.decision = RECORD_DENY};
    const struct record_auth *a = r->auth ? r->auth : &nobody;
    write_start(o, clock, r);
    write_text(o, r->request_id, ID_MAX);
    out_lit(o, ",\"audit\":");
    write_text(o, str_of(record_decisions[a->decision]), NAME_MAX_SHOWN);
    out_lit(o, ",\"reason\":");
    write_text(o, str_of(reasons[r->reason].name), NAME_MAX_SHOWN);
    out_lit(o, ",\"detail\":");
    write_text(o, a->detail, NAME_MAX_SHOWN);
    out_lit(o, ",\"policy\":");
    write_text(o, a->policy, NAME_MAX_SHOWN);
    out_lit(o, ",\"version\":\"");
    if (a->identity != 0)
        out_hex(o, a->version, 16);
    out_lit(o, "\",\"auth_method\":");
    write_text(o, a->method, NAME_MAX_SHOWN);
    out_lit(o, ",\"rule\":");
    write_text(o, a->rule, NAME_MAX_SHOWN);
    out_lit(o, ",\"sub\":");
    write_text(o, a->subject, NAME_MAX_SHOWN);
    write_request(o, r);
    char *start = out_take(o, NUMBERS_MAX);
    if (!start)
        return;
    char *at = digits_u64(pen_lit(start, ",\"status\":"), r->status);
    at = pen_client(pen_lit(at, ",\"client\":\""), r->client);
    *at++ = '"';
    o->n -= NUMBERS_MAX - (size_t)(at - start);
    out_lit(o, ",\"trace\":");
    write_text(o, trace_id(r->traceparent), 32);
    out_lit(o, "}\n");
}

void line_write_passed(struct out *o, struct line_clock *clock, const struct passed *p) {
    const struct reason_info *reason = &reasons[p->reason];
    char *start = out_take(o, START_MAX);
    if (!start)
        return;
    char *at = pen_time(pen_lit(start, "{\"ts\":\""), clock, p->start_ns);
    at = pen_lit(at, "\",\"listener\":");
    o->n -= START_MAX - (size_t)(at - start);
    write_text(o, p->listener, NAME_MAX_SHOWN);
    out_lit(o, ",\"sni\":");
    write_text(o, p->sni, HOST_MAX);
    start = out_take(o, NUMBERS_MAX);
    if (!start)
        return;
    at = pen_text(pen_lit(start, ",\"reason\":\""), reason->name);
    at = pen_text(pen_lit(at, "\",\"origin\":\""), origin_names[reason->origin]);
    at = pen_seconds(pen_lit(at, "\",\"duration\":"), p->total_ns);
    at = pen_seconds(pen_lit(at, ",\"connect\":"), p->connect_ns);
    at = digits_u64(pen_lit(at, ",\"bytes\":"), p->sent);
    at = digits_u64(pen_lit(at, ",\"received\":"), p->received);
    at = pen_client(pen_lit(at, ",\"client\":\""), p->client);
    at = pen_endpoint(pen_lit(at, "\",\"upstream_addr\":\""), p->endpoint);
    at = digits_u64(pen_lit(at, "\",\"attempts\":"), p->attempts);
    at = pen_text(pen_lit(at, ",\"protocol\":\""), p->protocol);
    at = pen_lit(at, "\"}\n");
    o->n -= NUMBERS_MAX - (size_t)(at - start);
}
