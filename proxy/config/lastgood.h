/* SPDX-License-Identifier: Apache-2.0
 *
 * lastgood: the accepted objects in a file (but for keys of session tickets, of sessions and of
 * internal tokens), so that a proxy starts with what it served when no controller answers. It holds
 * private keys: mode 0600, and the chart puts it on a volume in memory.
 *
 *   "SLUICE LAST GOOD\n"   16 bytes and a newline
 *   version                u32, 1
 *   count                  u64
 *   count x { kind u32, length of id u32, length of bytes u32, id, bytes }
 *   checksum               u64, XXH3-64 of all before it
 *
 * Numbers are little-endian. The file is written beside and renamed, so it is always whole. A file
 * that is cut, changed or of another version is refused whole, with a sentence.
 *
 * Main thread; the writing itself is on a thread that lives as long as it takes. It reads objects
 * whose counts main keeps until it has ended.
 */
#ifndef SLUICE_PROXY_CONFIG_LASTGOOD_H
#define SLUICE_PROXY_CONFIG_LASTGOOD_H

#include "lib/model.h"

enum lastgood_result {
    LASTGOOD_LOADED,
    LASTGOOD_ABSENT,
    LASTGOOD_REFUSED, /* with *why */
};

/* *objects: an array of *n, each with one count, all the caller's (mem_free the array). */
enum lastgood_result lastgood_load(const char *path, struct object ***objects, size_t *n,
                                   struct why *why);
/* Writes now. 0, or -1 with *why. */
int lastgood_save(const char *path, struct object *const *objects, size_t n, struct why *why);

/* ---- saving in the background ---- */

struct lastgood;
struct lastgood *lastgood_new(const char *path);
void lastgood_free(struct lastgood *l); /* waits for a write that runs */

/* Starts a write of the objects (array and counts taken). Only when lastgood_idle(). */
void lastgood_start(struct lastgood *l, struct object **objects, size_t n);
bool lastgood_idle(const struct lastgood *l);
int lastgood_fd(const struct lastgood *l); /* readable: a write has ended, call lastgood_end */
/* Whether it was written. The first failure in a row is logged. *took_ms: how long. */
bool lastgood_end(struct lastgood *l, uint64_t *took_ms);

#endif
