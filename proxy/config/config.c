/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/config.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/config/answer.h"
#include "proxy/config/apply.h"
#include "proxy/config/dns.h"
#include "proxy/config/lastgood.h"
#include "proxy/config/link.h"
#include "proxy/config/peers.h"
#include "proxy/config/resolve.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <malloc.h>
#include <time.h>

enum {
    SAVE_EVERY_MS = 1000,
    SAVE_SHARE = 10, /* a write that took long is followed by ten times as long without one */
    WATCH_MAX_MS = 60000,
};

struct config {
    char *name;
    struct link *link;
    struct apply *apply;
    struct resolve *resolve;
    struct answers answers[LINK_MAX]; /* one for each controller */
    struct event_base *base;
    struct evdns_base *dns; /* of links; NULL: no controller is a name */
    struct event *saved, *save_due;
    struct lastgood *lastgood; /* NULL = no file */
    char *path;
    bool dirty; /* accepted, not handed to lastgood yet */
    struct peers *peers;
    bool begun; /* the followed controller has given something */
    void (*publish)(void *arg, struct snapshot *s);
    void (*greeted)(void *arg);
    void (*rejected)(void *arg, size_t objects);
    void (*shares)(void *arg, const struct wire_shares *m);
    void (*watched)(void *arg, const struct wire_watch *m);
    void *arg;
    uint64_t watched_until_ms[LINK_MAX]; /* by each controller, CLOCK_MONOTONIC */
};

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- the file ---- */

static void arm(struct event *ev, uint64_t ms) {
    struct timeval in = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};
    event_add(ev, &in);
}

/* What is written: keys of session tickets, of sessions and of internal tokens never lie on a disk.
 */
static struct object **file_objects(struct config *c, size_t *n) {
    struct object **objects = apply_objects(c->apply, NULL, n);
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        if (objects[i]->kind == MODEL_KIND_ticket_keys ||
            objects[i]->kind == MODEL_KIND_session_keys ||
            objects[i]->kind == MODEL_KIND_signing_keys)
            object_drop(objects[i]);
        else
            objects[kept++] = objects[i];
    }
    *n = kept;
    return objects;
}

static void on_save_due(evutil_socket_t fd, short what, void *arg) {
    struct config *c = arg;
    (void)fd, (void)what;
    if (!c->dirty || !lastgood_idle(c->lastgood))
        return;
    size_t n;
    struct object **objects = file_objects(c, &n);
    c->dirty = false;
    lastgood_start(c->lastgood, objects, n);
}

/* The pause after a write; what was accepted meanwhile is written at its end. */
static void on_saved(evutil_socket_t fd, short what, void *arg) {
    struct config *c = arg;
    uint64_t took;
    (void)fd, (void)what;
    if (!lastgood_end(c->lastgood, &took))
        c->dirty = true;
    malloc_trim(0); /* what messages and tables have left between what stays */
    arm(c->save_due, took * SAVE_SHARE > SAVE_EVERY_MS ? took * SAVE_SHARE : SAVE_EVERY_MS);
}

static void on_accepted(void *arg) {
    struct config *c = arg;
    if (!c->lastgood)
        return;
    c->dirty = true;
    if (lastgood_idle(c->lastgood) && !event_pending(c->save_due, EV_TIMEOUT, NULL))
        arm(c->save_due, 0);
}

static void load(struct config *c) {
    struct object **objects;
    size_t n;
    struct why why = {0};
    enum lastgood_result result = lastgood_load(c->path, &objects, &n, &why);
    if (result == LASTGOOD_REFUSED)
        log_error("config", "%s", why.text);
    if (result != LASTGOOD_LOADED)
        return;
    bool served = apply_load(c->apply, objects, n);
    c->dirty = false; /* it came from there */
    event_del(c->save_due);
    mem_free(objects);
    log_info("config", "last good file read path=%s objects=%zu revision=%016llx served=%d",
             c->path, n, (unsigned long long)apply_revision(c->apply), served);
}

/* ---- between apply and link ---- */

static void on_publish(void *arg, struct snapshot *s) {
    struct config *c = arg;
    c->publish(c->arg, s);
}

