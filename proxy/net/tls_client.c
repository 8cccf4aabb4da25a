/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/tls_client.h"

#include "lib/arena.h"
#include "lib/authority.h"
#include "lib/certificate.h"
#include "lib/mem.h"
#include "proxy/net/parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>

enum { CHAIN_DEPTH = 10, NAMES_SAID = 8, NAME_SAID = 80 };

struct tls_client {
    SSL_CTX *context;
    BIO *bio;
    char name[]; /* that is asked for; "": none */
};

/* What the verification of a context needs; it goes with its last connection. */
struct expectation {
    uint32_t n_hosts, n_uris;
    struct str names[]; /* hosts, then uris; then their bytes */
};

static _Thread_local struct why failure;

const char *tls_client_words(void) { return failure.text; }

void tls_client_blame(const char *words) {
    why_clear(&failure);
    why_text(&failure, "%s", words);
}

void tls_client_failed(const struct conn *c, const char *words) {
    const SSL *ssl = c->tls->ssl;
    if (SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE && SSL_get_verify_result(ssl) != X509_V_OK)
        return; /* the verification has said more */
    why_clear(&failure);
    why_text(&failure, "%s", words);
}

/* ---- who it must be ---- */

/* n == 0: no DNS name and no URI. */
static struct str text_of(const GENERAL_NAME *g) {
    if (g->type != GEN_DNS && g->type != GEN_URI)
        return STR_NONE;
    return str_mk((const char *)ASN1_STRING_get0_data(g->d.ia5),
                  (size_t)ASN1_STRING_length(g->d.ia5));
}

/* shop.example.com, or *.example.com itself. */
static bool below(struct str pattern, struct str name) {
    size_t dot = str_find(name, '.', 0);
    return dot > 0 && dot < name.n && str_eq_nocase(str_skip(name, dot), str_skip(pattern, 1));
}

static bool host_fits(struct str pattern, X509 *leaf, struct str name) {
    if (str_starts(pattern, STR("*.")))
        return below(pattern, name);
    return X509_check_host(leaf, pattern.p, pattern.n,
                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                           NULL) == 1;
}

static bool uri_fits(struct str pattern, struct str uri) {
    if (!str_ends(pattern, STR("*")))
        return str_eq(pattern, uri);
    return str_starts(uri, str_mk(pattern.p, pattern.n - 1));
}

/* An address in place of a host's name (RFC 9110 4.3.5). */
static bool address_fits(const struct expectation *e, const GENERAL_NAME *g) {
    struct str has = str_mk((const char *)ASN1_STRING_get0_data(g->d.iPAddress),
                            (size_t)ASN1_STRING_length(g->d.iPAddress));
    char text[INET6_ADDRSTRLEN], bytes[16];
    for (uint32_t i = 0; i < e->n_hosts; i++) {
        struct out o = out_fixed(text, sizeof(text) - 1);
        out_str(&o, e->names[i]);
        text[o.n] = 0;
        if (!o.over && inet_pton(has.n == 4 ? AF_INET : AF_INET6, text, bytes) == 1 &&
            str_eq(has, str_mk(bytes, has.n == 4 ? 4 : 16)))
            return true;
    }
    return false;
}

static bool name_fits(const struct expectation *e, X509 *leaf, const GENERAL_NAME *g) {
    struct str name = text_of(g);
    if (g->type == GEN_IPADD)
        return address_fits(e, g);
    for (uint32_t i = 0; name.n > 0 && i < e->n_hosts + e->n_uris; i++) {
        bool host = i < e->n_hosts;
        if (host != (g->type == GEN_DNS))
            continue;
        if (host ? host_fits(e->names[i], leaf, name) : uri_fits(e->names[i], name))
            return true;
    }
    return false;
}

static bool is_expected(const struct expectation *e, X509 *leaf) {
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    bool fits = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && !fits; i++)
        fits = name_fits(e, leaf, sk_GENERAL_NAME_value(all, i));
    GENERAL_NAMES_free(all);
    return fits;
}

/* ---- what is wrong with a certificate, for people ---- */

/* What a stranger has written. */
static void add_name(struct out *o, struct str name) {
    if (o->n > 0)
        out_lit(o, ", ");
    for (size_t i = 0; i < name.n && i < NAME_SAID; i++) {
        bool plain = name.p[i] > ' ' && name.p[i] <= '~' && name.p[i] != '"' && name.p[i] != '\\';
        out_char(o, plain ? name.p[i] : '?');
    }
    if (name.n > NAME_SAID)
        out_lit(o, "...");
}

