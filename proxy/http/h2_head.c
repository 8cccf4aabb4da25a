/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_head: pseudo fields are kept in front of the text, in the order in which they come; with the
 * first other field, or the end, the request line is written from them:
 *
 *     room ──► [GET][/a?x][a.test] [GET /a?x HTTP/1.1\r\nhost: a.test\r\naccept: *\r\n ...
 *                                  └ text                                            └ n
 */
#include "proxy/http/h2_head.h"

#include "lib/chars.h"
#include "lib/out.h"
#include "proxy/http/websocket.h"

/* ---- room ---- */

static struct str part(const struct h2_head *b, struct h2_part p) {
    return str_mk(b->room + p.at, p.n);
}

static struct out writer(const struct h2_head *b) {
    return out_fixed(b->room + b->n, b->cap - b->n);
}

static enum h2_head_got wrote(struct h2_head *b, const struct out *o) {
    if (o->over)
        return H2_HEAD_FULL;
    b->n += (uint32_t)o->n;
    return H2_HEAD_OK;
}

void h2_head_move(struct h2_head *b, char *room, uint32_t cap) {
    debug_must(cap >= b->n);
    memcpy(room, b->room, b->n);
    b->room = room;
    b->cap = cap;
}

static enum h2_head_got bad(struct h2_head *b, const char *fault) {
    b->fault = fault;
    return H2_HEAD_OK;
}

/* ---- pseudo fields ---- */

static const char *pseudo_fault(const struct h2_head *b, const struct h2_part *to,
                                struct str value) {
    if (b->trailers)
        return "a pseudo field in trailers";
    if (to == NULL)
        return b->response ? "a pseudo field that no answer has"
                           : "a pseudo field that no request has";
    if (b->open)
        return "a pseudo field behind other fields";
    if (to->n > 0)
        return "a pseudo field stands twice";
    if (value.n == 0)
        return "an empty pseudo field";
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] <= ' ' || (unsigned char)value.p[i] >= 0x7f)
            return "a blank, a control or a byte above 7f in a pseudo field";
    return NULL;
}

static enum h2_head_got pseudo(struct h2_head *b, struct str name, struct str value) {
    struct h2_part *to = b->response ? (str_eq(name, STR(":status")) ? &b->status : NULL)
                         : str_eq(name, STR(":method"))    ? &b->method
                         : str_eq(name, STR(":path"))      ? &b->path
                         : str_eq(name, STR(":authority")) ? &b->authority
                         : str_eq(name, STR(":scheme"))    ? &b->scheme
                         : str_eq(name, STR(":protocol"))  ? &b->protocol
                                                           : NULL;
    const char *fault = pseudo_fault(b, to, value);
    if (fault != NULL)
        return bad(b, fault);
    struct out o = writer(b);
    out_str(&o, value);
    if (o.over)
        return H2_HEAD_FULL;
    *to = (struct h2_part){b->n, (uint32_t)value.n};
    return wrote(b, &o);
}

static bool is_http(struct str scheme) {
    return str_eq_nocase(scheme, STR("https")) || str_eq_nocase(scheme, STR("http"));
}

/* RFC 8441: CONNECT with a :protocol is a request like others, of a tunnel. */
static bool is_tunnel(const struct h2_head *b) {
    return str_eq_nocase(part(b, b->protocol), STR("websocket"));
}

static const char *request_fault(const struct h2_head *b) {
    if (b->method.n == 0)
        return "no :method";
    bool connects = str_eq(part(b, b->method), STR("CONNECT"));
    if (b->protocol.n > 0 && !connects)
        return "a :protocol without CONNECT";
    if (b->protocol.n > 0 && !is_tunnel(b))
        return "a :protocol other than websocket";
    if (connects && !is_tunnel(b)) {
        if (b->scheme.n > 0 || b->path.n > 0 || b->authority.n == 0)
            return "CONNECT has :authority, and neither :scheme nor :path";
        return NULL;
    }
    if (b->scheme.n == 0 || b->path.n == 0)
        return "no :scheme, or no :path";
    if (!is_http(part(b, b->scheme)))
        return "a :scheme other than http and https";
    struct str path = part(b, b->path);
    bool asterisk = str_eq(path, STR("*")) && str_eq(part(b, b->method), STR("OPTIONS"));
    if (path.p[0] != '/' && !asterisk)
        return "a :path that does not begin with a slash";
    return NULL;
}

