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
    WAITING_MAX = 256, /* links that are not admitted */
};

static uint64_t clock_ms(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
uint64_t push_now_ms(void) { return clock_ms(CLOCK_MONOTONIC); }
int64_t push_unix_ms(void) { return (int64_t)clock_ms(CLOCK_REALTIME); }

static struct peer *peer_at(struct list *link) { return list_entry(link, struct peer, link); }

static struct peer *find(struct list *among, uint64_t conn) {
    list_each(link, among) {
        if (peer_at(link)->conn == conn)
            return peer_at(link);
    }
    return NULL;
}

/* ---- the event loop ---- */

size_t push_waiting(const struct push *p) {
    size_t n = 0;
    list_each(link, &p->waiting)
        n++;
    return n;
}

static void refuse(struct push *p, struct peer *r, const char *reason) {
    if (r->closing)
        return;
    r->closing = true;
    ws_close(p->ws, r->conn, reason);
}

static void opened(struct push *p, struct ws_event *e) {
    struct peer *r = peer_new(p, e->conn, e->address);
    list_append(p->secure ? &p->waiting : &p->peers, &r->link);
    if (!p->secure)
        return;
    if (push_waiting(p) > WAITING_MAX)
        refuse(p, r, "too many links are waiting to be admitted");
    else if (p->events.on_token)
        p->events.on_token(p->arg, e->conn, e->bytes, r->address);
}

static void closed(struct push *p, struct peer *r, bool waited) {
    log_info("push", "link lost proxy=%s address=%s", r->name, r->address);
    if (p->events.on_gone)
        p->events.on_gone(p->arg, r->conn);
    list_del(&r->link);
    peer_free(r);
    p->changed |= !waited;
}

static void say_why(struct push *p, struct peer *r, const struct why *why) {
    log_warn("push", "closed: %s proxy=%s address=%s", why->text, r->name, r->address);
    r->closing = true;
    ws_close(p->ws, r->conn, why->text);
}

/* One that waits: nothing of it is read yet. */
static void handle_waiting(struct push *p, struct peer *r, struct ws_event *e) {
    struct why why = {0};
    if (e->type == WS_CLOSED) {
        closed(p, r, true);
    } else if (e->type == WS_MESSAGE && !r->closing) {
        struct str bytes = e->bytes;
        e->bytes = STR_NONE;
        if (peer_stash(r, bytes, &why) != 0)
            say_why(p, r, &why);
    }
}

static void handle(struct push *p, struct ws_event *e) {
    struct peer *r = e->type == WS_OPEN ? NULL : find(&p->peers, e->conn);
    struct why why = {0};
    if (e->type == WS_OPEN) {
        opened(p, e);
    } else if (!r) {
        handle_waiting(p, find(&p->waiting, e->conn), e);
    } else if (e->type == WS_CLOSED) {
        closed(p, r, false);
    } else if (e->type == WS_SENT) {
        peer_sent(r, e->cost);
    } else if (peer_message(r, e->bytes, &why) != 0) {
        say_why(p, r, &why);
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

static void set_blind(struct push *p, bool blind) {
    if (p->blind == blind)
        return;
    p->blind = blind;
    list_each(link, &p->peers) {
        peer_standing(peer_at(link));
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct push *p = arg;
    (void)fd, (void)what;
    list_each(link, &p->peers) {
        if (peer_tick(peer_at(link)))
            p->changed = true;
    }
    set_blind(p, p->deaf_since > 0 && push_now_ms() - p->deaf_since >= p->behind_ms);
    end_turn(p);
}

static void set_tick(struct push *p, uint32_t ms) {
    struct timeval every = {ms / 1000, (ms % 1000) * 1000};
    event_add(p->tick, &every);
}

/* ---- life ---- */

static void listening(struct push *p, struct ws *ws) {
    p->ws = ws;
    p->readable = event_new(p->base, ws_fd(ws), EV_READ | EV_PERSIST, on_readable, p);
    must(p->readable);
    event_add(p->readable, NULL);
}

struct push *push_new(struct event_base *base, const char *listen, bool secure,
                      const struct push_events *events, void *arg, struct why *why) {
    struct ws_address at;
    if (ws_address_parse(str_of(listen), secure, &at, why) != 0)
        return NULL;
    struct ws *ws = secure ? NULL : ws_listen(listen, NULL, why);
    if (!secure && !ws)
        return NULL;
    struct push *p = mem_zalloc(sizeof(*p));
    p->base = base;
    p->listen = str_dup(str_of(listen));
    p->secure = secure;
    p->events = *events;
    p->arg = arg;
    p->behind_ms = BEHIND_MS;
    p->last_tx = (uint64_t)push_unix_ms() << 16; /* never a number of an earlier life */
    list_init(&p->peers);
    list_init(&p->waiting);
    wanted_init(&p->wanted);
    p->tick = event_new(base, -1, EV_PERSIST, on_tick, p);
    must(p->tick);
    if (ws)
        listening(p, ws);
    set_tick(p, TICK_MS);
    return p;
}

void push_free(struct push *p) {
    if (!p)
        return;
    if (p->readable)
        event_free(p->readable);
    event_free(p->tick);
    ws_free(p->ws);
    for (struct list *link; (link = list_pop(&p->peers)) || (link = list_pop(&p->waiting));)
        peer_free(peer_at(link));
    wanted_fini(&p->wanted);
    out_fini(&p->fleet);
    mem_free(p->listen);
    mem_free(p);
}

uint16_t push_port(const struct push *p) { return p->ws ? ws_port(p->ws) : 0; }

/* ---- secure links ---- */

int push_identify(struct push *p, const struct ws_identity *id, struct why *why) {
    must(p->secure);
    if (p->ws)
        return ws_identify(p->ws, id, why);
    struct ws *ws = ws_listen(p->listen, id, why);
    if (!ws)
        return -1;
    listening(p, ws);
    log_info("push", "proxies can link address=%s", p->listen);
    return 0;
}

void push_admit(struct push *p, uint64_t proxy, struct str pod) {
    struct why why = {0};
    struct peer *r = find(&p->waiting, proxy);
    if (!r || r->closing) /* gone, or admitted before: its token is a new one */
        return;
    list_del(&r->link);
    list_append(&p->peers, &r->link);
    if (peer_admit(r, pod, &why) != 0)
        say_why(p, r, &why);
}

void push_refuse(struct push *p, uint64_t proxy, const char *reason) {
    struct peer *r = find(&p->peers, proxy);
    if (!r)
        r = find(&p->waiting, proxy);
    if (r)
        refuse(p, r, reason);
}

void push_fleet(struct push *p, const struct wire_fleet *fleet) {
    out_fini(&p->fleet);
    p->fleet = out_heap(WIRE_MESSAGE_MAX);
    wire_encode(WIRE_fleet, fleet, &p->fleet);
    must(!p->fleet.over);
    list_each(link, &p->peers) {
        peer_fleet(peer_at(link));
    }
}

void push_shares(struct push *p, uint64_t proxy, const struct wire_shares *s) {
    struct peer *r = find(&p->peers, proxy);
    if (r && !r->closing)
        peer_shares(r, s);
}

void push_watch(struct push *p, uint64_t proxy, const struct wire_watch *w) {
    struct peer *r = find(&p->peers, proxy);
    if (r && !r->closing)
        peer_watch(r, w);
}

void push_heard(struct push *p, bool yes) {
    p->deaf_since = yes ? 0 : p->deaf_since > 0 ? p->deaf_since : push_now_ms();
}

void push_set_behind_ms(struct push *p, uint32_t ms) {
    p->behind_ms = ms;
    set_tick(p, ms < TICK_MS ? ms : TICK_MS);
}

/* ---- the wanted set ---- */

void push_put(struct push *p, struct object *o) { wanted_put(&p->wanted, o); }
void push_del(struct push *p, struct str id) { wanted_del(&p->wanted, id); }
void push_hold(struct push *p, struct str id) { wanted_hold(&p->wanted, id, true); }
void push_unhold(struct push *p, struct str id) { wanted_hold(&p->wanted, id, false); }

void push_pending(const struct push *p,
                  void (*each)(void *arg, const struct object *was, const struct object *now),
                  void *arg) {
    wanted_pending(&p->wanted, each, arg);
}

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

/* The version that a proxy must have to serve these objects; UINT64_MAX: none that is published. */
static uint64_t version_with(const struct push *p, struct object *const *objects, size_t n,
                             uint64_t since) {
    uint64_t version = since > 0 ? since : 1;
    if (p->wanted.version < version)
        return UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = map_get(&p->wanted.entries, object_id(objects[i]));
        if (!e || e->o->kind == TOMBSTONE || e->o->hash != objects[i]->hash)
            return UINT64_MAX;
        version = e->version > version ? e->version : version;
    }
    return version;
}

struct push_served push_serving(const struct push *p, struct object *const *objects, size_t n,
                                uint64_t since) {
    uint64_t version = version_with(p, objects, n, since);
    struct push_served served = {0};
    list_each(link, &p->peers) {
        const struct peer *r = peer_at(link);
        bool current = r->base >= version;
        if (!r->ready)
            continue;
        served.behind += !current && r->behind;
        served.ready += current || !r->behind;
        served.current += current;
    }
    return served;
}

uint64_t push_version(const struct push *p) { return p->wanted.version; }
uint64_t push_sent_bytes(const struct push *p) { return p->sent_bytes; }

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
