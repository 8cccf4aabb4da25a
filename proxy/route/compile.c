/* SPDX-License-Identifier: Apache-2.0
 *
 * compile: from good objects and what they name to rules, backends and vhosts. What is named and
 * not there is not an error: its share answers a status, or there is no vhost to be found in.
 */
#include "lib/address.h"
#include "lib/log.h"
#include "proxy/route/build.h"

static const struct model_match every_path = {.path_type = MODEL_PATH_PREFIX};

static uint32_t number(uint64_t v) { return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v; }
static uint32_t number_or(uint64_t v, uint32_t otherwise) { return v ? number(v) : otherwise; }

/* ---- what a node names ---- */

static struct node *named(struct builder *b, struct str id, enum model_kind kind) {
    struct node *n = id.n > 0 ? builder_node(b, id) : NULL;
    return n && node_is(n, kind) ? n : NULL;
}

static const struct model_traffic *traffic_of(struct builder *b, struct str id) {
    struct node *n = named(b, id, MODEL_KIND_traffic);
    return n ? n->parsed->model : NULL;
}

/* A backend whose protocol we do not know is as good as none. */
static struct node *backend_named(struct builder *b, struct str id) {
    struct node *n = named(b, id, MODEL_KIND_backend);
    return n && !n->parsed->newer ? n : NULL;
}

/* ---- backends ---- */

struct str backend_endpoints(struct arena *a, const struct model_backend *m) {
    struct str name = backend_external_name(m);
    return name.n > 0 ? external_endpoints_id(a, name, m->port) : m->endpoints;
}

/* With TLS nobody else's connections are used, nor those that were made under other terms: what one
 * backend trusts says nothing about who the endpoint is for another. Nor are those that have begun
 * with another PROXY header, or with none. */
static struct place *place_take(struct builder *b, const struct model_endpoint *e,
                                const struct backend *of) {
    const struct model_upstream_tls *tls = of->model->tls;
    struct place key = {0};
    memcpy(key.key, e->address.p, e->address.n);
    key.key[16] = (char)(e->port >> 8);
    key.key[17] = (char)e->port;
    key.key[18] = e->address.n == 4 ? 4 : 6;
    key.key[19] = (char)(of->model->protocol | of->proxy_version << 4 | (tls ? 0x80U : 0));
    if (tls) {
        memcpy(key.key + 20, &of->slot, sizeof(of->slot));
        memcpy(key.key + 24, &of->version, sizeof(of->version));
    }
    struct place *p = map_get(&b->places, str_mk(key.key, sizeof(key.key)));
    if (!p) {
        p = mem_alloc(sizeof(*p));
        *p = key;
        p->slot = slot_take(b->keeper, SLOT_ENDPOINT, &p->generation);
        p->born = b->keeper->building;
        map_put(&b->places, str_mk(p->key, sizeof(p->key)), p);
        while (b->place_of_slot.n <= p->slot)
            pointers_add(&b->place_of_slot, NULL);
        b->place_of_slot.p[p->slot] = p;
    }
    p->users++;
    return p;
}

static void place_release(struct builder *b, uint32_t slot) {
    struct place *p = b->place_of_slot.p[slot];
    if (--p->users > 0)
        return;
    map_del(&b->places, str_mk(p->key, sizeof(p->key)));
    b->place_of_slot.p[slot] = NULL;
    slot_retire(b->keeper, SLOT_ENDPOINT, slot, p->born);
    mem_free(p);
}

static enum endpoint_state state_of(const struct model_endpoint *e) {
    return e->terminating ? ENDPOINT_SERVING : e->unready ? ENDPOINT_DOWN : ENDPOINT_READY;
}

/* Where somebody else has written the name down, and what DNS says of it today (S37). */
static bool may_dial(const struct model_backend *m, struct str address) {
    struct unit_cidr allowed;
    if (!m->guarded || address_sort(address) == ADDRESS_PUBLIC)
        return true;
    for (uint32_t i = 0; i < m->n_private_cidrs; i++)
        if (unit_cidr(m->private_cidrs[i], &allowed, NULL) == 0 &&
            address_within(address, &allowed, 1))
            return true;
    return false;
}

