/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/link.h"

#include "lib/hash.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/pem.h"
#include "lib/ws.h"
#include "proxy/config/apply.h"
#include "proxy/config/lookup.h"
#include "proxy/config/reread.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <stdio.h>

enum {
    EVENTS_A_TURN = 256, /* then the rest of the main thread has its turn */
    LOOK_MS = 2000,      /* at the files */
};

struct controller {  /* a slot */
    uint64_t target; /* of ws; 0: the slot is free */
    uint64_t conn;   /* 0 = not linked */
    bool secure;
    bool closing;             /* it said what cannot be read */
    bool blind;               /* it says that nothing new reaches it */
    const struct place *from; /* the url that it comes from */
    struct address address;   /* of a place with a lookup */
    char text[80];            /* for the log */
};

struct place { /* a url */
    struct ws_url url;
    char verify[WS_NAME_MAX + 1];
    struct lookup *lookup; /* NULL: a literal */
};

struct link {
    struct event_base *base;
    struct ws *ws;
    struct event *readable, *look;
    struct place *places;
    size_t n_places;
    struct evdns_base *dns;
    unsigned most;
    struct reread *ca, *token; /* NULL: none */
    struct controller controllers[LINK_MAX];
    int followed;
    struct prng prng;
    struct link_events events;
    void *arg;
};

int link_followed(const struct link *l) { return l->followed; }

bool link_open(const struct link *l, int controller) {
    return controller >= 0 && controller < LINK_MAX && l->controllers[controller].conn != 0;
}

size_t link_send(struct link *l, int controller, enum wire_type type, const void *value) {
    size_t cost = 0;
    for (int i = 0; i < LINK_MAX; i++) {
        if ((controller != LINK_ALL && controller != i) || !link_open(l, i))
            continue;
        struct out o = ws_message();
        wire_encode(type, value, &o);
        cost = ws_send(l->ws, l->controllers[i].conn, &o);
    }
    return cost;
}

void link_hello(struct link *l, int controller, const struct apply *a, const char *name) {
    char room[WIRE_DIGEST_BYTES];
    struct wire_hello m = {.name = str_of(name), .follow = l->followed == controller};
    apply_hello(a, &m, room);
    link_send(l, controller, WIRE_hello, &m);
}

/* ---- files ---- */

static void use_ca(struct link *l) {
    struct why why = {0};
    if (ws_trust(l->ws, reread_text(l->ca), &why) != 0)
        log_error("link", "the file of CAs is not used: %s", why.text);
    else
        log_info("link", "the CAs that controllers are verified by were read");
}

