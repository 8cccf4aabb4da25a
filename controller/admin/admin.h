/* SPDX-License-Identifier: Apache-2.0
 *
 * admin: the controller's two small HTTP ports.
 *
 *   telemetry (the pod's address)   /live  /ready  /metrics
 *   admin     (loopback only)       /config  /status  /live  /ui/
 *                                   /resources  /history
 *
 *   /status      {"revision":"16
 * hex","pinned":null,"proxies":[...],"link":{...},"resources":[...],"source":[...]}
 *   /status?kind=Route&namespace=shop&name=shop
 *   /config                  {"revision":"16
 * hex","objects":[...],"proxies":[...],"resources":[...]} /config?kind=route       objects of one
 * kind;  ?id=route/shop/shop/catalog  one object
 *
 *   /live                    what the fleet does now, docs/live.md;  ?routes=N: at most so many
 *   /ui/                     the page that shows it (lib/ui)
 *   /resources               {"revision":...,"pinned":...,"resources":[...]}: what counts, as
 *                            resource_write() has it, for `sluicectl diff`
 *   /history                 the revisions; ?revision=, ?since=&to=, ?pin=: see main_history.h
 *
 * What grows with the configuration is told in pieces (lib/httpd.h), a few resources a turn of the
 * loop. /resources is the state at the moment of the request, whatever changes while it is read; in
 * /config and /status each object or resource is as it is when its turn comes.
 *
 * Secrets (HIDE in lib/model.def) are in none of them.
 */
#ifndef SLUICE_CONTROLLER_ADMIN_ADMIN_H
#define SLUICE_CONTROLLER_ADMIN_ADMIN_H

#include "controller/compile/compile.h"
#include "lib/httpd.h"
#include "lib/metric.h"

struct event_base;
struct admin;

/* What main knows. Each writes one JSON value; what grows with the configuration, in pieces. */
struct admin_host {
    struct compiler *compiler;
    uint64_t (*revision)(void *arg);
    bool (*ready)(void *arg, struct out *body); /* and in words: what for, what is wrong */
    void (*proxies)(void *arg, struct out *o);
    void (*link)(void *arg, struct out *o); /* how it is secured; null: it is plain */
    struct httpd_pieces (*resources)(void *arg, struct str kind, struct str ns, struct str name);
    void (*source)(void *arg, struct out *o); /* what cannot be read */
    void (*metrics)(void *arg, struct metric_text *t);
    void (*live)(void *arg, size_t routes, struct out *o);
    struct httpd_pieces (*written)(void *arg); /* the resources themselves, as they are now */
    void (*pinned)(void *arg, struct out *o);  /* to which revision; null: to none */
    /* False: it cannot be told, for that reason. */
    bool (*history)(void *arg, const struct httpd_request *rq, struct out *o, struct why *why);
    void *arg;
};

/* NULL with *why. Addresses as in httpd_new(); loopback must be one. */
struct admin *admin_new(struct event_base *base, const char *telemetry, const char *loopback,
                        const struct admin_host *host, struct why *why);
void admin_free(struct admin *a); /* NULL is fine */

#endif
