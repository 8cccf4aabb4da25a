/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/status.h"

#include "controller/store/set.h"
#include "lib/mem.h"

#include <stdlib.h>

/* Not accepted, by its own fault or because it could not be read: the reason, else NULL. */
static const char *refused_as(const struct compiler *c, const struct resource *r) {
    const struct compile_status *s = compile_status(c, r);
    if (s && s->conditions[CONDITION_ACCEPTED].set)
        return s->ours && !s->conditions[CONDITION_ACCEPTED].value
                   ? s->conditions[CONDITION_ACCEPTED].reason
                   : NULL;
    return r->refused ? "Invalid" : NULL;
}

/* Service, Secret and EndpointSlice have a line only when there is something to say. */
static bool has_line(const struct compiler *c, const struct resource *r) {
    const struct compile_status *s = compile_status(c, r);
    if (r->kind == KUBE_Service)
        return r->refused || (s && s->n_warnings > 0);
    if (r->kind == KUBE_Secret)
        return r->refused || (s && (s->n_warnings > 0 || !s->conditions[CONDITION_ACCEPTED].value));
    return s ? s->ours : r->refused != NULL;
}

static void json_key(struct out *o, const char *key, struct str value) {
    out_char(o, ',');
    out_json(o, str_of(key));
    out_char(o, ':');
    out_json(o, value);
}

/* "field: text": the object stands beside it. */
static void json_why(struct out *o, const struct why *why) {
    char room[sizeof(struct why)];
    struct out text = out_fixed(room, sizeof(room));
    if (why->field[0])
        out_fmt(&text, "%s: ", why->field);
    out_str(&text, str_of(why->text));
    out_json(o, out_done(&text));
}

static void json_conditions(struct out *o, const struct status_wanted *w) {
    const char *before = "";
    out_lit(o, ",\"conditions\":[");
    for (size_t i = 0; i < STATUS_TYPES; i++) {
        const struct status_condition *c = &w->conditions[i];
        if (!c->set)
            continue;
        out_fmt(o, "%s{\"type\":\"%s\",\"status\":\"%s\",\"reason\":\"%s\"", before,
                status_types[i], c->value ? "True" : "False", c->reason);
        before = ",";
        if (c->message.n > 0 && !c->value) { /* warnings have a place of their own */
            out_lit(o, ",\"message\":");
            out_json(o, c->message);
        }
        out_char(o, '}');
    }
    out_char(o, ']');
}

static struct status_wanted want(const struct compile_status *s, const struct resource *r,
                                 const struct status_fleet *fleet, struct arena *a) {
    struct status_wanted w;
    struct status_served served = {0};
    if (fleet && s && s->n_objects > 0)
        served = fleet->serving(fleet->arg, s->objects, s->n_objects, 0);
    status_want(s, r, fleet ? &served : NULL, a, &w);
    return w;
}

static struct status_wanted want_held_back(const struct resource *said, const char *why,
                                           struct arena *a) {
    struct status_wanted w;
    status_want_held_back(said, why, a, &w);
    return w;
}

/* said: the version that is held back, for that reason; NULL: none is. */
static void json_one(const struct compiler *c, const struct resource *r,
                     const struct resource *said, const char *why, const struct status_fleet *fleet,
                     struct out *o) {
    const struct compile_status *s = said ? NULL : compile_status(c, r);
    struct arena a;
    arena_init(&a);
    struct status_wanted w = said ? want_held_back(said, why, &a) : want(s, r, fleet, &a);
    r = said ? said : r;
    out_lit(o, "{\"kind\":");
    out_json(o, str_of(kube_kinds[r->kind].kind));
    if (r->meta.namespace.n > 0)
        json_key(o, "namespace", r->meta.namespace);
    json_key(o, "name", r->meta.name);
    if (r->from.file.n > 0) {
        json_key(o, "file", r->from.file);
        out_fmt(o, ",\"line\":%u", r->from.line);
    }
    json_conditions(o, &w);
    for (size_t i = 0; s && i < s->n_warnings; i++) {
        out_str(o, i == 0 ? STR(",\"warnings\":[") : STR(","));
        json_why(o, &s->warnings[i]);
    }
    if (s && s->n_warnings > 0)
        out_char(o, ']');
    if (s && s->held)
        out_lit(o, ",\"held\":true");
    if (why)
        out_lit(o, ",\"held_back\":true");
    if (s && s->revision != 0) {
        out_lit(o, ",\"revision\":\"");
        out_hex(o, s->revision, 16);
        out_char(o, '"');
    }
    if (w.counted)
        out_fmt(o,
                ",\"proxies\":{\"summary\":\"%zu/%zu\",\"ready\":%zu,\"current\":%zu,"
                "\"behind\":%zu}",
                w.served.current, w.served.ready, w.served.ready, w.served.current,
                w.served.behind);
    out_char(o, '}');
    arena_fini(&a);
}

void status_json_one(const struct compiler *c, const struct resource *r,
                     const struct status_fleet *fleet, struct out *o) {
    json_one(c, r, NULL, NULL, fleet, o);
}

static bool is_asked(const struct resource *r, struct str kind, struct str ns, struct str name) {
    return (kind.n == 0 || str_eq_nocase(kind, str_of(kube_kinds[r->kind].kind))) &&
           (ns.n == 0 || str_eq(ns, r->meta.namespace)) &&
           (name.n == 0 || str_eq(name, r->meta.name));
}

