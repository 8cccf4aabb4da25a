/* SPDX-License-Identifier: Apache-2.0
 *
 * forward: the client's request without its body for an authentication service, with what it asked
 * for beside it, as Authelia, oauth2-proxy and those behind nginx's auth_request expect:
 *
 *     POST /check HTTP/1.1                       x-forwarded-method: POST
 *     host: auth.iam.svc                         x-forwarded-proto: https
 *     cookie: session=...                        x-forwarded-host: shop.example.com
 *                                                x-forwarded-uri: /cart?x=1
 */
#include "proxy/auth/external.h"

/* ---- the question ---- */

static bool keeps(enum token t) {
    switch (t) {
    case TOKEN_HOST:
    case TOKEN_CONTENT_LENGTH:
    case TOKEN_EXPECT:
    case TOKEN_X_REQUEST_ID:
    case TOKEN_TRACEPARENT:
    /* An answer that depends on them would be another one than the service's own. */
    case TOKEN_IF_MATCH:
    case TOKEN_IF_NONE_MATCH:
    case TOKEN_IF_MODIFIED_SINCE:
    case TOKEN_IF_UNMODIFIED_SINCE:
    case TOKEN_IF_RANGE:
    case TOKEN_RANGE:
        return false;
    default:
        return (token_flags(t) & (TOKEN_IS_FAMILY | TOKEN_IS_HOP)) == 0;
    }
}

bool external_shows(const struct judging *j, const struct method_law *m,
                    const struct head_field *f) {
    const struct model_auth_external *e = m->model->external;
    struct str name = head_name(j->x->request, f);
    if (f->dropped || !keeps((enum token)f->token) ||
        policy_is_identity(j->x->snapshot->gateway, name) ||
        str_eq_nocase(e->consumer_header, name))
        return false;
    if (e->n_allowed_headers == 0 || f->token == TOKEN_AUTHORIZATION || f->token == TOKEN_COOKIE)
        return true;
    for (uint32_t i = 0; i < e->n_allowed_headers; i++)
        if (str_eq_nocase(e->allowed_headers[i], name))
            return true;
    return false;
}

static void put(struct out *o, const char *name, struct str value) {
    out_str(o, str_of(name));
    out_str(o, value);
    out_lit(o, "\r\n");
}

void external_write_path(const struct exchange *x, struct out *o) {
    out_str(o, x->path);
    if (x->has_query) {
        out_char(o, '?');
        out_str(o, x->query);
    }
}

static void put_host(const struct exchange *x, struct out *o) {
    out_str(o, head_str(x->request, x->request->host));
    if (x->host_port > 0) {
        out_char(o, ':');
        out_u64(o, x->host_port);
    }
}

static struct str scheme_of(const struct exchange *x) {
    return policy_is_https(x) ? STR("https") : STR("http");
}

static void put_asked(const struct exchange *x, struct out *o) {
    struct str method = head_str(x->request, x->request->method_text);
    put(o, "x-forwarded-method: ", method);
    put(o, "x-forwarded-proto: ", scheme_of(x));
    out_lit(o, "x-forwarded-host: ");
    put_host(x, o);
    out_lit(o, "\r\nx-forwarded-uri: ");
    external_write_path(x, o);
    out_lit(o, "\r\n");
    policy_write_forwarded_for(x, o);
    put(o, "x-original-method: ", method);
    out_lit(o, "x-original-url: ");
    out_str(o, scheme_of(x));
    out_lit(o, "://");
    put_host(x, o);
    external_write_path(x, o);
    out_lit(o, "\r\n");
}

void forward_write(struct judging *j, const struct method_law *m, struct str body, struct out *o) {
    const struct model_auth_external *e = m->model->external;
    const struct exchange *x = j->x;
    const struct head *h = x->request;
    out_str(o, head_str(h, h->method_text));
    out_char(o, ' ');
    if (e->path.n > 0)
        out_str(o, e->path);
    else
        external_write_path(x, o);
    out_lit(o, " HTTP/1.1\r\nhost: ");
    service_write_host(snapshot_backend(x->snapshot, m->backend), o);
    out_lit(o, "\r\n");
    for (unsigned i = 0; i < h->n_fields; i++) {
        if (!external_shows(j, m, &h->fields[i]))
            continue;
        out_str(o, head_name(h, &h->fields[i]));
        out_lit(o, ": ");
        out_str(o, head_value(h, &h->fields[i]));
        out_lit(o, "\r\n");
    }
    put_asked(x, o);
    put(o, "x-request-id: ", x->request_id);
    put(o, "traceparent: ", x->traceparent);
    if (body.n > 0 || (x->method != METHOD_GET && x->method != METHOD_HEAD)) {
        out_lit(o, "content-length: ");
        out_u64(o, body.n);
        out_lit(o, "\r\n");
    }
    out_lit(o, "\r\n");
}

/* ---- the answer ---- */

/* As Envoy's HTTP services say it. */
static void hide_named(struct said *s, struct str list) {
    struct str one;
    while (list.n > 0) {
        list = str_cut(list, ',', &one);
        said_hide(s, str_trim(one));
    }
}

static bool take_field(struct said *s, const struct call_field *f) {
    if (!s->verdict.good)
        return said_refusal_field(s, f->name, f->value);
    if (str_eq_nocase(f->name, STR("x-envoy-auth-headers-to-remove")))
        hide_named(s, f->value);
    return said_field(s, f->name, f->value);
}

/* What a client can do something with: a place to go to, or a refusal. */
static bool is_refusal(const struct call *c) {
    switch (c->status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return call_field(c, STR("location")).n > 0;
    default:
        return c->status >= 400 && c->status < 500;
    }
}

struct verdict *forward_read(const struct method_law *m, const struct call *c, int64_t now,
                             enum reason *reason, const char **detail) {
    struct said s;
    (void)now;
    *reason = REASON_AUTH_SERVICE_FAILED;
    *detail = c->status >= 500 ? "the service answered with 5xx"
                               : "the service answered with 3xx, and that is no redirect";
    bool good = c->status >= 200 && c->status < 300;
    if (!good && !is_refusal(c))
        return NULL;
    said_begin(&s, m);
    s.verdict.good = good;
    for (uint32_t i = 0; i < c->n_fields; i++)
        if (!take_field(&s, &c->fields[i])) {
            *detail = "a field of the service's answer is none";
            said_fini(&s);
            return NULL;
        }
    if (!s.verdict.good) {
        s.verdict.status = c->status;
        s.verdict.body = c->body;
        s.verdict.detail = "the service refuses it";
        s.verdict.once |= c->status != 401 && c->status != 403; /* a redirect says whereto */
    }
    return said_end(&s, detail);
}