static void on_ack(void *arg, const struct wire_ack *m) {
    struct config *c = arg;
    link_send(c->link, LINK_ALL, WIRE_ack, m);
    peers_ack(c->peers, m);
}

static void on_nack(void *arg, const struct wire_nack *m) {
    struct config *c = arg;
    if (c->rejected && m->n_faults > 0)
        c->rejected(c->arg, m->n_faults);
    link_send(c->link, LINK_ALL, WIRE_nack, m);
    peers_nack(c->peers, m);
}

static void greet(void *arg, int controller) {
    struct config *c = arg;
    link_hello(c->link, controller, c->apply, c->name);
    if (c->greeted)
        c->greeted(c->arg);
}

static void greet_followed(void *arg) {
    struct config *c = arg;
    if (link_followed(c->link) != LINK_NONE)
        greet(c, link_followed(c->link));
}

static void watch(struct config *c, int controller, const struct wire_watch *m) {
    uint64_t ms = m->for_ms < WATCH_MAX_MS ? m->for_ms : WATCH_MAX_MS;
    c->watched_until_ms[controller] = now_ms() + ms;
    if (c->watched)
        c->watched(c->arg, &(struct wire_watch){.for_ms = ms, .routes = m->routes});
}

static void on_message(void *arg, int controller, const struct wire_message *m) {
    struct config *c = arg;
    struct answers *answers = &c->answers[controller];
    if (m->type == WIRE_get) {
        answers_add(answers, c->apply, &m->get);
        answers_feed(answers, c->link, controller);
    } else if (m->type == WIRE_shares) { /* of the one that leads, whoever is followed */
        if (c->shares)
            c->shares(c->arg, &m->shares);
    } else if (m->type == WIRE_watch) { /* likewise: people look at any of them */
        watch(c, controller, &m->watch);
    } else if (m->type == WIRE_standing) {
        link_standing(c->link, controller, &m->standing);
    } else if (controller != link_followed(c->link)) {
        return;
    } else if (m->type == WIRE_fleet) {
        peers_fleet(c->peers, &m->fleet);
    } else {
        if (m->type == WIRE_begin) {
            c->begun = true;
            peers_yield(c->peers);
        }
        apply_message(c->apply, m);
    }
}

static void on_sent(void *arg, int controller, size_t cost) {
    struct config *c = arg;
    answers_sent(&c->answers[controller], cost);
    answers_feed(&c->answers[controller], c->link, controller);
}

static void on_left(void *arg) {
    struct config *c = arg;
    if (c->begun) /* else a peer's may be open, which is none of this link's business */
        apply_abort(c->apply);
    c->begun = false;
    peers_resume(c->peers);
}

static void on_lost(void *arg, int controller, bool followed) {
    struct config *c = arg;
    answers_fini(&c->answers[controller]);
    c->watched_until_ms[controller] = 0;
    if (followed)
        on_left(c);
}

/* ---- between apply and resolve ---- */

static void on_backend(void *arg, const struct object *before, const struct object *after) {
    struct config *c = arg;
    resolve_backend(c->resolve, before, after);
}

static void on_resolved(void *arg, struct object *const *objects, size_t n) {
    struct config *c = arg;
    apply_local(c->apply, objects, n);
}

/* ---- life ---- */

static void open_lastgood(struct config *c, struct event_base *base, const char *path) {
    c->path = str_dup(str_of(path));
    c->lastgood = lastgood_new(path);
    c->saved = event_new(base, lastgood_fd(c->lastgood), EV_READ | EV_PERSIST, on_saved, c);
    c->save_due = event_new(base, -1, 0, on_save_due, c);
    must(c->saved && c->save_due);
    event_add(c->saved, NULL);
}

static struct link *open_link(struct config *c, const struct config_options *o, struct why *why) {
    static const struct link_events events = {greet, on_message, on_sent, on_lost, on_left};
    const struct link_options lo = {.urls = o->controllers,
                                    .n_urls = o->n_controllers,
                                    .ca = o->controller_ca,
                                    .token = o->token,
                                    .dns = c->dns};
    return link_new(c->base, &lo, &events, c, why);
}

