/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: when a part of the law may be freed. Main thread.
 *
 * Snapshots share parts (pages, vhosts, rules, backends, decoded objects, slot numbers). A part is
 * born while snapshot `born` is built and replaced while a later one is: it belongs to all
 * snapshots in between, and only those can point at it.
 *
 *      serial      1     2     3     4     5 (being built)
 *      live        ●           ●     ●
 *      part              born──────────┤ retired
 *                                    └ on the dead list of 4, the newest that can see it
 *
 * When 4 is dropped, its dead list is gone through: what was born at or before the serial of the
 * next older live snapshot (3) moves to that one's list, the rest is freed. So nothing is counted
 * when a snapshot is made, and a snapshot that is held for days keeps alive what it points at and
 * no more.
 */
#ifndef SLUICE_PROXY_ROUTE_KEEPER_H
#define SLUICE_PROXY_ROUTE_KEEPER_H

#include "lib/blocks.h"
#include "lib/list.h"

enum part_kind {
    PART_BLOCK,  /* plain memory */
    PART_PARSED, /* struct parsed */
    PART_SLOT,   /* + enum slot_pool_kind: a number that is given back */
    PART_SLOT_BACKEND,
    PART_SLOT_ENDPOINT,
    PART_SLOT_CERTIFICATE,
    PART_SLOT_AUTH,
    PART_SLOT_LIMIT,
    PART_OBJECT, /* a count of an object */
};

/* First member of everything that snapshots share. */
struct part {
    uint64_t word; /* born << 16 | class of lib/blocks.h << 8 | kind */
    struct part *next;
};

enum slot_pool_kind {
    SLOT_RULE,
    SLOT_BACKEND,
    SLOT_ENDPOINT,
    SLOT_CERTIFICATE,
    SLOT_AUTH,
    SLOT_LIMIT,
    SLOT_POOLS
};

struct slot_pool {
    uint32_t top;         /* every number given out is below */
    uint32_t n_free, cap; /* of free and generation */
    uint32_t *free;
    uint32_t *generation; /* by number: how often it was given out before */
};

struct object;
struct snapshot;

struct keeper {
    struct list live;  /* snapshot_parts.link, oldest first */
    uint64_t building; /* serial of the next snapshot */
    struct slot_pool pools[SLOT_POOLS];
    struct blocks blocks; /* all parts */
    bool builder_gone;    /* the last snapshot frees the keeper */
};

struct keeper *keeper_new(void);
/* The builder lets go. */
void keeper_close(struct keeper *k);

/* A part of n bytes (its struct part included), zeroed, born now. */
void *part_new(struct keeper *k, enum part_kind kind, size_t n) __attribute__((returns_nonnull));
/* It is not in the snapshot that is being built, nor in later ones. NULL is fine. */
void part_retire(struct keeper *k, struct part *p);
/* A count of an object that older snapshots may point at is given up. */
void object_retire(struct keeper *k, struct object *o);
void part_free(struct keeper *k, struct part *p);      /* nobody has it */
void part_give_back(struct keeper *k, struct part *p); /* its memory alone */
static inline uint64_t part_born(const struct part *p) { return p->word >> 16; }
static inline bool part_is_fresh(const struct keeper *k, const struct part *p) {
    return part_born(p) == k->building;
}

uint32_t slot_take(struct keeper *k, enum slot_pool_kind which, uint32_t *generation);
/* Given back when no snapshot is left that may hold it; born: the serial it was taken in. */
void slot_retire(struct keeper *k, enum slot_pool_kind which, uint32_t slot, uint64_t born);

void keeper_add(struct keeper *k, struct snapshot *s);
void keeper_remove(struct keeper *k, struct snapshot *s);

#endif
