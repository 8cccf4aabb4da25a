/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/host.h"

#include "lib/list.h"
#include "lib/log.h"
#include "lib/mem.h"

#include <event2/event.h>
#include <time.h>

enum {
    GUESTS_MAX = 8,
    STAY_MS = 60000, /* who stays longer may be sent away for another */
    WINDOW = 1 << 20,
    EVENTS_A_TURN = 64,
};

struct guest {
    struct list link;
    uint64_t conn;
    char *pod; /* NULL: its token names none */
    uint64_t since_ms;
    size_t window; /* bytes on their way */
    struct object **objects;
    size_t n, at;
    uint64_t digest; /* of all of them */
    bool begun, done, closing;
};

struct host {
    struct event_base *base;
    char *address;
    const struct apply *apply;
    const struct fleet *fleet;
    struct ws *ws; /* NULL: it does not listen */
    struct event *readable;
    struct list guests;
    struct log_limit limit;
    bool failing;
};

static struct guest *guest_at(struct list *link) { return list_entry(link, struct guest, link); }

static struct guest *guest_of(struct host *h, uint64_t conn) {
    list_each(link, &h->guests) {
        if (guest_at(link)->conn == conn)
            return guest_at(link);
    }
    return NULL;
}

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void guest_free(struct guest *g) {
    list_del(&g->link);
    for (size_t i = g->at; i < g->n; i++)
        object_drop(g->objects[i]);
    mem_free(g->objects);
    mem_free(g->pod);
    mem_free(g);
}

/* ---- giving ---- */

static void say(struct host *h, struct guest *g, enum wire_type type, const void *value) {
    struct out o = ws_message();
    wire_encode(type, value, &o);
    g->window += ws_send(h->ws, g->conn, &o);
}

static void send_fleet(struct host *h, struct guest *g) {
    struct out o = ws_message();
    out_str(&o, fleet_message(h->fleet));
    g->window += ws_send(h->ws, g->conn, &o);
}

static void feed(struct host *h, struct guest *g) {
    while (g->at < g->n && g->window < WINDOW) {
        struct object *o = g->objects[g->at++];
        say(h, g, WIRE_put, &(struct wire_put){o->kind, object_id(o), object_bytes(o)});
        object_drop(o);
    }
    if (g->at < g->n || g->done || !g->begun)
        return;
    send_fleet(h, g); /* before the commit: whose ack ends it */
    say(h, g, WIRE_commit, &(struct wire_commit){.tx = 1, .digest = g->digest});
    g->done = true;
}

static void begin(struct host *h, struct guest *g) {
    char all[WIRE_BUCKETS_BYTES];
    memset(all, 0xff, sizeof(all));
    g->begun = true;
    g->objects = apply_objects(h->apply, NULL, &g->n);
    g->digest = apply_revision(h->apply);
    log_info("peers", "a new proxy is given what we serve pod=%s objects=%zu",
             g->pod ? g->pod : "-", g->n);
    say(h, g, WIRE_begin, &(struct wire_begin){.tx = 1, .buckets = str_mk(all, sizeof(all))});
    feed(h, g);
}

/* ---- who comes ---- */

static void refuse(struct host *h, const struct ws_event *e, const struct why *why) {
    unsigned unsaid;
    bool say = log_limited(&h->limit, (int64_t)(now_ms() / 1000), 10, 10, &unsaid);
    if (unsaid > 0)
        log_warn("peers", "further peers were refused, not named here count=%u", unsaid);
    if (say)
        log_warn("peers", "a peer is refused address=%s: its token: %s", e->address, why->text);
    ws_close(h->ws, e->conn, "the token was refused");
}

static unsigned count(struct host *h) {
    unsigned n = 0;
    list_each(link, &h->guests)
        n++;
    return n;
}

/* Whether there is room; the one that has been here longest may have to go. */
static bool has_room(struct host *h) {
    if (count(h) < GUESTS_MAX)
        return true;
    struct guest *first = guest_at(h->guests.next);
    if (now_ms() - first->since_ms < STAY_MS)
        return false;
    ws_close(h->ws, first->conn, "it took too long");
    guest_free(first);
    return true;
}

