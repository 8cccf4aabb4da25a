/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc: what a gateway owes to gRPC (its "PROTOCOL-HTTP2" and "http-grpc-status-mapping"):
 * deadlines of callers, and answers of our own that a caller understands.
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

bool policy_is_grpc(const struct head *request) {
    const struct head_field *f = field(request, STR("content-type"));
    struct str type = f != NULL ? head_value(request, f) : STR_NONE;
    if (!str_starts(type, STR("application/grpc")))
        return false;
    return type.n == 16 || type.p[16] == '+' || type.p[16] == ';'; /* not grpc-web */
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

void policy_grpc_answer(struct answer *a) {
    a->grpc_code = (uint8_t)code_of(a);
    a->grpc_message = a->body;
    while (a->grpc_message.n > 0 && a->grpc_message.p[a->grpc_message.n - 1] == '\n')
        a->grpc_message.n--; /* the rest of it is printable, and has no '%' */
    a->content_type = STR("application/grpc");
    a->body = STR_NONE;
    a->status = 200;
}
