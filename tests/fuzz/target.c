/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz target: authorities and paths. A canonical path is canonical: doing it again changes
 * nothing (S30).
 */
#include "proxy/http/authority.h"
#include "proxy/http/path.h"
#include "tests/fuzz/fuzz.h"

static void path(struct str raw) {
    static char once[65536], twice[65536];
    struct str first, second;
    if (raw.n == 0 || (raw.p[0] != '/' && !str_eq(raw, STR("*"))))
        return;
    if (path_canonical(raw, once, sizeof once, &first) != REASON_NONE)
        return;
    must(first.n <= raw.n && first.n > 0 && path_is_canonical(first));
    must(path_canonical(first, twice, sizeof twice, &second) == REASON_NONE);
    must(str_eq(first, second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n > 60000)
        return 0;
    struct str input = str_mk((const char *)data, n);
    struct authority a;
    if (authority_parse(input, &a)) {
        must(a.host.n > 0 && a.host.n <= AUTHORITY_HOST_MAX);
        must(a.host.p >= input.p && a.host.p + a.host.n <= input.p + input.n);
    }
    path(input);
    return 0;
}
