/* SPDX-License-Identifier: Apache-2.0
 *
 * Content-Digest (RFC 9530, its examples) and Kong's Digest: what is read, what is refused, and
 * bodies in any pieces. Also mac.h and dates, on which signed requests stand beside it.
 */
#include "lib/mac.h"
#include "proxy/http/date.h"
#include "proxy/http/digest.h"
#include "tests/unit/head_world.h"

#define SHA256 "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="
#define SHA512                                                                                     \
    "YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg=="
#define BODY "{\"hello\": \"world\"}\n"

static const struct head *with(const char *fields) {
    char text[4096];
    snprintf(text, sizeof(text), "POST / HTTP/1.1\nHost: a\n%s", fields);
    return head_of(text);
}

static enum digest_found read_it(struct body_digest *d, const char *fields) {
    const char *detail = NULL;
    enum digest_found found = digest_read(d, with(fields), &detail);
    assert_int_equal(detail != NULL, found == DIGEST_BAD);
    return found;
}

static struct mac_scratch *macs;

static void the_examples_of_rfc_9530(void **state) {
    (void)state;
    static const char *const fields[] = {
        "Content-Digest: sha-256=:" SHA256 ":\n",
        "Content-Digest: sha-512=:" SHA512 ":\n",
        "Content-Digest: sha-256=:" SHA256 ":,sha-512=:" SHA512 ":\n",
        "Content-Digest: sha-512=:" SHA512 ":\nContent-Digest: sha-256=:" SHA256 ":\n",
        "Content-Digest: md5=:Sd/dVLAcvNLSq16eXua5uQ==:, sha-256=:" SHA256 ":, unixsum=30637\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        for (size_t piece = 1; piece < 32; piece++) {
            struct body_digest d;
            assert_int_equal(read_it(&d, fields[i]), DIGEST_FOUND);
            assert_int_equal(d.n, i == 0 || i == 4 ? 32 : 64);
            assert_true(digest_is_of(&d, macs, STR(BODY)));
            assert_int_equal(read_it(&d, fields[i]), DIGEST_FOUND);
            assert_false(digest_is_of(&d, macs, STR(BODY " ")));
        }
}

static void an_empty_body(void **state) {
    (void)state;
    struct body_digest d;
    assert_int_equal(
        read_it(&d, "Content-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\n"),
        DIGEST_FOUND);
    assert_true(digest_is_of(&d, macs, STR("")));
}

/* The stronger one decides, whichever comes first. */
static void the_stronger_decides(void **state) {
    (void)state;
    struct body_digest d;
    assert_int_equal(read_it(&d, "Content-Digest: sha-256=:" SHA256
                                 ":, sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+"
                                 "pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qQ==:\n"),
                     DIGEST_FOUND);
    assert_false(digest_is_of(&d, macs, STR(BODY)));
}

static void what_is_no_content_digest(void **state) {
    (void)state;
    static const char *const fields[] = {
        "Content-Digest: \n",
        "Content-Digest: md5=:Sd/dVLAcvNLSq16eXua5uQ==:\n",
        "Content-Digest: SHA-256=:" SHA256 ":\n",
        "Content-Digest: sha-256=" SHA256 "\n",
        "Content-Digest: sha-256=\"" SHA256 "\"\n",
        "Content-Digest: sha-256\n",
        "Content-Digest: sha-256=(:" SHA256 ":)\n",
        "Content-Digest: sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabA==:\n",
        "Content-Digest: sha-512=:" SHA256 ":\n",
        "Content-Digest: sha-256=:" SHA256 ":, sha-256=:" SHA256 ":\n",
        "Content-Digest: sha-256=:" SHA256 ":\nContent-Digest: sha-256=:" SHA256 ":\n",
        "Content-Digest: sha-256=:" SHA256 ":,\n",
    };
    struct body_digest d;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (read_it(&d, fields[i]) != DIGEST_BAD)
            fail_msg("%s", fields[i]);
    assert_int_equal(read_it(&d, "Digest: SHA-256=" SHA256 "\n"), DIGEST_NONE);
    char many[2048];
    snprintf(many, sizeof(many), "Content-Digest: sha-256=:" SHA256 ":, a=\"%0999d\"\n", 0);
    assert_int_equal(read_it(&d, many), DIGEST_BAD);
}

static void kong_s_digest(void **state) {
    (void)state;
    struct body_digest d;
    const char *detail = NULL;
    const char *good = "Digest: SHA-256=SBH7QEtqnYUpEcIhDbmStNd1MxtHg2+feBfWc1105MA=\n";
    assert_int_equal(digest_read_kong(&d, with(good), &detail), DIGEST_FOUND);
    assert_true(digest_is_of(&d, macs, STR("A small body")));
    assert_int_equal(digest_read_kong(&d, with(good), &detail), DIGEST_FOUND);
    assert_false(digest_is_of(&d, macs, STR("A small bodY")));
    assert_int_equal(digest_read_kong(&d, with(""), &detail), DIGEST_NONE);
    static const char *const bad[] = {"Digest: SHA-512=" SHA512 "\n",
                                      "Digest: SHA-256\n",
                                      "Digest: SHA-256=\n",
                                      "Digest:\n",
                                      "Digest: SHA-256=" SHA512 "\n",
                                      "Digest: SHA-256=" SHA256 ",MD5=x\n",
                                      "Digest: SHA-256=" SHA256 "\nDigest: SHA-256=" SHA256 "\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (digest_read_kong(&d, with(bad[i]), &detail) != DIGEST_BAD)
            fail_msg("%s", bad[i]);
    char longer[4096]; /* than what it is decoded into */
    snprintf(longer, sizeof(longer), "Digest: SHA-256=%03000d\n", 0);
    assert_int_equal(digest_read_kong(&d, with(longer), &detail), DIGEST_BAD);
}

/* ---- mac.h: the first two cases of RFC 4231, and of RFC 2202 ---- */

static struct str bytes(const char *hex, char *room) {
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        sscanf(hex + 2 * i, "%2x", &v);
        room[i] = (char)v;
    }
    return str_mk(room, n);
}

