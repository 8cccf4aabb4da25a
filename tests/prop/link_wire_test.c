/* SPDX-License-Identifier: Apache-2.0
 *
 * The link under anything that may happen, in random order: objects put, removed, held, released;
 * bad ones, quarantined after the nack; workers that do not adopt; proxies and controllers that are
 * killed and come again, with and without a file. Whenever all is quiet, every proxy has exactly
 * what is wanted, and what was held it has as it was. The seed is printed; SEED=n repeats the
 * order, if not the timing.
 */
#include "controller/push/push.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "proxy/config/config.h"
#include "tests/unit/fake_builder.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PROXIES = 3, IDS = 60, ROUNDS = 60, STEPS = 12, WITHIN_S = 60 };
static const char address[] = "127.0.0.1:21401";
static const char *const urls[] = {"ws://127.0.0.1:21401"};

static struct event_base *base;
static struct push *push;
static struct prng rng;
static char dir[40];

static struct {
    struct config *config;
    uint64_t serial;
    bool stuck;
    char path[80];
    char name[40]; /* another one in each life: a link may be told lost later than its successor */
} proxies[PROXIES];

/* What is wanted: 0 = nothing, else the object is made of the number. */
static uint64_t wanted[IDS];
static bool hold_group; /* ids of group 1 are held, as they are everywhere */

static uint32_t below(uint32_t n) { return prng_below(&rng, n); }

static struct str id_of(int i, char room[60]) {
    snprintf(room, 60, "route/%s/r%d/rule-0", i % 7 == 1 ? "group" : "other", i);
    return str_of(room);
}
static bool in_group(int i) { return i % 7 == 1; }

static struct object *object(int i, uint64_t value) {
    char room[60];
    struct model_route r = {.order = value};
    return object_new(MODEL_KIND_route, id_of(i, room), &r);
}

/* ---- the world ---- */

static void on_publish(void *arg, struct snapshot *s) {
    *(uint64_t *)arg = s->serial;
    snapshot_drop(s);
}

static void on_nack(void *arg, const struct push_proxy *p, const struct push_fault *faults,
                    size_t n) {
    (void)arg, (void)p;
    for (size_t i = 0; i < n; i++)
        push_del(push, faults[i].id);
    push_commit(push);
}

static void start_controller(void) {
    static const struct push_events events = {.on_nack = on_nack};
    struct why why = {0};
    push = push_new(base, address, false, &events, NULL, &why);
    if (!push)
        print_error("%s\n", why.text);
    assert_non_null(push);
    if (hold_group)
        push_hold(push, STR("route/group/"));
    for (int i = 0; i < IDS; i++)
        if (wanted[i] && !(hold_group && in_group(i)))
            push_put(push, object(i, wanted[i]));
    push_commit(push);
}

static void start_proxy(int i, bool with_file) {
    static unsigned lives;
    struct why why = {0};
    snprintf(proxies[i].name, sizeof(proxies[i].name), "p%d-%u", i, ++lives);
    proxies[i].serial = 0;
    proxies[i].stuck = false;
    if (!with_file)
        unlink(proxies[i].path);
    struct config_options o = {.name = proxies[i].name,
                               .controllers = urls,
                               .n_controllers = 1,
                               .lastgood = proxies[i].path,
                               .publish = on_publish,
                               .arg = &proxies[i].serial};
    proxies[i].config = config_new(base, &o, &why);
    assert_non_null(proxies[i].config);
    config_start(proxies[i].config);
}

static void turn(void) {
    struct timeval soon = {0, 20000};
    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
    for (int i = 0; i < PROXIES; i++)
        if (!proxies[i].stuck)
            config_adopted(proxies[i].config, proxies[i].serial);
}

static void count_current(void *arg, const struct push_proxy *p) {
    for (int i = 0; i < PROXIES; i++)
        *(size_t *)arg += p->current && p->ready && strcmp(p->name, proxies[i].name) == 0;
}

static bool quiet(void) {
    size_t n = 0;
    push_each(push, count_current, &n);
    return n == PROXIES;
}

/* ---- steps ---- */

static void change(void) {
    int i = (int)below(IDS);
    char room[60];
    if (hold_group && in_group(i))
        return;
    wanted[i] = below(4) ? 1 + below(1000) : 0;
    if (wanted[i])
        push_put(push, object(i, wanted[i]));
    else
        push_del(push, id_of(i, room));
}

