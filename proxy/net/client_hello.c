/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/client_hello.h"

enum {
    RECORD_HEAD = 5,
    RECORD_MAX = 16384,
    HANDSHAKE = 22,
    MESSAGE_HEAD = 4,
    RANDOM = 32,
    SESSION_MAX = 32,
    SERVER_NAME = 0,
    HOST_NAME = 0,
};

/* What is left of something that is enclosed. Taking more than there is makes it bad for good. */
struct cursor {
    const uint8_t *p;
    size_t n;
    bool bad;
};

static struct cursor take(struct cursor *c, size_t n) {
    if (c->bad || n > c->n) {
        c->bad = true;
        return (struct cursor){c->p, 0, true};
    }
    struct cursor part = {c->p, n, false};
    c->p += n;
    c->n -= n;
    return part;
}

static size_t number(struct cursor *c, size_t bytes) {
    struct cursor part = take(c, bytes);
    size_t v = 0;
    for (size_t i = 0; i < part.n; i++)
        v = v << 8 | part.p[i];
    return v;
}

/* Behind a length of so many bytes. */
static struct cursor enclosed(struct cursor *c, size_t bytes) {
    size_t n = number(c, bytes);
    return take(c, n);
}

/* ---- the name ---- */

static bool is_host_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == ':';
}

/* RFC 6066 3: a list, which in truth holds one name of the one type that there is. */
static bool read_name(struct cursor list, struct client_hello *h) {
    struct cursor names = enclosed(&list, 2);
    size_t type = number(&names, 1);
    struct cursor name = enclosed(&names, 2);
    if (list.n > 0 || names.n > 0 || name.bad || type != HOST_NAME || name.n == 0 ||
        name.n > CLIENT_HELLO_NAME_MAX)
        return false;
    if (name.p[name.n - 1] == '.')
        name.n--;
    for (size_t i = 0; i < name.n; i++) {
        h->name[i] = char_lower((char)name.p[i]);
        if (!is_host_byte(h->name[i]))
            return false;
    }
    h->name_n = (uint8_t)name.n;
    return true;
}

static bool read_extensions(struct cursor all, struct client_hello *h) {
    bool named = false;
    while (all.n > 0 && !all.bad) {
        size_t type = number(&all, 2);
        struct cursor body = enclosed(&all, 2);
        if (type != SERVER_NAME || all.bad)
            continue;
        if (named || !read_name(body, h))
            return false;
        named = true;
    }
    return !all.bad;
}

/* ---- the message ---- */

/* RFC 8446 4.1.2; without extensions in older ones. */
static bool read_hello(struct cursor c, struct client_hello *h) {
    size_t major = number(&c, 1);
    take(&c, 1 + RANDOM);
    struct cursor session = enclosed(&c, 1), suites = enclosed(&c, 2), methods = enclosed(&c, 1);
    if (c.bad || major != 3 || session.n > SESSION_MAX || suites.n == 0 || suites.n % 2 != 0 ||
        methods.n == 0)
        return false;
    if (c.n == 0)
        return true;
    struct cursor extensions = enclosed(&c, 2);
    return c.n == 0 && !extensions.bad && read_extensions(extensions, h);
}

/* ---- records ---- */

/* The bytes of the handshake, out of their records. */
struct flat {
    uint8_t bytes[CLIENT_HELLO_MAX];
    size_t n;
    size_t whole; /* so many make the message; 0: not known yet */
};

/* False: this cannot be the beginning of a ClientHello. */
static bool add(struct flat *f, const uint8_t *p, size_t n) {
    memcpy(f->bytes + f->n, p, n);
    f->n += n;
    if (f->n > 0 && f->bytes[0] != 1)
        return false;
    if (f->n >= MESSAGE_HEAD)
        f->whole = MESSAGE_HEAD +
                   ((size_t)f->bytes[1] << 16 | (size_t)f->bytes[2] << 8 | (size_t)f->bytes[3]);
    return f->whole == 0 || f->n <= f->whole;
}

static size_t at_least(const struct flat *f) { return f->whole > 0 ? f->whole : MESSAGE_HEAD; }

static enum client_hello_got bad(const char **detail, const char *words) {
    *detail = words;
    return CLIENT_HELLO_BAD;
}

/* The message is in f when it is done. */
static enum client_hello_got gather(const uint8_t *p, size_t n, struct flat *f,
                                    struct client_hello *h, const char **detail) {
    size_t at = 0;
    while (f->whole == 0 || f->n < f->whole) {
        size_t left = n - at;
        h->need = at + RECORD_HEAD + at_least(f) - f->n;
        if (h->need > CLIENT_HELLO_MAX)
            return bad(detail, "a ClientHello is longer than 16 kB");
        if ((left > 0 && p[at] != HANDSHAKE) || (left > 1 && p[at + 1] != 3))
            return bad(detail, "this is no handshake of TLS");
        if (left < RECORD_HEAD)
            return CLIENT_HELLO_MORE;
        size_t length = (size_t)p[at + 3] << 8 | p[at + 4];
        if (length == 0 || length > RECORD_MAX)
            return bad(detail, "a record of TLS is empty or too long");
        size_t there = size_min(left - RECORD_HEAD, length);
        if (at + RECORD_HEAD + there > CLIENT_HELLO_MAX)
            return bad(detail, "a ClientHello is longer than 16 kB");
        if (!add(f, p + at + RECORD_HEAD, there))
            return bad(detail, "the first message is no ClientHello, or not the only one");
        if (there < length) {
            /* Not before the record is whole, or as much of it as the message needs. */
            size_t missing = at_least(f) - f->n;
            h->need = n + size_min(length - there, missing > 0 ? missing : 1);
            return h->need > CLIENT_HELLO_MAX ? bad(detail, "a ClientHello is longer than 16 kB")
                                              : CLIENT_HELLO_MORE;
        }
        at += RECORD_HEAD + length;
    }
    return CLIENT_HELLO_DONE;
}

enum client_hello_got client_hello_read(const char *p, size_t n, struct client_hello *h,
                                        const char **detail) {
    struct flat f;
    f.n = f.whole = 0;
    h->need = 0;
    h->name_n = 0;
    *detail = "";
    enum client_hello_got got = gather((const uint8_t *)p, n, &f, h, detail);
    if (got != CLIENT_HELLO_DONE)
        return got;
    if (!read_hello((struct cursor){f.bytes + MESSAGE_HEAD, f.n - MESSAGE_HEAD, false}, h))
        return bad(detail, "a ClientHello is broken");
    return CLIENT_HELLO_DONE;
}
