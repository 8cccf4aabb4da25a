/* SPDX-License-Identifier: Apache-2.0
 *
 * keypair: a certificate object of the model (chain and key in DER, see certificate.h) as OpenSSL
 * wants it for a handshake. Whoever parses one uses it on its own thread alone: reference counts
 * that threads share cost more than parsing.
 */
#ifndef SLUICE_LIB_KEYPAIR_H
#define SLUICE_LIB_KEYPAIR_H

#include "lib/why.h"

#include <openssl/ssl.h>

struct keypair {
    X509 *leaf;
    STACK_OF(X509) * chain; /* what stands behind the leaf; never NULL */
    EVP_PKEY *key;
};

/* chain: each certificate with four bytes of its length, leaf first; key: PKCS #8. -1 with
 * why->text: something cannot be read, or the key is not the leaf's. */
int keypair_load(struct keypair *k, struct str chain, struct str key, struct why *why) MUST_USE;
void keypair_free(struct keypair *k); /* what it holds */

#endif
