/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/auth_parts.h"

#include "controller/compile/certificate.h"
#include "controller/compile/material.h"
#include "controller/compile/upstream.h"
#include "lib/authority.h"
#include "lib/certificate.h"
#include "lib/pem.h"

/* ---- names ---- */

/* spiffe://example.com* would be spiffe://example.com.evil.org too. */
static bool uri_is_good(struct str uri) {
    size_t star = str_find(uri, '*', 0), colon = str_find(uri, ':', 0);
    if (star == uri.n)
        return true;
    bool authority = colon < uri.n && str_starts(str_skip(uri, colon), STR("://"));
    size_t path = authority ? str_find(uri, '/', colon + 3) : colon;
    return star == uri.n - 1 && path < star;
}

/* RFC 5280 7.5: domains have no case, what is before the @ has. */
static struct str email_of(struct making *m, struct str text) {
    size_t at = str_find(text, '@', 0);
    bool good = at > 0 && at + 1 < text.n && str_find(text, '@', at + 1) == text.n &&
                str_find(text, '*', at == 1 && text.p[0] == '*') == text.n;
    if (!good)
        return STR_NONE;
    struct str domain = lower(&m->a, str_skip(text, at));
    return arena_fmt(&m->a, "%.*s%.*s", (int)at, text.p, STR_FMT(domain));
}

struct str auth_san(struct making *m, const struct kube_client_san *k, const char **why) {
    bool host = str_eq(k->type, STR("Hostname")), uri = str_eq(k->type, STR("URI"));
    *why = "type Hostname needs hostname alone, type URI uri alone, type Email email alone";
    if ((k->hostname.n > 0) != host || (k->uri.n > 0) != uri || (k->email.n > 0) != !(host || uri))
        return STR_NONE;
    if (host)
        return lower(&m->a, k->hostname);
    *why = uri ? "* stands at the end, behind the / that ends the trust domain, as in "
                 "spiffe://example.com/*"
               : "it is no address as joe@example.com, or *@example.com";
    return !uri ? email_of(m, k->email) : uri_is_good(k->uri) ? k->uri : STR_NONE;
}

void auth_needs_certificates(struct making *m, const struct at *at, bool judged) {
    if (!class_asks_clients(m, false))
        warn(m, at,
             "no listener asks clients for certificates, so nobody can show one; write "
             "tls.clientValidation at a listener of a GatewayConfig");
    else if (judged && !class_asks_clients(m, true))
        warn(m, at,
             "no listener judges certificates of clients itself (mode Request), so without caRefs "
             "here nobody is believed; write caRefs");
}

/* One that cannot be read is one less that is trusted; without any nobody is. */
static bool authorities(struct making *m, const struct at *at,
                        const struct kube_client_certificate *k, struct model_auth_certificate *o) {
    struct out all = out_heap(PEM_BYTES_MAX);
    unsigned good = 0;
    int n = 0;
    for (uint32_t i = 0; i < k->n_ca_refs; i++)
        good += upstream_authority(m, m->r, AT_I(at, "caRefs", i), &k->ca_refs[i], &all, &n);
    bool fits = !all.over;
    if (good > 0 && fits)
        o->ca = arena_str(&m->a, out_done(&all));
    out_fini(&all);
    if (good > 0 && fits)
        return true;
    close_as(m, "NoValidCACertificate", AT(at, "caRefs"),
             fits ? "no authority is there that could be believed, so everything that this policy "
                    "targets is answered with 503 policy_unavailable until one is"
                  : "more than 256 KiB of certificates; everything that this policy targets is "
                    "answered with 503 policy_unavailable until they are fewer");
    return false;
}

/* Each of them must be there: a list that is missing revokes nobody. */
static bool add_revoked(struct making *m, const struct at *at, const struct kube_ca_ref *k,
                        struct out *all) {
    bool secret = str_eq(k->kind, STR("Secret"));
    struct str key = k->key.n > 0 ? k->key : STR("ca.crl");
    struct shown room;
    struct why why = {0};
    if (k->group.n > 0) {
        unresolved(m, "InvalidKind", AT(at, "group"),
                   "%s holds no lists of revoked certificates; ConfigMaps and Secrets, of group "
                   "\"\", do",
                   why_show(k->group, &room));
        return false;
    }
    struct material x =
        material_of(m, m->r, at, secret ? KUBE_Secret : KUBE_ConfigMap, k->namespace, k->name);
    x.reason = "InvalidCRLRef";
    const struct resource *r = material_read(m, &x);
    if (!r)
        return false;
    struct str pem = secret ? resource_secret(r, key) : resource_config(r, key);
    if (!pem.p) {
        unresolved(m, x.reason, at, "%s has no entry %s", x.shown, why_show(key, &room));
        return false;
    }
    STACK_OF(X509_CRL) *lists = pem_crls(pem, &why);
    if (!lists)
        unresolved(m, x.reason, at, "%s cannot be used: %s", x.shown, why.text);
    sk_X509_CRL_pop_free(lists, X509_CRL_free);
    out_str(all, pem);
    out_char(all, '\n');
    return lists != NULL;
}

