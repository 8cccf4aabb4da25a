/* SPDX-License-Identifier: Apache-2.0
 *
 * What is decided about sources of keys without asking anybody: when, whether a want is another
 * one, which addresses can be fetched from, and what a discovery document may say.
 */
#include "controller/fetch/discovery.h"
#include "controller/fetch/fetch.h"
#include "controller/fetch/keyset.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MIN = 10000, KID = 30000, MINUTE = 60000 };

/* ---- when ---- */

static uint64_t refresh_of(uint64_t refresh, uint64_t max_stale) {
    const struct keyset_want w = {.refresh_ms = refresh, .max_stale_ms = max_stale};
    return keyset_refresh_ms(&w, MIN);
}

static void refreshes(void **state) {
    (void)state;
    assert_int_equal(refresh_of(5 * MINUTE, 1440 * MINUTE), 5 * MINUTE);
    assert_int_equal(refresh_of(1, 1440 * MINUTE), MIN);
    assert_int_equal(refresh_of(0, 0), MIN);
    assert_int_equal(refresh_of(5 * MINUTE, 4 * MINUTE), 2 * MINUTE); /* two within maxStale */
    assert_int_equal(refresh_of(5 * MINUTE, 1), MIN);
    assert_true(refresh_of(UINT64_MAX, UINT64_MAX) == 30ULL * 1440 * MINUTE);
    const struct keyset_want w = {.max_stale_ms = 1};
    assert_int_equal(keyset_max_stale_ms(&w, MIN), 2 * MIN);
}

static void back_offs(void **state) {
    (void)state;
    uint64_t last = 0;
    const uint64_t wanted[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (unsigned i = 0; i < ARRAY_LEN(wanted); i++)
        assert_int_equal(keyset_backoff_ms(i + 1, 1000, MINUTE), wanted[i]);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t ms = keyset_backoff_ms(i, 1000, UINT64_MAX);
        assert_true(ms >= last);
        last = ms;
    }
    assert_int_equal(keyset_backoff_ms(1, 1000, 200), 200);
}

static void spreads(void **state) {
    (void)state;
    const uint32_t random[] = {0, 1, 59999, 60000, 60001, 12345678, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(random); i++) {
        uint64_t ms = keyset_spread_ms(5 * MINUTE, random[i]);
        assert_in_range(ms, 270000, 330000);
        assert_in_range(keyset_spread_ms(0, random[i]), 0, 0);
        assert_in_range(keyset_spread_ms(3, random[i]), 3, 3);
    }
    assert_int_equal(keyset_spread_ms(5 * MINUTE, 0), 270000);
    assert_int_equal(keyset_spread_ms(5 * MINUTE, 60000), 330000);
}

/* Asked at 1,000,000; due 5 minutes later. */
static uint64_t kid_at(uint64_t now, uint64_t refresh) {
    return keyset_kid_at_ms(now, 1000000, 1000000 + refresh, refresh, KID);
}

static void unknown_kids(void **state) {
    (void)state;
    assert_int_equal(kid_at(1000001, 5 * MINUTE), 1030000); /* not before half a minute is over */
    assert_int_equal(kid_at(1029999, 5 * MINUTE), 1030000);
    assert_int_equal(kid_at(1030000, 5 * MINUTE), 1030000);
    assert_int_equal(kid_at(1200000, 5 * MINUTE), 1200000); /* then at once */
    assert_int_equal(kid_at(1299999, 5 * MINUTE), 1299999);
    assert_int_equal(kid_at(1300001, 5 * MINUTE), 1300000); /* never later than it would be */
    assert_int_equal(kid_at(1000001, 20000), 1020000);      /* a refresh shorter than that */
}

/* ---- wants ---- */

static struct keyset_want want(struct arena *a) {
    struct keyset_want w = {.url = STR("https://idp.example.com/keys"),
                            .ca = STR("pem"),
                            .refresh_ms = 1,
                            .max_stale_ms = 2};
    static struct str endpoints[] = {{"10.0.0.1:80", 11}, {"10.0.0.2:80", 11}};
    static const struct unit_cidr allowed[] = {{{10}, 8}, {{11}, 8}};
    w.endpoints = endpoints;
    w.n_endpoints = 2;
    w.allowed = allowed;
    w.n_allowed = 2;
    w.key = keyset_key(a, STR("iam/workforce/jwt"), w.url, w.issuer);
    return w;
}

static void wants(void **state) {
    struct arena a;
    (void)state;
    arena_init(&a);
    struct keyset_want w = want(&a), copy = keyset_want_copy(&a, &w), o;
    const uint64_t hash = keyset_want_hash(&w);
    static const struct unit_cidr one_bit[] = {{{10}, 8}, {{11}, 9}};
    static struct str turned[] = {{"10.0.0.2:80", 11}, {"10.0.0.1:80", 11}};
    assert_true(str_starts(w.key, STR("iam/workforce/jwt#")));
    assert_int_equal(keyset_want_hash(&copy), hash);
    assert_true(copy.url.p != w.url.p && copy.endpoints != w.endpoints &&
                copy.endpoints[1].p != w.endpoints[1].p && copy.allowed != w.allowed);
#define OTHER(change) o = w, change, assert_true(keyset_want_hash(&o) != hash)
    OTHER(o.url = STR("https://idp.example.com/key"));
    OTHER(o.issuer = STR("https://idp.example.com"));
    OTHER(o.ca = STR("mep"));
    OTHER(o.ca = STR_NONE);
    OTHER(o.backend = true);
    OTHER(o.n_endpoints = 1);
    OTHER(o.endpoints = turned);
    OTHER(o.n_allowed = 1);
    OTHER(o.allowed = one_bit);
    OTHER(o.refresh_ms = 3);
    OTHER(o.max_stale_ms = 3);
#undef OTHER
    o = w, o.endpoints = turned; /* one that its endpoints tell from another is the same source */
    assert_int_equal(keyset_source_hash(&o), keyset_source_hash(&w));
    o.n_endpoints = 0;
    assert_int_equal(keyset_source_hash(&o), keyset_source_hash(&w));
    o.max_stale_ms = 3;
    assert_true(keyset_source_hash(&o) != keyset_source_hash(&w));
    /* What stands in one text or in the next is not the same. */
    struct str k1 = keyset_key(&a, STR("k"), STR("https://ab"), STR("c"));
    struct str k2 = keyset_key(&a, STR("k"), STR("https://a"), STR("bc"));
    assert_false(str_eq(k1, k2));
    arena_fini(&a);
}

