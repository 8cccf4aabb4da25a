/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/tls.h"

#include "lib/authority.h"
#include "lib/mem.h"
#include "proxy/net/parts.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <pthread.h>
#include <sys/socket.h>

enum {
    RECORD = 16384,            /* bytes of a full one */
    SEALED = SLAB_LARGE_BYTES, /* so many are sealed before they are sent */
    OVERHEAD = 64,             /* at most, of one record */
    NAME_MAX_BYTES = 255,
    CLIENT_CHAIN_MAX = 32 << 10, /* bytes of what a client shows */
    CLIENT_DEPTH_MAX = 8,
};

enum shown_kind { SHOWN_RSA = 1, SHOWN_ECDSA = 2, SHOWN_OTHER = 4 };

struct tls_server {
    SSL_CTX *context;
    BIO *bio;
    struct resume *resume; /* the context's; NULL: nothing is resumed */
};

/* ---- OpenSSL's buffers ---- */

/* What stands in for any size from BUFFER_MIN to BUFFER_MAX: records read and written, messages of
 * a handshake (21.8 kB: in the hole of one, small things would settle, and the next one would need
 * more of the heap). A worker has a few of them at most, since a connection that waits has none.
 * They begin at a page, which nearly nothing else does: a handshake frees 700 small things, whose
 * sizes need not be asked for. */
enum {
    BUFFER_MIN = 16 << 10,
    BUFFER_MAX = 24 << 10, /* pages */
    BUFFER_SLACK = 64,
    BUFFER_PAGE = 4096,
    BUFFERS_KEPT = 16
};

struct spare {
    unsigned n;
    void *buffer[BUFFERS_KEPT];
};

static _Thread_local struct spare spare;
static pthread_key_t spare_key; /* frees them when a thread ends */

static void free_spare(void *arg) {
    struct spare *s = arg;
    while (s->n > 0)
        free(s->buffer[--s->n]);
}

static void *buffer_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    if (n < BUFFER_MIN || n > BUFFER_MAX)
        return malloc(n);
    return spare.n > 0 ? spare.buffer[--spare.n] : aligned_alloc(BUFFER_PAGE, BUFFER_MAX);
}

static void *buffer_realloc(void *p, size_t n, const char *file, int line) {
    return p != NULL ? realloc(p, n) : buffer_malloc(n, file, line);
}

static void buffer_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    size_t n = (uintptr_t)p % BUFFER_PAGE == 0 && p != NULL ? malloc_usable_size(p) : 0;
    if (n < BUFFER_MAX || n > BUFFER_MAX + BUFFER_SLACK || spare.n == BUFFERS_KEPT) {
        free(p);
        return;
    }
    if (spare.n == 0)
        pthread_setspecific(spare_key, &spare);
    spare.buffer[spare.n++] = p;
}

void tls_begin(void) {
    must(pthread_key_create(&spare_key, free_spare) == 0);
    must(CRYPTO_set_mem_functions(buffer_malloc, buffer_realloc, buffer_free) == 1);
}

/* ---- the BIO: OpenSSL's way to the socket ----
 *
 * All connections of a server have the same one, which is told whose turn it is: 200 bytes less for
 * each. */

static BIO_METHOD *bio_method;

static int bio_read(BIO *bio, char *p, int n) {
    struct conn *c = BIO_get_data(bio);
    ssize_t got;
    BIO_clear_retry_flags(bio);
    c->tls->enough = c->turn_bytes >= CONN_TURN_BYTES;
    if (c->dry || c->tls->enough) {
        BIO_set_retry_read(bio);
        return -1;
    }
    do
        got = recv(c->fd, p, (size_t)n, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        c->turn_bytes += (uint32_t)got;
        c->dry = got < n && !c->hangup;
        return (int)got;
    }
    c->tls->err = got < 0 ? errno : ECONNRESET; /* an end without close_notify is none */
    if (got == 0)
        return 0;
    c->dry = errno == EAGAIN || errno == EWOULDBLOCK;
    if (c->dry)
        BIO_set_retry_read(bio);
    return -1;
}

