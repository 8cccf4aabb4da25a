/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/password.h"

#include "lib/chars.h"
#include "lib/map.h"
#include "lib/mem.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum {
    BCRYPT_SETTING = 29, /* "$2y$10$" and 22 characters of salt */
    BCRYPT_DIGEST = 31,
    SHA_SALT_MAX = 16,
    SHA256_DIGEST = 43,
    SHA512_DIGEST = 86,
    APR1_SALT_MAX = 8,
    APR1_DIGEST = 22,
    APR1_ROUNDS = 1000,
    KONG_ID_MAX = 64,
    KONG_DIGEST = 40,
    MD5 = 16, /* bytes of it */
    MADE_SALT = 16,
};

/* The digits of all forms of crypt(3), in the order of sha-crypt and apr1. */
static const char digits64[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#define USE_INSTEAD "make it with `htpasswd -B`, or with `mkpasswd -m sha512crypt`"

/* ---- reading ---- */

static bool all_digits64(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == 0 || strchr(digits64, s.p[i]) == NULL)
            return false;
    return true;
}

static bool all_hex(struct str s) { return chars_skip(s.p, s.p + s.n, CHAR_HEX) == s.p + s.n; }

/* Cuts *rest at the '$' that ends its first part; false when there is none. */
static bool next_part(struct str *rest, struct str *part) {
    *rest = str_cut(*rest, '$', part);
    return rest->p != NULL;
}

static int not_whole(const char *form, struct why *why) {
    return why_text(why, "this is not the whole of a %s hash, or more than it; " USE_INSTEAD, form);
}

static int read_bcrypt(struct password *p, struct str stored, struct why *why) {
    uint64_t cost;
    if (stored.n != BCRYPT_SETTING + BCRYPT_DIGEST || stored.p[3] != '$' || stored.p[6] != '$' ||
        !all_digits64(str_skip(stored, 7)) || !str_to_u64(str_mk(stored.p + 4, 2), 99, &cost))
        return not_whole("bcrypt", why);
    if (strchr("aby", stored.p[2]) == NULL)
        return why_text(why, "bcrypt is taken as $2a$, $2b$ and $2y$, not as $2%c$; " USE_INSTEAD,
                        stored.p[2]);
    if (cost < 4 || cost > PASSWORD_COST_MAX)
        return why_text(why,
                        "a cost of bcrypt of %u is outside 4..%d, which a proxy can bear; make it "
                        "with `htpasswd -B -C 10`",
                        (unsigned)cost, PASSWORD_COST_MAX);
    *p = (struct password){PASSWORD_BCRYPT, (uint32_t)cost, str_mk(stored.p, BCRYPT_SETTING),
                           STR_NONE, str_skip(stored, BCRYPT_SETTING)};
    return 0;
}

/* "rounds=N$", of which *rest is relieved; without it the default. */
static int read_rounds(struct str *rest, uint32_t *rounds, struct why *why) {
    uint64_t n = PASSWORD_ROUNDS;
    struct str part = STR_NONE;
    *rounds = PASSWORD_ROUNDS;
    if (!str_starts(*rest, STR("rounds=")))
        return 0;
    if (!next_part(rest, &part) || !str_to_u64(str_skip(part, 7), UINT64_MAX, &n) ||
        part.p[7] == '0' || n < PASSWORD_ROUNDS_MIN || n > PASSWORD_ROUNDS_MAX)
        return why_text(why,
                        "rounds must be a number within %d..%d, which a proxy can bear; make it "
                        "with `mkpasswd -m sha512crypt -R 5000`",
                        PASSWORD_ROUNDS_MIN, PASSWORD_ROUNDS_MAX);
    *rounds = (uint32_t)n;
    return 0;
}

static int read_sha(struct password *p, enum password_form form, size_t digest, struct str stored,
                    struct why *why) {
    const char *name = form == PASSWORD_SHA256 ? "sha256-crypt" : "sha512-crypt";
    struct str rest = str_skip(stored, 3), salt;
    uint32_t rounds;
    if (read_rounds(&rest, &rounds, why) != 0)
        return -1;
    if (!next_part(&rest, &salt) || salt.n > SHA_SALT_MAX || !all_digits64(salt) ||
        rest.n != digest || !all_digits64(rest))
        return not_whole(name, why);
    *p = (struct password){form, rounds, str_mk(stored.p, stored.n - digest), STR_NONE, rest};
    return 0;
}

static int read_apr1(struct password *p, struct str stored, struct why *why) {
    struct str rest = str_skip(stored, 6), salt;
    if (!next_part(&rest, &salt) || salt.n == 0 || salt.n > APR1_SALT_MAX || !all_digits64(salt) ||
        rest.n != APR1_DIGEST || !all_digits64(rest))
        return not_whole("apr1", why);
    *p = (struct password){PASSWORD_APR1, APR1_ROUNDS, str_mk(stored.p, stored.n - APR1_DIGEST),
                           salt, rest};
    return 0;
}

