/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/writer.h"

#include "controller/kube/backoff.h"
#include "controller/status/clock.h"
#include "controller/status/when.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <stdio.h>

enum {
    WRITES_A_SECOND = 50,
    WRITES_BURST = 100,
    IN_FLIGHT_MAX = 8,
    LOOKS_A_TURN = 128, /* each some microseconds */
    CALL_MS = 4000,     /* it is over before anybody else can lead (lease_rule.h) */
    REPAIR_MS = 10000,
    CONFLICT_MS = 500, /* so long for the store to hear what was faster */
    DENIED_MS = 60000,
    BODY_MAX = 256 << 10,
};

enum place {
    IDLE,    /* as it should be, as far as is known */
    LOOK,    /* to be compared */
    WAITING, /* until `when`, or an ack */
    DUE,     /* to be written */
    BUSY,    /* a request is under way */
};

/* What we have heard from the server ourselves, until the store's version is another one. */
struct heard {
    char *instead_of;       /* resourceVersion in the store; NULL: nothing was heard */
    char *version, *status; /* status: JSON, or NULL */
};

struct item {
    struct list link; /* of its place */
    enum place place;
    struct status_writer *writer;
    struct str key, ns, name; /* in the bytes behind the struct; key: of the map */
    enum kube_kind kind;

    uint64_t since;   /* of its change that is not written yet; 0: none */
    uint64_t version; /* of push, that its change is in; 0: any */
    bool unpublished; /* it is in none yet */
    uint64_t when;    /* WAITING: until then */

    struct kube_request *request;
    char *asked_at;   /* resourceVersion in the store when it was sent */
    uint64_t sending; /* hash of what is on its way */
    bool again;       /* something happened meanwhile */
    bool mine;        /* it is, or was a moment ago, of our class */
    bool gone;        /* the store has it no more: deleted, or of a class that is not read */

    uint64_t wrote;     /* hash of what we wrote last */
    uint64_t repair_at; /* what somebody else wrote over it is put right then; 0: nobody did */
    bool repaired, given_up;
    struct heard heard;
    char *conflict; /* the store's resourceVersion that was too old; NULL: none */
    struct backoff backoff;
};

struct denied { /* a kind in a namespace that we may not write */
    char *key;  /* "Route/shop" */
    uint64_t until;
};

struct status_writer {
    struct writer_config c;
    struct map items, denied;
    struct list places[BUSY + 1];
    size_t n[BUSY + 1]; /* items in each place */
    size_t n_given_up;
    struct when_fleet fleet;
    struct when_bucket bucket;
    struct backoff backoff; /* of the server as a whole */
    uint64_t not_before;
    struct prng prng;
    struct event *timer;
    bool leading, leaving;
    struct addresses addresses; /* the last that were known */
    char *address_texts[ADDRESSES_MAX];
    bool addresses_known;
    struct event *leave_timer;
    void (*left)(void *arg);
    void *left_arg;
    struct writer_counters counters;
};

static void pump(struct status_writer *w);

/* ---- items ---- */

static void wake(struct status_writer *w) {
    struct timeval now = {0};
    evtimer_add(w->timer, &now);
}

static void put(struct item *it, enum place place) {
    struct status_writer *w = it->writer;
    w->n[it->place]--;
    w->n[place]++;
    it->place = place;
    list_del(&it->link);
    list_append(&w->places[place], &it->link);
}

static struct item *first(struct status_writer *w, enum place place) {
    struct list *head = &w->places[place];
    return list_empty(head) ? NULL : list_entry(head->next, struct item, link);
}

static struct str key_of(enum kube_kind kind, struct str ns, struct str name, struct out *o) {
    out_fmt(o, "%s/%.*s/%.*s", kube_kinds[kind].kind, STR_FMT(ns), STR_FMT(name));
    return out_done(o);
}

static struct item *item_find(struct status_writer *w, const struct resource *r) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    return map_get(&w->items, key_of(r->kind, r->meta.namespace, r->meta.name, &o));
}

