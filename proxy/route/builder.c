/* SPDX-License-Identifier: Apache-2.0
 *
 * builder: transactions. Everything that can be wrong with an object is found while it is looked at
 * alone (check.c), before anything changes; from there on nothing fails. Then each object takes its
 * place in the graph and marks what has to be made anew:
 *
 *     endpoints ──► its backends
 *     traffic   ──► its rules and backends, and the rules of those
 *     backend   ──► its rules; listeners that name it if it comes or goes
 *     route     ──► itself; its sites only if what leads to it changed (hosts, matches, order)
 *     host      ──► its site
 *     key set   ──► policies that name it
 *     auth      ──► itself; its rules only if it comes or goes
 *     consumer  ──► itself: no object names it
 *     certificate ──► itself; hosts and listeners that name it only if it comes or goes
 *     gateway   ──► the settings; all rules if it changed what they are made of
 */
#include "proxy/route/build.h"

void pointers_add(struct pointers *list, void *p) {
    if (list->n == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 16;
        list->p = mem_realloc(list->p, list->cap * sizeof(*list->p));
    }
    list->p[list->n++] = p;
}

/* Keeps the room for small transactions, gives back that of a large one. */
static void pointers_empty(struct pointers *list) {
    list->n = 0;
    if (list->cap <= 1024)
        return;
    mem_free(list->p);
    *list = (struct pointers){0};
}

struct builder *builder_new(void) {
    struct builder *b = mem_zalloc(sizeof(*b));
    b->keeper = keeper_new();
    b->checking.issuers = issuers_new();
    b->settings_dirty = true;
    return b;
}

void builder_redacted(struct builder *b) { b->checking.redacted = true; }

/* ---- marks ---- */

/* `changed`: the readers have to know as well. */
static void mark(struct builder *b, struct node *n, bool changed) {
    n->changed |= changed;
    if (n->dirty)
        return;
    n->dirty = true;
    pointers_add(node_is(n, MODEL_KIND_backend) ? &b->backends_dirty
                 : node_is(n, MODEL_KIND_auth)  ? &b->auths_dirty
                                                : &b->rules_dirty,
                 n);
}

static void mark_site(struct builder *b, struct site *s) {
    if (!s || s->dirty)
        return;
    s->dirty = true;
    pointers_add(&b->sites_dirty, s);
}

static void mark_readers(struct builder *b, struct node *n, bool changed) {
    for (struct edge *e = n->readers; e; e = e->next)
        mark(b, e->from, changed);
}

static void mark_sites_of(struct builder *b, struct node *route) {
    for (uint32_t i = 0; i < route->n_edges; i++)
        if (node_is(route->edges[i].to, MODEL_KIND_host))
            mark_site(b, route->edges[i].to->site);
}

/* Hosts and listeners that name a certificate. */
static void mark_showing(struct builder *b, struct node *certificate) {
    for (struct edge *e = certificate->readers; e; e = e->next) {
        if (node_is(e->from, MODEL_KIND_host))
            mark_site(b, e->from->site);
        b->settings_dirty |= node_is(e->from, MODEL_KIND_listener);
    }
}

/* Listeners that pass on to a backend, and the gateway whose store of rate limits it is. */
static void mark_passing(struct builder *b, struct node *backend) {
    for (struct edge *e = backend->readers; e; e = e->next)
        b->settings_dirty |=
            node_is(e->from, MODEL_KIND_listener) || node_is(e->from, MODEL_KIND_gateway);
}

static void mark_all_rules(struct builder *b) {
    for (struct map_slot *s = NULL; (s = map_next(&b->nodes, s));)
        if (node_is(s->value, MODEL_KIND_route))
            mark(b, s->value, false);
}

/* ---- nodes and edges ---- */

struct node *builder_node(struct builder *b, struct str id) {
    return map_get(&b->nodes, id);
}

static struct node *node_named(struct builder *b, struct str id) {
    struct node *n = map_get(&b->nodes, id);
    if (n)
        return n;
    n = mem_zalloc(sizeof(*n));
    n->own_id = str_dup(id);
    n->id = str_mk(n->own_id, id.n);
    map_put(&b->nodes, n->id, n);
    return n;
}

