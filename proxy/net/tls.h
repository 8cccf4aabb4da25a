/* SPDX-License-Identifier: Apache-2.0
 *
 * tls: TLS as the transport of an accepted connection (OpenSSL 3). What conn.h says of a plain
 * connection holds for a secured one too; the difference is below its buffers.
 *
 *     socket ──recv──► OpenSSL reads ahead ──► in            one recv a request
 *     socket ◄─send─── sealed ◄── records ◄── out, lent      one record and one send an answer
 *
 * Reading: OpenSSL asks our BIO for as much as there is; with a short recv the socket is known to
 * be empty and is not asked again. Writing: what is to be sent, own bytes and lent ones together,
 * is sealed into records of up to 16 kB which are gathered in one buffer (`sealed`) and leave with
 * one send. Lent bytes are free as soon as they are sealed. What the peer does not take stays in
 * `sealed`; nothing more is sealed until it is gone, so a slow peer costs one buffer. All of these
 * buffers are slabs that exist while they hold bytes; OpenSSL's own go with
 * SSL_MODE_RELEASE_BUFFERS.
 *
 * The handshake is driven by the events of the connection; conn_ops->secured() tells its end. A
 * handshake that fails leaves a plain connection with the alert in `out` and is told by broken()
 * with CONN_INSECURE: the owner sends what is there and closes.
 *
 *     tls_server    a listener's policy: versions, suites, protocols. One per worker, so that
 * threads share no count of references tls_server_ops  names and certificates: the owner knows them
 *
 * No renegotiation, no compression, no early data, no session cache: what resumes is in tickets
 * (resume.h). The worker's thread.
 */
#ifndef SLUICE_PROXY_NET_TLS_H
#define SLUICE_PROXY_NET_TLS_H

#include "lib/keypair.h"
#include "proxy/net/conn.h"
#include "proxy/net/resume.h"

/* First of all that a program does with OpenSSL: from then on the buffers of its records, which
 * come and go with every request, are the last ones that were given back, still warm. */
void tls_begin(void);

struct tls_server;

/* Equal policies make equal servers. */
struct tls_policy {
    uint16_t min_version; /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char
        *protocols; /* ALPN, as on the wire ("\x08http/1.1"), the preferred first; constant */
    bool tickets;   /* sessions resume, as long as there are keys */
    enum {
        TLS_CLIENTS_UNASKED,
        TLS_CLIENTS_REQUESTED, /* whatever they show is taken, and judged by nobody here */
        TLS_CLIENTS_OPTIONAL,
        TLS_CLIENTS_REQUIRED,
    } clients;
    struct str client_ca, client_crl; /* see lib/authority.h; good; not kept; of the last two */
    /* Tickets are good where this is the same: hash of the listener and of what it asks of
     * clients. */
    unsigned char scope[RESUME_SCOPE];
};

struct tls_server_ops {
    void *arg;
    /* The client has said whom it wants: lower case, without a last dot; n == 0: it has not, or it
     * is no host name. False: nobody here, it is told unrecognized_name. */
    bool (*named)(void *arg, struct conn *c, struct str name);
    /* It needs certificates: tls_show() as many as there are; false: there are none. Not called
     * when a session is resumed. */
    bool (*show)(void *arg, struct conn *c, struct str name);
    /* The OCSP response that is shown beside it, in DER; n == 0: none. */
    struct str (*staple)(void *arg, const struct conn *c);
    /* Of the certificate that was shown, for the ticket. */
    uint64_t (*mark)(void *arg, const struct conn *c);
    /* The handshake is over; reason: OpenSSL's words for why it failed, NULL: it did not. */
    void (*over)(void *arg, struct conn *c, const char *reason);
};

/* ops outlives every connection. */
struct tls_server *tls_server_new(const struct tls_policy *p, const struct tls_server_ops *ops)
    __attribute__((returns_nonnull));
/* Keys of tickets from now on; NULL: none. Copied. */
void tls_server_keys(struct tls_server *s, const struct model_ticket_keys *keys);
/* Connections that it has begun go on. NULL is fine. */
void tls_server_free(struct tls_server *s);

/* As conn_init, for a client that will speak TLS. ENOMEM is possible. */
int conn_init_secure(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops,
                     struct tls_server *server) MUST_USE;

/* From inside show(). The client gets the first pair of each type of key (RSA, ECDSA, Ed25519) that
 * it can use; a pair is counted in by OpenSSL and may go at once. */
void tls_show(struct conn *c, const struct keypair *k);

/* From inside over(), of one that failed: because of the client's certificate, or for want of it.
 */
bool tls_client_refused(const struct conn *c);

/* ---- of a secured connection; of a plain one they are empty ---- */

bool tls_asked_for(const struct conn *c, struct str host); /* whether the client named that host */
struct str tls_protocol(const struct conn *c);             /* negotiated by ALPN; n == 0: none */
struct str tls_version(const struct conn *c);              /* "1.2", "1.3" */
/* From inside over(): whether a session was resumed; then the mark in its ticket. */
bool tls_resumed(const struct conn *c, uint64_t *mark);
X509 *tls_shown(const struct conn *c); /* the leaf that was shown; NULL: a session resumed */

/* The certificate that the client has shown, in this handshake or in the one whose session it
 * resumes. It has the key of it, and was good for the listener then, where that judges them. Lives
 * as long as the connection. */
enum { TLS_FINGERPRINT = 32 };
struct tls_peer {
    unsigned char fingerprint[TLS_FINGERPRINT]; /* SHA-256 of its DER */
    unsigned char chain[TLS_FINGERPRINT];       /* likewise of `others`; zeros: none */
    X509 *leaf;
    STACK_OF(X509) * others; /* that were shown with it, believed by nobody; NULL: none */
};
const struct tls_peer *tls_peer(const struct conn *c); /* NULL: it has shown none; c may be plain */

#endif
