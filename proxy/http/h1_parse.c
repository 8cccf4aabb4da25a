/* SPDX-License-Identifier: Apache-2.0
 *
 * h1_parse: from bytes to one head. Two steps: the empty line is looked for, from where the last
 * search ended; once it is there, the head is parsed in one pass, and no step has to ask whether
 * the bytes end: every line has its CR LF before `last`.
 *
 *     p ──► GET /x HTTP/1.1\r\nHost: a\r\nAccept: *\r\n\r\n<what follows>
 *           at ──►                                  └ last  └ bytes that may be read, to stop
 *
 * A known name was compared byte by byte with the table, so only unknown names are checked for
 * token characters.
 */
#include "lib/chars.h"
#include "proxy/http/authority.h"
#include "proxy/http/h1.h"

enum {
    METHOD_BYTES_MAX = 24, /* the longest registered one has 17 */
    NOMINATED_MAX = 16,    /* names in Connection: each costs a walk over the fields */
    NONE = UINT16_MAX      /* no field */
};

struct parse {
    struct head *h;
    const char *at;   /* parsed up to here */
    const char *last; /* the CR of the empty line */
    const char *stop; /* behind the bytes that may be read */
    bool response;
    uint16_t host, length, coding, connection; /* index of the first such field, or NONE */
    uint16_t upgrade;
    bool upgrade_twice;
    uint16_t cookies;
    enum reason reason;
    const char *detail;
};

static bool bad(struct parse *ps, const char *detail) {
    ps->reason = ps->response ? REASON_BAD_RESPONSE : REASON_BAD_REQUEST;
    ps->detail = detail;
    return false;
}

static bool too_large(struct parse *ps, const char *detail) {
    ps->reason = ps->response ? REASON_RESPONSE_TOO_LARGE : REASON_HEADER_TOO_LARGE;
    ps->detail = detail;
    return false;
}

static inline struct span span_of(const struct parse *ps, const char *from, const char *to) {
    return (struct span){(uint16_t)(from - ps->h->base), (uint16_t)(to - from)};
}

/* ---- the end of the head ---- */

/* A head that can no longer become valid is refused before it is complete, so that a peer that
 * speaks something else is told at once. Looks at [from, n) only. */
static const char *hopeless(const char *p, size_t from, size_t n) {
    for (size_t i = from; i < n; i++) {
        char c = p[i];
        if (c == '\n' ? i == 0 || p[i - 1] != '\r' : i > 0 && p[i - 1] == '\r')
            return "a line does not end with CR LF";
        if (c != '\n' && c != '\r' && !char_is(c, CHAR_VALUE))
            return "a control byte in the head";
    }
    return NULL;
}

/* p is where the head starts. H1_DONE: ps->last is set. */
static enum h1 find_end(struct parse *ps, struct h1_scan *s, const char *p, size_t n,
                        const struct head_limits *l) {
    size_t max = size_min(l->bytes, HEAD_BYTES_MAX), usable = size_min(n, max);
    size_t from = s->seen > 2 ? s->seen - 2 : 0;
    const char *end = from < usable ? chars_empty_line(p + from, p + usable) : NULL;
    if (likely(end != NULL)) {
        ps->last = end - 2;
        return H1_DONE;
    }
    const char *why = hopeless(p, s->seen, usable);
    s->seen = (uint32_t)usable;
    if (why != NULL) {
        bad(ps, why);
        return H1_BAD;
    }
    if (n < max)
        return H1_MORE;
    too_large(ps, "the head is longer than the limit");
    return H1_BAD;
}

/* ---- fields ---- */

static bool once(struct parse *ps, uint16_t *index, const char *detail) {
    if (*index != NONE)
        return bad(ps, detail);
    *index = (uint16_t)(ps->h->n_fields - 1);
    return true;
}

static bool second(const struct parse *ps, enum token t) {
    for (unsigned i = 0; i + 1 < ps->h->n_fields; i++)
        if (ps->h->fields[i].token == t)
            return true;
    return false;
}

