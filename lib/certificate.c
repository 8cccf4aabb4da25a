/* SPDX-License-Identifier: Apache-2.0
 *
 * PEM is taken apart without OpenSSL's readers of keys: those ask a terminal for a passphrase.
 */
#include "lib/certificate.h"

#include "lib/keypair.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

enum { SUBJECT_MAX = 256, NAME_BYTES_MAX = 253 };

/* ---- PEM ---- */

struct block {
    char *label, *header;
    unsigned char *der;
    long n;
};

/* 1: a block, 0: no more of them, -1: it is broken. */
static int block_next(BIO *pem, struct block *b) {
    ERR_clear_error();
    if (PEM_read_bio(pem, &b->label, &b->header, &b->der, &b->n) == 1)
        return 1;
    bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return end ? 0 : -1;
}

static void block_free(struct block *b) {
    OPENSSL_free(b->label);
    OPENSSL_free(b->header);
    OPENSSL_clear_free(b->der, (size_t)b->n);
    *b = (struct block){0};
}

static bool is_label(const struct block *b, const char *label) {
    return strcmp(b->label, label) == 0;
}

static BIO *pem_open(struct str pem, const char *file, struct why *why) {
    if (pem.n == 0 || pem.n > CERTIFICATE_PEM_MAX) {
        why_text(why, pem.n == 0 ? "%s is empty" : "%s is larger than 1 MiB", file);
        return NULL;
    }
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    must(b);
    return b;
}

/* ---- one certificate ---- */

static X509 *x509_of(const void *der, size_t n) {
    const unsigned char *at = der;
    ERR_clear_error();
    X509 *x = d2i_X509(NULL, &at, (long)n);
    ERR_clear_error();
    if (x && at != (const unsigned char *)der + n) { /* something follows it */
        X509_free(x);
        x = NULL;
    }
    return x;
}

static bool seconds_of(const ASN1_TIME *t, uint64_t *seconds) {
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    time_t v = timegm(&tm);
    *seconds = v > 0 ? (uint64_t)v : 0;
    return true;
}

static bool name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '*';
}

/* Lower case, or n == 0: no DNS name that a client could ask for. */
static struct str dns_name(struct arena *a, const ASN1_IA5STRING *s) {
    int n = ASN1_STRING_length(s);
    if (n <= 0 || n > NAME_BYTES_MAX)
        return STR_NONE;
    struct str raw = str_mk((const char *)ASN1_STRING_get0_data(s), (size_t)n);
    char *name = arena_alloc(a, raw.n + 1);
    for (size_t i = 0; i < raw.n; i++) {
        name[i] = char_lower(raw.p[i]);
        if (!name_char(name[i]))
            return STR_NONE;
    }
    name[raw.n] = 0;
    return str_mk(name, raw.n);
}

static int by_text(const void *a, const void *b) {
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static uint32_t sorted_once(struct str *v, uint32_t n) {
    uint32_t kept = 0;
    if (n > 1)
        qsort(v, n, sizeof(*v), by_text);
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || !str_eq(v[kept - 1], v[i]))
            v[kept++] = v[i];
    return kept;
}

/* False: there are too many of them. */
static bool names_of(const X509 *x, struct arena *a, struct str **names, uint32_t *n) {
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int count = all ? sk_GENERAL_NAME_num(all) : 0;
    bool fits = count <= CERTIFICATE_NAMES_MAX;
    *names = arena_array(a, fits ? (size_t)count : 0, sizeof(struct str));
    *n = 0;
    for (int i = 0; fits && i < count; i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        struct str name = g->type == GEN_DNS ? dns_name(a, g->d.dNSName) : STR_NONE;
        if (name.n > 0)
            (*names)[(*n)++] = name;
    }
    *n = sorted_once(*names, *n);
    GENERAL_NAMES_free(all);
    ERR_clear_error();
    return fits;
}

/* ---- the chain ---- */

struct pair {
    X509 *chain[CERTIFICATE_CHAIN_MAX];
    uint32_t n;
    EVP_PKEY *key;
};

