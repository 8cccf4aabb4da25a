/* SPDX-License-Identifier: Apache-2.0
 *
 * protobuf: messages of Protocol Buffers as a few calls of ours need them: fields one after the
 * other, without a schema and without memory.
 *
 *     0a 03 61 62 63    field 1, bytes: "abc"          10 07    field 2, a number: 7
 *
 *     struct proto p = proto_of(bytes);
 *     while (proto_next(&p, &f))
 *         if (f.number == 1) ...
 *     if (p.bad) ...
 *
 * https://protobuf.dev/programming-guides/encoding/. Groups, which nobody writes any more, are
 * refused. What a field means, and that the last one of a number counts, is the reader's matter.
 */
#ifndef SLUICE_PROXY_HTTP_PROTOBUF_H
#define SLUICE_PROXY_HTTP_PROTOBUF_H

#include "lib/out.h"

enum proto_type { PROTO_VARINT, PROTO_FIXED64, PROTO_BYTES, PROTO_FIXED32 = 5 };

struct proto {
    struct str rest;
    bool bad; /* it is no message; whatever was read of it does not count */
};

struct proto_field {
    uint32_t number;
    uint8_t type;     /* enum proto_type */
    uint64_t value;   /* of a number */
    struct str bytes; /* PROTO_BYTES: text, bytes, or a message; borrowed */
};

static inline struct proto proto_of(struct str bytes) { return (struct proto){bytes, false}; }
bool proto_next(struct proto *p, struct proto_field *f);

/* ---- writing ---- */

void proto_u64(struct out *o, uint32_t number, uint64_t value);
void proto_fixed64(struct out *o, uint32_t number, uint64_t value);
void proto_fixed32(struct out *o, uint32_t number, uint32_t value);
void proto_bytes(struct out *o, uint32_t number, struct str bytes);
/* As text, which must be UTF-8: bytes that are not are written as '?'. */
void proto_text(struct out *o, uint32_t number, struct str text);
/* A message inside: all that is written between. Less than 256 MiB. */
size_t proto_open(struct out *o, uint32_t number);
void proto_close(struct out *o, size_t at);

#endif
