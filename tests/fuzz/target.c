/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz target: authorities and paths. A canonical path is canonical: doing it again changes
 * nothing (S30).
 */
#include "proxy/http/authority.h"
#include "proxy/http/path.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool upper_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }

/* The promises of lib/path.h, read off the result without its code. */
static void check_bytes(struct str p) {
    for (size_t i = 0; i < p.n; i++) {
        if (p.p[i] != '%')
            continue;
        must(i + 2 < p.n && upper_hex(p.p[i + 1]) && upper_hex(p.p[i + 2]));
        int c = (int)strtol((char[]){p.p[i + 1], p.p[i + 2], 0}, NULL, 16);
        must(c != 0 && c != '/' && c != '\\' && !isalnum(c) && strchr("-._~", c) == NULL);
    }
}
static void check_segments(struct str p) {
    while (p.n > 0) {
        struct str segment;
        p = str_cut(p, '/', &segment);
        must(!str_eq(segment, STR(".")) && !str_eq(segment, STR("..")));
    }
}

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
    check_bytes(first);
    check_segments(first);
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
