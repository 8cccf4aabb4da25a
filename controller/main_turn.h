/* SPDX-License-Identifier: Apache-2.0
 *
 * turn: from a change in the store to a commit of the push, and back from the fleet's answers.
 *
 *   store changed ─► wait: nothing if it was quiet, else 10 ms, at most 200 ms
 *        └─► compile_run ── put, del ──► push_commit ─► ack of all: proven
 *                  ▲   └── lost ─► push_hold, push_get ─► have ─► compile_restore
 *                  └────────────── nack ─► compile_quarantine
 *
 * The first commit waits while something is lost and a proxy that serves can be asked for it: what
 * the fleet remembers is asked for before anything is taken away. The same when a file (or a kind)
 * could not be read at the start: nobody knows what stands in it, so whatever a proxy serves beyond
 * what was compiled is fostered until it can be read. And while a Secret was asked for and not
 * answered, for at most 10 s.
 */
#ifndef SLUICE_CONTROLLER_MAIN_TURN_H
#define SLUICE_CONTROLLER_MAIN_TURN_H

#include "controller/compile/compile.h"
#include "controller/push/push.h"
#include "lib/metric.h"

struct event_base;
struct source;
struct trust;
struct turn;

struct turn_numbers {
    uint64_t runs, units, commits, puts, dels, nacks, restored;
    struct histogram compile, push, propagation;
};

/* Makes compiler and link. NULL with *why. secure: see push.h; turn_trust() must follow. */
struct turn *turn_new(struct event_base *base, struct store *store, const char *link, bool secure,
                      struct why *why);
void turn_trust(struct turn *t, struct trust *trust); /* who judges the links' tokens */
/* Whose resources these are, before the loop runs: while it has some that it could not read at all
 * since the start, objects that only the fleet knows stay there. */
void turn_source(struct turn *t, const struct source *source);
void turn_free(struct turn *t);

struct compiler *turn_compiler(struct turn *t);
struct push *turn_push(struct turn *t);
const struct turn_numbers *turn_numbers(const struct turn *t);

/* For who writes statuses: a resource's status changed (compile_sink.status); proxies acked, came
 * or went, or something was published. Not from inside turn_on_news(). */
void turn_on_news(struct turn *t, void (*on_status)(void *arg, const struct resource *r),
                  void (*on_fleet)(void *arg), void *arg);
/* For who fetches: after each compile_run(), wants may be other ones. NULL: nobody cares. */
void turn_on_compiled(struct turn *t, void (*compiled)(void *arg), void *arg);
/* For who remembers: before a commit (push_pending() tells what it changes), and after it. */
void turn_on_commit(struct turn *t, void (*before)(void *arg), void (*after)(void *arg), void *arg);
/* Nothing is committed for the first time: it is not known yet what counts. */
void turn_wait(struct turn *t, bool wait);
/* Proxies met tokens with keys that these sources (key_set.source) do not have. NULL: as above. */
void turn_on_unknown_keys(struct turn *t,
                          void (*unknown)(void *arg, const struct str *sources, size_t n),
                          void *arg);
/* A proxy has said what it is asked for of limits over the fleet; its link is lost. NULL: as above.
 */
void turn_on_demand(struct turn *t,
                    void (*demand)(void *arg, uint64_t proxy, const struct wire_demand *d),
                    void (*gone)(void *arg, uint64_t proxy), void *arg);
/* What a proxy counted while it was watched (push_watch()); its link is lost. NULL: as above. */
void turn_on_live(struct turn *t,
                  void (*live)(void *arg, uint64_t proxy, const struct wire_live *m),
                  void (*gone)(void *arg, uint64_t proxy), void *arg);
/* The version of push that all that was compiled so far is in; 0: it is not all published. */
uint64_t turn_published(const struct turn *t);

/* Keys of session tickets, of sessions or of internal tokens: an object that no resource stands
 * for. Takes the count. */
void turn_keys(struct turn *t, struct object *keys);
/* An object of that kind as the fleet has it, of a controller that was here before: proxies keep
 * theirs meanwhile. Calls once: with what a proxy has, or with NULL when a second after the first
 * of them came none has told. id: a constant. Before the loop runs. */
void turn_recall(struct turn *t, const char *id,
                 void (*recalled)(void *arg, const struct object *o), void *arg);

/* The store was synced, or changed: a turn will come. (The store tells the turn by itself.) */
void turn_wake(struct turn *t);
/* All resources were read and compiled. */
bool turn_is_ready(const struct turn *t);

#endif