/* The id's bytes are the object's while there is one. */
static void set_object(struct builder *b, struct node *n, struct object *o) {
    struct object *old = n->object;
    char *old_id = n->own_id;
    n->own_id = o ? NULL : str_dup(n->id);
    n->id = o ? object_id(o) : str_mk(n->own_id, n->id.n);
    map_put(&b->nodes, n->id, n);
    n->object = o;
    object_drop(old);
    mem_free(old_id);
}

static void doom(struct builder *b, struct node *n) {
    if (n->object || n->readers || n->doomed)
        return;
    n->doomed = true;
    pointers_add(&b->doomed, n);
}

static void bury_doomed(struct builder *b) {
    for (uint32_t i = 0; i < b->doomed.n; i++) {
        struct node *n = b->doomed.p[i];
        n->doomed = false;
        if (n->object || n->readers)
            continue;
        map_del(&b->nodes, n->id);
        mem_free(n->own_id);
        mem_free(n);
    }
    pointers_empty(&b->doomed);
}

static void link_edge(struct edge *e, struct node *from, struct node *to) {
    *e = (struct edge){from, to, to->readers, &to->readers};
    if (e->next)
        e->next->at = &e->next;
    to->readers = e;
}

static void unlink_edges(struct builder *b, struct node *n) {
    for (uint32_t i = 0; i < n->n_edges; i++) {
        struct edge *e = &n->edges[i];
        *e->at = e->next;
        if (e->next)
            e->next->at = e->at;
        doom(b, e->to);
    }
    mem_free(n->edges);
    n->edges = NULL;
    n->n_edges = 0;
}

static void link_edges(struct builder *b, struct node *n, const struct str *ids, uint32_t count) {
    uint32_t there = 0;
    for (uint32_t i = 0; i < count; i++)
        there += ids[i].n > 0;
    n->edges = mem_array(there, sizeof(*n->edges));
    for (uint32_t i = 0; i < count; i++)
        if (ids[i].n > 0)
            link_edge(&n->edges[n->n_edges++], n, node_named(b, ids[i]));
}

struct id_list {
    struct str *ids;
    uint32_t n;
};

static void add_mirror(void *arg, const struct model_mirror *m) {
    struct id_list *l = arg;
    l->ids[l->n++] = m->backend;
}

static void link_route(struct builder *b, struct node *n) {
    const struct model_route *r = n->parsed->model;
    uint32_t count = r->n_hosts + r->n_backends + route_mirrors(r, NULL, NULL) + 2, at = 0;
    struct str *ids = mem_array(count, sizeof(*ids));
    for (uint32_t i = 0; i < r->n_hosts; i++)
        ids[at++] = r->hosts[i];
    for (uint32_t i = 0; i < r->n_backends; i++)
        ids[at++] = r->backends[i].backend;
    struct id_list mirrors = {ids, at};
    route_mirrors(r, add_mirror, &mirrors);
    ids[mirrors.n] = r->traffic;
    ids[mirrors.n + 1] = r->auth;
    link_edges(b, n, ids, count);
    mem_free(ids);
}

/* ---- what a change of each kind means ---- */

/* Whether both lead to their rule in the same way, so that no vhost has to know. */
static bool same_way(const struct model_route *a, const struct model_route *b) {
    struct model_route x = {.hosts = a->hosts,
                            .n_hosts = a->n_hosts,
                            .source = a->source,
                            .one_label = a->one_label,
                            .fallback = a->fallback,
                            .namespace = a->namespace,
                            .name = a->name,
                            .created = a->created,
                            .order = a->order,
                            .matches = a->matches,
                            .n_matches = a->n_matches};
    struct model_route y = {.hosts = b->hosts,
                            .n_hosts = b->n_hosts,
                            .source = b->source,
                            .one_label = b->one_label,
                            .fallback = b->fallback,
                            .namespace = b->namespace,
                            .name = b->name,
                            .created = b->created,
                            .order = b->order,
                            .matches = b->matches,
                            .n_matches = b->n_matches};
    return model_equal(&model_struct_route, &x, &y);
}

