/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/rate_store.h"

#include "controller/compile/material.h"
#include "controller/compile/ref.h"
#include "controller/compile/upstream.h"
#include "lib/units.h"

#include <arpa/inet.h>

enum { TIMEOUT_MS = 20, TIMEOUT_MAX_MS = 60000 };

struct place {
    struct str host; /* without brackets and the last dot, lower case */
    uint16_t port;
    struct str address;            /* 4 or 16 bytes; n == 0: it is a name */
    struct str service, namespace; /* n == 0: it is not the name of a Service */
};

/* ---- the address ---- */

static struct str bytes_of(struct making *m, struct str host) {
    char text[64], bytes[16];
    if (host.n == 0 || host.n >= sizeof(text))
        return STR_NONE;
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    if (inet_pton(AF_INET, text, bytes) == 1)
        return arena_str(&m->a, str_mk(bytes, 4));
    if (inet_pton(AF_INET6, text, bytes) == 1)
        return arena_str(&m->a, str_mk(bytes, 16));
    return STR_NONE;
}

static struct str cut(struct str s, const char *end) {
    struct str e = str_of(end);
    return s.n > e.n && str_eq(str_skip(s, s.n - e.n), e) ? str_mk(s.p, s.n - e.n) : s;
}

/* NAME.NAMESPACE.svc, with or without cluster.local */
static void find_service(struct place *p) {
    struct str s = cut(p->host, ".cluster.local"), rest = cut(s, ".svc");
    size_t dot = str_find(rest, '.', 0);
    if (rest.n == s.n || dot >= rest.n || str_find(rest, '.', dot + 1) < rest.n)
        return;
    p->service = str_mk(rest.p, dot);
    p->namespace = str_skip(rest, dot + 1);
}

/* False: it is no HOST:PORT. */
static bool split(struct str text, struct str *host, uint64_t *port) {
    size_t at = text.n;
    while (at > 0 && text.p[at - 1] != ':')
        at--;
    if (at < 2 || !str_to_u64(str_skip(text, at), 65535, port) || *port == 0)
        return false;
    *host = str_mk(text.p, at - 1);
    if (host->p[0] == '[' && host->p[host->n - 1] == ']')
        *host = str_mk(host->p + 1, host->n - 2);
    else if (str_find(*host, ':', 0) < host->n)
        return false;
    return host->n > 0;
}

static int place_of(struct making *m, struct str text, struct place *p) {
    const struct at *at = AT(AT(AT(NULL, "spec"), "rateLimitStore"), "address");
    struct shown shown;
    struct str host;
    uint64_t port;
    *p = (struct place){0};
    if (!split(text, &host, &port))
        return refuse(m, at, "%s is no HOST:PORT; write it as redis.data.svc:6379",
                      why_show(text, &shown));
    p->port = (uint16_t)port;
    p->host = cut(lower(&m->a, host), ".");
    p->address = bytes_of(m, p->host);
    if (p->address.n > 0)
        return 0;
    if (unit_dns_name(p->host, NULL) != 0 || str_find(p->host, '.', 0) == p->host.n)
        return refuse(m, at,
                      "%s is no address and no full name; write NAME.NAMESPACE.svc for a Service, "
                      "a DNS name with all its dots, or an IP address",
                      why_show(host, &shown));
    find_service(p);
    return 0;
}

int rate_store_check(struct making *m, const struct kube_rate_store *k) {
    const struct at *at = AT(AT(NULL, "spec"), "rateLimitStore");
    struct place p;
    if (!k)
        return 0;
    if (k->timeout == 0 || k->timeout > TIMEOUT_MAX_MS)
        return refuse(m, AT(at, "timeout"), "%lld ms is not between 1ms and 1m",
                      (long long)k->timeout);
    if (k->username.n > 0 && !k->password_ref)
        return refuse(m, AT(at, "username"),
                      "a user without a password cannot log in; set passwordRef as well");
    return place_of(m, k->address, &p);
}

/* ---- what it needs ---- */

