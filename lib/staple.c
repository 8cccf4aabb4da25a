/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/staple.h"

#include "lib/certificate.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <time.h>

struct look {
    X509 *leaf, *issuer;
    OCSP_RESPONSE *response;
    OCSP_BASICRESP *basic;
};

static int fail(struct why *why, const char *words) {
    ERR_clear_error();
    why_text(why, "%s", words);
    return -1;
}

static X509 *next_of(struct str *chain) {
    struct str der;
    if (!certificate_next(chain, &der))
        return NULL;
    const unsigned char *p = (const unsigned char *)der.p;
    return d2i_X509(NULL, &p, (long)der.n);
}

static OCSP_RESPONSE *parse(struct str der) {
    const unsigned char *p = (const unsigned char *)der.p, *end = p + der.n;
    OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &p, (long)der.n);
    if (r != NULL && p != end) {
        OCSP_RESPONSE_free(r);
        r = NULL;
    }
    return r;
}

/* Whether that is what it says something of: its issuer's hashes, by whichever digest, and serial.
 */
static bool is_about(const struct look *l, OCSP_SINGLERESP *single) {
    OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single), *ours;
    ASN1_OBJECT *digest;
    if (OCSP_id_get0_info(NULL, &digest, NULL, NULL, id) != 1)
        return false;
    const EVP_MD *md = EVP_get_digestbyobj(digest);
    ours = md != NULL ? OCSP_cert_to_id(md, l->leaf, l->issuer) : NULL;
    bool same = ours != NULL && OCSP_id_cmp(ours, id) == 0;
    OCSP_CERTID_free(ours);
    return same;
}

static bool is_signed(const struct look *l) {
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *chain = sk_X509_new_null();
    bool good = store != NULL && chain != NULL && X509_STORE_add_cert(store, l->issuer) == 1 &&
                X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
                sk_X509_push(chain, l->issuer) > 0 &&
                OCSP_basic_verify(l->basic, chain, store, 0) == 1;
    sk_X509_free(chain);
    X509_STORE_free(store);
    return good;
}

static bool seconds_of(const ASN1_GENERALIZEDTIME *t, uint64_t *to) {
    struct tm tm;
    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    time_t seconds = timegm(&tm);
    *to = (uint64_t)seconds;
    return seconds > 0;
}

static int judge(struct look *l, struct staple *s, struct why *why) {
    if (OCSP_response_status(l->response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return fail(why, "it is no answer but an error of the responder");
    l->basic = OCSP_response_get1_basic(l->response);
    if (l->basic == NULL)
        return fail(why, "it is not an OCSP response of the basic type");
    for (int i = 0; i < OCSP_resp_count(l->basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(l->basic, i);
        ASN1_GENERALIZEDTIME *from, *until;
        int reason;
        if (!is_about(l, single))
            continue;
        int status = OCSP_single_get0_status(single, &reason, NULL, &from, &until);
        if (status != V_OCSP_CERTSTATUS_GOOD)
            return fail(why, status == V_OCSP_CERTSTATUS_REVOKED
                                 ? "it says that the certificate was revoked"
                                 : "it says that the certificate is not known");
        if (!seconds_of(from, &s->from) || !seconds_of(until, &s->until))
            return fail(why, "it does not say until when it holds (nextUpdate)");
        return is_signed(l) ? 0 : fail(why, "the issuer of the certificate has not signed it");
    }
    return fail(why, "it is about another certificate");
}

int staple_read(struct str der, struct str chain, struct staple *s, struct why *why) {
    struct look l = {0};
    int rv = -1;
    if (der.n > STAPLE_MAX)
        return fail(why, "it is larger than 16 KiB");
    l.leaf = next_of(&chain);
    l.issuer = next_of(&chain);
    l.response = parse(der);
    if (l.response == NULL)
        fail(why, "it is not an OCSP response in DER");
    else if (l.leaf == NULL || l.issuer == NULL)
        fail(why, "tls.crt does not hold the issuer's certificate, which it is checked with");
    else
        rv = judge(&l, s, why);
    OCSP_BASICRESP_free(l.basic);
    OCSP_RESPONSE_free(l.response);
    X509_free(l.leaf);
    X509_free(l.issuer);
    return rv;
}