/* ---- all of them ---- */

struct status_lines {
    const struct store *store;
    const struct compiler *c;
    const struct status_fleet *fleet;
    struct status_fleet fleet_room;
    struct arena names;
    struct str kind, ns, name;
    struct store_walk *walk;
    struct resource **new; /* what is held back and no version of it counts; NULL: not looked for */
    size_t n_new, at;
    size_t n; /* lines so far */
    bool begun;
};

static uint64_t kinds_of(struct str kind) {
    uint64_t kinds = 0;
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        if (kind.n == 0 || str_eq_nocase(kind, str_of(kube_kinds[k].kind)))
            kinds |= UINT64_C(1) << k;
    return kinds;
}

struct status_lines *status_lines_new(struct store *s, const struct compiler *c,
                                      const struct status_fleet *fleet, struct str kind,
                                      struct str ns, struct str name) {
    struct status_lines *l = mem_zalloc(sizeof(*l));
    arena_init(&l->names);
    l->store = s;
    l->c = c;
    l->fleet_room = fleet ? *fleet : (struct status_fleet){0};
    l->fleet = fleet ? &l->fleet_room : NULL;
    l->kind = arena_str(&l->names, kind);
    l->ns = arena_str(&l->names, ns);
    l->name = arena_str(&l->names, name);
    l->walk = store_walk_begin(s, kinds_of(kind), false);
    return l;
}

void status_lines_free(void *lines) {
    struct status_lines *l = lines;
    store_walk_end(l->walk);
    for (size_t i = 0; i < l->n_new; i++)
        resource_drop(l->new[i]);
    mem_free(l->new);
    arena_fini(&l->names);
    mem_free(l);
}

/* said, why: as of json_one(). */
static void line(struct status_lines *l, const struct resource *r, const struct resource *said,
                 const char *why, struct out *o) {
    out_str(o, l->n++ == 0 ? STR("") : STR(",\n"));
    json_one(l->c, r, said, why, l->fleet, o);
}

static void line_of(struct status_lines *l, const struct resource *r, struct out *o) {
    struct str ns = r->meta.namespace, name = r->meta.name;
    if (!is_asked(r, l->kind, l->ns, l->name) || !has_line(l->c, r))
        return;
    bool held = store_is_held_back(l->store, r->kind, ns, name);
    line(l, r, held ? store_said(l->store, r->kind, ns, name) : NULL,
         held ? store_is_frozen(l->store) : NULL, o);
}

/* Of those that count their line says it. */
static void take_new(void *arg, const struct resource *counts, const struct resource *said) {
    struct status_lines *l = arg;
    if (!counts && said && kube_has_status(said->kind) && is_asked(said, l->kind, l->ns, l->name))
        l->new[l->n_new++] = resource_hold((struct resource *)(uintptr_t)said);
}

static bool more_new(struct status_lines *l, struct out *o) {
    if (!l->new) {
        l->new = mem_array(store_n_held_back(l->store) + 1, sizeof(*l->new));
        store_each_held_back(l->store, take_new, l);
    }
    if (l->at == l->n_new)
        return false;
    const struct resource *said = l->new[l->at++];
    const char *why = store_is_frozen(l->store);
    if (why) /* still */
        line(l, said, said, why, o);
    return true;
}

bool status_lines_more(void *lines, struct out *o) {
    struct status_lines *l = lines;
    const struct resource *r = store_walk_next(l->walk);
    out_str(o, l->begun ? STR("") : STR("["));
    l->begun = true;
    if (r)
        line_of(l, r, o);
    else if (!more_new(l, o)) {
        out_char(o, ']');
        return false;
    }
    return true;
}

void status_json(struct store *s, const struct compiler *c, const struct status_fleet *fleet,
                 struct str kind, struct str ns, struct str name, struct out *o) {
    struct status_lines *l = status_lines_new(s, c, fleet, kind, ns, name);
    while (status_lines_more(l, o))
        ;
    status_lines_free(l);
}

/* ---- those that are refused ---- */

struct refused {
    const struct resource **v;
    size_t n, room;
};

static void take_refused(void *arg, const struct resource *r) {
    struct refused *all = arg;
    if (all->n == all->room) {
        all->room = all->room ? all->room * 2 : 16;
        all->v = mem_realloc(all->v, all->room * sizeof(*all->v));
    }
    all->v[all->n++] = r;
}

static int in_order(const void *a, const void *b) {
    return set_compare(*(const struct resource *const *)a, *(const struct resource *const *)b);
}

void status_refused(const struct store *s, const struct compiler *c,
                    void (*each)(void *arg, const struct resource *r, const char *reason),
                    void *arg) {
    struct refused all = {0};
    store_each_refused(s, take_refused, &all);
    compile_each_refused(c, take_refused, &all);
    if (all.n > 0)
        qsort(all.v, all.n, sizeof(*all.v), in_order);
    for (size_t i = 0; i < all.n; i++) {
        const char *reason = i > 0 && all.v[i] == all.v[i - 1] ? NULL : refused_as(c, all.v[i]);
        if (reason)
            each(arg, all.v[i], reason);
    }
    mem_free(all.v);
}