static void say_names(const struct expectation *e, X509 *leaf) {
    char room[2][200];
    struct out wants = out_fixed(room[0], sizeof(room[0])),
               has = out_fixed(room[1], sizeof(room[1]));
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (uint32_t i = 0; i < e->n_hosts + e->n_uris; i++)
        add_name(&wants, e->names[i]);
    for (int i = 0, n = 0; i < sk_GENERAL_NAME_num(all) && n < NAMES_SAID; i++) {
        struct str name = text_of(sk_GENERAL_NAME_value(all, i));
        if (name.n == 0)
            continue;
        add_name(&has, name);
        n++;
    }
    GENERAL_NAMES_free(all);
    why_text(&failure, "its certificate is not for %.*s%s, but for %.*s%s",
             STR_FMT(out_done(&wants)), wants.over ? " ..." : "",
             STR_FMT(has.n > 0 ? out_done(&has) : STR("no name at all")), has.over ? " ..." : "");
}

static void say_fault(X509_STORE_CTX *x) {
    X509 *bad = X509_STORE_CTX_get_current_cert(x);
    int error = X509_STORE_CTX_get_error(x);
    struct certificate_info info = {0};
    struct arena a;
    unsigned char *der = NULL;
    int n = bad != NULL ? i2d_X509(bad, &der) : 0;
    const char *which =
        X509_STORE_CTX_get_error_depth(x) == 0 ? "its certificate" : "a certificate of its chain";
    arena_init(&a);
    if (n <= 0 || certificate_describe(str_mk((char *)der, (size_t)n), &a, &info, NULL) != 0)
        why_text(&failure, "%s is refused: %s", which, X509_verify_cert_error_string(error));
    else if (error == X509_V_ERR_CERT_HAS_EXPIRED)
        why_text(&failure, "%s has expired on %.*s", which,
                 STR_FMT(certificate_day(&a, info.not_after)));
    else if (error == X509_V_ERR_CERT_NOT_YET_VALID)
        why_text(&failure, "%s is not valid before %.*s", which,
                 STR_FMT(certificate_day(&a, info.not_before)));
    else if (authority_is_unknown(error))
        why_text(&failure, "its certificate comes from an authority that is not trusted: %.*s",
                 STR_FMT(info.issuer));
    else
        why_text(&failure, "%s is refused: %s", which, X509_verify_cert_error_string(error));
    OPENSSL_free(der);
    arena_fini(&a);
}

