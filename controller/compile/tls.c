/* SPDX-License-Identifier: Apache-2.0
 *
 * tls: what the `tls` of a Route or an Ingress asks for: which certificates its hosts show, and
 * what a plain request gets.
 */
#include "controller/compile/route.h"

#include "controller/compile/certificate.h"
#include "controller/kube/rule.h"
#include "lib/certificate.h"

/* The certificates of one host while they are gathered. */
struct shown_certificates {
    struct model_route_tls *tls;
    bool live, covered;
};

static struct model_route_tls *tls_new(struct making *m, bool redirect) {
    struct model_route_tls *tls = arena_zalloc(&m->a, sizeof(*tls));
    tls->certificates = arena_array(&m->a, HOST_CERTIFICATES_MAX, sizeof(struct str));
    tls->redirect = redirect;
    return tls;
}

static int add_certificate(struct making *m, const struct at *at, struct shown_certificates *s,
                           struct str hostname, const struct certificate_ref *ref) {
    struct model_route_tls *tls = s->tls;
    s->live |= ref->live;
    s->covered |= hostname.n == 0 || certificate_covers(ref->names, ref->n_names, hostname);
    for (uint32_t i = 0; i < tls->n_certificates; i++)
        if (str_eq(tls->certificates[i], ref->id))
            return 0;
    if (tls->n_certificates == HOST_CERTIFICATES_MAX)
        return refuse(m, at,
                      "a host has more than %d certificates; two, ECDSA and RSA, serve every "
                      "client",
                      HOST_CERTIFICATES_MAX);
    tls->certificates[tls->n_certificates++] = ref->id;
    return 0;
}

/* Whether the unit may go on; else it waits, or stays as it is until all Secrets are known. */
static int gathered(struct making *m, const struct at *at, const struct shown_certificates *of) {
    if (m->wait || (m->keep && m->u->objects.n > 0))
        return -1;
    m->tls = arena_array(&m->a, m->n_hosts, sizeof(struct model_route_tls *));
    for (size_t i = 0; i < m->n_hosts; i++) {
        m->tls[i] = of[i].tls;
        if (of[i].tls && of[i].live && !of[i].covered && !of[i].tls->default_certificate)
            warn(m, at,
                 "none of these certificates has the name %.*s, so no client will trust them there",
                 STR_FMT(m->hosts[i]));
    }
    return 0;
}

/* ---- Route ---- */

/* Whether the reference may be followed; else it has been said why not. */
static bool may_follow(struct making *m, const struct at *at, const struct kube_certificate_ref *k,
                       struct str ns, const char *shown) {
    const char *fault = certificate_ref_fault(m, k);
    if (fault) {
        unresolved(m, "InvalidCertificateRef", at, "%s", fault);
        return false;
    }
    if (str_eq(ns, m->r->meta.namespace) || granted(m, m->r, STR(""), STR("Secret"), ns, k->name))
        return true;
    unresolved(m, "RefNotPermitted", at,
               "%s is in another namespace and no ReferenceGrant there allows this reference",
               shown);
    return false;
}

static int route_ref(struct making *m, const struct at *at, const struct kube_certificate_ref *k,
                     struct shown_certificates *of) {
    struct str ns = k->namespace.n > 0 ? k->namespace : m->r->meta.namespace;
    const char *shown = arena_fmt(&m->a, "Secret %.*s%s%.*s", STR_FMT(k->namespace),
                                  k->namespace.n > 0 ? "/" : "", STR_FMT(k->name))
                            .p;
    struct certificate_ref ref;
    if (!may_follow(m, at, k, ns, shown))
        return 0;
    certificate_ref(m, at, shown, ns, k->name, &ref);
    for (size_t i = 0; i < m->n_hosts; i++)
        if (add_certificate(m, at, &of[i], m->hosts[i], &ref) != 0)
            return -1;
    return 0;
}

int route_tls(struct making *m, const struct kube_route_tls *k) {
    const struct at *at = AT(AT(NULL, "spec"), "tls");
    struct shown_certificates *of = arena_array(&m->a, m->n_hosts, sizeof(*of));
    for (size_t i = 0; k && i < m->n_hosts; i++) {
        of[i].tls = tls_new(m, k->redirect);
        of[i].tls->default_certificate = k->n_certificate_refs == 0;
    }
    for (uint32_t i = 0; k && i < k->n_certificate_refs; i++)
        if (route_ref(m, AT_I(at, "certificateRefs", i), &k->certificate_refs[i], of) != 0)
            return -1;
    return gathered(m, at, of);
}

