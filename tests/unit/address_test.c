/* SPDX-License-Identifier: Apache-2.0
 *
 * Where an address leads (S37): the first and last of every range and their neighbours outside, and
 * every way in which IPv6 hides an IPv4 address.
 */
#include "lib/address.h"

#include <arpa/inet.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct bytes {
    char b[16];
    size_t n;
};

static struct bytes bytes_of(const char *text) {
    struct bytes a = {.n = str_find(str_of(text), ':', 0) < str_of(text).n ? 16 : 4};
    if (inet_pton(a.n == 16 ? AF_INET6 : AF_INET, text, a.b) != 1)
        fail_msg("%s is no address", text);
    return a;
}

static void expect(const char *text, enum address_sort wanted) {
    struct bytes a = bytes_of(text);
    enum address_sort sort = address_sort(str_mk(a.b, a.n));
    if (sort != wanted)
        fail_msg("%s is %s, not %s", text, address_sort_words(sort), address_sort_words(wanted));
}

static const struct {
    const char *text;
    enum address_sort sort;
} table[] = {
    {"0.0.0.0", ADDRESS_UNSPECIFIED},
    {"0.255.255.255", ADDRESS_UNSPECIFIED},
    {"1.0.0.0", ADDRESS_PUBLIC},
    {"9.255.255.255", ADDRESS_PUBLIC},
    {"10.0.0.0", ADDRESS_PRIVATE},
    {"10.255.255.255", ADDRESS_PRIVATE},
    {"11.0.0.0", ADDRESS_PUBLIC},
    {"100.63.255.255", ADDRESS_PUBLIC},
    {"100.64.0.0", ADDRESS_PRIVATE},
    {"100.100.100.200", ADDRESS_PRIVATE}, /* Alibaba's metadata */
    {"100.127.255.255", ADDRESS_PRIVATE},
    {"100.128.0.0", ADDRESS_PUBLIC},
    {"126.255.255.255", ADDRESS_PUBLIC},
    {"127.0.0.0", ADDRESS_LOOPBACK},
    {"127.0.0.1", ADDRESS_LOOPBACK},
    {"127.255.255.255", ADDRESS_LOOPBACK},
    {"128.0.0.0", ADDRESS_PUBLIC},
    {"168.63.129.15", ADDRESS_PUBLIC},
    {"168.63.129.16", ADDRESS_PRIVATE}, /* Azure's */
    {"168.63.129.17", ADDRESS_PUBLIC},
    {"169.253.255.255", ADDRESS_PUBLIC},
    {"169.254.0.0", ADDRESS_LINK_LOCAL},
    {"169.254.169.254", ADDRESS_LINK_LOCAL},
    {"169.254.255.255", ADDRESS_LINK_LOCAL},
    {"169.255.0.0", ADDRESS_PUBLIC},
    {"172.15.255.255", ADDRESS_PUBLIC},
    {"172.16.0.0", ADDRESS_PRIVATE},
    {"172.31.255.255", ADDRESS_PRIVATE},
    {"172.32.0.0", ADDRESS_PUBLIC},
    {"191.255.255.255", ADDRESS_PUBLIC},
    {"192.0.0.0", ADDRESS_RESERVED},
    {"192.0.0.192", ADDRESS_RESERVED}, /* Oracle's */
    {"192.0.1.0", ADDRESS_PUBLIC},
    {"192.0.2.1", ADDRESS_RESERVED},
    {"192.0.3.0", ADDRESS_PUBLIC},
    {"192.88.99.1", ADDRESS_RESERVED},
    {"192.167.255.255", ADDRESS_PUBLIC},
    {"192.168.0.0", ADDRESS_PRIVATE},
    {"192.168.255.255", ADDRESS_PRIVATE},
    {"192.169.0.0", ADDRESS_PUBLIC},
    {"198.17.255.255", ADDRESS_PUBLIC},
    {"198.18.0.0", ADDRESS_RESERVED},
    {"198.19.255.255", ADDRESS_RESERVED},
    {"198.20.0.0", ADDRESS_PUBLIC},
    {"198.51.100.7", ADDRESS_RESERVED},
    {"203.0.113.7", ADDRESS_RESERVED},
    {"223.255.255.255", ADDRESS_PUBLIC},
    {"224.0.0.0", ADDRESS_MULTICAST},
    {"239.255.255.255", ADDRESS_MULTICAST},
    {"240.0.0.0", ADDRESS_RESERVED},
    {"255.255.255.254", ADDRESS_RESERVED},
    {"255.255.255.255", ADDRESS_MULTICAST},

    {"::", ADDRESS_UNSPECIFIED},
    {"::1", ADDRESS_LOOPBACK},
    {"::2", ADDRESS_UNSPECIFIED},
    {"::127.0.0.1", ADDRESS_UNSPECIFIED},
    {"::8.8.8.8", ADDRESS_UNSPECIFIED},
    {"::ffff:0:7f00:1", ADDRESS_RESERVED}, /* RFC 2765 */
    {"100::1", ADDRESS_RESERVED},
    {"1fff:ffff::1", ADDRESS_RESERVED},
    {"2000::1", ADDRESS_PUBLIC},
    {"2001::1", ADDRESS_RESERVED}, /* Teredo, whatever it hides */
    {"2001:0:4136:e378:8000:63bf:80ff:fffe", ADDRESS_RESERVED},
    {"2001:1ff:ffff::1", ADDRESS_RESERVED},
    {"2001:200::1", ADDRESS_PUBLIC},
    {"2001:db7:ffff::1", ADDRESS_PUBLIC},
    {"2001:db8::1", ADDRESS_RESERVED},
    {"2001:db9::1", ADDRESS_PUBLIC},
    {"2001:4860:4860::8888", ADDRESS_PUBLIC},
    {"2606:4700::1111", ADDRESS_PUBLIC},
    {"3fff::1", ADDRESS_RESERVED},
    {"3fff:0fff::1", ADDRESS_RESERVED},
    {"3fff:1000::1", ADDRESS_PUBLIC},
    {"4000::1", ADDRESS_RESERVED},
    {"5f00::1", ADDRESS_RESERVED},
    {"fbff::1", ADDRESS_RESERVED},
    {"fc00::", ADDRESS_PRIVATE},
    {"fd00:ec2::254", ADDRESS_PRIVATE}, /* Amazon's */
    {"fdff:ffff::1", ADDRESS_PRIVATE},
    {"fe00::1", ADDRESS_RESERVED},
    {"fe7f::1", ADDRESS_RESERVED},
    {"fe80::1", ADDRESS_LINK_LOCAL},
    {"febf:ffff::1", ADDRESS_LINK_LOCAL},
    {"fec0::1", ADDRESS_PRIVATE},
    {"feff::1", ADDRESS_PRIVATE},
    {"ff00::", ADDRESS_MULTICAST},
    {"ff02::1", ADDRESS_MULTICAST},
    {"64:ff9a::7f00:1", ADDRESS_RESERVED},
    {"64:ff9b:1::7f00:1", ADDRESS_RESERVED},
    {"64:ff9b:0:0:0:1:7f00:1", ADDRESS_RESERVED},
    {"2003::7f00:1", ADDRESS_PUBLIC},
};