/* As a client of HTTP/1.1 would say it. */
static void write_handshake(const struct h2_head *b, struct out *o) {
    out_lit(o, "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ");
    char *key = out_take(o, WEBSOCKET_KEY);
    if (key != NULL)
        websocket_key(b->prng, key);
    out_lit(o, "\r\n");
}

static const char *status_fault(const struct h2_head *b) {
    struct str s = part(b, b->status);
    uint64_t status;
    bool good = s.n == 3 && str_to_u64(s, 599, &status) && status >= 100;
    return good ? NULL : "no :status, or none from 100 to 599";
}

static enum h2_head_got open_answer(struct h2_head *b) {
    const char *fault = status_fault(b);
    b->open = true;
    if (fault != NULL)
        return bad(b, fault);
    struct out o = writer(b);
    out_lit(&o, "HTTP/1.1 ");
    out_str(&o, part(b, b->status));
    out_lit(&o, " \r\n");
    b->open = !o.over;
    b->text = b->n;
    return wrote(b, &o);
}

/* The request line and the host. */
static enum h2_head_got open_request(struct h2_head *b) {
    const char *fault = request_fault(b);
    b->open = true;
    if (fault != NULL)
        return bad(b, fault);
    struct out o = writer(b);
    out_str(&o, is_tunnel(b) ? STR("GET") : part(b, b->method));
    out_char(&o, ' ');
    out_str(&o, part(b, b->path.n > 0 ? b->path : b->authority));
    out_lit(&o, " HTTP/1.1\r\n");
    if (b->authority.n > 0) {
        out_lit(&o, "host: ");
        out_str(&o, part(b, b->authority));
        out_lit(&o, "\r\n");
    }
    if (is_tunnel(b))
        write_handshake(b, &o);
    b->open = !o.over;
    b->text = b->n;
    return wrote(b, &o);
}

static enum h2_head_got open_text(struct h2_head *b) {
    return b->response ? open_answer(b) : open_request(b);
}

/* ---- fields ---- */

