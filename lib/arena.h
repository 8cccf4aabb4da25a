/* SPDX-License-Identifier: Apache-2.0
 *
 * arena: bump memory with one owner and one end. Nothing in it is freed alone; arena_free() or
 * arena_reset() ends all of it. For configuration: out of memory ends the process. (The request
 * path has its own fixed memory, see proxy/net/slab.h.)
 */
#ifndef SLUICE_LIB_ARENA_H
#define SLUICE_LIB_ARENA_H

#include "lib/str.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    char *at, *end;             /* free room of the newest */
    size_t used;                /* bytes handed out */
};

void arena_init(struct arena *a); /* allocates nothing */
void arena_fini(struct arena *a);
void arena_reset(struct arena *a); /* empties it, keeps the newest chunk */

void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull)); /* aligned to 8 */
void *arena_zalloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
void *arena_array(struct arena *a, size_t n, size_t size)
    __attribute__((returns_nonnull));                /* zeroed */
struct str arena_str(struct arena *a, struct str s); /* copied, NUL added */
struct str arena_fmt(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3); /* NUL added */

#endif
