/* SPDX-License-Identifier: Apache-2.0
 *
 * Every message of the link, with random contents: decode(encode(m)) = m. And with a few bytes
 * changed: refused, or something that encodes again to what was decoded; never a crash, never more
 * memory than the bound. The seed is printed; SEED=n repeats a run.
 */
#include "lib/hash.h"
#include "lib/mem.h"
#include "lib/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROUNDS = 50000 };

static struct prng rng;

static uint32_t below(uint32_t n) { return prng_below(&rng, n); }

static struct str random_text(struct arena *a) {
    static const size_t sizes[] = {0, 1, 2, 60, 127, 128, 300, 20000};
    size_t n = sizes[below(below(20) ? 6 : ARRAY_LEN(sizes))];
    char *p = arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)prng_next(&rng);
    return str_mk(p, n);
}

static uint64_t random_number(void) { return below(3) == 0 ? 0 : prng_next(&rng) >> below(64); }

static void fill(const struct model_struct *s, void *value, struct arena *a) {
    size_t n;
    const struct model_field *fields = s->fields(&n);
    memset(value, 0, s->size);
    for (size_t i = 0; i < n; i++) {
        const struct model_field *f = &fields[i];
        void *p = (char *)value + f->offset;
        uint32_t count = below(3) ? below(4) : 0;
        switch ((enum model_type)f->type) {
        case MODEL_T_BOOL:
            *(bool *)p = below(2);
            break;
        case MODEL_T_UINT:
            *(uint64_t *)p = random_number();
            break;
        case MODEL_T_TEXT:
        case MODEL_T_DATA:
        case MODEL_T_HIDE:
            *(struct str *)p = random_text(a);
            break;
        case MODEL_T_TEXTS:
            *(struct str **)p = arena_array(a, count, sizeof(struct str));
            *(uint32_t *)(void *)((char *)value + f->n_offset) = count;
            for (uint32_t k = 0; k < count; k++)
                (*(struct str **)p)[k] = random_text(a);
            break;
        case MODEL_T_MANY:
            *(char **)p = arena_array(a, count, f->part->size);
            *(uint32_t *)(void *)((char *)value + f->n_offset) = count;
            for (uint32_t k = 0; k < count; k++)
                fill(f->part, *(char **)p + k * f->part->size, a);
            break;
        case MODEL_T_ONE:
            if (below(2) == 0)
                break;
            *(void **)p = arena_alloc(a, f->part->size);
            fill(f->part, *(void **)p, a);
            break;
        case MODEL_T_WORD:
            fail_msg("%s.%s: no message has such a field yet", s->name, f->name);
        }
    }
}

static const struct model_struct *random_type(enum wire_type *type) {
    for (;;) {
        *type = (enum wire_type)below(WIRE_TYPES);
        if (wire_struct_of(*type))
            return wire_struct_of(*type);
    }
}

/* What was decoded, encoded again, is what it was decoded from, unless a field was skipped. */
static void survives(struct str bytes, struct arena *a, bool whole) {
    struct wire_message m;
    struct why why = {0};
    size_t before = a->used;
    int bad = wire_decode(bytes, a, &m, &why);
    assert_true(a->used - before <= 64 * bytes.n + (64 << 10));
    assert_int_equal(bad != 0, why_set(&why));
    if (whole)
        assert_int_equal(bad, 0);
    if (bad || m.type == WIRE_UNKNOWN)
        return;
    struct out o = out_heap(2 * WIRE_MESSAGE_MAX);
    wire_encode(m.type, &m.hello, &o);
    assert_false(o.over);
    assert_true(o.n <= bytes.n);
    if (whole)
        assert_true(str_eq(out_done(&o), bytes));
    out_fini(&o);
}

static void damage(char *p, size_t n) {
    for (uint32_t k = 1 + below(3); k > 0; k--)
        p[below((uint32_t)n)] ^= (char)(1 << below(8));
}

static void round_trip_and_damage(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a);
    for (int i = 0; i < ROUNDS; i++) {
        enum wire_type type;
        const struct model_struct *s = random_type(&type);
        void *value = arena_alloc(&a, s->size);
        fill(s, value, &a);
        struct out o = out_heap(WIRE_MESSAGE_MAX);
        wire_encode(type, value, &o);
        assert_false(o.over);
        survives(out_done(&o), &a, true);
        /* on the heap in its exact size, so that one byte too far is seen */
        size_t n = 1 + below((uint32_t)o.n);
        char *cut = mem_dup(o.p, n);
        cut = mem_realloc(cut, n);
        survives(str_mk(cut, n), &a, false);
        damage(cut, n);
        survives(str_mk(cut, n), &a, false);
        mem_free(cut);
        damage(o.p, o.n);
        survives(out_done(&o), &a, false);
        out_fini(&o);
        arena_reset(&a);
    }
    arena_fini(&a);
}

int main(void) {
    uint64_t seed;
    const char *given = getenv("SEED");
    random_bytes(&seed, sizeof(seed));
    if (given && !str_to_u64(str_of(given), UINT64_MAX, &seed))
        return 2;
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng = (struct prng){{seed, ~seed}};
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip_and_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
