/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/link.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/ws.h"

enum { EVENTS_A_TURN = 256 }; /* then the rest of the main thread has its turn */

struct controller {
    char *url;
    uint64_t conn; /* 0 = not linked */
    bool closing;  /* it said what cannot be read */
};

struct link {
    struct ws *ws;
    struct controller *controllers;
    int n, followed;
    struct link_events events;
    void *arg;
};

int link_fd(const struct link *l) { return ws_fd(l->ws); }
int link_followed(const struct link *l) { return l->followed; }

bool link_open(const struct link *l, int controller) {
    return controller >= 0 && controller < l->n && l->controllers[controller].conn != 0;
}

size_t link_send(struct link *l, int controller, enum wire_type type, const void *value) {
    size_t cost = 0;
    for (int i = 0; i < l->n; i++) {
        if ((controller != LINK_ALL && controller != i) || !link_open(l, i))
            continue;
        struct out o = ws_message();
        wire_encode(type, value, &o);
        cost = ws_send(l->ws, l->controllers[i].conn, &o);
    }
    return cost;
}

/* ---- events ---- */

static void follow(struct link *l, int controller) {
    l->followed = controller;
    log_info("link", "following controller=%s", l->controllers[controller].url);
}

static void opened(struct link *l, int i, uint64_t conn) {
    l->controllers[i].conn = conn;
    l->controllers[i].closing = false;
    log_info("link", "connected controller=%s", l->controllers[i].url);
    if (l->followed == LINK_NONE)
        follow(l, i);
    l->events.greet(l->arg, i);
}

static void closed(struct link *l, int i) {
    bool followed = l->followed == i;
    l->controllers[i].conn = 0;
    log_warn("link", "lost controller=%s", l->controllers[i].url);
    if (followed)
        l->followed = LINK_NONE;
    l->events.lost(l->arg, i, followed);
    for (int k = 1; followed && k < l->n; k++) {
        int next = (i + k) % l->n;
        if (!link_open(l, next))
            continue;
        follow(l, next);
        l->events.greet(l->arg, next);
        return;
    }
}

static void received(struct link *l, int i, struct str bytes) {
    struct controller *c = &l->controllers[i];
    struct wire_message m;
    struct why why = {0};
    struct arena a;
    if (c->closing)
        return;
    arena_init(&a);
    if (wire_decode(bytes, &a, &m, &why) == 0) {
        l->events.message(l->arg, i, &m);
    } else {
        log_warn("link", "closed: %s controller=%s", why.text, c->url);
        c->closing = true;
        ws_close(l->ws, c->conn);
    }
    arena_fini(&a);
}

void link_turn(struct link *l) {
    struct ws_event *e = NULL;
    for (int i = 0; i < EVENTS_A_TURN && (e = ws_next(l->ws)); i++) {
        int peer = (int)e->peer;
        if (e->type == WS_OPEN)
            opened(l, peer, e->conn);
        else if (e->type == WS_CLOSED)
            closed(l, peer);
        else if (e->type == WS_MESSAGE)
            received(l, peer, e->bytes);
        else
            l->events.sent(l->arg, peer, e->cost);
        ws_event_free(e);
    }
    if (e)
        ws_again(l->ws);
}

/* ---- life ---- */

struct link *link_new(const char *const *urls, size_t n, const struct link_events *events,
                      void *arg, struct why *why) {
    struct ws *ws = ws_dial(urls, n, why);
    if (!ws)
        return NULL;
    struct link *l = mem_zalloc(sizeof(*l));
    l->ws = ws;
    l->n = (int)n;
    l->followed = LINK_NONE;
    l->events = *events;
    l->arg = arg;
    l->controllers = mem_array(n, sizeof(*l->controllers));
    for (size_t i = 0; i < n; i++)
        l->controllers[i].url = str_dup(str_of(urls[i]));
    return l;
}

void link_free(struct link *l) {
    if (!l)
        return;
    ws_free(l->ws);
    for (int i = 0; i < l->n; i++)
        mem_free(l->controllers[i].url);
    mem_free(l->controllers);
    mem_free(l);
}
