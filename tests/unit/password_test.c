/* SPDX-License-Identifier: Apache-2.0
 *
 * Stored passwords: the published vectors of bcrypt (crypt_blowfish) and of sha-crypt (Drepper),
 * apr1 against openssl passwd; what is refused and in which words; htpasswd files line by line.
 */
#include "lib/password.h"

#include "lib/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static const struct {
    const char *stored, *password;
    enum password_form form;
    uint32_t cost;
} vectors[] = {
    {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", PASSWORD_BCRYPT, 5},
    {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*", PASSWORD_BCRYPT, 5},
    {"$2y$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U", PASSWORD_BCRYPT, 5},
    {"$2b$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", "", PASSWORD_BCRYPT, 5},
    {"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", PASSWORD_SHA256,
     5000},
    {"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBF"
     "dcbYEdFCoEOfaS35inz1",
     "Hello world!", PASSWORD_SHA512, 5000},
    {"$6$rounds=1400$anotherlongsalt$PXPAe5SXWVnLAwL00y77c77ficvV5LBT1oKfJRZx5CQcCWy.c"
     "9CQXcRJX2RsHuefn.YKyrXwYWZoj7ySLquuC1",
     "a very much longer text to encrypt.  This one even stretches over morethan one line.",
     PASSWORD_SHA512, 1400},
    {"$apr1$sA./z9$mw94.LlIDvV.LN5hRXUH2/", "Hello world!", PASSWORD_APR1, 1000},
    {"$apr1$sA./z9$RSeJ5BNdeBE8gnB8yVpbg.", "", PASSWORD_APR1, 1000},
    {"$apr1$sA./z9$vlF/SD3x72d2woscUDJVS/", "a", PASSWORD_APR1, 1000},
    {"$apr1$sA./z9$uivTxrsJPSqxVBojN1ckh0",
     "a longer password than sixteen bytes, for the second round", PASSWORD_APR1, 1000},
    {"$kong-sha1$f5a9c0ca-b7e8-4a3a-9e0f-2d7c2e0f9f10$3e0e6843ac02d5b8fcde7fb059b961bb35df6250",
     "secret", PASSWORD_KONG_SHA1, 1},
};

static void read_it(struct password *p, const char *stored) {
    struct why why = {0};
    if (password_read(p, str_of(stored), &why) != 0)
        fail_msg("%s: %s", stored, why.text);
}

static void verifies_the_published_vectors(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct password p;
        read_it(&p, vectors[i].stored);
        assert_int_equal(p.form, vectors[i].form);
        assert_int_equal(p.cost, vectors[i].cost);
        if (!password_verify(&p, str_of(vectors[i].password)))
            fail_msg("%s", vectors[i].stored);
    }
}

/* Another password, another letter in any place of the digest. */
static void refuses_everything_else(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        char stored[PASSWORD_STORED_MAX + 1];
        size_t n = strlen(vectors[i].stored);
        struct password p;
        memcpy(stored, vectors[i].stored, n + 1);
        read_it(&p, stored);
        assert_false(password_verify(&p, STR("other")));
        const size_t places[] = {n - p.digest.n, n - 5,
                                 n - 1}; /* the first, one within, the last */
        for (size_t k = 0; k < ARRAY_LEN(places); k++) {
            char *c = stored + places[k], was = *c;
            *c = was == '3' ? '4' : '3';
            read_it(&p, stored);
            assert_false(password_verify(&p, str_of(vectors[i].password)));
            *c = was;
        }
    }
}

