/* SPDX-License-Identifier: Apache-2.0
 *
 * backend: a Service port and the EndpointSlices of the Service. Which endpoints count (KEP-1669):
 *
 *     ready                       used
 *     not ready, but serving      used when none is ready: unready, and terminating if it is
 *     neither                     left out
 */
#include "controller/compile/backend.h"

#include "controller/compile/attach.h"
#include "controller/compile/upstream.h"
#include "lib/address.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum { ENDPOINTS_MAX = 20000 };

struct addresses {
    struct making *m;
    struct model_endpoint *v;
    uint32_t n, cap;
    bool full;
    const struct resource *refused; /* a slice of the Service */
};

static void add(struct addresses *o, const struct model_endpoint *e) {
    if (o->n == ENDPOINTS_MAX) {
        o->full = true;
        return;
    }
    if (o->n == o->cap) {
        uint32_t cap = o->cap ? 2 * o->cap : 8;
        struct model_endpoint *v = arena_array(&o->m->a, cap, sizeof(*v));
        if (o->n > 0)
            memcpy(v, o->v, o->n * sizeof(*v));
        o->v = v;
        o->cap = cap;
    }
    o->v[o->n++] = *e;
}

/* 4 or 16 bytes; n == 0: it is no such address. */
static struct str parse_address(struct arena *a, struct str text, bool v6) {
    char room[64], bytes[16];
    if (text.n == 0 || text.n >= sizeof(room))
        return STR_NONE;
    memcpy(room, text.p, text.n);
    room[text.n] = 0;
    if (inet_pton(v6 ? AF_INET6 : AF_INET, room, bytes) != 1)
        return STR_NONE;
    return arena_str(a, str_mk(bytes, v6 ? 16 : 4));
}

static bool conditions(const struct kube_endpoint *e, struct model_endpoint *o) {
    const struct kube_endpoint_conditions *c = e->conditions;
    bool ready = !c || c->ready != 0;
    bool serving = !c || c->serving < 0 ? ready : c->serving == 1;
    if (ready)
        return true;
    o->unready = true;
    o->terminating = c && c->terminating == 1;
    return serving;
}

static void add_slice(struct addresses *o, const struct resource *r,
                      const struct kube_service_port *port) {
    const struct kube_EndpointSlice *s = resource_EndpointSlice(r);
    struct making *m = o->m;
    struct shown shown;
    if (!s) {
        o->refused = r;
        return;
    }
    bool v6 = str_eq(s->address_type, STR("IPv6"));
    if (!v6 && !str_eq(s->address_type, STR("IPv4"))) {
        warn(m, NULL, "EndpointSlice %.*s is left out: addressType %s is not IPv4 or IPv6",
             STR_FMT(r->meta.name), why_show(s->address_type, &shown));
        return;
    }
    for (uint32_t k = 0; k < s->n_ports; k++) {
        const struct kube_endpoint_port *p = &s->ports[k];
        if (!str_eq(p->name, port->name) || p->port < 1 ||
            (p->protocol.n > 0 && !str_eq(p->protocol, STR("TCP"))))
            continue;
        for (uint32_t i = 0; i < s->n_endpoints; i++) {
            struct model_endpoint e = {.port = (uint64_t)p->port, .zone = s->endpoints[i].zone};
            if (!conditions(&s->endpoints[i], &e))
                continue;
            for (uint32_t t = 0; t < s->endpoints[i].n_addresses; t++) {
                struct str text = s->endpoints[i].addresses[t];
                e.address = parse_address(&m->a, text, v6);
                if (e.address.n > 0)
                    add(o, &e);
                else
                    warn(m, NULL, "EndpointSlice %.*s: %s is no %.*s address, it is left out",
                         STR_FMT(r->meta.name), why_show(text, &shown), STR_FMT(s->address_type));
            }
        }
    }
}

static int by_address(const void *a, const void *b) {
    const struct model_endpoint *x = a, *y = b;
    if (x->address.n != y->address.n)
        return x->address.n < y->address.n ? -1 : 1;
    int order = memcmp(x->address.p, y->address.p, x->address.n);
    if (order == 0 && x->port != y->port)
        order = x->port < y->port ? -1 : 1;
    if (order == 0)
        order = (int)x->unready - (int)y->unready; /* the better one of two is kept */
    return order ? order : (int)x->terminating - (int)y->terminating;
}

