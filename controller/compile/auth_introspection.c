/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/auth_parts.h"

#include "controller/compile/material.h"
#include "controller/compile/outside.h"
#include "controller/compile/route.h"

enum { SECRET_MAX = 1024 }; /* bytes; of the name too */

/* ---- who asks ---- */

/* An entry of the Secret; the line end that an editor has left is none of it. */
static bool entry(struct making *m, const struct at *at, const struct kube_key_ref *ref,
                  struct str key, struct str otherwise, struct str *value) {
    struct material x = material_of(m, m->r, at, KUBE_Secret, STR_NONE, ref->name);
    x.reason = "InvalidClientSecretRef";
    if (!material_entry(m, &x, key, otherwise, value)) {
        close_as(m, "ClientSecretUnavailable", at,
                 "the gateway's password at the authorisation server cannot be read, so everything "
                 "that this policy targets is answered with 503 policy_unavailable until it can");
        return false;
    }
    if (value->n > 0 && value->p[value->n - 1] == '\n')
        value->n--;
    if (value->n > 0 && value->n <= SECRET_MAX)
        return true;
    refuse(m, at, "an entry of the Secret is empty, or has more than %d bytes", SECRET_MAX);
    return false;
}

static bool client_make(struct making *m, const struct at *at, const struct kube_introspection *k,
                        struct model_auth_introspection *o) {
    const struct at *there = AT(at, "clientSecretRef");
    o->post = str_eq(k->client_auth, STR("ClientSecretPost"));
    o->client_id = k->client_id;
    if (o->client_id.n == 0 &&
        !entry(m, there, k->client_secret_ref, STR("client-id"), STR("client-id"), &o->client_id))
        return false;
    return entry(m, there, k->client_secret_ref, k->client_secret_ref->key, STR("client-secret"),
                 &o->client_secret);
}

/* ---- where it is ---- */

static bool outside_make(struct making *m, const struct at *at, const struct kube_introspection *k,
                         struct str method, struct model_auth_introspection *o) {
    const struct at *there = AT(at, "uri");
    struct outside place;
    struct why why = {0};
    if (k->path.n > 0) {
        refuse(m, AT(at, "path"), "is for backendRef; write it into uri");
        return false;
    }
    if (outside_read(&place, &m->a, k->uri, &why) != 0) {
        refuse(m, there, "%s", why.text);
        return false;
    }
    o->host = place.authority;
    o->path = place.target;
    o->backend = outside_backend(m, there, method, &place, AT(at, "caRef"), k->ca_ref);
    return o->backend.n > 0;
}

static bool inside_make(struct making *m, const struct at *at, const struct kube_introspection *k,
                        struct model_auth_introspection *o) {
    if (k->ca_ref) {
        refuse(m, AT(at, "caRef"),
               "is for uri; TLS to a Service is what a TrafficPolicy that targets it says "
               "(connection.tls)");
        return false;
    }
    o->path = k->path.n > 0 ? k->path : STR("/oauth2/introspect");
    if (!auth_path_is_good(m, AT(at, "path"), o->path))
        return false;
    o->backend = auth_service(m, AT(at, "backendRef"), k->backend_ref);
    return o->backend.n > 0;
}

/* ---- the method ---- */

bool auth_introspection_make(struct making *m, const struct at *at,
                             const struct kube_introspection *k,
                             struct model_auth_method_config *o) {
    static const struct model_value_source bearer = {
        MODEL_FROM_HEADER, {"authorization", 13}, {"Bearer ", 7}};
    struct model_auth_introspection *i = o->introspection = arena_zalloc(&m->a, sizeof(*i));
    *i = (struct model_auth_introspection){.audiences = k->audiences,
                                           .n_audiences = k->n_audiences,
                                           .n_claims = k->n_required_claims,
                                           .uncached = k->cache_ttl == 0};
    if (!auth_sources_are_good(m, at, k->from, k->n_from))
        return false;
    o->from = auth_sources(m, k->from, k->n_from, &bearer, &o->n_from);
    o->consumers = k->consumers ? auth_scope(m, at, k->consumers) : NULL;
    i->claims = auth_claims(m, at, "requiredClaims", k->required_claims, k->n_required_claims);
    if (!i->claims)
        return false;
    if ((k->uri.n > 0) == (k->backend_ref != NULL)) {
        refuse(m, at, "write exactly one of uri and backendRef");
        return false;
    }
    if (span_make(m, at, "timeout", k->timeout, false, &i->timeout_ms) != 0 ||
        (!i->uncached && span_make(m, at, "cacheTtl", k->cache_ttl, false, &i->cache_ms) != 0))
        return false;
    if (!client_make(m, at, k, i))
        return false;
    return k->backend_ref ? inside_make(m, at, k, i) : outside_make(m, at, k, o->name, i);
}
