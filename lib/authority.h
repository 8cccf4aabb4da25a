/* SPDX-License-Identifier: Apache-2.0
 *
 * authority: whom a listener believes when clients show certificates: authorities, and lists of
 * what they have revoked (RFC 5280). Both ends read them so: the controller to say what is wrong,
 * the proxy to go by them.
 *
 *     client's leaf ─ issued by ─► intermediate ─ issued by ─► one of the bundle: the end
 *        │ not on the list of        │ not on the list of
 *        └ its issuer                └ its issuer
 *
 * With lists every certificate of the chain but the last needs the current one of its issuer: what
 * cannot be asked about is refused. The last one is believed because it is in the bundle, whether
 * it has signed itself or not.
 */
#ifndef SLUICE_LIB_AUTHORITY_H
#define SLUICE_LIB_AUTHORITY_H

#include "lib/why.h"

#include <openssl/x509_vfy.h>

struct authority {
    X509_STORE *store;
    STACK_OF(X509_NAME) * names; /* what clients are told, so that they can choose */
    uint64_t until;              /* when the first of the lists ends; UINT64_MAX: never */
};

/* PEM; crl.n == 0: nothing is revoked. -1 with *why: also of a certificate that may not sign. */
int authority_load(struct authority *a, struct str ca, struct str crl, struct why *why) MUST_USE;
void authority_fini(struct authority *a); /* empty afterwards */

/* Whether an error of a verification (X509_V_ERR_*) says that the chain ends at nobody who is
 * believed, and nothing worse. */
bool authority_is_unknown(int error);

#endif
