/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/snapshot.h"

#include "proxy/route/build.h"

/* ---- workers ---- */

bool snapshot_route(const struct snapshot *s, const struct route_request *rq,
                    struct route_scratch *scratch, struct match_result *result) {
    const struct snapshot_parts *p = s->parts;
    struct lookup l = {p->rules, rq, scratch};
    struct str host = rq->host;
    const struct vhost *v = hosts_get(&p->hosts, host, false, p->rules);
    if (v && v->n_candidates > 0)
        return vhost_find(v, &l, false, result);
    bool deep = false;
    for (size_t dot = str_find(host, '.', 0); dot < host.n; dot = str_find(host, '.', dot + 1)) {
        struct str suffix = str_skip(host, dot);
        if (dot > 0 && hosts_has_wild(&p->hosts, suffix.n)) {
            v = hosts_get(&p->hosts, suffix, true, p->rules);
            if (v && (deep ? v->deep : v->n_candidates > 0))
                return vhost_find(v, &l, deep, result);
        }
        deep = true;
    }
    return p->hosts.any && vhost_find(p->hosts.any, &l, false, result);
}

const struct backend *snapshot_backend(const struct snapshot *s, uint32_t slot) {
    return pages_get(s->parts->backends, slot);
}

const struct rule *snapshot_rule(const struct snapshot *s, uint32_t slot) {
    return pages_get(s->parts->rules, slot);
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

struct snapshot *snapshot_new(struct builder *b, uint64_t revision) {
    struct snapshot *s = mem_zalloc(sizeof(*s) + sizeof(struct snapshot_parts));
    struct snapshot_parts *p = (struct snapshot_parts *)(void *)(s + 1);
    const struct settings *set = b->settings;
    const struct slot_pool *pools = b->keeper->pools;
    *p = (struct snapshot_parts){.serial = b->keeper->building,
                                 .keeper = b->keeper,
                                 .rules = b->rules,
                                 .backends = b->backends,
                                 .hosts = b->hosts};
    *s = (struct snapshot){.revision = revision,
                           .serial = b->keeper->building,
                           .gateway = set->gateway,
                           .limits = set->limits,
                           .n_trusted = set->n_trusted,
                           .trusted = set->trusted,
                           .n_listeners = set->n_listeners,
                           .listeners = set->listeners,
                           .n_rules = b->n_rules,
                           .n_backends = b->n_backends,
                           .rule_slots = pools[SLOT_RULE].top,
                           .backend_slots = pools[SLOT_BACKEND].top,
                           .endpoint_slots = pools[SLOT_ENDPOINT].top,
                           .parts = p,
                           .refs = 1};
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
