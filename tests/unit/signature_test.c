/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP Message Signatures (RFC 9421): the test cases of its Appendix B (bases of all that sign
 * requests, B.2.5 with its secret), the examples of section 2, and what is refused.
 */
#include "lib/base64.h"
#include "proxy/http/signature.h"
#include "tests/unit/head_world.h"

enum { NOW = 1618884473 };

static struct mac_scratch *macs;
static struct signature sig;
static const char *detail;

static enum signature_found read_at(const char *text, const struct signature_rules *r,
                                    int64_t now) {
    detail = NULL;
    enum signature_found found = signature_read(&sig, head_of(text), r, now, &detail);
    assert_int_equal(detail != NULL, found == SIGNATURE_BAD);
    return found;
}

static const struct signature_rules any = {.skew_s = 30};

static void refused_by(const char *text, const struct signature_rules *r, const char *why) {
    enum signature_found found = read_at(text, r, NOW);
    if (found != SIGNATURE_BAD || strstr(detail, why) == NULL)
        fail_msg("%s: %s", text, found == SIGNATURE_BAD ? detail : "not refused");
}
static void refused(const char *text, const char *why) { refused_by(text, &any, why); }

/* ---- Appendix B ---- */

#define TEST_FIELDS                                                                                \
    "Host: example.com\n"                                                                          \
    "Date: Tue, 20 Apr 2021 02:07:55 GMT\n"                                                        \
    "Content-Type: application/json\n"                                                             \
    "Content-Digest: "                                                                             \
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyea"                \
    "ldVLvRwEmTHWXvJwew==:\n"                                                                      \
    "Content-Length: 18\n"
#define TEST_REQUEST "POST /foo?param=Value&Pet=dog HTTP/1.1\n" TEST_FIELDS
/* What a test does not look at: any bytes of the right form. */
#define SOME_MAC     "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="

static void base_is(const char *head, const char *input, bool secure, const char *base) {
    static char text[8192], room[SIGNATURE_BASE_MAX];
    struct out o = out_fixed(room, sizeof(room));
    snprintf(text, sizeof(text), "%sSignature-Input: s=%s\nSignature: s=:" SOME_MAC ":\n", head,
             input);
    if (read_at(text, &any, NOW) != SIGNATURE_READ)
        fail_msg("%s: %s", input, detail != NULL ? detail : "none");
    if (!signature_base(&sig, head_of(text), secure, &o, &detail))
        fail_msg("%s: %s", input, detail);
    char expected[8192];
    snprintf(expected, sizeof(expected), "%s%s\"@signature-params\": %s", base,
             base[0] != 0 ? "\n" : "", input);
    if (!str_eq(out_done(&o), str_of(expected)))
        fail_msg("%.*s\n, expected\n%s", STR_FMT(out_done(&o)), expected);
}

static void b_2_1_minimal(void **state) {
    (void)state;
    const char *input =
        "();created=1618884473;keyid=\"test-key-rsa-pss\";nonce=\"b3k2pp5k7z-50gnwp.yemd\"";
    base_is(TEST_REQUEST, input, true, "");
    assert_true(str_eq(sig.nonce, STR("b3k2pp5k7z-50gnwp.yemd")));
    assert_true(str_eq(sig.keyid, STR("test-key-rsa-pss")));
    assert_int_equal(sig.created, 1618884473);
    assert_int_equal(sig.expires, -1);
    assert_int_equal(sig.n_parts, 0);
}

static void b_2_2_selective(void **state) {
    (void)state;
    base_is(
        TEST_REQUEST,
        "(\"@authority\" \"content-digest\" \"@query-param\";name=\"Pet\");created=1618884473;"
        "keyid=\"test-key-rsa-pss\";tag=\"header-example\"",
        true,
        "\"@authority\": example.com\n"
        "\"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYl"
        "lu7BNNyealdVLvRwEmTHWXvJwew==:\n"
        "\"@query-param\";name=\"Pet\": dog");
    assert_true(str_eq(sig.tag, STR("header-example")));
    assert_true(sig.covers_digest);
}

static void b_2_3_full(void **state) {
    (void)state;
    base_is(
        TEST_REQUEST,
        "(\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" "
        "\"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-rsa-pss\"",
        true,
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n"
        "\"@method\": POST\n"
        "\"@path\": /foo\n"
        "\"@query\": ?param=Value&Pet=dog\n"
        "\"@authority\": example.com\n"
        "\"content-type\": application/json\n"
        "\"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYl"
        "lu7BNNyealdVLvRwEmTHWXvJwew==:\n"
        "\"content-length\": 18");
}

