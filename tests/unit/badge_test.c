/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates of clients as a worker remembers them: what is verified once, for how long, and
 * under which terms; names that are none; how much is kept. What programs do with them is in
 * tests/e2e/auth-certs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/mem.h"
#include "lib/out.h"
#include "proxy/auth/badge.h"
#include "proxy/route/build.h"

#include "tests/unit/certificate_make.h"

#include <stdio.h>
#include <time.h>

enum { NOW = 1800000000, END = 1930003200 /* 2031-02-28, of those that are made */ };

struct world {
    struct badges *all;
    struct credential_scratch *scratch;
    EVP_PKEY *key; /* of everybody */
    X509 *root, *middle;
    char pem[8192];
};

static int setup(void **state) {
    struct world *w = mem_zalloc(sizeof(*w));
    w->all = badges_new();
    w->scratch = credential_scratch_new();
    w->key = make_ec("P-256");
    w->root = make_x509(
        w->key, &(struct making_x509){.subject = "root", .constraints = "critical,CA:TRUE"});
    w->middle = make_x509(w->key, &(struct making_x509){.subject = "middle",
                                                        .constraints = "critical,CA:TRUE",
                                                        .issuer = w->root});
    put_x509(w->root, w->pem, w->pem + sizeof(w->pem));
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    badges_free(w->all);
    credential_scratch_free(w->scratch);
    X509_free(w->root);
    X509_free(w->middle);
    EVP_PKEY_free(w->key);
    mem_free(w);
    return 0;
}

/* ---- what is shown ---- */

/* As a connection has it; `leaf` goes with it, `above` (may be NULL) does not. */
static struct tls_peer shown(X509 *leaf, X509 *above) {
    struct tls_peer p = {.leaf = leaf};
    unsigned n;
    assert_int_equal(X509_digest(leaf, EVP_sha256(), p.fingerprint, &n), 1);
    if (above) {
        p.others = sk_X509_new_null();
        assert_true(X509_up_ref(above) == 1 && sk_X509_push(p.others, above) > 0);
        assert_int_equal(X509_digest(above, EVP_sha256(), p.chain, &n), 1);
    }
    return p;
}

static void gone(struct tls_peer *p) {
    X509_free(p->leaf);
    sk_X509_pop_free(p->others, X509_free);
}

static X509 *leaf_of(struct world *w, const X509 *issuer, const char *subject, const char *names) {
    return make_x509(w->key,
                     &(struct making_x509){.subject = subject, .names = names, .issuer = issuer});
}

static struct terms terms_of(const char *pem) {
    struct terms t;
    terms_make(str_of(pem), STR_NONE, &t);
    return t;
}

static void expect(struct world *w, const struct tls_peer *p, const struct terms *t, int64_t now,
                   enum badge_told told, const char *words) {
    const char *why = NULL;
    struct badge *b = badge_of(w->all, p, w->scratch);
    assert_non_null(b);
    assert_int_equal(badge_meets(w->all, b, p, t, now, &why), told);
    if (told != BADGE_GOOD)
        assert_string_equal(why, words);
}

static void verified(const struct world *w, uint64_t n) {
    assert_int_equal(badges_verified(w->all), n);
}

#define NOBODY "the certificate is of an authority that does not count here"

/* ---- cases ---- */

static void once_under_the_same_terms(void **state) {
    struct world *w = *state;
    struct tls_peer p = shown(leaf_of(w, w->root, "a", "DNS:a.example.com"), NULL);
    struct terms t = terms_of(w->pem);
    for (int i = 0; i < 1000; i++)
        expect(w, &p, &t, NOW + i, BADGE_GOOD, NULL);
    verified(w, 1);
    size_t n = strlen(w->pem);
    w->pem[n] = '\n'; /* the same authority in other words: other terms */
    w->pem[n + 1] = 0;
    struct terms other = terms_of(w->pem);
    expect(w, &p, &other, NOW, BADGE_GOOD, NULL);
    expect(w, &p, &t, NOW, BADGE_GOOD, NULL);
    verified(w, 2);
    gone(&p);
}