static const char *name_fault(struct str name) {
    if (name.n == 0)
        return "an empty field name";
    for (size_t i = 0; i < name.n; i++)
        if (!char_is(name.p[i], CHAR_TOKEN) || (name.p[i] >= 'A' && name.p[i] <= 'Z'))
            return "a field name with a capital or a byte that is not allowed";
    return NULL;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static const char *value_fault(struct str value) {
    const char *end = value.p + value.n;
    if (value.n == 0)
        return NULL;
    if (is_blank(value.p[0]) || is_blank(end[-1]))
        return "blanks at an end of a field value";
    return chars_value(value.p, end) == end ? NULL : "a control byte in a field value";
}

static const char *token_fault(enum token t, struct str value) {
    switch (t) {
    case TOKEN_CONNECTION:
    case TOKEN_PROXY_CONNECTION:
    case TOKEN_KEEP_ALIVE:
    case TOKEN_TRANSFER_ENCODING:
    case TOKEN_UPGRADE:
        return "a field that is of one HTTP/1.1 connection";
    case TOKEN_TE:
        return str_eq_nocase(value, STR("trailers")) ? NULL : "a TE other than trailers";
    default:
        return NULL;
    }
}

static enum h2_head_got write_line(struct h2_head *b, struct str name, struct str value) {
    struct out o = writer(b);
    out_str(&o, name);
    out_lit(&o, ": ");
    out_str(&o, value);
    out_lit(&o, "\r\n");
    return wrote(b, &o);
}

/* Crumbs usually come one behind the other; then nothing has to be moved but a line's end. */
static enum h2_head_got crumb(struct h2_head *b, struct str value) {
    if (b->cookie == 0) {
        enum h2_head_got got = write_line(b, STR("cookie"), value);
        b->cookie = got == H2_HEAD_OK ? b->n - 2 : 0;
        return got;
    }
    size_t more = value.n + 2;
    if (b->cap - b->n < more)
        return H2_HEAD_FULL;
    char *at = b->room + b->cookie;
    memmove(at + more, at, b->n - b->cookie);
    memcpy(at, "; ", 2);
    memcpy(at + 2, value.p, value.n);
    b->cookie += (uint32_t)more;
    b->n += (uint32_t)more;
    return H2_HEAD_OK;
}

/* Beside :authority a Host says the same, or the request is malformed; it stands there already. */
static enum h2_head_got host(struct h2_head *b, struct str value) {
    if (b->authority.n == 0) {
        enum h2_head_got got = write_line(b, STR("host"), value);
        b->has_host = got == H2_HEAD_OK || b->has_host;
        return got;
    }
    if (!str_eq_nocase(value, part(b, b->authority)))
        return bad(b, "Host differs from :authority");
    return H2_HEAD_OK;
}

static bool within(struct h2_head *b, enum token t, struct str name, struct str value,
                   const struct head_limits *l) {
    bool is_crumb = t == TOKEN_COOKIE;
    if (is_crumb ? b->n_crumbs >= l->cookies : b->n_fields >= l->fields)
        b->too_large = true;
    if (b->n - b->text + name.n + value.n + 4 > size_min(l->bytes, HEAD_BYTES_MAX))
        b->too_large = true;
    return !b->too_large;
}

static enum h2_head_got field(struct h2_head *b, struct str name, struct str value,
                              const struct head_limits *l) {
    enum token t = token_of(name);
    const char *fault = name_fault(name);
    if (fault == NULL)
        fault = value_fault(value);
    if (fault == NULL)
        fault = token_fault(t, value);
    if (fault != NULL)
        return bad(b, fault);
    if (!b->open && !b->trailers) {
        enum h2_head_got got = open_text(b);
        if (got == H2_HEAD_FULL || b->fault != NULL)
            return got;
    }
    if (!within(b, t, name, value, l))
        return H2_HEAD_OK;
    if (is_tunnel(b) && (t == TOKEN_CONTENT_LENGTH || t == TOKEN_EXPECT))
        return bad(b, "a field about a body, which a tunnel has not");
    if (is_tunnel(b) && t == TOKEN_SEC_WEBSOCKET_KEY)
        return H2_HEAD_OK; /* it is made here (RFC 8441 5) */
    bool plain = b->trailers || b->response;
    enum h2_head_got got = plain               ? write_line(b, name, value)
                           : t == TOKEN_COOKIE ? crumb(b, value)
                           : t == TOKEN_HOST   ? host(b, value)
                                               : write_line(b, name, value);
    if (got == H2_HEAD_OK) {
        *(t == TOKEN_COOKIE ? &b->n_crumbs : &b->n_fields) += 1;
        b->has_length = b->has_length || t == TOKEN_CONTENT_LENGTH;
    }
    return got;
}

enum h2_head_got h2_head_field(struct h2_head *b, struct str name, struct str value,
                               const struct head_limits *l) {
    bool is_pseudo = name.n > 0 && name.p[0] == ':';
    enum h2_head_got got = H2_HEAD_OK;
    if (is_pseudo && value.n > size_min(l->bytes, HEAD_BYTES_MAX))
        b->too_large = true;
    if (b->fault == NULL && !b->too_large)
        got = is_pseudo ? pseudo(b, name, value) : field(b, name, value, l);
    if (got == H2_HEAD_OK)
        b->heard += name.n + value.n;
    return got;
}

enum h2_head_got h2_head_end(struct h2_head *b, bool ended, struct str *text) {
    *text = STR_NONE;
    if (b->fault != NULL || b->too_large)
        return H2_HEAD_OK;
    if (b->trailers) {
        *text = str_mk(b->room, b->n);
        return H2_HEAD_OK;
    }
    if (!b->open) {
        enum h2_head_got got = open_text(b);
        if (got == H2_HEAD_FULL || b->fault != NULL)
            return got;
    }
    if (!b->response && b->authority.n == 0 && !b->has_host)
        return bad(b, "neither :authority nor Host");
    struct out o = writer(b);
    bool bare = ended || b->has_length || b->response || is_tunnel(b);
    out_str(&o, bare ? STR("\r\n") : STR("transfer-encoding: chunked\r\n\r\n"));
    enum h2_head_got got = wrote(b, &o);
    *text = str_mk(b->room + b->text, b->n - b->text);
    return got;
}

/* ---- back ---- */

static nghttp2_nv pair(struct str name, struct str value) {
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                        .value = (uint8_t *)(uintptr_t)value.p,
                        .namelen = name.n,
                        .valuelen = value.n};
}

