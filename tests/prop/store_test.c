/* SPDX-License-Identifier: Apache-2.0
 *
 * The store against a naive oracle, with random upserts, deletes, touches and units that read at
 * random: a unit is dirty if and only if something that it read has changed; what is read is what
 * is there, in order; the queue keeps the order in which units became dirty. The oracle knows every
 * resource as a few numbers and works out its keys from them by itself. The seed is printed; SEED=n
 * repeats a run.
 */
#include "controller/store/store.h"
#include "lib/hash.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum {
    ROUNDS = 100000,
    NAMES = 4, /* of a kind in a namespace */
    SPACES = 2,
    HOSTS = 4,
    UNITS = 12,
    READS_MAX = 6,
    KEY_BYTES = 80,
    KEYS_MAX = 16, /* of one resource */
    SHAPES = 6     /* kinds that are played with */
};

static const enum kube_kind shapes[SHAPES] = {KUBE_Route,          KUBE_Service,
                                              KUBE_EndpointSlice,  KUBE_IngressClass,
                                              KUBE_ReferenceGrant, KUBE_TrafficPolicy};

static struct prng rng;

static uint32_t below(uint32_t n) { return prng_below(&rng, n); }

/* ---- the oracle ---- */

struct thing {
    bool there, refused;
    unsigned shape, ns, name;
    unsigned hosts;   /* bits */
    unsigned service; /* that is named: a backend, a label, a target */
    unsigned salt;
    unsigned n_keys; /* index keys that it has now */
    char keys[KEYS_MAX][KEY_BYTES];
};

static struct thing world[SHAPES][SPACES][NAMES];

struct reader {
    unsigned n;
    char keys[READS_MAX][KEY_BYTES];
    bool dirty;
    uint64_t since; /* when it became so */
};

static struct reader readers[UNITS];
static uint64_t clock_ticks;

static void own_name(const struct thing *t, char key[KEY_BYTES]) {
    const struct kube_kind_info *info = &kube_kinds[shapes[t->shape]];
    if (info->scope == KUBE_CLUSTER)
        snprintf(key, KEY_BYTES, "%s/n%u", info->kind, t->name);
    else
        snprintf(key, KEY_BYTES, "%s/s%u/n%u", info->kind, t->ns, t->name);
}

static void PRINTF_LIKE(2, 3) has_key(struct thing *t, const char *fmt, ...) {
    must(t->n_keys < KEYS_MAX);
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->keys[t->n_keys++], KEY_BYTES, fmt, args);
    va_end(args);
}

/* A refused version: where it was, and where its label says. */
static void stay_and_add(struct thing *t) {
    char key[KEY_BYTES];
    snprintf(key, sizeof(key), "EndpointSlice/of/s%u/n%u", t->ns, t->service);
    for (unsigned i = 0; i < t->n_keys; i++)
        if (strcmp(t->keys[i], key) == 0)
            return;
    has_key(t, "%s", key);
}

static void work_out_keys(struct thing *t) {
    switch (shapes[t->shape]) {
    case KUBE_Route:
        if (t->refused)
            return; /* stays where it was */
        t->n_keys = 0;
        for (unsigned h = 0; h < HOSTS; h++)
            if (t->hosts & (1U << h))
                has_key(t, "host/h%u.example", h);
        if (t->hosts == 0)
            has_key(t, "host/*");
        has_key(t, "class/c%u", t->salt % 2);
        has_key(t, "Service/used-by/s%u/n%u", t->ns, t->service);
        return;
    case KUBE_EndpointSlice:
        if (t->refused)
            return stay_and_add(t);
        t->n_keys = 0;
        has_key(t, "EndpointSlice/of/s%u/n%u", t->ns, t->service);
        return;
    case KUBE_IngressClass:
        t->n_keys = 0;
        has_key(t, "IngressClass/all");
        return;
    case KUBE_ReferenceGrant:
        t->n_keys = 0;
        has_key(t, "ReferenceGrant/in/s%u", t->ns);
        return;
    case KUBE_TrafficPolicy:
        if (t->refused)
            return;
        t->n_keys = 0;
        has_key(t, "policy/Service/s%u/n%u", t->ns, t->service);
        return;
    default:
        return;
    }
}

static void was_touched(const char *key) {
    for (unsigned u = 0; u < UNITS; u++) {
        for (unsigned i = 0; i < readers[u].n && !readers[u].dirty; i++) {
            if (strcmp(readers[u].keys[i], key) == 0) {
                readers[u].dirty = true;
                readers[u].since = clock_ticks;
            }
        }
    }
}