static void passwords_that_nobody_has(void **state) {
    (void)state;
    char text[PASSWORD_MAX + 1];
    char room[PASSWORD_STORED_MAX];
    struct out o = out_fixed(room, sizeof(room));
    struct password p;
    memset(text, 'x', sizeof(text));
    assert_int_equal(password_make(str_mk(text, PASSWORD_MAX), STR("uid/u"), &o, NULL), 0);
    assert_int_equal(password_read(&p, out_done(&o), NULL), 0);
    assert_true(password_verify(&p, str_mk(text, PASSWORD_MAX)));
    assert_false(password_verify(&p, str_mk(text, PASSWORD_MAX + 1)));
    read_it(&p, vectors[9].stored);
    assert_true(password_verify(&p, STR("a")));
    assert_false(password_verify(&p, str_mk("a\0b", 3)));
    assert_false(password_verify(&p, str_mk("a\0", 2)));
    read_it(&p, vectors[8].stored);
    assert_true(password_verify(&p, STR_NONE));
}

/* Every prefix of a good one, and one that goes on, is none. */
static void only_whole_hashes(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct str all = str_of(vectors[i].stored);
        char more[PASSWORD_STORED_MAX + 2];
        struct password p;
        for (size_t n = 0; n < all.n; n++) {
            struct why why = {0};
            assert_int_equal(password_read(&p, str_mk(all.p, n), &why), -1);
            assert_true(why_set(&why));
        }
        memcpy(more, all.p, all.n);
        more[all.n] = 'a';
        assert_int_equal(password_read(&p, str_mk(more, all.n + 1), NULL), -1);
    }
}

