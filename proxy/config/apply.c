/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/apply.h"

#include "lib/list.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/object_set.h"
#include "proxy/route/snapshot.h"

enum { REMOVED = MODEL_KIND_NONE }; /* kind of a staged removal */

struct transaction {
    bool open, has_buckets;
    uint64_t number;
    char buckets[WIRE_BUCKETS_BYTES];
    struct wire_ids held;
    struct object_set staged;
    struct arena arena;
    struct wire_fault *faults; /* WIRE_FAULTS_MAX, in arena; NULL = none yet */
    uint32_t n_faults;
};

struct pending { /* an ack that waits for the workers */
    struct list link;
    uint64_t serial;
    struct wire_ack ack;
};

struct apply {
    struct builder *builder;
    struct object_set objects; /* each held */
    struct digest digest;      /* of all of them */
    bool ready;
    struct transaction tx;
    /* Digest of the held objects: no transaction touches those that it holds, so it stays true as
     * long as the same ids are held. */
    struct wire_ids held;
    struct digest held_digest;
    struct list pending;
    uint64_t serial, adopted; /* of the last transaction's snapshot; adopted by all */
    struct apply_events events;
    void *arg;
};

static bool is_removal(const struct object *o) { return o->kind == REMOVED; }

/* ---- staging ---- */

static void tx_drop(struct apply *a) {
    struct transaction *t = &a->tx;
    for (struct object **o = NULL; (o = object_set_next(&t->staged, o));)
        object_drop(*o);
    object_set_fini(&t->staged);
    wire_ids_fini(&t->held);
    arena_fini(&t->arena);
    *t = (struct transaction){0};
}

static void stage(struct apply *a, struct object *o) {
    object_drop(object_set_put(&a->tx.staged, o));
}

static void stage_removal(struct apply *a, struct str id) {
    struct object *o = object_from_bytes(REMOVED, id, STR_NONE, NULL);
    if (o) /* an id that cannot be is not here either */
        stage(a, o);
}

static void fault(struct apply *a, struct str id, uint64_t hash, const struct why *why) {
    struct transaction *t = &a->tx;
    char room[sizeof(*why) + 8];
    struct out o = out_fixed(room, sizeof(room));
    if (t->n_faults == WIRE_FAULTS_MAX)
        return; /* the next nack names the others */
    if (!t->faults)
        t->faults = arena_array(&t->arena, WIRE_FAULTS_MAX, sizeof(*t->faults));
    why_print(why, &o);
    t->faults[t->n_faults++] = (struct wire_fault){
        arena_str(&t->arena, str_mk(id.p, size_min(id.n, MODEL_ID_MAX))),
        arena_str(&t->arena, out_done(&o)),
        hash,
    };
}

static void on_begin(struct apply *a, const struct wire_begin *m) {
    tx_drop(a);
    a->tx.open = true;
    a->tx.number = m->tx;
    a->tx.has_buckets = m->buckets.n == WIRE_BUCKETS_BYTES;
    if (a->tx.has_buckets)
        memcpy(a->tx.buckets, m->buckets.p, WIRE_BUCKETS_BYTES);
}

static void on_hold(struct apply *a, const struct wire_hold *m) {
    for (uint32_t i = 0; i < m->n_ids; i++)
        if (m->ids[i].n > 0)
            wire_ids_add(&a->tx.held, m->ids[i]);
}

static void on_put(struct apply *a, const struct wire_put *m) {
    struct why why = {0};
    struct object *o = NULL;
    if (m->kind == REMOVED || m->kind > UINT32_MAX)
        why_text(&why, "kind %llu is not one of an object", (unsigned long long)m->kind);
    else
        o = object_from_bytes((uint32_t)m->kind, m->id, m->bytes, &why);
    if (!o)
        fault(a, m->id, 0, &why);
    else if (wire_ids_match(&a->tx.held, object_id(o)))
        object_drop(o);
    else
        stage(a, o);
}

static void remove_prefix(struct apply *a, struct str prefix) {
    for (struct object **o = NULL; (o = object_set_next(&a->objects, o));)
        if (str_starts(object_id(*o), prefix) && !wire_ids_match(&a->tx.held, object_id(*o)))
            stage_removal(a, object_id(*o));
    /* what this transaction itself has put before */
    for (struct object **o = NULL; (o = object_set_next(&a->tx.staged, o));) {
        if (!str_starts(object_id(*o), prefix) || is_removal(*o))
            continue;
        struct object *before = *o;
        *o = object_from_bytes(REMOVED, object_id(before), STR_NONE, NULL);
        object_drop(before);
    }
}

static void on_del(struct apply *a, struct str id) {
    if (wire_is_prefix(id))
        remove_prefix(a, id);
    else if (!wire_ids_match(&a->tx.held, id))
        stage_removal(a, id);
}

/* ---- commit ---- */

