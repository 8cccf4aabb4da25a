/* SPDX-License-Identifier: Apache-2.0
 *
 * badge: certificates that clients have shown, and the memory of what was found out about them. To
 * read one and to verify its chain costs a hundred times what all else costs, and a connection has
 * the same one for all of its requests:
 *
 *     SHA-256 of its DER ─► struct badge ─► its names, as Consumers are found by them
 *                               │
 *                               └ judged: terms (authorities and lists), whether it meets them,
 *                                         until when that counts
 *
 * What was verified counts until the first certificate of its chain, or the first list of its
 * terms, ends; after that, and under other terms, it is verified anew. What was refused is refused
 * for some seconds more, as long as the same certificates are shown with it: nobody can make a
 * worker verify with each request. The one that was not shown for the longest time goes when there
 * are too many. A worker's own.
 */
#ifndef SLUICE_PROXY_AUTH_BADGE_H
#define SLUICE_PROXY_AUTH_BADGE_H

#include "lib/credential.h"
#include "proxy/net/tls.h"
#include "proxy/route/snapshot.h"

enum {
    BADGES_MAX = 4096,          /* of one worker */
    BADGES_BYTES_MAX = 8 << 20, /* that they take */
    BADGE_NAMES_MAX = 64,       /* of one; further ones count as absent */
    BADGE_NAME_MAX = 512,       /* bytes; a longer name counts as absent */
    BADGE_DER_MAX = 8192,       /* bytes of it, or of those shown with it, for a header */
    BADGE_REFUSED_S = 10,       /* what was refused is so long */
};

enum badge_kind { BADGE_HOST, BADGE_URI, BADGE_MAIL };
struct badge_name {
    enum badge_kind kind;
    struct str text; /* printable ASCII without spaces; of a host, and behind an @, in lower case */
    char digest[CREDENTIAL_DIGEST];
};

struct badge;
struct badges;

struct badges *badges_new(void);
void badges_free(struct badges *all); /* NULL is fine */
size_t badges_count(const struct badges *all);
uint64_t badges_verified(const struct badges *all); /* chains, ever */

/* What is known of it. NULL: it cannot be read, or there is no memory. Good until the next call. */
struct badge *badge_of(struct badges *all, const struct tls_peer *p,
                       struct credential_scratch *scratch);

enum badge_told {
    BADGE_GOOD,
    BADGE_STRANGER, /* of none of these authorities */
    BADGE_BAD,      /* expired, revoked, not for clients, or nobody can tell */
};
/* Whether it is valid now (seconds since 1970); else *why is a sentence, a constant. */
bool badge_is_current(const struct badge *b, int64_t now, const char **why);
/* Whether it meets the terms now; else *why is a sentence, a constant. */
enum badge_told badge_meets(struct badges *all, struct badge *b, const struct tls_peer *p,
                            const struct terms *t, int64_t now, const char **why);

/* Its names of the subjectAltName that can be compared, in their order. */
const struct badge_name *badge_names(const struct badge *b, uint32_t *n);
struct str badge_common_name(const struct badge *b); /* n == 0: none, or more than one */
const char *badge_common_name_digest(const struct badge *b);
const char *badge_fingerprint_digest(const struct badge *b);
/* Client-Cert, and Client-Cert-Chain if others were shown with it of which each has signed the one
 * before (RFC 9440 2), with their ends of lines. n == 0: they are too large.
 * Good until the next call. */
struct str badge_fields(struct badges *all, struct badge *b, const struct tls_peer *p);

#endif