static bool same_place(const struct model_endpoint *x, const struct model_endpoint *y) {
    return str_eq(x->address, y->address) && x->port == y->port;
}

static void sort_once(struct addresses *o) {
    uint32_t n = 0;
    if (o->n > 1)
        qsort(o->v, o->n, sizeof(*o->v), by_address);
    for (uint32_t i = 0; i < o->n; i++)
        if (n == 0 || !same_place(&o->v[n - 1], &o->v[i]))
            o->v[n++] = o->v[i];
    o->n = n;
}

static struct addresses addresses_of(struct making *m, struct str ns, struct str name,
                                     const struct kube_service_port *port) {
    struct str key = arena_fmt(&m->a, "EndpointSlice/of/%.*s/%.*s", STR_FMT(ns), STR_FMT(name));
    size_t n;
    const struct resource *const *slices = store_read_all(m->c->store, m->u->su, key, &n);
    struct addresses all = {.m = m};
    for (size_t i = 0; i < n; i++)
        add_slice(&all, slices[i], port);
    sort_once(&all);
    return all;
}

struct str *backend_ready(struct making *m, struct str ns, struct str name,
                          const struct kube_service_port *port, uint32_t most, uint32_t *n) {
    const struct addresses all = addresses_of(m, ns, name, port);
    struct str *list = arena_array(&m->a, most, sizeof(*list));
    *n = 0;
    for (uint32_t i = 0; i < all.n && *n < most; i++) {
        char room[INET6_ADDRSTRLEN];
        struct out o = out_fixed(room, sizeof(room));
        if (all.v[i].unready)
            continue;
        address_print(&o, all.v[i].address);
        list[(*n)++] = arena_fmt(&m->a, all.v[i].address.n == 16 ? "[%.*s]:%u" : "%.*s:%u",
                                 STR_FMT(out_done(&o)), (unsigned)all.v[i].port);
    }
    return list;
}

static int make_endpoints(struct making *m, const struct resource *service, struct str id,
                          const struct kube_service_port *port) {
    struct addresses all = addresses_of(m, m->u->ns, m->u->name, port);
    if (all.refused) {
        warn(m, NULL, "EndpointSlice %.*s is refused: %s: %s; the endpoints stay as they were",
             STR_FMT(all.refused->meta.name), all.refused->refused->field,
             all.refused->refused->text);
        m->keep = true;
    }
    if (all.full)
        warn(m, NULL, "Service %.*s/%.*s has more than %d endpoints; the others are left out",
             STR_FMT(m->u->ns), STR_FMT(m->u->name), ENDPOINTS_MAX);
    struct model_endpoints o = {
        .origin = origin_of(m, service, NULL), .endpoints = all.v, .n_endpoints = all.n};
    return make(m, MODEL_KIND_endpoints, id, &o);
}

/* ---- TLS ---- */

/* What the certificates of the Service's pods are made for, when nobody says otherwise. */
static struct str usual_name(struct making *m, const struct model_backend *o) {
    struct str external = o->external_name;
    if (external.n > 0 && external.p[external.n - 1] == '.')
        external.n--;
    return external.n > 0
               ? external
               : arena_fmt(&m->a, "%.*s.%.*s.svc", STR_FMT(m->u->name), STR_FMT(m->u->ns));
}

/* Nobody speaks it in clear: what it asks for is TLS. */
static bool asks_h2(const struct kube_TrafficPolicy *k) {
    return k && k->connection && k->connection->protocol == MODEL_PROTOCOL_H2;
}

/* In clear, over TLS, or closed. The policy's own unit says why. */
static void secure(struct making *m, const struct unit *policy,
                   const struct kube_service_port *port, struct model_backend *o) {
    bool good = policy && policy->terms.state == POLICY_GOOD;
    bool closed = policy && !good;
    const struct kube_TrafficPolicy *k = good ? resource_TrafficPolicy(policy->good) : NULL;
    const struct kube_upstream_tls *tls = k && k->connection ? k->connection->tls : NULL;
    bool https = port && (str_eq(port->app_protocol, STR("https")) ||
                          str_eq(port->app_protocol, STR("kubernetes.io/wss")));
    if (!closed && !tls && !https && !asks_h2(k))
        return;
    o->tls = arena_zalloc(&m->a, sizeof(*o->tls));
    closed =
        closed || upstream_tls(m, good ? policy->good : NULL, tls, usual_name(m, o), o->tls) != 0;
    if (closed) {
        o->tls = NULL;
        o->refusal = MODEL_REFUSE_POLICY;
    }
    why_clear(&m->closed);
    why_clear(&m->unresolved);
    m->n_warnings = 0;
}

