/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/ws_tls.h"

#include "lib/mem.h"
#include "lib/pem.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

struct ws_leaf {
    STACK_OF(X509) * certs; /* the first is the leaf */
    EVP_PKEY *key;
};

static int use(SSL_CTX *ctx, const struct ws_leaf *l) {
    STACK_OF(X509) *chain = sk_X509_dup(l->certs);
    must(chain);
    sk_X509_shift(chain);
    int good = SSL_CTX_use_cert_and_key(ctx, sk_X509_value(l->certs, 0), l->key, chain, 1);
    sk_X509_free(chain);
    return good;
}

/* On a context of its own, so that what OpenSSL finds too weak is found here. */
static int try(const struct ws_leaf *l, struct why *why) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    must(ctx);
    int good = use(ctx, l);
    SSL_CTX_free(ctx);
    if (good)
        return 0;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return why_text(why, "certificate and key cannot be used: %s", reason ? reason : "unknown");
}

struct ws_leaf *ws_leaf_new(struct str cert, struct str key, struct why *why) {
    struct ws_leaf *l = mem_zalloc(sizeof(*l));
    l->certs = pem_certs(cert, why);
    l->key = l->certs ? pem_key(key, why) : NULL;
    if (l->key && try(l, why) == 0)
        return l;
    ws_leaf_free(l);
    return NULL;
}

void ws_leaf_free(struct ws_leaf *l) {
    if (!l)
        return;
    sk_X509_pop_free(l->certs, X509_free);
    EVP_PKEY_free(l->key);
    mem_free(l);
}

X509_STORE *ws_store_new(struct str pem, struct why *why) {
    STACK_OF(X509) *certs = pem_certs(pem, why);
    if (!certs)
        return NULL;
    X509_STORE *store = X509_STORE_new();
    must(store);
    for (int i = 0; i < sk_X509_num(certs); i++)
        X509_STORE_add_cert(store, sk_X509_value(certs, i)); /* one that is there twice is fine */
    ERR_clear_error();
    sk_X509_pop_free(certs, X509_free);
    return store;
}

void ws_tls_strict(SSL_CTX *ctx) {
    must(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    /* Links last for days: resuming them is worth nothing, and would outlive a change of CA. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
}

SSL_CTX *ws_tls_dialler(void) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    must(ctx);
    ws_tls_strict(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

void ws_tls_use_leaf(SSL_CTX *ctx, const struct ws_leaf *l) { must(use(ctx, l) == 1); }

const char *ws_tls_distrust(SSL *ssl, const char *name) {
    X509 *cert = ssl ? SSL_get0_peer_certificate(ssl) : NULL;
    if (!cert)
        return "no certificate was shown";
    long result = SSL_get_verify_result(ssl);
    if (result != X509_V_OK)
        return X509_verify_cert_error_string(result);
    bool named = X509_check_host(cert, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1 ||
                 X509_check_ip_asc(cert, name, 0) == 1;
    return named ? NULL : "the certificate is not for this name";
}
