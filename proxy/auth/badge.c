/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/auth/badge.h"

#include "lib/authority.h"
#include "lib/list.h"
#include "lib/map.h"
#include "lib/mem.h"
#include "lib/out.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

enum {
    JUDGED_MAX = 8,
    TERMS_MAX = 16, /* that are kept parsed */
    DEPTH_MAX = 8,  /* as in handshakes */
    HEX = 2 * TLS_FINGERPRINT,
    COMMON_NAME_MAX = 256,
};

struct judged {
    unsigned char terms[TERMS_ID];
    unsigned char chain[TLS_FINGERPRINT]; /* refused: with these */
    int64_t until;                        /* seconds since 1970; 0: nothing is here */
    enum badge_told told;
    const char *why;
};

struct badge {
    struct list link; /* of badges.used: the one that was shown last at the end */
    unsigned char fingerprint[TLS_FINGERPRINT];
    size_t size;
    int64_t from, until; /* it is current; seconds since 1970 */
    struct judged judged[JUDGED_MAX];
    unsigned next;          /* of judged */
    struct str common_name; /* owned */
    char common_name_digest[CREDENTIAL_DIGEST], fingerprint_digest[CREDENTIAL_DIGEST];
    struct str fields;                           /* owned; n == 0: there are none */
    bool has_fields;                             /* somebody has asked for them */
    unsigned char fields_chain[TLS_FINGERPRINT]; /* that they are of */
    uint32_t n_names;
    struct badge_name names[]; /* texts owned */
};

/* Authorities as OpenSSL goes by them. */
struct parsed_terms {
    struct list link; /* of badges.terms: the one that was used last at the end */
    unsigned char id[TERMS_ID];
    struct authority authority;
};

struct badges {
    struct map by_fingerprint;
    struct list used, terms;
    size_t size;
    unsigned n_terms;
    uint64_t verified;
    X509_STORE_CTX *judge;
};

static struct str key_of(const unsigned char fingerprint[TLS_FINGERPRINT]) {
    return str_mk((const char *)fingerprint, TLS_FINGERPRINT);
}

/* ---- what is in a certificate ---- */

static bool seconds_of(const ASN1_TIME *t, int64_t *seconds) {
    struct tm tm;
    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *seconds = timegm(&tm);
    return true;
}

static bool is_plain(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return s.n > 0 && s.n <= BADGE_NAME_MAX;
}

/* False: a name of another kind, or one with bytes that such a name does not have. */
static bool read_name(const GENERAL_NAME *g, enum badge_kind *kind, struct str *text) {
    if (g->type != GEN_DNS && g->type != GEN_URI && g->type != GEN_EMAIL)
        return false;
    *kind = g->type == GEN_DNS ? BADGE_HOST : g->type == GEN_URI ? BADGE_URI : BADGE_MAIL;
    *text =
        str_mk((const char *)ASN1_STRING_get0_data(g->d.ia5), (size_t)ASN1_STRING_length(g->d.ia5));
    return is_plain(*text);
}

static void digest(struct credential_scratch *s, const char *kind, struct str text,
                   char to[CREDENTIAL_DIGEST]) {
    credential_digest(s, "clientCertificate", str_of(kind), text, to);
}

static void add_names(struct badge *b, const GENERAL_NAMES *all, struct credential_scratch *s) {
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && b->n_names < BADGE_NAMES_MAX; i++) {
        struct badge_name *to = &b->names[b->n_names];
        struct str text;
        if (!read_name(sk_GENERAL_NAME_value(all, i), &to->kind, &text))
            continue;
        char *copy = str_dup(text);
        size_t caseless = to->kind == BADGE_HOST  ? 0
                          : to->kind == BADGE_URI ? text.n
                                                  : str_find(text, '@', 0);
        str_lower(copy + caseless, str_skip(text, caseless));
        to->text = str_mk(copy, text.n);
        digest(s,
               to->kind == BADGE_HOST  ? "Hostname"
               : to->kind == BADGE_URI ? "URI"
                                       : "Email",
               to->text, to->digest);
        b->size += text.n;
        b->n_names++;
    }
}

