/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

static BIO *reader(struct str text, size_t max, struct why *why) {
    if (text.n == 0 || text.n > max) {
        why_text(why, "%zu bytes where PEM of 1 to %zu is expected", text.n, max);
        return NULL;
    }
    BIO *in = BIO_new_mem_buf(text.p, (int)text.n);
    must(in);
    return in;
}

/* What OpenSSL said last, in its own words; its queue is empty afterwards. */
static const char *reason(void) {
    unsigned long error = ERR_peek_last_error();
    const char *text = error ? ERR_reason_error_string(error) : NULL;
    ERR_clear_error();
    return text ? text : "it is damaged";
}

/* Whether the reader has nothing more that begins like a block, which is how a bundle ends. */
static bool at_end(void) {
    unsigned long error = ERR_peek_last_error();
    bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    if (end)
        ERR_clear_error();
    return end;
}

static int no_password(char *room, int size, int writing, void *arg) {
    (void)room, (void)size, (void)writing, (void)arg;
    return -1;
}

STACK_OF(X509) * pem_certs(struct str text, struct why *why) {
    BIO *in = reader(text, PEM_BYTES_MAX, why);
    if (!in)
        return NULL;
    STACK_OF(X509) *all = sk_X509_new_null();
    must(all);
    ERR_clear_error();
    for (X509 *one; (one = PEM_read_bio_X509(in, NULL, no_password, NULL));)
        must(sk_X509_push(all, one) > 0);
    int n = sk_X509_num(all), bad = 0;
    if (!at_end())
        bad = why_text(why, "certificate %d cannot be read: %s", n + 1, reason());
    else if (n == 0)
        bad = why_text(why, "there is no certificate in it; it begins with -----BEGIN CERTIFICATE");
    else if (n > PEM_CERTS_MAX)
        bad = why_text(why, "%d certificates are more than %d", n, PEM_CERTS_MAX);
    BIO_free(in);
    if (!bad)
        return all;
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

STACK_OF(X509_CRL) * pem_crls(struct str text, struct why *why) {
    BIO *in = reader(text, PEM_CRL_BYTES_MAX, why);
    if (!in)
        return NULL;
    STACK_OF(X509_CRL) *all = sk_X509_CRL_new_null();
    must(all);
    ERR_clear_error();
    for (X509_CRL *one; (one = PEM_read_bio_X509_CRL(in, NULL, no_password, NULL));)
        must(sk_X509_CRL_push(all, one) > 0);
    int n = sk_X509_CRL_num(all), bad = 0;
    if (!at_end())
        bad = why_text(why, "list %d of revoked certificates cannot be read: %s", n + 1, reason());
    else if (n == 0)
        bad = why_text(why, "there is no list of revoked certificates in it; it begins with "
                            "-----BEGIN X509 CRL");
    else if (n > PEM_CRLS_MAX)
        bad = why_text(why, "%d lists of revoked certificates are more than %d", n, PEM_CRLS_MAX);
    BIO_free(in);
    if (!bad)
        return all;
    sk_X509_CRL_pop_free(all, X509_CRL_free);
    return NULL;
}

EVP_PKEY *pem_key(struct str text, struct why *why) {
    BIO *in = reader(text, PEM_BYTES_MAX, why);
    if (!in)
        return NULL;
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
    if (!key)
        why_text(why, "the private key cannot be read: %s", reason());
    BIO_free(in);
    return key;
}

static void put(struct out *o, BIO *from) {
    char *p;
    long n = BIO_get_mem_data(from, &p);
    out_bytes(o, p, (size_t)n);
    BIO_free(from);
}

void pem_put_cert(struct out *o, X509 *cert) {
    BIO *to = BIO_new(BIO_s_mem());
    must(to && PEM_write_bio_X509(to, cert) == 1);
    put(o, to);
}

void pem_put_key(struct out *o, EVP_PKEY *key) {
    BIO *to = BIO_new(BIO_s_secmem());
    must(to && PEM_write_bio_PKCS8PrivateKey(to, key, NULL, NULL, 0, NULL, NULL) == 1);
    put(o, to);
}
