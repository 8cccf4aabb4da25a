/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/snapshot.h"

#include "lib/certificate.h"
#include "proxy/route/build.h"

/* ---- workers ---- */

/* The most specific one that has rules; NULL: none. deep: see vhost_find. */
static inline const struct vhost *vhost_of(const struct snapshot_parts *p, struct str host,
                                           bool *deep) {
    const struct vhost *v = hosts_get(&p->hosts, host, false, p->rules);
    *deep = false;
    if (v && v->n_candidates > 0)
        return v;
    for (size_t dot = str_find(host, '.', 0); dot < host.n; dot = str_find(host, '.', dot + 1)) {
        struct str suffix = str_skip(host, dot);
        if (dot > 0 && hosts_has_wild(&p->hosts, suffix.n)) {
            v = hosts_get(&p->hosts, suffix, true, p->rules);
            if (v && (*deep ? v->deep : v->n_candidates > 0))
                return v;
        }
        *deep = true;
    }
    *deep = false;
    return p->hosts.any;
}

bool snapshot_route(const struct snapshot *s, const struct route_request *rq,
                    struct route_scratch *scratch, struct match_result *result) {
    struct lookup l = {s->parts->rules, rq, scratch};
    bool deep;
    const struct vhost *v = vhost_of(s->parts, rq->host, &deep);
    return v && vhost_find(v, &l, deep, result);
}

const struct backend *snapshot_backend(const struct snapshot *s, uint32_t slot) {
    return pages_get(s->parts->backends, slot);
}

const struct rule *snapshot_rule(const struct snapshot *s, uint32_t slot) {
    return pages_get(s->parts->rules, slot);
}

/* ---- certificates ---- */

const struct certificate_law *snapshot_certificate(const struct snapshot *s, uint32_t slot) {
    return pages_get(s->parts->certificates, slot);
}

const struct listener_law *snapshot_listener(const struct snapshot *s, uint16_t port) {
    for (uint32_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i].port == port && s->listeners[i].model->protocol != MODEL_TLS)
            return &s->listeners[i];
    return NULL;
}

/* How well a listener's hostnames fit: 0 not at all, 1 it has none, more the more is said. Below
 * *.example.com are all names that end so. */
static size_t fit_of(const struct model_listener *l, struct str host) {
    size_t best = l->n_hostnames == 0;
    for (uint32_t i = 0; i < l->n_hostnames; i++) {
        struct str name = l->hostnames[i];
        bool wild = str_starts(name, STR("*."));
        if (wild && host.n >= name.n && str_ends(host, str_skip(name, 1)))
            best = size_max(best, name.n);
        else if (!wild && str_eq(name, host))
            return SIZE_MAX;
    }
    return best;
}

static bool listener_serves(const struct model_listener *l, struct str host) {
    return fit_of(l, host) > 0;
}

bool snapshot_passes_by_name(const struct snapshot *s, uint16_t port) {
    for (uint32_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i].port == port && s->listeners[i].model->protocol == MODEL_TLS)
            return true;
    return false;
}

const struct listener_law *snapshot_named(const struct snapshot *s, uint16_t port,
                                          struct str name) {
    const struct listener_law *found = NULL;
    size_t best = 0;
    for (uint32_t i = 0; i < s->n_listeners; i++) {
        const struct listener_law *l = &s->listeners[i];
        size_t fit = l->port == port ? fit_of(l->model, name) : 0;
        if (fit <= best)
            continue;
        best = fit;
        found = l;
    }
    return found;
}

const struct listener_law *snapshot_same(const struct snapshot *s, uint16_t port, struct str name) {
    for (uint32_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i].port == port && str_eq(s->listeners[i].name, name))
            return &s->listeners[i];
    return NULL;
}

uint16_t snapshot_https_port(const struct snapshot *s, struct str host) {
    uint16_t port = 0;
    for (uint32_t i = 0; i < s->n_listeners; i++) {
        const struct listener_law *l = &s->listeners[i];
        if (l->model->protocol != MODEL_HTTPS || !listener_serves(l->model, host))
            continue;
        if (port == 0 || l->port == 443)
            port = l->port;
    }
    return port > 0 ? port : 443;
}

static uint32_t add_certificates(const struct snapshot *s, const uint32_t *slots, uint32_t n_slots,
                                 const struct certificate_law **list, uint32_t n) {
    for (uint32_t i = 0; i < n_slots && n < CERTIFICATES_MAX; i++)
        list[n++] = snapshot_certificate(s, slots[i]);
    return n;
}

/* Leaves those that bear the name, where there are such. */
static uint32_t prefer_named(struct str host, const struct certificate_law **list, uint32_t n) {
    uint32_t bear = 0;
    for (uint32_t i = 0; i < n && host.n > 0; i++)
        if (certificate_covers(list[i]->model->names, list[i]->model->n_names, host))
            list[bear++] = list[i];
    return bear > 0 ? bear : n;
}

