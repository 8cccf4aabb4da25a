/* SPDX-License-Identifier: Apache-2.0
 *
 * host: claims on hostnames, and the decision who has them.
 */
#include "controller/compile/host.h"

#include "lib/hash.h"
#include "lib/mem.h"

#include <stdlib.h>

static struct str host_key(char room[600], const struct unit *u) {
    struct out o = out_fixed(room, 600);
    out_lit(&o, "host-owner/");
    out_str(&o, u->ns);
    out_char(&o, '/');
    out_str(&o, u->name);
    return out_done(&o);
}

struct str host_id(struct arena *a, struct str class, struct str hostname) {
    return model_id(a, MODEL_KIND_host, class, hostname.n > 0 ? hostname : STR("*"), STR_NONE);
}

void host_begin(struct unit *u) {
    struct host *h = u->host = mem_zalloc(sizeof(*h));
    h->unit = u;
    list_init(&h->claims);
    list_init(&h->link);
}

void host_end(struct compiler *c, struct unit *u) {
    struct host *h = u->host;
    must(list_empty(&h->claims));
    char room[600];
    store_touch(c->store, host_key(room, u));
    list_del(&h->link);
    mem_free((void *)(uintptr_t)h->owner.p);
    mem_free(h);
    u->host = NULL;
}

bool host_is_reserved(const struct unit *u) { return u->host->reserved; }
bool host_is_idle(const struct unit *u) {
    return list_empty(&u->host->claims) && !u->host->reserved;
}

/* ---- claims ---- */

static struct host_claim *claim_of(const struct unit *u, struct str class, struct str hostname) {
    list_each(l, &u->claims) {
        struct host_claim *k = list_entry(l, struct host_claim, unit_link);
        if (str_eq(k->host->unit->name, hostname) && str_eq(k->host->unit->ns, class))
            return k;
    }
    return NULL;
}

static void claim_drop(struct compiler *c, struct host_claim *k) {
    store_unit_dirty(c->store, k->host->unit->su);
    list_del(&k->unit_link);
    list_del(&k->host_link);
    mem_free((void *)(uintptr_t)k->tls.p);
    mem_free(k);
}

static void claim_add(struct compiler *c, struct unit *u, struct str class, struct str hostname,
                      uint64_t created) {
    struct unit *at = unit_get(c, UNIT_HOST, class, hostname, STR_NONE);
    struct host_claim *k = mem_zalloc(sizeof(*k));
    k->host = at->host;
    k->unit = u;
    k->created = created;
    list_append(&u->claims, &k->unit_link);
    list_append(&at->host->claims, &k->host_link);
    store_unit_dirty(c->store, at->su);
}

static uint64_t created_of(const struct compiler *c, const struct unit *u) {
    const struct resource *r = store_get(c->store, unit_resource_kind(u->kind), u->ns, u->name);
    return r ? r->meta.created : 0;
}

void claims_take(struct compiler *c, struct unit *u, const struct class_ *class,
                 const struct str *hosts, size_t n_hosts) {
    uint64_t created = n_hosts > 0 ? created_of(c, u) : 0;
    list_each_safe(l, &u->claims) {
        struct host_claim *k = list_entry(l, struct host_claim, unit_link);
        bool kept = false;
        for (size_t i = 0; i < n_hosts && !kept; i++)
            kept = str_eq(k->host->unit->name, hosts[i]) &&
                   str_eq(k->host->unit->ns, class->name) && k->created == created;
        if (!kept)
            claim_drop(c, k);
    }
    for (size_t i = 0; i < n_hosts; i++)
        if (!claim_of(u, class->name, hosts[i]))
            claim_add(c, u, class->name, hosts[i], created);
}

void claim_certify(struct compiler *c, struct unit *u, struct str class, struct str hostname,
                   const struct model_route_tls *tls) {
    struct host_claim *k = claim_of(u, class, hostname);
    struct out o = out_heap(MODEL_OBJECT_MAX);
    must(k);
    if (tls) {
        const struct model_route_tls brought = {.certificates = tls->certificates,
                                                .n_certificates = tls->n_certificates,
                                                .default_certificate = tls->default_certificate};
        model_encode(&model_struct_route_tls, &brought, &o);
    }
    if (!str_eq(k->tls, out_done(&o))) {
        mem_free((void *)(uintptr_t)k->tls.p);
        k->tls = str_mk(mem_dup(o.p, o.n), o.n);
        store_unit_dirty(c->store, k->host->unit->su);
    }
    out_fini(&o);
}

/* "host/CLASS/HOSTNAME" */
static void restore_one(struct compiler *c, struct unit *u, struct str id,
                        const struct model_route *r) {
    struct str kind, class, name = str_cut(str_cut(id, '/', &kind), '/', &class);
    if (!str_eq(kind, STR("host")) || class.n == 0 || name.n == 0 || class.n + name.n > 520)
        return;
    if (str_eq(name, STR("*")))
        name = STR("");
    if (!claim_of(u, class, name))
        claim_add(c, u, class, name, r->created);
    claim_certify(c, u, class, name, r->tls);
}