/* Without the newline that an editor leaves. */
static struct str token_text(const struct link *l) {
    struct str s = reread_text(l->token);
    while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

static void use_token(struct link *l) {
    struct wire_token m = {.token = token_text(l)};
    ws_show(l->ws, m.token);
    for (int i = 0; i < LINK_MAX; i++)
        if (l->controllers[i].secure)
            link_send(l, i, WIRE_token, &m);
}

static void look_at_files(struct link *l) {
    if (l->ca && reread_look(l->ca))
        use_ca(l);
    if (l->token && reread_look(l->token))
        use_token(l);
}

static void on_look(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    look_at_files(arg);
}

/* ---- whom to follow ---- */

static void follow(struct link *l, int controller) {
    l->followed = controller;
    log_info("link", "following controller=%s", l->controllers[controller].text);
}

/* The next that is linked, and not blind; LINK_NONE. */
static int next_seeing(const struct link *l, int after) {
    for (int k = 1; k < LINK_MAX; k++) {
        int next = (after + k) % LINK_MAX;
        if (link_open(l, next) && !l->controllers[next].blind)
            return next;
    }
    return LINK_NONE;
}

static int next_open(const struct link *l, int after) {
    for (int k = 1; k < LINK_MAX; k++)
        if (link_open(l, (after + k) % LINK_MAX))
            return (after + k) % LINK_MAX;
    return LINK_NONE;
}

static void follow_next(struct link *l, int after) {
    int next = next_seeing(l, after);
    if (next == LINK_NONE)
        next = next_open(l, after);
    if (next == LINK_NONE)
        return;
    follow(l, next);
    l->events.greet(l->arg, next);
}

/* From one that is blind to one that is not, if there is one. */
static void leave_blind(struct link *l) {
    int old = l->followed;
    int next = old != LINK_NONE && l->controllers[old].blind ? next_seeing(l, old) : LINK_NONE;
    if (next == LINK_NONE)
        return;
    l->events.left(l->arg);
    follow(l, next);
    l->events.greet(l->arg, next);
    l->events.greet(l->arg, old); /* that it is followed no more */
}

void link_standing(struct link *l, int controller, const struct wire_standing *m) {
    struct controller *c = &l->controllers[controller];
    if (m->blind && !c->blind)
        log_warn("link", "hears nothing of what it compiles from controller=%s", c->text);
    c->blind = m->blind;
    leave_blind(l);
}

/* The connection of the slot is over; the slot itself may stay. */
static void unlinked(struct link *l, int i) {
    bool followed = l->followed == i;
    l->controllers[i].conn = 0;
    if (followed)
        l->followed = LINK_NONE;
    l->events.lost(l->arg, i, followed);
    if (followed)
        follow_next(l, i);
}

/* ---- slots ---- */

static int slot_of_target(const struct link *l, uint64_t target) {
    for (int i = 0; i < LINK_MAX; i++)
        if (l->controllers[i].target == target)
            return i;
    return LINK_NONE;
}

static int slot_of_conn(const struct link *l, uint64_t conn) {
    for (int i = 0; i < LINK_MAX; i++)
        if (l->controllers[i].conn == conn)
            return i;
    return LINK_NONE;
}

static void dial(struct link *l, const struct place *from, const struct ws_address *at,
                 const struct address *address) {
    int i = slot_of_target(l, 0);
    if (i == LINK_NONE)
        return;
    struct ws_target to = {.at = *at};
    if (from->url.secure)
        memcpy(to.name, from->verify, sizeof(to.name));
    struct controller *c = &l->controllers[i];
    *c = (struct controller){.secure = from->url.secure, .from = from};
    if (address)
        c->address = *address;
    snprintf(c->text, sizeof(c->text), at->v6 ? "%s://[%s]:%u" : "%s://%s:%u",
             from->url.secure ? "wss" : "ws", at->host, at->port);
    c->target = ws_dial(l->ws, &to);
}

static void let_go(struct link *l, int i) {
    struct controller *c = &l->controllers[i];
    if (c->conn != 0)
        log_info("link", "let go: its address is gone controller=%s", c->text);
    ws_undial(l->ws, c->target);
    c->target = 0;
    if (c->conn != 0)
        unlinked(l, i);
}

/* ---- addresses of a name ---- */

static bool is_in(const struct addresses *all, const struct address *a) {
    for (uint32_t i = 0; i < all->n; i++)
        if (str_eq(address_bytes(&all->list[i]), address_bytes(a)))
            return true;
    return false;
}

static bool is_dialled(const struct link *l, const struct place *from, const struct address *a) {
    for (int i = 0; i < LINK_MAX; i++) {
        const struct controller *c = &l->controllers[i];
        if (c->target != 0 && c->from == from &&
            str_eq(address_bytes(&c->address), address_bytes(a)))
            return true;
    }
    return false;
}

/* Leaves at most l->most of them: those that are linked first, then random ones. */
static void choose(struct link *l, const struct place *from, struct addresses *all) {
    struct addresses kept = {0};
    if (l->most == 0 || all->n <= l->most)
        return;
    for (int i = 0; i < LINK_MAX && kept.n < l->most; i++) {
        const struct controller *c = &l->controllers[i];
        if (c->conn != 0 && c->from == from && is_in(all, &c->address))
            addresses_put(&kept, address_bytes(&c->address));
    }
    while (kept.n < l->most) {
        const struct address *a = &all->list[prng_below(&l->prng, all->n)];
        if (!is_in(&kept, a))
            addresses_put(&kept, address_bytes(a));
    }
    *all = kept;
}

static void on_found(void *arg, struct lookup *lookup, const struct addresses *found) {
    struct link *l = arg;
    const struct place *from = NULL;
    for (size_t i = 0; i < l->n_places; i++)
        if (l->places[i].lookup == lookup)
            from = &l->places[i];
    must(from);
    struct addresses all = *found;
    choose(l, from, &all);
    for (uint32_t i = 0; i < all.n; i++) {
        const struct address *a = &all.list[i];
        struct ws_address at = {.port = from->url.at.port, .v6 = a->n == 16};
        if (is_dialled(l, from, a))
            continue;
        must(inet_ntop(at.v6 ? AF_INET6 : AF_INET, a->bytes, at.host, sizeof(at.host)));
        dial(l, from, &at, a);
    }
    for (int i = 0; i < LINK_MAX; i++) /* behind, so that there is somebody else to follow */
        if (l->controllers[i].target != 0 && l->controllers[i].from == from &&
            !is_in(&all, &l->controllers[i].address))
            let_go(l, i);
    if (l->most > 0 && l->followed == LINK_NONE) /* others soon, if none of these answers */
        lookup_soon(lookup);
}

/* ---- events ---- */

static void opened(struct link *l, const struct ws_event *e) {
    int i = slot_of_target(l, e->target);
    if (i == LINK_NONE) /* let go meanwhile */
        return;
    l->controllers[i].conn = e->conn;
    l->controllers[i].closing = l->controllers[i].blind = false;
    log_info("link", "connected controller=%s", l->controllers[i].text);
    if (l->followed == LINK_NONE)
        follow(l, i);
    l->events.greet(l->arg, i);
    leave_blind(l);
}

static void closed(struct link *l, int i) {
    const struct controller *c = &l->controllers[i];
    log_warn("link", "lost controller=%s", c->text);
    look_at_files(l); /* perhaps a new token, or CA, is why */
    if (c->from->lookup)
        lookup_soon(c->from->lookup);
    unlinked(l, i);
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
        log_warn("link", "closed: %s controller=%s", why.text, c->text);
        c->closing = true;
        ws_close(l->ws, c->conn, NULL);
    }
    arena_fini(&a);
}