static void warn_left_out(const struct backend *b, uint32_t n) {
    if (n > 0)
        log_warn("route",
                 "%u addresses that are not public are not used; GatewayConfig "
                 "auth.allowedPrivateCIDRs can allow them backend=%.*s",
                 n, STR_FMT(b->name));
}

static void fill_endpoints(struct builder *b, struct backend_part *part,
                           const struct model_endpoints *m) {
    struct backend *to = &part->backend;
    uint32_t serving = 0, left_out = 0;
    for (int state = ENDPOINT_READY; m && state <= ENDPOINT_DOWN; state++) {
        for (uint32_t i = 0; i < m->n_endpoints; i++) {
            const struct model_endpoint *e = &m->endpoints[i];
            if (state_of(e) != (enum endpoint_state)state)
                continue;
            if (!may_dial(to->model, e->address)) {
                left_out++;
                continue;
            }
            const struct place *p = place_take(b, e, to);
            struct endpoint *at = &part->endpoints[to->n_endpoints++];
            *at = (struct endpoint){.slot = p->slot,
                                    .generation = p->generation,
                                    .family = e->address.n == 4 ? 4 : 6,
                                    .state = (uint8_t)state,
                                    .port = (uint16_t)e->port};
            memcpy(at->address, e->address.p, e->address.n);
        }
        if (state == ENDPOINT_READY)
            to->n_ready = to->n_endpoints;
        if (state == ENDPOINT_SERVING)
            serving = to->n_endpoints - to->n_ready;
    }
    warn_left_out(to, left_out);
    to->endpoints = part->endpoints;
    to->n_usable = to->n_ready > 0 ? to->n_ready : serving;
}

/* The policy's word counts before the Service's. */
static uint8_t protocol_of(const struct model_backend *m, const struct model_connection *c) {
    if (m->tls != NULL) /* what is said of cleartext does not count */
        return c->protocol == MODEL_PROTOCOL_H2 ? MODEL_H2 : MODEL_H1;
    switch (c->protocol) {
    case MODEL_PROTOCOL_H1:
        return MODEL_H1;
    case MODEL_PROTOCOL_H2C:
        return MODEL_H2C;
    case MODEL_PROTOCOL_H2:
        return MODEL_H2;
    case MODEL_PROTOCOL_ANY:
        break;
    }
    return (uint8_t)m->protocol;
}

static void fill_numbers(struct backend *to) {
    static const struct model_timeouts no_timeouts;
    static const struct model_connection no_connection;
    static const struct model_passive_health no_passive;
    const struct model_traffic *t = to->traffic;
    const struct model_timeouts *time = t && t->timeouts ? t->timeouts : &no_timeouts;
    const struct model_connection *c = t && t->connection ? t->connection : &no_connection;
    const struct model_passive_health *p = t && t->passive_health ? t->passive_health : &no_passive;
    to->protocol = protocol_of(to->model, c);
    to->balance = (uint8_t)(t ? t->balance : MODEL_ROUND_ROBIN);
    to->connect_ms = number_or(time->connect_ms, DEFAULT_CONNECT_MS);
    to->idle_ms = number_or(time->idle_ms, DEFAULT_UPSTREAM_IDLE_MS);
    to->keepalive_idle_ms = number_or(c->keepalive_idle_ms, DEFAULT_KEEPALIVE_IDLE_MS);
    to->proxy_version = (uint8_t)c->proxy_version;
    to->max_connections = number_or(c->max_connections, UINT32_MAX);
    to->max_pending = number_or(c->max_pending, DEFAULT_MAX_PENDING);
    to->max_requests = number_or(c->max_requests, UINT32_MAX);
    to->passive.consecutive_errors = number(p->consecutive_errors);
    to->passive.ejection_ms = number_or(p->ejection_ms, DEFAULT_EJECTION_MS);
    to->passive.max_ejection_ms = number_or(p->max_ejection_ms, DEFAULT_MAX_EJECTION_MS);
    to->passive.max_percent = number_or(p->max_ejected_percent, DEFAULT_MAX_EJECTED_PERCENT);
}