static struct item *item_get(struct status_writer *w, const struct resource *r) {
    struct item *it = item_find(w, r);
    if (it)
        return it;
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    struct str key = key_of(r->kind, r->meta.namespace, r->meta.name, &o);
    it = mem_zalloc(sizeof(*it) + key.n);
    char *bytes = (char *)(it + 1);
    memcpy(bytes, key.p, key.n);
    it->key = str_mk(bytes, key.n);
    it->name = str_mk(bytes + key.n - r->meta.name.n, r->meta.name.n);
    it->ns = str_mk(it->name.p - 1 - r->meta.namespace.n, r->meta.namespace.n);
    it->kind = r->kind;
    it->writer = w;
    list_init(&it->link);
    list_append(&w->places[IDLE], &it->link);
    w->n[IDLE]++;
    map_put(&w->items, it->key, it);
    return it;
}

static void heard_clear(struct heard *h) {
    mem_free(h->instead_of);
    mem_free(h->version);
    mem_free(h->status);
    *h = (struct heard){0};
}

/* What stands there is somebody else's, until there is something new to say. */
static void give_up(struct item *it, bool yes) {
    struct status_writer *w = it->writer;
    struct why why = {0};
    if (it->given_up == yes)
        return;
    it->given_up = yes;
    w->n_given_up = yes ? w->n_given_up + 1 : w->n_given_up - 1;
    w->counters.overwritten += yes;
    why_object(&why, "%s %.*s/%.*s", kube_kinds[it->kind].kind, STR_FMT(it->ns), STR_FMT(it->name));
    why_text(&why, "it was put right once, and is not as it should be again: is there a second "
                   "release of the same class, or an older schema of it?");
    if (yes)
        fault_set(w->c.faults, "overwritten", "a status is written by somebody else too", &why);
    else if (w->n_given_up == 0)
        fault_clear(w->c.faults, "overwritten");
}

static void item_free(struct item *it) {
    struct status_writer *w = it->writer;
    kube_cancel(it->request);
    give_up(it, false);
    w->n[it->place]--;
    list_del(&it->link);
    map_del(&w->items, it->key);
    heard_clear(&it->heard);
    mem_free(it->asked_at);
    mem_free(it->conflict);
    mem_free(it);
}

static void items_clear(struct status_writer *w) {
    for (unsigned p = 0; p <= BUSY; p++)
        while (first(w, p))
            item_free(first(w, p));
}

static void look_at(struct item *it) {
    if (it->place == BUSY) {
        it->again = true;
    } else if (it->place != LOOK) {
        put(it, LOOK);
        wake(it->writer);
    }
}

/* ---- one look ---- */

enum deed {
    NOTHING,
    TELL,  /* write what is wanted */
    CLEAR, /* take away what is ours */
    DROP,  /* it is not ours, or not there */
    LATER, /* the compiler is still to see this version */
    FIND,  /* ask the server whether it is still there, with something of ours in it */
};

struct sight {
    enum deed deed;
    const struct resource *r;
    struct arena a;
    cJSON *have;
    struct str version; /* resourceVersion that have is of */
    struct status_wanted want;
    struct addresses addresses; /* Ingress: what it is to have */
    struct body_look look;
    enum when_acks acks;
    uint64_t hash; /* of what is wanted */
};

static void sight_fini(struct sight *s) {
    cJSON_Delete(s->have);
    arena_fini(&s->a);
}

/* What stands at the server: as the store has read it, or as we have heard since. */
static void find_have(struct item *it, struct sight *s) {
    struct heard *h = &it->heard;
    struct str status = s->r->status;
    s->version = s->r->meta.resource_version;
    if (h->instead_of && str_eq(s->version, str_of(h->instead_of))) {
        s->version = str_of(h->version);
        status = str_of(h->status);
    } else {
        heard_clear(h);
    }
    s->have = status.n > 0 ? json_parse(status, NULL) : NULL;
}

static struct status_served served(struct item *it, const struct compile_status *c) {
    const struct status_fleet *f = &it->writer->c.fleet;
    if (it->unpublished) {
        it->version = f->version(f->arg);
        it->unpublished = it->version == 0;
    }
    return c->n_objects == 0 ? (struct status_served){0}
                             : f->serving(f->arg, c->objects, c->n_objects,
                                          it->unpublished ? UINT64_MAX : it->version);
}

static void compare_object(struct sight *s) {
    s->look = body_compare(s->have, &s->want);
    s->hash = body_hash(&s->want);
    s->deed = TELL;
}

