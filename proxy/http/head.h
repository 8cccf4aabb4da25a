/* SPDX-License-Identifier: Apache-2.0
 *
 * head: a parsed message head of any HTTP version: start line, fields as offset pairs into the
 * bytes they were parsed from, and the framing of the body. A codec fills it, the router and the
 * policies read it, a codec writes it anew. It owns nothing.
 *
 *     base ──► "GET /a%20b?x=1 HTTP/1.1\r\nHost: Shop.example.com:8080\r\nAccept: *" "/"
 * "*\r\n\r\n" └ target              └ fields[0] = {name 4, value 22, TOKEN_HOST}
 *
 * Because everything is an offset, the bytes may be moved: set base to their new place.
 */
#ifndef SLUICE_PROXY_HTTP_HEAD_H
#define SLUICE_PROXY_HTTP_HEAD_H

#include "lib/out.h"
#include "proxy/http/reason.h"
#include "proxy/http/token.h"

enum {
    HEAD_FIELDS_MAX = 356,     /* 256 fields and 100 cookies: the hard bound; limits are lower */
    HEAD_BYTES_MAX = 60 * 1024 /* the hard bound; the configured one is lower (32 KiB) */
};

enum method { /* known ones; any other token is METHOD_OTHER and compared as text */
              METHOD_OTHER,
              METHOD_GET,
              METHOD_HEAD,
              METHOD_POST,
              METHOD_PUT,
              METHOD_DELETE,
              METHOD_CONNECT,
              METHOD_OPTIONS,
              METHOD_TRACE,
              METHOD_PATCH,
};

enum framing {                 /* RFC 9112 6.3 */
               FRAMING_NONE,   /* no body */
               FRAMING_LENGTH, /* content_length bytes */
               FRAMING_CHUNKED,
               FRAMING_CLOSE, /* response: until the connection ends */
};

struct span {
    uint16_t at, n;
};

struct head_field {
    struct span name, value; /* the value without surrounding blanks */
    uint8_t token;           /* enum token; TOKEN_OTHER if not known */
    bool dropped;            /* hop-by-hop or named in Connection: not forwarded */
};

struct head_limits {
    uint32_t bytes;   /* of the whole head */
    uint16_t fields;  /* without cookies */
    uint16_t cookies; /* Cookie fields */
};

struct head {
    const char *base;
    uint32_t n; /* bytes of the head, its empty line included */
    uint16_t n_fields;
    uint8_t method;       /* enum method; request */
    uint8_t minor;        /* HTTP/1.minor */
    uint16_t status;      /* response */
    uint8_t framing;      /* enum framing */
    bool keep_alive;      /* the sender will take another message on this connection */
    bool expect_continue; /* Expect: 100-continue, HTTP/1.1 */
    bool has_query;
    uint64_t
        content_length; /* FRAMING_LENGTH; a HEAD response keeps the announced one in field form */
    struct span method_text;
    struct span target;   /* as received */
    struct span raw_path; /* of the target, before canonicalisation */
    struct span query;    /* without '?' */
    struct span host;     /* authority without port, as received (case kept) */
    struct span reason_text;
    /* The one protocol that a request asks for, or an answer agrees to (RFC 9110 7.8): HTTP/1.1,
     * Connection names Upgrade, and there is one such field with one protocol. n == 0: nothing is
     * to be switched. The fields themselves are dropped. */
    struct span upgrade;
    uint16_t port; /* of the authority; 0 = none */
    struct head_field fields[HEAD_FIELDS_MAX];
};
/* Only the fields in use are ever touched: heads are not cleared as a whole. */

static inline struct str head_str(const struct head *h, struct span s) {
    return str_mk(h->base + s.at, s.n);
}
/* Whether anything follows it, of a request as it is and of an answer to anything but HEAD. */
static inline bool head_has_body(const struct head *h) {
    return h->framing == FRAMING_CHUNKED || (h->framing == FRAMING_LENGTH && h->content_length > 0);
}
static inline struct str head_name(const struct head *h, const struct head_field *f) {
    return head_str(h, f->name);
}
static inline struct str head_value(const struct head *h, const struct head_field *f) {
    return head_str(h, f->value);
}

/* The first field with that token that is not dropped, or NULL. */
const struct head_field *head_find(const struct head *h, enum token t);
/* By name, any case: the first at or after *from (an index, moved behind the hit); NULL when none.
 */
const struct head_field *head_each(const struct head *h, struct str name, unsigned *from);
/* All lines of a field as one (RFC 9110 5.3): one line as it stands, several joined in `room` by ",
 * " (by "; " when they are cookies, RFC 9113 8.2.3), which may set room->over. p == NULL: none. */
struct str head_joined(const struct head *h, struct str name, struct out *room);
/* A cookie's value by exact name over all Cookie fields (RFC 6265 5.4); false if there is none. */
bool head_cookie(const struct head *h, struct str name, struct str *value);
/* A query parameter's value: the first of that name, percent-decoded into room ('+' is a space);
 * false if there is none or it does not fit. */
bool head_query(const struct head *h, struct str name, char *room, size_t cap, struct str *value);

/* Whether "name=value" of a query or form has that name; its value as it came (p == NULL: none). */
bool head_form_is(struct str pair, struct str name, struct str *encoded);
bool head_form_decode(struct str encoded, char *room, size_t cap, struct str *plain);

/* "GET" → METHOD_GET; METHOD_OTHER for the rest. */
enum method method_of(struct str text);
/* RFC 9110 9.2.2: may be sent again when it is not known whether it was carried out. */
bool method_is_idempotent(enum method m);

#endif
