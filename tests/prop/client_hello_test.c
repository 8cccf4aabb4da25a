/* SPDX-License-Identifier: Apache-2.0
 *
 * The ClientHello peek against OpenSSL, at both ends: what OpenSSL's client says is read whole, in
 * every prefix, and in records cut at random; what is mutated must not be read otherwise than by
 * OpenSSL's server (S26).
 *
 *   SLUICE_SEED=n    the same run again        SLUICE_HELLOS=n    how many mutations (20000)
 */
#include "proxy/net/client_hello.h"

#include "lib/hash.h"
#include "lib/mem.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h> /* needs those */

enum { BYTES_MAX = 32768 };

struct bytes {
    size_t n;
    uint8_t p[BYTES_MAX];
};

static struct prng rng;
static uint32_t below(uint32_t n) { return prng_below(&rng, n); }

/* From memory that ends where the bytes do. */
static enum client_hello_got get(const uint8_t *p, size_t n, struct client_hello *h) {
    const char *detail;
    char *copy = mem_dup((const char *)p, n);
    enum client_hello_got got = client_hello_read(copy, n, h, &detail);
    mem_free(copy);
    assert_true(got != CLIENT_HELLO_BAD || detail[0] != 0);
    return got;
}

/* ---- what OpenSSL says ---- */

static void say(struct bytes *to, const char *name, int most, const char *protocols) {
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(x, most);
    SSL *s = SSL_new(x);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(s, in, out);
    if (name != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(s, name), 1);
    if (protocols != NULL)
        SSL_set_alpn_protos(s, (const uint8_t *)protocols, (unsigned)strlen(protocols));
    SSL_set_connect_state(s);
    assert_true(SSL_do_handshake(s) <= 0);
    int n = BIO_read(out, to->p, BYTES_MAX);
    assert_true(n > 0);
    to->n = (size_t)n;
    SSL_free(s);
    SSL_CTX_free(x);
}

static const char *const names[] = {NULL,
                                    "a",
                                    "shop.example.com",
                                    "SHOP.example.COM",
                                    "xn--bcher-kva.example",
                                    "a.very.long.name.with.many.labels.example.com"};
static const char *const protocol_lists[] = {NULL, "\x02h2\x08http/1.1"};

static void say_something(struct bytes *to, const char **name) {
    *name = names[below(ARRAY_LEN(names))];
    say(to, *name, below(2) ? TLS1_3_VERSION : TLS1_2_VERSION, protocol_lists[below(2)]);
}

static void assert_name(const struct client_hello *h, const char *name) {
    struct str want = name != NULL ? str_of(name) : STR_NONE, got = client_hello_name(h);
    if (!str_eq_nocase(got, want))
        fail_msg("\"%.*s\" instead of \"%.*s\"", STR_FMT(got), STR_FMT(want));
    for (size_t i = 0; i < got.n; i++)
        assert_int_equal(got.p[i], char_lower(got.p[i]));
}

static void every_prefix_waits(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct bytes b;
        struct client_hello h;
        say(&b, names[i], TLS1_3_VERSION, NULL);
        for (size_t n = 0; n < b.n; n++) {
            assert_int_equal(get(b.p, n, &h), CLIENT_HELLO_MORE);
            assert_true(h.need > n && h.need <= b.n);
        }
        assert_int_equal(get(b.p, b.n, &h), CLIENT_HELLO_DONE);
        assert_name(&h, names[i]);
    }
}

/* The same message in records of any length, with or without something behind it. */
static void cut(const struct bytes *from, struct bytes *to, uint32_t most) {
    to->n = 0;
    for (size_t at = 5; at < from->n;) {
        size_t n = size_min(1 + below(most), from->n - at);
        const uint8_t head[5] = {22, 3, 1, (uint8_t)(n >> 8), (uint8_t)n};
        memcpy(to->p + to->n, head, 5);
        memcpy(to->p + to->n + 5, from->p + at, n);
        to->n += 5 + n;
        at += n;
    }
}

static void records_may_be_cut_anywhere(void **state) {
    static const uint32_t most[] = {1, 2, 7, 64, 600};
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct bytes b, c;
        struct client_hello h;
        const char *name;
        say_something(&b, &name);
        cut(&b, &c, most[(size_t)round % ARRAY_LEN(most)]);
        for (size_t n = 0; n < c.n; n = size_max(h.need, n + 1)) {
            assert_int_equal(get(c.p, n, &h), CLIENT_HELLO_MORE);
            assert_true(h.need > n && h.need <= c.n);
        }
        assert_int_equal(get(c.p, c.n, &h), CLIENT_HELLO_DONE);
        assert_name(&h, name);
        c.p[c.n++] = 23; /* early data, say */
        assert_int_equal(get(c.p, c.n, &h), CLIENT_HELLO_DONE);
        assert_name(&h, name);
    }
}

/* ---- what OpenSSL hears ---- */

static int heard;
static char heard_name[300];