/* One that is there twice is whose? Nobody's. Controls are in no name. */
static void add_common_name(struct badge *b, X509 *x, struct credential_scratch *s) {
    const X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *utf8 = NULL;
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
        return;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    bool good = n > 0 && n <= COMMON_NAME_MAX;
    for (int i = 0; good && i < n; i++)
        good = utf8[i] >= ' ' && utf8[i] != 0x7f;
    if (good) {
        b->common_name = str_mk(str_dup(str_mk((char *)utf8, (size_t)n)), (size_t)n);
        b->size += (size_t)n;
        digest(s, "commonName", b->common_name, b->common_name_digest);
    }
    OPENSSL_free(utf8);
}

static void add_fingerprint(struct badge *b, struct credential_scratch *s) {
    char hex[HEX];
    struct out o = out_fixed(hex, sizeof(hex));
    for (unsigned i = 0; i < TLS_FINGERPRINT; i++)
        out_hex(&o, b->fingerprint[i], 2);
    digest(s, "fingerprint", out_done(&o), b->fingerprint_digest);
}

/* NULL: it has a subjectAltName or times that cannot be read, or there is no memory. */
static struct badge *badge_new(const struct tls_peer *p, struct credential_scratch *s) {
    int critical;
    GENERAL_NAMES *all = X509_get_ext_d2i(p->leaf, NID_subject_alt_name, &critical, NULL);
    int n = sk_GENERAL_NAME_num(all);
    uint32_t room = n <= 0 ? 0 : n < BADGE_NAMES_MAX ? (uint32_t)n : BADGE_NAMES_MAX;
    size_t size = sizeof(struct badge) + room * sizeof(struct badge_name);
    bool clear = all != NULL || critical == -1; /* -1: there is none; -2: there are two */
    struct badge *b = clear ? mem_try(size) : NULL;
    if (b != NULL) {
        memset(b, 0, size);
        b->size = size;
        memcpy(b->fingerprint, p->fingerprint, TLS_FINGERPRINT);
        add_names(b, all, s);
        add_common_name(b, p->leaf, s);
        add_fingerprint(b, s);
        if (!seconds_of(X509_get0_notBefore(p->leaf), &b->from) ||
            !seconds_of(X509_get0_notAfter(p->leaf), &b->until))
            b->until = INT64_MIN; /* it never is current */
    }
    GENERAL_NAMES_free(all);
    ERR_clear_error();
    return b;
}

/* ---- memory ---- */

static void badge_free(struct badge *b) {
    for (uint32_t i = 0; i < b->n_names; i++)
        mem_free((void *)(uintptr_t)b->names[i].text.p);
    mem_free((void *)(uintptr_t)b->common_name.p);
    mem_free((void *)(uintptr_t)b->fields.p);
    mem_free(b);
}

static void forget(struct badges *all, struct badge *b) {
    map_del(&all->by_fingerprint, key_of(b->fingerprint));
    list_del(&b->link);
    all->size -= b->size;
    badge_free(b);
}

static struct badge *oldest(struct badges *all) {
    return list_entry(all->used.next, struct badge, link);
}

static void make_room(struct badges *all, const struct badge *but) {
    while (oldest(all) != but &&
           (all->by_fingerprint.n > BADGES_MAX || all->size > BADGES_BYTES_MAX))
        forget(all, oldest(all));
}

struct badge *badge_of(struct badges *all, const struct tls_peer *p,
                       struct credential_scratch *scratch) {
    struct badge *b = map_get(&all->by_fingerprint, key_of(p->fingerprint));
    if (b != NULL) {
        list_del(&b->link);
        list_append(&all->used, &b->link);
        return b;
    }
    b = badge_new(p, scratch);
    if (b == NULL)
        return NULL;
    all->size += b->size;
    map_put(&all->by_fingerprint, key_of(b->fingerprint), b);
    list_append(&all->used, &b->link);
    make_room(all, b);
    return b;
}

struct badges *badges_new(void) {
    struct badges *all = mem_zalloc(sizeof(*all));
    map_init(&all->by_fingerprint);
    list_init(&all->used);
    list_init(&all->terms);
    all->judge = X509_STORE_CTX_new();
    must(all->judge);
    return all;
}

static void terms_forget(struct badges *all, struct parsed_terms *t) {
    list_del(&t->link);
    all->n_terms--;
    authority_fini(&t->authority);
    mem_free(t);
}

