/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz jwt: a key set, a zero byte, a token: taken apart, verified and judged.
 */
#include "lib/jwt.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str all = str_mk((const char *)data, size), set;
    struct str token = str_cut(all, 0, &set);
    struct why why = {0};
    struct jwt t;
    struct jwt_keys *keys = jwt_keys_new(set, &why);
    must(why_set(&why) == (keys == NULL));
    must(!keys || (jwt_keys_count(keys) > 0 && jwt_keys_count(keys) <= JWT_KEYS_MAX));
    why_clear(&why);
    if (keys)
        must((jwt_verify_any(token, keys, &why) == 0) == !why_set(&why));
    why_clear(&why);
    int bad = jwt_read(&t, token, &why);
    must(why_set(&why) == (bad != 0));
    if (bad == 0) {
        must(str_starts(token, t.signed_part) && t.expires >= 0 && t.not_before >= 0);
        if (keys && jwt_verify(&t, keys, NULL) == 0)
            (void)jwt_is_for(&t, STR("sluice-controller"));
        must(jwt_judge(&t, STR_NONE, STR("x"), INT64_MAX, NULL) != 0 || t.expires > 0);
        jwt_fini(&t);
    }
    jwt_keys_free(keys);
    return 0;
}
