/* SPDX-License-Identifier: Apache-2.0
 *
 * wire: the messages of the subprotocol sluice.config.v1, from the table lib/wire.def.
 *
 *   proxy       hello ──────────────────────────────► ack | nack        report ...     have ...
 *   controller        begin hold* (put | del)* commit ─┘                        get ──┘
 *
 *   controller        watch ─┐ (while somebody looks)
 *   proxy                    └─► live, once a second
 *
 * One binary WebSocket message is one byte of type and the encoding of one struct. An unknown type
 * is skipped, as an unknown field is, so that both ends may be a version apart. Decoding trusts
 * nothing, see lib/model.h. No thread, no state, no I/O.
 */
#ifndef SLUICE_LIB_WIRE_H
#define SLUICE_LIB_WIRE_H

#include "lib/map.h"
#include "lib/model.h"

#define WIRE_PROTOCOL  "sluice.config.v1"
#define WIRE_PEER_NAME "proxy.peers.sluice.internal" /* of the certificate of every proxy */

enum {
    WIRE_MESSAGE_MAX = MODEL_OBJECT_MAX + (64 << 10), /* bytes; an object and what goes with it */
    WIRE_FRAME_MAX = 256000,                          /* bytes of one WebSocket frame */
    WIRE_BATCH = 128 << 10, /* a message of many small things is sent when it is this large */
    WIRE_FAULTS_MAX = 256,  /* faults of one nack; what is left comes with the next one */
    WIRE_DIGEST_BYTES = MODEL_BUCKETS * 8,
    WIRE_BUCKETS_BYTES = MODEL_BUCKETS / 8,
    WIRE_COUNTS_MAX = 256, /* counts of limits over the fleet in one message */
    WIRE_REST_MS =
        5000, /* from the end of a lease until a proxy takes 1/N of what it had less of */
    WIRE_WHOLE = 1000000, /* shares are parts of it */
};

#define MODEL_DEF          "lib/wire.def"
#define MODEL_STRUCT(name) wire_##name
#define MODEL_TABLE(name)  wire_struct_##name
#include "lib/model_structs.h"

enum wire_type {
    WIRE_UNKNOWN = 0, /* a newer sender's; skip it */
#define PART(name, doc, ...)
#define KIND(number, name, doc, ...) WIRE_##name = (number),
#include "lib/wire.def"
#undef PART
#undef KIND
    WIRE_TYPES
};

/* A decoded message. Strings borrow from its bytes, lists from the arena. */
struct wire_message {
    enum wire_type type;
    union {
#define PART(name, doc, ...)
#define KIND(number, name, doc, ...) struct wire_##name name;
#include "lib/wire.def"
#undef PART
#undef KIND
    };
};

const struct model_struct *wire_struct_of(enum wire_type type); /* NULL if there is none */

/* Appends type byte and encoding of *value, the struct of that type. The caller checks o->over. */
void wire_encode(enum wire_type type, const void *value, struct out *o);
/* 0, also with WIRE_UNKNOWN; -1 with *why. */
int wire_decode(struct str bytes, struct arena *a, struct wire_message *m,
                struct why *why) MUST_USE;

/* The 256 digests of a hello. */
void wire_digest_pack(const struct digest *d, char room[WIRE_DIGEST_BYTES]);
int wire_digest_unpack(struct str bytes, struct digest *d, struct why *why) MUST_USE;

static inline bool wire_bucket_in(struct str buckets, unsigned bucket) {
    return buckets.n == WIRE_BUCKETS_BYTES && (buckets.p[bucket / 8] >> (bucket % 8) & 1) != 0;
}

/* ---- a set of ids and of prefixes that end in '/' ---- */

/* What get and hold name. The set owns its copies. Looking up costs one probe per '/' of the id,
 * however many are in it. */
struct wire_ids {
    struct map map; /* id or prefix → its copy */
};

void wire_ids_init(struct wire_ids *s);
void wire_ids_fini(struct wire_ids *s);
bool wire_ids_add(struct wire_ids *s, struct str id);         /* false: was there */
bool wire_ids_del(struct wire_ids *s, struct str id);         /* false: was not there */
bool wire_ids_match(const struct wire_ids *s, struct str id); /* it, or one of its prefixes */
bool wire_ids_equal(const struct wire_ids *a, const struct wire_ids *b);
/* Whether the name is a prefix, and whether it covers the id. */
static inline bool wire_is_prefix(struct str name) {
    return name.n > 0 && name.p[name.n - 1] == '/';
}
static inline bool wire_covers(struct str name, struct str id) {
    return wire_is_prefix(name) ? str_starts(id, name) : str_eq(id, name);
}

#endif
