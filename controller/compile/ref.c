/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/ref.h"

#include "controller/compile/attach.h"
#include "lib/units.h"

#include <arpa/inet.h>

/* "Service shop/catalog" or "Service catalog", as the user wrote it. */
static const char *show(struct making *m, const struct ref *ref) {
    if (ref->namespace.n > 0)
        return arena_fmt(&m->a, "Service %.*s/%.*s", STR_FMT(ref->namespace), STR_FMT(ref->name)).p;
    return arena_fmt(&m->a, "Service %.*s", STR_FMT(ref->name)).p;
}

static const struct kube_service_port *find_port(const struct kube_Service *s,
                                                 const struct kube_port *port) {
    const struct kube_service_port *found = NULL; /* TCP, if the number is there twice */
    for (uint32_t i = 0; i < s->n_ports; i++) {
        const struct kube_service_port *p = &s->ports[i];
        bool tcp = p->protocol.n == 0 || str_eq(p->protocol, STR("TCP"));
        if ((port->name.n > 0 ? str_eq(p->name, port->name) : p->port == port->number) &&
            (!found || tcp))
            found = p;
    }
    return found;
}

static bool is_tcp(struct making *m, const struct at *at, const char *shown,
                   const struct kube_service_port *p) {
    if (p->protocol.n == 0 || str_eq(p->protocol, STR("TCP")))
        return true;
    unresolved(m, "UnsupportedProtocol", at, "the port of %s is %.*s, not TCP", shown,
               STR_FMT(p->protocol));
    return false;
}

/* A name that can be looked up, and that is not this machine or its neighbours on the link. */
static bool external_name_sane(struct str name) {
    char text[260];
    struct in_addr v4;
    struct in6_addr v6;
    if (name.n > 253 || unit_dns_name(name, NULL) != 0)
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    if (text[name.n - 1] == '.')
        text[name.n - 1] = 0;
    if (inet_pton(AF_INET, text, &v4) == 1 || inet_pton(AF_INET6, text, &v6) == 1)
        return false;
    struct str n = str_of(text);
    return !str_eq_nocase(n, STR("localhost")) &&
           !(n.n > 10 && str_eq_nocase(str_skip(n, n.n - 10), STR(".localhost"))) &&
           !(n.n > 6 && str_eq_nocase(str_skip(n, n.n - 6), STR(".local")));
}

static bool external_allowed(struct making *m, const struct at *at, const char *shown,
                             const struct kube_Service *s) {
    if (!external_name_sane(s->external_name)) {
        unresolved(m, "InvalidExternalName", at,
                   "the externalName of %s is no DNS name, or an address, or a name of the machine "
                   "itself; such names are never called",
                   shown);
        return false;
    }
    if (m->class ? external_name_allowed(m->class, s->external_name)
                 : class_external_name(m, s->external_name))
        return true;
    unresolved(m, "RefNotPermitted", at,
               "%s is an ExternalName and %s not allow its name; add it to "
               "GatewayConfig spec.externalNames.allowed",
               shown, m->class ? "the class does" : "the classes do");
    return false;
}

static struct str backend_id(struct making *m, struct str ns, struct str name, unsigned number) {
    struct str port = arena_fmt(&m->a, "%u", number);
    want(m, unit_get(m->c, UNIT_BACKEND, ns, name, port));
    return model_id(&m->a, MODEL_KIND_backend, ns, name, port);
}

/* The Service is there and cannot be read: its port stays as it was, if it is known by number. */
static struct str last_good(struct making *m, const struct at *at, const struct ref *ref,
                            struct str ns, const char *shown, const struct resource *service) {
    struct str port = arena_fmt(&m->a, "%u", ref->port.number);
    const struct unit *u = unit_find(m->c, UNIT_BACKEND, ns, ref->name, port);
    if (!u || u->objects.n == 0) {
        unresolved(m, "BackendNotFound", at, "%s is refused: %s", shown, service->refused->text);
        return STR_NONE;
    }
    warn(m, at, "%s is refused: %s; its last good version is used", shown, service->refused->text);
    return backend_id(m, ns, ref->name, ref->port.number);
}

/* Asked of what has just come only: else each change of an endpoint would compile the Route. */
static bool has_slices(struct making *m, struct str ns, struct str name) {
    struct str key = arena_fmt(&m->a, "EndpointSlice/of/%.*s/%.*s", STR_FMT(ns), STR_FMT(name));
    size_t n;
    store_read_all(m->c->store, m->u->su, key, &n);
    return n > 0;
}

