/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: what Sluice says itself. Redirects (RFC 9110 15.4), fixed answers, preflights, refusals.
 */
#include "proxy/policy/policy.h"

struct str policy_status_text(unsigned status) {
    switch (status) {
#define S(code, text)                                                                              \
    case code:                                                                                     \
        return STR(text);
        S(200, "OK")
        S(201, "Created")
        S(202, "Accepted")
        S(204, "No Content")
        S(301, "Moved Permanently")
        S(302, "Found")
        S(303, "See Other")
        S(304, "Not Modified")
        S(307, "Temporary Redirect")
        S(308, "Permanent Redirect")
        S(400, "Bad Request")
        S(401, "Unauthorized")
        S(403, "Forbidden")
        S(404, "Not Found")
        S(405, "Method Not Allowed")
        S(408, "Request Timeout") S(410, "Gone") S(413, "Content Too Large")
            S(421, "Misdirected Request") S(429, "Too Many Requests")
                S(431, "Request Header Fields Too Large") S(500, "Internal Server Error")
                    S(502, "Bad Gateway") S(503, "Service Unavailable") S(504, "Gateway Timeout")
#undef S
                        default : return STR_NONE; /* the phrase may be empty */
    }
}

/* ---- redirect ---- */

static bool is_https(struct str scheme) { return str_eq(scheme, STR("https")); }

static struct str scheme_of(const struct exchange *x, const struct model_redirect *r) {
    if (r->scheme.n > 0)
        return r->scheme;
    return policy_is_https(x) ? STR("https") : STR("http");
}

/* Gateway API: a given port; else the scheme's own when a scheme is given; else the listener's. */
static void write_port(const struct exchange *x, const struct model_redirect *r, struct out *o) {
    unsigned own = is_https(scheme_of(x, r)) ? 443 : 80;
    bool named = r->scheme.n > 0 || (!x->secure && policy_is_https(x)); /* not the listener's */
    unsigned port = r->port > 0 ? (unsigned)r->port : named ? own : x->port;
    if (port == own)
        return;
    out_char(o, ':');
    out_u64(o, port);
}

static bool redirect(const struct exchange *x, const struct model_redirect *r, struct answer *a,
                     char *room, size_t cap) {
    struct out o = out_fixed(room, cap);
    struct str host = r->hostname.n > 0 ? r->hostname : x->host;
    if (host.n == 0) { /* HTTP/1.0 without Host: there is no such address */
        policy_refusal(a, REASON_BAD_REQUEST, 0);
        return true;
    }
    out_str(&o, scheme_of(x, r));
    out_lit(&o, "://");
    out_str(&o, host);
    write_port(x, r, &o);
    policy_write_path(x, r->path_edit, r->path, &o);
    if (x->has_query) {
        out_char(&o, '?');
        out_str(&o, x->query);
    }
    a->status = r->status > 0 ? (uint16_t)r->status : 302;
    a->location = out_done(&o);
    if (o.over)
        policy_refusal(a, REASON_INTERNAL, 0);
    return true;
}

bool policy_is_https(const struct exchange *x) {
    const struct head_field *f =
        x->trusted && !x->secure ? head_find(x->request, TOKEN_X_FORWARDED_PROTO) : NULL;
    return x->secure || (f != NULL && str_eq_nocase(head_value(x->request, f), STR("https")));
}

void policy_to_https(const struct exchange *x, struct answer *a, char *room, size_t cap) {
    const struct model_redirect r = {
        .scheme = STR("https"), .status = 308, .port = snapshot_https_port(x->snapshot, x->host)};
    *a = (struct answer){0};
    redirect(x, &r, a, room, cap);
}

/* ---- preflight ---- */

static bool preflight(const struct exchange *x, const struct model_cors *c, struct answer *a) {
    const struct head_field *method = head_find(x->request, TOKEN_ACCESS_CONTROL_REQUEST_METHOD);
    if (x->method != METHOD_OPTIONS || x->origin.n == 0 || method == NULL)
        return false;
    a->status = 204;
    if (!policy_cors_allows(c, x->origin))
        return true; /* without the headers the browser refuses */
    const struct head_field *headers = head_find(x->request, TOKEN_ACCESS_CONTROL_REQUEST_HEADERS);
    a->cors = c;
    a->allow_method = head_value(x->request, method);
    a->allow_headers = headers != NULL ? head_value(x->request, headers) : STR_NONE;
    return true;
}