static enum reason reason_of(enum model_refusal refusal) {
    switch (refusal) {
    case MODEL_REFUSE_NO:
        return REASON_NONE;
    case MODEL_REFUSE_NO_BACKEND:
        return REASON_NO_BACKEND;
    case MODEL_REFUSE_POLICY:
        break;
    }
    return REASON_POLICY_UNAVAILABLE;
}

static struct backend_part *backend_new(struct builder *b, struct node *n) {
    const struct model_backend *model = n->parsed->model;
    struct arena a;
    arena_init(&a);
    struct node *endpoints = named(b, backend_endpoints(&a, model), MODEL_KIND_endpoints);
    const struct model_endpoints *m = endpoints ? object_decode(endpoints->object, &a, NULL) : NULL;
    struct str name = arena_fmt(&a, "%.*s/%.*s:%llu", STR_FMT(model->namespace),
                                STR_FMT(model->service), (unsigned long long)model->port);
    struct str host = backend_host(&a, model);
    size_t n_endpoints = m ? m->n_endpoints : 0, list = n_endpoints * sizeof(struct endpoint);
    struct backend_part *p = part_new(b->keeper, PART_BLOCK, sizeof(*p) + list + name.n + host.n);
    char *text = (char *)p->endpoints + list;
    memcpy(text, name.p, name.n);
    if (host.n > 0)
        memcpy(text + name.n, host.p, host.n);
    p->backend = (struct backend){.slot = n->slot,
                                  .id = object_id(n->parsed->object),
                                  .id_hash = n->parsed->object->id_hash,
                                  .version = n->parsed->object->hash,
                                  .name = str_mk(text, name.n),
                                  .host = str_mk(text + name.n, host.n),
                                  .model = model,
                                  .traffic = traffic_of(b, model->traffic),
                                  .refusal = reason_of(model->refusal)};
    fill_numbers(&p->backend);
    fill_endpoints(b, p, m);
    arena_fini(&a);
    return p;
}

static void backend_retire(struct builder *b, struct backend_part *p) {
    if (!p)
        return;
    for (uint32_t i = 0; i < p->backend.n_endpoints; i++)
        place_release(b, p->endpoints[i].slot);
    part_retire(b->keeper, &p->part);
}

void backend_make(struct builder *b, struct node *n) {
    struct backend_part *old = n->backend;
    n->backend = backend_new(b, n);
    pages_set(b->keeper, &b->backends, n->slot, &n->backend->backend);
    backend_retire(b, old); /* after the new one has taken its endpoints: numbers stay */
}

void backend_unmake(struct builder *b, struct node *n) {
    pages_set(b->keeper, &b->backends, n->slot, NULL);
    backend_retire(b, n->backend);
    n->backend = NULL;
}

/* ---- rules ---- */

/* The first that sets a timeout wins: rule, its policy, then its backends' Services in order. */
static void fill_timeouts(struct rule *r, const struct model_timeouts *t, bool of_rule) {
    if (!t)
        return;
    if (r->request_ms == 0)
        r->request_ms = number(t->request_ms);
    if (r->backend_request_ms == 0)
        r->backend_request_ms = number(t->backend_request_ms);
    if (of_rule && r->connect_ms == 0)
        r->connect_ms = number(t->connect_ms);
    if (of_rule && r->idle_ms == 0)
        r->idle_ms = number(t->idle_ms);
}