static bool make_room(struct conn *c, struct conn_buf *b, size_t n) {
    if (b->p == NULL)
        return n <= SLAB_SEALED_BYTES && buf_take(c, b, buf_size_for(n));
    if (b->cap - b->end >= n)
        return true;
    size_t need = b->end - b->at + n;
    return need <= SLAB_SEALED_BYTES && buf_grow(c, b, buf_size_for(need));
}

/* It always takes all, so OpenSSL never has half a record. */
static int bio_write(BIO *bio, const char *p, int n) {
    struct conn *c = BIO_get_data(bio);
    struct conn_buf *b = &c->tls->sealed;
    BIO_clear_retry_flags(bio);
    if (n <= 0 || !make_room(c, b, (size_t)n))
        return -1;
    memcpy(b->p + b->end, p, (size_t)n);
    b->end += (uint32_t)n;
    c->sealed += (uint32_t)n;
    if (!c->tls->sealing)
        conn_talk(c);
    return n;
}

static long bio_ctrl(BIO *bio, int what, long n, void *p) {
    (void)bio, (void)n, (void)p;
    return what == BIO_CTRL_FLUSH;
}

static void make_method(void) {
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
    must(bio_method && BIO_meth_set_read(bio_method, bio_read) == 1 &&
         BIO_meth_set_write(bio_method, bio_write) == 1 &&
         BIO_meth_set_ctrl(bio_method, bio_ctrl) == 1);
}

/* Before OpenSSL is asked anything that may read or write. */
static SSL *enter(struct conn *c) {
    BIO_set_data(SSL_get_rbio(c->tls->ssl), c);
    return c->tls->ssl;
}

