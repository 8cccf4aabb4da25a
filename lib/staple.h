/* SPDX-License-Identifier: Apache-2.0
 *
 * staple: an OCSP response (RFC 6960) that a server shows beside its certificate, so that clients
 * need not ask whether it was revoked (RFC 6066 8). Whoever renews certificates puts it into the
 * Secret; what is taken here is looked at as strictly as a client would.
 */
#ifndef SLUICE_LIB_STAPLE_H
#define SLUICE_LIB_STAPLE_H

#include "lib/why.h"

enum { STAPLE_MAX = 16 << 10 }; /* bytes */

struct staple {
    uint64_t from, until; /* thisUpdate and nextUpdate, seconds since 1970 */
};

/* der says that the leaf of the chain (certificate.h) is good: signed by the certificate behind it,
 * or by one that this one has named for it. Whether it is current is for the caller to say. -1 with
 * why->text. */
int staple_read(struct str der, struct str chain, struct staple *s, struct why *why) MUST_USE;

#endif