static void until_it_ends(void **state) {
    struct world *w = *state;
    struct tls_peer p = shown(leaf_of(w, w->root, "a", NULL), NULL);
    struct terms t = terms_of(w->pem);
    expect(w, &p, &t, END - 1, BADGE_GOOD, NULL);
    expect(w, &p, &t, END + 1, BADGE_BAD, "the certificate has expired");
    expect(w, &p, &t, 1500000000, BADGE_BAD, "the certificate is not valid yet");
    verified(w, 1);
    gone(&p);
}

/* One of the chain ends before the leaf: what was verified counts no longer than that. */
static void until_its_chain_ends(void **state) {
    struct world *w = *state;
    X509 *brief = make_x509(w->key, &(struct making_x509){.subject = "brief",
                                                          .constraints = "critical,CA:TRUE",
                                                          .issuer = w->root,
                                                          .not_after = "20270201000000Z"});
    struct tls_peer p = shown(leaf_of(w, brief, "a", NULL), brief);
    struct terms t = terms_of(w->pem);
    int64_t end = 1801440000;
    expect(w, &p, &t, end - 1, BADGE_GOOD, NULL);
    expect(w, &p, &t, end - 1, BADGE_GOOD, NULL);
    verified(w, 1);
    expect(w, &p, &t, end + 1, BADGE_BAD, "a certificate of its chain has expired");
    verified(w, 2);
    gone(&p);
    X509_free(brief);
}

/* Nobody makes a worker verify with each request. Who shows more is judged anew. */
static void refused_for_some_seconds(void **state) {
    struct world *w = *state;
    struct tls_peer bare = shown(leaf_of(w, w->middle, "a", NULL), NULL);
    struct terms t = terms_of(w->pem);
    for (int i = 0; i < 1000; i++)
        expect(w, &bare, &t, NOW + i % BADGE_REFUSED_S, BADGE_STRANGER, NOBODY);
    verified(w, 1);
    expect(w, &bare, &t, NOW + BADGE_REFUSED_S, BADGE_STRANGER, NOBODY);
    verified(w, 2);
    X509_up_ref(bare.leaf);
    struct tls_peer whole = shown(bare.leaf, w->middle);
    expect(w, &whole, &t, NOW, BADGE_GOOD, NULL);
    verified(w, 3);
    expect(w, &bare, &t, NOW, BADGE_STRANGER, NOBODY);
    expect(w, &bare, &t, NOW + 2 * BADGE_REFUSED_S, BADGE_GOOD, NULL); /* it is the same leaf */
    verified(w, 3);
    assert_int_equal(badges_count(w->all), 1);
    gone(&bare);
    gone(&whole);
}

static void not_for_clients(void **state) {
    struct world *w = *state;
    struct tls_peer p = shown(make_x509(w->key, &(struct making_x509){.subject = "s",
                                                                      .extended = "serverAuth",
                                                                      .issuer = w->root}),
                              NULL);
    struct terms t = terms_of(w->pem);
    expect(w, &p, &t, NOW, BADGE_BAD,
           "the certificate, or one of its chain, is not for clients (extended key usage)");
    gone(&p);
}

static void terms_that_cannot_be_read(void **state) {
    struct world *w = *state;
    struct tls_peer p = shown(leaf_of(w, w->root, "a", NULL), NULL);
    struct terms t = terms_of("nonsense");
    expect(w, &p, &t, NOW, BADGE_BAD, "nobody knows which authorities count");
    gone(&p);
}

/* ---- names ---- */

static void name_is(const struct badge *b, uint32_t i, enum badge_kind kind, const char *text) {
    uint32_t n;
    const struct badge_name *all = badge_names(b, &n);
    assert_true(i < n);
    assert_int_equal(all[i].kind, kind);
    if (!str_eq(all[i].text, str_of(text)))
        fail_msg("%.*s", STR_FMT(all[i].text));
}

