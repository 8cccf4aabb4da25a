/* SPDX-License-Identifier: Apache-2.0
 *
 * compile: the turn of the dirty units. A unit that needs a fact which is still to be compiled (its
 * class, the owner of its host) steps back behind it in the queue.
 */
#include "controller/compile/auth.h"
#include "controller/compile/backend.h"
#include "controller/compile/certificate.h"
#include "controller/compile/fetched.h"
#include "controller/compile/policy.h"
#include "controller/compile/route.h"
#include "controller/compile/twice.h"
#include "lib/credential.h"
#include "lib/hash.h"
#include "lib/mem.h"

#include <stdlib.h>

/* ---- statuses ---- */

static uint64_t why_hash(const struct why *w) {
    return hash_mix(hash_content(str_of(w->text)), hash_content(str_of(w->field)));
}

static bool has_refs(enum unit_kind kind) {
    return kind == UNIT_ROUTE || kind == UNIT_INGRESS || kind == UNIT_TRAFFIC ||
           kind == UNIT_AUTH || kind == UNIT_CONSUMER;
}

static void set_condition(struct condition *c, const char *reason, const struct why *why,
                          struct why **room) {
    *c = (struct condition){.set = true, .value = !why, .reason = reason};
    if (why) {
        **room = *why;
        c->why = (*room)++;
    }
}

static void status_take(struct making *m) {
    struct unit *u = m->u;
    struct compile_status *s = &u->status;
    mem_free(u->whys);
    struct why *room = u->whys = mem_array(2 + m->n_warnings, sizeof(struct why));
    *s = (struct compile_status){.ours = !m->foreign, .of = m->r ? m->r->hash : 0};
    bool refused = why_set(&m->why);
    if (!m->foreign) {
        if (refused)
            set_condition(&s->conditions[CONDITION_ACCEPTED], m->reason ? m->reason : "Invalid",
                          &m->why, &room);
        else if (why_set(&m->closed))
            set_condition(&s->conditions[CONDITION_ACCEPTED],
                          m->closed_reason ? m->closed_reason : "PolicyUnavailable", &m->closed,
                          &room);
        else
            set_condition(&s->conditions[CONDITION_ACCEPTED], "Accepted", NULL, &room);
        if ((has_refs(u->kind) || m->refers) && !refused)
            set_condition(&s->conditions[CONDITION_RESOLVED_REFS],
                          why_set(&m->unresolved) ? m->unresolved_reason : "ResolvedRefs",
                          why_set(&m->unresolved) ? &m->unresolved : NULL, &room);
        s->warnings = room;
        s->n_warnings = m->n_warnings;
        for (size_t i = 0; i < m->n_warnings; i++)
            *room++ = m->warnings[i];
    }
    s->held = refused && !m->gone && u->objects.n > 0;
    list_del(&u->refused);
    if (s->ours && !s->conditions[CONDITION_ACCEPTED].value)
        list_append(&m->c->refused, &u->refused);
}

/* Of what a unit says, not of its objects. */
static uint64_t said_hash(const struct unit *u) {
    const struct compile_status *s = &u->status;
    uint64_t h = (s->ours ? 1u : 0u) | (s->held ? 2u : 0u);
    for (size_t i = 0; i < CONDITION_TYPES; i++) {
        const struct condition *c = &s->conditions[i];
        h = hash_mix(h, (c->set ? 1u : 0u) | (c->value ? 2u : 0u));
        h = hash_mix(h, c->set ? hash_content(str_of(c->reason)) : 0);
        h = hash_mix(h, c->why ? why_hash(c->why) : 0);
    }
    for (size_t i = 0; i < s->n_warnings; i++)
        h = hash_mix(h, why_hash(&s->warnings[i]));
    return h;
}

/* The version counts as well: observedGeneration, and an object made anew under its old name. */
static uint64_t status_hash(const struct unit *u, const struct kube_meta *meta) {
    uint64_t h = hash_mix(said_hash(u), objects_revision(&u->objects));
    return hash_mix(hash_mix(h, meta ? meta->generation : 0), meta ? hash_content(meta->uid) : 0) |
           1;
}

static void tell_status(struct making *m) {
    uint64_t h = status_hash(m->u, m->r ? &m->r->meta : NULL);
    if (h == m->u->status_hash)
        return;
    m->u->status_hash = h;
    if (m->c->sink.status && m->r)
        m->c->sink.status(m->c->sink.arg, m->r);
}