/* ---- addresses ---- */

static void urls(void **state) {
    (void)state;
    static const char *const good[] = {"https://idp.example.com/keys",
                                       "https://idp.example.com",
                                       "https://idp.example.com:8443/a?b=c",
                                       "https://10.0.0.1/x",
                                       "https://[fd00::1]:444/",
                                       "HTTPS://IDP.example.com/"};
    static const char *const bad[] = {
        "",
        "idp.example.com/keys",
        "http://idp.example.com/keys",
        "ftp://idp.example.com/keys",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "https://",
        "https://user@idp.example.com/",
        "https://user:secret@idp.example.com/",
        "https://:secret@idp.example.com/",
        "https://idp.example.com:99999/",
        "https://idp.example.com:x/",
        "https://idp example.com/",
        "https://idp.example.com/a b",
        "https://idp.example.com/\r\nHost: x",
        "https://[fd00::1/",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct why why = {0};
        if (fetch_url_check(str_of(good[i]), false, &why) != 0)
            fail_msg("%s: %s", good[i], why.text);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct why why = {0};
        if (fetch_url_check(str_of(bad[i]), false, &why) == 0 || !why_set(&why))
            fail_msg("%s is taken", bad[i]);
        assert_null(strstr(why.text, "secret"));
    }
    assert_int_equal(fetch_url_check(STR("http://jwks.iam.svc:8080/keys"), true, NULL), 0);
    assert_int_equal(fetch_url_check(STR("ftp://jwks.iam.svc/keys"), true, NULL), -1);
    assert_int_equal(fetch_url_check(STR("https://a/\0b"), true, NULL), -1);
    char room[FETCH_URL_MAX + 100] = "https://a/";
    memset(room + 10, 'x', sizeof(room) - 11);
    assert_int_equal(fetch_url_check(str_mk(room, FETCH_URL_MAX), false, NULL), 0);
    assert_int_equal(fetch_url_check(str_mk(room, FETCH_URL_MAX + 1), false, NULL), -1);
}

/* ---- discovery ---- */

#define ISSUER "https://idp.example.com"

static void discovered(void **state) {
    char room[200];
    struct out o = out_fixed(room, sizeof(room));
    (void)state;
    assert_int_equal(discovery_read(STR("{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://keys."
                                        "example.net/a?b\",\"more\":[1]}"),
                                    STR(ISSUER), &o, NULL),
                     0);
    assert_true(str_eq(out_done(&o), STR("https://keys.example.net/a?b")));
}

static void not_discovered(void **state) {
    (void)state;
    static const struct {
        const char *document, *text;
    } table[] = {
        {"", "no discovery document"},
        {"<html>", "no discovery document"},
        {"[]", "no issuer"},
        {"null", "no issuer"},
        {"{}", "no issuer"},
        {"{'issuer':7,'jwks_uri':'https://a/b'}", "no issuer"},
        {"{'issuer':['" ISSUER "'],'jwks_uri':'https://a/b'}", "no issuer"},
        {"{'issuer':'" ISSUER "/','jwks_uri':'https://a/b'}", "of the issuer"},
        {"{'issuer':'https://IDP.example.com','jwks_uri':'https://a/b'}", "of the issuer"},
        {"{'issuer':'https://evil.example.com','jwks_uri':'https://a/b'}", "evil.example.com"},
        {"{'issuer':'" ISSUER "'}", "no jwks_uri"},
        {"{'issuer':'" ISSUER "','jwks_uri':null}", "no jwks_uri"},
        {"{'issuer':'" ISSUER "','jwks_uri':'http://idp.example.com/keys'}", "not https"},
        {"{'issuer':'" ISSUER "','jwks_uri':'file:///etc/passwd'}", "cannot be used"},
        {"{'issuer':'" ISSUER "','jwks_uri':'/keys'}", "no address"},
        {"{'issuer':'" ISSUER "','jwks_uri':'https://u:p@idp.example.com/keys'}",
         "user or password"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char room[400], uri[64];
        struct out o = out_fixed(uri, sizeof(uri));
        struct why why = {0};
        snprintf(room, sizeof(room), "%s", table[i].document);
        for (char *p = room; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        if (discovery_read(str_of(room), STR(ISSUER), &o, &why) == 0)
            fail_msg("%s is taken", room);
        if (!strstr(why.text, table[i].text))
            fail_msg("%s: %s", room, why.text);
        assert_int_equal(o.n, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refreshes),    cmocka_unit_test(back_offs),      cmocka_unit_test(spreads),
        cmocka_unit_test(unknown_kids), cmocka_unit_test(wants),          cmocka_unit_test(urls),
        cmocka_unit_test(discovered),   cmocka_unit_test(not_discovered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
