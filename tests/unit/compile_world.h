/* SPDX-License-Identifier: Apache-2.0
 *
 * A store, a compiler and what came out of it, for tests. Resources are written as JSON in which '
 * stands for ".
 */
#ifndef SLUICE_TESTS_COMPILE_WORLD_H
#define SLUICE_TESTS_COMPILE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "controller/compile/compile.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

struct world {
    struct store *store;
    struct compiler *compiler;
    struct map objects; /* id → struct object, as a proxy would have them */
    struct map lost;    /* prefix (owned) → itself */
    size_t puts, dels;  /* of the last run */
    bool fresh;         /* what is added is a stream's, not a list's */
};

static void world_put(void *arg, struct object *o) {
    struct world *w = arg;
    struct object *was = map_del(&w->objects, object_id(o));
    if (was)
        assert_true(was->hash != o->hash); /* an equal object is not put */
    object_drop(was);
    map_put(&w->objects, object_id(o), o);
    w->puts++;
}
static void world_del(void *arg, struct str id) {
    struct world *w = arg;
    struct object *was = map_del(&w->objects, id);
    assert_non_null(was);
    object_drop(was);
    w->dels++;
}
static void world_lost(void *arg, struct str prefix) {
    struct world *w = arg;
    char *p = str_dup(prefix);
    assert_null(map_put(&w->lost, str_mk(p, prefix.n), p));
}
static void world_found(void *arg, struct str prefix) {
    struct world *w = arg;
    char *p = map_del(&w->lost, prefix);
    assert_non_null(p);
    mem_free(p);
}

static void world_init(struct world *w) {
    *w = (struct world){.store = store_new()};
    const struct compile_sink sink = {
        .put = world_put, .del = world_del, .lost = world_lost, .found = world_found, .arg = w};
    w->compiler = compile_new(w->store, &sink);
}

static void world_fini(struct world *w) {
    compile_free(w->compiler);
    store_free(w->store);
    for (struct map_slot *s = NULL; (s = map_next(&w->objects, s));)
        object_drop(s->value);
    map_fini(&w->objects);
    for (struct map_slot *s = NULL; (s = map_next(&w->lost, s));)
        mem_free(s->value);
    map_fini(&w->lost);
}

static void add(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct world *w, const char *fmt, ...) {
    char text[16384];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    cJSON *json = cJSON_Parse(text);
    if (!json)
        fail_msg("not JSON: %s", text);
    struct why why = {0};
    bool foreign = false;
    struct resource *r = resource_new(json, &(struct resource_origin){0}, &foreign, &why);
    cJSON_Delete(json);
    if (!r)
        fail_msg("%s: %s", why.text, text);
    r->fresh = w->fresh;
    store_upsert(w->store, r);
}

static size_t run(struct world *w) {
    w->puts = w->dels = 0;
    return compile_run(w->compiler);
}

static inline struct object *object(struct world *w, const char *id) {
    return map_get(&w->objects, str_of(id));
}
static inline struct object *need(struct world *w, const char *id) {
    struct object *o = object(w, id);
    if (!o)
        fail_msg("there is no %s", id);
    return o;
}

static inline const struct compile_status *status(struct world *w, enum kube_kind kind,
                                                  const char *ns, const char *name) {
    const struct resource *r = store_get(w->store, kind, str_of(ns), str_of(name));
    assert_non_null(r);
    const struct compile_status *s = compile_status(w->compiler, r);
    assert_non_null(s);
    return s;
}
static inline bool accepted(struct world *w, enum kube_kind kind, const char *ns,
                            const char *name) {
    return status(w, kind, ns, name)->conditions[CONDITION_ACCEPTED].value;
}
static inline const char *sentence(struct world *w, enum kube_kind kind, const char *ns,
                                   const char *name) {
    const struct compile_status *s = status(w, kind, ns, name);
    for (size_t i = 0; i < CONDITION_TYPES; i++)
        if (s->conditions[i].why)
            return s->conditions[i].why->text;
    return "";
}

/* ---- resources ---- */

#define META(name, ns, more) "'metadata':{'name':'" name "','namespace':'" ns "'" more "}"

static void add_class(struct world *w) {
    add(w, "{'apiVersion':'networking.k8s.io/v1','kind':'IngressClass','metadata':{'name':'sluice',"
           "'annotations':{'ingressclass.kubernetes.io/is-default-class':'true'}},'spec':{"
           "'controller':'sluice.dev/ingress-controller','parameters':{'apiGroup':'sluice.dev',"
           "'kind':'GatewayConfig','name':'g'}}}");
}
static void add_config(struct world *w, const char *spec) {
    add(w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'GatewayConfig','metadata':{'name':'g'},"
        "'spec':{%s}}",
        spec);
}
static void add_service(struct world *w, const char *ns, const char *name) {
    add(w,
        "{'apiVersion':'v1','kind':'Service','metadata':{'name':'%s','namespace':'%s'},"
        "'spec':{'ports':[{'port':80}]}}",
        name, ns);
}
static void add_slice(struct world *w, const char *ns, const char *name, const char *address) {
    add(w,
        "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'%s-1',"
        "'namespace':'%s','labels':{'kubernetes.io/service-name':'%s'}},'addressType':'IPv4',"
        "'ports':[{'port':9000}],'endpoints':[{'addresses':['%s']}]}",
        name, ns, name, address);
}
/* year: of its creation; rule: what stands in its only rule beside the backend web:80 */
static void add_route(struct world *w, const char *ns, const char *name, unsigned year,
                      const char *host, const char *rule) {
    add(w,
        "{'apiVersion':'sluice.dev/v1alpha1','kind':'Route','metadata':{'name':'%s',"
        "'namespace':'%s','creationTimestamp':'%u-01-01T00:00:00Z'},'spec':{'hostnames':['%s'],"
        "'rules':[{%s'backendRefs':[{'name':'web','port':80}]}]}}",
        name, ns, year, host, rule);
}

/* Class, a Service with one endpoint, a Route; compiled. */
static void add_small_world(struct world *w) {
    add_config(w, "");
    add_class(w);
    add_service(w, "shop", "web");
    add_slice(w, "shop", "web", "10.0.0.1");
    add_route(w, "shop", "r", 2025, "a.example.com", "");
    store_synced(w->store);
    run(w);
}

static inline int world_setup(void **state) {
    struct world *w = mem_zalloc(sizeof(*w));
    world_init(w);
    add_small_world(w);
    *state = w;
    return 0;
}
static inline int world_teardown(void **state) {
    world_fini(*state);
    mem_free(*state);
    return 0;
}

#endif