static void warn_closed(struct making *m, const struct at *at, const char *shown, struct str ns,
                        struct str name) {
    const struct unit *policy = attached(m, UNIT_TRAFFIC, STR("Service"), ns, name, STR_NONE);
    if (policy && policy->terms.state == POLICY_CLOSED)
        warn(m, at,
             "TrafficPolicy %.*s %s and is refused, so what goes to %s is answered with 503 "
             "policy_unavailable",
             STR_FMT(policy->name),
             policy->terms.blind ? "does not say what it targets" : "targets it", shown);
}

static bool find_service(struct making *m, const struct at *at, const struct ref *ref,
                         const char *shown, struct ref_service *o) {
    struct shown room;
    *o = (struct ref_service){.ns = ref->namespace.n > 0 ? ref->namespace : m->r->meta.namespace};
    if (ref->group.n > 0 || (ref->kind.n > 0 && !str_eq(ref->kind, STR("Service")))) {
        unresolved(m, "InvalidKind", at, "%s is no kind of backend; only Services are",
                   why_show(ref->kind.n > 0 ? ref->kind : ref->group, &room));
        return false;
    }
    if (!ref->bytes && !str_eq(o->ns, m->r->meta.namespace) &&
        !granted(m, m->r, STR(""), STR("Service"), o->ns, ref->name)) {
        m->late |= m->u->fresh;
        unresolved(m, "RefNotPermitted", at,
                   "%s is in another namespace and no ReferenceGrant there allows this reference",
                   shown);
        return false;
    }
    o->resource = store_read(m->c->store, m->u->su, KUBE_Service, o->ns, ref->name);
    if (!o->resource) {
        m->late |= m->u->fresh;
        unresolved(m, "BackendNotFound", at, "there is no %s", shown);
        return false;
    }
    o->service = resource_Service(o->resource);
    return true;
}

static bool take_port(struct making *m, const struct at *at, const struct ref *ref,
                      const char *shown, struct ref_service *o) {
    struct shown room;
    o->port = find_port(o->service, &ref->port);
    o->external = str_eq(o->service->type, STR("ExternalName"));
    if (o->external && !o->port && ref->port.name.n == 0) {
        /* An ExternalName need not list its ports. */
    } else if (!o->port) {
        if (ref->port.name.n > 0)
            unresolved(m, "BackendNotFound", at, "%s has no port named %s", shown,
                       why_show(ref->port.name, &room));
        else
            unresolved(m, "BackendNotFound", at, "%s has no port %u", shown, ref->port.number);
        return false;
    } else if (!is_tcp(m, at, shown, o->port)) {
        return false;
    }
    return !o->external || external_allowed(m, at, shown, o->service);
}

static void await_slices(struct making *m, const struct ref *ref, const struct ref_service *o) {
    m->late |= m->u->fresh && !o->external && !has_slices(m, o->ns, ref->name);
}

bool ref_service(struct making *m, const struct at *at, const struct ref *ref,
                 struct ref_service *o) {
    const char *shown = show(m, ref);
    if (!find_service(m, at, ref, shown, o))
        return false;
    if (!o->service) {
        unresolved(m, "BackendNotFound", at, "%s is refused: %s", shown,
                   o->resource->refused->text);
        return false;
    }
    if (str_eq(o->service->type, STR("ExternalName"))) {
        unresolved(m, "InvalidExternalName", at,
                   "%s is an ExternalName and has no endpoints; write its address as uri instead",
                   shown);
        return false;
    }
    if (!take_port(m, at, ref, shown, o))
        return false;
    await_slices(m, ref, o);
    return true;
}

struct str ref_resolve(struct making *m, const struct at *at, const struct ref *ref) {
    const char *shown = show(m, ref);
    struct ref_service o;
    if (!find_service(m, at, ref, shown, &o))
        return STR_NONE;
    if (!o.service)
        return last_good(m, at, ref, o.ns, shown, o.resource);
    if (!take_port(m, at, ref, shown, &o))
        return STR_NONE;
    if (!ref->bytes)
        warn_closed(m, at, shown, o.ns, ref->name);
    await_slices(m, ref, &o);
    return backend_id(m, o.ns, ref->name, o.port ? (unsigned)o.port->port : ref->port.number);
}

struct ref ref_to(const struct kube_object_ref *r) {
    return (struct ref){.group = r->group,
                        .kind = r->kind,
                        .namespace = r->namespace,
                        .name = r->name,
                        .port = {.number = (uint16_t)r->port}};
}

struct str ref_of_config(struct making *m, const struct at *at, const struct kube_GatewayConfig *g,
                         const struct ref *ref) {
    const struct class_ *before = m->class, own = {.config = g};
    struct ref bytes = *ref;
    bytes.bytes = true;
    m->class = &own;
    struct str id = ref_resolve(m, at, &bytes);
    m->class = before;
    return id;
}