static bool expect(struct parse *ps, const struct head_field *f) {
    if (!str_eq_nocase(head_value(ps->h, f), STR("100-continue")))
        return bad(ps, "an expectation other than 100-continue");
    ps->h->expect_continue = ps->h->minor > 0;
    return true;
}

/* The fields that say something about the message itself. f is the newest one. */
static bool note(struct parse *ps, const struct head_field *f, unsigned flags) {
    switch (f->token) {
    case TOKEN_CONTENT_LENGTH:
        return once(ps, &ps->length, "more than one Content-Length");
    case TOKEN_TRANSFER_ENCODING:
        return once(ps, &ps->coding, "more than one Transfer-Encoding");
    case TOKEN_CONNECTION:
        if (ps->connection == NONE)
            ps->connection = (uint16_t)(ps->h->n_fields - 1);
        return true;
    case TOKEN_UPGRADE:
        ps->upgrade_twice = ps->upgrade != NONE;
        ps->upgrade = (uint16_t)(ps->h->n_fields - 1);
        return true;
    default:
        break;
    }
    if (ps->response)
        return true;
    if (f->token == TOKEN_HOST)
        return once(ps, &ps->host, "more than one Host");
    if ((flags & TOKEN_IS_SINGLE) && second(ps, (enum token)f->token))
        return bad(ps, "a field that may not repeat stands twice");
    return f->token != TOKEN_EXPECT || expect(ps, f);
}

static const char *name_fault(struct str name) {
    if (name.n == 0)
        return "an empty field name";
    if (name.p[0] == ' ' || name.p[0] == '\t')
        return "a folded line, or blanks before a field name";
    for (size_t i = 0; i < name.n; i++)
        if (!char_is(name.p[i], CHAR_TOKEN))
            return "a field name with a byte that is not allowed, or a line without a colon";
    return NULL;
}

static bool field(struct parse *ps, const struct head_limits *l) {
    struct head *h = ps->h;
    const char *start = ps->at, *colon = chars_find(start, ps->last, ':');
    struct str name = str_mk(start, (size_t)(colon - start));
    enum token t = token_of(name);
    unsigned flags = tokens[t].flags;
    bool dropped = (flags & TOKEN_IS_HOP) != 0;
    if (t == TOKEN_OTHER || t == TOKEN_X_FORWARDED_ANY || t == TOKEN_X_ENVOY_ANY) {
        const char *fault = name_fault(name);
        if (unlikely(fault != NULL || colon == ps->last))
            return bad(ps, fault != NULL ? fault : "a line without a colon");
        dropped = !ps->response && memchr(name.p, '_', name.n) != NULL;
    }
    const char *from = colon + 1;
    while (*from == ' ' || *from == '\t')
        from++;
    const char *to = chars_value(from, ps->stop);
    if (unlikely(to[0] != '\r' || to[1] != '\n'))
        return bad(ps, "a control byte in a field value, or a line that does not end with CR LF");
    ps->at = to + 2;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    if (unlikely(t == TOKEN_COOKIE) ? ps->cookies++ >= l->cookies
                                    : h->n_fields - ps->cookies >= l->fields)
        return too_large(ps, "more fields than the limit");
    if (unlikely(h->n_fields == HEAD_FIELDS_MAX))
        return too_large(ps, "more fields than the limit");
    struct head_field *f = &h->fields[h->n_fields++];
    f->name = span_of(ps, start, colon);
    f->value = span_of(ps, from, to);
    f->token = (uint8_t)t;
    f->dropped = dropped;
    return likely((flags & (TOKEN_IS_HOP | TOKEN_IS_SINGLE)) == 0) || note(ps, f, flags);
}

/* ---- Connection ---- */

