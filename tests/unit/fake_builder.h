/* SPDX-License-Identifier: Apache-2.0
 *
 * The builder of proxy/route/snapshot.h as the tests of the link need it: it keeps no route, only
 * what was told, and refuses objects whose id begins with "route/bad/". Included by one test
 * program, which is then linked without the real one.
 */
#ifndef SLUICE_TESTS_FAKE_BUILDER_H
#define SLUICE_TESTS_FAKE_BUILDER_H

#include "lib/map.h"
#include "lib/mem.h"
#include "proxy/route/snapshot.h"

struct builder {
    struct map objects;          /* id → object */
    struct object *staged[4096]; /* kind 0: removal */
    size_t n;
    bool open;
    uint64_t serial;
};

struct builder *builder_new(void) {
    return mem_zalloc(sizeof(struct builder));
}

void builder_begin(struct builder *b) {
    must(!b->open && b->n == 0);
    b->open = true;
}

void builder_put(struct builder *b, struct object *o) {
    must(b->open && b->n < ARRAY_LEN(b->staged));
    b->staged[b->n++] = o;
}

void builder_del(struct builder *b, struct str id) {
    builder_put(b, object_from_bytes(0, id, STR_NONE, NULL));
}

void builder_abort(struct builder *b) {
    while (b->n > 0)
        object_drop(b->staged[--b->n]);
    b->open = false;
}

struct snapshot *builder_commit(struct builder *b, uint64_t revision,
                                void (*bad)(void *arg, struct str id, const struct why *why),
                                void *arg) {
    bool refused = false;
    for (size_t i = 0; i < b->n; i++) {
        struct object *o = b->staged[i];
        if (o->kind == 0 || !str_starts(object_id(o), STR("route/bad/")))
            continue;
        struct why why = {.object = "Route bad", .text = "it is bad"};
        bad(arg, object_id(o), &why);
        refused = true;
    }
    if (refused) {
        builder_abort(b);
        return NULL;
    }
    for (size_t i = 0; i < b->n; i++) {
        struct object *o = b->staged[i];
        if (o->kind == 0) {
            object_drop(map_del(&b->objects, object_id(o)));
            object_drop(o);
        } else {
            object_drop(map_put(&b->objects, object_id(o), o));
        }
    }
    b->n = 0;
    b->open = false;
    struct snapshot *s = mem_zalloc(sizeof(*s));
    s->revision = revision;
    s->serial = ++b->serial;
    return s;
}

void builder_free(struct builder *b) {
    builder_abort(b);
    for (struct map_slot *s = NULL; (s = map_next(&b->objects, s));)
        object_drop(s->value);
    map_fini(&b->objects);
    mem_free(b);
}

struct snapshot *snapshot_hold(struct snapshot *s) {
    return s;
}
void snapshot_drop(struct snapshot *s) { mem_free(s); }

#endif