/* ---- one unit ---- */

static void compile_resource(struct making *m) {
    switch (m->u->kind) {
    case UNIT_CLASS:
        class_compile(m);
        break;
    case UNIT_CONFIG:
        config_compile(m);
        break;
    case UNIT_ROUTE:
        route_compile(m);
        break;
    case UNIT_INGRESS:
        ingress_compile(m);
        break;
    case UNIT_TRAFFIC:
        traffic_compile(m);
        break;
    case UNIT_AUTH:
        auth_compile(m);
        break;
    case UNIT_CONSUMER:
        consumer_compile(m);
        break;
    case UNIT_DEFAULT_CLASS:
    case UNIT_HOST:
    case UNIT_BACKEND:
    case UNIT_CERTIFICATE:
    case UNIT_WATCH:
    case UNIT_KINDS:
        must(false);
    }
}

/* What a proxy has nacked is not tried again as long as it is the same. */
static bool nacked(struct making *m) {
    struct unit *u = m->u;
    struct objects sorted = m->objects;
    if (u->nacked == 0)
        return false;
    uint64_t revision = objects_sorted_revision(&sorted);
    if (revision == u->nacked)
        return true;
    u->nacked = 0;
    return false;
}

static void become_good(struct making *m) {
    struct unit *u = m->u;
    struct resource *was = u->good;
    u->good = resource_hold((struct resource *)(uintptr_t)m->r);
    resource_drop(was);
    u->restored = false;
    unit_lost(m->c, u, false);
}

static void take_nothing(struct making *m) {
    struct unit *u = m->u;
    objects_fini(&m->objects);
    m->n_wants = 0;
    unit_take(m);
    if (!m->claimed) /* who claims in vain keeps its claim: it is told when the host is free */
        claims_take(m->c, u, NULL, NULL, 0);
    twice_none(m->c, u);
    consumer_none(m->c, u);
    attach_none(m->c, u);
    resource_drop(u->good);
    u->good = NULL;
    unit_lost(m->c, u, false);
}

/* It has objects, and reads something that is not known yet. */
static bool stays(const struct making *m) { return m->keep && m->u->objects.n > 0; }

/* It has nothing yet, and what it needs (a Secret, an issuer's keys) is not known yet, or could not
 * be had: the controller has just started, and the fleet may have what it made before. Nobody
 * passes where the fleet has nothing, since its targets name it. */
static bool waits(const struct making *m) {
    enum unit_kind kind = m->u->kind;
    return (m->keep || m->fails) && m->u->objects.n == 0 &&
           (kind == UNIT_AUTH || kind == UNIT_CONSUMER);
}

static bool is_policy(enum unit_kind kind) { return kind == UNIT_TRAFFIC || kind == UNIT_AUTH; }

/* The resource is refused: its last good version is compiled again instead, against the world of
 * today. False: step back. */
static bool hold(struct making *refused) {
    struct unit *u = refused->u;
    struct compiler *c = refused->c;
    if (!u->good) {
        unit_restore_wants(c, u); /* what it wanted while it stepped back is of no use */
        if (refused->n_hosts > 0 && refused->class && list_empty(&u->claims))
            claims_take(c, u, refused->class, refused->hosts, refused->n_hosts);
        if (is_policy(u->kind))
            policy_hold(refused);
        if (!u->restored)
            unit_lost(c, u, true);
        return true;
    }
    if (u->good->hash == refused->r->hash)
        return true; /* not its own fault: it stays as it is */
    struct making m;
    making_init(&m, c, u, u->good);
    compile_resource(&m);
    bool step_back = m.wait;
    if (step_back || stays(&m))
        unit_add_wants(&m);
    else if (m.gone || m.foreign)
        take_nothing(&m);
    else if (!why_set(&m.why) && !nacked(&m))
        unit_take(&m);
    making_fini(&m);
    return !step_back;
}

/* The unit stays as it is, in the hope that what is missing comes at once. */
static void come_late(struct making *m) {
    struct unit *u = m->u;
    unit_add_wants(m);
    if (list_empty(&u->late_link)) {
        u->late = false;
        list_append(&m->c->late, &u->late_link);
    }
}