static struct rule_retry retry_of(const struct model_retry *m) {
    struct rule_retry r = {.attempts = DEFAULT_RETRY_ATTEMPTS,
                           .backoff_ms = DEFAULT_RETRY_BACKOFF_MS,
                           .budget_percent = DEFAULT_RETRY_BUDGET_PERCENT};
    if (!m)
        return r;
    r.attempts = number(m->attempts);
    r.backoff_ms = number_or(m->backoff_ms, DEFAULT_RETRY_BACKOFF_MS);
    r.budget_percent = (uint8_t)number_or(m->budget_percent, DEFAULT_RETRY_BUDGET_PERCENT);
    const unsigned char *p = (const unsigned char *)m->codes.p;
    for (size_t i = 0; i + 1 < m->codes.n; i += 2)
        r.codes[r.n_codes++] = (uint16_t)(p[i] << 8 | p[i + 1]);
    return r;
}

static const struct model_upgrades *upgrades_of(const struct model_traffic *t) {
    return t && t->connection ? t->connection->upgrades : NULL;
}

static void fill_upgrades(struct rule *r) {
    const struct model_upgrades *u = r->upgrades;
    r->upgrade_idle_ms = number_or(u ? u->idle_ms : 0, DEFAULT_UPGRADE_IDLE_MS);
    r->upgrade_age_ms = number_or(u ? u->max_age_ms : 0, UINT32_MAX);
}

static void fill_policies(struct builder *b, struct rule *r) {
    const struct model_route *m = r->model;
    const struct model_traffic *own = traffic_of(b, m->traffic);
    const struct model_retry *retry = m->retry ? m->retry : own ? own->retry : NULL;
    uint64_t body = m->body_limit ? m->body_limit : own ? own->body_limit : 0;
    fill_timeouts(r, m->timeouts, true);
    fill_timeouts(r, own ? own->timeouts : NULL, true);
    r->upgrades = upgrades_of(own);
    for (uint32_t i = 0; i < m->n_backends; i++) {
        struct node *n = backend_named(b, m->backends[i].backend);
        const struct model_backend *to = n ? n->parsed->model : NULL;
        const struct model_traffic *t = to ? traffic_of(b, to->traffic) : NULL;
        fill_timeouts(r, t ? t->timeouts : NULL, false);
        if (t && !retry)
            retry = t->retry;
        if (!r->upgrades)
            r->upgrades = upgrades_of(t);
    }
    fill_upgrades(r);
    r->request_ms = number_or(r->request_ms, MODEL_NEVER);
    r->backend_request_ms = number_or(r->backend_request_ms, MODEL_NEVER);
    r->retry = retry_of(retry);
    if (body == 0)
        body = b->settings->limits.body_bytes;
    r->body_limit = body == MODEL_NEVER ? UINT64_MAX : body;
}

static void fill_shares(struct builder *b, struct rule *r, struct share *shares) {
    const struct model_route *m = r->model;
    uint16_t usual = m->source == MODEL_SOURCE_INGRESS ? 503 : 500;
    for (uint32_t i = 0; i < m->n_backends; i++) {
        const struct model_backend_ref *ref = &m->backends[i];
        struct node *n = backend_named(b, ref->backend);
        r->total_weight += (uint32_t)ref->weight;
        shares[i] = (struct share){.upto = r->total_weight,
                                   .backend = n ? n->slot : UINT32_MAX,
                                   .status = ref->status ? (uint16_t)ref->status : usual,
                                   .model = ref};
    }
    r->n_shares = m->n_backends;
    r->shares = shares;
}

/* ---- mirrors ---- */

static uint32_t mirrors_of(const struct model_filter *list, uint32_t n,
                           void (*each)(void *arg, const struct model_mirror *m), void *arg) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].mirror == NULL)
            continue;
        found++;
        if (each != NULL)
            each(arg, list[i].mirror);
    }
    return found;
}

uint32_t route_mirrors(const struct model_route *r,
                       void (*each)(void *arg, const struct model_mirror *m), void *arg) {
    uint32_t n = mirrors_of(r->filters, r->n_filters, each, arg);
    for (uint32_t i = 0; i < r->n_backends; i++)
        n += mirrors_of(r->backends[i].filters, r->backends[i].n_filters, each, arg);
    return n;
}

struct mirror_filler {
    struct builder *b;
    struct rule *r;
};

