/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/head.h"

#include "lib/chars.h"

const struct head_field *head_find(const struct head *h, enum token t) {
    for (unsigned i = 0; i < h->n_fields; i++)
        if (h->fields[i].token == t && !h->fields[i].dropped)
            return &h->fields[i];
    return NULL;
}

const struct head_field *head_each(const struct head *h, struct str name, unsigned *from) {
    for (unsigned i = *from; i < h->n_fields; i++) {
        const struct head_field *f = &h->fields[i];
        if (f->name.n == name.n && !f->dropped && str_eq_nocase(head_name(h, f), name)) {
            *from = i + 1;
            return f;
        }
    }
    *from = h->n_fields;
    return NULL;
}

struct str head_joined(const struct head *h, struct str name, struct out *room) {
    unsigned at = 0;
    size_t start = room->n;
    const struct head_field *first = head_each(h, name, &at), *f = NULL;
    if (first == NULL)
        return STR_NONE;
    for (bool joined = false; (f = head_each(h, name, &at)) != NULL; joined = true) {
        if (!joined)
            out_str(room, head_value(h, first));
        out_str(room, first->token == TOKEN_COOKIE ? STR("; ") : STR(", "));
        out_str(room, head_value(h, f));
    }
    if (room->n == start && !room->over)
        return head_value(h, first);
    return str_mk(room->p + start, room->n - start);
}

bool head_cookie(const struct head *h, struct str name, struct str *value) {
    for (unsigned i = 0; i < h->n_fields; i++) {
        if (h->fields[i].token != TOKEN_COOKIE || h->fields[i].dropped)
            continue;
        struct str rest = head_value(h, &h->fields[i]), pair, key;
        while (rest.p != NULL) {
            rest = str_cut(rest, ';', &pair);
            struct str v = str_cut(str_trim(pair), '=', &key);
            if (v.p != NULL && str_eq(key, name)) {
                *value = v;
                return true;
            }
        }
    }
    return false;
}

/* The next byte of a form-encoded text; a '%' without two hex digits is itself. */
static char form_next(const char **at, const char *end) {
    const char *p = *at;
    if (*p == '%' && end - p >= 3 && char_is(p[1], CHAR_HEX) && char_is(p[2], CHAR_HEX)) {
        *at = p + 3;
        return (char)(char_hex(p[1]) << 4 | char_hex(p[2]));
    }
    *at = p + 1;
    return *p == '+' ? ' ' : *p;
}

static bool form_eq(struct str encoded, struct str plain) {
    const char *at = encoded.p, *end = encoded.p + encoded.n;
    for (size_t i = 0; i < plain.n; i++)
        if (at == end || form_next(&at, end) != plain.p[i])
            return false;
    return at == end;
}

bool head_form_decode(struct str encoded, char *room, size_t cap, struct str *plain) {
    const char *at = encoded.p, *end = encoded.p + encoded.n;
    size_t n = 0;
    while (at < end) {
        if (n == cap)
            return false;
        room[n++] = form_next(&at, end);
    }
    *plain = str_mk(room, n);
    return true;
}

bool head_form_is(struct str pair, struct str name, struct str *encoded) {
    struct str key;
    *encoded = str_cut(pair, '=', &key);
    return pair.n > 0 && form_eq(key, name);
}

bool head_query(const struct head *h, struct str name, char *room, size_t cap, struct str *value) {
    struct str rest = h->has_query ? head_str(h, h->query) : STR_NONE, pair, v;
    while (rest.p != NULL) {
        rest = str_cut(rest, '&', &pair);
        if (head_form_is(pair, name, &v))
            return head_form_decode(v, room, cap, value);
    }
    return false;
}

#define IS(literal) (memcmp(m.p, literal, sizeof(literal) - 1) == 0)
enum method method_of(struct str m) {
    switch (m.n) {
    case 3:
        return IS("GET") ? METHOD_GET : IS("PUT") ? METHOD_PUT : METHOD_OTHER;
    case 4:
        return IS("POST") ? METHOD_POST : IS("HEAD") ? METHOD_HEAD : METHOD_OTHER;
    case 5:
        return IS("PATCH") ? METHOD_PATCH : IS("TRACE") ? METHOD_TRACE : METHOD_OTHER;
    case 6:
        return IS("DELETE") ? METHOD_DELETE : METHOD_OTHER;
    case 7:
        return IS("OPTIONS") ? METHOD_OPTIONS : IS("CONNECT") ? METHOD_CONNECT : METHOD_OTHER;
    default:
        return METHOD_OTHER;
    }
}
#undef IS

bool method_is_idempotent(enum method m) {
    switch (m) {
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_PUT:
    case METHOD_DELETE:
    case METHOD_OPTIONS:
    case METHOD_TRACE:
        return true;
    case METHOD_OTHER: /* unknown: not known to be safe */
    case METHOD_POST:
    case METHOD_CONNECT:
    case METHOD_PATCH:
        break;
    }
    return false;
}