/* Fields that say how HTTP/1.1 frames this message; the parser of what came in has dropped the
 * other ones. */
static bool is_h1_only(enum token t) {
    return t == TOKEN_CONNECTION || t == TOKEN_TRANSFER_ENCODING || t == TOKEN_UPGRADE;
}

/* A tunnel begins with 200 (RFC 8441 5), and its client has sent no key. */
static bool is_handshake(struct str name) { return str_eq(name, STR("sec-websocket-accept")); }

/* Lines up to end, behind count fields. */
static size_t lines_fields(char *line, char *end, bool tunnel, nghttp2_nv *to, size_t count,
                           size_t max) {
    while (line < end) {
        char *colon = (char *)(uintptr_t)chars_find(line, end, ':');
        char *stop = (char *)(uintptr_t)chars_find(colon, end, '\r');
        struct str name = str_mk(line, (size_t)(colon - line));
        for (char *p = line; p < colon; p++)
            *p = char_lower(*p);
        line = stop + 2;
        if (is_h1_only(token_of(name)) || (tunnel && is_handshake(name)))
            continue;
        if (count == max)
            return 0;
        to[count++] = pair(name, str_trim(str_mk(colon + 1, (size_t)(stop - colon - 1))));
    }
    return count;
}

static char *line_behind(char *p, char *end) {
    return (char *)(uintptr_t)chars_find(p, end, '\n') + 1;
}

size_t h2_answer_fields(char *text, size_t n, nghttp2_nv *to, size_t max, unsigned *status) {
    char *end = text + n - 2;
    debug_must(max > 0 && n > 14);
    *status = (unsigned)(text[9] - '0') * 100 + (unsigned)(text[10] - '0') * 10 +
              (unsigned)(text[11] - '0');
    bool tunnel = *status == 101;
    to[0] = pair(STR(":status"), tunnel ? STR("200") : str_mk(text + 9, 3));
    return lines_fields(line_behind(text, end), end, tunnel, to, 1, max);
}

size_t h2_request_fields(char *text, size_t n, struct str scheme, nghttp2_nv *to, size_t max) {
    char *end = text + n - 2, *host = line_behind(text, end), *rest = line_behind(host, end);
    struct str line = str_mk(text, (size_t)(host - text)), method, path;
    debug_must(max > 4);
    str_cut(line, ' ', &method);
    str_cut(str_skip(line, method.n + 1), ' ', &path);
    to[0] = pair(STR(":method"), method);
    to[1] = pair(STR(":scheme"), scheme);
    to[2] = pair(STR(":path"), path);
    struct str authority = str_mk(host + 6, (size_t)(rest - host) - 8); /* "host: " and CR LF */
    to[3] = pair(STR(":authority"), authority);
    return lines_fields(rest, end, false, to, authority.n > 0 ? 4 : 3,
                        max); /* HTTP/1.0 may have none */
}

size_t h2_trailer_fields(char *lines, size_t n, nghttp2_nv *to, size_t max) {
    return lines_fields(lines, lines + n, false, to, 0, max);
}
