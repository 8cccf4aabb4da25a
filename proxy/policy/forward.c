/* SPDX-License-Identifier: Apache-2.0
 *
 * forward: heads that go on, written anew from what was parsed: hop-by-hop fields are gone, the
 * forwarded family and the framing are our own (S32, S33), identity headers are stripped.
 */
#include "proxy/policy/forwarded.h"
#include "proxy/policy/policy.h"

/* Lines are written in one piece: room is asked for once. */
static inline char *put(char *at, struct str s) { return (char *)memcpy(at, s.p, s.n) + s.n; }

static inline void write_field(struct out *o, struct str name, struct str value) {
    char *at = out_take(o, name.n + value.n + 4);
    if (unlikely(at == NULL))
        return;
    at = put(at, name);
    *at++ = ':';
    *at++ = ' ';
    at = put(at, value);
    *at++ = '\r';
    *at = '\n';
}
#define write_named(o, name, value) write_field((o), STR(name), (value))

static void write_framing(struct out *o, uint8_t framing, uint64_t length) {
    if (framing == FRAMING_LENGTH) {
        out_lit(o, "content-length: ");
        out_u64(o, length);
        out_lit(o, "\r\n");
    } else if (framing == FRAMING_CHUNKED) {
        out_lit(o, "transfer-encoding: chunked\r\n");
    }
}

/* RFC 9110 7.8: the two fields belong to each other. */
static void write_upgrade(const struct exchange *x, struct out *o) {
    out_lit(o, "connection: upgrade\r\n");
    write_named(o, "upgrade", x->upgrade);
}

/* ---- path ---- */

/* Gateway API HTTPPathModifier: the part behind the matched prefix goes behind the new one, with
 * exactly one slash between them. */
static void replace_prefix(const struct exchange *x, struct str with, struct out *o) {
    size_t matched = x->match->path_type == MODEL_PATH_PREFIX ? x->match->path.n : x->path.n;
    struct str rest = str_skip(x->path, size_min(matched, x->path.n));
    if (with.n > 0 && with.p[with.n - 1] == '/' && rest.n > 0 && rest.p[0] == '/')
        with.n--;
    if (with.n == 0 && rest.n == 0)
        rest = STR("/");
    out_str(o, with);
    out_str(o, rest);
}

void policy_write_path(const struct exchange *x, enum model_path_edit edit, struct str with,
                       struct out *o) {
    switch (edit) {
    case MODEL_PATH_KEEP:
        out_str(o, x->path);
        return;
    case MODEL_PATH_REPLACE_FULL:
        out_str(o, with);
        return;
    case MODEL_PATH_REPLACE_PREFIX:
        replace_prefix(x, with, o);
        return;
    }
}

/* ---- request ---- */

/* A pattern is a name in lower case, or a beginning with '*' behind it. */
static inline bool pattern_matches(struct str pattern, struct str name) {
    bool open = pattern.n > 0 && pattern.p[pattern.n - 1] == '*';
    size_t n = open ? pattern.n - 1 : pattern.n;
    if (n == 0 || (open ? name.n < n : name.n != n) || char_lower(name.p[0]) != pattern.p[0] ||
        char_lower(name.p[n - 1]) != pattern.p[n - 1])
        return n == 0 && open;
    return str_eq_nocase(str_mk(pattern.p, n), str_mk(name.p, n));
}

static inline bool is_identity(const struct model_gateway *g, struct str name) {
    for (uint32_t i = 0; i < g->n_identity_headers; i++)
        if (pattern_matches(g->identity_headers[i], name))
            return true;
    return false;
}

bool policy_is_identity(const struct model_gateway *g, struct str name) {
    return is_identity(g, name);
}

/* Fields that are written by us, or not at all. */
static bool is_ours(const struct exchange *x, enum token t) {
    switch (t) {
    case TOKEN_HOST:
    case TOKEN_CONTENT_LENGTH:
    case TOKEN_EXPECT: /* answered here */
    case TOKEN_X_REQUEST_ID:
    case TOKEN_TRACEPARENT:
    case TOKEN_X_FORWARDED_FOR:
    case TOKEN_FORWARDED:
        return true;
    case TOKEN_TRACESTATE: /* of that trace alone */
        return !policy_trace_continues(x);
    case TOKEN_CONTENT_TYPE:
        return x->web != NULL;
    case TOKEN_X_FORWARDED_PROTO:
    case TOKEN_X_FORWARDED_HOST:
    case TOKEN_X_FORWARDED_PORT:
        return !x->trusted;
    default:
        return !x->trusted && (token_flags(t) & TOKEN_IS_FAMILY) != 0;
    }
}

