/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/push/push.h"

#include "controller/push/room.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

enum {
    EVENTS_A_TURN = 256, /* then the rest of the controller has its turn */
    TICK_MS = 500,
    BEHIND_MS = 10000,
};

static uint64_t clock_ms(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
uint64_t push_now_ms(void) { return clock_ms(CLOCK_MONOTONIC); }
int64_t push_unix_ms(void) { return (int64_t)clock_ms(CLOCK_REALTIME); }

static struct peer *peer_at(struct list *link) { return list_entry(link, struct peer, link); }

static struct peer *peer_of(struct push *p, uint64_t conn) {
    list_each(link, &p->peers) {
        if (peer_at(link)->conn == conn)
            return peer_at(link);
    }
    return NULL;
}

/* ---- the event loop ---- */

static void handle(struct push *p, struct ws_event *e) {
    struct peer *r = e->type == WS_OPEN ? NULL : peer_of(p, e->conn);
    struct why why = {0};
    switch (e->type) {
    case WS_OPEN:
        r = peer_new(p, e->conn, e->address);
        list_append(&p->peers, &r->link);
        return;
    case WS_MESSAGE:
        if (peer_message(r, e->bytes, &why) != 0) {
            log_warn("push", "closed: %s proxy=%s address=%s", why.text, r->name, r->address);
            ws_close(p->ws, r->conn);
        }
        return;
    case WS_SENT:
        peer_sent(r, e->cost);
        return;
    case WS_CLOSED:
        log_info("push", "link lost proxy=%s address=%s", r->name, r->address);
        list_del(&r->link);
        peer_free(r);
        p->changed = true;
        return;
    }
}

/* Ids that were removed are kept only as long as some proxy has to be told. */
static void forget(struct push *p) {
    uint64_t version = p->wanted.version;
    list_each(link, &p->peers) {
        uint64_t floor = peer_floor(peer_at(link));
        version = floor < version ? floor : version;
    }
    wanted_forget(&p->wanted, version);
}

static void end_turn(struct push *p) {
    forget(p);
    bool changed = p->changed;
    p->changed = false;
    if (changed && p->events.on_change)
        p->events.on_change(p->arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct push *p = arg;
    (void)fd, (void)what;
    struct ws_event *e = NULL;
    for (int i = 0; i < EVENTS_A_TURN && (e = ws_next(p->ws)); i++) {
        handle(p, e);
        ws_event_free(e);
    }
    if (e)
        ws_again(p->ws);
    end_turn(p);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct push *p = arg;
    (void)fd, (void)what;
    list_each(link, &p->peers) {
        if (peer_tick(peer_at(link)))
            p->changed = true;
    }
    end_turn(p);
}

static void set_tick(struct push *p, uint32_t ms) {
    struct timeval every = {ms / 1000, (ms % 1000) * 1000};
    event_add(p->tick, &every);
}

/* ---- life ---- */

struct push *push_new(struct event_base *base, const char *listen, const struct push_events *events,
                      void *arg, struct why *why) {
    struct ws *ws = ws_listen(listen, why);
    if (!ws)
        return NULL;
    struct push *p = mem_zalloc(sizeof(*p));
    p->ws = ws;
    p->events = *events;
    p->arg = arg;
    p->behind_ms = BEHIND_MS;
    p->last_tx = (uint64_t)push_unix_ms() << 16; /* never a number of an earlier life */
    list_init(&p->peers);
    wanted_init(&p->wanted);
    p->readable = event_new(base, ws_fd(ws), EV_READ | EV_PERSIST, on_readable, p);
    p->tick = event_new(base, -1, EV_PERSIST, on_tick, p);
    must(p->readable && p->tick);
    event_add(p->readable, NULL);
    set_tick(p, TICK_MS);
    return p;
}

void push_free(struct push *p) {
    if (!p)
        return;
    event_free(p->readable);
    event_free(p->tick);
    ws_free(p->ws);
    for (struct list *link; (link = list_pop(&p->peers));)
        peer_free(peer_at(link));
    wanted_fini(&p->wanted);
    mem_free(p);
}

uint16_t push_port(const struct push *p) { return ws_port(p->ws); }

void push_set_behind_ms(struct push *p, uint32_t ms) {
    p->behind_ms = ms;
    set_tick(p, ms < TICK_MS ? ms : TICK_MS);
}

/* ---- the wanted set ---- */

void push_put(struct push *p, struct object *o) { wanted_put(&p->wanted, o); }
void push_del(struct push *p, struct str id) { wanted_del(&p->wanted, id); }
void push_hold(struct push *p, struct str id) { wanted_hold(&p->wanted, id, true); }
void push_unhold(struct push *p, struct str id) { wanted_hold(&p->wanted, id, false); }

void push_commit(struct push *p) {
    if (!wanted_commit(&p->wanted))
        return;
    list_each(link, &p->peers)
        peer_pump(peer_at(link));
    forget(p);
}

uint64_t push_revision(const struct push *p) {
    return p->wanted.version ? wanted_total(&p->wanted) : 0;
}
size_t push_count(const struct push *p) { return p->wanted.count; }

/* ---- who serves what ---- */

/* Whether the published set says this of the id, and since which version. */
static bool published_as(const struct push *p, struct str id, uint64_t hash, uint64_t *version) {
    const struct entry *e = map_get(&p->wanted.entries, id);
    bool gone = !e || e->o->kind == TOMBSTONE;
    *version = e ? e->version : 1;
    return p->wanted.version != 0 && (gone ? hash == 0 : e->o->hash == hash);
}

void push_serving(const struct push *p, struct str id, uint64_t hash, size_t *n_current,
                  size_t *n_ready) {
    uint64_t version;
    bool published = published_as(p, id, hash, &version);
    *n_current = *n_ready = 0;
    list_each(link, &p->peers) {
        const struct peer *r = peer_at(link);
        if (!r->ready || r->behind)
            continue;
        (*n_ready)++;
        if (published && r->base >= version)
            (*n_current)++;
    }
}

void push_each(const struct push *p, void (*cb)(void *arg, const struct push_proxy *proxy),
               void *arg) {
    list_each(link, &p->peers) {
        struct push_proxy view = peer_view(peer_at(link));
        cb(arg, &view);
    }
}

uint64_t push_get(struct push *p, uint64_t proxy, const struct str *ids, size_t n) {
    list_each(link, &p->peers) {
        struct peer *r = peer_at(link);
        if (n == 0 || r->closing || (proxy ? r->conn != proxy : !r->ready))
            continue;
        peer_get(r, ++p->last_ask, ids, n);
        return p->last_ask;
    }
    return 0;
}
