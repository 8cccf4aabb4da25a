/* SPDX-License-Identifier: Apache-2.0
 *
 * mac: HMAC (RFC 2104) with a named hash, as signatures of requests carry it. No state, any thread.
 */
#ifndef SLUICE_LIB_MAC_H
#define SLUICE_LIB_MAC_H

#include "lib/str.h"

enum { MAC_MAX = 64 /* bytes of the longest */ };

enum mac {
    MAC_NONE, /* no name that is known here */
    MAC_SHA256,
    MAC_SHA384,
    MAC_SHA512,
    MAC_SHA1, /* for what others have signed already, where somebody has asked for it */
    MACS
};

/* "hmac-sha256" ... "hmac-sha1"; MAC_NONE for the rest. */
enum mac mac_named(struct str name);
struct str mac_name(enum mac m);
size_t mac_size(enum mac m); /* bytes */

/* Whether `tag` is the one of `text`. Of constant time in their bytes; false when lengths differ.
 */
bool mac_verify(enum mac m, struct str secret, struct str text, struct str tag) MUST_USE;

#endif
