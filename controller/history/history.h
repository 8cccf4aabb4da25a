/* SPDX-License-Identifier: Apache-2.0
 *
 * history: the last revisions of what users wrote: when, which resources caused each, and which
 * model objects moved. Kept as differences, newest last; what did not change is nobody's copy.
 *
 *   revision        1            2            3 (what counts now)
 *                   ├─ changes ──┼─ changes ──┤     resource: was ► now, held by reference
 *                   ├─ moves ────┼─ moves ────┤     object:   was ► now, without what is hidden
 *
 *   back to 1:      of each resource that 2 and 3 changed the earliest `was`
 *   1 against now:  of each object that 2 and 3 moved the earliest `was`, and what is now
 *
 * A revision is made by a commit that moves an object which follows from what somebody wrote. Pods
 * that come and go, certificates and keys that rotate move objects too, and make none. Commits of
 * less than a second apart are one revision, for ten seconds at most.
 *
 * Nothing secret is in it: no Secret is kept, and of objects only what is not hidden (HIDE).
 * Bounded: HISTORY_REVISIONS and a number of bytes; the oldest go first. One thread.
 */
#ifndef SLUICE_CONTROLLER_HISTORY_HISTORY_H
#define SLUICE_CONTROLLER_HISTORY_HISTORY_H

#include "controller/compile/compile.h"
#include "lib/map.h"

enum {
    HISTORY_REVISIONS = 20,
    HISTORY_MOVES = 16384, /* of one revision; with more of them it is told and cannot be undone */
    HISTORY_NOTE = 512,
};

/* was == NULL: it is new; now == NULL: it has gone. A count each. */
struct history_change {
    struct str key; /* "Route/shop/shop"; the bytes are behind the struct */
    struct resource *was, *now;
};
struct history_move {
    struct object *was, *now;
};

struct revision {
    struct list link;
    uint64_t number;                /* 1 .. : of this history */
    uint64_t name;                  /* push_revision() when it was made */
    uint64_t serves;                /* the same of today, or of its last day: endpoints move on */
    uint64_t sum;                   /* over what users wrote, then; see history_sum() */
    int64_t made_ms, moved_ms;      /* Unix time: made, and last added to */
    bool whole;                     /* changes and moves are all there */
    bool fresh;                     /* not on the disk as it is */
    struct map changes;             /* key → struct history_change */
    struct map moves;               /* id → struct history_move */
    size_t bytes;                   /* of these, about */
    size_t added, changed, removed; /* objects */
    char note[HISTORY_NOTE];        /* "the controller started", "rollback to ..."; "" */
};

struct history {
    struct list revisions; /* struct revision, oldest first */
    size_t n, bytes, bytes_max;
    uint64_t last;      /* number */
    uint64_t sum;       /* of what users wrote, as published */
    bool begun;         /* the first commit was made */
    struct map pending; /* key → struct pending: no revision has them yet */
    struct map moves;   /* of the next commit: id → struct history_move */
    size_t added, changed, removed;
    bool too_many;
    char note[HISTORY_NOTE]; /* of the next revision */
    const struct compiler *compiler;
};

void history_init(struct history *h, const struct compiler *c, size_t bytes_max);
void history_fini(struct history *h);

/* ---- what happens ---- */

/* store_on_history() */
void history_changed(struct history *h, const struct resource *was, const struct resource *now);
/* push_pending(), before the commit */
void history_moved(struct history *h, const struct object *was, const struct object *now);
/* The commit is made, and published as that. The revision that it has made or added to, or NULL. */
struct revision *history_committed(struct history *h, uint64_t published, int64_t now_ms);
/* What is said of the next revision, as that the fleet was pinned. */
void history_say(struct history *h, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* One that was kept on a disk (taken), of the history before this one: behind those that are there,
 * before the first commit. */
void history_add(struct history *h, struct revision *r);
/* Those that were added lead to what is compiled now only if this is the sum of the first commit;
 * history_committed() finds out, and marks them as not whole if it is not. */

struct revision *revision_new(void);
void revision_free(struct revision *r);
/* Puts one into r; takes what is given. key: copied. The earliest `was` stays, the last `now`. */
void revision_change(struct revision *r, struct str key, struct resource *was,
                     struct resource *now);
void revision_move(struct revision *r, struct object *was, struct object *now);

/* ---- looking ---- */

struct revision *history_first(const struct history *h); /* NULL: there is none */
struct revision *history_newest(const struct history *h);
struct revision *history_next(const struct history *h,
                              const struct revision *r); /* newer, or NULL */
struct revision *history_before(const struct history *h, const struct revision *r);
/* By its name, or the first digits of it (at least four); of what it serves, too. NULL with *why,
 * also when two begin so. */
struct revision *history_find(const struct history *h, struct str name, struct why *why);
/* Whether all that came behind r is known. */
bool history_leads_back(const struct history *h, const struct revision *r);
/* Tells, in order of their keys, the state of r of what was changed since. Borrowed. was == NULL:
 * it was not there. now: what counts now, as far as this history knows. */
void history_since(const struct history *h, const struct revision *r,
                   void (*each)(void *arg, struct str key, const struct resource *was,
                                const struct resource *now),
                   void *arg);
/* The same of objects, from the end of `from` to that of `to`; NULL: the newest. */
void history_moves_between(const struct history *h, const struct revision *from,
                           const struct revision *to,
                           void (*each)(void *arg, struct str id, const struct object *was,
                                        const struct object *now),
                           void *arg);

/* "Route/shop/shop": of the key of a change. */
struct str history_key(const struct resource *r, struct out *o);

#endif
