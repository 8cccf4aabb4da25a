/* SPDX-License-Identifier: Apache-2.0
 *
 * clients: what a listener asks of clients' certificates: PEM of Secrets and ConfigMaps, checked
 * and put together. Where one of them cannot be used nobody can be judged, so the listener is
 * closed: it does no handshakes until it can.
 */
#include "controller/compile/clients.h"

#include "controller/compile/certificate.h"
#include "lib/authority.h"
#include "lib/certificate.h"
#include "lib/pem.h"

enum { BUNDLE_MAX = 1 << 20 };

/* ---- references ---- */

static int check_refs(struct making *m, const struct at *at, const char *list,
                      const struct kube_ca_ref *refs, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const struct at *ref = AT_I(at, list, i);
        struct shown room;
        if (refs[i].group.n > 0)
            return refuse(m, AT(ref, "group"), "%s has no Secrets or ConfigMaps; leave it out",
                          why_show(refs[i].group, &room));
        if (refs[i].namespace.n == 0)
            return refuse(m, AT(ref, "namespace"),
                          "a GatewayConfig has no namespace; name that of "
                          "the Secret or ConfigMap");
    }
    return 0;
}

int clients_check(struct making *m, const struct at *listener,
                  const struct kube_client_validation *v) {
    const struct at *at = AT(AT(listener, "tls"), "clientValidation");
    if (!v || v->mode == MODEL_CLIENT_NONE)
        return 0;
    if (v->mode == MODEL_CLIENT_REQUEST && v->n_ca_refs + v->n_crl_refs > 0)
        return refuse(m, AT(at, v->n_ca_refs > 0 ? "caRefs" : "crlRefs"),
                      "nobody is judged by them with mode Request; leave them out, and write them "
                      "in the AuthPolicies");
    if (v->mode == MODEL_CLIENT_REQUEST)
        return 0;
    if (v->n_ca_refs == 0)
        return refuse(m, AT(at, "caRefs"), "must name an authority, or everybody could sign");
    return check_refs(m, at, "caRefs", v->ca_refs, v->n_ca_refs) == 0
               ? check_refs(m, at, "crlRefs", v->crl_refs, v->n_crl_refs)
               : -1;
}

static bool in_secret(const struct kube_ca_ref *ref) { return str_eq(ref->kind, STR("Secret")); }

static int fault(struct making *m, const struct at *at, const struct kube_ca_ref *ref,
                 const char *what) {
    close_as(m, "InvalidCACertificateRef", at,
             "%s %.*s/%.*s%s, so no client can be judged and the listener does no handshakes",
             in_secret(ref) ? "Secret" : "ConfigMap", STR_FMT(ref->namespace), STR_FMT(ref->name),
             what);
    return -1;
}

/* -1: it cannot be used; it has been said why, or is not known yet (m->keep). */
static int read_entry(struct making *m, const struct at *at, const struct kube_ca_ref *ref,
                      const char *usual, struct str *text) {
    enum kube_kind kind = in_secret(ref) ? KUBE_Secret : KUBE_ConfigMap;
    struct str key = ref->key.n > 0 ? ref->key : str_of(usual);
    const struct why *why = NULL;
    const struct resource *r = store_read(m->c->store, m->u->su, kind, ref->namespace, ref->name);
    if (!r && store_is_unknown(m->c->store, kind, ref->namespace, ref->name, &why)) {
        m->keep = true;
        return -1;
    }
    if (!r)
        return fault(m, at, ref,
                     why ? arena_fmt(&m->a, " cannot be read: %s", why->text).p : " is not there");
    if (r->refused)
        return fault(m, at, ref, arena_fmt(&m->a, " is refused: %s", r->refused->text).p);
    *text = in_secret(ref) ? resource_secret(r, key) : resource_config(r, key);
    if (text->n > 0)
        return 0;
    struct shown room;
    return fault(m, at, ref, arena_fmt(&m->a, " has no key %s", why_show(key, &room)).p);
}

static bool is_crl(struct str text, struct why *why) {
    STACK_OF(X509_CRL) *all = pem_crls(text, why);
    sk_X509_CRL_pop_free(all, X509_CRL_free);
    return all != NULL;
}

static bool is_ca(struct str text, struct why *why) {
    struct authority a;
    if (authority_load(&a, text, STR_NONE, why) != 0)
        return false;
    authority_fini(&a);
    return true;
}

/* All of a list, one after the other, with a line's end between them. */
static int gather(struct making *m, const struct at *at, const char *usual,
                  bool (*is_good)(struct str text, struct why *why), const struct kube_ca_ref *refs,
                  uint32_t n, struct str *pem) {
    struct out o = out_heap(BUNDLE_MAX);
    int bad = 0;
    for (uint32_t i = 0; !bad && i < n; i++) {
        const struct at *ref = AT_I(at->up, at->name, i);
        struct why why = {0};
        struct str text;
        if ((bad = read_entry(m, ref, &refs[i], usual, &text)) != 0)
            break;
        out_str(&o, text);
        out_char(&o, '\n');
        if (!is_good(text, &why))
            bad = fault(m, ref, &refs[i], arena_fmt(&m->a, ": %s", why.text).p);
        else if (o.over)
            bad = fault(m, ref, &refs[i], " is too large: all of them together may have 1 MiB");
    }
    if (!bad)
        *pem = arena_str(&m->a, out_done(&o));
    out_fini(&o);
    return bad;
}

/* ---- what they say ---- */

static int judge(struct making *m, const struct at *at, const struct model_listener_tls *o) {
    struct authority a;
    struct why why = {0};
    if (authority_load(&a, o->client_ca, o->client_crl, &why) != 0) {
        close_as(m, "InvalidCACertificateRef", at,
                 "%s, so no client can be judged and the listener does no handshakes", why.text);
        return -1;
    }
    if (a.until < m->c->now)
        warn(m, AT(at, "crlRefs"),
             "a list of revoked certificates has expired on %.*s, so clients with certificates are "
             "refused; put a new one there",
             STR_FMT(certificate_day(&m->a, a.until)));
    if (a.until != UINT64_MAX)
        certificate_expires(m, a.until);
    authority_fini(&a);
    return 0;
}

void clients_make(struct making *m, const struct at *listener,
                  const struct kube_client_validation *v, struct model_listener_tls *o) {
    const struct at *at = AT(AT(listener, "tls"), "clientValidation");
    if (!v || v->mode == MODEL_CLIENT_NONE)
        return;
    o->client_validation = v->mode;
    if (v->mode == MODEL_CLIENT_REQUEST)
        return;
    o->closed = gather(m, AT(at, "caRefs"), "ca.crt", is_ca, v->ca_refs, v->n_ca_refs,
                       &o->client_ca) != 0 ||
                gather(m, AT(at, "crlRefs"), "ca.crl", is_crl, v->crl_refs, v->n_crl_refs,
                       &o->client_crl) != 0 ||
                judge(m, at, o) != 0;
    if (o->closed)
        o->client_ca = o->client_crl = STR_NONE;
}
