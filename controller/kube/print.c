/* SPDX-License-Identifier: Apache-2.0
 *
 * print: the meaning of decoded fields as bytes, of which the hash is made. Every value has its
 * length or a fixed one, so that no two meanings are the same bytes.
 */
#include "controller/kube/decode.h"

static const void *at(const void *value, size_t offset) { return (const char *)value + offset; }

static void put_number(struct out *o, int64_t v) { out_bytes(o, &v, sizeof(v)); }

static void put_text(struct out *o, struct str s) {
    put_number(o, (int64_t)s.n);
    out_str(o, s);
}

void decode_print_pairs(const struct kube_pair *pairs, uint32_t n, struct out *o) {
    put_number(o, n);
    for (uint32_t i = 0; i < n; i++) {
        put_text(o, pairs[i].key);
        put_text(o, pairs[i].value);
    }
}

static void put_list(const struct kube_field *f, const void *value, struct out *o) {
    uint32_t n = *(const uint32_t *)at(value, f->n_offset);
    const void *elements = *(const void *const *)at(value, f->offset);
    if (f->type == KUBE_T_PAIRS || f->type == KUBE_T_SECRETS) {
        decode_print_pairs(elements, n, o);
        return;
    }
    put_number(o, n);
    for (uint32_t i = 0; i < n; i++) {
        if (f->type == KUBE_T_TEXTS || f->type == KUBE_T_PICKS)
            put_text(o, ((const struct str *)elements)[i]);
        else if (f->type == KUBE_T_INTS)
            put_number(o, ((const int64_t *)elements)[i]);
        else
            decode_print(f->part, at(elements, i * f->part->size), o);
    }
}

static void put_one(const struct kube_field *f, const void *part, struct out *o) {
    out_char(o, part != NULL);
    if (part)
        decode_print(f->part, part, o);
}

static void put_field(const struct kube_field *f, const void *value, struct out *o) {
    const void *p = at(value, f->offset);
    switch ((enum kube_type)f->type) {
    case KUBE_T_END:
    case KUBE_T_REQUIRED:
    case KUBE_T_FILLED:
    case KUBE_T_LATER:
    case KUBE_T_RULE:
    case KUBE_T_COLUMN:
        return;
    case KUBE_T_TEXT:
    case KUBE_T_PICK:
        /* absent and empty differ in a few fields of Kubernetes, as ingressClassName */
        out_char(o, ((const struct str *)p)->p != NULL);
        put_text(o, *(const struct str *)p);
        return;
    case KUBE_T_BOOL:
        out_char(o, *(const bool *)p);
        return;
    case KUBE_T_INT:
    case KUBE_T_SPAN:
    case KUBE_T_SIZE:
    case KUBE_T_MAYBE:
        put_number(o, *(const int64_t *)p);
        return;
    case KUBE_T_WORD:
    case KUBE_T_CHOICE:
        put_number(o, *(const uint32_t *)p);
        return;
    case KUBE_T_PORT:
        put_number(o, ((const struct kube_port *)p)->number);
        put_text(o, ((const struct kube_port *)p)->name);
        return;
    case KUBE_T_ONE:
        put_one(f, *(const void *const *)p, o);
        return;
    case KUBE_T_TEXTS:
    case KUBE_T_PICKS:
    case KUBE_T_INTS:
    case KUBE_T_MANY:
    case KUBE_T_PAIRS:
    case KUBE_T_SECRETS:
        put_list(f, value, o);
        return;
    }
}

void decode_print(const struct kube_part *part, const void *value, struct out *o) {
    for (const struct kube_field *f = part->fields(); f->type != KUBE_T_END; f++)
        put_field(f, value, o);
}
