/* SPDX-License-Identifier: Apache-2.0
 *
 * What a lookup and a route cost: routes on hosts of their own, and all on one host.
 *
 *   router                    the table: 10, 1,000 and 100,000 routes, both shapes
 *   router SHAPE N LOOKUPS    one case (hosts | paths), for callgrind: the slope over LOOKUPS
 *
 * Bytes are resident memory of the process per route, the kept objects included; each case runs in
 * a process of its own. Lookups are random, each of another route, and the rule that was found is
 * read; what writing the requests costs is taken off. Of the rounds the fastest counts (a shared
 * machine is slow at times, for seconds, never fast; so rounds that wait for memory are spread over
 * ten seconds), and beside it stands what one random access to so much memory costs in the same
 * way: a lookup among many is a few of them.
 */
#include "lib/hash.h"
#include "lib/mem.h"
#include "proxy/route/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 20, MANY = 100000, PAUSE_US = 500000 };

struct request {
    char host[48], path[48];
    uint8_t n_host, n_path;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
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

/* The request for route i: written anew for each lookup, so that no list of requests takes the
 * caches that the router could use. */
static void name(struct request *r, bool hosts, uint32_t i) {
    static const char host[] = "shop-000000.example.com", path[] = "/catalog-000000/items";
    memcpy(r->host, host, sizeof(host));
    memcpy(r->path, path, sizeof(path));
    r->n_host = sizeof(host) - 1;
    r->n_path = sizeof(path) - 1;
    char *end = hosts ? r->host + 10 : r->path + 14;
    for (; i > 0; i /= 10)
        *end-- = (char)('0' + i % 10);
}

static struct model_origin origin_of(struct arena *a, uint32_t i) {
    return (struct model_origin){.kind = STR("Route"),
                                 .namespace = STR("storefront"),
                                 .name = arena_fmt(a, "shop-%u", i),
                                 .field = STR("spec.rules[0]")};
}

static void put_host(struct builder *b, struct arena *a, const struct request *r, uint32_t i) {
    struct model_origin origin = origin_of(a, i);
    struct model_host h = {.origin = &origin,
                           .gateway = STR("gateway/-/sluice"),
                           .hostname = str_mk(r->host, r->n_host)};
    builder_put(b, object_new(MODEL_KIND_host, arena_fmt(a, "host/sluice/%s", r->host), &h));
}

static void put_route(struct builder *b, struct arena *a, const struct request *r, uint32_t i) {
    struct model_origin origin = origin_of(a, i);
    struct str host = arena_fmt(a, "host/sluice/%s", r->host);
    struct model_match match = {.path = str_mk(r->path, (size_t)r->n_path - 6)};
    struct model_backend_ref ref = {
        .backend = arena_fmt(a, "backend/storefront/app-%u/80", i % 100), .weight = 1};
    struct model_route m = {.origin = &origin,
                            .gateway = STR("gateway/-/sluice"),
                            .hosts = &host,
                            .n_hosts = 1,
                            .namespace = STR("storefront"),
                            .name = origin.name,
                            .rule = STR("rule-0"),
                            .created = 1700000000,
                            .matches = &match,
                            .n_matches = 1,
                            .backends = &ref,
                            .n_backends = 1};
    struct str id = arena_fmt(a, "route/storefront/shop-%u/rule-0", i);
    builder_put(b, object_new(MODEL_KIND_route, id, &m));
}

static void put_backends(struct builder *b, struct arena *a) {
    for (uint32_t i = 0; i < 100; i++) {
        struct model_endpoint e[3];
        char addresses[3][4];
        for (uint32_t j = 0; j < 3; j++) {
            const char address[4] = {10, (char)j, 0, (char)i};
            memcpy(addresses[j], address, 4);
            e[j] = (struct model_endpoint){.address = str_mk(addresses[j], 4), .port = 8080};
        }
        struct str id = arena_fmt(a, "endpoints/storefront/app-%u/80", i);
        struct model_endpoints list = {.endpoints = e, .n_endpoints = 3};
        struct model_backend m = {.namespace = STR("storefront"),
                                  .service = arena_fmt(a, "app-%u", i),
                                  .port = 80,
                                  .endpoints = id};
        builder_put(b, object_new(MODEL_KIND_endpoints, id, &list));
        builder_put(
            b, object_new(MODEL_KIND_backend, arena_fmt(a, "backend/storefront/app-%u/80", i), &m));
    }
}

static void fill(struct builder *b, bool hosts, uint32_t n) {
    struct arena a;
    arena_init(&a);
    put_backends(b, &a);
    for (uint32_t i = 0; i < n; i++) {
        struct request r;
        name(&r, hosts, i);
        arena_reset(&a);
        if (hosts || i == 0)
            put_host(b, &a, &r, i);
        put_route(b, &a, &r, i);
    }
    arena_fini(&a);
}

static uint64_t look(const struct snapshot *s, bool hosts, const uint32_t *list, uint32_t n,
                     uint64_t lookups) {
    static struct head head;
    struct route_scratch *scratch = route_scratch_new();
    struct request r;
    uint64_t sum = 0, start = now_ns();
    head.base = "GET";
    head.method = METHOD_GET;
    for (uint64_t i = 0, at = 0; i < lookups; i++, at = at + 1 == n ? 0 : at + 1) {
        name(&r, hosts, list[at]);
        struct route_request rq = {str_mk(r.host, r.n_host), str_mk(r.path, r.n_path), &head, 80};
        struct match_result result;
        must(snapshot_route(s, &rq, scratch, &result));
        sum += result.rule->slot;
    }
    uint64_t ns = now_ns() - start;
    route_scratch_free(scratch);
    must(sum > 0 || n == 1);
    return ns;
}

/* The same without the lookup. */
static uint64_t write_only(bool hosts, const uint32_t *list, uint32_t n, uint64_t lookups) {
    struct request r;
    uint64_t sum = 0, start = now_ns();
    for (uint64_t i = 0, at = 0; i < lookups; i++, at = at + 1 == n ? 0 : at + 1) {
        name(&r, hosts, list[at]);
        __asm__ volatile("" : : "r"(&r) : "memory");
        sum += r.n_host;
    }
    must(sum > 0);
    return now_ns() - start;
}

/* Pointer chasing through bytes of memory: ns an access. */
static double chase(size_t bytes) {
    size_t n = size_max(bytes / 64, 2), at = 0;
    struct line {
        size_t next;
        char rest[56];
    } *lines = mem_array(n, sizeof(*lines));
    struct prng rng;
    prng_init(&rng);
    for (size_t i = 0; i < n; i++)
        lines[i].next = i;
    for (size_t i = n; i-- > 1;) { /* Sattolo: one cycle through all */
        size_t j = prng_below(&rng, (uint32_t)i), next = lines[i].next;
        lines[i].next = lines[j].next;
        lines[j].next = next;
    }
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = now_ns();
        for (int i = 0; i < 500000; i++)
            at = lines[at].next;
        double ns = (double)(now_ns() - start) / 500000;
        best = ns < best ? ns : best;
    }
    must(at < n);
    mem_free(lines);
    return best;
}

