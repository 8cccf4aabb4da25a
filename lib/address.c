/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/address.h"

#include <arpa/inet.h>

struct range {
    uint8_t prefix[16];
    uint8_t bits;
    uint8_t sort;
};

/* The first that fits counts. */
static const struct range v4[] = {
    {{255, 255, 255, 255}, 32, ADDRESS_MULTICAST},
    {{0}, 8, ADDRESS_UNSPECIFIED},
    {{10}, 8, ADDRESS_PRIVATE},
    {{100, 64}, 10, ADDRESS_PRIVATE}, /* RFC 6598 */
    {{127}, 8, ADDRESS_LOOPBACK},
    {{168, 63, 129, 16}, 32, ADDRESS_PRIVATE}, /* a public one, which Azure answers inside */
    {{169, 254}, 16, ADDRESS_LINK_LOCAL},
    {{172, 16}, 12, ADDRESS_PRIVATE},
    {{192, 0, 0}, 24, ADDRESS_RESERVED}, /* RFC 6890 2.1 */
    {{192, 0, 2}, 24, ADDRESS_RESERVED}, /* RFC 5737 */
    {{192, 88, 99}, 24, ADDRESS_RESERVED},
    {{192, 168}, 16, ADDRESS_PRIVATE},
    {{198, 18}, 15, ADDRESS_RESERVED}, /* RFC 2544 */
    {{198, 51, 100}, 24, ADDRESS_RESERVED},
    {{203, 0, 113}, 24, ADDRESS_RESERVED},
    {{224}, 4, ADDRESS_MULTICAST},
    {{240}, 4, ADDRESS_RESERVED},
    {{0}, 0, ADDRESS_PUBLIC},
};

static const struct range v6[] = {
    {{[15] = 1}, 128, ADDRESS_LOOPBACK},
    {{0}, 96, ADDRESS_UNSPECIFIED}, /* and IPv4-compatible, which nobody has any more */
    {{0xfc}, 7, ADDRESS_PRIVATE},
    {{0xfe, 0x80}, 10, ADDRESS_LINK_LOCAL},
    {{0xfe, 0xc0}, 10, ADDRESS_PRIVATE}, /* RFC 3879 */
    {{0xff}, 8, ADDRESS_MULTICAST},
    {{0x20, 0x01}, 23, ADDRESS_RESERVED}, /* RFC 2928; Teredo (RFC 4380) */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDRESS_RESERVED},
    {{0x3f, 0xff}, 20, ADDRESS_RESERVED}, /* RFC 9637 */
    {{0x20}, 3, ADDRESS_PUBLIC},
    {{0}, 0, ADDRESS_RESERVED}, /* 100::/64, 64:ff9b:1::/48 (RFC 8215), 5f00::/16 ... */
};

static bool begins(const void *address, const uint8_t *prefix, unsigned bits) {
    const uint8_t *a = address;
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(a, prefix, whole) == 0 &&
           (rest == 0 || (a[whole] ^ prefix[whole]) >> (8 - rest) == 0);
}

struct str address_core(struct str address) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b}, six_to_four[2] = {0x20, 0x02};
    if (address.n != 16)
        return address;
    if (begins(address.p, mapped, 96) || begins(address.p, nat64, 96))
        return str_skip(address, 12);
    return begins(address.p, six_to_four, 16) ? str_mk(address.p + 2, 4) : address;
}

enum address_sort address_sort(struct str address) {
    struct str core = address_core(address);
    const struct range *r = core.n == 4 ? v4 : v6;
    if (core.n != 4 && core.n != 16)
        return ADDRESS_RESERVED;
    while (!begins(core.p, r->prefix, r->bits))
        r++;
    return (enum address_sort)r->sort;
}

const char *address_sort_words(enum address_sort sort) {
    static const char *const words[ADDRESS_SORTS] = {
        [ADDRESS_PUBLIC] = "a public address",
        [ADDRESS_PRIVATE] = "a private address",
        [ADDRESS_RESERVED] = "a reserved address",
        [ADDRESS_UNSPECIFIED] = "an unspecified address",
        [ADDRESS_LOOPBACK] = "a loopback address",
        [ADDRESS_LINK_LOCAL] = "a link-local address",
        [ADDRESS_MULTICAST] = "a multicast address",
    };
    return words[sort];
}

/* As struct unit_cidr has it. */
static bool in_any(struct str address, const struct unit_cidr *ranges, size_t n) {
    uint8_t whole[16] = {[10] = 0xff, [11] = 0xff};
    memcpy(whole + 16 - address.n, address.p, address.n);
    for (size_t i = 0; i < n; i++)
        if (begins(whole, ranges[i].addr, ranges[i].bits))
            return true;
    return false;
}

bool address_within(struct str address, const struct unit_cidr *ranges, size_t n) {
    if (address.n != 4 && address.n != 16)
        return false;
    return in_any(address, ranges, n) || in_any(address_core(address), ranges, n);
}

void address_print(struct out *o, struct str address) {
    char room[INET6_ADDRSTRLEN];
    must(address.n == 4 || address.n == 16);
    out_str(o,
            str_of(inet_ntop(address.n == 4 ? AF_INET : AF_INET6, address.p, room, sizeof(room))));
}
