/* SPDX-License-Identifier: Apache-2.0
 *
 * peers: how proxies help each other while no controller answers (docs/link.md, "Peers"). Both
 * halves of it:
 *
 *     asked   host: gives what we serve to a new proxy         fleet: what the controller has told
 *     asking  a link to at most three of the others; the one   for this, kept beside the last good
 *             that is followed plays the controller for one    file, handed on by peers
 *             transaction, and then all of them are let go
 *
 * Only a proxy that serves nothing asks, three seconds after its start, and goes on until a
 * controller or a peer has given it something. Main thread.
 */
#ifndef SLUICE_PROXY_CONFIG_PEERS_H
#define SLUICE_PROXY_CONFIG_PEERS_H

#include "proxy/config/apply.h"

struct event_base;
struct evdns_base;
struct peers;

struct peers_options { /* strings are copied, name and apply borrowed */
    const char *name;
    struct apply *apply;
    const char *url;        /* "wss://NAME.NS.svc:7503"; NULL: nobody is asked */
    const char *bind;       /* "0.0.0.0:7503"; NULL: nobody can ask us */
    const char *ca, *token; /* files */
    const char *state;      /* path of the last good file; NULL: nothing is kept */
    struct evdns_base *dns;
    void (*started)(void *arg); /* we serve what a peer has given: controllers knew us as empty */
    void *arg;
};

struct peers *peers_new(struct event_base *base, const struct peers_options *o, struct why *why);
void peers_start(struct peers *p); /* after the last good file was read */
void peers_free(struct peers *p);  /* NULL is fine */

void peers_fleet(struct peers *p, const struct wire_fleet *m); /* a controller tells */
/* A controller has begun to give: it knows better, and nobody is asked until it is lost. */
void peers_yield(struct peers *p);
void peers_resume(struct peers *p); /* it is lost */
void peers_ack(struct peers *p, const struct wire_ack *m);
void peers_nack(struct peers *p, const struct wire_nack *m);

#endif
