/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/authority.h"

#include "lib/pem.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

static int add_authorities(struct authority *a, struct str pem, struct why *why) {
    STACK_OF(X509) *all = pem_certs(pem, why);
    int bad = all ? 0 : -1;
    for (int i = 0; !bad && i < sk_X509_num(all); i++) {
        X509 *x = sk_X509_value(all, i);
        if (X509_check_ca(x) == 0)
            bad = why_text(why, "certificate %d is no authority's: it may not sign others", i + 1);
        else if (X509_STORE_add_cert(a->store, x) != 1)
            bad = why_text(why, "certificate %d cannot be used", i + 1);
        else
            must(sk_X509_NAME_push(a->names, X509_NAME_dup(X509_get_subject_name(x))) > 0);
    }
    sk_X509_pop_free(all, X509_free);
    return bad;
}

static int note_end(struct authority *a, const X509_CRL *crl, int number, struct why *why) {
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    struct tm tm;
    if (!next)
        return 0;
    if (ASN1_TIME_to_tm(next, &tm) != 1)
        return why_text(why, "list %d of revoked certificates has no time that can be read",
                        number);
    int64_t end = timegm(&tm);
    uint64_t until = end > 0 ? (uint64_t)end : 0;
    a->until = until < a->until ? until : a->until;
    return 0;
}

static int add_revoked(struct authority *a, struct str pem, struct why *why) {
    STACK_OF(X509_CRL) *all = pem_crls(pem, why);
    int bad = all ? 0 : -1;
    for (int i = 0; !bad && i < sk_X509_CRL_num(all); i++) {
        X509_CRL *crl = sk_X509_CRL_value(all, i);
        bad = note_end(a, crl, i + 1, why);
        if (!bad && X509_STORE_add_crl(a->store, crl) != 1)
            bad = why_text(why, "list %d of revoked certificates cannot be used", i + 1);
    }
    sk_X509_CRL_pop_free(all, X509_CRL_free);
    return bad;
}

/* The end of the chain is not asked about: there may be nobody who has issued it. */
static int on_verify(int good, X509_STORE_CTX *x) {
    int error = X509_STORE_CTX_get_error(x), depth = X509_STORE_CTX_get_error_depth(x);
    bool last = depth > 0 && depth == sk_X509_num(X509_STORE_CTX_get0_chain(x)) - 1;
    if (good || !last ||
        (error != X509_V_ERR_UNABLE_TO_GET_CRL && error != X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER))
        return good;
    X509_STORE_CTX_set_error(x, X509_V_OK);
    return 1;
}

bool authority_is_unknown(int error) {
    return error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
           error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
           error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
}

int authority_load(struct authority *a, struct str ca, struct str crl, struct why *why) {
    *a = (struct authority){X509_STORE_new(), sk_X509_NAME_new_null(), UINT64_MAX};
    must(a->store && a->names);
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
    int bad = add_authorities(a, ca, why);
    if (!bad && crl.n > 0) {
        bad = add_revoked(a, crl, why);
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    }
    must(X509_STORE_set_flags(a->store, flags) == 1);
    X509_STORE_set_verify_cb(a->store, on_verify);
    ERR_clear_error();
    if (bad)
        authority_fini(a);
    return bad;
}

void authority_fini(struct authority *a) {
    X509_STORE_free(a->store);
    sk_X509_NAME_pop_free(a->names, X509_NAME_free);
    *a = (struct authority){0};
}
