/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/trace/spans.h"

#include "lib/address.h"
#include "lib/chars.h"
#include "proxy/http/head.h"
#include "proxy/http/protobuf.h"

enum { /* numbers of fields */
       REQUEST_RESOURCE_SPANS = 1,
       RESOURCE_SPANS_RESOURCE = 1,
       RESOURCE_SPANS_SCOPE_SPANS = 2,
       RESOURCE_ATTRIBUTES = 1,
       SCOPE_SPANS_SCOPE = 1,
       SCOPE_SPANS_SPANS = 2,
       SCOPE_NAME = 1,
       SCOPE_VERSION = 2,
       SPAN_TRACE_ID = 1,
       SPAN_ID = 2,
       SPAN_STATE = 3,
       SPAN_PARENT = 4,
       SPAN_NAME = 5,
       SPAN_KIND = 6,
       SPAN_START = 7,
       SPAN_END = 8,
       SPAN_ATTRIBUTES = 9,
       SPAN_STATUS = 15,
       SPAN_FLAGS = 16,
       STATUS_CODE = 3,
       KEY_VALUE_KEY = 1,
       KEY_VALUE_VALUE = 2,
       VALUE_TEXT = 1,
       VALUE_BOOL = 2,
       VALUE_NUMBER = 3,
       RESPONSE_PARTIAL = 1,
       PARTIAL_REJECTED = 1
};

enum { /* values */
       KIND_SERVER = 2,
       KIND_CLIENT = 3,
       STATUS_ERROR = 2,
       FLAG_SAMPLED = 1,
       FLAG_KNOWS_REMOTE = 0x100,
       FLAG_REMOTE = 0x200
};

enum { TEXT_MAX = 1024, NAME_MAX = 512 };

/* ---- attempts ---- */

struct spans_attempt *spans_next(struct spans *s) {
    uint32_t at = s->n < SPANS_ATTEMPTS ? s->n : SPANS_ATTEMPTS - 1;
    s->attempts[at] = (struct spans_attempt){.number = (uint16_t)s->n};
    s->n++;
    return &s->attempts[at];
}

static uint32_t n_kept(const struct spans *s) {
    return s->n < SPANS_ATTEMPTS ? s->n : SPANS_ATTEMPTS;
}

struct spans_attempt *spans_running(struct spans *s) {
    struct spans_attempt *last = s->n > 0 ? &s->attempts[n_kept(s) - 1] : NULL;
    return last && last->end_ns == 0 ? last : NULL;
}

/* ---- attributes ---- */

struct attribute {
    size_t whole, value;
};

static struct attribute open_attribute(struct out *o, uint32_t number, const char *key) {
    struct attribute a = {.whole = proto_open(o, number)};
    proto_bytes(o, KEY_VALUE_KEY, str_of(key));
    a.value = proto_open(o, KEY_VALUE_VALUE);
    return a;
}

static void close_attribute(struct out *o, struct attribute a) {
    proto_close(o, a.value);
    proto_close(o, a.whole);
}

static void put_text_of(struct out *o, uint32_t number, const char *key, struct str text) {
    if (text.n == 0)
        return;
    struct attribute a = open_attribute(o, number, key);
    proto_text(o, VALUE_TEXT, str_mk(text.p, size_min(text.n, TEXT_MAX)));
    close_attribute(o, a);
}

static void put_text(struct out *o, const char *key, struct str text) {
    put_text_of(o, SPAN_ATTRIBUTES, key, text);
}

static void put_number(struct out *o, const char *key, uint64_t v) {
    struct attribute a = open_attribute(o, SPAN_ATTRIBUTES, key);
    proto_u64(o, VALUE_NUMBER, v);
    close_attribute(o, a);
}

static void put_bool(struct out *o, const char *key, bool v) {
    struct attribute a = open_attribute(o, SPAN_ATTRIBUTES, key);
    proto_u64(o, VALUE_BOOL, v);
    close_attribute(o, a);
}