void badges_free(struct badges *all) {
    if (!all)
        return;
    while (!list_empty(&all->used))
        forget(all, oldest(all));
    while (!list_empty(&all->terms))
        terms_forget(all, list_entry(all->terms.next, struct parsed_terms, link));
    map_fini(&all->by_fingerprint);
    X509_STORE_CTX_free(all->judge);
    mem_free(all);
}

size_t badges_count(const struct badges *all) { return all->by_fingerprint.n; }
uint64_t badges_verified(const struct badges *all) { return all->verified; }

/* ---- terms ---- */

/* NULL: they cannot be used, though they could be when they were taken. */
static const struct authority *authority_of(struct badges *all, const struct terms *t) {
    struct why why = {0};
    list_each(l, &all->terms) {
        struct parsed_terms *p = list_entry(l, struct parsed_terms, link);
        if (memcmp(p->id, t->id, TERMS_ID) != 0)
            continue;
        list_del(&p->link);
        list_append(&all->terms, &p->link);
        return &p->authority;
    }
    struct parsed_terms *p = mem_zalloc(sizeof(*p));
    if (authority_load(&p->authority, t->ca, t->crl, &why) != 0) {
        mem_free(p);
        return NULL;
    }
    if (all->n_terms == TERMS_MAX)
        terms_forget(all, list_entry(all->terms.next, struct parsed_terms, link));
    memcpy(p->id, t->id, TERMS_ID);
    list_append(&all->terms, &p->link);
    all->n_terms++;
    return &p->authority;
}

static const char *words_of(int error) {
    switch (error) {
    case X509_V_ERR_CERT_REVOKED:
        return "the certificate, or one of its chain, was revoked";
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "a certificate of its chain has expired";
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return "a list of revoked certificates has expired";
    case X509_V_ERR_INVALID_PURPOSE:
        return "the certificate, or one of its chain, is not for clients (extended key usage)";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
        return "there is no list of revoked certificates of its issuer";
    default:
        return X509_verify_cert_error_string(error);
    }
}

/* Until when what was verified counts: a second at least, since a list that has ended may be
 * another issuer's. */
static int64_t good_until(X509_STORE_CTX *x, const struct authority *a, int64_t now) {
    int64_t until = a->until < INT64_MAX ? (int64_t)a->until : INT64_MAX, end;
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(x);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        if (!seconds_of(X509_get0_notAfter(sk_X509_value(chain, i)), &end))
            end = 0;
        until = end < until ? end : until;
    }
    return until > now ? until : now + 1;
}

/* As a handshake would, at that time. 0: it is not good, *error says why. */
static int64_t verify(struct badges *all, const struct tls_peer *p, const struct authority *a,
                      int64_t now, int *error) {
    X509_STORE_CTX *x = all->judge;
    int64_t until = 0;
    all->verified++;
    *error = X509_V_ERR_UNSPECIFIED;
    if (X509_STORE_CTX_init(x, a->store, p->leaf, p->others) == 1 &&
        X509_STORE_CTX_set_default(x, "ssl_client") == 1) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(x);
        X509_VERIFY_PARAM_set_depth(param, DEPTH_MAX);
        X509_VERIFY_PARAM_set_auth_level(param, 1); /* as OpenSSL's handshakes at least */
        X509_VERIFY_PARAM_set_time(param, (time_t)now);
        bool good = X509_verify_cert(x) == 1;
        *error = X509_STORE_CTX_get_error(x);
        if (good && *error == X509_V_OK)
            until = good_until(x, a, now);
    }
    X509_STORE_CTX_cleanup(x);
    ERR_clear_error();
    return until;
}

static const struct judged *was_judged(const struct badge *b, const struct tls_peer *p,
                                       const struct terms *t, int64_t now) {
    for (unsigned i = 0; i < JUDGED_MAX; i++) {
        const struct judged *j = &b->judged[i];
        if (now < j->until && memcmp(j->terms, t->id, TERMS_ID) == 0 &&
            (j->told == BADGE_GOOD || memcmp(j->chain, p->chain, TLS_FINGERPRINT) == 0))
            return j;
    }
    return NULL;
}