static void drop_named(struct head *h, struct str name) {
    enum token t = token_of(name);
    if (token_flags(t) & TOKEN_IS_PINNED)
        return;
    for (unsigned i = 0; i < h->n_fields; i++) {
        struct head_field *f = &h->fields[i];
        if (f->token == t && (t != TOKEN_OTHER || str_eq_nocase(head_name(h, f), name)))
            f->dropped = true;
    }
}

/* Connection names Upgrade. A list, or anything else but one protocol, asks for nothing. */
static void upgrade(struct parse *ps) {
    struct head *h = ps->h;
    if (ps->upgrade == NONE || ps->upgrade_twice || h->minor == 0)
        return;
    struct span to = h->fields[ps->upgrade].value;
    struct str text = head_str(h, to);
    for (size_t i = 0; i < text.n; i++)
        if (!char_is(text.p[i], CHAR_TOKEN) && text.p[i] != '/')
            return;
    h->upgrade = to;
}

/* RFC 9110 7.6.1. A member that is no token can name no field and is passed over. */
static bool connection(struct parse *ps) {
    struct head *h = ps->h;
    bool close = false, keep_alive = false, upgrades = false;
    unsigned nominated = 0;
    for (unsigned i = ps->connection; i < h->n_fields; i++) {
        if (h->fields[i].token != TOKEN_CONNECTION)
            continue;
        struct str rest = head_value(h, &h->fields[i]), member;
        while (rest.p != NULL) {
            rest = str_cut(rest, ',', &member);
            member = str_trim(member);
            if (member.n == 0)
                continue;
            if (str_eq_nocase(member, STR("keep-alive"))) {
                keep_alive = true;
            } else if (str_eq_nocase(member, STR("close"))) {
                close = true;
            } else {
                if (nominated++ == NOMINATED_MAX)
                    return bad(ps, "Connection names too many fields");
                upgrades = upgrades || str_eq_nocase(member, STR("upgrade"));
                drop_named(h, member);
            }
        }
    }
    h->keep_alive = !close && (h->minor > 0 || keep_alive);
    if (upgrades)
        upgrade(ps);
    return true;
}

/* ---- framing ---- */

/* Sets framing and content_length from the fields alone; FRAMING_NONE when they say nothing. */
static bool framing(struct parse *ps) {
    struct head *h = ps->h;
    if (ps->coding != NONE) {
        if (ps->length != NONE)
            return bad(ps, "both Transfer-Encoding and Content-Length");
        if (h->minor == 0)
            return bad(ps, "Transfer-Encoding in HTTP/1.0");
        if (!str_eq_nocase(head_value(h, &h->fields[ps->coding]), STR("chunked")))
            return bad(ps, "a Transfer-Encoding other than chunked");
        h->framing = FRAMING_CHUNKED;
    } else if (ps->length != NONE) {
        if (!str_to_u64(head_value(h, &h->fields[ps->length]), INT64_MAX, &h->content_length))
            return bad(ps, "a Content-Length that is not a decimal number");
        h->framing = FRAMING_LENGTH;
    }
    return true;
}

/* ---- request ---- */

static bool method(struct parse *ps) {
    struct head *h = ps->h;
    const char *p = ps->at, *end = chars_skip(p, ps->last, CHAR_TOKEN);
    if (end == p || *end != ' ')
        return bad(ps, "the method is not a token followed by one space");
    if (end - p > METHOD_BYTES_MAX)
        return bad(ps, "the method is too long");
    h->method_text = span_of(ps, p, end);
    h->method = (uint8_t)method_of(str_mk(p, (size_t)(end - p)));
    if (h->method == METHOD_CONNECT)
        return bad(ps, "CONNECT is not served");
    ps->at = end + 1;
    return true;
}

