/* SPDX-License-Identifier: Apache-2.0
 *
 * unit: the life of units, and how what was made becomes live.
 */
#include "controller/compile/unit.h"

#include "controller/compile/attach.h"
#include "controller/compile/auth.h"
#include "controller/compile/certificate.h"
#include "controller/compile/class.h"
#include "controller/compile/host.h"
#include "controller/compile/twice.h"
#include "lib/hash.h"
#include "lib/mem.h"

#include <stdlib.h>
#include <time.h>

static const struct {
    const char *name;
    enum kube_kind kind;
} kinds[UNIT_KINDS] = {
    [UNIT_DEFAULT_CLASS] = {"DefaultClass", KUBE_NONE},
    [UNIT_CLASS] = {"Class", KUBE_IngressClass},
    [UNIT_CONFIG] = {"GatewayConfig", KUBE_GatewayConfig},
    [UNIT_ROUTE] = {"Route", KUBE_Route},
    [UNIT_INGRESS] = {"Ingress", KUBE_Ingress},
    [UNIT_HOST] = {"Host", KUBE_NONE},
    [UNIT_BACKEND] = {"Backend", KUBE_NONE},
    [UNIT_CERTIFICATE] = {"Certificate", KUBE_NONE},
    [UNIT_TRAFFIC] = {"TrafficPolicy", KUBE_TrafficPolicy},
    [UNIT_AUTH] = {"AuthPolicy", KUBE_AuthPolicy},
    [UNIT_CONSUMER] = {"Consumer", KUBE_Consumer},
    [UNIT_WATCH] = {"Watch", KUBE_NONE},
};

enum kube_kind unit_resource_kind(enum unit_kind kind) { return kinds[kind].kind; }

/* ---- life ---- */

enum { UNIT_ID_MAX = 1024 };

static struct str unit_id(char room[UNIT_ID_MAX], enum unit_kind kind, struct str ns,
                          struct str name, struct str part) {
    struct out o = out_fixed(room, UNIT_ID_MAX);
    out_str(&o, str_of(kinds[kind].name));
    for (int i = 0; i < 3; i++) {
        struct str s = i == 0 ? ns : i == 1 ? name : part;
        out_char(&o, '/');
        out_str(&o, s);
    }
    must(!o.over);
    return out_done(&o);
}

struct unit *unit_find(const struct compiler *c, enum unit_kind kind, struct str ns,
                       struct str name, struct str part) {
    char room[UNIT_ID_MAX];
    struct store_unit *su = store_unit_find(c->store, unit_id(room, kind, ns, name, part));
    return su ? su->data : NULL;
}

struct unit *unit_get(struct compiler *c, enum unit_kind kind, struct str ns, struct str name,
                      struct str part) {
    char room[UNIT_ID_MAX];
    struct store_unit *su = store_unit(c->store, unit_id(room, kind, ns, name, part));
    if (su->data)
        return su->data;
    struct unit *u = mem_zalloc(sizeof(*u));
    u->su = su;
    u->kind = kind;
    u->ns = str_of(str_dup(ns));
    u->name = str_of(str_dup(name));
    u->part = str_of(str_dup(part));
    list_append(&c->units, &u->all);
    c->n_units++;
    list_init(&u->refused);
    list_init(&u->unproven_link);
    list_init(&u->nacked_link);
    list_init(&u->claims);
    list_init(&u->said);
    list_init(&u->holds);
    list_init(&u->certificate_link);
    list_init(&u->late_link);
    su->data = u;
    if (kind == UNIT_HOST)
        host_begin(u);
    if (kind == UNIT_CERTIFICATE)
        certificate_begin(c, u);
    return u;
}

void objects_fini(struct objects *o) {
    for (size_t i = 0; i < o->n; i++)
        object_drop(o->v[i]);
    mem_free(o->v);
    *o = (struct objects){0};
}

