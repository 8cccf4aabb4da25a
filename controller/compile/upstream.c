/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/upstream.h"

#include "controller/compile/certificate.h"
#include "controller/compile/material.h"
#include "lib/certificate.h"
#include "lib/pem.h"

/* ---- authorities ---- */

static bool add_authorities(struct making *m, const struct material *x, struct str pem,
                            struct out *all, int *n) {
    struct why why = {0};
    STACK_OF(X509) *certs = pem_certs(pem, &why);
    int more = certs ? sk_X509_num(certs) : 0;
    bool fits = *n + more <= PEM_CERTS_MAX;
    for (int i = 0; fits && i < more; i++)
        pem_put_cert(all, sk_X509_value(certs, i));
    sk_X509_pop_free(certs, X509_free);
    *n += more;
    if (!certs)
        unresolved(m, x->reason, x->at, "%s cannot be used: %s", x->shown, why.text);
    else if (!fits)
        unresolved(m, x->reason, x->at, "more than %d certificates of authorities in all",
                   PEM_CERTS_MAX);
    return certs && fits;
}

bool upstream_authority(struct making *m, const struct resource *policy, const struct at *at,
                        const struct kube_ca_ref *k, struct out *all, int *n) {
    bool secret = str_eq(k->kind, STR("Secret"));
    struct str key = k->key.n > 0 ? k->key : STR("ca.crt");
    struct shown room;
    if (k->group.n > 0) {
        unresolved(
            m, "InvalidKind", AT(at, "group"),
            "%s holds no certificates of authorities; ConfigMaps and Secrets, of group \"\", "
            "do",
            why_show(k->group, &room));
        return false;
    }
    struct material x =
        material_of(m, policy, at, secret ? KUBE_Secret : KUBE_ConfigMap, k->namespace, k->name);
    x.reason = "InvalidCACertificateRef";
    const struct resource *r = material_read(m, &x);
    if (!r)
        return false;
    struct str pem = secret ? resource_secret(r, key) : resource_config(r, key);
    if (pem.p)
        return add_authorities(m, &x, pem, all, n);
    unresolved(m, x.reason, at, "%s has no entry %s", x.shown, why_show(key, &room));
    return false;
}

/* One that cannot be read is one less that is trusted; without any nobody is. */
static int authorities(struct making *m, const struct resource *policy, const struct at *at,
                       const struct kube_upstream_tls *k, struct model_upstream_tls *o) {
    struct out all = out_heap(2 * PEM_BYTES_MAX);
    int n = 0;
    unsigned good = 0;
    for (uint32_t i = 0; i < k->n_ca_refs; i++)
        good += upstream_authority(m, policy, AT_I(at, "caRefs", i), &k->ca_refs[i], &all, &n);
    bool fits = !all.over;
    if (good > 0 && fits)
        o->ca = arena_str(&m->a, out_done(&all));
    out_fini(&all);
    if (good > 0 && fits)
        return 0;
    close_as(m, "NoValidCACertificate", AT(at, "caRefs"),
             "no authority is there that could be trusted, so nothing is sent: the Services that "
             "this policy targets are answered with 503 policy_unavailable until one is");
    return -1;
}

/* ---- what is shown ---- */

static bool pair(struct making *m, const struct resource *policy, const struct at *at,
                 const struct kube_certificate_ref *k, struct model_upstream_tls *o) {
    struct certificate c;
    struct why why = {0};
    struct shown room;
    const char *fault = certificate_ref_fault(m, k);
    if (fault) {
        unresolved(m, "InvalidClientCertificateRef", at, "%s", fault);
        return false;
    }
    struct material x = material_of(m, policy, at, KUBE_Secret, k->namespace, k->name);
    x.reason = "InvalidClientCertificateRef";
    const struct resource *r = material_read(m, &x);
    if (!r)
        return false;
    const struct kube_Secret *s = resource_Secret(r);
    if (!str_eq(s->type, STR("kubernetes.io/tls"))) {
        unresolved(m, x.reason, at, "%s cannot be used: type: %s is not kubernetes.io/tls", x.shown,
                   why_show(s->type.n > 0 ? s->type : STR("Opaque"), &room));
        return false;
    }
    if (certificate_read_client(resource_secret(r, STR("tls.crt")),
                                resource_secret(r, STR("tls.key")), &m->a, &c, &why) != 0) {
        unresolved(m, x.reason, at, "%s cannot be used: %s", x.shown, why.text);
        return false;
    }
    o->client_chain = c.chain;
    o->client_key = c.key;
    return true;
}