static struct peers *open_peers(struct config *c, const struct config_options *o, struct why *why) {
    const struct peers_options po = {.name = c->name,
                                     .apply = c->apply,
                                     .url = o->peers,
                                     .bind = o->peer_bind,
                                     .ca = o->controller_ca,
                                     .token = o->token,
                                     .state = o->lastgood,
                                     .dns = c->dns,
                                     .started = greet_followed,
                                     .arg = c};
    return peers_new(c->base, &po, why);
}

struct config *config_new(struct event_base *base, const struct config_options *o,
                          struct why *why) {
    static const struct apply_events apply_events = {on_publish,     on_ack,      on_nack,
                                                     greet_followed, on_accepted, on_backend};
    struct config *c = mem_zalloc(sizeof(*c));
    c->base = base;
    if (link_needs_dns(o->controllers, o->n_controllers) ||
        link_needs_dns(&o->peers, o->peers != NULL))
        c->dns = dns_new(base, o->nameserver);
    for (size_t i = 0; i < LINK_MAX; i++)
        answers_init(&c->answers[i]);
    c->name = str_dup(str_of(o->name));
    c->publish = o->publish;
    c->greeted = o->greeted;
    c->rejected = o->rejected;
    c->shares = o->shares;
    c->watched = o->watched;
    c->arg = o->arg;
    c->apply = apply_new(&apply_events, c);
    c->resolve = resolve_new(
        base,
        &(struct resolve_options){.nameserver = o->nameserver, .changed = on_resolved, .arg = c});
    if (o->lastgood)
        open_lastgood(c, base, o->lastgood);
    c->peers = open_peers(c, o, why);
    if (c->peers)
        c->link = open_link(c, o, why);
    if (!c->link) {
        config_free(c);
        return NULL;
    }
    return c;
}

void config_start(struct config *c) {
    if (c->lastgood)
        load(c);
    link_start(c->link);
    peers_start(c->peers);
}

/* Questions that are open are answered with a failure, so that who asked can be freed. */
static void close_dns(struct config *c) {
    evdns_base_free(c->dns, 1);
    event_base_loop(c->base, EVLOOP_NONBLOCK);
}

static void close_lastgood(struct config *c) {
    struct why why = {0};
    event_free(c->saved);
    event_free(c->save_due);
    bool running = !lastgood_idle(c->lastgood);
    lastgood_free(c->lastgood); /* waits */
    size_t n;
    struct object **objects = file_objects(c, &n);
    if ((c->dirty || running) && lastgood_save(c->path, objects, n, &why) != 0)
        log_error("config", "%s", why.text);
    for (size_t i = 0; i < n; i++)
        object_drop(objects[i]);
    mem_free(objects);
    mem_free(c->path);
}

void config_free(struct config *c) {
    if (!c)
        return;
    peers_free(c->peers);
    link_free(c->link);
    if (c->lastgood)
        close_lastgood(c);
    for (size_t i = 0; i < LINK_MAX; i++)
        answers_fini(&c->answers[i]);
    resolve_free(c->resolve);
    apply_free(c->apply);
    if (c->dns)
        close_dns(c);
    mem_free(c->name);
    mem_free(c);
}

/* ---- for main ---- */

void config_adopted(struct config *c, uint64_t serial) { apply_adopted(c->apply, serial); }

void config_report(struct config *c, const struct wire_report *r) {
    link_send(c->link, LINK_ALL, WIRE_report, r);
}

void config_demand(struct config *c, const struct wire_demand *d) {
    link_send(c->link, LINK_ALL, WIRE_demand, d);
}

void config_live(struct config *c, const struct wire_live *l) {
    for (int i = 0; i < LINK_MAX; i++)
        if (c->watched_until_ms[i] > now_ms())
            link_send(c->link, i, WIRE_live, l);
}

bool config_ready(const struct config *c) { return apply_ready(c->apply); }
bool config_linked(const struct config *c) { return link_followed(c->link) != LINK_NONE; }
uint64_t config_revision(const struct config *c) { return apply_revision(c->apply); }
size_t config_count(const struct config *c) { return apply_count(c->apply); }

struct object **config_objects(const struct config *c, size_t *n) {
    return apply_objects(c->apply, NULL, n);
}
