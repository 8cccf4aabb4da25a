/* SPDX-License-Identifier: Apache-2.0
 *
 * check: envoy.service.auth.v3.Authorization/Check, one call of gRPC. Of its messages we write and
 * read what says something about a request here; the numbers are those of
 * envoy/service/auth/v3/{external_auth,attribute_context}.proto and
 * envoy/config/core/v3/base.proto.
 */
#include "proxy/auth/external.h"

#include "lib/address.h"
#include "proxy/http/protobuf.h"

enum { FRAME = 5 }; /* of a message: compressed or not, its length */

/* ---- the question ---- */

void check_write_head(struct judging *j, const struct method_law *m, size_t n, struct out *o) {
    out_lit(o, "POST /envoy.service.auth.v3.Authorization/Check HTTP/1.1\r\nhost: ");
    service_write_host(snapshot_backend(j->x->snapshot, m->backend), o);
    out_lit(
        o, "\r\ncontent-type: application/grpc\r\nte: trailers\r\nuser-agent: grpc-c-sluice/1\r\n");
    out_fmt(o, "grpc-timeout: %um\r\n", external_timeout(m->model->external));
    out_lit(o, "x-request-id: ");
    out_str(o, j->x->request_id);
    out_lit(o, "\r\ntraceparent: ");
    out_str(o, j->x->traceparent);
    out_lit(o, "\r\ncontent-length: ");
    out_u64(o, n);
    out_lit(o, "\r\n\r\n");
}

/* Peer.address.socket_address */
static void write_peer(struct out *o, uint32_t number, struct str address, unsigned port) {
    size_t peer = proto_open(o, number), a = proto_open(o, 1), socket = proto_open(o, 1);
    proto_text(o, 2, address);
    if (port > 0)
        proto_u64(o, 3, port);
    proto_close(o, socket);
    proto_close(o, a);
    proto_close(o, peer);
}

static struct str client_text(const struct judging *j, char room[64]) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(j->client, mapped, sizeof(mapped)) == 0;
    struct out o = out_fixed(room, 64);
    address_print(&o, str_mk((const char *)j->client + (v4 ? 12 : 0), v4 ? 4 : 16));
    return out_done(&o);
}

static bool was_before(const struct judging *j, const struct method_law *m, unsigned i) {
    const struct head *h = j->x->request;
    for (unsigned k = 0; k < i; k++)
        if (str_eq_nocase(head_name(h, &h->fields[k]), head_name(h, &h->fields[i])) &&
            external_shows(j, m, &h->fields[k]))
            return true;
    return false;
}

static void write_entry(struct out *o, struct str name, struct str value) {
    size_t entry = proto_open(o, 3);
    char lower[256];
    bool fits = name.n <= sizeof(lower);
    if (fits)
        str_lower(lower, name);
    proto_text(o, 1, fits ? str_mk(lower, name.n) : name);
    proto_text(o, 2, value);
    proto_close(o, entry);
}

/* A map: lines of one name are one value (RFC 9110 5.3). */
static void write_headers(struct judging *j, const struct method_law *m, struct out *o) {
    const struct head *h = j->x->request;
    for (unsigned i = 0; i < h->n_fields; i++) {
        if (!external_shows(j, m, &h->fields[i]) || was_before(j, m, i))
            continue;
        struct out room = out_heap(HEAD_BYTES_MAX);
        struct str name = head_name(h, &h->fields[i]);
        write_entry(o, name, head_joined(h, name, &room));
        o->over |= room.over;
        out_fini(&room);
    }
    struct out target = out_heap(HEAD_BYTES_MAX);
    external_write_path(j->x, &target);
    write_entry(o, STR(":method"), head_str(h, h->method_text));
    write_entry(o, STR(":authority"), j->x->host);
    write_entry(o, STR(":path"), out_done(&target));
    write_entry(o, STR(":scheme"), policy_is_https(j->x) ? STR("https") : STR("http"));
    write_entry(o, STR("x-request-id"), j->x->request_id);
    o->over |= target.over;
    out_fini(&target);
}

static void write_authority(const struct exchange *x, struct out *o) {
    out_str(o, head_str(x->request, x->request->host));
    if (x->host_port > 0) {
        out_char(o, ':');
        out_u64(o, x->host_port);
    }
}

