/* SPDX-License-Identifier: Apache-2.0
 *
 * route_world: a builder, its newest snapshot and short words to fill it with, for the tests of
 * proxy/route. Everything lies in namespace "ns" and class "c".
 */
#ifndef SLUICE_TESTS_ROUTE_WORLD_H
#define SLUICE_TESTS_ROUTE_WORLD_H

#include "lib/mem.h"
#include "lib/out.h"
#include "proxy/route/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h> /* needs those */

struct world {
    struct builder *b;
    struct snapshot *s;
    struct route_scratch *scratch;
    struct arena a;
    uint32_t n_bad;
    struct why why; /* of the last bad object */
};

static inline void world_bad(void *arg, struct str id, const struct why *why) {
    struct world *w = arg;
    (void)id;
    w->n_bad++;
    w->why = *why;
}

static inline void world_init(struct world *w) {
    *w = (struct world){.b = builder_new(), .scratch = route_scratch_new()};
    arena_init(&w->a);
    builder_begin(w->b);
}

static inline void world_fini(struct world *w) {
    builder_free(w->b);
    snapshot_drop(w->s);
    route_scratch_free(w->scratch);
    arena_fini(&w->a);
}

/* True if it was taken. */
static inline bool world_try(struct world *w) {
    w->n_bad = 0;
    struct snapshot *s = builder_commit(w->b, 1, world_bad, w);
    builder_begin(w->b);
    if (!s)
        return false;
    snapshot_drop(w->s);
    w->s = s;
    return true;
}

static inline void world_commit(struct world *w) {
    if (!world_try(w))
        fail_msg("refused: %s: %s", w->why.field, w->why.text);
}

static inline struct str world_id(struct world *w, enum model_kind kind, const char *name,
                                  const char *part) {
    return model_id(&w->a, kind, STR("ns"), str_of(name), str_of(part));
}
static inline void world_put(struct world *w, enum model_kind kind, struct str id,
                             const void *value) {
    builder_put(w->b, object_new(kind, id, value));
}

static inline struct str host_id(struct world *w, const char *hostname) {
    return arena_fmt(&w->a, "host/c/%s", hostname[0] ? hostname : "*");
}
static inline void put_host(struct world *w, const char *hostname) {
    struct model_host h = {.hostname = str_of(hostname)};
    world_put(w, MODEL_KIND_host, host_id(w, hostname), &h);
}

/* "10.0.0.1:80" each, up to a NULL; a trailing '-' is unready, '~' terminating. */
static inline void put_backend(struct world *w, const char *name, ...) {
    struct model_endpoint list[16] = {0};
    struct model_endpoints e = {.endpoints = list};
    va_list args;
    va_start(args, name);
    for (const char *text; (text = va_arg(args, const char *));) {
        unsigned a, b, c, d, port;
        char mark = 0;
        assert_true(sscanf(text, "%u.%u.%u.%u:%u%c", &a, &b, &c, &d, &port, &mark) >= 5);
        char *bytes = arena_alloc(&w->a, 4);
        bytes[0] = (char)a, bytes[1] = (char)b, bytes[2] = (char)c, bytes[3] = (char)d;
        list[e.n_endpoints++] = (struct model_endpoint){.address = str_mk(bytes, 4),
                                                        .port = port,
                                                        .unready = mark == '-',
                                                        .terminating = mark == '~'};
    }
    va_end(args);
    struct str endpoints = world_id(w, MODEL_KIND_endpoints, name, "80");
    struct model_backend b = {
        .namespace = STR("ns"), .service = str_of(name), .port = 80, .endpoints = endpoints};
    world_put(w, MODEL_KIND_endpoints, endpoints, &e);
    world_put(w, MODEL_KIND_backend, world_id(w, MODEL_KIND_backend, name, "80"), &b);
}
static inline struct str backend_id(struct world *w, const char *name) {
    return world_id(w, MODEL_KIND_backend, name, "80");
}
static inline struct str route_id(struct world *w, const char *name) {
    return world_id(w, MODEL_KIND_route, name, "r");
}

#define EXACT(p)  ((struct model_match){.path_type = MODEL_PATH_EXACT, .path = str_of(p)})
#define PREFIX(p) ((struct model_match){.path_type = MODEL_PATH_PREFIX, .path = str_of(p)})
#define REGEX(p)  ((struct model_match){.path_type = MODEL_PATH_REGEX, .path = str_of(p)})

static inline void put_route_as(struct world *w, struct model_route r, const char *name,
                                const char *hostname, struct model_match m, const char *backend) {
    struct str host = host_id(w, hostname);
    struct model_backend_ref ref = {.backend = backend ? backend_id(w, backend) : STR_NONE,
                                    .weight = 1};
    r.namespace = STR("ns"), r.name = str_of(name);
    r.hosts = &host, r.n_hosts = 1;
    r.matches = &m, r.n_matches = 1;
    r.backends = &ref, r.n_backends = 1;
    world_put(w, MODEL_KIND_route, route_id(w, name), &r);
}
static inline void put_route(struct world *w, const char *name, const char *hostname,
                             struct model_match m, const char *backend) {
    put_route_as(w, (struct model_route){0}, name, hostname, m, backend);
}

/* A request with nothing but host, path and further header lines "name: value", up to a NULL. */
struct ask {
    struct head head;
    char bytes[4096];
};
static inline struct span ask_text(struct ask *q, struct str s) {
    must(q->head.n + s.n <= sizeof(q->bytes));
    if (s.n > 0)
        memcpy(q->bytes + q->head.n, s.p, s.n);
    struct span at = {(uint16_t)q->head.n, (uint16_t)s.n};
    q->head.n += (uint32_t)s.n;
    return at;
}
static inline void ask_init(struct ask *q, const char *method, const char *query) {
    q->head.base = q->bytes;
    q->head.n = 0;
    q->head.n_fields = 0;
    q->head.method = (uint8_t)method_of(str_of(method));
    q->head.method_text = ask_text(q, str_of(method));
    q->head.has_query = query != NULL;
    q->head.query = ask_text(q, str_of(query));
}
static inline void ask_header(struct ask *q, const char *name, const char *value) {
    struct head_field *f = &q->head.fields[q->head.n_fields++];
    f->name = ask_text(q, str_of(name));
    f->value = ask_text(q, str_of(value));
    f->token = (uint8_t)token_of(str_of(name));
    f->dropped = false;
}

static inline bool ask_route(struct world *w, const struct ask *q, const char *host,
                             const char *path, struct match_result *result) {
    struct route_request rq = {
        .host = str_of(host), .path = str_of(path), .head = &q->head, .port = 80};
    return snapshot_route(w->s, &rq, w->scratch, result);
}

/* name NULL: nothing matches */
static inline void assert_asked(struct world *w, const struct ask *q, const char *host,
                                const char *path, const char *name) {
    struct match_result r;
    bool found = ask_route(w, q, host, path, &r);
    if (!name && found)
        fail_msg("%s%s: %.*s, expected none", host, path, STR_FMT(r.rule->model->name));
    if (name && !found)
        fail_msg("%s%s: none, expected %s", host, path, name);
    if (name && !str_eq(r.rule->model->name, str_of(name)))
        fail_msg("%s%s: %.*s, expected %s", host, path, STR_FMT(r.rule->model->name), name);
}
static inline void assert_routed(struct world *w, const char *host, const char *path,
                                 const char *name) {
    static struct ask q;
    ask_init(&q, "GET", NULL);
    assert_asked(w, &q, host, path, name);
}

#endif