static uint32_t n_names(const struct badge *b) {
    uint32_t n;
    badge_names(b, &n);
    return n;
}

static void digest_is(struct world *w, const char *digest, const char *kind, const char *text) {
    char want[CREDENTIAL_DIGEST];
    credential_digest(w->scratch, "clientCertificate", str_of(kind), str_of(text), want);
    assert_memory_equal(digest, want, sizeof(want));
}

static void names_as_they_are_compared(void **state) {
    struct world *w = *state;
    struct tls_peer p =
        shown(leaf_of(w, w->root, "Common Name",
                      "DNS:A.Example.COM,IP:10.0.0.1,URI:spiffe://Example/A,email:Joe@Example.COM"),
              NULL);
    struct badge *b = badge_of(w->all, &p, w->scratch);
    uint32_t n;
    assert_int_equal(n_names(b), 3);
    name_is(b, 0, BADGE_HOST, "a.example.com");
    name_is(b, 1, BADGE_URI, "spiffe://Example/A");
    name_is(b, 2, BADGE_MAIL, "Joe@example.com");
    digest_is(w, badge_names(b, &n)[0].digest, "Hostname", "a.example.com");
    digest_is(w, badge_names(b, &n)[1].digest, "URI", "spiffe://Example/A");
    digest_is(w, badge_names(b, &n)[2].digest, "Email", "Joe@example.com");
    assert_true(str_eq(badge_common_name(b), STR("Common Name")));
    digest_is(w, badge_common_name_digest(b), "commonName", "Common Name");
    char hex[2 * TLS_FINGERPRINT + 1];
    for (unsigned i = 0; i < TLS_FINGERPRINT; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", p.fingerprint[i]);
    digest_is(w, badge_fingerprint_digest(b), "fingerprint", hex);
    gone(&p);
}

/* Signed anew after the extension was put there byte for byte. */
static struct tls_peer with_names(struct world *w, const void *der, int n) {
    X509 *x = leaf_of(w, w->root, "a", NULL);
    ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
    assert_int_equal(ASN1_OCTET_STRING_set(s, der, n), 1);
    X509_EXTENSION *e = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, s);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(s);
    assert_true(X509_sign(x, w->key, EVP_sha256()) > 0);
    return shown(x, NULL);
}

static void names_that_are_none(void **state) {
    struct world *w = *state;
    static const unsigned char nul[] = "\x30\x07\x82\x05"
                                       "a\0b.c";
    static const unsigned char space[] = "\x30\x07\x86\x05"
                                         "a b.c";
    static const unsigned char high[] = "\x30\x05\x82\x03"
                                        "a\xc3\xa4";
    static const unsigned char empty[] = "\x30\x02\x82\x00";
    const struct {
        const void *der;
        int n;
    } odd[] = {{nul, 9}, {space, 9}, {high, 7}, {empty, 4}};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct tls_peer p = with_names(w, odd[i].der, odd[i].n);
        assert_int_equal(n_names(badge_of(w->all, &p, w->scratch)), 0);
        gone(&p);
    }
    struct tls_peer broken = with_names(w, "\x30\x05\x82", 3);
    assert_null(badge_of(w->all, &broken, w->scratch));
    gone(&broken);
}

static void common_names_that_are_none(void **state) {
    struct world *w = *state;
    for (int i = 0; i < 3; i++) {
        X509 *x = leaf_of(w, w->root, i == 0 ? "one" : i == 1 ? "a\nb" : "", NULL);
        if (i == 0)
            X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                       (const unsigned char *)"two", -1, -1, 0);
        X509_sign(x, w->key, EVP_sha256());
        struct tls_peer p = shown(x, NULL);
        assert_int_equal(badge_common_name(badge_of(w->all, &p, w->scratch)).n, 0);
        gone(&p);
    }
}

