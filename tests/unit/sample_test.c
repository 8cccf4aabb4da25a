/* SPDX-License-Identifier: Apache-2.0
 *
 * sample: what the workers have counted since a moment ago, the largest rules of it, and what it
 * costs with 100,000 of them.
 */
#include "lib/live.h"
#include "proxy/observe/counts.h"
#include "proxy/observe/sample.h"
#include "tests/unit/route_world.h"

#include <pthread.h>

struct scene {
    struct world w;
    struct observe *o;
    struct sample *sample;
};

static void put_site(struct scene *s, const char *name) {
    char host[64];
    snprintf(host, sizeof(host), "%s.example", name);
    put_host(&s->w, host);
    put_route_as(&s->w, (struct model_route){.rule = STR("r")}, name, host, PREFIX(""), "up");
}

static void scene_commit(struct scene *s) {
    world_commit(&s->w);
    observe_snapshot(s->o, s->w.s);
}

static void scene_init(struct scene *s, unsigned sites) {
    char name[16];
    *s = (struct scene){0};
    world_init(&s->w);
    s->o = observe_new(2);
    put_backend(&s->w, "up", "10.0.0.1:80", NULL);
    for (unsigned i = 0; i < sites; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        put_site(s, name);
    }
    scene_commit(s);
}

static void scene_fini(struct scene *s) {
    sample_free(s->sample);
    observe_free(s->o);
    world_fini(&s->w);
}

static const struct rule *rule_of(struct scene *s, const char *name) {
    for (uint32_t slot = 0; slot < s->w.s->rule_slots; slot++) {
        const struct rule *r = snapshot_rule(s->w.s, slot);
        if (r && str_eq(r->model->name, str_of(name)))
            return r;
    }
    fail_msg("there is no rule %s", name);
    return NULL;
}

/* n requests: 3 ms, of them 2 of the backend, 60 µs of the gateway. */
static void ask(struct scene *s, unsigned worker, const struct rule *rule, unsigned n,
                uint16_t status, enum reason reason) {
    struct record r = {.rule = rule,
                       .status = status,
                       .reason = reason,
                       .attempts = 1,
                       .total_ns = 3000000,
                       .upstream_ns = 2000000,
                       .gateway_ns = 60000};
    if (rule && rule->n_shares > 0)
        r.backend = snapshot_backend(s->w.s, rule->shares[0].backend);
    for (unsigned i = 0; i < n; i++)
        observe_request(observe_worker(s->o, worker), &r);
}

static const struct wire_live_route *route_in(const struct wire_live *m, const char *name) {
    for (uint32_t i = 0; i < m->n_routes; i++)
        if (str_eq(m->routes[i].name, str_of(name)))
            return &m->routes[i];
    return NULL;
}

