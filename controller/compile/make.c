/* SPDX-License-Identifier: Apache-2.0
 *
 * make: what one compile of one unit gathers: objects, wants, sentences.
 */
#include "controller/compile/unit.h"
#include "lib/mem.h"

#include <stdio.h>

void making_init(struct making *m, struct compiler *c, struct unit *u, const struct resource *r) {
    *m = (struct making){.c = c, .u = u, .r = r};
    arena_init(&m->a);
}

void making_fini(struct making *m) {
    objects_fini(&m->objects);
    mem_free(m->warnings);
    mem_free(m->wants);
    arena_fini(&m->a);
}

static void print_at(struct out *o, const struct at *at) {
    if (!at)
        return;
    print_at(o, at->up);
    if (at->name) {
        if (o->n > 0)
            out_char(o, '.');
        out_str(o, str_of(at->name));
    }
    if (at->index >= 0)
        out_char(o, '['), out_i64(o, at->index), out_char(o, ']');
}

struct str at_print(struct arena *a, const struct at *at) {
    char room[sizeof(((struct why *)0)->field)];
    struct out o = out_fixed(room, sizeof(room) - 1);
    print_at(&o, at);
    return arena_str(a, out_done(&o));
}

static void say(struct why *w, const struct making *m, const struct at *at, const char *fmt,
                va_list args) {
    if (why_set(w))
        return;
    if (m->r) {
        struct out name = out_fixed(w->object, sizeof(w->object) - 1);
        resource_print_name(m->r, &name);
        w->object[name.n] = 0;
    }
    struct out o = out_fixed(w->field, sizeof(w->field) - 1);
    print_at(&o, at);
    w->field[o.n] = 0;
    vsnprintf(w->text, sizeof(w->text), fmt, args);
}

int refuse(struct making *m, const struct at *at, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    say(&m->why, m, at, fmt, args);
    va_end(args);
    return -1;
}

int refuse_as(struct making *m, const char *reason, const struct at *at, const char *fmt, ...) {
    if (!why_set(&m->why))
        m->reason = reason;
    va_list args;
    va_start(args, fmt);
    say(&m->why, m, at, fmt, args);
    va_end(args);
    return -1;
}

void close_all(struct making *m, const struct at *at, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    say(&m->closed, m, at, fmt, args);
    va_end(args);
}

void close_as(struct making *m, const char *reason, const struct at *at, const char *fmt, ...) {
    if (!why_set(&m->closed))
        m->closed_reason = reason;
    va_list args;
    va_start(args, fmt);
    say(&m->closed, m, at, fmt, args);
    va_end(args);
}

void unresolved(struct making *m, const char *reason, const struct at *at, const char *fmt, ...) {
    if (!why_set(&m->unresolved))
        m->unresolved_reason = reason;
    va_list args;
    va_start(args, fmt);
    say(&m->unresolved, m, at, fmt, args);
    va_end(args);
}

void warn(struct making *m, const struct at *at, const char *fmt, ...) {
    if (m->n_warnings == WARNINGS_MAX)
        return;
    if (m->n_warnings == m->cap_warnings) {
        m->cap_warnings = m->cap_warnings ? 2 * m->cap_warnings : 2;
        m->warnings = mem_realloc(m->warnings, m->cap_warnings * sizeof(*m->warnings));
    }
    struct why *w = &m->warnings[m->n_warnings++];
    why_clear(w);
    va_list args;
    va_start(args, fmt);
    say(w, m, at, fmt, args);
    va_end(args);
}

struct model_origin *origin_of(struct making *m, const struct resource *r, const struct at *at) {
    struct model_origin *o = arena_zalloc(&m->a, sizeof(*o));
    o->kind = str_of(kube_kinds[r->kind].kind);
    o->namespace = r->meta.namespace;
    o->name = r->meta.name;
    o->field = at_print(&m->a, at);
    o->file = r->from.file;
    return o;
}

static void add(struct making *m, struct object *object) {
    if (m->objects.n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 4;
        m->objects.v = mem_realloc(m->objects.v, m->cap * sizeof(*m->objects.v));
    }
    m->objects.v[m->objects.n++] = object;
}

int make(struct making *m, enum model_kind kind, struct str id, const void *value) {
    struct object *object = object_try_new(kind, id, value);
    if (!object)
        return refuse(m, NULL, "%s takes more than %d bytes; split it into several objects",
                      model_kind_name(kind), MODEL_OBJECT_MAX);
    add(m, object);
    return 0;
}

void make_again(struct making *m, struct object *o) { add(m, object_hold(o)); }

void want(struct making *m, struct unit *u) {
    if (m->n_wants == m->cap_wants) {
        m->cap_wants = m->cap_wants ? 2 * m->cap_wants : 4;
        m->wants = mem_realloc(m->wants, m->cap_wants * sizeof(struct unit *));
    }
    m->wants[m->n_wants++] = u;
}

struct str lower(struct arena *a, struct str s) {
    size_t i = 0;
    while (i < s.n && char_lower(s.p[i]) == s.p[i])
        i++;
    if (i == s.n)
        return s;
    char *p = arena_alloc(a, s.n + 1);
    str_lower(p, s);
    p[s.n] = 0;
    return str_mk(p, s.n);
}