static void refusals_say_what_to_use(void **state) {
    (void)state;
    static const struct {
        const char *stored, *text;
    } cases[] = {
        {"", "there is no hash"},
        {"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "an unsalted SHA-1 ({SHA}) protects nothing"},
        {"{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "({SSHA}) protects nothing"},
        {"$1$abc$PPGOJ1KxcHqj6EGXeBpxw.", "MD5-crypt ($1$) is not taken"},
        {"rqXexS6ZhobKA", "looks like DES-crypt"},
        {"password", "plain text is refused"},
        {"$y$j9T$saltsaltsalt$J0muOjlZ8y67VOLVIz09WHd4LXM2lwrrtZHXBEsohS8", "yescrypt takes 16 MB"},
        {"$7$CU..../....x", "scrypt takes 16 MB"},
        {"$argon2id$v=19$m=65536", "Argon2 is not taken"},
        {"$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "not as $2x"},
        {"$2a$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "outside 4..12"},
        {"$2a$13$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "outside 4..12"},
        {"$2a$99$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "outside 4..12"},
        {"$2a$05$CCCCCCCCCCCCCCCCCCCCC:E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "the whole of a bcrypt"},
        {"$5$rounds=999$s$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "rounds must be a number"},
        {"$5$rounds=1000001$s$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "within 1000..1000000"},
        {"$6$rounds=05000$s$x", "rounds must be a number"},
        {"$6$rounds=99999999999999999999999$s$x", "rounds must be a number"},
        {"$5$seventeenletters1$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
         "the whole of a sha256"},
        {"$apr1$$mw94.LlIDvV.LN5hRXUH2/", "the whole of a apr1"},
        {"$apr1$ninechars$mw94.LlIDvV.LN5hRXUH2/", "the whole of a apr1"},
        {"$kong-sha1$$3e0e6843ac02d5b8fcde7fb059b961bb35df6250", "hash of Kong's"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct password p;
        struct why why = {0};
        assert_int_equal(password_read(&p, str_of(cases[i].stored), &why), -1);
        if (strstr(why.text, cases[i].text) == NULL)
            fail_msg("%s: %s", cases[i].stored, why.text);
    }
}

/* ---- cost ---- */

static double cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* A name that nobody has takes work of the same kind: within a factor of four, whatever the machine
 * does meanwhile (nothing at all is a thousandth). */
static void pretending_is_as_much_work(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct password p;
        read_it(&p, vectors[i].stored);
        if (password_is_quick(&p))
            continue;
        double start = cpu_us();
        assert_false(password_verify(&p, STR("wrong")));
        double real = cpu_us() - start;
        start = cpu_us();
        password_pretend(&p, STR("wrong"));
        double pretended = cpu_us() - start;
        assert_true(pretended > real / 4);
    }
    double start = cpu_us();
    password_pretend(NULL, STR("wrong"));
    assert_true(cpu_us() - start > 200);
}

static void tells_how_long_it_takes(void **state) {
    (void)state;
    struct password p;
    read_it(&p, vectors[0].stored);
    assert_int_equal(password_us(&p), 1600);
    assert_false(password_is_quick(&p));
    read_it(&p, vectors[5].stored);
    assert_int_equal(password_us(&p), 1500);
    read_it(&p, vectors[11].stored);
    assert_true(password_is_quick(&p));
}

/* ---- making ---- */

static struct str make(char *room, const char *clear, const char *place) {
    struct out o = out_fixed(room, PASSWORD_STORED_MAX);
    assert_int_equal(password_make(str_of(clear), str_of(place), &o, NULL), 0);
    assert_false(o.over);
    return out_done(&o);
}

static void made_twice_it_is_the_same(void **state) {
    (void)state;
    char a[PASSWORD_STORED_MAX], b[PASSWORD_STORED_MAX];
    struct str one = make(a, "correct horse", "uid-1/anna");
    struct password p, q;
    assert_true(str_eq(one, make(b, "correct horse", "uid-1/anna")));
    assert_false(str_eq(one, make(b, "correct horse", "uid-2/anna")));
    assert_int_equal(password_read(&p, one, NULL), 0);
    assert_int_equal(p.form, PASSWORD_SHA512);
    assert_int_equal(p.cost, PASSWORD_ROUNDS);
    assert_true(password_verify(&p, STR("correct horse")));
    assert_false(password_verify(&p, STR("correct hors")));
    /* the salt says nothing about the password */
    assert_int_equal(password_read(&q, make(b, "another", "uid-1/anna"), NULL), 0);
    assert_true(str_eq(p.setting, q.setting));
}

static void makes_nothing_of_nothing(void **state) {
    (void)state;
    char room[PASSWORD_STORED_MAX], text[PASSWORD_MAX + 1];
    struct out o = out_fixed(room, sizeof(room));
    memset(text, 'x', sizeof(text));
    assert_int_equal(password_make(STR(""), STR("p"), &o, NULL), -1);
    assert_int_equal(password_make(str_mk(text, sizeof(text)), STR("p"), &o, NULL), -1);
    assert_int_equal(password_make(str_mk("a\0b", 3), STR("p"), &o, NULL), -1);
    assert_int_equal(o.n, 0);
}

static void takes_what_kong_stored(void **state) {
    (void)state;
    char room[PASSWORD_STORED_MAX];
    struct out o = out_fixed(room, sizeof(room));
    struct str id = STR("f5a9c0ca-b7e8-4a3a-9e0f-2d7c2e0f9f10");
    struct str hex = STR("3E0E6843ac02d5b8fcde7fb059b961bb35df6250");
    assert_int_equal(password_from_kong(id, hex, &o, NULL), 0);
    assert_true(str_eq(out_done(&o), str_of(vectors[11].stored)));
    assert_int_equal(password_from_kong(STR(""), hex, &o, NULL), -1);
    assert_int_equal(password_from_kong(STR("a$b"), hex, &o, NULL), -1);
    assert_int_equal(password_from_kong(id, str_skip(hex, 1), &o, NULL), -1);
    assert_int_equal(
        password_from_kong(id, STR("xE0E6843ac02d5b8fcde7fb059b961bb35df6250"), &o, NULL), -1);
}

/* ---- htpasswd files ---- */

#define HASH "$apr1$sA./z9$vlF/SD3x72d2woscUDJVS/"

static void reads_htpasswd(void **state) {
    (void)state;
    struct htpasswd h;
    struct why why = {0};
    const char *file = "\xef\xbb\xbf# staff\r\nanna:" HASH "\r\n\r\n  \r\nb\xc3\xb6rn:" HASH
                       ":since 2019\nc:" HASH;
    assert_int_equal(htpasswd_read(&h, str_of(file), 3, &why), 0);
    assert_int_equal(h.n, 3);
    assert_true(str_eq(h.users[0].name, STR("anna")));
    assert_true(str_eq(h.users[0].stored, STR(HASH)));
    assert_true(str_eq(h.users[1].name, STR("b\xc3\xb6rn")));
    assert_true(str_eq(h.users[1].stored, STR(HASH)));
    assert_true(str_eq(h.users[2].stored, STR(HASH)));
    htpasswd_fini(&h);
    assert_int_equal(htpasswd_read(&h, STR("\n# nobody\n"), 3, &why), 0);
    assert_int_equal(h.n, 0);
    htpasswd_fini(&h);
}

static void names_the_line(void **state) {
    (void)state;
    static const struct {
        const char *file, *text;
    } cases[] = {
        {"a:" HASH "\nb " HASH "\n", "line 2: has no colon; a line is user:hash"},
        {"#\n\n\na:secret\n", "line 4: this is not a hash that is known here"},
        {"a:" HASH "\r\na:" HASH "\r\n", "line 2: user \"a\" has a line already"},
        {"a:" HASH "\nb:" HASH "\nc:" HASH "\n", "line 3: is user 3; at most 2 are taken"},
        {":" HASH, "line 1: a user's name has 1 to 255 bytes"},
        {" a:" HASH, "line 1: begins with a blank"},
        {"a\tb:" HASH, "line 1: has a control character"},
        {"a:" HASH "\r:", "line 1: has a control character"},
        {"a:$kong-sha1$i$3e0e6843ac02d5b8fcde7fb059b961bb35df6250", "line 1: a hash of Kong's is"},
        {"a:", "line 1: there is no hash"},
        {"a:$2y$20$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
         "line 1: a cost of bcrypt"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct htpasswd h;
        struct why why = {0};
        assert_int_equal(htpasswd_read(&h, str_of(cases[i].file), 2, &why), -1);
        assert_null(h.users);
        if (strncmp(why.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("%s: %s", cases[i].file, why.text);
        assert_null(strstr(why.text, "secret")); /* what may be a password is not shown */
    }
}

static void bounds_a_line(void **state) {
    (void)state;
    char line[PASSWORD_LINE_MAX + 64];
    struct htpasswd h;
    struct why why = {0};
    memset(line, 'c', sizeof(line));
    memcpy(line, "a:" HASH ":", sizeof("a:" HASH ":") - 1);
    assert_int_equal(htpasswd_read(&h, str_mk(line, PASSWORD_LINE_MAX), 2, &why), 0);
    htpasswd_fini(&h);
    assert_int_equal(htpasswd_read(&h, str_mk(line, PASSWORD_LINE_MAX + 1), 2, &why), -1);
    assert_string_equal(why.text, "line 1: is longer than 1024 bytes");
    why_clear(&why);
    assert_int_equal(htpasswd_read(&h, str_mk("a:" HASH "\0", sizeof("a:" HASH)), 2, &why), -1);
    assert_string_equal(why.text, "line 1: has a control character");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies_the_published_vectors),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(passwords_that_nobody_has),
        cmocka_unit_test(only_whole_hashes),
        cmocka_unit_test(refusals_say_what_to_use),
        cmocka_unit_test(pretending_is_as_much_work),
        cmocka_unit_test(tells_how_long_it_takes),
        cmocka_unit_test(made_twice_it_is_the_same),
        cmocka_unit_test(makes_nothing_of_nothing),
        cmocka_unit_test(takes_what_kong_stored),
        cmocka_unit_test(reads_htpasswd),
        cmocka_unit_test(names_the_line),
        cmocka_unit_test(bounds_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
