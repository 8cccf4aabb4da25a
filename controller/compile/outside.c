/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/compile/outside.h"

#include "controller/compile/class.h"
#include "controller/compile/upstream.h"
#include "lib/address.h"
#include "lib/pem.h"

#include <arpa/inet.h>

enum { HOST_MAX = 253, TARGET_MAX = 2000 };

/* ---- addresses as they are written (RFC 3986) ---- */

static struct str literal(struct arena *a, int family, struct str text) {
    char room[INET6_ADDRSTRLEN], bytes[16];
    if (text.n == 0 || text.n >= sizeof(room))
        return STR_NONE;
    memcpy(room, text.p, text.n);
    room[text.n] = 0;
    if (inet_pton(family, room, bytes) != 1)
        return STR_NONE;
    return arena_str(a, str_mk(bytes, family == AF_INET ? 4 : 16));
}

/* What looks like an address of IPv4 and is none is no name either: resolvers differ on it. */
static bool ends_in_number(struct str host) {
    size_t at = host.n;
    while (at > 0 && host.p[at - 1] >= '0' && host.p[at - 1] <= '9')
        at--;
    return at < host.n && (at == 0 || host.p[at - 1] == '.');
}

static bool read_host(struct outside *o, struct arena *a, struct str host) {
    bool v6 = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    o->host = lower(a, v6 ? str_mk(host.p + 1, host.n - 2) : host);
    o->address = literal(a, v6 ? AF_INET6 : AF_INET, o->host);
    if (v6 || o->address.n > 0)
        return o->address.n > 0;
    return host.n <= HOST_MAX && !ends_in_number(host) && unit_dns_name(o->host, NULL) == 0 &&
           host.p[host.n - 1] != '.';
}

static bool read_authority(struct outside *o, struct arena *a, struct str authority) {
    size_t end = authority.n;
    while (end > 0 && authority.p[end - 1] >= '0' && authority.p[end - 1] <= '9')
        end--;
    bool has_port = end > 0 && end < authority.n && authority.p[end - 1] == ':';
    struct str host = str_mk(authority.p, has_port ? end - 1 : authority.n);
    o->port = 443;
    o->authority = lower(a, authority);
    return (!has_port || (str_to_u64(str_skip(authority, end), 65535, &o->port) && o->port > 0)) &&
           read_host(o, a, host);
}

static bool is_plain(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '#' || s.p[i] == '"' || s.p[i] == '<' ||
            s.p[i] == '>' || s.p[i] == '\\')
            return false;
    return true;
}

int outside_read(struct outside *o, struct arena *a, struct str uri, struct why *why) {
    struct shown shown;
    *o = (struct outside){0};
    if (!str_starts(uri, STR("https://")))
        return why_text(why, "%s is not https, so anybody on the way could read and change it",
                        why_show(uri, &shown));
    struct str rest = str_skip(uri, strlen("https://"));
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
        end++;
    struct str authority = str_mk(rest.p, end), target = str_skip(rest, end);
    if (memchr(authority.p, '@', authority.n))
        return why_text(why, "there is a user or password in the address; remove it");
    if (!is_plain(uri) || target.n > TARGET_MAX || !read_authority(o, a, authority))
        return why_text(why, "%s is no address; write it as https://idp.example.com/token",
                        why_show(uri, &shown));
    o->target =
        target.n > 0 && target.p[0] == '/' ? target : arena_fmt(a, "/%.*s", STR_FMT(target));
    return 0;
}

/* ---- where it may be ---- */

static struct str cidr_text(struct arena *a, const struct unit_cidr *c) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = c->bits >= 96 && memcmp(c->addr, mapped, sizeof(mapped)) == 0;
    char room[64];
    struct out o = out_fixed(room, sizeof(room));
    address_print(&o, str_mk((const char *)c->addr + (v4 ? 12 : 0), v4 ? 4 : 16));
    out_fmt(&o, "/%u", v4 ? c->bits - 96U : c->bits);
    return arena_str(a, out_done(&o));
}

