/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire.h"

#include "lib/hash.h"
#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct str samples[WIRE_TYPES];
static struct out rooms[WIRE_TYPES];

static void sample(enum wire_type type, const void *value) {
    rooms[type] = out_heap(WIRE_MESSAGE_MAX);
    wire_encode(type, value, &rooms[type]);
    assert_false(rooms[type].over);
    samples[type] = out_done(&rooms[type]);
}

static int make_samples(void **state) {
    (void)state;
    static char digest[WIRE_DIGEST_BYTES] = "digest";
    static char buckets[WIRE_BUCKETS_BYTES] = {3};
    static struct str ids[] = {{"a/b/", 4}, {"c", 1}};
    static struct wire_fault faults[] = {{{"id", 2}, {"why", 3}, 7}, {{"", 0}, {"x", 1}, 0}};
    static struct wire_object objects[] = {{5, {"id", 2}, {"bytes", 5}}, {6, {"i", 1}, {NULL, 0}}};
    sample(WIRE_hello, &(struct wire_hello){STR("name"), 1, str_mk(digest, sizeof(digest)),
                                            UINT64_MAX, true, true, STR("v1.2.3")});
    sample(WIRE_ack, &(struct wire_ack){1, 2, 3});
    sample(WIRE_nack, &(struct wire_nack){7, faults, 2});
    struct str unknown[] = {STR("shop/customers/idp#1"), STR("shop/customers/idp#2")};
    sample(WIRE_report, &(struct wire_report){1, 2, 3, 4, 5, 6, unknown, ARRAY_LEN(unknown)});
    sample(WIRE_have, &(struct wire_have){1, objects, 2, true});
    sample(WIRE_begin, &(struct wire_begin){9, str_mk(buckets, sizeof(buckets))});
    sample(WIRE_put, &(struct wire_put){5, STR("route/a/b/c"), STR("\x01\x02")});
    sample(WIRE_del, &(struct wire_del){STR("route/a/b/c")});
    sample(WIRE_commit, &(struct wire_commit){9, 1});
    sample(WIRE_get, &(struct wire_get){4, ids, 2});
    sample(WIRE_hold, &(struct wire_hold){ids, 2});
    static struct wire_count_demand asked[] = {{1, 2, 3}, {UINT64_MAX, 0, WIRE_WHOLE}};
    static struct wire_count_share given[] = {{1, 2}, {UINT64_MAX, WIRE_WHOLE}};
    sample(WIRE_demand, &(struct wire_demand){1, 2, 3, asked, ARRAY_LEN(asked), 4});
    sample(WIRE_shares, &(struct wire_shares){1, 2, 3, 4, 5, given, ARRAY_LEN(given)});
    static struct wire_live_bucket buckets_of[] = {{500, 1}, {0, UINT64_MAX}};
    static struct wire_live_reason reasons[] = {{{"no_route", 8}, {"client", 6}, 3}};
    static struct wire_live_route counted[] = {{{"shop", 4},
                                                {"catalog", 7},
                                                {"r", 1},
                                                9,
                                                8,
                                                7,
                                                6,
                                                5,
                                                4,
                                                buckets_of,
                                                2,
                                                buckets_of,
                                                1,
                                                buckets_of,
                                                2,
                                                reasons,
                                                1},
                                               {.name = {"other", 5}, .requests = 1}};
    sample(WIRE_live, &(struct wire_live){1000000, &counted[1], counted, ARRAY_LEN(counted)});
    sample(WIRE_watch, &(struct wire_watch){15000, 100});
    sample(WIRE_standing, &(struct wire_standing){.blind = true});
    sample(WIRE_token, &(struct wire_token){STR("a.b.c")});
    sample(WIRE_fleet, &(struct wire_fleet){STR("cert"), STR("key"), STR("{}"), STR("issuer"),
                                            STR("audience"), ids, 2});
    return 0;
}

static int free_samples(void **state) {
    (void)state;
    for (size_t i = 0; i < WIRE_TYPES; i++)
        out_fini(&rooms[i]);
    return 0;
}

static void check_again(struct str bytes, bool must_decode) {
    struct wire_message m;
    struct why why = {0};
    struct arena a;
    arena_init(&a);
    int bad = wire_decode(bytes, &a, &m, &why);
    assert_int_equal(bad != 0, why_set(&why));
    if (must_decode) {
        assert_int_equal(bad, 0);
        struct out o = out_heap(WIRE_MESSAGE_MAX);
        wire_encode(m.type, &m.hello, &o);
        assert_true(str_eq(out_done(&o), bytes));
        out_fini(&o);
    }
    arena_fini(&a);
}

static void every_message_comes_back(void **state) {
    (void)state;
    for (unsigned type = 1; type < WIRE_TYPES; type++) {
        if (!wire_struct_of((enum wire_type)type))
            continue;
        assert_true(samples[type].n > 1); /* a new message needs a sample */
        assert_int_equal((unsigned char)samples[type].p[0], type);
        check_again(samples[type], true);
    }
}