/* @status is of answers, which nobody signs for us. */
static void b_2_4_signs_a_response(void **state) {
    (void)state;
    refused(TEST_REQUEST
            "Signature-Input: sig-b24=(\"@status\" \"content-type\" \"content-digest\" "
            "\"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"\n"
            "Signature: sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquL"
            "gyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:\n",
            "neither a field in lower case nor a derived one");
}

#define B25                                                                                        \
    "Signature-Input: sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;"      \
    "keyid=\"test-shared-secret\"\n"                                                               \
    "Signature: sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:\n"

static struct signature_key shared_secret(enum mac mac) {
    static char room[128];
    size_t n;
    assert_true(
        base64_decode(STR("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbm"
                          "HhIDi6pcl8jsasjlTMtDQ=="),
                      room, &n));
    return (struct signature_key){mac, str_mk(room, n)};
}

static void b_2_5_hmac_sha256(void **state) {
    (void)state;
    struct signature_key key = shared_secret(MAC_SHA256);
    base_is(TEST_REQUEST,
            "(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-"
            "secret\"",
            true,
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n"
            "\"@authority\": example.com\n"
            "\"content-type\": application/json");
    assert_int_equal(read_at(TEST_REQUEST B25, &any, NOW), SIGNATURE_READ);
    assert_true(str_eq(sig.keyid, STR("test-shared-secret")));
    assert_true(signature_verify(&sig, head_of(TEST_REQUEST B25), true, &key, macs, &detail));
    /* another key, another hash, another message */
    key.secret.n--;
    assert_false(signature_verify(&sig, head_of(TEST_REQUEST B25), true, &key, macs, &detail));
    key = shared_secret(MAC_SHA512);
    assert_false(signature_verify(&sig, head_of(TEST_REQUEST B25), true, &key, macs, &detail));
    assert_string_equal(detail, "the signature does not match");
    key = shared_secret(MAC_SHA256);
    const char *other = "POST /foo HTTP/1.1\nHost: example.org\n"
                        "Date: Tue, 20 Apr 2021 02:07:55 GMT\nContent-Type: application/json\n" B25;
    assert_int_equal(read_at(other, &any, NOW), SIGNATURE_READ);
    assert_false(signature_verify(&sig, head_of(other), true, &key, macs, &detail));
}

static void b_2_6_ed25519(void **state) {
    (void)state;
    base_is(TEST_REQUEST,
            "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");"
            "created=1618884473;keyid=\"test-key-ed25519\"",
            true,
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n"
            "\"@method\": POST\n"
            "\"@path\": /foo\n"
            "\"@authority\": example.com\n"
            "\"content-type\": application/json\n"
            "\"content-length\": 18");
}

#define CLIENT_CERT                                                                                \
    ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAM" \
    "M"                                                                                            \
    "EkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkw" \
    "Ew"                                                                                           \
    "YHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/"                 \
    "3YC8OthxM4+k1M6aE"                                                                            \
    "AEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgN" \
    "V"                                                                                            \
    "HQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/"                                     \
    "BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGS"                                                        \
    "M49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/"                            \
    "kHSB4urmiZ0NX5r5XarmPk0wmuyd"                                                                 \
    "BVoU4hBVZ1yhk=:"

static void b_3_tls_terminating_proxy(void **state) {
    (void)state;
    base_is("POST /foo?param=Value&Pet=dog HTTP/1.1\n"
            "Host: service.internal.example\n"
            "Date: Tue, 20 Apr 2021 02:07:55 GMT\n"
            "Content-Type: application/json\n"
            "Content-Length: 18\n"
            "Client-Cert: " CLIENT_CERT "\n",
            "(\"@path\" \"@query\" \"@method\" \"@authority\" \"client-cert\");created=1618884473;"
            "keyid=\"test-key-ecc-p256\"",
            true,
            "\"@path\": /foo\n"
            "\"@query\": ?param=Value&Pet=dog\n"
            "\"@method\": POST\n"
            "\"@authority\": service.internal.example\n"
            "\"client-cert\": " CLIENT_CERT);
}

/* The same base from each of the messages that mean the same, and another from those that do not.
 */