/* ---- Ingress ---- */

/* "*.example.com" in tls is for shop.example.com in a rule, too. */
static bool is_for(struct str tls_host, struct str host) {
    size_t dot = str_find(host, '.', 0);
    return str_eq_nocase(tls_host, host) ||
           (str_starts(tls_host, STR("*.")) && dot > 0 && dot < host.n &&
            str_eq_nocase(str_skip(tls_host, 1), str_skip(host, dot)));
}

/* Marks the hosts that an entry is for; without names it is for all. How many. */
static size_t mark_hosts(struct making *m, const struct at *at, const struct kube_ingress_tls *k,
                         bool *marked) {
    struct shown room;
    size_t n = 0;
    for (uint32_t t = 0; t < k->n_hosts; t++) {
        bool found = false;
        for (size_t i = 0; i < m->n_hosts; i++) {
            bool is = m->hosts[i].n > 0 && is_for(k->hosts[t], m->hosts[i]);
            n += is && !marked[i];
            marked[i] |= is;
            found |= is;
        }
        if (!found)
            warn(m, AT_I(at, "hosts", t),
                 "%s is the host of no rule here, so this has no effect; name it in a rule as well",
                 why_show(k->hosts[t], &room));
    }
    for (size_t i = 0; k->n_hosts == 0 && i < m->n_hosts; i++, n++)
        marked[i] = true;
    return n;
}

static int ingress_entry(struct making *m, const struct at *at, const struct kube_ingress_tls *k,
                         struct shown_certificates *of) {
    bool *marked = arena_array(&m->a, m->n_hosts, sizeof(bool));
    const struct at *name = AT(at, "secretName");
    struct certificate_ref ref = {0};
    struct shown room;
    if (k->secret_name.n > 0 && !kube_is_name(k->secret_name))
        return refuse(m, name, "%s is not the name of a Secret", why_show(k->secret_name, &room));
    if (mark_hosts(m, at, k, marked) == 0)
        return 0;
    if (k->secret_name.n > 0)
        certificate_ref(m, name, arena_fmt(&m->a, "Secret %.*s", STR_FMT(k->secret_name)).p,
                        m->r->meta.namespace, k->secret_name, &ref);
    for (size_t i = 0; i < m->n_hosts; i++) {
        if (!marked[i])
            continue;
        if (!of[i].tls)
            of[i].tls = tls_new(m, m->class->ssl_redirect);
        if (ref.id.n == 0)
            of[i].tls->default_certificate = true;
        else if (add_certificate(m, name, &of[i], m->hosts[i], &ref) != 0)
            return -1;
    }
    return 0;
}

int ingress_tls(struct making *m, const struct kube_Ingress *k) {
    const struct at *at = AT(AT(NULL, "spec"), "tls");
    size_t names = 0;
    for (uint32_t i = 0; i < k->n_tls; i++)
        names += size_max(k->tls[i].n_hosts, 1);
    if (names > INGRESS_TLS_MAX)
        return refuse(m, at, "%zu hosts are more than the limit of %d", names, INGRESS_TLS_MAX);
    struct shown_certificates *of = arena_array(&m->a, m->n_hosts, sizeof(*of));
    for (uint32_t i = 0; i < k->n_tls; i++)
        if (ingress_entry(m, AT_I(AT(NULL, "spec"), "tls", i), &k->tls[i], of) != 0)
            return -1;
    return gathered(m, at, of);
}

/* ---- both ---- */

/* Challenges of ACME come in clear (RFC 8555 8.3), whatever else the host wants. */
static bool is_challenge(const struct model_match *match) {
    const struct str under = STR("/.well-known/acme-challenge");
    return match->path_type != MODEL_PATH_REGEX && str_starts(match->path, under) &&
           (match->path.n == under.n || match->path.p[under.n] == '/');
}

static bool all_challenges(const struct model_route *o) {
    for (uint32_t i = 0; i < o->n_matches; i++)
        if (!is_challenge(&o->matches[i]))
            return false;
    return o->n_matches > 0;
}

void route_secure(struct making *m, const struct model_route_tls *tls, struct model_route *o) {
    if (!tls)
        return;
    o->tls = arena_zalloc(&m->a, sizeof(*o->tls));
    *o->tls = *tls;
    if (all_challenges(o))
        o->tls->redirect = false;
}

void route_certify(struct making *m) {
    for (size_t i = 0; i < m->n_hosts; i++)
        claim_certify(m->c, m->u, m->class->name, m->hosts[i], m->tls[i]);
}
