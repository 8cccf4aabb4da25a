/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc: what a gateway owes to gRPC (its "PROTOCOL-HTTP2" and "http-grpc-status-mapping"):
 * deadlines of callers, and answers of our own that a caller understands; and to gRPC-Web
 * (http/grpc_web.h): which calls are translated, and the heads of their answers.
 */
#include "proxy/policy/policy.h"

enum { /* codes of gRPC */
       GRPC_UNKNOWN = 2,
       GRPC_DEADLINE_EXCEEDED = 4,
       GRPC_PERMISSION_DENIED = 7,
       GRPC_RESOURCE_EXHAUSTED = 8,
       GRPC_UNIMPLEMENTED = 12,
       GRPC_INTERNAL = 13,
       GRPC_UNAVAILABLE = 14,
       GRPC_UNAUTHENTICATED = 16,
};

static const struct head_field *field(const struct head *h, struct str name) {
    unsigned from = 0;
    return head_each(h, name, &from);
}

static struct str type_of(const struct head *h) {
    const struct head_field *f = head_find(h, TOKEN_CONTENT_TYPE);
    return f != NULL ? head_value(h, f) : STR_NONE;
}

struct str policy_grpc_type(const struct head *request, bool h2) {
    struct str type = type_of(request), rest, own = STR_NONE;
    if (h2 && grpc_type(type, &rest))
        return STR("application/grpc");
    if (grpc_web_form(type, &rest) != GRPC_WEB_NONE)
        str_cut(type, ';', &own);
    return own;
}

/* Microseconds of a unit; 0: it is none. */
static uint64_t unit_us(char c) {
    switch (c) {
    case 'H':
        return 3600000000;
    case 'M':
        return 60000000;
    case 'S':
        return 1000000;
    case 'm':
        return 1000;
    case 'u':
    case 'n': /* as good as microseconds */
        return 1;
    default:
        return 0;
    }
}

uint64_t policy_grpc_timeout_ms(const struct head *request) {
    const struct head_field *f = field(request, STR("grpc-timeout"));
    struct str v = f != NULL ? head_value(request, f) : STR_NONE;
    uint64_t n, unit = v.n > 1 && v.n <= 9 ? unit_us(v.p[v.n - 1]) : 0;
    if (unit == 0 || !str_to_u64(str_mk(v.p, v.n - 1), 99999999, &n))
        return UINT64_MAX;
    return v.p[v.n - 1] == 'n' ? n / 1000000 : n * unit / 1000;
}

/* First what a reason says that no status of HTTP does, then the mapping of the specification. */
static unsigned code_of(const struct answer *a) {
    switch (a->reason) {
    case REASON_UPSTREAM_TIMEOUT:
    case REASON_CLIENT_TIMEOUT:
        return GRPC_DEADLINE_EXCEEDED;
    case REASON_BODY_TOO_LARGE:
    case REASON_HEADER_TOO_LARGE:
    case REASON_RESPONSE_TOO_LARGE:
    case REASON_RATE_LIMITED:
        return GRPC_RESOURCE_EXHAUSTED;
    default:
        break;
    }
    switch (a->status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

void policy_grpc_answer(struct answer *a, struct str type) {
    struct str rest;
    a->grpc_code = (uint8_t)code_of(a);
    a->grpc_web = !grpc_type(type, &rest);
    a->grpc_message = a->body;
    while (a->grpc_message.n > 0 && a->grpc_message.p[a->grpc_message.n - 1] == '\n')
        a->grpc_message.n--; /* the rest of it is printable, and has no '%' */
    a->content_type = type;
    a->body = STR_NONE;
    a->status = 200;
}

/* ---- gRPC-Web ---- */

/* In which form the answer is wanted: what Accept says, else that of the request. */
static enum grpc_web_form wanted(const struct head *request, enum grpc_web_form asks) {
    unsigned from = 0;
    const struct head_field *f;
    while ((f = head_each(request, STR("accept"), &from)) != NULL) {
        struct str left = head_value(request, f), one, rest;
        while (left.n > 0) {
            left = str_cut(left, ',', &one);
            enum grpc_web_form form = grpc_web_form(str_trim(one), &rest);
            if (form != GRPC_WEB_NONE)
                return form;
        }
    }
    return asks;
}

bool policy_grpc_web(const struct head *request, struct grpc_web *web) {
    struct str type = type_of(request);
    web->asks = grpc_web_form(type, &web->rest);
    if (web->asks != GRPC_WEB_NONE)
        web->answers = wanted(request, web->asks);
    return web->asks != GRPC_WEB_NONE;
}

void policy_grpc_web_answer(struct grpc_web *web, struct head *response) {
    struct str rest;
    if (!grpc_type(type_of(response), &rest)) {
        web->answers = GRPC_WEB_NONE;
        return;
    }
    if (rest.n > 0)
        web->rest = rest;
    for (unsigned i = 0; i < response->n_fields; i++)
        if (response->fields[i].token == TOKEN_CONTENT_TYPE)
            response->fields[i].dropped = true;
}

static bool has_status(struct str lines) {
    struct str line, name;
    while (lines.n > 0) {
        lines = str_cut(lines, '\n', &line);
        str_cut(line, ':', &name);
        if (str_eq_nocase(name, STR("grpc-status")))
            return true;
    }
    return false;
}

void policy_write_web_trailers(const struct exchange *x, struct str lines, bool told,
                               struct out *o) {
    policy_write_trailers(x, TRAILERS_OF_ANSWER, lines, o);
    if (!told && !has_status(lines))
        out_fmt(o, "grpc-status: %d\r\ngrpc-message: %s\r\n", GRPC_UNKNOWN,
                "the backend has not said a grpc-status");
}
