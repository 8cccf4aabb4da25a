/* SPDX-License-Identifier: Apache-2.0
 *
 * config: where this proxy's configuration comes from. The room's one door:
 *
 *   lastgood (file) ──► apply ──► publish(snapshot) ──► main hands it to the workers
 *   link (controllers) ─► │  ◄─── config_adopted(serial)    when all have it
 *                      │ ▲ └────► ack, nack; the file, at most once a second
 *             backends ▼ │ endpoints
 *                     resolve ── DNS (external names)
 *
 * A proxy with no file that has heard from no controller for three seconds asks its peers: a link
 * to some of them, of which one plays the controller for one transaction. It answers others itself
 * (host), with what the controller has told it for that day (fleet).
 *
 * Main thread, on its event_base.
 */
#ifndef SLUICE_PROXY_CONFIG_CONFIG_H
#define SLUICE_PROXY_CONFIG_CONFIG_H

#include "lib/wire.h"

struct config;
struct event_base;
struct snapshot;

struct config_options {
    const char *name;               /* of this proxy: the pod's */
    const char *const *controllers; /* "ws://127.0.0.1:7400", "wss://NAME.NS.svc:7400" */
    size_t n_controllers;
    const char *controller_ca; /* file that controllers are verified by; NULL: none */
    const char *token;         /* file with what they are shown; NULL: none */
    const char *peers;     /* "wss://NAME.NS.svc:7503": asked when nothing else is there; or NULL */
    const char *peer_bind; /* "0.0.0.0:7503": where new proxies ask us; NULL: nowhere */
    const char *lastgood;  /* path, or NULL: none is kept */
    const char *nameserver;                         /* "ADDRESS:PORT"; NULL: /etc/resolv.conf */
    void (*publish)(void *arg, struct snapshot *s); /* takes the hold of s */
    /* A controller was told who we are, and can be told more; may be NULL. */
    void (*greeted)(void *arg);
    /* So many objects could not be used and were sent back; may be NULL. */
    void (*rejected)(void *arg, size_t objects);
    /* Shares of limits over the fleet, of any controller; may be NULL. */
    void (*shares)(void *arg, const struct wire_shares *m);
    /* A controller is being looked at; may be NULL. */
    void (*watched)(void *arg, const struct wire_watch *m);
    void *arg;
};

/* NULL with *why. */
struct config *config_new(struct event_base *base, const struct config_options *o, struct why *why);
/* Loads the file, which may publish before this returns; then the controllers are listened to. */
void config_start(struct config *c);
void config_free(struct config *c); /* writes what is not written yet */

/* Every worker serves the snapshot of this serial, or a later one. */
void config_adopted(struct config *c, uint64_t serial);
void config_report(struct config *c, const struct wire_report *r); /* to every controller */
void config_demand(struct config *c, const struct wire_demand *d); /* likewise */
/* To the controllers that have asked (watched), until the time is over that each has said. */
void config_live(struct config *c, const struct wire_live *l);

bool config_ready(const struct config *c);  /* a configuration is applied */
bool config_linked(const struct config *c); /* a controller is followed */
uint64_t config_revision(const struct config *c);
size_t config_count(const struct config *c); /* objects */
/* For /config: every object, each held once; mem_free the array. */
struct object **config_objects(const struct config *c, size_t *n);

#endif
