/* SPDX-License-Identifier: Apache-2.0
 *
 * secure: which certificates a client is shown. It joins the handshakes of net/tls with the law:
 *
 *     ClientHello ─ named() ─► snapshot_certificates(listener, name) ─ none ─► unrecognized_name
 *                 ─ show()  ─► DER ─► parsed pairs, a bounded cache by slot ─► handshake
 *     request     ─────────► secure_serves(host): else 421 (S26, S38)
 *
 * A certificate that changes is another `version` of its slot: the next handshake parses it,
 * connections that stand are not touched. One of these for each worker, its thread alone.
 */
#ifndef SLUICE_PROXY_SESSION_SECURE_H
#define SLUICE_PROXY_SESSION_SECURE_H

#include "proxy/net/tls.h"
#include "proxy/route/snapshot.h"

struct secure;
struct visitor;

/* Pairs are kept parsed, about 7 kB each: a sixteenth of what the worker's buffers may take, within
 * these bounds. */
enum { SECURE_PAIRS_LEAST = 1024, SECURE_PAIRS_MOST = 16384, SECURE_PAIR_BYTES = 7168 };

struct secure_counts {       /* of handshakes; relaxed */
    uint64_t done, resumed;  /* whole ones; from a ticket */
    uint64_t no_certificate; /* the name is nobody's here, or its certificate is not there */
    uint64_t client_refused; /* its certificate is not there, or none that is believed */
    uint64_t timeout;
    uint64_t shed;   /* too many at once: one that has waited long, or the last one */
    uint64_t failed; /* everything else: the client went, no common version, garbage */
};

struct secure *secure_new(struct loop *l);
void secure_free(struct secure *s); /* after the last connection */

/* From now on handshakes go by it. It must stay until another one is adopted. */
void secure_adopt(struct secure *s, const struct snapshot *law);
/* What new connections to a listener's port speak; NULL: no TLS. */
struct tls_server *secure_server(const struct secure *s, uint16_t port);
/* The handshake took too long; its connection ends. */
void secure_timeout(struct secure *s, const struct visitor *by);
/* There are too many; by NULL: one that did not begin. */
void secure_shed(struct secure *s, const struct visitor *by);
void secure_broken(struct secure *s, const struct visitor *by); /* it ended in the middle of it */
/* Whether a request on a secured connection may ask for a host (lower case; n == 0: for none): the
 * client has named it in the handshake, or was shown a certificate that is that host's too. */
bool secure_serves(const struct secure *s, const struct visitor *by, struct str host);

struct secure_counts secure_counts(const struct secure *s); /* any thread */

#endif
