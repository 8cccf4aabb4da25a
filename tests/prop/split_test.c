/* SPDX-License-Identifier: Apache-2.0
 *
 * Random JSON objects, written one after the other as a watch, or as the items of a list among
 * random other members, cut at random: the same objects come out, byte for byte, and of the list
 * the same JSON without items. The seed is printed; SEED=n repeats a run.
 */
#include "controller/kube/split.h"

#include "lib/hash.h"
#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROUNDS = 3000, OBJECTS = 8 };

static struct prng rng;

static uint32_t below(uint32_t n) { return prng_below(&rng, n); }

static void space(struct out *o) {
    while (below(4) == 0)
        out_char(o, " \n\t\r"[below(4)]);
}

static void text(struct out *o) {
    static const char *const pieces[] = {"a",  "b",  "items", "{", "}",  "[", "]",
                                         "\"", "\\", ",",     ":", "\n", "ü", "0123456789abcdef"};
    struct out raw = out_heap(4096);
    for (uint32_t n = below(20); n > 0; n--)
        out_str(&raw, str_of(pieces[below(ARRAY_LEN(pieces))]));
    out_json(o, out_done(&raw));
    out_fini(&raw);
}

static void value(struct out *o, unsigned depth);

static void list(struct out *o, unsigned depth) {
    out_char(o, '[');
    for (uint32_t i = 0, n = below(4); i < n; i++) {
        if (i > 0)
            out_char(o, ',');
        value(o, depth + 1);
    }
    out_char(o, ']');
}

static void object(struct out *o, unsigned depth) {
    out_char(o, '{');
    for (uint32_t i = 0, n = below(4); i < n; i++) {
        if (i > 0)
            out_char(o, ',');
        space(o);
        text(o);
        space(o);
        out_char(o, ':');
        value(o, depth + 1);
    }
    out_char(o, '}');
}

static void value(struct out *o, unsigned depth) {
    static const char *const plain[] = {"1", "-2.5e3", "true", "false", "null"};
    space(o);
    uint32_t which = below(depth > 6 ? 2 : 4);
    if (which == 0)
        out_str(o, str_of(plain[below(ARRAY_LEN(plain))]));
    else if (which == 1)
        text(o);
    else if (which == 2)
        list(o, depth);
    else
        object(o, depth);
    space(o);
}

struct world {
    struct out objects[OBJECTS];
    size_t n;
    struct out all;  /* what is sent */
    struct out rest; /* what a list leaves */
};

static void make(struct world *w, enum split_form form) {
    *w = (struct world){
        .n = below(OBJECTS + 1), .all = out_heap(1 << 24), .rest = out_heap(1 << 24)};
    for (size_t i = 0; i < w->n; i++) {
        w->objects[i] = out_heap(1 << 22);
        object(&w->objects[i], 0);
    }
    if (form == SPLIT_STREAM) {
        for (size_t i = 0; i < w->n; i++) {
            space(&w->all);
            out_str(&w->all, out_done(&w->objects[i]));
        }
        space(&w->all);
        return;
    }
    size_t members = below(4), items = below((uint32_t)members + 1);
    out_char(&w->all, '{');
    out_char(&w->rest, '{');
    for (size_t i = 0; i <= members; i++) {
        if (i > 0)
            out_char(&w->all, ',');
        space(&w->all);
        if (i == items) {
            out_lit(&w->all, "\"items\":[");
            for (size_t k = 0; k < w->n; k++) {
                if (k > 0)
                    out_char(&w->all, ',');
                space(&w->all);
                out_str(&w->all, out_done(&w->objects[k]));
                space(&w->all);
            }
            out_char(&w->all, ']');
        } else {
            struct out member = out_heap(1 << 22);
            out_fmt(&member, "\"m%zu\":", i);
            value(&member, 0);
            out_str(&w->all, out_done(&member));
            if (w->rest.n > 1)
                out_char(&w->rest, ',');
            out_str(&w->rest, out_done(&member));
            out_fini(&member);
        }
        space(&w->all);
    }
    out_char(&w->all, '}');
    out_char(&w->rest, '}');
}

static void unmake(struct world *w) {
    for (size_t i = 0; i < w->n; i++)
        out_fini(&w->objects[i]);
    out_fini(&w->all);
    out_fini(&w->rest);
}

static void same_json(struct str a, struct str b) {
    struct why why = {0};
    cJSON *x = json_parse(a, &why), *y = json_parse(b, &why);
    assert_non_null(x);
    assert_non_null(y);
    char *printed_x = cJSON_PrintUnformatted(x), *printed_y = cJSON_PrintUnformatted(y);
    assert_string_equal(printed_x, printed_y);
    cJSON_free(printed_x);
    cJSON_free(printed_y);
    cJSON_Delete(x);
    cJSON_Delete(y);
}

static void check(struct world *w, enum split_form form) {
    struct split s;
    struct why why = {0};
    struct str rest = out_done(&w->all), left, got;
    size_t n = 0, largest = 1 + below(5) * below(200);
    enum split_got what = SPLIT_MORE;
    split_init(&s, form, SPLIT_OBJECT_MAX);
    while (rest.n > 0) {
        struct str piece = str_mk(rest.p, size_min(rest.n, 1 + below((uint32_t)largest)));
        rest = str_skip(rest, piece.n);
        char *apart = mem_dup(piece.p, piece.n); /* no byte of another piece may be looked at */
        piece.p = apart;
        while ((what = split_next(&s, &piece, &got, &why)) == SPLIT_OBJECT) {
            assert_true(n < w->n);
            assert_true(str_eq(got, out_done(&w->objects[n])));
            n++;
        }
        mem_free(apart);
        assert_int_equal(what, SPLIT_MORE);
    }
    assert_int_equal(n, w->n);
    assert_int_equal(split_end(&s, &left, &why), 0);
    if (form == SPLIT_LIST)
        same_json(left, out_done(&w->rest));
    split_fini(&s);
}

static void run(enum split_form form) {
    for (int i = 0; i < ROUNDS; i++) {
        struct world w;
        make(&w, form);
        check(&w, form);
        unmake(&w);
    }
}

static void streams(void **state) {
    (void)state;
    run(SPLIT_STREAM);
}
static void lists(void **state) {
    (void)state;
    run(SPLIT_LIST);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(streams), cmocka_unit_test(lists)};
    const char *seed = getenv("SEED");
    uint64_t s;
    prng_init(&rng);
    s = seed ? strtoull(seed, NULL, 10) : prng_next(&rng);
    printf("SEED=%llu\n", (unsigned long long)s);
    rng = (struct prng){{s | 1, hash_mix(s, 7)}};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
