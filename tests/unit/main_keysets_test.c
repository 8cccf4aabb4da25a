/* SPDX-License-Identifier: Apache-2.0
 *
 * Round trip of a want: a unit reads it, the turn brings it to keysets, what comes of it touches
 * the unit; and who asks no more is forgotten everywhere. (Nothing is asked for outside: the
 * address is one that is refused.)
 */
#include "controller/main_keysets.h"

#include "controller/compile/fetched.h"
#include "lib/json.h"
#include "lib/log.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

enum { WITHIN_S = 30 };

static struct event_base *base;
static struct store *store;
static struct turn *turn;
static struct main_keysets *m;
static struct arena arena;
static struct keyset_want wanted = {
    .url = {"https://127.0.0.1:1/keys", 24}, .refresh_ms = 300000, .max_stale_ms = 86400000};

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        time_t end = time(NULL) + WITHIN_S;                                                        \
        while (!(condition)) {                                                                     \
            struct timeval soon = {0, 10000};                                                      \
            if (time(NULL) > end)                                                                  \
                fail_msg("line %d: never true: %s", __LINE__, #condition);                         \
            event_base_loopexit(base, &soon);                                                      \
            event_base_loop(base, EVLOOP_ONCE);                                                    \
        }                                                                                          \
    } while (0)

static int setup(void **state) {
    struct why why = {0};
    struct resource_origin from = {0};
    bool foreign;
    (void)state;
    log_level(LOG_LEVEL_ERROR);
    arena_init(&arena);
    wanted.key = keyset_key(&arena, STR("shop/p/jwt"), wanted.url, wanted.issuer);
    base = event_base_new();
    store = store_new();
    turn = turn_new(base, store, "127.0.0.1:0", false, &why);
    if (!turn)
        fail_msg("%s", why.text);
    m = main_keysets_new(base, turn);
    cJSON *json =
        json_parse(STR("{\"apiVersion\":\"sluice.dev/v1alpha1\",\"kind\":\"Consumer\","
                       "\"metadata\":{\"name\":\"c\",\"namespace\":\"shop\"},\"spec\":{}}"),
                   &why);
    struct resource *r = resource_new(json, &from, &foreign, &why);
    cJSON_Delete(json);
    assert_non_null(r);
    store_upsert(store, r);
    store_synced(store);
    turn_wake(turn);
    UNTIL(turn_is_ready(turn));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    main_keysets_free(m);
    turn_free(turn);
    store_free(store);
    event_base_free(base);
    arena_fini(&arena);
    return 0;
}

static struct unit *unit(void) {
    return unit_find(turn_compiler(turn), UNIT_CONSUMER, STR("shop"), STR("c"), STR_NONE);
}

/* As it would read while it compiles. */
static enum keyset_state reads(void) {
    struct making making;
    making_init(&making, turn_compiler(turn), unit(), NULL);
    enum keyset_state state = fetched_read(&making, &wanted)->state;
    making_fini(&making);
    return state;
}

static void round_trip(void **state) {
    struct keysets *sets = main_keysets_sets(m);
    uint64_t runs = turn_numbers(turn)->runs;
    (void)state;
    assert_int_equal(reads(), KEYSET_PENDING);
    assert_null(keysets_get(sets, wanted.key));
    turn_wake(turn);
    UNTIL(keysets_get(sets, wanted.key));
    UNTIL(turn_numbers(turn)->runs > runs); /* the unit was touched, and compiled */
    UNTIL(!keysets_get(sets, wanted.key));  /* it did not ask again */
    assert_int_equal(reads(), KEYSET_PENDING);
}

static void brings_what_came(void **state) {
    struct keysets *sets = main_keysets_sets(m);
    (void)state;
    reads();
    turn_wake(turn);
    UNTIL(keysets_get(sets, wanted.key));
    while (reads() == KEYSET_PENDING) { /* the turn comes later than the touch */
        const struct timeval soon = {0, 1000};
        event_base_loopexit(base, &soon);
        event_base_loop(base, EVLOOP_ONCE);
    }
    assert_int_equal(reads(), KEYSET_FAILED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(brings_what_came, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