/* A wholly refused one has no address: nothing would answer there for it. */
static void compare_ingress(struct status_writer *w, const struct compile_status *c,
                            struct sight *s) {
    s->deed = NOTHING;
    if (!w->addresses_known)
        return;
    if (c->n_objects > 0)
        s->addresses = w->addresses;
    s->look = ingress_compare(s->have, &s->addresses);
    s->hash = ingress_hash(&s->addresses);
    s->deed = TELL;
}

static void see(struct item *it, struct sight *s) {
    struct status_writer *w = it->writer;
    *s = (struct sight){.deed = DROP};
    arena_init(&s->a);
    s->r = store_get(w->c.store, it->kind, it->ns, it->name);
    if (!s->r) {
        s->deed = it->gone ? FIND : DROP;
        return;
    }
    it->gone = false;
    if (s->r->meta.deleting)
        return;
    const struct compile_status *c = compile_status(w->c.compiler, s->r);
    s->deed = LATER;
    if (!c || c->of != s->r->hash)
        return;
    find_have(it, s);
    s->deed = !c->ours || w->leaving ? (it->mine ? CLEAR : DROP) : TELL;
    if (s->deed != TELL)
        return;
    it->mine = true;
    struct status_served v = served(it, c);
    status_want(c, s->r, &v, &s->a, &s->want);
    s->acks = !s->want.counted || (v.ready > 0 && v.current == v.ready) ? WHEN_ALL
              : v.ready > 0                                             ? WHEN_SOME
                                                                        : WHEN_NONE;
    if (it->kind == KUBE_Ingress)
        compare_ingress(w, c, s);
    else
        compare_object(s);
}

/* ---- Events ---- */

static void say(struct status_writer *w, const struct sight *s, bool lasts) {
    for (unsigned t = STATUS_ACCEPTED; t <= STATUS_RESOLVED_REFS; t++) {
        const struct status_condition *c = &s->want.conditions[t];
        if (c->set && !c->value)
            event_say(w->c.events, s->r, status_types[t], c->reason, c->message, lasts);
        else
            event_over(w->c.events, s->r, status_types[t]);
    }
}

/* ---- deciding ---- */

static void wait_until(struct item *it, uint64_t when) {
    it->when = when;
    put(it, WAITING);
}

/* Somebody has written over what we wrote, and we have nothing new to say. */
static uint64_t when_to_repair(struct item *it, uint64_t now) {
    if (it->repair_at == 0)
        it->repair_at = now + REPAIR_MS;
    if (!it->repaired)
        return it->repair_at;
    give_up(it, true);
    return WHEN_NEVER;
}

static bool conflicts(struct item *it, const struct sight *s) {
    if (!it->conflict)
        return false;
    if (str_eq(str_of(it->conflict), s->r->meta.resource_version))
        return true;
    mem_free(it->conflict);
    it->conflict = NULL;
    return false;
}

static uint64_t when(struct item *it, const struct sight *s, uint64_t now) {
    struct status_writer *w = it->writer;
    if (s->deed == CLEAR || s->deed == FIND) {
        it->wrote = 0; /* if it comes back, it is as new */
        return now;
    }
    if (s->look.differs == BODY_SAME || s->deed == NOTHING) {
        it->since = it->repair_at = 0;
        give_up(it, false);
        return s->look.late && s->acks == WHEN_SOME ? now + WHEN_STABLE_MS : WHEN_NEVER;
    }
    if (it->since == 0)
        it->since = now;
    if (s->hash == it->wrote)
        return when_to_repair(it, now);
    it->repair_at = 0;
    it->repaired = false;
    give_up(it, false);
    return when_to_write(&s->look, s->acks, it->since, &w->fleet, now);
}

static void look(struct item *it, uint64_t now) {
    struct sight s;
    see(it, &s);
    if (s.deed == DROP) {
        sight_fini(&s);
        item_free(it);
        return;
    }
    if (it->kind == KUBE_Ingress && (s.deed == TELL || s.deed == NOTHING) &&
        it->writer->fleet.known)
        say(it->writer, &s, true);
    uint64_t at = s.deed == LATER ? now + WHEN_ACKS_MS : when(it, &s, now);
    if (at == WHEN_NEVER)
        put(it, IDLE);
    else if (s.r && conflicts(it, &s) && now < it->when)
        put(it, WAITING);
    else if (at <= now)
        put(it, DUE);
    else
        wait_until(it, at);
    sight_fini(&s);
}

/* ---- requests ---- */