/* What it reads is not known yet: whether the backend can stay as it is. One in clear cannot when
 * it was made just now, before its policy was looked at; the fleet has what it was. */
static bool is_trusted(struct making *m) {
    const struct unit *u = m->u;
    for (size_t i = 0; i < u->objects.n; i++) {
        if (u->objects.v[i]->kind != MODEL_KIND_backend)
            continue;
        const struct model_backend *b = object_decode(u->objects.v[i], &m->a, NULL);
        return !u->unproven || b->tls || b->refusal != MODEL_REFUSE_NO;
    }
    return false;
}

/* Its policy is as the fleet remembers it, which says nothing of TLS: that is in what was made of
 * it here, which the fleet is asked for. It stays closed when nobody has it. */
static struct object *recalled(struct making *m, const struct unit *policy) {
    struct unit *u = m->u;
    bool asks = policy && policy->terms.state == POLICY_REMEMBERED;
    if (asks && u->recall == RECALL_NOT)
        u->recall = RECALL_ASKED;
    else if (!asks)
        u->recall = RECALL_NOT;
    for (size_t i = 0; u->recall == RECALL_FOUND && i < u->objects.n; i++)
        if (u->objects.v[i]->kind == MODEL_KIND_backend)
            return u->objects.v[i];
    return NULL;
}

/* ---- the backend ---- */

/* Kubernetes' word for HTTP/2 in clear (KEP-3726), and those in use before it. */
static enum model_app_protocol spoken(const struct kube_service_port *port) {
    static const char *const h2c[] = {"kubernetes.io/h2c", "h2c", "http2", "grpc"};
    for (size_t i = 0; port && i < ARRAY_LEN(h2c); i++)
        if (str_eq(port->app_protocol, str_of(h2c[i])))
            return MODEL_H2C;
    return MODEL_H1;
}

void backend_compile(struct making *m) {
    struct unit *u = m->u;
    const struct resource *r = store_read(m->c->store, u->su, KUBE_Service, u->ns, u->name);
    const struct kube_Service *s = r ? resource_Service(r) : NULL;
    uint64_t number;
    must(str_to_u64(u->part, 65535, &number));
    m->keep = r && !s;
    if (!s)
        return; /* whoever refers to it notices as well */
    const struct kube_service_port *port = NULL;
    for (uint32_t i = 0; i < s->n_ports && !port; i++)
        if ((uint64_t)s->ports[i].port == number &&
            (s->ports[i].protocol.n == 0 || str_eq(s->ports[i].protocol, STR("TCP"))))
            port = &s->ports[i];
    bool external = str_eq(s->type, STR("ExternalName"));
    if (!port && !external)
        return;
    const struct unit *policy = attached(m, UNIT_TRAFFIC, STR("Service"), u->ns, u->name, STR_NONE);
    struct model_backend o = {.origin = origin_of(m, r, NULL),
                              .namespace = u->ns,
                              .service = u->name,
                              .port = number,
                              .protocol = spoken(port)};
    if (policy && policy->terms.state != POLICY_CLOSED) {
        o.traffic = model_id(&m->a, MODEL_KIND_traffic, policy->ns, policy->name, STR_NONE);
        store_read_key(m->c->store, u->su, o.traffic);
    }
    if (external)
        o.external_name = lower(&m->a, s->external_name);
    else
        o.endpoints = model_id(&m->a, MODEL_KIND_endpoints, u->ns, u->name, u->part);
    secure(m, policy, port, &o);
    struct object *was = recalled(m, policy);
    bool lost = m->keep && !is_trusted(m);
    m->keep = m->keep && !lost;
    unit_lost(m->c, u, lost || u->recall == RECALL_ASKED);
    if (was)
        make_again(m, was);
    else if (!lost)
        make(m, MODEL_KIND_backend, model_id(&m->a, MODEL_KIND_backend, u->ns, u->name, u->part),
             &o);
    if (!external)
        make_endpoints(m, r, o.endpoints, port);
}