static int verify(X509_STORE_CTX *x, void *arg) {
    const struct expectation *e = arg;
    X509 *leaf = X509_STORE_CTX_get0_cert(x);
    why_clear(&failure);
    if (X509_verify_cert(x) != 1) {
        say_fault(x);
        return 0;
    }
    if (is_expected(e, leaf))
        return 1;
    say_names(e, leaf);
    X509_STORE_CTX_set_error(x, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

/* ---- sessions ---- */

void tls_memory_fini(struct tls_memory *m) {
    mem_free(m->session);
    m->session = NULL;
    m->n = 0;
}

static int on_session(SSL *ssl, SSL_SESSION *s) {
    const struct conn *c = tls_conn_of(ssl);
    struct tls_memory *m = SSL_get_app_data(ssl);
    int n = m != NULL && SSL_SESSION_is_resumable(s) ? i2d_SSL_SESSION(s, NULL) : 0;
    unsigned char *to = n > 0 && n <= TLS_MEMORY_BYTES ? mem_try((size_t)n) : NULL;
    if (to == NULL)
        return 0;
    tls_memory_fini(m);
    m->session = to;
    m->n = (uint32_t)n;
    i2d_SSL_SESSION(s, &to);
    if (!SSL_session_reused(ssl))
        m->verified_ms = c->loop->now_ms;
    return 0; /* it was copied */
}

static void recall(SSL *ssl, struct tls_memory *m, uint64_t now_ms) {
    const unsigned char *from = m->session;
    if (from == NULL || now_ms - m->verified_ms >= TLS_MEMORY_S * 1000ULL) {
        tls_memory_fini(m);
        return;
    }
    SSL_SESSION *s = d2i_SSL_SESSION(NULL, &from, m->n);
    if (s != NULL)
        SSL_set_session(ssl, s);
    SSL_SESSION_free(s);
    ERR_clear_error();
}

bool tls_client_resumed(const struct conn *c) {
    return c->tls != NULL && SSL_session_reused(c->tls->ssl) == 1;
}

/* ---- a configuration ---- */

static struct expectation *expectation_new(const struct tls_client_policy *p) {
    size_t n = p->n_hosts + p->n_uris, bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += (i < p->n_hosts ? p->hosts[i] : p->uris[i - p->n_hosts]).n;
    struct expectation *e = mem_zalloc(sizeof(*e) + n * sizeof(struct str) + bytes);
    char *at = (char *)(e->names + n);
    e->n_hosts = p->n_hosts;
    e->n_uris = p->n_uris;
    for (uint32_t i = 0; i < n; i++) {
        struct str from = i < p->n_hosts ? p->hosts[i] : p->uris[i - p->n_hosts];
        if (from.n > 0)
            memcpy(at, from.p, from.n);
        e->names[i] = str_mk(at, from.n);
        at += from.n;
    }
    return e;
}

static int slot_of_expectation = -1;

static void expectation_free(void *context, void *e, CRYPTO_EX_DATA *all, int slot, long n,
                             void *arg) {
    (void)context, (void)all, (void)slot, (void)n, (void)arg;
    mem_free(e);
}

static void make_slot(void) {
    slot_of_expectation = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, expectation_free);
    must(slot_of_expectation >= 0);
}

static void expect(SSL_CTX *x, const struct tls_client_policy *p) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_slot);
    if (p->authorities == NULL) {
        SSL_CTX_set_verify(x, SSL_VERIFY_NONE, NULL);
        return;
    }
    struct expectation *e = expectation_new(p);
    must(SSL_CTX_set_ex_data(x, slot_of_expectation, e) == 1);
    SSL_CTX_set1_cert_store(x, p->authorities);
    SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(x, CHAIN_DEPTH);
    SSL_CTX_set_cert_verify_callback(x, verify, e);
}

static int show(SSL_CTX *x, const struct keypair *k, struct why *why) {
    STACK_OF(X509) *chain = sk_X509_num(k->chain) > 0 ? k->chain : NULL;
    if (SSL_CTX_use_cert_and_key(x, k->leaf, k->key, chain, 1) == 1)
        return 0;
    why_text(why, "the client certificate cannot be used: %s",
             ERR_reason_error_string(ERR_peek_last_error()));
    ERR_clear_error();
    return -1;
}

struct tls_client *tls_client_new(const struct tls_client_policy *p, struct why *why) {
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    must(x);
    tls_set_up(x, p->min_version);
    SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(x, on_session);
    must(p->protocols == NULL || SSL_CTX_set_alpn_protos(x, (const unsigned char *)p->protocols,
                                                         (unsigned)strlen(p->protocols)) == 0);
    expect(x, p);
    if (p->pair != NULL && show(x, p->pair, why) != 0) {
        SSL_CTX_free(x);
        return NULL;
    }
    struct tls_client *k = mem_zalloc(sizeof(*k) + p->name.n + 1);
    *k = (struct tls_client){x, tls_bio_new()};
    if (p->name.n > 0)
        memcpy(k->name, p->name.p, p->name.n);
    return k;
}

void tls_client_free(struct tls_client *k) {
    if (k == NULL)
        return;
    SSL_CTX_free(k->context);
    BIO_free(k->bio);
    mem_free(k);
}

/* ---- birth ---- */

int conn_connect_secure(struct conn *c, struct loop *l, const struct addr *to,
                        const struct conn_ops *ops, struct tls_client *k,
                        struct tls_memory *memory) {
    if (conn_connect(c, l, to, ops) != 0)
        return -1;
    struct tls *t = c->tls = tls_new(k->context, k->bio);
    if (t == NULL || SSL_set_app_data(t->ssl, memory) != 1 ||
        (k->name[0] != 0 && SSL_set_tlsext_host_name(t->ssl, k->name) != 1)) {
        if (t != NULL)
            tls_end(c, false);
        conn_abandon(c);
        errno = ENOMEM;
        return -1;
    }
    SSL_set_connect_state(t->ssl);
    c->shaking = true;
    if (memory != NULL)
        recall(t->ssl, memory, l->now_ms);
    return 0;
}