static bool may_be_asked(struct making *m, const struct at *at, const struct outside *o,
                         const struct unit_cidr *allowed, uint32_t n) {
    enum address_sort sort = address_sort(o->address);
    if (o->address.n == 0 || sort == ADDRESS_PUBLIC || address_within(o->address, allowed, n))
        return true;
    close_as(m, "AddressNotAllowed", at,
             "%.*s is %s, and is not asked; if it is the right one, put its network into "
             "auth.allowedPrivateCIDRs of the GatewayConfig",
             STR_FMT(o->host), address_sort_words(sort));
    return false;
}

static void guard(struct making *m, struct model_backend *b, const struct unit_cidr *allowed,
                  uint32_t n) {
    b->guarded = true;
    b->private_cidrs = arena_array(&m->a, n, sizeof(struct str));
    b->n_private_cidrs = n;
    for (uint32_t i = 0; i < n; i++)
        b->private_cidrs[i] = cidr_text(&m->a, &allowed[i]);
}

/* ---- the backend ---- */

static bool trust(struct making *m, const struct resource *from, const struct at *at,
                  const struct kube_ca_ref *ca, struct model_upstream_tls *o) {
    struct out pem = out_heap(PEM_BYTES_MAX);
    int n = 0;
    bool good = !ca || upstream_authority(m, from, at, ca, &pem, &n);
    if (ca && good)
        o->ca = arena_str(&m->a, out_done(&pem));
    out_fini(&pem);
    if (good)
        return true;
    close_as(m, "NoValidCACertificate", at,
             "no authority is there that could be trusted, so nothing is asked there");
    return false;
}

bool outside_fill(struct making *m, const struct resource *from, const struct at *at,
                  const struct outside *o, const struct at *ca_at, const struct kube_ca_ref *ca,
                  struct model_backend *b) {
    uint32_t n = 0;
    const struct unit_cidr *allowed = class_private_cidrs(m, &n);
    struct model_upstream_tls *tls = b->tls = arena_zalloc(&m->a, sizeof(*tls));
    tls->hosts = arena_array(&m->a, 1, sizeof(struct str));
    tls->hosts[tls->n_hosts++] = o->host;
    if (o->address.n == 0)
        tls->sni = b->external_name = o->host;
    b->origin = origin_of(m, from, at);
    b->port = o->port;
    guard(m, b, allowed, n);
    return may_be_asked(m, at, o, allowed, n) && trust(m, from, ca_at, ca, tls);
}

struct str outside_put(struct making *m, struct str name, struct str what, const struct outside *o,
                       struct model_backend *b) {
    struct str id = model_id(&m->a, MODEL_KIND_backend, b->namespace, name, what);
    if (o->address.n > 0)
        b->endpoints = model_id(&m->a, MODEL_KIND_endpoints, b->namespace, name, what);
    if (make(m, MODEL_KIND_backend, id, b) != 0)
        return STR_NONE;
    struct model_endpoint one = {.address = o->address, .port = o->port};
    const struct model_endpoints all = {.origin = b->origin, .endpoints = &one, .n_endpoints = 1};
    if (o->address.n > 0 && make(m, MODEL_KIND_endpoints, b->endpoints, &all) != 0)
        return STR_NONE;
    return id;
}

struct str outside_backend(struct making *m, const struct at *at, struct str what,
                           const struct outside *o, const struct at *ca_at,
                           const struct kube_ca_ref *ca) {
    struct str name = arena_fmt(&m->a, "auth:%.*s", STR_FMT(m->u->name));
    struct model_backend b = {.namespace = m->u->ns,
                              .service =
                                  arena_fmt(&m->a, "%.*s:%.*s", STR_FMT(name), STR_FMT(what))};
    if (!outside_fill(m, m->r, at, o, ca_at, ca, &b))
        return STR_NONE;
    return outside_put(m, name, what, o, &b);
}
