/* SPDX-License-Identifier: Apache-2.0
 *
 * main_history: the revisions of this controller (controller/history/), what the admin port tells
 * of them, and the pin: a ConfigMap of our own namespace, in the cluster or in the directory.
 *
 *   store ── a resource changed ──►┐
 *   push ── what the commit moves ─┤ history ──► DIR/r-*.json (--history)
 *   turn ── committed ────────────►┘    │
 *                                       └── /history, `sluicectl history`, `diff`, `rollback`
 *   ConfigMap ── compile_watch() ──► pin ──► the store is frozen, and put back
 *        ▲                                      │ what is held back since
 *        └──────────── PATCH (kube) ◄───────────┘
 */
#ifndef SLUICE_CONTROLLER_MAIN_HISTORY_H
#define SLUICE_CONTROLLER_MAIN_HISTORY_H

#include "controller/main_options.h"
#include "controller/main_turn.h"

struct main_history;
struct kube_client;

struct main_history_host {
    struct event_base *base;
    struct turn *turn;
    struct store *store;
    const struct options *o;
    struct str ns;              /* our own namespace; copied */
    struct kube_client *client; /* NULL for a directory */
    bool (*leads)(void *arg);   /* whether this controller writes */
    /* ,"ownerReferences":[...] of a pin, so that it goes when we are uninstalled; or nothing */
    void (*owner)(void *arg, struct out *o);
    void *arg;
};

/* NULL with *why: the directory of --history cannot be used. */
struct main_history *main_history_new(const struct main_history_host *host, struct why *why);
void main_history_free(struct main_history *m); /* before the turn */

/* /history. revision: what that one moved, whole; since: what moved between the end of that one and
 * of `to` (n == 0: now); pin: the data of a ConfigMap that pins the fleet to it. All n == 0: the
 * list. False: there is none, and *why says so. */
bool main_history_json(struct main_history *m, struct str revision, struct str since, struct str to,
                       struct str pin, struct out *o, struct why *why);
/* {"revision":...,"since":...,"by":...,"reason":...,"held_back":1,"text":...}, or null */
void main_history_pinned(const struct main_history *m, struct out *o);
/* [...]: the revisions as in /history, the newest first, with a few causes and no moves. */
void main_history_changes(const struct main_history *m, struct out *o);
void main_history_metrics(const struct main_history *m, struct metric_text *t);
void main_history_faults(const struct main_history *m, void (*each)(void *arg, struct str fault),
                         void *arg);

#endif