static void retire_parsed(struct builder *b, struct node *n) {
    if (n->parsed)
        part_retire(b->keeper, &n->parsed->part);
    n->parsed = NULL;
}

static void take_slot(struct builder *b, struct node *n, enum slot_pool_kind pool) {
    n->slot = slot_take(b->keeper, pool, NULL);
    n->slot_born = b->keeper->building;
}

static void change_route(struct builder *b, struct node *n, struct staged *s) {
    bool was = n->object != NULL;
    bool moved = !was || !s->object || !same_way(n->parsed->model, s->parsed->model);
    if (was && moved)
        mark_sites_of(b, n);
    unlink_edges(b, n);
    if (!s->object) {
        rule_unmake(b, n);
        slot_retire(b->keeper, SLOT_RULE, n->slot, n->slot_born);
        b->n_rules--;
    }
    retire_parsed(b, n);
    set_object(b, n, s->object);
    if (!s->object)
        return;
    n->parsed = s->parsed;
    if (!was) {
        take_slot(b, n, SLOT_RULE);
        b->n_rules++;
    }
    link_route(b, n);
    mark(b, n, false);
    if (moved)
        mark_sites_of(b, n);
}

static void change_backend(struct builder *b, struct node *n, struct staged *s) {
    bool was = n->object != NULL;
    unlink_edges(b, n);
    if (!s->object) {
        backend_unmake(b, n);
        slot_retire(b->keeper, SLOT_BACKEND, n->slot, n->slot_born);
        b->n_backends--;
    }
    retire_parsed(b, n);
    set_object(b, n, s->object);
    mark_passing(b, n);
    if (!s->object) {
        mark_readers(b, n, false);
        return;
    }
    n->parsed = s->parsed;
    if (!was) {
        take_slot(b, n, SLOT_BACKEND);
        b->n_backends++;
    }
    const struct model_backend *m = n->parsed->model;
    struct arena a;
    arena_init(&a);
    link_edges(b, n, (const struct str[]){backend_endpoints(&a, m), m->traffic}, 2);
    arena_fini(&a);
    mark(b, n, true);
}

static void leave_site(struct builder *b, struct node *n) {
    struct node **at = &n->site->hosts;
    while (*at != n)
        at = &(*at)->twin;
    *at = n->twin;
    mark_site(b, n->site);
    n->site = NULL;
    n->twin = NULL;
}

static void change_host(struct builder *b, struct node *n, struct staged *s) {
    if (n->object)
        leave_site(b, n);
    unlink_edges(b, n);
    set_object(b, n, s->object);
    if (!s->object)
        return;
    struct arena a;
    arena_init(&a);
    const struct model_host *m = object_decode(s->object, &a, NULL);
    link_edges(b, n, m->certificates, m->n_certificates);
    n->site = site_named(b, m->hostname);
    arena_fini(&a);
    n->twin = n->site->hosts;
    n->site->hosts = n;
    mark_site(b, n->site);
}

static void change_certificate(struct builder *b, struct node *n, struct staged *s) {
    bool was = n->object != NULL;
    if (!s->object) {
        certificate_unmake(b, n);
        slot_retire(b->keeper, SLOT_CERTIFICATE, n->slot, n->slot_born);
    }
    retire_parsed(b, n);
    set_object(b, n, s->object);
    if (s->object) {
        n->parsed = s->parsed;
        if (!was)
            take_slot(b, n, SLOT_CERTIFICATE);
        certificate_make(b, n);
    }
    if (was != (s->object != NULL))
        mark_showing(b, n);
}

static void link_auth(struct builder *b, struct node *n) {
    const struct model_auth *m = n->parsed->model;
    struct str *ids = mem_array(2 * m->n_methods, sizeof(*ids));
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->n_methods; i++) {
        const struct model_auth_method_config *k = &m->methods[i];
        if (k->jwt)
            ids[count++] = k->jwt->key_set;
        else if (k->external)
            ids[count++] = k->external->backend;
        else if (k->introspection)
            ids[count++] = k->introspection->backend;
        else if (k->oidc) {
            ids[count++] = k->oidc->key_set;
            ids[count++] = k->oidc->token;
        }
    }
    link_edges(b, n, ids, count);
    mem_free(ids);
}

