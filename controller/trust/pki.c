/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/trust/pki.h"

#include "lib/hash.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

enum { SERIAL_BYTES = 16 };

/* ---- making ---- */

static EVP_PKEY *new_key(void) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key);
    return key;
}

static void set_serial(X509 *x) {
    unsigned char room[SERIAL_BYTES];
    random_bytes(room, sizeof(room));
    room[0] = (room[0] & 0x7f) | 0x40; /* positive, and always as long */
    BIGNUM *number = BN_bin2bn(room, sizeof(room), NULL);
    must(number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)));
    BN_free(number);
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static void set_time(ASN1_TIME *to, int64_t seconds) { must(ASN1_TIME_set(to, (time_t)seconds)); }

static X509 *new_cert(EVP_PKEY *key, const char *name, int64_t now, int64_t seconds) {
    X509 *x = X509_new();
    must(x && X509_set_version(x, X509_VERSION_3) == 1 && X509_set_pubkey(x, key) == 1);
    set_serial(x);
    set_time(X509_getm_notBefore(x), now - PKI_BACKDATE_S);
    set_time(X509_getm_notAfter(x), now + seconds);
    must(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                    (const unsigned char *)name, -1, -1, 0) == 1);
    return x;
}

static void sign(X509 *x, EVP_PKEY *key) { must(X509_sign(x, key, EVP_sha256()) > 0); }

struct pki_pair pki_ca(int64_t now, int64_t seconds) {
    char name[40];
    uint64_t which;
    struct out o = out_fixed(name, sizeof(name) - 1);
    random_bytes(&which, sizeof(which));
    out_lit(&o, "Sluice link CA ");
    out_hex(&o, which, 16);
    name[o.n] = 0;
    struct pki_pair p = {.key = new_key()};
    p.cert = new_cert(p.key, name, now, seconds);
    must(X509_set_issuer_name(p.cert, X509_get_subject_name(p.cert)) == 1);
    add_extension(p.cert, p.cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(p.cert, p.cert, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(p.cert, p.cert, NID_subject_key_identifier, "hash");
    sign(p.cert, p.key);
    return p;
}

static bool is_address(const char *name) {
    unsigned char room[16];
    return inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
}

static void add_names(X509 *x, X509 *issuer, const char *const *names, size_t n) {
    struct out o = out_heap(64 << 10);
    for (size_t i = 0; i < n; i++)
        out_fmt(&o, "%s%s:%s", i > 0 ? "," : "", is_address(names[i]) ? "IP" : "DNS", names[i]);
    out_char(&o, 0);
    must(!o.over);
    add_extension(x, issuer, NID_subject_alt_name, o.p);
    out_fini(&o);
}

struct pki_pair pki_leaf(const struct pki_pair *ca, int64_t now, int64_t seconds,
                         const char *const *names, size_t n) {
    struct pki_pair p = {.key = new_key()};
    p.cert = new_cert(p.key, "Sluice link", now, seconds);
    must(X509_set_issuer_name(p.cert, X509_get_subject_name(ca->cert)) == 1);
    add_extension(p.cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(p.cert, ca->cert, NID_key_usage, "critical,digitalSignature");
    add_extension(p.cert, ca->cert, NID_ext_key_usage, "serverAuth");
    add_extension(p.cert, ca->cert, NID_subject_key_identifier, "hash");
    add_extension(p.cert, ca->cert, NID_authority_key_identifier, "keyid");
    add_names(p.cert, ca->cert, names, n);
    sign(p.cert, ca->key);
    return p;
}

void pki_fini(struct pki_pair *p) {
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    *p = (struct pki_pair){0};
}

/* ---- reading ---- */

int pki_read(struct pki_pair *p, struct str cert, struct str key, struct why *why) {
    *p = (struct pki_pair){0};
    STACK_OF(X509) *certs = pem_certs(cert, why);
    if (!certs)
        return -1;
    p->cert = sk_X509_shift(certs);
    sk_X509_pop_free(certs, X509_free);
    p->key = pem_key(key, why);
    int bad = p->key ? 0 : -1;
    if (p->key && X509_check_private_key(p->cert, p->key) != 1) {
        ERR_clear_error();
        bad = why_text(why, "the key is not the certificate's");
    }
    if (bad)
        pki_fini(p);
    return bad;
}

static int64_t seconds(const ASN1_TIME *t) {
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}
int64_t pki_not_before(const X509 *cert) { return seconds(X509_get0_notBefore(cert)); }
int64_t pki_not_after(const X509 *cert) { return seconds(X509_get0_notAfter(cert)); }

bool pki_is_due(const X509 *cert, int64_t now) {
    int64_t from = pki_not_before(cert), to = pki_not_after(cert);
    return now - from >= (to - from) / 3 * 2;
}

bool pki_signed_by(X509 *cert, X509 *ca) {
    bool good =
        X509_check_issued(ca, cert) == X509_V_OK && X509_verify(cert, X509_get0_pubkey(ca)) == 1;
    ERR_clear_error();
    return good;
}

bool pki_has_names(X509 *cert, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        /* A wildcard is in it as such; a name below it would be matched by it. */
        const char *name = names[i];
        char room[256];
        struct out o = out_fixed(room, sizeof(room));
        if (name[0] == '*') {
            out_fmt(&o, "any%s", name + 1);
            out_char(&o, 0);
            name = o.over ? "" : room;
        }
        if (X509_check_host(cert, name, 0, 0, NULL) != 1 && X509_check_ip_asc(cert, name, 0) != 1)
            return false;
    }
    return true;
}