static void was_changed(const struct thing *t) {
    char own[KEY_BYTES];
    own_name(t, own);
    was_touched(own);
    for (unsigned i = 0; i < t->n_keys; i++)
        was_touched(t->keys[i]);
}

static bool is_under(const struct thing *t, const char *key) {
    for (unsigned i = 0; t->there && i < t->n_keys; i++)
        if (strcmp(t->keys[i], key) == 0)
            return true;
    return false;
}

/* ---- the same, told to the store ---- */

static struct resource *resource_of(const struct thing *t) {
    const struct kube_kind_info *info = &kube_kinds[shapes[t->shape]];
    char text[1024];
    struct out o = out_fixed(text, sizeof(text));
    out_fmt(&o,
            "{\"apiVersion\": \"%s%s%s\", \"kind\": \"%s\", \"metadata\": {\"name\": \"n%u\", "
            "\"namespace\": \"s%u\", \"labels\": {\"kubernetes.io/service-name\": \"n%u\"}, "
            "\"annotations\": {\"salt\": \"%u\"%s}}, \"spec\": {",
            info->group, info->group[0] ? "/" : "", info->version, info->kind, t->name, t->ns,
            t->service, t->salt, t->refused ? ", \"bad\": 1" : "");
    if (shapes[t->shape] == KUBE_Route) {
        out_fmt(&o,
                "\"ingressClassName\": \"c%u\", \"rules\": [{\"backendRefs\": [{\"name\": "
                "\"n%u\"}, {\"name\": \"n%u\"}]}], \"hostnames\": [",
                t->salt % 2, t->service, t->service);
        for (unsigned h = 0, n = 0; h < HOSTS; h++)
            if (t->hosts & (1U << h))
                out_fmt(&o, "%s\"h%u.example\"", n++ ? ", " : "", h);
        out_lit(&o, "]");
    } else if (shapes[t->shape] == KUBE_TrafficPolicy) {
        out_fmt(&o, "\"targetRefs\": [{\"kind\": \"Service\", \"name\": \"n%u\"}]", t->service);
    }
    out_lit(&o, "}}");
    must(!o.over);
    bool foreign;
    struct why why;
    why_clear(&why);
    cJSON *json = json_parse(out_done(&o), &why);
    struct resource_origin from = {0};
    struct resource *r = resource_new(json, &from, &foreign, &why);
    cJSON_Delete(json);
    must(r != NULL && (r->refused != NULL) == t->refused);
    return r;
}

struct notice {
    unsigned calls;
    bool was, now;
};

static void on_resource(void *arg, const struct resource *was, const struct resource *now) {
    struct notice *n = arg;
    n->calls++;
    n->was = was != NULL;
    n->now = now != NULL;
}

static struct thing *pick(void) {
    unsigned shape = below(SHAPES), ns = below(SPACES), name = below(NAMES);
    if (kube_kinds[shapes[shape]].scope == KUBE_CLUSTER)
        ns = 0;
    struct thing *t = &world[shape][ns][name];
    t->shape = shape;
    t->ns = ns;
    t->name = name;
    return t;
}

static void upsert(struct store *s, struct notice *notice) {
    struct thing *t = pick(), next = *t;
    if (below(4) > 0 || !t->there) {
        next.refused = below(5) == 0;
        next.hosts = below(1U << HOSTS);
        next.service = below(NAMES);
        next.salt = below(3);
    }
    next.there = true;
    struct resource *r = resource_of(&next);
    struct resource *before = t->there ? resource_of(t) : NULL;
    bool changes = !before || before->hash != r->hash;
    resource_drop(before);
    bool was = t->there;
    notice->calls = 0;
    assert_int_equal(store_upsert(s, r), changes);
    assert_int_equal(notice->calls, changes);
    if (!changes)
        return;
    assert_int_equal(notice->was, was);
    assert_true(notice->now);
    clock_ticks++;
    was_changed(t); /* its name, and what it had */
    work_out_keys(&next);
    *t = next;
    was_changed(t); /* and what it has */
}

static void delete (struct store *s, struct notice *notice) {
    struct thing *t = pick();
    char name[8], ns[8];
    snprintf(name, sizeof(name), "n%u", t->name);
    snprintf(ns, sizeof(ns), "s%u", t->ns);
    notice->calls = 0;
    assert_int_equal(store_delete(s, shapes[t->shape], str_of(ns), str_of(name)), t->there);
    assert_int_equal(notice->calls, t->there);
    if (!t->there)
        return;
    clock_ticks++;
    was_changed(t);
    t->there = false;
    t->n_keys = 0;
}