static void b_4_transformations(void **state) {
    (void)state;
    static const struct {
        const char *head, *base;
    } cases[] = {
        {"GET /demo?name1=Value1&Name2=value2 HTTP/1.1\nHost: example.org\n"
         "Date: Fri, 15 Jul 2022 14:24:55 GMT\nAccept: application/json\nAccept: */*\n",
         "\"@method\": GET\n\"@path\": /demo\n\"@authority\": example.org\n"
         "\"accept\": application/json, */*"},
        {"GET /demo?name1=Value1&Name2=value2&param=added HTTP/1.1\nHost: example.org\n"
         "Date: Fri, 15 Jul 2022 14:24:55 GMT\nAccept: application/json\nAccept: */*\n"
         "Accept-Language: en-US,en;q=0.5\n",
         "\"@method\": GET\n\"@path\": /demo\n\"@authority\": example.org\n"
         "\"accept\": application/json, */*"},
        {"GET /demo?name1=Value1&Name2=value2 HTTP/1.1\nHost: example.org\n"
         "Referer: https://developer.example.org/demo\nAccept: application/json, */*\n",
         "\"@method\": GET\n\"@path\": /demo\n\"@authority\": example.org\n"
         "\"accept\": application/json, */*"},
        {"GET /demo?name1=Value1&Name2=value2 HTTP/1.1\nAccept: application/json\nAccept: */*\n"
         "Date: Fri, 15 Jul 2022 14:24:55 GMT\nHost: example.org\n",
         "\"@method\": GET\n\"@path\": /demo\n\"@authority\": example.org\n"
         "\"accept\": application/json, */*"},
        {"POST /demo?name1=Value1&Name2=value2 HTTP/1.1\nHost: example.com\n"
         "Date: Fri, 15 Jul 2022 14:24:55 GMT\nAccept: application/json\nAccept: */*\n",
         "\"@method\": POST\n\"@path\": /demo\n\"@authority\": example.com\n"
         "\"accept\": application/json, */*"},
        {"GET /demo?name1=Value1&Name2=value2 HTTP/1.1\nHost: example.org\n"
         "Date: Fri, 15 Jul 2022 14:24:55 GMT\nAccept: */*\nAccept: application/json\n",
         "\"@method\": GET\n\"@path\": /demo\n\"@authority\": example.org\n"
         "\"accept\": */*, application/json"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        base_is(cases[i].head,
                "(\"@method\" \"@path\" \"@authority\" \"accept\");created=1618884473;keyid=\"test-"
                "key-ed25519\"",
                true, cases[i].base);
}

/* ---- section 2 ---- */

#define K ";keyid=\"k\""

static void fields_2_1(void **state) {
    (void)state;
    base_is("GET / HTTP/1.1\nHost: www.example.com\nDate: Tue, 20 Apr 2021 02:07:56 GMT\n"
            "X-OWS-Header:   Leading and trailing whitespace.   \nX-Empty-Header:\n"
            "Cache-Control: max-age=60\nCache-Control:    must-revalidate\n"
            "Example-Dict:  a=1,    b=2;x=1;y=2,   c=(a   b   c)\n"
            "Cookie: a=1\nCookie: b=2\n",
            "(\"host\" \"date\" \"x-ows-header\" \"x-empty-header\" \"cache-control\" "
            "\"example-dict\" \"cookie\")" K,
            false,
            "\"host\": www.example.com\n\"date\": Tue, 20 Apr 2021 02:07:56 GMT\n"
            "\"x-ows-header\": Leading and trailing whitespace.\n\"x-empty-header\": \n"
            "\"cache-control\": max-age=60, must-revalidate\n"
            "\"example-dict\": a=1,    b=2;x=1;y=2,   c=(a   b   c)\n"
            "\"cookie\": a=1; b=2");
}

static void members_of_dictionaries_2_1_2(void **state) {
    (void)state;
    base_is("GET / HTTP/1.1\nHost: a\nExample-Dict:  a=1, b=2;x=1;y=2\n"
            "Example-Dict: c=(a   b    c), d\n",
            "(\"example-dict\";key=\"a\" \"example-dict\";key=\"d\" \"example-dict\";key=\"b\" "
            "\"example-dict\";key=\"c\")" K,
            false,
            "\"example-dict\";key=\"a\": 1\n\"example-dict\";key=\"d\": ?1\n"
            "\"example-dict\";key=\"b\": 2;x=1;y=2\n\"example-dict\";key=\"c\": (a b c)");
}

static void derived_2_2(void **state) {
    (void)state;
    base_is("POST /path?param=value HTTP/1.1\nHost: www.example.com\n",
            "(\"@method\" \"@target-uri\" \"@authority\" \"@scheme\" \"@request-target\" \"@path\" "
            "\"@query\")" K,
            true,
            "\"@method\": POST\n\"@target-uri\": https://www.example.com/path?param=value\n"
            "\"@authority\": www.example.com\n\"@scheme\": https\n"
            "\"@request-target\": /path?param=value\n\"@path\": /path\n\"@query\": ?param=value");
    base_is("get http://WWW.Example.com:8080 HTTP/1.1\nHost: WWW.Example.com:8080\n",
            "(\"@method\" \"@target-uri\" \"@authority\" \"@scheme\" \"@request-target\" \"@path\" "
            "\"@query\")" K,
            false,
            "\"@method\": get\n\"@target-uri\": http://www.example.com:8080/\n"
            "\"@authority\": www.example.com:8080\n\"@scheme\": http\n"
            "\"@request-target\": http://WWW.Example.com:8080\n\"@path\": /\n\"@query\": ?");
    base_is("OPTIONS * HTTP/1.1\nHost: www.example.com\n", "(\"@request-target\")" K, false,
            "\"@request-target\": *");
    base_is("GET /a%2Fb%41//c/../d HTTP/1.1\nHost: a\n", "(\"@path\")" K, false,
            "\"@path\": /a%2Fb%41//c/../d");
    base_is("GET /path?queryString HTTP/1.1\nHost: a\n", "(\"@query\")" K, false,
            "\"@query\": ?queryString");
    base_is("GET /path?a=bat%2Dman HTTP/1.1\nHost: a\n", "(\"@query\")" K, false,
            "\"@query\": ?a=bat%2Dman");
}

static void the_port_of_a_scheme(void **state) {
    (void)state;
    base_is("GET / HTTP/1.1\nHost: a:443\n", "(\"@authority\")" K, true, "\"@authority\": a");
    base_is("GET / HTTP/1.1\nHost: a:80\n", "(\"@authority\")" K, true, "\"@authority\": a:80");
    base_is("GET / HTTP/1.1\nHost: a:80\n", "(\"@authority\")" K, false, "\"@authority\": a");
    base_is("GET / HTTP/1.1\nHost: a:443\n", "(\"@authority\")" K, false, "\"@authority\": a:443");
    base_is("GET / HTTP/1.1\nHost: [2001:DB8::1]:443\n", "(\"@authority\")" K, true,
            "\"@authority\": [2001:db8::1]");
}

static void query_parameters_2_2_8(void **state) {
    (void)state;
    base_is("POST /path?param=value&foo=bar&baz=batman&qux= HTTP/1.1\nHost: a\n",
            "(\"@query-param\";name=\"baz\" \"@query-param\";name=\"qux\" "
            "\"@query-param\";name=\"param\")" K,
            false,
            "\"@query-param\";name=\"baz\": batman\n\"@query-param\";name=\"qux\": \n"
            "\"@query-param\";name=\"param\": value");
    base_is("GET /parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&"
            "fa%C3%A7ade%22%3A%20=something HTTP/1.1\nHost: www.example.com\n",
            "(\"@query-param\";name=\"var\" \"@query-param\";name=\"bar\" "
            "\"@query-param\";name=\"fa%C3%A7ade%22%3A%20\")" K,
            false,
            "\"@query-param\";name=\"var\": this%20is%20a%20big%0Amultiline%20value\n"
            "\"@query-param\";name=\"bar\": with%20plus%20whitespace\n"
            "\"@query-param\";name=\"fa%C3%A7ade%22%3A%20\": something");
    base_is("GET /?a=%41~!%zz*-._%c3 HTTP/1.1\nHost: a\n", "(\"@query-param\";name=\"a\")" K, false,
            "\"@query-param\";name=\"a\": A%7E%21%25zz*-._%C3");
}

/* ---- components that cannot be written ---- */

static void no_base(const char *head, const char *input) {
    char text[8192], room[SIGNATURE_BASE_MAX];
    struct out o = out_fixed(room, sizeof(room));
    snprintf(text, sizeof(text), "%sSignature-Input: s=%s" K "\nSignature: s=:" SOME_MAC ":\n",
             head, input);
    assert_int_equal(read_at(text, &any, NOW), SIGNATURE_READ);
    if (signature_base(&sig, head_of(text), false, &o, &detail))
        fail_msg("%s: %.*s", input, STR_FMT(out_done(&o)));
    struct signature_key key = shared_secret(MAC_SHA256);
    assert_false(signature_verify(&sig, head_of(text), false, &key, macs, &detail));
}

static void what_is_not_there(void **state) {
    (void)state;
    const char *get =
        "GET /?a=1&a=2&b=1 HTTP/1.1\nHost: a\nConnection: x-hop\nX-Hop: 1\nX_Under: 1\n"
        "Dict: a=1\nNo-Dict: a=\n";
    no_base(get, "(\"x-missing\")");
    no_base(get, "(\"x-hop\")");
    no_base(get, "(\"connection\")");
    no_base(get, "(\"x_under\")");
    no_base(get, "(\"dict\";key=\"b\")");
    no_base(get, "(\"no-dict\";key=\"a\")");
    no_base(get, "(\"x-missing\";key=\"a\")");
    no_base(get, "(\"@query-param\";name=\"a\")"); /* twice */
    no_base(get, "(\"@query-param\";name=\"A\")");
    no_base(get, "(\"@query-param\";name=\"c\")");
    no_base("GET / HTTP/1.1\nHost: a\n", "(\"@query-param\";name=\"a\")");
    no_base("OPTIONS * HTTP/1.1\nHost: a\n", "(\"@path\")");
    no_base("OPTIONS * HTTP/1.1\nHost: a\n", "(\"@target-uri\")");
    no_base("GET / HTTP/1.0\n", "(\"@authority\")");
    char many[4096];
    snprintf(many, sizeof(many), "GET / HTTP/1.1\nHost: a\nDict: a=1%s\n", ";a;b;c;d;e");
    no_base(many, "(\"dict\";key=\"a\")");
}

static void a_base_is_bounded(void **state) {
    (void)state;
    static char text[HEAD_BYTES_MAX], room[SIGNATURE_BASE_MAX];
    snprintf(text, sizeof(text),
             "GET / HTTP/1.1\nHost: a\nX-A: %016000d\nX-B: %01000d\n"
             "Signature-Input: s=(\"x-a\" \"x-b\")" K "\nSignature: s=:" SOME_MAC ":\n",
             0, 0);
    struct out o = out_fixed(room, sizeof(room));
    assert_int_equal(read_at(text, &any, NOW), SIGNATURE_READ);
    assert_false(signature_base(&sig, head_of(text), false, &o, &detail));
    assert_string_equal(detail, "what is signed is too long");
}

/* ---- which signature ---- */

#define GET  "GET / HTTP/1.1\nHost: a\n"
#define MACS "Signature: a=:" SOME_MAC ":, b=:" SOME_MAC ":\n"

static void none_for_us(void **state) {
    (void)state;
    const struct signature_rules tagged = {.tag = STR("gate")};
    assert_int_equal(read_at(GET, &any, NOW), SIGNATURE_NONE);
    assert_int_equal(read_at(GET "Signature: keyId=\"a\"\n", &any, NOW), SIGNATURE_NONE);
    assert_int_equal(read_at(GET "Signature-Input:\n" MACS, &any, NOW), SIGNATURE_NONE);
    assert_int_equal(read_at(GET "Signature-Input: a=()" K ";tag=\"other\"\n" MACS, &tagged, NOW),
                     SIGNATURE_NONE);
    assert_int_equal(read_at(GET "Signature-Input: a=()" K ";tag=gate\n" MACS, &tagged, NOW),
                     SIGNATURE_NONE);
}

static void by_its_tag(void **state) {
    (void)state;
    const struct signature_rules tagged = {.tag = STR("gate")};
    assert_int_equal(
        read_at(GET "Signature-Input: a=();keyid=\"x\", b=();keyid=\"y\";tag=\"gate\"\n" MACS,
                &tagged, NOW),
        SIGNATURE_READ);
    assert_true(str_eq(sig.keyid, STR("y")));
    /* several lines; the first of two with our tag */
    assert_int_equal(read_at(GET "Signature-Input: a=();keyid=\"x\";tag=\"gate\"\n"
                                 "Signature-Input: b=();keyid=\"y\";tag=\"gate\"\n"
                                 "Signature: b=:" SOME_MAC ":\nSignature: a=:" SOME_MAC ":\n",
                             &tagged, NOW),
                     SIGNATURE_READ);
    assert_true(str_eq(sig.keyid, STR("x")));
    refused(GET "Signature-Input: a=()" K ", b=()" K "\n" MACS, "no tag says which");
    refused(GET "Signature-Input: a=()" K ", a=()" K "\n" MACS, "a label twice");
    refused_by(GET "Signature-Input: b=()" K ";tag=\"gate\", b=()" K "\n" MACS, &tagged,
               "a label twice");
}

static void its_bytes(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "Signature: b=:" SOME_MAC ":\n",
        "Signature: a=:" SOME_MAC ":, a=:" SOME_MAC ":\n",
        "Signature: a=" SOME_MAC "\n",
        "Signature: a=\"x\"\n",
        "Signature: a\n",
        "Signature: a=(:" SOME_MAC ":)\n",
        "Signature: a=:" SOME_MAC ":,\n",
        "Signature: a=::\n",
        "Signature: "
        "a=:"
        "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=:"
        "\n",
        "Signature: "
        "a=:"
        "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1:"
        "\n",
        "Signature: "
        "a=:"
        "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Nj"
        "c4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5:\n",
    };
    char text[1024];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof(text), GET "Signature-Input: a=()" K "\n%s", bad[i]);
        refused(text, "Signature ");
    }
}

