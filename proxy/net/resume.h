/* SPDX-License-Identifier: Apache-2.0
 *
 * resume: session tickets of one listener (RFC 5077, RFC 8446 2.2). A ticket is the whole session,
 * sealed with AES-256-CBC and HMAC-SHA256; nothing is kept here.
 *
 *     secret of the fleet ─┐
 *                          ├─ HKDF ─► name, key of the cipher, key of the MAC
 *     scope of the server ─┘
 *
 * So a ticket of another listener, or of this one with another policy on client certificates, is
 * none here (S38): nobody needs to look at it. In it stands beside the session what it was for: the
 * name that the client asked for, the mark of the certificate that it was shown, when it was
 * authenticated, and the intermediates that the client has shown beside its own certificate (which
 * OpenSSL puts there itself): with them a policy can judge it anew. One for another name, one whose
 * first handshake is a day old, one of a client whose certificate or whose list of revoked ones has
 * ended, and one with more than RESUME_OTHERS_MAX bytes of intermediates, are not resumed: there is
 * a full handshake instead.
 *
 * TLS 1.3 resumes with a new key exchange alone. Belongs to an SSL_CTX and goes with it.
 */
#ifndef SLUICE_PROXY_NET_RESUME_H
#define SLUICE_PROXY_NET_RESUME_H

#include "lib/model.h"

#include <openssl/ssl.h>

enum {
    RESUME_SCOPE = 32,        /* bytes; SSL_MAX_SID_CTX_LENGTH */
    RESUME_AGE_MAX_S = 86400, /* since the handshake that has authenticated both */
    RESUME_OTHERS_MAX = 8192, /* bytes of intermediates in a ticket */
};

struct resume;

/* The SSL_CTX resumes from now on, when there are keys. until: then what clients were judged by is
 * over; mark: of the certificate that a handshake, near its end, has shown. */
struct resume *resume_new(SSL_CTX *x, const unsigned char scope[RESUME_SCOPE], uint64_t until,
                          uint64_t (*mark)(const SSL *ssl)) __attribute__((returns_nonnull));
/* k: copied; NULL: there are none, and no further tickets. */
void resume_keys(struct resume *r, const struct model_ticket_keys *k);
/* Before the handshake: a ticket is given if there is a key that seals. r NULL: none is. */
void resume_offer(struct resume *r, SSL *ssl);
/* After it: whether a session was resumed; then the mark that its ticket bore. */
bool resume_mark(SSL *ssl, uint64_t *mark);
/* Of a resumed one: the intermediates in its ticket, the caller's; NULL: none. */
STACK_OF(X509) * resume_others(SSL *ssl);
/* The last call: what only tickets and the two above need goes. */
void resume_end(SSL *ssl);

#endif