static void print_path(const struct item *it, struct str sub, struct out *o) {
    const struct kube_kind_info *k = &kube_kinds[it->kind];
    kube_path(o, k->group, k->version, k->plural, it->ns, it->name, sub);
}

/* If the store has moved since the request, it knows as much, or more. */
static void hear(struct item *it, struct str body) {
    cJSON *json = json_parse(body, NULL);
    struct str version = json_text(json_get(json, "metadata"), "resourceVersion");
    const cJSON *status = json_get(json, "status");
    char *text = status ? cJSON_PrintUnformatted(status) : NULL;
    heard_clear(&it->heard);
    if (it->asked_at && version.n > 0) {
        it->heard.instead_of = it->asked_at;
        it->asked_at = NULL;
        it->heard.version = str_dup(version);
        it->heard.status = text ? str_dup(str_of(text)) : NULL;
    }
    cJSON_free(text);
    cJSON_Delete(json);
}

static void fault_key(const struct item *it, char key[80]) {
    snprintf(key, 80, "write %s %.*s", kube_kinds[it->kind].kind, STR_FMT(it->ns));
}

static void denied_key(const struct item *it, struct out *o) {
    out_fmt(o, "%s/%.*s", kube_kinds[it->kind].kind, STR_FMT(it->ns));
}

static void deny(struct item *it, uint64_t until) {
    struct status_writer *w = it->writer;
    char room[512];
    struct out o = out_fixed(room, sizeof(room));
    denied_key(it, &o);
    struct denied *d = map_get(&w->denied, out_done(&o));
    if (!d) {
        d = mem_zalloc(sizeof(*d));
        d->key = str_dup(out_done(&o));
        map_put(&w->denied, str_of(d->key), d);
    }
    d->until = until;
}

/* When its kind may be tried again in its namespace; 0: now. */
static uint64_t denied_until(const struct item *it) {
    char room[512];
    struct out o = out_fixed(room, sizeof(room));
    denied_key(it, &o);
    const struct denied *d = map_get(&it->writer->denied, out_done(&o));
    return d ? d->until : 0;
}

static void allow(struct item *it) {
    struct status_writer *w = it->writer;
    char room[512], key[80];
    struct out o = out_fixed(room, sizeof(room));
    denied_key(it, &o);
    struct denied *d = map_del(&w->denied, out_done(&o));
    fault_key(it, key);
    fault_clear(w->c.faults, key);
    if (d)
        mem_free(d->key);
    mem_free(d);
}

static void refused(struct item *it, const struct kube_answer *a, uint64_t now) {
    char key[80], what[160];
    fault_key(it, key);
    snprintf(what, sizeof(what), "the status of %s%s%.*s is not written",
             kube_kinds[it->kind].plural, it->ns.n > 0 ? " in namespace " : "", STR_FMT(it->ns));
    fault_set(it->writer->c.faults, key, what, &a->why);
    if (a->status == 403)
        deny(it, now + DENIED_MS);
    wait_until(it, now + DENIED_MS);
}

static void written(struct item *it, const struct kube_answer *a) {
    struct status_writer *w = it->writer;
    w->counters.writes[it->kind]++;
    backoff_reset(&it->backoff);
    backoff_reset(&w->backoff);
    allow(it);
    hear(it, a->body);
    it->repaired = it->sending == it->wrote;
    it->wrote = it->sending;
    it->repair_at = 0;
    it->since = it->again ? it->since : 0;
    if (w->leaving || it->sending == 0)
        it->mine = false;
    put(it, LOOK);
}

static void conflicted(struct item *it, uint64_t now) {
    struct status_writer *w = it->writer;
    w->counters.conflicts++;
    mem_free(it->conflict);
    it->conflict = it->asked_at;
    it->asked_at = NULL;
    heard_clear(&it->heard);
    wait_until(it, now + CONFLICT_MS);
    if (it->again)
        put(it, LOOK);
}

/* Nobody answers, or the server is not well: all wait. */
static void ill(struct item *it, const struct kube_answer *a, uint64_t now) {
    struct status_writer *w = it->writer;
    w->not_before = now + backoff_next(&w->backoff, &w->prng, a->retry_after_ms);
    log_info("status", "a status was not written, all wait: %s: %s", a->why.object, a->why.text);
    put(it, DUE);
}