/* 1 or 0 for HTTP/1.x, -1 for anything else. */
static int minor_version(const char *p) {
    if (memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
        return -1;
    return p[7] - '0';
}

/* "http://" or "https://": its length; 0 for anything else. */
static size_t scheme_length(struct str target) {
    if (target.n >= 7 && str_eq_nocase(str_mk(target.p, 7), STR("http://")))
        return 7;
    if (target.n >= 8 && str_eq_nocase(str_mk(target.p, 8), STR("https://")))
        return 8;
    return 0;
}

/* Takes scheme and authority off: from is moved to the path. */
static bool absolute_form(struct parse *ps, const char **from, const char *path_end) {
    struct head *h = ps->h;
    struct str target = head_str(h, h->target);
    size_t scheme = scheme_length(target);
    if (scheme == 0)
        return bad(ps, "the target is neither a path nor an http or https address");
    const char *host = target.p + scheme, *slash = chars_find(host, path_end, '/');
    struct authority a;
    if (!authority_parse(str_mk(host, (size_t)(slash - host)), &a))
        return bad(ps, "the target's authority is not a host with an optional port");
    h->host = span_of(ps, a.host.p, a.host.p + a.host.n);
    h->port = a.port;
    /* Without a path it is "/": the second slash of the scheme stands for it. */
    h->raw_path = slash < path_end ? span_of(ps, slash, path_end) : span_of(ps, host - 1, host);
    *from = slash;
    return true;
}

static bool target(struct parse *ps) {
    struct head *h = ps->h;
    const char *start = ps->at, *path_end = chars_target(start, ps->stop), *end = path_end;
    while (*end == '?')
        end = chars_target(end + 1, ps->stop);
    if (*end != ' ' || end == start)
        return bad(ps, "the target is empty or has a byte that is not allowed");
    h->target = span_of(ps, start, end);
    h->has_query = path_end < end;
    if (h->has_query)
        h->query = span_of(ps, path_end + 1, end);
    ps->at = end + 1;
    if (likely(*start == '/')) {
        h->raw_path = span_of(ps, start, path_end);
        return true;
    }
    if (end - start == 1 && *start == '*') {
        h->raw_path = h->target;
        return h->method == METHOD_OPTIONS ||
               bad(ps, "the target * with another method than OPTIONS");
    }
    return absolute_form(ps, &start, path_end);
}

static bool request_line(struct parse *ps) {
    if (!method(ps) || !target(ps))
        return false;
    /* There are at least "\r\n" at last and a line end before it. */
    const char *p = ps->at;
    int minor = ps->last - p >= 10 ? minor_version(p) : -1;
    if (minor < 0 || p[8] != '\r' || p[9] != '\n')
        return bad(ps, "the request line does not end with HTTP/1.1 or HTTP/1.0");
    ps->h->minor = (uint8_t)minor;
    ps->h->keep_alive = minor > 0;
    ps->at = p + 10;
    return true;
}

static bool host(struct parse *ps) {
    struct head *h = ps->h;
    if (ps->host == NONE)
        return h->minor == 0 || bad(ps, "no Host");
    struct authority a;
    if (!authority_parse(head_value(h, &h->fields[ps->host]), &a))
        return bad(ps, "Host is not a host with an optional port");
    if (h->host.n > 0 && (a.port != h->port || !str_eq_nocase(a.host, head_str(h, h->host))))
        return bad(ps, "Host differs from the target's authority");
    h->host = span_of(ps, a.host.p, a.host.p + a.host.n);
    h->port = a.port;
    return true;
}

static bool fields(struct parse *ps, const struct head_limits *l) {
    while (ps->at < ps->last)
        if (!field(ps, l))
            return false;
    return ps->connection == NONE || connection(ps);
}

static struct parse parse_of(struct head *h, const char *p, size_t n, bool response) {
    memset(h, 0, offsetof(struct head, fields)); /* a hundred bytes; the fields are not touched */
    h->base = p;
    return (struct parse){.h = h,
                          .at = p,
                          .stop = p + n,
                          .response = response,
                          .host = NONE,
                          .length = NONE,
                          .coding = NONE,
                          .connection = NONE,
                          .upgrade = NONE};
}

static enum h1 verdict(const struct parse *ps, bool good, enum reason *reason,
                       const char **detail) {
    if (likely(good)) {
        ps->h->n = (uint32_t)(ps->last + 2 - ps->h->base);
        return H1_DONE;
    }
    *reason = ps->reason;
    *detail = ps->detail;
    return H1_BAD;
}

enum h1 h1_parse_request(struct h1_scan *s, const char *p, size_t n, const struct head_limits *l,
                         struct head *h, size_t *skipped, enum reason *reason,
                         const char **detail) {
    size_t skip = n >= 2 && p[0] == '\r' && p[1] == '\n' ? 2 : 0;
    struct parse ps = parse_of(h, p + skip, n - skip, false);
    *skipped = skip;
    if (n == skip || (n == 1 && p[0] == '\r'))
        return H1_MORE;
    if (unlikely(!char_is(p[skip], CHAR_TOKEN)))
        return verdict(&ps, bad(&ps, "a request starts with its method"), reason, detail);
    enum h1 found = find_end(&ps, s, p + skip, n - skip, l);
    if (found != H1_DONE)
        return found == H1_MORE ? H1_MORE : verdict(&ps, false, reason, detail);
    bool good = request_line(&ps) && fields(&ps, l) && host(&ps) && framing(&ps);
    return verdict(&ps, good, reason, detail);
}

/* ---- response ---- */

static bool status_line(struct parse *ps) {
    struct head *h = ps->h;
    const char *p = ps->at;
    int minor = ps->last - p >= 14 ? minor_version(p) : -1;
    if (minor < 0 || p[8] != ' ')
        return bad(ps, "the answer does not start with HTTP/1.1 or HTTP/1.0");
    unsigned status = 0;
    for (unsigned i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9')
            return bad(ps, "the status is not three digits");
        status = status * 10 + (unsigned)(p[i] - '0');
    }
    if (status < 100 || status > 599)
        return bad(ps, "the status is not within 100 to 599");
    const char *from = p + 12;
    if (*from == ' ')
        from++;
    else if (*from != '\r')
        return bad(ps, "the status is not three digits");
    const char *to = chars_value(from, ps->stop);
    if (to[0] != '\r' || to[1] != '\n')
        return bad(ps, "a control byte in the status line, or no CR LF at its end");
    h->minor = (uint8_t)minor;
    h->keep_alive = minor > 0;
    h->status = (uint16_t)status;
    h->reason_text = span_of(ps, from, to);
    ps->at = to + 2;
    return true;
}

/* RFC 9112 6.3: which answers have a body whatever their fields say. */
static bool response_framing(struct parse *ps, enum method request_method) {
    struct head *h = ps->h;
    if (!framing(ps))
        return false;
    bool never = h->status < 200 || h->status == 204;
    if (never && ps->length != NONE)
        h->fields[ps->length].dropped = true; /* RFC 9110 8.6: must not be there */
    if (never || h->status == 304 || request_method == METHOD_HEAD ||
        (request_method == METHOD_CONNECT && h->status < 300)) {
        h->framing = FRAMING_NONE;
        h->content_length = 0;
    } else if (h->framing == FRAMING_NONE) {
        h->framing = FRAMING_CLOSE;
        h->keep_alive = false;
    }
    return true;
}

enum h1 h1_parse_response(struct h1_scan *s, const char *p, size_t n, const struct head_limits *l,
                          enum method request_method, struct head *h, enum reason *reason,
                          const char **detail) {
    struct parse ps = parse_of(h, p, n, true);
    if (n == 0)
        return H1_MORE;
    if (unlikely(p[0] != 'H'))
        return verdict(&ps, bad(&ps, "the answer does not start with HTTP/1.1 or HTTP/1.0"), reason,
                       detail);
    enum h1 found = find_end(&ps, s, p, n, l);
    if (found != H1_DONE)
        return found == H1_MORE ? H1_MORE : verdict(&ps, false, reason, detail);
    bool good = status_line(&ps) && fields(&ps, l) && response_framing(&ps, request_method);
    return verdict(&ps, good, reason, detail);
}