/* HTTP/1.0 without Host: as a client in the cluster would name the backend. RFC 9112 3.2 asks for a
 * Host in any case, and servers refuse an empty one. */
static void write_service(const struct exchange *x, struct out *o) {
    const struct model_backend *b = x->backend != NULL ? x->backend->model : NULL;
    if (b == NULL)
        return;
    out_str(o, b->service);
    out_char(o, '.');
    out_str(o, b->namespace);
    out_lit(o, ".svc");
    if (b->port != 80) {
        out_char(o, ':');
        out_u64(o, b->port);
    }
}

static void write_host_with_port(struct str host, uint16_t port, struct out *o) {
    out_lit(o, "host: ");
    out_str(o, host);
    out_char(o, ':');
    out_u64(o, port);
    out_lit(o, "\r\n");
}

static void write_host(const struct exchange *x, struct str rewritten, struct out *o) {
    struct str host = head_str(x->request, x->request->host);
    if (unlikely(rewritten.n > 0)) {
        write_named(o, "host", rewritten);
    } else if (unlikely(x->backend != NULL && x->backend->host.n > 0)) {
        write_named(o, "host", x->backend->host);
    } else if (unlikely(host.n == 0)) {
        out_lit(o, "host: ");
        write_service(x, o);
        out_lit(o, "\r\n");
    } else if (x->host_port > 0) {
        write_host_with_port(host, x->host_port, o);
    } else {
        write_named(o, "host", host);
    }
}

static void write_proto(const struct exchange *x, struct out *o) {
    if (unlikely(x->secure))
        out_lit(o, "x-forwarded-proto: https\r\n");
    else
        out_lit(o, "x-forwarded-proto: http\r\n");
}

/* RFC 7239: continued where a trusted peer writes it, and never begun, since nobody misses it. What
 * is malformed is left out whole: behind an open quote our element would be a part of its. */
static void write_forwarded_field(const struct exchange *x, struct out *o) {
    const struct head *h = x->request;
    struct str nodes[FORWARDED_MAX];
    unsigned n;
    bool good = true;
    for (unsigned i = 0; i < h->n_fields; i++)
        if (h->fields[i].token == TOKEN_FORWARDED && !h->fields[i].dropped)
            good = good && forwarded_read(head_value(h, &h->fields[i]), nodes, &n);
    out_lit(o, "forwarded: ");
    for (unsigned i = 0; good && i < h->n_fields; i++) {
        if (h->fields[i].token != TOKEN_FORWARDED || h->fields[i].dropped)
            continue;
        out_str(o, head_value(h, &h->fields[i]));
        out_lit(o, ", ");
    }
    forwarded_write(o, x->peer, head_str(h, h->host), x->secure);
    out_lit(o, "\r\n");
}

static inline void write_forwarded_for(const struct exchange *x, struct out *o) {
    const struct head *h = x->request;
    if (likely(!x->trusted)) {
        write_named(o, "x-forwarded-for", x->peer);
        return;
    }
    out_lit(o, "x-forwarded-for: ");
    for (unsigned i = 0; i < h->n_fields; i++) {
        const struct head_field *f = &h->fields[i];
        if (f->token != TOKEN_X_FORWARDED_FOR || f->dropped)
            continue;
        out_str(o, head_value(h, f));
        out_lit(o, ", ");
    }
    out_str(o, x->peer);
    out_lit(o, "\r\n");
}

void policy_write_forwarded_for(const struct exchange *x, struct out *o) {
    write_forwarded_for(x, o);
}

/* RFC 7239's older sisters, which every backend reads. From a trusted peer they are continued. */
static void write_forwarded(const struct exchange *x, struct out *o) {
    const struct head *h = x->request;
    write_forwarded_for(x, o);
    if (!x->trusted || head_find(h, TOKEN_X_FORWARDED_PROTO) == NULL)
        write_proto(x, o);
    if (likely(h->host.n > 0) && (!x->trusted || head_find(h, TOKEN_X_FORWARDED_HOST) == NULL))
        write_named(o, "x-forwarded-host", head_str(h, h->host));
    if (!x->trusted || head_find(h, TOKEN_X_FORWARDED_PORT) == NULL) {
        out_lit(o, "x-forwarded-port: ");
        out_u64(o, x->port);
        out_lit(o, "\r\n");
    }
    if (unlikely(x->trusted) && head_find(h, TOKEN_FORWARDED) != NULL)
        write_forwarded_field(x, o);
}