static void fill_mirror(void *arg, const struct model_mirror *m) {
    struct mirror_filler *f = arg;
    struct node *n = backend_named(f->b, m->backend);
    f->r->mirrors[f->r->n_mirrors++] = (struct rule_mirror){m, n ? n->slot : UINT32_MAX};
}

/* Who must agree: the route's own policy, else the gateway's default one; and the one that all must
 * pass. Closed where one is named and not there, where there must be one, and where something in
 * the route is of a later version: it may be a condition. */
static void fill_auth(struct builder *b, const struct parsed *p, struct rule *r) {
    const struct settings *s = b->settings;
    struct policy_of own = policy_named(b, r->model->auth);
    if (!own.named)
        own = s->by_default;
    bool missing = (own.named && own.slot == UINT32_MAX) ||
                   (s->override.named && s->override.slot == UINT32_MAX) ||
                   (s->auth_required && !own.named && !s->override.named);
    r->auth = own.slot;
    r->override_auth = s->override.slot;
    r->guarded = own.named || s->override.named;
    r->refusal = reason_of(r->model->refusal);
    if (p->newer || missing)
        r->refusal = REASON_POLICY_UNAVAILABLE;
}

/* Requests of a guarded rule may be a Consumer's, which has a limit of its own. */
static void fill_limits(struct builder *b, struct rule *r) {
    r->limits = limits_of_traffic(named(b, r->model->traffic, MODEL_KIND_traffic), &r->n_limits);
    r->limited = r->n_limits > 0 || r->guarded;
}

void rule_make(struct builder *b, struct node *n) {
    const struct model_route *m = n->parsed->model;
    struct rule_part *p = part_new(b->keeper, PART_BLOCK,
                                   sizeof(*p) + m->n_backends * sizeof(struct share) +
                                       route_mirrors(m, NULL, NULL) * sizeof(struct rule_mirror));
    struct rule *r = &p->rule;
    r->model = m;
    r->matches = m->n_matches ? m->matches : &every_path;
    r->regexes = n->parsed->regexes;
    r->id = object_id(n->parsed->object);
    r->id_hash = n->parsed->object->id_hash;
    r->slot = n->slot;
    fill_auth(b, n->parsed, r);
    fill_policies(b, r);
    fill_limits(b, r);
    fill_shares(b, r, p->shares);
    r->mirrors = (struct rule_mirror *)(void *)(p->shares + m->n_backends);
    route_mirrors(m, fill_mirror, &(struct mirror_filler){b, r});
    r->has_filters = m->n_filters > 0;
    r->to_https = m->tls && m->tls->redirect;
    for (uint32_t i = 0; i < m->n_backends; i++)
        r->has_filters |= m->backends[i].n_filters > 0;
    if (n->rule)
        part_retire(b->keeper, &n->rule->part);
    n->rule = p;
    pages_set(b->keeper, &b->rules, n->slot, r);
}

void rule_unmake(struct builder *b, struct node *n) {
    if (n->rule)
        part_retire(b->keeper, &n->rule->part);
    n->rule = NULL;
    pages_set(b->keeper, &b->rules, n->slot, NULL);
}

/* ---- certificates ---- */

void certificate_make(struct builder *b, struct node *n) {
    struct certificate_part *p = part_new(b->keeper, PART_BLOCK, sizeof(*p)), *old = n->certificate;
    const struct object *o = n->parsed->object;
    p->certificate = (struct certificate_law){.slot = n->slot,
                                              .id_hash = o->id_hash,
                                              .version = o->hash,
                                              .id = object_id(o),
                                              .model = n->parsed->model};
    n->certificate = p;
    pages_set(b->keeper, &b->certificates, n->slot, &p->certificate);
    if (old)
        part_retire(b->keeper, &old->part);
}

void certificate_unmake(struct builder *b, struct node *n) {
    pages_set(b->keeper, &b->certificates, n->slot, NULL);
    part_retire(b->keeper, &n->certificate->part);
    n->certificate = NULL;
}