static void on_written(void *arg, const struct kube_answer *a) {
    struct item *it = arg;
    struct status_writer *w = it->writer;
    uint64_t now = status_now_ms();
    it->request = NULL;
    if (a->status / 100 != 2 && a->status != 409)
        w->counters.failures++;
    if (a->status / 100 == 2)
        written(it, a);
    else if (a->status == 409)
        conflicted(it, now);
    else if (a->status == 404)
        wait_until(it, now + DENIED_MS); /* gone: the store will hear of it */
    else if (a->status >= 400 && a->status < 500 && a->status != 401 && a->status != 408 &&
             a->status != 429)
        refused(it, a, now);
    else
        ill(it, a, now);
    wake(w);
}

static void on_reread(void *arg, const struct kube_answer *a) {
    struct item *it = arg;
    it->request = NULL;
    mem_free(it->conflict);
    it->conflict = NULL;
    if (a->status == 200)
        hear(it, a->body);
    else if (a->status != 404)
        ill(it, a, status_now_ms());
    put(it, LOOK);
    wake(it->writer);
}

static void call(struct item *it, const char *method, struct str sub, struct str body,
                 void (*on_end)(void *arg, const struct kube_answer *a)) {
    char room[1024];
    struct out path = out_fixed(room, sizeof(room));
    const struct resource *r = store_get(it->writer->c.store, it->kind, it->ns, it->name);
    print_path(it, sub, &path);
    mem_free(it->asked_at);
    it->asked_at = r ? str_dup(r->meta.resource_version) : NULL;
    it->again = false;
    put(it, BUSY);
    it->request =
        kube_call(it->writer->c.client,
                  &(struct kube_call){.method = method,
                                      .path = out_done(&path),
                                      .body = body,
                                      .type = body.n > 0 ? "application/merge-patch+json" : NULL,
                                      .timeout_ms = CALL_MS,
                                      .on_end = on_end,
                                      .arg = it});
}

/* ---- what left our class and is not read any more ---- */

/* Whatever came of it: it is somebody else's, or gone. */
static void on_cleared(void *arg, const struct kube_answer *a) {
    struct item *it = arg;
    struct status_writer *w = it->writer;
    it->request = NULL;
    w->counters.writes[it->kind] += a->status / 100 == 2;
    w->counters.conflicts += a->status == 409;
    it->mine = it->gone = a->status == 409;
    put(it, LOOK);
    wake(w);
}

static bool print_clear(const struct item *it, const cJSON *have, uint64_t generation,
                        struct out *o) {
    return it->kind == KUBE_Ingress ? ingress_clear(have, &it->writer->addresses, o)
                                    : body_clear(have, generation, o);
}

static bool print_found(const struct item *it, const cJSON *json, struct out *o) {
    const cJSON *meta = json_get(json, "metadata"), *generation = json_get(meta, "generation");
    if (!json || json_get(meta, "deletionTimestamp"))
        return false;
    out_lit(o, "{\"metadata\":{\"resourceVersion\":");
    out_json(o, json_text(meta, "resourceVersion"));
    out_lit(o, "},\"status\":");
    bool any = print_clear(it, json_get(json, "status"),
                           cJSON_IsNumber(generation) && generation->valuedouble > 0
                               ? (uint64_t)generation->valuedouble
                               : 0,
                           o);
    out_char(o, '}');
    return any && !o->over;
}

static void on_found(void *arg, const struct kube_answer *a) {
    struct item *it = arg;
    struct out o = out_heap(BODY_MAX);
    cJSON *json = a->status == 200 ? json_parse(a->body, NULL) : NULL;
    it->request = NULL;
    if (print_found(it, json, &o) && it->writer->c.leads(it->writer->c.arg)) {
        call(it, "PATCH", STR("status"), out_done(&o), on_cleared);
    } else {
        it->mine = it->gone = false;
        put(it, LOOK);
        wake(it->writer);
    }
    out_fini(&o);
    cJSON_Delete(json);
}

/* ---- writing ---- */

static bool print_status(struct item *it, const struct sight *s, struct out *o) {
    if (s->deed == CLEAR)
        return print_clear(it, s->have, s->r->meta.generation, o);
    if (it->kind == KUBE_Ingress)
        ingress_write(&s->addresses, o);
    else
        body_write(s->have, &s->want, status_unix_s(), o);
    return true;
}

