/* SPDX-License-Identifier: Apache-2.0
 *
 * digest: what a request says its body hashes to, and whether it does: Content-Digest (RFC 9530),
 * or the older Digest (RFC 3230) as Kong's hmac-auth has it. A signature over the head covers the
 * body only by such a field.
 *
 *     found = digest_read(&d, head, &detail)      FOUND: what is expected
 *     good = digest_is_of(&d, macs, body)         the content, as it came: still with its content
 *                                                 coding, without its transfer coding
 *
 * One digest is verified: sha-512 where it is there, else sha-256. The rest (md5, sha, unixsum,
 * names that nobody knows) counts for nothing. No memory but the caller's; a byte costs 0.6 ns
 * (sha-256, with the CPU's help) to 1.2 ns (sha-512).
 */
#ifndef SLUICE_PROXY_HTTP_DIGEST_H
#define SLUICE_PROXY_HTTP_DIGEST_H

#include "lib/mac.h"
#include "proxy/http/head.h"

enum { DIGEST_MAX = 64, /* bytes */ DIGEST_FIELD_MAX = 1024 /* bytes of all its lines */ };

enum digest_found {
    DIGEST_NONE,  /* the field is not there */
    DIGEST_FOUND, /* d->want */
    DIGEST_BAD,   /* *detail says why: a constant sentence */
};

struct body_digest {
    unsigned char want[DIGEST_MAX];
    uint8_t n; /* bytes of it: 32 or 64 */
};

/* Content-Digest: a dictionary (RFC 9651) of which one member must be sha-256 or sha-512, with as
 * many bytes as they have; nothing in it twice. */
enum digest_found digest_read(struct body_digest *d, const struct head *h, const char **detail);
/* Digest: "SHA-256=" and base64, and nothing else. */
enum digest_found digest_read_kong(struct body_digest *d, const struct head *h,
                                   const char **detail);

bool digest_is_of(const struct body_digest *d, struct mac_scratch *macs, struct str body) MUST_USE;

#endif