static void put_us(struct out *o, const char *key, uint64_t ns) { put_number(o, key, ns / 1000); }

static void put_address(struct out *o, const char *key, struct str bytes) {
    char room[64];
    struct out text = out_fixed(room, sizeof(room));
    address_print(&text, bytes);
    put_text(o, key, out_done(&text));
}

static bool is_mapped(const uint8_t a[16]) {
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(a, prefix, sizeof(prefix)) == 0;
}

static void put_method(struct out *o, struct str method) {
    if (method_of(method) != METHOD_OTHER) {
        put_text(o, "http.request.method", method);
        return;
    }
    put_text(o, "http.request.method", STR("_OTHER"));
    put_text(o, "http.request.method_original", method);
}

/* What went wrong, as one word; n == 0: nothing did. */
static struct str error_type(enum reason reason, uint16_t status, uint16_t from, char room[8]) {
    if (reason != REASON_NONE)
        return str_of(reasons[reason].name);
    if (status < from)
        return STR_NONE;
    struct out o = out_fixed(room, 8);
    out_u64(&o, status);
    return out_done(&o);
}

static void put_error(struct out *o, enum reason reason, uint16_t status, uint16_t from) {
    char room[8];
    put_text(o, "error.type", error_type(reason, status, from, room));
    if (reason == REASON_NONE)
        return;
    put_text(o, "sluice.reason", str_of(reasons[reason].name));
    put_text(o, "sluice.origin", str_of(origin_names[reasons[reason].origin]));
}

static void put_status(struct out *o, bool error) {
    if (!error)
        return;
    size_t at = proto_open(o, SPAN_STATUS);
    proto_u64(o, STATUS_CODE, STATUS_ERROR);
    proto_close(o, at);
}

/* ---- a span ---- */

/* The trace id of a traceparent, which is well-formed. */
static void put_trace_id(struct out *o, struct str traceparent) {
    char id[16];
    for (unsigned i = 0; i < sizeof(id); i++)
        id[i] =
            (char)(char_hex(traceparent.p[3 + 2 * i]) << 4 | char_hex(traceparent.p[4 + 2 * i]));
    proto_bytes(o, SPAN_TRACE_ID, str_mk(id, sizeof(id)));
}

static void put_id(struct out *o, uint32_t number, uint64_t id) {
    char bytes[8];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(id >> (56 - 8 * i));
    proto_bytes(o, number, str_mk(bytes, sizeof(bytes)));
}

struct span_words {
    uint64_t id, parent; /* 0: none */
    bool remote;         /* the parent is somebody else's */
    unsigned kind;
    struct str name;
    uint64_t start_ns, end_ns;
};

static size_t open_span(struct out *o, const struct spans_request *q, const struct span_words *w) {
    size_t at = proto_open(o, SCOPE_SPANS_SPANS);
    uint32_t flags = (q->context->sampled ? FLAG_SAMPLED : 0) | FLAG_KNOWS_REMOTE;
    put_trace_id(o, q->record->traceparent);
    put_id(o, SPAN_ID, w->id);
    if (q->context->state.n > 0)
        proto_text(o, SPAN_STATE, q->context->state);
    if (w->parent != 0)
        put_id(o, SPAN_PARENT, w->parent);
    proto_text(o, SPAN_NAME, w->name);
    proto_u64(o, SPAN_KIND, w->kind);
    proto_fixed64(o, SPAN_START, w->start_ns + q->offset_ns);
    proto_fixed64(o, SPAN_END, w->end_ns + q->offset_ns);
    proto_fixed32(o, SPAN_FLAGS, flags | (w->remote ? FLAG_REMOTE : 0));
    return at;
}

/* ---- the request ---- */

static void write_route(struct out *o, const struct record *r) {
    const struct model_route *m = r->rule ? r->rule->model : NULL;
    if (!m)
        return;
    out_str(o, m->namespace);
    out_char(o, '/');
    out_str(o, m->name);
    out_char(o, '/');
    out_str(o, m->rule);
}

