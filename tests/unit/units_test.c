/* SPDX-License-Identifier: Apache-2.0
 *
 * Durations, quantities, times, names and ranges of addresses: what is read, what is refused, the
 * words.
 */
#include "lib/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define REFUSED INT64_MIN

struct number {
    const char *text;
    int64_t value; /* or REFUSED */
};

static void check(const struct number *table, size_t n,
                  int (*parse)(struct str, int64_t *, struct why *)) {
    for (size_t i = 0; i < n; i++) {
        int64_t value = REFUSED;
        struct why why;
        why_clear(&why);
        int rc = parse(str_of(table[i].text), &value, &why);
        if (value != table[i].value)
            fail_msg("\"%s\" is %lld", table[i].text, (long long)value);
        assert_int_equal(rc, table[i].value == REFUSED ? -1 : 0);
        assert_int_equal(why_set(&why), table[i].value == REFUSED);
        assert_int_equal(parse(str_of(table[i].text), &value, NULL), rc);
    }
}

static void durations(void **state) {
    (void)state;
    static const struct number table[] = {
        {"0s", 0},
        {"5s", 5000},
        {"250ms", 250},
        {"1h30m", 5400000},
        {"1m1ms", 60001},
        {"1h2m3s4ms", 3723004},
        {"1s1s1s1s", 4000},
        {"99999h", 359996400000},
        {"00001s", 1000},
        {"", REFUSED},
        {"0", REFUSED},
        {"5", REFUSED},
        {"s", REFUSED},
        {"5x", REFUSED},
        {"1.5h", REFUSED},
        {"-5s", REFUSED},
        {"+5s", REFUSED},
        {"5 s", REFUSED},
        {" 5s", REFUSED},
        {"5s ", REFUSED},
        {"5S", REFUSED},
        {"5us", REFUSED},
        {"1d", REFUSED},
        {"100000s", REFUSED},
        {"1h1h1h1h1h", REFUSED},
        {"1h30", REFUSED},
    };
    check(table, ARRAY_LEN(table), unit_duration);
    int64_t value;
    assert_int_equal(unit_duration(str_mk("5s\0", 3), &value, NULL), -1);
}

static void quantities(void **state) {
    (void)state;
    static const struct number table[] = {
        {"0", 0},
        {"1048576", 1048576},
        {"64k", 64000},
        {"64Ki", 65536},
        {"1Mi", 1 << 20},
        {"1.5Gi", 1610612736},
        {"0.5Ki", 512},
        {".5Ki", 512},
        {"5.", 5},
        {"1e3", 1000},
        {"1E3", 1000},
        {"1E", 1000000000000000000},
        {"1e+3", 1000},
        {"2000m", 2},
        {"1000000000n", 1},
        {"1200e-2", 12},
        {"7Ei", 8070450532247928832},
        {"9223372036854775.807k", REFUSED}, /* more than 18 digits */
        {"", REFUSED},
        {".", REFUSED},
        {"Mi", REFUSED},
        {"-1", REFUSED},
        {"+1", REFUSED},
        {"1 Mi", REFUSED},
        {"1mi", REFUSED},
        {"1K", REFUSED},
        {"1MB", REFUSED},
        {"1.5", REFUSED},
        {"1m", REFUSED},
        {"8Ei", REFUSED},
        {"999999999999999999Ei", REFUSED},
        {"10E", REFUSED},
        {"1e19", REFUSED},
        {"1e", REFUSED},
        {"1e-", REFUSED},
        {"1.2.3", REFUSED},
        {"0x10", REFUSED},
        {"1000000000000000000", REFUSED},
    };
    check(table, ARRAY_LEN(table), unit_quantity);
}

static int time_of(struct str s, int64_t *value, struct why *why) {
    uint64_t seconds;
    if (unit_time(s, &seconds, why) != 0)
        return -1;
    *value = (int64_t)seconds;
    return 0;
}

static void times(void **state) {
    (void)state;
    static const struct number table[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T12:00:00Z", 951825600},
        {"2026-01-02T03:04:05Z", 1767323045},
        {"2026-01-02T03:04:05.678Z", 1767323045},
        {"2026-01-02T03:04:05+02:00", 1767315845},
        {"2026-01-02T03:04:05-00:30", 1767324845},
        {"2100-03-01T00:00:00Z", 4107542400},
        {"9999-12-31T23:59:59Z", 253402300799},
        {"1970-01-01T00:00:00+01:00", 0},
        {"", REFUSED},
        {"1969-12-31T23:59:59Z", REFUSED},
        {"2026-02-29T00:00:00Z", REFUSED},
        {"2100-02-29T00:00:00Z", REFUSED},
        {"2026-13-01T00:00:00Z", REFUSED},
        {"2026-00-01T00:00:00Z", REFUSED},
        {"2026-04-31T00:00:00Z", REFUSED},
        {"2026-01-01T24:00:00Z", REFUSED},
        {"2026-01-01T00:00:60Z", REFUSED},
        {"2026-01-01T00:00:00", REFUSED},
        {"2026-01-01T00:00:00.Z", REFUSED},
        {"2026-01-01T00:00:00ZZ", REFUSED},
        {"2026-01-01 00:00:00Z", REFUSED},
        {"2026-1-1T00:00:00Z", REFUSED},
        {"2026-01-01", REFUSED},
    };
    check(table, ARRAY_LEN(table), time_of);
}