static void since_it_began(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 3);
    ask(&s, 0, rule_of(&s, "s0"), 1000, 503, REASON_NO_ENDPOINT);
    s.sample = sample_new(s.o);
    ask(&s, 0, rule_of(&s, "s0"), 6, 200, REASON_NONE);
    ask(&s, 1, rule_of(&s, "s0"), 4, 502, REASON_CONNECT_REFUSED);
    ask(&s, 1, rule_of(&s, "s1"), 5, 500, REASON_NONE);
    ask(&s, 1, NULL, 2, 404, REASON_NO_ROUTE);
    const struct wire_live *m = sample_take(s.sample, 10);
    const struct wire_live_route *r = route_in(m, "s0");
    assert_non_null(r);
    assert_true(str_eq(r->namespace, STR("ns")) && str_eq(r->rule, STR("r")));
    assert_int_equal(r->requests, 10);
    assert_int_equal(r->failures, 4);
    assert_int_equal(r->passed_on, 0);
    assert_int_equal(r->total_us, 30000);
    assert_int_equal(r->gateway_us, 600);
    assert_int_equal(r->upstream_us, 20000);
    assert_int_equal(r->n_total, 1);
    assert_int_equal(r->total[0].upto_us, 5000);
    assert_int_equal(r->total[0].n, 10);
    assert_int_equal(r->gateway[0].upto_us, 100);
    assert_int_equal(r->n_reasons, 1);
    assert_true(str_eq(r->reasons[0].name, STR("connect_refused")));
    assert_true(str_eq(r->reasons[0].origin, STR("upstream")));
    assert_int_equal(r->reasons[0].n, 4);
    r = route_in(m, "s1"); /* its first requests ever */
    assert_true(r && r->failures == 5 && r->passed_on == 5 && r->n_total == 1 && r->n_reasons == 0);
    assert_null(route_in(m, "s2"));
    r = route_in(m, "none");
    assert_true(r && r->requests == 2 && r->namespace.n == 0 && r->n_reasons == 1);
    assert_int_equal(m->all->requests, 17);
    assert_int_equal(m->all->failures, 9);
    assert_int_equal(m->all->passed_on, 5);
    assert_int_equal(m->all->n_reasons, 2);
    assert_int_equal(m->all->gateway[0].n, 17);
    m = sample_take(s.sample, 10);
    assert_int_equal(m->all->requests, 0);
    assert_true(m->n_routes == 2 && m->routes[0].requests + m->routes[1].requests == 0);
    ask(&s, 0, rule_of(&s, "s1"), 1, 200, REASON_NONE);
    m = sample_take(s.sample, 10);
    assert_true(route_in(m, "s1")->requests == 1 && route_in(m, "s1")->total[0].n == 1);
    scene_fini(&s);
}

static void the_largest(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 50);
    s.sample = sample_new(s.o);
    char name[16];
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        ask(&s, i % 2, rule_of(&s, name), 1 + i, 200, REASON_NONE);
    }
    ask(&s, 0, rule_of(&s, "s3"), 1, 500, REASON_INTERNAL);
    const struct wire_live *m = sample_take(s.sample, 5);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        bool is_in = i >= 45 || i == 3; /* by requests; by failures */
        assert_int_equal(route_in(m, name) != NULL, is_in);
    }
    assert_int_equal(m->n_routes, 5 + 1 + 2);
    assert_int_equal(m->all->requests, 50 * 51 / 2 + 1);
    assert_int_equal(route_in(m, "other")->requests, 45 * 46 / 2 - 4);
    assert_int_equal(m->all->failures, 1);
    assert_int_equal(sample_take(s.sample, 0)->n_routes, 2);
    scene_fini(&s);
}

/* A rule that was not told for a while has no buckets the next time, rather than wrong ones. */
static void what_was_not_told(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 2);
    s.sample = sample_new(s.o);
    ask(&s, 0, rule_of(&s, "s0"), 1, 200, REASON_NONE);
    assert_int_equal(route_in(sample_take(s.sample, 1), "s0")->n_total, 1);
    ask(&s, 0, rule_of(&s, "s0"), 1, 200, REASON_NONE);
    ask(&s, 0, rule_of(&s, "s1"), 9, 200, REASON_NONE);
    assert_null(route_in(sample_take(s.sample, 1), "s0"));
    ask(&s, 0, rule_of(&s, "s0"), 3, 200, REASON_NONE);
    const struct wire_live_route *r = route_in(sample_take(s.sample, 1), "s0");
    assert_true(r->requests == 3 && r->n_total == 0);
    ask(&s, 0, rule_of(&s, "s0"), 2, 200, REASON_NONE);
    r = route_in(sample_take(s.sample, 1), "s0");
    assert_true(r->requests == 2 && r->n_total == 1 && r->total[0].n == 2);
    scene_fini(&s);
}

static void a_slot_of_another(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    s.sample = sample_new(s.o);
    ask(&s, 0, rule_of(&s, "s0"), 100, 200, REASON_NONE);
    sample_take(s.sample, 10);
    uint32_t slot = rule_of(&s, "s0")->slot;
    builder_del(s.w.b, route_id(&s.w, "s0"));
    scene_commit(&s);
    assert_int_equal(sample_take(s.sample, 10)->all->requests, 0);
    char name[16];
    const struct rule *heir = NULL;
    for (unsigned i = 0; i < 10 && !heir; i++) {
        snprintf(name, sizeof(name), "heir%u", i);
        put_site(&s, name);
        scene_commit(&s);
        const struct rule *r = rule_of(&s, name);
        heir = r->slot == slot ? r : NULL;
    }
    assert_non_null(heir);
    ask(&s, 0, heir, 7, 200, REASON_NONE);
    const struct wire_live_route *r = route_in(sample_take(s.sample, 10), name);
    assert_true(r && r->requests == 7 && r->total[0].n == 7);
    scene_fini(&s);
}

