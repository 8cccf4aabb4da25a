/* SPDX-License-Identifier: Apache-2.0
 *
 * keypair: a certificate object of the model (chain and key in DER, see certificate.h) as OpenSSL
 * wants it for a handshake. Whoever parses one uses it on its own thread alone: reference counts
 * that threads share cost more than parsing.
 *
 *     pair   leaf ── key                 an authority signs thousands of leaves: what stands behind
 *               └─ chain ──┐             them is parsed once for the pairs that are there together,
 *     pair   leaf ── key   ├──► issuer   90 us and 6 kB each
 *               └─ chain ──┘
 */
#ifndef SLUICE_LIB_KEYPAIR_H
#define SLUICE_LIB_KEYPAIR_H

#include "lib/why.h"

#include <openssl/ssl.h>

struct issuers;

enum { ISSUERS_KEPT = 32 }; /* certificates; of more the oldest goes */

struct issuers *issuers_new(void) __attribute__((returns_nonnull));
void issuers_free(struct issuers *s); /* pairs keep what they have; NULL is fine */

struct keypair {
    X509 *leaf;
    STACK_OF(X509) * chain; /* what stands behind the leaf; never NULL */
    EVP_PKEY *key;
};

/* chain: each certificate with four bytes of its length, leaf first; key: PKCS #8; issuers: of this
 * thread, NULL: nothing is shared. -1 with why->text: something cannot be read, or the key is not
 * the leaf's. */
int keypair_load(struct keypair *k, struct issuers *issuers, struct str chain, struct str key,
                 struct why *why) MUST_USE;
void keypair_free(struct keypair *k); /* what it holds */

/* A private key, PKCS #8 in DER. NULL: it cannot be read, and errors are left behind. */
EVP_PKEY *keypair_key(struct str der) MUST_USE;

#endif
