/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of test vectors as JSON. Included by test programs of lib/jwt*.
 */
#ifndef SLUICE_TESTS_JWT_VECTORS_H
#define SLUICE_TESTS_JWT_VECTORS_H

#include "lib/base64url.h"
#include "lib/json.h"
#include "lib/jwt_keys.h"
#include "lib/mem.h"

#include <stdio.h>

#define VECTORS "tests/vectors/jose/"

static inline cJSON *read_vectors(const char *path) {
    struct out o = out_heap(16 << 20);
    struct why why = {0};
    FILE *f = fopen(path, "re");
    if (!f)
        fail_msg("%s cannot be read", path);
    for (size_t n; (n = fread(out_take(&o, 4096), 1, 4096, f)) > 0;)
        o.n -= 4096 - n;
    o.n -= 4096;
    fclose(f);
    cJSON *json = json_parse(out_done(&o), &why);
    if (!json)
        fail_msg("%s: %s", path, why.text);
    out_fini(&o);
    return json;
}

/* What a key set, or one key as a set, is as text; mem_free() it. */
static inline char *set_text(const cJSON *keys) {
    char *text = cJSON_PrintUnformatted(keys);
    struct out o = out_heap(1 << 20);
    out_fmt(&o,
            cJSON_IsArray(keys)      ? "{\"keys\":%s}"
            : json_get(keys, "keys") ? "%s"
                                     : "{\"keys\":[%s]}",
            text);
    char *set = str_dup(out_done(&o));
    out_fini(&o);
    cJSON_free(text);
    return set;
}

#endif
