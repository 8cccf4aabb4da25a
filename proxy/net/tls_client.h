/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_client: TLS as the transport of a connection that we make: what conn.h and tls.h say holds,
 * and connected() comes when the handshake is done, so that nothing is sent to who is not the one.
 *
 *     connect ─► ClientHello ─► certificate ─► its chain, its names ─► connected(): tls_protocol()
 *                (name, ALPN,        │                                      │
 *                 a session)         └ no ─► alert, broken(CONN_INSECURE)   └ later: sessions
 *                                            tls_client_words(): why            ─► tls_memory
 *
 *     tls_client    what is asked for, expected and shown. One per worker and configuration
 *     tls_memory    the last session that one peer gave, to resume it. Only ever used again with
 *                   an equal client: a resumed handshake verifies nothing
 *
 * At least once in TLS_MEMORY_S seconds a peer is verified anew. The worker's thread.
 */
#ifndef SLUICE_PROXY_NET_TLS_CLIENT_H
#define SLUICE_PROXY_NET_TLS_CLIENT_H

#include "proxy/net/tls.h"

enum {
    TLS_MEMORY_S = 3600,        /* since the last handshake that verified */
    TLS_MEMORY_BYTES = 8 << 10, /* a session that is larger is not kept */
};

struct tls_client_policy {
    uint16_t min_version;  /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char *protocols; /* ALPN, as in struct tls_policy; NULL: none is offered */
    struct str name;       /* that is asked for (SNI); n == 0: none */
    /* One of these must be in the certificate's subjectAltName. DNS names are exact, or
     * *.example.com for any one label; URIs are exact, or their beginning and "*". */
    const struct str *hosts, *uris;
    uint32_t n_hosts, n_uris;
    X509_STORE *authorities;    /* counted in; NULL: whoever answers is believed */
    const struct keypair *pair; /* shown to who asks for one; may go at once. NULL: none */
};

struct tls_client;

/* Copies what it needs. NULL with why->text when the pair cannot be used. */
struct tls_client *tls_client_new(const struct tls_client_policy *p, struct why *why);
/* Connections that it has begun go on. NULL is fine. */
void tls_client_free(struct tls_client *k);

struct tls_memory { /* all zero: nothing is known */
    void *session;  /* DER; NULL: none */
    uint32_t n;
    uint64_t verified_ms; /* of the loop's clock: the handshake that it goes back to */
};
void tls_memory_fini(struct tls_memory *m);

/* As conn_connect. connected() is told when the handshake is done; broken() with CONN_INSECURE when
 * it failed. memory outlives the connection; NULL: no session is resumed or kept. */
int conn_connect_secure(struct conn *c, struct loop *l, const struct addr *to,
                        const struct conn_ops *ops, struct tls_client *k,
                        struct tls_memory *memory) MUST_USE;

/* Why the last handshake or read of this thread's that failed has failed, in words that can be
 * shown: from inside of broken(), and after IO_FAIL with EPROTO. */
const char *tls_client_words(void);
/* The owner's own reason, for them: what was agreed on is not what it needs. A constant. */
void tls_client_blame(const char *words);
/* Whether the handshake resumed a session. */
bool tls_client_resumed(const struct conn *c);

#endif