static const struct judged *judge_now(struct badges *all, struct badge *b, const struct tls_peer *p,
                                      const struct terms *t, int64_t now) {
    struct judged *to = &b->judged[b->next];
    const struct authority *a = authority_of(all, t);
    int error = X509_V_ERR_UNSPECIFIED;
    int64_t until = a ? verify(all, p, a, now, &error) : 0;
    bool stranger = authority_is_unknown(error);
    b->next = (b->next + 1) % JUDGED_MAX;
    memcpy(to->terms, t->id, TERMS_ID);
    memcpy(to->chain, p->chain, TLS_FINGERPRINT);
    to->told = until > 0 ? BADGE_GOOD : stranger ? BADGE_STRANGER : BADGE_BAD;
    to->until = until > 0 ? until : now + BADGE_REFUSED_S;
    to->why = stranger ? "the certificate is of an authority that does not count here"
              : a      ? words_of(error)
                       : "nobody knows which authorities count";
    return to;
}

bool badge_is_current(const struct badge *b, int64_t now, const char **why) {
    *why = now < b->from ? "the certificate is not valid yet" : "the certificate has expired";
    return b->from <= now && now <= b->until;
}

enum badge_told badge_meets(struct badges *all, struct badge *b, const struct tls_peer *p,
                            const struct terms *t, int64_t now, const char **why) {
    if (!badge_is_current(b, now, why))
        return BADGE_BAD;
    const struct judged *j = was_judged(b, p, t, now);
    if (unlikely(j == NULL))
        j = judge_now(all, b, p, t, now);
    *why = j->why;
    return j->told;
}

/* ---- questions ---- */

const struct badge_name *badge_names(const struct badge *b, uint32_t *n) {
    *n = b->n_names;
    return b->names;
}

struct str badge_common_name(const struct badge *b) {
    return b->common_name;
}
const char *badge_common_name_digest(const struct badge *b) { return b->common_name_digest; }
const char *badge_fingerprint_digest(const struct badge *b) { return b->fingerprint_digest; }

/* ---- fields for the backend ---- */

/* A byte sequence (RFC 8941 3.3.5). False: it does not fit. */
static bool write_der(struct out *o, X509 *x, size_t *left) {
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    bool fits = n > 0 && (size_t)n <= *left;
    size_t digits = fits ? ((size_t)n + 2) / 3 * 4 : 0;
    char *at = fits ? out_take(o, digits + 2) : NULL;
    if (at != NULL) {
        *left -= (size_t)n;
        at[0] = ':';
        EVP_EncodeBlock((unsigned char *)at + 1, der, n); /* and a NUL */
        at[digits + 1] = ':';
    }
    OPENSSL_free(der);
    return fits;
}

static bool has_signed(X509 *above, X509 *below) {
    EVP_PKEY *key = X509_get0_pubkey(above);
    return key != NULL && X509_check_issued(above, below) == X509_V_OK &&
           X509_verify(below, key) == 1;
}

/* Whatever else was shown has nothing to do with it. */
static bool write_fields(struct out *o, const struct tls_peer *p) {
    size_t left = BADGE_DER_MAX, others = BADGE_DER_MAX;
    X509 *below = p->leaf;
    out_lit(o, "client-cert: ");
    bool good = write_der(o, p->leaf, &left);
    for (int i = 0; good && i < sk_X509_num(p->others) && i < DEPTH_MAX; i++) {
        X509 *above = sk_X509_value(p->others, i);
        if (!has_signed(above, below))
            break;
        if (i == 0)
            out_lit(o, "\r\nclient-cert-chain: ");
        else
            out_lit(o, ", ");
        good = write_der(o, above, &others);
        below = above;
    }
    out_lit(o, "\r\n");
    return good;
}

struct str badge_fields(struct badges *all, struct badge *b, const struct tls_peer *p) {
    if (b->has_fields && memcmp(b->fields_chain, p->chain, TLS_FINGERPRINT) == 0)
        return b->fields;
    struct out o = out_heap(4 * BADGE_DER_MAX);
    all->size -= b->fields.n;
    b->size -= b->fields.n;
    mem_free((void *)(uintptr_t)b->fields.p);
    b->fields = STR_NONE;
    b->has_fields = true;
    memcpy(b->fields_chain, p->chain, TLS_FINGERPRINT);
    if (write_fields(&o, p) && !o.over) {
        struct str text = out_done(&o);
        b->fields = str_mk(str_dup(text), text.n);
        b->size += text.n;
        all->size += text.n;
        make_room(all, b);
    }
    out_fini(&o);
    ERR_clear_error();
    return b->fields;
}