/* ---- what is refused in Signature-Input ---- */

static void input_refused(const char *input, const char *why) {
    char text[6000];
    snprintf(text, sizeof(text), GET "Signature-Input: a=%s\n" MACS, input);
    refused(text, why);
}

static void lists_and_components(void **state) {
    (void)state;
    static const char *const components[] = {
        "\"@status\"", "\"@signature-params\"", "\"Date\"", "\"\"",       "\"a b\"",
        "\"a:b\"",     "\"@unknown\"",          "\"@\"",    "\"@Method\""};
    static const char *const params[] = {"\"date\";sf",
                                         "\"date\";bs",
                                         "\"date\";tr",
                                         "\"date\";req",
                                         "\"@method\";req",
                                         "\"date\";key=a",
                                         "\"date\";key",
                                         "\"date\";key=\"a\";sf",
                                         "\"date\";sf;key=\"a\"",
                                         "\"date\";name=\"a\"",
                                         "\"@query-param\";key=\"a\"",
                                         "\"date\";key=\"a\";key=\"a\"",
                                         "\"@query-param\";name=\"a\";name=\"b\"",
                                         "\"@query-param\";name=a"};
    char input[256];
    for (size_t i = 0; i < ARRAY_LEN(components); i++) {
        snprintf(input, sizeof(input), "(%s)" K, components[i]);
        input_refused(input, "neither a field in lower case nor a derived one");
    }
    for (size_t i = 0; i < ARRAY_LEN(params); i++) {
        snprintf(input, sizeof(input), "(%s)" K, params[i]);
        input_refused(input, "a parameter that is not taken here");
    }
    input_refused("(date)" K, "not a plain string");
    input_refused("(\"da\\\"te\")" K, "not a plain string");
    input_refused("(\"@method\";key=\"a\")" K, "not the parameters that belong to it");
    input_refused("(\"@query-param\")" K, "not the parameters that belong to it");
    input_refused("(\"date\" \"host\" \"date\")" K, "signed twice");
    input_refused("(\"@method\" \"@method\")" K, "signed twice");
    input_refused("\"date\"" K, "no list of components");
    input_refused("?1" K, "no list of components");
    input_refused("(\"date\"" K, "not a dictionary of RFC 9651");
    input_refused("(\"date\")" K ",", "not a dictionary of RFC 9651");
}