static void settle(struct unit *u) {
    u->fresh = false;
    list_del(&u->late_link);
}

/* False: the unit steps back. */
static bool run_resource(struct making *m) {
    struct unit *u = m->u;
    compile_resource(m);
    if (m->late && !m->wait && !m->foreign && !m->gone && !why_set(&m->why)) {
        come_late(m);
        return true;
    }
    if (m->wait || (stays(m) && !m->foreign && !m->gone && !why_set(&m->why))) {
        unit_add_wants(m);
        return !m->wait;
    }
    settle(u);
    if (m->foreign || m->gone) {
        take_nothing(m);
    } else if (why_set(&m->why)) {
        if (!hold(m))
            return false;
    } else if (nacked(m)) {
        refuse_as(m, "Rejected", NULL, "a proxy could not use it: %s", u->nack->text);
    } else {
        bool restored = u->restored;
        become_good(m);
        if (is_policy(u->kind))
            policy_attach(m);
        if (!waits(m))
            unit_take(m);
        else if (!restored)
            unit_lost(m->c, u, true);
    }
    if (m->keep && !why_set(&m->why))
        return true; /* there is nothing to say before it is known */
    status_take(m);
    if (u->kind == UNIT_CLASS)
        class_tell(m->c, u);
    tell_status(m);
    return true;
}

static bool run_derived(struct making *m) {
    if (m->u->kind == UNIT_DEFAULT_CLASS)
        default_class_compile(m);
    else if (m->u->kind == UNIT_HOST)
        host_compile(m);
    else
        backend_compile(m);
    if (m->wait)
        return false;
    bool held = stays(m) || nacked(m);
    if (!held)
        unit_take(m);
    status_take(m);
    m->u->status.held = held;
    return true;
}

static void run_certificate(struct making *m) {
    struct unit *u = m->u;
    certificate_compile(m);
    if (u->certificate == CERTIFICATE_GOOD && nacked(m)) {
        refuse_as(m, "Rejected", NULL, "a proxy could not use it: %s", u->nack->text);
        u->certificate = CERTIFICATE_BAD;
    } else if (!stays(m)) {
        unit_take(m);
    }
    if (u->certificate != CERTIFICATE_UNKNOWN)
        status_take(m);
    certificate_tell(m->c, u, said_hash(u));
}

static void run_watch(struct compiler *c, struct unit *u) {
    const struct why *fault = NULL;
    bool unknown = false;
    const struct resource *r = store_read(c->store, u->su, KUBE_ConfigMap, u->ns, u->name);
    if (!r)
        unknown = store_is_unknown(c->store, KUBE_ConfigMap, u->ns, u->name, &fault);
    c->watch.told(c->watch.arg, r, unknown, fault);
}

/* True if the unit was compiled, false if it stepped back or ended. */
static bool run_unit(struct compiler *c, struct unit *u) {
    if (u->kind == UNIT_WATCH) {
        run_watch(c, u);
        return true;
    }
    enum kube_kind kind = unit_resource_kind(u->kind);
    const struct resource *r = NULL;
    if (kind != KUBE_NONE) {
        r = store_read(c->store, u->su, kind, u->ns, u->name);
        if (!r) {
            unit_end(c, u);
            return true;
        }
    }
    if ((u->kind == UNIT_BACKEND || u->kind == UNIT_CERTIFICATE) && u->wanted == 0) {
        unit_end(c, u); /* whoever asked for it was refused, or stepped back and asks again */
        return false;
    }
    struct making m;
    making_init(&m, c, u, r);
    bool done = true;
    if (u->kind == UNIT_CERTIFICATE)
        run_certificate(&m);
    else
        done = r ? run_resource(&m) : run_derived(&m);
    making_fini(&m);
    if (!done)
        store_unit_dirty(c->store, u->su);
    else if (u->kind == UNIT_HOST && host_is_idle(u))
        unit_end(c, u);
    return done;
}

size_t compile_run(struct compiler *c) {
    size_t n = 0;
    struct store_unit *su;
    if (!store_is_synced(c->store) || store_n_dirty(c->store) == 0)
        return 0;
    c->runs++;
    do {
        while ((su = store_next_dirty(c->store)))
            if (run_unit(c, su->data))
                n++;
    } while (unit_meet_foreseen(c));
    return n;
}