/* Objects of the buckets that are replaced whole and were not sent again. */
static void remove_unsent(struct apply *a) {
    struct str buckets = str_mk(a->tx.buckets, WIRE_BUCKETS_BYTES);
    if (!a->tx.has_buckets)
        return; /* a delta costs what it changes */
    for (struct object **o = NULL; (o = object_set_next(&a->objects, o));)
        if (wire_bucket_in(buckets, object_bucket(*o)) &&
            !object_set_get(&a->tx.staged, object_id(*o)) &&
            !wire_ids_match(&a->tx.held, object_id(*o)))
            stage_removal(a, object_id(*o));
}

/* Leaves in the staging only what differs from what is there. */
static void remove_equal(struct apply *a) {
    struct object_set rest = {0};
    for (struct object **o = NULL; (o = object_set_next(&a->tx.staged, o));) {
        const struct object *now = object_set_get(&a->objects, object_id(*o));
        if (is_removal(*o) ? !now : now && now->hash == (*o)->hash)
            object_drop(*o);
        else
            object_set_put(&rest, *o);
    }
    object_set_fini(&a->tx.staged);
    a->tx.staged = rest;
}

static struct digest digest_after(const struct apply *a) {
    struct digest d = a->digest;
    for (struct object **o = NULL; (o = object_set_next(&a->tx.staged, o));) {
        struct object *now = object_set_get(&a->objects, object_id(*o));
        if (now)
            digest_sub(&d, now);
        if (!is_removal(*o))
            digest_add(&d, *o);
    }
    return d;
}

static void recount_held(struct apply *a) {
    if (wire_ids_equal(&a->held, &a->tx.held))
        return;
    wire_ids_fini(&a->held);
    a->held = a->tx.held;
    wire_ids_init(&a->tx.held);
    a->held_digest = (struct digest){0};
    for (struct object **o = NULL; (o = object_set_next(&a->objects, o));)
        if (wire_ids_match(&a->held, object_id(*o)))
            digest_add(&a->held_digest, *o);
}

static uint64_t total_without_held(const struct apply *a, const struct digest *all) {
    struct digest d = *all;
    for (size_t i = 0; i < MODEL_BUCKETS; i++)
        d.bucket[i] -= a->held_digest.bucket[i];
    return digest_total(&d);
}

static void on_bad(void *arg, struct str id, const struct why *why) {
    struct apply *a = arg;
    const struct object *o = object_set_get(&a->tx.staged, id);
    if (!o)
        o = object_set_get(&a->objects, id);
    fault(a, id, o ? o->hash : 0, why);
}

static void tell_builder(struct apply *a, struct object *o) {
    if (is_removal(o))
        builder_del(a->builder, object_id(o));
    else
        builder_put(a->builder, object_hold(o));
}

static struct snapshot *build(struct apply *a, uint64_t revision) {
    builder_begin(a->builder);
    for (struct object **o = NULL; (o = object_set_next(&a->tx.staged, o));)
        tell_builder(a, *o);
    return builder_commit(a->builder, revision, on_bad, a);
}

/* The staged objects become the served ones. */
static void replace(struct apply *a, const struct digest *after) {
    for (struct object **s = NULL; (s = object_set_next(&a->tx.staged, s));) {
        struct object *o = *s;
        struct object *before = is_removal(o) ? object_set_del(&a->objects, object_id(o))
                                              : object_set_put(&a->objects, object_hold(o));
        if ((before ? before : o)->kind == MODEL_KIND_backend)
            a->events.backend(a->arg, before, is_removal(o) ? NULL : o);
        object_drop(before);
    }
    a->digest = *after;
    a->ready = true;
}

static void publish(struct apply *a, struct snapshot *s) {
    a->serial = s->serial;
    a->events.accepted(a->arg);
    a->events.publish(a->arg, s);
}

static void send_acks(struct apply *a) {
    while (!list_empty(&a->pending)) {
        struct pending *p = list_entry(a->pending.next, struct pending, link);
        if (p->serial > a->adopted)
            return;
        list_del(&p->link);
        a->events.ack(a->arg, &p->ack);
        mem_free(p);
    }
}

static void ack_when_adopted(struct apply *a, uint64_t digest) {
    struct pending *p = mem_zalloc(sizeof(*p));
    p->ack = (struct wire_ack){a->tx.number, digest, digest_total(&a->digest)};
    p->serial = a->serial;
    list_append(&a->pending, &p->link);
    send_acks(a);
}

static void refuse(struct apply *a) {
    struct wire_nack m = {a->tx.number, a->tx.faults, a->tx.n_faults};
    log_warn("config",
             "transaction refused, the last good state is kept tx=%llu faults=%u first=%.*s",
             (unsigned long long)m.tx, m.n_faults,
             STR_FMT(m.n_faults ? m.faults[0].reason : STR("the digests differ")));
    a->events.nack(a->arg, &m);
}

static void commit(struct apply *a, uint64_t expected) {
    remove_unsent(a);
    remove_equal(a);
    recount_held(a);
    struct digest after = digest_after(a);
    if (total_without_held(a, &after) != expected) {
        refuse(a);
        a->events.greet(a->arg);
        return;
    }
    struct snapshot *s = NULL;
    if (a->tx.staged.n > 0 || !a->ready) {
        s = build(a, digest_total(&after));
        if (!s) {
            if (a->tx.n_faults == 0)
                fault(a, STR_NONE, 0, &(struct why){.text = "the configuration could not be built"});
            refuse(a);
            return;
        }
    }
    replace(a, &after);
    /* The serial of s is known before its ack is queued, and it is queued before workers adopt. */
    if (s)
        a->serial = s->serial;
    ack_when_adopted(a, expected);
    if (s)
        publish(a, s);
}