static void its_parameters(void **state) {
    (void)state;
    static const char *const bad[] = {
        "();keyid=\"k\";other=1",
        "();keyid=k",
        "();keyid=1",
        "();keyid=\"k\\\"\"",
        "();keyid=\"k\";alg=a",
        "();keyid=\"k\";created=\"1\"",
        "();keyid=\"k\";created=-1",
        "();keyid=\"k\";created=1.5",
        "();keyid=\"k\";expires",
        "();keyid=\"k\";created=@1",
        "();keyid=\"k\";nonce=:YQ==:",
        "();keyid=\"k\";nonce=\"1\";nonce=\"2\";nonce=\"3\";nonce=\"4\";nonce=\"5\";nonce=\"6\""};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        input_refused(bad[i], "a parameter of the signature is not known here");
    input_refused("()", "keyid is missing");
    input_refused("();keyid=\"\"", "keyid is missing");
    input_refused("();keyid=\"k\";keyid=\"l\"", "not in canonical form");
}

static void one_canonical_form(void **state) {
    (void)state;
    static const char *const bad[] = {"( )" K,
                                      "(\"host\"  \"date\")" K,
                                      "( \"host\")" K,
                                      "(\"host\" )" K,
                                      "(\"host\"); keyid=\"k\"",
                                      "(\"host\");created=01" K,
                                      "(\"host\";  key=\"a\")" K};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        input_refused(bad[i], "not in canonical form");
}

