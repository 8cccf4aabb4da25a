/* SPDX-License-Identifier: Apache-2.0
 *
 * mac: HMAC (RFC 2104) with a named hash, as signatures of requests carry it.
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
size_t mac_size(enum mac m);    /* bytes */
enum mac mac_of_size(size_t n); /* the one of SHA-2 with so many bytes, or MAC_NONE */

/* Room to work in, of one thread; what is made there costs no memory. */
struct mac_scratch;
struct mac_scratch *mac_scratch_new(void);
void mac_scratch_free(struct mac_scratch *s); /* NULL is fine */

/* Whether `tag` is the one of `text`. Of constant time in their bytes; false when lengths differ.
 */
bool mac_verify(struct mac_scratch *s, enum mac m, struct str secret, struct str text,
                struct str tag) MUST_USE;
/* The hash of that HMAC, alone; mac_size() bytes. */
void mac_hash(struct mac_scratch *s, enum mac m, struct str text, unsigned char made[MAC_MAX]);

#endif