/* Methods for which Consumers are found by name. */
static uint32_t n_naming(const struct parsed *p) {
    const struct model_auth *m = p ? p->model : NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; m && i < m->n_methods; i++)
        n += m->methods[i].external && m->methods[i].external->consumer_header.n > 0;
    return n;
}

static void change_auth(struct builder *b, struct node *n, struct staged *s) {
    bool was = n->object != NULL;
    b->n_naming += n_naming(s->parsed) - n_naming(n->parsed);
    unlink_edges(b, n);
    if (!s->object) {
        auth_unmake(b, n);
        slot_retire(b->keeper, SLOT_AUTH, n->slot, n->slot_born);
    }
    retire_parsed(b, n);
    set_object(b, n, s->object);
    if (was != (s->object != NULL)) {
        mark_readers(b, n, false);
        b->settings_dirty = true; /* it may be the one that all must pass */
    }
    if (!s->object)
        return;
    n->parsed = s->parsed;
    if (!was)
        take_slot(b, n, SLOT_AUTH);
    link_auth(b, n);
    mark(b, n, false);
}

/* A million of them may come: no node, no decoded form. */
static void change_consumer(struct builder *b, struct staged *s) {
    struct object *old = s->object ? object_set_put(&b->consumers_by_id, s->object)
                                   : object_set_del(&b->consumers_by_id, s->id);
    bool by_name = b->consumer_names.root != NULL;
    if (old) {
        consumers_remove(b->keeper, &b->consumers, old);
        if (by_name)
            consumers_remove_name(b->keeper, &b->consumer_names, old);
        object_retire(b->keeper, old);
    }
    if (s->object) {
        consumers_add(b->keeper, &b->consumers, s->object);
        if (by_name)
            consumers_add_name(b->keeper, &b->consumer_names, s->object);
    }
    s->object = NULL; /* the table's now */
}

/* The table by name comes with the first method that needs it, and goes with the last. */
static void make_names(struct builder *b) {
    bool there = b->consumer_names.root != NULL;
    if (there && b->n_naming == 0)
        consumers_retire(b->keeper, &b->consumer_names);
    if (there || b->n_naming == 0)
        return;
    consumers_expect(b->keeper, &b->consumer_names, b->consumers_by_id.n);
    for (struct object **o = NULL; (o = object_set_next(&b->consumers_by_id, o));)
        consumers_add_name(b->keeper, &b->consumer_names, *o);
}

static void change_traffic(struct builder *b, struct node *n, struct staged *s) {
    struct parsed *old = n->parsed;
    set_object(b, n, s->object);
    n->parsed = s->parsed;
    traffic_limits_make(b, n);
    if (old) /* now that its limits have gone */
        part_retire(b->keeper, &old->part);
    mark_readers(b, n, true);
}

static void change_listener(struct builder *b, struct node *n, struct staged *s) {
    unlink_edges(b, n);
    retire_parsed(b, n);
    set_object(b, n, s->object);
    n->parsed = s->parsed;
    b->settings_dirty = true;
    const struct model_listener *m = s->object ? n->parsed->model : NULL;
    if (m && m->protocol == MODEL_HTTPS && m->tls)
        link_edges(b, n, m->tls->certificates, m->tls->n_certificates);
    else if (m)
        link_edges(b, n, &m->backend, 1);
}

static void change_gateway(struct builder *b, struct node *n, struct staged *s) {
    unlink_edges(b, n);
    retire_parsed(b, n);
    set_object(b, n, s->object);
    n->parsed = s->parsed;
    b->settings_dirty = true;
    const struct model_gateway *m = s->object ? n->parsed->model : NULL;
    if (!m)
        return;
    const struct str ids[] = {m->rate_limit_store ? m->rate_limit_store->backend : STR_NONE,
                              m->tracing ? m->tracing->backend : STR_NONE};
    link_edges(b, n, ids, ARRAY_LEN(ids));
}