void claims_restore(struct compiler *c, struct unit *u) {
    for (size_t i = 0; i < u->objects.n; i++) {
        if (u->objects.v[i]->kind != MODEL_KIND_route)
            continue;
        struct arena a;
        arena_init(&a);
        const struct model_route *r = object_decode(u->objects.v[i], &a, NULL);
        for (uint32_t k = 0; k < r->n_hosts; k++)
            restore_one(c, u, r->hosts[k], r);
        arena_fini(&a);
    }
}

bool claims_wait(const struct unit *u) {
    list_each(l, &u->claims)
        if (list_entry(l, struct host_claim, unit_link)->host->unit->su->dirty)
            return true;
    return false;
}

const struct host_claim *claim_read(struct making *m, struct str hostname) {
    const struct host_claim *k = claim_of(m->u, m->class->name, hostname);
    char room[600];
    if (k)
        store_read_key(m->c->store, m->u->su, host_key(room, k->host->unit));
    return k;
}

/* ---- the decision ---- */

static int by_age(const void *a, const void *b) {
    const struct host_claim *x = *(struct host_claim *const *)a,
                            *y = *(struct host_claim *const *)b;
    uint64_t s = x->created ? x->created : UINT64_MAX, t = y->created ? y->created : UINT64_MAX;
    if (s != t)
        return s < t ? -1 : 1;
    int order = str_cmp(x->unit->ns, y->unit->ns);
    if (order == 0)
        order = str_cmp(x->unit->name, y->unit->name);
    return order ? order : (int)x->unit->kind - (int)y->unit->kind;
}

static struct host_claim **sorted(struct making *m, const struct host *h, size_t *n) {
    *n = 0;
    list_each(l, &h->claims)
        ++*n;
    struct host_claim **v = arena_array(&m->a, *n + 1, sizeof(*v));
    size_t i = 0;
    list_each(l, &h->claims)
        v[i++] = list_entry(l, struct host_claim, host_link);
    if (i > 1)
        qsort(v, i, sizeof(*v), by_age);
    return v;
}

static bool has_claim(struct host_claim **v, size_t n, struct str ns) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(v[i]->unit->ns, ns))
            return true;
    return false;
}

static void set_owner(struct host *h, struct str ns) {
    if (str_eq(h->owner, ns))
        return;
    mem_free((void *)(uintptr_t)h->owner.p);
    h->owner = ns.n > 0 ? str_of(str_dup(ns)) : STR_NONE;
}

static void decide_oldest(struct host *h, struct host_claim **v, size_t n) {
    bool present = h->owner.n > 0 && has_claim(v, n, h->owner);
    if (h->owner.n > 0 && !present && h->release_after_ms > 0)
        h->reserved = true, h->sticky = false;
    else if (h->reserved && present)
        h->reserved = false, h->sticky = true;
    if (!h->reserved && !(h->sticky && present)) {
        h->sticky = false;
        set_owner(h, n > 0 ? v[0]->unit->ns : STR_NONE);
    }
    for (size_t i = 0; i < n; i++)
        v[i]->answer = h->reserved                        ? HOST_RESERVED
                       : str_eq(v[i]->unit->ns, h->owner) ? HOST_GRANTED
                                                          : HOST_TAKEN;
}

/* An assignment of *.example.com covers every name below it, and itself. */
static bool covers(struct str pattern, struct str host) {
    if (str_eq(pattern, host))
        return true;
    return str_starts(pattern, STR("*.")) && host.n > pattern.n - 1 &&
           str_ends(host, str_skip(pattern, 1));
}

static bool selects(const struct kube_selector *s, const struct resource *ns) {
    for (uint32_t i = 0; i < s->n_match_labels; i++) {
        struct str v = ns ? resource_label(ns, s->match_labels[i].key) : STR_NONE;
        if (!v.p || !str_eq(v, s->match_labels[i].value))
            return false;
    }
    return true;
}

static void decide_assigned(struct making *m, const struct class_ *k, struct host_claim **v,
                            size_t n) {
    const struct kube_host_ownership *o = k->config->host_ownership;
    for (size_t i = 0; i < n; i++) {
        const struct resource *ns =
            store_read(m->c->store, m->u->su, KUBE_Namespace, STR_NONE, v[i]->unit->ns);
        v[i]->answer = HOST_NOT_ASSIGNED;
        for (uint32_t a = 0; a < o->n_assignments; a++)
            for (uint32_t t = 0; t < o->assignments[a].n_hostnames; t++)
                if (covers(o->assignments[a].hostnames[t], m->u->name) &&
                    selects(o->assignments[a].namespace_selector, ns))
                    v[i]->answer = HOST_GRANTED;
    }
}

