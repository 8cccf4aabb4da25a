/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/observe/line.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>

enum { /* bytes shown of what came from outside; escaping may make six of one */
       METHOD_MAX = 32,
       HOST_MAX = 255,
       PATH_MAX_SHOWN = 2048,
       ID_MAX = 128,
       NAME_MAX_SHOWN = 255,
};

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

static void write_time(struct out *o, struct line_clock *c, uint64_t start_ns) {
    clock_look(c, start_ns);
    uint64_t ms = (start_ns + c->offset_ns) / 1000000;
    if (c->second != ms / 1000) {
        time_t second = (time_t)(ms / 1000);
        struct tm tm;
        gmtime_r(&second, &tm);
        strftime(c->text, sizeof(c->text), "%Y-%m-%dT%H:%M:%S", &tm);
        c->second = ms / 1000;
    }
    unsigned rest = (unsigned)(ms % 1000);
    char tail[] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                   (char)('0' + rest % 10), 'Z'};
    out_bytes(o, c->text, sizeof(c->text) - 1);
    out_bytes(o, tail, sizeof(tail));
}

/* ---- fields ---- */

static void write_text(struct out *o, struct str s, size_t max) {
    out_json(o, str_mk(s.p, size_min(s.n, max)));
}

/* Whole microseconds as decimal seconds. */
static void write_seconds(struct out *o, uint64_t ns) {
    uint64_t us = ns / 1000, rest = us % 1000000;
    char digits[7] = ".";
    out_u64(o, us / 1000000);
    if (rest == 0)
        return;
    for (size_t i = 6; i > 0; i--, rest /= 10)
        digits[i] = (char)('0' + rest % 10);
    out_bytes(o, digits, sizeof(digits));
}

static void write_v6(struct out *o, const uint8_t address[16]) {
    char room[INET6_ADDRSTRLEN];
    if (inet_ntop(AF_INET6, address, room, sizeof(room)))
        out_str(o, str_of(room));
}

static void write_v4(struct out *o, const uint8_t address[4]) {
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            out_char(o, '.');
        out_u64(o, address[i]);
    }
}

static void write_client(struct out *o, const uint8_t address[16]) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(address, mapped, sizeof(mapped)) == 0)
        write_v4(o, address + 12);
    else
        write_v6(o, address);
}

static void write_endpoint(struct out *o, const struct endpoint *e) {
    if (!e)
        return;
    if (e->family == 4) {
        write_v4(o, e->address);
    } else {
        out_char(o, '[');
        write_v6(o, e->address);
        out_char(o, ']');
    }
    out_char(o, ':');
    out_u64(o, e->port);
}

/* namespace/name/rule: the names are Kubernetes', nothing in them needs escaping, but a file may
 * hold anything. */
static void write_route(struct out *o, const struct rule *rule) {
    if (!rule) {
        out_lit(o, "\"\"");
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

void line_write(struct out *o, struct line_clock *clock, const struct record *r) {
    const struct reason_info *reason = &reasons[r->reason];
    out_lit(o, "{\"ts\":\"");
    write_time(o, clock, r->start_ns);
    out_lit(o, "\",\"id\":");
    write_text(o, r->request_id, ID_MAX);
    out_lit(o, ",\"route\":");
    write_route(o, r->rule);
    out_lit(o, ",\"consumer\":");
    write_text(o, r->consumer, NAME_MAX_SHOWN);
    out_lit(o, ",\"method\":");
    write_text(o, r->method, METHOD_MAX);
    out_lit(o, ",\"host\":");
    write_text(o, r->host, HOST_MAX);
    out_lit(o, ",\"path\":");
    write_text(o, without_query(r->path), PATH_MAX_SHOWN);
    out_lit(o, ",\"status\":");
    out_u64(o, r->status);
    out_lit(o, ",\"reason\":\"");
    out_str(o, str_of(reason->name));
    out_lit(o, "\",\"origin\":\"");
    out_str(o, str_of(origin_names[reason->origin]));
    out_lit(o, "\",\"duration\":");
    write_seconds(o, r->total_ns);
    out_lit(o, ",\"gateway\":");
    write_seconds(o, r->gateway_ns);
    out_lit(o, ",\"upstream\":");
    write_seconds(o, r->upstream_ns);
    out_lit(o, ",\"connect\":");
    write_seconds(o, r->connect_ns);
    out_lit(o, ",\"bytes\":");
    out_u64(o, r->response_bytes);
    out_lit(o, ",\"client\":\"");
    write_client(o, r->client);
    out_lit(o, "\",\"upstream_addr\":\"");
    write_endpoint(o, r->endpoint);
    out_lit(o, "\",\"attempts\":");
    out_u64(o, r->attempts);
    out_lit(o, ",\"tls\":");
    write_text(o, r->tls, NAME_MAX_SHOWN);
    out_lit(o, ",\"trace\":");
    write_text(o, trace_id(r->traceparent), 32);
    out_lit(o, "}\n");
}
