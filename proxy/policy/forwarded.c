/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/policy/forwarded.h"

#include "lib/chars.h"

#include <arpa/inet.h>

/* ---- reading ---- */

enum { SEEN_FOR = 1, SEEN_BY = 2, SEEN_HOST = 4, SEEN_PROTO = 8 };

struct reader {
    const char *p, *end;
};

static void skip_blanks(struct reader *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
        r->p++;
}

static bool next_is(struct reader *r, char c) {
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static struct str token(struct reader *r) {
    const char *start = r->p;
    r->p = chars_skip(r->p, r->end, CHAR_TOKEN);
    return str_mk(start, (size_t)(r->p - start));
}

/* What stands between the quotes; the first one is behind us. */
static bool quoted(struct reader *r, struct str *value) {
    const char *start = r->p;
    while (r->p < r->end && *r->p != '"') {
        if (*r->p == '\\')
            r->p++;
        if (r->p == r->end || !char_is(*r->p, CHAR_VALUE))
            return false;
        r->p++;
    }
    *value = str_mk(start, (size_t)(r->p - start));
    return next_is(r, '"');
}

static unsigned parameter(struct str name) {
    return str_eq_nocase(name, STR("for"))     ? SEEN_FOR
           : str_eq_nocase(name, STR("by"))    ? SEEN_BY
           : str_eq_nocase(name, STR("host"))  ? SEEN_HOST
           : str_eq_nocase(name, STR("proto")) ? SEEN_PROTO
                                               : 0;
}

/* name=value; what is known may be there once. */
static bool pair(struct reader *r, struct str *node, unsigned *seen) {
    struct str name = token(r), value;
    unsigned which = parameter(name);
    if (name.n == 0 || !next_is(r, '=') || (*seen & which) != 0)
        return false;
    *seen |= which;
    if (next_is(r, '"')) {
        if (!quoted(r, &value))
            return false;
    } else {
        value = token(r);
        if (value.n == 0)
            return false;
    }
    if (which == SEEN_FOR)
        *node = value;
    return true;
}

static bool element(struct reader *r, struct str *node) {
    unsigned seen = 0;
    *node = STR_NONE;
    do {
        skip_blanks(r);
        if (r->p < r->end && *r->p != ';' && *r->p != ',' && !pair(r, node, &seen))
            return false;
        skip_blanks(r);
    } while (next_is(r, ';'));
    return r->p == r->end || *r->p == ',';
}

bool forwarded_read(struct str field, struct str nodes[FORWARDED_MAX], unsigned *n) {
    struct reader r = {field.p, field.p + field.n};
    *n = 0;
    do {
        if (*n == FORWARDED_MAX || !element(&r, &nodes[*n]))
            return false;
        ++*n;
    } while (next_is(&r, ','));
    return true;
}

/* ---- nodes ---- */

/* RFC 7239 6: an address of IPv6 stands in brackets; a port may follow either. */
bool forwarded_address(struct str node, uint8_t address[16]) {
    char z[INET6_ADDRSTRLEN];
    bool six = node.n > 0 && node.p[0] == '[';
    struct str text = six ? str_skip(node, 1) : node;
    size_t end = str_find(text, six ? ']' : ':', 0);
    if (node.n == 0 || end >= sizeof(z) || (six && end == text.n))
        return false;
    struct str port = str_skip(text, end + (six ? 1 : 0));
    if (port.n > 0 && port.p[0] != ':')
        return false;
    memcpy(z, text.p, end);
    z[end] = 0;
    memset(address, 0, 10);
    address[10] = address[11] = 0xff;
    return six ? inet_pton(AF_INET6, z, address) == 1 : inet_pton(AF_INET, z, address + 12) == 1;
}

/* ---- writing ---- */

void forwarded_write(struct out *o, struct str peer, struct str host, bool https) {
    bool six = str_find(peer, ':', 0) < peer.n;
    out_str(o, six ? STR("for=\"[") : STR("for="));
    out_str(o, peer);
    if (six)
        out_lit(o, "]\"");
    if (host.n > 0) { /* of a checked authority: no quote and no backslash */
        out_lit(o, ";host=\"");
        out_str(o, host);
        out_char(o, '"');
    }
    out_str(o, https ? STR(";proto=https") : STR(";proto=http"));
}
