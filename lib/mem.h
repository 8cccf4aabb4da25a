/* SPDX-License-Identifier: Apache-2.0
 *
 * mem: heap memory. Two ways, and the name says which:
 *
 *   mem_alloc ...      configuration and start: out of memory ends the process.
 *   mem_try ...        request path: NULL is an ordinary answer that sheds load.
 *
 * Any thread may call all of them. mem_fail_at() is for tests: it makes the n-th mem_try from now
 * (1 = the next) return NULL, once. mem_calls() counts allocations made through this file.
 */
#ifndef SLUICE_LIB_MEM_H
#define SLUICE_LIB_MEM_H

#include "lib/base.h"

void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t n) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *mem_realloc(void *p, size_t n) __attribute__((returns_nonnull));
/* n copies of size bytes, zeroed; dies when n * size overflows. */
void *mem_array(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
char *mem_dup(const char *p, size_t n) __attribute__((malloc, returns_nonnull)); /* NUL added */

void *mem_try(size_t n) __attribute__((malloc));
void *mem_try_zero(size_t n) __attribute__((malloc));

void mem_free(void *p); /* NULL is fine */

void mem_fail_at(uint64_t n);
uint64_t mem_calls(void);

#endif
