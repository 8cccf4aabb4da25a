/* SPDX-License-Identifier: Apache-2.0
 *
 * link: the connections to the controllers. One of them is followed: it alone gives transactions,
 * until its link dies, or it says that it is blind and another is not; then the next that is open
 * is followed. All of them hear what this proxy says.
 *
 *     wss://NAME:7400 ── lookup ──► addresses: each is a controller, a slot here
 *     ws://127.0.0.1:7400 ────────► one slot, for good
 *                                        │ ws_dial
 *     CA file, token file ── reread ──► lib/ws, on a thread of its own
 *
 * An address that comes is dialled, one that goes is let go. Files are looked at every two seconds,
 * and at once when a link is lost; a renewed token is told on the links that are open too. All here
 * is the main thread.
 */
#ifndef SLUICE_PROXY_CONFIG_LINK_H
#define SLUICE_PROXY_CONFIG_LINK_H

#include "lib/wire.h"

struct event_base;
struct evdns_base;
struct link;

enum { LINK_NONE = -1, LINK_ALL = -2 };
enum { LINK_MAX = 32 }; /* controllers at once; further addresses are left out */

struct link_options {
    const char *const *urls; /* "ws://127.0.0.1:7400", "wss://sluice-controller.sluice.svc:7400" */
    size_t n_urls;
    const char *ca;         /* file of PEM; wss needs it */
    const char *token;      /* file; NULL: none is shown */
    const char *verify;     /* name that certificates must bear; NULL: that of the url */
    struct evdns_base *dns; /* NULL: no url is a name */
    unsigned most;          /* of the addresses of a name, so many, random ones; 0: all */
};

/* Called from the loop. A controller is the index of its slot, below LINK_MAX. */
struct link_events {
    /* A controller must be told hello: its link is new, or it is followed from now on. */
    void (*greet)(void *arg, int controller);
    /* m lives until the callback returns. */
    void (*message)(void *arg, int controller, const struct wire_message *m);
    void (*sent)(void *arg, int controller, size_t cost); /* of link_send, has left */
    void (*lost)(void *arg, int controller, bool followed);
    /* The one that was followed is not any more, and its link stays; another will be greeted. */
    void (*left)(void *arg);
};

/* Strings of o are copied. NULL with *why. Nothing is read from it before link_start(). */
struct link *link_new(struct event_base *base, const struct link_options *o,
                      const struct link_events *events, void *arg, struct why *why);
void link_start(struct link *l);
void link_free(struct link *l); /* NULL is fine; not from one of its own callbacks */

/* Whether one of the urls is a name. False also when one is no url: link_new() says so. */
bool link_needs_dns(const char *const *urls, size_t n);

/* Value: the struct of that type. Nothing happens where no link is open. The bytes queued, of one
 * controller. */
size_t link_send(struct link *l, int controller, enum wire_type type, const void *value);
/* Of this proxy, with what it serves, to one that is to be followed or not. */
struct apply;
void link_hello(struct link *l, int controller, const struct apply *a, const char *name);
/* What that controller has said of itself. */
void link_standing(struct link *l, int controller, const struct wire_standing *m);
int link_followed(const struct link *l); /* LINK_NONE */
bool link_open(const struct link *l, int controller);

#endif