static const struct tls_server_ops *ops_of(const SSL *ssl) {
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

struct conn *tls_conn_of(const SSL *ssl) {
    return BIO_get_data(SSL_get_rbio(ssl));
}

BIO *tls_bio_new(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *bio = BIO_new(bio_method);
    must(bio);
    BIO_set_init(bio, 1);
    return bio;
}

/* ---- a listener's policy ---- */

/* The host that the client has named, as it wrote it, without a last dot. */
static struct str raw_name(const SSL *ssl) {
    const char *p = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t n = p != NULL ? strlen(p) : 0;
    if (n > 0 && p[n - 1] == '.')
        n--;
    return str_mk(p, n);
}

/* In lower case; OpenSSL lets none pass that is longer. */
static struct str name_of(const SSL *ssl, char room[NAME_MAX_BYTES]) {
    struct str raw = raw_name(ssl);
    must(raw.n <= NAME_MAX_BYTES);
    str_lower(room, raw);
    return str_mk(room, raw.n);
}

static int on_name(SSL *ssl, int *alert, void *arg) {
    struct conn *c = tls_conn_of(ssl);
    char room[NAME_MAX_BYTES];
    (void)arg;
    const struct tls_server_ops *ops = ops_of(ssl);
    if (ops->named(ops->arg, c, name_of(ssl, room)))
        return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_certificates(SSL *ssl, void *arg) {
    struct conn *c = tls_conn_of(ssl);
    char room[NAME_MAX_BYTES];
    (void)arg;
    const struct tls_server_ops *ops = ops_of(ssl);
    return ops->show(ops->arg, c, name_of(ssl, room)) && c->tls->shown != 0;
}

static int on_protocols(SSL *ssl, const unsigned char **to, unsigned char *to_n,
                        const unsigned char *from, unsigned from_n, void *arg) {
    const char *ours = arg;
    unsigned char *picked;
    (void)ssl;
    if (SSL_select_next_proto(&picked, to_n, (const unsigned char *)ours, (unsigned)strlen(ours),
                              from, from_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2: no_application_protocol */
    *to = picked;
    return SSL_TLSEXT_ERR_OK;
}

static uint64_t mark_of(const SSL *ssl) {
    const struct tls_server_ops *ops = ops_of(ssl);
    return ops->mark(ops->arg, tls_conn_of(ssl));
}

void tls_set_up(SSL_CTX *x, uint16_t min_version) {
    must(SSL_CTX_set_min_proto_version(x, min_version) == 1);
    must(SSL_CTX_set_cipher_list(x, "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20") == 1);
    must(SSL_CTX_set_ciphersuites(x, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                     "TLS_CHACHA20_POLY1305_SHA256") == 1);
    must(SSL_CTX_set1_sigalgs_list(x, "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:"
                                      "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
                                      "rsa_pss_pss_sha256:RSA+SHA256:RSA+SHA384:RSA+SHA512") == 1);
    must(SSL_CTX_set1_groups_list(x, "X25519:P-256:P-384") == 1);
    SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(x, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(x, 1);
}

/* RFC 6066 8: the client has asked for it. OpenSSL keeps a copy of its own, until over(). */
static int on_status(SSL *ssl, void *arg) {
    struct conn *c = tls_conn_of(ssl);
    const struct tls_server_ops *ops = ops_of(ssl);
    struct str der = ops->staple != NULL ? ops->staple(ops->arg, c) : STR_NONE;
    unsigned char *copy = der.n > 0 ? OPENSSL_memdup(der.p, der.n) : NULL;
    (void)arg;
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)der.n);
    return SSL_TLSEXT_ERR_OK;
}

static void set_up(SSL_CTX *x, const struct tls_policy *p) {
    tls_set_up(x, p->min_version);
    SSL_CTX_set_options(x, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_tlsext_servername_callback(x, on_name);
    SSL_CTX_set_cert_cb(x, on_certificates, NULL);
    SSL_CTX_set_tlsext_status_cb(x, on_status);
    SSL_CTX_set_alpn_select_cb(x, on_protocols, (void *)(uintptr_t)p->protocols);
}

/* Who asks decides. That the client has the key is proved by the handshake, as ever. */
static int on_request(X509_STORE_CTX *x, void *arg) {
    (void)arg;
    X509_STORE_CTX_set_error(x, X509_V_OK);
    return 1;
}

/* Until when clients can be judged so. */
static uint64_t ask_clients(SSL_CTX *x, const struct tls_policy *p) {
    struct authority a;
    struct why why = {0};
    if (p->clients == TLS_CLIENTS_UNASKED)
        return UINT64_MAX;
    SSL_CTX_set_max_cert_list(x, CLIENT_CHAIN_MAX);
    if (p->clients == TLS_CLIENTS_REQUESTED) {
        SSL_CTX_set_cert_verify_callback(x, on_request, NULL);
        SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);
        return UINT64_MAX;
    }
    must(authority_load(&a, p->client_ca, p->client_crl, &why) == 0); /* it could before */
    uint64_t until = a.until;
    must(SSL_CTX_set1_verify_cert_store(x, a.store) == 1);
    SSL_CTX_set_client_CA_list(x, a.names);
    a.names = NULL;
    authority_fini(&a);
    SSL_CTX_set_verify_depth(x, CLIENT_DEPTH_MAX);
    SSL_CTX_set_verify(
        x,
        SSL_VERIFY_PEER |
            (p->clients == TLS_CLIENTS_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    return until;
}

struct tls_server *tls_server_new(const struct tls_policy *p, const struct tls_server_ops *ops) {
    struct tls_server *s = mem_zalloc(sizeof(*s));
    *s = (struct tls_server){SSL_CTX_new(TLS_server_method()), tls_bio_new(), NULL};
    must(s->context);
    must(SSL_CTX_set_app_data(s->context, (void *)(uintptr_t)ops) == 1);
    set_up(s->context, p);
    uint64_t until = ask_clients(s->context, p);
    if (p->tickets)
        s->resume = resume_new(s->context, p->scope, until, mark_of);
    return s;
}

void tls_server_keys(struct tls_server *s, const struct model_ticket_keys *keys) {
    if (s->resume)
        resume_keys(s->resume, keys);
}

void tls_server_free(struct tls_server *s) {
    if (s == NULL)
        return;
    SSL_CTX_free(s->context);
    BIO_free(s->bio);
    mem_free(s);
}

/* ---- birth and end ---- */

struct tls *tls_new(SSL_CTX *x, BIO *bio) {
    struct tls *t = mem_try(sizeof(*t));
    SSL *ssl = t != NULL ? SSL_new(x) : NULL;
    if (ssl == NULL) {
        ERR_clear_error();
        mem_free(t);
        return NULL;
    }
    *t = (struct tls){.ssl = ssl};
    must(BIO_up_ref(bio) == 1);
    SSL_set_bio(ssl, bio, bio);
    return t;
}

int conn_init_secure(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops,
                     struct tls_server *server) {
    if (conn_init(c, l, fd, ops) != 0)
        return -1;
    c->tls = tls_new(server->context, server->bio);
    if (c->tls != NULL) {
        SSL_set_accept_state(c->tls->ssl);
        resume_offer(server->resume, c->tls->ssl);
        c->shaking = true;
        return 0;
    }
    conn_abandon(c);
    errno = ENOMEM;
    return -1;
}

/* ---- what the client has shown ---- */

static void peer_free(struct tls_peer *p) {
    if (p == NULL)
        return;
    sk_X509_pop_free(p->others, X509_free);
    mem_free(p);
}

/* Of all of them, in their order. False: there is no memory. */
static bool fingerprint_all(STACK_OF(X509) * all, unsigned char to[TLS_FINGERPRINT]) {
    unsigned char both[2 * TLS_FINGERPRINT] = {0};
    unsigned n = 0;
    for (int i = 0; i < sk_X509_num(all); i++)
        if (X509_digest(sk_X509_value(all, i), EVP_sha256(), both + TLS_FINGERPRINT, &n) != 1 ||
            EVP_Digest(both, sizeof(both), both, &n, EVP_sha256(), NULL) != 1)
            return false;
    memcpy(to, both, TLS_FINGERPRINT);
    return true;
}

/* The handshake is over. Without memory nothing was shown: who is asked for it is refused. */
static void note_peer(struct tls *t) {
    X509 *leaf = SSL_get0_peer_certificate(t->ssl);
    if (leaf == NULL || SSL_get_verify_result(t->ssl) != X509_V_OK)
        return;
    struct tls_peer *p = mem_try(sizeof(*p));
    unsigned n = 0;
    if (p == NULL)
        return;
    STACK_OF(X509) *others = SSL_get_peer_cert_chain(t->ssl); /* without the leaf; not resumed */
    *p = (struct tls_peer){.leaf = leaf,
                           .others = SSL_session_reused(t->ssl) ? resume_others(t->ssl)
                                     : sk_X509_num(others) > 0  ? X509_chain_up_ref(others)
                                                                : NULL};
    if (X509_digest(leaf, EVP_sha256(), p->fingerprint, &n) == 1 && n == TLS_FINGERPRINT &&
        fingerprint_all(p->others, p->chain)) {
        t->peer = p;
        return;
    }
    ERR_clear_error();
    peer_free(p);
}

const struct tls_peer *tls_peer(const struct conn *c) {
    return c->tls != NULL ? c->tls->peer : NULL;
}

static void tls_free(struct conn *c) {
    peer_free(c->tls->peer);
    SSL_free(c->tls->ssl);
    buf_give(c, &c->tls->sealed);
    mem_free(c->tls);
    c->tls = NULL;
    c->sealed = 0;
    c->shaking = false;
}

/* ---- the handshake ---- */

bool tls_client_refused(const struct conn *c) {
    return SSL_get_verify_result(c->tls->ssl) != X509_V_OK ||
           ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
}

static const char *words_of_failure(const struct tls *t, int error) {
    long verified = SSL_get_verify_result(t->ssl);
    if (error == SSL_ERROR_SSL && verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    const char *words = ERR_reason_error_string(ERR_peek_last_error());
    if (error == SSL_ERROR_SSL && words != NULL)
        return words;
    if (t->err != ECONNRESET)
        return "the connection failed";
    return tls_is_client(t) ? "the endpoint closed the connection"
                            : "the client closed the connection";
}

/* What was sealed last is the alert: it is sent by what is a plain connection again; a connect has
 * failed and will not come back for it. */
static void fail(struct conn *c) {
    struct conn_buf alert = c->tls->sealed;
    c->connecting = tls_is_client(c->tls);
    if (c->connecting && alert.p != NULL)
        (void)!send(c->fd, alert.p + alert.at, alert.end - alert.at, MSG_NOSIGNAL);
    else
        c->tls->sealed = (struct conn_buf){0};
    tls_free(c);
    if (c->connecting || alert.p == NULL)
        return;
    c->out = alert;
    conn_talk(c);
}

static void over(struct conn *c, const char *reason) {
    if (tls_is_client(c->tls)) {
        if (reason != NULL)
            tls_client_failed(c, reason);
        return;
    }
    const struct tls_server_ops *ops = ops_of(c->tls->ssl);
    ops->over(ops->arg, c, reason);
}

enum shake tls_shake(struct conn *c) {
    struct tls *t = c->tls;
    int n = SSL_do_handshake(enter(c));
    if (n == 1) {
        c->shaking = false;
        c->can_read = true; /* also if it was a short read: a reset may have come with it */
        c->dry = false;
        over(c, NULL);
        if (tls_is_client(t))
            return SHAKE_CONNECTED;
        note_peer(t);
        resume_end(t->ssl);
        SSL_set_tlsext_status_ocsp_resp(t->ssl, NULL, 0); /* its copy goes */
        return SHAKE_DONE;
    }
    int error = SSL_get_error(t->ssl, n);
    if (error == SSL_ERROR_WANT_READ) {
        if (t->enough)
            conn_again(c);
        return SHAKE_AGAIN;
    }
    over(c, words_of_failure(t, error));
    ERR_clear_error();
    fail(c);
    return SHAKE_FAILED;
}

void tls_show(struct conn *c, const struct keypair *k) {
    int type = EVP_PKEY_get_base_id(k->key);
    enum shown_kind kind = type == EVP_PKEY_RSA  ? SHOWN_RSA
                           : type == EVP_PKEY_EC ? SHOWN_ECDSA
                                                 : SHOWN_OTHER;
    if (c->tls->shown & kind)
        return;
    STACK_OF(X509) *chain = sk_X509_num(k->chain) > 0 ? k->chain : NULL;
    if (SSL_use_cert_and_key(c->tls->ssl, k->leaf, k->key, chain, 1) == 1)
        c->tls->shown |= (uint8_t)kind;
    else
        ERR_clear_error();
}

/* ---- reading ---- */

static enum io no_bytes(struct conn *c, int n) {
    struct tls *t = c->tls;
    int error = SSL_get_error(t->ssl, n);
    if (c->in.at == c->in.end)
        buf_give(c, &c->in);
    if (error == SSL_ERROR_WANT_READ && t->enough) {
        conn_again(c);
        return IO_AGAIN;
    }
    c->can_read = false;
    if (error == SSL_ERROR_WANT_READ)
        return IO_AGAIN;
    if (error == SSL_ERROR_ZERO_RETURN) {
        c->eof = true;
        return IO_EOF;
    }
    if (tls_is_client(t) && error == SSL_ERROR_SSL)
        tls_client_failed(c, words_of_failure(t, error));
    ERR_clear_error();
    errno = error == SSL_ERROR_SYSCALL ? t->err : EPROTO;
    return IO_FAIL;
}

enum io tls_read(struct conn *c) {
    SSL *ssl = enter(c);
    struct conn_buf *b = &c->in;
    uint32_t before = b->end;
    int n, pending;
    c->dry = c->dry && !c->short_read;
    c->short_read = false;
    do {
        n = SSL_read(ssl, b->p + b->end, (int)(b->cap - b->end));
        if (n <= 0)
            break;
        b->end += (uint32_t)n;
        pending = SSL_has_pending(ssl);
    } while (pending && b->end < b->cap);
    if (b->end == before)
        return no_bytes(c, n);
    if (n > 0)
        c->can_read = !c->dry || pending;
    c->short_read = !c->can_read;
    return IO_OK;
}

bool tls_peek(struct conn *c, bool *gone) {
    SSL *ssl = enter(c);
    char byte;
    c->dry = false;
    int n = SSL_peek(ssl, &byte, 1);
    int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl, n);
    *gone = error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ;
    c->can_read = c->can_read || n > 0;
    if (*gone)
        ERR_clear_error();
    return n > 0;
}

/* ---- writing ---- */

static size_t unsealed(const struct conn *c) { return conn_pending(c) - c->sealed; }

/* What the next record holds, of n bytes: from the one place where it lies, or gathered. */
static struct str next_record(struct conn *c, size_t n, struct conn_buf *room) {
    size_t own = c->out.end - c->out.at;
    n = size_min(n, RECORD);
    if (own >= n)
        return str_mk(c->out.p + c->out.at, n);
    if (own == 0 && c->lent_n >= n)
        return str_mk(c->lent, n);
    if (room->p == NULL && !buf_take(c, room, buf_size_for(n))) {
        if (own > 0)
            return str_mk(c->out.p + c->out.at, own);
        return c->lent_n > 0 ? str_mk(c->lent, c->lent_n) : str_mk(c->after, c->after_n);
    }
    size_t lent = size_min(n - own, c->lent_n);
    if (own > 0)
        memcpy(room->p, c->out.p + c->out.at, own);
    if (lent > 0)
        memcpy(room->p + own, c->lent, lent);
    if (n > own + lent)
        memcpy(room->p + own + lent, c->after, n - own - lent);
    return str_mk(room->p, n);
}

static bool seal_records(struct conn *c, size_t n, size_t *lent) {
    struct conn_buf room = {0};
    SSL *ssl = enter(c);
    bool good = true;
    while (good && n > 0) {
        struct str record = next_record(c, n, &room);
        n -= record.n;
        good = SSL_write(ssl, record.p, (int)record.n) == (int)record.n;
        if (good)
            *lent += conn_account(c, record.n);
    }
    buf_give(c, &room);
    return good;
}

static void bid(struct conn *c) {
    c->tls->bidden = true;
    SSL_shutdown(enter(c));
    ERR_clear_error();
}

/* Some records, and close_notify behind the last. False: no memory, or the connection is broken. */
static bool seal(struct conn *c, size_t *lent) {
    struct tls *t = c->tls;
    size_t n = size_min(unsealed(c), SEALED);
    bool good = true;
    if (c->shaking)
        return true;
    t->sealing = true;
    if (n > 0)
        good = make_room(c, &t->sealed, n + (size_t)OVERHEAD * (n / RECORD + 1)) &&
               seal_records(c, n, lent);
    if (good && c->fin && !t->bidden && unsealed(c) == 0)
        bid(c);
    t->sealing = false;
    if (c->sealed == 0)
        buf_give(c, &t->sealed);
    if (!good)
        ERR_clear_error();
    return good;
}

/* False: the peer takes no more, or *err. */
static bool send_sealed(struct conn *c, int *err) {
    struct conn_buf *b = &c->tls->sealed;
    ssize_t n;
    do
        n = send(c->fd, b->p + b->at, b->end - b->at, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        *err = errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
        return false;
    }
    b->at += (uint32_t)n;
    c->sealed -= (uint32_t)n;
    if (c->sealed > 0)
        return false;
    buf_give(c, b);
    return true;
}

size_t tls_send(struct conn *c, int *err) {
    size_t lent = 0;
    for (;;) {
        if (c->sealed == 0 && !seal(c, &lent)) {
            *err = EPROTO;
            return lent;
        }
        if (c->sealed == 0 || !send_sealed(c, err))
            return lent;
    }
}

void tls_end(struct conn *c, bool farewell) {
    struct tls *t = c->tls;
    int err;
    if (farewell && !c->shaking && !t->bidden && !c->eof && unsealed(c) == 0) {
        t->sealing = true;
        bid(c);
    }
    if (farewell && c->sealed > 0 && c->can_write)
        send_sealed(c, &err);
    tls_free(c);
}

/* ---- questions ---- */

bool tls_asked_for(const struct conn *c, struct str host) {
    struct str name = raw_name(c->tls->ssl);
    return name.n > 0 && (str_eq(name, host) || str_eq_nocase(name, host));
}

struct str tls_protocol(const struct conn *c) {
    const unsigned char *p = NULL;
    unsigned n = 0;
    if (c->tls != NULL)
        SSL_get0_alpn_selected(c->tls->ssl, &p, &n);
    return str_mk((const char *)p, n);
}

struct str tls_version(const struct conn *c) {
    if (c->tls == NULL)
        return STR_NONE;
    return SSL_version(c->tls->ssl) == TLS1_3_VERSION ? STR("1.3") : STR("1.2");
}

bool tls_resumed(const struct conn *c, uint64_t *mark) { return resume_mark(c->tls->ssl, mark); }

X509 *tls_shown(const struct conn *c) {
    return c->tls != NULL ? SSL_get_certificate(c->tls->ssl) : NULL;
}