static void ranges(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int bits; /* or -1 */
        uint8_t first, thirteenth;
    } table[] = {
        {"10.0.0.0/8", 104, 0, 10},
        {"0.0.0.0/0", 96, 0, 0},
        {"192.168.1.1", 128, 0, 192},
        {"192.168.1.1/32", 128, 0, 192},
        {"::/0", 0, 0, 0},
        {"2001:db8::/32", 32, 0x20, 0},
        {"fe80::1", 128, 0xfe, 0},
        {"", -1, 0, 0},
        {"10.0.0.0/", -1, 0, 0},
        {"10.0.0.0/33", -1, 0, 0},
        {"10.0.0.0/08", -1, 0, 0},
        {"10.0.0.0/-8", -1, 0, 0},
        {"10.0.0.0/8/8", -1, 0, 0},
        {"10.0.0.1/8", -1, 0, 0},
        {"010.0.0.0/8", -1, 0, 0},
        {"10.0.0/8", -1, 0, 0},
        {"2001:db8::1/32", -1, 0, 0},
        {"::/129", -1, 0, 0},
        {"fe80::1%eth0", -1, 0, 0},
        {"example.com", -1, 0, 0},
        {"/8", -1, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct unit_cidr c = {{0}, 0};
        struct why why;
        why_clear(&why);
        int rc = unit_cidr(str_of(table[i].text), &c, &why);
        if (rc != (table[i].bits < 0 ? -1 : 0))
            fail_msg("\"%s\": %s", table[i].text, why.text);
        if (rc != 0)
            continue;
        assert_int_equal(c.bits, table[i].bits);
        assert_int_equal(c.addr[0], table[i].first);
        assert_int_equal(c.addr[12], table[i].thirteenth);
    }
}

static void names(void **state) {
    (void)state;
    char label[65], long_name[256];
    memset(label, 'a', 64);
    label[64] = 0;
    memset(long_name, 'a', 254);
    for (size_t i = 50; i < 254; i += 50)
        long_name[i] = '.';
    long_name[254] = 0;
    const char *const good[] = {"a",        "api.example.com", "API.example.com.",
                                "_x.a-b.9", label + 1,         long_name + 1};
    const char *const bad[] = {"",      ".",           "..",   ".a",  "a..b",
                               "a b",   "a/b",         "a:80", "*.a", "a\r\nb: c",
                               "a.b..", "\xc3\xa4.de", "::1",  label, long_name};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (unit_dns_name(str_of(good[i]), NULL) != 0)
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (unit_dns_name(str_of(bad[i]), NULL) == 0)
            fail_msg("taken: %s", bad[i]);
    assert_int_equal(unit_dns_name(str_mk("a\0b", 3), NULL), -1);
}

static void sentences(void **state) {
    (void)state;
    struct why why;
    int64_t value;
    uint64_t seconds;
    struct unit_cidr c;
    why_clear(&why);
    assert_int_equal(unit_duration(STR("5x"), &value, &why), -1);
    assert_string_equal(why.text, "\"5x\" is not a duration; write it as 5s, 250ms or 1h30m");
    why_clear(&why);
    assert_int_equal(unit_quantity(STR("5 MB"), &value, &why), -1);
    assert_string_equal(why.text, "\"5 MB\" is not a size; write it as 64k, 1Mi or 1048576");
    why_clear(&why);
    assert_int_equal(unit_quantity(STR("1.5"), &value, &why), -1);
    assert_string_equal(why.text, "\"1.5\" is not a whole number of 0 to 9223372036854775807");
    why_clear(&why);
    assert_int_equal(unit_time(STR("today"), &seconds, &why), -1);
    assert_string_equal(why.text, "\"today\" is not a time; write it as 2026-01-02T03:04:05Z");
    why_clear(&why);
    assert_int_equal(unit_cidr(STR("10.0.0.1/8"), &c, &why), -1);
    assert_string_equal(why.text,
                        "\"10.0.0.1/8\" names an address inside the range; write it as 10.0.0.0/8");
    why_clear(&why);
    assert_int_equal(unit_cidr(STR("2001:db8::1/32"), &c, &why), -1);
    assert_string_equal(why.text, "\"2001:db8::1/32\" names an address inside the range; write it "
                                  "as 2001:db8::/32");
    why_clear(&why);
    assert_int_equal(unit_cidr(STR("localhost"), &c, &why), -1);
    assert_string_equal(why.text, "\"localhost\" is not a range of addresses; write it as "
                                  "10.0.0.0/8 or 2001:db8::/32");
    why_clear(&why);
    assert_int_equal(unit_dns_name(STR("a b"), &why), -1);
    assert_string_equal(why.text, "\"a b\" is not a DNS name; write it as api.example.com");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations), cmocka_unit_test(quantities), cmocka_unit_test(times),
        cmocka_unit_test(ranges),    cmocka_unit_test(names),      cmocka_unit_test(sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
