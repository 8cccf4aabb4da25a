/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_mem: memory of HTTP/2 connections, nghttp2's and our own. A worker keeps what was given back
 * on free lists, one for each size in steps of 64 bytes, so that a steady request allocates
 * nothing; a connection has an account, so that no peer takes more than a bounded share (S23). All
 * of it counts on the worker's limit (net/slab.h).
 *
 *     nghttp2 ─ hooks ─► account of the connection ─► free lists of the worker ─► heap
 *
 * One thread.
 */
#ifndef SLUICE_PROXY_H2_MEM_H
#define SLUICE_PROXY_H2_MEM_H

#include "proxy/net/slab.h"

#include <nghttp2/nghttp2.h>

enum { H2_MEM_STEP = 64, H2_MEM_LISTS = 64 }; /* up to 4 KiB; larger ones are the heap's */

struct h2_block;

struct h2_mem { /* a worker's */
    struct slabs *slabs;
    struct h2_block *free[H2_MEM_LISTS];
    size_t free_bytes;
};

struct h2_account { /* a connection's */
    struct h2_mem *mem;
    size_t used, limit;
};

void h2_mem_init(struct h2_mem *m, struct slabs *s);
void h2_mem_fini(struct h2_mem *m); /* everything must have been given back */

void *h2_take(struct h2_account *a, size_t n) MUST_USE; /* not zeroed; NULL at a limit */
void h2_give(struct h2_account *a, void *p);            /* NULL is fine */
/* What nghttp2 is given; a must stay where it is. */
nghttp2_mem h2_hooks(struct h2_account *a);

#endif
