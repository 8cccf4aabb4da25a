/* SPDX-License-Identifier: Apache-2.0
 *
 * settings: gateway, listeners, keys of tickets, of sessions and of tokens. Of several gateways the
 * one whose id comes first is taken.
 */
#include "proxy/route/build.h"

#include <arpa/inet.h>

/* Stripped from every request, whoever configured what. */
static struct str identity_headers[] = {{"x-user*", 7}, {"x-consumer*", 11}, {"x-auth*", 7}};
static const struct model_gateway no_gateway = {.identity_headers = identity_headers,
                                                .n_identity_headers = 3};
static const struct model_limits no_limits;

bool cidr_parse(struct str text, struct cidr *c) {
    struct str address, bits = str_cut(text, '/', &address);
    char room[INET6_ADDRSTRLEN];
    uint64_t n;
    if (address.n == 0 || address.n >= sizeof(room) || memchr(address.p, 0, address.n))
        return false;
    memcpy(room, address.p, address.n);
    room[address.n] = 0;
    bool v4 = str_find(address, ':', 0) == address.n;
    *c = (struct cidr){.address = {[10] = v4 ? 0xff : 0, [11] = v4 ? 0xff : 0}};
    if (inet_pton(v4 ? AF_INET : AF_INET6, room, c->address + (v4 ? 12 : 0)) != 1)
        return false;
    if (!bits.p)
        n = v4 ? 32 : 128;
    else if (!str_to_u64(bits, v4 ? 32 : 128, &n))
        return false;
    c->bits = (uint8_t)(n + (v4 ? 96 : 0));
    return true;
}

