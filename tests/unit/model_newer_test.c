/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/model: fields that only a newer writer knows. In what demands something they are told, so
 * that it can be closed; elsewhere they are passed over.
 */
#include "lib/model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { UNKNOWN = 2000 };

static void put_varint(struct out *o, uint64_t v) {
    for (; v >= 0x80; v >>= 7)
        out_char(o, (char)(0x80 | (v & 0x7f)));
    out_char(o, (char)v);
}

static const struct model_field *field_of(const struct model_struct *s, const char *name) {
    size_t n;
    const struct model_field *all = s->fields(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    fail_msg("%s has no field %s", s->name, name);
    return NULL;
}

/* The unknown field in the part at that path. */
static void put(struct out *o, const struct model_struct *s, const char *const *path) {
    if (!*path) {
        put_varint(o, UNKNOWN << 1);
        put_varint(o, 1);
        return;
    }
    char room[64];
    struct out inner = out_fixed(room, sizeof(room));
    const struct model_field *f = field_of(s, *path);
    put(&inner, f->part, path + 1);
    put_varint(o, (uint64_t)f->number << 1 | 1);
    put_varint(o, inner.n);
    out_bytes(o, room, inner.n);
}

static void told_where_it_matters(void **state) {
    static const struct {
        enum model_kind kind;
        const char *id, *path[4];
        bool told;
    } table[] = {
        {MODEL_KIND_auth, "auth/a/b", {NULL}, true},
        {MODEL_KIND_auth, "auth/a/b", {"rules", NULL}, true},
        {MODEL_KIND_auth, "auth/a/b", {"methods", "jwt", NULL}, true},
        {MODEL_KIND_auth, "auth/a/b", {"rules", "claims", NULL}, true},
        {MODEL_KIND_route, "route/a/b/c", {"matches", NULL}, true},
        {MODEL_KIND_route, "route/a/b/c", {"matches", "headers", NULL}, true},
        {MODEL_KIND_route, "route/a/b/c", {NULL}, false},
        {MODEL_KIND_route, "route/a/b/c", {"retry", NULL}, false},
        {MODEL_KIND_backend, "backend/a/b/80", {"tls", NULL}, true},
        {MODEL_KIND_backend, "backend/a/b/80", {NULL}, false},
        {MODEL_KIND_listener, "listener/a/b", {"tls", NULL}, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char room[256];
        struct out o = out_fixed(room, sizeof(room));
        struct arena a;
        struct why why = {0};
        bool newer = !table[i].told;
        arena_init(&a);
        put(&o, model_struct_of(table[i].kind), table[i].path);
        struct object *object =
            object_from_bytes(table[i].kind, str_of(table[i].id), out_done(&o), &why);
        if (!object)
            fail_msg("%zu: %s", i, why.text);
        assert_non_null(object_decode(object, &a, &newer));
        if (newer != table[i].told)
            fail_msg("%zu: it is %stold", i, newer ? "" : "not ");
        object_drop(object);
        arena_fini(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_where_it_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
