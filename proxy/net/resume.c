/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/resume.h"

#include "lib/certificate.h"
#include "lib/mem.h"
#include "lib/out.h"
#include "lib/ticket.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <time.h>

enum { NAME = 16, CIPHER = 32, MAC = 32, DERIVED = NAME + CIPHER + MAC, SNI_MAX = 255 };

struct key {
    uint64_t from;
    unsigned char secret[TICKET_SECRET];
    unsigned char derived[DERIVED]; /* name, key of the cipher, key of the MAC */
};

struct resume {
    unsigned char scope[RESUME_SCOPE];
    uint64_t until;
    uint64_t (*mark)(const SSL *ssl);
    EVP_CIPHER *cipher;
    uint64_t period;
    uint32_t n;
    bool on; /* else the keys stay for handshakes that are under way */
    struct key keys[TICKET_KEYS_MAX];
};

/* What a ticket holds beside the session. The name comes behind it, then the intermediates, as a
 * chain of lib/certificate.h. */
struct bond {
    uint64_t born; /* Unix seconds; 0: it is not resumed */
    uint64_t mark;
    uint64_t name_n; /* bytes */
};

/* As it is read. */
struct bound {
    struct bond bond;
    struct str name, others;
};

static int index_of_resume;

static uint64_t now(void) { return (uint64_t)time(NULL); }

static struct resume *resume_of(const SSL *ssl) {
    return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), index_of_resume);
}

/* ---- keys ---- */

static void derive(struct resume *r, struct key *k) {
    static const char label[] = "sluice session ticket";
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *kdf = EVP_KDF_CTX_new(hkdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, k->secret, TICKET_SECRET),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, r->scope, RESUME_SCOPE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)label,
                                          sizeof(label) - 1),
        OSSL_PARAM_construct_end(),
    };
    must(kdf && EVP_KDF_derive(kdf, k->derived, DERIVED, params) == 1);
    EVP_KDF_CTX_free(kdf);
    EVP_KDF_free(hkdf);
}

static bool same_keys(const struct resume *r, const struct model_ticket_keys *k) {
    bool same = r->n == k->n_keys && r->period == k->period_s;
    for (uint32_t i = 0; same && i < r->n; i++)
        same = r->keys[i].from == k->keys[i].from &&
               memcmp(r->keys[i].secret, k->keys[i].secret.p, TICKET_SECRET) == 0;
    return same;
}

void resume_keys(struct resume *r, const struct model_ticket_keys *k) {
    r->on = k != NULL;
    if (!k || same_keys(r, k))
        return;
    OPENSSL_cleanse(r->keys, sizeof(r->keys));
    r->period = k->period_s;
    r->n = k->n_keys;
    must(r->n <= TICKET_KEYS_MAX);
    for (uint32_t i = 0; i < r->n; i++) {
        r->keys[i].from = k->keys[i].from;
        memcpy(r->keys[i].secret, k->keys[i].secret.p, TICKET_SECRET);
        derive(r, &r->keys[i]);
    }
}

/* The one that seals; NULL: none does, any more or yet. */
static struct key *sealing_key(struct resume *r, uint64_t at) {
    for (uint32_t i = r->n; i-- > 0;)
        if (r->keys[i].from <= at)
            return at < r->keys[i].from + r->period ? &r->keys[i] : NULL;
    return NULL;
}

static struct key *opening_key(struct resume *r, const unsigned char *name, uint64_t at) {
    for (uint32_t i = 0; i < r->n; i++)
        if (CRYPTO_memcmp(r->keys[i].derived, name, NAME) == 0)
            return at < r->keys[i].from + 2 * r->period ? &r->keys[i] : NULL;
    return NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, struct key *k) {
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->derived + NAME + CIPHER, MAC),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1: as it is; 2: and the client gets a new one: the key seals no more, or it is TLS 1.3, where
 * clients use each ticket once (RFC 8446 C.4); 0: not known; -1: failed. One that was offered is
 * sealed, even if its key has ended since. */
static int on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, int sealing) {
    struct resume *r = resume_of(ssl);
    uint64_t at = now();
    struct key *seals = sealing_key(r, at), *k = sealing ? seals : opening_key(r, name, at);
    if (sealing && !k && r->n > 0)
        k = &r->keys[r->n - 1];
    if (!k)
        return sealing ? -1 : 0;
    if (sealing) {
        memcpy(name, k->derived, NAME);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(r->cipher)) != 1)
            return -1;
    }
    if (EVP_CipherInit_ex2(cipher, r->cipher, k->derived + NAME, iv, sealing, NULL) != 1 ||
        !set_mac(mac, k))
        return -1;
    return sealing || (k == seals && SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
}

/* ---- what it is for ---- */

/* False: they do not fit. */
static bool put_others(struct out *o, STACK_OF(X509) * all) {
    size_t begin = o->n;
    for (int i = 0; i < sk_X509_num(all); i++) {
        unsigned char *der = NULL;
        int n = i2d_X509(sk_X509_value(all, i), &der);
        if (n <= 0)
            return false;
        const unsigned char length[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
                                         (unsigned char)(n >> 8), (unsigned char)n};
        out_bytes(o, length, sizeof(length));
        out_bytes(o, der, (size_t)n);
        OPENSSL_free(der);
    }
    return !o->over && o->n - begin <= RESUME_OTHERS_MAX;
}

