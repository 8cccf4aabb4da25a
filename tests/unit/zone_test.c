/* SPDX-License-Identifier: Apache-2.0
 *
 * Time zones: every one that the machine has, beside libc's reading of the same files; the forms of
 * POSIX rules; files that are none.
 */
#include "lib/zone.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define DATABASE "/usr/share/zoneinfo/"

enum { FROM = 1735689600 /* 2025-01-01 */, UNTIL = 2208988800 /* 2040-01-01 */ };

static int ahead(const struct zone_changes *z, int64_t at) {
    unsigned i = 0;
    while (i + 1 < z->n && z->v[i + 1].from <= at)
        i++;
    return z->v[i].minutes;
}

static int libc_ahead(time_t at) {
    struct tm tm;
    localtime_r(&at, &tm);
    return (int)(tm.tm_gmtoff / 60);
}

static int read_named(const char *name, struct zone_changes *z, struct why *why) {
    struct out file = out_heap(ZONE_BYTES_MAX);
    int bad = zone_file(str_of(name), &file, why);
    if (!bad)
        bad = zone_read(out_done(&file), FROM, UNTIL, z, why);
    out_fini(&file);
    return bad;
}

static void as_libc_says(const char *name) {
    struct zone_changes z;
    struct why why = {0};
    if (read_named(name, &z, &why) != 0)
        fail_msg("%s: %s", name, why.text);
    setenv("TZ", name, 1);
    tzset();
    assert_true(z.v[0].from == FROM && z.n <= ZONE_CHANGES_MAX);
    for (unsigned i = 0; i < z.n; i++)
        for (int64_t k = -1; k <= 1; k++)
            if (z.v[i].from + k >= FROM &&
                ahead(&z, z.v[i].from + k) != libc_ahead(z.v[i].from + k))
                fail_msg("%s: change %u", name, i);
    for (int64_t at = FROM; at < UNTIL; at += 7 * 3600 + 13)
        if (ahead(&z, at) != libc_ahead(at))
            fail_msg("%s: at %lld", name, (long long)at);
}

static unsigned n_zones;

static int each(const char *path, const struct stat *st, int type, struct FTW *at) {
    char head[5] = "";
    FILE *f = type == FTW_F ? fopen(path, "r") : NULL;
    (void)st, (void)at;
    if (!f)
        return 0;
    bool is_zone = fread(head, 1, 4, f) == 4 && strcmp(head, "TZif") == 0;
    fclose(f);
    if (is_zone && !strstr(path, "/right/") && !strstr(path, "/posix/")) {
        as_libc_says(path + strlen(DATABASE));
        n_zones++;
    }
    return 0;
}

static void all_zones(void **state) {
    (void)state;
    if (nftw(DATABASE "Europe", each, 8, FTW_PHYS) != 0)
        skip(); /* no database here */
    assert_int_equal(nftw(DATABASE, each, 8, FTW_PHYS), 0);
    assert_true(n_zones > 300);
}

/* ---- files of our own ---- */

static void put32(struct out *o, uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8)
        out_char(o, (char)(v >> shift));
}

static void put_header(struct out *o, uint32_t leaps, uint32_t times, uint32_t infos) {
    out_lit(o, "TZif2");
    for (int i = 0; i < 15; i++)
        out_char(o, 0);
    const uint32_t counts[] = {0, 0, leaps, times, infos, 4};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        put32(o, counts[i]);
}

/* Changes at 2026-01-01 + so many days each, between +1:00 and +2:00; then the footer. */
static struct str file(struct out *o, uint32_t changes, const char *footer) {
    o->n = 0;
    put_header(o, 0, 0, 0);
    out_bytes(o, "LMT", 4);
    put_header(o, 0, changes, 2);
    for (uint32_t i = 0; i < changes; i++) {
        put32(o, 0);
        put32(o, 1767225600 + i * 86400);
    }
    for (uint32_t i = 0; i < changes; i++)
        out_char(o, (char)((i + 1) & 1));
    for (uint32_t i = 0; i < 2; i++) {
        put32(o, (i + 1) * 3600);
        out_bytes(o, "\0", 2);
    }
    out_bytes(o, "LMT", 4);
    out_fmt(o, "\n%s\n", footer);
    return out_done(o);
}

static void rules(void **state) {
    static const char *const good[] = {
        "CET-1CEST,M3.5.0,M10.5.0/3",   "<-03>3",

        "IST-2IDT,M3.4.4/26,M10.5.0",   "<+0330>-3:30<+0430>,J79/24,J263/24",
        "AEST-10AEDT,M10.1.0,M4.1.0/3", "WGT3WGST,M3.5.0/-2,M10.5.0/-1",
    };
    static const char *const bad[] = {"CET",
                                      "CE-1",
                                      "CET-1CEST",
                                      "CET-1CEST,M3.5.0",
                                      "CET-1CEST,M13.1.0,M3.1.0",
                                      "CET-1CEST,M3.6.0,M10.5.0",
                                      "CET-1CEST,M3.5.7,M10.5.0",
                                      "CET-1CEST,J0,J5",
                                      "CET-1CEST,J366,J5",
                                      "CET-1CEST,366,5",
                                      "CET-1CEST,M3.5.0/168,M10.5.0",
                                      "CET-25",
                                      "CET-1:60",
                                      "<CET-1",
                                      "CET-1CEST,M3.5.0,M10.5.0/3x",
                                      "CET-1CEST,,",
                                      "CET-1 ",
                                      ":Europe/Berlin",
                                      "CET-1CEST,M3.5.0,M10.5.0,"};
    struct out o = out_heap(1 << 16);
    struct zone_changes z;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct why why = {0};
        if (zone_read(file(&o, 0, good[i]), FROM, UNTIL, &z, &why) != 0)
            fail_msg("%s: %s", good[i], why.text);
        setenv("TZ", good[i], 1);
        tzset();
        for (int64_t at = FROM; strchr(good[i], ',') && at < UNTIL; at += 1801)
            if (ahead(&z, at) != libc_ahead(at))
                fail_msg("%s: at %lld", good[i], (long long)at);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct why why = {0};
        assert_int_equal(zone_read(file(&o, 0, bad[i]), FROM, UNTIL, &z, &why), -1);
        assert_non_null(strstr(why.text, "none of POSIX"));
    }
    out_fini(&o);
}