static bool add_password(struct making *m, const struct at *at, const struct resource *config,
                         const struct kube_rate_store *k, struct model_rate_store *o) {
    if (!k->password_ref)
        return true;
    struct material x =
        material_of(m, config, AT(at, "passwordRef"), KUBE_Secret, STR_NONE, k->password_ref->name);
    x.reason = "InvalidPasswordRef";
    if (!material_entry(m, &x, k->password_ref->key, STR("password"), &o->password))
        return false;
    if (o->password.n > 0)
        return true;
    unresolved(m, x.reason, x.at, "%s has an empty password", x.shown);
    return false;
}

static bool add_tls(struct making *m, const struct at *at, const struct resource *config,
                    const struct kube_rate_store *k, const struct place *p,
                    struct model_backend *o) {
    if (!k->tls)
        return true;
    o->tls = arena_zalloc(&m->a, sizeof(*o->tls));
    bool good = upstream_tls_at(m, AT(at, "tls"), config, k->tls, p->host, o->tls) == 0;
    if (!good && !why_set(&m->unresolved) && why_set(&m->closed))
        unresolved(m, "InvalidTLS", AT(at, "tls"), "%s", m->closed.text);
    why_clear(&m->closed);
    return good;
}

/* ---- where it is ---- */

static struct str name_of(struct making *m, const struct class_ *k) {
    return arena_fmt(&m->a, "rate-limit-store.%.*s", STR_FMT(k->name));
}

static struct str own_endpoints(struct making *m, const struct class_ *k,
                                const struct resource *config, const struct place *p) {
    struct str port = arena_fmt(&m->a, "%u", p->port);
    struct str id = model_id(&m->a, MODEL_KIND_endpoints, STR("-"), name_of(m, k), port);
    struct model_endpoint *e = arena_zalloc(&m->a, sizeof(*e));
    *e = (struct model_endpoint){.address = p->address, .port = p->port};
    const struct model_endpoints o = {
        .origin = origin_of(m, config, NULL), .endpoints = e, .n_endpoints = 1};
    return make(m, MODEL_KIND_endpoints, id, &o) == 0 ? id : STR_NONE;
}

/* Those of the Service, which are wanted from now on. False: there is no such Service. */
static bool find_endpoints(struct making *m, const struct at *at,
                           const struct kube_GatewayConfig *g, const struct place *p,
                           struct model_backend *o) {
    const struct ref ref = {
        .namespace = p->namespace, .name = p->service, .port = {.number = p->port}};
    struct str id = ref_of_config(m, AT(at, "address"), g, &ref);
    if (id.n == 0)
        return false;
    o->endpoints = model_id(&m->a, MODEL_KIND_endpoints, p->namespace, p->service,
                            arena_fmt(&m->a, "%u", p->port));
    return true;
}

struct model_rate_store *rate_store_make(struct making *m, const struct class_ *k,
                                         const struct resource *config,
                                         const struct kube_rate_store *store) {
    const struct at *at = AT(AT(NULL, "spec"), "rateLimitStore");
    struct place p;
    if (!store || place_of(m, store->address, &p) != 0)
        return NULL;
    m->refers = m->u->kind == UNIT_CONFIG;
    struct model_backend b = {.origin = origin_of(m, config, at), .namespace = STR("-")};
    struct model_rate_store *o = arena_zalloc(&m->a, sizeof(*o));
    o->username = store->username;
    o->timeout_ms = store->timeout < 0 ? TIMEOUT_MS : (uint64_t)store->timeout;
    bool good = add_password(m, at, config, store, o);
    good = add_tls(m, at, config, store, &p, &b) && good;
    if (p.address.n == 0 && p.service.n > 0)
        good = find_endpoints(m, at, resource_GatewayConfig(config), &p, &b) && good;
    o->closed = !good;
    if (!k)
        return o;
    if (p.address.n > 0)
        b.endpoints = own_endpoints(m, k, config, &p);
    else if (p.service.n == 0)
        b.external_name = p.host;
    b.service = name_of(m, k);
    b.port = p.port;
    if (!good)
        b.tls = NULL; /* it is not asked */
    o->backend =
        model_id(&m->a, MODEL_KIND_backend, b.namespace, b.service, arena_fmt(&m->a, "%u", p.port));
    return make(m, MODEL_KIND_backend, o->backend, &b) == 0 ? o : NULL;
}