uint32_t snapshot_certificates(const struct snapshot *s, const struct listener_law *l,
                               struct str host,
                               const struct certificate_law *list[CERTIFICATES_MAX]) {
    const struct vhost *any = s->parts->hosts.any, *v = any;
    uint32_t n = 0;
    bool deep;
    if (!listener_serves(l->model, host))
        return 0;
    if (host.n > 0)
        v = vhost_of(s->parts, host, &deep);
    const struct host_tls *tls = v ? v->tls : NULL;
    if (v != any && !tls)
        return 0;
    if (tls)
        n = add_certificates(s, tls->certificates, tls->n, list, n);
    if (v == any || tls->default_certificate)
        n = add_certificates(s, l->certificates, l->n_certificates, list, n);
    return prefer_named(host, list, n);
}

static bool cidr_has(const struct cidr *c, const uint8_t address[16]) {
    size_t whole = c->bits / 8, rest = c->bits % 8;
    if (memcmp(c->address, address, whole) != 0)
        return false;
    return rest == 0 || (c->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool snapshot_trusts(const struct snapshot *s, const uint8_t address[16]) {
    for (uint32_t i = 0; i < s->n_trusted; i++)
        if (cidr_has(&s->trusted[i], address))
            return true;
    return false;
}

/* ---- main thread ---- */

static void begins_with(uint64_t set[4], unsigned char c) {
    set[c >> 6] &= ~((uint64_t)1 << (c & 63));
}

/* A pattern is a name in lower case, or a beginning with '*' behind it. */
static void fill_not_identity(const struct model_gateway *g, uint64_t set[4]) {
    memset(set, 0xff, 4 * sizeof(*set));
    for (uint32_t i = 0; i < g->n_identity_headers; i++) {
        struct str p = g->identity_headers[i];
        unsigned char c = p.n > 0 ? (unsigned char)p.p[0] : 0;
        begins_with(set, c);
        begins_with(set, (unsigned char)(c >= 'a' && c <= 'z' ? c - 0x20 : c));
        if (c == '*')
            memset(set, 0, 4 * sizeof(*set)); /* it is all of them */
    }
}

struct snapshot *snapshot_new(struct builder *b, uint64_t revision) {
    struct snapshot *s = mem_zalloc(sizeof(*s) + sizeof(struct snapshot_parts));
    struct snapshot_parts *p = (struct snapshot_parts *)(void *)(s + 1);
    const struct settings *set = b->settings;
    const struct slot_pool *pools = b->keeper->pools;
    *p = (struct snapshot_parts){.serial = b->keeper->building,
                                 .keeper = b->keeper,
                                 .rules = b->rules,
                                 .backends = b->backends,
                                 .certificates = b->certificates,
                                 .auths = b->auths,
                                 .limits = b->limits,
                                 .consumers = b->consumers,
                                 .consumer_names = b->consumer_names,
                                 .hosts = b->hosts};
    *s = (struct snapshot){.revision = revision,
                           .serial = b->keeper->building,
                           .gateway = set->gateway,
                           .limits = set->limits,
                           .n_trusted = set->n_trusted,
                           .trusted = set->trusted,
                           .n_listeners = set->n_listeners,
                           .listeners = set->listeners,
                           .tickets = set->tickets,
                           .rate_store = set->rate_store,
                           .tracing = set->tracing,
                           .signing = set->signing,
                           .class = set->class,
                           .sessions = set->sessions,
                           .n_rules = b->n_rules,
                           .n_backends = b->n_backends,
                           .rule_slots = pools[SLOT_RULE].top,
                           .backend_slots = pools[SLOT_BACKEND].top,
                           .endpoint_slots = pools[SLOT_ENDPOINT].top,
                           .certificate_slots = pools[SLOT_CERTIFICATE].top,
                           .auth_slots = pools[SLOT_AUTH].top,
                           .limit_slots = pools[SLOT_LIMIT].top,
                           .parts = p,
                           .refs = 1};
    fill_not_identity(s->gateway, s->not_identity);
    keeper_add(b->keeper, s);
    return s;
}

struct snapshot *snapshot_hold(struct snapshot *s) {
    s->refs++;
    return s;
}

void snapshot_drop(struct snapshot *s) {
    if (!s || --s->refs > 0)
        return;
    keeper_remove(s->parts->keeper, s);
    mem_free(s);
}

uint32_t rule_mirror(const struct rule *r, const struct model_mirror *m) {
    for (uint32_t i = 0; i < r->n_mirrors; i++)
        if (r->mirrors[i].model == m)
            return r->mirrors[i].backend;
    return UINT32_MAX;
}