static void sizes(void **state) {
    (void)state;
    char input[5000] = "(";
    for (unsigned i = 0; i < SIGNATURE_PARTS; i++) {
        size_t n = strlen(input);
        snprintf(input + n, sizeof(input) - n, "%s\"x%u\"", i > 0 ? " " : "", i);
    }
    char text[6000];
    snprintf(text, sizeof(text), GET "Signature-Input: a=%s)" K "\n" MACS, input);
    assert_int_equal(read_at(text, &any, NOW), SIGNATURE_READ);
    assert_int_equal(sig.n_parts, SIGNATURE_PARTS);
    snprintf(text, sizeof(text), GET "Signature-Input: a=%s \"y\")" K "\n" MACS, input);
    refused(text, "more than 32 components");
    snprintf(text, sizeof(text), GET "Signature-Input: a=();keyid=\"%0255d\"\n" MACS, 0);
    assert_int_equal(read_at(text, &any, NOW), SIGNATURE_READ);
    snprintf(text, sizeof(text), GET "Signature-Input: a=();keyid=\"%0256d\"\n" MACS, 0);
    refused(text, "keyid is missing or too long");
    snprintf(text, sizeof(text),
             GET
             "Signature-Input: a=();keyid=\"k\"\nSignature-Input: b=\"%01000d\", c=\"%01000d\", "
             "d=\"%01000d\", e=\"%01000d\", f=\"%0100d\"\n" MACS,
             0, 0, 0, 0, 0);
    refused(text, "longer than 4096 bytes");
    snprintf(text, sizeof(text), GET "Signature-Input: a=()" K ", b=x%01000d, %04000d\n" MACS, 0,
             0);
    refused(text, "longer than 4096 bytes");
    snprintf(text, sizeof(text), GET "Signature-Input: a=()" K "\nSignature: %04097d\n", 0);
    refused(text, "longer than 4096 bytes");
}