static void put_bad(void) {
    struct model_route r = {.order = below(1000)};
    push_put(push, object_new(MODEL_KIND_route, STR("route/bad/b/rule-0"), &r));
}

static void restart_controller(void) {
    push_free(push);
    start_controller(); /* what was said and not committed is said again: `wanted` has it */
}

static void restart_proxy(void) {
    int i = (int)below(PROXIES);
    /* what is held lives in the proxies alone: one of them must keep it */
    bool with_file = hold_group || below(2);
    config_free(proxies[i].config);
    start_proxy(i, with_file);
}

/* Only when all have the same may the group be held: from then it is theirs. */
static void toggle_hold(void) {
    time_t end = time(NULL) + WITHIN_S;
    for (int i = 0; i < PROXIES; i++)
        proxies[i].stuck = false;
    push_commit(push);
    while (!quiet() && time(NULL) <= end)
        turn();
    assert_true(quiet());
    hold_group = !hold_group;
    if (hold_group)
        push_hold(push, STR("route/group/"));
    else
        push_unhold(push, STR("route/group/"));
    if (!hold_group) { /* known again, and changed meanwhile */
        for (int i = 0; i < IDS; i++) {
            char room[60];
            if (!in_group(i))
                continue;
            wanted[i] = below(3) ? wanted[i] : 0;
            if (wanted[i])
                push_put(push, object(i, wanted[i]));
            else
                push_del(push, id_of(i, room));
        }
    }
    push_commit(push);
}

static void step(void) {
    uint32_t what = below(100);
    if (what < 50)
        change();
    else if (what < 70)
        push_commit(push);
    else if (what < 75)
        put_bad();
    else if (what < 80)
        proxies[below(PROXIES)].stuck ^= true;
    else if (what < 83)
        restart_controller();
    else if (what < 88)
        restart_proxy();
    else if (what < 90)
        toggle_hold();
    else
        turn();
}

static void same(int k) {
    size_t n, expected = 0, found = 0;
    struct object **objects = config_objects(proxies[k].config, &n);
    for (int i = 0; i < IDS; i++) {
        struct object *o = wanted[i] ? object(i, wanted[i]) : NULL;
        expected += o != NULL;
        for (size_t m = 0; o && m < n; m++)
            found += objects[m]->hash == o->hash;
        object_drop(o);
    }
    if (found != expected || n != expected)
        fail_msg("proxy %d has %zu objects, %zu of the %zu that are wanted", k, n, found, expected);
    for (size_t m = 0; m < n; m++)
        object_drop(objects[m]);
    mem_free(objects);
}

static void every_proxy_ends_with_what_is_wanted(void **state) {
    (void)state;
    start_controller();
    for (int i = 0; i < PROXIES; i++)
        start_proxy(i, true);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < STEPS; i++)
            step();
        for (int i = 0; i < PROXIES; i++)
            proxies[i].stuck = false;
        push_del(push, STR("route/bad/b/rule-0"));
        push_commit(push);
        time_t end = time(NULL) + WITHIN_S;
        while (!quiet()) {
            if (time(NULL) > end)
                fail_msg("round %d never ends", round);
            turn();
        }
        for (int i = 0; i < PROXIES; i++)
            same(i);
    }
    for (int i = 0; i < PROXIES; i++) {
        config_free(proxies[i].config);
        unlink(proxies[i].path);
    }
    push_free(push);
}

int main(void) {
    uint64_t seed;
    const char *given = getenv("SEED");
    random_bytes(&seed, sizeof(seed));
    if (given && !str_to_u64(str_of(given), UINT64_MAX, &seed))
        return 2;
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng = (struct prng){{seed, ~seed}};
    log_level(getenv("LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    snprintf(dir, sizeof(dir), "/tmp/sluice-prop-XXXXXX");
    if (!mkdtemp(dir))
        return 2;
    for (int i = 0; i < PROXIES; i++)
        snprintf(proxies[i].path, sizeof(proxies[i].path), "%s/p%d", dir, i);
    base = event_base_new();
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_proxy_ends_with_what_is_wanted)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    event_base_free(base);
    return failed + (rmdir(dir) != 0);
}