static int on_name(SSL *s, int *alert, void *arg) {
    const char *p = SSL_get_servername(s, TLSEXT_NAMETYPE_host_name);
    (void)alert, (void)arg;
    heard = 1;
    snprintf(heard_name, sizeof(heard_name), "%s", p != NULL ? p : "");
    return SSL_TLSEXT_ERR_ALERT_FATAL; /* enough */
}

static void hear(SSL_CTX *x, const struct bytes *b) {
    SSL *s = SSL_new(x);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(s, in, out);
    SSL_set_accept_state(s);
    heard = 0;
    assert_int_equal(BIO_write(in, b->p, (int)b->n), (int)b->n);
    (void)SSL_do_handshake(s);
    SSL_free(s);
}

static void mutate(struct bytes *b) {
    for (uint32_t i = 1 + below(3); i > 0; i--) {
        size_t at = below((uint32_t)b->n);
        switch (below(4)) {
        case 0:
            b->p[at] = (uint8_t)(b->p[at] ^ 1U << below(8));
            break;
        case 1:
            b->p[at] = (uint8_t)below(256);
            break;
        case 2: /* a piece is there twice */
            if (b->n + 16 < BYTES_MAX && at + 16 < b->n) {
                memmove(b->p + at + 8, b->p + at, b->n - at);
                b->n += 8;
            }
            break;
        default: /* a piece is missing */
            if (at + 9 < b->n) {
                memmove(b->p + at, b->p + at + 4, b->n - at - 4);
                b->n -= 4;
            }
        }
    }
}

/* Whom OpenSSL would serve, we must have read so too; what only we accept the backend refuses. */
static void openssl_reads_the_same(void **state) {
    const char *many = getenv("SLUICE_HELLOS");
    long rounds = many != NULL ? atol(many) : 20000, both = 0, stricter = 0;
    (void)state;
    SSL_CTX *x = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_tlsext_servername_callback(x, on_name);
    for (long i = 0; i < rounds; i++) {
        struct bytes b, c;
        struct client_hello h;
        const char *name;
        say_something(&b, &name);
        if (below(3) == 0) {
            cut(&b, &c, 100);
            b = c;
        }
        if (below(8) > 0)
            mutate(&b);
        hear(x, &b);
        enum client_hello_got got = get(b.p, b.n, &h);
        if (!heard)
            continue;
        struct str theirs = str_of(heard_name);
        if (theirs.n > 0 && theirs.p[theirs.n - 1] == '.')
            theirs.n--;
        stricter += got == CLIENT_HELLO_BAD;
        if (got != CLIENT_HELLO_DONE)
            continue;
        both++;
        if (!str_eq_nocase(client_hello_name(&h), theirs))
            fail_msg("round %ld: we read \"%.*s\", OpenSSL \"%.*s\"", i,
                     STR_FMT(client_hello_name(&h)), STR_FMT(theirs));
    }
    printf("%ld read by both, %ld by OpenSSL alone\n", both, stricter);
    assert_true(both > rounds / 8);
    assert_true(stricter < rounds / 50); /* names that are none */
    SSL_CTX_free(x);
}

/* ---- by hand ---- */

static void put(struct bytes *b, size_t n, const void *p) {
    memcpy(b->p + b->n, p, n);
    b->n += n;
}
#define PUT(b, literal) put((b), sizeof(literal) - 1, (literal))

/* A ClientHello of TLS 1.2 around these extensions. */
static struct bytes around(const char *extensions, size_t n) {
    struct bytes b = {.n = 0};
    size_t body = 2 + 32 + 1 + 4 + 2 + 2 + n;
    const uint8_t head[] = {22,
                            3,
                            1,
                            (uint8_t)((body + 4) >> 8),
                            (uint8_t)(body + 4),
                            1,
                            0,
                            (uint8_t)(body >> 8),
                            (uint8_t)body,
                            3,
                            3};
    put(&b, sizeof(head), head);
    memset(b.p + b.n, 7, 32);
    b.n += 32;
    PUT(&b, "\x00\x00\x02\x13\x01\x01\x00");
    const uint8_t length[] = {(uint8_t)(n >> 8), (uint8_t)n};
    put(&b, 2, length);
    put(&b, n, extensions);
    return b;
}

static enum client_hello_got with(const char *extensions, size_t n, struct client_hello *h) {
    struct bytes b = around(extensions, n);
    return get(b.p, b.n, h);
}
#define WITH(literal) with((literal), sizeof(literal) - 1, &h)
#define NAME(text)    "\x00\x00\x00\x08\x00\x06\x00\x00\x03" text

