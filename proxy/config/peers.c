/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/config/peers.h"

#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/config/fleet.h"
#include "proxy/config/host.h"
#include "proxy/config/link.h"

#include <event2/event.h>

enum {
    SEEK_AFTER_MS = 3000,
    SEEK_END_MS = 500,     /* from our ack until the links to peers are closed */
    SEEK_MOST = 3,         /* peers that are linked at once */
    SEEK_AGAIN_MS = 30000, /* without an end: others are asked */
};

struct peers {
    struct event_base *base;
    struct apply *apply;
    const char *name;
    struct fleet *fleet;     /* NULL: nothing was told yet */
    struct fleet_file *file; /* NULL: nothing is kept */
    struct host *host;       /* NULL: nobody can ask us */
    char *url, *ca, *token;  /* url NULL: nobody is asked */
    struct evdns_base *dns;
    struct link *link; /* NULL: nobody is asked now */
    bool yielded;      /* to a controller */
    bool begun;        /* a peer's transaction is open */
    struct event *due;
    void (*started)(void *arg);
    void *arg;
};

static void look_in(struct peers *p, unsigned ms) {
    struct timeval in = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};
    evtimer_add(p->due, &in);
}

/* ---- what was told for this ---- */

static void use(struct peers *p, struct fleet *f) {
    if (p->host)
        host_open(p->host, f);
    fleet_free(p->fleet);
    p->fleet = f;
}

void peers_fleet(struct peers *p, const struct wire_fleet *m) {
    struct why why = {0};
    struct fleet *f = fleet_new(m, &why);
    if (!f) {
        log_warn("peers", "what was told for peers is not used: %s", why.text);
    } else if (p->fleet && str_eq(fleet_message(f), fleet_message(p->fleet))) {
        fleet_free(f);
    } else {
        use(p, f);
        if (p->file)
            fleet_file_save(p->file, f);
    }
}

/* ---- asking ---- */

static void greet(void *arg, int peer) {
    struct peers *p = arg;
    link_hello(p->link, peer, p->apply, p->name);
}

static void on_message(void *arg, int peer, const struct wire_message *m) {
    struct peers *p = arg;
    if (peer != link_followed(p->link) || apply_ready(p->apply))
        return;
    p->begun = m->type == WIRE_begin || (p->begun && m->type != WIRE_commit);
    if (m->type == WIRE_fleet)
        peers_fleet(p, &m->fleet);
    else
        apply_message(p->apply, m);
}

static void on_sent(void *arg, int peer, size_t cost) { (void)arg, (void)peer, (void)cost; }

static void on_lost(void *arg, int peer, bool followed) {
    struct peers *p = arg;
    (void)peer;
    if (followed && p->begun)
        apply_abort(p->apply);
    p->begun &= !followed;
}

static void ask(struct peers *p) {
    static const struct link_events events = {greet, on_message, on_sent, on_lost, NULL};
    const char *const urls[] = {p->url};
    const struct link_options o = {.urls = urls,
                                   .n_urls = 1,
                                   .ca = p->ca,
                                   .token = p->token,
                                   .verify = WIRE_PEER_NAME,
                                   .dns = p->dns,
                                   .most = SEEK_MOST};
    struct why why = {0};
    log_info("peers", "no controller has told anything yet, peers are asked url=%s", p->url);
    p->link = link_new(p->base, &o, &events, p, &why);
    if (p->link)
        link_start(p->link);
    else
        log_error("peers", "peers cannot be asked: %s", why.text);
    look_in(p, SEEK_AGAIN_MS);
}

/* What a peer has begun is dropped. */
static void end(struct peers *p) {
    link_free(p->link);
    p->link = NULL;
    if (p->begun)
        apply_abort(p->apply);
    p->begun = false;
}

void peers_yield(struct peers *p) {
    p->yielded = true;
    end(p);
}

void peers_resume(struct peers *p) {
    p->yielded = false;
    if (p->url && !apply_ready(p->apply) && !p->link)
        look_in(p, SEEK_AFTER_MS);
}

/* The start is some time ago; or all that there was to say to peers is said. */
static void on_due(evutil_socket_t fd, short what, void *arg) {
    struct peers *p = arg;
    (void)fd, (void)what;
    bool asked = p->link != NULL;
    end(p);
    if (!apply_ready(p->apply) && !p->yielded)
        ask(p);
    else if (asked)
        p->started(p->arg);
}

void peers_ack(struct peers *p, const struct wire_ack *m) {
    if (!p->link)
        return;
    link_send(p->link, LINK_ALL, WIRE_ack, m);
    look_in(p, SEEK_END_MS);
}

void peers_nack(struct peers *p, const struct wire_nack *m) {
    if (p->link)
        link_send(p->link, LINK_ALL, WIRE_nack, m);
}

/* ---- life ---- */

static int check(const struct peers_options *o, struct why *why) {
    struct ws_url url;
    if (ws_url_parse(str_of(o->url), &url, why) != 0)
        return -1;
    return url.secure && o->ca
               ? 0
               : why_text(why, "%s: peers are asked by wss, and verified by --controller-ca",
                          o->url);
}

static int open_all(struct peers *p, const struct peers_options *o, struct why *why) {
    if (o->state)
        p->file = fleet_file_new(p->base, o->state);
    if (o->bind && !(p->host = host_new(p->base, o->bind, p->apply, why)))
        return -1;
    if (!o->url)
        return 0;
    if (check(o, why) != 0)
        return -1;
    p->url = str_dup(str_of(o->url));
    p->ca = str_dup(str_of(o->ca));
    p->token = o->token ? str_dup(str_of(o->token)) : NULL;
    return 0;
}

struct peers *peers_new(struct event_base *base, const struct peers_options *o, struct why *why) {
    struct peers *p = mem_zalloc(sizeof(*p));
    p->base = base;
    p->apply = o->apply;
    p->name = o->name;
    p->dns = o->dns;
    p->started = o->started;
    p->arg = o->arg;
    p->due = evtimer_new(base, on_due, p);
    must(p->due);
    if (open_all(p, o, why) == 0)
        return p;
    peers_free(p);
    return NULL;
}

void peers_start(struct peers *p) {
    struct fleet *f = p->file ? fleet_file_load(p->file) : NULL;
    if (f)
        use(p, f);
    if (p->url && !apply_ready(p->apply))
        look_in(p, SEEK_AFTER_MS);
}

void peers_free(struct peers *p) {
    if (!p)
        return;
    link_free(p->link);
    host_free(p->host);
    event_free(p->due);
    fleet_file_free(p->file);
    fleet_free(p->fleet);
    mem_free(p->url);
    mem_free(p->ca);
    mem_free(p->token);
    mem_free(p);
}