static int add_certificate(struct pair *p, const struct block *b, struct why *why) {
    struct shown shown;
    if (!is_label(b, PEM_STRING_X509) && !is_label(b, PEM_STRING_X509_OLD))
        return why_text(why, "tls.crt holds a block %s; only certificates belong there",
                        why_show(str_of(b->label), &shown));
    if (p->n == CERTIFICATE_CHAIN_MAX)
        return why_text(why, "tls.crt holds more than %d certificates", CERTIFICATE_CHAIN_MAX);
    X509 *x = x509_of(b->der, (size_t)b->n);
    if (!x)
        return why_text(why, "certificate %u in tls.crt cannot be read", p->n + 1);
    p->chain[p->n++] = x;
    return 0;
}

static int read_chain(struct pair *p, struct str pem, struct why *why) {
    BIO *bio = pem_open(pem, "tls.crt", why);
    struct block b = {0};
    int rc = bio ? 0 : -1, more = 0;
    while (rc == 0 && (more = block_next(bio, &b)) > 0) {
        rc = add_certificate(p, &b, why);
        block_free(&b);
    }
    BIO_free(bio);
    if (rc == 0 && more < 0)
        rc = why_text(why, "tls.crt is broken PEM behind certificate %u", p->n);
    if (rc == 0 && p->n == 0)
        rc = why_text(why, "tls.crt holds no certificate; it must be PEM, the leaf first");
    return rc;
}

/* ---- the key ---- */

static int take_key(struct pair *p, const struct block *b, struct why *why) {
    struct shown shown;
    const unsigned char *at = b->der;
    if (is_label(b, PEM_STRING_ECPARAMETERS))
        return 0; /* openssl ecparam writes them in front; the key names its curve itself */
    if (is_label(b, PEM_STRING_PKCS8) || strstr(b->header, "ENCRYPTED"))
        return why_text(why, "tls.key is encrypted; write it without a passphrase");
    if (p->key)
        return why_text(why, "tls.key holds more than one key");
    if (is_label(b, PEM_STRING_PKCS8INF))
        p->key = keypair_key(str_mk((const char *)b->der, (size_t)b->n));
    else if (is_label(b, PEM_STRING_RSA))
        p->key = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &at, b->n);
    else if (is_label(b, PEM_STRING_ECPRIVATEKEY))
        p->key = d2i_PrivateKey(EVP_PKEY_EC, NULL, &at, b->n);
    else
        return why_text(why, "tls.key holds a block %s; only a private key belongs there",
                        why_show(str_of(b->label), &shown));
    ERR_clear_error();
    return p->key ? 0 : why_text(why, "the key in tls.key cannot be read");
}

static int read_key(struct pair *p, struct str pem, struct why *why) {
    BIO *bio = pem_open(pem, "tls.key", why);
    struct block b = {0};
    int rc = bio ? 0 : -1, more = 0;
    while (rc == 0 && (more = block_next(bio, &b)) > 0) {
        rc = take_key(p, &b, why);
        block_free(&b);
    }
    BIO_free(bio);
    if (rc == 0 && (more < 0 || !p->key))
        rc = why_text(why, more < 0 ? "tls.key is broken PEM"
                                    : "tls.key holds no private key; it must be PEM");
    return rc;
}

/* "RSA 2048", "ECDSA P-256", "Ed25519"; "" for what is none of these. */
static struct str key_words(EVP_PKEY *key, struct arena *a) {
    char curve[64] = "";
    int type = EVP_PKEY_get_base_id(key);
    if (type == EVP_PKEY_RSA || type == EVP_PKEY_RSA_PSS)
        return arena_fmt(a, "RSA %d", EVP_PKEY_get_bits(key));
    if (type == EVP_PKEY_ED25519)
        return STR("Ed25519");
    if (type != EVP_PKEY_EC || EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) != 1)
        return STR("");
    const char *nist = EC_curve_nid2nist(OBJ_txt2nid(curve));
    return arena_fmt(a, "ECDSA %s", nist ? nist : curve);
}

