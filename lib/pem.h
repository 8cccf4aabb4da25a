/* SPDX-License-Identifier: Apache-2.0
 *
 * pem: certificates and keys as text (RFC 7468), behind a door that takes only what it understands.
 * A bundle is certificates one after the other; text between them is skipped, as OpenSSL does, but
 * a block that is damaged, of another kind or protected by a password is refused.
 *
 * What is returned is the caller's, to be freed with OpenSSL's own functions. Any thread.
 */
#ifndef SLUICE_LIB_PEM_H
#define SLUICE_LIB_PEM_H

#include "lib/why.h"

#include <openssl/x509.h>

enum {
    PEM_BYTES_MAX = 256 << 10, /* of one text; more is refused */
    PEM_CERTS_MAX = 64,        /* of one bundle */
    PEM_CRLS_MAX = 64,
    PEM_CRL_BYTES_MAX = 1 << 20,
};

/* At least one certificate, in the order of the text. NULL with *why. */
STACK_OF(X509) * pem_certs(struct str text, struct why *why);
/* At least one list of revoked certificates, likewise. */
STACK_OF(X509_CRL) * pem_crls(struct str text, struct why *why);
/* The one private key. NULL with *why. */
EVP_PKEY *pem_key(struct str text, struct why *why);

void pem_put_cert(struct out *o, X509 *cert);
void pem_put_key(struct out *o, EVP_PKEY *key); /* PKCS #8, in the clear */

#endif