static void one_name_and_no_more(void **state) {
    struct client_hello h;
    (void)state;
    assert_int_equal(WITH(NAME("a.b")), CLIENT_HELLO_DONE);
    assert_name(&h, "a.b");
    assert_int_equal(WITH(""), CLIENT_HELLO_DONE);
    assert_name(&h, NULL);
    assert_int_equal(WITH("\x0a\x0a\x00\x00" NAME("A.B") "\xfa\xfa\x00\x01\x00"),
                     CLIENT_HELLO_DONE); /* GREASE */
    assert_name(&h, "a.b");
    assert_int_equal(WITH("\xfe\x0d\x00\x04xxxx" NAME("a.b")), CLIENT_HELLO_DONE); /* ECH */
    assert_int_equal(WITH(NAME("ab.")), CLIENT_HELLO_DONE);
    assert_name(&h, "ab");
    assert_int_equal(WITH(NAME("a.b") NAME("c.d")), CLIENT_HELLO_BAD);
    assert_int_equal(WITH(NAME("a b")), CLIENT_HELLO_BAD);
    assert_int_equal(WITH(NAME("a\0b")), CLIENT_HELLO_BAD);
    assert_int_equal(WITH(NAME("a\nb")), CLIENT_HELLO_BAD);
    /* no list, an empty list, an empty name, another type, two names, bytes behind the list */
    assert_int_equal(WITH("\x00\x00\x00\x00"), CLIENT_HELLO_BAD);
    assert_int_equal(WITH("\x00\x00\x00\x02\x00\x00"), CLIENT_HELLO_BAD);
    assert_int_equal(WITH("\x00\x00\x00\x05\x00\x03\x00\x00\x00"), CLIENT_HELLO_BAD);
    assert_int_equal(WITH("\x00\x00\x00\x06\x00\x04\x01\x00\x01x"), CLIENT_HELLO_BAD);
    assert_int_equal(WITH("\x00\x00\x00\x0a\x00\x08\x00\x00\x01x\x00\x00\x01y"), CLIENT_HELLO_BAD);
    assert_int_equal(WITH("\x00\x00\x00\x07\x00\x04\x00\x00\x01xy"), CLIENT_HELLO_BAD);
    /* lengths that go behind what encloses them */
    assert_int_equal(WITH("\x00\x00\x00\x09\x00\x06\x00\x00\x03"
                          "a.b"),
                     CLIENT_HELLO_BAD);
    assert_int_equal(WITH("\x00\x0a\x00\x05\x00"), CLIENT_HELLO_BAD);
    assert_int_equal(WITH("\x00"), CLIENT_HELLO_BAD);
}

static void what_is_no_client_hello(void **state) {
    static uint8_t large[BYTES_MAX];
    struct client_hello h;
    (void)state;
#define RAW(literal) get((const uint8_t *)(literal), sizeof(literal) - 1, &h)
    assert_int_equal(RAW("GET / HTTP/1.1\r\n"), CLIENT_HELLO_BAD);
    assert_int_equal(RAW("\x16\x02\x00"), CLIENT_HELLO_BAD);
    assert_int_equal(RAW("\x16\x03\x01\x00\x00"), CLIENT_HELLO_BAD);         /* an empty record */
    assert_int_equal(RAW("\x16\x03\x01\x40\x01"), CLIENT_HELLO_BAD);         /* too long */
    assert_int_equal(RAW("\x16\x03\x01\x00\x04\x02"), CLIENT_HELLO_BAD);     /* a ServerHello */
    assert_int_equal(RAW("\x15\x03\x01\x00\x02\x01\x00"), CLIENT_HELLO_BAD); /* an alert */
    assert_int_equal(RAW("\x16\x03\x01\x00\x04\x01\x00\x40\x00"), CLIENT_HELLO_BAD);
    assert_int_equal(RAW("\x16\x03\x01\x00\x04\x01\xff\xff\xff"), CLIENT_HELLO_BAD);
    /* something between its records, and a message behind it in its record */
    assert_int_equal(RAW("\x16\x03\x01\x00\x01\x01\x17\x03\x03\x00\x01x"), CLIENT_HELLO_BAD);
    struct bytes b = around(NAME("a.b"), sizeof(NAME("a.b")) - 1);
    b.p[4]++;
    b.p[b.n++] = 1;
    assert_int_equal(get(b.p, b.n, &h), CLIENT_HELLO_BAD);
    /* one byte a record, for ever */
    for (size_t i = 0; i + 6 <= sizeof(large); i += 6)
        memcpy(large + i, "\x16\x03\x01\x00\x01\x00", 6);
    memcpy(large, "\x16\x03\x01\x00\x04\x01\x00\x3f\xf0", 9);
    assert_int_equal(get(large, CLIENT_HELLO_MAX, &h), CLIENT_HELLO_BAD);
}

static int seed(void **state) {
    const char *text = getenv("SLUICE_SEED");
    uint64_t n;
    random_bytes(&n, sizeof(n));
    if (text != NULL)
        n = strtoull(text, NULL, 10);
    (void)state;
    printf("SLUICE_SEED=%llu\n", (unsigned long long)n);
    rng = (struct prng){{n, ~n}};
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_waits),     cmocka_unit_test(records_may_be_cut_anywhere),
        cmocka_unit_test(one_name_and_no_more),   cmocka_unit_test(what_is_no_client_hello),
        cmocka_unit_test(openssl_reads_the_same),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