static void change_one(struct builder *b, bool hosts, uint32_t i, uint64_t *us) {
    struct arena a;
    struct request r;
    arena_init(&a);
    name(&r, hosts, i);
    builder_begin(b);
    r.n_path = (uint8_t)snprintf(r.path, sizeof(r.path), "/changed-%u/items", i);
    put_route(b, &a, &r, i);
    uint64_t start = now_ns();
    struct snapshot *s = builder_commit(b, 2, refused, NULL);
    *us = (now_ns() - start) / 1000;
    snapshot_drop(s);
    arena_fini(&a);
}

static void run(bool hosts, uint32_t n, uint64_t lookups, int rounds) {
    uint32_t *list = mem_array(n, sizeof(*list));
    struct prng rng;
    prng_init(&rng);
    for (uint32_t i = 0; i < n; i++)
        list[i] = i;
    for (uint32_t i = n; i-- > 1;) {
        uint32_t j = prng_below(&rng, i + 1), swap = list[i];
        list[i] = list[j];
        list[j] = swap;
    }
    size_t before = resident();
    struct builder *b = builder_new();
    builder_begin(b);
    fill(b, hosts, n);
    uint64_t start = now_ns();
    struct snapshot *s = builder_commit(b, 1, refused, NULL);
    uint64_t built = now_ns() - start;
    size_t bytes = resident() - before;
    uint64_t ns = UINT64_MAX, us;
    for (int i = 0; i < rounds; i++) {
        uint64_t took = look(s, hosts, list, n, lookups);
        if (rounds > 1) /* else callgrind counts, and nothing else may run */
            took -= size_min(took, write_only(hosts, list, n, lookups));
        ns = took < ns ? took : ns;
        if (rounds > 1 && n >= MANY)
            usleep(PAUSE_US);
    }
    change_one(b, hosts, n / 2, &us);
    printf("%-6s %7u routes %7.1f ns/lookup %6.1f ns/access %6.0f bytes/route %6.1f ms to build "
           "%6lu us to change\n",
           hosts ? "hosts" : "paths", n, (double)ns / (double)lookups,
           rounds > 1 ? chase(bytes) : 0, (double)bytes / n, (double)built / 1e6,
           (unsigned long)us);
    fflush(stdout);
    snapshot_drop(s);
    builder_free(b);
    mem_free(list);
}

int main(int argc, char **argv) {
    uint64_t n, lookups;
    if (argc == 4 && str_to_u64(str_of(argv[2]), 10000000, &n) && n > 0 &&
        str_to_u64(str_of(argv[3]), UINT32_MAX, &lookups) && lookups > 0) {
        run(argv[1][0] == 'h', (uint32_t)n, lookups, 1);
        return 0;
    }
    for (int shape = 0; shape < 2; shape++)
        for (uint32_t i = 0; i < 3; i++) {
            static const uint32_t sizes[] = {10, 1000, MANY};
            pid_t pid = fork();
            must(pid >= 0);
            if (pid == 0) {
                run(shape == 0, sizes[i], 500000, ROUNDS);
                _exit(0);
            }
            waitpid(pid, NULL, 0);
        }
    return 0;
}
