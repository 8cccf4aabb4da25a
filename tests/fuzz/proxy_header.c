/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz proxy_header: what is read when there are `need` bytes is read as it is whole, or what is
 * wrong is seen later; what was read says the same when it is written again, in both versions.
 */
#include "proxy/net/proxy_header.h"
#include "tests/fuzz/fuzz.h"

static bool same(const struct addr *a, const struct addr *b) {
    uint8_t x[16], y[16];
    addr_v6(a, x);
    addr_v6(b, y);
    return memcmp(x, y, 16) == 0;
}

static void write_again(const struct proxy_header *h, unsigned version) {
    char room[PROXY_HEADER_WRITE_MAX];
    struct proxy_header again;
    const char *detail;
    size_t n = proxy_header_write(room, version, &h->from, &h->to);
    must(proxy_header_read(room, n, &again, &detail) == PROXY_HEADER_DONE && again.n == n);
    must(again.known && same(&h->from, &again.from) && same(&h->to, &again.to));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *p = (const char *)data, *detail;
    struct proxy_header whole, part;
    enum proxy_header_got got = proxy_header_read(p, n, &whole, &detail), early;
    if (got == PROXY_HEADER_DONE) {
        must(whole.n <= n && whole.n <= PROXY_HEADER_MAX);
        for (unsigned version = 1; whole.known && version <= 2; version++)
            write_again(&whole, version);
    }
    must(got != PROXY_HEADER_MORE || whole.need > n);
    size_t looks = 0, need = 1;
    do {
        size_t there = size_min(need, n);
        early = proxy_header_read(p, there, &part, &detail);
        must(early != PROXY_HEADER_MORE || part.need > there);
        need = part.need;
        looks++;
    } while (early == PROXY_HEADER_MORE && need <= n);
    must(looks <= 128);
    must(early == got || (early == PROXY_HEADER_MORE && got == PROXY_HEADER_BAD));
    return 0;
}