static int check_key(const struct pair *p, struct arena *a, struct why *why) {
    struct str words = key_words(p->key, a);
    int bits = EVP_PKEY_get_bits(p->key);
    ERR_clear_error();
    if (str_starts(words, STR("RSA"))) {
        if (bits < CERTIFICATE_RSA_MIN || bits > CERTIFICATE_RSA_MAX)
            return why_text(why,
                            "an RSA key of %d bits is not used; make one of %d to %d, or ECDSA",
                            bits, CERTIFICATE_RSA_MIN, CERTIFICATE_RSA_MAX);
        return 0;
    }
    if (str_eq(words, STR("Ed25519")) || str_eq(words, STR("ECDSA P-256")) ||
        str_eq(words, STR("ECDSA P-384")) || str_eq(words, STR("ECDSA P-521")))
        return 0;
    return why_text(why, "a key of this type is not used; RSA, ECDSA (P-256, P-384, P-521) and "
                         "Ed25519 are");
}

/* ---- both ---- */

static int check_pair(const struct pair *p, struct why *why) {
    for (uint32_t i = 0; i < p->n; i++) {
        bool fits = X509_check_private_key(p->chain[i], p->key) == 1;
        ERR_clear_error();
        if (fits && i == 0)
            return 0;
        if (fits)
            return why_text(why, "tls.key belongs to certificate %u in tls.crt; put that one first",
                            i + 1);
    }
    return why_text(why, "tls.key does not belong to the certificate in tls.crt");
}

/* A digest that libssl would not let pass (its security level 2). */
static bool weakly_signed(X509 *x) {
    int bits = 0, digest = NID_undef;
    bool known = X509_get_signature_info(x, &digest, NULL, &bits, NULL) == 1;
    ERR_clear_error();
    return known && bits < 112 && !(X509_get_extension_flags(x) & EXFLAG_SS);
}

static int check_use(const struct pair *p, int purpose, struct why *why) {
    int usable = X509_check_purpose(p->chain[0], purpose, 0);
    ERR_clear_error();
    if (usable < 0)
        return why_text(why, "the certificate has extensions that cannot be read");
    if (usable == 0)
        return why_text(why, "the certificate is not one of a %s: its key usage excludes that",
                        purpose == X509_PURPOSE_SSL_SERVER ? "server" : "client");
    for (uint32_t i = 0; i < p->n; i++)
        if (weakly_signed(p->chain[i]))
            return why_text(
                why,
                "certificate %u in tls.crt is signed with SHA-1 or MD5, which no client "
                "accepts",
                i + 1);
    return 0;
}

static uint32_t gap_of(const struct pair *p) {
    for (uint32_t i = 0; i + 1 < p->n; i++) {
        bool issued = X509_check_issued(p->chain[i + 1], p->chain[i]) == X509_V_OK;
        ERR_clear_error();
        if (!issued)
            return i + 1;
    }
    return 0;
}

static void put_der(struct out *o, X509 *x) {
    int n = i2d_X509(x, NULL);
    must(n > 0);
    for (int shift = 24; shift >= 0; shift -= 8)
        out_char(o, (char)(n >> shift & 0xff));
    unsigned char *at = (unsigned char *)out_take(o, (size_t)n);
    must(at && i2d_X509(x, &at) == n);
}

static struct str chain_bytes(const struct pair *p, struct arena *a) {
    struct out o = out_heap(2 * CERTIFICATE_PEM_MAX);
    for (uint32_t i = 0; i < p->n; i++)
        put_der(&o, p->chain[i]);
    struct str s = arena_str(a, out_done(&o));
    out_fini(&o);
    return s;
}

static bool key_bytes(const struct pair *p, struct arena *a, struct str *bytes) {
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(p->key);
    int n = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
    PKCS8_PRIV_KEY_INFO_free(info);
    ERR_clear_error();
    if (n <= 0)
        return false;
    *bytes = arena_str(a, str_mk((char *)der, (size_t)n));
    OPENSSL_clear_free(der, (size_t)n);
    return true;
}

