/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/answer.h"

#include "lib/log.h"
#include "lib/mem.h"

enum { WINDOW = 1 << 20 }; /* bytes on their way to one controller */

struct answer {
    struct list link;
    uint64_t ask;
    struct object **objects; /* each held */
    size_t n, at;
};

void answers_init(struct answers *s) {
    *s = (struct answers){0};
    list_init(&s->queue);
}

static void end(struct answers *s, struct answer *a) {
    for (size_t i = 0; i < a->n; i++)
        object_drop(a->objects[i]);
    list_del(&a->link);
    mem_free(a->objects);
    mem_free(a);
    s->n--;
}

void answers_fini(struct answers *s) {
    while (!list_empty(&s->queue))
        end(s, list_entry(s->queue.next, struct answer, link));
    s->window = 0;
}

void answers_add(struct answers *s, const struct apply *apply, const struct wire_get *m) {
    if (s->n == ANSWERS_MAX) {
        log_warn("config", "a question is dropped: %d are waiting", ANSWERS_MAX);
        return;
    }
    struct answer *a = mem_zalloc(sizeof(*a));
    struct wire_ids ids;
    wire_ids_init(&ids);
    for (uint32_t i = 0; i < m->n_ids; i++)
        if (m->ids[i].n > 0)
            wire_ids_add(&ids, m->ids[i]);
    a->ask = m->ask;
    a->objects = apply_objects(apply, &ids, &a->n);
    wire_ids_fini(&ids);
    list_append(&s->queue, &a->link);
    s->n++;
}

void answers_sent(struct answers *s, size_t cost) { s->window -= size_min(cost, s->window); }

/* As many objects as make one message; at least one. */
static void send_some(struct answers *s, struct answer *a, struct link *l, int controller) {
    size_t bytes = 0, n = 0, left = a->n - a->at;
    struct wire_object *objects = mem_array(size_min(left, WIRE_BATCH / 64), sizeof(*objects));
    while (n < left && n < WIRE_BATCH / 64 && bytes < WIRE_BATCH) {
        const struct object *o = a->objects[a->at + n];
        if (n > 0 && bytes + object_bytes(o).n > WIRE_BATCH)
            break;
        objects[n++] = (struct wire_object){o->kind, object_id(o), object_bytes(o)};
        bytes += object_id(o).n + object_bytes(o).n;
    }
    a->at += n;
    struct wire_have m = {a->ask, objects, (uint32_t)n, a->at == a->n};
    s->window += link_send(l, controller, WIRE_have, &m);
    mem_free(objects);
}

void answers_feed(struct answers *s, struct link *l, int controller) {
    while (!list_empty(&s->queue) && s->window < WINDOW) {
        struct answer *a = list_entry(s->queue.next, struct answer, link);
        send_some(s, a, l, controller);
        if (a->at == a->n)
            end(s, a);
    }
}