static void on_commit(struct apply *a, const struct wire_commit *m) {
    if (m->tx != a->tx.number)
        log_warn("config", "a commit of another transaction is ignored");
    else if (a->tx.n_faults > 0)
        refuse(a);
    else
        commit(a, m->digest);
    tx_drop(a);
}

/* ---- interface ---- */

void apply_message(struct apply *a, const struct wire_message *m) {
    if (m->type == WIRE_begin)
        on_begin(a, &m->begin);
    else if (!a->tx.open)
        return;
    else if (m->type == WIRE_hold)
        on_hold(a, &m->hold);
    else if (m->type == WIRE_put)
        on_put(a, &m->put);
    else if (m->type == WIRE_del)
        on_del(a, m->del.id);
    else if (m->type == WIRE_commit)
        on_commit(a, &m->commit);
}

void apply_abort(struct apply *a) {
    if (a->tx.open)
        log_warn("config", "the link was lost inside a transaction, which is dropped tx=%llu",
                 (unsigned long long)a->tx.number);
    tx_drop(a);
}

void apply_adopted(struct apply *a, uint64_t serial) {
    if (serial > a->adopted)
        a->adopted = serial;
    send_acks(a);
}

static void drop_named(struct apply *a) {
    for (uint32_t i = 0; i < a->tx.n_faults; i++) {
        struct wire_fault *f = &a->tx.faults[i];
        log_warn("config", "an object of the last good file is left out: %.*s id=%.*s",
                 STR_FMT(f->reason), STR_FMT(f->id));
        object_drop(object_set_del(&a->tx.staged, f->id));
    }
    a->tx.n_faults = 0;
}

bool apply_load(struct apply *a, struct object **objects, size_t n) {
    tx_drop(a);
    for (size_t i = 0; i < n; i++)
        stage(a, objects[i]);
    struct snapshot *s = NULL;
    struct digest after;
    for (size_t left = SIZE_MAX; !s && a->tx.staged.n < left;) {
        left = a->tx.staged.n;
        after = digest_after(a);
        s = build(a, digest_total(&after));
        drop_named(a);
    }
    if (s) {
        replace(a, &after);
        publish(a, s);
    }
    tx_drop(a);
    return s != NULL;
}

static void on_local_bad(void *arg, struct str id, const struct why *why) {
    (void)arg;
    log_error("config", "an object of our own is refused: %s id=%.*s", why->text, STR_FMT(id));
}

void apply_local(struct apply *a, struct object *const *objects, size_t n) {
    builder_begin(a->builder);
    for (size_t i = 0; i < n; i++)
        tell_builder(a, objects[i]);
    struct snapshot *s = builder_commit(a->builder, apply_revision(a), on_local_bad, NULL);
    if (s)
        a->events.publish(a->arg, s);
}

bool apply_ready(const struct apply *a) { return a->ready; }
uint64_t apply_revision(const struct apply *a) { return digest_total(&a->digest); }
size_t apply_count(const struct apply *a) { return a->objects.n; }

void apply_hello(const struct apply *a, struct wire_hello *m, char room[WIRE_DIGEST_BYTES]) {
    wire_digest_pack(&a->digest, room);
    m->model_version = MODEL_VERSION;
    m->version = str_of(sluice_version);
    m->digest = str_mk(room, WIRE_DIGEST_BYTES);
    m->revision = apply_revision(a);
    /* Before every worker has it, nothing is served: the controller's answer is a transaction
     * without a change, and that is acked when they have. */
    m->ready = a->ready && a->serial <= a->adopted;
}

struct object **apply_objects(const struct apply *a, const struct wire_ids *ids, size_t *n) {
    struct object **found = mem_array(a->objects.n, sizeof(struct object *));
    *n = 0;
    for (struct object **o = NULL; (o = object_set_next(&a->objects, o));)
        if (!ids || wire_ids_match(ids, object_id(*o)))
            found[(*n)++] = object_hold(*o);
    return found;
}

struct apply *apply_new(const struct apply_events *events, void *arg) {
    struct apply *a = mem_zalloc(sizeof(*a));
    a->builder = builder_new();
    a->events = *events;
    a->arg = arg;
    list_init(&a->pending);
    return a;
}

void apply_free(struct apply *a) {
    if (!a)
        return;
    tx_drop(a);
    for (struct list *link; (link = list_pop(&a->pending));)
        mem_free(list_entry(link, struct pending, link));
    for (struct object **o = NULL; (o = object_set_next(&a->objects, o));)
        object_drop(*o);
    object_set_fini(&a->objects);
    wire_ids_fini(&a->held);
    builder_free(a->builder);
    mem_free(a);
}