static void no_more_names_than_allowed(void **state) {
    struct world *w = *state;
    struct out o = out_heap(1 << 16);
    for (int i = 0; i < 2 * BADGE_NAMES_MAX; i++)
        out_fmt(&o, "%sDNS:a%d.example.com", i > 0 ? "," : "", i);
    out_char(&o, 0);
    struct tls_peer p = shown(leaf_of(w, w->root, "a", o.p), NULL);
    assert_int_equal(n_names(badge_of(w->all, &p, w->scratch)), BADGE_NAMES_MAX);
    gone(&p);
    out_fini(&o);
}

/* ---- fields (RFC 9440) ---- */

static void field_is(struct out *o, const char *begin, X509 *x, const char *end) {
    unsigned char *der = NULL, text[4096];
    int n = i2d_X509(x, &der);
    EVP_EncodeBlock(text, der, n);
    out_fmt(o, "%s:%s:%s", begin, (char *)text, end);
    OPENSSL_free(der);
}

static void fields_for_the_backend(void **state) {
    struct world *w = *state;
    X509 *leaf = leaf_of(w, w->middle, "a", NULL);
    X509_up_ref(leaf);
    X509_up_ref(leaf);
    struct tls_peer bare = shown(leaf, NULL), whole = shown(leaf, w->middle);
    struct tls_peer odd = shown(leaf, w->root); /* which has not signed it */
    struct out one = out_heap(1 << 16), two = out_heap(1 << 16);
    field_is(&one, "client-cert: ", leaf, "\r\n");
    out_str(&two, out_done(&one));
    field_is(&two, "client-cert-chain: ", w->middle, "\r\n");
    for (int i = 0; i < 2; i++) {
        struct badge *b = badge_of(w->all, &bare, w->scratch);
        assert_true(str_eq(badge_fields(w->all, b, &bare), out_done(&one)));
        assert_true(str_eq(badge_fields(w->all, b, &whole), out_done(&two)));
        assert_true(str_eq(badge_fields(w->all, b, &odd), out_done(&one)));
    }
    out_fini(&one);
    out_fini(&two);
    gone(&bare);
    gone(&whole);
    gone(&odd);
}

static void too_large_for_a_field(void **state) {
    struct world *w = *state;
    struct out o = out_heap(1 << 16);
    for (int i = 0; i < 400; i++)
        out_fmt(&o, "%sDNS:a%d.quite-long-names.example.com", i > 0 ? "," : "", i);
    out_char(&o, 0);
    struct tls_peer p = shown(leaf_of(w, w->root, "a", o.p), NULL);
    struct badge *b = badge_of(w->all, &p, w->scratch);
    assert_int_equal(badge_fields(w->all, b, &p).n, 0);
    assert_int_equal(badge_fields(w->all, b, &p).n, 0);
    gone(&p);
    out_fini(&o);
}

/* ---- how much is kept ---- */

static void only_so_many(void **state) {
    struct world *w = *state;
    struct terms t = terms_of(w->pem);
    struct tls_peer first = shown(leaf_of(w, w->root, "first", NULL), NULL);
    struct tls_peer p = shown(leaf_of(w, w->root, "a", "DNS:a.example.com"), NULL);
    expect(w, &first, &t, NOW, BADGE_GOOD, NULL);
    for (uint32_t i = 0; i < BADGES_MAX + 10; i++) {
        memcpy(p.fingerprint, &i, sizeof(i));
        assert_non_null(badge_of(w->all, &p, w->scratch));
        if (i < BADGES_MAX)
            expect(w, &first, &t, NOW, BADGE_GOOD, NULL); /* it is shown again and again */
    }
    assert_int_equal(badges_count(w->all), BADGES_MAX);
    verified(w, 1);
    gone(&p);
    gone(&first);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(once_under_the_same_terms),
        TEST(until_it_ends),
        TEST(until_its_chain_ends),
        TEST(refused_for_some_seconds),
        TEST(not_for_clients),
        TEST(terms_that_cannot_be_read),
        TEST(names_as_they_are_compared),
        TEST(names_that_are_none),
        TEST(common_names_that_are_none),
        TEST(no_more_names_than_allowed),
        TEST(fields_for_the_backend),
        TEST(too_large_for_a_field),
        TEST(only_so_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
