/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t calls;
static _Atomic uint64_t fail_at; /* 0 = never */

_Noreturn void must_failed(const char *file, int line, const char *condition) {
    fprintf(stderr, "sluice %s: bug: %s:%d: %s\n", sluice_version, file, line, condition);
    abort();
}

static void count(void) { atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed); }

static void *checked(void *p, size_t n) {
    if (unlikely(p == NULL)) {
        fprintf(stderr, "sluice: out of memory (%zu bytes)\n", n);
        abort();
    }
    return p;
}

void *mem_alloc(size_t n) {
    count();
    return checked(malloc(n ? n : 1), n);
}

void *mem_zalloc(size_t n) {
    count();
    return checked(calloc(1, n ? n : 1), n);
}

void *mem_realloc(void *p, size_t n) {
    count();
    return checked(realloc(p, n ? n : 1), n);
}

void *mem_array(size_t n, size_t size) {
    count();
    return checked(calloc(n ? n : 1, size ? size : 1), n); /* calloc checks n * size */
}

char *mem_dup(const char *p, size_t n) {
    must(n < SIZE_MAX);
    char *copy = mem_alloc(n + 1);
    if (n > 0)
        memcpy(copy, p, n);
    copy[n] = 0;
    return copy;
}

static bool injected(void) {
    uint64_t left = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (likely(left == 0))
        return false;
    return atomic_fetch_sub(&fail_at, 1) == 1;
}

void *mem_try(size_t n) {
    count();
    return injected() ? NULL : malloc(n ? n : 1);
}

void *mem_try_zero(size_t n) {
    count();
    return injected() ? NULL : calloc(1, n ? n : 1);
}

void mem_free(void *p) { free(p); }
void mem_fail_at(uint64_t n) { atomic_store(&fail_at, n); }
uint64_t mem_calls(void) { return atomic_load(&calls); }
