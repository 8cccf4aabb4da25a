/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/passing.h"

/* The TLS is the backend's: nothing of it can be said here. */
static int check_tls(struct making *m, const struct at *at, const struct kube_listener_tls *t) {
    if (!t || t->mode != MODEL_PASSTHROUGH)
        return refuse(m, AT(at, "mode"),
                      "a TLS listener passes on what it is sent; write mode: Passthrough, or "
                      "protocol HTTPS");
    if (t->default_certificate_ref)
        return refuse(m, AT(at, "defaultCertificateRef"),
                      "with Passthrough the backend has the certificate; remove it");
    if (t->min_version != MODEL_TLS_DEFAULT)
        return refuse(m, AT(at, "minVersion"),
                      "with Passthrough the backend decides about versions; remove it");
    if (t->client_validation)
        return refuse(m, AT(at, "clientValidation"),
                      "with Passthrough the backend judges its clients; remove it");
    return 0;
}

int passing_check(struct making *m, const struct at *at, const struct kube_listener *l) {
    const struct kube_object_ref *r = l->backend_ref;
    if (!r)
        return refuse(m, AT(at, "backendRef"), "a %s listener needs a Service",
                      model_word(&model_words_protocol, l->protocol));
    if (r->namespace.n == 0)
        return refuse(m, AT(AT(at, "backendRef"), "namespace"),
                      "a GatewayConfig has no namespace; name the Service's");
    if (r->port < 1)
        return refuse(m, AT(AT(at, "backendRef"), "port"), "a Service needs a port");
    if (l->protocol == MODEL_TLS)
        return check_tls(m, AT(at, "tls"), l->tls);
    if (l->tls)
        return refuse(m, AT(at, "tls"), "a TCP listener has no tls; remove it, or say TLS");
    if (l->n_hostnames > 0)
        return refuse(m, AT(at, "hostnames"), "a TCP listener learns no name; remove hostnames");
    return 0;
}

/* The names of one are looked for in the other; no names are a name too. */
static int check_names(struct making *m, const struct at *at, const struct kube_listener *one,
                       const struct kube_listener *other, uint32_t k) {
    struct shown shown;
    if (one->n_hostnames == 0 && other->n_hostnames == 0)
        return refuse(m, AT(at, "hostnames"),
                      "listeners[%u] has the same port and no hostnames either; one of them must "
                      "say which are its own",
                      k);
    for (uint32_t i = 0; i < one->n_hostnames; i++)
        for (uint32_t j = 0; j < other->n_hostnames; j++)
            if (str_eq_nocase(one->hostnames[i], other->hostnames[j]))
                return refuse(m, AT_I(at, "hostnames", i),
                              "listeners[%u] has the same port and %s as well", k,
                              why_show(one->hostnames[i], &shown));
    return 0;
}

static bool may_share(const struct kube_listener *a, const struct kube_listener *b) {
    bool one = a->protocol == MODEL_TLS || b->protocol == MODEL_TLS;
    return one && (a->protocol == MODEL_TLS || a->protocol == MODEL_HTTPS) &&
           (b->protocol == MODEL_TLS || b->protocol == MODEL_HTTPS);
}

int passing_check_port(struct making *m, const struct at *at, const struct kube_GatewayConfig *g,
                       uint32_t i) {
    const struct kube_listener *l = &g->listeners[i];
    for (uint32_t k = 0; k < i; k++) {
        const struct kube_listener *other = &g->listeners[k];
        if (other->port != l->port)
            continue;
        if (!may_share(l, other))
            return refuse(m, AT(at, "port"), "listeners[%u] has the same port", k);
        if (check_names(m, at, l, other, k) != 0)
            return -1;
    }
    return 0;
}
