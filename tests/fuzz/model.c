/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz model: objects from the link. Byte 0 is the kind. What is accepted decodes, and encoding it
 * again and decoding that gives the same value; unless it was larger, and unknown fields that it
 * lost had made room for it: a byte stands for at most 64 bytes of memory.
 */
#include "lib/model.h"
#include "lib/arena.h"
#include "tests/fuzz/fuzz.h"

static void again(const struct object *o, const struct model_struct *s, struct arena *a) {
    const void *value = object_decode(o, a, NULL);
    must(value != NULL);
    struct out bytes = out_heap(16U << 20), json = out_heap(64U << 20);
    struct why why = {0};
    model_encode(s, value, &bytes);
    must(!bytes.over);
    void *second = arena_zalloc(a, s->size);
    if (model_decode(s, out_done(&bytes), a, second, NULL, &why) == 0)
        must(model_equal(s, value, second));
    else
        must(bytes.n < o->bytes_n && strstr(why.text, "memory"));
    object_json(o, &json);
    out_fini(&bytes);
    out_fini(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 1)
        return 0;
    struct why why;
    why_clear(&why);
    struct str bytes = str_mk((const char *)data + 1, n - 1);
    struct object *o = object_from_bytes(data[0], STR("any/ns/name"), bytes, &why);
    if (o == NULL) {
        must(why_set(&why));
        return 0;
    }
    const struct model_struct *s = model_struct_of((enum model_kind)o->kind);
    struct arena a;
    arena_init(&a);
    if (s != NULL)
        again(o, s, &a);
    arena_fini(&a);
    object_drop(o);
    return 0;
}
