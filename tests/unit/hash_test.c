/* SPDX-License-Identifier: Apache-2.0
 *
 * Hashes with a key: hash_secret beside OpenSSL's SIPHASH.
 */
#include "lib/hash.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void openssl(const void *p, size_t n, const uint64_t key[2], unsigned char to[16]) {
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    unsigned size = 16;
    size_t got = 0;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_uint("size", &size), OSSL_PARAM_END};
    assert_int_equal(EVP_MAC_init(ctx, (const unsigned char *)key, 16, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, p, n), 1);
    assert_int_equal(EVP_MAC_final(ctx, to, &got, 16), 1);
    assert_int_equal(got, 16);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

static void as_openssl_does(void **state) {
    uint64_t key[2], words[64];
    unsigned char theirs[16];
    (void)state;
    random_bytes(key, sizeof(key));
    random_bytes(words, sizeof(words));
    for (size_t n = 0; n <= ARRAY_LEN(words); n++) {
        struct hash_secret h;
        hash_secret_with(&h, key);
        for (size_t i = 0; i < n; i++)
            hash_secret_u64(&h, words[i]);
        struct hash_wide ours = hash_secret_end(&h);
        openssl(words, n * 8, key, theirs);
        assert_memory_equal(&ours, theirs, 16);
    }
}

static struct hash_wide of_parts(const char *a, const char *b) {
    struct hash_secret h;
    hash_secret_begin(&h);
    hash_secret_str(&h, str_of(a));
    hash_secret_str(&h, str_of(b));
    return hash_secret_end(&h);
}

/* What ends one part never begins the next. */
static void parts_are_told_apart(void **state) {
    static const char *const texts[] = {"",          "a",  "ab", "abc", "abcdefgh",
                                        "abcdefghi", "bc", "c",  "i"};
    struct hash_wide seen[ARRAY_LEN(texts) * ARRAY_LEN(texts)];
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
            struct hash_wide w = of_parts(texts[i], texts[k]);
            for (size_t x = 0; x < n; x++)
                assert_memory_not_equal(&seen[x], &w, sizeof(w));
            seen[n++] = w;
        }
    struct hash_wide again = of_parts("ab", "c"), first = of_parts("ab", "c");
    assert_memory_equal(&again, &first, sizeof(first));
}

static void keyed_is_the_same_in_one_process(void **state) {
    (void)state;
    assert_int_equal(hash_keyed(STR("a")), hash_keyed(STR("a")));
    assert_int_not_equal(hash_keyed(STR("a")), hash_keyed(STR("b")));
    assert_int_not_equal(hash_keyed(STR_NONE), hash_keyed(str_mk("", 1)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_openssl_does),
        cmocka_unit_test(parts_are_told_apart),
        cmocka_unit_test(keyed_is_the_same_in_one_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