static bool direct(const struct model_direct *d, struct answer *a) {
    a->status = (uint16_t)d->status;
    a->body = d->body;
    if (d->body.n > 0)
        a->content_type = d->content_type.n > 0 ? d->content_type : STR("text/plain");
    return true;
}

bool policy_preflights(const struct exchange *x, struct answer *a) {
    const struct model_filter *f = policy_find(x, MODEL_FILTER_CORS);
    *a = (struct answer){0};
    return f != NULL && f->cors != NULL && preflight(x, f->cors, a);
}

bool policy_answers(const struct exchange *x, struct answer *a, char *room, size_t cap) {
    unsigned n = x->rule->model->n_filters;
    *a = (struct answer){0};
    for (unsigned i = 0; i < n; i++) {
        const struct model_filter *f = &x->rule->model->filters[i];
        if (f->redirect != NULL)
            return redirect(x, f->redirect, a, room, cap);
        if (f->direct != NULL)
            return direct(f->direct, a);
        if (f->cors != NULL && preflight(x, f->cors, a))
            return true;
    }
    return false;
}

void policy_refusal(struct answer *a, enum reason reason, uint16_t status) {
    const struct reason_info *info = &reasons[reason];
    *a = (struct answer){.status = status > 0 ? status : info->status,
                         .reason = reason,
                         .content_type = STR("text/plain"),
                         .body = str_of(info->body)};
}

/* ---- on the wire ---- */

static bool tells_reason(const struct exchange *x, const struct answer *a) {
    if (a->reason == REASON_NONE)
        return false;
    switch (x->snapshot != NULL ? x->snapshot->gateway->reason_header : MODEL_REASON_5XX) {
    case MODEL_REASON_ALWAYS:
        return true;
    case MODEL_REASON_NEVER:
        return false;
    case MODEL_REASON_5XX:
        break;
    }
    return a->grpc_code != 0 ? reasons[a->reason].status >= 500 : a->status >= 500;
}

static void write_field(struct out *o, const char *name, struct str value) {
    out_str(o, str_of(name));
    out_str(o, value);
    out_lit(o, "\r\n");
}

/* A status without a body must not have Content-Length (RFC 9110 8.6). */
static bool may_have_body(unsigned status) {
    return status >= 200 && status != 204 && status != 304;
}

void policy_write_answer(const struct exchange *x, const struct answer *a, struct str date,
                         bool close, struct out *o) {
    bool own = x->rule != NULL && a->reason == REASON_NONE;
    bool edited = own && x->rule->has_filters;
    out_lit(o, "HTTP/1.1 ");
    out_u64(o, a->status);
    out_char(o, ' ');
    out_str(o, policy_status_text(a->status));
    out_lit(o, "\r\n");
    write_field(o, "date: ", date);
    if (a->content_type.n > 0 && may_have_body(a->status))
        write_field(o, "content-type: ", a->content_type);
    if (a->grpc_code != 0) {
        out_lit(o, "grpc-status: ");
        out_u64(o, a->grpc_code);
        out_lit(o, "\r\n");
        write_field(o, "grpc-message: ", a->grpc_message);
        if (a->grpc_web)
            out_lit(o, "content-length: 0\r\n");
    } else if (may_have_body(a->status)) {
        out_lit(o, "content-length: ");
        out_u64(o, a->body.n);
        out_lit(o, "\r\n");
    }
    if (a->location.n > 0)
        write_field(o, "location: ", a->location);
    if (a->cors != NULL)
        policy_write_preflight(x, a, o);
    else if (x->origin.n > 0)
        policy_write_cors(x, o); /* or its page would not see why */
    out_str(o, a->fields);
    out_str(o, x->limits);
    out_str(o, x->to_client);
    if (a->status == 503 && a->reason != REASON_NONE)
        out_lit(o, "retry-after: 1\r\n");
    if (tells_reason(x, a))
        write_field(o, "sluice-reason: ", str_of(reasons[a->reason].name));
    if (x->request_id.n > 0)
        write_field(o, "x-request-id: ", x->request_id);
    if (edited)
        policy_write_edits(x, MODEL_FILTER_RESPONSE_HEADERS, o);
    if (close)
        out_lit(o, "connection: close\r\n");
    else if (x->http10)
        out_lit(o, "connection: keep-alive\r\n");
    out_lit(o, "\r\n");
}

struct str policy_answer_body(const struct exchange *x, const struct answer *a) {
    return x->method != METHOD_HEAD && may_have_body(a->status) ? a->body : STR_NONE;
}