static bool print_patch(struct item *it, const struct sight *s, struct out *o) {
    out_lit(o, "{\"metadata\":{\"resourceVersion\":");
    out_json(o, s->version);
    out_lit(o, "},\"status\":");
    bool any = print_status(it, s, o);
    out_char(o, '}');
    return any && !o->over;
}

static void send_status(struct item *it, const struct sight *s) {
    struct status_writer *w = it->writer;
    struct out o = out_heap(BODY_MAX);
    if (print_patch(it, s, &o)) {
        it->sending = s->deed == CLEAR ? 0 : s->hash;
        if (s->deed == TELL && s->look.flipped && kube_is_ours(it->kind))
            say(w, s, false);
        call(it, "PATCH", STR("status"), out_done(&o), on_written);
    } else {
        it->mine = false; /* nothing of ours is there */
        put(it, LOOK);
        wake(w);
    }
    out_fini(&o);
}

/* Its turn has come: what is to be written is seen now, and may have changed. */
static void take_turn(struct item *it, uint64_t now) {
    struct sight s;
    uint64_t denied = it->writer->leaving ? 0 : denied_until(it);
    see(it, &s);
    if (s.deed == DROP)
        item_free(it);
    else if (denied > now)
        wait_until(it, denied);
    else if (s.deed == LATER || when(it, &s, now) > now)
        put(it, LOOK);
    else if (s.deed == FIND)
        call(it, "GET", STR_NONE, STR_NONE, on_found);
    else if (conflicts(it, &s))
        call(it, "GET", STR_NONE, STR_NONE, on_reread);
    else if (when_take(&it->writer->bucket, now) || it->writer->leaving)
        send_status(it, &s);
    sight_fini(&s);
}

/* At an uninstall the limit does not hold: there is an end to the time that is left. */
static bool may_write(struct status_writer *w, uint64_t now) {
    return w->n[DUE] > 0 && w->n[BUSY] < IN_FLIGHT_MAX && now >= w->not_before &&
           w->c.leads(w->c.arg) && (w->leaving || when_next(&w->bucket, now) <= now);
}

static void end_waits(struct status_writer *w, uint64_t now) {
    list_each_safe(link, &w->places[WAITING]) {
        struct item *it = list_entry(link, struct item, link);
        if (it->when <= now)
            put(it, LOOK);
    }
}

static void arm(struct status_writer *w, uint64_t now) {
    uint64_t at = when_fleet_next(&w->fleet);
    list_each(link, &w->places[WAITING]) {
        uint64_t when_it = list_entry(link, struct item, link)->when;
        at = when_it < at ? when_it : at;
    }
    if (w->n[DUE] > 0 && w->n[BUSY] < IN_FLIGHT_MAX) {
        uint64_t next = when_next(&w->bucket, now);
        next = next > w->not_before ? next : w->not_before;
        next = next > now ? next : now + 1000; /* we do not lead by the clock: we shall be told */
        at = next < at ? next : at;
    }
    if (w->n[LOOK] > 0)
        at = now;
    if (at == WHEN_NEVER)
        return;
    uint64_t ms = at > now ? at - now : 0;
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(w->timer, &tv);
}

static void look_at_all(struct status_writer *w, enum place place) {
    list_each_safe(link, &w->places[place])
        put(list_entry(link, struct item, link), LOOK);
}

static void pump(struct status_writer *w) {
    uint64_t now = status_now_ms();
    if (when_fleet_settled(&w->fleet, now)) {
        look_at_all(w, IDLE);
        look_at_all(w, WAITING);
    }
    end_waits(w, now);
    for (int i = 0; i < LOOKS_A_TURN && first(w, LOOK); i++)
        look(first(w, LOOK), now);
    while (may_write(w, now))
        take_turn(first(w, DUE), now);
    if (w->leaving && w->left && w->n[LOOK] + w->n[WAITING] + w->n[DUE] + w->n[BUSY] == 0) {
        void (*left)(void *arg) = w->left;
        w->left = NULL;
        left(w->left_arg);
        return;
    }
    arm(w, now);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    pump(arg);
}

/* ---- what happens ---- */

void writer_lead(struct status_writer *w, bool leads) {
    if (leads == w->leading)
        return;
    w->leading = leads;
    if (!leads) {
        items_clear(w);
        events_forget(w->c.events);
        return;
    }
    for (enum kube_kind k = 1; k < KUBE_KINDS; k++)
        for (const struct resource *r = NULL;
             kube_has_status(k) && (r = store_next(w->c.store, k, r));)
            look_at(item_get(w, r));
}