/* Each copy has its exact size, so that the sanitizer sees one byte too far. */
static void cut_anywhere_and_any_bit_flipped(void **state) {
    (void)state;
    for (unsigned type = 1; type < WIRE_TYPES; type++) {
        struct str s = samples[type];
        for (size_t n = 0; n < s.n; n++) {
            char *cut = mem_realloc(mem_dup(s.p, n), n);
            check_again(str_mk(cut, n), false);
            mem_free(cut);
        }
        for (size_t bit = 0; bit < s.n * 8; bit++) {
            char *changed = mem_realloc(mem_dup(s.p, s.n), s.n);
            changed[bit / 8] ^= (char)(1 << (bit % 8));
            check_again(str_mk(changed, s.n), false);
            mem_free(changed);
        }
    }
}

static void what_is_unknown_is_skipped(void **state) {
    (void)state;
    struct wire_message m;
    struct why why = {0};
    struct arena a;
    arena_init(&a);
    assert_int_equal(wire_decode(STR("\xff who knows"), &a, &m, &why), 0);
    assert_int_equal(m.type, WIRE_UNKNOWN);
    assert_int_equal(wire_decode(STR("\x0f"), &a, &m, &why), 0);
    assert_int_equal(m.type, WIRE_UNKNOWN);
    /* ack{tx 1, field 100 = 5} */
    assert_int_equal(wire_decode(STR("\x02\x02\x01\xc8\x01\x05"), &a, &m, &why), 0);
    assert_int_equal(m.type, WIRE_ack);
    assert_int_equal(m.ack.tx, 1);
    assert_int_equal(wire_decode(STR(""), &a, &m, &why), -1);
    assert_string_equal(why.text, "an empty message");
    arena_fini(&a);
}

static void the_largest_object_fits(void **state) {
    (void)state;
    char *big = mem_zalloc(WIRE_MESSAGE_MAX + 1), id[MODEL_ID_MAX];
    memset(id, 'x', sizeof(id));
    struct wire_put put = {5, str_mk(id, sizeof(id)), str_mk(big, MODEL_OBJECT_MAX)};
    struct out o = out_heap(1 + WIRE_MESSAGE_MAX);
    wire_encode(WIRE_put, &put, &o);
    assert_false(o.over);
    check_again(out_done(&o), true);
    struct wire_message m;
    struct why why = {0};
    struct arena a;
    arena_init(&a);
    big[0] = WIRE_put;
    assert_int_equal(wire_decode(str_mk(big, WIRE_MESSAGE_MAX + 2), &a, &m, &why), -1);
    assert_non_null(strstr(why.text, "more than the limit"));
    arena_fini(&a);
    out_fini(&o);
    mem_free(big);
}

static void digests_are_packed(void **state) {
    (void)state;
    struct digest d = {{[0] = 1, [255] = 0x0102030405060708}}, back;
    char room[WIRE_DIGEST_BYTES];
    struct why why = {0};
    wire_digest_pack(&d, room);
    assert_int_equal(room[0], 1);
    assert_int_equal(room[WIRE_DIGEST_BYTES - 8], 8); /* little-endian */
    assert_int_equal(wire_digest_unpack(str_mk(room, sizeof(room)), &back, &why), 0);
    assert_memory_equal(&d, &back, sizeof(d));
    assert_int_equal(wire_digest_unpack(str_mk(room, 2047), &back, &why), -1);
    assert_string_equal(why.text, "hello.digest has 2047 bytes instead of 2048");
}

static void sets_of_ids(void **state) {
    (void)state;
    struct wire_ids s, t;
    wire_ids_init(&s);
    wire_ids_init(&t);
    assert_false(wire_ids_match(&s, STR("a/b")));
    assert_true(wire_ids_add(&s, STR("route/a/b/")));
    assert_false(wire_ids_add(&s, STR("route/a/b/")));
    assert_true(wire_ids_add(&s, STR("host/a/c")));
    assert_true(wire_ids_match(&s, STR("route/a/b/rule-0")));
    assert_true(wire_ids_match(&s, STR("route/a/b/c/d")));
    assert_true(wire_ids_match(&s, STR("host/a/c")));
    assert_false(wire_ids_match(&s, STR("route/a/bc/rule-0")));
    assert_false(wire_ids_match(&s, STR("route/a/b")));
    assert_false(wire_ids_match(&s, STR("host/a/cd")));
    assert_false(wire_ids_match(&s, STR("host/a/c/d")));
    assert_false(wire_ids_equal(&s, &t));
    wire_ids_add(&t, STR("host/a/c"));
    wire_ids_add(&t, STR("route/a/x/"));
    assert_false(wire_ids_equal(&s, &t));
    wire_ids_del(&t, STR("route/a/x/"));
    wire_ids_add(&t, STR("route/a/b/"));
    assert_true(wire_ids_equal(&s, &t));
    assert_false(wire_ids_del(&t, STR("nothing")));
    assert_true(wire_covers(STR("a/"), STR("a/b")) && !wire_covers(STR("a"), STR("a/b")));
    wire_ids_fini(&s);
    wire_ids_fini(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back),
        cmocka_unit_test(cut_anywhere_and_any_bit_flipped),
        cmocka_unit_test(what_is_unknown_is_skipped),
        cmocka_unit_test(the_largest_object_fits),
        cmocka_unit_test(digests_are_packed),
        cmocka_unit_test(sets_of_ids),
    };
    return cmocka_run_group_tests(tests, make_samples, free_samples);
}