static void opened(struct host *h, const struct ws_event *e) {
    struct why why = {0};
    char *pod;
    if (fleet_judge(h->fleet, e->bytes, (int64_t)time(NULL), &pod, &why) != 0) {
        refuse(h, e, &why);
        return;
    }
    if (!apply_ready(h->apply) || !has_room(h)) {
        ws_close(h->ws, e->conn, "ask another peer");
        mem_free(pod);
        return;
    }
    struct guest *g = mem_zalloc(sizeof(*g));
    g->conn = e->conn;
    g->pod = pod;
    g->since_ms = now_ms();
    list_append(&h->guests, &g->link);
}

static int handle(struct host *h, struct guest *g, const struct wire_message *m, struct why *why) {
    if (m->type == WIRE_hello) {
        if (g->pod && !str_eq(m->hello.name, str_of(g->pod)))
            return why_text(why, "it calls itself otherwise than its token does");
        if (m->hello.follow && !g->begun)
            begin(h, g);
    } else if (m->type == WIRE_ack || m->type == WIRE_nack) {
        log_info("peers", "a new proxy has %s pod=%s",
                 m->type == WIRE_ack ? "started from us" : "refused what we serve",
                 g->pod ? g->pod : "-");
        return why_text(why, "done");
    }
    return 0;
}

static void received(struct host *h, struct guest *g, struct str bytes) {
    struct wire_message m;
    struct why why = {0};
    struct arena a;
    if (g->closing)
        return;
    arena_init(&a);
    if (wire_decode(bytes, &a, &m, &why) != 0 || handle(h, g, &m, &why) != 0) {
        g->closing = true;
        ws_close(h->ws, g->conn, why.text);
    }
    arena_fini(&a);
}

static void on_event(struct host *h, const struct ws_event *e) {
    struct guest *g = guest_of(h, e->conn);
    if (e->type == WS_OPEN) {
        opened(h, e);
    } else if (!g) {
        return; /* refused, or sent away */
    } else if (e->type == WS_CLOSED) {
        guest_free(g);
    } else if (e->type == WS_MESSAGE) {
        received(h, g, e->bytes);
    } else {
        g->window -= size_min(e->cost, g->window);
        feed(h, g);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct host *h = arg;
    struct ws_event *e = NULL;
    (void)fd, (void)what;
    for (int i = 0; i < EVENTS_A_TURN && (e = ws_next(h->ws)); i++) {
        on_event(h, e);
        ws_event_free(e);
    }
    if (e)
        ws_again(h->ws);
}

/* ---- life ---- */

struct host *host_new(struct event_base *base, const char *address, const struct apply *a,
                      struct why *why) {
    struct ws_address at;
    if (ws_address_parse(str_of(address), true, &at, why) != 0)
        return NULL;
    struct host *h = mem_zalloc(sizeof(*h));
    h->base = base;
    h->address = str_dup(str_of(address));
    h->apply = a;
    list_init(&h->guests);
    return h;
}

static void listening(struct host *h, struct ws *ws) {
    h->ws = ws;
    h->readable = event_new(h->base, ws_fd(ws), EV_READ | EV_PERSIST, on_readable, h);
    must(h->readable);
    event_add(h->readable, NULL);
    log_info("peers", "new proxies can ask us address=%s", h->address);
}

void host_open(struct host *h, const struct fleet *f) {
    const struct ws_identity id = fleet_identity(f);
    struct why why = {0};
    h->fleet = f;
    if (h->ws) {
        if (ws_identify(h->ws, &id, &why) != 0)
            log_error("peers", "the certificate for peers is not used: %s", why.text);
        return;
    }
    struct ws *ws = ws_listen(h->address, &id, &why);
    if (ws)
        listening(h, ws);
    else if (!h->failing)
        log_error("peers", "peers cannot ask us: %s", why.text);
    h->failing = !ws;
}

void host_free(struct host *h) {
    if (!h)
        return;
    if (h->readable)
        event_free(h->readable);
    ws_free(h->ws);
    while (!list_empty(&h->guests))
        guest_free(guest_at(h->guests.next));
    mem_free(h->address);
    mem_free(h);
}
