/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/store/index.h"

enum { KEY_MAX = 256 << 10 }; /* bytes; three strings of the longest kind fit */

struct indexing {
    void (*key)(void *arg, struct str key);
    void *arg;
    struct out key_room;
};

/* "a/b/c/d" of up to four parts; an absent one (p == NULL) ends it. */
static void tell(struct indexing *i, struct str a, struct str b, struct str c, struct str d) {
    const struct str parts[] = {a, b, c, d};
    i->key_room.n = 0;
    for (size_t k = 0; k < ARRAY_LEN(parts) && parts[k].p; k++) {
        if (k > 0)
            out_char(&i->key_room, '/');
        out_str(&i->key_room, parts[k]);
    }
    must(!i->key_room.over);
    i->key(i->arg, out_done(&i->key_room));
}

static struct str or_empty(struct str s) { return s.p ? s : STR(""); }

void index_own_key(enum kube_kind kind, struct str ns, struct str name, struct out *o) {
    out_str(o, str_of(kube_kinds[kind].kind));
    out_char(o, '/');
    if (kube_kinds[kind].scope == KUBE_NAMESPACED) {
        out_str(o, ns);
        out_char(o, '/');
    }
    out_str(o, name);
}

/* ---- Routes and Ingresses ---- */

static void used_service(struct indexing *i, const struct resource *r, struct str ns,
                         struct str name) {
    tell(i, STR("Service"), STR("used-by"), ns.n > 0 ? ns : r->meta.namespace, or_empty(name));
}

static bool is_service(struct str group, struct str kind) {
    return group.n == 0 && (kind.n == 0 || str_eq(kind, STR("Service")));
}

static void index_filters(struct indexing *i, const struct resource *r,
                          const struct kube_filter *filters, uint32_t n) {
    for (uint32_t k = 0; k < n; k++) {
        const struct kube_mirror *m = filters[k].request_mirror;
        if (m && is_service(m->backend_ref->group, m->backend_ref->kind))
            used_service(i, r, m->backend_ref->namespace, m->backend_ref->name);
    }
}

static void index_rule(struct indexing *i, const struct resource *r,
                       const struct kube_route_rule *rule) {
    index_filters(i, r, rule->filters, rule->n_filters);
    for (uint32_t k = 0; k < rule->n_backend_refs; k++) {
        const struct kube_backend_ref *ref = &rule->backend_refs[k];
        if (is_service(ref->group, ref->kind))
            used_service(i, r, ref->namespace, ref->name);
        index_filters(i, r, ref->filters, ref->n_filters);
    }
}

static void index_route(struct indexing *i, const struct resource *r) {
    const struct kube_Route *f = resource_Route(r);
    if (!f)
        return;
    for (uint32_t k = 0; k < f->n_hostnames; k++)
        tell(i, STR("host"), f->hostnames[k], STR_NONE, STR_NONE);
    if (f->n_hostnames == 0)
        tell(i, STR("host"), STR("*"), STR_NONE, STR_NONE);
    tell(i, STR("class"), or_empty(f->ingress_class_name), STR_NONE, STR_NONE);
    for (uint32_t k = 0; k < f->n_rules; k++)
        index_rule(i, r, &f->rules[k]);
}

static void index_ingress_backend(struct indexing *i, const struct resource *r,
                                  const struct kube_ingress_backend *b) {
    if (b && b->service)
        used_service(i, r, STR_NONE, b->service->name);
}

static void index_ingress_rule(struct indexing *i, const struct resource *r,
                               const struct kube_ingress_rule *rule) {
    tell(i, STR("host"), rule->host.n > 0 ? rule->host : STR("*"), STR_NONE, STR_NONE);
    for (uint32_t k = 0; rule->http && k < rule->http->n_paths; k++)
        index_ingress_backend(i, r, rule->http->paths[k].backend);
}

static void index_ingress(struct indexing *i, const struct resource *r) {
    const struct kube_Ingress *f = resource_Ingress(r);
    if (!f)
        return;
    struct str class = f->ingress_class_name;
    if (!class.p)
        class = resource_annotation(r, STR("kubernetes.io/ingress.class"));
    tell(i, STR("class"), or_empty(class), STR_NONE, STR_NONE);
    for (uint32_t k = 0; k < f->n_rules; k++)
        index_ingress_rule(i, r, &f->rules[k]);
    if (f->default_backend || f->n_rules == 0)
        tell(i, STR("host"), STR("*"), STR_NONE, STR_NONE);
    index_ingress_backend(i, r, f->default_backend);
}

/* ---- the others ---- */

static void index_class(struct indexing *i, const struct resource *r) {
    const struct kube_IngressClass *f = resource_IngressClass(r);
    tell(i, STR("IngressClass"), STR("all"), STR_NONE, STR_NONE);
    if (f && f->parameters)
        tell(i, STR("parameters"), f->parameters->kind, f->parameters->name, STR_NONE);
}

static void index_targets(struct indexing *i, const struct resource *r,
                          const struct kube_target_ref *refs, uint32_t n) {
    for (uint32_t k = 0; k < n; k++) {
        struct str ns = refs[k].namespace.n > 0 ? refs[k].namespace : r->meta.namespace;
        tell(i, STR("policy"), refs[k].kind, ns, refs[k].name);
    }
}

static void index_traffic_policy(struct indexing *i, const struct resource *r) {
    const struct kube_TrafficPolicy *f = resource_TrafficPolicy(r);
    if (f)
        index_targets(i, r, f->target_refs, f->n_target_refs);
}

static void index_auth_policy(struct indexing *i, const struct resource *r) {
    const struct kube_AuthPolicy *f = resource_AuthPolicy(r);
    if (f)
        index_targets(i, r, f->target_refs, f->n_target_refs);
}

static void index_slice(struct indexing *i, const struct resource *r) {
    struct str service = resource_label(r, STR("kubernetes.io/service-name"));
    if (service.n > 0)
        tell(i, STR("EndpointSlice"), STR("of"), r->meta.namespace, service);
}

void index_keys(const struct resource *r, void (*key)(void *arg, struct str key), void *arg) {
    struct indexing i = {key, arg, out_heap(KEY_MAX)};
    switch (r->kind) {
    case KUBE_Route:
        index_route(&i, r);
        break;
    case KUBE_Ingress:
        index_ingress(&i, r);
        break;
    case KUBE_IngressClass:
        index_class(&i, r);
        break;
    case KUBE_TrafficPolicy:
        index_traffic_policy(&i, r);
        break;
    case KUBE_AuthPolicy:
        index_auth_policy(&i, r);
        break;
    case KUBE_EndpointSlice:
        index_slice(&i, r);
        break;
    case KUBE_ReferenceGrant:
        tell(&i, STR("ReferenceGrant"), STR("in"), r->meta.namespace, STR_NONE);
        break;
    default: /* found by name alone */
        break;
    }
    out_fini(&i.key_room);
}
