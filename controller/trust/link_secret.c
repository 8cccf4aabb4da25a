/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/trust/link_secret.h"

#include "lib/base64.h"
#include "lib/mem.h"

#include <openssl/err.h>
#include <openssl/evp.h>

void link_secret_fini(struct link_secret *s) {
    pki_fini(&s->ca);
    pki_fini(&s->next);
    pki_fini(&s->leaf);
    X509_free(s->old);
    out_fini(&s->chain);
    out_fini(&s->foreign_ca);
    tickets_fini(&s->tickets);
    signing_fini(&s->signing);
    tickets_fini(&s->sessions);
    *s = (struct link_secret){0};
}

/* ---- reading ---- */

/* A key of "data", decoded; false: it is not there, or no base64. */
static bool field(const cJSON *data, const char *name, struct out *o) {
    struct str text = json_text(data, name);
    char *room;
    size_t n = 0;
    *o = out_heap(PEM_BYTES_MAX + 4);
    if (text.n == 0 || !(room = out_take(o, BASE64_ROOM(text.n))))
        return false;
    bool good = base64_decode(text, room, &n) && n > 0;
    o->n = good ? n : 0;
    return good;
}

static bool has(const cJSON *data, const char *name) { return json_get(data, name) != NULL; }

/* A pair of keys; neither is fine where the pair may be missing. */
static int read_pair(const cJSON *data, const char *cert, const char *key, struct pki_pair *p,
                     struct out *chain, struct why *why) {
    struct out c, k;
    int bad = 0;
    bool both = field(data, cert, &c);
    both = field(data, key, &k) && both;
    why_field(why, "%s", cert);
    if (both)
        bad = pki_read(p, out_done(&c), out_done(&k), why);
    else if (has(data, cert) || has(data, key))
        bad = why_text(why, "one of %s and %s is missing, or is not base64", cert, key);
    out_fini(&k);
    if (chain)
        *chain = c;
    else
        out_fini(&c);
    return bad;
}

static int read_cert(const cJSON *data, const char *name, X509 **to, struct why *why) {
    struct out o;
    int bad = 0;
    why_field(why, "%s", name);
    if (field(data, name, &o)) {
        STACK_OF(X509) *certs = pem_certs(out_done(&o), why);
        *to = certs ? sk_X509_shift(certs) : NULL;
        sk_X509_pop_free(certs, X509_free);
        bad = *to ? 0 : -1;
    } else if (has(data, name)) {
        bad = why_text(why, "it is not base64");
    }
    out_fini(&o);
    return bad;
}

static int read_foreign(struct link_secret *s, const cJSON *data, struct why *why) {
    s->foreign = true;
    if (read_pair(data, "tls.crt", "tls.key", &s->leaf, &s->chain, why) != 0)
        return -1;
    if (!s->leaf.cert)
        return why_text(why, "it is not filled yet");
    why_field(why, "ca.crt");
    if (!field(data, "ca.crt", &s->foreign_ca))
        return why_text(why, "is missing: proxies verify tls.crt by it");
    STACK_OF(X509) *certs = pem_certs(out_done(&s->foreign_ca), why);
    sk_X509_pop_free(certs, X509_free);
    return certs ? 0 : -1;
}

/* Those that cannot be read are made anew: nothing depends on the old ones. */
static void read_tickets(const cJSON *data, const char *name, struct tickets *t) {
    struct out o;
    if (field(data, name, &o))
        (void)tickets_read(t, out_done(&o));
    OPENSSL_cleanse(o.p, o.n);
    out_fini(&o);
}

static void read_signing(const cJSON *data, struct signing *s) {
    struct out o;
    if (field(data, "signing", &o))
        (void)signing_read(s, out_done(&o));
    OPENSSL_cleanse(o.p, o.n);
    out_fini(&o);
}

static int read_ours(struct link_secret *s, const cJSON *data, struct why *why) {
    if (read_pair(data, "ca.crt", "ca.key", &s->ca, NULL, why) != 0 ||
        read_pair(data, "ca-next.crt", "ca-next.key", &s->next, NULL, why) != 0 ||
        read_cert(data, "ca-old.crt", &s->old, why) != 0)
        return -1;
    read_tickets(data, "tickets", &s->tickets);
    read_tickets(data, "sessions", &s->sessions);
    read_signing(data, &s->signing);
    return read_pair(data, "tls.crt", "tls.key", &s->leaf, &s->chain, why);
}

int link_secret_read(struct link_secret *s, const cJSON *secret, struct why *why) {
    const cJSON *data = json_get(secret, "data");
    struct why inner = {0};
    *s = (struct link_secret){0};
    int bad = str_eq(json_text(secret, "type"), STR("kubernetes.io/tls"))
                  ? read_foreign(s, data, &inner)
                  : read_ours(s, data, &inner);
    if (!bad)
        return 0;
    link_secret_fini(s);
    if (why)
        *why = inner;
    return -1;
}

/* ---- renewing ---- */

static int64_t age(const X509 *cert, int64_t now) {
    return now - pki_not_before(cert) - PKI_BACKDATE_S;
}

static void retire(struct link_secret *s) {
    X509_free(s->old);
    s->old = s->ca.cert;
    EVP_PKEY_free(s->ca.key);
    s->ca = s->next;
    s->next = (struct pki_pair){0};
}

