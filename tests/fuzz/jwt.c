/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz jwt: a key set, a zero byte, a token: taken apart, verified and judged. Every key that is
 * taken from a set is one that can verify, and is there again when it was written and read.
 */
#include "lib/jwt_keys.h"

#include "tests/fuzz/fuzz.h"

static void write_and_read(const struct jwt_set *s) {
    struct out o = out_heap(1 << 20);
    must(jwt_set_json(s->keys, s->n_keys, &o) == 0);
    struct jwt_set *again = jwt_set_new(out_done(&o), NULL);
    must(again && again->n_left_out == 0 && again->n_keys == s->n_keys);
    for (size_t i = 0; i < s->n_keys; i++)
        must(again->keys[i].alg == s->keys[i].alg && str_eq(again->keys[i].kid, s->keys[i].kid) &&
             str_eq(again->keys[i].der, s->keys[i].der));
    jwt_set_free(again);
    out_fini(&o);
}

static struct jwt_keys *keys_of(struct str text) {
    struct why why = {0};
    struct jwt_set *s = jwt_set_new(text, &why);
    must(why_set(&why) == (s == NULL));
    if (!s)
        return NULL;
    must(s->n_keys + s->n_left_out <= JWT_KEYS_MAX);
    struct jwt_keys *keys = jwt_keys_of(s->keys, s->n_keys, NULL);
    must((keys != NULL) == (s->n_keys > 0) && (!keys || jwt_keys_count(keys) == s->n_keys));
    write_and_read(s);
    jwt_set_free(s);
    return keys;
}

static void verify(const struct jwt *t, const struct jwt_keys *keys, struct jwt_scratch *s) {
    static const struct str secret = {"0123456789abcdef0123456789abcdef", 32};
    struct why why = {0};
    must((jwt_verify_secret(t, JWT_HS256, secret, s, &why) != 0) == why_set(&why));
    must(why_set(&why) || t->alg == JWT_HS256);
    why_clear(&why);
    if (keys)
        must((jwt_verify(t, keys, ~0U, s, &why) != 0) == why_set(&why));
    must(!keys || why_set(&why) || t->alg < JWT_HS256);
}

static void judge(const struct jwt *t) {
    static const struct str audience = {"x", 1};
    const struct jwt_rules rules = {.audiences = &audience, .n_audiences = 1}, any = {.skew_s = 30};
    static const unsigned char sha256[32];
    (void)jwt_is_bound_to(t, sha256);
    must(jwt_judge(t, &rules, 1, NULL) != 0 || jwt_is_for(t, audience));
    must(jwt_judge(t, &any, (int64_t)1 << 60, NULL) != 0);
    must(t->expires >= 0 && t->not_before >= 0 && t->issued >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct jwt_scratch *scratch;
    struct str all = str_mk((const char *)data, size), set;
    struct str token = str_cut(all, 0, &set);
    struct why why = {0};
    struct jwt t;
    if (!scratch)
        scratch = jwt_scratch_new();
    struct jwt_keys *keys = keys_of(set);
    int bad = jws_read(&t, token, scratch, &why);
    must(why_set(&why) == (bad != 0));
    if (!bad)
        verify(&t, keys, scratch);
    why_clear(&why);
    bad = jwt_read(&t, token, scratch, &why);
    must(why_set(&why) == (bad != 0));
    if (!bad) {
        must(str_starts(token, t.signed_part));
        verify(&t, keys, scratch);
        judge(&t);
    }
    jwt_keys_free(keys);
    return 0;
}
