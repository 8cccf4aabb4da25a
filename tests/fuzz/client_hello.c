/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz client_hello: what is read when there are `need` bytes is read as it is whole, or what is
 * wrong is seen later; a name is one.
 */
#include "proxy/net/client_hello.h"
#include "tests/fuzz/fuzz.h"

static void check_name(const struct client_hello *h) {
    for (size_t i = 0; i < h->name_n; i++) {
        char c = h->name[i];
        must((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
             c == ':');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *p = (const char *)data, *detail;
    struct client_hello whole, part = {.need = 0};
    enum client_hello_got got = client_hello_read(p, n, &whole, &detail), early;
    if (got == CLIENT_HELLO_DONE)
        check_name(&whole);
    must(got != CLIENT_HELLO_MORE || (whole.need > n && whole.need <= CLIENT_HELLO_MAX));
    do {
        size_t there = size_min(part.need, n);
        early = client_hello_read(p, there, &part, &detail);
        must(early != CLIENT_HELLO_MORE || part.need > there);
    } while (early == CLIENT_HELLO_MORE && part.need <= n);
    must(early == got || (early == CLIENT_HELLO_MORE && got == CLIENT_HELLO_BAD));
    must(got != CLIENT_HELLO_DONE || str_eq(client_hello_name(&whole), client_hello_name(&part)));
    return 0;
}