static int read_kong(struct password *p, struct str stored, struct why *why) {
    struct str rest = str_skip(stored, 11), id;
    if (!next_part(&rest, &id) || id.n == 0 || id.n > KONG_ID_MAX || rest.n != KONG_DIGEST ||
        !all_hex(rest))
        return why_text(why, "a hash of Kong's is 40 hexadecimal digits, with the id of its "
                             "consumer");
    *p = (struct password){PASSWORD_KONG_SHA1, 1, str_mk(stored.p, stored.n - KONG_DIGEST), id,
                           rest};
    return 0;
}

static int refuse(struct str stored, struct why *why) {
    static const struct {
        const char *prefix, *sentence;
    } known[] = {
        {"{SHA}", "an unsalted SHA-1 ({SHA}) protects nothing; " USE_INSTEAD},
        {"{SSHA", "a single round of SHA ({SSHA}) protects nothing; " USE_INSTEAD},
        {"$1$", "MD5-crypt ($1$) is not taken; " USE_INSTEAD},
        {"$y$", "yescrypt takes 16 MB for each verification; " USE_INSTEAD},
        {"$gy$", "yescrypt takes 16 MB for each verification; " USE_INSTEAD},
        {"$7$", "scrypt takes 16 MB or more for each verification; " USE_INSTEAD},
        {"$argon2", "Argon2 is not taken; " USE_INSTEAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_starts(stored, str_of(known[i].prefix)))
            return why_text(why, "%s", known[i].sentence);
    if (stored.n == 13 && all_digits64(stored))
        return why_text(
            why, "this looks like DES-crypt, which sees 8 characters of a password; " USE_INSTEAD);
    return why_text(why,
                    "this is not a hash that is known here (bcrypt, sha256-crypt, sha512-crypt, "
                    "apr1); plain text is refused; " USE_INSTEAD);
}

int password_read(struct password *p, struct str stored, struct why *why) {
    if (stored.n == 0)
        return why_text(why, "there is no hash; " USE_INSTEAD);
    if (stored.n > PASSWORD_STORED_MAX)
        return why_text(why, "a hash longer than %d bytes is none; " USE_INSTEAD,
                        PASSWORD_STORED_MAX);
    if (stored.n > 3 && str_starts(stored, STR("$2")))
        return read_bcrypt(p, stored, why);
    if (str_starts(stored, STR("$5$")))
        return read_sha(p, PASSWORD_SHA256, SHA256_DIGEST, stored, why);
    if (str_starts(stored, STR("$6$")))
        return read_sha(p, PASSWORD_SHA512, SHA512_DIGEST, stored, why);
    if (str_starts(stored, STR("$apr1$")))
        return read_apr1(p, stored, why);
    if (str_starts(stored, STR("$kong-sha1$")))
        return read_kong(p, stored, why);
    return refuse(stored, why);
}

/* ---- digests of our own ---- */

static void update(EVP_MD_CTX *c, const void *p, size_t n) { must(EVP_DigestUpdate(c, p, n) == 1); }
static void update_str(EVP_MD_CTX *c, struct str s) { update(c, s.p, s.n); }

static void begin(EVP_MD_CTX *c, const EVP_MD *md) { must(EVP_DigestInit_ex(c, md, NULL) == 1); }
static void end(EVP_MD_CTX *c, unsigned char *to) { must(EVP_DigestFinal_ex(c, to, NULL) == 1); }

/* n bytes of a digest that is repeated as often as need be. */
static void update_round(EVP_MD_CTX *c, const unsigned char *digest, size_t n) {
    for (; n > MD5; n -= MD5)
        update(c, digest, MD5);
    update(c, digest, n);
}

/* What the rounds begin with: MD5(password, "$apr1$", salt, and, by the length of the password,
 * bytes of MD5(password, salt, password), zero bytes and first letters). */
static void apr1_start(EVP_MD_CTX *c, const EVP_MD *md, struct str password, struct str salt,
                       unsigned char *d) {
    begin(c, md);
    update_str(c, password);
    update_str(c, salt);
    update_str(c, password);
    end(c, d);
    begin(c, md);
    update_str(c, password);
    update(c, "$apr1$", 6);
    update_str(c, salt);
    update_round(c, d, password.n);
    for (size_t bits = password.n; bits > 0; bits >>= 1)
        update(c, (bits & 1) != 0 ? "" : password.p, 1);
    end(c, d);
}

static void apr1_round(EVP_MD_CTX *c, const EVP_MD *md, unsigned i, struct str password,
                       struct str salt, unsigned char *d) {
    bool odd = (i & 1) != 0;
    begin(c, md);
    update_str(c, odd ? password : str_mk((char *)d, MD5));
    if (i % 3 != 0)
        update_str(c, salt);
    if (i % 7 != 0)
        update_str(c, password);
    update_str(c, odd ? str_mk((char *)d, MD5) : password);
    end(c, d);
}

/* Bytes in an order of their own, six bits a character, the lowest first. */
static void apr1_text(const unsigned char *d, char *to) {
    static const unsigned char order[5][3] = {
        {0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}};
    for (size_t i = 0; i < 5; i++) {
        uint32_t v =
            (uint32_t)d[order[i][0]] << 16 | (uint32_t)d[order[i][1]] << 8 | d[order[i][2]];
        for (size_t k = 0; k < 4; k++, v >>= 6)
            *to++ = digits64[v & 63];
    }
    *to++ = digits64[d[11] & 63];
    *to = digits64[d[11] >> 6];
}

/* The algorithm of Apache's $apr1$, which is that of FreeBSD's $1$ under another name. */
static void apr1(struct str password, struct str salt, char to[APR1_DIGEST]) {
    unsigned char d[MD5];
    EVP_MD *md = EVP_MD_fetch(NULL, "MD5", NULL);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    must(md != NULL && c != NULL);
    apr1_start(c, md, password, salt, d);
    for (unsigned i = 0; i < APR1_ROUNDS; i++)
        apr1_round(c, md, i, password, salt, d);
    apr1_text(d, to);
    OPENSSL_cleanse(d, sizeof(d));
    EVP_MD_CTX_free(c);
    EVP_MD_free(md);
}

static void hex_of(const unsigned char *d, size_t n, char *to) {
    struct out o = out_fixed(to, 2 * n);
    for (size_t i = 0; i < n; i++)
        out_hex(&o, d[i], 2);
}

static void kong_sha1(struct str password, struct str id, char to[KONG_DIGEST]) {
    unsigned char d[20];
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    must(c != NULL);
    begin(c, EVP_sha1());
    update_str(c, password);
    update_str(c, id);
    end(c, d);
    EVP_MD_CTX_free(c);
    hex_of(d, sizeof(d), to);
}

/* ---- verifying ---- */

/* The digest that crypt(3) makes of a password, or false: it refuses the setting. */
static bool crypt_digest(struct str setting, struct str password, char *to, size_t n) {
    struct crypt_data data;
    char phrase[PASSWORD_MAX + 1], cut[PASSWORD_STORED_MAX + 1];
    memset(&data, 0, sizeof(data));
    memcpy(phrase, password.p, password.n);
    phrase[password.n] = 0;
    memcpy(cut, setting.p, setting.n);
    cut[setting.n] = 0;
    const char *made = crypt_r(phrase, cut, &data);
    size_t length = made != NULL && made[0] == '$' ? strlen(made) : 0;
    if (length > n)
        memcpy(to, made + length - n, n);
    OPENSSL_cleanse(phrase, sizeof(phrase));
    OPENSSL_cleanse(&data, sizeof(data));
    return length > n;
}

static bool possible(struct str password) {
    return password.n <= PASSWORD_MAX && str_find(password, 0, 0) == password.n;
}

bool password_verify(const struct password *p, struct str password) {
    char made[SHA512_DIGEST];
    bool done = true;
    if (!possible(password))
        return false;
    if (password.n == 0)
        password = STR(""); /* not NULL */
    if (p->form == PASSWORD_APR1)
        apr1(password, p->salt, made);
    else if (p->form == PASSWORD_KONG_SHA1)
        kong_sha1(password, p->salt, made);
    else
        done = crypt_digest(p->setting, password, made, p->digest.n);
    bool same = done && CRYPTO_memcmp(made, p->digest.p, p->digest.n) == 0;
    OPENSSL_cleanse(made, sizeof(made));
    return same;
}

void password_pretend(const struct password *p, struct str password) {
    static const char digest[SHA512_DIGEST];
    const struct password nobody = {PASSWORD_SHA512, PASSWORD_ROUNDS, STR("$6$nobodynobodynobo$"),
                                    STR_NONE, str_mk(digest, sizeof(digest))};
    (void)!password_verify(p != NULL ? p : &nobody, password);
}

uint32_t password_us(const struct password *p) {
    switch (p->form) {
    case PASSWORD_BCRYPT:
        return 50U << p->cost;
    case PASSWORD_SHA256:
        return p->cost * 2 / 5;
    case PASSWORD_SHA512:
        return p->cost * 3 / 10;
    case PASSWORD_APR1:
        return 200;
    case PASSWORD_KONG_SHA1:
        break;
    }
    return 1;
}

bool password_is_quick(const struct password *p) { return p->form == PASSWORD_KONG_SHA1; }

/* ---- making ---- */

static void salt_of(struct str place, char to[MADE_SALT]) {
    unsigned char d[32];
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    must(c != NULL);
    begin(c, EVP_sha256());
    update_str(c, STR("sluice password salt 1\n"));
    update_str(c, place);
    end(c, d);
    EVP_MD_CTX_free(c);
    for (size_t i = 0; i < MADE_SALT; i++)
        to[i] = digits64[d[i] & 63];
}

int password_make(struct str clear, struct str place, struct out *stored, struct why *why) {
    char setting[3 + MADE_SALT + 1] = "$6$", digest[SHA512_DIGEST];
    if (clear.n == 0 || !possible(clear))
        return why_text(why, "a password has 1 to %d bytes and no NUL", PASSWORD_MAX);
    salt_of(place, setting + 3);
    setting[3 + MADE_SALT] = '$';
    must(crypt_digest(str_mk(setting, sizeof(setting)), clear, digest, sizeof(digest)));
    out_bytes(stored, setting, sizeof(setting));
    out_bytes(stored, digest, sizeof(digest));
    return 0;
}

int password_from_kong(struct str consumer_id, struct str hex, struct out *stored,
                       struct why *why) {
    char lower[KONG_DIGEST];
    if (consumer_id.n == 0 || consumer_id.n > KONG_ID_MAX ||
        chars_skip(consumer_id.p, consumer_id.p + consumer_id.n, CHAR_HOST) !=
            consumer_id.p + consumer_id.n)
        return why_text(why, "the id of Kong's consumer is 1 to %d letters, digits and hyphens",
                        KONG_ID_MAX);
    if (hex.n != KONG_DIGEST || !all_hex(hex))
        return why_text(why, "a hash of Kong's basic-auth is 40 hexadecimal digits");
    str_lower(lower, hex);
    out_lit(stored, "$kong-sha1$");
    out_str(stored, consumer_id);
    out_char(stored, '$');
    out_bytes(stored, lower, sizeof(lower));
    return 0;
}

/* ---- htpasswd files ---- */

static bool has_control(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

static int read_user(struct htpasswd_user *u, struct str line, struct why *why) {
    struct password p;
    struct str rest = str_cut(line, ':', &u->name);
    if (line.n > PASSWORD_LINE_MAX)
        return why_text(why, "is longer than %d bytes", PASSWORD_LINE_MAX);
    if (has_control(line))
        return why_text(why, "has a control character");
    if (rest.p == NULL)
        return why_text(why, "has no colon; a line is user:hash");
    if (u->name.n == 0 || u->name.n > PASSWORD_USER_MAX)
        return why_text(why, "a user's name has 1 to %d bytes", PASSWORD_USER_MAX);
    if (u->name.p[0] == ' ')
        return why_text(why, "begins with a blank");
    (void)str_cut(rest, ':', &u->stored);
    if (str_starts(u->stored, STR("$kong-sha1$")))
        return why_text(why, "a hash of Kong's is not taken from a file; " USE_INSTEAD);
    return password_read(&p, u->stored, why);
}

static int add(struct htpasswd *h, struct map *names, struct str line, size_t max,
               struct why *why) {
    struct htpasswd_user *u = &h->users[h->n];
    struct shown room;
    if (h->n == max)
        return why_text(why, "is user %zu; at most %zu are taken from one file", h->n + 1, max);
    if (read_user(u, line, why) != 0)
        return -1;
    if (map_put(names, u->name, h) != NULL)
        return why_text(why, "user %s has a line already", why_show(u->name, &room));
    h->n++;
    return 0;
}

static size_t count_lines(struct str file) {
    size_t n = 1;
    for (size_t at = 0; (at = str_find(file, '\n', at)) < file.n; at++)
        n++;
    return n;
}

static int read_lines(struct htpasswd *h, struct map *names, struct str file, size_t max,
                      struct why *why) {
    struct why inner = {0};
    struct str line;
    for (size_t number = 1; file.p != NULL; number++) {
        file = str_cut(file, '\n', &line);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (str_trim(line).n == 0 || line.p[0] == '#')
            continue;
        if (add(h, names, line, max, &inner) != 0)
            return why_text(why, "line %zu: %s", number, inner.text);
    }
    return 0;
}

int htpasswd_read(struct htpasswd *h, struct str file, size_t max, struct why *why) {
    struct map names;
    if (str_starts(file, STR("\xef\xbb\xbf")))
        file = str_skip(file, 3);
    *h = (struct htpasswd){mem_array(size_min(count_lines(file), max) + 1, sizeof(*h->users)), 0};
    map_init(&names);
    int bad = read_lines(h, &names, file, max, why);
    map_fini(&names);
    if (bad != 0)
        htpasswd_fini(h);
    return bad;
}

void htpasswd_fini(struct htpasswd *h) {
    mem_free(h->users);
    *h = (struct htpasswd){NULL, 0};
}