static inline bool may_be_identity(const struct snapshot *s, struct str name) {
    unsigned char c = name.n > 0 ? (unsigned char)name.p[0] : 0;
    return (s->not_identity[c >> 6] >> (c & 63) & 1) == 0;
}

static void write_fields(const struct exchange *x, struct out *o) {
    const struct head *h = x->request;
    const struct model_gateway *g = x->snapshot->gateway;
    bool edits = x->rule->has_filters;
    for (unsigned i = 0; i < h->n_fields; i++) {
        const struct head_field *f = &h->fields[i];
        struct str name = head_name(h, f);
        if (f->dropped || is_ours(x, (enum token)f->token) ||
            (may_be_identity(x->snapshot, name) && is_identity(g, name)))
            continue;
        if (unlikely(edits) && !policy_keeps(x, MODEL_FILTER_REQUEST_HEADERS, name))
            continue;
        write_field(o, name, head_value(h, f));
    }
}

/* Unless a filter of the rule has it in hand. */
static void write_type(const struct exchange *x, enum model_filter_type type, struct str name,
                       struct out *o) {
    if (x->rule->has_filters && !policy_keeps(x, type, STR("content-type")))
        return;
    out_lit(o, "content-type: ");
    out_str(o, name);
    out_str(o, x->web->rest);
    out_lit(o, "\r\n");
}

uint8_t policy_request_framing(const struct exchange *x) {
    uint8_t framing = x->request->framing;
    if (unlikely(x->web != NULL) && x->web->asks == GRPC_WEB_TEXT && framing == FRAMING_LENGTH)
        return FRAMING_CHUNKED; /* what it stands for is shorter */
    return framing;
}

static inline const struct model_rewrite *rewrite_of(const struct exchange *x) {
    const struct model_filter *f =
        x->rule->has_filters ? policy_find(x, MODEL_FILTER_REWRITE) : NULL;
    return f != NULL ? f->rewrite : NULL;
}

static void write_path(const struct exchange *x, const struct model_rewrite *r, struct out *o) {
    policy_write_path(x, r != NULL ? r->path_edit : MODEL_PATH_KEEP, r != NULL ? r->path : STR_NONE,
                      o);
}

static void write_rewritten_line(const struct exchange *x, const struct model_rewrite *r,
                                 struct out *o) {
    out_str(o, head_str(x->request, x->request->method_text));
    out_char(o, ' ');
    write_path(x, r, o);
    if (x->has_query) {
        out_char(o, '?');
        out_str(o, x->query);
    }
    out_lit(o, " HTTP/1.1\r\n");
}

static void write_request_line(const struct exchange *x, struct out *o) {
    struct str method = head_str(x->request, x->request->method_text);
    size_t query = x->has_query ? 1 + x->query.n : 0;
    char *at = out_take(o, method.n + 1 + x->path.n + query + 11);
    if (unlikely(at == NULL))
        return;
    at = put(at, method);
    *at++ = ' ';
    at = put(at, x->path);
    if (x->has_query) {
        *at++ = '?';
        at = put(at, x->query);
    }
    put(at, STR(" HTTP/1.1\r\n"));
}

void policy_write_forwarded_path(const struct exchange *x, struct out *o) {
    write_path(x, rewrite_of(x), o);
}