static void handle(struct link *l, const struct ws_event *e) {
    int i = e->type == WS_OPEN ? LINK_NONE : slot_of_conn(l, e->conn);
    if (e->type == WS_OPEN)
        opened(l, e);
    else if (i == LINK_NONE) /* let go meanwhile */
        return;
    else if (e->type == WS_CLOSED)
        closed(l, i);
    else if (e->type == WS_MESSAGE)
        received(l, i, e->bytes);
    else
        l->events.sent(l->arg, i, e->cost);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct link *l = arg;
    struct ws_event *e = NULL;
    (void)fd, (void)what;
    for (int i = 0; i < EVENTS_A_TURN && (e = ws_next(l->ws)); i++) {
        handle(l, e);
        ws_event_free(e);
    }
    if (e)
        ws_again(l->ws);
}

/* ---- life ---- */

bool link_needs_dns(const char *const *urls, size_t n) {
    struct ws_url url;
    for (size_t i = 0; i < n; i++)
        if (ws_url_parse(str_of(urls[i]), &url, NULL) == 0 && !url.literal)
            return true;
    return false;
}

/* A certificate names no last dot. */
static void set_verify(struct place *p, const char *verify) {
    struct str name = str_of(verify ? verify : p->url.name);
    if (str_ends(name, STR(".")))
        name.n--;
    must(name.n < sizeof(p->verify));
    memcpy(p->verify, name.p, name.n);
}

static int add_places(struct link *l, const struct link_options *o, struct why *why) {
    l->places = mem_array(o->n_urls, sizeof(*l->places));
    l->n_places = o->n_urls;
    for (size_t i = 0; i < o->n_urls; i++) {
        struct place *p = &l->places[i];
        if (ws_url_parse(str_of(o->urls[i]), &p->url, why) != 0)
            return -1;
        if (p->url.secure && !o->ca)
            return why_text(why, "%s needs --controller-ca, a file with the CA to verify it by",
                            o->urls[i]);
        set_verify(p, o->verify);
    }
    return 0;
}

struct link *link_new(struct event_base *base, const struct link_options *o,
                      const struct link_events *events, void *arg, struct why *why) {
    struct link *l = mem_zalloc(sizeof(*l));
    l->base = base;
    l->dns = o->dns;
    l->most = o->most;
    l->followed = LINK_NONE;
    l->events = *events;
    l->arg = arg;
    prng_init(&l->prng);
    if (add_places(l, o, why) != 0 || !(l->ws = ws_dialler(why))) {
        link_free(l);
        return NULL;
    }
    if (o->ca)
        l->ca = reread_new(o->ca, PEM_BYTES_MAX);
    if (o->token)
        l->token = reread_new(o->token, WS_TOKEN_MAX);
    l->readable = event_new(base, ws_fd(l->ws), EV_READ | EV_PERSIST, on_readable, l);
    l->look = event_new(base, -1, EV_PERSIST, on_look, l);
    must(l->readable && l->look);
    return l;
}

void link_start(struct link *l) {
    struct timeval every = {LOOK_MS / 1000, 0};
    look_at_files(l);
    for (size_t i = 0; i < l->n_places; i++) {
        struct place *p = &l->places[i];
        if (p->url.literal)
            dial(l, p, &p->url.at, NULL);
        else
            p->lookup = lookup_new(l->base, l->dns, p->url.name, on_found, l);
    }
    event_add(l->readable, NULL);
    if (l->ca || l->token)
        event_add(l->look, &every);
}

void link_free(struct link *l) {
    if (!l)
        return;
    for (size_t i = 0; i < l->n_places; i++)
        lookup_free(l->places[i].lookup);
    if (l->readable)
        event_free(l->readable);
    if (l->look)
        event_free(l->look);
    ws_free(l->ws);
    reread_free(l->ca);
    reread_free(l->token);
    mem_free(l->places);
    mem_free(l);
}
