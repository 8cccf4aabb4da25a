/* SPDX-License-Identifier: Apache-2.0
 *
 * moves: what is different between two states of the configuration, object by object, in the words
 * of those who write resources: hosts, rules with their paths, backends with weights, policies. The
 * one engine of diff, history and rollback.
 *
 * Of objects only those count that follow from what somebody writes. Endpoints, certificates and
 * keys come and go by themselves. Where an object was read (file, line) is no difference.
 */
#ifndef SLUICE_CTL_MOVES_H
#define SLUICE_CTL_MOVES_H

#include "ctl/doc.h"

enum move_change { MOVE_ADDED, MOVE_CHANGED, MOVE_REMOVED };

/* "backends: monolith 90%, catalog 10%" became "monolith 50%, catalog 50%". */
struct move_field {
    struct str name, was, now; /* n == 0: it was, or is, not there */
    bool grave;                /* somebody who was asked who he is is not asked any more */
};

struct move {
    enum move_change change;
    struct str kind, id;
    struct str name; /* "rule shop/shop/catalog" */
    struct str from; /* "Route shop/shop": the resource; n == 0: of no one */
    struct move_field *fields;
    size_t n, room;
};

struct moves {
    struct arena arena;
    struct move *v;
    size_t n, room;
    size_t count[3]; /* by enum move_change */
};

void moves_init(struct moves *m);
void moves_fini(struct moves *m);

/* One object, of which one side may be NULL. Nothing is added when nothing is different. */
void moves_add(struct moves *m, const struct object *was, const struct object *now);
/* Two whole states, each in order of ids. */
void moves_compare(struct moves *m, struct object *const *was, size_t n_was,
                   struct object *const *now, size_t n_now);
/* The same of a controller's [{"was":object,"now":object}]; backwards: now is what was. CTL_OK, or
 * the code after one line to err. */
enum ctl_exit moves_read(struct ctl *c, struct moves *m, const cJSON *list, bool backwards);

/* For people: one paragraph a move. */
void moves_print(struct ctl *c, const struct moves *m);
/* "3 added, 1 changed, 2 removed" */
void moves_sum(const struct moves *m, struct out *o);
/* In few words: "shop/shop/catalog backends, +shop/shop/new". */
void moves_brief(const struct moves *m, size_t room, struct out *o);
/* {"added":n,"changed":n,"removed":n,"moves":[{"change","kind","id","name","resource","fields"}]}
 */
void moves_document(const struct moves *m, cJSON *to);

#endif
