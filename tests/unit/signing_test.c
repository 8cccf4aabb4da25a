/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of internal tokens through their lives: whoever verifies has the key of every token that is
 * good, however late a proxy or a verifier is, and however long the controller was away.
 */
#include "controller/trust/signing.h"
#include "lib/hash.h"
#include "lib/jwt_sign.h"
#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW = 1800000000, PERIOD = 1000, STEPS = 20000, HISTORY = 2 * PERIOD + 1 };

static bool has(const struct signing *s, const char *secret) {
    for (uint32_t i = 0; i < s->n; i++)
        if (memcmp(s->v[i].secret, secret, 64) == 0)
            return true;
    return false;
}

/* As a proxy picks it. */
static const char *signer_of(const struct signing *s, int64_t now) {
    uint32_t i = s->n - 1;
    while (i > 0 && s->v[i].from > now)
        i--;
    return s->v[i].secret;
}

static void what_is_due(void **state) {
    (void)state;
    struct signing s = {0}, before;
    assert_true(signing_renew(&s, NOW, PERIOD));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.v[0].from, NOW);
    assert_int_equal(s.v[1].from, NOW + PERIOD);
    assert_int_equal(signing_due(&s), NOW + PERIOD);
    assert_false(signing_renew(&s, NOW + PERIOD - 1, PERIOD));
    for (int i = 1; i < 20; i++) {
        before = s;
        assert_true(signing_renew(&s, NOW + i * PERIOD, PERIOD));
        assert_int_equal(s.n, 3);
        assert_int_equal(s.v[2].from, NOW + (i + 1) * PERIOD);
        assert_memory_equal(&s.v[1], &before.v[before.n - 1], sizeof(s.v[0]));
        assert_false(has(&before, s.v[2].secret));
        assert_int_equal(signing_due(&s), NOW + (i + 1) * PERIOD);
    }
    assert_true(signing_renew(&s, NOW + 20 * PERIOD, 2 * PERIOD)); /* it is longer from now on */
    assert_int_equal(s.v[s.n - 1].from, NOW + 22 * PERIOD);
    assert_true(signing_renew(&s, NOW, PERIOD)); /* a clock that was far ahead */
    assert_int_equal(s.v[0].from, NOW);
    signing_fini(&s);
    assert_int_equal(s.n, 0);
}

/* A second a step. The controller looks whenever it likes; each second a proxy that may be half a
 * period behind signs, and a verifier that may be half a period behind has the key until the token
 * is over. */
static void nobody_is_too_late(void **state) {
    (void)state;
    static struct signing seen[HISTORY]; /* of the last seconds */
    static struct {
        char secret[64];
        int64_t expires;
    } last[PERIOD];
    struct prng r;
    struct signing s = {0};
    int64_t look = NOW;
    unsigned keys = 0;
    prng_init(&r);
    for (int64_t now = NOW; now < NOW + STEPS; now++) {
        if (now >= look) {
            int64_t newest = s.n > 0 ? s.v[s.n - 1].from : 0;
            signing_renew(&s, now, PERIOD);
            keys += s.v[s.n - 1].from != newest;
            look = now + 1 + prng_below(&r, now / PERIOD % 5 == 0 ? 3 * PERIOD / 2 : PERIOD / 8);
        }
        seen[now % HISTORY] = s;
        int64_t back = now - NOW < PERIOD / 2 ? now - NOW : PERIOD / 2;
        const struct signing *at_proxy =
            &seen[(now - prng_below(&r, (uint32_t)back + 1)) % HISTORY];
        unsigned i = (unsigned)(now % PERIOD);
        memcpy(last[i].secret, signer_of(at_proxy, now), 64);
        last[i].expires = now + 1 + prng_below(&r, PERIOD);
        const struct signing *there = &seen[(now - prng_below(&r, (uint32_t)back + 1)) % HISTORY];
        i = prng_below(&r, (uint32_t)(now - NOW < PERIOD ? now - NOW + 1 : PERIOD));
        if (last[i].expires > now && !has(there, last[i].secret))
            fail_msg("after %lld s: a token is good for %lld s more, and its key is not there",
                     (long long)(now - NOW), (long long)(last[i].expires - now));
        assert_in_range(s.n, 2, SIGNING_KEYS_MAX);
    }
    assert_in_range(keys, STEPS / PERIOD / 3, STEPS / PERIOD + 2);
}

static void as_they_are_kept(void **state) {
    (void)state;
    struct signing s = {0}, again;
    struct out o = out_heap(4096), ed = out_heap(256);
    signing_renew(&s, NOW, PERIOD);
    signing_write(&s, &o);
    assert_true(signing_read(&again, out_done(&o)));
    assert_true(signing_equal(&s, &again));
    struct object *object = signing_object(&s);
    assert_true(str_eq(object_bytes(object), out_done(&o)));
    object_drop(object);
    for (size_t n = 0; n < o.n; n++) { /* cut off */
        if (signing_read(&again, str_mk(o.p, n)))
            assert_true(again.n < s.n || again.period_s != s.period_s);
        else
            assert_int_equal(again.n, 0);
    }
    jwt_make_key(JWT_EDDSA, &ed);
    memcpy(s.v[1].secret, ed.p, ed.n);
    s.v[1].n_secret = ed.n;
    o.n = 0;
    signing_write(&s, &o);
    assert_false(signing_read(&again, out_done(&o)));
    assert_false(signing_read(&again, STR("nonsense")));
    out_fini(&o);
    out_fini(&ed);
}

static void what_is_none(void **state) {
    (void)state;
    struct model_signing_key k[5] = {
        {1, STR("a")}, {2, STR("b")}, {3, STR("c")}, {4, STR("d")}, {5, STR("e")}};
    struct model_signing_key same[] = {{1, STR("a")}, {1, STR("b")}}, none = {1, STR_NONE};
    static char big[SIGNING_SECRET_MAX + 1];
    struct model_signing_key large = {1, str_mk(big, sizeof(big))}, far = {1ull << 32, STR("a")};
    const struct {
        struct model_signing_keys m;
        const char *why;
    } cases[] = {
        {{.keys = k, .n_keys = 4, .period_s = 60}, NULL},
        {{.keys = k, .n_keys = 0, .period_s = 60},
         "0 keys of internal tokens; 1 to 4 are possible"},
        {{.keys = k, .n_keys = 5, .period_s = 60},
         "5 keys of internal tokens; 1 to 4 are possible"},
        {{.keys = k, .n_keys = 1}, "a key of internal tokens signs for 1 to 2592000 s"},
        {{.keys = k, .n_keys = 1, .period_s = 2592001},
         "a key of internal tokens signs for 1 to 2592000 s"},
        {{.keys = same, .n_keys = 2, .period_s = 60},
         "key 2 of internal tokens is not behind the one before it"},
        {{.keys = &far, .n_keys = 1, .period_s = 60},
         "key 1 of internal tokens is not behind the one before it"},
        {{.keys = &none, .n_keys = 1, .period_s = 60},
         "key 1 of internal tokens has 0 bytes; 1 to 256 are possible"},
        {{.keys = &large, .n_keys = 1, .period_s = 60},
         "key 1 of internal tokens has 257 bytes; 1 to 256 are possible"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {0};
        assert_int_equal(signing_keys_check(&cases[i].m, &why), cases[i].why ? -1 : 0);
        if (cases[i].why)
            assert_string_equal(why.text, cases[i].why);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_due),
        cmocka_unit_test(nobody_is_too_late),
        cmocka_unit_test(as_they_are_kept),
        cmocka_unit_test(what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