void policy_write_request(const struct exchange *x, struct out *o) {
    const struct head *h = x->request;
    const struct model_rewrite *r = rewrite_of(x);
    if (unlikely(r != NULL))
        write_rewritten_line(x, r, o);
    else
        write_request_line(x, o);
    write_host(x, r != NULL ? r->hostname : STR_NONE, o);
    write_fields(x, o);
    if (unlikely(x->identity.n > 0))
        out_str(o, x->identity);
    write_forwarded(x, o);
    write_named(o, "x-request-id", x->request_id);
    write_named(o, "traceparent", x->traceparent);
    if (unlikely(x->rule->has_filters))
        policy_write_edits(x, MODEL_FILTER_REQUEST_HEADERS, o);
    if (unlikely(x->upgrade.n > 0))
        write_upgrade(x, o);
    if (unlikely(x->web != NULL))
        write_type(x, MODEL_FILTER_REQUEST_HEADERS, STR("application/grpc"), o);
    if (unlikely(x->backend != NULL && x->backend->protocol != MODEL_H1) &&
        (x->web != NULL || policy_takes_trailers(h)))
        out_lit(o, "te: trailers\r\n"); /* gRPC servers insist on it */
    write_framing(o, policy_request_framing(x), h->content_length);
    out_lit(o, "\r\n");
}

/* ---- response ---- */

static void write_status_line(const struct head *h, struct out *o) {
    unsigned s = h->status; /* 100 to 599 */
    struct str text = head_str(h, h->reason_text);
    if (unlikely(text.n == 0))
        text = policy_status_text(s); /* HTTP/2 has none */
    char *at = out_take(o, 13 + text.n + 2);
    if (unlikely(at == NULL))
        return;
    at = put(at, STR("HTTP/1.1 "));
    *at++ = (char)('0' + s / 100);
    *at++ = (char)('0' + s / 10 % 10);
    *at++ = (char)('0' + s % 10);
    *at++ = ' ';
    at = put(at, text);
    *at++ = '\r';
    *at = '\n';
}

/* Where the rule has CORS its own words replace the backend's. */
static bool is_cors(enum token t) {
    return t == TOKEN_ACCESS_CONTROL_ALLOW_ORIGIN || t == TOKEN_ACCESS_CONTROL_ALLOW_CREDENTIALS ||
           t == TOKEN_ACCESS_CONTROL_EXPOSE_HEADERS;
}

void policy_write_response(const struct exchange *x, const struct head *h, uint8_t framing,
                           struct str date, bool close, struct out *o) {
    bool edits = x->rule->has_filters, has_date = false;
    write_status_line(h, o);
    for (unsigned i = 0; i < h->n_fields; i++) {
        const struct head_field *f = &h->fields[i];
        struct str name = head_name(h, f);
        if (f->dropped)
            continue;
        if (f->token == TOKEN_CONTENT_LENGTH && h->framing == FRAMING_LENGTH)
            continue; /* written below; where there is no body the announced one stays */
        if (f->token == TOKEN_SLUICE_REASON)
            continue; /* ours alone */
        if (unlikely(x->origin.n > 0) && is_cors((enum token)f->token))
            continue;
        has_date = has_date || f->token == TOKEN_DATE;
        if (unlikely(edits) && !policy_keeps(x, MODEL_FILTER_RESPONSE_HEADERS, name))
            continue;
        if (unlikely(edits) && f->token == TOKEN_SET_COOKIE &&
            policy_write_cookie(x, head_value(h, f), o))
            continue;
        write_field(o, name, head_value(h, f));
    }
    if (unlikely(!has_date)) /* RFC 9110 6.6.1 */
        write_named(o, "date", date);
    if (unlikely(edits))
        policy_write_edits(x, MODEL_FILTER_RESPONSE_HEADERS, o);
    if (unlikely(x->origin.n > 0))
        policy_write_cors(x, o);
    if (unlikely(x->limits.n > 0))
        out_str(o, x->limits);
    if (unlikely(x->to_client.n > 0))
        out_str(o, x->to_client);
    if (unlikely(x->web != NULL) && x->web->answers != GRPC_WEB_NONE)
        write_type(x, MODEL_FILTER_RESPONSE_HEADERS, grpc_web_name(x->web->answers), o);
    write_framing(o, framing, h->content_length);
    if (unlikely(h->status == 101))
        write_upgrade(x, o);
    else if (close)
        out_lit(o, "connection: close\r\n");
    else if (x->http10)
        out_lit(o, "connection: keep-alive\r\n");
    out_lit(o, "\r\n");
}

void policy_write_interim(const struct head *h, struct out *o) {
    write_status_line(h, o);
    for (unsigned i = 0; i < h->n_fields; i++)
        if (!h->fields[i].dropped)
            write_field(o, head_name(h, &h->fields[i]), head_value(h, &h->fields[i]));
    out_lit(o, "\r\n");
}
