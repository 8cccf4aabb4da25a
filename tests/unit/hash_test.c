/* SPDX-License-Identifier: Apache-2.0
 *
 * Hashes with a key: hash_mac against `openssl mac -macopt size:16 SIPHASH`.
 */
#include "lib/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void mac_of_the_first_bytes(void **state) {
    static const struct {
        size_t n;
        unsigned char mac[HASH_MAC];
    } vectors[] = {
        {0,
         {0xA3, 0x81, 0x7F, 0x04, 0xBA, 0x25, 0xA8, 0xE6, 0x6D, 0xF6, 0x72, 0x14, 0xC7, 0x55, 0x02,
          0x93}},
        {1,
         {0xDA, 0x87, 0xC1, 0xD8, 0x6B, 0x99, 0xAF, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9B, 0x22, 0xFC,
          0x45}},
        {15,
         {0x54, 0x93, 0xE9, 0x99, 0x33, 0xB0, 0xA8, 0x11, 0x7E, 0x08, 0xEC, 0x0F, 0x97, 0xCF, 0xC3,
          0xD9}},
    };
    char bytes[16], mac[HASH_MAC];
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        hash_mac(bytes, str_mk(bytes, vectors[i].n), mac);
        assert_memory_equal(mac, vectors[i].mac, sizeof(mac));
    }
}

static void keyed_is_the_same_in_one_process(void **state) {
    (void)state;
    assert_int_equal(hash_keyed(STR("a")), hash_keyed(STR("a")));
    assert_int_not_equal(hash_keyed(STR("a")), hash_keyed(STR("b")));
    assert_int_not_equal(hash_keyed(STR_NONE), hash_keyed(str_mk("", 1)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mac_of_the_first_bytes),
        cmocka_unit_test(keyed_is_the_same_in_one_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
