/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/external.h"

#include "lib/chars.h"

void said_begin(struct said *s, const struct method_law *m) {
    *s = (struct said){.how = m->model->external,
                       .verdict = {.expires = INT64_MAX},
                       .to_backend = out_heap(SAID_MAX),
                       .to_client = out_heap(SAID_MAX),
                       .hidden = out_heap(SAID_MAX)};
}

void said_fini(struct said *s) {
    out_fini(&s->to_backend);
    out_fini(&s->to_client);
    out_fini(&s->hidden);
}

struct verdict *said_end(struct said *s, const char **detail) {
    struct verdict *v = NULL;
    s->verdict.to_backend = out_done(&s->to_backend);
    s->verdict.to_client = out_done(&s->to_client);
    s->verdict.hidden = out_done(&s->hidden);
    if (s->n_named > 1)
        s->verdict.consumer = STR_NONE;
    *detail = "what the service says takes too much memory";
    if (!s->to_backend.over && !s->to_client.over && !s->hidden.over)
        v = verdict_new(&s->verdict);
    said_fini(s);
    return v;
}

/* RFC 9110 5.1, 5.5: over gRPC anything may come. */
static bool is_field(struct str name, struct str value) {
    for (size_t i = 0; i < name.n; i++)
        if (!char_is(name.p[i], CHAR_TOKEN))
            return false;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return name.n > 0;
}

static bool is_named(const struct str *list, uint32_t n, struct str name) {
    for (uint32_t i = 0; i < n; i++)
        if (str_eq_nocase(list[i], name))
            return true;
    return false;
}

/* Of one connection, or written by ourselves. */
static bool is_ours(struct str name) {
    enum token t = token_of(name);
    switch (t) {
    case TOKEN_HOST:
    case TOKEN_CONTENT_LENGTH:
    case TOKEN_DATE:
    case TOKEN_SLUICE_REASON:
    case TOKEN_X_REQUEST_ID:
    case TOKEN_ACCESS_CONTROL_ALLOW_ORIGIN:
    case TOKEN_ACCESS_CONTROL_ALLOW_CREDENTIALS:
    case TOKEN_ACCESS_CONTROL_EXPOSE_HEADERS:
        return true;
    default:
        return (token_flags(t) & (TOKEN_IS_HOP | TOKEN_IS_FAMILY)) != 0;
    }
}

static void put(struct out *o, struct str name, struct str value) {
    out_str(o, name);
    out_lit(o, ": ");
    out_str(o, str_trim(value));
    out_lit(o, "\r\n");
}

/* For this request alone: what sets a cookie, or says that it is not to be kept. */
static void look_whether_kept(struct said *s, struct str name, struct str value) {
    enum token t = token_of(name);
    char text[256];
    if (t == TOKEN_SET_COOKIE)
        s->verdict.once = true;
    if (t != TOKEN_CACHE_CONTROL)
        return;
    s->verdict.once |= value.n > sizeof(text);
    value.n = size_min(value.n, sizeof(text));
    str_lower(text, value);
    struct str rest = str_mk(text, value.n), one;
    while (rest.n > 0) {
        rest = str_cut(rest, ',', &one);
        s->verdict.once |= str_eq(str_trim(one), STR("no-store"));
    }
}

bool said_to_backend(struct said *s, struct str name, struct str value) {
    if (!is_field(name, value))
        return false;
    if (s->how->consumer_header.n > 0 && str_eq_nocase(s->how->consumer_header, name)) {
        s->verdict.consumer = str_trim(value);
        s->n_named++;
    }
    if (is_named(s->how->headers_to_backend, s->how->n_headers_to_backend, name) && !is_ours(name))
        put(&s->to_backend, name, value);
    return true;
}

bool said_to_client(struct said *s, struct str name, struct str value) {
    if (!is_field(name, value))
        return false;
    look_whether_kept(s, name, value);
    if (is_named(s->how->headers_to_client, s->how->n_headers_to_client, name) && !is_ours(name))
        put(&s->to_client, name, value);
    return true;
}

bool said_field(struct said *s, struct str name, struct str value) {
    return said_to_backend(s, name, value) && said_to_client(s, name, value);
}

void said_hide(struct said *s, struct str name) {
    enum token t = token_of(name);
    if (!is_field(name, STR_NONE) || is_ours(name) || t == TOKEN_TRACEPARENT)
        return;
    out_str(&s->hidden, name);
    out_char(&s->hidden, '\n');
}

bool said_refusal_field(struct said *s, struct str name, struct str value) {
    if (!is_field(name, value))
        return false;
    look_whether_kept(s, name, value);
    if (!is_ours(name))
        put(&s->to_client, name, value);
    return true;
}