static void random_key(char key[KEY_BYTES]) {
    struct thing t = {.ns = below(SPACES), .service = below(NAMES), .shape = below(SHAPES)};
    switch (below(5)) {
    case 0:
        snprintf(key, KEY_BYTES, "fact/%u", below(3));
        return;
    case 1:
        snprintf(key, KEY_BYTES, below(5) ? "host/h%u.example" : "host/*", below(HOSTS));
        return;
    case 2:
        snprintf(key, KEY_BYTES, "class/c%u", below(2));
        return;
    case 3:
        snprintf(key, KEY_BYTES, "Service/used-by/s%u/n%u", t.ns, t.service);
        return;
    default:
        t.shape = 2 + below(4);
        t.hosts = below(1U << HOSTS);
        work_out_keys(&t);
        snprintf(key, KEY_BYTES, "%s", t.keys[0]);
    }
}

static int by_name(const void *a, const void *b) {
    const struct thing *x = *(const struct thing *const *)a, *y = *(const struct thing *const *)b;
    if (shapes[x->shape] != shapes[y->shape])
        return shapes[x->shape] < shapes[y->shape] ? -1 : 1;
    return x->ns != y->ns ? (int)x->ns - (int)y->ns : (int)x->name - (int)y->name;
}

static size_t all_under(const char *key, const struct thing **found) {
    size_t n = 0;
    for (unsigned k = 0; k < SHAPES; k++)
        for (unsigned ns = 0; ns < SPACES; ns++)
            for (unsigned i = 0; i < NAMES; i++)
                if (is_under(&world[k][ns][i], key))
                    found[n++] = &world[k][ns][i];
    qsort(found, n, sizeof(*found), by_name);
    return n;
}

static void expect_same(const struct resource *r, const struct thing *t) {
    char name[8], ns[8];
    snprintf(name, sizeof(name), "n%u", t->name);
    snprintf(ns, sizeof(ns), "s%u", t->ns);
    assert_int_equal(r->kind, shapes[t->shape]);
    assert_true(str_eq(r->meta.name, str_of(name)));
    if (kube_kinds[r->kind].scope == KUBE_NAMESPACED)
        assert_true(str_eq(r->meta.namespace, str_of(ns)));
    snprintf(name, sizeof(name), "%u", t->salt);
    if (!t->refused)
        assert_true(str_eq(resource_annotation(r, STR("salt")), str_of(name)));
    assert_int_equal(r->fields == NULL, t->refused);
}

static void read_by_key(struct store *s, struct store_unit *u, const char *key) {
    const struct thing *found[SHAPES * SPACES * NAMES];
    size_t want = all_under(key, found), n;
    const struct resource *const *all = store_read_all(s, u, str_of(key), &n);
    assert_int_equal(n, want);
    for (size_t i = 0; i < n; i++)
        expect_same(all[i], found[i]);
}

static void read_by_name(struct store *s, struct store_unit *u, const struct thing *t) {
    char name[8], ns[8];
    snprintf(name, sizeof(name), "n%u", t->name);
    snprintf(ns, sizeof(ns), "s%u", t->ns);
    const struct resource *r = store_read(s, u, shapes[t->shape], str_of(ns), str_of(name));
    assert_int_equal(r != NULL, t->there);
    if (r)
        expect_same(r, t);
}

/* The next dirty unit must be the oracle's oldest; it then reads at random. */
static void compile_one(struct store *s) {
    unsigned oldest = UNITS, dirty = 0;
    for (unsigned u = 0; u < UNITS; u++) {
        dirty += readers[u].dirty;
        if (readers[u].dirty && (oldest == UNITS || readers[u].since < readers[oldest].since))
            oldest = u;
    }
    assert_int_equal(store_n_dirty(s), dirty);
    struct store_unit *unit = store_next_dirty(s);
    assert_int_equal(unit != NULL, dirty > 0);
    if (!unit)
        return;
    assert_false(unit->dirty);
    uint64_t number;
    assert_true(str_to_u64(str_skip(unit->id, 1), UNITS - 1, &number));
    struct reader *reader = &readers[number];
    assert_true(reader->dirty); /* those of one change may come in any order */
    assert_int_equal(reader->since, readers[oldest].since);
    *reader = (struct reader){0};
    for (unsigned i = below(READS_MAX + 1); i > 0; i--) {
        char *key = reader->keys[reader->n++];
        if (below(2)) {
            const struct thing *t = pick();
            own_name(t, key);
            read_by_name(s, unit, t);
        } else {
            random_key(key);
            read_by_key(s, unit, key);
        }
    }
}

static void touch_a_fact(struct store *s) {
    char key[KEY_BYTES];
    snprintf(key, sizeof(key), "fact/%u", below(3));
    clock_ticks++;
    store_touch(s, str_of(key));
    was_touched(key);
}

