/* SPDX-License-Identifier: Apache-2.0
 *
 * base: the few words that every file uses.
 *
 *   must(x)        a bug if false: prints place and condition, aborts. Always compiled in.
 *   debug_must(x)  the same, too dear for production: only with -DSLUICE_DEBUG.
 *
 * What the network, a user or a full machine can cause is never a must().
 */
#ifndef SLUICE_LIB_BASE_H
#define SLUICE_LIB_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_USE               __attribute__((warn_unused_result))

_Noreturn void must_failed(const char *file, int line, const char *condition);

#define must(x) (likely(x) ? (void)0 : must_failed(__FILE__, __LINE__, #x))

#ifdef SLUICE_DEBUG
#define debug_must(x) must(x)
#else
#define debug_must(x) ((void)sizeof(!(x)))
#endif

static inline size_t size_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t size_max(size_t a, size_t b) { return a > b ? a : b; }

/* Asks for the line that p points to; nothing waits for it. It is a load: a prefetch may be dropped,
 * and among much memory it did nothing (docs/performance.md, "A lookup"). */
static inline void fetch_early(const void *p) { (void)*(const volatile char *)p; }

/* A number that one thread writes and others read at any time: no lock, no locked instruction. */
static inline void counter_add(uint64_t *c, uint64_t n) {
    __atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}
static inline void counter_sub(uint64_t *c, uint64_t n) {
    __atomic_store_n(c, *c - n, __ATOMIC_RELAXED);
}
static inline uint64_t counter_get(const uint64_t *c) { return __atomic_load_n(c, __ATOMIC_RELAXED); }

/* The version of this build, from git; defined by the Makefile. */
extern const char sluice_version[];

#endif