static void sorts(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect(table[i].text, table[i].sort);
    assert_int_equal(address_sort(STR_NONE), ADDRESS_RESERVED);
    assert_int_equal(address_sort(STR("abc")), ADDRESS_RESERVED);
    assert_int_equal(address_sort(STR("abcdefgh")), ADDRESS_RESERVED);
}

/* Each IPv4 address of the table within IPv6: the same sort. */
static void hidden(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct bytes a = bytes_of(table[i].text);
        const unsigned char *b = (const unsigned char *)a.b;
        char text[64];
        if (a.n != 4)
            continue;
        snprintf(text, sizeof(text), "::ffff:%s", table[i].text);
        expect(text, table[i].sort);
        snprintf(text, sizeof(text), "64:ff9b::%s", table[i].text);
        expect(text, table[i].sort);
        snprintf(text, sizeof(text), "2002:%02x%02x:%02x%02x::1", b[0], b[1], b[2], b[3]);
        expect(text, table[i].sort);
    }
}

static bool within(const char *address, const char *range) {
    struct bytes a = bytes_of(address);
    struct unit_cidr r[2] = {{.bits = 128}};
    assert_int_equal(unit_cidr(str_of(range), &r[1], NULL), 0);
    return address_within(str_mk(a.b, a.n), r, 2);
}

static void ranges(void **state) {
    (void)state;
    assert_true(within("10.1.2.3", "10.0.0.0/8"));
    assert_true(within("10.1.2.3", "10.1.2.3"));
    assert_true(within("10.1.2.3", "10.1.2.2/31"));
    assert_false(within("10.1.2.4", "10.1.2.2/31"));
    assert_false(within("11.1.2.3", "10.0.0.0/8"));
    assert_true(within("fd00::1", "fd00::/8"));
    assert_false(within("fe80::1", "fd00::/8"));
    assert_true(within("::ffff:10.1.2.3", "10.0.0.0/8"));
    assert_true(within("64:ff9b::10.1.2.3", "10.0.0.0/8"));
    assert_true(within("64:ff9b::10.1.2.3", "64:ff9b::/96"));
    assert_true(within("2002:a01:203::", "10.0.0.0/8"));
    assert_false(within("64:ff9b::127.0.0.1", "10.0.0.0/8"));
    assert_false(within("::10.1.2.3", "10.0.0.0/8"));
    assert_true(within("1.2.3.4", "0.0.0.0/0"));
    assert_false(within("2000::1", "0.0.0.0/0"));
    assert_true(within("2000::1", "::/0"));
    assert_false(address_within(STR("abc"), NULL, 0));
}

static void printed(void **state) {
    char room[64];
    struct out o = out_fixed(room, sizeof(room));
    (void)state;
    address_print(&o, STR("\x0a\x00\x00\x07"));
    assert_true(str_eq(out_done(&o), STR("10.0.0.7")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts),
        cmocka_unit_test(hidden),
        cmocka_unit_test(ranges),
        cmocka_unit_test(printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
