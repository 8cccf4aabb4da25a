/* SPDX-License-Identifier: Apache-2.0
 *
 * pki: certificates that the controller makes itself: a CA and what it signs. ECDSA on P-256,
 * serial numbers from the kernel, valid from five minutes ago because clocks differ.
 *
 *     CA     "Sluice link CA 3f9c..."   signs certificates, and no further CA
 *     leaf   of a CA                    serves TLS under its names, and nothing else
 *
 * Times are Unix seconds, so that tests choose them. No state, no I/O, any thread.
 */
#ifndef SLUICE_CONTROLLER_TRUST_PKI_H
#define SLUICE_CONTROLLER_TRUST_PKI_H

#include "lib/pem.h"

enum { PKI_BACKDATE_S = 300 };

struct pki_pair {
    X509 *cert; /* NULL: there is none */
    EVP_PKEY *key;
};

struct pki_pair pki_ca(int64_t now, int64_t seconds);
/* names: of DNS, or addresses; at least one. */
struct pki_pair pki_leaf(const struct pki_pair *ca, int64_t now, int64_t seconds,
                         const char *const *names, size_t n);
void pki_fini(struct pki_pair *p); /* empty afterwards */

/* From PEM: the first certificate of cert, and its key. -1 with *why; *p is then empty. */
int pki_read(struct pki_pair *p, struct str cert, struct str key, struct why *why) MUST_USE;

int64_t pki_not_before(const X509 *cert);
int64_t pki_not_after(const X509 *cert);
/* Whether two thirds of its life are over: it is to be renewed. */
bool pki_is_due(const X509 *cert, int64_t now);
bool pki_signed_by(X509 *cert, X509 *ca);
bool pki_has_names(X509 *cert, const char *const *names, size_t n);

#endif