uint32_t certificates_named(struct builder *b, const struct str *ids, uint32_t n, uint32_t *slots) {
    uint32_t there = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct node *c = named(b, ids[i], MODEL_KIND_certificate);
        if (c)
            slots[there++] = c->slot;
    }
    return there;
}

/* ---- sites ---- */

static void add_entries(struct builder *b, size_t *n, const struct node *route) {
    const struct rule *r = &route->rule->rule;
    uint32_t n_matches = r->model->n_matches ? r->model->n_matches : 1;
    if (*n + n_matches > b->entries_cap) {
        b->entries_cap = size_max(b->entries_cap * 2, *n + n_matches);
        b->entries = mem_realloc(b->entries, b->entries_cap * sizeof(*b->entries));
    }
    for (uint32_t i = 0; i < n_matches; i++)
        b->entries[(*n)++] =
            (struct vhost_entry){r->model, &r->matches[i], r->id, route->slot, (uint16_t)i};
}

/* Which lengths of wildcards are there. */
static void count_wild(struct builder *b, const struct vhost *v, bool add) {
    if (!v || !v->wildcard)
        return;
    size_t n = vhost_key(v).n;
    b->wild_count[n] += add ? 1U : UINT32_MAX;
    uint64_t bit = 1ULL << (n % 64);
    if (b->wild_count[n] > 0)
        b->hosts.wild_lengths[n / 64] |= bit;
    else
        b->hosts.wild_lengths[n / 64] &= ~bit;
}

/* In place of the one before, if there was one. */
static void set_vhost(struct builder *b, struct site *s, struct vhost *v) {
    struct vhost *old = s->vhost;
    const struct vhost *name = v ? v : old;
    s->vhost = v;
    if (v)
        v->site = s;
    count_wild(b, v, true);
    count_wild(b, old, false);
    hosts_set(b->keeper, &b->hosts, vhost_hostname(name), v);
    if (!old)
        return;
    if (old->tls)
        part_retire(b->keeper, &old->tls->part);
    part_retire(b->keeper, &old->part);
}

struct site *site_named(struct builder *b, struct str hostname) {
    const struct vhost *v = hosts_named(&b->hosts, hostname);
    if (v)
        return v->site;
    struct site *s = mem_zalloc(sizeof(*s));
    set_vhost(b, s, vhost_new(b->keeper, hostname, NULL, 0));
    return s;
}

/* Of all hosts of that name: where one of them wants TLS there is TLS. NULL: none does. */
static struct host_tls *tls_of(struct builder *b, const struct site *s) {
    struct arena a;
    struct host_tls *tls = NULL;
    uint32_t room = 0;
    arena_init(&a);
    for (const struct node *host = s->hosts; host; host = host->twin)
        room += host->n_edges;
    for (const struct node *host = s->hosts; host; host = host->twin) {
        const struct model_host *m = object_decode(host->object, &a, NULL);
        if (m->n_certificates == 0 && !m->default_certificate)
            continue;
        if (!tls)
            tls =
                part_new(b->keeper, PART_BLOCK, sizeof(*tls) + room * sizeof(tls->certificates[0]));
        tls->default_certificate |= m->default_certificate;
        tls->n +=
            certificates_named(b, m->certificates, m->n_certificates, tls->certificates + tls->n);
    }
    arena_fini(&a);
    return tls;
}

void site_make(struct builder *b, struct site *s) {
    size_t n = 0;
    s->dirty = false;
    for (struct node *host = s->hosts; host; host = host->twin)
        for (struct edge *e = host->readers; e; e = e->next)
            if (node_is(e->from, MODEL_KIND_route))
                add_entries(b, &n, e->from);
    if (s->hosts) {
        struct vhost *v = vhost_new(b->keeper, vhost_hostname(s->vhost), b->entries, n);
        v->tls = tls_of(b, s);
        set_vhost(b, s, v);
    } else {
        set_vhost(b, s, NULL);
        mem_free(s);
    }
}