static int by_namespace(const void *a, const void *b) {
    const struct host_claim *x = *(struct host_claim *const *)a,
                            *y = *(struct host_claim *const *)b;
    return str_cmp(x->unit->ns, y->unit->ns);
}

/* What readers see, namespace by namespace: equal hash, nobody has to look again. Sorts v. */
static uint64_t decision_hash(const struct host *h, struct host_claim **v, size_t n) {
    uint64_t hash = hash_content(h->owner);
    if (n > 1)
        qsort(v, n, sizeof(*v), by_namespace);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || by_namespace(&v[i - 1], &v[i]) != 0)
            hash = hash_mix(hash_mix(hash, hash_content(v[i]->unit->ns)), v[i]->answer);
    return hash_mix(hash, (h->contested ? 2u : 0u) | 1);
}

static void add_certificate(struct model_host *o, struct str id) {
    for (uint32_t i = 0; i < o->n_certificates; i++)
        if (str_eq(o->certificates[i], id))
            return;
    if (o->n_certificates < HOST_CERTIFICATES_MAX)
        o->certificates[o->n_certificates++] = id;
}

/* What everybody who has the host brings to it, the oldest first. */
static void add_tls(struct making *m, struct host_claim **v, size_t n, struct model_host *o) {
    o->certificates = arena_array(&m->a, HOST_CERTIFICATES_MAX, sizeof(struct str));
    for (size_t i = 0; i < n; i++) {
        struct model_route_tls tls = {0};
        if (v[i]->answer != HOST_GRANTED || v[i]->tls.n == 0)
            continue;
        must(model_decode(&model_struct_route_tls, v[i]->tls, &m->a, &tls, NULL, NULL) == 0);
        o->default_certificate |= tls.default_certificate;
        for (uint32_t k = 0; k < tls.n_certificates; k++)
            add_certificate(o, tls.certificates[k]);
    }
}

static void make_host(struct making *m, struct host_claim **v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (v[i]->answer != HOST_GRANTED)
            continue;
        struct unit *by = v[i]->unit;
        struct model_origin origin = {.kind = str_of(kube_kinds[unit_resource_kind(by->kind)].kind),
                                      .namespace = by->ns,
                                      .name = by->name};
        struct model_host o = {
            .origin = &origin,
            .gateway = model_id(&m->a, MODEL_KIND_gateway, STR_NONE, m->u->ns, STR_NONE),
            .hostname = m->u->name};
        add_tls(m, v, n, &o);
        make(m, MODEL_KIND_host, host_id(&m->a, m->u->ns, m->u->name), &o);
        return;
    }
}

void host_compile(struct making *m) {
    struct host *h = m->u->host;
    size_t n;
    struct host_claim **v = sorted(m, h, &n);
    const struct class_ *k;
    if (class_read(m, m->u->ns, &k) == CLASS_WAIT) {
        m->wait = true;
        return;
    }
    h->contested = false;
    for (size_t i = 1; i < n; i++)
        h->contested |= !str_eq(v[i]->unit->ns, v[0]->unit->ns);
    h->release_after_ms = k ? k->release_after_ms : 0;
    if (k && k->ownership == OWNER_OLDEST) {
        decide_oldest(h, v, n);
    } else {
        set_owner(h, STR_NONE);
        h->reserved = h->sticky = false;
        for (size_t i = 0; i < n; i++)
            v[i]->answer = HOST_GRANTED;
        if (k && k->ownership == OWNER_ASSIGNED)
            decide_assigned(m, k, v, n);
    }
    list_del(&h->link);
    if (h->reserved)
        list_append(&m->c->reserved, &h->link);
    make_host(m, v, n);
    uint64_t decision = decision_hash(h, v, n);
    if (decision != h->decision) {
        char room[600];
        h->decision = decision;
        store_touch(m->c->store, host_key(room, m->u));
    }
}

/* ---- reservations ---- */

size_t compile_reserved(const struct compiler *c, struct str *hosts, uint64_t *release_after_ms,
                        size_t max) {
    size_t n = 0;
    list_each(l, &c->reserved) {
        const struct host *h = list_entry(l, struct host, link);
        if (n == max)
            break;
        hosts[n] = h->unit->su->id;
        release_after_ms[n++] = h->release_after_ms;
    }
    return n;
}

void compile_release(struct compiler *c, struct str id) {
    struct store_unit *su = store_unit_find(c->store, id);
    struct unit *u = su ? su->data : NULL;
    if (!u || u->kind != UNIT_HOST || !u->host->reserved)
        return;
    u->host->reserved = u->host->sticky = false;
    set_owner(u->host, STR_NONE);
    store_unit_dirty(c->store, su);
}
