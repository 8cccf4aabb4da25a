/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/protobuf.h"

enum { NUMBER_MAX = (1 << 29) - 1 };

/* ---- reading ---- */

/* Seven bits a byte, the lowest first. */
static bool varint(struct proto *p, uint64_t *v) {
    *v = 0;
    for (unsigned i = 0; i < p->rest.n && i < 10; i++) {
        uint64_t byte = (unsigned char)p->rest.p[i];
        if (i == 9 && byte > 1)
            return false;
        *v |= (byte & 0x7f) << (7 * i);
        if (byte >= 0x80)
            continue;
        p->rest = str_skip(p->rest, i + 1);
        return true;
    }
    return false;
}

static bool fixed(struct proto *p, unsigned n, uint64_t *v) {
    *v = 0;
    if (p->rest.n < n)
        return false;
    for (unsigned i = 0; i < n; i++)
        *v |= (uint64_t)(unsigned char)p->rest.p[i] << (8 * i);
    p->rest = str_skip(p->rest, n);
    return true;
}

static bool bytes(struct proto *p, struct str *b) {
    uint64_t n;
    if (!varint(p, &n) || n > p->rest.n)
        return false;
    *b = str_mk(p->rest.p, (size_t)n);
    p->rest = str_skip(p->rest, (size_t)n);
    return true;
}

static bool field(struct proto *p, struct proto_field *f) {
    uint64_t tag;
    if (!varint(p, &tag) || tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        return false;
    *f = (struct proto_field){.number = (uint32_t)(tag >> 3), .type = tag & 7};
    switch (f->type) {
    case PROTO_VARINT:
        return varint(p, &f->value);
    case PROTO_FIXED64:
        return fixed(p, 8, &f->value);
    case PROTO_BYTES:
        return bytes(p, &f->bytes);
    case PROTO_FIXED32:
        return fixed(p, 4, &f->value);
    default:
        return false;
    }
}

bool proto_next(struct proto *p, struct proto_field *f) {
    if (p->bad || p->rest.n == 0)
        return false;
    p->bad = !field(p, f);
    return !p->bad;
}

/* ---- writing ---- */

static void put_varint(struct out *o, uint64_t v) {
    while (v >= 0x80) {
        out_char(o, (char)(v | 0x80));
        v >>= 7;
    }
    out_char(o, (char)v);
}

static void put_tag(struct out *o, uint32_t number, enum proto_type type) {
    put_varint(o, (uint64_t)number << 3 | type);
}

void proto_u64(struct out *o, uint32_t number, uint64_t value) {
    put_tag(o, number, PROTO_VARINT);
    put_varint(o, value);
}

static void put_fixed(struct out *o, uint64_t v, unsigned n) {
    char *at = out_take(o, n);
    for (unsigned i = 0; at && i < n; i++)
        at[i] = (char)(v >> (8 * i));
}

void proto_fixed64(struct out *o, uint32_t number, uint64_t value) {
    put_tag(o, number, PROTO_FIXED64);
    put_fixed(o, value, 8);
}

void proto_fixed32(struct out *o, uint32_t number, uint32_t value) {
    put_tag(o, number, PROTO_FIXED32);
    put_fixed(o, value, 4);
}

void proto_bytes(struct out *o, uint32_t number, struct str b) {
    put_tag(o, number, PROTO_BYTES);
    put_varint(o, b.n);
    out_str(o, b);
}

static size_t ascii(struct str text) {
    size_t n = 0;
    while (n < text.n && (unsigned char)text.p[n] < 0x80)
        n++;
    return n;
}

void proto_text(struct out *o, uint32_t number, struct str text) {
    put_tag(o, number, PROTO_BYTES);
    put_varint(o, text.n);
    while (text.n > 0) {
        size_t n = ascii(text);
        if (n == 0)
            n = str_utf8(text);
        if (n > 0)
            out_bytes(o, text.p, n);
        else
            out_char(o, '?');
        text = str_skip(text, n > 0 ? n : 1);
    }
}

/* The length is known at the end: four bytes are kept for it, as a number with leading zeros. */
enum { LENGTH_BYTES = 4 };

size_t proto_open(struct out *o, uint32_t number) {
    put_tag(o, number, PROTO_BYTES);
    size_t at = o->n;
    (void)out_take(o, LENGTH_BYTES);
    return at;
}

void proto_close(struct out *o, size_t at) {
    if (o->over)
        return;
    size_t n = o->n - at - LENGTH_BYTES;
    for (unsigned i = 0; i < LENGTH_BYTES; i++)
        o->p[at + i] = (char)(n >> (7 * i) & 0x7f) | (i + 1 < LENGTH_BYTES ? (char)0x80 : 0);
}