static uint32_t or_default(uint64_t v, uint32_t otherwise) {
    return v == 0 ? otherwise : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static struct limits limits_of(const struct model_gateway *g) {
    const struct model_limits *m = g->limits ? g->limits : &no_limits;
    return (struct limits){
        .head = {.bytes = or_default(m->header_bytes, DEFAULT_HEADER_BYTES),
                 .fields = (uint16_t)or_default(m->header_count, DEFAULT_HEADER_COUNT),
                 .cookies = DEFAULT_COOKIE_COUNT},
        .header_timeout_ms = or_default(m->header_timeout_ms, DEFAULT_HEADER_TIMEOUT_MS),
        .idle_timeout_ms = or_default(m->idle_timeout_ms, DEFAULT_CLIENT_IDLE_MS),
        .connections = or_default(m->connections, UINT32_MAX),
        .memory_bytes = m->memory_bytes,
        .body_bytes =
            m->body_bytes == 0 || m->body_bytes == MODEL_NEVER ? UINT64_MAX : m->body_bytes};
}

static int listener_cmp(const void *a, const void *b) {
    const struct node *x = *(const struct node *const *)a, *y = *(const struct node *const *)b;
    return str_cmp(x->id, y->id);
}

/* The listeners, and what there is one of: to *to. */
static void gather(struct builder *b, struct pointers *listeners, struct settings *to) {
    struct node *gateway = NULL;
    for (struct map_slot *s = NULL; (s = map_next(&b->nodes, s));) {
        struct node *n = s->value;
        if (node_is(n, MODEL_KIND_listener))
            pointers_add(listeners, n);
        else if (node_is(n, MODEL_KIND_ticket_keys))
            to->tickets = n->parsed->model;
        else if (node_is(n, MODEL_KIND_session_keys))
            to->sessions = n->parsed->model;
        else if (node_is(n, MODEL_KIND_signing_keys))
            to->signing = n->parsed->signing;
        else if (node_is(n, MODEL_KIND_gateway) && (!gateway || str_cmp(n->id, gateway->id) < 0))
            gateway = n;
    }
    if (listeners->n > 1)
        qsort(listeners->p, listeners->n, sizeof(void *), listener_cmp);
    to->gateway = gateway ? gateway->parsed->model : &no_gateway;
    if (gateway)
        to->class = str_skip(object_id(gateway->parsed->object), strlen("gateway/-/"));
}

static const struct model_listener *model_of(const struct node *n) { return n->parsed->model; }

/* A word of a later version may be one on clients' certificates. */
static bool is_closed(const struct node *n) {
    const struct model_listener *m = model_of(n);
    return n->parsed->newer || (m->tls && m->tls->closed);
}

/* listener/CLASS/NAME */
static struct str name_of(const struct node *n) {
    struct str id = object_id(n->parsed->object);
    size_t at = id.n;
    while (at > 0 && id.p[at - 1] != '/')
        at--;
    return str_skip(id, at);
}

static uint32_t backend_slot(struct builder *b, struct str id) {
    struct node *n = id.n > 0 ? builder_node(b, id) : NULL;
    return n && node_is(n, MODEL_KIND_backend) && !n->parsed->newer ? n->slot : UINT32_MAX;
}

static size_t n_defaults(const struct pointers *listeners) {
    size_t n = 0;
    for (uint32_t i = 0; i < listeners->n; i++) {
        const struct model_listener *m = model_of(listeners->p[i]);
        n += m->tls ? m->tls->n_certificates : 0;
    }
    return n;
}

struct policy_of policy_named(struct builder *b, struct str id) {
    struct node *n = id.n > 0 ? builder_node(b, id) : NULL;
    bool there = n && node_is(n, MODEL_KIND_auth);
    return (struct policy_of){id.n > 0, there ? n->slot : UINT32_MAX};
}

static bool same_policy(struct policy_of a, struct policy_of b) {
    return a.named == b.named && a.slot == b.slot;
}

static bool same_auth(const struct settings *a, const struct settings *b) {
    return a->auth_required == b->auth_required && same_policy(a->override, b->override) &&
           same_policy(a->by_default, b->by_default);
}

/* By the last 56 bits, which are random in every trace id (W3C Trace Context Level 2, 5.1.2), as
 * OpenTelemetry's consistent sampling does: whoever samples more samples all of these as well. */
static struct trace_law tracing_of(struct builder *b, const struct model_tracing *m) {
    if (!m || m->closed)
        return (struct trace_law){.backend = UINT32_MAX};
    uint64_t sampled = (uint64_t)((unsigned __int128)TRACE_NUMBERS * m->numerator / m->denominator);
    return (struct trace_law){m, backend_slot(b, m->backend), TRACE_NUMBERS - sampled};
}

bool settings_make(struct builder *b) {
    struct pointers listeners = {0};
    struct settings found = {0};
    gather(b, &listeners, &found);
    const struct model_gateway *g = found.gateway;
    size_t cidrs = g->n_trusted_cidrs * sizeof(struct cidr), align = (8 - cidrs % 8) % 8;
    struct settings *s =
        part_new(b->keeper, PART_BLOCK,
                 sizeof(*s) + cidrs + align + listeners.n * sizeof(struct listener_law) +
                     n_defaults(&listeners) * sizeof(uint32_t));
    s->gateway = g;
    s->limits = limits_of(g);
    s->rate_store =
        g->rate_limit_store ? backend_slot(b, g->rate_limit_store->backend) : UINT32_MAX;
    s->tracing = tracing_of(b, g->tracing);
    s->tickets = found.tickets;
    s->sessions = found.sessions;
    s->signing = found.signing;
    s->class = found.class;
    s->auth_required = g->auth_required;
    s->override = policy_named(b, g->override_policy);
    s->by_default = policy_named(b, g->default_policy);
    s->listeners = (struct listener_law *)(void *)((char *)(s + 1) + cidrs + align);
    s->trusted = (struct cidr *)(void *)(s + 1);
    for (uint32_t i = 0; i < g->n_trusted_cidrs; i++)
        must(cidr_parse(g->trusted_cidrs[i], &s->trusted[s->n_trusted++]));
    uint32_t *slots = (uint32_t *)(void *)(s->listeners + listeners.n);
    for (uint32_t i = 0; i < listeners.n; i++) {
        const struct model_listener *m = model_of(listeners.p[i]);
        struct listener_law *l = &s->listeners[s->n_listeners++];
        *l = (struct listener_law){.model = m,
                                   .name = name_of(listeners.p[i]),
                                   .port = (uint16_t)m->port,
                                   .closed = is_closed(listeners.p[i]),
                                   .backend = backend_slot(b, m->backend),
                                   .certificates = slots};
        if (m->tls)
            l->n_certificates =
                certificates_named(b, m->tls->certificates, m->tls->n_certificates, slots);
        l->asks = m->tls && !l->closed && m->tls->client_validation != MODEL_CLIENT_NONE;
        if (l->asks && m->tls->client_validation != MODEL_CLIENT_REQUEST)
            terms_make(m->tls->client_ca, m->tls->client_crl, &l->clients);
        slots += l->n_certificates;
    }
    mem_free(listeners.p);
    struct settings *old = b->settings;
    bool changed = old && (old->limits.body_bytes != s->limits.body_bytes || !same_auth(old, s));
    b->settings = s;
    if (old)
        part_retire(b->keeper, &old->part);
    return changed;
}