static struct str without_query(struct str path) {
    return str_mk(path.p, size_min(str_find(path, '?', 0), str_find(path, '#', 0)));
}

static void put_request(struct out *o, const struct spans_request *q, struct str route) {
    const struct record *r = q->record;
    struct str protocol = str_of(r->protocol ? r->protocol : "");
    size_t skip = str_starts(protocol, STR("http/")) ? 5 : protocol.n > 0 ? 1 : 0;
    put_method(o, r->method);
    put_text(o, "url.path", without_query(r->path));
    put_text(o, "url.scheme", r->tls.n > 0 ? STR("https") : STR("http"));
    put_text(o, "server.address", r->host);
    put_number(o, "server.port", q->port);
    bool v4 = is_mapped(r->client);
    put_address(o, "client.address", str_mk((const char *)r->client + (v4 ? 12 : 0), v4 ? 4 : 16));
    put_text(o, "network.protocol.version", str_skip(protocol, skip));
    if (r->status > 0)
        put_number(o, "http.response.status_code", r->status);
    put_error(o, r->reason, r->status, 500);
    put_text(o, "sluice.route", route);
    put_text(o, "sluice.request_id", r->request_id);
    put_text(o, "sluice.consumer", r->consumer);
    put_number(o, "sluice.attempts", r->attempts);
}

static void put_phases(struct out *o, const struct record *r) {
    put_us(o, "sluice.gateway_us", r->gateway_ns);
    put_us(o, "sluice.read_us", r->read_ns);
    put_us(o, "sluice.auth_us", r->auth_ns);
    put_us(o, "sluice.pick_us", r->pick_ns);
    put_us(o, "sluice.connect_us", r->connect_ns);
    put_us(o, "sluice.retry_us", r->retry_ns);
    put_us(o, "sluice.upstream_us", r->upstream_ns);
    put_us(o, "sluice.body_us", r->body_ns);
}

/* It is no fault of the server that a client asks for what is not there. */
static bool is_fault(const struct record *r) {
    enum origin origin = reasons[r->reason].origin;
    return r->status >= 500 || (r->reason != REASON_NONE && origin != ORIGIN_CLIENT);
}

static struct str known_method(struct str method) {
    return method_of(method) != METHOD_OTHER ? method : STR("HTTP");
}

static void write_server(struct out *o, const struct spans_request *q) {
    const struct record *r = q->record;
    char room[NAME_MAX];
    struct out name = out_fixed(room, sizeof(room));
    out_str(&name, known_method(r->method));
    out_char(&name, ' ');
    size_t before = name.n;
    write_route(&name, r);
    struct str route = name.over ? STR_NONE : str_skip(out_done(&name), before);
    size_t at = open_span(o, q,
                          &(struct span_words){q->context->span, q->context->parent,
                                               q->context->parent != 0, KIND_SERVER,
                                               str_mk(room, route.n > 0 ? name.n : before - 1),
                                               r->start_ns, r->start_ns + r->total_ns});
    put_request(o, q, route);
    put_phases(o, r);
    put_status(o, is_fault(r));
    proto_close(o, at);
}

/* ---- what it waited for ---- */

static void write_auth(struct out *o, const struct spans_request *q) {
    const struct record *r = q->record;
    bool failed = reasons[r->reason].origin == ORIGIN_AUTH;
    uint64_t start = r->start_ns + r->read_ns;
    size_t at = open_span(o, q,
                          &(struct span_words){q->spans->auth, q->context->span, false, KIND_CLIENT,
                                               STR("auth"), start, start + r->auth_ns});
    if (r->auth) {
        put_text(o, "sluice.policy", r->auth->policy);
        put_text(o, "sluice.auth_method", r->auth->method);
        put_text(o, "sluice.decision", str_of(record_decisions[r->auth->decision]));
    }
    if (failed)
        put_error(o, r->reason, 0, 500);
    put_status(o, failed);
    proto_close(o, at);
}