void unit_lost(struct compiler *c, struct unit *u, bool lost) {
    if (u->lost == lost)
        return;
    u->lost = lost;
    struct arena a;
    arena_init(&a);
    struct str prefix;
    for (unsigned i = 0; (prefix = unit_prefix(&a, u, i)).n > 0; i++) {
        if (lost) {
            map_put(&c->lost, str_of(str_dup(prefix)), u);
            if (c->sink.lost)
                c->sink.lost(c->sink.arg, prefix);
            continue;
        }
        for (struct map_slot *s = NULL; (s = map_next(&c->lost, s));)
            if (str_eq(s->key, prefix)) {
                char *key = (char *)(uintptr_t)s->key.p;
                map_del(&c->lost, prefix);
                mem_free(key);
                break;
            }
        if (c->sink.found)
            c->sink.found(c->sink.arg, prefix);
    }
    arena_fini(&a);
}

void unit_end(struct compiler *c, struct unit *u) {
    unit_lost(c, u, false);
    unit_replace(c, u, &(struct objects){0});
    struct making none = {.c = c, .u = u};
    unit_take_wants(&none);
    claims_take(c, u, NULL, NULL, 0);
    twice_none(c, u);
    consumer_none(c, u);
    attach_none(c, u);
    if (u->host)
        host_end(c, u);
    class_end(c, u);
    list_del(&u->all);
    c->n_units--;
    list_del(&u->refused);
    list_del(&u->unproven_link);
    list_del(&u->nacked_link);
    list_del(&u->certificate_link);
    list_del(&u->late_link);
    objects_fini(&u->proven);
    resource_drop(u->good);
    mem_free(u->nack);
    mem_free(u->whys);
    mem_free((void *)(uintptr_t)u->ns.p);
    mem_free((void *)(uintptr_t)u->name.p);
    mem_free((void *)(uintptr_t)u->part.p);
    u->su->data = NULL;
    store_unit_end(c->store, u->su);
    mem_free(u);
}

void unit_release(struct compiler *c, struct unit *u) {
    bool reserved = u->host && host_is_reserved(u);
    if (u->wanted == 0 && !reserved)
        unit_end(c, u);
}

struct str unit_prefix(struct arena *a, const struct unit *u, unsigned i) {
    if (u->kind == UNIT_ROUTE && i == 0)
        return arena_fmt(a, "route/%.*s/%.*s/", STR_FMT(u->ns), STR_FMT(u->name));
    if (u->kind == UNIT_INGRESS && i == 0)
        return arena_fmt(a, "route/%.*s/ingress:%.*s/", STR_FMT(u->ns), STR_FMT(u->name));
    if (u->kind == UNIT_TRAFFIC && i == 0)
        return arena_fmt(a, "traffic/%.*s/%.*s", STR_FMT(u->ns), STR_FMT(u->name));
    if (u->kind == UNIT_AUTH && i == 0)
        return arena_fmt(a, "auth/%.*s/%.*s", STR_FMT(u->ns), STR_FMT(u->name));
    if (u->kind == UNIT_AUTH && i == 1)
        return arena_fmt(a, "key_set/%.*s/%.*s/", STR_FMT(u->ns), STR_FMT(u->name));
    if (u->kind == UNIT_AUTH && (i == 2 || i == 3)) /* outside.h */
        return arena_fmt(a, "%s/%.*s/auth:%.*s/", i == 2 ? "backend" : "endpoints", STR_FMT(u->ns),
                         STR_FMT(u->name));
    if (u->kind == UNIT_CONSUMER && i == 0)
        return arena_fmt(a, "consumer/%.*s/%.*s", STR_FMT(u->ns), STR_FMT(u->name));
    if (u->kind == UNIT_CERTIFICATE && i == 0)
        return model_id(a, MODEL_KIND_certificate, u->ns, u->name, STR_NONE);
    if (u->kind == UNIT_BACKEND && i == 0)
        return model_id(a, MODEL_KIND_backend, u->ns, u->name, u->part);
    if (u->kind == UNIT_CLASS && i == 0)
        return arena_fmt(a, "gateway/-/%.*s", STR_FMT(u->name));
    if (u->kind == UNIT_CLASS && i == 1)
        return arena_fmt(a, "listener/%.*s/", STR_FMT(u->name));
    return STR_NONE;
}

