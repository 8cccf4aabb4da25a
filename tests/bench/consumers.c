/* SPDX-License-Identifier: Apache-2.0
 *
 * What it costs to find the Consumer of an API key: its hash, a look into the table, and the
 * Consumer decoded; keys in random order.
 *
 *   consumers            the table: 1,000, 100,000 and 1,000,000 keys
 *   consumers N LOOKUPS  one case, for callgrind: the slope over LOOKUPS
 *
 * CPU time; of the rounds the fastest counts: a shared machine is slow at times, never fast. Bytes
 * are resident memory a key, with the object that the link has brought.
 */
#include "proxy/route/consumers.h"
#include "lib/hash.h"
#include "lib/mem.h"
#include "proxy/route/auth.h"
#include "proxy/route/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 20, LOOKUPS = 200000 };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static size_t resident(void) {
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void refused(void *arg, struct str id, const struct why *why) {
    (void)arg;
    fprintf(stderr, "%.*s: %s\n", STR_FMT(id), why->text);
    exit(1);
}

/* 32 characters, as long as keys are. */
static struct str key_of(uint32_t i, char room[64]) {
    int n = snprintf(room, 64, "key-%08x-of-a-partner-%08x", i * 2654435761U, i);
    return str_mk(room, (size_t)n);
}

static void put(struct builder *b, struct arena *a, struct credential_scratch *hash, uint32_t i) {
    char room[64], digest[CREDENTIAL_DIGEST];
    credential_digest(hash, "apiKey", key_of(i, room), STR_NONE, digest);
    struct str group = STR("partners");
    struct model_credential c = {.type = MODEL_AUTH_API_KEY,
                                 .digest = str_mk(digest, sizeof(digest))};
    struct model_consumer m = {
        .groups = &group, .n_groups = 1, .credentials = &c, .n_credentials = 1};
    builder_put(b, object_new(MODEL_KIND_consumer, arena_fmt(a, "consumer/default/c%07u", i), &m));
    arena_reset(a);
}

static struct snapshot *filled(struct builder *b, struct credential_scratch *hash, uint32_t n) {
    struct arena a;
    arena_init(&a);
    builder_begin(b);
    for (uint32_t i = 0; i < n; i++)
        put(b, &a, hash, i);
    arena_fini(&a);
    return builder_commit(b, 1, refused, NULL);
}

static uint64_t look(const struct snapshot *s, struct credential_scratch *hash, uint32_t n,
                     uint64_t lookups) {
    struct arena a;
    struct prng rng;
    uint64_t start = now_ns();
    arena_init(&a);
    prng_init(&rng);
    for (uint64_t i = 0; i < lookups; i++) {
        char room[64], digest[CREDENTIAL_DIGEST];
        struct consumer_found found;
        credential_digest(hash, "apiKey", key_of(prng_below(&rng, n), room), STR_NONE, digest);
        must(consumers_find(snapshot_consumers(s), MODEL_AUTH_API_KEY, digest, &a, &found));
        arena_reset(&a);
    }
    arena_fini(&a);
    return now_ns() - start;
}

/* What the loop above costs without what is measured. */
static uint64_t write_only(uint32_t n, uint64_t lookups) {
    struct prng rng;
    uint64_t start = now_ns();
    prng_init(&rng);
    for (uint64_t i = 0; i < lookups; i++) {
        char room[64];
        key_of(prng_below(&rng, n), room);
        __asm__ volatile("" : : "r"(room) : "memory");
    }
    return now_ns() - start;
}

static void run(uint32_t n, uint64_t lookups, int rounds) {
    struct credential_scratch *hash = credential_scratch_new();
    size_t before = resident();
    struct builder *b = builder_new();
    struct snapshot *s = filled(b, hash, n);
    size_t bytes = resident() - before;
    uint64_t ns = UINT64_MAX;
    for (int i = 0; i < rounds; i++) {
        uint64_t took = look(s, hash, n, lookups);
        if (rounds > 1)
            took -= size_min(took, write_only(n, lookups));
        ns = took < ns ? took : ns;
    }
    printf("%8u keys %7.1f ns/lookup %6.0f bytes/key\n", n, (double)ns / (double)lookups,
           (double)bytes / n);
    fflush(stdout);
    snapshot_drop(s);
    builder_free(b);
    credential_scratch_free(hash);
}

int main(int argc, char **argv) {
    static const uint32_t sizes[] = {1000, 100000, 1000000};
    uint64_t n, lookups;
    if (argc == 3 && str_to_u64(str_of(argv[1]), 10000000, &n) && n > 0 &&
        str_to_u64(str_of(argv[2]), 1000000000, &lookups)) {
        run((uint32_t)n, lookups, 1);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) { /* each in a process of its own */
        pid_t child = fork();
        if (child == 0) {
            run(sizes[i], LOOKUPS, ROUNDS);
            _exit(0);
        }
        must(child > 0 && waitpid(child, NULL, 0) == child);
    }
    return 0;
}