static void write_backend(struct out *o, const struct model_backend *b) {
    out_str(o, b->namespace);
    out_char(o, '/');
    out_str(o, b->service);
    out_char(o, '/');
    out_u64(o, b->port);
}

static void put_backend(struct out *o, const struct backend *b) {
    char room[NAME_MAX];
    struct out text = out_fixed(room, sizeof(room));
    if (b->host.n > 0) {
        out_str(&text, b->host);
    } else {
        out_str(&text, b->model->service);
        out_char(&text, '.');
        out_str(&text, b->model->namespace);
        out_lit(&text, ".svc");
    }
    put_text(o, "server.address", out_done(&text));
    put_number(o, "server.port", b->model->port);
    text.n = 0;
    write_backend(&text, b->model);
    put_text(o, "sluice.backend", out_done(&text));
    put_text(o, "network.protocol.version", b->protocol == MODEL_H1 ? STR("1.1") : STR("2"));
}

static void write_attempt(struct out *o, const struct spans_request *q,
                          const struct spans_attempt *a) {
    const struct endpoint *e = a->endpoint;
    struct str method = q->record->method;
    size_t at = open_span(o, q,
                          &(struct span_words){a->span, q->context->span, false, KIND_CLIENT,
                                               known_method(method), a->start_ns, a->end_ns});
    put_method(o, method);
    if (a->backend)
        put_backend(o, a->backend);
    if (e) {
        put_address(o, "network.peer.address",
                    str_mk((const char *)e->address, e->family == 4 ? 4 : 16));
        put_number(o, "network.peer.port", e->port);
    }
    if (a->status > 0)
        put_number(o, "http.response.status_code", a->status);
    put_error(o, a->reason, a->status, 400);
    if (a->number > 0)
        put_number(o, "http.request.resend_count", a->number);
    put_bool(o, "sluice.reused", a->reused);
    put_us(o, "sluice.connect_us", a->connect_ns);
    put_status(o, a->reason != REASON_NONE || a->status >= 400);
    proto_close(o, at);
}

unsigned spans_write(struct out *o, const struct spans_request *q) {
    uint32_t n = n_kept(q->spans);
    bool waited = q->record->auth_ns > 0;
    write_server(o, q);
    if (waited)
        write_auth(o, q);
    for (uint32_t i = 0; i < n; i++)
        write_attempt(o, q, &q->spans->attempts[i]);
    return 1 + waited + n;
}

/* ---- a message ---- */

void spans_begin(struct out *o, struct str service, struct str instance, struct spans_batch *b) {
    b->at[0] = proto_open(o, REQUEST_RESOURCE_SPANS);
    size_t at = proto_open(o, RESOURCE_SPANS_RESOURCE);
    put_text_of(o, RESOURCE_ATTRIBUTES, "service.name", service);
    put_text_of(o, RESOURCE_ATTRIBUTES, "service.version", str_of(sluice_version));
    put_text_of(o, RESOURCE_ATTRIBUTES, "service.instance.id", instance);
    proto_close(o, at);
    b->at[1] = proto_open(o, RESOURCE_SPANS_SCOPE_SPANS);
    at = proto_open(o, SCOPE_SPANS_SCOPE);
    proto_text(o, SCOPE_NAME, STR("sluice"));
    proto_text(o, SCOPE_VERSION, str_of(sluice_version));
    proto_close(o, at);
}

void spans_end(struct out *o, const struct spans_batch *b) {
    proto_close(o, b->at[1]);
    proto_close(o, b->at[0]);
}

uint64_t spans_refused(struct str answer) {
    struct proto p = proto_of(answer), inner;
    struct proto_field f, g;
    uint64_t n = 0;
    while (proto_next(&p, &f)) {
        if (f.number != RESPONSE_PARTIAL || f.type != PROTO_BYTES)
            continue;
        inner = proto_of(f.bytes);
        while (proto_next(&inner, &g))
            if (g.number == PARTIAL_REJECTED && g.type == PROTO_VARINT)
                n = g.value;
        if (inner.bad)
            return 0;
    }
    return p.bad ? 0 : n;
}