static void change(struct builder *b, struct node *n, struct staged *s, uint32_t kind) {
    switch (kind) {
    case MODEL_KIND_route:
        change_route(b, n, s);
        return;
    case MODEL_KIND_backend:
        change_backend(b, n, s);
        return;
    case MODEL_KIND_host:
        change_host(b, n, s);
        return;
    case MODEL_KIND_certificate:
        change_certificate(b, n, s);
        return;
    case MODEL_KIND_listener:
        change_listener(b, n, s);
        return;
    case MODEL_KIND_gateway:
        change_gateway(b, n, s);
        return;
    case MODEL_KIND_auth:
        change_auth(b, n, s);
        return;
    case MODEL_KIND_traffic:
        change_traffic(b, n, s);
        return;
    default:
        break;
    }
    retire_parsed(b, n);
    set_object(b, n, s->object);
    n->parsed = s->parsed;
    if (kind == MODEL_KIND_endpoints || kind == MODEL_KIND_key_set)
        mark_readers(b, n, false);
    if (kind == MODEL_KIND_ticket_keys || kind == MODEL_KIND_session_keys ||
        kind == MODEL_KIND_signing_keys)
        b->settings_dirty = true;
}

static bool is_consumer(const struct builder *b, const struct staged *s) {
    return s->object ? s->object->kind == MODEL_KIND_consumer
                     : object_set_get(&b->consumers_by_id, s->id) != NULL;
}

static void apply(struct builder *b, struct staged *s) {
    if (is_consumer(b, s)) {
        change_consumer(b, s);
        return;
    }
    struct node *n = s->object ? node_named(b, s->id) : map_get(&b->nodes, s->id);
    if (!n || (!n->object && !s->object))
        return;
    if (n->object && s->object && n->object->kind != s->object->kind) {
        struct staged gone = {.id = s->id};
        change(b, n, &gone, n->object->kind);
    }
    change(b, n, s, s->object ? s->object->kind : n->object->kind);
    doom(b, n);
    s->object = NULL; /* the node's now */
    s->parsed = NULL;
}

/* ---- transactions ---- */

void builder_abort(struct builder *b) {
    map_fini(&b->staged_by_id);
    for (size_t i = 0; i < b->n_staged; i++) {
        struct staged *s = &b->staged[i];
        if (s->parsed)
            part_free(b->keeper, &s->parsed->part);
        object_drop(s->object);
        mem_free(s->own_id);
    }
    mem_free(b->staged);
    b->staged = NULL;
    b->n_staged = b->staged_cap = 0;
}

void builder_begin(struct builder *b) { must(b->n_staged == 0); }

static struct staged *staged_named(struct builder *b, struct str id) {
    uintptr_t index = (uintptr_t)map_get(&b->staged_by_id, id);
    if (index > 0)
        return &b->staged[index - 1];
    if (b->n_staged == b->staged_cap) {
        b->staged_cap = b->staged_cap ? b->staged_cap * 2 : 16;
        b->staged = mem_realloc(b->staged, b->staged_cap * sizeof(*b->staged));
    }
    struct staged *s = &b->staged[b->n_staged++];
    *s = (struct staged){.id = id};
    return s;
}

/* A later word on the same id replaces an earlier one. */
static void stage(struct builder *b, struct str id, struct object *o) {
    struct staged *s = staged_named(b, id);
    struct object *old = s->object;
    char *old_id = s->own_id;
    s->own_id = o ? NULL : str_dup(id);
    s->id = str_mk(o ? object_id(o).p : s->own_id, id.n);
    s->object = o;
    map_put(&b->staged_by_id, s->id, (void *)(s - b->staged + 1)); /* also the key's new bytes */
    object_drop(old);
    mem_free(old_id);
}

void builder_put(struct builder *b, struct object *o) { stage(b, object_id(o), o); }
void builder_del(struct builder *b, struct str id) { stage(b, id, NULL); }

static bool is_same(struct builder *b, const struct staged *s) {
    const struct node *n = map_get(&b->nodes, s->id);
    const struct object *o = n ? n->object : object_set_get(&b->consumers_by_id, s->id);
    return s->object && o && o->hash == s->object->hash && o->kind == s->object->kind &&
           str_eq(object_bytes(o), object_bytes(s->object));
}

