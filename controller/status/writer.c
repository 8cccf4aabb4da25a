/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status/writer_parts.h"

#include "lib/mem.h"

#include <event2/event.h>

/* ---- one turn ---- */

static void look(struct item *it, uint64_t now) {
    struct sight s;
    uint64_t denied = it->kind == KUBE_Ingress ? 0 : item_denied_until(it);
    if (denied > now) { /* an Ingress may still have an Event */
        item_wait(it, denied);
        return;
    }
    sight_see(it, &s);
    if (s.deed == DROP) {
        sight_fini(&s);
        item_free(it);
        return;
    }
    if (it->kind == KUBE_Ingress && (s.deed == TELL || s.deed == NOTHING) &&
        it->writer->fleet.known)
        sight_say(it->writer, &s, true);
    uint64_t at = s.deed == LATER ? now + WHEN_ACKS_MS : sight_when(it, &s, now);
    if (at == WHEN_NEVER)
        item_put(it, IDLE);
    else if (s.r && item_conflicts(it, &s) && now < it->when)
        item_put(it, WAITING);
    else if (at <= now)
        item_put(it, DUE);
    else
        item_wait(it, at);
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
            item_put(it, LOOK);
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
        item_put(list_entry(link, struct item, link), LOOK);
}

static void pump(struct status_writer *w) {
    uint64_t now = status_now_ms();
    if (when_fleet_settled(&w->fleet, now)) {
        look_at_all(w, IDLE);
        look_at_all(w, WAITING);
    }
    end_waits(w, now);
    for (int i = 0; i < LOOKS_A_TURN && writer_first(w, LOOK); i++)
        look(writer_first(w, LOOK), now);
    while (may_write(w, now))
        item_write(writer_first(w, DUE), now);
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

static void look_at(void *arg, const struct resource *r) { item_look(item_get(arg, r)); }

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
        if (kube_has_status(k))
            store_each_said(w->c.store, k, look_at, w);
}

void writer_changed(struct status_writer *w, const struct resource *r) {
    if (!w->leading || w->leaving || !kube_has_status(r->kind))
        return;
    struct item *it = item_get(w, r);
    it->unpublished = true;
    if (it->since == 0 || it->place == BUSY)
        it->since = status_now_ms();
    item_look(it);
}

void writer_version(struct status_writer *w, const struct resource *was,
                    const struct resource *now) {
    struct item *it = w->leading ? item_find(w, now ? now : was) : NULL;
    if (!it)
        return;
    it->gone = !now && it->mine && !was->meta.deleting;
    item_look(it);
}

void writer_fleet(struct status_writer *w, size_t ready, size_t behind) {
    when_fleet_seen(&w->fleet, ready, behind, status_now_ms());
    if (w->fleet.known)
        look_at_all(w, WAITING);
    writer_wake(w);
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
            item_look(item_find(w, r));
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
                item_look(it);
        }
    evtimer_add(w->leave_timer, &tv);
    writer_wake(w);
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
    writer_wake(w);
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