static int client_certificate(struct making *m, const struct resource *policy, const struct at *at,
                              const struct kube_upstream_tls *k, struct model_upstream_tls *o) {
    const struct at *ref = AT(at, "clientCertificateRef");
    if (!k->client_certificate_ref || pair(m, policy, ref, k->client_certificate_ref, o))
        return 0;
    close_as(m, "NoValidClientCertificate", ref,
             "the certificate cannot be shown, so nothing is sent: the Services that this policy "
             "targets are answered with 503 policy_unavailable until it can");
    return -1;
}

/* ---- names ---- */

static int names(struct making *m, const struct at *at, const struct kube_upstream_tls *k,
                 struct str name, struct model_upstream_tls *o) {
    o->sni = k->hostname.n > 0 ? lower(&m->a, k->hostname) : name;
    o->hosts = arena_array(&m->a, k->n_subject_alt_names + 1, sizeof(struct str));
    o->uris = arena_array(&m->a, k->n_subject_alt_names + 1, sizeof(struct str));
    if (str_starts(o->sni, STR("*."))) {
        close_as(m, "Invalid", AT(at, "hostname"),
                 "one name is asked for, without wildcard; nothing is sent until it is one");
        return -1;
    }
    for (uint32_t i = 0; i < k->n_subject_alt_names; i++) {
        const struct kube_san *s = &k->subject_alt_names[i];
        bool host = str_eq(s->type, STR("Hostname"));
        if ((s->hostname.n > 0) != host || (s->uri.n > 0) == host) {
            close_as(m, "Invalid", AT_I(at, "subjectAltNames", i),
                     "type Hostname needs hostname alone, type URI needs uri alone; nothing is "
                     "sent until it is so");
            return -1;
        }
        if (host)
            o->hosts[o->n_hosts++] = lower(&m->a, s->hostname);
        else
            o->uris[o->n_uris++] = s->uri;
    }
    if (k->n_subject_alt_names == 0)
        o->hosts[o->n_hosts++] = o->sni;
    return 0;
}

static int unverified(struct making *m, const struct at *at, const struct kube_upstream_tls *k,
                      struct model_upstream_tls *o) {
    const struct at *switched = AT(at, "insecureSkipVerify");
    if (k->n_ca_refs > 0 || k->n_subject_alt_names > 0) {
        close_as(m, "Invalid", switched,
                 "caRefs and subjectAltNames say what is verified, and this says that nothing is; "
                 "remove one of them. Until then nothing is sent");
        return -1;
    }
    warn(m, switched,
         "whoever answers at an endpoint's address is believed and gets the requests; for tests "
         "alone");
    o->insecure_skip_verify = true;
    o->n_hosts = 0;
    return 0;
}

int upstream_tls_at(struct making *m, const struct at *at, const struct resource *of,
                    const struct kube_upstream_tls *k, struct str name,
                    struct model_upstream_tls *o) {
    *o = (struct model_upstream_tls){.min_version = k->min_version};
    if (names(m, at, k, name, o) != 0 || (k->insecure_skip_verify && unverified(m, at, k, o) != 0))
        return -1;
    int bad = client_certificate(m, of, at, k, o);
    if (k->n_ca_refs > 0)
        bad |= authorities(m, of, at, k, o);
    return bad;
}

int upstream_tls(struct making *m, const struct resource *policy, const struct kube_upstream_tls *k,
                 struct str name, struct model_upstream_tls *o) {
    static const struct kube_upstream_tls defaults = {0};
    const struct at *at = AT(AT(AT(NULL, "spec"), "connection"), "tls");
    return upstream_tls_at(m, at, policy, k ? k : &defaults, name, o);
}