/* ---- what the policy asks for ---- */

static void time_is_judged(void **state) {
    (void)state;
    const struct signature_rules r = {.max_age_s = 60, .skew_s = 5};
    const char *text = GET "Signature-Input: a=();created=1000;expires=1030" K "\n" MACS;
    assert_int_equal(read_at(text, &r, 994), SIGNATURE_BAD);
    assert_string_equal(detail, "created lies in the future");
    assert_int_equal(read_at(text, &r, 995), SIGNATURE_READ);
    assert_int_equal(read_at(text, &r, 1030), SIGNATURE_READ);
    assert_int_equal(read_at(text, &r, 1031), SIGNATURE_BAD);
    assert_string_equal(detail, "the signature has expired");
    text = GET "Signature-Input: a=();created=1000" K "\n" MACS;
    assert_int_equal(read_at(text, &r, 1060), SIGNATURE_READ);
    assert_int_equal(read_at(text, &r, 1061), SIGNATURE_BAD);
    assert_string_equal(detail, "created is too long ago");
    text = GET "Signature-Input: a=();expires=2000" K "\n" MACS;
    assert_int_equal(read_at(text, &r, 1000), SIGNATURE_BAD);
    assert_string_equal(detail, "created is missing");
    assert_int_equal(read_at(text, &any, 1000), SIGNATURE_READ);
    text = GET "Signature-Input: a=();created=1000;expires=999" K "\n" MACS;
    assert_int_equal(read_at(text, &r, 1000), SIGNATURE_BAD);
    text = GET "Signature-Input: a=();created=999999999999999" K "\n" MACS;
    assert_int_equal(read_at(text, &r, 1000), SIGNATURE_BAD);
}

static bool enough(const char *parts, const char *wanted) {
    const struct str name = str_of(wanted);
    const struct signature_rules r = {.parts = &name, .n_parts = 1};
    char text[1024];
    snprintf(text, sizeof(text), GET "Signature-Input: a=(%s)" K "\n" MACS, parts);
    return read_at(text, &r, NOW) == SIGNATURE_READ;
}

