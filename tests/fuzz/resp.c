/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz resp: answers of a store, one after the other. What is one with its end cut off is not one
 * yet, whole it is the same whatever follows, and nothing is longer than it may be.
 */
#include "proxy/limit/resp.h"

#include "tests/fuzz/fuzz.h"

static void look_at(const struct resp_reply *r, struct str in, size_t used) {
    must(used > 0 && used <= in.n && in.p[used - 1] == '\n');
    must(r->n <= RESP_NUMBERS_MAX && r->text.n <= RESP_LINE_MAX);
    must(r->text.n == 0 || (r->text.p >= in.p && r->text.p + r->text.n < in.p + used));
    must(r->kind != RESP_TEXT || r->text.n <= RESP_TEXT_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct str in = str_mk((const char *)data, n);
    struct resp_reply r, again;
    size_t used = 0, used_again = 0;
    while (resp_read(in, &r, &used) == RESP_DONE) {
        look_at(&r, in, used);
        must(resp_read(str_mk(in.p, used), &again, &used_again) == RESP_DONE && used == used_again);
        must(resp_read(str_mk(in.p, used - 1), &again, &used_again) == RESP_MORE);
        in = str_skip(in, used);
    }
    return 0;
}