static void hmac_of_rfc_4231(void **state) {
    (void)state;
    static const struct {
        enum mac mac;
        const char *tag;
    } cases[] = {
        {MAC_SHA256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {MAC_SHA384, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
                     "8e2240ca5e69e2c78b3239ecfab21649"},
        {MAC_SHA512, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                     "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
        {MAC_SHA1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char room[MAC_MAX];
        struct str tag = bytes(cases[i].tag, room), text = STR("what do ya want for nothing?");
        assert_int_equal(tag.n, mac_size(cases[i].mac));
        assert_int_equal(mac_named(mac_name(cases[i].mac)), cases[i].mac);
        assert_true(mac_verify(macs, cases[i].mac, STR("Jefe"), text, tag));
        assert_false(mac_verify(macs, cases[i].mac, STR("Jeff"), text, tag));
        assert_false(mac_verify(macs, cases[i].mac, STR(""), text, tag));
        for (size_t n = 0; n < tag.n; n++)
            assert_false(mac_verify(macs, cases[i].mac, STR("Jefe"), text, str_mk(tag.p, n)));
        assert_false(mac_verify(macs, MAC_NONE, STR("Jefe"), text, tag));
        room[tag.n - 1] ^= 1;
        assert_false(mac_verify(macs, cases[i].mac, STR("Jefe"), text, tag));
    }
    char room[MAC_MAX];
    struct str of_nothing =
        bytes("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", room);
    assert_true(mac_verify(macs, MAC_SHA256, STR_NONE, STR(""), of_nothing));
    assert_true(mac_verify(macs, MAC_SHA256, STR(""), STR(""), of_nothing));
    /* its case 6: a key that is longer than a block of either hash */
    char long_key[131];
    memset(long_key, 0xaa, sizeof(long_key));
    const struct str text = STR("Test Using Larger Than Block-Size Key - Hash Key First");
    const struct str secret = str_mk(long_key, sizeof(long_key));
    struct str tag =
        bytes("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", room);
    assert_true(mac_verify(macs, MAC_SHA256, secret, text, tag));
    tag = bytes("80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
                "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
                room);
    assert_true(mac_verify(macs, MAC_SHA512, secret, text, tag));
    assert_false(mac_verify(macs, MAC_SHA512, str_mk(long_key, 128), text, tag));
    mac_scratch_free(NULL);
    assert_int_equal(mac_of_size(48), MAC_SHA384);
    assert_int_equal(mac_of_size(20), MAC_NONE);
    assert_int_equal(mac_named(STR("hmac-md5")), MAC_NONE);
    assert_int_equal(mac_named(STR("HMAC-SHA256")), MAC_NONE);
    assert_int_equal(mac_named(STR("")), MAC_NONE);
}

/* ---- dates ---- */

static void dates_are_read_as_they_are_written(void **state) {
    (void)state;
    static const int64_t seconds[] = {0,          784111777,  951782399,   951827696,
                                      1709251199, 1498151721, 253402300799};
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        struct http_date cache = {0};
        int64_t got = -1;
        assert_true(http_date_read(http_date(&cache, seconds[i]), &got));
        assert_int_equal(got, seconds[i]);
    }
}

static void what_is_no_date(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "Sun, 06 Nov 1994 08:49:37 GM",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 06 Nov 1994 08:49:37 GMT ",
                                      "Mon, 06 Nov 1994 08:49:37 GMT",
                                      "sun, 06 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 nov 1994 08:49:37 GMT",
                                      "Sun,  6 Nov 1994 08:49:37 GMT",
                                      "Wed, 31 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:60:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:60 GMT",
                                      "Sun, 06 Nov 1894 08:49:37 GMT",
                                      "Sunday, 06-Nov-94 08:49:37 GMT",
                                      "Sun Nov  6 08:49:37 1994",
                                      "Sun, 06 Nov 1994T08:49:37 GMT"};
    int64_t got;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (http_date_read(str_of(bad[i]), &got))
            fail_msg("%s", bad[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_9530),
        cmocka_unit_test(an_empty_body),
        cmocka_unit_test(the_stronger_decides),
        cmocka_unit_test(what_is_no_content_digest),
        cmocka_unit_test(kong_s_digest),
        cmocka_unit_test(hmac_of_rfc_4231),
        cmocka_unit_test(dates_are_read_as_they_are_written),
        cmocka_unit_test(what_is_no_date),
    };
    macs = mac_scratch_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mac_scratch_free(macs);
    return failed;
}
