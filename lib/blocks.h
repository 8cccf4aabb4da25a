/* SPDX-License-Identifier: Apache-2.0
 *
 * blocks: memory for many small things that are read at random, in pages of 2 MiB once there is
 * much of it: with 100,000 routes half of a lookup's time would go into finding the page (TLB
 * misses) of ordinary memory. A block begins a line of the cache and is whole lines (but for the
 * heap's), so that what is small is in as few of them as can be.
 * A block has no header; its owner remembers its class. Given-back blocks are used again for the
 * same class. One thread.
 *
 *     chunk 2 MiB  [block][block][block] ... at ──► end       free[class] ─► block ─► block
 *
 * Under a sanitizer every block is the heap's own, so that it sees what is done with each.
 */
#ifndef SLUICE_LIB_BLOCKS_H
#define SLUICE_LIB_BLOCKS_H

#include "lib/base.h"

/* Classes: steps of a line up to 8 KiB, of 1 KiB up to 64 KiB. What is larger is the heap's. */
enum { BLOCKS_CLASSES = 192, BLOCKS_LINE = 64 };

struct blocks_chunk;

struct blocks {
    struct blocks_chunk *chunks;
    char *at, *end;
    size_t n_chunks;
    void *free[BLOCKS_CLASSES];
};

void blocks_init(struct blocks *b);
void blocks_fini(struct blocks *b); /* with everything in it, but for what was the heap's */

/* Zeroed; out of memory ends the process. *class is what blocks_free() wants to know. */
void *blocks_new(struct blocks *b, size_t n, uint8_t *class) __attribute__((returns_nonnull));
void blocks_free(struct blocks *b, void *p, uint8_t class);

#endif
