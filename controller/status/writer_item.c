/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/writer_parts.h"

#include "lib/mem.h"

#include <event2/event.h>
#include <stdio.h>

void writer_wake(struct status_writer *w) {
    struct timeval now = {0};
    evtimer_add(w->timer, &now);
}

void item_put(struct item *it, enum place place) {
    struct status_writer *w = it->writer;
    w->n[it->place]--;
    w->n[place]++;
    it->place = place;
    list_del(&it->link);
    list_append(&w->places[place], &it->link);
}

struct item *writer_first(struct status_writer *w, enum place place) {
    struct list *head = &w->places[place];
    return list_empty(head) ? NULL : list_entry(head->next, struct item, link);
}

static struct str key_of(enum kube_kind kind, struct str ns, struct str name, struct out *o) {
    out_fmt(o, "%s/%.*s/%.*s", kube_kinds[kind].kind, STR_FMT(ns), STR_FMT(name));
    return out_done(o);
}

struct item *item_find(struct status_writer *w, const struct resource *r) {
    char room[1024];
    struct out o = out_fixed(room, sizeof(room));
    return map_get(&w->items, key_of(r->kind, r->meta.namespace, r->meta.name, &o));
}

struct item *item_get(struct status_writer *w, const struct resource *r) {
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

void heard_clear(struct heard *h) {
    mem_free(h->instead_of);
    mem_free(h->version);
    mem_free(h->status);
    *h = (struct heard){0};
}

void item_give_up(struct item *it, bool yes) {
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

void item_free(struct item *it) {
    struct status_writer *w = it->writer;
    kube_cancel(it->request);
    item_give_up(it, false);
    w->n[it->place]--;
    list_del(&it->link);
    map_del(&w->items, it->key);
    heard_clear(&it->heard);
    mem_free(it->asked_at);
    mem_free(it->conflict);
    mem_free(it);
}

void items_clear(struct status_writer *w) {
    for (unsigned p = 0; p <= BUSY; p++)
        while (writer_first(w, p))
            item_free(writer_first(w, p));
}

void item_look(struct item *it) {
    if (it->place == BUSY) {
        it->again = true;
    } else if (it->place != LOOK) {
        item_put(it, LOOK);
        writer_wake(it->writer);
    }
}

void item_wait(struct item *it, uint64_t when) {
    it->when = when;
    item_put(it, WAITING);
}