void writer_changed(struct status_writer *w, const struct resource *r) {
    if (!w->leading || w->leaving || !kube_has_status(r->kind))
        return;
    struct item *it = item_get(w, r);
    it->unpublished = true;
    if (it->since == 0 || it->place == BUSY)
        it->since = status_now_ms();
    look_at(it);
}

void writer_version(struct status_writer *w, const struct resource *was,
                    const struct resource *now) {
    struct item *it = w->leading ? item_find(w, now ? now : was) : NULL;
    if (!it)
        return;
    it->gone = !now && it->mine && !was->meta.deleting;
    look_at(it);
}

void writer_fleet(struct status_writer *w, size_t ready, size_t behind) {
    when_fleet_seen(&w->fleet, ready, behind, status_now_ms());
    if (w->fleet.known)
        look_at_all(w, WAITING);
    wake(w);
}

static void forget_addresses(struct status_writer *w) {
    for (size_t i = 0; i < w->addresses.n; i++)
        mem_free(w->address_texts[i]);
    w->addresses.n = 0;
}

void writer_addresses(struct status_writer *w, const struct addresses *a) {
    w->addresses_known = a != NULL;
    if (!a)
        return; /* the last ones stay: they are what is to be taken away at an uninstall */
    forget_addresses(w);
    for (size_t i = 0; i < a->n; i++) {
        bool ip = a->v[i].ip.n > 0;
        w->address_texts[i] = str_dup(ip ? a->v[i].ip : a->v[i].hostname);
        struct str text = str_of(w->address_texts[i]);
        w->addresses.v[i] = ip ? (struct address){.ip = text} : (struct address){.hostname = text};
    }
    w->addresses.n = a->n;
    for (const struct resource *r = NULL;
         w->leading && (r = store_next(w->c.store, KUBE_Ingress, r));)
        if (item_find(w, r))
            look_at(item_find(w, r));
}

/* ---- the end of the release ---- */

static void on_late(evutil_socket_t fd, short what, void *arg) {
    struct status_writer *w = arg;
    void (*left)(void *arg) = w->left;
    (void)fd, (void)what;
    w->left = NULL;
    if (left)
        left(w->left_arg);
}

void writer_leave(struct status_writer *w, uint64_t within_ms, void (*done)(void *arg), void *arg) {
    struct timeval tv = {(time_t)(within_ms / 1000), (suseconds_t)(within_ms % 1000 * 1000)};
    w->leaving = true;
    w->left = done;
    w->left_arg = arg;
    w->not_before = 0;
    for (unsigned p = 0; p <= BUSY; p++)
        list_each_safe(link, &w->places[p]) {
            struct item *it = list_entry(link, struct item, link);
            if (it->kind != KUBE_Ingress)
                item_free(it);
            else
                look_at(it);
        }
    evtimer_add(w->leave_timer, &tv);
    wake(w);
}

/* ---- life ---- */

struct status_writer *writer_new(const struct writer_config *config) {
    struct status_writer *w = mem_zalloc(sizeof(*w));
    w->c = *config;
    map_init(&w->items);
    map_init(&w->denied);
    for (unsigned p = 0; p <= BUSY; p++)
        list_init(&w->places[p]);
    when_fleet_init(&w->fleet, status_now_ms());
    w->bucket = (struct when_bucket){WRITES_A_SECOND, WRITES_BURST, 0};
    prng_init(&w->prng);
    w->timer = evtimer_new(config->base, on_timer, w);
    w->leave_timer = evtimer_new(config->base, on_late, w);
    wake(w);
    return w;
}

void writer_free(struct status_writer *w) {
    if (!w)
        return;
    items_clear(w);
    for (struct map_slot *s = NULL; (s = map_next(&w->denied, s));) {
        mem_free(((struct denied *)s->value)->key);
        mem_free(s->value);
    }
    map_fini(&w->denied);
    map_fini(&w->items);
    forget_addresses(w);
    event_free(w->timer);
    event_free(w->leave_timer);
    mem_free(w);
}

const struct writer_counters *writer_counters(const struct status_writer *w) {
    return &w->counters;
}

size_t writer_pending(const struct status_writer *w) {
    return w->n[LOOK] + w->n[WAITING] + w->n[DUE] + w->n[BUSY];
}
