/* SPDX-License-Identifier: Apache-2.0
 *
 * digest: what a request says its body hashes to, and whether it does: Content-Digest (RFC 9530),
 * or the older Digest (RFC 3230) as Kong's hmac-auth has it. A signature over the head covers the
 * body only by such a field.
 *
 *     found = digest_read(&d, head, &detail)      FOUND: what is expected
 *     digest_begin(&d)                            memory that must be given back:
 *     digest_update(&d, piece) ...                the content, as it came: still with its content
 *                                                 coding, without its transfer coding
 *     good = digest_end(&d)   or   digest_drop(&d)
 *
 * One digest is verified: sha-512 where it is there, else sha-256. The rest (md5, sha, unixsum,
 * names that nobody knows) counts for nothing. A worker's thread; a byte costs 0.6 ns (sha-256,
 * with the CPU's help) to 1.2 ns (sha-512).
 */
#ifndef SLUICE_PROXY_HTTP_DIGEST_H
#define SLUICE_PROXY_HTTP_DIGEST_H

#include "proxy/http/head.h"

enum { DIGEST_MAX = 64, /* bytes */ DIGEST_FIELD_MAX = 1024 /* bytes of all its lines */ };

enum digest_found {
    DIGEST_NONE,  /* the field is not there */
    DIGEST_FOUND, /* d->want */
    DIGEST_BAD,   /* *detail says why: a constant sentence */
};

struct digest {
    unsigned char want[DIGEST_MAX];
    uint8_t n;     /* bytes of it: 32 or 64 */
    void *running; /* NULL: not begun */
};

/* Content-Digest: a dictionary (RFC 9651) of which one member must be sha-256 or sha-512, with as
 * many bytes as they have; nothing in it twice. */
enum digest_found digest_read(struct digest *d, const struct head *h, const char **detail);
/* Digest: "SHA-256=" and base64, and nothing else. */
enum digest_found digest_read_kong(struct digest *d, const struct head *h, const char **detail);

/* False: no memory; the request cannot go on. */
bool digest_begin(struct digest *d) MUST_USE;
void digest_update(struct digest *d, struct str piece);
/* All has come: whether it is what was expected. Gives the memory back. */
bool digest_end(struct digest *d) MUST_USE;
void digest_drop(struct digest *d); /* harmless when it is not begun */

#endif