/* ---- objects ---- */

uint64_t objects_revision(const struct objects *o) {
    uint64_t revision = 0;
    for (size_t i = 0; i < o->n; i++)
        revision = hash_mix(revision, o->v[i]->hash);
    return revision;
}

static int by_id(const void *a, const void *b) {
    return str_cmp(object_id((*(struct object *const *)a)),
                   object_id((*(struct object *const *)b)));
}

uint64_t objects_sorted_revision(struct objects *o) {
    if (o->n > 1)
        qsort(o->v, o->n, sizeof(*o->v), by_id);
    return objects_revision(o);
}

static struct objects objects_share(const struct objects *from) {
    struct objects o = {from->n > 0 ? mem_array(from->n, sizeof(struct object *)) : NULL, from->n};
    for (size_t i = 0; i < o.n; i++)
        o.v[i] = object_hold(from->v[i]);
    return o;
}

static void unproven(struct compiler *c, struct unit *u) {
    if (u->unproven)
        return;
    u->unproven = true;
    u->proven = objects_share(&u->objects);
    list_append(&c->unproven, &u->unproven_link);
}

/* was: what it made of that id before, or NULL. */
static void put(struct compiler *c, struct unit *u, const struct object *was, struct object *o) {
    map_put(&c->owners, object_id(o), u);
    if (c->sink.put)
        c->sink.put(c->sink.arg, object_hold(o));
    if (c->sink.moved)
        c->sink.moved(c->sink.arg, was, o);
}

static void del(struct compiler *c, const struct object *was) {
    map_del(&c->owners, object_id(was));
    if (c->sink.del)
        c->sink.del(c->sink.arg, object_id(was));
    if (c->sink.moved)
        c->sink.moved(c->sink.arg, was, NULL);
}

/* The differences between two lists that are sorted by id go out; *now is taken and becomes live.
 */
void unit_replace(struct compiler *c, struct unit *u, struct objects *now) {
    if (objects_revision(now) == objects_revision(&u->objects)) {
        objects_fini(now);
        return;
    }
    unproven(c, u);
    u->changed_run = c->runs;
    struct objects was = u->objects;
    u->objects = *now;
    *now = (struct objects){0};
    for (size_t i = 0, k = 0; i < was.n || k < u->objects.n;) {
        int order = i == was.n          ? 1
                    : k == u->objects.n ? -1
                                        : str_cmp(object_id(was.v[i]), object_id(u->objects.v[k]));
        if (order < 0) {
            del(c, was.v[i++]);
        } else if (order > 0) {
            put(c, u, NULL, u->objects.v[k++]);
        } else {
            map_del(&c->owners, object_id(was.v[i])); /* the key's memory is the object's */
            if (was.v[i]->hash == u->objects.v[k]->hash)
                map_put(&c->owners, object_id(u->objects.v[k]), u);
            else
                put(c, u, was.v[i], u->objects.v[k]);
            i++, k++;
        }
    }
    objects_fini(&was);
}

static int by_address(const void *a, const void *b) {
    const struct unit *x = *(struct unit *const *)a, *y = *(struct unit *const *)b;
    return x < y ? -1 : x > y;
}

void unit_take_wants(struct making *m) {
    struct unit *u = m->u, **was = u->wants;
    size_t n_was = u->n_wants, n = 0;
    if (m->n_wants > 0)
        qsort(m->wants, m->n_wants, sizeof(*m->wants), by_address);
    for (size_t i = 0; i < m->n_wants; i++)
        if (n == 0 || m->wants[n - 1] != m->wants[i])
            m->wants[n++] = m->wants[i];
    for (size_t i = 0; i < n; i++)
        m->wants[i]->wanted++;
    u->wants = m->wants;
    u->n_wants = n;
    m->wants = NULL;
    m->n_wants = m->cap_wants = 0;
    for (size_t i = 0; i < n_was; i++)
        if (--was[i]->wanted == 0)
            unit_release(m->c, was[i]);
    mem_free(was);
}