/* RFC 8536 3.3.1: summer all the year; libc takes the last hours of a year for winter. */
static void always_summer(void **state) {
    struct out o = out_heap(1 << 16);
    struct zone_changes z;
    (void)state;
    assert_int_equal(zone_read(file(&o, 0, "EST5EDT,0/0,J365/25"), FROM, UNTIL, &z, NULL), 0);
    assert_true(z.n == 1 && z.v[0].minutes == -240);
    assert_int_equal(zone_read(file(&o, 0, "ABC-2<+01>-1,0/0,J365/23"), FROM, UNTIL, &z, NULL), 0);
    assert_true(z.n == 1 && z.v[0].minutes == 60);
    out_fini(&o);
}

static void what_is_decided(void **state) {
    struct out o = out_heap(1 << 16);
    struct zone_changes z;
    struct why why = {0};
    (void)state;
    assert_int_equal(zone_read(file(&o, 3, ""), FROM, UNTIL, &z, &why), 0);
    assert_int_equal(z.n, 4);
    assert_true(z.v[0].minutes == 60 && z.v[1].minutes == 120 && z.v[2].minutes == 60);
    assert_int_equal(zone_read(file(&o, 3, ""), 1767225600 + 86400, UNTIL, &z, &why), 0);
    assert_true(z.n == 2 && z.v[0].minutes == 60 && z.v[1].minutes == 120);
    assert_int_equal(zone_read(file(&o, ZONE_CHANGES_MAX - 1, ""), FROM, UNTIL, &z, &why), 0);
    assert_int_equal(z.n, ZONE_CHANGES_MAX);
    assert_int_equal(zone_read(file(&o, ZONE_CHANGES_MAX, ""), FROM, UNTIL, &z, &why), -1);
    assert_non_null(strstr(why.text, "too many"));
    out_fini(&o);
}

/* Cut anywhere, or with one byte changed: refused, or read without harm. */
static void cut_and_changed(void **state) {
    struct out o = out_heap(1 << 16);
    struct zone_changes z;
    (void)state;
    struct str whole = file(&o, 5, "CET-1CEST,M3.5.0,M10.5.0/3");
    for (size_t n = 0; n < whole.n; n++) {
        struct why why = {0};
        char *copy = malloc(n + 1);
        memcpy(copy, whole.p, n);
        assert_int_equal(zone_read(str_mk(copy, n), FROM, UNTIL, &z, &why), -1);
        assert_true(why_set(&why));
        free(copy);
    }
    for (size_t i = 0; i < whole.n; i++)
        for (unsigned c = 0; c < 256; c++) {
            char was = o.p[i];
            o.p[i] = (char)c;
            if (zone_read(whole, FROM, UNTIL, &z, NULL) == 0)
                assert_true(z.n >= 1 && z.n <= ZONE_CHANGES_MAX);
            o.p[i] = was;
        }
    out_fini(&o);
}

static void leap_seconds(void **state) {
    struct out o = out_heap(1 << 16);
    struct zone_changes z;
    struct why why = {0};
    (void)state;
    put_header(&o, 0, 0, 0);
    out_bytes(&o, "LMT", 4);
    put_header(&o, 1, 0, 1);
    out_bytes(&o, "\0\0\0\0\0\0LMT\0\0\0\0\0\0\0\0\0\0\0\0\1\n\n", 24);
    assert_int_equal(zone_read(out_done(&o), FROM, UNTIL, &z, &why), -1);
    assert_non_null(strstr(why.text, "leap seconds"));
    out_fini(&o);
}

static void names(void **state) {
    static const char *const bad[] = {"",
                                      "/",
                                      "Europe/",
                                      "/etc/passwd",
                                      "../../../etc/passwd",
                                      "Europe/../Europe/Berlin",
                                      "Europe//Berlin",
                                      "Europe/Berlin/",
                                      "zone.tab",
                                      "Europe/Berlin\n",
                                      "Europe",
                                      "Atlantis",
                                      "Europe/Berlin/x",
                                      "Etc/GMT+99",
                                      "CET-1CEST,M3.5.0,M10.5.0/3"};
    char longer[ZONE_NAME_MAX + 2];
    (void)state;
    memset(longer, 'a', sizeof(longer));
    longer[sizeof(longer) - 1] = 0;
    struct zone_changes z;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct why why = {0};
        assert_int_equal(read_named(bad[i], &z, &why), -1);
        assert_true(why_set(&why));
    }
    assert_int_equal(read_named(longer, &z, NULL), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_zones),       cmocka_unit_test(rules),
        cmocka_unit_test(what_is_decided), cmocka_unit_test(cut_and_changed),
        cmocka_unit_test(always_summer),   cmocka_unit_test(leap_seconds),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