static int on_seal(SSL *ssl, void *arg) {
    char room[sizeof(struct bond) + SNI_MAX + RESUME_OTHERS_MAX];
    const struct resume *r = resume_of(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t n = name ? strlen(name) : 0;
    (void)arg;
    if (SSL_session_reused(ssl)) /* it bears what the first one did */
        return 1;
    if (n > SNI_MAX)
        return 0;
    struct out o = out_fixed(room, sizeof(room));
    struct bond bond = {.born = now(), .mark = r->mark(ssl), .name_n = n};
    out_bytes(&o, &bond, sizeof(bond));
    out_bytes(&o, name, n);
    if (!put_others(&o, SSL_get_peer_cert_chain(ssl))) {
        bond.born = 0;
        memcpy(room, &bond, sizeof(bond));
        o.n = sizeof(bond) + n;
    }
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), room, o.n);
}

/* The name in the hello that is being read: OpenSSL looks at tickets before it looks at names. */
static bool hello_name(SSL *ssl, struct str *name) {
    enum { HEAD = 5 }; /* length of the list, type, length of the name */
    const unsigned char *p;
    size_t n;
    *name = STR_NONE;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1)
        return true;
    if (n < HEAD || p[2] != TLSEXT_NAMETYPE_host_name || n != HEAD + ((size_t)p[3] << 8 | p[4]))
        return false;
    *name = str_mk((const char *)p + HEAD, n - HEAD);
    return true;
}

static bool read_bond(SSL_SESSION *session, struct bound *b) {
    void *p = NULL;
    size_t n = 0, head = sizeof(b->bond);
    if (SSL_SESSION_get0_ticket_appdata(session, &p, &n) != 1 || n < head)
        return false;
    memcpy(&b->bond, p, head);
    if (b->bond.name_n > n - head)
        return false;
    b->name = str_mk((const char *)p + head, (size_t)b->bond.name_n);
    b->others = str_mk(b->name.p + b->name.n, n - head - b->name.n);
    return true;
}

static bool client_is_current(SSL_SESSION *session) {
    const X509 *client = SSL_SESSION_get0_peer(session);
    return !client || X509_cmp_current_time(X509_get0_notAfter(client)) > 0;
}

static bool may_resume(SSL *ssl, SSL_SESSION *session) {
    struct bound was;
    struct str is;
    uint64_t at = now();
    return at < resume_of(ssl)->until && read_bond(session, &was) && hello_name(ssl, &is) &&
           str_eq_nocase(was.name, is) && at < was.bond.born + RESUME_AGE_MAX_S &&
           client_is_current(session);
}

static SSL_TICKET_RETURN on_open(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                 size_t name_n, SSL_TICKET_STATUS status, void *arg) {
    (void)name, (void)name_n, (void)arg;
    if (!resume_of(ssl)->on)
        return SSL_TICKET_RETURN_IGNORE;
    if (status == SSL_TICKET_EMPTY || status == SSL_TICKET_NO_DECRYPT || !may_resume(ssl, session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

/* ---- a handshake ---- */

void resume_offer(struct resume *r, SSL *ssl) {
    if (r && r->on && sealing_key(r, now()))
        return;
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
    must(SSL_set_num_tickets(ssl, 0) == 1);
}

bool resume_mark(SSL *ssl, uint64_t *mark) {
    struct bound b;
    if (!SSL_session_reused(ssl))
        return false;
    *mark = read_bond(SSL_get_session(ssl), &b) ? b.bond.mark : 0;
    return true;
}

STACK_OF(X509) * resume_others(SSL *ssl) {
    struct bound b;
    struct str der;
    STACK_OF(X509) *all = NULL;
    if (!SSL_session_reused(ssl) || !read_bond(SSL_get_session(ssl), &b))
        return NULL;
    while (certificate_next(&b.others, &der)) {
        const unsigned char *at = (const unsigned char *)der.p;
        X509 *x = d2i_X509(NULL, &at, (long)der.n);
        if (!x || !(all || (all = sk_X509_new_null())) || sk_X509_push(all, x) <= 0) {
            X509_free(x);
            break; /* one fewer: what cannot be verified without it is refused */
        }
    }
    ERR_clear_error();
    return all;
}

void resume_end(SSL *ssl) {
    SSL_SESSION *session = SSL_get_session(ssl);
    SSL_SESSION_set1_ticket_appdata(session, NULL, 0);
    /* The name is the connection's too, but for a resumed one of TLS 1.2. */
    if (!SSL_session_reused(ssl) || SSL_version(ssl) >= TLS1_3_VERSION)
        SSL_SESSION_set1_hostname(session, NULL);
}

/* ---- life ---- */

static void resume_free(void *parent, void *p, CRYPTO_EX_DATA *data, int index, long n, void *arg) {
    struct resume *r = p;
    (void)parent, (void)data, (void)index, (void)n, (void)arg;
    if (!r)
        return;
    EVP_CIPHER_free(r->cipher);
    OPENSSL_cleanse(r, sizeof(*r));
    mem_free(r);
}

static void make_index(void) {
    index_of_resume = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, resume_free);
    must(index_of_resume >= 0);
}

struct resume *resume_new(SSL_CTX *x, const unsigned char scope[RESUME_SCOPE], uint64_t until,
                          uint64_t (*mark)(const SSL *ssl)) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct resume *r = mem_zalloc(sizeof(*r));
    pthread_once(&once, make_index);
    memcpy(r->scope, scope, RESUME_SCOPE);
    r->until = until;
    r->mark = mark;
    r->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    must(r->cipher);
    must(SSL_CTX_set_ex_data(x, index_of_resume, r) == 1);
    must(SSL_CTX_set_session_id_context(x, scope, RESUME_SCOPE) == 1);
    must(SSL_CTX_set_tlsext_ticket_key_evp_cb(x, on_key) == 1);
    must(SSL_CTX_set_session_ticket_cb(x, on_seal, on_open, NULL) == 1);
    must(SSL_CTX_set_num_tickets(x, 1) == 1);
    SSL_CTX_set_timeout(x, TICKET_PERIOD_S);
    return r;
}