struct counting {
    struct scene *s;
    const struct rule *rule;
    bool stop;
};

static void *count(void *arg) {
    struct counting *c = arg;
    while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED))
        ask(c->s, 0, c->rule, 1, 503, REASON_OVERLOADED);
    return NULL;
}

/* Nothing is lost or told twice beside a worker that counts. */
static void beside_a_worker(void **state) {
    (void)state;
    struct scene s;
    pthread_t thread;
    scene_init(&s, 1);
    struct counting c = {.s = &s, .rule = rule_of(&s, "s0")};
    s.sample = sample_new(s.o);
    uint64_t told = 0, buckets = 0, failures = 0;
    assert_int_equal(pthread_create(&thread, NULL, count, &c), 0);
    while (!c.stop) {
        if (told > 20000) {
            __atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
            pthread_join(thread, NULL);
        }
        const struct wire_live_route *r = route_in(sample_take(s.sample, 10), "s0");
        told += r ? r->requests : 0;
        failures += r ? r->failures : 0;
        buckets += r && r->n_total > 0 ? r->total[0].n : 0;
    }
    uint64_t counted = observe_reason_count(s.o, REASON_OVERLOADED);
    assert_true(counted > 0 && told <= counted && failures <= counted && buckets <= counted);
    assert_true(told == counted && failures == counted && buckets == counted);
    scene_fini(&s);
}

static uint64_t best_of(struct scene *s, unsigned asked) {
    uint64_t best = UINT64_MAX;
    for (unsigned i = 0; i < 5; i++) {
        for (uint32_t slot = 0; slot < asked; slot++)
            ask(s, slot % 2, snapshot_rule(s->w.s, slot), 1, 200, REASON_NONE);
        uint64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        sample_take(s->sample, LIVE_ASKED);
        uint64_t took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
        best = took < best ? took : best;
    }
    return best;
}

/* As many rules with counters of their own as a fleet of 100,000 routes may have. */
static void hundred_thousand(void **state) {
    (void)state;
    enum { RULES = 100000 };
    struct scene s;
    scene_init(&s, 1);
    struct model_gateway gateway = {.metrics_routes = RULES};
    builder_put(s.w.b, object_new(MODEL_KIND_gateway, STR("gateway/-/c"), &gateway));
    for (unsigned i = 0; i < RULES; i++) {
        char name[16];
        struct model_route r = {.rule = STR("r")};
        snprintf(name, sizeof(name), "m%u", i);
        put_route_as(&s.w, r, name, "s0.example", PREFIX("/x"), "up");
    }
    scene_commit(&s);
    for (uint32_t slot = 0; slot < s.w.s->rule_slots; slot++)
        ask(&s, slot % 2, snapshot_rule(s.w.s, slot), 1, 200, REASON_NONE);
    uint64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    s.sample = sample_new(s.o);
    uint64_t first = clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
    uint64_t none = best_of(&s, 0), some = best_of(&s, 1000), all = best_of(&s, RULES);
    print_message(
        "a sample of %u rules: the first %.1f ms; none asked %.1f, 1,000 %.1f, all %.1f\n",
        s.o->budget, (double)first / 1e6, (double)none / 1e6, (double)some / 1e6,
        (double)all / 1e6);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(none < 10000000 && some < 20000000 && all < 100000000);
#endif
    scene_fini(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(since_it_began),    cmocka_unit_test(the_largest),
        cmocka_unit_test(what_was_not_told), cmocka_unit_test(a_slot_of_another),
        cmocka_unit_test(beside_a_worker),   cmocka_unit_test(hundred_thousand),
    };
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
