/* SPDX-License-Identifier: Apache-2.0
 *
 * certificate: X.509 chains with their keys: from the PEM of a Secret to what the model carries,
 * and what people are told of one. Everything that is read here is foreign: bounded, checked,
 * refused with a sentence. No sentence shows anything of a key.
 *
 *     tls.crt ─┐
 *              ├─ certificate_read ─► chain (DER, leaf first), key (PKCS #8 DER), names, expiry
 *     tls.key ─┘                        │
 *                                       └─ certificate_next ─► certificate_describe, for people
 *
 * A chain is, for each certificate, four bytes of its length (big-endian) and its DER.
 */
#ifndef SLUICE_LIB_CERTIFICATE_H
#define SLUICE_LIB_CERTIFICATE_H

#include "lib/arena.h"
#include "lib/why.h"

enum { /* what is more is refused */
       CERTIFICATE_CHAIN_MAX = 16,
       CERTIFICATE_PEM_MAX = 1 << 20, /* bytes of tls.crt, and of tls.key */
       CERTIFICATE_NAMES_MAX = 1024,
       CERTIFICATE_RSA_MIN = 2048, /* bits */
       CERTIFICATE_RSA_MAX = 8192, /* beyond, one handshake costs 50 ms and more */
};

struct certificate {
    struct str chain, key;
    struct str *names; /* DNS names of the leaf's subjectAltName, lower case, each once, sorted */
    uint32_t n_names;
    uint64_t not_after; /* of the leaf; seconds since 1970 */
    uint32_t gap; /* certificate number 1.. whose next in the chain did not issue it; 0: none */
};

/* A pair that a server can show to clients: the leaf comes first, the key is the leaf's, RSA of
 * 2048 bits or more, ECDSA (P-256, P-384, P-521) or Ed25519, and the leaf may be used by a server.
 * All of *c is in the arena. -1 with why->text. Expiry is not judged: there is no clock here. */
int certificate_read(struct str pem_chain, struct str pem_key, struct arena *a,
                     struct certificate *c, struct why *why) MUST_USE;
/* The same of a pair that a client can show to servers. */
int certificate_read_client(struct str pem_chain, struct str pem_key, struct arena *a,
                            struct certificate *c, struct why *why) MUST_USE;

/* Whether one of the names stands for a hostname (RFC 9525 6.3: "*" is one whole label at the
 * left). The hostname "*.example.com" needs that very name. */
bool certificate_covers(const struct str *names, size_t n_names, struct str hostname);

/* The next DER of a chain; *rest begins as the chain. False at its end, or when it is cut. */
bool certificate_next(struct str *rest, struct str *der);

struct certificate_info {
    struct str subject, issuer; /* RFC 4514, at most 256 bytes, without controls */
    struct str key;             /* "RSA 2048", "ECDSA P-256", "Ed25519" */
    struct str *names;          /* as above */
    uint32_t n_names;
    uint64_t not_before, not_after;
};
/* -1 with why->text if it is not a certificate. */
int certificate_describe(struct str der, struct arena *a, struct certificate_info *info,
                         struct why *why) MUST_USE;

/* "2031-02-28", of seconds since 1970. */
struct str certificate_day(struct arena *a, uint64_t seconds);

#endif