static bool revoked(struct making *m, const struct at *at, const struct kube_client_certificate *k,
                    struct model_auth_certificate *o) {
    struct out all = out_heap(PEM_CRL_BYTES_MAX);
    bool good = true;
    for (uint32_t i = 0; i < k->n_crl_refs && good; i++)
        good = add_revoked(m, AT_I(at, "crlRefs", i), &k->crl_refs[i], &all);
    bool fits = !all.over;
    if (good && fits)
        o->crl = arena_str(&m->a, out_done(&all));
    out_fini(&all);
    if (good && fits)
        return true;
    close_as(m, "RevokedUnavailable", AT(at, "crlRefs"),
             fits ? "nobody knows which certificates are revoked, so everything that this policy "
                    "targets is answered with 503 policy_unavailable until it can be read"
                  : "more than 1 MiB of lists; everything that this policy targets is answered "
                    "with 503 policy_unavailable until they are smaller");
    return false;
}

/* All of it together, as workers will read it. */
static bool terms_are_good(struct making *m, const struct at *at,
                           const struct model_auth_certificate *o) {
    struct authority a;
    struct why why = {0};
    STACK_OF(X509_CRL) *lists = NULL;
    if (o->ca.n > 0 && authority_load(&a, o->ca, o->crl, &why) == 0) {
        if (a.until < m->c->now)
            warn(m, AT(at, "crlRefs"),
                 "a list of revoked certificates has expired on %.*s, so those of its issuer are "
                 "refused; put a new one there",
                 STR_FMT(certificate_day(&m->a, a.until)));
        if (a.until != UINT64_MAX)
            certificate_expires(m, a.until);
        authority_fini(&a);
    } else if (o->ca.n == 0 && o->crl.n > 0) {
        lists = pem_crls(o->crl, &why);
        sk_X509_CRL_pop_free(lists, X509_CRL_free);
    }
    if (!why_set(&why))
        return true;
    close_as(m, "InvalidCACertificateRef", at,
             "%s, so everything that this policy targets is answered with 503 policy_unavailable",
             why.text);
    return false;
}

static bool names(struct making *m, const struct at *at, const struct kube_client_certificate *k,
                  struct model_auth_certificate *o) {
    o->hosts = arena_array(&m->a, k->n_subject_alt_names, sizeof(struct str));
    o->uris = arena_array(&m->a, k->n_subject_alt_names, sizeof(struct str));
    o->emails = arena_array(&m->a, k->n_subject_alt_names, sizeof(struct str));
    o->common_names = k->common_names;
    o->n_common_names = k->n_common_names;
    for (uint32_t i = 0; i < k->n_subject_alt_names; i++) {
        const struct kube_client_san *s = &k->subject_alt_names[i];
        const char *why;
        struct str name = auth_san(m, s, &why);
        if (name.n == 0) {
            refuse(m, AT_I(at, "subjectAltNames", i), "%s", why);
            return false;
        }
        if (s->hostname.n > 0)
            o->hosts[o->n_hosts++] = name;
        else if (s->uri.n > 0)
            o->uris[o->n_uris++] = name;
        else
            o->emails[o->n_emails++] = name;
    }
    return true;
}

bool auth_certificate_make(struct making *m, const struct at *at,
                           const struct kube_client_certificate *k,
                           struct model_auth_method_config *o) {
    struct model_auth_certificate *c = o->certificate = arena_zalloc(&m->a, sizeof(*c));
    auth_needs_certificates(m, at, k->n_ca_refs == 0);
    o->consumers = k->consumers ? auth_scope(m, at, k->consumers) : NULL;
    if (!names(m, at, k, c) || (k->n_ca_refs > 0 && !authorities(m, at, k, c)) ||
        (k->n_crl_refs > 0 && !revoked(m, at, k, c)))
        return false;
    return terms_are_good(m, at, c);
}
