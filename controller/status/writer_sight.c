/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/writer_parts.h"

#include "lib/mem.h"

void sight_fini(struct sight *s) {
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

/* While the fleet is pinned: of whatever class a new one is, it is told so if it is of our group.
 */
static void see_held_back(struct item *it, struct sight *s) {
    struct status_writer *w = it->writer;
    const struct resource *counts = store_get(w->c.store, it->kind, it->ns, it->name);
    const struct compile_status *c = counts ? compile_status(w->c.compiler, counts) : NULL;
    s->deed = DROP;
    if (w->leaving || (c ? !c->ours : !kube_is_ours(it->kind)))
        return;
    find_have(it, s);
    it->mine = true;
    it->cleared = false;
    status_want_held_back(s->r, store_is_frozen(w->c.store), &s->a, &s->want);
    s->acks = WHEN_ALL;
    s->deed = TELL;
    if (it->kind == KUBE_Ingress)
        s->deed = NOTHING; /* the addresses stay as they are */
    else
        compare_object(s);
}

void sight_see(struct item *it, struct sight *s) {
    struct status_writer *w = it->writer;
    *s = (struct sight){.deed = DROP};
    arena_init(&s->a);
    s->r = store_said(w->c.store, it->kind, it->ns, it->name);
    if (!s->r) {
        s->deed = it->gone ? FIND : DROP;
        return;
    }
    it->gone = false;
    if (s->r->meta.deleting)
        return;
    if (store_is_held_back(w->c.store, it->kind, it->ns, it->name)) {
        see_held_back(it, s);
        return;
    }
    const struct compile_status *c = compile_status(w->c.compiler, s->r);
    s->deed = LATER;
    if (!c || c->of != s->r->hash)
        return;
    find_have(it, s);
    it->mine |= c->ours;
    s->deed = c->ours && !w->leaving ? TELL : it->mine && !it->cleared ? CLEAR : DROP;
    if (s->deed != TELL)
        return;
    it->cleared = false;
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

void sight_say(struct status_writer *w, const struct sight *s, bool lasts) {
    for (unsigned t = STATUS_ACCEPTED; t <= STATUS_RESOLVED_REFS; t++) {
        const struct status_condition *c = &s->want.conditions[t];
        if (c->set && !c->value)
            event_say(w->c.events, s->r, status_types[t], c->reason, c->message, lasts);
        else
            event_over(w->c.events, s->r, status_types[t]);
    }
    const struct status_condition *p = &s->want.conditions[STATUS_PROGRAMMED];
    if (p->set && strcmp(p->reason, "HeldBack") == 0)
        event_say(w->c.events, s->r, status_types[STATUS_PROGRAMMED], p->reason, p->message, lasts);
    else
        event_over(w->c.events, s->r, status_types[STATUS_PROGRAMMED]);
}

/* ---- deciding ---- */

/* Somebody has written over what we wrote, and we have nothing new to say. */
static uint64_t when_to_repair(struct item *it, uint64_t now) {
    if (it->repair_at == 0)
        it->repair_at = now + REPAIR_MS;
    if (!it->repaired)
        return it->repair_at;
    item_give_up(it, true);
    return WHEN_NEVER;
}

bool item_conflicts(struct item *it, const struct sight *s) {
    if (!it->conflict)
        return false;
    if (str_eq(str_of(it->conflict), s->r->meta.resource_version))
        return true;
    mem_free(it->conflict);
    it->conflict = NULL;
    return false;
}

uint64_t sight_when(struct item *it, const struct sight *s, uint64_t now) {
    struct status_writer *w = it->writer;
    if (s->deed == CLEAR || s->deed == FIND) {
        it->wrote = 0; /* if it comes back, it is as new */
        return now;
    }
    if (s->look.differs == BODY_SAME || s->deed == NOTHING) {
        it->since = it->repair_at = 0;
        item_give_up(it, false);
        return s->look.late && s->acks == WHEN_SOME ? now + WHEN_STABLE_MS : WHEN_NEVER;
    }
    if (it->since == 0)
        it->since = now;
    if (s->hash == it->wrote)
        return when_to_repair(it, now);
    it->repair_at = 0;
    it->repaired = false;
    item_give_up(it, false);
    return when_to_write(&s->look, s->acks, it->since, &w->fleet, now);
}