static void make_anew(struct store *s) {
    char id[8];
    unsigned u = below(UNITS);
    snprintf(id, sizeof(id), "u%u", u);
    struct store_unit *unit = store_unit_find(s, str_of(id));
    if (unit)
        store_unit_end(s, unit);
    assert_true(store_unit(s, str_of(id))->dirty);
    readers[u] = (struct reader){.dirty = true, .since = ++clock_ticks};
}

static void check_dirty(struct store *s) {
    for (unsigned u = 0; u < UNITS; u++) {
        char id[8];
        snprintf(id, sizeof(id), "u%u", u);
        const struct store_unit *unit = store_unit_find(s, str_of(id));
        assert_int_equal(unit != NULL && unit->dirty, readers[u].dirty);
    }
}

static void check_order(const struct store *s) {
    for (unsigned k = 0; k < SHAPES; k++) {
        const struct resource *r = NULL;
        size_t n = 0;
        for (unsigned ns = 0; ns < SPACES; ns++) {
            for (unsigned i = 0; i < NAMES; i++) {
                if (!world[k][ns][i].there)
                    continue;
                n++;
                r = store_next(s, shapes[k], r);
                assert_non_null(r);
                expect_same(r, &world[k][ns][i]);
            }
        }
        assert_null(store_next(s, shapes[k], r));
        assert_int_equal(store_count(s, shapes[k]), n);
    }
}

static void dirty_if_and_only_if_a_read_changed(void **state) {
    (void)state;
    struct store *s = store_new();
    struct notice notice = {0};
    store_on_resource(s, on_resource, &notice);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned dice = below(100);
        if (dice < 40)
            upsert(s, &notice);
        else if (dice < 50)
            delete (s, &notice);
        else if (dice < 55)
            touch_a_fact(s);
        else if (dice < 57)
            make_anew(s);
        else
            compile_one(s);
        check_dirty(s);
        if (dice == 99)
            check_order(s);
    }
    store_free(s);
}

/* ---- many ---- */

static struct resource *numbered(const char *kind, const char *api, unsigned i, const char *rest) {
    char text[600];
    int n = snprintf(text, sizeof(text),
                     "{\"apiVersion\": \"%s\", \"kind\": \"%s\", \"metadata\": {\"name\": "
                     "\"n%u\"}, \"spec\": {%s}}",
                     api, kind, i, rest);
    bool foreign;
    struct why why;
    struct resource_origin from = {0};
    cJSON *json = json_parse(str_mk(text, (size_t)n), NULL);
    struct resource *r = resource_new(json, &from, &foreign, &why);
    cJSON_Delete(json);
    must(r && r->fields);
    return r;
}

static void load_many(struct store *s, unsigned many) {
    for (unsigned i = 0; i < many; i++) {
        char rest[300];
        snprintf(rest, sizeof(rest),
                 "\"hostnames\": [\"h%u.example\"], \"rules\": [{\"backendRefs\": [{\"name\": "
                 "\"n%u\", \"port\": 80}]}]",
                 i, i);
        store_upsert(s, numbered("Route", "sluice.dev/v1alpha1", i, rest));
        store_upsert(s, numbered("Service", "v1", i, "\"ports\": [{\"port\": 80}]"));
    }
}

/* Allocations are counted, so the bound is the same on every machine: every resource costs the
 * same, and a change among many costs what it costs among few. */
static void a_change_costs_what_changed(void **state) {
    (void)state;
    uint64_t costs[2];
    for (unsigned i = 0; i < 2; i++) {
        unsigned many = i == 0 ? 100 : 20000;
        struct store *s = store_new();
        load_many(s, many);
        struct store_unit *u = store_unit(s, STR("u"));
        assert_ptr_equal(store_next_dirty(s), u);
        size_t n;
        store_read_all(s, u, STR("class/"), &n);
        assert_int_equal(n, many);
        uint64_t before = mem_calls();
        store_upsert(s, numbered("Route", "sluice.dev/v1alpha1", 7,
                                 "\"hostnames\": [\"x.y\"], \"rules\": [{}]"));
        costs[i] = mem_calls() - before;
        assert_true(u->dirty);
        store_free(s);
    }
    assert_in_range(costs[1], 1, costs[0] + 2);
}

int main(void) {
    const char *seed = getenv("SEED");
    uint64_t number = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)number);
    rng.s[0] = number;
    rng.s[1] = 0x9e3779b97f4a7c15ULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dirty_if_and_only_if_a_read_changed),
        cmocka_unit_test(a_change_costs_what_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