void unit_add_wants(struct making *m) {
    if (m->n_wants == 0)
        return;
    for (size_t i = 0; i < m->u->n_wants; i++)
        want(m, m->u->wants[i]);
    unit_take_wants(m);
}

void unit_take(struct making *m) {
    objects_sorted_revision(&m->objects);
    unit_replace(m->c, m->u, &m->objects);
    m->objects = (struct objects){0};
    m->cap = 0;
    unit_take_wants(m);
}

/* ---- nacks and what was lost ---- */

static void step_back(struct compiler *c, struct unit *u, const char *text) {
    u->nacked = objects_revision(&u->objects);
    if (!u->nack)
        u->nack = mem_zalloc(sizeof(*u->nack));
    *u->nack = (struct why){0};
    why_text(u->nack, "%s", text);
    list_del(&u->nacked_link);
    list_append(&c->nacked, &u->nacked_link);
    struct objects back = objects_share(u->unproven ? &u->proven : &(struct objects){0});
    unit_replace(c, u, &back);
    store_unit_dirty(c->store, u->su); /* for its status */
}

enum { FORESEEN_S = 10 };

struct foreseen {
    struct list link; /* in compiler.foreseen, oldest first */
    char *id, *text;
    uint64_t hash;
    time_t until; /* of one without hash; monotonic, seconds */
};

static time_t now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static void foreseen_end(struct compiler *c, struct foreseen *f) {
    list_del(&f->link);
    c->n_foreseen--;
    mem_free(f->id);
    mem_free(f->text);
    mem_free(f);
}

static bool is_out(const struct unit *u, struct str id, uint64_t hash) {
    for (size_t i = 0; i < u->objects.n; i++)
        if (str_eq(object_id(u->objects.v[i]), id))
            return hash == 0 || u->objects.v[i]->hash == hash;
    return false;
}

bool unit_meet_foreseen(struct compiler *c) {
    bool met = false;
    list_each_safe(it, &c->foreseen) {
        struct foreseen *f = list_entry(it, struct foreseen, link);
        struct str id = str_of(f->id);
        struct unit *u = map_get(&c->owners, id);
        bool is_met = u && is_out(u, id, f->hash);
        if (is_met)
            step_back(c, u, f->text);
        if (is_met || (f->hash == 0 && f->until <= now_s()))
            foreseen_end(c, f);
        met |= is_met;
    }
    return met;
}

void compile_quarantine(struct compiler *c, struct str id, uint64_t hash, const char *text) {
    struct foreseen *f = mem_zalloc(sizeof(*f));
    *f = (struct foreseen){.id = str_dup(id),
                           .text = str_dup(str_of(text)),
                           .hash = hash,
                           .until = now_s() + FORESEEN_S};
    list_append(&c->foreseen, &f->link);
    if (++c->n_foreseen > COMPILE_FORESEEN_MAX)
        foreseen_end(c, list_entry(c->foreseen.next, struct foreseen, link));
    unit_meet_foreseen(c);
}

void unit_forget_foreseen(struct compiler *c) {
    while (!list_empty(&c->foreseen))
        foreseen_end(c, list_entry(c->foreseen.next, struct foreseen, link));
}

void compile_forgive(struct compiler *c) {
    struct list *l;
    unit_forget_foreseen(c);
    while ((l = list_pop(&c->nacked))) {
        struct unit *u = list_entry(l, struct unit, nacked_link);
        if (u->nacked == 0) /* it has made something else since */
            continue;
        u->nacked = 0;
        store_unit_dirty(c->store, u->su);
    }
}

