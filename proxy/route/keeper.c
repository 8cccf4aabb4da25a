/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/keeper.h"

#include "lib/mem.h"
#include "proxy/route/build.h"

struct slot_part {
    struct part part;
    uint32_t slot;
};

struct object_part {
    struct part part;
    struct object *object;
};

struct keeper *keeper_new(void) {
    struct keeper *k = mem_zalloc(sizeof(*k));
    list_init(&k->live);
    blocks_init(&k->blocks);
    k->building = 1;
    return k;
}

static void free_if_unused(struct keeper *k) {
    if (!k->builder_gone || !list_empty(&k->live))
        return;
    for (size_t i = 0; i < SLOT_POOLS; i++) {
        mem_free(k->pools[i].free);
        mem_free(k->pools[i].generation);
    }
    blocks_fini(&k->blocks);
    mem_free(k);
}

void keeper_close(struct keeper *k) {
    k->builder_gone = true;
    free_if_unused(k);
}

static void *part_born_at(struct keeper *k, enum part_kind kind, size_t n, uint64_t born) {
    uint8_t class;
    struct part *p = blocks_new(&k->blocks, n, &class);
    p->word = born << 16 | (uint64_t) class << 8 | (uint64_t)kind;
    return p;
}

void *part_new(struct keeper *k, enum part_kind kind, size_t n) {
    return part_born_at(k, kind, n, k->building);
}

void part_give_back(struct keeper *k, struct part *p) {
    blocks_free(&k->blocks, p, (uint8_t)(p->word >> 8));
}

static void slot_free(struct slot_pool *pool, uint32_t slot) {
    must(pool->n_free < pool->cap);
    pool->free[pool->n_free++] = slot;
}

void part_free(struct keeper *k, struct part *p) {
    enum part_kind kind = (enum part_kind)(p->word & 0xff);
    switch (kind) {
    case PART_BLOCK:
        part_give_back(k, p);
        break;
    case PART_PARSED:
        parsed_free(k, (struct parsed *)p);
        break;
    case PART_SLOT:
    case PART_SLOT_BACKEND:
    case PART_SLOT_ENDPOINT:
    case PART_SLOT_CERTIFICATE:
    case PART_SLOT_AUTH:
    case PART_SLOT_LIMIT:
        slot_free(&k->pools[kind - PART_SLOT], ((struct slot_part *)p)->slot);
        part_give_back(k, p);
        break;
    case PART_OBJECT:
        object_drop(((struct object_part *)p)->object);
        part_give_back(k, p);
        break;
    }
}

/* To the dead list of s if s can see it, else freed. */
static void bury(struct keeper *k, struct list *at, struct part *p) {
    if (at != &k->live) {
        struct snapshot_parts *s = list_entry(at, struct snapshot_parts, link);
        if (s->serial >= part_born(p)) {
            p->next = s->dead;
            s->dead = p;
            return;
        }
    }
    part_free(k, p);
}

void part_retire(struct keeper *k, struct part *p) {
    if (p)
        bury(k, k->live.prev, p);
}

static void pool_grow(struct slot_pool *pool) {
    uint32_t cap = pool->cap ? pool->cap * 2 : 64;
    pool->free = mem_realloc(pool->free, cap * sizeof(*pool->free));
    pool->generation = mem_realloc(pool->generation, cap * sizeof(*pool->generation));
    memset(pool->generation + pool->cap, 0, (cap - pool->cap) * sizeof(*pool->generation));
    pool->cap = cap;
}

uint32_t slot_take(struct keeper *k, enum slot_pool_kind which, uint32_t *generation) {
    struct slot_pool *pool = &k->pools[which];
    uint32_t slot;
    if (pool->n_free > 0) {
        slot = pool->free[--pool->n_free];
        pool->generation[slot]++;
    } else {
        if (pool->top == pool->cap)
            pool_grow(pool);
        slot = pool->top++;
    }
    if (generation)
        *generation = pool->generation[slot];
    return slot;
}

void slot_retire(struct keeper *k, enum slot_pool_kind which, uint32_t slot, uint64_t born) {
    struct slot_part *p = part_born_at(k, (enum part_kind)(PART_SLOT + which), sizeof(*p), born);
    p->slot = slot;
    part_retire(k, &p->part);
}

void object_retire(struct keeper *k, struct object *o) {
    struct object_part *p = part_born_at(k, PART_OBJECT, sizeof(*p), 0);
    p->object = o;
    part_retire(k, &p->part);
}

void keeper_add(struct keeper *k, struct snapshot *s) {
    must(s->serial == k->building);
    list_append(&k->live, &s->parts->link);
    k->building++;
}

void keeper_remove(struct keeper *k, struct snapshot *s) {
    struct list *older = s->parts->link.prev;
    list_del(&s->parts->link);
    struct part *p = s->parts->dead, *next;
    for (; p; p = next) {
        next = p->next;
        bury(k, older, p);
    }
    free_if_unused(k);
}