static int judge(const struct pair *p, int purpose, struct arena *a, struct certificate *c,
                 struct why *why) {
    if (check_key(p, a, why) != 0 || check_pair(p, why) != 0 || check_use(p, purpose, why) != 0)
        return -1;
    if (!seconds_of(X509_get0_notAfter(p->chain[0]), &c->not_after))
        return why_text(why, "the certificate has no readable end of validity");
    if (!names_of(p->chain[0], a, &c->names, &c->n_names))
        return why_text(why, "the certificate has more than %d names", CERTIFICATE_NAMES_MAX);
    if (!key_bytes(p, a, &c->key))
        return why_text(why, "the key in tls.key cannot be written again");
    c->chain = chain_bytes(p, a);
    c->gap = gap_of(p);
    return 0;
}

static int read_as(int purpose, struct str pem_chain, struct str pem_key, struct arena *a,
                   struct certificate *c, struct why *why) {
    struct pair p = {.n = 0};
    *c = (struct certificate){0};
    int rc = read_chain(&p, pem_chain, why);
    if (rc == 0)
        rc = read_key(&p, pem_key, why);
    if (rc == 0)
        rc = judge(&p, purpose, a, c, why);
    for (uint32_t i = 0; i < p.n; i++)
        X509_free(p.chain[i]);
    EVP_PKEY_free(p.key);
    return rc;
}

int certificate_read(struct str pem_chain, struct str pem_key, struct arena *a,
                     struct certificate *c, struct why *why) {
    return read_as(X509_PURPOSE_SSL_SERVER, pem_chain, pem_key, a, c, why);
}

int certificate_read_client(struct str pem_chain, struct str pem_key, struct arena *a,
                            struct certificate *c, struct why *why) {
    return read_as(X509_PURPOSE_SSL_CLIENT, pem_chain, pem_key, a, c, why);
}

bool certificate_covers(const struct str *names, size_t n_names, struct str hostname) {
    size_t dot = str_find(hostname, '.', 0);
    struct str parent = str_skip(hostname, dot); /* ".example.com" */
    for (size_t i = 0; i < n_names; i++) {
        if (str_eq(names[i], hostname))
            return true;
        if (dot > 0 && parent.n > 0 && names[i].n == parent.n + 1 && names[i].p[0] == '*' &&
            str_ends(names[i], parent))
            return true;
    }
    return false;
}

/* ---- for people ---- */

bool certificate_next(struct str *rest, struct str *der) {
    if (rest->n < 4)
        return false;
    const unsigned char *p = (const unsigned char *)rest->p;
    size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n > rest->n - 4)
        return false;
    *der = str_mk(rest->p + 4, n);
    *rest = str_skip(*rest, 4 + n);
    return true;
}

/* RFC 2253 escapes controls and bytes that are not ASCII. */
static struct str name_words(const X509_NAME *name, struct arena *a) {
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    must(b);
    X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253);
    long n = BIO_get_mem_data(b, &text);
    struct str s = arena_str(a, str_mk(text, size_min(n > 0 ? (size_t)n : 0, SUBJECT_MAX)));
    BIO_free(b);
    ERR_clear_error();
    return s;
}

int certificate_describe(struct str der, struct arena *a, struct certificate_info *info,
                         struct why *why) {
    *info = (struct certificate_info){0};
    X509 *x = x509_of(der.p, der.n);
    if (!x)
        return why_text(why, "this is not a certificate");
    EVP_PKEY *key = X509_get0_pubkey(x);
    info->subject = name_words(X509_get_subject_name(x), a);
    info->issuer = name_words(X509_get_issuer_name(x), a);
    info->key = key ? key_words(key, a) : STR("");
    bool good = seconds_of(X509_get0_notBefore(x), &info->not_before) &&
                seconds_of(X509_get0_notAfter(x), &info->not_after) &&
                names_of(x, a, &info->names, &info->n_names);
    X509_free(x);
    ERR_clear_error();
    return good ? 0 : why_text(why, "this certificate cannot be described");
}

struct str certificate_day(struct arena *a, uint64_t seconds) {
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm))
        return STR("never");
    return arena_fmt(a, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}
