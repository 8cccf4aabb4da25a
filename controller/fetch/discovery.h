/* SPDX-License-Identifier: Apache-2.0
 *
 * discovery: what a discovery document (OpenID Connect Discovery 1.0 section 3, RFC 8414) says of
 * where an issuer's keys are. Foreign bytes; pure.
 */
#ifndef SLUICE_CONTROLLER_FETCH_DISCOVERY_H
#define SLUICE_CONTROLLER_FETCH_DISCOVERY_H

#include "lib/arena.h"
#include "lib/why.h"

/* The address of the key set, written to *uri. The document must name that very issuer (section
 * 4.3), or another one could sign in its name. -1 with why->text. */
int discovery_read(struct str document, struct str issuer, struct out *uri,
                   struct why *why) MUST_USE;

/* Where a login goes through (section 3). */
struct discovery {
    struct str authorization, token; /* https, always there */
    struct str end_session; /* RP-Initiated Logout 1.0 section 2.1; n == 0: there is none */
};
/* Strings in `a`. -1 with why->text: also when it says that it has no code flow. */
int discovery_login(struct discovery *d, struct arena *a, struct str document, struct str issuer,
                    struct why *why) MUST_USE;

#endif
