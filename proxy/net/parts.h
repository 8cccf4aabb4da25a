/* SPDX-License-Identifier: Apache-2.0
 *
 * parts: what conn.c, tls.c and tls_client.c know of each other; nobody else includes it.
 */
#ifndef SLUICE_PROXY_NET_PARTS_H
#define SLUICE_PROXY_NET_PARTS_H

#include "proxy/net/conn.h"

#include <openssl/ssl.h>

struct tls_peer; /* tls.h */

/* ---- conn.c ---- */

bool buf_take(struct conn *c, struct conn_buf *b, enum slab_size size);
bool buf_grow(struct conn *c, struct conn_buf *b, enum slab_size size); /* keeps what is unread */
void buf_give(struct conn *c, struct conn_buf *b);
enum slab_size buf_size_for(size_t n); /* the largest when none is large enough */
void conn_abandon(struct conn *c);     /* undoes conn_init; closes the descriptor */
/* Takes what was sent off; the number of lent bytes among it. */
static inline size_t conn_account(struct conn *c, size_t sent) {
    struct conn_buf *b = &c->out;
    size_t own = size_min(sent, b->end - b->at);
    b->at += (uint32_t)own;
    if (b->at == b->end)
        buf_give(c, b);
    sent -= own;
    size_t lent = size_min(sent, c->lent_n);
    c->lent += lent;
    c->lent_n -= lent;
    sent -= lent;
    c->after += sent;
    c->after_n = (uint8_t)(c->after_n - sent);
    return lent;
}

/* ---- tls.c; c->tls is there ---- */

struct tls {
    SSL *ssl;
    struct tls_peer *peer;  /* owned; NULL: no certificate was shown */
    struct conn_buf sealed; /* conn.sealed bytes of it */
    int err;                /* errno of the last recv that failed */
    uint8_t shown;          /* enum shown_kind */
    bool sealing;           /* records are gathered; who gathers them sends them */
    bool bidden;            /* close_notify was written */
    bool enough;            /* the turn's share was read */
};
static inline bool tls_is_client(const struct tls *t) { return !SSL_is_server(t->ssl); } /* we */

enum shake { SHAKE_DONE, SHAKE_CONNECTED, SHAKE_AGAIN, SHAKE_FAILED };

/* SHAKE_DONE: of an accepted connection, SHAKE_CONNECTED: of one that we have made. */
enum shake tls_shake(struct conn *c);
enum io tls_read(struct conn *c); /* as conn_read, into room that is there */
bool tls_peek(struct conn *c, bool *gone);
/* Seals and sends until all is gone or the peer takes no more. The lent bytes that are free; 0 or
 * an errno in *err. */
size_t tls_send(struct conn *c, int *err);
/* The connection ends. farewell: close_notify goes out if it can. */
void tls_end(struct conn *c, bool farewell);

/* Of both sides: suites, groups, no renegotiation, buffers that go when they are empty. */
void tls_set_up(SSL_CTX *x, uint16_t min_version);
BIO *tls_bio_new(void) __attribute__((returns_nonnull)); /* one for all connections of a context */
struct tls *tls_new(SSL_CTX *x, BIO *bio);               /* NULL: no memory */
struct conn *tls_conn_of(const SSL *ssl);                /* inside of OpenSSL's callbacks */

/* ---- tls_client.c ---- */

/* The handshake or a read failed for that reason of OpenSSL's, which may be NULL. */
void tls_client_failed(const struct conn *c, const char *words);

#endif