uint64_t compile_runs(const struct compiler *c) { return c->runs; }

/* ---- life ---- */

static enum unit_kind unit_kind_of(enum kube_kind kind) {
    for (unsigned k = 0; k < UNIT_KINDS; k++)
        if (kind != KUBE_NONE && unit_resource_kind((enum unit_kind)k) == kind)
            return (enum unit_kind)k;
    return UNIT_KINDS;
}

static void on_resource(void *arg, const struct resource *was, const struct resource *now) {
    struct compiler *c = arg;
    const struct resource *r = now ? now : was;
    enum unit_kind kind = unit_kind_of(r->kind);
    if (kind == UNIT_KINDS)
        return;
    struct unit *u = unit_get(c, kind, r->meta.namespace, r->meta.name, STR_NONE);
    u->fresh = now && now->fresh;
    list_del(&u->late_link); /* a new version has its own time */
    store_unit_dirty(c->store, u->su);
}

bool compile_settle(struct compiler *c) {
    list_each_safe(it, &c->late) {
        struct unit *u = list_entry(it, struct unit, late_link);
        if (u->late) {
            settle(u);
            store_unit_dirty(c->store, u->su);
        }
        u->late = true;
    }
    return !list_empty(&c->late);
}

bool compile_is_late(const struct compiler *c) { return !list_empty(&c->late); }

void compile_watch(struct compiler *c, struct str ns, struct str name,
                   const struct compile_watch *watch) {
    must(!c->watching);
    c->watch = *watch;
    c->watching = unit_get(c, UNIT_WATCH, ns, name, STR_NONE);
}

struct compiler *compile_new(struct store *s, const struct compile_sink *sink) {
    struct compiler *c = mem_zalloc(sizeof(*c));
    c->store = s;
    c->sink = *sink;
    map_init(&c->targets);
    map_init(&c->sayings);
    map_init(&c->owners);
    map_init(&c->lost);
    c->own_namespace = str_of(str_dup(STR("default")));
    fetched_init(c);
    list_init(&c->units);
    list_init(&c->refused);
    list_init(&c->unproven);
    list_init(&c->nacked);
    list_init(&c->foreseen);
    list_init(&c->reserved);
    list_init(&c->certificates);
    list_init(&c->late);
    unit_get(c, UNIT_DEFAULT_CLASS, STR_NONE, STR_NONE, STR_NONE);
    store_on_resource(s, on_resource, c);
    return c;
}

/* Ends every unit: first those that resources stand for, which lets go of the others. */
void compile_free(struct compiler *c) {
    c->sink = (struct compile_sink){0};
    store_on_resource(c->store, NULL, NULL);
    unit_forget_foreseen(c);
    if (c->watching)
        unit_end(c, c->watching);
    for (unsigned k = 0; k < UNIT_KINDS; k++) {
        enum kube_kind kind = unit_resource_kind((enum unit_kind)k);
        for (const struct resource *r = NULL; kind && (r = store_next(c->store, kind, r));) {
            struct unit *u =
                unit_find(c, (enum unit_kind)k, r->meta.namespace, r->meta.name, STR_NONE);
            if (u)
                unit_end(c, u);
        }
    }
    struct store_unit *su;
    list_each_safe(l, &c->reserved)
        compile_release(c, list_entry(l, struct host, link)->unit->su->id);
    while ((su = store_next_dirty(c->store)))
        if (su->data)
            unit_end(c, su->data); /* hosts that nobody claims any more */
    su = store_unit_find(c->store, STR("DefaultClass///"));
    if (su)
        unit_end(c, su->data);
    map_fini(&c->targets);
    map_fini(&c->sayings);
    map_fini(&c->credentials);
    credential_scratch_free(c->digests);
    map_fini(&c->owners);
    map_fini(&c->lost);
    fetched_fini(c);
    mem_free((void *)(uintptr_t)c->default_class.p);
    mem_free((void *)(uintptr_t)c->own_namespace.p);
    mem_free(c);
}

/* ---- looking ---- */

static const struct compile_status *status_of(const struct unit *u) {
    struct compile_status *s = (struct compile_status *)(uintptr_t)&u->status;
    s->objects = u->objects.v;
    s->n_objects = u->objects.n;
    s->revision = objects_revision(&u->objects);
    s->run = u->changed_run;
    return s;
}