static void write_http(struct judging *j, const struct method_law *m, struct str body,
                       struct out *o) {
    const struct exchange *x = j->x;
    const struct head *h = x->request;
    struct out text = out_heap(2 * HEAD_BYTES_MAX);
    size_t http = proto_open(o, 2);
    proto_text(o, 1, x->request_id);
    proto_text(o, 2, head_str(h, h->method_text));
    write_headers(j, m, o);
    external_write_path(x, &text);
    proto_text(o, 4, out_done(&text));
    size_t at = text.n;
    write_authority(x, &text);
    proto_text(o, 5, text.over ? STR_NONE : str_skip(out_done(&text), at));
    proto_text(o, 6, policy_is_https(x) ? STR("https") : STR("http"));
    proto_u64(o, 9,
              h->framing == FRAMING_LENGTH ? h->content_length
              : h->framing == FRAMING_NONE ? 0
                                           : UINT64_MAX /* -1: unknown */);
    proto_text(o, 10, x->http10 ? STR("HTTP/1.0") : STR("HTTP/1.1"));
    if (body.n > 0)
        proto_bytes(o, 12, body);
    proto_close(o, http);
    o->over |= text.over;
    out_fini(&text);
}

void check_write(struct judging *j, const struct method_law *m, struct str body, struct out *o) {
    char room[64];
    size_t begin = o->n;
    (void)out_take(o, FRAME);
    size_t attributes = proto_open(o, 1);
    write_peer(o, 1, client_text(j, room), 0);
    write_peer(o, 2, STR_NONE, j->x->port);
    size_t request = proto_open(o, 4), time = proto_open(o, 1);
    proto_u64(o, 1, (uint64_t)j->now);
    proto_close(o, time);
    write_http(j, m, body, o);
    proto_close(o, request);
    proto_close(o, attributes);
    if (o->over)
        return;
    size_t n = o->n - begin - FRAME;
    unsigned char *frame = (unsigned char *)o->p + begin;
    frame[0] = 0;
    for (unsigned i = 0; i < 4; i++)
        frame[1 + i] = (unsigned char)(n >> (24 - 8 * i));
}

/* ---- the answer ---- */

struct checked {
    struct said said;
    bool has_status, has_ok, has_denied;
    uint64_t code; /* of google.rpc.Status */
};

/* It has that number, and then it must be text or a message: as what else it comes, it is not what
 * we know. */
static bool is_bytes(struct proto *p, const struct proto_field *f, uint32_t number) {
    if (f->number != number)
        return false;
    p->bad |= f->type != PROTO_BYTES;
    return !p->bad;
}

/* HeaderValueOption.header: key, value, raw_value. */
static bool read_header(struct str option, struct str *name, struct str *value) {
    struct proto p = proto_of(option);
    struct proto_field f;
    struct str header = STR_NONE;
    *name = *value = STR_NONE;
    while (proto_next(&p, &f))
        if (is_bytes(&p, &f, 1))
            header = f.bytes;
    if (p.bad)
        return false;
    p = proto_of(header);
    while (proto_next(&p, &f)) {
        if (is_bytes(&p, &f, 1))
            *name = f.bytes;
        if ((is_bytes(&p, &f, 2) || is_bytes(&p, &f, 3)) && f.bytes.n > 0)
            *value = f.bytes;
    }
    return !p.bad;
}

typedef bool (*take_header)(struct said *s, struct str name, struct str value);

/* Pseudo fields, which a few servers repeat, mean nothing here. */
static bool take_option(struct said *s, struct str option, take_header take) {
    struct str name, value;
    if (!read_header(option, &name, &value))
        return false;
    return (name.n > 0 && name.p[0] == ':') || take(s, name, value);
}

/* OkHttpResponse */
static bool read_ok(struct checked *c, struct str message) {
    struct proto p = proto_of(message);
    struct proto_field f;
    bool good = true;
    c->has_ok = true;
    while (good && proto_next(&p, &f)) {
        if (is_bytes(&p, &f, 2))
            good = take_option(&c->said, f.bytes, said_to_backend);
        else if (is_bytes(&p, &f, 5))
            said_hide(&c->said, f.bytes);
        else if (is_bytes(&p, &f, 6))
            good = take_option(&c->said, f.bytes, said_to_client);
    }
    return good && !p.bad;
}