static bool check_all(struct builder *b,
                      void (*bad)(void *arg, struct str id, const struct why *why), void *arg) {
    bool good = true;
    for (size_t i = 0; i < b->n_staged; i++) {
        struct staged *s = &b->staged[i];
        if (!s->object || is_same(b, s))
            continue;
        struct why why = {0};
        s->parsed = parsed_new(b->keeper, &b->checking, s->object, &why);
        if (why_set(&why)) {
            bad(arg, s->id, &why);
            good = false;
        }
    }
    return good;
}

static void make_dirty(struct builder *b) {
    if (b->settings_dirty && settings_make(b))
        mark_all_rules(b);
    b->settings_dirty = false;
    for (uint32_t i = 0; i < b->backends_dirty.n; i++) {
        struct node *n = b->backends_dirty.p[i];
        if (n->changed)
            mark_readers(b, n, false);
        n->dirty = n->changed = false;
        if (node_is(n, MODEL_KIND_backend))
            backend_make(b, n);
    }
    for (uint32_t i = 0; i < b->auths_dirty.n; i++) {
        struct node *n = b->auths_dirty.p[i];
        n->dirty = n->changed = false;
        if (node_is(n, MODEL_KIND_auth))
            auth_make(b, n);
    }
    for (uint32_t i = 0; i < b->rules_dirty.n; i++) {
        struct node *n = b->rules_dirty.p[i];
        n->dirty = n->changed = false;
        if (node_is(n, MODEL_KIND_route))
            rule_make(b, n);
    }
    for (uint32_t i = 0; i < b->sites_dirty.n; i++)
        site_make(b, b->sites_dirty.p[i]);
    pointers_empty(&b->backends_dirty);
    pointers_empty(&b->auths_dirty);
    pointers_empty(&b->rules_dirty);
    pointers_empty(&b->sites_dirty);
}

struct snapshot *builder_commit(struct builder *b, uint64_t revision,
                                void (*bad)(void *arg, struct str id, const struct why *why),
                                void *arg) {
    if (!check_all(b, bad, arg)) {
        builder_abort(b);
        return NULL;
    }
    for (size_t i = 0; i < b->n_staged; i++) {
        struct staged *s = &b->staged[i];
        if (!is_same(b, s))
            apply(b, s);
    }
    builder_abort(b); /* only what changed nothing is left in it */
    make_names(b);
    make_dirty(b);
    bury_doomed(b);
    return snapshot_new(b, revision);
}

void builder_free(struct builder *b) {
    if (!b)
        return;
    builder_abort(b);
    for (struct map_slot *s = NULL; (s = map_next(&b->nodes, s));)
        if (((struct node *)s->value)->object)
            builder_del(b, s->key);
    for (struct object **o = NULL; (o = object_set_next(&b->consumers_by_id, o));)
        builder_del(b, object_id(*o));
    for (size_t i = 0; i < b->n_staged; i++)
        apply(b, &b->staged[i]);
    builder_abort(b);
    make_dirty(b);
    bury_doomed(b);
    must(b->nodes.n == 0 && b->hosts.n == 0 && b->places.n == 0 && b->limit_slots.n == 0);
    issuers_free(b->checking.issuers);
    pages_retire(b->keeper, &b->rules);
    pages_retire(b->keeper, &b->backends);
    pages_retire(b->keeper, &b->certificates);
    pages_retire(b->keeper, &b->auths);
    pages_retire(b->keeper, &b->limits);
    consumers_retire(b->keeper, &b->consumers);
    consumers_retire(b->keeper, &b->consumer_names);
    object_set_fini(&b->consumers_by_id);
    hosts_retire(b->keeper, &b->hosts);
    if (b->settings)
        part_retire(b->keeper, &b->settings->part);
    map_fini(&b->nodes);
    map_fini(&b->places);
    map_fini(&b->limit_slots);
    mem_free(b->backends_dirty.p);
    mem_free(b->auths_dirty.p);
    mem_free(b->rules_dirty.p);
    mem_free(b->sites_dirty.p);
    mem_free(b->doomed.p);
    mem_free(b->place_of_slot.p);
    mem_free(b->entries);
    keeper_close(b->keeper);
    mem_free(b);
}
