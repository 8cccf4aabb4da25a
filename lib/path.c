/* SPDX-License-Identifier: Apache-2.0
 *
 * path: see path.h for the rules. The usual path needs one scan and is returned as it is. Otherwise
 * it is copied segment by segment; a segment is judged by its loose reading: what a backend would
 * see that decodes more than it should, and that cuts parameters off.
 */
#include "lib/path.h"

#include "lib/chars.h"

static bool two_hex(const char *p, const char *end) {
    return end - p >= 3 && char_is(p[1], CHAR_HEX) && char_is(p[2], CHAR_HEX);
}
static unsigned char decoded(const char *p) {
    return (unsigned char)(char_hex(p[1]) << 4 | char_hex(p[2]));
}

/* The next byte as a backend reads it that decodes until there is nothing left to decode:
 * "%2e", "%252e" and "%25252e" are all '.'. */
static char loose_next(const char **at, const char *end) {
    const char *p = *at;
    if (*p != '%') {
        *at = p + 1;
        return *p;
    }
    while (end - p >= 5 && p[1] == '2' && p[2] == '5' && char_is(p[3], CHAR_HEX) &&
           char_is(p[4], CHAR_HEX))
        p += 2;
    *at = p + 3;
    return (char)((char_hex(p[1]) << 4) | char_hex(p[2]));
}

/* Whether a segment has a "." or ".." in its loose reading: as a whole, before the first ';' or
 * NUL, or between slashes that come out of it ("..%252fadmin"). Its escapes are well-formed. */
static bool loose_dots(const char *p, const char *end) {
    for (int dots = 0;;) { /* -1: something else than dots was there */
        bool last = p == end;
        char c = last ? '/' : loose_next(&p, end);
        if (c == '/' || c == '\\' || c == ';' || c == 0) {
            if (dots == 1 || dots == 2)
                return true;
            if (last)
                return false;
            dots = c == '/' || c == '\\' ? 0 : -1;
        } else if (dots >= 0) {
            dots = c == '.' ? dots + 1 : -1;
        }
    }
}

/* Nothing but plain bytes, and dots that no segment starts with. */
static bool plain(struct str p) {
    const char *at = p.p, *end = p.p + p.n;
    for (;;) {
        at = chars_skip(at, end, CHAR_PLAIN_PATH);
        if (at == end)
            return true;
        if (*at != '.' || at[-1] == '/') /* p starts with '/' */
            return false;
        at++;
    }
}

/* One byte or escape in canonical form to *to; false if it must not stand in a path. */
static bool copy_one(const char **from, const char *end, char **to) {
    const char *p = *from;
    if (*p != '%') {
        *(*to)++ = *p;
        *from = p + 1;
        return char_is(*p, CHAR_TARGET) && *p != '\\';
    }
    if (!two_hex(p, end))
        return false;
    unsigned char c = decoded(p);
    *from = p + 3;
    if (char_is((char)c, CHAR_HOST)) {
        *(*to)++ = (char)c;
        return true;
    }
    static const char digits[] = "0123456789ABCDEF";
    *(*to)++ = '%';
    *(*to)++ = digits[c >> 4];
    *(*to)++ = digits[c & 15];
    return c != 0 && c != '/' && c != '\\';
}

/* Every segment is copied behind its '/', then kept, taken back ("."), or taken back together with
 * the one before it (".."): RFC 3986 5.2.4. The room never holds more than was read. */
bool path_canonicalise(struct str raw, char *room, struct str *path) {
    const char *p = raw.p, *end = raw.p + raw.n;
    char *to = room;
    while (p < end) {
        const char *segment = p + 1; /* *p is '/' */
        char *start = to;
        *to++ = '/';
        for (p = segment; p < end && *p != '/';)
            if (!copy_one(&p, end, &to))
                return false;
        size_t n = (size_t)(p - segment);
        bool one = n == 1 && segment[0] == '.', two = n == 2 && memcmp(segment, "..", 2) == 0;
        if (!one && !two) {
            if (loose_dots(start + 1, to))
                return false;
            continue;
        }
        to = start;
        if (two) {
            if (to == room)
                return false; /* above the root */
            do
                to--;
            while (*to != '/');
        }
        if (p == end)
            *to++ = '/'; /* "/a/." and "/a/b/.." are directories */
    }
    *path = str_mk(room, (size_t)(to - room));
    return true;
}

/* Canonical, though not plain: every escape must stay, no segment is or reads as dots. */
static bool canonical_slow(struct str raw) {
    const char *p = raw.p, *end = raw.p + raw.n;
    while (p < end) {
        const char *segment = ++p;
        while (p < end && *p != '/') {
            char one[3], *to = one;
            const char *from = p;
            if (!copy_one(&p, end, &to) || (size_t)(to - one) != (size_t)(p - from) ||
                memcmp(one, from, (size_t)(p - from)) != 0)
                return false;
        }
        if (loose_dots(segment, p))
            return false;
    }
    return true;
}

bool path_is_canonical(struct str p) {
    if (p.n == 0 || p.p[0] != '/')
        return p.n == 1 && p.p[0] == '*';
    return plain(p) || canonical_slow(p);
}