void compile_proven(struct compiler *c) {
    struct list *l;
    while ((l = list_pop(&c->unproven))) {
        struct unit *u = list_entry(l, struct unit, unproven_link);
        u->unproven = false;
        objects_fini(&u->proven);
    }
}

/* "backend/NS/SERVICE/PORT" or "certificate/NS/SECRET", as restored routes name it. One with a ':'
 * is a policy's own (outside.h). */
static void want_id(struct making *m, struct str id) {
    struct str kind, ns, name;
    struct str port = str_cut(str_cut(str_cut(id, '/', &kind), '/', &ns), '/', &name);
    uint64_t number;
    if (ns.n == 0 || ns.n > 63 || name.n == 0 || name.n > 253 || memchr(name.p, ':', name.n))
        return;
    if (str_eq(kind, STR("backend")) && str_to_u64(port, 65535, &number))
        want(m, unit_get(m->c, UNIT_BACKEND, ns, name, port));
    if (str_eq(kind, STR("certificate")) && !port.p)
        want(m, unit_get(m->c, UNIT_CERTIFICATE, ns, name, STR_NONE));
}

static void want_filters(struct making *m, const struct model_filter *f, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (f[i].mirror)
            want_id(m, f[i].mirror->backend);
}

static void want_services(struct making *m, const struct model_auth *o) {
    for (uint32_t i = 0; i < o->n_methods; i++) {
        if (o->methods[i].external)
            want_id(m, o->methods[i].external->backend);
        if (o->methods[i].introspection)
            want_id(m, o->methods[i].introspection->backend);
    }
}

void unit_restore_wants(struct compiler *c, struct unit *u) {
    struct making m;
    making_init(&m, c, u, NULL);
    for (size_t i = 0; i < u->objects.n; i++) {
        if (u->objects.v[i]->kind == MODEL_KIND_auth)
            want_services(&m, object_decode(u->objects.v[i], &m.a, NULL));
        if (u->objects.v[i]->kind != MODEL_KIND_route)
            continue;
        const struct model_route *r = object_decode(u->objects.v[i], &m.a, NULL);
        want_filters(&m, r->filters, r->n_filters);
        for (uint32_t k = 0; k < r->n_backends; k++) {
            want_id(&m, r->backends[k].backend);
            want_filters(&m, r->backends[k].filters, r->backends[k].n_filters);
        }
        for (uint32_t k = 0; r->tls && k < r->tls->n_certificates; k++)
            want_id(&m, r->tls->certificates[k]);
    }
    unit_take_wants(&m);
    making_fini(&m);
}

static bool has(const struct objects *o, size_t n, struct str id) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(object_id(o->v[i]), id))
            return true;
    return false;
}

void compile_restore(struct compiler *c, struct str prefix, struct object *const *objects,
                     size_t n) {
    struct unit *u = map_get(&c->lost, prefix);
    bool recall = u && u->recall == RECALL_ASKED; /* what it made stands in for the fleet's */
    if (!u || (n == 0 && !recall))
        return;
    if (recall)
        u->recall = n > 0 ? RECALL_FOUND : RECALL_NOTHING;
    struct objects now = {mem_array(n + u->objects.n, sizeof(struct object *)), 0};
    for (size_t i = 0; i < n; i++) {
        const struct unit *owner = map_get(&c->owners, object_id(objects[i]));
        if (!owner || (recall && owner == u))
            now.v[now.n++] = object_hold(objects[i]);
    }
    for (size_t i = 0, theirs = now.n; i < u->objects.n; i++)
        if (!has(&now, theirs, object_id(u->objects.v[i])))
            now.v[now.n++] = object_hold(u->objects.v[i]); /* of its other prefix */
    qsort(now.v, now.n, sizeof(*now.v), by_id);
    u->restored = n > 0;
    unit_replace(c, u, &now);
    claims_restore(c, u);
    unit_restore_wants(c, u);
    store_unit_dirty(c->store, u->su);
}
