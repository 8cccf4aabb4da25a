/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire.h"

#include "lib/mem.h"

#define MODEL_DEF          "lib/wire.def"
#define MODEL_STRUCT(name) wire_##name
#define MODEL_TABLE(name)  wire_struct_##name
#include "lib/model_tables.h"

static const struct model_struct *const types[WIRE_TYPES] = {
#define PART(name, doc, ...)
#define KIND(number, name, doc, ...) [number] = &wire_struct_##name,
#include "lib/wire.def"
#undef PART
#undef KIND
};

const struct model_struct *wire_struct_of(enum wire_type type) {
    return (unsigned)type < WIRE_TYPES ? types[type] : NULL;
}

void wire_encode(enum wire_type type, const void *value, struct out *o) {
    const struct model_struct *s = wire_struct_of(type);
    must(s);
    out_char(o, (char)type);
    model_encode(s, value, o);
}

/* Where the struct lies in the message, whichever it is: members of a union share their place. */
static void *value_of(struct wire_message *m) { return &m->hello; }

int wire_decode(struct str bytes, struct arena *a, struct wire_message *m, struct why *why) {
    *m = (struct wire_message){.type = WIRE_UNKNOWN};
    if (bytes.n == 0)
        return why_text(why, "an empty message");
    enum wire_type type = (enum wire_type)(unsigned char)bytes.p[0];
    const struct model_struct *s = wire_struct_of(type);
    if (!s)
        return 0;
    if (model_decode_max(s, str_skip(bytes, 1), WIRE_MESSAGE_MAX, a, value_of(m), NULL, why) != 0)
        return -1;
    m->type = type;
    return 0;
}

/* ---- digests ---- */

void wire_digest_pack(const struct digest *d, char room[WIRE_DIGEST_BYTES]) {
    for (size_t i = 0; i < MODEL_BUCKETS; i++)
        for (unsigned k = 0; k < 8; k++)
            room[i * 8 + k] = (char)(d->bucket[i] >> (8 * k));
}

int wire_digest_unpack(struct str bytes, struct digest *d, struct why *why) {
    *d = (struct digest){0};
    if (bytes.n != WIRE_DIGEST_BYTES)
        return why_text(why, "hello.digest has %zu bytes instead of %d", bytes.n,
                        WIRE_DIGEST_BYTES);
    for (size_t i = 0; i < bytes.n; i++)
        d->bucket[i / 8] |= (uint64_t)(unsigned char)bytes.p[i] << (8 * (i % 8));
    return 0;
}

/* ---- sets of ids ---- */

void wire_ids_init(struct wire_ids *s) { map_init(&s->map); }

void wire_ids_fini(struct wire_ids *s) {
    for (struct map_slot *slot = NULL; (slot = map_next(&s->map, slot));)
        mem_free(slot->value);
    map_fini(&s->map);
}

bool wire_ids_add(struct wire_ids *s, struct str id) {
    if (map_get(&s->map, id))
        return false;
    char *copy = str_dup(id);
    map_put(&s->map, str_mk(copy, id.n), copy);
    return true;
}

bool wire_ids_del(struct wire_ids *s, struct str id) {
    char *copy = map_del(&s->map, id);
    mem_free(copy);
    return copy != NULL;
}

bool wire_ids_match(const struct wire_ids *s, struct str id) {
    if (s->map.n == 0)
        return false;
    if (map_get(&s->map, id))
        return true;
    for (size_t i = 0; (i = str_find(id, '/', i)) < id.n;)
        if (map_get(&s->map, str_mk(id.p, ++i)))
            return true;
    return false;
}

bool wire_ids_equal(const struct wire_ids *a, const struct wire_ids *b) {
    if (a->map.n != b->map.n)
        return false;
    for (struct map_slot *slot = NULL; (slot = map_next(&a->map, slot));)
        if (!map_get(&b->map, slot->key))
            return false;
    return true;
}
