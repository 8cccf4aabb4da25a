/* SPDX-License-Identifier: Apache-2.0
 *
 * ws_tls: what lib/ws wants of OpenSSL. Both ends are this program, so there is one version of TLS,
 * 1.3, and nothing to choose.
 *
 *     leaf   certificate, its chain and key        a listener's SSL_CTX; handshakes from then on
 *     store  the CAs that a dialler believes       a dialler's SSL_CTX; handshakes from then on
 *
 * Both are made on the owner's thread, where what is wrong can be said, and used on the private
 * one; connections that are open keep what they began with.
 */
#ifndef SLUICE_LIB_WS_TLS_H
#define SLUICE_LIB_WS_TLS_H

#include "lib/why.h"

#include <openssl/ssl.h>

struct ws_leaf;

/* cert: the leaf, then its chain. NULL with *why: also when the key is another's. */
struct ws_leaf *ws_leaf_new(struct str cert, struct str key, struct why *why);
void ws_leaf_free(struct ws_leaf *l); /* NULL is fine */

/* The CAs of a bundle. NULL with *why. */
X509_STORE *ws_store_new(struct str pem, struct why *why);

/* What every context of ours is like, a listener's and a dialler's. */
void ws_tls_strict(SSL_CTX *ctx);
SSL_CTX *ws_tls_dialler(void); /* believes nobody yet */
void ws_tls_use_leaf(SSL_CTX *ctx, const struct ws_leaf *l);

/* NULL when the other end has shown a certificate of a CA that is believed, and for this name (or
 * address); else why not. To be asked before anything secret is said: it does not rest on how
 * libwebsockets has set the handshake up. */
const char *ws_tls_distrust(SSL *ssl, const char *name);

#endif
