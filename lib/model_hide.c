/* SPDX-License-Identifier: Apache-2.0
 *
 * Decodes, empties every HIDE field by the model's own tables, and encodes again. An object of a
 * kind that we do not know is not shown: nobody here can tell which of its bytes are secret.
 */
#include "lib/model.h"

#include <openssl/evp.h>

static void hide(const struct model_struct *s, char *value);

static void hide_field(const struct model_field *f, char *value) {
    switch (f->type) {
    case MODEL_T_HIDE:
        *(struct str *)(void *)(value + f->offset) = STR_NONE;
        break;
    case MODEL_T_ONE: {
        char *part = *(char **)(void *)(value + f->offset);
        if (part)
            hide(f->part, part);
        break;
    }
    case MODEL_T_MANY: {
        char *parts = *(char **)(void *)(value + f->offset);
        uint32_t n = *(uint32_t *)(void *)(value + f->n_offset);
        for (uint32_t i = 0; i < n; i++)
            hide(f->part, parts + i * f->part->size);
        break;
    }
    default:
        break;
    }
}

static void hide(const struct model_struct *s, char *value) {
    size_t n;
    const struct model_field *fields = s->fields(&n);
    for (size_t i = 0; i < n; i++)
        hide_field(&fields[i], value);
}

/* EVP_EncodeBlock() writes a NUL behind, which is given back. */
static void out_base64(struct out *o, struct str s) {
    size_t n = (s.n + 2) / 3 * 4;
    char *at = out_take(o, n + 1);
    if (!at)
        return;
    EVP_EncodeBlock((unsigned char *)at, (const unsigned char *)s.p, (int)s.n);
    o->n--;
}

/* The bytes that may be shown; n == 0 also of a kind that we do not know. */
static struct str visible(const struct object *o, struct arena *a) {
    const struct model_struct *s = model_struct_of((enum model_kind)o->kind);
    struct out bytes = out_heap(MODEL_OBJECT_MAX);
    void *value = s ? object_decode(o, a, NULL) : NULL;
    if (value) {
        hide(s, value);
        model_encode(s, value, &bytes);
    }
    struct str copy = arena_str(a, out_done(&bytes));
    out_fini(&bytes);
    return copy;
}

struct object *object_hide(const struct object *o) {
    struct arena a;
    arena_init(&a);
    struct object *shown = object_from_bytes(o->kind, object_id(o), visible(o, &a), NULL);
    must(shown);
    shown->hash = o->hash;
    arena_fini(&a);
    return shown;
}

void object_wire_json(const struct object *o, struct out *to) {
    struct arena a;
    arena_init(&a);
    out_fmt(to, "{\"kind\":%u,\"id\":", o->kind);
    out_json(to, object_id(o));
    out_fmt(to, ",\"hash\":\"%016llx\",\"bytes\":\"", (unsigned long long)o->hash);
    out_base64(to, visible(o, &a));
    out_lit(to, "\"}");
    arena_fini(&a);
}