/* The first number of a message. */
static bool read_code(struct str message, uint64_t *code) {
    struct proto p = proto_of(message);
    struct proto_field f;
    *code = 0;
    while (proto_next(&p, &f)) {
        if (f.number != 1)
            continue;
        p.bad |= f.type != PROTO_VARINT;
        *code = f.value;
    }
    return !p.bad;
}

/* DeniedHttpResponse */
static bool read_denied(struct checked *c, struct str message) {
    struct proto p = proto_of(message);
    struct proto_field f;
    uint64_t status = 0;
    bool good = true;
    c->has_denied = true;
    while (good && proto_next(&p, &f)) {
        if (is_bytes(&p, &f, 1))
            good = read_code(f.bytes, &status);
        else if (is_bytes(&p, &f, 2))
            good = take_option(&c->said, f.bytes, said_refusal_field);
        else if (is_bytes(&p, &f, 3))
            c->said.verdict.body = f.bytes;
    }
    bool usual = status >= 300 && status < 600 && status != 304; /* which has no body */
    c->said.verdict.status = usual ? (uint16_t)status : 403;
    return good && !p.bad;
}

static bool read_all(struct checked *c, struct str message) {
    struct proto p = proto_of(message);
    struct proto_field f;
    bool good = true;
    while (good && proto_next(&p, &f)) {
        if (is_bytes(&p, &f, 1)) { /* of two, which one would count? */
            good = !c->has_status && read_code(f.bytes, &c->code);
            c->has_status = true;
        } else if (is_bytes(&p, &f, 2)) {
            good = !c->has_ok && !c->has_denied && read_denied(c, f.bytes);
        } else if (is_bytes(&p, &f, 3)) {
            good = !c->has_ok && !c->has_denied && read_ok(c, f.bytes);
        }
    }
    return good && !p.bad && (c->has_status || c->has_ok || c->has_denied);
}

/* Its value; of two, one that says nothing. */
static struct str trailer(struct str lines, struct str name) {
    struct str line, key, found = STR_NONE;
    while (lines.n > 0) {
        lines = str_cut(lines, '\n', &line);
        struct str value = str_cut(line, ':', &key);
        if (!value.p || !str_eq_nocase(key, name))
            continue;
        if (value.n > 0 && value.p[value.n - 1] == '\r')
            value.n--;
        found = found.p ? STR("twice") : str_trim(value);
    }
    return found;
}

/* 0: it was answered; UINT64_MAX: it says nothing. */
static uint64_t grpc_status(const struct call *c) {
    struct str s = trailer(c->trailers, STR("grpc-status"));
    uint64_t status;
    if (s.n == 0)
        s = call_field(c, STR("grpc-status")); /* trailers alone */
    return str_to_u64(s, 255, &status) ? status : UINT64_MAX;
}

/* One message, not compressed, and nothing behind it. */
static bool unframe(struct str body, struct str *message) {
    uint32_t n = 0;
    if (body.n < FRAME || body.p[0] != 0)
        return false;
    for (unsigned i = 0; i < 4; i++)
        n = n << 8 | (unsigned char)body.p[1 + i];
    *message = str_skip(body, FRAME);
    return message->n == n;
}

static void decide(struct checked *c) {
    struct verdict *v = &c->said.verdict;
    v->good = c->code == 0 && !c->has_denied;
    if (v->good)
        return;
    if (v->status == 0)
        v->status = 403;
    if (c->has_ok) /* what was said for a request that passes */
        c->said.to_backend.n = c->said.to_client.n = c->said.hidden.n = 0;
    v->detail = "the service refuses it";
    v->once |= v->status != 401 && v->status != 403;
}

struct verdict *check_read(const struct method_law *m, const struct call *c, int64_t now,
                           enum reason *reason, const char **detail) {
    struct checked checked = {.code = 0};
    uint64_t status = grpc_status(c);
    struct str message;
    (void)now;
    *reason = status == 4 ? REASON_AUTH_SERVICE_TIMEOUT : REASON_AUTH_SERVICE_FAILED;
    *detail = "the service answered the call with an error of gRPC";
    if (c->status != 200 || status != 0)
        return NULL;
    *detail = "the service's answer is no CheckResponse";
    said_begin(&checked.said, m);
    if (!unframe(c->body, &message) || !read_all(&checked, message)) {
        said_fini(&checked.said);
        return NULL;
    }
    decide(&checked);
    return said_end(&checked.said, detail);
}