static void components_that_must_be_signed(void **state) {
    (void)state;
    assert_true(enough("\"@method\" \"date\"", "date"));
    assert_false(enough("\"@method\"", "date"));
    assert_false(enough("\"content-digest\";key=\"sha-256\"", "content-digest"));
    static const char *const names[] = {"@authority", "@scheme", "@path", "@query"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_true(enough("\"@target-uri\"", names[i]));
        assert_int_equal(enough("\"@request-target\"", names[i]), i >= 2);
        assert_false(enough("\"@method\"", names[i]));
    }
    assert_false(enough("\"@target-uri\"", "@method"));
    assert_false(enough("\"@path\" \"@query\" \"@authority\" \"@scheme\"", "@target-uri"));
    assert_false(enough("\"@query-param\";name=\"a\"", "@query"));
}

static void a_body_must_be_signed(void **state) {
    (void)state;
    const struct signature_rules r = {.body = true};
    const char *input = "Signature-Input: a=(\"@method\")" K "\n" MACS;
    char text[1024];
    snprintf(text, sizeof(text), GET "%s", input);
    assert_int_equal(read_at(text, &r, NOW), SIGNATURE_READ);
    snprintf(text, sizeof(text), GET "Content-Length: 0\n%s", input);
    assert_int_equal(read_at(text, &r, NOW), SIGNATURE_READ);
    snprintf(text, sizeof(text), GET "Content-Length: 1\n%s", input);
    refused_by(text, &r, "content-digest is not signed");
    snprintf(text, sizeof(text), GET "Transfer-Encoding: chunked\n%s", input);
    refused_by(text, &r, "content-digest is not signed");
    refused_by(TEST_REQUEST "Signature-Input: a=(\"content-digest\";key=\"sha-512\")" K "\n" MACS,
               &r, "content-digest is not signed");
    assert_int_equal(
        read_at(TEST_REQUEST "Signature-Input: a=(\"content-digest\")" K "\n" MACS, &r, NOW),
        SIGNATURE_READ);
}

/* The key says which hash; the message may say so too, and not otherwise. */
static void alg_is_the_key_s(void **state) {
    (void)state;
    const char *head = "GET / HTTP/1.1\nHost: a\n";
    char text[512];
    struct signature_key key = shared_secret(MAC_SHA512);
    snprintf(text, sizeof(text), "%sSignature-Input: a=()" K ";alg=\"hmac-sha256\"\n" MACS, head);
    assert_int_equal(read_at(text, &any, NOW), SIGNATURE_READ);
    assert_false(signature_verify(&sig, head_of(text), false, &key, macs, &detail));
    assert_string_equal(detail, "alg is not that of the key");
    key.mac = MAC_SHA256;
    assert_false(signature_verify(&sig, head_of(text), false, &key, macs, &detail));
    assert_string_equal(detail, "the signature does not match");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(b_2_1_minimal),
        cmocka_unit_test(b_2_2_selective),
        cmocka_unit_test(b_2_3_full),
        cmocka_unit_test(b_2_4_signs_a_response),
        cmocka_unit_test(b_2_5_hmac_sha256),
        cmocka_unit_test(b_2_6_ed25519),
        cmocka_unit_test(b_3_tls_terminating_proxy),
        cmocka_unit_test(b_4_transformations),
        cmocka_unit_test(fields_2_1),
        cmocka_unit_test(members_of_dictionaries_2_1_2),
        cmocka_unit_test(derived_2_2),
        cmocka_unit_test(the_port_of_a_scheme),
        cmocka_unit_test(query_parameters_2_2_8),
        cmocka_unit_test(what_is_not_there),
        cmocka_unit_test(a_base_is_bounded),
        cmocka_unit_test(none_for_us),
        cmocka_unit_test(by_its_tag),
        cmocka_unit_test(its_bytes),
        cmocka_unit_test(lists_and_components),
        cmocka_unit_test(its_parameters),
        cmocka_unit_test(one_canonical_form),
        cmocka_unit_test(sizes),
        cmocka_unit_test(time_is_judged),
        cmocka_unit_test(components_that_must_be_signed),
        cmocka_unit_test(a_body_must_be_signed),
        cmocka_unit_test(alg_is_the_key_s),
    };
    macs = mac_scratch_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mac_scratch_free(macs);
    return failed;
}