static const struct compile_status *service_status(const struct compiler *c,
                                                   const struct resource *r) {
    const struct kube_Service *k = resource_Service(r);
    const struct unit *any = NULL;
    for (uint32_t i = 0; k && i < k->n_ports; i++) {
        char port[8];
        struct out o = out_fixed(port, sizeof(port));
        out_i64(&o, k->ports[i].port);
        const struct unit *u =
            unit_find(c, UNIT_BACKEND, r->meta.namespace, r->meta.name, out_done(&o));
        if (u && (!any || any->status.n_warnings == 0))
            any = u;
    }
    return any ? status_of(any) : NULL;
}

static const struct compile_status *secret_status(const struct compiler *c,
                                                  const struct resource *r) {
    const struct unit *u =
        unit_find(c, UNIT_CERTIFICATE, r->meta.namespace, r->meta.name, STR_NONE);
    return u && u->status.ours ? status_of(u) : NULL;
}

const struct compile_status *compile_status(const struct compiler *c, const struct resource *r) {
    if (r->kind == KUBE_Service)
        return service_status(c, r);
    if (r->kind == KUBE_Secret)
        return secret_status(c, r);
    enum unit_kind kind = unit_kind_of(r->kind);
    if (kind == UNIT_KINDS)
        return NULL;
    const struct unit *u = unit_find(c, kind, r->meta.namespace, r->meta.name, STR_NONE);
    return u && u->status_hash != 0 ? status_of(u) : NULL;
}

const struct object *compile_object(const struct compiler *c, struct str id) {
    const struct unit *u = map_get(&c->owners, id);
    for (size_t lo = 0, hi = u ? u->objects.n : 0; lo < hi;) {
        size_t mid = (lo + hi) / 2;
        int order = str_cmp(object_id(u->objects.v[mid]), id);
        if (order == 0)
            return u->objects.v[mid];
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

void compile_each_refused(const struct compiler *c,
                          void (*each)(void *arg, const struct resource *r), void *arg) {
    list_each(it, &c->refused) {
        const struct unit *u = list_entry(it, struct unit, refused);
        enum kube_kind kind = u->kind == UNIT_BACKEND       ? KUBE_Service
                              : u->kind == UNIT_CERTIFICATE ? KUBE_Secret
                                                            : unit_resource_kind(u->kind);
        const struct resource *r = kind ? store_get(c->store, kind, u->ns, u->name) : NULL;
        if (r)
            each(arg, r);
    }
}

/* ---- a walk ---- */

struct compile_walk {
    struct compiler *c;
    struct unit place; /* in the ring of units, behind the one that was told last */
    size_t left;       /* so many there were: what is made meanwhile does not keep it going */
};

struct compile_walk *compile_walk_begin(struct compiler *c) {
    struct compile_walk *w = mem_zalloc(sizeof(*w));
    w->c = c;
    w->left = c->n_units;
    w->place.kind = UNIT_KINDS;
    list_push(&c->units, &w->place.all);
    return w;
}

bool compile_walk_next(struct compile_walk *w, struct object *const **v, size_t *n) {
    struct list *next = w->place.all.next;
    if (w->left == 0 || next == &w->c->units)
        return false;
    const struct unit *u = list_entry(next, struct unit, all);
    w->left -= u->kind != UNIT_KINDS;
    list_del(&w->place.all);
    list_add_after(next, &w->place.all);
    *v = u->objects.v;
    *n = u->objects.n;
    return true;
}

void compile_walk_end(struct compile_walk *w) {
    list_del(&w->place.all);
    mem_free(w);
}

/* ---- all of it ---- */

static int by_id(const void *a, const void *b) {
    return str_cmp(object_id((*(const struct object *const *)a)),
                   object_id((*(const struct object *const *)b)));
}

size_t compile_objects(const struct compiler *c, const struct object **v, size_t max) {
    if (!v || max == 0)
        return c->owners.n;
    const struct object **all = mem_array(c->owners.n + 1, sizeof(*all));
    size_t n = 0;
    for (struct map_slot *s = NULL; (s = map_next(&c->owners, s));)
        all[n++] = compile_object(c, s->key);
    qsort(all, n, sizeof(*all), by_id);
    memcpy(v, all, size_min(n, max) * sizeof(*v));
    mem_free(all);
    return n;
}