static bool renew_ca(struct link_secret *s, int64_t now, bool published) {
    if (!s->ca.cert || pki_not_after(s->ca.cert) <= now) { /* nothing to overlap with */
        pki_fini(&s->ca);
        s->ca = pki_ca(now, LINK_CA_S);
        return true;
    }
    if (s->next.cert && published && age(s->next.cert, now) >= LINK_OVERLAP_S) {
        retire(s);
        return true;
    }
    if (!s->next.cert && pki_is_due(s->ca.cert, now)) {
        s->next = pki_ca(now, LINK_CA_S);
        return true;
    }
    if (s->old && age(s->ca.cert, now) >= 3 * (int64_t)LINK_OVERLAP_S) {
        X509_free(s->old);
        s->old = NULL;
        return true;
    }
    return false;
}

static bool renew_leaf(struct link_secret *s, int64_t now, const char *const *names, size_t n) {
    X509 *leaf = s->leaf.cert;
    if (leaf && pki_signed_by(leaf, s->ca.cert) && !pki_is_due(leaf, now) &&
        pki_has_names(leaf, names, n))
        return false;
    pki_fini(&s->leaf);
    s->leaf = pki_leaf(&s->ca, now, LINK_LEAF_S, names, n);
    out_fini(&s->chain);
    s->chain = out_heap(PEM_BYTES_MAX);
    pem_put_cert(&s->chain, s->leaf.cert);
    return true;
}

bool link_secret_renew(struct link_secret *s, int64_t now, bool published, const char *const *names,
                       size_t n, uint32_t ticket_s, uint32_t signing_s) {
    if (s->foreign) {
        tickets_derive(&s->tickets, s->leaf.key, "ticket", now, ticket_s);
        tickets_derive(&s->sessions, s->leaf.key, "session", now, SESSION_PERIOD_S);
        return false;
    }
    bool ca = renew_ca(s, now, published), leaf = renew_leaf(s, now, names, n);
    bool signing = signing_s > 0 && signing_renew(&s->signing, now, signing_s);
    bool tickets = tickets_renew(&s->tickets, now, ticket_s);
    bool sessions = tickets_renew(&s->sessions, now, SESSION_PERIOD_S);
    return tickets || sessions || signing || ca || leaf;
}

/* ---- writing ---- */

struct writer {
    struct out *o;
    bool patch, any;
};

static void put_field(struct writer *w, const char *name, const struct out *pem) {
    if (pem->n == 0 && !w->patch)
        return;
    out_fmt(w->o, "%s\"%s\":", w->any ? "," : "", name);
    w->any = true;
    if (pem->n == 0) {
        out_lit(w->o, "null");
        return;
    }
    char *room = mem_alloc(pem->n / 3 * 4 + 8);
    int n = EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)pem->p, (int)pem->n);
    out_char(w->o, '"');
    out_bytes(w->o, room, (size_t)n);
    out_char(w->o, '"');
    OPENSSL_cleanse(room, (size_t)n);
    mem_free(room);
}

static void put_cert(struct writer *w, const char *name, X509 *cert) {
    struct out pem = out_heap(PEM_BYTES_MAX);
    if (cert)
        pem_put_cert(&pem, cert);
    put_field(w, name, &pem);
    out_fini(&pem);
}

static void put_key(struct writer *w, const char *name, EVP_PKEY *key) {
    struct out pem = out_heap(PEM_BYTES_MAX);
    if (key)
        pem_put_key(&pem, key);
    put_field(w, name, &pem);
    OPENSSL_cleanse(pem.p, pem.n);
    out_fini(&pem);
}

static void put_tickets(struct writer *w, const char *name, const struct tickets *t) {
    struct out bytes = out_heap(PEM_BYTES_MAX);
    tickets_write(t, &bytes);
    put_field(w, name, &bytes);
    OPENSSL_cleanse(bytes.p, bytes.n);
    out_fini(&bytes);
}

static void put_signing(struct writer *w, const struct signing *s) {
    struct out bytes = out_heap(PEM_BYTES_MAX);
    if (s->n > 0)
        signing_write(s, &bytes);
    put_field(w, "signing", &bytes);
    OPENSSL_cleanse(bytes.p, bytes.n);
    out_fini(&bytes);
}

void link_secret_data(const struct link_secret *s, bool patch, struct out *o) {
    struct writer w = {o, patch, false};
    out_char(o, '{');
    put_cert(&w, "ca.crt", s->ca.cert);
    put_key(&w, "ca.key", s->ca.key);
    put_cert(&w, "ca-next.crt", s->next.cert);
    put_key(&w, "ca-next.key", s->next.key);
    put_cert(&w, "ca-old.crt", s->old);
    put_field(&w, "tls.crt", &s->chain);
    put_key(&w, "tls.key", s->leaf.key);
    put_tickets(&w, "tickets", &s->tickets);
    put_tickets(&w, "sessions", &s->sessions);
    put_signing(&w, &s->signing);
    out_char(o, '}');
}

void link_secret_cas(const struct link_secret *s, struct out *o) {
    out_str(o, out_done(&s->foreign_ca));
    X509 *const all[] = {s->ca.cert, s->next.cert, s->old};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i])
            pem_put_cert(o, all[i]);
}

void link_secret_cert(const struct link_secret *s, struct out *o) {
    out_str(o, out_done(&s->chain));
}
void link_secret_key(const struct link_secret *s, struct out *o) { pem_put_key(o, s->leaf.key); }
